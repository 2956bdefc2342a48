"""Bills: published training runs redone, from operations to chip-hours to days, predicted beside what was reported."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.readers import Cells
from bottlenecks.facts.units import plain
from bottlenecks.laws import counting, trends
from bottlenecks.measured import frame
from bottlenecks.studies.verdict import Verdict

ONE_NUMBER = 0.4  # of the peak: the simplest rival, a utilisation that everybody quotes
LONGEST = 8192  # tokens of a sequence in which nearly all of a run is trained, however long the model's context, where none is stated
COST_GROWTH = (
    2.4,
    2.0,
    2.9,
)  # times a year, and its interval: amortised cost of frontier runs since 2016 (cottier2024)
OPERATIONS_GROWTH = (5.0, 3.1, 7.3)  # times a year, and its interval: the top language models since 2020 (sevilla2024)
HALVING_MONTHS = (8, 2, 22)  # of the operations that one quality of language model needs, and its interval (ho2024)
COLUMNS = ("model", "chip", "n_chips", "software_date", "tokens_per_s_per_chip")  # of a row as the predictor reads it


@cache
def runs():
    """The run history, as columns: one element for each run, NaN or '' where no source states it.

    name, year; params, active (those that a token uses), tokens; reported_flop; flop: 6ND and the operations of attention
    where the shape is known; six_n_d_flop; chip, chips, chip_s and days as reported, peak_flop_per_s; mfu as printed, and
    used: flop over chip seconds and peak.
    """
    rows = data.rows("training_runs")
    found = {
        "name": np.array([row["model"] for row in rows]),
        "shape": np.array([find_model(row["model"]) or "" for row in rows]),
        "year": np.array([_year(row["date"]) for row in rows]),
        "chip": np.array([row["chip"] for row in rows]),
        "confidence": np.array([row["confidence"] for row in rows]),
    }
    for column, name, times in (
        ("params_billions", "params", 1e9),
        ("active_params_billions", "active", 1e9),
        ("tokens_billions", "tokens", 1e9),
        ("sequence_tokens", "sequence", 1.0),
        ("reported_flop", "reported_flop", 1.0),
        ("chips", "chips", 1.0),
        ("duration_days", "days", 1.0),
        ("chip_hours", "chip_s", 3600.0),
        ("mfu", "mfu", 1.0),
    ):
        found[name] = np.array([float(row[column] or "nan") * times for row in rows])
    found["active"] = np.where(np.isnan(found["active"]), found["params"], found["active"])
    found["six_n_d_flop"] = counting.six_n_d_flop(found["active"], found["tokens"])
    found["flop"] = np.array(
        [
            _flop(*each)
            for each in zip(*(found[name] for name in ("shape", "tokens", "six_n_d_flop", "sequence")), strict=True)
        ]
    )
    found["peak_flop_per_s"] = np.array([_peak(name) for name in found["chip"].tolist()])
    found["used"] = found["flop"] / (found["chip_s"] * found["peak_flop_per_s"])
    return found


def _year(date):
    year, month = date.split("-")[:2]
    return int(year) + (int(month) - 0.5) / 12


def _flop(name, tokens, plain, sequence):
    """Operations of a run: three times those of a forward pass of its shape; 6ND where that is not known."""
    if not name:
        return plain
    shape = model(str(name))
    if not shape.layers or (np.isnan(sequence) and shape.context_tokens is None):
        return plain
    context = min(shape.context_tokens, LONGEST) if np.isnan(sequence) else sequence
    values = shape.head_values + (shape.v_head_values or shape.head_values)  # of a query, and of a value
    attention = 3 * shape.layers * shape.heads * values * context * tokens  # causal half of 6
    return plain + attention


def _peak(name):
    if not find_chip(name):
        return np.nan
    found = chip(name)
    wide = [found.peak_flop_per_s(each) for each in ("bf16", "fp16") if each in found.peaks]
    return max(wide, default=np.nan)


@cache
def redone():
    """Runs whose tokens, kind of chip and chip-hours are published, predicted: columns.

    Those of `runs`, and predicted_s, low_s, high_s: chip seconds as the model of this book gives them for a step of that shape on
    those chips in that year, with the layout left open; one_s: at `ONE_NUMBER` of the peak; ratio: predicted over reported.
    """
    every = runs()
    which = np.flatnonzero(
        (every["shape"] != "") & np.isfinite(every["tokens"] * every["chip_s"] * every["peak_flop_per_s"])
    )
    mine = {name: values[which] for name, values in every.items()}
    rate = mine["tokens"] / mine["chip_s"]
    lines = [
        [shape, on, "" if np.isnan(n) else f"{n:.0f}", f"{year:.0f}", f"{each:.6g}"]
        for shape, on, n, year, each in zip(
            mine["shape"].tolist(),
            mine["chip"].tolist(),
            mine["chips"],
            np.floor(mine["year"]),
            rate.tolist(),
            strict=True,
        )
    ]
    own = corpus.of_cells("the run history", Cells(list(COLUMNS), lines, [[] for _ in lines], ","), "training")
    found = frame.predict("training", own.columns, owners=False)
    return mine | {
        "predicted_s": mine["tokens"] / found["predicted"],
        "low_s": mine["tokens"] / found["high"],
        "high_s": mine["tokens"] / found["low"],
        "one_s": mine["flop"] / (ONE_NUMBER * mine["peak_flop_per_s"]),
        "ratio": found["measured"] / found["predicted"],
    }


# ---- dollars and joules


@cache
def rents():
    """Rents of chips, as a list: {chip, year, low, high} in dollars per second."""
    return [
        {
            "chip": row["chip"],
            "year": int(row["year"]),
            "low": float(row["low_usd_per_hour"]) / 3600,
            "high": float(row["high_usd_per_hour"]) / 3600,
        }
        for row in data.rows("rents")
    ]


def rent_of(chip_name, year):
    """(low, high) dollars per second of a chip, of the year nearest to one that is known; NaN where none is."""
    known = [each for each in rents() if each["chip"] == chip_name]
    if not known:
        return np.nan, np.nan
    found = min(known, key=lambda each: (abs(each["year"] + 0.5 - year), each["year"]))
    return found["low"], found["high"]


def priced(names):
    """Rows of a table: chip-hours, energy of the chips by their rating, and rent, of some runs of `runs`."""
    every = runs()
    known = every["name"].tolist()
    lines = []
    for name in names:
        i = known.index(one_of("run", name, known))
        on, hours = str(every["chip"][i]), every["chip_s"][i] / 3600
        low, high = rent_of(on, every["year"][i])
        watts = chip(on).tdp_watts
        lines.append(
            {
                "run": name,
                "chip-hours": f"{hours:,.0f}",
                "MWh of chips": plain(hours * watts / 1e6, 3),
                "rent, million dollars": "no price known"
                if np.isnan(low)
                else " to ".join(dict.fromkeys(plain(each * every["chip_s"][i] / 1e6, 2) for each in (low, high))),
            }
        )
    return lines


def records(year, value):
    """Which of some runs set a record, as booleans: larger than all of earlier months, and the largest of its own."""
    order = np.lexsort((-value, year))  # the largest of a month first, so that none beside it can count
    largest = np.maximum.accumulate(value[order])
    found = np.ones(year.size, bool)
    found[order[1:]] = value[order[1:]] > largest[:-1]
    return found


def doubling_months(year, value, since):
    """(median, low, high) months in which records since a year doubled; the interval holds 80 %."""
    mine = records(year, value) & (year >= since)
    return tuple(12 * each for each in trends.fit_doubling(year[mine], value[mine]))


def capability():
    """Scores of one benchmark, as a list from early to late: {run, year, score, flop}; a benchmark is a weak measure of worth."""
    every = runs()
    names = every["name"].tolist()
    found = [
        {
            "run": row["run"],
            "year": float(every["year"][names.index(row["run"])]),
            "score": float(row["score_percent"]),
            "flop": float(every["flop"][names.index(row["run"])]),
        }
        for row in data.rows("capability")
    ]
    return sorted(found, key=lambda each: each["year"])


PAIRS = (("PaLM 540B", "Llama 2 70B"), ("Gopher 280B", "LLaMA 65B"), ("Llama 3.1 405B", "DeepSeek-V3 671B (MoE)"))


def cheaper(pairs=PAIRS):
    """Rows of a table: pairs of runs with about the same score, and how many times the operations of the earlier the later took."""
    found = {each["run"]: each for each in capability()}
    return [
        {
            "earlier": before,
            "later": after,
            "scores": f"{found[before]['score']:.1f} and {found[after]['score']:.1f} %",
            "months apart": f"{12 * (found[after]['year'] - found[before]['year']):.0f}",
            "operations": f"{plain(found[after]['flop'] / found[before]['flop'], 2)} times as many",
        }
        for before, after in pairs
    ]


# ---- verdicts

THOUSANDS, TENS = 1000, 10000
TRILLION, BILLION = 1e12, 1e9


def frontier_size(found=None):
    """Verdict on W1-frontier-size: from which year on record runs need thousands of chips, and what for."""
    found = runs() if found is None else found
    known = np.isfinite(found["chips"])
    year, chips = found["year"][known], found["chips"][known]
    first = {
        least: float(year[chips >= least].min()) if np.any(chips >= least) else np.inf for least in (THOUSANDS, TENS)
    }
    late = chips[year >= 2023]
    share = float(np.mean(late >= THOUSANDS)) if late.size else 0.0
    top = [float(chips[(year >= y) & (year < y + 1)].max(initial=0)) for y in range(2017, 2026)]
    need = {
        (n, d, days): 6 * n * d / (ONE_NUMBER * _peak("H100 SXM5") * days * 86400)
        for n, d, days in ((7e9, 2e12, 30), (70e9, 15e12, 60), (405e9, 15.6e12, 60))
    }
    word = "holds-when" if np.isfinite(first[THOUSANDS]) and share < 1 else "holds" if share == 1 else "fails"
    return Verdict(
        claim="W1-frontier-size",
        verdict=word,
        because=f"The largest runs have used a thousand chips and more since {first[THOUSANDS]:.0f} and ten thousand since {first[TENS]:.0f}; of all runs since 2023 "
        f"whose chips are stated {100 * share:.0f} % use a thousand. It is a matter of operations and patience: on H100s at 40 % of the peak "
        + "; ".join(
            f"{plain(n / 1e9, 3)} billion on {plain(d / 1e12, 3)} trillion tokens in {days} days need {each:,.0f}"
            for (n, d, days), each in need.items()
        )
        + ".",
        rows=tuple(
            {"year": str(y), "most chips of a published run": f"{most:,.0f}"}
            for y, most in zip(range(2017, 2026), top, strict=True)
            if most
        ),
        numbers={"thousand": first[THOUSANDS], "ten thousand": first[TENS], "share": share},
        margin="the ten thousand of 2020 are an assumption about GPT-3; without it they begin in 2024.",
        n=int(known.sum()),
        range="Published runs whose number of chips is stated; unpublished ones may have used more, earlier.",
    )


def trillions(found=None):
    """Verdict on W1-trillions-of-flops: operations of training runs of a billion parameters and more, over a trillion."""
    found = runs() if found is None else found
    flop = np.where(np.isnan(found["flop"]), found["reported_flop"], found["flop"])
    mine = (found["active"] >= BILLION) & np.isfinite(flop)
    least, most = (float(np.log10(of(flop[mine]) / TRILLION)) for of in (np.min, np.max))
    token = [2 * n / TRILLION for n in (7e9, 70e9, 500e9)]
    return Verdict(
        claim="W1-trillions-of-flops",
        verdict="fails" if least > 3 else "holds",
        because=f"Training a model of billions of parameters takes 10 to the {12 + least:.0f} to 10 to the {12 + most:.0f} operations: the claim is short by {least:.0f} to "
        f"{most:.0f} orders of magnitude. A trillion operations are one token through 500 billion parameters, forward.",
        rows=(
            {"what": "a token through 7 billion parameters", "trillions": plain(token[0], 2)},
            {"what": "a token through 500 billion parameters", "trillions": plain(token[2], 2)},
            {"what": "the smallest run here", "trillions": f"10 to the {least:.0f}"},
            {"what": "the largest run here", "trillions": f"10 to the {most:.0f}"},
        ),
        numbers={"least": least, "most": most},
        margin="it would hold of a run a billion times smaller than the smallest here.",
        n=int(mine.sum()),
        range="Runs of a billion parameters and more whose tokens or operations are published.",
    )
