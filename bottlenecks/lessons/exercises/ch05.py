"""Exercises of chapter 05, Why is the peak never reached?"""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.laws import tiling
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.measured import teeth
from bottlenecks.models import kernels
from bottlenecks.studies import cubes

LAUNCHED = {"whole_s": 20e-6, "fixed_s": 4e-6}  # of the product of 05.6b
TILED = {"tile_rows": 128, "tile_columns": 256}  # of 05.2 and 05.9
WAVES, WIDEST_ROWS, WIDTH_7B = 6, 2048, 11008  # of 05.9: the budget, the rows, and the width of Llama-2-7B
V100, A100, H100, B200 = map(chip, ("V100 SXM2 16GB", "A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)"))

START_S = kernels.family_constants("Ampere")["fixed_s"]  # beginning and end of a kernel on an A100


def most_rows(waves, columns, tile_rows, tile_columns, cores):
    """Rows that fit into so many waves: tiles in all waves, over the tiles of one row of tiles, whole."""
    return tile_rows * np.floor(waves * cores / np.ceil(columns / tile_columns))


def tooth(chip_name, rows, k=4096, n=4096):
    """(before, after) measured seconds of a product at a row count of the grid and at the next."""
    sweep = teeth.sweep(chip_name, k=k, n=n)
    first = int(np.flatnonzero(sweep["m"] == rows)[0])
    return sweep["time_s"][first], sweep["time_s"][first + 1]


def promised(rows, more, columns=4096, side=128, cores=108):
    """How many times longer a product gets by its waves alone."""
    waves = [
        tiling.waves(tiling.tiles(m, columns, tile_rows=side, tile_columns=side), cores=cores) for m in (rows, more)
    ]
    return waves[1] / waves[0]


def balanced_side(flop_per_clock, bytes_per_clock, value_bytes):
    """Side of a square tile whose operands come as fast as a core multiplies them (eq:tile-time)."""
    return value_bytes * flop_per_clock / bytes_per_clock


def cache_bytes_per_clock(device):
    """Bytes that the shared cache was measured to give each core in a tick."""
    return device.level("L2").bytes_per_s / device.clock_hz / device.cores


def inside(flop_per_s, tiles, cores):
    """Rate of the chip while its cores are inside their tiles: the dealt rate over what the waves leave."""
    return flop_per_s * tiling.waves(tiles, cores=cores) * cores / tiles


def asked_bytes_per_clock(side, tile, device=A100):
    """Bytes per tick that each core took from the cache if the measured cube was cut into square tiles of this side."""
    flop = 2 * side**3
    busy = flop / (flop / cubes.measured_flop_per_s(side) - START_S)  # without beginning and end
    rate = inside(busy, (side / tile) ** 2, device.cores)
    return rate / device.cores / device.clock_hz * 2 / tile  # 4 t bytes for 2 t^2 operations


def faster(whole_s, fixed_s):
    """How many times faster a kernel gets when all but a fixed part of it is halved."""
    return whole_s / (fixed_s + (whole_s - fixed_s) / 2)


def on_b200(format, rows=64, k=4096, n=4096):
    """Measured seconds of a small product on a B200; where two libraries are there, the first."""
    table = corpus.table("kernels")
    mine = (table["chip_name"] == B200.name) & (table["dtype"] == format) & (table["m"] == rows)
    mine &= (table["k"] == k) & (table["n"] == n) & (table["kernel"] == "matmul")
    return table["time_s"][mine][0]


def saw(rows, columns, side, cores):
    """Share of the cores' time that goes into the result, for an array of row counts and square tiles."""
    rows = np.asarray(rows)
    return tiling.filled(rows, columns, tile_rows=side, tile_columns=side, cores=cores)


def widest(waves=WAVES, rows=WIDEST_ROWS, device=A100):
    """Most columns, in whole tiles, that a product of so many rows computes in the budget of waves."""
    return TILED["tile_columns"] * np.floor(waves * device.cores / np.ceil(rows / TILED["tile_rows"]))


def made_up(chip_name="H100 SXM5", rows=512, k=4096, n=4096):
    """First row count after a tooth at which a row costs no more than before it."""
    sweep = teeth.sweep(chip_name, k=k, n=n)
    per_row = sweep["time_s"] / sweep["m"]
    return sweep["m"][(sweep["m"] > rows) & (per_row <= per_row[sweep["m"] == rows])][0]


def of_the_doublings(before, after):
    """Percent of the doublings of a 16-bit peak that came from operations per tick and core."""
    per_tick = [float(each.facts["flop_per_clock_per_core_16bit"]) for each in (before, after)]
    peaks = [each.peak_flop_per_s("fp16") for each in (before, after)]
    return 100 * np.log(per_tick[1] / per_tick[0]) / np.log(peaks[1] / peaks[0])


