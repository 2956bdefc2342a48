"""Answers by hand to the exercises of chapters 12, 14, 15 and 22; `lessons/test_checks.py` tries them with all others."""

from math import comb, erf, log2
from statistics import NormalDist

import numpy as np

BY_HAND = {  # base unit; the arithmetic in words
    "12.x1": 7,  # each step adds one more of eight
    "12.x2": 16 * 2**20,  # 63.1 us of wire for 16 MiB; the call takes 126; for 8 MiB 31.6 and 85
    "12.x3": 32 * 2**20,  # read off the map
    "12.x4": 256 * 2**10,  # read off the head: 2.09 times; 1.9 for 128 KiB
    "12.1": 3.889e-3,  # 1.75e9 / 450e9
    "12.2": 201.3e9,  # 4.2950e9 x 0.9375 / 0.02
    "12.3b": 8.4956e-6,  # 14 x (0.6e-6 + 2048 / 300e9)
    "12.3c": 19.85,  # 8.4956 / 42.794
    "12.4b": 8.64e6,  # 64 x 2.7e-6 x 50e9
    "12.4c": 15.53,  # 33,554,432 / 2.16e6; half of 273.6 GB/s is 136.8: 16 MiB reach 134.0, 32 MiB 168.9
    "12.5b": 1.9452,  # 142 / 73
    "12.5c": 483.2e9,  # 940 x 73 / 142
    "12.6b": 4.375e-3,  # 2 x 7/8 x 0.125e9 / 50e9
    "12.6c": 4.779,  # 126 x (2.7e-6 + 0.3125e-3) = 39.715e-3; 2 x 7 x (0.6e-6 + 0.27778e-3) + 14 x (2.7e-6 + 0.3125e-3) = 8.310e-3
    "12.8": 80.44,  # 362 / 450
    "08.x1": 1.2128e11,  # 18 x 6.738e9
    "08.x2": 4.672e10,  # read off the head
    "08.x3": 6.0225e10,  # 8.03e9 x (2 + 4 + 12/8)
    "08.x4": 17.79,  # read off the head
    "08.x5": 12564,  # 12 x 0.4 x 989.4e12 / (6 x 63e9)
    "08.1": 2.232e10,  # 18 x 1.24e9
    "08.2": 1.0507e10,  # 8192 x 128256 x 10
    "08.3b": 32.608,  # 8.03 x 16 / (20 - 16.06)
    "08.3c": 4.512,  # 32.608 / 7.227
    "08.4b": 393216,  # 2 x (98304 + 98304)
    "08.4c": 94.118,  # 32 / 34
    "08.5b": 10260,  # (76.95e9 - 18.0675e9) / (32 x 139264 + 1282560)
    "08.5c": 3.7153,  # 5739008 / 1544704
    "08.6b": 2.5781e11,  # 2 x 396e12 / 3072
    "08.6c": 4.0923,  # 2095.2 / 512
    "08.8": 5.644e11,  # 8 x 70.55e9
    "08.9": 6.8996,  # (82.8 / 1.27 - 10) / 8
    "07.x1": 24608,  # read off the head
    "07.x2": 2.1425,  # (4096 x 512 - 512 x 511/2) / (2048 x 512 - 512 x 511/2) = 1,966,336 / 917,760
    "07.x3": 4.1011,  # all sixteen at once: sum of e^s v over sum of e^s
    "07.x4": 3.18,  # a key of 128 bytes for each of 1,048,576 tokens, and 2,048 latents of 1,152, over 4,096 for each: 3.125 + 0.055
    "07.x5": 96.06,  # read off the head
    "07.1": 49152,  # 12 x 4096
    "07.2": 4.295e9,  # 32 x 8192^2 x 2
    "07.3b": 97280,  # 3187671040 / 32768
    "07.3c": 40.25,  # 131072 / 325632
    "07.4b": 536870912,  # 16384^2 / 256 x 2 x 128 x 2
    "07.4c": 19,  # 19 x 2 x 16384^2 / 536870912
    "07.5b": 4.10625,  # (1.059 x 4.0906 + 0.20591 x 4.1867) / 1.26491
    "07.5c": 16.28,  # 0.20591 / 1.26491
    "07.6b": 17442,  # 2 x 2048 x 128 x 2176 / (81920 - 16512)
    "07.6c": 30.78,  # (64 x 258 x 65536 + 128 x 2176 x 2048) / (128 x 640 x 65536)
    "07.8": 187.65e12,  # 225e12 x (16.2 + 4.0265) / (16.2 + 8.0531)
    "07.9": 5.0e11,  # 1.5e12 x 1.15385 / 3.46158
    "04.x1": 40000,  # 3.79e25 / (n x 989.4e12 x 0.4) = 31 days from 35,764 chips on
    "04.x2": 24.3,  # read off the head
    "04.x3": 34.5,  # read off the head
    "04.x4": 48.3,  # read off the head
    "04.1": 829101,  # 8.4e22 / (256 x 989.4e12 x 0.4)
    "04.2": 5.328,  # 2.664 x 2
    "04.3b": 3230489,  # 6 x 176.247e9 x 366e9 / (384 x 312e12)
    "04.3c": 31.63,  # 37.390 / 118.2
    "04.4b": 72.25,  # (167.642 / 762.85)^(1/0.7136) = 0.11966; (9.6e22)^0.51261 = 6.038e11
    "04.4c": 1.032,  # 72.25 / 70
    "04.5b": 3.28e23,  # 2 x 1e13 x 16.4e9
    "04.5c": 1.2897,  # 13.6 x 2.845 / 30
    "04.6b": 3.7257e12,  # 1 + 15.388 x (1 - e^-0.19496) = 1 + 15.388 x 0.17713
    "04.6c": 93.14,  # 3.7257 / 4
    "04.8": 1.26e25,  # 6 x 175e9 x 12e12
    "04.9": 71.86,  # 4e5 x 3600 x 395.76e12 = 5.699e23; 0.11966 x (9.498e22)^0.51261
    "13.x1": 2.4375,  # 48.75 ms over 20 ms, read off the drawing
    "13.x2": 1000,  # 4/(3 a) below 1/7 from a = 9.33 on
    "13.x3": 34.3,  # read off the figure
    "13.x4": 288,  # four racks: 1.6 + 3 x 0.3 = 2.5 m
    "13.1": 2048,  # 64 x 32
    "13.2": 10368,  # 72 x 2 x 14,400 / 200
    "13.3b": 2e-3,  # 4,096 x 1e8 / (4 x 512 x 1e11)
    "13.3c": 100e9,  # 6.4e12 / 64
    "13.4b": 1280,  # 256 x 5
    "13.4c": 1,  # 12 / (4 x 3)
    "13.5b": 1.5,  # 3 / 2
    "13.5c": 94.28,  # 2 / 2.1213
    "13.6b": 1.344e-4,  # 80 x 141.1e9 / 84e15
    "13.6c": 6.047,  # 0.1344 / 2.2222
    "13.8": 64e12,  # 2 x 320 x 100e9
    "13.9": 1.8824,  # 4 / (200 / 64 - 1)
    "12.9": 3.271e-3,  # 2 x (62.222e-3 x 43e-6)^0.5
    "22.x1": 116,  # 191 rows with the row left out, 75 with its source
    "22.x2": 1.36,  # ln: 0.1420 + 0.3358 x 0.0036 / (0.0036 + 0.0327 / 9)
    "22.x3": 59.4,  # read off the diamond
    "22.1": 40.55,  # ln 1.5
    "22.2": 20,  # (8 + 12 + 40) / 3
    "22.3b": 1.1172,  # 0.4700 x 0.01 / 0.0424 = 0.1108
    "22.3c": 1.280,  # ln 1.399 = 0.3358, x 0.01 / (0.01 + 0.0036)
    "22.4b": 9.953,  # (0.0324 + 0.0289 / 4) / 4 = 0.009906
    "22.4c": 1.916,  # 15.69 / 67^0.5
    "22.5b": 47.83,  # 0.6408 deviations to each side
    "22.5c": 3.326,  # 1.2816 / 0.3853
    "22.6b": 5.469,  # (45 + 10 + 1) / 1024
    "22.6c": 7.173,  # (6188 + 2380 + 680 + 136 + 17 + 1) / 131072
    "22.8": 3.05,  # 70.8 / 23.2
    "22.9": 5.780,  # j = 0.17 / 0.18 x 30^0.5 = 5.17; 40 / 3.517 = 11.37 teams; (0.0324 + 0.0289 / 5.17) / 11.37
    "14.x1": 27,  # 3 / (27 + 3)
    "14.x2": 20.4,  # 32 micro-batches and 125 stages that wait: 32 / 157; the model adds head and embedding
    "14.x3": 1,  # a copy has one sequence of 8,192 tokens at a time, however many copies there are
    "14.1": 4.331e11,  # 70e9 x (2 + 4 + 0.1875)
    "14.2": 17.95,  # 7 / 39
    "14.3b": 5.185,  # 1.75 / 33.75
    "14.3c": 5.781,  # (1 + 15 / 16 v) / (1 + 15 / 32 v) = 1.075: v = 15 (1 / 16 - 1.075 / 32) / 0.075
    "14.4b": 32000,  # 4e14 / 12.5e9
    "14.4c": 7121,  # 2048 x 153 / 44
    "14.5b": 5.438,  # 2 x 8 (g - 1) / (72 d) x 666.7: 10.85 % and 16.88 %; 1.16879 / 1.10851
    "14.5c": 95.35,  # 142 / 135 = 1.05185; / 5.438 %
    "14.6b": 12000,  # 2 x 8 / 32 x 24,000
    "14.6c": 5.104,  # 131,072 / 16 = 8,192; 2 x 8 / 128 x 642e12 / 50e9 = 1,605
    "14.8": 13.04,  # 28,672 x 450e9 / 989.4e12
    # 4 gathers and 4 scatters forwards and backwards, 2 gathers more backwards: 10 x 2 x 16,384 x 7 / 8 bytes a token and layer,
    # 131,072 tokens, 126 / 16 layers: 295.95 GB. 18.17 GB to copies. (29.595^0.5 + 7.267^0.5)^2 / 60 = 8.1360^2 / 60
    "14.9": 1.1032,
    "15.x1": 8,  # 16,384 / 2,048
    "15.x2": 1024,  # 2^24 / 2^14
    "15.x3": 1.333,  # eight passes for six, in all but the head
    "15.1": 3.077,  # 10 / (9 / 4 + 1)
    "15.2": 1.6957,  # (32 + 7) / (16 + 7)
    "15.3b": 22.96,  # 6 x 3.1877e9 / (16 x 16,384 x 1,024) = 71.25; x 7.4 = 527.2; its root
    "15.3c": 5.740,  # 22.96 / 4
    "15.4b": 3.8945,  # (128 + 7 / 6) / (32 + 7 / 6) = 129.167 / 33.167
    "15.4c": 39.36,  # 23.66 / 6.34 = 3.73186; (4 - 3.8945) / (4 - 3.73186) = 0.10553 / 0.26814
    "15.5b": 0.9009,  # 2,048 / (73,728 + 2,048) = 2.7027 %; a third of it
    "15.5c": 2.139,  # 18.13 / 13.75 = 1.31855; 1 / 0.31855 - 1
    "15.6b": 7.639e10,  # 405.85e9 / 32 x (6 + 12 / 512) = 12.683e9 x 6.0234
    "15.6c": 17.98,  # 32.959 x 2^30 x 512 / 1.008e12
    "15.8": 2305.5,  # 15.73e12 + 0.7e12 = 16.43e12; / 96e9 = 171.1; 44 x 8,960 / 171
    "15.9": 6.4142,  # 5 + 0.25 k + 2 / k at k = 8^0.5: 5 + 2 x 0.5^0.5
}


