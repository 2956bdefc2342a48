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


def exposed_routing_s(launches, *, call_s, routed_launches, routed_s, pass_s, sent_s):
    r"""Seconds that a chip waits in one layer when the processor must know the tokens of each expert first.

    $$T_x = \max\left(0,\ \max(\lambda\,T_c,\ \lambda_r T_c + T_k - T_{kr} + T_a) - (T_k + 2\,T_a)\right)$$  (eq:counted-experts)

    λ     launches         launches of the layer's pass                      [-]
    T_c   call_s           call of the processor for one                     [s]
    λ_r   routed_launches  launches of what is sized by the router's choice  [-]
    T_kr  routed_s         what the chip computes of that                    [s]
    T_k   pass_s           all that the chip computes in the pass            [s]
    T_a   sent_s           one all-to-all that nothing hides                 [s]

    The processor cannot size an expert's products before the router has run. From then on it has to launch
    all that comes up to the next router, and all of that waits behind the last expert's launch.

    Holds for: experts of different sizes, launched one by one. Source: counting; megatron-core-moe.

    >>> round(float(exposed_routing_s(100, call_s=1e-5, routed_launches=80, routed_s=4e-4, pass_s=6e-4, sent_s=0.0)), 6)
    0.0004
    """
    gate = routed_launches * call_s + pass_s - routed_s + sent_s
    return np.maximum(np.maximum(launches * call_s, gate) - pass_s - 2 * sent_s, 0)
