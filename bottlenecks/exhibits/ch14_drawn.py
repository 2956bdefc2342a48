"""Drawings of chapter 14: what copies keep, a pair of matrices cut, an exchange under the last pass, experts dealt out."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.ch14 import HELD
from bottlenecks.exhibits.drawn_parts import HEAD, INK, SMALL, WIDE, flat, outlines, ruler, sheet
from bottlenecks.exhibits.labels import labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import memory

# ---- 1: ZeRO as shelves ---------------------------------------------------------------------------

RECIPE = memory.RECIPES["adam, fp32 gradients"]  # 2 + 4 + 12 bytes of a parameter
BOOKS = {"weights": "weights", "gradients": "gradients", "optimiser": "optimiser states"}
FROM = np.array([3, 2, 1])  # stage from which each is dealt out
COPIES = tuple(2**i for i in range(7))
SHELVES = (80, 590, 98, 286)  # left, right, top, bottom
BARS = (350, 28, 17)  # top, distance, thickness


@keep
def _zero_table(model_name, stage, copies):
    n, z, params = round(copies), round(stage), model(model_name).params
    each = {
        "weight_bytes": RECIPE.weight_bytes,
        "gradient_bytes": RECIPE.gradient_bytes,
        "state_bytes": RECIPE.state_bytes,
    }
    whole, stages = np.array(list(each.values())), np.arange(4)
    cut = memory.shards(stages[:, None], n, from_stage=FROM)
    return stack(
        book={"book": list(BOOKS), "whole_bytes": whole, "cut": cut[z], "kept_bytes": whole / cut[z]},
        stage={
            "stage": stages,
            **{book: params * whole[i] / cut[:, i] for i, book in enumerate(BOOKS)},
            "held_bytes": memory.states_bytes(params, **each, zero=stages, ranks=n),
        },
        here={
            "model": model_name,
            "stage": z,
            "copies": n,
            "params": params,
            "memory_bytes": chip("H100 SXM5").memory_bytes,
        },
    )


def _slots(table):
    """Where the place of each book on a shelf begins and ends, to scale in bytes."""
    left, right, _, _ = SHELVES
    ends = np.cumsum([0, *pick(table, "book", "whole_bytes")])
    return left + ends / ends[-1] * (right - left)


def shelf_pieces(table):
    """Edges of what each copy keeps of each book: all of it, or the part whose turn it is."""
    _, _, top, bottom = SHELVES
    cut, ends, n = pick(table, "book", "cut"), _slots(table), round(row(table).copies)
    tall, copy = (bottom - top) / n, np.arange(n)[:, None]
    part = np.diff(ends) / cut
    x0 = ends[:-1] + np.where(cut > 1, copy, 0) * part
    y0 = top + copy * tall
    return flat(x0, x0 + part, y0, y0 + tall * (0.82 if n <= 16 else 1.0))


def _shelves(ax):
    """The upper half: a shelf for each copy."""
    left, _, top, bottom = SHELVES
    colours = [HELD[book][1] for book in BOOKS]

    def places(table):
        ends, (_, _, low, high) = _slots(table), shelf_pieces(table)
        return flat(ends[:-1], ends[1:], low.reshape(-1, 3), high.reshape(-1, 3))

    def names(table):
        whole, ends = pick(table, "book", "whole_bytes"), _slots(table)
        words = [f"{word} {plain(b)} B" for word, b in zip(BOOKS.values(), whole, strict=True)]
        return words, (ends[:-1] + ends[1:]) / 2 - (14, 0, 0), top - 12

    def copies(table):
        n = round(row(table).copies)
        if n > 8:
            return ["copy 1", f"copy {n}"], left - 8, [top + 6, bottom - 6]
        return [f"copy {i + 1}" for i in range(n)], left - 8, top + (np.arange(n) + 0.41) * (bottom - top) / n

    return (
        labels(ax, names, align="center", size=9.5),
        boxes(ax, places, "#E6E6E6"),
        boxes(ax, shelf_pieces, lambda table: colours * round(row(table).copies)),
        labels(ax, copies, align="right", size=9.5),
    )


def _floors(ax):
    """The lower half: what one chip holds at each stage, and its memory."""
    left, right, _, _ = SHELVES
    first, apart, thick = BARS
    y = first + apart * np.arange(4)

    def held(table):
        share = (right - left) / (row(table).params * pick(table, "book", "whole_bytes").sum())
        ends = left + share * np.cumsum([0 * y, *(pick(table, "stage", book) for book in BOOKS)], 0)
        return flat(ends[:-1], ends[1:], y, y + thick)

    def limit(table):
        here = row(table)
        return left + here.memory_bytes / (here.params * pick(table, "book", "whole_bytes").sum()) * (right - left)

    def sums(table):
        total, room = pick(table, "stage", "held_bytes"), row(table).memory_bytes
        words = ["fits" if t <= room else f"{plain(t / room)} H100s" for t in total]
        return [f"{si(t, 'B')}: {word}" for t, word in zip(total, words, strict=True)], right + 8, y + thick / 2

    def chosen(table):
        low = y[round(row(table).stage)]
        return outlines((left - 60, WIDE - 10, low - 5, low + thick + 5))

    return (
        boxes(ax, held, [HELD[book][1] for book in BOOKS for _ in range(4)]),
        segments(ax, chosen, colors=COLOUR["highlight"], linewidths=1.6),
        segments(
            ax,
            lambda t: [((limit(t), first - 9), (limit(t), y[-1] + thick + 6))],
            colors=INK,
            linewidths=1.5,
            linestyles="--",
        ),
        text(
            ax,
            lambda t: limit(t) + 5,
            first - 13,
            lambda t: f"memory of one H100: {si(row(t).memory_bytes, 'B')}",
            **SMALL,
        ),
        labels(ax, lambda _: ([f"ZeRO {i}" for i in range(4)], left - 8, y + thick / 2), align="right", size=9.5),
        labels(ax, sums, size=9.5),
        *ruler(
            ax,
            left,
            right,
            y[-1] + thick + 10,
            lambda t: (0, row(t).params * pick(t, "book", "whole_bytes").sum()),
            "B",
        ),
    )


def _zero_draw(figure):
    ax = sheet(figure, 494)

    def telling(table):
        here, kept, whole = row(table), *pick(table, "book", "kept_bytes", "whole_bytes")
        return f"ZeRO {here.stage:.0f} among {plural(here.copies, 'copy')}: each keeps {plain(kept.sum())} of {plain(whole.sum())} bytes per parameter"

    return updating(
        text(ax, 14, 12, telling, **HEAD),
        text(ax, 14, 54, "Shelves: of every parameter's bytes (grey), those that a copy keeps (colour).", **SMALL),
        *_shelves(ax),
        text(
            ax,
            14,
            314,
            lambda t: f"On each chip, for the {plain(row(t).params / 1e9)} billion parameters of {row(t).model}:",
            **SMALL,
        ),
        *_floors(ax),
    )


def _zero_summary(table):
    here, kept, total = row(table), pick(table, "book", "kept_bytes").sum(), pick(table, "stage", "held_bytes")
    mine, fitting = total[round(here.stage)], np.flatnonzero(total <= here.memory_bytes)
    first = f"the first stage that fits is ZeRO {fitting[0]}" if fitting.size else "no stage fits"
    return (
        f"{here.model}, ZeRO {here.stage:.0f} among {plural(here.copies, 'copy')}: each keeps {plain(kept)} bytes of a parameter, "
        f"{si(mine, 'B')} in all, {plain(mine / here.memory_bytes)} times the memory of an H100; {first}."
    )


zero = Exhibit(
    slug="14-zero",
    title="ZeRO deals out what every copy kept whole.",
    caption="Which stage makes the model fit? Optimiser states are dealt out from stage 1, gradients from 2, weights from 3. "
    "Widths are bytes. Activations are not counted.",
    alt="Above, a shelf for each copy of the model with its weights, gradients and optimiser states, whole or cut into "
    "parts that lie like a staircase; below, four bars of the bytes on one chip beside a line at its memory.",
    controls={
        "model_name": Control(
            label="model", values=("Llama-3-8B", "Llama-2-70B", "Llama-3.1-405B"), start="Llama-2-70B"
        ),
        "stage": Control(label="stage", values=(0, 1, 2, 3), start=1),
        "copies": Control(label="copies", values=COPIES, start=8),
    },
    table=_zero_table,
    draw=_zero_draw,
    summary=_zero_summary,
)
