"""Figures of chapter 14, How is one step split?"""

from functools import cache as keep

import numpy as np
from matplotlib.ticker import MaxNLocator

from bottlenecks.exhibits.axes import counts, panel, x_axis, y_axis
from bottlenecks.exhibits.labels import Labels, changing_key, key, labels, text, told
from bottlenecks.exhibits.marks import Mark, corners, line, polygons, segments, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.networks import system
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models import footprint, layouts
from bottlenecks.models.machine import machine
from bottlenecks.studies import splitting

ERA = "2024"
LLAMAS = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B")
SEQ_LEN, STEP_TOKENS = 8192, 2**24  # of Llama 3's pre-training: 2,048 sequences a step
AGAIN = {"nothing": "none", "half of the products": "products", "everything": "full"}


@keep
def _machine(name):
    return machine(system(name))


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
    "mix, interleaved": "A mix, interleaved",
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
    figure.set_size_inches(7.6, 5.0)
    on, y = _machine("DGX H100").memory_bytes, np.arange(len(WAYS))
    end = ROOM_SHOWN * on
    ax = panel(figure, 0.25, 0.105, 0.855, 0.84)
    x_axis(ax, "bytes on the fullest chip", 0, end, unit="B", ticks=np.arange(5) * on / 2)
    y_axis(ax, "", len(WAYS) - 0.5, -0.5, ticks=())
    ax.text(on, -0.6, f"a chip has {si(on, 'B')}", ha="center", va="bottom", fontsize=9.5)
    for i, words in enumerate(WAYS.values()):
        ax.text(-0.02, i - 0.17, words, transform=ax.get_yaxis_transform(), ha="right", va="center")
    colours = {part: colour for part, (_, colour) in HELD.items()}
    key(figure, colours, 0.012, 0.915)

    def parts(table):
        return np.array([pick(table, "way", part) for part in HELD])

    def whole(table):
        return parts(table).sum(0)

    def drawn(table):
        """Bars that are longer than the axis have its length, their parts in proportion."""
        return y, parts(table) * np.minimum(end / whole(table), 1)

    def cuts(table):
        found = zip(*pick(table, "way", "tp", "pp", "dp"), strict=True)
        words = [
            [plural(n, word) for n, word in ((t, "rank"), (p, "stage")) if n > 1] + [plural(d, "copy")]
            for t, p, d in found
        ]
        return [", ".join(w) for w in words], -0.02, y + 0.2

    def verdicts(table):
        lack = whole(table) - on
        words = [f"lacks {si(v, 'B')}" if v > 0 else "fits" for v in lack]
        return words, 1.02, y + 0.2, np.where(lack > 0, COLOUR["compute"], COLOUR["network"])

    def telling(table):
        here = row(table)
        return f"{here.model} on {plural(here.chips, 'chip')}; computed again: {here.again}"

    def breaks(table):
        """Two slanted cuts through each bar that is not to scale."""
        long = y[whole(table) > end]
        places = end * np.array([0.61, 0.635])
        return [[(x - 0.012 * end, i + 0.42), (x + 0.012 * end, i - 0.42)] for i in long for x in places]

    return updating(
        stacked(ax, colours.values(), drawn, thick=0.66),
        segments(ax, breaks, colors="white", linewidths=3, zorder=4),
        upright(ax, lambda table: row(table).memory, color=COLOUR["total"], lw=2.2, zorder=5),
        labels(ax, cuts, of="row", size=8, color=GREY, align="right"),
        labels(ax, lambda table: ([si(w, "B") for w in whole(table)], 1.02, y - 0.17), of="row", size=10),
        labels(ax, verdicts, of="row", size=9),
        told(figure, telling, "head"),
    )


