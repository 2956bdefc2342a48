"""Drawings of mechanisms: boxes, arrows and words on a sheet whose data are inches, so that lengths are to scale.

    def scene(table):
        found = Scene()
        found.box(1, 1, 2, 0.5, fill=COLOUR["memory"])
        found.words(2, 1.7, "weights")
        return found

    def draw(figure):
        return updating(drawing(sheet(figure, 7.6, 5), scene))

A scene is made anew of every table; boxes lie below lines and lines below words. `Scene.clash` names words that cover others
or leave the sheet, for the tests.
"""

from itertools import combinations

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from bottlenecks.exhibits.labels import Labels, outline
from bottlenecks.exhibits.marks import Mark, corners
from bottlenecks.exhibits.style import GREY

INK = "#222222"
CIRCLE = np.linspace(0, 2 * np.pi, 17)[:-1]
HEAD = 0.085  # length of an arrow's head, inches


class Scene:
    """What a drawing consists of: areas, lines and words, in inches from the sheet's lower left corner."""

    def __init__(self):
        self.areas, self.lines, self.texts = [], [], []

    def boxes(self, left, low, wide, high, *, fill="none", edge="none", lw=0.8):
        """Rectangles from their lower left corners and sides; edges of a thin line, colours one for all or one each."""
        left, low = np.asarray(left, dtype=float), np.asarray(low, dtype=float)
        outlines = corners(left, left + wide, low, low + high).reshape(-1, 4, 2)
        fills = [fill] * len(outlines) if isinstance(fill, str) else fill
        self.areas += [(one, colour, edge, lw) for one, colour in zip(outlines, fills, strict=True)]

    box = boxes

    def shape(self, points, *, fill="none", edge="none", lw=0.8):
        """An area through its corners."""
        self.areas.append((np.asarray(points, dtype=float), fill, edge, lw))

    def dots(self, x, y, radius, *, fill):
        """Filled circles."""
        ring = radius * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], -1)
        self.areas += [(at + ring, fill, "none", 0) for at in np.stack([np.ravel(x), np.ravel(y)], -1)]

    def line(self, points, *, color=GREY, lw=1.0):
        """A line through points."""
        self.lines.append((np.asarray(points, dtype=float), color, lw))

    def arrow(self, points, *, color=GREY, lw=1.2):
        """A line through points that ends in a head."""
        points = np.asarray(points, dtype=float)
        along = points[-1] - points[-2]
        along /= np.hypot(*along)
        base, across = points[-1] - HEAD * along, 0.4 * HEAD * along[::-1] * (-1, 1)
        self.line([*points[:-1], base], color=color, lw=lw)
        self.areas.append((np.array([points[-1], base + across, base - across]), color, "none", 0))

    def brace(self, start, end, depth=0.08, *, color=GREY, lw=1.0):
        """A bracket along the line from start to end; its feet point by `depth` to the right of that direction."""
        start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        along = (end - start) / np.hypot(*(end - start))
        foot = depth * along[::-1] * (1, -1)
        self.line([start + foot, start, end, end + foot], color=color, lw=lw)

    def words(self, x, y, text, *, size=9.5, align="center", color=INK, weight="normal"):
        """Words at half their height; lines are set apart by newlines and go down from the first."""
        for i, one in enumerate(str(text).split("\n")):
            self.texts.append((one, size, align, weight, x, y - i * 1.35 * size / 72, color))

    def ends(self):
        """Left, right, lower and upper ends of all words, a line each."""
        found = []
        for text, size, align, weight, x, y, _ in self.texts:
            box = outline(text, size, align, weight).get_extents() if text else None
            found.append(
                (x, x, y, y) if box is None else (x + box.x0 / 72, x + box.x1 / 72, y + box.y0 / 72, y + box.y1 / 72)
            )
        return np.array(found).reshape(-1, 4)

    def clash(self, wide, high):
        """Texts that leave a sheet of that size, and pairs that cover each other."""
        ends = self.ends()
        out = [
            t[0]
            for t, (x0, x1, y0, y1) in zip(self.texts, ends, strict=True)
            if min(x0, y0) < 0 or x1 > wide or y1 > high
        ]
        for (a, one), (b, other) in combinations(zip([t[0] for t in self.texts], ends, strict=True), 2):
            if one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]:
                out.append((a, b))
        return out


def sheet(figure, wide, high):
    """Axes over a whole figure of that size, in inches and without ticks."""
    figure.set_size_inches(wide, high)
    ax = figure.add_axes([0, 0, 1, 1])
    ax.set(xlim=(0, wide), ylim=(0, high))
    ax.set_axis_off()
    return ax


def drawing(ax, scene):
    """The mark of a scene: `scene(table)` says what is drawn."""
    areas = ax.add_collection(PolyCollection([], closed=True), autolim=False)
    lines = ax.add_collection(LineCollection([], capstyle="butt", zorder=2), autolim=False)
    words = Labels(ax)

    def fill(table):
        found = scene(table)
        outlines, fills, edges, widths = zip(*found.areas, strict=True)
        areas.set_verts(outlines)
        areas.set(facecolors=list(fills), edgecolors=list(edges), linewidths=list(widths))
        drawn = list(zip(*found.lines, strict=True)) or [[], [], []]
        lines.set_segments(drawn[0])
        lines.set(colors=list(drawn[1]), linewidths=list(drawn[2]))
        places = [text[4:6] for text in found.texts]
        words.show_each([text[:4] for text in found.texts], *np.transpose(places), [text[6] for text in found.texts])

    return Mark([areas, lines, words.artist], fill)
