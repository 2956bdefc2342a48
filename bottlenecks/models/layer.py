"""Layer: the seconds of one mean layer of a training step on one chip, its kernels, launches and messages."""

from dataclasses import replace

import numpy as np

from bottlenecks.models import cut, kernels, ops
from bottlenecks.models.machine import rows_s
from bottlenecks.models.sets import answered
from bottlenecks.models.wiring import near, send_s

UNFUSED_KERNELS = 5  # of an attention that is not fused
# What the processor does for one matrix, forward and backward (te-grouped-linear): of 16 bits a product and
# a view; two products, a view, and the gradient's buffer, hook and count. Operands of narrow products are cast
# first, into four buffers, and both operands' scales are put in the order that the product reads, into two
# more; buffers are let go again.
MATRIX_CALLS = {"wide": (2, 6), "narrow": (10, 22)}
# Of these, what only the gradient of weights needs: 4 of 8 (te-grouped-linear). A pipeline can put them off, and
# without them a step that waits for the processor would be slower with faster kernels.
WEIGHT_CALLS = 4 / 8
# Launches that route, count, sort, send and bring back the tokens of a mixture, forward and backward
# (megatron-core-moe).
ROUTING_CALLS = (45, 25)
# Bytes, forward and backward, for each value that experts write, whose biases are weighed, added and joined
# one expert after the other in 32 bits; and for each value of their width, which is bounded in two halves that are
# joined again (megatron-core-moe; nearly as many in nemo-automodel, moe/layers.py).
BIAS_BYTES, BOUND_BYTES = (28, 40), (16, 20)
SORTED_BYTES = 8  # of a 16-bit value that is put in the order of experts, and back: each read and written
MASKED_SHARE = 0.15  # of an encoder's tokens, which alone reach its head: bert-readme
NAMES = ("tp", "sp", "cp", "ep", "micro_batch", "seq_len", "imbalance")


def layer(model, layout, on, software, memo=None):
    """One mean layer, and both ends of the model, for a micro-batch on one chip of every layout: `sets.Answers`.

    products_s, attention_s, elementwise_s            forward pass
    weight_gradients_s, input_gradients_s             products of the backward pass
    attention_gradients_s, elementwise_gradients_s    the rest of the backward pass
    products_flop, attention_flop, ends_flop          forward, causal half; a backward pass has twice as many
    launches, launches_back                           and what else the processor does for each matrix
    ends_s, embedding_s                               forward and backward
    tensor_s, gather_s                                exchange of the residual stream, and an all-gather alone
    context_s, experts_s                              keys and values once around; one all-to-all
    """

    def timed_layer(**few):
        return _layer(model, on, software, **few)

    return answered(timed_layer, on, memo, **{name: getattr(layout, name) for name in NAMES})


def layer_rows(model, *, tp, sp, cp, ep, micro_batch, seq_len, imbalance=1.0, folds=False, **formats):
    """Forward rows of the whole model on one chip of its group: `ops.forward`, cut (`cut.one_dimensional`).

    Of an encoder, `MASKED_SHARE` of the tokens reach the head; a model that looks ahead has a head for
    each token more.
    """
    causal = "none" if model.both_ways else "half"
    rows = ops.forward(model, batch=micro_batch / cp, queries=seq_len, causal=causal, **formats)
    if model.both_ways:
        rows = [cut.fewer_tokens(op, MASKED_SHARE) if op.part == "ends" else op for op in rows]
    if model.ahead:
        more = 1 + model.ahead
        rows = [op._replace(calls=op.calls * more, flop=op.flop * more) if op.part == "ends" else op for op in rows]
    how = {"tp": tp, "stream": np.where(sp, tp, 1), "ep": ep, "imbalance": imbalance, "folds": folds}
    return [cut.one_dimensional(op, model, tokens=micro_batch * seq_len / cp, **how) for op in rows]


