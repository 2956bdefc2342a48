"""Drawings of chapter 14: what copies keep, a pair of matrices cut, an exchange under the last pass, experts dealt out."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.ch14 import ERA, HELD
from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, WIDE, flat, funnel, laid, outlines, page, ruler
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import system
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import collectives, counting, memory, traffic
from bottlenecks.laws import zero as zero_laws
from bottlenecks.models import footprint, layouts, training
from bottlenecks.models.machine import machine

# ---- 1: ZeRO as shelves ---------------------------------------------------------------------------

RECIPE = memory.RECIPES["adam, fp32 gradients"]  # 2 + 4 + 12 bytes of a parameter
BOOKS = {"weights": "weights", "gradients": "gradients", "optimiser": "optimiser states"}
FROM = np.array([3, 2, 1])  # stage from which each is dealt out
COPIES = tuple(2**i for i in range(7))
SHELVES = (80, 590, 98, 286)  # left, right, top, bottom
BARS = (350, 28, 17)  # top, distance, thickness


@keep
def _zero_table(model_name, stage, copies):
    n, z, params = round(copies), round(stage), model(model_name).params
    each = {
        "weight_bytes": RECIPE.weight_bytes,
        "gradient_bytes": RECIPE.gradient_bytes,
        "state_bytes": RECIPE.state_bytes,
    }
    whole, stages = np.array(list(each.values())), np.arange(4)
    cut = memory.shards(stages[:, None], n, from_stage=FROM)
    return stack(
        book={"book": list(BOOKS), "whole_bytes": whole, "cut": cut[z], "kept_bytes": whole / cut[z]},
        stage={
            "stage": stages,
            **{book: params * whole[i] / cut[:, i] for i, book in enumerate(BOOKS)},
            "held_bytes": memory.states_bytes(params, **each, zero=stages, ranks=n),
        },
        here={
            "model": model_name,
            "stage": z,
            "copies": n,
            "params": params,
            "memory_bytes": chip("H100 SXM5").memory_bytes,
        },
    )


def _slots(table):
    """Where the place of each book on a shelf begins and ends, to scale in bytes."""
    left, right, _, _ = SHELVES
    ends = np.cumsum([0, *pick(table, "book", "whole_bytes")])
    return left + ends / ends[-1] * (right - left)


def shelf_pieces(table):
    """Edges of what each copy keeps of each book: all of it, or the part whose turn it is."""
    _, _, top, bottom = SHELVES
    cut, ends, n = pick(table, "book", "cut"), _slots(table), round(row(table).copies)
    tall, copy = (bottom - top) / n, np.arange(n)[:, None]
    part = np.diff(ends) / cut
    x0 = ends[:-1] + np.where(cut > 1, copy, 0) * part
    y0 = top + copy * tall
    return flat(x0, x0 + part, y0, y0 + tall * (0.82 if n <= 16 else 1.0))


def _shelves(ax):
    """The upper half: a shelf for each copy."""
    left, _, top, bottom = SHELVES
    colours = [HELD[book][1] for book in BOOKS]

    def places(table):
        ends, (_, _, low, high) = _slots(table), shelf_pieces(table)
        return flat(ends[:-1], ends[1:], low.reshape(-1, 3), high.reshape(-1, 3))

    def names(table):
        whole, ends = pick(table, "book", "whole_bytes"), _slots(table)
        words = [f"{word} {plain(b)} B" for word, b in zip(BOOKS.values(), whole, strict=True)]
        return words, (ends[:-1] + ends[1:]) / 2 - (14, 0, 0), top - 12

    def copies(table):
        n = round(row(table).copies)
        if n > 8:
            return ["copy 1", f"copy {n}"], left - 8, [top + 6, bottom - 6]
        return [f"copy {i + 1}" for i in range(n)], left - 8, top + (np.arange(n) + 0.41) * (bottom - top) / n

    return (
        labels(ax, names, align="center", size=9.5),
        boxes(ax, places, "#E6E6E6"),
        boxes(ax, shelf_pieces, lambda table: colours * round(row(table).copies)),
        labels(ax, copies, align="right", size=9.5),
    )


def _floors(ax):
    """The lower half: what one chip holds at each stage, and its memory."""
    left, right, _, _ = SHELVES
    first, apart, thick = BARS
    y = first + apart * np.arange(4)

    def held(table):
        share = (right - left) / (row(table).params * pick(table, "book", "whole_bytes").sum())
        ends = left + share * np.cumsum([0 * y, *(pick(table, "stage", book) for book in BOOKS)], 0)
        return flat(ends[:-1], ends[1:], y, y + thick)

    def limit(table):
        here = row(table)
        return left + here.memory_bytes / (here.params * pick(table, "book", "whole_bytes").sum()) * (right - left)

    def sums(table):
        total, room = pick(table, "stage", "held_bytes"), row(table).memory_bytes
        words = ["fits" if t <= room else f"{plain(t / room)} H100s" for t in total]
        return [f"{si(t, 'B')}: {word}" for t, word in zip(total, words, strict=True)], right + 8, y + thick / 2

    def chosen(table):
        low = y[round(row(table).stage)]
        return outlines((left - 60, WIDE - 10, low - 5, low + thick + 5))

    return (
        boxes(ax, held, [HELD[book][1] for book in BOOKS for _ in range(4)]),
        segments(ax, chosen, colors=COLOUR["highlight"], linewidths=1.6),
        segments(
            ax,
            lambda t: [((limit(t), first - 9), (limit(t), y[-1] + thick + 6))],
            colors=INK,
            linewidths=1.5,
            linestyles="--",
        ),
        text(
            ax,
            lambda t: limit(t) + 5,
            first - 13,
            lambda t: f"memory of one H100: {si(row(t).memory_bytes, 'B')}",
            **SMALL,
        ),
        labels(ax, lambda _: ([f"ZeRO {i}" for i in range(4)], left - 8, y + thick / 2), align="right", size=9.5),
        labels(ax, sums, size=9.5),
        *ruler(
            ax,
            left,
            right,
            y[-1] + thick + 10,
            lambda t: (0, row(t).params * pick(t, "book", "whole_bytes").sum()),
            "B",
        ),
    )


def _zero_draw(figure):
    ax = page(figure, 494)

    def telling(table):
        here, kept, whole = row(table), *pick(table, "book", "kept_bytes", "whole_bytes")
        return f"ZeRO {here.stage:.0f} among {plural(here.copies, 'copy')}: each keeps {plain(kept.sum())} of {plain(whole.sum())} bytes per parameter"

    return updating(
        text(ax, 14, 12, telling, **HEADLINE),
        text(ax, 14, 54, "Shelves: of every parameter's bytes (grey), those that a copy keeps (colour).", **SMALL),
        *_shelves(ax),
        text(
            ax,
            14,
            314,
            lambda t: f"On each chip, for the {plain(row(t).params / 1e9)} billion parameters of {row(t).model}:",
            **SMALL,
        ),
        *_floors(ax),
    )


def _zero_summary(table):
    here, kept, total = row(table), pick(table, "book", "kept_bytes").sum(), pick(table, "stage", "held_bytes")
    mine, fitting = total[round(here.stage)], np.flatnonzero(total <= here.memory_bytes)
    first = f"the first stage that fits is ZeRO {fitting[0]}" if fitting.size else "no stage fits"
    return (
        f"{here.model}, ZeRO {here.stage:.0f} among {plural(here.copies, 'copy')}: each keeps {plain(kept)} bytes of a parameter, "
        f"{si(mine, 'B')} in all, {plain(mine / here.memory_bytes)} times the memory of an H100; {first}."
    )


zero = Exhibit(
    slug="14-zero",
    title="ZeRO deals out what every copy kept whole.",
    caption="Which stage makes the model fit? Optimiser states are dealt out from stage 1, gradients from 2, weights from 3. "
    "Widths are bytes. Activations are not counted.",
    alt="Above, a shelf for each copy of the model with its weights, gradients and optimiser states, whole or cut into "
    "parts that lie like a staircase; below, four bars of the bytes on one chip beside a line at its memory.",
    controls={
        "model_name": Control(
            label="model", values=("Llama-3-8B", "Llama-2-70B", "Llama-3.1-405B"), start="Llama-2-70B"
        ),
        "stage": Control(label="stage", values=(0, 1, 2, 3), start=1),
        "copies": Control(label="copies", values=COPIES, start=8),
    },
    table=_zero_table,
    draw=_zero_draw,
    summary=_zero_summary,
)


# ---- 2: a pair of matrices, cut -------------------------------------------------------------------

CUT_MODELS = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B", "GPT-3 175B")
PARTS = {"feed-forward": 230, "attention": 250}  # of a layer: pixels of the columns of its first matrix, at most
MOST_WIDE, TOKENS_SHARE = 84, 8  # pixels of a token's values at most; values of a token over the tokens drawn
X_AT, A_AT, B_AT, Y_AT, UPPER, LOWER = 40, 190, 480, 648, 338, 378  # places on the sheet; bottom of A and B, top of X


WHY = (
    "Why columns first? A chip then has whole values of X A,",
    "and what comes next (the activation, or a head's attention)",
    "needs no other chip. Rows first would leave summands,",
    "to be added up before it.",
)


@keep
def _cut_table(model_name, part, chips):
    m, n = model(model_name), round(chips)
    if part == "attention":
        inner = m.heads * m.head_values
        first = {"queries": inner, "keys": m.kv_width, "values": m.kv_width}
    else:
        inner = m.ffn_width
        first = {"gate": inner, "up": inner} if m.ffn_matrices == 3 else {"up": inner}
    stacked = part != "attention"  # drawn one above the other
    every = inner if stacked else sum(first.values())
    ring = collectives.ring_all_reduce_s(
        2 * m.width, n, bytes_per_s=1, latency_s=0
    )  # bytes of a token at a byte a second
    return stack(
        first={"matrix": list(first), "columns": np.array(list(first.values()))},
        here={
            "model": model_name,
            "part": part,
            "chips": n,
            "width": m.width,
            "inner": inner,
            "heads": m.heads,
            "kv_heads": m.kv_heads,
            "tokens": m.width // TOKENS_SHARE,
            "scale": min(PARTS[part] / every, MOST_WIDE / m.width),
            "stacked": float(stacked),
            "sent_bytes": ring,
            "weight_bytes": 2 * (m.width * sum(first.values()) + inner * m.width) / n,
        },
    )


def cut_pieces(table):
    """Edges of the pieces of each matrix, chip by chip: {name: four rows}, to scale in values."""
    here, n = row(table), round(row(table).chips)
    s, wide, inner, tokens = here.scale, here.width * here.scale, here.inner * here.scale, here.tokens * here.scale
    chip_of, columns = np.arange(n), pick(table, "first", "columns") * s
    place, found = A_AT, {}
    for i, (name, size) in enumerate(zip(pick(table, "first", "matrix"), columns, strict=True)):
        bottom = UPPER - (columns.size - 1 - i) * (wide + 5) * here.stacked
        found[str(name)] = flat(place + chip_of * size / n, place + (chip_of + 1) * size / n, bottom - wide, bottom)
        place += 0 if here.stacked else size + 5
    found["B"] = flat(B_AT, B_AT + wide, UPPER - inner + chip_of * inner / n, UPPER - inner + (chip_of + 1) * inner / n)
    found["X"] = flat(X_AT, X_AT + wide, LOWER, LOWER + tokens)
    found["H"] = flat(A_AT + chip_of * inner / n, A_AT + (chip_of + 1) * inner / n, LOWER, LOWER + tokens)
    y = LOWER + chip_of * (tokens + 4)
    found["sums"] = flat(B_AT, B_AT + wide, y, y + tokens)
    middle = (LOWER + y[-1] + tokens) / 2
    found["Y"] = flat(Y_AT, Y_AT + wide, middle - tokens / 2, middle + tokens / 2)
    return found


def _cut_words(table):
    """What stands beside each matrix, at x and y, aligned left."""
    here, at = row(table), cut_pieces(table)
    shape = "{:,.0f} × {:,.0f}".format
    low = at["X"][3, 0] + 12
    words = [
        ("X, tokens: on every chip", X_AT - 26, LOWER - 12),
        (shape(here.tokens, here.width), X_AT - 26, low),
        ("X A: stays where it is" if here.stacked else "heads attend, each on its chip", A_AT + 4, low),
        (shape(here.tokens, here.inner), A_AT + 4, low + 15),
        ("B, cut by rows", B_AT, at["B"][2, 0] - 25),
        (shape(here.inner, here.width), B_AT, at["B"][2, 0] - 10),
        ("Y, the sum" if here.chips > 1 else "Y", Y_AT, at["Y"][2, 0] - 11),
        ("all-reduce:" if here.chips > 1 else "", Y_AT, at["Y"][2, 0] - 26),
        (shape(here.tokens, here.width), Y_AT, at["Y"][3, 0] + 12),
    ]
    names = pick(table, "first", "matrix", "columns")
    for i, (name, size) in enumerate(zip(*names, strict=True)):
        y0, y1 = at[str(name)][2:, 0]
        if here.stacked:
            words += [
                (f"A, {name}", X_AT - 26, (y0 + y1) / 2 - 8),
                (shape(here.width, size), X_AT - 26, (y0 + y1) / 2 + 8),
            ]
        else:
            words += [(f"A, {name}: {shape(here.width, size)}", A_AT, at["queries"][2, 0] - 42 + 15 * i)]
    texts, x, y = zip(*words, strict=True)
    return texts, x, y


def _cut_draw(figure):
    ax = page(figure, 546)

    def pieces(table):
        at = cut_pieces(table)
        return np.concatenate([at[name] for name in at if name not in ("X", "Y")], axis=1)

    def colours(table):
        at, n = cut_pieces(table), round(row(table).chips)
        return list(SERIES[:n]) * (len(at) - 2)

    def whole(table):
        at = cut_pieces(table)
        return np.concatenate([at["X"], at["Y"]], axis=1)

    def arrows(table):
        at = cut_pieces(table)
        ends, (_, _, y0, y1) = at["sums"], at["Y"][:, 0]
        right, middle = ends[1, 0] + 6, (y0 + y1) / 2
        joined = [((right, (a + b) / 2), (right + 22, middle)) for a, b in zip(ends[2], ends[3], strict=True)]
        return [
            *joined,
            ((right + 22, middle), (Y_AT - 8, middle)),
            ((Y_AT - 14, middle - 5), (Y_AT - 8, middle), (Y_AT - 14, middle + 5)),
        ]

    def telling(table):
        here = row(table)
        if here.chips == 1:
            return f"{here.model}, {here.part}, one chip: nothing to send"
        return f"{here.model}, {here.part}, {here.chips:.0f} chips: each sends {si(here.sent_bytes, 'B')} per token"

    def price(table):
        here = row(table)
        n = round(here.chips)
        ring = f"2 × {n - 1}/{n} × {here.width:,.0f} × 2 B = {si(here.sent_bytes, 'B')}"
        return f"Sent per token and chip: {ring}" if n > 1 else "One chip adds nothing up."

    def sums(table):
        n = round(row(table).chips)
        return "X A B" if n == 1 else f"{n} summands (X A$_i$) B$_i$"

    return updating(
        text(ax, 14, 12, telling, **HEADLINE),
        text(
            ax, 14, 50, "Each colour is one chip. Columns of A and the rows of B that meet them lie together.", **SMALL
        ),
        boxes(ax, whole, "#C9C9C9"),
        boxes(ax, pieces, colours, edgecolors="white", linewidths=0.5),
        labels(ax, _cut_words, size=9.5),
        segments(ax, arrows, colors=INK, linewidths=1.2),
        text(ax, B_AT, LOWER - 14, sums, **SMALL),
        text(ax, 14, 452, price, **SMALL),
        *(text(ax, 14, 478 + 18 * i, words, color=GREY, **SMALL) for i, words in enumerate(WHY)),
    )


def _cut_summary(table):
    here = row(table)
    return (
        f"{here.model}, {here.part} of one layer over {plural(here.chips, 'chip')}: each keeps {si(here.weight_bytes, 'B')} of "
        f"its weights, makes a summand of {here.width:,.0f} values for every token, and sends {si(here.sent_bytes, 'B')} "
        f"per token to add them up; forward, a layer has two such sums."
    )


column_row = Exhibit(
    slug="14-cut",
    title="Columns, then rows: one sum for two products.",
    caption="What must chips send when a pair of matrices is cut among them? Only the last sum: a ring sends twice its "
    "16-bit values, less an n-th. Matrices are to scale in values; attention's heads are cut likewise.",
    alt="Matrices drawn to scale: X whole, A cut by columns and B by rows in one colour for each chip, the product X A in "
    "the same colours, and the chips' summands which are added up to Y.",
    controls={
        "model_name": Control(label="model", values=CUT_MODELS, start="Llama-3-70B"),
        "part": Control(label="part", values=tuple(PARTS), start="feed-forward"),
        "chips": Control(label="chips", values=(1, 2, 4, 8), start=4),
    },
    table=_cut_table,
    draw=_cut_draw,
    summary=_cut_summary,
)


# ---- 3: the exchange under the last backward pass -------------------------------------------------

STAGES = {"Llama-3.1-405B": (8, 16, 128), "Llama-3-70B": (8, 4, 128)}  # tensor ranks, stages, copies
PORTS = {f"{n} Gbit/s": n * 1e9 / 8 for n in (100, 400, 800)}
SHOWN = {  # kind: words, colour
    "forward": ("forward", "#F2B27C"),
    "backward": ("backward", COLOUR["compute"]),
    "waits": ("waits", "#CFCFCF"),
    "gather": ("gathers weights", "#7FCDB4"),
    "scatter": ("scatters gradients", COLOUR["network"]),
}
LANE = (92, 728)  # left, right
TOP, NEAR = ((96, 128, 133, 157), (254, 294, 300, 330))  # lanes of the whole step and of its enlarged end


def _slot(found, start, name, compute_s, gather_s, scatter_s, layers):
    """Adds a pass with what is sent beside it, by the laws of `laws.zero`: one layer's share of that is never hidden."""
    sent = gather_s + scatter_s
    end = start + compute_s + sent - min(sent * (1 - 1 / layers), compute_s)
    begins = start + gather_s / layers if scatter_s else end - compute_s
    found += [("waits", start, end), (name, begins, begins + compute_s)]
    found += [("gather", start, start + gather_s), ("scatter", end - scatter_s, end)]
    return end


