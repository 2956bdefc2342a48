"""Wired: the same chips joined in several ways, where their step is hottest, and what the next doubling of a domain meets and buys."""

from dataclasses import replace
from functools import cache as keep
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.networks import link, system, systems
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import racks as law
from bottlenecks.laws import topology
from bottlenecks.models import inference, networks, tori, training, wires
from bottlenecks.models.machine import machine
from bottlenecks.studies import agreeing, racks, search
from bottlenecks.studies.verdict import Verdict

CHIP, PORT = "H100 SXM5", 50e9  # which is wired, and bytes a second of its port
NODE, RACK = "DGX H100", "GB200 NVL72"  # whose first tiers are taken
WAYS = (
    "machines of 8, rails",
    "machines of 8, no rails",
    "domains of 72",
    "a torus",
    "a dragonfly",
    "wafers of 84",
    "small chips' links",
)
GROUP = {"ranks_of_switch": 16, "switches_of_group": 32}  # of a dragonfly: lockwood-frontier
DIES = (7, 12)  # of a wafer: alcf-cerebras; dies of a reticle on 462 square centimetres
WAFER_PORTS = 12  # of 100 Gbit/s: pcans2023cg1
FABRIC, SMALL = "Wafer fabric WSE-3", "Groq chip-to-chip"  # whose links a wafer and small chips have
SMALL_INSIDE = 7  # of a small chip's links; the others lead out of its machine
RACK_M, HEIGHT_M, SLACK_M = 0.6, 2.2, 0.5  # width and height of a rack, and what a cable needs besides: the usual sizes


class Wired(NamedTuple):
    """A way of wiring and the machine that it makes of the chip."""

    network: networks.Network
    on: object


def wired(way, chips, *, oversubscription=1.0):
    """`Wired` of chips of one kind, so that nothing but the wires differs.

    `oversubscription` is that above the first switches, or of a dragonfly between its groups; a torus has none. A torus divides
    a chip's own links, 450 GB/s in one direction, among six neighbours, and has no ports. Wafers have 7 x 12 dies with a mesh of
    wires between their edges, and ports for all dies together. Small chips are joined each to each in machines of 8, with
    links from chip to chip beyond.
    """
    one_of("way", way, WAYS)
    chips = int(positive("chips", chips, whole=True))
    if not 1 <= positive("oversubscription", oversubscription) <= GROUP["ranks_of_switch"]:
        raise ValueError(f"oversubscription must be from 1 to {GROUP['ranks_of_switch']}, got {oversubscription!r}")
    found = _MADE[way](chips, replace(system(NODE).tiers[0], name="machine"), oversubscription)
    if found.tiers[-1].ranks % found.tiers[0].ranks:  # domains that chips do not fill: as many as are bought
        found = found._replace(tiers=(*found.tiers[:-1], replace(found.tiers[-1], ranks=None)))
    return Wired(found, replace(machine(chip(CHIP)), tiers=found.tiers))


def _machines(rails):
    return lambda chips, node, over: networks.fat_tree(
        chips, port_bytes_per_s=PORT, node=node, rails=rails, oversubscription=over
    )


def _racks(chips, node, over):
    rack = replace(node, name="rack", ranks=system(RACK).tiers[0].ranks)
    return networks.fat_tree(chips, port_bytes_per_s=PORT, node=rack, oversubscription=over)


def _torus(chips, node, over):
    return networks.torus(tori.box(chips, (np.inf,) * 3), link_bytes_per_s=node.bytes_per_s / 6)


def _dragonfly(chips, node, over):
    ranks, switches = GROUP.values()
    groups = int(np.ceil(chips / (ranks * switches)))
    out = max(round(ranks / over), 1)
    found = networks.dragonfly(ranks, switches, out, groups=groups, node=node, port_bytes_per_s=PORT)
    if groups == 1:
        return found
    return found._replace(
        tiers=(*found.tiers[:-1], replace(found.tiers[-1], oversubscription=over))
    )  # as a mean of links


def _wafers(chips, node, over):
    dies = int(np.prod(DIES))
    wafer = networks.torus(DIES, link_bytes_per_s=die_link_bytes_per_s(), hop_s=node.latency_s, wraps=False)
    inner = replace(wafer.tiers[0], name="wafer")
    off = system("Condor Galaxy 1").tiers[0].bytes_per_s
    found = networks.fat_tree(chips, port_bytes_per_s=off / dies, node=inner, oversubscription=over)
    ports = int(np.ceil(chips / dies)) * WAFER_PORTS
    between = networks.fat_tree(ports, port_bytes_per_s=off / WAFER_PORTS, oversubscription=over)
    return found._replace(switches=between.switches, cables=between.cables, hops=between.hops + wafer.hops)


