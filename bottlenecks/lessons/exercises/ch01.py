"""Exercises of chapter 01, How fast could it go?"""

import numpy as np

from bottlenecks.exhibits.ch01 import K, N
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.laws import roofline, traffic
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops

ADDITION = {"flop": 1, "moved_bytes": 3 * 2}  # of one number of 16 bits: two read, one written
BUDGET = {"units": 100, "per_tb_per_s": 15, "per_100_tflop_per_s": 5}  # of 01.9
H100, A100, H200, B200, MI300X = map(chip, ("H100 SXM5", "A100 SXM 80GB", "H200 SXM", "B200 SXM (HGX)", "MI300X"))


def ridge(device, format="fp16"):
    """FLOP per byte at which a chip's two times are equal, in 16 bits unless another format is given."""
    return ops.ridge_flop_per_byte(device, format=format)


def rows_at(intensity, k=K, n=N):
    """Rows at which a 16-bit product reaches an intensity: eq:matmul-bytes solved for m."""
    return k * n / (k * n / intensity - k - n)


def times_s(rows, device):
    """(arithmetic, memory) seconds of the chapter's product on a chip."""
    return ops.times_s(ops.matmul("gate+up", rows, K, N, format="fp16"), device, format="fp16")


def measured_s(device, rows):
    """Seconds of the chapter's product as measured."""
    sweep = first_estimate.matmul_sweep(device.name, k=K, n=N)
    return sweep["time_s"][sweep["m"] == rows][0]


def gain(arithmetic_s, memory_s, times):
    """How many times faster a product gets when its arithmetic alone gets `times` times faster."""
    return np.maximum(arithmetic_s, memory_s) / np.maximum(arithmetic_s / times, memory_s)


def addition_flop_per_s(value_bytes, bytes_per_s):
    """Rate of an addition of two long vectors that waits for memory."""
    return bytes_per_s / (3 * value_bytes)


def addition_bytes_per_s(chip_name, rows, width):
    """Rate at which a measured addition of two 16-bit matrices moves its three operands."""
    table = corpus.table("kernels")
    mine = (table["kernel"] == "elementwise residual add") & (table["chip_name"] == chip_name)
    mine &= (table["m"] == rows) & (table["n"] == width)
    return 3 * 2 * rows * width / table["time_s"][mine][0]


def depth_to_hide(device, level):
    """Depth from which two chips that cut it hide their sum (eq:inner-size), by one of a chip's links."""
    rates = {"flop_per_s": device.peak_flop_per_s("fp16"), "bytes_per_s": device.level(level).bytes_per_s}
    return traffic.inner_size_to_hide(chips=2, value_bytes=2, **rates)


def hiding_depth(peak_flop_per_s, link_bytes_per_s, value_bytes, chips=2):
    """Depth from which chips that cut the columns compute as long as they send their results to the others."""
    return value_bytes * peak_flop_per_s * (chips - 1) / (2 * link_bytes_per_s)


def pair_bytes_per_s(chip_name):
    """Rate in each direction between two chips of a machine, from the largest measured exchange."""
    table = corpus.table("collectives")
    mine = (table["collective"] == "all_reduce") & (table["chip_name"] == chip_name) & (table["n_gpus"] == 2)
    return table["busbw_bytes_per_s"][mine][table["message_bytes"][mine].argmax()]


def crossing(rows, k, n, peak, bandwidth):
    """The first of `rows` at which the arithmetic of a 16-bit product takes longer than its traffic."""
    rows = np.asarray(rows)
    arithmetic_s = roofline.matmul_flop(rows, k, n) / peak
    memory_s = roofline.matmul_bytes(rows, k, n, value_bytes=2) / bandwidth
    return rows[arithmetic_s > memory_s][0]


def parts_of_budget():
    """Units times seconds that the memory and the arithmetic of 64 rows cost in 01.9."""
    moved = roofline.matmul_bytes(64, K, N, value_bytes=2) / 1e12 * BUDGET["per_tb_per_s"]
    flop = roofline.matmul_flop(64, K, N) / 100e12 * BUDGET["per_100_tflop_per_s"]
    return moved, flop


