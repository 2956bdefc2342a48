"""Rows of the inference corpus, and of a reader's own file, as calls of `inference`."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import find_model, model, models
from bottlenecks.facts.chips import BYTES_PER_VALUE, bytes_per_value, chip, chips
from bottlenecks.facts.doors import nearest
from bottlenecks.laws import shares
from bottlenecks.models import engines, inference, requests
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import SERVER, release

PHASES = ("prefill", "decode", "end_to_end")
SIZES = ("n_chips", "tp", "pp", "ep", "batch")  # at least one where they are given
LENGTHS = ("input_len", "output_len")
MEASURED = ("latency_s", "s_per_output_token", "tokens_per_s", "ttft_s")
SATURATED = ("max load", "saturat", "offline", "in-flight", "concurrency")
MOST_SEQUENCES = 2048  # that serving stacks schedule at once unless told otherwise
OPEN_OUTPUT = 200  # tokens of an answer whose length is left out, as benchmarks of one user make
OPEN_CONTEXT = 1024  # tokens in the cache, where lengths are left out
WEIGHTS = {  # spelling -> format of weights, format of the output head
    "int4-g32": ("int4_g32", None),
    "int4": ("int4_g32", None),
    "q4_k_m": ("q4_k_m", None),
    "fp4": ("nvfp4", "bf16"),
    "nvfp4": ("nvfp4", "bf16"),
    "mxfp4": ("mxfp4", "bf16"),
}
SPREADS = ("one chip", "many chips", "saturated")  # kinds of rows that have their own
HOSTS = ("pytorch", "vllm", "sglang")  # serving stacks that run kernels from Python


BY_NAME = (  # what a program calls itself, in small letters -> its software; the first that fits
    (r"llama\.cpp|ollama|\bggml", "llama.cpp"),
    (r"fastertransformer", "FasterTransformer"),
    (r"megatron|transformers\b|hugging ?face|\bhf\b|\beager\b", "eager PyTorch"),
    (r"vllm\D*0\.[0-2](\.|\b)|vllm.*\b2023\b", "vLLM 2023"),
)


class Case(NamedTuple):
    """Rows that one call predicts: which, of what kind; time(server) -> seconds."""

    rows: np.ndarray
    server: object
    time: Callable
    kind: str
    assumed: str
    hosted: bool  # by a stack whose routed experts have a fitted constant
    routed: bool  # a mixture of experts


@cache
def constants():
    """What software adds, and the spread of measurements: name -> row of the file."""
    return {row["constant"]: row for row in data.rows("inference_constants")}


def value(name):
    """A fitted constant."""
    return float(constants()[name]["value"])


def groups(columns):
    """What a row is scored under: phase, and whether chips share the work."""
    many = np.where(columns["n_chips"] > 1, "many chips", "one chip")
    phase = np.where(_saturated(columns), "saturated", columns["phase"])
    phase = np.where(phase == "end_to_end", "static", phase)
    found = np.char.add(np.char.add(phase, ", "), many)
    return np.where(phase == "saturated", "saturated", found)


def _saturated(columns):
    """Rows whose requests never run out: throughput of a server, not one batch from start to end."""
    text = np.char.lower(np.char.add(columns["framework"], columns["notes"]))
    told = np.any([np.char.find(text, word) >= 0 for word in SATURATED], axis=0)
    unknown = np.isnan(columns["batch"]) & np.isnan(columns["latency_s"])
    return (columns["phase"] == "end_to_end") & (told | unknown)


def cases(columns):
    """(cases, reasons): every row is in one case, or has a reason why it is in none."""
    reasons = _impossible(columns)
    names = ("chip_name", "chip", "model", "phase", "weight_dtype", "act_dtype", "kv_dtype", "framework")
    texts = [columns[n].tolist() for n in names]
    numbers = [np.nan_to_num(columns[n], nan=-1).tolist() for n in ("n_chips", "tp", "pp", "ep")]
    blanks = [np.isnan(columns[n]).tolist() for n in ("batch", *LENGTHS, *MEASURED)]
    words = [[_words(n) for n in columns["notes"].tolist()], _saturated(columns).tolist()]
    together = {}
    for i, key in enumerate(zip(*texts, *numbers, *blanks, *words, strict=True)):
        if reasons[i] == "":
            together.setdefault(key, []).append(i)
    found = []
    for rows in map(np.array, together.values()):
        try:
            found.append(_case({c: columns[c][rows] for c in columns}, rows))
        except ValueError as problem:
            reasons[rows] = str(problem)
    return found, reasons.astype(str)


def _words(note):
    """What of a row's notes changes its prediction."""
    said = ("weight-gathered", "speculative", "MTP")
    return tuple(word for word in said if word in note)


