"""A figure for chapter 01: two chips share a product, and a link sums what they find."""

import numpy as np

from bottlenecks.exhibits.axes import counts, panel, x_axis, y_axis
from bottlenecks.exhibits.drawn import Scene, drawing, sheet
from bottlenecks.exhibits.labels import end_labels, text
from bottlenecks.exhibits.marks import curve, diamond, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, resource
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import link
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline, traffic
from bottlenecks.measured import first_estimate

PAIRS = {  # chip and link
    "H100 SXM5, NVLink 4": ("H100 SXM5", "NVLink 4"),
    "H100 SXM5, port of 400 Gbit/s": ("H100 SXM5", "InfiniBand NDR"),
    "A100 SXM 80GB, NVLink 3": ("A100 SXM 80GB", "NVLink 3"),
    "A100 SXM 80GB, port of 200 Gbit/s": ("A100 SXM 80GB", "InfiniBand HDR"),
    "H100 PCIe, PCIe 5.0 x16": ("H100 PCIe", "PCIe 5.0 x16"),
    "RTX 4090, PCIe 4.0 x16": ("RTX 4090", "PCIe 4.0 x16"),
}
COLUMNS, VALUE_BYTES, CHIPS = 8192, 2, 2
ROWS = (64, 256, 1024, 4096)
INNER = 256, 131072
HALVES = "#003F63", COLOUR["cache"]  # what the first chip holds, and the second
SHEET = 7.6, 6.0
LINES = {  # words and look
    "one": ("arithmetic,\none chip", {"color": COLOUR["compute"], "lw": 1.0, "ls": (0, (4, 2))}),
    "two": ("arithmetic,\ntwo chips", resource("compute")),
    "memory": ("memory,\ntwo chips", resource("memory")),
    "link": ("link", resource("network")),
}


def _link_table(pair, rows):
    device, wire = chip(PAIRS[pair][0]), link(PAIRS[pair][1])
    rows, inner = round(rows), np.geomspace(*INNER, 91)
    peak = device.peak_flop_per_s(first_estimate.width16(device))
    sent = {"chips": CHIPS, "value_bytes": VALUE_BYTES, "bytes_per_s": wire.bytes_per_s}
    send_s = traffic.link_s(rows, COLUMNS, **sent)
    hidden = traffic.inner_size_to_hide(flop_per_s=peak, **sent)
    one = roofline.matmul_flop(rows, inner, COLUMNS) / peak
    memory = roofline.matmul_bytes(rows, inner / CHIPS, COLUMNS, value_bytes=VALUE_BYTES) / device.memory_bytes_per_s
    return stack(
        one={"inner": inner, "time_s": one},
        two={"inner": inner, "time_s": one / CHIPS},
        memory={"inner": inner, "time_s": memory},
        link={"inner": inner, "time_s": send_s + 0 * inner},
        larger={"inner": inner, "time_s": np.maximum(np.maximum(one / CHIPS, memory), send_s)},
        here={
            "pair": pair,
            "rows": rows,
            "inner": hidden,
            "time_s": send_s,
            "sent_bytes": send_s * wire.bytes_per_s,
            "bytes_per_s": wire.bytes_per_s,
            "peak_flop_per_s": peak,
        },
    )


