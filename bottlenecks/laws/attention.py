r"""Attention's work and traffic by form: written out, tiled on the chip, sparse, linear.

Every law takes numbers in base SI and returns a number in base SI; arguments broadcast, context first.
"""

import numpy as np


def unfused_bytes(queries, keys, *, heads, head_values, value_bytes, passes):
    r"""Traffic of attention that writes its scores to memory.

    $$Q = b\,h\left(2\,(S_q + S_k)\,d_h + f\,S_q S_k\right)$$  (eq:unfused-attention)

    S_q  queries      tokens that ask                            [-]
    S_k  keys         tokens that are there                      [-]
    h    heads        heads of all sequences                     [-]
    d_h  head_values  values of a head                           [-]
    b    value_bytes  size of one value                          [B]
    f    passes       times that the scores are written or read  [-]

    Holds for: the full square. Four passes at least: written by the first product, read and written
    by the softmax, read by the second product; masks and dropout make more.
    Source: counting; dao2022flashattention, algorithm 0.

    >>> unfused_bytes(4, 4, heads=1, head_values=2, value_bytes=2, passes=4)
    192
    """
    return value_bytes * heads * (2 * (queries + keys) * head_values + passes * queries * keys)


def tiled_bytes(queries, keys, *, heads, head_values, value_bytes, on_chip_bytes):
    r"""Traffic of attention whose scores stay on the chip, by what the chip can hold.

    $$Q = b\,h\left(2\,S_q d_h + 2\,S_k d_h\,\max\left(1,\ \frac{4\,b\,d_h S_q}{C}\right)\right)$$  (eq:tiled-attention)

    S_q  queries        tokens that ask                [-]
    S_k  keys           tokens that are there          [-]
    h    heads          heads of all sequences         [-]
    d_h  head_values    values of a head               [-]
    b    value_bytes    size of one value              [B]
    C    on_chip_bytes  memory of a core for one tile  [B]

    A tile of queries, its results and tiles of keys and values share the memory in quarters, so a
    tile has C / (4 b d_h) queries, and keys and values are read again for each. The bound of the paper,
    of the order of S_q S_k d_h^2 b / C, is the last term.

    Holds for: caches that do not keep keys and values between tiles; with them it is less.
    Source: dao2022flashattention, theorem 2; the quarters are its choice of block size.

    >>> float(tiled_bytes(64, 64, heads=1, head_values=2, value_bytes=2, on_chip_bytes=256))
    2560.0
    """
    rounds = np.maximum(1, 4 * value_bytes * head_values * queries / on_chip_bytes)
    return value_bytes * heads * 2 * head_values * (queries + keys * rounds)


def half_flop_tokens(layer_params, *, heads, head_values):
    r"""Context at which the pairs of tokens take as many operations as the weights of a layer.

    $$S = \frac{N_\ell}{h\,d_h}$$  (eq:half-flop)

    N_\ell  layer_params  parameters of a layer that a token uses  [-]
    h       heads         heads of a layer                         [-]
    d_h     head_values   values of a head                         [-]

    Of each weight a token makes 2 operations. It meets S/2 tokens before it on average, and each meeting takes
    4 operations for each value of each head.

    Holds for: layers that see the whole context behind a causal mask; the full square halves it. A GPT has
    12 d^2 parameters and h d_h = d, so it is 12 d.
    Source: counting.

    >>> half_flop_tokens(12 * 4096**2, heads=32, head_values=128)
    49152.0
    """
    return layer_params / (heads * head_values)


def half_kept_tokens(kept_bytes, *, heads, score_bytes):
    r"""Context at which the scores that are kept for the backward pass take as many bytes as everything else.

    $$S = \frac{A}{h\,b_s}$$  (eq:half-kept)

    A    kept_bytes   activations that a layer keeps of a token, without the scores  [B]
    h    heads        heads of a layer                                               [-]
    b_s  score_bytes  size of one attention score, of all copies kept                [B]

    Holds for: attention that writes its scores; a GPT of 2020 with dropout keeps 34 d and 5 for each score, so it
    is 6.8 d_h, whatever the model's width.
    Source: counting; korthikanti2022_t5 has the 34 and the 5.

    >>> half_kept_tokens(34 * 4096, heads=32, score_bytes=5)
    870.4
    """
    return kept_bytes / (heads * score_bytes)