Exercise(
    id="05.x1",
    unit="%",
    expected=lambda: 100 * tiling.filled(1024, 1024, tile_rows=128, tile_columns=128, cores=H100.cores),
    hint="How many tiles are there, and how many cores? On one wave, the share is the one over the other.",
    slips=lambda: {
        100 * tiling.filled(1024, 1024, tile_rows=128, tile_columns=128, cores=A100.cores): "that is the A100",
        100 * (1 - tiling.filled(1024, 1024, tile_rows=128, tile_columns=128, cores=H100.cores)): "that is idle",
    },
    minutes=2,
)
Exercise(
    id="05.x2",
    unit="rows",
    expected=made_up,
    hint="A horizontal line from the point just before the drop: where do the points to the right of it cross the line again?",
    rtol=0.06,  # read off a figure
    slips={
        520.0: "there the loss begins",
        1024.0: "there the second wave is full, and the fraction is well above what it was",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="05.x3",
    unit="%",
    expected=lambda: of_the_doublings(V100, A100),
    hint="Doublings are logarithms to the base of two. How many are in the whole step, and how many in this factor?",
    slips=lambda: {
        100
        * 2
        / (A100.peak_flop_per_s("fp16") / V100.peak_flop_per_s("fp16")): "that divides factors, and factors multiply"
    },
    minutes=3,
)
Exercise(
    id="05.1",
    unit="Hz",
    expected=lambda: H100.peak_flop_per_s("bf16") / (132 * 4096),
    hint="Peak over cores and over operations in a tick.",
    slips=lambda: {
        2 * H100.peak_flop_per_s("bf16") / (132 * 4096): "that is the peak that counts products by zeros",
        H100.peak_flop_per_s("bf16")
        / (144 * 4096): "so many cores are on the die, and twelve of them are switched off",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="05.2",
    unit="tiles",
    expected=lambda: tiling.tiles(4000, 5000, **TILED),
    hint="Round up twice, then multiply.",
    rtol=0.001,
    slips={
        4000 * 5000 / (128 * 256): "tiles are whole, in both directions",
        611.0: "that rounds once, after multiplying: each side is rounded on its own",
        31.0 * 19: "that rounds down, and the edge stays without a tile",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="05.3a",
    hint="So many tiles fit into the waves. How many does one row of tiles take? Only whole rows of tiles count.",
    judge_with=like(most_rows, (1, 4096, 128, 128, 132), (2, 4096, 128, 128, 108), (3, 11008, 64, 256, 108)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="05.3b",
    unit="rows",
    expected=lambda: most_rows(2, 4096, 128, 128, A100.cores),
    hint="Two waves of 108 cores are 216 tiles, and a row of tiles takes 32.",
    rtol=0.005,
    slips={
        128 * 216 / 32: "that takes three quarters of a row of tiles: rows of tiles are whole",
        384.0: "that is one wave",
    },
    minutes=3,
)
Exercise(
    id="05.3c",
    unit="%",
    expected=lambda: 100 * (tooth(A100.name, 768)[1] / tooth(A100.name, 768)[0] - 1) / (promised(768, 776) - 1),
    hint="Three waves instead of two: what growth is that? And what growth was measured?",
    slips=lambda: {
        100 * (tooth(A100.name, 768)[1] / tooth(A100.name, 768)[0] - 1): "that is the growth itself",
        100 * tooth(A100.name, 768)[1] / tooth(A100.name, 768)[0] / promised(768, 776): "divide growths, not times",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="05.4a",
    hint="One step along the depth: how many operations, how many bytes, and how many ticks does each of them take?",
    judge_with=like(balanced_side, (2048, 64, 2), (4096, 45, 1), (1024, 32, 4)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="05.4b",
    unit="",
    expected=lambda: balanced_side(4096, cache_bytes_per_clock(H100), 2),
    hint="Put the H100's operations and bytes per tick and core into the formula of part a. Numbers have two bytes.",
    slips=lambda: {
        balanced_side(4096, cache_bytes_per_clock(H100), 1): "that leaves out that a number has two bytes",
        balanced_side(2048, cache_bytes_per_clock(A100), 2): "that is the A100",
    },
    minutes=3,
)
Exercise(
    id="05.4c",
    unit="B",
    expected=lambda: asked_bytes_per_clock(1024, 64),
    hint="Undo the waves to get the rate inside the tiles. Divide by cores and clock. How many bytes does such a tile need for an operation?",
    slips=lambda: {
        cubes.measured_flop_per_s(1024)
        / A100.cores
        / A100.clock_hz
        * 2
        / 64: "that spreads the work over cores that are idle in the last wave",
        asked_bytes_per_clock(1024, 128): "that is what tiles of 128 would ask for",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="05.5a",
    hint="The cores are there for all waves, and at work for the tiles alone. The rate inside is higher by their quotient.",
    judge_with=like(inside, (221.8e12, 256, 108), (100e12, 512, 108), (1e15, 132, 132), (3e14, 133, 132)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="05.5b",
    unit="%",
    expected=lambda: 100 * cubes.inside_tiles(fixed_s=START_S)["of_peak"],
    hint="How many tiles of 128 by 128 has a cube of 2,048, and in how many waves do 108 cores take them?",
    slips=lambda: {
        100 * cubes.inside_tiles()["measured"] / A100.peak_flop_per_s("fp16"): "that is the rate with the idle cores",
        100 * cubes.inside_tiles()["of_peak"]: "that leaves beginning and end in the time",
        100
        * cubes.inside_tiles()["measured"]
        * cubes.inside_tiles()["filled"]
        / A100.peak_flop_per_s(
            "fp16"
        ): "that multiplies by what the waves leave: inside the tiles it is faster, not slower",
    },
    minutes=4,
)
Exercise(
    id="05.5c",
    unit="%",
    expected=lambda: 100 * cubes.inside_tiles(tile=(128, 64), fixed_s=START_S)["of_peak"],
    hint="Twice as many tiles. How many waves are that, and how many cores are idle in the last?",
    slips=lambda: {
        100 * cubes.inside_tiles(fixed_s=START_S)["of_peak"]: "that is the tile of 128 by 128",
        100 * cubes.inside_tiles()["measured"] / A100.peak_flop_per_s("fp16"): "that is the rate with the idle cores",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="05.6a",
    hint="Only a part of the time is halved. Write the time before and after, and divide.",
    judge_with=like(faster, (20e-6, 4e-6), (10.0, 0.0), (3.0, 3.0), (5e-6, 1e-6)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="05.6b",
    unit="times",
    expected=lambda: faster(**LAUNCHED),
    hint="How much of the time is left to be halved?",
    slips=lambda: {
        2.0: "that halves the beginning and the end as well",
        LAUNCHED["whole_s"]
        / (LAUNCHED["whole_s"] - LAUNCHED["fixed_s"]): "that takes the fixed part away and leaves the rest",
    },
    minutes=3,
)
Exercise(
    id="05.6c",
    unit="s",
    expected=lambda: 2 * on_b200("fp8") - on_b200("bf16"),
    hint="Two equations: the one time is fixed part plus rest, the other is fixed part plus half of the rest.",
    slips=lambda: {
        2 * (on_b200("bf16") - on_b200("fp8")): "that is the part that is halved",
        on_b200("bf16") - on_b200("fp8"): "that is half of the part that is halved",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="05.7",
    hint="Tiles are rounded up along each side, waves once more. The share is the result over the room in all waves.",
    judge_with=like(
        saw,
        (np.arange(8, 2049, 8), 4096, 128, 108),
        (np.arange(1, 400), 1000, 64, 132),
        (np.array([1024, 2048]), 1024, 256, 108),
    ),
    minutes=10,
    stars=2,
    kind="program",
)
Exercise(
    id="05.8",
    unit="times",
    expected=lambda: A100.peak_flop_per_s("fp16") / A100.peak_flop_per_s("fp32") / 2,
    hint="For few rows the intensity is two operations for each weight, over the bytes of a weight. The crossing is where it meets the ridge.",
    slips=lambda: {
        A100.peak_flop_per_s("fp16")
        / A100.peak_flop_per_s("fp32"): "that is the ridge alone, as if the intensity were unchanged",
        2.0: "that is the intensity alone; the ridge moves as well",
    },
    minutes=6,
    stars=2,
    kind="find the error",
)
Exercise(
    id="05.9",
    unit="",
    expected=widest,
    hint="Six waves have room for so many tiles. One column of tiles takes 16. Columns of tiles are whole.",
    rtol=0.005,
    slips=lambda: {
        WAVES * A100.cores / 16 * 256: "that takes half of a column of tiles",
        float(WIDTH_7B): "that needs a seventh wave",
        widest(device=H100): "that is the H100",
    },
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="05.10",
    hint="teeth.sweep gives the times before and after. What would change at a row count in the tiles, in the library, or in the clock?",
    minutes=20,
    stars=3,
    kind="open",
)
