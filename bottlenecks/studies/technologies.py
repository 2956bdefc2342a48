"""One chip with other memories: bought for as many watts, as much of the die's edge, or as many dollars."""

from dataclasses import replace

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.memories import memories, memory, price
from bottlenecks.laws import technology as law
from bottlenecks.models import inference
from bottlenecks.models.machine import machine
from bottlenecks.studies import decoding

CHIP, OWN, PLACES = "H200 SXM", "HBM3E", 6  # six stacks stand at its edge
EQUAL = ("watts", "die edge", "dollars of 2025", "dollars of 2026")
OTHERS = ("HBM3E", "GDDR7 28", "LPDDR5X 8533", "DDR5-6400", "DDR4-3200", "HBF 1", "NVMe PCIe 5.0 x4 SSD")
PRICED = {  # whose bits a module is bought as
    "HBM3E": "HBM3E",
    "GDDR7 28": "GDDR7",
    "LPDDR5X 8533": "LPDDR5X",
    "DDR5-6400": "DDR5",
    "DDR4-3200": "DDR4",
    "HBF 1": "NAND",
    "NVMe PCIe 5.0 x4 SSD": "NAND",
}
NEW = {"HBM3E": "HBM4"}  # what is bought in 2026 in place of it
WORDS = {  # as a reader calls them
    "HBM3E": "HBM3E",
    "GDDR7 28": "GDDR7",
    "LPDDR5X 8533": "LPDDR5X",
    "DDR5-6400": "DDR5",
    "DDR4-3200": "DDR4",
    "HBF 1": "stacked flash",
    "NVMe PCIe 5.0 x4 SSD": "solid-state drive",
}


def modules(name="DDR5-6400", device="H100 SXM5"):
    """How many units of a memory have the bandwidth of a chip's own."""
    return chip(device).memory_bytes_per_s / memory(name).bytes_per_s


def cost(name, equal):
    """What one unit of a memory takes of a budget: watts at its full rate, metres of edge, or dollars; NaN where unknown."""
    one_of("equal", equal, EQUAL)
    unit = memory(name)
    if equal == "watts":
        return np.nan if unit.joules_per_byte is None else unit.joules_per_byte * unit.bytes_per_s
    if equal == "die edge":
        return np.nan if unit.edge_m is None else unit.edge_m
    year = equal.split()[-1]
    sold = NEW.get(PRICED.get(name), PRICED.get(name)) if year == "2026" else PRICED.get(name)
    found = price(sold, year) if sold else None
    recent = found and (year != "2026" or found.date >= "2025-12")  # in a year in which prices rose ninefold
    return unit.memory_bytes * found.usd_per_byte if recent else np.nan


def swapped(equal):
    """Other memories for what the chip's own takes: columns name, units, bytes_per_s, memory_bytes, turnover_per_s.

    Units are not rounded: a budget is compared, not a package. What a memory's maker does not print (watts of LPDDR5X,
    the edge of a flash stack) leaves NaN.
    """
    device, own = chip(CHIP), memory(OWN)
    # what the chip's own six stacks take: their rate in watts, six places, their bytes in dollars
    share = {"watts": device.memory_bytes_per_s / own.bytes_per_s, "die edge": PLACES}.get(
        equal, device.memory_bytes / own.memory_bytes
    )
    budget = cost(OWN, equal) * share
    units = np.array([budget / cost(name, equal) for name in OTHERS])
    rate = units * np.array([memory(name).bytes_per_s for name in OTHERS])
    size = units * np.array([memory(name).memory_bytes for name in OTHERS])
    here = np.array(OTHERS) == OWN  # as it is built
    rate, size = np.where(here, device.memory_bytes_per_s, rate), np.where(here, device.memory_bytes, size)
    return {
        "name": np.array(OTHERS),
        "units": np.where(here, PLACES, units),
        "bytes_per_s": rate,
        "memory_bytes": size,
        "turnover_per_s": law.turnover_per_s(rate, memory_bytes=size),
        "budget": np.full(rate.shape, budget),
    }


def step_s(shape, bytes_per_s, *, batch=1, context=2048, weight_format="fp8"):
    """Seconds of a decode step on the chip beside memories of some bandwidths; the rest of the chip stays."""
    plan = inference.Plan(weight_format=weight_format)
    rate = np.asarray(bytes_per_s, dtype=float)
    found, known = np.full(rate.shape, np.nan), np.isfinite(rate)
    server = machine(replace(chip(CHIP), memory_bytes_per_s=rate[known]))
    found[known] = inference.decode_s(shape, plan, server, batch=batch, context=context)
    return found


def held_bytes(shape, *, batch=1, context=2048):
    """Bytes of weights in 8 bits and of caches in 16, which a decode step also reads."""
    weights, caches = decoding.reads(shape, batch=batch, context=context)
    return weights / 2 + caches


def token_joules(shape, equal, *, batch=1, context=2048):
    """Joules of a token beside each memory: the rest of the board at its rated power for a step, and the bytes of the step.

    The rest is the rated power less what the chip's own memory takes at its full rate. NaN where no maker prints a
    memory's energy, whatever the budget.
    """
    device, own = chip(CHIP), memory(OWN)
    rest = device.tdp_watts - device.memory_bytes_per_s * own.joules_per_byte
    step = step_s(shape, swapped(equal)["bytes_per_s"], batch=batch, context=context)
    per_byte = np.array([memory(name).joules_per_byte or np.nan for name in OTHERS])
    return (rest * step + per_byte * held_bytes(shape, batch=batch, context=context)) / batch


def throughput(shape, bytes_per_s, memory_bytes, *, limit_s, context=2048, most=2048):
    """(readers, tokens a second of the chip): the largest batch that fits and whose step keeps a limit; zeros where none does.

    Weights in 8 bits, caches in 16. Every batch up to `most` is tried at once.
    """
    batches = np.arange(1, most + 1, dtype=float)
    fits = held_bytes(shape, batch=batches, context=context) <= memory_bytes
    step = step_s(shape, np.full(batches.shape, bytes_per_s), batch=batches, context=context)
    good = np.flatnonzero(fits & (step <= limit_s))
    return (0, 0.0) if not good.size else (int(batches[good[-1]]), float(batches[good[-1]] / step[good[-1]]))


def ratio(kind, first="HBM3E", second="DDR5-6400"):
    """(least, middle, most) times as much bandwidth a first memory has for a package, a millimetre, a dollar, a byte kept."""
    a, b = memory(first), memory(second)
    rates = a.bytes_per_s / b.bytes_per_s
    if kind == "edge":
        ends = ((b.edge_m_low, a.edge_m_high), (b.edge_m, a.edge_m), (b.edge_m_high, a.edge_m_low))
        return tuple(rates * theirs / ours for theirs, ours in ends)
    one_of("kind", kind, ("package", "byte", "edge", *EQUAL[2:]))
    per = {"package": 1.0, "byte": b.memory_bytes / a.memory_bytes}
    return (rates * (per[kind] if kind in per else cost(second, kind) / cost(first, kind)),) * 3


def turnovers():
    """Every memory whose rate and size are known: name, bytes_per_s, memory_bytes, turnover_per_s, kind."""
    found = memories()
    rate = np.array([each.bytes_per_s for each in found.values()])
    size = np.array([each.memory_bytes for each in found.values()])
    return {
        "name": np.array(list(found)),
        "kind": np.array([each.kind for each in found.values()]),
        "bytes_per_s": rate,
        "memory_bytes": size,
        "turnover_per_s": law.turnover_per_s(rate, memory_bytes=size),
    }
