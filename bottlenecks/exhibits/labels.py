"""Words on a figure: many as one artist, moved apart, and the key to its colours."""

from functools import cache
from itertools import accumulate

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D


class Labels:
    """Many short texts as one artist, each centred at its height: outlines are kept, so redrawing is quick."""

    def __init__(self, ax, *, transform=None, size=8.5, color="#222222", align="left"):
        self.size, self.align = size, align
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
        shown = np.array([bool(text) for text in texts], dtype=bool)
        self.artist.set_paths([_outline(str(t), self.size, self.align) for t in texts if t])
        places = np.column_stack(np.broadcast_arrays(x, y)).astype(float)
        self.artist.set_offsets(places[shown])
        if colors is not None:
            self.artist.set_facecolors([c for c, seen in zip(colors, shown, strict=True) if seen])
        return self.artist


@cache
def _outline(text, size, align):
    """A text as a path in points, from its left, middle or right, at half the height of a digit."""
    path = TextPath((0, 0), text, size=size)
    shift = {"left": 0, "center": 0.5, "right": 1}[align] * path.get_extents().x1
    return Path(path.vertices - (shift, 0.365 * size), path.codes)


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


def key(where, words, x, y, *, size=9.5, down=None, transform=None):
    """Squares in colour with their words beside them, one after the other, or one below the other by `down`.

    `words` maps each to its colour; `where` is axes, whose fractions x and y are, or a figure.
    """
    transform = transform or (where.transAxes if hasattr(where, "transAxes") else where.transFigure)
    points = (transform.transform((1, 0)) - transform.transform((0, 0)))[0] / where.get_figure().dpi * 72
    artists = []
    for word, colour in words.items():
        artists += [
            where.text(x, y, "■", color=colour, va="center", fontsize=size + 1, transform=transform),
            where.text(x + 1.4 * size / points, y, word, va="center", fontsize=size, transform=transform),
        ]
        if down:
            y -= down
        else:
            x += (_outline(word, size, "left").get_extents().x1 + 3.2 * size) / points
    return artists
