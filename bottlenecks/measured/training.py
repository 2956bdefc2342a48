"""Rows of the training corpus, and of a reader's own file, as calls of `training.step`.

A row becomes a model (`measured.shapes`), a layout (`measured.open`), a machine and a release of
software. Whoever states a model and a chip gets a prediction; what the row does not say is chosen by
rules that hold for every row, and named in `assumed`. What it does say wins.
"""

from dataclasses import dataclass, fields, replace
from functools import cache, cached_property

import numpy as np

from bottlenecks.facts import formats
from bottlenecks.facts.chips import chip, why_unknown
from bottlenecks.facts.doors import one_of
from bottlenecks.laws import shares
from bottlenecks.measured import choices
from bottlenecks.measured import open as left_open
from bottlenecks.measured.cases import Cases, impossible, middles, over_boards, predictions
from bottlenecks.measured.shapes import Assumed, model_of
from bottlenecks.models import training, wiring
from bottlenecks.models.kernels import IMPLEMENTATIONS
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import TODAY, at, find_stack

MEASURED = ("step_time_s", "tokens_per_s_per_chip", "flop_per_s_per_chip", "mfu", "hfu")
COMPILERS = {"TPU": "XLA", "Neuron": "Neuron"}  # family of chips -> the stack that compiles for it


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Rows that one call predicts: alike in model, machine and software; their layouts are arrays."""

    rows: np.ndarray
    model: object
    layout: Layout
    on: object
    software: object
    assumed: np.ndarray  # what each row leaves open, in words
    open: np.ndarray  # deviation of the logarithm of the time over what each row leaves open

    def time(self, on):
        """Seconds of a step of each row."""
        return training.seconds(self.model, self.layout, on=on, software=self.software)

    @cached_property
    def step(self):
        """The step with its seconds, tokens, FLOP and rows."""
        return training.step(self.model, self.layout, on=self.on, software=self.software, memory=False)


# ---- rows to cases


@over_boards
def cases(columns):
    """`Cases` of a table of training runs: rows alike in model, machine and software go together."""
    reasons, groups, names = impossible(columns), {}, list(columns)
    for i, values in enumerate(zip(*(columns[n].tolist() for n in names), strict=True)):
        if reasons[i]:
            continue
        try:
            shape, on, software, known, width, assumed = _run(dict(zip(names, values, strict=True)))
        except ValueError as problem:
            reasons[i] = str(problem)
            continue
        key = (_values(shape), _values(software), id(on))
        groups.setdefault(key, []).append((i, known, assumed, shape, on, software, width))
    found = []
    for members in groups.values():
        places, layouts, assumed, shapes, machines, programs, widths = zip(*members, strict=True)
        columns_of = {n: np.array([left_open.plain(known, n) for known in layouts]) for n in layouts[0]}
        found.append(
            Case(
                rows=np.array(places),
                model=shapes[0],
                layout=Layout(**columns_of),
                on=machines[0],
                software=programs[0],
                assumed=np.array([str(each) for each in assumed], dtype=object),
                open=np.array(widths),
            )
        )
    return Cases(columns, found, reasons.astype(str))


def _values(record):
    return tuple(getattr(record, f.name) for f in fields(record))


def _run(row):
    """(model, machine, software, fields of the layout, width, what is assumed) of a row; ValueError: why it can be none.

    What the row leaves open is evaluated over its plausible values; the one of the median time stands for all, and
    `width` is the standard deviation of the logarithm of the time over them.
    """
    assumed = Assumed()
    device = _chip(row)
    format, shape = _format(row, device, assumed), model_of(row, assumed)
    on = _machine(
        device.name,
        format,
        *(row[n] if np.isfinite(row[n]) else None for n in ("port_bytes_per_s", "power_limit_watts")),
    )
    programs = _programs(row, device)
    worlds = []
    for software, year, weight in programs:
        said = assumed.copy()
        said.add(f"software of {year}" + (", the middle of what may be" if len(programs) > 1 else ""))
        run = left_open.Run(row, shape, device, software, year)
        worlds.append(
            (run, said, weight, left_open.weigh(left_open.layouts(run, said), run, on, timed=len(programs) > 1))
        )
    each_s = np.concatenate([weighed.each_s for *_, weighed in worlds])
    weights = np.concatenate([weight * weighed.weights for *_, weight, weighed in worlds])
    at, width = (found.item() for found in middles(each_s[:, None], weights[:, None]))
    for run, said, _, weighed in worlds:
        if at < len(weighed.found):
            weighed.say(at, run, said)
            return shape, on, run.software, weighed.found[at], width, said
        at -= len(weighed.found)


def weighed(row):
    """The layouts that a row could mean, timed and weighed (`open.Weighed`), by the software of its date or of today."""
    assumed = Assumed()
    device = _chip(row)
    format, shape = _format(row, device, assumed), model_of(row, assumed)
    software, year = software_of(row, device, row["software_date"] or TODAY)
    run = left_open.Run(row, shape, device, software, year)
    return left_open.weigh(left_open.layouts(run, assumed), run, _machine(device.name, format, None, None), timed=True)


def _chip(row):
    if not row["chip_name"]:
        raise ValueError(why_unknown(row["chip"]))
    return chip(row["chip_name"])


def _format(row, device, assumed):
    """The format of the layers' products, or one that the chip multiplies as fast."""
    formats.operands("compute_dtype", row["compute_dtype"])
    format = formats.narrowest(row["compute_dtype"])
    if format == "bf16" and "bf16" not in device.peaks:
        raise ValueError(f"{device.name} has no bf16 peak; it has {', '.join(device.peaks)}")
    if not format:
        eight = next((f for f in ("fp8", "int8") if f in device.peaks), "bf16")
        format = eight if row["submission"] == 1 else "bf16"
        assumed.add(f"{format} products")
    twin = {"bf16": "fp16", "fp16": "bf16", "fp8": "int8"}.get(format, format)
    found = next((f for f in (format, twin) if f in device.peaks), None)
    if found is None:
        raise ValueError(f"{device.name} has no {format} peak")
    return found


