r"""Collectives: seconds that a group of ranks takes to send, gather or sum what each of them holds.

`message_bytes` is the whole message as nccl-tests counts it: what each rank contributes to an
all-reduce and an all-to-all, what each ends up with after an all-gather, what each starts with
before a reduce-scatter. `bytes_per_s` is what one rank sends, one direction; it receives as much at
the same time. One rank alone has nobody to talk to: every law here is then exactly zero.
"""

import numpy as np


def point_to_point_s(message_bytes, *, bytes_per_s, latency_s):
    r"""Seconds of one message between two ranks.

    $$T = \alpha + \frac{M}{W}$$  (eq:alpha-beta)

    M  message_bytes  message                   [B]
    W  bytes_per_s    bandwidth, one direction  [B/s]
    α  latency_s      time of an empty message  [s]

    Holds for: one message on an idle link. The whole of this module is built from it.
    Source: hockney1994, there with the rate and the half-bandwidth message as parameters.

    >>> point_to_point_s(1e6, bytes_per_s=1e9, latency_s=0.5)
    0.501
    """
    return latency_s + message_bytes / bytes_per_s


def half_bandwidth_bytes(*, bytes_per_s, latency_s):
    r"""Message that takes twice its latency, and so reaches half of the bandwidth.

    $$M_{1/2} = \alpha\,W$$  (eq:half-bandwidth)

    W  bytes_per_s  bandwidth, one direction  [B/s]
    α  latency_s    time of an empty message  [s]

    Holds for: eq:alpha-beta; for a ring all-reduce of g ranks the message is g times this.
    Source: hockney1994.

    >>> half_bandwidth_bytes(bytes_per_s=50e9, latency_s=0.5)
    25000000000.0
    """
    return bytes_per_s * latency_s


# ---- rings


def ring_reduce_scatter_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds until each rank of a ring holds the sum of its own part of the message.

    $$T = (g - 1)\left(\alpha + \frac{M}{g\,W}\right)$$  (eq:ring-reduce-scatter)

    M  message_bytes  message that each rank starts with      [B]
    g  ranks          ranks in the ring                       [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: g equal parts, every rank sending one of them at every step. No algorithm moves less.
    Source: thakur2005, its ring; patarasuk2009 for the lower bound.

    >>> ring_reduce_scatter_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5)
    7.5
    """
    return (ranks - 1) * (latency_s + message_bytes / (ranks * bytes_per_s))


def ring_all_gather_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds until each rank of a ring holds the parts of all others.

    $$T = (g - 1)\left(\alpha + \frac{M}{g\,W}\right)$$  (eq:ring-all-gather)

    M  message_bytes  message that each rank ends with        [B]
    g  ranks          ranks in the ring                       [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: as eq:ring-reduce-scatter, run backwards and without sums.
    Source: thakur2005, its ring.

    >>> ring_all_gather_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5)
    7.5
    """
    return (ranks - 1) * (latency_s + message_bytes / (ranks * bytes_per_s))


def ring_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds until each rank of a ring holds the sum of all messages.

    $$T = 2\,(g - 1)\left(\alpha + \frac{M}{g\,W}\right)$$  (eq:ring-all-reduce)

    M  message_bytes  message that each rank contributes      [B]
    g  ranks          ranks in the ring                       [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: a reduce-scatter followed by an all-gather. The bytes are the least possible, the
    steps the most: it wins on large messages and loses on many ranks.
    Source: patarasuk2009.

    >>> ring_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5)
    15.0
    """
    return 2 * (ranks - 1) * (latency_s + message_bytes / (ranks * bytes_per_s))


# ---- shots: ranks that write into each other's memory


def one_shot_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce in which every rank reads the whole message of every other and adds all itself.

    $$T = \alpha + (g - 1)\,\frac{M}{W}$$  (eq:one-shot)

    M  message_bytes  message that each rank contributes                     [B]
    g  ranks          ranks, all linked to all                               [-]
    W  bytes_per_s    bandwidth of a rank, one direction                     [B/s]
    α  latency_s      latency: a kernel, and a flag from every other rank    [s]

    Holds for: ranks that reach each other's memory. One wait, however many ranks, and g/2 times a ring's bytes:
    for the short messages of decoding.
    Source: sglang_pr2904 and vllm_pr24111, which measured it; counting for the bytes.

    >>> float(one_shot_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    24.5
    """
    return np.minimum(ranks - 1, 1) * latency_s + (ranks - 1) * message_bytes / bytes_per_s


