"""Who owns the time of a product, and how well that is known: shares over all fits that are as good as the best."""

from dataclasses import replace
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.chips import chip
from bottlenecks.laws import shares
from bottlenecks.models import kernels

OWNERS = tuple(name for name in kernels.RESOURCES if name != "network")
MOVED = {  # a constant of a fit: the field of a device that goes with it
    "matmul_16": "matmul_flop_per_s",
    "stream": "memory_bytes_per_s",
    "fixed_s": "fixed_s",
    "cache": "cache_bytes_per_s",
    "tile_s": "tile_s",
}


@cache
def equal_fits(chip_name):
    """Fits of a chip whose error is within 0.3 points of the best: column -> array; the book's own fit is the first.

    Of a chip without a grid, those of the nearest relative that has one, or of all.
    """
    rows = data.rows("equal_constants")
    families = {chip(row["chip"]).family: row["chip"] for row in rows}
    kin = next((families[f] for f in kernels.lineage(chip(chip_name).family) if f in families), None)
    mine = [row for row in rows if kin in (None, row["chip"])]
    return {name: np.array([float(row[name]) for row in mine]) for name in mine[0] if name != "chip"} | {
        "chip": np.array([row["chip"] for row in mine])
    }


def _own(fits):
    """The book's fit of each row's chip: constant -> array."""
    _, first, which = np.unique(fits["chip"], return_index=True, return_inverse=True)
    return {name: fits[name][first][which] for name in MOVED}


@cache
def devices(chip_name, format="bf16"):
    """The chip under each of the fits that are as good, in one record: its fields have the fits along their first axis.

    A chip without a grid keeps its own constants, moved by the same factors as its relative's; no rate above the datasheet's.
    """
    device, fits = chip(chip_name), equal_fits(chip_name)
    on, own = kernels.device(device, format), _own(fits)
    moved = {field: getattr(on, field) * fits[name] / own[name] for name, field in MOVED.items()}
    moved["matmul_flop_per_s"] = np.minimum(moved["matmul_flop_per_s"], device.peak_flop_per_s(format))
    moved["memory_bytes_per_s"] = np.minimum(moved["memory_bytes_per_s"], device.memory_bytes_per_s)
    return replace(on, **{field: values[:, None] for field, values in moved.items()})


def shares_over_fits(chip_name, *, k, n, rows, format="bf16"):
    """Owner -> shares (eq:shares) of the product's time, [fit, row count]."""
    rows = np.atleast_1d(np.asarray(rows, dtype=float))
    return shares.shares(
        lambda on: kernels.matmul_s(rows, k, n, device=on),
        devices(chip_name, format),
        {o: kernels.RESOURCES[o] for o in OWNERS},
    )


def shares_range(chip_name, *, k, n, rows, format="bf16"):
    """Owner -> (by the book's fit, lowest, highest) share of the time of one product, over all fits as good as the best."""
    found = shares_over_fits(chip_name, k=k, n=n, rows=rows, format=format)
    return {owner: tuple(float(f) for f in (v[0, 0], v[:, 0].min(), v[:, 0].max())) for owner, v in found.items()}


def fits_table(chip_name, *, k, n, rows):
    """Rows of a table: the book's fit, and those with the least and the most of the time owned by compute."""
    fits, found = equal_fits(chip_name), shares_over_fits(chip_name, k=k, n=n, rows=rows)
    seconds = kernels.matmul_s(float(rows), k, n, device=devices(chip_name))[:, 0]
    chosen = {
        "the book's": 0,
        "least compute": int(found["compute"][:, 0].argmin()),
        "most compute": int(found["compute"][:, 0].argmax()),
    }
    return [
        {
            "fit": name,
            "rate sustained": f"{fits['matmul_16'][i]:.0%}",
            "cache, B per clock and core": f"{fits['cache'][i]:.1f}" if np.isfinite(fits["cache"][i]) else "no limit",
            "tile start": f"{fits['tile_s'][i] * 1e6:.2f} µs",
            "error on its grid": f"{fits['error'][i]:.1%}",
            "on rows unseen": f"{fits['held_out_error'][i]:.1%}",
            "on attention": f"{fits['attention_error'][i]:.1%}",
            "compute": f"{found['compute'][i, 0]:.0%}",
            "cache": f"{found['cache'][i, 0]:.0%}",
            "time": f"{seconds[i] * 1e6:.1f} µs",
        }
        for name, i in chosen.items()
    ]
