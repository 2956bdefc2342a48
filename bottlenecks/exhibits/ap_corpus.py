"""Figures of the appendix The corpus."""

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.registry import Control, Exhibit, pick, stack
from bottlenecks.exhibits.style import COLOUR, axis_in
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
    ax = figure.add_axes([0.20, 0.11, 0.77, 0.79])
    ax.set(xlabel="rows")
    ax.set_ylim(len(MEASURED) - 0.4, -0.6)

    def update(table):
        left = np.zeros(len(MEASURED))
        drawn = []
        for part, colour in PARTS.items():
            rows = pick(table, part, "rows")
            drawn += ax.barh(np.arange(rows.size), rows, left=left, color=colour, label=part, height=0.7)
            left = left + rows
        drawn += [ax.text(total + 20, i, plain(total, 4), va="center", fontsize=8.5) for i, total in enumerate(left)]
        ax.set_yticks(np.arange(len(MEASURED)), [name.replace("_", " ") for name in MEASURED], fontsize=8.5)
        ax.set_xlim(0, left.max() * 1.1)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.2, 1.0), ncols=4, fontsize=8.5)
        return drawn

    return update


def _roles_summary(table):
    total = {part: pick(table, part, "rows").sum() for part in PARTS}
    return (
        f"{plain(sum(total.values()), 5)} rows: {plain(total['fit'], 5)} to fit on, {plain(total['held-out'], 5)} held out, "
        f"{plain(total['again'], 5)} printed again in a later release, {plain(total['suspect'], 5)} suspect."
    )


roles = Exhibit(
    slug="A2-roles",
    title="What was measured.",
    caption="Rows of each table by what they are good for: fitting constants, scoring predictions, neither because a "
    "later release prints the same recipe again, or neither because something is wrong with the row.",
    alt="Stacked horizontal bars, one for each table of the corpus, with the number of its rows.",
    table=_roles_table,
    draw=_roles_draw,
    summary=_roles_summary,
)


# ---- by whom ------------------------------------------------------------------------------------------------

SHOWN = 24


def _sources_table(name):
    rows = corpus.table(name)
    sources, counts = np.unique(rows["source_id"], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    about = {row["source_id"]: row for row in data.rows("corpus_sources") if row["table"] == name}
    return stack(
        bars={
            "source": sources[order],
            "rows": counts[order].astype(float),
            "role": np.array([about[s]["role"] for s in sources[order]]),
            "published": np.array([about[s]["published"] for s in sources[order]]),
            "title": np.array([data.references()[s]["title"] for s in sources[order]]),
        },
        whole={"source": name, "rows": float(counts.sum())},
    )


def _sources_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = figure.add_axes([0.26, 0.09, 0.71, 0.85])

    def update(table):
        ax.clear()
        names, rows, role, published = pick(table, "bars", "source", "rows", "role", "published")
        y = np.arange(names.size)
        for each in ("fit", "held-out"):
            mine = role == each
            ax.barh(y[mine], rows[mine], color=PARTS[each], label=each, height=0.7)
        ax.set_yticks(y, [f"{n}{', ' + p[:4] if p else ''}" for n, p in zip(names, published, strict=True)], fontsize=8)
        ax.set(xscale="log", xlim=(0.8, max(rows.max() * 2, 20)), ylim=(max(names.size, 6) - 0.4, -0.6), xlabel="rows")
        ax.set_title(pick(table, "whole", "source")[0].replace("_", " "))
        axis_in(ax.xaxis, "")
        ax.legend(loc="lower right", fontsize=9)
        return []

    return update


def _sources_summary(table):
    name, total = pick(table, "whole", "source")[0], pick(table, "whole", "rows")[0]
    titles, rows = pick(table, "bars", "title", "rows")
    return f"{name}: {plain(total, 5)} rows. The largest source, with {plain(rows[0], 5)}: {titles[0]}."


sources = Exhibit(
    slug="A2-sources",
    title="By whom.",
    caption="The sources of a table by their number of rows, on a logarithmic axis, and the year of publication. A "
    "source is used to fit or to score, never both.",
    alt="Horizontal bars, one for each source, coloured by whether it is for fitting or held out.",
    controls={"name": Control(label="table", values=MEASURED, start="training")},
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
    figure.set_size_inches(7.6, 6.4)
    ax = figure.add_axes([0.27, 0.02, 0.70, 0.89])
    ax.set_ylim(CHIPS - 0.4, -0.6)
    ax.set_xlim(-0.6, len(ON) - 0.2)
    ax.xaxis.tick_top()

    def update(table):
        names, tables, rows = pick(table, "cells", "chip", "table", "rows")
        chips_shown = list(dict.fromkeys(names.tolist()))
        x = np.array([ON.index(t) for t in tables])
        y = np.array([chips_shown.index(n) for n in names])
        some = rows > 0
        drawn = [ax.scatter(x[some], y[some], s=14 + 5 * rows[some] ** 0.62, color=COLOUR["memory"], alpha=0.75)]
        drawn += [
            ax.text(
                a + 0.16,
                b,
                plain(r, 4) if r else "none",
                va="center",
                fontsize=7.5,
                color="#444444" if r else "#BBBBBB",
            )
            for a, b, r in zip(x, y, rows, strict=True)
        ]
        ax.set_yticks(np.arange(len(chips_shown)), chips_shown, fontsize=8)
        ax.set_xticks(np.arange(len(ON)), [name.replace("_", " ") for name in ON], fontsize=9)
        return drawn

    return update


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
    caption="Rows by chip and table, for the chips with the most rows. An empty cell is a question that the corpus can "
    "not answer.",
    alt="A matrix of dots, chips down and tables across, with the number of rows at each.",
    table=_coverage_table,
    draw=_coverage_draw,
    summary=_coverage_summary,
)
