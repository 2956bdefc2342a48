"""Measured against predicted times, and their ratio below: the picture of every chapter that is scored.

Its table has the series "held-out" and, if constants were fitted on some rows, "fit", both with the columns predicted_s,
measured_s and error, the logarithm of predicted over measured. Held-out rows are drawn in groups; rows of the fit are small, grey, and behind.
"""

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.marks import Mark
from bottlenecks.exhibits.registry import pick
from bottlenecks.exhibits.style import COLOUR, GREY, MARKERS, SERIES

FITTED = {"marker": "o", "ms": 3, "color": "#B5B5B5", "mew": 0, "ls": ""}
HOLLOW = {"ls": "", "ms": 5, "mfc": "none", "mew": 1.1}
FAR = np.array([1e-9, 1e6])  # seconds: beyond all axes
TICKS = {0.25: "1/4", 0.5: "1/2", 1: "1", 2: "2", 4: "4", 8: "8"}  # of the ratio


def panels(figure, left, right, ends, ratios=(0.2, 6), of=""):
    """Two panels, times above and ratios below, with a line where both are equal and a band of a tenth around it."""
    times, low = panel(figure, left, 0.385, right, 0.985), panel(figure, left, 0.083, right, 0.355)
    x_axis(times, "", *ends, log="s")
    y_axis(times, f"measured{of}", *ends, log="s")
    x_axis(low, f"predicted{of}", *ends, log="s")
    ticks = {place: word for place, word in TICKS.items() if ratios[0] < place < ratios[1]}
    y_axis(low, "measured / predicted", *ratios, log="", ticks=ticks)
    times.tick_params(axis="x", labelbottom=False)
    for ax, equal in ((times, FAR), (low, np.ones(2))):
        ax.fill_between(FAR, equal * 0.9, equal * 1.1, color=COLOUR["idle"], alpha=0.35, lw=0)
        ax.plot(FAR, equal, color=COLOUR["total"], lw=0.8)
    return times, low


def groups(table, series, by, names=None):
    """Name -> (predicted, measured, error) of the groups of a series that are there, by the words in a column."""
    which, x, y, error = pick(table, series, by, "predicted_s", "measured_s", "error")
    names = np.unique(which).tolist() if names is None else names
    return {n: (x[which == n], y[which == n], error[which == n]) for n in names if (which == n).any()}


def few(sources, held, most):
    """Names of sources of which at most so many are held out: those of fewest rows share one name."""
    names, count = np.unique(sources[held], return_counts=True)
    if names.size <= most:
        return sources
    rest = names[np.argsort(-count, kind="stable")][most - 1 :]
    return np.where(held & np.isin(sources, rest), f"{rest.size} others", sources)


def counted(name, error):
    """A group in the key: its rows and the mean of its absolute errors."""
    return f"{name}\n{error.size:,}, {100 * np.abs(error).mean():.0f} %"


def scored(figure, axes, *, head, by, styles=None, slots, words=counted, step=0.078, fitted=None):
    """All dots and the key at the right of two panels.

    `by` is the column that says which group a held-out row is in; `styles` gives each group's colour and marker, and
    without it groups take theirs in turn. `fitted(table)` maps the words of what was fitted on to its errors.
    """
    x = axes[0].get_position().x1 + 0.02
    beside = {"transform": figure.transFigure, "clip_on": False}
    figure.text(x - 0.005, 0.975, head, weight="bold", fontsize=9.5, va="top")
    figure.text(x - 0.005, 0.085, "band: within 10 %", fontsize=9.5, color=GREY)
    grey = [ax.plot([], [], **FITTED)[0] for ax in axes]
    dots = [[ax.plot([], [], marker="o", **HOLLOW)[0] for ax in axes] for _ in range(slots)]
    places = [axes[0].plot([], [], marker="o", **HOLLOW, **beside)[0] for _ in range(slots)]
    places += [axes[0].plot([], [], **FITTED, **beside)[0] for _ in range(2)]
    told = [figure.text(x + 0.025, 0, "", va="center", fontsize=9.5, linespacing=1.25) for _ in places]

    def fill(table):
        held = groups(table, "held-out", by, styles)
        looks = list(zip(SERIES, MARKERS, strict=True)) if styles is None else [styles[name] for name in held]
        rows = [(words(name, error), "black", at, error) for name, (*at, error) in held.items()]
        if len(rows) > slots:
            raise ValueError(f"{len(rows)} groups are held out, and the figure has room for {slots}")
        for i, pair in enumerate(dots):
            shown = i < len(rows)
            if shown:
                for artist in (*pair, places[i]):
                    artist.set(color=looks[i][0], marker=looks[i][1])
            for artist, ratio in zip(pair, (False, True), strict=True):
                px, py = rows[i][2] if shown else ([], [])
                artist.set_data(px, py / px if ratio and shown else py)
        px, py = pick(table, "fit", "predicted_s", "measured_s")
        grey[0].set_data(px, py)
        grey[1].set_data(px, py / px)
        lines = [word for word, *_ in rows] + [""] * (slots - len(rows)) + list(fitted(table) if fitted else ())
        y = 0.925 - 0.037 * head.count("\n")
        for i, (place, word) in enumerate(zip(places, told, strict=True)):
            text = lines[i] if i < len(lines) else ""
            word.set(text=text, y=y, color="black" if i < slots else GREY)
            place.set_data(([x + 0.007], [y]) if text else ([], []))
            y -= step if text else 0

    return Mark([*grey, *(a for pair in dots for a in pair), *places, *told], fill)
