r"""Growth: what the peak of a chip is made of, and what made it grow between generations."""

import math
from itertools import pairwise

from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.formats import bytes_per_value

WIDTHS = ("16-bit", "narrowest")
CLOCK, CORES, PER_CLOCK = "clock", "cores", "FLOP per clock and core"
NARROWER, LEFT_OVER = "narrower format", "left over"
BOTH = "clock and FLOP per clock"  # where a clock is not published
PARTS = (CLOCK, CORES, PER_CLOCK, BOTH, NARROWER, LEFT_OVER)
RATED_ON = {CLOCK: "clock_ghz", CORES: "core_count", PER_CLOCK: "flop_per_clock_per_core_16bit"}


def format16(c):
    """The faster 16-bit format of a chip: its tensor cores' first, where they have but one."""
    found = [f for f in ("bf16", "fp16") if f in c.peaks]
    if not found:
        raise ValueError(f"{c.name} has no 16-bit peak, of which its growth could be told")
    return max(found, key=c.peak_flop_per_s)


def format_of(c, width):
    """The format that is counted: of 16 bits, or the narrowest that the chip multiplies fast."""
    if one_of("width", width, WIDTHS) == "16-bit":
        return format16(c)
    narrow = {f: p.flop_per_s for f, p in c.peaks.items() if bytes_per_value(f) <= 2}
    narrow.pop("fp16_acc16", None)
    return min(narrow, key=lambda f: (bytes_per_value(f), -narrow[f], f != format16(c)))


def parts(c, width="16-bit"):
    """Factors whose product is a chip's peak, in the order of `PARTS`.

    Where the catalog has no FLOP per clock and core, it is what the 16-bit peak leaves; where it
    has no clock, the two are one factor.
    """
    if c.cores is None:
        raise ValueError(f"{c.name} has no number of cores in the catalog")
    wide = c.peak_flop_per_s(format16(c))
    narrower = c.peak_flop_per_s(format_of(c, width)) / wide
    if c.clock_hz is None:
        return {CORES: c.cores, BOTH: wide / c.cores, NARROWER: narrower, LEFT_OVER: 1.0}
    printed = c.facts.get("flop_per_clock_per_core_16bit")
    each = float(printed) if printed else wide / (c.cores * c.clock_hz)
    return {
        CLOCK: c.clock_hz,
        CORES: c.cores,
        PER_CLOCK: each,
        NARROWER: narrower,
        LEFT_OVER: wide / (c.clock_hz * c.cores * each),
    }


def step(before, after, *, width="16-bit"):
    r"""Factors whose product is the growth of the peak from one chip to another, by part.

    $$\frac{P_2}{P_1} = \frac{f_2}{f_1}\cdot\frac{c_2}{c_1}\cdot\frac{w_2}{w_1}\cdot\frac{g_2}{g_1}\cdot\frac{\rho_2}{\rho_1}$$  (eq:growth)

    P  -  peak in the format that is counted                        [FLOP/s]
    f  -  clock                                                     [1/s]
    c  -  cores                                                     [-]
    w  -  operations of a core in a clock, at 16 bits               [FLOP]
    g  -  peak in the format that is counted over that at 16 bits   [-]
    ρ  -  left over: the printed 16-bit peak over f c w             [-]

    Holds for: dense peaks. Clock and w are one factor where a clock is not published.
    Source: definition. A product has no order, so neither have the factors: each is worth its
    logarithm.
    """
    first, second = parts(before, width), parts(after, width)
    if (BOTH in first) != (BOTH in second):
        first, second = _merged(first), _merged(second)
    return {name: second[name] / first[name] for name in first}


def _merged(found):
    if BOTH in found:
        return found
    product = found[CLOCK] * found[PER_CLOCK] * found[LEFT_OVER]
    return {CORES: found[CORES], BOTH: product, NARROWER: found[NARROWER], LEFT_OVER: 1.0}


def line(names, width="16-bit"):
    """The steps along a line of chips, then the whole of it: (before, after, {part: factor})."""
    row = [chip(name) for name in names]
    pairs = [*pairwise(row), (row[0], row[-1])]
    return [(a, b, step(a, b, width=width)) for a, b in pairs]


def doublings(factors):
    """Factors as doublings, which add: {part: log2 of the factor}."""
    return {name: math.log2(factor) for name, factor in factors.items()}


def unsure(c):
    """Parts of a chip's peak that no source of ours states: typed from the others, or missing."""
    return tuple(part for part, column in RATED_ON.items() if {column, "all"} & set(c.unconfirmed))
