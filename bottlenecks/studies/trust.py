"""Trust: how an error depends on who is asked, how intervals hold, and twenty rows to be predicted by the reader."""

from functools import cache
from numbers import Integral
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import trust
from bottlenecks.measured import frame, practice, rivals, scores

NOW, FRESH = "now, each left out", "fresh, once"
SPLITS = (  # of the simplest rival: one number for ..., each finer than the one before
    "all rows",
    "kind of work",
    "decade of time",
    "family of chips",
    "chip",
    "model or kernel",
    "program",
)
COLUMNS = {  # kind -> what the last three splits go by
    "training": ("chip_name", "model", "software"),
    "inference": ("chip_name", "model", "software"),
    "kernels": ("chip_name", "kernel", "implementation"),
    "collectives": ("chip_name", "collective", "network"),
}
ASKED, LOT = 20, 22  # rows to be predicted by the reader, and the seed that drew them


def history(kind):
    """Errors of a kind as they were printed, stage by stage, the last computed now: one dictionary for each.

    Stages before the fresh rows print means of |predicted / measured - 1|, in whatever unit a row has; the others of
    |ln(predicted / measured)|. `inside` and `predicted` are shares of rows.
    """
    one_of("kind", kind, frame.KINDS)
    found = [
        {"stage": row["stage"], "sources": int(row["sources"])}
        | {name: float(row[name] or "nan") for name in ("error", "inside", "one_number", "predicted")}
        for row in data.rows("score_history")
        if row["kind"] == kind
    ]
    (once,) = (row for row in data.rows("fresh_scores") if row["kind"] == kind)
    found.append(
        {"stage": FRESH, "sources": int(once["sources"]), "one_number": np.nan}
        | {name: float(once[name]) for name in ("error", "inside", "predicted")}
    )
    now = rivals.summary(kind)
    last = {"error": now["model"]["error"], "one_number": now["one number"]["error"]}
    last |= {name: now[name] for name in ("inside", "predicted")}
    return [*found, {"stage": NOW, "sources": now["sources"]} | last]


# ---- three ways to score one rule


@cache
def scored_rows(kind):
    """(rows, predictions) of a kind that are scored and have a datasheet."""
    rows, found = corpus.table(one_of("kind", kind, frame.KINDS)), scores.table(kind)
    mine = scores.fair(rows, found) & np.isfinite(found["floor_s"])
    return corpus.where(rows, mine), corpus.where(found, mine)


@cache
def slower(kind):
    """ln(measured seconds / seconds of the datasheet) of the rows that are scored."""
    _, found = scored_rows(kind)
    return np.log(scores.in_seconds(found)["measured_s"] / found["floor_s"])


@cache
def classes(kind):
    """Split -> the class of each row, as a number."""
    rows, found = scored_rows(kind)
    decade = np.floor(np.log10(found["floor_s"])).astype(int)
    keys = [found["group"], decade, found["family"], *(rows[name] for name in COLUMNS[kind])]
    label = np.zeros(decade.size, int)
    each = [label]
    for key in keys:
        both = np.stack([label, np.unique(key, return_inverse=True)[1]])
        label = np.unique(both, axis=1, return_inverse=True)[1].ravel()
        each.append(label)
    return dict(zip(SPLITS, each, strict=True))


@cache
def peeking(kind):
    """Split -> the error of one number for each class of it, three ways: included, row left out, source left out.

    `answered`: share of rows of which another source is in the class itself.

    The number is the median of `slower` over the class; where leaving out empties a class, that of the split before.
    Errors are means over held-out sources.
    """
    rows, _ = scored_rows(kind)
    held, sources, values = rows["role"] == "held-out", rows["source_id"], slower(kind)
    guesses, table = [np.full(values.size, np.nan)] * 3, {}
    for split, label in classes(kind).items():
        found = _medians(values, label, sources)
        guesses = [np.where(np.isfinite(new), new, old) for new, old in zip(found, guesses, strict=True)]
        off = [scores.mean_error((values - guess)[held], sources[held]) for guess in guesses]
        table[split] = dict(zip(("included", "row left out", "source left out"), off, strict=True))
        table[split]["answered"] = float(np.isfinite(found[2])[held].mean())
    return table


