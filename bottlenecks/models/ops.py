r"""Work as rows: an operation is a name, its FLOP and its bytes, and the shape of the kernel that does it.

A step is a flat list of `Op` rows, to print, sum, sort and edit. Every number counts what is needed:
each operand read once, each result written once, and of a causal square the half that is used
(`causal="half"`; "full" counts the square, as much of the literature does; the row's name says which).
Numbers may be arrays: batch, tokens and any shape of the model sweep through a whole ledger.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.chips import bytes_per_value
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.laws import counting, roofline, tiling

CAUSAL = ("half", "full", "none")  # half: what is needed; full: the square; none: no mask
LOGITS = ("all", "last", "none")
RECOMPUTE = ("none", "attention", "full")
FORWARD_TOUCHES = {"norm": 2, "add": 3, "rotary": 2}  # values read and written for each of the result
GRADIENT = {"norm": 1.5, "activation": 5 / 3, "rotary": 1.0, "add": 2 / 3}  # bytes over the forward's
# Values that a scan in chunks of as many tokens as its state has reads and writes for each of its width
# (dao2024mamba2): convolution 2.5, states of the chunks 3.25, in 32 bits, passed on 4, the scan 4, norm and gate 3.
SCAN_TOUCHES = 16.75
VECTOR_FLOP = {"norm": 4, "activation": 5, "rotary": 3, "add": 1}  # for each value of the result
ADAM_BYTES = 4 * 4 + 3 * 4 + 2  # master, two moments and gradient read; three written, and weights
ADAM_FLOP = 12


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
    part: str = ""  # attention, feed-forward, ends, optimiser

    @property
    def bytes(self):
        """Least traffic to memory, of all kinds: read and written."""
        return self.weight_bytes + self.activation_bytes + self.cache_bytes


def matmul(name, m, k, n, *, format, calls=1, part="", weight_format=None, groups=1):
    """(m, k) @ (k, n) in `format`: eq:matmul-flop operations, eq:matmul-bytes bytes.

    (k, n) are weights, kept in `weight_format`; `groups` products of this shape are one kernel.
    """
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
        part=part,
    )


def elementwise(name, values, kind, *, format, calls=1, part="", touches=None):
    """A kernel that does a little to each of `values` results of a call."""
    moved = bytes_per_value(format) * values * (FORWARD_TOUCHES.get(kind, 2) if touches is None else touches)
    return Op(
        name,
        flop=calls * VECTOR_FLOP[kind] * values,
        activation_bytes=calls * moved,
        kind="elementwise",
        calls=calls,
        shape={"moved_bytes": moved, "kind": kind},
        format=format,
        part=part,
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
):
    """Scores, softmax and the weighted sum of values, fused: the scores never reach memory."""
    b, c = bytes_per_value(format), bytes_per_value(cache_format or format)
    d, dv = head_values, head_values if v_head_values is None else v_head_values
    pairs = tiling.attention_pairs(queries, keys, causal=causal == "half", window=window)
    seen = np.minimum(keys, queries - 1 + window) if np.isfinite(window) else keys
    asked = b * batch * heads * queries * (d + dv)
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
            "backward": False,
            "cache_bytes": c,
        },
        format=format,
        part="attention",
    )


def _convention(causal):
    return "no mask" if causal == "none" else f"causal, {causal} counted"


# ---- a model, forward


def forward(
    model,
    *,
    batch,
    queries,
    keys=None,
    format="bf16",
    weight_format=None,
    cache_format=None,
    causal="half",
    logits="all",
    absorbed=False,
):
    """Rows of one forward pass of `queries` new tokens in each of `batch` sequences of `keys` tokens.

    `keys` counts the new tokens too; more keys than queries are read from the cache. `logits`: of
    all tokens, of the last of each sequence, or none. `absorbed`: latent attention multiplies its
    up-projections into queries and outputs and reads the latent itself, as serving does.

    Left out: biases, dropout, positions other than rotary ones (counted for gated models), and of
    recurrent layers without `ssm_width` everything but their weights. Encoder-decoder models are refused.
    """
    _check(model, batch, queries, keys, causal, logits)
    keys = queries if keys is None else keys
    made = {"format": format, "weight_format": weight_format}
    tokens, width = batch * queries, model.width
    rows = [_embedding(model, tokens, format)]
    attending = model.layers - model.ssm_layers
    if np.any(attending):
        rows += _attention_rows(model, tokens, attending, made, absorbed)
        rows += _attentions(model, queries, keys, attending, batch, format, cache_format, causal, absorbed)
        values = model.heads * (model.v_head_values or model.head_values)
        rows.append(matmul("attention output", tokens, values, width, calls=attending, part="attention", **made))
        rows.append(
            elementwise("residual add", tokens * width, "add", format=format, calls=attending, part="attention")
        )
    if np.any(model.ssm_layers):
        rows += _recurrence(model, tokens, made)
    rows += _feed_forward_rows(model, tokens, made)
    rows += _ends(model, batch, queries, logits, made)
    return rows


def prefill(model, *, batch, prompt_tokens, **options):
    """Rows of reading a prompt: `forward` with the logits of each sequence's last token only."""
    return forward(model, batch=batch, queries=prompt_tokens, **{"logits": "last"} | options)


