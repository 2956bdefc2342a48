"""The laws: by hand, through pint, as arrays, at their limits."""

import inspect

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.facts.chips import chip
from bottlenecks.laws import roofline
from bottlenecks.models import ops

unit = pint.UnitRegistry()
unit.define("FLOP = [operations]")
S, B, FLOP, J, W = unit.second, unit.byte, unit.FLOP, unit.joule, unit.watt
BANDWIDTH, RATE, INTENSITY = B / S, FLOP / S, FLOP / B

# law -> (arguments by position, arguments by name, unit of the result)
LAWS = {
    roofline.time_s: ((6e12 * FLOP, 2e12 * B), {"peak_flop_per_s": 2e12 * RATE, "bytes_per_s": 1e12 * BANDWIDTH}, S),
    roofline.no_overlap_s: (
        (6e12 * FLOP, 2e12 * B),
        {"peak_flop_per_s": 2e12 * RATE, "bytes_per_s": 1e12 * BANDWIDTH},
        S,
    ),
    roofline.intensity_flop_per_byte: ((6.0 * FLOP, 2.0 * B), {}, INTENSITY),
    roofline.ridge_flop_per_byte: ((), {"peak_flop_per_s": 6.0 * RATE, "bytes_per_s": 2.0 * BANDWIDTH}, INTENSITY),
    roofline.attainable_flop_per_s: (
        (2.0 * INTENSITY,),
        {"peak_flop_per_s": 6.0 * RATE, "bytes_per_s": 2.0 * BANDWIDTH},
        RATE,
    ),
    roofline.hierarchical_s: (
        (6.0 * FLOP, [2.0, 4.0] * B),
        {"peak_flop_per_s": 6.0 * RATE, "level_bytes_per_s": [1.0, 1.0] * BANDWIDTH},
        S,
    ),
    roofline.bytes_in_flight: ((), {"bytes_per_s": 6.0 * BANDWIDTH, "latency_s": 2.0 * S}, B),
    roofline.latency_limited_bytes_per_s: (
        (6.0 * B,),
        {"bytes_per_s": 9.0 * BANDWIDTH, "latency_s": 2.0 * S},
        BANDWIDTH,
    ),
    roofline.energy_joules: (
        (6.0 * FLOP, 2.0 * B),
        {
            "joules_per_flop": 1.0 * J / FLOP,
            "joules_per_byte": 2.0 * J / B,
            "idle_watts": 1.0 * W,
            "duration_s": 1.0 * S,
        },
        J,
    ),
    roofline.attainable_flop_per_joule: (
        (2.0 * INTENSITY,),
        {"joules_per_flop": 1.0 * J / FLOP, "joules_per_byte": 2.0 * J / B},
        FLOP / J,
    ),
    roofline.energy_balance_flop_per_byte: (
        (),
        {"joules_per_flop": 1.0 * J / FLOP, "joules_per_byte": 2.0 * J / B},
        INTENSITY,
    ),
    roofline.matmul_flop: ((2, 3, 4), {}, unit.dimensionless),
    roofline.matmul_bytes: ((2, 3, 4), {"value_bytes": 2 * B}, B),
    roofline.tiled_matmul_bytes: ((4, 4, 4), {"tile": 2, "value_bytes": 2 * B}, B),
}


def magnitude(value):
    return getattr(value, "magnitude", value)


def test_every_law_of_the_module_is_in_the_table():
    public = {f for _, f in inspect.getmembers(roofline, inspect.isfunction) if f.__module__ == roofline.__name__}
    assert public == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension(law):
    args, kwargs, expected = LAWS[law]
    result = law(*args, **kwargs)
    assert unit.Quantity(result).check(expected.dimensionality if hasattr(expected, "dimensionality") else expected)


def test_a_bandwidth_given_as_a_flop_rate_is_refused():
    with pytest.raises(pint.DimensionalityError):
        roofline.time_s(1.0 * FLOP, 1.0 * B, peak_flop_per_s=1.0 * RATE, bytes_per_s=1.0 * RATE)


@pytest.mark.parametrize(
    "law", [law for law in LAWS if law is not roofline.hierarchical_s], ids=lambda law: law.__name__
)
def test_arrays_equal_scalars(law):
    args, kwargs, _ = LAWS[law]
    factors = np.array([0.5, 1.0, 3.0])

    def bare(factor):
        return law(*(magnitude(a) * factor for a in args), **{n: magnitude(v) * factor for n, v in kwargs.items()})

    np.testing.assert_allclose(bare(factors), [bare(f) for f in factors], rtol=1e-14)


def test_hierarchy_broadcasts_over_leading_axes():
    level_bytes = np.array([[6.0, 1.0], [1.0, 8.0], [1.0, 1.0]])
    result = roofline.hierarchical_s(8.0, level_bytes, peak_flop_per_s=4.0, level_bytes_per_s=np.array([2.0, 2.0]))
    np.testing.assert_allclose(result, [3.0, 4.0, 2.0])  # 6/2; 8/2; 8/4


