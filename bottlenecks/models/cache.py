"""Cache: a model that serves, as rows of bytes on one chip, and how many sequences and tokens fit.

`serving_rows(model, serving)` returns a dictionary, row -> bytes, whose values add up to what a chip holds.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import RANKS, numbers, positive, record, settle
from bottlenecks.laws import memory
from bottlenecks.models.footprint import attention_values, shortfall_bytes, stage_params, total_bytes
from bottlenecks.models.layouts import Layout, at_most, check_number, divides


@dataclass(frozen=True, kw_only=True, eq=False)
class Serving:
    """A model at inference: how it is cut, in which formats, for how many sequences. Fields may be arrays."""

    tp: int = 1
    pp: int = 1
    ep: int = 1  # expert parallel, over groups of tp chips that each serve their own sequences
    batch: int = 1  # sequences in the cache of one group of tp x pp chips
    context: int  # tokens of each sequence, prompt and answer
    weight_bytes: float = 2
    cache_bytes: float = 2  # of a value in the cache
    value_bytes: float = 2  # of an activation
    block: int = 1  # tokens of a block of the cache (eq:paged-tokens)
    prefix: int = 0  # tokens that all sequences share
    chunk: int = 1  # tokens that one pass works on: a decode step 1 a sequence, a prefill its chunk
    state_values: int = 0  # of one recurrent layer and sequence
    fragmentation: float = 0
    overhead_bytes: float = 0

    def __post_init__(self):
        for field in fields(self):
            settle(self, field.name, check_number("Serving", field.name, getattr(self, field.name)))
        at_most("tp x pp x ep", RANKS, self.tp, self.pp, self.ep)
        if np.any(np.greater(self.prefix, self.context)):
            raise ValueError(
                f"Serving.prefix must be at most context ({self.context!r}), got {self.prefix!r};"
                f" the nearest is {self.context!r}"
            )


def cache_bytes_per_token(model, *, tp=1, cache_bytes=2):
    """Bytes that one more token adds on one chip of `tp`, while it is within every window."""
    record("model", model, Model, "model(name)")
    tp, cache_bytes = numbers(tp=tp, cache_bytes=cache_bytes)
    divides("tp", tp, f"heads of {model.name}", model.heads)
    layers = model.layers - model.ssm_layers
    return _cache(model, 1, layers, tp, cache_bytes)


def _cache(model, tokens, layers, tp, cache_bytes):
    if model.attention == "MLA":
        return memory.latent_cache_bytes(
            tokens,
            layers=layers,
            latent_values=model.kv_lora_rank,
            rope_values=model.qk_rope_values,
            value_bytes=cache_bytes,
        )
    heads = np.maximum(model.kv_heads, tp) / tp  # below one head for a chip, heads are copied
    return memory.kv_cache_bytes(
        tokens, layers=layers, kv_heads=heads, head_values=model.head_values, value_bytes=cache_bytes
    )


def serving_rows(model, serving):
    """Bytes on one chip: weights, cache, state, activations, reserve, which add up to the total.

    Stages are taken as equal: each holds its part of the layers and of the cache.
    """
    record("model", model, Model, "model(name)")
    record("serving", serving, Serving, "Serving(context=...)")
    if np.any(model.encoder_layers):
        raise ValueError(f"{model.name}: two stacks of layers are not modelled, only a decoder")
    divides("tp", serving.tp, f"heads of {model.name}", model.heads)
    layout = Layout(tp=serving.tp, pp=serving.pp, ep=serving.ep, dp=serving.ep, seq_len=1)
    params = total_bytes(stage_params(model, layout, 0))
    if np.any(np.greater(serving.pp, 1)):
        params = np.maximum(params, total_bytes(stage_params(model, layout, serving.pp - 1)))

    def tokens(context):
        prefix = np.minimum(serving.prefix, context)
        return 1.0 * memory.shared_prefix_tokens(
            serving.batch, memory.paged_tokens(context, block=serving.block), prefix=prefix
        )

    attending = model.layers - model.ssm_layers
    local = model.local_layers
    cut = serving.tp, serving.cache_bytes
    cache = _cache(model, tokens(serving.context), attending - local, *cut)
    if np.any(local):
        window = memory.windowed_tokens(serving.context, window=model.sliding_window_tokens)
        cache = cache + _cache(model, tokens(window), local, *cut)
    state = memory.recurrent_state_bytes(
        serving.batch, layers=model.ssm_layers, state_values=serving.state_values, value_bytes=serving.value_bytes
    )
    work = 1.0 * serving.batch * serving.chunk
    inner = (
        (model.ffn_width or 0)
        if model.experts is None
        else model.expert_width * (model.experts_per_token + model.shared_experts)
    )
    widest = 2 * model.width + np.maximum(2 * inner, attention_values(model, serving.tp)) / serving.tp
    logits = serving.batch * model.vocab / serving.tp * 4  # fp32, of the last token of each sequence
    rows = {
        "weights": params * serving.weight_bytes,
        "cache": cache / serving.pp,
        "state": state / (serving.tp * serving.pp),
        "activations": work * widest * serving.value_bytes + logits,
    }
    used = total_bytes(rows)
    rows["reserve"] = (
        memory.reserved_bytes(used, fragmentation=serving.fragmentation, overhead_bytes=serving.overhead_bytes) - used
    )
    return rows


def largest_batch(model, serving, *, memory_bytes):
    """Most sequences of `serving.context` tokens that fit, 0 where the weights alone do not."""
    record("serving", serving, Serving, "Serving(context=...)")
    one, two = (total_bytes(serving_rows(model, replace(serving, batch=batch))) for batch in (1, 2))
    room = positive("memory_bytes", memory_bytes) - (2 * one - two)  # rows grow evenly with the batch
    return np.maximum(np.floor(room / (two - one)), 0)


def largest_context(model, serving, *, memory_bytes, most=2**40):
    """Most tokens of each of `serving.batch` sequences that fit, from 0 up to `most`."""
    serving = replace(record("serving", serving, Serving, "Serving(context=...)"), prefix=0)
    memory_bytes, most = positive("memory_bytes", memory_bytes), positive("most", most, most=2**40)
    fits, too_many = np.zeros_like(memory_bytes + 0.0 * serving.batch), most + 1.0
    for _ in range(int(np.ceil(np.log2(most)))):  # halves the range each time
        middle = np.floor((fits + too_many) / 2)
        rows = serving_rows(model, replace(serving, context=np.maximum(middle, 1)))
        enough = shortfall_bytes(rows, memory_bytes) <= 0
        fits, too_many = np.where(enough, middle, fits), np.where(enough, too_many, middle)
    return fits
