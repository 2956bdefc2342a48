"""Rows of the kernel corpus, and of a reader's own file, as calls of `kernels`."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import BYTES_PER_VALUE, bytes_per_value, chip, chips
from bottlenecks.facts.doors import nearest, one_of
from bottlenecks.laws import roofline, shares
from bottlenecks.models import kernels

KINDS = {  # start of the kernel's name -> what its spread is called
    "matmul": "matmul",
    "grouped matmul": "matmul",
    "attention": "attention",
    "elementwise": "elementwise",
    "stream": "elementwise",
    "memcpy": "elementwise",
    "p2p": "elementwise",
}
ELEMENTWISE = {  # word in the kernel's name -> kind of elementwise kernel, values read and written
    "silu": ("activation", 1.5),
    "gelu": ("activation", 2),
    "swiglu": ("activation", 1.5),
    "norm": ("norm", 2),
    "rotary": ("rotary", 2),
    "rope": ("rotary", 2),
    "softmax": ("norm", 2),
    "add": ("add", 3),
    "copy": ("add", 2),
}
IMPLEMENTATIONS = {  # word in the implementation's name -> how the kernel works
    "flashattention-3": "fused, overlapped",
    "flash attention 3": "fused, overlapped",
    "fa3": "fused, overlapped",
    "flashattention-4": "fused, overlapped",
    "fa4": "fused, overlapped",
    "cudnn": "fused, overlapped",
    "flashmla": "fused, overlapped",
    "flashinfer": "fused",
    "flashattention-2": "fused",
    "flash attention 2": "fused",
    "fa2": "fused",
    "aiter": "fused",
    "flashattention triton": "fused, first",
    "triton": "fused, first",
    "xformers": "fused, first",
    "flashattention-1": "fused, first",
    "flash attention 1": "fused, first",
    "standard": "unfused",
    "pytorch": "unfused",
    "eager": "unfused",
    "naive": "unfused",
}
LIBRARIES = ("cublas", "pytorch", "torch", "deepgemm", "trt-llm", "hipblas", "rocblas")
LATENT_ROPE = 64  # values of a latent key that are its position (deepseek2024v3)
HIDDEN = 2048  # width of attention where the heads are left out, as in FlashAttention's papers
SIZES = ("m", "n", "k", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "bytes")
MEASURED = ("time_s", "flop_per_s", "bytes_per_s")


class Case(NamedTuple):
    """Rows that one call predicts: which, on what, in what format; time(device) -> seconds."""

    rows: np.ndarray
    chip: object
    format: str
    kind: str
    time: Callable
    assumed: str


def cases(columns):
    """(cases, reasons): every row is in one case, or has a reason why it is in none."""
    reasons = _impossible(columns)
    possible = reasons == ""
    texts = [columns[n].tolist() for n in ("chip_name", "kernel", "dtype", "implementation", "chip")]
    blanks = [np.isnan(columns[n]).tolist() for n in SIZES]
    causal = np.nan_to_num(columns["causal"], nan=-1).tolist()
    groups = {}
    for i, key in enumerate(zip(*texts, causal, *blanks, strict=True)):
        if possible[i]:
            groups.setdefault(key, []).append(i)
    found = []
    for (name, kernel, dtype, implementation, printed, *_), rows in groups.items():
        rows = np.array(rows)
        try:
            found += _cases(columns, rows, name, kernel.casefold(), dtype, implementation, printed)
        except ValueError as problem:
            reasons[rows] = str(problem)
    taken = np.zeros(reasons.size, dtype=bool)
    for case in found:
        taken[case.rows] = True
    reasons[~taken & (reasons == "")] = "the row leaves a size of the kernel open"
    return found, reasons.astype(str)


def _impossible(columns):
    """Why a row can be no kernel: '' or words. A blank (NaN) is none of it."""
    reasons = np.full(columns["kernel"].size, "", dtype=object)
    for name in (*SIZES, *MEASURED):
        for i in np.flatnonzero((columns[name] <= 0) | np.isinf(columns[name])):
            reasons[i] = f"{name} must be above zero and finite, got {columns[name][i]:g}"
    for i in np.flatnonzero(~np.isin(columns["causal"], (0, 1)) & ~np.isnan(columns["causal"])):
        reasons[i] = f"causal must be 1 or 0, got {columns['causal'][i]:g}"
    return reasons


def _cases(columns, rows, name, kernel, dtype, implementation, printed):
    """The cases of rows alike in words, mask and blanks; ValueError: why there are none."""
    if not name:
        raise ValueError(_no_chip(printed))
    device = chip(name)
    kind = next((k for start, k in KINDS.items() if kernel.startswith(start)), None)
    if kind is None:
        raise ValueError(f"no model of the kernel {kernel!r}" if kernel else "no kernel is named")
    mine = {c: columns[c][rows] for c in columns}
    if kind == "matmul":
        return _matmul(mine, rows, device, kernel, dtype)
    if kind == "attention":
        return _attention(mine, rows, device, kernel, dtype, implementation)
    return _traffic(mine, rows, device, kernel, dtype)


def _no_chip(printed):
    if not printed:
        return "no chip is named"
    if printed in corpus.UNRESOLVED:
        return f"chip {printed!r}: {corpus.UNRESOLVED[printed]}"
    near = nearest(printed, chips())
    return f"chip {printed!r} is not in the catalog" + (f"; did you mean {near!r}?" if near else "")


def _matmul(mine, rows, device, kernel, dtype):
    format, assumed = _format(dtype, device)
    m, k, n, groups = (mine[c] for c in ("m", "k", "n", "batch"))
    if np.isnan(m + k + n).any():  # then of all: blanks are alike
        return []
    grouped = kernel.startswith("grouped")
    several = grouped and not np.isnan(groups).any()
    best = "best shape" in kernel
    alone = kernel.strip() == "matmul"  # and not named as a part of a layer
    note = (
        assumed + ["the fastest of many calls"] * best + ["groups of equal size" if several else "one group"] * grouped
    )
    note += ["operands stay in the last cache where they fit"] * alone

    def time(on):
        seconds = kernels.matmul_s(m, k, n, device=on, groups=groups if several else 1, warm=alone)
        return seconds * (on.constants["best_of_sweep"] if best else 1.0)

    return [Case(rows, device, format, "matmul", time, "; ".join(note))]


def _attention(mine, rows, device, kernel, dtype, implementation):
    format, assumed = _format(dtype, device)
    lowered = implementation.casefold()
    how = next((how for word, how in IMPLEMENTATIONS.items() if word in lowered), None)
    if how is None:
        default = kernels.device(device, format)
        how = kernels.default_implementation(default)
        assumed = [*assumed, f"{how} attention"]
    backward = "bwd" in kernel or "backward" in kernel or "pass not stated" in kernel
    if "pass not stated" in kernel:
        assumed = [*assumed, "forward and backward pass"]
    only = backward and "fwd" not in kernel and "forward" not in kernel and "pass not" not in kernel
    latent = "mla" in kernel
    values = np.where(np.isfinite(mine["head_dim"]), mine["head_dim"], 128)
    heads = np.where(np.isfinite(mine["heads"]), mine["heads"], HIDDEN / values)
    queries = mine["seq_len"]
    keys = np.where(np.isfinite(mine["kv_len"]), mine["kv_len"], queries)
    shape = {
        "batch": np.where(np.isfinite(mine["batch"]), mine["batch"], 1),
        "heads": heads,
        "kv_heads": np.where(np.isfinite(mine["kv_heads"]), mine["kv_heads"], heads),
        "head_values": values,
        "v_head_values": values - LATENT_ROPE * latent,
        "shared_values": latent,
        "causal": mine["causal"] == 1,
        "implementation": how,
    }
    for column, choice in (
        ("causal", "no mask"),
        ("batch", "one sequence"),
        ("heads", f"heads of a width of {HIDDEN}"),
        ("head_dim", "heads of 128"),
    ):
        assumed = assumed + [choice] * bool(np.isnan(mine[column]).any())

    def time(on):
        both = kernels.attention_s(queries, keys, **shape, device=on, backward=backward)
        return both - kernels.attention_s(queries, keys, **shape, device=on) if only else both

    if np.isnan(queries).any():  # then of all: blanks are alike
        return []
    return [Case(rows, device, format, "attention", time, "; ".join(assumed))]


def _traffic(mine, rows, device, kernel, dtype):
    """Streams, copies and elementwise kernels."""
    format = next(iter(device.peaks), None)
    if format is None:
        raise ValueError(f"{device.name} has no published peak")
    if kernel.startswith(("memcpy", "p2p")):
        return _copies(mine, rows, device, kernel, format)
    if "pointer" in kernel or "shared-cache" in kernel:
        raise ValueError("a property of a cache, not a kernel")
    word, (kind, touched) = next(
        ((w, found) for w, found in ELEMENTWISE.items() if w in kernel and "stream" not in kernel),
        ("", ("add", np.nan)),
    )
    if kernel.startswith("elementwise") and not word:
        raise ValueError(f"no model of the kernel {kernel!r}")
    value_bytes = BYTES_PER_VALUE[next(iter(_formats(dtype)), "bf16")]
    others = np.nan_to_num(1 + mine["kv_heads"] / mine["heads"], nan=2.0)
    touched = touched * (others if kind == "rotary" else 1.0)
    moved = np.where(np.isfinite(mine["bytes"]), mine["bytes"], touched * value_bytes * mine["m"] * mine["n"])
    note = "the cache holds what was just written" if kernel.startswith("elementwise") else ""
    if kernel.startswith("stream"):  # long ones, unless a size is given
        note = "16 GiB" * bool(np.isnan(moved).any())
        moved = np.where(np.isfinite(moved), moved, 2.0**34)
        starved = np.array(["threads" in n for n in mine["notes"].tolist()])
        moved = np.where(starved & ~_most_threads(mine), np.nan, moved)
    known = np.isfinite(moved)

    def time(on):
        return kernels.elementwise_s(moved[known], device=on, kind=kind)

    return [Case(rows[known], device, format, "elementwise", time, note)]


def _most_threads(mine):
    """Which rows of an occupancy sweep are its last: the memory is full, latency hidden."""
    threads = np.array([float((re.findall(r"(\d+) threads", n) or ["nan"])[0]) for n in mine["notes"].tolist()])
    return ~(threads < np.nanmax(threads)) if np.isfinite(threads).any() else np.isnan(threads)


def _copies(mine, rows, device, kernel, format):
    moved = np.where(np.isfinite(mine["bytes"]), mine["bytes"], 2.0**30)
    both = 2 if "bidirectional" in kernel else 1
    local = "local" in kernel  # within one memory; the tool counts what is read and what is written
    to_host = "host" in kernel or "offload" in kernel
    way = "host_bytes_per_s" if to_host else "link_bytes_per_s"
    if not local and np.isnan(getattr(kernels.device(device, format), way)).any():
        other = "no host link" if to_host else "no link to another chip"
        raise ValueError(f"{device.name} has {other} in the catalog")

    def time(on):
        if local:
            return kernels.elementwise_s(moved, device=on)
        return on.light_s + moved / (both * getattr(on, way))

    note = "1 GiB" * bool(np.isnan(mine["bytes"]).any())
    return [Case(rows, device, format, "elementwise", time, note)]


def _formats(dtype):
    """The formats that a text names, in its order."""
    text = dtype.casefold().replace("bfloat", "bf").replace("float", "fp").replace("e4m3", "fp8")
    longest_first = sorted(BYTES_PER_VALUE, key=len, reverse=True)
    return list(dict.fromkeys(re.findall("|".join(longest_first), text)))


def _format(dtype, device):
    """(format, what was assumed) from the spelling of a row; of several the first that the chip has."""
    named = _formats(dtype)
    for format in named:
        if format in device.peaks:
            return format, []
        twin = {"fp16": "bf16", "bf16": "fp16", "int8": "fp8"}.get(format)
        if twin in device.peaks:
            return twin, [f"{format} as fast as {twin}"]
    if named:
        raise ValueError(f"{device.name} has no {named[0]} peak; it has {', '.join(device.peaks)}")
    if dtype:
        one_of("dtype", dtype, BYTES_PER_VALUE)
    format = "bf16" if "bf16" in device.peaks else "fp16"
    if format not in device.peaks:
        raise ValueError(f"{device.name} has no 16-bit peak")
    return format, [f"{format} operands"]


# ---- predictions


def predict(columns, *, owners=True):
    """Seconds of every row, with the interval, the owner and what was assumed: name -> array.

    `seconds`, `low_s`, `high_s` are NaN where `reason` says why.
    """
    size = columns["kernel"].size
    seconds, low, high = (np.full(size, np.nan) for _ in range(3))
    bound, assumed = (np.full(size, "", dtype=object) for _ in range(2))
    found, reasons = cases(columns)
    for case in found:
        if not case.rows.size:
            continue
        on = kernels.device(case.chip, case.format)
        seconds[case.rows] = case.time(on)
        spread = kernels.spread(case.kind, case.chip.family)
        low[case.rows], high[case.rows] = (seconds[case.rows] * factor for factor in spread)
        if owners:
            owned = shares.shares(case.time, on, kernels.RESOURCES)
            bound[case.rows] = shares.largest(owned)
        assumed[case.rows] = "; ".join(filter(None, (case.assumed, *on.assumed)))
    return {
        "seconds": seconds,
        "low_s": low,
        "high_s": high,
        "bound": bound.astype(str),
        "assumed": assumed.astype(str),
        "reason": reasons,
    }


def headline(columns, seconds):
    """(measured, predicted, unit) in the row's own unit: its time, else its rate."""
    per_time, flop_rate, byte_rate = (columns[c] for c in ("time_s", "flop_per_s", "bytes_per_s"))
    work_flop, work_bytes = _flop(columns), _moved(columns)
    choices = (np.isfinite(per_time), np.isfinite(flop_rate), np.isfinite(byte_rate))
    measured = np.select(choices, (per_time * 1e6, flop_rate / 1e12, byte_rate / 1e9), np.nan)
    predicted = np.select(
        choices, (seconds * 1e6, work_flop / seconds / 1e12, work_bytes / seconds / 1e9), seconds * 1e6
    )
    return measured, predicted, np.select(choices, ("us", "TFLOP/s", "GB/s"), "us")


