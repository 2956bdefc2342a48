"""Fit of the interval around training's predictions, on sources of role fit alone."""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import training
from bottlenecks.measured.fits import interval


def spread():
    """(low, high) of measured over predicted seconds, as data/training_constants.csv has them."""
    rows = corpus.table("training")
    cases = training.cases(corpus.where(rows, (rows["role"] == "fit") & (rows["suspect"] == "")))
    measured, predicted, unit = training.headline(cases, training.predict(cases, owners=False)["seconds"])
    logs = np.log(measured / predicted) * np.where(unit == "s", 1, -1)
    known = np.isfinite(logs)
    return interval.ends(logs[known], cases.columns["source_id"][known])