def _impossible(columns):
    """Why a row can be no run: '' or words. A blank (NaN) is none of it."""
    reasons = np.full(columns["phase"].size, "", dtype=object)
    for name in (*SIZES, *LENGTHS, *MEASURED):
        least = 1 if name in SIZES else 0
        strict = name in MEASURED
        given = columns[name]
        bad = np.isinf(given) | ((given <= 0) if strict else (given < least))
        for i in np.flatnonzero(bad):
            bound = "above zero" if strict else f"at least {least}"
            reasons[i] = f"{name} must be {bound} and finite, got {given[i]:g}"
    for i in np.flatnonzero(~np.isin(columns["phase"], PHASES)):
        reasons[i] = f"phase must be one of {', '.join(PHASES)}, got {str(columns['phase'][i])!r}"
    return reasons


def _case(mine, rows):
    """The case of rows alike in all but numbers; ValueError: why there is none."""
    first = {c: v[0] for c, v in mine.items()}
    shape = _model(str(first["model"]))
    on = _chip(first)
    said = _words(str(first["notes"]))
    if "speculative" in said or "MTP" in said:
        raise ValueError("speculative decoding: the acceptance rate is not in the row")
    format, weight_format, head_format, cache_format, assumed = _formats(first, shape, on)
    phase, saturated = str(first["phase"]), bool(_saturated(mine)[0])
    software = str(first["framework"]).casefold()
    hosted = phase == "end_to_end" and saturated and any(word in software for word in HOSTS)
    plan, copies, more = _plan(first, shape, on, hosted, said, weight_format, head_format, cache_format)
    assumed = assumed + more
    server = machine(on, format, experts_times=value("experts_times") if hosted else 1.0)
    batch, prompt, output = mine["batch"], mine["input_len"], mine["output_len"]
    lengths_open = np.isnan(prompt).any()
    if saturated:
        time, more = _under_load(shape, plan, server, batch, prompt, output, copies)
        kind = "saturated"
    else:
        if np.isnan(batch).any():
            if phase == "prefill":
                batch, assumed = np.ones(rows.size), [*assumed, "one sequence"]
            elif np.isfinite(first["tokens_per_s"]) and np.isfinite(first["s_per_output_token"]):
                copies = mine["n_chips"] / plan.chips
                batch = np.maximum(mine["tokens_per_s"] * mine["s_per_output_token"] / copies / plan.ep, 1)
                assumed = [*assumed, "sequences: tokens a second times seconds a token"]
            else:
                batch, assumed = np.ones(rows.size), [*assumed, "one sequence"]
        time, more = _alone(shape, plan, server, phase, batch, prompt, output, lengths_open, first)
        kind = "many chips" if plan.chips > 1 else "one chip"
    note = "; ".join(filter(None, assumed + more + list(server.assumed)))
    return Case(rows, server, time, kind, note, hosted, shape.experts is not None)


def _model(name):
    if not name:
        raise ValueError("no model is named")
    found = find_model(name)
    if not found:
        near = nearest(name, models())
        raise ValueError(f"model {name!r} is not in the catalog" + (f"; did you mean {near!r}?" if near else ""))
    return model(found)