def _products_flop_per_s(m, layout, on):
    """The rate of a step's products: their operations over the time at the peak and what they lose below it."""
    each = counting.six_n_d_flop(
        m.active_block_params + m.head_params, layout.dp * layout.micro_batches * layout.seq_len
    )
    below = training.step(m, layout, on=on, software=ERA, memory=False).rows["products below the peak"]
    return each / layout.chips / (each / layout.chips / on.peak_flop_per_s + below)


def _step(count, sharded, forward, gather, scatter, layers):
    """All passes of a step and what is sent beside them; when the last one begins, and when it has ended."""
    found, now = [], 0.0
    for i in range(count):
        first, last = sharded or i == 0, sharded or i == count - 1
        begin = _slot(found, now, "forward", forward, gather * first, 0.0, layers)
        now = _slot(found, begin, "backward", 2 * forward, gather * sharded, scatter * last, layers)
    return found, begin, now


@keep
def _under_table(model_name, zero, micro_batches, tokens, port):
    m, count = model(model_name), round(micro_batches)
    tp, pp, copies = STAGES[model_name]
    on, layout = machine(system("DGX H100")), layouts.Layout(seq_len=8192, tp=tp, pp=pp, dp=copies, micro_batches=16)
    params = footprint.total_bytes(footprint.stage_params(m, layout, 1))
    rate = _products_flop_per_s(m, layout, on)
    wire = {"bytes_per_s": PORTS[port], "latency_s": 0}
    scatter = collectives.ring_reduce_scatter_s(4 * params, copies, **wire)
    gather = collectives.ring_all_gather_s(2 * params, copies, **wire)
    forward = counting.six_n_d_flop(params, tokens) / 3 / rate
    sharded, layers = zero == "ZeRO 3", m.layers / pp
    found, begin, now = _step(count, sharded, forward, gather, scatter, layers)
    kinds, start, end = zip(*found, strict=True)
    passes = {"forward_s": forward, "backward_s": 2 * forward, "layers": layers}
    if sharded:
        exposed, hidden = zero_laws.exposed_weights_s(scatter, gather, times=count, gathers=2, **passes)
    else:
        exposed, hidden = zero_laws.exposed_gradients_s(
            scatter, gather, times=1, hides_gradients=1, hides_weights=1, **passes
        )
    return stack(
        work={"kind": list(kinds), "start_s": np.array(start), "end_s": np.array(end)},
        here={
            "model": model_name,
            "zero": zero,
            "micro_batch": count,
            "tokens": tokens,
            "port": port,
            "params": params,
            "copies": copies,
            "rate": rate,
            "forward_s": forward,
            "scatter_s": scatter,
            "gather_s": gather,
            "exposed_s": exposed,
            "hidden_s": hidden,
            "last_s": begin,
            "step_s": now,
            "enough": traffic.data_parallel_tokens(
                flop_per_s=rate, bytes_per_s=PORTS[port], sent_bytes=8 if sharded else 6
            ),
        },
    )


