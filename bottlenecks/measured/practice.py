r"""Practice: how far runs stay behind the time of a well-tuned program, as a distribution.

The models give *reference* seconds, those of a well-tuned program on the stated machine. A run takes longer, or not:
the logarithm of measured over reference is a mean, plus an effect of each plain class that the row belongs to (what
kind of program, on whose chip, dense or mixture ...), plus the source's own, plus the row's own:

$$\ln\frac{T}{T_{\rm ref}} = a_0 + \sum_f a_f + u + e, \qquad a_f \sim N(0, \tau_f^2),\ u \sim N(0, \sigma_u^2),\ e \sim N(0, \sigma_e^2)$$  (eq:practice)

Effects are pooled in part: a class with many sources keeps what these say, a class of one source shrinks to its parent,
zero. The variances are those of largest likelihood.
Where such shifts do not lower the error on sources left out, the middle stays at the reference, and spreads alone are kept. A source far out counts less (weights of Student's t), so that the
middle is nearer to the median. No class is a source, and no source that a prediction is scored on has a part in it.

`data/practice.csv` is the whole of it: a line for each class with the factor on the time and its deviation.
"""

from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from bottlenecks import data

FREEDOMS = 4  # of Student's t: a source at two deviations counts five eighths
ROUNDS = 6  # of weights and variances in turn
STEPS = np.exp(np.linspace(-1.2, 1.2, 7))  # by which a deviation is tried, around where it is
LEAST, FIRST = 0.01, 0.2  # a deviation's floor and start, of a logarithm
PRIOR_SOURCES = 4  # as many sources stand behind the common spread, where a class has one of its own
ENDS = (0.1, 0.9)  # quantiles of the interval


class Effect(NamedTuple):
    """Of one class: the factor on the reference time, its deviation as a logarithm, the sources that show it."""

    times: float
    deviation: float
    sources: int


class Practice(NamedTuple):
    """effects: {(factor, level): Effect}, where the level '' stands for any that no source has shown;
    spreads: {level of the first factor: deviation of a row of a new source};
    ends: quantiles of (logarithm over deviation) between which 80 % lie;
    parts: {"class": deviation of the classes of one source, "row": of the rows of one class}; the source has the rest."""

    effects: dict
    spreads: dict
    ends: tuple
    parts: dict = MappingProxyType({})


def predicted(practice, levels, open=0.0):
    """(times, low, high): factors on reference seconds, the middle and the interval of 80 %.

    `levels`: {factor: array of levels}; `open`: deviation of the logarithm over what a row leaves open.
    """
    middle, variance, own = _about(practice, levels)
    deviation = np.sqrt(variance + own**2 + np.square(open))
    return tuple(np.exp(middle + deviation * end) for end in (0.0, *practice.ends))


def parted(practice, levels):
    """(source, class, row): what makes the deviation of rows of a new source, one value a row; their squares add up to its.

    What a source's rows share (and how well its classes are known), what those of one class share, and what each has alone.
    """
    _, variance, own = _about(practice, levels)
    of_class, of_row = (practice.parts[name] ** 2 for name in ("class", "row"))
    whole = max(practice.spreads[""] ** 2, of_class + of_row)
    shares = (max(whole - of_class - of_row, 0.0) / whole, of_class / whole, of_row / whole)
    source, *others = (own * share**0.5 for share in shares)
    return np.sqrt(variance + source**2), *others


def _about(practice, levels):
    """(middle, variance of how well it is known, deviation about it) of the logarithm of each row."""
    middle, variance = np.log(practice.effects["", ""].times), practice.effects["", ""].deviation ** 2
    for factor, found in levels.items():
        effects = [practice.effects.get((factor, level), practice.effects[factor, ""]) for level in found.tolist()]
        middle = middle + np.log([effect.times for effect in effects])
        variance = variance + np.square([effect.deviation for effect in effects])
    first = next(iter(levels.values()))
    return middle, variance, np.array([practice.spreads.get(level, practice.spreads[""]) for level in first.tolist()])


# ---- the fit


class Cells(NamedTuple):
    """Rows of one source in the same classes, as one: mean logarithm, rows, the source's number, levels by factor.

    `open`: deviation over what the rows leave open, which the rows of a source share.
    """

    mean: np.ndarray
    rows: np.ndarray
    source: np.ndarray
    levels: dict
    within: float  # deviation of rows within a cell
    open: np.ndarray


