"""A step's exchanges on the links of a machine: by hand, and so that nothing is lost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import Tier, system
from bottlenecks.models import collectives, networks, wires
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine

DGX = system("DGX H100")
ON = machine(DGX)
SHAPE, MIXTURE = model("Llama-3-8B"), model("Mixtral-8x7B")
PLAIN = {"seq_len": 4096, "micro_batch": 1, "micro_batches": 4, "recompute": "none", "zero": 1}


def moved(layout, shape=SHAPE, on=ON, software="2025"):
    return wires.laid(shape, layout, on=on, software=software)


# ---- link by link


def ring_by_hand(ranks, inside, further):
    """(bytes inside a node, over a first port, over a second tier of ports) of a ring that sends one byte over each edge."""
    edges = [(i, (i + 1) % ranks) for i in range(ranks)]
    near = sum(a // inside == b // inside for a, b in edges)
    far = sum(a // further != b // further for a, b in edges)
    return near / ranks, (ranks - near) / ranks, far / ranks


@pytest.mark.parametrize(("ranks", "inside", "further"), [(16, 8, 64), (64, 8, 32), (256, 8, 32), (8, 8, 32)])
def test_a_ring_edge_by_edge(ranks, inside, further):
    tiers = (
        Tier(name="node", ranks=inside, bytes_per_s=450e9, link="NVLink 4"),
        Tier(name="leaf", ranks=further, bytes_per_s=50e9, link="InfiniBand NDR"),
        Tier(name="spine", ranks=4096, bytes_per_s=50e9, link="InfiniBand NDR"),
    )
    found = collectives.link_bytes("all_gather", ranks / (ranks - 1), tiers=tiers, ranks=ranks)
    assert found.tolist() == pytest.approx(ring_by_hand(ranks, inside, further))


def test_an_all_to_all_pair_by_pair():
    # 16 ranks of 2 nodes, 16 bytes each, a byte to everyone: 7 to neighbours, 8 out, one stays
    found = collectives.link_bytes("all_to_all", 16.0, tiers=DGX.tiers, ranks=16)
    assert found.tolist() == [7, 8]


@pytest.mark.parametrize(("ranks", "crossed"), [(9, 202.3), (12, 455.1), (15, 509.7), (20, 655.4)])
def test_an_all_to_all_of_unequal_nodes(ranks, crossed):
    """8 + 1: eight send a ninth of 1,024 bytes out, the last eight ninths; 8 + 8 + 4: 1 - (64 + 64 + 16)/400 of them."""
    parts = [8] * (ranks // 8) + [ranks % 8]
    by_hand = sum(part * (ranks - part) for part in parts) / ranks**2 * 1024
    found = collectives.link_bytes("all_to_all", 1024.0, tiers=DGX.tiers, ranks=ranks)
    assert found[1] == pytest.approx(by_hand) == pytest.approx(crossed, rel=1e-3)
    # the last node's ports are the fullest
    took = collectives.collective_time("all_to_all", 1e9, tiers=DGX.tiers, ranks=ranks).seconds
    assert took == pytest.approx((ranks - parts[-1]) / ranks * 1e9 / DGX.tiers[1].bytes_per_s, rel=2e-2)


def test_links_that_all_share_carry_the_mean_of_an_uneven_group():
    """64 as 56 + 8 behind 7 : 1: in the mean 2 x 56 x 8 / 64^2 of a message goes up, at a seventh of the rate."""
    first, upper = (
        Tier(name=name, ranks=n, bytes_per_s=50e9, oversubscription=o, link="InfiniBand NDR")
        for name, n, o in (("first", 56, 1.0), ("upper", 56 * 64, 7.0))
    )
    took = collectives.collective_time("all_to_all", 1e9, tiers=(first, upper), ranks=64).seconds
    assert took == pytest.approx(2 * 56 * 8 / 64**2 * 7 * 1e9 / 50e9, rel=1e-2)


def test_a_torus_loads_a_link_at_every_hop():
    # 4 x 4 x 4: 64 bytes each, one to each of 63 others and one kept, 3 hops in the mean over all 64
    found = collectives.link_bytes("all_to_all", 64.0, tiers=system("TPU v5p pod").tiers, ranks=64)
    assert found[0] == pytest.approx(64 * 3) and found[1] == 0


@given(
    st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all"]),
    st.integers(0, 10),
    st.integers(0, 3),
)
def test_what_is_sent_is_the_sum_over_tiers(collective, doublings, near):
    ranks, per_domain = 2**doublings, 2**near
    factor = (2 if collective == "all_reduce" else 1) * (ranks - 1) / ranks
    found = collectives.link_bytes(collective, 1e9, tiers=DGX.tiers, ranks=ranks, per_domain=min(per_domain, 8))
    assert found.sum() == pytest.approx(factor * 1e9)


def test_a_message_to_the_next_stage_takes_one_way():
    near, far = (collectives.link_bytes("p2p", 7.0, tiers=DGX.tiers, ranks=2, per_domain=n).tolist() for n in (2, 1))
    assert near == [7, 0] and far == [0, 7]


# ---- a step


def test_gradients_of_a_plain_replica_by_hand():
    """16 chips, ZeRO 1: gradients of 4 bytes scattered, weights of 2 gathered, 15/16 of each sent; an eighth leaves the node."""
    laid = moved(Layout(tp=1, pp=1, dp=16, **PLAIN))
    sent = 6 * 15 / 16 * SHAPE.params
    assert laid.moved_bytes["data parallel"].tolist() == pytest.approx([sent * 7 / 8, sent / 8], rel=1e-3)
    assert sum(float(v.sum()) for n, v in laid.moved_bytes.items() if n != "data parallel") == 0
    assert laid.busy_s[1] == pytest.approx(sent / 8 / (50e9 * ON.efficiency.port), rel=1e-3)
    assert laid.hottest == "cluster"


def test_tensor_parallel_ranks_load_their_own_links_alone():
    """A layer's four sums a micro-batch, each a gather and a scatter, and two gathers again: 10 times 7/8 of the stream."""
    laid = moved(Layout(tp=8, pp=1, dp=2, sp=True, **PLAIN))
    stream = 2 * 4096 * SHAPE.width
    assert laid.moved_bytes["tensor parallel"].tolist() == pytest.approx([4 * 32 * 10 * 7 / 8 * stream, 0])
    assert laid.hottest == "node"


