"""What the datasheet alone says of a row: the least seconds that its printed rates allow, for `rivals` and the tables of scores."""

import numpy as np

from bottlenecks.facts import formats
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.laws import collectives as law
from bottlenecks.measured import frame, inference
from bottlenecks.models import cache


def floor_s(kind, cases):
    """Seconds of the datasheet for each row of a kind, NaN where a row is none."""
    return {"training": _training_s, "inference": _inference_s, "kernels": _kernels_s, "collectives": _collectives_s}[
        one_of("kind", kind, frame.KINDS)
    ](cases)


def _training_s(cases):
    floor = np.full(cases.reasons.size, np.nan)
    for case in cases.found:
        floor[case.rows] = case.step.model_flop / case.step.chips / case.on.peak_flop_per_s
    return floor


def _kernels_s(cases):
    """Operations at the peak, or bytes at the bandwidth, whichever is longer; of a copy between chips, the wire's."""
    c, floor = cases.columns, np.full(cases.reasons.size, np.nan)
    flop, moved = frame.KINDS["kernels"].work(c)
    for case in cases.found:
        each = formats.bytes_per_value(case.format)
        of = {name: values[case.rows] for name, values in c.items()}
        least = np.nan_to_num(each * (of["m"] * of["k"] + of["k"] * of["n"] + of["m"] * of["n"]))
        wires = {"host": "host_bytes_per_s", "device to device": "link_bytes_per_s", "p2p": "link_bytes_per_s"}
        wire = next((rate for word, rate in wires.items() if word in str(of["kernel"][0]).casefold()), "")
        ideal = frame.KINDS["kernels"].kernels.ideal(case.chip, case.format)
        rate = getattr(ideal, wire) if wire and case.kind == "elementwise" else case.chip.memory_bytes_per_s
        bytes_s = np.where(case.kind == "elementwise", np.nan_to_num(moved[case.rows]), least) / rate
        flop_s = np.nan_to_num(flop[case.rows]) / case.chip.peak_flop_per_s(case.format)
        floor[case.rows] = np.maximum(flop_s if case.kind != "elementwise" else 0.0, bytes_s)
    return np.where(floor > 0, floor, np.nan)


def _collectives_s(cases):
    """The bytes that must leave a rank, or a machine, over its wires at their printed rates; a machine's ports count together."""
    floor = np.full(cases.reasons.size, np.nan)
    for rows, asked in cases.found:
        ranks, tiers = np.asarray(asked["ranks"], float), asked["tiers"]
        sent = asked["message_bytes"] * law.bus_factor(asked["collective"], ranks)
        inner = float(tiers[0].ranks or np.inf)
        within = np.minimum(inner if asked["per_domain"] is None else np.minimum(asked["per_domain"], inner), ranks)
        together = 1.0 if asked["collective"] in ("all_to_all", "p2p") else within  # ports that carry the same bytes
        outer = np.minimum(tiers[-1].bytes_per_s * together, tiers[0].bytes_per_s)
        floor[rows] = sent / np.where(ranks > within, outer, tiers[0].bytes_per_s)
    return floor


def _inference_s(cases):
    """Seconds that no chip of a row can beat by its datasheet, in the sense of `measured.inference`'s seconds.

    A pass takes 2 operations for each active parameter and token, and fetches the weights once; a step the caches too.
    Of a saturated server, whose sequences share the weights, operations or the fetch of a sequence's cache. Stages one
    after the other do not add their rates.
    """
    rows = cases.columns
    bound = np.full(rows["source_id"].size, np.nan)
    for case in cases.found:
        mine = {name: values[case.rows] for name, values in rows.items()}
        shape = inference.model_of(str(mine["model"][0]))
        bound[case.rows] = (
            _saturated_s(shape, case, mine)
            if case.tokens[0] == 1 and case.kind == "saturated"
            else _alone_s(shape, case, mine)
        )
    return bound


def _saturated_s(shape, case, row):
    """Seconds between two tokens of all sequences of a server that never waits."""
    chips = np.nan_to_num(row["n_chips"], nan=1.0)
    output = np.maximum(case.output, 1)
    tokens = (case.prompt + output) / output  # worked on, for each that comes out
    flop_s = 2 * (shape.active_block_params + shape.head_params) * tokens / case.on.peak_flop_per_s
    cached = cache.cache_bytes_per_token(shape, cache_bytes=formats.bytes_per_value(case.cache_format))
    return np.maximum(flop_s, cached * (case.prompt + output / 2) / chip(case.on.name).memory_bytes_per_s) / chips


def _alone_s(shape, case, row):
    """Seconds of a prompt, of a step, or of both from start to end."""
    on = case.on
    together = np.nan_to_num(row["n_chips"], nan=1.0) / np.nan_to_num(row["pp"], nan=1.0)
    block = shape.active_block_params
    params = block + shape.head_params
    weights_s = formats.bytes_per_value(case.weight_format) * params / chip(on.name).memory_bytes_per_s
    kept = cache.cache_bytes_per_token(shape, cache_bytes=formats.bytes_per_value(case.cache_format))
    caches_s = case.batch * kept * (case.prompt + case.output / 2) / chip(on.name).memory_bytes_per_s
    step_s = np.maximum(2 * params * case.batch / on.peak_flop_per_s, weights_s + caches_s) / together
    prompt_s = np.maximum(2 * block * case.batch * case.prompt / on.peak_flop_per_s, weights_s) / together
    if row["phase"][0] == "prefill":
        return prompt_s
    whole = row["phase"][0] == "end_to_end" and inference.is_run({name: values[0] for name, values in row.items()})
    return prompt_s + case.output * step_s if whole else step_s
