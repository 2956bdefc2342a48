"""What the models predict for the corpus, computed once, and the errors that it comes to.

`data/predictions_<kind>.csv` has a line for each row of the corpus's table, in order. `make scores`
writes these tables, one test computes them anew, and everything that prints an error of the book
reads them. A reader's own rows go through `frame`.
"""

import csv
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus, files
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.laws import shares
from bottlenecks.measured import floors, frame, practice
from bottlenecks.models.machine import RESOURCES

# seconds: of the well-tuned program; floor_s: of the datasheet; reference: as seconds, and the others, in `unit`.
NUMBERS = ("seconds", "floor_s", "reference", "predicted", "low", "high", "measured")
OWNERS = ("compute", "memory", "network", "latency")  # of a training step; memory with the caches
# Of training alone. open: deviation of the logarithm of the time over what a row leaves open.
NUMBERS_OF_RUNS = ("params", "chips", "open", *OWNERS)
DIGITS = 12  # so that an error near zero, and a picture drawn of it, stay the same


@cache
def table(kind):
    """The committed predictions of a kind of rows: column -> array, with `ratio`, predicted over measured.

    source, group (what a row is scored under), family (of the chip), seconds (of a well-tuned program), floor_s (of the
    datasheet), reference (seconds in the row's unit), then the columns of `frame.predict`, practice included; of the
    sources that practice is learned on, practice is that of all others. Of training also software, params, chips, open
    (deviation over what the row leaves open), and the shares of OWNERS.
    """
    texts = data.columns(f"predictions_{one_of('kind', kind, frame.KINDS)}")
    numbers = (*NUMBERS, *NUMBERS_OF_RUNS)
    found = {
        name: np.array([cell or "nan" for cell in cells], dtype=float) if name in numbers else np.array(cells)
        for name, cells in texts.items()
    }
    if not np.array_equal(found["source"], corpus.table(kind)["source_id"]):
        raise ValueError(f"predictions_{kind}.csv is not that of the corpus as it is now: run `make scores`")
    return _closed(found)


def fresh(kind, *, owners=True):
    """The same columns, computed now; without `owners`, which take most of the work, `bound` is '' and no share is known."""
    rows = corpus.table(one_of("kind", kind, frame.KINDS))
    model = frame.KINDS[kind]
    cases = model.cases(rows)
    predicted = model.predict(cases, owners=owners)
    nothing = (1.0, 1.0, 1.0)
    found = {
        "source": rows["source_id"],
        "group": model.groups(cases),
        "family": _families(cases),
        "seconds": predicted["seconds"],
        "floor_s": floors.floor_s(kind, cases),
        "reference": frame.in_own_units(kind, cases, predicted, nothing)["predicted"],
    }
    found |= frame.in_own_units(kind, cases, predicted, _left_out(kind, rows, cases, predicted))
    return _closed(found | (_of_runs(cases, owners) if kind == "training" else {}))


def _families(cases):
    """Family of the chip that each row ran on, '' where it is not known."""
    names = cases.columns["chip_name"].tolist()
    return np.array([chip(name).family if name else "" for name in names], dtype=str)


def practised(kind, rows, cases, predicted):
    """Which rows practice is learned on: measured, fair, of sources that no constant is fitted on; and their logarithms."""
    logs = frame.slower(kind, cases, predicted["seconds"])
    return np.isfinite(logs) & (rows["role"] == "held-out") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0), logs


def _left_out(kind, rows, cases, predicted):
    """Practice's factors for each row, by a fit to all sources but its own."""
    used, logs, sources, levels, open = learned_from(kind, rows, cases, predicted)
    kept = practice.kept(kind)
    factors = practice.predicted(kept, levels, open)
    found = practice.left_out(logs, sources, levels, open, used, factors, shifts=practice.shifted(kept))
    return tuple(each[: rows["source_id"].size] for each in found)


def learned_from(kind, rows, cases, predicted):
    """(used, logs, sources, levels, open) that practice is learned on: the rows, and where a kind has an `untold`, those too."""
    model = frame.KINDS[kind]
    used, logs = practised(kind, rows, cases, predicted)
    found = (used, logs, rows["source_id"], model.classes(cases), predicted["open"])
    if not hasattr(model, "untold"):
        return found
    cases = model.cases(model.untold(rows))
    predicted = model.predict(cases, owners=False)
    used, logs = practised(kind, rows, cases, predicted)
    again = (used, logs, rows["source_id"], model.classes(cases), predicted["open"])
    levels = {factor: np.concatenate([of, again[3][factor]]) for factor, of in found[3].items()}
    used, logs, sources, open = (np.concatenate([found[i], again[i]]) for i in (0, 1, 2, 4))
    return used, logs, sources, levels, open


def _closed(found):
    with np.errstate(divide="ignore", invalid="ignore"):
        found["ratio"] = found["predicted"] / found["measured"]
    for values in found.values():
        values.setflags(write=False)  # every caller gets the same arrays
    return found


def write(kind, found):
    """Write what `fresh` returns as the committed table; a ratio is left out, which follows from the others."""
    kept = {name: values.tolist() for name, values in found.items() if name != "ratio"}

    def fill(file):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kept)
        writer.writerows([_text(value) for value in line] for line in zip(*kept.values(), strict=True))

    files.write(data.FOLDER / f"predictions_{kind}.csv", fill)


def _text(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.{DIGITS}g}"


# ---- training: what a run is, and who owned its second