def _fit_summary(table):
    names, tp, pp, dp = pick(table, "way", "way", "tp", "pp", "dp")
    size = dict(zip(names.tolist(), sum(pick(table, "way", part) for part in HELD), strict=True))
    here, last = row(table), list(WAYS).index("mix")
    fitting, idle = [WAYS[n] for n in size if size[n] <= here.memory], here.chips - dp[0]
    kept = {name: si(v, "B") for name, v in size.items()}
    return (
        f"{here.model}, {plain(here.chips, 6)} H100, 8,192-token sequences one at a time, {here.again} computed again: a whole "
        f"copy takes {kept['copies']}, {plain(size['copies'] / here.memory)} times a chip's memory; ZeRO 1 {kept['zero 1']}, "
        f"ZeRO 3 {kept['zero 3']}, tensors cut {tp[4]:.0f} times {kept['tensor']}, a pipeline of {pp[5]:.0f} stages "
        f"{kept['pipeline']}, the mix ({tp[last]:.0f} ranks, {plural(pp[last], 'stage')}, {plural(dp[last], 'group')}) "
        f"{kept['mix']}, interleaved with all states cut {kept['mix, interleaved']}. What fits: {'; '.join(fitting) or 'nothing'}."
        + (f" Of copies, {plural(idle, 'chip')} would have no sequence." if idle > 0 else "")
    )


