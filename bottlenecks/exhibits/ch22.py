"""Figures of chapter 22, Does the model deserve trust?"""

import numpy as np

from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import end_labels, key, labels, text, told
from bottlenecks.exhibits.marks import HERE, Mark, circles, curve, level, live, segments, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts import corpus
from bottlenecks.facts.units import plain
from bottlenecks.laws import trust as law
from bottlenecks.measured import frame, rivals
from bottlenecks.measured import rent as rents
from bottlenecks.studies import trust

KINDS = tuple(sorted(frame.KINDS, reverse=True))  # training first
KIND = Control(label="measurements of", values=KINDS, start="training")
RIVALS = {"datasheet": COLOUR["idle"], "one number": COLOUR["memory"], "model": COLOUR["compute"]}
PERCENT = {0.03: "3 %", 0.1: "10 %", 0.3: "30 %", 1: "100 %", 3: "300 %"}


SQUARE = {"color": RIVALS["one number"], "marker": "s", "ls": "", "ms": 6}

# ---- our own history -----------------------------------------------------------------------------


def _history_table(kind):
    lines = trust.history(kind)
    return stack(stage={name: np.array([line[name] for line in lines]) for name in lines[0]}, here={"kind": kind})


def _history_draw(figure):
    figure.set_size_inches(7.6, 4.0)
    ax = panel(figure, 0.11, 0.25, 0.97, 0.9)
    y_axis(ax, "error, mean over sources", 0.08, 2, log="", ticks={0.1: "10 %", 0.2: "20 %", 0.5: "50 %", 1: "100 %"})
    key(figure, {"model": RIVALS["model"], "one number": RIVALS["one number"]}, 0.11, 0.95)
    figure.text(
        0.41, 0.95, "hollow: |predicted / measured − 1|; full: |ln(predicted / measured)|", fontsize=9.5, va="center"
    )

    def axes(table):
        stages, sources, shares = pick(table, "stage", "stage", "sources", "predicted")
        words = [
            f"{stage.replace(', ', chr(10))}\n{n:.0f} sources"
            + (f"\n{share:.0%} answered" if np.isfinite(share) else "")
            for stage, n, share in zip(stages, sources, shares, strict=True)
        ]
        x_axis(ax, "", -0.4, stages.size - 0.6, ticks=dict(enumerate(words)))
        ax.tick_params(axis="x", labelsize=9.5, length=0)

    def at(name, shift):
        return lambda table: (np.arange(pick(table, "stage", name).size) + shift, pick(table, "stage", name))

    def early(name):
        return lambda table: tuple(values[:-2] for values in at(name, 0)(table))

    def late(name):
        return lambda table: tuple(values[-2:] for values in at(name, 0)(table))

    def gap(table):
        return pick(table, "stage", "error").size - 2.5

    def words(table):
        x, y = at("error", 0)(table)
        return [f"{v:.0%}" for v in y], x + 0.06, y

    def others(table):
        x, y = at("one_number", 0)(table)
        known = np.isfinite(y)
        return [f"{v:.0%}" for v in y[known]], x[known] + 0.06, y[known]

    return updating(
        Mark([], axes),
        upright(ax, gap, color=COLOUR["idle"], lw=1, ls="--"),
        live(ax.plot, [], [], data=early("error"), color=RIVALS["model"], marker="o", ls="", mfc="white", mew=1.6),
        live(ax.plot, [], [], data=late("error"), color=RIVALS["model"], marker="o", ls=""),
        live(ax.plot, [], [], data=early("one_number"), **SQUARE, mfc="white"),
        live(ax.plot, [], [], data=late("one_number"), **SQUARE),
        labels(ax, words, size=9.5),
        labels(ax, others, size=9.5),
    )


def _history_summary(table):
    stages, errors, inside = pick(table, "stage", "stage", "error", "inside")
    told = [
        f"{stage}: {error:.0%}" + (f", {held:.0%} of rows inside the 80 % interval" if np.isfinite(held) else "")
        for stage, error, held in zip(stages.tolist(), errors, inside, strict=True)
    ]
    return f"Error in {row(table).kind}. {'; '.join(told)}."