Exercise(
    id="01.x1",
    unit="rows",
    expected=lambda: rows_at(ridge(H100)),
    hint="Lines cross where the two times are equal. Try the rows one slider stop below and one above.",
    rtol=0.06,  # read off a figure
    slips=lambda: {ridge(A100): "that is the A100's crossing", 64.0: "at 64 rows the memory's line is still far above"},
    minutes=2,
    kind="numbers",
)
Exercise(
    id="01.x2",
    unit="times",
    expected=lambda: 2.0,
    hint="On the slope the rate is the intensity times the bandwidth. What does a weight of one byte do to the intensity?",
    slips={1.0: "that holds when the arithmetic gets faster and the weights stay as wide as they were"},
    minutes=2,
)
Exercise(
    id="01.x3",
    unit="%",
    expected=lambda: 100 * ridge(H200) / ridge(H100),
    hint="The ridge is the peak over the bandwidth, and only one of the two has changed.",
    slips=lambda: {100 * ridge(H100) / ridge(H200): "that is the H100's ridge in percent of the H200's"},
    minutes=2,
)
Exercise(
    id="01.x4",
    unit="",
    expected=lambda: depth_to_hide(H100, "NIC"),
    hint="Choose the port of 400 Gbit/s, and find where the link's line meets the arithmetic of two chips.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        2 * H100.peak_flop_per_s("fp16") / H100.link_bytes_per_s: "that is NVLink",
        depth_to_hide(H100, "NIC") / 8: "the port is printed in bits",
        depth_to_hide(H100, "NIC")
        / 2: "that is where two chips begin to be faster than one; the sending is hidden later",
    },
    minutes=3,
)
Exercise(
    id="01.1",
    unit="FLOP/B",
    expected=lambda: roofline.intensity_flop_per_byte(**ADDITION),
    hint="Intensity is operations over bytes. Count what one element needs: how many reads, writes and additions?",
    slips={
        1 / 4: "the result has to be written as well",
        1 / 3: "that counts numbers; each has two bytes",
        1 / 2: "that is two bytes, and three numbers move",
        6.0: "that is bytes for each operation",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="01.2",
    unit="FLOP/B",
    expected=lambda: ridge(A100, "bf16"),
    hint="The ridge is the peak rate over the memory's bandwidth: two numbers of chip('A100 SXM 80GB').",
    slips=lambda: {
        2 * ridge(A100): "the larger printed peak counts products by zeros that are not made",
        ridge(chip("A100 SXM 40GB")): "that is the board with 40 GB, whose memory is slower",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="01.3a",
    hint="Intensity is operations over bytes. Set it equal to the ridge, divide by 2 m k n, and solve for m.",
    judge_with=like(
        lambda ridge, k, n: rows_at(ridge, k, n), (295.0, 8192, 57344), (153.0, 4096, 4096), (10.0, 100, 50)
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="01.3b",
    unit="rows",
    expected=lambda: rows_at(ridge(B200, "bf16")),
    hint="Put the B200's ridge into the formula of part a. Inputs and results make the answer a little larger than the ridge.",
    slips=lambda: {
        ridge(B200, "bf16"): "that is the ridge, which leaves out the bytes of inputs and results",
        rows_at(2 * ridge(B200, "bf16")): "that is the rate that counts products by zeros",
    },
    minutes=3,
)
Exercise(
    id="01.3c",
    unit="times",
    expected=lambda: measured_s(H100, 256) / max(times_s(256, H100)),
    hint="The bound is the larger of two times. Compute both for 256 rows.",
    slips=lambda: {
        measured_s(H100, 256) / min(times_s(256, H100)): "that is the measured time over the smaller of the two times",
        measured_s(H100, 256)
        / sum(times_s(256, H100)): "that is the measured time over the sum: the bound overlaps them",
        max(times_s(256, H100)) / measured_s(H100, 256): "that is the bound over the measured time",
    },
    minutes=4,
    stars=2,
    kind="compare",
)
Exercise(
    id="01.4a",
    hint="A step takes the larger of two times. Write it before and after, and divide.",
    judge_with=like(gain, (380e-6, 296e-6, 2.0), (1.0, 3.0, 2.0), (8.0, 1.0, 4.0), (2.0, 2.0, 0.5)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="01.4b",
    unit="times",
    expected=lambda: gain(*times_s(400, H100), 2),
    hint="Compute both times for 400 rows. After the change, which is the larger?",
    slips={
        2.0: "that would need the arithmetic to be the limit before and after",
        1.0: "before the change, arithmetic is the larger",
    },
    minutes=4,
)
Exercise(
    id="01.4c",
    unit="times",
    expected=lambda: measured_s(A100, 4096) / measured_s(H100, 4096),
    hint="Two measured times, one over the other.",
    slips=lambda: {
        H100.peak_flop_per_s("fp16") / A100.peak_flop_per_s("fp16"): "that is what the two datasheets promise",
        H100.memory_bytes_per_s
        / A100.memory_bytes_per_s: "that is the quotient of the bandwidths, which decides at a few rows",
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="01.5a",
    hint="On the slope of the roof the rate is the intensity times the bandwidth.",
    judge_with=like(addition_flop_per_s, (2, 4.8e12), (4, 3.35e12), (1, 1e12)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="01.5b",
    unit="FLOP/s",
    expected=lambda: addition_flop_per_s(2, H200.memory_bytes_per_s),
    hint="Far to the left of any ridge only one of the two rates matters.",
    slips=lambda: {
        H200.peak_flop_per_s("bf16"): "that is the peak, which an addition never sees",
        H200.memory_bytes_per_s / 4: "the result has to be written as well",
    },
    minutes=3,
)
Exercise(
    id="01.5c",
    unit="times",
    expected=lambda: addition_bytes_per_s("H100 SXM5", 512, 8192) / H100.memory_bytes_per_s,
    hint="A rate is bytes over seconds. Three matrices of 512 by 8,192 numbers move, of two bytes each.",
    slips=lambda: {
        addition_bytes_per_s("H100 SXM5", 512, 8192)
        / H100.memory_bytes_per_s
        * 2
        / 3: "the result has to be written as well",
        H100.memory_bytes_per_s
        / addition_bytes_per_s("H100 SXM5", 512, 8192): "that is the promised rate over the measured one",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="01.6a",
    hint="Each chip makes its columns of the result and sends them to each of the others. Set the two times equal; rows cancel.",
    judge_with=like(hiding_depth, (989.4e12, 450e9, 2, 2), (1e15, 1e11, 1, 8), (312e12, 300e9, 4, 4)),
    minutes=8,
    stars=3,
    kind="derive",
)
Exercise(
    id="01.6b",
    unit="",
    expected=lambda: hiding_depth(MI300X.peak_flop_per_s("bf16"), MI300X.link_bytes_per_s, 2, 8),
    hint="Put the dense peak in bf16 and the rate of the links in one direction into the formula of part a.",
    slips=lambda: {
        hiding_depth(
            MI300X.peak_flop_per_s("bf16"), 2 * MI300X.link_bytes_per_s, 2, 8
        ): "that counts both directions of the links",
        hiding_depth(MI300X.peak_flop_per_s("bf16"), MI300X.link_bytes_per_s, 2): "that is for two chips",
        hiding_depth(MI300X.peak_flop_per_s("bf16"), MI300X.link_bytes_per_s, 2, 9): "a chip sends nothing to itself",
    },
    minutes=3,
)
Exercise(
    id="01.6c",
    unit="",
    expected=lambda: hiding_depth(MI300X.peak_flop_per_s("bf16"), pair_bytes_per_s("MI300X"), 2),
    hint="The same formula for two chips, with the rate that they reached.",
    slips=lambda: {
        hiding_depth(
            MI300X.peak_flop_per_s("bf16"), MI300X.link_bytes_per_s / 7, 2
        ): "that is what one of seven links promises",
        hiding_depth(
            MI300X.peak_flop_per_s("bf16"), 2 * pair_bytes_per_s("MI300X"), 2
        ): "the measured rate is of one direction already",
        hiding_depth(MI300X.peak_flop_per_s("bf16"), pair_bytes_per_s("MI300X"), 2, 8): "only two chips take part",
    },
    minutes=4,
    kind="compare",
)
Exercise(
    id="01.7",
    hint="Compute two arrays of times, one for each resource, compare them, and take the first place where arithmetic is larger.",
    judge_with=like(
        crossing,
        (np.arange(1, 4097), 8192, 57344, 989.4e12, 3.35e12),
        (2 ** np.arange(13), 8192, 57344, 312e12, 2.039e12),
        (np.arange(10, 2000, 10), 4096, 4096, 2.25e15, 8e12),
    ),
    minutes=10,
    stars=2,
    kind="program",
)
Exercise(
    id="01.8",
    unit="FLOP/B",
    expected=lambda: ridge(B200, "bf16"),
    hint="A bandwidth is stacks times wires times bits per second on a wire. Eight bits are a byte.",
    slips={2.25e15 / 9e12: "that is the ridge with the paragraph's bandwidth. How fast would each wire have to be?"},
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="01.9",
    unit="s",
    expected=lambda: sum(parts_of_budget()) / BUDGET["units"],
    hint="Under a maximum, what is spent on the faster of two resources is wasted. At the best design both times are equal.",
    slips=lambda: {
        parts_of_budget()[0] / BUDGET["units"]: "that spends everything on memory, and the chip has no arithmetic",
        2
        * parts_of_budget()[0]
        / BUDGET["units"]: "that spends half on each: the arithmetic then waits for the memory",
    },
    minutes=12,
    stars=3,
    kind="design",
)
Exercise(
    id="01.10",
    hint="Measure both. What do the cores of your machine have in common, and what has each for itself?",
    minutes=20,
    stars=2,
    kind="open",
)
