"""States: what data-parallel ranks exchange in a training step, and the optimiser's update."""

from types import SimpleNamespace

import numpy as np

from bottlenecks.laws import zero
from bottlenecks.models import footprint, ops
from bottlenecks.models.sets import answered
from bottlenecks.models.wiring import near, send_s

GRADIENT_NORM_BYTES = 4  # of a gradient, read once more before the update, to clip
BUCKET_BYTES = 2.0**29  # of gradients that are reduced together: internevo-configs
UPDATE_KERNELS = 8  # of an optimiser that takes all its tensors together
ONE_WAY, BOTH_WAYS = "1f1b", "dualpipe"  # schedules: a chip holds one stage, or two that another chip holds as well
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
    scatter, between = (trained * found[name] for name in ("scatter", "between"))
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
    owned = trained * np.where(cuts, found["owned"], found["held"])
    update = owned * (ops.ADAM_BYTES + GRADIENT_NORM_BYTES) / on.memory_bytes_per_s + UPDATE_KERNELS * on.light_s
    return exposed, hidden, update


def sizes(x):
    """What the exchange of a layout's states depends on."""
    copies = footprint.stages_held(x)
    group = x.dp * x.cp * copies
    shards = group if x.zero_ranks is None else np.minimum(x.zero_ranks * copies, group)
    return {name: getattr(x, name) for name in ("tp", "pp", "dp", "cp", "ep")} | {
        "copies": copies,
        "shards": shards,
        "sharded": np.greater_equal(x.zero, 3),
    }


def rounds(x):
    """(times that gradients leave where weights are whole, and where they are dealt out; times that the latter arrive for each).

    Gradients that nobody keeps whole (ZeRO 2) leave after every micro-batch.
    """
    kept = np.where(np.equal(x.zero, 2), x.micro_batches, 1)
    return kept, np.where(x.gathers_once, 1, x.micro_batches), np.where(x.gathers_once, 1, 2)


def messages(model, on, software, tp, pp, dp, cp, ep, copies, shards, sharded, send=send_s):
    """Each exchange of a chip's gradients or weights, were it alone, as `send` counts (`layer.messages`).

    Experts have `ep` times fewer copies, `ep` times further apart. `owned`: of the parameters `held`, a chip's share.
    """
    schedule = np.where(copies > 1, BOTH_WAYS, ONE_WAY)
    split = SimpleNamespace(tp=tp, pp=pp, ep=ep, schedule=schedule, embedding_slots=False)
    params = footprint.stage_params(model, split, 0)
    kinds = [(params["blocks"] + params["embeddings"], 1)]  # parameters, and how far apart their copies are
    if model.experts is not None:
        kinds.append((params["experts"] + 0.0 * tp, ep))
    group = dp * cp * copies
    # the other chip that holds a stage is at the pipeline's other end
    most = np.where(tp * dp * cp * pp > np.minimum(on.domain, 1e9), dp * cp, group)
    # a ring leaves a domain once; each of its tensor-parallel ranks has a ring of its own
    rings = np.maximum(np.minimum(on.domain, RING) / tp, 1)
    crowd = np.where(sharded & software.one_port, rings, 1)

    def sent(collective, value_bytes, ranks, of, apart):
        pieces = np.where(sharded, model.layers / pp, np.ceil(value_bytes * of / BUCKET_BYTES))
        pieces, close = np.maximum(pieces, 1), np.minimum(near(on, tp * apart), np.minimum(most, ranks))
        return pieces * send(collective, value_bytes * of / pieces, ranks, on=on, groups=crowd, per_domain=close)

    def over(collective, value_bytes, ranks):
        return sum(sent(collective, value_bytes, np.maximum(ranks / apart, 1), of, apart) for of, apart in kinds)

    def between(of, apart):
        ranks = np.maximum(shards / apart, 1)
        others = np.maximum(np.maximum(group / apart, 1) / ranks, 1)
        close = np.minimum(near(on, tp * apart * ranks), others)
        return send("all_reduce", software.gradient_bytes * of / ranks, others, on=on, per_domain=close)

    return {
        "reduce": over("all_reduce", software.gradient_bytes, group),
        "scatter": over("reduce_scatter", software.gradient_bytes, shards),
        "gather": over("all_gather", on.bytes_per_value, shards),
        "between": sum(between(of, apart) for of, apart in kinds),
        "held": sum(of for of, _ in kinds),
        "owned": sum(of / np.maximum(shards / apart, 1) for of, apart in kinds),
    }
