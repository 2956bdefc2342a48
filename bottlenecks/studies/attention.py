"""Attention: its share of each bill by context, where it passes half, and what it was in the runs of each year."""

from dataclasses import replace
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import rivals, scores
from bottlenecks.models import footprint, kernels, ops
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import bills

BILLS = ("operations", "traffic", "memory", "time")
PROGRAMS = {  # words -> implementation of `kernels.attention_s`, are scores kept, with dropout
    "written out, with dropout": ("unfused", True, True),
    "written out": ("unfused", True, False),
    "fused": ("fused", False, False),
    "fused, products and softmax at once": ("fused, overlapped", False, False),
}
LONGEST = 2**24  # tokens up to which a crossing is looked for
CONTEXTS = np.round(2.0 ** np.arange(7, 24.01, 0.25))  # on which it is
HALF = 0.5
DROPOUT_PASSES = 4  # of `kernels.UNFUSED_PASSES`: read and written, forward and backward


def shares(m, context, *, program, on="H100 SXM5"):
    """Share of attention in each bill of a layer's training, one sequence of `context` tokens: {bill: share}.

    operations  of products and pairs, as they are needed: the causal half, a backward pass of twice the forward
    traffic     bytes read and written, both passes: scores by passes over them where they are written out, else
                queries, keys, values and results
    memory      bytes kept from the forward to the backward pass, nothing computed again: scores, where they are kept
    time        of all kernels of the layers on a chip (eq:attention-time, eq:matmul-time), which knows a dropout always

    Weights are read once for the sequence, so that short contexts share their traffic among few tokens.
    """
    kind, kept, dropped = PROGRAMS[one_of("program", program, PROGRAMS)]
    context = np.asarray(context, dtype=float)
    causal = "none" if m.both_ways else "half"
    rows = ops.forward(m, batch=1, queries=context, logits="none", causal=causal)
    rows = [op for op in rows if op.part not in ops.ENDS]
    mixing = [op for op in rows if op.kind == "attention"]
    others = [op for op in rows if op.kind != "attention"]
    pairs = ops.total(mixing)
    found = {"operations": pairs / (pairs + ops.total([op for op in others if op.kind == "matmul"]))}
    moved = _scores_bytes(mixing, dropped) if kept else 0.0
    moved = moved + ops.total(mixing + ops.backward(mixing), "bytes")
    found["traffic"] = moved / (moved + ops.total(others + ops.backward(others), "bytes"))
    whole, plain = (_kept_bytes(m, context, scores, dropped) for scores in (kept, False))
    found["memory"] = (whole - plain) / whole
    device = kernels.device(chip(on))
    as_run = [op._replace(shape=op.shape | {"implementation": kind}) for op in mixing]
    spent = kernels.ledger_s(as_run + ops.backward(as_run), device)
    found["time"] = spent / (spent + kernels.ledger_s(others + ops.backward(others), device))
    return found


def passes(causal=True, dropped=True):
    """Passes over scores that are written out, forward and backward; a dropout reads and writes them once each way."""
    return (
        kernels.UNFUSED_PASSES[True]
        + (kernels.UNFUSED_MASK_PASSES[True] if causal else 0)
        - (0 if dropped else DROPOUT_PASSES)
    )


def _scores_bytes(rows, dropped):
    """Bytes of the passes over scores that are written out, in 16 bits."""
    return sum(
        2
        * passes(op.shape["causal"], dropped)
        * op.calls
        * op.shape["batch"]
        * op.shape["heads"]
        * op.shape["queries"]
        * op.shape["keys"]
        for op in rows
    )


def _kept_bytes(m, context, scores, dropped):
    """Bytes of activations that the layers keep of a sequence."""
    layout = Layout(seq_len=context, fused_attention=not scores, dropout=dropped)
    return footprint.training_rows(m, layout)["activations"]


