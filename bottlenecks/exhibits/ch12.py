"""Figures of chapter 12, How is one step split?"""

from dataclasses import replace
from functools import cache as keep

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bottlenecks.exhibits.labels import Labels
from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, SERIES, axis_in
from bottlenecks.facts.architectures import model
from bottlenecks.facts.networks import system
from bottlenecks.facts.units import plain, si
from bottlenecks.models import footprint, training
from bottlenecks.models.footprint import RECOMPUTE, SCHEDULES
from bottlenecks.studies import search, splitting

GREY = "#6E6E6E"  # of words: dark enough to read
ERA = "2024"
LLAMAS = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B")
SEQ_LEN, STEP_TOKENS = 8192, 2**24  # of Llama 3's pre-training: 2,048 sequences a step
AGAIN = {"nothing": "none", "half of the products": "products", "everything": "full"}


@keep
def _machine(name):
    return training.machine(system(name))


def _count(number, word):
    many = word[:-1] + "ies" if word.endswith("py") else word + ("es" if word.endswith("ch") else "s")
    return f"{plain(number, 6)} {word if number == 1 else many}"


def _legend(figure, entries, y):
    """Squares in colour with words beside them, one after the other."""
    x = 0.012
    for word, colour in entries:
        figure.text(x, y, "■", color=colour, va="top", fontsize=10)
        figure.text(x + 0.02, y, word, va="top", fontsize=9.5)
        x += 0.05 + 0.0118 * len(word)


def _boxes(left, right, low, high):
    """Corners of rectangles, for a `PolyCollection`."""
    x0, x1, y0, y1 = np.broadcast_arrays(left, right, low, high)
    return np.stack([np.stack([x0, x1, x1, x0], -1), np.stack([y0, y0, y1, y1], -1)], -1)


# ---- 1: who keeps what ----------------------------------------------------------------------------

STAGES_OF_MIX = {"Llama-3-8B": 1, "Llama-3-70B": 4, "Llama-3.1-405B": 16}  # the last as published
WAYS = {  # of `splitting.ways`: words
    "copies": "Whole copies",
    "zero 1": "Copies, ZeRO 1",
    "zero 3": "Copies, ZeRO 3",
    "tensor, one machine": "Tensor, one machine",
    "tensor": "Tensor, all heads",
    "pipeline": "Pipeline, all layers",
    "mix": "A mix, ZeRO 1",
    "mix, zero 2": "A mix, ZeRO 2",
}
HELD = {  # words, rows of the footprint, colour
    "weights": (("weights",), COLOUR["memory"]),
    "gradients": (("gradients",), COLOUR["cache"]),
    "optimiser": (("optimizer",), SERIES[7]),
    "activations": (("activations",), COLOUR["highlight"]),
    "rest": (("logits", "recomputation", "step", "buffers", "reserve"), COLOUR["idle"]),
}
CHIPS = tuple(2**i for i in range(3, 15))
ROOM_SHOWN = 2  # the axis ends at so many times a chip's memory


@keep
def _fit_table(model_name, chips, again):
    m, on = model(model_name), _machine("DGX H100")
    names, layout = splitting.ways(
        m,
        chips=round(chips),
        batch=STEP_TOKENS // SEQ_LEN,
        seq_len=SEQ_LEN,
        mix=STAGES_OF_MIX[model_name],
        recompute=AGAIN[again],
    )
    rows = footprint.training_rows(m, layout)
    parts = {part: sum(rows[r] for r in of) + np.zeros(len(names)) for part, (of, _) in HELD.items()}
    return stack(
        way={"way": list(names), "tp": layout.tp, "pp": layout.pp, "dp": layout.dp, **parts},
        here={"model": model_name, "chips": round(chips), "again": again, "memory": on.memory_bytes},
    )


