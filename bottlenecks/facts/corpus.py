"""Measured tables as columns: what others measured, where, and with what.

A table is a dictionary of numpy arrays, one for each column of the file, in base SI; a blank number
is NaN and a blank text ''. `columns(name)` explains them. No row is ever dropped; instead four
columns are added (`ADDED`), and `where` selects.
"""

import csv
import re
from functools import cache
from pathlib import Path

import numpy as np

from bottlenecks import data
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.doors import one_of

TABLES = {  # name -> file
    "kernels": "kernels_measured",
    "inference": "inference_measured",
    "training": "training_measured",
    "mlperf_training": "mlperf_training",
    "nanogpt_speedrun": "nanogpt_speedrun",
    "korthikanti2022": "korthikanti2022_table5_fig1_fig7",
    "collectives": "collectives_measured",
    "nccl_tuning_constants": "nccl_tuning_constants",
    "input_pipeline": "input_pipeline_measured",
    "stragglers": "stragglers",
    "speculative_speedup": "speculative_speedup",
}
UNITS = {  # of a file -> (unit here, times what); any other unit stays as it is
    "us": ("s", 1e-6),
    "ms": ("s", 1e-3),
    "min": ("s", 60.0),
    "GB/s": ("B/s", 1e9),
    "Gbit/s": ("B/s", 0.125e9),
    "GiB": ("B", 2.0**30),
    "TFLOP/s": ("FLOP/s", 1e12),
    "1e9": ("1", 1e9),
    "%": ("1", 0.01),
}
ADDED = {  # name -> (unit, meaning)
    "chip_name": ("text", "the catalog's name of the chip, '' where it is none of the catalog"),
    "role": ("text", "fit or held-out, by source: efficiencies are fitted on fit alone"),
    "suspect": ("text", "why not to lean on the row, '' if nothing speaks against it"),
    "duplicate_of": ("1", "row of the whole table with an earlier print of the same recipe, or -1"),
}

# ---- facts about sources

# The column that names the chip, where it is not `chip`; MLPerf's own words tell boards apart.
SPELLED = {"input_pipeline": "accelerator", "mlperf_training": "accelerator_as_printed"}

# Where a source's own evidence says more than its label.
LABELS = {
    # Cores at 1.38 GHz are the PCIe card's.
    ("gpubenches", "V100"): "V100 PCIe 16GB",
    # Reads of 1.77 TB/s and cores at 1.41 GHz: either board; SXM by assumption.
    ("gpubenches", "A100-80GB"): "A100 SXM 80GB",
    # Reads level off at 3,888 GB/s: 81 % of an H200, 97 % of a GH200 96GB.
    ("gpubenches", "H200"): "",
    # The source does not say which board; SXM by assumption.
    ("vllm_fp8kv", "H100-80GB"): "H100 SXM5",
    # A program runs on one of the card's two GPUs.
    ("babelstream", "Tesla K80"): "K80 (one GPU)",
    # Reads of 2.8 TB/s: more than the PCIe board's memory sends.
    ("flashmla_h100", "H100"): "H100 SXM5",
    # The other rows of this source say SXM.
    ("gptfast", "A100-80GB (330W cap)"): "A100 SXM 80GB",
}
UNRESOLVED = {  # spellings that are left without a chip
    "H100": "SXM or PCIe is not said",
    "V100": "which of four boards is not said",
    "A100": "memory size and board are not said",
    "H200": "the measured bandwidth fits another board better (LABELS)",
    "H20": "two boards share the name: 96 GB at 4.0 TB/s, 141 GB at 4.8 TB/s",
    "NVIDIA H20": "two boards share the name: 96 GB at 4.0 TB/s, 141 GB at 4.8 TB/s",
    "NVIDIA H100-SXM5-96GB": "which memory the board has is not said",
    "NVIDIA H200-NVL-141GB": "a PCIe card at lower clocks, not in the catalog",
    "N/A": "a submission on processors alone",
    "DEVICE EMULATION MODE": "CUDA emulated on a host processor",
    "h100 (emulated)": "the benchmark sleeps instead of computing",
    "a100 (emulated)": "the benchmark sleeps instead of computing",
}
MARKS = {  # in a row's notes -> why it is suspect
    "SUSPECT": "flagged by the collector: ten times slower than sister rows",
    "looks unhealthy": "unhealthy: far below the same copy on sister machines",
    "not yet tuned": "untuned: equal settings differ by up to 1.7 times between days",
    "profile is noisy": "noisy: a profile below 32 KiB",
    "FIT, not one point": "a line fitted by the source, not a point",
    "matches 96 ranks not 64": "log and text disagree on the number of chips",
    "does not equal the GPU count": "the printed layout does not multiply to the chips",
    "does not multiply": "the printed layout does not multiply to the chips",
    "trust the iteration time": "the printed rate contradicts the step time",
    "disagreement, rate left blank": "two versions of the source disagree",
    "prints 1.34%": "two versions of the source disagree",
    "bounded by its launch": "host-bound: kernels take the same time over a 16-fold range of work",
    "clocks past its boost": "above the datasheet's rate: the card clocks past its boost",
}
RECALLED = "recalled, not read: confirm before use"
SLOW_NETWORK = "a slow network between two nodes, not stated which"
SHORT_STEPS = "median_step_s: all steps make less than half of the time to train"

