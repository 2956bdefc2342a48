"""Machine: a chip as kernels find it, the tiers that join chips, and the seconds of a ledger's rows on it."""

from dataclasses import dataclass, fields, replace

import numpy as np

from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import record
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.networks import System
from bottlenecks.laws import power
from bottlenecks.models import collectives, constants, kernels
from bottlenecks.models.kernels import Device
from bottlenecks.models.wiring import tiers_of

WIDE = ("bf16", "fp16", "fp32")  # formats of values between kernels, the first that a chip has
# Of its arrays' rate what a TPU's vector unit has: scaling-book, TPU v5p, with four arrays of 128;
# TPU v6e has two of 256 for the same unit, so half.
VECTOR_SHARE = 1 / 32
ENGINES = {  # values a second of a core's vector and scalar engine, lanes times clock: aws-trainium1-nki
    "NeuronCore-v2": (128 * 1.12e9, 128 * 1.4e9)
}
RATES = [f for f in fields(Device) if f.type is float]  # of which any may be an array
TOGETHER = 2**16  # products of so many elements are timed in one call
CAST_BYTES = 4  # moved for a value that training makes narrow: two are read, one is written as it lies and one turned


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine(Device):
    """A `Device` of 16-bit kernels, its narrow products, memory and network. Base SI; rates may be arrays."""

    product_format: str  # in which layers are multiplied
    product_flop_per_s: float
    peak_flop_per_s: float = np.inf  # of `product_format`, by the datasheet
    # Share of `matmul_flop_per_s` that the rated power sustains (eq:power-cap); narrow products were timed for long, and
    # their rate is sustained.
    sustained: float = 1.0
    cast_bytes: float = CAST_BYTES
    memory_bytes: float = np.inf
    tdp_watts: float = np.nan
    tiers: tuple = ()  # of the network, innermost first; empty: no second chip
    efficiency: object = None  # collectives.Efficiency
    link_speed: float = 1.0  # of every tier inside a domain, over its own
    port_speed: float = 1.0  # of every tier of ports, over its own
    waits: float = 1.0  # every latency of the network, over its own
    host_waits: float = 1.0  # every launch by the processor, over its own
    routing_s: float = 0.0  # of a layer of experts in serving: to choose, to sort, to make operands narrow, to sum up
    last_s: float = 0.0  # what a sum in a step of serving waits for the last of its ranks
    takes_turns: bool = False  # weights' traffic and arithmetic, which overlap elsewhere

    @property
    def domain(self):
        """Chips that reach each other without a port."""
        return np.inf if not self.tiers or self.tiers[0].ranks is None else self.tiers[0].ranks

    @property
    def narrow(self):
        """Are layers multiplied in a narrower format than values have?"""
        return bytes_per_value(self.product_format) < self.bytes_per_value


RESOURCES = {  # who owns a step's second, for `shares.shares`
    "compute": kernels.RESOURCES["compute"] + " product_flop_per_s",
    "memory": "memory_bytes_per_s",
    "cache": "cache_bytes_per_s",
    "network": "link_speed port_speed link_bytes_per_s host_bytes_per_s",
    "latency": kernels.RESOURCES["latency"] + " waits host_waits routing_s",
}


def machine(where, format="bf16", *, efficiency=None, **given):
    """A `System`, or a chip with the links and ports of its datasheet, as training and serving find it.

    `format`: of the layers' products; with a narrow one attention and logits stay in 16 bits. `given`:
    fields of the machine, such as `tiers`.
    """
    record("where", where, (Chip, System), "chip(name) or system(name)")
    if efficiency is not None:
        collectives.reachable(efficiency)
    on = where.chip if isinstance(where, System) else where
    if on is None:
        raise ValueError(f"{where.name}: its chip is not in the catalog")
    narrow = bytes_per_value(format) < 2
    base = kernels.device(on, next((f for f in WIDE if f in on.peaks), format) if narrow else format)
    known = {f.name: getattr(base, f.name) for f in fields(Device)} | _beside_an_array(on, base)
    known |= {name: 1.0 if np.isnan(known[name]) else known[name] for name in ("link_bytes_per_s", "host_bytes_per_s")}
    rate = kernels.device(on, format).matmul_flop_per_s if narrow else base.matmul_flop_per_s
    return Machine(
        **known
        | {
            "product_format": format,
            "product_flop_per_s": rate,
            "peak_flop_per_s": on.peak_flop_per_s(format),
            "sustained": _sustained(on, base.matmul_flop_per_s, base.bytes_per_value),
            "memory_bytes": on.memory_bytes,
            "tdp_watts": np.nan if on.tdp_watts is None else on.tdp_watts,
            "tiers": where.tiers if isinstance(where, System) else tiers_of(on),
            "efficiency": collectives.fitted() if efficiency is None else efficiency,
            "last_s": constants.inference()["last_s"] if efficiency is None else 0.0,  # perfect wires wait for nobody
            "routing_s": kernels.routing_s(base.constants, format) if efficiency is None else 0.0,
            "takes_turns": on.kind == "TPU",
        }
        | given
    )


