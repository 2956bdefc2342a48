"""Exercises of chapter 22, Does the model deserve trust?"""

from math import comb

import numpy as np

from bottlenecks.laws import trust as law
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import trust

SPREADS = {"source": 0.18, "row": 0.17}  # of sources about their class and of rows about their source, in training
CLASSES = 0.1  # how far kinds of program differ
ERRORS, ROWS = (0.08, 0.12, 0.4), (60, 30, 10)  # of 22.2
FIRST = 1.6  # times a tuned program's seconds: the only source of 22.3b
FEW = (4, 4)  # sources and rows of each, of 22.4b
BUDGET = {"hours": 40, "source_cost": 3.0, "row_cost": 0.1}  # of 22.9


def pooled_times(times, sources):
    """What is to be expected of a class whose sources took so many times what all take."""
    return float(np.exp(law.pooled_log(np.log(times), sources=sources, between=CLASSES, within=SPREADS["source"])))


def users():
    """(sources, their own mean, pooled mean) of users in training, both over the mean of all sources."""
    lines, _ = trust.pooled(CLASSES)
    every = np.exp(trust.classed().mean.mean())
    count, own, pooled = lines["user"]
    return count, own / every, pooled / every


def source_errors():
    """The model's errors on the held-out training sources, one number each."""
    return np.array([line["model"] for line in trust.by_source("training")])


def surely_percent():
    """Deviation of the mean of `source_errors`, in points."""
    errors = source_errors()
    return 100 * float(errors.std(ddof=1)) / errors.size**0.5


def too_narrow(held, level=0.8):
    """How many times as wide an interval would have to be that holds another share than its level."""
    return float(law.QUANTILE((1 + level) / 2) / law.QUANTILE((1 + held) / 2))


def users_held():
    """Share of users' training runs inside the intervals of version 0.1.0."""
    return next(line["inside"] for line in trust.history("training") if line["stage"] == "users'")


def by_chance(sources, won):
    """Chance that a coin wins so many of so many sources, or more."""
    return sum(comb(int(sources), n) for n in range(int(won), int(sources) + 1)) / 2 ** int(sources)


def collectives_by_chance():
    won, every = trust.nearer("collectives")
    return 100 * by_chance(every, won)


def medians_of_others(values, sources):
    """Of each value the median of those of all other sources."""
    values, sources = np.asarray(values, float), np.asarray(sources)
    return np.array([np.median(values[sources != source]) for source in sources])


def lookup():
    """(error with the row left out, with its source left out) of one number for each program, in kernels."""
    found = trust.peeking("kernels")["program"]
    return found["row left out"], found["source left out"]


def bought(rows=None):
    """Deviation of the mean that the budget of 22.9 buys, in percent, with so many rows of each source."""
    costs = {name: BUDGET[name] for name in ("source_cost", "row_cost")}
    rows = float(law.rows_of_a_source(**SPREADS, **costs)) if rows is None else rows
    sources = BUDGET["hours"] / (costs["source_cost"] + rows * costs["row_cost"])
    return 100 * float(law.deviation_of_mean(sources, rows, **SPREADS))


