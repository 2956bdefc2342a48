"""What ranks divide: set where a row is made, the same for training and serving, and nothing lost."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model, models
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
