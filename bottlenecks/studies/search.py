"""Search: every layout of a model on so many chips, ranked, and what would make the best one faster.

`search` walks the whole space in chunks, so that its memory does not grow with the space; chunks go
through any `concurrent.futures` executor: threads, processes, or many machines by Dask's
`Client.get_executor()`. A layout that does not fit is told by how many bytes; one that is slow, by
which row of its step.
"""

import warnings
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from types import SimpleNamespace

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import COUNT, between, one_of, positive, record
from bottlenecks.laws import shares
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, layouts, training
from bottlenecks.models.layouts import Layout, divisors, slotted
from bottlenecks.models.machine import RESOURCES, Machine
from bottlenecks.models.software import SERVER, release, since, year

CHUNK = 2**17  # points evaluated together: enough that numpy's calls cost little, under 200 MB
AHEAD = 64  # chunks that an executor has at once: its queue does not grow with the space
MOST = {"chips": 10**6, "batch": 10**9, "seq_len": 10**9}  # of a job
KEPT = 20  # of the ranked list
COLUMNS = ("tp", "pp", "vpp", "dp", "cp", "ep", "zero", "micro_batch", "micro_batches", "recompute", "schedule")
PIPELINES = tuple(name for name in SCHEDULES if name != "gpipe")  # which idles as 1F1B does, and keeps more


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Choices of each axis; a layout is one of each, if it is valid."""

    pipelines: tuple  # (schedule, chunks)
    zero: tuple
    recompute: tuple
    pp: tuple
    ep: tuple
    cp: tuple
    tp: tuple
    micro_batch: tuple

    @property
    def axes(self):
        """Axes, the slowest first: what a layer's time depends on goes last, so chunks share it."""
        return (self.pipelines, self.zero, self.recompute, self.pp, self.ep, self.cp, self.tp, self.micro_batch)

    @property
    def size(self):
        return int(np.prod([len(axis) for axis in self.axes]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """What a search found: columns of the best layouts, fastest first, and of its Pareto front."""

    model: object
    on: object
    software: object
    seq_len: int
    best: dict
    front: dict  # time against memory
    valid: int
    fitting: int
    least_shortfall_bytes: float  # of those that do not fit
    nearest: dict  # the layout that has it

    def layout(self, i=0):
        """The i-th best as a `Layout`."""
        if self.fitting == 0:
            raise ValueError(f"no layout fits: the nearest lacks {self.least_shortfall_bytes:,.0f} bytes a chip")
        return as_layout(self.model, {name: self.best[name][i] for name in COLUMNS}, self.seq_len, self.software)

    def step(self, i=0):
        """The step of the i-th best, with all its rows."""
        return training.step(self.model, self.layout(i), on=self.on, software=self.software)


def space(
    model,
    *,
    chips,
    batch,
    seq_len,
    zero=(0, 1, 2, 3),
    recompute=POLICIES,
    schedules=PIPELINES,
    most_tp=64,
    most_cp=32,
    most_micro=32,
):
    """Every choice that the model's shape, the chips and the batch allow."""
    record("model", model, Model, "model(name)")
    chips, batch, seq_len = _sizes(chips=chips, batch=batch, seq_len=seq_len)
    for name in schedules:
        one_of("schedules", name, SCHEDULES)
    parts = divisors(chips)
    chunks = sorted({*divisors(model.layers), *divisors(model.layers + 2)} - {1})  # `slotted`
    pipelines = [(s, 1) for s in schedules if s != "interleaved"]
    pipelines += [("interleaved", v) for v in chunks] * ("interleaved" in schedules)
    experts = divisors(np.gcd(model.experts, chips)) if model.experts is not None else (1,)
    return Space(
        pipelines=tuple(pipelines),
        zero=tuple(zero),
        recompute=tuple(recompute),
        pp=tuple(p for p in parts if p <= model.layers),
        ep=experts,
        cp=tuple(c for c in parts if (c <= most_cp and seq_len % (128 * c) == 0) or c == 1),
        tp=tuple(t for t in parts if t <= most_tp and model.heads % t == 0),
        micro_batch=tuple(m for m in divisors(batch) if m <= most_micro),
    )


def known_by(year):
    """The schedules of `PIPELINES` that had been published by a year."""
    return tuple(name for name in PIPELINES if since(name) <= year)


def search(
    model,
    on,
    *,
    chips,
    batch,
    seq_len,
    software="2025",
    within=None,
    executor=None,
    chunk=CHUNK,
    ahead=AHEAD,
    keep=KEPT,
):
    """Every layout of a model on `chips` of a machine, ranked by the step's seconds.

    `on`: `machine.machine`. `within`: a `Space` that narrows the choice; unless given, schedules are those of the
    software's year. `executor`: anything with
    the `submit` of `concurrent.futures`; its workers then evaluate chunks, `ahead` of them submitted
    at once (more than there are workers), with the same result. A chunk that a worker fails is
    evaluated here, and so is all the rest if the executor takes no more; a warning says so, once.
    """
    chips, batch, seq_len = _job(model, on, chips, batch, seq_len)
    for name, value in (("chunk", chunk), ("ahead", ahead), ("keep", keep)):
        positive(name, value, most=COUNT, whole=True)
    software = release(software, on.family)
    within = within or space(model, chips=chips, batch=batch, seq_len=seq_len, schedules=known_by(year(software)))
    starts = range(0, within.size, int(chunk))
    memo = {} if executor is None else None
    jobs = ((model, on, software, within, chips, batch, seq_len, s, int(chunk), keep, memo) for s in starts)
    best, front, valid, fitting, short, near = None, None, 0, 0, np.inf, {}
    for mine in map(_chunk, jobs) if executor is None else _sent(jobs, executor, ahead):
        valid, fitting = valid + mine["valid"], fitting + mine["fitting"]
        if mine["short"] < short:
            short, near = mine["short"], mine["nearest"]
        if mine["best"] is not None:
            best = _first(_join(best, mine["best"]), keep)
            front = _join(front, mine["front"])
            front = _take(front, pareto(front["seconds"], front["memory_bytes"]))
    empty = {name: np.array([]) for name in (*COLUMNS, "seconds", "memory_bytes")}
    if front is not None:
        front = _take(front, np.argsort(front["seconds"], kind="stable"))
    return Search(
        model=model,
        on=on,
        software=software,
        seq_len=seq_len,
        best=best or empty,
        front=front or empty,
        valid=valid,
        fitting=fitting,
        least_shortfall_bytes=0.0 if np.isinf(short) else short,
        nearest=near,
    )


def _job(model, on, chips, batch, seq_len):
    """The sizes of a job, where it has a model and a machine."""
    record("model", model, Model, "model(name)")
    record("on", on, Machine, "machine(chip)")
    return _sizes(chips=chips, batch=batch, seq_len=seq_len)


def _sizes(**named):
    """Each as a Python integer."""
    return [
        int(between(name, positive(name, value, most=MOST[name], whole=True), 1, MOST[name]))
        for name, value in named.items()
    ]


def candidates(model, within, *, chips, batch, seq_len, start, stop):
    """Columns of the legal layouts among those from `start` to `stop` of a space."""
    stop = min(stop, within.size)
    index = np.unravel_index(np.arange(start, stop), [len(axis) for axis in within.axes])
    which, zero, again, pp, ep, cp, tp, micro = index
    schedule = np.array([SCHEDULES.index(s) for s, _ in within.pipelines])[which]
    vpp = np.array([v for _, v in within.pipelines])[which]
    zero = np.array(within.zero)[zero]
    again = np.array([POLICIES.index(r) for r in within.recompute])[again]
    pp, ep, cp, tp, micro = (
        np.array(axis)[i] for axis, i in zip(within.axes[3:], (pp, ep, cp, tp, micro), strict=True)
    )
    used = tp * pp * cp
    dp = chips // used
    count = batch // np.maximum(dp * micro, 1)
    named = (tp, pp, vpp, dp, cp, ep, zero, micro, count, again, schedule)
    whole = (chips % used == 0) & (dp * micro * count == batch) & (count > 0)
    columns = _take(dict(zip(COLUMNS, named, strict=True)), whole)
    x = SimpleNamespace(seq_len=seq_len, **columns)
    return _take(columns, layouts.legal(model, x) & ~layouts.twice(x))


def as_layout(model, columns, seq_len, software=SERVER):
    """Columns of layouts as a `Layout`, as a year's software runs it."""
    named = {n: v if np.ndim(v) else np.asarray(v).item() for n, v in columns.items()}
    slots = slotted(model.layers, named["pp"] * named["vpp"])
    # weights that came and went with every micro-batch of a stage would cost more than whole ones: nobody does it
    once = np.equal(named["zero"], 3) & np.greater(named["pp"], 1)
    cuts_stream = year(release(software)) >= since("sp")
    return Layout(seq_len=seq_len, embedding_slots=slots, gathers_once=once[()], sp=cuts_stream, **named)


def _sent(jobs, executor, ahead):
    """What workers make of the chunks, in order; a chunk that they fail is evaluated here."""
    waiting, told = deque(), False
    try:
        while True:
            for job in islice(jobs, int(ahead) - len(waiting)):
                waiting.append((job, _submitted(executor, job)))
            if not waiting:
                return
            job, future = waiting.popleft()
            try:
                found = future.result()
            except ValueError:  # of the question: it fails here as well
                raise
            except Exception as problem:  # whatever a worker died of
                if not told:
                    warnings.warn(
                        f"a worker failed ({type(problem).__name__}: {problem}); what the workers "
                        "fail is searched in this process",
                        RuntimeWarning,
                        stacklevel=3,
                    )
                told, found = True, _chunk(job)
            yield found
    finally:  # also when nobody asks for more
        for _, future in waiting:
            future.cancel()


def _submitted(executor, job):
    """The future of a chunk; of an executor that takes no more, one that has failed."""
    try:
        return executor.submit(_chunk, job)
    except Exception as problem:
        future = Future()
        future.set_exception(problem)
        return future


def _chunk(job):
    """The best of one chunk, its front, and its counts."""
    model, on, software, within, chips, batch, seq_len, start, size, keep, memo = job
    columns = candidates(model, within, chips=chips, batch=batch, seq_len=seq_len, start=start, stop=start + size)
    found = {"valid": columns["tp"].size, "fitting": 0, "short": np.inf, "nearest": {}, "best": None}
    if not found["valid"]:
        return found
    used = footprint.total_bytes(footprint.training_rows(model, as_layout(model, columns, seq_len, software)))
    short = used - on.memory_bytes
    fits = short <= 0
    found["fitting"] = int(fits.sum())
    if not fits.all():
        nearest = int(np.argmin(np.where(fits, np.inf, short)))
        found["short"] = float(short[nearest])
        found["nearest"] = {name: values[nearest] for name, values in columns.items()}
    if not found["fitting"]:
        return found
    # Of all, also of those that do not fit: chunks then ask for the same layers, timed once.
    took = training.seconds(model, as_layout(model, columns, seq_len, software), on=on, software=software, memo=memo)
    columns = _take(columns | {"seconds": took, "memory_bytes": used}, fits)
    found["best"] = _first(columns, keep)
    found["front"] = _take(columns, pareto(columns["seconds"], columns["memory_bytes"]))
    return found


def _take(columns, which):
    return {name: values[which] for name, values in columns.items()}


def _join(one, other):
    return other if one is None else {n: np.concatenate([one[n], other[n]]) for n in one}


def _first(columns, keep):
    """The fastest; of equals the first."""
    seconds = columns["seconds"]
    if seconds.size > 8 * keep:
        near = np.flatnonzero(seconds <= np.partition(seconds, keep)[keep])
        columns = _take(columns, near)
    return _take(columns, np.argsort(columns["seconds"], kind="stable")[:keep])


def pareto(first, *others):
    """Indices of what nothing else beats in every respect at once; less is better in all.

    >>> pareto(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 4.0])).tolist()
    [0, 2]
    """
    order = np.lexsort((*others[::-1], first))
    if len(others) == 1:
        second = others[0][order]
        before = np.minimum.accumulate(np.concatenate([[np.inf], second[:-1]]))
        return order[second < before]
    points = np.stack([first, *others], axis=1)[order]
    kept = []
    for i, point in enumerate(points):  # of few: what is left of a ranked list
        beaten = any(np.all(points[j] <= point) and np.any(points[j] < point) for j in kept)
        if not beaten:
            kept.append(i)
    return order[kept]


# ---- questions


def cells(model, on, *, chips, batch, seq_len, within, software="2025", memo=None):
    """The best layout of each pair of tensor-parallel ranks and pipeline stages of a `Space`.

    Columns of a layout, seconds and shortfall_bytes, a row for each pair that can be divided: its
    fastest layout that fits (shortfall zero or less), or the one that comes nearest to fitting.
    """
    chips, batch, seq_len = _job(model, on, chips, batch, seq_len)
    record("within", within, Space, "space(model, ...)")
    columns = candidates(model, within, chips=chips, batch=batch, seq_len=seq_len, start=0, stop=within.size)
    if not columns["tp"].size:
        return columns | {"seconds": np.array([]), "shortfall_bytes": np.array([])}
    layout = as_layout(model, columns, seq_len, software)
    short = footprint.total_bytes(footprint.training_rows(model, layout)) - on.memory_bytes
    took = training.seconds(model, layout, on=on, software=software, memo=memo)
    pair = columns["pp"] * (chips + 1) + columns["tp"]
    order = np.lexsort((np.where(short > 0, short, took), short > 0, pair))
    first = order[np.unique(pair[order], return_index=True)[1]]
    return _take(columns | {"seconds": took, "shortfall_bytes": short}, first)


def fronts(model, on, *, chips, batch, seq_len, software="2025", **options):
    """The best step for each number of chips, with its energy, and which of them nothing beats.

    Columns chips, seconds, memory_bytes, joules (every chip at its rated power) and kept.
    """
    rows = []
    for number in chips:
        found = search(model, on, chips=int(number), batch=batch, seq_len=seq_len, software=software, **options)
        for s, m in zip(found.front["seconds"], found.front["memory_bytes"], strict=True):
            rows.append((number, s, m, number * s * on.tdp_watts))
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    table = dict(zip(("chips", "seconds", "memory_bytes", "joules"), columns, strict=True))
    kept = np.zeros(columns.shape[1], dtype=bool)
    kept[pareto(table["seconds"], table["memory_bytes"], table["chips"], table["joules"])] = True
    return table | {"kept": kept}


def why_slower(search, layout):
    """(row, seconds): what a layout loses most to the best one, and by how much in all; or bytes it lacks."""
    at = training.step(search.model, layout, on=search.on, software=search.software)
    if not at.fits:
        return "does not fit", float(at.shortfall_bytes)
    best = search.step()
    lost = {name: float(at.rows[name] - best.rows[name]) for name in at.rows}
    return max(lost, key=lost.get), float(at.seconds - best.seconds)


def owners(model, layout, on, software):
    """Shares of a step: {owner: share}."""
    return shares.shares(lambda record: training.seconds(model, layout, on=record, software=software), on, RESOURCES)


def doubled(model, layout, on, software):
    """How many times faster the step is with each resource doubled: {owner: factor}."""
    now = training.seconds(model, layout, on=on, software=software)
    found = {}
    for owner, named in RESOURCES.items():
        rates, _, durations = named.partition("/")
        better = replace(
            on, **{f: getattr(on, f) * 2 for f in rates.split()}, **{f: getattr(on, f) / 2 for f in durations.split()}
        )
        found[owner] = now / training.seconds(model, layout, on=better, software=software)
    return found
