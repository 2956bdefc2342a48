"""Trends: a known growth is found, its interval holds what it says, and bad input is refused."""

import numpy as np
import pytest

from bottlenecks.laws import trends

YEARS = np.array([2016.0, 2017.0, 2019.0, 2020.0, 2023.0, 2024.0])


@pytest.mark.parametrize("doubling", [2.0, 0.5, -3.0])
def test_a_steady_growth_is_found(doubling):
    values = 7.0 * 2 ** ((YEARS - 2016) / doubling)
    assert trends.fit_doubling(YEARS, values) == pytest.approx((doubling,) * 3)


def test_least_squares_by_hand():
    # Logarithms 0, 1, 1, 4 at -1, 0, 0, 1 from the mean year: slope (1 x 4 - 1 x 0) / 2 = 2 a year
    years, values = np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0, 16.0])
    assert trends.fit_doubling(years, values)[0] == pytest.approx(0.5)
    # The line does not turn with where years are counted from, nor with the unit.
    moved = trends.fit_doubling(years + 2000, 5 * values)
    assert moved == pytest.approx(trends.fit_doubling(years, values))


def test_the_interval_holds_what_it_says():
    # Of four fifths of drawn samples of a doubling in 2 years the interval holds the truth, or nearly: the bootstrap
    # of 20 points is a little narrow. A narrower one is inside a wider one, and both hold the fit.
    rng, hits = np.random.default_rng(1), 0
    years = np.linspace(2010, 2024, 20)
    for _ in range(200):
        values = 2 ** ((years - 2010) / 2 + rng.normal(0, 1, 20))
        fit, low, high = trends.fit_doubling(years, values, resamples=200)
        assert low <= fit <= high
        hits += low <= 2 <= high
    assert 0.68 <= hits / 200 <= 0.86
    inner, outer = (trends.fit_doubling(years, values, confidence=c) for c in (0.5, 0.95))
    none = trends.fit_doubling(years, values, confidence=1e-9)  # the median of the fits, from both sides
    assert none[1] == pytest.approx(none[2]) and inner[1] < none[1] < inner[2]
    assert outer[1] < inner[1] < inner[0] < inner[2] < outer[2]


def test_what_is_no_trend_is_refused():
    for years, values in (([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])):
        with pytest.raises(ValueError, match="three points at different dates"):
            trends.fit_doubling(np.array(years), np.array(values))
    for confidence in (1.5, -0.1):
        with pytest.raises(ValueError, match="confidence"):
            trends.fit_doubling(YEARS, YEARS, confidence=confidence)
    assert trends.fit_doubling(YEARS[:3], np.array([1.0, 2.0, 4.0]))[0] > 0
