r"""Work as rows: an operation is a name, its FLOP and its bytes, and the shape of the kernel that does it.

A step is a flat list of `Op` rows, to print, sum, sort and edit. Every number counts what is needed:
each operand read once, each result written once, and of a causal square the half that is used
(`causal="half"`; "full" counts the square, as much of the literature does; the row's name says which).
Numbers may be arrays: batch, tokens and any shape of the model sweep through a whole ledger.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import MOST, numbers, one_of, positive, record, seen_by, shown, switch
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import counting, roofline, tiling

CAUSAL = ("half", "full", "none")  # half: what is needed; full: the square; none: no mask
LOGITS = ("all", "last", "none")
ROWS = ("all", "attention", "others")
RECOMPUTE = ("none", "selective", "full")  # of `recomputation.POLICIES`, those that repeat whole rows
ENDS = ("embedding", "ends")  # parts that stand once, before and after the layers
FORWARD_TOUCHES = {"norm": 2, "add": 3, "rotary": 2}  # values read and written for each value of the result
GRADIENT = {
    "norm": 1.5,
    "activation": 5 / 3,
    "rotary": 1.0,
    "add": 2 / 3,
}  # bytes of the gradient kernel over the forward one's
# Values read and written for each value of a recurrent layer's width, when it is scanned in chunks of as many tokens as
# its state has values (dao2024mamba2): convolution 2.5; states of the chunks 3.25, passed on in 32 bits 4; the scan 4; norm
# and gate 3.
SCAN_TOUCHES = 16.75
VECTOR_FLOP = {"norm": 4, "activation": 5, "rotary": 3, "add": 1}  # for each value of the result
ADAM_BYTES = (
    4 * 4 + 3 * 4 + 2
)  # per parameter: master, two moments and gradient read; the first three and the weight written
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
):
    """Scores, softmax and the weighted sum of values, fused: the scores never reach memory."""
    sizes = {"queries": queries, "keys": keys, "batch": batch, "heads": heads, "kv_heads": kv_heads, "calls": calls}
    queries, keys, batch, heads, kv_heads, calls, d = numbers(zero=("calls",), **sizes, head_values=head_values)
    dv = d if v_head_values is None else numbers(v_head_values=v_head_values)[0]
    seen_by(queries, keys, one_of("causal", causal, CAUSAL) != "none", window)
    b, c = bytes_per_value(format), bytes_per_value(cache_format or format)
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
        cut="heads",
    )


def _convention(causal):
    return "no mask" if causal == "none" else f"causal, {causal} counted"


# ---- a model, forward


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


def forward(model, *, batch, queries, keys=None, causal="half", logits="all", absorbed=False, rows="all", **formats):
    """Rows of one forward pass of `queries` new tokens in each of `batch` sequences of `keys` tokens.

    `keys` counts the new tokens too; more keys than queries are read from the cache. `logits`: of
    all tokens, of the last of each sequence, or none. `absorbed`: latent attention multiplies its
    up-projections into queries and outputs and reads the latent itself, as serving does. `rows`: all,
    those of attention alone, or the others, which do not depend on the context. `formats`: those of `Formats`.

    Left out: biases, dropout, positions other than rotary ones (counted for gated models), and of
    recurrent layers without `ssm_width` everything but their weights. Encoder-decoder models are refused.
    """
    batch, queries, keys = _checked(model, batch, queries, queries if keys is None else keys, causal, logits, rows)
    switch("absorbed", absorbed)
    made, tokens = Formats(**formats), batch * queries
    attending = model.layers - model.ssm_layers
    scores = []
    if rows != "others" and np.any(attending):
        scores = _attentions(model, queries, keys, attending, batch, made, causal, absorbed)
    if rows == "attention":
        return scores
    found = [_embedding(model, tokens, made.format)]
    if np.any(attending):
        found += _attention_rows(model, tokens, attending, made, absorbed) + scores
        found += _attention_output(model, tokens, attending, made)
    if np.any(model.ssm_layers):
        found += _recurrence(model, tokens, made)
    found += _feed_forward_rows(model, tokens, made)
    return found + _ends(model, batch, queries, logits, made)


def prefill(model, *, batch, prompt_tokens, **options):
    """Rows of reading a prompt: `forward` with the logits of each sequence's last token only."""
    return forward(model, batch=batch, queries=prompt_tokens, **{"logits": "last"} | options)


def decode(model, *, batch, context_tokens, **options):
    """Rows of one token more for each sequence, the context with the new token in the cache."""
    numbers(context_tokens=context_tokens)  # None would be the queries alone
    return forward(model, batch=batch, queries=1, keys=context_tokens, **{"absorbed": True, "logits": "last"} | options)


