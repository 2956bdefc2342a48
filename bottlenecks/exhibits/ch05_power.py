"""A figure of chapter 05, Why is the peak never reached?: watts for each operation, and what boards sustain."""

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import apart, labels, text
from bottlenecks.exhibits.marks import MEASURED, line, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain
from bottlenecks.laws import power
from bottlenecks.studies import sustained

PICO = 1e-12
ENDS = (0.15, 22.0)  # of the axis, pJ
VALUED = "A100 SXM 80GB"  # whose printed peak and power the rates with other values are set beside
VALUES = ("zeros", "random normal")
VALUE_LOOK = {"color": COLOUR["highlight"], "mec": "black", "mew": 0.8, "zorder": 4}


LEFT = ("B200 SXM (HGX)", "B300 SXM (HGX)", "GB200 (per GPU)", "MI300X", "P100 SXM2")  # named at their left
ABOVE = ("Gaudi 2", "H100 SXM5")
BELOW = ("A100 PCIe 80GB", "Gaudi 3")


def _power_table(width, energy_pj):
    found, valued = sustained.boards(width), sustained.by_values()
    joules = np.geomspace(*ENDS, 200) * PICO
    device = chip(VALUED)
    shown = np.isin(valued["operands"], VALUES) & (width == "16 bits")
    at_peak = device.tdp_watts / device.peak_flop_per_s("fp16")
    better, families = sustained.richer_is_faster(width)
    order = np.concatenate([each for each in sustained.kin(width).values()])
    columns = {
        "joules": "watts_per_flop_per_s",
        "fraction": "fraction",
        "spent": "joules_per_flop",
        "name": "chip",
        "family": "family",
    }
    boards = {name: found[column] for name, column in columns.items()}
    return stack(
        law={
            "joules": joules,
            "fraction": power.sustained_share(1.0, flop_per_joule=1 / (energy_pj * PICO), watts=joules),
        },
        board=boards,
        kin={name: values[order] for name, values in boards.items()},
        values={
            "joules": np.full(int(shown.sum()), at_peak),
            "fraction": valued["fraction"][shown],
            "name": valued["operands"][shown],
        },
        here={"energy_pj": energy_pj, "better": better, "families": families, "width": width},
    )


def _short(name):
    """A board in few letters: H100, A100 PCIe, B200."""
    for part in (" SXM5", " SXM2", " SXM", " 80GB", " 16GB"):
        name = name.replace(part, "") if not name.startswith("A100") or part == " 80GB" else name
    return name.partition(" (")[0]


def _scaled(table, series, *columns):
    """Places of a series: joules as picojoules, fractions, and whatever else is asked for."""
    joules, *others = pick(table, series, "joules", "fraction", *columns)
    return [joules / PICO, *others]


def _power_draw(figure):
    ax = panel(figure, 0.115, 0.125, 0.975, 0.97)
    label = "rated power over the printed peak, pJ for each operation"
    x_axis(ax, label, *ENDS, log="", ticks={v: plain(v) for v in (0.25, 0.5, 1, 2, 4, 8, 16)})
    y_axis(ax, "measured fraction of the printed peak", 0, 1.25, ticks={v / 4: f"{25 * v} %" for v in range(6)})
    ax.axhline(1, color=COLOUR["idle"], lw=0.9)

    def relatives(table):
        x, y, family = _scaled(table, "kin", "family")
        return [np.stack([x[family == f], y[family == f]], 1) for f in np.unique(family)]

    def named(left):
        """Names at one side of their circles, kept from overlapping where several stand at the left."""

        def words(table):
            x, y, name = _scaled(table, "board", "name")
            mine = np.isin(name, LEFT) == left
            up = 0.045 * (np.isin(name, ABOVE).astype(int) - np.isin(name, BELOW))
            beside = np.where(up == 0, 0.93 if left else 1.07, 0.9)
            near = apart(y[mine], 0.042, 0, 1.25) if left else (y + up)[mine]
            return [_short(n) for n in name[mine]], (x * beside)[mine], near

        return words

    def valued(table):
        x, y, name = _scaled(table, "values", "name")
        return [each.partition(" ")[0] for each in name.tolist()], x * 1.09, y - 0.022

    def line_at(table):
        """Where the words of the law stand: at the right of its slope, at a quarter of the peak."""
        return max(row(table).energy_pj * 0.28, ENDS[0] * 1.05)

    at = {"fontsize": 9.5, "weight": "bold"}
    return updating(
        segments(ax, relatives, colors="#BBBBBB", linewidths=1.2, zorder=1),
        line(ax, lambda table: _scaled(table, "law"), color=COLOUR["compute"], lw=2),
        line(ax, lambda table: _scaled(table, "board"), **MEASURED | {"ms": 5}),
        line(ax, lambda table: _scaled(table, "values"), marker="s", ls="", ms=7, **VALUE_LOOK),
        labels(ax, named(False), size=8, color=GREY),
        labels(ax, named(True), size=8, color=GREY, align="right"),
        labels(ax, valued, size=9, weight="bold"),
        text(
            ax,
            line_at,
            0.24,
            lambda table: f"{plain(row(table).energy_pj)} pJ spent on each",
            color=COLOUR["compute"],
            **at,
        ),
    )


def _power_summary(table):
    here = row(table)
    name, fraction, spent = pick(table, "board", "name", "fraction", "spent")
    most = fraction.argmax()
    text = (
        f"{here.width}: {name[most]} reaches most, {plain(100 * fraction[most])} % of its printed peak, at no more than "
        f"{plain(spent[most] / PICO, 2)} pJ for each operation. In {int(here.better)} of {int(here.families)} families the board with more "
        f"watts for each operation reaches more of its peak. At {plain(here.energy_pj)} pJ a board with half of that for each "
        "operation sustains half of its peak."
    )
    values = dict(zip(*(v.tolist() for v in pick(table, "values", "name", "fraction")), strict=True))
    said = ", ".join(f"{name} {plain(100 * v)} %" for name, v in values.items())
    return text + (f" One cube of 8,192 on an A100: {said}." if values else "")


watts = Exhibit(
    slug="05-power",
    title="Watts for each operation.",
    caption="Best large product of each board against what its rated power leaves for an operation at its peak. Orange: a board at "
    "its rated power. Grey lines join one family. Squares: one product with other values in it.",
    alt="Scatter of boards: those with few picojoules for each operation reach half to four fifths of their peak, two desktop boards "
    "with more than two go past it. An orange line rises to the peak and stays there; two squares at one place show zeros above random values.",
    controls={
        "width": Control(label="format", values=tuple(sustained.WIDTHS), start="16 bits"),
        "energy_pj": Control(
            label="energy of an operation", values=(0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 2.5), start=0.9, unit="pJ"
        ),
    },
    table=_power_table,
    draw=_power_draw,
    summary=_power_summary,
    sources=names("mamf, torch_cubes, azure_guide, thonking2024"),
)
