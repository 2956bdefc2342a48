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
    attention.half_flop_tokens: ((12 * 4096**2,), SHAPE, unit.dimensionless),
    attention.half_kept_tokens: ((34 * 4096 * B,), {"heads": 32, "score_bytes": 5 * B}, unit.dimensionless),
    attention.pairs_of_rank: ((3, 8), {"zigzag": False}, unit.dimensionless),
    attention.block_sparse_pairs: ((4096,), {"block": 64, "blocks_seen": 8}, unit.dimensionless),
    attention.linear_attention_flop: ((4096,), SHAPE | {"key_values": 128, "products": 2}, unit.dimensionless),
    attention.linear_state_bytes: ((), SHAPE | {"key_values": 128, "sequences": 2, "value_bytes": 2 * B}, B),
}


def test_every_law_is_here():
    public = {f for _, f in inspect.getmembers(attention, inspect.isfunction)}
    assert public == {*LAWS, attention.merged}  # which takes and gives triples: held below


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
        (attention.linear_attention_flop, {"heads": 2, "key_values": 64, "head_values": 64, "products": 3}),
    ):
        one, two = law(np.array([1024, 2048]), **kwargs)
        assert two == 2 * one
    # all blocks seen is the full square
    full = tiling.attention_pairs(1024, 1024, causal=False)
    assert attention.block_sparse_pairs(1024, block=64, blocks_seen=16) == full


def test_linear_attention_costs_what_softmax_costs_at_as_many_tokens_as_values():
    # causal softmax: 4 d S^2 / 2 a head; linear: 4 S d^2: equal at S = 2 d
    d = 128
    linear = attention.linear_attention_flop(2 * d, heads=1, key_values=d, head_values=d, products=2)
    assert linear == 2 * d * (2 * d) ** 2


def test_heads_values_and_bytes_count_once_by_hand():
    # Three heads of 10 queries and 20 keys of 4 values in 2 bytes: 240 values of queries and results, 480 of keys and
    # values; a core of 160 bytes holds tiles of 160 / 32 = 5 queries, so keys and values are read twice: 3 x 2 x 400 B.
    shape = {"heads": 3, "head_values": 4, "value_bytes": 2}
    assert attention.tiled_bytes(10, 20, **shape, on_chip_bytes=160) == 3 * 2 * (2 * 10 * 4 + 2 * 20 * 4 * 2)
    assert attention.tiled_bytes(10, 20, **shape, on_chip_bytes=1e9) == 3 * 2 * (2 * 10 * 4 + 2 * 20 * 4)


def test_half_of_the_operations_by_hand():
    # GPT-3: 12 x 12,288 = 147,456 tokens; it was trained on 2,048: its pairs are 2,048 / 147,456 = 1.4 % of its weights'.
    gpt3 = attention.half_flop_tokens(12 * 12288**2, heads=96, head_values=128)
    assert gpt3 == 147456
    # the two sides of the equation: 2 N operations, and S / 2 pairs of 4 h d_h
    assert 2 * 12 * 12288**2 == gpt3 / 2 * 4 * 96 * 128


def test_half_of_what_is_kept_does_not_know_the_width():
    for heads in (12, 96):
        width = 128 * heads
        assert attention.half_kept_tokens(34 * width, heads=heads, score_bytes=5) == pytest.approx(6.8 * 128)


def test_parts_of_a_softmax_make_the_whole():
    rng = np.random.default_rng(3)
    scores, values = rng.normal(0, 4, 64), rng.normal(size=64)

    def part(s, v):
        weights = np.exp(s - s.max())
        return s.max(), weights.sum(), weights @ v

    whole = part(scores, values)
    for cuts in ([16, 32, 48], [1], [63], [5, 6, 7]):
        parts = [part(*p) for p in zip(np.split(scores, cuts), np.split(values, cuts), strict=True)]
        for order in (parts, parts[::-1]):
            so_far = order[0]
            for more in order[1:]:
                so_far = attention.merged(so_far, more)
            assert so_far == pytest.approx(whole, rel=1e-12)
    # scores that no exponential can hold
    assert attention.merged((1000.0, 1.0, 2.0), (-1000.0, 1.0, 9.0)) == (1000.0, 1.0, 2.0)


def test_ranks_of_a_ring_share_the_square():
    for ranks in (1, 2, 8, 64):
        for zigzag in (True, False):
            assert attention.pairs_of_rank(np.arange(ranks), ranks, zigzag=zigzag).sum() == pytest.approx(1)
    # eight tokens on two ranks in order: pairs 1 + 2 + 3 + 4 and 5 + 6 + 7 + 8, of 36: 0.28 and 0.72, 1/4 and 3/4 in the limit
    big = np.arange(1, 2**12 + 1)
    assert big[2**11 :].sum() / big.sum() == pytest.approx(attention.pairs_of_rank(1, 2, zigzag=False), abs=1e-3)
    # zigzag: the first and the last quarter together
    assert (big[: 2**10].sum() + big[-(2**10) :].sum()) / big.sum() == pytest.approx(0.5, abs=1e-3)
