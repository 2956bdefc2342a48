"""Figures of chapter 05 on peaks: of each number format, what they grew from, what a narrower format gains."""

from itertools import pairwise

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.ch05 import SHAPES, SMALL_AND_LARGE, SWEPT, rows_axis
from bottlenecks.exhibits.labels import end_labels, key, labels, text, told
from bottlenecks.exhibits.marks import boxes, curve, diamond, level, line, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import roofline, shares
from bottlenecks.models import kernels
from bottlenecks.studies import growth


def times(factor):
    """A factor, as ×1.5."""
    return f"×{factor:.3g}"


# ---- 1: the peak of each format -------------------------------------------------------------------

FORMATTED = names(
    "V100 SXM2 16GB, A100 SXM 80GB, H100 SXM5, B200 SXM (HGX), B300 SXM (HGX), MI300X, MI355X, TPU v7, RTX 4090"
)
LISTED = {
    "fp64": "fp64, vector",
    "fp64_matrix": "fp64, matrix",
    "fp32": "fp32, vector",
    "tf32": "tf32",
    "bf16": "bf16",
    "fp16": "fp16",
    "fp8": "fp8",
    "int8": "int8",
    "fp6": "fp6",
    "fp4": "fp4",
}


def _formats_table(chip_name):
    device = chip(chip_name)
    wide = growth.format16(device)
    have = [f for f in LISTED if f in device.peaks]
    peaks = np.array([device.peak_flop_per_s(f) for f in have])
    sizes = np.array([bytes_per_value(f) for f in have], dtype=float)
    ridges = roofline.ridge_flop_per_byte(peak_flop_per_s=peaks, bytes_per_s=device.memory_bytes_per_s)
    return stack(
        format={
            "format": have,
            "chip": device.name,
            "bytes_per_value": sizes,
            "peak_flop_per_s": peaks,
            "ridge_flop_per_byte": ridges,
            "peak_over_16_bits": peaks / device.peak_flop_per_s(wide),
            "bytes_over_16_bits": sizes / bytes_per_value(wide),
        }
    )


def over(factor):
    """A factor as ×4, and one below a half as a fraction: 1/7.4."""
    return times(factor) if factor > 0.95 else f"1/{plain(1 / factor, 2)}"


def _formats_draw(figure):
    ax = panel(figure, 0.135, 0.125, 0.60, 0.85)
    x_axis(ax, "over 16 bits", 1 / 180, 11, log="", ticks={4.0**i: over(4.0**i) for i in range(-3, 2)})
    y_axis(ax, "", 1, 0, ticks=())
    ax.axvline(1, color=COLOUR["idle"], lw=1)
    columns = {  # of the table beside the picture: where, title, words of a value
        "peak_flop_per_s": (1.22, "peak\n[TFLOP/s]", lambda value: plain(value / 1e12, 4)),
        "peak_over_16_bits": (1.41, "peak,\nover 16", over),
        "bytes_over_16_bits": (1.62, "bytes,\nover 16", over),
        "ridge_flop_per_byte": (1.835, "ridge\n[FLOP/B]", plain),
    }
    for x, title, _ in columns.values():
        ax.text(x, 1.02, title, transform=ax.transAxes, ha="right", va="bottom", fontsize=9, color=GREY)
    ax.text(0, 1.03, "● peak", transform=ax.transAxes, color=COLOUR["compute"])
    ax.text(0.2, 1.03, "□ bytes of a value", transform=ax.transAxes, color=COLOUR["memory"])

    def at(table):
        """Where the formats lie on an axis from 0 (top) to 1, as many as there are."""
        n = (table["series"] == "format").sum()
        return (np.arange(n) + 0.5) / n

    def of(name):
        return lambda table: (pick(table, "format", name), at(table))

    def names(table):
        return [LISTED[f] for f in pick(table, "format", "format").tolist()], -0.02, at(table)

    def cells(name, x, words):
        return lambda table: ([words(v) for v in pick(table, "format", name)], x, at(table))

    def across(table):
        return np.stack([np.column_stack([np.full(at(table).size, x), at(table)]) for x in (0.001, 100)], 1)

    right = {"of": "row", "align": "right", "size": 9.5}
    square = {"marker": "s", "ls": "", "ms": 11, "mfc": "none", "mew": 1.8, "color": COLOUR["memory"]}
    return updating(
        segments(ax, across, colors="#EAEAEA", linewidths=0.8, zorder=1),
        line(ax, of("bytes_over_16_bits"), **square),
        line(ax, of("peak_over_16_bits"), marker="o", ls="", ms=7, color=COLOUR["compute"]),
        labels(ax, names, **right),
        *(labels(ax, cells(name, x, words), **right) for name, (x, _, words) in columns.items()),
        text(figure, 0.012, 0.975, lambda table: row(table, "format").chip, va="top", weight="bold"),
    )


