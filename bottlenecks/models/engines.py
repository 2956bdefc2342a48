r"""Engines: the kernels that a program runs for each row of the ledger, where it fuses less than others.

The ledger of `ops` is what a compiled server runs: one product for queries, keys and values, attention
whose scores stay on the chip, 16-bit values between kernels. An `Engine` says by switches where a
program does otherwise, and `kernels` writes the rows that it runs instead. Every switch is read in
the program's source; none is fitted.
"""

import re
from dataclasses import dataclass

import numpy as np

from bottlenecks.facts.chips import bytes_per_value
from bottlenecks.models import ops

FEW_ROWS = 8  # of a product, up to which a matrix-vector kernel takes it
SCORES = "scores"  # part of the rows that stand for attention


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine:
    """How a program's kernels differ from those of a compiled server, and how far its host runs ahead."""

    name: str
    joined: bool = False  # queries, keys and values in one product; gate and up in one
    value_bytes: int = 4  # of a value between two kernels
    casts: bool = True  # products of many rows take 16-bit operands and yield 16-bit results
    unpacks: bool = True  # narrow weights are written wide in front of a product of many rows
    scores_written: bool = True  # of prompts; of single queries where heads do not share their reads
    captured: bool = True  # steps are replayed as graphs: a collective waits for no host
    host_layer_s: float = 0.0  # of the host to launch a layer, while the chips run those before
    part_tokens: int | None = None  # of a prompt that one pass reads; None: all
    parts_ahead: int = 1  # passes that may be under way on a pipeline's stages
    queue: int = 1024  # launches that wait for a chip before the host does


# llama.cpp of spring 2024: llama-bench's defaults; copies of the inputs, llamacpp-pr6017; 16-bit
# cuBLAS products of unpacked weights, llamacpp-pr3412. The queue: oneflow-pr890.
LLAMA_CPP = Engine(name="llama.cpp", part_tokens=512, parts_ahead=4)
# Apple's kernels widen weights and read 32-bit values on their way into the multipliers.
LLAMA_CPP_METAL = Engine(name="llama.cpp, Metal", casts=False, unpacks=False, part_tokens=512)
# FasterTransformer of 2022: fused but for a prompt's scores (32 bits until the softmax), launched
# kernel by kernel.
FASTER_TRANSFORMER = Engine(
    name="FasterTransformer", joined=True, value_bytes=2, casts=False, unpacks=False, captured=False
)
# Steps of PyTorch launched from Python: 33 ms for the 32 layers of LLaMA-7B (vllm-issue914).
EAGER = Engine(name="eager PyTorch", value_bytes=2, casts=False, captured=False, host_layer_s=1 / 30 / 32)
# vLLM before it replayed graphs: 12 ms a step for as many layers (vllm-pr1440).
VLLM_2023 = Engine(
    name="vLLM of 2023",
    joined=True,
    value_bytes=2,
    casts=False,
    unpacks=False,
    scores_written=False,
    captured=False,
    host_layer_s=1.2 / 100 / 32,
)
BY_NAME = (  # what a program calls itself, in small letters -> its engine; the first that fits
    (r"llama\.cpp|ollama|\bggml", LLAMA_CPP),
    (r"fastertransformer", FASTER_TRANSFORMER),
    (r"megatron|transformers\b|hugging ?face|\bhf\b|\beager\b", EAGER),
    (r"vllm\D*0\.[0-2](\.|\b)|vllm.*\b2023\b", VLLM_2023),
)


def find(program, *, maker=""):
    """The engine of a program by its name, or None: a compiled server. `maker` is that of the chip."""
    found = next((e for words, e in BY_NAME if re.search(words, program.casefold())), None)
    return LLAMA_CPP_METAL if found is LLAMA_CPP and maker == "Apple" else found


def kernels(op, model, engine):
    """The rows that an engine runs for a row of the ledger, already cut to one chip's part."""
    if op.kind == "attention":
        few = np.max(op.shape["queries"]) <= FEW_ROWS
        return _attention(op, engine) if engine.scores_written and not (few and engine.joined) else [op]
    if engine.joined:
        return [op]
    if op.kind == "elementwise":
        return _elementwise(op, engine)
    return [each for part in _products(op, model, engine) for each in _product(part, engine)]


