"""Figures of chapter 05, Why is the peak never reached?"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bottlenecks.exhibits import against
from bottlenecks.exhibits.axes import QUARTERS, counts, panel, x_axis, y_axis
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import (
    HERE,
    Mark,
    area,
    boxes,
    circles,
    curve,
    level,
    line,
    segments,
    stacked_areas,
    updating,
    upright,
)
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import roofline, tiling
from bottlenecks.measured import first_estimate, scores
from bottlenecks.models import kernels
from bottlenecks.studies import growth
from bottlenecks.studies import owners as studied

MEASURED = ("A100 SXM 80GB", "H100 SXM5", "A40")  # chips whose products were swept over rows
SWEPT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
SHAPES = {  # projections of a layer of Llama-2-7B and -70B, of a width and over both ways
    "4,096 x 4,096": (4096, 4096),
    "4,096 x 12,288": (4096, 12288),
    "4,096 x 22,016": (4096, 22016),
    "8,192 x 8,192": (8192, 8192),
    "8,192 x 10,240": (8192, 10240),
    "8,192 x 57,344": (8192, 57344),
    "28,672 x 8,192": (28672, 8192),
}
SMALL_AND_LARGE = ("4,096 x 4,096", "8,192 x 57,344")


def rows_axis(ax, low, high, label="rows multiplied at once"):
    """A horizontal axis of rows, by powers of two."""
    x_axis(ax, label, low, high, log="", ticks=counts(SWEPT[::2]))


# ---- 1: tiles and waves ---------------------------------------------------------------------------

TILED = {f"{rows} x {columns}": (rows, columns) for rows, columns in kernels.TILES}


def _edges():
    """Rows at which a tile fills, and the next: a saw-tooth drawn from them has upright edges."""
    full = np.arange(64, 8193, 64)
    between = np.round(np.geomspace(1, 8192, 160))
    return np.unique(np.concatenate([between, full, full[:-1] + 1.0]))


def _waves_table(chip_name, shape, tile):
    device, (k, n), (rows, columns) = chip(chip_name), SHAPES[shape], TILED[tile]
    peak = device.peak_flop_per_s("bf16")
    on = kernels.device(device)
    measured = first_estimate.matmul_sweep(chip_name, k=k, n=n)

    def reached(m, seconds):
        return roofline.matmul_flop(m, k, n) / seconds / peak

    m = _edges()
    filled = tiling.filled(m, n, tile_rows=rows, tile_columns=columns, cores=device.cores)
    return stack(
        filled={"rows": m, "fraction": filled},
        model={"rows": m, "fraction": reached(m, kernels.matmul_s(m, k, n, device=on))},
        sustained={"rows": 1.0, "fraction": on.matmul_flop_per_s / peak, "tile": tile, "chip": chip_name},
        measured={
            "rows": measured["m"],
            "fraction": reached(measured["m"], measured["time_s"]),
            "predicted": reached(measured["m"], kernels.matmul_s(measured["m"], k, n, device=on)),
        },
    )


def _waves_draw(figure):
    ax = panel(figure, 0.09, 0.125, 0.975, 0.915)
    rows_axis(ax, 0.85, 9830)
    y_axis(ax, "fraction of the dense peak", 0, 1.03)

    def sustained(table):
        return row(table, "sustained").fraction

    at, above = ("rows", "fraction"), {"of": "axes", "fontsize": 9.5}
    told = {"of": "row", "color": GREY, "fontsize": 9, "va": "bottom"}
    return updating(
        level(ax, sustained, color=COLOUR["idle"], lw=1, ls=":"),
        curve(ax, "filled", *at, color=COLOUR["compute"], lw=1.1, alpha=0.75),
        curve(ax, "model", *at, color=COLOUR["total"], lw=1.8),
        circles(ax, "measured", *at),
        text(
            ax, 0.01, lambda table: sustained(table) + 0.008, "fitted rate: the mean of what the library chose", **told
        ),
        text(
            ax,
            0.01,
            1.035,
            lambda table: f"tiles and waves alone, {row(table, 'sustained').tile}",
            color=COLOUR["compute"],
            **above,
        ),
        text(ax, 0.45, 1.035, "modelled, best tile", color=COLOUR["total"], **above),
        text(ax, 0.75, 1.035, "○ measured", **above),
        text(ax, 0.01, 0.94, lambda table: row(table, "sustained").chip, of="axes", weight="bold"),
    )


def _waves_summary(table):
    rows, fraction = pick(table, "filled", "rows", "fraction")
    next_row = np.diff(rows) == 1
    worst = np.where(next_row & (rows[:-1] >= 128), fraction[1:] / fraction[:-1], 1.0).argmin()
    at, measured, predicted = pick(table, "measured", "rows", "fraction", "predicted")
    top = measured.argmax()
    return (
        f"Tile {row(table, 'sustained').tile}: one row more than {plain(rows[worst], 4)} takes the share that tiles and "
        f"waves leave from {plain(100 * fraction[worst])} to {plain(100 * fraction[worst + 1])} %. Highest measured: "
        f"{plain(100 * measured[top])} % of the peak at {plural(at[top], 'row', 5)}. Mean absolute error of "
        f"the model at {measured.size} measured points: {plain(100 * np.mean(np.abs(measured / predicted - 1)), 2)} %."
    )


waves = Exhibit(
    slug="05-waves",
    title="The saw-tooth.",
    caption="Fraction of the dense 16-bit peak that a product reaches, against its rows. Orange: what whole tiles and "
    "whole waves leave, for one tile. Black: the modelled kernel, which pays for memory and starts too.",
    alt="Saw-tooth of the fraction of the peak against rows on a logarithmic axis: it climbs as a wave of tiles "
    "fills and falls by a row more. The modelled line takes smaller teeth, levels off below the peak, and passes "
    "near the measured circles.",
    controls={
        "chip_name": Control(label="chip", values=MEASURED, start="A100 SXM 80GB"),
        "shape": Control(label="k x n", values=tuple(SHAPES), start="4,096 x 4,096"),
        "tile": Control(label="tile", values=tuple(TILED), start="256 x 128"),
    },
    table=_waves_table,
    draw=_waves_draw,
    summary=_waves_summary,
    sources=("vidur_a100", "vidur_h100", "vidur_a40", "nvidia-matmul-guide"),
)


# ---- 2: who owns the time of a product ------------------------------------------------------------

OWNERS = studied.OWNERS
ROOM = 29  # points of the curve that a word covers
OWNED = ("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "MI300X", "L40S")


def _format_in(device, width):
    """The format of a width that a chip multiplies in: fp8, or int8 on chips before it."""
    if width == "16 bits":
        return growth.format16(device)
    return "fp8" if "fp8" in device.peaks else "int8"


def _owners_table(chip_name, width, shape, rows):
    device, (k, n) = chip(chip_name), SHAPES[shape]
    format = _format_in(device, width)
    on = kernels.device(device, format)

    def owned(m):
        """Shares by the book's fit, and the least and most of compute over all fits that are as good."""
        found = studied.shares_over_fits(chip_name, k=k, n=n, rows=m, format=format)
        ends = {"compute_low": found["compute"].min(0), "compute_high": found["compute"].max(0)}
        return {
            "rows": m,
            **{owner: each[0] for owner, each in found.items()},
            **ends,
            "fits": found["compute"].shape[0],
        }

    return stack(
        curve=owned(np.geomspace(1, 8192, 241)),
        here={**owned(np.array([float(rows)])), "time_s": kernels.matmul_s(rows, k, n, device=on), "format": on.format},
    )


