r"""Inference: a prefill and a decode step, on a chip or cut over many.

A `Plan` says how the model is cut, in which formats it is kept, and which software runs it. A pass is the
ledger of `ops`, each row cut to one chip's part (`cut`) and timed on a `Machine`, with the collectives between the
rows (`exchange`). Batch, context and any field of a machine or of a plan's layout may be arrays.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import RANKS, numbers, one_of, positive, record, settle, share, shown, switch
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.models import cut, engines, kernels, ops
from bottlenecks.models.exchange import exchange_s
from bottlenecks.models.layouts import at_most, divides
from bottlenecks.models.machine import Machine, rows_s
from bottlenecks.models.sets import distinct, swept
from bottlenecks.models.software import SERVER, Software
from bottlenecks.models.wiring import send_s

PART = 1024  # tokens of a prompt's part on a pipeline
LONG = 4096  # elements from where on repeated batches are timed once
STATIONARY = ("1-D", "2-D", "gathered")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How a model is cut over chips to serve, and in which formats it is kept."""

    tp: int = 1  # tensor parallel: heads and columns
    pp: int = 1  # pipeline stages
    ep: int = 1  # experts cut over groups of tp chips, each of which serves its own sequences
    weight_format: str = "bf16"
    head_format: str | None = None  # of the output head; None: as the other weights
    cache_format: str = "bf16"
    # "2-D": weights cut both ways, the cache by sequences; "gathered": tokens cut, weights fetched
    stationary: str = "1-D"
    parallel_block: bool = False  # attention and feed-forward side by side, one reduction for both
    overlap: float = 0.0  # share of the exchange that runs beside kernels
    software: Software = SERVER  # which runs a model's rows as they are

    def __post_init__(self):
        for name in ("tp", "pp", "ep"):
            settle(self, name, positive(f"Plan.{name}", getattr(self, name), most=RANKS, whole=True))
        at_most("Plan: tp x pp x ep", RANKS, self.tp, self.pp, self.ep)
        for name in ("weight_format", "head_format", "cache_format"):
            if name != "head_format" or self.head_format is not None:
                bytes_per_value(getattr(self, name))
        switch("Plan.parallel_block", self.parallel_block)
        settle(self, "overlap", share("Plan.overlap", self.overlap, zero_allowed=True))
        record("Plan.software", self.software, Software, "release(name)")
        one_of("Plan.stationary", self.stationary, STATIONARY)

    @property
    def chips(self):
        """Chips of the plan."""
        return self.tp * self.pp * self.ep


class Pass(NamedTuple):
    """Seconds of one pass through a model, by what it waits for. All stages, one after the other."""

    layers_s: float
    ends_s: float  # embedding, head
    exchange_s: float  # collectives of the layers
    transfer_s: float  # between stages
    host_s: float  # of the host's own work, what outlasts the chips'

    @property
    def seconds(self):
        """From start to end, through all stages."""
        return sum(self)


# ---- one pass


def checked(model, plan, on, **sizes):
    """Some sizes as numbers; an error where a model, a plan and a machine do not go together."""
    record("model", model, Model, "model(name)")
    record("plan", plan, Plan, "Plan()")
    record("on", on, Machine, "machine(chip)")
    if type(plan.pp) is not int or plan.pp > 1:
        _at_most("pp", plan.pp, model.layers, f"layers of {model.name}")
    if type(plan.ep) is not int or plan.ep > 1:
        _at_most("ep", plan.ep, model.experts or 1, f"experts of {model.name}")
    if plan.stationary == "1-D" and (type(plan.tp) is not int or plan.tp > 1):
        divides("tp", plan.tp, f"heads of {model.name}", model.heads)
    return numbers(zero=("cached", "drafted"), **sizes)


def _at_most(name, parts, whole, what):
    if np.any(np.greater(parts, whole)):
        raise ValueError(f"Plan.{name} must be at most the {what} ({shown(whole)}), got {shown(parts)}")


def rows(model, plan, on, *, batch, queries, keys, logits="last", which="all"):
    """The ledger of a pass, cut to one chip's part; `batch` counts the sequences of a group of tp x pp chips.

    `which` of the rows: all, those of attention, or the others (`ops.forward`).
    """
    checked(model, plan, on)
    if plan.software.every_expert and model.experts:
        model = replace(model, experts_per_token=model.experts)
    whole = ops.forward(
        model,
        batch=batch,
        queries=queries,
        keys=keys,
        logits=logits,
        absorbed=np.max(queries) <= kernels.DECODING,
        format=on.format,
        product_format=on.product_format if bytes_per_value(plan.weight_format) < 2 else None,
        weight_format=plan.weight_format,
        head_format=plan.head_format,
        cache_format=plan.cache_format,
        rows=which,
    )
    if plan.parallel_block:  # one norm and one sum for both
        whole = [op for op in whole if (op.name, op.part) not in _SECOND]
    mine = [_part(op, model, plan, batch * queries) for op in whole]
    return [each for op in mine for each in engines.kernels(op, plan.software)]


_SECOND = (("feed-forward norm", "feed-forward"), ("residual add", "attention"))


def _part(op, model, plan, tokens):
    """One chip's part of a row, by what the plan keeps in place."""
    if plan.stationary == "gathered":
        return cut.by_tokens(op, tp=plan.tp)
    if plan.stationary == "2-D":
        return cut.two_dimensional(op, model, tp=plan.tp, ep=plan.ep, tokens=tokens)
    return cut.one_dimensional(op, model, tp=plan.tp, ep=plan.ep, tokens=tokens)


