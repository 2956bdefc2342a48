"""Groups in tori and meshes: which box they fill, which axes close, which links they use; by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.networks import Tier, system
from bottlenecks.models import collectives, networks, tori

V5P, V5E = system("TPU v5p pod").tiers[0], system("TPU v5e pod").tiers[0]
PERFECT = {"efficiency": collectives.Efficiency(latency=1e-9)}


def seconds(collective, message, tier, ranks):
    return float(collectives.collective_time(collective, message, tiers=(tier,), ranks=ranks, **PERFECT).seconds)


@pytest.mark.parametrize(
    ("ranks", "sides", "links"),
    [
        (1, [1, 1, 1], 0),
        (2, [1, 1, 2], 1),  # one cable joins two chips
        (8, [2, 2, 2], 3),  # three neighbours, and no way round
        (32, [2, 4, 4], 3),  # half a cube: a mesh
        (64, [4, 4, 4], 6),
        (256, [4, 8, 8], 6),  # four cubes close over the optical switches
        (8960, [16, 20, 28], 6),  # a whole pod
        (7, [1, 1, 7], 1),
    ],
)
def test_slices_of_a_pod(ranks, sides, links):
    box = tori.placed(V5P, ranks)
    assert (box.sides.tolist(), int(box.links), box.most) == (sides, links, 6)


def test_a_plane_closes_at_its_full_side_alone():
    """v5e: rings of 16: half a pod, 8 x 16, closes one way."""
    assert [int(tori.placed(V5E, n).links) for n in (4, 64, 128, 256)] == [2, 2, 3, 4]


def test_two_chips_share_one_cable_by_hand():
    """8 GiB on two v5p: half of it there and half back, twice, over one of six links of 100 GB/s: 86 ms."""
    assert seconds("all_reduce", 2.0**33, V5P, 2) == pytest.approx(2.0**33 / 100e9, rel=1e-6)
    assert seconds("all_reduce", 2.0**33, V5P, 64) == pytest.approx(2 * 63 / 64 * 2.0**33 / 600e9, rel=1e-3)


def test_a_wafer_of_dies_has_open_ends():
    """12 x 7 dies: an all-to-all meets the middle of the twelve: 42 dies send half of 84 messages over 7 links."""
    mesh = networks.torus((12, 7), link_bytes_per_s=4e11, wraps=False).tiers[0]
    assert seconds("all_to_all", 1e9, mesh, 84) == pytest.approx(42 * 0.5 * 1e9 / 7 / 4e11, rel=1e-3)
    # 12 x 6 + 11 x 7 cables, each at two dies
    assert tori.placed(mesh, 84).mean_links == pytest.approx(2 * (12 * 6 + 11 * 7) / 84)


def test_groups_of_many_sizes_are_each_its_own():
    ranks = np.array([[1, 2], [8, 64]])
    box = tori.placed(V5P, ranks)
    assert box.sides.shape == (2, 2, 3)
    for i in np.ndindex(2, 2):
        assert box.links[i] == tori.placed(V5P, int(ranks[i])).links


def test_a_group_with_no_box_is_taken_for_a_cube():
    assert tori.placed(V5E, 2.5).sides.tolist() == pytest.approx([2.5**0.5] * 2)
    row = Tier(name="row", ranks=16, bytes_per_s=1e9, topology="2D mesh", sides=(2, 8))
    assert tori.placed(row, 11).sides.tolist() == pytest.approx([11**0.5] * 2)  # a line of eleven does not fit
    assert tori.placed(row, 8).sides.tolist() == [2, 4] and tori.placed(row, 16).sides.tolist() == [2, 8]
    assert tori.placed(replace(row, topology=""), 8) is None
