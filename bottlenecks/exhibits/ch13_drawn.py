"""Drawings of chapter 13: small networks cable by cable, each cable coloured by what it carries; a rack and its wires to scale."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, flat, page
from bottlenecks.exhibits.labels import text
from bottlenecks.exhibits.marks import boxes, live, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models import graphs

SHADES = ("#DDE7E2", "#A9D3C4", "#4FB294", "#E69F00", "#C8281E")  # of a cable, from idle to the hottest of all drawings
WIDTHS = (1.6, 2.2, 3.0, 4.2, 5.4)
LEVELS = (1e-3, 12e-3, 24e-3, 36e-3)  # seconds in which a cable is busy where the next shade begins
MESSAGE, RATE = 1e9, 100e9  # bytes of each chip, bytes a second that its cables carry together in one direction
TALKS = ("each to all (all-to-all)", "round rings (all-reduce)")
MIDDLE, TOP, STEP = (255, 275), 118, 92  # of a drawing; a step of the square

# ---- networks cable by cable -------------------------------------------------------------------------


def _square():
    """Places of 4 x 4 chips."""
    y, x = np.divmod(np.arange(16), 4)
    return np.stack([MIDDLE[0] + (x - 1.5) * STEP, MIDDLE[1] + (y - 1.5) * STEP], 1)


def _tree(spines):
    chips = np.stack([40 + 28 * np.arange(16) + 10 * (np.arange(16) // 4), np.full(16, 420.0)], 1)
    leaves = np.stack([chips[:, 0].reshape(4, 4).mean(axis=1), np.full(4, 300.0)], 1)
    top = np.stack([np.linspace(150, 360, spines) if spines > 1 else [255.0], np.full(spines, 165.0)], 1)
    return np.concatenate([chips, leaves, top])


def _fly():
    """Five groups around a circle: two switches each, with two chips outside of each."""
    angle = 2 * np.pi * np.arange(5) / 5 - np.pi / 2
    out, along = np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([-np.sin(angle), np.cos(angle)], 1)
    switch = np.array([[out[g] * 105 + s * along[g] * 26 for s in (-1, 1)] for g in range(5)]).reshape(10, 2)
    chip = np.array(
        [[out[g] * 165 + along[g] * (s * 33 + c * 13) for s in (-1, 1) for c in (-1, 1)] for g in range(5)]
    ).reshape(20, 2)
    return np.concatenate([chip, switch]) + np.array([255, 282])


# Rings that share no cable in one direction, and visit every chip: each takes its part of the message, both ways round.
IN_TURN = (range(16),)
AROUND = ((0, 1, 2, 3, 7, 6, 5, 9, 10, 11, 15, 14, 13, 12, 8, 4),)  # the only kind that a mesh's corners allow
TWO = ((0, 1, 2, 3, 7, 4, 5, 6, 10, 11, 8, 9, 13, 14, 15, 12), (0, 4, 8, 12, 13, 1, 5, 9, 10, 14, 2, 6, 7, 11, 15, 3))
BY_GROUP = (
    [4 * group + i for group in range(5) for i in (2, 3, 0, 1)],
)  # in by one switch of a group, out by the other
NETWORKS = {  # name -> how it is made, where its nodes lie, its rings, cables of a chip
    "a fat tree": (lambda: graphs.fat_tree(4, 4, 2, 2), lambda: _tree(2), IN_TURN, 1),
    "a fat tree, 2 : 1": (lambda: graphs.fat_tree(4, 4, 1, 2), lambda: _tree(1), IN_TURN, 1),
    "a torus": (lambda: graphs.torus((4, 4)), _square, TWO, 4),
    "a mesh": (lambda: graphs.torus((4, 4), wraps=False), _square, AROUND, 4),
    "a dragonfly": (lambda: graphs.dragonfly(2, 2, 2), _fly, BY_GROUP, 1),
}


@keep
def _network(name):
    made, places, rings, each = NETWORKS[name]
    return made(), places(), [list(order) for order in rings], each


def demand_of(name, talk):
    """What each chip sends to each: to all, or to its neighbours on every ring, both ways round."""
    graph, _, rings, _ = _network(name)
    if talk == TALKS[0]:
        return graphs.all_to_all(graph)
    both = [graphs.ring(graph, order[::way]) for order in rings for way in (1, -1)]
    return sum(both) / len(both)


def time_s(name, talk):
    """Seconds until the busiest cable of a drawing has carried its part."""
    graph, _, _, each = _network(name)
    return float(graphs.loads(graph, demand_of(name, talk)).max() * MESSAGE / (RATE / each))


@keep
def _networks_table(network, talk):
    graph, at, _, each = _network(network)
    carried = graphs.loads(graph, demand_of(network, talk))
    hops, ways = graphs.ways(graph)
    u, v = np.nonzero(np.triu(graph.cables))
    n = graph.chips
    far = np.argwhere(hops[:n, :n] == hops[:n, :n].max())[0]
    most = float(carried.max())
    return stack(
        cable={
            "x0": at[u, 0],
            "y0": at[u, 1],
            "x1": at[v, 0],
            "y1": at[v, 1],
            "busy_s": np.maximum(carried[u, v], carried[v, u]) * MESSAGE / (RATE / each),
            "count": graph.cables[u, v] * 1.0,
        },
        node={"x": at[:, 0], "y": at[:, 1], "chip": (np.arange(len(at)) < n) * 1.0},
        here={
            "network": network,
            "talk": talk,
            "chips": n,
            "cables": int(graph.cables.sum() / 2),
            "switches": len(at) - n,
            "hops": float(hops[:n, :n].max()),
            "ways": float(ways[tuple(far)]),
            "most": most,
            "cable_bytes_per_s": RATE / each,
            "time_s": time_s(network, talk),
        },
    )


def _paths(table):
    """Each cable's line; those that join the ends of a row or column bow outwards, and two beside each other lie apart."""
    found = []
    for x0, y0, x1, y1, count in zip(
        *(pick(table, "cable", c) for c in ("x0", "y0", "x1", "y1", "count")), strict=True
    ):
        a, b = np.array([x0, y0]), np.array([x1, y1])
        across = np.array([y0 - y1, x1 - x0]) / max(np.hypot(x1 - x0, y1 - y0), 1)
        long = row(table).network == "a torus" and np.hypot(*(b - a)) > 2 * STEP
        if long:
            t = np.linspace(0, 1, 15)[:, None]
            found.append(a + t * (b - a) + 4 * t * (1 - t) * 26 * np.where(across.sum() > 0, across, -across) * -1)
        else:
            for i in range(int(count)):
                shift = (i - (count - 1) / 2) * 5 * across
                found.append(np.stack([a + shift, b + shift]))
    return found


