"""Footprints: a model in a layout, as rows of bytes on one chip.

`training_rows(model, layout)` returns a dictionary, row -> bytes, whose values add up to what the busiest chip
holds at its peak (`cache` has the same for serving). A field of a layout may be an array:
a million layouts are one call.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts.doors import code, positive
from bottlenecks.laws import memory
from bottlenecks.laws.memory import RECIPES
from bottlenecks.laws.pipelines import INTERLEAVED, SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models.layouts import CHOICES, SHARES, check, stage_layers

RECIPE_COLUMNS = {
    what: np.array([getattr(recipe, what) for recipe in RECIPES.values()], dtype=float)
    for what in memory.Recipe._fields
}


def _take(recipe, what):
    """A column of the recipes' table for each layout."""
    return RECIPE_COLUMNS[what][code("recipe", recipe, CHOICES["recipe"])]


# ---- parameters of a stage


def _both_ends(layout):
    """Is the last layer on the first chip? So where the pipeline turns, or runs both ways."""
    schedule = code("schedule", layout.schedule, SCHEDULES)
    return schedule >= SCHEDULES.index("zbv")


def stages_held(layout):
    """Stages whose weights a chip holds."""
    return 1 + (code("schedule", layout.schedule, SCHEDULES) == SCHEDULES.index("dualpipe"))


def _ends(layout, stage):
    """(has the input embedding, has the output head), 1 or 0."""
    first, last = np.equal(stage, 0), np.equal(stage, layout.pp - 1)
    turned = _both_ends(layout)
    two_ways = stages_held(layout) == 2
    return 1 * (first | (last & two_ways)), 1 * np.where(turned, first | (last & two_ways), last)


def _mixture_layers(model, start, layers):
    """Layers of a stage that are a mixture of experts; plain ones come first in a model."""
    if model.experts is None:
        return 0 * layers
    return np.clip(start + layers - np.maximum(start, model.dense_layers), 0, None)


def _attention_params(model, tp):
    """Weights of one attention on a chip: heads are cut, latents and the last key-value head are not."""
    if model.attention == "MLA":
        down = model.width * ((model.q_lora_rank or 0) + model.kv_lora_rank + model.qk_rope_values)
        return down + (model.attention_params - down) / tp
    kv_heads = np.maximum(model.kv_heads, tp) / tp
    queries = (model.attention_params - 2 * model.width * model.kv_width) / tp
    return queries + 2 * model.width * kv_heads * model.head_values


def stage_parts(model, layout, stage):
    """Parameters on one chip of a stage: {"attention", "ffn", "experts", "embedding", "head"}.

    What takes attention's place counts as attention, routers with it; a matrix that is embedding and head as head.
    """
    start, layers = stage_layers(model, layout, stage)
    mixture = _mixture_layers(model, start, layers)
    recurrent = layers * model.ssm_layers / model.layers
    attention = (layers - recurrent) * _attention_params(model, layout.tp)
    attention = attention + recurrent * (model.ssm_layer_params or 0) / layout.tp
    ffn = (layers - mixture) * model.ffn_params / layout.tp
    if model.experts is not None:
        attention = attention + mixture * model.router_params
        ffn = ffn + mixture * model.shared_params / layout.tp
    experts = mixture * (model.experts or 0) * model.expert_params / (layout.tp * layout.ep)
    embedding, head = _ends(layout, stage)
    tied = np.logical_and(model.tied_embeddings, embedding * head)  # one matrix for both
    one, times = model.head_params / layout.tp, stages_held(layout)
    parts = {"attention": attention * times, "ffn": ffn * times, "experts": experts * times}
    return parts | {"embedding": (embedding - tied) * one, "head": head * one}


def stage_params(model, layout, stage):
    """The same in three parts: {"blocks", "experts", "embeddings"}."""
    parts = stage_parts(model, layout, stage)
    return {
        "blocks": parts["attention"] + parts["ffn"],
        "experts": parts["experts"],
        "embeddings": parts["embedding"] + parts["head"],
    }


def _adapter_share(model, layout):
    """Parameters of adapters over those of the matrices that they adapt, as if all layers were alike."""
    shapes = [(model.width, model.heads * model.head_values)] * 2
    shapes += [(model.width, model.kv_width)] * 2
    inner = model.ffn_width if model.experts is None else model.expert_width
    times = 1 if model.experts is None else model.experts + model.shared_experts
    shapes += [(model.width, inner)] * model.ffn_matrices * times
    adapters = sum(memory.lora_params(r, c, rank=layout.lora_rank) for r, c in shapes)
    return adapters / sum(r * c for r, c in shapes)


# ---- activations of a layer


