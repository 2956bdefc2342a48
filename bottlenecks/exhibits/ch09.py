"""Figures of chapter 09, Why is decoding slow?"""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits import against
from bottlenecks.exhibits.axes import HALVES, counts, panel, x_axis, y_axis
from bottlenecks.exhibits.labels import beside, end_labels, key, text, told
from bottlenecks.exhibits.marks import HERE, Mark, curve, diamond, level, line, span, stacked_areas, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, LINE, SERIES
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import serving, shares
from bottlenecks.measured import scores
from bottlenecks.models import inference, ops, requests
from bottlenecks.models.machine import RESOURCES, machine

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


def serving_of(chip_name, model_name, weight_format, tp):
    """(model, plan, server): weights of a format over `tp` chips, multiplied in it if the chip can."""
    device = chip(chip_name)
    narrow = {"fp8": "fp8", "nvfp4": "fp4"}.get(weight_format, "bf16")
    head = None if weight_format == "bf16" else "bf16"
    plan = inference.Plan(tp=tp, weight_format=weight_format, head_format=head)
    shape = model(model_name)
    return (shape, plan, machine(device, narrow if narrow in device.peaks else "bf16"))


def step_of(serving, batch, context):
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
    m, plan, on = serving_of(chip_name, model_name, weight_format, 1)
    read = ops.total(inference.rows(m, plan, on, batch=1, queries=1, keys=2), "weight_bytes")
    return serving.latency_floor_s(read, chips=chips, bytes_per_s=chip(chip_name).memory_bytes_per_s)


# ---- 1: the floor ---------------------------------------------------------------------------------

ONE_USER = 2048  # tokens in the cache


@keep
def _floor_lines(model_name, chip_name):
    heads = model(model_name).heads
    chips = np.array([n for n in CHIPS if n <= heads])
    form = RELEASED.get(model_name, "bf16")
    serving = serving_of(chip_name, model_name, form, chips)
    m, plan, on = serving
    fits = requests.largest_batch(m, plan, on, context=ONE_USER) >= 1
    return {
        "chips": chips,
        "floor_s": _floor_s(model_name, form, chip_name, chips),
        "fits": fits.astype(float),
    } | step_of(serving, 1, ONE_USER)


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


def _two_panels(figure, left, right, middle, places, labels, pad):
    """Two panels above each other, (bottom, top) of each in `middle`, over powers of two on one axis."""
    axes = [panel(figure, left, bottom, right, top) for bottom, top in middle]
    for ax in axes:
        x_axis(ax, "", places[0] / pad, places[-1] * pad, log="", ticks=counts(places))
    axes[0].set_xticklabels([])
    axes[1].set_xlabel(labels)
    return axes


def _floor_draw(figure):
    figure.set_size_inches(7.6, 5.8)
    heights, words = [(0.40, 0.935), (0.09, 0.335)], "chips that share the weights"
    top, low = _two_panels(figure, 0.125, 0.795, heights, CHIPS, words, 1.14)
    y_axis(top, "time of a token", 8e-5, 0.7, log="s")
    y_axis(low, "share of the step", 0, 1, ticks=HALVES)
    key(low, dict(reversed(PARTS.values())), 1.02, 0.92, down=0.21)
    at, least = ("line", "chips", "step_s"), ("line", "chips", "floor_s")

    def no_room(table):
        """Where the weights do not fit."""
        chips, fits = pick(table, "line", "chips", "fits")
        return 0.5, chips[fits > 0][0] / 2**0.5 if fits[0] == 0 else 0.5

    def lacking(table):
        end = no_room(table)[1]
        return "weights do\nnot fit" if end > 1.5 else "no\nroom" if end > 1 else ""

    def fastest(table, right=1.0, down=1.0):
        chips, step_s = pick(table, *at)
        best = np.nanargmin(step_s)
        return chips[best] * right, step_s[best] / down

    def owned(table):
        chips, step_s = pick(table, *at)
        return chips, np.array([pick(table, "line", part) for part in PARTS]) / step_s

    def telling(table):
        here, (best, seconds) = row(table), fastest(table)
        if not np.isfinite(here.step_s):
            return f"{pick(table, *at)[0][-1]} heads cannot be dealt to {plural(here.chips, 'chip')}"
        return (
            f"{plural(here.chips, 'chip')}: step {si(here.step_s, 's')}, floor {si(here.floor_s, 's')}; "
            f"fastest with {plural(best, 'chip')}: {si(seconds, 's')}"
        )

    def chosen(table):
        return row(table).chips

    def stops(table):
        return "" if fastest(table)[0] == pick(table, *at)[0][-1] else "more chips\nstop helping"

    grey, mark = {"color": GREY, "fontsize": 9}, {"color": COLOUR["highlight"], "lw": 1.6}
    return updating(
        *(span(ax, no_room, color="#EFEFEF") for ax in (top, low)),
        upright(top, chosen, zorder=1, **mark),
        text(top, 0.93, 1e-4, lacking, va="bottom", **grey),
        curve(top, *at, color=COLOUR["total"], lw=2.2, marker="o", ms=4),
        curve(top, *least, color=COLOUR["memory"], lw=2.0, ls="--", marker="o", ms=3),
        beside(top, "step", *at, -1, dx=1.14, color=COLOUR["total"], va="center", fontsize=9.5),
        beside(top, "floor", *least, -1, dx=1.14, color=COLOUR["memory"], va="center", fontsize=9.5),
        line(top, lambda table: [[v] for v in fastest(table, down=1 / 1.28)], **HERE | {"marker": "v", "mew": 0.7}),
        text(top, lambda t: fastest(t, 1.07)[0], lambda t: fastest(t, down=1.2)[1], stops, va="top", **grey),
        stacked_areas(low, [colour for _, colour in PARTS.values()], owned),
        upright(low, chosen, zorder=4, **mark),
        told(top, telling, "above"),
    )


