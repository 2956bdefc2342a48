r"""What each way of splitting a training step sends, against what it computes meanwhile.

Every law compares the busiest chip's bytes with its operations, per layer or per step, so that sizes
cancel and a threshold is left. F is the rate that products reach, B what one chip sends in one direction.
"""


def link_s(rows, columns, *, chips, value_bytes, bytes_per_s):
    r"""Seconds that chips send each other partial results, of a product that is cut along its inner size.

    $$T = \frac{2\,(n - 1)}{n}\,\frac{b\,B\,F}{W}$$  (eq:link-time)

    B  rows         rows of the product                            [-]
    F  columns      columns of the product                         [-]
    n  chips        chips, each with an n-th of the inner size     [-]
    b  value_bytes  size of one value                              [B]
    W  bytes_per_s  what a chip sends, in one direction            [B/s]

    Each chip has a partial result of the whole size. It sends (n - 1) / n of it to be summed, and as
    much of the sums to the others; two chips send b B F each. The inner size does not occur.

    Holds for: bandwidth alone, no latency; both directions of the link at once.
    Source: derived here, as eq:ring-all-reduce without its latency.

    >>> link_s(1000, 1000, chips=2, value_bytes=2, bytes_per_s=1e9)
    0.002
    """
    return 2 * (chips - 1) / chips * value_bytes * rows * columns / bytes_per_s


def inner_size_to_hide(*, chips, value_bytes, flop_per_s, bytes_per_s):
    r"""Inner size from which chips that share it compute for longer than they send.

    $$D^{*} = (n - 1)\,b\,\frac{P}{W}$$  (eq:inner-size)

    n  chips        chips, each with an n-th of the inner size     [-]
    b  value_bytes  size of one value                              [B]
    P  flop_per_s   rate of a chip's products                      [FLOP/s]
    W  bytes_per_s  what a chip sends, in one direction            [B/s]

    A chip computes for 2 B D F / (n P) and sends for eq:link-time: rows B and columns F cancel. Two
    chips are faster than one from half of it, where they send for as long as one would compute.

    Holds for: arithmetic at its rate, sending that overlaps with it. With few rows memory lasts longer
    than arithmetic, and hides the link at a smaller D.
    Source: derived here; scaling-book, "Rooflines", has it for two chips.

    >>> inner_size_to_hide(chips=2, value_bytes=2, flop_per_s=1e15, bytes_per_s=5e11)
    4000.0
    """
    return (chips - 1) * value_bytes * flop_per_s / bytes_per_s


def data_parallel_tokens(*, flop_per_s, bytes_per_s, sent_bytes):
    r"""Tokens that one copy of the model must work on in a step, so that the exchange can hide.

    $$T = \frac{c}{6}\,\frac{F}{B}$$  (eq:data-tokens)

    c  sent_bytes   sent of each parameter in a step                [B]
    F  flop_per_s   rate of a chip's products                       [FLOP/s]
    B  bytes_per_s  what a chip sends, in one direction             [B/s]

    Six operations for each parameter and token, c bytes for each parameter: the parameters cancel,
    and so does any cut of them among chips that have a port each. Where several copies share a
    machine, a ring crosses its ports once for all of them, and B is that of all ports: T then is that of
    the machine, however many copies are in it. Scattered 32-bit gradients and gathered 16-bit
    weights make c = 6; a sum of 16-bit gradients left whole 4.

    Holds for: many ranks, so that (n - 1) / n is one; bandwidth alone, no waiting for each other.
    What T can hide behind is the micro-batch in which gradients become complete, the last. If
    weights come and go with every micro-batch (ZeRO 3), T is of each, and c has another gather.
    Source: counting; kaplan2020scaling for the six.

    >>> data_parallel_tokens(flop_per_s=5e14, bytes_per_s=5e10, sent_bytes=6)
    10000.0
    """
    return sent_bytes / 6 * flop_per_s / bytes_per_s


