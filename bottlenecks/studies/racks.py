"""Racks: what the links of a domain weigh in cables, watts and dollars by each medium, and what published racks ask of a hall."""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.tables import table
from bottlenecks.laws import racks as law

AIR_KELVINS, WATER_KELVINS = 15.0, 10.0  # by which air and water get warmer on their way through a rack
AIR_WATTS = (20e3, 56e3)  # of a rack that air is said to cool at most: uptime2020density; nvidia-b300-pod
FLOOR_KG_PER_M2 = (730.0, 3180.0)  # the least that a standard asks (tia942); a panel's rack of 2,040 kg (tate2018floor)
SWITCH_PORTS = (
    72,
    144,
)  # of a switch that stands (NVSwitch 4: 7.2 TB/s, links of 100 GB/s both ways); announced: toms-kyber
BUILT = 2025  # year up to which a published rack stands; later ones are announced


class Spine(NamedTuple):
    """The links between the chips of a domain and its one stage of switches, by a medium; (low, high) where sources differ."""

    pairs: float  # of wires or fibres, each with one direction
    ends: float  # modules or plugs, at the chips and at the switches
    watts: tuple  # of all ends; NaN where no source states it
    usd: tuple
    reach_m: tuple


def medium(name):
    """The row of data/media.csv of that name, as {column: value}; numbers in base SI."""
    every = table("media")
    at = every["name"].tolist().index(one_of("medium", name, every["name"].tolist()))
    return {column: values[at].item() for column, values in every.items()}


def ends_of(row, column):
    """(low, high) of a column that may have one value, a range, or nothing (NaN)."""
    one = row.get(column, np.nan)
    low, high = (row.get(f"{column}_{end}", np.nan) for end in ("low", "high"))
    return tuple(one if np.isnan(each) else each for each in (low, high))


def joules_per_bit(name):
    """(low, high) of a bit over a link of a medium: as stated, or the watts of two ends over the bits of two directions."""
    row = medium(name)
    stated = ends_of(row, "joules_per_byte")
    if np.isfinite(stated).any():
        return tuple(each / 8 for each in stated)
    return tuple(2 * each / (2 * 8 * row["rate_bytes_per_s"]) for each in ends_of(row, "end_watts"))


def usd_per_bit_per_s(name):
    """(low, high) dollars of a link over its rate: a cable's price, or that of two modules."""
    row = medium(name)
    ends = 2 if row["price_of"] == "end" else 1
    return tuple(ends * each / (8 * row["rate_bytes_per_s"]) for each in ends_of(row, "usd"))


def spine(chips, bytes_per_s, name):
    """`Spine` of a domain of chips that send so much each, in one direction, by a medium with lanes of its own rate."""
    positive("chips", chips), positive("bytes_per_s", bytes_per_s)
    row = medium(name)
    ends = 2 * chips * bytes_per_s / row["rate_bytes_per_s"]
    price = ends if row["price_of"] == "end" else ends / 2
    return Spine(
        float(law.pairs(chips, bytes_per_s, lane_bits_per_s=8 * row["lane_bytes_per_s"])),
        float(ends),
        tuple(ends * each for each in ends_of(row, "end_watts")),
        tuple(price * each for each in ends_of(row, "usd")),
        ends_of(row, "reach_m"),
    )


def limits():
    """What is said to be possible, as (least, most): chips on one stage of switches, metres of copper at 200 Gbit/s, watts of a rack in air and in liquid, kg/m2."""
    every = table("racks")
    watts = np.fmax(every["rack_watts"], every["rack_watts_high"])
    return {
        "switch_ports": SWITCH_PORTS,
        "copper_m": ends_of(medium("passive copper, 200G lanes"), "reach_m"),
        "air_watts": AIR_WATTS,
        "liquid_watts": (float(np.nanmax(watts[every["year"] <= BUILT])), float(np.nanmax(watts))),
        "floor_kg_per_m2": FLOOR_KG_PER_M2,
    }


def published():
    """Published racks: name -> {watts (low, high), watts_per_chip, kg_per_m2, air_m3_per_s, water_m3_per_s, by_air}.

    A load on the floor counts the rack's own footprint; aisles spread it. `by_air`: is it within what air is said to cool?
    """
    every, found = table("racks"), {}
    for i, name in enumerate(every["name"].tolist()):
        row = {column: values[i].item() for column, values in every.items()}
        watts, kg = ends_of(row, "rack_watts"), ends_of(row, "rack_kg")
        most = np.nanmax(watts)
        flow = {
            "air_m3_per_s": law.flow_m3_per_s(most, kelvins=AIR_KELVINS, joules_per_m3_kelvin=law.AIR_J_PER_M3_K),
            "water_m3_per_s": law.flow_m3_per_s(most, kelvins=WATER_KELVINS, joules_per_m3_kelvin=law.WATER_J_PER_M3_K),
        }
        found[name] = {
            "chips": row["chips"] / row["racks"],
            "watts": watts,
            "watts_per_chip": float(most * row["racks"] / row["chips"]),
            "kg": kg,
            "kg_per_m2": np.nanmax([*kg, -np.inf]) / (row["width_m"] * row["depth_m"]),
            "by_air": bool(np.nanmin(watts) <= AIR_WATTS[1]),
            "cooling": row["cooling"],
        } | {name: float(value) for name, value in flow.items()}
    return found
