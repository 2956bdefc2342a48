"""Fit of what inference adds to kernels and wires: two constants.

`fit()` is what `data/inference_constants.csv` holds; sources with the role fit alone enter it.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import inference

GRID = np.geomspace(1, 6, 61)  # values of `experts_times` that are tried
WAITS_S = np.arange(0, 40.5e-6, 0.5e-6)  # values of `last_s` that are tried
UNFITTED = {"experts_times": 1.0}  # what every constant is before the fit


def rows_to_fit():
    """Rows of role fit without doubts."""
    rows = corpus.table("inference")
    fair = (rows["role"] == "fit") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    return corpus.where(rows, fair)


def fit(grid=GRID, waits_s=WAITS_S):
    """Constant -> {value, low, high, unit, rows, sources}.

    `last_s` has the least mean |log(predicted / measured)| over dense models on several chips, in steps that no
    host launches, every source with the same weight; then `experts_times` over routed models on hosted stacks,
    every model on a chip with the same weight.
    """
    rows = rows_to_fit()
    cases = inference.cases(rows)
    several = [case for case in cases.found if case.together and not case.routed]
    of = [str(rows["source_id"][case.rows[0]]) for case in several]
    last = _least(lambda last_s: _loss(cases, several, 1.0, last_s, of), waits_s)
    routed = [case for case in cases.found if case.hosted and case.routed]
    times = _least(lambda times: _loss(cases, routed, times, last["value"]), grid)
    fitted = {
        name: found | {"unit": unit} | _seen(rows, mine)
        for name, found, unit, mine in (("experts_times", times, "1", routed), ("last_s", last, "s", several))
    }
    return fitted


def _least(loss, grid):
    """The value of a grid with the least loss, and the ends of those within a twentieth of it."""
    losses = np.array([loss(value) for value in grid])
    near = grid[losses < losses.min() * 1.05]
    return {"value": float(grid[losses.argmin()]), "low": float(near.min()), "high": float(near.max())}


def _seen(rows, cases):
    names = {str(rows["source_id"][case.rows[0]]) for case in cases}
    return {"rows": sum(case.rows.size for case in cases), "sources": sorted(names)}


def _logs(cases, chosen, times, last_s):
    """log(measured / predicted seconds) of each row, NaN where it is in none of the chosen cases."""
    seconds = np.full(cases.reasons.size, np.nan)
    for case in chosen:
        on = replace(case.on, experts_times=times if case.hosted else 1.0, last_s=last_s)
        seconds[case.rows] = case.time(on)
    measured, predicted, unit = inference.headline(cases, seconds)
    with np.errstate(divide="ignore"):
        return np.where(unit == "tokens/s", -1, 1) * np.log(measured / predicted)


def _loss(cases, chosen, times, last_s, of=None):
    """Every case, a model on a chip, has the same weight, however many lengths were measured; or every one `of` a source."""
    logs = _logs(cases, chosen, times, last_s)
    each = np.array([np.abs(logs[case.rows]).mean() for case in chosen])
    if of is None:
        return float(each.mean())
    return float(np.mean([each[np.array(of) == source].mean() for source in sorted(set(of))]))


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
