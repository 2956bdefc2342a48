"""Measured tables as columns: what others measured, where, and with what.

A table is a dictionary of numpy arrays, one for each column of the file, in base SI; a blank number
is NaN and a blank text ''. `columns(name)` explains them. No row is ever dropped; instead four
columns are added (`ADDED`), and `where` selects.
"""

from functools import cache, partial
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import cells, formats, written
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.doors import nearest, one_of, shown
from bottlenecks.facts.networks import links
from bottlenecks.facts.readers import rows_of

TABLES = {  # name -> file
    "kernels": "kernels_measured",
    "kernel_grids": "kernel_grids",
    "inference": "inference_measured",
    "training": "training_measured",
    "mlperf_training": "mlperf_training",
    "nanogpt_speedrun": "nanogpt_speedrun",
    "korthikanti2022": "korthikanti2022_table5_fig1_fig7",
    "collectives": "collectives_measured",
    "collective_grids": "collective_grids",
    "nccl_tuning_constants": "nccl_tuning_constants",
    "input_pipeline": "input_pipeline_measured",
    "stragglers": "stragglers",
    "speculative_speedup": "speculative_speedup",
}
LIKE = {"kernel_grids": "kernels", "collective_grids": "collectives"}  # tables whose columns are those of another
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

# Columns that a reader's own file must have: no row can be predicted without.
NEEDED = {
    "kernels": ("chip", "kernel"),
    "inference": ("chip", "model", "phase"),
    "collectives": ("collective",),
    "training": ("chip", "model"),
}

# Columns that say what came out: where no number came out, that is no fault of the row.
RATES = (
    "latency_s",
    "ms_per_output_token",
    "ttft_s",
    "tokens_per_s",
    "tokens_per_s_per_chip",
    "hbm_GBps_achieved",
    "mfu",
)
MEASURED = {
    "kernels": ("time_us", "tflops", "GBps"),
    "inference": RATES,
    "collectives": ("time_us", "algbw_GBps", "busbw_GBps"),
    "training": ("step_time_s", "tokens_per_s_per_chip", "tflops_per_chip", "mfu", "hfu", "mem_gib_per_chip"),
}
CHOICES = {"recompute": ("none",)}  # words for nothing that are a choice in a column
TOKENS = ("seq_len", "kv_len", "input_len", "output_len")  # of a sequence: 4k are 4,096

# ---- facts about sources

# The column that names the chip, where it is not `chip`; MLPerf's own words tell boards apart.
SPELLED = {"input_pipeline": "accelerator", "mlperf_training": "accelerator_as_printed"}

# What texts and the benchmarks of libraries call a collective, without case and punctuation -> its name here.
COLLECTIVES = {
    **{"allreduce": "all_reduce", "reducescatter": "reduce_scatter", "allgather": "all_gather"},
    **{"alltoall": "all_to_all", "a2a": "all_to_all", "broadcast": "broadcast", "bcast": "broadcast"},
    **{"p2p": "p2p", "sendrecv": "p2p", "sendreceive": "p2p", "pointtopoint": "p2p"},
}

NO_BOARD = "another"  # in the column `board`: none of the catalog
RECALLED = "recalled, not read: confirm before use"
SHORT_STEPS = "median_step_s: all steps make less than half of the time to train"

# What makes a recipe, where sources print a page again (`page` of data/corpus_sources.csv).
RECIPES = {
    "training": (
        *("chip", "model", "n_chips", "global_batch_seqs", "micro_batch", "seq_len", "compute_dtype"),
        *("tp", "pp", "vpp", "cp", "ep", "dp", "zero_fsdp"),
    ),
    "inference": (
        *("chip", "model", "n_chips", "batch", "input_len", "output_len", "weight_dtype", "act_dtype", "kv_dtype"),
        *("tp", "pp", "ep", "phase"),
    ),
    # A result carried over: every run of it has the same time.
    "mlperf_training": ("chip", "benchmark", "n_chips", "global_batch", "time_mean_s", "time_min_s", "time_max_s"),
}

# What may be above a datasheet's rate without being wrong.
CACHED = ("elementwise residual add", "shared-cache read")  # the data fit in the second-level cache

# ---- reading


