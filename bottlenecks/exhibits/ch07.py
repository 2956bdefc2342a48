"""Figures of chapter 07, Why is decoding slow?"""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, FITTED_DOT, LINE, MARKERS, SERIES, against_measured, axis_in
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import bytes_per_value, chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import memory, serving, shares
from bottlenecks.measured import scores
from bottlenecks.models import footprint, inference, ops, requests
from bottlenecks.models.machine import RESOURCES, machine

GREY = "#6E6E6E"  # of words: dark enough to read
MODELS = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B", "DeepSeek-V3")
GPUS = ("A100 SXM 80GB", "H100 SXM5", "H200 SXM", "B200 SXM (HGX)")
RELEASED = {"DeepSeek-V3": "fp8", "gpt-oss-120b": "mxfp4"}  # format of the weights, where not bf16
CHIPS = (1, 2, 4, 8, 16, 32, 64)
CONTEXTS = tuple(2**i for i in range(9, 18))
OWNED = RESOURCES  # who owns a second; here waiting for a wire belongs to the exchange
OWNERS = {
    "memory": f"{OWNED['memory']} {OWNED['cache']}",
    "compute": OWNED["compute"],
    "network": f"{OWNED['network']} /waits",
    "latency": OWNED["latency"].replace(" waits", ""),
}
PARTS = {  # of a step: words, colour
    "weights": ("weights", COLOUR["memory"]),
    "cache": ("cache", COLOUR["cache"]),
    "exchange": ("exchange", COLOUR["network"]),
    "arithmetic": ("arithmetic", COLOUR["compute"]),
    "fixed": ("fixed times", COLOUR["latency"]),
}


def _serving(chip_name, model_name, weight_format, tp):
    """(model, plan, server): weights of a format over `tp` chips, multiplied in it if the chip can."""
    device = chip(chip_name)
    narrow = {"fp8": "fp8", "nvfp4": "fp4"}.get(weight_format, "bf16")
    head = None if weight_format == "bf16" else "bf16"
    plan = inference.Plan(tp=tp, weight_format=weight_format, head_format=head)
    return (model(model_name), plan, machine(device, narrow if narrow in device.peaks else "bf16"))


def _step(serving, batch, context):
    """Seconds of a decode step, whole and by part: each is its share (eq:shares) of the whole."""
    m, plan, on = serving
    at = {"batch": batch, "context": context}

    def attention_s(server):
        return inference.attention_s(m, plan, server, batch=batch, queries=1, keys=context)

    whole = inference.decode(m, plan, on, **at).seconds
    share = shares.shares(lambda s: inference.decode(m, plan, s, **at).seconds, on, OWNERS)
    attending = attention_s(on)
    cached = shares.shares(attention_s, on, {"memory": OWNERS["memory"]})["memory"] * attending
    found = {
        "step_s": whole,
        "weights": share["memory"] * whole - cached,
        "cache": cached,
        "exchange": share["network"] * whole,
        "arithmetic": share["compute"] * whole,
        "fixed": share["latency"] * whole,
    }
    shape = np.broadcast_shapes(*(np.shape(v) for v in found.values()))
    return {name: np.broadcast_to(value, shape) for name, value in found.items()}


def _floor_s(model_name, weight_format, chip_name, chips):
    """eq:latency-floor, with the weights that the ledger of one token reads."""
    m, plan, on = _serving(chip_name, model_name, weight_format, 1)
    read = ops.total(inference.rows(m, plan, on, batch=1, queries=1, keys=2), "weight_bytes")
    return serving.latency_floor_s(read, chips=chips, bytes_per_s=chip(chip_name).memory_bytes_per_s)


def _tokens(count):
    return f"{plain(count, 6)} tokens"


def _chips(count):
    return f"{plain(count, 4)} chip{'s' * int(count != 1)}"


def _powers_axis(ax, ticks, pad=1.12):
    ax.set(xscale="log", xlim=(ticks[0] / pad, ticks[-1] * pad))
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()


# ---- 1: the floor ---------------------------------------------------------------------------------

ONE_USER = 2048  # tokens in the cache


@keep
def _floor_lines(model_name, chip_name):
    heads = model(model_name).heads
    chips = np.array([n for n in CHIPS if n <= heads])
    form = RELEASED.get(model_name, "bf16")
    serving = _serving(chip_name, model_name, form, chips)
    m, plan, on = serving
    fits = requests.largest_batch(m, plan, on, context=ONE_USER) >= 1
    return {
        "chips": chips,
        "floor_s": _floor_s(model_name, form, chip_name, chips),
        "fits": fits.astype(float),
    } | _step(serving, 1, ONE_USER)


def _floor_table(model_name, chip_name, chips):
    lines = _floor_lines(model_name, chip_name)
    possible = chips <= lines["chips"][-1]
    here = {
        name: np.exp(np.interp(np.log(chips), np.log(lines["chips"]), np.log(lines[name]))) if possible else np.nan
        for name in ("floor_s", "step_s")
    }
    return stack(
        line=lines,
        here={
            "chips": chips,
            **here,
            "model": model_name,
            "chip": chip_name,
            "format": RELEASED.get(model_name, "bf16"),
        },
    )