def _small(chips, node, over):
    each = float(link(SMALL).facts["port_gbytes_per_s"]) * 1e9
    ports = int(link(SMALL).facts["ports"]) - SMALL_INSIDE
    inner = replace(
        node,
        name="machine",
        bytes_per_s=SMALL_INSIDE * each,
        topology="point-to-point full mesh",
        in_network_reduction=False,
    )
    far = networks.fat_tree(chips, port_bytes_per_s=ports * each, node=inner, oversubscription=over)
    return far._replace(tiers=tuple(replace(tier, in_network_reduction=False) for tier in far.tiers))


_MADE = dict(zip(WAYS, (_machines(True), _machines(False), _racks, _torus, _dragonfly, _wafers, _small), strict=True))


def die_link_bytes_per_s():
    """Bytes a second over one edge between two dies of a wafer, one direction: a core's link for each core along it."""
    core = link(FABRIC).facts
    return float(core["port_gbytes_per_s"]) * 1e9 * (int(core["domain_chips"]) / np.prod(DIES)) ** 0.5


def hot(way, shape, layout, *, software="2025", oversubscription=1.0):
    """(`wires.Laid`, seconds of the step) of a layout on chips that are wired in a way."""
    found = wired(way, int(np.max(layout.chips)), oversubscription=oversubscription)
    laid = wires.laid(shape, layout, on=found.on, software=software)
    return laid, training.seconds(shape, layout, on=found.on, software=software)


# ---- what the middle leaves

MIDDLES = ("a fat tree", "a torus in 3-D", "a torus in 2-D", "a mesh in 2-D")


def kept(middle, chips, *, oversubscription=1.0):
    """Share of a chip's full rate that an all-to-all over all chips keeps: what eq:axis-load, or the taper, leaves.

    `chips` may be an array; tori and meshes are taken for even cubes and squares.
    """
    one_of("middle", middle, MIDDLES)
    chips = np.asarray(positive("chips", chips), dtype=float)
    if middle == MIDDLES[0]:
        return 1 / (positive("oversubscription", oversubscription) + 0 * chips)
    axes, closed = (3 if "3-D" in middle else 2), "torus" in middle
    load = chips ** (1 / axes) / (8 if closed else 4)
    return np.minimum(1 / (2 * axes * load), 1)


class Middle(NamedTuple):
    """A published system and what its outermost tier keeps."""

    name: str
    chips: int
    kept: float


def published(least=64):
    """`Middle` of the catalog's systems whose widest stated tier joins `least` chips or more; tori by their longest axis."""
    stated = {(row["system"], row["tier"]) for row in data.rows("tiers") if row["oversubscription"]}
    found = []
    for name, each in systems().items():
        wide = [tier for tier in each.tiers if (name, tier.name) in stated and tier.ranks >= least]
        if not wide or (tori.placed(wide[-1], wide[-1].ranks) and wide[-1] is not each.tiers[0]):
            continue  # nothing stated, or a ring of machines each of which is a torus
        tier = wide[-1]
        box = tori.placed(tier, tier.ranks)
        share = 1 / (box.middle_load * box.most) if box else 1 / tier.oversubscription
        found.append(Middle(name, int(tier.ranks), float(share)))
    return found


def far_error():
    """Mean error of large collectives beyond one domain: what the links' shares inherit."""
    return float(agreeing.regions("all")["above 64 MiB", "beyond"][0])


