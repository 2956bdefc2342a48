r"""Trends: how fast a quantity grows, and how sure one can be of it."""

import numpy as np

from bottlenecks.facts.doors import between


def fit_doubling(years, values, *, confidence=0.8, resamples=2000):
    r"""Doubling time of a quantity in years, with an interval.

    $$\log_2 q = \log_2 q_0 + \frac{y}{y_2}$$  (eq:doubling)

    q    values  the quantity, any unit              [-]
    y    years   dates                               [years]
    y_2  -       doubling time in years, the result  [years]

    Returns (doubling, low, high) by least squares; the interval holds `confidence` of the fits to
    bootstrap resamples of the points. Negative means halving.
    Holds for: growth at a steady rate, and points that are independent, which generations are not;
    read the interval as a lower bound on the uncertainty.
    Source: least squares and the bootstrap, definitions.

    >>> [round(float(t), 6) for t in fit_doubling(np.array([0., 2., 4.]), np.array([1., 2., 4.]))]
    [2.0, 2.0, 2.0]
    """
    between("confidence", confidence, 0, 1)
    years, logs = np.asarray(years, float), np.log2(values)
    if years.size < 3 or np.ptp(years) == 0:
        raise ValueError(f"a trend needs at least three points at different dates, got {years.size}")
    pick = np.random.default_rng(0).integers(0, years.size, (resamples, years.size))
    pick = pick[np.ptp(years[pick], axis=1) > 0]
    slopes = _slope(years[pick], logs[pick])
    low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
    with np.errstate(divide="ignore"):  # a flat fit doubles after an infinite time
        return 1 / _slope(years, logs), 1 / high, 1 / low


def _slope(x, y):
    """Least-squares slope along the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    return (x * (y - y.mean(axis=-1, keepdims=True))).sum(axis=-1) / (x * x).sum(axis=-1)
