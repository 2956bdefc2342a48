"""Exercise checks: right passes, wrong fails, nothing leaks; answers by hand."""

import math
import re

import answers
import numpy as np
import pytest

from bottlenecks.facts.units import PREFIXES, parse_quantity, parse_unit, plain, si
from bottlenecks.lessons import checks
from bottlenecks.lessons.checks import Exercise, judge

EVERY = checks.load_all()
EXERCISES = {id: exercise for id, exercise in EVERY.items() if exercise.expected and np.ndim(exercise.expected()) == 0}
BY_HAND = (
    {  # base unit; the arithmetic in words
        "00.1": 4194304,  # 4096 x 1024 = 4 x 2^20
        "00.2": 120,  # 15 results of 4 multiplications and 4 additions
        "00.3": 2e8,
        "00.4": 0.05,  # 150e9 / 3e12
        "00.5": 50e9,  # 400e9 / 8
        "00.6": 16,  # 10 + 6
        "00.7": 5.378,  # 1.96^2 x 1.4 = 3.8416 x 1.4
        "00.8": 20,  # 1 - 1 / 1.25
        "00.9": 10,  # 0 + 1 + 2 + 3 + 4
        "00.10": 12,  # shape (3, 4)
        "01.x1": 308,  # m = kn / (kn / 295.3 - k - n) = 4.698e8 / (1.5906e6 - 65536) = 308.0
        "01.x2": 2,  # 1 byte for 2
        "01.x3": 69.8,  # 3.35 / 4.8
        "01.x4": 39576,  # 2 x 989.4e12 / 50e9
        "01.1": 1 / 6,  # one addition, three values of two bytes
        "01.2": 153.02,  # 312e12 / 2039e9
        "01.3b": 293,  # m = kn / (kn / 281.25 - k - n) = 4.698e8 / (1.6703e6 - 65536) = 292.7
        "01.3c": 1.325,  # 385 / 290.5; 2 x (4.698e8 + 256 x 65536) / 3.35e12 = 290.5 us
        "01.4b": 1.283,  # 2 x 400 x 4.698e8 / 989.4e12 = 379.8 us against 2 x (4.698e8 + 400 x 65536) / 3.35e12 = 296.1 us
        "01.4c": 2.812,  # 15,940.5 / 5,668.5
        "01.5b": 0.8e12,  # 4.8e12 / 6
        "01.5c": 1.073,  # 3 x 2 x 512 x 8192 / 7e-6 = 3.595e12; / 3.35e12
        "01.6b": 20428,  # 2 x 1307.4e12 x 7 / (2 x 448e9)
        "01.6c": 27425,  # 1307.4e12 / 47.671e9
        "01.8": 281.25,  # 2250 / 8
        "01.9": 172.25e-6,  # (15 x 0.9479e-3 + 5 x 0.60130e-3) / 100; 947.9 MB and 60.13 GFLOP are parts of a TB and of 100 TFLOP
        "02.x1": 3.165,  # 30.92 / 9.7691
        "02.x2": 115.6,  # 2 / (5.4359 / 312 - 1 / 8192) = 2 / (0.0174228 - 0.0001221)
        "02.x3": 94737,  # 2.039e12 x 371.7e-9 / 8
        "02.x4": 37.11,  # 31.36 / ((1.31 + 0.38) / 2)
        "02.1": 147.7,  # 2 m kn / 989.4e12 = kn / 3.35e12
        "02.2": 50,  # 30 + 60 - 75 = 15, of 30
        "02.3b": 13.5e3,  # 4.8e12 x 371.7e-9 / 132 = 13,517
        "02.3c": 357.3e-9,  # 27,648 x 8 / 619e9
        "02.4b": 220.7,  # 2 / (6946.5e9 / 756.5e12 - 1 / 8192) = 2 / (0.0091824 - 0.0001221)
        "02.4c": 93.9,  # 2 / (5435.9 / 253,700 - 1 / 8192) = 2 / (0.0214265 - 0.0001221)
        "02.5b": 54.4,  # 2 x 256 x 4.698e8 / 989.4e12 = 243.1 us; 2 x (4.698e8 + 256 x 65536) / 3.35e12 = 290.5 us; 290.5 / 533.6
        "02.5c": 61.1,  # (243.1 + 290.5 - 385) / 243.1 = 148.6 / 243.1
        "02.6b": 88.2,  # 31.36 / 0.36 = 87.1; 4.698e8 / (4.698e8 / 87.1 - 65536)
        "02.6c": 1.031e-12,  # 700 x 5.6685e-3 / 3.8483e12
        "02.8": 590.7,  # 1978.9e12 / 3.35e12
        "02.9": 529.4e12,  # 450 / (0.36e-12 + 31.36e-12 / 64) = 450 / 0.85e-12
        "03.x1": 94.4,  # 58 layers x 248 experts x 3 x 7168 x 2048 = 633.5e9, of 671.0e9
        "03.x2": 35.68,  # ln 0.1 / ln (120 / 128) = 2.3026 / 0.064539
        "03.x3": 22400,  # 6 x (7.5047e9 + 131,072 x S) = 1.3 x 6 x 8.03e9 gives S = (10.439e9 - 7.5047e9) / 131,072 = 22,387
        "03.x4": 234.8,  # 128 heads x 8192 x 2 x (576 + 512) / (2 x (8192 x 576 + 128 x (576 + 512))) = 2.2817e9 / 9.7157e6
        "03.1": 150.99e6,  # 2 x 8192 x 8192 + 2 x 8192 x 1024
        "03.2": 2.5272e24,  # 6 x 540e9 x 780e9
        "03.3b": 327680,  # 2 x 80 x 8 x 128 x 2
        "03.3c": 64,  # (81,559 x 2^20 - 16.06e9) / (8192 x 131072) = 64.7
        "03.4b": 2.091,  # layer over 8192: 16,384 + 2,048 + 86,016 = 104,448 tokens; (104,448 + 131,072) / (104,448 + 8,192)
        "03.4c": 2.37,  # 76 / 16 = 4.75; layers 194,560 + S tokens' worth, head 2.1e9 / (126 x 16,384) = 1,018: 457,722 / 228,346 = 2.0045
        "03.5b": 1.568,  # 256 visits; (31/32)^32 = 0.3621, so 163.3 experts are read
        "03.5c": 1.633,  # 32 x (41.94e6 + 2 x 176.16e6 + 32,768) + 131.07e6 = 12.749e9 B; / 2.039e12 = 6.2524 ms; 10.2124 / 6.2524
        "03.6b": 75,  # 3 passes of 4
        "03.6c": 4.095,  # 4.3e23 / (2 x 175e9 x 300e9)
        "03.8": 140.4e15,  # 6 x (174.56e9 + 96 x 12,288 x 2,048) = 1.0619e12 FLOP a token; x 768 x 2,048 / 11.9
        "03.9": 2,  # 14e-3 x 3.35e12 = 46.9e9, less 15.8e9; / 8.59e9 for each head = 3.6; of 1, 2, 4 ... the 2
        "05.x1": 48.48,  # 64 / 132
        "05.x2": 816,  # 512 rows in 29 us: 56.6 ns each; 808 in 47: 58.2; 816 in 46: 56.4
        "05.x3": 75.8,  # ln 2 / ln (312 / 125) = 0.6931 / 0.9147
        "05.1": 1.83e9,  # 989.4e12 / (132 x 4096) = 989.4e12 / 540,672
        "05.2": 640,  # 32 x 20
        "05.3b": 768,  # 216 // 32 = 6 rows of tiles
        "05.3c": 33.04,  # 134 / 115 = 1.16522; of one half
        "05.4b": 202.6,  # 9769.1e9 / (1.83e9 x 132) = 40.44 B; 2 x 4096 / 40.44
        "05.4c": 39.0,  # 2.1475e9 / (17.99e-6 - 3.69e-6) = 150.2e12; x 324 / 256 / (108 x 1.41e9) = 1,248 FLOP; x 2 / 64
        "05.5b": 94.5,  # 17.18e9 / (77.46e-6 - 3.69e-6) = 232.9e12; x 324 / 256 / 312e12
        "05.5c": 78.7,  # 232.9 x 540 / 512 / 312
        "05.6b": 1.667,  # 20 / 12
        "05.6c": 4.186e-6,  # 2 x 5.8432 - 7.50074
        "05.8": 8,  # 312 / 19.5 / 2
        "05.9": 10240,  # 648 // 16 = 40; x 256
        "06.x1": 43.63,  # 39.9 / 91.44, with 51.54 GFLOP of attention beside the 39.9
        "06.x2": 32.0,  # 1 - 0.5 / 0.735
        "06.x3": 1.909,  # 107,520 / 56,320
        "06.x4": 1.375,  # (39.89 + 12.88 + 4 x 1.074) / (39.89 + 3 x 0.537) = 57.07 / 41.50
        "06.x5": 4.0,  # where shares tried pass 90 %: 16,384 + 2,048 x 0.007 / 0.008 = 18,200; 4,096 + 512 x 0.015 / 0.018 = 4,520
        "06.1": 52.31,  # 40 x 989.4 / 756.5
        "06.2": 40,  # 30 x 4 / 3
        "06.3b": 50735,  # 6.65e9 / (32 x 4096)
        "06.3c": 22.02,  # (39.9e9 + 6 x 32 x 4096 x 32768 = 25.77e9) x 3318 / 989.4e12
        "06.4b": 47.24,  # 6 x 65.2e9 x 1.4e12 = 5.4768e23; / (2048 x 312e12 x 1,814,400 s = 1.15935e24)
        "06.4c": 48.5,  # 6 x (65.022e9 + 80 x 8192 x 2048 = 1.342e9) x 380 / 312e12
        "06.5b": 51.7,  # 0.916 x 0.302 x 4 / 3 / 0.713
        "06.5c": 1.271,  # 0.685 / 0.539
        "06.6b": 0.8025,  # ln (14,215 / 6,823) / ln (312 / 125) = 0.7340 / 0.9147
        "06.6c": 0.8043,  # ln (40,576 / 6,400) / ln (156 / 15.7) = 1.8469 / 2.2962
        "06.8": 225,  # 21,600 / 96
        "06.9": 1.349,  # 1 / (1 - 0.304 / 2 - 0.214 / 2)
        "06i.1": 70.55e9,  # 80 x (2 x 8192^2 + 2 x 8192 x 1024 + 3 x 8192 x 28672 = 855.6e6) + 2 x 128,256 x 8192
        "06i.2": 449.2e9,  # 6 x (69.50e9 + 80 x 8192 x 8192 = 5.369e9)
        "06i.3": 2628,  # 15e12 x 449.2e9 = 6.738e24; / (989.4e12 x 2.592e6 s)
        "06i.4": 539.9e12,  # 0.7713e12 x 700
        "06i.5": 925,  # 539.9e12 x 0.770 / 449.2e9
        "06i.6": 6256,  # 15e12 / (925 x 2.592e6)
        "06i.7": 20,  # 18 x 70.55 / 64 = 19.8
        "06i.8": 0.327,  # 2048 / 6,256
        "06i.9": 0.7055,  # 4 x 70.55 / 400
        "06i.10": 18.16e12,  # 6,256 x 700 x 1.6 x 2.592e6
        "06i.11": 11.26e6,  # 6,256 x 720 x 2.5
        "06i.12": 1462,  # 925 / (1 - 0.735 / 2)
        "09.x1": 5.1,  # 1 - 1.1^-0.55 = 1 - 0.9489
        "09.x2": 38.2,  # 32 x 8192 x 327,680 = 85.9e9; / (85.9 + 139.0)
        "09.x3": 7.344,  # 126 x 2 x 8 x 128 x 2 = 516,096; 61 x 576 x 2 = 70,272
        "09.1": 4.48e-3,  # 15.01e9 / 3.35e12
        "09.2": 15,  # 139e9 / 2e-3 = 69.5e12; / 4.8e12 = 14.5
        "09.3b": 13.98,  # 15.01e9 / (8192 x 131,072 = 1.0737e9)
        "09.3c": 458e9,  # 3840 x 131,072 = 503.3e6 B, in 1 / 50.52 - 1 / 53.49 = 1.099e-3 s
        "09.4b": 2.271,  # (1 + 0.8 + 0.64 + 0.512) / 1.3
        "09.4c": 3.147,  # 48.4 x (5 / 196.8 + 1 / 25.25) = 48.4 x (0.025407 + 0.039604)
        "09.5b": 79.7,  # 807.5e9 / 3.35e12 = 241.04e-3; / (252 x 12e-6)
        "09.5c": 28.96e-6,  # (3.04479e-3 - 9.53289e-3 / 8) / 64
        "09.6b": 1.4545,  # 16 / 11
        "09.6c": 11.09e-3,  # fixed 2 x 12.4316 - 16 = 8.8632; + 7.1368 x 5 / 16 = 2.2303
        "09.8": 82.24,  # 1 - 60 x 576 / (95 x 2048) = 1 - 34,560 / 194,560
        "09.9": 7,  # (139.0e9 + 171.8e9 / 2) / 33.5e9 = 6.71
    }
    | answers.BY_HAND
)