def _lanes(ax, window, lanes):
    """The two lanes of a stretch of time: what is computed, and below what is sent."""
    left, right = LANE

    def edges(table):
        kind, start, end = pick(table, "work", "kind", "start_s", "end_s")
        since, until = window(table)
        x0, x1 = (laid(np.clip(v, since, until), (since, until), left, right) for v in (start, end))
        sends = np.isin(kind, ("gather", "scatter"))
        return flat(x0, x1, np.where(sends, lanes[2], lanes[0]), np.where(sends, lanes[3], lanes[1]))

    def colours(table):
        return [SHOWN[k][1] for k in pick(table, "work", "kind").tolist()]

    names = ["computes", "sends"], left - 8, [(lanes[0] + lanes[1]) / 2, (lanes[2] + lanes[3]) / 2]
    return (
        boxes(ax, edges, colours, edgecolors="white", linewidths=0.4),
        labels(ax, lambda _: names, align="right", size=9.5),
        *ruler(ax, left, right, lanes[3] + 6, window, "s"),
    )


def _under_facts(table):
    """Lines below the drawing."""
    here = row(table)
    return (
        [
            f"A micro-batch of {here.tokens:,.0f} tokens: forward {si(here.forward_s, 's')}, backward {si(2 * here.forward_s, 's')} "
            f"({si(here.rate, 'FLOP/s')}).",
            f"{plain(here.params / 1e9)} billion weights a chip, {here.copies:.0f} copies, {here.port}: gradients (4 B) take "
            f"{si(here.scatter_s, 's')}, weights (2 B) {si(here.gather_s, 's')}.",
            f"About {plain(here.enough, 2)} tokens in a micro-batch would hide all but one layer's share.",
        ],
        14,
        [386, 408, 430],
    )


