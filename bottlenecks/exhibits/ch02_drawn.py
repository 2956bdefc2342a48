"""Drawings for chapter 02: the levels of a chip, a product in tiles, loads in flight."""

import numpy as np

from bottlenecks.exhibits import ch02
from bottlenecks.exhibits.drawn import Scene, drawing, sheet
from bottlenecks.exhibits.marks import updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline
from bottlenecks.measured import first_estimate

SHADES = {  # of levels, the nearer the lighter; what leaves the package in the network's colour
    "registers": "#F2B27C",
    "L1/shared": COLOUR["cache"],
    "L2": COLOUR["memory"],
    "L3": "#00528A",
    "HBM": "#003F63",
    "link": COLOUR["network"],
    "host link": "#66C2A5",
}

# ---- 1: a chip --------------------------------------------------------------------------------------

CHIPS = names("V100 PCIe 16GB, A100 SXM 80GB, H100 PCIe, H100 SXM5, MI210, MI300X")
CHIP_SHEET, TOP = (7.6, 6.6), 6.0
INCHES2_PER_BYTE = 2.9e-11  # area on the sheet, for all chips
INCHES_PER_RATE = 4.6e-14  # width of a pipe of 1 B/s, for all chips
HAIR = 0.008  # inches: a thinner pipe is drawn as a line
MAGNIFIED = 4.9, 5  # what a chip's own memory may take, square inches; steps of the magnification
CORES = 3.5, 2.35, 0.022  # where the magnified chip begins, how wide it may be, gap between two cores
STACK_BITS = 1024  # of the bus of one stack of HBM
INSIDE = ("registers", "L1/shared", "L2", "L3", "HBM")


def _chip_table(chip_name):
    device = chip(chip_name)
    levels = {level.name: level for level in device.levels}
    inside = [name for name in INSIDE if name in levels]
    rates = {name: levels[name].bytes_per_s for name in ("host link", *inside[:0:-1])}
    rates = {"host link": rates.pop("host link"), "link": device.link_bytes_per_s} | rates
    rates = {name: rate for name, rate in rates.items() if rate}
    return stack(
        level={"name": inside, "bytes": [levels[name].bytes for name in inside]},
        pipe={
            "name": list(rates),
            "bytes_per_s": list(rates.values()),
            "latency_s": [(levels[n].latency_s or np.nan) if n in levels else np.nan for n in rates],
        },
        here={
            "name": device.name,
            "cores": device.cores,
            "core": device.facts["core_unit"],
            "stacks": float(device.facts["memory_bus_bits"]) / STACK_BITS,
        },
    )


def sizes(table):
    """Bytes of each level of the memory."""
    return dict(zip(*(column.tolist() for column in pick(table, "level", "name", "bytes")), strict=True))


def on_chip_bytes(table):
    """Bytes of all levels but main memory."""
    return sum(size for name, size in sizes(table).items() if name != "HBM")


