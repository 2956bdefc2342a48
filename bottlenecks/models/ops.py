r"""Work as rows: an operation is a name, its FLOP and its bytes, and the shape of the kernel that does it.

A step is a flat list of `Op` rows, to print, sum, sort and edit. Every number counts what is needed:
each operand read once, each result written once, and of a causal square the half that is used (`rows` has the kinds of
rows). Numbers may be arrays: batch, tokens and any shape of the model sweep through a whole ledger.
"""

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import MOST, numbers, one_of, record, shown, switch
from bottlenecks.laws import counting, roofline
from bottlenecks.models import attention
from bottlenecks.models.rows import CAUSAL, Formats, Op, elementwise, matmul

LOGITS = ("all", "last", "none")
ROWS = ("all", "attention", "others")
RECOMPUTE = ("none", "selective", "full")  # of `recomputation.POLICIES`, those that repeat whole rows
ENDS = ("embedding", "ends")  # parts that stand once, before and after the layers
GRADIENT = {
    "norm": 1.5,
    "activation": 5 / 3,
    "rotary": 1.0,
    "add": 2 / 3,
}  # bytes of the gradient kernel over the forward one's
ADAM_BYTES = (
    4 * 4 + 3 * 4 + 2
)  # per parameter: master, two moments and gradient read; the first three and the weight written
ADAM_FLOP = 12


def forward(model, *, batch, queries, keys=None, causal="half", logits="all", absorbed=False, rows="all", **formats):
    """Rows of one forward pass of `queries` new tokens in each of `batch` sequences of `keys` tokens.

    `keys` counts the new tokens too; more keys than queries are read from the cache. `logits`: of
    all tokens, of the last of each sequence, or none. `absorbed`: latent attention multiplies its
    up-projections into queries and outputs and reads the latent itself, as serving does, and as queries must that
    choose their keys. `rows`: all,
    those of attention alone, or the others, which do not depend on the context. `formats`: those of `Formats`.

    Left out: biases, dropout, positions other than rotary ones (counted for gated models), and of
    recurrent layers without `ssm_width` everything but their weights. Encoder-decoder models are refused.
    """
    batch, queries, keys = _checked(model, batch, queries, queries if keys is None else keys, causal, logits, rows)
    absorbed = switch("absorbed", absorbed) or model.index_keys is not None
    made, tokens = Formats(**formats), batch * queries
    attending = model.layers - model.ssm_layers
    scores = []
    if rows != "others" and np.any(attending):
        scores = attention.scores(model, queries, keys, attending, batch, made, causal, absorbed)
    if rows == "attention":
        return scores
    found = [_embedding(model, tokens, made.format)]
    if np.any(attending):
        found += attention.projections(model, tokens, attending, made, absorbed) + scores
        found += attention.output(model, tokens, attending, made)
    if np.any(model.ssm_layers):
        found += attention.recurrence(model, batch, queries, made)
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
