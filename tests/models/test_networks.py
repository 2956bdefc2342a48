"""Ways of wiring from a few numbers: against printed machines and by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import system
from bottlenecks.models import collectives, networks, wires
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine

NODE = system("DGX H100").tiers[0]


@pytest.mark.parametrize(
    ("nodes", "switches", "longest"), [(64, 16 + 8, 3), (128, 32 + 16, 3), (256, 64 + 32, 3), (512, 128 + 128 + 64, 5)]
)
def test_the_switches_that_a_superpod_s_table_prints(nodes, switches, longest):
    """NVIDIA's table for switches of 64 ports: 64 nodes take 16 leaves and 8 spines; 512 a third level of 64."""
    found = networks.fat_tree(8 * nodes, port_bytes_per_s=50e9, node=NODE)
    assert found.switches == switches and found.hops == longest


def test_rails_put_thirty_two_machines_below_a_first_switch():
    """A unit of 32 nodes: 256 GPUs whose rails meet no upper switch (8 leaves, one for each place in a node)."""
    rails, plain = (networks.fat_tree(2048, port_bytes_per_s=50e9, node=NODE, rails=r).tiers for r in (True, False))
    assert [tier.ranks for tier in rails] == [8, 256, 2048] and [tier.ranks for tier in plain] == [8, 32, 2048]


def test_oversubscription_counts_above_the_first_switches():
    """24,576 GPUs, 1 : 7: gradients of copies 256 apart get a seventh of their port."""
    full, seventh = (
        networks.fat_tree(24_576, port_bytes_per_s=50e9, node=NODE, oversubscription=o, rails=False) for o in (1, 7)
    )
    assert seventh.bisection_bytes_per_s == pytest.approx(full.bisection_bytes_per_s / 7)
    times = [
        collectives.collective_time("all_to_all", 1e9, tiers=each.tiers, ranks=24_576).seconds
        for each in (full, seventh)
    ]
    assert times[1] / times[0] == pytest.approx(7, rel=0.05)


def test_oversubscription_spares_no_first_switch():
    """Switches of 64 with 56 ports down and 8 up: 3,584 chips hang below 64 of them, and their 512 ways up meet in 8."""
    found = networks.fat_tree(3584, port_bytes_per_s=50e9, radix=64, oversubscription=7)
    assert found.switches == 64 + 8 and found.hops == 3 and found.tiers[0].ranks == 56
    one = networks.fat_tree(64, port_bytes_per_s=50e9, radix=64, oversubscription=4)  # a switch takes them all
    assert (one.switches, one.cables, one.hops, one.bisection_bytes_per_s) == (1, 64, 1, 32 * 50e9)
    assert [tier.ranks for tier in one.tiers] == [64]


@pytest.mark.parametrize("radix", [1, 2, 3, 5])
def test_a_switch_has_as_many_ports_up_as_down(radix):
    with pytest.raises(ValueError, match="radix must be even and at least 4"):
        networks.fat_tree(20, port_bytes_per_s=50e9, radix=radix)


def test_a_cube_of_tpus_is_the_catalog_s():
    """v5p: six links of 100 GB/s; 16 x 16 x 16 has 3 x 4,096 links, 24 hops at most, 512 x 100 GB/s across the middle."""
    cube = networks.torus((16, 16, 16), link_bytes_per_s=100e9)
    known = system("TPU v5p pod").tiers[:1]
    assert (cube.chips, cube.cables, cube.hops, cube.bisection_bytes_per_s) == (4096, 3 * 4096, 24, 512 * 100e9)
    ours, theirs = (
        collectives.collective_time("all_reduce", 1e9, tiers=tiers, ranks=4096).seconds for tiers in (cube.tiers, known)
    )
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_a_mesh_counts_its_links_by_hand():
    """4 x 3, open at the ends: 3 x 3 + 4 x 2 links, 5 hops at most, 3 links across the middle of the four."""
    found = networks.torus((4, 3), link_bytes_per_s=1.0, wraps=False)
    assert (found.cables, found.hops, found.bisection_bytes_per_s) == (17, 5, 3)


def test_frontier_s_groups():
    """16 ranks below a switch, 32 switches a group: the links out that it has are fewer than the ranks, a taper."""
    found = networks.dragonfly(16, 32, 9, port_bytes_per_s=25e9)
    assert found.tiers[0].ranks == 512 and found.tiers[1].oversubscription == pytest.approx(16 / 9)


def test_the_dragonfly_of_its_paper_cable_by_cable():
    """p = 2, a = 4, h = 2: 72 terminals, 36 switches; 72 cables to terminals, 9 x 6 within groups, 36 between them."""
    found = networks.dragonfly(2, 4, 2, port_bytes_per_s=1.0)
    assert (found.chips, found.switches, found.cables) == (72, 36, 72 + 54 + 36)
    assert found.bisection_bytes_per_s == 4 * 5