def _chip(first):
    if first["chip_name"]:
        found = chip(str(first["chip_name"]))
        if not found.peaks:
            raise ValueError(f"{found.name} has no published peak")
        if found.kind in ("LPU", "wafer"):
            raise ValueError(f"{found.name} keeps weights on many chips, and how many is not in the row")
        return found
    printed = str(first["chip"])
    if not printed:
        raise ValueError("no chip is named")
    if printed in corpus.UNRESOLVED:
        raise ValueError(f"chip {printed!r}: {corpus.UNRESOLVED[printed]}")
    near = nearest(printed, chips())
    raise ValueError(f"chip {printed!r} is not in the catalog" + (f"; did you mean {near!r}?" if near else ""))


def _named(text):
    """The first format that a text names, or ''."""
    text = text.casefold().replace("bfloat", "bf").replace("float", "fp").replace("e4m3", "fp8")
    text = re.sub(r"\bf16\b", "fp16", text)
    longest_first = sorted(BYTES_PER_VALUE, key=len, reverse=True)
    found = re.search("|".join(longest_first), text)
    return found[0] if found else ""


def _formats(first, shape, on):
    """(of products, of weights, of the head, of the cache, what was assumed)."""
    spelled, assumed = str(first["weight_dtype"]).casefold(), []
    wide = next((f for f in ("bf16", "fp16", "fp32") if f in on.peaks), None)
    if wide is None:
        raise ValueError(f"{on.name} has no 16-bit peak")
    software = str(first["framework"]).casefold()
    if "llama.cpp" in software and "fp16_acc16" in on.peaks:
        wide = "fp16_acc16"  # llamacpp-pr3370
    if spelled in WEIGHTS:
        weights, head = WEIGHTS[spelled]
    else:
        weights, head = _named(spelled), None
    if not weights:
        small = shape.name.startswith("gpt-oss")  # released in four bits
        weights, head = ("mxfp4", "bf16") if small else ("bf16", None)
        assumed.append("weights in four bits" if small else "16-bit weights")
    if weights == "bf16" and "bf16" not in on.peaks:
        weights = "fp16"
    asked = _named(str(first["act_dtype"])) or (weights if weights == "fp8" else wide)
    products = asked if asked in on.peaks and bytes_per_value(asked) < 2 else wide
    if bytes_per_value(asked) < 2 and products == wide:
        assumed.append(f"{asked} operands multiplied as {wide}")
    if weights == "fp8" and head is None:
        head = "bf16"  # serving stacks leave the head whole
    if shape.name.startswith("gpt-oss") and weights == "fp8":
        weights = "mxfp4"  # the experts, nearly all of it, come in four bits and stay so
    cache = _named(str(first["kv_dtype"]))
    if not cache:
        cache = "fp8" if products in ("fp8", "fp4") else "bf16"
        assumed += [f"{cache} cache"] * (cache == "fp8")
    return products, weights, head, cache, assumed


