r"""Rows: one line of a step's ledger, and how a product, a small kernel and an attention become one.

Every number counts what is needed: each operand read once, each result written once, and of a causal square the
half that is used (`causal="half"`; "full" counts the square, as much of the literature does; the row's name says which).
Numbers may be arrays.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import MOST, numbers, one_of, positive, seen_by
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import roofline, tiling

CAUSAL = ("half", "full", "none")  # half: what is needed; full: the square; none: no mask
FORWARD_TOUCHES = {"norm": 2, "add": 3, "rotary": 2}  # values read and written for each value of the result
VECTOR_FLOP = {"norm": 4, "activation": 5, "rotary": 3, "add": 1}  # for each value of the result


class Op(NamedTuple):
    """One row of a step: totals over all its calls, and the shape of one call. Numbers may be arrays."""

    name: str
    flop: float
    weight_bytes: float = 0.0
    activation_bytes: float = 0.0
    cache_bytes: float = 0.0
    kind: str = "matmul"  # matmul, attention, elementwise: which kernel does it
    calls: float = 1
    shape: dict | None = None  # of one call, as the kernel takes it
    format: str = ""
    part: str = ""  # embedding, attention, feed-forward, ends, optimiser
    cut: str = ""  # what tensor-parallel ranks divide: a name of `cut.CUTS`
    routing: str = ""  # of a mixture: dispatch, experts or combine
    gradient: str = ""  # input or weight: of which operand a backward product is the gradient
    joined: tuple = ()  # columns of the products that are one here, where some programs run several

    @property
    def bytes(self):
        """Least traffic to memory, of all kinds: read and written."""
        return self.weight_bytes + self.activation_bytes + self.cache_bytes


def matmul(name, m, k, n, *, format, weight_format=None, groups=1, calls=1, **about):
    """(m, k) @ (k, n) in `format`: eq:matmul-flop operations, eq:matmul-bytes bytes.

    (k, n) are weights, kept in `weight_format`; `groups` products of this shape are one kernel. `about`:
    part, cut, routing, joined of the row.
    """
    m, k, n, groups, calls = numbers(zero=("calls",), m=m, k=k, n=n, groups=groups, calls=calls)
    b, w = bytes_per_value(format), bytes_per_value(weight_format or format)
    times = calls * groups
    return Op(
        name,
        flop=times * roofline.matmul_flop(m, k, n),
        weight_bytes=times * w * k * n,
        activation_bytes=times * b * (m * k + m * n),
        calls=calls,
        shape={"m": m, "k": k, "n": n, "groups": groups, "weight_bytes": w},
        format=format,
        **about,
    )


def elementwise(name, values, kind, *, format, calls=1, touches=None, **about):
    """A kernel that does a little to each of `values` results of a call."""
    one_of("kind", kind, VECTOR_FLOP)
    values, calls = numbers(most=MOST, zero=("calls",), values=values, calls=calls)
    touches = None if touches is None else positive("touches", touches)
    touches = FORWARD_TOUCHES.get(kind, 2) if touches is None else touches
    moved = bytes_per_value(format) * values * touches
    return Op(
        name,
        flop=calls * VECTOR_FLOP[kind] * values,
        activation_bytes=calls * moved,
        kind="elementwise",
        calls=calls,
        shape={"moved_bytes": moved, "kind": kind},
        format=format,
        **about,
    )


def attention(
    name,
    queries,
    keys,
    *,
    batch,
    heads,
    kv_heads,
    head_values,
    format,
    calls=1,
    causal="half",
    v_head_values=None,
    shared_values=False,
    window=np.inf,
    cache_format=None,
    from_cache=False,
    gathered=False,
    pooled=1,
):
    """Scores, softmax and the weighted sum of values, fused: the scores never reach memory.

    `window`: most tokens whose keys a query meets. `gathered`: each query has keys of its own choice, and reads them
    itself. `pooled`: tokens that stand behind one key.
    """
    sizes = {"queries": queries, "keys": keys, "batch": batch, "heads": heads, "kv_heads": kv_heads, "calls": calls}
    sizes |= {"head_values": head_values, "pooled": pooled}
    queries, keys, batch, heads, kv_heads, calls, d, pooled = numbers(zero=("calls",), **sizes)
    dv = d if v_head_values is None else numbers(v_head_values=v_head_values)[0]
    seen_by(queries, keys, one_of("causal", causal, CAUSAL) != "none", window)
    b, c = bytes_per_value(format), bytes_per_value(cache_format or format)
    pairs = tiling.attention_pairs(queries, keys, causal=causal == "half", window=window) / pooled
    seen = np.minimum(keys, queries - 1 + window) if np.isfinite(window) else keys
    asked = b * batch * heads * queries * (d + dv)
    seen = pairs if gathered else seen / pooled
    kept = c * batch * kv_heads * seen * (d if shared_values else d + dv)
    return Op(
        name if np.all(np.equal(queries, 1)) else f"{name} ({_convention(causal)})",
        flop=calls * batch * heads * pairs * (2 * d + 2 * dv),
        activation_bytes=calls * (asked + (0 if from_cache else kept)),
        cache_bytes=calls * kept * from_cache,
        kind="attention",
        calls=calls,
        shape={
            "queries": queries,
            "keys": keys,
            "batch": batch,
            "heads": heads,
            "kv_heads": kv_heads,
            "head_values": d,
            "v_head_values": dv,
            "shared_values": shared_values,
            "causal": causal != "none",
            "window": window,
            "gathered": gathered,
            "pooled": pooled,
            "backward": False,
            "cache_bytes": c,
        },
        format=format,
        part="attention",
        cut="heads",
    )


def _convention(causal):
    return "no mask" if causal == "none" else f"causal, {causal} counted"


class Formats(NamedTuple):
    """In which formats a pass computes, multiplies and keeps its values."""

    format: str = "bf16"  # of values between kernels, of attention, router and output head
    product_format: str | None = None  # in which the layers multiply; None: as `format`
    weight_format: str | None = None  # in which weights are kept; None: as they are multiplied
    head_format: str | None = None  # the same of the output head; None: as the other weights
    cache_format: str | None = None  # of keys and values in the cache

    @property
    def products(self):
        """Options of `matmul` for the layers' products."""
        return {"format": self.product_format or self.format, "weight_format": self.weight_format}

    @property
    def router(self):
        """The same of a router, whose scores need the wide format."""
        return {"format": self.format, "weight_format": self.weight_format}

    @property
    def head(self):
        """The same of the output head: multiplied in the narrow format where it is kept in one."""
        kept = self.head_format or self.weight_format
        narrow = kept is not None and bytes_per_value(kept) < 2
        return {"format": (self.product_format or self.format) if narrow else self.format, "weight_format": kept}
