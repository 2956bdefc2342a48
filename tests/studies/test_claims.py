"""Claims: how a verdict is told, and that each can come out otherwise."""

import numpy as np
import pytest

from bottlenecks.studies import attention_verdicts, claims, memory_verdicts, runs
from bottlenecks.studies import step_verdicts as step
from bottlenecks.studies.verdict import Verdict

TOLD = {"claim": "W1-compute-bound", "verdict": "holds", "because": "So it is.", "range": "here.", "numbers": {}}


def shown(**more):
    return Verdict(**TOLD | more)._repr_mimebundle_()


def test_a_verdict_is_a_sentence_a_table_and_a_margin():
    found = shown(rows=({"model": "a", "chips": 8}, {"model": "b", "chips": 16}), margin="two runs.", n=1234)
    question = claims.claims()["W1-compute-bound"]["question"]
    assert found["text/markdown"] == (
        f"*{question}* **What is claimed holds.** (W1-compute-bound)\n\nSo it is.\n\n"
        "| model | chips |\n| --- | --- |\n| a | 8 |\n| b | 16 |\n\nMargin: two runs. n = 1,234. Range: here."
    )
    assert found["text/plain"].splitlines()[1:] == [
        "model a; chips 8",
        "model b; chips 16",
        "Margin: two runs. n = 1,234. Range: here.",
    ]


def test_a_verdict_without_a_table_is_as_it_was():
    assert shown()["text/plain"] == "W1-compute-bound: holds. So it is.\nRange: here."
    with pytest.raises(ValueError, match="claim"):
        claims.verdict("W9-none")


# ---- each can come out either way


def test_the_floor_fails_where_one_step_is_below_it():
    steps = {"format": np.array(["bf16", "int4-g32"]), "source": np.array(["a", "b"]), "floor_s": np.ones(2)}
    held = step.latency_floor(steps | {"measured_s": np.array([1.2, 3.0])})
    assert (held.verdict, held.n, held.numbers["smallest"]) == ("holds", 2, 1.2)
    assert [row["median"] for row in held.rows] == ["1.2", "3", "2.1"]
    assert step.latency_floor(steps | {"measured_s": np.array([0.9, 3.0])}).verdict == "fails"


@pytest.mark.parametrize(("eight_s", "word"), [(0.25, "holds"), (0.99, "holds-when"), (2.0, "holds-when")])
def test_bandwidths_add_as_far_as_doublings_gain(eight_s, word):
    ones = {"Llama-2-7B": {2: 2.0, 4: 1.0, 8: 0.5}}
    found = step.aggregate_bandwidth(ones, {"DeepSeek-V3": {2: 1.0, 4: 0.5, 8: eight_s}})
    assert found.verdict == word and found.n == 2
    assert [row["mixture"] for row in found.rows] == ["no", "yes"]
    none = {name: {1: 1.0, 2: 1.0} for name in ("Llama-2-7B", "DeepSeek-V3")}
    assert step.aggregate_bandwidth(none, none).verdict == "fails"


def some_runs(dense, mixtures):
    """Six sources of two runs each of dense models and as many of mixtures, with so much of compute."""
    share = np.repeat([dense, mixtures], 12)
    shares = {"compute": share, "memory": 1 - share, "network": 0 * share, "latency": 0 * share}
    names = np.tile(np.repeat(list("abcdef"), 2), 2)
    kept = {"source": names, "chips": np.full(24, 1024), "year": np.full(24, 2024), "params": np.full(24, 1e11)}
    largest = np.where(share > 0.5, "compute", "memory")
    return kept | shares | {"mixture": np.arange(24) >= 12, "largest": largest}


def test_one_resource_or_several():
    # memory has as much of the rest: only an even step has nobody above a half
    assert step.no_single_resource(some_runs(0.9, 0.9)).verdict == "fails"
    assert step.no_single_resource(some_runs(0.9, 0.5)).verdict == "holds-when"
    assert step.no_single_resource(some_runs(0.5, 0.5)).verdict == "holds"


def test_sources_have_one_vote_each():
    run = some_runs(0.9, 0.5)
    mine = run["mixture"]
    run["compute"] = np.where(mine & (run["source"] == "a"), 0.6, run["compute"])
    found = step.no_single_resource(run).numbers["mixtures, more than one machine"]
    assert found["weighted"] == pytest.approx(1 / 6) and found["rows above"] == 2


def test_shares_of_runs_are_counted_once():
    found = claims.verdict("W3-no-single-resource")
    for each in found.numbers.values():
        assert each["rows above"] == sum(each[owner] for owner in runs.OWNERS)
    assert found.margin and found.n > 100


def lost(held, chosen):
    each = {"held": held, "chosen": chosen, "speed_up": 10.0, "with_links": 20.0, "perfect": 32.0}
    return {("Llama-3-8B", "strong", inside): each for inside in step.WITHOUT}


