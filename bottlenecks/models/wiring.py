"""Wiring: from a chip of the catalog to the tiers that join chips, and the seconds of an exchange over them."""

from dataclasses import replace

import numpy as np

from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import MOST, numbers, one_of, record, shown
from bottlenecks.facts.networks import Tier, fabrics, link
from bottlenecks.models import collectives

PORT_BYTES_PER_S = 12.5e9  # of a chip whose ports no source states: 100 Gbit/s
HOST_CHIPS = 8  # chips of one host
PORT_LINK = "InfiniBand NDR"  # whose steps a port takes
PAIR = 2  # cards that a bridge joins; they share their way to the host


def tiers_of(chip, *, port_bytes_per_s=None):
    """Tiers of machines of a chip, inside out: its own links, or its host's PCIe, and a port of each chip.

    `port_bytes_per_s`: of a chip; None: as its row states, or `PORT_BYTES_PER_S`. Cards that a bridge joins in
    pairs reach the rest of their host over PCIe.
    """
    inner = inside(chip)
    if not port_bytes_per_s:
        port_bytes_per_s = float(chip.facts.get("nic_gbits_per_s") or 0) / 8 * 1e9 or PORT_BYTES_PER_S
    return (*inner, ports(min(port_bytes_per_s, inner[-1].bytes_per_s) if inner else port_bytes_per_s))


def inside(chip):
    """Tiers inside one domain or host of a chip: none where it has no link that the catalog knows."""
    record("chip", chip, Chip, "chip(name)")
    tiers, pair = (), "bridge" in chip.facts.get("link", "")
    domain = int(chip.facts.get("link_domain_chips") or 0)
    if chip.link_bytes_per_s and domain > 1:
        tiers = (own_links(chip, domain, sums=not pair),)
    wire = chip.facts.get("host_link")
    if wire and (not tiers or pair):
        tiers += (host(wire, shared=PAIR if pair else 1),)
    return tiers


def own_links(chip, domain, *, sums=True):
    """The tier of a chip's own links; where its switch can sum, it does."""
    name = chip.facts.get("link_name", "")
    wire = link(name) if name else None
    return Tier(
        name="domain",
        ranks=domain,
        bytes_per_s=chip.link_bytes_per_s,
        link=name,
        latency_s=wire.latency_s if wire else None,
        in_network_reduction=bool(wire) and sums and "SHARP" in wire.facts["in_network_reduction"],
    )


def host(wire_name, *, ranks=HOST_CHIPS, shared=1):
    """The tier of a host's PCIe, `shared` chips to a slot."""
    wire = link(wire_name)
    return Tier(name="host", ranks=ranks, bytes_per_s=wire.bytes_per_s / shared, link=wire.name)


def ports(bytes_per_s, *, sums=False, fabric=""):
    """The tier of network ports, one for each chip, without end, of a fabric of `networks.fabrics` ('': InfiniBand)."""
    kind = fabrics()[one_of("fabric", fabric or "InfiniBand", fabrics())]
    return Tier(
        name="ports",
        ranks=None,
        bytes_per_s=bytes_per_s * float(kind["share"]),
        link=PORT_LINK,
        latency_s=float(kind["latency_s"]) if kind["latency_s"] else None,
        in_network_reduction=sums,
    )


def near(on, apart):
    """Ranks of a group in a machine's innermost domain that lie `apart` chips from each other: whole ones, or a share of one.

    >>> from bottlenecks.facts.chips import chip
    >>> from bottlenecks.models.machine import machine
    >>> near(machine(chip("H100 SXM5")), np.array([1, 3, 8, 64])).tolist()
    [8.0, 2.0, 1.0, 0.125]
    """
    many = np.minimum(on.domain, 1e9) / apart
    return np.where(many >= 1, np.floor(many), many)


def send_s(collective, message_bytes, ranks, *, on, per_domain=None, groups=1, launch="framework", besides=None):
    """Seconds of a collective on a `Machine`, whose links, ports and latencies may be scaled.

    `launch`, a name of `collectives.LAUNCHES`, says who calls. `per_domain`: ranks of the group in each
    innermost domain, as many as fit unless given (`near`). `besides`: algorithms of the caller's own, such as
    `collectives.SHOTS`, beside those of the library.
    """
    one_of("collective", collective, collectives.COLLECTIVES)
    one_of("launch", launch, collectives.LAUNCHES)
    if not hasattr(on, "tiers"):
        raise ValueError(f"on must be a Machine, got {shown(on)}; write machine(chip)")
    message_bytes, ranks, groups = numbers(
        most=MOST, zero=("message_bytes",), message_bytes=message_bytes, ranks=ranks, groups=groups
    )
    ranks = np.asarray(ranks, dtype=float)
    if np.all(ranks <= 1):
        return 0.0 * ranks * message_bytes
    if not on.tiers:
        return np.where(ranks > 1, np.inf, 0.0 * message_bytes)
    if per_domain is not None:
        per_domain = np.minimum(numbers(per_domain=per_domain)[0], on.domain) if on.domain < np.inf else None
    found = collectives.ways(
        collective,
        np.maximum(message_bytes, 1.0),
        tiers=on.tiers,
        ranks=ranks,
        per_domain=per_domain,
        groups=groups,
        asked=besides,
    )
    usual = collectives.of_generation(on.tiers, on.efficiency)
    scaled = replace(
        usual,
        link=usual.link * on.link_speed,
        port=usual.port * on.port_speed,
        latency=usual.latency * on.waits,
        segment_s=usual.segment_s * on.waits,
        shot=usual.shot * on.link_speed,
        shot_s=usual.shot_s * on.waits,
    )
    call_s = 0.0 if collective == "p2p" else collectives.least_s(launch, usual) * on.waits
    return collectives.fastest_s(found, ranks=ranks, efficiency=scaled, call_s=call_s)
