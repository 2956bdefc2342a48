"""A drawing for chapter 10: the edge of a die, to scale, and a millimetre of it with its pins."""

from functools import cache as keep

import numpy as np
from matplotlib.patches import Rectangle

from bottlenecks.exhibits.labels import labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.memories import memory
from bottlenecks.facts.units import plain, si
from bottlenecks.studies import tax

DIE_M = np.sqrt(tax.DIE_CM2 * 1e-4)  # a side, were an H100's die a square
MEMORIES = {"HBM3E": "HBM3E", "GDDR7": "GDDR7 28", "LPDDR5X": "LPDDR5X 8533", "DDR5": "DDR5-6400"}
RATES = tuple(n * 1e12 for n in (0.5, 1, 1.5, 2, 2.5, 3, 3.35, 4, 4.8, 6, 8))
TALL = 32e9  # bits a second of a pin that fill the height of a strip


@keep
def _table(name, bandwidth):
    units = [memory(each) for each in MEMORIES.values()]
    per_m = np.array([each.bytes_per_s / each.edge_m for each in units])
    mine = list(MEMORIES).index(name)
    needs = bandwidth / per_m
    return stack(
        memory={
            "name": np.array(list(MEMORIES)),
            "pins_per_mm": np.array([each.pins / each.edge_m / 1e3 for each in units]),
            "pin_bits_per_s": np.array([each.pin_bits_per_s for each in units]),
            "bytes_per_s_per_mm": per_m / 1e3,
            "needs_m": needs,
        },
        here={
            "name": name,
            "bandwidth_bytes_per_s": bandwidth,
            "needs_m": needs[mine],
            "around_m": 4 * DIE_M,
            "least_m": bandwidth / units[mine].bytes_per_s * units[mine].edge_m_low,
            "most_m": bandwidth / units[mine].bytes_per_s * units[mine].edge_m_high,
        },
    )


def _along(length_m):
    """Pieces of the square's edge from its lower left corner on: left, right, low, high of a thick line."""
    side, thick = DIE_M * 1e3, 1.1
    south, east, north, west = (np.clip(length_m * 1e3 - k * side, 0, side) for k in range(4))
    pieces = (
        (0, south, -thick, 0),
        (side, side + thick, 0, east),
        (side - north, side, side, side + thick),
        (-thick, 0, side - west, side),
    )
    return tuple(np.array(each) for each in zip(*pieces, strict=True))


def _draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = figure.add_axes([0.0, 0.0, 1.0, 0.92])
    ax.set(xlim=(0, 76), ylim=(0, 45), aspect="equal")
    ax.axis("off")
    side = DIE_M * 1e3
    at = np.array([4.5, 7.0])
    ax.add_patch(_square(at, side))
    ax.text(*(at + side / 2), "a die of 814 mm²,\nto scale", ha="center", va="center", fontsize=9.5, color=GREY)
    ax.text(44, 40.8, "one millimetre of its edge: each stroke a data pin,", fontsize=9.5, va="center")
    ax.text(44, 38.9, "as tall as its bits a second", fontsize=9.5, va="center")
    base = {name: 31.0 - 8.6 * k for k, name in enumerate(MEMORIES)}
    wide, tall = 22.0, 6.0
    for y in base.values():
        ax.plot([44, 44 + wide], [y, y], color="#999999", lw=0.8)

    def edge(table):
        left, right, low, high = _along(row(table).needs_m)
        return left + at[0], right + at[0], low + at[1], high + at[1]

    def colour(table):
        here = row(table)
        return COLOUR["compute"] if here.needs_m > here.around_m else COLOUR["memory"]

    def strokes(table):
        pieces = []
        for name, pins, rate in zip(*pick(table, "memory", "name", "pins_per_mm", "pin_bits_per_s"), strict=True):
            x = 44 + wide * (np.arange(int(pins)) + 0.5) / pins
            foot = np.full(x.shape, base[name])
            pieces.append(np.stack([np.stack([x, foot], -1), np.stack([x, foot + tall * rate / TALL], -1)], 1))
        return np.concatenate(pieces)

    def words(table):
        name, pins, rate, each = pick(table, "memory", "name", "pins_per_mm", "pin_bits_per_s", "bytes_per_s_per_mm")
        told = [
            f"{n}: {plain(p, 2)} pins of {plain(r / 1e9, 3)} Gbit/s, {plain(e / 1e9, 2)} GB/s"
            for n, p, r, e in zip(name.tolist(), pins, rate, each, strict=True)
        ]
        return told, np.full(len(told), 44.0), np.array([base[n] - 1.2 for n in name.tolist()])

    def telling(table):
        here = row(table)
        return f"{si(here.bandwidth_bytes_per_s, 'B/s')} by {here.name}: {plain(here.needs_m * 1e3, 2)} of {plain(here.around_m * 1e3, 3)} mm of edge"

    def beyond(table):
        here = row(table)
        more = here.needs_m / here.around_m
        return f"{plain(more, 2)} dies' edges" if more > 1 else ""

    return updating(
        boxes(ax, edge, lambda table: [colour(table)] * 4),
        segments(ax, strokes, colors=COLOUR["memory"], linewidths=1.0),
        labels(ax, words, size=9),
        text(figure, 0.03, 0.955, telling, fontsize=11.5, weight="bold", va="center"),
        text(
            ax, at[0] + side / 2, at[1] - 3.6, beyond, ha="center", va="center", color=COLOUR["compute"], weight="bold"
        ),
    )


def _square(at, side):
    return Rectangle(at, side, side, facecolor="#F2F2F2", edgecolor="#999999", lw=0.8)


def _summary(table):
    here = row(table)
    name, needs = pick(table, "memory", "name", "needs_m")
    told = ", ".join(f"{n} {plain(m * 1e3, 2)} mm" for n, m in zip(name.tolist(), needs, strict=True))
    return (
        f"{si(here.bandwidth_bytes_per_s, 'B/s')} need, of a die's {plain(here.around_m * 1e3, 3)} mm of edge: {told}. By {here.name} it may be "
        f"{plain(here.least_m * 1e3, 2)} to {plain(here.most_m * 1e3, 2)} mm, as the published edges differ."
    )


edge = Exhibit(
    slug="10-edge",
    title="A millimetre of edge.",
    caption="Left: the edge that a bandwidth takes of a die, to scale. Right: what one millimetre carries. With which memories can one die reach "
    "3.35 TB/s?",
    alt="A square die with part of its edge coloured, and four strips of one millimetre with vertical strokes: a hundred short ones for HBM, six tall ones for GDDR, ten to thirteen "
    "short ones for LPDDR and DDR.",
    controls={
        "name": Control(label="memory", values=tuple(MEMORIES), start="HBM3E"),
        "bandwidth": Control(label="bandwidth", values=RATES, start=3.35e12, unit="B/s"),
    },
    table=_table,
    draw=_draw,
    summary=_summary,
    sources=("rpu2026", "geektopia2022ad102", "nvidia2025rtxblackwell", "semianalysis2026isscc"),
)
