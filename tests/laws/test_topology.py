"""The laws of wiring and of racks: by hand, against printed machines, by counting graphs, through pint."""

import inspect
from itertools import product

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import racks, topology
from bottlenecks.lessons.show import Card

unit = pint.UnitRegistry()
S, B, M, W, K, BIT = unit.second, unit.byte, unit.metre, unit.watt, unit.kelvin, unit.bit
NUMBER = unit.dimensionless

# law -> (arguments by position, arguments by name, unit of the result)
LAWS = {
    topology.fat_tree_ranks: ((64, 3), {}, NUMBER),
    topology.fat_tree_switches: ((2048, 64, 2), {}, NUMBER),
    topology.fat_tree_cables: ((2048, 2), {"oversubscription": 2}, NUMBER),
    topology.axis_hops: (([4, 4], True), {}, NUMBER),
    topology.axis_load: (([4, 4], True), {}, NUMBER),
    topology.torus_bisection: (([4, 4],), {}, NUMBER),
    topology.dragonfly_ranks: ((4, 8, 4), {}, NUMBER),
    topology.dragonfly_taper: ((16, 4), {}, NUMBER),
    topology.bisection_all_to_all_s: ((8.0 * B, 4), {"bisection_bytes_per_s": 2.0 * B / S}, S),
    topology.way_s: ((3,), {"hop_s": 1.0 * S}, S),
    racks.pairs: ((72, 900e9 * B / S), {"lane_bits_per_s": 200e9 * B / S}, NUMBER),
    racks.copper_reach_m: ((2.0 * BIT / S,), {"at_bits_per_s": 1.0 * BIT / S, "reach_m": 2.0 * M}, M),
    racks.link_watts: ((1e12 / S,), {"joules_per_bit": 5e-12 * unit.joule}, W),
    racks.flow_m3_per_s: (
        (1e5 * W,),
        {"kelvins": 15 * K, "joules_per_m3_kelvin": 1.16e3 * unit.joule / M**3 / K},
        M**3 / S,
    ),
}


def test_every_law_of_both_modules_is_in_the_table():
    public = {
        f
        for module in (topology, racks)
        for _, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__
    }
    assert public == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension_and_card(law):
    args, kwargs, expected = LAWS[law]
    assert unit.Quantity(law(*args, **kwargs)).check(expected.dimensionality)
    card = Card(law)
    shown = [name for _, name, _, _ in card.symbols if name.isidentifier()]
    assert set(shown) <= set(inspect.signature(law).parameters) and card.holds and card.source


# ---- fat trees


def test_a_fat_tree_drawn_by_hand():
    """Switches of 4 ports, two levels: 4 leaves with 2 ranks each, 2 spines, every leaf to both: 8 ranks, 6 switches, 16 cables."""
    assert topology.fat_tree_ranks(4, 2) == 8 and topology.fat_tree_switches(8, 4, 2) == 6
    assert topology.fat_tree_cables(8, 2) == 8 + 4 * 2


def test_k_ary_fat_tree_of_the_paper():
    """Al-Fares and others, 2008: 48-port switches, three levels: 27,648 hosts; 5 k^2/4 = 2,880 switches."""
    assert topology.fat_tree_ranks(48, 3) == 27_648
    assert topology.fat_tree_switches(27_648, 48, 3) == 2_880


def test_oversubscription_saves_the_cables_above_it():
    # 24,576 ranks below 3 levels at 7 : 1: 24,576 x (1 + 2/7)
    assert topology.fat_tree_cables(24_576, 3, oversubscription=7) == pytest.approx(24_576 * 9 / 7)


# ---- tori, by counting the graph


def distances(sides, wraps):
    """Hops between all pairs of a small torus or mesh, by steps along each axis."""
    places = list(product(*(range(side) for side in sides)))

    def along(x, y, side):
        return min(abs(x - y), side - abs(x - y)) if wraps else abs(x - y)

    return [sum(along(x, y, side) for x, y, side in zip(a, b, sides, strict=True)) for a in places for b in places]


@pytest.mark.parametrize("sides", [(4,), (3, 6), (4, 5, 2)])
@pytest.mark.parametrize("closed", [True, False])
def test_mean_hops_are_those_of_the_graph(sides, closed):
    assert topology.axis_hops(sides, closed).sum() == pytest.approx(np.mean(distances(sides, wraps=closed)))