def _formats_summary(table):
    formats, sizes, peaks, ridges = pick(
        table, "format", "format", "bytes_per_value", "peak_flop_per_s", "ridge_flop_per_byte"
    )
    best = {}  # bytes of a value -> the fastest format of that size; tf32 is an fp32 cut short
    for format, size, peak in zip(formats.tolist(), sizes.tolist(), peaks.tolist(), strict=True):
        if format != "tf32" and peak > best.get(size, ("", 0))[1]:
            best[size] = (format, peak)
    steps = []
    for wide, narrow in pairwise(sorted(best, reverse=True)):
        gain = best[narrow][1] / best[wide][1]
        held = gain / (wide / narrow)
        word = "more than" if held > 1.05 else "less than" if held < 0.95 else "in proportion to"
        steps.append(f"{best[wide][0].replace('_', ' ')} to {best[narrow][0]} {times(gain)}, {word} the bytes")
    return (
        f"{row(table, 'format').chip}: {'; '.join(steps) or 'one size of values only'}. Ridges from {plain(ridges.min())} "
        f"to {plain(ridges.max())} FLOP/B."
    )


formats = Exhibit(
    slug="05-formats",
    title="A peak for every format.",
    caption="Dense peak (dots) and bytes of a value (squares) of one chip's number formats, over those of 16 bits. "
    "Where half of the bytes mean twice the peak, the two lie as far from the line on either side.",
    alt="Dot chart with a line for each number format from fp64 to fp4 and a logarithmic axis of factors over 16 bits: "
    "a dot for the peak, a square for the bytes of a value; beside them the peak, both factors and the ridge point.",
    controls={"chip_name": Control(label="chip", values=FORMATTED, start="H100 SXM5")},
    table=_formats_table,
    draw=_formats_draw,
    summary=_formats_summary,
)


# ---- 2: what a generation grew from ---------------------------------------------------------------

LINES = {
    "NVIDIA data centre": ("P100 SXM2", "V100 SXM2 16GB", "A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)"),
    "AMD": ("MI100", "MI250X", "MI300X", "MI355X"),
    "Google TPU": ("TPU v2", "TPU v3", "TPU v4", "TPU v5p"),
}
PART_COLOUR = {  # all of them compute, from dark to light
    growth.CLOCK: "#33190A",
    growth.CORES: "#8F4A1C",
    growth.PER_CLOCK: COLOUR["compute"],
    growth.BOTH: COLOUR["compute"],
    growth.NARROWER: "#F6C9A8",
    growth.LEFT_OVER: COLOUR["idle"],
}
COLUMNS = {  # of the table beside the bars: right edge, title
    growth.CLOCK: (1.32, "clock"),
    growth.CORES: (1.64, "cores"),
    growth.PER_CLOCK: (2.03, "FLOP per\ncore and\nclock cycle"),
    growth.NARROWER: (2.41, "narrower\nformat"),
    growth.LEFT_OVER: (2.74, "left\nover"),
    "whole": (3.05, "whole"),
}


def _plainly(name):
    return name.split(" (")[0].replace(" SXM2", "").replace(" SXM5", "").replace(" 16GB", "").replace(" SXM 80GB", "")


