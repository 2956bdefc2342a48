"""What all kinds of measured rows share: rows that one call predicts, rows that can be none, predictions.

A kind of measurement is a module with `cases(columns)`, made once, and with what is asked of them:
`predict(cases)`, `headline(cases, seconds)` in the unit of each row, and `groups(cases)` to be scored under.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.laws import shares


class Cases(NamedTuple):
    """All rows of a table as cases; a row is in one, or there is a reason why it is in none.

    A case has `rows`, `on` (what it ran on), `time(on)` in seconds, and `assumed`: one text, or one a row.
    """

    columns: dict
    found: list
    reasons: np.ndarray


def impossible(columns, *, above_zero=(), zero_or_more=(), at_least_one=()):
    """Why each row can be none: '' or words. A blank (NaN) is no reason; what is named last counts."""
    reasons = np.full(columns["source_id"].size, "", dtype=object)
    limits = {name: ("above zero", lambda v: v <= 0) for name in above_zero}
    limits |= {name: ("at least 0", lambda v: v < 0) for name in zero_or_more}
    limits |= {name: ("at least 1", lambda v: v < 1) for name in at_least_one}
    for name, (bound, is_wrong) in limits.items():
        given = columns[name]
        for i in np.flatnonzero(is_wrong(given) | np.isinf(given)):
            reasons[i] = f"{name} must be {bound} and finite, got {given[i]:g}"
    return reasons


def alike(columns, texts, numbers=(), blanks=(), among=True):
    """Rows alike in texts, in numbers and in which cells are blank: arrays of places, in order of their first."""
    keys = [columns[name].tolist() for name in texts]
    keys += [np.nan_to_num(columns[name], nan=-1).tolist() for name in numbers]
    keys += [np.isnan(columns[name]).tolist() for name in blanks]
    together = {}
    for i, (used, *key) in enumerate(zip(np.broadcast_to(among, len(keys[0])).tolist(), *keys, strict=True)):
        if used:
            together.setdefault(tuple(key), []).append(i)
    return [np.array(rows) for rows in together.values()]


def predictions(cases, *, spread, owner):
    """Seconds of every row, with the interval, the owner and what was assumed: name -> array.

    `spread(case)` has the factors of the interval; `owner(case)` the resource with the largest share,
    or None where nobody asks. `seconds`, `low_s`, `high_s` are NaN where `reason` says why.
    """
    size = cases.reasons.size
    found = {name: np.full(size, np.nan) for name in ("seconds", "low_s", "high_s")}
    found |= {name: np.full(size, "", dtype=object) for name in ("bound", "assumed")}
    for case in cases.found:
        if case.rows.size:
            seconds = case.time(case.on)
            for name, factor in zip(("seconds", "low_s", "high_s"), (1.0, *spread(case)), strict=True):
                found[name][case.rows] = seconds * factor
            found["assumed"][case.rows] = case.assumed
            found["bound"][case.rows] = owner(case) if owner else ""
    return found | {name: found[name].astype(str) for name in ("bound", "assumed")} | {"reason": cases.reasons}


def largest(resources):
    """The owner of a case's time among some resources (eq:shares), for `predictions`."""
    return lambda case: shares.largest(shares.shares(case.time, case.on, resources))
