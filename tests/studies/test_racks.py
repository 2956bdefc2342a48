"""Racks and what carries their bits: by hand, against printed numbers."""

import numpy as np
import pytest

from bottlenecks.facts.tables import table
from bottlenecks.laws import racks as law
from bottlenecks.studies import racks

RACK = racks.published()


def test_the_copper_spine_of_a_rack_of_72():
    """72 x 900 GB/s over lanes of 200 Gbit/s: 5,184 pairs, as its pages count cables."""
    found = racks.spine(72, 900e9, "passive copper, 200G lanes")
    assert found.pairs == 5184 and found.reach_m == pytest.approx((0.7, 2.0))


def test_optics_would_take_the_twenty_kilowatts_that_their_maker_saves():
    """518.4 Tbit/s at the chips and as much at the switches, in modules of 0.8: 1,296 of 14 to 18 W; printed: 20 kW."""
    found = racks.spine(72, 900e9, "single-mode optics")
    assert found.ends == 1296 and found.watts == pytest.approx((1296 * 14, 1296 * 18))
    assert found.watts[0] < 20e3 < found.watts[1]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("single-mode optics", 17.5e-12, 22.5e-12),  # 2 x 14 to 18 W / (2 x 800 Gbit/s)
        ("passive copper, 100G lanes", 0.125e-12, 0.125e-12),  # 2 x 0.1 W / (2 x 800 Gbit/s)
        ("co-packaged optics", 4.375e-12, 7.5e-12),  # 2 x 7 to 12 W / (2 x 1.6 Tbit/s)
        ("die to die on a board", 1.3e-12, 1.3e-12),  # as printed
    ],
)
def test_energy_of_a_bit_by_hand(name, low, high):
    assert racks.joules_per_bit(name) == pytest.approx((low, high))


def test_energy_and_watts_of_a_domain_agree():
    """72 chips, both directions of 900 GB/s at 17.5 to 22.5 pJ per bit: the 18 to 23 kW of the modules."""
    joules, watts = racks.joules_per_bit("single-mode optics"), racks.spine(72, 900e9, "single-mode optics").watts
    assert [72 * law.link_watts(900e9, joules_per_bit=each) for each in joules] == pytest.approx(watts)


def test_limits_by_hand():
    """Copper as its rows say; the largest rack in liquid that stands takes 400 kW, the largest announced 600."""
    found = racks.limits()
    assert (
        found["copper_m"] == (0.7, 2.0)
        and found["liquid_watts"] == (400e3, 600e3)
        and found["air_watts"] == (20e3, 56e3)
    )


def test_dollars_of_a_gigabit_per_second_by_hand():
    # a cable of 161 to 299 dollars; two modules of 699 to 1,429, over 800 Gbit/s
    assert racks.usd_per_bit_per_s("passive copper, 100G lanes") == pytest.approx((161 / 800e9, 299 / 800e9))
    assert racks.usd_per_bit_per_s("single-mode optics") == pytest.approx((2 * 699 / 800e9, 2 * 1429 / 800e9))


def test_what_is_not_public_stays_open():
    found = racks.spine(72, 900e9, "co-packaged optics")
    assert np.isnan(found.usd).all() and np.isnan(found.reach_m).all()


def test_further_costs_more_energy():
    """Of what has a reach: no medium that reaches further takes less of a bit at its best."""
    names = ("on-package, 2.5-D", "passive copper, 100G lanes", "linear amplified copper", "active electrical cable")
    best = [racks.joules_per_bit(name)[0] for name in (*names[1:], "single-mode optics")]
    assert best == sorted(best)


def test_the_floor_below_a_rack_of_72():
    """1,360 kg on 0.6 x 1.068 m: 2,122 kg/m2; 135 kW: 1.9 kW a chip, 7.8 m3 of air a second, 3.2 litres of water."""
    found = RACK["GB200 NVL72"]
    assert found["kg_per_m2"] == pytest.approx(2122, rel=1e-3) and found["watts_per_chip"] == pytest.approx(1875)
    assert found["air_m3_per_s"] == pytest.approx(7.76, rel=2e-3) and found["water_m3_per_s"] == pytest.approx(
        3.25e-3, rel=2e-3
    )


def test_air_cools_what_is_cooled_with_air():
    for name, found in RACK.items():
        assert found["by_air"] or "liquid" in found["cooling"], name


def test_an_unknown_medium_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'single-mode optics'"):
        racks.spine(8, 450e9, "single mode optics")


def test_every_number_has_its_two_ends_in_order():
    for name in ("media", "racks"):
        columns = table(name)
        for low in (column for column in columns if column.endswith("_low")):
            high = low.removesuffix("low") + "high"
            with np.errstate(invalid="ignore"):
                assert not np.any(columns[low] > columns[high]), low