def cells(logs, sources, levels, open):
    """`Cells` of rows."""
    keys = list(zip(sources.tolist(), *(found.tolist() for found in levels.values()), strict=True))
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    which = np.array([order[key] for key in keys])
    rows = np.bincount(which)
    mean = np.bincount(which, logs) / rows
    of = [key[0] for key in order]
    _, source = np.unique(of, return_inverse=True)
    off = np.bincount(which, (logs - mean[which]) ** 2)
    several = rows > 1  # every cell has the same say on the spread within
    within = np.sqrt(np.mean(off[several] / (rows[several] - 1))) if several.any() else LEAST
    each = {factor: np.array([key[1 + i] for key in order]) for i, factor in enumerate(levels)}
    return Cells(mean, rows, source, each, max(float(within), LEAST), np.bincount(which, open) / rows)


def fit(logs, sources, levels, open=None, start=None, *, shifts=True):
    """A `Practice` of rows: logarithms of measured over reference seconds, their sources, {factor: levels}.

    `open`: deviation over what each row leaves open. `start`: a fit near by, which saves time. Without `shifts` the
    middle stays at the reference, and spreads alone are learned.
    """
    open = np.zeros(logs.size) if open is None else open
    some = cells(logs, sources, levels, open)
    designs = _designs(some)
    deviations, weights = _deviations(some, designs, start)
    effects = _effects(some, designs, deviations, weights)
    if not shifts:
        effects = {key: effect._replace(times=1.0) for key, effect in effects.items()}
    practice = Practice(effects, {"": 1.0}, (-1.2816, 1.2816))
    off = logs - np.log(predicted(practice, levels)[0])
    return _with_spreads(practice, off, sources, levels, open)._replace(parts=_parts(cells(off, sources, levels, open)))


def _designs(some):
    """{factor: which cells belong to each of its levels}."""
    return {factor: found[:, None] == np.unique(found[found != ""]) for factor, found in some.levels.items()}


def _deviations(some, designs, start):
    """({factor or "source": deviation}, weight of each source) of the largest likelihood, weights and deviations in turn."""
    names = [*designs, "source"]
    found = dict.fromkeys(names, FIRST) if start is None else dict(start)
    weights = np.ones(some.source.max() + 1)
    for _ in range(ROUNDS if start is None else 2):
        for name in names:
            tried = [found | {name: max(found[name] * step, LEAST)} for step in STEPS]
            found = max(tried, key=lambda each: _likelihood(some, designs, each, weights))
        weights = _weights(some, designs, found, weights)
    return found, weights


def _covariance(some, designs, deviations, weights):
    """Of the cells' means: effects, sources, rows; a source of little weight varies more."""
    same = some.source[:, None] == some.source
    own = same * (deviations["source"] ** 2 + some.open[:, None] * some.open) + np.diag(some.within**2 / some.rows)
    shrunk = np.sqrt(weights[some.source])
    found = own / shrunk[:, None] / shrunk
    for factor, design in designs.items():
        found = found + deviations[factor] ** 2 * (design @ design.T.astype(float))
    return found


def _likelihood(some, designs, deviations, weights):
    """Restricted log-likelihood of the cells' means, whose common mean is free."""
    inverse = np.linalg.inv(_covariance(some, designs, deviations, weights))
    ones = inverse.sum()
    mean = (inverse @ some.mean).sum() / ones
    off = some.mean - mean
    return float(np.linalg.slogdet(inverse)[1] - np.log(ones) - off @ inverse @ off) / 2


def _weights(some, designs, deviations, weights):
    """Of each source, by how far it lies from what its classes say (Student's t)."""
    effects = _effects(some, designs, deviations, weights)
    middle = np.log(predicted(Practice(effects, {"": 1.0}, (0, 0)), some.levels)[0])
    rows = np.bincount(some.source, some.rows)
    off = np.bincount(some.source, some.rows * (some.mean - middle)) / rows
    open = np.bincount(some.source, some.rows * some.open) / rows
    variance = deviations["source"] ** 2 + open**2 + some.within**2 / rows
    return (FREEDOMS + 1) / (FREEDOMS + off**2 / variance)