def _fit_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    on = _machine("DGX H100").memory_bytes
    y = np.arange(len(WAYS))
    ax = figure.add_axes([0.25, 0.095, 0.385, 0.765])
    mix = figure.add_axes([0.825, 0.095, 0.135, 0.765])
    for axes in (ax, mix):
        axes.set(ylim=(len(WAYS) - 0.5, -0.5), yticks=())
        axes.grid(False, axis="y")
    ax.set(xlim=(0, ROOM_SHOWN * on), xlabel="bytes on the fullest chip")
    ax.set_xticks(np.arange(5) * on / 2)
    axis_in(ax.xaxis, "B")
    mix.set(xlim=(0, 1), xlabel="of which")
    mix.set_xticks([0, 1], ["0", "100 %"])
    ax.axvline(on, color=COLOUR["total"], lw=2.2, zorder=3)
    ax.text(on, -0.6, f"a chip has {si(on, 'B')}", ha="center", va="bottom", fontsize=9.5)
    across = ax.get_yaxis_transform()
    for i, words in enumerate(WAYS.values()):
        ax.text(-0.03, i - 0.17, words, transform=across, ha="right", va="center")
    cuts = Labels(ax, transform=across, size=8, color=GREY, align="right")
    totals, verdicts = (Labels(ax, transform=across, size=size) for size in (10, 9))
    bars, shares = ({p: PolyCollection([], facecolors=c, linewidths=0) for p, (_, c) in HELD.items()} for _ in (0, 1))
    for axes, group in ((ax, bars), (mix, shares)):
        for collection in group.values():
            axes.add_collection(collection, autolim=False)
    torn = Labels(ax, size=13, color="white", align="right")
    told = figure.text(0.012, 0.975, "", va="top")
    _legend(figure, [(part, colour) for part, (_, colour) in HELD.items()], 0.933)

    def update(table):
        parts = np.array([pick(table, "way", part) for part in HELD])
        tp, pp, dp = pick(table, "way", "tp", "pp", "dp")
        whole = parts.sum(0)
        ends = np.vstack([0 * whole, np.cumsum(parts, 0)])
        seen = np.minimum(ends, ROOM_SHOWN * on)
        for i, part in enumerate(HELD):
            bars[part].set_verts(_boxes(seen[i], seen[i + 1], y - 0.33, y + 0.33))
            shares[part].set_verts(_boxes(ends[i] / whole, ends[i + 1] / whole, y - 0.33, y + 0.33))
        over = whole > ROOM_SHOWN * on
        drawn = torn.show(np.where(over, "»", ""), ROOM_SHOWN * on * 0.99, y)
        lack = whole - on
        words = [
            ", ".join([_count(n, word) for n, word in ((t, "rank"), (p, "stage")) if n > 1] + [_count(d, "copy")])
            for t, p, d in zip(tp, pp, dp, strict=True)
        ]
        told_here = [
            cuts.show(words, -0.03, y + 0.2),
            totals.show([si(w, "B") for w in whole], 1.04, y - 0.17),
            verdicts.show(
                [f"lacks {si(v, 'B')}" if v > 0 else "fits" for v in lack],
                1.04,
                y + 0.2,
                np.where(lack > 0, COLOUR["compute"], COLOUR["network"]),
            ),
        ]
        name, chips, again = (one(table, "here", c) for c in ("model", "chips", "again"))
        told.set_text(f"{name} on {_count(chips, 'chip')}; computed again: {again}")
        return [*bars.values(), *shares.values(), drawn, *told_here, told]

    return update


def _fit_summary(table):
    names, tp, pp, dp = pick(table, "way", "way", "tp", "pp", "dp")
    whole = sum(pick(table, "way", part) for part in HELD)
    name, chips, again, on = (one(table, "here", c) for c in ("model", "chips", "again", "memory"))
    size = dict(zip(names.tolist(), whole, strict=True))
    fitting = [WAYS[n] for n in size if size[n] <= on]
    idle = chips - dp[0]
    last = list(WAYS).index("mix")
    return (
        f"{name}, {plain(chips, 6)} H100, 8,192-token sequences one at a time, {again} computed again: a whole copy takes "
        f"{si(size['copies'], 'B')}, {plain(size['copies'] / on)} times a chip's memory; ZeRO 1 {si(size['zero 1'], 'B')}, "
        f"ZeRO 3 {si(size['zero 3'], 'B')}, tensors cut {tp[4]:.0f} times {si(size['tensor'], 'B')}, a pipeline of {pp[5]:.0f} stages "
        f"{si(size['pipeline'], 'B')}, the mix ({tp[last]:.0f} ranks, {_count(pp[last], 'stage')}, {_count(dp[last], 'group')}) {si(size['mix'], 'B')}, "
        f"with gradients cut as well {si(size['mix, zero 2'], 'B')}. What fits: {'; '.join(fitting) or 'nothing'}."
        + (f" Of copies, {_count(idle, 'chip')} would have no sequence." if idle > 0 else "")
    )


fit = Exhibit(
    slug="12-fit",
    title="Who keeps what.",
    caption="Bytes on the fullest chip when the same number of H100 are used in different ways, and what they are. The axis ends at "
    "twice a chip's memory; bars that run out are torn (»), their parts are at the right. Each way goes as far as it can: copies until each has one of "
    "the step's 2,048 sequences of 8,192 tokens, tensors within a machine of eight or up to the heads, a pipeline up to "
    "the layers; chips left over hold further copies. The mix: tensors within a machine, a pipeline (16 stages for "
    "Llama-3.1-405B, as published; 4 for 70B, none for 8B), copies that share the optimiser's states (ZeRO 1), or gradients too "
    "(ZeRO 2). Embedding and head count as a layer each where stages are even only so. Adam with gradients in 32 bits, 1F1B; a bound from below, nothing held for fragmentation.",
    alt="Horizontal stacked bars for eight ways to split a training step, with a vertical line at a chip's memory, the total and what "
    "it lacks beside each bar, and a second bar with the parts in percent: weights, gradients, optimiser, activations, rest.",
    controls={
        "model_name": Control(label="model", values=LLAMAS, start="Llama-3.1-405B"),
        "chips": Control(label="chips", values=CHIPS, start=16384),
        "again": Control(label="computed again", values=tuple(AGAIN), start="nothing"),
    },
    table=_fit_table,
    draw=_fit_draw,
    summary=_fit_summary,
)


# ---- 2: a pipeline, drawn -------------------------------------------------------------------------

PIPELINES = {"GPipe": "gpipe", "1F1B": "1f1b", "interleaved": "interleaved", "zero bubble": "zb1p"}
CHUNKS = 2
WORK = {  # kind: words, colours of each chunk
    "forward": ("forward", ("#F2B27C", "#FADFC6")),
    "backward": ("backward", (COLOUR["compute"], "#EA9256")),
    "input gradient": ("gradients of inputs", (COLOUR["compute"],)),
    "weight gradient": ("gradients of weights", ("#7F3800",)),
}


