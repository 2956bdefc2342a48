"""Figures of chapter 01, How fast could it go?"""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, MARKERS, SERIES, axis_in, resource
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops
from bottlenecks.yours import roofline as your_roofline

# The matrix of the chapter: gate and up projections of Llama-2-70B, the largest of that model.
K, N = 8192, 57344
ROWS = tuple(2**i for i in range(13))
GPUS = (
    "V100 SXM2 32GB",
    "A100 SXM 80GB",
    "H100 SXM5",
    "H200 SXM",
    "B200 SXM (HGX)",
    "MI300X",
    "TPU v4",
    "TPU v5p",
    "TPU v6e",
    "TPU v7",
    "Trainium2",
    "RTX 4090",
)
CHIP = Control(label="chip", values=GPUS, start="H100 SXM5")
BATCH = Control(label="rows", values=ROWS, start=64, unit="rows")


def _product(chip_name, rows):
    """(rows, K) @ (K, N) in 16 bits on a chip: the op, the chip, its 16-bit format."""
    device = chip(chip_name)
    format = first_estimate.width16(device)
    return ops.matmul("gate+up", rows, K, N, format=format), device, format


# ---- 1: two times and a maximum -------------------------------------------------------------------


def _two_times_table(chip_name, rows):
    def times(m):
        op, device, format = _product(chip_name, m)
        return ops.times_s(op, device, format=format)

    m = np.geomspace(1, 4096, 121)
    arithmetic, memory = times(m)
    here_arithmetic, here_memory = times(rows)
    measured = first_estimate.matmul_sweep(chip_name, k=K, n=N)
    near = measured["m"] == rows
    return stack(
        arithmetic={"rows": m, "time_s": arithmetic},
        memory={"rows": m, "time_s": memory},
        larger={"rows": m, "time_s": np.maximum(arithmetic, memory)},
        here={
            "rows": rows,
            "time_s": max(here_arithmetic, here_memory),
            "arithmetic_s": here_arithmetic,
            "memory_s": here_memory,
            "measured_s": measured["time_s"][near][0] if near.any() else np.nan,
        },
        measured={"rows": measured["m"], "time_s": measured["time_s"]},
    )


def _two_times_draw(figure):
    ax = figure.add_axes([0.135, 0.13, 0.84, 0.83])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.8, 5500),
        ylim=(3e-7, 0.12),
        xlabel="rows multiplied at once",
        ylabel="time of one product",
    )
    axis_in(ax.yaxis, "s")
    axis_in(ax.xaxis, "")
    (larger,) = ax.plot([], [], color=COLOUR["total"], lw=5, alpha=0.18, solid_capstyle="round")
    (arithmetic,) = ax.plot([], [], **resource("compute"))
    (memory,) = ax.plot([], [], **resource("memory"))
    (measured,) = ax.plot([], [], "o", mfc="white", mec=COLOUR["measured"], mew=1.3, zorder=3)
    (here,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8)
    labels = [
        ax.text(0, 0, "arithmetic", color=COLOUR["compute"], ha="left", va="top"),
        ax.text(1.1, 0, "memory", color=COLOUR["memory"], ha="left", va="bottom"),
        ax.text(0.98, 0.05, "", transform=ax.transAxes, ha="right", va="bottom"),
    ]

    def update(table):
        arithmetic.set_data(*pick(table, "arithmetic", "rows", "time_s"))
        memory.set_data(*pick(table, "memory", "rows", "time_s"))
        larger.set_data(*pick(table, "larger", "rows", "time_s"))
        measured.set_data(*pick(table, "measured", "rows", "time_s"))
        here.set_data(*pick(table, "here", "rows", "time_s"))
        rows, seconds = pick(table, "arithmetic", "rows", "time_s")
        labels[0].set_position((rows[24] * 1.25, seconds[24]))
        labels[1].set_position((1.1, pick(table, "memory", "time_s")[0] * 0.62))
        labels[1].set_va("top")
        found = "○ measured" if pick(table, "measured", "rows").size else "no measurement of this chip in the corpus"
        labels[2].set_text(f"thick grey: the larger of the two   {found}")
        return [larger, arithmetic, memory, measured, here, *labels]

    return update


def _two_times_summary(table):
    rows, arithmetic, memory, seconds, measured = (
        one(table, "here", c) for c in ("rows", "arithmetic_s", "memory_s", "time_s", "measured_s")
    )
    bound = "arithmetic" if arithmetic > memory else "memory"
    text = (
        f"At {plain(rows, 5)} row{'s' * (rows != 1)}: arithmetic {si(arithmetic, 's')}, memory {si(memory, 's')}; "
        f"the larger is {bound}, so no faster than {si(seconds, 's')}."
    )
    if np.isfinite(measured):
        text += f" Measured: {si(measured, 's')}, {plain(measured / seconds, 3)} times the bound."
    return text


two_times = Exhibit(
    slug="01-two-times",
    title="Two times and a maximum.",
    caption="Time of one matrix product, m rows against the 8,192 by 57,344 gate and up projection of "
    "Llama-2-70B in 16 bits: the arithmetic at the dense peak, the traffic at the datasheet's "
    "bandwidth, and kernels as measured.",
    alt="Log-log plot of time against rows. The memory line is flat, then rises slowly; the arithmetic "
    "line rises in proportion to the rows and crosses it at the ridge. Measured points follow the larger.",
    controls={"chip_name": CHIP, "rows": BATCH},
    table=_two_times_table,
    draw=_two_times_draw,
    summary=_two_times_summary,
    sources=("vidur_a100", "vidur_h100"),
)


