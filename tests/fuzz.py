"""Nonsense for `test_fuzz.py`: calls of the package, files and command lines with one thing wrong in each.

A call starts from one that works, and one of its arguments is replaced. `Call` knows which of its arguments are
numbers, of which a junk number must be refused, and which are records and words.
"""

import csv
import io
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip, dense
from bottlenecks.facts.networks import Link, system
from bottlenecks.models import cache as caches
from bottlenecks.models import collectives, footprint, inference, kernels, ops, requests, training, wiring
from bottlenecks.models import rows as op_rows
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.studies import room, scaling, search, splitting

HANG_S = 5  # of processor time
NEVER = (  # no number of anything
    *(np.nan, np.inf, -np.inf, -1, -0.5, -(10**30), 10**40, 1e300, None, True, False, "8", "eight", b"8", ""),
    *([], [8], (8, 16), {}, {8}, object(), len, 3j, np.array([]), np.array(["8"]), np.array([np.nan, 8.0])),
    *(np.array([8, -8]), np.array([True]), np.array([None]), np.float32("nan"), np.int32(-8), np.array(np.inf)),
    *(np.datetime64("2026-01-01"), "NaN", "\0", "é" * 50_000, 10**5000, -0.0, 0, np.zeros(2), np.array([8, 0])),
)
NO_NAME = (
    0,
    -1,
    3.5,
    None,
    True,
    "",
    "nonsense",
    "bf61",
    [],
    ["bf16"],
    {},
    object(),
    b"bf16",
    np.array([]),
    "\0",
    "x" * 50_000,
)
NO_RECORD = (0, 1.5, "", "Llama-3-8B", "H100 SXM5", None, [], {}, object(), np.array([1.0]), len, True)


class Call(NamedTuple):
    """A call that works: of what, with which arguments; which of them numbers, words or records are."""

    name: str
    act: object
    given: dict
    numbers: tuple = ()
    words: tuple = ()
    records: tuple = ()
    zero: tuple = ()  # numbers that may be zero
    open: tuple = ()  # that may be None


@cache
def things():
    """One model, one machine and so on, made once."""
    dgx = system("DGX H100")
    return {
        "model": model("Llama-3-8B"),
        "mixture": model("Mixtral-8x7B"),
        "chip": chip("H100 SXM5"),
        "device": kernels.device(chip("H100 SXM5")),
        "machine": machine(dgx),
        "tiers": dgx.tiers,
        "plan": inference.Plan(),
        "split": inference.Plan(tp=4, pp=2),
        "layout": Layout(tp=2, dp=4, pp=2, micro_batches=4, seq_len=2048),
        "serving": caches.Serving(tp=2, context=2048, batch=4),
    }


