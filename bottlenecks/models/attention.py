r"""Attention: the rows by which tokens see each other, in each of its forms, and what stands in its place.

A form is a few fields of a `Model`: key-value heads, a latent, a window, an index that chooses keys, layers that borrow
the keys of others, and layers with a state in place of keys.
"""

import numpy as np

from bottlenecks.laws import attention as attending
from bottlenecks.models.rows import attention, elementwise, matmul

# Values read and written for each value of a recurrent layer's width, when it is scanned in chunks of as many tokens as
# its state has values (dao2024mamba2): convolution 2.5; states of the chunks 3.25, passed on in 32 bits 4; the scan 4; norm
# and gate 3.
SCAN_TOUCHES = 16.75
STATE_PRODUCTS = 2  # of a token with the state; the delta rule makes a third (eq:linear-attention)


def projections(model, tokens, layers, made, absorbed):
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
        about = common | made.products | {"cut": "columns", "calls": layers - model.borrowed_layers}
        joined = (heads * d + relative, kv, kv)
        rows.append(matmul("queries, keys, values", tokens, width, columns, joined=joined, **about))
        if np.any(model.borrowed_layers):
            about |= {"calls": model.borrowed_layers}
            rows.append(matmul("queries to borrowed keys", tokens, width, heads * d, **about))
        turned = (heads + model.kv_heads) * d
    if model.index_keys is not None:
        rows += _index_projections(model, tokens, common | made.products)
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


def _index_projections(model, tokens, about):
    """Queries of an index, its one key for all heads, and the weights of its heads."""
    queries, source = model.index_heads * model.index_values, model.q_lora_rank or model.width
    return [
        matmul("index queries", tokens, source, queries, cut="columns", **about),
        matmul("index keys", tokens, model.width, model.index_values + model.index_heads, cut="tokens", **about),
    ]


def scores(model, queries, keys, layers, batch, made, causal, absorbed):
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
    rows, near, coarse = [], model.local_layers, model.coarse_layers
    far = layers - near - coarse
    in_window = near + coarse + (far if model.pooled_tokens is not None else 0)
    if np.any(far) and model.index_keys is not None:
        pooled = model.pooled_tokens or 1
        rows += _index(model, queries, keys, far, common, pooled)
        chosen = common | {"window": model.index_keys * pooled, "gathered": True, "pooled": pooled}
        rows.append(attention("attention to chosen keys", queries, keys, calls=far, **chosen))
    elif np.any(far):
        rows.append(attention("attention", queries, keys, calls=far, **common))
    if np.any(coarse):
        rows.append(attention("coarse attention", queries, keys, calls=coarse, pooled=model.coarse_tokens, **common))
    if np.any(in_window):
        window = common | {"window": model.sliding_window_tokens}
        rows.append(attention("attention in a window", queries, keys, calls=in_window, **window))
    return rows


def _index(model, queries, keys, layers, common, pooled):
    """Scores of an index, in 8 bits: of each query and every key it sees, over all index heads; then the choice.

    A score is a dot product, and its weight in the sum over the heads one value more. No softmax: its kernel is charged one
    all the same, which the products hide. Scores are written and read once, in 32 bits.
    """
    like = {name: common[name] for name in ("batch", "causal", "from_cache")} | {"pooled": pooled}
    one = {"kv_heads": 1, "heads": model.index_heads, "head_values": model.index_values, "v_head_values": 1}
    one |= {"shared_values": True}
    index = attention("index scores", queries, keys, calls=layers, format="fp8", **one, **like)
    pairs = index.flop / (layers * index.shape["heads"] * (2 * index.shape["head_values"] + 2))
    about = {"calls": layers, "part": "attention", "format": "fp32", "cut": "values"}
    return [index, elementwise("choice of keys", pairs, "add", touches=2, **about)]


def output(model, tokens, layers, made):
    values, common = model.heads * (model.v_head_values or model.head_values), {"calls": layers, "part": "attention"}
    return [
        matmul("attention output", tokens, values, model.width, cut="rows", **common, **made.products),
        elementwise("residual add", tokens * model.width, "add", format=made.format, cut="tokens", **common),
    ]


def recurrence(model, batch, queries, made):
    """Recurrent layers: their weights as if they were one matrix of the width, the scan's traffic, and their states.

    A state is read and written once for each sequence of a pass, in 32 bits.
    """
    tokens, common = batch * queries, {"calls": model.ssm_layers, "part": "attention"}
    about = common | made.products | {"cut": "columns"}
    rows = [matmul("recurrence (by its weights)", tokens, model.width, model.ssm_layer_params / model.width, **about)]
    about = common | {"format": made.format, "cut": "values"}
    if model.ssm_width is not None:
        rows.append(elementwise("scan", tokens * model.ssm_width, "activation", touches=SCAN_TOUCHES, **about))
    if model.state_values is not None:
        worked = attending.linear_attention_flop(
            tokens, heads=1, key_values=1, head_values=model.state_values, products=STATE_PRODUCTS
        )
        kept = elementwise("state", batch * model.state_values, "add", touches=2, **about | {"format": "fp32"})
        rows.append(kept._replace(flop=worked * model.ssm_layers))
    return rows
