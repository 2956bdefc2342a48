"""Rows of the inference corpus, and of a reader's own file, as calls of `inference`.

What a row leaves open (lengths, sequences at once, the date of the software) is evaluated over its plausible values;
the one of the median time stands for the row, and the others widen its interval.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from bottlenecks.facts import formats
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.architectures import why_unknown as why_unknown_model
from bottlenecks.facts.chips import chip, why_unknown
from bottlenecks.facts.configs import from_config
from bottlenecks.facts.doors import positive
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.workloads import find_workload, lengths
from bottlenecks.measured import choices
from bottlenecks.measured.cases import (
    Cases,
    alike,
    impossible,
    joined,
    largest,
    middles,
    over_boards,
    predictions,
    sorted_out,
)
from bottlenecks.measured.open import TASTE
from bottlenecks.models import engines, inference, requests
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import SERVER, TODAY, Software, at, find_stack

PHASES = ("prefill", "decode", "end_to_end")
LOADS = ("static", "saturated")
LENGTHS = ("input_len", "output_len")
MEASURED = ("latency_s", "s_per_output_token", "tokens_per_s", "ttft_s")
MOST_SEQUENCES = 2048  # that serving stacks schedule at once unless told otherwise
FOUR_BITS = {"AMD": "mxfp4"}  # whose four bits are not NVIDIA's
PAIR = 2  # cards that a bridge joins
FULL = 0.97  # share of the memory that a server can give at most
TEXTS = ("chip_name", "chip", "model", "phase", "weight_dtype", "act_dtype", "kv_dtype", "software", "software_date")
TEXTS += ("load", "stationary")  # rows of a case are alike in these
SWITCHED = tuple(field.name for field in fields(Software) if field.name != "name")
SWITCHES = ("n_chips", "tp", "pp", "ep", "speculative")  # and in these


class Case(NamedTuple):
    """Rows that one call predicts: which, of what kind; time(server) -> seconds."""

    rows: np.ndarray
    on: object  # the server
    time: Callable
    kind: str
    tokens: np.ndarray  # that a rate counts in these seconds
    batch: np.ndarray  # sequences of all chips together; of a busy server those of a copy
    prompt: np.ndarray
    output: np.ndarray
    weight_format: str
    cache_format: str
    assumed: np.ndarray  # in words
    routed: bool  # a mixture of experts
    together: bool  # over several chips that sum in each layer, in steps that no host launches
    open: object = 0.0  # deviation of the logarithm of the time over what the rows leave open


class World(NamedTuple):
    """One way to settle what rows leave open; None: nothing to settle."""

    software: object
    prompt: float | None = None  # tokens
    output: float | None = None  # tokens
    full: float | None = None  # sequences at once, as a share of those that fit
    weights: str = ""  # format of stored weights
    tp: int | None = None  # chips of a copy
    weight: float = 1.0


# ---- rows to cases


@over_boards
def cases(columns):
    """`Cases` of a table of inference."""
    reasons = impossible(columns)
    for i in np.flatnonzero(~np.isin(columns["phase"], PHASES)):
        reasons[i] = f"phase must be one of {', '.join(PHASES)}, got {str(columns['phase'][i])!r}"
    columns = columns | {"load": np.char.lower(columns["load"])}
    for i in np.flatnonzero(~np.isin(columns["load"], ("", *LOADS))):
        reasons[i] = f"load must be one of {', '.join(LOADS)} or blank, got {str(columns['load'][i])!r}"
    columns = settled(columns)
    found = []
    for alike_rows in alike(columns, TEXTS, SWITCHES, ("batch", *LENGTHS, *MEASURED), among=reasons == ""):
        found += sorted_out(lambda rows: _cases({c: columns[c][rows] for c in columns}, rows), alike_rows, reasons)
    return Cases(columns, found, reasons.astype(str))


def settled(columns):
    """The columns with the load of each row, and rates of all chips where only those of one are printed."""
    columns = columns | _lengths(columns) | {"software": _software(columns)}
    rate = columns["tokens_per_s"]
    rate = np.where(np.isnan(rate), columns["tokens_per_s_per_chip"] * columns["n_chips"], rate)
    tried = columns.get("board_tried", np.full(rate.shape, ""))
    return columns | {"load": _load(columns), "tokens_per_s": rate, "board_tried": tried}


def _software(columns):
    """The program that each row names, known by its software or else by its framework; '' where neither is known."""
    names = ("software", "framework")
    pairs = list(zip(*(columns[name].tolist() for name in names), strict=True))
    known = {pair: _stack(dict(zip(names, pair, strict=True))) for pair in set(pairs)}
    return np.array([known[pair] for pair in pairs], dtype=str)


def _stack(row):
    return find_stack(row["software"]) or find_stack(row["framework"])


def _lengths(columns):
    """The columns of lengths, with the means of a named workload where a row prints none."""
    found = {name: columns[name].copy() for name in LENGTHS}
    for name in np.unique(columns["workload"][columns["workload"] != ""]).tolist():
        if find_workload(name):
            for column, tokens in zip(LENGTHS, lengths(name), strict=True):
                found[column][(columns["workload"] == name) & np.isnan(found[column])] = tokens
    return found


def _serve(columns):
    """Which rows ran on chips made to serve many: whose links join more than a pair."""
    names = columns["chip_name"].tolist()
    joined = {name: int(chip(name).facts.get("link_domain_chips") or 0) if name else 0 for name in set(names)}
    return np.array([joined[name] > PAIR for name in names], dtype=bool)


def _hosted(columns):
    """Which rows name a program that serves many at once."""
    names = columns["software"].tolist()
    serves = {name: at(find_stack(name), TODAY).python_host if find_stack(name) else False for name in set(names)}
    return np.array([serves[name] for name in names], dtype=bool)


def _load(columns):
    """ "saturated" where requests never run out: stated, or a whole run with neither a batch nor a latency; "full" where
    nothing tells how many sequences a server works on, nor what one of them waits; else "static".
    """
    unknown = np.isnan(columns["batch"]) & np.isnan(columns["latency_s"])
    found = np.where(unknown & (columns["load"] == ""), "saturated", columns["load"])
    whole = columns["phase"] == "end_to_end"
    full = unknown & np.isnan(columns["s_per_output_token"]) & np.isnan(columns["ttft_s"])
    full &= _serve(columns) & (_hosted(columns) | np.isfinite(columns["ep"]))  # on a card of one's own it is one user's
    full |= unknown & ~whole & (columns["load"] == "saturated")
    return np.where(whole, np.where(found == "saturated", "saturated", "static"), np.where(full, "full", "static"))


def groups(cases):
    """What a row is scored under: `groups_of` its columns."""
    return groups_of(cases.columns)


def groups_of(columns):
    """Phase, and whether chips share the work; a saturated server's rows together."""
    c = settled(columns)
    many = np.where(c["n_chips"] > 1, "many chips", "one chip")
    phase = np.where(c["phase"] == "end_to_end", "static", c["phase"])
    found = np.char.add(np.char.add(phase, ", "), many)
    return np.where(c["load"] == "saturated", "saturated", found)


