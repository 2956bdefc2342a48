r"""The training step: seconds of one optimiser step of a model, cut in a layout, on a machine.

`step(model, layout, on=machine(...), software="2024")` returns named rows of exposed seconds that add up to
the step: a waterfall from arithmetic at the peak to what the clock says. Every field of the layout
may be an array. What depends on few fields (a layer's kernels, its messages) is timed once for each
distinct set of them, so that a million layouts cost little more than one.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import code, one_of, record
from bottlenecks.laws import launches, pipelines, recomputation
from bottlenecks.laws.pipelines import DUALPIPE, INTERLEAVED, SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, states
from bottlenecks.models.layer import NAMES, UNFUSED_KERNELS, WEIGHT_CALLS, layer
from bottlenecks.models.layouts import Layout, fullest_stages
from bottlenecks.models.machine import Machine
from bottlenecks.models.sets import answered
from bottlenecks.models.software import release
from bottlenecks.models.wiring import near, send_s

ROWS = (
    "arithmetic at the peak",
    "products below the peak",
    "attention beyond the peak",
    "elementwise",
    "recomputation",
    "logits and embedding",
    "launches",
    "tensor parallel",
    "context parallel",
    "expert parallel",
    "pipeline sends",
    "uneven stages",
    "pipeline bubble",
    "data parallel",
    "slowed by communication",
    "optimiser",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One optimiser step: exposed seconds by row, and what they come to."""

    rows: dict  # of ROWS, in the waterfall's order: they add up to the step
    tokens: np.ndarray  # of the step, all chips
    chips: np.ndarray
    model_flop: np.ndarray  # of the step, all chips; causal half of attention, nothing twice
    full_flop: np.ndarray  # the same with the whole square of attention
    hardware_flop: np.ndarray  # full_flop and what is computed again
    peak_flop_per_s: float
    memory: dict | None = None  # footprint.training_rows
    shortfall_bytes: np.ndarray | None = None  # zero or less: fits

    @property
    def seconds(self):
        return sum(self.rows.values())

    @property
    def tokens_per_s(self):
        """Of one chip."""
        return self.tokens / self.seconds / self.chips

    def utilisation(self, counted="model"):
        """Share of the peak: "model" (MFU, causal half), "full" (MFU, whole square), "hardware" (HFU)."""
        named = {"model": self.model_flop, "full": self.full_flop, "hardware": self.hardware_flop}
        flop = named[one_of("counted", counted, named)]
        return flop / (self.seconds * self.chips * self.peak_flop_per_s)

    @property
    def mfu(self):
        return self.utilisation("model")

    @property
    def hfu(self):
        return self.utilisation("hardware")

    @property
    def fits(self):
        return self.shortfall_bytes <= 0


def step(model, layout, *, on, software, memory=True, memo=None):
    """The step of a model in a layout (`layouts.Layout`, fields may be arrays) on a `Machine`.

    `software`: a `Software`, or the name of one (`software.release`). `memo`: a dictionary of the caller's, to
    time what chunks of one search share only once.
    """
    _checked(model, layout, on)
    software = release(software, on.family)
    kept = footprint.training_rows(model, layout) if memory else None
    short = footprint.shortfall_bytes(kept, on.memory_bytes) if memory else None
    rows, flop = _rows(model, layout, on, software, memo)
    sequences = layout.micro_batch * layout.micro_batches * layout.dp
    return Step(
        rows=rows,
        tokens=sequences * layout.seq_len,
        chips=layout.chips,
        peak_flop_per_s=on.peak_flop_per_s,
        memory=kept,
        shortfall_bytes=short,
        **flop,
    )


def seconds(model, layout, *, on, software, memo=None):
    """Seconds of a step alone: the sum of its rows, without making them."""
    _checked(model, layout, on)
    parts = _parts(model, layout, on, release(software, on.family), memo)[1]
    return sum(value for name, value in parts.items() if name != "uneven")


def _checked(model, layout, on):
    record("model", model, Model, "model(name)")
    record("layout", layout, Layout, "Layout(seq_len=...)")
    record("on", on, Machine, "machine(chip)")


# ---- a micro-batch of a layer


def _micro(model, x, on, software, memo):
    """Seconds of a layer and micro-batch by name, all passes: `sets.Answers`."""

    def timed_micro(**few):
        return _timed_micro(model, on, software, memo, **few)

    policy = code("recompute", x.recompute, POLICIES)
    both_ways = code("schedule", x.schedule, SCHEDULES) == DUALPIPE
    columns = {name: getattr(x, name) for name in NAMES}
    adapted = np.greater(x.lora_rank, 0)
    return answered(timed_micro, on, memo, **columns, policy=policy, both_ways=both_ways, adapted=adapted)


