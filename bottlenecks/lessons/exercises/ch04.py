"""Exercises of chapter 04, What does training cost?"""

import numpy as np

from bottlenecks.exhibits import ch04
from bottlenecks.facts.chips import chip
from bottlenecks.laws import scaling as law
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import bills, losses

GPT3 = {"params": 175e9, "tokens": 300e9, "chips": 10000, "peak": 125e12, "share": 0.2}
BLOOM = {"params": 176.247e9, "tokens": 366e9, "chips": 384, "peak": 312e12}
SMALL = {"params": 7e9, "tokens": 2e12, "chips": 256, "peak": 989.4e12, "share": 0.4}  # of 04.1
RENT = {"chip_hours": 2.664e6, "usd_per_hour": 2.0}  # of 04.2
FIT = losses.LAW
BUDGET = {"flop": 5.76e23}  # of 04.4
BUDGET_USD = {"usd": 1e6, "usd_per_hour": 2.5, "share": 0.4, "peak": 989.4e12}  # of 04.9
MISPRINT = {"params": 175e9, "tokens": 12e12, "printed": 1.26e24}  # of 04.8


def days(params, tokens, chips, peak, share):
    """Days of a run."""
    return 6 * params * tokens / (chips * peak * share) / 86400


def reported_days(name):
    found = bills.runs()
    return float(found["days"][found["name"].tolist().index(name)])


def used(name):
    found = bills.runs()
    return float(found["used"][found["name"].tolist().index(name)])


def best_params(flop, a_n, a_d, x_n, x_d):
    return (x_n * a_n / (x_d * a_d)) ** (1 / (x_n + x_d)) * (flop / 6) ** (x_d / (x_n + x_d))


def extra_flop(served, params, fewer):
    """Operations that serving saves with fewer parameters."""
    return 2 * served * (params - fewer)


def budget_flop():
    """What a million dollars buys."""
    return BUDGET_USD["usd"] / BUDGET_USD["usd_per_hour"] * 3600 * BUDGET_USD["peak"] * BUDGET_USD["share"]


def budget_params():
    return float(losses.best(losses.law(FIT), budget_flop()).params)


def wasted_percent(times):
    """Percent of the operations that a model of so many times the best size wastes, at 1e20."""
    best = losses.best(losses.law(FIT), 1e20)
    params = best.params * times
    return 100 * float(1 - losses.lost(losses.law(FIT), params, 1e20 / 6 / params)[1])


def best_power(budgets, params):
    """Exponent of the parameters in the operations, from a table of best splits."""
    return np.polyfit(np.log(budgets), np.log(params), 1)[0]


def one_number_error(of=np.median):
    """Median error of 40 % of the peak, over the runs that can be redone."""
    found = bills.redone()
    return float(of(np.abs(np.log(found["one_s"] / found["chip_s"]))))


def median_error():
    """Median error of the model of this book, over the same runs."""
    found = bills.redone()
    return float(np.median(np.abs(np.log(found["predicted_s"] / found["chip_s"]))))


def served_params():
    """Billions of parameters to which the best split of 1e24 walks when ten trillion tokens are to be served."""
    return float(losses.served(losses.law(FIT), 1e24, 1e13).params / 1e9)


def least_count():
    """Fewest H100s on the slider that train Llama 3.1 405B within a month at 40 % of their peak."""
    counts = np.array(ch04.COUNTS)
    peak = chip("H100 SXM5").peak_flop_per_s("bf16")
    took = days(405e9, 15.6e12, counts, peak, 0.4)
    return float(counts[np.argmax(took <= 31)])