def _beside_an_array(chip, base):
    """Rates of the vector and scalar units beside one large array."""
    if base.cores != 1:
        return {}
    core = chip.facts["core_unit"]
    if core not in ENGINES:  # the vector unit keeps up with the memory
        vector = base.matmul_flop_per_s * VECTOR_SHARE * kernels.ARRAY / base.array
        return {"vector_per_s": vector, "exp_per_s": vector / 4, "core_clocks_per_s": np.inf}
    vector, scalar = (int(chip.facts["core_count"]) * rate for rate in ENGINES[core])
    # a norm's four instructions for four bytes of a value, read and written: one a byte
    clocks = vector / kernels.family_constants(chip.family)["worked_norm"]
    return {"vector_per_s": vector, "exp_per_s": scalar, "core_clocks_per_s": clocks}


def _sustained(chip, flop_per_s, size):
    """eq:power-cap with the family's fitted operations of a joule, 1 where there are none."""
    fitted = constants.training().get((chip.family, f"flop_per_joule_{8 * size:.0f}"))
    if not fitted or chip.tdp_watts is None:
        return 1.0
    return power.sustained_share(flop_per_s, flop_per_joule=fitted, watts=chip.tdp_watts)


# ---- rows of a ledger


def rows_s(rows, on):
    """Seconds of each row of a ledger, all its calls, in order: products of a format together."""
    found = [None if op.kind == "matmul" else kernels.op_s(op, on) for op in rows]
    for format in dict.fromkeys(op.format for op in rows if op.kind == "matmul"):
        device = on
        if format != on.format:
            device = replace(on, format=format, matmul_flop_per_s=on.product_flop_per_s)
        mine = [i for i, op in enumerate(rows) if op.kind == "matmul" and op.format == format]
        for i, seconds in zip(mine, _products_s([rows[i] for i in mine], device), strict=True):
            found[i] = rows[i].calls * seconds
    return found


def _products_s(rows, device):
    """Seconds of one call of each product, as many of them at once as fit the processor's caches."""
    sizes = [np.shape(v) for op in rows for v in op.shape.values()]
    shape = np.broadcast_shapes(*sizes, *(np.shape(getattr(device, f.name)) for f in RATES))
    at_once = max(TOGETHER // max(int(np.prod(shape)), 1), 1)
    for first in range(0, len(rows), at_once):
        mine = rows[first : first + at_once]
        sizes = {name: np.empty((len(mine), *shape)) for name in mine[0].shape}
        for i, op in enumerate(mine):
            for name, value in op.shape.items():
                sizes[name][i] = value
        yield from product_s(device=device, **sizes)


def product_s(m, k, n, *, groups, weight_bytes, device):
    """Seconds of a product by the kernel that suits it: tiles, turns of an array, or a matrix-vector kernel."""
    if device.takes_turns:  # eq:no-overlap
        arithmetic, memory = (
            kernels.matmul_s(
                m, k, n, groups=groups, weight_bytes=weight_bytes, device=replace(device, **{rate: np.inf})
            )
            for rate in ("memory_bytes_per_s", "matmul_flop_per_s")
        )
        return arithmetic + memory - device.fixed_s
    tiled_s = kernels.matmul_s(m, k, n, groups=groups, weight_bytes=weight_bytes, device=device)
    few = m <= kernels.FEW_ROWS
    if not np.any(few) or np.all(np.equal(device.cores, 1)):
        return tiled_s
    vector_s = kernels.few_rows_s(m, k, n, groups=groups, weight_bytes=weight_bytes, device=device)
    return np.where(few, np.minimum(tiled_s, vector_s), tiled_s)
