"""Tori: how a group of chips lies in a torus or a mesh, and which of a chip's links it has the use of."""

import re
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.networks import wire
from bottlenecks.laws import topology as law


class Box(NamedTuple):
    """The box that a group fills: one element for each group; axes along the last dimension."""

    sides: np.ndarray  # chips along each axis
    closed: np.ndarray  # does the axis close into a ring?
    most: int  # links of a chip, two along each axis

    @property
    def links(self):
        """Links of a chip that the group uses in one direction: two along a ring, one along a line."""
        return np.sum(np.where(self.sides > 1, 1 + self.closed, 0), axis=-1)

    @property
    def mean_links(self):
        """Links of a chip in the mean: the ends of a line lack one."""
        return np.sum(np.where(self.closed, 2, 2 * (1 - 1 / self.sides)), axis=-1)

    @property
    def round_hops(self):
        """Steps in which all have met all, along one axis after the other: half a ring, or a whole line."""
        return np.sum(np.where(self.sides > 1, self.sides / (1 + self.closed), 0), axis=-1)

    @property
    def mean_hops(self):
        """Hops between two chips, in the mean over all pairs, a chip and itself included."""
        return np.sum(law.axis_hops(self.sides, self.closed), axis=-1)

    @property
    def middle_load(self):
        """Messages over the busiest link of an all-to-all (eq:axis-load)."""
        return np.max(law.axis_load(self.sides, self.closed), axis=-1)


def placed(tier, ranks):
    """How groups of `ranks` chips lie in a tier: `Box`, or None where not only neighbours are joined.

    A group fills the box of whole sides whose longest is shortest, as its machine gives out slices. An axis closes where the
    group has all of its chips, or, of the catalog's links, as many as their rings have (`closes_chips`), or a multiple of it; in three dimensions, where all do.
    """
    words = re.search(r"(\d)D (torus|mesh)", topology(tier))
    if not words:
        return None
    axes = len(tier.sides) or int(words[1])
    sides = np.asarray(tier.sides or [np.inf] * axes)
    known, which = np.unique(np.asarray(ranks, dtype=float), return_inverse=True)
    found = np.array([box(each, tuple(sides.tolist())) for each in known.tolist()])[which.reshape(np.shape(ranks))]
    if tier.sides:
        closed = found == sides
    else:
        closed = found % float(wire(tier.link)["closes_chips"] or 1) == 0
        if axes == 3:  # cubes whose faces optical switches join: a slice of whole cubes closes, another nowhere
            closed = closed & np.all(closed, axis=-1, keepdims=True)
    # two chips that an axis joins twice are rare
    return Box(found, closed & (found > 2) & (words[2] == "torus"), 2 * int(np.sum(sides > 1)))


@cache
def box(ranks, sides):
    """Sides of the box of `ranks` chips whose longest is shortest, inside one of `sides`; a cube where there is none.

    >>> box(128, (16, 16)), box(32, (np.inf, np.inf, np.inf)), box(8, (4, 8))
    ((8, 16), (2, 4, 4), (2, 4))
    """
    least = None
    if ranks == np.prod(sides):
        return sides
    for found in _boxes(int(ranks), len(sides)) if ranks % 1 == 0 else ():
        fits = all(a <= b for a, b in zip(sorted(found), sorted(sides), strict=True))
        if fits and (least is None or max(found) < max(least)):
            least = found
    if least is None:
        return (ranks ** (1 / len(sides)),) * len(sides)
    order = np.argsort(np.argsort(sides, kind="stable"), kind="stable")  # longest sides along the longest axes
    return tuple(sorted(least)[i] for i in order)


def _boxes(ranks, axes):
    """Every way to write a number as a product of so many, in rising order."""
    if axes == 1:
        yield (ranks,)
        return
    for first in range(1, int(ranks ** (1 / axes) + 1e-9) + 1):
        if ranks % first == 0:
            yield from ((first, *rest) for rest in _boxes(ranks // first, axes - 1) if rest[0] >= first)


def topology(tier):
    """How the ranks of a tier are joined, in words: its own, or those of its link."""
    return tier.topology or wire(tier.link)["topology"]
