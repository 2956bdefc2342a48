"""Calibrate: the reader's own measured runs move practice, and the few constants of her chip, for her cluster.

    found = calibrate("training", "mine.csv")      # found.calibration goes into a file: `calibrated.write`

`bottlenecks predict --calibration` then stands on it. The arithmetic is eq:own-runs, in `calibrated`.
"""

import datetime
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bottlenecks import __version__, data
from bottlenecks.facts import corpus
from bottlenecks.measured import floors, frame, practice
from bottlenecks.yours import own_constants
from bottlenecks.yours.calibrated import CONSTANTS, PROGRAM, Calibration, Class, factor, named, place

PRIOR_RUNS = 4  # as many runs stand behind the book's scatter of runs, where she has her own
MORE, TRIED = (1, 3, 10), 3  # runs more that are asked about; of a class that she has none of
FAR = 3.0  # deviations of the book's runs, from the middle of her class, beyond which a run is named
NOT_MEASURED = "nothing is measured"
BEYOND = 0.5  # of the datasheet's time: what is measured sooner is no time of this work; of the corpus 1 row in 250 is
TOO_FAST = "more than twice as fast as the datasheet allows: look at its unit, and at what it counts"


class Found(NamedTuple):
    """A calibration, and what was told on the way.

    `unused`: reason -> rows; `classes`: name -> `Told`; `other`: (class, half-width now, after `TRIED` runs) of the class
    that she has none of and that runs would narrow most, or None; `stay`: constant -> why it stays; `far`: (row of the
    file, its time over that of the middle run of its class) of runs far out; `unread`: as `corpus.unread` has it.
    """

    calibration: Calibration
    unused: dict
    classes: dict
    other: tuple
    stay: dict
    far: dict
    unread: dict


class Told(NamedTuple):
    """Of a class, on the book's prediction: (low, high) of a run by the book and calibrated, half-widths after more runs."""

    before: tuple
    after: tuple
    now: float
    more: tuple


class Runs(NamedTuple):
    """Classes of her runs, as eq:own-runs has them: names, mean logarithms, runs, deviations, `open` settled by the runs."""

    names: list
    mean: np.ndarray
    runs: np.ndarray
    source: np.ndarray
    own: np.ndarray
    row: np.ndarray
    open: np.ndarray
    scatter: float  # of her runs, over the book's; `row` has it

    @property
    def moments(self):
        """What `place` asks for: what runs of a class leave open they share."""
        return self.mean, self.runs, self.source, np.hypot(self.own, self.open), self.row


def calibrate(kind, path):
    """`Found` of a reader's file of measured runs of a kind."""
    own = frame.read(path, kind)
    good = np.flatnonzero(own.faults == "")
    columns = corpus.where(own.columns, good)
    model, kept = frame.KINDS[kind], practice.kept(kind)
    cases = model.cases(columns)
    found, levels = model.predict(cases, owners=kind in CONSTANTS), model.classes(cases)
    middle = np.log(practice.predicted(kept, levels)[0])
    slower = frame.slower(kind, cases, found["seconds"])
    with np.errstate(invalid="ignore"):
        beyond = found["seconds"] * np.exp(slower) < BEYOND * floors.floor_s(kind, cases)
    found["reason"] = np.where(beyond, TOO_FAST, found["reason"])
    used = np.isfinite(slower) & ~beyond
    unused = _unused(own.faults, found["reason"], used)
    if not used.any():
        raise ValueError(f"{path}: no row can calibrate: {', '.join(f'{n} x {why}' for why, n in unused.items())}")
    chips = tuple(name for name in np.unique(cases.columns["chip_name"][used]).tolist() if name)
    moved = own_constants.fit(kind, cases, found, middle, chips)
    if moved.found:
        found = model.predict(cases, owners=False, constants={n: c.value for n, c in moved.found.items()})
    logs = (frame.slower(kind, cases, found["seconds"]) - middle)[used]
    levels = {name: of[used] for name, of in levels.items()}
    repeats = alike(kind, corpus.where(columns, used), found["seconds"][used])
    runs = of_rows(kept, levels, logs, repeats, found["open"][used])
    z, deviation = place(*runs.moments)
    said = np.unique(levels[PROGRAM]).tolist() if PROGRAM in levels else []
    calibration = Calibration(
        kind=kind,
        file=Path(path).name,
        rows=int(used.sum()),
        runs=int(runs.runs.sum()),
        chips=chips,
        program=said[0] if len(said) == 1 else "",
        package=__version__,
        date=datetime.date.today(),
        place=float(z),
        deviation=float(deviation),
        scatter=runs.scatter,
        classes=_classes(runs),
        constants=moved.found,
    )
    far = {int(good[used][i]) + 1: float(np.exp(off)) for i, off in _far(kept, levels, logs).items()}
    unread = corpus.unread([name for name in own.given if name not in frame.ADDED], kind)
    return Found(calibration, unused, told(kept, runs), elsewhere(kept, levels, runs), moved.stay, far, unread)


def _unused(faults, reasons, used):
    """Reason -> rows that say nothing, most frequent first."""
    nothing = ~used & (reasons == "")
    words = [*faults[faults != ""].tolist(), *reasons[reasons != ""].tolist(), *[NOT_MEASURED] * int(nothing.sum())]
    return dict(Counter(words).most_common())


