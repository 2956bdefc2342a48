"""Drawings of chapter 12: the ring in frames, and a message on its way out of a machine."""

import numpy as np

from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, live, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.networks import system
from bottlenecks.facts.units import plural, si
from bottlenecks.laws import collectives as law

CENTRE, RADIUS, BOX = (250, 275), 172, 15  # of the circle of chips; a block's side
EMPTY, NEARLY, WHOLE = "#E3EEF8", "#86B4DC", "#08306B"  # one contribution, all but one, and all of them
MESSAGE = 1e9  # bytes of each chip, for the clock
STEPS = tuple(float(n) for n in range(15))


def frames(ranks):
    """Contributions in each block of each rank after each step of a ring all-reduce: (steps + 1, ranks, blocks).

    In step s of the first half rank r sends block r - s + 1 to its right, which adds it to its own; in the second half whole
    blocks go on.
    """
    n = ranks
    held = np.ones((2 * n - 1, n, n), dtype=int)
    for s in range(1, 2 * n - 1):
        held[s] = held[s - 1]
        for r in range(n):
            block, right = sent(r, s, n), (r + 1) % n
            held[s, right, block] = held[s - 1, r, block] + (1 if s < n else 0)
    return held


def sent(rank, step, ranks):
    """The block that a rank sends in a step, counted from 1."""
    return (rank - step + 1) % ranks if step < ranks else (rank - (step - ranks) + 1) % ranks


def _ring_table(ranks, step):
    n = round(ranks)
    s = min(round(step), 2 * (n - 1))
    held = frames(n)[s]
    rank, block = np.indices(held.shape)
    moving = np.zeros(held.shape, bool)
    if s < 2 * (n - 1):
        moving[np.arange(n), [sent(r, s + 1, n) for r in range(n)]] = True
    tier = system("DGX H100").tiers[0]
    whole_s = law.ring_all_reduce_s(MESSAGE, n, bytes_per_s=tier.bytes_per_s, latency_s=tier.latency_s)
    return stack(
        block={
            "rank": rank.ravel() * 1.0,
            "block": block.ravel() * 1.0,
            "held": held.ravel() * 1.0,
            "leaves": moving.ravel() * 1.0,
        },
        here={
            "ranks": n,
            "step": s,
            "steps": 2 * (n - 1),
            "sent": s / n,
            "time_s": float(whole_s * s / (2 * (n - 1))),
            "whole": int((held == n).all(axis=1).sum()),
            "blocks": int((held == n).sum()),
        },
    )


def seats(n):
    """Left and top of the row of blocks of each rank, around a circle, the first at the top."""
    angle = 2 * np.pi * np.arange(n) / n - np.pi / 2
    x, y = CENTRE[0] + RADIUS * np.cos(angle), CENTRE[1] + RADIUS * np.sin(angle)
    return x - n * BOX / 2, y - BOX / 2


def _corners(table):
    """Edges of every block."""
    rank, block = pick(table, "block", "rank", "block")
    left, top = seats(round(row(table).ranks))
    x, y = left[rank.astype(int)] + block * BOX, top[rank.astype(int)]
    return x, x + BOX - 2, y, y + BOX - 2


def _shade(share):
    low, high = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in (EMPTY, NEARLY))
    return tuple(low + share * (high - low))


def arrows(table):
    """Arcs from each chip to its right, with their heads; none after the last step."""
    here = row(table)
    n = round(here.ranks)
    if here.step >= here.steps:
        return []
    angle = 2 * np.pi * np.arange(n) / n - np.pi / 2
    arcs = []
    for a in angle:
        t = np.linspace(a + 0.24 * 2 * np.pi / n, a + 0.76 * 2 * np.pi / n, 9)
        arcs.append(np.stack([CENTRE[0] + 0.6 * RADIUS * np.cos(t), CENTRE[1] + 0.6 * RADIUS * np.sin(t)], 1))
        end, before = arcs[-1][-1], arcs[-1][-3]
        along = (end - before) / np.hypot(*(end - before))
        across = np.array([-along[1], along[0]])
        arcs.append(np.stack([end - 8 * along + 5 * across, end, end - 8 * along - 5 * across]))
    return arcs