def launches(rows):
    """Kernels of some rows, all their calls."""
    return sum(op.calls for op in rows)


def parts_under_way(stages, *, launches, queue):
    r"""Parts of a prompt under way on a pipeline when one host thread launches for all its chips.

    $$p = \min\left(s,\ \frac{1 + \lfloor r \rfloor}{1 - (r - \lfloor r \rfloor)/s}\right), \qquad r = \frac{Q}{K}$$  (eq:parts-under-way)

    s  stages    stages, all alike                     [-]
    Q  queue     launches that wait for a chip         [-]
    K  launches  of a part on a stage                  [-]

    Holds for: a host that is faster than the chips. It launches a part on stage after stage, and
    waits wherever a queue is full. With a queue of r parts it gets 1 + [r] parts onto the stages,
    then waits for the last of the oldest part but for the share r - [r] of a stage.
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


def _elementwise(op, engine):
    """Norms are scaled by a kernel of their own, and so are gates multiplied."""
    kind, wide = op.shape["kind"], engine.value_bytes
    values = op.shape["moved_bytes"] / bytes_per_value(op.format)  # touched
    if op.part == "ends" and kind == "add":
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


def _products(op, model, engine):
    """A joined product as the several that an engine runs: the same rows and depth, fewer columns."""
    columns = [1.0]
    if op.name == "queries, keys, values":
        heads = model.heads + 2 * model.kv_heads
        columns = [model.heads / heads, model.kv_heads / heads, model.kv_heads / heads]
    elif op.name.endswith("gate and up"):
        columns = [0.5, 0.5]
    return [
        op._replace(
            name=op.name if len(columns) == 1 else f"{op.name}: {i + 1} of {len(columns)}",
            flop=op.flop * share,
            weight_bytes=op.weight_bytes * share,
            shape=op.shape | {"n": op.shape["n"] * share},
        )
        for i, share in enumerate(columns)
    ]


def _product(op, engine):
    """A product with the kernels around it: operands narrowed, weights unpacked, results widened."""
    m, k, n, groups = (op.shape[c] for c in ("m", "k", "n", "groups"))
    kept, b, wide = op.shape["weight_bytes"], bytes_per_value(op.format), engine.value_bytes
    if np.max(m) <= FEW_ROWS:  # operands in the kernel's own format, results wide at once
        return [_touched(op, f"{op.name}: operand", groups * (wide + 1) * m * k), op]
    rows = []
    if engine.unpacks and kept < b:
        rows.append(_touched(op, f"{op.name}: weights unpacked", groups * (kept + b) * k * n))
        op = op._replace(shape=op.shape | {"weight_bytes": b})
    if engine.casts:
        rows.append(_touched(op, f"{op.name}: operand", groups * (wide + b) * m * k))
        return [*rows, op, _touched(op, f"{op.name}: result", groups * (b + wide) * m * n)]
    return [*rows, op]


def _attention(op, engine):
    r"""Attention as two products with a softmax between them, the square of scores in memory.

    Of each head alone: heads that share keys read them once each. Passes over the scores with casts:
    written, widened (2 + 4 bytes), softmax (4 + 4), narrowed (4 + 2), read.
    """
    s, b, wide = op.shape, bytes_per_value(op.format), engine.value_bytes
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
    softmax = _touched(op, "softmax", 2 * full if engine.casts else full + b * scores, **touch)
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
    if not engine.casts:
        return [into, into, first, softmax, second, out]
    row = heads * queries * (b + wide)
    narrowed, widened = (
        _touched(op, "queries narrowed", row * d, **touch),
        _touched(op, "results widened", row * dv, **touch),
    )
    square = [_touched(op, name, (b + wide) * scores, **touch) for name in ("scores widened", "scores narrowed")]
    places = _touched(op, "places of the heads", 24 * heads, **touch)  # three pointers each
    return [into, into, narrowed, places, first, square[0], softmax, square[1], places, second, widened, out]