# ---- 2: the roofline, for every chip of the catalog ---------------------------------------------------


def _roofline_table(chip_name, format, rows):
    device = chip(chip_name)
    number_format = _format_of(device, format)
    rates = {"peak_flop_per_s": device.peak_flop_per_s(number_format), "bytes_per_s": device.memory_bytes_per_s}
    x = np.geomspace(0.1, 20000, 141)
    here = _intensity(rows, number_format)
    measured = (
        first_estimate.matmul_sweep(chip_name, k=K, n=N)
        if format == "16-bit"
        else {"m": np.empty(0), "time_s": np.empty(0)}
    )
    ghosts = {
        name: {
            "intensity_flop_per_byte": x,
            "rate_flop_per_s": roofline.attainable_flop_per_s(
                x,
                peak_flop_per_s=chip(name).peak_flop_per_s(first_estimate.width16(chip(name))),
                bytes_per_s=chip(name).memory_bytes_per_s,
            ),
        }
        for name in GHOSTS
    }
    return stack(
        roof={"intensity_flop_per_byte": x, "rate_flop_per_s": roofline.attainable_flop_per_s(x, **rates)},
        ridge={
            "intensity_flop_per_byte": roofline.ridge_flop_per_byte(**rates),
            "rate_flop_per_s": rates["peak_flop_per_s"],
        },
        here={
            "intensity_flop_per_byte": here,
            "rate_flop_per_s": roofline.attainable_flop_per_s(here, **rates),
            "rows": rows,
            "format": number_format,
        },
        measured={
            "intensity_flop_per_byte": _intensity(measured["m"], "fp16"),
            "rate_flop_per_s": roofline.matmul_flop(measured["m"], K, N) / measured["time_s"],
        },
        **ghosts,
    )


def _intensity(rows, format):
    op = ops.matmul("gate+up", rows, K, N, format=format)
    return roofline.intensity_flop_per_byte(op.flop, op.bytes)


def _format_of(device, width):
    """The chip's fastest matrix format of a width."""
    choices = {"16-bit": ("bf16", "fp16"), "8-bit": ("fp8", "int8")}[width]
    found = [f for f in choices if f in device.peaks]
    if not found:
        raise ValueError(f"{device.name} has no {width} matrix peak; the picture shows the choice before")
    return max(found, key=device.peak_flop_per_s)


GHOSTS = ("V100 SXM2 32GB", "A100 SXM 80GB", "B200 SXM (HGX)")


def _roofline_draw(figure):
    ax = figure.add_axes([0.165, 0.13, 0.81, 0.84])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.7, 20000),
        ylim=(4e11, 1.2e16),
        xlabel="arithmetic intensity [FLOP per byte of memory traffic]",
        ylabel="attainable rate",
    )
    axis_in(ax.yaxis, "FLOP/s")
    axis_in(ax.xaxis, "")
    ghosts = {name: ax.plot([], [], color=COLOUR["idle"], lw=1)[0] for name in GHOSTS}
    names = {
        name: ax.text(18500, 1, name.split(" ")[0], color="#6E6E6E", fontsize=8.5, ha="right", va="bottom")
        for name in GHOSTS
    }
    (slope,) = ax.plot([], [], lw=7, alpha=0.3, color=COLOUR["memory"])
    (flat,) = ax.plot([], [], lw=7, alpha=0.3, color=COLOUR["compute"])
    (roof,) = ax.plot([], [], color=COLOUR["total"], lw=2.4)
    (measured,) = ax.plot([], [], "o", mfc="white", mec=COLOUR["measured"], mew=1.3, zorder=3)
    (ridge,) = ax.plot([], [], "o", ms=8, color=COLOUR["total"])
    (here,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8)
    words = [
        ax.text(
            0,
            0,
            "ridge",
            ha="right",
            va="bottom",
            weight="bold",
            bbox={"facecolor": "#FFFFFFCC", "edgecolor": "none", "pad": 1},
        ),
        ax.text(0.985, 0.04, "", transform=ax.transAxes, ha="right"),
    ]

    def update(table):
        x, y = pick(table, "roof", "intensity_flop_per_byte", "rate_flop_per_s")
        bend, peak = (one(table, "ridge", c) for c in ("intensity_flop_per_byte", "rate_flop_per_s"))
        roof.set_data([x[0], bend, x[-1]], [y[0], peak, peak])
        slope.set_data([x[0], bend], [y[0], peak])
        flat.set_data([bend, x[-1]], [peak, peak])
        for artist, series in ((measured, "measured"), (ridge, "ridge"), (here, "here")):
            artist.set_data(*pick(table, series, "intensity_flop_per_byte", "rate_flop_per_s"))
        for name, ghost in ghosts.items():
            ghost.set_data(*pick(table, name, "intensity_flop_per_byte", "rate_flop_per_s"))
            same = 0.6 < ghost.get_ydata()[-1] / peak < 1.7
            names[name].set_position((18500, 1 if same else ghost.get_ydata()[-1] * 1.03))
        words[0].set_position((bend * 0.84, peak * 1.2))
        words[1].set_text("○ measured" if len(measured.get_xdata()) else "no measurement of this in the corpus")
        return [*ghosts.values(), *names.values(), slope, flat, roof, measured, ridge, here, *words]

    return update


def _rows(rows):
    return "1 row gives" if rows == 1 else f"{plain(rows, 5)} rows give"


