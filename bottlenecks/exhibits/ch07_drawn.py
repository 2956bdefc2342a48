"""Drawings of chapter 07: the causal square in tiles, a softmax walked four scores at a time, a ring of chips."""

from functools import cache as keep

import numpy as np
from matplotlib.patches import Rectangle

from bottlenecks.exhibits.drawn_parts import HEADLINE, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import counted, plain, si
from bottlenecks.laws import attention as law
from bottlenecks.laws import tiling
from bottlenecks.models import kernels
from bottlenecks.studies import attention

NEEDED, SPARED, EMPTY = COLOUR["memory"], "#F2C9A5", "#F3F3F3"
PALE = "#BFD7EA"

# ---- the square in tiles -----------------------------------------------------------------------------

SEES = {"all earlier tokens": 0, "a window of 512": 512, "4 chosen blocks of 128": 4}
TILE = int(kernels.QUERY_BLOCK)
LEFT, TOP, SIDE = 60, 74, 340


@keep
def _square_table(context, sees):
    tiles = int(context // TILE)
    i, j = (v.ravel() for v in np.meshgrid(np.arange(tiles), np.arange(tiles), indexing="ij"))
    if sees == "4 chosen blocks of 128":  # the first, the last two, and one in between, another for each row
        met = (j == 0) | ((j <= i) & (j >= i - 1)) | (j == (i * (i + 3) // 2) % np.maximum(i - 1, 1))
        met &= j <= i
    else:
        window = SEES[sees] or context
        met = (j <= i) & ((i - j) * TILE < window + TILE)
    whole = met & (j < i) & ((i - j) * TILE <= (SEES[sees] or context) - TILE if sees == "a window of 512" else True)
    size = chip("H100 SXM5")
    core = next(v.bytes for v in size.levels if v.name == "L1/shared") / size.cores
    if sees == "4 chosen blocks of 128":
        pairs = float((whole * TILE**2 + (met & ~whole) * TILE * (TILE + 1) / 2).sum())
    else:
        pairs = float(tiling.attention_pairs(context, context, causal=True, window=SEES[sees] or np.inf))
    return stack(
        tile={"i": i[met] * 1.0, "j": j[met] * 1.0, "edge": 1.0 * ~whole[met]},
        here={
            "context": context,
            "tiles": tiles,
            "sees": sees,
            "met": int(met.sum()),
            "pairs": pairs,
            "square": context**2.0,
            "scores_bytes": 2 * context**2.0,
            "tile_bytes": 2.0 * TILE**2,
            "core_bytes": core,
        },
    )


def _square_draw(figure):
    ax = page(figure, 470)

    def tiles(edge):
        def of(table):
            i, j, mine = pick(table, "tile", "i", "j", "edge")
            unit = SIDE / row(table).tiles
            i, j = i[mine == edge], j[mine == edge]
            return flat(LEFT + j * unit, LEFT + (j + 1) * unit, TOP + i * unit, TOP + (i + 1) * unit)

        return of

    def halves(table):
        """The triangle below the diagonal of a tile, as boxes of a step each."""
        i, j, mine = pick(table, "tile", "i", "j", "edge")
        unit, steps = SIDE / row(table).tiles, np.arange(8) / 8
        i, j = (np.repeat(v[(mine == 1) & (i == j)], 8) for v in (i, j))
        s = np.tile(steps, i.size // 8)
        return flat(LEFT + j * unit, LEFT + (j + s) * unit, TOP + (i + s) * unit, TOP + (i + s + 1 / 8) * unit)

    def telling(table):
        here = row(table)
        return f"{counted(here.context)} tokens: {plain(here.pairs / 1e6, 3)} million pairs of {plain(here.square / 1e6, 3)} million"

    def facts(table):
        here = row(table)
        computed = here.met * TILE**2
        return (
            f"a tile: {TILE} queries, {TILE} keys\n\n"
            f"tiles that are met: {here.met:,.0f} of {here.tiles**2:,.0f}\n\n"
            f"computed in them: {plain(computed / 1e6, 3)} million,\n{computed / here.pairs - 1:.0%} more than needed\n\n"
            f"scores of one head,\nin 16 bits: {si(here.scores_bytes, 'B', 3)}\n\n"
            f"scores of one tile: {si(here.tile_bytes, 'B', 3)}\n\n"
            f"a core's own memory: {si(here.core_bytes, 'B', 3)}"
        )

    ax.add_patch(Rectangle((LEFT, TOP), SIDE, SIDE, fc=EMPTY, ec="#B0B0B0", lw=0.8))
    ax.text(LEFT + SIDE / 2, TOP - 12, "keys: the tokens that are seen", fontsize=9.5, ha="center", color=GREY)
    ax.text(
        LEFT - 14,
        TOP + SIDE / 2,
        "queries: the tokens that ask",
        fontsize=9.5,
        ha="center",
        va="center",
        rotation=90,
        color=GREY,
    )
    key(
        figure, {"pairs that are needed": NEEDED, "computed for nothing": SPARED, "not touched": "#DADADA"}, 0.07, 0.055
    )
    return updating(
        text(ax, 14, 10, telling, **HEADLINE),
        boxes(ax, tiles(0.0), NEEDED),
        boxes(ax, tiles(1.0), SPARED),
        boxes(ax, halves, NEEDED),
        segments(ax, lambda t: [*outlines(tiles(0.0)(t)), *outlines(tiles(1.0)(t))], colors="white", linewidths=0.6),
        text(ax, LEFT + SIDE + 34, TOP + 12, facts, **SMALL | {"va": "top", "fontsize": 10.5, "linespacing": 1.25}),
    )


def _square_summary(table):
    here = row(table)
    return (
        f"{counted(here.context)} tokens that see {here.sees}: {plain(here.pairs / here.square * 100, 3)} % of the square is needed; its scores would take "
        f"{si(here.scores_bytes, 'B', 3)} a head, a tile's {si(here.tile_bytes, 'B', 3)}."
    )


square = Exhibit(
    slug="07-square",
    title="The square, in tiles.",
    caption="One head: each row a block of queries, each column a block of keys. A kernel works tile by tile and never writes the square. "
    "Double the context: what doubles, what quadruples?",
    alt="A square of tiles of which the lower left triangle is filled; tiles on the diagonal are half filled.",
    controls={
        "context": Control(label="tokens", values=(512.0, 1024.0, 2048.0, 4096.0), start=2048.0),
        "sees": Control(label="a query sees", values=tuple(SEES), start="all earlier tokens"),
    },
    table=_square_table,
    draw=_square_draw,
    summary=_square_summary,
)

# ---- a softmax, four scores at a time ----------------------------------------------------------------

SCORES = np.array([1.0, 3.0, 0.0, 2.0, 2.0, 5.0, 1.0, 4.0, 0.0, 3.0, 6.0, 1.0, 2.0, 4.0, 0.0, 3.0])
VALUES = np.array([2.0, 4.0, 6.0, 8.0, 1.0, 3.0, 5.0, 7.0, 8.0, 6.0, 4.0, 2.0, 7.0, 5.0, 3.0, 1.0])
FOUR = 4


def parts():
    """(largest score, sum of exponentials, weighted sum of values) of each four."""
    found = []
    for s, v in zip(SCORES.reshape(-1, FOUR), VALUES.reshape(-1, FOUR), strict=True):
        weights = np.exp(s - s.max())
        found.append((s.max(), weights.sum(), weights @ v))
    return found


def so_far(step):
    """The same of the first `step` fours together."""
    every = parts()
    whole = every[0]
    for each in every[1:step]:
        whole = law.merged(whole, each)
    return whole


@keep
def _softmax_table(step):
    step = int(step)
    mine, before = parts()[step - 1], so_far(step - 1) if step > 1 else (-np.inf, 0.0, 0.0)
    after = so_far(step)
    return stack(
        key={
            "at": np.arange(SCORES.size) * 1.0,
            "score": SCORES,
            "value": VALUES,
            "seen": 1.0 * (np.arange(SCORES.size) < step * FOUR),
        },
        here={
            "step": step,
            **dict(zip(("mine_most", "mine_sum", "mine_values"), mine, strict=True)),
            **dict(zip(("old_most", "old_sum", "old_values"), before, strict=True)),
            **dict(zip(("most", "sum", "values"), after, strict=True)),
        },
    )


CELL, ROW = 41, 78


def _softmax_draw(figure):
    ax = page(figure, 400)
    x0 = 62

    def cells(which):
        def of(table):
            at = pick(table, "key", "at")
            four = at // FOUR + 1
            step = row(table).step
            mine = {"past": four < step, "now": four == step, "later": four > step}[which]
            x = x0 + at[mine] * CELL
            return flat(
                np.r_[x, x],
                np.r_[x, x] + CELL - 3,
                np.r_[0 * x + ROW, 0 * x + ROW + 34],
                np.r_[0 * x + ROW + 28, 0 * x + ROW + 62],
            )

        return of

    def numbers(table):
        at, score, value = pick(table, "key", "at", "score", "value")
        x = x0 + at * CELL + (CELL - 3) / 2
        words = [plain(v) for v in np.r_[score, value]]
        return words, np.r_[x, x], np.r_[0 * x + ROW + 14, 0 * x + ROW + 48]

    def telling(table):
        here = row(table)
        return f"after {here.step * FOUR:.0f} of 16 keys: {here.values:.3f} / {here.sum:.3f} = {here.values / here.sum:.3f}"

    def work(table):
        h = row(table)
        four = f"of these four:   largest {h.mine_most:.0f},   sum of exponentials {h.mine_sum:.3f},   weighted values {h.mine_values:.3f}\n\n"
        if h.step == 1:
            return four + "nothing was there before: these three numbers are kept, the scores are forgotten"
        old, new = np.exp(h.old_most - h.most), np.exp(h.mine_most - h.most)
        return (
            four
            + f"kept so far:       largest {h.old_most:.0f},   sum {h.old_sum:.3f},   weighted values {h.old_values:.3f}\n\n"
            + f"the largest of all is {h.most:.0f}: what was kept is multiplied by exp({h.old_most:.0f} − {h.most:.0f}) = {old:.3f}, the four by {new:.3f}\n\n"
            + f"sum:   {old:.3f} × {h.old_sum:.3f} + {new:.3f} × {h.mine_sum:.3f} = {h.sum:.3f}\n\n"
            + f"weighted values:   {old:.3f} × {h.old_values:.3f} + {new:.3f} × {h.mine_values:.3f} = {h.values:.3f}"
        )

    ax.text(x0 - 8, ROW + 14, "score", fontsize=9.5, ha="right", va="center", color=GREY)
    ax.text(x0 - 8, ROW + 48, "value", fontsize=9.5, ha="right", va="center", color=GREY)
    return updating(
        text(ax, 14, 10, telling, **HEADLINE),
        boxes(ax, cells("past"), PALE),
        boxes(ax, cells("now"), COLOUR["highlight"]),
        boxes(ax, cells("later"), EMPTY),
        labels(ax, numbers, size=10.5, align="center"),
        text(ax, 24, ROW + 92, work, fontsize=10.5, va="top", linespacing=1.3),
    )


def _softmax_summary(table):
    h = row(table)
    return (
        f"After {h.step * FOUR:.0f} of 16 keys: largest score {h.most:.0f}, sum of exponentials {h.sum:.3f}, weighted values {h.values:.3f}, so that attention "
        f"gives {h.values / h.sum:.3f}."
    )


softmax = Exhibit(
    slug="07-softmax",
    title="A softmax, four scores at a time.",
    caption="One query, sixteen keys with a score and a value each. Each step brings four more and keeps three numbers. Step on: "
    "when is what was kept multiplied by less than 1?",
    alt="Two rows of sixteen numbers, four of them marked, and below them the arithmetic that merges their three numbers with those kept before.",
    controls={"step": Control(label="step", values=(1.0, 2.0, 3.0, 4.0), start=2.0)},
    table=_softmax_table,
    draw=_softmax_draw,
    summary=_softmax_summary,
)

# ---- a ring of chips ---------------------------------------------------------------------------------

DEALT = {"in order": False, "from both ends (zigzag)": True}
RING = ("Llama-3-8B", "H100 SXM5")
BANDWIDTH = {"NVLink, 450 GB/s": 450e9, "a port of 400 Gbit/s": 50e9}


@keep
def _ring_table(context, ranks, dealt, over):
    ranks = int(ranks)
    name, on = RING
    found = attention.ring(model(name), context, ranks, on=on, link_bytes_per_s=BANDWIDTH[over], zigzag=DEALT[dealt])
    rank = np.repeat(np.arange(ranks), ranks) * 1.0
    wide = np.maximum(found["steps_s"].max(axis=0), found["sent_step_s"])
    start = np.concatenate([[0.0], np.cumsum(wide)[:-1]])
    return stack(
        piece={"rank": rank, "start": np.tile(start, ranks), "busy": found["steps_s"].ravel()},
        sent={"start": start[:-1], "busy": np.full(ranks - 1, found["sent_step_s"])},
        here={
            "context": context,
            "ranks": ranks,
            "dealt": dealt,
            "over": over,
            "whole_s": float(found["whole_s"]),
            "ideal_s": float(found["ideal_s"]),
            "sent_s": float(found["sent_step_s"]),
            "step_s": float(found["steps_s"].max()),
        },
    )


R_LEFT, R_TOP, R_WIDE, R_HIGH = 92, 66, 640, 250


def _ring_draw(figure):
    ax = page(figure, 410)

    def scale(table):
        return R_WIDE / row(table).whole_s

    def work(table):
        here = row(table)
        rank, start, busy = pick(table, "piece", "rank", "start", "busy")
        high = R_HIGH / here.ranks
        mine = busy > 0
        x = R_LEFT + start[mine] * scale(table)
        y = R_TOP + rank[mine] * high
        return flat(x, x + busy[mine] * scale(table), y, y + 0.78 * high)

    def whole(table):
        here = row(table)
        high = R_HIGH / here.ranks
        y = R_TOP + np.arange(here.ranks) * high
        return flat(0 * y + R_LEFT, 0 * y + R_LEFT + R_WIDE, y, y + 0.78 * high)

    def messages(table):
        start, busy = pick(table, "sent", "start", "busy")
        x = R_LEFT + start * scale(table)
        return flat(x, x + busy * scale(table), 0 * x + R_TOP + R_HIGH + 6, 0 * x + R_TOP + R_HIGH + 18)

    def names(table):
        here = row(table)
        n = int(here.ranks)
        high = R_HIGH / n
        return [f"chip {i + 1}" for i in range(n)], np.full(n, R_LEFT - 10), R_TOP + (np.arange(n) + 0.39) * high

    def telling(table):
        here = row(table)
        return f"{counted(here.context)} tokens on {here.ranks:.0f} chips, {here.dealt}: {here.ideal_s / here.whole_s:.0%} of the ideal"

    def facts(table):
        here = row(table)
        return f"{si(here.whole_s, 's', 3)} for a layer. Nobody waiting: {si(here.ideal_s, 's', 3)}. Keys and values take {si(here.sent_s, 's', 3)} per step over {here.over}."

    ax.text(R_LEFT - 10, R_TOP + R_HIGH + 12, "one link", fontsize=9.5, ha="right", va="center")
    key(
        figure,
        {"meets keys": COLOUR["compute"], "waits": "#E4E4E4", "keys and values on their way": COLOUR["network"]},
        0.12,
        0.045,
    )
    return updating(
        text(ax, 14, 10, telling, **HEADLINE),
        text(ax, 14, 44, facts, **SMALL),
        boxes(ax, whole, "#E4E4E4"),
        boxes(ax, work, COLOUR["compute"]),
        boxes(ax, messages, COLOUR["network"]),
        segments(ax, lambda t: outlines(work(t)), colors="white", linewidths=0.8),
        labels(ax, names, align="right", size=9.5),
    )


def _ring_summary(table):
    here = row(table)
    return (
        f"{counted(here.context)} tokens on a ring of {here.ranks:.0f} chips over {here.over}, dealt {here.dealt}: {si(here.whole_s, 's', 3)} for a layer's attention, "
        f"{here.ideal_s / here.whole_s:.0%} of what would be if no chip waited."
    )


ring = Exhibit(
    slug="07-ring",
    title="One sequence on a ring of chips.",
    caption="A layer of Llama 3 8B on H100s, forward: each chip meets the keys that pass by. Deal the tokens from both ends. "
    "Then shorten the sequence until the link is what they wait for.",
    alt="A row for each chip with coloured pieces of work at each step of the ring and grey waits between them; below, the messages of one link.",
    controls={
        "context": Control(
            label="tokens of the sequence",
            values=(8192.0, 16384.0, 32768.0, 65536.0, 131072.0, 262144.0),
            start=131072.0,
        ),
        "ranks": Control(label="chips", values=(2.0, 4.0, 8.0), start=8.0),
        "dealt": Control(label="tokens dealt", values=tuple(DEALT), start="in order"),
        "over": Control(label="over", values=tuple(BANDWIDTH), start="NVLink, 450 GB/s"),
    },
    table=_ring_table,
    draw=_ring_draw,
    summary=_ring_summary,
)
