r"""ZeRO: what a data-parallel step exchanges, and how much of it computing hides."""

import numpy as np


def exposed_gradients_s(reduce_s, gather_s, *, forward_s, backward_s, layers, times, hides_gradients, hides_weights):
    r"""(exposed, hidden) seconds of ZeRO 0, 1 and 2: gradients are reduced, and updated weights gathered once a step.

    $$T_x = f\,(T_r - T_{hr}) + T_g - T_{hg}, \quad
      T_{hr} = \delta_r \min\left(T_r \left(1 - \tfrac{1}{\ell}\right), T_b\right), \quad
      T_{hg} = \delta_g \min\left(T_g \left(1 - \tfrac{1}{\ell}\right), T_f\right)$$  (eq:zero-exchange)

    T_r  reduce_s         reduction of all gradients of a chip                        [s]
    T_g  gather_s         gather of its weights; none where each chip has all states  [s]
    T_f  forward_s        a micro-batch's forward pass                                [s]
    T_b  backward_s       its backward pass                                           [s]
    ℓ    layers           layers of a chip: one has nothing to hide behind            [-]
    f    times            reductions in a step: with ZeRO 2 one a micro-batch         [-]
    δ_r  hides_gradients  1 where the software overlaps the reduction with backward   [-]
    δ_g  hides_weights    1 where it overlaps the gather with the next forward pass   [-]

    Holds for: layers alike. Source: counting; rajbhandari2020zero for what is sent.

    >>> [float(x) for x in exposed_gradients_s(4.0, 2.0, forward_s=1.0, backward_s=2.0, layers=4, times=1,
    ...                                        hides_gradients=1, hides_weights=1)]
    [3.0, 3.0]
    """
    tail = 1 - 1 / np.maximum(layers, 1)
    gradients = np.minimum(reduce_s * tail, backward_s) * hides_gradients
    weights = np.minimum(gather_s * tail, forward_s) * hides_weights
    return times * (reduce_s - gradients) + gather_s - weights, times * gradients + weights


def exposed_weights_s(scatter_s, gather_s, *, forward_s, backward_s, layers, times, gathers):
    r"""(exposed, hidden) seconds of ZeRO 3: weights come for the forward and for the backward pass, gradients leave.

    $$T_x = f\,(f_g\,T_g + T_r - T_{hf} - T_{hb}), \quad
      T_{hf} = \min\left(T_g \left(1 - \tfrac{1}{\ell}\right), T_f\right), \quad
      T_{hb} = \min\left(((f_g - 1)\,T_g + T_r) \left(1 - \tfrac{1}{\ell}\right), T_b\right)$$  (eq:sharded-exchange)

    T_r  scatter_s   reduction of a chip's gradients to their owners                                    [s]
    T_g  gather_s    gather of its weights                                                              [s]
    T_f  forward_s   a micro-batch's forward pass                                                       [s]
    T_b  backward_s  its backward pass                                                                  [s]
    ℓ    layers      layers of a chip: of the first nothing is hidden                                   [-]
    f    times       times in a step: micro-batches; 1 where weights are kept whole from first to last  [-]
    f_g  gathers     times that weights arrive: 2; 1 where the backward pass finds those of the forward [-]

    Holds for: layers alike, the next layer's weights on their way while one computes.
    Source: counting; rajbhandari2020zero, section 7.2.2, for what is sent.

    >>> [float(x) for x in exposed_weights_s(2.0, 2.0, forward_s=1.0, backward_s=2.0, layers=4, times=3, gathers=2)]
    [9.0, 9.0]
    """
    tail = 1 - 1 / np.maximum(layers, 1)
    again_s = (gathers - 1) * gather_s
    forward = np.minimum(gather_s * tail, forward_s)
    backward = np.minimum((again_s + scatter_s) * tail, backward_s)
    return times * (gather_s + again_s + scatter_s - forward - backward), times * (forward + backward)