def _timed_micro(model, on, software, memo, policy, both_ways, adapted, **few):
    one = layer(model, SimpleNamespace(**few), on, software, memo)
    again = recomputation.repeats(policy)
    forward = {name: one[name] for name in ("products_s", "attention_s", "elementwise_s")}
    forward_s, again_s = sum(forward.values()), recomputation.again_s(again, **forward)
    weights_s = np.where(adapted, 0.0, one["weight_gradients_s"])  # adapters' own are too thin to count
    products_s = one["products_s"] + weights_s + one["input_gradients_s"]
    attention_s = one["attention_s"] + one["attention_gradients_s"]
    elementwise_s = one["elementwise_s"] + one["elementwise_gradients_s"]
    busy_s = products_s + attention_s + elementwise_s + again_s
    sends = _exposed_sends(one, again, on, software, busy_s, few, both_ways, policy)
    hidden_s = sends["tensor hidden"] + sends["context hidden"] + sends["experts hidden"]
    open_s = sends["tensor"] + sends["context"] + sends["experts"]
    waits_s = _exposed_launches(one, again, on, software, busy_s, open_s)
    stolen_s = software.stolen * hidden_s
    flop = _flop(model, one, again, few["seq_len"], np.where(adapted, 2, 3))
    peak = on.peak_flop_per_s
    ends_peak = flop["ends_flop"] / peak
    products_peak, attention_peak = flop["products_flop"] / peak, 3 * one["attention_flop"] / peak
    return flop | {
        "peak": products_peak + attention_peak,
        "ends_peak": ends_peak,
        "products": products_s - products_peak,
        "attention": attention_s - attention_peak,
        "elementwise": elementwise_s,
        "again": again_s,
        "launches": waits_s,
        "tensor": sends["tensor"],
        "context": sends["context"],
        "experts": sends["experts"],
        "stolen": stolen_s,
        "each": busy_s + waits_s + open_s + stolen_s,
        "ends": one["ends_s"],
        "embedding": one["embedding_s"],
        "forward": forward_s / busy_s,
        "weights": weights_s + WEIGHT_CALLS * waits_s,
    }


def _exposed_sends(one, again, on, software, busy_s, few, both_ways, policy):
    """Seconds of a layer's exchanges that computing does not hide, and those that it does, by dimension."""
    every = layer_sends(
        {n: one[f"{n}_s"] for n in ("tensor", "gather", "context", "experts")}, again, software, few["sp"], policy
    )
    tensor, context, experts = (every[name] for name in ("tensor", "context", "experts"))
    # pieces are written into a neighbour's memory, which only a domain's links can
    overlaps = software.overlaps_tensor * np.less_equal(few["tp"], on.domain)
    tensor_hidden = np.minimum(overlaps * tensor, one["products_s"] + one["input_gradients_s"])
    beside = (1 + again.attention) * one["attention_s"] + one["attention_gradients_s"]
    context_open = np.maximum(context - beside, context / few["cp"])
    # running both ways, one direction computes while the other sends: deepseek2024v3, section 3.2
    experts_hidden = np.minimum(np.where(both_ways, experts, 0.0), busy_s)
    return {
        "tensor": tensor - tensor_hidden,
        "tensor hidden": tensor_hidden,
        "context": context_open,
        "context hidden": context - context_open,
        "experts": experts - experts_hidden,
        "experts hidden": experts_hidden,
    }


def layer_sends(one, again, software, sp, policy):
    """A layer's exchanges in all passes of a micro-batch, from each of them once (`layer.messages`)."""
    # keys and values go around forward, twice backward, and once more where attention is done again
    repeated = again.attention * ((policy == POLICIES.index("full")) | (software.attention != "unfused"))
    twice = 4 + 2 * again.exchanges  # two exchanges a pass
    return {
        # with the sequence cut, what a product read is gathered again
        "tensor": twice * one["tensor"] + np.where(sp, 2 * one["gather"], 0),
        "context": (3 + repeated) * one["context"],
        "experts": twice * one["experts"],
    }


def _exposed_launches(one, again, on, software, busy_s, open_s):
    """Seconds that the chip waits for the processor, which runs ahead while exchanges are open (eq:processor-ahead)."""
    call_s, selective = software.host_s * on.host_waits, again.attention * (again.products == 0)
    calls = one["launches"] * (1 + again.launches) + one["launches_back"] + selective * UNFUSED_KERNELS
    return launches.exposed_launches_s(calls, call_s=call_s, busy_s=busy_s + open_s)


def _flop(model, one, again, seq_len, passes):
    """Operations of a layer and micro-batch on one chip: needed, with attention's square, done again; of the ends."""
    products = passes * one["products_flop"]
    square = one["attention_flop"]
    if not np.any(model.local_layers) and not model.both_ways:
        square = 2 * square * seq_len / (seq_len + 1)
    repeated = again.products * one["products_flop"] + again.attention * square
    return {
        "products_flop": products,
        "model_flop": products + 3 * one["attention_flop"],
        "full_flop": products + 3 * square,
        "again_flop": repeated,
        "ends_flop": 3 * one["ends_flop"],
    }


