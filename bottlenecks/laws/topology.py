r"""Topology: how many ranks, switches and cables a way of wiring has, how far apart it puts two ranks, and how much crosses its middle.

Every law here takes numbers in base SI and returns a number in base SI; arguments broadcast, except that the `sides` of a
torus lie along the last dimension. A fat tree is a network of switches alike, folded in its middle; a torus joins neighbours and
closes each axis into a ring; a dragonfly joins groups, each wired as one switch, pair by pair.
"""

import numpy as np

FIBRE_S_PER_M = 4.9e-9  # light in glass, whose index is 1.468


# ---- fat trees


def fat_tree_ranks(radix, levels):
    r"""Ranks that a fat tree of switches alike joins at full bandwidth.

    $$g = 2 \left(\frac{a_p}{2}\right)^{a_l}$$  (eq:fat-tree-ranks)

    a_p  radix   ports of a switch   [-]
    a_l  levels  levels of switches  [-]

    Holds for: as many ports up as down at every level but the last, whose ports all point down.
    Source: leiserson1985 for the tree, clos1953 for its switches; counting.

    >>> fat_tree_ranks(64, 2), fat_tree_ranks(64, 3)
    (2048.0, 65536.0)
    """
    return 2 * (radix / 2) ** levels


def fat_tree_switches(ranks, radix, levels, *, oversubscription=1.0):
    r"""Switches of a fat tree.

    $$a_s = \frac{g}{a_p}\left(1 + \frac{2(a_l - 1)}{o}\right)$$  (eq:fat-tree-switches)

    g    ranks             ranks that it joins                                                  [-]
    a_p  radix             ports of a switch                                                    [-]
    a_l  levels            levels of switches: between two ranks lie 2 a_l - 1                  [-]
    o    oversubscription  ports below a first switch over ports above: what all levels carry   [-]

    Holds for: oversubscription at the first level, every port in use.
    Source: counting ports: g point to ranks, and each step up to another level takes g/o at both of its ends.

    >>> fat_tree_switches(2048, 64, 2), fat_tree_switches(3584, 64, 2, oversubscription=7)
    (96.0, 72.0)
    """
    return ranks / radix * (1 + 2 * (levels - 1) / oversubscription)


def fat_tree_cables(ranks, levels, *, oversubscription=1.0):
    r"""Cables of a fat tree, those to its ranks included.

    $$a_w = g\left(1 + \frac{a_l - 1}{o}\right)$$  (eq:fat-tree-cables)

    g    ranks             ranks that it joins                                                  [-]
    a_l  levels            levels of switches                                                   [-]
    o    oversubscription  ports below a first switch over ports above: what all levels carry   [-]

    Holds for: oversubscription at the first level; the levels above it are full for what the first lets through.
    Source: counting: each level above the first has as many cables as the first sends up.

    >>> fat_tree_cables(2048, 2), fat_tree_cables(2048, 3, oversubscription=4)
    (4096.0, 3072.0)
    """
    return ranks * (1 + (levels - 1) / oversubscription)


# ---- tori


def torus_bisection(sides, *, wraps=True):
    r"""Links, in one direction, that cross the middle of a torus or of a mesh.

    $$a_b = f\,\frac{g}{\max_i a_i}, \qquad g = \prod_i a_i$$  (eq:torus-bisection)

    f    -      times that a cut breaks an axis: 2 where it closes, else 1   [-]
    g    -      ranks                                                          [-]
    a_i  sides  ranks along each axis, axes along the last dimension           [-]

    Holds for: an even longest side, which is where the cut is shortest.
    Source: dally2004, chapter 5.

    >>> float(torus_bisection([16, 16, 16])), float(torus_bisection([4, 8], wraps=False))
    (512.0, 4.0)
    """
    sides = np.asarray(sides)
    return (2 if wraps else 1) * np.prod(sides, axis=-1) / np.max(sides, axis=-1)


def axis_hops(sides, closed):
    r"""Hops along each axis between two ranks, in the mean over all pairs, a rank and itself included.

    $$a_h = \begin{cases} \frac{1}{a_i} \left\lfloor \frac{a_i^2}{4} \right\rfloor & \text{a ring} \\
      \frac{1}{3}\left(a_i - \frac{1}{a_i}\right) & \text{a line} \end{cases}$$  (eq:axis-hops)

    a_i  sides   ranks along each axis  [-]
    -    closed  does the axis close?   [-]

    Holds for: shortest ways.
    Source: dally2004, chapter 5; counting for odd sides.

    >>> axis_hops([4, 3, 2], [True, True, False]).tolist()
    [1.0, 0.6666666666666666, 0.5]
    """
    sides = np.asarray(sides, dtype=float)
    return np.where(closed, np.floor(sides**2 / 4 + 1e-9) / sides, (sides - 1 / sides) / 3)


