"""Parts of drawings to scale: a page measured in hundredths of an inch, rulers, outlines and an enlargement."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from bottlenecks.exhibits.drawn import INK, sheet
from bottlenecks.exhibits.labels import labels
from bottlenecks.exhibits.marks import segments
from bottlenecks.facts.units import si

WIDE = 760  # of every page: as a screen shows it, one unit is one pixel
HEADLINE = {"fontsize": 12, "weight": "bold", "va": "top"}  # what the drawing shows now
SMALL = {"fontsize": 9.5, "va": "center"}


def page(figure, height):
    """A sheet over the whole figure, x to the right up to `WIDE`, y downwards up to `height`."""
    ax = sheet(figure, WIDE / 100, height / 100)
    ax.set(xlim=(0, WIDE), ylim=(height, 0))
    return ax


def ruler(ax, left, right, y, ends, unit, *, most=7):
    """A scale below a drawing: `ends(table)` are the values at its left and right; marks with their words."""

    def ticks(table):
        low, high = ends(table)
        found = MaxNLocator(most).tick_values(low, high)
        found = found[(found >= low - 1e-9 * high) & (found <= high * (1 + 1e-9))]
        return found, left + (found - low) / (high - low) * (right - left)

    def lines(table):
        x = ticks(table)[1]
        return [((left, y), (right, y)), *(((v, y), (v, y + 5)) for v in x)]

    def words(table):
        found, x = ticks(table)
        return [si(v, unit, 4) for v in found], x, y + 14

    return (segments(ax, lines, colors=INK, linewidths=0.8), labels(ax, words, size=9, align="center"))


def outlines(edges):
    """Outlines of rectangles, for `marks.segments`: edges are their left, right, low and high."""
    x0, x1, y0, y1 = flat(*edges)
    return list(np.stack([x0, y0, x1, y0, x1, y1, x0, y1, x0, y0], -1).reshape(-1, 5, 2))


def laid(ends, start, left, right):
    """Places on a page of values from `start[0]` to `start[1]`."""
    low, high = start
    return left + (np.asarray(ends, dtype=float) - low) / (high - low) * (right - left)


def funnel(ax, of, **style):
    """Two grey lines from a piece of a drawing to its enlargement: `of(table)` gives x0, x1, y and X0, X1, Y."""

    def lines(table):
        a, b, y, wide_a, wide_b, far = of(table)
        return [((a, y), (wide_a, far)), ((b, y), (wide_b, far))]

    return segments(ax, lines, **{"colors": "#9A9A9A", "linewidths": 0.8} | style)


def flat(*edges):
    """Edges of many rectangles as four rows."""
    return np.array([np.ravel(v) for v in np.broadcast_arrays(*edges)])
