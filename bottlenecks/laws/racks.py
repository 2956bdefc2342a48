r"""Racks: what binds the number of chips that stand together: pairs of copper, their reach, power, heat and mass.

Every law here takes numbers in base SI and returns a number in base SI; arguments broadcast.
"""

AIR_J_PER_M3_K = 1.16e3  # heat that a cubic metre of air at 30 degrees takes up for a kelvin
WATER_J_PER_M3_K = 4.16e6  # the same of water


def pairs(chips, bytes_per_s, *, lane_bits_per_s):
    r"""Pairs of wires between the chips of a domain and its switches.

    $$a_w = 2\,g\,\frac{8\,W}{\nu_w}$$  (eq:pairs)

    g    chips            chips of the domain                                [-]
    W    bytes_per_s      bandwidth of a chip, one direction                           [B/s]
    ν_w  lane_bits_per_s  bits a second of one pair, which has one direction [bit/s]

    Holds for: one stage of switches, each chip wired to all of them. A second stage takes as many again.
    Source: counting.

    >>> pairs(72, 900e9, lane_bits_per_s=200e9)
    5184.0
    """
    return 2 * chips * 8 * bytes_per_s / lane_bits_per_s


def copper_reach_m(lane_bits_per_s, *, at_bits_per_s, reach_m, exponent=0.5):
    r"""Metres of copper that a lane reaches, from those of another rate.

    $$y_w = y_1 \left(\frac{\nu_1}{\nu_w}\right)^{x_w}$$  (eq:copper-reach)

    y_1  reach_m          reach at a rate that is known                                          [m]
    ν_1  at_bits_per_s    that rate                                                              [bit/s]
    ν_w  lane_bits_per_s  bits a second of one pair                                              [bit/s]
    x_w  exponent         1/2 where the skin effect takes most, 1 where the insulator does       [-]

    Holds for: the same cable, the same loss that a receiver can take, the same bits for a symbol. The current flows in a skin
    whose depth falls with the root of the frequency, so that resistance rises with it; losses of the insulator rise with the
    frequency itself.
    Source: the skin effect; reaches of the catalog's cables lie between the two exponents.

    >>> copper_reach_m(200e9, at_bits_per_s=100e9, reach_m=2.0, exponent=1)
    1.0
    """
    return reach_m * (at_bits_per_s / lane_bits_per_s) ** exponent


def link_watts(bytes_per_s, *, joules_per_bit):
    r"""Watts of the links of a chip, both ends of each direction.

    $$\Pi = 16\,W\,\epsilon_b$$  (eq:link-power)

    W    bytes_per_s     bandwidth of a chip, one direction                                          [B/s]
    ε_b  joules_per_bit  of a bit from one end to the other, transmitter and receiver      [J/bit]

    Holds for: links that are always on, as they are: a serial link sends whether there is work or not.
    Source: counting: two directions, eight bits.

    >>> link_watts(1e12, joules_per_bit=5e-12)
    80.0
    """
    return 16 * bytes_per_s * joules_per_bit


def flow_m3_per_s(watts, *, kelvins, joules_per_m3_kelvin):
    r"""Air or water that must flow through a rack to carry its heat away.

    $$\nu_f = \frac{\Pi}{c_v\,\theta_d}$$  (eq:heat-flow)

    Π    watts                 power of the rack                          [W]
    c_v  joules_per_m3_kelvin  heat that a cubic metre takes up           [J/m³/K]
    θ_d  kelvins               by how much it may get warmer              [K]

    Holds for: all power becoming heat, which it does.
    Source: conservation of energy.

    >>> round(flow_m3_per_s(120e3, kelvins=15, joules_per_m3_kelvin=1.16e3), 1)
    6.9
    """
    return watts / (joules_per_m3_kelvin * kelvins)
