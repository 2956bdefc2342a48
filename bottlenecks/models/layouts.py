"""Layouts: how a training step is cut over chips, what it keeps, and which cuts are legal.

`broken` is the one home of what a model, its stages and its sequences forbid: `search` and `scaling` leave such
layouts out, measured rows say so, and `check` refuses them with the nearest that is allowed.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import COUNT, MOST, RANKS, code, first, positive, record, settle, switch
from bottlenecks.laws.memory import RECIPES
from bottlenecks.laws.pipelines import DUALPIPE, INTERLEAVED, SCHEDULES, ZBV
from bottlenecks.laws.recomputation import POLICIES

CHOICES = {"recompute": POLICIES, "schedule": SCHEDULES, "recipe": tuple(RECIPES)}
SWITCHES = ("sp", "fused_attention", "dropout", "embedding_slots", "gathers_once", "keeps_outputs", "step_in_backward")
WHOLE = (
    "tp pp vpp dp cp ep zero zero_ranks micro_batch micro_batches seq_len lora_rank loss_parts"
    " batch context block prefix chunk pass_tokens state_values"
).split()
SHARES = ("offloaded_weights", "offloaded_gradients", "offloaded_states", "offloaded_activations")
ZERO_ALLOWED = "zero lora_rank bucket_bytes fragmentation overhead_bytes prefix pass_tokens state_values".split()
ZERO_ALLOWED = (*ZERO_ALLOWED, *SHARES)
LIMITS = dict.fromkeys(("tp", "pp", "vpp", "dp", "cp", "ep", "zero_ranks"), RANKS)
LIMITS |= dict.fromkeys(("micro_batch", "micro_batches", "batch", "seq_len", "context", "prefix", "chunk"), COUNT)
LIMITS |= dict.fromkeys(("loss_parts", "pass_tokens"), COUNT)
LIMITS |= {"zero": 3, "block": COUNT, "lora_rank": RANKS, "state_values": COUNT, **dict.fromkeys(SHARES, 1)}
MOST_TOKENS = 10**15  # of a step
MOST_DIVIDED = 10**13  # whose divisors are found in a second
BLOCK = 128  # tokens that attention's kernels take together: less is not dealt to a context-parallel rank


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """How a training step is cut over chips, and what it keeps. Any field may be an array.

    A choice is a name, an array of names, or (fastest) an array of indices into `CHOICES`.
    """

    tp: int = 1  # tensor parallel
    sp: bool = True  # the residual stream is cut over the tensor-parallel ranks too
    pp: int = 1  # pipeline stages
    vpp: int = 1  # chunks of layers on each stage
    dp: int = 1  # data parallel
    cp: int = 1  # context parallel
    ep: int = 1  # expert parallel, over data- and context-parallel ranks
    zero: int = 0  # stage of ZeRO; 3 is FSDP
    zero_ranks: int | None = None  # ranks that share states; None: all that hold the same weights
    micro_batch: int = 1  # sequences
    micro_batches: int = 1  # of a step, on each data-parallel rank
    seq_len: int
    # none: everything kept; selective: attention computed again; products: every second product
    # and attention's output kept; full: the layers' inputs kept
    recompute: str = "none"
    schedule: str = "1f1b"
    recipe: str = "adam, fp32 gradients"
    fused_attention: bool = True
    dropout: bool = False
    value_bytes: float = 2  # of an activation, and of a weight while it is gathered
    bytes_per_logit: float = 10  # over all copies alive at once (eq:logits-bytes)
    loss_parts: int = 1  # parts of the tokens whose logits are made, and let go, one after another
    imbalance: float = 1  # tokens of the busiest expert rank over the mean
    embedding_slots: bool = False  # embedding and head count as a layer each when stages are cut
    gathers_once: bool = False  # ZeRO 3 keeps weights and gradients whole from step to step
    keeps_outputs: bool = False  # stages hold what they sent on, until its gradient comes back
    step_in_backward: bool = False  # a gradient is used as soon as it is made: one tensor's is held, not the model's
    offloaded_weights: float = 0  # share of the weights that wait on the host; a layer comes whole when it is used
    offloaded_gradients: float = 0  # share of the gradients that leave for the host as they are made
    offloaded_states: float = 0  # share of the optimiser's states that the host keeps (or pages), and updates
    offloaded_activations: float = 0  # share of the activations that wait on the host
    lora_rank: int = 0  # of adapters on every matrix of the blocks; 0: all weights are trained
    frozen_bytes: float = 2  # of a frozen weight of the blocks, with adapters; the embeddings stay at 16 bits
    bucket_bytes: float = 0  # buffers of collectives
    fragmentation: float = 0  # eq:reserved-bytes; 0 is the bound from below
    overhead_bytes: float = 0

    def __post_init__(self):
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in SWITCHES:
                switch(f"Layout.{name}", value)
            elif name in CHOICES:
                code(f"Layout.{name}", value, CHOICES[name])
            elif value is not None:
                settle(self, name, check_number("Layout", name, value))
            elif name != "zero_ranks":
                positive(f"Layout.{name}", value)
        at_most("tp x pp x dp x cp", RANKS, self.tp, self.pp, self.dp, self.cp)
        at_most("tokens of a step", MOST_TOKENS, self.micro_batch, self.micro_batches, self.dp, self.seq_len)

    @property
    def chips(self):
        """Chips of the layout; experts are cut over data- and context-parallel ranks."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def tokens(self):
        """Tokens of one micro-batch on a chip."""
        return self.micro_batch * self.seq_len / self.cp


