"""Drawings of chapter 09: a decode step on a clock, heads on chips, users who share weights and not caches."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.ch09 import serving_of
from bottlenecks.exhibits.drawn_parts import HEAD, INK, SMALL, flat, funnel, laid, ruler, sheet
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models import exchange, inference, ops

# ---- 1: a step on the clock -----------------------------------------------------------------------

GPU, CONTEXT = "H100 SXM5", 2048  # tokens in the cache of each sequence
KINDS = {  # of work: words, colour
    "matmul": ("products", COLOUR["memory"]),
    "attention": ("attention", COLOUR["cache"]),
    "elementwise": ("norms, additions", COLOUR["latency"]),
    "exchange": ("exchange", COLOUR["network"]),
}
ACROSS = (170, 650)  # the time axis
WHOLE, READ, FIRST_ROW, ROW = (124, 156), (98, 116), 252, 17.5  # bar of the step, of its reading; rows of a layer


@keep
def _clock_table(model_name, chips, batch):
    m, plan, on = serving_of(GPU, model_name, "bf16", round(chips))
    rate = chip(GPU).memory_bytes_per_s
    ledger = inference.rows(m, plan, on, batch=batch, queries=1, keys=CONTEXT)
    sends = exchange.exchange_s(m, plan, on, tokens=batch) / (2 * m.layers)
    before, layer, after = [], [], []  # name, kind, seconds, seconds of its bytes at full rate
    for op, seconds in zip(ledger, inference.ledger_s(ledger, on), strict=True):
        one = op.name, op.kind, float(seconds) / op.calls, (op.weight_bytes + op.cache_bytes) / op.calls / rate
        (layer if op.part not in ops.ENDS else after if layer else before).append(one)
        if op.cut == "rows" and plan.tp > 1:  # each chip has a summand
            layer.append(("all-reduce", "exchange", float(sends), 0.0))
    every = [*before, *layer * m.layers, *after]
    kind, took = np.array([k for _, k, _, _ in every]), np.array([s for _, _, s, _ in every])
    ends = np.cumsum(took)
    name, kinds, each, read = zip(*layer, strict=True)
    until = np.cumsum(each)
    start = sum(s for _, _, s, _ in before)
    return stack(
        step={"kind": kind, "start_s": ends - took, "end_s": ends},
        layer={
            "name": list(name),
            "kind": list(kinds),
            "start_s": until - each,
            "end_s": until,
            "read_s": np.array(read),
        },
        here={
            "model": model_name,
            "chips": plan.tp,
            "batch": batch,
            "layers": m.layers,
            "exchanges": np.sum(kind == "exchange"),
            "weights_s": ops.total(ledger, "weight_bytes") / rate,
            "cache_s": ops.total(ledger, "cache_bytes") / rate,
            "first_s": start,
            "layer_s": until[-1],
            "step_s": ends[-1],
            "weight_bytes": ops.total(ledger, "weight_bytes"),
            "memory_bytes": on.memory_bytes,
        },
    )


def _colours(series):
    return lambda table: [KINDS[kind][1] for kind in pick(table, series, "kind").tolist()]


def _clock_step(ax):
    """The whole step, and above it what reading its bytes takes at the datasheet's rate."""
    left, right = ACROSS

    def placed(table, *times):
        return laid(times, (0, row(table).step_s), left, right)

    def read(table):
        ends = placed(table, 0, row(table).weights_s, row(table).weights_s + row(table).cache_s)
        return flat(ends[:-1], ends[1:], *READ)

    def step(table):
        return flat(*placed(table, *pick(table, "step", "start_s", "end_s")), *WHOLE)

    def reading(table):
        here = row(table)
        floor = here.weights_s + here.cache_s
        x = placed(table, floor)[0] + 7
        return [f"{si(floor, 's')}: weights and cache" if x < 480 else si(floor, "s")], min(x, 656), sum(READ) / 2

    names = ["memory, at full rate", "the step"], left - 8, [sum(READ) / 2, sum(WHOLE) / 2]
    return (
        boxes(ax, read, [COLOUR["memory"], COLOUR["cache"]]),
        labels(ax, reading, size=9.5),
        boxes(ax, step, _colours("step"), snap=False),
        labels(ax, lambda _: names, align="right", size=9.5),
        labels(ax, lambda t: ([si(row(t).step_s, "s")], right + 8, sum(WHOLE) / 2), size=9.5, weight="bold"),
        *ruler(ax, left, right, WHOLE[1] + 5, lambda t: (0, row(t).step_s), "s"),
        funnel(
            ax,
            lambda t: (
                *placed(t, row(t).first_s, row(t).first_s + row(t).layer_s),
                WHOLE[1] + 30,
                left,
                right,
                FIRST_ROW - 28,
            ),
        ),
    )


