"""Cache: a model that serves, as rows of bytes on one chip, and how many sequences and tokens fit.

`serving_rows(model, serving)` returns a dictionary, row -> bytes, whose values add up to what a chip holds.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import RANKS, numbers, positive, record, settle, switch
from bottlenecks.laws import memory
from bottlenecks.models.footprint import attention_values, shortfall_bytes, stage_parts, total_bytes
from bottlenecks.models.layouts import Layout, at_most, check_number, divides

INDEX_BYTES = 1 + 4 / 128  # of a value of an index's key: 8 bits, and a scale of 32 for each 128 (deepseek-v32)
LEFT_TO_OTHERS = ("attention_bytes", "embedding_bytes", "head_bytes", "state_values")  # fields that may be None


@dataclass(frozen=True, kw_only=True, eq=False)
class Serving:
    """A model at inference: how it is cut, in which formats, for how many sequences. Fields may be arrays."""

    tp: int = 1
    pp: int = 1
    ep: int = 1  # expert parallel, over groups of tp chips that each serve their own sequences
    batch: int = 1  # sequences in the cache of one group of tp x pp chips
    context: int  # tokens of each sequence, prompt and answer
    weight_bytes: float = 2
    attention_bytes: float | None = None  # of a weight of attention and of routers; None: as the others
    embedding_bytes: float | None = None  # of the input embedding
    head_bytes: float | None = None  # of the output head
    offloaded_weights: float = 0  # share of the weights that the host keeps
    cache_bytes: float = 2  # of a value in the cache
    full_windows: bool = False  # layers with a window keep every token too
    value_bytes: float = 2  # of an activation
    block: int = 1  # tokens of a block of the cache (eq:paged-tokens)
    prefix: int = 0  # tokens that all sequences share
    chunk: int = 1  # tokens that one pass works on: a decode step 1 a sequence, a prefill its chunk
    pass_tokens: int = 0  # tokens of prompts that the same pass reads beside them
    state_values: int | None = None  # of one recurrent layer and sequence; None: the model's
    fragmentation: float = 0
    overhead_bytes: float = 0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "full_windows":
                switch("Serving.full_windows", value)
            elif value is not None or field.name not in LEFT_TO_OTHERS:
                settle(self, field.name, check_number("Serving", field.name, value))
        at_most("tp x pp x ep", RANKS, self.tp, self.pp, self.ep)
        if np.any(np.greater(self.prefix, self.context)):
            raise ValueError(
                f"Serving.prefix must be at most context ({self.context!r}), got {self.prefix!r};"
                f" the nearest is {self.context!r}"
            )


def cache_bytes_per_token(model, *, tp=1, cache_bytes=2):
    """Bytes that one more token adds on one chip of `tp`, while it is within every window."""
    return context_bytes(model, 1, tp=tp, cache_bytes=cache_bytes)


def context_bytes(model, context, *, tp=1, cache_bytes=2):
    """Bytes of the cache of one sequence of `context` tokens on one chip of `tp`, in all layers: every form of attention."""
    record("model", model, Model, "model(name)")
    context, tp, cache_bytes = numbers(context=context, tp=tp, cache_bytes=cache_bytes)
    divides("tp", tp, f"heads of {model.name}", model.heads)
    return _caches(model, lambda most: memory.windowed_tokens(context, window=most), tp, cache_bytes)


def _caches(model, tokens, tp, cache_bytes):
    """Cache of all layers that keep keys: of every token, of pooled tokens, of a window, and the keys of an index.

    `tokens` tells how many tokens are kept where a layer keeps at most so many of a sequence. What layers borrow is kept
    once, by others; their windows are taken to be as frequent as everywhere.
    """
    attending, own = model.layers - model.ssm_layers, 1.0
    if np.any(model.borrowed_layers):
        own = 1 - model.borrowed_layers / attending
    local, coarse, pooled = model.local_layers, model.coarse_layers, model.pooled_tokens
    far = attending - local - coarse
    near = local + coarse + (0 if pooled is None else far)
    everything, pooled = tokens(np.inf), pooled or 1
    found = _cache(model, everything / pooled, far * own, tp, cache_bytes)
    if model.index_keys is not None:
        found = found + everything / pooled * far * model.index_values * INDEX_BYTES
    if np.any(coarse):
        found = found + _cache(model, everything / model.coarse_tokens, coarse, tp, cache_bytes)
    if np.any(near):
        found = found + _cache(model, tokens(model.sliding_window_tokens), near * own, tp, cache_bytes)
    return found


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
    weights = _weights(model, serving, 0)
    if np.any(np.greater(serving.pp, 1)):
        weights = np.maximum(weights, _weights(model, serving, serving.pp - 1))

    def tokens(context):
        prefix = np.minimum(serving.prefix, context)
        return 1.0 * memory.shared_prefix_tokens(
            serving.batch, memory.paged_tokens(context, block=serving.block), prefix=prefix
        )

    def within(window):
        return np.where(serving.full_windows, serving.context, memory.windowed_tokens(serving.context, window=window))

    kept = 0 if model.both_ways else 1  # who sees what comes later keeps nothing for it
    cache = kept * _caches(model, lambda window: tokens(within(window)), serving.tp, serving.cache_bytes)
    held = serving.state_values if serving.state_values is not None else model.state_values or 0
    state = memory.recurrent_state_bytes(
        serving.batch, layers=model.ssm_layers, state_values=held, value_bytes=serving.value_bytes
    )
    work = 1.0 * serving.batch * serving.chunk + serving.pass_tokens
    inner = (
        (model.ffn_width or 0)
        if model.experts is None
        else model.expert_width * (model.experts_per_token + model.shared_experts)
    )
    widest = 2 * model.width + np.maximum(2 * inner, attention_values(model, serving.tp)) / serving.tp
    logits = serving.batch * model.vocab / serving.tp * 4  # fp32, of the last token of each sequence
    rows = {
        "weights": weights,
        "cache": cache / serving.pp,
        "state": state / (serving.tp * serving.pp),
        "activations": work * widest * serving.value_bytes + logits,
    }
    used = total_bytes(rows)
    rows["reserve"] = (
        memory.reserved_bytes(used, fragmentation=serving.fragmentation, overhead_bytes=serving.overhead_bytes) - used
    )
    return rows


def _weights(model, serving, stage):
    """Bytes of the weights on a chip of a stage, each part as wide as it is kept."""
    layout = Layout(tp=serving.tp, pp=serving.pp, ep=serving.ep, dp=serving.ep, seq_len=1)
    wide = {"attention": serving.attention_bytes, "embedding": serving.embedding_bytes, "head": serving.head_bytes}
    wide = {part: serving.weight_bytes if width is None else width for part, width in wide.items()}
    parts = stage_parts(model, layout, stage).items()
    held = sum(params * wide.get(part, serving.weight_bytes) for part, params in parts)
    return held * (1 - serving.offloaded_weights)


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