def _layer(model, on, software, **few):
    formats = {"format": on.format, "product_format": on.product_format if on.narrow else None}
    rows = layer_rows(model, **few, folds=software.folds_experts, **formats)
    rows = [_as_run(op, software) for op in rows]
    body = [op for op in rows if op.part not in ops.ENDS]
    head, embedding = ([op for op in rows if op.part == part] for part in ("ends", "embedding"))
    ledgers = {"body": body, "back": ops.backward(body), "ends": head + ops.backward(head)}
    ledgers["embedding"] = embedding + ops.backward(embedding)
    whole = rows_s([op for mine in ledgers.values() for op in mine], worn(on, software))
    took, start = {}, 0
    for name, mine in ledgers.items():
        took[name] = _by_kind(mine, whole[start : start + len(mine)])
        start += len(mine)
    layers, zero = model.layers, 0.0 * few["tp"]
    cast_s, alone_s = _casts_s(body, on, software, layers)
    sorted_s, biases_s = _rearranged(model, on, software, **few)
    return {
        "products_s": took["body"]["matmul"] / layers + alone_s,
        "attention_s": took["body"]["attention"] / layers + zero,
        "elementwise_s": took["body"]["elementwise"] / layers + sorted_s + biases_s[0],
        "weight_gradients_s": took["back"]["weight"] / layers + zero,
        "input_gradients_s": took["back"]["input"] / layers + cast_s,
        "attention_gradients_s": took["back"]["attention"] / layers + zero,
        "elementwise_gradients_s": took["back"]["elementwise"] / layers + sorted_s + biases_s[1],
        "products_flop": ops.total([op for op in body if op.kind == "matmul"]) / layers + zero,
        "attention_flop": ops.total([op for op in body if op.kind == "attention"]) / layers + zero,
        "launches": launches(body, on, software, backward=0) / layers + zero,
        "launches_back": launches(body, on, software, backward=1) / layers + zero,
        "ends_s": took["ends"]["all"] + zero,
        "ends_flop": ops.total([op for op in head if op.kind == "matmul"]) + zero,
        "embedding_s": took["embedding"]["all"] + zero,
        **{f"{name}_s": took for name, took in messages(model, on, software, **few).items()},
    }


def worn(on, software):
    """The machine as kernels find it inside a training step: rates that its power and software sustain."""
    powered = np.minimum(software.per_joule * on.sustained, 1)
    attending = np.minimum(software.tuned_attention * on.sustained, 1)
    return replace(
        on, matmul_flop_per_s=on.matmul_flop_per_s * powered, older_flop_per_s=on.older_flop_per_s * attending
    )


def _as_run(op, software):
    """A row as the software ran it: its kernel of attention, its traffic of elementwise kernels."""
    if op.kind == "elementwise":
        return op._replace(shape=op.shape | {"moved_bytes": op.shape["moved_bytes"] * software.traffic})
    if op.kind != "attention":
        return op
    masked = op.shape["causal"] and not (software.attention == "unfused" and software.mask_fused)
    implementation = None if software.attention == "best" else software.attention
    return op._replace(shape=op.shape | {"implementation": implementation, "causal": masked})


def _by_kind(rows, seconds):
    """Seconds of a ledger by kind of row, of backward products by gradient, and of all."""
    found = dict.fromkeys(("matmul", "attention", "elementwise", "weight", "input", "all"), 0.0)
    for op, each in zip(rows, seconds, strict=True):
        for name in (op.gradient or op.kind, "all"):
            found[name] = found[name] + each
    return found


def launches(rows, on, software, *, backward):
    """What the processor does, one after the other, for a pass of rows: each kernel, each matrix of each expert."""
    found = 0.0
    for op in rows:
        if op.kind == "matmul":
            narrow = "narrow" if op.format != on.format else "wide"
            found = found + op.calls * MATRIX_CALLS[narrow][backward] * op.shape["groups"]
            continue
        unfused = op.kind == "attention" and software.attention == "unfused"
        mine = (UNFUSED_KERNELS if unfused else 1) * (1 + backward)
        found = found + op.calls * (mine + (op.routing == "dispatch") * ROUTING_CALLS[backward])
    return found