def _clock_layer(ax):
    """One layer enlarged: a row for each kernel."""
    left, right = ACROSS

    def rows_of(table):
        y = FIRST_ROW + ROW * np.arange(pick(table, "layer", "name").size)
        return y, *laid(pick(table, "layer", "start_s", "end_s", "read_s"), (0, row(table).layer_s), left, right)

    def bars(table):
        y, start, end, _ = rows_of(table)
        return flat(start, end, y - 6, y + 4)

    def bytes_of(table):
        y, start, _, read = rows_of(table)
        return [((a, b + 6), (a + r - left, b + 6)) for a, b, r in zip(start, y, read, strict=True) if r > left]

    def names(table):
        return pick(table, "layer", "name").tolist(), left - 8, rows_of(table)[0]

    def times(table):
        start, end = pick(table, "layer", "start_s", "end_s")
        return [si(t, "s") for t in end - start], right + 8, rows_of(table)[0]

    return (
        boxes(ax, bars, _colours("layer")),
        segments(ax, bytes_of, colors=INK, linewidths=1.6),
        labels(ax, names, align="right", size=9.5),
        labels(ax, times, size=9.5),
        *ruler(ax, left, right, FIRST_ROW + 13 * ROW - 3, lambda t: (0, row(t).layer_s), "s"),
    )


def _clock_draw(figure):
    height = 516
    ax = sheet(figure, height)
    key(figure, dict(KINDS.values()), 0.018, 1 - 78 / height)

    def telling(table):
        here = row(table)
        return (
            f"{here.model}, {plural(here.chips, 'chip')}, {plural(here.batch, 'sequence')}: {si(here.step_s, 's')}, "
            f"reading {si(here.weights_s + here.cache_s, 's')}"
        )

    def counted(table):
        here = row(table)
        room = " The weights do not fit: as if they did." if here.weight_bytes > here.memory_bytes else ""
        return f"{here.layers:.0f} layers, {plain(here.exchanges)} all-reduces.{room}"

    return updating(
        text(ax, 14, 12, telling, **HEAD | {"fontsize": 11.5}),
        text(ax, 14, 50, counted, **SMALL),
        *_clock_step(ax),
        text(ax, ACROSS[0], FIRST_ROW - 20, "one layer, enlarged (black line: its bytes at full rate)", **SMALL),
        *_clock_layer(ax),
    )


def _clock_summary(table):
    here = row(table)
    kind, start, end = pick(table, "step", "kind", "start_s", "end_s")
    parts = ", ".join(
        f"{words} {plain(100 * np.sum((end - start)[kind == k]) / here.step_s, 2)} %" for k, (words, _) in KINDS.items()
    )
    return (
        f"{here.model} in bf16 on {here.chips:.0f} × {GPU}, {plural(here.batch, 'sequence')} of {plural(CONTEXT, 'token')}: a step of "
        f"{si(here.step_s, 's')} with {plural(here.exchanges, 'exchange')}, {plain(here.step_s / (here.weights_s + here.cache_s))} "
        f"times what reading its bytes takes. {parts}."
    )


clock = Exhibit(
    slug="09-clock",
    title="A decode step is mostly small pieces in a row.",
    caption="Why is a step longer than reading its bytes? Above: weights and cache at the datasheet's bandwidth, and the "
    "step as modelled, layer by layer. Below: one layer, kernel by kernel, on its own scale.",
    alt="A bar of the time in which memory is read, below it a bar of the whole step striped by kernels of all layers, and "
    "one layer enlarged with a row for each kernel.",
    controls={
        "model_name": Control(label="model", values=("Llama-3-8B", "Llama-2-70B", "GPT-3 175B"), start="Llama-2-70B"),
        "chips": Control(label="chips", values=(1, 2, 4, 8), start=8),
        "batch": Control(label="sequences", values=(1, 2, 4, 8, 16, 32, 64), start=1),
    },
    table=_clock_table,
    draw=_clock_draw,
    summary=_clock_summary,
)
