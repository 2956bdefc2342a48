"""Exercises of chapter 05, Why is the peak never reached?"""

from bottlenecks.facts.chips import chip
from bottlenecks.laws import tiling
from bottlenecks.lessons.checks import Exercise

LAUNCHED = {"fixed_s": 4e-6, "whole_s": 20e-6}  # of the kernel of 05.5


def balanced_side(flop_per_clock, bytes_per_clock, value_bytes=2):
    """Side of a square tile whose operands come as fast as a core multiplies them (eq:tile-time)."""
    return value_bytes * flop_per_clock / bytes_per_clock


Exercise(
    id="05.1",
    unit="Hz",
    hint="Peak over cores and over operations in a tick.",
    expected=lambda: chip("H100 SXM5").peak_flop_per_s("bf16") / (132 * 4096),
)
Exercise(
    id="05.2",
    unit="tiles",
    hint="Round up twice, then multiply.",
    rtol=0.001,
    expected=lambda: tiling.tiles(4000, 5000, tile_rows=128, tile_columns=256),
)
Exercise(
    id="05.3",
    unit="%",
    hint="Values that are wanted, over the room in all waves.",
    rtol=0.005,
    expected=lambda: 100 * tiling.filled(4000, 5000, tile_rows=128, tile_columns=256, cores=108),
)
Exercise(
    id="05.4",
    unit="",
    hint="How many operations and how many bytes is one step along the depth?",
    expected=lambda: balanced_side(4096, 45),
)
Exercise(
    id="05.5",
    unit="times",
    hint="Only a part of the time is halved.",
    expected=lambda: LAUNCHED["whole_s"] / (LAUNCHED["fixed_s"] + (LAUNCHED["whole_s"] - LAUNCHED["fixed_s"]) / 2),
)
Exercise(
    id="05.6",
    unit="%",
    hint="Which part of the time goes with the inverse of the rate?",
    expected=lambda: 100 * (1 - LAUNCHED["fixed_s"] / LAUNCHED["whole_s"]),
)
Exercise(id="05.7", unit="s", hint="Fourth powers add.", expected=lambda: float(tiling.overlapped_s(100e-6, 100e-6)))
Exercise(
    id="05.8",
    unit="%",
    hint="How many tiles are there, and room for how many?",
    rtol=0.01,
    expected=lambda: 100 * (1 - tiling.filled(2048, 2048, tile_rows=128, tile_columns=128, cores=108)),
)
Exercise(
    id="05.9",
    unit="%",
    hint="What was the rate, and what is the card's own peak?",
    expected=lambda: 60 * chip("H100 SXM5").peak_flop_per_s("bf16") / chip("H100 PCIe").peak_flop_per_s("bf16"),
)
Exercise(id="05.10", unit="", hint="Sort the rows by the ratio of predicted over measured.", expected=None)
