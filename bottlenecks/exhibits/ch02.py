"""Figures of chapter 02, What does a transformer ask for?"""

from functools import cache
from itertools import pairwise

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from bottlenecks import data
from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, Labels, axis_in
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import counting
from bottlenecks.models import kernels, ops
from bottlenecks.studies import ledgers

MODELS = ("Llama-3-8B", "Llama-3-70B", "GPT-3 175B", "Mixtral-8x7B", "DeepSeek-V3")
GPUS = ("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "MI300X", "TPU v5p")
MODEL = Control(label="model", values=MODELS, start="Llama-3-8B")
CHIP = Control(label="chip", values=GPUS, start="H100 SXM5")
BATCH = Control(label="batch", values=tuple(2**i for i in range(9)), start=1, unit="sequences")
TOKENS = Control(label="tokens of each", values=tuple(2**i for i in range(7, 18)), start=4096, unit="tokens")
GREY = "#6E6E6E"
FORMAT = "bf16"


def _rows(model_name, phase, batch, tokens, device=None):
    """Operations of a phase as columns, in the order of the forward pass."""
    rows = ledgers.phase(model(model_name), phase, batch=batch, tokens=tokens, format=FORMAT)
    return ledgers.merged(rows[::-1] if phase == "backward" else rows, device)


def _percent(share):
    """A share as a label: nothing where it is below half a percent."""
    return "" if share < 0.005 else f"{100 * share:.0f} %"


def _heights(n):
    """Where the rows of a chart lie on an axis from 0 (top) to 1, as many as there are."""
    return (np.arange(n) + 0.5) / n


# ---- 1: the ledger --------------------------------------------------------------------------------

KINDS = {
    "weight_bytes": ("weights", "#003F63"),
    "activation_bytes": ("activations", "#56B4E9"),
    "cache_bytes": ("cache", COLOUR["memory"]),
}


def _ledger_table(model_name, phase, batch, tokens):
    rows = _rows(model_name, phase, batch, tokens)
    flop, moved = rows["flop"].sum(), rows["bytes"].sum()
    shares = {"flop_share": rows["flop"] / flop, "bytes_share": rows["bytes"] / moved}
    totals = {c: rows[c].sum() for c in ("flop", "bytes", *KINDS)}
    named = {"model": model_name, "phase": phase, "batch": batch, "tokens": tokens}
    return stack(operation=rows | shares, whole=totals | named)


def _ledger_draw(figure):
    figure.set_size_inches(7.6, 6.0)
    left = figure.add_axes([0.245, 0.055, 0.36, 0.845])
    right = figure.add_axes([0.63, 0.055, 0.36, 0.845])
    for ax in (left, right):
        ax.set(xlim=(0, 1.16), xticks=(0, 0.25, 0.5, 0.75, 1), xticklabels=("0", "25", "50", "75", "100 %"))
        ax.set(ylim=(1, 0), yticks=())
    names = Labels(left, transform=left.get_yaxis_transform(), align="right")
    flop = _bars(left, COLOUR["compute"])
    parts = {kind: _bars(right, colour) for kind, (_, colour) in KINDS.items()}
    ends = [Labels(ax, color=GREY) for ax in (left, right)]
    heads = [ax.text(0, 1.045, "", transform=ax.transAxes, weight="bold") for ax in (left, right)]
    for x, (word, colour) in zip((0, 0.31, 0.72), KINDS.values(), strict=True):
        right.text(x, 1.012, f"■ {word}", transform=right.transAxes, fontsize=9, color=colour)

    def update(table):
        operations, of_flop, of_bytes = pick(table, "operation", "operation", "flop_share", "bytes_share")
        y = _heights(operations.size)
        half = 0.36 / y.size
        _fill(flop, y, half, 0 * of_flop, of_flop)
        moved = one(table, "whole", "bytes")
        start = 0 * of_flop
        for kind, bars in parts.items():
            share = pick(table, "operation", kind) / moved
            _fill(bars, y, half, start, start + share)
            start = start + share
        labels = [
            end.show([_percent(v) for v in shares], shares + 0.015, y)
            for end, shares in zip(ends, (of_flop, of_bytes), strict=True)
        ]
        heads[0].set_text(f"share of {si(one(table, 'whole', 'flop'), 'FLOP')}")
        heads[1].set_text(f"share of {si(moved, 'B')} moved")
        return [flop, *parts.values(), *heads, *labels, names.show(operations, -0.02, y)]

    return update


def _bars(ax, colour):
    return ax.add_collection(PolyCollection([], facecolors=colour, edgecolors="none"))


def _fill(bars, y, half, start, end):
    low, high = y - half, y + half
    bars.set_verts(
        np.stack(
            [np.stack([start, low], 1), np.stack([end, low], 1), np.stack([end, high], 1), np.stack([start, high], 1)],
            axis=1,
        )
    )


def _step(table):
    """The step in words, from the row of a table that names it."""
    batch, tokens = (one(table, "whole", c) for c in ("batch", "tokens"))
    of = f"{plain(batch, 5)} sequence{'s' * (batch != 1)}"
    return f"{one(table, 'whole', 'model')}, {one(table, 'whole', 'phase')}, {of} of {plain(tokens, 6)} tokens"


def _ledger_summary(table):
    operations, of_flop, of_bytes = pick(table, "operation", "operation", "flop_share", "bytes_share")
    most, moves = np.argmax(of_flop), np.argmax(of_bytes)
    flop, moved = (one(table, "whole", c) for c in ("flop", "bytes"))
    parts = ", ".join(
        f"{word} {plain(100 * one(table, 'whole', kind) / moved, 2)} %" for kind, (word, _) in KINDS.items()
    )
    return (
        f"{_step(table)}: {si(flop, 'FLOP')}, {si(moved, 'B')}, {plain(flop / moved)} FLOP/B. Most FLOP: "
        f"{operations[most]}, {plain(100 * of_flop[most])} %. Most bytes: {operations[moves]}, "
        f"{plain(100 * of_bytes[moves])} %. Of the bytes: {parts}."
    )


ledger = Exhibit(
    slug="02-ledger",
    title="The ledger of a step.",
    caption="Every operation of one step of a model in 16 bits, all layers together: its share of the operations and "
    "of the least traffic to memory, each operand read once and each result written once. Of attention's causal "
    "square the half that is needed is counted. A decode step makes one token for each sequence.",
    alt="Two bar charts side by side, one row for each operation: its share of the FLOP, and its share of the "
    "bytes, split into weights, activations and cache.",
    controls={
        "model_name": MODEL,
        "phase": Control(label="phase", values=("forward", "prefill", "decode"), start="forward"),
        "batch": BATCH,
        "tokens": TOKENS,
    },
    table=_ledger_table,
    draw=_ledger_draw,
    summary=_ledger_summary,
)


# ---- 2: each operation against the ridge -----------------------------------------------------------


@cache
def _device(chip_name):
    return kernels.device(chip(chip_name), FORMAT)


def _intensity_table(model_name, chip_name, phase, batch, tokens):
    rows = _rows(model_name, phase, batch, tokens, _device(chip_name))
    shares = {
        "intensity_flop_per_byte": rows["flop"] / rows["bytes"],
        "time_share": rows["time_s"] / rows["time_s"].sum(),
    }
    ridge = ops.ridge_flop_per_byte(chip(chip_name), format=FORMAT)
    return stack(
        operation=rows | shares,
        whole={
            "model": model_name,
            "phase": phase,
            "batch": batch,
            "tokens": tokens,
            "chip": chip_name,
            "ridge_flop_per_byte": ridge,
            "time_s": rows["time_s"].sum(),
        },
    )


LEAST = 0.035  # left end of the axis of intensity


def _intensity_draw(figure):
    figure.set_size_inches(7.6, 6.0)
    ax = figure.add_axes([0.245, 0.085, 0.66, 0.855])
    ax.set(xscale="log", xlim=(LEAST, 4e5), xlabel="arithmetic intensity [FLOP per byte moved]")
    axis_in(ax.xaxis, "")
    ax.set(ylim=(1, 0), yticks=())
    beside = {"transform": ax.get_yaxis_transform(), "align": "right"}
    names, times = Labels(ax, **beside), Labels(ax, **beside, color=GREY)
    (ridge,) = ax.plot([], [], color=COLOUR["total"], lw=1.4)
    stems = ax.add_collection(LineCollection([], colors="#DDDDDD", linewidths=1, zorder=1))
    dots = ax.scatter([], [], s=[], zorder=3, edgecolors="white", linewidths=0.6)
    above = {"transform": ax.get_xaxis_transform(), "va": "bottom", "fontsize": 9}
    words = [
        ax.text(0, 1.035, "", ha="center", weight="bold", **above),
        ax.text(0, 1.003, "memory decides   ", color=COLOUR["memory"], ha="right", **above),
        ax.text(0, 1.003, "   arithmetic decides", color=COLOUR["compute"], ha="left", **above),
    ]
    ax.text(1.115, 1.005, "of the time", transform=ax.transAxes, ha="right", va="bottom", fontsize=8.5, color=GREY)

    def update(table):
        operations, x, share = pick(table, "operation", "operation", "intensity_flop_per_byte", "time_share")
        bend = one(table, "whole", "ridge_flop_per_byte")
        y = _heights(operations.size)
        inside = np.maximum(x, LEAST)
        dots.set_offsets(np.column_stack([np.where(x > 0, x, np.nan), y]))
        dots.set_sizes(16 + 700 * share)
        dots.set_facecolors([COLOUR["compute" if v > bend else "memory"] for v in x])
        stems.set_segments([[(LEAST, at), (v, at)] for v, at in zip(inside, y, strict=True)])
        told = times.show([_percent(v) or "<1 %" for v in share], 1.115, y)
        ridge.set_data([bend, bend], [0, 1])
        words[0].set_text(f"ridge of {one(table, 'whole', 'chip')}: {plain(bend)} FLOP/B")
        for word in words:
            word.set_x(bend)
        return [stems, ridge, dots, *words, told, names.show(operations, -0.02, y)]

    return update


def _intensity_summary(table):
    x, share, flop = pick(table, "operation", "intensity_flop_per_byte", "time_share", "flop")
    bend, seconds = (one(table, "whole", c) for c in ("ridge_flop_per_byte", "time_s"))
    right = x > bend
    return (
        f"{_step(table)}, on {one(table, 'whole', 'chip')} (ridge {plain(bend)} FLOP/B): {right.sum()} of {x.size} "
        f"operations lie right of the ridge, with {plain(100 * flop[right].sum() / flop.sum())} % of the FLOP and "
        f"{plain(100 * share[right].sum())} % of the {si(seconds, 's')} that the kernels take."
    )


intensity = Exhibit(
    slug="02-intensity",
    title="Which operations the arithmetic holds up.",
    caption="The operations of a step by their arithmetic intensity, beside the ridge of a chip in 16 bits by its "
    "datasheet. The area of a dot is the operation's share of the time, as the kernel times of this book have it. "
    "A backward pass has its two products for each product under the forward's name. The embedding's lookup has "
    "no arithmetic, so no dot.",
    alt="Dot plot with one row for each operation against a logarithmic axis of FLOP per byte, and a vertical line "
    "at the ridge: elementwise operations lie far left, matrix products right of the ridge or left of it "
    "with the tokens of the pass.",
    controls={
        "model_name": MODEL,
        "chip_name": CHIP,
        "phase": Control(label="phase", values=ledgers.PHASES, start="forward"),
        "batch": BATCH,
        "tokens": TOKENS,
    },
    table=_intensity_table,
    draw=_intensity_draw,
    summary=_intensity_summary,
)


# ---- 3: the rule of thumb --------------------------------------------------------------------------

RULED = ("GPT-3 175B", "Llama-3-8B", "Llama-3.1-405B", "Gemma-3-1B", "gpt-oss-20b", "DeepSeek-V3")


@cache
def _six_n_d_lines(model_name):
    """The lines of a model: over tokens, counted over 6 N D."""
    m, tokens = model(model_name), np.geomspace(512, 131072, 65)
    multiply = ledgers.multiplying_params(m)
    return {
        "causal half": {"tokens": tokens, "ratio": ledgers.over_six_n_d(m, tokens=tokens)},
        "full square": {"tokens": tokens, "ratio": ledgers.over_six_n_d(m, tokens=tokens, causal="full")},
        "multiply": {"tokens": tokens, "ratio": ledgers.over_six_n_d(m, tokens=tokens, params=multiply)},
    }


def _six_n_d_table(model_name, tokens):
    m = model(model_name)
    multiply = ledgers.multiplying_params(m)
    return stack(
        **_six_n_d_lines(model_name),
        here={
            "tokens": tokens,
            "ratio": ledgers.over_six_n_d(m, tokens=tokens),
            "model": model_name,
            "full_ratio": ledgers.over_six_n_d(m, tokens=tokens, causal="full"),
            "multiply_ratio": ledgers.over_six_n_d(m, tokens=tokens, params=multiply),
            "params": m.active_params,
            "multiply_params": multiply,
            "rule_flop": counting.six_n_d_flop(m.active_params, 1),
        },
    )


def _apart(heights, gap):
    """Heights of labels moved up until each is `gap` above the one below."""
    placed = np.array(heights, dtype=float)
    order = np.argsort(placed, kind="stable")
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    return placed


def _six_n_d_draw(figure):
    ax = figure.add_axes([0.085, 0.13, 0.705, 0.84])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(450, 150000),
        ylim=(0.8, 12),
        xlabel="tokens of a sequence",
        ylabel="counted FLOP of training / 6ND",
    )
    axis_in(ax.xaxis, "")
    axis_in(ax.yaxis, "")
    ticks = (0.8, 1, 1.5, 2, 3, 5, 10)
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.axhspan(0.9, 1.1, color=COLOUR["idle"], alpha=0.22, lw=0)
    ax.text(160000, 1, "within a tenth", color=GREY, fontsize=9, va="center")
    style = {
        "causal half": {"lw": 2.2, "color": COLOUR["compute"]},
        "full square": {"lw": 1.8, "color": COLOUR["compute"], "ls": "--"},
        "multiply": {"lw": 1.0, "color": COLOUR["total"]},
    }
    words = {
        "causal half": "causal half",
        "full square": "full square",
        "multiply": "causal half, N of\nwhat multiplies",
    }
    lines = {name: ax.plot([], [], **kept)[0] for name, kept in style.items()}
    labels = {
        name: ax.text(160000, 1, words[name], color=kept["color"], va="center", fontsize=9, linespacing=1.1)
        for name, kept in style.items()
    }
    (here,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8, zorder=4)
    told = ax.text(0.03, 0.95, "", transform=ax.transAxes, va="top", linespacing=1.4)

    def update(table):
        ends = []
        for name, line in lines.items():
            line.set_data(*pick(table, name, "tokens", "ratio"))
            ends.append(np.log(line.get_ydata()[-1]))
        for label, height in zip(labels.values(), _apart(ends, 0.18), strict=True):
            label.set_y(np.exp(height))
        here.set_data(*pick(table, "here", "tokens", "ratio"))
        ratio, tokens, name = (one(table, "here", c) for c in ("ratio", "tokens", "model"))
        told.set_text(f"{name} at {plain(tokens, 6)} tokens:\n{ratio:.2f} times 6ND")
        return [*lines.values(), *labels.values(), here, told]

    return update


