"""The few constants of the reader's own chip, where her runs can tell them apart from a factor on all of them.

A constant moves only if enough runs show it, if others show another (runs of one kind show no more than how slow they
are), and if moving it explains the runs much better than one factor does. Each is fitted to the least mean |logarithm|
over her runs, with all else held, practice included; its range are the values that fit nearly as well.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts.chips import chip
from bottlenecks.measured import collectives as measured_collectives
from bottlenecks.measured import frame
from bottlenecks.models import collectives, kernels
from bottlenecks.yours.calibrated import CONSTANTS, Constant

FEW, ALL = 4, 8  # runs that show a constant, and that show any
PAYS = 0.8  # of the loss of one factor is the most that moved constants may leave
NEAR = 1.05  # losses so near the least are in the range
ROUNDS = 3  # over all constants, each in grids that narrow
WIDTHS = 0.5 * 0.35 ** np.arange(5)  # of a logarithm, around the present value
POINTS, RANGE = 9, np.linspace(-0.7, 0.7, 141)


class Moved(NamedTuple):
    """Constants that move, name -> `Constant`, and why others stay: name -> words."""

    found: dict
    stay: dict


def fit(kind, cases, found, middle, chips):
    """`Moved` for a kind's cases; `found`: as the kind's `predict` returns it, `middle`: practice's logarithm."""
    if kind not in CONSTANTS:
        return Moved({}, {})
    logs = frame.slower(kind, cases, found["seconds"]) - middle
    used = np.isfinite(logs)
    shown = {name: mask & used for name, mask in SHOWN[kind](cases, found).items()}
    names = [name for name, mask in shown.items() if mask.sum() >= FEW]
    stay = {n: f"{int(m.sum())} runs show it, {FEW} are needed" for n, m in shown.items() if n not in names}
    if why := _too_few(shown, names, chips):
        return Moved({}, stay | dict.fromkeys(names, why))
    mine = np.any([shown[name] for name in names], axis=0)

    def loss(values):
        seconds = frame.KINDS[kind].predict(cases, owners=False, constants=values)["seconds"]
        return float(np.abs(frame.slower(kind, cases, seconds) - middle)[mine].mean())

    book = {name: BOOK[kind](name, chips[0])[0] for name in names}
    best = search(loss, book)
    alone = float(np.abs(logs[mine] - np.median(logs[mine])).mean())
    if loss(best) > PAYS * alone:
        return Moved({}, stay | dict.fromkeys(names, "one factor on all runs explains them as well"))
    return Moved({n: Constant(best[n], *near(loss, best, n), *BOOK[kind](n, chips[0])) for n in names}, stay)


def _too_few(shown, names, chips):
    """Why constants that enough runs show stay all the same, or ''."""
    count = int(np.any([shown[name] for name in names], axis=0).sum()) if names else 0
    if len(chips) != 1:
        return f"the runs are of {len(chips)} chips, not of one"
    if len(names) == 1:
        return "the runs show no other, so that it is a factor on all of them"
    return f"{count} runs show any, {ALL} are needed" if count < ALL else ""


def search(loss, start):
    """The values of least loss, one constant after the other, by grids that narrow around the present one."""
    best = dict(start)
    for width in WIDTHS:
        for _ in range(ROUNDS):
            for name in best:
                tried = _allowed(name, best[name] * np.exp(np.linspace(-width, width, POINTS)))
                best[name] = float(min(tried, key=lambda value, name=name: loss(best | {name: float(value)})))
    return best


def near(loss, best, name):
    """(low, high): the values of a constant, all others held, that fit nearly as well."""
    tried = _allowed(name, best[name] * np.exp(RANGE))
    losses = np.array([loss(best | {name: float(value)}) for value in tried])
    fit = tried[losses <= NEAR * max(losses.min(), 1e-3)]
    return float(fit.min()), float(fit.max())


def _allowed(name, values):
    """A share is one at most."""
    return values if name.endswith("_s") else np.minimum(values, 1.0)


# ---- which runs show what


def _kernels(cases, found):
    """Products that the arithmetic bounds, of each width; and what the memory bounds."""
    shown = {}
    for case in cases.found:
        if case.kind == "matmul":
            mask = shown.setdefault(f"matmul_{kernels.width(case.format)}", np.zeros(cases.reasons.size, bool))
            mask[case.rows] = found["bound"][case.rows] == "compute"
    return shown | {"stream": found["bound"] == "memory"}


def _collectives(cases, found):
    """Large messages, by what holds them up; and small ones that take no longer than the least of a call."""
    asked = cases.asked
    large, small = (
        asked["message_bytes"] >= measured_collectives.LARGE_BYTES,
        asked["message_bytes"] <= measured_collectives.SMALL_BYTES,
    )
    small &= cases.columns["collective"] != "p2p"
    return {
        **{name: large & (found["held_up"] == name) for name in ("link", "port")},
        **{
            f"{what}_s": small & (asked["launch"] == how)
            for what, how in (("call", "library"), ("framework", "framework"))
        },
    }


def _of_family(name, chip_name):
    """(value, low, high) of the book for a chip."""
    family = chip(chip_name).family
    row = next((r for f in (*kernels.lineage(family), "any") if (r := kernels.constants_table().get((f, name)))), {})
    return kernels.family_constants(family)[name], *(float(row.get(end) or "nan") for end in ("low", "high"))


def _of_network(name, _):
    """(value, low, high) of the book."""
    row = next(row for row in data.rows("network_constants") if row["constant"] == name)
    return getattr(collectives.fitted(), name), *(float(row[end] or "nan") for end in ("low", "high"))


SHOWN = {"kernels": _kernels, "collectives": _collectives}
BOOK = {"kernels": _of_family, "collectives": _of_network}