def _roofline_summary(table):
    rows, x, y = (one(table, "here", c) for c in ("rows", "intensity_flop_per_byte", "rate_flop_per_s"))
    bend, peak = (one(table, "ridge", c) for c in ("intensity_flop_per_byte", "rate_flop_per_s"))
    side = "left of it: memory decides" if x < bend else "right of it: arithmetic decides"
    return (
        f"Ridge of {one(table, 'here', 'format')} at {plain(bend)} FLOP/B. {_rows(rows)} {plain(x)} FLOP/B, {side}; "
        f"at most {si(y, 'FLOP/s')}, {plain(100 * y / peak)} % of the peak."
    )


the_roofline = Exhibit(
    slug="01-roofline",
    title="The roofline.",
    caption="The rate that a chip can reach against the operations done for each byte it must move: "
    "sloped where memory decides (blue), flat where arithmetic does (orange). The diamond is the matrix "
    "product of the figure before, moved along the roof by its number of rows. Grey: other chips in 16 bits.",
    alt="Log-log plot of attainable FLOP/s against arithmetic intensity: a sloped line that meets a flat "
    "one at the ridge point, with the roofs of V100, A100 and B200 in grey.",
    controls={
        "chip_name": CHIP,
        "format": Control(label="format", values=("16-bit", "8-bit"), start="16-bit"),
        "rows": BATCH,
    },
    table=_roofline_table,
    draw=_roofline_draw,
    summary=_roofline_summary,
    sources=("williams2009roofline", "vidur_a100", "vidur_h100"),
)


# ---- 3: the ridges of the catalog ---------------------------------------------------------------------

SHOWN = (
    "T4",
    "V100 SXM2 32GB",
    "A100 SXM 80GB",
    "H100 SXM5",
    "H200 SXM",
    "B200 SXM (HGX)",
    "RTX 4090",
    "MI250X",
    "MI300X",
    "MI355X",
    "TPU v2",
    "TPU v3",
    "TPU v4",
    "TPU v5e",
    "TPU v5p",
    "TPU v6e",
    "TPU v7",
    "Trainium1",
    "Trainium2",
    "Gaudi 2",
    "Gaudi 3",
    "Groq LPU v1",
    "Xeon 6980P",
)


def _ridges_table():
    shown = sorted((chip(name) for name in SHOWN), key=lambda c: c.launch)
    return stack(
        ridge={
            "chip": [c.name for c in shown],
            "vendor": [c.vendor for c in shown],
            "launch": [c.launch for c in shown],
            "ridge_flop_per_byte": [ops.ridge_flop_per_byte(c, format=first_estimate.width16(c)) for c in shown],
        }
    )


def _ridges_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = figure.add_axes([0.24, 0.09, 0.73, 0.85])
    ax.set(xscale="log", xlim=(1.6, 1500), ylim=(len(SHOWN) - 0.4, -0.7), xlabel="ridge point, 16-bit [FLOP per byte]")
    axis_in(ax.xaxis, "")

    def update(table):
        names, makers, launches, ridges = pick(table, "ridge", "chip", "vendor", "launch", "ridge_flop_per_byte")
        y = np.arange(names.size)
        drawn = [ax.hlines(y, 1.6, ridges, color="#DDDDDD", lw=1)]
        for i, maker in enumerate(dict.fromkeys(makers)):
            mine = makers == maker
            drawn += ax.plot(ridges[mine], y[mine], MARKERS[i % 8], color=SERIES[i % 8], label=maker)
        drawn += [ax.text(r * 1.09, i, plain(r), va="center", fontsize=8) for i, r in enumerate(ridges)]
        ax.set_yticks(y, [f"{_short(n)}, {d[:4]}" for n, d in zip(names, launches, strict=True)], fontsize=8.5)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.25, 1.0), ncols=6, fontsize=8.5, handletextpad=0.1)
        return drawn

    return update


def _ridges_summary(table):
    names, ridges = pick(table, "ridge", "chip", "ridge_flop_per_byte")
    order = np.argsort(ridges)
    return (
        f"Lowest {names[order[0]]} at {plain(ridges[order[0]])} FLOP/B, highest {names[order[-1]]} at "
        f"{plain(ridges[order[-1]])}; median {plain(np.median(ridges))}."
    )


ridges = Exhibit(
    slug="01-ridges",
    title="What a chip asks for.",
    caption="Ridge points in 16 bits, in the order of launch: operations that each byte from main memory must feed "
    "before the arithmetic is the limit.",
    alt="Dot chart of ridge points, one row for each chip in the order of launch. Most lie between one and six "
    "hundred FLOP per byte; an SRAM chip lies a hundred times lower.",
    table=_ridges_table,
    draw=_ridges_draw,
    summary=_ridges_summary,
)


# ---- 4: which level feeds the arithmetic? --------------------------------------------------------------

SIDE = 8192
LEVELLED = ("V100 PCIe 16GB", "A100 SXM 80GB", "H100 PCIe", "H100 SXM5")
TILES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)


def _feeding_levels(device):
    return [level for level in device.levels if level.bytes_per_s and level.name in ("L1/shared", "L2", "HBM")]


def _levels_table(chip_name, tile):
    device = chip(chip_name)
    format = first_estimate.width16(device)
    t = np.geomspace(8, 2048, 97)
    flop = roofline.matmul_flop(SIDE, SIDE, SIDE)
    arithmetic = flop / device.peak_flop_per_s(format)

    def feed_s(t, level):
        return roofline.tiled_matmul_bytes(SIDE, SIDE, SIDE, tile=t, value_bytes=2) / level.bytes_per_s

    lines = {
        level.name: {"tile": t, "time_s": feed_s(t, level), "bytes_per_s": level.bytes_per_s}
        for level in _feeding_levels(device)
    }
    here = {f"here {level.name}": {"tile": tile, "time_s": feed_s(tile, level)} for level in _feeding_levels(device)}
    return stack(arithmetic={"tile": t, "time_s": arithmetic}, **lines, **here)