def decode(model, *, batch, context_tokens, **options):
    """Rows of one token more for each sequence, the context with the new token in the cache."""
    return forward(model, batch=batch, queries=1, keys=context_tokens, **{"absorbed": True, "logits": "last"} | options)


def _check(model, batch, queries, keys, causal, logits):
    positive("batch", batch)
    positive("queries", queries)
    one_of("causal", causal, CAUSAL)
    one_of("logits", logits, LOGITS)
    if np.any(model.encoder_layers):
        raise ValueError(
            f"{model.name}: an encoder-decoder model has no single forward pass here; take its decoder alone"
        )
    if keys is not None and np.any(np.less(keys, queries)):
        raise ValueError(f"keys must be at least queries ({queries!r}), got {keys!r}")


def _embedding(model, tokens, format):
    moved = 2 * bytes_per_value(format) * tokens * model.width
    return Op(
        "embedding lookup",
        flop=0.0,
        activation_bytes=moved,
        kind="elementwise",
        shape={"moved_bytes": moved, "kind": "add"},
        format=format,
        part="ends",
    )


def _attention_rows(model, tokens, layers, made, absorbed):
    """Norm, projections of queries, keys and values, and rotary positions."""
    width, heads, d = model.width, model.heads, model.head_values
    common = {"calls": layers, "part": "attention"}
    rows = [elementwise("attention norm", tokens * width, "norm", format=made["format"], **common)]
    if model.attention == "MLA":
        rows += _latent_rows(model, tokens, made, absorbed, common)
        turned = (heads + 1) * model.qk_rope_values
    else:
        relative = heads * d if model.attention == "MHA-XL" else 0
        columns = heads * d + 2 * model.kv_width + relative
        rows.append(matmul("queries, keys, values", tokens, width, columns, **common, **made))
        turned = (heads + model.kv_heads) * d
    if model.ffn_matrices == 3:
        rows.append(elementwise("rotary positions", tokens * turned, "rotary", format=made["format"], **common))
    return rows


def _latent_rows(model, tokens, made, absorbed, common):
    """Projections of latent attention (MLA), expanded to heads or absorbed."""
    width, heads = model.width, model.heads
    rank, nope, values = model.kv_lora_rank, model.qk_nope_values, model.v_head_values
    columns = heads * model.head_values
    if model.q_lora_rank is None:
        rows = [matmul("queries", tokens, width, columns, **common, **made)]
    else:
        rows = [
            matmul("queries, squeezed", tokens, width, model.q_lora_rank, **common, **made),
            matmul("queries, widened", tokens, model.q_lora_rank, columns, **common, **made),
        ]
    rows.append(matmul("keys and values, squeezed", tokens, width, rank + model.qk_rope_values, **common, **made))
    if absorbed:
        return [
            *rows,
            matmul("queries into the latent", tokens, nope, rank, groups=heads, **common, **made),
            matmul("values out of the latent", tokens, rank, values, groups=heads, **common, **made),
        ]
    return [*rows, matmul("keys and values, widened", tokens, rank, heads * (nope + values), **common, **made)]


def _attentions(model, queries, keys, layers, batch, format, cache_format, causal, absorbed):
    """Attention of the layers that see all, and of those that see a window."""
    common = {
        "batch": batch,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "format": format,
        "head_values": model.head_values,
        "v_head_values": model.v_head_values,
        "causal": causal,
        "cache_format": cache_format,
        "from_cache": np.any(np.greater(keys, queries)),
    }
    if absorbed and model.attention == "MLA":
        rank = model.kv_lora_rank
        common |= {
            "kv_heads": 1,
            "head_values": rank + model.qk_rope_values,
            "v_head_values": rank,
            "shared_values": True,
        }
    rows = []
    if np.any(layers - model.local_layers):
        rows.append(attention("attention", queries, keys, calls=layers - model.local_layers, **common))
    if np.any(model.local_layers):
        rows.append(
            attention(
                "attention in a window",
                queries,
                keys,
                calls=model.local_layers,
                window=model.sliding_window_tokens,
                **common,
            )
        )
    return rows


