"""A figure of chapter 08: the bytes that a chip of a published run holds, over one step."""

from dataclasses import dataclass, replace
from functools import cache as keep

import numpy as np
from matplotlib.ticker import MaxNLocator

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import end_labels, key, labels, text
from bottlenecks.exhibits.marks import HERE, MEASURED, boxes, line, stacked_areas, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.measured import memory
from bottlenecks.measured.training import software_of
from bottlenecks.models import footprint
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import Machine, machine
from bottlenecks.models.software import TODAY, Software
from bottlenecks.studies import clock, splitting

RUNS = {  # words: chips, what the rows of the run, and of no other, say
    "Llama 3.1 8B, 8 H100": ("H100", {"model": "Llama 3.1 8B", "n_chips": 8, "micro_batch": 2}),
    "Llama 3.1 8B, 262,144 tokens": ("H100", {"model": "Llama 3.1 8B", "seq_len": 262_144}),
    "Llama 3.1 405B, 512 H100": ("H100", {"model": "Llama 3.1 405B", "schedule": "interleaved"}),
    "BLOOM 200B, 320 A100": ("A100", {"model": "BLOOM-candidate-200B", "n_chips": 320, "micro_batch": 8}),
    "InternLM 20B, 16 A800": ("A800", {"model": "InternLM-20B", "n_chips": 16, "zero": 3, "tp": 1}),
    "InternLM 7B, 4 A800": ("A800", {"model": "InternLM-7B", "n_chips": 4, "zero": 3, "tp": 1}),
}
RAN = "as it ran"
AGAIN = {words: policy for policy, words in splitting.AGAIN.items()}
ZERO = ("3", "2", "1", "0")
SHOWN = {  # from the floor up: rows of the clock, colour
    "weights": (("weights",), COLOUR["memory"]),
    "optimiser": (("optimizer", "step"), SERIES[7]),
    "allocator": (("reserve",), "#C4C4C4"),
    "gradients": (("gradients",), COLOUR["cache"]),
    "buffers": (("buffers",), COLOUR["network"]),
    "activations": (("activations",), COLOUR["highlight"]),
    "logits": (("logits",), COLOUR["latency"]),
    "a layer again": (("recomputation",), COLOUR["compute"]),
}
PHASES = {"forward": "#F2B27C", "backward": COLOUR["compute"], "exchange": COLOUR["network"], "optimizer": SERIES[7]}
MOST = 1.6  # the axis ends at so many times a chip's memory
LEAST = 5e7  # bytes of a part that is named
ENDS = {"chip": "\n", "crest": "", "measured": "", "ran": ""}  # names at the right, with as many lines
HEAD = {"va": "top", "weight": "bold", "fontsize": 11}


# ---- the runs


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A published run: what it trained, how and on what, what it was measured to hold, and what its chip has for it."""

    model: Model
    layout: Layout
    on: Machine
    software: Software
    measured_bytes: np.ndarray
    available_bytes: float


@keep
def _run(name):
    """A run as its first row states it; other rows differ in nothing that the clock knows."""
    rows = corpus.table("training")
    mine = np.isfinite(rows["mem_bytes_per_chip"])
    for column, value in RUNS[name][1].items():
        mine = mine & (rows[column] == value)
    places = np.flatnonzero(mine)
    first = {column: values[places[0]] for column, values in rows.items()}
    shape, layout, _, reason = memory.layout_of(first)
    if reason:
        raise ValueError(f"{name}: {reason}")
    device, beyond = chip(first["chip_name"]), _beyond()
    by_device = first["memory_counted_by"] != "allocator"
    return Run(
        model=shape,
        layout=replace(layout, **beyond) if by_device else layout,
        on=machine(device),
        software=software_of(first, device, first["software_date"] or TODAY)[0],
        measured_bytes=rows["mem_bytes_per_chip"][places],
        # what an allocator counts leaves out what the device holds beyond it
        available_bytes=device.memory_bytes - (0 if by_device else beyond["overhead_bytes"]),
    )


@keep
def _beyond():
    return memory.constants()


@keep
def _times(name, recompute, zero):
    run = _run(name)
    return clock.times(run.model, _cut(run.layout, recompute, zero, 0), on=run.on, software=run.software)


def _cut(layout, recompute, zero, host):
    """A run's layout, changed as a reader has chosen."""
    if recompute != RAN:
        layout = replace(layout, recompute=AGAIN[recompute])
    if zero != RAN:
        layout = replace(layout, zero=int(zero), gathers_once=zero == "3" and layout.pp > 1)
    return replace(layout, offloaded_states=host / 100)


