"""The laws of collectives: by hand, against printed numbers, through pint, as arrays, at their limits."""

import inspect

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import collectives as c
from bottlenecks.lessons.show import Card

unit = pint.UnitRegistry()
S, B = unit.second, unit.byte
WIRE = {"bytes_per_s": 2.0 * B / S, "latency_s": 3.0 * S}
BANDWIDTH, NUMBER = B / S, unit.dimensionless
TIERS = {
    "inner_bytes_per_s": 4.0 * B / S,
    "outer_bytes_per_s": 1.0 * B / S,
    "inner_latency_s": 1.0 * S,
    "outer_latency_s": 2.0 * S,
}

# law -> (arguments by position, arguments by name, unit of the result)
LAWS = {
    c.point_to_point_s: ((6.0 * B,), WIRE, S),
    c.half_bandwidth_bytes: ((), WIRE, B),
    c.ring_reduce_scatter_s: ((6.0 * B, 4), WIRE, S),
    c.ring_all_gather_s: ((6.0 * B, 4), WIRE, S),
    c.ring_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.one_shot_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.two_shot_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.recursive_doubling_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.halving_doubling_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.recursive_all_gather_s: ((6.0 * B, 4), WIRE, S),
    c.pipelined_s: ((9.0 * S,), {"fill_s": 4.0 * S}, S),
    c.chain_broadcast_s: ((6.0 * B, 4), WIRE, S),
    c.tree_broadcast_s: ((6.0 * B, 4), WIRE, S),
    c.tree_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.pairwise_all_to_all_s: ((6.0 * B, 4), WIRE, S),
    c.bruck_all_to_all_s: ((6.0 * B, 4), WIRE, S),
    c.in_network_all_reduce_s: ((6.0 * B, 4), WIRE, S),
    c.hierarchical_all_reduce_s: ((6.0 * B, 4, 2), TIERS, S),
    c.torus_all_reduce_s: ((6.0 * B, [4, 4]), WIRE, S),
    c.torus_all_to_all_s: ((6.0 * B, [4, 4]), WIRE, S),
    c.shared_bytes_per_s: ((), {"bytes_per_s": 8.0 * B / S, "oversubscription": 2.0, "groups": 2}, BANDWIDTH),
    c.protocols_s: ((8.0 * S,), {"latency_s": [1.0, 6.0] * S, "bandwidth_share": np.array([0.5, 1.0])}, S),
    c.crossover_bytes: ((), WIRE | {"other_bytes_per_s": 4.0 * B / S, "other_latency_s": 5.0 * S}, B),
    c.algorithm_bytes_per_s: ((6.0 * B, 2.0 * S), {}, BANDWIDTH),
    c.bus_bytes_per_s: ((6.0 * B, 2.0 * S), {"factor": 1.75}, BANDWIDTH),
    c.bus_factor: (("all_reduce", 8), {}, NUMBER),
}
ALL_REDUCES = (
    c.ring_all_reduce_s,
    c.recursive_doubling_all_reduce_s,
    c.halving_doubling_all_reduce_s,
    c.tree_all_reduce_s,
    c.in_network_all_reduce_s,
)
OF_A_GROUP = [law for law, (args, _, _) in LAWS.items() if args[1:] == (4,)]


def names(laws):
    return {"argvalues": laws, "ids": [law.__name__ for law in laws]}


def magnitude(value):
    return getattr(value, "magnitude", value)


def test_every_law_of_the_module_is_in_the_table():
    public = {f for _, f in inspect.getmembers(c, inspect.isfunction) if f.__module__ == c.__name__}
    assert public == set(LAWS)


@pytest.mark.parametrize("law", **names(list(LAWS)))
def test_dimension_and_card(law):
    args, kwargs, expected = LAWS[law]
    wanted = {n: v for n, v in kwargs.items() if n in inspect.signature(law).parameters}
    assert unit.Quantity(law(*args, **wanted)).check(expected.dimensionality)
    card = Card(law)
    shown = [name for _, name, _, _ in card.symbols if name.isidentifier()]
    assert shown == list(inspect.signature(law).parameters) and card.holds and card.source


@pytest.mark.parametrize("law", **names(OF_A_GROUP))
def test_arrays_equal_scalars_and_broadcast(law):
    sizes, ranks = np.array([1.0, 1e3, 1e9])[:, None], np.array([1, 2, 8, 512])
    wire = {"bytes_per_s": 2e9, "latency_s": 1e-6}
    every = [[law(size, n, **wire) for n in ranks] for size in sizes[:, 0]]
    np.testing.assert_allclose(law(sizes, ranks, **wire), every, rtol=1e-14)


@pytest.mark.parametrize("law", **names(OF_A_GROUP))
def test_one_rank_costs_nothing(law):
    assert law(1e9, 1, bytes_per_s=1e9, latency_s=1.0) == 0.0


