"""Ledgers: rows by hand, sums against closed forms, and the questions asked of them."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model, models
from bottlenecks.facts.chips import chip
from bottlenecks.laws import counting
from bottlenecks.models import kernels, ops
from bottlenecks.studies import ledgers

LLAMA, MIXTRAL, DEEPSEEK = (model(n) for n in ("Llama-3-8B", "Mixtral-8x7B", "DeepSeek-V3"))
GPT3 = model("GPT-3 175B")
DECODERS = [m for m in models().values() if not m.encoder_layers]
each_decoder = pytest.mark.parametrize("m", DECODERS, ids=lambda m: m.name)


def row(rows, name):
    found = [r for r in rows if r.name.split(" (causal")[0] == name]
    assert len(found) == 1, f"{len(found)} rows named {name}"
    return found[0]


# ---- rows by hand


@pytest.mark.parametrize(
    ("name", "m", "n"),
    [
        ("queries, keys, values", 4096, 4096 + 2 * 1024),  # 32 heads and twice 8, of 128 values
        ("attention output", 4096, 4096),
        ("gate and up", 4096, 2 * 14336),
        ("down", 14336, 4096),
    ],
)
def test_projections_of_llama_3_8b_for_one_token(name, m, n):
    """32 layers; two operations for each weight, two bytes for each weight and each value."""
    found = row(ops.forward(LLAMA, batch=1, queries=1), name)
    assert found.flop == 32 * 2 * m * n
    assert found.weight_bytes == 32 * 2 * m * n
    assert found.activation_bytes == 32 * 2 * (m + n)
    assert found.cache_bytes == 0


def test_elementwise_rows_of_llama_3_8b_for_three_tokens():
    """Values of 2 bytes; a norm reads and writes, an addition reads two; the activation reads two of 14,336."""
    rows = ops.forward(LLAMA, batch=3, queries=1)
    assert row(rows, "attention norm").bytes == 32 * 3 * 4096 * 2 * 2
    assert row(rows, "activation").bytes == 32 * 3 * 14336 * 2 * 3
    adds = [r for r in rows if r.name == "residual add"]
    assert [r.bytes for r in adds] == [32 * 3 * 4096 * 2 * 3] * 2
    assert row(rows, "rotary positions").bytes == 32 * 3 * (32 + 8) * 128 * 2 * 2


def test_decode_reads_131072_bytes_of_cache_for_each_token_of_llama_3_8b():
    """32 layers x 8 heads x 128 values x (key, value) x 2 bytes."""
    for batch, context in ((1, 1000), (7, 1000), (1, 8192)):
        rows = ops.decode(LLAMA, batch=batch, context_tokens=context)
        assert ops.total(rows, "cache_bytes") == batch * context * 131072


def test_a_latent_cache_has_576_values_a_token_and_layer():
    """DeepSeek-V3: 512 of the latent and 64 of position, in 61 layers, for all 128 heads together."""
    rows = ops.decode(DEEPSEEK, batch=2, context_tokens=1000)
    assert ops.total(rows, "cache_bytes") == 2 * 1000 * 61 * 576 * 2
    wide = ops.decode(DEEPSEEK, batch=2, context_tokens=1000, absorbed=False)
    assert ops.total(wide, "cache_bytes") == 2 * 1000 * 61 * 128 * (192 + 128) * 2


def test_absorbed_attention_multiplies_the_latent():
    """Scores of 576 values and a sum of 512, by 128 heads, for each token of the context."""
    rows = ops.decode(DEEPSEEK, batch=1, context_tokens=1000)
    assert row(rows, "attention").flop == 61 * 128 * 1000 * (2 * 576 + 2 * 512)
    wide = ops.decode(DEEPSEEK, batch=1, context_tokens=1000, absorbed=False)
    assert row(wide, "attention").flop == 61 * 128 * 1000 * (2 * 192 + 2 * 128)


def test_the_causal_half_has_the_diagonal():
    """q (q + 1) / 2 of q^2 pairs; four operations for each of 32 heads of 128 values."""
    n = 1000
    found = {
        c: row(ops.forward(LLAMA, batch=1, queries=n, causal=c), "attention").flop
        if c != "none"
        else row(ops.forward(LLAMA, batch=1, queries=n, causal=c), "attention (no mask)").flop
        for c in ops.CAUSAL
    }
    assert found["full"] == found["none"] == 32 * 32 * n * n * 4 * 128
    assert found["half"] == 32 * 32 * n * (n + 1) / 2 * 4 * 128


def test_a_row_says_what_it_counts():
    rows = ops.forward(LLAMA, batch=1, queries=8, causal="full")
    assert any(r.name == "attention (causal, full counted)" for r in rows)


def test_two_tokens_of_mixtral_touch_three_and_a_half_experts():
    """8 (1 - (6/8)^2) = 3.5 experts of 3 x 4096 x 14336 weights in 32 layers; each token visits two."""
    rows = ops.decode(MIXTRAL, batch=2, context_tokens=10)
    up, down = row(rows, "experts: gate and up"), row(rows, "experts: down")
    assert up.weight_bytes + down.weight_bytes == pytest.approx(32 * 3.5 * 3 * 4096 * 14336 * 2)
    assert up.flop + down.flop == pytest.approx(32 * 2 * 2 * 2 * 3 * 4096 * 14336)


def test_a_prefill_has_the_logits_of_the_last_token_and_no_loss():
    rows = ops.prefill(LLAMA, batch=4, prompt_tokens=100)
    assert row(rows, "logits").flop == 2 * 4 * 4096 * 128256
    assert not [r for r in rows if r.name == "softmax and loss"]
    assert not [r for r in ops.decode(LLAMA, batch=4, context_tokens=9) if r.name == "softmax and loss"]


def test_a_window_caps_the_cache_that_is_read():
    """Gemma-3-1B: 22 of 26 layers see 512 tokens; one head of 256 values, key and value of 2 bytes."""
    m = model("Gemma-3-1B")
    rows = ops.decode(m, batch=1, context_tokens=10_000)
    assert row(rows, "attention in a window").cache_bytes == 22 * 512 * 2 * 256 * 2
    assert row(rows, "attention").cache_bytes == 4 * 10_000 * 2 * 256 * 2


# ---- sums against closed forms


@each_decoder
def test_weights_of_one_token_are_the_active_parameters(m):
    rows = ops.products(ops.forward(m, batch=1, queries=1))
    active = m.active_block_params + m.head_params
    assert ops.total(rows, "weight_bytes") == pytest.approx(2 * active, rel=1e-12)
    ledger = sum(r.flop for r in rows if r.kind == "matmul")
    assert ledger == pytest.approx(2 * active, rel=1e-12)


@each_decoder
def test_weights_of_many_tokens_are_all_parameters(m):
    rows = ops.products(ops.decode(m, batch=100_000, context_tokens=1, absorbed=False))
    everything = m.block_params + m.head_params
    assert ops.total(rows, "weight_bytes") == pytest.approx(2 * everything, rel=1e-12)


@pytest.mark.parametrize(("batch", "tokens"), [(1, 2048), (4, 128)])
def test_gpt3_is_megatrons_formula_and_palms(batch, tokens):
    """Full square, d = h d_h: both closed forms count exactly the ledger's products."""
    shape = {"batch": batch, "context_tokens": tokens, "layers": 96, "width": 12288, "vocab": 50257}
    step = {"batch": batch, "tokens": tokens, "causal": "full", "update": False}
    counted = ops.total(ops.products(ops.training_step(GPT3, **step)))
    assert counted == pytest.approx(counting.megatron_flop(**shape, recomputed=False), rel=1e-14)
    palm = counting.palm_flop(GPT3.params, batch * tokens, layers=96, heads=96, head_values=128, context_tokens=tokens)
    assert counted == pytest.approx(palm, rel=1e-14)
    again = ops.total(ops.products(ops.training_step(GPT3, **step, recompute="full")))
    assert again == pytest.approx(counting.megatron_flop(**shape), rel=1e-14)


