"""The headline's cubes: the choices are those of the model, two of them tie, and one tile is refuted by a measurement."""

import pytest

from bottlenecks.facts.chips import chip
from bottlenecks.models import kernels
from bottlenecks.studies import cubes


@pytest.mark.parametrize("side", [512, 1024, 2048, 8192])
def test_the_fastest_choice_is_the_model(side):
    on = kernels.device(chip(cubes.CHIP), cubes.FORMAT)
    assert cubes.choices(side)[0]["seconds"] == pytest.approx(float(kernels.matmul_s(side, side, side, device=on)))


def test_two_explanations_of_one_time():
    """1,024 cubed: 64 tiles of 128 x 128, 44 of 108 cores idle, 64/108 filled; 256 of 64 x 64 in 3 waves, 256/324 filled."""
    taken, told = cubes.explanations()
    assert (taken["tile"], taken["waves"], taken["tiles"]) == ((64, 64), 3, 256)
    assert taken["filled"] == pytest.approx(256 / 324) and taken["idle"] == 68
    assert (told["waves"], told["tiles"], told["idle"]) == (1, 64, 44) and told["filled"] == pytest.approx(64 / 108)
    assert told["seconds"] / taken["seconds"] < 1.01


def test_a_tile_that_the_measurement_refutes():
    """2,048 cubed: 256 tiles in 3 waves fill 79.0 %; 221.8 / 0.790 = 280.7 TFLOP/s inside them, 90 % of 312."""
    found = cubes.inside_tiles()
    assert found["waves"] == 3 and found["filled"] == pytest.approx(256 / 324)
    assert found["inside"] == pytest.approx(280.7e12, rel=1e-3) and found["of_peak"] == pytest.approx(0.90, abs=1e-3)
    assert (
        found["of_peak"] > cubes.best_of_chip() == pytest.approx(0.869, abs=1e-3)
    )  # 271.2 of 312, the best of a sweep
    taken = cubes.choices(2048)[0]
    assert set(taken["tile"]) == {128, 64} and taken["waves"] == 5


def test_the_table_has_what_was_measured():
    table = cubes.choice_table()
    assert len(table) == 5 and table[0]["tile"] == "64 x 64"
    assert cubes.measured_flop_per_s(1024) == pytest.approx(119.4e12)