# Exercises that take a function: one that is right, written otherwise than the package's, and one with the likely slip.
FUNCTIONS = {
    "01.3a": (lambda i, k, n: 1 / (1 / i - 1 / k - 1 / n), lambda i, k, n: i),
    "01.4a": (lambda a, b, x: max(a, b) / max(a / x, b), lambda a, b, x: (a + b) / (a / x + b)),
    "01.5a": (lambda b, w: w / b / 3, lambda b, w: w / b / 2),
    "01.6a": (lambda p, w, b, g: p / w * b / 2 * (g - 1), lambda p, w, b, g: p / w * b / 2 * g),
    "01.7": (
        lambda rows, k, n, p, w: next(m for m in rows if 2 * m * k * n / p > 2 * (m * k + k * n + m * n) / w),
        lambda rows, k, n, p, w: next(m for m in rows if m > p / w),
    ),
    "02.3a": (lambda w, s, b, c: w * s / (b * c), lambda w, s, b, c: w * s / c),
    "02.4a": (lambda s, p, w: 2 * p * s / (w * s - p), lambda s, p, w: 2 * p / w),
    "02.5a": (lambda a, b: 1 / (1 + min(a, b) / max(a, b)), lambda a, b: min(a, b) / (a + b)),
    "02.6a": (lambda f, b, k, n: 1 / (f / b - 1 / k - 1 / n), lambda f, b, k, n: b / f),
    "02.7": (
        # With one place a load follows the other; with more, `n` start in a gap each, and the next when the first is back.
        lambda loads, n, s, gap: (loads - 1) // n * max(s, n * gap) + (loads - 1) % n * gap + s,
        lambda loads, n, s, gap: loads * s / n,
    ),
    "03.3a": (lambda layers, h, d, b: 2 * b * d * h * layers, lambda layers, h, d, b: b * d * h * layers),
    "03.4a": (lambda n, w, a, b: (n / w + b) / (n / w + a), lambda n, w, a, b: (n / w + 2 * b) / (n / w + 2 * a)),
    "03.5a": (lambda e, k, t: t * k / (e - e * (1 - k / e) ** t), lambda e, k, t: t * k / min(e, k * t)),
    "03.6a": (lambda r: 1 / (1 + r / 3), lambda r: 1 / (1 + r)),
    "03.7": (
        lambda c, s: (_layer_params(c), 2 * _layer_params(c) + 2 * s * c["hidden_size"]),
        lambda c, s: (_layer_params(c), 2 * _layer_params(c)),
    ),
    "05.3a": (lambda w, n, r, t, c: w * c // -(-n // t) * r, lambda w, n, r, t, c: w * c * t / n * r),
    "05.4a": (lambda f, w, b: b * f / w, lambda f, w, b: f / w),
    "05.5a": (lambda r, t, c: r * (-(-t // c) * c) / t, lambda r, t, c: r * t / c),
    "05.6a": (lambda t, f: 2 * t / (t + f), lambda t, f: 2.0),
    "05.7": (
        lambda rows, n, t, c: np.array([m * n / (-(-(-(-m // t) * -(-n // t)) // c) * c * t * t) for m in rows]),
        lambda rows, n, t, c: rows * n / (np.ceil(rows * n / t / t / c) * c * t * t),
    ),
    "06.3a": (lambda n, k, d, s: 1 / (1 + n / (k * d * s)), lambda n, k, d, s: 2 * k * d * s / (n + 2 * k * d * s)),
    "06.4a": (lambda n, d, g, t, p: 6 * n * d / g / p / t / 86400, lambda n, d, g, t, p: 6 * n * d / g / p / t),
    "06.5a": (lambda s, f, m, r: s / f * m * r, lambda s, f, m, r: s * m * r),
    "06.6a": (lambda a, b, p, q: math.log2(b / a) / math.log2(q / p), lambda a, b, p, q: b * p / (a * q)),
    "06.7": (
        lambda r, n, h, k, d, s, p, o: [r * f / c for f, c in _seven(n, h, 6 * k * d * s, p, o)],
        lambda r, n, h, k, d, s, p, o: [r * f / c for f, c in _seven(n, 0, 6 * k * d * s, p, o)],
    ),
    "09.3a": (lambda m, s, k, h, d, b: m / (s * k * h * d * b) / 2, lambda m, s, k, h, d, b: m / (s * k * h * d * b)),
    "09.4a": (lambda p, g, c: sum(p**i for i in range(g + 1)) / (1 + g * c), lambda p, g, c: (1 + g * p) / (1 + g * c)),
    "09.5a": (lambda t, n, x: t / n / x / 2, lambda t, n, x: t / n / x),
    "09.6a": (lambda t, f, a: 1 / (f / t + a * (1 - f / t)), lambda t, f, a: 1 / a),
    "09.7": (
        lambda p, g, n, rng: np.minimum(rng.geometric(1 - p, n), g + 1).mean() if 0 < p < 1 else 1 + g * p,
        lambda p, g, n, rng: 1 + (rng.random((n, g)) < p).sum() / n,
    ),
} | answers.FUNCTIONS


def _seven(n, head, half, dense, other):
    """(operations per token, peak) of the seven utilisations."""
    need = 6 * n + half
    again = need + half + 2 * (n - head) + 4 * half / 6
    return [(f, dense) for f in (need, need + half, again, 6 * n, 6 * (n + head))] + [(need, 2 * dense), (need, other)]


def _layer_params(config):
    """Parameters of a layer, matrix by matrix."""
    width, head = config["hidden_size"], config["hidden_size"] // config["num_attention_heads"]
    narrow = head * config["num_key_value_heads"]
    return sum(width * side for side in (width, narrow, narrow, width, *3 * [config["intermediate_size"]]))


@pytest.mark.parametrize("id", FUNCTIONS)
def test_a_function_that_is_right_passes_and_one_with_a_slip_does_not(id):
    right, slipped = FUNCTIONS[id]
    assert judge(id, right) == (True, f"{id}: right.")
    assert judge(id, slipped)[0] is False


def test_every_exercise_that_takes_a_function_is_tried():
    assert set(FUNCTIONS) == {id for id, exercise in EVERY.items() if exercise.judge_with}


@pytest.mark.parametrize("chapter", ["01", "02", "03", "05", "06", "09", "12", "14", "15", "22"])
def test_a_chapter_has_ten_exercises_of_all_kinds(chapter):
    mine = {id: e for id, e in EVERY.items() if id.startswith(f"{chapter}.") and ".x" not in id}
    assert {id[:2] + "." + re.match(r"\d+", id[3:])[0] for id in mine} == {f"{chapter}.{n}" for n in range(1, 11)}
    kinds = [e.kind for e in mine.values()]
    assert {kind: kinds.count(kind) for kind in checks.KINDS} == {
        "warm-up": 2,
        "derive": 4,
        "numbers": 4,
        "compare": 4,
        "program": 1,
        "find the error": 1,
        "design": 1,
        "open": 1,
    }
    assert all(e.slips for e in EVERY.values() if e.expected and e.id.startswith(f"{chapter}."))


def test_every_exercise_has_an_answer_by_hand():
    assert set(BY_HAND) == set(EXERCISES)


@pytest.mark.parametrize("id", BY_HAND)
def test_the_answer_by_hand_is_right(id):
    unit = EXERCISES[id].unit
    assert judge(id, BY_HAND[id], unit)[0], judge(id, BY_HAND[id], unit)[1]
    if unit in ("B", "FLOP/s"):
        assert judge(id, BY_HAND[id] / 1e9, f"G{unit}")[0]


WRONG = (0.0, -1.0, 0.5, 0.9, 1.1, 2.0, 4.0, 8.0, 1000.0, 2**30 / 1e9, 100.0, 7.3, math.inf, math.nan)


@pytest.mark.parametrize("id", BY_HAND)
def test_wrong_answers_are_rejected_and_nothing_leaks(id):
    exercise = EXERCISES[id]
    answer = exercise.expected()
    forms = (
        {f"{answer:.{d}g}" for d in (3, 4)}
        | {plain(answer, d) for d in (3, 4)}
        | {si(answer, exercise.unit).split()[0]}
    )
    for factor in WRONG:
        right, text = judge(id, answer * factor, exercise.unit)
        assert not right
        numbers = set(re.findall(r"\d[\d,.]*\d|\d", text.removeprefix(id)))
        assert not {n for n in numbers if n in forms and len(n.strip("0.,")) > 1}, text


def test_without_an_answer_nothing_is_given_away(capsys):
    exercise = EXERCISES["01.1"]
    assert judge("01.1") == (None, f"01.1: no answer yet ({exercise.minutes:g} min, {'*' * exercise.stars})")
    checks.hint("1.1")
    assert capsys.readouterr().out == f"01.1: {exercise.hint}\n"


def test_a_wrong_unit_is_answered_with_the_exercise_s_own():
    assert judge("01.1", 153) == (
        None,
        "01.1 asks for a number in FLOP/B. The unit goes after it: check('01.1', 10, 'FLOP/B')",
    )
    assert "asks for a number in FLOP/B, got one in ms" in judge("01.1", 153, "ms")[1]
    assert "check('01.1', 153, 'FLOP/B')" in judge("01.1", "153 FLOP/B")[1]
    assert (
        "check('00.4', 50, 'ms')" not in judge("00.4", "soon")[1]
        and "check('00.4', 10, 'ms')" in judge("00.4", "soon")[1]
    )
    assert "It is a bare number: check('00.1', 10)" in judge("00.1", 3, "ms")[1]
    assert "unit 'parsec' is unknown" in judge("01.1", 153, "parsec")[1]


@pytest.mark.parametrize("answer", ["153", True, [153, 154], object()])
def test_an_answer_that_is_no_number(answer):
    assert "must be one number" in judge("01.1", answer, "FLOP/B")[1]


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (2, "factor of two"),
        (1000, "power of a thousand"),
        (8, "bits and bytes"),
        (2**30 / 1e9, "binary"),
        (100, "percentage"),
        (1.05, "Close, but"),
        (1.4, "order of magnitude is right"),
        (70, "order of magnitude is off"),
    ],
)
def test_what_is_off_is_said(factor, word):
    assert word in judge("02.3b", EXERCISES["02.3b"].expected() * factor, "B")[1]


def test_an_open_exercise_says_so():
    assert "no single answer" in judge("01.10", 3)[1]


def test_unknown_exercise_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean '01.1'"):
        judge("01.1z", 3, "s")


def test_an_id_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        Exercise(id="01.1", unit="s", expected=float, hint="")


def test_check_prints(capsys):
    checks.check("01.1", 1 / 6, "FLOP/B")
    assert capsys.readouterr().out == "01.1: right. 0.167 FLOP/B, within 2 %.\n"


@pytest.mark.parametrize("id", EXERCISES)
def test_a_slip_is_wrong_and_its_words_do_not_leak(id):
    exercise = EXERCISES[id]
    for wrong in exercise.mistakes():
        right, text = judge(id, wrong / parse_unit(exercise.unit)[0], exercise.unit)
        assert right is False, f"{id}: {wrong} would be accepted"
        assert "not yet" in text and si(exercise.expected(), exercise.unit) not in text


@pytest.fixture
def registered():
    """Exercises of a test, which the registry does not keep."""
    before = dict(checks.EXERCISES)
    yield lambda **given: Exercise(**{"id": "99.1", "hint": "think"} | given)
    checks.EXERCISES.clear()
    checks.EXERCISES.update(before)


def test_an_exercise_s_own_slips_come_first(registered):
    registered(unit="%", expected=lambda: 17.95, slips=lambda: {21.875: "that is the bubble over the work"})
    assert judge("99.1", 21.9, "%")[1] == "99.1: not yet. That is the bubble over the work."
    assert "off by a factor of two." in judge("99.1", 35.9, "%")[1]
    assert "a percentage and a fraction" in judge("99.1", 0.1795, "%")[1]


@pytest.mark.parametrize("unit", ["", "%", "times", "chips", "users", "tokens", "experts", "tiles"])
@pytest.mark.parametrize("factor", [2, 0.5, 4, 8, 1000])
def test_a_count_has_no_bits_and_no_multiply_adds(registered, unit, factor):
    registered(unit=unit, expected=lambda: 30.0)
    text = judge("99.1", 30 * factor, unit)[1]
    assert "factor of" in text or "power of" in text
    assert not any(word in text for word in ("multiply-add", "bits", "prefix", "bytes"))


@pytest.mark.parametrize(
    ("written", "id"), [("1.1", "01.1"), (" 01.1 ", "01.1"), ("0.4", "00.4"), ("6I.2", "06i.2"), ("06i.12", "06i.12")]
)
def test_ids_as_people_write_them(written, id):
    assert checks.exercise(written).id == id


@pytest.mark.parametrize("id", ["99.3a", "99.3b", "99.x1"])
def test_parts_of_a_chain_and_questions_below_exhibits(registered, id):
    registered(id=id, unit="s", expected=lambda: 2.0)
    assert judge(id.upper(), 2000, "ms")[0]


def test_an_id_that_is_a_number_is_refused():
    with pytest.raises(ValueError, match="is a text, such as"):
        judge(1.1, 3)


def test_where_to_read_is_told_when_the_answer_is_wrong(registered):
    registered(unit="", expected=lambda: 5.0, read="To read: section 2.")
    assert judge("99.1", 3)[1].endswith("To read: section 2.") and "To read" not in judge("99.1", 5)[1]


def test_a_function_is_compared_on_inputs_and_the_first_that_differs_is_told(registered):
    def tiles(rows, side):
        return -(-rows // side)

    registered(kind="program", judge_with=checks.like(tiles, (256, 128), (257, 128), {"rows": 1, "side": 64}))
    assert judge("99.1", tiles) == (True, "99.1: right.")

    def mine(rows, side):
        return rows // side

    assert judge("99.1", mine) == (False, "99.1: not yet. mine(257, 128) gives 2, which is not right.")
    assert (
        "mine(256, 128) stops: TypeError"
        in judge("99.1", (lambda f: setattr(f, "__name__", "mine") or f)(lambda a: a))[1]
    )
    assert "A function is asked for, got float" in judge("99.1", 2.0)[1]


def test_an_array_is_compared_place_by_place(registered):
    registered(kind="program", expected=lambda: np.array([1.0, 2.0, 4.0]), rtol=1e-3)
    assert judge("99.1", [1, 2, 4.001])[0]
    assert judge("99.1", [1, 2, 3])[1] == "99.1: not yet. 1 of 3 values differ, the first at [2], where you have 3."
    assert "Its shape should be (3,), and is (2,)" in judge("99.1", [1, 2])[1]
    assert "An array of numbers" in judge("99.1", "abc")[1]


def test_a_kind_is_one_of_those_there_are(registered):
    with pytest.raises(ValueError, match="did you mean 'design'"):
        registered(kind="desing")


def test_the_contents_page_has_a_question_for_each_of_its_ten():
    from bottlenecks.lessons.exercises import ch00

    assert list(ch00.QUESTIONS) == [f"00.{i}" for i in range(1, 11)] == [i for i in EVERY if i.startswith("00.")]
    assert all(EVERY[id].slips and EVERY[id].read for id in ch00.QUESTIONS)


# ---- numbers to text and back


@pytest.mark.parametrize("value", [1e-9, 3.2e-7, 1e-3, 0.5, 1.0, 999.0, 1000.0, 8e10, 1.979e15])
@pytest.mark.parametrize("unit", ["s", "B", "B/s", "FLOP/s", "W"])
def test_si_and_back(value, unit):
    number, _, written = si(value, unit, digits=6).rpartition(" ")
    scale, base = parse_unit(written)
    assert base == unit and float(number.replace(",", "")) * scale == pytest.approx(value, rel=1e-5)


def test_si_by_hand():
    assert [si(3.35e12, "B/s"), si(311e-6, "s"), si(0, "B"), si(999.9e9, "B/s"), si(-2e3, "W")] == [
        "3.35 TB/s",
        "311 µs",
        "0 B",
        "1 TB/s",
        "-2 kW",
    ]
    assert [plain(0.999), plain(1234567), plain(0.00123456, 2)] == ["0.999", "1,230,000", "0.0012"]


@pytest.mark.parametrize(
    ("written", "base"),
    [("users", "users"), ("usec", "s"), ("KB", "B"), ("percent", "%"), ("flop/byte", "FLOP/B"), ("x", "times")],
)
def test_units_as_people_write_them(written, base):
    assert parse_unit(written)[1] == base


def test_a_unit_that_does_not_say_count_or_rate():
    with pytest.raises(ValueError, match="a count .FLOP. or a rate"):
        parse_unit("GFLOPS")


def test_a_decimal_comma_is_asked_about():
    with pytest.raises(ValueError, match="is '19,9' 19.9"):
        parse_quantity("19,9 ms", "s")


def test_prefixes_are_powers_of_a_thousand():
    assert [scale for scale in PREFIXES.values()] == pytest.approx([1e3**k for k in range(-4, 7)])