def _six_n_d_summary(table):
    name, tokens, ratio, full, bare, n, multiply = (
        one(table, "here", c)
        for c in ("model", "tokens", "ratio", "full_ratio", "multiply_ratio", "params", "multiply_params")
    )
    x, y = pick(table, "causal half", "tokens", "ratio")
    above = x[y > 1.1]
    leaves = f"leaves the band at {plain(above[0], 2)} tokens" if above.size else "stays in the band"
    return (
        f"{name} on sequences of {plain(tokens, 6)} tokens: {ratio:.2f} times 6ND, and {full:.2f} with the full "
        f"square; N counts all {plain(n / 1e9)} billion active parameters. With the {plain(multiply / 1e9)} billion that multiply: {bare:.2f}. "
        f"The causal half {leaves}."
    )


six_n_d = Exhibit(
    slug="02-six-n-d",
    title="How good is 6ND?",
    caption="Operations of training, counted row by row (matrix products and attention), over the rule of thumb 6ND, "
    "against the tokens of a sequence. Solid: the half of attention's square that a causal mask needs. Dashed: the "
    "full square, as much of the literature counts it. N counts all active parameters, the input embedding too; the "
    "thin line leaves that out.",
    alt="Log-log plot of a ratio against tokens of a sequence. Both lines start near one and bend upwards, the full "
    "square about twice as early as the causal half.",
    controls={
        "model_name": Control(label="model", values=RULED, start="Llama-3-8B"),
        "tokens": Control(label="tokens", values=tuple(2**i for i in range(9, 18)), start=8192, unit="tokens"),
    },
    table=_six_n_d_table,
    draw=_six_n_d_draw,
    summary=_six_n_d_summary,
    sources=("kaplan2020scaling",),
)


