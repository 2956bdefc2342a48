"""The running example of splitting: one published layout, and every "best" step that is found for its job."""

from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.measured import training as measured_training
from bottlenecks.models import footprint, training
from bottlenecks.models.machine import machine
from bottlenecks.studies import runs, scaling, search, splitting

RUN = "Llama-3.1-405B, H100 (2024)"  # of `runs.NAMED`
SOFTWARE = "2024"
LATER = "2025"
POWERS = tuple(2**i for i in range(7))
MAPPED = (("1f1b", 1), ("zb1p", 1), *(("interleaved", v) for v in (2, 4, 8)))  # (schedule, chunks)
CUT = ("tp", "cp", "pp", "vpp", "dp", "zero", "micro_batch", "schedule", "recompute")


class Example(NamedTuple):
    """A published run as the models see it: what the figures of splitting, its tables and its score have in common."""

    model: object
    on: object  # Machine
    layout: object
    job: dict  # chips, batch, seq_len, software: what `search.search` asks for
    step: object  # training.Step of the layout
    measured_s: float


@cache
def example():
    """The run of `RUN` in the layout that it is scored with: it fits, and `step` is the waterfall's."""
    cases = measured_training.cases(runs.named(RUN))
    (case,), layout = cases.found, splitting.layout_of(cases, 0)
    batch = layout.dp * layout.micro_batch * layout.micro_batches
    job = {"chips": layout.chips, "batch": batch, "seq_len": layout.seq_len, "software": SOFTWARE}
    on = machine(chip(case.on.name))
    step = training.step(case.model, layout, on=on, software=SOFTWARE)
    return Example(case.model, on, layout, job, step, runs.waterfall(RUN)["measured_s"])


def mapped(m, cp):
    """What the map of layouts chooses among, for each pair of tensor ranks and stages, all powers of two."""
    return search.Space(
        pipelines=MAPPED,
        zero=(0, 1, 2, 3),
        recompute=POLICIES,
        pp=tuple(p for p in POWERS if p <= m.layers),
        ep=(1, 8, 16, 32, 64) if m.experts else (1,),
        cp=(cp,),
        tp=tuple(t for t in POWERS if m.heads % t == 0),
        micro_batch=(1, 2, 4),
    )


@cache
def best_steps():
    """Rows of a table: the steps that are called best, and what each was the best of.

    The published layout; the map's cell of its pair of tensor ranks and stages, and the map's fastest cell (no cut of
    the context); the best that `scaling.best` finds (powers of two); the best of all layouts with the schedules and
    the software of its year, and with those of the next. Columns by, step_s, over_published, layouts (looked at),
    memory_bytes, and `CUT`; `differs` names the columns that are not the published ones.
    """
    m, on, layout, job, step, _ = example()
    few = {name: value for name, value in job.items() if name != "software"}
    cells = search.cells(m, on, **job, within=mapped(m, 1))
    fits = cells["shortfall_bytes"] <= 0
    pair = (cells["tp"] == layout.tp) & (cells["pp"] == layout.pp)
    own, fastest = (int(np.argmin(np.where(mask, cells["seconds"], np.inf))) for mask in (fits & pair, fits))
    scaled = scaling.best(m, on, **few | {"chips": [few["chips"]]}, software=SOFTWARE)
    of_year, later = (search.search(m, on, **few, software=year) for year in (SOFTWARE, LATER))
    mapped_size = search.candidates(m, mapped(m, 1), **few, start=0, stop=10**9)["tp"].size
    scaled_size = scaling.candidates(m, **few)[0].size
    found = {
        "published": ({name: getattr(layout, name) for name in CUT}, step.seconds, 1),
        "map, the published pair": ({name: cells[name][own] for name in CUT}, cells["seconds"][own], mapped_size),
        "map, fastest": ({name: cells[name][fastest] for name in CUT}, cells["seconds"][fastest], mapped_size),
        "scaling": ({name: scaled[name][0] for name in CUT}, scaled["seconds"][0], scaled_size),
        f"search, {SOFTWARE}": (_best(of_year), of_year.best["seconds"][0], of_year.valid),
        f"search, {LATER}": (_best(later), later.best["seconds"][0], later.valid),
    }
    first = _words(found["published"][0])
    return [
        {
            "by": by,
            "step_s": float(seconds),
            "over_published": float(seconds / step.seconds),
            "layouts": int(count),
            "memory_bytes": _held_bytes(m, few["seq_len"], cut),
            **_words(cut),
            "differs": ", ".join(name for name, value in _words(cut).items() if value != first[name]),
        }
        for by, (cut, seconds, count) in found.items()
    ]


def _best(found):
    return {name: found.best[name][0] for name in CUT}


def _words(cut):
    """A layout's columns, choices as names."""
    named = {"schedule": SCHEDULES, "recompute": POLICIES}
    return {
        name: value if isinstance(value, str) else named[name][int(value)] if name in named else int(value)
        for name, value in cut.items()
    }


def _held_bytes(m, seq_len, cut):
    job = example().job
    count = job["batch"] // (int(cut["dp"]) * int(cut["micro_batch"]))
    layout = search.as_layout(m, cut | {"micro_batches": count, "ep": 1}, seq_len)
    return float(footprint.total_bytes(footprint.training_rows(m, layout)))
