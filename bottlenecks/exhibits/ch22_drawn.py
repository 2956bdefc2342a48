"""Drawings of chapter 22: what is left out of a number, and classes drawn towards the mean of all."""

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.drawn_parts import HEADLINE, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import HERE, boxes, live, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts import corpus
from bottlenecks.facts.units import plain, plural
from bottlenecks.studies import trust

LEFT = ("nothing", "the row", "its source")
STATES = {
    "the row asked for": COLOUR["highlight"],
    "in its number": COLOUR["memory"],
    "left out": COLOUR["compute"],
    "of another class": "#D0D0D0",
}
TALL, SQUARE, APART = 10, 8, 6  # rows of a source on one another, a row's side, between sources
FIELD = (14, 746, 96)  # left, right, top of the sources


# ---- rows and sources ------------------------------------------------------------------------------


def _leaving_table(split, left):
    rows, _ = trust.scored_rows("training")
    used, alike = trust.entering("training", split, left)
    at, values = trust.asked_row("training"), trust.slower("training")
    state = np.select([np.arange(alike.size) == at, used, alike], (0, 1, 2), 3)
    order = np.lexsort((rows["source_id"], rows["role"] == "fit"))
    number = float(np.median(values[used])) if used.any() else np.nan
    return stack(
        rows={
            "state": state[order].astype(float),
            "source": np.unique(rows["source_id"], return_inverse=True)[1][order] * 1.0,
        },
        here={
            "split": split,
            "left": left,
            "used": int(used.sum()),
            "sources": np.unique(rows["source_id"][used]).size,
            "name": corpus.called(rows["source_id"][at].item()),
            "share": np.exp(-number),
            "measured": float(np.exp(-values[at])),
        },
    )


