"""Predict, then score: the models' formulas against measured rows that they were not fitted to."""

import numpy as np

from bottlenecks.facts import corpus, formats
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.models import ops


def llm_steps():
    """Single-chip LLM steps, measured, beside the bound of eq:roofline-time on eq:weights-pass.

    Returns (scored, left_out): the first has one element a row in every column (`bound_s` from
    datasheet rates, `measured_s`, `ratio` measured over bound); the second counts the other
    single-chip rows of the same sources by reason.
    """
    rows = corpus.table("inference")
    sources = corpus.showing("inference", "steps of one chip")
    rows = corpus.where(rows, (rows["n_chips"] == 1) & np.isin(rows["source_id"], sources))
    columns = ("model", "phase", "weight_dtype", "suspect", "speculative", "chip_name")
    reasons = np.array([_left_out(*row) for row in zip(*(rows[c] for c in columns), strict=True)])
    kept = corpus.where(rows, reasons == "")
    names = ("source_id", "model", "chip_name", "phase", "weight_dtype", "input_len", "output_len")
    scored = {name: kept[name] for name in names}
    decode = kept["phase"] == "decode"
    scored["tokens"] = np.where(decode, 1, kept["input_len"]) * kept["batch"]
    columns = ("model", "phase", "tokens", "weight_dtype", "chip_name")
    times = np.array([_times_s(*row) for row in zip(*(scored[c] for c in columns), strict=True)])
    scored["arithmetic_s"], scored["memory_s"] = times.T
    scored["bound_s"] = times.max(axis=1)
    scored["measured_s"] = np.where(decode, kept["s_per_output_token"], kept["latency_s"])
    scored["ratio"] = scored["measured_s"] / scored["bound_s"]
    counted = {str(reason): int(np.sum(reasons == reason)) for reason in np.unique(reasons) if reason}
    return scored, counted


def _left_out(model_name, phase, weight_dtype, suspect, speculative, chip_name):
    """Why a row cannot be scored by one pass through the weights, or ''."""
    if suspect:
        return f"suspect: {suspect}"
    if model(model_name).experts is not None:
        return "mixture of experts: a token fetches some of the weights (chapter 03)"
    if speculative == 1:
        return "speculative decoding: several tokens a pass"
    if phase not in ("decode", "prefill"):
        return "prefill and decode in one time"
    if not chip_name:
        return "chip not in the catalog"
    if phase == "prefill" and not {"fp16", "bf16"} & set(chip(chip_name).peaks):
        return "prefill on a chip without a published 16-bit peak"
    return ""


def _times_s(model_name, phase, tokens, weight_dtype, chip_name):
    """(arithmetic, memory) seconds of a step; narrow weights, as their files store them, multiply in 16 bits.

    A bound counts no more than must be done: no input embedding, which is looked up, and in a
    prefill no output head, which only the last token needs. It takes the fastest 16-bit rate that
    the chip has; on GeForce boards that is with 16-bit sums, which llama.cpp uses
    (llamacpp-pr3370). Where no 16-bit peak is published, a decode step is bound by memory alone.
    """
    shape, device = model(model_name), chip(chip_name)
    params = shape.block_params + (shape.head_params if phase == "decode" else 0)
    step = ops.weights_pass(params, tokens, weight_bytes=bytes_per_value(formats.stored(weight_dtype)))
    if not {"fp16", "bf16"} & set(device.peaks):
        return 0.0, step.bytes / device.memory_bytes_per_s
    format = "fp16_acc16" if "fp16_acc16" in device.peaks else width16(device)
    return ops.times_s(step, device, format=format)


def width16(device):
    """The 16-bit format that a chip multiplies in: bf16, or fp16 on chips before it."""
    return "bf16" if "bf16" in device.peaks else "fp16"


def estimate_s(scored):
    """Seconds with the two achieved fractions in place of the datasheet's rates."""
    fractions = achieved_fractions()
    return np.maximum(scored["arithmetic_s"] / fractions["matmul"], scored["memory_s"] / fractions["stream"])


def decode_table(scored, *, model_name, output_len, chips):
    """Rows of a table: one model's decode steps on some chips beside their bounds, slowest memory first."""
    mine = (scored["model"] == model_name) & (scored["phase"] == "decode") & np.isin(scored["chip_name"], chips)
    rows = np.flatnonzero(mine & (scored["output_len"] == output_len))
    speed = [chip(name).memory_bytes_per_s for name in scored["chip_name"][rows]]
    return [
        {
            "chip": scored["chip_name"][i],
            "memory": si(chip(scored["chip_name"][i]).memory_bytes_per_s, "B/s"),
            "weights": f"{8 * bytes_per_value(formats.stored(scored['weight_dtype'][i])):.2g} bits",
            "bound": si(scored["bound_s"][i], "s"),
            "took": si(scored["measured_s"][i], "s"),
            "times": plain(scored["ratio"][i]),
            "more": si(scored["measured_s"][i] - scored["bound_s"][i], "s", 2),
        }
        for i in rows[np.argsort(speed, kind="stable")]
    ]


