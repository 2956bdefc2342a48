"""Cut: one chip's part of a row when a model is divided over chips, for training and serving alike.

`ops` says of every row what ranks divide; here is what that does to the shape of its kernel. The parts'
operations add up to the row's; bytes too, but for what several ranks each need a copy of.
"""

import numpy as np

from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import counting

CUTS = {  # of a row: what tensor-parallel ranks divide
    "columns": "columns of a matrix: each rank makes a part of the result",
    "rows": "rows of a matrix, the product's depth: each rank makes a summand of the result",
    "groups": "the heads, each a product of its own",
    "heads": "query heads of an attention, and key-value heads while there are as many",
    "values": "values that lie beside each other: what a rank's own columns made",
    "tokens": "tokens of the residual stream, where the sequence is cut; else every rank does all",
}


def one_dimensional(op, model, *, tp, stream=1, ep=1, tokens=None, imbalance=1.0, folds=False):
    """A row's part when weights are cut along one dimension: Megatron's columns, then rows.

    `stream`: ranks over which the residual stream is cut, tp with sequence parallelism, else 1. Routed
    experts are dealt to `ep` groups of chips with `tokens` tokens each, the busiest with `imbalance` times
    the mean; each expert is cut over `tp`, or where software `folds` whole over both.
    """
    if op.cut == "heads":
        heads, kv_heads = op.shape["heads"] / tp, np.maximum(op.shape["kv_heads"] / tp, 1)
        kept = kv_heads / op.shape["kv_heads"]  # below one head for a rank, heads are copied
        cut = _elsewhere(op, 1 / tp, heads=heads, kv_heads=np.minimum(kv_heads, heads))
        return cut._replace(cache_bytes=op.cache_bytes * kept)
    if op.kind == "elementwise":
        parts = stream if op.cut == "tokens" else tp
        return _elsewhere(op, 1 / parts, moved_bytes=op.shape["moved_bytes"] / parts)
    if op.routing:
        return _routed(op, model, tp, ep, tokens, imbalance, folds)
    m, k, n, groups = (op.shape[c] for c in ("m", "k", "n", "groups"))
    if op.cut == "tokens":
        return _product(op, 1 / stream, m=m / stream)
    if op.cut == "rows":
        return _product(op, 1 / tp, k=k / tp)
    if op.cut == "groups":
        return _product(op, 1 / tp, groups=groups / tp)
    if op.part != "attention" or not op.joined:
        return _product(op, 1 / tp, n=n / tp)
    queries, keys, values = op.joined  # of keys and values a rank has a head at least
    mine = queries / tp, *(np.maximum(each / tp, model.head_values) for each in (keys, values))
    return _product(op, sum(mine) / n, n=sum(mine))._replace(joined=mine)


def _routed(op, model, tp, ep, tokens, imbalance, folds):
    """A product of the experts on one chip: those that all groups' tokens touch, its part of them."""
    here = counting.experts_touched(model.experts, model.experts_per_token, tokens * ep) / ep
    many = tokens * model.experts_per_token * imbalance / here
    if folds:
        return _product(op, 1 / tp, m=many, groups=here / tp)
    size = {"k": op.shape["k"] / tp} if op.cut == "rows" else {"n": op.shape["n"] / tp}
    return _product(op, 1 / tp, m=many, groups=here, **size)


def two_dimensional(op, model, *, tp, ep=1, tokens=None):
    """A row's part when weights are cut both ways over `tp` chips, and the cache by sequences (pope2022)."""
    if op.cut == "heads":
        cut = _elsewhere(op, 1 / tp, batch=op.shape["batch"] / tp)
        return cut._replace(cache_bytes=op.cache_bytes / tp)
    if op.kind == "elementwise":
        return _elsewhere(op, 1 / tp, moved_bytes=op.shape["moved_bytes"] / tp)
    if op.cut == "tokens":
        return op
    if op.routing:
        op = _routed(op, model, 1, ep, tokens, 1.0, False)
    x = chips_along_width(model, tp)
    k, n = op.shape["k"], op.shape["n"]
    k, n = (k / x, n * x / tp) if op.cut == "columns" else (k * x / tp, n / x)
    return _product(op, 1 / tp, k=k, n=n)


def chips_along_width(model, chips):
    """Chips along the model's width when weights are cut both ways: least traffic (pope2022, A.1)."""
    inner = model.ffn_width or model.expert_width
    return 2 ** np.round(np.log2(np.sqrt(chips * model.width / inner)))


def by_tokens(op, *, tp):
    """A row's part when each of `tp` chips has its own tokens and gathers all of the weights."""
    if op.cut == "heads":
        cut = _elsewhere(op, 1 / tp, batch=op.shape["batch"] / tp)
        return cut._replace(cache_bytes=op.cache_bytes / tp)
    if op.kind == "elementwise":
        return _elsewhere(op, 1 / tp, moved_bytes=op.shape["moved_bytes"] / tp)
    return _product(op, 1 / tp, m=op.shape["m"] / tp)


def fewer_tokens(op, share):
    """A row for a share of its tokens, or for several times as many."""
    shape = {name: op.shape[name] * share for name in ("m", "moved_bytes") if name in op.shape}
    return _product(op, share, **shape) if op.kind == "matmul" else _elsewhere(op, share, **shape)


def _elsewhere(op, share, **shape):
    return op._replace(flop=op.flop * share, activation_bytes=op.activation_bytes * share, shape=op.shape | shape)


def _product(op, share, **shape):
    """A product of another shape, with `share` of the operations; its bytes are those of the shape."""
    shape = op.shape | shape
    m, k, n = (shape[c] for c in "mkn")
    times, b = op.calls * shape["groups"], bytes_per_value(op.format)
    return op._replace(
        flop=op.flop * share,
        weight_bytes=times * shape["weight_bytes"] * k * n,
        activation_bytes=times * b * (m * k + m * n),
        shape=shape,
    )
