"""The tools that ask other tools: their own logic, without any of these. `make benchmark PEERS=1` asks them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from bottlenecks import data

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


adapters, rows = loaded("peer_adapters"), loaded("peer_rows")


def test_adapters_import_nothing_of_ours():
    assert "bottlenecks" not in (TOOLS / "peer_adapters.py").read_text(encoding="utf-8").replace("`bottlenecks", "")


def test_first_middle_and_last_of_each_source_and_model():
    places = np.arange(10, 18)
    sources = np.array(["-"] * 10 + ["a"] * 6 + ["b"] * 2)
    models = np.array(["-"] * 10 + ["x"] * 5 + ["y"] + ["x"] * 2)
    # a, x: 10, 12, 14; a, y: 15 alone; b, x: 16 and 17
    assert rows.thinned(places, sources, models).tolist() == [10, 12, 14, 15, 16, 17]


def test_too_many_are_thinned_by_source(monkeypatch):
    monkeypatch.setattr(rows, "MOST", 4)
    places, sources = np.arange(8), np.array(["a"] * 5 + ["b"] * 3)
    assert rows.thinned(places, sources, np.arange(8).astype(str)).tolist() == [0, 2, 4, 5, 6, 7]


def test_errors_by_hand():
    # a: |ln| 0.1 and 0.3, mean 0.2; b: 0.6. Mean over sources 0.4; the median row is that of 0.3
    error, median = rows.errors(np.array([0.1, -0.3, 0.6]), np.array(["a", "a", "b"]))
    assert error == pytest.approx(0.4) and median == pytest.approx(0.3)
    assert np.isnan(rows.errors(np.array([]), np.array([]))).all()


def test_a_tool_that_can_not_say_is_told_why():
    adapters.PEERS["made up"] = lambda: {"training": lambda q: {"A100": 2.0}[q["chip"]] if q["chip"] != "?" else None}
    adapters.ENGINES["vLLM"]
    assert adapters.answer("made up", {"kind": "training", "chip": "A100"})["seconds"] == 2.0
    assert adapters.answer("made up", {"kind": "training", "chip": "T4"}) == {"problem": "T4"}
    assert adapters.answer("made up", {"kind": "inference"}) == {"problem": "no model of inference"}
    with pytest.raises(KeyError, match="no engine 'eager'"):
        adapters.ENGINES["eager"]
    del adapters.PEERS["made up"]


def test_answers_a_second_are_those_of_the_median_answer():
    found = [{"seconds": 1.0, "took_s": s} for s in (0.1, 0.2, 9.0)] + [{"problem": "none"}]
    assert adapters.typical_per_s(found) == pytest.approx(5.0)
    assert adapters.typical_per_s([{"problem": "none"}]) == 0.0


@pytest.mark.parametrize(
    "row, found",
    [
        ({"n_chips": 8}, [(1, 1, 1, 1, 1), (2, 1, 1, 2, 1), (4, 1, 1, 4, 1), (8, 1, 1, 8, 1)]),  # left open
        ({"n_chips": 8, "asks": "step"}, [(8, 1, 1, 8, 1)]),  # one copy, tuned for latency
        ({"n_chips": 8, "tp": 2, "pp": 2}, [(2, 2, 1, 2, 1)]),
        ({"n_chips": 8, "tp": 8, "ep": 8, "experts": 64}, [(8, 1, 1, 1, 8)]),  # experts over the same chips
        ({"n_chips": 8, "ep": 8, "experts": 64}, [(1, 1, 8, 1, 8)]),  # attention data parallel
        ({"n_chips": 8, "tp": 2, "ep": 4, "experts": 64}, [(2, 1, 4, 2, 4)]),
    ],
)
def test_cuts_that_a_row_may_mean(row, found):
    asked = {"asks": "saturated", "tp": None, "pp": None, "ep": None, "experts": None, "heads": 32} | row
    assert list(adapters.cuts(asked)) == found


def test_a_question_has_what_adapters_ask_for():
    asked = rows.asked("training")
    assert len(asked.questions) == asked.places.size <= rows.MOST and None not in asked.questions
    q = asked.questions[0]
    assert {"chip", "format", "recompute", *rows.LAYOUT, *rows.SHAPE} <= q.keys()
    assert q["recompute"] in ("none", "selective", "products", "full")


def test_lines_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    monkeypatch.setattr(data, "rows", data.rows.__wrapped__ if hasattr(data.rows, "__wrapped__") else data.rows)
    made = dict.fromkeys(rows.COLUMNS, 0.123456) | {"kind": "training"}
    rows.write([made | {"peer": "a"}, made | {"peer": "b"}])
    rows.write([made | {"peer": "b", "error": 0.5}])
    lines = (tmp_path / "peers.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(rows.COLUMNS) and [line.split(",")[0] for line in lines[1:]] == ["a", "b"]
    assert "0.1235" in lines[1] and "0.5" in lines[2]


def test_the_committed_table_is_whole():
    kept = data.rows("peers")
    assert {found["kind"] for found in kept} == set(rows.KINDS) and set(kept[0]) == set(rows.COLUMNS)
    for found in kept:
        assert 0 < int(found["rows_answered"]) <= int(found["rows_asked"]) <= rows.MOST
        assert all(float(found[name]) > 0 for name in ("error", "median", "our_error", "our_median", "per_s"))
    names = {name.partition("==")[0] for name in adapters.PEERS}
    assert {found["peer"] for found in kept} <= names
    assert "bottlenecks" in sys.modules
