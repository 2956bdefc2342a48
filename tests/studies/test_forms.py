"""Forms of attention on one body: by hand, and against what their authors print."""

import numpy as np
import pytest

from bottlenecks.studies import forms

S = 131072.0


def at(name, context=S):
    return {each: float(v) for each, v in forms.costs(forms.forms()[name], context).items()}


def test_the_usual_form_by_hand():
    # 32 layers, 32 heads of 128: (S + 1)/2 pairs of 4 x 128 operations; 8 heads of keys and values in 16 bits
    usual = at(forms.TODAY)
    assert usual["operations"] == 32 * 32 * 512 * (S + 1) / 2
    assert usual["read"] == usual["kept"] == 32 * 2 * 8 * 128 * 2 * S


def test_forms_that_see_all_pairs_do_as_many_operations():
    usual = at(forms.TODAY)
    for name, kind in forms.about("kind").items():
        if kind == "all pairs" and name != "a latent":
            assert at(name)["operations"] == usual["operations"]


def test_a_latent_beside_grouped_keys():
    # 576 values where 8 heads keep 2,048; and 2 x (192 + 128) operations a pair and head for 4 x 128
    usual, latent = at(forms.TODAY), at("a latent")
    assert latent["kept"] / usual["kept"] == pytest.approx(576 / 2048)
    assert latent["operations"] / usual["operations"] == pytest.approx(640 / 512)


def test_pooled_latents_keep_two_percent_as_their_authors_print():
    # DeepSeek-V4's report: about 2 % of the cache of 8 heads of 128 at a million tokens (in narrower formats: half of ours)
    kept = at("pooled latents and an index", 1e6)["kept"] / at(forms.TODAY, 1e6)["kept"]
    assert 0.02 < kept < 0.045


def test_gemma_s_windows_keep_what_its_authors_draw():
    # at 32k tokens the cache falls from 60 % of the memory to below 15: by four or more
    kept = at("windows of 1,024 in 27 of 32 layers", 32768.0)["kept"] / at(forms.TODAY, 32768.0)["kept"]
    assert kept < 15 / 60


def test_an_index_pays_in_operations_where_the_square_has_grown_over_it():
    # below: 16 heads of 258 operations over all pairs, and 32 of 2,176 over 2,048 of them, against 32 of 512 over all
    # 512 x 32 - 258 x 16 = 12,256 for S / 2 against 2,176 x 32 x (2,048 - 2,048^2 / 2 S): 22,200
    from_here = forms.pays_from()["an index chooses 2,048 latents"]["operations"]
    assert from_here == pytest.approx(22_200, rel=0.01)
    assert forms.pays_from()["an index chooses 2,048 latents"]["read"] == 0


def test_a_window_pays_as_soon_as_it_is_left():
    found = forms.pays_from()["a window of 4,096"]
    assert all(tokens == 4097 for tokens in found.values())


def test_a_state_does_not_grow():
    for name in ("a delta-rule state in 24 of 32", "a Mamba-2 state in 28 of 32"):
        m = forms.forms()[name]
        more = at(name, 2 * S)["kept"] - at(name)["kept"]
        assert more == (32 - m.ssm_layers) * 2 * 8 * 128 * 2 * S


def test_published_comparisons():
    found = forms.quality()
    assert np.all(np.abs(found["points"]) < 40) and np.all(found["full"] >= 0)
    # recall from long texts suffers most from windows and states put in afterwards
    worst = found["form"][int(np.argmin(found["points"]))]
    assert found["long"][int(np.argmin(found["points"]))] and "window" in worst


def test_a_form_over_the_usual_one():
    assert forms.of_usual("a latent", "kept") == pytest.approx(576 / 2048)
    assert all(forms.of_usual(forms.TODAY, cost) == 1 for cost in ("operations", "read", "kept"))