def _owners_draw(figure):
    ax = panel(figure, 0.115, 0.125, 0.975, 0.90)
    rows_axis(ax, 1, 8192)
    y_axis(ax, "share of the time", 0, 1, ticks=QUARTERS)
    key(ax, {name: COLOUR[name] for name in OWNERS}, 0, 1.06)

    def shares_of(table):
        return np.array([np.clip(pick(table, "curve", name), 0, 1) for name in OWNERS])

    def words(table):
        """Each owner's name where its area is highest over the width of a word, if it is high enough."""
        x, parts = pick(table, "curve", "rows"), shares_of(table)
        high = np.cumsum(parts, 0)
        floor = sliding_window_view(high - parts, ROOM, axis=1).max(-1)
        room = sliding_window_view(high, ROOM, axis=1).min(-1) - floor
        widest, each = room.argmax(1), range(len(OWNERS))
        texts = [name if room[i, widest[i]] > 0.07 else "" for i, name in enumerate(OWNERS)]
        return texts, x[widest + ROOM // 2], (floor + room / 2)[each, widest], ink

    def band(table):
        return [np.clip(v, 0, 1) for v in pick(table, "curve", "compute_low", "compute_high")]

    def ends(table):
        return [np.stack([pick(table, "curve", "rows"), end], 1) for end in band(table)]

    ink = ["black" if name in ("cache", "latency") else "white" for name in OWNERS]
    return updating(
        stacked_areas(
            ax, [COLOUR[name] for name in OWNERS], lambda table: (pick(table, "curve", "rows"), shares_of(table))
        ),
        area(ax, lambda table: (pick(table, "curve", "rows"), *band(table)), fc="none", ec="#00000059", hatch="///"),
        segments(ax, ends, colors="black", linewidths=1.1, linestyles=":"),
        upright(ax, lambda table: row(table).rows, color="black", lw=1.5, zorder=4),
        labels(ax, words, align="center", weight="bold", size=10.5),
        line(ax, lambda table: ([row(table).rows], [1]), **HERE, zorder=5, clip_on=False),
    )


def _owners_summary(table):
    here = row(table)
    owned = {name: getattr(here, name) for name in OWNERS}
    order = sorted(owned, key=owned.get, reverse=True)
    verdict = f"{order[0]} owns most" if owned[order[0]] > 0.5 else "no resource owns half"
    said = ", ".join(f"{name} {plain(100 * max(owned[name], 0), 2)} %" for name in order)
    return (
        f"{plural(here.rows, 'row', 5)} in {here.format}, {si(here.time_s, 's')}: {said}; {verdict}. Compute owns "
        f"{plain(100 * max(here.compute_low, 0), 2)} to {plain(100 * here.compute_high, 2)} % over {int(here.fits)} fits as good."
    )


owners = Exhibit(
    slug="05-owners",
    title="Who owns the time of a product?",
    caption="By how many percent the time of one product falls when a resource becomes one percent faster (eq:shares). Hatched: "
    "where compute ends in other fits that are as good, so the split is known no better.",
    alt="Stacked areas that fill the plot from zero to one against rows on a logarithmic axis: memory at few rows, "
    "compute at many, cache and latency between; a hatched band around the edge of compute.",
    controls={
        "chip_name": Control(label="chip", values=OWNED, start="H100 SXM5"),
        "width": Control(label="format", values=("16 bits", "8 bits"), start="16 bits"),
        "shape": Control(label="k x n", values=SMALL_AND_LARGE, start="4,096 x 4,096"),
        "rows": Control(label="rows", values=SWEPT, start=256, unit="rows"),
    },
    table=_owners_table,
    draw=_owners_draw,
    summary=_owners_summary,
)


# ---- 3: from the ideal to the model ---------------------------------------------------------------

STAGES = {  # of kernels.stages: colour
    "arithmetic at the peak": COLOUR["compute"],
    "rate sustained": "#E8905A",
    "tiles and waves": COLOUR["idle"],
    "operands from the cache": COLOUR["cache"],
    "memory not hidden": COLOUR["memory"],
    "start and end": COLOUR["latency"],
}
ORDERS = ("arithmetic first", "memory first")
FALLEN = ("A100 SXM 80GB", "H100 SXM5", "A40", "B200 SXM (HGX)", "MI300X")


def _waterfall_table(chip_name, shape, order, rows):
    k, n = SHAPES[shape]
    seconds = {
        name: float(kernels.matmul_s(rows, k, n, device=on))
        for name, on in kernels.stages(chip(chip_name), memory_first=order == ORDERS[1]).items()
    }
    ends = np.array(list(seconds.values()))
    starts = np.concatenate([[0.0], ends[:-1]])
    measured = first_estimate.matmul_sweep(chip_name, k=k, n=n)
    times = measured["time_s"][measured["m"] == rows]
    return stack(
        stage={"name": list(seconds), "start_s": starts, "end_s": ends, "added_s": ends - starts},
        model={"name": "modelled", "end_s": ends[-1], "rows": rows},
        measured={"name": ["measured"] * times.size, "end_s": times},
    )


def _waterfall_draw(figure):
    ax = panel(figure, 0.255, 0.125, 0.985, 0.975)
    n, y = len(STAGES), np.arange(len(STAGES))
    x_axis(ax, "time, modelled = 100 %", 0, 1.7, ticks=QUARTERS | {1.25: "125 %", 1.5: "150 %"})
    y_axis(ax, "", n + 1.55, -0.55, ticks=())
    ax.axhline(n - 0.5, color=COLOUR["idle"], lw=0.8)
    ax.barh(n, 1, height=0.62, color=COLOUR["total"])

    def whole(table):
        return row(table, "model").end_s

    def stage(table, *columns):
        return [values / whole(table) for values in pick(table, "stage", *columns)]

    def bars(table):
        return *stage(table, "start_s", "end_s"), y - 0.31, y + 0.31

    def joints(table):
        return [[(e, i - 0.31), (e, i + 1.31)] for i, e in enumerate(pick(table, "stage", "end_s") / whole(table))]

    def names(table):
        return [*pick(table, "stage", "name").tolist(), "modelled", "measured"], -0.012, np.arange(n + 2)

    def amounts(table):
        ends, added = stage(table, "end_s", "added_s")
        words = [f"{'+ ' * (i > 0)}{si(a * whole(table), 's')}" if a > 1e-4 else "nothing" for i, a in enumerate(added)]
        colours = ["black" if a > 1e-4 else GREY for a in added]
        return [*words, si(whole(table), "s")], [*(ends + 0.012), 1.012], np.arange(n + 1), [*colours, "black"]

    def measured(table):
        times = pick(table, "measured", "end_s") / whole(table)
        return times, np.full(times.size, n + 1)

    def verdict(table):
        """What was measured, beside its circles: at the left where there is no room at the right."""
        times = pick(table, "measured", "end_s")
        most, least = (f(times, initial=0) / whole(table) for f in (np.max, np.min))
        least = times.min() / whole(table) if times.size else least
        late = most > 1.2
        return {
            "text": " and ".join(si(t, "s") for t in times) if times.size else "not in the corpus",
            "x": least - 0.03 if late else most + 0.03,
            "ha": "right" if late else "left",
            "color": "black" if times.size else GREY,
        }

    word = ax.text(0, n + 1, "", va="center", fontsize=9.5)
    return updating(
        segments(ax, joints, colors=COLOUR["idle"], linewidths=0.8),
        boxes(ax, bars, lambda table: [STAGES[name] for name in pick(table, "stage", "name").tolist()]),
        line(ax, measured, marker="o", ls="", ms=8, mfc="white", mec=COLOUR["measured"], mew=1.5),
        labels(ax, names, of="row", align="right", size=10),
        labels(ax, amounts, size=9.5),
        Mark([word], lambda table: word.set(**verdict(table))),
    )


def _waterfall_summary(table):
    names, added = pick(table, "stage", "name", "added_s")
    model, most = row(table, "model"), 1 + added[1:].argmax()
    text = (
        f"{plural(model.rows, 'row', 5)}: {si(added[0], 's')} of arithmetic at the peak, {si(model.end_s, 's')} modelled, "
        f"{plain(100 * added[0] / model.end_s)} % of the peak. The largest loss: {names[most]}, {si(added[most], 's')}."
    )
    times = pick(table, "measured", "end_s")
    return text + (f" Measured: {' and '.join(si(t, 's') for t in times)}." if times.size else "")


waterfall = Exhibit(
    slug="05-waterfall",
    title="From the peak to the kernel.",
    caption="Time of one product in 16 bits as mechanism after mechanism is switched on. Of two that overlap the later "
    "one seems cheap: change the order. Circles: measured kernels of that shape.",
    alt="Waterfall of horizontal bars, each beginning where the one above ends: arithmetic at the peak, the rate "
    "sustained, tiles and waves, operands from the cache, memory, start and end; then the modelled total and the measured "
    "time.",
    controls={
        "chip_name": Control(label="chip", values=FALLEN, start="A100 SXM 80GB"),
        "shape": Control(label="k x n", values=tuple(SHAPES), start="4,096 x 4,096"),
        "order": Control(label="order", values=ORDERS, start=ORDERS[0]),
        "rows": Control(label="rows", values=SWEPT, start=512, unit="rows"),
    },
    table=_waterfall_table,
    draw=_waterfall_draw,
    summary=_waterfall_summary,
    sources=("vidur_a100", "vidur_h100", "vidur_a40"),
)


# ---- 4: reality -----------------------------------------------------------------------------------

GROUPS = ("matmul", "matmul, other kernels", "attention", "elementwise")
FAMILY_STYLE = {
    "Volta": ("#8C6D31", "v"),
    "Turing": ("#8C6D31", "P"),
    "Ampere": ("#0072B2", "o"),
    "Ampere GDDR": ("#0072B2", "s"),
    "Ada": ("#56B4E9", "^"),
    "Hopper": ("#D55E00", "o"),
    "Blackwell": ("#009E73", "o"),
    "Blackwell GDDR": ("#009E73", "s"),
    "CDNA 3": ("#CC79A7", "o"),
    "CDNA 4": ("#CC79A7", "s"),
    "another family": ("#E69F00", "D"),
}


@cache
def _scored():
    """Every scored row of the corpus: modelled and measured seconds, and whether it lies inside."""
    rows = corpus.table("kernels")
    found = scores.table("kernels")
    fair = scores.fair(rows, found)
    families = [chip(name).family if name else "" for name in rows["chip_name"].tolist()]
    columns = {
        "group": found["group"],
        "role": rows["role"],
        "source": np.array([corpus.called(source) for source in rows["source_id"].tolist()]),
        "family": np.array([f if f in FAMILY_STYLE else "another family" for f in families]),
        **scores.in_seconds(found),
        "inside": scores.inside(found).astype(float),
    }
    return {name: values[fair] for name, values in columns.items()}


def _predicted_table(group):
    columns = _scored()
    mine = columns["group"] == group
    shown = ("source", "family", "predicted_s", "measured_s", "error", "inside")
    return stack(
        **{
            role: {name: columns[name][mine & (columns["role"] == role)] for name in shown}
            for role in ("fit", "held-out")
        }
    )


def _predicted_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    axes = against.panels(figure, 0.115, 0.735, (2e-6, 0.5), ratios=(0.22, 9))

    def fitted(table):
        count = pick(table, "fit", "error").size
        return [f"fitted on, {count:,}"] if count else []

    look = {
        "by": "family",
        "styles": FAMILY_STYLE,
        "slots": len(FAMILY_STYLE),
        "words": lambda family, error: f"{family}, {error.size}",
        "step": 0.037,
    }
    return updating(against.scored(figure, axes, head="held out, rows", fitted=fitted, **look))


def _predicted_summary(table):
    error, inside = pick(table, "held-out", "error", "inside")
    by_source = {s: np.abs(e).mean() for s, (*_, e) in against.groups(table, "held-out", "source").items()}
    worst = max(by_source, key=by_source.get)
    text = (
        f"{error.size} held-out rows of {len(by_source)} sources: mean absolute error {plain(100 * np.mean(list(by_source.values())), 2)} % "
        f"per source, worst {plain(100 * by_source[worst], 2)} % ({worst}); {plain(100 * inside.mean(), 2)} % of rows inside "
        f"the 80 % interval."
    )
    fit = pick(table, "fit", "error")
    return text + (f" {fit.size:,} fitted rows: {plain(100 * np.abs(fit).mean(), 2)} %." if fit.size else "")


predicted = Exhibit(
    slug="05-predicted",
    title="Does it hold?",
    caption="Measured against modelled time of every kernel that can be scored. Grey: what the constants were fitted "
    "on. In colour: sources that the fit never saw, by family of chip.",
    alt="Log-log scatter of measured against predicted kernel time, and below it their ratio, with a band of ten "
    "percent; fitted rows small and grey, held-out rows in colour by family of chip.",
    controls={"group": Control(label="kernels", values=GROUPS, start="matmul")},
    table=_predicted_table,
    draw=_predicted_draw,
    summary=_predicted_summary,
)
