"""Forms of attention: an index that chooses keys, pooled keys, borrowed ones, and states, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import cache, kernels, ops

V32, V3 = model("DeepSeek-V3.2"), model("DeepSeek-V3")
GQA = model("Llama-3-8B")


def row(rows, name):
    return next(op for op in rows if op.name.startswith(name))


def test_an_index_scores_every_pair_and_attention_meets_the_chosen():
    # A causal prompt of 4,096 tokens: 4,096 x 4,097 / 2 = 8,390,656 pairs, of which 2,048 x 2,049 / 2 + 2,048 x 2,048 =
    # 6,292,480 are met. An index head does 2 x 128 operations for a score and 2 for its weight: 64 heads, 61 layers.
    rows = ops.forward(V32, batch=1, queries=4096)
    assert row(rows, "index scores").flop == 61 * 64 * 258 * 8390656
    # 128 heads on latents of 512 values and 64 of position: 2 x 576 for the score, 2 x 512 for the values
    assert row(rows, "attention to chosen keys").flop == 61 * 128 * (2 * 576 + 2 * 512) * 6292480
    # and the way through the latent, which the dense model does not take in a prompt
    assert any(op.name == "queries into the latent" for op in rows)


def test_a_decode_step_reads_the_index_and_2048_latents():
    rows = ops.decode(V32, batch=1, context_tokens=100_000)
    assert row(rows, "index scores").cache_bytes == 61 * 100_000 * 128
    assert row(rows, "attention to chosen keys").cache_bytes == 61 * 2048 * 576 * 2
    dense = next(op for op in ops.decode(V3, batch=1, context_tokens=100_000) if op.kind == "attention")
    assert dense.cache_bytes == 61 * 100_000 * 576 * 2


def test_weights_of_an_index():
    # queries 1,536 x 64 x 128, a key 7,168 x 128, weights of heads 7,168 x 64
    assert V32.index_params == 1536 * 8192 + 7168 * 192
    assert V32.params - V3.params == 61 * V32.index_params
    assert model("GLM-5").params == pytest.approx(744e9, rel=1e-3)  # printed


def test_each_query_reads_the_keys_that_it_has_chosen():
    rows = ops.forward(V32, batch=1, queries=4096)
    op = row(rows, "attention to chosen keys")
    asked = 2 * 128 * 4096 * (576 + 512)
    assert op.activation_bytes == 61 * (asked + 2 * 6292480 * 576)


def test_an_index_pays_from_some_context_on():
    on = kernels.device(chip("H100 SXM5"))
    context = np.array([1024.0, 8192.0, 65536.0, 262144.0])

    def seconds(m, **how):
        return kernels.ledger_s(ops.forward(m, batch=1, queries=context, rows="attention", **how), on)

    ratio = seconds(V32) / seconds(V3)
    assert ratio[0] > 1 > ratio[-1] and np.all(np.diff(ratio) < 0)


def test_cache_of_an_index():
    # a latent of 656 bytes as served, and a key of 132: 61 x 788 a token
    assert cache.context_bytes(V32, 1000, cache_bytes=656 / 576) == pytest.approx(61 * 788 * 1000)


@pytest.mark.parametrize(
    ("layers", "local", "fine", "coarse", "keys", "per_token", "windows"),
    [  # DeepSeek-V4 Flash and Pro, entries of 584 bytes and index keys of 132, as vLLM keeps them
        (43, 2, 21, 20, 512, 21 * (584 + 132) / 4 + 20 * 584 / 128, 43 * 128 * 584),
        (61, 0, 30, 31, 1024, 30 * (584 + 132) / 4 + 31 * 584 / 128, 61 * 128 * 584),
    ],
)
def test_pooled_keys_of_deepseek_v4(layers, local, fine, coarse, keys, per_token, windows):
    pooled = {"index_keys": keys, "pooled_tokens": 4, "coarse_layers": coarse, "coarse_tokens": 128}
    m = replace(V32, layers=layers, local_layers=local, sliding_window_tokens=128, kv_lora_rank=448, **pooled)
    assert layers == local + fine + coarse
    one, two = (cache.context_bytes(m, tokens, cache_bytes=584 / 512) for tokens in (1e6, 2e6))
    assert two - one == pytest.approx(per_token * 1e6)
    assert one - per_token * 1e6 == pytest.approx(windows)
    rows = ops.decode(m, batch=1, context_tokens=1e6)
    assert row(rows, "index scores").cache_bytes == fine * 1e6 / 4 * 128
    assert row(rows, "attention to chosen keys").cache_bytes == fine * keys * 512 * 2
    assert row(rows, "coarse attention").cache_bytes == coarse * 1e6 / 128 * 512 * 2
    assert row(rows, "attention in a window").calls == layers


def test_borrowed_keys_are_kept_once():
    # Gemma 3n: 35 layers, 28 with a window of 512, the last 15 borrow: 16 windows and 4 others keep keys
    m = replace(
        GQA, layers=35, kv_heads=2, head_values=256, local_layers=28, sliding_window_tokens=512, borrowed_layers=15
    )
    assert cache.context_bytes(m, 10_000) == pytest.approx(2 * 2 * 256 * 2 * (16 * 512 + 4 * 10_000))
    alone = replace(m, borrowed_layers=0)
    assert alone.block_params - m.block_params == 15 * 2 * m.width * 2 * 256
    calls = {op.name: op.calls for op in ops.forward(m, batch=1, queries=128)}
    assert (calls["queries, keys, values"], calls["queries to borrowed keys"]) == (20, 15)


def test_a_state_is_read_and_written_once_a_pass():
    m = model("Qwen3-Next-80B-A3B")  # 36 recurrences of 32 heads, 128 x 128 values in 32 bits
    one, many = (row(ops.decode(m, batch=b, context_tokens=4096), "state") for b in (1, 64))
    assert one.activation_bytes == 36 * 2 * 4 * 32 * 128 * 128 and many.activation_bytes == 64 * one.activation_bytes
    # two passes over the state: 4 operations for each value and token
    assert one.flop == 36 * 4 * 32 * 128 * 128
    prompt = row(ops.forward(m, batch=1, queries=4096), "state")
    assert prompt.activation_bytes == one.activation_bytes and prompt.flop == 4096 * one.flop


def test_half_the_operations_by_the_ledger_and_by_the_law():
    from bottlenecks.laws import attention as law

    m = GQA
    half = law.half_flop_tokens(m.layer_params, heads=m.heads, head_values=m.head_values)
    rows = ops.products(ops.forward(m, batch=1, queries=half, logits="none"))
    pairs = sum(op.flop for op in rows if op.kind == "attention")
    assert pairs == pytest.approx(ops.total(rows) / 2, rel=1e-3)  # half a diagonal apart


def test_a_form_needs_all_its_fields():
    with pytest.raises(ValueError, match="index_keys needs index_heads"):
        replace(GQA, index_keys=2048)
    with pytest.raises(ValueError, match="pooled_tokens needs index_keys"):
        replace(GQA, pooled_tokens=4)
    with pytest.raises(ValueError, match="coarse_layers needs coarse_tokens"):
        replace(GQA, coarse_layers=4)