def row_places(source):
    """Left and top of the square of each row: sources one after the other, ten rows on one another, lines as on a page."""
    left, right, top = FIELD
    x, y, places = left, top, []
    for rows in np.split(np.arange(source.size), np.flatnonzero(np.diff(source)) + 1):
        wide = -(-rows.size // TALL) * SQUARE
        if x + wide > right:
            x, y = left, y + TALL * SQUARE + 3 * APART
        i = np.arange(rows.size)
        places.append(np.stack([x + i // TALL * SQUARE, y + i % TALL * SQUARE]))
        x += wide + APART
    return np.concatenate(places, axis=1)


def _leaving_draw(figure):
    height = 372
    ax = page(figure, height)
    key(figure, STATES, 0.018, 1 - 76 / height)
    kept = {}

    def places(table):
        if not kept:  # the same rows at every setting
            kept["at"] = row_places(pick(table, "rows", "source"))
        return kept["at"]

    def squares(table):
        x, y = places(table)
        return flat(x, x + SQUARE - 1, y, y + SQUARE - 1)

    def colours(table):
        each = list(STATES.values())
        return [each[int(state)] for state in pick(table, "rows", "state")]

    def frame(table):
        (i,) = np.flatnonzero(pick(table, "rows", "state") == 0)
        x, y = places(table)[:, i]
        return outlines((x - 3, x + SQUARE + 2, y - 3, y + SQUARE + 2))

    def telling(table):
        here = row(table)
        if not here.used:
            return "no row is left: a coarser class has to answer"
        return f"The number: {here.share:.1%} of the peak, the median of {plural(here.used, 'row')} of {plural(here.sources, 'source')}"

    def counted(table):
        here = row(table)
        return f"Measured: {here.measured:.1%} ({here.name}). A block is a source, a square a row."

    return updating(
        text(ax, 14, 12, telling, **HEADLINE | {"fontsize": 11.5}),
        text(ax, 14, 50, counted, **SMALL),
        boxes(ax, squares, colours),
        segments(ax, frame, colors="black", linewidths=1.2),
    )


def _leaving_summary(table):
    here = row(table)
    told = (
        f"the median of {plural(here.used, 'row')} of {plural(here.sources, 'source')}, {here.share:.1%} of the peak"
        if here.used
        else "no row is left, and a coarser class has to answer"
    )
    return f"One number for each {here.split}, {here.left} left out: {told}; measured: {here.measured:.1%}."


leaving = Exhibit(
    slug="22-leaving",
    title="Who has a say in a number.",
    caption="Every scored training row as a square, a source's rows in one block. Blue rows give the one number by which the marked "
    "row is predicted; choose how fine the class is and what is left out.",
    alt="Blocks of small squares, one block for each source; squares coloured by their part in the number.",
    controls={
        "split": Control(label="one number for each", values=trust.SPLITS, start="chip"),
        "left": Control(label="left out", values=LEFT, start="the row"),
    },
    table=_leaving_table,
    draw=_leaving_draw,
    summary=_leaving_summary,
)


# ---- pooling -------------------------------------------------------------------------------------------

SPREADS = (0.001, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
LANES = ("user", "framework team", "vendor recipe")  # from the top
RATIO = {0.7: "0.7", 1: "1", 1.4: "1.4", 2: "2", 2.8: "2.8"}


def _pooling_table(between):
    means, of, _ = trust.classed()
    lines, off = trust.pooled(between)
    curve = [trust.pooled(each)[1].mean() for each in SPREADS]
    lane = np.array([LANES.index(name) for name in of.tolist()])
    return stack(
        source={"times": np.exp(means), "lane": lane.astype(float)},
        lane={
            "name": np.array(LANES),
            "sources": np.array([float(lines[name][0]) for name in LANES]),
            "own": np.array([lines[name][1] for name in LANES]),
            "pooled": np.array([lines[name][2] for name in LANES]),
        },
        curve={"between": np.array(SPREADS), "error": np.array(curve)},
        here={"between": between, "error": off.mean(), "every": float(np.exp(means.mean())), "within": trust.spread()},
    )


def _pooling_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax, low = panel(figure, 0.24, 0.42, 0.97, 0.93), panel(figure, 0.24, 0.1, 0.97, 0.3)
    x_axis(ax, "seconds measured over those of a well-tuned program, mean of a source", 0.65, 3.2, log="", ticks=RATIO)
    y_axis(ax, "", 2.6, -0.6, ticks=())
    y_axis(low, "error, source\nleft out", 0.145, 0.178, ticks={0.15: "15 %", 0.16: "16 %", 0.17: "17 %"})
    x_axis(low, "how far classes are thought to differ: deviation of their logarithms", -0.02, 1.02, unit="")
    key(
        figure,
        {"a source": "#9A9A9A", "the class's own mean": COLOUR["memory"], "drawn towards all": COLOUR["compute"]},
        0.24,
        0.965,
    )
    apart = np.random.default_rng(3).uniform(-0.2, 0.2, 200)  # so that dots are seen beside one another

    def dots(table):
        times, lane = pick(table, "source", "times", "lane")
        return times, lane + apart[: lane.size]

    def lanes(table):
        names, sources = pick(table, "lane", "name", "sources")
        return ([f"{name} ({n:.0f})" for name, n in zip(names, sources, strict=True)], np.full(3, 0.63), np.arange(3))

    def at(name):
        return lambda table: (pick(table, "lane", name), np.arange(3))

    def pulls(table):
        own, pooled = pick(table, "lane", "own", "pooled")
        return [((a, i + 0.33), (b, i + 0.33)) for i, (a, b) in enumerate(zip(own, pooled, strict=True))]

    def marks(name):
        return lambda table: (pick(table, "lane", name), np.arange(3) + 0.33)

    def said(table):
        pooled = pick(table, "lane", "pooled")
        return [f"{value:.2f}" for value in pooled], pooled, np.arange(3) + 0.5

    def upright_at_all(table):
        return [((row(table).every, -0.6), (row(table).every, 2.6))]

    return updating(
        segments(ax, upright_at_all, colors=COLOUR["total"], linewidths=0.8, linestyles=":"),
        live(ax.plot, [], [], data=dots, color="#9A9A9A", marker="o", ms=5, ls="", alpha=0.8),
        segments(ax, pulls, colors=COLOUR["compute"], linewidths=1.6),
        live(ax.plot, [], [], data=marks("own"), color=COLOUR["memory"], marker="o", ms=8, ls=""),
        live(ax.plot, [], [], data=marks("pooled"), color=COLOUR["compute"], marker="D", ms=8, ls=""),
        labels(ax, lanes, size=9.5, align="right"),
        labels(ax, said, size=9.5, align="center"),
        live(low.plot, [], [], data=lambda t: pick(t, "curve", "between", "error"), color=COLOUR["total"]),
        live(low.plot, [], [], data=lambda t: ([row(t).between], [row(t).error]), **HERE),
    )


def _pooling_summary(table):
    here = row(table)
    names, own, pooled = pick(table, "lane", "name", "own", "pooled")
    each = "; ".join(
        f"{n}: {a:.2f} by itself, {b:.2f} pooled" for n, a, b in zip(names.tolist(), own, pooled, strict=True)
    )
    return (
        f"Times a tuned program's: {each}; all sources {here.every:.2f}. Error on sources left out {here.error:.1%}, with classes "
        f"thought to differ by {plain(here.between, 2)} and sources of a class by {plain(here.within, 2)}."
    )


pooling = Exhibit(
    slug="22-pooling",
    title="What is to be expected of a class.",
    caption="Held-out training sources by kind of program. At the left of the slider all classes have one mean, at the right each has "
    "its own. The curve below scores each choice on sources left out.",
    alt="Dots for sources in three lanes, with each lane's own mean and its pooled mean joined by a line; below, a curve of error.",
    controls={"between": Control(label="how far classes differ", values=SPREADS, start=0.5)},
    table=_pooling_table,
    draw=_pooling_draw,
    summary=_pooling_summary,
)