def _flop(columns):
    """FLOP by the convention of the sources: 2 m n k; 4 a pair and head value, causal half, 3.5 with backward."""
    c = columns
    names = np.char.lower(c["kernel"])
    grouped = np.char.startswith(names, "grouped") & np.isfinite(c["batch"])
    groups = np.where(grouped, c["batch"], 1)
    products = 2 * c["m"] * c["n"] * c["k"] * groups
    values = np.where(np.isfinite(c["head_dim"]), c["head_dim"], 128)
    heads = np.where(np.isfinite(c["heads"]), c["heads"], HIDDEN / values)
    keys = np.where(np.isfinite(c["kv_len"]), c["kv_len"], c["seq_len"])
    batch = np.where(np.isfinite(c["batch"]), c["batch"], 1)
    pairs = c["seq_len"] * keys * np.where((c["causal"] == 1) & (c["seq_len"] == keys), 0.5, 1.0)
    both = _any(names, ("fwd+bwd", "pass not stated", "forward and backward"))
    alone = _any(names, ("bwd", "backward")) & ~both
    passes = np.where(both, 3.5, np.where(alone, 2.5, 1.0))
    attention = 4 * pairs * values * heads * batch * passes
    return np.where(np.char.startswith(names, "attention"), attention, products)


def _moved(columns):
    size = columns["bytes"]
    copies = _any(np.char.lower(columns["kernel"]), ("memcpy", "p2p"))
    return np.where(np.isfinite(size), size, np.where(copies, 2.0**30, 2.0**34))


