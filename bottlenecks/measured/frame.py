"""Predict, then score: every kind of model through one frame, on the corpus or on a reader's file.

A kind of model is a module with `predict(columns)`, which returns for every row what it predicts
with its interval, the owner of its time, what was assumed and, where nothing is predicted, why;
`headline(columns, prediction)` puts these and the measurement in the row's own unit.
"""

import csv
from collections import Counter
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import collective_rows, inference, kernels, training

KINDS = MappingProxyType(
    {"kernels": kernels, "inference": inference, "collectives": collective_rows, "training": training}
)
ADDED = ("predicted", "low", "high", "measured", "unit", "ratio", "bound", "assumed", "reason")


def predict(kind, columns, *, owners=True):
    """Predictions for the rows of a table, in their own units: the columns of `ADDED`.

    `ratio` is predicted over measured; `low` and `high` bound 80 % of measurements; `bound` is the
    resource with the largest share ('' without `owners`, which take most of the work); `reason` says
    why a row has no prediction.
    """
    model = KINDS[one_of("kind", kind, KINDS)]
    found = model.predict(columns, owners=owners)
    with np.errstate(divide="ignore", invalid="ignore"):
        measured, predicted, unit = model.headline(columns, found["seconds"])
        ends = [model.headline(columns, found[end])[1] for end in ("low_s", "high_s")]
        ratio = predicted / measured
    return {
        "predicted": predicted,
        "low": np.minimum(*ends),
        "high": np.maximum(*ends),
        "measured": measured,
        "unit": unit,
        "ratio": ratio,
        "bound": found["bound"],
        "assumed": found["assumed"],
        "reason": found["reason"],
    }


def predict_file(kind, path, out):
    """Write the rows of a CSV file with their predictions into another, or into an open one.

    Every row and column of the input comes out, in order; a file that this function wrote gets new
    predictions in place of the old ones. Returns the predictions.
    """
    one_of("kind", kind, KINDS)
    given, columns = corpus.read(path, kind)
    clash = [name for name in ADDED if name in given]
    if clash and len(clash) < len(ADDED):
        raise ValueError(f"{path}: the predictions have a column {clash[0]!r} as well: rename that of the file")
    is_open = hasattr(out, "write")
    if not is_open and Path(out).exists() and Path(out).samefile(path):
        raise ValueError(f"{out} is the input itself: name another file")
    found = predict(kind, columns)
    texts = {c: v for c, v in given.items() if c not in ADDED}
    texts |= {name: [_text(v) for v in found[name].tolist()] for name in ADDED}
    if is_open:
        _write(out, texts)
        return found
    out = Path(out).resolve()
    part = out.with_name(f"{out.name}.part") if out.is_file() or not out.exists() else out
    try:  # in two steps, so that nothing half-written has the name
        with part.open("w", encoding="utf-8", newline="") as file:
            _write(file, texts)
        part.replace(out)
    except OSError as error:
        raise OSError(f"can not write {out}: {error.strerror}") from error
    finally:
        if part != out and part.exists():
            part.unlink()
    return found


def _write(file, texts):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(texts)
    writer.writerows(zip(*texts.values(), strict=True))


def _text(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.5g}"


def of_corpus(kind):
    """(rows of the corpus, their predictions without owners)."""
    rows = corpus.table(one_of("kind", kind, KINDS))
    return rows, predict(kind, rows, owners=False)


