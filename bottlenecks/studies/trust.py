"""Trust: how an error depends on who is asked, how intervals hold, and twenty rows to be predicted by the reader."""

from functools import cache

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
    "family of chips",
    "decade of time",
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
CLASSES = {"training": ("program", "program"), "kernels": ("width", "dtype")}  # where practice moves the middle
ASKED, LOT = 20, 22  # rows to be predicted by the reader, and the seed that drew them


def history(kind):
    """Errors of a kind as they were printed, stage by stage, the last computed now: one dictionary for each."""
    one_of("kind", kind, frame.KINDS)
    found = [
        {"stage": row["stage"], "sources": int(row["sources"])}
        | {name: float(row[name] or "nan") for name in ("error", "inside", "one_number")}
        for row in data.rows("score_history")
        if row["kind"] == kind
    ]
    (once,) = (row for row in data.rows("fresh_scores") if row["kind"] == kind)
    found.append(
        {"stage": FRESH, "sources": int(once["sources"]), "one_number": np.nan}
        | {name: float(once[name]) for name in ("error", "inside")}
    )
    now = rivals.summary(kind)
    last = {"error": now["model"]["error"], "inside": now["inside"], "one_number": now["one number"]["error"]}
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
    keys = [found["group"], found["family"], decade, *(rows[name] for name in COLUMNS[kind])]
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

    The number is the median of `slower` over the class; where leaving out empties a class, that of the split before.
    Errors are means over held-out sources.
    """
    rows, _ = scored_rows(kind)
    held, sources, values = rows["role"] == "held-out", rows["source_id"], slower(kind)
    guesses, table = [np.full(values.size, np.nan)] * 3, {}
    for split, label in classes(kind).items():
        found = zip(_medians(values, label, sources), guesses, strict=True)
        guesses = [np.where(np.isfinite(new), new, old) for new, old in found]
        off = [scores.mean_error((values - guess)[held], sources[held]) for guess in guesses]
        table[split] = dict(zip(("included", "row left out", "source left out"), off, strict=True))
    return table


def _medians(values, label, source):
    """Of each row three medians of its class: of all, of all others, of those of other sources; NaN where none is left."""
    every, others, strangers = (np.full(values.size, np.nan) for _ in range(3))
    for each in np.unique(label).tolist():
        mine = np.flatnonzero(label == each)
        every[mine] = np.median(values[mine])
        others[mine] = _without_one(values[mine])
        for one in set(source[mine].tolist()):
            rest = values[mine[source[mine] != one]]
            if rest.size:
                strangers[mine[source[mine] == one]] = np.median(rest)
    return every, others, strangers


def _without_one(values):
    """Of each value the median of all others; NaN where there is none."""
    if values.size == 1:
        return np.array([np.nan])
    order = np.argsort(values, kind="stable")
    ordered, rank = values[order], np.argsort(order, kind="stable")
    ends = [np.where(k < rank, ordered[k], ordered[k + 1]) for k in ((values.size - 2) // 2, (values.size - 1) // 2)]
    return (ends[0] + ends[1]) / 2


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
    lines = [
        {"source": source, "rows": int((found["source"] == source).sum())}
        | {name: float(np.abs(found[name][found["source"] == source]).mean()) for name in rivals.NAMES}
        for source in np.unique(found["source"][held]).tolist()
    ]
    return sorted(lines, key=lambda line: line["model"])


def nearer(kind, rival="one number"):
    """(sources on which the model errs less than a rival, all held-out sources)."""
    lines = by_source(kind)
    return sum(line["model"] < line[one_of("rival", rival, rivals.NAMES)] for line in lines), len(lines)


@cache
def places(kind):
    """Where each held-out measurement lies in its interval: 0 at the prediction, 1 at the nearer end of the 80 %."""
    rows, found = scored_rows(kind)
    held = rows["role"] == "held-out"
    off = np.log(found["measured"] / found["predicted"])[held]
    ends = [np.log(found[end] / found["predicted"])[held] for end in ("high", "low")]
    return off / np.where(off > 0, *ends)


def inside(kind, level, width=1.0):
    """Share of held-out measurements in intervals that promise `level`, `width` times as wide as the book has them."""
    scale = width * trust.QUANTILE((1 + np.asarray(level, dtype=float)) / 2) / trust.QUANTILE(0.9)
    return (places(kind) <= scale[..., None]).mean(axis=-1)


# ---- pooling


@cache
def classed(kind):
    """(mean logarithm, class) of each held-out source and class of it: how far its runs stay behind the reference."""
    factor, column = CLASSES[one_of("kind", kind, CLASSES)]
    rows, found = scored_rows(kind)
    behind = slower(kind) + np.log(found["floor_s"] / found["seconds"])
    levels = np.where(rows[column] == "", "untold", rows[column]) if factor == "program" else _widths(rows[column])
    held = rows["role"] == "held-out"
    pairs = dict.fromkeys(zip(rows["source_id"][held].tolist(), levels[held].tolist(), strict=True))
    known = [(factor, level) in practice.kept(kind).effects and level != "" for _, level in pairs]
    pairs = [pair for pair, ok in zip(pairs, known, strict=True) if ok]
    means = [behind[held & (rows["source_id"] == s) & (levels == level)].mean() for s, level in pairs]
    return np.array(means), np.array([level for _, level in pairs])


def _widths(dtypes):
    """Bits of the operands by their first digits, as practice has them."""
    return np.array([next((bits for bits in ("16", "32", "8") if bits in name), "") for name in dtypes.tolist()])


def spread(kind):
    """Deviation of sources about the mean of their class, every class with its own mean."""
    means, of = classed(kind)
    off = means - np.array([means[of == level].mean() for level in of])
    return float(np.sqrt((off**2).sum() / (means.size - np.unique(of).size)))


def pooled(kind, between):
    """Class -> (sources, their mean, the pooled mean, both as factors on the time), and the error with each source left out.

    eq:pooling for each class about the mean of all sources; `between` is the deviation of classes.
    """
    means, of = classed(kind)
    within = spread(kind)

    def guess(seen, classes, level):
        mine = seen[classes == level]
        if not mine.size:
            return seen.mean()
        return seen.mean() + trust.pooled_log(
            mine.mean() - seen.mean(), sources=mine.size, between=between, within=within
        )

    lines = {
        level: (
            int((of == level).sum()),
            float(np.exp(means[of == level].mean())),
            float(np.exp(guess(means, of, level))),
        )
        for level in np.unique(of).tolist()
    }
    every = np.arange(means.size)
    off = [means[i] - guess(means[every != i], of[every != i], of[i]) for i in every]
    return lines, float(np.abs(off).mean())


# ---- twenty rows for the reader

SAID = {  # kind -> what is told of a row
    "training": (
        "model",
        "chip_name",
        "n_chips",
        "seq_len",
        "global_batch_seqs",
        "tp",
        "pp",
        "compute_dtype",
        "software",
    ),
    "inference": (
        "phase",
        "model",
        "chip_name",
        "n_chips",
        "batch",
        "input_len",
        "output_len",
        "weight_dtype",
        "software",
    ),
    "kernels": ("kernel", "chip_name", "dtype", "m", "n", "k", "bytes", "seq_len", "head_dim"),
    "collectives": ("collective", "chip_name", "n_gpus", "n_nodes", "message_bytes", "network"),
}
COUNTED = {
    "n_chips": "chip",
    "n_gpus": "chip",
    "n_nodes": "machine",
    "seq_len": "token",
    "global_batch_seqs": "sequence",
}
COUNTED |= {"batch": "sequence", "input_len": "prompt token", "output_len": "answer token"}


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
        said = [_told(name, rows[name][i]) for name in SAID[kind]]
        lines.append({"row": number, "what ran": ", ".join(filter(None, said)), "unit": str(found["unit"][i])})
    return lines


def _told(name, value):
    if isinstance(value, str):
        return value.replace("_", " ")
    if not np.isfinite(value):
        return ""
    if name in COUNTED:
        return plural(value, COUNTED[name], 6)
    return si(value, "B") if name.endswith("bytes") else f"{name} {plain(value, 6)}"


def beat(guesses):
    """Rows of a table: the reader's errors and those of the rivals on the rows that she guessed.

    `guesses`: {number of the row: a number, or a pair (low, high) that she is sure of to 80 %}, in the units of `twenty`.
    """
    drawn, mine = _drawn(), {}
    for number, guess in guesses.items():
        one_of("row", str(number), [str(n + 1) for n in range(len(drawn))])
        mine[number] = [positive(f"guess for row {number}", float(end)) for end in np.atleast_1d(guess)]
    if not mine:
        return [{"": "no guess yet"}]
    errors = {name: [] for name in ("you", *rivals.NAMES)}
    held = {"you": [], "model": []}
    for number, ends in mine.items():
        kind, i = drawn[number - 1]
        _, found = scored_rows(kind)
        measured = found["measured"][i]
        logs = rivals.logs(kind)
        errors["you"].append(abs(np.log(np.exp(np.mean(np.log(ends))) / measured)))
        for name in rivals.NAMES:
            errors[name].append(abs(logs[name][i]))
        held["model"].append(found["low"][i] <= measured <= found["high"][i])
        if len(ends) == 2:
            held["you"].append(min(ends) <= measured <= max(ends))
    words = {"you": "you"} | rivals.WORDS
    return [
        {
            "who": words[name],
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
    for number, guess in guesses.items():
        kind, i = _drawn()[number - 1]
        rows, found = scored_rows(kind)
        lines.append(
            {
                "row": number,
                "guess": " to ".join(plain(float(end), 3) for end in np.atleast_1d(guess)),
                "model": plain(found["predicted"][i], 3),
                "measured": f"{plain(found['measured'][i], 3)} {found['unit'][i]}",
                "by": corpus.called(rows["source_id"][i].item()),
            }
        )
    return lines or [{"": "no guess yet"}]