# ---- 4: where the parameters sit -------------------------------------------------------------------

SHOWN = (
    "GPT-1",
    "GPT-2 XL",
    "GPT-3 175B",
    "PaLM 540B",
    "Llama-2-7B",
    "Llama-3-8B",
    "Llama-3.1-405B",
    "Gemma-3-1B",
    "Mixtral-8x7B",
    "gpt-oss-120b",
    "DeepSeek-V3",
    "Kimi-K2",
)
PARTS = {
    "attention": "#003F63",
    "feed-forward": "#0072B2",
    "experts not met": "#A9D3EC",
    "output head": "#8C6D31",
    "embedding": "#DCCB9F",
}
LIGHT = ("experts not met", "embedding")
COUNTED = ("all parameters", "met by a token")


def _parameters_table(counted):
    years = {row["name"]: row["released"][:4] for row in data.rows("models")}
    parts = [dict(ledgers.parameters_by_part(model(name))) for name in SHOWN]
    if counted == "met by a token":
        parts = [part | {"experts not met": 0} for part in parts]
    totals = np.array([sum(part.values()) for part in parts], dtype=float)
    return stack(
        **{
            name: {
                "model": SHOWN,
                "released": [int(years[n]) for n in SHOWN],
                "counted": counted,
                "params": params,
                "share": params / totals,
                "total_params": totals,
            }
            for name in PARTS
            for params in [np.array([part[name] for part in parts], dtype=float)]
        }
    )


