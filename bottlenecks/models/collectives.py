"""Communication: what a collective takes on the tiers of a system.

A group fills the innermost tier first, unless the caller says how many of its ranks share a domain.
Each way to run a collective (algorithm and protocol) is two times: what its steps wait, and what its
bytes take on the tier that they load most, all tiers streaming at once. The fastest way counts.
Without an `Efficiency` wires are perfect; `measured.collectives.fitted()` has the measured ones.
"""

import functools
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.doors import MOST, PLAIN, RANKS, numbers, one_of, positive, rate, record, settle, share, shown
from bottlenecks.facts.networks import Tier, link, wire
from bottlenecks.laws import collectives
from bottlenecks.models import tori

COLLECTIVES = ("all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all", "p2p")
# NCCL's names; Direct: pair by pair; for who asks, by stores of one's own kernel: Put (the same), OneShot, TwoShot.
ALGORITHMS = ("Ring", "Tree", "NVLS", "NVLSTree", "Direct", "Put", "OneShot", "TwoShot")
SHOTS = {"OneShot": 1, "TwoShot": 2}  # algorithm: how often ranks wait for each other (eq:one-shot, eq:two-shot)
PROTOCOLS = ("LL", "LL128", "Simple")
SHOT_RANKS = 8  # for which programs have such kernels: vllm-custom-all-reduce
LL_SHARE = 1 / 4  # share of the bandwidth that protocol LL reaches in an all-reduce: nccl-tuning-2020
LAUNCHES = ("library", "framework", "queued")  # queued: calls wait on the device, back to back
KINDS = {
    "scale-up": "NVLINK",
    "scale-up + out": "NVLINK",
    "host": "PCI",
}  # kind of a link, as the tuner has it; others: NET
SHARP = {"NVLink 4": "Hopper"}  # the tuner's name for the switch that sums on these links; on later ones: Blackwell
HALF_HOST = 4  # chips on a PCIe root, behind one way to the other root of the host (nv_gtc25: 2 x 4)
SWITCH_RANKS = 8  # ranks whose parts make one segment when a switch sums (in-network reduction)


@dataclass(frozen=True, kw_only=True, eq=False)
class Efficiency:
    """What a library reaches of the wires, and what it adds. Defaults: nothing lost."""

    link: float = 1.0  # share of a link inside a node or rack
    port: float = 1.0  # share of a network port
    call_s: float = 0.0  # least time of a collective: launch, and waiting for the last rank
    framework_s: float = 0.0  # least time of a collective that a framework launches
    shot: float = 1.0  # share of a link that kernels of one's own reach which sum in shots
    shot_s: float = 0.0  # a shot: its kernel, and a flag from every other rank
    ll128: float = 1.0  # factor on `latency` for a step of LL128 that leaves no port
    # By generation of chips: to NVLink 3 and others', with NVLink 4, with NVLink 5 and later.
    latency: float = 1.0  # a step over what the library's own tuner counts
    latency_nvlink4: float = 1.0
    latency_nvlink5: float = 1.0
    segment_s: float = 0.0  # what cutting a message adds, as eq:pipeline's fill
    segment_nvlink4_s: float = 0.0
    segment_nvlink5_s: float = 0.0

    def __post_init__(self):
        for name in NUMBERS:
            value = getattr(self, name)
            if type(value) not in PLAIN or not value > 0:
                settle(self, name, rate(f"Efficiency.{name}", value, zero_allowed=name in ADDED))


NUMBERS = tuple(f.name for f in fields(Efficiency) if f.type is float)
ADDED = tuple(name for name in NUMBERS if name.endswith("_s"))  # seconds, which may be none


def reachable(efficiency):
    """An efficiency of a caller's: no more of the wires than there is."""
    record("efficiency", efficiency, Efficiency, "Efficiency()")
    share("Efficiency.link", efficiency.link)
    share("Efficiency.port", efficiency.port)
    return efficiency


