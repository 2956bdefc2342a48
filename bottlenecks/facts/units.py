"""Numbers to text and back: the only place where a scale leaves or a reader's unit enters."""

import re

import numpy as np

from bottlenecks.facts.doors import nearest

PREFIXES = {
    "p": 1e-12,
    "n": 1e-9,
    "µ": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
}
BINARY_PREFIXES = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
UNITS = (
    "FLOP/s",
    "FLOP/B",
    "FLOP/J",
    "FLOP",
    "B/s",
    "J/B",
    "J/FLOP",
    "USD",
    "FLOP/s/USD",
    "B/J",
    "B",
    "s",
    "J",
    "W",
    "Hz",
    "tiles",
    "tokens/s",
    "tokens",
    "values",
    "users",
    "chips",
    "experts",
    "rows",
    "times",
    "%",
    "",
)


UNSCALED = ("%", "times", "rows", "users", "chips", "experts", "tiles", "values", "tokens", "tokens/s", "FLOP/B")
COUNTS = ("", "times", "rows", "users", "chips", "experts", "tiles", "values", "tokens")  # a bare number will do
WHOLE = ("B", "FLOP", "")  # of these there is no thousandth


def si(value, unit="", digits=3):
    """`value` in base units as text with an SI prefix.

    >>> si(3.35e12, "B/s")
    '3.35 TB/s'
    >>> si(0.000311, "s")
    '311 µs'
    """
    value, prefix = float(value), ""
    if value and np.isfinite(value) and unit not in UNSCALED:
        allowed = [p for p in PREFIXES if PREFIXES[p] >= 1 or unit not in WHOLE]
        fitting = [p for p in allowed if abs(value) >= PREFIXES[p] * (1 - 10.0**-digits)]
        prefix = fitting[-1] if fitting else allowed[0]
    return f"{plain(value / PREFIXES[prefix], digits)} {prefix}{unit}".rstrip()


def plain(value, digits=3):
    """`value` with `digits` significant digits, never in exponent form, thousands set apart.

    >>> plain(20480), plain(20480, 4), plain(0.04567), plain(2.0)
    ('20,500', '20,480', '0.0457', '2')
    """
    value = float(value)
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - int(np.floor(np.log10(abs(value))))
    rounded = round(value, places)
    text = f"{rounded:,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plural(number, word, digits=6):
    """A number and what is counted, in one or many.

    >>> plural(1, "chip"), plural(2048, "copy"), plural(3, "micro-batch")
    ('1 chip', '2,048 copies', '3 micro-batches')
    """
    if number != 1:
        word = word[:-1] + "ies" if word.endswith(("by", "cy", "dy", "py", "ry", "ty")) else word
        word += "" if word.endswith("ies") else "es" if word.endswith(("ch", "s", "x")) else "s"
    return f"{plain(number, digits)} {word}"


SPELLED = {  # as people write them
    "byte": "B",
    "bytes": "B",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "ms.": "ms",
    "percent": "%",
    "x": "times",
    "milliseconds": "ms",
    "microseconds": "µs",
    "nanoseconds": "ns",
    "flop/byte": "FLOP/B",
    "row": "rows",
    "user": "users",
    "chip": "chips",
    "expert": "experts",
    "tile": "tiles",
    "token": "tokens",
    "watts": "W",
    "joules": "J",
    "usec": "µs",
}


def parse_unit(text):
    """Scale and base unit of a unit as a reader writes it.

    >>> parse_unit("TB/s"), parse_unit("ms"), parse_unit("GiB")
    ((1000000000000.0, 'B/s'), (0.001, 's'), (1073741824.0, 'B'))
    """
    wanted = SPELLED.get(str(text).strip().casefold(), str(text).strip()).replace("μ", "µ")
    spellings = {
        prefix + unit: (scale, unit)
        for prefix, scale in {**PREFIXES, **BINARY_PREFIXES, "u": 1e-6, "K": 1e3}.items()
        for unit in UNITS
    }
    if wanted in spellings:
        return spellings[wanted]
    if "flops" in wanted.casefold():
        raise ValueError(f"unit {text!r} does not say whether it is a count (FLOP) or a rate (FLOP/s)")
    near = nearest(wanted, [s for s in spellings if s])
    raise ValueError(
        f"unit {text!r} is unknown"
        + (f"; did you mean {near!r}?" if near else ".")
        + f" Write an SI prefix and one of: {', '.join(filter(None, UNITS))}"
    )


def parse_quantity(text, unit):
    """The number in base units of a quantity as typed, which must be in `unit`.

    >>> parse_quantity("20 ms", "s"), parse_quantity("~2e3 us", "s"), parse_quantity("1,500", "")
    (0.02, 0.002, 1500.0)
    """
    found = re.fullmatch(r"[~≈]?\s*([-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?|\.\d+)\s*(.*)", str(text).strip(), re.I)
    if not found:
        raise ValueError(f"Write a number and its unit, such as {example(unit)}; got {text!r}.")
    number, written = found.groups()
    if re.search(r",(?!\d{3}(?!\d))", number):
        raise ValueError(f"A comma sets thousands apart here; is {number!r} {number.replace(',', '.')}?")
    if not written and unit not in COUNTS:
        raise ValueError(f"Which unit? Write it after the number, such as {example(unit)}.")
    scale, base = parse_unit(written) if written else (1.0, unit)
    if base != unit:
        raise ValueError(f"This asks for {unit or 'a bare number'}, and {written!r} is not one.")
    value = float(number.replace(",", "")) * scale
    if not 0 < value < float("inf"):
        raise ValueError(f"A number above zero, please; got {text!r}.")
    return value


def example(unit):
    """What a quantity in a unit looks like, for a hint."""
    shown = {"s": "20 ms", "B/s": "1 TB/s", "B": "10 GB", "FLOP": "10 GFLOP", "FLOP/s": "10 TFLOP/s", "": "10"}
    return shown.get(unit, f"10 {unit}")
