"""Wired: the same chips joined in several ways, where their step is hottest, and what the next doubling of a domain meets and buys."""

from dataclasses import replace
from functools import cache as keep
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.networks import system
from bottlenecks.laws import racks as law
from bottlenecks.models import networks, training, wires
from bottlenecks.models.machine import machine
from bottlenecks.studies import racks, search

CHIP, PORT = "H100 SXM5", 50e9  # which is wired, and bytes a second of its port
NODE, RACK = "DGX H100", "GB200 NVL72"  # whose first tiers are taken
WAYS = ("machines of 8, rails", "machines of 8, no rails", "domains of 72", "a torus", "a dragonfly")
RACK_M, HEIGHT_M, SLACK_M = 0.6, 2.2, 0.5  # width and height of a rack, and what a cable needs besides: the usual sizes


class Wired(NamedTuple):
    """A way of wiring and the machine that it makes of the chip."""

    network: networks.Network
    on: object


def wired(way, chips, *, oversubscription=1.0):
    """`Wired` of chips of one kind, so that nothing but the wires differs.

    A torus divides a chip's own links, 450 GB/s in one direction, among six neighbours, and has no ports. `oversubscription`
    is that above the first switches; a torus has none.
    """
    one_of("way", way, WAYS)
    node = system(NODE).tiers[0]
    over = {"port_bytes_per_s": PORT, "oversubscription": oversubscription}
    if way == "a torus":
        side = round(chips ** (1 / 3))
        found = networks.torus((side, side, max(round(chips / side**2), 1)), link_bytes_per_s=node.bytes_per_s / 6)
    elif way == "a dragonfly":
        found = networks.dragonfly(16, 8, max(round(16 / oversubscription), 1), port_bytes_per_s=PORT)
        found = found._replace(tiers=(node, *found.tiers))
    elif way == "domains of 72":
        found = networks.fat_tree(chips, node=replace(node, name="rack", ranks=system(RACK).tiers[0].ranks), **over)
    else:
        found = networks.fat_tree(chips, node=node, rails=way == WAYS[0], **over)
    return Wired(found, replace(machine(chip(CHIP)), tiers=found.tiers))


def hot(way, shape, layout, *, software="2025", oversubscription=1.0):
    """(`wires.Laid`, seconds of the step) of a layout on chips that are wired in a way."""
    found = wired(way, int(np.max(layout.chips)), oversubscription=oversubscription)
    laid = wires.laid(shape, layout, on=found.on, software=software)
    return laid, training.seconds(shape, layout, on=found.on, software=software)


# ---- the next doubling


class Doubling(NamedTuple):
    """What a domain of so many chips asks for: arrays over the chips."""

    chips: np.ndarray
    pairs: np.ndarray  # of wires, to one stage of switches
    metres: np.ndarray  # of the longest of them
    rack_watts: np.ndarray
    floor_kg_per_m2: np.ndarray
    optics_watts: np.ndarray  # if light carried them, (low, high)


def doubling(chips, *, bytes_per_s=900e9, lane_bits_per_s=200e9, rack_chips=72, chip_watts=1875.0, chip_kg=1360 / 72):
    """`Doubling` of domains of some sizes in racks of `rack_chips`; the defaults are those of the rack of 72.

    The longest wire goes from the end of a row of racks to switches in its middle: half a rack up, half of the row along.
    """
    chips = np.asarray(chips, dtype=float)
    count = np.maximum(np.ceil(chips / rack_chips), 1)
    inside = np.minimum(chips, rack_chips)
    footprint = RACK_M * 1.068
    ends = np.array(racks.ends_of(racks.medium("single-mode optics"), "end_watts"))
    modules = 2 * chips * bytes_per_s / racks.medium("single-mode optics")["rate_bytes_per_s"]
    return Doubling(
        chips,
        law.pairs(chips, bytes_per_s, lane_bits_per_s=lane_bits_per_s),
        HEIGHT_M / 2 + SLACK_M + (count - 1) / 2 * RACK_M,
        inside * chip_watts,
        inside * chip_kg / footprint,
        modules * ends[:, None] if chips.ndim else modules * ends,
    )


@keep
def bought(model_name="DeepSeek-V3", domains=(8, 16, 32, 64, 128, 256), chips=1024, batch=4096, seq_len=4096):
    """Seconds of the fastest layout's step for each size of domain, all else alike: what a doubling buys."""
    shape, base = model(model_name), wired(WAYS[0], chips).on
    node, ports = base.tiers[0], base.tiers[-1]
    times = []
    for domain in domains:
        on = replace(base, tiers=(replace(node, ranks=domain), ports))
        found = search.search(shape, on, chips=chips, batch=batch, seq_len=seq_len, software="2025", keep=1)
        times.append(float(found.best["seconds"][0]))
    return np.array(domains), np.array(times)