@keep
def _pipeline_table(schedule, stages, micro_batches):
    p, m, name = round(stages), round(micro_batches), PIPELINES[schedule]
    if name == "interleaved" and m > p:
        m = -(-m // p) * p  # whole groups
    drawn = splitting.timeline(name, p, m, CHUNKS)
    time, held = splitting.alive(drawn)
    layout = footprint.Layout(
        seq_len=1, pp=p, micro_batches=m, schedule=name, vpp=CHUNKS if name == "interleaved" else 1
    )
    return stack(
        work=drawn,
        alive={"start": np.append(time, drawn["end"].max()), "alive": np.append(held, 0.0)},
        here={
            "schedule": schedule,
            "stage": p,
            "micro_batch": m,
            "asked": round(micro_batches),
            "end": drawn["end"].max(),
            "idle": splitting.idle(drawn),
            "alive": footprint.in_flight(layout, 0),
        },
    )


def _ticks(end, most):
    """Round numbers from 0 up to `end`."""
    found = MaxNLocator(most, integer=True).tick_values(0, end)
    return found[(found >= 0) & (found <= end)]


def _pipeline_draw(figure):
    figure.set_size_inches(7.6, 5.2)
    ax = figure.add_axes([0.085, 0.37, 0.895, 0.50])
    low = figure.add_axes([0.085, 0.095, 0.895, 0.20])
    for axes in (ax, low):  # fractions, so that axes stay; numbers beside them are artists
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(), yticks=())
        axes.grid(False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_ylabel("stage", labelpad=18)
    low.set_xlabel("time, in forward passes of one micro-batch through one stage", labelpad=18)
    low.set_ylabel("micro-batches\nkept, stage 1", labelpad=20)
    beside, heights = (Labels(axes, size=9.5, align="right") for axes in (ax, low))
    times, marks = Labels(low, size=9.5, align="center"), LineCollection([], colors="#222222", lw=0.8, clip_on=False)
    low.add_collection(marks, autolim=False)
    back = PolyCollection([], facecolors="#D4D4D4", linewidths=0)
    ax.add_collection(back, autolim=False)
    groups = {}
    for kind, (_, colours) in WORK.items():
        for chunk, colour in enumerate(colours):
            groups[kind, chunk] = PolyCollection([], facecolors=colour, edgecolors="white", linewidths=0.7)
            ax.add_collection(groups[kind, chunk], autolim=False)
    numbers = Labels(ax, size=8, align="center")
    kept = low.stairs([0], [0, 1], fill=True, color=COLOUR["memory"], alpha=0.85)
    told = figure.text(0.012, 0.978, "", va="top")
    names = [
        (figure.text(0, 0.928, "", va="top", fontsize=10), figure.text(0, 0.928, "", va="top", fontsize=9.5))
        for _ in range(4)
    ]

    def update(table):
        stage, micro, chunk, kind, start, end = pick(
            table, "work", "stage", "micro_batch", "chunk", "kind", "start", "end"
        )
        schedule, p, m, asked, span, idle, alive = (
            one(table, "here", c) for c in ("schedule", "stage", "micro_batch", "asked", "end", "idle", "alive")
        )
        start, end = start / span, end / span
        rows = 1 - (np.arange(p) + 0.5) / p
        half, at = 0.44 / p, rows[stage.astype(int)]
        back.set_verts(_boxes(0, 1, rows - half, rows + half))
        for (what, part), collection in groups.items():
            mine = (kind == what) & (chunk == part)
            collection.set_verts(_boxes(start[mine], end[mine], at[mine] - half, at[mine] + half))
        points = (end - start) * 7.6 * 0.895 * 72  # room for a number
        for collection in groups.values():
            collection.set_linewidth(np.clip(points.min() / 9, 0.15, 0.7))
        legible = points > (13 if m > 9 else 7)
        texts = np.where(legible, (micro + 1).astype(int).astype(str), "")
        dark = np.isin(kind, ("input gradient", "weight gradient")) | ((kind == "backward") & (chunk == 0))
        shown = numbers.show(texts, (start + end) / 2, at, np.where(dark, "white", "#222222"))
        time, held = pick(table, "alive", "start", "alive")
        kept.set_data(held[:-1] / (1.1 * alive), time / span)
        ticks, counts = _ticks(span, 7), _ticks(alive, 3)
        flat, high = ticks / span, counts / (1.1 * alive)
        marks.set_segments([((x, 0), (x, -0.04)) for x in flat] + [((0, y), (-0.006, y)) for y in high])
        shown = [
            shown,
            marks,
            times.show([f"{t:g}" for t in ticks], flat, -0.13),
            heights.show([f"{c:g}" for c in counts], -0.012, high),
            beside.show([f"{i + 1:.0f}" for i in range(int(p))], -0.012, rows),
        ]
        group = f"; in groups of {p:.0f}" if m != asked else ""
        told.set_text(
            f"{schedule}, {_count(p, 'stage')}, {_count(m, 'micro-batch')}{group}: idle {plain(100 * idle / (1 + idle))} % of the time, "
            f"stage 1 keeps {plain(alive)}"
        )
        x = 0.012
        legend = [(WORK[k][0], WORK[k][1][0]) for k in WORK if (kind == k).any()] + [("idle", "#A8A8A8")]
        if schedule == "interleaved":
            legend.insert(2, ("second chunk: lighter", "#EA9256"))
        for (square, name), (word, colour) in zip(names, legend + [("", "none")] * (4 - len(legend)), strict=True):
            square.set(x=x, text="■" if word else "", color=colour)
            name.set(x=x + 0.02, text=word)
            x += 0.05 + 0.0118 * len(word)
        return [back, *groups.values(), *shown, kept, told, *(a for pair in names for a in pair)]

    return update


def _pipeline_summary(table):
    schedule, p, m, asked, span, idle, alive = (
        one(table, "here", c) for c in ("schedule", "stage", "micro_batch", "asked", "end", "idle", "alive")
    )
    group = f" ({plain(asked)} were asked for; interleaving deals them in groups of {p:.0f})" if m != asked else ""
    return (
        f"{schedule} with {p:.0f} stages and {_count(m, 'micro-batch')}{group}: the step lasts {plain(span, 4)} forward passes, "
        f"of which each stage works {plain(3 * m, 4)}. Idle: {plain(100 * idle, 3)} % of the work, {plain(100 * idle / (1 + idle), 3)} % of "
        f"the time. The first stage keeps activations of at most {_count(alive, 'micro-batch')}."
    )


pipeline = Exhibit(
    slug="12-pipeline",
    title="A pipeline, drawn.",
    caption="One step of a pipeline: what each stage does when, numbered by micro-batch; grey, it waits. A backward pass takes twice a "
    "forward pass; sending takes no time. GPipe does all forward passes first; 1F1B goes back as soon as it can; interleaved gives each "
    "stage two chunks of layers, half as long; zero bubble (ZB-H1) puts off the gradients of weights, which nobody waits for, until there "
    "is nothing else to do. Below: micro-batches whose activations the first stage keeps.",
    alt="A chart with one row for each pipeline stage over time: numbered boxes of forward and backward passes, and grey where the stage "
    "idles; below, a step line of the micro-batches whose activations the first stage keeps.",
    controls={
        "schedule": Control(label="schedule", values=tuple(PIPELINES), start="1F1B"),
        "stages": Control(label="stages", values=tuple(range(2, 9)), start=4),
        "micro_batches": Control(label="micro-batches", values=tuple(range(1, 33)), start=8),
    },
    table=_pipeline_table,
    draw=_pipeline_draw,
    summary=_pipeline_summary,
    sources=("narayanan2021megatron", "qi2023zerobubble"),
)


# ---- 3: where each way stops ----------------------------------------------------------------------

MACHINES = {"H100, 8 to a machine": "DGX H100", "GB200, 72 to a rack": "GB200 NVL72"}
CONTEXTS = {"8k": 2**13, "32k": 2**15, "128k": 2**17, "512k": 2**19, "1M": 2**20}
GROWING = {  # words, what runs out, colour, marker
    "tensor": ("tensor", "head", SERIES[0], "o"),
    "pipeline": ("pipeline", "layer", SERIES[1], "s"),
    "context": ("context", "block", SERIES[2], "^"),
    "data": ("data (ZeRO 1)", "sequence", SERIES[3], "D"),
    "expert": ("expert", "expert", SERIES[4], "v"),
}
LEAST_SENT, MOST_SENT = 8e-6, 30  # of the lower axis
MOST = 2**13


@keep
def _limits_table(model_name, context, machine):
    m, on = model(model_name), _machine(MACHINES[machine])
    found = splitting.alone(m, on, era=ERA, tokens=STEP_TOKENS, seq_len=CONTEXTS[context], recompute="full")
    lines = {
        name: {column: found[column][found["dimension"] == name] for column in found}
        for name in dict.fromkeys(found["dimension"].tolist())
    }
    return stack(
        **lines,
        here={
            "model": model_name,
            "context": context,
            "machine": machine,
            "domain": on.domain,
            "memory": on.memory_bytes,
        },
    )


def _apart(heights, xs, gap, near):
    """Heights moved apart to at least `gap` where their places are near each other."""
    placed = np.array(heights, dtype=float)
    for _ in range(8):
        for i in range(placed.size):
            for j in range(i):
                close = abs(xs[i] - xs[j]) < near and abs(placed[i] - placed[j]) < gap * 0.999
                if close:
                    up, down = (i, j) if placed[i] > placed[j] else (j, i)
                    middle = (placed[i] + placed[j]) / 2
                    placed[up], placed[down] = middle + gap / 2, middle - gap / 2
    return placed


def _limits_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    top = figure.add_axes([0.125, 0.475, 0.855, 0.415])
    low = figure.add_axes([0.125, 0.085, 0.855, 0.345])
    ticks = [2**i for i in range(14)]
    for ax in (top, low):
        ax.set(xscale="log", xlim=(0.85, MOST * 4))
        ax.set_xticks(ticks, [f"{t:,}" if t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096) else "" for t in ticks])
        ax.minorticks_off()
    top.set_xticklabels([])
    top.set(ylim=(0, 1.15), ylabel="tokens/s of each chip,\none chip alone: 1")
    low.set(
        yscale="log", ylim=(LEAST_SENT, MOST_SENT), xlabel="chips along one dimension", ylabel="sending over computing"
    )
    low.set_yticks(10.0 ** np.arange(-5, 2), ["", "0.0001", "", "0.01", "", "1", ""])
    low.minorticks_off()
    low.axhline(1, color=COLOUR["total"], lw=1.4)
    low.text(0.93, 1.2, "as long as computing", va="bottom", fontsize=9)
    ends = [ax.axvline(8, color=GREY, lw=1, ls=(0, (4, 3)), zorder=1) for ax in (top, low)]
    domain = top.text(8, 1.155, "", ha="center", va="bottom", fontsize=9, color=GREY)
    lines, stops, words, sent, named = {}, {}, {}, {}, {}
    x = 0.012
    for name, (word, _, colour, marker) in GROWING.items():
        style = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.8}
        lines[name] = top.plot([], [], **style)[0]
        sent[name] = low.plot([], [], **style)[0]
        stops[name] = [ax.plot([], [], "x", color=colour, ms=10, mew=2.2)[0] for ax in (top, low)]
        words[name] = top.text(
            1,
            1,
            "",
            color=colour,
            fontsize=9,
            va="center",
            bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.8},
        )
        named[name] = figure.text(x, 0.95, word, color=colour, va="top", weight="bold", fontsize=9.5)
        x += 0.04 + 0.0145 * len(word)
    told = figure.text(0.012, 0.988, "", va="top")

    def update(table):
        last = {}
        for name in GROWING:
            n, rate, share = _line(table, name)
            lines[name].set_data(n, rate)
            sent[name].set_data(n[1:], share[1:])  # one rank sends nothing
            for stop, y in zip(stops[name], (rate, share), strict=True):
                stop.set_data(n[-1:], y[-1:])
            words[name].set_text(_count(n[-1], GROWING[name][1]) if n.size else "")
            named[name].set_visible(n.size > 0)
            if n.size:
                last[name] = (n[-1], rate[-1])
        n, y = np.array(list(last.values())).T
        y = y + np.where(y > 0.9, 0.07, 0)  # beside a line that goes on
        y = _apart(np.clip(y, 0.07, 1.1), np.log10(n), 0.065, 0.9)
        for name, ranks, height in zip(last, n, y, strict=True):
            words[name].set_position((ranks * 1.2, height))
        name, context, machine, of = (one(table, "here", c) for c in ("model", "context", "machine", "domain"))
        for end in ends:
            end.set_xdata([of, of])
        domain.set(x=of, text=f"{of:.0f} chips on NVLink")
        told.set_text(f"{name}, sequences of {context} tokens, {machine}")
        flat = [stop for pair in stops.values() for stop in pair]
        return [*ends, domain, *lines.values(), *sent.values(), *flat, *words.values(), *named.values(), told]

    return update


