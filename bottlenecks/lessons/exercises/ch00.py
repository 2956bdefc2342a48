"""Are you ready? Ten questions about what this book takes for granted."""

import math

from bottlenecks.lessons.checks import Exercise

PRODUCT = "To read: any introduction to matrices, up to the product of two; the book needs no more of them."
POWERS = "To read: scientific notation and the SI prefixes, kilo to exa; the front matter of any physics text has them."
UNITS = "To read: section Two times of chapter 01 does this step by step."
LOGS = "To read: logarithms to base 2 and to base 10, and how they turn products into sums."
PYTHON = "To read: the official Python tutorial, sections 3 to 5, and NumPy's quickstart up to broadcasting."

Exercise(
    id="00.1",
    unit="",
    expected=lambda: 4096 * 1024,
    hint="(rows of the left) by (columns of the right).",
    rtol=1e-6,
    slips={4096 * 8192: "that is the size of the left matrix", 8192 * 1024: "that is the size of the right matrix"},
    minutes=1,
    kind="warm-up",
    read=PRODUCT,
)
Exercise(
    id="00.2",
    unit="",
    expected=lambda: 2 * 3 * 4 * 5,
    hint="Every number of the result is a sum of four products. Count its multiplications and its additions.",
    rtol=1e-6,
    slips={
        60: "that counts the multiplications alone",
        3 * 4 + 4 * 5: "that is how many numbers go in",
        15: "that is how many numbers come out",
        15 * 7: "a sum of four products that starts from nothing has four additions: the book counts them all",
    },
    minutes=2,
    kind="warm-up",
    read=PRODUCT,
)
Exercise(
    id="00.3",
    unit="",
    expected=lambda: 6e12 / 3e4,
    hint="Divide 6 by 3, and subtract the exponents.",
    slips={2e16: "the exponents were added", 2e3: "the exponents were divided"},
    minutes=1,
    kind="warm-up",
    read=POWERS,
)
Exercise(
    id="00.4",
    unit="s",
    expected=lambda: 150e9 / 3e12,
    hint="Giga is 10 to the 9, tera 10 to the 12.",
    slips={20.0: "that is the rate over the bytes", 50.0: "giga over tera is a thousandth"},
    minutes=2,
    kind="warm-up",
    read=UNITS,
)
Exercise(
    id="00.5",
    unit="B/s",
    expected=lambda: 400e9 / 8,
    hint="Eight bits are a byte.",
    slips={400e9: "those are bits", 3200e9: "a byte is eight bits, so there are fewer of them"},
    minutes=1,
    kind="warm-up",
    read=POWERS,
)
Exercise(
    id="00.6",
    unit="",
    expected=lambda: math.log2(1024 * 64),
    hint="The logarithm of a product is a sum.",
    rtol=1e-3,
    slips={
        60.0: "the logarithm of a product is the sum of the logarithms, not their product",
        math.log10(1024 * 64): "that is to base 10",
        math.log(1024 * 64): "that is to base e",
    },
    minutes=2,
    kind="warm-up",
    read=LOGS,
)
Exercise(
    id="00.7",
    unit="times",
    expected=lambda: 1.4**5,
    hint="Each year multiplies.",
    slips={
        3.0: "that adds 40 % of the first year five times; growth multiplies",
        7.0: "1.4 times 5 is not 1.4 to the 5",
    },
    minutes=2,
    kind="warm-up",
    read=LOGS,
)
Exercise(
    id="00.8",
    unit="%",
    expected=lambda: 100 * (1 - 1 / 1.25),
    hint="The time is divided by 1.25. What part of it is gone?",
    rtol=0.01,
    slips={
        25.0: "that is how much faster it runs; the time is divided by 1.25",
        80.0: "that is what is left of the time",
        0.2: "a percentage is asked for",
    },
    minutes=2,
    kind="warm-up",
    read="To read: nothing; say for each percentage in this book what it is a percentage of.",
)
Exercise(
    id="00.9",
    unit="",
    expected=lambda: 10.0,
    hint="range(5) has no 5 in it.",
    rtol=1e-6,
    slips={15.0: "range(5) ends before 5", 4.0: "sum adds them all", 5.0: "sum adds them, len counts them"},
    minutes=1,
    kind="warm-up",
    read=PYTHON,
)
Exercise(
    id="00.10",
    unit="",
    expected=lambda: 3 * 4,
    hint="Along an axis of size 1, NumPy repeats.",
    rtol=1e-6,
    slips={7.0: "the shapes (3, 1) and (4,) give (3, 4)", 3.0: "(3, 1) is repeated along its second axis"},
    minutes=2,
    kind="warm-up",
    read=PYTHON,
)

QUESTIONS = {  # as the contents page asks them
    "00.1": "A matrix of 4,096 by 8,192 is multiplied with one of 8,192 by 1,024. How many numbers has the result?",
    "00.2": "A matrix of 3 by 4 is multiplied with one of 4 by 5. How many operations is that, if a multiplication is "
    "one and an addition another, and each sum starts from zero, so that its first addition counts too?",
    "00.3": "What is 6 × 10¹² over 3 × 10⁴?",
    "00.4": "How long do 150 GB take at 3 TB/s?",
    "00.5": "A port is sold with 400 Gbit/s. How many bytes per second is that?",
    "00.6": "What is the logarithm of 1,024 × 64 to base 2?",
    "00.7": "A quantity grows by 40 % per year. By what factor has it grown after five years?",
    "00.8": "A program runs at 1.25 times its former speed. By how many percent has its time shrunk?",
    "00.9": "What does `sum(range(5))` give?",
    "00.10": "`a` has shape (3, 1) and `b` has shape (4,). How many numbers are in `a + b`?",
}
