"""Rows of the inference corpus, and of a reader's own file, as calls of `inference`."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import formats
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.architectures import why_unknown as why_unknown_model
from bottlenecks.facts.chips import chip, why_unknown
from bottlenecks.facts.doors import positive
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.measured.cases import Cases, alike, impossible, largest, predictions, sorted_out
from bottlenecks.models import engines, inference, requests
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import SERVER, TODAY, at, find_stack

PHASES = ("prefill", "decode", "end_to_end")
LENGTHS = ("input_len", "output_len")
MEASURED = ("latency_s", "s_per_output_token", "tokens_per_s", "ttft_s")
MOST_SEQUENCES = 2048  # that serving stacks schedule at once unless told otherwise
OPEN_OUTPUT = 200  # tokens of an answer whose length is left out, as benchmarks of one user make
OPEN_CONTEXT = 1024  # tokens in the cache, where lengths are left out
TEXTS = ("chip_name", "chip", "model", "phase", "weight_dtype", "act_dtype", "kv_dtype", "software", "software_date")
TEXTS += ("load", "stationary")  # rows of a case are alike in these
SWITCHES = ("n_chips", "tp", "pp", "ep", "speculative")  # and in these
SPREADS = ("one chip", "many chips", "saturated")  # kinds of rows that have their own


class Case(NamedTuple):
    """Rows that one call predicts: which, of what kind; time(server) -> seconds."""

    rows: np.ndarray
    on: object  # the server
    time: Callable
    kind: str
    assumed: str
    hosted: bool  # by a stack whose routed experts have a fitted constant
    routed: bool  # a mixture of experts
    together: bool  # over several chips that sum in each layer, in steps that no host launches
    open: object = 0.0  # deviation of the logarithm of the time over what the rows leave open


@cache
def constants():
    """What software adds, and the spread of measurements: name -> row of the file."""
    return {row["constant"]: row for row in data.rows("inference_constants")}


def value(name):
    """A fitted constant."""
    return float(constants()[name]["value"])


def server(where, shape, format="bf16"):
    """Chips as a serving program of today finds them, with every constant fitted for the model that it serves."""
    return machine(where, format, experts_times=1.0 if shape.experts is None else value("experts_times"))


def cases(columns):
    """`Cases` of a table of inference."""
    reasons = impossible(columns)
    for i in np.flatnonzero(~np.isin(columns["phase"], PHASES)):
        reasons[i] = f"phase must be one of {', '.join(PHASES)}, got {str(columns['phase'][i])!r}"
    columns = columns | {"load": _load(columns)}
    found = []
    for alike_rows in alike(columns, TEXTS, SWITCHES, ("batch", *LENGTHS, *MEASURED), among=reasons == ""):
        found += sorted_out(lambda rows: [_case({c: columns[c][rows] for c in columns}, rows)], alike_rows, reasons)
    return Cases(columns, found, reasons.astype(str))


def _load(columns):
    """ "saturated" where requests never run out: stated, or a whole run with neither a batch nor a latency."""
    unknown = np.isnan(columns["batch"]) & np.isnan(columns["latency_s"])
    found = np.where(unknown & (columns["load"] == ""), "saturated", columns["load"])
    return np.where((columns["phase"] == "end_to_end") & (found == "saturated"), "saturated", "static")


def groups(cases):
    """What a row is scored under: `groups_of` its columns."""
    return groups_of(cases.columns)


def groups_of(columns):
    """Phase, and whether chips share the work; a saturated server's rows together."""
    c = columns | {"load": _load(columns)}
    many = np.where(c["n_chips"] > 1, "many chips", "one chip")
    phase = np.where(c["phase"] == "end_to_end", "static", c["phase"])
    found = np.char.add(np.char.add(phase, ", "), many)
    return np.where(c["load"] == "saturated", "saturated", found)