def _checked(model, batch, queries, keys, causal, logits, rows):
    record("model", model, Model, "model(name)")
    batch, queries, keys = numbers(batch=batch, queries=queries, keys=keys)
    numbers(**{"tokens (batch x queries)": batch * queries})
    one_of("causal", causal, CAUSAL)
    one_of("logits", logits, LOGITS)
    one_of("rows", rows, ROWS)
    if np.any(model.encoder_layers):
        raise ValueError(
            f"{model.name}: an encoder-decoder model has no single forward pass here; take its decoder alone"
        )
    if keys is not queries and np.any(np.less(keys, queries)):
        raise ValueError(f"keys must be at least queries ({shown(queries)}), got {shown(keys)}")
    return batch, queries, keys


def _embedding(model, tokens, format):
    about = {"format": format, "part": "embedding", "cut": "tokens"}
    return elementwise("embedding lookup", tokens * model.width, "add", touches=2, **about)._replace(flop=0.0)


def _attention_rows(model, tokens, layers, made, absorbed):
    """Norm, projections of queries, keys and values, and rotary positions."""
    width, heads, d, kv = model.width, model.heads, model.head_values, model.kv_width
    common = {"calls": layers, "part": "attention"}
    rows = [elementwise("attention norm", tokens * width, "norm", format=made.format, cut="tokens", **common)]
    if model.attention == "MLA":
        rows += _latent_rows(model, tokens, common | made.products, absorbed)
        turned = (heads + 1) * model.qk_rope_values
    else:
        relative = heads * d if model.attention == "MHA-XL" else 0
        columns = heads * d + 2 * kv + relative
        about = common | made.products | {"cut": "columns", "joined": (heads * d + relative, kv, kv)}
        rows.append(matmul("queries, keys, values", tokens, width, columns, **about))
        turned = (heads + model.kv_heads) * d
    if model.ffn_matrices == 3:
        about = common | {"format": made.format, "cut": "values"}
        rows.append(elementwise("rotary positions", tokens * turned, "rotary", **about))
    return rows


def _latent_rows(model, tokens, about, absorbed):
    """Projections of latent attention (MLA), expanded to heads or absorbed."""
    width, heads, q_rank = model.width, model.heads, model.q_lora_rank
    rank, nope, values = model.kv_lora_rank, model.qk_nope_values, model.v_head_values
    columns = heads * model.head_values
    if q_rank is None:
        rows = [matmul("queries", tokens, width, columns, cut="columns", **about)]
    else:
        rows = [
            matmul("queries, squeezed", tokens, width, q_rank, cut="tokens", **about),
            matmul("queries, widened", tokens, q_rank, columns, cut="columns", **about),
        ]
    squeezed = rank + model.qk_rope_values
    rows.append(matmul("keys and values, squeezed", tokens, width, squeezed, cut="tokens", **about))
    if absorbed:
        return [
            *rows,
            matmul("queries into the latent", tokens, nope, rank, groups=heads, cut="groups", **about),
            matmul("values out of the latent", tokens, rank, values, groups=heads, cut="groups", **about),
        ]
    widened = heads * (nope + values)
    return [*rows, matmul("keys and values, widened", tokens, rank, widened, cut="columns", **about)]


def _attentions(model, queries, keys, layers, batch, made, causal, absorbed):
    """Attention of the layers that see all, and of those that see a window."""
    common = {
        "batch": batch,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "format": made.format,
        "head_values": model.head_values,
        "v_head_values": model.v_head_values,
        "causal": causal,
        "cache_format": made.cache_format,
        "from_cache": np.any(np.greater(keys, queries)),
    }
    if absorbed and model.attention == "MLA":
        rank, rope = model.kv_lora_rank, model.qk_rope_values
        common |= {"kv_heads": 1, "head_values": rank + rope, "v_head_values": rank, "shared_values": True}
    near = model.local_layers
    rows = []
    if np.any(layers - near):
        rows.append(attention("attention", queries, keys, calls=layers - near, **common))
    if np.any(near):
        common |= {"window": model.sliding_window_tokens}
        rows.append(attention("attention in a window", queries, keys, calls=near, **common))
    return rows


def _attention_output(model, tokens, layers, made):
    values, common = model.heads * (model.v_head_values or model.head_values), {"calls": layers, "part": "attention"}
    return [
        matmul("attention output", tokens, values, model.width, cut="rows", **common, **made.products),
        elementwise("residual add", tokens * model.width, "add", format=made.format, cut="tokens", **common),
    ]


