"""Closed forms: numbers that papers print, and what the formulas must be for the simplest shapes."""

import inspect

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.laws import counting
from bottlenecks.lessons.show import Card, show

LAWS = [f for _, f in inspect.getmembers(counting, inspect.isfunction) if f.__module__ == counting.__name__]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_every_law_has_a_card_and_its_source_an_entry(law):
    card = Card(law)
    assert card.holds and [name for _, name, _, _ in card.symbols] == list(inspect.signature(law).parameters)
    key = card.source.split(",")[0]
    if key != "counting":
        shown = show(law)._repr_mimebundle_()["text/markdown"]
        assert data.references()[key]["url"] in shown


def test_gpt3_by_the_rule_of_thumb():
    """Brown et al., table D.1: 174,600 M parameters, 300 billion tokens, 3.14e23, 3,640 PFLOP/s-days."""
    flop = counting.six_n_d_flop(174_600e6, 300e9)
    assert f"{flop:.2e}" == "3.14e+23"
    assert f"{flop / (1e15 * 86400):.3g}" == "3.64e+03"


def test_palm_reaches_what_it_prints():
    """Chowdhery et al., section 4.1: 238.3k tokens/s on 6,144 TPU v4 of 275 TFLOP/s are 46.2 % of the
    peak, or 45.7 % without attention."""
    peak = 6144 * 275e12
    full = counting.palm_flop(540.35e9, 238.3e3, layers=118, heads=48, head_values=256, context_tokens=2048)
    assert f"{full / peak:.1%}" == "46.2%"
    assert f"{counting.six_n_d_flop(540.35e9, 238.3e3) / peak:.1%}" == "45.7%"


def test_megatron_as_the_paper_factors_it():
    """Narayanan et al., equation 3: 96 B s l h^2 (1 + s / 6h + V / 16 l h)."""
    b, s, layers, h, vocab = 1536, 2048, 96, 12288, 51200
    printed = 96 * b * s * layers * h**2 * (1 + s / (6 * h) + vocab / (16 * layers * h))
    counted = counting.megatron_flop(batch=b, context_tokens=s, layers=layers, width=h, vocab=vocab)
    assert counted == pytest.approx(printed, rel=1e-12)


def test_megatron_days_of_gpt3():
    """Same paper: 300 billion tokens on 1,024 A100 at 140 TFLOP/s take 34 days, by 8 T P / (n X).

    Equation 3 counts attention as well, so it takes a little longer, not shorter.
    """
    a_token = counting.megatron_flop(batch=1, context_tokens=2048, layers=96, width=12288, vocab=51200) / 2048
    rate = 1024 * 140e12
    assert 8 * 175e9 * 300e9 / rate / 86400 == pytest.approx(34, abs=0.5)
    assert 34 < a_token * 300e9 / rate / 86400 < 34 * 1.03


def test_recomputing_costs_a_third_of_the_layers_alone():
    """Four passes for three; the vocabulary's product is not done again."""
    shape = {"batch": 2, "context_tokens": 16, "layers": 3, "width": 8, "vocab": 0}
    again = counting.megatron_flop(**shape)
    assert again / counting.megatron_flop(**shape, recomputed=False) == pytest.approx(4 / 3)
    shape["vocab"] = 100
    with_words = counting.megatron_flop(**shape) - again  # 6 B S d V
    assert with_words == 6 * 2 * 16 * 8 * 100


def test_palm_without_a_context_is_the_rule_of_thumb():
    args = {"layers": 4, "heads": 2, "head_values": 8}
    assert counting.palm_flop(1e6, 100, **args, context_tokens=0) == counting.six_n_d_flop(1e6, 100)


def test_experts_touched_at_the_ends():
    """One token touches its own k; many touch all; Mixtral's two tokens 8 (1 - (3/4)^2) = 3.5."""
    assert counting.experts_touched(8, 2, 1) == pytest.approx(2)
    assert counting.experts_touched(8, 2, 2) == pytest.approx(3.5)
    assert counting.experts_touched(256, 8, 10_000) == pytest.approx(256)
    found = counting.experts_touched(256, 8, np.arange(1, 500))
    assert (np.diff(found) > 0).all() and (found <= 256).all()


def test_experts_touched_by_a_draw():
    """Tokens that draw their experts at random, counted: eq:experts-touched within its noise."""
    rng = np.random.default_rng(0)
    touched = [
        np.unique(np.concatenate([rng.choice(64, 4, replace=False) for _ in range(20)])).size for _ in range(400)
    ]
    # spread of one draw is below 3 experts, of the mean of 400 below 0.15
    assert np.mean(touched) == pytest.approx(counting.experts_touched(64, 4, 20), abs=0.5)


def test_catalog_gives_the_parameters_that_the_papers_print():
    """The same numbers from the catalog's shapes, positions and norms left out: within 0.3 %."""
    assert model("GPT-3 175B").params == pytest.approx(174_600e6, rel=3e-3)
    assert model("PaLM 540B").params == pytest.approx(540.35e9, rel=3e-3)