def _case(mine, rows):
    """The case of rows alike in all but numbers; ValueError: why there is none."""
    first = {c: v[0] for c, v in mine.items()}
    shape = _model(str(first["model"]))
    on = _chip(first)
    if first["speculative"] == 1:
        raise ValueError("speculative decoding: the acceptance rate is not in the row")
    format, weight_format, head_format, cache_format, assumed = _formats(first, shape, on)
    phase, saturated = str(first["phase"]), first["load"] == "saturated"
    software = _software(first, on)
    hosted = saturated and software.python_host
    plan, copies, more = _plan(first, shape, on, software, hosted, weight_format, head_format, cache_format)
    assumed = assumed + more
    on_chips = server(on, shape, format) if hosted else machine(on, format)
    batch, prompt, output = mine["batch"], mine["input_len"], mine["output_len"]
    lengths_open = np.isnan(prompt).any()
    if saturated:
        time, more = _under_load(shape, plan, on_chips, batch, prompt, output, copies)
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
        time, more = _alone(shape, plan, on_chips, phase, batch, prompt, output, lengths_open, first)
        kind = "many chips" if plan.chips > 1 else "one chip"
    note = "; ".join(filter(None, assumed + more + list(on_chips.assumed)))
    together = plan.tp > 1 and plan.stationary == "1-D" and software.captured
    return Case(rows, on_chips, time, kind, note, hosted, shape.experts is not None, together)


def _model(name):
    if not name:
        raise ValueError("no model is named")
    found = find_model(name)
    if not found:
        raise ValueError(f"model {name!r} is not in the catalog{why_unknown_model(name).removesuffix('.')}")
    return model(found)


def _chip(first):
    if first["chip_name"]:
        found = chip(str(first["chip_name"]))
        if not found.peaks:
            raise ValueError(f"{found.name} has no published peak")
        if found.kind in ("LPU", "wafer"):
            raise ValueError(f"{found.name} keeps weights on many chips, and how many is not in the row")
        return found
    raise ValueError(why_unknown(str(first["chip"])))


def _formats(first, shape, on):
    """(of products, of weights, of the head, of the cache, what was assumed)."""
    assumed = []
    wide = next((f for f in ("bf16", "fp16", "fp32") if f in on.peaks), None)
    if wide is None:
        raise ValueError(f"{on.name} has no 16-bit peak")
    if _software(first, on).sums_in_16_bits and "fp16_acc16" in on.peaks:
        wide = "fp16_acc16"
    weights = formats.stored(str(first["weight_dtype"]), "weight_dtype")
    if not weights and (weights := formats.find_stored(str(first["model"]))):
        assumed.append(f"{weights} weights, by the model's name")
    if not weights:
        weights = shape.stored_format or "bf16"
        assumed.append("weights in four bits" if shape.stored_format else "16-bit weights")
    head, multiplied, cached = formats.beside(weights)
    if weights == "bf16" and "bf16" not in on.peaks:
        weights = "fp16"
    asked = next(iter(formats.operands("act_dtype", str(first["act_dtype"]))), multiplied or wide)
    products = asked if asked in on.peaks and bytes_per_value(asked) < 2 else wide
    if bytes_per_value(asked) < 2 and products == wide:
        assumed.append(f"{asked} operands multiplied as {wide}")
    if shape.stored_format and weights == "fp8":
        weights = shape.stored_format  # the experts, nearly all of it, come in four bits and stay so
    cache = formats.stored(str(first["kv_dtype"]), "kv_dtype") or cached
    if not cache:
        cache = "fp8" if products in ("fp8", "fp4") else "bf16"
        assumed += [f"{cache} cache"] * (cache == "fp8")
    return products, weights, head or None, cache, assumed


def _plan(first, shape, on, software, hosted, weight_format, head_format, cache_format):
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
            stationary = str(first["stationary"]) or "2-D"
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
        parallel_block=shape.parallel_block,
        software=software,
    )
    return plan, max(n / plan.chips, 1.0), assumed


def _software(first, on):
    """The software that a row names, as of its date; a compiled server, where it names none that is known."""
    stack = find_stack(str(first["software"]))
    return at(stack, str(first["software_date"]) or TODAY, on.family) if stack else SERVER


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
        positive("input_len", float(prompt.min()))
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


def predict(cases, *, owners=True):
    """`predictions` of the cases.

    Seconds are those of a prompt, a step, or a run from start to end; of a saturated server, those
    between two tokens of all its sequences together.
    """
    return predictions(cases, owner=largest(RESOURCES) if owners else None)


def classes(cases):
    """{factor: level of each row}: what kind of program, and what it did."""
    return {"program": cases.columns["program"], "work": groups(cases)}


def headline(cases, seconds):
    """(measured, predicted, unit) as the row states it: a latency, seconds a token, or tokens a second."""
    c = cases.columns
    saturated = c["load"] == "saturated"
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
