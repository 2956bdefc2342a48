"""A clock: what one chip holds over the time of one training step, layer by layer and micro-batch by micro-batch.

`held(model, layout, times(model, layout, on=machine(...), software="2024"))` puts the rows of `footprint.training_rows`
on a clock. They add up to what is held were all there at once; the clock says what is, and when.
"""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from bottlenecks.facts.doors import between, code, one_of, positive, record
from bottlenecks.laws import recomputation
from bottlenecks.laws.memory import RECIPES
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, layer, training
from bottlenecks.models.layouts import CHOICES, Layout, stage_layers
from bottlenecks.models.software import release
from bottlenecks.studies import splitting

# of `held`, from the floor up: what stays before what comes and goes
ROWS = tuple("weights optimizer reserve gradients buffers activations logits recomputation step".split())
FORWARD_SHARE = 1 / 3  # of the seconds of the embedding and of the head: a product forward, two backward
WAITING_BYTES = 6  # of a logit from its loss to its backward pass: in 16 bits, and in fp32; then its gradient joins
NO_LOGITS = 1e-9  # bytes of a logit, so few that nothing takes the room that they give back


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of a step. Those of a layer, of the embedding and of the head say how a pass is divided: ratios count."""

    passes_s: float  # from the first forward pass to the end of the last backward one
    exchange_s: float  # of gradients, that no pass hides
    optimizer_s: float
    forward_s: float  # of a mean layer and micro-batch
    again_s: float  # of what is computed again before its backward pass
    backward_s: float
    embedding_s: float  # forward and backward
    head_s: float  # with the loss; forward and backward

    def __post_init__(self):
        for field in fields(self):
            zero = field.name not in ("passes_s", "forward_s", "backward_s")
            positive(f"Times.{field.name}", getattr(self, field.name), zero_allowed=zero)


def times(model, layout, *, on, software):
    """`Times` of a layout's step on a `Machine`, from the rows of `training.step` and the kernels of a layer."""
    _one(layout)
    rows = training.step(model, layout, on=on, software=software, memory=False).rows
    one = layer.layer(model, layout, on, release(software, on.family))
    forward = {name: one[name] for name in ("products_s", "attention_s", "elementwise_s")}
    again = recomputation.repeats(code("recompute", layout.recompute, POLICIES))
    backward = ["input_gradients_s", "attention_gradients_s", "elementwise_gradients_s"]
    backward += ["weight_gradients_s"] * (layout.lora_rank == 0)
    found = {
        "passes_s": sum(s for name, s in rows.items() if name not in ("data parallel", "optimiser")),
        "exchange_s": rows["data parallel"],
        "optimizer_s": rows["optimiser"],
        "forward_s": sum(forward.values()),
        "again_s": recomputation.again_s(again, **forward),
        "backward_s": sum(one[name] for name in backward),
        "embedding_s": one["embedding_s"],
        "head_s": one["ends_s"],
    }
    return Times(**{name: float(value) for name, value in found.items()})


def held(model, layout, times, *, stage=0, keeps_gradients=False):
    """Bytes on a chip of a pipeline stage over one step: columns time_s, phase, and one for each of `ROWS`.

    Between two lines what is held changes evenly, and at once where their times are the same. `phase`: forward,
    backward, exchange, optimizer, or "" where the chip waits. All layers of a stage are alike, as their mean.

    weights, optimizer   all the time
    gradients            a layer's from its first backward pass on; `keeps_gradients`: in a buffer that stays from
                         step to step
    activations          come layer by layer in a forward pass, and go so in the backward one (with zb1p, in that of
                         the weights)
    logits               from a micro-batch's loss to the backward pass of its head, of which their gradient is a part
    recomputation        of one layer, from when it is done again until its backward pass is done
    step                 while the optimiser works
    buffers              collectives' buckets stay; the rest during passes, or from pass to pass if it gathers once
    reserve              what the allocator holds beyond the crest
    """
    record("times", times, Times, "clock.times(model, layout, on=..., software=...)")
    _one(layout)
    rows = footprint.training_rows(model, layout, stage=int(between("stage", stage, 0, layout.pp - 1)))
    passes = _passes(layout, times, stage)
    sizes = _sizes(model, layout, stage, rows, passes)
    time, phase = _laid_out(passes, sizes["pieces"], times)
    changes = _changes(passes, sizes)
    found = {name: _over(passes, change) for name, change in changes.items()}
    if layout.step_in_backward:
        found["gradients"] = np.where(phase == "backward", float(rows["gradients"]), 0.0)
    elif keeps_gradients:
        found["gradients"] = np.full(time.size, float(rows["gradients"]))
    else:
        found["gradients"][-1] = 0.0
    found["buffers"] = _buffers(passes, sizes, layout)
    found["step"] = np.zeros(time.size)
    found["step"][-3:-1] = sizes["step"]
    found |= {name: np.full(time.size, float(rows[name])) for name in ("weights", "optimizer")}
    reserve = float(rows.pop("reserve"))
    less = float(footprint.total_bytes(rows)) - sum(found.values()).max()  # than if all were there at once
    found["reserve"] = np.full(time.size, reserve - layout.fragmentation * less)
    return {"time_s": time, "phase": phase} | {name: found[name] for name in ROWS}


