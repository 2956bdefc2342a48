"""Names of models by their parts: organisation, family, size, and the suffixes of chat versions and of stored formats.

A family word leads to the catalog's rows of that family; a size in the name picks one, and must be its size.
"""

import difflib
import re
from functools import cache
from typing import NamedTuple

from bottlenecks import data

SUFFIXES = {  # words that do not change a shape
    *("instruct", "chat", "it", "hf", "pt", "meta", "moe", "dense", "preview", "latest", "thinking", "think", "exp"),
    *("sft", "lora", "qlora", "dpo", "rl", "qat", "coder", "math", "reasoning", "unsloth", "mlx", "model", "original"),
    *("awq", "gptq", "gguf", "ggml", "marlin", "bnb", "exl2", "exl3", "autoround", "quantized", "dynamic", "block"),
    *("fp8", "fp4", "nvfp4", "mxfp4", "mxfp8", "nf4", "int4", "int8", "uint4", "bf16", "fp16", "f16", "g32", "g64"),
    *("g128", "float16", "bfloat16"),
}
QUANTISED = re.compile(  # Q4_K_M, IQ4_XS, 4bit, 3.0bpw, w4a16
    r"(?<![a-z0-9.])(?:i?q\d[-_ ](?:k|0|1|xxs|xs|s|m|nl)(?:[-_ ]*(?:xl|small|medium|large|[sml]))?"
    r"|\d+(?:\.\d+)?[-_ ]?(?:bpw|bits?)|w\d+a\d+(?:kv\d+)?)(?![a-z0-9.])"
)
SIZE = re.compile(r"(\d+(?:\.\d+)?)([mbt])")
ANYBODYS = {"gpt", "gpt2", "gpt3"}  # families of which a size says no shape: only as it is written
UNITS = {"m": 1e6, "b": 1e9, "t": 1e12}
NEAR = 0.12  # that a size in a name may be off a shape's parameters
ACTIVE_NEAR = 0.25  # and those that a token meets: publishers differ in what they count
SLIP = 0.85  # of two families' spellings
SAME_SIZE = 1.5  # most that a suggestion is off in size, times
MOST_TOLD = 8  # models that an error lists


class Parts(NamedTuple):
    """What a name states of a model; '' where it does not."""

    family: str  # words of the family with its generation: llama3.1, qwen2.5, deepseekv3
    version: str  # of the same family: v0.2
    size: str  # as written: 70b, 8x7b
    active: str  # 3b of a3b
    experts: str


def parts(name):
    """The parts of a name.

    >>> parts("meta-llama/Llama-3.1-8B-Instruct-AWQ")
    Parts(family='llama3.1', version='', size='8b', active='', experts='')
    >>> parts("Qwen3-235B-A22B-Thinking-2507-FP8")[:4]
    ('qwen3', '', '235b', '22b')
    """
    text = name.casefold().strip()
    organisation, slash, rest = text.rpartition("/")
    text = rest if slash and " " not in organisation else text
    words = re.findall(r"[a-z0-9.]+", QUANTISED.sub(" ", text))
    found = dict.fromkeys(Parts._fields, "")
    family = []
    for word in words:
        kind = next((what for what, pattern in _KINDS if pattern.fullmatch(word)), None)
        if kind == "family":
            family.append(word)
        elif kind != "nothing" and not found[kind]:
            found[kind] = word.strip("ae") if kind in ("active", "experts") else word
    if found["size"] and family[-1:] == ["base"]:
        family.pop()  # without a size it is one: BERT-base
    return Parts(**found | {"family": "".join(family)})


_KINDS = (
    ("nothing", re.compile("|".join(SUFFIXES) + r"|\d{4}|\d{6}|\d{8}|\d+k")),  # dates, context lengths
    ("size", re.compile(rf"(?:\d+x)?{SIZE.pattern}")),
    ("active", re.compile(r"a\d+(?:\.\d+)?b")),
    ("experts", re.compile(r"\d+e")),
    ("version", re.compile(r"v\d+(?:\.\d+)*")),
    ("family", re.compile(".+")),
)


def number(size):
    """Parameters that a size states, None for 8x7b and for no size.

    >>> number("1.1b"), number("8x7b")
    (1100000000.0, None)
    """
    found = SIZE.fullmatch(size)
    return float(found[1]) * UNITS[found[2]] if found else None


def found_by(name, sizes):
    """The catalog's name of a model, or None; `sizes`: name -> (parameters, those that a token meets, experts)."""
    stated = parts(name)
    for family in _families(stated):
        rows = [row for row in _index().get(family, ()) if _agrees(stated, row, sizes[row.name])]
        rows = [row for row in rows if row.parts.size == stated.size] or rows
        names = {row.name for row in rows}
        if len(names) == 1:
            return names.pop()
        if names:
            return None
    return None


def told(name, sizes):
    """What an error says of a name that is unknown: a model that was meant, the sizes of its family, or nothing.

    A suggestion is of about the size that the name states, and its family is written the same but for a letter.
    """
    stated = parts(name)
    asked, word = number(stated.size), _word(stated.family)
    if not word or stated.family in ANYBODYS:
        return "."
    slips = [f for f in _index() if _word(f) != word and re.sub(r"[a-z]", "", f) == re.sub(r"[a-z]", "", stated.family)]
    for family in difflib.get_close_matches(stated.family, slips, n=1, cutoff=SLIP):
        near = [row.name for row in _index()[family] if asked and _as_large(asked, sizes[row.name][0])]
        if near:
            return f"; did you mean {near[0]!r}?"
    kin = sorted((f for f in _index() if _word(f) == word), key=lambda f: f != stated.family)
    kin = dict.fromkeys(row.name for family in kin for row in _index()[family])
    near = [name for name in kin if asked and _as_large(asked, sizes[name][0])] or list(kin)
    return (
        f"; of that family there are: {', '.join(near[:MOST_TOLD])}{', ...' * (len(near) > MOST_TOLD)}."
        if near
        else "."
    )


def _word(family):
    """The letters that a family begins with: qwen of qwen2.5."""
    return re.match(r"[a-z]*", family)[0]


def _as_large(asked, size):
    return max(asked / size, size / asked) <= SAME_SIZE


class Row(NamedTuple):
    """One spelling of a model of the catalog."""

    name: str
    parts: Parts


@cache
def _index():
    """Family, with its version and without -> spellings of its models."""
    found = {}
    for row in data.rows("models"):
        for spelled in (row["name"], *row["aliases"].split(";")):
            mine = Row(row["name"], parts(spelled))
            for family in dict.fromkeys((mine.parts.family + mine.parts.version, mine.parts.family)):
                found.setdefault(family, []).append(mine)
    return found


@cache
def _bases():
    return {row["family"]: row["base"] for row in data.rows("model_names")}


def _families(stated):
    """Families to look under: as written, then the one whose shapes it has; with the version, then without."""
    if not stated.family:
        return ()
    written = dict.fromkeys((stated.family + stated.version, stated.family))
    return tuple(dict.fromkeys(f for each in written for f in (each, _bases().get(each)) if f))


def _agrees(stated, row, sizes):
    """Are a stated size, active size and count of experts those of a row?"""
    params, active, experts = sizes
    if stated.size and stated.size != row.parts.size:
        size = number(stated.size)
        if size is None or abs(size / params - 1) > NEAR or row.parts.family in ANYBODYS:
            return False
    if stated.active and stated.active != row.parts.active:
        if not experts or abs(number(stated.active) / active - 1) > ACTIVE_NEAR:
            return False
    return not stated.experts or (experts is not None and int(stated.experts) == experts)