@cache
def fitted():
    """The `Efficiency` that data/network_constants.csv holds."""
    return Efficiency(**{row["constant"]: float(row["value"]) for row in data.rows("network_constants")})


class Timed(NamedTuple):
    """One element for each configuration."""

    seconds: np.ndarray
    algorithm: np.ndarray
    protocol: np.ndarray
    bound: np.ndarray  # latency, link or port: what owns the largest share


class Way(NamedTuple):
    """One algorithm under one protocol: its times at full bandwidth."""

    algorithm: str
    protocol: str
    fixed_s: np.ndarray  # steps that nothing hides
    fill_s: np.ndarray  # steps of a pipeline (eq:pipeline)
    cuts: np.ndarray  # how many times `segment_s` the pipeline takes to fill, besides
    link_s: np.ndarray  # bytes on the busiest tier inside
    port_s: np.ndarray  # bytes on the busiest tier of ports
    ll128: np.ndarray  # 1 where `Efficiency.ll128` holds, else 0
    shots: float = 0.0  # of one's own kernels, in which `Efficiency.shot` and `shot_s` hold


def collective_time(
    collective,
    message_bytes,
    *,
    tiers,
    ranks,
    per_domain=None,
    groups=1,
    sums_in=1,
    algorithms=None,
    protocols=None,
    efficiency=None,
    launch="library",
):
    """Seconds of a collective, and the way chosen (`Timed`); arguments broadcast.

    `tiers` are those of a `System`, inside out. `per_domain` ranks of the group sit in each domain of
    the innermost tier (default: as many as fit). `groups` send through the same port outside it
    at once. `sums_in` of the tiers that can sum in the switch do so: 1, the inner one alone, is what
    libraries do unasked. `algorithms` and `protocols` narrow the choice. `launch`, a name of
    `LAUNCHES`, says who calls.

    >>> from bottlenecks.facts.networks import system
    >>> dgx = system("DGX H100").tiers
    >>> at = collective_time("all_reduce", 1e9, tiers=dgx, ranks=np.array([1, 8, 32]))
    >>> at.algorithm.tolist()
    ['', 'NVLS', 'Ring']
    """
    one_of("collective", collective, COLLECTIVES)
    one_of("launch", launch, LAUNCHES)
    (message_bytes,) = numbers(most=MOST, message_bytes=message_bytes)
    groups, sums_in = numbers(most=RANKS, groups=groups, sums_in=sums_in)
    ranks = positive("ranks", ranks, most=RANKS, whole=True)
    if not isinstance(tiers, tuple | list) or not tiers or not all(isinstance(tier, Tier) for tier in tiers):
        raise ValueError(f"tiers must hold at least one Tier, got {shown(tiers) if tiers is not None else 'none'}")
    for name, given, known in (("algorithms", algorithms, ALGORITHMS), ("protocols", protocols, PROTOCOLS)):
        for each in () if given is None else given if isinstance(given, tuple | list | set) else (given,):
            one_of(name, each, known)
    efficiency = of_generation(tiers, Efficiency() if efficiency is None else reachable(efficiency))
    found = [
        way
        for way in ways(
            collective,
            message_bytes,
            tiers=tiers,
            ranks=ranks,
            per_domain=per_domain,
            groups=groups,
            sums_in=sums_in,
            asked=algorithms,
        )
        if (algorithms is None or way.algorithm in algorithms) and (protocols is None or way.protocol in protocols)
    ]
    if not found:
        raise ValueError(
            f"no way to run {collective!r} by {algorithms!r} under {protocols!r}; there are "
            f"algorithms {', '.join(ALGORITHMS)} and protocols {', '.join(PROTOCOLS)}"
        )
    return fastest(
        found, ranks=ranks, efficiency=efficiency, call_s=0.0 if collective == "p2p" else least_s(launch, efficiency)
    )