def error_table(scored):
    """Rows of a table: errors of the bound and of the estimate, for each held-out source and phase."""
    bounds, estimates = errors(scored, scored["bound_s"]), errors(scored, estimate_s(scored))
    return [
        {
            "held-out source": f"{corpus.called(group[0])}, {group[1]}",
            "rows": estimate["rows"],
            "error, datasheet": f"{bounds[group]['mean_abs_error']:.0%}",
            "error, achieved": f"{estimate['mean_abs_error']:.0%}",
            "worst row, measured / predicted": plain(1 / (1 + estimate["worst_error"])),
        }
        for group, estimate in estimates.items()
    ]


def errors(scored, predicted_s):
    """Rows, mean absolute and worst error of a prediction, for each (source, phase)."""
    error = predicted_s / scored["measured_s"] - 1
    groups = sorted(set(zip(scored["source_id"].tolist(), scored["phase"].tolist(), strict=True)))
    return {
        group: {
            "rows": int(rows.sum()),
            "mean_abs_error": float(np.abs(error[rows]).mean()),
            "worst_error": float(error[rows][np.abs(error[rows]).argmax()]),
        }
        for group in groups
        for rows in [(scored["source_id"] == group[0]) & (scored["phase"] == group[1])]
    }


def achieved():
    """What kernels reach of the datasheet: one element a measurement in every column.

    `what` is "matmul, best shape" (of a sweep), "matmul, sustained" (the largest cube of each chip and
    format) or "stream" (each source's best kernel that reads memory).
    """
    rows = corpus.table("kernels")
    known, source = rows["chip_name"] != "", rows["source_id"]
    cube = (rows["kernel"] == "matmul") & (rows["m"] == rows["n"]) & (rows["n"] == rows["k"])
    reads = np.char.startswith(rows["kernel"], "stream ") & (rows["kernel"] != "stream init (store)")
    chosen = [
        ("matmul, best shape", i)
        for i in np.flatnonzero(known & np.isin(source, corpus.showing("kernels", "best of a sweep")))
    ]
    sustained = known & cube & np.isin(source, corpus.showing("kernels", "sustained products"))
    chosen += [("matmul, sustained", i) for i in _largest(rows, sustained, "n")]
    for name in corpus.showing("kernels", "streams"):
        chosen += [("stream", i) for i in _largest(rows, known & reads & (source == name), "bytes_per_s")]
    index = np.array([i for _, i in chosen])
    return {
        "what": np.array([what for what, _ in chosen]),
        "chip_name": rows["chip_name"][index],
        "format": rows["dtype"][index],
        "source_id": source[index],
        "fraction": np.array([_fraction(rows, what, i) for what, i in chosen]),
    }


def _fraction(rows, what, i):
    device = chip(rows["chip_name"][i])
    if what == "stream":
        return rows["bytes_per_s"][i] / device.memory_bytes_per_s
    return rows["flop_per_s"][i] / device.peak_flop_per_s(rows["dtype"][i])


def _largest(rows, mask, column):
    """Index of the row with the largest value of a column, for each chip and format in a mask."""
    index = np.flatnonzero(mask)
    groups = np.char.add(rows["chip_name"][index], rows["dtype"][index])
    return [index[groups == g][rows[column][index[groups == g]].argmax()] for g in np.unique(groups)]


def achieved_fractions():
    """Medians over measurements of what kernels reach: {"matmul": ..., "stream": ...}.

    The two efficiencies of chapter 01, fitted on mamf, azure_guide and gpubenches alone.
    """
    table = achieved()
    matmul = np.char.startswith(table["what"], "matmul")
    return {
        "matmul": float(np.median(table["fraction"][matmul])),
        "stream": float(np.median(table["fraction"][~matmul])),
    }


def little_errors(chip_names):
    """Mean absolute error of eq:latency-roof over the occupancy sweeps of some chips."""
    found = []
    for name in chip_names:
        device, sweep = chip(name), occupancy_sweep(name)
        predicted = roofline.latency_limited_bytes_per_s(
            8 * sweep["threads"], bytes_per_s=device.memory_bytes_per_s, latency_s=device.level("HBM").latency_s
        )
        found.append(np.abs(predicted / sweep["bytes_per_s"] - 1))
    return float(np.concatenate(found).mean())


def matmul_sweep(chip_name, *, k, n):
    """Measured times of (m, k) @ (k, n) in 16 bits on a chip: columns m, time_s; may be empty."""
    rows = corpus.table("kernels")
    name = find_chip(chip_name)
    mine = (
        (rows["chip_name"] == name)
        & (rows["k"] == k)
        & (rows["n"] == n)
        & np.char.startswith(rows["kernel"], "matmul (")
        & np.isin(rows["dtype"], ("fp16", "bf16"))
    )
    order = np.argsort(rows["m"][mine])
    return {"m": rows["m"][mine][order], "time_s": rows["time_s"][mine][order]}


def occupancy_sweep(chip_name):
    """Measured read bandwidth against loads in flight: columns threads, bytes_per_s (gpubenches).

    Each thread of that kernel has one 8-byte load on its way at a time.
    """
    rows = corpus.table("kernels")
    mine = np.flatnonzero(
        (rows["chip_name"] == find_chip(chip_name))
        & np.isin(rows["source_id"], corpus.showing("kernels", "occupancy"))
        & (rows["kernel"] == "stream read")
    )
    threads = rows["threads"][mine]
    order = np.argsort(threads)
    return {"threads": threads[order], "bytes_per_s": rows["bytes_per_s"][mine][order]}
