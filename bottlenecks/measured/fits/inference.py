"""Fit of what inference adds to kernels and wires: one constant, and the spread of measurements.

`fit()` is what `data/inference_constants.csv` holds; sources with the role fit alone enter it.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import inference
from bottlenecks.measured.fits import interval

GRID = np.geomspace(1, 6, 61)  # values of `experts_times` that are tried
UNFITTED = {"experts_times": 1.0}  # what every constant is before the fit


def rows_to_fit():
    """Rows of role fit without doubts."""
    rows = corpus.table("inference")
    fair = (rows["role"] == "fit") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    return corpus.where(rows, fair)


def fit(grid=GRID):
    """Constant -> {value, low, high, rows, sources}.

    `experts_times` has the least mean |log(predicted / measured)| over routed models on hosted
    stacks, every model on a chip with the same weight. Spreads are what 80 % of measured over predicted
    times of the fit sources lie within; a kind that few sources measure has a wider one.
    """
    rows = rows_to_fit()
    cases = inference.cases(rows)
    routed = [case for case in cases.found if case.hosted and case.routed]
    losses = np.array([_loss(cases, routed, times) for times in grid])
    best = float(grid[losses.argmin()])
    near = grid[losses < losses.min() * 1.05]
    sources = sorted({str(rows["source_id"][case.rows[0]]) for case in routed})
    fitted = {
        "experts_times": {
            "value": best,
            "low": float(near.min()),
            "high": float(near.max()),
            "rows": sum(case.rows.size for case in routed),
            "sources": sources,
        }
    }
    return fitted | {f"spread_{kind}": _spread(cases, best, kind) for kind in inference.SPREADS}


def _logs(cases, chosen, times):
    """log(measured / predicted seconds) of each row, NaN where it is in none of the chosen cases."""
    seconds = np.full(cases.reasons.size, np.nan)
    for case in chosen:
        on = replace(case.on, experts_times=times) if case.hosted else case.on
        seconds[case.rows] = case.time(on)
    measured, predicted, unit = inference.headline(cases, seconds)
    with np.errstate(divide="ignore"):
        return np.where(unit == "tokens/s", -1, 1) * np.log(measured / predicted)


def _loss(cases, routed, times):
    """Every model on a chip has the same weight, however many lengths were measured."""
    logs = _logs(cases, routed, times)
    return float(np.mean([np.abs(logs[case.rows]).mean() for case in routed]))


def _spread(cases, times, kind):
    """The interval of a kind: root mean square over sources, wider the fewer there are (Student's t)."""
    logs = _logs(cases, [case for case in cases.found if case.kind == kind], times)
    known = np.isfinite(logs)
    logs, seen = logs[known], cases.columns["source_id"][known]
    half = interval.half(logs, seen)
    return {"value": 1.0, "low": 1 / half, "high": half, "rows": logs.size, "sources": np.unique(seen).tolist()}


def table(fitted):
    """The fit as rows of the data file."""
    for name, found in sorted(fitted.items()):
        numbers = [f"{found[c]:.4g}" for c in ("value", "low", "high")]
        yield ",".join([name, *numbers, "1", str(found["rows"]), ";".join(found["sources"])])


def rows():
    """The rows of data/inference_constants.csv, as dictionaries."""
    return [
        {
            "constant": name,
            **{c: f"{row[c]:.4g}" for c in ("value", "low", "high")},
            "unit": "1",
            "rows": str(row["rows"]),
            "sources": ";".join(row["sources"]),
        }
        for name, row in fit().items()
    ]
