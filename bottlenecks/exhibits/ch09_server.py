"""Figures of chapter 09: the cache that a token leaves in a server, and a server of the reader's design."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import HALVES, panel, x_axis, y_axis
from bottlenecks.exhibits.ch09 import CHIPS, CONTEXTS, GPUS, MODELS, PARTS, RELEASED, serving_of, step_of
from bottlenecks.exhibits.labels import key, labels, text, told
from bottlenecks.exhibits.marks import live, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import memory
from bottlenecks.models import footprint, requests
from bottlenecks.models.cache import Serving, serving_rows

# ---- 1: the cache ---------------------------------------------------------------------------------

KEPT = {  # model: words for how it attends, form
    "GPT-3 175B": ("multi-head", "MHA"),
    "Llama-2-7B": ("multi-head", "MHA"),
    "Llama-3.1-405B": ("grouped, 8 of 128", "GQA"),
    "Llama-2-70B": ("grouped, 8 of 64", "GQA"),
    "Llama-3-8B": ("grouped, 8 of 32", "GQA"),
    "PaLM 62B": ("multi-query, 1 of 32", "MQA"),
    "DeepSeek-V2": ("latent", "MLA"),
    "DeepSeek-V3": ("latent", "MLA"),
    "Gemma-3-27B": ("windows in 5 of 6 layers", "windows"),
    "gpt-oss-120b": ("windows in half of the layers", "windows"),
    "Mistral-7B-v0.1": ("windows in all layers", "windows"),
}
FORMS = dict(
    zip(("MHA", "GQA", "MQA", "MLA", "windows"), (SERIES[7], SERIES[0], SERIES[2], SERIES[3], SERIES[4]), strict=True)
)
NODE = ("H100 SXM5", 8)


@keep
def _multi_head_bytes():
    """Bytes a token that each model would keep with keys and values of its own for every head."""
    found = []
    for name in KEPT:
        m = model(name)
        key = m.head_values - (m.qk_rope_values or 0)  # places are turned in values of a latent's own: others turn keys
        values = (key + (m.v_head_values or m.head_values)) / 2  # of a key and of a value
        found.append(memory.kv_cache_bytes(1, layers=m.layers, kv_heads=m.heads, head_values=values, value_bytes=2))
    return np.array(found)


@keep
def _cache_grid(contexts):
    """(bytes a token, sequences that fit), each with a row for a context and a column for a model."""
    kept, fits, tokens = [], [], np.array(contexts)
    for name in KEPT:
        m, plan, on = serving_of(NODE[0], name, RELEASED.get(name, "bf16"), NODE[1])
        kept.append(serving_rows(m, Serving(context=tokens))["cache"] / tokens)
        fits.append(requests.largest_batch(m, plan, on, context=tokens))
    return np.array(kept, dtype=float).T, np.array(fits, dtype=float).T


def _cache_table(context):
    contexts = CONTEXTS if context in CONTEXTS else (round(context),)
    kept, fits = (grid[contexts.index(round(context))] for grid in _cache_grid(contexts))
    return stack(
        model={
            "model": list(KEPT),
            "form": [f for _, f in KEPT.values()],
            "bytes_per_token": kept,
            "multi_head_bytes_per_token": _multi_head_bytes(),
            "sequences": fits,
        },
        here={"context": round(context)},
    )


def _cache_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = panel(figure, 0.285, 0.1, 0.745, 0.90)
    x_axis(ax, "cache for each token of the context", 1e3, 1e7, log="B")
    y_axis(ax, "", len(KEPT) - 0.45, -0.55, ticks=())
    y, across = np.arange(len(KEPT)), ax.get_yaxis_transform()
    colours = [FORMS[form] for _, form in KEPT.values()]
    ax.hlines(y, 1e3, 1e7, color="#EAEAEA", lw=0.8, zorder=1)
    ax.plot(_multi_head_bytes(), y, "o", mfc="white", mec="#777777", ms=8, mew=1.2, zorder=2)
    for i, (name, (how, _)) in enumerate(KEPT.items()):
        ax.text(-0.02, i - 0.17, name, transform=across, ha="right", va="center", fontsize=9.5)
        ax.text(-0.02, i + 0.22, how, transform=across, ha="right", va="center", fontsize=8.5, color=colours[i])
    for x, title in ((1.19, "per token"), (1.53, "sequences beside\nthe weights on\n8 x H100")):
        ax.text(x, -0.62, title, transform=across, ha="right", va="bottom", fontsize=9, color=GREY)
    figure.text(0.012, 0.93, "○ with multi-head attention", va="top", fontsize=9, color=GREY)

    def kept(table):
        return pick(table, "model", "bytes_per_token")

    def places(table):
        return np.column_stack([kept(table), y])

    def rooms(table):
        fits = pick(table, "model", "sequences")
        words = [plain(count, 3) if count else "does not fit" for count in fits]
        return words, 1.53, y, [COLOUR["total"] if count else GREY for count in fits]

    beside = {"of": "row", "align": "right", "size": 9.5}
    return updating(
        live(ax.scatter, [], [], s=75, zorder=3, facecolors=lambda table: colours, offsets=places),
        labels(ax, lambda table: ([si(value, "B", 3) for value in kept(table)], 1.19, y), **beside),
        labels(ax, rooms, **beside),
        told(figure, lambda table: f"Sequences of {plural(row(table).context, 'token')}", "head"),
    )


def _cache_summary(table):
    names, kept, fits, whole = pick(
        table, "model", "model", "bytes_per_token", "sequences", "multi_head_bytes_per_token"
    )
    most, least, saved = np.argmax(kept), np.argmin(kept), whole / kept
    best = np.argmax(saved)
    return (
        f"At {plural(row(table).context, 'token')} a sequence: {names[most]} keeps {si(kept[most], 'B')} for each token, "
        f"{names[least]} {si(kept[least], 'B')}; {names[best]} keeps {plain(saved[best])} times less than multi-head "
        f"attention of its shape. Most sequences on 8 x H100: {names[np.argmax(fits)]}, {plain(fits.max())}. "
        f"No room for one: {', '.join(names[fits == 0].tolist()) or 'no model'}."
    )


cache = Exhibit(
    slug="09-cache",
    title="What a token leaves behind.",
    caption="Cache for each token of the context in 16 bits, by how a model attends. Circles: the same layers and heads "
    "with keys and values for every head. Right: sequences that fit beside the weights on eight H100.",
    alt="Dots on a logarithmic axis, one for each of eleven models: bytes of cache per token, coloured by attention "
    "form, with a circle at what multi-head attention would keep, and beside them the sequences that fit on eight "
    "H100.",
    controls={"context": Control(label="tokens of each sequence", values=CONTEXTS, start=8192, unit="tokens")},
    table=_cache_table,
    draw=_cache_draw,
    summary=_cache_summary,
)


# ---- 2: design a server ---------------------------------------------------------------------------

FORMATS = {"bf16": "bf16", "fp8": "fp8", "fp4": "nvfp4"}  # as a reader says it, as weights are kept
DESIGNED = tuple(2**i for i in range(10))
WIDEST_S = 0.11  # end of the axis


@keep
def _design_grid(model_name, chip_name, weights):
    """Steps over chips, batches and contexts."""
    dealt = [n if model(model_name).heads % n == 0 else 1 for n in CHIPS]  # heads that cannot be: no step is asked for
    serving = serving_of(chip_name, model_name, FORMATS[weights], np.array(dealt)[:, None, None])
    return step_of(serving, np.array(DESIGNED, dtype=float)[:, None], np.array(CONTEXTS, dtype=float))


def _design_table(model_name, chip_name, weights, chips, batch, context, target_s):
    chips, batch, context = round(chips), round(batch), round(context)
    serving = m, plan, on = serving_of(chip_name, model_name, FORMATS[weights], chips)
    dealt = m.heads % chips == 0
    if chips in CHIPS and batch in DESIGNED and context in CONTEXTS:
        at = CHIPS.index(chips), DESIGNED.index(batch), CONTEXTS.index(context)
        steps = {name: v[at] for name, v in _design_grid(model_name, chip_name, weights).items()}
    elif dealt:
        steps = {name: float(v) for name, v in step_of(serving, batch, context).items()}
    if not dealt:
        steps = dict.fromkeys(("step_s", *PARTS), np.nan)
    used = {"weights": np.nan, "cache": np.nan, "other": np.nan}
    if dealt:
        sizes = Serving(tp=chips, batch=batch, context=context, weight_bytes=bytes_per_value(plan.weight_format))
        rows = serving_rows(m, sizes)
        used = {
            "weights": rows["weights"],
            "cache": rows["cache"],
            "other": footprint.total_bytes(rows) - rows["weights"] - rows["cache"],
        }
    return stack(
        part={"part": list(PARTS), "seconds": np.array([steps[p] for p in PARTS], dtype=float)},
        memory={"part": list(used), "bytes": np.array(list(used.values()), dtype=float)},
        here={
            "model": model_name,
            "chip": chip_name,
            "format": weights,
            "chips": chips,
            "batch": batch,
            "context": context,
            "target_s": target_s,
            "step_s": steps["step_s"],
            "heads": m.heads,
            "available_bytes": requests.HELD_BACK * on.memory_bytes,
            "tokens_per_s_per_chip": batch / steps["step_s"] / chips,
        },
    )


MEMORY_COLOUR = {"weights": COLOUR["memory"], "cache": COLOUR["cache"], "other": COLOUR["idle"]}


def _verdict(table):
    """What became of the target, in words, and a colour for it."""
    here, bad = row(table), COLOUR["compute"]
    if np.isnan(here.step_s):
        return f"{plain(here.heads)} heads cannot be dealt to {plural(here.chips, 'chip')}", bad
    used = pick(table, "memory", "bytes").sum()
    if used > here.available_bytes:
        return f"does not fit: {plain(used / here.available_bytes)} times the memory there is", bad
    if here.step_s <= here.target_s:
        spare = plain(100 * (1 - here.step_s / here.target_s), 2)
        return f"meets {si(here.target_s, 's')}, with {spare} % to spare", COLOUR["network"]
    return f"misses {si(here.target_s, 's')}: {plain(here.step_s / here.target_s)} times as long", bad


def _ink(table):
    """Grey where the server does not fit, so that none of its numbers is one to be had."""
    used = pick(table, "memory", "bytes").sum()
    return GREY if used > row(table).available_bytes else COLOUR["total"]


def _design_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax, room = panel(figure, 0.03, 0.605, 0.96, 0.84), panel(figure, 0.50, 0.10, 0.97, 0.165)
    x_axis(ax, "", 0, WIDEST_S, unit="s", ticks=np.arange(0, 0.101, 0.02))
    x_axis(room, "", 0, 1.25, ticks=HALVES)
    for each in (ax, room):
        y_axis(each, "", 0, 1, ticks=())
        each.spines["left"].set_visible(False)
    room.axvline(1, color=COLOUR["total"], lw=2)
    places = np.linspace(0.475, 0.235, len(PARTS))
    key(figure, dict(PARTS.values()), 0.03, places[0], down=places[0] - places[1], size=10)
    figure.text(0.03, 0.165, "step", va="center", weight="bold")
    titles = {"tokens/s of each user": 0.475, "tokens/s of a chip": 0.415, "tokens/s of all chips": 0.355}
    titles["memory of a chip"] = 0.225
    for title, y in titles.items():
        figure.text(0.50, y, title, va="center", color=GREY)

    def parts(table):
        return np.array([0.42]), np.nan_to_num(pick(table, "part", "seconds"))[:, None]

    def filled(table):
        return np.array([0.5]), np.nan_to_num(pick(table, "memory", "bytes"))[:, None] / row(table).available_bytes

    def cells(table):
        """The table's words, none if the model cannot be dealt so."""
        here, seconds, used = row(table), pick(table, "part", "seconds"), pick(table, "memory", "bytes").sum()
        rates = np.array([1 / here.step_s / here.tokens_per_s_per_chip, 1, here.chips]) * here.tokens_per_s_per_chip
        words = [f"{plain(s * 1e3)} ms" for s in seconds] + [f"{100 * s / here.step_s:.0f} %" for s in seconds]
        words += [plain(rate) for rate in rates] + [f"{si(used, 'B')} of {si(here.available_bytes, 'B')}"]
        shown = words if np.isfinite(here.step_s) else [""] * len(words)
        x, y = np.repeat([0.30, 0.39, 0.97], [5, 5, 4]), [*places, *places, *titles.values()]
        return shown, x, y, [_ink(table)] * len(words)

    def whole(table):
        return f"{plain(row(table).step_s * 1e3)} ms" if np.isfinite(row(table).step_s) else ""

    def beyond(table):
        step_s = row(table).step_s
        return f"bar cut off, it ends at {si(step_s, 's')}" if step_s > WIDEST_S else ""

    def target(table):
        return row(table).target_s

    def head(table):
        words = _verdict(table)[0]
        return words[0].upper() + words[1:]

    over = {"ha": "center", "va": "bottom", "fontsize": 9.5}
    return updating(
        stacked(ax, [colour for _, colour in PARTS.values()], parts, thick=0.62, most=WIDEST_S),
        upright(ax, target, color=COLOUR["total"], lw=2.4),
        text(ax, target, 1.02, lambda table: f"target {si(target(table), 's')}", **over),
        text(figure, 0.97, 0.96, beyond, ha="right", va="top", color=GREY, fontsize=9.5),
        text(figure, 0.03, 0.965, head, va="top", fontsize=12.5, weight="bold", color=lambda table: _verdict(table)[1]),
        labels(ax, cells, of="figure", align="right", size=10),
        text(figure, 0.30, 0.165, whole, va="center", ha="right", weight="bold", color=_ink),
        stacked(room, MEMORY_COLOUR.values(), filled, thick=0.8, most=1.25),
    )