def test_one_level_is_the_plain_roofline():
    rates = {"peak_flop_per_s": 4.0}
    assert roofline.hierarchical_s(8.0, np.array([6.0]), level_bytes_per_s=np.array([2.0]), **rates) == roofline.time_s(
        8.0, 6.0, bytes_per_s=2.0, **rates
    )


def test_h100_product_by_hand():
    # (1, 8192) @ (8192, 57344) in fp16: 2 x 8192 x 57344 = 939,524,096 FLOP
    assert roofline.matmul_flop(1, 8192, 57344) == 939_524_096
    # 2 B x (8192 + 8192 x 57344 + 57344) = 939,655,168 B; over 3.35e12 B/s = 280.5 us
    assert roofline.matmul_bytes(1, 8192, 57344, value_bytes=2) == 939_655_168
    op = ops.matmul("gate+up", 1, 8192, 57344, format="fp16")
    assert ops.time_s(op, chip("H100 SXM5"), format="fp16") == pytest.approx(280.5e-6, rel=1e-3)


def test_ridges_by_hand():
    # 312e12 / 2039e9 = 153.0; 989.4e12 / 3350e9 = 295.3; 188e12 / 80e12 = 2.35
    assert ops.ridge_flop_per_byte(chip("A100 SXM 80GB"), format="bf16") == pytest.approx(153.0, abs=0.05)
    assert ops.ridge_flop_per_byte(chip("H100 SXM5"), format="bf16") == pytest.approx(295.3, abs=0.05)
    assert ops.ridge_flop_per_byte(chip("Groq LPU v1"), format="fp16") == pytest.approx(2.35, abs=0.005)


def test_choi_balance_by_hand():
    # HBM2 at 3.92 pJ/bit = 31.36 pJ/B; FP16 at 7 nm (0.34 + 0.16) / 2 = 0.25 pJ: 31.36 / 0.25 = 125.44
    balance = roofline.energy_balance_flop_per_byte(joules_per_flop=0.25e-12, joules_per_byte=31.36e-12)
    assert balance == pytest.approx(125.44)


positive = st.floats(1e-3, 1e3)


@given(positive, positive, positive, positive)
def test_the_maximum_is_within_a_factor_of_two_of_the_sum(flop, moved, peak, bandwidth):
    rates = {"peak_flop_per_s": peak, "bytes_per_s": bandwidth}
    longest, total = (roofline.time_s(flop, moved, **rates), roofline.no_overlap_s(flop, moved, **rates))
    assert longest <= total <= 2 * longest * (1 + 1e-12)


@given(positive, positive, positive, positive, st.floats(1.0, 10.0))
def test_more_bandwidth_never_slows_and_doubling_all_rates_halves(flop, moved, peak, bandwidth, more):
    base = roofline.time_s(flop, moved, peak_flop_per_s=peak, bytes_per_s=bandwidth)
    assert roofline.time_s(flop, moved, peak_flop_per_s=peak, bytes_per_s=bandwidth * more) <= base
    assert roofline.time_s(flop, moved, peak_flop_per_s=2 * peak, bytes_per_s=2 * bandwidth) == pytest.approx(base / 2)


@given(positive, positive, positive)
def test_at_the_ridge_both_times_are_equal_and_the_rate_is_the_peak(flop, peak, bandwidth):
    rates = {"peak_flop_per_s": peak, "bytes_per_s": bandwidth}
    ridge = roofline.ridge_flop_per_byte(**rates)
    assert flop / peak == pytest.approx(flop / ridge / bandwidth)
    assert roofline.attainable_flop_per_s(ridge, **rates) == pytest.approx(peak)


@given(positive, positive, positive, positive)
def test_the_rate_picture_is_the_time_picture(flop, moved, peak, bandwidth):
    rates = {"peak_flop_per_s": peak, "bytes_per_s": bandwidth}
    rate = roofline.attainable_flop_per_s(roofline.intensity_flop_per_byte(flop, moved), **rates)
    assert flop / roofline.time_s(flop, moved, **rates) == pytest.approx(rate)


def test_a_tile_as_large_as_the_product_moves_the_least():
    whole = roofline.tiled_matmul_bytes(64, 64, 64, tile=64, value_bytes=2)
    assert whole == roofline.matmul_bytes(64, 64, 64, value_bytes=2)
    halves = roofline.tiled_matmul_bytes(64, 64, 64, tile=np.array([1, 2, 4]), value_bytes=2) - 2 * 64 * 64
    np.testing.assert_allclose(halves / halves[0], [1, 1 / 2, 1 / 4])


def test_zero_work_takes_the_time_of_its_traffic():
    assert roofline.time_s(0.0, 2.0, peak_flop_per_s=1.0, bytes_per_s=1.0) == 2.0