history = Exhibit(
    slug="22-history",
    title="One model's error, by who was asked.",
    caption="The same promise at several moments: rows that were seen every day, rows collected apart, and what is printed now. "
    "Do not compare across the dashed line, where measure and model changed; each stage has other runs.",
    alt="Dots for the error of the model at each stage, on a logarithmic axis; squares for the error of one number.",
    controls={"kind": KIND},
    table=_history_table,
    draw=_history_draw,
    summary=_history_summary,
    rescales=True,
)


# ---- three ways to score --------------------------------------------------------------------------

WAYS = {
    "included": (COLOUR["idle"], "--", "own row included"),
    "row left out": (COLOUR["memory"], "-.", "own row left out"),
    "source left out": (COLOUR["compute"], "-", "own source left out"),
}


def _peeking_table(kind, split):
    found = trust.peeking(kind)
    model = rivals.summary(kind)["model"]["error"]
    columns = {way: np.array([line[way] for line in found.values()]) for way in WAYS}
    at = trust.SPLITS.index(split)
    return stack(
        split={"name": np.array(trust.SPLITS)} | columns,
        here={"kind": kind, "split": split, "at": at, "model": model}
        | {way: columns[way][at] for way in WAYS}
        | {"answered": found[split]["answered"]},
    )


def _peeking_draw(figure):
    figure.set_size_inches(7.6, 4.5)
    ax = panel(figure, 0.11, 0.17, 0.76, 0.95)
    places = {i: name.replace(" ", "\n", 1) for i, name in enumerate(trust.SPLITS)}
    x_axis(ax, "one number for each ... (each split finer than the one before)", -0.3, len(places) - 0.7, ticks=places)
    ax.tick_params(axis="x", labelsize=9.5, length=0)

    def scale(table):
        top = max(pick(table, "split", way).max() for way in WAYS)
        y_axis(ax, "error, mean over sources", 0, 1.12 * top, ticks={t: f"{t:.0%}" for t in _ticks(top)})

    def line(way):
        return lambda table: (np.arange(len(trust.SPLITS)), pick(table, "split", way))

    def at(table):
        here = row(table)
        return [here.at] * 3, [getattr(here, way) for way in WAYS]

    def ends(table):
        return {way: pick(table, "split", way)[-1] for way in WAYS} | {"model": row(table).model}

    names = {way: (words, colour) for way, (colour, _, words) in WAYS.items()}
    names["model"] = ("our model,\nsource left out", COLOUR["total"])
    drawn = [
        live(ax.plot, [], [], data=line(way), color=colour, ls=style, marker="o", ms=4)
        for way, (colour, style, _) in WAYS.items()
    ]
    return updating(
        Mark([], scale),
        *drawn,
        level(ax, lambda table: row(table).model, color=COLOUR["total"], lw=1, ls=":"),
        live(ax.plot, [], [], data=at, **HERE),
        end_labels(ax, names, ends),
    )


def _ticks(top):
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2) if top / s <= 7)
    return np.arange(0, top * 1.1, step).tolist()


def _peeking_summary(table):
    here = row(table)
    return (
        f"{here.kind}, one number for each {here.split}: error {here.included:.0%} with the row itself included, "
        f"{getattr(here, 'row left out'):.0%} with the row left out, {getattr(here, 'source left out'):.0%} with its whole source "
        f"left out; the class itself then answers {here.answered:.0%} of the rows. The model's error with the source left out: "
        f"{here.model:.0%}."
    )


peeking = Exhibit(
    slug="22-peeking",
    title="Three ways to score one rule.",
    caption="The rule: the median of measured over datasheet, for ever finer classes. Where leaving out empties a class, the next "
    "coarser one answers. Only the solid line tells what the rule is worth to a stranger.",
    alt="Three curves of error against the fineness of classes, by what is left out, and a level for the model.",
    controls={"kind": KIND, "split": Control(label="one number for each", values=trust.SPLITS, start="decade of time")},
    table=_peeking_table,
    draw=_peeking_draw,
    summary=_peeking_summary,
    rescales=True,
)


# ---- source by source -----------------------------------------------------------------------------


def _sources_table(kind, source):
    lines = trust.by_source(kind)
    at = round(source / 100 * (len(lines) - 1))
    here = lines[at]
    won, every = trust.nearer(kind)
    return stack(
        source={name: np.array([line[name] for line in lines]) for name in ("rows", *RIVALS)},
        here={
            "kind": kind,
            "at": at,
            "rows": here["rows"],
            "source": corpus.called(here["source"]),
            "won": won,
            "every": every,
        }
        | {name: here[name] for name in RIVALS},
    )


