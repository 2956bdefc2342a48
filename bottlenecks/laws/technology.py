r"""Memory technology: what pins and stacks give, how often a memory can be read in full, what fetching costs beside computing.

Every law here takes numbers in base SI and returns a number in base SI; arguments broadcast.
"""


def pin_bytes_per_s(pins, *, pin_bits_per_s):
    r"""Bandwidth of a memory's interface from its data pins.

    $$W = \frac{n_p\,\nu_p}{8}$$  (eq:pins)

    n_p  pins            data pins                              [-]
    ν_p  pin_bits_per_s  bits a second of one of them           [bit/s]

    Holds for: pins that carry data alone; those of commands, clocks and check bits are counted elsewhere. A stack of HBM has many
    slow pins, a GDDR device few fast ones.
    Source: counting; the catalog's rows agree with their makers' bandwidths within a hundredth.

    >>> pin_bytes_per_s(1024, pin_bits_per_s=6.4e9)
    819200000000.0
    """
    return pins * pin_bits_per_s / 8


def turnover_per_s(bytes_per_s, *, memory_bytes):
    r"""Times a second that a memory can be read in full.

    $$\nu_r = \frac{W}{M}$$  (eq:turnover)

    W  bytes_per_s   bandwidth of the memory              [B/s]
    M  memory_bytes  weights that fill it                  [B]

    A memory that is full of weights can not give a reader more tokens a second than this, whatever chip stands beside it; and no
    number of modules changes it, since both grow alike.
    Holds for: weights that each token needs all of; of a mixture of experts, the share that is fetched takes the place of M.
    Source: definition.

    >>> turnover_per_s(51.2e9, memory_bytes=256e9)
    0.2
    """
    return bytes_per_s / memory_bytes


def fetch_ratio(batch, *, weight_bytes, joules_per_byte, joules_per_flop):
    r"""Energy of fetching a weight over that of the arithmetic it is fetched for.

    $$\rho_U = \frac{b_w\,\epsilon_q}{2\,B\,\epsilon_f}$$  (eq:fetch-ratio)

    b_w  weight_bytes     size of one weight                              [B]
    ε_q  joules_per_byte  energy of moving one byte from where it lies    [J/B]
    ε_f  joules_per_flop  energy of one operation                         [J/FLOP]
    B    batch            tokens that share the fetch                     [-]

    Holds for: one multiplication and one addition for each weight and token.
    Source: definition; at one the batch is half of eq:energy-balance times b_w.

    >>> round(fetch_ratio(1, weight_bytes=1, joules_per_byte=163e-12, joules_per_flop=0.115e-12))
    709
    """
    return weight_bytes * joules_per_byte / (2 * batch * joules_per_flop)
