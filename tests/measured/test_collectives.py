"""Measured collectives against the model: rows in order, no peeking, and what the fit finds."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import collectives
from bottlenecks.measured.fits import collectives as fits
from bottlenecks.models.collectives import fitted

ROWS = corpus.table("collectives")
CASES = collectives.cases(ROWS)
AT = collectives.predict(CASES)


def test_every_row_comes_out_with_a_prediction_or_a_reason():
    assert {values.size for values in AT.values()} == {ROWS["source_id"].size}
    given = np.isfinite(AT["seconds"])
    assert (given == (AT["reason"] == "")).all() and given.sum() > 500
    assert (AT["seconds"][given] > 0).all() and (AT["open"] == 0).all()  # a name that tells no board is the usual one
    assert set(AT["held_up"][given].tolist()) <= {"latency", "link", "port"}
    assert set(CASES.asked["unit"][given].tolist()) == {"s", "B/s"}


def test_reasons_by_hand():
    """DeepEP's normal kernels count bytes of their own; slides and issues show a network without a machine."""
    counted = AT["reason"] == "a bandwidth by the page's own count of bytes, without a message"
    assert (counted == (ROWS["own_count"] == 1)).all() and counted.sum() >= 12
    unknown = AT["reason"] == "the chip, and so its links, is not known"
    assert (ROWS["chip"][unknown] == "").all() and unknown.sum() >= 6
    assert (counted | unknown | (AT["reason"] == "")).all()


def test_rows_in_any_order_and_alone_are_the_same():
    picked = np.flatnonzero(AT["reason"] == "")[::37][::-1]
    again = collectives.predict(collectives.cases(corpus.where(ROWS, picked)))
    np.testing.assert_allclose(again["seconds"], AT["seconds"][picked], rtol=1e-12)


def test_a_peak_without_a_size_is_taken_at_8_gib():
    (i,) = np.flatnonzero((ROWS["source_id"] == "nv_gtc24") & (ROWS["network"] == "NVLink3"))
    # 1.75 x 8.59 GB at 232 GB/s = 64.8 ms
    assert CASES.asked["measured_s"][i] == pytest.approx(64.8e-3, rel=1e-3)
    assert CASES.asked["unit"][i] == "B/s" and AT["assumed"][i].startswith("a peak, at 8 GiB; ")


def asked_of(**cells):
    """What the model is asked for one row with these cells; the others are blank."""
    row = {name: np.array([np.nan if values.dtype.kind == "f" else ""]) for name, values in ROWS.items()}
    row |= {"collective": np.array(["all_reduce"]), "chip_name": np.array(["H100 SXM5"]), "n_gpus": np.array([32.0])}
    row |= {"n_nodes": np.array([4.0]), "message_bytes": np.array([2.0**30])}
    row |= {name: np.array([value]) for name, value in cells.items()}
    found = collectives.cases(row)
    return {name: values[0] for name, values in found.asked.items()}, found.reasons[0]


def test_each_column_reaches_the_model():
    plain, reason = asked_of()
    assert reason == "" and plain["ways"] is None and plain["launch"] == "library" and plain["per_domain"] == 8
    assert [tier.name for tier in plain["tiers"]] == ["domain", "ports"] and plain["sums_in"] == 1
    assert asked_of(port_bytes_per_s=25e9)[0]["tiers"][-1].bytes_per_s == 25e9
    assert [tier.name for tier in asked_of(rdma_only=1.0, port_bytes_per_s=50e9)[0]["tiers"]] == ["ports"]
    assert np.isnan(asked_of(one_domain=1.0)[0]["per_domain"])
    assert asked_of(algorithms="Ring;Tree")[0]["ways"] == ("Ring", "Tree")
    assert asked_of(launch="queued")[0]["launch"] == "queued"
    summed = asked_of(in_network="ports")[0]
    assert summed["sums_in"] == 2 and summed["tiers"][-1].in_network_reduction
    assert asked_of(chip_name="", n_nodes=1.0, n_gpus=8.0, pcie_generation=5.0)[0]["tiers"][0].link == "PCIe 5.0 x16"
    assert "own count of bytes" in asked_of(own_count=1.0)[1]
    assert "did you mean 'Ring'" in asked_of(algorithms="Rings")[1]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"message_bytes": 0.0}, "message_bytes must be from 1 to 1e+18, got 0; the nearest is 1"),
        ({"n_gpus": 0.0}, "n_gpus must be whole and from 1 to 10,000,000, got 0; the nearest is 1"),
        ({"collective": "all_reduced"}, "did you mean 'all_reduce'?"),
        ({"collective": "reduce"}, "is not modelled; There are: all_reduce, reduce_scatter, all_gather, broadcast"),
        ({"n_gpus": 16.0}, "16 ranks in one"),
        ({"chip_name": "MI300A"}, "links of MI300A"),
        ({"chip_name": "", "chip": ""}, "the chip, and so"),
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
    at = collectives.predict(collectives.cases(rows))
    assert at["reason"][0] == "" and at["seconds"][0] > 0
    assert reason in at["reason"][1] and np.isnan(at["seconds"][1])


