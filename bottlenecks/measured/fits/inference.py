"""Fit of what inference adds to kernels and wires: one constant.

`fit()` is what `data/inference_constants.csv` holds; sources with the role fit alone enter it.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import frame, inference

WAITS_S = np.arange(0, 40.5e-6, 0.5e-6)  # values of `last_s` that are tried


def rows_to_fit():
    """Rows of role fit without doubts."""
    rows = corpus.table("inference")
    fair = (rows["role"] == "fit") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    return corpus.where(rows, fair)


def fit(waits_s=WAITS_S):
    """Constant -> {value, low, high, unit, rows, sources}.

    `last_s` has the least mean |log(predicted / measured)| over dense models on several chips, in steps that no
    host launches, every source with the same weight.
    """
    rows = rows_to_fit()
    cases = inference.cases(rows)
    several = [case for case in cases.found if case.together and not case.routed]
    last = _least(lambda last_s: _loss(cases, several, last_s), waits_s)
    return {"last_s": last | {"unit": "s"} | _seen(rows, several)}


def _least(loss, grid):
    """The value of a grid with the least loss, and the ends of those within a twentieth of it."""
    losses = np.array([loss(value) for value in grid])
    near = grid[losses < losses.min() * 1.05]
    return {"value": float(grid[losses.argmin()]), "low": float(near.min()), "high": float(near.max())}


def _seen(rows, cases):
    names = {str(rows["source_id"][case.rows[0]]) for case in cases}
    return {"rows": sum(case.rows.size for case in cases), "sources": sorted(names)}


def _loss(cases, chosen, last_s):
    """Mean over sources of the mean over cases of the mean |log(measured / predicted seconds)|."""
    seconds = np.full(cases.reasons.size, np.nan)
    for case in chosen:
        seconds[case.rows] = case.time(replace(case.on, last_s=last_s))
    logs = frame.slower("inference", cases, seconds)
    each = np.array([np.abs(logs[case.rows]).mean() for case in chosen])
    of = np.array([str(cases.columns["source_id"][case.rows[0]]) for case in chosen])
    return float(np.mean([each[of == source].mean() for source in np.unique(of)]))


def table(fitted):
    """The fit as rows of the data file."""
    for name, found in sorted(fitted.items()):
        numbers = [f"{found[c]:.4g}" for c in ("value", "low", "high")]
        yield ",".join([name, *numbers, found["unit"], str(found["rows"]), ";".join(found["sources"])])


def rows():
    """The rows of data/inference_constants.csv, as dictionaries."""
    return [
        {
            "constant": name,
            **{c: f"{row[c]:.4g}" for c in ("value", "low", "high")},
            "unit": row["unit"],
            "rows": str(row["rows"]),
            "sources": ";".join(row["sources"]),
        }
        for name, row in fit().items()
    ]
