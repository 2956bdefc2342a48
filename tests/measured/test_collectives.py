"""Measured collectives against the model: rows in order, no peeking, and what the fit finds."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import collectives
from bottlenecks.models.collectives import fitted

ROWS = corpus.table("collectives")
AT = collectives.predict(ROWS)
COUNTED = (AT["reason"] == "") & (ROWS["suspect"] == "") & np.isfinite(AT["ratio"])
HELD_OUT = COUNTED & (ROWS["role"] == "held-out")
INSIDE = ROWS["n_nodes"] == 1
ALL_REDUCE = ROWS["collective"] == "all_reduce"


def coverage(mask):
    return float(((AT["measured_s"] >= AT["low_s"]) & (AT["measured_s"] <= AT["high_s"]))[mask].mean())


def test_every_row_comes_out_with_a_prediction_or_a_reason():
    assert tuple(AT) == collectives.COLUMNS
    assert {values.size for values in AT.values()} == {ROWS["source_id"].size}
    given = np.isfinite(AT["predicted_s"])
    assert (given == (AT["reason"] == "")).all() and given.sum() > 500
    assert (AT["low_s"][given] <= AT["predicted_s"][given]).all()
    assert (AT["high_s"][given] >= AT["predicted_s"][given]).all()
    assert set(AT["bound"][given].tolist()) <= {"latency", "link", "port"}
    assert set(AT["unit"][given].tolist()) == {"s", "B/s"}


def test_reasons_by_hand():
    reasons = dict(zip(*np.unique(AT["reason"], return_counts=True), strict=True))
    del reasons[""]
    # 12 rows of DeepEP's normal kernels; 6 slide rows of a network without a machine
    assert sorted(reasons.values()) == [6, 12]


def test_rows_in_any_order_and_alone_are_the_same():
    picked = np.flatnonzero(AT["reason"] == "")[::37][::-1]
    again = collectives.predict(corpus.where(ROWS, picked))
    np.testing.assert_allclose(again["predicted_s"], AT["predicted_s"][picked], rtol=1e-12)


def test_a_peak_without_a_size_is_taken_at_8_gib():
    (i,) = np.flatnonzero((ROWS["source_id"] == "nv_gtc24") & (ROWS["network"] == "NVLink3"))
    # 1.75 x 8.59 GB at 232 GB/s = 64.8 ms
    assert AT["measured_s"][i] == pytest.approx(64.8e-3, rel=1e-3)
    assert (AT["unit"][i], AT["assumed"][i]) == ("B/s", "a peak, at 8 GiB")


@pytest.mark.parametrize(
    ("chip", "network", "gbytes_per_s"),
    [
        ("H100 SXM5", "NVLink4 + 8x400Gb", 50),
        ("A100 SXM 80GB", "8x200Gb", 25),
        ("H200 SXM", "EFA v3 3.2 Tb/s per node", 50),
        ("A100 SXM 40GB", "EFA 4x100 Gb/s", 6.25),
        ("H800 SXM", "400Gb/s IB CX7 per GPU + NVLink", 50),
        ("H100 SXM5", "8 x NDR InfiniBand", 50),
        ("GB200 (per GPU)", "4x400Gb", 50),
        ("H100 SXM5", "1600 Gbps per node", 25),
    ],
)
def test_ports_are_read_from_the_text(chip, network, gbytes_per_s):
    assert collectives._port_bytes_per_s(chip, network) == pytest.approx(gbytes_per_s * 1e9)


def test_a_text_without_ports_leaves_them_open():
    assert collectives._port_bytes_per_s("H100 SXM5", "NVLink4 NVSwitch") is None


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"message_bytes": 0.0}, "a message of 0 bytes"),
        ({"n_gpus": 0.0}, "0 ranks"),
        ({"collective": "all_reduced"}, "nearest: all_reduce"),
        ({"n_gpus": 16.0}, "16 ranks in one"),
        ({"chip_name": "MI300A"}, "links of MI300A"),
        ({"chip_name": ""}, "the chip, and so"),
        ({"n_nodes": 2.0, "chip_name": "RTX 4090"}, "the ports are not known"),
        ({"n_gpus": 64.0, "n_nodes": 2.0}, "32 ranks a node"),
    ],
)
def test_a_row_that_can_not_be_expressed_says_why(cells, reason):
    first = np.flatnonzero(ROWS["source_id"] == "azure_guide")[:2]
    rows = {name: values.copy() for name, values in corpus.where(ROWS, first).items()}
    for name, value in cells.items():
        rows[name] = rows[name].astype(object)
        rows[name][1] = value
        rows[name] = rows[name].astype(str if isinstance(value, str) else float)
    at = collectives.predict(rows)
    assert at["reason"][0] == "" and at["predicted_s"][0] > 0
    assert reason in at["reason"][1] and np.isnan(at["predicted_s"][1])


# ---- the fit


def test_the_fit_sees_only_sources_of_role_fit():
    used = collectives._to_fit(ROWS)
    assert used.sum() > 100 and set(ROWS["role"][used].tolist()) == {"fit"}


def test_the_numbers_lie_where_sources_print_them():
    best = fitted()
    # Rings reach 232 of 300 GB/s on A100, 366 of 450 on H200, 682 of 900 on B200: 0.76 to 0.81; as a
    # segment's wait is counted apart, the wire itself may do a little better.
    assert 0.75 < best.link < 0.85
    # 365 GB/s of bus bandwidth on four nodes of 400 GB/s leaves 0.91 to 1.
    assert 365 / 400 < best.port <= 1
    # Short messages take 25 to 45 us in every sweep of role fit.
    assert 25e-6 < best.call_s < 45e-6
    assert best.segment_nvlink5_s < best.segment_s < 50e-6
    # The tuner's steps are within a factor of two of what any generation shows.
    assert all(0.5 < getattr(best, name) < 2 for name in collectives.LATENCIES)
    for _, low, high in best.spread:
        assert 0.4 < low < 1 < high < 2.5


def test_the_data_file_is_what_the_fit_finds_without_the_held_out_half():
    rows = corpus.where(ROWS, collectives._to_fit(ROWS))
    found, asked = collectives._ways_of_rows(rows)
    seen = rows["source_id"]
    again = collectives._search(found, asked, collectives._weights(seen, seen != ""))
    for name in collectives.FITTED:
        assert getattr(fitted(), name) == pytest.approx(getattr(again, name), rel=1e-3)


def test_the_quick_form_of_the_fit_is_the_model():
    mine = np.flatnonzero(collectives._to_fit(ROWS))
    found, asked = collectives._ways_of_rows(corpus.where(ROWS, mine))
    quick = collectives._seconds(found, asked, fitted())
    np.testing.assert_allclose(quick, AT["predicted_s"][mine], rtol=1e-12)


# ---- errors


def test_intervals_hold_what_they_promise():
    assert 0.75 < coverage(HELD_OUT & INSIDE & ALL_REDUCE) < 0.93 and coverage(HELD_OUT & ~INSIDE) > 0.75


def test_errors_are_by_source_and_name_the_worst():
    found = collectives.errors(ROWS, AT)
    assert sum(row["rows"] for row in found) == COUNTED.sum()
    roles = [row["role"] for row in found]
    assert roles == sorted(roles) and set(roles) == {"fit", "held-out"}
    for row in found:
        assert ROWS["source_id"][row["worst"]] == row["source"]
        assert row["worst_ratio"] == AT["ratio"][row["worst"]]
