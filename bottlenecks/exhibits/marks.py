"""Marks: artists that know what of a table fills them.

    def draw(figure):
        ax = panel(figure)
        x_axis(ax, "rows multiplied at once", 1, 4096, log="")
        y_axis(ax, "time of one product", 1e-6, 0.1, log="s")
        return updating(
            curve(ax, "memory", "rows", "time_s", **resource("memory")),
            circles(ax, "measured", "rows", "time_s"),
            diamond(ax, "rows", "time_s"),
            told(ax, lambda table: f"{row(table).rows} rows"),
        )

Where a function of the table is asked for, it is given the table of the moment; most properties of an artist may be such
a function. Marks that lie on the same level (`zorder`) are drawn in the order in which they are made.
"""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from bottlenecks.exhibits.registry import pick
from bottlenecks.exhibits.style import COLOUR

HERE = {"marker": "D", "ms": 9, "ls": "", "color": COLOUR["highlight"], "mec": "black", "mew": 0.8}
MEASURED = {"marker": "o", "ls": "", "mfc": "white", "mec": COLOUR["measured"], "mew": 1.3, "zorder": 3}


class Mark:
    """Some artists, and `fill(table)`, which gives them what the table says."""

    def __init__(self, artists, fill):
        self.artists, self.fill = artists, fill


def updating(*marks):
    """The `update` of a figure that consists of marks."""
    artists = [artist for mark in marks for artist in mark.artists]

    def update(table):
        for mark in marks:
            mark.fill(table)
        return artists

    return update


def live(make, *args, **properties):
    """A mark of one artist, `make(*args, **properties)`; properties that are functions of the table are set by it."""
    changing = {name: value for name, value in properties.items() if callable(value)}
    made = make(*args, **{name: value for name, value in properties.items() if name not in changing})
    artist = made[0] if isinstance(made, list) else made
    return Mark([artist], lambda table: artist.set(**{name: of(table) for name, of in changing.items()}))


# ---- lines and points -----------------------------------------------------------------------------


def line(ax, points, **style):
    """A line through `points(table)`, which are x and y."""
    return live(ax.plot, [], [], data=points, **style)


def curve(ax, series, x, y, **style):
    """A line through two columns of a series; nothing where the table lacks it."""
    return line(ax, lambda table: pick(table, series, x, y), **style)


def circles(ax, series, x, y, **style):
    """Circles at the measurements of a series."""
    return curve(ax, series, x, y, **MEASURED | style)


def diamond(ax, x, y, series="here", **style):
    """The diamond at what a reader has chosen."""
    return curve(ax, series, x, y, **HERE | style)


def level(ax, height, **style):
    """A horizontal line from side to side at `height(table)`."""
    return live(ax.axhline, 1, ydata=lambda table: [height(table)] * 2, **style)


def upright(ax, place, **style):
    """A vertical line from bottom to top at `place(table)`."""
    return live(ax.axvline, 1, xdata=lambda table: [place(table)] * 2, **style)


def segments(ax, of, **style):
    """Straight pieces: `of(table)` is an array of their two ends."""
    drawn = ax.add_collection(LineCollection([], **style), autolim=False)
    return Mark([drawn], lambda table: drawn.set_segments(of(table)))


def stems(ax, start, of, **style):
    """Horizontal lines from `start` to the places x at the heights y that `of(table)` gives."""

    def ends(table):
        x, y = np.broadcast_arrays(*of(table))
        return np.stack([np.stack([np.full(x.shape, start), y], -1), np.stack([x, y], -1)], 1)

    return segments(ax, ends, **{"colors": "#DDDDDD", "linewidths": 1.2, "zorder": 1} | style)


# ---- areas ----------------------------------------------------------------------------------------


def corners(left, right, low, high):
    """Corners of rectangles, for a collection of polygons."""
    x0, x1, y0, y1 = np.broadcast_arrays(left, right, low, high)
    return np.stack([np.stack([x0, x1, x1, x0], -1), np.stack([y0, y0, y1, y1], -1)], -1)


def polygons(ax, **style):
    """An empty collection of polygons."""
    return ax.add_collection(PolyCollection([], **{"linewidths": 0} | style), autolim=False)


def boxes(ax, of, facecolors, **style):
    """Rectangles: `of(table)` gives their left, right, lower and upper edges; colours may change too."""
    start = "none" if callable(facecolors) else facecolors
    drawn = polygons(ax, facecolors=start, **style)

    def fill(table):
        drawn.set_verts(corners(*of(table)))
        if callable(facecolors):
            drawn.set_facecolors(facecolors(table))

    return Mark([drawn], fill)


def stacked(ax, colours, of, *, thick=0.72, most=np.inf, **style):
    """Rows of horizontal bars made of parts: `of(table)` gives heights, and lengths with a line for each part.

    `thick` is relative to the distance of two rows; bars are cut off at `most`.
    """
    drawn = [polygons(ax, facecolors=colour, **style) for colour in colours]

    def fill(table):
        y, parts = of(table)
        half = thick / 2 * (abs(y[1] - y[0]) if np.size(y) > 1 else 1)
        ends = np.minimum(np.cumsum(np.vstack([0 * parts[0], *parts]), 0), most)
        for part, start, end in zip(drawn, ends, ends[1:], strict=False):
            part.set_verts(corners(start, end, y - half, y + half))

    return Mark(drawn, fill)


def _between(x, low, high):
    """The outline of the area between two curves, where both are known."""
    x, low, high = np.broadcast_arrays(x, low, high)
    known = np.isfinite(low) & np.isfinite(high)
    return [np.concatenate([np.stack([x, low], 1)[known], np.stack([x, high], 1)[known][::-1]])] if known.any() else []


def area(ax, of, **style):
    """The area between two curves: `of(table)` gives x, the lower and the upper one."""
    drawn = polygons(ax, **style)
    return Mark([drawn], lambda table: drawn.set_verts(_between(*of(table))))


def stacked_areas(ax, colours, of):
    """Areas on top of each other: `of(table)` gives x, and heights with a line for each part."""
    drawn = [polygons(ax, facecolors=colour) for colour in colours]

    def fill(table):
        x, parts = of(table)
        ends = np.cumsum(np.vstack([0 * parts[0], *parts]), 0)
        for part, low, high in zip(drawn, ends, ends[1:], strict=False):
            part.set_verts(_between(x, low, high))

    return Mark(drawn, fill)


def span(ax, of, **style):
    """A band from bottom to top between the two places that `of(table)` gives."""
    drawn = ax.axvspan(1, 1, **{"lw": 0, "zorder": 0} | style)

    def fill(table):
        start, end = of(table)
        drawn.set(x=start, width=end - start)

    return Mark([drawn], fill)