def _casts_s(body, on, software, layers):
    """(all, those alone): seconds that a layer's narrow operands take to be made narrow, and those that no kernel
    before them writes narrow."""
    narrow = [op for op in body if op.kind == "matmul" and op.format != on.format]
    if not narrow:
        return 0.0, 0.0
    # What a norm or an activation has just made, it can write narrow: not what experts or attention wrote.
    alone = [
        op for op in narrow if op.routing or (op.part, op.cut) == ("attention", "rows") or not software.fuses_casts
    ]

    def took_s(rows):
        values = sum(op.calls * op.shape["groups"] * op.shape["m"] * op.shape["k"] for op in rows)
        moved_s = values * on.cast_bytes / on.memory_bytes_per_s
        return (sum(op.calls for op in rows) * on.light_s + moved_s) / layers

    return took_s(narrow), took_s(alone)


# ---- what a mixture moves on its chip


def _rearranged(model, on, software, tp, sp, cp, ep, micro_batch, seq_len, imbalance):
    """(seconds of a sort, of both directions alike; (seconds of biases forward, backward))."""
    if model.experts is None:
        return 0.0 * tp, (0.0, 0.0)
    share = (model.layers - model.dense_layers) / model.layers
    copies = micro_batch * seq_len / cp * model.experts_per_token / np.where(sp, tp, 1)

    def moved_s(moved_bytes):
        return share * kernels.elementwise_s(moved_bytes, device=on)

    sorted_s = np.where(_ranks(software, tp, ep) > 1, moved_s(SORTED_BYTES * copies * model.routed_width), 0.0)
    if not model.expert_biases:
        return sorted_s, (0.0, 0.0)
    out, inner = copies * imbalance * model.routed_width, copies * imbalance * model.expert_width
    both = zip(BIAS_BYTES, BOUND_BYTES, strict=True)
    return sorted_s, tuple(moved_s(bias * out + bound * inner) for bias, bound in both)


def _ranks(software, tp, ep):
    """Ranks over which a layer's experts are dealt."""
    return ep * tp if software.folds_experts else ep


# ---- messages


def messages(model, on, software, tp, sp, cp, ep, micro_batch, seq_len, imbalance, send=send_s):
    """Each of a layer's exchanges, once: tensor-parallel, of its half a gather, context-parallel, and of experts.

    `send`: asked what a collective comes to: `wiring.send_s`, seconds; `wires.carried`, bytes on each tier.
    """
    tokens, wide = micro_batch * seq_len / cp, on.bytes_per_value
    stream_bytes = wide * tokens * model.width
    gather = send("all_gather", stream_bytes, tp, on=on)
    tensor = gather + send("reduce_scatter", stream_bytes, tp, on=on)
    if not np.all(sp):
        tensor = np.where(sp, tensor, send("all_reduce", stream_bytes, tp, on=on))
    kv_values = 2 * np.maximum(model.kv_heads / tp, 1) * model.head_values
    if model.attention == "MLA":
        kv_values = model.kv_lora_rank + model.qk_rope_values
    around = wide * tokens * kv_values * cp  # bytes that a rank has seen once all have gone around
    return {
        "tensor": tensor,
        "gather": gather,
        "context": send("all_gather", around, cp, on=on, per_domain=np.minimum(near(on, tp), cp)),
        "experts": _all_to_all(model, on, software, tokens, tp, sp, ep, imbalance, send),
    }


def _all_to_all(model, on, software, tokens, tp, sp, ep, imbalance, send):
    """One all-to-all of a mean layer: tokens to their experts, or back."""
    if model.experts is None:
        return 0.0 * tp
    k, wide, ranks = model.experts_per_token, on.bytes_per_value, _ranks(software, tp, ep)
    close = near(on, 1 if software.folds_experts else tp) + 0.0 * tp
    sent = wide * tokens * k * model.routed_width / np.where(sp, tp, 1)
    if software.sends_once:
        domains = np.maximum(ranks / close, 1)
        met = domains * (1 - (1 - 1 / domains) ** k) / k  # domains that a token's experts lie in, over experts
        sent = sent * np.where(domains > 1, met, 1)
    found = send("all_to_all", sent * imbalance, ranks, on=on, per_domain=np.minimum(close, ranks))
    if not software.folds_experts:  # each expert is cut over tensor-parallel ranks: all need its tokens
        whole = wide * tokens * k * model.routed_width * imbalance
        found = found + (send("all_gather", whole, tp, on=on) + send("reduce_scatter", whole, tp, on=on)) / 2
    return found * (model.layers - model.dense_layers) / model.layers
