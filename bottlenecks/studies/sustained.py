"""What boards sustain of their printed peak: watts for each operation, values that switch less, rows above the peak."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import power, roofline
from bottlenecks.measured import scores

LEAST_FLOP = 5e10  # of a product that lasts long enough to be called sustained: a cube of side 2,924
SHOWN = ("sustained products", "cubes", "best of a sweep")  # sources that looked for the best: `corpus.showing`
WIDTHS = {"16 bits": ("bf16", "fp16"), "8 bits": ("fp8", "int8")}
PAST_THE_PEAK = "above the datasheet's rate: the card clocks past its boost"  # a doubt of the corpus


@cache
def boards(width="16 bits"):
    """The best large product of each chip in the formats of a width: one element a chip in every column.

    `watts_per_flop_per_s` is the rated power over the dense peak: the joules that the board has for each operation at
    its peak. `fraction` is measured over peak, and `joules_per_flop` what the board spends on each operation if it is at its
    rated power: power over the measured rate. Modules whose rated power feeds a processor too are left out.
    """
    rows = corpus.table("kernels")
    flop = roofline.matmul_flop(rows["m"], rows["k"], rows["n"])
    with np.errstate(invalid="ignore"):
        rate = np.where(np.isfinite(rows["flop_per_s"]), rows["flop_per_s"], flop / rows["time_s"])
    mine = np.char.startswith(np.char.lower(rows["kernel"]), "matmul") & (rows["chip_name"] != "")
    mine &= np.isin(rows["dtype"], WIDTHS[width]) & np.isfinite(rate) & (flop >= LEAST_FLOP)
    mine &= np.isin(rows["source_id"], [source for shown in SHOWN for source in corpus.showing("kernels", shown)])
    best = {}
    for i in np.flatnonzero(mine):
        device, format = chip(rows["chip_name"][i]), str(rows["dtype"][i])
        if device.tdp_watts is not None and format in device.peaks and device.kind != "GPU+CPU":
            best.setdefault(device.name, []).append((float(rate[i]) / device.peak_flop_per_s(format), i))
    found = sorted(max(each) for each in best.values())
    index = np.array([i for _, i in found])
    peak = np.array([chip(rows["chip_name"][i]).peak_flop_per_s(str(rows["dtype"][i])) for i in index])
    watts = np.array([chip(rows["chip_name"][i]).tdp_watts for i in index])
    return {
        "chip": rows["chip_name"][index],
        "family": np.array([chip(name).family for name in rows["chip_name"][index]]),
        "format": rows["dtype"][index],
        "source": rows["source_id"][index],
        "watts": watts,
        "watts_per_flop_per_s": watts / peak,
        "fraction": rate[index] / peak,
        "flop_per_s": rate[index],
        "joules_per_flop": watts / rate[index],
    }


def correlation(width="16 bits"):
    """Rank correlation of a board's watts for each operation with the fraction of its peak that it reaches."""
    found = boards(width)
    ranks = [np.argsort(np.argsort(found[c])) for c in ("watts_per_flop_per_s", "fraction")]
    return float(np.corrcoef(*ranks)[0, 1])


def kin(width="16 bits"):
    """Family -> indices into `boards` of its members, fewest watts for each operation first; families of several alone."""
    found = boards(width)
    order = np.argsort(found["watts_per_flop_per_s"], kind="stable")
    members = {family: order[found["family"][order] == family] for family in np.unique(found["family"]).tolist()}
    return {family: each for family, each in members.items() if each.size > 1}


def richer_is_faster(width="16 bits"):
    """(families in which the board with the most watts for each operation reaches more of its peak than that with the least, families)."""
    fraction = boards(width)["fraction"]
    gains = [fraction[each[-1]] > fraction[each[0]] for each in kin(width).values()]
    return sum(map(int, gains)), len(gains)


# ---- values


@cache
def by_values():
    """Published rates of one product on one chip with other values in it: one element a row of data/power_measured.csv."""
    rows = [row for row in data.rows("power_measured") if row["tflops"] and row["m"] and _one(row)]
    rate = np.array([float(row["tflops"]) * 1e12 for row in rows])
    peak = chip("A100 SXM 80GB").peak_flop_per_s("fp16")
    return {
        "operands": np.array([row["operands"] for row in rows]),
        "confidence": np.array([row["confidence"] for row in rows]),
        "source": np.array([row["source_id"] for row in rows]),
        "flop_per_s": rate,
        "fraction": rate / peak,
    }


def _one(row):
    return (row["chip"], row["m"], row["n"], row["k"]) == ("A100", "8192", "8192", "8192")


