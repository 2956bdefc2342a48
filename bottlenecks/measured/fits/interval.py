"""The interval that a fit promises: where 80 % of what sources not seen will measure should lie."""

import numpy as np

Z = 1.2816  # of the normal: 80 % lie within so many deviations


def student(freedoms):
    """How much wider Student's t is than the normal at 80 %, to first order in 1 / degrees of freedom."""
    return 1 + (Z**2 + 1) / (4 * freedoms)


def ends(logs, sources):
    """(low, high): factors between which the middle 80 % of measured over predicted lie.

    `logs` of these, with the source of each; every source has the same weight. Widened for a source not
    seen: few sources tell less, by the factor of Student's t.
    """
    _, which, rows = np.unique(sources, return_inverse=True, return_counts=True)
    order = np.argsort(logs)
    share = np.cumsum((1 / rows[which] / rows.size)[order])
    wider = student(rows.size - 1) * (1 + 1 / rows.size) ** 0.5
    return tuple(float(np.exp(wider * logs[order][np.searchsorted(share, at)])) for at in (0.1, 0.9))


def half(logs, sources):
    """The factor h of an interval from 1 / h to h: root mean square over sources, wider the fewer there are."""
    names = np.unique(sources)
    deviation = np.sqrt(np.mean([np.mean(logs[sources == source] ** 2) for source in names]))
    return float(np.exp(Z * student(names.size) * (1 + 1 / names.size) ** 0.5 * deviation))