def attention_values(model, tp):
    """Queries, keys, values and results that an attention keeps of a token, over all heads."""
    if model.attention == "MLA":
        latents = (model.q_lora_rank or 0) + model.kv_lora_rank + model.qk_rope_values
        results = 2 * model.heads * model.v_head_values
        return 2 * model.heads * model.head_values + results + latents * tp
    return 2 * model.heads * model.head_values + 2 * np.maximum(model.kv_heads, tp) * model.head_values


def _layer_bytes(model, layout, *, mixture):
    """(kept, kept without recomputation) of a token in one layer, in bytes."""
    tp, c = layout.tp, layout.value_bytes
    sp = np.where(layout.sp, tp, 1)
    attention = attention_values(model, tp)
    if np.any(model.ssm_layers):  # a recurrence keeps the output of each of its matrices
        share = model.ssm_layers / model.layers
        attention = (1 - share) * attention + share * model.ssm_layer_params / model.width
    values = memory.layer_values(
        model.width,
        attention_values=attention,
        tp=tp,
        sp=sp,
        ffn_values=0 if mixture else model.ffn_matrices * model.ffn_width,
    )
    inner = model.ffn_width
    if mixture:
        inner = model.expert_width * (model.experts_per_token + model.shared_experts)
        values = values + model.shared_experts * model.ffn_matrices * model.expert_width / tp
        values = values + memory.mixture_values(
            model.routed_width,
            experts=model.experts,
            copies=model.experts_per_token * layout.imbalance,
            hidden_values=model.ffn_matrices * model.expert_width,
            tp=tp,
            sp=sp,
        )
    dropout = 1 * np.asarray(layout.dropout)
    masks = 2 * model.width * dropout / sp  # a byte a value, on both residual branches
    unfused = memory.score_bytes(layout.seq_len, heads=model.heads, value_bytes=c, mask_bytes=1, tp=tp, dropout=dropout)
    fused = memory.fused_attention_bytes(heads=model.heads, tp=tp, sum_bytes=4)
    linear = values * c + masks
    whole = linear + np.where(layout.fused_attention, fused, unfused)
    selective = linear + np.where(layout.fused_attention, fused, 0)
    # torchtitan-recompute: queries, values, attention's result, half the feed-forward and its output
    results = (attention + 2 * model.heads * model.head_values) / 2
    products = (2 * model.width / sp + (results + inner) / tp) * c + np.where(layout.fused_attention, fused, 0)
    full = model.width / sp * c
    kind = code("recompute", layout.recompute, POLICIES)
    kept = np.select([kind == 0, kind == 1, kind == 2], [whole, selective, products], full)
    return kept, whole


def in_flight(layout, stage):
    """Micro-batches' worth of a stage's activations that its chip holds, by schedule."""
    m, p = layout.micro_batches, layout.pp
    kind = code("schedule", layout.schedule, SCHEDULES)
    return np.select(
        [kind == i for i in range(len(SCHEDULES))],
        [
            memory.in_flight_gpipe(m) + 0 * p,
            memory.in_flight_1f1b(m, stages=p, stage=stage),
            np.where(  # one chunk is no interleaving
                np.greater(layout.vpp, 1),
                memory.in_flight_interleaved(m, stages=p, stage=stage, chunks=layout.vpp),
                memory.in_flight_1f1b(m, stages=p, stage=stage),
            ),
            memory.in_flight_zero_bubble(m, stages=p, bound=1),
            memory.in_flight_zero_bubble(m, stages=p, bound=2),
            memory.in_flight_zero_bubble(m, stages=p, bound=1),
            memory.in_flight_bidirectional(m, stages=p),
        ],
    )


# ---- training


def training_rows(model, layout, *, stage=None):
    """Bytes on one chip at the peak of a step: row -> bytes, which add up to the total.

    `stage` picks a pipeline stage, the first being 0 (an array sweeps them); None takes, for each
    layout, the fullest of the first, which holds most micro-batches, the second, which may have more
    layers (`embedding_slots`) or more of them mixtures, and the last, which has the loss.

    weights, gradients, optimizer   eq:zero-states
    activations                     kept from the forward to the backward pass
    logits                          eq:logits-bytes, on the last stage
    recomputation                   one layer whole, beyond what the logits have given back
    step                            the optimiser's own copies, beyond what activations have given back
    buffers                         eq:gathered-bytes with ZeRO 3 or weights on the host; the sequence that a product
                                    gathers, and its gradient, with sequence parallelism; a frozen matrix made
                                    wide for its product; collectives' buckets
    reserve                         eq:reserved-bytes, of all but frozen weights: these come once, and leave no gaps
    """
    check(model, layout)
    if stage is not None:
        if np.any(np.greater_equal(stage, layout.pp)) or np.any(np.less(stage, 0)):
            raise ValueError(f"stage must be from 0 to pp - 1 ({layout.pp - 1!r}), got {stage!r}")
        return _stage_rows(model, layout, stage)
    layer = _layers(model, layout)
    first = _stage_rows(model, layout, 0, layer)
    if np.all(np.equal(layout.pp, 1)):
        return first
    others = [layout.pp - 1]
    if np.any(layout.embedding_slots) or model.dense_layers:  # else no stage exceeds the first
        others.append(np.minimum(1, layout.pp - 1))
    fullest, most = first, total_bytes(first)
    for other in others:
        rows = _stage_rows(model, layout, other, layer)
        fuller = total_bytes(rows) > most
        fullest = {name: np.where(fuller, rows[name], fullest[name])[()] for name in rows}
        most = total_bytes(fullest)
    return fullest


