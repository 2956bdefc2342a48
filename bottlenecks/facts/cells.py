"""Numbers and headers as readers write them: thousands, multiples, units, in a cell or in a column's name.

The rules, for whoever writes a file:

- `4096`, `4,096`, `4 096` and `1e6` are plain; in a file cut by semicolons or tabs `3,14` is 3.14, and so is every
  comma of a column in which one can only be a decimal one; else `4,096` is four thousand.
- k, M, G, T are thousands, millions ... but of bytes (`64M`, as nccl-tests has it) and of a sequence's tokens (`4k`)
  they are powers of 1,024. Ki, Mi, Gi always are. B is a billion of what is counted.
- A unit behind the number wins over that of the column: `12.5 ms`, `64 MiB`, `128KB` (128,000), `3.35 TB/s`, `85%`.
- In a column's name another unit of the same kind may stand: `time_ms` for `time_us`, `message_MB`, `busbw (GB/s)`, `mfu %`.
"""

import re

from bottlenecks.facts.units import MULTIPLES, parse_unit

STEPS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
BILLION = {"b": 1e9, "B": 1e9, "t": 1e12}  # of what is counted: 7B parameters
SHARES = ("%", "pct", "percent")
EMPTY = ("-", "--", "—", "–", "?", "n/a", "#n/a", "na", "n.a.", "nan", "none", "null")  # of any column
NO_NUMBER = (  # of a measurement that was not made, or came to nothing
    *(*EMPTY, "x", "tbd", "oom", "out of memory", "cuda oom", "fail", "failed", "failure", "error", "timeout"),
    *("crash", "crashed", "not run", "unsupported"),
)
SIZES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
BITS = {f"{p}{bits}": (s / 8, "B/s") for p, s in SIZES.items() for bits in ("bit/s", "b/s", "bps")}
BYTES = {f"{p}Bps": (s, "B/s") for p, s in SIZES.items()}  # gbps could be either, and is neither
IN_ANY_CASE = {f"{p}flops".casefold(): (s, "FLOP/s") for p, s in {"": 1.0, **SIZES}.items()}
IN_ANY_CASE |= {f"{p}bit/s".casefold(): (s / 8, "B/s") for p, s in SIZES.items()}
STEMS = {"s": "s", "B": "bytes", "B/s": "bytes_per_s", "FLOP/s": "flop_per_s"}  # unit -> how our names end in it
IN_NAMES = ("s", "ms", "us", "µs", "ns", "sec", "min", "kb", "mb", "gb", "kib", "mib", "gib", "bytes")
IN_NAMES += tuple(f"{p}{u}/s" for u in ("b", "ib", "bit", "flop") for p in ("", "k", "m", "g", "t", "p"))


def number(text, scale=1.0, unit="1", *, step=1000, decimal_comma=False):
    """The number of a cell in base SI; a bare one is in `scale` times `unit` (B, s, B/s, FLOP/s, W, 1/s or 1).

    `step`: what k is; `decimal_comma`: as `has_decimal_comma` has it, of a file that is not cut by commas.

    >>> number("4,096"), number("64M", unit="B", step=1024), number("12.5 ms", 1e-6, "s"), number("85%")
    (4096.0, 67108864.0, 0.0125, 0.85)
    >>> number("3,14", decimal_comma=True), number("7B", 1e9), number("128KB", unit="B")
    (3.14, 7000000000.0, 128000.0)
    """
    try:
        return float(text) * scale
    except ValueError:
        pass
    found = re.match(r"[-+]?(?:\d[\d.,]*(?:[ \u00a0\u202f]\d{3}(?![\d]))*[\d.,]*|\.\d+)(?:e[-+]?\d+)?", text, re.I)
    if not found:
        raise ValueError("")
    value, written = _figure(found[0], decimal_comma), text[found.end() :].strip()
    if not written:
        return value * scale
    return value * _scale(written, scale, unit, step)