fit = Exhibit(
    slug="14-fit",
    title="Who keeps what.",
    caption="Bytes on the fullest chip when the same H100s are used in different ways, and what they are. Torn "
    "bars run past twice a chip's memory. The last is the published layout of the 405-billion model.",
    alt="Horizontal stacked bars for eight ways to split a training step, with a vertical line at a chip's memory, "
    "the total and what it lacks beside each bar; parts: weights, gradients, optimiser, activations, rest. Bars that are "
    "too long are cut through.",
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
    layout = layouts.Layout(seq_len=1, pp=p, micro_batches=m, schedule=name, vpp=CHUNKS if name == "interleaved" else 1)
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


def _worked(figure, ax):
    """The boxes of work, with the number of the micro-batch in each that has room for it."""
    back = polygons(ax, facecolors="#D4D4D4")
    looks = {(kind, chunk): colour for kind, (_, colours) in WORK.items() for chunk, colour in enumerate(colours)}
    groups = {which: polygons(ax, facecolors=colour, edgecolors="white") for which, colour in looks.items()}
    numbers = Labels(ax, size=8, align="center")
    room = ax.get_position().width * figure.get_size_inches()[0] * 72  # points

    def fill(table):
        stage, micro, chunk, kind, start, end = pick(
            table, "work", "stage", "micro_batch", "chunk", "kind", "start", "end"
        )
        here = row(table)
        start, end = start / here.end, end / here.end
        y = 1 - (np.arange(here.stage) + 0.5) / here.stage
        half, at, points = 0.44 / here.stage, y[stage.astype(int)], (end - start) * room
        back.set_verts(corners(0, 1, y - half, y + half))
        for (what, part), collection in groups.items():
            mine = (kind == what) & (chunk == part)
            collection.set_verts(corners(start[mine], end[mine], at[mine] - half, at[mine] + half))
            collection.set_linewidth(np.clip(points.min() / 9, 0.15, 0.7))
        texts = np.where(points > (13 if here.micro_batch > 9 else 7), (micro + 1).astype(int).astype(str), "")
        dark = np.isin(kind, ("input gradient", "weight gradient")) | ((kind == "backward") & (chunk == 0))
        numbers.show(texts, (start + end) / 2, at, np.where(dark, "white", "#222222"))

    return Mark([back, *groups.values(), numbers.artist], fill)


def _kinds(table):
    """The kinds of work that a schedule has, each with its colour."""
    kinds = set(pick(table, "work", "kind").tolist())
    found = {words: colours[0] for kind, (words, colours) in WORK.items() if kind in kinds}
    lighter = {"second slice: lighter": "#EA9256"} if row(table).schedule == "interleaved" else {}
    return found | lighter | {"idle": "#A8A8A8"}


def _pipeline_draw(figure):
    figure.set_size_inches(7.6, 5.2)
    ax, low = panel(figure, 0.085, 0.37, 0.98, 0.87), panel(figure, 0.085, 0.095, 0.98, 0.295)
    for each in (ax, low):  # fractions, so that axes stay; numbers beside them are artists
        x_axis(each, "", 0, 1, ticks=())
        y_axis(each, "", 0, 1, ticks=())
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_ylabel("stage", labelpad=18)
    low.set_xlabel("time, in forward passes of one micro-batch through one stage", labelpad=18)
    low.set_ylabel("micro-batches\nkept, stage 1", labelpad=20)

    def times(table):
        return _ticks(row(table).end, 7), row(table).end

    def heights(table):
        return _ticks(row(table).alive, 3), 1.1 * row(table).alive

    def lines(table):
        (flat, end), (high, most) = times(table), heights(table)
        return [((x, 0), (x, -0.04)) for x in flat / end] + [((0, y), (-0.006, y)) for y in high / most]

    def kept(table):
        time, held = pick(table, "alive", "start", "alive")
        return held[:-1] / (1.1 * row(table).alive), time / row(table).end

    def telling(table):
        here = row(table)
        group = f"; in groups of {here.stage}" if here.micro_batch != here.asked else ""
        return (
            f"{here.schedule}, {plural(here.stage, 'stage')}, {plural(here.micro_batch, 'micro-batch')}{group}: idle "
            f"{plain(100 * here.idle / (1 + here.idle))} % of the time, stage 1 keeps {plain(here.alive)}"
        )

    def numbered(table):
        n = row(table).stage
        return [f"{i + 1}" for i in range(int(n))], -0.012, 1 - (np.arange(n) + 0.5) / n

    def written(ticks, x=None, y=None):
        def words(table):
            found, whole = ticks(table)
            return [f"{t:g}" for t in found], found / whole if x is None else x, found / whole if y is None else y

        return words

    right = {"size": 9.5, "align": "right"}
    steps = low.stairs([0], [0, 1], fill=True, color=COLOUR["memory"], alpha=0.85)
    return updating(
        _worked(figure, ax),
        labels(ax, numbered, **right),
        Mark([steps], lambda table: steps.set_data(*kept(table))),
        segments(low, lines, colors="#222222", linewidths=0.8, clip_on=False),
        labels(low, written(times, y=-0.13), size=9.5, align="center"),
        labels(low, written(heights, x=-0.012), **right),
        told(figure, telling, "head"),
        changing_key(ax, _kinds, 0.012, 0.91),
    )


def _pipeline_summary(table):
    here = row(table)
    group = ""
    if here.micro_batch != here.asked:
        group = f" ({plain(here.asked)} were asked for; interleaving deals them in groups of {here.stage:.0f})"
    return (
        f"{here.schedule} with {here.stage:.0f} stages and {plural(here.micro_batch, 'micro-batch')}{group}: the step lasts "
        f"{plain(here.end, 4)} forward passes, of which each stage works {plain(3 * here.micro_batch, 4)}. Idle: "
        f"{plain(100 * here.idle, 3)} % of the work, {plain(100 * here.idle / (1 + here.idle), 3)} % of the time. The first "
        f"stage keeps activations of at most {plural(here.alive, 'micro-batch')}."
    )


pipeline = Exhibit(
    slug="14-pipeline",
    title="A pipeline, drawn.",
    caption="One step of a pipeline: what each stage does when, numbered by micro-batch. Grey: it waits. A "
    "backward pass takes twice a forward pass. Below: micro-batches whose activations the first stage "
    "keeps.",
    alt="A chart with one row for each pipeline stage over time: numbered boxes of forward and backward passes, and "
    "grey where the stage idles; below, a step line of the micro-batches whose activations the first stage keeps.",
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
    found = splitting.alone(m, on, software=ERA, tokens=STEP_TOKENS, seq_len=CONTEXTS[context], recompute="full")
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


FAR = 4  # times as many ranks: no line leads to the next number that can be had


def _joined(table, name, column, first=0):
    """A dimension's points for a line, which breaks where the next number of ranks that can be had is far."""
    n, y = (values[first:] for values in pick(table, name, "ranks", column))
    gaps = np.flatnonzero(n[1:] > FAR * n[:-1]) + 1
    return np.insert(n, gaps, np.nan), np.insert(y, gaps, np.nan)


def _grows(table, name):
    """Whether a model has a dimension."""
    return (table["series"] == name).any()


def _ends(name):
    """What runs out at a dimension's end, in words."""

    def words(table):
        return plural(pick(table, name, "ranks")[-1], GROWING[name][1]) if _grows(table, name) else ""

    return words


def _limits_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    top, low = panel(figure, 0.125, 0.475, 0.98, 0.865), panel(figure, 0.125, 0.085, 0.98, 0.43)
    powers = [2**i for i in range(14)]
    for ax in (top, low):
        x_axis(ax, "", 0.85, MOST * 4, log="", ticks=counts(powers, {*powers[:9], 1024, 4096}))
    top.set_xticklabels([])
    low.set_xlabel("chips along one dimension")
    y_axis(top, "tokens/s of each chip,\none chip alone: 1", 0, 1.15)
    ticks = {10.0**i: f"{10.0**i:g}" if i % 2 == 0 else "" for i in range(-5, 2)}
    y_axis(low, "sending over computing", LEAST_SENT, MOST_SENT, log="", ticks=ticks)
    low.axhline(1, color=COLOUR["total"], lw=1.4)
    low.text(0.93, 1.2, "as long as computing", va="bottom", fontsize=9)

    def crossed(name, column):
        return lambda table: [values[-1:] for values in pick(table, name, "ranks", column)]

    def domain(table):
        return row(table).domain

    def telling(table):
        here = row(table)
        return f"{here.model}, sequences of {here.context} tokens, {here.machine}"

    marks, x = [], 0.012
    for name, (word, _, colour, marker) in GROWING.items():
        style, cross = (
            {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.8},
            {"color": colour, "marker": "x", "ls": ""},
        )
        bold = {"color": colour, "va": "top", "weight": "bold", "fontsize": 9.5}
        marks += [
            line(top, lambda table, name=name: _joined(table, name, "efficiency"), **style),
            line(low, lambda table, name=name: _joined(table, name, "sent", 1), **style),  # one rank sends nothing
            line(top, crossed(name, "efficiency"), ms=10, mew=2.2, **cross),
            line(low, crossed(name, "sent"), ms=10, mew=2.2, **cross),
            text(figure, x, 0.949, word, visible=lambda table, name=name: _grows(table, name), **bold),
            text(figure, x, 0.924, _ends(name), **bold | {"weight": "normal", "fontsize": 9}),
        ]
        x += 0.06 + 0.0145 * len(word)
    over = {"ha": "center", "va": "bottom", "fontsize": 9, "color": GREY}
    return updating(
        *(upright(ax, domain, color=GREY, lw=1, ls=(0, (4, 3)), zorder=1) for ax in (top, low)),
        *marks,
        text(top, domain, 1.155, lambda table: f"{domain(table):.0f} chips on NVLink", **over),
        told(figure, telling, "head"),
    )


def _limits_summary(table):
    here, parts, fitting = row(table), [], []
    for dimension, (word, unit, _, _) in GROWING.items():
        n, rate, share, size = pick(table, dimension, "ranks", "efficiency", "sent", "bytes")
        if not n.size:
            continue
        slow = n[rate < 0.5]
        kept = f"below half from {plain(slow[0], 6)}" if slow.size else "never below half"
        parts.append(
            f"{word}, up to {plural(n[-1], unit)}: {plain(100 * rate[-1], 2)} % of a chip's speed there ({kept}), "
            f"sending takes {plain(share[-1], 2)} times as long as computing"
        )
        if (size <= here.memory).any():
            fitting.append(f"{word} from {plural(n[size <= here.memory][0], 'chip')}")
    return (
        f"{here.model}, sequences of {here.context} tokens, 16.8 million tokens a step, {here.machine}; all layers computed "
        f"again. {'; '.join(parts)}. Alone, these fit in {si(here.memory, 'B')}: {', '.join(fitting) or 'none'}."
    )


limits = Exhibit(
    slug="14-limits",
    title="Where each way stops.",
    caption="One cut at a time grows from a single chip while the step stays the same. Above: speed of each chip "
    "against that of one alone. Below: sending over computing. A cross ends each line: nothing is left to "
    "divide.",
    alt="Two panels over the number of chips on a logarithmic axis, with a line for tensor, pipeline, context, data "
    "and expert parallelism, each ending in a cross: above, tokens per second of a chip relative to one chip; below, "
    "time sending over time computing, with a line at 1.",
    controls={
        "model_name": Control(label="model", values=(*LLAMAS, "DeepSeek-V3"), start="Llama-3.1-405B"),
        "context": Control(label="context", values=tuple(CONTEXTS), start="8k"),
        "machine": Control(label="machine", values=tuple(MACHINES), start="H100, 8 to a machine"),
    },
    table=_limits_table,
    draw=_limits_draw,
    summary=_limits_summary,
)