def crossing(context, share):
    """First context at which a share that is given on `context` reaches half; infinite where it never does."""
    above = np.flatnonzero(share >= HALF)
    if not above.size:
        return np.inf
    i = above[0]
    if i == 0:
        return float(context[0])
    (x0, x1), (y0, y1) = np.log(context[i - 1 : i + 1]), share[i - 1 : i + 1]
    return float(np.exp(x0 + (HALF - y0) / (y1 - y0) * (x1 - x0)))


@cache
def crossings(name, program, on="H100 SXM5"):
    """{bill: context at which attention passes half of it} for a model of the catalog."""
    found = shares(model(name), CONTEXTS, program=program, on=on)
    return {bill: crossing(CONTEXTS, found[bill]) for bill in BILLS}


@cache
def half(name):
    """Context at which the pairs take half of a model's operations, as exactly as the ledger counts."""
    context = np.geomspace(CONTEXTS[0], LONGEST, 1000)
    rows = ops.products(ops.forward(model(name), batch=1, queries=context, logits="none"))
    pairs = ops.total([op for op in rows if op.kind == "attention"])
    return crossing(context, pairs / ops.total(rows))


def share_of_operations(m, context):
    """Share of the pairs in a model's operations at a context, output head included."""
    causal = "none" if m.both_ways else "half"
    rows = ops.products(ops.forward(m, batch=1, queries=context, causal=causal))
    return float(ops.total([op for op in rows if op.kind == "attention"]) / ops.total(rows))


# ---- the runs of each year


@cache
def runs():
    """Published runs and their long phases: columns name, model, year, context, long, share, tokens, of_tokens.

    share: of the pairs in the operations; of_tokens: part of the run's tokens that the phase had.
    """
    known, found, dense = bills.runs(), [], []
    for i, name in enumerate(known["name"].tolist()):
        shape, sequence = str(known["shape"][i]), known["sequence"][i]
        if not shape or np.any(model(shape).encoder_layers) or model(shape).context_tokens is None:
            continue
        if np.isnan(sequence) and model(shape).context_tokens > bills.LONGEST:
            continue  # nobody says how long the texts of its main part were
        sequence = model(shape).context_tokens if np.isnan(sequence) else sequence
        found.append((name, shape, known["year"][i], sequence, False, known["tokens"][i], 1.0))
    for row in data.rows("attention_phases"):
        tokens, every = (float(row[n] or "nan") * 1e9 for n in ("tokens_billions", "run_tokens_billions"))
        year, month = (int(part) for part in row["released"].split("-"))
        when, long = year + (month - 0.5) / 12, row["phase"] != "main"
        found.append((row["run"], row["model"], when, float(row["context"]), long, tokens, tokens / every))
        dense.append(row["indexed"] == "no")
    names = ("name", "model", "year", "context", "long", "tokens", "of_tokens")
    columns = {n: np.array(values) for n, values in zip(names, zip(*found, strict=True), strict=True)}
    columns["dense"] = np.array([False] * (len(found) - len(dense)) + dense)
    share = [share_of_operations(run_model(columns, i), columns["context"][i]) for i in range(len(found))]
    return columns | {"share": np.array(share)}


def largest_share(name, *, long):
    """The largest share of the operations that attention had in a run's main part, or in its long phases."""
    found = runs()
    mine = (found["name"] == one_of("run", name, sorted(set(found["name"].tolist())))) & (found["long"] == long)
    return float(found["share"][mine].max(initial=0.0))


def run_model(columns, i):
    """The model of a run as it was trained then: without its index, where that was put in later."""
    m = model(str(columns["model"][i]))
    return replace(m, index_heads=None, index_values=None, index_keys=None) if columns["dense"][i] else m


# ---- measured kernels


@cache
def rivals_errors():
    """ln(measured / predicted) of measured calls of attention on sources left out: {rival: array}, with source and family.

    The rivals: the datasheet, and one number for each kind of program and family of chips, fitted on all other sources.
    """
    found, rows = scores.table("kernels"), corpus.table("kernels")
    mine = scores.fair(rows, found) & np.isfinite(found["floor_s"]) & (found["group"] == "attention")
    rows, found = corpus.where(rows, mine), corpus.where(found, mine)
    of = scores.in_seconds(found)
    datasheet = np.log(of["measured_s"] / found["floor_s"])
    one = datasheet - rivals.one_number(datasheet, rows["source_id"], rows["attention"], found["family"])
    held = rows["role"] == "held-out"
    every = {"datasheet": datasheet, "one number": one, "model": -of["error"], "source": rows["source_id"]}
    return {name: values[held] for name, values in (every | {"family": found["family"]}).items()}


