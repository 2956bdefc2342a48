"""The proof of the tile law: products measured at every row count, most of which no fit has seen.

`data/dense_products.csv` has 32 products of Llama-2's layers on two chips, each at 259 row counts: one line a product, one
column a row count, the cell its median kernel time in microseconds (Vidur's profiles). The constants of `kernels` are fitted on
the powers of two among them, where tiles nearly always fit; all other row counts are held out.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import roofline, tiling
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.measured import scores
from bottlenecks.models import kernels

FORMAT = "fp16"
CHIPS = ("A100 SXM 80GB", "H100 SXM5")
RIVALS = ("datasheet", "three constants", "model")
RANGES = {"below 128 rows": (1, 127), "128 to 1,024 rows": (128, 1024), "above 1,024 rows": (1025, 4096)}
TOOTH = 0.04  # a step in time, from one row count to the next, that is called a tooth
LONG_S = 25e-6  # a shorter time is not asked for teeth: the source rounds to a microsecond, 4 % of this one
LARGEST = ((256, 128), (128, 256))  # of kernels.TILES
FIRST = 128  # rows from which teeth are asked for: below, memory owns the time and hides them
POINTS, ROUNDS, WIDEST = 17, 8, 0.8  # values tried around each constant; rounds, each 0.45 as wide as the one before


@cache
def dense(chip_name):
    """The measured grid of a chip: k, n (a product), rows (a column), seconds [row, product], powers of two."""
    name = find_chip(chip_name)
    lines = [row for row in data.rows("dense_products") if row["chip"] == name]
    if not lines:
        raise ValueError(f"{name} has no dense grid; {' and '.join(CHIPS)} have")
    counts = [column for column in lines[0] if column.isdigit()]
    rows = np.array(counts, dtype=float)[:, None]
    return SimpleNamespace(
        chip=chip(name),
        k=np.array([float(line["k"]) for line in lines]),
        n=np.array([float(line["n"]) for line in lines]),
        rows=rows,
        seconds=np.array([[float(line[c]) for line in lines] for c in counts]) * 1e-6,
        fitted=np.log2(rows[:, 0]) % 1 == 0,
    )


def shapes():
    """(k, n) of the products of the grid, smallest first."""
    grid = dense(CHIPS[0])
    return sorted(zip(grid.k.tolist(), grid.n.tolist(), strict=True))


def sweep(chip_name, *, k, n):
    """Measured times of one product: columns m, time_s, fitted."""
    grid = dense(chip_name)
    mine = np.flatnonzero((grid.k == k) & (grid.n == n))
    return {"m": grid.rows[:, 0], "time_s": grid.seconds[:, mine[0]], "fitted": grid.fitted}


# ---- three predictions


@cache
def three_constants(chip_name):
    """(share of the peak, share of the bandwidth, fixed seconds) of eq:smooth-roofline with the least mean |log error|.

    Fitted as the constants of `kernels` are, on powers of two alone.
    """
    grid = dense(chip_name)
    mine, seconds = grid.rows[grid.fitted], grid.seconds[grid.fitted]

    def error(tried):
        return np.abs(np.log(smooth_s(mine, grid.k, grid.n, device=grid.chip, constants=tried) / seconds)).mean()

    found = [0.75, 0.8, 5e-6]
    for width in WIDEST * 0.45 ** np.arange(ROUNDS):
        for i in (0, 1, 2, 0, 1, 2):
            tried = [[*found[:i], found[i] * f, *found[i + 1 :]] for f in np.exp(np.linspace(-width, width, POINTS))]
            found = min(tried, key=error)
    return tuple(found)


def smooth_s(m, k, n, *, device, constants, format=FORMAT, groups=1):
    """Seconds of a product by eq:smooth-roofline with three constants, as `three_constants` has them."""
    share, stream, fixed_s = constants
    return tiling.smooth_s(
        groups * roofline.matmul_flop(m, k, n),
        groups * roofline.matmul_bytes(m, k, n, value_bytes=bytes_per_value(format)),
        flop_per_s=share * device.peak_flop_per_s(format),
        bytes_per_s=stream * device.memory_bytes_per_s,
        fixed_s=fixed_s,
    )


@cache
def predicted(chip_name):
    """Rival -> seconds [row, product]: the datasheet's roofline, three constants, the model of the book."""
    grid = dense(chip_name)
    sizes = grid.rows, grid.k, grid.n
    bound_s = roofline.time_s(
        roofline.matmul_flop(*sizes),
        roofline.matmul_bytes(*sizes, value_bytes=bytes_per_value(FORMAT)),
        peak_flop_per_s=grid.chip.peak_flop_per_s(FORMAT),
        bytes_per_s=grid.chip.memory_bytes_per_s,
    )
    smooth = smooth_s(*sizes, device=grid.chip, constants=three_constants(chip_name))
    modelled = kernels.matmul_s(*sizes, device=kernels.device(grid.chip, FORMAT))
    return dict(zip(RIVALS, (bound_s, smooth, modelled), strict=True))


