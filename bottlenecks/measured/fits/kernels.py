"""Fit the constants of `kernels`: on measured sources whose role is `fit`, and on no others.

Each step below fits a few constants on the rows that show them, to the least mean |log error|, with
all others held; `tools/constants.py` writes the outcome into data/kernel_constants.csv, and a test
holds the file to it.
"""

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus, formats
from bottlenecks.facts.chips import chip
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.measured import frame
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.measured.cases import Cases
from bottlenecks.models import kernels

START = {
    "matmul_32": 0.8,
    "matmul_16": 0.8,
    "matmul_8": 0.7,
    "stream": 0.85,
    "fixed_s": 4e-6,
    "light_s": 2e-6,
    "effective_cache_bytes_per_clock": 50.0,
    "tile_s": 1e-6,
    "resident": 0.4,
    "best_of_sweep": 1.0,
    "link": 0.8,
    "flop_per_joule_16": np.inf,
    **{f"worked_{k}": 12.0 for k in kernels.WORKED},
}
FRACTIONS = ("matmul_32", "matmul_16", "matmul_8", "stream", "resident", "best_of_sweep", "link")
UNITS = {
    "flop_per_joule_16": "FLOP/J",
    "routing_16_s": "s",
    "routing_8_s": "s",
    "fixed_s": "s",
    "light_s": "s",
    "tile_s": "s",
    "effective_cache_bytes_per_clock": "B",
    **{f"worked_{kind}": "B" for kind in kernels.WORKED},
}
GRID = "grid of a layer's shapes"  # what a source shows: `corpus.showing`
SINGLES = ("sustained products", "cubes", "best of a sweep")  # products timed alone; the first to know, fits
STREAMS = ("stream scale", "stream triad", "stream copy", "stream mul", "stream add")
WIDE = {"32": ("fp32",), "16": ("fp16", "bf16", "tf32"), "8": ("fp8", "int8")}
LAYERS = {"activation": "SiLU", "norm": "norm", "rotary": "rotary"}
STARTS_S = np.arange(0, 80.5e-6, 0.5e-6)  # starts of a layer of experts that are tried
PER_JOULE = 1e12  # FLOP, where a search for it starts
BOARDS, WIDE_WATTS = 3, 3.0  # boards of a family, and how far apart in watts, that tell how much a joule does
POINTS, ROUNDS = 11, 6  # values tried around each constant; times that all are tried


class Fit:
    """Constants so far, by (family, name), and the rows that they are fitted on."""

    def __init__(self, *, without=(), strangers=()):
        """Leaves out the sources `without`, and what is measured on the families `strangers`."""
        every = _with_grids(corpus.table("kernels"))
        kept = (every["role"] == "fit") & (every["suspect"] == "")
        kept |= (every["role"] == "fit") & np.char.startswith(every["kernel"], "elementwise")
        self.rows = corpus.where(every, kept & ~np.isin(every["source_id"], without))
        self.cases = [c for c in measured_kernels.cases(self.rows).found if c.chip.family not in strangers]
        self.values, self.chosen = {}, {}

    def value(self, family, name):
        """A constant of a family: its own, that of the family it is like, of all, or the start."""
        homes = (*kernels.lineage(family), "any")
        return next((self.values[f, name] for f in homes if (f, name) in self.values), START[name])

    def select(self, *, family=None, kind=None, sources=None, kernels=("",), formats=None):
        """Pairs (case, mask of its rows) that a step is fitted on."""
        pairs = []
        for case in self.cases:
            mine = corpus.where(self.rows, case.rows)
            mask = _any(mine["kernel"], kernels)
            mask &= (sources is None) | np.isin(mine["source_id"], sources or ())
            right = family in (None, case.chip.family) and kind in (None, case.kind)
            if right and (formats is None or case.format in formats) and mask.any():
                pairs.append((case, mask))
        return pairs

    def residuals(self, pairs):
        """log(measured / predicted seconds) of the chosen rows."""
        found = [np.array([])]
        for case, mask in pairs:
            constants = {name: self.value(case.chip.family, name) for name in START}
            on = kernels.device(case.chip, case.format, constants=constants)
            mine = Cases(corpus.where(self.rows, case.rows), [], [])
            error = frame.slower("kernels", mine, case.time(on))
            found.append(error[mask & np.isfinite(error)])
        return np.concatenate(found)

    def step(self, keys, pairs):
        """Fit the constants `keys` on the chosen rows, one after the other, in narrowing rounds."""
        if not pairs:
            return
        for key in keys:
            self.values[key], self.chosen[key] = self.value(*key), pairs
        for width in 0.8 * 0.45 ** np.arange(ROUNDS):
            for key in keys:
                self.values[key] = self.best(key, pairs, width)

    def best(self, key, pairs, width):
        """The value with the least mean |log error| among some around the present one."""
        present = self.values[key]
        tried = present * np.exp(np.linspace(-width, width, POINTS))
        tried = np.minimum(tried, 1.0) if key[1] in FRACTIONS else tried
        errors = []
        for self.values[key] in tried:
            errors.append(np.abs(self.residuals(pairs)).mean())
        self.values[key] = present
        return float(tried[np.argmin(errors)])

    def range(self, key):
        """(low, high): where 80 % of the values lie that the source's groups ask for one by one."""
        wanted = []
        for case, mask in self.chosen[key]:
            if key[0] not in ("any", case.chip.family):
                continue
            names = self.rows["kernel"][case.rows]
            for name in np.unique(names[mask]):
                one, present = [(case, mask & (names == name))], self.values[key]
                for width in (0.5, 0.1, 0.02):
                    self.values[key] = self.best(key, one, width)
                wanted.append(self.values[key])
                self.values[key] = present
        return tuple(np.quantile(wanted, (0.1, 0.9))) if len(wanted) > 2 else (np.nan, np.nan)