def _floor_summary(table):
    chips, step_s, floor_s, fits = pick(table, "line", "chips", "step_s", "floor_s", "fits")
    here, best = row(table), np.argmin(step_s)
    told = f"its {chips[-1]} heads cannot be dealt to {plural(here.chips, 'chip')}"
    if np.isfinite(here.step_s):
        told = (
            f"on {plural(here.chips, 'chip')} a token takes {si(here.step_s, 's')}, {plain(here.step_s / here.floor_s)} times "
            f"the floor of {si(here.floor_s, 's')}"
        )
    part = max(PARTS, key=lambda p: pick(table, "line", p)[best])
    need = f" The weights need {plural(chips[fits > 0][0], 'chip')} of these." if fits.any() and not fits[0] else ""
    return (
        f"{here.model} in {here.format}, one user, {plural(ONE_USER, 'token')} in the cache, {here.chip}: {told}. Fastest with "
        f"{plural(chips[best], 'chip')}, {si(step_s[best], 's')}, {plain(step_s[best] / floor_s[best])} times the floor there; its "
        f"largest part: {PARTS[part][0]}.{need}"
    )


floor = Exhibit(
    slug="09-floor",
    title="One user, more chips.",
    caption="The modelled decode step of one user whose model is cut over more and more chips (tensor parallelism), "
    "and its floor: all weights read once at the datasheet's bandwidth. Below: who owns the step.",
    alt="Two panels over the number of chips on a logarithmic axis: above, the floor falls in proportion while the "
    "step's time falls, flattens and rises; below, stacked shares of the step by weights, cache, exchange, "
    "arithmetic and fixed times.",
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
    return serving_of(on, name, RELEASED.get(name, "bf16"), chips)


@keep
def _batch_grid(setup, contexts):
    """Steps over the contexts and the swept batches, and the largest batch at each context."""
    serving, tokens = _of_setup(setup), np.array(contexts, dtype=float)
    m, plan, on = serving
    steps = step_of(serving, SWEPT, tokens[:, None])
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


def _batch_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    heights, words = [(0.47, 0.95), (0.085, 0.43)], "sequences at once (batch)"
    top, low = _two_panels(figure, 0.13, 0.84, heights, BATCHES, words, 1.12)
    y_axis(top, "time of a decode step", 3e-4, 2, log="s")
    y_axis(low, "tokens per second", 0.5, 1e5, log="", ticks=counts(10**i for i in range(6)))
    rates = {"tokens_per_s": ("in all", "-"), "user_tokens_per_s": ("each user", "--")}
    far = 2e3  # beyond the axis

    def ends(names):
        return lambda table: {name: pick(table, "line", name)[-1] for name in names}

    def full(table):
        return min(max(row(table).room, 0.5), far)

    def word(table):
        return (
            "" if row(table).room > SWEPT[-1] else "memory is full" if full(table) < 200 else "beyond, memory is full"
        )

    def telling(table):
        here = row(table)
        each, every = plain(here.user_tokens_per_s), plain(here.tokens_per_s)
        room = f"; room for {plain(here.room, 6)}" if here.batch > here.room else ""
        return f"batch {plain(here.batch, 4)}: {si(here.step_s, 's')}, {each} tokens/s each, {every} in all{room}"

    def ground(table):
        return {"ec": "none", "pad": 1, "fc": "#E9E9E9" if full(table) < 200 else "white"}

    told_full = {"color": GREY, "fontsize": 9, "va": "top", "ha": "right", "bbox": ground}
    mark = {"color": COLOUR["highlight"], "lw": 1.6, "zorder": 1}
    names = {n: (w, GREY if n == "rest" else c) for n, (w, c, _) in LINES.items()}
    return updating(
        *(span(ax, lambda table: (full(table), far), color="#E9E9E9") for ax in (top, low)),
        text(low, lambda table: 1060 if full(table) < 200 else full(table) * 0.96, 7e4, word, **told_full),
        *(
            curve(top, "line", "batch", n, color=c, ls=d, lw=2.4 if n == "step_s" else 1.7)
            for n, (_, c, d) in LINES.items()
        ),
        end_labels(top, names, ends(LINES)),
        *(curve(low, "line", "batch", n, color=COLOUR["total"], ls=d) for n, (_, d) in rates.items()),
        end_labels(low, {n: (w, COLOUR["total"]) for n, (w, _) in rates.items()}, ends(rates)),
        *(upright(ax, lambda table: row(table).batch, **mark) for ax in (top, low)),
        told(top, telling, "above"),
    )


def _batch_summary(table):
    here = row(table)
    parts = ", ".join(
        f"{words} {plain(100 * getattr(here, p) / here.step_s, 2)} %"
        for p, (words, *_) in LINES.items()
        if p != "step_s"
    )
    fits = "more than are swept fit" if here.room > SWEPT[-1] else f"{plural(here.room, 'sequence')} fit"
    return (
        f"{here.setup}, {plural(here.context, 'token')} in each cache, batch {plain(here.batch, 4)}: a step of "
        f"{si(here.step_s, 's')}, {plain(here.user_tokens_per_s)} tokens/s for each user, {plain(here.tokens_per_s)} in all. Of "
        f"the step: {parts}. In memory {fits}."
    )


batch = Exhibit(
    slug="09-batch",
    title="What a larger batch buys.",
    caption="Above: a decode step against the sequences that share it, and its parts. Below: tokens per second of each user and of all. "
    "Shaded: caches do not fit.",
    alt="Two panels over the batch, logarithmic: the time of a step, flat and then rising, with lines for weights, "
    "cache, arithmetic and rest; and tokens per second of all users, rising, and of each user, falling.",
    controls={
        "setup": Control(label="model and chips", values=tuple(SETUPS), start="Llama-3-70B on 8 x H100"),
        "context": Control(label="tokens in each cache", values=CONTEXTS, start=2048, unit="tokens"),
        "batch": Control(label="batch", values=BATCHES, start=16),
    },
    table=_batch_table,
    draw=_batch_draw,
    summary=_batch_summary,
)


# ---- 3: speculation -------------------------------------------------------------------------------

PAIR = ("Llama-3-70B", "Llama-3-8B")  # the model, and what drafts for it
DRAFTED = np.arange(13)
GUESSED = (0.5, 0.7, 0.9)
GUESSES = tuple(round(0.3 + 0.05 * i, 2) for i in range(14))
ASKED = tuple(2**i for i in range(8))


@keep
def _speculated(batch, acceptances):
    """Tokens a second of each user: a row for each acceptance, a column for each number drafted."""
    m, plan, on = serving_of("H100 SXM5", PAIR[0], "bf16", 8)
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
    ax = panel(figure, 0.085, 0.13, 0.82, 0.89)
    x_axis(ax, "tokens drafted for each pass", -0.3, 12.3, ticks=DRAFTED)
    y_axis(ax, "tokens per second of each user", 0, 245)
    fixed = [f"{a:g}" for a in GUESSED]

    def alone(table):
        return row(table).alone_tokens_per_s

    def ends(table):
        """Where the curves end; the chosen one stands for its twin."""
        mine = {"chosen": pick(table, "chosen", "tokens_per_s")[-1], "none": alone(table)}
        others = [a for a in fixed if not np.isclose(float(a), row(table).acceptance)]
        return {a: pick(table, a, "tokens_per_s")[-1] for a in others} | mine

    def telling(table):
        here = row(table)
        gain = f"{here.tokens_per_s / here.alone_tokens_per_s:.2f} times as fast"
        best = f"best is to draft {here.drafted}, {gain}" if here.drafted else "drafting does not pay"
        return f"batch {plain(here.batch, 3)}, {here.acceptance:.3g} of the drafts taken: {best}"

    names = {a: (f"{a} taken", GREY) for a in fixed} | {"none": ("no drafts", GREY)}
    names["chosen"] = ("", {"color": COLOUR["total"], "weight": "bold"})
    at = ("drafted", "tokens_per_s")
    return updating(
        level(ax, alone, color=COLOUR["idle"], lw=1.4, ls=LINE["idle"]),
        *(curve(ax, a, *at, color="#9A9A9A", lw=1.3, marker="o", ms=3) for a in fixed),
        curve(ax, "chosen", *at, color=COLOUR["total"], lw=2.4, marker="o", ms=5),
        diamond(ax, *at, ms=10, zorder=4),
        end_labels(ax, names, ends, words=lambda table: {"chosen": {"text": f"{row(table).acceptance:.3g} taken"}}),
        told(ax, telling, "above"),
    )


def _speculation_summary(table):
    here, most = row(table), pick(table, "chosen", "tokens_per_s")[-1]
    text = "drafting does not pay"
    if here.drafted:
        gain = here.tokens_per_s / here.alone_tokens_per_s
        text = f"it is best to draft {here.drafted}: {plain(here.tokens_per_s)} tokens/s, {gain:.2f} times as many"
    return (
        f"{PAIR[0]} on 8 x H100, {PAIR[1]} drafts, batch {plain(here.batch, 3)}, {here.acceptance:.3g} of the drafts taken: "
        f"{plain(here.alone_tokens_per_s)} tokens/s for each user without drafts; {text}. With 12 drafts {plain(most)}."
    )


speculation = Exhibit(
    slug="09-speculation",
    title="A small model drafts, the large one checks.",
    caption="Tokens per second of each user when Llama-3-8B drafts and Llama-3-70B checks in one pass, on 8 H100. Each "
    "draft is taken with the same chance; those after a refused one are lost.",
    alt="Lines of tokens per second against the number of drafted tokens from 0 to 12, for three shares of drafts "
    "taken and for a chosen one, with a mark at the best number and a horizontal line without drafts.",
    controls={
        "acceptance": Control(label="share of drafts taken", values=GUESSES, start=0.8),
        "batch": Control(label="batch", values=ASKED, start=1),
    },
    table=_speculation_table,
    draw=_speculation_draw,
    summary=_speculation_summary,
)


# ---- 4: reality -----------------------------------------------------------------------------------

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
    "saturated": "time per token, all users together",
}