def _floor_draw(figure):
    figure.set_size_inches(7.6, 5.8)
    top = figure.add_axes([0.125, 0.40, 0.67, 0.575])
    low = figure.add_axes([0.125, 0.09, 0.67, 0.245])
    for ax in (top, low):
        _powers_axis(ax, CHIPS, 1.14)
    top.set(yscale="log", ylim=(4e-5, 0.7), ylabel="time of a token")
    top.set_xticklabels([])
    axis_in(top.yaxis, "s")
    low.set(ylim=(0, 1), xlabel="chips that share the weights", ylabel="share of the step")
    low.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    shades = [ax.axvspan(0.5, 0.5, color="#EFEFEF", lw=0, zorder=0) for ax in (top, low)]
    no_room = top.text(0.93, 5.2e-5, "", color=GREY, fontsize=9, va="bottom")
    (step,) = top.plot([], [], color=COLOUR["total"], lw=2.2, marker="o", ms=4)
    (floor,) = top.plot([], [], color=COLOUR["memory"], lw=2.0, ls="--", marker="o", ms=3)
    words = [
        top.text(1, 1, w, color=c, va="center", fontsize=9.5, clip_on=False)
        for w, c in (("step", COLOUR["total"]), ("floor", COLOUR["memory"]))
    ]
    (least,) = top.plot([], [], "v", ms=9, color=COLOUR["highlight"], mec="black", mew=0.7)
    stops = top.text(1, 1, "", va="top", fontsize=9, color=GREY)
    told = top.text(
        0.99,
        0.985,
        "",
        transform=top.transAxes,
        ha="right",
        va="top",
        linespacing=1.45,
        bbox={"fc": "white", "ec": "none", "pad": 2},
    )
    marks = [ax.axvline(1, color=COLOUR["highlight"], lw=1.6, zorder=1) for ax in (top, low)]
    names = [
        low.text(1.02, y, f"■ {word}", color=colour, transform=low.transAxes, va="center", fontsize=9.5)
        for y, (word, colour) in zip((0.92, 0.71, 0.5, 0.29, 0.08), reversed(PARTS.values()), strict=True)
    ]
    bands = {}

    def update(table):
        columns = pick(table, "line", "chips", "step_s", "floor_s", "fits")
        chips, step_s, floor_s, fits = columns
        step.set_data(chips, step_s)
        floor.set_data(chips, floor_s)
        for word, line in zip(words, (step_s, floor_s), strict=True):
            word.set_position((chips[-1] * 1.14, line[-1]))
        best = np.nanargmin(step_s)
        least.set_data([chips[best]], [step_s[best] * 1.28])
        stops.set_text("" if best == chips.size - 1 else "more chips\nstop helping")
        stops.set_position((chips[best] * 1.07, step_s[best] / 1.2))
        end = chips[fits > 0][0] / 2**0.5 if fits[0] == 0 else 0.5
        for shade in shades:
            shade.set(x=0.5, width=end - 0.5)
        no_room.set_text("weights do\nnot fit" if end > 1.5 else "no\nroom" if end > 1 else "")
        for old in bands.values():
            old.remove()
        base = np.zeros(chips.size)
        for part, (_, colour) in PARTS.items():
            share = pick(table, "line", part) / step_s
            bands[part] = low.fill_between(chips, base, base + share, color=colour, lw=0)
            base = base + share
        n, seconds, bound = (one(table, "here", c) for c in ("chips", "step_s", "floor_s"))
        for mark in marks:
            mark.set_xdata([n, n])
        if np.isfinite(seconds):
            text = (
                f"{_chips(n)}: step {si(seconds, 's')}, floor {si(bound, 's')}\n"
                f"fastest with {_chips(chips[best])}: {si(step_s[best], 's')}"
            )
        else:
            text = f"{chips[-1]} heads can not be dealt to {_chips(n)}"
        told.set_text(text)
        return [step, floor, *words, least, stops, *shades, no_room, *bands.values(), *marks, told, *names]

    return update


def _floor_summary(table):
    chips, step_s, floor_s, fits = pick(table, "line", "chips", "step_s", "floor_s", "fits")
    n, seconds, bound, name, on, form = (
        one(table, "here", c) for c in ("chips", "step_s", "floor_s", "model", "chip", "format")
    )
    best = np.argmin(step_s)
    here = (
        f"on {_chips(n)} a token takes {si(seconds, 's')}, {plain(seconds / bound)} times the floor of {si(bound, 's')}"
        if np.isfinite(seconds)
        else f"its {chips[-1]} heads can not be dealt to {_chips(n)}"
    )
    part = max(PARTS, key=lambda p: pick(table, "line", p)[best])
    room = "" if fits[0] else f" The weights need {_chips(chips[fits > 0][0])} of these." if fits.any() else ""
    return (
        f"{name} in {form}, one user, {_tokens(ONE_USER)} in the cache, {on}: {here}. Fastest with "
        f"{_chips(chips[best])}, {si(step_s[best], 's')}, {plain(step_s[best] / floor_s[best])} times the floor there; its largest "
        f"part: {PARTS[part][0]}.{room}"
    )


floor = Exhibit(
    slug="07-floor",
    title="One user, more chips.",
    caption="Least time of a token (dashed: the weights that a token uses, read once by all chips together at the datasheet's "
    "bandwidth) and the modelled decode step of one user, with tensor parallelism over more and more chips; below, who owns the "
    "step. Weights are in 16 bits, DeepSeek-V3's in fp8 as released. Activations are counted with the weights. The triangle: "
    "beyond it, more chips make a token slower.",
    alt="Two panels over the number of chips on a logarithmic axis: above, the floor falls in proportion while the step's time falls, "
    "flattens and rises; below, stacked shares of the step by weights, cache, exchange, arithmetic and fixed times.",
    controls={
        "model_name": Control(label="model", values=MODELS, start="Llama-3-70B"),
        "chip_name": Control(label="chip", values=GPUS, start="H100 SXM5"),
        "chips": Control(label="chips", values=CHIPS, start=8, unit=""),
    },
    table=_floor_table,
    draw=_floor_draw,
    summary=_floor_summary,
)


# ---- 2: the batch ---------------------------------------------------------------------------------

