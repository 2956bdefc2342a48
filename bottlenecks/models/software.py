"""Software: what programs fuse, overlap and launch, as switches in rows of `data/software.csv`.

A row is a release of a stack. The stack "tuned" is the best program of its year for training on GPUs; its
releases are named by years. Every other stack states only the switches in which it differs from its base:
"tuned" of the same day, or "server", which runs the rows of a ledger as they are and serves a model. A
switch that is a number has been read in a source or is fitted (`data/training_constants.csv`).
"""

import re
from dataclasses import dataclass, fields, replace
from functools import cache

from bottlenecks import data
from bottlenecks.facts.doors import one_of, shown
from bottlenecks.models import constants

TODAY = "2026"


@dataclass(frozen=True, kw_only=True, eq=False)
class Software:
    """What a program's kernels, launches and exchanges are like. The defaults are those of a compiled server."""

    name: str

    # kernels
    attention: str = "best"  # as `kernels.attention_s` names it; best: the fastest that the chip has
    mask_fused: bool = True  # scale, mask and softmax are one kernel, where attention is not fused
    fuses_casts: bool = True  # norms and activations write what they make in the narrow format of the next product
    traffic: float = 1.0  # bytes of elementwise kernels over the least, which a ledger counts
    joined: bool = True  # queries, keys and values are one product; gate and up are one
    value_bytes: float = 2.0  # of a value between two kernels
    casts: bool = False  # products of many rows take 16-bit operands and yield 16-bit results, whatever values are
    unpacks: bool = False  # narrow weights are written wide in front of a product of many rows

    # the processor
    host_s: float = 6e-6  # of the processor for each launch in training
    captured: bool = True  # steps of inference are replayed as graphs: a collective waits for no launch
    host_layer_s: float = 0.0  # of the processor to launch a layer in inference
    static: bool = False  # graphs of one shape: a step reads a cache of the final length
    every_expert: bool = False  # of a mixture runs over every token, whichever were chosen
    python_host: bool = False  # a server that runs kernels from Python; busy, it deals whole experts to its chips
    shots: bool = True  # sums between a server's chips are kernels of its own, where sooner than the library's
    sums_in_16_bits: bool = False  # products sum in 16 bits, where the chip is faster so
    part_tokens: float = 0.0  # of a prompt that one pass reads; 0: all
    parts_ahead: int = 1  # passes that may be under way on a pipeline's stages
    queue: int = 1024  # launches that wait for a chip before the processor does

    # exchanges
    overlaps_gradients: bool = True  # their reduction runs beside the backward pass
    overlaps_weights: bool = True  # the gather of updated weights runs beside the next forward pass
    overlaps_sends: bool = True  # of interleaved pipelines, beside the next chunk
    overlaps_tensor: float = 0.0  # share of tensor-parallel traffic that runs beside the products
    one_port: bool = False  # ZeRO 3 gathers tensor by tensor: a ring through one port of a domain
    folds_experts: bool = False  # experts stay whole, dealt to tensor-parallel ranks too
    sends_once: bool = False  # a token crosses to a domain once, whatever experts it has there
    scatters_sends: bool = True  # tensor-parallel ranks send a part each to the next stage
    gradient_bytes: float = 4.0  # of a reduced gradient
    stolen: float = 0.1  # cores that communication beside compute takes

    # rates inside a training step
    per_joule: float = 1.0  # FLOP of a joule over those of 2023, in 16 bits
    tuned_attention: float = 1.0  # rate of attention over that of 2023


SERVER = Software(name="server")
SWITCHES = {f.name: f.type for f in fields(Software) if f.name != "name"}


def release(named, family=""):
    """The `Software` of a name: "2024" (the tuned stack of a year), "torchtitan" (its newest release), "XLA 2023-06".

    A `Software` is returned as it is. `family` is that of the chip, for which some releases are different.
    An error names the nearest.

    >>> release("2021").attention
    'unfused'
    """
    if isinstance(named, Software):
        return named
    if not isinstance(named, str):
        raise ValueError(f"software must be a Software or a name of one, got {shown(named)}")
    years = {row["release"]: row["released"] for row in _releases("tuned", "")}
    if named in years:
        return at("tuned", years[named], family)
    stack, _, date = str(named).rpartition(" ")
    if stack in stacks() and date[:4].isdigit():
        return at(stack, date, family)
    return at(one_of("software", named, [*years, *stacks()]), TODAY, family)


def at(stack, date, family=""):
    """The newest release of a stack that was out on a date (yyyy-mm; yyyy is its beginning); of none, the oldest.

    >>> at("XLA", "2023-06").attention, at("XLA", "2024-01").attention
    ('unfused', 'fused')
    """
    known = _releases(one_of("stack", stack, [*stacks(), "tuned"]), "")
    row = next((row for row in reversed(known) if row["released"] <= date), known[0])
    base = SERVER if row["base"] in ("", "server") else at(row["base"], date, family)
    name = row["release"] if stack == "tuned" else stack if base is SERVER else f"{stack} {base.name}"
    own = [mine for mine in _releases(stack, family) if family and mine["released"] == row["released"]]
    return replace(base, name=name, **_stated(row) | {k: v for mine in own for k, v in _stated(mine).items()})


@cache
def since(technique):
    """The year in which a schedule, or another way of data/techniques.csv, was published."""
    known = {row["name"]: int(row["since"]) for row in data.rows("techniques")}
    return known[one_of("technique", technique, known)]


def year(software):
    """The year of the tuned stack that a `Software` is or builds on; of others that of `TODAY`.

    >>> year(release("2021")), year(release("XLA 2023-06")), year(SERVER)
    (2021, 2023, 2026)
    """
    found = re.search(r"\d{4}$", software.name)
    return int(found[0] if found else TODAY)


@cache
def _releases(stack, family):
    """Rows of a stack, oldest first: those for all chips, or those for a family alone."""
    rows = [row for row in data.rows("software") if row["stack"] == stack and row["family"] == family]
    return sorted(rows, key=lambda row: row["released"])


@cache
def find_stack(name):
    """The stack that a name stands for, its own or another of its program, or ''; spelling is forgiven.

    >>> find_stack("LLaMA.cpp"), find_stack("MaxText"), find_stack("my trainer")
    ('llama.cpp', 'XLA', '')
    """
    rows = data.rows("software")
    known = {_fold(each): row["stack"] for row in rows for each in (row["stack"], *data.keys(row["aliases"]))}
    return known.get(_fold(name), "") if name else ""


def _fold(name):
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@cache
def stacks():
    """Names of the stacks but "tuned", in the file's order."""
    return tuple(dict.fromkeys(row["stack"] for row in data.rows("software") if row["stack"] != "tuned"))


def years():
    """The tuned stack of every year that has one: name -> Software, oldest first."""
    return {row["release"]: at("tuned", row["released"]) for row in _releases("tuned", "")}


def _stated(row):
    """The switches that a row states; "fitted 2022" is the constant of that year."""
    parse = {bool: lambda text: text == "yes", float: float, int: int, str: str}

    def value(name, kind):
        text = row[name]
        return (
            constants.training()[text.removeprefix("fitted "), name]
            if text.startswith("fitted ")
            else parse[kind](text)
        )

    return {name: value(name, kind) for name, kind in SWITCHES.items() if row[name]}
