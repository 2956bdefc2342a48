"""Questions asked of decode steps: what is in one, how it scales over chips, how far above its floor."""

import numpy as np

from bottlenecks.facts import corpus, formats
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import RANKS, positive
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import serving, shares
from bottlenecks.measured import scores
from bottlenecks.models import exchange, inference, ops
from bottlenecks.models.machine import RESOURCES, machine


def weight_bytes(shape, format_bytes=2.0):
    """Bytes of weights that a token multiplies with: no input embedding, which is looked up."""
    return format_bytes * (shape.active_block_params + shape.head_params)


def floors():
    """Measured decode steps of one sequence beside their floor (eq:latency-floor): columns.

    Rows whose model, chip and weights are known and that yield one token a pass. Weights have the bytes that their
    format stores, scales with them.
    """
    rows = corpus.table("inference")
    alone = (rows["phase"] == "decode") & (rows["batch"] == 1) & (rows["suspect"] == "") & (rows["chip_name"] != "")
    alone &= rows["speculative"] != 1
    found = {"source": [], "model": [], "chip": [], "chips": [], "format": [], "floor_s": [], "measured_s": []}
    for i in np.flatnonzero(alone):
        name, format = find_model(str(rows["model"][i])), str(rows["weight_dtype"][i])
        stored = formats.stored(format)
        took = 1 / rows["tokens_per_s"][i] if np.isnan(rows["s_per_output_token"][i]) else rows["s_per_output_token"][i]
        if name is None or not stored or np.isnan(took) or model(name).encoder_layers:
            continue
        # Layers dealt to chips one after the other do not add their bandwidths.
        together = rows["n_chips"][i] / np.nan_to_num(rows["pp"][i], nan=1.0)
        floor = serving.latency_floor_s(
            weight_bytes(model(name), formats.bytes_per_value(stored)),
            chips=together,
            bytes_per_s=chip(str(rows["chip_name"][i])).memory_bytes_per_s,
        )
        values = (
            str(rows["source_id"][i]),
            name,
            str(rows["chip_name"][i]),
            int(rows["n_chips"][i]),
            format,
            floor,
            took,
        )
        for column, value in zip(found, values, strict=True):
            found[column].append(value)
    return {column: np.array(values) for column, values in found.items()}


def narrower(source, name, *, wide="int8", narrow="int4", chips=1):
    """What a narrower format of weights gained a measured run, and of what: {times: factor}.

    rate        tokens a second, narrow over wide
    bits        what the bits in the formats' names promise
    bytes       bytes that are stored, wide over narrow: scales take their part of the promise
    bandwidth   what is left: bytes a second at which the narrow weights are read, over that of the wide ones
    """
    rows = corpus.table("inference")
    of = (rows["source_id"] == source) & (rows["model"] == name) & (rows["n_chips"] == chips)
    spelled = {
        each: str(rows["weight_dtype"][of & np.char.startswith(rows["weight_dtype"], each)][0])
        for each in (wide, narrow)
    }
    size = {each: formats.bytes_per_value(formats.stored(text)) for each, text in spelled.items()}
    rate = {each: tokens_per_s(source, name, chips=chips, weights=each) for each in (wide, narrow)}
    gain, fewer = rate[narrow] / rate[wide], size[wide] / size[narrow]
    bits = float(wide.strip("intfpb")) / float(narrow.strip("intfpb"))
    return {"rate": gain, "bits": bits, "bytes": fewer, "bandwidth": gain / fewer}


def parts_table(shape, plan, server, *, batch, context):
    """Rows of a table: a decode step's kinds of work, their seconds and their part of the step."""
    rows = inference.rows(shape, plan, server, batch=batch, queries=1, keys=context)
    groups = {
        "products with weights": [r for r in rows if r.kind == "matmul"],
        "attention over the cache": [r for r in rows if r.kind == "attention"],
        "norms, additions and the like": [r for r in rows if r.kind == "elementwise"],
    }
    times = {name: float(sum(inference.ledger_s(each, server), 0.0)) for name, each in groups.items()}
    times["exchange between chips"] = float(exchange.exchange_s(shape, plan, server, tokens=batch))
    whole = sum(times.values())
    return [{"what": name, "time": si(t, "s"), "of the step": f"{t / whole:.0%}"} for name, t in times.items()]