SETUPS = {  # words: model, chip, chips
    "Llama-3-8B on 1 x H100": ("Llama-3-8B", "H100 SXM5", 1),
    "Llama-3-70B on 8 x H100": ("Llama-3-70B", "H100 SXM5", 8),
    "DeepSeek-V3 on 8 x H200": ("DeepSeek-V3", "H200 SXM", 8),
}
BATCHES = tuple(2**i for i in range(11))
SWEPT = 2.0 ** np.arange(0, 10.1, 0.25)
LINES = {  # of the batch's figure: words, colour, dash
    "step_s": ("step", COLOUR["total"], "-"),
    "weights": ("weights", COLOUR["memory"], LINE["memory"]),
    "cache": ("cache", COLOUR["cache"], LINE["cache"]),
    "arithmetic": ("arithmetic", COLOUR["compute"], "-"),
    "rest": ("rest", COLOUR["idle"], LINE["idle"]),
}


def _of_setup(setup):
    name, on, chips = SETUPS[setup]
    return _serving(on, name, RELEASED.get(name, "bf16"), chips)


@keep
def _batch_grid(setup, contexts):
    """Steps over the contexts and the swept batches, and the largest batch at each context."""
    serving, tokens = _of_setup(setup), np.array(contexts, dtype=float)
    m, plan, on = serving
    steps = _step(serving, SWEPT, tokens[:, None])
    steps["rest"] = steps["exchange"] + steps["fixed"]
    return steps, requests.largest_batch(m, plan, on, context=np.floor(tokens))


def _batch_lines(setup, context):
    contexts = CONTEXTS if context in CONTEXTS else (context,)
    steps, room = _batch_grid(setup, contexts)
    at = contexts.index(context)
    return {name: values[at] for name, values in steps.items()}, room[at].item()


def _batch_table(setup, context, batch):
    lines, room = _batch_lines(setup, context)
    lines = {"batch": SWEPT} | {name: lines[name] for name in LINES}
    here = {n: np.exp(np.interp(np.log(batch), np.log(SWEPT), np.log(lines[n]))) for n in LINES}
    lines |= {"user_tokens_per_s": 1 / lines["step_s"], "tokens_per_s": SWEPT / lines["step_s"]}
    here |= {
        "batch": batch,
        "context": context,
        "room": room,
        "setup": setup,
        "user_tokens_per_s": 1 / here["step_s"],
        "tokens_per_s": batch / here["step_s"],
    }
    return stack(line=lines, here=here)


def _above_each_other(heights, gap):
    """Heights of labels on an axis from 0 to 1, moved apart to at least `gap`, none above 1."""
    placed = np.array(heights, dtype=float)
    order = np.argsort(-placed, kind="stable")
    ceiling = 1.0
    for i in order:
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed


def _fraction(ax, y):
    """Heights on a logarithmic axis as fractions of it, kept within it."""
    low, high = np.log(ax.get_ylim())
    return np.clip((np.log(y) - low) / (high - low), 0.03, 1)


def _batch_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    top = figure.add_axes([0.13, 0.47, 0.71, 0.48])
    low = figure.add_axes([0.13, 0.085, 0.71, 0.345])
    for ax in (top, low):
        _powers_axis(ax, BATCHES)
    top.set(yscale="log", ylim=(1e-4, 10), ylabel="time of a decode step")
    top.set_xticklabels([])
    axis_in(top.yaxis, "s")
    low.set(yscale="log", ylim=(0.1, 3e5), xlabel="sequences at once (batch)", ylabel="tokens a second")
    low.set_yticks([1, 10, 100, 1000, 1e4, 1e5], ["1", "10", "100", "1,000", "10,000", "100,000"])
    low.tick_params(axis="y", which="minor", length=0)
    shades = [ax.axvspan(2e3, 2e3, color="#E9E9E9", lw=0, zorder=0) for ax in (top, low)]
    full = low.text(0, 2e5, "", color=GREY, fontsize=9, va="top", ha="right", bbox={"ec": "none", "pad": 1})
    lines = {n: top.plot([], [], color=c, ls=d, lw=2.4 if n == "step_s" else 1.7)[0] for n, (_, c, d) in LINES.items()}
    ends = {
        n: top.text(1.015, 0, w, color=GREY if n == "rest" else c, va="center", fontsize=9.5, transform=top.transAxes)
        for n, (w, c, _) in LINES.items()
    }
    rates = {
        "tokens_per_s": ("in all", COLOUR["total"], "-"),
        "user_tokens_per_s": ("each user", COLOUR["total"], "--"),
    }
    speeds = {n: low.plot([], [], color=c, ls=d)[0] for n, (_, c, d) in rates.items()}
    labels = {
        n: low.text(1.015, 0, w, color=c, va="center", fontsize=9.5, transform=low.transAxes)
        for n, (w, c, _) in rates.items()
    }
    marks = [ax.axvline(1, color=COLOUR["highlight"], lw=1.6, zorder=1) for ax in (top, low)]
    told = top.text(0, 1.025, "", transform=top.transAxes, va="bottom")

    def update(table):
        x = pick(table, "line", "batch")
        for ax, group, names in ((top, lines, ends), (low, speeds, labels)):
            columns = {n: pick(table, "line", n) for n in group}
            heights = _fraction(ax, np.array([c[-1] for c in columns.values()]))
            for n, height in zip(group, _above_each_other(heights, 0.065), strict=True):
                group[n].set_data(x, columns[n])
                names[n].set_y(height)
        n, room, step_s, user, every = (
            one(table, "here", c) for c in ("batch", "room", "step_s", "user_tokens_per_s", "tokens_per_s")
        )
        begins = min(max(room, 0.5), 2e3)
        for shade in shades:
            shade.set(x=begins, width=2e3 - begins)
        inside = begins < 200
        full.set(
            text="" if room > SWEPT[-1] else "memory is full" if inside else "beyond, memory is full",
            x=1060 if inside else begins * 0.96,
        )
        full.get_bbox_patch().set_facecolor("#E9E9E9" if inside else "white")
        for mark in marks:
            mark.set_xdata([n, n])
        told.set_text(
            f"batch {plain(n, 4)}: {si(step_s, 's')}, {plain(user)} tokens/s each, {plain(every)} in all"
            + (f"; room for {plain(room, 6)}" if n > room else "")
        )
        return [*lines.values(), *ends.values(), *speeds.values(), *labels.values(), *shades, full, *marks, told]

    return update