def seat_names(table):
    """The name of each chip above its row of blocks."""
    n = round(row(table).ranks)
    left, top = seats(n)
    return [f"chip {i + 1}" for i in range(n)], left, top - 9


def _ring_draw(figure):
    height = 480
    ax = page(figure, height)

    def colours(table):
        n = row(table).ranks
        return [WHOLE if h == n else _shade((h - 1) / max(n - 2, 1)) for h in pick(table, "block", "held").tolist()]

    def leaving(table):
        x0, x1, y0, y1 = _corners(table)
        mine = pick(table, "block", "leaves") > 0
        return outlines((x0[mine] - 1.5, x1[mine] + 1.5, y0[mine] - 1.5, y1[mine] + 1.5)) if mine.any() else []

    def telling(table):
        here = row(table)
        if here.step == 0:
            return "Before the first step: every chip has its own message, and nobody's sum"
        half = "adding up" if here.step < here.ranks else "handing round"
        return f"After step {here.step:.0f} of {here.steps:.0f} ({half}): {plural(here.blocks, 'finished block')}, {_having(here)} all"

    def clock(table):
        here = row(table)
        sent_ = f"sent by each chip so far:\n{here.step:.0f} x 1/{here.ranks:.0f} = {here.sent:.3g} messages"
        return f"{sent_}\n\non a DGX H100, 1 GB each:\n{si(here.time_s, 's') if here.time_s else '0 s'}"

    def bar(table):
        share = row(table).step / row(table).steps
        return flat([520.0], [520 + 200 * share], [250.0], [264.0])

    marks = (
        text(ax, 14, 12, telling, **HEADLINE),
        text(
            ax,
            14,
            50,
            "A row is a chip, a square a block of its message; framed: sent in the next step, clockwise.",
            **SMALL,
        ),
        boxes(ax, _corners, colours),
        segments(ax, leaving, colors=COLOUR["highlight"], linewidths=2.2),
        segments(ax, arrows, colors=COLOUR["network"], linewidths=1.8),
        labels(ax, seat_names, size=9.5),
        live(ax.text, 520, 330, "", text=clock, fontsize=10.5, va="center", linespacing=1.5),
        boxes(ax, lambda _: flat([520.0], [720.0], [250.0], [264.0]), "#E6E6E6"),
        boxes(ax, bar, COLOUR["network"]),
    )
    ax.text(520, 240, "steps", fontsize=9.5, color=INK)
    ax.text(
        520, 112, "the darker a block, the more parts\nare in it", fontsize=9.5, color=GREY, va="top", linespacing=1.4
    )
    key(figure, {"one chip's": EMPTY, "the sum of all": WHOLE}, 520 / 760, 1 - 172 / height)
    return updating(*marks)


def _having(here):
    """How many chips have the whole sum, in words."""
    if here.whole in (0, here.ranks):
        return "no chip has" if not here.whole else "every chip has"
    return f"{plural(here.whole, 'chip')} of {here.ranks:.0f} {'has' if here.whole == 1 else 'have'}"


def _ring_summary(table):
    here = row(table)
    return (
        f"A ring of {here.ranks:.0f} chips after {here.step:.0f} of {here.steps:.0f} steps: each has sent {here.sent:.3g} messages, "
        f"and {_having(here)} the whole sum."
    )


ring = Exhibit(
    slug="12-ring",
    title="The ring, step by step.",
    caption="Each chip's message is cut into as many blocks as there are chips. In each step every chip sends one block to its "
    "right: first they are added up, then handed round. Step through it.",
    alt="A circle of chips, each with a row of squares that darken as parts are added; arrows lead clockwise and frames mark the "
    "blocks that are sent next.",
    controls={
        "ranks": Control(label="chips", values=(4.0, 6.0, 8.0), start=8.0),
        "step": Control(label="step", values=STEPS, start=3.0),
    },
    table=_ring_table,
    draw=_ring_draw,
    summary=_ring_summary,
)