def _cases(mine, rows):
    """The cases of rows alike in all but numbers; ValueError: why there are none."""
    worlds = _worlds({c: v[0] for c, v in mine.items()})
    if len(worlds) == 1:
        return [_case(mine, rows, worlds[0])]
    each, problem = [], None
    for world in worlds:
        try:
            each.append((world, _case(mine, rows, world)))
        except ValueError as refused:
            problem = problem or refused
    if not each:
        raise problem
    worlds, each = zip(*each, strict=True)
    seconds = np.array([np.broadcast_to(case.time(case.on) / case.tokens, rows.shape) for case in each])
    chosen, open = middles(seconds, _weights(worlds, seconds))
    found = []
    for which in np.unique(chosen).tolist():
        few = chosen == which
        settled = _case({c: v[few] for c, v in mine.items()}, rows[few], worlds[which])
        found.append(settled._replace(open=open[few]))
    return found


def _weights(worlds, seconds):
    """Of each world and row: as practitioners chose, and between cuts of the same by speed (eq:taste)."""
    weights = np.empty(seconds.shape)
    others = [world._replace(tp=None) for world in worlds]
    for kind in set(others):
        mine = np.array([other == kind for other in others])
        speed = (seconds[mine].min(axis=0) / seconds[mine]) ** TASTE
        weights[mine] = kind.weight * speed / speed.sum(axis=0)
    return weights


