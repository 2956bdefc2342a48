"""Real runs: their rows sum to the step, shares to one, and counts are done by hand."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.laws import shares
from bottlenecks.measured import practice, scores
from bottlenecks.measured import training as measured_training
from bottlenecks.models import training
from bottlenecks.models.machine import RESOURCES
from bottlenecks.studies import runs

# ---- one run


@pytest.mark.parametrize("words", runs.NAMED)
def test_a_named_run_is_what_its_words_say(words):
    row = runs.named(words)
    assert row["model"].size == 1
    for name, cell in runs.NAMED[words].items():
        assert str(row[name][0]).startswith(str(cell)), name
    assert row["suspect"][0] == "" and row["duplicate_of"][0] < 0


def test_an_unknown_run_names_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'BLOOM-176B, A100 \(2022\)'"):
        runs.named("BLOOM-176B, A100 (2021)")


@pytest.mark.parametrize("words", runs.NAMED)
def test_the_rows_of_a_run_sum_to_its_step(words):
    found = runs.waterfall(words)
    assert sum(found["rows"].values()) == pytest.approx(found["seconds"], rel=1e-9)
    assert set(found["rows"]) <= set(runs.OWNER_OF)
    joined = runs.joined(found["rows"])
    assert sum(joined.values()) == pytest.approx(found["seconds"], rel=1e-9)
    assert found["low_s"] < found["seconds"] < found["high_s"]


@pytest.mark.parametrize("words", runs.NAMED)
def test_utilisations_of_a_run(words):
    found = runs.waterfall(words)
    assert 0 < found["mfu"] <= found["full"] <= found["hfu"] * (1 + 1e-9) < 1
    slower = found["measured_s"] / found["seconds"]
    for name in runs.USED:
        assert found[f"measured_{name}"] == pytest.approx(found[name] / slower)


def test_every_row_of_a_step_has_an_owner():
    assert set(training.ROWS) == set(runs.OWNER_OF)
    assert set(runs.OWNER_OF.values()) <= {*runs.OWNERS, "idle"}


def test_a_measured_step_is_what_its_printed_rate_comes_to():
    # llama3_t4 prints 400 TFLOP/s a chip on 16,384 chips, of 6 for each weight and token and attention
    found = runs.waterfall("Llama-3.1-405B, H100 (2024)")
    assert found["tokens"] == 2048 * 8192 and found["chips"] == 16384
    whole = found["measured_s"] * 400e12 * 16384 / found["tokens"]
    assert whole == pytest.approx(6 * 405.9e9 + 12 * 126 * 16384 * 8192, rel=0.02)


def test_small_rows_are_joined():
    rows = {"a": 90.0, "b": 0.3, "c": 9.0, "d": 0.2, "e": 0.5}
    assert runs.joined(rows, least=0.005) == pytest.approx({"a": 90.0, "c": 9.0, "e": 0.5, "rest": 0.5})


# ---- many runs


def test_the_largest_run_of_each_model_of_a_source():
    nan = np.nan
    columns = {
        "source_id": np.array(["s", "s", "s", "s", "t", "t"]),
        "model": np.array(["a", "a", "a", "b", "a", "a"]),
        "n_chips": np.array([8.0, 64.0, 64.0, 1.0, nan, 2.0]),
        "flop_per_s_per_chip": np.array([9.0, 3.0, 4.0, nan, nan, nan]),
        "tokens_per_s_per_chip": np.full(6, nan),
        "mfu": np.full(6, nan),
        "hfu": np.full(6, nan),
    }
    assert runs.largest(columns).tolist() == [False, False, True, True, False, True]


@pytest.fixture(scope="module")
def run():
    return runs.shares_of_runs()


def test_shares_of_runs_sum_to_one(run):
    off = np.abs(sum(run[name] for name in runs.OWNERS) - 1)
    assert np.quantile(off, 0.95) < 1e-6 and off.max() < 1e-3  # beside a tie slopes are mixtures
    assert len({values.size for values in run.values()}) == 1 and run["chips"].size > 100
    pairs = list(zip(run["source"].tolist(), run["model"].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


def test_shares_at_once_are_the_shares():
    rows = corpus.table("training")
    rows = corpus.where(rows, rows["source_id"] == "megatron2021_t1")
    for case in measured_training.cases(rows).found[:3]:
        expected = shares.shares(
            lambda on, case=case: training.seconds(case.model, case.layout, on=on, software=case.software),
            case.on,
            RESOURCES,
        )
        found = scores.shares_of(case)
        expected["memory"] = expected["memory"] + expected.pop("cache")
        for owner, share in expected.items():
            np.testing.assert_allclose(found[owner], share, atol=1e-9)


def test_groups_are_what_they_say(run):
    several = runs.GROUPS["more than one machine, since 2023"](run)
    assert run["chips"][several].min() > 8 and run["year"][several].min() >= 2023
    assert run["params"][runs.GROUPS["a trillion parameters, since 2023"](run)].min() > 0.99e12
    small, all_of_them = runs.GROUPS["8 chips or fewer"](run), runs.GROUPS["all"](run)
    assert run["chips"][small].max() <= 8 and all_of_them.all()


def test_who_dominates_counted_by_hand():
    found = {
        "source": np.array(["s", "s", "s", "t"]),
        "largest": np.array(["compute", "compute", "network", "compute"]),
        "compute": np.array([0.6, 0.4, 0.2, 0.9]),
        "memory": np.array([0.2, 0.3, 0.1, 0.1]),
        "network": np.array([0.1, 0.2, 0.7, 0.0]),
        "latency": np.array([0.1, 0.1, 0.0, 0.0]),
    }
    assert runs.dominated(found, np.ones(4, dtype=bool)) == pytest.approx(
        {
            "rows": 4,
            "rows above": 3,
            "compute": 2,
            "memory": 0,
            "network": 1,
            "latency": 0,
            "sources": 2,
            "sources above": 2,
            "median compute": 0.5,
            "median memory": 0.15,
            "median network": 0.15,
            "median latency": 0.05,
        }
    )
    two = runs.dominated(found, np.array([True, True, False, False]))  # one of two is not most
    assert (two["rows above"], two["sources"], two["sources above"]) == (1, 1, 0)


def test_the_table_of_who_dominates(run):
    lines = {line["runs"]: line for line in runs.dominated_table(run)}
    both = lines["more than one machine, since 2023"]
    parts = [lines["of these, dense"], lines["of these, mixtures"]]
    assert both["rows"] == sum(part["rows"] for part in parts)
    for line in lines.values():
        assert line["one share above a half"] == sum(line[name] for name in runs.OWNERS)


def test_years():
    assert runs.years(np.array(["megatron2021_t1", "llama3_t4"])).tolist() == [2021, 2024]


# ---- scores


def test_errors_are_those_of_the_scores():
    lines, found = scores.score("training"), runs.scored()
    assert found["error"].size == sum(line["scored"] for line in lines)
    for line in lines:
        mine = (found["source"] == line["source"]) & (found["role"] == line["role"])
        mine &= found["mixture"] == (line["group"] == "mixtures")
        if line["scored"]:
            assert np.abs(found["error"][mine]).mean() == pytest.approx(line["error"]), line["source"]


def test_seconds_of_a_rate_and_of_a_time_by_hand():
    """A well-tuned 10 s that runs take 12 for: a step of 15 s, and 100 tokens a second where 120 were to be had."""
    found = {
        "seconds": np.array([10.0, 10.0]),
        "unit": np.array(["s", "tokens/s/chip"]),
        "reference": np.array([10.0, 144.0]),
        "predicted": np.array([12.0, 120.0]),
        "measured": np.array([15.0, 100.0]),
        "ratio": np.array([0.8, 1.2]),
    }
    columns = scores.in_seconds(found)
    assert columns["predicted_s"].tolist() == pytest.approx([12, 12])
    assert columns["measured_s"].tolist() == pytest.approx([15, 14.4])
    assert columns["error"].tolist() == pytest.approx(np.log([12 / 15, 12 / 14.4]).tolist())


def test_the_interval_of_a_run_is_practice_s():
    """BLOOM's own team trained it: the factors of its class, on what the row leaves open; the middle lies between."""
    found, cases = (
        runs.waterfall("BLOOM-176B, A100 (2022)"),
        measured_training.cases(runs.named("BLOOM-176B, A100 (2022)")),
    )
    kept = practice.kept("training")
    (level,) = measured_training.classes(cases)["program"].tolist()
    effects = [kept.effects["", ""], kept.effects["program", level]]
    middle = effects[0].times * effects[1].times
    deviation = np.sqrt(sum(e.deviation**2 for e in effects) + kept.spreads[level] ** 2 + cases.found[0].open[0] ** 2)
    for name, end in zip(("low_s", "high_s"), kept.ends, strict=True):
        assert found[name] == pytest.approx(found["seconds"] * middle * np.exp(end * deviation))


def test_the_table_of_groups():
    line = {"role": "fit", "source": "s", "group": "dense", "scored": 3, "error": 0.04}
    lines = runs.groups_of(
        [
            line,
            line | {"source": "t", "error": 0.08, "scored": 1},
            line | {"role": "held-out", "group": "mixtures", "error": 0.3},
        ]
    )
    assert lines == [
        {"sources": "fit", "models": "dense", "how many": 2, "rows": 4, "mean error": "6%", "worst source": "t, 8%"},
        {
            "sources": "held-out",
            "models": "mixtures",
            "how many": 1,
            "rows": 3,
            "mean error": "30%",
            "worst source": "s, 30%",
        },
    ]
