"""What every law is held to: its dimension by pint, and a card that names each argument."""

import inspect

from bottlenecks.lessons.show import Card


def hold(law, args, kwargs, expected, unit):
    """Called with quantities, a law has the dimension expected; its card has every argument, a range, a source."""
    assert unit.Quantity(law(*args, **kwargs)).check(expected.dimensionality)
    card = Card(law)
    named = [name for _, name, _, _ in card.symbols]
    assert set(named) == set(inspect.signature(law).parameters) and card.holds and card.source
