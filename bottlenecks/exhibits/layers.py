"""A picture that is drawn again and again: what stands still is kept, in the order in which a whole drawing would have it.

A figure draws its artists from back to front, and those that move may lie anywhere among the others: a band behind the grid,
a bar behind a dotted line. So the artists that stand still are cut into layers, one behind each group that moves; a layer is
drawn once, and its pixels are laid over what moves behind it. Log ticks alone cost most of a drawing.
"""

import struct
import textwrap
import zlib
from itertools import groupby

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bottlenecks.exhibits.style import GREY, RC

OPAQUE = 255


class Layers:
    """A figure on an Agg canvas, cut into what stands still and the `moving` artists."""

    def __init__(self, figure, moving):
        self.figure, self.canvas = figure, figure.canvas
        self.keep(moving)

    def keep(self, moving):
        """Draw the figure as a whole, then once each of the layers that stand still."""
        self.moving, self.levels = moving, _levels(moving)
        with mpl.rc_context(RC):
            self.canvas.draw()  # places titles, ticks and legends
            ids = {id(artist) for artist in moving}
            order = list(_from_back_to_front(self.figure))
            lost = ids - {id(artist) for artist in order}
            if lost:
                raise ValueError(f"{len(lost)} of the moving artists are not in the figure")
            self.steps = []  # (kept pixels or None, artists that move)
            for moves, artists in groupby(order, lambda artist: id(artist) in ids):
                artists = list(artists)
                self.steps.append((None, artists) if moves else (self._kept(artists), ()))

    def _kept(self, artists):
        """Where a layer covers the whole of a pixel, with what, where a part of it; the backmost layer as it is."""
        renderer = self.canvas.get_renderer()
        renderer.clear()
        for artist in artists:
            artist.draw(renderer)
        if not self.steps:
            return self.canvas.copy_from_bbox(self.figure.bbox)
        drawn = np.asarray(self.canvas.buffer_rgba()).reshape(-1, 4)
        whole, part = np.flatnonzero(drawn[:, 3] == OPAQUE), np.flatnonzero(drawn[:, 3] % OPAQUE)
        return (
            whole,
            drawn[whole].view(np.uint32),
            part,
            drawn[part, :3].astype(np.int32),
            drawn[part, 3:].astype(np.int32),
        )

    def draw(self):
        """The picture as it is now, an array of height x width x 3 bytes; within the style, which artists look up as well."""
        if _levels(self.moving) != self.levels:  # one has come before another
            self.keep(self.moving)
        renderer = self.canvas.get_renderer()
        (back, _), *steps = self.steps
        self.canvas.restore_region(back)
        pixels = np.asarray(self.canvas.buffer_rgba())
        flat = pixels.reshape(-1, 4)
        for kept, moving in steps:
            for artist in moving:
                artist.draw(renderer)
            if kept is not None:
                whole, colours, part, colour, alpha = kept
                flat.view(np.uint32)[whole] = colours
                under = flat[part, :3]
                flat[part, :3] = under + (colour - under) * alpha // OPAQUE
        return pixels[..., :3]

    def draw_anew(self):
        """The same without anything kept, for a figure whose axes changed."""
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3]


def _levels(artists):
    return [artist.get_zorder() for artist in artists]


def _from_back_to_front(container):
    """Every artist of a figure, or of axes, in the order in which matplotlib draws them."""
    yield container.patch
    front = [artist for artist in container.get_children() if artist is not container.patch]
    if isinstance(container, Axes):
        hidden = [] if container.axison and container.get_frame_on() else list(container.spines.values())
        hidden += [] if container.axison else [container.xaxis, container.yaxis]
        front = [artist for artist in front if artist not in hidden]
    for artist in sorted(front, key=lambda artist: artist.get_zorder()):
        if not isinstance(artist, Axes):
            yield artist
        elif artist.get_visible():
            yield from _from_back_to_front(artist)


def notice(figure, text):
    """A picture of a figure's size that shows nothing but a text: why there is no picture."""
    with mpl.rc_context(RC):
        blank = Figure(figsize=figure.get_size_inches(), dpi=figure.dpi, facecolor="#F4F4F4")
        canvas = FigureCanvasAgg(blank)
        blank.text(
            0.5, 0.5, textwrap.fill(text, 64), ha="center", va="center", color=GREY, fontsize=11, parse_math=False
        )
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def png(pixels):
    """Pixels as a PNG file, exactly as they are.

    Each row is written as its difference from the row above, in which a plot is mostly zeros. This takes half the time of
    an encoder that tries other filters, and less than looking for a palette, which would merge pale tints.
    """
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    lines = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # 2: the filter "up"
    lines[0, 1:], lines[1:, 1:] = rows[0], rows[1:] - rows[:-1]
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits of red, green and blue
    chunks = {b"IHDR": head, b"IDAT": packer.compress(lines.tobytes()) + packer.flush(), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    )