def _parameters_draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = figure.add_axes([0.235, 0.075, 0.625, 0.83])
    ax.set(
        xlim=(0, 1),
        ylim=(len(SHOWN) - 0.4, -0.6),
        xticks=(0, 0.25, 0.5, 0.75, 1),
        xticklabels=("0", "25", "50", "75", "100 %"),
    )
    ax.grid(visible=False, axis="y")
    ax.set_yticks([])
    bars = {name: _bars(ax, colour) for name, colour in PARTS.items()}
    y = np.arange(len(SHOWN))
    beside = ax.get_yaxis_transform()
    names = Labels(ax, transform=beside, size=9, align="right")
    totals = Labels(ax, transform=beside, size=9)
    inside = {name: Labels(ax, align="center", color="#222222" if name in LIGHT else "white") for name in PARTS}
    places = (-0.36, -0.16, 0.09, 0.38, 0.62)
    for x, (name, colour) in zip(places, PARTS.items(), strict=True):
        ink = {"experts not met": "#4C97C4", "embedding": "#B39B5A"}.get(name, colour)
        ax.text(x, 1.02, f"■ {name}", transform=ax.transAxes, color=ink, fontsize=9.5)
    head = ax.text(1.015, 1.02, "", transform=ax.transAxes, fontsize=9.5, color=GREY)

    def update(table):
        start = np.zeros(len(SHOWN))
        drawn = list(bars.values())
        for name, bar in bars.items():
            share = pick(table, name, "share")
            _fill(bar, y, 0.38, start, start + share)
            words = [f"{100 * s:.0f}" if s > 0.035 else "" for s in share]
            drawn.append(inside[name].show(words, start + share / 2, y))
            start = start + share
        shown, released, total = pick(table, "attention", "model", "released", "total_params")
        drawn.append(names.show([f"{n}, {r:.0f}" for n, r in zip(shown, released, strict=True)], -0.015, y))
        drawn.append(totals.show([f"{plain(t / 1e9)} billion" for t in total], 1.015, y))
        head.set_text("in all" if pick(table, "attention", "counted")[0] == COUNTED[0] else "a token meets")
        return [*drawn, head]

    return update


