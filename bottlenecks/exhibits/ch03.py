"""Figures of chapter 03, What does a transformer ask for?"""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.axes import HALVES, QUARTERS, panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import beside, end_labels, key, labels, text, told
from bottlenecks.exhibits.marks import curve, diamond, live, segments, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import counting
from bottlenecks.models import ops
from bottlenecks.studies import ledgers

MODELS = ("Llama-3-8B", "Llama-3-70B", "GPT-3 175B", "Mixtral-8x7B", "DeepSeek-V3")
GPUS = ("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "MI300X", "TPU v5p")
MODEL = Control(label="model", values=MODELS, start="Llama-3-8B")
CHIP = Control(label="chip", values=GPUS, start="H100 SXM5")
BATCH = Control(label="batch", values=tuple(2**i for i in range(9)), start=1, unit="sequences")
TOKENS = Control(label="tokens of each", values=tuple(2**i for i in range(7, 18)), start=4096, unit="tokens")
FORMAT = "bf16"


def _operations_of(model_name, phase, batch, tokens):
    """Operations of a phase as columns, in the order of the forward pass."""
    rows = ledgers.phase(model(model_name), phase, batch=batch, tokens=tokens, format=FORMAT)
    return ledgers.merged(rows[::-1] if phase == "backward" else rows)


def _percent(share):
    """A share as a label: nothing where it is below half a percent."""
    return "" if share < 0.005 else f"{100 * share:.0f} %"


# ---- 1: the ledger --------------------------------------------------------------------------------


def _at(table):
    """Where the operations lie on an axis from 0 (top) to 1, as many as there are."""
    n = (table["series"] == "operation").sum()
    return (np.arange(n) + 0.5) / n


def _operations(ax):
    """The names of the operations, at the left of axes."""
    found = "operation", "operation"
    return labels(ax, lambda table: (pick(table, *found), -0.02, _at(table)), of="row", align="right")


KINDS = {
    "weight_bytes": ("weights", "#003F63"),
    "activation_bytes": ("activations", "#56B4E9"),
    "cache_bytes": ("cache", COLOUR["memory"]),
}


def _ledger_table(model_name, phase, batch, tokens):
    rows = _operations_of(model_name, phase, batch, tokens)
    flop, moved = rows["flop"].sum(), rows["bytes"].sum()
    shares = {"flop_share": rows["flop"] / flop, "bytes_share": rows["bytes"] / moved}
    totals = {c: rows[c].sum() for c in ("flop", "bytes", *KINDS)}
    named = {"model": model_name, "phase": phase, "batch": batch, "tokens": tokens}
    return stack(operation=rows | shares, whole=totals | named)


def _ledger_draw(figure):
    figure.set_size_inches(7.6, 6.0)
    left, right = panel(figure, 0.245, 0.055, 0.605, 0.90), panel(figure, 0.63, 0.055, 0.99, 0.90)
    for ax in (left, right):
        x_axis(ax, "", 0, 1.16, ticks=QUARTERS)
        y_axis(ax, "", 1, 0, ticks=())
    key(right, dict(KINDS.values()), 0, 1.02, size=9)

    def kinds(table):
        return _at(table), np.array([pick(table, "operation", kind) for kind in KINDS]) / row(table, "whole").bytes

    def ends(table, column):
        share = pick(table, "operation", column)
        return [_percent(v) for v in share], share + 0.015, _at(table)

    bold = {"of": "axes", "weight": "bold"}
    return updating(
        stacked(left, [COLOUR["compute"]], lambda table: (_at(table), [pick(table, "operation", "flop_share")])),
        stacked(right, [colour for _, colour in KINDS.values()], kinds),
        text(left, 0, 1.045, lambda table: f"share of {si(row(table, 'whole').flop, 'FLOP')}", **bold),
        text(right, 0, 1.045, lambda table: f"share of {si(row(table, 'whole').bytes, 'B')} moved", **bold),
        labels(left, lambda table: ends(table, "flop_share"), color=GREY),
        labels(right, lambda table: ends(table, "bytes_share"), color=GREY),
        _operations(left),
    )


def _step(table):
    """The step in words, from the row of a table that names it."""
    step = row(table, "whole")
    return f"{step.model}, {step.phase}, {plural(step.batch, 'sequence', 5)} of {plural(step.tokens, 'token')}"


def _ledger_summary(table):
    operations, of_flop, of_bytes = pick(table, "operation", "operation", "flop_share", "bytes_share")
    most, moves, whole = np.argmax(of_flop), np.argmax(of_bytes), row(table, "whole")
    parts = ", ".join(f"{w} {plain(100 * getattr(whole, kind) / whole.bytes, 2)} %" for kind, (w, _) in KINDS.items())
    return (
        f"{_step(table)}: {si(whole.flop, 'FLOP')}, {si(whole.bytes, 'B')}, {plain(whole.flop / whole.bytes)} FLOP/B. Most FLOP: "
        f"{operations[most]}, {plain(100 * of_flop[most])} %. Most bytes: {operations[moves]}, "
        f"{plain(100 * of_bytes[moves])} %. Of the bytes: {parts}."
    )


ledger = Exhibit(
    slug="03-ledger",
    title="The ledger of a step.",
    caption="Every operation of one step of a model in 16 bits, all layers together: its share of the FLOP and of the "
    "least traffic to memory, where each operand is read once and each result is written once.",
    alt="Two bar charts side by side, a bar for each operation: its share of the FLOP, and its share of the "
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


def _intensity_table(model_name, chip_name, phase, batch, tokens):
    rows = _operations_of(model_name, phase, batch, tokens)
    moved = rows["bytes"].sum()
    shares = {"intensity_flop_per_byte": rows["flop"] / rows["bytes"], "bytes_share": rows["bytes"] / moved}
    ridge = ops.ridge_flop_per_byte(chip(chip_name), format=FORMAT)
    named = {"model": model_name, "phase": phase, "batch": batch, "tokens": tokens, "chip": chip_name}
    return stack(operation=rows | shares, whole=named | {"ridge_flop_per_byte": ridge, "bytes": moved})


LEAST, MOST = 0.035, 4e5  # ends of the axis of intensity


def _intensity_draw(figure):
    figure.set_size_inches(7.6, 6.0)
    ax = panel(figure, 0.245, 0.085, 0.905, 0.94)
    x_axis(ax, "arithmetic intensity [FLOP per byte moved]", LEAST, MOST, log="")
    y_axis(ax, "", 1, 0, ticks=())
    ax.text(1.115, 1.005, "of the bytes", transform=ax.transAxes, ha="right", va="bottom", fontsize=9, color=GREY)

    def x(table, least=LEAST):
        return np.maximum(pick(table, "operation", "intensity_flop_per_byte"), least)

    def ridge(table):
        return row(table, "whole").ridge_flop_per_byte

    def moved(table):
        return [_percent(v) or "<1 %" for v in pick(table, "operation", "bytes_share")], 1.115, _at(table)

    def across(table):
        return np.stack([np.column_stack([np.full(_at(table).size, x), _at(table)]) for x in (LEAST, MOST)], 1)

    dots = {  # none without arithmetic
        "offsets": lambda table: np.column_stack([np.where(x(table, 0) > 0, x(table), np.nan), _at(table)]),
        "sizes": lambda table: 16 + 700 * pick(table, "operation", "bytes_share"),
        "facecolors": lambda table: [COLOUR["compute" if v > ridge(table) else "memory"] for v in x(table)],
    }
    above, bold = {"of": "column", "va": "bottom", "fontsize": 9}, {"ha": "center", "weight": "bold"}

    def bend(table):
        return f"ridge of {row(table, 'whole').chip}: {plain(ridge(table))} FLOP/B"

    return updating(
        segments(ax, across, colors="#EAEAEA", linewidths=0.8, zorder=1),
        upright(ax, ridge, color=COLOUR["total"], lw=1.4),
        live(ax.scatter, [], [], zorder=3, edgecolors="white", linewidths=0.6, **dots),
        text(ax, ridge, 1.035, bend, **above, **bold),
        text(ax, ridge, 1.003, "waits for memory   ", color=COLOUR["memory"], ha="right", **above),
        text(ax, ridge, 1.003, "   waits for arithmetic", color=COLOUR["compute"], ha="left", **above),
        labels(ax, moved, of="row", align="right", color=GREY),
        _operations(ax),
    )


def _intensity_summary(table):
    x, share, flop = pick(table, "operation", "intensity_flop_per_byte", "bytes_share", "flop")
    whole = row(table, "whole")
    right = x > whole.ridge_flop_per_byte
    return (
        f"{_step(table)}, on {whole.chip} (ridge {plain(whole.ridge_flop_per_byte)} FLOP/B): {right.sum()} of {x.size} "
        f"operations lie right of the ridge, with {plain(100 * flop[right].sum() / flop.sum())} % of the FLOP and "
        f"{plain(100 * share[right].sum())} % of the {si(whole.bytes, 'B')} moved."
    )


intensity = Exhibit(
    slug="03-intensity",
    title="Which operations the arithmetic holds up.",
    caption="The operations of a step by their arithmetic intensity, beside the ridge of a chip in 16 bits. The area "
    "of a dot is the operation's share of the bytes moved. A lookup has no arithmetic, so no dot.",
    alt="Dot plot with a dot for each operation against a logarithmic axis of FLOP per byte, and a vertical line "
    "at the ridge: elementwise operations lie far left, matrix products right of the ridge or left of it with the "
    "tokens of the pass.",
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


def _six_n_d_draw(figure):
    ax = panel(figure, 0.085, right=0.79, top=0.97)
    x_axis(ax, "tokens of a sequence", 450, 150000, log="")
    y_axis(
        ax, "counted FLOP of training / 6ND", 0.8, 12, log="", ticks={t: f"{t:g}" for t in (0.8, 1, 1.5, 2, 3, 5, 10)}
    )
    ax.axhspan(0.9, 1.1, color=COLOUR["idle"], alpha=0.22, lw=0)
    style = {
        "causal half": {"lw": 2.2, "color": COLOUR["compute"]},
        "full square": {"lw": 1.8, "color": COLOUR["compute"], "ls": "--"},
        "multiply": {"lw": 1.0, "color": COLOUR["total"]},
    }
    words = {name: (name, kept["color"]) for name, kept in style.items()}
    words["multiply"] = ("causal half, N of\nwhat multiplies", {"color": COLOUR["total"], "linespacing": 1.1})
    words["band"] = ("within a tenth", GREY)

    def telling(table):
        here = row(table)
        return f"{here.model} at {plural(here.tokens, 'token')}:\n{here.ratio:.2f} times 6ND"

    return updating(
        *(curve(ax, name, "tokens", "ratio", **kept) for name, kept in style.items()),
        end_labels(
            ax, words, lambda table: {"band": 1} | {name: pick(table, name, "ratio")[-1] for name in style}, size=9
        ),
        diamond(ax, "tokens", "ratio", zorder=4),
        told(ax, telling),
    )


def _six_n_d_summary(table):
    here = row(table)
    x, y = pick(table, "causal half", "tokens", "ratio")
    out = np.argmax(y > 1.1)  # attention is linear in the tokens, and so is the ratio between two of them
    at = np.interp(1.1, y[out - 1 : out + 1], x[out - 1 : out + 1]) if out else np.nan
    leaves = f"leaves the band at {np.ceil(at):,.0f} tokens" if out else "stays in the band"
    return (
        f"{here.model} on sequences of {plural(here.tokens, 'token')}: {here.ratio:.2f} times 6ND, and {here.full_ratio:.2f} "
        f"with the full square; N counts all {plain(here.params / 1e9)} billion active parameters. With the "
        f"{plain(here.multiply_params / 1e9)} billion that multiply: {here.multiply_ratio:.2f}. The causal half {leaves}."
    )


six_n_d = Exhibit(
    slug="03-six-n-d",
    title="How good is 6ND?",
    caption="Counted operations of training over the rule of thumb 6ND, against the tokens of a sequence. Solid: the "
    "half of attention's square that a causal mask needs. Dashed: the full square. Thin: N without the input "
    "embedding.",
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

SHOWN = names(
    "GPT-1, GPT-2 XL, GPT-3 175B, PaLM 540B, Llama-2-7B, Llama-3-8B, Llama-3.1-405B, Gemma-3-1B, Mixtral-8x7B, "
    "gpt-oss-120b, DeepSeek-V3, Kimi-K2"
)
PARTS = {
    "attention": "#003F63",
    "feed-forward": "#0072B2",
    "experts not met": "#A9D3EC",
    "output head": "#8C6D31",
    "embedding": "#DCCB9F",
}
COUNTED = ("all parameters", "met by a token")


def _parameters_table(counted):
    years = {row["name"]: row["released"][:4] for row in data.rows("models")}
    parts = [dict(ledgers.parameters_by_part(model(name))) for name in SHOWN]
    if counted == "met by a token":
        parts = [part | {"experts not met": 0} for part in parts]
    totals = np.array([sum(part.values()) for part in parts], dtype=float)
    shown = {"model": SHOWN, "released": [int(years[n]) for n in SHOWN], "counted": counted}
    params = {name: np.array([part[name] for part in parts], dtype=float) for name in PARTS}
    return stack(
        **{name: shown | {"params": n, "share": n / totals, "total_params": totals} for name, n in params.items()}
    )


def _parameters_draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = panel(figure, 0.235, 0.075, 0.86, 0.905)
    x_axis(ax, "", 0, 1, ticks=QUARTERS)
    rows(ax, SHOWN, labelled=False)
    key(ax, PARTS, -0.36, 1.045)
    y = np.arange(len(SHOWN))
    dark = [name not in ("experts not met", "embedding") for name in PARTS]

    def shares(table):
        return np.array([pick(table, name, "share") for name in PARTS])

    def inside(table):
        parts = shares(table)
        middles = np.cumsum(parts, 0) - parts / 2
        words = [f"{100 * s:.0f}" if s > 0.035 else "" for s in parts.ravel()]
        colours = np.repeat(np.where(dark, "white", "#222222"), y.size)
        return words, middles.ravel(), np.tile(y, len(PARTS)), colours

    def at_left(table):
        return [f"{n}, {r:.0f}" for n, r in zip(*pick(table, "attention", "model", "released"), strict=True)], -0.015, y

    def at_right(table):
        return [f"{plain(t / 1e9)} billion" for t in pick(table, "attention", "total_params")], 1.015, y

    def counted(table):
        return "in all" if row(table, "attention").counted == COUNTED[0] else "a token meets"

    return updating(
        stacked(ax, PARTS.values(), lambda table: (y, shares(table)), thick=0.76),
        labels(ax, inside, align="center"),
        labels(ax, at_left, of="row", size=9, align="right"),
        labels(ax, at_right, of="row", size=9),
        text(ax, 1.015, 1.045, counted, of="axes", va="center", fontsize=9.5, color=GREY),
    )


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
    slug="03-parameters",
    title="Where the parameters sit.",
    caption="Parameters of twelve models by what they do, eight dense ones above four mixtures. Light blue: experts "
    "that one token does not meet. An embedding that is also the output head is counted once, as the head.",
    alt="Stacked bars of shares, one for each model: attention, feed-forward, experts not met, output head, "
    "embedding. In dense models the feed-forward has about two thirds; in late mixtures nearly all are experts that "
    "a token does not meet.",
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
        here=at(tokens)
        | {
            "model": model_name,
            "experts": m.experts,
            "experts_per_token": m.experts_per_token,
            "most_tokens": np.ceil(ledgers.tokens_touching(m, share=0.9)),
        },
    )


def _experts_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    top, low = panel(figure, bottom=0.40, top=0.98), panel(figure, bottom=0.10, top=0.36)
    x_axis(top, "", 0.9, 4600, log="")
    x_axis(low, "tokens in the pass", 0.9, 4600, log="")
    top.tick_params(axis="x", which="both", labelbottom=False)
    y_axis(top, "weights fetched per token", 3e6, 3e12, log="B")
    y_axis(low, "experts touched", 0, 1.08, ticks=HALVES)
    every = ("curve", "tokens", "all_bytes")
    plainly = ("curve", "tokens", "dense_bytes")
    mixed = ("curve", "tokens", "mixture_bytes")

    def telling(table):
        here = row(table)
        return f"{here.model}, {plural(here.tokens, 'token', 5)}:\n{_over_dense(here)}"

    return updating(
        curve(top, *every, color=COLOUR["idle"], ls=":"),
        curve(top, *plainly, color=COLOUR["total"], lw=1.2),
        curve(top, *mixed, color=COLOUR["memory"], lw=2.4),
        curve(low, "curve", "tokens", "touched", color=COLOUR["memory"], lw=2.4),
        diamond(top, "tokens", "mixture_bytes"),
        diamond(low, "tokens", "touched"),
        beside(top, "the mixture", *mixed, 60, dy=1.5, color=COLOUR["memory"], va="bottom"),
        text(top, 1.05, lambda table: pick(table, *plainly)[1][36], "dense, with as many\nactive parameters", va="top"),
        beside(top, "all its experts, every pass", *every, 10, dy=1.6, color=GREY, va="bottom"),
        told(top, telling, "upper right"),
    )


def _over_dense(here):
    """What a mixture fetches, as a multiple of a dense model's bytes."""
    times = here.mixture_bytes / here.dense_bytes
    return f"{plain(times)} times a dense model's" if times > 1.05 else "as much as a dense model"


def _experts_summary(table):
    here = row(table)
    return (
        f"{here.model}, {plain(here.experts_per_token)} of {plain(here.experts)} experts per token: a pass of "
        f"{plural(here.tokens, 'token', 5)} touches {plain(100 * here.touched)} % of a layer's experts and fetches "
        f"{si(here.mixture_bytes, 'B')} of weights per token, {_over_dense(here)} ({si(here.dense_bytes, 'B')}). Nine tenths "
        f"are touched from {plain(here.most_tokens, 5)} tokens on."
    )


experts = Exhibit(
    slug="03-experts",
    title="A batch touches all experts.",
    caption="Above: weights in 16 bits fetched per token, against the tokens that share a pass. Dotted: if every pass "
    "fetched every expert. Below: a layer's experts that at least one token visits, all equally liked.",
    alt="Log-log plot of bytes per token against tokens of the pass: the dense line falls in proportion; the mixture "
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

PANELS = {  # title, ends of the axis, unit, ticks
    "flop": ("FLOP per token", (4e9, 4e13), "FLOP", (1e10, 1e12)),
    "bytes": ("bytes per token", (3e6, 5e13), "B", (1e7, 1e9, 1e11, 1e13)),
    "intensity_flop_per_byte": ("FLOP per byte", (0.3, 1e5), "", (1, 100, 1e4)),
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
    y, clear = range(4), {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # of the ridge behind the words

    def bend(table):
        return row(table, "whole").ridge_flop_per_byte

    def ridge(table):
        return f"ridge of {row(table, 'whole').chip.split(' (')[0]}: {plain(bend(table))}"

    def marks(i, column, title, ends, unit, ticks):
        ax = panel(figure, 0.105 + 0.302 * i, 0.13, 0.385 + 0.302 * i, 0.82)
        x_axis(ax, "", *ends, log="", ticks={t: si(t, unit) if unit else plain(t, 5) for t in ticks})
        rows(ax, ledgers.PHASES, labelled=not i)
        ax.set_title(title, pad=18)

        def at(table):
            return np.array([getattr(row(table, phase), column) for phase in ledgers.PHASES])

        def colours(table):
            return [
                COLOUR["compute" if v else "memory"]
                for v in (4 * [column == "flop"] if unit else at(table) > bend(table))
            ]

        def word(i):
            return lambda table: si(at(table)[i], unit) if unit else plain(at(table)[i])

        beyond = (ends[1] / ends[0]) ** 0.05
        beside = {"va": "center", "fontsize": 8.5, "bbox": clear, "zorder": 2.5}
        dots = {"offsets": lambda table: np.column_stack([at(table), y]), "facecolors": colours, "s": 70, "zorder": 3}
        return [
            live(ax.scatter, [], [], **dots),
            *(text(ax, lambda table, i=i: at(table)[i] * beyond, i, word(i), **beside) for i in y),
            *([] if unit else [upright(ax, bend, color=COLOUR["total"], lw=1.4)]),
            *([] if unit else [text(ax, bend, 1.02, ridge, of="column", ha="center", fontsize=8.5)]),
        ]

    return updating(*(mark for i, (column, about) in enumerate(PANELS.items()) for mark in marks(i, column, *about)))


def _phases_summary(table):
    whole = row(table, "whole")
    found = {phase: row(table, phase) for phase in ledgers.PHASES}
    told = [
        f"{phase} {si(at.flop, 'FLOP')}, {si(at.bytes, 'B')}, {plain(at.intensity_flop_per_byte)} FLOP/B "
        f"({'right' if at.intensity_flop_per_byte > whole.ridge_flop_per_byte else 'left'})"
        for phase, at in found.items()
    ]
    return (
        f"{whole.model}, {plural(whole.batch, 'sequence')} of {plural(whole.tokens, 'token')}; per token: "
        f"{'; '.join(told)}. Right or left of the ridge of {whole.chip}, {plain(whole.ridge_flop_per_byte)} FLOP/B."
    )


phases = Exhibit(
    slug="03-phases",
    title="One model, four phases.",
    caption="Operations, bytes moved and their ratio, per token of one step in 16 bits: forward and backward of "
    "training, a prefill, and a decode step with the chosen tokens in its cache. Orange at the right: beyond the "
    "ridge.",
    alt="Three small dot plots on log axes, a dot for each phase: FLOP per token, bytes per token and FLOP per byte "
    "with the ridge of a chip. The first three phases are alike; decoding moves far more bytes for the same "
    "operations.",
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