def _any(texts, words):
    return np.any([np.char.find(texts, word) >= 0 for word in words], axis=0)


def groups(columns):
    """What a row is scored under; products apart by whether a tuned library did them."""
    names = np.char.lower(columns["kernel"]).tolist()
    found = [next((k for s, k in KINDS.items() if n.startswith(s)), "other") for n in names]
    tuned = _any(np.char.lower(columns["implementation"]), LIBRARIES)
    return np.where((np.array(found) == "matmul") & ~tuned, "matmul, other kernels", found)


def roofline_error(sources):
    """Mean absolute error of the datasheet's roofline on the products of some sources."""
    rows = corpus.table("kernels")
    rows = corpus.where(rows, np.isin(rows["source_id"], sources))
    errors = [np.array([])]
    for case in cases(rows)[0]:
        if case.kind == "matmul":
            m, k, n = (rows[c][case.rows] for c in "mkn")
            bound_s = roofline.time_s(
                roofline.matmul_flop(m, k, n),
                roofline.matmul_bytes(m, k, n, value_bytes=bytes_per_value(case.format)),
                peak_flop_per_s=case.chip.peak_flop_per_s(case.format),
                bytes_per_s=case.chip.memory_bytes_per_s,
            )
            errors.append(np.abs(bound_s / rows["time_s"][case.rows] - 1))
    return float(np.nanmean(np.concatenate(errors)))


def cubes(source, device):
    """Side -> measured FLOP/s of the products of square matrices of a source on a chip."""
    rows = corpus.table("kernels")
    mine = (rows["source_id"] == source) & (rows["chip_name"] == device.name)
    mine &= (rows["m"] == rows["n"]) & (rows["n"] == rows["k"])
    return dict(zip(rows["m"][mine].tolist(), rows["flop_per_s"][mine].tolist(), strict=True))
