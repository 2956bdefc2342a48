"""Formats of numbers: what a value takes, and the one reading of how texts spell them."""

import re

from bottlenecks.facts.doors import one_of

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
# Weights in blocks with their scales, widened before they are multiplied: two 16-bit numbers for 32
# values (gpt-fast); llama.cpp's Q4_K_M, whose files have 4.9 bits a weight; NVFP4 and MXFP4, an
# 8-bit scale for 16 and for 32 values.
STORED_BYTES_PER_VALUE = {"int4_g32": 0.625, "q4_k_m": 0.61, "nvfp4": 0.5625, "mxfp4": 0.53125}
STORED = {"int4-g32": "int4_g32", "int4": "int4_g32", "q4_k_m": "q4_k_m", "fp4": "nvfp4", "nvfp4": "nvfp4"}
STORED |= {"mxfp4": "mxfp4"}  # spelling of weights -> how they are stored
SPELLED = (("bfloat", "bf"), ("float", "fp"), ("e4m3", "fp8"))  # what texts write -> what we do


def bytes_per_value(format):
    """Bytes that one value takes in `format`.

    >>> bytes_per_value("bf16")
    2
    """
    if isinstance(format, str) and format in STORED_BYTES_PER_VALUE:
        return STORED_BYTES_PER_VALUE[format]
    return BYTES_PER_VALUE[one_of("format", format, FORMATS)]


def named(text):
    """The formats that a text names, each once, in its order.

    >>> named("fp8 (blockwise) + bf16"), named("F16"), named("float8 e4m3")
    (('fp8', 'bf16'), ('fp16',), ('fp8',))
    """
    text = text.casefold()
    for theirs, ours in SPELLED:
        text = text.replace(theirs, ours)
    text = re.sub(r"\bf16\b", "fp16", text)
    longest_first = sorted(BYTES_PER_VALUE, key=len, reverse=True)
    return tuple(dict.fromkeys(re.findall("|".join(longest_first), text)))


def narrowest(text):
    """The narrowest format that a text names, of equals the first; '' where it names none.

    >>> narrowest("bf16 autocast + fp32 optimizer"), narrowest("MXFP8")
    ('bf16', 'fp8')
    """
    return min(named(text), key=BYTES_PER_VALUE.get, default="")


def stored(text):
    """How weights are stored that a text spells; '' where it names no format.

    >>> stored("Q4_K_M"), stored("fp4"), stored("bf16")
    ('q4_k_m', 'nvfp4', 'bf16')
    """
    return STORED.get(text.casefold()) or next(iter(named(text)), "")
