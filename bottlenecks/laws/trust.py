r"""Trust: what measurements of some sources say about the next one.

An error here is a logarithm of two times, so that twice too long and twice too short are equally wrong.
"""

from statistics import NormalDist

import numpy as np

CDF, QUANTILE = np.vectorize(NormalDist().cdf), np.vectorize(NormalDist().inv_cdf)


def pooled_log(mean_log, *, sources, between, within):
    r"""What is to be expected of a class of which a few sources are known: their mean, drawn towards zero.

    $$e_c = e_m\,\frac{\zeta_c^2}{\zeta_c^2 + \zeta_s^2 / G}$$  (eq:pooling)

    e_m  mean_log  mean logarithm of the sources seen, from the mean of all classes  [-]
    G    sources   sources seen                                                      [-]
    ζ_c  between   deviation of classes about the mean of all                        [-]
    ζ_s  within    deviation of sources about their class                            [-]

    Holds for: classes and sources that scatter like normal numbers, and deviations that are known.
    Source: the mean of a product of two normal densities; robinson1991blup has its history.

    >>> round(float(pooled_log(0.4, sources=1, between=0.1, within=0.3)), 3)
    0.04
    """
    return mean_log * between**2 / (between**2 + within**2 / sources)


def deviation_of_mean(sources, rows, *, source, row):
    r"""How far a mean over sources may lie from what all sources that there are would give.

    $$\zeta_m = \sqrt{\frac{\zeta_s^2}{G} + \frac{\zeta_r^2}{G\,j}}$$  (eq:two-spreads)

    G    sources  sources seen                                 [-]
    j    rows     rows of each                                 [-]
    ζ_s  source   deviation of sources about their class       [-]
    ζ_r  row      deviation of rows about their source         [-]

    Holds for: sources that know nothing of each other, with equally many rows.
    Source: variances of independent numbers add.

    >>> float(deviation_of_mean(4, 100, source=0.2, row=0.2)) > 0.1
    True
    """
    return np.sqrt((source**2 + row**2 / rows) / sources)


def rows_of_a_source(*, source, row, source_cost, row_cost):
    r"""Rows to take of each source, where a budget buys sources and rows and the mean shall be as sure as can be.

    $$j = \frac{\zeta_r}{\zeta_s}\sqrt{\frac{\psi_s}{\psi_r}}$$  (eq:rows-each)

    ζ_r  row          deviation of rows about their source       [-]
    ζ_s  source       deviation of sources about their class     [-]
    ψ_s  source_cost  cost of one more source without its rows   [s]
    ψ_r  row_cost     cost of one more row                       [s]

    Holds for: eq:two-spreads, a budget that buys many sources, and costs in any one unit.
    Source: the derivative of eq:two-spreads along a fixed budget is zero there; cochran1977sampling has it for surveys.

    >>> float(rows_of_a_source(source=0.2, row=0.1, source_cost=100, row_cost=1))
    5.0
    """
    return row / source * np.sqrt(source_cost / row_cost)


def share_inside(level, width):
    r"""Share of measurements inside an interval that promises a level and has a part of the width that it should have.

    $$\omega = 2\,\Phi\left(H\,\Phi^{-1}\left(\frac{1 + \omega_0}{2}\right)\right) - 1$$  (eq:coverage)

    ω_0  level  share that the interval promises               [-]
    H    width  width of the interval over that which it needs [-]

    Holds for: errors that scatter like normal numbers about a prediction without bias; Φ is their distribution.
    Source: definition of a quantile.

    >>> round(float(share_inside(0.8, 0.5)), 2), round(float(share_inside(0.8, 1.0)), 6)
    (0.48, 0.8)
    """
    return 2 * CDF(width * QUANTILE((1 + np.asarray(level, dtype=float)) / 2)) - 1