def _programs(row, device):
    """((software, year of the tuned stack that it is measured by, weight), ...) of a row: several where no date is stated."""
    known = {}
    for date, weight in ((row["software_date"], 1.0),) if row["software_date"] else choices.dates(device):
        software, year = software_of(row, device, date)
        *_, before = known.get(_values(software), (0.0,))
        known[_values(software)] = (software, year, before + weight)
    return tuple(known.values())


def software_of(row, device, date):
    """(what the program of a row does, the year whose tuned stack it is measured by): its release, and what is stated."""
    year = at("tuned", date).name
    stack = find_stack(row["software"]) or COMPILERS.get(device.family, "tuned")
    stated = {
        "attention": one_of("attention", row["attention"], ("", *IMPLEMENTATIONS)) or None,
        "mask_fused": _flag(row["mask_fused"]),
        "sends_once": {"sends once": True, "plain": False}.get(row["dispatcher"]),
        "folds_experts": _flag(row["expert_folding"]),
        "host_s": 0.0 if row["graphs"] == 1 else None,
    }
    stated = {name: value for name, value in stated.items() if value is not None}
    return replace(at(stack, date, device.family), name=year, **stated), year


def _flag(value):
    """1 or 0 as yes or no; None where blank."""
    return bool(value) if np.isfinite(value) else None


@cache
def _machine(name, format, port, watts):
    """A chip's machine, made once: with the ports and the limit of power that a row states."""
    device = chip(name) if watts is None else replace(chip(name), tdp_watts=watts)
    return machine(device, format, tiers=wiring.tiers_of(device, port_bytes_per_s=port))


# ---- predictions


def predict(cases, *, owners=True):
    """`predictions` of the cases."""
    return predictions(cases, owner=_owner if owners else None)


def classes(cases):
    """{factor: level of each row}: what kind of program ran, "untold" where nothing is said of it."""
    program = cases.columns["program"]
    return {"program": np.where(program == "", "untold", program)}


def untold(columns):
    """The same rows as somebody gives them who says nothing of her program: practice learns from both."""
    blank = {
        name: np.full(columns[name].shape, "")
        for name in ("program", "software", "software_date", "attention", "dispatcher")
    }
    return columns | blank


def _owner(case):
    """The resource with the largest share; who has more than half needs no comparison."""
    first = shares.shares(case.time, case.on, {"compute": RESOURCES["compute"]})
    if np.all(first["compute"] > 0.5):
        return "compute"
    return shares.largest(shares.shares(case.time, case.on, RESOURCES))


def headline(cases, seconds):
    """(measured, predicted, unit): the step's seconds, else tokens/s a chip, else TFLOP/s a chip."""
    columns = cases.columns
    tokens, flop, peak = (np.full(cases.reasons.size, np.nan) for _ in range(3))
    kinds = _flop_kinds(columns)
    for case in cases.found:
        if np.all(np.isnan(seconds[case.rows])):
            continue
        work, rows = case.step, case.rows
        whole = columns["seq_len"][rows] / case.layout.seq_len  # a source counts padding too
        evaluated = np.nan_to_num(columns["evaluated_share"][rows])
        # the forward pass of what is evaluated is a third of what is not computed again
        more = 1 + evaluated * work.full_flop / 3 / work.hardware_flop
        tokens[rows] = work.tokens / work.chips * np.where(whole > 1, whole, 1) / more
        each = {"hardware": work.hardware_flop, "full": work.full_flop, "causal": work.model_flop}
        flop[rows] = np.select([kinds[rows] == kind for kind in each], list(each.values())) / work.chips
        peak[rows] = case.on.peak_flop_per_s
    rate = columns["flop_per_s_per_chip"]
    rate = np.where(np.isfinite(rate), rate, columns["mfu"] * peak)
    rate = np.where(np.isfinite(rate), rate, columns["hfu"] * peak)
    choices = (np.isfinite(columns["step_time_s"]), np.isfinite(columns["tokens_per_s_per_chip"]), np.isfinite(rate))
    measured = np.select(choices, (columns["step_time_s"], columns["tokens_per_s_per_chip"], rate / 1e12), np.nan)
    predicted = np.select(choices, (seconds, tokens / seconds, flop / seconds / 1e12), seconds)
    return measured, predicted, np.select(choices, ("s", "tokens/s/chip", "TFLOP/s/chip"), "s")


def _flop_kinds(columns):
    """What a row's rate counts: hardware (computed again too), full (attention without a mask) or causal."""
    first = {"model": "full", "model_causal": "causal", "hardware": "hardware", "": "full"}
    kinds = np.array([first.get(text.partition(" ")[0], "full") for text in columns["flops_kind"].tolist()], dtype="U8")
    only_hfu = np.isnan(columns["flop_per_s_per_chip"]) & np.isnan(columns["mfu"])
    return np.where(only_hfu, "hardware", kinds)


def groups(cases):
    """What a row is scored under: dense models, and mixtures of experts."""
    mixtures = np.zeros(cases.reasons.size, dtype=bool)
    for case in cases.found:
        mixtures[case.rows] = case.model.experts is not None
    return np.where(mixtures, "mixtures", "dense")
