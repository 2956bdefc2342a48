"""The thousandfold claim: what fetching a weight costs beside using it, by place, format and year of the process."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.laws import technology as law

CLAIM = 1000.0
WIRE_M = 0.030  # across a large die: its two sides added up are some 57 mm, the way to the far corner less the near
PRODUCTS = {  # words -> (multiplication, addition: operation and bits), bits of a weight, nanometres
    "8-bit integers, 45 nm": (("int multiply", "8"), ("int add", "32"), 8, "45"),
    "fp16, 45 nm": (("FP multiply", "16"), ("FP add", "32"), 16, "45"),
    "fp32, 45 nm": (("FP multiply", "32"), ("FP add", "32"), 32, "45"),
    "8-bit integers, 7 nm": (("int multiply", "8"), ("int add", "32"), 8, "7"),
    "fp16, 7 nm": (("FP multiply", "16"), ("FP add", "32"), 16, "7"),
}
WAYS = {  # place -> (kind, operations of data/energy.csv: least, most)
    "SRAM of 8 KB beside the core": ("on the chip", ("SRAM read 8 KB",) * 2),
    "SRAM of 1 MB, 45 nm": ("on the chip", ("SRAM read 1 MB",) * 2),
    "30 mm of wire": ("on the chip", ("wire, 1 mm",) * 2),
    "HBM, its devices": ("memory", ("HBM3E access", "HBM2 access")),
    "GDDR6, its devices": ("memory", ("GDDR6 device power",) * 2),
    "HBM, as a board pays": ("board", ("board, a byte more", "board at one reader")),
    "DRAM of 2014": ("memory", ("DRAM read (low)", "DRAM read (high)")),
}


@cache
def _joules():
    """(operation, bits, process) -> joules, and operation -> joules of a bit."""
    rows = [row for row in data.rows("energy") if row["confidence"] != "memory"]
    each = {(r["operation"], r["bits"], r["process_nm"]): float(r["energy_pj"]) * 1e-12 for r in rows}
    return each, {(op, nm): joules / float(bits) for (op, bits, nm), joules in each.items() if bits}


def product_flop_joules(product):
    """Joules of one operation: the mean of a multiplication and the addition into its wider sum."""
    multiply, add, _, process = PRODUCTS[one_of("product", product, PRODUCTS)]
    found, _ = _joules()
    return (found[*multiply, process] + found[*add, process]) / 2


def way_byte_joules(way, process):
    """(least, most) joules of bringing a byte from a place; of SRAM in the process where it is known, else in 45 nm."""
    _, per_bit = _joules()
    ends = []
    for operation in WAYS[one_of("way", way, WAYS)][1]:
        at = next(nm for nm in (process, "45", "40", "") if (operation, nm) in per_bit)
        ends.append(8 * per_bit[operation, at] * (WIRE_M * 1e3 if operation.startswith("wire") else 1))
    return tuple(ends)


def ratios(product, batch=1):
    """Energy of fetching a weight over that of the arithmetic it is fetched for (eq:fetch-ratio), for each place: columns.

    name, kind, low and high (as sources differ), ratio (their geometric mean).
    """
    bits, process = PRODUCTS[one_of("product", product, PRODUCTS)][2:]
    batch = positive("batch", batch)
    ends = np.array([way_byte_joules(way, process) for way in WAYS]).T
    each = law.fetch_ratio(
        batch, weight_bytes=bits / 8, joules_per_byte=ends, joules_per_flop=product_flop_joules(product)
    )
    return {
        "name": np.array(list(WAYS)),
        "kind": np.array([kind for kind, _ in WAYS.values()]),
        "low": each[0],
        "high": each[1],
        "ratio": np.sqrt(each[0] * each[1]),
    }
