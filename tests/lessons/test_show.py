"""Equation cards and tables: made from the functions themselves."""

import inspect

import pytest

from bottlenecks import data
from bottlenecks.laws import roofline, tiling
from bottlenecks.lessons.show import Card, Table, show, table
from bottlenecks.models import ops

LAWS = [
    f
    for module in (roofline, tiling, ops)
    for _, f in inspect.getmembers(module, inspect.isfunction)
    if f.__module__ == module.__name__ and "$$" in (f.__doc__ or "")
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_card_has_everything(law):
    card = Card(law)
    assert card.equation.strip() and card.label.startswith("eq:") and card.holds and card.source
    arguments = [name for name in inspect.signature(law).parameters]
    named = [name for _, name, _, _ in card.symbols if not name.startswith("(")]
    assert named == arguments, "one line for each argument, in order"
    assert all(unit for *_, unit in card.symbols)
    assert card.code.startswith(f"def {law.__name__}(") and '"""' not in card.code


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_card_links_the_sources_that_it_cites(law):
    shown = show(law)._repr_mimebundle_()["text/markdown"]
    for key in data.references():
        if key in Card(law).source:
            assert key not in shown.split("```python")[0], f"{key} is shown instead of its author"
            assert data.references()[key].get("url", "") in shown


def test_every_law_of_the_roofline_has_a_card():
    public = {n for n, f in inspect.getmembers(roofline, inspect.isfunction) if f.__module__ == roofline.__name__}
    assert public <= {law.__name__ for law in LAWS}


def test_the_symbols_of_the_equation_are_in_the_card():
    markdown = show(roofline.energy_joules)._repr_mimebundle_()["text/markdown"]
    assert r"| $\epsilon_{f}$ | `joules_per_flop` |" in markdown and "(eq:energy)" in markdown


def test_a_function_without_an_equation_is_refused_by_name():
    with pytest.raises(ValueError, match="'times_s' has no equation"):
        show(ops.times_s)


def test_table():
    bundle = table({"a": n, "b": n * n} for n in (1, 20))._repr_mimebundle_()
    assert bundle["text/plain"] == "a     b\n1     1\n20  400"
    assert bundle["text/markdown"].splitlines() == ["| a | b |", "| --- | --: |", "| 1 | 1 |", "| 20 | 400 |"]
    with pytest.raises(ValueError, match="at least one row"):
        Table([])
