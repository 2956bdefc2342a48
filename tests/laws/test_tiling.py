"""Tiles and waves: by hand, by brute force, through pint, as arrays, at their limits."""

import inspect

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import tiling

unit = pint.UnitRegistry()
unit.define("octet = [information]")  # pint's own byte is a bare number
S, B = unit.second, unit.octet
TILE = {"tile_rows": 128, "tile_columns": 64}

# law -> (arguments by position, arguments by name, unit of the result); a FLOP is a count
LAWS = {
    tiling.tiles: ((300, 200), TILE, unit.dimensionless),
    tiling.waves: ((13,), {"cores": 4}, unit.dimensionless),
    tiling.filled: ((300, 200), TILE | {"cores": 4}, unit.dimensionless),
    tiling.tile_s: (
        (64,),
        TILE | {"value_bytes": 2 * B, "core_flop_per_s": 1e12 / S, "core_bytes_per_s": 1e10 * B / S},
        S,
    ),
    tiling.overlapped_s: ((3.0 * S, 4.0 * S), {}, S),
    tiling.smooth_s: ((4e9, 5e6 * B), {"flop_per_s": 1e12 / S, "bytes_per_s": 1e9 * B / S, "fixed_s": 0.0 * S}, S),
    tiling.attention_pairs: ((30, 40), {"causal": True}, unit.dimensionless),
}


def test_every_law_of_the_module_is_in_the_table():
    functions = inspect.getmembers(tiling, inspect.isfunction)
    assert {f for _, f in functions if f.__module__ == tiling.__name__} == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension(law):
    args, kwargs, expected = LAWS[law]
    assert unit.Quantity(law(*args, **kwargs)).check(expected.dimensionality)


def test_bytes_over_a_flop_rate_are_no_time():
    args, kwargs, _ = LAWS[tiling.tile_s]
    with pytest.raises(pint.DimensionalityError):
        tiling.tile_s(*args, **kwargs | {"core_bytes_per_s": 1e10 / S})


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_arrays_equal_scalars(law):
    args, kwargs, _ = LAWS[law]
    factors = np.array([0.5, 1.0, 3.0])

    def bare(factor):
        numbers = [getattr(a, "magnitude", a) * factor for a in args]
        return law(*numbers, **{n: getattr(v, "magnitude", v) for n, v in kwargs.items()})

    np.testing.assert_allclose(bare(factors), [bare(f) for f in factors], rtol=1e-14)


# ---- by hand


def test_tiles_by_hand():
    # NVIDIA's guide, tile quantization: 256 x 256 in tiles of 128 x 128 is 2 x 2 of them; one more
    # column makes 2 x 3, half as many again for 0.39 % more results.
    square = tiling.tiles(256, np.array([256, 257]), tile_rows=128, tile_columns=128)
    assert square.tolist() == [4, 6]
    # 2304 / 256 = 9; 1536 / 128 = 12
    assert tiling.tiles(2304, 1536, tile_rows=256, tile_columns=128) == 9 * 12
    assert tiling.tiles(1, 1, tile_rows=256, tile_columns=128) == 1


def test_waves_by_hand():
    # An A100 has 108 cores. 1792 x 1792 in tiles of 256 x 128: 7 x 14 = 98, one wave; 1793 x 1793:
    # 8 x 15 = 120, two waves.
    sides = np.array([1792, 1793])
    dealt = tiling.tiles(sides, sides, tile_rows=256, tile_columns=128)
    assert dealt.tolist() == [98, 120] and tiling.waves(dealt, cores=108).tolist() == [1, 2]
    # 2304 x 1536 is 9 x 12 = tiles, one full wave; one more column makes 9 x 13 = 117, and in the second wave 9 of
    # 108 cores work.
    tile = {"tile_rows": 256, "tile_columns": 128}
    dealt = tiling.tiles(2304, np.array([1536, 1537]), **tile)
    assert tiling.waves(dealt, cores=108).tolist() == [1, 2]
    full, over = tiling.filled(2304, np.array([1536, 1537]), **tile, cores=108)
    assert full == 1.0 and over == pytest.approx(1537 / 1536 / 2)


def test_a_tile_by_hand():
    # 128 x 128, depth 1,000: 2 x 128 x 128 x 1,000 = 32.768e6 FLOP at 1e12/s are 32.768 us;
    # 2 B x 256 x 1,000 = 512 kB at 10 GB/s are 51.2 us, at 1 TB/s 0.512 us.
    # (32.768^4 + 51.2^4)^(1/4) = (1.1529e6 + 6.8719e6)^(1/4) = 53.224
    tile = {"tile_rows": 128, "tile_columns": 128, "value_bytes": 2, "core_flop_per_s": 1e12}
    seconds = tiling.tile_s(1000, **tile, core_bytes_per_s=np.array([10e9, 1e12]))
    np.testing.assert_allclose(seconds, [53.224e-6, 32.768e-6], rtol=1e-4)


def test_overlap_by_hand():
    # (2^4 + 1^4)^(1/4) = 17^(1/4) = 2.0305; ten to one: 10.00025
    assert tiling.overlapped_s(2.0, 1.0) == pytest.approx(2.0305, abs=5e-5)
    assert tiling.overlapped_s(10.0, 1.0) == pytest.approx(10.00025, abs=5e-6)
    assert tiling.overlapped_s(0.0, 7.0) == pytest.approx(7.0)


def count(queries, keys, causal, window):
    """One query after the other: the keys that it may see."""
    seen = 0
    for i in range(queries):
        here = keys - queries + i  # its own place among the keys
        last = here + 1 if causal else keys
        seen += min(last, window)
    return seen


@given(st.integers(1, 12), st.integers(0, 12), st.booleans(), st.sampled_from([1, 3, 8, 50, np.inf]))
def test_attention_pairs_are_what_one_counts(queries, before, causal, window):
    pairs = tiling.attention_pairs(queries, queries + before, causal=causal, window=window)
    assert pairs == count(queries, queries + before, causal, window)


# ---- limits


sizes = st.integers(1, 5000)


@given(sizes, sizes, st.sampled_from([64, 128, 256]), st.integers(1, 300))
def test_filled_is_a_share_and_full_where_all_divides(rows, columns, tile, cores):
    tile = {"tile_rows": tile, "tile_columns": 64}
    assert 0 < tiling.filled(rows, columns, **tile, cores=cores) <= 1
    whole = tiling.filled(rows * tile["tile_rows"], cores * 64, **tile, cores=cores)
    assert whole == pytest.approx(1.0)


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
def test_an_overlap_is_between_the_maximum_and_a_fifth_more(first, second):
    together = tiling.overlapped_s(first, second)
    assert max(first, second) * (1 - 1e-12) <= together <= max(first, second) * 2**0.25 * (1 + 1e-12)


def test_the_smooth_roofline_adds_its_start_to_two_times_that_overlap():
    """Times 3 and 4: (81 + 256)^(1/4) = 337^(1/4) = 4.2846, and 1 before it; far from a tie, the larger one."""
    rates = {"flop_per_s": 2.0, "bytes_per_s": 5.0, "fixed_s": 1.0}
    assert tiling.smooth_s(6.0, 20.0, **rates) == pytest.approx(5.2846, abs=5e-5)
    assert tiling.smooth_s(2e6, 5.0, **rates) == pytest.approx(1e6 + 1)
