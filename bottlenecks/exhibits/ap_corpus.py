"""Figures of the appendix The corpus."""

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import key, labels
from bottlenecks.exhibits.marks import Mark, live, stacked, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts import corpus
from bottlenecks.facts.units import plain

MEASURED = tuple(name for name in corpus.TABLES if name != "nccl_tuning_constants")
PARTS = {"fit": "#0072B2", "held-out": "#D55E00", "again": "#BBBBBB", "suspect": "#E69F00"}


def _parts(name):
    """Rows of a table by what they are good for; each row is counted once."""
    rows = corpus.table(name)
    suspect, again = rows["suspect"] != "", rows["duplicate_of"] >= 0
    fine = ~suspect & ~again
    return {
        "fit": fine & (rows["role"] == "fit"),
        "held-out": fine & (rows["role"] == "held-out"),
        "again": again & ~suspect,
        "suspect": suspect,
    }


def titled(name):
    """A table's name in words; a table of one source is called as its source is."""
    sources = list(corpus.sources(name))
    return corpus.called(sources[0]) if len(sources) == 1 else name.replace("_", " ")


TITLES = {titled(name): name for name in MEASURED}


# ---- what there is ------------------------------------------------------------------------------------


def _roles_table():
    return stack(
        **{
            part: {
                "table": np.array(MEASURED),
                "rows": np.array([float(_parts(name)[part].sum()) for name in MEASURED]),
            }
            for part in PARTS
        }
    )


def _roles_draw(figure):
    figure.set_size_inches(7.6, 4.4)
    ax = panel(figure, 0.20, 0.11, 0.97, 0.90)
    rows(ax, list(TITLES), size=9.5)
    key(ax, PARTS, -0.2, 1.05, size=9.5)
    y = np.arange(len(MEASURED))

    def parts(table):
        return np.array([pick(table, part, "rows") for part in PARTS])

    def totals(table):
        whole = parts(table).sum(0)
        return [plain(total, 4) for total in whole], whole + 20, y

    return updating(
        Mark([], lambda table: x_axis(ax, "rows", 0, parts(table).sum(0).max() * 1.1, unit="")),
        stacked(ax, PARTS.values(), lambda table: (y, parts(table)), thick=0.7),
        labels(ax, totals, size=9.5),
    )


def _roles_summary(table):
    total = {part: pick(table, part, "rows").sum() for part in PARTS}
    return (
        f"{plain(sum(total.values()), 5)} rows: {plain(total['fit'], 5)} to fit on, {plain(total['held-out'], 5)} held out, "
        f"{plain(total['again'], 5)} printed again in a later release, {plain(total['suspect'], 5)} suspect."
    )


roles = Exhibit(
    slug="A2-roles",
    title="What was measured.",
    caption="Rows of each table by what they are good for: fitting constants, scoring predictions, neither because "
    "a later release prints the same recipe again, or neither because something is wrong with the row.",
    alt="Stacked horizontal bars, one for each table of the corpus, with the number of its rows.",
    table=_roles_table,
    draw=_roles_draw,
    summary=_roles_summary,
)


# ---- by whom ------------------------------------------------------------------------------------------------

SHOWN = 24