def step_shares(shape, plan, server, *, batch, context):
    """Shares of a decode step's time (eq:shares)."""
    return shares.shares(lambda s: inference.decode_s(shape, plan, s, batch=batch, context=context), server, RESOURCES)


def scaling_table(name="Llama-2-7B"):
    """Rows of a table: gpt-fast's measured decoding over more chips, beside floor and model."""
    rows = corpus.table("inference")
    sources = corpus.showing("inference", "decoding over chips")
    mine = np.isin(rows["source_id"], sources) & (rows["model"] == name) & (rows["weight_dtype"] == "bf16")
    mine &= (rows["chip_name"] == "A100 SXM 80GB") & (rows["speculative"] != 1)
    predicted = scores.table("inference")
    lines = []
    for i in np.flatnonzero(mine):
        floor = serving.latency_floor_s(
            weight_bytes(model(find_model(name))),
            chips=rows["n_chips"][i],
            bytes_per_s=chip("A100 SXM 80GB").memory_bytes_per_s,
        )
        lines.append(
            {
                "chips": int(rows["n_chips"][i]),
                "floor": f"{plain(1 / floor, 3)} tokens/s",
                "predicted": f"{plain(1e3 / predicted['predicted'][i], 3)} tokens/s",
                "measured": f"{plain(rows['tokens_per_s'][i], 3)} tokens/s",
                "of the floor": f"{rows['tokens_per_s'][i] * floor:.0%}",
            }
        )
    return lines


def over_chips(shape, device, *, most=64, batch=1, context=2048, weight_format="bf16"):
    """(chips, seconds): decode steps, tensor parallel over 1, 2, 4 ... chips, each of which holds whole heads."""
    counts = 2 ** np.arange(int(np.log2(positive("most", most, most=RANKS))) + 1)
    counts = counts[np.mod(shape.heads, counts) == 0]
    server = machine(device)
    plans = (inference.Plan(tp=int(n), weight_format=weight_format) for n in counts)
    times = [float(inference.decode_s(shape, plan, server, batch=batch, context=context)) for plan in plans]
    return counts, np.array(times)


def best_chips(shape, device, **asked):
    """(chips, seconds): the tensor-parallel degree with the shortest decode step, and the step; as `over_chips`."""
    counts, times = over_chips(shape, device, **asked)
    return int(counts[np.argmin(times)]), float(times.min())


def groups_of(errors, role="held-out"):
    """Rows of a table: errors of inference by kind of run, each source counted once."""
    return [
        {
            "run": r["group"],
            "sources": r["sources"],
            "rows": r["rows"],
            "mean error": f"{r['error']:.0%}",
            "worst source": scores.worst_source(r),
        }
        for r in scores.summary(errors)
        if r["role"] == role
    ]


def reads(shape, *, batch, context):
    """Weights and cache that a decode step moves: (weight bytes, cache bytes)."""
    rows = ops.decode(shape, batch=batch, context_tokens=context)
    return ops.total(rows, "weight_bytes"), ops.total(rows, "cache_bytes")


def tokens_per_s(source, name, *, chips, weights):
    """A measured decode rate of one sequence: the source's row of that model, chips and weights."""
    rows = corpus.table("inference")
    mine = (rows["source_id"] == source) & (rows["model"] == name) & (rows["n_chips"] == chips)
    mine &= (rows["phase"] == "decode") & np.char.startswith(rows["weight_dtype"], weights)
    mine &= rows["speculative"] != 1
    return float(rows["tokens_per_s"][mine][0])


def attention_intensity(shape, *, batch, context):
    """Operations of a decode step's attention for each byte of cache that it reads."""
    rows = [r for r in ops.decode(shape, batch=batch, context_tokens=context) if r.kind == "attention"]
    return ops.total(rows) / ops.total(rows, "cache_bytes")