def of_a_large_cube():
    """The losses of an 8,192 cube on an A100, and what of them is power: shares of the dense peak, and factors.

    zeros and random: fractions of the peak. other: what even zeros lose. power: what random values lose beside zeros.
    guide: the cube of the corpus's guide, on random values. wanted: how many times its power above idle the board would need
    for random values at the clock of zeros, at least (fixed voltage) and at most (voltage with the clock).
    """
    rate = dict(zip(by_values()["operands"].tolist(), by_values()["fraction"].tolist(), strict=True))
    rows = corpus.table("kernels")
    cube = (rows["m"] == 8192) & (rows["n"] == 8192) & (rows["k"] == 8192) & (rows["chip_name"] == "A100 SXM 80GB")
    cube &= np.isin(rows["source_id"], corpus.showing("kernels", "sustained products")) & (rows["dtype"] == "fp16")
    zeros, random = rate["zeros"], rate["random normal"]
    return {
        "zeros": zeros,
        "random": random,
        "other": 1 - zeros,
        "power": zeros - random,
        "guide": float(rows["flop_per_s"][cube][0]) / chip("A100 SXM 80GB").peak_flop_per_s("fp16"),
        "clock": random / zeros,
        "wanted": tuple(float(power.watts_wanted(random / zeros, exponent=x)) for x in (1, 3)),
    }


def clock_under_linpack():
    """(sustained, highest) clock of an A100 under HPL at its power limit, Hz."""
    (row,) = (row for row in data.rows("power_measured") if row["clock_ghz"])
    return float(row["clock_ghz"]) * 1e9, float(row["of_clock_ghz"]) * 1e9


# ---- rows that are left out


def left_out(kind="kernels"):
    """Rows of a table: how many measured rows are in no score, and why; rows printed twice apart."""
    rows, found = corpus.table(kind), scores.table(kind)
    lines = []
    for reason in np.unique(rows["suspect"]).tolist():
        mine = (rows["suspect"] == reason) & (reason != "")
        if mine.any():
            lines.append(_counted(rows, mine, reason))
    repeated = (rows["duplicate_of"] >= 0) & (rows["suspect"] == "")
    unmatched = (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & ~np.isfinite(found["ratio"])
    for mine, reason in ((repeated, "printed before"), (unmatched, "no prediction: a size or the chip is not known")):
        if mine.any():
            lines.append(_counted(rows, mine, reason))
    return sorted(lines, key=lambda line: -line["rows"])


def _counted(rows, mine, reason):
    of = {role: int((mine & (rows["role"] == role)).sum()) for role in ("fit", "held-out")}
    return {"why": reason, "rows": int(mine.sum())} | of | {"sources": len(np.unique(rows["source_id"][mine]))}


def above_peak():
    """Rows of a table: for each chip and format the largest measured rate that is above the printed dense peak."""
    rows = corpus.table("kernels")
    mine = np.flatnonzero(rows["suspect"] == PAST_THE_PEAK)
    lines = {}
    for i in mine[np.argsort(rows["flop_per_s"][mine])]:
        device, format = chip(rows["chip_name"][i]), str(rows["dtype"][i])
        peak = device.peak_flop_per_s(format)
        same = (rows["chip_name"][mine] == device.name) & (rows["dtype"][mine] == format)
        lines[device.name, format] = {
            "chip": device.name,
            "format": format,
            "rows": int(same.sum()),
            "most measured": si(rows["flop_per_s"][i], "FLOP/s"),
            "printed peak": si(peak, "FLOP/s"),
            "over it": f"{rows['flop_per_s'][i] / peak - 1:+.1%}",
            "clock, at least": f"{plain(rows['flop_per_s'][i] / peak * device.clock_hz / 1e9, 3)} GHz",
            "printed clock": f"{plain(device.clock_hz / 1e9, 3)} GHz",
        }
    return [lines[key] for key in sorted(lines)]


def kept_above_peak():
    """(rows above the printed peak that are left out of the scores, rows of products in all)."""
    rows = corpus.table("kernels")
    products = np.char.startswith(np.char.lower(rows["kernel"]), "matmul")
    return int((rows["suspect"] == PAST_THE_PEAK).sum()), int(products.sum())


# ---- launches


def launch_gap():
    """Seconds of the processor for one empty kernel, launched alone and as a node of a graph: slopes over chains of them.

    {"direct_s", "graph_s", "graph_fixed_s", "launches": (least, most)}
    """
    rows = [row for row in data.rows("launch_measured") if not row["busy_us"]]
    count = np.array([float(row["launches"]) for row in rows])
    direct, graph = (np.array([float(row[c]) * 1e-6 for row in rows]) for c in ("direct_us", "graph_us"))
    slope, fixed = np.polyfit(count, graph, 1)
    return {
        "direct_s": float(np.polyfit(count, direct, 1)[0]),
        "graph_s": float(slope),
        "graph_fixed_s": float(fixed),
        "launches": (int(count.min()), int(count.max())),
    }


def eager_frame():
    """A whole program launched kernel by kernel and as a graph: launches, seconds of each way, seconds that the chip works."""
    (row,) = (row for row in data.rows("launch_measured") if row["busy_us"])
    direct, graph, busy = (float(row[c]) * 1e-6 for c in ("direct_us", "graph_us", "busy_us"))
    return {"launches": int(row["launches"]), "direct_s": direct, "graph_s": graph, "busy_s": busy}
