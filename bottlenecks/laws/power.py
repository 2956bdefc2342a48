r"""Power: what a board's watts sustain of a rate that kernels reach in bursts."""

import numpy as np


def sustained_share(flop_per_s, *, flop_per_joule, watts):
    r"""Share of a rate that a board sustains at its rated power.

    $$\phi = \min\left(1,\ \frac{\eta\,\Pi}{R}\right)$$  (eq:power-cap)

    R  flop_per_s      rate of a kernel timed in a burst                   [FLOP/s]
    η  flop_per_joule  operations of a joule when the board is at its cap  [FLOP/J]
    Π  watts           power at which the board is capped                  [W]

    A kernel that is timed for milliseconds runs before the board's controller lowers the clock; a
    training step lasts seconds, and pays for every operation. So one H100 of 700 W multiplies alone at
    846 TFLOP/s and trains at 0.775 TFLOP/J x 700 W = 542 TFLOP/s.

    Holds for: steps bound by products; watts of memory and links are within η.
    Source: definition; η is fitted (data/training_constants.csv).

    >>> round(float(sustained_share(846e12, flop_per_joule=0.775e12, watts=700)), 3)
    0.641
    """
    return np.minimum(flop_per_joule * watts / flop_per_s, 1.0)