def _one_by_one(forward_s, micro_batches):
    """1F1B, each stage working off its list as soon as it can."""
    p, done, clock = len(forward_s), {}, [0.0] * len(forward_s)
    lists = []
    for i in range(p):
        first = min(p - 1 - i, micro_batches)
        alternating = [w for m in range(micro_batches - first) for w in (("F", m + first), ("B", m))]
        lists.append(
            [("F", m) for m in range(first)] + alternating + [("B", micro_batches - first + m) for m in range(first)]
        )
    while any(lists):
        for i, todo in enumerate(lists):
            while todo:
                kind, m = todo[0]
                before = (kind, i - 1, m) if kind == "F" else (kind, i + 1, m)
                if 0 <= before[1] < p and before not in done:
                    break
                clock[i] = max(clock[i], done.get(before, 0.0)) + forward_s[i] * (1 if kind == "F" else 2)
                done[kind, i, m] = clock[i]
                todo.pop(0)
    return max(clock)


def _tried(chips, batch, least, cost, most=8):
    """Every pair of powers of two, priced."""
    pairs = [(2**i, 2**j) for i in range(4) for j in range(20) if 2**i <= most and 2 ** (i + j) <= chips]
    fitting = [(g, p) for g, p in pairs if g * p >= least and chips <= batch * g * p]
    return min(fitting, key=lambda pair: cost * (pair[0] - 1) + (pair[1] - 1) * chips / (batch * pair[0] * pair[1]))


