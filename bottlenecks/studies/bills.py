"""Bills: published training runs redone, from operations to chip-hours to days, predicted beside what was reported."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.readers import Cells
from bottlenecks.laws import counting
from bottlenecks.measured import frame

ONE_NUMBER = 0.4  # of the peak: the simplest rival, a utilisation that everybody quotes
LONGEST = 8192  # tokens of a sequence in which nearly all of a run is trained, however long the model's context becomes
COLUMNS = ("model", "chip", "n_chips", "software_date", "tokens_per_s_per_chip")  # of a row as the predictor reads it


@cache
def runs():
    """The run history, as columns: one element for each run, NaN or '' where no source states it.

    name, year; params, active (those that a token uses), tokens; reported_flop; flop: 6ND and the operations of attention
    where the shape is known; six_n_d_flop; chip, chips, chip_s and days as reported, peak_flop_per_s; mfu as printed, and
    used: flop over chip seconds and peak.
    """
    rows = data.rows("training_runs")
    found = {
        "name": np.array([row["model"] for row in rows]),
        "shape": np.array([find_model(row["model"]) or "" for row in rows]),
        "year": np.array([_year(row["date"]) for row in rows]),
        "chip": np.array([row["chip"] for row in rows]),
        "confidence": np.array([row["confidence"] for row in rows]),
    }
    for column, name, times in (
        ("params_billions", "params", 1e9),
        ("active_params_billions", "active", 1e9),
        ("tokens_billions", "tokens", 1e9),
        ("reported_flop", "reported_flop", 1.0),
        ("chips", "chips", 1.0),
        ("duration_days", "days", 1.0),
        ("chip_hours", "chip_s", 3600.0),
        ("mfu", "mfu", 1.0),
    ):
        found[name] = np.array([float(row[column] or "nan") * times for row in rows])
    found["active"] = np.where(np.isnan(found["active"]), found["params"], found["active"])
    found["six_n_d_flop"] = counting.six_n_d_flop(found["active"], found["tokens"])
    found["flop"] = np.array(
        [_flop(*each) for each in zip(found["shape"], found["tokens"], found["six_n_d_flop"], strict=True)]
    )
    found["peak_flop_per_s"] = np.array([_peak(name) for name in found["chip"].tolist()])
    found["used"] = found["flop"] / (found["chip_s"] * found["peak_flop_per_s"])
    return found


def _year(date):
    year, month = date.split("-")[:2]
    return int(year) + (int(month) - 0.5) / 12


def _flop(name, tokens, plain):
    """Operations of a run: three times those of a forward pass of its shape; 6ND where that is not known."""
    if not name:
        return plain
    shape = model(str(name))
    if shape.context_tokens is None or not shape.layers:
        return plain
    context = min(shape.context_tokens, LONGEST)
    attention = 6 * shape.layers * shape.heads * shape.head_values * context * tokens  # causal half of 12
    return plain + attention


def _peak(name):
    if not find_chip(name):
        return np.nan
    found = chip(name)
    wide = [found.peak_flop_per_s(each) for each in ("bf16", "fp16") if each in found.peaks]
    return max(wide, default=np.nan)


@cache
def redone():
    """Runs whose tokens, chips and chip-hours are published, predicted: columns.

    Those of `runs`, and predicted_s, low_s, high_s: chip seconds as the model of this book gives them for a step of that shape on
    those chips in that year, with the layout left open; one_s: at `ONE_NUMBER` of the peak; ratio: predicted over reported.
    """
    every = runs()
    which = np.flatnonzero(
        (every["shape"] != "") & np.isfinite(every["tokens"] * every["chip_s"] * every["peak_flop_per_s"])
    )
    mine = {name: values[which] for name, values in every.items()}
    rate = mine["tokens"] / mine["chip_s"]
    lines = [
        [shape, on, "" if np.isnan(n) else f"{n:.0f}", f"{year:.0f}", f"{each:.6g}"]
        for shape, on, n, year, each in zip(
            mine["shape"].tolist(),
            mine["chip"].tolist(),
            mine["chips"],
            np.floor(mine["year"]),
            rate.tolist(),
            strict=True,
        )
    ]
    own = corpus.of_cells("the run history", Cells(list(COLUMNS), lines, [[] for _ in lines], ","), "training")
    found = frame.predict("training", own.columns, owners=False)
    return mine | {
        "predicted_s": mine["tokens"] / found["predicted"],
        "low_s": mine["tokens"] / found["high"],
        "high_s": mine["tokens"] / found["low"],
        "one_s": mine["flop"] / (ONE_NUMBER * mine["peak_flop_per_s"]),
        "ratio": found["measured"] / found["predicted"],
    }
