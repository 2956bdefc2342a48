"""Fits that are as good as the best: what the grids leave open between a rate, a cache and the starts of tiles.

A product's time has three constants that trade off: a faster cache with a slower rate gives nearly the same seconds. So a
constant's own range, with the others held, says too little. Here cache and starts are set to many pairs of values, the rest is
fitted to each pair, and every set whose error on the chip's grid is within `TOLERANCE` of the best is kept. Two errors stand
beside it that had no say: on the row counts that no fit has seen, and on attention, which goes at the same rate and asks
little of the cache. `tools/constants.py` writes them into data/equal_constants.csv.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.measured import teeth
from bottlenecks.measured.cases import Cases
from bottlenecks.measured.fits.kernels import GRID
from bottlenecks.models import kernels

TOLERANCE = 0.003  # of a mean absolute error
CACHE = ("measured", 45.0, 57.0, 72.0, 100.0, 150.0, np.inf)  # B per clock and core; the first as the catalog has it
TILE_S = (0.0, 0.5e-6, 0.95e-6, 1.4e-6)  # a core's time between two tiles
FREE = ("matmul_16", "stream", "fixed_s")  # what is fitted to each pair
MOST = {"matmul_16": 1.0, "stream": 1.0}
WIDTHS, POINTS = (0.2, 0.08, 0.03, 0.012), 9


class Grid:
    """The products of a chip's grid in the corpus, those alike once, and their errors under some constants."""

    def __init__(self, name):
        rows = corpus.table("kernels")
        mine = np.isin(rows["source_id"], corpus.showing("kernels", GRID)) & (rows["chip_name"] == name)
        mine &= np.char.startswith(np.char.lower(rows["kernel"]), "matmul")
        sizes = np.stack([rows[c][mine] for c in "mkn"])
        self.sizes, self.which = np.unique(sizes, axis=1, return_inverse=True)
        self.seconds, self.chip = rows["time_s"][mine], chip(name)
        self.on = kernels.device(self.chip, teeth.FORMAT)
        fair = (rows["role"] == "fit") & (rows["suspect"] == "") & (rows["chip_name"] == name)
        fair &= np.char.startswith(rows["kernel"], "attention")
        self.attention = measured_kernels.cases(corpus.where(rows, fair))

    def device(self, values):
        """The chip under constants by name."""
        return replace(
            self.on,
            matmul_flop_per_s=values["matmul_16"] * self.chip.peak_flop_per_s(teeth.FORMAT),
            memory_bytes_per_s=values["stream"] * self.chip.memory_bytes_per_s,
            fixed_s=values["fixed_s"],
            tile_s=values["tile_s"],
            cache_bytes_per_s=values["cache"] * self.on.core_clocks_per_s,
        )

    def ratio(self, values):
        """Predicted over measured seconds of every row."""
        return kernels.matmul_s(*self.sizes, device=self.device(values))[self.which] / self.seconds

    def error(self, values):
        """Mean absolute error."""
        return float(np.abs(self.ratio(values) - 1).mean())

    def held_out_error(self, values):
        """Mean absolute error on the row counts that no fit has seen."""
        grid = teeth.dense(self.chip.name)
        sizes = grid.rows[~grid.fitted], grid.k, grid.n
        return float(
            np.abs(kernels.matmul_s(*sizes, device=self.device(values)) / grid.seconds[~grid.fitted] - 1).mean()
        )

    def attention_error(self, values):
        """Mean absolute error on attention of the sources to fit; nothing but the rate and the starts differ there."""
        errors = [np.array([])]
        for case in self.attention.found:
            mine = Cases(corpus.where(self.attention.columns, case.rows), [], [])
            measured, predicted, unit = measured_kernels.headline(mine, case.time(self.device(values)))
            errors.append(np.abs((predicted / measured) ** np.where(unit == "us", 1, -1) - 1))
        return float(np.concatenate(errors).mean())

    def fitted(self, values):
        """`values` with those of `FREE` moved to the least mean |log error|, one after the other, in narrowing rounds."""

        def error(tried):
            return np.abs(np.log(self.ratio(tried))).mean()

        for width in WIDTHS:
            for name in (*FREE, FREE[0]):
                factors = np.exp(np.linspace(-width, width, POINTS))
                tried = [values | {name: min(values[name] * f, MOST.get(name, np.inf))} for f in factors]
                values = min(tried, key=error)
        return values


def measured_cache(on):
    """Bytes per clock and core of the last shared cache as the catalog's measurement has it."""
    level = next(level for level in on.levels if level.name == "L2")
    return level.bytes_per_s / (on.cores * on.clock_hz)


def rows():
    """The rows of data/equal_constants.csv, as dictionaries; the first of each chip is the book's own fit."""
    return [line for name in teeth.CHIPS for line in _of(Grid(name))]


def _of(grid):
    known = kernels.family_constants(grid.chip.family)
    own = {name: known[name] for name in (*FREE, "tile_s")} | {"cache": known["effective_cache_bytes_per_clock"]}
    sets = [own]
    for cache in CACHE:
        for tile_s in TILE_S:
            at = measured_cache(grid.chip) if cache == "measured" else cache
            sets.append(grid.fitted(own | {"cache": at, "tile_s": tile_s}))
    errors = np.array([grid.error(values) for values in sets])
    kept = [sets[i] for i in np.flatnonzero(errors <= errors.min() + TOLERANCE)]
    judges = {name: getattr(grid, name) for name in ("error", "held_out_error", "attention_error")}
    return [
        {"chip": grid.chip.name}
        | {name: f"{values[name]:.4g}" for name in (*FREE, "cache", "tile_s")}
        | {name: f"{judge(values):.4f}" for name, judge in judges.items()}
        for values in kept
    ]
