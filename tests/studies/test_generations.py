"""From one chip to the next: pairs by hand, exponents of made-up gains, shares that add up."""

import numpy as np
import pytest

from bottlenecks.facts.chips import chip
from bottlenecks.studies import generations


def made_up(power, n=40):
    """Pairs of two sources whose measured gain is bandwidth to a power and peak to the rest."""
    draw = np.random.default_rng(3)
    peak, bandwidth = draw.normal(0, 0.7, (2, n))
    found = {
        "work": np.full(n, "decoding"),
        "source": np.where(np.arange(n) % 2, "a", "b"),
        "measured": power * bandwidth + (1 - power) * peak,
        "peak FLOP/s": peak,
        "bandwidth": bandwidth,
        "both": (peak + bandwidth) / 2,
    }
    return found | {name: 0 * peak for name in generations.RIVALS if name not in found}


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_the_share_of_made_up_gains_is_found(power):
    share, error = generations.share("decoding", made_up(power))
    assert share == pytest.approx(power) and error == pytest.approx(0, abs=1e-12)


def test_who_is_nearer_counts_pairs_that_differ():
    assert generations.nearer("decoding", made_up(1.0))[0] == generations.nearer("decoding", made_up(1.0))[1] > 0
    assert generations.nearer("decoding", made_up(0.0))[0] == 0
    alike = made_up(1.0) | {"peak FLOP/s": made_up(1.0)["bandwidth"]}
    assert generations.nearer("decoding", alike) == (0, 0)


def test_gains_told_by_bandwidth_and_peak_are_those_of_the_catalog():
    found = generations.pairs()
    mine = (found["older"] == "H100 SXM5") & (found["newer"] == "H200 SXM")
    assert mine.any()
    # the same die beside 4.8 TB/s in place of 3.35
    assert np.exp(found["bandwidth"][mine]) == pytest.approx(4.8 / 3.35, rel=0.01)
    assert found["peak FLOP/s"][mine] == pytest.approx(0, abs=1e-12)


def test_a_pair_by_hand():
    """TensorRT-LLM v0.17's page: Llama 3.1 8B FP8 on an H100 and an H200 among others; medians lie between 1 and the bandwidths' ratio."""
    found = generations.pairs()
    mine = (found["source"] == "trtllm_v017") & (found["older"] == "H100 SXM5") & (found["newer"] == "H200 SXM")
    assert found["settings"][mine].sum() > 50
    assert 1.0 < np.exp(found["measured"][mine]).item() < 4.8 / 3.35


def test_pairs_are_of_one_maker_and_of_two_dates():
    found = generations.pairs()
    for older, newer in zip(found["older"].tolist(), found["newer"].tolist(), strict=True):
        a, b = chip(older), chip(newer)
        assert a.vendor == b.vendor and a.launch < b.launch
    keys = list(zip(*(found[name].tolist() for name in ("work", "source", "older", "newer")), strict=True))
    assert len(keys) == len(set(keys))
    assert set(found["work"].tolist()) == set(generations.WORK)