def test_one_rank_of_tiers_and_tori_costs_nothing():
    wires = {name: magnitude(value) for name, value in TIERS.items()}
    assert c.hierarchical_all_reduce_s(1e9, 1, 1, **wires) == 0.0
    for law in (c.torus_all_reduce_s, c.torus_all_to_all_s):
        assert law(1e9, [1, 1, 1], bytes_per_s=1e9, latency_s=1.0) == 0.0


# ---- by hand


def test_costs_printed_for_mpich():
    # p = 8 ranks, n = 800 bytes, alpha = 10, beta = 1/4: lg p = 3, (p-1)/p = 7/8
    wire = {"bytes_per_s": 4.0, "latency_s": 10.0}
    # lgp.alpha + n.lgp.beta = 30 + 600
    assert c.recursive_doubling_all_reduce_s(800.0, 8, **wire) == 630
    # 2.lgp.alpha + 2.n.((p-1)/p).beta = 60 + 350
    assert c.halving_doubling_all_reduce_s(800.0, 8, **wire) == 410
    # of which the all-gather: lgp.alpha + n.((p-1)/p).beta = 30 + 175
    assert c.recursive_all_gather_s(800.0, 8, **wire) == 205
    # a ring takes (p-1).alpha instead: 70 + 175
    assert c.ring_all_gather_s(800.0, 8, **wire) == 245


def test_factors_printed_by_nccl_tests():
    assert [
        c.bus_factor(name, 8)
        for name in ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "p2p")
    ] == [1.75, 0.875, 0.875, 0.875, 1, 1]
    # A line of a log: 65,536 bytes in 46.80 us on 8 chips, algbw 1.40, busbw 2.45 GB/s.
    assert c.algorithm_bytes_per_s(65536, 46.80e-6) == pytest.approx(1.40e9, rel=3e-3)
    assert c.bus_bytes_per_s(65536, 46.80e-6, factor=1.75) == pytest.approx(2.45e9, rel=3e-3)


def test_sums_in_the_switch_against_a_ring_as_nccl_tests_prints():
    # Without latency the ratio of the two bus bandwidths' factors: (n+1)/n over 2(n-1)/n.
    for n in (2, 3, 8, 72):
        wire = {"bytes_per_s": 450e9, "latency_s": 0.0}
        ratio = c.in_network_all_reduce_s(1e9, n, **wire) / c.ring_all_reduce_s(1e9, n, **wire)
        assert ratio == pytest.approx((n + 1) / (2 * (n - 1)))


def test_torus_as_the_scaling_book_counts():
    # bf16[2048, 8192] = 33,554,432 B on a ring of 8 at 9e10 B/s both ways: an all-gather takes
    # bytes/W = 373 us for a large ring, here 7/8 of it; an all-to-all bytes/(4 W) = 93.2 us.
    wire = {"bytes_per_s": 4.5e10, "latency_s": 0.0}
    total = 2048 * 8192 * 2
    assert c.torus_all_reduce_s(total, [8], **wire) == pytest.approx(2 * 7 / 8 * 372.8e-6, rel=1e-3)
    assert c.torus_all_to_all_s(total / 8, [8], **wire) == pytest.approx(93.2e-6, rel=1e-3)


def test_a_torus_of_two_axes_by_hand():
    # 16 x 16: 255/256 of 256 MB twice over 4 links of 50 GB/s, and 2 x 16 hops of 1 us
    seconds = c.torus_all_reduce_s(256e6, [16, 16], bytes_per_s=50e9, latency_s=1e-6)
    assert seconds == pytest.approx(2 * 255e6 / 200e9 + 32e-6)


def test_tiers_by_hand():
    # 8 GB inside 8 at 400 GB/s: 7 GB / 400 GB/s = 17.5 ms twice; 1 GB around 4 at 50: 2 x 3/4 / 50 = 30 ms
    seconds = c.hierarchical_all_reduce_s(
        8e9, 8, 4, inner_bytes_per_s=400e9, outer_bytes_per_s=50e9, inner_latency_s=0.0, outer_latency_s=0.0
    )
    assert seconds == pytest.approx(65e-3)


# ---- identities and limits

size = st.floats(1.0, 1e11)
ranks = st.integers(2, 4096)
rate = st.floats(1e9, 1e12)
wait = st.floats(1e-7, 1e-3)


@given(size, ranks, rate, wait)
def test_all_reduce_is_reduce_scatter_and_all_gather(message, n, bytes_per_s, latency_s):
    wire = {"bytes_per_s": bytes_per_s, "latency_s": latency_s}
    halves = c.ring_reduce_scatter_s(message, n, **wire) + c.ring_all_gather_s(message, n, **wire)
    assert c.ring_all_reduce_s(message, n, **wire) == pytest.approx(halves)
    halves = 2 * c.recursive_all_gather_s(message, n, **wire)
    assert c.halving_doubling_all_reduce_s(message, n, **wire) == pytest.approx(halves)


