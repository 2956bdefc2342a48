"""Figures of chapter 06, Was it compute-bound?"""

import numpy as np

from bottlenecks.exhibits.axes import QUARTERS, panel, rows, x_axis
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, line, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain
from bottlenecks.studies import era, one_device

# ---- 1: the whole second of published runs ----------------------------------------------------------

PARTS = {  # of the real second: colour
    "products, at most": COLOUR["compute"],
    "rest of one chip's step": COLOUR["memory"],
    "what one chip's step does not show": "#C9C9C9",
}


def _era_table(error_percent):
    runs, error = era.published(), error_percent / 100
    most = np.array([run["products of the second"] for run in runs])
    above, open_, below = era.judged(error)
    return stack(
        run={
            "name": [run["model"] for run in runs],
            "chip": [run["chip"] for run in runs],
            "year": [run["begun"][:4] for run in runs],
            "products": most,
            "rest": [run["rest"] for run in runs],
            "unseen": [run["unseen"] for run in runs],
            "low": most * (1 - error),
            "high": np.minimum(most * (1 + error), 1),
            "reported": [run["reported"] for run in runs],
        },
        here={"error_percent": error_percent, "above": above, "open": open_, "below": below},
    )


def _era_draw(figure):
    runs = era.published()
    ax = panel(figure, 0.295, 0.125, 0.965, 0.9)
    x_axis(ax, "share of the real second", 0, 1, ticks=QUARTERS)
    rows(ax, [f"{run['model']}, {run['chip'].partition(' SXM')[0]} {run['begun'][:4]}" for run in runs], size=9.5)
    key(figure, PARTS, 0.02, 0.955)
    y = np.arange(len(runs))

    def part(first, last):
        def of(table):
            parts = [np.zeros(len(runs)), *pick(table, "run", "products", "rest", "unseen")]
            ends = np.cumsum(parts, axis=0)
            return ends[first], ends[last], y - 0.33, y + 0.33

        return of

    def whiskers(table):
        low, high = pick(table, "run", "low", "high")
        return np.stack([np.stack([low, y], 1), np.stack([high, y], 1)], 1)

    def amounts(table):
        most = pick(table, "run", "products")
        return [f"{plain(100 * v, 2)} %" for v in most], np.full(y.size, 0.012), y

    half = np.array([[(0.5, -0.6), (0.5, len(runs) - 0.4)]])
    return updating(
        *(boxes(ax, part(i, i + 1), colour) for i, colour in enumerate(PARTS.values())),
        segments(ax, lambda table: half, colors="black", linewidths=1.2, linestyles=":"),
        segments(ax, whiskers, colors="black", linewidths=1.6),
        labels(ax, amounts, color="white", weight="bold", size=9.5),
    )


def _era_summary(table):
    here = row(table)
    name, most = pick(table, "run", "name", "products")
    low, high = most.argmin(), most.argmax()
    return (
        f"Products own at most {plain(100 * most[low], 2)} % ({name[low]}) to {plain(100 * most[high], 2)} % ({name[high]}) of the real second of "
        f"{most.size} runs. With an error of {plain(here.error_percent)} % of the modelled step {plain(here.above)} are above one half, "
        f"{plain(here.below)} below it, {plain(here.open)} open."
    )


seconds = Exhibit(
    slug="06-era",
    title="Who owned the whole second?",
    caption="The real step of each published run. Orange: products, at most; blue: what else one chip's step holds; grey: published utilisation "
    "says that this went elsewhere. Lines: the error of the modelled step.",
    alt="Horizontal stacked bars, one for each run from 2019 to 2022, cut in three parts, with a dotted line at one half and an error bar at the "
    "end of the first part.",
    controls={
        "error_percent": Control(label="error of the modelled step", values=(0, 10, 20, 24, 30), start=24, unit="%")
    },
    table=_era_table,
    draw=_era_draw,
    summary=_era_summary,
    sources=names("shoeybi2019megatron, palm_t3, mtnlg2022, opt175b, gptneox20b, bloom2022"),
)


