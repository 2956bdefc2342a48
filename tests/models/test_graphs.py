"""Networks cable by cable: counted by hand, and the same numbers as the laws and the tiers have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import topology
from bottlenecks.models import graphs, networks

SQUARE, OPEN = graphs.torus((4, 4)), graphs.torus((4, 4), wraps=False)
TREE = graphs.fat_tree(4, 4, 2, 2)  # switches of 8 ports: 4 chips down, 2 cables to each of two spines
FLY = graphs.dragonfly(2, 2, 2)


def cables(graph):
    return int(graph.cables.sum() / 2)


@pytest.mark.parametrize(
    ("graph", "chips", "count", "longest"),
    [(SQUARE, 16, 32, 4), (OPEN, 16, 24, 6), (TREE, 16, 32, 4), (FLY, 20, 20 + 5 + 10, 5)],
)
def test_small_networks_by_hand(graph, chips, count, longest):
    """4 x 4 rings have 32 cables; open, 24. Chip, leaf, spine, leaf, chip: 4. Out of a switch, over a group's, to another: 5."""
    assert (graph.chips, cables(graph)) == (chips, count)
    assert graph.hops[:chips, :chips].max() == longest


def test_ways_between_two_corners_of_a_square():
    """Two steps right and two down, in any order: six; closed, four ways round of six each; over the tree, four cables up."""
    assert graphs.ways(OPEN)[1][0, 10] == 6 and graphs.ways(SQUARE)[1][0, 10] == 24
    assert graphs.ways(TREE)[1][0, 15] == 2 * 2 * 2  # two spines, two cables up and two down


def test_the_busiest_cables_of_an_all_to_all_by_hand():
    """Closed: eight chips send eight halves over eight cables. Tree: 4 chips send 12/16 each out of a leaf, over four cables."""
    assert graphs.loads(SQUARE, graphs.all_to_all(SQUARE)).max() == pytest.approx(8 * 0.5 / 8)
    carried = graphs.loads(TREE, graphs.all_to_all(TREE))
    assert carried[16:20, 20:] == pytest.approx(4 * 12 / 16 / 4)
    assert carried[:16, 16:20].max() == pytest.approx(15 / 16)  # a chip keeps its own part


@given(st.lists(st.integers(2, 4), min_size=1, max_size=3), st.booleans())
def test_nothing_is_lost(sides, wraps):
    graph = graphs.torus(sides, wraps=wraps)
    for demand in (graphs.all_to_all(graph), graphs.ring(graph)):
        hops = graph.hops[: graph.chips, : graph.chips]
        assert np.sum(graphs.loads(graph, demand) * 1.0) >= 0
        assert np.sum(graphs.loads(graph, demand) * np.maximum(graph.cables, 1)) == pytest.approx(np.sum(demand * hops))


@pytest.mark.parametrize("graph", [TREE, FLY])
def test_nothing_is_lost_over_switches(graph):
    demand = graphs.all_to_all(graph)
    hops = graph.hops[: graph.chips, : graph.chips]
    assert np.sum(graphs.loads(graph, demand) * graph.cables) == pytest.approx(np.sum(demand * hops))


@pytest.mark.parametrize("sides", [(8,), (4, 4), (3, 5), (4, 4, 4)])
@pytest.mark.parametrize("wraps", [True, False])
def test_graphs_and_laws_agree_on_a_torus(sides, wraps):
    graph = graphs.torus(sides, wraps=wraps)
    found = networks.torus(sides, link_bytes_per_s=1.0, wraps=wraps)
    assert cables(graph) == found.cables and graph.hops.max() == found.hops
    hops = topology.axis_hops(np.array(sides), wraps & (np.array(sides) > 2)).sum()
    assert graph.hops.mean() == pytest.approx(hops)
    busiest = graphs.loads(graph, graphs.all_to_all(graph)).max()
    law = topology.axis_load(np.array(sides), wraps & (np.array(sides) > 2)).max()
    # closed, all cables of an axis are alike; open, those of the middle row carry more than one way by axis spreads
    assert busiest == pytest.approx(law) if wraps else busiest >= law * (1 - 1e-9)


def test_a_ring_cares_little_for_the_middle():
    """Row by row and back: every hop to a neighbour, so that each cable of the ring carries 2 x 15/16 messages."""
    snake = [0, 1, 2, 3, 7, 6, 5, 9, 10, 11, 15, 14, 13, 12, 8, 4]
    for graph in (SQUARE, OPEN):
        assert graphs.loads(graph, graphs.ring(graph, snake)).max() == pytest.approx(2 * 15 / 16)


def test_a_dragonfly_has_one_cable_between_any_two_groups():
    switches = FLY.cables[20:, 20:]
    groups = switches.reshape(5, 2, 5, 2).sum(axis=(1, 3))
    assert np.all(groups[~np.eye(5, dtype=bool)] == 1) and np.all(switches.sum(axis=1) == 1 + 2)


def test_bad_input():
    with pytest.raises(ValueError, match="order must name each of 16 chips once"):
        graphs.ring(SQUARE, [0, 1])
    with pytest.raises(ValueError, match="demand must be a table of 16 x 16"):
        graphs.loads(SQUARE, np.ones((2, 2)))
    with pytest.raises(ValueError, match="sides must be above zero"):
        graphs.torus((4, 0))
    with pytest.raises(ValueError, match="some have no way"):
        graphs.loads(graphs.Graph(2, np.zeros((2, 2), int)), np.ones((2, 2)))
