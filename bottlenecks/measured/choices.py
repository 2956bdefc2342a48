"""What practitioners chose, where a row does not say: small distributions, counted over the sources of the corpus.

`data/choices.csv` has a line for each value of each choice with its weight, every source counting once;
`measured.fits.choices` counts them.
"""

from functools import cache

from bottlenecks import data
from bottlenecks.models.software import TODAY


@cache
def weights(choice):
    """Value (a number) -> weight of a choice; the weights sum to one.

    lag_years: years from a chip's launch to the software of a run on it.
    """
    return {float(row["value"]): float(row["weight"]) for row in data.rows("choices") if row["choice"] == choice}


def dates(chip):
    """((date, weight), ...): when a run on a chip may have been, whose row has no date."""
    found = {}
    for lag, weight in weights("lag_years").items():
        year = str(min(int(chip.launch[:4]) + int(lag), int(TODAY))) if chip.launch else TODAY
        found[year] = found.get(year, 0.0) + weight
    return tuple((f"{year}-07", weight) for year, weight in found.items())
