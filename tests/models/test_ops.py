"""The ledger by hand: every row of small made-up models, its operations, bytes and the shape of its kernel."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model
from bottlenecks.models import ops

# 3 layers of width 8; 4 query heads and 2 of keys and values, of 4 values each; feed-forward of 24; 40 words
SMALL = Model(name="small", layers=3, width=8, ffn_width=24, heads=4, kv_heads=2, head_values=4, vocab=40)


def ledger(model, **asked):
    """{name: row}, of 2 sequences of 5 tokens in 16 bits unless asked otherwise."""
    asked = {"batch": 2, "queries": 5} | asked
    return {op.name: op for op in ops.forward(model, **asked)}


def counts(op):
    return op.flop, op.weight_bytes, op.activation_bytes, op.cache_bytes


def product(tokens, depth, columns, *, calls=1, value=2, weight=2):
    """What a product counts: two operations a weight and token; each weight, operand and result moved once."""
    flop = 2 * tokens * depth * columns
    return calls * flop, calls * weight * depth * columns, calls * value * tokens * (depth + columns), 0


def test_every_row_of_a_dense_model_by_hand():
    rows, tokens = ledger(SMALL), 10
    expected = {
        "embedding lookup": (0, 0, 2 * 2 * tokens * 8, 0),  # read and written
        "attention norm": (3 * 4 * tokens * 8, 0, 3 * 2 * 2 * tokens * 8, 0),  # 4 operations a value, 2 touches
        "queries, keys, values": product(tokens, 8, 16 + 8 + 8, calls=3),
        "rotary positions": (3 * 3 * tokens * 24, 0, 3 * 2 * 2 * tokens * 24, 0),  # 4 + 2 heads of 4 values turn
        # 15 pairs a head of 4 values, twice 2 x 4 operations; queries and results of 4 heads, keys and values of 2
        "attention (causal, half counted)": (3 * 2 * 4 * 15 * 16, 0, 3 * 2 * 2 * (4 * 5 * 8 + 2 * 5 * 8), 0),
        "attention output": product(tokens, 16, 8, calls=3),
        "feed-forward norm": (3 * 4 * tokens * 8, 0, 3 * 2 * 2 * tokens * 8, 0),
        "gate and up": product(tokens, 8, 48, calls=3),
        "activation": (3 * 5 * tokens * 24, 0, 3 * 2 * 3 * tokens * 24, 0),  # gate and up read, one written
        "down": product(tokens, 24, 8, calls=3),
        "residual add": (3 * tokens * 8, 0, 3 * 2 * 3 * tokens * 8, 0),
        "final norm": (4 * tokens * 8, 0, 2 * 2 * tokens * 8, 0),
        "logits": product(tokens, 8, 40),
        "softmax and loss": (4 * tokens * 40, 0, 4 * 2 * tokens * 40, 0),  # in 32 bits
    }
    assert {name: counts(op) for name, op in rows.items()} == expected
    assert sum(op.name == "residual add" for op in ops.forward(SMALL, batch=2, queries=5)) == 2
    moved = {name: op.shape["moved_bytes"] * op.calls for name, op in rows.items() if op.kind == "elementwise"}
    assert moved == {name: rows[name].activation_bytes for name in moved}
    assert rows["queries, keys, values"].joined == (16, 8, 8) and rows["gate and up"].joined == (24, 24)
    for op in rows.values():
        if op.kind == "matmul":
            m, k, n = (op.shape[c] for c in "mkn")
            assert (2 * m * k * n * op.calls, op.shape["groups"]) == (op.flop, 1)
            assert op.weight_bytes == op.calls * 2 * k * n


def test_rows_that_only_some_models_have():
    plain = ledger(replace(SMALL, ffn_matrices=2))  # without a gate: positions are not rotary either
    assert "rotary positions" not in plain and plain["up"].joined == (24,)
    assert counts(plain["up"]) == product(10, 8, 24, calls=3)
    assert plain["activation"].activation_bytes == 3 * 2 * 2 * 10 * 24
    relative = ledger(replace(SMALL, attention="MHA-XL", kv_heads=4))["queries, keys, values"]
    assert counts(relative) == product(10, 8, 4 * 16, calls=3)  # a fourth matrix of the heads' width
    assert relative.joined == (32, 16, 16)
    assert [op.name for op in ops.forward(SMALL, batch=1, queries=4, logits="none")][-1] == "residual add"
    last = ledger(SMALL, logits="last")
    assert counts(last["logits"]) == product(2, 8, 40) and "softmax and loss" not in last


def test_recurrent_layers_by_hand():
    # One of three layers has a recurrence of 800 weights in place of attention, scanning 6 values of a token.
    rows = ledger(replace(SMALL, ssm_layers=1, ssm_layer_params=800, ssm_width=6))
    assert counts(rows["recurrence (by its weights)"]) == product(10, 8, 100)
    assert rows["scan"].activation_bytes == 2 * 16.75 * 10 * 6
    assert rows["attention norm"].calls == rows["attention output"].calls == 2
    assert rows["attention (causal, half counted)"].calls == 2 and rows["feed-forward norm"].calls == 3
    silent = ledger(replace(SMALL, ssm_layers=3, ssm_layer_params=800))
    assert "scan" not in silent and "attention norm" not in silent


def test_windows_by_hand():
    # Two of three layers see 2 tokens: pairs of 5 causal queries are 1 + 2 + 2 + 2 + 2 = 9, not 15.
    rows = ledger(replace(SMALL, local_layers=2, sliding_window_tokens=2))
    near, far = rows["attention in a window (causal, half counted)"], rows["attention (causal, half counted)"]
    assert (near.flop, far.flop) == (2 * 2 * 4 * 9 * 16, 2 * 4 * 15 * 16)
    # A token more with 9 in the cache: the window holds 2, the others 10.
    rows = ledger(replace(SMALL, local_layers=2, sliding_window_tokens=2), queries=1, keys=10)
    near, far = rows["attention in a window"], rows["attention"]
    assert near.cache_bytes == 2 * 2 * 2 * 2 * 2 * 8 and far.cache_bytes == 2 * 2 * 2 * 10 * 8
    assert near.activation_bytes == 2 * 2 * 2 * 4 * 8 and far.activation_bytes == near.activation_bytes / 2
    assert "attention" not in ledger(replace(SMALL, local_layers=3, sliding_window_tokens=2), queries=1, keys=10)


def test_conventions_of_the_causal_square():
    pairs = {c: op.flop / (3 * 2 * 4 * 16) for c in ops.CAUSAL for op in [_attention(ledger(SMALL, causal=c))]}
    assert pairs == {"half": 15, "full": 25, "none": 25}
    masks = {c: _attention(ledger(SMALL, causal=c)).shape["causal"] for c in ops.CAUSAL}
    assert masks == {"half": True, "full": True, "none": False}


def _attention(rows):
    return next(op for op in rows.values() if op.kind == "attention")


# Latent attention: queries squeezed to 6, keys and values to 10; heads of 3 values and 2 turned ones, 4 of a value
LATENT = replace(
    SMALL,
    attention="MLA",
    head_values=5,
    kv_heads=4,
    q_lora_rank=6,
    kv_lora_rank=10,
    qk_nope_values=3,
    qk_rope_values=2,
    v_head_values=4,
)


def test_latent_attention_by_hand():
    rows = ledger(LATENT)
    assert counts(rows["queries, squeezed"]) == product(10, 8, 6, calls=3)
    assert counts(rows["queries, widened"]) == product(10, 6, 20, calls=3)
    assert counts(rows["keys and values, squeezed"]) == product(10, 8, 12, calls=3)
    assert counts(rows["keys and values, widened"]) == product(10, 10, 4 * (3 + 4), calls=3)
    assert counts(rows["attention output"]) == product(10, 16, 8, calls=3)
    assert rows["rotary positions"].flop == 3 * 3 * 10 * (4 + 1) * 2  # four heads' queries, and the one shared key
    # 15 pairs: 2 x 5 for the score, 2 x 4 for the value
    assert _attention(rows).flop == 3 * 2 * 4 * 15 * 18
    assert _attention(rows).activation_bytes == 3 * 2 * 2 * 4 * 5 * (9 + 9)
    whole = ledger(replace(LATENT, q_lora_rank=None))
    assert counts(whole["queries"]) == product(10, 8, 20, calls=3)


def test_absorbed_latent_attention_by_hand():
    # Each head's queries go into the latent of 10, a product of its own; the cache is 10 + 2 values of a token.
    rows = ledger(LATENT, queries=1, keys=9, absorbed=True)
    into, out = rows["queries into the latent"], rows["values out of the latent"]
    assert counts(into) == tuple(4 * value for value in product(2, 3, 10, calls=3))
    assert counts(out) == tuple(4 * value for value in product(2, 10, 4, calls=3))
    assert into.shape["groups"] == out.shape["groups"] == 4
    assert rows["attention"].cache_bytes == 3 * 2 * 2 * 9 * 12  # the values are among the keys
    assert rows["attention"].flop == 3 * 2 * 4 * 9 * (2 * 12 + 2 * 10)
    assert rows["attention"].shape["shared_values"] and rows["attention"].shape["kv_heads"] == 1


# 8 experts of width 12, 2 a token and a shared one; the first layer is plain
MIXED = replace(SMALL, experts=8, experts_per_token=2, expert_width=12, shared_experts=1, dense_layers=1)


def test_a_mixture_by_hand():
    rows = ledger(MIXED)
    touched = 8 * (1 - (6 / 8) ** 10)  # by 10 tokens, each of which misses an expert with 6/8
    assert counts(rows["router"]) == product(10, 8, 8, calls=2)
    assert rows["dispatch to experts"].activation_bytes == 2 * 2 * 2 * 10 * 2 * 8  # two copies, read and written
    assert rows["combine experts"].activation_bytes == 2 * 2 * 3 * 10 * 8  # two read, one written
    up, down = rows["experts: gate and up"], rows["experts: down"]
    assert up.flop == pytest.approx(2 * 2 * 20 * 8 * 24) and down.flop == pytest.approx(2 * 2 * 20 * 12 * 8)
    assert up.weight_bytes == pytest.approx(2 * 2 * touched * 8 * 24) and up.shape["groups"] == pytest.approx(touched)
    assert rows["experts: activation"].activation_bytes == pytest.approx(2 * 2 * 3 * 20 * 12)
    assert counts(rows["shared experts: down"]) == product(10, 12, 8, calls=2)
    assert counts(rows["down"]) == product(10, 24, 8)
    latent = ledger(replace(MIXED, latent_width=4))
    assert counts(latent["latent, squeezed"]) == product(10, 8, 4, calls=2)
    assert counts(latent["latent, widened"]) == product(10, 4, 8, calls=2)
    assert latent["experts: down"].flop == pytest.approx(down.flop / 2)


def test_formats_of_the_products_by_hand():
    # Layers multiply in 8 bits and keep weights in 4; the router stays wide, a head kept in 8 bits is narrow.
    made = ops.Formats(format="bf16", product_format="fp8", weight_format="fp4")
    assert made.products == {"format": "fp8", "weight_format": "fp4"}
    assert made.router == {"format": "bf16", "weight_format": "fp4"}
    assert made.head == {"format": "fp8", "weight_format": "fp4"}
    assert made._replace(head_format="bf16").head == {"format": "bf16", "weight_format": "bf16"}
    assert ops.Formats().head == {"format": "bf16", "weight_format": None}
    assert ops.Formats(weight_format="int8").head == {"format": "bf16", "weight_format": "int8"}
    rows = ledger(SMALL, product_format="fp8", weight_format="fp4", cache_format="fp8", queries=1, keys=9)
    assert counts(rows["down"]) == product(2, 24, 8, calls=3, value=1, weight=0.5)
    assert rows["attention"].cache_bytes == 3 * 2 * 2 * 9 * 8  # a byte a value


# ---- gradients, steps and questions


def test_gradients_by_hand():
    rows = ledger(SMALL)
    back = {op.name: op for op in ops.backward(rows.values())}
    down = rows["down"].shape
    onto, of = back["down, input gradient"], back["down, weight gradient"]
    assert onto.shape == down | {"k": 8, "n": 24} and of.shape == down | {"m": 24, "k": 10, "n": 8}
    assert onto.flop == of.flop == rows["down"].flop and (onto.gradient, of.gradient) == ("input", "weight")
    attention = back["attention (causal, half counted), gradient"]
    forward = rows["attention (causal, half counted)"]
    assert attention.flop == 2 * forward.flop and attention.activation_bytes == 2 * forward.activation_bytes
    assert attention.shape["backward"] and not forward.shape["backward"]
    # Bytes over the forward's: a norm reads two and writes one where it read one and wrote one; an activation
    # 5 for 3; an addition copies one, 2 for 3.
    factors = {"attention norm": 1.5, "activation": 5 / 3, "rotary positions": 1, "residual add": 2 / 3}
    for name, factor in factors.items():
        gradient = back[f"{name}, gradient"]
        assert gradient.activation_bytes == pytest.approx(factor * rows[name].activation_bytes)
        assert gradient.shape["moved_bytes"] == pytest.approx(factor * rows[name].shape["moved_bytes"])
        assert gradient.flop == pytest.approx(factor * rows[name].flop)
    assert next(iter(back)) == "softmax and loss, gradient"


def test_a_step_by_hand():
    rows = ops.training_step(SMALL, batch=2, tokens=5)
    products = [op for op in ops.products(rows) if op.kind == "matmul"]
    weights = SMALL.params - SMALL.embedding_params
    assert ops.total(products) == 6 * weights * 10
    assert ops.total(rows, "cache_bytes") == 0
    # 34 bytes a weight less 4: master, two moments and gradient, 16 read; 12 written, and 2 of the weight
    (update,) = [op for op in rows if op.part == "optimiser"]
    assert update.bytes == 30 * SMALL.params == update.shape["moved_bytes"] and update.flop == 12 * SMALL.params
    bare = ops.training_step(SMALL, batch=2, tokens=5, update=False)
    assert len(rows) == len(bare) + 1
    full, selective = (ops.training_step(SMALL, batch=2, tokens=5, recompute=r) for r in ("full", "selective"))
    assert ops.total(selective) - ops.total(rows) == 3 * 2 * 4 * 15 * 16
    body = [op for op in ops.forward(SMALL, batch=2, queries=5) if op.part in ("attention", "feed-forward")]
    assert ops.total(full) - ops.total(rows) == ops.total(body)


def test_prompts_and_steps_of_a_server_by_hand():
    read = {op.name: op for op in ops.prefill(SMALL, batch=2, prompt_tokens=5)}
    assert read["logits"].shape["m"] == 2 and read["down"].shape["m"] == 10
    made = {op.name: op for op in ops.decode(LATENT, batch=2, context_tokens=5)}
    assert "queries into the latent" in made and made["logits"].shape["m"] == 2


def test_a_ledger_is_refused_with_reasons():
    for wrong, match in (
        ({"batch": 0}, "batch"),
        ({"queries": 0}, "queries"),
        ({"keys": 4}, "keys must be at least queries"),
        ({"causal": "haf"}, "half"),
        ({"logits": "al"}, "all"),
    ):
        with pytest.raises(ValueError, match=match):
            ledger(SMALL, **wrong)
    assert ledger(SMALL, keys=5)  # as many keys as queries
    with pytest.raises(ValueError, match="encoder-decoder"):
        ledger(replace(SMALL, encoder_layers=2))


def test_an_elementwise_row_by_hand():
    row = ops.elementwise("x", 10, "add", format="bf16", calls=3)
    assert counts(row) == (30, 0, 3 * 2 * 10 * 3, 0) and row.shape["moved_bytes"] == 60
    row = ops.elementwise("x", 10, "activation", format="fp32")
    assert (row.flop, row.bytes) == (50, 4 * 10 * 2)


def test_a_decode_ledger_of_arrays():
    many = ops.forward(SMALL, batch=np.array([1, 2]), queries=5)
    one, two = (ops.total(ops.forward(SMALL, batch=b, queries=5), "bytes") for b in (1, 2))
    assert ops.total(many, "bytes").tolist() == [one, two]