def counted():
    """Rows of a table: numbers that sources print, and what counting gives."""
    pod = networks.fat_tree(16384, port_bytes_per_s=PORT, node=system(NODE).tiers[0])
    plane = float(topology.torus_bisection((16, 16)) * system("TPU v5e pod").tiers[0].bytes_per_s / 4)
    rack = system(RACK).tiers[0]
    copper, light = (
        racks.spine(rack.ranks, rack.bytes_per_s, name) for name in ("passive copper, 200G lanes", "single-mode optics")
    )
    into, out = GROUP["ranks_of_switch"] * GROUP["switches_of_group"], 73 * 4  # 4 links to each of 73 other groups
    lines = {
        "switches of 64 ports for 16,384 chips": ("512 + 512 + 256", f"{pod.switches:,.0f}"),
        "middle of a TPU v5e pod, 16 x 16": ("1.6 TB/s", si(plane, "B/s")),
        "pairs in a rack of 72": ("over 5,000", f"{copper.pairs:,.0f}"),
        "what optics would add there, kW": ("20", " to ".join(f"{each / 1e3:.0f}" for each in light.watts)),
        "Frontier: bandwidth into a group over that out of it": ("1.753", f"{into / out:.3f}"),
        "collectives beyond one domain, above 64 MiB": ("measured calls", f"missed by {100 * far_error():.0f} %"),
    }
    return [{"what": what, "printed": printed, "computed": ours} for what, (printed, ours) in lines.items()]


# ---- the next doubling


class Doubling(NamedTuple):
    """What a domain of so many chips asks for: arrays over the chips."""

    chips: np.ndarray
    stages: np.ndarray  # of switches: one as far as a switch has a port for every chip
    pairs: np.ndarray  # of wires, to all stages
    metres: np.ndarray  # of the longest of them
    rack_watts: np.ndarray
    floor_kg_per_m2: np.ndarray
    optics_watts: np.ndarray  # if light carried them, (low, high)


def doubling(
    chips, *, bytes_per_s=900e9, lane_bits_per_s=200e9, rack_chips=72, chip_watts=1875.0, chip_kg=1360 / 72, ports=72
):
    """`Doubling` of domains of some sizes in racks of `rack_chips`; the defaults are those of the rack of 72.

    `ports`: of a switch. With more chips than that a second stage takes as many wires again. The longest wire goes from the end of a row of racks to switches in its middle: half a rack up, half of the row along.
    """
    chips = np.asarray(positive("chips", chips), dtype=float)
    rate = {"bytes_per_s": bytes_per_s, "lane_bits_per_s": lane_bits_per_s}
    rest = {"rack_chips": rack_chips, "chip_watts": chip_watts, "chip_kg": chip_kg, "ports": ports}
    for name, value in (rate | rest).items():
        positive(name, value)
    stages = np.where(chips > ports, 2.0, 1.0)
    count = np.maximum(np.ceil(chips / rack_chips), 1)
    inside = np.minimum(chips, rack_chips)
    footprint = RACK_M * 1.068
    ends = np.array(racks.ends_of(racks.medium("single-mode optics"), "end_watts"))
    modules = stages * 2 * chips * bytes_per_s / racks.medium("single-mode optics")["rate_bytes_per_s"]
    return Doubling(
        chips,
        stages,
        stages * law.pairs(chips, bytes_per_s, lane_bits_per_s=lane_bits_per_s),
        HEIGHT_M / 2 + SLACK_M + (count - 1) / 2 * RACK_M,
        inside * chip_watts,
        inside * chip_kg / footprint,
        modules * ends[:, None] if chips.ndim else modules * ends,
    )


TRAINED = {"DeepSeek-V3": (512, 2048), "Llama-3-70B": (512, 1024)}  # model -> H100s, sequences of a step
DOMAINS = (8, 16, 32, 64, 128)


def _of_domain(chips, domain):
    """Chips behind one kind of port whose innermost domain alone is larger or smaller."""
    base = wired(WAYS[0], chips).on
    return replace(base, tiers=(replace(base.tiers[0], ranks=domain), base.tiers[-1]))


@keep
def bought(model_name, domains=DOMAINS, chips=None, batch=None, seq_len=4096):
    """Seconds of the fastest layout's training step for each size of domain, all else alike: what a doubling buys."""
    shape, (usual_chips, usual_batch) = model(model_name), TRAINED.get(model_name, (1024, 4096))
    chips, batch = chips or usual_chips, batch or usual_batch
    times = []
    for domain in domains:
        on = _of_domain(chips, domain)
        found = search.search(shape, on, chips=chips, batch=batch, seq_len=seq_len, software="2025", keep=1)
        times.append(float(found.best["seconds"][0]))
    return np.array(domains), np.array(times)


SPREADS = (16, 32, 64, 128)  # chips over which a mixture's experts may be dealt


class Served(NamedTuple):
    """A mixture served by domains of each size: seconds between tokens, and over how many chips its experts are dealt."""

    token_s: np.ndarray
    spread: np.ndarray


