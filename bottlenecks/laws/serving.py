r"""Serving: the least time of a token, and what guessing tokens ahead yields."""

import numpy as np


def latency_floor_s(weight_bytes, *, chips, bytes_per_s):
    r"""Least time of a decode step: the weights, read once, by all chips together.

    $$T \ge \frac{M}{g\,W}$$  (eq:latency-floor)

    M  weight_bytes  weights that a token uses     [B]
    g  chips         chips that share them         [-]
    W  bytes_per_s   memory bandwidth of one chip  [B/s]

    Holds for: weights cut evenly, one sequence, nothing kept on the chip between two tokens; cache,
    exchange and starts come on top. What moves it: fewer bytes a weight, fewer active experts, more
    chips, more tokens a pass (eq:speculative-tokens).
    Source: counting; pope2022, section 2.

    >>> round(latency_floor_s(141e9, chips=8, bytes_per_s=3.35e12) * 1e3, 2)
    5.26
    """
    return weight_bytes / (chips * bytes_per_s)


def speculative_tokens(acceptance, *, drafted):
    r"""Tokens that one pass of the large model yields when a small one has drafted some.

    $$\gamma_1 = \frac{1 - \theta^{\gamma + 1}}{1 - \theta}$$  (eq:speculative-tokens)

    θ  acceptance  chance that a drafted token is taken  [-]
    γ  drafted     tokens drafted for a pass             [-]

    Holds for: drafts taken independently with the same chance; at θ = 1 it is γ + 1.
    Source: leviathan2023, equation 1.

    >>> float(speculative_tokens(0.5, drafted=1))
    1.5
    """
    taken = np.minimum(acceptance, 1 - 1e-9)  # at 1 the quotient is 0 over 0
    return (1 - taken ** (drafted + 1)) / (1 - taken)
