"""Formats of numbers: what a value takes, and the one reading of how texts spell them.

Weights and caches may be stored in blocks with their scales: `data/formats_stored.csv` has what a value then takes,
scales included, with the arithmetic. Any other number of bits is a format of that name: "4.25 bits".
"""

import re
from functools import cache

from bottlenecks import data
from bottlenecks.facts.doors import nearest, one_of, shown

BYTES_PER_VALUE = {
    "fp64": 8,
    "fp64_matrix": 8,
    "fp32": 4,
    "tf32": 4,
    "bf16": 2,
    "fp16": 2,
    "fp8": 1,
    "int8": 1,
    "fp6": 0.75,
    "fp4": 0.5,
    "fp16_acc16": 2,  # sums kept in 16 bits: twice the rate on some consumer boards
}
FORMATS = tuple(BYTES_PER_VALUE)
_STORED = {row["name"]: row for row in data.rows("formats_stored")}
STORED_BYTES_PER_VALUE = {name: float(row["bits"]) / 8 for name, row in _STORED.items()}
SPELLED = (("bfloat", "bf"), ("float", "fp"), ("e4m3", "fp8"), ("e5m2", "fp8"))  # what texts write -> what we do
SHORT = {"f16": "fp16", "half": "fp16", "f32": "fp32", "single": "fp32", "f64": "fp64", "double": "fp64"}  # whole words
UNTOLD = (
    "",
    "auto",
    "default",
    "none",
    "n/a",
    "-",
    "not stated",
    "unknown",
    "mixed",
    "amp",
)  # texts that state no format
BITS = re.compile(r"(\d+(?:\.\d+)?) bits")  # the name of a format that is a number of bits
GROUP = 128  # values that share a scale, where a text says how many bits and no more
GROUP_BITS = 32  # of a group: a scale and a zero of 16 bits each
WHOLE_BITS = {8: "int8", 16: "bf16", 32: "fp32"}  # bits of values that have no scales by groups
FEWEST, MOST = 1, 64  # bits of a value


def bytes_per_value(format):
    """Bytes that one value takes in `format`, scales included.

    >>> bytes_per_value("bf16"), bytes_per_value("4.25 bits")
    (2, 0.53125)
    """
    known = BYTES_PER_VALUE.get(format) if isinstance(format, str) else None
    if known is not None:
        return known
    if isinstance(format, str) and format in STORED_BYTES_PER_VALUE:
        return STORED_BYTES_PER_VALUE[format]
    bits = BITS.fullmatch(format) if isinstance(format, str) else None
    if bits and FEWEST <= float(bits[1]) <= MOST:
        return float(bits[1]) / 8
    return BYTES_PER_VALUE[one_of("format", format, FORMATS)]


def named(text):
    """The formats that a text names, each once, in its order.

    >>> named("fp8 (blockwise) + bf16"), named("F16"), named("float8 e4m3")
    (('fp8', 'bf16'), ('fp16',), ('fp8',))
    """
    text = re.sub(r"[a-z]+\d*", lambda word: SHORT.get(word[0], word[0]), text.casefold())
    for theirs, ours in SPELLED:
        text = text.replace(theirs, ours)
    longest_first = sorted(BYTES_PER_VALUE, key=len, reverse=True)
    return tuple(dict.fromkeys(re.findall("|".join(longest_first), text)))


def operands(name, text):
    """The formats that a column of operands names, () where it states none; an error where it states another.

    >>> operands("act_dtype", "FP8 (E4M3)"), operands("act_dtype", "auto")
    (('fp8',), ())
    """
    found = named(text)
    if not found and not _untold(text):
        one_of(name, text, FORMATS)
    return found


def narrowest(text):
    """The narrowest format that a text names, of equals the first; '' where it names none.

    >>> narrowest("bf16 autocast + fp32 optimizer"), narrowest("MXFP8")
    ('bf16', 'fp8')
    """
    return min(named(text), key=BYTES_PER_VALUE.get, default="")


