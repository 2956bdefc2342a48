"""What ranks divide: set where a row is made, the same for training and serving, and nothing lost."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model, model, models
from bottlenecks.facts.chips import chip
from bottlenecks.models import cut, inference, layer, ops
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import machine

DECODERS = [m for m in models().values() if not m.encoder_layers]
CUTS = {  # row: what ranks divide, as Megatron does it
    "queries, keys, values": "columns",
    "attention output": "rows",
    "gate and up": "columns",
    "up": "columns",
    "down": "rows",
    "experts: gate and up": "columns",
    "experts: down": "rows",
    "shared experts: down": "rows",
    "router": "tokens",
    "attention norm": "tokens",
    "feed-forward norm": "tokens",
    "residual add": "tokens",
    "embedding lookup": "tokens",
    "activation": "values",
    "rotary positions": "values",
    "queries, squeezed": "tokens",
    "queries, widened": "columns",
    "queries into the latent": "groups",
    "logits": "columns",
    "dispatch to experts": "tokens",
    "combine experts": "tokens",
}

ROUTED = {"experts": "experts", "dispatch to experts": "dispatch", "combine experts": "combine"}


def test_every_row_of_every_model_says_what_ranks_divide():
    seen = set()
    for m in DECODERS:
        for op in ops.forward(m, batch=1, queries=64, absorbed=True) + ops.forward(m, batch=1, queries=64):
            assert op.cut in cut.CUTS, (m.name, op.name)
            assert op.cut == CUTS.get(op.name, op.cut), op.name
            assert (op.cut == "heads") == (op.kind == "attention")
            assert op.routing == ROUTED.get(op.name.partition(":")[0], ""), op.name
            seen.add(op.name)
    assert set(CUTS) <= seen


def test_gradients_are_cut_as_their_row_is():
    rows = ops.forward(model("Llama-3-8B"), batch=1, queries=64)
    assert {op.cut for op in ops.backward(rows)} == {op.cut for op in rows}


@pytest.mark.parametrize("name", ["Llama-3-8B", "DeepSeek-V3", "Mixtral-8x7B", "GPT-3 175B"])
def test_parts_add_up_to_the_whole(name):
    """Operations of all ranks are those of the row, but for norms without sequence parallelism, which all ranks do."""
    m = model(name)
    for op in ops.forward(m, batch=2, queries=64):
        for stream in (1, 4):
            part = cut.one_dimensional(op, m, tp=4, stream=stream, tokens=128)
            ranks = 4 if op.cut != "tokens" else stream
            assert ranks * part.flop == pytest.approx(op.flop), op.name
            if op.kind == "matmul":
                m_, k, n, groups = (part.shape[c] for c in ("m", "k", "n", "groups"))
                assert op.calls * 2 * m_ * k * n * groups == pytest.approx(part.flop), op.name


def test_a_rank_has_a_key_value_head_at_least():
    m = model("Llama-3-70B")  # 64 query heads and 8 of keys and values, of 128 values each
    rows = {op.name: op for op in ops.forward(m, batch=1, queries=64)}
    few, many = (cut.one_dimensional(rows["queries, keys, values"], m, tp=tp) for tp in (8, 16))
    assert few.shape["n"] == 8 * 128 + 2 * 128
    assert many.shape["n"] == 4 * 128 + 2 * 128  # not 4 + 2 x 1/2 heads
    score = next(op for op in rows.values() if op.kind == "attention")
    assert cut.one_dimensional(score, m, tp=16).shape["kv_heads"] == 1


def test_experts_are_dealt_once():
    """Eight groups of chips with 64 tokens each hold 1/8 of the experts that 512 tokens touch."""
    m = model("Qwen3-30B-A3B")  # 128 experts, 8 a token
    row = next(op for op in ops.forward(m, batch=1, queries=64) if op.name == "experts: down")
    part = cut.one_dimensional(row, m, tp=1, ep=8, tokens=64)
    touched = 128 * (1 - (1 - 8 / 128) ** 512)
    assert part.shape["groups"] == pytest.approx(touched / 8)
    assert part.shape["m"] * part.shape["groups"] == pytest.approx(64 * 8)
    folded = cut.one_dimensional(row, m, tp=4, ep=8, tokens=64, folds=True)
    assert folded.shape["groups"] == pytest.approx(touched / 8 / 4) and folded.shape["k"] == row.shape["k"]
    whole = cut.one_dimensional(row, m, tp=4, ep=8, tokens=64)
    assert whole.shape["k"] == row.shape["k"] / 4
    crowded = cut.one_dimensional(row, m, tp=1, ep=8, tokens=64, imbalance=1.5)
    assert crowded.shape["m"] == 1.5 * part.shape["m"] and crowded.flop == part.flop


def test_training_and_serving_cut_alike():
    """The same tokens on the same ranks: one shape for each product, whoever asks."""
    m, on = model("Llama-3-8B"), machine(chip("H100 SXM5"))
    serving = inference.rows(m, Plan(tp=4), on, batch=1, queries=512, keys=512, logits="all")
    training = layer.layer_rows(m, tp=4, sp=False, cp=1, ep=1, micro_batch=1, seq_len=512)
    for a, b in zip(serving, training, strict=True):
        assert a.name == b.name
        for name, value in a.shape.items():
            assert np.all(value == b.shape[name]) or name == "causal", (a.name, name)


# ---- other ways to cut, by hand

WIDE = Model(name="wide", layers=1, width=1024, ffn_width=4096, heads=16, kv_heads=4, head_values=64, vocab=512)
ROWS = {op.name: op for op in ops.forward(WIDE, batch=8, queries=4, keys=12, cache_format="fp8")}
SHARES = ("flop", "activation_bytes")


def test_weights_cut_both_ways_by_hand():
    # 64 chips, an inner width of four times the width: sqrt(64 / 4) = 4 along the width, 16 along the inner width
    assert cut.chips_along_width(WIDE, 64) == 4
    up, down = (cut.two_dimensional(ROWS[n], WIDE, tp=64) for n in ("gate and up", "down"))
    assert (up.shape["k"], up.shape["n"]) == (1024 / 4, 8192 / 16)
    assert (down.shape["k"], down.shape["n"]) == (4096 / 16, 1024 / 4)
    for part, name in ((up, "gate and up"), (down, "down")):
        assert (64 * part.flop, 64 * part.weight_bytes) == (ROWS[name].flop, ROWS[name].weight_bytes)
        assert part.activation_bytes == 2 * 32 * (part.shape["k"] + part.shape["n"])
    assert cut.two_dimensional(ROWS["feed-forward norm"], WIDE, tp=64).shape["moved_bytes"] == 2 * 2 * 32 * 1024 / 64


@pytest.mark.parametrize("way", ["both ways", "by tokens"])
def test_the_cache_cut_by_sequences_by_hand(way):
    whole = ROWS["attention (causal, half counted)"]
    asked = {"tp": 4}
    part = cut.two_dimensional(whole, WIDE, **asked) if way == "both ways" else cut.by_tokens(whole, **asked)
    assert part.shape == whole.shape | {"batch": 2}
    for what in (*SHARES, "cache_bytes"):
        assert 4 * getattr(part, what) == getattr(whole, what) > 0


def test_tokens_cut_and_weights_gathered_by_hand():
    part = cut.by_tokens(ROWS["down"], tp=4)
    assert part.shape == ROWS["down"].shape | {"m": 8} and part.weight_bytes == ROWS["down"].weight_bytes
    assert all(4 * getattr(part, what) == getattr(ROWS["down"], what) for what in SHARES)
    norm = cut.by_tokens(ROWS["final norm"], tp=4)
    assert norm.shape["moved_bytes"] == ROWS["final norm"].shape["moved_bytes"] / 4
    assert all(4 * getattr(norm, what) == getattr(ROWS["final norm"], what) for what in SHARES)


def test_a_share_of_the_tokens_by_hand():
    half = cut.fewer_tokens(ROWS["logits"], 0.5)
    assert half.shape == ROWS["logits"].shape | {"m": 16} and half.weight_bytes == ROWS["logits"].weight_bytes
    assert all(2 * getattr(half, what) == getattr(ROWS["logits"], what) for what in SHARES)
    norm = cut.fewer_tokens(ROWS["final norm"], 0.5)
    assert norm.shape["moved_bytes"] == ROWS["final norm"].shape["moved_bytes"] / 2
    assert all(2 * getattr(norm, what) == getattr(ROWS["final norm"], what) for what in SHARES)


def test_ranks_of_a_row_by_hand():
    # Four ranks: 4 query heads and 1 of keys and values each; eight: 2, and a copy of one that two share.
    whole = ROWS["attention (causal, half counted)"]
    four, eight = (cut.one_dimensional(whole, WIDE, tp=tp) for tp in (4, 8))
    assert [part.shape[n] for part in (four, eight) for n in ("heads", "kv_heads")] == [4, 1, 2, 1]
    assert (four.cache_bytes, eight.cache_bytes) == (whole.cache_bytes / 4, whole.cache_bytes / 4)
    assert (four.flop, eight.activation_bytes) == (whole.flop / 4, whole.activation_bytes / 8)
    norm = {s: cut.one_dimensional(ROWS["final norm"], WIDE, tp=4, stream=s).shape["moved_bytes"] for s in (1, 4)}
    assert norm[1] == 4 * norm[4] == 2 * 2 * 32 * 1024
    turned = cut.one_dimensional(ROWS["rotary positions"], WIDE, tp=4)
    assert turned.shape["moved_bytes"] == 2 * 2 * 32 * 20 * 64 / 4
    joined = cut.one_dimensional(ROWS["queries, keys, values"], WIDE, tp=4)
    assert joined.joined == (256, 64, 64) and joined.shape["n"] == 384 and joined.flop == 2 * 32 * 1024 * 384


def test_experts_cut_both_ways_by_hand():
    # 16 chips in 4 groups share 8 experts: 4 x 16 tokens at 2 each touch 8 (1 - (3/4)^64), a quarter in a group.
    mixed = replace(WIDE, experts=8, experts_per_token=2, expert_width=4096)
    row = {op.name: op for op in ops.forward(mixed, batch=16, queries=1)}["experts: down"]
    here = 8 * (1 - 0.75**64) / 4
    part = cut.two_dimensional(row, mixed, tp=16, ep=4, tokens=16)
    assert part.shape["groups"] == pytest.approx(here) and part.shape["m"] == pytest.approx(32 / here)
    assert (part.shape["k"], part.shape["n"]) == (4096 * 2 / 16, 1024 / 2) and part.flop == pytest.approx(row.flop / 16)
    folded = cut.one_dimensional(row, mixed, tp=2, ep=4, tokens=16, folds=True)
    assert folded.shape["groups"] == pytest.approx(here / 2) and folded.flop == pytest.approx(row.flop / 2)
