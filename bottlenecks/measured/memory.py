"""Predict, then score: footprints against the memory that training runs were measured to use.

Two constants are fitted, on the sources marked fit alone: what the allocator holds beyond its tensors,
and what the device holds beyond the allocator. A source that prints the allocator's own count gets
neither, since no source marked fit prints that: its prediction is the bound.
"""

import re

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import Model, find_model, model
from bottlenecks.models.footprint import total_bytes, training_rows
from bottlenecks.models.layouts import Layout


def gpt(layers, width, heads, *, vocab, name="GPT"):
    """A GPT with multi-head attention and a plain feed-forward of four widths."""
    return Model(
        name=name,
        layers=layers,
        width=width,
        ffn_width=4 * width,
        ffn_matrices=2,
        heads=heads,
        kv_heads=heads,
        head_values=width / heads,
        attention="MHA",
        vocab=vocab,
        tied_embeddings=True,
    )


def _internlm(layers, width, heads, ffn_width):
    return Model(
        name="InternLM",
        layers=layers,
        width=width,
        ffn_width=ffn_width,
        heads=heads,
        kv_heads=heads,
        head_values=width // heads,
        attention="MHA",
        vocab=103168,
    )


SHAPES = {  # internevo-configs
    "InternLM-7B": _internlm(32, 4096, 32, 11008),
    "InternLM-20B": _internlm(60, 5120, 40, 13824),
}
BLOOM_VOCAB = 250880  # bigscience2022bloom; the pages say 250k
BLOOM_WIDTH = 14400  # bloom_prequel: "NHIDDEN was fixed"
BLOOM_HEADS = 64  # bloom_prequel: "all NHEADS=64"

# ---- a row of the corpus as a model and a layout


def _torchtitan(row):
    """Model, fields of the layout, what is assumed."""
    if not find_model(row["model"]):
        return None, {}, "the model is not in the catalog"
    stages = _whole(row["pp"], 1)
    compiled_loss = row["source_id"] == "torchtitan_h200_2025_06"
    local = re.search(r"local batch size (\d+)", row["notes"])
    micro = int(local[1]) // stages if local else _whole(row["micro_batch"], 1)
    interleaved = "Interleaved" in row["notes"]
    assumed = ["fp32 weights and states, sharded; products in 16 bits"]
    assumed += [] if np.isfinite(row["seq_len"]) else ["8,192 tokens"]
    assumed += ["as many micro-batches as stages"] if stages > 1 else []
    assumed += ["two chunks a stage"] if interleaved else []
    assumed += [] if row["recompute"] else ["selective recomputation"]
    assumed += ["compiled loss, 4 B a logit" if compiled_loss else "unfused loss, 12 B a logit"]
    assumed += ["allocator's count: no fragmentation, no overhead"]
    return (
        model(row["model"]),
        {
            "zero": 3,
            "recipe": "adam, fp32",
            "gathers_once": stages > 1,
            "keeps_outputs": True,
            "seq_len": _whole(row["seq_len"], 8192),
            "micro_batch": micro,
            "micro_batches": stages,
            "vpp": 2 if interleaved else 1,
            "schedule": "interleaved" if interleaved else "1f1b",
            "recompute": "full" if row["recompute"] == "full" else "products",
            "bytes_per_logit": 4 if compiled_loss else 12,
        },
        "; ".join(assumed),
    )


def _internevo(row):
    return (
        SHAPES[row["model"]],
        {
            "zero": 3 if "FSDP" in row["zero_fsdp"] else 1,
            "recipe": "adam, not fused",
            "sp": False,
            "seq_len": _whole(row["seq_len"], 2048),
            "micro_batch": _whole(row["micro_batch"], 1),
            "micro_batches": 4,
            "recompute": row["recompute"],
            "keeps_outputs": True,
        },
        "2,048 tokens; 16-bit gradients widened for a step that is not fused",
    )