# ---- 2: one run, many utilisations -----------------------------------------------------------------

KIND_COLOUR = {"convention": COLOUR["compute"], "omission": COLOUR["memory"], "error": COLOUR["latency"]}
KIND_WORDS = {"convention": "a convention", "omission": "attention is left out", "error": "the wrong peak"}


def _utilisation_table():
    found, run = one_device.utilisations(), one_device.mpt_run()
    kinds = {name: kind for kind, each in one_device.KINDS.items() for name in each}
    order = [name for each in one_device.KINDS.values() for name in each]
    first = found[order[0]]
    return stack(
        told={
            "name": order,
            "kind": [kinds[name] for name in order],
            "utilisation": [found[name] for name in order],
            "over": [found[name] / first for name in order],
        },
        published={"name": "as its source prints it", "utilisation": float(run["mfu"][0])},
        here={"spread": one_device.defensible_spread(), "whole": max(found.values()) / min(found.values())},
    )


def _utilisation_draw(figure):
    ax = panel(figure, 0.365, 0.125, 0.975, 0.9)
    order = [name for each in one_device.KINDS.values() for name in each]
    x_axis(ax, "utilisation of one run", 0, 0.48, ticks={v / 10: f"{10 * v} %" for v in range(5)})
    rows(ax, order, size=9.5)
    key(figure, {KIND_WORDS[kind]: colour for kind, colour in KIND_COLOUR.items()}, 0.02, 0.955)
    y = np.arange(len(order))
    colours = [KIND_COLOUR[kind] for kind, each in one_device.KINDS.items() for _ in each]

    def stems(table):
        x = pick(table, "told", "utilisation")
        return np.stack([np.stack([0 * x, y], 1), np.stack([x, y], 1)], 1)

    def dots(kind):
        def at(table):
            x, of = pick(table, "told", "utilisation", "kind")
            return x[of == kind], y[of == kind]

        return at

    def amounts(table):
        x, over = pick(table, "told", "utilisation", "over")
        words = [
            f"{plain(100 * v, 3)} %" + ("" if i == 0 else f"   × {plain(o, 2)}")
            for i, (v, o) in enumerate(zip(x, over, strict=True))
        ]
        return words, x + 0.012, y

    def source(table):
        x = row(table, "published").utilisation
        return np.array([[(x, -0.6), (x, len(order) - 0.4)]])

    return updating(
        segments(ax, source, colors=GREY, linewidths=1.1, linestyles=":"),
        segments(ax, stems, colors=colours, linewidths=1.6),
        *(line(ax, dots(kind), marker="o", ls="", ms=9, color=colour) for kind, colour in KIND_COLOUR.items()),
        labels(ax, amounts, size=9.5),
        text(
            ax,
            lambda table: row(table, "published").utilisation,
            1.015,
            "printed by its source",
            of="column",
            color=GREY,
            fontsize=9,
            ha="center",
        ),
    )


def _utilisation_summary(table):
    x, name = pick(table, "told", "utilisation", "name")
    here = row(table)
    return (
        f"MPT-7B with 65,536 tokens on H100s: from {plain(100 * x.min(), 2)} % ({name[x.argmin()]}) to {plain(100 * x.max(), 3)} % ({name[x.argmax()]}), "
        f"× {plain(here.whole, 2)}. Conventions alone differ by × {plain(here.spread, 2)}; the rest are omissions and errors."
    )


utilisation = Exhibit(
    slug="06-utilisation",
    title="One run, seven utilisations.",
    caption="MPT-7B on H100s, sequences of 65,536 tokens: one measured rate, divided in seven ways. Factors are over the first. "
    "Three are conventions; the others leave attention out or take another peak.",
    alt="Seven dots on stems, in three colours, from eight to thirty-eight percent, with a dotted line at the value that the source prints.",
    table=_utilisation_table,
    draw=_utilisation_draw,
    summary=_utilisation_summary,
    sources=names("llmfoundry_h100"),
)