def _layers(model, layout):
    """`_layer_bytes` of the kinds of layers that a model has: {is it a mixture: (kept, whole)}."""
    has = {True: model.experts is not None, False: model.experts is None or np.any(model.dense_layers)}
    return {k: _layer_bytes(model, layout, mixture=k) for k, there in has.items() if there}


def _stage_rows(model, layout, stage, layer=None):
    params = stage_params(model, layout, stage)
    rows = _states(model, layout, params)
    frozen = rows.pop("frozen")
    start, layers = stage_layers(model, layout, stage)
    mixture = _mixture_layers(model, start, layers)
    held, recomputed = 0.0, 0.0
    for is_mixture, (kept, whole) in (layer or _layers(model, layout)).items():
        count = mixture if is_mixture else layers - mixture
        held = held + kept * count
        recomputed = np.maximum(recomputed, np.where(count > 0, whole - kept, 0))
    tokens = layout.tokens
    _, head = _ends(layout, stage)
    sp = np.where(layout.sp, layout.tp, 1)
    head_input = 2 * model.width / sp * layout.value_bytes  # the last norm's input and output
    sent = np.where(layout.keeps_outputs & np.greater(layout.pp, 1), model.width / sp, 0)
    held = (held + sent * layout.value_bytes) * in_flight(layout, stage)
    on_chip = 1 - layout.offloaded_activations
    activations = tokens * (held * on_chip + head_input * head)
    logits = head * memory.logits_bytes(
        tokens, model.vocab, bytes_per_logit=layout.bytes_per_logit, parts=layout.loss_parts, tp=layout.tp
    )
    again = np.maximum(recomputed * tokens - logits, 0)
    step = np.maximum(rows.pop("step") - activations - logits - again, 0)
    rows |= {"activations": activations, "logits": logits, "recomputation": again, "step": step}
    sequence = np.where(sp > 1, 2 * tokens * model.width * layout.value_bytes, 0)
    rows["buffers"] = layout.bucket_bytes + sequence + _gathered(model, layout, params, layers)
    loose = total_bytes(rows) - frozen
    rows["reserve"] = (
        memory.reserved_bytes(loose, fragmentation=layout.fragmentation, overhead_bytes=layout.overhead_bytes) - loose
    )
    return rows


def _ranks(layout):
    """Ranks among which ZeRO cuts."""
    return layout.dp * layout.cp if layout.zero_ranks is None else layout.zero_ranks


def _states(model, layout, params):
    """Rows of eq:zero-states; experts are shared by fewer ranks, embeddings may have other states.

    "frozen" is, of the weights, what is not trained; "step" lies where the optimiser works.
    """
    take = {what: _take(layout.recipe, what) for what in memory.Recipe._fields}
    ranks = _ranks(layout) * stages_held(layout)  # running both ways, two chips hold the same stage
    cut = {"blocks": ranks, "experts": np.maximum(ranks / layout.ep, 1), "embeddings": ranks}
    here = {name: 1 - getattr(layout, f"offloaded_{name}") for name in ("weights", "gradients", "states")}
    rows = dict.fromkeys(("weights", "gradients", "optimizer", "step", "frozen"), 0.0)
    adapted = np.greater(layout.lora_rank, 0)
    share = _adapter_share(model, layout)
    for kind, number in params.items():
        if not np.any(number):
            continue
        state = take["embedding_state_bytes" if kind == "embeddings" else "state_bytes"]
        trained = np.where(adapted, number * share * (kind != "embeddings"), number)
        frozen = np.where(adapted, number, 0) * _frozen_bytes(layout, kind)
        n1, n2, n3 = (memory.shards(layout.zero, cut[kind], from_stage=z) for z in (1, 2, 3))
        held = {
            "weights": (trained * take["weight_bytes"] + frozen) / n3 * here["weights"],
            "gradients": trained * take["gradient_bytes"] / n2 * here["gradients"],
            "optimizer": trained * state / n1 * here["states"],
            "step": trained * take["step_bytes"] / n1 * here["states"],
            "frozen": frozen / n3 * here["weights"],
        }
        rows = {name: rows[name] + held[name] for name in rows}
    one = np.maximum(_largest_matrix(model, layout), model.head_params / layout.tp) * take["gradient_bytes"]
    rows["gradients"] = np.where(layout.step_in_backward, np.minimum(one, rows["gradients"]), rows["gradients"])
    return rows