def _with_grids(rows):
    """The corpus's rows, and products of `kernel_grids` on families of which it has no grid of a layer's shapes.

    Bare 16-bit products alone: the others time what an engine does beside them.
    """
    grids = corpus.table("kernel_grids")
    known = {row["chips"] for key, row in corpus.sources("kernels").items() if GRID in data.keys(row["shows"])}
    families = {chip(name).family for name in known}
    strange = np.array([chip(name).family not in families for name in grids["chip_name"].tolist()])
    more = corpus.where(grids, strange & (grids["kernel"] == "matmul") & (grids["dtype"] == "bf16"))
    blank = {np.dtype(float): np.nan}
    size = more["m"].size
    return {
        name: np.concatenate([of, more[name] if name in more else np.full(size, blank.get(of.dtype, ""))])
        for name, of in rows.items()
    }


def fit(*, without=(), strangers=()):
    """Every constant, in the order in which they can be told apart."""
    f = Fit(without=without, strangers=strangers)
    families = sorted({case.chip.family for case in f.cases})
    own = ("matmul_16", "stream", "fixed_s")
    shown, sampled = corpus.showing("kernels", GRID), tuple(corpus.sources("kernel_grids"))
    grids = {g: f.select(family=g, kind="matmul", sources=shown, formats=WIDE["16"]) for g in families}
    grids = {g: pairs for g, pairs in grids.items() if pairs}
    keys = [(g, name) for g in grids for name in own]
    shared = [("any", "effective_cache_bytes_per_clock"), ("any", "tile_s")]
    f.step(keys + shared, [pair for pairs in grids.values() for pair in pairs])
    for family in families:  # what all share is taken from whole grids
        pairs = f.select(family=family, kind="matmul", sources=sampled)
        f.step([(family, name) for name in own] if pairs else [], pairs)
        grids |= {family: pairs} if pairs else {}
    for family in families:  # memory, from streams
        if (family, "stream") not in f.values:
            f.step([(family, "stream")], f.select(family=family, kernels=STREAMS))
    burst = (*shown, *sampled, *corpus.showing("kernels", SINGLES[0]), *corpus.showing("kernels", SINGLES[1]))
    for family in families:  # boards of a family that differ in watts
        pairs = f.select(family=family, kind="matmul", sources=burst, formats=WIDE["16"])
        watts = {case.chip.tdp_watts for case, _ in pairs}
        if len(watts) >= BOARDS and max(watts) > WIDE_WATTS * min(watts):
            f.values[family, "flop_per_joule_16"] = PER_JOULE
            f.step([(family, "matmul_16"), (family, "flop_per_joule_16")], pairs)
    streams = {key: value for key, value in f.values.items() if key[1] == "stream"}
    middle = np.median(list(streams.values()))
    for key in streams:  # one program is one witness: halfway to the median of all families
        if key[0] not in grids:
            f.values[key] = float(np.sqrt(streams[key] * middle))
    for what in SINGLES:  # products timed alone, each format of each family
        sources = corpus.showing("kernels", what)
        for family in families:
            for width, spelled in WIDE.items():
                key = (family, f"matmul_{width}")
                pairs = f.select(family=family, kind="matmul", sources=sources, formats=spelled)
                f.step([key] if key not in f.values else [], pairs)
        if what == SINGLES[0]:
            best = corpus.showing("kernels", SINGLES[-1])
            f.step([("any", "best_of_sweep")], [p for g in grids for p in f.select(family=g, sources=best)])
    for name in ("matmul_32", "matmul_8", *own):
        known = [value for (_, n), value in f.values.items() if n == name]
        f.values["any", name] = float(np.median(known)) if known else START[name]
    norms = f.select(kernels=("elementwise layer norm",))
    f.step([("any", "worked_norm"), ("any", "light_s")], norms)
    for kind in ("activation", "rotary"):
        f.step([("any", f"worked_{kind}")], f.select(kernels=(f"elementwise {LAYERS[kind]}",)))
    for width in ("16", "8"):
        f.values["any", f"routing_{width}_s"] = routing_s(f, width)
    f.step([("any", "resident")], f.select(kernels=("elementwise residual",)))
    f.step([("any", "link")], f.select(kernels=("memcpy host", "memcpy device to", "p2p")))
    return f


