"""A drawing for chapter 05: the tiles of a product, dealt to the cores of a chip."""

import numpy as np

from bottlenecks.exhibits.drawn import Scene, drawing, sheet
from bottlenecks.exhibits.marks import updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, plural
from bottlenecks.laws import tiling

CHIPS = ("A100 SXM 80GB", "H100 SXM5")
ROWS = (1, 16, 64, 128, 129, 256, 512, 1024, 1025, 1536, 2048, 3072, 4096)
COLUMNS = (1024, 1536, 2048, 3072, 4096)
TILES = (64, 128, 256)
SHEET = 7.6, 4.78
LEFT, TOP, SCALE = 0.3, 3.62, 2.75 / 4096  # of the result: where it begins, inches of a value
GRIDS, ROOM, MOST, ABREAST = 3.55, 3.8, 16, 12  # where cores begin, what they take, most waves shown, cores abreast
LAST, EARLIER, EMPTY = COLOUR["highlight"], COLOUR["compute"], "#FADFC6"


def _dealt_table(chip_name, rows, columns, tile):
    cores, rows, columns, side = chip(chip_name).cores, round(rows), round(columns), round(tile)
    count = int(tiling.tiles(rows, columns, tile_rows=side, tile_columns=side))
    waves = tiling.waves(count, cores=cores)
    i, across = np.arange(count), -(-columns // side)
    line, column = i // across, i % across
    return stack(
        tile={
            "wave": i // cores,
            "core": i % cores,
            "row": line * side,
            "column": column * side,
            "rows": np.minimum(side, rows - line * side),  # of the tile that are results
            "columns": np.minimum(side, columns - column * side),
        },
        here={
            "name": chip_name,
            "cores": cores,
            "rows": rows,
            "columns": columns,
            "side": side,
            "tiles": count,
            "waves": waves,
            "idle": waves * cores - count,
            "filled": tiling.filled(rows, columns, tile_rows=side, tile_columns=side, cores=cores),
        },
    )


def _result(scene, table):
    """The result in its tiles, those of the last wave in their colour; pale what lies beyond its edge."""
    here, side = row(table), row(table).side * SCALE
    wave, line, column, rows, columns = pick(table, "tile", "wave", "row", "column", "rows", "columns")
    x, top = LEFT + column * SCALE, TOP - line * SCALE
    gap = min(0.012, 0.15 * side)
    scene.boxes(x, top - side, side - gap, side - gap, fill=EMPTY)
    wide, high = np.minimum(columns * SCALE, side - gap), np.minimum(rows * SCALE, side - gap)
    scene.boxes(x, top - np.minimum(side, high + gap), wide, high, fill=_colours(wave, here.waves))
    scene.words(
        LEFT, TOP + 0.13, f"result, {plural(here.rows, 'row')} × {plain(here.columns, 6)} columns", size=9, align="left"
    )


def _colours(wave, waves):
    return np.where(wave == waves - 1, LAST, EARLIER).tolist()


def shown(waves):
    """The waves that are drawn, None in place of those left out."""
    every = list(range(int(waves)))
    return every if waves <= MOST else [*every[: MOST - 2], None, every[-1]]


def _grids(scene, table):
    """The cores in each wave, as full as their tiles; white: idle."""
    here, drawn = row(table), shown(row(table).waves)
    wave, core, rows, columns = pick(table, "tile", "wave", "core", "rows", "columns")
    per_line = int(np.ceil(np.sqrt(len(drawn))))
    room = ROOM / per_line
    cell, lines = (room - 0.3) / ABREAST, np.ceil(here.cores / ABREAST)
    scene.words(GRIDS, TOP + 0.32, "cores, and how many of them have a tile", size=9, align="left")
    for place, one in enumerate(drawn):
        x, top = GRIDS + place % per_line * room, TOP - place // per_line * (lines * cell + 0.3)
        if one is None:
            scene.words(x + 6 * cell, top - 4 * cell, f"{here.waves - MOST + 1:.0f} more", size=9)
            continue
        i, mine, gap = np.arange(int(here.cores)), wave == one, 0.1 * cell
        at = core[mine].astype(int)
        left, low = x + i % ABREAST * cell, top - (i // ABREAST + 1) * cell
        scene.boxes(left, low, cell - gap, cell - gap, fill="white", edge="#B8B8B8", lw=0.5)
        scene.boxes(left[at], low[at], cell - gap, cell - gap, fill=EMPTY)
        share = (cell - gap) / here.side
        wide, high = columns[mine] * share, rows[mine] * share
        scene.boxes(left[at], low[at] + cell - gap - high, wide, high, fill=_colours(wave[mine], here.waves))
        scene.words(
            x,
            top + 0.1,
            f"wave {one + 1}: {mine.sum()}" if per_line > 2 else _busy(one, mine.sum(), here),
            size=9,
            align="left",
        )


def _busy(wave, tiles, here):
    idle = here.cores - tiles
    return f"wave {wave + 1}: {tiles} tiles" + (f", {idle:.0f} idle" if idle else "")


def _idle(here):
    """How many cores have nothing to do in the last wave."""
    return f"{plural(here.idle, 'core')} idle in the last wave" if here.idle else "no core is idle in the last wave"


def dealt_scene(table):
    """The result beside the cores that make it, wave after wave."""
    scene, here = Scene(), row(table)
    told = f"{plural(here.tiles, 'tile')} of side {here.side:.0f} on {here.cores:.0f} cores of {here.name}: {plural(here.waves, 'wave')}"
    scene.words(LEFT, 4.56, told, size=10, align="left", weight="bold")
    lost = f"{plain(100 * here.filled, 3)} % of the cores' time goes into the result; {_idle(here)}"
    scene.words(LEFT, 4.32, lost, align="left")
    _result(scene, table)
    _grids(scene, table)
    for i, (colour, words) in enumerate(
        ((EARLIER, "earlier waves"), (LAST, "last wave"), (EMPTY, "beyond the edge"), ("white", "idle"))
    ):
        x = LEFT + (0, 1.2, 2.12, 3.42)[i]
        scene.box(x, 0.13, 0.1, 0.1, fill=colour, edge=GREY, lw=0.4)
        scene.words(x + 0.15, 0.18, words, size=9, align="left")
    return scene


def _dealt_draw(figure):
    return updating(drawing(sheet(figure, *SHEET), dealt_scene))


def _dealt_summary(table):
    here = row(table)
    return (
        f"{here.name}: a result of {plural(here.rows, 'row')} and {plain(here.columns, 6)} columns makes "
        f"{plural(here.tiles, 'tile')} of side {here.side:.0f}, dealt to {here.cores:.0f} cores in {plural(here.waves, 'wave')}. "
        f"{_idle(here).capitalize()}. "
        f"{plain(100 * here.filled, 3)} % of the cores' time goes into the result."
    )


dealt = Exhibit(
    slug="05-dealt",
    title="The last wave leaves cores idle.",
    caption="A result cut into tiles and dealt to the cores in waves; each square on the right is a core. White: idle; pale: "
    "beyond the result's edge, but computed. When does one row more cost a wave?",
    alt="On the left a matrix to scale, cut into square tiles, those of the last wave in another colour; on the right a grid of "
    "cores for each wave, filled where a core has a tile and white where it is idle.",
    controls={
        "chip_name": Control(label="chip", values=CHIPS, start="A100 SXM 80GB"),
        "rows": Control(label="rows", values=ROWS, start=1024, unit="rows"),
        "columns": Control(label="columns", values=COLUMNS, start=1024),
        "tile": Control(label="tile side", values=TILES, start=128),
    },
    table=_dealt_table,
    draw=_dealt_draw,
    summary=_dealt_summary,
    sources=("nvidia-matmul-guide",),
)