def _parameters_summary(table):
    models, total, counted = pick(table, "attention", "model", "total_params", "counted")
    share = {name: pick(table, name, "share") for name in PARTS}
    ends = share["output head"] + share["embedding"]
    most = np.argmax(ends)
    fed = share["feed-forward"] + share["experts not met"]
    of = "all parameters" if counted[0] == COUNTED[0] else "the parameters that a token meets"
    return (
        f"Of {of}, attention has from {plain(100 * share['attention'].min(), 2)} % "
        f"({models[np.argmin(share['attention'])]}) to {plain(100 * share['attention'].max(), 2)} % "
        f"({models[np.argmax(share['attention'])]}), the feed-forward with the experts shown a median of "
        f"{plain(100 * np.median(fed), 2)} %. The vocabulary weighs most in {models[most]}: "
        f"{plain(100 * ends[most], 2)} % of {plain(total[most] / 1e9)} billion."
    )


parameters = Exhibit(
    slug="02-parameters",
    title="Where the parameters sit.",
    caption="Parameters of twelve models by what they do, eight dense ones above four mixtures. Of a mixture, the experts that one token does not meet are "
    "apart (light). An embedding that is also the output head is counted once, as the head.",
    alt="Stacked bars of shares, one for each model: attention, feed-forward, experts not met, output head, "
    "embedding. In dense models the feed-forward has about two thirds; in late mixtures nearly all are experts "
    "that a token does not meet.",
    controls={"counted": Control(label="counted", values=COUNTED, start=COUNTED[0])},
    table=_parameters_table,
    draw=_parameters_draw,
    summary=_parameters_summary,
)