def busiest(side, closed):
    """Messages over the busiest link of a line or ring, each rank sending a byte to all together, itself included."""
    loads = dict.fromkeys(product(range(side), (-1, 1)), 0.0)
    for a, b in product(range(side), repeat=2):
        there, back = (b - a) % side, (a - b) % side
        if not closed:
            there, back = (b - a, 2 * side) if b >= a else (2 * side, a - b)
        ways = [(step, n) for step, n in ((1, there), (-1, back)) if n == min(there, back)]
        for step, n in ways:
            for i in range(n):
                loads[((a + step * i) % side, step)] += 1 / side / len(ways)
    return max(loads.values())


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("side", [2, 3, 4, 5, 8])
def test_the_busiest_link_of_an_axis_is_that_of_the_graph(side, closed):
    if closed and side == 2:
        return  # two chips have one cable, and no ring
    assert topology.axis_load(side, closed) == pytest.approx(busiest(side, closed))


@pytest.mark.parametrize(
    ("sides", "wraps", "links"), [((8,), True, 2), ((8,), False, 1), ((4, 6), True, 8), ((4, 6), False, 4)]
)
def test_links_across_the_middle_by_hand(sides, wraps, links):
    """A ring is cut twice, a line once; 4 x 6 is cut across its 6: 4 rows."""
    assert topology.torus_bisection(sides, wraps=wraps) == links


def test_google_prints_the_same_bisection():
    # TPU v3: 32 x 32, 656 Gb/s a link: 64 links of 82 GB/s; the documentation's 6.4 TB/s counts 100 GB/s
    assert topology.torus_bisection([32, 32]) == 64


@given(st.lists(st.sampled_from([2, 4, 8, 16]), min_size=1, max_size=3))
def test_an_all_to_all_over_a_torus_meets_its_bisection(sides):
    """The bound of the middle is what the longest axis takes: eq:torus-all-to-all without its hops."""
    from bottlenecks.laws import collectives

    ranks = int(np.prod(sides))
    took = collectives.torus_all_to_all_s(1e9, np.array(sides), bytes_per_s=1e9, latency_s=0.0)
    bound = topology.bisection_all_to_all_s(1e9, ranks, bisection_bytes_per_s=1e9 * topology.torus_bisection(sides))
    assert took == pytest.approx(bound)


# ---- dragonflies and ways


def test_the_dragonfly_of_its_paper():
    """Kim and others, 2008, figure 5: p = 2, a = 4, h = 2: 9 groups, 72 terminals; balanced where a = 2p = 2h."""
    assert topology.dragonfly_ranks(2, 4, 2) == 72 and topology.dragonfly_taper(2, 2) == 1


def test_light_takes_five_microseconds_a_kilometre():
    assert topology.way_s(0, hop_s=1.0, metres=1000.0) == pytest.approx(4.9e-6)
    assert topology.way_s(5, hop_s=1e-6) == pytest.approx(5e-6)


# ---- racks


def test_the_spine_of_72_chips():
    # 18 links of 50 GB/s each way over 2 pairs a direction: 72 x 18 x 4
    assert racks.pairs(72, 900e9, lane_bits_per_s=200e9) == 72 * 18 * 4 == 5184


def test_reach_halves_or_falls_by_the_root():
    assert racks.copper_reach_m(200e9, at_bits_per_s=100e9, reach_m=2.0) == pytest.approx(2**0.5)
    assert racks.copper_reach_m(200e9, at_bits_per_s=100e9, reach_m=2.0, exponent=1.0) == 1.0


def test_watts_of_optics_by_hand():
    # 30 W for 1.6 Tb/s, one end: 18.75 pJ/bit; both ends and both directions of 900 GB/s: 14.4 Tb/s x 18.75 pJ = 270 W
    assert racks.link_watts(900e9, joules_per_bit=18.75e-12) == pytest.approx(270)


def test_air_and_water_for_120_kilowatts():
    # 1.16 kJ a cubic metre and kelvin: 120 / (1.16 x 15) = 6.9 m3/s; water is 3,600 times as good: 2.9 litres at 10 K
    assert racks.flow_m3_per_s(120e3, kelvins=15, joules_per_m3_kelvin=racks.AIR_J_PER_M3_K) == pytest.approx(
        6.9, rel=2e-3
    )
    assert racks.flow_m3_per_s(120e3, kelvins=10, joules_per_m3_kelvin=racks.WATER_J_PER_M3_K) == pytest.approx(
        2.88e-3, rel=5e-3
    )


def test_arrays_are_scalars_many_times():
    levels = np.array([1, 2, 3])
    assert topology.fat_tree_ranks(64, levels).tolist() == [topology.fat_tree_ranks(64, n) for n in (1, 2, 3)]
    rates = np.array([50e9, 100e9])
    reach = racks.copper_reach_m(rates, at_bits_per_s=100e9, reach_m=2.0)
    assert reach.tolist() == [racks.copper_reach_m(r, at_bits_per_s=100e9, reach_m=2.0) for r in rates]