@cache
def calls():
    """Every call that is tried."""
    t = things()
    serve = {"model": t["model"], "plan": t["plan"], "on": t["machine"]}
    three = {"records": tuple(serve)}
    sizes = ("batch", "heads", "kv_heads", "head_values")
    heads = {"queries": 128, "keys": 256, "batch": 2, "heads": 32, "kv_heads": 8, "head_values": 128}
    step = {"model": t["model"], "layout": t["layout"], "on": t["machine"]}
    job = {"model": t["model"], "chips": 8, "batch": 16, "seq_len": 2048}
    fits = {"model": t["model"], "chip": t["chip"], "chips": 2, "context": 4096, "batch": 2}
    found = [
        _call(ops.matmul, {"name": "x", "m": 8, "k": 16, "n": 32, "format": "bf16", "groups": 2}, "m k n groups", "format"),
        _call(ops.elementwise, {"name": "x", "values": 64, "kind": "norm", "format": "bf16", "calls": 2}, "values calls", "kind format", zero="calls"),
        _call(op_rows.attention, {"name": "x", **heads, "format": "bf16", "causal": "half"}, "queries keys " + " ".join(sizes), "format causal"),
        _call(ops.forward, {"model": t["model"], "batch": 2, "queries": 64, "causal": "half", "logits": "all"}, "batch queries", "causal logits", "model"),
        _call(ops.prefill, {"model": t["mixture"], "batch": 2, "prompt_tokens": 64}, "batch prompt_tokens", "", "model"),
        _call(ops.decode, {"model": t["model"], "batch": 2, "context_tokens": 64}, "batch context_tokens", "", "model"),
        _call(ops.training_step, {"model": t["model"], "batch": 2, "tokens": 64, "format": "bf16", "recompute": "full"}, "batch tokens", "format recompute", "model"),
        _call(ops.weights_pass, {"params": 8e9, "tokens": 2, "weight_bytes": 2}, "params tokens weight_bytes"),
        _call(ops.optimiser, {"model": t["model"]}, "", "", "model"),
        _call(kernels.device, {"chip": t["chip"], "format": "bf16"}, "", "format", "chip"),
        _call(kernels.matmul_s, {"m": 8, "k": 16, "n": 32, "groups": 2, "device": t["device"]}, "m k n groups", "", "device"),
        _call(kernels.elementwise_s, {"moved_bytes": 1e6, "kind": "add", "device": t["device"]}, "moved_bytes", "kind", "device", zero="moved_bytes"),
        _call(kernels.attention_s, {**heads, "device": t["device"], "causal": True}, "queries keys causal " + " ".join(sizes), "", "device", zero="causal"),
        _call(inference.decode_s, {**serve, "batch": 4, "context": 512}, "batch context", **three),
        _call(inference.prefill_s, {**serve, "batch": 4, "prompt": 512, "cached": 1}, "batch prompt cached", zero="cached", **three),
        _call(inference.decode, {**serve, "plan": t["split"], "batch": 4, "context": 512}, "batch context", **three),
        _call(requests.run, {**serve, "batch": 4, "prompt": 512, "output": 8}, "batch prompt output", **three),
        _call(requests.saturated, {**serve, "batch": 4, "prompt": 512, "output": 8}, "batch prompt output", **three),
        _call(requests.largest_batch, {**serve, "context": 512, "held_back": 0.9}, "context held_back", **three),
        _call(requests.frontier, {**serve, "prompt": 512, "output": 8, "batches": np.array([1, 8])}, "prompt output batches", **three),
        _call(requests.speculative_s, {**serve, "draft": t["model"], "batch": 1, "context": 64, "acceptance": 0.8, "drafted": 4}, "batch context acceptance drafted", records=(*serve, "draft"), zero="acceptance drafted"),
        _call(training.seconds, {**step, "software": "2024"}, "", "software", tuple(step)),
        _call(training.step, {**step, "software": "2024"}, "", "software", tuple(step)),
        _call(footprint.training_rows, {"model": t["model"], "layout": t["layout"]}, "", "", "model layout"),
        _call(caches.serving_rows, {"model": t["model"], "serving": t["serving"]}, "", "", "model serving"),
        _call(caches.largest_batch, {"model": t["model"], "serving": t["serving"], "memory_bytes": 8e10}, "memory_bytes", "", "model serving"),
        _call(caches.largest_context, {"model": t["model"], "serving": t["serving"], "memory_bytes": 8e10}, "memory_bytes", "", "model serving"),
        _call(caches.cache_bytes_per_token, {"model": t["model"], "tp": 2, "cache_bytes": 2}, "tp cache_bytes", "", "model"),
        _call(collectives.collective_time, {"collective": "all_reduce", "message_bytes": 1e6, "tiers": t["tiers"], "ranks": 8, "groups": 1, "sums_in": 1, "launch": "library"}, "message_bytes ranks groups sums_in", "collective launch", "tiers"),
        _call(wiring.send_s, {"collective": "all_gather", "message_bytes": 1e6, "ranks": 8, "on": t["machine"]}, "message_bytes ranks", "collective", "on", zero="message_bytes"),
        _call(machine, {"where": t["chip"], "format": "bf16"}, "", "format", "where"),
        _call(search.search, {**job, "on": t["machine"], "software": "2024", "within": _space(t["model"])}, "chips batch seq_len", "software", "model on"),
        _call(search.space, job, "chips batch seq_len", "", "model"),
        _call(scaling.best, {**job, "on": t["machine"], "software": "2024"}, "chips batch seq_len", "software", "model on"),
        _call(scaling.wired, {"chip": t["chip"], "inside": "links", "port_bytes_per_s": 5e10}, "port_bytes_per_s", "inside", "chip"),
        _call(splitting.timeline, {"schedule": "1f1b", "stages": 4, "micro_batches": 8, "backward_over_forward": 2.0}, "stages micro_batches backward_over_forward", "schedule"),
        _call(splitting.ways, {**job, "mix": 2}, "chips batch seq_len mix", "", "model"),
        _call(room.serving, fits | {"format": "bf16"}, "chips context batch", "format", "model chip"),
        _call(room.training, fits, "chips context batch", "", "model chip"),
    ]  # fmt: skip
    return [*found, *_records(t)]