def _generations_table(line, width):
    found = growth.line(LINES[line], width)
    rows = []
    for i, (before, after, factors) in enumerate(found):
        unsure = {*growth.unsure(before), *growth.unsure(after)}
        peaks = [c.peak_flop_per_s(growth.format_of(c, width)) for c in (before, after)]
        rows += [
            (
                i,
                before.name,
                after.name,
                growth.format_of(before, width),
                growth.format_of(after, width),
                part,
                factor,
                doublings,
                peaks[1] / peaks[0],
                "unconfirmed" if part in unsure else "",
            )
            for (part, factor), doublings in zip(factors.items(), growth.doublings(factors).values(), strict=True)
        ]
    names = ("step", "before", "after", "format_before", "format", "part", "factor", "doublings", "growth", "basis")
    columns = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    whole = columns["step"] == len(found) - 1
    return stack(step={n: v[~whole] for n, v in columns.items()}, whole={n: v[whole] for n, v in columns.items()})


STEPS = 5  # rows of the picture; the last is the whole line


def _in_rows(table, part, column, blank):
    """A column's values for a part, one for each row of the picture, `blank` where there is none."""
    found = np.full(STEPS, blank, dtype=object)
    mine = table["part"] == part
    found[np.where(table["series"] == "whole", STEPS - 1, table["step"])[mine].astype(int)] = table[column][mine]
    return found


def _generations_draw(figure):
    ax = panel(figure, 0.165, 0.125, 0.435, 0.805)
    x_axis(ax, "growth of the dense peak", -0.7, 9.2, ticks={i: times(2**i) for i in range(0, 10, 2)})
    y_axis(ax, "", STEPS - 0.45, -0.55, ticks=())
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=COLOUR["total"], lw=1)
    above, y = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom"}, np.arange(STEPS)
    ax.plot([-0.5, 3.05], [3.5, 3.5], transform=above["transform"], color=COLOUR["idle"], lw=0.8, clip_on=False)
    for part, (x, title) in COLUMNS.items():
        ax.text(x, -0.62, title, fontsize=9, color=GREY, **above)
        ax.text(x, -1.46, "■", fontsize=11, color=PART_COLOUR.get(part, "none"), **above)

    def bars(part):
        def edges(table):
            before = list(PART_COLOUR)[: list(PART_COLOUR).index(part)]
            lengths = np.array([_in_rows(table, p, "doublings", 0.0) for p in (*before, part)], dtype=float)
            same_side = np.where(np.sign(lengths) == np.where(lengths[-1] < 0, -1, 1), lengths, 0)
            start = same_side[:-1].sum(0)
            return start, start + lengths[-1], y - 0.25, y + 0.25

        return edges

    def cells(part, x):
        def words(table):
            factors = _in_rows(table, part, "factor", np.nan)
            stars = np.where(_in_rows(table, part, "basis", "") == "", "", "*")
            both = _in_rows(table, growth.BOTH, "factor", np.nan) if part == growth.PER_CLOCK else [np.nan] * STEPS
            told = [
                f"both {times(b)}" if b == b else times(f) + s for f, s, b in zip(factors, stars, both, strict=True)
            ]
            return ["" if t.startswith("×nan") else t for t in told], x, y

        return words

    def whole(table):
        growths = _in_rows(table, growth.LEFT_OVER, "growth", np.nan)
        return ["" if g != g else times(g) for g in growths], COLUMNS["whole"][0], y

    def names(table):
        of = {c: _in_rows(table, growth.LEFT_OVER, c, "") for c in ("before", "format_before", "after", "format")}
        told = zip(*of.values(), strict=True)
        lines = [(f"{_plainly(b)}, {fb} to", f"{_plainly(a)}, {fa}") if b else ("", "") for b, fb, a, fa in told]
        return [w for line in lines for w in line], -0.03, np.repeat(y, 2) + np.tile([-0.12, 0.12], STEPS)

    def unsure(table):
        return "* for one of the two chips no source states it" if (table["basis"] != "").any() else ""

    right = {"of": "row", "align": "right", "size": 9.5}
    return updating(
        *(boxes(ax, bars(part), colour) for part, colour in PART_COLOUR.items()),
        labels(ax, names, **right),
        *(labels(ax, cells(part, x), **right) for part, (x, _) in COLUMNS.items() if part != "whole"),
        labels(ax, whole, weight="bold", **right),
        text(figure, 0.985, 0.04, unsure, ha="right", fontsize=9, color=GREY),
    )