def _each(table):
    """For every line of `_paths`, how long its cable is busy."""
    count, busy = pick(table, "cable", "count", "busy_s")
    return np.repeat(busy, count.astype(int))


def _networks_draw(figure):
    ax = page(figure, 500)

    def of_shade(shade):
        def of(table):
            level = np.searchsorted(LEVELS, _each(table), side="right")
            return [path for path, mine in zip(_paths(table), level == shade, strict=True) if mine]

        return of

    def nodes(chip, side):
        def of(table):
            x, y, is_chip = pick(table, "node", "x", "y", "chip")
            mine = (is_chip > 0) == chip
            return flat(x[mine] - side, x[mine] + side, y[mine] - side, y[mine] + side)

        return of

    def telling(table):
        here = row(table)
        return f"{here.network}, {here.talk}: {si(here.time_s, 's')}"

    def facts(table):
        here = row(table)
        return (
            f"{plural(here.chips, 'chip')}\n{plural(here.switches, 'switch') if here.switches else 'no switch'}\n"
            f"{plural(here.cables, 'cable')}, {plain(here.cables / here.chips, 3)} per chip\n"
            f"{plural(here.hops, 'cable')} on the longest way,\nof which there are {plain(here.ways)}\n\n"
            f"the hottest cable carries\n{plain(here.most, 2)} messages of 1 GB at\n{si(here.cable_bytes_per_s, 'B/s')}, so that a chip\nhas 100 GB/s in all"
        )

    ax.text(520, 92, "a cable is busy", fontsize=9.5, color=INK)
    words = ("hardly", "under 12 ms", "under 24 ms", "under 36 ms", "longer")
    for i, (colour, word) in enumerate(zip(SHADES, words, strict=True)):
        ax.plot([520, 552], [116 + 22 * i] * 2, color=colour, lw=WIDTHS[i], solid_capstyle="butt")
        ax.text(562, 116 + 22 * i, word, fontsize=9.5, va="center")
    return updating(
        text(ax, 14, 12, telling, **HEADLINE),
        text(ax, 14, 50, "Blue: chips; grey: switches. Messages take every shortest way alike.", **SMALL),
        *(segments(ax, of_shade(i), colors=each, linewidths=WIDTHS[i], zorder=2) for i, each in enumerate(SHADES)),
        boxes(ax, nodes(True, 9), COLOUR["memory"], zorder=3),
        boxes(ax, nodes(False, 11), GREY, zorder=3),
        live(ax.text, 520, 345, "", text=facts, fontsize=10.5, va="center", linespacing=1.5),
    )


def _networks_summary(table):
    here = row(table)
    return (
        f"{here.chips:.0f} chips joined as {here.network} by {here.cables:.0f} cables; {here.talk}: the hottest cable carries "
        f"{plain(here.most, 2)} messages, and with 1 GB each and {si(here.cable_bytes_per_s, 'B/s')} per cable it takes {si(here.time_s, 's')}."
    )


drawn = Exhibit(
    slug="13-networks",
    title="Five ways to join a few chips.",
    caption="Every cable coloured by how long it is busy: each chip has 1 GB to share, and cables for 100 GB/s. Let chips go round in rings, then each "
    "talk to all: where does it get hot?",
    alt="A small network drawn node by node: chips as blue squares, switches grey, cables between them coloured and thickened by their load.",
    controls={
        "network": Control(label="wired as", values=tuple(NETWORKS), start="a mesh"),
        "talk": Control(label="chips talk", values=TALKS, start=TALKS[0]),
    },
    table=_networks_table,
    draw=_networks_draw,
    summary=_networks_summary,
)