def fastest(found, *, ranks, efficiency, call_s):
    """The fastest of the ways, as Timed."""
    least, which, bound = np.inf, 0, "link"
    for i, way in enumerate(found):
        seconds, latency_s, at_port = way_s(way, efficiency)
        owner = np.where(latency_s > seconds / 2, "latency", np.where(at_port, "port", "link"))
        better = seconds < least
        least, which = np.where(better, seconds, least), np.where(better, i, which)
        bound = np.where(better, owner, bound)
    alone = np.broadcast_to(np.asarray(ranks) == 1, least.shape)
    bound = np.where(least < call_s, "latency", bound)
    least = np.where(alone, 0.0, np.maximum(least, call_s))
    algorithm = np.where(alone, "", np.array([way.algorithm for way in found])[which])
    protocol = np.where(alone, "", np.array([way.protocol for way in found])[which])
    return Timed(least, algorithm, protocol, bound)


def fastest_s(found, *, ranks, efficiency, call_s):
    """Seconds of the fastest of the ways alone."""
    least = functools.reduce(np.minimum, (way_s(way, efficiency)[0] for way in found))
    return np.where(np.equal(ranks, 1), 0.0, np.maximum(least, call_s))


def least_s(launch, efficiency):
    """Least time of a call: `launch` by the library alone, through a framework, or without the host."""
    return {"library": efficiency.call_s, "framework": efficiency.framework_s, "queued": 0.0}[launch]


def way_s(way, efficiency):
    """Seconds of a way, how many of them scale with latencies, and whether ports hold it up."""
    of_link = np.where(np.greater(way.shots, 0), efficiency.shot, efficiency.link)
    link_s, port_s = way.link_s / of_link, way.port_s / efficiency.port
    stream_s = np.maximum(link_s, port_s)
    latency = efficiency.latency * efficiency.ll128**way.ll128
    fixed_s = latency * way.fixed_s + way.shots * efficiency.shot_s
    fill_s = latency * way.fill_s + way.cuts * efficiency.segment_s
    seconds = fixed_s + collectives.pipelined_s(stream_s, fill_s=fill_s)
    return seconds, fixed_s + fill_s + (fill_s * stream_s) ** 0.5, port_s > link_s


def of_generation(tiers, efficiency):
    """An efficiency whose `latency` and `segment_s` are those of the chips of these tiers."""
    latency, segment_s = (getattr(efficiency, name) for name in generation(tiers))
    return replace(efficiency, latency=latency, segment_s=segment_s)


def generation(tiers):
    """The two fields of `Efficiency` that hold for the chips of these tiers."""
    if "NVLink SHARP" not in wire(tiers[0].link)["in_network_reduction"]:
        return "latency", "segment_s"
    if tiers[0].link in SHARP:
        return "latency_nvlink4", "segment_nvlink4_s"
    return "latency_nvlink5", "segment_nvlink5_s"


# ---- the ways


class Group(NamedTuple):
    """A group of ranks as it lies in the tiers of a machine, innermost first, and what it has to send."""

    message: np.ndarray  # bytes
    size: np.ndarray  # ranks
    tiers: tuple
    kinds: list  # NVLINK, PCI or NET, of each tier
    inside: list  # ranks in one domain of each tier
    rates: list  # bytes/s of one rank into each tier
    hops: list  # steps around a ring that go through each tier and no further
    parts: list  # domains of the next tier inward in one domain of each
    box: tori.Box | None  # how it lies in the innermost tier, if that is a torus or a mesh

    @property
    def senders(self):
        """Ranks of which one leaves a domain through each tier: those of the tier inside it."""
        return [1.0, *self.inside[:-1]]


