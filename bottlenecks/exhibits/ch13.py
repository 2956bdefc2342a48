"""Figures for chapter 13: what the middle of a network keeps of an all-to-all, and the hottest link of a step."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import end_labels, key, labels, text
from bottlenecks.exhibits.marks import circles, curve, segments, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plural, si
from bottlenecks.models import footprint
from bottlenecks.models.layouts import Layout
from bottlenecks.models.wires import EXCHANGES
from bottlenecks.studies import wired

# ---- what the middle keeps -------------------------------------------------------------------------

GRID = 2.0 ** np.arange(6, 15.01, 0.25)
NAMED = {  # published system -> its words and how they are moved
    "TPU v4 pod": ("TPU v4", 1.1, 1.06, "left"),
    "TPU v5e pod": ("TPU v5e", 1.1, 1.1, "left"),
    "TPU v5p pod": ("v5p", 0.85, 0.8, "right"),
    "Ironwood pod": ("Ironwood", 1.15, 1.08, "left"),
    "Meta 24k H100 (RoCE)": ("24,576 H100s, 7 : 1", 1.35, 1.28, "right"),
    "Frontier": ("Frontier", 0.95, 0.77, "right"),
    "Meta RSC": ("", 1, 1, "left"),
}
LOOKS = dict(zip(wired.MIDDLES, (SERIES[0], SERIES[2], SERIES[4], SERIES[1]), strict=True))


@keep
def _middle_table(chips, over):
    every = wired.published()
    lines = {
        name: {"chips": GRID, "kept": wired.kept(name, GRID, oversubscription=over) + 0 * GRID}
        for name in wired.MIDDLES
    }
    at = {f"kept_{i}": float(wired.kept(name, chips, oversubscription=over)) for i, name in enumerate(wired.MIDDLES)}
    return stack(
        **lines,
        published={"name": [each.name for each in every]}
        | {key_: np.array([getattr(each, key_) for each in every], float) for key_ in ("chips", "kept")},
        here={"chips": chips, "over": over} | at,
    )


def _middle_draw(figure):
    ax = panel(figure, 0.1, 0.14, 0.79, 0.86)
    x_axis(
        ax,
        "chips that talk each to all",
        50,
        60000,
        log="",
        ticks={64: "64", 512: "512", 4096: "4,096", 32768: "32,768"},
    )
    y_axis(
        ax,
        "of its full rate, what each of them keeps",
        0.005,
        1.5,
        log="",
        ticks={1: "all", 0.5: "1/2", 0.25: "1/4", 0.1: "1/10", 0.05: "1/20", 0.02: "1/50", 0.01: "1/100"},
    )

    def heights(table):
        return {name: pick(table, name, "kept")[-1] for name in LOOKS}

    def telling(table):
        here = row(table)
        return f"{here.chips:,.0f} chips: a 3-D torus keeps {100 * here.kept_1:.2g} %, a fat tree {100 * here.kept_0:.3g} %"

    marks = []
    for of_side in ("left", "right"):

        def side_names(table, of_side=of_side):
            found = dict(
                zip(
                    pick(table, "published", "name").tolist(),
                    zip(*pick(table, "published", "chips", "kept"), strict=True),
                    strict=True,
                )
            )
            told = [
                (words, found[name][0] * dx, found[name][1] * dy)
                for name, (words, dx, dy, side) in NAMED.items()
                if side == of_side
            ]
            return [t[0] for t in told], [t[1] for t in told], [t[2] for t in told]

        marks.append(labels(ax, side_names, align=of_side, size=9))
    return updating(
        *(curve(ax, name, "chips", "kept", color=colour) for name, colour in LOOKS.items()),
        circles(ax, "published", "chips", "kept", ms=5),
        upright(ax, lambda table: row(table).chips, color=GREY, lw=0.8),
        *marks,
        end_labels(ax, {name: (name.removeprefix("a "), colour) for name, colour in LOOKS.items()}, heights),
        text(ax, 0, 1.06, telling, of="axes", fontsize=11, weight="bold"),
    )


def _middle_summary(table):
    here = row(table)
    parts = [f"{name} {100 * getattr(here, f'kept_{i}'):.3g} %" for i, name in enumerate(wired.MIDDLES)]
    return f"Of its full rate each of {here.chips:,.0f} chips keeps in an all-to-all: {', '.join(parts)}."


middle = Exhibit(
    slug="13-middle",
    title="What the middle leaves of an all-to-all.",
    caption="The share of its full rate that a chip keeps when all talk to all. Circles: published machines. An all-reduce keeps all of it on each, a mesh "
    "half. Oversubscribe the tree: from where on is a torus worse?",
    alt="Shares against the number of chips on logarithmic axes: level lines for trees and dragonflies, lines falling with the cube root "
    "or the square root for tori and meshes, and circles for machines.",
    controls={
        "chips": Control(
            label="chips", values=tuple(float(n) ** 3 for n in (4, 6, 8, 10, 12, 16, 20, 24)), start=512.0
        ),
        "over": Control(label="oversubscription", values=(1.0, 2.0, 3.0, 5.0, 7.0, 10.0), start=1.0),
    },
    table=_middle_table,
    draw=_middle_draw,
    summary=_middle_summary,
)


# ---- follow the hot link ---------------------------------------------------------------------------

OF = dict(zip(EXCHANGES, ("#0072B2", "#56B4E9", "#E69F00", "#CC79A7", "#009E73"), strict=True))
TIERS, CHIPS, BATCH = 3, 4096, 4096
MODELS = ("Llama-3.1-405B", "Llama-3-70B", "DeepSeek-V3")
SPREAD = 64  # chips among which a mixture's experts are dealt
CUTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@keep
def _hot_table(way, model_name, tp, pp, over):
    shape = model(model_name)
    tp, pp = round(tp), round(pp)
    dp = CHIPS // (tp * pp)
    ep = max(SPREAD // tp, 1) if shape.experts else 1  # experts are dealt among tensor-parallel ranks too
    layout = Layout(
        seq_len=4096,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=min(ep, dp),
        sp=tp > 1,
        micro_batch=1,
        micro_batches=max(BATCH // dp, 1),
        zero=1,
        recompute="none",
        schedule="1f1b",
    )
    laid, step_s = wired.hot(way, shape, layout, oversubscription=over)
    short = footprint.shortfall_bytes(footprint.training_rows(shape, layout), chip(wired.CHIP).memory_bytes)
    count = len(laid.tiers)
    busy = {name: np.zeros(TIERS) for name in EXCHANGES}
    whole = sum(laid.moved_bytes.values())
    for name, moved in laid.moved_bytes.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            busy[name][:count] = np.nan_to_num(np.asarray(moved / whole * laid.busy_s, float))
    return stack(
        tier={"name": [*laid.tiers, *[""] * (TIERS - count)], "there": (np.arange(TIERS) < count) * 1.0}
        | {name: each / float(step_s) for name, each in busy.items()},
        here={"way": way, "model": model_name, "tp": tp, "pp": pp, "dp": dp, "step_s": float(step_s), "over": over}
        | {
            "hottest": str(laid.hottest),
            "share": float(np.max(laid.busy_s) / step_s),
            "short_bytes": float(short),
            "spread": min(ep, dp) * tp if shape.experts else 1,
        },
    )


def outline_of(left, right, y, half=0.36):
    """The outline of a bar."""
    return [(left, y - half), (right, y - half), (right, y + half), (left, y + half), (left, y - half)]


def _hot_draw(figure):
    figure.set_size_inches(7.6, 4.3)
    ax = panel(figure, 0.17, 0.14, 0.975, 0.79)
    x_axis(
        ax,
        "seconds in which the links are busy, over those of the step",
        0,
        1.05,
        ticks={n / 4: f"{25 * n} %" for n in range(5)},
    )
    y_axis(ax, "", TIERS - 0.4, -0.6, ticks=())
    y = np.arange(TIERS)
    key(figure, {name: colour for name, colour in OF.items() if name != "context parallel"}, 0.02, 0.845, size=9)

    def bars(table):
        return y, [np.minimum(pick(table, "tier", name), 1.5) for name in OF]

    def names(table):
        return pick(table, "tier", "name").tolist(), np.full(TIERS, -0.015), y

    def shares(table):
        whole = sum(pick(table, "tier", name) for name in OF)
        there = pick(table, "tier", "there") > 0
        said = [f"{100 * w:.0f} %" if t else "" for w, t in zip(whole.tolist(), there.tolist(), strict=True)]
        return said, np.minimum(whole, 0.97) + 0.01, y

    def telling(table):
        here = row(table)
        cut = f"layers over {here.tp:.0f}, {plural(here.pp, 'stage')}, {plural(here.dp, 'copy')}" + (
            f", experts over {here.spread:.0f}" if here.spread > 1 else ""
        )
        fits = "" if here.short_bytes <= 0 else f"; does not fit by {si(here.short_bytes, 'B', 2)}"
        hot_ = f"hottest: {here.hottest}, busy {100 * here.share:.0f} % of it" if here.hottest else "nothing is sent"
        return f"{here.way}: {cut}; a step of {si(here.step_s, 's')}\n{hot_}{fits}"

    def hottest(table):
        whole = sum(pick(table, "tier", name) for name in OF)
        i = int(np.argmax(whole))
        return [outline_of(0, min(whole[i], 1.05), i)] if whole[i] > 0 else []

    return updating(
        stacked(ax, list(OF.values()), bars),
        segments(ax, hottest, colors="#C8281E", linewidths=2.4, zorder=4),
        labels(ax, names, align="right", size=10),
        labels(ax, shares, size=9.5),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10, weight="bold", va="top", linespacing=1.4),
    )


def _hot_summary(table):
    here = row(table)
    parts = [
        f"{name} {sum(100 * pick(table, 'tier', each)[i] for each in OF):.0f} %"
        for i, name in enumerate(pick(table, "tier", "name").tolist())
        if name
    ]
    return f"{here.model} on {CHIPS:,} H100s, {here.way}; links busy, of a step of {si(here.step_s, 's')}: {', '.join(parts)}."


hot = Exhibit(
    slug="13-hot",
    title="Follow the hot link.",
    caption="Every exchange of a step on 4,096 H100s, laid on the links of a chip, whether computing hides it or not; framed in red: the hottest tier. "
    "Move the cuts, change the wires: where is it?",
    alt="Horizontal bars, one for each tier of the network, in parts for tensor, context, expert, pipeline and data exchange; "
    "the longest is the hottest.",
    controls={
        "way": Control(label="wired as", values=wired.WAYS, start=wired.WAYS[0]),
        "model_name": Control(label="model", values=MODELS, start="Llama-3.1-405B"),
        "tp": Control(label="layers cut over", values=CUTS, start=8.0),
        "pp": Control(label="stages", values=CUTS, start=8.0),
        "over": Control(label="oversubscription", values=(1.0, 2.0, 4.0, 7.0, 16.0), start=1.0),
    },
    table=_hot_table,
    draw=_hot_draw,
    summary=_hot_summary,
)