def _worlds(first):
    """Every way to settle what rows like the first leave open."""
    on = _chip(first)
    programs = _programs(first, on)
    prompts, outputs = (
        ((None, 1.0),) if np.isfinite(first[name]) or _unasked(first, name) else tuple(choices.weights(name).items())
        for name in LENGTHS
    )
    full = tuple(choices.weights("full").items()) if first["load"] == "full" else ((None, 1.0),)
    return [
        World(software, prompt, output, share, stored, tp, w * x * y * z * f)
        for (software, w), (prompt, x), (output, y), (share, z), (stored, f) in product(
            programs, prompts, outputs, full, _stored(first, on)
        )
        for tp in _cuts(first, on, stored)
    ]


def _stored(first, on):
    """((format of the weights, weight), ...): as stated ('': by the row, the name or the model), else what chips like it were given."""
    shape = model_of(str(first["model"]))
    told = formats.stored(str(first["weight_dtype"]), "weight_dtype") or formats.find_stored(str(first["model"]))
    if told or shape.stored_format or formats.operands("act_dtype", str(first["act_dtype"])):
        return (("", 1.0),)
    found = choices.weights(f"weights beside {choices.narrowest(on)}")
    return tuple(
        (FOUR_BITS.get(on.vendor, name) if name == "nvfp4" else name, weight) for name, weight in found.items()
    )


def _cuts(first, on, stored):
    """Chips of a copy of the model that a server's row leaves possible: (None,) where they are stated, or tuned for latency."""
    n = first["n_chips"]
    if (
        first["load"] == "static"
        or np.isfinite(first["tp"])
        or np.isfinite(first["ep"])
        or on.kind == "TPU"
        or not n > 1
    ):
        return (None,)
    shape = model_of(str(first["model"]))
    told = stored or formats.find_stored(str(first["weight_dtype"])) or formats.find_stored(str(first["model"]))
    least = _least_chips(shape, on, told or shape.stored_format or "bf16")
    found = [tp for tp in (1, 2, 4, 8) if n % tp == 0 and tp >= least and shape.heads % tp == 0]
    return tuple(found) or (None,)


def _unasked(first, name):
    """Does no time of a row depend on a length? A prompt's is that of its tokens alone."""
    return name == "output_len" and first["phase"] == "prefill"


def _case(mine, rows, world):
    """The case of rows alike in all but numbers, in one world; ValueError: why there is none."""
    first = {c: v[0] for c, v in mine.items()}
    shape, on, software = model_of(str(first["model"])), _chip(first), world.software
    if first["speculative"] == 1:
        raise ValueError("speculative decoding: the acceptance rate is not in the row")
    format, weight_format, head_format, cache_format, assumed = _formats(first, shape, on, software, world.weights)
    phase, load = str(first["phase"]), str(first["load"])
    hosted = load == "saturated" and software.python_host
    on_chips = machine(on, format)
    plan, copies, more = _plan(
        first, shape, on_chips, software, hosted, weight_format, head_format, cache_format, world.tp
    )
    assumed = assumed + more
    prompt, output = (
        np.full(rows.shape, v) if v is not None else mine[c]
        for c, v in zip(LENGTHS, (world.prompt, world.output), strict=True)
    )
    for tokens, of in ((world.prompt, "prompts"), (world.output, "answers")):
        assumed += [f"{of} of {tokens:,.0f} tokens"] if tokens is not None else []
    asked = Asked(shape, plan, on_chips, phase, prompt, np.maximum(output, 1), copies, mine["slots"], first)
    if load == "saturated":
        time, tokens, more = _under_load(asked, mine["batch"])
        kind, batch = "saturated", mine["batch"]
    else:
        batch, more = _sequences(asked, mine, world)
        assumed = assumed + more
        time, tokens, more = _alone(asked, batch)
        kind = "many chips" if plan.chips > 1 else "one chip"
    note = joined(*(np.broadcast_to(each, rows.shape) for each in ("", *assumed, *more, *on_chips.assumed)))
    together = plan.tp > 1 and plan.stationary == "1-D" and software.captured
    settled = (tokens, batch, prompt, asked.output, weight_format, cache_format)
    return Case(rows, on_chips, time, kind, *settled, note, shape.experts is not None, together)