def tensor_parallel_ratio(ranks, *, width, layer_params, value_bytes, flop_per_s, bytes_per_s):
    r"""Sending over computing, in a layer cut among tensor-parallel ranks.

    $$R = \frac{8\,b\,w\,(n - 1)/n}{6\,P/n}\,\frac{F}{B}$$  (eq:tensor-ratio)

    n  ranks         tensor-parallel ranks                          [-]
    w  width         values of a token between layers               [-]
    P  layer_params  parameters of a layer, those that a token uses [-]
    b  value_bytes   size of one value                              [B]
    F  flop_per_s    rate of a chip's products                      [FLOP/s]
    B  bytes_per_s   what a chip sends, in one direction            [B/s]

    Two exchanges forward and two backward, each a scattered sum and a gather of (n - 1) / n of the
    token's values; six operations for each parameter. The tokens cancel: a larger batch does not help.

    Holds for: bandwidth alone, no latency; attention's own products not counted. With the sequence
    cut between products as well, what two products read is gathered again backwards: 10 for 8.
    Source: counting; narayanan2021megatron, section 3.2; korthikanti2022_t5, section 4.2.

    >>> found = tensor_parallel_ratio(8, width=8192, layer_params=12 * 8192**2, value_bytes=2, flop_per_s=5e14, bytes_per_s=4e11)
    >>> round(found, 3)
    0.237
    """
    return 8 * value_bytes * width * (ranks - 1) / (6 * layer_params) * flop_per_s / bytes_per_s  # n cancels


def context_parallel_tokens(*, width, kv_width, value_bytes, flop_per_s, bytes_per_s):
    r"""Tokens of a sequence that each context-parallel rank must hold, so that passing keys on can hide.

    $$s = b\,\frac{w_{kv}}{w}\,\frac{F}{B}$$  (eq:context-tokens)

    w     width        values of all query heads                    [-]
    w_kv  kv_width     values of all key heads                      [-]
    b     value_bytes  size of one value                            [B]
    F     flop_per_s   rate of attention's products                 [FLOP/s]
    B     bytes_per_s  what a chip sends, in one direction          [B/s]

    While a rank meets S keys with its s queries, 2 w s S operations with a causal mask, the keys and
    values of the S tokens come by, 2 b w_kv S bytes: the length of the whole sequence cancels.

    Holds for: the forward pass, ranks with equal parts of the causal triangle. Backward has 5/2 of the
    operations for twice the bytes if gradients of keys and values travel in 16 bits.
    Source: counting; liu2023ring, section 3.

    >>> context_parallel_tokens(width=16384, kv_width=1024, value_bytes=2, flop_per_s=5e14, bytes_per_s=5e10)
    1250.0
    """
    return value_bytes * kv_width / width * flop_per_s / bytes_per_s


def expert_parallel_ratio(*, expert_width, value_bytes, flop_per_s, bytes_per_s):
    r"""Sending tokens to their experts and back, over the experts' arithmetic.

    $$R = \frac{4\,b}{18\,f}\,\frac{F}{B}$$  (eq:expert-ratio)

    f  expert_width  inner width of one expert                      [-]
    b  value_bytes   size of one value on the wire                  [B]
    F  flop_per_s    rate of grouped products                       [FLOP/s]
    B  bytes_per_s   what a chip sends, in one direction            [B/s]

    For each token and expert: there and back, forward and backward, 4 b w bytes; three matrices of
    w f parameters with six operations each. Tokens, width and the number of experts cancel: a
    mixture of narrow experts sends more for its arithmetic, whatever else it is.

    Holds for: nearly all experts elsewhere. Not counted: fewer copies of a token that has several
    experts in one place.
    Source: counting.

    >>> round(expert_parallel_ratio(expert_width=2048, value_bytes=2, flop_per_s=5e14, bytes_per_s=5e10), 2)
    2.17
    """
    return 4 * value_bytes / (18 * expert_width) * flop_per_s / bytes_per_s
