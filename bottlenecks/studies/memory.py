"""Memory of training: what each technique saves and costs, what the host's link can hide, terabytes of the runs of each year."""

from dataclasses import replace
from functools import cache

import numpy as np

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import memory, shares
from bottlenecks.models import footprint, kernels, ops, training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.studies import bills

NAME, CHIP = "Llama-3-8B", "H100 SXM5"
SETTINGS = {  # words: tokens of a sequence, sequences of a micro-batch on each of eight chips with ZeRO 3
    "fine-tuning, 4 texts of 2,048 tokens": (2048, 4),
    "after RL rollouts, one text of 32,768 tokens": (32768, 1),
}
PLAIN = {"recipe": "adam, fp32 gradients", "recompute": "none", "fused_attention": True, "loss_parts": 1}
WIDE = {"recipe": "adam, fp32", "value_bytes": 4}
TECHNIQUES = {  # words: what the layout has without it, and with it
    "16-bit products and values (mixed precision)": (WIDE, {}),
    "fused attention": ({"fused_attention": False}, {}),
    "attention computed again, scores written out": (
        {"fused_attention": False},
        {"fused_attention": False, "recompute": "selective"},
    ),
    "half of the products computed again": ({}, {"recompute": "products"}),
    "everything computed again": ({}, {"recompute": "full"}),
    "loss in eight parts": ({}, {"loss_parts": 8}),
}
YEAR = {True: "2024", False: "2022"}  # of the software, by whether its attention is fused


@cache
def held_and_took(setting, changes):
    """(bytes on a chip, seconds of a step) of a setting with some fields of its layout changed; `changes` as items."""
    context, texts = SETTINGS[setting]
    fields = PLAIN | dict(changes)
    layout = Layout(dp=8, zero=3, seq_len=context, micro_batch=texts, **fields)
    on = machine(chip(CHIP), "fp32" if fields.get("value_bytes") == 4 else "bf16")
    software = YEAR[fields["fused_attention"]]
    m = model(NAME)
    kept = float(footprint.total_bytes(footprint.training_rows(m, layout)))
    return kept, float(training.seconds(m, layout, on=on, software=software))


@cache
def techniques(setting):
    """What each technique saves and costs: list of {name, saved_bytes, before_bytes, times}; times: seconds with over without."""
    found = []
    for name, (without, with_it) in TECHNIQUES.items():
        (before, before_s), (after, after_s) = (
            held_and_took(setting, tuple(sorted(c.items()))) for c in (without, with_it)
        )
        found.append({"name": name, "before_bytes": before, "saved_bytes": before - after, "times": after_s / before_s})
    return found


POLICIES = ("none", "selective", "products", "full")


@cache
def again(name, context, fused, on=CHIP):
    """{policy: (bytes kept of a token and layer, seconds of the passes over those without recomputation)}, one text on a chip."""
    m, machine_ = model(name), machine(chip(on))
    found = {}
    for policy in POLICIES:
        layout = Layout(seq_len=context, recompute=policy, fused_attention=fused)
        kept = float(footprint.training_rows(m, layout)["activations"]) / (context * m.layers)
        step = training.step(m, layout, on=machine_, software=YEAR[fused], memory=False)
        found[policy] = kept, sum(float(took) for part, took in step.rows.items() if part != "optimiser")
    return {policy: (kept, took / found["none"][1]) for policy, (kept, took) in found.items()}


# ---- the host

STATES_SENT = 2  # bytes of a parameter each way, if the host updates: its gradient out, its weight back
ALL_SENT = 12  # if states visit the chip: 32-bit weights and both moments come, and go


def hidden_tokens(chip_name, sent_bytes, share=0.4):
    """Tokens of a step that hide what is sent over a chip's host link, at a share of its peak (eq:offload-tokens)."""
    c = chip(chip_name)
    rate = share * c.peak_flop_per_s("bf16" if "bf16" in c.peaks else "fp16")
    return float(memory.hiding_tokens(sent_bytes, flop_per_s=rate, bytes_per_s=host_bytes_per_s(chip_name)))


def host_bytes_per_s(chip_name):
    """Bandwidth to the host, one direction, by the datasheet."""
    return next(level.bytes_per_s for level in chip(chip_name).levels if level.name == "host link")


UPDATE_BYTES = (
    28  # of a parameter that the host updates: three numbers of 32 bits read and written, gradient and weight
)