def ways(collective, message_bytes, *, tiers, ranks, per_domain=None, groups=1, sums_in=1, asked=None):
    """Every way to run a collective, each with its times at full bandwidth."""
    group = _group(message_bytes, tiers, ranks, per_domain, groups)
    fraction = (group.size - 1) / group.size
    if collective == "all_reduce":
        sums = _in_switch(group, sums_in, asked) if np.any(tiers[0].in_network_reduction) else ()
        return [*_ring(group, 2 * fraction, 2), *_tree(group, 2), *sums, *_shots(group, asked or ())]
    if collective == "broadcast":
        return [*_ring(group, 1.0 * (group.size > 1), 1, waits=0), *_tree(group, 1)]  # a chain: eq:chain-broadcast
    if collective == "all_to_all":

        def share(within, tier):
            """Of the fullest port, which is one of the emptiest domain, or of links that all below a tier share."""
            least = _uneven(group.size, within)
            fullest = np.maximum(group.size - np.where(least > 0, least, within), 0) / group.size
            return np.maximum(_crossing(group.size, within), fullest / tier.oversubscription)

        on_links = group.box and group.box.middle_load  # a link at every hop: eq:torus-all-to-all
        put = _direct(group, share, on_links, "Put", whole=True) if "Put" in (asked or ()) else ()
        return [*_direct(group, share, on_links), *put]
    if collective == "p2p":  # one link of them all, and nobody else to wait for
        return [*_direct(group, lambda within, _: 1.0 * (group.size > within), 1.0, whole=True)]
    return [*_ring(group, fraction, 1)]


def _group(message_bytes, tiers, ranks, per_domain, groups):
    size = np.asarray(ranks, dtype=float)
    inside = occupied(tiers, size, per_domain)
    rates = [_rate(tiers, i, inside, groups) for i in range(len(tiers))]
    hops, parts = _hops(size, inside), _parts(inside)
    box = tori.placed(tiers[0], inside[0])
    if box:  # both ways round each axis at once
        hops[0], rates[0] = box.round_hops, rates[0] * np.maximum(box.links, 1) / box.most
    kinds = [kind(tier, i) for i, tier in enumerate(tiers)]
    message = np.asarray(message_bytes, dtype=float)
    return Group(message, size, tiers, kinds, inside, rates, hops, parts, box)


def _ring(group, sends, rounds, waits=1):
    """A ring that sends `sends` times the message, in `rounds` round trips; `waits` of its steps nothing hides."""
    streams = [
        sends * group.message / (senders * rate) * (hop > 0)
        for senders, rate, hop in zip(group.senders, group.rates, group.hops, strict=True)
    ]
    for protocol in _protocols(group.kinds):
        each = zip(group.hops, group.tiers, group.kinds, strict=True)
        wait = sum(rounds * hop * _step_s(tier, kind, "Ring", protocol) for hop, tier, kind in each)
        fixed, fill = _base_s("Ring", protocol) + waits * wait, (1 - waits) * wait
        yield _way("Ring", protocol, fixed, fill, _cuts(protocol), streams, group.kinds)


def _tree(group, sends):
    """A double tree: up and down, `sends` messages over each of its edges."""
    parts = zip(group.senders, group.rates, group.parts, group.kinds, strict=True)
    streams = [_tree_sends(sends, part, kind) * group.message / (senders * rate) for senders, rate, part, kind in parts]
    depth = [group.parts[0] - 1, *(np.ceil(np.log2(part)) for part in group.parts[1:])]
    for protocol in _protocols(group.kinds):
        each = zip(depth, group.tiers, group.kinds, strict=True)
        fill = sum(sends * deep * _step_s(tier, kind, "Tree", protocol) for deep, tier, kind in each)
        yield _way("Tree", protocol, _base_s("Tree", protocol), fill, _cuts(protocol), streams, group.kinds)


