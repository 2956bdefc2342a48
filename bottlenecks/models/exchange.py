r"""Exchange: the seconds that chips of a serving plan take to agree in one pass."""

import numpy as np

from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import counting
from bottlenecks.models.collectives import SHOTS
from bottlenecks.models.cut import chips_along_width
from bottlenecks.models.wiring import send_s


def exchange_s(model, plan, on, *, tokens):
    """Seconds of the collectives of all layers in a pass of `tokens` tokens of each group."""
    wide = bytes_per_value(on.format)
    if plan.stationary == "2-D":
        return model.layers * _two_dimensional_s(model, plan, on, tokens=tokens)
    if plan.stationary == "gathered":
        return model.layers * _gathered_s(model, plan, on)
    launch = "queued" if plan.software.captured else "library"
    found = 0.0
    if np.any(np.greater(plan.tp, 1)):
        reductions = (1 if plan.parallel_block else 2) * model.layers
        own = SHOTS if plan.software.shots else None
        message = wide * tokens * model.width
        late_s = on.waits * on.last_s * np.greater(plan.tp, 1) * (launch == "queued")  # a launched call counts it
        found = reductions * (send_s("all_reduce", message, plan.tp, on=on, launch=launch, besides=own) + late_s)
    if model.experts is not None and np.any(np.greater(plan.ep, 1)):
        reached = counting.experts_touched(plan.ep, 1, model.experts_per_token)  # other groups
        sent = tokens * model.width * reached / plan.tp
        near = None if on.domain == np.inf else np.clip(on.domain // plan.tp, 1, plan.ep)
        # values go out in the format of the products, and results come back wide
        ways = [
            send_s("all_to_all", size * sent, plan.ep, on=on, launch=launch, per_domain=near)
            for size in (bytes_per_value(on.product_format), wide)
        ]
        found = found + (model.layers - model.dense_layers) * sum(ways)
    return found * (1 - plan.overlap)


def _two_dimensional_s(model, plan, on, *, tokens):
    r"""Seconds of a layer's collectives when weights are cut both ways over a torus.

    $$T_x(M, g_x) = \frac{g_x - 1}{g_x}\,\frac{M}{W \phi_a} + \alpha\,a_h, \qquad \phi_a = \frac{\log g_x}{\log g},
      \qquad a_h = \tfrac{3}{2} \phi_a\,g^{1/3}$$  (eq:torus-axes)

    M    -                    size of what the group holds together               [B]
    g_x  -                    chips of the group: x along the width, y = g / x    [-]
    g    plan.tp              chips                                               [-]
    W    on.link_bytes_per_s  all links of a chip, one direction                  [B/s]
    φ_a  -                    share of the links that lie along the group's axes  [-]
    α    tier.latency_s       latency of one hop                                  [s]
    a_h  -                    hops, both ways round each ring at once             [-]

    Holds for: a cube of chips on a 3-D torus with no library between program and wire, so nothing is
    added to a call. In a layer: the width's values are gathered and their sums scattered over y; the
    inner values' sums scattered and the values gathered over x; queries go from heads to sequences
    and results come back, all to all. Parallel blocks do it once for both halves.
    Source: pope2022, section 3.2.2; the bandwidth terms are its equations.
    """
    wide, chips = bytes_per_value(on.format), plan.tp
    x = chips_along_width(model, chips)
    y = chips / x
    hop_s = on.waits * (on.tiers[0].latency_s or 1e-6)

    def over(n, message):
        f = np.log2(np.maximum(n, 1)) / np.log2(chips)
        rate = np.maximum(f, 1e-9) * on.link_bytes_per_s
        return np.where(n > 1, (n - 1) / n * message / rate + hop_s * 1.5 * f * np.cbrt(chips), 0.0)

    heads = wide * tokens * model.heads * model.head_values / y
    inner = wide * tokens * (model.ffn_width or model.expert_width) / y
    columns = [inner] * (model.ffn_matrices - 1)
    if plan.parallel_block:  # queries leave with a product's columns, results enter with the values
        columns[0] = columns[0] + heads
        out, blocks = [inner + heads], 1
    else:
        columns, out, blocks = [*columns, heads], [inner, heads], 2
    outer_s = 2 * blocks * over(y, wide * tokens * model.width / x)
    inner_s = sum(over(x, message) for message in (*columns, *out))
    return outer_s + inner_s + 2 * over(chips, heads * y / chips)


def _gathered_s(model, plan, on):
    """Seconds in which a layer's weights, cut over all chips, are gathered by every chip."""
    whole = model.block_params / model.layers * bytes_per_value(plan.weight_format)
    return whole * (plan.tp - 1) / plan.tp / on.link_bytes_per_s