def _one(layout):
    for field in fields(record("layout", layout, Layout, "Layout(seq_len=...)")):
        if np.ndim(getattr(layout, field.name)):
            raise ValueError(f"layout must be one, got an array as its {field.name}; the nearest is its first")


def total_bytes(held):
    """All that is held, at every time."""
    return sum(held[name] for name in ROWS)


def crest(held):
    """The line at which most is held, and how much: (place, bytes)."""
    total = total_bytes(held)
    at = int(np.argmax(total))
    return at, float(total[at])


# ---- the stage's passes


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """Passes of one stage in their order: columns, one element a pass."""

    start_s: np.ndarray
    end_s: np.ndarray
    forward: np.ndarray
    weights: np.ndarray  # is it one in which gradients of weights are made? Then activations go.
    inputs: np.ndarray  # one in which those of inputs are
    first: np.ndarray  # first of its chunk that makes gradients of weights
    embedding: np.ndarray  # has its chunk the embedding?
    head: np.ndarray
    sends: np.ndarray  # does its chunk send on what it has made?
    chunks: int


def _passes(layout, times, stage):
    schedule = SCHEDULES[int(code("schedule", layout.schedule, SCHEDULES))]
    ratio = (times.again_s + times.backward_s) / times.forward_s
    drawn = _timeline(schedule, int(layout.pp), int(layout.micro_batches), int(layout.vpp), ratio)
    mine = drawn["stage"] == stage
    kind, chunk = drawn["kind"][mine], drawn["chunk"][mine]
    unit_s, chunks = times.passes_s / drawn["end"].max(), int(drawn["chunk"].max()) + 1
    weights = np.isin(kind, ("backward", "weight gradient"))
    first = np.zeros(kind.size, dtype=bool)
    first[[np.flatnonzero(weights & (chunk == each))[0] for each in range(chunks)]] = True
    head = (chunk == chunks - 1) & (stage == layout.pp - 1)
    return _Passes(
        start_s=unit_s * drawn["start"][mine],
        end_s=unit_s * drawn["end"][mine],
        forward=kind == "forward",
        weights=weights,
        inputs=np.isin(kind, ("backward", "input gradient")),
        first=first,
        embedding=(chunk == 0) & (stage == 0),
        head=head,
        sends=np.logical_not(head),
        chunks=chunks,
    )


@cache
def _timeline(schedule, stages, micro_batches, chunks, backward_over_forward):
    one_of("schedule of a clock", schedule, splitting.DRAWN)
    chunks = chunks if schedule == "interleaved" else 1
    return splitting.timeline(schedule, stages, micro_batches, chunks, min(max(backward_over_forward, 0.01), 100))


# ---- what comes and goes


def _sizes(model, layout, stage, rows, passes):
    """Bytes of each thing that comes and goes; `pieces`: layers of a chunk, between which the clock is read."""
    pieces = max(int(np.ceil(float(stage_layers(model, layout, stage)[1]) / passes.chunks)), 1)
    layers = pieces * passes.chunks
    return (
        {"pieces": pieces}
        | _activations(model, layout, stage, layers)
        | _logits(layout, rows)
        | _gradients(model, layout, stage, rows, layers)
        | _gathered(model, layout, stage, rows)
    )