def _effects(some, designs, deviations, weights):
    """{(factor, level): Effect}: what is to be expected of each class, given the cells."""
    inverse = np.linalg.inv(_covariance(some, designs, deviations, weights))
    ones = inverse.sum()
    mean = (inverse @ some.mean).sum() / ones
    pull = inverse @ (some.mean - mean)
    found = {("", ""): Effect(float(np.exp(mean)), float(ones**-0.5), int(np.unique(some.source).size))}
    for factor, design in designs.items():
        prior = deviations[factor] ** 2
        found[factor, ""] = Effect(1.0, float(deviations[factor]), 0)
        for level, mine in zip(
            np.unique(some.levels[factor][some.levels[factor] != ""]).tolist(), design.T, strict=True
        ):
            left = prior - prior**2 * (mine @ inverse @ mine)
            sources = np.unique(some.source[mine]).size
            found[factor, level] = Effect(
                float(np.exp(prior * mine @ pull)), float(np.sqrt(max(left, 0))), int(sources)
            )
    return found


def _with_spreads(practice, off, sources, levels, open):
    """The same with the spread of rows about it, by level of the first factor, and the ends of the interval."""
    _, which, rows = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / rows[which]
    own = np.maximum(off**2 - np.square(open), LEAST**2)
    common = np.average(own, weights=weights)
    first = next(iter(levels.values()))
    spreads = {"": float(np.sqrt(common))}
    for level in np.unique(first[first != ""]).tolist():
        mine = first == level
        known = weights[mine].sum()
        pooled = (PRIOR_SOURCES * common + (weights * own)[mine].sum()) / (PRIOR_SOURCES + known)
        spreads[level] = float(np.sqrt(pooled))
    practice = practice._replace(spreads=spreads, ends=(-1.0, 1.0))
    low = np.log(predicted(practice, levels, open))
    scaled = off / ((low[2] - low[1]) / 2)
    order = np.argsort(scaled)
    share = np.cumsum((weights / weights.sum())[order])
    return practice._replace(ends=tuple(float(scaled[order][np.searchsorted(share, end)]) for end in ENDS))


def _parts(some):
    """Deviations of the cells of one source and of the rows of one cell; every source of several cells has the same say."""
    found = [0.0]
    for source in np.unique(some.source).tolist():
        mine = some.source == source
        if mine.sum() > 1:
            found.append(some.mean[mine].var(ddof=1) - np.mean(some.within**2 / some.rows[mine]))
    return {"class": max(float(np.mean(found[1:] or found)), LEAST**2) ** 0.5, "row": some.within}


def left_out(logs, sources, levels, open, used, factors, *, shifts=True):
    """(times, low, high) of rows: of the sources used, each by a fit to all others; else `factors`."""
    found = np.array(np.broadcast_arrays(*factors))
    some = cells(*_of_rows(logs, sources, levels, open, used))
    start, _ = _deviations(some, _designs(some), None)
    for source in np.unique(sources[used]):
        mine = sources == source
        without = fit(*_of_rows(logs, sources, levels, open, used & ~mine), start, shifts=shifts)
        found[:, mine] = predicted(without, {factor: of[mine] for factor, of in levels.items()}, open[mine])
    return tuple(found)


def _of_rows(logs, sources, levels, open, mask):
    return logs[mask], sources[mask], {factor: of[mask] for factor, of in levels.items()}, open[mask]


def shifted(practice):
    """Does the middle of a practice lie anywhere but at the reference?"""
    return any(effect.times != 1 for effect in practice.effects.values())


# ---- the table


@cache
def kept(kind):
    """The `Practice` of a kind of rows as `data/practice.csv` has it."""
    rows = [row for row in data.rows("practice") if row["kind"] == kind]
    effects = {
        (row["factor"], row["level"]): Effect(float(row["times"]), float(row["deviation"]), int(row["sources"]))
        for row in rows
        if row["what"] == "effect"
    }
    spreads = {row["level"]: float(row["deviation"]) for row in rows if row["what"] == "spread"}
    ends = tuple(float(row["deviation"]) for row in rows if row["what"] == "end")
    parts = {row["level"]: float(row["deviation"]) for row in rows if row["what"] == "part"}
    return Practice(effects, spreads, ends, parts)


def table(kind, practice):
    """The rows of data/practice.csv of a kind, as dictionaries."""
    first = [("effect", *key, *effect) for key, effect in practice.effects.items()]
    first += [("spread", "", level, "", deviation, "") for level, deviation in practice.spreads.items()]
    first += [("end", "", "", "", end, "") for end in practice.ends]
    first += [("part", "", part, "", deviation, "") for part, deviation in practice.parts.items()]
    names = ("what", "factor", "level", "times", "deviation", "sources")
    return [
        {"kind": kind} | {n: f"{v:.4g}" if isinstance(v, float) else str(v) for n, v in zip(names, row, strict=True)}
        for row in first
    ]