# ---- her runs


def alike(kind, columns, seconds):
    """Number of the run that each row repeats: alike in the time predicted and in every number that is not measured."""
    of_file = zip(data.columns(corpus.TABLES[kind]), corpus.columns(kind), strict=False)
    measured = [name for column, name in of_file if column in corpus.MEASURED[kind]]
    asked = [v for name, v in columns.items() if v.dtype.kind == "f" and name not in measured]
    keys = np.column_stack([[float(f"{each:.6g}") for each in seconds.tolist()], *asked])
    return np.unique(np.nan_to_num(keys, nan=-1.0), axis=0, return_inverse=True)[1].ravel()


def of_rows(kept, levels, logs, runs, open):
    """`Runs` of rows; `logs`: of measured over predicted time, `runs`: number of the run that each row repeats."""
    names, deviations = named(levels), practice.parted(kept, levels)
    repeats = {}
    for i, key in enumerate(zip(names.tolist(), runs.tolist(), strict=True)):
        repeats.setdefault(key, []).append(i)
    of_run = {}
    for (name, _), rows in repeats.items():
        of_run.setdefault(name, []).append(float(logs[rows].mean()))
    mean = np.array([np.mean(each) for each in of_run.values()])
    count = np.array([len(each) for each in of_run.values()])
    source, own, row = (np.array([of[names == name].mean() for name in of_run]) for of in deviations)
    off = sum(
        float(np.sum((np.array(each) - m) ** 2)) / r**2 for each, m, r in zip(of_run.values(), mean, row, strict=True)
    )
    scatter = float(np.sqrt((PRIOR_RUNS + off) / (PRIOR_RUNS + np.sum(count - 1))))
    left = np.array([np.sqrt(np.mean(open[names == name] ** 2)) for name in of_run])
    return Runs(list(of_run), mean, count, source, own, scatter * row, left, scatter)


def _classes(runs):
    """Name -> `Class` of her runs."""
    logs, deviations = factor(*place(*runs.moments), *runs.moments)
    found = {}
    for i, name in enumerate(runs.names):
        times, numbers = float(np.exp(logs[i])), (float(v[i]) for v in (deviations, runs.row, runs.open))
        found[name] = Class(times, *numbers, int(runs.runs[i]))
    return found


def _far(kept, levels, logs):
    """{place of a row: how far it is from the middle of its class} of those that no run of a class should be."""
    names, (_, _, row) = named(levels), practice.parted(kept, levels)
    middle = {name: np.median(logs[names == name]) for name in np.unique(names).tolist()}
    off = logs - np.array([middle[name] for name in names.tolist()])
    return {int(i): float(off[i]) for i in np.flatnonzero(np.abs(off) > FAR * row)}


# ---- how well it is known, and what more runs would tell


def told(kept, runs):
    """Name of each class -> `Told`."""
    by_book = np.sqrt(runs.source**2 + runs.own**2 + runs.open**2 + (runs.row / runs.scatter) ** 2)
    logs, now = factor(*place(*runs.moments), *runs.moments)[0], _deviations(runs)
    found = {}
    for i, name in enumerate(runs.names):
        more = [_deviations(runs._replace(runs=runs.runs + n * (np.arange(runs.runs.size) == i)))[i] for n in MORE]
        before, after = (
            tuple(float(np.exp(middle + deviation * end)) for end in kept.ends)
            for middle, deviation in ((0.0, by_book[i]), (logs[i], now[i]))
        )
        found[name] = Told(before, after, half_width(kept, now[i]), tuple(half_width(kept, each) for each in more))
    return found


def elsewhere(kept, levels, runs):
    """(class, half-width now, after `TRIED` runs of it) of that which these narrow most, of those that differ from hers in one thing."""
    hers = list(zip(*(found.tolist() for found in levels.values()), strict=True))
    known = [
        [hers[0][i]] if name == PROGRAM else [level for factor, level in kept.effects if factor == name and level]
        for i, name in enumerate(levels)
    ]
    found = []
    for one in product(*known):
        others = {name: np.array([level]) for name, level in zip(levels, one, strict=True)}
        (name,) = named(others).tolist()
        near = any(sum(a != b for a, b in zip(one, row, strict=True)) == 1 for row in set(hers))
        if name not in runs.names and near:
            source, own, row = (each[0] for each in practice.parted(kept, others))
            now, then = (_deviations(_with(runs, source, own, runs.scatter * row, n))[-1] for n in (0, TRIED))
            found.append((name, half_width(kept, now), half_width(kept, then)))
    return max(found, key=lambda each: each[1] - each[2], default=None)


def _with(runs, source, own, row, count):
    """Her runs with some of another class, of which nothing is known yet."""
    more = {"mean": 0.0, "runs": count, "source": source, "own": own, "row": row, "open": 0.0}
    return runs._replace(**{name: np.append(getattr(runs, name), value) for name, value in more.items()})


def _deviations(runs):
    """Deviation of the logarithm of her next run of each class."""
    return np.hypot(factor(*place(*runs.moments), *runs.moments)[1], runs.row)


def half_width(kept, deviation):
    """Of the interval of 80 %, as a share: 0.1 is 10 % either way."""
    return float(np.expm1(deviation * (kept.ends[1] - kept.ends[0]) / 2))