def _sources_draw(figure):
    figure.set_size_inches(7.6, 4.6)
    ax = panel(figure, 0.11, 0.125, 0.97, 0.82)
    y_axis(ax, "error on one source", 0.008, 6, log="", ticks={0.01: "1 %"} | PERCENT)
    key(figure, RIVALS, 0.11, 0.965)

    def axes(table):
        count = pick(table, "source", "rows").size
        x_axis(ax, "held-out sources, from the one predicted best", -1, count, ticks=())

    def at(name):
        return lambda table: (
            np.arange(pick(table, "source", name).size),
            np.maximum(pick(table, "source", name), 0.01),
        )

    looks = {"datasheet": ("x", 5), "one number": ("s", 4), "model": ("o", 5)}
    dots = [
        live(
            ax.plot,
            [],
            [],
            data=at(name),
            color=RIVALS[name],
            marker=marker,
            ms=size,
            ls="",
            mfc="none" if name != "model" else None,
        )
        for name, (marker, size) in looks.items()
    ]

    def words(table):
        here = row(table)
        return (
            f"{here.source}, {plain(here.rows)} rows: datasheet {here.datasheet:.0%}, one number "
            f"{getattr(here, 'one number'):.0%}, model {here.model:.0%}"
        )

    return updating(
        Mark([], axes),
        upright(ax, lambda table: row(table).at, color=COLOUR["highlight"], lw=6, alpha=0.35, zorder=0),
        *dots,
        text(figure, 0.11, 0.9, words, fontsize=10, weight="bold", va="center"),
    )


def _sources_summary(table):
    here = row(table)
    return (
        f"{here.kind}: the model is nearer than one number on {plain(here.won)} of {plain(here.every)} sources. Shown: {here.source}, "
        f"datasheet {here.datasheet:.0%}, one number {getattr(here, 'one number'):.0%}, model {here.model:.0%}."
    )


sources = Exhibit(
    slug="22-sources",
    title="Each source left out in turn.",
    caption="For each source everything learned from it is taken away; then its rows are predicted by three rivals. Errors below 1 % "
    "are drawn at 1 %.",
    alt="For each held-out source three marks on a logarithmic axis: the errors of datasheet, one number and model.",
    controls={
        "kind": KIND,
        "source": Control(label="place among sources", values=tuple(range(101)), start=50, unit="%"),
    },
    table=_sources_table,
    draw=_sources_draw,
    summary=_sources_summary,
    rescales=True,
)


# ---- what intervals hold ----------------------------------------------------------------------------

LEVELS = np.linspace(0.02, 0.98, 49)


def _calibration_table(kind, width):
    held = trust.inside(kind, LEVELS, width)
    once = next(line for line in trust.history(kind) if line["stage"] == trust.FRESH)
    return stack(
        curve={"promised": LEVELS, "held": held},
        normal={"promised": LEVELS, "held": law.share_inside(LEVELS, width)},
        once={"promised": 0.8 if width == 1 else np.nan, "held": once["inside"]},
        here={"kind": kind, "width": width, "promised": 0.8, "held": float(trust.inside(kind, 0.8, width))},
    )


def _calibration_draw(figure):
    figure.set_size_inches(7.6, 4.8)
    ax = panel(figure, 0.11, 0.125, 0.97, 0.97)
    ticks = {t / 100: f"{t} %" for t in (0, 20, 40, 60, 80, 100)}
    x_axis(ax, "promised: level of the interval", 0, 1.02, ticks=ticks)
    y_axis(ax, "held: measurements inside it", 0, 1.02, ticks=ticks)
    ax.plot([0, 1], [0, 1], color=COLOUR["total"], lw=0.8)
    ax.text(0.9, 0.97, "as promised", fontsize=9.5, color=GREY, ha="right", va="center")

    def words(table):
        once = row(table, "once")
        return f"fresh, once, by rows: {once.held:.0%}" if np.isfinite(once.promised) else "", 1.0, once.held - 0.07

    def now(table):
        here = row(table)
        return f"{here.held:.0%} now", here.promised + 0.015, here.held - 0.03

    return updating(
        curve(ax, "normal", "promised", "held", color=COLOUR["idle"], ls=":"),
        curve(ax, "curve", "promised", "held", color=COLOUR["compute"]),
        circles(ax, "once", "promised", "held"),
        curve(ax, "here", "promised", "held", **HERE),
        labels(ax, lambda t: ([words(t)[0]], [words(t)[1]], [words(t)[2]]), size=9.5, align="right"),
        labels(ax, lambda t: ([now(t)[0]], [now(t)[1]], [now(t)[2]]), size=9.5),
        told(
            ax,
            lambda t: f"intervals {plain(row(t).width, 2)} times as wide as the book's\ndotted: if errors were normal",
            fontsize=9.5,
        ),
    )