def host_tokens(rate, host_memory_bytes_per_s):
    """Tokens of a step that hide the host's own reading and writing, at its bandwidth for each chip."""
    return float(memory.hiding_tokens(UPDATE_BYTES, flop_per_s=rate, bytes_per_s=host_memory_bytes_per_s))


def host_share(chip_name, tokens, sent_bytes, share=0.4):
    """Seconds of sending over seconds of computing a step of so many tokens."""
    return hidden_tokens(chip_name, sent_bytes, share) / np.asarray(tokens, dtype=float)


# ---- terabytes

STATE_BYTES = 18  # of a parameter: 16-bit weight, 32-bit gradient, 32-bit weight and two moments


@cache
def states():
    """Published runs whose parameters are known: columns name, year, params, state_bytes, chips, memory_share.

    memory_share: of the memory of all its chips that the states take; NaN where chips are not told.
    """
    found = bills.runs()
    mine = np.isfinite(found["params"])
    room = np.array([_memory_bytes(str(name)) for name in found["chip"]])
    columns = {n: found[n][mine] for n in ("name", "year", "params", "chips")}
    columns["state_bytes"] = STATE_BYTES * columns["params"]
    return columns | {"memory_share": columns["state_bytes"] / (columns["chips"] * room[mine])}


def _memory_bytes(name):
    try:
        return chip(name).memory_bytes
    except ValueError:  # no chip is told, or a kind of several boards
        return np.nan


# ---- whose limit was it

ERA = {"LLaMA-13B": "A100 SXM 80GB", "GPT-3 6.7B": "A100 SXM 40GB"}
TRAINING = {  # words: model, is attention fused
    "training GPT-3 6.7B, scores written out": ("GPT-3 6.7B", False),
    "training LLaMA 13B, fused": ("LLaMA-13B", True),
}
DECODING = {"decoding LLaMA 13B, one user": 1, "decoding LLaMA 13B, 16 users": 16}
TOKENS = 2048


@cache
def limits():
    """{work: {"time": {resource or operand: share}, "capacity": {what: share}}} on the chips of 2020 to 2023.

    Time in training: elasticities of a layer's kernels (compute, memory, cache, latency). In decoding: of the bytes read,
    weights and cache. Capacity: of the bytes on a chip, eight of which share all states in training.
    """
    found = {}
    for words, (name, fused) in TRAINING.items():
        m, kind = model(name), "fused" if fused else "unfused"
        rows = [op for op in ops.training_step(m, batch=1, tokens=TOKENS, update=False) if op.part not in ops.ENDS]
        rows = [op._replace(shape=op.shape | {"implementation": kind}) if op.kind == "attention" else op for op in rows]
        device = kernels.device(chip(ERA[name]))
        owners = shares.shares(lambda d, rows=rows: kernels.ledger_s(rows, d), device, kernels.RESOURCES)
        layout = Layout(dp=8, zero=3, seq_len=TOKENS, micro_batch=1, fused_attention=fused)
        held = footprint.training_rows(m, layout)
        plain = footprint.training_rows(m, replace(layout, fused_attention=True))
        whole = float(footprint.total_bytes(held))
        scores = float(held["activations"] - plain["activations"])
        kept = {
            "states": sum(float(held[n]) for n in ("weights", "gradients", "optimizer")),
            "scores": scores,
            "other activations": float(held["activations"]) - scores + float(held["logits"]),
        }
        found[words] = {
            "time": {n: float(v) for n, v in owners.items()},
            "capacity": {n: v / whole for n, v in kept.items()},
        }
    for words, users in DECODING.items():
        m = model("LLaMA-13B")
        rows = ops.decode(m, batch=users, context_tokens=TOKENS)
        weights, cache_ = (float(ops.total(rows, n)) for n in ("weight_bytes", "cache_bytes"))
        moved = float(ops.total(rows, "bytes"))
        device = kernels.device(chip(ERA["LLaMA-13B"]))
        owners = shares.shares(lambda d, rows=rows: kernels.ledger_s(rows, d), device, kernels.RESOURCES)
        found[words] = {
            "time": {n: float(v) for n, v in owners.items()},
            "read": {"weights": weights / moved, "cache": cache_ / moved},
            "capacity": {"weights": weights / (weights + cache_), "cache": cache_ / (weights + cache_)},
        }
    return found
