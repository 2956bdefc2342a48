"""Figures of chapter 01, How fast could it go?"""

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import beside, text, told
from bottlenecks.exhibits.marks import circles, curve, diamond, line, span, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, MARKERS, SERIES, resource
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops

# The matrix of the chapter: gate and up projections of Llama-2-70B, the largest of that model.
K, N = 8192, 57344
ROWS = tuple(2**i for i in range(13))
GPUS = names(
    "V100 SXM2 32GB, A100 SXM 80GB, H100 SXM5, H200 SXM, B200 SXM (HGX), MI300X, TPU v4, TPU v5p, TPU v6e, TPU "
    "v7, Trainium2, RTX 4090"
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
            "chip": chip_name,
            "time_s": max(here_arithmetic, here_memory),
            "arithmetic_s": here_arithmetic,
            "memory_s": here_memory,
            "measured_s": measured["time_s"][near][0] if near.any() else np.nan,
        },
        measured={"rows": measured["m"], "time_s": measured["time_s"]},
    )


def _two_times_draw(figure):
    ax = panel(figure)
    x_axis(ax, "rows multiplied at once", 0.8, 5500, log="")
    y_axis(ax, "time of one product", 3e-7, 0.12, log="s")
    at = ("rows", "time_s")
    return updating(
        curve(ax, "larger", *at, color=COLOUR["total"], lw=5, alpha=0.18, solid_capstyle="round"),
        curve(ax, "arithmetic", *at, **resource("compute")),
        curve(ax, "memory", *at, **resource("memory")),
        circles(ax, "measured", *at),
        diamond(ax, *at),
        beside(ax, "arithmetic", "arithmetic", *at, 24, dx=1.25, color=COLOUR["compute"], va="top"),
        beside(ax, "memory", "memory", *at, 0, dx=1.1, dy=0.62, color=COLOUR["memory"], va="top"),
        told(ax, lambda table: short(row(table).chip), weight="bold"),
        told(ax, lambda table: f"thick grey: the larger of the two   {_found(table)}", "lower right"),
    )


def _found(table):
    """Whether there are circles."""
    return "○ measured" if (table["series"] == "measured").any() else "not measured"


def _two_times_summary(table):
    here = row(table)
    bound = "arithmetic" if here.arithmetic_s > here.memory_s else "memory"
    text = (
        f"At {plural(here.rows, 'row', 5)}: arithmetic {si(here.arithmetic_s, 's')}, memory {si(here.memory_s, 's')}; "
        f"the larger is {bound}, so no faster than {si(here.time_s, 's')}."
    )
    if np.isfinite(here.measured_s):
        text += f" Measured: {si(here.measured_s, 's')}, {plain(here.measured_s / here.time_s, 3)} times the bound."
    return text


two_times = Exhibit(
    slug="01-two-times",
    title="Two times and a maximum.",
    caption="Time of a matrix product in 16 bits, some rows times the 8,192 by 57,344 gate and up projection of "
    "Llama-2-70B: arithmetic at the dense peak, traffic at the datasheet's bandwidth, and kernels as measured.",
    alt="Log-log plot of time against rows. The memory line is flat, then rises slowly; the arithmetic line rises "
    "in proportion to the rows and crosses it at the ridge. Measured points follow the larger.",
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
            "chip": chip_name,
            "format": number_format,
        },
        measured={
            "intensity_flop_per_byte": _intensity(measured["m"], "fp16"),
            "rate_flop_per_s": roofline.matmul_flop(measured["m"], K, N) / measured["time_s"],
        },
        **ghosts,
    )


def _intensity(rows, format):
    if np.size(rows) == 0:
        return rows  # nothing was measured
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
SIDES = {"memory": "#E1EDF6", "compute": "#FBE6D8"}  # grounds of the two regions


ROOF = ("intensity_flop_per_byte", "rate_flop_per_s")


def roof_panel(figure, intensities, rates, right=0.975):
    """Axes of a roofline, from end to end of each."""
    ax = panel(figure, 0.165, 0.13, right, 0.97)
    x_axis(ax, "arithmetic intensity [FLOP per byte of memory traffic]", *intensities, log="")
    y_axis(ax, "attainable rate", *rates, log="FLOP/s")
    return ax