def hiding_tile(device, level):
    """Side of the tile at which a level feeds as fast as the arithmetic eats (eq:tiled-bytes solved)."""
    peak = device.peak_flop_per_s(first_estimate.width16(device))
    return 2 / (level.bytes_per_s / peak - 1 / SIDE)


LEVEL_STYLE = {"L1/shared": ("#56B4E9", ":"), "L2": ("#0072B2", "-."), "HBM": ("#003F63", "--")}


def _levels_draw(figure):
    ax = figure.add_axes([0.135, 0.13, 0.84, 0.83])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(7, 2400),
        ylim=(2e-5, 0.7),
        xlabel="side of the square tile kept on the near side of the level",
        ylabel="time to feed an 8,192-cubed product",
    )
    axis_in(ax.yaxis, "s")
    ax.set_xticks(TILES, [str(t) for t in TILES])
    ax.minorticks_off()
    (arithmetic,) = ax.plot([], [], **resource("compute"))
    label = ax.text(2300, 1, "arithmetic at peak", color=COLOUR["compute"], ha="right", va="bottom")
    lines, points, names = {}, {}, {}
    for name, (colour, dash) in LEVEL_STYLE.items():
        (lines[name],) = ax.plot([], [], color=colour, linestyle=dash)
        (points[name],) = ax.plot([], [], "D", ms=7, color=COLOUR["highlight"], mec="black", mew=0.8)
        names[name] = ax.text(9, 1, name, color=colour, ha="left", va="bottom", rotation=-18, rotation_mode="anchor")

    def update(table):
        arithmetic.set_data(*pick(table, "arithmetic", "tile", "time_s"))
        label.set_position((2300, arithmetic.get_ydata()[0] * 1.08))
        present = set(table["series"])
        for name, line in lines.items():
            shown = name in present
            line.set_data(*(pick(table, name, "tile", "time_s") if shown else ([], [])))
            points[name].set_data(*(pick(table, f"here {name}", "tile", "time_s") if shown else ([], [])))
            if shown:
                names[name].set_text(f"from {name}, {si(pick(table, name, 'bytes_per_s')[0], 'B/s')}")
                names[name].set_position((line.get_xdata()[2], line.get_ydata()[2] * 1.08))
        return [arithmetic, label, *lines.values(), *points.values(), *names.values()]

    return update


def _levels_summary(table):
    arithmetic = pick(table, "arithmetic", "time_s")[0]
    here = {s[5:]: one(table, s, "time_s") for s in dict.fromkeys(table["series"]) if s.startswith("here ")}
    tile = pick(table, f"here {next(iter(here))}", "tile")[0]
    parts = [f"{name} {si(s, 's')}{' (hidden)' if s <= arithmetic else ''}" for name, s in here.items()]
    return (
        f"Tile {plain(tile, 4)}: arithmetic takes {si(arithmetic, 's')}; feeding it takes {', '.join(parts)}. "
        "Hidden: no longer than the arithmetic."
    )


levels = Exhibit(
    slug="01-levels",
    title="One roof for each level.",
    caption="Time to bring the operands of a product of two 8,192 by 8,192 matrices in 16 bits from each level of the "
    "memory, against the side of the tile that is kept on the near side of that level. A level whose line is below "
    "the orange one is hidden behind the arithmetic.",
    alt="Log-log plot of feeding time against tile side: one falling line for each memory level and a flat "
    "line for the arithmetic. Each line crosses the flat one at its own tile size.",
    controls={
        "chip_name": Control(label="chip", values=LEVELLED, start="A100 SXM 80GB"),
        "tile": Control(label="tile side", values=TILES, start=128),
    },
    table=_levels_table,
    draw=_levels_draw,
    summary=_levels_summary,
    sources=("gpubenches", "yang2020hierarchical"),
)


# ---- 5: Little's law ------------------------------------------------------------------------------------

CHASED = ("V100 PCIe 16GB", "A100 SXM 80GB", "H100 PCIe", "MI210")


def _little_table(chip_name, threads):
    device = chip(chip_name)
    latency = device.level("HBM").latency_s
    measured = first_estimate.occupancy_sweep(chip_name)

    def predicted(n):
        return roofline.latency_limited_bytes_per_s(8 * n, bytes_per_s=device.memory_bytes_per_s, latency_s=latency)

    n = np.geomspace(1000, 300000, 121)
    return stack(
        law={"threads": n, "bytes_per_s": predicted(n)},
        here={
            "threads": threads,
            "bytes_per_s": predicted(threads),
            "latency_s": latency,
            "needed_bytes": roofline.bytes_in_flight(bytes_per_s=device.memory_bytes_per_s, latency_s=latency),
            "peak_bytes_per_s": device.memory_bytes_per_s,
        },
        measured={
            "threads": measured["threads"],
            "bytes_per_s": measured["bytes_per_s"],
            "predicted_bytes_per_s": predicted(measured["threads"]),
        },
    )


