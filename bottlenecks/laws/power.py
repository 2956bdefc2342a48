r"""Power: what switching costs, and what a board's watts sustain of a rate that kernels reach in bursts."""

import numpy as np


def sustained_share(flop_per_s, *, flop_per_joule, watts):
    r"""Share of a rate that a board sustains at its rated power.

    $$\phi = \min\left(1,\ \frac{\eta\,\Pi}{R}\right)$$  (eq:power-cap)

    R  flop_per_s      rate of a kernel timed in a burst                   [FLOP/s]
    η  flop_per_joule  operations of a joule when the board is at its cap  [FLOP/J]
    Π  watts           power at which the board is capped                  [W]

    A kernel that is timed for milliseconds runs before the board's controller lowers the clock; a
    training step lasts seconds, and pays for every operation. So one H100 of 700 W multiplies alone at
    846 TFLOP/s and trains at 0.771 TFLOP/J x 700 W = 540 TFLOP/s.

    Holds for: steps bound by products; watts of memory and links are within η.
    Source: definition; η is fitted (data/training_constants.csv).

    >>> round(float(sustained_share(846e12, flop_per_joule=0.771e12, watts=700)), 3)
    0.638
    """
    return np.minimum(flop_per_joule * watts / flop_per_s, 1.0)


def switching_watts(activity, *, farads, volts, hertz):
    r"""Power of a chip's switching gates.

    $$\Pi = \phi\,K\,u^2\,\nu$$  (eq:switching-power)

    φ  activity  share of the gates that change in a tick   [-]
    K  farads    capacitance of all gates and wires         [F]
    u  volts     voltage of the supply                      [V]
    ν  hertz     clock: ticks per second                    [1/s]

    Zeros change nothing from one operand to the next, random numbers half of all bits: the same kernel, the same clock, and
    another power. A slower clock needs less voltage as well, so power falls faster than the rate.

    Holds for: switching alone; leakage, memory and fans come on top. Source: charging a capacitor through a
    resistance takes C V^2; thonking2024 for what it does to a product.

    >>> round(float(switching_watts(0.5, farads=1e-6, volts=0.8, hertz=1e9)), 9)
    320.0
    """
    return activity * farads * volts**2 * hertz


def capped_share(full_watts, *, cap_watts, idle_watts, exponent):
    r"""Share of its full clock that a chip sustains under a cap on its power.

    $$\phi = \min\left(1,\ \left(\frac{\Pi_c - \Pi_0}{\Pi_1 - \Pi_0}\right)^{1/x}\right)$$  (eq:capped-clock)

    Π_1  full_watts  power that the work would take at the full clock           [W]
    Π_c  cap_watts   power at which the board is capped                         [W]
    Π_0  idle_watts  power drawn whatever the clock is                          [W]
    x    exponent    of the clock: 1 at fixed voltage, 3 where it follows       [-]

    Holds for: clocks between the lowest and the highest; below the lowest voltage x is 1.
    Source: eq:switching-power with the voltage proportional to the clock, solved for it.

    >>> round(float(capped_share(500.0, cap_watts=400.0, idle_watts=100.0, exponent=1)), 3)
    0.75
    """
    return np.minimum(((cap_watts - idle_watts) / (full_watts - idle_watts)) ** (1 / exponent), 1.0)


def watts_wanted(share, *, exponent):
    r"""How many times a board's power above idle the work would take at the full clock, from the clock that it gets.

    $$\frac{\Pi_1 - \Pi_0}{\Pi_c - \Pi_0} = \phi^{-x}$$  (eq:watts-wanted)

    φ  share     share of the full clock that is sustained                   [-]
    x  exponent  of the clock in its power: 1 at fixed voltage, 3 at most    [-]

    Holds for: a board at its cap. Source: eq:capped-clock, solved for the power.

    >>> round(float(watts_wanted(0.9, exponent=3)), 2)
    1.37
    """
    return share ** (-1.0 * exponent)