def rivals_error(name):
    """Mean over sources of the mean |ln| of a rival."""
    found = rivals_errors()
    return scores.mean_error(found[name], found["source"])


def against_rivals():
    """Rows of a table: chips of a generation, sources, calls, and the error of each rival."""
    found, lines = rivals_errors(), []
    for family in (*np.unique(found["family"]).tolist(), "all"):
        some = (found["family"] == family) | (family == "all")
        lines.append(
            {"chips": family, "sources": np.unique(found["source"][some]).size, "calls": int(some.sum())}
            | {
                n: f"{scores.mean_error(found[n][some], found['source'][some]):.0%}"
                for n in ("datasheet", "one number", "model")
            }
        )
    return lines


# ---- a ring


def ring(m, context, ranks, *, on, link_bytes_per_s, zigzag, implementation=None):
    """One layer's attention on a ring of chips, forward: steps_s (chip, step), sent_step_s, whole_s, ideal_s.

    In each of as many steps as there are `ranks`, a chip meets the keys that it holds and passes them on. A step takes the
    longer of the two, and as long as the slowest chip needs: everyone waits for the next keys. The ideal is as many
    kernels of a chip's own tokens as make up its part of the square.
    """
    device, part = kernels.device(chip(on)), context / ranks
    rank, step = np.arange(ranks)[:, None], np.arange(ranks)[None, :]
    shape = {"heads": m.heads, "kv_heads": m.kv_heads, "head_values": m.head_values, "device": device, "batch": 1}
    shape |= {"implementation": implementation}
    diagonal = kernels.attention_s(part, part, **shape)
    whole = kernels.attention_s(part, part, causal=False, **shape) + _merge_s(m, part, device)
    if zigzag:  # half of the queries see all keys, or all queries half of them
        half = kernels.attention_s(part / 2, part, causal=False, **shape) + _merge_s(m, 3 / 4 * part, device)
        busy = np.where(step == 0, diagonal, half) + 0.0 * rank
    else:
        busy = np.where(step == 0, diagonal, np.where((rank - step) % ranks < rank, whole, 0.0))
    sent_s = 2 * m.kv_width * device.bytes_per_value * part / link_bytes_per_s
    slowest = np.maximum(busy.max(axis=0), np.where(np.arange(ranks) < ranks - 1, sent_s, 0))
    return {"steps_s": busy, "sent_step_s": sent_s, "whole_s": slowest.sum(), "ideal_s": ranks * diagonal}


def _merge_s(m, queries, device):
    """Seconds to join a step's results with those so far (eq:online-softmax): a value in 16 bits, and one of 32 read and written."""
    return 10 * queries * m.heads * m.head_values / device.memory_bytes_per_s


# Rate that a ring of 8 H800 reached, forward, 8,192 tokens of Llama 3.1 8B's shape on each, over an eighth of the rate of
# FlashAttention-2 on those alone (zhu2024ring).
RING_MEASURED = {False: 0.521, True: 0.852}


@cache
def ring_shares():
    """{zigzag: (computed, measured)}: eight kernels of 8,192 tokens over the ring's time, with FlashAttention-2."""
    link = chip("H800 SXM").link_bytes_per_s
    found = {}
    for zigzag, measured in RING_MEASURED.items():
        on_ring = ring(
            model("Llama-3.1-8B"),
            8 * 8192,
            8,
            on="H800 SXM",
            link_bytes_per_s=link,
            zigzag=zigzag,
            implementation="fused",
        )
        found[zigzag] = (float(on_ring["ideal_s"] / on_ring["whole_s"]), measured)
    return found