def _little_draw(figure):
    ax = figure.add_axes([0.15, 0.13, 0.82, 0.84])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(800, 330000),
        ylim=(1.3e10, 4e12),
        xlabel="threads, each with one 8-byte load in flight",
        ylabel="bandwidth drawn from memory",
    )
    axis_in(ax.yaxis, "B/s")
    axis_in(ax.xaxis, "")
    (rising,) = ax.plot([], [], **resource("latency"))
    (flat,) = ax.plot([], [], **resource("memory"))
    (measured,) = ax.plot([], [], "o", mfc="white", mec=COLOUR["measured"], mew=1.3, zorder=3)
    (here,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8)
    words = [
        ax.text(0, 0, "bytes in flight / latency ", color=COLOUR["latency"], ha="right"),
        ax.text(3.2e5, 0, "datasheet bandwidth", color=COLOUR["memory"], ha="right", va="bottom"),
        ax.text(0.98, 0.05, "○ measured", transform=ax.transAxes, ha="right"),
    ]

    def update(table):
        n, rate = pick(table, "law", "threads", "bytes_per_s")
        top = one(table, "here", "peak_bytes_per_s")
        rising.set_data(n[rate < top], rate[rate < top])
        flat.set_data(n[rate >= top], rate[rate >= top])
        measured.set_data(*pick(table, "measured", "threads", "bytes_per_s"))
        here.set_data(*pick(table, "here", "threads", "bytes_per_s"))
        words[0].set_position((n[50], rate[50]))
        words[1].set_position((3.2e5, top * 1.06))
        return [rising, flat, measured, here, *words]

    return update


def _little_summary(table):
    threads, rate, latency, needed, top = (
        one(table, "here", c) for c in ("threads", "bytes_per_s", "latency_s", "needed_bytes", "peak_bytes_per_s")
    )
    measured, predicted = pick(table, "measured", "bytes_per_s", "predicted_bytes_per_s")
    return (
        f"Latency {si(latency, 's')}: the full {si(top, 'B/s')} needs {si(needed, 'B')} in flight. "
        f"Little's law gives {plain(threads, 5)} threads {si(rate, 'B/s')}, {plain(100 * rate / top)} % of it. "
        f"Mean absolute error at the {measured.size} measured points: {plain(100 * np.mean(np.abs(predicted / measured - 1)), 2)} %."
    )


little = Exhibit(
    slug="01-little",
    title="A bandwidth is a number of bytes in flight.",
    caption="Bandwidth that a read kernel draws against its threads, from Little's law with the measured latency "
    "of a pointer chase and no fitted number; circles are measurements at three occupancies.",
    alt="Log-log plot: bandwidth rises in proportion to the threads in flight until it meets the flat line "
    "of the datasheet bandwidth; measured points round the corner off.",
    controls={
        "chip_name": Control(label="chip", values=CHASED, start="A100 SXM 80GB"),
        "threads": Control(label="threads", values=tuple(1000 * 2**i for i in range(9)), start=16000),
    },
    table=_little_table,
    draw=_little_draw,
    summary=_little_summary,
    sources=("gpubenches", "little1961"),
)


# ---- 6: advertised and achieved ---------------------------------------------------------------------------

WHAT = ("matmul, best shape", "matmul, sustained", "stream")


def _advertised_table():
    table = first_estimate.achieved()
    order = np.lexsort((table["fraction"], [WHAT.index(w) for w in table["what"]]))
    return stack(
        **{
            what: {
                name: values[order][table["what"][order] == what] for name, values in table.items() if name != "what"
            }
            for what in WHAT
        }
    )


def _advertised_draw(figure):
    axes = [figure.add_axes([0.23, 0.11, 0.26, 0.80]), figure.add_axes([0.73, 0.11, 0.25, 0.80])]
    for ax, title in zip(axes, ("matrix product", "streaming memory"), strict=True):
        ax.set(xlim=(0.4, 1.02), xlabel="achieved / advertised")
        ax.set_title(title)
    figure.set_size_inches(7.6, 5.6)

    def update(table):
        drawn = []
        for ax, shown in zip(axes, (WHAT[:2], WHAT[2:]), strict=True):
            rows = np.isin(table["series"], shown)
            order = np.argsort(table["fraction"][rows])
            series, fraction = table["series"][rows][order], table["fraction"][rows][order]
            y = np.arange(fraction.size)
            for what, marker, colour in (
                (WHAT[0], "o", COLOUR["compute"]),
                (WHAT[1], "s", "#7A3300"),
                (WHAT[2], "o", COLOUR["memory"]),
            ):
                mine = series == what
                if mine.any():
                    drawn += ax.plot(fraction[mine], y[mine], marker, color=colour, label=what.split(", ")[-1])
            names = [
                f"{_short(n)}, {f if w != 'stream' else source.split('_')[0]}"
                for n, f, w, source in zip(
                    table["chip_name"][rows][order],
                    table["format"][rows][order],
                    series,
                    table["source_id"][rows][order],
                    strict=True,
                )
            ]
            ax.set_yticks(y, names, fontsize=7)
            ax.axvline(np.median(fraction), color=COLOUR["idle"], lw=1, ls=":")
            ax.set_ylim(-0.7, fraction.size - 0.3)
        axes[0].legend(fontsize=8, loc="lower right", handletextpad=0.1)
        return drawn

    return update


def _short(name):
    return name.split(" (")[0].replace(" SXM2", "").replace(" SXM5", " SXM")


def _advertised_summary(table):
    def median(*what):
        return plain(100 * np.median(table["fraction"][np.isin(table["series"], what)]))

    return (
        f"Median reached: {median(*WHAT[:2])} % of the dense peak by matrix products, {median('stream')} % of the "
        f"datasheet's bandwidth by streaming kernels. Range: {plain(100 * table['fraction'].min())} to "
        f"{plain(100 * table['fraction'].max())} %."
    )