def ledger_s(rows, on):
    """Seconds of each row of a pass, in order."""
    each = rows_s(rows, on)
    starts = [op.calls * on.routing_s if op.routing == "dispatch" else 0.0 for op in rows]
    return [seconds + start for seconds, start in zip(each, starts, strict=True)]


def one_pass(model, plan, on, *, batch, queries, keys, logits="last"):
    """A `Pass` of `queries` new tokens in each of `batch` sequences of `keys` tokens."""
    batch, queries, keys = checked(model, plan, on, batch=batch, queries=queries, keys=keys)
    attending = attention_s(model, plan, on, batch=batch, queries=queries, keys=keys)
    few, places = _few(batch, queries, model, plan, on)
    made = {"queries": queries, "keys": queries, "logits": logits, "which": "others"}
    layers_s = ends_s = 0.0
    ledger = rows(model, plan, on, batch=few, **made)
    for op, seconds in zip(ledger, ledger_s(ledger, on), strict=True):
        if op.part in ops.ENDS:
            ends_s = ends_s + seconds
        else:
            layers_s = layers_s + seconds
    tokens = few * queries
    transfer = bytes_per_value(on.format) * tokens * model.width / plan.tp
    transfer_s = 0.0
    if np.any(np.greater(plan.pp, 1)):
        transfer_s = (plan.pp - 1) * send_s("p2p", transfer, np.minimum(plan.pp, 2), on=on)
    exchanged_s = exchange_s(model, plan, on, tokens=tokens)
    if places is not None:
        layers_s, ends_s, exchanged_s, transfer_s = (
            each[places] if np.ndim(each) else each for each in (layers_s, ends_s, exchanged_s, transfer_s)
        )
    layers_s = layers_s + attending
    if plan.stationary == "gathered":  # the next layer's weights come while this one computes
        exchanged_s = np.maximum(exchanged_s - layers_s, 0)
    # The host launches the next layers while the chips work: the longer of the two counts.
    host_s = model.layers * plan.software.host_layer_s * on.host_waits
    exposed_s = np.maximum(host_s - layers_s - ends_s - exchanged_s - transfer_s, 0)
    return Pass(layers_s, ends_s, exchanged_s, transfer_s, exposed_s)


def attention_s(model, plan, on, *, batch, queries, keys):
    """Seconds of the attention of all layers: what alone depends on the context."""
    batch, queries, keys = checked(model, plan, on, batch=batch, queries=queries, keys=keys)
    ledger = rows(model, plan, on, batch=batch, queries=queries, keys=keys, logits="none", which="attention")
    return sum(ledger_s(ledger, on), 0.0)


def _few(batch, queries, model, plan, on):
    """(distinct batches, where each goes) if a long array repeats few of them, else (batch, None)."""
    if np.size(batch) < LONG or np.ndim(queries) or any(swept(record) for record in (model, plan, on)):
        return batch, None
    places, (known,) = distinct(batch)
    return (known, places) if 4 * known.size < np.size(batch) else (batch, None)


def decode(model, plan, on, *, batch, context):
    """A `Pass` that yields one token for each of `batch` sequences, `context` tokens with the new one."""
    batch, context = checked(model, plan, on, batch=batch, context=context)
    return one_pass(model, plan, on, batch=batch, queries=1, keys=context)


def prefill(model, plan, on, *, batch, prompt, cached=0):
    """A `Pass` over `prompt` tokens of each sequence, beyond `cached` ones that the cache holds."""
    batch, prompt, cached = checked(model, plan, on, batch=batch, prompt=prompt, cached=cached)
    return one_pass(model, plan, on, batch=batch, queries=prompt, keys=prompt + cached)


def decode_s(model, plan, on, *, batch, context):
    """Seconds between two tokens of each of `batch` sequences that start and end together.

    Over pipeline stages the batch goes whole or in as many parts as stages, whichever is sooner.
    """
    batch, context = checked(model, plan, on, batch=batch, context=context)
    whole = decode(model, plan, on, batch=batch, context=context)
    if np.all(np.equal(plan.pp, 1)):
        return whole.seconds
    parts = np.minimum(plan.pp, batch)
    part = decode(model, plan, on, batch=batch / parts, context=context)
    return np.minimum(whole.seconds, _staged_s(part, plan, parts))


def prefill_s(model, plan, on, *, batch, prompt, cached=0):
    """Seconds until `batch` prompts are read, on a pipeline in parts of about `PART` tokens."""
    batch, prompt, cached = checked(model, plan, on, batch=batch, prompt=prompt, cached=cached)
    if np.all(np.equal(plan.pp, 1)):
        return prefill(model, plan, on, batch=batch, prompt=prompt, cached=cached).seconds
    parts = np.clip(np.ceil(batch * prompt / PART), np.minimum(plan.pp, batch), batch)
    part = prefill(model, plan, on, batch=batch / parts, prompt=prompt, cached=cached)
    return _staged_s(part, plan, parts)


def _staged_s(part, plan, parts):
    """Seconds of `parts` passes one behind the other through the stages (a pipeline's fill and drain)."""
    return part.seconds + (parts - 1) * slowest_stage_s(part, plan)


def slowest_stage_s(part, plan):
    """Seconds of a pass on the last stage, which has the head: how often a pipeline yields."""
    layers = (part.layers_s + part.exchange_s) / plan.pp
    sent = part.transfer_s / np.maximum(plan.pp - 1, 1)
    return layers + part.ends_s + sent + part.host_s
