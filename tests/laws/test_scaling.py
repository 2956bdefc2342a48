"""Laws of scaling: by hand, by derivatives, as inverses of each other, and against printed optima."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import scaling
from bottlenecks.lessons.show import Card

FIT = {"params_scale": 406.4, "tokens_scale": 410.7, "params_exponent": 0.34, "tokens_exponent": 0.28}  # chinchilla2022
WHOLE = FIT | {"floor": 1.69}


@pytest.mark.parametrize(
    "law", [f for _, f in inspect.getmembers(scaling, inspect.isfunction)], ids=lambda f: f.__name__
)
def test_every_law_has_a_card(law):
    card = Card(law)
    shown = [name for _, name, _, _ in card.symbols if name.isidentifier()]
    assert set(shown) <= set(inspect.signature(law).parameters) and card.holds and card.source


def test_the_loss_of_a_known_run_by_hand():
    # 70e9^0.34 = e^(0.34 x 24.972) = 4,866; 1.4e12^0.28 = e^(0.28 x 27.967) = 2,518: 1.69 + 0.0835 + 0.1631
    assert scaling.loss(70e9, 1.4e12, **WHOLE) == pytest.approx(1.69 + 406.4 / 4866 + 410.7 / 2518, rel=1e-3)


@given(st.floats(1e18, 1e27))
def test_no_other_split_of_the_operations_is_better(flop):
    best = float(scaling.best_params(flop, **FIT))
    for times in (0.5, 0.9, 1.1, 2.0):
        other = best * times
        assert scaling.loss(other, flop / 6 / other, **WHOLE) >= scaling.loss(best, flop / 6 / best, **WHOLE)


def test_a_percent_of_either_is_worth_the_same_at_the_best():
    best = float(scaling.best_params(5.76e23, **FIT))
    tokens = 5.76e23 / 6 / best
    assert 0.34 * 406.4 / best**0.34 == pytest.approx(0.28 * 410.7 / tokens**0.28)


@given(st.floats(1e7, 1e13), st.floats(1e9, 1e14))
def test_tokens_for_a_loss_are_the_inverse(params, tokens):
    assert scaling.tokens_for(scaling.loss(params, tokens, **WHOLE), params, **WHOLE) == pytest.approx(tokens, rel=1e-6)


def test_a_model_that_is_too_small_never_gets_there():
    found = scaling.tokens_for(2.0, np.array([1e6, 1e10]), **WHOLE)
    assert np.isinf(found[0]) and np.isfinite(found[1])


def test_repetitions_by_hand():
    # four epochs: three repetitions, 15.39 (1 - e^(-3/15.39)) = 2.727 of fresh data; without end 1 + 15.39
    assert scaling.effective_tokens(4.0, 1.0, fade=15.39) == pytest.approx(1 + 2.727, rel=1e-3)
    assert scaling.effective_tokens(1e6, 1.0, fade=15.39) == pytest.approx(16.39)


@given(st.floats(0.1, 100), st.floats(0.1, 10))
def test_read_again_is_never_worth_more_than_fresh(tokens, unique):
    found = scaling.effective_tokens(tokens, unique, fade=15.39)
    assert found <= tokens * (1 + 1e-12) and found <= 16.39 * unique * (1 + 1e-12)


def test_arrays_equal_scalars():
    flop = np.geomspace(1e18, 1e26, 5)
    assert scaling.best_params(flop, **FIT).tolist() == pytest.approx(
        [scaling.best_params(float(f), **FIT) for f in flop]
    )
    assert scaling.power(flop, at_one=0.3, exponent=0.5)[2] == pytest.approx(0.3 * flop[2] ** 0.5)
