"""Figures of chapter 02, What does the roofline hide?"""

import numpy as np

from bottlenecks.exhibits.axes import counts, panel, x_axis, y_axis
from bottlenecks.exhibits.ch01 import short
from bottlenecks.exhibits.labels import beside, end_labels, text, told
from bottlenecks.exhibits.marks import circles, curve, diamond, line, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, resource
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate

# ---- 1: which level feeds the arithmetic? --------------------------------------------------------------

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
    here = {
        f"here {level.name}": {"tile": tile, "time_s": feed_s(tile, level), "chip": chip_name}
        for level in _feeding_levels(device)
    }
    return stack(arithmetic={"tile": t, "time_s": arithmetic}, **lines, **here)


def hiding_tile(device, level):
    """Side of the tile at which a level feeds as fast as the arithmetic eats (eq:tiled-bytes solved)."""
    peak = device.peak_flop_per_s(first_estimate.width16(device))
    return 2 / (level.bytes_per_s / peak - 1 / SIDE)


def _levels_draw(figure):
    ax = panel(figure, right=0.825)
    x_axis(ax, "side of the square tile kept on the near side of the level", 7, 2400, log="", ticks=counts(TILES))
    y_axis(ax, "time to feed an 8,192-cubed product", 2e-5, 0.7, log="s")
    at = ("tile", "time_s")
    styles = {"L1/shared": ("#2E8FC7", ":"), "L2": ("#0072B2", "-."), "HBM": ("#003F63", "--")}
    names = {name: (f"{name}\n0 TB/s", {"color": colour, "linespacing": 1.15}) for name, (colour, _) in styles.items()}

    def ends(table):
        return {name: pick(table, name, "time_s")[-1] for name in ("arithmetic", *styles)}

    def words(table):
        return {name: {"text": f"{name},\n{si(row(table, name).bytes_per_s, 'B/s')}"} for name in styles}

    return updating(
        curve(ax, "arithmetic", *at, **resource("compute")),
        *(curve(ax, name, *at, color=colour, ls=dash) for name, (colour, dash) in styles.items()),
        *(diamond(ax, *at, series=f"here {name}", ms=7) for name in styles),
        end_labels(ax, {"arithmetic": ("arithmetic", COLOUR["compute"])} | names, ends, words=words),
        told(ax, lambda table: short(row(table, "here HBM").chip), "upper right", weight="bold"),
    )


def _levels_summary(table):
    arithmetic = pick(table, "arithmetic", "time_s")[0]
    here = {s[5:]: row(table, s) for s in dict.fromkeys(table["series"]) if s.startswith("here ")}
    tile = next(iter(here.values())).tile
    parts = [f"{n} {si(at.time_s, 's')}{' (hidden)' if at.time_s <= arithmetic else ''}" for n, at in here.items()]
    return (
        f"Tile {plain(tile, 4)}: arithmetic takes {si(arithmetic, 's')}; feeding it takes {', '.join(parts)}. "
        "Hidden: no longer than the arithmetic."
    )


levels = Exhibit(
    slug="02-levels",
    title="One roof for each level.",
    caption="Time to bring the operands of a product of two 8,192 by 8,192 matrices from each level of the memory, "
    "against the side of the tile kept near. A level below the orange line hides behind the arithmetic.",
    alt="Log-log plot of feeding time against tile side: one falling line for each memory level and a flat line for "
    "the arithmetic. Each line crosses the flat one at its own tile size.",
    controls={
        "chip_name": Control(label="chip", values=LEVELLED, start="A100 SXM 80GB"),
        "tile": Control(label="tile side", values=TILES, start=128),
    },
    table=_levels_table,
    draw=_levels_draw,
    summary=_levels_summary,
    sources=("gpubenches", "yang2020hierarchical"),
)


# ---- 2: Little's law ------------------------------------------------------------------------------------

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
            "chip": chip_name,
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
    ax = panel(figure, 0.15, right=0.97, top=0.97)
    x_axis(ax, "threads, each with one 8-byte load in flight", 800, 330000, log="")
    y_axis(ax, "bandwidth drawn from memory", 1.3e10, 4e12, log="B/s")
    at = ("threads", "bytes_per_s")

    def side(flat):
        """The law's points on one side of its bend."""

        def points(table):
            n, rate = pick(table, "law", *at)
            there = (rate >= row(table).peak_bytes_per_s) == flat
            return n[there], rate[there]

        return points

    over = {"color": COLOUR["memory"], "ha": "right", "va": "bottom"}
    return updating(
        line(ax, side(False), **resource("latency")),
        line(ax, side(True), **resource("memory")),
        circles(ax, "measured", *at),
        diamond(ax, *at),
        beside(ax, "bytes in flight / latency ", "law", *at, 50, dx=0.93, color=COLOUR["latency"], ha="right"),
        text(ax, 3.2e5, lambda table: row(table).peak_bytes_per_s * 1.2, "datasheet bandwidth", **over),
        told(ax, lambda table: short(row(table).chip), weight="bold"),
        told(ax, "○ measured", "lower right"),
    )


def _little_summary(table):
    here = row(table)
    measured, predicted = pick(table, "measured", "bytes_per_s", "predicted_bytes_per_s")
    return (
        f"Latency {si(here.latency_s, 's')}: the full {si(here.peak_bytes_per_s, 'B/s')} needs {si(here.needed_bytes, 'B')} in "
        f"flight. Little's law gives {plain(here.threads, 5)} threads {si(here.bytes_per_s, 'B/s')}, "
        f"{plain(100 * here.bytes_per_s / here.peak_bytes_per_s)} % of it. Mean absolute error at the {measured.size} measured "
        f"points: {plain(100 * np.mean(np.abs(predicted / measured - 1)), 2)} %."
    )


little = Exhibit(
    slug="02-little",
    title="A bandwidth is a number of bytes in flight.",
    caption="Bandwidth that a read kernel draws, against its threads: Little's law with a latency that was measured "
    "apart, and no fitted number. Circles: measurements with three numbers of threads.",
    alt="Log-log plot: bandwidth rises in proportion to the threads in flight until it meets the flat line of the "
    "datasheet bandwidth; measured points round the corner off.",
    controls={
        "chip_name": Control(label="chip", values=CHASED, start="A100 SXM 80GB"),
        "threads": Control(label="threads", values=tuple(1000 * 2**i for i in range(9)), start=16000),
    },
    table=_little_table,
    draw=_little_draw,
    summary=_little_summary,
    sources=("gpubenches", "little1961"),
)