def _recurrence(model, tokens, made):
    """Recurrent layers: their weights as if they were one matrix of the width, and the scan's traffic."""
    columns = model.ssm_layer_params / model.width
    common = {"calls": model.ssm_layers, "part": "attention"}
    rows = [matmul("recurrence (by its weights)", tokens, model.width, columns, **common, **made)]
    if model.ssm_width is not None:
        rows.append(
            elementwise(
                "scan", tokens * model.ssm_width, "activation", format=made["format"], touches=SCAN_TOUCHES, **common
            )
        )
    return rows


def _feed_forward_rows(model, tokens, made):
    width, format = model.width, made["format"]
    layers = model.layers
    plain = layers if model.experts is None else model.dense_layers
    rows = [elementwise("feed-forward norm", tokens * width, "norm", format=format, calls=layers, part="feed-forward")]
    if np.any(plain):
        rows += _gated("", model, tokens, model.ffn_width, plain, made)
    if model.experts is not None:
        rows += _mixture_rows(model, tokens, layers - plain, made)
    rows.append(elementwise("residual add", tokens * width, "add", format=format, calls=layers, part="feed-forward"))
    return rows


def _gated(name, model, tokens, inner, layers, made, groups=1, width=None):
    """Up (and gate), activation, down; `tokens` of each of `groups` experts."""
    common = {"calls": layers, "part": "feed-forward"}
    ups, width = model.ffn_matrices - 1, width or model.width
    label = "gate and up" if ups == 2 else "up"
    return [
        matmul(f"{name}{label}", tokens, width, ups * inner, groups=groups, **common, **made),
        elementwise(
            f"{name}activation", groups * tokens * inner, "activation", format=made["format"], touches=ups + 1, **common
        ),
        matmul(f"{name}down", tokens, inner, width, groups=groups, **common, **made),
    ]


def _mixture_rows(model, tokens, layers, made):
    """Router, dispatch, the experts that are touched, combination, and shared experts."""
    width, format, k = model.routed_width, made["format"], model.experts_per_token
    touched = counting.experts_touched(model.experts, k, tokens)
    common = {"format": format, "calls": layers, "part": "feed-forward"}
    rows = [
        matmul("router", tokens, model.width, model.experts, calls=layers, part="feed-forward", **made),
        elementwise("dispatch to experts", tokens * k * width, "add", touches=2, **common),
        *_gated("experts: ", model, tokens * k / touched, model.expert_width, layers, made, touched, width),
        elementwise("combine experts", tokens * width, "add", touches=k + 1, **common),
    ]
    if model.latent_width is not None:
        one = {"calls": layers, "part": "feed-forward"} | made
        rows.append(matmul("latent, squeezed", tokens, model.width, width, **one))
        rows.append(matmul("latent, widened", tokens, width, model.width, **one))
    if np.any(model.shared_experts):
        rows += _gated("shared experts: ", model, tokens, model.shared_experts * model.expert_width, layers, made)
    return rows


def _ends(model, batch, queries, logits, made):
    """Final norm, output head, and the loss over all tokens' scores."""
    if logits == "none":
        return []
    rows = batch * (queries if logits == "all" else 1)
    found = [
        elementwise("final norm", rows * model.width, "norm", format=made["format"], part="ends"),
        matmul("logits", rows, model.width, model.vocab, part="ends", **made),
    ]
    if logits == "all":
        found.append(elementwise("softmax and loss", rows * model.vocab, "norm", format="fp32", part="ends"))
    return found


# ---- training


def backward(rows):
    """Gradient rows of forward rows: two products for each product, one kernel for each other.

    A product's gradients are with respect to its input, dY W', and to its weights, X' dY: each has
    the forward's operations. Attention's are counted as twice the forward's; a fused kernel does 2.5
    times, since it makes the scores again.
    """
    return [gradient for op in reversed(rows) for gradient in _gradients(op)]


def _gradients(op):
    if op.kind == "attention":
        shape = op.shape | {"backward": True}
        return [
            op._replace(
                name=f"{op.name}, gradient", flop=2 * op.flop, shape=shape, activation_bytes=2 * op.activation_bytes
            )
        ]
    if op.kind == "elementwise":
        factor = GRADIENT[op.shape["kind"]] if op.shape["kind"] in GRADIENT else 1.0
        shape = op.shape | {"moved_bytes": factor * op.shape["moved_bytes"]}
        return [
            op._replace(
                name=f"{op.name}, gradient",
                flop=factor * op.flop,
                shape=shape,
                activation_bytes=factor * op.activation_bytes,
            )
        ]
    m, k, n = (op.shape[c] for c in "mkn")
    return [
        op._replace(name=f"{op.name}, input gradient", shape=op.shape | {"m": m, "k": n, "n": k}),
        op._replace(name=f"{op.name}, weight gradient", shape=op.shape | {"m": k, "k": m, "n": n}),
    ]