def merged(first, second):
    r"""Two parts of a softmax as one: largest score, sum of exponentials, weighted sum of values of each part.

    $$\xi = \max(\xi_1, \xi_2), \qquad z = z_1 \exp(\xi_1 - \xi) + z_2 \exp(\xi_2 - \xi), \qquad
      Y = Y_1 \exp(\xi_1 - \xi) + Y_2 \exp(\xi_2 - \xi)$$  (eq:online-softmax)

    ξ  first[0]  largest score of a part                               [-]
    z  first[1]  sum of the exponentials of its scores less the largest  [-]
    Y  first[2]  sum of its values, weighted by these                   [-]

    The result of attention is Y / z over all keys. A part can be a tile of keys, or what another chip has seen.

    Holds for: any order and any parts, as exactly as its arithmetic.
    Source: milakov2018online; with values dao2022flashattention, algorithm 1.

    >>> _, total, summed = merged((0.0, 1.0, 5.0), (np.log(3), 1.0, 1.0))  # weights 1 and 3: (5 + 3) / 4
    >>> round(float(summed / total), 12)
    2.0
    """
    largest = np.maximum(first[0], second[0])
    seen = np.where(np.isneginf(largest), 0.0, largest)  # of parts that are masked all over nothing is left
    mine, others = np.exp(first[0] - seen), np.exp(second[0] - seen)
    return largest, first[1] * mine + second[1] * others, first[2] * mine + second[2] * others


def pairs_of_rank(rank, ranks, *, zigzag):
    r"""Share of a causal square that falls to one rank of a ring, by how the tokens are dealt.

    $$\phi_i = \begin{cases} \frac{2 i + 1}{g^2} & \text{in order} \\ \frac{1}{g} & \text{zigzag} \end{cases}$$  (eq:ring-share)

    i  rank    this chip, the first of them 0  [-]
    g  ranks   ranks of the ring               [-]
    -  zigzag  dealt from both ends            [-]

    In order, rank i has the i-th part of the tokens, which sees i whole parts before it and half of itself. Zigzag
    cuts the sequence into 2 g parts and gives rank i the i-th from the front and from the back: what one sees
    less, the other sees more. The slowest rank has (2 g - 1)/g times the mean in order.

    Holds for: many tokens for each rank; the diagonal counted as half.
    Source: counting; brandon2023striped deals single tokens in turn, with the same balance.

    >>> float(pairs_of_rank(3, 4, zigzag=False)), float(pairs_of_rank(3, 4, zigzag=True))
    (0.4375, 0.25)
    """
    return np.where(zigzag, 1 / ranks, (2 * rank + 1) / ranks**2)


def block_sparse_pairs(queries, *, block, blocks_seen):
    r"""Pairs of attention in which each block of queries sees a few blocks of keys.

    $$\chi = S_q\,\beta\,S_b$$  (eq:block-sparse)

    S_q  queries      tokens that ask                   [-]
    S_b  block        tokens of a block                 [-]
    β    blocks_seen  blocks of keys that a query sees  [-]

    Holds for: whole blocks, the diagonal one counted whole; linear in the tokens for a fixed n.
    Source: counting.

    >>> block_sparse_pairs(1024, block=64, blocks_seen=4)
    262144
    """
    return queries * block * blocks_seen


def linear_attention_flop(tokens, *, heads, key_values, head_values, products):
    r"""Operations of attention without a softmax, as a state that each token updates and reads.

    $$F = 2\,f\,S\,h\,d_k\,d_v$$  (eq:linear-attention)

    S    tokens       tokens                          [-]
    h    heads        heads of all sequences          [-]
    d_k  key_values   values of a key, after its map  [-]
    d_v  head_values  values of a value               [-]
    f    products     passes over the state           [-]

    Plain linear attention and state spaces make two passes: an outer product is added to the state, and the
    query multiplies it. The delta rule makes three, since it first reads what the state holds for the key.

    Holds for: one token after the other; chunked kernels do more operations to use matrix units.
    Source: katharopoulos2020linear, equations 9 and 16 to 20.

    >>> linear_attention_flop(10, heads=1, key_values=4, head_values=4, products=2)
    640
    """
    return 2 * products * tokens * heads * key_values * head_values


def linear_state_bytes(*, sequences, heads, key_values, head_values, value_bytes):
    r"""State that linear attention keeps in place of a cache, whatever the context.

    $$M = B\,h\,d_k\,d_v\,b$$  (eq:linear-state)

    B    sequences    sequences, a token of each in a step  [-]
    h    heads        heads of a layer                      [-]
    d_k  key_values   values of a key, after its map        [-]
    d_v  head_values  values of a value                     [-]
    b    value_bytes  size of one value                     [B]

    Holds for: one layer. A key-value cache is larger from d_k / 2 tokens on.
    Source: katharopoulos2020linear, section 3.4.

    >>> linear_state_bytes(sequences=1, heads=2, key_values=4, head_values=4, value_bytes=4)
    128
    """
    return sequences * heads * key_values * head_values * value_bytes
