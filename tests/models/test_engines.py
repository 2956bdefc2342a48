"""What an engine runs in place of the ledger's rows: by hand, and nothing lost."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import engines, inference, ops
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import machine
from bottlenecks.models.software import SERVER, release

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
