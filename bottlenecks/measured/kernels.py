"""Rows of the kernel corpus, and of a reader's own file, as calls of `kernels`."""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip, why_unknown
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.formats import FORMATS, bytes_per_value, named, operands
from bottlenecks.measured.cases import Cases, alike, impossible, largest, over_boards, predictions, sorted_out
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
TIMES_FORWARD = {"forward": 1.0, "backward": 2.5, "both": 3.5}  # FLOP of a pass, as sources count
LATENT_ROPE = 64  # values of a latent key that are its position (deepseek2024v3)
HIDDEN = 2048  # width of attention where the heads are left out, as in FlashAttention's papers
SIZES = ("m", "n", "k", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "bytes")
TEXTS = (
    "chip_name",
    "chip",
    "kernel",
    "dtype",
    "pass",
    "attention",
    "implementation",
)  # rows of a case are alike in these
SWITCHES = ("causal", "timed_alone", "best_of_sweep", "directions")  # and in these


class Case(NamedTuple):
    """Rows that one call predicts: which, on what, in what format; time(device) -> seconds."""

    rows: np.ndarray
    chip: object
    format: str
    kind: str
    time: Callable
    chosen: str  # what the rows leave open, in words
    open: float = 0.0  # deviation of the logarithm of the time over it
    constants: dict | None = None  # other than those of the chip's family

    @property
    def on(self):
        """The chip as its kernels find it."""
        return kernels.device(self.chip, self.format, constants=self.constants)

    @property
    def assumed(self):
        """What was chosen, and what the device's constants assume."""
        return "; ".join(filter(None, (self.chosen, *self.on.assumed)))


@over_boards
def cases(columns):
    """`Cases` of a table of kernels."""
    reasons, found = impossible(columns), []
    for alike_rows in alike(columns, TEXTS, SWITCHES, SIZES, among=reasons == ""):
        found += sorted_out(lambda rows: _cases({c: v[rows] for c, v in columns.items()}, rows), alike_rows, reasons)
    taken = np.zeros(reasons.size, dtype=bool)
    for case in found:
        taken[case.rows] = True
    reasons[~taken & (reasons == "")] = "the row leaves a size of the kernel open"
    return Cases(columns, found, reasons.astype(str))


def _cases(mine, rows):
    """The cases of rows alike in all but numbers; ValueError: why there are none."""
    name, kernel = str(mine["chip_name"][0]), str(mine["kernel"][0]).casefold()
    if not name:
        raise ValueError(why_unknown(str(mine["chip"][0])))
    kind = next((k for start, k in KINDS.items() if kernel.startswith(start)), None)
    if kind is None:
        raise ValueError(f"no model of the kernel {kernel!r}" if kernel else "no kernel is named")
    make = {"matmul": _matmul, "attention": _attention}.get(kind, _traffic)
    return make(mine, rows, chip(name), kernel)


def _matmul(mine, rows, device, kernel):
    format, assumed = _format(_dtype(mine, kernel), device)
    format = "fp64_matrix" if format == "fp64" and "fp64_matrix" in device.peaks else format
    m, k, n, groups = (mine[c] for c in ("m", "k", "n", "batch"))
    if np.isnan(m + k + n).any():  # then of all: blanks are alike
        return []
    grouped = kernel.startswith("grouped")
    several = grouped and not np.isnan(groups).any()
    best = mine["best_of_sweep"][0] == 1
    alone = not grouped and mine["timed_alone"][0] != 0  # also where the row does not tell
    note = assumed + ["the fastest of many calls"] * bool(best)
    note += ["groups of equal size" if several else "one group"] * grouped
    note += ["operands stay in the last cache where they fit"] * bool(alone)

    def time(on):
        seconds = kernels.matmul_s(m, k, n, device=on, groups=groups if several else 1, warm=bool(alone))
        return seconds * (on.constants["best_of_sweep"] if best else 1.0)

    return [Case(rows, device, format, "matmul", time, "; ".join(note))]


