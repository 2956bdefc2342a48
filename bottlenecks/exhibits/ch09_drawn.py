"""Drawings of chapter 09: a decode step on a clock, heads on chips, users who share weights and not caches."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.ch09 import serving_of
from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, flat, funnel, laid, outlines, page, ruler
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts import architectures
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models import cache, exchange, inference, ops
from bottlenecks.studies import decoding

# ---- 1: a step on the clock -----------------------------------------------------------------------

GPU, CONTEXT = "H100 SXM5", 2048  # tokens in the cache of each sequence
KINDS = {  # of work: words, colour
    "matmul": ("products", COLOUR["memory"]),
    "attention": ("attention", COLOUR["cache"]),
    "elementwise": ("norms, additions", COLOUR["latency"]),
    "exchange": ("exchange", COLOUR["network"]),
}
ACROSS = (170, 650)  # the time axis
WHOLE, READ, FIRST_ROW, ROW = (124, 156), (98, 116), 252, 17.5  # bar of the step, of its reading; rows of a layer


@keep
def _clock_table(model_name, chips, batch):
    m, plan, on = serving_of(GPU, model_name, "bf16", round(chips))
    rate = chip(GPU).memory_bytes_per_s
    ledger = inference.rows(m, plan, on, batch=batch, queries=1, keys=CONTEXT)
    sends = exchange.exchange_s(m, plan, on, tokens=batch) / (2 * m.layers)
    before, layer, after = [], [], []  # name, kind, seconds, seconds of its bytes at full rate
    for op, seconds in zip(ledger, inference.ledger_s(ledger, on), strict=True):
        one = op.name, op.kind, float(seconds) / op.calls, (op.weight_bytes + op.cache_bytes) / op.calls / rate
        (layer if op.part not in ops.ENDS else after if layer else before).append(one)
        if op.cut == "rows" and plan.tp > 1:  # each chip has a summand
            layer.append(("all-reduce", "exchange", float(sends), 0.0))
    every = [*before, *layer * m.layers, *after]
    kind, took = np.array([k for _, k, _, _ in every]), np.array([s for _, _, s, _ in every])
    ends = np.cumsum(took)
    name, kinds, each, read = zip(*layer, strict=True)
    until = np.cumsum(each)
    start = sum(s for _, _, s, _ in before)
    return stack(
        step={"kind": kind, "start_s": ends - took, "end_s": ends},
        layer={
            "name": list(name),
            "kind": list(kinds),
            "start_s": until - each,
            "end_s": until,
            "read_s": np.array(read),
        },
        here={
            "model": model_name,
            "chips": plan.tp,
            "batch": batch,
            "layers": m.layers,
            "exchanges": np.sum(kind == "exchange"),
            "weights_s": ops.total(ledger, "weight_bytes") / rate,
            "cache_s": ops.total(ledger, "cache_bytes") / rate,
            "first_s": start,
            "layer_s": until[-1],
            "step_s": ends[-1],
            "weight_bytes": ops.total(ledger, "weight_bytes"),
            "memory_bytes": on.memory_bytes,
        },
    )


def _colours(series):
    return lambda table: [KINDS[kind][1] for kind in pick(table, series, "kind").tolist()]


def _clock_step(ax):
    """The whole step, and above it what reading its bytes takes at the datasheet's rate."""
    left, right = ACROSS

    def placed(table, *times):
        return laid(times, (0, row(table).step_s), left, right)

    def read(table):
        ends = placed(table, 0, row(table).weights_s, row(table).weights_s + row(table).cache_s)
        return flat(ends[:-1], ends[1:], *READ)

    def step(table):
        return flat(*placed(table, *pick(table, "step", "start_s", "end_s")), *WHOLE)

    def reading(table):
        here = row(table)
        floor = here.weights_s + here.cache_s
        x = placed(table, floor)[0] + 7
        return [f"{si(floor, 's')}: weights and cache" if x < 480 else si(floor, "s")], min(x, 656), sum(READ) / 2

    names = ["memory, at full rate", "the step"], left - 8, [sum(READ) / 2, sum(WHOLE) / 2]
    return (
        boxes(ax, read, [COLOUR["memory"], COLOUR["cache"]]),
        labels(ax, reading, size=9.5),
        boxes(ax, step, _colours("step"), snap=False),
        labels(ax, lambda _: names, align="right", size=9.5),
        labels(ax, lambda t: ([si(row(t).step_s, "s")], right + 8, sum(WHOLE) / 2), size=9.5, weight="bold"),
        *ruler(ax, left, right, WHOLE[1] + 5, lambda t: (0, row(t).step_s), "s"),
        funnel(
            ax,
            lambda t: (
                *placed(t, row(t).first_s, row(t).first_s + row(t).layer_s),
                WHOLE[1] + 30,
                left,
                right,
                FIRST_ROW - 28,
            ),
        ),
    )


