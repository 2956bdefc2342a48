"""Exercises of chapter 01, How fast could it go?"""

from bottlenecks.exhibits.ch01 import K, N
from bottlenecks.exhibits.ch02 import hiding_tile
from bottlenecks.exhibits.ch02_reality import energy_per_byte, energy_per_flop
from bottlenecks.facts.chips import chip
from bottlenecks.laws import roofline
from bottlenecks.lessons.checks import Exercise
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops

VECTOR_ADD = {"flop": 1, "moved_bytes": 3 * 2}  # one addition; two bf16 values read, one written


def rows_at(intensity):
    """Rows at which the chapter's 16-bit product reaches an intensity: eq:matmul-bytes solved for m."""
    return K * N / (K * N / intensity - K - N)


def product_s(rows, device):
    """Seconds of the chapter's product on a chip."""
    return ops.time_s(ops.matmul("gate+up", rows, K, N, format="bf16"), device, format="bf16")


def doubled_peak_gain(rows):
    """How many times faster the product runs on an H100 with twice the arithmetic and the same memory."""
    op, h100 = ops.matmul("gate+up", rows, K, N, format="bf16"), chip("H100 SXM5")
    arithmetic_s, memory_s = ops.times_s(op, h100, format="bf16")
    return max(arithmetic_s, memory_s) / max(arithmetic_s / 2, memory_s)


def _without_overlap(rows):
    """Percent of the roof that the product reaches on an H100 if nothing overlaps."""
    times = ops.times_s(ops.matmul("gate+up", rows, K, N, format="fp16"), chip("H100 SXM5"), format="fp16")
    return 100 * max(times) / sum(times)


def measured_fraction(chip_name, rows):
    """Percent of the dense peak that the measured product reached."""
    sweep = first_estimate.matmul_sweep(chip_name, k=K, n=N)
    rate = roofline.matmul_flop(rows, K, N) / sweep["time_s"][sweep["m"] == rows][0]
    return 100 * rate / chip(chip_name).peak_flop_per_s("bf16")


Exercise(
    id="01.1",
    unit="FLOP/B",
    hint="Eq:ridge, with two numbers of the catalog: chip('A100 SXM 80GB').",
    expected=lambda: ops.ridge_flop_per_byte(chip("A100 SXM 80GB"), format="bf16"),
)
Exercise(
    id="01.2",
    unit="FLOP/B",
    hint="Count what one element needs: how many reads, how many writes, how many additions?",
    expected=lambda: roofline.intensity_flop_per_byte(**VECTOR_ADD),
)
Exercise(
    id="01.3",
    unit="FLOP/s",
    hint="Far left of any ridge only one of the two rates matters.",
    expected=lambda: roofline.attainable_flop_per_s(
        roofline.intensity_flop_per_byte(**VECTOR_ADD),
        peak_flop_per_s=chip("H200 SXM").peak_flop_per_s("bf16"),
        bytes_per_s=chip("H200 SXM").memory_bytes_per_s,
    ),
)
Exercise(
    id="01.4",
    unit="FLOP/B",
    hint="Which of the printed numbers counts zeros that are not multiplied?",
    expected=lambda: ops.ridge_flop_per_byte(chip("H100 SXM5"), format="fp8"),
)
Exercise(
    id="01.5",
    unit="rows",
    hint="Set the product's intensity equal to the ridge and solve for m. The answer is a little above the ridge.",
    expected=lambda: rows_at(ops.ridge_flop_per_byte(chip("B200 SXM (HGX)"), format="bf16")),
)
Exercise(
    id="01.6",
    unit="B",
    hint="Eq:little. The latency is chip('H100 SXM5').level('HBM').latency_s.",
    expected=lambda: (
        roofline.bytes_in_flight(
            bytes_per_s=chip("H200 SXM").memory_bytes_per_s, latency_s=chip("H100 SXM5").level("HBM").latency_s
        )
        / 132
    ),
)
Exercise(
    id="01.7",
    unit="times",
    hint="Compute both times first. After the change, which is the larger?",
    expected=lambda: doubled_peak_gain(400),
)
Exercise(
    id="01.8",
    unit="%",
    hint="Operations over measured seconds is a rate; divide it by the dense 16-bit peak.",
    expected=lambda: measured_fraction("H100 SXM5", 4096),
)
Exercise(
    id="01.9",
    unit="rows",
    hint="First the intensity at which both energies are equal, then the rows that give it, as in 01.5.",
    rtol=0.01,
    expected=lambda: rows_at(
        roofline.energy_balance_flop_per_byte(
            joules_per_flop=energy_per_flop("FP16 with 32-bit sums, 7 nm"), joules_per_byte=energy_per_byte("HBM2")
        )
    ),
)
Exercise(
    id="01.10",
    unit="",
    hint="Eq:tiled-bytes over the L2's bandwidth equals eq:matmul-flop over the peak; m = k = n = 8192.",
    expected=lambda: hiding_tile(chip("H100 PCIe"), chip("H100 PCIe").level("L2")),
)
Exercise(
    id="01.11",
    unit="%",
    hint="The roof takes the larger of the two times, no overlap their sum.",
    expected=lambda: _without_overlap(256),
)
Exercise(
    id="01.12",
    unit="",
    hint="What differs between the boards, and what between their software? What would each change?",
    expected=None,
)
Exercise(
    id="01.13",
    unit="",
    hint="Measure both; Little's law says why one core can not draw the whole bandwidth.",
    expected=None,
)
