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
    "runs",
    "steps",
    "times",
    "%",
    "",
)


COUNTS = ("", "times", "rows", "users", "chips", "experts", "values", "tokens", "tiles", "runs", "steps")
UNSCALED = (*COUNTS[1:], "%", "tokens/s", "FLOP/B")
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


RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


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


def powers(value, digits=3):
    """A large number as a power of ten.

    >>> powers(3.15e23), powers(1e24), powers(9.999e20, 2)
    ('3.15 x 10²³', '10²⁴', '10²¹')
    """
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = f"10{str(int(exponent)).translate(RAISED)}"
    return power if float(mantissa) == 1 else f"{plain(mantissa, digits)} x {power}"


def counted(value, digits=6):
    """A number without unit: in words from a million on, as a power of ten from a thousand trillions on.

    >>> counted(50000), counted(3e11), counted(1e13), counted(1e20)
    ('50,000', '300 billion', '10 trillion', '10²⁰')
    """
    for least, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if least <= abs(value) < 1e15:
            return f"{plain(value / least, digits)} {word}"
    return plain(value, digits) if abs(value) < 1e15 else powers(value, digits)


def binary(value):
    """Bytes as messages are counted, in powers of 1,024.

    >>> binary(16384), binary(1.5 * 2**20), binary(700)
    ('16 KiB', '1.5 MiB', '700 B')
    """
    power = min(max(int(np.log2(max(value, 1)) // 10), 0), 4)
    return f"{plain(value / 1024**power, 4)} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def plural(number, word, digits=6):
    """A number and what is counted, in one or many.

    >>> plural(1, "chip"), plural(2048, "copy"), plural(3, "micro-batch")
    ('1 chip', '2,048 copies', '3 micro-batches')
    """
    if number != 1:
        word = word[:-1] + "ies" if word.endswith(("by", "cy", "dy", "py", "ry", "ty")) else word
        word += "" if word.endswith("ies") else "es" if word.endswith(("ch", "s", "x")) else "s"
    return f"{plain(number, digits)} {word}"


# ---- what readers write ----------------------------------------------------------------------------

WORDS = {  # of a unit, as people write them; a plural's s is taken off
    "byte": "B",
    "sec": "s",
    "second": "s",
    "percent": "%",
    "per cent": "%",
    "x": "times",
    "×": "times",
    "fold": "times",
    "time": "times",
    "row": "rows",
    "run": "runs",
    "step": "steps",
    "user": "users",
    "chip": "chips",
    "gpu": "chips",
    "expert": "experts",
    "value": "values",
    "tile": "tiles",
    "token": "tokens",
    "tok": "tokens",
    "watt": "W",
    "joule": "J",
    "hertz": "Hz",
    "dollar": "USD",
    "$": "USD",
    "operation": "FLOP",
}
PREFIX_WORDS = {
    "nano": "n",
    "micro": "µ",
    "milli": "m",
    "kilo": "k",
    "mega": "M",
    "giga": "G",
    "tera": "T",
    "peta": "P",
}
DURATIONS = {"min": 60.0, "minute": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "day": 86400.0, "d": 86400.0}
DURATIONS |= {"week": 7 * 86400.0, "year": 365.25 * 86400.0}
LONG = {"min": 60.0, "hours": 3600.0, "days": 86400.0, "years": 365.25 * 86400.0}
MULTIPLES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
DIVISIBLE = ("s", "J", "W", "J/B", "J/FLOP", "USD")  # of these a thousandth is meant where a small m is written
SPELLINGS = {
    prefix + unit: (scale, unit)
    for prefix, scale in {**PREFIXES, **BINARY_PREFIXES, "u": 1e-6, "K": 1e3}.items()
    for unit in UNITS
}
FOLDED = {  # without case: k is K, and m is a million where a thousandth makes no sense
    **{s.casefold(): found for s, found in SPELLINGS.items() if found[0] >= 1},
    **{s.casefold(): found for s, found in SPELLINGS.items() if found[0] < 1 and found[1] in DIVISIBLE},
}


def parse_unit(text):
    """Scale and base unit of a unit as a reader writes it.

    >>> parse_unit("TB/s"), parse_unit("ms"), parse_unit("GiB")
    ((1000000000000.0, 'B/s'), (0.001, 's'), (1073741824.0, 'B'))
    >>> parse_unit("gigabytes per second"), parse_unit("hours"), parse_unit("tok/s")
    ((1000000000.0, 'B/s'), (3600.0, 's'), (1.0, 'tokens/s'))
    """
    written = str(text).strip().replace("μ", "µ").rstrip(".")
    found = _unit(written)
    if found:
        return found
    if "flops" in written.casefold():
        raise ValueError(f"unit {text!r} does not say whether it is a count (FLOP) or a rate (FLOP/s)")
    near = nearest(written, [s for s in SPELLINGS if s])
    raise ValueError(
        f"unit {text!r} is unknown"
        + (f"; did you mean {near!r}?" if near else ".")
        + f" Write an SI prefix and one of: {', '.join(filter(None, UNITS))}"
    )


def _unit(written):
    """(scale, base unit) of a unit, or None: as it stands, by its words, then in any case."""
    if written in SPELLINGS:
        return SPELLINGS[written]
    if written.casefold().removesuffix("s") in DURATIONS or written.casefold() in DURATIONS:
        return DURATIONS.get(written.casefold()) or DURATIONS[written.casefold().removesuffix("s")], "s"
    parts = [_part(part) for part in re.split(r"\s*/\s*|\s+per\s+|\s+an?\s+", written)]
    if len(parts) > 1 and parts[0] == "t":
        parts[0] = "tokens"
    whole = "/".join(parts)
    return SPELLINGS.get(whole) or FOLDED.get(whole.casefold())


def _part(part):
    """One side of a slash in our spelling: "gigabytes" is GB."""
    word = part.strip().lstrip("-").casefold()
    for long, prefix in PREFIX_WORDS.items():
        rest = word.removeprefix(long)
        if rest != word:
            return prefix + _part(rest)
    if word == "usec":
        return "µs"
    return WORDS.get(word) or WORDS.get(word.removesuffix("s")) or part.strip()


NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?"
OTHERWISE = (  # how numbers are written too, and what of them is read
    (r"^(?:~|≈|about|around|ca\.?|roughly)\s*", ""),
    (r"(?<![\d.])10\s*(?:\^|\*\*)\s*([-+]?\d+)", r"1e\1"),
    (r"(?<=\d)\s*[x×*]\s*1e", "e"),  # 2 x 10^9
    (r"(?<=\d)[ \u00a0\u202f](?=\d{3}(?!\d))", ""),  # 20 000
)


def parse_quantity(text, unit):
    """The number in base units of a quantity as typed; a bare number is in `unit`, in which the question is asked.

    >>> parse_quantity("20 ms", "s"), parse_quantity("~2e3 us", "s"), parse_quantity("1/3", "ms")
    (0.02, 0.002, 0.0003333333333333333)
    >>> parse_quantity("100 billion", "FLOP"), parse_quantity("2.5k", "tokens"), parse_quantity("60 t/s", "tokens/s")
    (100000000000.0, 2500.0, 60.0)
    """
    asked, base = parse_unit(unit)
    typed = str(text).strip()
    for pattern, instead in OTHERWISE:
        typed = re.sub(pattern, instead, typed, flags=re.I)
    found = re.fullmatch(rf"({NUMBER})(?:\s*/\s*({NUMBER}))?\s*(.*)", typed, re.I | re.S)
    if not found:
        raise ValueError(f"Write a number, such as {example(unit)}; got {text!r}.")
    over, under, written = found.groups()
    for number in filter(None, (over, under)):
        if re.search(r",(?!\d{3}(?!\d))", number):
            raise ValueError(f"A comma sets thousands apart here; is {number!r} {number.replace(',', '.')}?")
    number = float(over.replace(",", ""))
    if under:
        number /= float(under.replace(",", "")) or float("nan")
    value = number * _scale(written.strip(), unit, asked, base)
    if not 0 < value < float("inf"):
        raise ValueError(f"A number above zero, please; got {text!r}.")
    return value


def _scale(written, unit, asked, base):
    """What one of the written unit is in base units, where it is of the same kind as the one asked for."""
    many = asked if asked < 1e3 else 1.0  # "2 billion" of GB are bytes, "2k" of ms are ms
    word, _, rest = written.partition(" ")
    if word.casefold() in MULTIPLES:
        scale = MULTIPLES[word.casefold()]
        return scale * (_scale(rest.strip(), unit, asked, base) if rest.strip() else many)
    if not written:
        return asked
    if written in BINARY_PREFIXES or PREFIXES.get(written, 1) > 1 or written == "K":  # "2.5k"
        return (SPELLINGS[written][0]) * many
    found = _unit(re.sub(r"^(Ki|Mi|Gi|Ti|[a-zA-Zµ]) (?=\w)", r"\1", written.replace("μ", "µ").rstrip(".")))
    if found and found[1] == base:
        return found[0]
    if "flops" in written.casefold():
        return parse_unit(written)[0]  # says that it is neither
    raise ValueError(f"This asks for {unit or 'a bare number'}, and {written!r} is not one. {_same_kind(unit, base)}")


def _same_kind(unit, base):
    """What may be written where a unit is asked for."""
    if base in UNSCALED or not base:
        return f"A number will do, such as {example(unit)}."
    some = ("ns", "µs", "ms", "s", "min", "h", "days") if base == "s" else [prefix + base for prefix in _usual(base)]
    return f"Write one of: {', '.join(some)}."


def _usual(base):
    return ("p", "n", "µ", "m", "") if base in ("J", "J/B", "J/FLOP") else ("", "k", "M", "G", "T", "P")


def in_unit(value, unit):
    """A value in base units as text in the unit that is asked for, or with another prefix where that has too many digits.

    >>> in_unit(0.0314, "ms"), in_unit(3e-7, "ms"), in_unit(1, "chips"), in_unit(7200, "hours")
    ('31.4 ms', '300 ns', '1 chip', '2 hours')
    """
    scale, base = parse_unit(unit)
    if base in ("", *UNSCALED) or (scale != 1 and 0.01 <= value / scale < 1e4):
        text = f"{plain(value / scale)} {unit}".rstrip()
        return text.removesuffix("s") if value == scale and len(unit) > 2 and unit[-2:] != "/s" else text
    if base == "s" and value >= 120:
        name, long_s = max(((name, n) for name, n in LONG.items() if value >= 2 * n), key=lambda each: each[1])
        return f"{plain(value / long_s)} {name}"
    return si(value, base)


EXAMPLES = {  # far apart, so that they say nothing of the answer
    "s": "40 ns or 2 hours",
    "B": "5 kB or 2 TB",
    "B/s": "5 MB/s or 2 PB/s",
    "FLOP": "5 MFLOP or 2 EFLOP",
    "FLOP/s": "5 MFLOP/s or 2 EFLOP/s",
    "J": "3 pJ or 2 GJ",
    "W": "3 mW or 2 GW",
    "%": "1/3 or 2e2",
}


def example(unit):
    """What a quantity in a unit may look like, for a hint."""
    return EXAMPLES.get(parse_unit(unit)[1], "1/2, 7 or 3e5")
