"""Named workloads: rows say where they are from, and every spelling means one of them."""

import doctest

import pytest

from bottlenecks import data
from bottlenecks.facts import workloads

ROWS = data.rows("workloads")


def test_examples_of_the_docstrings():
    assert doctest.testmod(workloads).failed == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_rows_have_lengths_sources_and_a_confidence(row):
    assert float(row["input_tokens"]) > 0 and float(row["output_tokens"]) > 0
    assert data.keys(row["sources"]) and set(data.keys(row["sources"])) <= set(data.references())
    assert row["confidence"] in ("read", "secondary")
    assert row["notes"]


def test_a_spelling_means_one_workload():
    said = [(workloads._fold(each), r["name"]) for r in ROWS for each in (r["name"], *data.keys(r["aliases"]))]
    assert len({spelling for spelling, _ in said}) == len({pair for pair in said})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mlperf-llama2-70b", "mlperf-llama2-70b"),
        ("MLPerf Inference llama2-70b-99.9", "mlperf-llama2-70b"),
        ("open orca", "mlperf-llama2-70b"),
        ("CNN/DailyMail", "mlperf-llama3.1-8b"),
        ("MLPerf DeepSeek-R1", "mlperf-deepseek-r1"),
        ("Share-GPT", "sharegpt"),
        ("Azure conversation trace", "azure-conversation"),
    ],
)
def test_spelling_is_forgiven(text, name):
    assert workloads.find_workload(text)["name"] == name


@pytest.mark.parametrize("text", ["", "llama2-70b", "deepseek-r1", "mine"])
def test_what_names_no_workload_finds_none(text):
    """A model alone is none: people serve it all kinds of requests."""
    assert workloads.find_workload(text) is None


def test_lengths_as_printed():
    """MLCommons' references print 684.68 and 144.84 tokens of an answer; vLLM's run 229,711 in, 203,068 out, of 1,000."""
    assert workloads.lengths("MLPerf Llama 3.1 405B") == (9400, 684.68)
    assert workloads.lengths("MLPerf Mixtral 8x7B")[1] == 144.84
    assert workloads.lengths("ShareGPT") == pytest.approx((229711 / 1000, 203068 / 1000), abs=0.05)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ValueError, match=r"workload .*sharegtp.*sharegpt"):
        workloads.lengths("sharegtp")


def test_the_corpus_names_workloads_of_the_table():
    rows = [row for row in data.rows("inference_measured") if row["workload"]]
    assert {row["workload"] for row in rows} <= {row["name"] for row in ROWS}
    assert all("" in (row["input_len"], row["output_len"]) for row in rows), "where the row prints none"