def _line(table, name):
    """Ranks, efficiency and sending over computing of a dimension, empty where a model lacks it."""
    if name not in table["series"]:
        return np.zeros((3, 0))
    return np.array(pick(table, name, "ranks", "efficiency", "sent"))


def _limits_summary(table):
    name, context, machine, on = (one(table, "here", c) for c in ("model", "context", "machine", "memory"))
    parts, fitting = [], []
    for dimension, (word, unit, _, _) in GROWING.items():
        n, rate, share = _line(table, dimension)
        if not n.size:
            continue
        slow = n[rate < 0.5]
        kept = f"below half from {plain(slow[0], 6)}" if slow.size else "never below half"
        parts.append(
            f"{word}, up to {_count(n[-1], unit)}: {plain(100 * rate[-1], 2)} % of a chip's speed there ({kept}), "
            f"sending takes {plain(share[-1], 2)} times as long as computing"
        )
        size = pick(table, dimension, "bytes")
        if (size <= on).any():
            fitting.append(f"{word} from {_count(n[size <= on][0], 'chip')}")
    return (
        f"{name}, sequences of {context} tokens, 16.8 million tokens a step, {machine}; all layers computed again. "
        f"{'; '.join(parts)}. Alone, these fit in {si(on, 'B')}: {', '.join(fitting) or 'none'}."
    )


