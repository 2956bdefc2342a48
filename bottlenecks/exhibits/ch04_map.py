"""Figures for chapter 04: parameters against tokens with what they cost and reach, and a valley of equal operations."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import area, circles, curve, diamond, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, powers
from bottlenecks.laws import scaling
from bottlenecks.studies import bills, losses

LAW, OTHER = losses.LAW, losses.OTHER
BUDGETS = 10.0 ** np.arange(20, 28)
PARAMS, TOKENS = (3e7, 3e12), (1e9, 1e14)
SIZES = {1e8: "0.1 billion", 1e9: "1 billion", 1e10: "10 billion", 1e11: "100 billion", 1e12: "1 trillion"}
COUNTS = {
    1e9: "1 billion",
    1e10: "10 billion",
    1e11: "100 billion",
    1e12: "1 trillion",
    1e13: "10 trillion",
    1e14: "100 trillion",
}
SERVED = (0.0, 1e11, 1e12, 1e13, 1e14)
RIGHT = ("Llama 3.1 405B", "PaLM 540B", "TinyLlama 1.1B")  # runs with their names beside their circles
BELOW = ("GPT-3 175B", "Chinchilla 70B")
LEFT = ("Llama 3.1 8B",)

# ---- the map -----------------------------------------------------------------------------------------


@keep
def _map_table(flop, served, law):
    constants = losses.law(law)
    budgets = np.geomspace(1e16, 1e28, 60)
    ours, others = (losses.best(losses.law(name), budgets) for name in (LAW, OTHER))
    start, found = losses.best(constants, flop), losses.served(constants, flop, served)
    sizes = np.geomspace(*PARAMS, 200)
    low, high = losses.token_band(sizes)
    runs = bills.runs()
    known = np.isfinite(runs["active"] * runs["tokens"])
    return stack(
        best={"params": ours.params, "tokens": ours.tokens},
        other={"params": others.params, "tokens": others.tokens},
        band={"params": sizes, "low": low, "high": high},
        equal={"params": sizes, "tokens": np.minimum(scaling.tokens_for(start.loss, sizes, **constants), 1e16)},
        walk={"params": np.array([start.params, found.params]), "tokens": np.array([start.tokens, found.tokens])},
        run={"name": runs["name"][known], "params": runs["active"][known], "tokens": runs["tokens"][known]},
        here={
            "flop": flop,
            "served": served,
            "law": law,
            "params": found.params,
            "tokens": found.tokens,
            "loss": start.loss,
            "first_params": start.params,
            "first_tokens": start.tokens,
            "saved": float(1 - losses.whole_flop(found, served) / losses.whole_flop(start, served)),
            "training_times": float(found.params * found.tokens * 6 / flop),
        },
    )


def _map_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = panel(figure, 0.14, 0.11, 0.975, 0.85)
    x_axis(ax, "parameters (those that a token uses)", *PARAMS, log="", ticks=SIZES)
    y_axis(ax, "tokens of training", *TOKENS, log="", ticks=COUNTS)
    sizes = np.array(PARAMS)
    for budget in BUDGETS:
        ax.plot(sizes, budget / 6 / sizes, color="#D5D5D5", lw=0.8, zorder=1)
        place = budget / 6 / 1.35e9
        if TOKENS[0] * 2 < place < TOKENS[1] / 2:
            ax.text(1.35e9, place, powers(budget, 1), fontsize=8, color=GREY, rotation=-33, ha="center", va="bottom")

    def names(wanted, right, up):
        def of(table):
            found = pick(table, "run", "name").tolist()
            params, tokens = pick(table, "run", "params", "tokens")
            mine = [found.index(name) for name in wanted]
            return [name.removesuffix(" 70B") for name in wanted], params[mine] * right, tokens[mine] * up

        return of

    def telling(table):
        here = row(table)
        first = f"{powers(here.flop, 2)} FLOP: {plain(here.first_params / 1e9, 3)} billion on {plain(here.first_tokens / 1e12, 3)} trillion tokens"
        if not here.served:
            return f"{first}\n{plain(here.first_tokens / here.first_params, 3)} tokens per parameter, by {here.law}"
        return (
            f"{first}; to serve {plain(here.served / 1e12, 3)} trillion,\n{plain(here.params / 1e9, 3)} billion on {plain(here.tokens / 1e12, 3)}: "
            f"training {plain(here.training_times, 3)} times, in all {100 * here.saved:.0f} % saved"
        )

    looks = {f"best by {LAW}": COLOUR["memory"], f"by {OTHER}": COLOUR["compute"], "equal loss": COLOUR["network"]}
    key(figure, looks, 0.14, 0.885, size=9)
    return updating(
        area(ax, lambda table: pick(table, "band", "params", "low", "high"), facecolors="#CFE2F1", zorder=0),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top", linespacing=1.35),
        curve(ax, "best", "params", "tokens", color=COLOUR["memory"], lw=1.6),
        curve(ax, "other", "params", "tokens", color=COLOUR["compute"], lw=1.6, ls="--"),
        curve(ax, "equal", "params", "tokens", color=COLOUR["network"], lw=1.4),
        circles(ax, "run", "params", "tokens", ms=4),
        labels(ax, names(RIGHT, 1.15, 1.0), size=8.5),
        labels(ax, names(BELOW, 0.86, 0.7), align="right", size=8.5),
        labels(ax, names(LEFT, 0.84, 1.2), align="right", size=8.5),
        curve(ax, "walk", "params", "tokens", color="black", lw=1.2, ls=":"),
        diamond(ax, "params", "tokens"),
    )


def _map_summary(table):
    here = row(table)
    best = (
        f"By {here.law}, {powers(here.flop, 2)} FLOP reach the least loss with {plain(here.first_params / 1e9, 3)} billion parameters on "
        f"{plain(here.first_tokens / 1e12, 3)} trillion tokens"
    )
    if not here.served:
        return f"{best}."
    return (
        f"{best}; with {plain(here.served / 1e12, 3)} trillion tokens to serve the same loss is cheapest with "
        f"{plain(here.params / 1e9, 3)} billion on {plain(here.tokens / 1e12, 3)}."
    )


split = Exhibit(
    slug="04-map",
    title="One map of parameters and tokens.",
    caption="Grey: equal operations. Blue: the best split by one fit, with the band that its points leave; orange: by another fit of the same points. Green: equal "
    "loss. Serve more tokens: where does the diamond walk?",
    alt="Parameters against tokens on logarithmic axes: falling grey lines of equal operations, two rising lines of best splits, a green curve of equal loss, "
    "published runs as circles and a diamond that walks along the green curve.",
    controls={
        "flop": Control(label="operations", values=tuple(10.0**n for n in (21, 22, 23, 24, 25, 26)), start=1e24),
        "served": Control(label="tokens to serve", values=SERVED, start=0.0),
        "law": Control(label="by", values=(LAW, OTHER, "Muennighoff 2023"), start=LAW),
    },
    table=_map_table,
    draw=_map_draw,
    summary=_map_summary,
)


# ---- a valley ----------------------------------------------------------------------------------------

NEAR = 1.6  # factor within which a run's operations count as those of the valley


@keep
def _valley_table(flop, times):
    sizes = np.geomspace(1.8e7, 7e10, 160)
    lines = {
        name: {"params": sizes, "loss": scaling.loss(sizes, flop / 6 / sizes, **losses.law(law))}
        for name, law in (("ours", LAW), ("other", OTHER))
    }
    params, tokens, found = losses.points()
    mine = np.abs(np.log(6 * params * tokens / flop)) < np.log(NEAR)
    constants = losses.law(LAW)
    best = losses.best(constants, flop)
    off = best.params * times
    lost, needed = losses.lost(constants, off, flop / 6 / off)
    return stack(
        **lines,
        run={"params": params[mine], "loss": found[mine]},
        here={
            "flop": flop,
            "params": off,
            "loss": float(best.loss + lost),
            "times": times,
            "best": float(best.params),
            "lost": float(lost),
            "wasted": float(1 - needed),
        },
    )


def _valley_draw(figure):
    ax = panel(figure, 0.1, 0.13, 0.975, 0.84)
    x_axis(ax, "parameters", 2e7, 6e10, log="", ticks={1e8: "0.1 billion", 1e9: "1 billion", 1e10: "10 billion"})
    y_axis(ax, "loss", 1.9, 3.6)
    key(figure, {f"by {LAW}": COLOUR["memory"], f"by {OTHER}": COLOUR["compute"]}, 0.1, 0.87, size=9)

    def telling(table):
        here = row(table)
        least = here.loss - here.lost
        ax.set_ylim(least - 0.12, least + 0.72)
        times = here.times if here.times > 1 else 1 / here.times
        way = "the best size" if here.times > 1 else "smaller than the best"
        if here.times == 1:
            return f"{powers(here.flop, 2)} FLOP: the best has {plain(here.best / 1e9, 3)} billion parameters"
        return f"{plain(times, 3)} times {way}: {plain(here.lost, 2)} of loss, {100 * here.wasted:.0f} % of {powers(here.flop, 2)} FLOP wasted"

    return updating(
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top"),
        curve(ax, "ours", "params", "loss", color=COLOUR["memory"], lw=1.8),
        curve(ax, "other", "params", "loss", color=COLOUR["compute"], lw=1.5, ls="--"),
        circles(ax, "run", "params", "loss", ms=4.5),
        diamond(ax, "params", "loss"),
    )


def _valley_summary(table):
    here = row(table)
    best = f"{pick(table, 'run', 'loss').size} runs of about {powers(here.flop, 2)} FLOP; the best size is {plain(here.best / 1e9, 3)} billion parameters"
    if here.times == 1:
        return f"{best}."
    return (
        f"{best}, and "
        f"{plain(here.times, 3)} times as many waste {plain(here.lost, 2)} of loss and {100 * here.wasted:.0f} % of the operations."
    )


valley = Exhibit(
    slug="04-valley",
    title="A valley of equal operations.",
    caption="Loss of models of different size after the same operations; circles: runs within a factor of 1.6 of these, so that they scatter. Move away from "
    "the best size: how far is it cheap?",
    alt="Two curves with a flat minimum over the parameters on a logarithmic axis, measured circles along them and a diamond at the chosen size.",
    controls={
        "flop": Control(label="operations", values=(1e19, 3e19, 1e20, 3e20, 1e21, 3e21), start=1e20),
        "times": Control(label="size over the best", values=(0.1, 0.2, 0.33, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0), start=1.0),
    },
    table=_valley_table,
    draw=_valley_draw,
    summary=_valley_summary,
    rescales=True,
)