def _sources_table(title):
    name = TITLES[title]
    rows = corpus.table(name)
    sources, counts = np.unique(rows["source_id"], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    about = {row["source_id"]: row for row in data.rows("corpus_sources") if row["table"] == name}
    return stack(
        sources={
            "source": np.array([corpus.called(source) for source in sources[order].tolist()]),
            "rows": counts[order].astype(float),
            "role": np.array([about[s]["role"] for s in sources[order]]),
            "published": np.array([about[s]["published"] for s in sources[order]]),
            "title": np.array([data.references()[s]["title"] for s in sources[order]]),
        },
        whole={"source": title, "rows": float(counts.sum())},
    )


def _sources_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    ax = panel(figure, 0.355, 0.085, 0.97, 0.94)
    key(ax, {role: PARTS[role] for role in ("fit", "held-out")}, 0.68, 1.025, size=9.5)

    def axes(table):
        sources, published, counts = pick(table, "sources", "source", "published", "rows")
        x_axis(ax, "rows", 0.8, max(counts.max() * 2, 20), log="")
        names = [
            s if p[:4] in s else f"{s}, {p[:4]}" for s, p in zip(sources.tolist(), published.tolist(), strict=True)
        ]
        ax.set_yticks(range(sources.size), names)
        ax.set_ylim(max(sources.size, 6) - 0.4, -0.6)
        ax.tick_params(axis="y", labelsize=9)
        ax.set_title(row(table, "whole").source)

    def places(table):
        counts = pick(table, "sources", "rows")
        return np.column_stack([counts, np.arange(counts.size)])

    def colours(table):
        return [PARTS[role] for role in pick(table, "sources", "role").tolist()]

    return updating(Mark([], axes), live(ax.scatter, [], [], s=50, zorder=3, offsets=places, facecolors=colours))


def _sources_summary(table):
    whole, (titles, counts) = row(table, "whole"), pick(table, "sources", "title", "rows")
    return f"{whole.source}: {plain(whole.rows, 5)} rows. The largest source, with {plain(counts[0], 5)}: {titles[0]}."


sources = Exhibit(
    slug="A2-sources",
    title="By whom.",
    caption="The sources of a table by their number of rows, on a logarithmic axis, and the year of publication. A "
    "source is used to fit or to score, never both.",
    alt="Dots on a logarithmic axis, one for each source, coloured by whether it is for fitting or held out.",
    controls={"title": Control(label="table", values=tuple(TITLES), start="training")},
    table=_sources_table,
    draw=_sources_draw,
    summary=_sources_summary,
    rescales=True,
)


# ---- on what ---------------------------------------------------------------------------------------------------

ON = ("kernels", "inference", "training", "mlperf_training", "collectives")
CHIPS = 26


def _coverage_table():
    counts = {}
    for name in ON:
        for chip_name in corpus.table(name)["chip_name"]:
            if chip_name:
                counts.setdefault(str(chip_name), dict.fromkeys(ON, 0))[name] += 1
    ranked = sorted(counts, key=lambda c: -sum(counts[c].values()))[:CHIPS]
    pairs = [(c, name, float(counts[c][name])) for c in ranked for name in ON]
    chip_names, names, rows = zip(*pairs, strict=True)
    return stack(cells={"chip": np.array(chip_names), "table": np.array(names), "rows": np.array(rows)})


def _coverage_draw(figure):
    figure.set_size_inches(7.6, 7.0)
    ax = panel(figure, 0.27, 0.02, 0.97, 0.935)
    x_axis(ax, "", -0.6, len(ON) - 0.2, ticks={i: titled(name) for i, name in enumerate(ON)})
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", labelsize=9.5)

    def axes(table):
        names = dict.fromkeys(pick(table, "cells", "chip").tolist())
        y_axis(ax, "", CHIPS - 0.4, -0.6, ticks=dict(enumerate(names)))
        ax.tick_params(axis="y", labelsize=9)
        for x, y, n in zip(*cells(table), strict=True):
            colour = "#444444" if n else "#BBBBBB"
            ax.text(x + 0.16, y, plain(n, 4) if n else "none", va="center", fontsize=9, color=colour)

    def cells(table):
        rows = pick(table, "cells", "rows")
        return np.tile(np.arange(len(ON)), CHIPS), np.repeat(np.arange(CHIPS), len(ON)), rows

    dots = {
        "offsets": lambda table: np.stack(cells(table)[:2], -1)[cells(table)[2] > 0],
        "sizes": lambda table: 12 + 4 * cells(table)[2][cells(table)[2] > 0] ** 0.62,
    }
    return updating(Mark([], axes), live(ax.scatter, [], [], color=COLOUR["memory"], alpha=0.75, **dots))


def _coverage_summary(table):
    names, rows = pick(table, "cells", "chip", "rows")
    chips_shown = list(dict.fromkeys(names.tolist()))
    total = {c: rows[names == c].sum() for c in chips_shown}
    top = chips_shown[:3]
    missing = int((rows == 0).sum())
    return (
        f"The three most measured chips, {', '.join(top)}, hold {plain(100 * sum(total[c] for c in top) / rows.sum(), 2)} % of "
        f"the rows shown; {missing} of the {rows.size} cells are empty."
    )


coverage = Exhibit(
    slug="A2-coverage",
    title="On what, and what is missing.",
    caption="Rows by chip and table, for the chips with the most rows. An empty cell is a question that the corpus "
    "cannot answer.",
    alt="A matrix of dots, chips down and tables across, with the number of rows at each.",
    table=_coverage_table,
    draw=_coverage_draw,
    summary=_coverage_summary,
)
