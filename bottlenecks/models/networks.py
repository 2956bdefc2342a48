"""Networks: the tiers of a way of wiring chips, from a few numbers, with its switches, cables, longest way and middle.

    pod = fat_tree(512, port_bytes_per_s=50e9, node=system("DGX H100").tiers[0])
    machine(chip("H100 SXM5"), tiers=pod.tiers)

Rates count one direction of one chip. `Network.tiers` go wherever those of a system go: `collectives.collective_time`,
`wires.laid`, `machine(..., tiers=...)`. Switches and cables count those between machines alone.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import positive, shown
from bottlenecks.facts.networks import Tier
from bottlenecks.laws import topology

RADIX = 64  # ports of a switch of 2022 to 2025, each for one chip's port: nvidia-b300-pod has 144 in 2025
HOP_S = 2.7e-6  # a step over ports, as the library's tuner counts it (nccl_tuning)
SITE_LINK = "Fibre 1000 km"


class Network(NamedTuple):
    """A way of wiring."""

    tiers: tuple
    chips: int
    switches: float
    cables: float
    hops: float  # switches or chips on the longest way
    bisection_bytes_per_s: float  # across the middle, one direction


def fat_tree(chips, *, port_bytes_per_s, node=None, radix=RADIX, oversubscription=1.0, rails=True):
    """A fat tree over the ports of `chips` chips, in as many levels as they need.

    `node`: the tier of the chips' own links inside a machine, or None. `rails`: the port of each place in a machine has a
    first switch of its own, so that a first switch joins one chip of each of as many machines as it has ports down (half of
    `radix`, without oversubscription); else it has whole machines. `oversubscription`: of everything above the first switches.
    """
    chips, radix = _whole("chips", chips), _whole("radix", radix)
    _one("oversubscription", oversubscription)
    _one("port_bytes_per_s", port_bytes_per_s)
    if radix < 4 or radix % 2:
        raise ValueError(f"radix must be even and at least 4, got {radix}; the nearest is {max(radix // 2 * 2, 4)}")
    inner = 1 if node is None else int(node.ranks)
    if chips <= radix:
        oversubscription = 1.0  # one switch has nothing above it
    down = int(radix * oversubscription / (1 + oversubscription))
    more = 2 * down / radix  # ranks below a first switch, over those without oversubscription
    levels = next(n for n in range(1, 9) if topology.fat_tree_ranks(radix, n) * (more if n > 1 else 1) >= chips)
    first = chips if levels == 1 else min(down * inner if rails else down, chips)
    tiers = [] if node is None else [node]
    above = {
        "bytes_per_s": port_bytes_per_s,
        "latency_s": HOP_S,
        "link": "InfiniBand NDR",
        "in_network_reduction": True,
    }
    if first > inner and (levels > 1 or chips > inner):
        tiers.append(Tier(name="first switches", ranks=int(first), **above))
    if chips > first:
        tiers.append(Tier(name="upper switches", ranks=chips, oversubscription=oversubscription, **above))
    return Network(
        tuple(tiers),
        chips,
        float(np.ceil(topology.fat_tree_switches(chips, radix, levels, oversubscription=oversubscription))),
        float(topology.fat_tree_cables(chips, levels, oversubscription=oversubscription)),
        2 * levels - 1,
        (chips // 2) * port_bytes_per_s / (oversubscription if chips > first else 1),
    )


def torus(sides, *, link_bytes_per_s, hop_s=1e-6, wraps=True):
    """A torus (or, open at its ends, a mesh) of chips, each with a link to both neighbours along each axis of `sides`."""
    if not isinstance(sides, tuple | list | np.ndarray) or not np.ndim(sides) == 1 or not len(sides):
        raise ValueError(f"sides must be chips along each axis, as (4, 4, 4), got {shown(sides)}")
    sides = np.array([_whole("sides", side) for side in np.asarray(sides).tolist()])
    _one("link_bytes_per_s", link_bytes_per_s)
    axes, chips = int(np.sum(sides > 1)), int(np.prod(sides))
    tier = Tier(
        name="torus" if wraps else "mesh",
        ranks=chips,
        bytes_per_s=2 * max(axes, 1) * link_bytes_per_s,
        latency_s=hop_s,
        topology=f"{max(axes, 1)}D {'torus' if wraps else 'mesh'}",
        sides=tuple(int(side) for side in sides if side > 1),
    )
    closed = bool(wraps) & (sides > 2)
    longest = np.sum(np.where(closed, sides // 2, sides - 1))
    cables = chips * np.sum(np.where(closed, 1, 1 - 1 / sides))
    middle = topology.torus_bisection(sides, wraps=closed[np.argmax(sides)]) * (axes > 0) * link_bytes_per_s
    return Network((tier,), chips, 0.0, float(cables), float(longest), float(middle))


def dragonfly(ranks_of_switch, switches_of_group, links_out, *, port_bytes_per_s, groups=None, node=None):
    """A dragonfly: groups of switches, each linked to each, and links between any two groups; messages spread over all groups.

    `groups`: as many as have one link to each other unless fewer are said, which then have more. `node`: as in `fat_tree`.
    """
    p, a, h = (
        _whole(name, value)
        for name, value in (
            ("ranks_of_switch", ranks_of_switch),
            ("switches_of_group", switches_of_group),
            ("links_out", links_out),
        )
    )
    most = a * h + 1
    groups = most if groups is None else _whole("groups", groups)
    if groups > most:
        raise ValueError(f"groups must be at most {most}, which {a} switches of {h} links out reach, got {groups}")
    chips = p * a * groups
    kept = {"bytes_per_s": port_bytes_per_s, "latency_s": HOP_S, "link": "Slingshot 11"}
    taper = max(float(topology.dragonfly_taper(p, h)), 1.0)
    tiers = [] if node is None else [node]
    if node is None or p * a > node.ranks:
        tiers.append(Tier(name="group", ranks=p * a, **kept))
    if groups > 1:
        tiers.append(Tier(name="all groups", ranks=chips, oversubscription=taper, **kept))
    out = groups * a * h / 2 if groups > 1 else 0  # cables between groups, every port in use
    halves = (groups // 2) * (groups - groups // 2)
    middle = out * halves / max(groups * (groups - 1) / 2, 1) if groups > 1 else chips / 2
    cables = chips + groups * a * (a - 1) / 2 + out
    hops = 4 if groups > 1 else 2 if a > 1 else 1
    return Network(tuple(tiers), chips, float(groups * a), float(cables), hops, float(middle * port_bytes_per_s))


def sites(inner, count, *, bytes_per_s, metres):
    """Some sites, each wired alike (`inner`, a `Network`), joined by fibre: `bytes_per_s` of each chip between them."""
    count = _whole("count", count)
    last = inner.tiers[-1]
    far = Tier(
        name="sites",
        ranks=inner.chips * count,
        bytes_per_s=min(_one("bytes_per_s", bytes_per_s), last.bytes_per_s / last.oversubscription),
        latency_s=float(topology.way_s(inner.hops, hop_s=HOP_S, metres=_one("metres", metres, zero_allowed=True))),
        link=SITE_LINK,
    )
    chips = inner.chips * count
    return Network(
        (*inner.tiers, far),
        chips,
        inner.switches * count,
        inner.cables * count,
        inner.hops + 2,
        chips / 2 * far.bytes_per_s,
    )


def _one(name, value, *, zero_allowed=False, whole=False):
    """One number."""
    found = positive(name, value, zero_allowed=zero_allowed, whole=whole)
    if np.ndim(found):
        raise ValueError(f"{name} must be one number, got {shown(value)}")
    return int(found) if whole else float(found)


def _whole(name, value):
    return _one(name, value, whole=True)
