"""Fit of what training adds to kernels and wires: four constants, on sources of role fit alone.

Each is fitted on the runs that show it, with all others held: operations of a joule where a family's power is the
bound, and what the software of a year gains; and how strongly practitioners prefer speed. The layouts that rows leave
open are chosen with the constants as they were; run the fit again until nothing differs.
"""

from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.laws import power
from bottlenecks.measured import frame, training
from bottlenecks.models import constants
from bottlenecks.models import training as step

UNITS = {"flop_per_joule_16": "FLOP/J"}
FAMILY, SINCE_TUNED = "Hopper", "2024"  # whose power is the bound; from when software gains on it
EACH = 8  # runs of a source that the taste for speed is read off
SURE = 0.82  # of a logarithm of likelihood: where it lies with 80 %
ROUNDS, NEAR = 3, 1.05  # rounds over all constants; losses so near the least are in the range
WIDTHS = 0.30 * 0.4 ** np.arange(4)  # of a logarithm, around the present value


def _capped(case):
    return case.on.family == FAMILY


CONSTANTS = {  # (of what, constant): which runs show it
    (FAMILY, "flop_per_joule_16"): lambda case: _capped(case) and not case.on.narrow and case.software.per_joule == 1,
    (SINCE_TUNED, "per_joule"): lambda case: _capped(case) and case.software.name >= SINCE_TUNED,
    (SINCE_TUNED, "tuned_attention"): lambda case: _capped(case) and case.software.name >= SINCE_TUNED,
}


class Fit:
    """Constants so far, and the runs that they are fitted on, each with its measured seconds."""

    def __init__(self):
        rows = corpus.table("training")
        rows = corpus.where(rows, (rows["role"] == "fit") & (rows["suspect"] == ""))
        self.cases = training.cases(rows)
        slower = np.exp(frame.slower("training", self.cases, training.predict(self.cases, owners=False)["seconds"]))
        self.measured_s = {}  # by case: seconds of each row, from whatever rate its source prints
        for case in self.cases.found:
            self.measured_s[id(case)] = case.step.seconds * slower[case.rows]
        self.values = {key: constants.training()[key] for key in CONSTANTS}

    def shown(self, key):
        """The cases on which a constant is fitted."""
        return [
            case for case in self.cases.found if CONSTANTS[key](case) and np.isfinite(self.measured_s[id(case)]).any()
        ]

    def loss(self, cases):
        """Mean over sources of the mean |log(predicted / measured)|."""
        sources, off = [], []
        for case in cases:
            on, software = _with(case, self.values)
            seconds = step.seconds(case.model, case.layout, on=on, software=software)
            known = np.isfinite(self.measured_s[id(case)])
            off.append(np.abs(np.log(seconds / self.measured_s[id(case)]))[known])
            sources.append(self.cases.columns["source_id"][case.rows][known])
        sources, off = np.concatenate(sources), np.concatenate(off)
        return float(np.mean([off[sources == source].mean() for source in np.unique(sources)]))

    def tried(self, key, values):
        """The loss at each of some values of one constant."""
        present, cases = self.values[key], self.shown(key)
        losses = []
        for self.values[key] in values:
            losses.append(self.loss(cases))
        self.values[key] = present
        return np.array(losses)

    def best(self, key, widths=WIDTHS, points=9):
        """The value of least loss, by narrowing grids around the present one."""
        start = self.values[key]
        for width in widths:
            values = self.values[key] * np.exp(np.linspace(-width, width, points))
            self.values[key] = float(values[np.argmin(self.tried(key, values))])
        found, self.values[key] = self.values[key], start
        return found


def _with(case, values):
    """(machine, software) of a case as they would be with other constants."""
    on, software = case.on, case.software
    joule = values.get((on.family, f"flop_per_joule_{8 * on.bytes_per_value}"))
    if joule:
        share = power.sustained_share(on.matmul_flop_per_s, flop_per_joule=joule, watts=on.tdp_watts)
        on = replace(on, sustained=share)
    since = SINCE_TUNED <= software.name
    gains = {n: v for (of, n), v in values.items() if since and of == SINCE_TUNED and getattr(software, n) != 1}
    return on, replace(software, **gains)


def fit():
    """Constant -> {value, low, high, rows, sources}, in the order in which they can be told apart."""
    f = Fit()
    for _ in range(ROUNDS):
        for key in CONSTANTS:
            f.values[key] = f.best(key)
    found = {}
    for key in CONSTANTS:
        values = f.values[key] * np.exp(np.linspace(-0.6, 0.6, 61))
        losses = f.tried(key, values)
        near = values[losses <= NEAR * losses.min()]
        rows = np.concatenate([case.rows for case in f.shown(key)])
        sources = sorted(set(f.cases.columns["source_id"][rows].tolist()))
        found[key] = {
            "value": f.values[key],
            "low": near.min(),
            "high": near.max(),
            "rows": rows.size,
            "sources": sources,
        }
    return found


# ---- how strongly practitioners prefer speed


def taste():
    """The exponent of eq:taste, of largest likelihood on runs that state how they were cut; every source counts alike.

    Each run is cut anew in every way that fits; the layout that it states is one choice among them, at random up to how
    much longer it takes than the fastest.
    """
    chosen = {}
    for source, row in _stated():
        try:
            found = _choice(row)
        except ValueError:
            continue
        chosen.setdefault(source, []).append(found)
    tried = np.arange(0, 40.5, 0.5)

    def likelihood(power):
        each = [
            np.mean([-power * own - np.log(np.exp(-power * np.append(others, own)).mean()) for own, others in choices])
            for choices in chosen.values()
        ]
        return np.mean(each)

    values = np.array([likelihood(power) for power in tried])
    near = tried[values >= values.max() - SURE / len(chosen)]
    runs = sum(len(choices) for choices in chosen.values())
    ends = {"low": near.min(), "high": near.max()}
    return {"value": tried[values.argmax()], **ends, "rows": runs, "sources": sorted(chosen)}


def _stated():
    """(source, row) of some runs that state a layout: at most `EACH` of a source, evenly spaced over its rows."""
    rows = corpus.table("training")
    told = np.isfinite(rows["tp"] + rows["n_chips"] + rows["global_batch_seqs"]) & (rows["n_chips"] >= 8)
    told &= (rows["role"] == "fit") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    for source in dict.fromkeys(rows["source_id"][told].tolist()):
        mine = np.flatnonzero(told & (rows["source_id"] == source))
        for i in mine[np.unique(np.linspace(0, mine.size - 1, EACH).astype(int))].tolist():
            yield source, {name: values[i].item() for name, values in rows.items()}


def _choice(row):
    """(logarithm of the stated layout's time over the fastest that fits, the same of each that fits)."""
    own = training.weighed(row)
    others = training.weighed(
        row | dict.fromkeys(("tp", "pp", "vpp", "cp", "ep", "micro_batch"), np.nan) | {"recompute": ""}
    )
    fits = others.weights > 0
    least = others.each_s[fits].min()
    return np.log(own.each_s[np.argmax(own.weights)] / least), np.log(others.each_s[fits] / least)


def rows():
    """The rows of data/training_constants.csv, as dictionaries."""
    lines = [
        {
            "of": of,
            "constant": name,
            **{column: f"{found[column]:.4g}" for column in ("value", "low", "high")},
            "unit": UNITS.get(name, "1"),
            "rows": str(found["rows"]),
            "sources": ";".join(found["sources"]),
        }
        for (of, name), found in (fit() | {("any", "taste"): taste()}).items()
    ]
    return lines
