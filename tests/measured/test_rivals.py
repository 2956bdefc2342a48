"""Rivals: their errors by hand on a made-up case, and the same rows as the model."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import rivals, scores

# role, source, group, is it a rate, datasheet's predicted over measured, the model's
ROWS = [
    ("fit", "a", "x", False, 0.50, 1.00),
    ("fit", "a", "x", False, 0.50, 1.00),
    ("fit", "b", "x", True, 2.50, 1.00),
    ("held-out", "c", "x", False, 0.25, 0.90),
    ("held-out", "c", "x", False, 0.50, 1.10),
    ("held-out", "d", "x", True, 3.00, 1.30),
    ("held-out", "d", "y", True, 4.00, 1.00),
]


def made_up(rows):
    columns = dict(zip(("role", "source", "group", "rate", "datasheet", "model"), zip(*rows, strict=True), strict=True))
    return {name: np.array(values) for name, values in columns.items()}


def test_errors_by_hand():
    x, _ = rivals.compared(made_up(ROWS))
    assert (x["group"], x["sources"], x["rows"]) == ("x", 2, 3)
    assert x["datasheet"] == pytest.approx(((0.75 + 0.5) / 2 + 2.0) / 2)  # sources c and d
    # twice as long is right for a, and 2.5 / 2 for b: (0 + 0.25) / 2; 2.5 times: (0.25 + 0) / 2, and the first is kept
    assert x["times"] == 2 and x["one number"] == pytest.approx(((0.5 + 0.0) / 2 + 0.5) / 2)
    assert x["model"] == pytest.approx((0.1 + 0.3) / 2)


def test_a_group_without_fitted_rows_has_no_number_of_its_own():
    _, y = rivals.compared(made_up(ROWS))
    assert np.isnan(y["one number"]) and np.isnan(y["times"]) and y["datasheet"] == 3.0


def test_fitted_rows_alone_enter_the_number():
    held = [(*row[:4], 7 * row[4], row[5]) if row[0] == "held-out" else row for row in ROWS]
    before, after = (rivals.compared(made_up(rows))[0] for rows in (ROWS, held))
    assert before["times"] == after["times"] and before["one number"] != after["one number"]


def test_a_longer_time_is_a_lower_rate():
    assert rivals.scaled(np.array([0.5, 2.0]), 2.0, np.array([False, True])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", rivals.KINDS)
def test_rivals_are_scored_on_the_rows_of_the_model(kind):
    lines = {r["group"]: r for r in scores.summary(scores.score(kind)) if r["role"] == "held-out"}
    found = {line["group"]: line for line in rivals.rivals(kind)}
    assert lines.keys() == found.keys()
    for group, line in found.items():
        assert (line["sources"], line["rows"]) == (lines[group]["sources"], lines[group]["rows"]), group
        assert line["model"] == pytest.approx(lines[group]["error"])
    assert 1 <= len(rivals.rivals_table(kind)) <= 5


def test_the_peak_of_a_step_by_hand():
    # Korthikanti's 175 billion: 96 layers of 12 x 12,288^2 and a head of 51,200 x 12,288, 64 x 2,048 tokens on 64 A100
    found, rows = scores.table("training"), corpus.table("training")
    mine = (rows["model"] == "GPT-175B") & (rows["n_chips"] == 64)
    params = 96 * 12 * 12288**2 + 51200 * 12288
    attention = 96 * 12288 * 2048  # the causal half, in parameters' worth of six operations
    assert found["peak_s"][mine] == pytest.approx(6 * (params + attention) * 2048 / 312e12, rel=0.01)


def test_the_floor_of_a_decode_step_by_hand():
    rows = corpus.table("inference")
    mine = (rows["model"] == "Llama-3-8B") & (rows["chip_name"] == "RTX 3070") & (rows["phase"] == "decode")
    first = corpus.where(rows, np.flatnonzero(mine)[:1])
    # 32 layers of 218.1e6 and a head of 525.3e6; Q4_K_M stores 4.85 bits or so; 448 GB/s
    assert rivals.inference_bound_s(first) == pytest.approx(7.505e9 * 4.85 / 8 / 448e9, rel=0.05)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="training"):
        rivals.rivals("trainin")