def _plan(first, shape, on, hosted, said, weight_format, head_format, cache_format):
    """(Plan, copies of it on the row's chips, what was assumed)."""
    number = {n: int(first[n]) if np.isfinite(first[n]) else None for n in ("n_chips", "tp", "pp", "ep")}
    n, tp, pp, ep = number["n_chips"], number["tp"], number["pp"], number["ep"]
    assumed, stationary = [], "1-D"
    if n is None:
        n = (tp or 1) * (pp or 1) * (ep or 1)
        assumed += [f"{n} chip{'s' * (n > 1)}"]
    mixture = shape.experts is not None
    if ep is not None and not mixture:
        ep = None
    if tp is not None and ep is not None and tp * ep > n and tp == n:
        ep = None  # experts over the same chips as the rest: about as many bytes and exchanges
        assumed.append("experts cut as the rest is")
    if tp is None and ep is None:
        tp = max(n // (pp or 1), 1)
        if tp > 1 and on.kind == "TPU":
            stationary = "gathered" if "weight-gathered" in said else "2-D"
            assumed.append(f"weights {'gathered' if stationary == 'gathered' else 'cut both ways'}")
        elif tp > 1:
            tp = int(np.gcd(tp, shape.heads))  # a copy holds whole heads; the other chips hold copies
            assumed.append("tensor parallel")
    elif hosted and mixture and tp is not None and tp > 1 and ep is None:
        tp, ep = 1, tp
        assumed.append("attention data parallel, experts over all chips")
    tp, pp, ep = tp or 1, pp or 1, ep or 1
    if np.mod(shape.heads, tp) and stationary == "1-D":
        raise ValueError(f"tp {tp} does not divide the {shape.heads} heads of {shape.name}")
    if mixture and np.mod(shape.experts, ep):
        assumed.append("experts cut unevenly")
    plan = inference.Plan(
        tp=tp,
        pp=pp,
        ep=ep,
        weight_format=weight_format,
        head_format=head_format,
        cache_format=cache_format,
        stationary=stationary,
        parallel_block="in parallel" in shape.notes,
        software=_software(str(first["framework"]), maker=on.vendor),
    )
    return plan, max(n / plan.chips, 1.0), assumed


def _software(program, *, maker):
    """The software of a program by its name; a compiled server, where it has no row. `maker` is that of the chip."""
    found = next((s for words, s in BY_NAME if re.search(words, program.casefold())), None)
    if found == "llama.cpp" and maker == "Apple":
        found = "llama.cpp, Metal"
    return release(found) if found else SERVER


def _under_load(shape, plan, server, batch, prompt, output, copies):
    """Seconds a token of all copies together, and what was assumed."""
    if np.isnan(prompt).any() or np.isnan(output).any():
        raise ValueError("the row leaves the length of prompts or answers open")
    output = np.maximum(output, 1)
    if np.isnan(batch).any():
        fits = requests.largest_batch(shape, plan, server, context=prompt + output)
        if np.any(fits < 1):
            fits = requests.largest_batch(shape, plan, server, context=prompt + output, held_back=0.97)
        if np.any(fits < 1):
            raise ValueError("the weights and one sequence do not fit the chips' memory")
        at_once, note = np.minimum(fits, MOST_SEQUENCES), "as many sequences as fit, 2,048 at most"
    else:
        at_once, note = np.maximum(batch / copies / plan.ep, 1), ""
    busy = np.fmin(batch / copies / plan.ep, 1)  # of groups, where there are more than sequences

    def time(on):
        load = requests.saturated(shape, plan, on, batch=at_once, prompt=prompt, output=output)
        return 1 / (load.tokens_per_s * copies * busy)

    return time, [note]


def _alone(shape, plan, server, phase, batch, prompt, output, lengths_open, first):
    """Seconds of a prefill, a step, or a run from start to end, and what was assumed."""
    note = []
    mine = np.maximum(batch / plan.ep, 1)
    if phase == "prefill":
        if lengths_open:
            raise ValueError("the row leaves the length of the prompts open")
        if plan.stationary != "1-D":
            ways = [replace(plan, stationary=s) for s in ("2-D", "gathered")]
            return lambda on: np.minimum(
                *(inference.prefill_s(shape, way, on, batch=mine, prompt=prompt) for way in ways)
            ), ["weights cut both ways or gathered, whichever is sooner"]
        if plan.software.part_tokens:
            return lambda on: _in_parts(shape, plan, on, mine, prompt), note
        return lambda on: inference.prefill_s(shape, plan, on, batch=mine, prompt=prompt), note
    made = np.where(np.isnan(output), OPEN_OUTPUT, output)
    note += [f"answers of {OPEN_OUTPUT} tokens"] * bool(np.isnan(output).any() and not lengths_open)
    run = phase == "end_to_end" and np.isfinite(first["latency_s"])
    if run:
        if lengths_open or np.isnan(output).any():
            raise ValueError("the row leaves the length of prompts or answers open")
        return lambda on: requests.run(shape, plan, on, batch=mine, prompt=prompt, output=output).seconds, note
    context = np.maximum(prompt + made / 2, 1)
    if lengths_open:
        context = np.full(prompt.shape, float(OPEN_CONTEXT))
        note.append(f"{OPEN_CONTEXT:,} tokens in the cache")
    return lambda on: inference.decode_s(shape, plan, on, batch=mine, context=context), note


def _in_parts(shape, plan, on, batch, prompt):
    """Seconds of a prompt read in parts, each seeing those before it, over stages of layers."""
    program = plan.software
    parts = np.ceil(prompt / program.part_tokens)
    size = prompt / parts
    middle, half = (prompt - size) / 2, (prompt - size) / 12**0.5
    ends = (
        inference.prefill(shape, plan, on, batch=batch, prompt=size, cached=middle + sign * half) for sign in (-1, 1)
    )
    part_s = sum(end.seconds for end in ends) / 2
    many = {"batch": 1, "queries": program.part_tokens, "keys": program.part_tokens}
    dealt = shape.layers + 1  # the head counts as one
    largest = np.ceil(dealt / plan.pp)
    launches = engines.launches(inference.rows(shape, plan, on, **many)) * largest / dealt
    ahead = engines.parts_under_way(plan.pp, launches=launches, queue=program.queue)
    ahead = np.minimum(np.minimum(ahead, program.parts_ahead), dealt / largest)
    return part_s * (1 + (parts - 1) / ahead)


# ---- predictions


def predict(columns, *, owners=True):
    """Seconds of every row, with the interval, the owner and what was assumed: name -> array.

    Seconds are those of a prompt, a step, or a run from start to end; of a saturated server, those
    between two tokens of all its sequences together. NaN where `reason` says why.
    """
    size = columns["phase"].size
    seconds, low, high = (np.full(size, np.nan) for _ in range(3))
    bound, assumed = (np.full(size, "", dtype=object) for _ in range(2))
    found, reasons = cases(columns)
    for case in found:
        seconds[case.rows] = case.time(case.server)
        spread = constants()[f"spread_{case.kind}"]
        low[case.rows] = seconds[case.rows] * float(spread["low"])
        high[case.rows] = seconds[case.rows] * float(spread["high"])
        if owners:
            owned = shares.shares(case.time, case.server, RESOURCES)
            bound[case.rows] = shares.largest(owned)
        assumed[case.rows] = case.assumed
    return {
        "seconds": seconds,
        "low_s": low,
        "high_s": high,
        "bound": bound.astype(str),
        "assumed": assumed.astype(str),
        "reason": reasons,
    }


def headline(columns, seconds):
    """(measured, predicted, unit) as the row states it: a latency, seconds a token, or tokens a second."""
    c = columns
    saturated = _saturated(c)
    decode = ~saturated & ((c["phase"] == "decode") | np.isnan(c["latency_s"]))
    decode &= c["phase"] != "prefill"
    batch = np.where(np.isfinite(c["batch"]), c["batch"], 1)
    whole = {"prefill": batch * c["input_len"], "end_to_end": batch * c["output_len"]}
    tokens = np.select(
        [saturated, decode], [1.0, batch], np.where(c["phase"] == "prefill", whole["prefill"], whole["end_to_end"])
    )
    per_token = decode & np.isfinite(c["s_per_output_token"])
    latency = ~saturated & ~decode & np.isfinite(c["latency_s"])
    rate = np.isfinite(c["tokens_per_s"])
    choices = (per_token, latency, rate)
    measured = np.select(choices, (c["s_per_output_token"] * 1e3, c["latency_s"], c["tokens_per_s"]), np.nan)
    wanted = saturated  # what to print where nothing is measured
    predicted = np.select(
        (*choices, wanted, decode), (seconds * 1e3, seconds, tokens / seconds, 1 / seconds, seconds * 1e3), seconds
    )
    unit = np.select((*choices, wanted, decode), ("ms/token", "s", "tokens/s", "tokens/s", "ms/token"), "s")
    return measured, predicted, unit