Exercise(
    id="22.x1",
    unit="rows",
    expected=lambda: (
        trust.entering("training", "chip", "the row")[0].sum()
        - trust.entering("training", "chip", "its source")[0].sum()
    ),
    hint="The head of the picture counts rows. Change what is left out, and look by how many the count falls.",
    slips=lambda: {
        float(
            trust.entering("training", "chip", "the row")[0].sum()
        ): "those are all rows in the number; how many are of its own source?",
        float(
            trust.entering("training", "chip", "its source")[0].sum()
        ): "those are the strangers' rows; how many are its own source's?",
    },
    rtol=1e-6,
    minutes=3,
)
Exercise(
    id="22.x2",
    unit="times",
    expected=lambda: trust.pooled(0.06)[0]["user"][2],
    hint="Move the slider to where the curve below is lowest, and read the users' diamond.",
    rtol=0.06,  # the curve is flat there
    slips=lambda: {
        trust.pooled(0.06)[0]["user"][1]: "that is the users' own mean; where does the diamond stand?",
        float(np.exp(trust.classed().mean.mean())): "that is the mean of all sources",
    },
    minutes=3,
)
Exercise(
    id="22.x3",
    unit="%",
    expected=lambda: 100 * float(trust.inside("inference", 0.8, 0.5)),
    hint="Choose inference, set the width to 0.5 and read the diamond.",
    rtol=0.03,
    slips=lambda: {
        100 * float(law.share_inside(0.8, 0.5)): "that is what normal errors would give, the dotted line",
        40.0: "half as wide does not hold half as many: most errors are small",
    },
    minutes=2,
)
Exercise(
    id="22.1",
    unit="%",
    expected=lambda: 100 * np.log(1.5),
    hint="Take the logarithm of each quotient, then its absolute value.",
    rtol=0.01,
    slips={
        100
        * (0.5 + 1 / 3)
        / 2: "that is the mean of relative errors, which are unlike for two guesses that are equally wrong",
        50.0: "that is the relative error of the first; both count, as logarithms",
        100 * np.log10(1.5): "that is a logarithm to the base of ten; ours are natural",
    },
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="22.2",
    unit="%",
    expected=lambda: 100 * float(np.mean(ERRORS)),
    hint="Every source has one voice.",
    rtol=0.01,
    slips={
        100 * float(np.average(ERRORS, weights=ROWS)): "that is the mean over rows: the large source speaks for all",
        12.0: "that is the median source",
    },
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="22.3a",
    hint="Weigh zero by one over the variance of classes, and the mean by one over that of a mean of G sources.",
    judge_with=like(
        lambda mean, sources, between, within: law.pooled_log(mean, sources=sources, between=between, within=within),
        (0.4, 1, 0.1, 0.3),
        (0.4, 9, 0.1, 0.3),
        (-0.2, 4, 0.3, 0.2),
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="22.3b",
    unit="times",
    expected=lambda: pooled_times(FIRST, 1),
    hint="Pool the logarithm, then take it back.",
    rtol=0.01,
    slips=lambda: {
        FIRST: "that believes the one source wholly",
        1 + (FIRST - 1) * CLASSES / (CLASSES + SPREADS["source"]): "variances weigh, the squares of deviations",
    },
    minutes=3,
)
Exercise(
    id="22.3c",
    unit="times",
    expected=lambda: users()[2],
    hint="The same with nine sources and their own mean.",
    slips=lambda: {
        users()[1]: "that is their own mean, believed wholly",
        pooled_times(users()[1], 1): "that takes nine sources for one",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="22.4a",
    hint="The mean of a source is off by its own part and by the mean of its rows' parts. Then average over sources.",
    judge_with=like(
        lambda sources, rows, source, row: law.deviation_of_mean(sources, rows, source=source, row=row),
        (4, 4, 0.21, 0.17),
        (1, 1000, 0.2, 0.2),
        (20, 1, 0.3, 0.1),
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="22.4b",
    unit="%",
    expected=lambda: 100 * float(law.deviation_of_mean(*FEW, **SPREADS)),
    rtol=0.03,
    hint="Put in the two spreads.",
    slips=lambda: {
        100 * (SPREADS["source"] ** 2 + SPREADS["row"] ** 2) ** 0.5 / 4: "that takes the rows for sixteen sources",
        100 * SPREADS["row"] / 4: "that leaves out how far sources differ",
    },
    minutes=3,
)
Exercise(
    id="22.4c",
    unit="%",
    expected=surely_percent,
    hint="The deviation of one source's error over the square root of their number.",
    slips=lambda: {
        100 * float(source_errors().std(ddof=1)): "that is how far one source's error lies from the mean, on average",
        100 * float(source_errors().std(ddof=1)) / 680**0.5: "that divides by rows",
        2**0.5 * surely_percent(): "that is how far two such collections lie apart; how far is one from all?",
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="22.5a",
    hint="Φ⁻¹ of what promises that share? An interval of 80 % ends at the quantiles of 10 and of 90 %.",
    judge_with=like(law.share_inside, (0.8, 0.5), (0.8, 1.0), (0.5, 2.0), (0.95, 0.7)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="22.5b",
    unit="%",
    expected=lambda: 100 * float(law.share_inside(0.8, 0.5)),
    hint="An 80 % interval reaches 1.2816 deviations to each side.",
    slips={40.0: "half as wide does not hold half as many: most errors are small"},
    minutes=3,
)
Exercise(
    id="22.5c",
    unit="times",
    expected=lambda: too_narrow(users_held()),
    hint="Which number of deviations holds the share that was found?",
    slips=lambda: {
        0.8 / users_held(): "that is the quotient of the shares; which widths hold them?",
        1 / too_narrow(users_held()): "that is how wide they were over what they should have been",
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="22.6a",
    hint="math.comb(n, k) counts the ways to win k of n.",
    judge_with=like(by_chance, (10, 8), (17, 12), (5, 5), (3, 0)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="22.6b",
    unit="%",
    expected=lambda: 100 * by_chance(10, 8),
    hint="Eight, nine and ten.",
    slips={
        100 * comb(10, 8) / 1024: "that is exactly eight; nine or ten would have impressed as well",
        80.0: "that is the share that was won",
    },
    minutes=3,
)
Exercise(
    id="22.6c",
    unit="%",
    expected=collectives_by_chance,
    rtol=0.04,
    hint="`trust.nearer` has the two numbers.",
    slips=lambda: {
        100
        * trust.nearer("collectives")[0]
        / trust.nearer("collectives")[1]: "that is the share that was won; how often does a coin win as many?"
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="22.7",
    hint="For each place: the values whose source is another, and their median.",
    judge_with=like(
        medians_of_others,
        (np.array([1.0, 2.0, 3.0, 10.0]), np.array(["a", "a", "b", "c"])),
        (np.array([5.0, 1.0, 4.0]), np.array(["x", "y", "z"])),
        (np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array(["b", "a", "b", "a", "c"])),
    ),
    minutes=8,
    stars=2,
    kind="program",
)
Exercise(
    id="22.8",
    unit="times",
    expected=lambda: lookup()[1] / lookup()[0],
    hint="`trust.peeking` has the rule scored three ways; the page leaves out rows. What would a stranger's page leave out?",
    slips=lambda: {
        lookup()[0]
        / trust.peeking("kernels")["program"][
            "included"
        ]: "that compares with the row included; who is left out when a stranger asks?",
        lookup()[1]
        / trust.peeking("kernels")["program"][
            "included"
        ]: "that starts from the row included; the page did leave the row out",
    },
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="22.9",
    unit="%",
    expected=bought,
    rtol=0.04,  # whole teams and whole runs
    hint="First the rows of each source, then how many sources the money buys, then how sure their mean is.",
    slips=lambda: {
        bought(370): "that spends all on one source",
        bought(1): "one row of each: the next row costs little and says something",
    },
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="22.10", hint="bottlenecks score, bottlenecks read, and this chapter's order.", minutes=30, stars=3, kind="open"
)
