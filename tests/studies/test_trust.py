"""Trust: leaving out by hand, pooling and intervals at their limits, and what a reader hands over for twenty rows."""

import numpy as np
import pytest

from bottlenecks.measured import frame, rivals
from bottlenecks.studies import trust


def test_three_medians_by_hand():
    """a has two rows of half a voice each, b one: of all, half of two voices is reached at 2."""
    values, label = np.array([1.0, 2.0, 9.0, 5.0]), np.array([0, 0, 0, 1])
    source = np.array(["a", "a", "b", "c"])
    every, others, strangers = trust._medians(values, label, source)
    assert every.tolist() == [2, 2, 2, 5]
    assert others[:3].tolist() == [9, 9, 1] and np.isnan(others[3])  # half of 1.5 voices at 9; of one voice at 1
    assert strangers[:3].tolist() == [9, 9, 1] and np.isnan(strangers[3])


@pytest.mark.parametrize("size", [2, 3, 6, 7])
def test_of_sources_with_one_row_each_it_is_the_lower_median_of_the_others(size):
    values = np.random.default_rng(size).normal(size=size).round(1)  # some are equal
    found = trust._without_one(values, np.arange(size))
    assert found.tolist() == [np.sort(np.delete(values, i))[(size - 2) // 2] for i in range(size)]


@pytest.mark.parametrize("kind", frame.KINDS)
def test_the_rival_is_one_of_the_splits(kind):
    """By family it is the book's one number, but where a class is empty: there the rival asks all rows at once."""
    found = trust.peeking(kind)["family of chips"]["source left out"]
    assert found == pytest.approx(rivals.summary(kind)["one number"]["error"], rel=0.06)


@pytest.mark.parametrize("kind", frame.KINDS)
def test_finer_classes_flatter_who_is_in_them(kind):
    lines = list(trust.peeking(kind).values())
    assert lines[0]["answered"] == 1 and lines[-1]["included"] < lines[0]["included"]
    assert all(line["included"] <= line["row left out"] + 0.01 for line in lines)
    answered = [line["answered"] for line in lines]
    assert answered == sorted(answered, reverse=True)


@pytest.mark.parametrize("kind", frame.KINDS)
def test_a_source_has_one_voice(kind):
    mean, deviation = trust.ahead(kind)
    every = rivals.summary(kind)
    assert mean == pytest.approx(every["one number"]["error"] - every["model"]["error"]) and deviation > 0
    won, of = trust.nearer(kind)
    assert 0 < won <= of == every["sources"]


@pytest.mark.parametrize("kind", frame.KINDS)
def test_wider_intervals_hold_more(kind):
    held = [float(trust.inside(kind, 0.8, width)) for width in (0.0, 0.5, 1.0, 2.0, 1e6)]
    assert held == sorted(held) and held[0] < 0.05 and held[-1] == pytest.approx(1)
    assert (np.diff(trust.inside(kind, np.array([0.1, 0.5, 0.9]))) >= 0).all()


def test_pooling_goes_from_one_mean_to_each_its_own():
    means, of, rows = trust.classed()
    assert means.size == of.size == rows.size and rows.min() >= 1
    together, apart = (trust.pooled(between)[0] for between in (1e-9, 1e9))
    assert {round(pooled, 6) for _, _, pooled in together.values()} == {round(float(np.exp(means.mean())), 6)}
    for count, own, pooled in apart.values():
        assert pooled == pytest.approx(own) and count > 1
    for _, own, pooled in trust.pooled(0.1)[0].values():
        ends = sorted((own, float(np.exp(means.mean()))))
        assert ends[0] <= pooled <= ends[1]


def test_the_stages_end_with_what_is_printed_now():
    for kind in frame.KINDS:
        stages = trust.history(kind)
        assert [line["stage"] for line in stages[-2:]] == [trust.FRESH, trust.NOW]
        assert stages[-1]["error"] == rivals.summary(kind)["model"]["error"]


# ---- twenty rows


def test_the_rows_are_held_out_and_of_different_sources():
    drawn = trust._drawn()
    keys = [(kind, trust.scored_rows(kind)[0]["source_id"][i].item()) for kind, i in drawn]
    assert len(set(keys)) == len(drawn) == trust.ASKED
    assert all(trust.scored_rows(kind)[0]["role"][i] == "held-out" for kind, i in drawn)
    told = trust.twenty()
    assert [row["row"] for row in told] == list(range(1, 21)) and all(row["what ran"] for row in told)
    for row, (kind, i) in zip(told, drawn, strict=True):  # what was measured is not told
        measured = trust.scored_rows(kind)[1]["measured"][i]
        assert f"{measured:.3g}" not in row["what ran"]


def test_a_perfect_reader_has_no_error():
    drawn = trust._drawn()
    truth = {n: float(trust.scored_rows(kind)[1]["measured"][i]) for n, (kind, i) in enumerate(drawn, 1)}
    you, *others = trust.beat(truth)
    assert (you["who"], you["error"], you["worst, times"]) == ("you", "0%", "1")
    model = [abs(rivals.logs(kind)["model"][i]) for kind, i in drawn]
    assert others[-1]["error"] == f"{np.mean(model):.0%}"
    twice = trust.beat({n: (value, 4 * value) for n, value in truth.items()})[0]
    assert twice["error"] == f"{np.log(2):.0%}" and twice["inside the 80 %"] == "20 of 20"  # the middle is twice


def test_ends_may_come_in_either_order():
    assert trust.beat({3: (2, 30)}) == trust.beat({3: [30, 2]})
    assert trust.beat({3: (2, 30)}) == trust.beat({np.int64(3): np.array([30, 2])})
    assert trust.answers({3: (30, 2)})[0]["guess"] == "2 to 30"
    assert trust.beat({}) == trust.answers({}) == [{"": "no guess yet"}]


@pytest.mark.parametrize(
    ("guesses", "words"),
    [
        ({0: 4}, "from 1 to 20, got 0"),
        ({21: 4}, "from 1 to 20, got 21"),
        ({"1": 4}, "from 1 to 20, got '1'"),
        ({1: 0}, "row 1"),
        ({1: -3}, "row 1"),
        ({1: float("nan")}, "row 1"),
        ({1: (1, 2, 3)}, "a number or a pair"),
        ({1: ()}, "a number or a pair"),
        ({1: None}, "row 1"),
        ([40, 50], "a dictionary"),
        ({True: 4}, "from 1 to 20, got True"),
    ],
)
@pytest.mark.parametrize("asked", [trust.beat, trust.answers])
def test_a_guess_that_is_none_is_refused(asked, guesses, words):
    with pytest.raises(ValueError, match=words):
        asked(guesses)


def test_every_training_row_has_a_kind_of_program():
    by = {line["program"]: line for line in trust.by_program()}
    assert sum(line["rows"] for line in by.values()) == rivals.summary("training")["rows"]
