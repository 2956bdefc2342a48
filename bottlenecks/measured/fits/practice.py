"""Fit of practice, for each kind of rows: on all measured rows of sources that no constant is fitted on."""

from bottlenecks.facts import corpus
from bottlenecks.measured import frame, practice, scores


def fit(kind):
    """The `Practice` of a kind."""
    model, rows = frame.KINDS[kind], corpus.table(kind)
    cases = model.cases(rows)
    predicted = model.predict(cases, owners=False)
    used, logs = scores.practised(kind, rows, cases, predicted)
    levels = {factor: of[used] for factor, of in model.classes(cases).items()}
    return practice.fit(logs[used], rows["source_id"][used], levels, predicted["open"][used])


def rows():
    """The rows of data/practice.csv, as dictionaries."""
    return [row for kind in frame.KINDS for row in practice.table(kind, fit(kind))]