def two_shot_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce in which every rank sums its part of the message, then reads the other sums.

    $$T = 2\,\alpha + 2\,\frac{g - 1}{g}\,\frac{M}{W}$$  (eq:two-shot)

    M  message_bytes  message that each rank contributes                     [B]
    g  ranks          ranks, all linked to all                               [-]
    W  bytes_per_s    bandwidth of a rank, one direction                     [B/s]
    α  latency_s      latency: a kernel, and a flag from every other rank    [s]

    Holds for: ranks that reach each other's memory. A ring's bytes in two waits. It overtakes eq:one-shot from
    M = α W / ((g - 1)(1 - 2/g)) on.
    Source: sglang_pr2904 and vllm_pr24111, which measured it; counting for the bytes.

    >>> float(two_shot_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    13.0
    """
    return np.minimum(ranks - 1, 1) * 2 * latency_s + 2 * (ranks - 1) / ranks * message_bytes / bytes_per_s


# ---- recursive doubling and halving


def recursive_doubling_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce in which pairs at distance 1, 2, 4, ... exchange whole messages.

    $$T = \log_2 g\left(\alpha + \frac{M}{W}\right)$$  (eq:recursive-doubling)

    M  message_bytes  message that each rank contributes      [B]
    g  ranks          ranks                                   [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: g a power of two; a network that carries all pairs at once. For short messages.
    Source: thakur2005; mpich-allreduce prints lg p α + n lg p β, its n bytes and p ranks.

    >>> float(recursive_doubling_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    17.0
    """
    return np.log2(ranks) * (latency_s + message_bytes / bytes_per_s)


def halving_doubling_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce by recursive halving, then recursive doubling.

    $$T = 2\,\log_2 g\;\alpha + 2\,\frac{g - 1}{g}\,\frac{M}{W}$$  (eq:halving-doubling)

    M  message_bytes  message that each rank contributes      [B]
    g  ranks          ranks                                   [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: g a power of two; a network that carries all pairs at once, also the farthest.
    Source: thakur2005 (Rabenseifner's algorithm); mpich-allreduce prints the same cost.

    >>> float(halving_doubling_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    14.0
    """
    steps = 2 * np.log2(ranks)
    return steps * latency_s + 2 * (ranks - 1) / ranks * message_bytes / bytes_per_s


def recursive_all_gather_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-gather by recursive doubling; of a reduce-scatter by recursive halving.

    $$T = \log_2 g\;\alpha + \frac{g - 1}{g}\,\frac{M}{W}$$  (eq:recursive-all-gather)

    M  message_bytes  message that each rank ends with (starts with)  [B]
    g  ranks          ranks                                           [-]
    W  bytes_per_s    bandwidth of a rank, one direction              [B/s]
    α  latency_s      time of one step with an empty message          [s]

    Holds for: as eq:halving-doubling, of which each is one half.
    Source: thakur2005; mpich-allreduce prints the same cost for both.

    >>> float(recursive_all_gather_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    7.0
    """
    return np.log2(ranks) * latency_s + (ranks - 1) / ranks * message_bytes / bytes_per_s


# ---- pipelines and trees


def pipelined_s(stream_s, *, fill_s):
    r"""Seconds of a message cut into the best number of segments, which follow one another.

    $$T = \min_{\sigma}\,(a_h + \sigma)\left(\frac{T_e}{a_h} + \frac{T_s}{\sigma}\right) = \left(\sqrt{T_e} + \sqrt{T_s}\right)^2$$  (eq:pipeline)

    T_s  stream_s  the whole message at full bandwidth  [s]
    T_e  fill_s    an empty segment through all hops    [s]

    Holds for: a_h hops and σ segments, each of which takes its latency T_e/a_h and its bytes T_s/σ; the
    best σ is a_h sqrt(T_s / T_e). Longer than both parts together, at most twice as long.
    Source: definition; the derivative of the product by σ.

    >>> float(pipelined_s(9.0, fill_s=4.0))
    25.0
    """
    return fill_s + stream_s + 2 * (fill_s * stream_s) ** 0.5


def chain_broadcast_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of a broadcast handed from rank to rank in segments.

    $$T = \left(\sqrt{(g - 1)\,\alpha} + \sqrt{M / W}\right)^2$$  (eq:chain-broadcast)

    M  message_bytes  message that the first rank holds       [B]
    g  ranks          ranks in the chain, at least two        [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: the best number of segments (eq:pipeline).
    Source: eq:pipeline with g - 1 hops.

    >>> float(chain_broadcast_s(9e9, 5, bytes_per_s=1e9, latency_s=1.0))
    25.0
    """
    stream_s = np.minimum(ranks - 1, 1) * message_bytes / bytes_per_s
    return pipelined_s(stream_s, fill_s=(ranks - 1) * latency_s)


def tree_broadcast_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of a broadcast down two binary trees, each with half of the message, in segments.

    $$T = \left(\sqrt{\log_2 g\;\alpha} + \sqrt{M / W}\right)^2$$  (eq:tree-broadcast)

    M  message_bytes  message that the root holds             [B]
    g  ranks          ranks, at least two                     [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: two trees in which the leaves of one are the inner nodes of the other.
    Source: sanders2009 for the trees; eq:pipeline for the segments.

    >>> float(tree_broadcast_s(9e9, 16, bytes_per_s=1e9, latency_s=1.0))
    25.0
    """
    stream_s = np.minimum(ranks - 1, 1) * message_bytes / bytes_per_s
    return pipelined_s(stream_s, fill_s=np.log2(ranks) * latency_s)


def tree_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of sums up two binary trees and the result down again, in segments.

    $$T = \left(\sqrt{2\,\log_2 g\;\alpha} + \sqrt{2\,M / W}\right)^2$$  (eq:tree-all-reduce)

    M  message_bytes  message that each rank contributes      [B]
    g  ranks          ranks, at least two                     [-]
    W  bytes_per_s    bandwidth of a rank, one direction      [B/s]
    α  latency_s      time of one step with an empty message  [s]

    Holds for: as eq:tree-broadcast, more than two ranks. Each rank sends its half up as a leaf, and
    as an inner node half up and two halves down: twice the message.
    Source: sanders2009 for the trees; eq:pipeline for the segments.

    >>> float(tree_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=1.0))
    36.0
    """
    stream_s = np.minimum(ranks - 1, 1) * 2 * message_bytes / bytes_per_s
    return pipelined_s(stream_s, fill_s=2 * np.log2(ranks) * latency_s)


# ---- all-to-all


def pairwise_all_to_all_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds until each rank has sent every other its own part of the message.

    $$T = (g - 1)\left(\alpha + \frac{M}{g\,W}\right)$$  (eq:pairwise-all-to-all)

    M  message_bytes  message that each rank sends, its own part included  [B]
    g  ranks          ranks                                                [-]
    W  bytes_per_s    bandwidth of a rank, one direction                   [B/s]
    α  latency_s      time of one step with an empty message               [s]

    Holds for: equal parts, one partner at a time; a network that carries all pairs at once.
    Source: thakur2005, its pairwise exchange for long messages.

    >>> pairwise_all_to_all_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5)
    7.5
    """
    return (ranks - 1) * (latency_s + message_bytes / (ranks * bytes_per_s))


def bruck_all_to_all_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-to-all that sends half of the message along at each of log g steps.

    $$T = \log_2 g\left(\alpha + \frac{M}{2\,W}\right)$$  (eq:bruck-all-to-all)

    M  message_bytes  message that each rank sends, its own part included  [B]
    g  ranks          ranks                                                [-]
    W  bytes_per_s    bandwidth of a rank, one direction                   [B/s]
    α  latency_s      time of one step with an empty message               [s]

    Holds for: g a power of two. For short messages: fewer steps, more bytes.
    Source: thakur2005, there Bruck's algorithm.

    >>> float(bruck_all_to_all_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    9.0
    """
    return np.log2(ranks) * (latency_s + message_bytes / (2 * bytes_per_s))


# ---- in-network reduction


def in_network_all_reduce_s(message_bytes, ranks, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce whose sums the switch makes.

    $$T = 2\,\alpha + \frac{g + 1}{g}\,\frac{M}{W}$$  (eq:in-network)

    M  message_bytes  message that each rank contributes                 [B]
    g  ranks          ranks on the switch, at least two                  [-]
    W  bytes_per_s    bandwidth of a rank, one direction                 [B/s]
    α  latency_s      time of an empty message to the switch's far side  [s]

    Holds for: each rank fetching the sum of one g-th and sending it to all, so that M goes up for
    the sums and M/g for the results, whatever g. Against a ring, half of the bytes of many ranks.
    Source: nccl-tests-performance, whose factors to bus bandwidth differ by (g - 1)/(g + 1).

    >>> float(in_network_all_reduce_s(8e9, 4, bytes_per_s=1e9, latency_s=0.5))
    11.0
    """
    traffic_s = (ranks + 1) / ranks * message_bytes / bytes_per_s
    return np.minimum(ranks - 1, 1) * (2 * latency_s + traffic_s)


# ---- tiers and tori


def hierarchical_all_reduce_s(
    message_bytes, inner_ranks, outer_ranks, *, inner_bytes_per_s, outer_bytes_per_s, inner_latency_s, outer_latency_s
):
    r"""Seconds of an all-reduce that shrinks the message inside a domain before it leaves it.

    $$T = T_{rs}(M, g_{in}, W_{in}) + T_{ar}\!\left(\tfrac{M}{g_{in}}, g_{out}, W_{out}\right) + T_{ag}(M, g_{in}, W_{in})$$  (eq:hierarchical-all-reduce)

    M      message_bytes      message that each rank contributes     [B]
    g_in   inner_ranks        ranks of the group in one domain       [-]
    g_out  outer_ranks        domains, a rank of each                [-]
    W_in   inner_bytes_per_s  bandwidth of a rank inside the domain  [B/s]
    W_out  outer_bytes_per_s  bandwidth of a rank out of the domain  [B/s]
    α_in   inner_latency_s    latency of a step inside               [s]
    α_out  outer_latency_s    latency of a step outside              [s]

    Holds for: rings in both tiers, the three phases one after another; a library that overlaps
    them is faster, at best by the longest of the three alone. With one tier it is that tier's ring.
    Source: eq:ring-reduce-scatter, eq:ring-all-reduce and eq:ring-all-gather in turn.

    >>> hierarchical_all_reduce_s(8e9, 4, 2, inner_bytes_per_s=4e9, outer_bytes_per_s=1e9,
    ...                           inner_latency_s=0.0, outer_latency_s=0.0)
    5.0
    """
    inside = {"bytes_per_s": inner_bytes_per_s, "latency_s": inner_latency_s}
    outside = {"bytes_per_s": outer_bytes_per_s, "latency_s": outer_latency_s}
    return (
        ring_reduce_scatter_s(message_bytes, inner_ranks, **inside)
        + ring_all_reduce_s(message_bytes / inner_ranks, outer_ranks, **outside)
        + ring_all_gather_s(message_bytes, inner_ranks, **inside)
    )


def torus_all_reduce_s(message_bytes, sides, *, bytes_per_s, latency_s):
    r"""Seconds of an all-reduce on a torus, all links of a chip in both directions at work.

    $$T = 2 \sum_i \left\lfloor \frac{a_i}{2} \right\rfloor \alpha + 2\,\frac{g - 1}{g}\,\frac{M}{2\,a\,W},
      \quad g = \prod_i a_i$$  (eq:torus-all-reduce)

    M    message_bytes  message that each chip contributes                     [B]
    a_i  sides          chips along each axis, axes along the last dimension   [-]
    a    -              axes with more than one chip                           [-]
    W    bytes_per_s    bandwidth of one link, one direction; 2 for each axis  [B/s]
    α    latency_s      time of one hop                                        [s]

    Holds for: sides that wrap around; a parts of the message that take the axes in turn, each in
    another order, so that all 2 a links are busy. Two and three axes alike.
    Source: scaling-book for the hops and the two directions of a ring; counting for the axes.

    >>> float(torus_all_reduce_s(16e9, np.array([4, 4]), bytes_per_s=1e9, latency_s=0.5))
    11.5
    """
    sides = np.asarray(sides)
    ranks, hops = np.prod(sides, axis=-1), np.sum(sides // 2, axis=-1)
    links = 2 * np.maximum(np.sum(sides > 1, axis=-1), 1)
    traffic_s = 2 * (ranks - 1) / ranks * message_bytes / (links * bytes_per_s)
    return np.minimum(ranks - 1, 1) * 2 * hops * latency_s + traffic_s


def torus_all_to_all_s(message_bytes, sides, *, bytes_per_s, latency_s):
    r"""Seconds of an all-to-all on a torus: every byte takes a link at each of its hops.

    $$T = \sum_i \left\lfloor \frac{a_i}{2} \right\rfloor \alpha + \max_i \frac{a_i}{4}\,\frac{M}{2\,W}$$  (eq:torus-all-to-all)

    M    message_bytes  message that each chip sends, its own part included                   [B]
    a_i  sides          even numbers of chips along each axis, axes along the last dimension  [-]
    W    bytes_per_s    bandwidth of one link, one direction; 2 for each axis                 [B/s]
    α    latency_s      time of one hop                                                       [s]

    Holds for: sides that wrap around, shortest ways. A byte goes a_i/4 hops along a ring of a_i, and the
    longest axis fills first: the reason why an all-to-all scales worse than an all-reduce there.
    Source: scaling-book for one axis, M/8W times a_i; counting for more.

    >>> float(torus_all_to_all_s(16e9, np.array([4, 4]), bytes_per_s=1e9, latency_s=0.5))
    10.0
    """
    sides = np.asarray(sides)
    hops = np.sum(sides // 2, axis=-1)
    longest = np.max(np.where(sides > 1, sides, 0), axis=-1)
    return hops * latency_s + longest / 4 * message_bytes / (2 * bytes_per_s)


# ---- what a group gets of a link, and how a library drives it


def shared_bytes_per_s(*, bytes_per_s, oversubscription, groups):
    r"""Bandwidth left to a rank whose way is oversubscribed and shared.

    $$W' = \frac{W}{o\,o_g}$$  (eq:shared-link)

    W    bytes_per_s       bandwidth of the port                           [B/s]
    o    oversubscription  ports below a switch over ports above           [-]
    o_g  groups            groups that send through the same port at once  [-]

    Holds for: all ranks sending across the tier at once, every group getting an equal part.
    Source: definition.

    >>> shared_bytes_per_s(bytes_per_s=50e9, oversubscription=2.0, groups=5)
    5000000000.0
    """
    return bytes_per_s / (oversubscription * groups)


def protocols_s(stream_s, *, latency_s, bandwidth_share):
    r"""Seconds of a message under the best of several protocols.

    $$T = \min_i\left(\alpha_i + \frac{T_s}{\phi_i}\right)$$  (eq:protocols)

    T_s  stream_s         the message at full bandwidth; an array needs an axis of 1 at its end  [s]
    α_i  latency_s        latency under protocol i, protocols along the last axis                [s]
    φ_i  bandwidth_share  share of the bandwidth that it reaches, along the last axis            [-]

    Holds for: a library that chooses well. Flags in every word cost bandwidth and save a wait.
    Source: nccl_tuning, whose three protocols are LL, LL128 and Simple.

    >>> float(protocols_s(8.0, latency_s=np.array([1.0, 6.0]), bandwidth_share=np.array([0.5, 1.0])))
    14.0
    """
    return np.min(latency_s + stream_s / bandwidth_share, axis=-1)


def crossover_bytes(*, bytes_per_s, latency_s, other_bytes_per_s, other_latency_s):
    r"""Message from which a way of high latency and high bandwidth is the faster one.

    $$M^{*} = \frac{\alpha_2 - \alpha_1}{1 / W_1 - 1 / W_2}$$  (eq:crossover)

    W_1  bytes_per_s        bandwidth of the first way   [B/s]
    α_1  latency_s          its latency                  [s]
    W_2  other_bytes_per_s  bandwidth of the second way  [B/s]
    α_2  other_latency_s    its latency                  [s]

    Holds for: eq:alpha-beta on both, the second way slower to start and faster to send.
    Source: eq:alpha-beta twice.

    >>> crossover_bytes(bytes_per_s=0.5, latency_s=1.0, other_bytes_per_s=1.0, other_latency_s=3.0)
    2.0
    """
    return (other_latency_s - latency_s) / (1 / bytes_per_s - 1 / other_bytes_per_s)


# ---- bandwidth as benchmarks print it


def algorithm_bytes_per_s(message_bytes, duration_s):
    r"""Algorithm bandwidth: message over time.

    $$W_{alg} = \frac{M}{T}$$  (eq:algorithm-bandwidth)

    M  message_bytes  message as nccl-tests counts it  [B]
    T  duration_s     time of the call                 [s]

    Holds for: any call; the peak depends on the collective and on the ranks.
    Source: nccl-tests-performance.

    >>> algorithm_bytes_per_s(8e9, 4.0)
    2000000000.0
    """
    return message_bytes / duration_s


def bus_bytes_per_s(message_bytes, duration_s, *, factor):
    r"""Bus bandwidth: what each link carries, to be held against the wire.

    $$W_{bus} = f_b\,\frac{M}{T}$$  (eq:bus-bandwidth)

    M    message_bytes  message as nccl-tests counts it  [B]
    T    duration_s     time of the call                 [s]
    f_b  factor         `bus_factor` of the collective   [-]

    Holds for: sends between ranks. With in-network reduction it overstates the wire (eq:in-network).
    Source: nccl-tests-performance.

    >>> bus_bytes_per_s(8e9, 4.0, factor=1.75)
    3500000000.0
    """
    return factor * message_bytes / duration_s


def bus_factor(collective, ranks):
    r"""Bus bandwidth over algorithm bandwidth of a collective.

    $$f_b = 2\,\frac{g - 1}{g}\ \text{(all-reduce)},\quad \frac{g - 1}{g}\ \text{(reduce-scatter, all-gather, all-to-all)},
      \quad 1\ \text{(broadcast, point to point)}$$  (eq:bus-factor)

    -  collective  all_reduce, reduce_scatter, all_gather, all_to_all, broadcast or p2p  [-]
    g  ranks       ranks in the group                                                    [-]

    Holds for: what a rank sends over what the message counts, in an algorithm of least bytes.
    Source: nccl-tests-performance, its summary.

    >>> bus_factor("all_reduce", 8)
    1.75
    """
    sends = {"all_reduce": 2, "broadcast": 0, "p2p": 0}.get(collective, 1)
    return sends * (ranks - 1) / ranks if sends else ranks / ranks
