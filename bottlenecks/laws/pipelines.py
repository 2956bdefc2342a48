r"""Pipelines: how long the stages of a training step wait for each other."""

import numpy as np

from bottlenecks.facts.doors import code

SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb1p", "zb2p", "zbv", "dualpipe")
INTERLEAVED, ZB1P, ZBV, DUALPIPE = (SCHEDULES.index(name) for name in ("interleaved", "zb1p", "zbv", "dualpipe"))


def passes(chunks, *, schedule):
    r"""Times that a micro-batch passes a stage on its way forward.

    $$a_v = \begin{cases} v & \text{interleaved} \\ 2 & \text{ZB-V} \\ 1 & \text{else} \end{cases}$$  (eq:passes)

    v  chunks  chunks of layers on each stage  [-]

    Holds for: stages that hold as many chunks each. In DualPipe a micro-batch passes one of a chip's two.
    Source: narayanan2021megatron, section 2.2; qi2023zerobubble, section 5.

    >>> [int(passes(5, schedule=name)) for name in ("1f1b", "interleaved", "zbv")]
    [1, 5, 2]
    """
    kind = code("schedule", schedule, SCHEDULES)
    return np.select([kind == INTERLEAVED, kind == ZBV], [chunks, 2], 1)


def borders(stages, *, chunks, schedule):
    r"""Borders between stages that a micro-batch crosses on its way forward.

    $$a_e = \begin{cases} p\,v - 1 & \text{interleaved} \\ 2\,(p - 1) & \text{ZB-V} \\ p - 1 & \text{else} \end{cases}$$  (eq:borders)

    p  stages  pipeline stages                 [-]
    v  chunks  chunks of layers on each stage  [-]

    Holds for: chunks in turn over all stages; ZB-V turns on its last stage, which is no border, and comes back.
    Source: counting.

    >>> [int(borders(4, chunks=5, schedule=name)) for name in ("1f1b", "interleaved", "zbv")]
    [3, 19, 6]
    """
    kind = code("schedule", schedule, SCHEDULES)
    return np.select(
        [kind == INTERLEAVED, kind == ZBV], [stages * np.asarray(chunks) - 1, 2 * (stages - 1)], stages - 1
    )


def bubble_s(forward_s, backward_s, weights_s, *, stages, chunks, micro_batches, schedule):
    r"""Seconds that a stage of a pipeline has nothing to do, of a step.

    $$T = \begin{cases} (p - 1)(T_f + T_b) & \text{GPipe, 1F1B} \\ (p - 1)(T_f + T_b) / v & \text{interleaved}
      \\ \max(0, (p - 1)(T_f + T_b - T_w) - \min(\kappa (p - 1), \mu)\,T_w) & \text{ZB-H1: } \kappa = 1
      \text{; ZB-H2, ZB-V: } \kappa = 2 \\
      \max(0, (p / 2 - 1)(T_f + 2 T_b - 2 T_w) - \min(p / 2 - 1, \mu)\,T_w) & \text{DualPipe} \end{cases}$$
      (eq:bubble)

    T_f  forward_s      a micro-batch's forward pass of one stage  [s]
    T_b  backward_s     its backward pass, both gradients          [s]
    T_w  weights_s      of which gradients of weights              [s]
    p    stages         pipeline stages                            [-]
    v    chunks         chunks of layers on each stage             [-]
    μ    micro_batches  micro-batches of a step                    [-]

    Gradients of weights wait for nobody and fill what is idle; a stage has μ of them. With enough,
    that is (p - 1)(T_f + T_b - 2 T_w), (p - 1)(T_f + T_b - 3 T_w) and (p/2 - 1)(T_f + 2 T_b - 3 T_w). Over the
    μ (T_f + T_b) of the work, GPipe, 1F1B and interleaved leave (p - 1)/(μ v). Interleaving asks for
    μ >= p micro-batches; with fewer, all chunks but the last wait for p of them.

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

    $$T = \begin{cases} \ell\,T_\ell + T_{in} + T_{out} & p = 1 \\
      \max(\ell_1 T_\ell + T_{in},\ \ell_p T_\ell + T_{out}) & p > 1 \\
      \max\left(\tfrac{1}{2}(\ell_1 T_\ell + T_{in} + \ell_p T_\ell + T_{out}),\ [p > 2]\,\ell_1 T_\ell\right) & \text{DualPipe} \end{cases}$$
      (eq:slowest-stage)

    T_ℓ    layer_s   one layer                                                 [s]
    T_in   first_s   what comes before the layers: the embedding               [s]
    T_out  last_s    what comes after them: the output head and the loss       [s]
    ℓ_1    most      layers of the fullest stage, the first among them         [-]
    ℓ_p    last      layers of the last stage; with p = 1 that is all of them  [-]
    p      stages    pipeline stages                                           [-]
    -      schedule  a name of SCHEDULES                                       [-]

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