def stored(text, name="weight format"):
    """How weights, or a cache, are stored that a text spells; '' where it states nothing, an error where it is unknown.

    >>> stored("Q4_K_M"), stored("fp4"), stored("bf16"), stored("EXL2 3.0 bpw"), stored("6 bit g64")
    ('q4_k_m', 'nvfp4', 'bf16', '3 bits', '6.5 bits')
    """
    found = find_stored(text)
    if not found and not _untold(text):
        near = nearest(text, [*FORMATS, *_STORED], cutoff=0.6)
        raise ValueError(
            f"{name} {shown(text)} is unknown{f'; did you mean {near!r}?' if near else ';'} There are: "
            f"{', '.join((*FORMATS, *_STORED))}, or a number of bits such as '4.25 bits'"
        )
    return found


def find_stored(text):
    """As `stored`, '' where the text is unknown."""
    words = _words(text)
    alias = max((s for s in _spellings() if f" {s} " in f" {words} "), key=len, default="")
    bits = _bits(words.replace(alias, " ") if alias else words)
    if alias:
        row = _STORED[_spellings()[alias]]
        if bits is None or int(bits) == int(row["value_bits"]):  # a method's name does not tell 2 bits from 4
            return row["name"]
    plain = next(iter(named(text)), "")
    return plain if bits is None or plain else _by_bits(bits, words)


def stored_bytes(text):
    """Bytes of a weight in the format that a text spells, scales included.

    >>> stored_bytes("Q4_0"), stored_bytes("int4-g128")
    (0.5625, 0.53125)
    """
    found = stored(text)
    if not found:
        raise ValueError(f"no format is stated, got {shown(text)}")
    return bytes_per_value(found)


def beside(format):
    """What goes with a stored format: (format of the output head, of the products, of the cache), '' where not told.

    >>> beside("w4a8kv4"), beside("q4_0")
    (('bf16', 'int8', 'int4_g128'), ('q6_k', '', ''))
    """
    if format == "fp8":
        return "bf16", "fp8", ""  # servers leave the head whole, and multiply what they keep
    row = _STORED.get(format, {})
    return row.get("head", ""), row.get("products", ""), row.get("cache", "")


def parts(format):
    """Formats of a model's parts where it is stored in `format`: {"ffn", "attention", "embedding", "head"}.

    Who leaves the head whole leaves the embedding whole too.
    """
    head = beside(format)[0] or format
    embedding = head if bytes_per_value(head) >= bytes_per_value("bf16") else format
    attention = _STORED.get(format, {}).get("attention") or format
    return {"ffn": format, "attention": attention, "embedding": embedding, "head": head}


def _untold(text):
    return text.strip().casefold() in UNTOLD


def _words(text):
    """A text as words between single spaces; points stay, for 4.25 is no 4 and 25."""
    return " ".join(re.findall(r"[a-z0-9.]+", text.casefold()))


@cache
def _spellings():
    """Spelling in words -> name of a stored format; every name spells itself, and its words may stand as one."""
    found = {}
    for row in data.rows("formats_stored"):
        for spelled in (_words(row["name"].replace("_", " ")), *row["spelled"].split(";")):
            found |= {spelled: row["name"], spelled.replace(" ", ""): row["name"]}
    return found


def _bits(words):
    """Bits of a value that words state, None where they state none."""
    found = re.search(r"\b(\d+(?:\.\d+)?) ?(?:bpw|bits?)\b|\bu?int ?(\d)\b", words)
    return float(found[1] or found[2]) if found else None


def _by_bits(bits, words):
    """A format of so many bits: as stated where a mean is, else with the scales of its groups."""
    group = re.search(r"\b(?:g|gs|group|group size) ?(\d+)\b", words)
    if group is None and bits in WHOLE_BITS:
        return WHOLE_BITS[bits]
    if bits == int(bits) and not re.search(r"\d\.\d|bpw", words):
        bits += GROUP_BITS / int(group[1] if group and int(group[1]) else GROUP)
    return f"{bits:g} bits" if FEWEST <= bits <= MOST else ""
