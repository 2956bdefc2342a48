r"""Engines: the kernels that a program runs for each row of the ledger, where it fuses less than others.

The ledger of `ops` is what a compiled server runs: one product for queries, keys and values, attention
whose scores stay on the chip, 16-bit values between kernels. `Software` says by switches where a
program does otherwise, and `kernels` writes the rows that it runs instead.
"""

import numpy as np

from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.models import ops
from bottlenecks.models.kernels import FEW_ROWS

SCORES = "scores"  # part of the rows that stand for attention


def kernels(op, software):
    """The rows that a program runs for a row of the ledger, already cut to one chip's part."""
    if op.kind == "attention":
        few = np.max(op.shape["queries"]) <= FEW_ROWS
        return _attention(op, software) if software.attention == "unfused" and not (few and software.joined) else [op]
    if software.joined:
        return [op]
    if op.kind == "elementwise":
        return _elementwise(op, software)
    return [each for part in _products(op) for each in _product(part, software)]


def launches(rows):
    """Kernels of some rows, all their calls."""
    return sum(op.calls for op in rows)


def parts_under_way(stages, *, launches, queue):
    r"""Parts of a prompt under way on a pipeline when one host thread launches for all its chips.

    $$\mu_f = \min\left(p,\ \frac{1 + \lfloor \mu_q \rfloor}{1 - (\mu_q - \lfloor \mu_q \rfloor)/p}\right), \qquad \mu_q = \frac{\lambda_q}{\lambda}$$  (eq:parts-under-way)

    p    stages    stages, all alike              [-]
    λ_q  queue     launches that wait for a chip  [-]
    λ    launches  launches of a part on a stage  [-]

    Holds for: a host that is faster than the chips. It launches a part on stage after stage, and
    waits wherever a queue is full. With a queue of μ_q parts it gets 1 + [μ_q] parts onto the stages,
    then waits for the last of the oldest part but for the share μ_q - [μ_q] of a stage.
    Source: counting; a full queue blocks its host and so starves other chips (oneflow-pr890).

    >>> float(parts_under_way(4, launches=1000, queue=10_000))
    4.0
    >>> float(parts_under_way(2, launches=1000, queue=500))
    1.3333333333333333
    """
    held = queue / launches
    return np.minimum(stages, (1 + np.floor(held)) / (1 - (held - np.floor(held)) / stages))


def _touched(op, name, moved_bytes, kind="add", part=None):
    """A kernel beside `op` that moves some bytes."""
    return ops.Op(
        name,
        flop=0.0,
        activation_bytes=op.calls * moved_bytes,
        kind="elementwise",
        calls=op.calls,
        shape={"moved_bytes": moved_bytes, "kind": kind},
        format=op.format,
        part=part or op.part,
    )


def _elementwise(op, software):
    """Norms are scaled by a kernel of their own, and so are gates multiplied."""
    kind, wide = op.shape["kind"], software.value_bytes
    values = op.shape["moved_bytes"] / bytes_per_value(op.format)  # touched
    if op.part == "embedding":
        return [op]
    if kind == "norm":
        return [_touched(op, op.name, wide * values, "norm"), _touched(op, f"{op.name}: scale", wide * values)]
    if kind == "activation":  # two in, one out: the function of one, then the product of both
        return [
            _touched(op, op.name, wide * values * 2 / 3, "activation"),
            _touched(op, f"{op.name}: gate", wide * values),
        ]
    if kind == "rotary":  # queries, then keys
        half = _touched(op, op.name, wide * values / 2, "rotary")
        return [half, half]
    return [_touched(op, op.name, wide * values, kind)]


def _products(op):
    """A joined product as the several that a program runs: the same rows and depth, fewer columns."""
    if len(op.joined) < 2:
        return [op]
    return [
        op._replace(
            name=f"{op.name}: {i + 1} of {len(op.joined)}",
            flop=op.flop * share,
            weight_bytes=op.weight_bytes * share,
            shape=op.shape | {"n": op.shape["n"] * share},
        )
        for i, share in enumerate(columns / sum(op.joined) for columns in op.joined)
    ]


def _product(op, software):
    """A product with the kernels around it: operands narrowed, weights unpacked, results widened."""
    m, k, n, groups = (op.shape[c] for c in ("m", "k", "n", "groups"))
    kept, b, wide = op.shape["weight_bytes"], bytes_per_value(op.format), software.value_bytes
    if np.max(m) <= FEW_ROWS:  # operands in the kernel's own format, results wide at once
        return [_touched(op, f"{op.name}: operand", groups * (wide + 1) * m * k), op]
    rows = []
    if software.unpacks and kept < b:
        rows.append(_touched(op, f"{op.name}: weights unpacked", groups * (kept + b) * k * n))
        op = op._replace(shape=op.shape | {"weight_bytes": b})
    if software.casts:
        rows.append(_touched(op, f"{op.name}: operand", groups * (wide + b) * m * k))
        return [*rows, op, _touched(op, f"{op.name}: result", groups * (b + wide) * m * n)]
    return [*rows, op]


def _attention(op, software):
    r"""Attention as two products with a softmax between them, the square of scores in memory.

    Of each head alone: heads that share keys read them once each. Passes over the scores with casts:
    written, widened (2 + 4 bytes), softmax (4 + 4), narrowed (4 + 2), read.
    """
    s, b, wide = op.shape, bytes_per_value(op.format), software.value_bytes
    heads, queries, keys = s["batch"] * s["heads"], s["queries"], s["keys"]
    d, dv = s["head_values"], s["v_head_values"]
    scores = heads * queries * keys
    few = np.max(queries) <= FEW_ROWS
    touch = {"part": SCORES}
    out = _touched(op, "heads in a row", 2 * wide * heads * queries * dv, **touch)
    into = _touched(
        op, "keys and values kept", (wide + b) * s["batch"] * s["kv_heads"] * queries * (d + dv) / 2, **touch
    )
    full = 4 * scores  # bytes of the scores in 32 bits, in which they are made and softened
    softmax = _touched(op, "softmax", 2 * full if software.casts else full + b * scores, **touch)
    if few:
        return [
            into,
            into,
            _touched(op, "scores", s["cache_bytes"] * heads * keys * d, **touch),
            softmax,
            _touched(op, "weighted values", s["cache_bytes"] * heads * keys * dv, **touch),
            out,
        ]
    made = {"format": op.format, "calls": op.calls, "part": SCORES, "groups": heads}
    first = ops.matmul("scores", queries, d, keys, **made)
    second = ops.matmul("weighted values", queries, keys, dv, **made)
    if not software.casts:
        return [into, into, first, softmax, second, out]
    row = heads * queries * (b + wide)
    narrowed, widened = (
        _touched(op, "queries narrowed", row * d, **touch),
        _touched(op, "results widened", row * dv, **touch),
    )
    square = [_touched(op, name, (b + wide) * scores, **touch) for name in ("scores widened", "scores narrowed")]
    places = _touched(op, "places of the heads", 24 * heads, **touch)  # three pointers each
    return [into, into, narrowed, places, first, square[0], softmax, square[1], places, second, widened, out]