# Pages that a vendor prints again: the start of their sources' names, and what makes a recipe.
REPRINTS = {
    "training": (
        ("mbridge_", "nemo_24.07"),
        (
            "chip",
            "model",
            "n_chips",
            "global_batch_seqs",
            "micro_batch",
            "seq_len",
            "compute_dtype",
            "tp",
            "pp",
            "vpp",
            "cp",
            "ep",
            "dp",
            "zero_fsdp",
        ),
    ),
    "inference": (
        ("trtllm_",),
        (
            "chip",
            "model",
            "n_chips",
            "batch",
            "input_len",
            "output_len",
            "weight_dtype",
            "act_dtype",
            "kv_dtype",
            "tp",
            "pp",
            "ep",
            "phase",
        ),
    ),
    "mlperf_training": (  # a result carried over: every run of it has the same time
        ("mlperf_training_",),
        ("chip", "benchmark", "n_chips", "global_batch", "time_mean_s", "time_min_s", "time_max_s"),
    ),
}

# What may be above a datasheet's rate without being wrong.
CACHED = ("elementwise residual add", "shared-cache read")  # the data fit in the second-level cache

# ---- reading


@cache
def table(name):
    """All rows of a measured table: column -> array, in base SI, with the columns of `ADDED`."""
    one_of("table", name, TABLES)
    rows = _in_si(name, data.columns(TABLES[name]))
    rows["role"] = _by_source(name, rows, "role")
    rows["suspect"] = _suspect(name, rows)
    rows["duplicate_of"] = _duplicate_of(name, rows)
    for values in rows.values():
        values.setflags(write=False)  # every caller gets the same arrays
    return rows


def read(path, name):
    """A reader's own CSV file in the columns of a table: (its text by column, its columns as `table`).

    Columns may be left out (blank) and others added (text only); blank lines are skipped. There is
    no role and no mark.
    """
    one_of("table", name, TABLES)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            found = [(reader.line_num, line) for line in reader if len(line) > 1 or "".join(line).strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} can not be read as a CSV file: {error}") from None
    if not found:
        raise ValueError(f"{path} is empty; its first line must name columns")
    (_, header), *body = found
    header = [column.strip() for column in header]
    twice = [column for column in header if header.count(column) > 1]
    if twice:
        raise ValueError(f"{path}: two columns are called {twice[0]!r}")
    for number, line in body:
        if len(line) != len(header):
            raise ValueError(
                f"{path}, line {number}: must have {len(header)} cells as the first line has, got {len(line)}"
            )
    given = {c: tuple(line[i] for _, line in body) for i, c in enumerate(header)}
    expected = data.columns(TABLES[name])
    if not set(expected) & set(given):
        raise ValueError(f"{path}: no column is one of {', '.join(expected)}; got {', '.join(given)}")
    blank = ("",) * len(body)
    every = {c: tuple(map(str.strip, given.get(c, blank))) for c in expected}
    return given, _in_si(name, every, lambda i: f"{path}, line {body[i][0]}")


def _in_si(name, texts, place=lambda i: f"row {i + 1}"):
    """Columns of text as arrays in base SI, and the catalog's names of the chips."""
    rows = {}
    for column, cells in texts.items():
        about = _about(name)[column]
        if about["unit"] == "text":
            rows[about["name"]] = np.array(cells, dtype=str)
        else:
            rows[about["name"]] = _numbers(column, cells, place) * _scale(about)
    if "unit" in rows:  # one a row
        rows["value"] = rows["value"] * np.array([UNITS.get(u, (u, 1.0))[1] for u in rows["unit"]])
        rows["unit"] = np.array([UNITS.get(u, (u, 1.0))[0] for u in rows["unit"]])
    rows["chip_name"] = _chip_names(rows, SPELLED.get(name, "chip"))
    return rows


