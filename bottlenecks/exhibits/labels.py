"""Words on a figure: marks of one text or of many, names moved apart at the ends of curves, and the key to colours."""

from functools import cache
from itertools import accumulate

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from bottlenecks.exhibits.marks import Mark, live
from bottlenecks.exhibits.registry import pick

CORNERS = {  # of axes or a figure: x, y, and how a text is aligned there
    "lower right": (0.98, 0.05, "right", "bottom"),
    "upper right": (0.985, 0.95, "right", "top"),
    "upper left": (0.03, 0.95, "left", "top"),
    "above": (0, 1.03, "left", "bottom"),
    "head": (0.012, 0.978, "left", "top"),
}


class Labels:
    """Many short texts as one artist, each centred at its height: outlines are kept, so redrawing is quick."""

    def __init__(self, ax, *, transform=None, size=8.5, color="#222222", align="left", weight="normal"):
        self.look = size, align, weight
        self.artist = PathCollection(
            [],
            offsets=np.empty((0, 2)),
            offset_transform=transform or ax.transData,
            facecolors=color,
            linewidths=0,
            clip_on=False,
            zorder=3,
        )
        self.artist.set_transform(Affine2D().scale(1 / 72) + ax.figure.dpi_scale_trans)
        ax.add_collection(self.artist, autolim=False)

    def show(self, texts, x, y, colors=None):
        """Put the texts at (x, y); returns the artist."""
        return self.show_each([(text, *self.look) for text in texts], x, y, colors)

    def show_each(self, looks, x, y, colors=None):
        """As `show`, each text with its own size, alignment and weight."""
        shown = np.array([bool(look[0]) for look in looks], dtype=bool)
        self.artist.set_paths([outline(str(text), *look) for text, *look in looks if text])
        places = np.column_stack(np.broadcast_arrays(x, y)).astype(float)
        self.artist.set_offsets(places[shown])
        if colors is not None:
            self.artist.set_facecolors([c for c, seen in zip(colors, shown, strict=True) if seen])
        return self.artist


@cache
def outline(text, size, align="left", weight="normal"):
    """A text as a path in points, from its left, middle or right, at half the height of a digit."""
    path = TextPath((0, 0), text, size=size, prop=FontProperties(weight=weight))
    shift = {"left": 0, "center": 0.5, "right": 1}[align] * path.get_extents().x1
    return Path(path.vertices - (shift, 0.365 * size), path.codes)


@cache
def _width(text, size):
    """The width of a text in points."""
    return outline(text, size).get_extents().x1


def apart(heights, sizes, low=-np.inf, high=np.inf):
    """Heights of labels of some sizes, moved as little as will do for none to overlap, within two ends.

    Less the room that the labels below them need, the heights must not fall: the best such heights (least squares)
    are means of neighbours.
    """
    heights = np.asarray(heights, dtype=float)
    order, n = np.argsort(heights, kind="stable"), heights.size
    sizes = np.broadcast_to(sizes, n)[order]
    room = np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])[:n]
    sums = [0.0, *accumulate((heights[order] - room).tolist())]
    level = [
        max(min((sums[k] - sums[j]) / (k - j) for k in range(i + 1, n + 1)) for j in range(i + 1)) for i in range(n)
    ]
    placed = np.empty(n)
    placed[order] = np.clip(level, low, max(low, high - room[-1])) + room if n else level
    return placed


def _in_turn(words, x, size, points):
    """Where a square and its word begin, for words one after the other on a line of a length in points."""
    places = []
    for word in words:
        places.append((x, x + 1.4 * size / points))
        x += (_width(word, size) + 3.2 * size) / points
    return places


def key(where, words, x, y, *, size=9.5, down=None):
    """Squares in colour with their words beside them, one after the other, or one below the other by `down`.

    `words` maps each to its colour; x and y are fractions of `where`, which is axes or a figure.
    """
    transform = where.transAxes if hasattr(where, "transAxes") else where.transFigure
    points = where.get_window_extent().width / where.get_figure().dpi * 72
    places = [_in_turn([word], x, size, points)[0] for word in words] if down else _in_turn(words, x, size, points)
    for i, ((word, colour), (square_x, word_x)) in enumerate(zip(words.items(), places, strict=True)):
        at = {"va": "center", "transform": transform}
        where.text(square_x, y - i * (down or 0), "■", color=colour, fontsize=size + 1, **at)
        where.text(word_x, y - i * (down or 0), word, fontsize=size, **at)


def changing_key(ax, words, x, y, *, size=9.5):
    """A key whose entries the table decides, at fractions of the figure: `words(table)` maps each to its colour."""
    figure = ax.get_figure()
    squares, names = (Labels(ax, transform=figure.transFigure, size=s) for s in (size + 1, size))

    def fill(table):
        found = words(table)
        places = np.array(_in_turn(found, x, size, figure.get_size_inches()[0] * 72))
        squares.show(["■"] * len(found), places[:, 0], y, list(found.values()))
        names.show(list(found), places[:, 1], y)

    return Mark([squares.artist, names.artist], fill)


def text(where, x, y, words, *, of="data", **style):
    """A text in axes or a figure. Place, words and style may be functions of the table.

    `of` says what x and y measure: "data", fractions of the "axes", or one of the two: "row" has y in data, "column" x.
    """
    if of != "data":
        style["transform"] = _measuring(where, of)
    moving = {name: value for name, value in (("x", x), ("y", y), ("text", words)) if callable(value)}
    start = [0 if callable(place) else place for place in (x, y)]
    return live(where.text, *start, "" if callable(words) else words, **style, **moving)


def _measuring(ax, of):
    """The transform by which x and y measure what `of` says."""
    whole = {"axes": ax.transAxes, "figure": ax.get_figure().transFigure, "data": ax.transData}
    return {"row": ax.get_yaxis_transform, "column": ax.get_xaxis_transform}[of]() if of not in whole else whole[of]


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


def labels(ax, words, *, of="data", **style):
    """Short texts as one artist: `words(table)` gives the texts, their x, their y, and colours if they change."""
    drawn = Labels(ax, transform=_measuring(ax, of), **style)
    return Mark([drawn.artist], lambda table: drawn.show(*words(table)))


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