def _megatron_deepspeed(row, shape, **known):
    dp, micro = _whole(row["dp"], 1), _whole(row["micro_batch"], 1)
    return shape, {
        "zero": 0 if row["zero_fsdp"] == "none" else 1,
        "sp": False,
        "fused_attention": False,
        "seq_len": _whole(row["seq_len"], 2048),
        "micro_batch": micro,
        "recompute": row["recompute"],
        "micro_batches": max(_whole(row["global_batch_seqs"], 1) // (dp * micro), 1),
        "keeps_outputs": True,
        "recipe": "adam, widened gradients",
    } | known


def _bloom(row):
    assumed = ["a vocabulary of 250,880"]
    width, layers, heads = (_whole(row[c], 0) for c in ("hidden", "layers", "heads"))
    if not width:
        width, assumed = BLOOM_WIDTH, [*assumed, f"a width of {BLOOM_WIDTH:,}"]
    if not layers:  # from the size that names the model, in whole layers a stage
        size, stages = float(re.search(r"(\d+)B", row["model"])[1]) * 1e9, _whole(row["pp"], 1)
        layers = stages * round((size - BLOOM_VOCAB * width) / (12 * width**2) / stages)
        assumed += [f"{layers} layers"]
    if not heads:
        heads, assumed = BLOOM_HEADS, [*assumed, f"{BLOOM_HEADS} heads"]
    known = {}
    if int(re.search(r"date 02-(\d+)", row["notes"])[1]) >= 28:
        known = {"recipe": "adam, both gradients", "embedding_slots": True}
        assumed += ["gradients summed in fp32; embedding and head in slots of their own"]
    shape, fields = _megatron_deepspeed(row, gpt(layers, width, heads, vocab=BLOOM_VOCAB, name="BLOOM"), **known)
    return shape, fields, "; ".join(assumed)


def _gpt2_52b(row):
    """64 layers of width 8,192 make 52B, and 16 stages divide them; the page states neither."""
    shape, fields = _megatron_deepspeed(row, gpt(64, 8192, 64, vocab=50257))
    return shape, fields, "64 layers of width 8,192, 64 heads"


READERS = {
    "torchtitan_2024_12": _torchtitan,
    "torchtitan_h200_2025_06": _torchtitan,
    "internevo_mem": _internevo,
    "bloom_prequel": _bloom,
    "bigscience_v100_gpt2": _gpt2_52b,
}
ALLOCATOR = ("torchtitan_2024_12", "torchtitan_h200_2025_06")  # torchtitan-metrics: reserved_bytes


def _whole(value, default):
    return int(value) if np.isfinite(value) else default


def layout_of(row):
    """(model, layout, assumed, reason) of a row of `corpus.table("training")`.

    `assumed` names what the source leaves open, chosen as its framework's defaults have it. Where
    `reason` is not '', the row can not be expressed, and model and layout are None.
    """
    if row["source_id"] not in READERS:
        return None, None, "", "no reader knows what this source's framework keeps"
    shape, fields, assumed = READERS[row["source_id"]](row)
    if shape is None:
        return None, None, "", assumed
    tp, pp, cp = (_whole(row[c], 1) for c in ("tp", "pp", "cp"))
    dp = _whole(row["dp"], int(row["n_chips"]) // (tp * pp * cp))
    if tp * pp * cp * dp != row["n_chips"]:
        return None, None, "", f"tp x pp x cp x dp is {tp * pp * cp * dp}, not the chips of the run"
    try:
        layout = Layout(tp=tp, pp=pp, cp=cp, dp=dp, **fields)
        training_rows(shape, layout)
    except ValueError as error:
        return None, None, "", str(error)
    return shape, layout, assumed, ""


# ---- predictions


def bounds():
    """Every training row whose memory was measured, in order: columns, with the tensors' bytes.

    `bound_bytes` is NaN where `reason` says why.
    """
    rows = corpus.table("training")
    rows = corpus.where(rows, np.isfinite(rows["mem_bytes_per_chip"]))
    names = ("source_id", "role", "model", "n_chips", "tp", "pp", "dp", "cp", "micro_batch", "suspect")
    columns = {name: rows[name] for name in names}
    columns["measured_bytes"] = rows["mem_bytes_per_chip"]
    found = [layout_of({name: values[i] for name, values in rows.items()}) for i in range(rows["model"].size)]
    columns["bound_bytes"] = np.array(
        [np.nan if why else float(total_bytes(training_rows(m, x))) for m, x, _, why in found]
    )
    columns["assumed"] = np.array([assumed for _, _, assumed, _ in found])
    columns["reason"] = np.array([reason for *_, reason in found])
    return columns


def constants(columns=None):
    """{"fragmentation", "overhead_bytes"} of eq:reserved-bytes: least squares of the relative error, on fit."""
    columns = bounds() if columns is None else columns
    fit = _fit(columns)
    measured, bound = columns["measured_bytes"][fit], columns["bound_bytes"][fit]
    ratios = np.column_stack([bound / measured, 1 / measured])
    (fragmentation, overhead_bytes), *_ = np.linalg.lstsq(ratios, 1 - bound / measured, rcond=None)
    return {"fragmentation": float(fragmentation), "overhead_bytes": float(overhead_bytes)}


def _fit(columns):
    sound = (columns["role"] == "fit") & (columns["reason"] == "") & (columns["suspect"] == "")
    return sound & ~np.isin(columns["source_id"], ALLOCATOR)


def predictions():
    """`bounds`, with `predicted_bytes`, its 80 % interval `low_bytes` to `high_bytes`, and `ratio`.

    The interval is the spread of measured over predicted among the rows marked fit; `ratio` is predicted
    over measured.
    """
    columns = bounds()
    fitted = constants(columns)
    by_device = ~np.isin(columns["source_id"], ALLOCATOR)
    bound = columns["bound_bytes"]
    reserved = bound * (1 + fitted["fragmentation"]) + fitted["overhead_bytes"]
    predicted = np.where(by_device, reserved, bound)
    ratio = predicted / columns["measured_bytes"]
    low, high = np.quantile(1 / ratio[_fit(columns)], [0.1, 0.9])
    return columns | {
        "predicted_bytes": predicted,
        "low_bytes": low * predicted,
        "high_bytes": high * predicted,
        "ratio": ratio,
    }


def errors(columns=None):
    """(role, source) -> rows, mean absolute error, bias and worst error of the predictions."""
    columns = predictions() if columns is None else columns
    error = columns["ratio"] - 1
    groups = sorted(set(zip(columns["role"].tolist(), columns["source_id"].tolist(), strict=True)))
    return {
        group: {
            "rows": int(mine.sum()),
            "left_out": int((mine & (columns["reason"] != "")).sum()),
            "mean_abs_error": float(np.nanmean(np.abs(error[mine]))),
            "bias": float(np.nanmean(error[mine])),
            "worst_error": float(error[mine][np.nanargmax(np.abs(error[mine]))]),
        }
        for group in groups
        for mine in [(columns["role"] == group[0]) & (columns["source_id"] == group[1])]
    }


# ---- Korthikanti et al. 2022, Figures 1 and 7


def korthikanti():
    """Printed against predicted, one element a model and bar: columns what, model, printed, predicted.

    Bytes a GPU of the first stage in Figure 1; shares of the activations without recomputation in Figure 7.
    """
    rows = corpus.table("korthikanti2022")
    found = []
    for i, name in enumerate(rows["model"].tolist()):
        row = {column: values[i] for column, values in rows.items()}
        kept = {bar: _korthikanti_rows(row, *how) for bar, how in BARS.items()}
        states = sum(kept["none"][r] for r in ("weights", "gradients", "optimizer"))
        activations = {bar: float(r["activations"]) for bar, r in kept.items()}
        found.append(("states", name, row["par_opt_bytes"], float(states)))
        found.append(("activations, none", name, row["act_none_bytes"], activations["none"]))
        found.append(("activations, seqsel", name, row["act_seqsel_bytes"], activations["seqsel"]))
        found += [
            (f"share, {bar}", name, row[f"act_fraction_{bar}"], activations[bar] / activations["none"])
            for bar in BARS
            if bar != "none"
        ]
    names = ("what", "model", "printed", "predicted")
    return {name: np.array(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}


BARS = {  # bar -> (sequence parallelism, recomputation)
    "none": (False, "none"),
    "seq": (True, "none"),
    "sel": (False, "selective"),
    "seqsel": (True, "selective"),
    "full": (False, "full"),
}


def _korthikanti_rows(row, sp, recompute):
    chunks = int(row["interleave"])
    micro = int(row["micro_batch"])
    layout = Layout(
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        vpp=chunks,
        sp=sp,
        recompute=recompute,
        schedule="interleaved" if chunks > 1 else "1f1b",
        micro_batch=micro,
        micro_batches=int(row["global_batch"]) // micro,
        seq_len=2048,
        dropout=True,
        fused_attention=False,
        recipe="adam, fp32 gradients",
    )
    shape = gpt(int(row["layers"]), int(row["hidden"]), int(row["heads"]), vocab=51200)
    return training_rows(shape, layout, stage=0)
