r"""Roofline: the time of a piece of work on one device, as the largest of a few times.

Every law here takes numbers in base SI and returns a number in base SI; arguments broadcast.
"""

import numpy as np


def time_s(flop, moved_bytes, *, peak_flop_per_s, bytes_per_s):
    r"""Seconds of work whose arithmetic and traffic overlap.

    $$T = \max\left(\frac{F}{P},\ \frac{Q}{W}\right)$$  (eq:roofline-time)

    F  flop             operations to do                 [FLOP]
    Q  moved_bytes      bytes to move across the memory  [B]
    P  peak_flop_per_s  peak arithmetic rate             [FLOP/s]
    W  bytes_per_s      memory bandwidth                 [B/s]

    Holds for: one device, perfect overlap, rates reached; a lower bound on a measured time.
    Source: williams2009roofline, there as a rate: see eq:roofline.

    >>> float(time_s(8e12, 1e9, peak_flop_per_s=4e12, bytes_per_s=1e9))
    2.0
    """
    return np.maximum(flop / peak_flop_per_s, moved_bytes / bytes_per_s)


def no_overlap_s(flop, moved_bytes, *, peak_flop_per_s, bytes_per_s):
    r"""Seconds of work whose arithmetic waits for its traffic.

    $$T = \frac{F}{P} + \frac{Q}{W}$$  (eq:no-overlap)

    F  flop             operations to do                 [FLOP]
    Q  moved_bytes      bytes to move across the memory  [B]
    P  peak_flop_per_s  peak arithmetic rate             [FLOP/s]
    W  bytes_per_s      memory bandwidth                 [B/s]

    Holds for: no overlap at all. Between eq:roofline-time and twice it, always.
    Source: definition; the sum of two non-negative times is at most twice the larger.

    >>> no_overlap_s(8e12, 1e9, peak_flop_per_s=4e12, bytes_per_s=1e9)
    3.0
    """
    return flop / peak_flop_per_s + moved_bytes / bytes_per_s


def intensity_flop_per_byte(flop, moved_bytes):
    r"""Arithmetic intensity: operations done for each byte moved.

    $$I = \frac{F}{Q}$$  (eq:intensity)

    F  flop         operations to do                 [FLOP]
    Q  moved_bytes  bytes to move across the memory  [B]

    Holds for: any work; the value depends on where the bytes are counted (memory, cache, link).
    Source: williams2009roofline, "operational intensity".

    >>> intensity_flop_per_byte(600.0, 200.0)
    3.0
    """
    return flop / moved_bytes


def ridge_flop_per_byte(*, peak_flop_per_s, bytes_per_s):
    r"""Ridge point: the intensity at which arithmetic and traffic take equally long.

    $$I^{*} = \frac{P}{W}$$  (eq:ridge)

    P  peak_flop_per_s  peak arithmetic rate  [FLOP/s]
    W  bytes_per_s      memory bandwidth      [B/s]

    Holds for: one pair of rates; a device has one ridge for each format and each memory level.
    Source: williams2009roofline, "ridge point".

    >>> ridge_flop_per_byte(peak_flop_per_s=300e12, bytes_per_s=2e12)
    150.0
    """
    return peak_flop_per_s / bytes_per_s


def attainable_flop_per_s(intensity, *, peak_flop_per_s, bytes_per_s):
    r"""Attainable rate of work of a given arithmetic intensity.

    $$R = \min\left(P,\ I\,W\right)$$  (eq:roofline)

    I  intensity        operations per byte moved  [FLOP/B]
    P  peak_flop_per_s  peak arithmetic rate       [FLOP/s]
    W  bytes_per_s      memory bandwidth           [B/s]

    Holds for: as eq:roofline-time, of which this is F / T.
    Source: williams2009roofline, its central formula.

    >>> float(attainable_flop_per_s(10.0, peak_flop_per_s=300e12, bytes_per_s=2e12))
    20000000000000.0
    """
    return np.minimum(peak_flop_per_s, intensity * bytes_per_s)


def hierarchical_s(flop, level_bytes, *, peak_flop_per_s, level_bytes_per_s):
    r"""Seconds of work that moves its own number of bytes across each level of a hierarchy.

    $$T = \max\left(\frac{F}{P},\ \max_{l} \frac{Q_l}{W_l}\right)$$  (eq:hierarchical-time)

    F    flop               operations to do                                   [FLOP]
    Q_l  level_bytes        bytes across level l, levels along the last axis   [B]
    P    peak_flop_per_s    peak arithmetic rate                               [FLOP/s]
    W_l  level_bytes_per_s  bandwidth of level l, levels along the last axis   [B/s]

    Holds for: all levels stream at once and overlap with arithmetic.
    Source: yang2020hierarchical, there as one roof for each level (ilic2014cache-aware counts all
    bytes at the core instead).

    >>> float(hierarchical_s(8.0, np.array([6.0, 1.0]), peak_flop_per_s=4.0,
    ...                      level_bytes_per_s=np.array([2.0, 1.0])))
    3.0
    """
    level_s = np.max(level_bytes / level_bytes_per_s, axis=-1)
    return np.maximum(flop / peak_flop_per_s, level_s)


def bytes_in_flight(*, bytes_per_s, latency_s):
    r"""Bytes that must be on their way at any moment to keep a memory busy (Little's law).

    $$Q_f = W\,L$$  (eq:little)

    W  bytes_per_s  bandwidth to sustain             [B/s]
    L  latency_s    time from a request to its data  [s]

    Holds for: any stable flow, whatever its distribution.
    Source: little1961; his L is Q_f here, his λ is W, his W is L.

    >>> bytes_in_flight(bytes_per_s=2e12, latency_s=500e-9)
    1000000.0
    """
    return bytes_per_s * latency_s


