"""Figures of chapter 04, Why is the peak never reached?"""

from functools import cache
from itertools import pairwise

import numpy as np
from matplotlib.colors import to_rgba
from numpy.lib.stride_tricks import sliding_window_view

from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, FITTED_DOT, against_measured
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import bytes_per_value, chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline, shares, tiling
from bottlenecks.measured import first_estimate, scores
from bottlenecks.models import kernels
from bottlenecks.studies import growth

GREY = "#6E6E6E"  # of words: dark enough to read
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


def _rows(count):
    return f"{plain(count, 5)} row{'' if count == 1 else 's'}"


def _times(factor):
    return f"×{factor:.3g}"


def _rows_axis(ax, high=8192):
    ax.set(xscale="log", xlim=(0.85, high * 1.2), xlabel="rows multiplied at once")
    ticks = [t for t in SWEPT if np.log2(t) % 2 == 0]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()


# ---- 1: the peak of each format -------------------------------------------------------------------

FORMATTED = (
    "V100 SXM2 16GB",
    "A100 SXM 80GB",
    "H100 SXM5",
    "B200 SXM (HGX)",
    "B300 SXM (HGX)",
    "MI300X",
    "MI355X",
    "TPU v7",
    "RTX 4090",
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
    every = np.array([bytes_per_value(f) for f in LISTED], dtype=float)
    in_proportion = device.peak_flop_per_s(wide) * bytes_per_value(wide) / every
    return stack(
        format={
            "format": have,
            "chip": device.name,
            "bytes_per_value": sizes,
            "peak_flop_per_s": peaks,
            "ridge_flop_per_byte": roofline.ridge_flop_per_byte(
                peak_flop_per_s=peaks, bytes_per_s=device.memory_bytes_per_s
            ),
            "against_proportion": peaks / in_proportion[[f in have for f in LISTED]],
        },
        proportion={"format": list(LISTED), "bytes_per_value": every, "peak_flop_per_s": in_proportion},
    )


def _formats_draw(figure):
    ax = figure.add_axes([0.135, 0.125, 0.46, 0.755])
    ax.set(xscale="log", xlim=(5e11, 3e16), ylim=(len(LISTED) - 0.4, -0.6), xlabel="dense peak [TFLOP/s]")
    ax.set_xticks([1e12, 1e13, 1e14, 1e15, 1e16], ["1", "10", "100", "1,000", "10,000"])
    ax.minorticks_off()
    ax.set_yticks(range(len(LISTED)), LISTED.values())
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    stems = ax.hlines([], [], [], color="#DDDDDD", lw=1.2)
    (marks,) = ax.plot([], [], "|", ms=17, mew=2, color=COLOUR["idle"])
    (dots,) = ax.plot([], [], "o", ms=8, color=COLOUR["compute"])
    across = ax.get_yaxis_transform()
    columns = {  # of the table beside the picture: where, title
        "peak_flop_per_s": (1.20, "peak\n[TFLOP/s]"),
        "ridge_flop_per_byte": (1.58, "ridge\n[FLOP/B]"),
        "against_proportion": (1.84, "peak over\ngrey mark"),
    }
    for i, format in enumerate(LISTED):
        ax.text(1.38, i, plain(bytes_per_value(format)), transform=across, ha="right", va="center", fontsize=9.5)
    for x, title in (*columns.values(), (1.38, "bytes\na value")):
        ax.text(x, -0.75, title, transform=across, ha="right", va="bottom", fontsize=9, color=GREY)
    ax.text(
        0,
        -0.75,
        "grey mark: the 16-bit peak, if half\nof the bytes meant twice the peak",
        transform=across,
        va="bottom",
        fontsize=9,
        color=GREY,
    )
    cells = [
        {
            name: ax.text(x, i, "", transform=across, ha="right", va="center", fontsize=9.5)
            for name, (x, _) in columns.items()
        }
        for i in range(len(LISTED))
    ]
    where = list(LISTED)

    def update(table):
        formats = pick(table, "format", "format").tolist()
        peaks = pick(table, "format", "peak_flop_per_s")
        y = np.array([where.index(f) for f in formats])
        dots.set_data(peaks, y)
        stems.set_segments([[(5e11, i), (p, i)] for i, p in zip(y, peaks, strict=True)])
        marks.set_data(pick(table, "proportion", "peak_flop_per_s")[y], y)
        for i, row in enumerate(cells):
            for name, cell in row.items():
                shown = where[i] in formats
                value = pick(table, "format", name)[formats.index(where[i])] if shown else np.nan
                cell.set_text(_cell(name, value) if shown else "")
        return [stems, marks, dots, *(cell for row in cells for cell in row.values())]

    return update


def _cell(name, value):
    if name == "peak_flop_per_s":
        return plain(value / 1e12, 4)
    return _times(value) if name == "against_proportion" else plain(value)


def _formats_summary(table):
    formats, sizes, peaks, ridges = pick(
        table, "format", "format", "bytes_per_value", "peak_flop_per_s", "ridge_flop_per_byte"
    )
    best = {}  # bytes of a value -> the fastest format of that size; tf32 is an fp32 cut short
    for format, size, peak in zip(formats.tolist(), sizes.tolist(), peaks.tolist(), strict=True):
        if format != "tf32" and peak > best.get(size, ("", 0))[1]:
            best[size] = (format, peak)
    order = sorted(best, reverse=True)
    steps = []
    for wide, narrow in pairwise(order):
        gain = best[narrow][1] / best[wide][1]
        held = gain / (wide / narrow)
        word = "more than" if held > 1.05 else "less than" if held < 0.95 else "in proportion to"
        steps.append(f"{best[wide][0].replace('_', ' ')} to {best[narrow][0]} {_times(gain)}, {word} the bytes")
    text = "; ".join(steps) or "one size of values only"
    return (
        f"{pick(table, 'format', 'chip')[0]}: {text}. Ridges from {plain(ridges.min())} to "
        f"{plain(ridges.max())} FLOP/B."
    )


formats = Exhibit(
    slug="04-formats",
    title="A peak for every format.",
    caption="Dense peaks of one chip by number format (orange), and where they would be if half of the bytes always "
    "meant twice the peak, counted from 16 bits (grey). The ridge is that of main memory: a narrower format does more "
    "with a byte, and asks for more with it.",
    alt="Dot chart with one row for each number format from fp64 to fp4 and a logarithmic axis of peak FLOP/s; beside "
    "each row the peak, the bytes of a value, the ridge point and the peak against proportion.",
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
    growth.CLOCK: (1.16, "clock"),
    growth.CORES: (1.34, "cores"),
    growth.PER_CLOCK: (1.58, "FLOP a clock\nand core"),
    growth.NARROWER: (1.87, "narrower\nformat"),
    growth.LEFT_OVER: (2.06, "left\nover"),
    "whole": (2.27, "whole"),
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


def _generations_draw(figure):
    ax = figure.add_axes([0.15, 0.125, 0.37, 0.725])
    ax.set(xlim=(-0.7, 9.2), ylim=(4.55, -0.55), xlabel="growth of the dense peak")
    ax.set_xticks(range(0, 10, 2), [_times(2**i) for i in range(0, 10, 2)])
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=COLOUR["total"], lw=1)
    across = ax.get_yaxis_transform()
    ax.plot([-0.4, 2.25], [3.5, 3.5], transform=across, color=COLOUR["idle"], lw=0.8, clip_on=False)
    for part, (x, title) in COLUMNS.items():
        ax.text(x, -0.62, title, transform=across, ha="right", va="bottom", fontsize=9, color=GREY)
        if part in PART_COLOUR:
            ax.text(x, -1.13, "■", transform=across, ha="right", va="bottom", fontsize=11, color=PART_COLOUR[part])
    slots = [
        {
            "bars": {p: ax.barh(i, 0, height=0.5, color=c)[0] for p, c in PART_COLOUR.items()},
            "name": ax.text(-0.03, i, "", transform=across, ha="right", va="center", fontsize=9.5),
            **{
                p: ax.text(
                    x,
                    i,
                    "",
                    transform=across,
                    ha="right",
                    va="center",
                    fontsize=9.5,
                    weight="bold" if p == "whole" else "normal",
                )
                for p, (x, _) in COLUMNS.items()
            },
        }
        for i in range(5)
    ]

    def fill(slot, step):
        up, down = 0.0, 0.0
        for part, bar in slot["bars"].items():
            length = step[part][0] if part in step else 0.0
            bar.set(x=up if length >= 0 else down, width=length)
            up, down = up + max(length, 0), down + min(length, 0)
        for part in COLUMNS:
            _, factor, star = step.get(part, (0, np.nan, ""))
            slot[part].set_text(_times(factor) + star if np.isfinite(factor) else "")
        if growth.BOTH in step:  # one number in place of two
            slot[growth.PER_CLOCK].set_text(f"both {_times(step[growth.BOTH][1])}")

    def update(table):
        for i, slot in enumerate(slots):
            series = "whole" if i == len(slots) - 1 else "step"
            mine = table["series"] == series
            if series == "step":
                mine &= table["step"] == i
            if not mine.any():
                fill(slot, {})
                slot["name"].set_text("")
                continue
            columns = {name: values[mine] for name, values in table.items()}
            starred = np.where(columns["basis"] == "", "", "*").tolist()
            found = zip(columns["doublings"].tolist(), columns["factor"].tolist(), starred, strict=True)
            step = dict(zip(columns["part"].tolist(), found, strict=True))
            fill(slot, {**step, "whole": (0, columns["growth"][0].item(), "")})
            names = [_plainly(columns[c][0].item()) for c in ("before", "after")]
            formats = [columns[c][0].item() for c in ("format_before", "format")]
            slot["name"].set_text(" to\n".join(f"{n}, {f}" for n, f in zip(names, formats, strict=True)))
        return [a for slot in slots for a in (*slot["bars"].values(), slot["name"], *(slot[p] for p in COLUMNS))]

    return update


def _generations_summary(table):
    parts, factors, doublings = pick(table, "whole", "part", "factor", "doublings")
    before, after, format = (pick(table, "whole", c)[0] for c in ("before", "after", "format"))
    whole = pick(table, "whole", "growth")[0]
    said = ", ".join(
        f"{part} {_times(f)} ({plain(100 * d / np.log2(whole), 2)} %)"
        for part, f, d in zip(parts.tolist(), factors, doublings, strict=True)
        if part != growth.LEFT_OVER
    )
    left = factors[parts == growth.LEFT_OVER][0]
    text = (
        f"{_plainly(before)} to {_plainly(after)} in {format}: {_times(whole)}. Of its doublings: {said}; "
        f"left over by rounded datasheets: ×{left:.3f}."
    )
    if (pick(table, "step", "basis") != "").any():
        text += " Starred: no source of ours states this number for one of the two chips."
    return text


generations = Exhibit(
    slug="04-generations",
    title="What the peak grew from.",
    caption="Growth of the dense peak from one generation to the next, as factors that multiply: lengths are doublings, "
    "so they add. A bar to the left shrank. The peaks of H100 and B200 hold at a clock below their highest, which is "
    "the clock taken here; P100 had no tensor cores and summed in 16 bits.",
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


# ---- 3: tiles and waves ---------------------------------------------------------------------------

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
        sustained={"rows": 1.0, "fraction": on.matmul_flop_per_s / peak, "tile": tile},
        measured={
            "rows": measured["m"],
            "fraction": reached(measured["m"], measured["time_s"]),
            "predicted": reached(measured["m"], kernels.matmul_s(measured["m"], k, n, device=on)),
        },
    )


def _waves_draw(figure):
    ax = figure.add_axes([0.09, 0.125, 0.885, 0.79])
    _rows_axis(ax)
    ax.set(ylim=(0, 1.03), ylabel="fraction of the dense peak")
    (sustained,) = ax.plot([], [], color=COLOUR["idle"], lw=1, ls=":")
    (filled,) = ax.plot([], [], color=COLOUR["compute"], lw=1.1, alpha=0.75)
    (model,) = ax.plot([], [], color=COLOUR["total"], lw=1.8)
    (measured,) = ax.plot([], [], "o", mfc="white", mec=COLOUR["measured"], mew=1.3, zorder=3)
    words = [
        ax.text(
            0.01,
            0,
            "the rate that large tiles sustain",
            transform=ax.get_yaxis_transform(),
            color=GREY,
            fontsize=9,
            va="bottom",
        ),
        ax.text(0.01, 1.035, "", transform=ax.transAxes, color=COLOUR["compute"], fontsize=9.5),
        ax.text(0.45, 1.035, "modelled, best tile", transform=ax.transAxes, color=COLOUR["total"], fontsize=9.5),
        ax.text(0.75, 1.035, "○ measured", transform=ax.transAxes, fontsize=9.5),
    ]

    def update(table):
        filled.set_data(*pick(table, "filled", "rows", "fraction"))
        model.set_data(*pick(table, "model", "rows", "fraction"))
        measured.set_data(*pick(table, "measured", "rows", "fraction"))
        level = one(table, "sustained", "fraction")
        sustained.set_data([0.85, 1e4], [level, level])
        words[0].set_y(level + 0.008)
        words[1].set_text(f"tiles and waves alone, {one(table, 'sustained', 'tile')}")
        return [sustained, filled, model, measured, *words]

    return update


def _waves_summary(table):
    rows, fraction = pick(table, "filled", "rows", "fraction")
    next_row = np.diff(rows) == 1
    fall = np.where(next_row & (rows[:-1] >= 128), fraction[1:] / fraction[:-1], 1.0)
    worst = fall.argmin()
    measured, predicted = pick(table, "measured", "fraction", "predicted")
    top = measured.argmax()
    return (
        f"Tile {one(table, 'sustained', 'tile')}: one row more than {plain(rows[worst], 4)} takes the share that tiles and "
        f"waves leave from {plain(100 * fraction[worst])} to {plain(100 * fraction[worst + 1])} %. Highest measured: "
        f"{plain(100 * measured[top])} % of the peak at {_rows(pick(table, 'measured', 'rows')[top])}. Mean absolute error of "
        f"the model at {measured.size} measured points: {plain(100 * np.mean(np.abs(measured / predicted - 1)), 2)} %."
    )


waves = Exhibit(
    slug="04-waves",
    title="The saw-tooth.",
    caption="Fraction of the dense 16-bit peak that a product reaches against its rows. Orange: what the rounding up to "
    "whole tiles and whole waves leaves (eq:filled), for one size of tile. Black: the modelled kernel, which takes "
    "the best of several tiles and pays for memory, cache and launch as well.",
    alt="Saw-tooth of the fraction of the peak against rows on a logarithmic axis: it climbs as a wave of tiles fills and "
    "falls by a row more. The modelled line takes smaller teeth, levels off below the peak, and passes near the measured circles.",
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


# ---- 4: who owns the time of a product ------------------------------------------------------------

OWNERS = tuple(name for name in kernels.RESOURCES if name != "network")
ROOM = 29  # points of the curve that a word covers
OWNED = ("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "MI300X", "L40S")


def _format_in(device, width):
    """The format of a width that a chip multiplies in: fp8, or int8 on chips before it."""
    if width == "16 bits":
        return growth.format16(device)
    return "fp8" if "fp8" in device.peaks else "int8"


def _owners_table(chip_name, width, shape, rows):
    device, (k, n) = chip(chip_name), SHAPES[shape]
    on = kernels.device(device, _format_in(device, width))

    def owned(m):
        found = shares.shares(lambda d: kernels.matmul_s(m, k, n, device=d), on, kernels.RESOURCES)
        return {"rows": m, **found}

    return stack(
        curve=owned(np.geomspace(1, 8192, 241)),
        here={**owned(np.array([float(rows)])), "time_s": kernels.matmul_s(rows, k, n, device=on), "format": on.format},
    )


def _owners_draw(figure):
    ax = figure.add_axes([0.115, 0.125, 0.86, 0.775])
    for x, name in zip((0.0, 0.16, 0.32, 0.45), OWNERS, strict=True):
        ax.text(x, 1.045, "■", transform=ax.transAxes, color=COLOUR[name], fontsize=11)
        ax.text(x + 0.026, 1.048, name, transform=ax.transAxes, fontsize=9.5)
    _rows_axis(ax)
    ax.set(xlim=(1, 8192), ylim=(0, 1), ylabel="share of the time")
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    areas = {name: ax.fill_between([1, 2], 0, 0, color=COLOUR[name], lw=0) for name in OWNERS}
    (marker,) = ax.plot([], [], color="black", lw=1.5, zorder=4)
    (knob,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8, zorder=5, clip_on=False)
    names = {
        name: ax.text(
            0,
            0,
            name,
            color="black" if name in ("cache", "latency") else "white",
            ha="center",
            va="center",
            weight="bold",
            fontsize=10.5,
        )
        for name in OWNERS
    }

    def update(table):
        rows = pick(table, "curve", "rows")
        low = np.zeros(rows.size)
        for name, area in areas.items():
            share = np.clip(pick(table, "curve", name), 0, 1)
            high = low + share
            area.set_verts([np.concatenate([np.stack([rows, low], 1), np.stack([rows, high], 1)[::-1]])])
            floor = sliding_window_view(low, ROOM).max(axis=1)  # room for a word, within the area
            room = sliding_window_view(high, ROOM).min(axis=1) - floor
            widest = room.argmax()
            names[name].set(
                text=name if room[widest] > 0.07 else "", x=rows[widest + ROOM // 2], y=floor[widest] + room[widest] / 2
            )
            low = high
        at = one(table, "here", "rows")
        marker.set_data([at, at], [0, 1])
        knob.set_data([at], [1])
        return [*areas.values(), marker, *names.values(), knob]

    return update


def _owners_summary(table):
    owned = {name: one(table, "here", name) for name in OWNERS}
    order = sorted(owned, key=owned.get, reverse=True)
    first = owned[order[0]]
    verdict = f"{order[0]} owns most" if first > 0.5 else "no resource owns half"
    said = ", ".join(f"{name} {plain(100 * max(owned[name], 0), 2)} %" for name in order)
    return (
        f"{_rows(one(table, 'here', 'rows'))} in {one(table, 'here', 'format')}, {si(one(table, 'here', 'time_s'), 's')}: "
        f"{said}; {verdict}."
    )


owners = Exhibit(
    slug="04-owners",
    title="Who owns the time of a product?",
    caption="Shares of the modelled time of one matrix product against its rows (eq:shares): by how many percent the time "
    "falls when a resource becomes one percent faster. They sum to one. Cache: operands on the way from the last shared "
    "cache to the cores. Latency: launch, and the starts of tiles. `8 bits` is fp8, on an A100 int8.",
    alt="Stacked areas that fill the plot from zero to one against rows on a logarithmic axis: memory at few rows, "
    "compute at many, cache and latency between.",
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


# ---- 5: from the ideal to the model ---------------------------------------------------------------

STAGES = {  # of kernel_time.stages: colour
    "arithmetic at the peak": COLOUR["compute"],
    "rate sustained": "#E8905A",
    "tiles and waves": COLOUR["idle"],
    "operands from the cache": COLOUR["cache"],
    "memory not hidden": COLOUR["memory"],
    "launch and end": COLOUR["latency"],
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
    ax = figure.add_axes([0.255, 0.125, 0.73, 0.85])
    lines = len(STAGES) + 2
    ax.set(xlim=(0, 1.7), ylim=(lines - 0.45, -0.55), xlabel="time, modelled = 100 %")
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5], ["0", "25 %", "50 %", "75 %", "100 %", "125 %", "150 %"])
    ax.set_yticks([])
    first, *_, last = STAGES  # where they are whatever the order
    names = [first, *[""] * (len(STAGES) - 2), last, "modelled", "measured"]
    labels = [
        ax.text(-0.012, i, name, transform=ax.get_yaxis_transform(), ha="right", va="center")
        for i, name in enumerate(names)
    ]
    moving = labels[1 : len(STAGES) - 1]
    ax.axhline(len(STAGES) - 0.5, color=COLOUR["idle"], lw=0.8)
    bars = [ax.barh(i, 0, height=0.62)[0] for i in range(len(STAGES))]
    ax.barh(len(STAGES), 1, height=0.62, color=COLOUR["total"])
    joints = ax.vlines([], [], [], color=COLOUR["idle"], lw=0.8)
    (measured,) = ax.plot([], [], "o", ms=8, mfc="white", mec=COLOUR["measured"], mew=1.5)
    words = [ax.text(0, i, "", va="center", fontsize=9.5) for i in range(lines)]

    def update(table):
        names, starts, ends, added = pick(table, "stage", "name", "start_s", "end_s", "added_s")
        for label, name in zip(moving, names[1:-1].tolist(), strict=True):
            label.set_text(name)
        whole = one(table, "model", "end_s")
        for i, bar in enumerate(bars):
            bar.set(x=starts[i] / whole, width=added[i] / whole, color=STAGES[names[i]])
            words[i].set(
                text=f"{'+ ' * (i > 0)}{si(added[i], 's')}" if added[i] > 1e-4 * whole else "nothing",
                x=ends[i] / whole + 0.012,
                color="black" if added[i] > 1e-4 * whole else GREY,
            )
        joints.set_segments([[(e / whole, i - 0.31), (e / whole, i + 1.31)] for i, e in enumerate(ends)])
        words[-2].set(text=si(whole, "s"), x=1.012)
        times = pick(table, "measured", "end_s")
        measured.set_data(times / whole, np.full(times.size, lines - 1))
        late = max(times, default=0) > 1.2 * whole  # no room on the right
        words[-1].set(
            text=" and ".join(si(t, "s") for t in times) if times.size else "not in the corpus",
            x=min(times, default=0) / whole - 0.03 if late else max(times, default=0) / whole + 0.03,
            ha="right" if late else "left",
            color="black" if times.size else GREY,
        )
        return [joints, *bars, measured, *moving, *words]

    return update


def _waterfall_summary(table):
    names, added = pick(table, "stage", "name", "added_s")
    whole, rows = one(table, "model", "end_s"), one(table, "model", "rows")
    most = 1 + added[1:].argmax()
    text = (
        f"{_rows(rows)}: {si(added[0], 's')} of arithmetic at the peak, {si(whole, 's')} modelled, "
        f"{plain(100 * added[0] / whole)} % of the peak. The largest loss: {names[most]}, {si(added[most], 's')}."
    )
    times = pick(table, "measured", "end_s")
    if times.size:
        text += f" Measured: {' and '.join(si(t, 's') for t in times)}."
    return text


waterfall = Exhibit(
    slug="04-waterfall",
    title="From the peak to the kernel.",
    caption="Time of one product in 16 bits as mechanism after mechanism is switched on, from the datasheet's arithmetic "
    "down to the modelled kernel. Each bar is what its mechanism adds to those above it, so of two that overlap "
    "the later one seems cheap: change the order. Tiles and waves: with the starts of tiles. Circles: measured kernels of that "
    "very shape.",
    alt="Waterfall of horizontal bars, each beginning where the one above ends: arithmetic at the peak, the rate "
    "sustained, tiles and waves, operands from the cache, memory, launch; then the modelled total "
    "and the measured time.",
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


# ---- 6: a narrower format -------------------------------------------------------------------------

NARROWED = ("H100 SXM5", "B200 SXM (HGX)", "MI300X", "MI355X", "L40S", "RTX 4090")
REGION = {"fewer bytes": COLOUR["memory"], "neither": COLOUR["latency"], "faster arithmetic": COLOUR["compute"]}
NARROW_STYLE = {"fp8": ("#222222", "-"), "fp4": ("#8C6D31", "--")}


def _regions(m, k, n, on):
    """What a narrower format shrinks: the owner's part, bytes on any way, arithmetic, or neither."""
    owned = shares.shares(lambda d: kernels.matmul_s(m, k, n, device=d), on, kernels.RESOURCES)
    return shares.largest(
        {
            "fewer bytes": owned["memory"] + owned["cache"],
            "neither": owned["latency"],
            "faster arithmetic": owned["compute"],
        }
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
            found[format] = {**{c: v[:-1] for c, v in columns.items()}, "ideal": ideal}
            found[f"here {format}"] = {c: v[-1] for c, v in columns.items()}
    return stack(**found)


def _narrower_draw(figure):
    ax = figure.add_axes([0.09, 0.375, 0.845, 0.595])
    _rows_axis(ax)
    ax.set(xlim=(1, 8192), ylim=(0.9, 4.25), ylabel="times as fast as in 16 bits", xlabel="")
    ax.set_yticks([1, 2, 3, 4], ["×1", "×2", "×3", "×4"])
    ax.set_xticklabels([])
    lines, ideals, knobs, words, strips, strip_words, strip_names = {}, {}, {}, {}, {}, {}, {}
    for i, (format, (colour, dash)) in enumerate(NARROW_STYLE.items()):
        (ideals[format],) = ax.plot([], [], color=COLOUR["idle"], ls=":", lw=1.2)
        (lines[format],) = ax.plot([], [], color=colour, ls=dash, lw=2.2)
        (knobs[format],) = ax.plot(
            [], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8, zorder=5, clip_on=False
        )
        words[format] = ax.text(
            1.016, 0, "", transform=ax.get_yaxis_transform(), color=colour, va="center", weight="bold"
        )
        strip = figure.add_axes([0.09, 0.295 - 0.08 * i, 0.845, 0.06])
        strip.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        strip.grid(False)
        for side in strip.spines.values():
            side.set_visible(False)
        strips[format] = strip.imshow(
            np.ones((1, 151, 4)), extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest", alpha=0.85
        )
        strip_words[format] = [
            strip.text(0, 0.46, "", ha="center", va="center", color="white", weight="bold", fontsize=9.5)
            for _ in range(4)
        ]
        strip_names[format] = strip.text(
            1.016, 0.5, "", transform=strip.transAxes, color=colour, va="center", weight="bold"
        )
    last = figure.axes[-1]
    ticks = [t for t in SWEPT if np.log2(t) % 2 == 0]
    for axes in figure.axes[1:]:
        axes.set_xticks([])
    last.set_xticks([np.log(t) / np.log(8192) for t in ticks], [f"{t:,}" for t in ticks])
    last.set_xlabel("rows multiplied at once")
    figure.text(0.09, 0.018, "strips, what speeds it up:", fontsize=9, color=GREY)
    for x, (name, colour) in zip((0.33, 0.50, 0.61), REGION.items(), strict=True):
        figure.text(x, 0.016, "■", color=colour, fontsize=11)
        figure.text(x + 0.02, 0.018, name, fontsize=9)
    ideal_words = {f: ax.text(1.25, 0, "", color=GREY, fontsize=9, va="bottom") for f in NARROW_STYLE}

    def update(table):
        present = set(table["series"].tolist())
        for format in NARROW_STYLE:
            shown = format in present
            rows, gain = pick(table, format, "rows", "speedup") if shown else (np.empty(0), np.empty(0))
            lines[format].set_data(rows, gain)
            knobs[format].set_data(*(pick(table, f"here {format}", "rows", "speedup") if shown else ([], [])))
            words[format].set(text=format if shown else "", y=gain[-1] if shown else 1)
            strip_names[format].set_text(format if shown else "")
            for word in strip_words[format]:
                word.set_text("")
            if not shown:
                ideals[format].set_data([], [])
                ideal_words[format].set_text("")
                strips[format].set_data(np.ones((1, 151, 4)))
                continue
            ideal = pick(table, format, "ideal")[0]
            ideals[format].set_data([1, 8192], [ideal, ideal])
            ideal_words[format].set(text=f"{'half' if ideal == 2 else 'a quarter'} of the bytes", y=ideal + 0.05)
            regions = pick(table, format, "region")
            strips[format].set_data(np.array([[to_rgba(REGION[r]) for r in regions.tolist()]]))
            for word, (name, start, end) in zip(strip_words[format], _longest(regions), strict=False):
                word.set(text=name, x=(start + end) / 2 / regions.size)
        groups = (lines, ideals, knobs, words, strips, strip_names, ideal_words)
        return [*(a for g in groups for a in g.values()), *(w for ws in strip_words.values() for w in ws)]

    return update


def _longest(regions):
    """(name, start, end) of the runs that are long enough to be written on, at most four."""
    edges = [0, *(np.flatnonzero(regions[1:] != regions[:-1]) + 1).tolist(), regions.size]
    runs = [(str(regions[a]), a, b) for a, b in pairwise(edges)]
    room = {"fewer bytes": 23, "neither": 16, "faster arithmetic": 36}
    return [run for run in runs if run[2] - run[1] > room[run[0]]][:4]


def _narrower_summary(table):
    said = []
    for format in NARROW_STYLE:
        if f"here {format}" in table["series"]:
            gain, slow, fast, region = (
                one(table, f"here {format}", c) for c in ("speedup", "wide_s", "narrow_s", "region")
            )
            said.append(f"{format} {_times(gain)} ({si(slow, 's')} to {si(fast, 's')}; {region})")
    least, most = (f(pick(table, "fp8", "speedup")) for f in (np.min, np.max))
    return (
        f"{_rows(one(table, 'here fp8', 'rows'))}: {', '.join(said)}. Over all rows fp8 gives {_times(least)} "
        f"to {_times(most)}."
    )


narrower = Exhibit(
    slug="04-narrower",
    title="How much faster is a narrower format?",
    caption="Modelled time of a product in 16 bits over its time in fp8 and, where the chip has it, fp4, against rows. The "
    "strips name the part that owns the narrow product: bytes to memory and from the cache, arithmetic, or launch and tile "
    "starts, which no format shortens. Results are written in 16 bits. Of 4-bit products nothing is fitted: they are taken to "
    "sustain the fraction of their peak that 8-bit ones do, and their scale factors are not counted.",
    alt="Speed-up over 16 bits against rows on a logarithmic axis, below dotted lines at two and four, with strips below that say "
    "whether bytes, arithmetic or neither shrink.",
    controls={
        "chip_name": Control(label="chip", values=NARROWED, start="B200 SXM (HGX)"),
        "shape": Control(label="k x n", values=SMALL_AND_LARGE, start="4,096 x 4,096"),
        "rows": Control(label="rows", values=SWEPT, start=64, unit="rows"),
    },
    table=_narrower_table,
    draw=_narrower_draw,
    summary=_narrower_summary,
)


# ---- 7: reality -----------------------------------------------------------------------------------

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
    seconds = found["seconds"]
    fair = (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & np.isfinite(found["ratio"])
    is_time = found["unit"] == "us"
    families = [chip(name).family if name else "" for name in rows["chip_name"].tolist()]
    columns = {
        "group": found["group"],
        "role": rows["role"],
        "source": rows["source_id"],
        "family": np.array([f if f in FAMILY_STYLE else "another family" for f in families]),
        "predicted_s": seconds,
        "error": found["ratio"] - 1,
        "measured_s": np.where(is_time, seconds / found["ratio"], seconds * found["ratio"]),
        "inside": ((found["low"] <= found["measured"]) & (found["measured"] <= found["high"])).astype(float),
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
    times = figure.add_axes([0.115, 0.385, 0.62, 0.60])
    ratios = figure.add_axes([0.115, 0.085, 0.62, 0.27])
    ends = (2e-6, 0.5)
    times.set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel="measured")
    ratios.set(xscale="log", yscale="log", xlim=ends, ylim=(0.22, 9), xlabel="predicted", ylabel="measured / predicted")
    axes, fit = (times, ratios), against_measured(times, ratios, ends)
    points = {
        family: [ax.plot([], [], marker, ls="", ms=5, mfc="none", mew=1.1, color=colour)[0] for ax in axes]
        for family, (colour, marker) in FAMILY_STYLE.items()
    }
    beside = {"transform": times.transAxes, "clip_on": False}
    times.text(1.04, 0.985, "held out, rows", weight="bold", va="top", **beside)
    slots = [
        (
            times.plot([], [], "o", ls="", ms=6, mfc="none", mew=1.2, **beside)[0],
            times.text(1.09, 0.91 - 0.06 * i, "", va="center", fontsize=9.5, **beside),
        )
        for i in range(len(FAMILY_STYLE))
    ]
    grey = [
        times.plot([], [], **{**FITTED_DOT, "ms": 4}, **beside)[0],
        times.text(1.09, 0.15, "", va="center", fontsize=9.5, color=GREY, **beside),
    ]
    times.text(1.04, 0.07, "band: within 10 %", fontsize=9.5, color=GREY, **beside)

    def fill(pair, x, y):
        pair[0].set_data(x, y)
        pair[1].set_data(x, y / x)

    def update(table):
        fill(fit, *pick(table, "fit", "predicted_s", "measured_s"))
        families, x, y = pick(table, "held-out", "family", "predicted_s", "measured_s")
        present = [f for f in FAMILY_STYLE if (families == f).any()]
        for family, pair in points.items():
            fill(pair, x[families == family], y[families == family])
        for i, (mark, word) in enumerate(slots):
            shown = i < len(present)
            word.set_text(f"{present[i]}, {int((families == present[i]).sum())}" if shown else "")
            mark.set_data(([1.055], [0.91 - 0.06 * i]) if shown else ([], []))
            if shown:
                colour, marker = FAMILY_STYLE[present[i]]
                mark.set(color=colour, marker=marker)
        count = fit[0].get_xdata().size
        grey[0].set_data(([1.055], [0.15]) if count else ([], []))
        grey[1].set_text(f"fitted on, {count:,}" if count else "")
        pairs = [a for pair in points.values() for a in pair]
        return [*fit, *pairs, *(a for slot in slots for a in slot), *grey]

    return update


def _predicted_summary(table):
    sources, error, inside = pick(table, "held-out", "source", "error", "inside")
    by_source = {s: np.abs(error[sources == s]).mean() for s in np.unique(sources).tolist()}
    worst = max(by_source, key=by_source.get)
    text = (
        f"{error.size} held-out rows of {len(by_source)} sources: mean absolute error {plain(100 * np.mean(list(by_source.values())), 2)} % "
        f"a source, worst {plain(100 * by_source[worst], 2)} % ({worst}); {plain(100 * inside.mean(), 2)} % of rows inside "
        f"the 80 % interval."
    )
    fit = pick(table, "fit", "error")
    if fit.size:
        text += f" {fit.size:,} fitted rows: {plain(100 * np.abs(fit).mean(), 2)} %."
    return text


predicted = Exhibit(
    slug="04-predicted",
    title="Does it hold?",
    caption="Every kernel of the corpus that can be scored: modelled time against measured time. Grey: rows that the constants "
    "were fitted on. In colour: sources that the fit never saw, by family of chip. Rates are turned into times by the work of "
    "the row; streams of unstated length are taken as 16 GiB.",
    alt="Log-log scatter of measured against predicted kernel time, and below it their ratio, with a band of ten percent; "
    "fitted rows small and grey, held-out rows in colour by family of chip.",
    controls={"group": Control(label="kernels", values=GROUPS, start="matmul")},
    table=_predicted_table,
    draw=_predicted_draw,
    summary=_predicted_summary,
)
