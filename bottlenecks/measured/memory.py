"""Predict, then score: footprints against the memory that training runs were measured to use.

Two constants are fitted, on the sources marked fit alone: what the allocator holds beyond its tensors,
and what the device holds beyond the allocator. A source that prints the allocator's own count gets
neither: its prediction is the bound. So does what an allocator had reserved whose segments can grow, as torchtitan's
(`expandable_segments`): that is hardly more than its tensors.
"""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.measured.open import Run, seq_len
from bottlenecks.measured.shapes import Assumed, gpt, model_of
from bottlenecks.measured.training import software_of
from bottlenecks.models.footprint import total_bytes, training_rows
from bottlenecks.models.layouts import Layout
from bottlenecks.models.software import TODAY

# ---- a row of the corpus as a model and a layout


def layout_of(row):
    """(model, layout, assumed, reason) of a row of `corpus.table("training")`.

    `assumed` names what the row leaves open. Where `reason` is not '', the row cannot be expressed,
    and model and layout are None.
    """
    assumed = Assumed()
    try:
        return (*_layout(row, assumed), str(assumed), "")
    except ValueError as why:
        return None, None, "", str(why)


def _layout(row, assumed):
    if not row["recipe"]:
        raise ValueError("the row does not say which states its optimizer holds")
    shape = model_of(row, assumed)
    software, year = software_of(row, chip(row["chip_name"]), row["software_date"] or TODAY)
    assumed.add(f"software of {year}")
    run = Run(row, shape, chip(row["chip_name"]), software, year)
    tp, pp, cp = (run.number(name) for name in ("tp", "pp", "cp"))
    dp = run.number("dp", int(row["n_chips"]) // (tp * pp * cp))
    if tp * pp * cp * dp != row["n_chips"]:
        raise ValueError(f"tp x pp x cp x dp is {tp * pp * cp * dp}, not the chips of the run")
    micro, many = _micro_batches(run, pp, dp, assumed)
    policy = row["recompute"].partition(" ")[0] or "products"
    if not row["recompute"]:
        assumed.add("selective recomputation")
    interleaved = row["schedule"] == "interleaved"
    if interleaved and not run.given("vpp"):
        assumed.add("two chunks a stage")
    stated = {"bytes_per_logit": float, "embedding_slots": bool}
    layout = Layout(
        tp=tp,
        pp=pp,
        cp=cp,
        dp=dp,
        vpp=run.number("vpp", 2 if interleaved else 1),
        sp=tp > 1 and run.number("sequence_parallel", year >= "2022") == 1,
        zero=run.number("zero", 0),
        recipe=row["recipe"],
        fused_attention=software.attention != "unfused",
        schedule="interleaved" if interleaved else "1f1b",
        seq_len=seq_len(run, assumed),
        micro_batch=micro,
        micro_batches=many,
        recompute=policy,
        gathers_once=row["zero"] == 3 and pp > 1,
        keeps_outputs=True,
        **{name: kind(row[name]) for name, kind in stated.items() if run.given(name)},
    )
    training_rows(shape, layout)
    return shape, layout


def _micro_batches(run, pp, dp, assumed):
    """(sequences of a micro-batch, micro-batches of a step): as stated; else as many micro-batches as stages."""
    each = run.row["global_batch_seqs"] / dp if run.given("global_batch_seqs") else run.number("micro_batch")
    if run.given("micro_batch") or pp == 1:
        micro = run.number("micro_batch")
        return micro, max(int(each // micro), 1)
    assumed.add("as many micro-batches as stages")
    return int(each // pp), pp


# ---- predictions


def bounds():
    """Every training row whose memory was measured, in order: columns, with the tensors' bytes.

    `bound_bytes` is NaN where `reason` says why.
    """
    rows = corpus.table("training")
    rows = corpus.where(rows, np.isfinite(rows["mem_bytes_per_chip"]))
    names = ("source_id", "role", "model", "n_chips", "tp", "pp", "dp", "cp", "micro_batch", "suspect")
    names += ("memory_counted_by",)
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
    return sound & (columns["memory_counted_by"] != "allocator")


def predictions():
    """`bounds`, with `predicted_bytes`, its 80 % interval `low_bytes` to `high_bytes`, and `ratio`.

    The interval is the spread of measured over predicted among the rows marked fit; `ratio` is predicted
    over measured.
    """
    columns = bounds()
    fitted = constants(columns)
    by_device = columns["memory_counted_by"] != "allocator"
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
