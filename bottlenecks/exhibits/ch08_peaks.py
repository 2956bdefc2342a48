"""A figure of chapter 08: published peaks of fine-tuning, predicted against measured."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import line, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts.units import plain, plural
from bottlenecks.measured import peaks

WAYS = {  # words -> rival, columns of bytes and of their ratio, the least that the axis shows
    "the model of this book": ("model", "predicted_bytes", "ratio", 3.0),
    "the rule of thumb": ("rule of thumb", "rule_bytes", "rule_ratio", 0.7),
}
COUNTED = {  # who counted: words, colour
    "allocator": ("the allocator's tensors", COLOUR["memory"]),
    "reserved": ("what it reserved", COLOUR["network"]),
    "device": ("the device", COLOUR["compute"]),
}
PALE = "#B5B5B5"
NAMED, BAND = 3, 0.2  # runs that are named; what "near" means
LEAST, MOST = 4.0, 130.0  # of the measured axis, GB
TICKS = {n: f"{n} GB" for n in (1, 2, 5, 10, 20, 50, 100)}
APART = 0.03  # of the axis, from one name to the next
SMALL = 0.25  # up to which an error is told in per cent


@keep
def _peaks_table(way):
    rival, predicted, ratio, least = WAYS[way]
    found, before = peaks.rows(), peaks.pretraining()
    asked = found["left_out"] == ""
    run = {name: values[asked] for name, values in found.items()}
    off = np.abs(np.log(run[ratio]))
    error, earlier = peaks.errors()[rival], peaks.errors(before)[rival]
    lines = zip(run["model"].tolist(), run["method"].tolist(), run["tokens"].tolist(), strict=True)
    return stack(
        run={
            "name": [f"{model} {method}, {tokens:,} tokens" for model, method, tokens in lines],
            "counted_by": run["counted_by"],
            "measured_gbytes": run["measured_bytes"] / 1e9,
            "predicted_gbytes": run[predicted] / 1e9,
            "far": np.isin(np.arange(off.size), np.argsort(-off, kind="stable")[:NAMED]) * 1.0,
        },
        pretraining={"measured_gbytes": before["measured_bytes"] / 1e9, "predicted_gbytes": before[predicted] / 1e9},
        here={
            "way": way,
            "least": least,
            "runs": off.size,
            "left_out": int((~asked).sum()),
            "sources": len(error["sources"]),
            "error": error["error"],
            "median": error["median"],
            "near": float(np.mean(np.abs(run[ratio] - 1) < BAND)),
            "before": earlier["error"],
        },
    )


def _off(error):
    """An error, |ln(predicted / measured)|, in words."""
    return f"{plain(100 * error, 2)} %" if error < SMALL else f"a factor of {plain(np.exp(error), 2)}"


def _peaks_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = panel(figure, 0.115, 0.105, 0.975, 0.855)
    x_axis(ax, "peak measured, of one chip", LEAST, MOST, log="", ticks={n: w for n, w in TICKS.items() if n > LEAST})
    y_axis(ax, "peak predicted", LEAST, MOST, log="", ticks=TICKS)
    ends = np.array([LEAST, MOST])
    ax.fill_between(ends, ends * (1 - BAND), ends * (1 + BAND), color="#EDEDED", lw=0, zorder=0)
    ax.plot(ends, ends, color="#9A9A9A", lw=1.0)
    words = {word: colour for word, colour in COUNTED.values()} | {"pretraining, held out": PALE}
    key(figure, words, 0.115, 0.885)

    def of_count(count):
        def points(table):
            x, y, by = pick(table, "run", "measured_gbytes", "predicted_gbytes", "counted_by")
            mine = np.array(by.tolist()) == count
            return x[mine], y[mine]

        return points

    def names(above):
        def of(table):
            x, y, far, name = pick(table, "run", "measured_gbytes", "predicted_gbytes", "far", "name")
            mine = np.flatnonzero((far > 0) & ((y > x) == above))
            order = mine[np.argsort(-y[mine], kind="stable")]
            steps = np.arange(order.size) * APART * np.log(MOST / row(table).least)  # so that no name lies on another
            start = np.log(y[order] * (1 if above else 0.92))
            height = np.minimum.accumulate(start + steps) - steps
            pushed = height < start - 1e-9  # beside the points of all, not of its own alone
            edge = x[order].min(initial=MOST) if above else x[order].max(initial=0)
            place = np.where(pushed, edge, x[order]) * (0.95 if above else 1.05)
            return [str(name[i]) for i in order], place, np.exp(height)

        return of

    def telling(table):
        here = row(table)
        ax.set_ylim(here.least, MOST)
        return (
            f"{plural(here.runs, 'peak')}, {here.way}: half within {_off(here.median)}, "
            f"mean of {plural(here.sources, 'source')} {_off(here.error)}"
        )

    return updating(
        text(ax, -0.11, 1.135, telling, of="axes", fontsize=10.5, weight="bold"),
        line(
            ax,
            lambda table: pick(table, "pretraining", "measured_gbytes", "predicted_gbytes"),
            ls="",
            marker="o",
            ms=2.6,
            color=PALE,
            mew=0,
            zorder=2,
        ),
        *(
            line(ax, of_count(count), ls="", marker="o", ms=5.5, mfc="none", mec=colour, mew=1.4, zorder=3)
            for count, (_, colour) in COUNTED.items()
        ),
        labels(ax, names(True), align="right", size=9),
        labels(ax, names(False), size=9),
    )


def _peaks_summary(table):
    here = row(table)
    return (
        f"{plural(here.runs, 'published peak')} of fine-tuning by {here.way}: {plain(100 * here.near, 2)} % lie within {100 * BAND:.0f} %, the median "
        f"error is {_off(here.median)}, the mean over {plural(here.sources, 'source')} {_off(here.error)}; over those of "
        f"held-out pretraining {_off(here.before)}. Left out, each for a reason given: {plural(here.left_out, 'row')}."
    )


peaks_against = Exhibit(
    slug="08-peaks",
    title="What it held, and what it was said to hold.",
    caption="Fine-tuning runs: the peak of one chip, predicted beside measured. Band: within 20 %. Named: the three furthest off; grey: runs of pretraining. Which "
    "runs does the rule of thumb miss most?",
    alt="Predicted against measured gigabytes on logarithmic axes: circles in three colours by who counted, and small grey dots of pretraining runs, about "
    "the diagonal for the model and mostly below it for the rule of thumb.",
    controls={"way": Control(label="predicted by", values=tuple(WAYS), start=next(iter(WAYS)))},
    table=_peaks_table,
    draw=_peaks_draw,
    summary=_peaks_summary,
    rescales=True,
    sources=("torchtune-readme", "torchtune-389", "fsdp-qlora", "qwen-profiling", "chen2024longlora", "bloom_prequel"),
)