# ---- layers of experts


def routing_s(f, width):
    """Start of a layer of experts, of least mean |log error| on the layers of `kernel_grids` in a width; every system counts alike.

    What is left of it when products, activation and moves are those of the ledger. Weights of four bits beside wider
    operands are left out: which kernel widened them is not said.
    """
    rows = corpus.table("kernel_grids")
    mine = (rows["kernel"] == "mixture of experts") & (rows["weight_dtype"] == "") & (rows["suspect"] == "")
    rows = corpus.where(rows, mine & (np.char.startswith(rows["dtype"], "bf16") == (width == "16")))
    known = np.array([_experts_s(f, {c: v[i] for c, v in rows.items()}) for i in range(rows["m"].size)])

    def loss(start_s):
        off = np.abs(np.log(rows["time_s"] / (known + start_s)))
        return np.mean([np.nanmean(off[rows["source_id"] == source]) for source in np.unique(rows["source_id"])])

    return float(min(STARTS_S, key=loss))


def _experts_s(f, row):
    """Seconds of a layer of experts by the ledger's rows: both products of those touched, the activation, the moves."""
    on = chip(str(row["chip_name"]))
    format = formats.narrowest(str(row["dtype"])) or "bf16"
    if format not in on.peaks:
        return np.nan
    device = kernels.device(on, format, constants={name: f.value(on.family, name) for name in START})
    several = max(row["m"] * row["experts_per_token"] / row["ep"], 1.0)  # rows of this rank
    touched = min(row["batch"], several)
    stored = {
        "device": device,
        "groups": touched,
        "weight_bytes": bytes_per_value(formats.stored(str(row["dtype"]).split()[0])),
    }
    products = kernels.matmul_s(several / touched, row["k"], 2 * row["n"], **stored)
    products = products + kernels.matmul_s(several / touched, row["n"], row["k"], **stored)
    kept = kernels.elementwise_s(6 * several * row["n"], device=device, kind="activation")
    moved = (4 * several + 2 * row["m"] * 3) * row["k"]  # dealt out, and summed up
    return float(products + kept + kernels.elementwise_s(moved, device=device))


def rows():
    """The rows of data/kernel_constants.csv, as dictionaries."""
    f = fit()
    table = []
    for (family, name), value in sorted(f.values.items(), key=lambda item: _order(item[0])):
        pairs = f.chosen.get((family, name), [])
        low, high = f.range((family, name)) if pairs else (np.nan, np.nan)
        sources = sorted({s for c, m in pairs for s in f.rows["source_id"][c.rows[m]].tolist()})
        table.append(_row(family, name, value, low, high, sum(int(m.sum()) for _, m in pairs), sources))
    return sorted(table, key=lambda row: _order((row["family"], row["constant"])))


def _order(key):
    return key[0] != "any", key


def _row(family, name, value, low, high, count, sources):
    low, high = ("" if np.isnan(v) else f"{v:.4g}" for v in (low, high))
    return {
        "family": family,
        "constant": name,
        "value": f"{value:.4g}",
        "low": low,
        "high": high,
        "unit": UNITS.get(name, "1"),
        "rows": str(count or ""),
        "sources": ";".join(sources),
    }


def _any(texts, words):
    return np.any([np.char.find(texts, word) >= 0 for word in words], axis=0)