def _under_draw(figure):
    ax = page(figure, 452)
    left, right = LANE
    key(figure, dict(SHOWN.values()), 0.018, 1 - 76 / 452)

    def last(table):
        return row(table).last_s, row(table).step_s

    def done(table):
        kind, end = pick(table, "work", "kind", "end_s")
        return end[kind == "backward"][-1]

    def tail(table):
        x = laid(done(table), last(table), left, right)
        return [((x, NEAR[0] - 4), (x, NEAR[0] - 9), (right, NEAR[0] - 9), (right, NEAR[0] - 4))]

    def telling(table):
        here = row(table)
        return f"{here.zero}, {plural(here.micro_batch, 'micro-batch')}: exposed {si(here.exposed_s, 's')} of a step of {si(here.step_s, 's')}"

    def near(table):
        x = laid(row(table).last_s, (0, row(table).step_s), left, right)
        return x, right, TOP[3] + 30, left, right, NEAR[0] - 34

    return updating(
        text(ax, 14, 12, telling, **HEADLINE),
        text(
            ax,
            14,
            50,
            lambda t: (
                f"One chip of {row(t).model}, cut over {' × '.join(map(str, STAGES[row(t).model][:2]))} chips, and its copies."
            ),
            **SMALL,
        ),
        *_lanes(ax, lambda table: (0, row(table).step_s), TOP),
        funnel(ax, near),
        *_lanes(ax, last, NEAR),
        text(ax, left, NEAR[0] - 22, "the last backward pass, enlarged", **SMALL),
        segments(ax, tail, colors=COLOUR["highlight"], linewidths=1.8),
        text(
            ax,
            right,
            NEAR[0] - 22,
            lambda t: f"after its products: {si(row(t).step_s - done(t), 's')}",
            ha="right",
            **SMALL,
        ),
        labels(ax, _under_facts, size=9.5),
    )