limits = Exhibit(
    slug="12-limits",
    title="Where each way stops.",
    caption="One dimension at a time grows from a single chip while the step stays the same (16.8 million tokens, micro-batches of one "
    "sequence, all layers computed again). Above: tokens a second of each chip, against those of one chip whose memory had no end. Below: "
    "time to send over time to compute, as if nothing ran at the same time; in the upper panel what is hidden costs nothing. Rings over several machines use all their ports at once; an exchange of each with each can not. A cross ends each line: no further "
    "heads to deal, layers, blocks of 128 tokens, sequences or experts. Beyond as many tensor ranks as there are key heads, keys are copied. Pipeline: "
    "1F1B, stages with equally many layers, so it loses to the bubble and not by what it sends; data: optimiser states shared (ZeRO 1); experts are dealt among as many copies of "
    "all else.",
    alt="Two panels over the number of chips on a logarithmic axis, with a line for tensor, pipeline, context, data and expert parallelism, each ending in a "
    "cross: above, tokens a second of a chip relative to one chip; below, time sending over time computing, with a line at 1.",
    controls={
        "model_name": Control(label="model", values=(*LLAMAS, "DeepSeek-V3"), start="Llama-3.1-405B"),
        "context": Control(label="context", values=tuple(CONTEXTS), start="8k"),
        "machine": Control(label="machine", values=tuple(MACHINES), start="H100, 8 to a machine"),
    },
    table=_limits_table,
    draw=_limits_draw,
    summary=_limits_summary,
)