def _of_runs(cases, owners):
    """The columns that training alone has."""
    count = cases.reasons.size
    found = {name: np.full(count, np.nan) for name in NUMBERS_OF_RUNS}
    found |= {"software": np.full(count, "", dtype=object)}
    for case in cases.found:
        found["open"][case.rows] = case.open
        found["software"][case.rows] = case.software.name
        found["params"][case.rows] = float(case.model.params)
        found["chips"][case.rows] = np.broadcast_to(case.layout.chips, case.rows.shape)
        for owner, share in shares_of(case).items() if owners else ():
            found[owner][case.rows] = share
    return {name: values.astype(str) if values.dtype == object else values for name, values in found.items()}


def shares_of(case):
    """Shares of the rows of a `measured.training.Case` (eq:shares): owner -> array."""

    found = shares.at_once(case.time, case.on, RESOURCES)
    return found | {"memory": found["memory"] + found.pop("cache")}


# ---- errors


def fair(rows, found):
    """Rows that are scored: measured and predicted, neither suspect nor printed before."""
    return (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & np.isfinite(found["ratio"])


def score(kind, found=None):
    """Errors on the corpus: one dictionary for each (role, source, group of rows), held-out last.

    `error` is the mean of |ln(predicted / measured)|, `bias` that of the logarithm of the predicted speed over the
    measured one (above zero: too fast), `inside` the share inside the interval of 80 %; suspect and repeated rows are not scored.
    `found`: predictions as `table` has them, which is the default, or as `fresh` computes them.
    """
    found = table(kind) if found is None else found
    rows = corpus.table(kind)
    scored = fair(rows, found)
    lines = []
    keys = zip(rows["role"].tolist(), rows["source_id"].tolist(), found["group"].tolist(), strict=True)
    for role, source, group in sorted(set(keys)):
        mine = (rows["role"] == role) & (rows["source_id"] == source) & (found["group"] == group)
        lines.append(
            {"role": role, "source": source, "group": group, "rows": int(mine.sum())} | _errors(found, mine & scored)
        )
    return lines


def _errors(found, used):
    """Error, bias, worst ratio and share of measurements inside the interval, over some rows."""
    ratio = found["ratio"][used]
    if not ratio.size:
        return {"scored": 0, "error": np.nan, "bias": np.nan, "worst": np.nan, "inside": np.nan}
    return {
        "scored": int(ratio.size),
        "error": float(np.abs(np.log(ratio)).mean()),
        "bias": float((np.log(ratio) * np.where(np.isin(found["unit"][used], frame.TIMES), -1, 1)).mean()),
        "worst": float(ratio[np.abs(np.log(ratio)).argmax()]),
        "inside": float(inside(found)[used].mean()),
    }


def in_seconds(found):
    """predicted_s and measured_s of each row of a table, in whatever unit it states them, and error: ln of their ratio."""
    sign = np.where(np.isin(found["unit"], frame.TIMES), 1, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        of = {
            f"{name}_s": found["seconds"] * (found[name] / found["reference"]) ** sign
            for name in ("predicted", "measured")
        }
        return of | {"error": np.log(of["predicted_s"] / of["measured_s"])}


def of_sources(values, sources):
    """Of each source, in the order of their names, the mean of its rows."""
    return np.array([values[sources == name].mean() for name in np.unique(sources)])


def mean_error(logs, sources):
    """The mean over sources of the mean |ln(predicted / measured)|."""
    return float(of_sources(np.abs(logs), sources).mean())


def inside(found):
    """Which measurements lie inside the interval of 80 %."""
    return (found["low"] <= found["measured"]) & (found["measured"] <= found["high"])


def summary(scores):
    """What `score` comes to for each role and group: sources, rows, the mean over sources, the worst source."""
    lines = []
    for role in ("fit", "held-out"):
        for group in sorted({line["group"] for line in scores}):
            mine = [r for r in scores if r["role"] == role and r["group"] == group and r["scored"]]
            if mine:
                worst = max(mine, key=lambda line: line["error"])
                lines.append(
                    {
                        "role": role,
                        "group": group,
                        "sources": len(mine),
                        "rows": sum(line["scored"] for line in mine),
                        "error": float(np.mean([line["error"] for line in mine])),
                        "worst source": worst["source"],
                        "its error": worst["error"],
                    }
                )
    return lines


def rows_summary(kind, found=None):
    """For each role: rows scored, the median error over rows, and the share inside the 80 % interval."""
    found = table(kind) if found is None else found
    rows = corpus.table(kind)
    lines = []
    for role in ("fit", "held-out"):
        mine = fair(rows, found) & (rows["role"] == role)
        if mine.any():
            median = float(np.median(np.abs(np.log(found["ratio"][mine]))))
            share = float(inside(found)[mine].mean())
            lines.append({"role": role, "rows": int(mine.sum()), "median": median, "inside": share})
    return lines


def unscored(kind, found=None):
    """Reason -> rows of the corpus that have no prediction, most frequent first."""
    return frame.reasons(table(kind) if found is None else found)


def errors(kind, found=None):
    """Every error of a kind, for budgets: (role, group, source) -> error.

    Without a source the mean over a group's sources; without a group the median over all rows.
    """
    lines = score(kind, found)
    every = {(r["role"], "", ""): r["median"] for r in rows_summary(kind, found)}
    every |= {(r["role"], r["group"], ""): r["error"] for r in summary(lines)}
    return every | {(r["role"], r["group"], r["source"]): r["error"] for r in lines if r["scored"]}


def source_error(scores, source, group):
    """Error of one source's rows of one group."""
    return next(r["error"] for r in scores if (r["source"], r["group"]) == (source, group))


def worst_source(line):
    """The worst source of a line of `summary`, by its name, and its error."""
    return f"{corpus.called(line['worst source'])}, {line['its error']:.0%}"