def served(model_name, sequences, *, domains=DOMAINS, spreads=SPREADS, context=4096):
    """`Served`, each domain with the spread that suits it best; `sequences` per chip, each chip its own.

    Weights and products in 8 bits, the cache in 16; nothing hides the exchange.
    """
    shape = model(model_name)
    plans = [inference.Plan(tp=1, ep=spread, weight_format="fp8") for spread in spreads]
    on = [_of_domain(1024, domain) for domain in domains]
    every = np.array(
        [
            [float(inference.decode_s(shape, plan, each, batch=sequences, context=context)) for plan in plans]
            for each in on
        ]
    )
    return Served(every.min(axis=1), np.array(spreads)[every.argmin(axis=1)])


# ---- the claim

SIZES = 72 * 2 ** np.arange(4)  # chips of a domain, by doublings
LIGHT = ("multimode optics", "single-mode optics", "linear pluggable optics", "co-packaged optics")


def copper_chips(reach_m=None, **rack):
    """Chips of the largest of `SIZES` whose longest copper wire a lane reaches; 0 where not even the rack of 72 is."""
    reach_m = racks.ends_of(racks.medium("passive copper, 200G lanes"), "reach_m")[1] if reach_m is None else reach_m
    fits = doubling(SIZES, **rack).metres <= reach_m
    return int(SIZES[fits][-1]) if fits.any() else 0


def light_share(chips, bytes_per_s=900e9, chip_watts=1875.0):
    """(least, most) watts that a spine of light adds to a domain with one stage of switches, over those of its chips."""
    every = [racks.spine(chips, bytes_per_s, name).watts for name in LIGHT]
    return tuple(
        float(of(each)) / (chips * chip_watts)
        for of, each in ((min, [w[0] for w in every]), (max, [w[1] for w in every]))
    )


def scale_up_physics(found=None, trained=None, spared=None):
    """Verdict on W3-scale-up-physics: what stops a domain, and what the next doubling buys."""
    at = doubling(SIZES) if found is None else found
    reach = racks.ends_of(racks.medium("passive copper, 200G lanes"), "reach_m")[1]
    fits = (at.metres <= reach) & (at.stages == 1)
    near, bound = (int(SIZES[fits][-1]) if fits.any() else 0), not np.all(fits)
    domains, times = bought("DeepSeek-V3") if trained is None else trained
    token_s = served("DeepSeek-V3", 64).token_s if spared is None else spared
    training, serving = (max(100 * float(each[-2] / each[-1] - 1), 0.0) for each in (times, token_s))
    small, large = (plain(100 * each, 2) for each in light_share(72))
    one = SIZES[at.stages == 1]
    return Verdict(
        claim="W3-scale-up-physics",
        verdict="holds-when" if bound else "fails",
        because=f"In plain copper and one stage of switches {near} chips fit. The switch stops first, with ports for {one[-1] if one.size else 0} chips, "
        f"and reach next, at {int(SIZES[at.metres <= reach][-1]) if np.any(at.metres <= reach) else 0}; power, cooling and weight bind a rack, whatever the "
        f"domain. Light takes {small} to {large} % more power and stops nowhere near. The next doubling, from {domains[-2]} to {domains[-1]} chips, "
        f"buys {plain(training, 2)} % of a training step and {plain(serving, 2)} % of a served token.",
        rows=tuple(
            {
                "chips": f"{n:,}",
                "stages of switches": f"{s:.0f}",
                "pairs of copper": f"{p:,.0f}",
                "longest": f"{m:.1f} m",
                "single-mode optics": f"{o[0] / 1e3:.0f} to {o[1] / 1e3:.0f} kW",
                "of the chips' power": f"{100 * o[0] / (n * 1875):.0f} to {100 * o[1] / (n * 1875):.0f} %",
            }
            for n, s, p, m, o in zip(SIZES, at.stages, at.pairs, at.metres, at.optics_watts.T, strict=True)
        ),
        numbers={"copper": near, "training": training, "serving": serving},
        margin=f"with switches of 144 ports reach would decide: 144 chips ask for {float(doubling(144).metres):.1f} of the {reach:.0f} m that the most "
        "hopeful source prints, and others print 0.7 and 1.5.",
        range="Racks as that of 72: 900 GB/s per chip, lanes of 200 Gbit/s, switches of 72 ports in the middle of a row, which asks for 1.6 m in one rack. "
        "Training by the best of all layouts, serving by the best spread of experts, 64 sequences per chip, no exchange hidden.",
    )