# ---- 4: the map of layouts ------------------------------------------------------------------------

TASKS = {  # model: tokens of a sequence, sequences of a step, era; as published
    "GPT-3 175B": (2048, 1536, "2024"),
    "Llama-3.1-405B": (8192, 2048, "2024"),
    "DeepSeek-V3": (4096, 15360, "2025"),
}
POWERS = tuple(2**i for i in range(7))
MAPPED = tuple(2**i for i in range(6, 15))
TIERS = system("DGX H100").tiers
WIRES = {  # between H100: tiers
    "none: ports alone": TIERS[1:],
    "NVLink over 8": TIERS,
    "NVLink over 72": (replace(TIERS[0], ranks=72), *TIERS[1:]),
}
SHADES = LinearSegmentedColormap.from_list("utilisation", ["#FFF6EC", "#F2A65A", "#D55E00", "#7F3800"])
BEST_SHOWN = 0.55  # of the peak: the end of the colours


@keep
def _wired(wires):
    return training.machine(replace(system("DGX H100"), tiers=WIRES[wires])), {}


def space_of(m, cp):
    """What the map chooses among."""
    return search.Space(
        pipelines=(("1f1b", 1), ("zb1p", 1), *(("interleaved", v) for v in (2, 4, 8))),
        zero=(0, 1, 2, 3),
        recompute=RECOMPUTE,
        pp=tuple(p for p in POWERS if p <= m.layers),
        ep=(1, 8, 16, 32, 64) if m.experts else (1,),
        cp=(cp,),
        tp=tuple(t for t in POWERS if m.heads % t == 0),
        micro_batch=(1, 2, 4),
    )


@keep
def _cells(model_name, chips, wires, cp):
    m, (on, memo) = model(model_name), _wired(wires)
    seq_len, batch, era = TASKS[model_name]
    return search.cells(m, on, chips=chips, batch=batch, seq_len=seq_len, within=space_of(m, cp), era=era, memo=memo)


@keep
def _step_flop(model_name):
    """FLOP of a step, causal half, nothing twice: the layout does not matter."""
    seq_len, batch, era = TASKS[model_name]
    layout = footprint.Layout(seq_len=seq_len, micro_batches=batch)
    on = _wired("NVLink over 8")[0]
    return float(training.step(model(model_name), layout, on=on, era=era, memory=False).model_flop)


def _chosen(key, *cells):
    """Some cells of a map as a `Search`, which makes layouts of them."""
    found, (on, _) = _cells(*key), _wired(key[2])
    seq_len, _, era = TASKS[key[0]]
    return search.Search(
        model=model(key[0]),
        on=on,
        era=era,
        seq_len=seq_len,
        front={},
        valid=len(cells),
        nearest={},
        best={name: found[name][list(cells)] for name in search.COLUMNS},
        fitting=len(cells),
        least_shortfall_bytes=0.0,
    )


@keep
def _lost(key, best, looked):
    """(row, seconds): `search.why_slower` of one cell against the best one."""
    both = _chosen(key, best, looked)
    return search.why_slower(both, both.layout(1))


@keep
def _fullest(key, looked):
    """(row, bytes): what a chip holds most of."""
    rows = footprint.training_rows(model(key[0]), _chosen(key, looked).layout())
    row = max(rows, key=rows.get)
    return row, float(rows[row])


def _map_table(model_name, chips, wires, cp, tp, pp):
    key = (model_name, round(chips), wires, round(cp))
    found, on = _cells(*key), _wired(wires)[0]
    fits = found["shortfall_bytes"] <= 0
    used = _step_flop(model_name) / (found["seconds"] * key[1] * on.peak_flop_per_s)
    here = {
        "model": model_name,
        "chips": key[1],
        "wires": wires,
        "cp": key[3],
        "tp": tp,
        "pp": pp,
        "batch": TASKS[model_name][1],
        "best": np.nan,
        "looked": np.nan,
        "lost_s": np.nan,
        "lost": "",
        "most": "",
        "most_bytes": np.nan,
    }
    if fits.any():
        here["best"] = int(np.argmin(np.where(fits, found["seconds"], np.inf)))
    looked = np.flatnonzero((found["tp"] == tp) & (found["pp"] == pp))
    if looked.size:
        here["looked"] = int(looked[0])
        if not fits[looked[0]]:
            here["most"], here["most_bytes"] = _fullest(key, here["looked"])
        elif looked[0] != here["best"]:
            here["lost"], here["lost_s"] = _lost(key, here["best"], here["looked"])
    m = model(model_name)
    here |= {"heads": m.heads, "layers": m.layers}
    words = {"recompute": np.array(RECOMPUTE)[found["recompute"]], "schedule": np.array(SCHEDULES)[found["schedule"]]}
    cells = {"cell": np.arange(fits.size), **found, **words, "utilisation": used}
    return stack(cell=cells, here=here) if fits.size else stack(here=here)