def where(columns, mask):
    """The rows of a table that `mask` selects."""
    return {name: values[mask] for name, values in columns.items()}


def columns(name):
    """What the columns of a table mean: name -> (unit, meaning).

    >>> columns("collectives")["time_s"]
    ('s', 'time of one call')
    """
    one_of("table", name, TABLES)
    file = {
        about["name"]: (UNITS.get(about["unit"], (about["unit"], 1.0))[0], about["meaning"])
        for about in _about(name).values()
    }
    return file | ADDED


@cache
def sources(name):
    """The sources of a table: source_id -> its row of data/corpus_sources.csv."""
    return {row["source_id"]: row for row in data.rows("corpus_sources") if row["table"] == name}


@cache
def _about(name):
    """The rows of data/corpus_columns.csv for a table's file; what it says itself goes first."""
    shared, own = (
        {row["column"]: row for row in data.rows("corpus_columns") if row["table"] == of} for of in ("", name)
    )
    return {column: own.get(column) or shared[column] for column in data.columns(TABLES[name])}


def _numbers(column, cells, place):
    try:
        return np.array([cell or "nan" for cell in cells], dtype=float)
    except ValueError:
        wrong = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        raise ValueError(f"{place(wrong)}: {column} must be a number or blank, got {cells[wrong]!r}") from None


def _is_number(text):
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _scale(about):
    return UNITS.get(about["unit"], ("", 1.0))[1]


def _chip_names(rows, column):
    if column not in rows:
        return np.full(rows["source_id"].size, "")
    pairs = list(zip(rows["source_id"].tolist(), rows[column].tolist(), strict=True))
    names = {pair: LABELS.get(pair, find_chip(pair[1]) or "") for pair in set(pairs)}
    return np.array([names[pair] for pair in pairs])


def _by_source(name, rows, fact):
    known = sources(name)
    return np.array([known[source][fact] for source in rows["source_id"].tolist()])


# ---- doubts


def _suspect(name, rows):
    """Why not to lean on each row; the first reason counts."""
    found = np.full(rows["source_id"].size, "", dtype="U80")
    for reason, mask in _doubts(name, rows):
        found[mask & (found == "")] = reason
    return found


def _doubts(name, rows):
    if "notes" in rows:
        notes = {note: {m for m in MARKS if m in note} for note in set(rows["notes"].tolist())}
        for mark in set().union(*notes.values()):
            yield MARKS[mark], np.array([mark in notes[note] for note in rows["notes"].tolist()])
    if "confidence" in rows:
        yield RECALLED, rows["confidence"] == "memory"
    if name == "collectives":
        apart = (rows["source_id"] == "vidur_net") & (rows["n_nodes"] == 2)
        yield SLOW_NETWORK, apart & (rows["chip_name"] == "A100 SXM 80GB")
    if name == "mlperf_training":
        yield SHORT_STEPS, 2 * _steps(rows) * rows["median_step_s"] < rows["time_mean_s"]
    for roof, rate, limit in limits(name, rows):
        yield f"above the {roof}", rate > limit


def _steps(rows):
    """Steps to the last evaluation of an MLPerf run, whose log counts samples, or tokens (GPT-3)."""
    sample = np.where(rows["benchmark"] == "gpt3", rows["seq_len"], 1.0)
    return rows["last_eval_samples_or_tokens"] / sample / rows["global_batch"]


def limits(name, rows):
    """Triples (roof, rate of each row, rate that physics allows it); NaN where one is not known."""
    names = rows["chip_name"]
    memory = _of_chip(names, lambda c: c.memory_bytes_per_s)
    if name == "kernels":
        yield "dense peak", rows["flop_per_s"], _peaks(names, rows["dtype"])
        uncached = ~np.isin(rows["kernel"], CACHED)
        yield "memory bandwidth", np.where(uncached, rows["bytes_per_s"], np.nan), memory
        across = np.char.startswith(rows["kernel"], "memcpy device to device")
        across &= ~_has(rows["kernel"], "bidirectional")
        link = _of_chip(names, lambda c: c.link_bytes_per_s)
        yield "link in one direction", np.where(across, rows["bytes_per_s"], np.nan), link
    if name == "training":
        yield "dense peak", rows["flop_per_s_per_chip"], _peaks(names, rows["compute_dtype"])
    if name == "inference":
        fastest = _of_chip(names, lambda c: max((p.flop_per_s for p in c.peaks.values()), default=None))
        yield "dense peak", _inference_flop_per_s(rows), fastest
        yield "memory bandwidth", _weights_bytes_per_s(rows), memory
        yield "memory bandwidth", rows["hbm_bytes_per_s_achieved"] / rows["n_chips"], memory
    if name == "collectives":
        yield "wire rate", rows["busbw_bytes_per_s"], _wire_bytes_per_s(rows)


