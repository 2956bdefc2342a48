"""The running example: one layout behind every number of it, and why other steps are called best."""

import pytest

from bottlenecks.models import footprint
from bottlenecks.studies import running, runs, splitting


def test_one_layout_fits_takes_its_time_and_is_the_published_one():
    found = running.example()
    x = found.layout
    # Llama 3, table 4: 16,384 chips, tensor 8, pipeline 16, data 128; 2,048 sequences of 8,192 tokens
    assert (x.tp, x.pp, x.cp, x.dp, x.micro_batch * x.micro_batches) == (8, 16, 1, 128, 16)
    assert found.job == {"chips": 16384, "batch": 2048, "seq_len": 8192, "software": "2024"}
    assert x.zero == 3 and x.gathers_once and x.recompute == "none"
    assert found.step.fits and footprint.total_bytes(found.step.memory) < found.on.memory_bytes
    waterfall = runs.waterfall(running.RUN)
    assert float(found.step.seconds) == pytest.approx(waterfall["seconds"], rel=1e-12)
    assert "does not fit" not in waterfall["assumed"]


def test_the_fit_figures_mix_is_the_published_layout():
    found = running.example()
    names, ways = splitting.ways(found.model, chips=16384, batch=2048, seq_len=8192, mix=16)
    kept = footprint.total_bytes(footprint.training_rows(found.model, ways))[names.index("mix, interleaved")]
    assert kept == pytest.approx(footprint.total_bytes(found.step.memory))


def test_price_table_sends_six_bytes_a_parameter():
    found = running.example()
    held = footprint.stage_params(found.model, found.layout, 0)
    rows = splitting.sent_bytes(found.model, found.layout)
    assert rows["data"] == pytest.approx(6 * sum(held.values()) * 127 / 128)


def test_more_choice_is_never_slower():
    rows = {row["by"]: row for row in running.best_steps()}
    step = {by: row["step_s"] for by, row in rows.items()}
    assert rows["published"]["differs"] == "" and rows["published"]["over_published"] == 1
    assert step["map, fastest"] <= step["map, the published pair"] <= step["published"] * (1 + 1e-12)
    assert step["search, 2024"] <= step["map, fastest"] and step["search, 2024"] <= step["scaling"] * (1 + 1e-12)
    assert all(row["memory_bytes"] <= running.example().on.memory_bytes for row in rows.values())