class Asked(NamedTuple):
    """What one call is asked: the model, how it is cut, on what, which phase, of which lengths."""

    shape: object
    plan: object
    on: object
    phase: str
    prompt: np.ndarray
    output: np.ndarray
    copies: float
    slots: np.ndarray  # sequences that a graph of fixed shape was compiled for; NaN: as many as there are
    first: dict


def model_of(name):
    """The model that a row names, or its configuration file."""
    if not name:
        raise ValueError("no model is named")
    if name.endswith(".json"):
        return from_config(name)
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


def _formats(first, shape, on, software, told):
    """(of products, of weights, of the head, of the cache, what was assumed)."""
    assumed = []
    wide = next((f for f in ("bf16", "fp16", "fp32") if f in on.peaks), None)
    if wide is None:
        raise ValueError(f"{on.name} has no 16-bit peak")
    if software.sums_in_16_bits and "fp16_acc16" in on.peaks:
        wide = "fp16_acc16"
    weights = formats.stored(str(first["weight_dtype"]), "weight_dtype")
    if not weights and (weights := formats.find_stored(str(first["model"]))):
        assumed.append(f"{weights} weights, by the model's name")
    if not weights:
        weights = told or shape.stored_format or "bf16"
        assumed.append(f"{weights} weights")
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
        cache = "bf16"  # what servers keep unless told otherwise, beside narrow weights too
    return products, weights, head or None, cache, assumed