def _clock_layer(ax):
    """One layer enlarged: a row for each kernel."""
    left, right = ACROSS

    def rows_of(table):
        y = FIRST_ROW + ROW * np.arange(pick(table, "layer", "name").size)
        return y, *laid(pick(table, "layer", "start_s", "end_s", "read_s"), (0, row(table).layer_s), left, right)

    def bars(table):
        y, start, end, _ = rows_of(table)
        return flat(start, end, y - 6, y + 4)

    def bytes_of(table):
        y, start, _, read = rows_of(table)
        return [((a, b + 6), (a + r - left, b + 6)) for a, b, r in zip(start, y, read, strict=True) if r > left]

    def names(table):
        return pick(table, "layer", "name").tolist(), left - 8, rows_of(table)[0]

    def times(table):
        start, end = pick(table, "layer", "start_s", "end_s")
        return [si(t, "s") for t in end - start], right + 8, rows_of(table)[0]

    return (
        boxes(ax, bars, _colours("layer")),
        segments(ax, bytes_of, colors=INK, linewidths=1.6),
        labels(ax, names, align="right", size=9.5),
        labels(ax, times, size=9.5),
        *ruler(ax, left, right, FIRST_ROW + 13 * ROW - 3, lambda t: (0, row(t).layer_s), "s"),
    )


def _clock_draw(figure):
    height = 516
    ax = page(figure, height)
    key(figure, dict(KINDS.values()), 0.018, 1 - 78 / height)

    def telling(table):
        here = row(table)
        return (
            f"{here.model}, {plural(here.chips, 'chip')}, {plural(here.batch, 'sequence')}: {si(here.step_s, 's')}, "
            f"reading {si(here.weights_s + here.cache_s, 's')}"
        )

    def counted(table):
        here = row(table)
        room = " The weights do not fit: as if they did." if here.weight_bytes > here.memory_bytes else ""
        return f"{here.layers:.0f} layers, {plain(here.exchanges)} all-reduces.{room}"

    return updating(
        text(ax, 14, 12, telling, **HEADLINE | {"fontsize": 11.5}),
        text(ax, 14, 50, counted, **SMALL),
        *_clock_step(ax),
        text(ax, ACROSS[0], FIRST_ROW - 20, "one layer, enlarged (black line: its bytes at full rate)", **SMALL),
        *_clock_layer(ax),
    )


def _clock_summary(table):
    here = row(table)
    kind, start, end = pick(table, "step", "kind", "start_s", "end_s")
    parts = ", ".join(
        f"{words} {plain(100 * np.sum((end - start)[kind == k]) / here.step_s, 2)} %" for k, (words, _) in KINDS.items()
    )
    return (
        f"{here.model} in bf16 on {here.chips:.0f} × {GPU}, {plural(here.batch, 'sequence')} of {plural(CONTEXT, 'token')}: a step of "
        f"{si(here.step_s, 's')} with {plural(here.exchanges, 'exchange')}, {plain(here.step_s / (here.weights_s + here.cache_s))} "
        f"times what reading its bytes takes. {parts}."
    )


clock = Exhibit(
    slug="09-clock",
    title="What a decode step does beyond reading memory.",
    caption="Why is a step longer than reading its bytes? Above: weights and cache at the datasheet's bandwidth, and the "
    "step as modelled, layer by layer. Below: one layer, kernel by kernel, on its own scale.",
    alt="A bar of the time in which memory is read, below it a bar of the whole step striped by kernels of all layers, and "
    "one layer enlarged with a row for each kernel.",
    controls={
        "model_name": Control(label="model", values=("Llama-3-8B", "Llama-2-70B", "GPT-3 175B"), start="Llama-2-70B"),
        "chips": Control(label="chips", values=(1, 2, 4, 8), start=8),
        "batch": Control(label="sequences", values=(1, 2, 4, 8, 16, 32, 64), start=1),
    },
    table=_clock_table,
    draw=_clock_draw,
    summary=_clock_summary,
)