def axis_load(sides, closed):
    r"""Messages that the busiest link along each axis carries in an all-to-all, in which each rank sends one to all together.

    $$a_u = \frac{1}{a_i} \left\lfloor \frac{a_i^2}{4} \right\rfloor \times \begin{cases} 1/2 & \text{a ring} \\
      1 & \text{a line} \end{cases}$$  (eq:axis-load)

    a_i  sides   ranks along each axis  [-]
    -    closed  does the axis close?   [-]

    Holds for: messages that follow one axis after the other, shortest ways, halves of an even ring's farthest both ways.
    Source: counting what crosses the middle of a line, half of its ranks to the other half; a ring has two middles.

    >>> axis_load([16, 2], [True, False]).tolist()
    [2.0, 0.5]
    """
    sides = np.asarray(sides, dtype=float)
    return np.floor(sides**2 / 4 + 1e-9) / sides / np.where(closed, 2, 1)


# ---- dragonflies


def dragonfly_ranks(ranks_of_switch, switches_of_group, links_out):
    r"""Ranks of the largest dragonfly, in which every pair of groups has one link.

    $$g = a_r\,a_s\,(a_s\,a_o + 1)$$  (eq:dragonfly-ranks)

    a_r  ranks_of_switch    ranks below a switch                              [-]
    a_s  switches_of_group  switches of a group, each linked to each          [-]
    a_o  links_out          links of a switch to other groups                 [-]

    Holds for: one link between any two groups, so that a message passes at most one of them if its way is the shortest.
    Source: kim2008, section 3.

    >>> dragonfly_ranks(4, 8, 4)
    1056
    """
    return ranks_of_switch * switches_of_group * (switches_of_group * links_out + 1)


def dragonfly_taper(ranks_of_switch, links_out):
    r"""Bandwidth into a group over bandwidth out of it: what a rank would send over what the links between groups carry.

    $$o = \frac{a_r}{a_o}$$  (eq:dragonfly-taper)

    a_r  ranks_of_switch  ranks below a switch                  [-]
    a_o  links_out        links of a switch to other groups     [-]

    Holds for: links alike, messages spread over all groups. Towards one group alone, all ranks of a group share one link, and
    the detour over a third group takes twice the links.
    Source: kim2008, section 3: a balanced one has as many of both.

    >>> dragonfly_taper(16, 4)
    4.0
    """
    return ranks_of_switch / links_out


# ---- what wiring does to a message


def bisection_all_to_all_s(message_bytes, ranks, *, bisection_bytes_per_s):
    r"""Least seconds of an all-to-all by what must cross the middle of a network.

    $$T \ge \frac{g\,M}{4\,W_b}$$  (eq:bisection-all-to-all)

    M    message_bytes          message that each rank sends, its own part included              [B]
    g    ranks                  ranks                                                    [-]
    W_b  bisection_bytes_per_s  bandwidth from one half to the other, one direction      [B/s]

    Holds for: any network: half of the ranks send half of what they have to the other half.
    Source: counting; dally2004, chapter 3.

    >>> bisection_all_to_all_s(8.0, 4, bisection_bytes_per_s=2.0)
    4.0
    """
    return ranks * message_bytes / (4 * bisection_bytes_per_s)


def way_s(hops, *, hop_s, metres=0.0):
    r"""Seconds of an empty message: its hops, and light in the fibre.

    $$T = a_h\,T_h + \lambda_f\,y_f$$  (eq:way)

    a_h  hops    hops: switches or chips on the way                                 [-]
    T_h  hop_s   time through one of them                                     [s]
    y_f  metres  length of fibre and copper                                   [m]
    λ_f  -       time of light in a metre of glass, 4.9 ns                    [s/m]

    Holds for: no queue. In copper light is about as fast as in glass.
    Source: the index of glass, 1.468.

    >>> way_s(3, hop_s=0.5)
    1.5
    """
    return hops * hop_s + metres * FIBRE_S_PER_M