def _named(table, i):
    """A cell's layout in words, line by line: the first names the cell."""
    at = {c: pick(table, "cell", c)[int(i)] for c in (*search.COLUMNS, "seconds", "utilisation")}
    first = [f"tensor {at['tp']:.0f}, pipeline {at['pp']:.0f}"]
    if at["pp"] > 1:
        first.append(splitting.schedule_name(at["schedule"], stages=at["pp"], chunks=at["vpp"]))
    second = f"data {at['dp']:,.0f}" + (f" (ZeRO {at['zero']:.0f})" if at["zero"] else "")
    second += f", context {at['cp']:.0f}" if at["cp"] > 1 else ""
    third = [f"{_count(at['micro_batches'], 'micro-batch')} of {at['micro_batch']:.0f}"]
    third += [f"experts over {at['ep']:.0f}"] if at["ep"] > 1 else []
    return [*first, second, *third, f"computed again: {splitting.AGAIN[at['recompute']]}"]


def _undivided(table):
    """Why the chosen cell is empty."""
    tp, pp, cp, chips, heads, layers, batch = (
        one(table, "here", c) for c in ("tp", "pp", "cp", "chips", "heads", "layers", "batch")
    )
    copies = chips // (tp * pp * cp)
    if heads % tp:
        return [f"{heads:.0f} heads are not dealt to {tp:.0f}"]
    if pp > layers:
        return [f"{layers:.0f} layers make no {pp:.0f} stages"]
    if not copies:
        return [f"takes {tp * pp * cp:,.0f} chips of {chips:,.0f}"]
    return [f"{batch:,.0f} sequences", f"are not dealt to {copies:,.0f} copies"]


def _verdict(table):
    """(head, lines) on the best cell, and on the chosen one."""
    best, looked, lost, tp, pp = (one(table, "here", c) for c in ("best", "looked", "lost", "tp", "pp"))
    chosen = f"Chosen: tensor {tp:.0f}, pipeline {pp:.0f}"
    if "cell" not in table:
        return ("Nothing can be divided so", []), (chosen, _undivided(table))
    seconds, used, short = pick(table, "cell", "seconds", "utilisation", "shortfall_bytes")
    if np.isnan(best):
        near = int(np.argmin(short))
        first = (f"Nothing fits: lacks {si(short[near], 'B')}", ["nearest:", *_named(table, near)])
    else:
        first = (
            f"Fastest: {si(seconds[int(best)], 's')}, {plain(100 * used[int(best)], 2)} % of peak",
            _named(table, best),
        )
    if np.isnan(looked):
        return first, (chosen, _undivided(table))
    i = int(looked)
    if short[i] > 0:
        most, most_bytes = (one(table, "here", c) for c in ("most", "most_bytes"))
        why = [
            f"does not fit: lacks {si(short[i], 'B')}",
            f"holds most: {most.replace('izer', 'iser')}, {si(most_bytes, 'B')}",
        ]
        return first, (chosen, [*why, "nearest to fitting:", *_named(table, i)[1:]])
    if looked == best:
        return first, (chosen, ["this is the fastest"])
    lines = [f"{si(seconds[i], 's')}: {plain(seconds[i] / seconds[int(best)])} times as long", *_named(table, i)[1:]]
    return first, (chosen, [*lines, "loses most to:", lost])


