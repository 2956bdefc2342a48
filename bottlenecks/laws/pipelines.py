r"""Pipelines: how long the stages of a training step wait for each other."""

import numpy as np

from bottlenecks.facts.doors import code

SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb1p", "zb2p", "zbv", "dualpipe")
INTERLEAVED, ZB1P, ZBV, DUALPIPE = (SCHEDULES.index(name) for name in ("interleaved", "zb1p", "zbv", "dualpipe"))


def bubble_s(forward_s, backward_s, weights_s, *, stages, chunks, micro_batches, schedule):
    r"""Seconds that a stage of a pipeline has nothing to do, of a step.

    $$T = \begin{cases} (p - 1)(F + B) & \text{GPipe, 1F1B} \\ (p - 1)(F + B) / v & \text{interleaved}
      \\ \max(0, (p - 1)(F + B - W) - \min(k (p - 1), m)\,W) & \text{ZB-H1: } k = 1
      \text{; ZB-H2, ZB-V: } k = 2 \\
      \max(0, (p / 2 - 1)(F + 2 B - 2 W) - \min(p / 2 - 1, m)\,W) & \text{DualPipe} \end{cases}$$
      (eq:bubble)

    F  forward_s   a micro-batch's forward pass of one stage        [s]
    B  backward_s  its backward pass, both gradients                [s]
    W  weights_s   of which gradients of weights                    [s]
    p  stages      pipeline stages                                  [-]
    v  chunks      chunks of layers on each stage                   [-]
    m  micro_batches                                                [-]

    Gradients of weights wait for nobody and fill what is idle; a stage has m of them. With enough,
    that is (p - 1)(F + B - 2 W), (p - 1)(F + B - 3 W) and (p/2 - 1)(F + 2 B - 3 W). Over the
    m (F + B) of the work, GPipe, 1F1B and interleaved leave (p - 1)/(m v). Interleaving asks for
    m >= p micro-batches; with fewer, all chunks but the last wait for p of them.

    Holds for: stages alike; none below zero.
    Source: narayanan2021megatron, section 2.2, for the first two; qi2023zerobubble, Table 2;
    deepseek2024v3, Table 2, for the last.

    >>> float(bubble_s(1.0, 2.0, 1.0, stages=4, chunks=1, micro_batches=8, schedule="1f1b"))
    9.0
    """
    kind = code("schedule", schedule, SCHEDULES)
    both = forward_s + backward_s
    chunks = np.where(kind == INTERLEAVED, chunks, 1)
    late = (chunks - 1) * np.maximum(stages - micro_batches, 0)
    plain = ((stages - 1) + late) * both / chunks
    fillers = np.where(kind == ZB1P, 1, 2) * (stages - 1)
    zero = (stages - 1) * (both - weights_s) - np.minimum(fillers, micro_batches) * weights_s
    pairs = np.maximum(stages / 2 - 1, 0)
    dual = pairs * (both + backward_s - 2 * weights_s) - np.minimum(pairs, micro_batches) * weights_s
    filled = np.where(kind == DUALPIPE, dual, zero)
    return np.where(kind >= ZB1P, np.maximum(filled, 0), plain)


def slowest_stage_s(layer_s, first_s, last_s, *, most, last, stages, schedule):
    r"""Seconds of a micro-batch on the stage that all others wait for.

    $$T = \begin{cases} \ell\,t + E + H & p = 1 \\ \max(\ell_1 t + E,\ \ell_p t + H) & p > 1 \\
      \max\left(\tfrac{1}{2}(\ell_1 t + E + \ell_p t + H),\ [p > 2]\,\ell_1 t\right) & \text{DualPipe} \end{cases}$$
      (eq:slowest-stage)

    t    layer_s  one layer                                                  [s]
    E    first_s  what comes before the layers: the embedding                [s]
    H    last_s   what comes after them: the output head and the loss        [s]
    ℓ_1  most     layers of the fullest stage, the first among them          [-]
    ℓ_p  last     layers of the last stage; with p = 1 that is all of them   [-]
    p    stages   pipeline stages                                            [-]
    σ    schedule  a name of SCHEDULES                                       [-]

    Holds for: stages cut in whole layers, the fullest ones first. DualPipe feeds a pipeline from both
    ends, so a chip has half of the micro-batches at each of two stages, the first with the last.
    Source: counting; deepseek2024v3, section 3.2.1, for the last.

    >>> float(slowest_stage_s(1.0, 0.5, 2.0, most=4, last=3, stages=4, schedule="1f1b"))
    5.0
    """
    first, end = most * layer_s + first_s, last * layer_s + last_s
    pair = np.maximum((first + end) / 2, np.where(np.greater(stages, 2), most * layer_s, 0))
    both_ways = code("schedule", schedule, SCHEDULES) == DUALPIPE
    slowest = np.where(both_ways, pair, np.maximum(first, end))
    return np.where(np.equal(stages, 1), last * layer_s + first_s + last_s, slowest)