@given(size, ranks, rate)
def test_without_latency_no_sends_beat_a_ring(message, n, bytes_per_s):
    """The lower bound of patarasuk2009; sums in the switch are no sends between ranks."""
    wire = {"bytes_per_s": bytes_per_s, "latency_s": 0.0}
    least = c.ring_all_reduce_s(message, n, **wire)
    assert c.bus_bytes_per_s(message, least, factor=c.bus_factor("all_reduce", n)) == pytest.approx(bytes_per_s)
    for law in ALL_REDUCES[1:-1]:
        assert law(message, n, **wire) >= least * (1 - 1e-12)


@pytest.mark.parametrize("law", **names(OF_A_GROUP))
@given(message=size, n=ranks, bytes_per_s=rate, latency_s=wait, more=st.floats(1.0, 10.0))
def test_faster_wires_never_slow_and_time_scales(law, message, n, bytes_per_s, latency_s, more):
    def seconds(factor_of_bandwidth, factor_of_latency):
        return law(message, n, bytes_per_s=bytes_per_s * factor_of_bandwidth, latency_s=latency_s / factor_of_latency)

    usual = seconds(1, 1)
    assert seconds(more, 1) <= usual * (1 + 1e-12) and seconds(1, more) <= usual * (1 + 1e-12)
    assert seconds(2, 2) == pytest.approx(usual / 2)


@given(size, st.integers(2, 64), rate, wait)
def test_one_tier_is_a_ring(message, n, bytes_per_s, latency_s):
    wires = {
        "inner_bytes_per_s": bytes_per_s,
        "outer_bytes_per_s": bytes_per_s,
        "inner_latency_s": latency_s,
        "outer_latency_s": latency_s,
    }
    flat = c.ring_all_reduce_s(message, n, bytes_per_s=bytes_per_s, latency_s=latency_s)
    assert c.hierarchical_all_reduce_s(message, n, 1, **wires) == pytest.approx(flat)
    assert c.hierarchical_all_reduce_s(message, 1, n, **wires) == pytest.approx(flat)


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_a_pipeline_lies_between_the_sum_and_twice_it(stream_s, fill_s):
    total = stream_s + fill_s
    piped = c.pipelined_s(stream_s, fill_s=fill_s)
    assert total * (1 - 1e-12) <= piped <= 2 * total * (1 + 1e-12)


def test_a_pipeline_takes_the_best_number_of_segments():
    # k = 4 hops of 1 s, 100 s of bytes: (4 + m)(1 + 100/m) over whole m is least at m = 20: 24 x 6 = 144
    counts = np.arange(1, 1000)
    assert np.min((4 + counts) * (1 + 100 / counts)) == 144
    assert c.pipelined_s(100.0, fill_s=4.0) == 144


def test_rings_win_on_bytes_and_trees_on_steps():
    wire = {"bytes_per_s": 50e9, "latency_s": 10e-6}
    assert c.tree_all_reduce_s(1e3, 1024, **wire) < c.ring_all_reduce_s(1e3, 1024, **wire) / 50
    assert c.ring_all_reduce_s(1e10, 8, **wire) < c.tree_all_reduce_s(1e10, 8, **wire)


def test_two_ways_meet_at_the_crossover():
    slow, fast = {"bytes_per_s": 10e9, "latency_s": 2e-6}, {"bytes_per_s": 40e9, "latency_s": 8e-6}
    message = c.crossover_bytes(**slow, other_bytes_per_s=40e9, other_latency_s=8e-6)
    assert message == pytest.approx(80_000)  # 6 us / (0.1 - 0.025 ns)
    assert c.point_to_point_s(message, **slow) == pytest.approx(c.point_to_point_s(message, **fast))


def test_half_of_the_bandwidth_at_the_half_bandwidth_message():
    wire = {"bytes_per_s": 50e9, "latency_s": 4e-6}
    message = c.half_bandwidth_bytes(**wire)
    seconds = c.point_to_point_s(message, **wire)
    assert c.algorithm_bytes_per_s(message, seconds) == pytest.approx(25e9)


def test_the_longest_axis_of_a_torus_fills_first_by_hand():
    # 2 x 8 chips: four hops and one of half a second; 8 / 4 x 16 GB over both ways of a link of 1 GB/s, 16 s
    found = c.torus_all_to_all_s(16e9, np.array([2, 8]), bytes_per_s=1e9, latency_s=0.5)
    assert found == pytest.approx(2.5 + 16)


def test_shots_by_hand_and_where_two_overtake_one():
    # Eight ranks, 8 GB at 1 GB/s, 0.5 s a shot: 7 x 8 and one wait; 2 x 7/8 x 8 and two.
    at = {"bytes_per_s": 1e9, "latency_s": 0.5}
    assert c.one_shot_all_reduce_s(8e9, 8, **at) == 56.5
    assert c.two_shot_all_reduce_s(8e9, 8, **at) == 15.0
    alike = 0.5 * 1e9 / (7 * (1 - 2 / 8))  # alpha W / ((n - 1)(1 - 2 / n))
    assert c.one_shot_all_reduce_s(alike, 8, **at) == pytest.approx(c.two_shot_all_reduce_s(alike, 8, **at))
    assert c.one_shot_all_reduce_s(8e9, 1, **at) == c.two_shot_all_reduce_s(8e9, 1, **at) == 0