def _map_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = figure.add_axes([0.085, 0.185, 0.54, 0.70])
    scale = figure.add_axes([0.085, 0.052, 0.30, 0.022])
    n = len(POWERS)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(-0.5, n - 0.5), xlabel="tensor-parallel ranks", ylabel="pipeline stages")
    ax.grid(False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(range(n), [str(p) for p in POWERS])
    ax.tick_params(length=0)
    shown = PolyCollection([], cmap=SHADES, clim=(0, BEST_SHOWN), linewidths=1.2, edgecolors="white")
    none = PolyCollection([], facecolors="#F1F1F1", edgecolors="#B9B9B9", hatch="////", linewidths=0.8)
    for collection in (none, shown):
        ax.add_collection(collection, autolim=False)
    numbers, lacking = Labels(ax, size=9, align="center"), Labels(ax, size=8, align="center")
    lacking.artist.set(facecolors="#222222")
    plates = PolyCollection([], facecolors="#F1F1F1", linewidths=0)
    ax.add_collection(plates, autolim=False)
    (dots,) = ax.plot([], [], ".", color="#9A9A9A", ms=4)
    frames = {
        "looked": ax.add_patch(Rectangle((0, 0), 0.9, 0.9, fill=False, ec="#222222", lw=1.8, ls="--", zorder=4)),
        "best": ax.add_patch(Rectangle((0, 0), 0.9, 0.9, fill=False, ec=COLOUR["memory"], lw=3, zorder=5)),
    }
    scale.imshow(np.linspace(0, BEST_SHOWN, 128)[None], aspect="auto", cmap=SHADES, extent=(0, BEST_SHOWN, 0, 1))
    scale.set(yticks=(), xticks=(0, 0.1, 0.2, 0.3, 0.4, 0.5))
    scale.set_xticklabels(["0", "10", "20", "30", "40", "50 %"], fontsize=8.5)
    scale.grid(False)
    figure.text(0.395, 0.062, "of the peak (MFU)", va="center", fontsize=9)
    figure.text(
        0.65,
        0.062,
        "hatched: lacks so many bytes a chip\n·  can not be divided",
        va="center",
        fontsize=9,
        color=GREY,
        linespacing=1.3,
    )
    told = figure.text(0.012, 0.978, "", va="top")
    tops = (0.875, 0.53)
    heads = [
        figure.text(0.65, y, "", va="center", weight="bold", color=colour, fontsize=10)
        for y, colour in zip(tops, (COLOUR["memory"], COLOUR["total"]), strict=True)
    ]
    words = Labels(ax, transform=figure.transFigure, size=9.5)

    def update(table):
        place = {p: i for i, p in enumerate(POWERS)}
        there = "cell" in table
        tp, pp, short, used = (
            pick(table, "cell", c) if there else np.array([]) for c in ("tp", "pp", "shortfall_bytes", "utilisation")
        )
        column = np.array([place[int(t)] for t in tp], dtype=float)
        row = np.array([place[int(p)] for p in pp], dtype=float)
        fits = short <= 0
        half = 0.5
        for collection, mine in ((shown, fits), (none, ~fits)):
            c, r = column[mine], row[mine]
            collection.set_verts(_boxes(c - half, c + half, r - half, r + half))
        shown.set_array(used[fits])
        c, r = column[~fits], row[~fits]
        plates.set_verts(_boxes(c - 0.44, c + 0.44, r - 0.17, r + 0.17))
        percent = [f"{100 * u:.0f}" for u in used[fits]]
        light = np.where(used[fits] > 0.28, "white", "#222222")
        drawn = [
            numbers.show(percent, column[fits], row[fits], light),
            lacking.show([si(s, "B", 2) for s in short[~fits]], c, r),
        ]
        known = set(zip(column.tolist(), row.tolist(), strict=True))
        empty = [(i, j) for i in range(n) for j in range(n) if (i, j) not in known]
        dots.set_data(*zip(*empty, strict=True) if empty else ([], []))
        for name, frame in frames.items():
            i = one(table, "here", name)
            frame.set_visible(name == "looked" or np.isfinite(i))
            if name == "looked":
                spot = [place.get(one(table, "here", c), -9) for c in ("tp", "pp")]
            elif np.isfinite(i):
                spot = [column[int(i)], row[int(i)]]
            else:
                continue
            frame.set_xy((spot[0] - 0.45, spot[1] - 0.45))
        texts, heights = [], []
        for head, top, (text, lines) in zip(heads, tops, _verdict(table), strict=True):
            head.set_text(text)
            texts += lines
            heights += [top - 0.043 * (i + 1.15) for i in range(len(lines))]
        drawn.append(words.show(texts, 0.65, np.array(heights)))
        name, chips, wires, cp = (one(table, "here", c) for c in ("model", "chips", "wires", "cp"))
        cut = f", context over {cp:.0f}" if cp > 1 else ""
        told.set_text(
            f"{name} on {_count(chips, 'H100').removesuffix('s')}, {wires.replace('none: ', 'no NVLink, ')}{cut}"
        )
        return [none, plates, shown, *drawn, dots, *frames.values(), *heads, told]

    return update


def _map_summary(table):
    name, chips, wires, cp = (one(table, "here", c) for c in ("model", "chips", "wires", "cp"))
    (head, lines), (chosen, why) = _verdict(table)
    known = f"{pick(table, 'cell', 'tp').size}" if "cell" in table else "none"
    fits = (pick(table, "cell", "shortfall_bytes") <= 0).sum() if "cell" in table else 0
    lost_s = one(table, "here", "lost_s")
    much = f" ({si(lost_s, 's')} longer in all)" if np.isfinite(lost_s) else ""
    lines, why = (", ".join(words).replace(":, ", ": ") for words in (lines, why))
    return (
        f"{name} on {plain(chips, 6)} H100, {wires}, context over {_count(cp, 'rank')}: of {len(POWERS) ** 2} cells {known} can be "
        f"divided and {fits} fit. {head}: {lines}. {chosen}: {why}{much}."
    )


map = Exhibit(
    slug="12-map",
    title="The map of layouts.",
    caption="For each number of tensor-parallel ranks and pipeline stages, the best of all other choices: data parallel over the remaining chips with ZeRO 0, 1, 2 "
    "or (without a pipeline) 3, micro-batches of 1, 2 or 4 sequences, four ways to compute again, 1F1B, zero bubble or 2, 4 or 8 chunks a stage; "
    "for DeepSeek-V3 experts over 1, 8, 16, 32 or 64 ranks. Colour and number: share of the peak (MFU, causal half). Blue frame: the fastest; dashed: "
    "the cell that you choose (Llama 3 was trained with 8 and 16). Steps as published: 1,536 sequences of 2,048 tokens "
    "(GPT-3), 2,048 of 8,192 (Llama 3.1), 15,360 of 4,096 (DeepSeek-V3). The chips are the same whatever their wires; NVLink over 72 of them is imagined.",
    alt="A grid of tensor-parallel ranks against pipeline stages: cells that fit are shaded and numbered by utilisation, those that do not are hatched with "
    "the bytes they lack, those that can not be divided have a dot; the fastest and a chosen cell are framed and described beside.",
    controls={
        "model_name": Control(label="model", values=tuple(TASKS), start="Llama-3.1-405B"),
        "chips": Control(label="chips", values=MAPPED, start=16384),
        "wires": Control(label="links", values=tuple(WIRES), start="NVLink over 8"),
        "cp": Control(label="context ranks", values=(1, 2, 4, 8, 16), start=1),
        "tp": Control(label="chosen tensor", values=POWERS, start=8),
        "pp": Control(label="chosen pipeline", values=POWERS, start=4),
    },
    table=_map_table,
    draw=_map_draw,
    summary=_map_summary,
)