def errors(chip_name, *, fitted=False, between=(1, np.inf)):
    """Rows scored, and each rival's mean absolute error, on powers of two (`fitted`) or on all other row counts."""
    grid = dense(chip_name)
    rows = grid.rows[:, 0]
    mine = (grid.fitted == fitted) & (rows >= between[0]) & (rows <= between[1])
    found = {rival: float(np.abs(s[mine] / grid.seconds[mine] - 1).mean()) for rival, s in predicted(chip_name).items()}
    return {"rows": int(mine.sum()) * grid.k.size} | found


def held_out_errors():
    """Source -> errors on products of held-out sources by tuned libraries, of three constants and of the model.

    The three constants of another chip: its family's fraction of the peak, lowered as on the two chips of the grid, its
    family's share of the bandwidth, and their mean time to start.
    """
    known = np.array([three_constants(name) for name in CHIPS])
    fractions = [kernels.family_constants(chip(name).family)["matmul_16"] for name in CHIPS]
    lowered, fixed_s = float(np.mean(known[:, 0] / fractions)), float(known[:, 2].mean())
    rows, table = corpus.table("kernels"), scores.table("kernels")
    fair = (rows["suspect"] == "") & (rows["duplicate_of"] < 0) & np.isfinite(table["ratio"])
    mine = np.flatnonzero(fair & (rows["role"] == "held-out") & (table["group"] == "matmul"))
    few = corpus.where(rows, mine)
    cases = measured_kernels.cases(few)
    seconds = np.full(mine.size, np.nan)
    for case in cases.found:
        known_of = kernels.family_constants(case.chip.family)
        share = known_of[f"matmul_{kernels.width(case.format)}"] * lowered
        m, k, n, groups = (few[c][case.rows] for c in ("m", "k", "n", "batch"))
        groups = np.where(np.char.startswith(np.char.lower(few["kernel"][case.rows]), "grouped"), groups, 1)
        constants = share, known_of["stream"], fixed_s
        seconds[case.rows] = smooth_s(
            m, k, n, device=case.chip, constants=constants, format=case.format, groups=np.nan_to_num(groups, nan=1.0)
        )
    measured, smooth, _ = measured_kernels.headline(cases, seconds)
    model, rival = np.abs(table["ratio"][mine] - 1), np.abs(smooth / measured - 1)
    return {
        str(source): {
            "rows": int(of.sum()),
            "three constants": float(np.nanmean(rival[of])),
            "model": float(model[of].mean()),
        }
        for source in np.unique(few["source_id"])
        for of in [few["source_id"] == source]
    }


def error_table():
    """Rows of a table: the model beside its simplest rivals, on what they were fitted on and on what they were not."""
    lines = []
    for name in CHIPS:
        for fitted, word in ((True, "fitted on: powers of two"), (False, "held out: all other row counts")):
            lines.append({"rows": f"{_short(name)}, {word}"} | _percent(errors(name, fitted=fitted)))
    found = held_out_errors()
    means = {rival: float(np.mean([line[rival] for line in found.values()])) for rival in RIVALS[1:]}
    total = {"rows": sum(line["rows"] for line in found.values()), RIVALS[0]: np.nan} | means
    return [*lines, {"rows": f"{len(found)} held-out sources, mean over sources"} | _percent(total)]


def range_table():
    """Rows of a table: errors on row counts that no fit has seen, by chip and range of rows."""
    return [
        {"rows": f"{_short(name)}, {word}"} | _percent(errors(name, between=ends))
        for name in CHIPS
        for word, ends in RANGES.items()
    ]


def _percent(found):
    told = {rival: f"{found[rival]:.1%}" if np.isfinite(found[rival]) else "" for rival in RIVALS}
    return {"measured": f"{found['rows']:,}"} | told


def _short(name):
    return name.split()[0]


# ---- teeth