def _frozen_bytes(layout, kind):
    """Bytes of a frozen weight; what narrows the matrices of the blocks leaves the embeddings as they are."""
    return np.maximum(layout.frozen_bytes, layout.value_bytes) if kind == "embeddings" else layout.frozen_bytes


def _largest_matrix(model, layout):
    """Weights of the largest matrix of the blocks on a chip."""
    return model.width * np.maximum(model.ffn_width or 0, model.expert_width or 0) / layout.tp


def _gathered(model, layout, params, layers):
    """eq:gathered-bytes: two layers and an embedding, or the whole stage where it gathers once.

    A chip that has both embeddings gathers one at a time. Of gradients one layer's are whole, or, where it gathers
    once, those that are not yet summed over the step's micro-batches; where all of these go through a chunk of layers
    one behind the other, that is the chunk at work and the one that leaves. Frozen layers come as they are stored; of
    those narrower than values one matrix at a time is wide.
    """
    blocks = params["blocks"] + params["experts"]
    one = blocks / np.maximum(layers, 1)
    ends = params["embeddings"]
    end = np.where(layout.gathers_once, ends, np.minimum(ends, model.head_params / layout.tp))
    in_turn = (code("schedule", layout.schedule, SCHEDULES) == INTERLEAVED) & (layout.micro_batches <= layout.pp)
    unsummed = blocks * np.where(in_turn, np.minimum(2 / layout.vpp, 1), 1)
    adapted = np.greater(layout.lora_rank, 0)
    narrow = adapted & np.less(layout.frozen_bytes, layout.value_bytes)
    kept = np.where(narrow, layout.frozen_bytes, layout.value_bytes)
    trained = np.where(adapted, 0, _take(layout.recipe, "gradient_bytes"))
    at_once = np.where(layout.gathers_once, blocks, np.minimum(2 * one, blocks))
    weights = memory.gathered_bytes(at_once, weight_bytes=kept, gradient_bytes=0)
    weights = weights + memory.gathered_bytes(end, weight_bytes=layout.value_bytes, gradient_bytes=0)
    gradients = np.where(layout.gathers_once, unsummed, one) + end
    gradients = memory.gathered_bytes(gradients, weight_bytes=0, gradient_bytes=trained)
    sharing = np.greater_equal(layout.zero, 3) & np.greater(_ranks(layout), 1)
    whole = np.where(sharing | np.greater(layout.offloaded_weights, 0), weights, 0) + np.where(sharing, gradients, 0)
    return whole + np.where(narrow, _largest_matrix(model, layout) * layout.value_bytes, 0)


def total_bytes(rows):
    """Sum of the rows."""
    return sum(rows.values())


def shortfall_bytes(rows, memory_bytes):
    """Bytes by which rows exceed a chip's memory; zero or less says that they fit, and by how much."""
    return total_bytes(rows) - positive("memory_bytes", memory_bytes)


def offload_bytes_per_s(model, layout, *, step_s, stage=0):
    """Bandwidth to the host, each way, that hides a layout's offload within a step (eq:offload-bandwidth).

    Of states, gradients go out and weights come back. For each micro-batch activations go out and come back, and
    weights that wait on the host come twice.
    """
    check(model, layout)
    params = stage_params(model, layout, stage)
    whole = replace(layout, **dict.fromkeys(SHARES, 0.0), micro_batches=1)
    rows = _stage_rows(model, whole, stage)
    each = np.maximum(_take(layout.recipe, "gradient_bytes"), _take(layout.recipe, "weight_bytes"))
    cut = memory.shards(layout.zero, _ranks(layout), from_stage=1)
    states = total_bytes(params) / cut * each
    moved = np.maximum(layout.offloaded_states, layout.offloaded_gradients) * states
    often = layout.offloaded_activations * rows["activations"] + 2 * layout.offloaded_weights * rows["weights"]
    moved = moved + often * layout.micro_batches
    return memory.hiding_bytes_per_s(moved, duration_s=positive("step_s", step_s))
