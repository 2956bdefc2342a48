r"""Recomputation: what each policy does again in the backward pass instead of keeping it."""

from typing import NamedTuple

import numpy as np

POLICIES = ("none", "selective", "products", "full")


class Repeats(NamedTuple):
    """Shares of a layer's forward pass that a policy does again."""

    products: float
    attention: float
    elementwise: float
    launches: float  # of the forward pass's
    exchanges: float  # of a pass's: tensor-parallel sums, all-to-alls of experts


REPEATS = {
    "none": Repeats(0, 0, 0, 0, 0),  # everything is kept
    "selective": Repeats(0, 1, 0, 0, 0),  # attention alone is done again: korthikanti2022_t5
    "products": Repeats(0.5, 0, 1, 0.75, 0),  # every second product and attention's result are kept
    "full": Repeats(1, 1, 1, 1, 1),  # a layer's input alone is kept
}
TABLE = Repeats(*(np.array(column) for column in zip(*REPEATS.values(), strict=True)))


def repeats(policy):
    """`Repeats` of policies given as indices into `POLICIES`, elementwise."""
    return Repeats(*(column[policy] for column in TABLE))


def again_s(again, *, products_s, attention_s, elementwise_s):
    r"""Seconds of a layer's recomputation.

    $$T = f_m T_m + f_\chi T_\chi + f_v T_v$$  (eq:recomputation)

    f    again          `Repeats` of the policy: times that each part is computed again  [-]
    T_m  products_s     the forward pass's products                                      [s]
    T_χ  attention_s    its attention                                                    [s]
    T_v  elementwise_s  its elementwise kernels                                          [s]

    Holds for: whole kernels; what is done again takes what it took. Source: definition of the policies.

    >>> float(again_s(REPEATS["products"], products_s=4.0, attention_s=1.0, elementwise_s=0.5))
    2.5
    """
    return again.products * products_s + again.attention * attention_s + again.elementwise * elementwise_s