# ---- 5: experts touched ----------------------------------------------------------------------------

MIXTURES = ("Mixtral-8x7B", "DeepSeek-V3", "gpt-oss-120b", "Qwen3-235B-A22B")


def _experts_table(model_name, tokens):
    m = model(model_name)

    def at(t):
        mixture, dense = ledgers.fetched_bytes_per_token(m, t, format=FORMAT)
        return {"tokens": t, "mixture_bytes": mixture, "dense_bytes": dense, "touched": ledgers.touched_share(m, t)}

    whole = m.block_params + m.head_params
    t = np.geomspace(1, 4096, 97)
    return stack(
        curve=at(t) | {"all_bytes": ops.weights_pass(whole, t, weight_bytes=2).bytes / t},
        here=at(tokens) | {"model": model_name, "experts": m.experts, "experts_per_token": m.experts_per_token},
    )


def _experts_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    top = figure.add_axes([0.135, 0.40, 0.84, 0.58])
    low = figure.add_axes([0.135, 0.10, 0.84, 0.26])
    top.set(xscale="log", yscale="log", xlim=(0.9, 4600), ylim=(1e6, 2e12), ylabel="weights fetched, a token")
    low.set(
        xscale="log",
        xlim=(0.9, 4600),
        ylim=(0, 1.08),
        xlabel="tokens in the pass",
        ylabel="experts touched",
        yticks=(0, 0.5, 1),
        yticklabels=("0", "50 %", "100 %"),
    )
    axis_in(top.yaxis, "B")
    axis_in(low.xaxis, "")
    top.xaxis.set_major_formatter(lambda value, _: "")
    (whole,) = top.plot([], [], color=COLOUR["idle"], ls=":")
    (dense,) = top.plot([], [], color=COLOUR["total"], lw=1.2)
    (mixture,) = top.plot([], [], color=COLOUR["memory"], lw=2.4)
    (touched,) = low.plot([], [], color=COLOUR["memory"], lw=2.4)
    diamond = {"ms": 9, "color": COLOUR["highlight"], "mec": "black", "mew": 0.8, "ls": "", "marker": "D"}
    marks = [ax.plot([], [], **diamond)[0] for ax in (top, low)]
    words = [
        top.text(1, 1, "the mixture", color=COLOUR["memory"], va="bottom"),
        top.text(1.05, 1, "dense, with as many\nactive parameters", color=COLOUR["total"], va="top"),
        top.text(1, 1, "all its experts, every pass", color=GREY, va="bottom"),
        top.text(0.985, 0.95, "", transform=top.transAxes, ha="right", va="top", linespacing=1.4),
    ]

    def update(table):
        t, mixed, plainly, every, share = pick(
            table, "curve", "tokens", "mixture_bytes", "dense_bytes", "all_bytes", "touched"
        )
        for line, values in ((mixture, mixed), (dense, plainly), (whole, every), (touched, share)):
            line.set_data(t, values)
        x, y, part, beside = (one(table, "here", c) for c in ("tokens", "mixture_bytes", "touched", "dense_bytes"))
        marks[0].set_data([x], [y])
        marks[1].set_data([x], [part])
        words[0].set_position((t[60], mixed[60] * 1.5))
        words[1].set_position((1.05, plainly[36]))
        words[2].set_position((t[10], every[10] * 1.6))
        words[3].set_text(
            f"{one(table, 'here', 'model')}, {plain(x, 5)} token{'s' * (x != 1)}:\n"
            f"{plain(y / beside)} times the dense model's"
        )
        return [whole, dense, mixture, touched, *marks, *words]

    return update


