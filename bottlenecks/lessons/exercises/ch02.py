"""Exercises of chapter 02, What does the roofline hide?"""

import numpy as np

from bottlenecks.exhibits.ch02 import SIDE, hiding_tile
from bottlenecks.exhibits.ch02_reality import energy_per_byte, energy_per_flop
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.laws import roofline
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.lessons.exercises.ch01 import A100, H100, H200, K, N, measured_s, ridge, rows_at, times_s
from bottlenecks.measured import first_estimate

H100_PCIE = chip("H100 PCIe")
CORES = 132  # of an H100 and an H200
POWER = {"board": 700, "idle": 250, "intensity": 64}  # watts and FLOP/B of 02.9
SHORT_S, LONG_S, TOOK_S = 30e-6, 60e-6, 75e-6  # of 02.2


def tile(size, peak_flop_per_s, bytes_per_s):
    """Side of the tile at which a level feeds 16-bit matrices of `size` as fast as the arithmetic eats (eq:tiled-bytes)."""
    return 2 / (bytes_per_s / peak_flop_per_s - 1 / size)


def loads_per_core(bytes_per_s, latency_s, load_bytes, cores):
    """Loads that each core must have on their way (eq:little)."""
    return roofline.bytes_in_flight(bytes_per_s=bytes_per_s, latency_s=latency_s) / load_bytes / cores


def cube_flop_per_s(chip_name, side):
    """The best measured rate of a 16-bit product of two square matrices."""
    table = corpus.table("kernels")
    mine = (table["kernel"] == "matmul") & (table["chip_name"] == chip_name) & (table["dtype"] == "fp16")
    for edge in "mnk":
        mine &= table[edge] == side
    return table["flop_per_s"][mine].max()


def share_of_roof(arithmetic_s, memory_s):
    """Share of the roof that a kernel reaches which reaches both of its rates and overlaps nothing."""
    return np.maximum(arithmetic_s, memory_s) / (arithmetic_s + memory_s)


def hidden(arithmetic_s, memory_s, took_s):
    """Share of the shorter time that passed behind the longer one."""
    return (arithmetic_s + memory_s - took_s) / min(arithmetic_s, memory_s)


def balanced_rows(joules_per_flop, joules_per_byte, k, n):
    """Rows at which a 16-bit product spends as much energy on its bytes as on its operations."""
    energies = {"joules_per_flop": joules_per_flop, "joules_per_byte": joules_per_byte}
    return rows_at(roofline.energy_balance_flop_per_byte(**energies), k, n)


def prices():
    """(J per FLOP, J per byte) of the chapter: FP16 with 32-bit sums at 7 nm, HBM2."""
    return energy_per_flop("FP16 with 32-bit sums, 7 nm"), energy_per_byte("HBM2")


def board_joules_per_flop():
    """What an operation of the measured product of 4,096 rows costs if the H100's board draws what it may."""
    return H100.tdp_watts * measured_s(H100, 4096) / roofline.matmul_flop(4096, K, N)


def powered_flop_per_s(intensity=POWER["intensity"]):
    """Rate that the watts of 02.9 pay for."""
    per_flop, per_byte = prices()
    return (POWER["board"] - POWER["idle"]) / (per_flop + per_byte / intensity)


def pipe(loads, in_flight, latency, gap):
    """Time until the last of `loads` arrives: one starts when the pipe and one of `in_flight` places are free."""
    arrived = []
    for i in range(loads):
        pipe_free = arrived[-1] - latency + gap if i else 0
        place_free = arrived[i - in_flight] if i >= in_flight else 0
        arrived.append(max(pipe_free, place_free) + latency)
    return arrived[-1]


def first_sweep():
    """(loads, bytes per second) of the A100's row with the fewest threads."""
    sweep = first_estimate.occupancy_sweep("A100 SXM 80GB")
    return sweep["threads"][0], sweep["bytes_per_s"][0]