advertised = Exhibit(
    slug="01-advertised",
    title="Advertised and achieved.",
    caption="What the best measured kernels reach of the datasheet. Best shape: the fastest of a sweep of matrix "
    "shapes. Sustained: a large cube of random numbers on a warm chip. Dotted: median. Not shown: rows that "
    "gpu-benches labels H200, which level off at the bandwidth of a GH200.",
    alt="Two dot plots of achieved over advertised rate by chip, one for matrix products and one for streaming "
    "memory. No chip reaches one; memory comes nearer than arithmetic.",
    table=_advertised_table,
    draw=_advertised_draw,
    summary=_advertised_summary,
    sources=("mamf", "azure_guide", "gpubenches"),
)


def mixed_up():
    """Rows of a table: a number that one wants, and the one that one may read in its place."""
    sxm, geforce = chip("H100 SXM5"), chip("RTX 4090")
    pairs = [
        ("dense, not sparse", sxm.peak_flop_per_s("fp8"), 2 * sxm.peak_flop_per_s("fp8"), "FLOP/s"),
        (
            "the die you run on, not the package",
            chip("MI250X (one GCD)").peak_flop_per_s("fp16"),
            chip("MI250X").peak_flop_per_s("fp16"),
            "FLOP/s",
        ),
        ("sums in 32 bits, not 16", geforce.peak_flop_per_s("fp16"), geforce.peak_flop_per_s("fp16_acc16"), "FLOP/s"),
        ("the right board", chip("H100 PCIe").peak_flop_per_s("bf16"), sxm.peak_flop_per_s("bf16"), "FLOP/s"),
        ("one direction, not both", sxm.link_bytes_per_s, 2 * sxm.link_bytes_per_s, "B/s"),
        (
            "decimal bytes, not binary",
            chip("Trainium2").memory_bytes,
            chip("Trainium2").memory_bytes / 2**30 * 1e9,
            "B",
        ),
    ]
    return [
        {"what you want": what, "is": si(want, unit, 4), "you may read": si(read, unit, 4), "times": plain(read / want)}
        for what, want, read, unit in pairs
    ]


# ---- 7: your machine -----------------------------------------------------------------------------------------


@cache
def _machine(machine):
    return your_roofline.load(None if machine == "yours" else data.FOLDER / "sample_machine.json")


def _machine_table(machine):
    result = _machine(machine)
    x = np.geomspace(0.05, 20000, 141)
    mine = {
        f"{format}{' on the GPU' * (device == 'cuda')}": {
            "intensity_flop_per_byte": x,
            "name": found["name"],
            "origin": result["origin"],
            "asked": machine,
            "rate_flop_per_s": roofline.attainable_flop_per_s(
                x, peak_flop_per_s=rate, bytes_per_s=found["bytes_per_s"]
            ),
        }
        for device in ("cpu", "cuda")
        for found in [your_roofline.roof(result, device)]
        if "bytes_per_s" in found
        for format, rate in found["flop_per_s"].items()
    }
    theirs = {
        f"{name} {f}": {
            "intensity_flop_per_byte": x,
            "name": name,
            "rate_flop_per_s": roofline.attainable_flop_per_s(
                x, peak_flop_per_s=chip(name).peak_flop_per_s(f), bytes_per_s=chip(name).memory_bytes_per_s
            ),
        }
        for name, f in (("RTX 4090", "fp32"), ("H100 SXM5", "bf16"))
    }
    return stack(**mine, **theirs)


def _machine_draw(figure):
    ax = figure.add_axes([0.165, 0.13, 0.81, 0.84])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.05, 20000),
        ylim=(3e7, 5e15),
        xlabel="arithmetic intensity [FLOP per byte of memory traffic]",
        ylabel="attainable rate",
    )
    axis_in(ax.yaxis, "FLOP/s")
    axis_in(ax.xaxis, "")
    slots = [(*ax.plot([], []), ax.text(0, 0, "", fontsize=8.5, ha="right", va="bottom")) for _ in range(10)]
    title = ax.text(0.985, 0.03, "", transform=ax.transAxes, ha="right", weight="bold")

    def update(table):
        order = list(dict.fromkeys(table["series"]))
        for i, (line, label) in enumerate(slots):
            shown = i < len(order)
            x, y = pick(table, order[i], "intensity_flop_per_byte", "rate_flop_per_s") if shown else ([], [])
            yours = shown and pick(table, order[i], "origin")[0] != ""
            line.set(
                data=(x, y),
                color=SERIES[i % 8] if yours else COLOUR["idle"],
                linestyle=("-", "--", "-.", (0, (5, 1)))[i % 4] if yours else ":",
            )
            label.set(text=order[i] if shown else "", color=line.get_color())
            label.set_position((18000, y[-1] * 1.05) if shown else (1, 1))
        sample = pick(table, order[0], "origin")[0] == "sample"
        title.set_text(
            f"{pick(table, order[0], 'name')[0]}{' (the sample; run `bottlenecks measure`)' if sample else ''}"
        )
        return [*(line for line, _ in slots), *(label for _, label in slots), title]

    return update


def _machine_summary(table):
    roofs = {
        series: pick(table, series, "rate_flop_per_s").max()
        for series in dict.fromkeys(table["series"][table["origin"] != ""])
    }
    first = next(iter(roofs))
    x, y = pick(table, first, "intensity_flop_per_byte", "rate_flop_per_s")
    bandwidth = y[0] / x[0]
    ridges = ", ".join(f"{f} {si(r, 'FLOP/s')} (ridge {plain(r / bandwidth)})" for f, r in roofs.items())
    text = f"{pick(table, first, 'name')[0]}: memory {si(bandwidth, 'B/s')}; {ridges}."
    if pick(table, first, "asked")[0] == "yours" and pick(table, first, "origin")[0] == "sample":
        text = f"Nothing is measured on this machine yet (run `bottlenecks measure`); the sample is shown. {text}"
    return text


