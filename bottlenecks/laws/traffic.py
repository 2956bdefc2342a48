r"""What each way of splitting a training step sends, against what it computes meanwhile.

Every law compares the busiest chip's bytes with its operations, per layer or per step, so that sizes
cancel and a threshold is left. P is the rate that products reach, W what one chip sends in one direction.
"""


def link_s(rows, columns, *, chips, value_bytes, bytes_per_s):
    r"""Seconds that chips send each other partial results, of a product that is cut along its depth.

    $$T = \frac{2\,(g - 1)}{g}\,\frac{b\,m\,n}{W}$$  (eq:link-time)

    m  rows         rows of the product                            [-]
    n  columns      columns of the product                         [-]
    g  chips        chips, each with a part of the depth           [-]
    b  value_bytes  size of one value                              [B]
    W  bytes_per_s  bandwidth: what a chip sends in one direction  [B/s]

    Each chip has a partial result of the whole size. It sends (g - 1) / g of it to be summed, and as
    much of the sums to the others; two chips send b m n each. The depth does not occur.

    Holds for: bandwidth alone, no latency; both directions of the link at once.
    Source: derived here, as eq:ring-all-reduce without its latency.

    >>> link_s(1000, 1000, chips=2, value_bytes=2, bytes_per_s=1e9)
    0.002
    """
    return 2 * (chips - 1) / chips * value_bytes * rows * columns / bytes_per_s


def inner_size_to_hide(*, chips, value_bytes, flop_per_s, bytes_per_s):
    r"""Depth from which chips that share it compute for longer than they send.

    $$k = (g - 1)\,b\,\frac{P}{W}$$  (eq:inner-size)

    g  chips        chips, each with a part of the depth           [-]
    b  value_bytes  size of one value                              [B]
    P  flop_per_s   rate of the products of a chip                 [FLOP/s]
    W  bytes_per_s  bandwidth: what a chip sends in one direction  [B/s]

    A chip computes for 2 m k n / (g P) and sends for eq:link-time: rows and columns cancel. Two
    chips are faster than one from half of it, where they send for as long as one would compute.

    Holds for: arithmetic at its rate, sending that overlaps with it. With few rows memory lasts longer
    than arithmetic, and hides the link at a smaller depth.
    Source: derived here; scaling-book, "Rooflines", has it for two chips.

    >>> inner_size_to_hide(chips=2, value_bytes=2, flop_per_s=1e15, bytes_per_s=5e11)
    4000.0
    """
    return (chips - 1) * value_bytes * flop_per_s / bytes_per_s


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


def best_tensor_ranks(
    chip_tokens, *, width, layer_params, value_bytes, sent_bytes, data_bytes_per_s, tensor_bytes_per_s
):
    r"""Tensor-parallel ranks beside copies that share states, with which the two together send least.

    $$g_t = \sqrt{\frac{b_x\,N_\ell}{8\,b\,d\,B_1}\,\frac{W_t}{W_d}}$$  (eq:best-tensor-ranks)

    B_1  chip_tokens         tokens of a step for each chip                            [-]
    d    width               width: values of a token between layers                   [-]
    N_ℓ  layer_params        parameters of a layer, those that a token uses            [-]
    b    value_bytes         size of one value                                         [B]
    b_x  sent_bytes          sent for each parameter in a step, for the copies         [B]
    W_d  data_bytes_per_s    bandwidth of a chip to other copies                       [B/s]
    W_t  tensor_bytes_per_s  bandwidth of a chip to its tensor-parallel ranks          [B/s]

    With g_t tensor-parallel ranks a chip owns a g_t-th of a layer and sends b_x N_ℓ / g_t bytes of it to the other copies: the more
    it is cut, the less. It works on g_t B_1 tokens, and sends 8 b d g_t B_1 bytes of them to its tensor-parallel ranks: the
    more, the more. In seconds the two are b_x N_ℓ / (g_t W_d) and 8 b d g_t B_1 / W_t. Their sum is least, and so is the longer
    of them, where they are equal. So four times as many chips for the same step want twice as many ranks: on axes
    that double, the best layouts lie along a diagonal.

    Holds for: many ranks each way, so that (g - 1) / g is one, and weights or gradients sent once a step; bandwidth alone.
    Source: counting; scaling-book, its chapter on training, whose optimum this is, there with one bandwidth.

    >>> sizes = {"width": 16384, "layer_params": 3.2e9, "value_bytes": 2, "sent_bytes": 6}
    >>> round(float(best_tensor_ranks(1024, **sizes, data_bytes_per_s=5e10, tensor_bytes_per_s=4e11)), 2)
    23.92
    """
    share = sent_bytes * layer_params / (8 * value_bytes * width * chip_tokens)
    return (share * tensor_bytes_per_s / data_bytes_per_s) ** 0.5


def mixed_split_tokens(
    *, width, layer_params, value_bytes, sent_bytes, flop_per_s, data_bytes_per_s, tensor_bytes_per_s
):
    r"""Tokens of a step for each chip from which tensors and copies together can hide, each behind the arithmetic.

    $$B_1 = \frac{2\,b\,b_x\,d}{9\,N_\ell}\,\frac{P}{W_d}\,\frac{P}{W_t}$$  (eq:mixed-tokens)

    d    width               width: values of a token between layers                   [-]
    N_ℓ  layer_params        parameters of a layer, those that a token uses            [-]
    b    value_bytes         size of one value                                         [B]
    b_x  sent_bytes          sent for each parameter in a step, for the copies         [B]
    P    flop_per_s          rate of the products of a chip                            [FLOP/s]
    W_d  data_bytes_per_s    bandwidth of a chip to other copies                       [B/s]
    W_t  tensor_bytes_per_s  bandwidth of a chip to its tensor-parallel ranks          [B/s]

    With eq:best-tensor-ranks both exchanges take sqrt(8 b b_x d N_ℓ B_1 / (W_d W_t)) seconds in a layer, and the
    arithmetic 6 N_ℓ B_1 / P: the ranks cancel. Copies alone need b_x P / (6 W_d) (eq:data-tokens); with tensors beside them the same
    chips need fewer the wider the layer is.

    Holds for: as eq:best-tensor-ranks, each exchange hidden behind all of the arithmetic, over links of its own.
    Source: counting; scaling-book, its chapter on training.

    >>> sizes = {"width": 16384, "layer_params": 3.2e9, "value_bytes": 2, "sent_bytes": 6}
    >>> round(mixed_split_tokens(**sizes, flop_per_s=6.4e14, data_bytes_per_s=5e10, tensor_bytes_per_s=4e11))
    280
    """
    ridges = flop_per_s / data_bytes_per_s * (flop_per_s / tensor_bytes_per_s)
    return 2 * value_bytes * sent_bytes * width / (9 * layer_params) * ridges
