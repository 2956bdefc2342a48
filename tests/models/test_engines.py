"""What an engine runs in place of the ledger's rows: by hand, and nothing lost."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model, model
from bottlenecks.facts.chips import chip
from bottlenecks.models import engines, inference, ops
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import machine
from bottlenecks.models.software import SERVER, Software, release

LLAMA_CPP, METAL = release("llama.cpp"), release("llama.cpp", "Apple")
LLAMA = model("Llama-3-8B")
BOARD = machine(chip("RTX 3090"), "fp16_acc16")


def rows(software, queries, **plan):
    plan = Plan(software=software, **plan)
    return inference.rows(LLAMA, plan, BOARD, batch=1, queries=queries, keys=512)


@pytest.mark.parametrize("queries", [1, 512])
def test_products_lose_nothing_by_being_parted(queries):
    plain, parted = (ops.products(rows(e, queries)) for e in (SERVER, LLAMA_CPP))
    outside = [op for op in parted if op.part != engines.SCORES]
    inside = [op for op in plain if op.kind == "matmul"]
    for what in ("flop", "weight_bytes"):
        assert ops.total(outside, what) == pytest.approx(ops.total(inside, what))


def test_a_layer_of_llama_cpp_is_50_kernels():
    # 7 products x (unpack, narrow, multiply, widen), 2 x (norm, scale), 2 rotations, 2 copies into the
    # cache, 10 of attention, 2 of the gate, 2 additions; 16-bit weights are not unpacked
    narrow, wide = (
        [op for op in rows(LLAMA_CPP, 512, weight_format=f) if op.part not in ops.ENDS] for f in ("q4_k_m", "bf16")
    )
    assert engines.launches(narrow) / LLAMA.layers == 28 + 4 + 2 + 2 + 10 + 2 + 2
    assert engines.launches(wide) / LLAMA.layers == 43


def test_narrow_weights_cost_more_in_prompts_and_less_in_steps():
    for queries, sign in ((512, 1), (1, -1)):
        wide, narrow = (
            inference.one_pass(
                LLAMA, Plan(software=LLAMA_CPP, weight_format=f), BOARD, batch=1, queries=queries, keys=512
            ).seconds
            for f in ("bf16", "q4_k_m")
        )
        assert sign * (narrow - wide) > 0


def test_scores_in_memory_grow_with_the_square():
    made = [
        inference.attention_s(LLAMA, Plan(software=e), BOARD, batch=1, queries=512, keys=8192)
        for e in (SERVER, LLAMA_CPP)
    ]
    # 24 bytes a score of 32 heads and layers at the rate of the memory; the cache holds some
    written = 24 * 32 * 32 * 512 * 8192 / BOARD.memory_bytes_per_s
    assert made[1] - made[0] > 0.6 * written


def test_apples_kernels_cast_nothing():
    names = " ".join(op.name for op in rows(METAL, 512, weight_format="q4_k_m"))
    assert "unpacked" not in names and "narrowed" not in names


def test_a_host_with_a_long_queue_fills_every_stage():
    under_way = engines.parts_under_way
    assert under_way(8, launches=10, queue=1e6) == 8
    # a queue that just misses holding a part: the next starts when the last stage begins
    assert under_way(4, launches=1024.01, queue=1024) == pytest.approx(4 / 3, rel=1e-3)
    assert under_way(4, launches=1024, queue=1024) == 2
    longer = under_way(4, launches=700, queue=np.geomspace(1, 1e5, 99))
    assert (np.diff(longer) >= 0).all()


def test_a_joined_engine_keeps_its_products():
    joined = replace(METAL, joined=True)
    names = [op.name for op in rows(joined, 512)]
    assert "queries, keys, values" in names and "gate and up" in names


# ---- the rows that are run, by hand: a model of one layer, 512 tokens or one, two sequences

SMALL = Model(name="s", layers=1, width=64, ffn_width=96, heads=4, kv_heads=2, head_values=16, vocab=100)
CASTS = Software(name="c", attention="unfused", joined=False, value_bytes=4.0, casts=True, unpacks=True)


def run(software, queries, keys=None, **formats):
    """{name: bytes or shape} of what is run in place of the rows of two sequences."""
    ledger = ops.forward(SMALL, batch=2, queries=queries, keys=keys, format="fp16", **formats)
    made = [each for op in ledger for each in engines.kernels(op, software)]
    for op in made:
        assert op.kind != "elementwise" or op.activation_bytes == op.calls * op.shape["moved_bytes"]
    return [(op.name, op.shape.get("moved_bytes", op.shape)) for op in made]


def test_small_kernels_of_a_program_that_fuses_little_by_hand():
    # 1,024 tokens, 4 bytes a value. A norm reads and writes, then its scale; a gate's function is 2 of 3, then all 3.
    rows = run(CASTS, 512)
    moved = [(name, each) for name, each in rows if not isinstance(each, dict)]
    values = 4 * 1024
    assert ("attention norm", values * 2 * 64) in moved and ("attention norm: scale", values * 2 * 64) in moved
    assert moved.count(("rotary positions", values * 6 * 16)) == 2
    assert ("activation", values * 2 * 96) in moved and ("activation: gate", values * 3 * 96) in moved
    assert moved.count(("residual add", values * 3 * 64)) == 2
    assert ("embedding lookup", 2 * 1024 * 2 * 64) in moved  # as the ledger has it
    assert dict(moved)["final norm"] == values * 2 * 64


def test_products_of_a_program_that_casts_by_hand():
    rows = dict(run(CASTS, 512, weight_format="fp8"))
    # 64 x 96 weights of a byte are written in 2 and the product reads these; operands 4 to 2, results 2 to 4
    assert rows["down: weights unpacked"] == 3 * 96 * 64
    assert rows["down"] == {"m": 1024, "k": 96, "n": 64, "groups": 1, "weight_bytes": 2}
    assert rows["down: operand"] == 6 * 1024 * 96 and rows["down: result"] == 6 * 1024 * 64
    assert [rows[f"queries, keys, values: {i} of 3"]["n"] for i in (1, 2, 3)] == [64, 32, 32]
    assert [rows[f"gate and up: {i} of 2"]["n"] for i in (1, 2)] == [96, 96]
    wide = dict(run(CASTS, 512))
    assert "down: weights unpacked" not in wide and wide["down"]["weight_bytes"] == 2
    bare = dict(run(replace(CASTS, casts=False, unpacks=False), 512, weight_format="fp8"))
    assert "down: operand" not in bare and bare["down"]["weight_bytes"] == 1
    # Two rows go to a kernel that takes its operand in a byte and writes results wide at once.
    few = dict(run(CASTS, 1, keys=512, weight_format="fp8"))
    assert few["down: operand"] == 5 * 2 * 96 and "down: result" not in few and few["down"]["weight_bytes"] == 1


def test_attention_in_memory_by_hand():
    # 2 x 4 heads of 512 x 512 scores; keys and values of 2 x 2 heads, each its own kernel; three pointers a head.
    names = [name for name, _ in run(CASTS, 512)]
    order = ["keys and values kept", "keys and values kept", "queries narrowed", "places of the heads", "scores"]
    order += ["scores widened", "softmax", "scores narrowed", "places of the heads", "weighted values"]
    start = names.index("keys and values kept")
    assert names[start : start + 12] == [*order, "results widened", "heads in a row"]
    rows, scores = dict(run(CASTS, 512)), 8 * 512 * 512
    assert rows["keys and values kept"] == 6 * 4 * 512 * 16
    assert rows["queries narrowed"] == rows["results widened"] == 6 * 8 * 512 * 16
    assert rows["scores widened"] == rows["scores narrowed"] == 6 * scores and rows["softmax"] == 8 * scores
    assert rows["heads in a row"] == 8 * 8 * 512 * 16 and rows["places of the heads"] == 24 * 8
    square = {"groups": 8, "weight_bytes": 2}
    assert rows["scores"] == {"m": 512, "k": 16, "n": 512} | square
    assert rows["weighted values"] == {"m": 512, "k": 512, "n": 16} | square
    plain = run(replace(CASTS, casts=False), 512)
    assert dict(plain)["softmax"] == 4 * scores + 2 * scores and "scores widened" not in dict(plain)
    # One query: keys and values of every head come from the cache, of a byte here.
    few = dict(run(CASTS, 1, keys=512, cache_format="fp8"))
    assert few["scores"] == few["weighted values"] == 8 * 512 * 16 and few["softmax"] == 8 * 8 * 512
    joined = replace(CASTS, joined=True)
    assert "softmax" in dict(run(joined, 9)) and "softmax" not in dict(run(joined, 8))
    assert "softmax" not in dict(run(replace(CASTS, attention="fused"), 512))
