"""Exercises of chapter 02, What does a transformer ask for?"""

import numpy as np

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import counting
from bottlenecks.lessons.checks import Exercise
from bottlenecks.models import ops


def cache_bytes_per_token(name):
    """Bytes that one token leaves in the cache of a model, 16 bits a value."""
    return ops.total(ops.decode(model(name), batch=1, context_tokens=1024), "cache_bytes") / 1024


def sequences_beside_weights(name, chip_name, tokens):
    """Whole sequences of `tokens` whose cache fits beside the weights, 16 bits a value."""
    free = chip(chip_name).memory_bytes - 2 * model(name).params
    return np.floor(free / (tokens * cache_bytes_per_token(name)))


def even_tokens(name):
    """Length of a sequence at which causal attention costs what the products with weights cost."""
    m = model(name)
    return m.layer_params / (m.heads * m.head_values)


def kv_heads_for_half(name, batch, tokens):
    """The most key-value heads that divide the query heads and at least halve a decode step's bytes."""
    m = model(name)
    rows = ops.decode(m, batch=batch, context_tokens=tokens)
    cache = ops.total(rows, "cache_bytes")
    most = (ops.total(rows, "bytes") / 2 - (ops.total(rows, "bytes") - cache)) / cache * m.kv_heads
    return max(k for k in range(1, m.heads + 1) if m.heads % k == 0 and k <= most)


Exercise(
    id="03.1",
    unit="",
    hint="Four matrices: queries, keys, values, output.",
    expected=lambda: model("Llama-3-70B").attention_params,
)
Exercise(
    id="03.2",
    unit="B",
    hint="Keys and values, for each of their heads, in each layer.",
    expected=lambda: cache_bytes_per_token("Llama-3-70B"),
)
Exercise(
    id="03.3",
    unit="",
    hint="Subtract the weights from the memory, divide by the cache of a whole sequence.",
    expected=lambda: sequences_beside_weights("Llama-3-8B", "H100 SXM5", 8192),
    rtol=0.005,
)
Exercise(
    id="03.4",
    unit="tokens",
    hint="A token costs 2 S h d in attention, and two for each weight of the layer.",
    expected=lambda: even_tokens("Llama-3-70B"),
)
Exercise(
    id="03.5", unit="FLOP", hint="The rule has three factors.", expected=lambda: counting.six_n_d_flop(540e9, 780e9)
)
Exercise(
    id="03.6",
    unit="",
    hint="With which probability is an expert missed by one token, and by both?",
    expected=lambda: counting.experts_touched(8, 2, 2),
    rtol=0.01,
)
Exercise(
    id="03.7",
    unit="tokens",
    hint="Visits to experts are 8 for each token. How many experts share them at such a batch?",
    expected=lambda: 8 * 256 / 8,
)
Exercise(
    id="03.8",
    unit="%",
    hint="How many passes does the model need, and how many does the hardware make?",
    expected=lambda: 100 * counting.six_n_d_flop(1, 1) / 8,
)
Exercise(
    id="03.9",
    unit="",
    hint="Which part of the bytes do key-value heads change, and how much of it must go?",
    expected=lambda: kv_heads_for_half("Llama-3-8B", 64, 8192),
    rtol=0.005,
)
Exercise(id="03.10", unit="", hint="Sort the rows of ops.decode by their bytes.", expected=None)
