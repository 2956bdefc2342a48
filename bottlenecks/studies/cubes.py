"""The headline's cubes: which tiles explain a measured time, and what a tile would have to have reached inside."""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.laws import roofline, tiling
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.models import kernels

CHIP, FORMAT = "A100 SXM 80GB", "fp16"


def measured_flop_per_s(side, chip_name=CHIP):
    """The rate of a cube in the guide that the headline is from."""
    rates = {}
    for source in corpus.showing("kernels", "sustained products"):
        rates |= measured_kernels.cubes(source, chip(chip_name))
    return rates[float(side)]


def choices(side, chip_name=CHIP):
    """Every tile and split that a library could take for a cube, fastest by eq:matmul-time first.

    tile, split, tiles, waves, filled (eq:filled), idle (cores without a tile in the last wave), seconds, flop_per_s.
    """
    device = chip(chip_name)
    on, b = kernels.device(device, FORMAT), 2.0
    memory_s = roofline.matmul_bytes(side, side, side, value_bytes=b) / on.memory_bytes_per_s
    part_s = 8 * side * side / on.memory_bytes_per_s  # a sum of 32 bits, written and read
    found = []
    for rows, columns in kernels.TILES:
        of = {"tile_rows": rows, "tile_columns": columns}
        rates = {
            "core_flop_per_s": on.matmul_flop_per_s / on.cores,
            "core_bytes_per_s": on.cache_bytes_per_s / on.cores,
        }
        whole_s = float(tiling.tile_s(side, **of, value_bytes=b, **rates))
        for split in kernels.SPLITS:
            tiles = float(tiling.tiles(side, side, **of)) * split
            waves = float(tiling.waves(tiles, cores=on.cores))
            busy_s = waves * (whole_s / split + on.tile_s) + (split > 1) * on.tile_s
            seconds = float(on.fixed_s + tiling.overlapped_s(busy_s, memory_s + (part_s * split if split > 1 else 0)))
            found.append(
                {
                    "tile": (rows, columns),
                    "split": split,
                    "tiles": int(tiles),
                    "waves": int(waves),
                    "filled": tiles / (on.cores * waves)
                    if split > 1
                    else float(tiling.filled(side, side, **of, cores=on.cores)),
                    "idle": int(on.cores * waves - tiles),
                    "seconds": seconds,
                    "flop_per_s": float(roofline.matmul_flop(side, side, side)) / seconds,
                }
            )
    return sorted(found, key=lambda choice: choice["seconds"])


def explanations(side=1024, tile=(128, 128), chip_name=CHIP):
    """(what the model takes, `tile` taken whole): two choices of nearly the same time; no source says which kernel ran."""
    every = choices(side, chip_name)
    return every[0], next(choice for choice in every if choice["tile"] == tile and choice["split"] == 1)


def inside_tiles(side=2048, tile=(128, 128), chip_name=CHIP, fixed_s=0.0):
    """What a measured cube asks of the tiles if they were of this size: dealt rate over what the waves leave.

    waves, filled, measured and inside FLOP/s, and inside over the dense peak: a share above what any product of the chip
    reaches says that it was not this tile. `fixed_s` is taken off the time first: a kernel's beginning and end.
    """
    device, (rows, columns) = chip(chip_name), tile
    filled = float(tiling.filled(side, side, tile_rows=rows, tile_columns=columns, cores=device.cores))
    flop, rate = float(roofline.matmul_flop(side, side, side)), measured_flop_per_s(side, chip_name)
    inside = flop / (flop / rate - fixed_s) / filled
    return {
        "waves": int(tiling.waves(tiling.tiles(side, side, tile_rows=rows, tile_columns=columns), cores=device.cores)),
        "filled": filled,
        "measured": rate,
        "inside": inside,
        "of_peak": inside / device.peak_flop_per_s(FORMAT),
    }


def choice_table(side=1024, chip_name=CHIP, most=5):
    """Rows of a table: the fastest choices of tile for a cube, and what was measured."""
    rate = measured_flop_per_s(side, chip_name)
    return [
        {
            "tile": "{} x {}".format(*choice["tile"])
            + (f", depth in {choice['split']}" if choice["split"] > 1 else ""),
            "tiles": choice["tiles"],
            "waves": choice["waves"],
            "filled": f"{choice['filled']:.0%}",
            "idle cores in the last wave": choice["idle"],
            "modelled": f"{choice['flop_per_s'] / 1e12:.0f} TFLOP/s",
            "modelled / measured": f"{choice['flop_per_s'] / rate:.2f}",
        }
        for choice in choices(side, chip_name)[:most]
    ]


def best_of_chip(chip_name=CHIP):
    """The highest fraction of the dense 16-bit peak that any product of the corpus reaches on the chip."""
    rows = corpus.table("kernels")
    mine = (
        (rows["chip_name"] == chip_name)
        & np.isin(rows["dtype"], ("fp16", "bf16"))
        & np.char.startswith(rows["kernel"], "matmul")
    )
    flop = roofline.matmul_flop(rows["m"], rows["k"], rows["n"])
    rate = np.where(np.isfinite(rows["flop_per_s"]), rows["flop_per_s"], flop / rows["time_s"])[mine]
    return float(np.nanmax(rate)) / chip(chip_name).peak_flop_per_s(FORMAT)
