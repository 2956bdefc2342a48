"""Marks: artists that know what of a table fills them.

    def draw(figure):
        ax = panel(figure, log="xy", xlabel="rows", ylabel="time")
        return updating(
            curve(ax, "memory", "rows", "time_s", **resource("memory")),
            circles(ax, "measured", "rows", "time_s"),
            told(ax, lambda table: f"{row(table).rows} rows"),
        )

A mark's artists come into being in the order in which they are drawn. Where a function of the table is asked for, it
is given the table of the moment; most properties of an artist may be such a function.
"""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from bottlenecks.exhibits.labels import Labels, apart
from bottlenecks.exhibits.registry import pick
from bottlenecks.exhibits.style import COLOUR

HERE = {"marker": "D", "ms": 9, "ls": "", "color": COLOUR["highlight"], "mec": "black", "mew": 0.8}
MEASURED = {"marker": "o", "ls": "", "mfc": "white", "mec": COLOUR["measured"], "mew": 1.3, "zorder": 3}
CORNERS = {  # of axes or a figure: x, y, and how a text is aligned there
    "lower right": (0.98, 0.05, "right", "bottom"),
    "upper right": (0.985, 0.95, "right", "top"),
    "upper left": (0.03, 0.95, "left", "top"),
    "above": (0, 1.03, "left", "bottom"),
    "head": (0.012, 0.978, "left", "top"),
}


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


def boxes(ax, of, **style):
    """Rectangles: `of(table)` gives their left, right, lower and upper edges."""
    drawn = polygons(ax, **style)
    return Mark([drawn], lambda table: drawn.set_verts(corners(*of(table))))


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


# ---- words ----------------------------------------------------------------------------------------


def text(where, x, y, words, *, of="data", **style):
    """A text in axes or a figure. Place, words and style may be functions of the table.

    `of` says what x and y measure: "data", fractions of the "axes", or one of the two: "row" has y in data, "column" x.
    """
    if of != "data":
        blended = {"row": "get_yaxis_transform", "column": "get_xaxis_transform"}
        style["transform"] = where.transAxes if of == "axes" else getattr(where, blended[of])()
    moving = {name: value for name, value in (("x", x), ("y", y), ("text", words)) if callable(value)}
    start = [0 if callable(place) else place for place in (x, y)]
    return live(where.text, *start, "" if callable(words) else words, **style, **moving)


def told(where, words, corner="upper left", **style):
    """What the picture says now, in a corner of axes or above them; in a figure, at its head."""
    x, y, ha, va = CORNERS[corner]
    of = "axes" if hasattr(where, "transAxes") else "data"
    return text(where, x, y, words, of=of, **{"ha": ha, "va": va, "linespacing": 1.4} | style)


def beside(ax, words, series, x, y, i, *, dx=1.0, dy=1.0, **style):
    """The name of a curve beside its point `i`, moved by two factors; nothing where the table lacks the curve."""
    mark = text(ax, 1, 1, words, **style)
    artist = mark.artists[0]

    def fill(table):
        xs, ys = pick(table, series, x, y)
        artist.set_visible(xs.size > 0)
        if xs.size:
            artist.set_position((xs[i] * dx, ys[i] * dy))
            mark.fill(table)

    return Mark([artist], fill)


def labels(ax, of, **style):
    """Short texts as one artist: `of(table)` gives the texts, their x, their y, and colours if they change."""
    drawn = Labels(ax, **style)
    return Mark([drawn.artist], lambda table: drawn.show(*of(table)))


def end_labels(ax, names, heights, *, x=1.015, size=9.5, words=None):
    """A name at the right of the end of each curve, kept from overlapping.

    `names` maps each to its words and its colour or style; `heights(table)` maps those that are there to the height,
    in data, at which the curve ends. `words(table)` maps those whose text or colour changes to its properties.
    """
    artists, sizes = {}, {}
    points = ax.get_window_extent().height / ax.get_figure().dpi * 72
    for name, (word, style) in names.items():
        style = style if isinstance(style, dict) else {"color": style}
        artists[name] = ax.text(x, 0, word, transform=ax.transAxes, va="center", fontsize=size, **style)
        sizes[name] = 1.3 * size * (1 + word.count("\n")) / points

    def fill(table):
        found = {name: height for name, height in heights(table).items() if np.isfinite(height)}
        ends = np.array([(1, height) for height in found.values()]).reshape(-1, 2)
        y = ax.transAxes.inverted().transform(ax.transData.transform(ends))[:, 1]
        placed = apart(np.clip(y, 0, 1), [sizes[name] for name in found], 0.02, 0.99)
        for artist in artists.values():
            artist.set_visible(False)
        for name, height in zip(found, placed, strict=True):
            artists[name].set(y=height, visible=True)
        for name, properties in (words(table) if words else {}).items():
            artists[name].set(**properties)

    return Mark(list(artists.values()), fill)