@cache
def table(name):
    """All rows of a measured table: column -> array, in base SI, with the columns of `ADDED`."""
    one_of("table", name, TABLES)
    rows = _in_si(name, data.columns(TABLES[name]), partial(_numbers, name))
    rows["role"] = _by_source(name, rows, "role")
    rows["suspect"] = _suspect(name, rows)
    rows["duplicate_of"] = _duplicate_of(name, rows)
    for values in rows.values():
        values.setflags(write=False)  # every caller gets the same arrays
    return rows


class Own(NamedTuple):
    """A reader's own file: its text by column, its columns as `table`, and what is wrong with each row ('': nothing)."""

    given: dict
    columns: dict
    faults: np.ndarray


def read(path, name):
    """A reader's own CSV file in the columns of a table (`Own`); a row with a fault keeps its place.

    Columns may be left out (blank), stand in any case, in another unit (`time_ms`), and others may be added (text
    only); blank lines are skipped. Numbers are read as `facts.cells` has it. A cell that cannot be read is blank,
    and its row's fault says so; what was measured may say that nothing was (OOM, N/A, -). No role and no mark.
    """
    one_of("table", name, TABLES)
    return of_cells(path, rows_of(path), name)


def of_cells(path, file, name):
    """The same of cells that are read already; `path` is what they are called in messages."""
    expected = data.columns(TABLES[name])
    places = _places(path, file.header, name)
    if not places:
        raise ValueError(f"{path}: no column is one of {', '.join(expected)}; got {shown(', '.join(file.header))}")
    missing = [column for column in NEEDED.get(name, ()) if column not in places]
    if missing:
        raise ValueError(
            f"{path}: a file of {name} needs the columns {', '.join(NEEDED[name])}; missing: {', '.join(missing)}"
        )
    given = {column: tuple(line[i] for line in file.rows) for i, column in enumerate(file.header)}
    texts = dict.fromkeys(expected, ("",) * len(file.rows))
    texts |= {c: tuple(_cell(name, c, line[place.at].strip()) for line in file.rows) for c, place in places.items()}
    counts = [written.counted(text)[1] for text in texts.get("chip", ())]
    numbered = next((n for n in ("n_chips", "n_gpus") if n in texts), None)
    if numbered and any(counts):
        texts["chip"] = tuple(written.counted(text)[0] for text in texts["chip"])
    columns = _in_si(name, texts, partial(_readers_numbers, name, places, file), file.faults)
    if numbered:
        _count(columns[numbered], counts, numbered, file.faults)
    return Own(given, columns, np.array(["; ".join(each) for each in file.faults], dtype=object))


def _cell(table, column, text):
    """A reader's cell in our words, '' where it says that it is empty."""
    word = text.casefold()
    if word in cells.EMPTY and word not in CHOICES.get(column, ()):
        return ""
    return written.cell(table, column, text)


def _count(stated, counts, column, faults):
    """Chips that names count, where the column of chips is blank; a row in which the two differ has a fault."""
    for i, count in enumerate(counts):
        if count is None:
            continue
        if np.isfinite(stated[i]) and stated[i] != count:
            faults[i].append(f"the chip's name counts {count}, and {column} says {stated[i]:g}")
        stated[i] = count


class Place(NamedTuple):
    """Where a column stands in a reader's file, under which name, and what a bare number is in."""

    at: int
    header: str
    scale: float
    unit: str


def _places(path, header, name):
    """Column of a table -> its `Place` in a file; a name in any case goes before one in another unit."""
    about = _about(name)
    folded = {column.casefold(): column for column in about}
    names = {each["name"]: column for column, each in about.items()}
    found, others = {}, []
    spelled = written.headers(name, about)
    for words, column in spelled.items():
        base = _unit(about[column])[1]
        if base in cells.STEMS:
            names.setdefault(f"{words.replace(' ', '_')}_{cells.STEMS[base]}", column)
    for i, text in enumerate(header):
        column = None if cells.says_bits(text) and text not in about else folded.get(text.casefold())
        if column in found:
            raise ValueError(f"{path}: two columns are called {shown(text)}")
        if column:
            found[column] = Place(i, text, *_unit(about[column]))
        else:
            others.append((i, text))
    for i, text in others:
        meant = cells.heading(text, names)
        column = names[meant[0]] if meant else spelled.get(written.fold(text))
        if column and not (meant and about[column]["unit"] == "text"):
            scale, unit = meant[1:] if meant else _unit(about[column])
            found.setdefault(column, Place(i, text, scale, unit or _unit(about[column])[1]))
    return found


