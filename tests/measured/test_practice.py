"""Practice: what a class keeps of its sources, how intervals widen, and that no source has a say on itself; by hand."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.measured import frame, practice
from bottlenecks.measured.practice import Effect, Practice


def levels_of(*names, factor="program"):
    return {factor: np.array(names, dtype="U12")}


def array(*values):
    return np.array(values, dtype=float)


# ---- from a practice to factors and an interval

# deviations of 0.3 and 0.4 make 0.5 together, and with 1.2 more 1.3
MADE = Practice(
    effects={
        ("", ""): Effect(1.0, 0.3, 9),
        ("program", ""): Effect(1.0, 1.2, 0),
        ("program", "vendor"): Effect(0.8, 0.0, 4),
    },
    spreads={"": 0.4, "vendor": 0.4},
    ends=(-1.0, 2.0),
)


def test_factors_by_hand():
    times, low, high = practice.predicted(MADE, levels_of("vendor"))
    assert (times[0], low[0], high[0]) == pytest.approx((0.8, 0.8 * np.exp(-0.5), 0.8 * np.exp(1.0)))


def test_a_class_that_no_source_has_shown_is_in_the_middle_and_wide():
    times, low, high = practice.predicted(MADE, levels_of("user"))
    assert (times[0], low[0], high[0]) == pytest.approx((1.0, np.exp(-1.3), np.exp(2.6)))


def test_ends_widen_with_what_is_open():
    times, low, high = practice.predicted(MADE, levels_of("vendor", "vendor"), array(0.0, 1.2))
    assert times.tolist() == pytest.approx([0.8, 0.8])
    assert low[1] == pytest.approx(0.8 * np.exp(-1.3)) and high[1] == pytest.approx(0.8 * np.exp(2.6))
    assert low[1] < low[0] and high[1] > high[0]


def test_effects_of_several_factors_multiply():
    effects = MADE.effects | {("width", ""): Effect(1.0, 0.0, 0), ("width", "8"): Effect(1.5, 0.0, 2)}
    times, _, _ = practice.predicted(
        MADE._replace(effects=effects), levels_of("vendor") | levels_of("8", factor="width")
    )
    assert times[0] == pytest.approx(1.2)


# ---- partial pooling

TAU, OWN, LAG, OTHERS = 0.3, 0.4, 0.8, 200  # deviations of a class and of a source; one source's lag; those at zero


def effects_of(logs, sources, levels, deviations):
    """Effects by the given deviations, every source of the same weight."""
    some = practice.cells(logs, sources, levels, np.zeros(logs.size))
    return practice._effects(some, practice._designs(some), deviations, np.ones(np.unique(sources).size))


def test_one_class_of_one_source_shrinks_by_its_share_of_the_variance():
    """A class of which one source of one row is known: tau^2 / (tau^2 + sigma^2) of how far it lies from the others' mean."""
    logs = np.append(np.zeros(OTHERS), LAG)
    names = np.array([f"s{i}" for i in range(OTHERS + 1)])
    levels = levels_of(*[""] * OTHERS, "user")
    found = effects_of(logs, names, levels, {"program": TAU, "source": OWN})
    sigma2 = OWN**2 + practice.LEAST**2  # a source, and its one row
    weight, last = 1 / sigma2, 1 / (TAU**2 + sigma2)
    mean = LAG * last / (OTHERS * weight + last)  # 0.002: by variances
    shrunk = TAU**2 / (TAU**2 + sigma2) * (LAG - mean)
    assert found["", ""].times == pytest.approx(np.exp(mean))
    assert found["program", "user"].times == pytest.approx(np.exp(shrunk)) and found["program", "user"].sources == 1
    assert shrunk == pytest.approx(0.36 * LAG, rel=5e-3)
    # what is left of the variance: tau^2 (1 - 0.36) with one source; nothing is known of a class not seen
    assert found["program", "user"].deviation == pytest.approx(TAU * 0.8, rel=1e-3)
    assert found["program", ""] == Effect(1.0, TAU, 0)


def test_a_class_of_many_sources_keeps_what_they_say():
    """With 50 sources 50 tau^2 / (50 tau^2 + sigma^2) = 0.966 of their lag."""
    logs = np.append(np.zeros(OTHERS), np.full(50, LAG))
    names = np.array([f"s{i}" for i in range(OTHERS + 50)])
    found = effects_of(logs, names, levels_of(*[""] * OTHERS, *["user"] * 50), {"program": TAU, "source": OWN})
    mean = np.log(found["", ""].times)
    assert np.log(found["program", "user"].times) == pytest.approx(0.966 * (LAG - mean), rel=1e-3)


