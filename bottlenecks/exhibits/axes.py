"""Where the axes of a figure lie, how long they are and what is written at their ticks.

ax = panel(figure)
x_axis(ax, "rows multiplied at once", 0.8, 5500, log="")
y_axis(ax, "time of one product", 3e-7, 0.12, log="s")
"""

from bottlenecks.exhibits.style import axis_in

QUARTERS = {0: "0", 0.25: "25 %", 0.5: "50 %", 0.75: "75 %", 1: "100 %"}  # ticks of a share
HALVES = {0: "0", 0.5: "50 %", 1: "100 %"}


def panel(figure, left=0.135, bottom=0.13, right=0.975, top=0.96):
    """Axes between four edges, in fractions of the figure."""
    return figure.add_axes([left, bottom, right - left, top - bottom])


def x_axis(ax, label="", low=None, high=None, *, log=None, unit=None, ticks=None):
    """The horizontal axis: its label and ends. `log` is the unit at the ticks of a logarithmic axis, `unit` of another.

    `ticks` are places, or a mapping of places to words; none for (). Without ticks there is no grid.
    """
    _axis(ax, ax.xaxis, "x", label, (low, high), log, unit, ticks)


def y_axis(ax, label="", low=None, high=None, *, log=None, unit=None, ticks=None):
    """The vertical axis, as `x_axis`; rows count from the top when `low` is above `high`."""
    _axis(ax, ax.yaxis, "y", label, (low, high), log, unit, ticks)


def _axis(ax, axis, name, label, ends, log, unit, ticks):
    ax.set(**{f"{name}label": label, f"{name}scale": "linear" if log is None else "log", f"{name}lim": ends})
    if log is not None or unit is not None:
        axis_in(axis, unit if log is None else log)
    if ticks is not None:
        axis.set_ticks(list(ticks), ticks.values() if isinstance(ticks, dict) else None)
        axis.set_tick_params(which="minor", length=0)
        axis.set_minor_formatter(lambda value, _: "")
        axis.grid(len(ticks) > 0)


def rows(ax, names, *, size=None, labelled=True):
    """A chart's rows from 0 at the top, one for each name, written at the left."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names if labelled else [""] * len(names), fontsize=size)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")


def counts(places, shown=None):
    """Ticks at whole numbers with their thousands set apart; words at those in `shown` alone."""
    return {p: f"{p:,}" if shown is None or p in shown else "" for p in places}
