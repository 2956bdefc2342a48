"""What a token costs in joules: measured boards, what their memory and arithmetic account for, and who pays for the rest."""

from functools import cache

import numpy as np

from bottlenecks.facts import formats
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.memories import memory
from bottlenecks.facts.tables import table
from bottlenecks.measured import scores
from bottlenecks.models import inference
from bottlenecks.models.machine import machine
from bottlenecks.studies import decoding

PROMPT = 512  # tokens before the answer, where a source does not say
FLOP_JOULES = 1.0e-12  # of a bf16 operation in large products, by a board's power: rpu2026
IDLE_WATTS = 80.0  # of an H100 that holds a model and does nothing: goatnote2025
DEVICES = {
    "H100 SXM5": "HBM2",
    "A100 SXM 80GB": "HBM2E",
    "B200 SXM (HGX)": "HBM3E",
}  # whose energy per bit is published
RIVALS = ("rated power", "parts", "one share")


@cache
def measured():
    """Measured boards while they decode: one element a row of data/energy_measured.csv in every column.

    watts (of one chip) and rated watts; step_s; bytes_per_s and flop_per_s (of one chip: weights and caches over the
    step, two operations for each active weight and token, those of the answer alone); joules of a token as measured, and
    what the memory's devices and the arithmetic account for of them.
    """
    rows = table("energy_measured")
    names = [find_model(name) for name in rows["model"].tolist()]
    found = {name: rows[name] for name in ("sources", "chip", "batch", "joules_per_token", "tokens_per_s")}
    found |= {"model": np.array(names), "chips": rows["n_chips"], "step_s": rows["batch"] / rows["tokens_per_s"]}
    found["watts"] = rows["watts"] / rows["n_chips"]
    found["rated_watts"] = np.array([chip(name).tdp_watts for name in rows["chip"].tolist()])
    size = [formats.bytes_per_value(formats.stored(text)) for text in rows["weight_dtype"].tolist()]
    contexts = PROMPT + rows["output_len"] / 2
    read = [_read(*each) for each in zip(names, size, rows["batch"], contexts, strict=True)]
    found["bytes_per_s"] = np.array(read) / found["step_s"] / rows["n_chips"]
    active = np.array([model(name).active_params for name in names])
    found["flop_per_s"] = 2 * active * rows["tokens_per_s"] / rows["n_chips"]
    per_byte = np.array([memory(DEVICES[name]).joules_per_byte for name in rows["chip"].tolist()])
    over = rows["n_chips"] / rows["tokens_per_s"]
    found["memory_joules"] = per_byte * found["bytes_per_s"] * over
    found["arithmetic_joules"] = FLOP_JOULES * found["flop_per_s"] * over
    return found


def _read(name, size, batch, context):
    weights, cache_ = decoding.reads(model(name), batch=float(batch), context=float(context))
    return weights * size / 2 + cache_


def runs():
    """(model, chip, chips) of each series of batches, those with most rows first."""
    found = measured()
    keys = list(zip(found["model"].tolist(), found["chip"].tolist(), found["chips"].astype(int).tolist(), strict=True))
    return sorted(set(keys), key=lambda key: (-keys.count(key), key))


def of_run(run):
    """The rows of one series, smallest batch first."""
    found = measured()
    mine = (found["model"] == run[0]) & (found["chip"] == run[1]) & (found["chips"] == run[2])
    order = np.argsort(found["batch"][mine], kind="stable")
    return {name: values[mine][order] for name, values in found.items()}


def told(run, batch, context=1024.0):
    """Joules of a token at batches: what a board usually draws for as long as a decode step is predicted to take, over the batch.

    Prompts, which a server reads in between, are left out. What it usually draws is `usual_share`, of the other series, of the
    rated power. Also what the memory's devices and the arithmetic take.
    """
    name, device, chips = run
    one_of("chip", device, DEVICES)
    batch = np.asarray(batch, dtype=float)
    plan = inference.Plan(tp=int(chips), weight_format="bf16")
    step = inference.decode_s(model(name), plan, machine(chip(device)), batch=batch, context=context)
    weights, caches = decoding.reads(model(name), batch=batch, context=context)
    return {
        "batch": batch,
        "board": usual_share(called(run)) * chips * chip(device).tdp_watts * step / batch,
        "memory": memory(DEVICES[device]).joules_per_byte * (weights + caches) / batch,
        "arithmetic": FLOP_JOULES * 2 * model(name).active_params + 0 * batch,
    }


def shares():
    """Of the measured rows: share of the rated power drawn; of the joules, what the memory's devices and the arithmetic take."""
    found = measured()
    return {
        "rated": found["watts"] / found["rated_watts"],
        "memory": found["memory_joules"] / found["joules_per_token"],
        "arithmetic": found["arithmetic_joules"] / found["joules_per_token"],
    }


def _series():
    """Of each measured row the name of its series."""
    found = measured()
    return np.array([called(key) for key in zip(found["model"], found["chip"], found["chips"], strict=True)])


def called(run):
    """The name of a series: model, chip, chips."""
    return " ".join(map(str, (*run[:2], int(run[2]))))


def usual_share(series):
    """The median share of its rated power that a board draws, over all series but one."""
    return float(np.median(shares()["rated"][_series() != series]))


def errors():
    """Three ways of telling a board's watts from the datasheet and the step: mean over series of the mean |ln(told / measured)|.

    rated power    what the datasheet says
    one share      the median share of the rated power over all other series
    parts          idle power, memory's devices and arithmetic added up
    """
    found, series = measured(), _series()
    other = np.array([usual_share(each) for each in series])
    tokens = found["tokens_per_s"] / found["chips"]
    parts = IDLE_WATTS + (found["memory_joules"] + found["arithmetic_joules"]) * tokens
    said = {"rated power": found["rated_watts"], "one share": other * found["rated_watts"], "parts": parts}
    return {name: scores.mean_error(np.log(said[name] / found["watts"]), series) for name in RIVALS}