def _of_chip(names, fact):
    """A fact of each row's chip, NaN where the chip or the fact is not known."""
    known = {name: fact(chip(name)) if name else None for name in set(names.tolist())}
    return np.array([known[name] for name in names.tolist()], dtype=float)


def _peaks(names, spelled):
    """Dense peak of each row's chip in the format that a text names first, NaN where there is none."""
    pairs = list(zip(names.tolist(), spelled.tolist(), strict=True))
    known = {pair: _peak(*pair) for pair in set(pairs)}
    return np.array([known[pair] for pair in pairs], dtype=float)


def _peak(name, spelled):
    format = re.search(r"fp4|fp8|float8|int8|tf32|fp32|fp64|bf16|fp16", spelled.lower())
    peak = format and name and chip(name).peaks.get(format[0].replace("float8", "fp8"))
    return peak.flop_per_s if peak else None


def _inference_flop_per_s(rows):
    """2 FLOP a parameter and token, of one chip; prompts counted where a time spans both phases."""
    made = np.where(rows["phase"] == "end_to_end", rows["output_len"], np.nan)
    with_prompt = np.nan_to_num(1 + rows["input_len"] / made, nan=1.0)
    return 2 * rows["active_params"] * rows["tokens_per_s"] * with_prompt / rows["n_chips"]


def _weights_bytes_per_s(rows):
    """Bytes of the weights a token uses over the time of a decode step at batch 1, of one chip."""
    spelled = rows["weight_dtype"].tolist()
    bits = {text: float(re.search(r"4|8|16|$", text)[0] or "nan") for text in set(spelled)}
    weights = rows["active_params"] * np.array([bits[text] for text in spelled]) / 8
    alone = (rows["phase"] == "decode") & (rows["batch"] == 1)
    return np.where(alone, weights / rows["s_per_output_token"] / rows["n_chips"], np.nan)


def _wire_bytes_per_s(rows):
    """The largest bus bandwidth (nccl-tests) that the wires of each row allow.

    An all-reduce counts 2(n-1)/n bytes a byte of message, as each chip of a ring sends. Where a
    switch adds up on the way, or a tree spans two nodes, a chip need send the message only once.
    """
    names, n, nodes = rows["chip_name"], rows["n_gpus"], rows["n_nodes"]
    link = _of_chip(names, lambda c: c.link_bytes_per_s)
    nic = _of_chip(names, lambda c: float(c.facts["nic_gbits_per_s"] or "nan") * 1e9 / 8)
    in_a_node = n / nodes
    with np.errstate(divide="ignore", invalid="ignore"):
        leaving = np.where(rows["collective"] == "all_to_all", (n - 1) / (n - in_a_node), in_a_node)
    one_domain = (nodes == 1) | _has(rows["network"], "MNNVL")
    wire = np.where(one_domain, link, np.minimum(link, nic * leaving))
    adds = _has(rows["network"], "NVLink4") | _has(rows["network"], "NVLink5")
    once = adds | _has(rows["network"], "SHARP") | (nodes == 2)
    return wire * np.where(once & (rows["collective"] == "all_reduce"), 2 * (n - 1) / n, 1.0)


def _has(texts, part):
    return np.char.find(texts, part) >= 0


def _duplicate_of(name, rows):
    """Row that printed the same recipe in an earlier release of the same page, or -1."""
    found = np.full(rows["source_id"].size, -1)
    if name not in REPRINTS:
        return found
    pages, recipe = REPRINTS[name]
    ours = np.flatnonzero(np.char.startswith(rows["source_id"][:, None], pages).any(axis=1))
    published = _by_source(name, rows, "published")[ours]
    keys = list(zip(*(rows[column].tolist() for column in recipe), strict=True))
    first = {}
    for i in ours[np.argsort(published, kind="stable")].tolist():
        key = tuple(map(str, keys[i]))  # as text, one NaN equals another
        j = first.setdefault(key, i)
        if rows["source_id"][j] != rows["source_id"][i]:
            found[i] = j
    return found