Exercise(
    id="04.x1",
    unit="chips",
    expected=least_count,
    hint="Choose Llama 3.1, the H100 and 40 % of the peak, and move the chips until the head says less than 31 days.",
    slips={20000.0: "that takes 55 days", 10000.0: "that takes more than a hundred days"},
    rtol=1e-6,
    minutes=2,
)
Exercise(
    id="04.x2",
    unit="%",
    expected=lambda: 100 * one_number_error(),
    hint="Choose 40 % of the peak and read the head of the picture: within how many percent are half of the runs?",
    slips=lambda: {
        100 * median_error(): "that is the model of this book",
        100 * one_number_error(np.mean): "that is the mean; half of the runs are nearer",
    },
    rtol=0.03,
    minutes=2,
)
Exercise(
    id="04.x3",
    unit="%",
    expected=lambda: wasted_percent(3.0),
    hint="Leave 10²⁰ operations and move the size to three times the best.",
    slips=lambda: {
        wasted_percent(5.0): "that is with five times the best size",
        wasted_percent(2.0): "that is with twice the best size",
    },
    rtol=0.03,
    minutes=2,
)
Exercise(
    id="04.x4",
    unit="",
    expected=served_params,
    hint="Leave 10²⁴ operations and the first fit, and let ten trillion tokens be served; the head of the picture has the size in billions.",
    slips=lambda: {float(losses.best(losses.law(FIT), 1e24).params / 1e9): "that is the size when nothing is served"},
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="04.1",
    unit="s",
    expected=lambda: 86400 * days(**SMALL),
    hint="Six operations per parameter and token, over 256 chips at 40 % of 989 TFLOP/s.",
    slips={
        86400 * days(**SMALL | {"share": 1.0}): "that is at the peak",
        86400 * days(**SMALL) / 3: "two operations per parameter are the forward pass alone",
        86400 * days(**SMALL | {"peak": 1979e12}): "1,979 TFLOP/s count zeros that are left out",
    },
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="04.2",
    unit="",
    expected=lambda: RENT["chip_hours"] * RENT["usd_per_hour"] / 1e6,
    hint="Hours times dollars per hour.",
    slips={RENT["chip_hours"] * RENT["usd_per_hour"] / 1e6 / 2048: "chip-hours count every chip already"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="04.3a",
    hint="Operations over operations per second, and a day has 86,400 seconds.",
    judge_with=like(
        days, (175e9, 300e9, 10000, 125e12, 0.2), (7e9, 2e12, 256, 989e12, 0.4), (1e9, 1e10, 8, 312e12, 0.5)
    ),
    minutes=3,
    stars=2,
    kind="derive",
)
Exercise(
    id="04.3b",
    unit="s",
    expected=lambda: 86400 * days(**BLOOM, share=1.0),
    hint="Put the numbers into the function of 04.3a, with a share of one.",
    slips={86400 * days(**BLOOM, share=1.0) / 3: "two operations per parameter are the forward pass alone"},
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="04.3c",
    unit="%",
    expected=lambda: 100 * days(**BLOOM, share=1.0) / reported_days("BLOOM 176B"),
    hint="The run took 118.2 days.",
    slips=lambda: {
        100 * reported_days("BLOOM 176B") / days(**BLOOM, share=1.0): "the other way round",
        37.5: "that is the rate of its steps, without restarts and evaluation",
    },
    rtol=0.01,
    minutes=3,
    kind="compare",
)
Exercise(
    id="04.4a",
    hint="Along F = 6ND a percent more parameters is a percent fewer tokens. At the best both change the loss alike: x_N a_N/N^x_N = x_D a_D/D^x_D.",
    judge_with=like(
        best_params,
        (5.76e23, 482.01, 2085.43, 0.3478, 0.3658),
        (1e20, 406.4, 410.7, 0.34, 0.28),
        (6e4, 1.0, 1.0, 0.5, 0.5),
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="04.4b",
    unit="",
    expected=lambda: float(losses.best(losses.law(FIT), BUDGET["flop"]).params) / 1e9,
    hint="Besiroglu's constants: 482.01, 2085.43, 0.3478, 0.3658.",
    slips=lambda: {
        float(losses.best(losses.law("Hoffmann 2022 (printed)"), BUDGET["flop"]).params)
        / 1e9: "those are the constants as Hoffmann and others print them",
        float(losses.best(losses.law("Hoffmann 2022"), BUDGET["flop"]).params)
        / 1e9: "that is by the fit of Hoffmann and others",
    },
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="04.4c",
    unit="times",
    expected=lambda: float(losses.best(losses.law(FIT), BUDGET["flop"]).params) / 70e9,
    hint="Chinchilla has 70 billion parameters.",
    slips=lambda: {70e9 / float(losses.best(losses.law(FIT), BUDGET["flop"]).params): "the other way round"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="04.5a",
    hint="Two operations per parameter and token served; only the difference in parameters counts.",
    judge_with=like(extra_flop, (1e13, 30e9, 13.6e9), (1e12, 70e9, 35e9), (5e11, 8e9, 7e9)),
    minutes=3,
    stars=2,
    kind="derive",
)
Exercise(
    id="04.5b",
    unit="FLOP",
    expected=lambda: extra_flop(1e13, 30e9, 13.6e9),
    hint="2 x 10 trillion x 16.4 billion.",
    slips={3 * extra_flop(1e13, 30e9, 13.6e9): "six operations are training; serving takes two"},
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="04.5c",
    unit="times",
    expected=lambda: 6 * 13.6e9 * 2.845 * 1.5557e12 / (6 * 30e9 * 1.5557e12),
    hint="13.6 billion parameters on 2.845 times the tokens, over 30 billion on once the tokens.",
    slips={2.845: "the parameters have become fewer", 13.6 / 30: "the tokens have become more"},
    rtol=0.01,
    minutes=3,
    kind="compare",
)
Exercise(
    id="04.6a",
    hint="The first reading counts whole; R more count as R*(1 - exp(-R/R*)).",
    judge_with=like(
        lambda tokens, unique, half: law.effective_tokens(tokens, unique, fade=half),
        (4e12, 1e12, 15.39),
        (5e11, 1e12, 15.39),
        (4e13, 1e12, 15.39),
    ),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="04.6b",
    unit="tokens",
    expected=lambda: float(law.effective_tokens(4e12, 1e12, fade=losses.REPEATED)),
    hint="Three repetitions: 15.39 (1 - e^(-3/15.39)), and the first reading.",
    slips=lambda: {
        4e12: "that would be if a repeated token were worth a fresh one",
        float(law.effective_tokens(5e12, 1e12, fade=losses.REPEATED)): "four epochs are three repetitions",
    },
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="04.6c",
    unit="%",
    expected=lambda: 100 * float(law.effective_tokens(4e12, 1e12, fade=losses.REPEATED)) / 4e12,
    hint="Over four trillion fresh ones.",
    slips={100.0: "a repeated token is worth a little less"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="04.7",
    hint="np.polyfit of two logarithms, of degree one; the slope comes first.",
    judge_with=like(
        best_power,
        (np.array([1e20, 1e22, 1e24]), np.array([1e9, 1e10, 1e11])),
        (np.array([1e20, 1e21]), np.array([1e9, 4e9])),
    ),
    minutes=6,
    stars=2,
    kind="program",
)
Exercise(
    id="04.8",
    unit="FLOP",
    expected=lambda: 6 * MISPRINT["params"] * MISPRINT["tokens"],
    hint="Six operations per parameter and token.",
    slips={MISPRINT["printed"]: "that is the printed number"},
    rtol=0.02,
    minutes=5,
    stars=2,
    kind="find the error",
)
Exercise(
    id="04.9",
    unit="",
    expected=lambda: budget_params() / 1e9,
    hint="Dollars over dollars per hour are chip-hours; times peak and share they are operations; then the best split.",
    slips=lambda: {
        float(losses.best(losses.law(FIT), budget_flop() / 0.4).params) / 1e9: "that is at the peak",
        float(losses.best(losses.law(FIT), budget_flop() / 3600).params) / 1e9: "an hour has 3,600 seconds",
    },
    rtol=0.02,
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="04.10",
    hint="training_runs.csv has a row for each run; bills.redone() has what the model says of it.",
    minutes=30,
    stars=3,
    kind="open",
)