@keep
def _scored(group):
    """Scored rows of a group: modelled and measured seconds."""
    rows, found = corpus.table("inference"), scores.table("inference")
    fair = np.isin(found["group"], GROUPS[group]) & scores.fair(rows, found)
    columns = {
        "source": np.array([corpus.called(source) for source in rows["source_id"].tolist()]),
        "role": rows["role"],
        **scores.in_seconds(found),
    }
    found = {name: values[fair] for name, values in columns.items()}
    return found | {"source": against.few(found["source"], found["role"] == "held-out", len(SERIES))}


def _measured_table(group):
    columns = _scored(group)
    shown = ("source", "predicted_s", "measured_s", "error")
    found = {role: {name: columns[name][columns["role"] == role] for name in shown} for role in ("fit", "held-out")}
    return stack(**found, here={"group": group})


def _measured_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    axes = against.panels(figure, 0.115, 0.695, LIMITS["decode"])

    def kind(table):
        return row(table).group.partition(",")[0]

    def limit(table):
        ends = LIMITS[kind(table)]
        axes[0].set(xlim=ends, ylim=ends)
        axes[1].set(xlim=ends)

    def fitted(table):
        found = against.groups(table, "fit", "source")
        return [against.counted(f"{name}, fitted", error) for name, (*_, error) in found.items()]

    return updating(
        Mark([], limit),
        against.scored(figure, axes, head="held out: rows,\nmean error", by="source", slots=len(SERIES), fitted=fitted),
        told(axes[0], lambda table: WHAT[kind(table)], color=GREY),
    )


def _measured_summary(table):
    held, fitted = (
        {s: 100 * np.abs(error).mean() for s, (*_, error) in against.groups(table, role, "source").items()}
        for role in ("held-out", "fit")
    )
    text, of_fit = ("; ".join(f"{s}: {e:.0f} %" for s, e in found.items()) for found in (held, fitted))
    return (
        f"{row(table).group}: {pick(table, 'held-out', 'error').size} held-out rows of {len(held)} sources, mean absolute "
        f"error {text}. All: {np.mean(list(held.values())):.0f} % per source."
        + (f" Fitted: {of_fit}." if fitted else "")
    )


measured = Exhibit(
    slug="09-measured",
    title="Does it hold?",
    caption="Measured against modelled times of inference. Static: whole requests from start to end. Saturated: servers "
    "whose requests never run out. In colour: sources that no constant was fitted on; grey: those fitted on.",
    alt="Log-log scatter of measured against predicted times, and below it their ratio, with a band of ten percent; "
    "a marker for each held-out source, fitted rows small and grey.",
    controls={"group": Control(label="measurements", values=tuple(GROUPS), start="decode, one chip")},
    table=_measured_table,
    draw=_measured_draw,
    summary=_measured_summary,
    rescales=True,
)
