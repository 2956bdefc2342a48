"""Exercises of chapter 09, Why is decoding slow?"""

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.laws import serving
from bottlenecks.lessons.checks import Exercise

STEP = {"whole_s": 16e-3, "fixed_s": 6e-3}  # of 09.6
USED_70B = 69.5e9  # weights that multiply, as the exercise gives them


def faster_with_half_the_bytes(whole_s, fixed_s):
    """How many times faster a step gets if only its reading is halved."""
    return whole_s / (fixed_s + (whole_s - fixed_s) / 2)


Exercise(
    id="09.1",
    unit="s",
    hint="Bytes over bandwidth.",
    expected=lambda: serving.latency_floor_s(2 * 7.5e9, chips=1, bytes_per_s=chip("H100 SXM5").memory_bytes_per_s),
)
Exercise(
    id="09.2",
    unit="",
    hint="How many bytes a second are needed, and how many does one chip give? Chips are whole.",
    rtol=0.01,
    expected=lambda: np.ceil(2 * USED_70B / 2e-3 / chip("H200 SXM").memory_bytes_per_s),
)
Exercise(
    id="09.3",
    unit="users",
    hint="Bytes of weights over bytes of one user's cache.",
    expected=lambda: 2 * USED_70B / (4096 * 327680),
)
Exercise(
    id="09.4",
    unit="tokens",
    hint="One for certain, and each further one only if all before it were right.",
    expected=lambda: float(serving.speculative_tokens(0.8, drafted=3)),
)
Exercise(
    id="09.5",
    unit="times",
    hint="Tokens of a round over steps of a round.",
    expected=lambda: float(serving.speculative_tokens(0.8, drafted=3)) / 1.3,
)
Exercise(
    id="09.6",
    unit="times",
    hint="Which part of the step is halved?",
    expected=lambda: faster_with_half_the_bytes(**STEP),
)
Exercise(
    id="09.7",
    unit="%",
    hint="What is a share, and what is a tenth more of it worth?",
    rtol=0.06,
    expected=lambda: 100 * (1 - 1.1**-0.55),
)
Exercise(id="09.8", unit="s", hint="Count the all-reduces.", expected=lambda: 126 * 2 * 12e-6)
Exercise(id="09.9", unit="", hint="decoding.floors(), then decoding.parts_table.", expected=None)