def _roofline_draw(figure):
    ax = roof_panel(figure, (0.7, 20000), (4e11, 1.2e16))

    def corners(table):
        """The roof's three points."""
        x, y = pick(table, "roof", *ROOF)
        ridge = row(table, "ridge")
        bend, peak = ridge.intensity_flop_per_byte, ridge.rate_flop_per_s
        return np.array([x[0], bend, x[-1]]), np.array([y[0], peak, peak])

    def height(table, name):
        """Where the name of another chip's roof stands, or nowhere if the two roofs lie on each other."""
        top = pick(table, name, "rate_flop_per_s")[-1]
        return 0.1 if 0.6 < top / row(table, "ridge").rate_flop_per_s < 1.7 else top * 1.03

    def bend(table):
        return row(table, "ridge").intensity_flop_per_byte

    def here(table):
        return f"{short(row(table).chip)}, {row(table).format}\n{_found(table)}"

    waits = {"of": "column", "va": "top", "weight": "bold"}
    ghosts = {"color": "#6E6E6E", "fontsize": 8.5, "ha": "right", "va": "bottom"}
    return updating(
        span(ax, lambda table: (0.1, bend(table)), color=SIDES["memory"]),
        span(ax, lambda table: (bend(table), 1e5), color=SIDES["compute"]),
        text(ax, 0.8, 0.975, "waits for memory", color=COLOUR["memory"], **waits),
        text(ax, 18500, 0.975, "waits for arithmetic", color=COLOUR["compute"], ha="right", **waits),
        *(curve(ax, name, *ROOF, color=COLOUR["idle"], lw=1) for name in GHOSTS),
        *(text(ax, 18500, lambda t, n=name: height(t, n), name.split(" ")[0], **ghosts) for name in GHOSTS),
        line(ax, corners, color=COLOUR["total"], lw=2.4),
        circles(ax, "measured", *ROOF),
        curve(ax, "ridge", *ROOF, marker="o", ms=8, ls="", color=COLOUR["total"]),
        diamond(ax, *ROOF),
        beside(ax, "ridge", "ridge", *ROOF, 0, dx=1.06, dy=1.16, va="bottom", weight="bold"),
        told(ax, here, "lower right"),
    )


def _roofline_summary(table):
    here, ridge = row(table), row(table, "ridge")
    x, bend = here.intensity_flop_per_byte, ridge.intensity_flop_per_byte
    side = "left of it: memory decides" if x < bend else "right of it: arithmetic decides"
    give = "gives" if here.rows == 1 else "give"
    return (
        f"Ridge of {here.format} at {plain(bend)} FLOP/B. {plural(here.rows, 'row', 5)} {give} {plain(x)} FLOP/B, {side}; at "
        f"most {si(here.rate_flop_per_s, 'FLOP/s')}, {plain(100 * here.rate_flop_per_s / ridge.rate_flop_per_s)} % of the peak."
    )


the_roofline = Exhibit(
    slug="01-roofline",
    title="The roofline.",
    caption="The rate that a chip can reach against the operations done for each byte that it must move. The diamond "
    "is the matrix product of the figure before. Grey: other chips in 16 bits.",
    alt="Log-log plot of attainable FLOP/s against arithmetic intensity: a sloped line that meets a flat one at the "
    "ridge point, with the roofs of V100, A100 and B200 in grey.",
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


def short(name):
    """A chip's name without what its line leaves no doubt about."""
    return name.split(" (")[0].replace(" SXM2", "").replace(" SXM5", " SXM")


# ---- 3: the ridges of the catalog ---------------------------------------------------------------------

SHOWN = names(
    "T4, V100 SXM2 32GB, A100 SXM 80GB, H100 SXM5, H20 SXM, H200 SXM, B200 SXM (HGX), RTX 4090, MI250X, MI300X, MI355X, "
    "TPU v2, TPU v3, TPU v4, TPU v5e, TPU v5p, TPU v6e, TPU v7, Trainium1, Trainium2, Gaudi 2, Gaudi 3, Groq LPU "
    "v1, Xeon 6980P"
)


CUT = names("H20 SXM")  # chips whose arithmetic was cut until an export rule let them pass


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
    ax = panel(figure, 0.24, 0.09, 0.97, 0.94)
    x_axis(ax, "ridge point, 16-bit [FLOP per byte]", 1.6, 1500, log="")
    y_axis(ax, "", len(SHOWN) - 0.4, -0.7)

    def update(table):
        names, makers, launches, ridges = pick(table, "ridge", "chip", "vendor", "launch", "ridge_flop_per_byte")
        y = np.arange(names.size)
        drawn = []
        for i, maker in enumerate(dict.fromkeys(makers)):
            mine = makers == maker
            drawn += ax.plot(ridges[mine], y[mine], MARKERS[i % 8], color=SERIES[i % 8], label=maker)
        words = [f"{plain(r)}{', cut by an export rule' * (n in CUT)}" for n, r in zip(names, ridges, strict=True)]
        drawn += [ax.text(r * 1.09, i, words[i], va="center", fontsize=9) for i, r in enumerate(ridges)]
        ax.set_yticks(y, [f"{short(n)}, {d[:4]}" for n, d in zip(names, launches, strict=True)], fontsize=9)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.25, 1.0), ncols=6, fontsize=9, handletextpad=0.1)
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
    alt="Dot chart of ridge points, a line for each chip in the order of launch. Most lie between one and six "
    "hundred FLOP per byte; an SRAM chip lies a hundred times lower.",
    table=_ridges_table,
    draw=_ridges_draw,
    summary=_ridges_summary,
)