def _calibration_summary(table):
    here, once = row(table), row(table, "once")
    return (
        f"{here.kind}, intervals {plain(here.width, 2)} times as wide as the book's: the 80 % interval holds {here.held:.0%} of the "
        f"held-out measurements. On fresh rows, scored once before, it held {once.held:.0%}."
    )


calibration = Exhibit(
    slug="22-calibration",
    title="What intervals promise, and what they hold.",
    caption="Share of held-out measurements inside intervals of every level, every source with one voice, each interval made without "
    "the row's source. Above the diagonal intervals are too wide, below it too narrow.",
    alt="A curve of held against promised shares beside the diagonal, with one circle for the rows that were scored once.",
    controls={
        "kind": KIND,
        "width": Control(label="width", values=(0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), start=1.0, unit=""),
    },
    table=_calibration_table,
    draw=_calibration_draw,
    summary=_calibration_summary,
)


# ---- rent ----------------------------------------------------------------------------------------------


def _rent_table(kind):
    first, *rest = rents.table(kind)
    return stack(
        mechanism={
            "name": np.array([line["mechanism"] for line in rest]),
            "rent": np.array([float(line["rent"]) for line in rest]),
            "deviation": np.array([float(line["deviation"]) for line in rest]),
        },
        here={"kind": kind, "error": float(first["error"])},
    )


def _rent_draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = panel(figure, 0.43, 0.12, 0.95, 0.97)
    ax.axvline(0, color=COLOUR["total"], lw=0.8)

    def axes(table):
        names, earned = pick(table, "mechanism", "name", "rent")
        off = pick(table, "mechanism", "deviation")
        low, high = 100 * min((earned - off).min(), 0), 100 * (earned + off).max()
        x_axis(ax, "points by which the error is larger without it", low - 0.03 * high, 1.17 * high)
        rows(ax, names.tolist(), size=9.5)

    def bars(table):
        return np.arange(pick(table, "mechanism", "rent").size), 100 * pick(table, "mechanism", "rent")[None]

    def sure(table):
        earned, deviation = (100 * column for column in pick(table, "mechanism", "rent", "deviation"))
        return [((a - d, y), (a + d, y)) for y, (a, d) in enumerate(zip(earned, deviation, strict=True))]

    def words(table):
        y, (length,) = bars(table)
        end = np.maximum(length, 0) + 100 * pick(table, "mechanism", "deviation") + 0.012 * np.ptp(ax.get_xlim())
        return [f"{v:+.1f}" if abs(v) >= 0.05 else "0.0" for v in length], end, y

    return updating(
        Mark([], axes),
        stacked(ax, [COLOUR["compute"]], bars, thick=0.6),
        segments(ax, sure, colors=COLOUR["total"], linewidths=1.2, zorder=3),
        labels(ax, words, size=9.5),
    )


def _rent_summary(table):
    names, earned = pick(table, "mechanism", "name", "rent")
    idle = [name for name, value in zip(names.tolist(), earned, strict=True) if value < 0.002]
    here = row(table)
    return (
        f"{here.kind}, error {here.error:.1%} with all mechanisms. The dearest: {names[0]}, {100 * earned[0]:.1f} points. "
        + (f"Less than 0.2 points: {', '.join(idle)}." if idle else "Each earns 0.2 points or more.")
    )


rent = Exhibit(
    slug="22-rent",
    title="What each mechanism earns.",
    caption="The error on held-out sources is computed again without each mechanism, practice learned anew each time. A bar is how "
    "much larger it gets, the line one deviation of that mean. Below zero, the model is better without.",
    alt="Horizontal bars, one for each mechanism, in points of the error.",
    controls={"kind": KIND},
    table=_rent_table,
    draw=_rent_draw,
    summary=_rent_summary,
    rescales=True,
)