@cache
def attention_of(implementation):
    """How attention works in a program of data/attention_kernels.csv, named first in a text; '' where it is none of them.

    >>> attention_of("FlashAttention-1"), attention_of("cuDNN 9.3 backend"), attention_of("ours")
    ('fused, first', 'fused, overlapped', '')
    """
    words = _words(implementation)
    known = {
        _words(each): row["attention"]
        for row in data.rows("attention_kernels")
        for each in (row["name"], *data.keys(row["aliases"]))
    }
    begun = [name for name in known if words[: len(name)] == name]
    return known[max(begun, key=len)] if begun else ""


def _words(text):
    return tuple(re.findall(r"[a-z]+|\d+", text.casefold()))


def _attention(mine, rows, device, kernel):
    format, assumed = _format(_dtype(mine, kernel), device)
    how = str(mine["attention"][0]) or attention_of(str(mine["implementation"][0]))
    how = how or attention_of(kernel.removeprefix("attention"))
    if not how:
        how = kernels.default_implementation(kernels.device(device, format))
        assumed = [*assumed, f"{how} attention"]
    else:
        one_of("attention", how, kernels.IMPLEMENTATIONS)
    passes = one_of("pass", str(_passes(mine)[0]), TIMES_FORWARD)
    backward, only = passes != "forward", passes == "backward"
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


def _traffic(mine, rows, device, kernel):
    """Streams, copies and elementwise kernels."""
    format = next(iter(device.peaks), None)
    if format is None:
        raise ValueError(f"{device.name} has no published peak")
    if kernel.startswith(("memcpy", "p2p")):
        return _copies(mine, rows, device, kernel, format)
    if "pointer" in kernel or "shared-cache" in kernel:
        raise ValueError("a property of a cache, not a kernel")
    operands("dtype", str(mine["dtype"][0]))  # or an error that names it
    kind, touched = _touched(kernel, mine)
    if kernel.startswith("elementwise") and not kind:
        raise ValueError(f"no model of the kernel {kernel!r}")
    kind = kind or "add"
    moved = np.where(np.isfinite(mine["bytes"]), mine["bytes"], touched)
    note = "the cache holds what was just written" if kernel.startswith("elementwise") else ""
    if kernel.startswith("stream"):  # long ones, unless a size is given
        note = "16 GiB" * bool(np.isnan(moved).any())
        moved = np.where(np.isfinite(moved), moved, 2.0**34)
        threads = mine["threads"]  # those of an occupancy sweep wait for the memory but for the most
        starved = threads < np.max(np.nan_to_num(threads, nan=0.0))
        moved = np.where(starved, np.nan, moved)
    known = np.isfinite(moved)

    def time(on):
        return kernels.elementwise_s(moved[known], device=on, kind=kind)

    return [Case(rows[known], device, format, "elementwise", time, note)]


def _copies(mine, rows, device, kernel, format):
    moved = np.where(np.isfinite(mine["bytes"]), mine["bytes"], 2.0**30)
    both = 2 if mine["directions"][0] == 2 else 1
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


def _passes(columns):
    """Passes of attention that each row times: as stated, else by the kernel's name."""
    by_name = np.array([_pass(name) for name in np.char.lower(columns["kernel"]).tolist()], dtype="U8")
    return np.where(columns["pass"] == "", by_name, columns["pass"])


def _pass(kernel):
    """The pass that a kernel's name states, else the forward one.

    >>> _pass("attention fwd+bwd"), _pass("attention backward"), _pass("attention")
    ('both', 'backward', 'forward')
    """
    if not re.search("bwd|backward", kernel):
        return "forward"
    return "both" if re.search("fwd|forward", kernel) else "backward"


def _dtype(mine, kernel):
    """The format of the operands in a row's words: of its own column, else of the kernel's name."""
    return str(mine["dtype"][0]) or " ".join(named(kernel))