def _space(model):
    return search.space(model, chips=8, batch=16, seq_len=2048, zero=(1,), recompute=("full",), schedules=("1f1b",))


def _call(act, given, numbers, words="", records="", zero=""):
    records = records.split() if isinstance(records, str) else records
    name = f"{act.__module__.rpartition('.')[2]}.{act.__qualname__}"
    return Call(name, act, given, tuple(numbers.split()), tuple(words.split()), tuple(records), tuple(zero.split()))


def _records(t):
    """Records and what is computed with them: a field that is nonsense stops before."""

    def made(one, fields, words="", zero="", open="", then=lambda made: made):
        def act(**given):
            return then(replace(one, **given))

        given = {f: getattr(one, f) for f in (*fields.split(), *words.split())}
        name = f"{type(one).__name__} of {len(given)}"
        return Call(
            name, act, given, tuple(fields.split()), tuple(words.split()), (), tuple(zero.split()), tuple(open.split())
        )

    layout, rates = t["layout"], "matmul_flop_per_s memory_bytes_per_s cache_bytes_per_s vector_per_s exp_per_s"
    tier, wire = t["tiers"][0], Link(name="x", bytes_per_s=1e9, latency_s=1e-6)
    durations = "fixed_s light_s tile_s"
    return [
        made(t["model"], "layers width ffn_width heads kv_heads head_values vocab", then=lambda m: m.params),
        made(t["mixture"], "experts experts_per_token expert_width latent_width", open="latent_width", then=lambda m: m.params),
        made(t["chip"], "memory_bytes memory_bytes_per_s tdp_watts link_bytes_per_s cores clock_hz", open="tdp_watts link_bytes_per_s cores clock_hz"),
        made(tier, "ranks bytes_per_s latency_s oversubscription", open="ranks latency_s"),
        made(system("DGX H100"), "chips"),
        made(wire, "bytes_per_s latency_s", open="bytes_per_s latency_s"),
        made(dense(1e12), "flop_per_s"),
        made(t["device"], f"{rates} {durations} cores", zero=durations),
        made(t["machine"], "link_speed port_speed waits host_waits routing_s last_s memory_bytes", zero="waits host_waits routing_s last_s"),
        made(collectives.fitted(), "link port ll128 latency call_s segment_s", zero="call_s segment_s"),
        made(t["plan"], "tp pp ep overlap", "stationary weight_format cache_format", zero="overlap"),
        made(layout, "tp pp vpp dp cp ep micro_batch micro_batches seq_len zero zero_ranks imbalance value_bytes", "recompute schedule recipe", zero="zero", open="zero_ranks"),
        made(t["serving"], "tp pp ep batch context weight_bytes cache_bytes block prefix chunk", zero="prefix"),
    ]  # fmt: skip


RATES = ("Device of", "Machine of", "Efficiency of")  # whose rates may be without end: nothing is lost


def junk(call, argument, rng):
    """Something that an argument cannot be."""
    if argument in call.numbers:
        nonsense = [j for j in NEVER if _is_nonsense(call, argument, j)]
    else:
        nonsense = NO_NAME if argument in call.words else NO_RECORD
        nonsense = [j for j in nonsense if not _is_one(call, argument, j)]
    return nonsense[rng.integers(len(nonsense))]


