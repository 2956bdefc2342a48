"""A drawing of chapter 08: ZeRO as books on shelves, to scale."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, flat, outlines, page, ruler
from bottlenecks.exhibits.labels import changing_key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import collectives, memory
from bottlenecks.laws import zero as zero_laws
from bottlenecks.models import footprint, states
from bottlenecks.models.layouts import Layout

MODEL, CHIP, RECIPE = "Llama-3-8B", "H100 SXM5", "adam, fp32 gradients"
BOOKS = {  # row of the footprint: words, colour, stage from which it is dealt out
    "weights": ("weights", COLOUR["memory"], 3),
    "gradients": ("gradients", COLOUR["cache"], 2),
    "optimizer": ("optimiser states", SERIES[7], 1),
}
CHIPS = (1, 2, 4, 8)
HIGH = 472  # of the page
SHELVES = (70, 728, 132, 428)  # left, right, top, bottom
TALLEST = 92  # of a shelf with its board
NUMBERED = 13  # width from which a volume has its number on its spine


# ---- what a chip keeps and sends --------------------------------------------------------------------


def sent(params, chips, *, gradient, weight):
    """What a chip sends in a step of one micro-batch at stages 0 to 3, where a gradient and a weight have a size."""
    wire = {"bytes_per_s": 1, "latency_s": 0}  # seconds are what is sent
    reduce = collectives.ring_all_reduce_s(gradient * params, chips, **wire)
    scatter = collectives.ring_reduce_scatter_s(gradient * params, chips, **wire)
    gather = collectives.ring_all_gather_s(weight * params, chips, **wire)
    _, times, gathers = states.rounds(Layout(seq_len=1, dp=chips, zero=3))
    alone = {"forward_s": 0, "backward_s": 0, "layers": 1, "times": times}  # nothing to hide behind: all is counted
    held = {"hides_gradients": 0, "hides_weights": 0}
    whole = zero_laws.exposed_gradients_s(reduce, 0, **alone, **held)[0]
    cut = zero_laws.exposed_gradients_s(scatter, gather, **alone, **held)[0]
    return np.array([whole, cut, cut, zero_laws.exposed_weights_s(scatter, gather, gathers=gathers, **alone)[0]])


def in_use(layout):
    """(weights, gradients) in bytes that are whole at ZeRO 3 while a layer uses them."""
    whole = footprint.training_rows(model(MODEL), layout)["buffers"]
    # a copy whose weights wait on the host fetches the same weights, and has its gradients anyway
    fetched = footprint.training_rows(model(MODEL), Layout(seq_len=1, recipe=RECIPE, offloaded_weights=1))["buffers"]
    weights = np.minimum(fetched, whole)
    return np.array([weights, whole - weights])


@keep
def _shelves_table(stage, chips):
    n, z, m = round(chips), round(stage), model(MODEL)
    layout = Layout(seq_len=1, recipe=RECIPE, dp=n, zero=z)
    rows, recipe = footprint.training_rows(m, layout), memory.RECIPES[RECIPE]
    kept = np.array([rows[book] for book in BOOKS])
    alone = footprint.training_rows(m, Layout(seq_len=1, recipe=RECIPE))
    bytes_sent = sent(m.params, n, gradient=recipe.gradient_bytes, weight=recipe.weight_bytes)
    values_sent = sent(m.params, n, gradient=1, weight=1)
    return stack(
        book={
            "book": list(BOOKS),
            "kept_bytes": kept,
            "whole_bytes": np.array([alone[book] for book in BOOKS]),
            "volumes": np.array([n if z < since else 1 for _, _, since in BOOKS.values()]),
        },
        used={"used_bytes": in_use(layout)},
        here={
            "stage": z,
            "chips": n,
            "memory_bytes": chip(CHIP).memory_bytes,
            "sent_bytes": bytes_sent[z],
            "plain_bytes": bytes_sent[0],
            "sent_values": values_sent[z],
            "plain_values": values_sent[0],
        },
    )


# ---- drawn ------------------------------------------------------------------------------------------


def _scale(table):
    """Pixels per byte: a chip without ZeRO fills the shelf."""
    left, right, _, _ = SHELVES
    return (right - left) / pick(table, "book", "whole_bytes").sum()


def _rows(table):
    """Upper and lower edges of the books of each chip."""
    _, _, top, bottom = SHELVES
    n = round(row(table).chips)
    high = min((bottom - top) / n, TALLEST)
    start = top + (bottom - top - n * high) / 2 + np.arange(n) * high
    return start, start + high - 8


def volumes(table):
    """Every volume on every shelf: its edges, its kind and its number, chip by chip."""
    here, kinds = row(table), np.repeat(np.arange(len(BOOKS)), pick(table, "book", "volumes").astype(int))
    count = pick(table, "book", "volumes")[kinds]
    ends = SHELVES[0] + _scale(table) * np.append(0, np.cumsum(pick(table, "book", "kept_bytes")[kinds] / count))
    top, low = (edge[:, None] for edge in _rows(table))
    first = np.concatenate([np.arange(n) for n in pick(table, "book", "volumes")])
    number = np.where(count > 1, first, np.arange(round(here.chips))[:, None]) + 1
    return flat(ends[:-1], ends[1:], top, low), np.tile(kinds, round(here.chips)), number.ravel()


def _whole_in_use(table):
    """Edges of what is whole while it is used, behind the books: weights, then gradients, chip by chip."""
    ends = np.cumsum([pick(table, "book", "kept_bytes").sum(), *pick(table, "used", "used_bytes")])
    ends = SHELVES[0] + _scale(table) * ends
    top, low = (edge[:, None] for edge in _rows(table))
    return flat(ends[:-1] + 1, np.maximum(ends[1:] - 1, ends[:-1] + 1), top + 1, low - 1)


def _limit(table):
    return SHELVES[0] + _scale(table) * row(table).memory_bytes


def _books(ax):
    """The volumes, their numbers, and the boards they stand on."""
    left, right, _, _ = SHELVES
    colours = np.array([colour for _, colour, _ in BOOKS.values()])

    def numbers(table):
        (x0, x1, y0, y1), kinds, number = volumes(table)
        seen = (x1 - x0 >= NUMBERED) & (row(table).chips > 1)
        inks = np.where(kinds == 1, INK, "white")[seen]
        return [f"{v:.0f}" for v in number[seen]], ((x0 + x1) / 2)[seen], ((y0 + y1) / 2)[seen], inks

    def boards(table):
        low = _rows(table)[1]
        return flat(left - 4, right + 4, low, low + 3)

    def names(table):
        top, low = _rows(table)
        return [f"chip {i + 1}" for i in range(top.size)], left - 12, (top + low) / 2

    def outlined(table):
        edges = _whole_in_use(table)
        return outlines(edges[:, edges[1] - edges[0] > 0])

    return (
        boxes(ax, lambda t: volumes(t)[0], lambda t: colours[volumes(t)[1]]),
        segments(ax, lambda t: outlines(volumes(t)[0]), colors="white", linewidths=0.7),
        segments(ax, outlined, colors=[colours[0], colours[1]], linewidths=1.2),
        boxes(ax, boards, "#B9A48C"),
        labels(ax, numbers, size=8, align="center"),
        labels(ax, names, size=9.5, align="right"),
    )


def _totals(table):
    """(bytes of the books on a chip, bytes with what is whole while it is used)."""
    kept = pick(table, "book", "kept_bytes").sum()
    return kept, kept + pick(table, "used", "used_bytes").sum()


def _room(table):
    """What is whole while it is used, and what the memory of a chip then has left or lacks, in words."""
    here, (kept, most) = row(table), _totals(table)
    left = here.memory_bytes - most
    whole = f"Outlined: {si(most - kept, 'B')}, whole while in use. " if most > kept else ""
    has = f"n H100's {si(here.memory_bytes, 'B')}"
    return whole + (
        f"Of a{has}, {si(left, 'B')} are left for activations."
        if left >= 0
        else f"A{has} are {si(-left, 'B')} too few."
    )


def _values(table):
    """Values that a chip sends beside those of plain data parallelism, in words."""
    here = row(table)
    if here.chips == 1:
        return "nothing sent"
    times = plain(here.sent_values / here.plain_values)
    return "as many values sent as by plain copies" if times == "1" else f"{times} times as many values sent"


def _telling(table):
    here = row(table)
    name, sends = (f"ZeRO {here.stage:.0f}", f", {_values(table)}") if here.stage else ("ZeRO 0 (plain copies)", "")
    return f"{name} on {plural(here.chips, 'chip')}: {si(_totals(table)[0], 'B')} on each{sends}"


def _sends(table):
    here = row(table)
    if here.chips == 1:
        return "A chip alone sends nothing."
    return (
        f"Sent by each chip in a step, gradients in 32 bits and weights in 16: {si(here.sent_bytes, 'B')}; "
        f"plain copies send {si(here.plain_bytes, 'B')}."
    )


def _shelves_draw(figure):
    ax = page(figure, HIGH)
    left, right, top, bottom = SHELVES

    def legend(table):
        sizes = pick(table, "book", "kept_bytes")
        return {f"{words} {si(v, 'B')}": c for (words, c, _), v in zip(BOOKS.values(), sizes, strict=True)}

    return updating(
        text(ax, 14, 10, _telling, **HEADLINE),
        text(ax, 14, 43, _room, **SMALL),
        text(ax, 14, 62, _sends, **SMALL),
        changing_key(ax, legend, 0.018, 1 - 86 / HIGH),
        *_books(ax),
        segments(
            ax,
            lambda t: [((_limit(t), top - 6), (_limit(t), bottom + 4))],
            colors=INK,
            linewidths=1.6,
            linestyles="--",
            zorder=4,
        ),
        text(ax, _limit, top - 16, lambda t: f"an H100 has {si(row(t).memory_bytes, 'B')}", ha="center", **SMALL),
        *ruler(ax, left, right, bottom + 14, lambda t: (0, pick(t, "book", "whole_bytes").sum()), "B"),
    )


def _shelves_summary(table):
    n = round(row(table).chips)
    which = (
        [" (all)" if v > 1 else f" (one of {n} parts)" for v in pick(table, "book", "volumes")] if n > 1 else [""] * 3
    )
    sizes = zip(BOOKS.values(), pick(table, "book", "kept_bytes"), which, strict=True)
    parts = ", ".join(f"{words} {si(v, 'B')}{part}" for (words, _, _), v, part in sizes)
    return f"{MODEL}. {_telling(table)}. Each keeps {parts}. {_room(table)} {_sends(table)}"


shelves = Exhibit(
    slug="08-shelves",
    title="ZeRO, as books on shelves.",
    caption="A shelf per chip, books as wide as their bytes, Adam with gradients in 32 bits. Stage 1 deals "
    "out the optimiser's states, 2 the gradients, 3 the weights. On how few chips does each stage fit?",
    alt="A shelf for each chip with volumes of weights, gradients and optimiser states, whole sets or one numbered volume of "
    "each, and a dashed line across all shelves at the chip's memory.",
    controls={
        "stage": Control(label="stage of ZeRO", values=(0, 1, 2, 3), start=0),
        "chips": Control(label="chips", values=CHIPS, start=8),
    },
    table=_shelves_table,
    draw=_shelves_draw,
    summary=_shelves_summary,
    sources=("rajbhandari2020zero",),
)