@cache
def steps(chip_name):
    """Each step from a row count to the next, of each product: before, after, k, n, and the share by which time grows.

    `predicted` and `measured` are flat arrays; steps below `FIRST` rows and of times below `LONG_S` are left out.
    """
    grid = dense(chip_name)
    asked = (grid.rows[:-1] >= FIRST) & (grid.seconds[:-1] >= LONG_S)
    before, after, k, n = np.broadcast_arrays(grid.rows[:-1], grid.rows[1:], grid.k, grid.n)
    modelled = predicted(chip_name)["model"]
    columns = {
        "before": before,
        "after": after,
        "k": k,
        "n": n,
        "before_s": grid.seconds[:-1],
        "after_s": grid.seconds[1:],
    }
    columns |= {"predicted": modelled[1:] / modelled[:-1] - 1, "measured": grid.seconds[1:] / grid.seconds[:-1] - 1}
    return {name: values[asked] for name, values in columns.items()}


def teeth(chip_name):
    """How often a predicted tooth is followed by a measured one, against how often any step is one.

    steps, predicted and measured count; `followed` is the share of predicted teeth that are measured, `base` that of all
    steps, `found` the share of measured teeth that were predicted, `correlation` that of the two steps.
    """
    step = steps(chip_name)
    said, seen = step["predicted"] > TOOTH, step["measured"] > TOOTH
    return {
        "steps": said.size,
        "predicted": int(said.sum()),
        "measured": int(seen.sum()),
        "followed": float(seen[said].mean()),
        "base": float(seen.mean()),
        "elsewhere": float(seen[~said].mean()),
        "found": float(said[seen].mean()),
        "correlation": float(np.corrcoef(step["predicted"], step["measured"])[0, 1]),
    }


def teeth_table():
    """Rows of a table: predicted teeth and what was measured there, for each chip."""
    return [
        {
            "chip": _short(name),
            "steps": f"{found['steps']:,}",
            "teeth predicted": f"{found['predicted']:,}",
            "of these measured": f"{found['followed']:.0%}",
            "of all steps": f"{found['base']:.0%}",
            "measured teeth foretold": f"{found['found']:.0%}",
        }
        for name in CHIPS
        for found in [teeth(name)]
    ]


def unforeseen(chip_name, *, least=0.2):
    """Rows of a table: row counts after which several products grow by `least` or more where the model says no tooth."""
    step = steps(chip_name)
    odd = (step["measured"] >= least) & (step["predicted"] <= TOOTH)
    lines = []
    for before in np.unique(step["before"][odd]).tolist():
        mine = np.flatnonzero(odd & (step["before"] == before))
        most = mine[step["measured"][mine].argmax()]
        lines.append(
            {
                "rows": f"{plain(before, 5)} to {plain(step['after'][most], 5)}",
                "products": mine.size,
                "most": f"+{step['measured'][most]:.0%}",
                "k x n": f"{int(step['k'][most]):,} x {int(step['n'][most]):,}",
                "time": f"{si(step['before_s'][most], 's')} to {si(step['after_s'][most], 's')}",
            }
        )
    return sorted(lines, key=lambda line: -line["products"])


# ---- the rate sustained


def sustained(chip_name, *, arithmetic_s=100e-6, fill=0.95):
    """Fractions of the peak that large, well-filled products reach: columns rows, k, n, filled, fraction.

    Large: `arithmetic_s` or more at the peak, and half more than memory asks for. Well filled: the largest tiles leave
    `fill` or more of eq:filled. Lowest fraction first; the model gives all of them nearly the same one.
    """
    grid = dense(chip_name)
    sizes = grid.rows, grid.k, grid.n
    flop = roofline.matmul_flop(*sizes)
    busy_s = flop / grid.chip.peak_flop_per_s(FORMAT)
    traffic_s = roofline.matmul_bytes(*sizes, value_bytes=bytes_per_value(FORMAT)) / grid.chip.memory_bytes_per_s
    of_tiles = [
        tiling.filled(grid.rows, grid.n, tile_rows=a, tile_columns=b, cores=grid.chip.cores) for a, b in LARGEST
    ]
    best = np.max(of_tiles, axis=0)
    mine = (busy_s >= arithmetic_s) & (busy_s >= 1.5 * traffic_s) & (best >= fill)
    rows, k, n = np.broadcast_arrays(*sizes)
    columns = {"rows": rows, "k": k, "n": n, "filled": best, "time_s": grid.seconds, "fraction": busy_s / grid.seconds}
    order = np.argsort(columns["fraction"][mine], kind="stable")
    return {name: values[mine][order] for name, values in columns.items()}