def optimiser(model, *, name="Adam, mixed precision"):
    """One update of all weights: 34 bytes a parameter read and written, a dozen operations."""
    params = model.params
    return Op(
        f"optimiser ({name})",
        flop=ADAM_FLOP * params,
        weight_bytes=ADAM_BYTES * params,
        kind="elementwise",
        shape={"moved_bytes": ADAM_BYTES * params, "kind": "add"},
        format="fp32",
        part="optimiser",
    )


def training_step(model, *, batch, tokens, format="bf16", causal="half", recompute="none", update=True):
    """Rows of one step on `batch` sequences of `tokens`: forward, backward, and the update.

    `recompute`: "full" does every layer's forward again before its backward; "attention" only what
    attention made.
    """
    one_of("recompute", recompute, RECOMPUTE)
    rows = forward(model, batch=batch, queries=tokens, format=format, causal=causal)
    again = [r for r in rows if r.part != "ends" and (recompute == "full" or recompute == r.kind)]
    again = [r._replace(name=f"{r.name}, again") for r in again]
    return rows + again + backward(rows) + ([optimiser(model)] if update else [])


# ---- questions asked of a ledger


def total(rows, what="flop"):
    """Sum of a column over all rows: flop, bytes, weight_bytes, activation_bytes, cache_bytes."""
    return sum(getattr(row, what) for row in rows)


def products(rows):
    """The rows that are products of matrices: what the closed forms of the literature count."""
    return [row for row in rows if row.kind in ("matmul", "attention")]


def by_part(rows, what="flop"):
    """Part -> sum of a column over its rows."""
    parts = dict.fromkeys(row.part for row in rows)
    return {part: total([r for r in rows if r.part == part], what) for part in parts}


def intensity_flop_per_byte(row):
    """Operations of a row for each byte that it moves."""
    return roofline.intensity_flop_per_byte(row.flop, row.bytes)


# ---- a model as one matrix


def weights_pass(params, tokens, *, weight_bytes):
    r"""One pass of `tokens` tokens through a model's weights, as if they were one matrix.

    $$F = 2\,N\,B, \qquad Q = N\,w$$  (eq:weights-pass)

    N  params        parameters that multiply                     [-]
    B  tokens        tokens in the pass: users (decode) or prompt  [-]
    w  weight_bytes  size of one weight                            [B]

    Holds for: matrix products only; attention, its cache and activations are left out.
    Source: counting, one multiply-add for each weight and token.

    >>> row = weights_pass(8e9, 2, weight_bytes=2)
    >>> row.flop, row.bytes
    (32000000000.0, 16000000000.0)
    """
    return Op("weights", flop=2 * params * tokens, weight_bytes=params * weight_bytes)


def attention_scores(tokens, *, layers, heads, head_values, score_bytes):
    r"""The pairs of tokens in a causal prompt: their arithmetic, and one pass over their scores.

    $$F = 2\,\ell h d\,S^2, \qquad Q = \tfrac{1}{2}\,\ell h\,S^2 c$$  (eq:attention-scores)

    S  tokens       tokens of the prompt                           [-]
    ℓ  layers       layers                                         [-]
    h  heads        query heads of a layer                         [-]
    d  head_values  values of a head                               [-]
    c  score_bytes  size of one stored score                       [B]

    Holds for: half of the square (causal), a product for the scores and one with the values; the
    bytes are those of one pass, and an attention that keeps its scores in memory makes several.
    Source: counting, S^2 / 2 pairs, four operations for each value of a head.

    >>> row = attention_scores(10, layers=1, heads=1, head_values=4, score_bytes=2)
    >>> row.flop, row.bytes
    (800, 100.0)
    """
    return Op(
        "attention scores",
        flop=2 * layers * heads * head_values * tokens**2,
        activation_bytes=score_bytes * layers * heads * tokens**2 / 2,
    )


# ---- by the datasheet


def times_s(op, chip, *, format):
    """Seconds of `op` on `chip`, apart: (arithmetic, memory)."""
    return op.flop / chip.peak_flop_per_s(format), op.bytes / chip.memory_bytes_per_s


def time_s(op, chip, *, format):
    """Seconds of `op` on `chip` when arithmetic and traffic overlap (eq:roofline-time)."""
    return roofline.time_s(
        op.flop, op.bytes, peak_flop_per_s=chip.peak_flop_per_s(format), bytes_per_s=chip.memory_bytes_per_s
    )


def ridge_flop_per_byte(chip, *, format):
    """The ridge of `chip` in `format` at its main memory (eq:ridge)."""
    return roofline.ridge_flop_per_byte(
        peak_flop_per_s=chip.peak_flop_per_s(format), bytes_per_s=chip.memory_bytes_per_s
    )