# Exercises that take a function: one that is right, written otherwise than the package's, and one with the likely slip.
FUNCTIONS = {
    "12.3a": (lambda m, g, w, a: (2 * g - 2) * a + (2 - 2 / g) * m / w, lambda m, g, w, a: (g - 1) * (a + m / g / w)),
    "12.4a": (lambda g, w, a: a * w * g, lambda g, w, a: a * w),
    "12.5a": (lambda g: 2 - 4 / (g + 1), lambda g: 2 * (g - 1) / g),
    "12.6a": (lambda m, inner, outer: 2 * m / inner - 2 * m / inner / outer, lambda m, inner, outer: 2 * m / inner),
    "12.7": (
        lambda m, g, w, a: min(
            2 * (g - 1) * a + 2 * m / w * (1 - 1 / g), 2 * log2(g) * a + 2 * m / w + 4 * (log2(g) * a * m / w) ** 0.5
        ),
        lambda m, g, w, a: 2 * (g - 1) * (a + m / (g * w)),
    ),
    "08.3a": (lambda n, w, d, o, m: n * (d + o) / (m - n * w), lambda n, w, d, o, m: n * (w + d + o) / m),
    "08.4a": (lambda d, f: 16 * d + 4 * f, lambda d, f: 8 * d + 2 * f),
    "08.5a": (lambda m, n, a, b: m / (n * a + b), lambda m, n, a, b: m / n / (a + b)),
    "08.6a": (lambda b, r, t: b * r / t / 6, lambda b, r, t: b * r / t / 2),
    "08.7": (lambda c: max(np.cumsum(c)), lambda c: np.sum(c[c > 0])),
    "07.3a": (lambda n, h, d: n / h / d / 2, lambda n, h, d: n / h / d),
    "07.4a": (lambda s, d, b, t: s * s * d * b / t, lambda s, d, b, t: 2 * s * s * d * b / t),
    "07.5a": (
        lambda m, z, o, n, y, p: p + (o - p) / (1 + y / z * np.exp(min(n - m, 700))),
        lambda m, z, o, n, y, p: (o * z + p * y) / (z + y),
    ),
    "07.6a": (lambda h, c, k, i, d, n: 2 * n * h * k / (h * c - i * d), lambda h, c, k, i, d, n: 2 * n * k / c),
    "07.7": (
        lambda s, v, b: float(np.exp(s - s.max()) @ v / np.exp(s - s.max()).sum()),
        lambda s, v, b: float(np.mean(v)),
    ),
    "04.3a": (lambda n, d, g, p, s: n * d / g / p / s / 14400, lambda n, d, g, p, s: 2 * n * d / g / p / s / 86400),
    "04.4a": (
        lambda f, a, b, x, y: (a * x / b / y * (f / 6) ** y) ** (1 / (x + y)),
        lambda f, a, b, x, y: (a * x / b / y * (f / 6) ** x) ** (1 / (x + y)),
    ),
    "04.5a": (lambda d, n, m: 2 * d * n - 2 * d * m, lambda d, n, m: 6 * d * (n - m)),
    "04.6a": (
        lambda d, u, r: d if d <= u else u + u * r * (1 - np.exp((1 - d / u) / r)),
        lambda d, u, r: u + u * r * (1 - np.exp(-d / u / r)),
    ),
    "04.7": (
        lambda f, n: float(np.cov(np.log(f), np.log(n))[0, 1] / np.var(np.log(f), ddof=1)),
        lambda f, n: float(np.cov(np.log(f), np.log(n))[0, 1] / np.var(np.log(n), ddof=1)),
    ),
    "13.3a": (lambda m, g, w: m / w * g / 4, lambda m, g, w: m / w * g / 2),
    "13.4a": (lambda g, a, levels: (g + 2 * g * (levels - 1)) / a, lambda g, a, levels: g * levels / a),
    "13.5a": (lambda y, known, rate: y / (rate / known) ** 0.5, lambda y, known, rate: y * known / rate),
    "13.6a": (lambda p, g, w, layers: p / g / w * layers, lambda p, g, w, layers: p / g / w),
    "13.7": (
        lambda sides: min(1.0, 4 / max(sides) / sum(1 for side in sides if side > 1)),
        lambda sides: min(1.0, 4 / (3 * np.prod(sides) ** (1 / 3))),
    ),
    "22.3a": (
        lambda mean, g, classes, within: mean / (1 + within**2 / (g * classes**2)),
        lambda mean, g, classes, within: mean / (1 + within**2 / classes**2),
    ),
    "22.4a": (
        lambda g, j, source, row: ((source**2 * j + row**2) / (g * j)) ** 0.5,
        lambda g, j, source, row: ((source**2 + row**2) / (g * j)) ** 0.5,
    ),
    "22.5a": (
        lambda level, width: erf(width * NormalDist().inv_cdf(0.5 + level / 2) / 2**0.5),
        lambda level, width: level * width,
    ),
    "22.6a": (
        lambda n, w: sum(bin(tosses).count("1") >= w for tosses in range(2**n)) / 2**n,
        lambda n, w: comb(n, w) / 2**n,
    ),
    "22.7": (
        lambda values, sources: [
            float(np.median([v for v, s in zip(values, sources, strict=True) if s != own])) for own in sources
        ],
        lambda values, sources: [float(np.median(np.delete(values, i))) for i in range(len(values))],
    ),
    "14.3a": (lambda p, m, v: 1 - m * v / (m * v + p - 1), lambda p, m, v: (p - 1) / (m * v)),
    "14.4a": (lambda sent, p, w: p / (6 * w / sent), lambda sent, p, w: sent * p / w),
    "14.5a": (
        lambda g, d, n, b, p, w: (8 * b * d * (g - 1) / g / w) / (6 * n / g / p),
        lambda g, d, n, b, p, w: (8 * b * d / w) / (6 * n / g / p),
    ),
    "14.6a": (lambda b, dq, dk, p, w: p / w * b * dk / dq, lambda b, dq, dk, p, w: p / w * b),
    "14.7": (
        _one_by_one,
        lambda forward_s, micro_batches: 3 * max(forward_s) * micro_batches + 3 * sum(forward_s) - 3 * forward_s[0],
    ),
    "15.3a": (
        lambda bx, n, b, d, t, inside, port: (bx * n * inside / (8 * b * d * t * port)) ** 0.5,
        lambda bx, n, b, d, t, inside, port: (bx * n * port / (8 * b * d * t * inside)) ** 0.5,
    ),
    "15.4a": (
        lambda p, m, v, f: f * (m * v + p - 1) / (m * v + f * (p - 1)),
        lambda p, m, v, f: f * (m + p - 1) / (m + f * (p - 1)),
    ),
    "15.5a": (lambda r: 1 + 1 / (1 + r), lambda r: 1 + 1 / r),
    "15.6a": (lambda n, t, p, g: n / t / p * (6 + 12 / g), lambda n, t, p, g: n / t / p * (6 + 12) / g),
    "15.7": (_tried, lambda chips, batch, least, cost: (8, max(least // 8, 1))),
}
