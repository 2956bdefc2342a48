"""Fit of practice, for each kind of rows: on all measured rows of sources that no constant is fitted on."""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import frame, practice, scores


def fit(kind):
    """The `Practice` of a kind: with shifts of the middle, if these lower the error on sources left out."""
    model, rows = frame.KINDS[kind], corpus.table(kind)
    cases = model.cases(rows)
    predicted = model.predict(cases, owners=False)
    used, logs, sources, levels, open = scores.learned_from(kind, rows, cases, predicted)
    asked = (logs[used], sources[used], {factor: of[used] for factor, of in levels.items()}, open[used])
    return practice.fit(*asked, shifts=_pays(*asked))


def _pays(logs, sources, levels, open):
    """Is the error on sources left out lower where practice moves the middle?"""
    every, ones = np.ones(logs.size, bool), (np.ones(logs.size),) * 3
    times, _, _ = practice.left_out(logs, sources, levels, open, every, ones)
    return scores.mean_error(logs - np.log(times), sources) < scores.mean_error(logs, sources)


def rows():
    """The rows of data/practice.csv, as dictionaries."""
    return [row for kind in frame.KINDS for row in practice.table(kind, fit(kind))]
