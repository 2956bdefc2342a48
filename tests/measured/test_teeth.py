"""Every row count: the grid is the source's, teeth are counted, rivals are fitted fairly."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.measured import teeth

H100 = "H100 SXM5"


@pytest.mark.parametrize("name", teeth.CHIPS)
def test_powers_of_two_are_the_rows_of_the_corpus(name):
    """The same kernels of the same profiles, run several times: nearly all times agree to a microsecond or five percent."""
    rows, grid = corpus.table("kernels"), teeth.dense(name)
    shown = np.isin(rows["source_id"], corpus.showing("kernels", "grid of a layer's shapes")) & (
        rows["chip_name"] == name
    )
    alike = []
    for j, (k, n) in enumerate(zip(grid.k, grid.n, strict=True)):
        for i in np.flatnonzero(grid.fitted):
            mine = shown & (rows["m"] == grid.rows[i, 0]) & (rows["k"] == k) & (rows["n"] == n)
            if mine.any():
                gap = np.abs(rows["time_s"][mine] - grid.seconds[i, j]).min()
                alike.append(gap <= max(1.01e-6, 0.05 * grid.seconds[i, j]))
    assert len(alike) > 200 and np.mean(alike) > 0.95


def test_a_tooth_as_the_source_has_it():
    """H100, 4,096 x 4,096: 29 us for 512 rows, 48 us for 520."""
    swept = teeth.sweep(H100, k=4096, n=4096)
    times = dict(zip(swept["m"].tolist(), swept["time_s"].tolist(), strict=True))
    assert (times[512], times[520]) == pytest.approx((29e-6, 48e-6))
    assert swept["fitted"].sum() == 13 and swept["m"][-1] == 4096  # 1, 2, 4 ... 4,096


def test_three_constants_by_hand():
    """4,096 cubed in 16 bits on an A100: 137.4 GFLOP at half of 312 TFLOP/s are 881 us; 100.7 MB at half of 2.04 TB/s are 98.7."""
    found = teeth.smooth_s(4096, 4096, 4096, device=chip("A100 SXM 80GB"), constants=(0.5, 0.5, 5e-6))
    assert found == pytest.approx(886e-6, rel=1e-3)


@pytest.mark.parametrize("name", teeth.CHIPS)
def test_the_rival_is_fitted_as_well_as_it_can_be(name):
    """No constant moved by two percent lowers the error on the rows that it was fitted on."""
    grid, best = teeth.dense(name), teeth.three_constants(name)

    def error(constants):
        found = teeth.smooth_s(grid.rows[grid.fitted], grid.k, grid.n, device=grid.chip, constants=constants)
        return np.abs(np.log(found / grid.seconds[grid.fitted])).mean()

    for i in range(3):
        for factor in (0.98, 1.02):
            moved = [c * (factor if i == j else 1) for j, c in enumerate(best)]
            assert error(moved) >= error(best) - 1e-6


def test_teeth_are_counted(monkeypatch):
    """Three foretold, two of them measured; of four steps two are teeth, and both were foretold."""
    made = {"predicted": np.array([0.1, 0.1, 0.1, 0.0]), "measured": np.array([0.1, 0.2, 0.0, 0.01])}
    monkeypatch.setattr(teeth, "steps", lambda name: made)
    found = teeth.teeth(H100)
    assert (found["followed"], found["base"], found["elsewhere"], found["found"]) == pytest.approx((2 / 3, 1 / 2, 0, 1))
    assert (found["steps"], found["predicted"], found["measured"]) == (4, 3, 2)


def test_steps_are_from_one_row_count_to_the_next():
    step = teeth.steps(H100)
    mine = (step["before"] == 512) & (step["k"] == 4096) & (step["n"] == 4096)
    assert step["after"][mine] == 520 and step["measured"][mine] == pytest.approx(48 / 29 - 1)
    assert step["before"].min() == teeth.FIRST and step["before_s"].min() >= teeth.LONG_S


def test_a_law_of_tiles_beats_a_smooth_line_where_tiles_bite():
    """On rows that neither has seen; above 1,024 rows of an H100 it does not, and the book says so."""
    for name in teeth.CHIPS:
        for ends in ((1, np.inf), teeth.RANGES["128 to 1,024 rows"]):
            found = teeth.errors(name, between=ends)
            assert found["model"] < found["three constants"] < found["datasheet"]
        assert teeth.teeth(name)["followed"] > 4 * teeth.teeth(name)["base"]
    found = teeth.errors(H100, between=teeth.RANGES["above 1,024 rows"])
    assert found["model"] > found["three constants"]


def test_the_rate_sustained_of_one_product():
    """H100, 28,672 x 8,192, 512 rows: 240.5 GFLOP in 269 us are 894 TFLOP/s, 90.4 % of 989.4; with 1,024 rows 57.5 %."""
    found = teeth.sustained(H100)
    mine = (found["k"] == 28672) & (found["n"] == 8192)
    of = dict(zip(found["rows"][mine].tolist(), found["fraction"][mine].tolist(), strict=True))
    assert of[512] == pytest.approx(0.904, abs=1e-3) and of[1024] == pytest.approx(0.575, abs=1e-3)
    assert (np.diff(found["fraction"]) >= 0).all()


def test_tables_are_short_and_name_every_rival():
    table = teeth.error_table()
    assert len(table) == 5 and all(set(teeth.RIVALS) <= set(line) for line in table)
    assert [line["measured"] for line in table[:2]] == ["416", "7,872"]  # 32 products at 13 and at 246 row counts
    assert len(teeth.range_table()) == 6 and len(teeth.teeth_table()) == 2


def test_what_was_not_foretold():
    found = {line["rows"]: line for line in teeth.unforeseen("A100 SXM 80GB")}
    assert found["960 to 968"]["k x n"] == "4,096 x 4,096" and found["960 to 968"]["most"] == "+43%"  # 154 to 220.5 us


def test_a_chip_without_a_grid_says_which_have_one():
    with pytest.raises(ValueError, match="A40 has no dense grid; A100 SXM 80GB and H100 SXM5 have"):
        teeth.dense("A40")
