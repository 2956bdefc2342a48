"""Trust: pooling, two spreads, rows of a source, coverage. By hand, by dimension, at limits, by simulation."""

import held
import numpy as np
import pint
import pytest

from bottlenecks.laws import trust

unit = pint.UnitRegistry()
LAWS = {
    trust.pooled_log: ((0.4,), {"sources": 3, "between": 0.1, "within": 0.3}),
    trust.deviation_of_mean: ((4, 10), {"source": 0.2, "row": 0.1}),
    trust.share_inside: ((0.8, 0.5), {}),
    trust.rows_of_a_source: ((), {"source": 0.2, "row": 0.1, "source_cost": 9 * unit.hour, "row_cost": 1 * unit.hour}),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension_and_card(law):
    held.hold(law, *LAWS[law], unit.dimensionless, unit)


def test_pooling_by_hand():
    # 0.01 / (0.01 + 0.09 / 3) is a quarter
    assert trust.pooled_log(0.4, sources=3, between=0.1, within=0.3) == pytest.approx(0.1)
    sources = np.array([1, 3, 9, 1e9])
    found = trust.pooled_log(0.4, sources=sources, between=0.1, within=0.3)
    assert found == pytest.approx([0.04, 0.1, 0.2, 0.4])  # nothing known of a class: zero; everything: its own mean


def test_pooling_is_what_lies_nearest_on_average():
    """Of many made-up classes the pooled guess misses the truth by less than the class's own mean, or zero, does."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 0.1, 20_000)
    seen = truth + rng.normal(0, 0.3 / 2**0.5, truth.size)  # the mean of two sources
    pooled = trust.pooled_log(seen, sources=2, between=0.1, within=0.3)
    off = [np.mean((guess - truth) ** 2) for guess in (pooled, seen, 0 * seen, pooled * 1.5, pooled / 1.5)]
    assert off[0] == min(off)


def test_a_thousand_rows_of_one_source_are_one_source():
    # 0.04 / 4 + 0.01 / 40 = 0.01025
    assert trust.deviation_of_mean(4, 10, source=0.2, row=0.1) == pytest.approx(0.01025**0.5)
    assert trust.deviation_of_mean(1, 1e9, source=0.2, row=0.1) == pytest.approx(0.2)


def test_no_other_number_of_rows_is_surer_for_the_same_money():
    spreads = {"source": 0.2, "row": 0.3}
    best = float(trust.rows_of_a_source(**spreads, source_cost=50, row_cost=2))
    assert best == pytest.approx(7.5)  # 1.5 x 5
    each = best * np.array([0.5, 0.9, 1, 1.1, 2])
    found = trust.deviation_of_mean(1000 / (50 + 2 * each), each, **spreads)
    assert found.argmin() == 2


def test_coverage_as_tables_of_the_normal_distribution_have_it():
    # 1.2816 deviations for 80 %; half of them, 0.6408, hold 0.4783; twice, 2.5631, hold 0.9896
    assert trust.share_inside(0.8, np.array([0.5, 1, 2])) == pytest.approx([0.4783, 0.8, 0.9896], abs=2e-4)
    assert trust.share_inside(0.8, 0) == 0
