"""A figure of chapter 05, Why is the peak never reached?: the teeth, measured at every row count."""

import numpy as np

from bottlenecks.exhibits.axes import QUARTERS, panel, x_axis, y_axis
from bottlenecks.exhibits.labels import text
from bottlenecks.exhibits.marks import Mark, circles, curve, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import teeth
from bottlenecks.models import kernels

SHAPES = {f"{int(k):,} x {int(n):,}": (k, n) for k, n in teeth.shapes() if k * n >= 4096 * 4096}
VIEWS = {
    "1 to 512": (1, 512),
    "128 to 1,024": (128, 1024),
    "384 to 640": (384, 640),
    "1,024 to 2,048": (1024, 2048),
    "all": (1, 4096),
}
SIMPLE = {"color": "#0072B2", "lw": 1.0, "ls": "--"}
MODEL = {"color": COLOUR["total"], "lw": 2.4}
FITTED = {"mfc": "#B5B5B5", "zorder": 4}


def _edges(low, high):
    """Rows from `low` to `high` by eights, and one more than each multiple of 64, where a tile begins: upright teeth."""
    between = np.concatenate([np.arange(8, high + 1, 8), np.arange(65, high + 1, 64), [low, high]])
    return np.unique(between[between >= low]).astype(float)


def _teeth_table(chip_name, shape, view):
    (k, n), (low, high) = SHAPES[shape], VIEWS[view]
    device = chip(chip_name)
    peak = device.peak_flop_per_s(teeth.FORMAT)
    on, constants = kernels.device(device, teeth.FORMAT), teeth.three_constants(chip_name)

    def lines(m):
        """Both predictions of some row counts, as seconds and as fractions of the peak."""
        model_s = kernels.matmul_s(m, k, n, device=on)
        simple_s = teeth.smooth_s(m, k, n, device=device, constants=constants)
        at_peak_s = roofline.matmul_flop(m, k, n) / peak
        return {
            "rows": m,
            "model_s": model_s,
            "model": at_peak_s / model_s,
            "simple_s": simple_s,
            "simple": at_peak_s / simple_s,
        }

    swept = teeth.sweep(chip_name, k=k, n=n)
    seen = (swept["m"] >= low) & (swept["m"] <= high)
    measured = lines(swept["m"][seen]) | {"time_s": swept["time_s"][seen]}
    measured["fraction"] = measured["model"] * measured["model_s"] / measured["time_s"]
    fitted = swept["fitted"][seen]
    return stack(
        view={"rows": np.array([low, high], dtype=float), "product": f"{chip_name}, {shape}"},
        curve=lines(_edges(low, high)),
        fitted={name: values[fitted] for name, values in measured.items()},
        measured={name: values[~fitted] for name, values in measured.items()},
    )


def _teeth_draw(figure):
    ax = panel(figure, 0.115, 0.125, 0.97, 0.915)
    x_axis(ax, "rows multiplied at once", 1, 4096, unit="")
    y_axis(ax, "fraction of the dense peak", 0, 1.0, ticks=QUARTERS)
    line = ax.axhline(0, lw=0)
    above = {"of": "axes", "fontsize": 9.5}

    def zoom(table):
        ax.set_xlim(*pick(table, "view", "rows"))

    return updating(
        Mark([line], zoom),
        curve(ax, "curve", "rows", "simple", zorder=2, **SIMPLE),
        curve(ax, "curve", "rows", "model", zorder=2.5, **MODEL),
        circles(ax, "measured", "rows", "fraction", ms=4, mew=0.9, clip_on=False),
        circles(ax, "fitted", "rows", "fraction", ms=6, mew=1.0, clip_on=False, **FITTED),
        text(ax, 0.0, 1.035, "○ measured   ● powers of two, fitted on", color=GREY, **above),
        text(ax, 0.52, 1.035, "the model", color=MODEL["color"], weight="bold", **above),
        text(ax, 0.68, 1.035, "- - three constants, no tiles", color=SIMPLE["color"], **above),
    )


def _largest_tooth(table):
    """Rows before and after the largest measured step in view, of products of `teeth.FIRST` rows or more."""
    columns = ("rows", "time_s", "model_s")
    m, time_s, model_s = (np.concatenate([pick(table, s, c) for s in ("fitted", "measured")]) for c in columns)
    order = np.argsort(m)
    m, time_s, model_s = m[order], time_s[order], model_s[order]
    step = np.where(m[:-1] >= teeth.FIRST, time_s[1:] / time_s[:-1], 0)
    at = int(step.argmax())
    return [(plain(m[i], 5), si(time_s[i], "s"), si(model_s[i], "s")) for i in (at, at + 1)]


def _teeth_summary(table):
    error = {
        name: 100 * np.abs(pick(table, "measured", f"{name}_s") / pick(table, "measured", "time_s") - 1).mean()
        for name in ("model", "simple")
    }
    (first, before, said), (then, after, foretold) = _largest_tooth(table)
    return (
        f"{row(table, 'view').product}: largest measured tooth from {first} to {then} rows, {before} to {after} (model: {said} to "
        f"{foretold}). Mean absolute error at {pick(table, 'measured', 'rows').size} row counts that no fit has seen: the model "
        f"{plain(error['model'], 2)} %, three constants without tiles {plain(error['simple'], 2)} %."
    )


every_row = Exhibit(
    slug="05-teeth",
    title="The teeth, measured.",
    caption="Fraction of the 16-bit peak at every measured row count. Thick: the model of tiles and waves, fitted on powers "
    "of two alone. Thin: a rounded roofline with three constants, fitted on the same rows.",
    alt="Measured circles against rows on a linear axis: they climb, drop at multiples of a tile's side and climb again. A thick "
    "saw-tooth line follows many of the drops; a thin smooth line passes through the middle of them.",
    controls={
        "chip_name": Control(label="chip", values=teeth.CHIPS, start="H100 SXM5"),
        "shape": Control(label="k x n", values=tuple(SHAPES), start="4,096 x 4,096"),
        "view": Control(label="rows", values=tuple(VIEWS), start="128 to 1,024"),
    },
    rescales=True,
    table=_teeth_table,
    draw=_teeth_draw,
    summary=_teeth_summary,
    sources=names("vidur_a100, vidur_h100"),
)
