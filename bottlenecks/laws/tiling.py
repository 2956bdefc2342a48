r"""Tiles and waves: how a kernel is dealt to the cores of a chip, and what the dealing costs.

Every law takes numbers in base SI and returns a number in base SI; arguments broadcast.
"""

import numpy as np


def tiles(rows, columns, *, tile_rows, tile_columns):
    r"""Tiles that cover a matrix, the last of each row and column cut short but paid in full.

    $$\tau = \left\lceil\frac{m}{t_m}\right\rceil \left\lceil\frac{n}{t_n}\right\rceil$$  (eq:tiles)

    m    rows          rows of the result     [-]
    n    columns       columns of the result  [-]
    t_m  tile_rows     rows of a tile         [-]
    t_n  tile_columns  columns of a tile      [-]

    Holds for: one tile size over the whole matrix.
    Source: nvidia-matmul-guide, "tile quantization".

    >>> float(tiles(257, 512, tile_rows=256, tile_columns=128))
    8.0
    """
    return np.ceil(rows / tile_rows) * np.ceil(columns / tile_columns)


def waves(tiles, *, cores):
    r"""Rounds in which the cores take their tiles; in the last round some may have none.

    $$w = \left\lceil\frac{\tau}{c}\right\rceil$$  (eq:waves)

    τ  tiles  tiles to do             [-]
    c  cores  tiles that run at once  [-]

    Holds for: tiles that take equally long, one at a time on a core.
    Source: nvidia-matmul-guide, "wave quantization".

    >>> float(waves(109, cores=108))
    2.0
    """
    return np.ceil(tiles / cores)


def filled(rows, columns, *, tile_rows, tile_columns, cores):
    r"""Share of the cores' time that goes into the result: what tiles and waves leave of the peak.

    $$\phi = \frac{m\,n}{t_m t_n\,c\,w}$$  (eq:filled)

    m    rows          rows of the result       [-]
    n    columns       columns of the result    [-]
    t_m  tile_rows     rows of a tile           [-]
    t_n  tile_columns  columns of a tile        [-]
    c    cores         tiles that run at once   [-]
    w    (eq:waves)    waves of eq:tiles tiles  [-]

    Holds for: as eq:tiles and eq:waves; always between 0 and 1.
    Source: counting, results asked for over results that the waves have room for.

    >>> float(filled(1024, 1024, tile_rows=128, tile_columns=128, cores=128))
    0.5
    """
    dealt = tiles(rows, columns, tile_rows=tile_rows, tile_columns=tile_columns)
    return rows * columns / (tile_rows * tile_columns * cores * waves(dealt, cores=cores))


def overlapped_s(first_s, second_s):
    r"""Seconds of two streams of work that overlap well, but not perfectly near a tie.

    $$T = \left(T_1^4 + T_2^4\right)^{1/4}$$  (eq:overlap)

    T_1  first_s   the one stream alone    [s]
    T_2  second_s  the other alone         [s]

    Holds for: arithmetic beside traffic in one kernel. The larger of the two when they are apart,
    19 % more than either when they are equal: a full buffer stalls now the one, now the other.
    Source: the form is a choice; the exponent was tried from 2 to 8 on the `fit` sources, 4 is best.

    >>> float(overlapped_s(3.0, 3.0)) / 3.0 == 2 ** 0.25
    True
    """
    return np.sqrt(np.hypot(np.square(first_s), np.square(second_s)))


def smooth_s(flop, moved_bytes, *, flop_per_s, bytes_per_s, fixed_s):
    r"""Seconds of a kernel by a roofline whose corner is rounded: no tile, no wave, no cache.

    $$T = T_0 + \left[\left(\frac{F}{P}\right)^4 + \left(\frac{Q}{W}\right)^4\right]^{1/4}$$  (eq:smooth-roofline)

    F    flop         operations                  [FLOP]
    Q    moved_bytes  least traffic               [B]
    P    flop_per_s   rate that is sustained      [FLOP/s]
    W    bytes_per_s  bandwidth that is reached   [B/s]
    T_0  fixed_s      time to start and to end    [s]

    Holds for: the simplest rival of eq:matmul-time, three constants for a chip. A law of tiles has to beat it on
    rows that neither was fitted on. Source: eq:overlap on the times of eq:roofline-time.

    >>> round(float(smooth_s(3.0, 3.0, flop_per_s=1.0, bytes_per_s=1.0, fixed_s=1.0)), 3)
    4.568
    """
    return fixed_s + overlapped_s(flop / flop_per_s, moved_bytes / bytes_per_s)


def tile_s(depth, *, tile_rows, tile_columns, value_bytes, core_flop_per_s, core_bytes_per_s):
    r"""Seconds of one tile of a matrix product on one core: its arithmetic or its operands.

    $$T_t = \left[\left(\frac{2\,t_m t_n k}{P_c}\right)^4 + \left(\frac{b\,(t_m + t_n)\,k}{W_c}\right)^4\right]^{1/4}$$  (eq:tile-time)

    k    depth             columns of the left matrix, rows of the right  [-]
    t_m  tile_rows         rows of the tile                               [-]
    t_n  tile_columns      columns of the tile                            [-]
    b    value_bytes       size of one value                              [B]
    P_c  core_flop_per_s   arithmetic rate of a core                      [FLOP/s]
    W_c  core_bytes_per_s  bandwidth from the shared cache to a core      [B/s]

    Holds for: operands that come from the last cache shared by the cores; a roofline for one tile,
    whose intensity grows with its side.
    Source: eq:overlap on the traffic of eq:tiled-bytes.

    >>> float(tile_s(10, tile_rows=4, tile_columns=4, value_bytes=2, core_flop_per_s=32.0,
    ...              core_bytes_per_s=np.inf))
    10.0
    """
    arithmetic_s = 2 * tile_rows * tile_columns * depth / core_flop_per_s
    operands_s = value_bytes * (tile_rows + tile_columns) * depth / core_bytes_per_s
    return overlapped_s(arithmetic_s, operands_s)


def attention_pairs(queries, keys, *, causal, window=np.inf):
    r"""Pairs of a query and a key that attention really needs.

    $$\chi = \begin{cases} S_q \min(S_k, S_w) & \text{full} \\ \sum_{i=1}^{S_q} \min(S_k - S_q + i, S_w) & \text{causal} \end{cases}$$  (eq:attention-pairs)

    S_q  queries  tokens that ask                                   [-]
    S_k  keys     tokens that are there, the queries' own the last  [-]
    -    causal   a token sees none that comes later                [-]
    S_w  window   at most so many keys for a query                  [-]

    Holds for: S_k >= S_q. A causal prompt, S_q = S_k, has half of the square and half of the diagonal.
    A window without a mask is as wide at the ends of the sequence as in its middle.
    Source: counting.

    >>> float(attention_pairs(4, 4, causal=True)), float(attention_pairs(1, 4, causal=True))
    (10.0, 4.0)
    """
    before = keys - queries  # keys that every query sees
    most = np.minimum(window, keys)  # that any query sees
    starved = np.clip(most - before, 0, queries)  # queries that see fewer under the causal mask
    masked = starved * before + starved * (starved + 1) / 2 + (queries - starved) * most
    return np.where(causal, masked, queries * most)