Exercise(
    id="02.x1",
    unit="times",
    expected=lambda: H100.level("L1/shared").bytes_per_s / H100.level("L2").bytes_per_s,
    hint="The pipe's width is a rate. Divide that of the first-level caches by that of the L2.",
    slips=lambda: {
        H100.level("L2").bytes_per_s
        / H100.memory_bytes_per_s: "that is the next step outwards, from the L2 to the main memory",
        H100.level("L2").bytes / H100.level("L1/shared").bytes: "those are the rooms; the question is about the pipes",
    },
    minutes=2,
)
Exercise(
    id="02.x2",
    unit="",
    expected=lambda: hiding_tile(A100, A100.level("L2")),
    hint="Where the L2's line falls below the line of the arithmetic, the one hides behind the other.",
    rtol=0.06,  # read off a figure
    slips=lambda: {hiding_tile(A100, A100.level("HBM")): "that is the line of the main memory"},
    minutes=2,
)
Exercise(
    id="02.x3",
    unit="",
    expected=lambda: H100_PCIE.memory_bytes_per_s * H100_PCIE.level("HBM").latency_s / 8,
    hint="The slope meets the flat part where the bytes in flight are rate times latency. A thread has eight bytes on their way.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        H100_PCIE.memory_bytes_per_s
        * H100_PCIE.level("HBM").latency_s: "that is bytes; each thread waits for eight of them",
        A100.memory_bytes_per_s * A100.level("HBM").latency_s / 8: "that is the A100",
    },
    minutes=3,
)
Exercise(
    id="02.x4",
    unit="FLOP/B",
    expected=lambda: energy_per_byte("HBM2") / energy_per_flop("FP32, 7 nm"),
    hint="Energies add. Both parts are equal where the intensity is the quotient of the two prices.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        ridge(H100): "that is where the two times are equal; the question is about energies",
        prices()[1] / prices()[0]: "that is where it lies in 16 bits",
    },
    minutes=2,
)
Exercise(
    id="02.1",
    unit="rows",
    expected=lambda: ridge(H100) / 2,
    hint="Two operations for each row and each weight, one byte for each weight. The arithmetic still runs at its 16-bit peak.",
    slips=lambda: {
        ridge(H100): "that is for weights of two bytes, or for arithmetic that is in 8 bits as well",
        ridge(H100, "fp8"): "that is the ridge of 8-bit arithmetic in FLOP/B",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="02.2",
    unit="%",
    expected=lambda: 100 * hidden(SHORT_S, LONG_S, TOOK_S),
    hint="A maximum would hide all of the shorter time, a sum none of it.",
    rtol=0.005,
    slips={
        100 * LONG_S / TOOK_S: "that is the share of the roof",
        100 * TOOK_S / (SHORT_S + LONG_S): "that compares with the sum; the part that is missing from it is hidden",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="02.3a",
    hint="Little's law: what is inside a pipe is what enters in a second, times the seconds that each stays.",
    judge_with=like(loads_per_core, (2.039e12, 405.5e-9, 8, 108), (4.8e12, 371.7e-9, 16, 132), (1e12, 1e-6, 4, 10)),
    minutes=4,
    kind="derive",
)
Exercise(
    id="02.3b",
    unit="B",
    expected=lambda: loads_per_core(H200.memory_bytes_per_s, H100.level("HBM").latency_s, 1, CORES),
    hint="The bytes in flight are the rate times the latency, and the cores share them.",
    slips=lambda: {
        H200.memory_bytes_per_s * H100.level("HBM").latency_s: "that is the whole chip",
        loads_per_core(H100.memory_bytes_per_s, H100.level("HBM").latency_s, 1, CORES): "that is the H100's bandwidth",
        loads_per_core(H200.memory_bytes_per_s, H100.level("HBM").latency_s, 8, CORES): "that is loads of eight bytes",
    },
    minutes=4,
)
Exercise(
    id="02.3c",
    unit="s",
    expected=lambda: 8 * first_sweep()[0] / first_sweep()[1],
    hint="Little's law has three numbers. Two of them are in the row.",
    slips=lambda: {
        A100.level("HBM").latency_s: "that is the latency that chasing pointers gave",
        first_sweep()[0] / first_sweep()[1]: "each load is eight bytes",
        8 * first_sweep()[0] / A100.memory_bytes_per_s: "that takes the promised rate; the row has the measured one",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="02.4a",
    hint="The bytes of a tiled product (the results are written once) over the level's rate, equal to the operations over the peak.",
    judge_with=like(tile, (8192, 312e12, 5.44e12), (4096, 1e15, 1e13), (1024, 1e14, 1e12)),
    minutes=8,
    stars=2,
    kind="derive",
)
Exercise(
    id="02.4b",
    unit="",
    expected=lambda: hiding_tile(H100_PCIE, H100_PCIE.level("L2")),
    hint="The formula of part a with the L2's rate and the dense 16-bit peak, both of this board.",
    slips=lambda: {
        hiding_tile(H100, H100.level("L2")): "that is the SXM module",
        tile(
            SIDE, 2 * H100_PCIE.peak_flop_per_s("bf16"), H100_PCIE.level("L2").bytes_per_s
        ): "that is the peak with sparsity",
        tile(SIDE, H100_PCIE.peak_flop_per_s("bf16"), H100_PCIE.memory_bytes_per_s): "that is the main memory",
    },
    minutes=4,
)
Exercise(
    id="02.4c",
    unit="",
    expected=lambda: tile(SIDE, cube_flop_per_s("A100 SXM 80GB", SIDE), A100.level("L2").bytes_per_s),
    hint="The L2 has to feed the rate that was reached, which is less than the peak.",
    slips=lambda: {
        hiding_tile(A100, A100.level("L2")): "that is what the peak would need, and the kernel did not reach it"
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="02.5a",
    hint="The roof takes the larger of the two times. A kernel without overlap takes their sum.",
    judge_with=like(share_of_roof, (243e-6, 290e-6), (1.0, 1.0), (3.0, 1.0)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="02.5b",
    unit="%",
    expected=lambda: 100 * share_of_roof(*times_s(256, H100)),
    hint="Compute both times for 256 rows, then the larger over the sum.",
    slips=lambda: {
        100 * min(times_s(256, H100)) / sum(times_s(256, H100)): "that is the smaller over the sum",
        50.0: "half is the worst case, of two equal times",
    },
    minutes=4,
)
Exercise(
    id="02.5c",
    unit="%",
    expected=lambda: 100 * hidden(*times_s(256, H100), measured_s(H100, 256)),
    hint="The sum of both times, less what was measured, is what passed behind the longer one. Compare it with the shorter.",
    slips=lambda: {
        100 * max(times_s(256, H100)) / measured_s(H100, 256): "that is the share of the roof",
        100 * (sum(times_s(256, H100)) / measured_s(H100, 256) - 1): "that compares with the measured time",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="02.6a",
    hint="First the intensity at which both energies are equal, then the rows that give it, as in 01.3.",
    judge_with=like(
        balanced_rows, (0.36e-12, 31.4e-12, 8192, 57344), (1e-12, 50e-12, 4096, 4096), (1.0, 10.0, 100, 50)
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="02.6b",
    unit="rows",
    expected=lambda: balanced_rows(*prices(), K, N),
    hint="The formula of part a with the prices of the section Energy, per operation and per byte.",
    rtol=0.01,
    slips=lambda: {
        prices()[1] / prices()[0]: "that is the intensity, which leaves out the bytes of inputs and results",
        balanced_rows(prices()[0], prices()[1] / 8, K, N): "that is the price of a bit",
        balanced_rows(2 * prices()[0], prices()[1], K, N): "a multiply-add is two operations",
    },
    minutes=4,
)
Exercise(
    id="02.6c",
    unit="J/FLOP",
    expected=board_joules_per_flop,
    hint="Energy is power times time; divide it by the operations of 4,096 rows.",
    slips=lambda: {
        H100.tdp_watts / H100.peak_flop_per_s("bf16"): "that takes the peak rate; the row has the measured time",
        prices()[0]: "that is one multiplier and one adder",
        2 * board_joules_per_flop(): "a multiply-add is two operations",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="02.7",
    hint="Keep a list of arrivals. A load starts when the pipe is free again and when one of the places is.",
    judge_with=like(
        pipe,
        (1, 1, 400, 1),
        (10, 1, 400, 1),
        (1000, 8, 400, 1),
        (1000, 400, 400, 1),
        (1000, 900, 400, 1),
        (64, 7, 30, 4),
    ),
    minutes=15,
    stars=3,
    kind="program",
)
Exercise(
    id="02.8",
    unit="FLOP/B",
    expected=lambda: ridge(H100, "int8"),
    hint="Compare the quotient of the two peaks with the quotient of the bits. Which page prints the larger number, and with which footnote?",
    slips=lambda: {
        2 * ridge(H100, "int8"): "that peak counts products by zeros that are not made",
        ridge(H100): "that is the 16-bit ridge",
    },
    minutes=5,
    stars=2,
    kind="find the error",
)
Exercise(
    id="02.9",
    unit="FLOP/s",
    expected=powered_flop_per_s,
    hint="Energies add. One operation brings its own price and its share of a byte's.",
    slips=lambda: {
        powered_flop_per_s(np.inf): "that pays for the operations and forgets their bytes",
        (POWER["board"] - POWER["idle"]) / (prices()[1] / POWER["intensity"]): "that pays for the bytes alone",
        powered_flop_per_s()
        * POWER["board"]
        / (POWER["board"] - POWER["idle"]): "the idle watts are gone before the work begins",
    },
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="02.10",
    hint="What differs between the boards, and what between their software? What would each change?",
    minutes=20,
    stars=3,
    kind="open",
)