def sketch(table):
    """Who holds what: X cut by columns, A by rows, and each chip's partial result; not to scale."""
    scene, here, y = Scene(), row(table), 4.68
    wide, high, tall, across = 1.1, 0.4, 0.8, 0.6
    scene.words(
        0.2,
        5.8,
        f"{here.pair}: {plain(here.rows, 6)} rows m, {plain(COLUMNS, 6)} columns n (a sketch)",
        size=10,
        align="left",
    )
    for i, colour in enumerate(HALVES):
        scene.box(0.3 + i * wide / 2, y + 0.2, wide / 2, high, fill=colour, edge="white")
        scene.box(1.85, y + (1 - i) * tall / 2, across, tall / 2, fill=colour, edge="white")
    scene.words(0.3 + wide / 2, y + 0.75, "X: m × k", size=9)
    scene.words(1.62, y + 0.4, "·", size=14)
    scene.words(1.85 + across / 2, y + 0.94, "A: k × n", size=9)
    scene.words(2.7, y + 0.4, "=", size=12)
    for i, colour in enumerate(HALVES):
        x = 3.15 + i * 2.6
        scene.box(x - 0.1, y - 0.06, 1.75, 0.86, edge=GREY)
        scene.words(x + 0.775, y + 0.94, f"chip {i + 1}", size=9, weight="bold")
        scene.box(x, y + 0.2, wide / 2, high, fill=colour)
        scene.box(x + wide / 2 + 0.08, y + 0.2, 0.28, high, fill=colour)
        scene.arrow([(x + 0.95, y + 0.4), (x + 1.08, y + 0.4)])
        scene.box(x + 1.1, y + 0.2, 0.45, high, fill=COLOUR["compute"])
        scene.words(x + 1.325, y + 0.06, "partial", size=9)
    for ends, up in (((4.84, 5.61), 0.5), ((5.61, 4.84), 0.3)):
        scene.arrow([(x, y + up) for x in ends], color=COLOUR["network"], lw=2)
    scene.words(5.225, y + 0.64, "m × n", size=9)
    scene.words(5.225, y + 0.15, "values", size=9)
    return scene


def _link_draw(figure):
    whole = sheet(figure, *SHEET)
    ax = panel(figure, 0.12, 0.095, 0.83, 0.74)
    x_axis(ax, "depth k", *INNER, log="", ticks=counts((256, 1024, 4096, 16384, 65536)))
    y_axis(ax, "time", 1e-7, 1e-1, log="s")
    at = ("inner", "time_s")

    def late(table):
        return row(table).inner > 6000

    return updating(
        drawing(whole, sketch),
        curve(ax, "larger", *at, color=COLOUR["total"], lw=6, alpha=0.16, solid_capstyle="round"),
        *(curve(ax, name, *at, **style) for name, (_, style) in LINES.items()),
        upright(ax, lambda table: row(table).inner, color=GREY, lw=1),
        diamond(ax, *at),
        text(
            ax,
            lambda table: row(table).inner * (0.93 if late(table) else 1.07),
            0.94,
            lambda table: f"k = {plain(row(table).inner, 4)}:\narithmetic as long\nas the link",
            of="column",
            ha=lambda table: "right" if late(table) else "left",
            va="top",
            fontsize=9.5,
        ),
        end_labels(
            ax,
            {name: (words, style["color"]) for name, (words, style) in LINES.items()},
            lambda table: {name: pick(table, name, "time_s")[-1] for name in LINES},
            size=9,
        ),
    )


def _link_summary(table):
    here = row(table)
    inner, memory, compute = (
        pick(table, "memory", "inner"),
        pick(table, "memory", "time_s"),
        pick(table, "two", "time_s"),
    )
    longest = np.interp(here.inner, inner, memory) > np.interp(here.inner, inner, compute)
    return (
        f"{here.pair}, {plain(here.rows, 6)} rows: each chip sends {si(here.sent_bytes, 'B')} at {si(here.bytes_per_s, 'B/s')}, "
        f"{si(here.time_s, 's')} at any depth. Arithmetic of two chips lasts as long from k = {plain(here.inner, 4)} "
        f"({VALUE_BYTES} B × {si(here.peak_flop_per_s, 'FLOP/s')} / {si(here.bytes_per_s, 'B/s')}), whatever the rows; they overtake "
        f"one chip's arithmetic at half of it, {plain(here.inner / 2, 4)}."
        + (" With so few rows memory lasts longer still." if longest else "")
    )


two_chips = Exhibit(
    slug="01-link",
    title="A link is hidden by the depth, not by the rows.",
    caption="A product split along its depth k over two chips: each does half of the arithmetic, then partial results cross the link. "
    "Grey: the largest time. Move the rows: which lines move, and what stays?",
    alt="Above, a sketch of two chips with half of X and A each and a partial result, joined by a link. Below, time "
    "against depth on logarithmic axes: arithmetic rises, the link is flat, and a vertical line marks where they cross.",
    controls={
        "pair": Control(label="chips and link", values=tuple(PAIRS), start="H100 SXM5, NVLink 4"),
        "rows": Control(label="rows", values=ROWS, start=1024, unit="rows"),
    },
    table=_link_table,
    draw=_link_draw,
    summary=_link_summary,
    sources=("scaling-book", "mleng_a100"),
)
