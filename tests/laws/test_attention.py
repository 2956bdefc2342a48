"""Laws of attention's traffic and work by form: by hand, limits, dimensions, arrays."""

import inspect

import held
import numpy as np
import pint
import pytest

from bottlenecks.laws import attention, tiling

unit = pint.UnitRegistry()
B = unit.byte
SHAPE = {"heads": 32, "head_values": 128}
LAWS = {  # law -> arguments, keywords, dimension
    attention.unfused_bytes: ((4096, 4096), SHAPE | {"value_bytes": 2 * B, "passes": 4}, B),
    attention.tiled_bytes: ((4096, 4096), SHAPE | {"value_bytes": 2 * B, "on_chip_bytes": 2e5 * B}, B),
    attention.block_sparse_pairs: ((4096,), {"block": 64, "blocks_seen": 8}, unit.dimensionless),
    attention.linear_attention_flop: ((4096,), SHAPE | {"key_values": 128}, unit.dimensionless),
    attention.linear_state_bytes: ((), SHAPE | {"key_values": 128, "sequences": 2, "value_bytes": 2 * B}, B),
}


def test_every_law_is_here():
    public = {f for _, f in inspect.getmembers(attention, inspect.isfunction)}
    assert public == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension_and_card(law):
    held.hold(law, *LAWS[law], unit)


def test_gpt2_scores_by_hand():
    # 1,024 tokens, 64 values: operands and result 2 x 2,048 x 64 x 2 B = 524,288 B a head; scores
    # 4 x 1,048,576 x 2 B = 8,388,608 B: sixteen times as much.
    moved = attention.unfused_bytes(1024, 1024, heads=1, head_values=64, value_bytes=2, passes=4)
    assert moved == 524288 + 8388608


def test_a_chip_that_holds_everything_reads_everything_once():
    # queries and results once, keys and values once: 4 x 1,024 x 64 x 2 B
    shape = {"heads": 1, "head_values": 64, "value_bytes": 2}
    assert attention.tiled_bytes(1024, 1024, **shape, on_chip_bytes=1e9) == 524288
    # 64 KiB: tiles of 65,536 / 512 = 128 queries, eight rounds of keys and values
    assert attention.tiled_bytes(1024, 1024, **shape, on_chip_bytes=65536) == 262144 + 8 * 262144


def test_tiling_beats_writing_where_the_paper_says():
    """d^2 of a head below the memory of a core: fewer accesses than the square."""
    shape = {"heads": 1, "head_values": 64, "value_bytes": 2}
    context = np.array([2048, 8192, 32768])
    written = attention.unfused_bytes(context, context, **shape, passes=4)
    tiled = attention.tiled_bytes(context, context, **shape, on_chip_bytes=100e3)
    assert np.all(tiled < written / 3)


def test_sparse_and_linear_grow_with_the_tokens():
    for law, kwargs in (
        (attention.block_sparse_pairs, {"block": 64, "blocks_seen": 4}),
        (attention.linear_attention_flop, {"heads": 2, "key_values": 64, "head_values": 64}),
    ):
        one, two = law(np.array([1024, 2048]), **kwargs)
        assert two == 2 * one
    # all blocks seen is the full square
    full = tiling.attention_pairs(1024, 1024, causal=False)
    assert attention.block_sparse_pairs(1024, block=64, blocks_seen=16) == full


def test_linear_attention_costs_what_softmax_costs_at_as_many_tokens_as_values():
    # causal softmax: 4 d S^2 / 2 a head; linear: 4 S d^2: equal at S = 2 d
    d = 128
    linear = attention.linear_attention_flop(2 * d, heads=1, key_values=d, head_values=d)
    assert linear == 2 * d * (2 * d) ** 2


def test_heads_values_and_bytes_count_once_by_hand():
    # Three heads of 10 queries and 20 keys of 4 values in 2 bytes: 240 values of queries and results, 480 of keys and
    # values; a core of 160 bytes holds tiles of 160 / 32 = 5 queries, so keys and values are read twice: 3 x 2 x 400 B.
    shape = {"heads": 3, "head_values": 4, "value_bytes": 2}
    assert attention.tiled_bytes(10, 20, **shape, on_chip_bytes=160) == 3 * 2 * (2 * 10 * 4 + 2 * 20 * 4 * 2)
    assert attention.tiled_bytes(10, 20, **shape, on_chip_bytes=1e9) == 3 * 2 * (2 * 10 * 4 + 2 * 20 * 4)