def _in_si(name, texts, number, faults=None):
    """Columns of text as arrays in base SI, by `number(column, cells)`, and the catalog's names of the chips.

    `faults`, a list a row, are added to.
    """
    rows = {}
    for column, texts_of in texts.items():
        about = _about(name)[column]
        rows[about["name"]] = np.array(texts_of, dtype=str) if about["unit"] == "text" else number(column, texts_of)
    if "unit" in rows:  # one a row
        rows["value"] = rows["value"] * np.array([UNITS.get(u, (u, 1.0))[1] for u in rows["unit"]])
        rows["unit"] = np.array([UNITS.get(u, (u, 1.0))[0] for u in rows["unit"]])
    if "collective" in rows:
        rows["collective"] = np.array([collective(text) for text in rows["collective"].tolist()], dtype=str)
    rows["chip_name"] = _chip_names(rows, SPELLED.get(name, "chip"), faults)
    return rows


def collective(text):
    """The name of a collective as it is called here; a text that is none stays as it is.

    >>> collective("AllReduce"), collective("sendrecv_perf"), collective("reduce")
    ('all_reduce', 'p2p', 'reduce')
    """
    folded = "".join(letter for letter in text.casefold() if letter.isalnum()).removesuffix("perf")
    return COLLECTIVES.get(folded, text)


def unread(header, name):
    """{column of a reader's file that says nothing here: the column that it may have meant, or ''}.

    >>> unread(["model", "global_batch", "colour"], "training")
    {'global_batch': 'global_batch_seqs', 'colour': ''}
    """
    places = _places("", header, name)
    read = {place.at for place in places.values()}
    left = [column for column in data.columns(TABLES[name]) if column not in places]
    others = [column for i, column in enumerate(header) if i not in read]
    return {column: nearest(column, left, cutoff=0.7) or "" for column in others}


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


def showing(name, what):
    """Keys of the sources of a table whose rows show one thing best, by the column `shows` of their file.

    >>> showing("kernels", "best of a sweep")
    ('mamf',)
    """
    known = sources(name)
    one_of("shows", what, sorted({each for row in known.values() for each in data.keys(row["shows"])}))
    return tuple(key for key, row in known.items() if what in data.keys(row["shows"]))


@cache
def sources(name):
    """The sources of a table: source_id -> its row of data/corpus_sources.csv."""
    return {row["source_id"]: row for row in data.rows("corpus_sources") if row["table"] == name}


@cache
def _names():
    return {row["source_id"]: row["name"] for row in data.rows("corpus_sources")}


def called(source):
    """What a source is called in tables and legends: its `name`; a reader's own is called by its key.

    >>> called("gptfast")
    'gpt-fast'
    """
    return _names().get(source, source)


@cache
def _about(name):
    """The rows of data/corpus_columns.csv for a table's file; what it says itself goes first."""
    shared, own = (
        {row["column"]: row for row in data.rows("corpus_columns") if row["table"] in of}
        for of in (("",), (LIKE.get(name, name), name))
    )
    return {column: own.get(column) or shared[column] for column in data.columns(TABLES[name])}


def _numbers(name, column, texts):
    """A column of numbers of the package's own file in base SI, NaN where blank."""
    return np.array([text or "nan" for text in texts], dtype=float) * _unit(_about(name)[column])[0]


def _readers_numbers(name, places, file, column, texts):
    """The same of a reader's file; where a cell is no number its row has a fault, but for what was not measured."""
    found = np.full(len(texts), np.nan)
    if column not in places:
        return found
    place, measured = places[column], column in MEASURED.get(name, ())
    step = 1024 if place.unit == "B" or column in TOKENS else 1000
    decimal = file.cut != "," and cells.has_decimal_comma(texts)
    for i, text in enumerate(texts):
        if not text or (measured and text.casefold() in cells.NO_NUMBER):
            continue
        why = ""
        try:
            value = cells.number(text, place.scale, place.unit, step=step, decimal_comma=decimal)
        except ValueError as problem:
            value, why = np.nan, str(problem)
        if np.isfinite(value):
            found[i] = value
        else:
            file.faults[i].append(
                f"{place.header} must be a number or blank, got {shown(text)}" + f": {why}" * bool(why)
            )
    return found