def _batch_summary(table):
    n, context, room, setup, step_s, user, every = (
        one(table, "here", c)
        for c in ("batch", "context", "room", "setup", "step_s", "user_tokens_per_s", "tokens_per_s")
    )
    parts = ", ".join(
        f"{LINES[p][0]} {plain(100 * one(table, 'here', p) / step_s, 2)} %" for p in LINES if p != "step_s"
    )
    fits = "more than are swept fit" if room > SWEPT[-1] else f"{plain(room, 6)} sequences fit"
    return (
        f"{setup}, {_tokens(context)} in each cache, batch {plain(n, 4)}: a step of {si(step_s, 's')}, {plain(user)} tokens/s "
        f"for each user, {plain(every)} in all. Of the step: {parts}. In memory {fits}."
    )


batch = Exhibit(
    slug="07-batch",
    title="What a larger batch buys.",
    caption="Above: time of a decode step against the sequences that share it, and the parts of it that belong to reading "
    "weights (with activations), reading the cache, arithmetic, and the rest: exchange and fixed times. Below: tokens a second "
    "of each user and of all. Shaded: the cache of so many sequences does not fit beside the weights, with a tenth of the "
    "memory held back. 16-bit weights and cache; DeepSeek-V3's weights in fp8. Several chips: tensor parallel. Arithmetic goes up in "
    "stairs, since a kernel's tiles do (chapter 04).",
    alt="Two panels over the batch, logarithmic: the time of a step, flat and then rising, with lines for weights, cache, "
    "arithmetic and rest; and tokens a second of all users, rising, and of each user, falling.",
    controls={
        "setup": Control(label="model and chips", values=tuple(SETUPS), start="Llama-3-70B on 8 x H100"),
        "context": Control(label="tokens in each cache", values=CONTEXTS, start=2048, unit="tokens"),
        "batch": Control(label="batch", values=BATCHES, start=16),
    },
    table=_batch_table,
    draw=_batch_draw,
    summary=_batch_summary,
)


# ---- 3: the cache ---------------------------------------------------------------------------------

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
    "gpt-oss-120b": ("windows in half", "windows"),
    "Mistral-7B-v0.1": ("windows in all", "windows"),
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
        values = (m.head_values + (m.v_head_values or m.head_values)) / 2  # of a key and of a value
        found.append(memory.kv_cache_bytes(1, layers=m.layers, kv_heads=m.heads, head_values=values, value_bytes=2))
    return np.array(found)


@keep
def _cache_grid(contexts):
    """(bytes a token, sequences that fit), each with a row for a context and a column for a model."""
    kept, fits, tokens = [], [], np.array(contexts)
    for name in KEPT:
        m, plan, on = _serving(NODE[0], name, RELEASED.get(name, "bf16"), NODE[1])
        kept.append(cache.serving_rows(m, cache.Serving(context=tokens))["cache"] / tokens)
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
    ax = figure.add_axes([0.285, 0.1, 0.46, 0.80])
    ax.set(xscale="log", xlim=(1e3, 1e7), ylim=(len(KEPT) - 0.45, -0.55), xlabel="cache for each token of the context")
    axis_in(ax.xaxis, "B")
    ax.set_yticks([])
    ax.grid(False, axis="y")
    y = np.arange(len(KEPT))
    colours = [FORMS[form] for _, form in KEPT.values()]
    across = ax.get_yaxis_transform()
    ax.barh(y, _multi_head_bytes(), left=0, height=0.7, fc="none", ec="#777777", lw=1, ls=(0, (3, 2)))
    bars = ax.barh(y, np.full(y.size, 1e3), height=0.7, color=colours)
    for i, (name, (how, _)) in enumerate(KEPT.items()):
        ax.text(-0.02, i - 0.17, name, transform=across, ha="right", va="center", fontsize=9.5)
        ax.text(-0.02, i + 0.22, how, transform=across, ha="right", va="center", fontsize=8, color=colours[i])
    beside = {"transform": across, "ha": "right", "va": "center", "fontsize": 9.5}
    amounts = [ax.text(1.19, i, "", **beside) for i in y]
    rooms = [ax.text(1.53, i, "", **beside) for i in y]
    for x, title in ((1.19, "a token"), (1.53, "sequences beside\nthe weights on\n8 x H100")):
        ax.text(x, -0.62, title, transform=across, ha="right", va="bottom", fontsize=9, color=GREY)
    told = figure.text(0.012, 0.975, "", va="top")
    figure.text(0.012, 0.93, "dashed: with multi-head attention", va="top", fontsize=9, color=GREY)

    def update(table):
        kept, fits = pick(table, "model", "bytes_per_token", "sequences")
        for bar, amount, room, value, count in zip(bars, amounts, rooms, kept, fits, strict=True):
            bar.set_width(value)
            amount.set_text(si(value, "B", 3))
            room.set_text(plain(count, 3) if count else "does not fit")
            room.set_color(COLOUR["total"] if count else GREY)
        told.set_text(f"Sequences of {_tokens(one(table, 'here', 'context'))}")
        return [*bars, *amounts, *rooms, told]

    return update