your_machine = Exhibit(
    slug="01-your-machine",
    title="Your machine under the same roof.",
    caption="Rooflines as `bottlenecks measure` found them (in colour), one for each number format, beside two "
    "datasheets (grey, dotted).",
    alt="Log-log roofline plot with one measured roof for each number format of the machine and dotted roofs of "
    "an RTX 4090 and an H100 far above it.",
    controls={"machine": Control(label="machine", values=("sample", "yours"), start="sample")},
    table=_machine_table,
    draw=_machine_draw,
    summary=_machine_summary,
)


# ---- 8: energy -----------------------------------------------------------------------------------------------


@cache
def _energy_rows():
    """(operation, bits, process) -> joules, from the energy table."""
    rows = data.rows("energy")
    return {(r["operation"], r["bits"], r["process_nm"]): float(r["energy_pj"]) * 1e-12 for r in rows}


# arithmetic: bits of the multiplication, bits of the sum, process
ARITHMETIC = {
    "FP16 with 32-bit sums, 7 nm": ("16", "32", "7"),
    "FP16, 7 nm": ("16", "16", "7"),
    "FP32, 7 nm": ("32", "32", "7"),
    "FP16, 45 nm": ("16", "16", "45"),
    "FP32, 45 nm": ("32", "32", "45"),
}
MEMORY = {
    "HBM2": ("HBM2 access", "1", ""),
    "GDDR5": ("GDDR5 access", "1", ""),
    "DRAM of 2014": ("DRAM read (low)", "64", "45"),
    "SRAM, 8 KB": ("SRAM read 8 KB", "64", "7"),
}


def energy_per_flop(arithmetic):
    """Joules of one operation: the mean of a multiplication and an addition."""
    multiply, add, process = ARITHMETIC[arithmetic]
    rows = _energy_rows()
    return (rows["FP multiply", multiply, process] + rows["FP add", add, process]) / 2


def energy_per_byte(memory):
    """Joules of moving one byte from a memory."""
    operation, bits, process = MEMORY[memory]
    return _energy_rows()[operation, bits, process] / float(bits) * 8


def _energy_table(arithmetic, memory, intensity):
    joules_per_flop = energy_per_flop(arithmetic)
    joules_per_byte = energy_per_byte(memory)
    x = np.geomspace(0.1, 10000, 121)

    def parts(x):
        return {
            "intensity_flop_per_byte": x,
            "arithmetic_joules_per_flop": joules_per_flop + 0 * x,
            "memory_joules_per_flop": joules_per_byte / x,
            "joules_per_flop": 1
            / roofline.attainable_flop_per_joule(x, joules_per_flop=joules_per_flop, joules_per_byte=joules_per_byte),
        }

    balance = roofline.energy_balance_flop_per_byte(joules_per_flop=joules_per_flop, joules_per_byte=joules_per_byte)
    board = chip("H100 SXM5")
    return stack(
        curve=parts(x),
        here=parts(float(intensity)),
        balance=parts(balance),
        board={"joules_per_flop": board.tdp_watts / board.peak_flop_per_s("bf16")},
    )


def _energy_draw(figure):
    ax = figure.add_axes([0.135, 0.13, 0.84, 0.83])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.1, 8000),
        ylim=(3e-14, 3e-9),
        xlabel="arithmetic intensity [FLOP per byte moved]",
        ylabel="energy of one operation",
    )
    ax.yaxis.set_major_formatter(lambda value, _: f"{value * 1e12:g} pJ")
    axis_in(ax.xaxis, "")
    (total,) = ax.plot([], [], color=COLOUR["total"], lw=2.4)
    (arithmetic,) = ax.plot([], [], **resource("compute"))
    (memory,) = ax.plot([], [], **resource("memory"))
    (board,) = ax.plot([], [], color=COLOUR["idle"], ls=":")
    (balance,) = ax.plot([], [], "o", ms=8, color=COLOUR["total"])
    (here,) = ax.plot([], [], "D", ms=9, color=COLOUR["highlight"], mec="black", mew=0.8)
    words = [
        ax.text(7500, 0, "arithmetic", color=COLOUR["compute"], ha="right", va="top"),
        ax.text(0, 0, " moving the bytes", color=COLOUR["memory"], ha="left", va="bottom"),
        ax.text(0.11, 0, "a whole H100 board, at full power and peak rate", color="#6E6E6E", va="bottom", fontsize=8.5),
    ]

    def update(table):
        x = pick(table, "curve", "intensity_flop_per_byte")
        total.set_data(x, pick(table, "curve", "joules_per_flop"))
        arithmetic.set_data(x, pick(table, "curve", "arithmetic_joules_per_flop"))
        memory.set_data(x, pick(table, "curve", "memory_joules_per_flop"))
        level = one(table, "board", "joules_per_flop")
        board.set_data(x[[0, -1]], [level, level])
        balance.set_data(*pick(table, "balance", "intensity_flop_per_byte", "joules_per_flop"))
        here.set_data(*pick(table, "here", "intensity_flop_per_byte", "joules_per_flop"))
        words[0].set_position((7500, arithmetic.get_ydata()[0] * 0.9))
        words[1].set_position((x[22], memory.get_ydata()[22] * 1.15))
        words[2].set_position((0.11, level * 1.08))
        return [board, arithmetic, memory, total, balance, here, *words]

    return update