def _in_switch(group, sums_in, asked):
    """In-network reduction: the innermost tier's switch sums, and those of `sums_in` tiers that can."""
    tiers, first = group.tiers, group.inside[0]
    beyond = group.size > first
    streams = [(first + 1) / first * group.message / (group.rates[0] * _sums_share(tiers[0]))]
    wait = _base_s("Tree", "Simple") + _step_s(tiers[0], "NVLINK", "NVLS", "Simple")
    for i in range(1, len(tiers)):
        sums, part = sums_in > i and tiers[i].in_network_reduction, group.parts[i]
        sends = np.where(sums, part > 1, _tree_sends(2, part, group.kinds[i]))
        streams.append(sends * group.message / (group.inside[i - 1] * group.rates[i]))
        deep = np.where(sums, part > 1, 2 * np.ceil(np.log2(part)))
        wait = wait + deep * _step_s(tiers[i], group.kinds[i], "NVLSTree", "Simple")
    # Past two domains libraries take a ring or a tree unless they are told (mleng_p5en).
    unasked = np.ceil(group.size / first) <= 2 if sums_in == 1 and not set(asked or ()) - SHOTS.keys() else True
    fixed = np.where(tiers[0].in_network_reduction & (first > 2) & unasked, wait, np.inf)
    # The switch sums a part of each rank at once, and every part is cut: nccl-enqueue.
    cuts = first / SWITCH_RANKS
    for algorithm, there in (("NVLS", ~beyond), ("NVLSTree", beyond)):
        yield _way(algorithm, "Simple", np.where(there, fixed, np.inf), 0.0, cuts, streams, group.kinds)


def _shots(group, asked):
    """One and two shots, in a domain where every rank reaches every other's memory; there are none of more ranks."""
    if group.kinds[0] != "NVLINK" or group.box:
        return
    fixed = np.where(group.size > np.minimum(group.inside[0], SHOT_RANKS), np.inf, 0.0)
    bytes_of = {"OneShot": group.size - 1, "TwoShot": 2 * (group.size - 1) / group.size}
    for algorithm in (name for name in SHOTS if name in asked):
        stream = bytes_of[algorithm] * group.message / group.rates[0]
        nothing = 0.0 * stream
        yield Way(algorithm, "Simple", fixed + nothing, nothing, 0.0, stream, nothing, nothing, SHOTS[algorithm])


def _direct(group, share, on_links, algorithm="Direct", *, whole=False):
    """Pair by pair: `share(within, tier)` of the message leaves a domain of `within` ranks; `whole`: it is not cut.

    `on_links`: of a torus, messages that its busiest link carries.
    """
    every = zip(group.senders, group.rates, group.tiers, strict=True)
    streams = [share(within, tier) * group.message / rate for within, rate, tier in every]
    if group.box:
        link_bytes_per_s = group.rates[0] / np.maximum(group.box.links, 1)
        streams[0] = on_links * (group.inside[0] > 1) * group.message / link_bytes_per_s
    for i, kind in enumerate(group.kinds):
        if kind == "PCI":  # a wire that the chips of each half of a host share
            half = np.minimum(HALF_HOST, group.inside[i])
            shared_s = half * share(half, group.tiers[i]) * group.message / link(group.tiers[i].link).bytes_per_s
            streams[i] = np.maximum(streams[i], shared_s)
    for protocol in _protocols(group.kinds):
        each = zip(group.hops, group.tiers, group.kinds, strict=True)
        steps = [(hop > 0) * _step_s(tier, kind, "Ring", protocol) for hop, tier, kind in each]
        wait = np.max(np.broadcast_arrays(*steps), axis=0) + _base_s("Ring", protocol)
        yield _way(algorithm, protocol, wait, 0.0, 0.0 if whole else _cuts(protocol), streams, group.kinds)


