"""Published peaks of fine-tuning: what a run was measured to hold, what the model says, and what a rule of thumb says.

Nothing is fitted here: what the allocator and the device hold beyond the tensors are the constants of
`measured.memory`, from other runs. `first_predicted_bytes` is what the model said of a row before anyone had looked
at its measurement, where it could express the run at all; mechanisms that came since had these rows in view.
"""

from functools import cache as keep

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.formats import stored_bytes
from bottlenecks.laws.memory import RECIPES, states_bytes
from bottlenecks.measured import memory, scores
from bottlenecks.models.footprint import total_bytes, training_rows
from bottlenecks.models.layouts import Layout

RIVALS = ("model", "rule of thumb")
STATED = {  # columns that are fields of a layout, where they are not blank
    **dict.fromkeys(("lora_rank", "micro_batch", "micro_batches", "seq_len", "loss_parts", "zero"), int),
    **dict.fromkeys(("offloaded_weights", "offloaded_states", "offloaded_activations"), float),
    "step_in_backward": lambda cell: cell == "1",
    **dict.fromkeys(("recipe", "recompute"), str),
}
BEYOND = {  # what is counted -> constants of eq:reserved-bytes that it needs
    "allocator": (),
    "reserved": ("fragmentation",),
    "device": ("fragmentation", "overhead_bytes"),
}


@keep
def _beyond():
    return memory.constants()


def layout_of(row):
    """(model, layout) of a row of `data/memory_peaks.csv`; chips beyond one share the batch."""
    stated = {name: kind(row[name]) for name, kind in STATED.items() if row[name]}
    if row["frozen_format"]:
        stated["frozen_bytes"] = stored_bytes(row["frozen_format"])
    beyond = {name: _beyond()[name] for name in BEYOND[row["counted_by"]]}
    return model(row["model"]), Layout(dp=int(row["chips"]), **stated, **beyond)


def rule_bytes(shape, layout):
    """What a rule of thumb says: parameters times the bytes of the recipe, over the chips that share them.

    With adapters these are the frozen weights alone. No activations, no logits, nothing beyond the tensors; and
    nothing waits on the host or is let go within a step.
    """
    recipe = RECIPES[layout.recipe]
    weight, gradient, state = recipe.weight_bytes, recipe.gradient_bytes, recipe.state_bytes
    if layout.lora_rank:
        weight, gradient, state = layout.frozen_bytes, 0, 0
    return states_bytes(
        shape.params / (layout.tp * layout.pp),
        weight_bytes=weight,
        gradient_bytes=gradient,
        state_bytes=state,
        zero=layout.zero,
        ranks=layout.dp * layout.cp,
    )


def _predicted(shape, layout):
    """(bytes of the model, bytes of the rule of thumb)."""
    return float(total_bytes(training_rows(shape, layout))), float(rule_bytes(shape, layout))


def _method(row):
    """Which weights are trained: all, or adapters on frozen ones, which QLoRA stores in fewer bits."""
    if row["lora_rank"] in ("", "0"):
        return "all weights"
    return "QLoRA" if row["frozen_format"] and stored_bytes(row["frozen_format"]) < 2 else "LoRA"


@keep
def rows():
    """Every published peak in the file's order: columns; bytes are of one chip.

    `predicted_bytes`, `rule_bytes` and `ratio`, predicted over measured, are NaN where `left_out` says why, and
    `first_predicted_bytes` also where the model of that day could not express the run.
    """
    table = data.rows("memory_peaks")
    texts = ("source_id", "model", "recipe", "recompute", "counted_by", "left_out", "confidence")
    columns = {name: np.array([row[name] for row in table]) for name in texts}
    columns["method"] = np.array([_method(row) for row in table])
    columns["chips"] = np.array([int(row["chips"]) for row in table])
    columns["tokens"] = np.array([int(row["micro_batch"] or 0) * int(row["seq_len"] or 0) for row in table])
    columns["measured_bytes"] = np.array([float(row["peak_bytes"]) for row in table])
    columns["first_predicted_bytes"] = np.array([float(row["first_predicted_bytes"] or "nan") for row in table])
    found = [(np.nan, np.nan) if row["left_out"] else _predicted(*layout_of(row)) for row in table]
    columns["predicted_bytes"], columns["rule_bytes"] = np.array(found).T
    columns["ratio"] = columns["predicted_bytes"] / columns["measured_bytes"]
    columns["rule_ratio"] = columns["rule_bytes"] / columns["measured_bytes"]
    for array in columns.values():
        array.flags.writeable = False  # computed once and shared
    return columns


@keep
def pretraining():
    """The held-out pretraining runs of `memory.predictions`, with the rule of thumb beside: columns as `rows`."""
    found = memory.predictions()
    held = (found["role"] == "held-out") & (found["reason"] == "")
    columns = corpus.where(found, held)
    table = corpus.table("training")
    table = corpus.where(corpus.where(table, np.isfinite(table["mem_bytes_per_chip"])), held)
    layouts = [memory.layout_of({name: values[i] for name, values in table.items()})[:2] for i in range(held.sum())]
    columns["rule_bytes"] = np.array([float(rule_bytes(*each)) for each in layouts])
    columns["rule_ratio"] = columns["rule_bytes"] / columns["measured_bytes"]
    return columns


def errors(columns=None):
    """Rival -> its errors as means of |ln(predicted / measured)|, and of "first" those of the rows that it was asked.

    `error` is the mean over sources, `median` that of rows, `bias` the mean of ln over rows; `sources` has each one's
    rows, error and bias.
    """
    columns = rows() if columns is None else columns
    measured = columns["measured_bytes"]
    asked = {"model": columns["ratio"], "rule of thumb": columns["rule_ratio"]}
    if "first_predicted_bytes" in columns:
        asked["first"] = columns["first_predicted_bytes"] / measured
    return {rival: _errors(ratio, columns["source_id"]) for rival, ratio in asked.items()}


def _errors(ratio, sources):
    known = np.isfinite(ratio)
    logs, sources = np.log(ratio[known]), sources[known]
    each = {name: logs[sources == name] for name in np.unique(sources).tolist()}
    return {
        "rows": int(known.sum()),
        "error": scores.mean_error(logs, sources),
        "median": float(np.median(np.abs(logs))),
        "bias": float(logs.mean()),
        "sources": {
            name: {"rows": of.size, "error": float(np.abs(of).mean()), "bias": float(of.mean())}
            for name, of in each.items()
        },
    }


def against_rules():
    """Rows of a table: what was measured, rows, and the mean of |ln| of the rule of thumb and of the model."""
    found, runs = rows(), pretraining()
    known = np.isfinite(found["ratio"])
    lines = []
    for method in ("all weights", "LoRA", "QLoRA"):
        some = known & (found["method"] == method)
        lines.append(_line(f"fine-tuning, {method}", found["rule_ratio"][some], found["ratio"][some]))
    lines.append(
        _line(
            "fine-tuning, mean of sources", found["rule_ratio"][known], found["ratio"][known], found["source_id"][known]
        )
    )
    lines.append(_line("pretraining, mean of sources left out", runs["rule_ratio"], runs["ratio"], runs["source_id"]))
    return lines


def _line(what, rule, model, sources=None):
    def error(ratio):
        logs = np.log(ratio)
        return float(np.abs(logs).mean()) if sources is None else scores.mean_error(logs, sources)

    return {"measured": what, "rows": rule.size, "rule of thumb": f"{error(rule):.0%}", "model": f"{error(model):.0%}"}