def latency_limited_bytes_per_s(in_flight_bytes, *, bytes_per_s, latency_s):
    r"""Bandwidth that a given number of bytes in flight can draw from a memory.

    $$W' = \min\left(W,\ \frac{Q_f}{L}\right)$$  (eq:latency-roof)

    Q_f  in_flight_bytes  bytes requested and not yet arrived  [B]
    W    bytes_per_s      bandwidth of the memory              [B/s]
    L    latency_s        unloaded time from request to data   [s]

    Holds for: latency that does not grow under load; a real memory rounds the corner off.
    Source: eq:little solved for the rate, capped by the memory.

    >>> float(latency_limited_bytes_per_s(64.0, bytes_per_s=900.0, latency_s=0.25))
    256.0
    """
    return np.minimum(bytes_per_s, in_flight_bytes / latency_s)


def energy_joules(flop, moved_bytes, *, joules_per_flop, joules_per_byte, idle_watts, duration_s):
    r"""Energy of a piece of work: arithmetic, movement, and the power drawn while time passes.

    $$U = F\,\epsilon_f + Q\,\epsilon_q + \Pi_0\,T$$  (eq:energy)

    F    flop             operations to do              [FLOP]
    Q    moved_bytes      bytes to move                 [B]
    ε_f  joules_per_flop  energy of one operation       [J/FLOP]
    ε_q  joules_per_byte  energy of moving one byte     [J/B]
    Π_0  idle_watts       power drawn whatever happens  [W]
    T    duration_s       duration                      [s]

    Holds for: energies that do not depend on the rate; energies add, they never overlap.
    Source: choi2013energy-roofline, its model of total energy.

    >>> energy_joules(2.0, 1.0, joules_per_flop=1.0, joules_per_byte=4.0, idle_watts=3.0,
    ...               duration_s=2.0)
    12.0
    """
    return flop * joules_per_flop + moved_bytes * joules_per_byte + idle_watts * duration_s


def attainable_flop_per_joule(intensity, *, joules_per_flop, joules_per_byte):
    r"""Operations that one joule buys at a given arithmetic intensity, idle power left out.

    $$\eta = \frac{1}{\epsilon_f + \epsilon_q / I}$$  (eq:energy-roofline)

    I    intensity        operations per byte moved  [FLOP/B]
    ε_f  joules_per_flop  energy of one operation    [J/FLOP]
    ε_q  joules_per_byte  energy of moving one byte  [J/B]

    Holds for: as eq:energy with no idle power; an arch and not a roof, since energies add.
    Source: choi2013energy-roofline, "arch line".

    >>> attainable_flop_per_joule(4.0, joules_per_flop=1.0, joules_per_byte=4.0)
    0.5
    """
    return 1 / (joules_per_flop + joules_per_byte / intensity)


def energy_balance_flop_per_byte(*, joules_per_flop, joules_per_byte):
    r"""Intensity at which arithmetic and movement cost the same energy.

    $$I_U = \frac{\epsilon_q}{\epsilon_f}$$  (eq:energy-balance)

    ε_f  joules_per_flop  energy of one operation    [J/FLOP]
    ε_q  joules_per_byte  energy of moving one byte  [J/B]

    Holds for: as eq:energy-roofline.
    Source: choi2013energy-roofline, "energy balance".

    >>> energy_balance_flop_per_byte(joules_per_flop=0.5, joules_per_byte=40.0)
    80.0
    """
    return joules_per_byte / joules_per_flop


def matmul_flop(m, k, n):
    r"""Operations of a matrix product (m, k) @ (k, n), a multiplication and an addition each.

    $$F = 2\,m\,k\,n$$  (eq:matmul-flop)

    m  m  rows of the left matrix                           [-]
    k  k  columns of the left, rows of the right            [-]
    n  n  columns of the right matrix                       [-]

    Holds for: dense matrices and the schoolbook algorithm; a fused multiply-add counts as two.
    Source: definition.

    >>> matmul_flop(2, 3, 4)
    48
    """
    return 2 * m * k * n


def matmul_bytes(m, k, n, *, value_bytes):
    r"""Least traffic of a matrix product: both operands read once, the result written once.

    $$Q = b\,(m k + k n + m n)$$  (eq:matmul-bytes)

    m  m            rows of the left matrix                  [-]
    k  k            columns of the left, rows of the right   [-]
    n  n            columns of the right matrix              [-]
    b  value_bytes  size of one value                        [B]

    Holds for: caches large enough to need nothing twice; a lower bound on real traffic.
    Source: definition ("compulsory" traffic).

    >>> matmul_bytes(2, 3, 4, value_bytes=2)
    52
    """
    return value_bytes * (m * k + k * n + m * n)


def tiled_matmul_bytes(m, k, n, *, tile, value_bytes):
    r"""Traffic of a matrix product into a level that holds one square tile of the result.

    $$Q = b\left(\frac{2\,m k n}{t} + m n\right)$$  (eq:tiled-bytes)

    m  m            rows of the left matrix                        [-]
    k  k            columns of the left, rows of the right         [-]
    n  n            columns of the right matrix                    [-]
    t  tile         side of the tile of the result kept in place   [-]
    b  value_bytes  size of one value                              [B]

    Holds for: t that divides m and n, t <= min(m, n); each tile streams its rows and columns once.
    Source: counting: m n / t^2 tiles, each reading 2 k t values.

    >>> tiled_matmul_bytes(4, 4, 4, tile=2, value_bytes=1)
    80.0
    """
    return value_bytes * (2 * m * k * n / tile + m * n)
