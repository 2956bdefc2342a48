"""Exercises of chapter 14, How is one step split?"""

from bottlenecks.laws import pipelines, traffic
from bottlenecks.lessons.checks import Exercise

STEP = {"whole_s": 10.0, "fixed_s": 1.0, "times": 4}  # of 14.8


def idle_percent(stages, micro_batches, chunks=1):
    """Part of a whole step that a stage waits (eq:bubble), in percent."""
    schedule = "interleaved" if chunks > 1 else "1f1b"
    wait = float(
        pipelines.bubble_s(1.0, 2.0, 1.0, stages=stages, chunks=chunks, micro_batches=micro_batches, schedule=schedule)
    )
    return 100 * wait / (3 * micro_batches + wait)


def faster_with_fixed_part(whole_s, fixed_s, times):
    """Speed-up when only a part of the time is divided."""
    return whole_s / (fixed_s + (whole_s - fixed_s) / times)


Exercise(
    id="14.1",
    unit="B",
    hint="Which of the three kinds of state does the first stage deal out?",
    rtol=0.01,
    expected=lambda: 70e9 * (2 + 4 + 12 / 64),
)
Exercise(
    id="14.2",
    unit="%",
    hint="The bubble is measured in work; the step is work and bubble.",
    rtol=0.01,
    expected=lambda: idle_percent(8, 32),
)
Exercise(
    id="14.3",
    unit="%",
    hint="Slices divide the bubble, not the work.",
    rtol=0.01,
    expected=lambda: idle_percent(8, 32, chunks=4),
)
Exercise(
    id="14.4",
    unit="tokens",
    hint="Bits to bytes first; then F/B.",
    expected=lambda: traffic.data_parallel_tokens(flop_per_s=4e14, bytes_per_s=100e9 / 8, sent_bytes=6),
)
Exercise(
    id="14.5",
    unit="%",
    hint="How many of the bytes leave a chip, if one of four parts stays?",
    expected=lambda: (
        100
        * traffic.tensor_parallel_ratio(
            4, width=8192, layer_params=12 * 8192**2, value_bytes=2, flop_per_s=6e14, bytes_per_s=4e11
        )
    ),
)
Exercise(
    id="14.6",
    unit="tokens",
    hint="What comes by is a quarter as wide as what asks.",
    expected=lambda: traffic.context_parallel_tokens(
        width=32 * 128, kv_width=8 * 128, value_bytes=2, flop_per_s=6e14, bytes_per_s=25e9
    ),
)
Exercise(
    id="14.7",
    unit="times",
    hint="Neither the width of the model nor the number of experts matters.",
    expected=lambda: traffic.expert_parallel_ratio(
        expert_width=1536, value_bytes=1.5, flop_per_s=6e14, bytes_per_s=450e9
    ),
)
Exercise(
    id="14.8",
    unit="times",
    hint="Which part of the step is divided by four?",
    expected=lambda: faster_with_fixed_part(**STEP),
)
Exercise(id="14.9", unit="", hint="search.search, then search.why_slower.", expected=None)