@each_decoder
def test_a_backward_pass_does_twice_the_products(m):
    rows = ops.products(ops.forward(m, batch=2, queries=64))
    assert ops.total(ops.backward(rows)) == pytest.approx(2 * ops.total(rows), rel=1e-12)


def test_a_prompt_and_decoding_read_the_same_square():
    """Attention of one prompt is that of decoding its tokens one after the other."""
    n = 50
    prompt = row(ops.prefill(LLAMA, batch=1, prompt_tokens=n), "attention").flop
    alone = ops.decode(LLAMA, batch=1, context_tokens=np.arange(1, n + 1))
    assert prompt == np.sum(row(alone, "attention").flop)


# ---- arrays


@pytest.mark.parametrize("m", [LLAMA, GPT3, MIXTRAL, DEEPSEEK], ids=lambda m: m.name)
@pytest.mark.parametrize("name", ledgers.PHASES)
def test_arrays_equal_scalars(m, name):
    batch, tokens = np.array([[1], [8], [256]]), np.array([128, 4096])
    swept = ledgers.phase(m, name, batch=batch, tokens=tokens)
    for what in ("flop", "weight_bytes", "activation_bytes", "cache_bytes"):
        whole = np.broadcast_to(ops.total(swept, what), (3, 2))
        each = [
            [ops.total(ledgers.phase(m, name, batch=int(b), tokens=int(t)), what) for t in tokens] for b in batch[:, 0]
        ]
        np.testing.assert_allclose(whole, each, rtol=1e-12)


