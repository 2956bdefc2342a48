"""What practitioners chose, counted on the corpus: every source has the same weight."""

from collections import defaultdict

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip

LONGEST = 6  # years after its launch in which a chip is still counted


def lags():
    """Years from the launch of a chip to the software of a run on it -> share of sources."""
    rows, found = corpus.table("training"), defaultdict(set)
    for source, name, date in zip(
        *(rows[c].tolist() for c in ("source_id", "chip_name", "software_date")), strict=True
    ):
        date = date or corpus.sources("training")[source]["published"]
        if name and chip(name).launch and date:
            found[source].add(min(max(int(date[:4]) - int(chip(name).launch[:4]), 0), LONGEST))
    weight = defaultdict(float)
    for known in found.values():
        for lag in known:
            weight[lag] += 1 / len(known) / len(found)
    return dict(sorted(weight.items()))


def rows():
    """The rows of data/choices.csv, as dictionaries."""
    return [{"choice": "lag_years", "value": str(lag), "weight": f"{weight:.4g}"} for lag, weight in lags().items()]
