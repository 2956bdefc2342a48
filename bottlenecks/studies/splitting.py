"""Splitting: ways to cut one training step over chips, side by side, one at a time and drawn in time.

`ways` lists what people do with the same chips, `alone` lets one dimension grow, `price_table` says
what each dimension of a layout sends, and `timeline` lays the work of a pipeline's stages along a clock.
"""

from dataclasses import fields, replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import RANKS, between, code, one_of, positive, record
from bottlenecks.facts.units import plain, si
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.measured import training as measured_training
from bottlenecks.models import footprint, layer, training
from bottlenecks.models.layouts import BLOCK, Layout, at_most, divisors, slotted
from bottlenecks.models.machine import Machine
from bottlenecks.models.software import release

# ---- the same chips, used in different ways

DOMAIN = 8  # chips of a machine: where published runs stop cutting tensors
MOST_CHUNKS = 8  # of layers on a stage


def ways(model, *, chips, batch, seq_len, mix, recompute="none"):
    """(names, layout): ways to use so many chips, as one `Layout` whose fields are arrays.

    Each goes as far as it can: copies until every one has one of the `batch` sequences, tensors up
    to the heads, a pipeline up to the layers; further chips hold further copies. Sizes are powers
    of two. `mix`: stages of the pipeline in the mix of all three, tensors cut within a machine.
    """
    record("model", model, Model, "model(name)")
    chips, batch, mix = (
        int(between(name, positive(name, value, whole=True), 1, RANKS))
        for name, value in (("chips", chips), ("batch", batch), ("mix", mix))
    )
    heads, layers = (_power(min(n, chips)) for n in (_even(model.heads), model.layers))
    inside = min(DOMAIN, chips)
    stages = _power(min(mix, chips // inside))
    cuts = {  # tensor ranks, stages, ZeRO
        "copies": (1, 1, 0),
        "zero 1": (1, 1, 1),
        "zero 3": (1, 1, 3),
        "tensor, one machine": (inside, 1, 0),
        "tensor": (heads, 1, 0),
        "pipeline": (1, layers, 0),
        "mix": (inside, stages, 1),
        "mix, interleaved": (inside, stages, 3),
    }
    tp, pp, zero = (np.array(column) for column in zip(*cuts.values(), strict=True))
    dp = np.minimum(chips // (tp * pp), batch)
    last = np.array(list(cuts)) == "mix, interleaved"
    chunks = np.where(last, _most_chunks(model, stages, batch // int(dp[-1])), 1)
    return tuple(cuts), Layout(
        tp=tp,
        pp=pp,
        dp=dp,
        zero=zero,
        micro_batches=batch // dp,
        vpp=chunks,
        schedule=np.where(chunks > 1, "interleaved", "1f1b"),
        gathers_once=last,
        seq_len=seq_len,
        recompute=recompute,
        embedding_slots=slotted(model.layers, pp),
    )


def _most_chunks(model, stages, micro_batches):
    """Chunks on each stage: the most, up to `MOST_CHUNKS`, that are equal; 1 where interleaving has no sense."""
    layers = model.layers + 2 * int(slotted(model.layers, stages))
    if stages == 1 or micro_batches % stages or layers % stages:
        return 1
    return max(n for n in divisors(layers // stages) if n <= MOST_CHUNKS)


def _power(number):
    """The largest power of two up to a number."""
    return 2 ** int(np.log2(number))


def _even(number):
    """The largest power of two that divides a number."""
    return number & -number


# ---- one dimension alone

DIMENSIONS = ("tensor", "pipeline", "context", "data", "expert")
COMPUTING = (  # rows of a step
    "arithmetic at the peak",
    "products below the peak",
    "attention beyond the peak",
    "elementwise",
    "recomputation",
    "logits and embedding",
)


def alone(model, on, *, software, tokens, seq_len, recompute="full"):
    """One dimension after the other grows from one chip as far as it can be divided.

    A step is of so many `tokens`, micro-batches of one sequence. Columns dimension, ranks, seconds,
    efficiency (tokens a second of a chip over those of one chip, were its memory without end), sent
    (seconds of sending over seconds of computing, as if nothing ran beside), bytes (on the fullest
    chip). Tensors are dealt by heads, a pipeline by whole layers, the context by blocks of `BLOCK`
    tokens, data (ZeRO 1) by sequences, experts one by one among as many copies of all else.
    """
    record("model", model, Model, "model(name)")
    record("on", on, Machine, "machine(chip)")
    seq_len = int(between("seq_len", positive("seq_len", seq_len, whole=True), 1, 10**9))
    batch = int(between("tokens", positive("tokens", tokens), seq_len, 10**12) // seq_len)
    powers = 2 ** np.arange(30)
    copies = powers[(batch % powers == 0) & (powers <= batch)]
    experts = model.experts or 0
    sizes = {
        "tensor": divisors(model.heads),
        "pipeline": divisors(model.layers),
        "context": powers[powers * BLOCK <= seq_len],
        "data": copies,
        "expert": copies[(copies <= experts) & (experts % copies == 0)],
    }
    name = np.repeat(DIMENSIONS, [len(sizes[d]) for d in DIMENSIONS])
    ranks = np.concatenate([sizes[d] for d in DIMENSIONS]).astype(int)
    tp, pp, cp, dp, ep = (np.where(name == d, ranks, 1) for d in DIMENSIONS)
    dp = np.maximum(dp, ep)
    layout = Layout(
        tp=tp,
        pp=pp,
        cp=cp,
        dp=dp,
        ep=ep,
        zero=np.where(dp > 1, 1, 0),
        micro_batches=batch // dp,
        seq_len=seq_len,
        recompute=recompute,
    )
    seconds = training.seconds(model, layout, on=on, software=software)
    held = footprint.total_bytes(footprint.training_rows(model, layout))
    one = seconds[(name == "tensor") & (ranks == 1)]
    return {
        "dimension": name,
        "ranks": ranks,
        "seconds": seconds,
        "efficiency": one / (ranks * seconds),
        "sent": sent_over_computed(model, layout, on, software=software),
        "bytes": held + 0.0 * ranks,
    }


def speed(found, dimension, ranks):
    """Of a lone chip's speed, what each of so many keeps along one dimension of `alone`."""
    mine = (found["dimension"] == one_of("dimension", dimension, DIMENSIONS)) & (found["ranks"] == ranks)
    if not mine.any():
        there = found["ranks"][found["dimension"] == dimension].tolist()
        raise ValueError(f"{dimension} ranks must be one of {there}, got {ranks!r}")
    return float(found["efficiency"][mine][0])


def sent_over_computed(model, layout, on, *, software):
    """Seconds in which a chip sends over those in which it computes, as if nothing ran beside.

    Holds for ZeRO below 3 and pipelines that run one way: of these an software without any overlap
    leaves all sending open, except the keys that go around (their passes: forward, two backward, one
    more where attention is computed again).
    """
    software = replace(
        release(software, on.family),
        overlaps_gradients=False,
        overlaps_weights=False,
        overlaps_sends=False,
        overlaps_tensor=0.0,
    )
    rows = training.step(model, layout, on=on, software=software, memory=False).rows
    sent = sum(rows[row] for _, _, row in CUTS.values())
    around = (3 + _repeats(layout, "selective", "full")) * layer.layer(model, layout, on, software)["context_s"]
    sent = sent - rows["context parallel"] + around * layout.micro_batches * model.layers / layout.pp
    return sent / sum(rows[name] for name in COMPUTING)


# ---- what each cut of a layout sends

CUTS = {  # dimension: what is cut, when it is sent, the row of the step that nothing hides
    "tensor": ("heads, and strips of every matrix", "four sums in each layer", "tensor parallel"),
    "context": ("tokens of a sequence", "in each layer's attention", "context parallel"),
    "expert": ("experts", "four times in each layer", "expert parallel"),
    "pipeline": ("layers", "between stages, for each micro-batch", "pipeline sends"),
    "data": ("sequences", "once a step", "data parallel"),
}


def published(source, row):
    """The layout of a source's run, `row` counted from 0 as the corpus has them; what it leaves open by rule.

    The rules are those of `measured.training`, so the layout is the one that the source is scored with.
    """
    every = corpus.table("training")
    one_of("source", source, corpus.sources("training"))
    mine = corpus.where(every, every["source_id"] == source)
    between("row", row, 0, mine["source_id"].size - 1)
    return layout_of(measured_training.cases(mine), row)


def layout_of(cases, row):
    """The layout of one row of `measured.training.cases`."""
    for case in cases.found:
        for i in np.flatnonzero(case.rows == row):
            chosen = {f.name: getattr(case.layout, f.name) for f in fields(Layout)}
            return Layout(**{n: v[i].item() if np.ndim(v) else v for n, v in chosen.items()})
    raise ValueError(f"row {row}: {cases.reasons[row]}")


def sent_bytes(model, layout):
    """Bytes that one chip sends in a step, by dimension of the layout; the first stage's for the data.

    Activations are 16 bits wide, gradients 32, the weights that come back 16. Of n ranks each
    sends (n - 1) / n of what it scatters or gathers.

    tensor    a layer sums twice forwards and twice backwards, each time a scatter and a gather; once
              more each pass that is computed again; with the sequence cut, two gathers more backwards
    context   keys and values go around forwards and, with their gradients, backwards
    expert    to the experts and back, forwards and backwards; as if no token had two in one place
    pipeline  a stage in the middle sends on what it made, forwards and backwards, for each chunk
    data      gradients are scattered and weights gathered (ZeRO 1, 2), or gradients summed on all (0);
              with ZeRO 3 gradients leave and weights arrive twice for each micro-batch, or each once a step
              where they are kept whole
    """
    x = layout
    count, layers = x.micro_batches, model.layers / x.pp
    tokens = x.micro_batch * x.seq_len / x.cp
    again, around = 1 * _repeats(x, "full"), 3 + _repeats(x, "selective", "full")
    stream = 2 * tokens * model.width
    part = stream / np.where(x.sp, x.tp, 1)
    keys = 2 * np.maximum(model.kv_heads / x.tp, 1) * model.head_values
    if model.attention == "MLA":
        keys = model.kv_lora_rank + model.qk_rope_values
    copies = 0
    if model.experts is not None:
        copies = model.experts_per_token * (1 - model.dense_layers / model.layers)
    params, group = footprint.stage_params(model, x, 0), x.dp * x.cp
    dealt = (params["blocks"] + params["embeddings"]) * _others(group)
    dealt = dealt + params["experts"] * _others(group / x.ep)
    return {
        "tensor": (8 + 4 * again + 2 * np.asarray(x.sp)) * stream * _others(x.tp) * layers * count,
        "context": around * 2 * tokens * keys * (x.cp - 1) * layers * count,
        "expert": (4 + 2 * again) * part * copies * _others(x.ep) * layers * count,
        "pipeline": 2 * part * x.vpp * count * np.greater(x.pp, 1),
        "data": np.select([np.equal(x.zero, 0), np.less(x.zero, 3)], [8, 6], np.where(x.gathers_once, 6, 8 * count))
        * dealt,
    }


def _repeats(layout, *policies):
    """Does a layout compute again by one of these policies?"""
    policy = code("recompute", layout.recompute, POLICIES)
    return np.isin(policy, [POLICIES.index(name) for name in policies])


def _others(ranks):
    """The part of a whole that is not a rank's own."""
    return (ranks - 1) / ranks


def price_table(model, layout, on, software):
    """Rows of a table: for each dimension of one layout what is cut, what a chip sends, what nothing hides."""
    rows = training.step(model, layout, on=on, software=software, memory=False).rows
    sent = sent_bytes(model, layout)
    ranks = {"tensor": layout.tp, "context": layout.cp, "expert": layout.ep, "pipeline": layout.pp, "data": layout.dp}
    cuts = dict(CUTS)
    if layout.zero:
        kept = ", weights kept" if layout.zero == 3 and layout.gathers_once else ""
        cuts["data"] = (f"sequences; states (ZeRO {layout.zero}{kept})", *cuts["data"][1:])
    if layout.zero == 3 and not layout.gathers_once:
        cuts["data"] = (cuts["data"][0], "for each micro-batch", cuts["data"][2])
    return [
        {
            "dimension": name,
            "parts": plain(ranks[name], 6),
            "what is cut": what,
            "when it is sent": when,
            "a chip sends in a step": si(float(sent[name]), "B"),
            "not hidden": si(float(rows[row]), "s"),
        }
        for name, (what, when, row) in cuts.items()
        if ranks[name] > 1
    ]


# ---- the best layouts of a search, for a reader

NAMES = {
    "gpipe": "GPipe",
    "1f1b": "1F1B",
    "zb1p": "zero bubble",
    "zb2p": "zero bubble, two in flight",
    "zbv": "zero bubble, V",
    "dualpipe": "DualPipe",
}
AGAIN = {"none": "nothing", "selective": "attention", "products": "half of the products", "full": "all layers"}


def schedule_name(name, *, stages, chunks):
    """A pipeline's schedule in words.

    >>> schedule_name("interleaved", stages=8, chunks=4), schedule_name("1f1b", stages=1, chunks=1)
    ('interleaved, 4 slices per stage', '-')
    """
    if stages == 1:
        return "-"
    return NAMES.get(name) or f"interleaved, {chunks:.0f} slices per stage"


def best_table(found, count):
    """Rows of a table: the first layouts of a `search.Search`, fastest first."""
    positive("count", count)
    rows = []
    for i in range(min(int(count), found.best["seconds"].size)):
        x, step = found.layout(i), found.step(i)
        schedule = SCHEDULES[x.schedule]
        rows.append(
            {
                "step": si(float(step.seconds), "s"),
                "MFU": f"{plain(100 * float(step.mfu), 3)} %",
                "tensor": x.tp,
                "pipeline": x.pp,
                "context": x.cp,
                "expert": x.ep,
                "data": x.dp,
                "ZeRO": x.zero,
                "micro-batches": f"{x.micro_batches:,} of {x.micro_batch}",
                "schedule": schedule_name(schedule, stages=x.pp, chunks=x.vpp),
                "computed again": AGAIN[POLICIES[x.recompute]],
                "memory": si(float(found.best["memory_bytes"][i]), "B"),
            }
        )
    return [{name: cell for name, cell in row.items() if not _idle(name, rows)} for row in rows]


def _idle(name, rows):
    """A dimension that none of the layouts uses needs no column."""
    return name in ("context", "expert") and all(row[name] == 1 for row in rows)


# ---- a pipeline in time

DRAWN = ("gpipe", "1f1b", "interleaved", "zb1p")  # schedules that `timeline` knows
MOST_DRAWN = 10**5  # passes of a timeline
KINDS = ("forward", "backward", "input gradient", "weight gradient")


def timeline(schedule, stages, micro_batches, chunks=1, backward_over_forward=2.0):
    """When each stage of a pipeline works on what: one step, sends taking no time.

    Columns stage, micro_batch, chunk, kind, start, end, counted from 0; one unit of time is the
    forward pass of one micro-batch through all layers of one stage, and `backward_over_forward` what its
    backward pass takes of it. Each stage has its order of work, and starts the next of it when that of which
    it depends is done.

    gpipe        all forward passes, then all backward ones in reverse (huang2019gpipe)
    1f1b         as many forward passes as there are stages to come, then one backward, one forward
    interleaved  the same with `chunks` of layers a stage, micro-batches in groups of `stages`
                 (narayanan2021megatron, section 2.2)
    zb1p         1f1b with the backward pass in two halves; gradients of weights wait until nothing
                 else can be done, at most as many as keep each stage's memory at that of the first
                 (ZB-H1 of qi2023zerobubble)
    """
    one_of("schedule", schedule, DRAWN)
    for name, value in (("stages", stages), ("micro_batches", micro_batches), ("chunks", chunks)):
        between(name, positive(name, value, whole=True), 1, MOST_DRAWN)
    between("backward_over_forward", backward_over_forward, 0.01, 100)
    stages, micro_batches, chunks = int(stages), int(micro_batches), int(chunks)
    at_most("stages x micro_batches x chunks", MOST_DRAWN, stages, micro_batches, chunks)
    chunks = chunks if schedule == "interleaved" else 1
    if chunks > 1 and micro_batches > stages and micro_batches % stages:
        raise ValueError(
            f"interleaved micro_batches must be a multiple of the stages ({stages}) or fewer, got {micro_batches};"
            f" the nearest is {stages * round(micro_batches / stages)}"
        )
    takes = {"forward": 1 / chunks, "backward": backward_over_forward / chunks}
    takes |= dict.fromkeys(("input gradient", "weight gradient"), backward_over_forward / 2)
    orders = [_order(schedule, i, stages, micro_batches, chunks) for i in range(stages)]
    done, rows = {}, []
    clock, place = [0.0] * stages, [0] * stages
    while len(rows) < sum(map(len, orders)):
        for i, order in enumerate(orders):
            while place[i] < len(order):
                kind, micro, chunk = order[place[i]]
                ready = _ready(done, kind, i, micro, chunk, stages, chunks)
                if ready is None:
                    break
                start = max(clock[i], ready)
                clock[i] = done[_pass(kind), i, micro, chunk] = start + takes[kind]
                rows.append((i, micro, chunk, KINDS.index(kind), start, clock[i]))
                place[i] += 1
    stage, micro, chunk, kind, start, end = np.array(sorted(rows, key=lambda r: (r[0], r[4]))).T
    return {
        "stage": stage.astype(int),
        "micro_batch": micro.astype(int),
        "chunk": chunk.astype(int),
        "kind": np.array(KINDS)[kind.astype(int)],
        "start": start,
        "end": end,
    }


def _pass(kind):
    """What others wait for: the gradient of an input goes on, that of a weight stays."""
    return "backward" if kind == "input gradient" else kind


def _ready(done, kind, stage, micro, chunk, stages, chunks):
    """When what a piece of work depends on is done; None: not yet."""
    if kind == "weight gradient":
        return done.get(("backward", stage, micro, chunk))
    last = stages * chunks - 1
    here = chunk * stages + stage  # place of these layers along the model
    if kind == "forward":
        before, of = here - 1, "forward"
        if here == 0:
            return 0.0
    else:
        before, of = (here, "forward") if here == last else (here + 1, "backward")
    return done.get((of, before % stages, micro, before // stages))


def _order(schedule, stage, stages, micro_batches, chunks):
    """A stage's work in its order: (kind, micro-batch, chunk)."""
    pieces = [
        (first + k, chunk)
        for first in range(0, micro_batches, stages)
        for chunk in range(chunks)
        for k in range(min(stages, micro_batches - first))
    ]  # of one pass: a group of micro-batches through a chunk, then through the next
    forward = [("forward", micro, chunk) for micro, chunk in pieces]
    back = [("backward", micro, chunks - 1 - chunk) for micro, chunk in pieces]
    total = len(pieces)
    if schedule == "gpipe":
        return forward + back[::-1]
    ahead = stages - stage - 1
    if chunks > 1:
        ahead = 2 * ahead + (chunks - 1) * stages
    ahead = min(ahead, total)
    order = forward[:ahead]
    for k in range(total):
        order += forward[ahead + k : ahead + k + 1]
        if schedule == "zb1p":
            order.append(("input gradient", *back[k][1:]))
            order += [("weight gradient", *b[1:]) for b in back[k - stage : k - stage + 1] if k >= stage]
        else:
            order.append(back[k])
    if schedule == "zb1p":
        order += [("weight gradient", *b[1:]) for b in back[max(total - stage, 0) :]]
    return order


def idle(table):
    """Idle time of a stage over its work, the mean of all stages: 0 for a pipeline without a bubble."""
    busy = np.sum(table["end"] - table["start"])
    stages = np.max(table["stage"]) + 1
    return float(stages * np.max(table["end"]) / busy - 1)


def alive(table, stage=0):
    """(time, micro-batches): activations that a stage holds from each moment on, in its whole layers.

    They are there from the start of a forward pass to the end of the last part of its backward one.
    """
    mine = table["stage"] == stage
    kind, start, end = (table[name][mine] for name in ("kind", "start", "end"))
    chunks = np.max(table["chunk"]) + 1
    begins = start[kind == "forward"]
    ends = end[np.isin(kind, ("backward", "weight gradient"))]
    time = np.concatenate([begins, ends])
    change = np.concatenate([np.ones(begins.size), -np.ones(ends.size)]) / chunks
    order = np.lexsort((change, np.round(time, 9)))  # what ends makes room for what begins
    return time[order], np.cumsum(change[order])