def _unit(about):
    """(scale, base unit) of a bare number in a column of a file."""
    unit, scale = UNITS.get(about["unit"], (about["unit"], 1.0))
    return scale, unit


def _chip_names(rows, column, faults=None):
    spelled = rows.get(column, np.full(rows["source_id"].size, ""))
    boards = rows.get("board", np.full(spelled.size, ""))
    pairs = list(zip(boards.tolist(), spelled.tolist(), strict=True))
    names = {pair: _chip_name(*pair, lenient=faults is not None) for pair in set(pairs)}
    for i, pair in enumerate(pairs):
        if isinstance(names[pair], ValueError):
            faults[i].append(f"board: {names[pair]}")
    return np.array([name if isinstance(name, str) else "" for name in map(names.get, pairs)], dtype=str)


def _chip_name(board, spelled, lenient=False):
    """The catalog's name of a chip, '' for none; a board that it does not know is an error, returned where lenient."""
    if not board:
        return find_chip(spelled) or ""
    try:
        return "" if board == NO_BOARD else chip(board).name
    except ValueError as problem:
        if not lenient:
            raise
        return problem


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
    if "doubt" in rows:
        for doubt in set(rows["doubt"].tolist()) - {""}:
            yield doubt, rows["doubt"] == doubt
    if "confidence" in rows:
        yield RECALLED, rows["confidence"] == "memory"
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
        across &= rows["directions"] != 2
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
    format = next(iter(formats.named(spelled)), None)
    peak = name and chip(name).peaks.get(format)
    return peak.flop_per_s if peak else None


def _inference_flop_per_s(rows):
    """2 FLOP a parameter and token, of one chip; prompts counted where a time spans both phases."""
    made = np.where(rows["phase"] == "end_to_end", rows["output_len"], np.nan)
    with_prompt = np.nan_to_num(1 + rows["input_len"] / made, nan=1.0)
    return 2 * rows["active_params"] * rows["tokens_per_s"] * with_prompt / rows["n_chips"]


def _weights_bytes_per_s(rows):
    """Bytes of the weights a token uses over the time of a decode step at batch 1, of one chip."""
    spelled = rows["weight_dtype"].tolist()
    stored = {text: formats.find_stored(text) for text in set(spelled)}
    each = {text: formats.bytes_per_value(how) if how else np.nan for text, how in stored.items()}
    whole = np.array([each[text] for text in spelled]) // 0.5 * 0.5  # of the values, without their blocks' scales
    weights = rows["active_params"] * whole
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
    one_domain = (nodes == 1) | (rows["one_domain"] == 1)
    wire = np.where(one_domain, link, np.minimum(link, nic * leaving))
    once = _of_chip(names, _adds_up) == 1
    once |= (rows["in_network"] != "") | (nodes == 2)
    return wire * np.where(once & (rows["collective"] == "all_reduce"), 2 * (n - 1) / n, 1.0)


def _adds_up(chip):
    """Can the switch that joins chips of a kind sum what they send?"""
    wire = links().get(chip.facts["link_name"])
    return wire is not None and "bridge" not in chip.facts["link"] and "SHARP" in wire.facts["in_network_reduction"]


def _duplicate_of(name, rows):
    """Row that printed the same recipe in an earlier release of the same page, or -1."""
    found = np.full(rows["source_id"].size, -1)
    if name not in RECIPES:
        return found
    pages = _by_source(name, rows, "page")
    ours = np.flatnonzero(pages != "")
    published = _by_source(name, rows, "published")[ours]
    keys = list(zip(*(rows[column].tolist() for column in RECIPES[name]), strict=True))
    first = {}
    for i in ours[np.argsort(published, kind="stable")].tolist():
        key = (pages[i], *map(str, keys[i]))  # as text, one NaN equals another
        j = first.setdefault(key, i)
        if rows["source_id"][j] != rows["source_id"][i]:
            found[i] = j
    return found