def _activations(model, layout, stage, layers):
    """A layer's, the head's input, what is sent on, and what a layer has beyond while it is done again.

    As a difference: two micro-batches of GPipe have twice the layers' of one, but one head's input at work.
    """
    alone = replace(layout, micro_batches=1, bytes_per_logit=NO_LOGITS, keeps_outputs=False)
    two = replace(alone, micro_batches=2, schedule="gpipe")
    sending = replace(alone, keeps_outputs=layout.keeps_outputs)
    one, two, sending = (footprint.training_rows(model, x, stage=stage) for x in (alone, two, sending))
    all_layers = float(two["activations"] - one["activations"])
    return {
        "activations": all_layers / layers,
        "head input": float(one["activations"]) - all_layers,
        "sent": float(sending["activations"] - one["activations"]),
        "recomputation": float(one["recomputation"]),
    }


def _logits(layout, rows):
    """While their gradient is made, and while they wait for that; a loss in parts makes it at once, and lets them go."""
    waiting = min(1.0, WAITING_BYTES / layout.bytes_per_logit) if layout.loss_parts == 1 else 0.0
    return {"logits": float(rows["logits"]), "waiting logits": float(rows["logits"]) * waiting}


def _gradients(model, layout, stage, rows, layers):
    """A layer's, the embedding's, the head's, as parts of all parameters; and what the optimiser has where states are.

    Adapters are in layers alone. Where the embedding and the head are one matrix, it is the head's.
    """
    params = footprint.stage_params(model, layout, stage)
    ends = 0.0 if layout.lora_rank else float(params["embeddings"])
    head = min(model.head_params / layout.tp, ends) if stage == layout.pp - 1 else 0.0
    whole = float(params["blocks"] + params["experts"]) + ends
    each = float(rows["gradients"]) / whole
    recipe = RECIPES[CHOICES["recipe"][int(code("recipe", layout.recipe, CHOICES["recipe"]))]]
    copies = recipe.step_bytes / recipe.state_bytes if recipe.step_bytes else 0.0
    return {
        "layer gradients": each * (whole - ends) / layers,
        "head gradients": each * head,
        "embedding gradients": each * (ends - head),
        "step": float(rows["optimizer"]) * copies,
    }


def _gathered(model, layout, stage, rows):
    """Buffers by when they are there. Without ZeRO 3 nothing is gathered; of frozen weights no gradient is."""
    plain = replace(layout, zero=0, offloaded_weights=0)
    adapted = layout if layout.lora_rank else replace(layout, lora_rank=1, frozen_bytes=layout.value_bytes)
    plain, frozen = (float(footprint.training_rows(model, x, stage=stage)["buffers"]) for x in (plain, adapted))
    return {
        "buckets": float(layout.bucket_bytes),
        "passes": plain - layout.bucket_bytes,  # the sequence that a product gathers, a matrix made wide
        "gathered weights": frozen - plain,
        "gathered gradients": float(rows["buffers"]) - frozen,
    }


# A pass is divided by these lines: before it, its start, the end of what comes first (embedding, or head), for each layer
# two (what is computed again; the rest), the end of what comes last, after it.
ENTRY, BEFORE_LAYERS, AFTER_LAYERS = 1, 3, 2


