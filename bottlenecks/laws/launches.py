r"""Launches: the processor runs ahead of the chip, and the chip waits when it does not."""

import numpy as np


def exposed_launches_s(launches, *, call_s, busy_s):
    r"""Seconds that a chip waits for the processor that launches its kernels.

    $$T_x = \max(0,\ \lambda\,T_c - T_k)$$  (eq:processor-ahead)

    λ    launches  kernels, and what else the processor does for each    [-]
    T_c  call_s    call of the processor for one                         [s]
    T_k  busy_s    what the chip computes and waits for in the meantime  [s]

    Holds for: a queue that is never full; the processor is not told anything by the chip.
    Source: counting.

    >>> float(exposed_launches_s(1000, call_s=6e-6, busy_s=5e-3))
    0.001
    """
    return np.maximum(launches * call_s - busy_s, 0)