def made_up(classes=("a", "b", "c"), each=8, own=0.4):
    """Sources that scatter about zero whatever their class, and one of a class of its own, which lies far out."""
    scatter = own * np.resize(array(-1, 1, -0.5, 0.5), each)
    logs = np.append(np.tile(scatter, len(classes)), 1.0)
    names = [f"{c}{i}" for c in classes for i in range(each)] + ["alone"]
    return logs, np.array(names), levels_of(*np.repeat(classes, each).tolist(), "lone")


def test_a_class_of_one_source_is_nearer_to_its_parent_than_to_its_own_mean():
    logs, names, levels = made_up()
    found = practice.fit(logs, names, levels)
    parent, own = np.log(found.effects["", ""].times), 1.0
    middle = np.log(practice.predicted(found, levels_of("lone"))[0][0])
    assert parent < middle < own and middle - parent < own - middle


def test_classes_that_differ_are_told_apart():
    logs, names, levels = made_up(own=0.05)
    logs = logs + 0.8 * (levels["program"] == "b")
    found = practice.fit(logs, names, levels)
    a, b = np.log(practice.predicted(found, levels_of("a", "b"))[0])
    assert b - a == pytest.approx(0.8, abs=0.08) and practice.shifted(found)


def test_without_shifts_the_middle_stays_at_the_reference():
    logs, names, levels = made_up()
    found = practice.fit(logs + 0.5, names, levels, shifts=False)
    times, low, high = practice.predicted(found, levels)
    assert times.tolist() == [1.0] * logs.size and not practice.shifted(found)
    assert (low < high).all() and np.log(high).min() > 0.5  # runs take longer, and the interval says so


def test_the_interval_holds_four_fifths_of_the_sources():
    """Each source counts alike, however many rows it has."""
    logs = np.linspace(-1, 1, 101)
    names = np.array([f"s{i}" for i in range(101)])
    more = np.repeat(names[-1], 99), np.full(99, logs[-1])
    logs, names = np.append(logs, more[1]), np.append(names, more[0])
    levels = levels_of(*["a"] * logs.size)
    _, low, high = practice.predicted(practice.fit(logs, names, levels), levels)
    inside = (np.log(low) <= logs + 1e-9) & (logs - 1e-9 <= np.log(high))
    share = np.mean([inside[names == name].mean() for name in np.unique(names)])
    assert share == pytest.approx(0.8, abs=0.02)


def test_rows_of_a_source_in_the_same_classes_are_one():
    """1 and 3 are a mean of 2 with a deviation of 2^0.5 between them; another class of the same source stands apart."""
    levels = levels_of("a", "a", "b", "a")
    some = practice.cells(array(1, 3, 5, 7), np.array(["s", "s", "s", "t"]), levels, array(0.1, 0.3, 0, 0))
    assert some.mean.tolist() == [2, 5, 7] and some.rows.tolist() == [2, 1, 1] and some.source.tolist() == [0, 0, 1]
    assert some.within == pytest.approx(2**0.5) and some.open.tolist() == pytest.approx([0.2, 0, 0])


def test_a_source_far_out_counts_less():
    """Student's t with four freedoms: at its class's middle 5 / 4, at two deviations 5 / 8."""
    logs = np.append(np.zeros(OTHERS), 2 * OWN)
    names = np.array([f"s{i:03}" for i in range(OTHERS + 1)])
    some = practice.cells(logs, names, levels_of(*[""] * (OTHERS + 1)), np.zeros(logs.size))
    found = practice._weights(some, practice._designs(some), {"program": TAU, "source": OWN}, np.ones(OTHERS + 1))
    assert found[0] == pytest.approx(1.25, rel=1e-3) and found[-1] == pytest.approx(5 / 8, rel=0.01)


def test_no_source_has_a_say_on_itself():
    logs, names, levels = made_up(each=4)
    open, used, factors = np.zeros(logs.size), np.ones(logs.size, bool), (np.ones(logs.size),) * 3
    before = practice.left_out(logs, names, levels, open, used, factors)
    mine = names == "alone"
    own = practice.left_out(np.where(mine, 3.0, logs), names, levels, open, used, factors)
    # its deviations start from those of all: what it says moves where they are sought, and no more
    assert np.log(own[0][mine]) == pytest.approx(np.log(before[0][mine]), abs=0.02)
    unused = practice.left_out(logs, names, levels, open, ~mine, tuple(7.0 * f for f in factors))
    assert [each[mine][0] for each in unused] == [7.0, 7.0, 7.0]


# ---- the table


@pytest.mark.parametrize("kind", frame.KINDS)
def test_the_table_is_what_is_read(kind):
    rows = [row for row in data.rows("practice") if row["kind"] == kind]
    kept = practice.kept(kind)
    assert practice.table(kind, kept) == rows
    assert len(kept.ends) == 2 and kept.ends[0] < 0 < kept.ends[1]
    assert {factor for factor, _ in kept.effects} - {""} and all(e.times > 0 for e in kept.effects.values())