@keep
def _held(name, recompute, zero, host):
    """(layout, what its fullest stage holds): the first stage, or the last."""
    run = _run(name)
    layout = _cut(run.layout, recompute, zero, host)
    stages = sorted({0, int(layout.pp) - 1})
    size = [float(footprint.total_bytes(footprint.training_rows(run.model, layout, stage=i))) for i in stages]
    stage = stages[int(np.argmax(size))]
    return layout, stage, clock.held(run.model, layout, _times(name, recompute, zero), stage=stage)


def _table(run, recompute, zero, host):
    layout, stage, held = _held(run, recompute, zero, host)
    _, _, ran = _held(run, RAN, RAN, 0)
    about = _run(run)
    (place, crest), (ran_place, ran_crest) = clock.crest(held), clock.crest(ran)
    moves = footprint.offload_bytes_per_s(about.model, layout, step_s=held["time_s"][-1], stage=stage)
    return stack(
        held=held,
        ran={"time_s": ran["time_s"], "total": clock.total_bytes(ran)},
        measured={"time_s": ran["time_s"][ran_place], "total": about.measured_bytes},
        here={
            "time_s": held["time_s"][place],
            "total": crest,
            "run": run,
            "recompute": recompute,
            "zero": zero,
            "host": host,
            "at": place,
            "ran_bytes": ran_crest,
            "available_bytes": about.available_bytes,
            "chip": RUNS[run][0],
            "end_s": max(held["time_s"][-1], ran["time_s"][-1]),
            "stage": stage,
            "stages": layout.pp,
            "micro_batches": layout.micro_batches,
            "moves_bytes_per_s": moves,
        },
    )


# ---- drawn


def _parts(table):
    """Bytes of each part that is shown, a line for each, over the times of the clock."""
    return np.array([sum(pick(table, "held", name) for name in names) for names, _ in SHOWN.values()])


def _told(table):
    """Does it fit? In words, and a colour for them."""
    here = row(table)
    lacks = here.total - here.available_bytes
    verdict = f"lacks {si(lacks, 'B')}" if lacks > 0 else f"fits, {si(-lacks, 'B')} to spare"
    words = f"At most {si(here.total, 'B')} at once, of {si(here.available_bytes, 'B')}: {verdict}"
    return words, COLOUR["compute" if lacks > 0 else "network"]


def _chosen(table):
    """What was chosen, in words."""
    here = row(table)
    words = [here.run] + [f"computed again: {here.recompute}"] * (here.recompute != RAN)
    words += [f"ZeRO {here.zero}"] * (here.zero != RAN)
    words += [f"{plain(here.host)} % of the optimiser's states on the host"] * (here.host > 0)
    return "; ".join(words + [RAN] * _as_it_ran(table))


def _runs_of_phases(table):
    """(start, end, phase) of each stretch of one kind of work."""
    time, phase = pick(table, "held", "time_s", "phase")
    starts = np.flatnonzero(np.append(True, phase[1:] != phase[:-1]))
    ends = np.append(starts[1:] - 1, time.size - 1)
    work = phase[starts] != ""
    return time[starts[work]], time[ends[work]], phase[starts[work]]


