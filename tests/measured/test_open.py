"""Layouts that a training run leaves open: weights by speed, among those that fit; by hand."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured import open as left_open
from bottlenecks.measured.cases import middles
from bottlenecks.models import training
from bottlenecks.models.machine import machine
from bottlenecks.models.software import at

KNOWN = {"tp": 1, "pp": 1, "cp": 1, "dp": 8, "vpp": 1, "ep": 1, "micro_batch": 1, "micro_batches": 16, "zero": 3}
KNOWN |= {"zero_ranks": None, "seq_len": 4096, "recompute": "full", "sp": False}
SHAPE, DEVICE = model("Llama-3-8B"), chip("H100 SXM5")
RUN = left_open.Run({"n_chips": 8.0}, SHAPE, DEVICE, at("tuned", "2024-06"), "2024")


def weighed(monkeypatch, seconds, fits):
    """`Weighed` of as many layouts of 8 chips and 16 sequences a rank, of made-up seconds a step."""
    few = [KNOWN | {"micro_batch": n, "micro_batches": 16 // n} for n in (1, 2, 4)][: len(seconds)]
    monkeypatch.setattr(training, "seconds", lambda *_, **__: np.array(seconds))
    short = np.where(fits, -1.0, 1.0) * DEVICE.memory_bytes / 2
    monkeypatch.setattr(left_open, "_shortfall", lambda *_: short)
    return left_open.weigh(few, RUN, machine(DEVICE))


def test_twice_the_time_weighs_two_to_the_taste_less(monkeypatch):
    found = weighed(monkeypatch, [1.0, 2.0, 1.0], [True, True, True])
    part = 2.0**-left_open.TASTE
    assert found.weights.tolist() == pytest.approx([1 / (2 + part), part / (2 + part), 1 / (2 + part)])
    assert found.weights[1] < 0.01  # of a taste above 6.7: less than one in a hundred
    # of a token and chip: 8 chips over 16 x 8 x 4,096 tokens
    assert found.each_s.tolist() == pytest.approx((np.array([1, 2, 1]) * 8 / (16 * 8 * 4096)).tolist())


def test_what_does_not_fit_has_no_weight(monkeypatch):
    found = weighed(monkeypatch, [1.0, 2.0, 4.0], [False, True, True])
    part = 2.0**-left_open.TASTE  # the second is the fastest that fits
    assert found.weights.tolist() == pytest.approx([0, 1 / (1 + part), part / (1 + part)])
    assert found.fitting.tolist() == [False, True, True]


def test_where_none_fits_all_that_are_as_near_may_have(monkeypatch):
    found = weighed(monkeypatch, [1.0, 1.0, 1.0], [False, False, False])
    assert found.weights.tolist() == pytest.approx([1 / 3] * 3) and not found.fitting.any()


def test_one_layout_needs_no_time(monkeypatch):
    monkeypatch.setattr(training, "seconds", lambda *_, **__: pytest.fail("timed"))
    found = left_open.weigh([KNOWN], RUN, machine(DEVICE))
    assert found.weights.tolist() == [1] and found.found == [KNOWN]


def test_the_middle_of_weighed_times():
    """1, 2 and 8 with 0.3, 0.3 and 0.4: half is reached at 2; 2 and 4 times away."""
    at, width = middles(np.array([[8.0], [1.0], [2.0]]), np.array([[0.4], [0.3], [0.3]]))
    assert at == 2 and width == pytest.approx(np.log(2) * (0.3 * 1 + 0.4 * 4) ** 0.5)