def _recurrence(model, tokens, made):
    """Recurrent layers: their weights as if they were one matrix of the width, and the scan's traffic."""
    common = {"calls": model.ssm_layers, "part": "attention"}
    about = common | made.products | {"cut": "columns"}
    rows = [matmul("recurrence (by its weights)", tokens, model.width, model.ssm_layer_params / model.width, **about)]
    if model.ssm_width is not None:
        about = common | {"format": made.format, "cut": "values", "touches": SCAN_TOUCHES}
        rows.append(elementwise("scan", tokens * model.ssm_width, "activation", **about))
    return rows


def _feed_forward_rows(model, tokens, made):
    layers = model.layers
    common = {"format": made.format, "calls": layers, "part": "feed-forward", "cut": "tokens"}
    plain = layers if model.experts is None else model.dense_layers
    rows = [elementwise("feed-forward norm", tokens * model.width, "norm", **common)]
    if np.any(plain):
        rows += _gated("", model, tokens, model.ffn_width, plain, made)
    if model.experts is not None:
        rows += _mixture_rows(model, tokens, layers - plain, made)
    rows.append(elementwise("residual add", tokens * model.width, "add", **common))
    return rows


def _gated(name, model, tokens, inner, layers, made, groups=1, width=None, routing=""):
    """Up (and gate), activation, down; `tokens` of each of `groups` experts."""
    ups, width = model.ffn_matrices - 1, width or model.width
    label = "gate and up" if ups == 2 else "up"
    about = {"calls": layers, "part": "feed-forward", "routing": routing}
    product = about | {"groups": groups} | made.products
    values, touches = groups * tokens * inner, ups + 1
    return [
        matmul(f"{name}{label}", tokens, width, ups * inner, cut="columns", joined=(inner,) * ups, **product),
        elementwise(
            f"{name}activation", values, "activation", format=made.format, touches=touches, cut="values", **about
        ),
        matmul(f"{name}down", tokens, inner, width, cut="rows", **product),
    ]


def _mixture_rows(model, tokens, layers, made):
    """Router, dispatch, the experts that are touched, combination, and shared experts."""
    width, k, inner = model.routed_width, model.experts_per_token, model.expert_width
    touched = counting.experts_touched(model.experts, k, tokens)
    part = {"calls": layers, "part": "feed-forward"}
    moved = part | {"format": made.format, "cut": "tokens"}
    rows = [
        matmul("router", tokens, model.width, model.experts, cut="tokens", **part, **made.router),
        elementwise("dispatch to experts", tokens * k * width, "add", touches=2, routing="dispatch", **moved),
        *_gated("experts: ", model, tokens * k / touched, inner, layers, made, touched, width, "experts"),
        elementwise("combine experts", tokens * width, "add", touches=k + 1, routing="combine", **moved),
    ]
    if model.latent_width is not None:
        about = part | made.products
        rows.append(matmul("latent, squeezed", tokens, model.width, width, cut="tokens", **about))
        rows.append(matmul("latent, widened", tokens, width, model.width, cut="columns", **about))
    if np.any(model.shared_experts):
        rows += _gated("shared experts: ", model, tokens, model.shared_experts * inner, layers, made)
    return rows


def _ends(model, batch, queries, logits, made):
    """Final norm, output head, and the loss over all tokens' scores."""
    if logits == "none":
        return []
    rows = batch * (queries if logits == "all" else 1)
    norm = {"format": made.format, "part": "ends", "cut": "tokens"}
    found = [
        elementwise("final norm", rows * model.width, "norm", **norm),
        matmul("logits", rows, model.width, model.vocab, part="ends", cut="columns", **made.head),
    ]
    if logits == "all":
        loss = {"format": "fp32", "part": "ends", "cut": "values"}
        found.append(elementwise("softmax and loss", rows * model.vocab, "norm", **loss))
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
        op._replace(name=f"{op.name}, input gradient", gradient="input", shape=op.shape | {"m": m, "k": n, "n": k}),
        op._replace(name=f"{op.name}, weight gradient", gradient="weight", shape=op.shape | {"m": k, "k": m, "n": n}),
    ]


