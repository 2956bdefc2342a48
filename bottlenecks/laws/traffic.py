r"""What each way of splitting a training step sends, against what it computes meanwhile.

Every law compares the busiest chip's bytes with its operations, per layer or per step, so that sizes
cancel and a threshold is left. F is the rate that products reach, B what one chip sends in one direction.
"""


def data_parallel_tokens(*, flop_per_s, bytes_per_s, sent_bytes):
    r"""Tokens that one copy of the model must work on in a step, so that the exchange can hide.

    $$B = \frac{b_x}{6}\,\frac{P}{W}$$  (eq:data-tokens)

    b_x  sent_bytes   size of what is sent for each parameter in a step  [B]
    P    flop_per_s   rate of a chip's products                          [FLOP/s]
    W    bytes_per_s  what a chip sends, in one direction                [B/s]

    Six operations for each parameter and token, b_x bytes for each parameter: the parameters cancel,
    and so does any cut of them among chips that have a port each. Where several copies share a
    machine, a ring crosses its ports once for all of them, and W is that of all ports: B then is that of
    the machine, however many copies are in it. Scattered 32-bit gradients and gathered 16-bit
    weights make b_x = 6; a sum of 16-bit gradients left whole 4.

    Holds for: many ranks, so that (g - 1) / g is one; bandwidth alone, no waiting for each other.
    What B can hide behind is the micro-batch in which gradients become complete, the last. If
    weights come and go with every micro-batch (ZeRO 3), B is of each, and b_x has another gather.
    Source: counting; kaplan2020scaling for the six.

    >>> data_parallel_tokens(flop_per_s=5e14, bytes_per_s=5e10, sent_bytes=6)
    10000.0
    """
    return sent_bytes / 6 * flop_per_s / bytes_per_s


def tensor_parallel_ratio(ranks, *, width, layer_params, value_bytes, flop_per_s, bytes_per_s):
    r"""Sending over computing, in a layer cut among tensor-parallel ranks.

    $$\rho = \frac{8\,b\,d\,(g - 1)/g}{6\,N_\ell/g}\,\frac{P}{W}$$  (eq:tensor-ratio)

    g    ranks         tensor-parallel ranks                           [-]
    d    width         values of a token between layers                [-]
    N_ℓ  layer_params  parameters of a layer, those that a token uses  [-]
    b    value_bytes   size of one value                               [B]
    P    flop_per_s    rate of a chip's products                       [FLOP/s]
    W    bytes_per_s   what a chip sends, in one direction             [B/s]

    Two exchanges forward and two backward, each a scattered sum and a gather of (g - 1) / g of the
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

    $$S = b\,\frac{d_{kv}}{d_q}\,\frac{P}{W}$$  (eq:context-tokens)

    d_q   width        values of all query heads            [-]
    d_kv  kv_width     values of all key heads              [-]
    b     value_bytes  size of one value                    [B]
    P     flop_per_s   rate of attention's products         [FLOP/s]
    W     bytes_per_s  what a chip sends, in one direction  [B/s]

    While a rank meets S_k keys with its S queries, 2 d_q S S_k operations with a causal mask, the keys and
    values of the S_k tokens come by, 2 b d_kv S_k bytes: the length of the whole sequence cancels.

    Holds for: the forward pass, ranks with equal parts of the causal triangle. Backward has 5/2 of the
    operations for twice the bytes if gradients of keys and values travel in 16 bits.
    Source: counting; liu2023ring, section 3.

    >>> context_parallel_tokens(width=16384, kv_width=1024, value_bytes=2, flop_per_s=5e14, bytes_per_s=5e10)
    1250.0
    """
    return value_bytes * kv_width / width * flop_per_s / bytes_per_s


def expert_parallel_ratio(*, expert_width, value_bytes, flop_per_s, bytes_per_s):
    r"""Sending tokens to their experts and back, over the experts' arithmetic.

    $$\rho = \frac{4\,b}{18\,d_f}\,\frac{P}{W}$$  (eq:expert-ratio)

    d_f  expert_width  inner width of one expert            [-]
    b    value_bytes   size of one value on the wire        [B]
    P    flop_per_s    rate of grouped products             [FLOP/s]
    W    bytes_per_s   what a chip sends, in one direction  [B/s]

    For each token and expert: there and back, forward and backward, 4 b d bytes; three matrices of
    d d_f parameters with six operations each. Tokens, width and the number of experts cancel: a
    mixture of narrow experts sends more for its arithmetic, whatever else it is.

    Holds for: nearly all experts elsewhere. Not counted: fewer copies of a token that has several
    experts in one place.
    Source: counting.

    >>> round(expert_parallel_ratio(expert_width=2048, value_bytes=2, flop_per_s=5e14, bytes_per_s=5e10), 2)
    2.17
    """
    return 4 * value_bytes / (18 * expert_width) * flop_per_s / bytes_per_s