def _cache_summary(table):
    names, kept, fits, whole = pick(
        table, "model", "model", "bytes_per_token", "sequences", "multi_head_bytes_per_token"
    )
    most, least = np.argmax(kept), np.argmin(kept)
    saved = whole / kept
    best = np.argmax(saved)
    none = names[fits == 0].tolist()
    return (
        f"At {_tokens(one(table, 'here', 'context'))} a sequence: {names[most]} keeps {si(kept[most], 'B')} for each token, "
        f"{names[least]} {si(kept[least], 'B')}; {names[best]} keeps {plain(saved[best])} times less than multi-head "
        f"attention of its shape. Most sequences on 8 x H100: {names[np.argmax(fits)]}, {plain(fits.max())}. "
        f"No room for one: {', '.join(none) or 'no model'}."
    )


cache = Exhibit(
    slug="07-cache",
    title="What a token leaves behind.",
    caption="Bytes of cache for each token of the context in 16 bits, by how a model attends: every head its own keys and values "
    "(multi-head), heads in groups, one pair for all heads, a latent, or windows that forget (averaged over the context). Dashed: the same "
    "layers and heads with multi-head attention and no window. At the right, sequences that fit beside the weights on eight H100 with "
    "tensor parallelism, a tenth of the memory held back: 16-bit weights, DeepSeek-V3's in fp8 and gpt-oss's in four bits. A cache with "
    "fewer heads than chips is copied: multi-query and latent caches lie whole on every chip.",
    alt="Horizontal bars on a logarithmic axis, one for each of eleven models: bytes of cache a token, coloured by attention form, with an "
    "outline of what multi-head attention would keep, and beside each bar the sequences that fit on eight H100.",
    controls={"context": Control(label="tokens of each sequence", values=CONTEXTS, start=8192, unit="tokens")},
    table=_cache_table,
    draw=_cache_draw,
    summary=_cache_summary,
)


# ---- 4: design a server ---------------------------------------------------------------------------

FORMATS = {"bf16": "bf16", "fp8": "fp8", "fp4": "nvfp4"}  # as a reader says it, as weights are kept
DESIGNED = tuple(2**i for i in range(10))
WIDEST_S = 0.11  # end of the axis


@keep
def _design_grid(model_name, chip_name, weights):
    """Steps over chips, batches and contexts."""
    serving = _serving(chip_name, model_name, FORMATS[weights], np.array(CHIPS)[:, None, None])
    return _step(serving, np.array(DESIGNED, dtype=float)[:, None], np.array(CONTEXTS, dtype=float))


def _design_table(model_name, chip_name, weights, chips, batch, context, target_s):
    chips, batch, context = round(chips), round(batch), round(context)
    serving = m, plan, on = _serving(chip_name, model_name, FORMATS[weights], chips)
    dealt = m.heads % chips == 0
    if chips in CHIPS and batch in DESIGNED and context in CONTEXTS:
        at = CHIPS.index(chips), DESIGNED.index(batch), CONTEXTS.index(context)
        steps = {name: v[at] for name, v in _design_grid(model_name, chip_name, weights).items()}
    elif dealt:
        steps = {name: float(v) for name, v in _step(serving, batch, context).items()}
    if not dealt:
        steps = dict.fromkeys(("step_s", *PARTS), np.nan)
    used = {"weights": np.nan, "cache": np.nan, "other": np.nan}
    if dealt:
        sizes = cache.Serving(tp=chips, batch=batch, context=context, weight_bytes=bytes_per_value(plan.weight_format))
        rows = cache.serving_rows(m, sizes)
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
    step_s, target_s, heads, chips, available = (
        one(table, "here", c) for c in ("step_s", "target_s", "heads", "chips", "available_bytes")
    )
    if np.isnan(step_s):
        return f"{plain(heads)} heads can not be dealt to {_chips(chips)}", COLOUR["compute"]
    used = pick(table, "memory", "bytes").sum()
    if used > available:
        return f"does not fit: {plain(used / available)} times the memory there is", COLOUR["compute"]
    if step_s <= target_s:
        return (
            f"meets {si(target_s, 's')}, with {plain(100 * (1 - step_s / target_s), 2)} % to spare",
            COLOUR["network"],
        )
    return f"misses {si(target_s, 's')}: {plain(step_s / target_s)} times as long", COLOUR["compute"]