# ---- the stages


def _parts(model, x, on, software, memo):
    """What a step consists of: (seconds of a layer and micro-batch, {part: seconds})."""
    micro = _micro(model, x, on, software, memo)
    each, ends, embedding, forward = (micro[name] for name in ("each", "ends", "embedding", "forward"))
    m, p = x.micro_batches, x.pp
    most, last = fullest_stages(model, x)
    mean_s = (model.layers * each + ends + embedding) / p
    slowest_s = pipelines.slowest_stage_s(each, embedding, ends, most=most, last=last, stages=p, schedule=x.schedule)
    idle_s = pipelines.bubble_s(
        forward * mean_s,
        (1 - forward) * mean_s,
        micro["weights"] * model.layers / p,
        stages=p,
        chunks=x.vpp,
        micro_batches=m,
        schedule=x.schedule,
    )
    sends_s, sends_hidden_s = _sends(model, x, on, software, memo)
    exposed_s, hidden_s, update_s = states.exchange_s(
        model, x, on, software, stage_s=mean_s, forward_share=forward, memo=memo
    )
    return micro, {
        "stages": m * slowest_s,
        "uneven": m * (slowest_s - mean_s),
        "bubble": idle_s,
        "sends": sends_s,
        "data": exposed_s,
        "stolen": software.stolen * (hidden_s + sends_hidden_s),
        "update": update_s,
    }


def _rows(model, layout, on, software, memo=None):
    x = layout
    per, parts = _parts(model, x, on, software, memo)
    m, p = x.micro_batches, x.pp
    layers = m * (model.layers / p)
    rows = {
        "arithmetic at the peak": layers * per["peak"] + m * per["ends_peak"] / p,
        "products below the peak": layers * per["products"],
        "attention beyond the peak": layers * per["attention"],
        "elementwise": layers * per["elementwise"],
        "recomputation": layers * per["again"],
        "logits and embedding": m * (per["ends"] + per["embedding"] - per["ends_peak"]) / p,
        "launches": layers * per["launches"],
        "tensor parallel": layers * per["tensor"],
        "context parallel": layers * per["context"],
        "expert parallel": layers * per["experts"],
        "pipeline sends": parts["sends"],
        "uneven stages": parts["uneven"],
        "pipeline bubble": parts["bubble"],
        "data parallel": parts["data"],
        "slowed by communication": layers * per["stolen"] + parts["stolen"],
        "optimiser": parts["update"],
    }
    ranks = x.tp * x.cp * x.dp * m  # chips that do a layer, times micro-batches
    flop = {
        "model_flop": ranks * (model.layers * per["model_flop"] + per["ends_flop"]),
        "full_flop": ranks * (model.layers * per["full_flop"] + per["ends_flop"]),
    }
    flop["hardware_flop"] = flop["full_flop"] + ranks * model.layers * per["again_flop"]
    return rows, flop


def _sends(model, x, on, software, memo):
    """(exposed, hidden) seconds of a step's activations and gradients between stages."""

    def timed_sends(**few):
        return {"each": stage_send(model, on, software, **few)}

    each = answered(timed_sends, on, memo, **stage_sizes(x, on))["each"]
    interleaved = code("schedule", x.schedule, SCHEDULES) == INTERLEAVED
    pairs = 2 * x.micro_batches * pipelines.passes(x.vpp, schedule=x.schedule)
    hidden = np.where(interleaved & software.overlaps_sends, pairs * each, 0.0)
    filling = 2 * (x.pp - 1) * each
    return pairs * each - hidden + filling, hidden


def stage_sizes(x, on):
    """What the exchange between two stages depends on."""
    tokens, stream = x.micro_batch * x.seq_len / x.cp, np.where(x.sp, x.tp, 1)
    apart = np.minimum(x.tp * x.cp * x.dp, _widest(on))
    return {"tokens": tokens, "stream": stream, "tp": x.tp, "apart": apart, "several": x.pp > 1}


def _widest(on):
    """Chips between two stages from which on it does not matter how many more there are."""
    return max((np.max(tier.ranks) for tier in on.tiers if tier.ranks is not None), default=1)


def stage_send(model, on, software, tokens, stream, tp, apart, several, send=send_s):
    """One micro-batch's activations, or their gradients, to the next stage, as `send` counts (`layer.messages`)."""
    message = on.bytes_per_value * tokens * model.width / (tp if software.scatters_sends else stream)
    close = np.where(apart < on.domain, 2, near(on, apart))  # stages that a border of domains cuts count as near
    each = send("p2p", message, 1.0 + several, on=on, per_domain=close)
    gather = send("all_gather", message * tp, tp, on=on)
    return each + np.where((stream < tp) & software.scatters_sends, gather, 0) * several