def _way(algorithm, protocol, fixed, fill, cuts, streams, kinds):
    share = {"LL": LL_SHARE, "LL128": _constant("ring LL128 efficiency", protocol="LL128")}
    share = share.get(protocol, 1.0)
    ports = [stream for stream, kind in zip(streams, kinds, strict=True) if kind == "NET"]
    inner = [stream for stream, kind in zip(streams, kinds, strict=True) if kind != "NET"]

    def busiest(of):
        return functools.reduce(np.maximum, of, 0.0) / share

    port_s = busiest(ports)
    off_ports = (port_s == 0) & (protocol == "LL128")
    return Way(algorithm, protocol, fixed, fill, cuts, busiest(inner), port_s, 1.0 * off_ports)


# ---- what links carry


def link_bytes(collective, message_bytes, *, tiers, ranks, per_domain=None):
    r"""Bytes that the links of a chip carry into each tier, in the mean over a group's chips; tiers along the first axis.

    $$Q_i = M\,f\,\frac{g_i}{g}, \qquad Q_i = M \left(1 - \sum_{in} \frac{g_{in}^2}{g^2}\right) \text{ (all-to-all)}$$  (eq:link-bytes)

    M     message_bytes  message, as `collective_time` counts it                                       [B]
    f     -              times that a ring sends it: 2 (g - 1)/g for an all-reduce, half for its halves [-]
    g     ranks          ranks of the group                                                            [-]
    g_i   -              edges of the ring that leave a domain of the tier inside: one of each domain   [-]
    g_in  per_domain     ranks of the group inside one domain of the tier within; the last may have fewer     [-]

    Holds for: rings that visit one domain after the other, and messages pair by pair. What goes further than a tier of ports
    passes its links as well; what leaves a domain of a chip's own links takes a port instead of them. In a torus a message
    pair by pair loads a link at every hop.
    Source: counting.

    >>> from bottlenecks.facts.networks import system
    >>> [float(each) for each in link_bytes("all_gather", 16.0, tiers=system("DGX H100").tiers, ranks=16)]
    [13.125, 1.875]
    """
    one_of("collective", collective, COLLECTIVES)
    group = _group(message_bytes, tiers, ranks, per_domain, 1)
    size, within = group.size, group.senders
    if collective in ("all_to_all", "p2p"):
        cut = collective == "all_to_all"
        left = [_crossing(size, each) if cut else 1.0 * (size > each) for each in within]
        if group.box and cut:
            left[0] = group.box.mean_hops
    else:
        chain = collective == "broadcast"  # has an edge less than a ring, and sends the message whole
        sends = 1.0 if chain else (2 if collective == "all_reduce" else 1) * (size - 1) / size
        domains = [np.ceil(size / each - 1e-9) for each in within]
        left = [sends * np.where(each > 1, each - chain, 0) / size for each in domains]
    found = []
    for i, kind in enumerate(group.kinds):
        further = left[i + 1] if kind == "NVLINK" and i + 1 < len(left) else 0.0
        found.append(group.message * (left[i] - further))
    return np.stack(np.broadcast_arrays(*found))


def _uneven(size, within):
    """Ranks in the last domain of a group that does not fill it; else 0."""
    return np.where(size > within, np.round(size % within, 9), 0.0)


def _crossing(size, within):
    """Share of an all-to-all that leaves domains of `within` ranks, the last of which may have fewer, in the mean."""
    last = _uneven(size, within)
    inside = np.minimum(within, size)
    return (size**2 - (size - last) * inside - last**2) / size**2


# ---- how a group lies in the tiers


def occupied(tiers, ranks, per_domain=None):
    """Ranks of the group in one domain of each tier, innermost first.

    >>> from bottlenecks.facts.networks import system
    >>> [int(n) for n in occupied(system("DGX H100 SuperPOD").tiers, 64)]
    [8, 64]
    """
    if not tiers:
        raise ValueError("tiers must hold at least one Tier, got none")
    ranks = np.asarray(ranks, dtype=float)
    fits = [np.inf if tier.ranks is None else np.asarray(tier.ranks, float) for tier in tiers]
    dense = 1.0
    if per_domain is not None:
        positive("per_domain", per_domain)
        if np.any(np.asarray(per_domain) > fits[0]):
            raise ValueError(
                f"per_domain must be at most the {tiers[0].ranks!r} ranks of {tiers[0].name!r}, got {per_domain!r}"
            )
        dense = np.asarray(per_domain) / fits[0]
    inside = [np.minimum(ranks, np.maximum(fit * dense, 1)) for fit in fits]
    if np.any(inside[-1] < ranks):
        raise ValueError(
            f"ranks must fit the outermost tier {tiers[-1].name!r}, which takes "
            f"{np.min(fits[-1] * dense):g} of this group, got {np.max(ranks):g}"
        )
    return inside