def _generations_summary(table):
    parts, factors, doublings = pick(table, "whole", "part", "factor", "doublings")
    whole = row(table, "whole")
    said = ", ".join(
        f"{part} {times(f)} ({plain(100 * d / np.log2(whole.growth), 2)} %)"
        for part, f, d in zip(parts.tolist(), factors, doublings, strict=True)
        if part != growth.LEFT_OVER
    )
    left = factors[parts == growth.LEFT_OVER][0]
    text = (
        f"{_plainly(whole.before)} to {_plainly(whole.after)} in {whole.format}: {times(whole.growth)}. Of its doublings: "
        f"{said}; left over by rounded datasheets: ×{left:.3f}."
    )
    if (pick(table, "step", "basis") != "").any():
        text += " Starred: no source of ours states this number for one of the two chips."
    return text


generations = Exhibit(
    slug="05-generations",
    title="What the peak grew from.",
    caption="Growth of the dense peak from one generation to the next, as factors that multiply: lengths are "
    "doublings, so they add. What shrank lies left of the line. Clocks are those at which the peaks hold.",
    alt="Horizontal stacked bars, one for each step between generations and one for the whole line, on an axis of "
    "doublings: clock, cores, operations of a core in a clock, narrower format.",
    controls={
        "line": Control(label="chips", values=tuple(LINES), start="NVIDIA data centre"),
        "width": Control(label="format", values=growth.WIDTHS, start="narrowest"),
    },
    table=_generations_table,
    draw=_generations_draw,
    summary=_generations_summary,
)


# ---- 3: a narrower format -------------------------------------------------------------------------

NARROWED = ("H100 SXM5", "B200 SXM (HGX)", "MI300X", "MI355X", "L40S", "RTX 4090")
REGION = {"bytes": COLOUR["memory"], "fixed times": COLOUR["latency"], "arithmetic": COLOUR["compute"]}
NARROW_STYLE = {"fp8": ("#222222", "-"), "fp4": ("#8C6D31", "--")}


def _regions(m, k, n, on):
    """What owns most of the time: bytes on any way, arithmetic, or the fixed times, which no format shortens."""
    owned = shares.shares(lambda d: kernels.matmul_s(m, k, n, device=d), on, kernels.RESOURCES)
    return shares.largest(
        {"bytes": owned["memory"] + owned["cache"], "fixed times": owned["latency"], "arithmetic": owned["compute"]}
    )


def _narrower_table(chip_name, shape, rows):
    device, (k, n) = chip(chip_name), SHAPES[shape]
    wide = kernels.device(device, growth.format16(device))
    m = np.append(np.geomspace(1, 8192, 151), rows)  # the curves, and the chosen rows
    wide_s = kernels.matmul_s(m, k, n, device=wide)
    found = {}
    for format in NARROW_STYLE:
        if format in device.peaks:
            on = kernels.device(device, format)
            narrow_s = kernels.matmul_s(m, k, n, device=on)
            columns = {
                "rows": m,
                "wide_s": wide_s,
                "narrow_s": narrow_s,
                "speedup": wide_s / narrow_s,
                "region": _regions(m, k, n, on),
            }
            ideal = wide.bytes_per_value / on.bytes_per_value
            found[format] = {**{c: v[:-1] for c, v in columns.items()}, "ideal": ideal, "chip": device.name}
            found[f"here {format}"] = {c: v[-1] for c, v in columns.items()}
    return stack(**found)


def _there(table):
    """The formats that the chip has."""
    return [format for format in NARROW_STYLE if (table["series"] == format).any()]


def _runs(table):
    """(row, owner, first, end) of each stretch of a strip, its ends as rows multiplied at once."""
    found = []
    for i, format in enumerate(_there(table)):
        regions = pick(table, format, "region")
        edges = [0, *(np.flatnonzero(regions[1:] != regions[:-1]) + 1).tolist(), regions.size]
        found += [(i + 0.5, str(regions[a]), a / regions.size, b / regions.size) for a, b in pairwise(edges)]
    return found