def _design_summary(table):
    here = row(table)
    text = (
        f"{here.model}, weights in {here.format}, on {plain(here.chips)} x {here.chip}, batch {plain(here.batch, 4)}, "
        f"{plural(here.context, 'token')} in each cache: {_verdict(table)[0]}"
    )
    if np.isnan(here.step_s):
        return f"{text}."
    seconds, used = pick(table, "part", "seconds"), pick(table, "memory", "bytes").sum()
    most, share = list(PARTS)[np.argmax(seconds)], plain(100 * seconds.max() / here.step_s, 2)
    step = "A step" if used <= here.available_bytes else "If it fitted: a step"
    return (
        f"{text}. {step} of {si(here.step_s, 's')}, its largest part {PARTS[most][0]}, {share} %; "
        f"{plain(here.tokens_per_s_per_chip)} tokens/s of each chip; {si(used, 'B')} of {si(here.available_bytes, 'B')} of a "
        "chip's memory."
    )


design = Exhibit(
    slug="09-design",
    title="Design a server.",
    caption="The decode step of a server of your choice, split by who owns it, against a target. Tensor parallelism "
    "over all chips; the cache in 16 bits; a tenth of the memory held back.",
    alt="One long horizontal bar of a step's time in milliseconds, split into weights, cache, exchange, arithmetic "
    "and fixed times, with a vertical line at the target; below, the parts in numbers, tokens per second, and how "
    "full the memory is.",
    controls={
        "model_name": Control(label="model", values=MODELS, start="Llama-3-70B"),
        "chip_name": Control(label="chip", values=GPUS, start="H100 SXM5"),
        "weights": Control(label="weights", values=tuple(FORMATS), start="fp8"),
        "chips": Control(label="chips", values=CHIPS, start=8),
        "batch": Control(label="batch", values=DESIGNED, start=64),
        "context": Control(label="tokens in each cache", values=CONTEXTS, start=8192, unit="tokens"),
        "target_s": Control(label="target", values=tuple(i / 1000 for i in range(5, 101, 5)), start=0.02, unit="s"),
    },
    table=_design_table,
    draw=_design_draw,
    summary=_design_summary,
)
