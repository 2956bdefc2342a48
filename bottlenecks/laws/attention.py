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


def linear_attention_flop(tokens, *, heads, key_values, head_values):
    r"""Operations of attention without a softmax, as a state that each token updates and reads.

    $$F = 4\,S\,h\,d_k\,d_v$$  (eq:linear-attention)

    S    tokens       tokens                          [-]
    h    heads        heads of all sequences          [-]
    d_k  key_values   values of a key, after its map  [-]
    d_v  head_values  values of a value               [-]

    Holds for: one outer product added to the state and one product with it for each token; chunked
    kernels do more operations to use matrix units.
    Source: katharopoulos2020linear, equations 9 and 16 to 20.

    >>> linear_attention_flop(10, heads=1, key_values=4, head_values=4)
    640
    """
    return 4 * tokens * heads * key_values * head_values


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