def _design_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = figure.add_axes([0.03, 0.605, 0.93, 0.235])
    ax.set(xlim=(0, WIDEST_S), ylim=(0, 1), yticks=())
    axis_in(ax.xaxis, "s")
    ax.set_xticks(np.arange(0, 0.101, 0.02))
    ax.spines["left"].set_visible(False)
    bars = {p: ax.barh(0.42, 0, height=0.62, color=c)[0] for p, (_, c) in PARTS.items()}
    goal = ax.axvline(0.02, color=COLOUR["total"], lw=2.4)
    word = ax.text(0.02, 1.02, "target", ha="center", va="bottom", fontsize=9.5, clip_on=False)
    beyond = figure.text(0.97, 0.96, "", ha="right", va="top", color=GREY, fontsize=9.5)
    head = figure.text(0.03, 0.965, "", va="top", fontsize=12.5, weight="bold")
    places = np.linspace(0.475, 0.235, len(PARTS))
    cells = {}
    for (part, (name, colour)), y in zip(PARTS.items(), places, strict=True):
        figure.text(0.03, y, f"■ {name}", color=colour, va="center")
        cells[part] = [figure.text(x, y, "", ha="right", va="center") for x in (0.30, 0.39)]
    figure.text(0.03, 0.165, "step", va="center", weight="bold")
    whole = figure.text(0.30, 0.165, "", ha="right", va="center", weight="bold")
    rates = [
        (figure.text(0.50, y, title, va="center", color=GREY), figure.text(0.97, y, "", ha="right", va="center"))
        for y, title in (
            (0.475, "tokens/s of each user"),
            (0.415, "tokens/s of a chip"),
            (0.355, "tokens/s of all chips"),
        )
    ]
    room = figure.add_axes([0.50, 0.10, 0.47, 0.065])
    room.set(xlim=(0, 1.25), ylim=(0, 1), yticks=())
    room.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    room.spines["left"].set_visible(False)
    held = {p: room.barh(0.5, 0, height=0.8, color=c)[0] for p, c in MEMORY_COLOUR.items()}
    room.axvline(1, color=COLOUR["total"], lw=2)
    filled = figure.text(0.50, 0.225, "", va="center", color=GREY)
    amount = figure.text(0.97, 0.225, "", va="center", ha="right")

    def update(table):
        seconds = np.nan_to_num(pick(table, "part", "seconds"))
        step_s, target_s, user = (one(table, "here", c) for c in ("step_s", "target_s", "batch"))
        ends = np.minimum(np.concatenate([[0], np.cumsum(seconds)]), WIDEST_S)
        for i, (part, bar) in enumerate(bars.items()):
            bar.set(x=ends[i], width=ends[i + 1] - ends[i])
            shown = np.isfinite(step_s)
            cells[part][0].set_text(f"{plain(seconds[i] * 1e3)} ms" if shown else "")
            cells[part][1].set_text(f"{100 * seconds[i] / step_s:.0f} %" if shown else "")
        whole.set_text(f"{plain(step_s * 1e3)} ms" if np.isfinite(step_s) else "")
        beyond.set_text(f"bar cut off, it ends at {si(step_s, 's')}" if step_s > WIDEST_S else "")
        goal.set_xdata([target_s, target_s])
        word.set(x=target_s, text=f"target {si(target_s, 's')}")
        text, colour = _verdict(table)
        head.set(text=text[0].upper() + text[1:], color=colour)
        each = one(table, "here", "tokens_per_s_per_chip")
        values = (1 / step_s, each, each * one(table, "here", "chips"))
        for (_, cell), value in zip(rates, values, strict=True):
            cell.set_text(plain(value) if np.isfinite(value) else "")
        sizes, available = pick(table, "memory", "bytes"), one(table, "here", "available_bytes")
        parts = np.minimum(np.concatenate([[0], np.cumsum(np.nan_to_num(sizes))]) / available, 1.25)
        for i, bar in enumerate(held.values()):
            bar.set(x=parts[i], width=parts[i + 1] - parts[i])
        filled.set_text("memory of a chip")
        amount.set_text(f"{si(sizes.sum(), 'B')} of {si(available, 'B')}" if user and np.isfinite(step_s) else "")
        flat = [c for pair in cells.values() for c in pair]
        return [
            *bars.values(),
            goal,
            word,
            beyond,
            head,
            *flat,
            whole,
            *(c for _, c in rates),
            *held.values(),
            filled,
            amount,
        ]

    return update


def _design_summary(table):
    name, on, form, chips, batch, context, step_s, each, available = (
        one(table, "here", c)
        for c in (
            "model",
            "chip",
            "format",
            "chips",
            "batch",
            "context",
            "step_s",
            "tokens_per_s_per_chip",
            "available_bytes",
        )
    )
    text = (
        f"{name}, weights in {form}, on {plain(chips)} x {on}, batch {plain(batch, 4)}, {_tokens(context)} in each "
        f"cache: {_verdict(table)[0]}"
    )
    if np.isnan(step_s):
        return f"{text}."
    seconds, used = pick(table, "part", "seconds"), pick(table, "memory", "bytes").sum()
    most = list(PARTS)[np.argmax(seconds)]
    return (
        f"{text}. A step of {si(step_s, 's')}, its largest part {PARTS[most][0]}, {plain(100 * seconds.max() / step_s, 2)} %; "
        f"{plain(each)} tokens/s of each chip; {si(used, 'B')} of {si(available, 'B')} of a chip's memory."
    )