def _experts_summary(table):
    name, t, mixed, dense, share, experts, k = (
        one(table, "here", c)
        for c in ("model", "tokens", "mixture_bytes", "dense_bytes", "touched", "experts", "experts_per_token")
    )
    x, every = pick(table, "curve", "tokens", "touched")
    most = x[np.argmax(every >= 0.9)]
    return (
        f"{name}, {plain(k)} of {plain(experts)} experts a token: a pass of {plain(t, 5)} token{'s' * (t != 1)} "
        f"touches {plain(100 * share)} % of a layer's experts and fetches {si(mixed, 'B')} of weights a token, "
        f"{plain(mixed / dense)} times a dense model's {si(dense, 'B')}. Nine tenths are touched from {plain(most, 2)} "
        "tokens on."
    )


experts = Exhibit(
    slug="02-experts",
    title="A batch touches all experts.",
    caption="Weights in 16 bits fetched from memory for each token of a pass, against the tokens that share the pass: a "
    "mixture of experts, a dense model with as many active parameters, and the mixture if every expert were "
    "fetched every time. Below: the experts of a layer that at least one token visits, when all are equally "
    "liked. What a mixture saves in arithmetic it saves in traffic only alone.",
    alt="Log-log plot of bytes a token against tokens of the pass: the dense line falls in proportion; the mixture "
    "starts on it, falls slowly while new experts are touched, then in proportion, many times above it.",
    controls={
        "model_name": Control(label="model", values=MIXTURES, start="DeepSeek-V3"),
        "tokens": Control(label="tokens", values=tuple(2**i for i in range(13)), start=32, unit="tokens"),
    },
    table=_experts_table,
    draw=_experts_draw,
    summary=_experts_summary,
)


# ---- 6: four phases --------------------------------------------------------------------------------

PANELS = {
    "flop": ("FLOP a token", (4e9, 2e14)),
    "bytes": ("bytes a token", (3e6, 2e14)),
    "intensity_flop_per_byte": ("FLOP per byte", (0.2, 1e6)),
}


def _phases_table(model_name, chip_name, batch, tokens):
    def at(phase):
        flop, moved = ledgers.per_token(model(model_name), phase, batch=batch, tokens=tokens, format=FORMAT)
        return {"flop": flop, "bytes": moved, "intensity_flop_per_byte": flop / moved}

    ridge = ops.ridge_flop_per_byte(chip(chip_name), format=FORMAT)
    return stack(
        **{phase: at(phase) for phase in ledgers.PHASES},
        whole={"model": model_name, "chip": chip_name, "batch": batch, "tokens": tokens, "ridge_flop_per_byte": ridge},
    )


