"""Graphs: a network cable by cable, small enough to draw, and what each cable carries when chips talk.

    square = torus((4, 4))
    carried = loads(square, all_to_all(square))  # messages over each cable, one direction

Messages take every shortest way alike, as adaptive switches spread them. `networks` has the same wirings of any size as tiers.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import positive, shown


class Graph(NamedTuple):
    """Nodes, chips first, and how many cables join each two of them."""

    chips: int
    cables: np.ndarray  # (nodes, nodes), symmetric

    @property
    def hops(self):
        """Cables on the shortest way between each two nodes."""
        return ways(self)[0]


def torus(sides, *, wraps=True):
    """Chips joined to their neighbours along each axis; two along an axis have one cable."""
    sides = [int(positive("sides", side, whole=True)) for side in np.asarray(sides).tolist()]
    place = np.arange(int(np.prod(sides))).reshape(sides)
    cables = np.zeros((place.size, place.size), dtype=int)
    for axis, side in enumerate(sides):
        here = place if wraps and side > 2 else place.take(range(side - 1), axis)
        after = np.roll(place, -1, axis) if wraps and side > 2 else place.take(range(1, side), axis)
        _join(cables, here.ravel(), after.ravel())
    return Graph(place.size, cables)


def fat_tree(below, leaves, spines, up):
    """`below` chips under each of some first switches, each with `up` cables to each of some spines."""
    chips = below * leaves
    cables = np.zeros((chips + leaves + spines,) * 2, dtype=int)
    leaf = chips + np.arange(leaves)
    _join(cables, np.arange(chips), np.repeat(leaf, below))
    for spine in chips + leaves + np.arange(spines):
        _join(cables, leaf, np.full(leaves, spine), up)
    return Graph(chips, cables)


def dragonfly(ranks_of_switch, switches_of_group, links_out):
    """Groups of switches joined each to each, and one cable between any two groups, their ends dealt out in turn."""
    p, a, h = ranks_of_switch, switches_of_group, links_out
    groups = a * h + 1
    chips, switches = p * a * groups, a * groups
    cables = np.zeros((chips + switches,) * 2, dtype=int)
    switch = chips + np.arange(switches).reshape(groups, a)
    _join(cables, np.arange(chips), np.repeat(switch.ravel(), p))
    for group in range(groups):
        for i in range(a):
            _join(cables, np.full(a - i - 1, switch[group, i]), switch[group, i + 1 :])
        for other in range(group + 1, groups):
            out, back = other - group - 1, groups - 1 - (other - group)
            _join(cables, [switch[group, out // h]], [switch[other, back // h]])
    return Graph(chips, cables)


def _join(cables, some, others, count=1):
    np.add.at(cables, (some, others), count)
    np.add.at(cables, (others, some), count)


def ways(graph):
    """(hops, ways): cables on the shortest way between each two nodes, and how many such ways there are."""
    cables = graph.cables
    hops = np.where(np.eye(len(cables), dtype=bool), 0.0, np.inf)
    count = np.eye(len(cables))
    new, step = count.copy(), 0
    while new.any():
        step += 1
        new = (new @ cables) * np.isinf(hops)
        hops = np.where(new > 0, step, hops)
        count = count + new
    return hops, count


def all_to_all(graph):
    """What each chip sends to each, in messages: a part for every chip, its own included."""
    return np.full((graph.chips,) * 2, 1 / graph.chips)


def ring(graph, order=None):
    """What an all-reduce around a ring sends to each next chip, in messages; `order`: the chips as the ring visits them."""
    n = graph.chips
    order = np.arange(n) if order is None else np.asarray(order)
    if sorted(order.tolist()) != list(range(n)):
        raise ValueError(f"order must name each of {n} chips once, got {shown(order)}")
    demand = np.zeros((n, n))
    demand[order, np.roll(order, -1)] = 2 * (n - 1) / n
    return demand


def loads(graph, demand):
    """Messages over one cable between each two nodes, from the first to the second: (nodes, nodes).

    `demand`: (chips, chips), messages from each to each. A pair's messages are shared out over its shortest ways alike; what a
    cable carries is the sum, over all pairs, of the demand times the share of their ways that lead over it. The sum over all
    cables is demand times hops: nothing is lost.
    """
    chips, cables = graph.chips, graph.cables
    if np.shape(demand) != (chips, chips):
        raise ValueError(f"demand must be a table of {chips} x {chips} chips, got one of {np.shape(demand)}")
    hops, count = ways(graph)
    if np.isinf(hops[:chips, :chips]).any():
        raise ValueError("graph must join all its chips; some have no way to each other")
    share = demand / count[:chips, :chips]
    found = np.zeros(cables.shape)
    for u, v in np.argwhere(cables > 0):
        on_way = hops[:chips, u][:, None] + 1 + hops[v, :chips] == hops[:chips, :chips]
        found[u, v] = np.sum(share * on_way * count[:chips, u][:, None] * count[v, :chips])
    return found