def _laid_out(passes, pieces, times):
    """(time_s, phase) of every line: each pass's, then the exchange and the optimiser."""
    forward = passes.forward[:, None]
    lasts = np.zeros((forward.size, BEFORE_LAYERS + 2 * pieces + AFTER_LAYERS))
    again = np.where(passes.inputs, times.again_s, 0.0)
    back = times.backward_s * np.where(passes.inputs & passes.weights, 1.0, 0.5)
    lasts[:, BEFORE_LAYERS:-AFTER_LAYERS:2] = np.where(forward, times.forward_s, again[:, None])
    lasts[:, BEFORE_LAYERS + 1 : -AFTER_LAYERS : 2] = np.where(forward, 0.0, back[:, None])
    ends = {"embedding": passes.embedding * times.embedding_s, "head": passes.head * times.head_s}
    share = np.where(passes.forward, FORWARD_SHARE, (1 - FORWARD_SHARE) * passes.inputs)
    lasts[:, BEFORE_LAYERS - 1] = share * np.where(passes.forward, ends["embedding"], ends["head"])
    lasts[:, -AFTER_LAYERS] = share * np.where(passes.forward, ends["head"], ends["embedding"])
    part = np.cumsum(lasts, axis=1)
    part /= part[:, -1:]
    time = passes.start_s[:, None] + (passes.end_s - passes.start_s)[:, None] * part
    work = np.repeat(np.where(forward, "forward", "backward"), time.shape[1], axis=1).astype("U9")
    work[:, -1] = np.where(np.append(passes.start_s[1:], times.passes_s) > passes.end_s, "", work[:, -1])
    end = times.passes_s + np.cumsum([0.0, times.exchange_s, 0.0, times.optimizer_s, 0.0])
    phase = [[""], work.ravel(), ["exchange", "exchange", "optimizer", "optimizer", ""]]
    return np.concatenate([[0.0], time.ravel(), end]), np.concatenate(phase)


def _changes(passes, sizes):
    """{row: bytes that come, or go, up to each line of each pass}."""
    shape = passes.forward.size, BEFORE_LAYERS + 2 * sizes["pieces"] + AFTER_LAYERS
    found = {name: np.zeros(shape) for name in ("activations", "logits", "recomputation", "gradients")}
    again, rest = slice(BEFORE_LAYERS, -AFTER_LAYERS, 2), slice(BEFORE_LAYERS + 1, -AFTER_LAYERS, 2)
    first, last = BEFORE_LAYERS - 1, -AFTER_LAYERS

    def put(name, where, line, amount):
        found[name][where, line] += amount

    put("activations", passes.forward, again, sizes["activations"])
    put("activations", passes.weights, rest, -sizes["activations"])
    put("activations", passes.forward & passes.sends, -1, sizes["sent"])
    put("activations", passes.inputs & passes.sends, -1, -sizes["sent"])  # till then its gradient is in its place
    put("activations", passes.forward & passes.head, last, sizes["head input"])
    put("activations", passes.inputs & passes.head, first, -sizes["head input"])
    put("logits", passes.forward & passes.head, last, sizes["waiting logits"])
    put("logits", passes.inputs & passes.head, ENTRY, sizes["logits"] - sizes["waiting logits"])
    put("logits", passes.inputs & passes.head, first, -sizes["logits"])
    put("recomputation", passes.inputs, again, sizes["recomputation"])
    put("recomputation", passes.inputs, rest, -sizes["recomputation"])
    put("gradients", passes.first, rest, sizes["layer gradients"])
    put("gradients", passes.first & passes.head, first, sizes["head gradients"])
    put("gradients", passes.first & passes.embedding, last, sizes["embedding gradients"])
    return found


def _over(passes, change):
    """What is there at every line, from what comes and goes: nothing at first, and after the passes what they leave."""
    there = np.cumsum(change.ravel())
    return np.concatenate([[0.0], there, np.full(5, there[-1])])


def _buffers(passes, sizes, layout):
    weights, gradients = sizes["gathered weights"], sizes["gathered gradients"]
    shape = passes.forward.size, BEFORE_LAYERS + 2 * sizes["pieces"] + AFTER_LAYERS
    at_work = np.where(passes.forward, weights, weights + gradients) + sizes["passes"]
    waiting = np.zeros((2, passes.forward.size))  # before a pass, and after it
    after = 0.0
    if layout.gathers_once:
        begun = np.cumsum(passes.weights)
        waiting = weights + gradients * np.array([begun - passes.weights > 0, begun > 0])
        at_work = waiting[1] + sizes["passes"]
        after = waiting[1, -1]
    found = np.repeat(at_work[:, None], shape[1], axis=1)
    found[:, 0], found[:, -1] = waiting
    start = waiting[0, 0]
    return sizes["buckets"] + np.concatenate([[start], found.ravel(), [after, after, 0.0, 0.0, 0.0]])