def optimiser(model, *, name="Adam, mixed precision"):
    """One update of all weights: 30 bytes a parameter read and written, a dozen operations."""
    params = record("model", model, Model, "model(name)").params
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

    `recompute`: "full" does every layer's forward again before its backward; "selective" attention alone.
    """
    one_of("recompute", recompute, RECOMPUTE)
    rows = forward(model, batch=batch, queries=tokens, format=format, causal=causal)
    again = [
        r
        for r in rows
        if r.part not in ENDS and (recompute == "full" or (recompute, r.kind) == ("selective", "attention"))
    ]
    again = [r._replace(name=f"{r.name}, again") for r in again]
    return rows + again + backward(rows) + ([optimiser(model)] if update else [])


# ---- questions asked of a ledger


TOTALS = ("flop", "bytes", "weight_bytes", "activation_bytes", "cache_bytes", "calls")


def total(rows, what="flop"):
    """Sum of a column over all rows: flop, bytes, weight_bytes, activation_bytes, cache_bytes."""
    one_of("what", what, TOTALS)
    return sum(getattr(row, what) for row in rows)


def products(rows):
    """The rows that are products of matrices: what the closed forms of the literature count."""
    return [row for row in rows if row.kind in ("matmul", "attention")]


def intensity_flop_per_byte(row):
    """Operations of a row for each byte that it moves."""
    return roofline.intensity_flop_per_byte(row.flop, row.bytes)


# ---- a model as one matrix


def weights_pass(params, tokens, *, weight_bytes):
    r"""One pass of `tokens` tokens through a model's weights, as if they were one matrix.

    $$F = 2\,N\,B, \qquad Q = N\,b_w$$  (eq:weights-pass)

    N    params        parameters that multiply                      [-]
    B    tokens        tokens in the pass: users (decode) or prompt  [-]
    b_w  weight_bytes  size of one weight                            [B]

    Holds for: matrix products only; attention, its cache and activations are left out.
    Source: counting, one multiply-add for each weight and token.

    >>> row = weights_pass(8e9, 2, weight_bytes=2)
    >>> row.flop, row.bytes
    (32000000000.0, 16000000000.0)
    """
    params, tokens, weight_bytes = numbers(most=MOST, params=params, tokens=tokens, weight_bytes=weight_bytes)
    return Op("weights", flop=2 * params * tokens, weight_bytes=params * weight_bytes)


def attention_scores(tokens, *, layers, heads, head_values, score_bytes):
    r"""The pairs of tokens in a causal prompt: their arithmetic, and one pass over their scores.

    $$F = 2\,\ell h d_h\,S^2, \qquad Q = \tfrac{1}{2}\,\ell h\,S^2 b_s$$  (eq:attention-scores)

    S    tokens       tokens of the prompt      [-]
    ℓ    layers       layers                    [-]
    h    heads        query heads of a layer    [-]
    d_h  head_values  values of a head          [-]
    b_s  score_bytes  size of one stored score  [B]

    Holds for: half of the square (causal), a product for the scores and one with the values; the
    bytes are those of one pass, and an attention that keeps its scores in memory makes several.
    Source: counting, S^2 / 2 pairs, four operations for each value of a head.

    >>> row = attention_scores(10, layers=1, heads=1, head_values=4, score_bytes=2)
    >>> row.flop, row.bytes
    (800, 100.0)
    """
    sizes = {"layers": layers, "heads": heads, "head_values": head_values, "score_bytes": score_bytes}
    tokens, layers, heads, head_values, score_bytes = numbers(tokens=tokens, **sizes)
    return Op(
        "attention scores",
        flop=2 * layers * heads * head_values * tokens**2,
        activation_bytes=score_bytes * layers * heads * tokens**2 / 2,
    )


# ---- by the datasheet


def times_s(op, chip, *, format):
    """Seconds of `op` on `chip`, apart: (arithmetic, memory)."""
    _on_a_chip(op, chip)
    return op.flop / chip.peak_flop_per_s(format), op.bytes / chip.memory_bytes_per_s


def _on_a_chip(op, chip):
    record("op", op, Op, "a row of this module")
    record("chip", chip, Chip, "chip(name)")


def time_s(op, chip, *, format):
    """Seconds of `op` on `chip` when arithmetic and traffic overlap (eq:roofline-time)."""
    _on_a_chip(op, chip)
    return roofline.time_s(
        op.flop, op.bytes, peak_flop_per_s=chip.peak_flop_per_s(format), bytes_per_s=chip.memory_bytes_per_s
    )


def ridge_flop_per_byte(chip, *, format):
    """The ridge of `chip` in `format` at its main memory (eq:ridge)."""
    record("chip", chip, Chip, "chip(name)")
    return roofline.ridge_flop_per_byte(
        peak_flop_per_s=chip.peak_flop_per_s(format), bytes_per_s=chip.memory_bytes_per_s
    )