# ---- 2: heads on chips ----------------------------------------------------------------------------

HEADS = {  # model: words
    "GPT-3 175B": "Each query head has a key-value head of its own.",
    "Llama-3-70B": "Eight query heads share a key-value head.",
    "PaLM 540B": "All query heads share one key-value head.",
    "DeepSeek-V3": "All heads share one latent, from which each makes its keys and values.",
}
PITCH, FRAMES, FULL = 13, (14, 746, 102, 180), (232, 332)  # a head's square; frames of chips; bars of their bytes
QUERY, KEPT, COPIED = "#EFB08C", COLOUR["cache"], "#CDE9F8"


@keep
def _heads_table(model_name, chips):
    m, n = architectures.model(model_name), round(chips)
    kv = 1 if m.attention == "MLA" else m.kv_heads
    held = max(kv // n, 1)  # below one head for a chip, heads are copied
    on = np.repeat(np.arange(n), held)
    which = on * kv // n if kv < n else np.arange(kv)
    return stack(
        group={
            "chip": on,
            "kv_head": which,
            "queries": m.heads // n // held,
            "copy": np.r_[0.0, np.equal(which[1:], which[:-1])],
        },
        chip={"chip": np.arange(n), "bytes": cache.cache_bytes_per_token(m, tp=n) + 0.0 * np.arange(n)},
        here={
            "model": model_name,
            "chips": n,
            "heads": m.heads,
            "kv_heads": kv,
            "whole_bytes": cache.cache_bytes_per_token(m),
            "each_bytes": cache.cache_bytes_per_token(m, tp=n),
        },
    )


def _frames(table):
    """Left and right of each chip."""
    left, right, _, _ = FRAMES
    n = round(row(table).chips)
    each = (right - left + 8) / n
    start = left + each * np.arange(n)
    return start, start + each - 8


def head_places(table):
    """(squares of query heads, rectangles of key-value heads): edges, group by group within each chip's frame."""
    start, end = _frames(table)
    on, queries = pick(table, "group", "chip", "queries")
    many, held, inner = round(queries[0]), on.size // start.size, end[0] - start[0] - 6
    columns = 1 if many == 1 else min(many, 4 if held > 1 or many <= 8 else int(inner // PITCH))
    gap = 0 if many == 1 else 8
    wide = columns * PITCH + gap
    per_line = max(int((inner + gap) // wide), 1)
    tall = -(-many // columns) * PITCH + 14
    place = np.arange(on.size) % held
    x, y = start[on.astype(int)] + 5 + place % per_line * wide, FRAMES[2] + 6 + place // per_line * (tall + 4)
    i = np.arange(many)
    qx, qy = x[:, None] + i % columns * PITCH, y[:, None] + i // columns * PITCH
    return flat(qx, qx + PITCH - 3, qy, qy + PITCH - 3), flat(x, x + columns * PITCH - 3, y + tall - 14, y + tall - 5)


def _heads_draw(figure):
    height = 398
    ax = page(figure, height)
    words = {"query head": QUERY, "keys and values, or the latent": KEPT, "a further copy": COPIED}
    key(figure, words, 0.018, 1 - 66 / height)

    def kept(table):
        return [COPIED if copy else KEPT for copy in pick(table, "group", "copy")]

    def bars(table, full=False):
        start, end = _frames(table)
        share = 1 if full else pick(table, "chip", "bytes") / row(table).whole_bytes
        half, middle = min((end[0] - start[0]) / 2 - 8, 40), (start + end) / 2
        return flat(middle - half, middle + half, FULL[1] - share * (FULL[1] - FULL[0]), FULL[1])

    def copies(table):
        first = np.searchsorted(pick(table, "group", "chip"), pick(table, "chip", "chip"))
        return [COPIED if pick(table, "group", "copy")[i] else KEPT for i in first]

    def middles(table):
        return np.add(*_frames(table)) / 2

    def telling(table):
        here = row(table)
        return f"{here.model} on {plural(here.chips, 'chip')}: each keeps {si(here.each_bytes, 'B')} of cache per token"

    def facts(table):
        here = row(table)
        together = here.each_bytes * here.chips
        times = "once" if np.isclose(together, here.whole_bytes) else f"{plain(together / here.whole_bytes)} times"
        return f"A token adds {si(here.whole_bytes, 'B')} to a cache that is kept once; here it is kept {times}, {si(together, 'B')} in all."

    return updating(
        text(ax, 14, 12, telling, **HEADLINE),
        text(ax, 14, 44, lambda t: HEADS[row(t).model], **SMALL),
        labels(
            ax,
            lambda t: ([f"chip {i + 1:.0f}" for i in pick(t, "chip", "chip")], _frames(t)[0], FRAMES[2] - 10),
            size=9.5,
        ),
        segments(ax, lambda t: outlines((*_frames(t), *FRAMES[2:])), colors="#777777", linewidths=1.0),
        boxes(ax, lambda t: head_places(t)[0], QUERY),
        boxes(ax, lambda t: head_places(t)[1], kept, edgecolors=KEPT, linewidths=0.8),
        text(
            ax, 14, FULL[0] - 32, "Bytes of cache per token on each chip, of those of the whole model (grey):", **SMALL
        ),
        boxes(ax, lambda t: bars(t, full=True), "#E6E6E6"),
        boxes(ax, bars, copies, edgecolors=KEPT, linewidths=0.8),
        labels(
            ax,
            lambda t: ([si(b, "B") for b in pick(t, "chip", "bytes")], middles(t), FULL[0] - 10),
            size=9,
            align="center",
        ),
        text(ax, 14, 368, facts, **SMALL),
    )


def _heads_summary(table):
    here = row(table)
    copies = here.each_bytes * here.chips / here.whole_bytes
    kept = (
        "no head is kept twice"
        if copies < 1.01
        else f"the same {'latent' if here.model == 'DeepSeek-V3' else 'head'} is kept {plain(copies)} times"
    )
    return (
        f"{here.model}, {plural(here.heads, 'query head')} on {plural(here.chips, 'chip')}: each keeps {si(here.each_bytes, 'B')} of cache "
        f"per token, {plain(100 * here.each_bytes / here.whole_bytes)} % of the model's {si(here.whole_bytes, 'B')}; {kept}."
    )


heads = Exhibit(
    slug="09-heads",
    title="Heads are dealt to chips; one head for all is copied.",
    caption="Which cache can be cut by heads? Query heads and the keys and values that they read lie on one chip. Where there "
    "are fewer key-value heads than chips, chips keep copies. All layers are counted, in 16 bits.",
    alt="A frame for each chip with squares of query heads above the key-value head that they read, copies in a paler blue; "
    "below, a bar for each chip of its cache per token beside that of the whole model.",
    controls={
        "model_name": Control(label="model", values=tuple(HEADS), start="Llama-3-70B"),
        "chips": Control(label="chips", values=(1, 2, 4, 8), start=8),
    },
    table=_heads_table,
    draw=_heads_draw,
    summary=_heads_summary,
)


# ---- 3: users share weights, not caches -----------------------------------------------------------

SERVED = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B", "GPT-3 175B")
BASE, TALL = 392, 290  # of the piles: their foot, and the height of the higher one
PILES = {"weights": (96, 216), "caches": (286, 406), "share": (620, 700)}  # left, right


@keep
def _users_table(model_name, users, context):
    m, n = architectures.model(model_name), round(users)
    weights, caches = decoding.reads(m, batch=n, context=context)
    each = caches / n
    return stack(
        cache={"user": np.arange(n), "low_bytes": each * np.arange(n), "high_bytes": each * np.arange(1, n + 1)},
        here={
            "model": model_name,
            "users": n,
            "context": context,
            "weight_bytes": weights,
            "cache_bytes": caches,
            "each_bytes": each,
            "share_bytes": weights / n + each,
            "equal_users": weights / each,
        },
    )


def user_blocks(table):
    """Edges of the blocks that a step reads: {"weights", "caches", "share"}, heights to scale in bytes."""
    here = row(table)
    unit = TALL / max(here.weight_bytes, here.cache_bytes)
    low, high = pick(table, "cache", "low_bytes", "high_bytes")
    alone = np.cumsum([0, here.weight_bytes / here.users, here.each_bytes])
    return {
        "weights": flat(*PILES["weights"], BASE - unit * here.weight_bytes, [BASE]),
        "caches": flat(*PILES["caches"], BASE - unit * high, BASE - unit * low),
        "share": flat(*PILES["share"], BASE - unit * alone[1:], BASE - unit * alone[:-1]),
    }


def _users_words(table):
    """Words below the piles, and in the blocks that have room."""
    here, at = row(table), user_blocks(table)
    below = {
        "weights": ("weights, once", here.weight_bytes),
        "caches": (f"{plural(here.users, 'cache')} of {si(here.each_bytes, 'B')}", here.cache_bytes),
        "share": ("for each token", here.share_bytes),
    }
    found = [
        (line, sum(PILES[pile]) / 2, BASE + 16 + 18 * i)
        for pile, (words, size) in below.items()
        for i, line in enumerate((words, si(size, "B")))
    ]
    _, _, low, high = at["caches"]
    if high[0] - low[0] >= 13:
        found += [
            (f"user {i + 1}", sum(PILES["caches"]) / 2, (a + b) / 2)
            for i, (a, b) in enumerate(zip(low, high, strict=True))
        ]
    texts, x, y = zip(*found, strict=True)
    return texts, x, y


def _users_draw(figure):
    ax = page(figure, 448)

    def level(table):
        return user_blocks(table)["weights"][2, 0]

    def line(table):
        y, (start, end) = level(table), PILES["caches"]
        if user_blocks(table)["caches"][2].min() > y:  # above the pile
            return [((PILES["weights"][1], y), (end + 14, y))]
        return [((PILES["weights"][1], y), (start, y)), ((end, y), (end + 14, y))]

    def caches(table):
        x0, x1, low, high = user_blocks(table)["caches"]
        return x0, x1, low + np.minimum(0.9, 0.2 * (high - low)), high

    def equal(table):
        many = row(table).equal_users
        return f"as much as the weights:\n{plain(many, 3 if many < 1000 else 2)} users"

    def telling(table):
        here = row(table)
        return f"{here.model}, {plural(here.users, 'user')}, {here.context:,.0f} tokens each: {si(here.weight_bytes + here.cache_bytes, 'B')} read in a step"

    return updating(
        text(ax, 14, 12, telling, **HEADLINE | {"fontsize": 11.5}),
        text(ax, 14, 50, "Heights are bytes. A step makes one token for each user.", **SMALL),
        boxes(ax, lambda t: user_blocks(t)["weights"], COLOUR["memory"]),
        boxes(ax, caches, COLOUR["cache"], snap=False),
        boxes(ax, lambda t: user_blocks(t)["share"], [COLOUR["memory"], COLOUR["cache"]]),
        segments(ax, line, colors=COLOUR["highlight"], linewidths=1.8, linestyles="--"),
        text(ax, PILES["caches"][1] + 18, level, equal, **SMALL),
        labels(ax, _users_words, size=9.5, align="center"),
    )


def _users_summary(table):
    here = row(table)
    return (
        f"{here.model} in 16 bits, {plural(here.users, 'user')} with {here.context:,.0f} tokens each: a step reads {si(here.weight_bytes, 'B')} "
        f"of weights and {si(here.cache_bytes, 'B')} of caches, {si(here.share_bytes, 'B')} for each token. With "
        f"{plain(here.equal_users)} users the caches are as large as the weights."
    )


users = Exhibit(
    slug="09-users",
    title="Users share the weights, not the caches.",
    caption="What does one more user cost? A step reads the weights once for all, and every user's cache. The right pile is "
    "one token's part of both. Memory's size is not a limit here.",
    alt="Three piles of blocks whose heights are bytes: the weights, the users' caches on top of each other with a dashed "
    "line at the height of the weights, and one token's share of both.",
    controls={
        "model_name": Control(label="model", values=SERVED, start="Llama-3-70B"),
        "users": Control(label="users", values=(1, 2, 4, 8, 16, 32, 64), start=16),
        "context": Control(label="context", values=tuple(2**i for i in range(10, 18)), start=8192, unit="tokens"),
    },
    table=_users_table,
    draw=_users_draw,
    summary=_users_summary,
)