def _narrower_draw(figure):
    ax, strips = panel(figure, 0.09, 0.385, 0.935, 0.93), panel(figure, 0.09, 0.205, 0.935, 0.355)
    rows_axis(ax, 1, 8192, "")
    rows_axis(strips, 1, 8192)
    ax.set_xticklabels([])
    y_axis(ax, "times as fast as in 16 bits", 0.9, 4.25, ticks={i: f"×{i}" for i in (1, 2, 3, 4)})
    y_axis(strips, "", 2, 0, ticks=())
    strips.grid(False)
    strips.spines[:].set_visible(False)
    figure.text(0.09, 0.03, "strips: what owns the narrow product's time", fontsize=9, color=GREY, va="center")
    key(figure, REGION, 0.52, 0.03, size=9)

    def ideal(format):
        return lambda table: row(table, format).ideal if format in _there(table) else np.nan

    def fewer(format):
        return lambda table: {2: "half of the bytes", 4: "a quarter of the bytes"}.get(ideal(format)(table), "")

    def heights(table):
        return {format: pick(table, format, "speedup")[-1] for format in _there(table)}

    def stretches(table):
        y, _, first, end = (np.array(c) for c in zip(*_runs(table), strict=True))
        return 8192**first, 8192**end, y - 0.375, y + 0.375

    def words(table):
        fit = [run for run in _runs(table) if run[3] - run[2] > 0.013 * len(run[1])]
        return [name for _, name, *_ in fit], [8192 ** ((a + b) / 2) for *_, a, b in fit], [y for y, *_ in fit]

    styles = {format: {"color": colour, "weight": "bold"} for format, (colour, _) in NARROW_STYLE.items()}
    knob = {"zorder": 5, "clip_on": False}
    return updating(
        told(ax, lambda table: f"{row(table, 'fp8').chip}, modelled", "above", weight="bold"),
        *(level(ax, ideal(format), color=COLOUR["idle"], ls=":", lw=1.2) for format in NARROW_STYLE),
        *(curve(ax, f, "rows", "speedup", color=colour, ls=dash, lw=2.2) for f, (colour, dash) in NARROW_STYLE.items()),
        *(diamond(ax, "rows", "speedup", series=f"here {format}", **knob) for format in NARROW_STYLE),
        end_labels(ax, {format: (format, style) for format, style in styles.items()}, heights, size=10),
        *(
            labels(ax, lambda table, f=f: ([fewer(f)(table)], 1.25, [ideal(f)(table) + 0.12]), color=GREY, size=9)
            for f in NARROW_STYLE
        ),
        boxes(strips, stretches, lambda table: [REGION[name] for _, name, *_ in _runs(table)], alpha=0.85),
        labels(strips, words, align="center", color="white", weight="bold", size=9.5),
        labels(
            strips,
            lambda table: (
                _there(table),
                1.016,
                np.arange(len(_there(table))) + 0.5,
                [styles[f]["color"] for f in _there(table)],
            ),
            of="row",
            weight="bold",
            size=10,
        ),
    )


def _narrower_summary(table):
    here = {f: row(table, f"here {f}") for f in NARROW_STYLE if (table["series"] == f).any()}
    said = [
        f"{f} {times(h.speedup)} ({si(h.wide_s, 's')} to {si(h.narrow_s, 's')}; {h.region})" for f, h in here.items()
    ]
    gains = pick(table, "fp8", "speedup")
    return (
        f"{plural(here['fp8'].rows, 'row', 5)}: {', '.join(said)}. Over all rows fp8 gives {times(gains.min())} "
        f"to {times(gains.max())}."
    )


narrower = Exhibit(
    slug="05-narrower",
    title="How much faster is a narrower format?",
    caption="Modelled time of a product in 16 bits over its time in a narrower format, against rows. Strips: what "
    "owns the narrow product's time. Fixed times are the starts of kernels and tiles, which no format shortens.",
    alt="Speed-up over 16 bits against rows on a logarithmic axis, below dotted lines at two and four, with strips "
    "below that say whether bytes, arithmetic or fixed times own the narrow product.",
    controls={
        "chip_name": Control(label="chip", values=NARROWED, start="B200 SXM (HGX)"),
        "shape": Control(label="k x n", values=SMALL_AND_LARGE, start="4,096 x 4,096"),
        "rows": Control(label="rows", values=SWEPT, start=64, unit="rows"),
    },
    table=_narrower_table,
    draw=_narrower_draw,
    summary=_narrower_summary,
)
