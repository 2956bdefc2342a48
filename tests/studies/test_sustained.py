"""What boards sustain: watts by hand, published rates as printed, rows left out counted, launches by arithmetic."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import scores
from bottlenecks.studies import sustained


def test_watts_for_each_operation_by_hand():
    """A100 SXM: 400 W over 312 TFLOP/s are 1.282 pJ; its best product, 271.2 TFLOP/s, is 86.9 % and 1.475 pJ."""
    found = sustained.boards()
    (i,) = np.flatnonzero(found["chip"] == "A100 SXM 80GB")
    assert found["watts_per_flop_per_s"][i] == pytest.approx(1.282e-12, rel=1e-3)
    assert found["fraction"][i] == pytest.approx(0.869, abs=5e-4)
    assert found["joules_per_flop"][i] == pytest.approx(1.475e-12, rel=1e-3)
    assert len(set(found["chip"].tolist())) == found["chip"].size


def test_families_are_set_side_by_side():
    """Ada: an L4 of 72 W over 121 TFLOP/s, 0.60 pJ, and an RTX 4090 of 450 W over 165.2, 2.72 pJ."""
    found, ada = sustained.boards(), sustained.kin()["Ada"]
    assert found["chip"][ada].tolist() == ["L4", "RTX 4090"]
    assert found["watts_per_flop_per_s"][ada] == pytest.approx([0.595e-12, 2.724e-12], rel=2e-3)
    better, families = sustained.richer_is_faster()
    assert 0 < better <= families == len(sustained.kin())


def test_values_change_the_rate_as_printed():
    """295 and 257 of 312 TFLOP/s: 94.6 and 82.4 %, 12.2 points of watts, 5.4 of everything else; 257/295 = 0.871."""
    found = sustained.of_a_large_cube()
    assert (found["zeros"], found["random"]) == pytest.approx((0.9455, 0.8237), abs=1e-4)
    assert (found["power"], found["other"], found["clock"]) == pytest.approx((0.1218, 0.0545, 0.8712), abs=1e-4)
    assert found["guide"] == pytest.approx(253.7 / 312)
    assert found["wanted"] == pytest.approx(
        (295 / 257, (295 / 257) ** 3)
    )  # 1.148 at one voltage, 1.512 where it follows


def test_the_clock_of_linpack():
    assert sustained.clock_under_linpack() == (1.305e9, 1.41e9)


def test_every_row_is_scored_or_counted_as_left_out():
    rows, found = corpus.table("kernels"), scores.table("kernels")
    scored = (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & np.isfinite(found["ratio"])
    lines = sustained.left_out()
    assert scored.sum() + sum(line["rows"] for line in lines) == scored.size
    assert all(line["rows"] == line["fit"] + line["held-out"] for line in lines)


def test_rows_above_the_peak_are_those_of_two_desktop_boards():
    """RTX 5090 in bf16: 240.05 over 209.5 TFLOP/s is 14.6 % above, so 2.407 GHz x 1.146 = 2.76 GHz at least."""
    lines = sustained.above_peak()
    assert {line["chip"] for line in lines} == {"RTX 4090", "RTX 5090"} and sum(line["rows"] for line in lines) == 20
    (one,) = [line for line in lines if (line["chip"], line["format"]) == ("RTX 5090", "bf16")]
    assert (one["over it"], one["clock, at least"]) == ("+14.6%", "2.76 GHz")
    assert sustained.kept_above_peak()[0] == 20


def test_a_launch_by_hand():
    """From 8 to 117 kernels 51.9 becomes 735.4 us, 6.27 us each; as a graph 19.4 becomes 82.9, 0.58 us each."""
    found = sustained.launch_gap()
    assert found["direct_s"] == pytest.approx(6.27e-6, rel=0.03) and found["graph_s"] == pytest.approx(
        0.58e-6, rel=0.03
    )
    assert found["launches"] == (8, 117) and 10e-6 < found["graph_fixed_s"] < 20e-6


def test_a_frame_that_waits_for_its_launches():
    frame = sustained.eager_frame()
    assert frame["busy_s"] / frame["direct_s"] == pytest.approx(7.27 / 53.7) and frame["launches"] == 1185
