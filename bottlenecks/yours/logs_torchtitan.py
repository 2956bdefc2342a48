"""Logs of torchtitan: one row of training, the median of its steps.

    [rank0]:[titan] 2025-08-22 07:52:57,498 - root - INFO - step: 20  loss:  8.38  memory: 49.59GiB(52.19%)
    tps: 7,080  tflops: 410.23  mfu: 41.46%

Older releases print wps and no tflops. The head tells the chip, the model, the mesh and the batch.
"""

import re
from statistics import median

from bottlenecks.facts import formats
from bottlenecks.facts.architectures import find_model
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.yours.logs import Found, after_warm_up, figure, model_of_size, month, written

NAME = "torchtitan"
TABLE = "training"
STEP = re.compile(r"\bstep:\s*(\d+)\s.*\b(?:tps|wps):\s*([\d,.]+)")
TFLOP = re.compile(r"\btflops:\s*([\d,.]+)")
MFU = re.compile(r"\bmfu:\s*([\d.]+)\s*%")
MEMORY = re.compile(r"memory:\s*([\d.]+)\s*GiB")
DEVICE = re.compile(r"\b(?:CUDA|GPU|XPU|HIP) capacity: (.+?)(?: \(\d+\))? with [\d.]+\s*GiB")
MODEL = re.compile(r"\bModel (\S.*?) (?:\[\d+m)?size: ([\d,]+) total parameters")
MESH = re.compile(r"device mesh with parallelism: ((?:\w+=\d+(?:, )?)+)")
OLD_MESH = re.compile(r"device mesh with (\[[^\]]*\]), (\[[^\]]*\])")
BATCH = re.compile(r"local batch size (\d+), global batch size (\d+),.*sequence length (\d+)")
AGAIN = re.compile(r"Applied (\w+) activation checkpointing")
SHARDED = re.compile(r"Applied (FSDP|HSDP|DDP|fully_shard)")
NARROW = re.compile(r"(Float8|MXFP8|NVFP4)", re.I)
PEAK = re.compile(r"Peak FLOPS used for computing MFU: ([\d.e+]+)")
POLICIES = {"full": "full", "fullac": "full", "selective": "products, selective", "selectiveac": "products, selective"}
DATA = ("dp", "dp_replicate", "dp_shard", "dp_shard_mod_ep", "dp_shard_in_ep")
SAME = 0.02  # share in which two peaks are one


def recognises(log):
    """Is a log one of these?"""
    return any(STEP.search(line) for line in log.lines)


def read(log, given):
    """The row of a log, as `Found`."""
    steps, unread = {}, []
    for number, line in enumerate(log.lines, 1):
        found = STEP.search(line)
        if found and figure(found[2]):
            steps.setdefault(int(found[1]), []).append(line)  # one of each rank that prints
        elif found or re.search(r"\bstep:\s*\d+\s+loss:", line):
            unread.append((number, line))
    if not steps:
        return Found([], [], [], unread)
    used, words = after_warm_up(steps, "steps")
    lines = [line for same in used for line in same]
    row, notes = _head(log, given)
    rates = [figure(STEP.search(line)[2]) for line in lines]
    memory = [float(found[1]) for line in lines if (found := MEMORY.search(line))]
    row |= {
        "tokens_per_s_per_chip": written(median(rates)),
        "tflops_per_chip": _median(TFLOP, lines),
        "flops_kind": "model",
        "mem_gib_per_chip": written(max(memory, default=None)),
        "memory_counted_by": "allocator" if memory else "",
        "software": "torchtitan",
        "software_date": month(log.text),
    }
    share = _median(MFU, lines)
    if share and (peak := _other_peak(log.text, row["chip"])):
        notes.append(f"mfu is left out: it is of {peak}")
    elif share:
        row["mfu"] = written(float(share) / 100)
    return Found([row], [words, *notes], [], unread)


def _median(pattern, lines):
    found = [figure(each[1]) for line in lines if (each := pattern.search(line))]
    return written(median(found)) if found else ""


def _head(log, given):
    """(columns that the lines before the first step say, what to know of them)."""
    text = log.text
    device, model, batch = (pattern.search(text) for pattern in (DEVICE, MODEL, BATCH))
    mesh = _mesh(text)
    row = {
        "chip": device[1].strip() if device else "",
        "model": "",
        "params_b": "",
        "compute_dtype": _format(text),
        "recompute": "",
        "zero": _sharded(text),
    }
    if mesh:
        row |= {c: written(mesh.get(c, 1)) for c in ("tp", "pp", "cp")} | {"dp": written(mesh["dp"])}
        row["n_chips"] = written(mesh["dp"] * mesh.get("tp", 1) * mesh.get("pp", 1) * mesh.get("cp", 1))
        row["ep"] = written(mesh["ep"]) if mesh.get("ep", 1) > 1 else ""
        if "Applied HSDP" in text and mesh.get("dp_shard"):
            row["zero_ranks"] = written(mesh["dp_shard"])
    if batch:
        row |= {"global_batch_seqs": batch[2], "seq_len": batch[3]}
        row["micro_batch"] = batch[1] if not mesh or mesh.get("pp", 1) == 1 else ""  # stages cut it further
    if again := AGAIN.search(text):
        row["recompute"] = POLICIES.get(again[1].casefold(), "")
    elif model:
        row["recompute"] = "none"
    if not model:
        return row, []
    params = float(model[2].replace(",", ""))
    called = model[1].rpartition("/")[2].replace("_", "-")
    row |= {"model": find_model(called) or model_of_size(params, called) or called, "params_b": written(params / 1e9)}
    return row, [f"{model[1]} of {params / 1e9:.3g} B parameters is taken for {row['model']}"]


def _mesh(text):
    """{dimension: ranks} of the device mesh, with `dp` for all data-parallel ones; None where none is told."""
    if found := MESH.search(text):
        mesh = {name: int(size) for name, size in re.findall(r"(\w+)=(\d+)", found[1])}
    elif found := OLD_MESH.search(text):
        names, sizes = re.findall(r"\w+", found[1]), re.findall(r"\d+", found[2])
        mesh = dict(zip(names, map(int, sizes), strict=False))
    else:
        return None
    ranks = 1
    for name in DATA:
        ranks *= mesh.get(name, 1)
    return mesh | {"dp": ranks}


def _format(text):
    narrow = next((found[1] for line in text.splitlines() if (found := NARROW.search(line)) and "INFO" in line), "")
    return formats.narrowest(narrow) or "bf16"


def _sharded(text):
    """Stage of ZeRO: 3 of FSDP, 0 of copies, '' where it is not told."""
    found = SHARDED.search(text)
    return "" if not found else "0" if found[1] == "DDP" else "3"


def _other_peak(text, named):
    """The peak that MFU is counted by, in words, where it is not the chip's; '' where it is."""
    found = PEAK.search(text)
    known = find_chip(named) if named else None
    ours = chip(known).peaks.get("bf16") if known else None
    if not found or not ours or abs(float(found[1]) / ours.flop_per_s - 1) < SAME:
        return ""
    return f"{float(found[1]) / 1e12:.0f} TFLOP/s, not the {ours.flop_per_s / 1e12:.0f} of the {known}"