def test_links_disappoint_by_what_is_lost():
    assert step.disappointing_scaling(lost(0.2, 0.4)).verdict == "holds"
    assert step.disappointing_scaling(lost(0.4, 0.8)).verdict == "holds-when"
    assert step.disappointing_scaling(lost(0.95, 0.97)).verdict == "fails"


def test_a_layout_held_is_no_faster_than_one_chosen_anew():
    found = step.without_links()
    assert all(each["held"] <= each["chosen"] * (1 + 1e-9) for each in found.values())
    assert all(each["chosen"] <= 1 for each in found.values())


def stops(context, data):
    return {
        (n, 128): {"tensor": (16, 128), "pipeline": (126, None), "context": (c, None), "data": (d, None)}
        for n, c, d in zip(step.LENGTHS, context, data, strict=True)
    }


def test_contexts_limit_where_copies_and_context_together_do():
    assert step.context_limits(stops((64, 64, 64), (2048, 128, 16))).verdict == "holds"
    assert step.context_limits(stops((64, 512, 4096), (2048, 128, 16))).verdict == "holds-when"
    assert step.context_limits(stops((64, 512, 4096), (2048, 2048, 2048))).verdict == "fails"


def test_each_cut_ends_where_nothing_is_left_to_deal():
    found = step.where_each_stops()
    for (seq_len, heads), most in found.items():  # heads, 126 layers, blocks of 128 tokens, 2^24 tokens
        assert most["tensor"][0] <= heads and most["pipeline"][0] <= 126
        assert most["context"][0] <= seq_len / 128 and most["data"][0] <= 2**24 / seq_len
    assert {heads for _, heads in found} == set(step.HEADS)
    assert found[1048576, 128]["context"][0] > found[8192, 128]["context"][0]


# ---- attention and memory


def of_runs(operations, kept):
    over = {"operations": operations, "traffic": kept, "memory": kept, "time": 0}
    return {words: (10, over) for words in ("early", "without dropout", "later", "phases")}


@pytest.mark.parametrize(("operations", "kept", "word"), [(6, 6, "holds"), (5, 6, "holds-when"), (0, 5, "fails")])
def test_the_square_was_the_wall_as_far_as_runs_had_passed_it(operations, kept, word):
    found = attention_verdicts.quadratic(of_runs(operations, kept))
    assert found.verdict == word and found.n == 30 and len(found.rows) == 4


@pytest.mark.parametrize(
    ("tokens", "word"), [((0, 4096), "holds"), ((0, 9000), "holds-when"), ((np.inf, np.inf), "fails")]
)
def test_alternatives_pay_within_a_run_s_context(tokens, word):
    pays = {str(i): dict.fromkeys(("operations", "read", "kept"), at) for i, at in enumerate(tokens)}
    tests = {"points": np.array([0.0, -3.0]), "long": np.array([False, True])}
    assert attention_verdicts.alternatives(pays, tests).verdict == word


@pytest.mark.parametrize(
    ("training", "decoding", "word"), [(0.6, 0.9, "holds"), (0.2, 0.9, "holds-when"), (0.2, 0.4, "fails")]
)
def test_memory_bound_is_a_share_of_the_time(training, decoding, word):
    states = {"states": 1.0}
    found = {
        "training": {"time": {"memory": training, "compute": 1 - training}, "capacity": states},
        "one": {"time": {"memory": decoding, "compute": 0.1}, "capacity": {"weights": 1.0, "cache": 0.0}, "read": {}},
        "many": {"time": {"memory": decoding, "compute": 0.1}, "capacity": {"weights": 0.4, "cache": 0.6}, "read": {}},
    }
    assert memory_verdicts.memory_bound(found).verdict == word


@pytest.mark.parametrize(("saved", "times", "word"), [(0.5, 1.3, "holds"), (0.05, 0.9, "fails"), (0.5, 1.4, "fails")])
def test_techniques_that_save_for_nothing(saved, times, word):
    table = [{"name": "one", "before_bytes": 1e9, "saved_bytes": saved * 1e9, "times": times}]
    assert memory_verdicts.techniques({"short": table, "long": table}).verdict == word


@pytest.mark.parametrize(
    ("params", "tokens", "word"), [(1e9, 4e6, "fails"), (1e12, 4e6, "holds-when"), (1e12, 4e3, "holds")]
)
def test_terabytes_and_the_wait_for_them(params, tokens, word):
    found = {
        "name": np.array(["a"]),
        "year": np.array([2020.0]),
        "params": np.array([params]),
        "chips": np.array([1000.0]),
        "state_bytes": np.array([18 * params]),
        "memory_share": np.array([0.1]),
    }
    assert memory_verdicts.terabytes(found, tokens).verdict == word
