"""Kernel times: by hand on a made-up device, the ideal device, monotony, limits, swept chips."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks import data
from bottlenecks.facts.chips import chip, chips
from bottlenecks.measured.fits import kernels as fit_kernels
from bottlenecks.models import constants, kernels, ops

A100, H100, T4, TPU = (chip(n) for n in ("A100 SXM 80GB", "H100 SXM5", "T4", "TPU v4"))
NAMES = ("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "L40S", "RTX 4090", "MI300X", "TPU v4")
names = st.sampled_from(NAMES)
sizes = st.integers(1, 20_000)
some_shapes = st.tuples(sizes, sizes, sizes)


def made(**numbers):
    """A device of round numbers: 4 cores of 1 TFLOP/s and 50 GB/s of cache each, 100 GB/s of memory."""
    round_numbers = {
        "matmul_flop_per_s": 4e12,
        "memory_bytes_per_s": 100e9,
        "cache_bytes_per_s": 200e9,
        "cache_bytes": 0.0,
        "vector_per_s": 1e12,
        "exp_per_s": 1e11,
        "cores": 4.0,
        "fixed_s": 5e-6,
        "light_s": 2e-6,
        "tile_s": 1e-6,
        "older_flop_per_s": 4e12,
        "core_clocks_per_s": 1e11,
    }
    return replace(kernels.device(A100, "fp16"), **round_numbers | numbers)


# ---- by hand


def test_heads_that_no_load_of_16_bytes_divides_by_hand():
    # Heads of 64 halves are 128 bytes, eight loads; of 108 they are 216, 13.5 loads: the vector units
    # make 2 x 1e12 FLOP/s of the matrix units' 4e12, so the products alone take twice as long.
    device = made(vector_per_s=1e12, memory_bytes_per_s=np.inf, fixed_s=0.0)
    assert kernels.batched_flop_per_s(np.array([64, 108, 225]), device=device).tolist() == [4e12, 2e12, 2e12]
    shape = {"batch": 1, "heads": 2, "kv_heads": 2, "device": device, "implementation": "unfused"}
    whole, odd = (kernels.attention_s(64, 64, head_values=d, causal=False, **shape) / d for d in (64, 108))
    assert odd / whole == pytest.approx(2)
    # fused kernels pad a head on the chip; an array without cores takes what comes
    assert kernels.batched_flop_per_s(108, device=made(cores=1.0)) == 4e12


def test_heads_fill_one_large_array_up_to_its_side_by_hand():
    # 64 values fill half of 128 rows: as long as 128. TPU v6e's arrays have 256, so 128 fill half of it.
    v4, v6e = (kernels.device(chip(n)) for n in ("TPU v4", "TPU v6e"))
    assert (v4.array, v6e.array, kernels.device(A100).array) == (128, 256, 1)
    fast = {"memory_bytes_per_s": np.inf, "exp_per_s": np.inf, "vector_per_s": np.inf, "fixed_s": 0.0}
    shape = {"batch": 1, "heads": 8, "kv_heads": 8, "causal": False}
    for device, full in ((v4, 128), (v6e, 256)):
        device = replace(device, **fast)
        whole, half = (kernels.attention_s(512, 512, head_values=d, device=device, **shape) for d in (full, full // 2))
        assert half == pytest.approx(whole)
        flop = 4 * 8 * 512 * 512 * full
        assert whole == pytest.approx(flop / device.matmul_flop_per_s, rel=0.1)


def test_one_wave_of_a_product_by_hand():
    # 512 x 256, depth 8,192: four tiles of 256 x 128, one for each core.
    # A tile: 2 x 256 x 128 x 8,192 = 536.9e6 FLOP, 536.9 us; its operands 2 B x 384 x 8,192 =
    # 6.291 MB at 50 GB/s, 125.8 us; together (536.87^4 + 125.83^4)^(1/4) = 537.28 us; 1 us between
    # tiles: busy for 538.28 us.
    # Traffic: 2 B x (512 x 8,192 + 8,192 x 256 + 512 x 256) = 12.845 MB, 128.45 us.
    # 5 + (538.28^4 + 128.45^4)^(1/4) = 5 + 538.28 x 1.00081 = 543.71 us.
    seconds = kernels.matmul_s(512, 8192, 256, device=made())
    assert seconds == pytest.approx(543.71e-6, rel=1e-4)


def test_a_second_wave_by_hand():
    # 1,024 x 256: eight tiles, two waves: 2 x 538.28 = 1,076.55 us; traffic 21.496 MB, 214.96 us;
    # 5 + 1,076.55 x (1 + (214.96 / 1,076.55)^4)^(1/4) = 5 + 1,076.55 x 1.000397 = 1,081.98 us.
    seconds = kernels.matmul_s(1024, 8192, 256, device=made())
    assert seconds == pytest.approx(1081.98e-6, rel=1e-4)


def test_products_of_one_array_are_the_roofline():
    # 2 x 8,192^3 = 1.0995e12 FLOP at 989.4e12 are 1,111.3 us; 3 x 8,192^2 x 2 B = 402.7 MB at
    # 3,350e9 are 120.2 us, and (1 + (120.2 / 1,111.3)^4)^(1/4) = 1.000034.
    # One row: 2 B x (8,192^2 + 2 x 8,192) = 134.25 MB, 40.075 us; 134.2e6 FLOP, 0.136 us.
    seconds = kernels.matmul_s(np.array([8192, 1]), 8192, 8192, device=kernels.ideal(H100))
    np.testing.assert_allclose(seconds, [1111.3e-6, 40.075e-6], rtol=2e-4)
    for m, found in zip((8192, 1), seconds, strict=True):
        roof = ops.time_s(ops.matmul("", m, 8192, 8192, format="bf16"), H100, format="bf16")
        assert found == pytest.approx(roof, rel=1e-4)


def test_an_array_is_filled_up():
    # An array of 128: one row takes as long as 128, and 129 as long as 256; but for what they move
    on = replace(kernels.device(TPU), memory_bytes_per_s=np.inf)
    times = kernels.matmul_s(np.array([1, 128, 129, 256]), 4096, 4096, device=on)
    assert times[0] == times[1] < times[2] == times[3]


def test_an_elementwise_kernel_by_hand():
    # 1 MB at 100 GB/s are 10 us, and 2 us to start. As a norm of 5 B a clock on 1e11 core clocks a
    # second: 1e6 / 5e11 = 2 us more. With 0.4 MB of it in a cache of 200 GB/s: 2 + 6 us, not 10.
    known = made().constants | {"resident": 1.0, "worked_norm": 5.0}
    on = made(constants=known)
    assert kernels.elementwise_s(1e6, device=on) == pytest.approx(12e-6)
    assert kernels.elementwise_s(1e6, device=on, kind="norm") == pytest.approx(14e-6)
    cached = replace(on, cache_bytes=0.4e6)
    assert kernels.elementwise_s(1e6, device=cached) == pytest.approx(10e-6)
    with pytest.raises(ValueError, match="kind 'norms' is unknown; did you mean 'norm'"):
        kernels.elementwise_s(1e6, device=on, kind="norms")


def test_attention_by_hand():
    # 8 sequences x 8 heads, 1,024 queries and keys of 128 values, no mask: 67.109e6 pairs.
    # Products 512 FLOP a pair at 4e12: 8,589.9 us; exponentials at 1e11: 671.1; 3 passes at 1e12:
    # 201.3; in all 9,462.3. 512 tiles on 4 cores: the longest is a core's time over 128: 73.9,
    # half of it 37.0 more; 128 waves of 1 us: 9,627.3 us. Traffic 2 B x 64 x 1,024 x 512 = 67.1 MB,
    # 671 us, hidden. With 5 us to start: 9,632.3 us.
    shape = {"batch": 8, "heads": 8, "kv_heads": 8, "head_values": 128, "causal": False}
    fused = kernels.attention_s(1024, 1024, **shape, device=made(), implementation="fused")
    assert fused == pytest.approx(9632.3e-6, rel=1e-4)
    # Unfused: 67.109e6 x (512 / 4e12 + 6 x 2 B / 100e9) = 16,642.9 us, and three times 5 us.
    stored = kernels.attention_s(1024, 1024, **shape, device=made(), implementation="unfused")
    assert stored == pytest.approx(16657.9e-6, rel=1e-4)


def test_the_longest_tile_of_attention_by_hand():
    # One head, 4,096 keys of 128 values. A pair: 512 / 4e12 + 1 / 1e11 + 3 / 1e12 = 0.141 ns of four cores. A block
    # of 128 queries has 524,288 pairs, 73.92 us of four cores, 295.70 of its own; 5 to start, 1 for the tile. A
    # second block of one query has a core of its own. A mask spares the block nothing, since it is computed whole.
    shape = {"batch": 1, "heads": 1, "kv_heads": 1, "head_values": 128, "device": made(), "implementation": "fused"}
    for causal in (False, True):
        found = kernels.attention_s(np.array([64, 128, 129, 256]), 4096, causal=causal, **shape)
        assert found * 1e6 == pytest.approx([153.85, 301.70, 301.70, 301.70], rel=1e-4)
    # A window of 256: the block's keys are 255 before its first query, 128, and half a block to fill: 383.5;
    # 128 x 383.5 x 0.141 ns x 4 = 27.69 us.
    near = kernels.attention_s(np.array([128, 129]), 4096, causal=True, window=256, **shape)
    assert near * 1e6 == pytest.approx([33.69, 33.69], rel=1e-3)


def test_a_causal_square_of_attention_by_hand():
    # 8 x 8 heads, 1,024 queries and keys: 1,024 x 1,025 / 2 pairs and half a block for each query, 589,824; in all
    # 37.75e6 x 0.141 ns = 5,322.6 us. The longest tile, 128 x 1,024 pairs on one core, 73.9; half of it 37.0; 128
    # waves of 1 us: 5,487.5 us; with 671 us of traffic 5,487.8; 5 to start.
    shape = {"batch": 8, "heads": 8, "kv_heads": 8, "head_values": 128, "device": made(), "implementation": "fused"}
    assert kernels.attention_s(1024, 1024, **shape) == pytest.approx(5492.8e-6, rel=1e-4)


def test_warm_operands_by_hand():
    # 512 x 512 x 512 in fp16: 1.573 MB. Within half of a cache of 4 MB all is found there; of one
    # of 2 MB: 1.5 - 1.573 / 2 = 0.7135; of one of 1 MB nothing.
    found = kernels.still_cached(1.573e6, cache_bytes=np.array([4e6, 2e6, 1e6]))
    np.testing.assert_allclose(found, [1, 0.7135, 0])
    cold, warm = (kernels.matmul_s(1, 512, 512, device=made(cache_bytes=4e6), warm=w) for w in (0, 1))
    assert warm < cold


def test_the_fastest_attention_is_where_products_are_asynchronous():
    default = {n: kernels.default_implementation(kernels.device(chip(n))) for n in NAMES}
    overlapped = {n for n, how in default.items() if how == "fused, overlapped"}
    assert overlapped == {"H100 SXM5", "B200 SXM (HGX)"}


# ---- identities and limits


@given(names, some_shapes)
def test_one_group_is_a_product(name, shape):
    on = kernels.device(chip(name))
    assert kernels.matmul_s(*shape, device=on, groups=1) == kernels.matmul_s(*shape, device=on)


@given(names, some_shapes, st.integers(2, 64))
def test_groups_take_longer_than_one_and_less_than_one_by_one(name, shape, groups):
    on = kernels.device(chip(name))
    alone = kernels.matmul_s(*shape, device=on)
    together = kernels.matmul_s(*shape, device=on, groups=groups)
    assert alone <= together * (1 + 1e-12) and together <= groups * alone * (1 + 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_large_product_takes_the_inverse_of_the_fraction(name):
    # Start, last wave, tiles' starts and traffic vanish beside 2 x 32,768^3 FLOP: within 12 %.
    real, perfect = (
        kernels.matmul_s(32768, 32768, 32768, device=on)
        for on in (kernels.device(chip(name)), kernels.ideal(chip(name)))
    )
    fraction = {"L40S": WATTS_40S / 362e12}.get(name) or kernels.family_constants(chip(name).family)["matmul_16"]
    assert 1 - 1e-3 < real / perfect * fraction < 1.12


WATTS_40S = 0.6715e12 * 350  # 235 TFLOP/s: operations of a joule on Ada, times the board's watts


def test_a_board_of_few_watts_sustains_less():
    # 95 % of 362 TFLOP/s would be 345; 350 W pay for 235. Of 121 TFLOP/s and 72 W: 48. 450 W pay for 302 where 157 are reached.
    reached = {name: kernels.device(chip(name)).matmul_flop_per_s for name in ("L40S", "L4", "RTX 4090")}
    assert reached == pytest.approx({"L40S": WATTS_40S, "L4": 0.6715e12 * 72, "RTX 4090": 0.9519 * 165.2e12}, rel=1e-3)
    # twice as many operations of half the bits; half as many of twice the bits, of which 52.5 % of 91.6 TFLOP/s are reached
    narrow, wide = (kernels.device(chip("L40S"), format).matmul_flop_per_s for format in ("int8", "fp32"))
    assert (narrow, wide) == pytest.approx((2 * WATTS_40S, 0.525 * 91.6e12), rel=1e-3)
    assert kernels.ideal(chip("L40S")).matmul_flop_per_s == 362e12  # a datasheet has no cap
    swept = kernels.device(replace(chip("L40S"), tdp_watts=np.array([175.0, 350.0, 700.0]))).matmul_flop_per_s
    assert swept == pytest.approx([WATTS_40S / 2, WATTS_40S, 0.9519 * 362e12], rel=1e-3)


@given(names, some_shapes)
def test_no_product_beats_the_datasheet(name, shape):
    c = chip(name)
    real, perfect = (kernels.matmul_s(*shape, device=on) for on in (kernels.device(c), kernels.ideal(c)))
    roof = ops.time_s(ops.matmul("", *shape, format="bf16"), c, format="bf16")
    assert real > perfect * (1 - 1e-12) >= roof * (1 - 1e-9)


attentions = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 64),
        "heads": st.sampled_from([8, 32]),
        "kv_heads": st.sampled_from([1, 8]),
        "head_values": st.sampled_from([64, 128]),
        "causal": st.booleans(),
        "implementation": st.sampled_from(kernels.IMPLEMENTATIONS),
    }
)


@given(names, attentions, st.integers(1, 8192), st.integers(0, 8192))
def test_backward_takes_longer_and_a_window_never_does(name, shape, queries, before):
    on = kernels.device(chip(name))
    forward, both, near = (
        kernels.attention_s(queries, queries + before, **shape, device=on, **more)
        for more in ({}, {"backward": True}, {"window": 4096})
    )
    assert both > forward > 0
    assert near <= forward * (1 + 1e-12)


def test_a_window_leaves_the_far_keys_unread():
    shape = {"batch": 64, "heads": 8, "kv_heads": 8, "head_values": 128, "device": made()}
    near = kernels.attention_s(1, 65536, **shape, window=1024)
    alone = kernels.attention_s(1, 1024, **shape)
    # one more half query's worth of pairs at the window's edge; the traffic is the same
    assert near == pytest.approx(alone, rel=1e-3) and near < kernels.attention_s(1, 65536, **shape) / 50


@given(st.integers(1, 4096))
def test_a_mask_saves_at_most_half(queries):
    shape = {"batch": 8, "heads": 16, "kv_heads": 16, "head_values": 128, "device": made(), "implementation": "fused"}
    full, causal = (kernels.attention_s(queries, queries, **shape, causal=c) for c in (False, True))
    assert full / 2 <= causal * (1 + 1e-9)


FASTER = {  # more of the first, less of the second
    "up": (
        "matmul_flop_per_s",
        "older_flop_per_s",
        "memory_bytes_per_s",
        "cache_bytes_per_s",
        "cache_bytes",
        "vector_per_s",
        "exp_per_s",
        "core_clocks_per_s",
    ),
    "down": ("fixed_s", "light_s", "tile_s"),
}
ways = st.sampled_from([*((f, 1) for f in FASTER["up"]), *((f, -1) for f in FASTER["down"])])


@given(names, some_shapes, ways, st.floats(1.0, 8.0), st.booleans(), attentions)
def test_nothing_better_is_slower(name, shape, way, factor, warm, attention):
    on = kernels.device(chip(name))
    field, sign = way
    better = replace(on, **{field: getattr(on, field) * factor**sign})
    m, k, n = shape
    for time in (
        lambda d: kernels.matmul_s(m, k, n, device=d, warm=warm),
        lambda d: kernels.elementwise_s(float(m * n), device=d, kind="norm"),
        lambda d: kernels.elementwise_s(float(m * n), device=d),
        lambda d: kernels.attention_s(m, m + k, **attention, device=d),
    ):
        assert time(better) <= time(on) * (1 + 1e-12)


# ---- shape


def test_arrays_equal_scalars():
    on = kernels.device(H100)
    m, k, n = np.array([1, 100, 4097]), np.array([512, 4096, 8192]), np.array([64, 4096, 28672])
    one_by_one = [kernels.matmul_s(*shape, device=on, warm=True) for shape in zip(m, k, n, strict=True)]
    np.testing.assert_allclose(kernels.matmul_s(m, k, n, device=on, warm=True), one_by_one)
    moved = np.array([1e3, 1e6, 1e9])
    np.testing.assert_allclose(
        kernels.elementwise_s(moved, device=on), [kernels.elementwise_s(b, device=on) for b in moved]
    )
    shape = {"heads": 32, "kv_heads": 8, "head_values": 128, "device": on, "backward": True}
    np.testing.assert_allclose(
        kernels.attention_s(m, k + m, batch=n, **shape),
        [kernels.attention_s(a, a + b, batch=c, **shape) for a, b, c in zip(m, k, n, strict=True)],
    )
    square = kernels.matmul_s(m[:, None], 4096, n, device=on)
    assert square.shape == (3, 3) and square[1, 2] == kernels.matmul_s(100, 4096, 28672, device=on)


@pytest.mark.parametrize("c", [A100, H100, TPU], ids=lambda c: c.name)
def test_a_swept_chip_goes_through(c):
    rates = c.memory_bytes_per_s * np.array([0.5, 1.0, 2.0])
    swept = kernels.device(replace(c, memory_bytes_per_s=rates))
    calls = (
        lambda d: kernels.matmul_s(1, 8192, 8192, device=d),
        lambda d: kernels.elementwise_s(1e9, device=d),
        lambda d: kernels.attention_s(1, 8192, batch=64, heads=8, kv_heads=8, head_values=128, device=d),
    )
    for call in calls:
        each = [call(kernels.device(replace(c, memory_bytes_per_s=rate))) for rate in rates]
        np.testing.assert_allclose(call(swept), each)
        assert each[0] > each[1] > each[2]
    starts = replace(kernels.device(c), fixed_s=np.array([1e-6, 9e-6]))
    assert np.diff(calls[0](starts)) == pytest.approx(8e-6)


# ---- the door and the constants


@pytest.mark.parametrize("name", [n for n, c in chips().items() if c.peaks])
def test_every_chip_with_a_peak_has_a_device(name):
    c = chip(name)
    for format in c.peaks:
        on = kernels.device(c, format)
        assert 0 < on.matmul_flop_per_s <= c.peak_flop_per_s(format)
        assert on.memory_bytes_per_s <= c.memory_bytes_per_s <= on.cache_bytes_per_s
        assert 0 < kernels.matmul_s(64, 64, 64, device=on) < 1e-3


def test_what_is_not_known_is_said():
    assert kernels.device(H100, "bf16").assumed == ()
    assert "matmul_16 of Ampere" in kernels.device(T4, "fp16").assumed
    assert "stream of all families" in kernels.device(TPU).assumed


def test_an_unknown_implementation_gets_the_nearest():
    with pytest.raises(ValueError, match="'unfuse' is unknown; did you mean 'unfused'"):
        kernels.attention_s(1, 8, batch=1, heads=1, kv_heads=1, head_values=64, device=made(), implementation="unfuse")


def test_constants_are_physical():
    for (family, name), row in kernels.constants_table().items():
        value = float(row["value"])
        if name in fit_kernels.FRACTIONS:
            assert 0.2 < value <= 1, (family, name)
        most_s = 1e-4 if name.startswith("routing") else 1e-5  # several kernels, of which each starts
        assert 0 < value and (row["unit"] != "s" or value < most_s), (family, name)


def test_every_fitted_constant_is_told_in_words():
    """No reader meets a name of the code."""
    names = {row["constant"] for row in data.rows("kernel_constant_names")}
    assert names == {name for _, name in kernels.constants_table()}
    shown = constants.kernels_shown(("any", *kernels.like()))
    assert len(shown) > 30 and all("_" not in line["constant"] for line in shown)
    ampere = {line["constant"]: line["value"] for line in constants.kernels_shown(("Ampere",))}
    assert ampere["products in 16 bits, of the peak"] == "77.5%"  # 0.7745 in the file of constants
    ada = {line["constant"]: line["value"] for line in constants.kernels_shown(("Ada",))}
    assert ada["products in 16 bits, operations of a joule of the board"] == "672 GFLOP/J"  # 6.715e11


def test_constants_are_those_of_the_fit():
    """`python tools/constants.py` writes them."""
    fitted = fit_kernels.fit().values
    table = {key: float(row["value"]) for key, row in kernels.constants_table().items()}
    assert set(fitted) == set(table)
    assert {k: v for k, v in table.items() if not fitted[k] == pytest.approx(v, rel=0.02)} == {}


def test_instructions_of_ampere_by_hand():
    # 2,048 FLOP a core and clock in 16 bits, at the share that the main loop reaches; twice as many in 8 bits
    for name, cores, clock in (("A100 SXM 80GB", 108, 1.41e9), ("H100 SXM5", 132, 1.83e9)):
        reached = kernels.family_constants(chip(name).family)["matmul_16"]
        on = kernels.device(chip(name))
        assert on.older_flop_per_s == pytest.approx(cores * clock * 2048 * reached, rel=1e-3)
        assert on.older_flop_per_s <= on.matmul_flop_per_s
    assert kernels.device(A100).older_flop_per_s == pytest.approx(kernels.device(A100).matmul_flop_per_s, rel=2e-3)
    wide, narrow = (kernels.device(H100, f).older_flop_per_s for f in ("bf16", "int8"))
    assert narrow == pytest.approx(2 * wide)
    assert kernels.device(T4, "fp16").older_flop_per_s == kernels.device(T4, "fp16").matmul_flop_per_s
    assert kernels.device(TPU).older_flop_per_s == kernels.device(TPU).matmul_flop_per_s


def test_rates_of_a_device_by_hand():
    # A100: 108 cores of 1.41 GHz, 16 exponentials a clock; multiply-adds of 19.5 TFLOP/s; 40 MB of cache.
    on, known = kernels.device(A100), kernels.family_constants("Ampere")
    assert on.exp_per_s == pytest.approx(108 * 1.41e9 * 16) and on.vector_per_s == pytest.approx(19.5e12 / 2, rel=1e-3)
    assert on.matmul_flop_per_s == pytest.approx(312e12 * known["matmul_16"])
    assert on.memory_bytes_per_s == pytest.approx(2039e9 * known["stream"])
    assert on.link_bytes_per_s == pytest.approx(300e9 * known["link"])
    assert (on.cores, on.cache_bytes, on.array) == (108, 40 * 2**20, 1)
    assert kernels.device(TPU).exp_per_s == kernels.device(TPU).vector_per_s / 4
    unknown = tuple(replace(level, bytes=None) if level.name == "L2" else level for level in A100.levels)
    assert kernels.device(replace(A100, levels=unknown)).cache_bytes == 0  # a cache of no known size keeps nothing
    perfect = kernels.ideal(A100)
    assert (perfect.matmul_flop_per_s, perfect.memory_bytes_per_s) == (312e12, 2039e9)
    assert perfect.fixed_s == perfect.light_s == perfect.tile_s == perfect.cache_bytes == 0 and perfect.cores == 1


def test_few_rows_by_hand():
    # 4 rows of 1,024 x 2,048 weights in 16 bits, widened by one instruction: 5 x 2.097e6 at 1e12, 10.49 us; 4.194 MB
    # at 100 GB/s, 41.94 us; together 41.98. In a byte each: 8 instructions, 25.17 us; 20.97 us; 27.77. 5 us to start.
    shape = {"groups": 1, "device": made()}
    wide, narrow = (kernels.few_rows_s(4, 1024, 2048, weight_bytes=w, **shape) for w in (2, 1))
    assert (wide, narrow) == pytest.approx((46.98e-6, 32.77e-6), rel=1e-3)
    three = kernels.few_rows_s(4, 1024, 2048, weight_bytes=2, **shape | {"groups": 3})
    assert three - 5e-6 == pytest.approx(3 * (wide - 5e-6))


def test_unfused_attention_by_hand():
    # 32 x 32 scores of 2 heads of 64 values, causal. Forward: 4 x 64 operations a score, 6 passes and 2 of the mask,
    # three kernels. Both ways: 10 x 64 more, 15 and 4 passes, eight kernels.
    shape = {"batch": 1, "heads": 2, "kv_heads": 2, "head_values": 64, "device": made(), "implementation": "unfused"}
    scores = 2 * 32 * 32
    forward = 3 * 5e-6 + scores * (256 / 4e12 + 8 * 2 / 100e9)
    both = 8 * 5e-6 + scores * ((256 + 640) / 4e12 + 19 * 2 / 100e9)
    assert kernels.attention_s(32, 32, **shape) == pytest.approx(forward)
    assert kernels.attention_s(32, 32, **shape, backward=True) == pytest.approx(both)


def test_both_ways_of_attention_by_hand():
    # As `test_attention_by_hand`: forward 9,632.3 us. Backward 1,280 for 512 operations a pair, 21,474.8 us of products,
    # 872.4 of softmax; 22,347.2; 174.6 and half of it for the longest tile's 128th; 128 of tiles: 22,562.5. Traffic
    # twice 671 us: hidden. Two kernels more, 2 x 5 us, stream 64 x 1,024 x 128 x 14 bytes: 117.44 MB, 1,174.4 us.
    shape = {"batch": 8, "heads": 8, "kv_heads": 8, "head_values": 128, "causal": False, "device": made()}
    both = kernels.attention_s(1024, 1024, **shape, implementation="fused", backward=True)
    assert both == pytest.approx((9632.3 + 5 + 22562.5 + 10 + 1174.4) * 1e-6, rel=1e-4)
    first = kernels.attention_s(1024, 1024, **shape, implementation="fused, first", backward=True)
    assert first == pytest.approx(2 * both)
    # Overlapped, forward products and softmax share their time: (8,589.9^4 + 872.4^4)^(1/4) = 8,590.1; a 128th and
    # a half of 67.1 more; 128; 5 to start, 8,590.1 + 33.6 + 128 + 5.
    beside = kernels.attention_s(1024, 1024, **shape, implementation="fused, overlapped")
    assert beside == pytest.approx(8756.7e-6, rel=1e-4)


def test_decoding_by_hand():
    # One query of 64 x 8 heads over 4,096 keys of 8 key-value heads: 2.1e6 pairs x 0.141 ns are 295.7 us, 1 for the
    # tile. Queries and results of 8 x 256 values, keys and values of 8 x 4,096 x 256, of 64 sequences in 2 bytes:
    # 1.074 GB, 10.7 ms, which hides the rest.
    shape = {"batch": 64, "heads": 8, "kv_heads": 8, "head_values": 128, "device": made(), "implementation": "fused"}
    moved = 2 * 64 * (8 * 256 + 8 * 4096 * 256)
    assert kernels.attention_s(1, 4096, **shape) == pytest.approx(5e-6 + moved / 100e9, rel=1e-4)
    narrow = 64 * (2 * 8 * 256 + 8 * 4096 * 256)
    assert kernels.attention_s(1, 4096, **shape, cache_bytes=1) == pytest.approx(5e-6 + narrow / 100e9, rel=1e-4)
    latent = 2 * 64 * (8 * (128 + 100) + 4096 * 128)
    shape |= {"kv_heads": 1, "v_head_values": 100, "shared_values": True}
    # 456 operations a pair: 2.1e6 x (0.114 + 0.013) ns, 266.3 us, and 1, beside 673.4 us
    found = kernels.attention_s(1, 4096, **shape)
    assert found == pytest.approx(5e-6 + ((latent / 100e9) ** 4 + 267.3e-6**4) ** 0.25, rel=1e-4)
    quick = {**shape, "device": made(memory_bytes_per_s=np.inf)}
    flop = 2 * 128 + 2 * 100
    found = kernels.attention_s(1, 4096, **quick)
    assert found == pytest.approx(5e-6 + 1e-6 + 512 * 4096 * (flop / 4e12 + 1 / 1e11 + 3 / 1e12))


def test_a_cut_depth_by_hand():
    # One tile of 64 x 64, depth 65,536, has one of four cores; its depth in four parts has all: 134.2 us and the
    # operands' 2 B x 128 x 16,384 at 50 GB/s, 83.9: 139.2 us; 2 us for two starts. Sums of 32 bits: 4 x 8 x 4,096 B,
    # 1.3 us; operands 16.8 MB, 167.9 us at 100 GB/s: 5 + (141.2^4 + 169.2^4)^(1/4).
    found = kernels.matmul_s(64, 65536, 64, device=made())
    assert found == pytest.approx((5 + (141.2**4 + 169.2**4) ** 0.25) * 1e-6, rel=2e-3)


def test_warm_and_narrow_products_by_hand():
    # Of 1.573 MB all is found in a cache of 4 MB, at 200 GB/s; weights of a byte are half of a third.
    one = {"device": replace(made(cache_bytes=4e6), matmul_flop_per_s=np.inf, tile_s=0.0), "groups": 1}
    operands = 2 * 128 * 512 * 2 / 50e9  # of a tile, from the cache: a core's own rate
    waves = 4  # of 16 tiles
    warm_s, cold_s = 3 * 2 * 512**2 / 200e9, 3 * 2 * 512**2 / 100e9
    for warm, traffic in ((True, warm_s), (False, cold_s)):
        found = kernels.matmul_s(512, 512, 512, warm=warm, **one)
        assert found <= 5e-6 + ((waves * operands) ** 4 + traffic**4) ** 0.25 * (1 + 1e-9)
        assert found >= 5e-6 + traffic
    free = replace(one["device"], cache_bytes_per_s=np.inf)
    narrow = kernels.matmul_s(512, 512, 512, device=free, weight_bytes=1)
    assert narrow == pytest.approx(5e-6 + (2 + 1 + 2) * 512**2 / 100e9)
    byte = kernels.matmul_s(512, 512, 512, device=replace(free, format="fp8"))
    assert byte == pytest.approx(5e-6 + (1 + 1 + 2) * 512**2 / 100e9)  # results in 16 bits
