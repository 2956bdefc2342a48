"""Figure of chapter 09: each user's speed against what a chip makes, the batch along each curve."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import counts, panel, x_axis, y_axis
from bottlenecks.exhibits.ch09 import CONTEXTS, GPUS, MODELS, RELEASED, serving_of
from bottlenecks.exhibits.labels import labels, text, told
from bottlenecks.exhibits.marks import circles, curve, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import GREY, SERIES
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models import inference, requests
from bottlenecks.studies import search

SERVED = (1, 2, 4, 8)  # chips of one copy
SWEPT = 2.0 ** np.arange(0, 10.1, 0.25)
TOLD = (1, 4, 16, 64, 256)  # batches that are written beside a curve
SAME = {"Llama-3.1-8B": "Llama-3-8B", "Llama-3.1-70B": "Llama-3-70B"}  # shapes that are measured under another name
LOOKS = dict(zip(SERVED, (SERIES[4], SERIES[2], SERIES[0], SERIES[1]), strict=True))


@keep
def _curves(model_name, chip_name, context):
    """For each number of chips: batches up to the largest that fits, tokens per second of each user and of a chip."""
    found = {}
    for chips in SERVED:
        if model(model_name).heads % chips:
            continue
        m, plan, on = serving_of(chip_name, model_name, RELEASED.get(model_name, "bf16"), chips)
        room = float(requests.largest_batch(m, plan, on, context=context))
        if room < 1:
            continue
        batches = np.append(SWEPT[room > SWEPT], min(room, SWEPT[-1]))
        step_s = inference.decode_s(m, plan, on, batch=batches, context=context)
        each = {"user_tokens_per_s": 1 / step_s, "chip_tokens_per_s": batches / step_s / chips}
        found[chips] = {"batch": batches, "step_s": step_s} | each
    return found


@keep
def _measured(model_name, chip_name):
    """Steps of one sequence that a source with several numbers of chips measured, of these weights on this chip."""
    rows = corpus.table("inference")
    mine = np.isin(rows["source_id"], corpus.showing("inference", "decoding over chips")) & (rows["batch"] == 1)
    mine &= (rows["chip_name"] == chip_name) & (rows["weight_dtype"] == RELEASED.get(model_name, "bf16"))
    mine &= (rows["phase"] == "decode") & (rows["speculative"] != 1) & (rows["suspect"] == "")
    mine &= np.array([SAME.get(name, find_model(name)) == model_name for name in rows["model"].tolist()])
    chips, rate = rows["n_chips"][mine], rows["tokens_per_s"][mine]
    return {"chips": chips, "user_tokens_per_s": rate, "chip_tokens_per_s": rate / chips}


def _front(curves):
    """Points that no other beats in both, the slowest users first: chips, batch, and both rates."""
    names = ("batch", "user_tokens_per_s", "chip_tokens_per_s")
    points = {name: np.concatenate([each[name] for each in curves.values()]) for name in names}
    points["chips"] = np.concatenate([np.full(each["batch"].size, n) for n, each in curves.items()])
    kept = search.pareto(-points["chip_tokens_per_s"], -points["user_tokens_per_s"])
    return {name: values[kept] for name, values in points.items()}


def _frontier_table(model_name, chip_name, context):
    context = round(context)
    curves, measured = _curves(model_name, chip_name, context), _measured(model_name, chip_name)
    here = {"model": model_name, "chip": chip_name, "context": context, "format": RELEASED.get(model_name, "bf16")}
    here |= dict.fromkeys(("batch", "chips", "user_tokens_per_s", "chip_tokens_per_s"), np.nan)
    found = {f"{n}": each for n, each in curves.items()}
    if curves:
        found["front"] = _front(curves)
    if measured["chips"].size:
        found["measured"] = measured
    return stack(**found, here=here)


def _there(table):
    return [n for n in SERVED if (table["series"] == f"{n}").any()]


def _frontier_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = panel(figure, 0.125, 0.115, 0.97, 0.875)
    tens = (5, 10, 20, 50, 100, 200, 500, 1000)
    x_axis(ax, "tokens per second of each user", 5, 1100, log="", ticks=counts(tens))
    y_axis(ax, "tokens per second of each chip", 3, 2e4, log="", ticks=counts(10**i for i in range(1, 5)))

    def batches(table):
        """The batch beside its point, on each curve."""
        words, x, y, inks = [], [], [], []
        for n in _there(table):
            batch, user, chip = pick(table, f"{n}", "batch", "user_tokens_per_s", "chip_tokens_per_s")
            for told_here in TOLD:
                i = np.flatnonzero(batch == told_here)
                if i.size and (n == _there(table)[-1] or told_here == 1):
                    words.append(f"{told_here:,}")
                    x.append(user[i[0]] * 1.05)
                    y.append(chip[i[0]] * 1.09)
                    inks.append(LOOKS[n])
        return words, x, y, inks

    def names(table):
        found = _there(table)
        return [plural(n, "chip") for n in found], 0.025, 0.05 + 0.05 * np.arange(len(found)), [LOOKS[n] for n in found]

    def telling(table):
        here = row(table)
        return f"{here.model} ({here.format}) on {here.chip}, {plural(here.context, 'token')} in each cache"

    def lacking(table):
        return "" if _there(table) else "the weights do not fit on eight chips"

    def seen(table):
        return "○ measured, one user, short context" if (table["series"] == "measured").any() else ""

    at = ("user_tokens_per_s", "chip_tokens_per_s")
    return updating(
        curve(ax, "front", *at, color="#D9D9D9", lw=9, solid_capstyle="round", zorder=1),
        *(curve(ax, f"{n}", *at, color=colour, lw=2) for n, colour in LOOKS.items()),
        circles(ax, "measured", *at),
        labels(ax, batches, size=8.5),
        labels(ax, names, of="axes", size=10),
        text(ax, 0.5, 0.5, lacking, of="axes", ha="center", color=GREY),
        text(
            ax,
            0.985,
            0.975,
            "numbers: sequences at once\ngrey: no other point beats it",
            of="axes",
            ha="right",
            va="top",
            color=GREY,
            fontsize=9,
        ),
        text(ax, 0.985, 0.86, seen, of="axes", ha="right", va="top", color=GREY, fontsize=9),
        told(figure, telling, "head"),
    )


def _frontier_summary(table):
    here, found = row(table), _there(table)
    start = f"{here.model} in {here.format} on {here.chip}, {plural(here.context, 'token')} in each cache: "
    if not found:
        return f"{start}its weights do not fit on eight chips."
    parts = []
    for n in found:
        batch, user, chip = pick(table, f"{n}", "batch", "user_tokens_per_s", "chip_tokens_per_s")
        parts.append(
            f"on {plural(n, 'chip')} one user has {plain(user[0])} tokens/s, and {plain(batch[-1], 4)} users "
            f"{plain(user[-1])} each and {plain(chip[-1])} of a chip"
        )
    chips, user, chip = pick(table, "front", "chips", "user_tokens_per_s", "chip_tokens_per_s")
    most, quick = np.argmax(chip), np.argmax(user)
    return (
        f"{start}{'; '.join(parts)}. Most of a chip: {plain(chip[most])} tokens/s with copies of {plural(chips[most], 'chip')}; "
        f"quickest for a user: {si(1 / user[quick], 's')} a token on {plural(chips[quick], 'chip')}."
    )


frontier = Exhibit(
    slug="09-frontier",
    title="One user's speed against all users' tokens.",
    caption="Decode steps on one to eight chips: tokens per second of each user across, of each chip up. Along a "
    "curve the batch grows from one, at the right, to what fits. Circles: gpt-fast on A100s, measured.",
    alt="Logarithmic axes, a curve for each number of chips that falls from upper left, many users, to the lower right, "
    "one user; the outer edge of all curves is underlaid in grey; more chips reach farther right and less high.",
    controls={
        "model_name": Control(label="model", values=MODELS, start="Llama-3-70B"),
        "chip_name": Control(label="chip", values=GPUS, start="H100 SXM5"),
        "context": Control(label="tokens in each cache", values=CONTEXTS, start=2048, unit="tokens"),
    },
    table=_frontier_table,
    draw=_frontier_draw,
    summary=_frontier_summary,
    sources=("gptfast",),
)
