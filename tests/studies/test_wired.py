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
    assert np.diff(found.metres) == pytest.approx([0.3, 0.6, 1.2]) and found.pairs[1] == 2 * found.pairs[0]
    assert np.all(found.rack_watts == found.rack_watts[0])


def test_a_larger_domain_never_slows_the_best_step():
    domains, times = wired.bought(domains=(8, 32, 128), chips=256, batch=1024)
    assert np.all(np.diff(times) <= 1e-9 * times[0]) and domains.tolist() == [8, 32, 128]


def test_an_unknown_way_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'a torus'"):
        wired.wired("torus", 64)