def check_number(record, name, value):
    """A field of a record that is a number, 64 bits wide."""
    return positive(
        f"{record}.{name}", value, zero_allowed=name in ZERO_ALLOWED, most=LIMITS.get(name, MOST), whole=name in WHOLE
    )


def at_most(what, most, *parts):
    """Raise where a product of some counts is more than it may be."""
    if (
        math.prod(part if type(part) is int else int(np.max(part)) for part in parts) > most
    ):  # largest by largest: most are far from it
        whole = math.prod(np.asarray(part, dtype=float) for part in parts)
        if np.any(whole > most):
            raise ValueError(f"{what} must be at most {most:,}, got {np.max(whole):,.15g}")


# ---- what is legal


def broken(model, x):
    """{rule: where a layout breaks it}, for layouts whose fields may be arrays.

    `x`: a `Layout`, or whatever has its fields tp, pp, vpp, dp, cp, ep, micro_batches, seq_len and schedule.
    """
    parts = x.pp * x.vpp
    slots = slotted(model.layers, parts)
    kind = code("schedule", x.schedule, SCHEDULES)
    interleaved = kind == INTERLEAVED
    even = (np.mod(model.layers, parts) == 0) | slots
    ragged = np.mod(x.micro_batches, x.pp) != 0
    found = {
        "tp must divide the heads": np.mod(model.heads, x.tp) != 0,
        "pp x vpp must be at most the layers": parts > model.layers + 2 * slots,
        "interleaved stages must hold equal chunks": interleaved & np.logical_not(even),
        "interleaved micro-batches must be a multiple of the stages": interleaved & ragged,
        "ZB-V must hold two equal chunks on each stage": (kind == ZBV) & ((model.layers + 2 * slots) % (2 * x.pp) != 0),
        "DualPipe must pair its stages": (kind == DUALPIPE) & (np.mod(x.pp, 2) != 0),
        "DualPipe must have two micro-batches for each stage": (kind == DUALPIPE)
        & ((np.mod(x.micro_batches, 2) != 0) | (x.micro_batches < 2 * x.pp)),
        f"cp must leave whole blocks of {BLOCK} tokens": (x.cp > 1) & (np.mod(x.seq_len, BLOCK * x.cp) != 0),
    }
    if model.experts is not None:
        found["ep must divide the experts"] = np.mod(model.experts, x.ep) != 0
        found["ep must divide dp x cp"] = np.mod(x.dp * x.cp, x.ep) != 0
    return found


def legal(model, x):
    """Which layouts break no rule."""
    return np.logical_not(np.any(np.broadcast_arrays(False, *broken(model, x).values()), axis=0))


def twice(x):
    """Layouts that another one stands for: a second schedule of one stage, and states dealt to one rank."""
    plain = code("schedule", x.schedule, SCHEDULES) == SCHEDULES.index("1f1b")
    alone = np.greater(x.zero, 0) & (x.dp * x.cp == 1)
    return (np.equal(x.pp, 1) & np.logical_not(plain)) | alone


def check(model, layout):
    """Raise with the nearest layout that is allowed where the shape of the model forbids one."""
    record("model", model, Model, "model(name)")
    record("layout", layout, Layout, "Layout(seq_len=...)")
    if np.any(model.encoder_layers):
        raise ValueError(f"{model.name}: two stacks of layers are not modelled, only a decoder")
    divides("tp", layout.tp, f"heads of {model.name}", model.heads)
    if model.experts is not None:
        divides("ep", layout.ep, f"experts of {model.name}", model.experts)
        divides("ep", layout.ep, "dp x cp", layout.dp * layout.cp)
    chunks, most = layout.pp * layout.vpp, model.layers + 2 * np.asarray(layout.embedding_slots)
    if np.any(np.greater(chunks, most)):
        bad, most = (first(value, np.greater(chunks, most)) for value in (chunks, most))
        raise ValueError(
            f"pp x vpp must be at most {most!r}, the layers of {model.name}, got {bad!r}; the nearest is {most!r}"
        )


def divides(name, part, what, whole):
    """Raise unless a part divides a whole; the nearest that does is named."""
    left_over = np.mod(whole, part) != 0
    if np.any(left_over):
        whole, part = first(whole, left_over), first(part, left_over)
        nearest = min(divisors(whole), key=lambda n: abs(n - part))
        raise ValueError(f"{name} must divide the {what} ({whole!r}), got {part!r}; the nearest is {nearest}")


def divisors(number):
    """Whole numbers that divide another.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    number = int(positive("number", number, most=MOST_DIVIDED, whole=True))
    low = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return tuple(low + [number // n for n in reversed(low) if n * n < number])


def slotted(layers, parts):
    """Do parts come out even only if embedding and head stand for a layer each? (llama3-2024, section 3.3)

    >>> slotted(126, 16), slotted(96, 16)
    (True, False)
    """
    return (layers % parts != 0) & ((layers + 2) % parts == 0)


# ---- stages


def stage_layers(model, layout, stage):
    """(first layer, layers) of a stage; early stages take one more where they do not come out even."""
    slots = 1 * np.asarray(layout.embedding_slots)
    each = np.ceil((model.layers + 2 * slots) / layout.pp)
    start = np.clip(stage * each - slots, 0, model.layers)
    return start, np.clip((stage + 1) * each - slots, 0, model.layers) - start


def fullest_stages(model, layout):
    """(layers of the fullest stage, of the last)."""
    firsts = (stage_layers(model, layout, np.minimum(stage, layout.pp - 1))[1] for stage in (0, 1))
    return np.maximum(*firsts), stage_layers(model, layout, layout.pp - 1)[1]
