r"""ZeRO: what a data-parallel step exchanges, and how much of it computing hides."""

import numpy as np


def exposed_gradients_s(reduce_s, gather_s, *, forward_s, backward_s, layers, times, hides_gradients, hides_weights):
    r"""(exposed, hidden) seconds of ZeRO 0, 1 and 2: gradients are reduced, and updated weights gathered once a step.

    $$X = t\,(R - h_R) + G - h_G, \quad
      h_R = o_R \min\left(R \left(1 - \tfrac{1}{\ell}\right), B\right), \quad
      h_G = o_G \min\left(G \left(1 - \tfrac{1}{\ell}\right), F\right)$$  (eq:zero-exchange)

    R    reduce_s         reduction of all gradients of a chip                            [s]
    G    gather_s         gather of its weights; none where each chip has all states      [s]
    F    forward_s        a micro-batch's forward pass                                    [s]
    B    backward_s       its backward pass                                               [s]
    ℓ    layers           layers of a chip: the first to need weights hides nothing,
                          nor does the last to have gradients                             [-]
    t    times            reductions in a step: with ZeRO 2 one a micro-batch             [-]
    o_R  hides_gradients  1 where the software overlaps the reduction with backward       [-]
    o_G  hides_weights    1 where it overlaps the gather with the next forward pass       [-]

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

    $$X = t\,(g\,G + S - h_F - h_B), \quad h_F = \min\left(G \left(1 - \tfrac{1}{\ell}\right), F\right), \quad
      h_B = \min\left(((g - 1)\,G + S) \left(1 - \tfrac{1}{\ell}\right), B\right)$$  (eq:sharded-exchange)

    S  scatter_s   reduction of a chip's gradients to their owners                        [s]
    G  gather_s    gather of its weights                                                  [s]
    F  forward_s   a micro-batch's forward pass                                           [s]
    B  backward_s  its backward pass                                                      [s]
    ℓ  layers      layers of a chip: of the first nothing is hidden                       [-]
    t  times       micro-batches; 1 where weights are kept whole from first to last       [-]
    g  gathers     2; 1 where the backward pass finds the weights of the forward pass     [-]

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