def _places(beside=0.0):
    """Places of the parts at the head, in two lines."""
    i = np.arange(len(SHOWN))
    return 0.012 + 0.25 * (i % 4) + beside, 0.885 - 0.043 * (i // 4)


def _axes(figure):
    figure.set_size_inches(7.6, 5.4)
    for (name, (_, colour)), x, y in zip(SHOWN.items(), *_places(), strict=True):
        key(figure, {name: colour}, x, y, size=9)
    ax = panel(figure, 0.075, 0.16, 0.74, 0.79)
    x_axis(ax, "", 0, 1, ticks=())
    y_axis(ax, "", 0, MOST, ticks={0: "0", 0.5: "50 %", 1: "100 %", 1.5: "150 %"})
    ax.set_xlabel("seconds of a step", labelpad=33)
    ax.axhline(1, color=COLOUR["total"], lw=2, zorder=2.5)
    figure.text(0.012, 0.808, "over a chip's memory", va="center", fontsize=9, color=GREY)
    words = ("forward", "backward", "gradients exchanged", "optimiser")
    key(figure, dict(zip(words, PHASES.values(), strict=True)), 0.075, 0.03)
    return ax


def _draw(figure):
    ax = _axes(figure)

    def over(series):
        def points(table):
            time, total = pick(table, series, "time_s", "total")
            return time / row(table).end_s, total / row(table).available_bytes

        return points

    def crest(table):
        x, y = over("here")(table)
        return x, np.where(y > MOST, np.nan, y)

    def areas(table):
        here = row(table)
        return pick(table, "held", "time_s") / here.end_s, _parts(table) / here.available_bytes

    def strip(table):
        start, end, _ = _runs_of_phases(table)
        return start / row(table).end_s, end / row(table).end_s, -0.055 * MOST, -0.02 * MOST

    def written(table):
        end = row(table).end_s
        found = MaxNLocator(6).tick_values(0, end)
        found = found[(found >= 0) & (found <= end)]
        return [f"{t:g}" for t in found], found / end, -0.1

    def sizes(table):
        """The parts at the crest, beside their names."""
        found = _parts(table)[:, int(row(table).at)]
        return [si(size, "B") if size > LEAST else "0" for size in found], *_places(0.225)

    free = {"clip_on": False}
    return updating(
        stacked_areas(ax, [colour for _, colour in SHOWN.values()], areas),
        line(ax, over("ran"), color=COLOUR["total"], lw=0.7, zorder=2.2),
        boxes(ax, strip, lambda table: [PHASES[name] for name in _runs_of_phases(table)[2]], **free),
        labels(ax, written, of="column", size=9, align="center"),
        line(ax, over("measured"), **MEASURED | {"zorder": 5} | free),
        line(ax, crest, **HERE | {"zorder": 4} | free),
        labels(ax, sizes, of="figure", size=9, align="right"),
        text(figure, 0.012, 0.978, lambda table: _told(table)[0], **HEAD, color=lambda table: _told(table)[1]),
        text(figure, 0.012, 0.937, _chosen, va="top", color=GREY, fontsize=9),
        end_labels(ax, {name: (word, {}) for name, word in ENDS.items()}, _heights, words=_ends, size=9),
    )


def _heights(table):
    """Where the names at the right belong."""
    here = row(table)
    found = {"chip": here.available_bytes, "crest": here.total}
    found["measured"] = pick(table, "measured", "total").mean()
    if not _as_it_ran(table):
        found["ran"] = here.ran_bytes
    return {name: min(value / here.available_bytes, MOST) for name, value in found.items()}


def _ends(table):
    """The words of the names at the right, and their colours."""
    here = row(table)
    beyond = " ↑" * (here.total > MOST * here.available_bytes)
    return {
        "chip": {"text": f"an {here.chip} has\n{si(here.available_bytes, 'B')}", "weight": "bold"},
        "crest": {"text": f"crest {si(here.total, 'B')}{beyond}", "color": _told(table)[1], "weight": "bold"},
        "measured": {"text": f"measured {_measured(table)}"},
        "ran": {"text": f"as it ran {si(here.ran_bytes, 'B')}"},
    }


def _measured(table):
    """82.5 to 88.5 GB."""
    low, high = (si(value, "B", 3) for value in np.quantile(pick(table, "measured", "total"), [0, 1]))
    return high if low == high else f"{low.removesuffix(' GB')} to {high}"


def _as_it_ran(table):
    here = row(table)
    return here.recompute == RAN and here.zero == RAN and here.host == 0


def _summary(table):
    here = row(table)
    found = _parts(table)[:, int(here.at)]
    order = [i for i in np.argsort(-found) if found[i] > LEAST]
    parts = ", ".join(f"{list(SHOWN)[i]} {si(found[i], 'B')}" for i in order)
    phase = pick(table, "held", "phase")[int(here.at)]
    when = {"optimizer": "while the optimiser works", "forward": "in a forward pass", "backward": "in a backward pass"}
    stage = f", on stage {here.stage + 1:.0f} of {here.stages:.0f}" if here.stages > 1 else ""
    ran = "" if _as_it_ran(table) else f" As it ran, the clock says {si(here.ran_bytes, 'B')}."
    hidden = (
        f" A step hides what goes to the host and back from {si(here.moves_bytes_per_s, 'B/s')} each way on."
        if here.host
        else ""
    )
    return (
        f"{_chosen(table)}. {_told(table)[0]}. That is {when.get(phase, 'between passes')}{stage}: {parts}.{ran} Measured: "
        f"{_measured(table)}.{hidden}"
    )


clock_of_bytes = Exhibit(
    slug="08-clock",
    title="Bytes on a clock.",
    caption="What the fullest chip of a published run holds over one step, stacked. Black: the same as it ran; circles: "
    "what was measured. Recompute, shard or offload until the diamond at the crest lies below the chip's memory.",
    alt="Stacked areas over the time of one training step: weights and optimiser states stay, activations rise in the "
    "forward pass and fall in the backward pass while gradients grow; a horizontal line at the chip's memory, a diamond at "
    "the crest, and circles at the measured peak.",
    controls={
        "run": Control(label="run", values=tuple(RUNS), start="Llama 3.1 8B, 8 H100"),
        "recompute": Control(label="computed again", values=(RAN, *AGAIN), start="nothing"),
        "zero": Control(label="ZeRO stage", values=(RAN, *ZERO), start=RAN),
        "host": Control(label="states on the host", values=tuple(range(0, 101, 10)), start=0, unit="%"),
    },
    table=_table,
    draw=_draw,
    summary=_summary,
    sources=("torchtitan_2024_12", "bloom_prequel", "internevo_mem"),
)
