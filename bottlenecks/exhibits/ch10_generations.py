"""A figure of chapter 10: what the datasheet said a newer chip would gain, and what real work gained."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import text
from bottlenecks.exhibits.marks import circles, line, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, plural
from bottlenecks.studies import generations

LEAST, MOST = 0.09, 14.0
TICKS = {0.1: "0.1", 0.2: "0.2", 0.5: "0.5", 1: "1", 2: "2", 5: "5", 10: "10"}
BAND = 1.2
NAMED = 3
SMALL = 0.25  # up to which an error is told in per cent


@keep
def _table(work, told_by):
    mine, error = generations.of_work(work), generations.errors(work)
    share, at_share = generations.share(work)
    better, apart_pairs = generations.nearer(work)
    off = np.abs(mine[told_by] - mine["measured"])
    return stack(
        pair={
            "name": [f"{a} → {b}" for a, b in zip(mine["older"].tolist(), mine["newer"].tolist(), strict=True)],
            "source": mine["source"],
            "told": np.exp(mine[told_by]),
            "measured": np.exp(mine["measured"]),
            "far": np.isin(np.arange(off.size), np.argsort(-off, kind="stable")[:NAMED]) * 1.0,
        },
        here={
            "work": work,
            "told_by": told_by,
            "error": error[told_by],
            "peak_error": error["peak FLOP/s"],
            "bandwidth_error": error["bandwidth"],
            "share": share,
            "share_error": at_share,
            "better": better,
            "apart": apart_pairs,
            "pairs": off.size,
            "sources": np.unique(mine["source"]).size,
        },
    )


def _draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = panel(figure, 0.105, 0.115, 0.975, 0.87)
    ends = np.array([LEAST, MOST])
    x_axis(ax, "", LEAST, MOST, log="", ticks=TICKS)
    y_axis(ax, "times as fast, measured", LEAST, MOST, log="", ticks=TICKS)
    ax.fill_between(ends, ends / BAND, ends * BAND, color="#EDEDED", lw=0, zorder=0)
    ax.plot(ends, ends, color="#9A9A9A", lw=1.0)
    ax.text(10.5, 13, "told = measured", ha="right", va="top", fontsize=8.5, color=GREY)

    def far(table):
        x, y, far = pick(table, "pair", "told", "measured", "far")
        return x[far > 0], y[far > 0]

    def names(table):
        name, off = pick(table, "pair", "name", "far")
        return "furthest off:\n" + "\n".join(sorted(str(each) for each in name[off > 0]))

    def telling(table):
        here = row(table)
        return f"{here.work}, {plural(here.pairs, 'pair')} of chips: told by {here.told_by}, off by {_off(here.error)}"

    return updating(
        text(ax, -0.09, 1.09, telling, of="axes", fontsize=11, weight="bold"),
        text(
            ax,
            0.5,
            -0.105,
            lambda table: f"times as fast, told by {row(table).told_by}",
            of="axes",
            ha="center",
            va="center",
        ),
        circles(ax, "pair", "told", "measured", ms=5),
        line(ax, far, marker="o", ms=5, ls="", color=COLOUR["highlight"], mec="black", mew=0.8, zorder=4),
        text(ax, 0.985, 0.03, names, of="axes", ha="right", va="bottom", fontsize=8.5, color=GREY, linespacing=1.4),
    )


def _off(error):
    """An error, |ln(told / measured)|, in words."""
    return f"{plain(100 * error, 2)} %" if error < SMALL else f"a factor of {plain(np.exp(error), 3)}"


def _summary(table):
    here = row(table)
    return (
        f"{here.work.capitalize()}: {plural(here.pairs, 'pair')} of chips that did the same work, of {plural(here.sources, 'source')}. Told by {here.told_by}: off by {_off(here.error)}; by "
        f"{_off(here.peak_error)} if peak FLOP/s tell it, {_off(here.bandwidth_error)} if bandwidth does. Of {plural(here.apart, 'pair')} whose two "
        f"gains differ by a fifth, bandwidth is the nearer in {here.better:.0f}. Best together: bandwidth to the power {plain(here.share, 2)}, peak to the "
        f"{plain(1 - here.share, 2)} ({_off(here.share_error)})."
    )


generations_told = Exhibit(
    slug="10-generations",
    title="Which line of the datasheet foretold the gain?",
    caption="Pairs of chips of one maker that did the same work: times as fast, told and measured. Band: within a fifth. "
    "Filled and named: the three furthest off. For which work does peak FLOP/s tell better than bandwidth?",
    alt="Told against measured gains of pairs of chips on logarithmic axes, with the diagonal where both agree.",
    controls={
        "work": Control(label="work", values=generations.WORK, start="decoding"),
        "told_by": Control(label="told by", values=generations.RIVALS, start="peak FLOP/s"),
    },
    table=_table,
    draw=_draw,
    summary=_summary,
    sources=("llamacpp_dai", "trtllm_v017", "mbridge_26.02"),
)