def test_stages_send_what_the_layer_yields():
    """Two stages on two nodes: a micro-batch's activations forward, their gradients back, over the port of each chip."""
    laid = moved(Layout(tp=8, pp=2, dp=1, sp=True, **PLAIN))
    each = 2 * 4096 * SHAPE.width / 8
    # each of the two stages sends one way: 4 micro-batches of 8 messages, over both stages half of twice as many
    assert laid.moved_bytes["pipeline sends"].tolist() == pytest.approx([0, 4 * each])


def test_experts_copies_lie_as_far_apart_as_their_group_is_wide():
    """Experts over the eight chips of each node: no two of a shard's eight copies share a node, so all gradients leave."""
    laid = moved(Layout(tp=1, pp=1, dp=64, ep=8, **PLAIN), MIXTURE)
    experts = 32 * 3 * 4096 * 14336  # one of eight in each layer
    dense = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 8 * 4096) + 2 * 32000 * 4096
    far = 6 * (7 / 8 * experts + 63 / 64 * dense / 8)  # 4 bytes scattered, 2 gathered: 30.8 GB
    assert laid.moved_bytes["data parallel"][1] == pytest.approx(far, rel=1e-3)
    assert far == pytest.approx(30.8e9, rel=1e-3)


def test_two_stages_on_a_chip_are_summed_over_twice_the_ranks():
    """DualPipe holds all 80 layers on either of two stages, and both tables, so eight chips sum everything; an eighth of it each."""
    shape = model("Llama-3.1-70B")
    layout = Layout(tp=8, pp=2, dp=4, sp=True, schedule="dualpipe", **PLAIN)
    held = (80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672) + 2 * 128256 * 8192) / 8
    sent = moved(layout, shape).moved_bytes["data parallel"]
    assert sent.tolist() == pytest.approx([0, 6 * 7 / 8 * held], rel=1e-3) and sent[1] == pytest.approx(
        46.3e9, rel=1e-3
    )


@pytest.mark.parametrize(
    ("schedule", "vpp", "crossed"), [("1f1b", 1, 3), ("interleaved", 5, 19), ("zbv", 1, 6), ("dualpipe", 1, 3)]
)
def test_borders_that_activations_cross(schedule, vpp, crossed):
    """Four stages: 256 micro-batches over each border and back, shared by four chips; 16.78 MB each: 40.8 GB interleaved by five."""
    few = PLAIN | {"micro_batches": 256}
    laid = moved(Layout(tp=8, pp=4, dp=1, sp=True, vpp=vpp, schedule=schedule, **few), model("Llama-3.1-70B"))
    each = 2 * 4096 * 8192 / 8
    assert laid.moved_bytes["pipeline sends"].sum() == pytest.approx(2 * 256 * crossed / 4 * each)