# ---- the questions


def test_merged_loses_nothing_and_names_a_gradient_by_its_forward():
    device = kernels.device(chip("H100 SXM5"))
    for name in ledgers.PHASES:
        rows = ledgers.phase(DEEPSEEK, name, batch=2, tokens=512)
        table = ledgers.merged(rows, device)
        assert len(set(table["operation"])) == table["operation"].size
        for what in ("flop", "bytes", "weight_bytes", "activation_bytes", "cache_bytes"):
            assert table[what].sum() == pytest.approx(ops.total(rows, what))
        assert table["time_s"].sum() == pytest.approx(kernels.ledger_s(rows, device))
    forward, backward = (ledgers.merged(ledgers.phase(LLAMA, p, batch=1, tokens=64)) for p in ledgers.PHASES[:2])
    assert set(forward["operation"]) == set(backward["operation"])
    assert "attention" in forward["operation"]


def test_the_two_gradients_of_a_product_are_alike():
    """What `merged` relies on: equal operations and equal bytes."""
    rows = ops.backward([ops.matmul("x", 3, 5, 7, format="bf16")])
    assert [r.flop for r in rows] == [2 * 3 * 5 * 7] * 2
    assert rows[0].bytes == rows[1].bytes


def test_per_token_divides_by_the_tokens_that_a_phase_takes_in():
    flop, moved = ledgers.per_token(LLAMA, "decode", batch=4, tokens=100)
    rows = ops.decode(LLAMA, batch=4, context_tokens=100)
    assert (flop, moved) == (ops.total(rows) / 4, ops.total(rows, "bytes") / 4)
    flop, _ = ledgers.per_token(LLAMA, "forward", batch=4, tokens=100)
    assert flop == ops.total(ops.forward(LLAMA, batch=4, queries=100)) / 400


def test_six_n_d_of_gpt3_by_hand():
    """Products of 6 N and causal attention of 6 l d (S + 1), over 6 N: N from the catalog's shapes."""
    n, s = GPT3.params, 2048
    assert ledgers.over_six_n_d(GPT3, tokens=s) == pytest.approx(1 + 96 * 12288 * (s + 1) / n)
    full = ledgers.over_six_n_d(GPT3, tokens=s, causal="full")
    assert full == pytest.approx(1 + 2 * 96 * 12288 * s / n)