def _medians(values, label, source):
    """Of each row three medians of its class: of all, of all others, of those of other sources; NaN where none is left.

    Every source of a class has the same weight in it (`rivals.weighted_median`).
    """
    every, others, strangers = (np.full(values.size, np.nan) for _ in range(3))
    for each in np.unique(label).tolist():
        mine = np.flatnonzero(label == each)
        every[mine] = rivals.weighted_median(values[mine], source[mine])
        others[mine] = _without_one(values[mine], source[mine])
        for one in set(source[mine].tolist()):
            rest = mine[source[mine] != one]
            if rest.size:
                strangers[mine[source[mine] == one]] = rivals.weighted_median(values[rest], source[rest])
    return every, others, strangers


def _without_one(values, source):
    """Of each value the weighted median of all others, whose weights stay as they are; NaN where there is none."""
    if values.size == 1:
        return np.array([np.nan])
    _, which, count = np.unique(source, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    weights, place = (1 / count[which])[order], np.arange(values.size)
    lost = np.where(place >= place[:, None], weights[:, None], 0)  # a line for each that is left out
    share = np.cumsum(weights) - lost
    half = share[:, -1:] / 2 - 1e-12
    found = np.empty(values.size)
    found[order] = values[order][np.argmax((share >= half) & (place != place[:, None]), axis=1)]
    return found


@cache
def asked_row(kind):
    """Place of a row to look at: the one in the middle of the held-out source with most rows."""
    rows, _ = scored_rows(kind)
    sources, count = np.unique(rows["source_id"][rows["role"] == "held-out"], return_counts=True)
    mine = np.flatnonzero(rows["source_id"] == sources[count.argmax()])
    return int(mine[np.argsort(slower(kind)[mine], kind="stable")[mine.size // 2]])


def entering(kind, split, left):
    """(which rows the number of `asked_row` is the median of, which rows are of its class) with something left out."""
    rows, _ = scored_rows(kind)
    label, at = classes(kind)[one_of("split", split, SPLITS)], asked_row(kind)
    alike = label == label[at]
    out = {
        "nothing": np.zeros(alike.size, bool),
        "the row": np.arange(alike.size) == at,
        "its source": rows["source_id"] == rows["source_id"][at],
    }
    return alike & ~out[one_of("left", left, out)], alike


# ---- by source, and intervals


@cache
def by_source(kind):
    """One dictionary for each held-out source, the least error of the model first: source, rows, and each rival's error."""
    found = rivals.logs(kind)
    held = found["role"] == "held-out"
    names, rows = np.unique(found["source"][held], return_counts=True)
    errors = {name: scores.of_sources(np.abs(found[name][held]), found["source"][held]) for name in rivals.NAMES}
    lines = [
        {"source": source, "rows": rows[i].item()} | {name: each[i].item() for name, each in errors.items()}
        for i, source in enumerate(names.tolist())
    ]
    return sorted(lines, key=lambda line: line["model"])


def nearer(kind, rival="one number"):
    """(sources on which the model errs less than a rival, all held-out sources)."""
    lines = by_source(kind)
    return sum(line["model"] < line[one_of("rival", rival, rivals.NAMES)] for line in lines), len(lines)


def ahead(kind, rival="one number"):
    """(mean over sources of the rival's error less the model's on the same source, deviation of that mean)."""
    off = np.array([line[one_of("rival", rival, rivals.NAMES)] - line["model"] for line in by_source(kind)])
    return float(off.mean()), float(off.std(ddof=1) / off.size**0.5)


def lead(kind, rival="one number"):
    """`ahead` in words: points and their standard deviation."""
    return "{:.0f} ± {:.0f}".format(*(100 * value for value in ahead(kind, rival)))


def by_program():
    """Rows of a table: of each kind of program in training the errors of model and one number, and what intervals hold."""
    found, lines = rivals.logs("training"), []
    rows, _ = scored_rows("training")
    held = found["role"] == "held-out"
    for program in ("user", "framework team", "vendor recipe"):
        mine = held & (rows["program"] == program)
        sources = found["source"][mine]
        lines.append(
            {"program": program, "sources": np.unique(sources).size, "rows": int(mine.sum())}
            | {name: scores.mean_error(found[name][mine], sources) for name in ("one number", "model")}
            | {"inside": float(scores.of_sources(found["inside"][mine], sources).mean())}
        )
    return lines


@cache
def places(kind):
    """(place in its interval, source) of each held-out measurement: 0 at the prediction, 1 at the nearer end of the 80 %."""
    rows, found = scored_rows(kind)
    held = rows["role"] == "held-out"
    off = np.log(found["measured"] / found["predicted"])[held]
    ends = [np.log(found[end] / found["predicted"])[held] for end in ("high", "low")]
    return off / np.where(off > 0, *ends), rows["source_id"][held]


def inside(kind, level, width=1.0):
    """Share of held-out measurements, every source of the same weight, in intervals that promise `level`.

    `width`: over that of the book's intervals.
    """
    place, sources = places(kind)
    _, which, count = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / count[which] / count.size
    level = np.asarray(level, dtype=float)
    scale = width * trust.QUANTILE((1 + level) / 2) / trust.QUANTILE(0.9)
    return (place <= scale[..., None]) @ weights


# ---- pooling


class Classed(NamedTuple):
    """Held-out sources of training runs, one line for each source and kind of program: means of what they took."""

    mean: np.ndarray  # of ln(measured / seconds of a well-tuned program)
    program: np.ndarray
    rows: np.ndarray


@cache
def classed():
    """`Classed` of the corpus."""
    rows, found = scored_rows("training")
    behind = slower("training") + np.log(found["floor_s"] / found["seconds"])
    held = (rows["role"] == "held-out") & (rows["program"] != "")
    pairs = list(zip(rows["source_id"].tolist(), rows["program"].tolist(), strict=True))
    lines = {pair: [] for pair, used in zip(pairs, held.tolist(), strict=True) if used}
    for pair, used, value in zip(pairs, held.tolist(), behind.tolist(), strict=True):
        if used:
            lines[pair].append(value)
    means = np.array([np.mean(values) for values in lines.values()])
    return Classed(means, np.array([program for _, program in lines]), np.array([len(v) for v in lines.values()]))


def spread():
    """Deviation of sources about their class, every class with its own mean, without what their few rows add."""
    means, of, rows = classed()
    off = means - np.array([means[of == level].mean() for level in of])
    whole = (off**2).sum() / (means.size - np.unique(of).size)
    return float(np.sqrt(whole - np.mean(practice.kept("training").parts["row"] ** 2 / rows)))


def pooled(between):
    """(class -> (sources, their mean, the pooled mean), as factors on the time; |error| of each source when left out).

    eq:pooling for each kind of program about the mean of all sources; `between` is the deviation of classes.
    """
    means, of, _ = classed()
    within = spread()

    def guess(seen, classes, level):
        mine, every = seen[classes == level], seen.mean()
        return every + trust.pooled_log(mine.mean() - every, sources=mine.size, between=between, within=within)

    lines = {
        level: tuple(
            float(x) for x in ((of == level).sum(), np.exp(means[of == level].mean()), np.exp(guess(means, of, level)))
        )
        for level in np.unique(of).tolist()
    }
    every = np.arange(means.size)
    return lines, np.abs([means[i] - guess(means[every != i], of[every != i], of[i]) for i in every])


def gained(between, other):
    """By how many points pooling with one deviation of classes errs less than with another, and the deviation, in words."""
    off = 100 * (pooled(other)[1] - pooled(between)[1])
    return f"{off.mean():.1f} ± {off.std(ddof=1) / off.size**0.5:.1f}"


def of_one_page(rows):
    """How far the mean of so many rows of one training source may lie from the mean of its class."""
    return float(trust.deviation_of_mean(1, rows, source=spread(), row=practice.kept("training").parts["row"]))


# ---- twenty rows for the reader

SAID = {  # kind -> what is told of a row: column -> what it counts, or '' where the cell says it
    "training": dict.fromkeys(("model", "chip_name"), "")
    | {"n_chips": "chip", "seq_len": "token", "global_batch_seqs": "sequence"}
    | dict.fromkeys(("tp", "pp", "ep", "micro_batch", "recompute", "zero_fsdp", "compute_dtype"), "")
    | dict.fromkeys(("software", "software_date", "flops_kind"), ""),
    "inference": dict.fromkeys(("phase", "load", "model", "chip_name"), "")
    | {"n_chips": "chip", "tp": "", "batch": "sequence", "input_len": "prompt token", "output_len": "answer token"}
    | dict.fromkeys(("weight_dtype", "software", "software_date"), ""),
    "kernels": {"kernel": "", "chip_name": "", "dtype": "", "batch": "group", "m": "", "n": "", "k": "", "bytes": ""}
    | dict.fromkeys(("seq_len", "head_dim", "implementation"), ""),
    "collectives": {"collective": "", "chip_name": "", "n_gpus": "chip", "n_nodes": "machine", "message_bytes": ""}
    | {"network": ""},
}
SHOWN = {"GB/s": "GB/s of bus bandwidth"}  # unit -> what it counts
LABELLED = {
    "recompute": "recomputation",
    "zero_fsdp": "states",
    "flops_kind": "operations counted",
    "micro_batch": "micro-batch",
}


@cache
def _drawn():
    """(kind, place among `scored_rows`) of the rows: five of each kind, each of another source, drawn by lot from those held out."""
    lot, found = np.random.default_rng(LOT), []
    for kind in frame.KINDS:
        rows, _ = scored_rows(kind)
        held = np.flatnonzero((rows["role"] == "held-out") & (rows["chip_name"] != ""))
        sources = np.unique(rows["source_id"][held])
        for source in lot.permutation(sources)[: ASKED // len(frame.KINDS)].tolist():
            found.append((kind, int(lot.choice(held[rows["source_id"][held] == source]))))
    return found


def twenty():
    """The rows of a table: what is told of each, and the unit in which it is asked for."""
    lines = []
    for number, (kind, i) in enumerate(_drawn(), 1):
        rows, found = scored_rows(kind)
        said = [_told(name, rows[name][i], counts) for name, counts in SAID[kind].items()]
        unit = str(found["unit"][i])
        lines.append({"row": number, "what ran": ", ".join(filter(None, said)), "unit": SHOWN.get(unit, unit)})
    return lines


def _told(name, value, counts):
    if isinstance(value, str):
        words = value.replace("_", " ")
        return f"{LABELLED[name]} {words}" if words and name in LABELLED else words
    if not np.isfinite(value):
        return ""
    if counts:
        return plural(value, counts, 6)
    return si(value, "B") if name.endswith("bytes") else f"{LABELLED.get(name, name)} {plain(value, 6)}"


def _guessed(guesses):
    """(number, kind, place, ends) of each guess: one positive number, or two that are the ends of an interval."""
    if not isinstance(guesses, dict):
        raise ValueError(f"guesses must be a dictionary such as {{1: 40, 2: (5, 12)}}, got {guesses!r}")
    drawn = _drawn()
    for number, guess in guesses.items():
        if isinstance(number, bool) or not isinstance(number, Integral) or not 1 <= number <= len(drawn):
            raise ValueError(f"a row is a whole number from 1 to {len(drawn)}, got {number!r}")
        ends = tuple(guess) if isinstance(guess, (tuple, list, np.ndarray)) else (guess,)
        if len(ends) not in (1, 2):
            raise ValueError(f"the guess for row {number} must be a number or a pair, got {guess!r}")
        yield number, *drawn[number - 1], sorted(float(positive(f"guess for row {number}", end)) for end in ends)


def beat(guesses):
    """Rows of a table: the reader's errors and those of the rivals on the rows that she guessed.

    `guesses`: {number of the row: a number, or a pair (low, high) that she is sure of to 80 %}, in the units of `twenty`.
    """
    mine = list(_guessed(guesses))
    if not mine:
        return [{"": "no guess yet"}]
    errors, held = {name: [] for name in ("you", *rivals.NAMES)}, {"you": [], "model": []}
    for _, kind, i, ends in mine:
        _, found = scored_rows(kind)
        measured = found["measured"][i]
        errors["you"].append(abs(np.log(ends).mean() - np.log(measured)))
        for name in rivals.NAMES:
            errors[name].append(abs(rivals.logs(kind)[name][i]))
        held["model"].append(found["low"][i] <= measured <= found["high"][i])
        held["you"] += [ends[0] <= measured <= ends[1]] if len(ends) == 2 else []
    return [
        {
            "who": ({"you": "you"} | rivals.WORDS)[name],
            "rows": len(mine),
            "error": f"{np.mean(off):.0%}",
            "worst, times": plain(np.exp(np.max(off)), 2),
            "inside the 80 %": f"{np.sum(held[name])} of {len(held[name])}" if held.get(name) else "",
        }
        for name, off in errors.items()
    ]


def answers(guesses):
    """Rows of a table: of each row that was guessed the guess, the model, and what was measured, by whom."""
    lines = []
    for number, kind, i, ends in _guessed(guesses):
        rows, found = scored_rows(kind)
        lines.append(
            {
                "row": number,
                "guess": " to ".join(plain(end, 3) for end in ends),
                "model": plain(found["predicted"][i], 3),
                "measured": f"{plain(found['measured'][i], 3)} {found['unit'][i]}",
                "by": corpus.called(rows["source_id"][i].item()),
            }
        )
    return lines or [{"": "no guess yet"}]
