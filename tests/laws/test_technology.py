"""Memory technology: pins, turnover, fetch over use; by hand, by dimension, at limits."""

import held
import pint
import pytest

from bottlenecks.laws import roofline, technology

unit = pint.UnitRegistry()
S, B, J = unit.second, unit.byte, unit.joule


@pytest.mark.parametrize(
    ("law", "args", "kwargs", "expected"),
    [
        (technology.turnover_per_s, (3.35e12 * B / S,), {"memory_bytes": 85.5e9 * B}, 1 / S),
        (
            technology.fetch_ratio,
            (4,),
            {"weight_bytes": 2 * B, "joules_per_byte": 3e-11 * J / B, "joules_per_flop": 1e-12 * J},
            unit.dimensionless,
        ),
    ],
)
def test_dimensions_and_cards(law, args, kwargs, expected):
    held.hold(law, args, kwargs, unit.Quantity(1.0, expected) if expected is unit.dimensionless else 1 * expected, unit)


def test_pins_of_the_catalog():
    assert technology.pin_bytes_per_s(1024, pin_bits_per_s=9.6e9) == pytest.approx(1.2288e12)  # HBM3E
    assert technology.pin_bytes_per_s(64, pin_bits_per_s=6.4e9) == pytest.approx(51.2e9)  # DDR5-6400


def test_modules_do_not_change_the_turnover():
    one = technology.turnover_per_s(51.2e9, memory_bytes=256e9)
    assert technology.turnover_per_s(65 * 51.2e9, memory_bytes=65 * 256e9) == pytest.approx(one)


def test_a_batch_divides_the_fetch_and_meets_the_energy_balance():
    each = {"weight_bytes": 2, "joules_per_byte": 40e-12, "joules_per_flop": 1e-12}
    assert technology.fetch_ratio(8, **each) == pytest.approx(technology.fetch_ratio(1, **each) / 8)
    # it is one where the intensity, 2 B / b_w, is that at which both cost the same
    balance = roofline.energy_balance_flop_per_byte(joules_per_flop=1e-12, joules_per_byte=40e-12)
    assert technology.fetch_ratio(balance * 2 / 2, **each) == pytest.approx(1)