def test_an_embedding_that_is_looked_up_lowers_the_ratio():
    """Llama-3-8B keeps 128,256 x 4,096 weights that multiply nothing."""
    assert ledgers.multiplying_params(LLAMA) == LLAMA.params - 128256 * 4096
    assert ledgers.multiplying_params(MIXTRAL) == MIXTRAL.active_params - 32000 * 4096
    bare = ledgers.over_six_n_d(LLAMA, tokens=512, params=ledgers.multiplying_params(LLAMA))
    assert ledgers.over_six_n_d(LLAMA, tokens=512) < 1 < bare


@pytest.mark.parametrize("m", models().values(), ids=lambda m: m.name)
def test_parts_are_all_parameters(m):
    parts = ledgers.parameters_by_part(m)
    assert sum(parts.values()) == m.params
    assert all(value >= 0 for value in parts.values())
    assert (parts["experts not met"] > 0) == (m.experts is not None)


def test_one_token_fetches_what_a_dense_model_would():
    """And very many all experts, shared by them: Mixtral's 46.7 billion less an embedding, at 2 bytes."""
    one, dense = ledgers.fetched_bytes_per_token(MIXTRAL, 1)
    assert one == pytest.approx(dense)
    many, dense = ledgers.fetched_bytes_per_token(MIXTRAL, 4096)
    assert many * 4096 == pytest.approx(2 * (MIXTRAL.params - 32000 * 4096))
    assert many / dense == pytest.approx((MIXTRAL.params - 32000 * 4096) / (MIXTRAL.active_params - 32000 * 4096))


def test_tokens_that_touch_nine_tenths_by_hand():
    """DeepSeek-V3, 8 of 256: a token misses an expert with 31/32; ln 0.1 / ln (31/32) = 2.302585 / 0.031749 = 72.53."""
    deepseek = model("DeepSeek-V3")
    tokens = ledgers.tokens_touching(deepseek, share=0.9)
    assert tokens == pytest.approx(72.53, abs=0.01)
    assert ledgers.touched_share(deepseek, tokens) == pytest.approx(0.9)


def test_a_table_has_a_cache_only_where_an_operation_has_one():
    h100, llama = chip("H100 SXM5"), model("Llama-3-8B")
    forward = ledgers.table(ops.forward(llama, batch=1, queries=128), h100)
    decode = ledgers.table(ops.decode(llama, batch=1, context_tokens=128), h100)
    assert "cache" not in forward[0] and "cache" in decode[0]
    assert list(decode[0]) == [*list(forward[0])[:6], "cache", *list(forward[0])[6:]]


def test_touched_share_by_hand():
    """4 of 128: after one token 1/32; after two 1 - (31/32)^2 = 63/1024."""
    share = ledgers.touched_share(model("gpt-oss-120b"), [1, 2])
    np.testing.assert_allclose(share, [1 / 32, 63 / 1024])


def test_tables_have_a_line_for_each_row_phase_and_model():
    h100 = chip("H100 SXM5")
    rows = ops.decode(LLAMA, batch=1, context_tokens=128)
    lines = ledgers.table(rows, h100)
    assert [line["operation"] for line in lines] == [r.name for r in rows]
    assert {line["bound by"] for line in lines} == {"memory"}  # one token: nothing reaches the ridge
    assert [line["phase"] for line in ledgers.phases_table(LLAMA, batch=1, tokens=128, chip=h100)] == list(
        ledgers.PHASES
    )
    told = ledgers.rules_table(["GPT-3 175B", "Mixtral-8x7B"], tokens=2048)
    assert [line["model"] for line in told] == ["GPT-3 175B", "Mixtral-8x7B"]


def test_shares_of_a_step_sum_to_one():
    rows = ops.decode(LLAMA, batch=8, context_tokens=1024)
    shares = ledgers.resource_shares(rows, chip("H100 SXM5"))
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert max(shares, key=shares.get) == "memory"
