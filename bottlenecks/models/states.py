"""States: what data-parallel ranks exchange in a training step, and the optimiser's update."""

from types import SimpleNamespace

import numpy as np

from bottlenecks.laws import zero
from bottlenecks.models import footprint, ops
from bottlenecks.models.sets import answered
from bottlenecks.models.wiring import send_s

GRADIENT_NORM_BYTES = 4  # of a gradient, read once more before the update, to clip
BUCKET_BYTES = 2.0**29  # of gradients that are reduced together: internevo-configs
UPDATE_KERNELS = 8  # of an optimiser that takes all its tensors together
PLAIN = {"schedule": "1f1b", "embedding_slots": False}  # of a layout: what the first of its stages holds
RING = 8  # chips of a domain that a ring of one port visits


def exchange_s(model, layout, on, software, *, stage_s, forward_share, memo=None):
    """(exposed, hidden, update) seconds of a step: reduced gradients, gathered weights (laws.zero), the optimiser.

    `stage_s`: of a micro-batch on a mean stage, of which `forward_share` is the forward pass.
    """
    x, asked = layout, sizes(layout)

    def timed_states(**few):
        return messages(model, on, software, **few)

    found, sharded = answered(timed_states, on, memo, **asked), asked["sharded"]
    trained = 1.0 - np.greater(x.lora_rank, 0)  # adapters' gradients and states are too few to count
    scatter, between, held = (trained * found[name] for name in ("scatter", "between", "held"))
    gather, cuts = found["gather"], np.greater_equal(x.zero, 1)
    window = {"forward_s": stage_s * forward_share, "backward_s": stage_s * (1 - forward_share)}
    window["layers"] = model.layers / x.pp
    whole = zero.exposed_gradients_s(
        np.where(cuts, scatter, trained * found["reduce"]) + between,
        np.where(cuts, gather * trained, 0.0),
        times=rounds(x)[0],
        hides_gradients=software.overlaps_gradients,
        hides_weights=software.overlaps_weights,
        **window,
    )
    _, times, gathers = rounds(x)
    parts = zero.exposed_weights_s(scatter, gather, times=times, gathers=gathers, **window)
    exposed, hidden = (np.where(sharded, part, all_of_it) for part, all_of_it in zip(parts, whole, strict=True))
    exposed = exposed + np.where(sharded, between, 0.0)
    owned = held / np.where(cuts, found["shards"], 1)
    update = owned * (ops.ADAM_BYTES + GRADIENT_NORM_BYTES) / on.memory_bytes_per_s + UPDATE_KERNELS * on.light_s
    return exposed, hidden, update


def sizes(x):
    """What the exchange of a layout's states depends on."""
    group = x.dp * x.cp
    shards = group if x.zero_ranks is None else np.minimum(x.zero_ranks, group)
    return {name: getattr(x, name) for name in ("tp", "pp", "dp", "cp", "ep")} | {
        "shards": shards,
        "sharded": np.greater_equal(x.zero, 3),
    }


def rounds(x):
    """(times that gradients leave where weights are whole, and where they are dealt out; times that the latter arrive for each).

    Gradients that nobody keeps whole (ZeRO 2) leave after every micro-batch.
    """
    kept = np.where(np.equal(x.zero, 2), x.micro_batches, 1)
    return kept, np.where(x.gathers_once, 1, x.micro_batches), np.where(x.gathers_once, 1, 2)


def messages(model, on, software, tp, pp, dp, cp, ep, shards, sharded, send=send_s):
    """Each exchange of a chip's gradients or weights, were it alone, as `send` counts (`layer.messages`)."""
    params = footprint.stage_params(model, SimpleNamespace(**PLAIN, tp=tp, pp=pp, ep=ep), 0)
    dense, experts = params["blocks"] + params["embeddings"], params["experts"] + 0.0 * tp
    domain, group = np.minimum(on.domain, 1e9), dp * cp
    per_domain = np.maximum(np.floor(domain / tp), 1)
    # a ring leaves a domain once; each of its tensor-parallel ranks has a ring of its own
    rings = np.maximum(np.minimum(domain, RING) / tp, 1)
    crowd = np.where(sharded & software.one_port, rings, 1)

    def sent(collective, value_bytes, ranks, of):
        pieces = np.where(sharded, model.layers / pp, np.ceil(value_bytes * of / BUCKET_BYTES))
        pieces, near = np.maximum(pieces, 1), np.minimum(per_domain, ranks)
        return pieces * send(collective, value_bytes * of / pieces, ranks, on=on, groups=crowd, per_domain=near)

    def over(collective, value_bytes, ranks):
        base = sent(collective, value_bytes, ranks, dense)
        if model.experts is None:
            return base
        return base + sent(collective, value_bytes, np.maximum(ranks / ep, 1), experts)

    copies = np.maximum(group / shards, 1)
    near = np.clip(per_domain // shards, 1, copies)
    return {
        "reduce": over("all_reduce", software.gradient_bytes, group),
        "scatter": over("reduce_scatter", software.gradient_bytes, shards),
        "gather": over("all_gather", on.bytes_per_value, shards),
        "between": send("all_reduce", software.gradient_bytes * dense / shards, copies, on=on, per_domain=near),
        "held": dense + experts,
        "shards": shards,
    }
