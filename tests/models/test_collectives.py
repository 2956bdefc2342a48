"""Collectives on tiers: by hand, at their limits, arrays as scalars, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.facts.networks import Tier, link, system
from bottlenecks.models.collectives import COLLECTIVES, Efficiency, collective_time, occupied

H100, A100 = system("DGX H100").tiers, system("DGX A100").tiers
GIB = 2.0**30
LARGE = 2.0**60  # bytes beside which every latency vanishes
each = pytest.mark.parametrize("collective", COLLECTIVES)


def seconds(collective, message_bytes, **rest):
    return collective_time(collective, message_bytes, **rest).seconds


def test_groups_fill_the_inner_tier_first():
    pod = system("Meta 24k H100 (RoCE)").tiers
    assert [float(n) for n in occupied(pod, 4)] == [4, 4, 4]
    assert [float(n) for n in occupied(pod, 6144)] == [8, 3072, 6144]
    # one rank a node: 3072/8 = 384 nodes in a pod
    assert [float(n) for n in occupied(pod, 1000, per_domain=1)] == [1, 384, 1000]


@each
def test_one_rank_costs_nothing_even_with_a_call(collective):
    lone = collective_time(collective, 1e9, tiers=H100, ranks=1, efficiency=Efficiency(call_s=1e-3))
    assert (lone.seconds, str(lone.algorithm)) == (0, "")


# ---- by hand: bytes alone, which is what is left of a very large message


def test_a_ring_in_a_node():
    # 2 x 7/8 of the message over 300 GB/s
    assert seconds("all_reduce", LARGE, tiers=A100, ranks=8) == pytest.approx(1.75 * LARGE / 300e9, rel=1e-4)


def test_a_ring_across_nodes_is_held_up_by_the_slower_tier():
    # 16 ranks in 2 nodes of 8: 15/8 messages over 450 GB/s inside, over 8 ports of 50 GB/s outside
    at = collective_time("all_reduce", LARGE, tiers=H100, ranks=16, algorithms=("Ring",))
    assert at.seconds == pytest.approx(15 / 8 * LARGE / 400e9, rel=1e-4)
    assert (str(at.bound), str(at.protocol)) == ("port", "Simple")


def test_one_rank_a_node_has_one_port():
    at = seconds("all_gather", LARGE, tiers=H100, ranks=16, per_domain=1)
    assert at == pytest.approx(15 / 16 * LARGE / 50e9, rel=1e-4)


def test_two_nodes_exchange_where_more_go_up_and_down():
    # Trees over ports: one message out of a node of 8 ports if there are two nodes, two if more.
    rest = {"tiers": A100, "algorithms": ("Tree",)}
    assert seconds("all_reduce", LARGE, ranks=16, **rest) == pytest.approx(2 * LARGE / 300e9, rel=1e-4)
    assert seconds("all_reduce", LARGE, ranks=64, **rest) == pytest.approx(2 * LARGE / 200e9, rel=1e-4)


def test_sums_in_the_switch():
    # 9/8 messages over 450 GB/s, of which the library counts on 0.85 (nccl_tuning)
    at = collective_time("all_reduce", LARGE, tiers=H100, ranks=8)
    assert at.seconds == pytest.approx(9 / 8 * LARGE / (450e9 * 0.85), rel=1e-4)
    assert str(at.algorithm) == "NVLS"
    assert str(collective_time("all_reduce", GIB, tiers=A100, ranks=8).algorithm) == "Ring"


def test_all_to_all_leaves_through_the_ports():
    # 32 ranks, 8 a node: 24/32 of the message over a port of 50 GB/s
    at = seconds("all_to_all", LARGE, tiers=H100, ranks=32)
    assert at == pytest.approx(24 / 32 * LARGE / 50e9, rel=1e-4)


def test_partners_in_a_mesh_are_reached_over_one_link():
    mesh = (Tier(name="node", ranks=8, bytes_per_s=448e9, link="Infinity Fabric MI300X"),)
    assert seconds("all_gather", LARGE, tiers=mesh, ranks=2) == pytest.approx(LARGE / 2 / 64e9, rel=1e-4)
    assert seconds("all_gather", LARGE, tiers=mesh, ranks=8) == pytest.approx(7 / 8 * LARGE / 448e9, rel=1e-4)


def test_a_torus():
    # TPU v5e, 16 x 16: every link at work in an all-reduce, each ring's middles in an all-to-all
    pod = system("TPU v5e pod").tiers
    assert seconds("all_reduce", LARGE, tiers=pod, ranks=256) == pytest.approx(2 * 255 / 256 * LARGE / 200e9, rel=1e-4)
    assert seconds("all_to_all", LARGE, tiers=pod, ranks=256) == pytest.approx(
        16 / 8 * LARGE / 50e9,
        rel=1e-4,  # half of each ring to the other half, over two middles
    )
    assert seconds("p2p", LARGE, tiers=pod, ranks=2) == pytest.approx(LARGE / 50e9, rel=1e-4)


def test_groups_on_one_port_and_oversubscription_take_their_part():
    alone = seconds("all_gather", LARGE, tiers=H100, ranks=64)
    assert seconds("all_gather", LARGE, tiers=H100, ranks=64, groups=4) == pytest.approx(4 * alone, rel=1e-3)
    thin = (H100[0], replace(H100[1], oversubscription=3.0))
    assert seconds("all_gather", LARGE, tiers=thin, ranks=64) == pytest.approx(3 * alone, rel=1e-3)
    inside = seconds("all_gather", LARGE, tiers=H100, ranks=8)
    assert seconds("all_gather", LARGE, tiers=H100, ranks=8, groups=4) == inside


def test_a_short_message_waits_for_steps_alone():
    # LL on NVLink: base 6.6 us and 2 x 7 steps of 0.6 us, as the tuner counts (nccl_tuning)
    at = collective_time("all_reduce", 1.0, tiers=A100, ranks=8)
    assert at.seconds == pytest.approx(15.0e-6, rel=1e-3)
    assert (str(at.algorithm), str(at.protocol), str(at.bound)) == ("Ring", "LL", "latency")
    # A tree over 16 nodes: base 6.8 us, 2 x (7 x 0.6 + 4 x 5) us
    tree = seconds("all_reduce", 1.0, tiers=A100, ranks=128, algorithms=("Tree",), protocols=("LL",))
    assert tree == pytest.approx((6.8 + 2 * (4.2 + 20)) * 1e-6, rel=1e-2)


def test_a_switch_that_sums_for_more_ranks_cuts_more():
    # eq:pipeline with a fill of 9 times 1 ms for 72 ranks where 8 have 1 ms, and 16 s of bytes
    rack = (Tier(name="rack", ranks=72, bytes_per_s=1e9, link="NVLink 5", in_network_reduction=True),)
    message = 16e9 * 0.74 * 72 / 73  # nccl_tuning: 0.74 of the bandwidth
    cut = Efficiency(segment_nvlink5_s=1e-3)
    at = seconds("all_reduce", message, tiers=rack, ranks=72, efficiency=cut, algorithms=("NVLS",))
    assert at == pytest.approx((16**0.5 + 0.009**0.5) ** 2, rel=1e-4)


def test_a_broadcast_is_a_pipeline():
    # a chain over 7 links of 3.4 us, base 8.4 us: nothing of a large message waits for all hops in turn
    at = seconds("broadcast", 300e9, tiers=A100, ranks=8, algorithms=("Ring",), protocols=("Simple",))
    assert at == pytest.approx(8.4e-6 + (1 + (7 * 3.4e-6) ** 0.5) ** 2)


def test_a_call_takes_its_time_however_short():
    slow = Efficiency(call_s=1e-3)
    assert seconds("all_reduce", 1e3, tiers=H100, ranks=8, efficiency=slow) == 1e-3
    assert seconds("p2p", 1e3, tiers=H100, ranks=2, efficiency=slow) < 1e-4


# ---- limits and properties

message = st.floats(1.0, 1e11)
group = st.sampled_from([2, 3, 8, 16, 24, 1024])


@each
@given(message=message, n=group, more=st.floats(1.0, 10.0))
def test_faster_tiers_and_better_libraries_never_slow(collective, message, n, more):
    lossy = Efficiency(link=0.5, port=0.5, call_s=1e-5, segment_s=1e-5, segment_nvlink4_s=1e-5)
    usual = seconds(collective, message, tiers=H100, ranks=n, efficiency=lossy)
    for changed in ("bytes_per_s", "latency_s"):
        factor = more if changed == "bytes_per_s" else 1 / more
        for i in range(2):
            tiers = list(H100)
            tiers[i] = replace(tiers[i], **{changed: getattr(tiers[i], changed) * factor})
            faster = seconds(collective, message, tiers=tuple(tiers), ranks=n, efficiency=lossy)
            assert faster <= usual * (1 + 1e-12)
    assert seconds(collective, message, tiers=H100, ranks=n) <= usual * (1 + 1e-12)


@each
@given(message=message, n=group, more=st.floats(1.0, 10.0))
def test_more_bytes_never_take_less(collective, message, n, more):
    rest = {"tiers": H100, "ranks": n}
    assert seconds(collective, message, **rest) <= seconds(collective, message * more, **rest) * (1 + 1e-12)


@given(message=message, n=group)
def test_the_choice_is_the_fastest_of_its_ways(message, n):
    free = collective_time("all_reduce", message, tiers=H100, ranks=n)
    for algorithm in ("Ring", "Tree"):
        for protocol in ("LL", "LL128", "Simple"):
            forced = collective_time(
                "all_reduce", message, tiers=H100, ranks=n, algorithms=(algorithm,), protocols=(protocol,)
            )
            assert free.seconds <= forced.seconds
            if (free.algorithm, free.protocol) == (algorithm, protocol):
                assert free.seconds == forced.seconds


@each
def test_arrays_equal_scalars(collective):
    sizes, counts = np.array([1e3, 1e6, 1e9])[:, None], np.array([1, 2, 8, 16, 40])
    every = collective_time(collective, sizes, tiers=H100, ranks=counts)
    assert every.seconds.shape == every.algorithm.shape == every.bound.shape == (3, 5)
    for i, size in enumerate(sizes[:, 0]):
        for j, n in enumerate(counts):
            one = collective_time(collective, size, tiers=H100, ranks=n)
            for field, value in zip(one._fields, one, strict=True):
                assert getattr(every, field)[i, j] == value, (field, size, n)


def test_hardware_sweeps_through_the_records():
    swept = (H100[0], replace(H100[1], bytes_per_s=np.array([12.5e9, 25e9, 50e9])))
    at = seconds("all_gather", LARGE, tiers=swept, ranks=64)
    np.testing.assert_allclose(at[0] / at, [1, 2, 4], rtol=1e-3)


# ---- at the door


def test_bad_input_is_stopped():
    with pytest.raises(ValueError, match="did you mean 'all_reduce'"):
        seconds("allreduce", 1e6, tiers=H100, ranks=8)
    with pytest.raises(ValueError, match="message_bytes must be above zero"):
        seconds("all_reduce", -1e6, tiers=H100, ranks=8)
    with pytest.raises(ValueError, match="outermost tier 'node', which takes 8"):
        seconds("all_reduce", 1e6, tiers=H100[:1], ranks=16)
    with pytest.raises(ValueError, match="per_domain must be at most the 8 ranks of 'node'"):
        seconds("all_reduce", 1e6, tiers=H100, ranks=16, per_domain=9)
    with pytest.raises(ValueError, match="there are algorithms Ring, Tree"):
        seconds("all_gather", 1e6, tiers=H100, ranks=8, algorithms=("Tree",))
    with pytest.raises(ValueError, match="at least one Tier"):
        seconds("all_reduce", 1e6, tiers=(), ranks=8)


# ---- protocols, callers and hosts


def test_low_latency_words_carry_their_flag_and_are_never_cut():
    cut = Efficiency(segment_nvlink4_s=1.0)
    asked = {"tiers": H100, "ranks": 8, "protocols": ("LL",), "algorithms": ("Ring",)}
    whole = seconds("all_reduce", 1e6, **asked)
    assert seconds("all_reduce", 1e6, **asked, efficiency=cut) == whole


def test_who_calls_says_what_a_short_message_waits_for():
    calls = Efficiency(call_s=3.0, framework_s=2.0)
    at = {
        launch: float(seconds("all_reduce", 8.0, tiers=H100, ranks=8, efficiency=calls, launch=launch))
        for launch in ("library", "framework", "queued")
    }
    assert at["library"] == 3.0 and at["framework"] == 2.0 and 0 < at["queued"] < 1e-3
    with pytest.raises(ValueError, match="launch"):
        seconds("all_reduce", 8.0, tiers=H100, ranks=8, launch="host")


def test_inside_a_node_a_tree_is_a_chain_that_sends_twice():
    # up and down over 300 GB/s, also between two chips; two nodes would exchange, once each
    at = seconds("all_reduce", LARGE, tiers=A100, ranks=2, algorithms=("Tree",), protocols=("Simple",))
    assert at == pytest.approx(2 * LARGE / 300e9, rel=1e-4)


def test_half_a_host_shares_one_way_to_the_other_half():
    # 4 of 8 chips on a root: each sends half of its message over, 4 x 4/8 messages on one wire of 32 GB/s
    host = (Tier(name="host", ranks=8, bytes_per_s=32e9, link="PCIe 4.0 x16"),)
    at = seconds("all_to_all", LARGE, tiers=host, ranks=8)
    wire = link("PCIe 4.0 x16").bytes_per_s
    assert at >= 2.0 * LARGE / wire * (1 - 1e-4)


def test_a_kernel_of_ones_own_is_never_taken_unasked():
    rest = {"tiers": H100, "ranks": 8}
    assert str(collective_time("all_to_all", 1e6, **rest).algorithm) == "Direct"
    asked = collective_time("all_to_all", LARGE, **rest, algorithms=("Put",))
    assert str(asked.algorithm) == "Put" and asked.seconds == pytest.approx(7 / 8 * LARGE / 450e9, rel=1e-4)


def test_switches_that_sum_outside_too():
    # Of 2 nodes of 8 each port carries an eighth of the message once, up into the switch that sums; left to
    # themselves two nodes exchange as much; four send twice as much. Slow ports, so that they bind.
    thin = (H100[0], replace(H100[1], bytes_per_s=5e9, in_network_reduction=True))
    for ranks in (16, 32):
        at = collective_time("all_reduce", LARGE, tiers=thin, ranks=ranks, sums_in=2, algorithms=("NVLSTree",))
        assert at.seconds == pytest.approx(LARGE / (8 * 5e9), rel=1e-4)
        alone = collective_time("all_reduce", LARGE, tiers=thin, ranks=ranks, algorithms=("NVLSTree",))
        assert alone.seconds == pytest.approx((1 if ranks == 16 else 2) * LARGE / (8 * 5e9), rel=1e-4)
    # one rank a node: nothing to sum inside, and no such way
    inside = collective_time("all_reduce", LARGE, tiers=thin, ranks=8, sums_in=2)
    assert inside.seconds == pytest.approx(9 / 8 * LARGE / (450e9 * 0.85), rel=1e-4)


def test_shots_are_for_who_asks_inside_a_machine():
    # Eight ranks and 4 MiB: 7 of them in one shot; 2 x 7/8 in two; at 450 GB/s, without waits.
    at = {"tiers": H100, "ranks": 8}
    one = seconds("all_reduce", 2.0**22, **at, algorithms=("OneShot",))
    two = seconds("all_reduce", 2.0**22, **at, algorithms=("TwoShot",))
    assert one == pytest.approx(7 * 2**22 / 450e9) and two == pytest.approx(7 / 4 * 2**22 / 450e9)
    assert not np.isfinite(seconds("all_reduce", 1e6, tiers=H100, ranks=16, algorithms=("OneShot",)))
    assert collective_time("all_reduce", 1e6, **at).algorithm not in ("OneShot", "TwoShot")