def _is_one(call, argument, j):
    """Is it what the argument takes, after all? A release of software has a name; an index is a choice."""
    return (
        (argument in ("recompute", "schedule", "recipe") and type(j) is int and j == 0)
        or (argument == "recompute" and isinstance(j, np.ndarray))
        or (argument in ("schedule", "recipe") and isinstance(j, np.ndarray))
    )


def _is_nonsense(call, argument, j):
    if j is None:
        return argument not in call.open
    if call.act is scaling.best and isinstance(j, list | tuple) and j:
        return argument == "seq_len"
    if argument == "causal":
        return not isinstance(j, bool) and not (isinstance(j, np.ndarray) and j.dtype.kind == "b")
    zeros = (
        isinstance(j, int | float | np.ndarray)
        and not isinstance(j, bool)
        and np.size(j)
        and np.asarray(j).dtype.kind in "if"
    )
    if argument in call.zero and zeros and np.all(np.asarray(j) >= 0) and np.any(np.asarray(j) == 0):
        return False
    endless = isinstance(j, float | np.ndarray) and np.size(j) == 1 and np.all(np.asarray(j) == np.inf)
    if call.name.startswith(RATES) and (endless or (type(j) in (int, float) and j > 1e30)):
        return False
    return True


def narrow(call, rng):
    """(arguments with int32 arrays, the same with int64) for the numbers of a call that are whole."""
    whole = [a for a in call.numbers if type(call.given[a]) is int and call.given[a] > 0]
    return ({a: np.array([call.given[a], call.given[a]], dtype=kind) for a in whole} for kind in (np.int32, np.int64))


class Hang(BaseException):
    """More processor time than a call may take."""


@contextmanager
def bounded(seconds=HANG_S):
    """Processor time that the block may take."""

    def stop(*_):
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def finite(answer):
    """Is there a finite number in an answer?"""
    if isinstance(answer, dict):
        return any(finite(each) for each in answer.values())
    if isinstance(answer, tuple | list):
        return any(finite(each) for each in answer)
    if isinstance(answer, bool) or answer is None or isinstance(answer, str):
        return False
    if isinstance(answer, int | float | np.ndarray | np.generic):
        array = np.asarray(answer)
        return array.dtype.kind in "iuf" and bool(np.any(np.isfinite(array)))
    return True  # a record: it should not have been made


def outcome(call, argument, nonsense):
    """'' if a call with nonsense in one argument ends as it should, else what is wrong."""
    given = call.given | {argument: nonsense}
    try:
        with bounded(), np.errstate(all="ignore"):
            answer = call.act(**given)
    except (ValueError, TypeError) as problem:
        return "" if _names(argument, str(problem)) else f"no word of {argument}: {type(problem).__name__}: {problem}"
    except Hang as problem:
        return f"hang: {problem}"
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    return f"an answer: {str(answer)[:80]}" if finite(answer) else ""


ALSO = {  # an argument -> what messages may call it
    "queries": ("tokens",),
    "prompt_tokens": ("queries", "tokens"),
    "context_tokens": ("keys", "tokens"),
    "tokens": ("queries",),
    "context": ("keys",),
    "weight_format": ("format",),
    "cache_format": ("format",),
    "recompute": ("recompute",),
    "inside": ("inside",),
}


def _names(argument, message):
    return any(word in message for word in (argument, *ALSO.get(argument, ())))


# ---- files

CELLS = (
    *(
        "max (8)",
        "8 GPUs",
        "~4",
        "1,000",
        "N/A",
        "-",
        "0x10",
        "true",
        "nan",
        "inf",
        "-inf",
        "NaN",
        "1e400",
        "-1",
        "0",
        "0.5",
    ),
    *(
        "3.7",
        "1e18",
        "1e308",
        "1e-320",
        "999999999999",
        "7",
        "97",
        "1e9",
        "=1+1",
        "é",
        "\ufeff",
        "\0",
        "'",
        "x" * 20_000,
    ),
    *("", " ", "H100", "bf61", "none", "nonsense", "１２", "1_000", "Infinity", "8;8", "\t8"),
    *("4k", "64M", "85%", "3,14", "1,2,3", "12 GB", "5 ms", "OOM", "9" * 400 + "k", "1e308T", "no/config.json"),
)
ROUGH = ("short", "long", "latin", "quote", "closed quote")