def _figure(digits, decimal_comma):
    """The number that digits with points and commas are."""
    plain = re.sub(r"[ \u00a0\u202f]", "", digits)
    if decimal_comma:
        if re.fullmatch(r"[-+]?\d{1,3}(\.\d{3})+,\d+", plain):  # 1.234,5
            plain = plain.replace(".", "")
        plain = plain.replace(",", ".", 1)
    elif re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?(e[-+]?\d+)?", plain, re.I):
        plain = plain.replace(",", "")
    elif "," in plain:
        meant = f"; is it {plain.replace(',', '.')}?" if plain.count(",") == 1 and "." not in plain else ""
        raise ValueError(f"a comma sets thousands apart here{meant}")
    try:
        return float(plain)
    except ValueError:
        raise ValueError("") from None


def _scale(written, scale, unit, step):
    """What one of what stands behind a number is, in base SI."""
    many = scale if scale < 1e3 else 1.0  # "7B" of a column in billions are 7e9
    if written in BINARY:
        return 1024.0 ** BINARY[written] * many
    if written in STEPS:
        return float(step) ** STEPS[written] * many
    if unit == "1":
        if written.casefold() in SHARES:
            return 0.01
        counted = BILLION.get(written) or MULTIPLES.get(written.casefold())
        if counted:
            return counted
        meant = "; a letter O is no zero" if re.fullmatch(r"[oO][oO\d.]*", written) else ""
        raise ValueError(f"{written!r} is no multiple, such as k, M or B{meant}")
    found = _unit(written)
    if found is None or found[1].replace("tokens/s", "1/s") != unit:
        raise ValueError(f"{written!r} is no unit of the kind {unit}")
    return found[0]


def _unit(written):
    """(scale, base unit) of a unit, None where it is none."""
    found = BITS.get(written) or BYTES.get(written) or IN_ANY_CASE.get(written.casefold())
    if found:
        return found
    try:
        return parse_unit(written)
    except ValueError:
        return None


def has_decimal_comma(cells):
    """Is a comma of these cells a decimal one? It is where one of them can be nothing else.

    >>> has_decimal_comma(["3,14", "4,096"]), has_decimal_comma(["4,096", "12"]), has_decimal_comma(["0,125"])
    (True, False, True)
    """
    return any(re.match(r"[-+]?(?:\d+,\d{1,2}(?!\d)|\d+,\d{4}|0+,|\d[\d.]*\.\d{3},\d)", cell) for cell in cells)


def heading(header, names):
    """(name, scale, unit) of the column that a header means in another unit; None where none of `names` is meant.

    `names` end in their unit as the package's do. The scale is what a bare number is in, the unit '' where none is told.

    >>> heading("time_ms", {"time_s"}), heading("busbw (GB/s)", {"busbw_bytes_per_s"}), heading("params", {"params"})
    (('time_s', 0.001, 's'), ('busbw_bytes_per_s', 1000000000.0, 'B/s'), ('params', 1.0, ''))
    """
    parts = _parts(header)
    folded = [part.casefold().replace("/s", "_per_s") for part in parts]
    if "_".join(folded) in names:
        return "_".join(folded), 1.0, ""
    for i, part in enumerate(parts):
        if part.casefold() in SHARES and "_".join(folded[:i] + folded[i + 1 :]) in names:
            return "_".join(folded[:i] + folded[i + 1 :]), 0.01, "1"
        known = part in (*BITS, *BYTES) or part.casefold() in (*IN_ANY_CASE, *IN_NAMES)
        found = _unit(part) if known else None
        if found:
            meant = "_".join([*folded[:i], STEMS[found[1]], *folded[i + 1 :]])
            if meant in names:
                return meant, *found
    return None


def says_bits(header):
    """Is there a unit of bits in a column's name? Where case alone tells, Gbps is not GBps.

    >>> says_bits("busbw_Gbps"), says_bits("busbw_GBps")
    (True, False)
    """
    return any(part in BITS for part in _parts(header))


def _parts(header):
    text = re.sub(r"[_ ]per[_ ]s(?:ec|econd)?(?![a-z])", "/s", header.strip(), flags=re.I)
    return [part for part in re.split(r"[\s_()\[\]-]+", text) if part]