def _energy_summary(table):
    x, arithmetic, memory, total = (
        one(table, "here", c)
        for c in ("intensity_flop_per_byte", "arithmetic_joules_per_flop", "memory_joules_per_flop", "joules_per_flop")
    )
    balance = one(table, "balance", "intensity_flop_per_byte")

    def pj(joules):
        return f"{plain(joules * 1e12)} pJ"

    return (
        f"At {plain(x)} FLOP/B one operation costs {pj(total)}: {pj(arithmetic)} of arithmetic and {pj(memory)} of "
        f"movement, {plain(100 * memory / total)} % of the energy. They are equal at {plain(balance)} FLOP/B."
    )


energy = Exhibit(
    slug="01-energy",
    title="Energy adds where time overlaps.",
    caption="Energy of one operation against intensity: the mean of a multiplication and an addition, and its share "
    "of the bytes moved. Black: their sum; the dot is where both are equal. The dotted line is not a bound: it is "
    "all that a board draws.",
    alt="Log-log plot of energy an operation against arithmetic intensity: movement falls in proportion, "
    "arithmetic is flat, and their sum bends between the two.",
    controls={
        "arithmetic": Control(label="arithmetic", values=tuple(ARITHMETIC), start="FP16 with 32-bit sums, 7 nm"),
        "memory": Control(label="memory", values=tuple(MEMORY), start="HBM2"),
        "intensity": Control(label="intensity", values=tuple(2**i for i in range(-2, 13)), start=1, unit="FLOP/B"),
    },
    table=_energy_table,
    draw=_energy_draw,
    summary=_energy_summary,
    sources=("choi2013energy-roofline", "jouppi2021lessons", "horowitz2014energy", "oconnor2017fgdram"),
)


# ---- 9: reality ------------------------------------------------------------------------------------------------


def _steps_table(rates):
    scored, _ = first_estimate.llm_steps()
    predicted = first_estimate.estimate_s(scored) if rates == "achieved" else scored["bound_s"]
    series = np.char.add(np.char.add(scored["source_id"], " "), scored["phase"])
    columns = {"predicted_s": predicted, "measured_s": scored["measured_s"], "chip": scored["chip_name"]}
    return stack(
        **{str(name): {c: v[series == name] for c, v in columns.items()} for name in sorted(set(series))},
        diagonal={"predicted_s": np.array([5e-3, 3.0]), "measured_s": np.array([5e-3, 3.0])},
    )


STEP_STYLE = {
    "llamacpp_dai decode": ("memory", "o", "decode, llama.cpp"),
    "llamacpp_dai prefill": ("compute", "o", "prefill, llama.cpp"),
    "gptfast decode": ("memory", "s", "decode, gpt-fast"),
    "kipply_ft13b decode": ("memory", "^", "decode, FasterTransformer"),
    "kipply_ft13b prefill": ("compute", "^", "prefill, FasterTransformer"),
}


def _steps_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = figure.add_axes([0.135, 0.12, 0.84, 0.85])
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(2.5e-3, 3),
        ylim=(2.5e-3, 8),
        xlabel="predicted: the larger of weight fetch and matrix products",
        ylabel="measured",
    )
    axis_in(ax.xaxis, "s")
    axis_in(ax.yaxis, "s")
    ax.axline((1, 1), (2, 2), color=COLOUR["idle"], lw=1)
    ax.axline((1, 2), (2, 4), color=COLOUR["idle"], lw=1, ls=":")
    ax.text(1.0, 0.93, "as predicted", rotation=36.5, rotation_mode="anchor", color="#6E6E6E", fontsize=8.5, va="top")
    ax.text(1.55, 3.3, "twice", rotation=36.5, rotation_mode="anchor", color="#6E6E6E", fontsize=8.5, va="bottom")
    points = {
        series: ax.plot([], [], marker, ls="", ms=5, mfc="none", mew=1.2, color=COLOUR[colour], label=label)[0]
        for series, (colour, marker, label) in STEP_STYLE.items()
    }
    ax.legend(loc="lower right")

    def update(table):
        for series, artist in points.items():
            artist.set_data(*pick(table, series, "predicted_s", "measured_s"))
        return list(points.values())

    return update


def _steps_summary(table):
    rows = table["series"] != "diagonal"
    ratio = table["measured_s"][rows] / table["predicted_s"][rows]
    decode = np.char.endswith(table["series"][rows], "decode")
    error = np.abs(1 / ratio - 1)
    return (
        f"{rows.sum()} steps on {len(set(table['chip'][rows]))} chips. Measured over predicted, median: decode "
        f"{plain(np.median(ratio[decode]))}, prefill {plain(np.median(ratio[~decode]))}; smallest of all "
        f"{plain(ratio.min())}. Mean absolute error: decode {plain(100 * error[decode].mean())} %, prefill "
        f"{plain(100 * error[~decode].mean())} %."
    )


steps = Exhibit(
    slug="01-steps",
    title="Does it hold?",
    caption="Single-chip LLM steps, measured against the larger of two times: weights fetched at the memory's "
    "rate, products done at the arithmetic's. `datasheet` takes both rates as advertised; `achieved` takes the "
    "median fractions of the figure before, fitted on other sources.",
    alt="Log-log scatter of measured against predicted step time, with the diagonal and twice it.",
    controls={"rates": Control(label="rates", values=("datasheet", "achieved"), start="datasheet")},
    table=_steps_table,
    draw=_steps_draw,
    summary=_steps_summary,
    sources=("llamacpp_dai", "gptfast", "kipply_ft13b"),
)