def _hops(size, inside):
    """Of the n - 1 steps around a ring, those that go through each tier and no further."""
    domains = [size, *(np.ceil(size / of - 1e-9) for of in inside)]
    return [inner - outer for inner, outer in pairwise(domains)]


def _parts(inside):
    """Domains of the next tier inward (ranks, for the innermost) in one domain of each tier."""
    return [np.ceil(outer / inner - 1e-9) for inner, outer in zip([1.0, *inside], inside, strict=False)]


def _rate(tiers, i, inside, groups):
    """bytes/s of one rank into tier i. In a mesh it reaches its partners over one link each."""
    tier = tiers[i]
    rate = collectives.shared_bytes_per_s(
        bytes_per_s=np.asarray(tier.bytes_per_s, float),
        oversubscription=tier.oversubscription,
        groups=groups if i else 1,
    )
    if "full mesh" in tori.topology(tier):
        rate = rate * np.maximum(inside[i] - 1, 1) / (tier.ranks - 1)
    return rate


def _tree_sends(sends, parts, kind):
    """Messages that each node of a tree sends: up and down; two nodes only exchange theirs.

    Inside a node the tree is a chain, and nobody exchanges.
    """
    return np.where((parts > 2) | (kind != "NET"), sends, 1) * (parts > 1)


# ---- constants of the library's own tuner (corpus table nccl_tuning_constants)


@cache
def _constant(table, hw=None, algorithm=None, protocol=None):
    rows = corpus.table("nccl_tuning_constants")
    mask = (rows["library"] == "NCCL") & (rows["table"] == table)
    for column, value in (("hw", hw), ("algorithm", algorithm), ("protocol", protocol)):
        mask = mask & (rows[column] == value if value else True)
    (value,) = rows["value"][mask]
    return float(value)


def _base_s(algorithm, protocol):
    return _constant("base latency", "any", algorithm, protocol)


def _step_s(tier, kind, algorithm, protocol):
    """One step, as the tuner counts it; in proportion, where the tier knows a latency of its own."""
    step = _constant("hardware latency per step", kind, algorithm, protocol)
    if tier.latency_s is None:
        return step
    usual = _constant("hardware latency per step", kind, "Ring", "LL")
    return step * np.asarray(tier.latency_s) / usual


def _sums_share(tier):
    """Share of a switch's bandwidth that the library counts on when the switch sums."""
    if tier.link in SHARP or kind(tier, 0) != "NVLINK":
        return _constant("NVLS efficiency", "Hopper")
    return _constant("NVLS efficiency", "Blackwell")


def _cuts(protocol):
    """Waits for a segment under a protocol, in those of Simple; LL has a flag in every word, and none."""
    step = "hardware latency per step"
    waits = _constant(step, "NVLINK", "Ring", protocol) / _constant(step, "NVLINK", "Ring", "Simple")
    return 0.0 if protocol == "LL" else waits


def _protocols(kinds):
    return PROTOCOLS if kinds[0] == "NVLINK" else ("LL", "Simple")  # LL128 asks for NVLink


def kind(tier, i):
    """NVLINK, PCI or NET; a tier that names no link is of ports unless it is the innermost."""
    known = wire(tier.link)["kind"]
    return KINDS.get(known, "NET") if known else "NET" if i else "NVLINK"