def _phases_draw(figure):
    figure.set_size_inches(7.6, 3.2)
    axes = {c: figure.add_axes([0.105 + 0.302 * i, 0.13, 0.28, 0.69]) for i, c in enumerate(PANELS)}
    y = np.arange(4)
    for (column, ax), (title, limits) in zip(axes.items(), PANELS.values(), strict=True):
        ax.set(xscale="log", xlim=limits, ylim=(3.6, -0.6))
        ax.set_yticks(y, ledgers.PHASES if column == "flop" else [""] * 4)
        ax.tick_params(axis="y", length=0)
        ax.set_title(title, pad=18)
        ax.xaxis.set_major_formatter(lambda value, _: si(value))
        ax.xaxis.set_minor_formatter(lambda value, _: "")
        ax.grid(visible=False, axis="y")
    axes["flop"].set_xticks([1e10, 1e12, 1e14])
    axes["bytes"].set_xticks([1e7, 1e9, 1e11, 1e13])
    axes["intensity_flop_per_byte"].set_xticks([1, 100, 1e4])
    stems = {
        c: ax.add_collection(LineCollection([], colors="#CCCCCC", linewidths=1.2, zorder=1)) for c, ax in axes.items()
    }
    dots = {c: ax.scatter([], [], s=[], zorder=3) for c, ax in axes.items()}
    clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # of the ridge behind it
    ends = {
        c: [ax.text(0, i, "", va="center", fontsize=8.5, bbox=clear, zorder=2.5) for i in y] for c, ax in axes.items()
    }
    last = axes["intensity_flop_per_byte"]
    (ridge,) = last.plot([], [], color=COLOUR["total"], lw=1.4)
    word = last.text(0, 1.02, "", transform=last.get_xaxis_transform(), ha="center", fontsize=8.5)

    def update(table):
        bend = one(table, "whole", "ridge_flop_per_byte")
        for column, (_, (least, most)) in PANELS.items():
            values = np.array([one(table, phase, column) for phase in ledgers.PHASES])
            stems[column].set_segments([[(least, at), (v, at)] for v, at in zip(values, y, strict=True)])
            dots[column].set_offsets(np.column_stack([values, y]))
            dots[column].set_sizes(np.full(y.size, 70))
            unit = {"flop": "FLOP", "bytes": "B"}.get(column, "")
            for text, value, at in zip(ends[column], values, y, strict=True):
                text.set_position((value * (most / least) ** 0.05, at))
                text.set_text(si(value, unit) if unit else plain(value))
            right = values > bend if column == "intensity_flop_per_byte" else [column == "flop"] * 4
            dots[column].set_facecolors([COLOUR["compute" if v else "memory"] for v in right])
        ridge.set_data([bend, bend], [-0.6, 3.6])
        word.set_text(f"ridge of {one(table, 'whole', 'chip').split(' (')[0]}: {plain(bend)}")
        word.set_x(bend)
        return [*stems.values(), ridge, *dots.values(), *(t for texts in ends.values() for t in texts), word]

    return update


def _phases_summary(table):
    name, device, batch, tokens, bend = (
        one(table, "whole", c) for c in ("model", "chip", "batch", "tokens", "ridge_flop_per_byte")
    )
    told = [
        f"{phase} {si(flop, 'FLOP')}, {si(moved, 'B')}, {plain(x)} FLOP/B ({'right' if x > bend else 'left'})"
        for phase in ledgers.PHASES
        for flop, moved, x in [[one(table, phase, c) for c in ("flop", "bytes", "intensity_flop_per_byte")]]
    ]
    return (
        f"{name}, {plain(batch)} sequence{'s' * (batch != 1)} of {plain(tokens, 6)} tokens; for each token: "
        f"{'; '.join(told)}. Right or left of the ridge of {device}, {plain(bend)} FLOP/B."
    )


phases = Exhibit(
    slug="02-phases",
    title="One model, four phases.",
    caption="Operations, bytes moved and their ratio for each token of one step of a model in 16 bits: forward and "
    "backward of training, a prefill, and a decode step whose sequences have the chosen tokens in the cache. The "
    "last panel is orange where the whole step lies right of the chip's ridge.",
    alt="Three small dot plots on log axes, a row for each phase: FLOP a token, bytes a token and FLOP per byte with "
    "the ridge of a chip. The first three phases are alike; decoding moves far more bytes for the same operations.",
    controls={
        "model_name": MODEL,
        "chip_name": CHIP,
        "batch": Control(label="batch", values=BATCH.values, start=8, unit="sequences"),
        "tokens": TOKENS,
    },
    table=_phases_table,
    draw=_phases_draw,
    summary=_phases_summary,
)
