"""Predict: every kind of model through one frame, on the corpus or on a reader's file; `scores` has the errors.

A kind of model is a module of `measured` (see `measured.cases`). Its `cases(columns)` are made once;
`predict(cases)` has for every row the seconds of a well-tuned program, the owner of its time, what was
assumed and, where nothing is predicted, why; `practice` says how far runs of its classes stay behind, with the
interval; `headline(cases, seconds)` puts these and the measurement in the row's own unit.
"""

import csv
from collections import Counter
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bottlenecks.facts import corpus, files
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import collectives, inference, kernels, practice, training

KINDS = MappingProxyType({"kernels": kernels, "inference": inference, "collectives": collectives, "training": training})
TIMES = ("s", "us", "ms/token")  # units that are times; the others are rates
ADDED = ("predicted", "low", "high", "measured", "unit", "ratio", "bound", "assumed", "reason")


def predict(kind, columns, *, owners=True):
    """Predictions for the rows of a table, in their own units: the columns of `ADDED`.

    `ratio` is predicted over measured; `low` and `high` bound 80 % of measurements; `bound` is the
    resource with the largest share ('' without `owners`, which take most of the work); `reason` says
    why a row has no prediction.
    """
    model = KINDS[one_of("kind", kind, KINDS)]
    cases = model.cases(columns)
    found = model.predict(cases, owners=owners)
    return in_own_units(
        kind, cases, found, practice.predicted(practice.kept(kind), model.classes(cases), found["open"])
    )


def in_own_units(kind, cases, found, factors):
    """The columns of `ADDED` from what a kind's `predict` returns, reference seconds, and practice's (times, low, high)."""
    model = KINDS[kind]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        measured, predicted, unit = model.headline(cases, found["seconds"] * factors[0])
        ends = [model.headline(cases, found["seconds"] * factor)[1] for factor in factors[1:]]
        ratio = predicted / measured
    return {
        "predicted": predicted,
        "low": np.minimum(*ends),
        "high": np.maximum(*ends),
        "measured": measured,
        "unit": unit,
        "ratio": ratio,
        "bound": found["bound"],
        "assumed": found["assumed"],
        "reason": found["reason"],
    }


def read(path, kind):
    """`corpus.Own` of a reader's file of a kind; a model that is a configuration file's path is seen from there."""
    one_of("kind", kind, KINDS)
    own = corpus.read(path, kind)
    if "model" in own.columns:
        own.columns["model"] = _configs(own.columns["model"], Path(path).parent)
    return own


def predict_file(kind, path, out, *, owners=True, by=predict):
    """Write the rows of a CSV file with their predictions into another, or into an open one.

    Every row and column of the input comes out, in order; a file that this function wrote gets new
    predictions in place of the old ones. `by` predicts, in the manner of `predict`. Returns the predictions, and as
    "unread" what `corpus.unread` says.
    """
    given, columns, faults = read(path, kind)
    clash = [name for name in ADDED if name in given]
    if clash and len(clash) < len(ADDED):
        raise ValueError(f"{path}: the predictions have a column {clash[0]!r} as well: rename that of the file")
    is_open = hasattr(out, "write")
    if not is_open and Path(out).exists() and Path(out).samefile(path):
        raise ValueError(f"{out} is the input itself: name another file")
    found = _with_faults(kind, columns, faults, partial(by, owners=owners))
    texts = {c: v for c, v in given.items() if c not in ADDED}
    texts |= {name: [_text(v) for v in found[name].tolist()] for name in ADDED}
    if is_open:
        _write(out, texts)
    else:
        files.write(out, partial(_write, texts=texts))
    return found | {"unread": corpus.unread([name for name in given if name not in ADDED], kind)}


def _configs(names, folder):
    """Names of models; where one is a configuration file's, its path seen from the file that names it."""
    return np.array([str(folder / name) if name.endswith(".json") else name for name in names.tolist()], dtype=str)


def _with_faults(kind, columns, faults, by):
    """Predictions of the rows that could be read; the fault of every other is its reason."""
    good = faults == ""
    found = by(kind, corpus.where(columns, good))
    every = {}
    for name, values in found.items():
        numbers = values.dtype.kind == "f"
        every[name] = np.full(good.size, np.nan if numbers else "", dtype=float if numbers else object)
        every[name][good] = values
    every["reason"][~good] = faults[~good]
    return {name: values if values.dtype.kind == "f" else values.astype(str) for name, values in every.items()}


def _write(file, texts):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(texts)
    writer.writerows(zip(*texts.values(), strict=True))


def _text(value):
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.5g}"


def slower(kind, cases, seconds):
    """Logarithm of measured over predicted seconds of each row, in whatever unit it states; NaN where either is missing."""
    measured, predicted, unit = KINDS[kind].headline(cases, seconds)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(measured / predicted) * np.where(np.isin(unit, TIMES), 1, -1)


def reasons(found):
    """Reason -> rows of `predict` that have it, most frequent first."""
    return dict(Counter(filter(None, found["reason"].tolist())).most_common())
