"""Figures of chapter 02 on reality: what chips reach of their datasheets, and energy."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.ch01 import short
from bottlenecks.exhibits.labels import end_labels, text
from bottlenecks.exhibits.marks import curve, diamond, level, updating
from bottlenecks.exhibits.registry import Control, Exhibit, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, resource
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate

# ---- 1: advertised and achieved ---------------------------------------------------------------------------

WHAT = ("matmul, best shape", "matmul, sustained", "stream")


def _advertised_table():
    table = first_estimate.achieved()
    table = table | {"source": np.array([corpus.called(source) for source in table["source_id"].tolist()])}
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
    figure.set_size_inches(7.6, 6.4)
    axes = panel(figure, 0.225, 0.095, 0.445, 0.93), panel(figure, 0.76, 0.095, 0.985, 0.93)
    styles = dict(zip(WHAT, (("o", COLOUR["compute"]), ("s", "#7A3300"), ("o", COLOUR["memory"])), strict=True))

    def fill(ax, table, shown):
        x_axis(ax, "achieved / advertised", 0.4, 1.02)
        rows = np.flatnonzero(np.isin(table["series"], shown))
        rows = rows[np.argsort(table["fraction"][rows])]
        of = {name: column[rows] for name, column in table.items()}
        for what in shown:
            y = np.flatnonzero(of["series"] == what)
            marker, colour = styles[what]
            ax.plot(of["fraction"][y], y, marker, color=colour, label=what.split(", ")[-1])
        by = of["source"] if shown == WHAT[2:] else of["format"]
        names = [f"{short(n)}, {b}" for n, b in zip(of["chip_name"], by, strict=True)]
        ax.set_yticks(range(rows.size), names, fontsize=9)
        ax.axvline(np.median(of["fraction"]), color=COLOUR["idle"], lw=1, ls=":")
        ax.set_ylim(-0.7, rows.size - 0.3)

    def update(table):
        for ax, title, shown in zip(axes, ("matrix product", "streaming memory"), (WHAT[:2], WHAT[2:]), strict=True):
            fill(ax, table, shown)
            ax.set_title(title)
        axes[0].legend(fontsize=9, loc="upper left", handletextpad=0.1)
        return []

    return update


def _advertised_summary(table):
    def median(*what):
        return plain(100 * np.median(table["fraction"][np.isin(table["series"], what)]))

    return (
        f"Median reached: {median(*WHAT[:2])} % of the dense peak by matrix products, {median('stream')} % of the "
        f"datasheet's bandwidth by streaming kernels. Range: {plain(100 * table['fraction'].min())} to "
        f"{plain(100 * table['fraction'].max())} %."
    )


advertised = Exhibit(
    slug="02-advertised",
    title="Advertised and achieved.",
    caption="What the best measured kernels reach of the datasheet. Best shape: the fastest of a sweep of matrix "
    "shapes. Sustained: a large cube of random numbers on a warm chip. Dotted: median.",
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
        ("what the device reports, not its GB", sxm.memory_bytes, float(sxm.facts["memory_sold"]) * 1e9, "B"),
    ]
    return [
        {"what you want": what, "is": si(want, unit, 4), "you may read": si(read, unit, 4), "times": plain(read / want)}
        for what, want, read, unit in pairs
    ]


# ---- 2: energy -----------------------------------------------------------------------------------------------


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
    ax = panel(figure, right=0.815)
    x_axis(ax, "arithmetic intensity [FLOP per byte moved]", 0.1, 8000, log="")
    y_axis(ax, "energy of one operation", 3e-14, 3e-9, log="J")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value * 1e12:,g} pJ")
    x, whole, arithmetic, memory = (
        "intensity_flop_per_byte",
        "joules_per_flop",
        "arithmetic_joules_per_flop",
        "memory_joules_per_flop",
    )

    def board(table):
        return row(table, "board").joules_per_flop

    def ends(table):
        return {"arithmetic": row(table, "curve").arithmetic_joules_per_flop, "board": board(table)}

    def at_foot(table):
        """Where the falling line is near the foot of the picture."""
        return row(table, "curve").memory_joules_per_flop * row(table, "curve").intensity_flop_per_byte / low * 0.75

    low = 5e-14
    names = {"arithmetic": ("arithmetic", COLOUR["compute"]), "board": ("a whole H100\nat full power", GREY)}
    return updating(
        level(ax, board, color=COLOUR["idle"], ls=":"),
        curve(ax, "curve", x, whole, color=COLOUR["total"], lw=2.4),
        curve(ax, "curve", x, arithmetic, **resource("compute")),
        curve(ax, "curve", x, memory, **resource("memory")),
        curve(ax, "balance", x, whole, marker="o", ms=8, ls="", color=COLOUR["total"]),
        diamond(ax, x, whole),
        text(ax, at_foot, low, "moving the bytes", color=COLOUR["memory"], ha="right", va="center"),
        end_labels(ax, names, ends),
    )


def _energy_summary(table):
    here = row(table)

    def pj(joules):
        return f"{plain(joules * 1e12)} pJ"

    return (
        f"At {plain(here.intensity_flop_per_byte, 4)} FLOP/B one operation costs {pj(here.joules_per_flop)}: "
        f"{pj(here.arithmetic_joules_per_flop)} of arithmetic and {pj(here.memory_joules_per_flop)} of movement, "
        f"{plain(100 * here.memory_joules_per_flop / here.joules_per_flop)} % of the energy. They are equal at "
        f"{plain(row(table, 'balance').intensity_flop_per_byte)} FLOP/B."
    )


energy = Exhibit(
    slug="02-energy",
    title="Energy adds where time overlaps.",
    caption="Energy of one operation, the mean of a multiplication and an addition, and of its share of the bytes "
    "moved. Black: the sum; the dot is where the two are equal. Dotted: a board's whole power, not a bound.",
    alt="Log-log plot of energy per operation against arithmetic intensity: movement falls in proportion, arithmetic "
    "is flat, and their sum bends between the two.",
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