def test_sites_wait_for_light():
    """1,000 km of fibre: 4.9 ms; and a gradient takes as much longer as the rate between the sites is less."""
    here = networks.fat_tree(64, port_bytes_per_s=50e9, node=NODE)
    far = networks.sites(here, 2, bytes_per_s=1e9, metres=1e6)
    assert far.chips == 128 and far.tiers[-1].latency_s == pytest.approx(4.9e-3, rel=2e-3)
    took = collectives.collective_time("all_reduce", 64e9, tiers=far.tiers, ranks=128).seconds
    # between two sites a tree exchanges one message, a 64th of it through each chip's 1 GB/s, and nodes agree besides
    assert 64e9 / 64 / 1e9 < took < 2 * 64e9 / 64 / 1e9


def test_a_step_can_be_laid_on_each():
    shape = model("Llama-3-8B")
    layout = Layout(seq_len=4096, tp=1, pp=1, dp=64, micro_batch=1, micro_batches=1, zero=1, recompute="none")
    on = machine(chip("H100 SXM5"))
    for network in (
        networks.fat_tree(64, port_bytes_per_s=50e9, node=NODE),
        networks.torus((4, 4, 4), link_bytes_per_s=100e9),
        networks.dragonfly(2, 4, 2, port_bytes_per_s=25e9),
    ):
        laid = wires.laid(shape, layout, on=replace(on, tiers=network.tiers), software="2025")
        assert laid.hottest in [tier.name for tier in network.tiers]
        assert np.all(laid.busy_s >= 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: networks.torus("abc", link_bytes_per_s=1.0), "sides must be chips along each axis"),
        (lambda: networks.torus((4, -4), link_bytes_per_s=1.0), "sides must be above zero, got -4"),
        (lambda: networks.torus(np.array([4, -4]), link_bytes_per_s=1.0), "sides must be above zero, got -4"),
        (lambda: networks.fat_tree(np.array([8, 16]), port_bytes_per_s=1.0), "chips must be one number"),
        (lambda: networks.fat_tree(8, port_bytes_per_s="50"), "port_bytes_per_s must be a number, got '50'"),
        (lambda: networks.dragonfly(2, 4, 2, port_bytes_per_s=1.0, groups=10), "groups must be at most 9"),
    ],
)
def test_bad_input_gets_one_clear_message(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_one_chip_and_two():
    """One chip has no middle. Two on an axis have one cable, and a step to each other."""
    assert networks.fat_tree(1, port_bytes_per_s=50e9).bisection_bytes_per_s == 0
    assert networks.torus((1, 1), link_bytes_per_s=1.0).bisection_bytes_per_s == 0
    pair = networks.torus((2,), link_bytes_per_s=1.0)
    assert (pair.cables, pair.hops, pair.bisection_bytes_per_s) == (1, 1, 1)


def test_a_dragonfly_of_fewer_groups_has_more_links_between_them():
    """Three groups of 4 x 2 links out: four cables between each two; the middle cuts two of three pairs."""
    found = networks.dragonfly(2, 4, 2, port_bytes_per_s=1.0, groups=3)
    assert (found.chips, found.switches, found.cables) == (24, 12, 24 + 3 * 6 + 12)
    assert found.bisection_bytes_per_s == 8
    alone = networks.dragonfly(2, 4, 2, port_bytes_per_s=1.0, groups=1)
    assert alone.chips == 8 and [tier.name for tier in alone.tiers] == ["group"]


def test_sites_side_by_side_wait_for_no_light():
    here = networks.fat_tree(64, port_bytes_per_s=50e9)
    assert networks.sites(here, 2, bytes_per_s=1e9, metres=0).tiers[-1].latency_s == pytest.approx(here.hops * 2.7e-6)


def test_bad_numbers_are_refused_by_name():
    with pytest.raises(ValueError, match="chips must be"):
        networks.fat_tree(0, port_bytes_per_s=50e9)
    with pytest.raises(ValueError, match="links_out must be"):
        networks.dragonfly(2, 4, 0.5, port_bytes_per_s=50e9)


def test_no_more_leaves_a_site_than_passes_its_upper_switches():
    """Ports of 50 GB/s at 4 : 1: 12.5 GB/s of each chip reach the top, whatever the fibre would carry."""
    pod = networks.fat_tree(2048, port_bytes_per_s=50e9, oversubscription=4)
    assert networks.sites(pod, 2, bytes_per_s=100e9, metres=1e3).tiers[-1].bytes_per_s == 12.5e9