def _under_summary(table):
    here = row(table)
    return (
        f"{here.model}, {here.zero}, {plural(here.micro_batch, 'micro-batch')} of {here.tokens:,.0f} tokens, port {here.port}: of "
        f"{si(here.exposed_s + here.hidden_s, 's')} that the exchange takes, {si(here.exposed_s, 's')} stay exposed in a step of "
        f"{si(here.step_s, 's')}; micro-batches of about {plain(here.enough, 2)} tokens would hide it."
    )


under_backward = Exhibit(
    slug="14-under",
    title="The exchange hides behind one micro-batch, not behind the step.",
    caption="Which pass can hide the exchange? Gradients are complete only in the last backward pass; weights come "
    "back under the next step's first forward pass, drawn at the left. ZeRO 3 gathers in every pass.",
    alt="A time axis of one step with a lane of forward and backward passes and a lane of what is sent below it; the last "
    "backward pass is enlarged, with a bracket over what is still to send when its products are done.",
    controls={
        "model_name": Control(label="model", values=tuple(STAGES), start="Llama-3.1-405B"),
        "zero": Control(label="ZeRO", values=("ZeRO 1", "ZeRO 3"), start="ZeRO 1"),
        "micro_batches": Control(label="micro-batches", values=(1, 2, 4, 8, 16), start=16),
        "tokens": Control(label="tokens in each", values=tuple(2**i for i in range(11, 16)), start=8192),
        "port": Control(label="port", values=tuple(PORTS), start="400 Gbit/s"),
    },
    table=_under_table,
    draw=_under_draw,
    summary=_under_summary,
)
