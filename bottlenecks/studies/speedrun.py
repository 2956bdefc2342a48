"""Speed run: the record history of one small training run, and which wall each record moved."""

import datetime
from functools import cache

import numpy as np

from bottlenecks import data

KINDS = {  # of data/nanogpt_speedrun.csv, by our reading of each record's own line
    "learning": "better learning: optimiser, shape, schedule, data",
    "arithmetic": "less time for a step's arithmetic and bytes",
    "system": "less waiting for chips and data",
    "mixed": "several of these at once",
}


@cache
def records():
    """The records of the first track, as columns: date (years), minutes, saves (a name of `KINDS`; '' for the first)."""
    rows = [row for row in data.rows("nanogpt_speedrun") if row["track"].startswith("1 ")]
    return {
        "date": np.array([_year(row["date"]) for row in rows]),
        "minutes": np.array([float(row["minutes"]) for row in rows]),
        "saves": np.array([row["saves"] for row in rows]),
        "change": np.array([row["change"] for row in rows]),
    }


def _year(text):
    day = datetime.datetime.strptime(text, "%m/%d/%y")
    return day.year + (day.timetuple().tm_yday - 1) / 365.25


def factors():
    """By how much the records of each kind shortened the run: {kind: factor}; a run timed anew counts for nobody."""
    found = records()
    steps = np.log(found["minutes"][:-1] / found["minutes"][1:])
    return {kind: float(np.exp(steps[found["saves"][1:] == kind].sum())) for kind in KINDS}
