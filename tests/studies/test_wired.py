"""The same chips wired otherwise: by hand, and what no wiring may do."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import wired

SHAPE = model("Llama-3-8B")
COPIES = Layout(seq_len=4096, tp=1, pp=1, dp=512, micro_batch=1, micro_batches=1, zero=1, recompute="none")


@pytest.mark.parametrize("way", wired.WAYS)
def test_each_way_carries_the_same_gradients(way):
    """What 512 copies send does not depend on the wires: 6 bytes of each parameter, 511/512 of them, over all first tiers."""
    laid, step_s = wired.hot(way, SHAPE, COPIES)
    moved = laid.moved_bytes["data parallel"]
    first = moved[0] + (moved[1] if len(laid.tiers) > 1 else 0)  # what leaves the domain passes the first ports
    assert float(first) == pytest.approx(6 * 511 / 512 * SHAPE.params, rel=1e-3)
    assert step_s > 0 and laid.hottest in laid.tiers


def test_a_larger_domain_takes_traffic_off_the_ports():
    """Rings leave a domain once: an eighth of the bytes pass the ports of 8, a seventy-second those of 72."""
    eight, many = (
        wired.hot(way, SHAPE, COPIES)[0].moved_bytes["data parallel"] for way in (wired.WAYS[0], wired.WAYS[2])
    )
    assert float(eight[1] / many[1]) == pytest.approx(9, rel=0.12)  # 512 are 7.1 domains of 72


def test_oversubscription_makes_the_upper_switches_hot():
    """512 chips below switches with 32 ports down leave 16 of them, with 56 ten: as many fewer crossings, on a seventh."""
    far = Layout(seq_len=4096, tp=8, pp=1, dp=64, micro_batch=1, micro_batches=1, zero=1, recompute="none", sp=True)
    full, seventh = (wired.hot("machines of 8, no rails", SHAPE, far, oversubscription=o)[0].busy_s for o in (1.0, 7.0))
    assert seventh[:2] == pytest.approx(full[:2]) and seventh[2] == pytest.approx(7 * 10 / 16 * full[2])


def test_the_rack_of_72_as_it_stands():
    """5,184 pairs, 1.6 m at most, 135 kW, 2,122 kg/m2; in light 18 to 23 kW more."""
    found = wired.doubling(72)
    assert found.pairs == 5184 and found.metres == pytest.approx(1.6) and found.rack_watts == pytest.approx(135e3)
    assert found.floor_kg_per_m2 == pytest.approx(2122, rel=1e-3)
    assert found.optics_watts == pytest.approx([1296 * 14, 1296 * 18])


def test_a_second_rack_adds_its_half_width():
    found = wired.doubling(np.array([72, 144, 288, 576]))
    assert np.diff(found.metres) == pytest.approx([0.3, 0.6, 1.2])
    # 72 ports are all taken: a second stage of switches takes as many wires again
    assert found.stages.tolist() == [1, 2, 2, 2] and found.pairs[1] == 4 * found.pairs[0]
    assert wired.doubling(144, ports=144).pairs == 2 * found.pairs[0]
    assert np.all(found.rack_watts == found.rack_watts[0])


def test_a_larger_domain_never_slows_the_best_step():
    domains, times = wired.bought("DeepSeek-V3", domains=(8, 32, 128), chips=256, batch=1024)
    assert np.all(np.diff(times) <= 1e-9 * times[0]) and domains.tolist() == [8, 32, 128]


def test_an_unknown_way_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'a torus'"):
        wired.wired("torus", 64)


@pytest.mark.parametrize("way", wired.WAYS)
@pytest.mark.parametrize("chips", [20, 72, 4096])
def test_each_way_joins_as_many_chips(way, chips):
    network = wired.wired(way, chips).network
    assert network.chips == (chips if way != "a dragonfly" else -(-chips // 512) * 512)


def test_a_wafer_of_dies_by_hand():
    """900,000 cores over 84 dies: 103.5 along an edge, 3.7 GB/s each: 383 GB/s; off the wafer 150 GB/s, a 84th of it per die."""
    network = wired.wired("wafers of 84", 168).network
    assert wired.die_link_bytes_per_s() == pytest.approx(103.5 * 3.7e9, rel=1e-3)
    assert network.tiers[0].bytes_per_s == pytest.approx(4 * 383e9, rel=1e-3)
    assert network.tiers[1].bytes_per_s == pytest.approx(150e9 / 84) and network.cables == 24


@pytest.mark.parametrize("bad", [0, -8, 2.5, "many"])
def test_doors(bad):
    with pytest.raises(ValueError, match="chips must be"):
        wired.wired("a torus", bad)
    with pytest.raises(ValueError, match="oversubscription must be"):
        wired.wired(wired.WAYS[0], 64, oversubscription=bad if bad != 2.5 else 0.5)


def test_what_a_middle_keeps_by_hand():
    """16 x 16 x 16: half of each ring to the other half over two middles: a link carries 2 messages of six: a twelfth."""
    assert wired.kept("a torus in 3-D", 4096) == pytest.approx(1 / 12)
    assert wired.kept("a mesh in 2-D", 64) == pytest.approx(1 / 8)
    assert wired.kept(wired.MIDDLES[0], 64, oversubscription=7) == pytest.approx(1 / 7)
    found = {each.name: each for each in wired.published()}
    assert found["TPU v4 pod"].kept == pytest.approx(1 / 12) and found["TPU v5e pod"].kept == pytest.approx(1 / 8)
    assert found["Frontier"].kept == pytest.approx(1 / 1.75)


def test_a_served_token_gains_until_all_that_share_its_experts_are_in_one_domain():
    took = wired.served("DeepSeek-V3", 64, spreads=(32,)).token_s
    assert np.all(np.diff(took) <= 0) and took[2] == pytest.approx(took[4]) and took[0] > 1.2 * took[2]
    # a choice of spreads is never worse, and the domain's own size suits it
    best = wired.served("DeepSeek-V3", 64)
    assert np.all(best.token_s <= took * (1 + 1e-9)) and best.spread[1:].tolist() == [16, 32, 64, 128]


def test_copper_ends_where_its_reach_does():
    """1.6 m in one rack, 0.3 more for each further one, half of them on either side: 1.9 of 2 m with two; Kyber's 144: four."""
    assert wired.copper_chips() == 144 and wired.copper_chips(rack_chips=144) == 288
    assert wired.copper_chips(reach_m=0.7) == 0 and wired.copper_chips(reach_m=2.5) == 288


def test_the_verdict_can_come_out_otherwise():
    trained = (np.array([64, 128]), np.array([1.0, 0.8]))
    found = wired.scale_up_physics(trained=trained, spared=np.array([3.0, 2.0]))
    assert found.verdict == "holds-when" and "25 % of a training step and 50 % of a served token" in found.because
    assert "72 chips fit" in found.because
    easy = wired.doubling(wired.SIZES, ports=576)._replace(metres=np.full(4, 0.5))
    assert wired.scale_up_physics(found=easy, trained=trained).verdict == "fails"


def test_light_of_a_domain_by_hand():
    """1,296 ends: co-packaged 648 x 7 W at the least, single-mode 1,296 x 18 W at the most, over 72 x 1,875 W."""
    assert wired.light_share(72) == pytest.approx((648 * 7 / 135e3, 1296 * 18 / 135e3))