def magnification(table):
    """How many times longer the chip's own memory is drawn than main memory: the largest step that there is room for."""
    room, step = MAGNIFIED
    return step * int(np.sqrt(room / (on_chip_bytes(table) * INCHES2_PER_BYTE)) // step)


def _stacks(scene, table, x, wide):
    """The stacks of main memory, as large as their bytes."""
    here, gap = row(table), 0.04
    per_line = min(int(here.stacks), 5 if here.stacks % 5 == 0 else 4)
    side = (wide - gap * (per_line - 1)) / per_line
    high = sizes(table)["HBM"] / here.stacks * INCHES2_PER_BYTE / side
    i = np.arange(int(here.stacks))
    low = TOP - high - i // per_line * (high + gap)
    scene.boxes(x + i % per_line * (side + gap), low, side, high, fill=SHADES["HBM"])


def _cores(scene, table):
    """Every core, its registers above its nearest cache, and below them what all share; returns the lower left corner."""
    here, held, (x, wide, gap) = row(table), sizes(table), CORES
    scale = INCHES2_PER_BYTE * magnification(table) ** 2
    near = held["registers"] + held["L1/shared"]
    side = np.sqrt(near / here.cores * scale)
    per_line, i = int(wide / (side + gap)), np.arange(int(here.cores))
    left, low = x + i % per_line * (side + gap), TOP - side - i // per_line * (side + gap)
    cache = side * held["L1/shared"] / near
    scene.boxes(left, low, side, cache, fill=SHADES["L1/shared"])
    scene.boxes(left, low + cache, side, side - cache, fill=SHADES["registers"])
    wide, edge = per_line * (side + gap) - gap, low.min()
    for name in ("L2", "L3"):
        high = held.get(name, 0) * scale / wide
        edge -= high + 0.05 * (high > 0)
        scene.box(x, edge, wide, high, fill=SHADES[name])
    return x, edge


def _key(scene, table, x, top):
    """What the colours of the magnified chip mean, and how much there is of each."""
    here = row(table)
    scene.words(x, top, f"{here.cores:.0f} cores ({here.core}s)", size=9, align="left", weight="bold")
    for name, size in sizes(table).items():
        if name != "HBM":
            top -= 0.24
            each = f"\n{si(size / here.cores, 'B')} per core" if name in ("registers", "L1/shared") else ""
            scene.box(x, top - 0.05, 0.1, 0.1, fill=SHADES[name])
            scene.words(x + 0.15, top, f"{name} {si(size, 'B')}{each}", size=9, align="left")
            top -= 0.17 if each else 0


def _pipes(scene, table, middle):
    """Pipes from the host to the cores, one after the other, as wide as their rates."""
    found, rates, latencies = pick(table, "pipe", "name", "bytes_per_s", "latency_s")
    long = (CHIP_SHEET[0] - 0.4) / len(found)
    for i, (name, rate, latency) in enumerate(zip(found.tolist(), rates, latencies, strict=True)):
        wide, x = rate * INCHES_PER_RATE, 0.2 + i * long
        if wide < HAIR:
            scene.line([(x, middle), (x + long, middle)], color=SHADES[name], lw=72 * HAIR)
        else:
            scene.box(x, middle - wide / 2, long, wide, fill=SHADES[name])
        scene.words(x + long / 2, middle + 1.08, name, weight="bold")
        scene.words(x + long / 2, middle - 1.08, si(rate, "B/s"), size=9)
        told = (
            f"after {si(latency, 's')}"
            if latency > 0
            else f"drawn {plain(HAIR / wide, 2)} × too wide"
            if wide < HAIR
            else ""
        )
        scene.words(x + long / 2, middle - 1.25, told, size=9)


def chip_scene(table):
    """Main memory and the chip's own memory as areas; below, what flows between the levels as pipes."""
    scene, here, held = Scene(), row(table), sizes(table)
    scene.words(0.2, 6.42, f"{here.name}: area is bytes", size=10.5, align="left", weight="bold")
    told = f"main memory, {si(held['HBM'], 'B')} in {here.stacks:.0f} stacks"
    scene.words(0.2, TOP + 0.14, told, size=9, align="left")
    _stacks(scene, table, 0.2, 2.4)
    x, low = _cores(scene, table)
    scene.words(x, TOP + 0.14, f"the chip's own, magnified {magnification(table)} times", size=9, align="left")
    dot = np.sqrt(on_chip_bytes(table) * INCHES2_PER_BYTE)
    scene.box(2.95, TOP - dot, dot, dot, fill=COLOUR["highlight"])
    scene.line([(2.95 + dot, TOP), (x - 0.03, TOP)], lw=0.7)
    scene.line([(2.95 + dot, TOP - dot), (x - 0.03, low)], lw=0.7)
    scene.words(2.95, TOP + 0.14, "to scale", size=9)
    _key(scene, table, 6.0, TOP - 0.1)
    scene.words(0.2, 3.02, "Width of a pipe is bytes per second", size=10.5, align="left", weight="bold")
    _pipes(scene, table, 1.6)
    return scene


def _chip_draw(figure):
    return updating(drawing(sheet(figure, *CHIP_SHEET), chip_scene))


def _chip_summary(table):
    here, held = row(table), sizes(table)
    found, rates = pick(table, "pipe", "name", "bytes_per_s")
    rate, own = dict(zip(found.tolist(), rates, strict=True)), on_chip_bytes(table)
    return (
        f"{here.name}: main memory holds {si(held['HBM'], 'B')}, {plain(held['HBM'] / own, 3)} times the {si(own, 'B')} of all "
        f"registers and caches; {here.cores:.0f} cores have {si((held['registers'] + held['L1/shared']) / here.cores, 'B')} each. "
        f"Their nearest cache brings {si(rate['L1/shared'], 'B/s')}, {plain(rate['L1/shared'] / rate['HBM'], 2)} times main "
        f"memory's {si(rate['HBM'], 'B/s')}; the host's link {si(rate['host link'], 'B/s')}."
    )


the_chip = Exhibit(
    slug="02-chip",
    title="What is near is small and fast.",
    caption="A chip to scale: area is bytes, width of a pipe is bytes per second, same scales for all chips. The orange "
    "square holds all caches and registers. How much of main memory could the caches hold at once?",
    alt="Drawing of an accelerator: stacks of main memory as large rectangles, beside them a small square with all caches, "
    "and that square magnified: cores with registers and nearest cache, the shared cache below. Under it pipes of "
    "growing width: host, link, main memory, caches.",
    controls={"chip_name": Control(label="chip", values=CHIPS, start="H100 SXM5")},
    table=_chip_table,
    draw=_chip_draw,
    summary=_chip_summary,
    sources=("gpubenches", "hpctech-h100"),
)

# ---- 2: a product in tiles --------------------------------------------------------------------------

SIDE, VALUE_BYTES, SUM_BYTES = ch02.SIDE, 2, 4
TILES = (64, 128, 256, 512)
TILES_SHEET = 7.6, 7.0
SQUARE, LEFT, RIGHT, LOW, HIGH = 3.05, 0.75, 4.3, 0.3, 3.7  # a matrix on the sheet, and where A, C and B begin
AT_ONCE, STRIPS = "#F9D9B0", "#B4C5D3"  # tiles that all cores work on, and what they read
ARITHMETIC_BAR = 0.8  # inches


def _tiles_table(chip_name, tile):
    device, tile = chip(chip_name), round(tile)
    across = int(np.sqrt(device.cores))
    sides = np.array([tile, min(across * tile, SIDE)])
    moved = roofline.tiled_matmul_bytes(SIDE, SIDE, SIDE, tile=sides, value_bytes=VALUE_BYTES)
    rates = np.array([device.level(name).bytes_per_s for name in ("L2", "HBM")])
    peak = device.peak_flop_per_s(first_estimate.width16(device))
    return stack(
        fed={"name": ["L2", "HBM"], "side": sides, "bytes": moved, "time_s": moved / rates},
        here={
            "name": device.name,
            "side": tile,
            "across": across,
            "cores": device.cores,
            "time_s": roofline.matmul_flop(SIDE, SIDE, SIDE) / peak,
            "sum_bytes": SUM_BYTES * tile**2,
            "room_bytes": device.level("registers").bytes / device.cores,
        },
    )


def _matrices(scene, table):
    """A, B and C, with the strips of all tiles at once and of one of them."""
    here, scale = row(table), SQUARE / SIDE
    for name, x, y in (("A", LEFT, LOW), ("B", RIGHT, HIGH), ("C", RIGHT, LOW)):
        scene.box(x, y, SQUARE, SQUARE, fill="#F4F4F4", edge=GREY, lw=0.6)
        scene.words(x + SQUARE + 0.12, y + SQUARE - 0.1, name, size=11, weight="bold")
    block, tile = pick(table, "fed", "side")[1] * scale, here.side * scale
    start = min(2048, SIDE - pick(table, "fed", "side")[1]) * scale
    inner = start + here.across // 3 * tile
    x, y = RIGHT + start, LOW + SQUARE - start - block
    tile_x, tile_y = RIGHT + inner, LOW + SQUARE - inner - tile
    scene.box(LEFT, y, SQUARE, block, fill=STRIPS)
    scene.box(x, HIGH, block, SQUARE, fill=STRIPS)
    i, gap = np.arange(int(here.across)), min(0.012, 0.2 * tile)
    columns, lines = (each.ravel() for each in np.meshgrid(i, i))
    scene.boxes(x + columns * tile, y + lines * tile, tile - gap, tile - gap, fill=AT_ONCE)
    scene.box(LEFT, tile_y, SQUARE, tile - gap, fill=SHADES["L2"])
    scene.box(tile_x, HIGH, tile - gap, SQUARE, fill=SHADES["L2"])
    scene.box(tile_x, tile_y, tile - gap, tile - gap, fill=COLOUR["compute"])
    scene.brace((LEFT - 0.1, y), (LEFT - 0.1, y + block), 0.06)
    scene.words(LEFT - 0.16, y + block / 2, plain(pick(table, "fed", "side")[1], 6), size=9, align="right")
    scene.words(LEFT + SQUARE / 2, LOW - 0.14, plain(SIDE, 6), size=9)
    scene.words(RIGHT + SQUARE / 2, LOW - 0.14, plain(SIDE, 6), size=9)


def _feeding(scene, table):
    """How long the arithmetic takes, and how long bringing its operands, as bars."""
    here, top = row(table), HIGH + SQUARE - 0.08
    sides, moved, times = pick(table, "fed", "side", "bytes", "time_s")
    scene.words(0.2, top, here.name, size=10.5, align="left", weight="bold")
    scene.words(0.2, top - 0.2, "C = A B, values of 16 bits", align="left")
    fits = "fit into" if here.sum_bytes <= here.room_bytes else "do not fit into"
    parts = (
        (COLOUR["compute"], COLOUR["compute"], here.time_s, "arithmetic at the peak", ""),
        (
            COLOUR["compute"],
            SHADES["L2"],
            times[0],
            f"a core's tile of side {here.side:.0f}, from L2: {si(moved[0], 'B')}",
            f"a value is used {plain(sides[0], 6)} times; sums, {si(here.sum_bytes, 'B')},\n{fits} {si(here.room_bytes, 'B')} of registers",
        ),
        (
            AT_ONCE,
            SHADES["HBM"],
            times[1],
            f"{here.across:.0f} × {here.across:.0f} tiles at once, from HBM: {si(moved[1], 'B')}",
            f"a value is used {plain(sides[1], 6)} times; {here.across**2:.0f} of {here.cores:.0f} cores",
        ),
    )
    y = top - 0.55
    for patch, colour, seconds, what, more in parts:
        scene.box(0.2, y - 0.05, 0.1, 0.1, fill=patch, edge=GREY, lw=0.4)
        scene.words(0.36, y, what, size=9, align="left")
        wide = ARITHMETIC_BAR * seconds / here.time_s
        scene.box(0.2, y - 0.29, wide, 0.15, fill=colour)
        end, hidden = 0.2 + ARITHMETIC_BAR, "hidden" if seconds <= here.time_s else "not hidden"
        scene.line([(end, y - 0.32), (end, y - 0.11)], color=COLOUR["compute"], lw=1.5)
        told = si(seconds, "s") + (f", {hidden}" if more else "")
        scene.words(max(end, 0.2 + wide) + 0.07, y - 0.215, told, size=9, align="left")
        scene.words(0.2, y - 0.41, more, size=9, align="left")
        y -= 0.62 + 0.17 * more.count("\n") + 0.14 * bool(more)


def tiles_scene(table):
    """Three matrices, one tile and its strips, all tiles at once and theirs."""
    scene = Scene()
    _matrices(scene, table)
    _feeding(scene, table)
    return scene


def _tiles_draw(figure):
    return updating(drawing(sheet(figure, *TILES_SHEET), tiles_scene))


def _tiles_summary(table):
    here, (sides, moved, times) = row(table), pick(table, "fed", "side", "bytes", "time_s")
    hidden = ["hidden" if seconds <= here.time_s else "not hidden" for seconds in times]
    fits = "fit" if here.sum_bytes <= here.room_bytes else "do not fit"
    return (
        f"{here.name}, tiles of side {here.side:.0f}: each value that a core reads from L2 is used {plain(sides[0], 6)} times, so "
        f"{si(moved[0], 'B')} come in {si(times[0], 's')}, {hidden[0]} behind {si(here.time_s, 's')} of arithmetic. "
        f"{here.across:.0f} by {here.across:.0f} of them are one tile of side {plain(sides[1], 6)} to main memory: "
        f"{si(moved[1], 'B')} in {si(times[1], 's')}, {hidden[1]}. A tile's sums of 32 bits take {si(here.sum_bytes, 'B')} and "
        f"{fits} into a core's {si(here.room_bytes, 'B')} of registers."
    )


tiles = Exhibit(
    slug="02-tiles",
    title="A value is used as often as its tile is wide.",
    caption="A product to scale: one tile (orange) and the strips it needs (blue), among the tiles on all cores (pale). "
    "A bar beyond the orange mark lasts longer than the arithmetic. Which side hides L2 and still fits?",
    alt="Three squares A, B and C. In C a small orange tile lies in a block of pale ones; strips of A and B as wide as the "
    "tile, and as the block, are marked. Bars compare the arithmetic with the time to bring operands.",
    controls={
        "chip_name": Control(label="chip", values=ch02.LEVELLED, start="A100 SXM 80GB"),
        "tile": Control(label="tile side", values=TILES, start=128),
    },
    table=_tiles_table,
    draw=_tiles_draw,
    summary=_tiles_summary,
    sources=("gpubenches", "yang2020hierarchical"),
)

# ---- 3: loads in flight -----------------------------------------------------------------------------

LOAD_BYTES, DOT_BYTES = 8, 4096  # of a load; of loads that share a dot
LOADS = (32, 64, 128, 256, 384, 512, 768, 1024)
FLIGHT_SHEET = 7.6, 4.05
FLIGHT = 2.55, 1.3  # left end and lower edge of the pipe
PER_SECOND, PER_RATE = 4.2 / 400e-9, 1.65 / 2e12  # inches along the pipe, and across it
QUEUE = 1.95  # inches: where loads wait that the pipe has no room for


def _flight_table(chip_name, loads):
    device = chip(chip_name)
    rate, latency = device.memory_bytes_per_s, device.level("HBM").latency_s
    asked = LOAD_BYTES * round(loads) * device.cores
    return stack(
        here={
            "name": device.name,
            "loads": round(loads),
            "cores": device.cores,
            "latency_s": latency,
            "peak_bytes_per_s": rate,
            "needed_bytes": roofline.bytes_in_flight(bytes_per_s=rate, latency_s=latency),
            "asked_bytes": asked,
            "bytes_per_s": roofline.latency_limited_bytes_per_s(asked, bytes_per_s=rate, latency_s=latency),
        }
    )


def rows_of_dots(count, wide, high, pitch):
    """Places of dots spread over an area as evenly as rows allow, each row as long as the area."""
    rows = max(1, min(count, round(high / pitch)))
    places = [(i, each) for i, each in enumerate(np.array_split(np.arange(count), rows))]
    x = np.concatenate([(np.arange(each.size) + 0.5) / each.size * wide for _, each in places])
    return x, np.concatenate([np.full(each.size, (i + 0.5) / rows * high) for i, each in places])


def _pipe(scene, here):
    """The pipe with what is in it; returns its right and upper edges."""
    (x, low), long, wide = FLIGHT, here.latency_s * PER_SECOND, here.peak_bytes_per_s * PER_RATE
    pitch = np.sqrt(DOT_BYTES * PER_SECOND * PER_RATE)
    filled = wide * here.bytes_per_s / here.peak_bytes_per_s
    scene.box(x, low, long, wide, fill="white", edge=GREY, lw=1.2)
    scene.box(x, low, long, filled, fill="#CFE6F5")
    inside = min(here.asked_bytes, here.needed_bytes)
    across, up = rows_of_dots(round(inside / DOT_BYTES), long, filled, pitch)
    scene.dots(x + across, low + up, min(0.3 * pitch, 0.46 * filled), fill=COLOUR["memory"])
    waiting = round((here.asked_bytes - inside) / DOT_BYTES)
    if waiting:
        i, abreast = np.arange(waiting), int(QUEUE / pitch)
        scene.dots(
            x - 0.22 - i % abreast * pitch, low + (i // abreast + 0.5) * pitch, 0.3 * pitch, fill=COLOUR["latency"]
        )
    return x + long, low + wide, low + filled


def flight_scene(table):
    """A pipe as long as the latency and as wide as the bandwidth: its area is the bytes in flight."""
    scene, here = Scene(), row(table)
    right, top, filled = _pipe(scene, here)
    x, low = FLIGHT
    scene.words(
        0.2, 3.83, f"{here.name}: the pipe holds {si(here.needed_bytes, 'B')}", size=10.5, align="left", weight="bold"
    )
    told = f"{here.cores:.0f} cores × {plain(here.loads, 6)} loads × {LOAD_BYTES} B = {si(here.asked_bytes, 'B')} asked for"
    scene.words(0.2, 3.59, told, align="left")
    scene.brace((right, low - 0.12), (x, low - 0.12), 0.07)
    scene.words((x + right) / 2, low - 0.27, f"length: latency, {si(here.latency_s, 's')}", size=9)
    scene.brace((x - 0.1, low), (x - 0.1, top), 0.06)
    scene.words(x, top + 0.13, f"width: {si(here.peak_bytes_per_s, 'B/s')}", size=9, align="left")
    scene.arrow([(right + 0.02, (low + filled) / 2), (right + 0.3, (low + filled) / 2)], color=COLOUR["memory"])
    share = here.bytes_per_s / here.peak_bytes_per_s
    scene.words(
        x,
        0.75,
        f"arrive: {si(here.bytes_per_s, 'B/s')}, {plain(100 * share, 3)} % of the width",
        align="left",
        color=COLOUR["memory"],
    )
    if top - filled > 0.25:
        scene.words((x + right) / 2, (top + filled) / 2, f"{plain(100 * (1 - share), 3)} % empty", size=9, color=GREY)
    for i, (colour, words) in enumerate(
        (
            (COLOUR["memory"], f"{DOT_BYTES // LOAD_BYTES} loads in flight"),
            (COLOUR["latency"], f"{DOT_BYTES // LOAD_BYTES} loads that wait"),
        )
    ):
        scene.dots(0.3 + 1.9 * i, 0.25, 0.05, fill=colour)
        scene.words(0.42 + 1.9 * i, 0.25, words, size=9, align="left")
    return scene


def _flight_draw(figure):
    return updating(drawing(sheet(figure, *FLIGHT_SHEET), flight_scene))


def _flight_summary(table):
    here = row(table)
    share, waits = here.bytes_per_s / here.peak_bytes_per_s, here.asked_bytes - here.needed_bytes
    rest = f"{si(waits, 'B')} wait outside" if waits > 0 else f"{plain(100 * (1 - share), 3)} % of the pipe is empty"
    return (
        f"{here.name}: {si(here.peak_bytes_per_s, 'B/s')} for {si(here.latency_s, 's')} are {si(here.needed_bytes, 'B')} in flight, "
        f"{plain(here.needed_bytes / LOAD_BYTES / here.cores, 3)} loads of {LOAD_BYTES} B per core. With {plain(here.loads, 6)} loads per core, "
        f"{si(here.asked_bytes, 'B')}, {si(here.bytes_per_s, 'B/s')} arrive and {rest}."
    )


in_flight = Exhibit(
    slug="02-flight",
    title="A pipe that is not full delivers less.",
    caption="Memory as a pipe to scale: length is latency, width is bandwidth, so area is the bytes in flight. Each dot is 512 "
    "loads of 8 B. How many loads per core fill the pipe?",
    alt="A horizontal pipe with dots for loads in flight. With few loads only a part of its width is filled and the rest is "
    "white; with more than fit, dots of another colour wait at its left end.",
    controls={
        "chip_name": Control(label="chip", values=ch02.CHASED, start="A100 SXM 80GB"),
        "loads": Control(label="loads per core", values=LOADS, start=256),
    },
    table=_flight_table,
    draw=_flight_draw,
    summary=_flight_summary,
    sources=("gpubenches", "little1961"),
)