# ---- the fit


def test_the_fit_sees_only_sources_of_role_fit():
    used = fits._to_fit(ROWS)
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
    assert all(0.5 < getattr(best, name) < 2 for name in fits.LATENCIES)


def test_the_data_file_is_what_the_fit_finds_without_the_held_out_half():
    rows = corpus.where(ROWS, fits._to_fit(ROWS))
    found, asked = fits._ways_of_rows(collectives.cases(rows))
    seen = rows["source_id"]
    again = fits._search(found, asked, fits._weights(seen, seen != ""))
    for name in fits.FITTED:
        assert getattr(fitted(), name) == pytest.approx(getattr(again, name), rel=1e-3)


def test_the_quick_form_of_the_fit_is_the_model():
    mine = np.flatnonzero(fits._to_fit(ROWS))
    found, asked = fits._ways_of_rows(collectives.cases(corpus.where(ROWS, mine)))
    quick = fits._seconds(found, asked, fitted())
    np.testing.assert_allclose(quick, AT["seconds"][mine], rtol=1e-12)


# ---- between machines


def test_ports_and_fabric_are_read_from_the_words_for_the_links():
    """8 ports of 400 Gbit/s to 8 chips are 50 GB/s each, 3,200 Gbit/s of a machine as much; half of that with 16 chips."""
    two = {"n_gpus": 16.0, "n_nodes": 2.0, "port_bytes_per_s": np.nan}
    for words, rate, latency_s in (
        ("8x400Gb InfiniBand per node", 50e9, None),
        ("200 Gb/s HDR per GPU", 25e9, None),
        ("EFA 3200 Gb/s per node", 50e9, 8e-6),
        ("GPUDirect-TCPX 8x200Gb", 0.45 * 25e9, 100e-6),  # processors copy: 89 of 200 GB/s
    ):
        asked, reason = asked_of(**two, network=words)
        assert reason == "" and asked["tiers"][-1].bytes_per_s == pytest.approx(rate), words
        assert asked["tiers"][-1].latency_s == latency_s, words
    four = asked_of(**two | {"n_gpus": 8.0}, network="EFA 400 Gb/s per node")[0]
    assert four["tiers"][-1].bytes_per_s == pytest.approx(12.5e9)
    stated = asked_of(**two | {"port_bytes_per_s": 25e9}, network="8x400Gb InfiniBand per node")[0]
    assert stated["tiers"][-1].bytes_per_s == 25e9  # a column of its own wins
    inside = asked_of(n_gpus=8.0, n_nodes=1.0, network="NVLink4, 8x400Gb InfiniBand")[0]
    assert [tier.name for tier in inside["tiers"]] == ["domain"]


def test_a_port_in_words_is_named_as_assumed():
    asked, _ = asked_of(n_gpus=16.0, n_nodes=2.0, network="8x400Gb InfiniBand per node")
    assert "a port of 400 Gbit/s a chip" in asked["assumed"]


def predicted_s(**cells):
    """Seconds of one row with these cells."""
    row = {name: np.array([np.nan if values.dtype.kind == "f" else ""]) for name, values in ROWS.items()}
    row |= {name: np.array([value]) for name, value in ({"collective": "all_reduce"} | cells).items()}
    return collectives.predict(collectives.cases(row))["seconds"][0]


def test_fabrics_of_clouds_are_slower_than_infiniband():
    """EFA in its steps, so short messages; TCP in its bytes too.

    Between two machines 4.29 GB cross at least once, over 8 ports of 0.45 of 50 GB/s: 23.9 ms.
    """
    asked = {"chip_name": "H100 SXM5", "n_gpus": 16.0, "n_nodes": 2.0, "port_bytes_per_s": 50e9, "launch": "queued"}
    short, long = (
        [predicted_s(**asked, message_bytes=size, fabric=name) for name in ("", "InfiniBand", "RoCE", "EFA", "TCP")]
        for size in (2.0**14, 2.0**32)
    )
    for times in (short, long):
        assert times[0] == times[1] == times[2]  # nothing said is InfiniBand
    assert short[1] < short[3] < short[4]
    assert long[1] <= long[3] < 1.1 * long[1] and long[1] < 23.9e-3 < long[4]