def score(kind, of=None):
    """Errors on the corpus: one dictionary for each (role, source, group of rows), held-out last.

    `error` is the mean of |predicted / measured - 1|; suspect and repeated rows are not scored.
    `of`: what `of_corpus` returns, where it is known already.
    """
    model = KINDS[one_of("kind", kind, KINDS)]
    rows, found = of or of_corpus(kind)
    groups = model.groups(rows)
    fair = (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    scored = fair & np.isfinite(found["ratio"])
    table = []
    keys = zip(rows["role"].tolist(), rows["source_id"].tolist(), groups.tolist(), strict=True)
    for role, source, group in sorted(set(keys)):
        mine = (rows["role"] == role) & (rows["source_id"] == source) & (groups == group)
        used = mine & scored
        table.append({"role": role, "source": source, "group": group, "rows": int(mine.sum())} | _errors(found, used))
    return table


def rows_summary(kind, of=None):
    """For each role: rows scored, the median error over rows, and the share inside the 80 % interval."""
    rows, found = of or of_corpus(kind)
    fair = (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & np.isfinite(found["ratio"])
    inside = (found["low"] <= found["measured"]) & (found["measured"] <= found["high"])
    lines = []
    for role in ("fit", "held-out"):
        mine = fair & (rows["role"] == role)
        if mine.any():
            lines.append(
                {
                    "role": role,
                    "rows": int(mine.sum()),
                    "median": float(np.median(np.abs(found["ratio"][mine] - 1))),
                    "inside": float(inside[mine].mean()),
                }
            )
    return lines


def _errors(found, used):
    """Error, bias, worst ratio and share of measurements inside the interval, over some rows."""
    ratio = found["ratio"][used]
    if not ratio.size:
        return {"scored": 0, "error": np.nan, "bias": np.nan, "worst": np.nan, "inside": np.nan}
    inside = (found["low"] <= found["measured"]) & (found["measured"] <= found["high"])
    return {
        "scored": int(ratio.size),
        "error": float(np.abs(ratio - 1).mean()),
        "bias": float((ratio - 1).mean()),
        "worst": float(ratio[np.abs(np.log(ratio)).argmax()]),
        "inside": float(inside[used].mean()),
    }


def summary(table):
    """For each role and group: sources, rows, the mean over sources, the worst source."""
    lines = []
    for role in ("fit", "held-out"):
        for group in sorted({line["group"] for line in table}):
            mine = [r for r in table if r["role"] == role and r["group"] == group and r["scored"]]
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


def unscored(kind):
    """Reason -> rows of the corpus that have no prediction, most frequent first."""
    rows = corpus.table(one_of("kind", kind, KINDS))
    return reasons(predict(kind, rows, owners=False))


def reasons(found):
    """Reason -> rows of `predict` that have it, most frequent first."""
    return dict(Counter(filter(None, found["reason"].tolist())).most_common())


# ---- as tables


def score_table(scores, role):
    """Rows of a table: `score` for one role, sources with predictions only, worst first."""
    mine = [r for r in scores if r["role"] == role and r["scored"]]
    return [
        {
            "source": r["source"],
            "kernels": r["group"],
            "rows": r["scored"],
            "error": f"{r['error']:.0%}",
            "bias": f"{r['bias']:+.0%}",
            "worst, predicted / measured": f"{r['worst']:.2f}",
            "inside the 80 % interval": f"{r['inside']:.0%}",
        }
        for r in sorted(mine, key=lambda r: -r["error"])
    ]


def summary_table(scores):
    """Rows of a table: `summary` in words."""
    return [
        {
            "sources": r["role"],
            "kernels": r["group"],
            "how many": r["sources"],
            "rows": r["rows"],
            "mean error": f"{r['error']:.0%}",
            "worst": f"{r['worst source']}, {r['its error']:.0%}",
        }
        for r in summary(scores)
    ]


def source_error(scores, source, group):
    """Mean absolute error of one source's rows of one group."""
    return next(r["error"] for r in scores if (r["source"], r["group"]) == (source, group))


def implementation_error(kind, source, implementation):
    """Mean absolute error of a source's rows that one program made."""
    rows = corpus.table(kind)
    ratio = predict(kind, rows, owners=False)["ratio"]
    mine = (rows["source_id"] == source) & (rows["implementation"] == implementation)
    return float(np.nanmean(np.abs(ratio[mine] - 1)))