def _plan(first, shape, on, software, hosted, weight_format, head_format, cache_format, cut):
    """(Plan, copies of it on the row's chips, what was assumed)."""
    number = {n: int(first[n]) if np.isfinite(first[n]) else None for n in ("n_chips", "tp", "pp", "ep")}
    n, tp, pp, ep = number["n_chips"], cut or number["tp"], number["pp"], number["ep"]
    assumed, stationary = ([f"tensor parallel over {cut}"] if cut else []), "1-D"
    if n is None:
        n = (tp or 1) * (pp or 1) * (ep or 1)
        assumed += [f"{n} chip{'s' * (n > 1)}"]
    if (tp or 1) * (pp or 1) > n:
        raise ValueError(f"tp {tp or 1} x pp {pp or 1} is {(tp or 1) * (pp or 1)} chips, and the row has {n}")
    share, least, mixture = n, _least_chips(shape, on, weight_format), shape.experts is not None
    if (tp or 1) * (pp or 1) * (ep or 1) > n and mixture:
        n = (tp or 1) * (pp or 1) * (ep or 1)
        assumed.append(f"a share of {n} chips")
    elif least > n and tp is None and first["load"] in ("saturated", "full"):  # a share of what a larger machine yields
        n = int(n * 2 ** np.ceil(np.log2(2 * least / n)))
        assumed.append(f"a share of {n} chips, which hold the model")
    elif least > n and not _ran(first):
        raise ValueError(
            f"{weight_format} weights of {shape.name} do not fit {n} x {on.name}: they take {least} at least"
        )
    elif least > n:
        assumed.append("the weights do not fit the memory")
    if ep is not None and not mixture:
        ep = None
    if tp is not None and ep is not None and tp * ep > n and tp == n:
        ep = None  # experts over the same chips as the rest: about as many bytes and exchanges
        assumed.append("experts cut as the rest is")
    if tp is None and ep is None:
        tp = max(n // (pp or 1), 1)
        if tp > 1 and chip(on.name).kind == "TPU":
            stationary = str(first["stationary"]) or "2-D"
            assumed.append(f"weights {'gathered' if stationary == 'gathered' else 'cut both ways'}")
        elif tp > 1 and mixture and n > on.domain:
            tp, ep = 1, int(np.gcd(n, shape.experts))
            assumed.append("attention data parallel, experts over all chips")
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
    return plan, share / plan.chips if share < n else max(n / plan.chips, 1.0), assumed


def _ran(first):
    """Did the row run? It has a measurement, and its board is told (rates of a chip are those of all by now)."""
    return first["board_tried"] == "" and any(np.isfinite(first[name]) for name in MEASURED)


def _least_chips(shape, on, weight_format):
    """Chips whose memory holds the weights."""
    return int(np.ceil(shape.params * bytes_per_value(weight_format) / (FULL * on.memory_bytes)))


def _programs(first, on):
    """((software, weight), ...): the release that a row names, several where it has no date; a compiled server where none is known."""
    stack, date = find_stack(str(first["software"])), str(first["software_date"])
    if not stack:
        return ((SERVER, 1.0),)
    known = {}
    for day, weight in ((date, 1.0),) if date else choices.dates(on):
        software = at(stack, day, on.family)
        key = tuple(getattr(software, name) for name in SWITCHED)
        known[key] = (software, known.get(key, (None, 0.0))[1] + weight)
    return tuple(known.values())


# ---- seconds


def _under_load(asked, batch):
    """(seconds a token of all copies together, as a function of the server; tokens counted; what was assumed)."""
    shape, plan, _, _, prompt, output, copies, _, _ = asked
    if np.isnan(batch).any():
        at_once, note = _at_once(asked), "as many sequences as fit, 2,048 at most"
    else:
        at_once, note = np.maximum(batch / copies / plan.ep, 1), ""
        at_once = np.minimum(at_once, np.maximum(_fitting(asked), 1))  # the others wait
    busy = np.fmin(batch / copies / plan.ep, 1)  # of groups, where there are more than sequences

    def time(on):
        load = requests.saturated(shape, plan, on, batch=at_once, prompt=prompt, output=output)
        return 1 / (load.tokens_per_s * copies * busy)

    return time, np.ones(prompt.shape), [note]


def _fitting(asked, held_back=FULL):
    """Sequences of a group of chips that fit beside the weights."""
    context = np.ceil(np.nan_to_num(asked.prompt) + asked.output)
    return requests.largest_batch(asked.shape, asked.plan, asked.on, context=context, held_back=held_back)


def _at_once(asked):
    """Sequences that a full server works on."""
    fits = _fitting(asked, requests.HELD_BACK)
    if np.any(fits < 1):
        fits = _fitting(asked)
    if np.any(fits < 1):
        raise ValueError("the weights and one sequence do not fit the chips' memory")
    return np.minimum(fits, MOST_SEQUENCES)


def _sequences(asked, mine, world):
    """(sequences of a static batch over all copies, what was assumed)."""
    batch, plan, first = mine["batch"], asked.plan, asked.first
    if not np.isnan(batch).any():
        return batch, []
    if world.full is not None and asked.phase == "decode":
        share = np.maximum(world.full * _at_once(asked), 1) * plan.ep * asked.copies
        return share, [f"{world.full:.3g} of the sequences that fit"]
    if world.full is not None:
        return np.maximum(requests.CHUNK / asked.prompt, 1) * plan.ep * asked.copies, ["prompts by the chunk"]
    if asked.phase != "prefill" and np.isfinite(first["tokens_per_s"]) and np.isfinite(first["s_per_output_token"]):
        return np.maximum(mine["tokens_per_s"] * mine["s_per_output_token"], 1), [
            "sequences: tokens a second times seconds a token"
        ]
    return np.ones(batch.shape), ["one sequence"]


def _alone(asked, batch):
    """(seconds of a prefill, a step, or a run from start to end; tokens counted; what was assumed)."""
    shape, plan, _, phase, prompt, output, copies, slots, first = asked
    mine = np.maximum(np.fmax(batch, slots) / plan.ep / copies, 1)
    if phase == "prefill":
        positive("input_len", float(prompt.min()))
        note = ["weights cut both ways or gathered, whichever is sooner"] * (plan.stationary != "1-D")
        return lambda on: _prefill_s(asked, on, mine), batch * prompt, note
    fits = _fitting(asked) if plan.stationary == "1-D" else np.inf
    turns = np.maximum(mine / np.maximum(fits, 1), 1)  # what does not fit waits for its turn
    at_once, waits = mine / turns, [np.where(turns > 1, "sequences in turns: not all fit the memory", "")]
    if phase == "end_to_end" and is_run(first):

        def time(on):
            return turns * requests.run(shape, plan, on, batch=at_once, prompt=prompt, output=output).seconds

        return time, batch * output, waits
    context = np.maximum(requests.mean_context(plan, prompt, output), 1)
    return lambda on: turns * inference.decode_s(shape, plan, on, batch=at_once, context=context), batch, waits


def is_run(first):
    """Is what a static row of a whole run prints its time or rate, and not only that between two tokens?"""
    return bool(
        np.isfinite(first["latency_s"]) or np.isfinite(first["tokens_per_s"]) or np.isnan(first["s_per_output_token"])
    )


def _prefill_s(asked, on, batch):
    """Seconds of prompts by the way that a program takes."""
    shape, plan, prompt = asked.shape, asked.plan, asked.prompt
    if plan.stationary != "1-D":
        ways = [replace(plan, stationary=s) for s in ("2-D", "gathered")]
        return np.minimum(*(inference.prefill_s(shape, way, on, batch=batch, prompt=prompt) for way in ways))
    if plan.software.part_tokens:
        return _in_parts(shape, plan, on, batch, prompt)
    return inference.prefill_s(shape, plan, on, batch=batch, prompt=prompt)


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
    """{factor: level of each row}: what was done, and over how many chips."""
    return {"work": groups(cases)}


def headline(cases, seconds):
    """(measured, predicted, unit) as the row states it: a latency, seconds a token, or tokens a second."""
    c, tokens = cases.columns, np.ones(cases.reasons.size)
    for case in cases.found:
        tokens[case.rows] = case.tokens
    static = c["load"] == "static"
    decode = static & (c["phase"] == "decode")
    per_token = static & (c["phase"] != "prefill") & np.isfinite(c["s_per_output_token"])
    per_token &= decode | (np.isnan(c["latency_s"]) & np.isnan(c["tokens_per_s"]))
    latency = static & ~decode & np.isfinite(c["latency_s"])
    rate = np.isfinite(c["tokens_per_s"])
    first = static & (c["phase"] == "prefill") & np.isfinite(c["ttft_s"])
    wanted = ~static  # what to print where nothing is measured
    choices = (per_token, latency, rate, first)
    measured = np.select(
        choices, (c["s_per_output_token"] * 1e3, c["latency_s"], c["tokens_per_s"], c["ttft_s"]), np.nan
    )
    predicted = np.select(
        (*choices, wanted, decode),
        (seconds * 1e3, seconds, tokens / seconds, seconds, tokens / seconds, seconds * 1e3),
        seconds,
    )
    unit = np.select((*choices, wanted, decode), ("ms/token", "s", "tokens/s", "s", "tokens/s", "ms/token"), "s")
    return measured, predicted, unit