def _format(dtype, device):
    """(format, what was assumed) from the spelling of a row; of several the first that the chip has."""
    spelled = named(dtype)
    for format in spelled:
        if format in device.peaks:
            return format, []
        twin = {"fp16": "bf16", "int8": "fp8"}.get(format)  # but a chip without bf16 computes it in 32 bits, or not
        if twin in device.peaks:
            return twin, [f"{format} as fast as {twin}"]
    if spelled:
        raise ValueError(f"{device.name} has no {spelled[0]} peak; it has {', '.join(device.peaks)}")
    if dtype:
        one_of("dtype", dtype, FORMATS)
    format = "bf16" if "bf16" in device.peaks else "fp16"
    if format not in device.peaks:
        raise ValueError(f"{device.name} has no 16-bit peak")
    return format, [f"{format} operands"]


# ---- predictions


def predict(cases, *, owners=True, constants=None):
    """`predictions` of the cases; `constants` of a reader's own stand in place of those of her chip's family."""
    if constants:
        own = [case._replace(constants=kernels.family_constants(case.chip.family) | constants) for case in cases.found]
        cases = cases._replace(found=own)
    return predictions(cases, owner=largest(kernels.RESOURCES) if owners else None)


def classes(cases):
    """{factor: level of each row}: in how wide a format, and whose kernel."""
    width = np.full(cases.reasons.size, "", dtype=object)
    for case in cases.found:
        width[case.rows] = kernels.width(case.format)
    return {"width": width.astype(str), "program": cases.columns["program"]}


def work(columns):
    """(FLOP, bytes) of each row as sources count them; NaN where it has none."""
    return _flop(columns), _moved(columns)


def headline(cases, seconds):
    """(measured, predicted, unit) in the row's own unit: its time, else its rate."""
    columns = cases.columns
    per_time, flop_rate, byte_rate = (columns[c] for c in ("time_s", "flop_per_s", "bytes_per_s"))
    work_flop, work_bytes = work(columns)
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
    passes = np.array([TIMES_FORWARD.get(each, np.nan) for each in _passes(c).tolist()])
    attention = 4 * pairs * values * heads * batch * passes
    return np.where(np.char.startswith(names, "attention"), attention, products)


def _moved(columns):
    """Bytes as stated, else of a copy 1 GiB, of a stream 16, and of an elementwise kernel those of its values."""
    size, names = columns["bytes"], np.char.lower(columns["kernel"])
    copies = np.char.startswith(names, "memcpy") | np.char.startswith(names, "p2p")
    least = np.where(copies, 2.0**30, np.where(np.char.startswith(names, "elementwise"), np.nan, 2.0**34))
    for kernel in np.unique(names[np.char.startswith(names, "elementwise")]).tolist():
        mine = names == kernel
        least[mine] = _touched(kernel, {c: values[mine] for c, values in columns.items()})[1]
    return np.where(np.isfinite(size), size, least)


def _touched(kernel, mine):
    """(kind of an elementwise kernel, '' where it is none that is known; bytes that it reads and writes) of rows of one kernel."""
    word = next((word for word in ELEMENTWISE if word in kernel and "stream" not in kernel), "")
    if not word:
        return "", np.full(mine["m"].shape, np.nan)
    kind, values = ELEMENTWISE[word]
    each = np.array([bytes_per_value(next(iter(named(str(dtype))), "bf16")) for dtype in mine["dtype"].tolist()])
    others = np.nan_to_num(1 + mine["kv_heads"] / mine["heads"], nan=2.0) if kind == "rotary" else 1.0
    return kind, values * others * each * mine["m"] * mine["n"]


def groups(cases):
    """What a row is scored under; products apart by whether a tuned library did them."""
    columns = cases.columns
    names = np.char.lower(columns["kernel"]).tolist()
    found = [next((k for s, k in KINDS.items() if n.startswith(s)), "other") for n in names]
    tuned = columns["tuned_library"] == 1
    return np.where((np.array(found) == "matmul") & ~tuned, "matmul, other kernels", found)


def cubes(source, device):
    """Side -> measured FLOP/s of the products of square matrices of a source on a chip."""
    rows = corpus.table("kernels")
    mine = (rows["source_id"] == source) & (rows["chip_name"] == device.name)
    mine &= (rows["m"] == rows["n"]) & (rows["n"] == rows["k"])
    return dict(zip(rows["m"][mine].tolist(), rows["flop_per_s"][mine].tolist(), strict=True))