design = Exhibit(
    slug="07-design",
    title="Design a server.",
    caption="The decode step of a server of your choice, split by who owns it, against a target. Tensor parallel over all chips; "
    "the cache in 16 bits; weights in fp8 or fp4 are multiplied in that format where the chip can, otherwise widened; the output "
    "head stays in 16 bits. Activations are counted with the weights. A tenth of the memory is held back.",
    alt="One long horizontal bar of a step's time in milliseconds, split into weights, cache, exchange, arithmetic and fixed times, with a "
    "vertical line at the target; below, the parts in numbers, tokens a second, and how full the memory is.",
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


# ---- 5: speculation -------------------------------------------------------------------------------

PAIR = ("Llama-3-70B", "Llama-3-8B")  # the model, and what drafts for it
DRAFTED = np.arange(13)
GUESSED = (0.5, 0.7, 0.9)
GUESSES = tuple(round(0.3 + 0.05 * i, 2) for i in range(14))
ASKED = tuple(2**i for i in range(8))


@keep
def _speculated(batch, acceptances):
    """Tokens a second of each user: a row for each acceptance, a column for each number drafted."""
    m, plan, on = _serving("H100 SXM5", PAIR[0], "bf16", 8)
    seconds = requests.speculative_s(
        m,
        model(PAIR[1]),
        plan,
        on,
        batch=batch,
        context=ONE_USER,
        acceptance=np.array(acceptances)[:, None],
        drafted=DRAFTED,
    )
    return 1 / seconds


def _speculation_table(acceptance, batch):
    fixed, mine = _speculated(batch, GUESSED), _speculated(batch, (acceptance,))[0]
    best = np.argmax(mine)
    return stack(
        **{f"{a:g}": {"drafted": DRAFTED, "tokens_per_s": rate} for a, rate in zip(GUESSED, fixed, strict=True)},
        chosen={"drafted": DRAFTED, "tokens_per_s": mine},
        here={
            "acceptance": acceptance,
            "batch": batch,
            "drafted": DRAFTED[best],
            "tokens_per_s": mine[best],
            "alone_tokens_per_s": mine[0],
        },
    )


def _speculation_draw(figure):
    ax = figure.add_axes([0.085, 0.13, 0.735, 0.76])
    ax.set(
        xlim=(-0.3, 12.3), ylim=(0, 240), xlabel="tokens drafted for each pass", ylabel="tokens a second of each user"
    )
    ax.set_xticks(DRAFTED)
    alone = ax.axhline(0, color=COLOUR["idle"], lw=1.4, ls=LINE["idle"])
    lines = {f"{a:g}": ax.plot([], [], color="#9A9A9A", lw=1.3, marker="o", ms=3)[0] for a in GUESSED}
    (mine,) = ax.plot([], [], color=COLOUR["total"], lw=2.4, marker="o", ms=5)
    (top,) = ax.plot([], [], "D", ms=10, color=COLOUR["highlight"], mec="black", mew=0.8, zorder=4)
    words = [
        ax.text(1.015, 0, w, transform=ax.get_yaxis_transform(), va="center", fontsize=9.5, color=c, weight=b)
        for w, c, b in (
            *((f"{a} taken", GREY, "normal") for a in lines),
            ("", COLOUR["total"], "bold"),
            ("no drafts", GREY, "normal"),
        )
    ]
    told = ax.text(0, 1.03, "", transform=ax.transAxes, va="bottom")

    def update(table):
        rates = {name: pick(table, name, "tokens_per_s") for name in lines}
        for name, line in lines.items():
            line.set_data(DRAFTED, rates[name])
        chosen = pick(table, "chosen", "tokens_per_s")
        mine.set_data(DRAFTED, chosen)
        a, n, best, rate, plainly = (
            one(table, "here", c) for c in ("acceptance", "batch", "drafted", "tokens_per_s", "alone_tokens_per_s")
        )
        alone.set_ydata([plainly, plainly])
        top.set_data([best], [rate])
        ends = np.array([*(r[-1] for r in rates.values()), chosen[-1], plainly])
        twice = [i for i, name in enumerate(lines) if np.isclose(float(name), a)]
        shown = [i for i in range(len(words)) if i not in twice]
        words[3].set_text(f"{a:.3g} taken")
        for i, word in enumerate(words):
            word.set_visible(i in shown)
        heights = 240 * _above_each_other(ends[shown] / 240, 0.052)
        heights += max(0, 5 - heights.min())
        for i, height in zip(shown, heights, strict=True):
            words[i].set_y(height)
        gain = rate / plainly
        told.set_text(
            f"batch {plain(n, 3)}, {a:.3g} of the drafts taken: "
            + (f"best is to draft {int(best)}, {gain:.2f} times as fast" if best else "drafting does not pay")
        )
        return [alone, *lines.values(), mine, top, *words, told]

    return update


def _speculation_summary(table):
    a, n, best, rate, plainly = (
        one(table, "here", c) for c in ("acceptance", "batch", "drafted", "tokens_per_s", "alone_tokens_per_s")
    )
    most = pick(table, "chosen", "tokens_per_s")[-1]
    text = (
        f"it is best to draft {int(best)}: {plain(rate)} tokens/s, {rate / plainly:.2f} times as many"
        if best
        else "drafting does not pay"
    )
    return (
        f"{PAIR[0]} on 8 x H100, {PAIR[1]} drafts, batch {plain(n, 3)}, {a:.3g} of the drafts taken: {plain(plainly)} tokens/s for "
        f"each user without drafts; {text}. With 12 drafts {plain(most)}."
    )


speculation = Exhibit(
    slug="07-speculation",
    title="A small model drafts, the large one checks.",
    caption="Tokens a second of each user when Llama-3-8B drafts some tokens and Llama-3-70B checks them in one pass, both in 16 bits "
    "with tensor parallelism over 8 H100, 2,048 tokens in each cache. A draft is taken with the same chance each, and all after a "
    "refused one are lost. Dotted: no drafts.",
    alt="Lines of tokens a second against the number of drafted tokens from 0 to 12, for three shares of drafts taken and for a chosen one, with "
    "a mark at the best number and a horizontal line without drafts.",
    controls={
        "acceptance": Control(label="share of drafts taken", values=GUESSES, start=0.8),
        "batch": Control(label="batch", values=ASKED, start=1),
    },
    table=_speculation_table,
    draw=_speculation_draw,
    summary=_speculation_summary,
)


# ---- 6: reality -----------------------------------------------------------------------------------

GROUPS = {  # words: groups of rows that `measured.inference` scores together
    "decode, one chip": ("decode, one chip",),
    "decode, many chips": ("decode, many chips",),
    "prefill, one chip": ("prefill, one chip",),
    "prefill, many chips": ("prefill, many chips",),
    "static": ("static, one chip", "static, many chips"),
    "saturated": ("saturated",),
}
LIMITS = {"decode": (2e-3, 0.6), "prefill": (1e-2, 500), "static": (5e-3, 100), "saturated": (5e-6, 3e-2)}
WHAT = {
    "decode": "time of a step",
    "prefill": "time of the prompts",
    "static": "time from start to end",
    "saturated": "time a token, all users together",
}


@keep
def _scored(group):
    """Scored rows of a group: modelled and measured seconds."""
    rows, found = corpus.table("inference"), scores.table("inference")
    fair = np.isin(found["group"], GROUPS[group]) & np.isfinite(found["ratio"])
    fair &= (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    columns = {
        "source": rows["source_id"],
        "role": rows["role"],
        "predicted_s": found["seconds"],
        "measured_s": found["seconds"] / np.where(found["unit"] == "tokens/s", 1 / found["ratio"], found["ratio"]),
        "error": found["ratio"] - 1,
    }
    return {name: values[fair] for name, values in columns.items()}


def _measured_table(group):
    columns = _scored(group)
    shown = ("source", "predicted_s", "measured_s", "error")
    found = {role: {name: columns[name][columns["role"] == role] for name in shown} for role in ("fit", "held-out")}
    return stack(**found, here={"group": group})


def _measured_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    times = figure.add_axes([0.115, 0.385, 0.58, 0.60])
    ratios = figure.add_axes([0.115, 0.085, 0.58, 0.27])
    times.set(xscale="log", yscale="log", ylabel="measured")
    ratios.set(xscale="log", yscale="log", ylim=(0.2, 6), xlabel="predicted", ylabel="measured / predicted")
    fit = against_measured(times, ratios, (1e-7, 1e4))
    beside = {"transform": times.transAxes, "clip_on": False}
    slots = []
    for i in range(5):
        style = {"color": SERIES[i], "marker": MARKERS[i], "ls": "", "ms": 5, "mfc": "none", "mew": 1.1}
        pair = [ax.plot([], [], **style)[0] for ax in (times, ratios)]
        (mark,) = times.plot([], [], **style, **beside)
        word = times.text(1.08, 0.9 - 0.105 * i, "", va="center", fontsize=9.5, linespacing=1.25, **beside)
        slots.append((pair, mark, word))
    times.text(1.03, 0.985, "held out: rows,\nmean error", weight="bold", va="top", **beside)
    greys = [
        (
            times.plot([], [], **FITTED_DOT, **beside)[0],
            times.text(1.08, 0.27 - 0.105 * i, "", va="center", fontsize=9.5, color=GREY, linespacing=1.25, **beside),
        )
        for i in range(2)
    ]
    times.text(1.03, 0.03, "band: within 10 %", fontsize=9.5, color=GREY, **beside)
    what = times.text(0.03, 0.97, "", transform=times.transAxes, va="top", color=GREY)

    def fill(pair, x, y):
        pair[0].set_data(x, y)
        pair[1].set_data(x, y / x)

    def beside_it(mark, word, height, source, errors, note=""):
        mark.set_data(([1.045], [height]) if source else ([], []))
        word.set_y(height)
        word.set_text(f"{source}{note}\n{errors.size:,}, {100 * np.abs(errors).mean():.0f} %" if source else "")

    def update(table):
        kind = one(table, "here", "group").partition(",")[0]
        ends = LIMITS[kind]
        for ax in (times, ratios):
            ax.set_xlim(ends)
        times.set_ylim(ends)
        what.set_text(WHAT[kind])
        sources, x, y, error = pick(table, "held-out", "source", "predicted_s", "measured_s", "error")
        present = np.unique(sources).tolist()
        for i, (pair, mark, word) in enumerate(slots):
            mine = sources == (present[i] if i < len(present) else "none")
            fill(pair, x[mine], y[mine])
            beside_it(mark, word, 0.83 - 0.115 * i, present[i] if mine.any() else "", error[mine])
        sources, x, y, error = pick(table, "fit", "source", "predicted_s", "measured_s", "error")
        fill(fit, x, y)
        present = np.unique(sources).tolist()
        for i, (mark, word) in enumerate(greys):
            mine = sources == (present[i] if i < len(present) else "none")
            beside_it(mark, word, 0.265 - 0.115 * i, present[i] if mine.any() else "", error[mine], ", fitted")
        return [
            *fit,
            *(a for pair, mark, word in slots for a in (*pair, mark, word)),
            *(a for g in greys for a in g),
            what,
        ]

    return update


def _measured_summary(table):
    def by_source(role):
        sources, error = pick(table, role, "source", "error")
        return {s: 100 * np.abs(error[sources == s]).mean() for s in np.unique(sources).tolist()}

    held, fitted = by_source("held-out"), by_source("fit")
    count = pick(table, "held-out", "error").size
    text = ", ".join(f"{s} {e:.0f} %" for s, e in held.items())
    return (
        f"{one(table, 'here', 'group')}: {count} held-out rows of {len(held)} sources, mean absolute error {text}; "
        f"{np.mean(list(held.values())):.0f} % a source."
        + (f" Fitted: {', '.join(f'{s} {e:.0f} %' for s, e in fitted.items())}." if fitted else "")
    )


measured = Exhibit(
    slug="07-measured",
    title="Does it hold?",
    caption="Measurements of inference in the corpus against the model of this chapter: decode steps and prompts on one chip and on many, whole "
    "requests from start to end (static), and servers whose requests never run out (saturated; their rates are drawn as the time a "
    "token). In colour, sources that no constant was fitted on; grey, those that the constants of serving came from.",
    alt="Log-log scatter of measured against predicted times, and below it their ratio, with a band of ten percent; a marker for each "
    "held-out source, fitted rows small and grey.",
    controls={"group": Control(label="measurements", values=tuple(GROUPS), start="decode, one chip")},
    table=_measured_table,
    draw=_measured_draw,
    summary=_measured_summary,
    rescales=True,
)