def bad_file(kind, rng, rows=3):
    """(bytes of a CSV file of corpus rows with one thing wrong, rows of the corpus, which of them has it, what was done)."""
    columns = data.columns(corpus.TABLES[kind])
    size = len(next(iter(columns.values())))
    picked = rng.choice(size, rows, replace=False)
    header = list(columns)
    lines = [[columns[c][i] for c in header] for i in picked]
    bad = int(rng.integers(rows))
    if rng.random() < 0.15:
        how = ROUGH[rng.integers(len(ROUGH))]
        return _rough(header, lines, bad, how), picked, bad, how
    used = [i for i, c in enumerate(header) if lines[bad][i] != ""] if rng.random() < 0.7 else range(len(header))
    place = used[rng.integers(len(used))]
    lines[bad][place] = CELLS[rng.integers(len(CELLS))]
    return _written(header, lines), picked, bad, f"{header[place]} = {lines[bad][place][:30]!r}"


def _written(header, lines):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *lines])
    return out.getvalue().encode()


def _rough(header, lines, bad, how):
    if how == "short":
        lines[bad] = lines[bad][:-3]
    elif how == "long":
        lines[bad] = [*lines[bad], "8", "9"]
    lines[bad] = [cell.replace("\n", " ") for cell in lines[bad]]
    rows = _written(header, lines[:bad]), _written(lines[bad], []), _written(header, lines[bad + 1 :])
    mine = rows[1]
    if how == "latin":
        mine = b"M\xfcller" + mine
    elif "quote" in how:
        mine = b'"' + mine if how == "quote" else b'"a"b' + mine
    return rows[0] + mine + rows[2].split(b"\n", 1)[1]


# ---- command lines

WORDS = (
    *("0", "-1", "97", "1000000000", "1e9", "nan", "inf", "9" * 30, "", " ", "eight", "--nope", "8.5", "-5", "é"),
    *(
        "Llama-3-8B",
        "H100 SXM5",
        "GPT-3 175B",
        "DGX H100",
        "kernels",
        "nonsense",
        "../../etc/passwd",
        "x" * 5000,
        "[",
        "%s",
    ),
)
LINES = (
    ("fits", "Llama-3-8B", "H100 SXM5", "--chips", "2", "--context", "4096", "--batch", "2", "--format", "bf16"),
    ("fits", "Llama-3-8B", "H100 SXM5", "--train", "--chips", "8", "--context", "2048"),
    (
        "search",
        "Llama-3-8B",
        "DGX H100",
        "--chips",
        "1",
        "--batch",
        "2",
        "--seq",
        "128",
        "--top",
        "1",
        "--software",
        "2024",
    ),
    ("chips", "H100 SXM5"),
    ("models", "Llama-3-8B"),
    ("systems", "DGX H100"),
    ("sources", "williams2009roofline"),
    ("predict", "kernels", "nowhere.csv"),
    ("score", "kernels"),
    ("read", "nowhere.log", "--kind", "serve", "--set", "chip=T4"),
)


# ---- logs


def bad_log(text, rng):
    """A log in which lines or words are lost, doubled, cut off or another."""
    lines = text.splitlines()
    for _ in range(rng.integers(1, 6)):
        at, how = rng.integers(len(lines)), rng.integers(5)
        words = lines[at].split(" ")
        words[rng.integers(len(words))] = CELLS[rng.integers(len(CELLS))]
        lines[at : at + 1] = ([], [lines[at]] * 2, [lines[at][: len(lines[at]) // 2]], [" ".join(words)], ["{", "[1"])[
            how
        ]
        if not lines:
            break
    return "\n".join(lines[: rng.integers(1, len(lines) + 1)] if rng.random() < 0.2 else lines)


def bad_line(rng):
    """A command line in which one word is another."""
    line = list(LINES[rng.integers(len(LINES))])
    line[rng.integers(1, len(line))] = WORDS[rng.integers(len(WORDS))]
    return line