def test_what_lies_far_apart_passes_every_tier_between():
    """Rails: 256 chips below first switches. Stages of 512 chips lie 512 apart, so all that they send passes the upper ones."""
    pod = networks.fat_tree(4096, port_bytes_per_s=50e9, node=DGX.tiers[0])
    on = replace(ON, tiers=pod.tiers)
    laid = moved(Layout(tp=8, pp=8, dp=64, sp=True, **PLAIN), model("Llama-3.1-405B"), on=on)
    sends = laid.moved_bytes["pipeline sends"]
    assert sends[0] == 0 and sends[1] == pytest.approx(sends[2])  # what goes up passes the first switches too
    assert sends[2] == pytest.approx(2 * 4 * 7 / 8 * 2 * 4096 * 16384 / 8)
    # with stages of 128 chips the next lies below the same first switches
    near = moved(Layout(tp=8, pp=32, dp=16, sp=True, **PLAIN), model("Llama-3.1-405B"), on=on).moved_bytes[
        "pipeline sends"
    ]
    assert near[1] > 0 and near[2] == 0
    # copies of an expert are 64 chips apart: four below first switches of 256, so that a quarter of its ring's edges go up
    experts = moved(Layout(tp=1, pp=1, dp=512, ep=64, **PLAIN), model("DeepSeek-V3"), on=on).moved_bytes[
        "data parallel"
    ]
    sent = 6 * 7 / 8 * 256 / 64 * 58 * 3 * 7168 * 2048
    assert experts[2] >= sent / 4 and experts[2] < sent / 4 * 1.05


def test_a_layout_of_arrays_is_each_its_own():
    tp, dp, zero = np.array([1, 2, 4, 8]), np.array([64, 32, 16, 8]), np.array([3, 1, 2, 0])
    named = PLAIN | {"zero": zero}
    many = moved(Layout(tp=tp, pp=1, dp=dp, sp=True, **named), MIXTURE)
    for i in range(4):
        one = moved(Layout(tp=int(tp[i]), pp=1, dp=int(dp[i]), sp=True, **PLAIN | {"zero": int(zero[i])}), MIXTURE)
        assert many.busy_s[:, i].tolist() == pytest.approx(one.busy_s.tolist())
        assert many.hottest[i] == one.hottest


def test_an_oversubscribed_tier_is_busy_longer():
    inner, outer = DGX.tiers
    busy = [
        moved(
            Layout(tp=1, pp=1, dp=64, **PLAIN), on=replace(ON, tiers=(inner, replace(outer, oversubscription=over)))
        ).busy_s
        for over in (1.0, 7.0)
    ]
    assert busy[1].tolist() == pytest.approx([busy[0][0], 7 * busy[0][1]])


def test_weights_dealt_out_travel_for_every_micro_batch():
    """ZeRO 3: gradients once and weights twice for each of 4 micro-batches, against once and once a step."""
    sharded, kept = (
        moved(Layout(tp=1, pp=1, dp=16, **PLAIN | {"zero": zero})).moved_bytes["data parallel"].sum() for zero in (3, 1)
    )
    assert sharded / kept == pytest.approx(4 * (4 + 2 * 2) / (4 + 2))


def test_experts_far_away_heat_the_ports():
    near, far = (
        moved(Layout(tp=1, pp=1, dp=64, ep=ep, **PLAIN), MIXTURE).moved_bytes["expert parallel"] for ep in (8, 1)
    )
    assert near[0] > 0 and near[1] == 0 and far.sum() == 0


def test_a_machine_of_one_chip_has_no_links():
    with pytest.raises(ValueError, match="on must have a tier that joins its chips, got none"):
        moved(Layout(tp=1, pp=1, dp=1, **PLAIN), on=replace(ON, tiers=()))


def test_a_mesh_is_a_torus_at_half_its_rate():
    on = machine(chip("TPU v5e"))
    tiers = on.tiers[:1]
    open_ends = (replace(tiers[0], topology="2D mesh"),)
    times = [
        collectives.collective_time("all_reduce", 1e9, tiers=each, ranks=256).seconds for each in (tiers, open_ends)
    ]
    assert times[1] == pytest.approx(2 * times[0], rel=1e-2)


def test_a_host_s_wires_are_no_ports():
    """Cards in pairs: what leaves a pair passes PCIe, of which the library reaches a link's share and not a port's."""
    on = machine(chip("A100 PCIe 80GB"))
    names = [tier.name for tier in on.tiers]
    laid = moved(Layout(tp=1, pp=1, dp=8, **PLAIN), on=on)
    host = names.index("host")
    sent = float(sum(moved_[host] for moved_ in laid.moved_bytes.values()))
    assert sent > 0 and laid.busy_s[host] == pytest.approx(sent / on.tiers[host].bytes_per_s / on.efficiency.link)
