"""Constants of training and of serving: what no source prints, fitted by `measured.fits` and kept with its range."""

from functools import cache

from bottlenecks import data


@cache
def training():
    """data/training_constants.csv: (of what, constant) -> value. Of a family of chips, of software of a year, or of any."""
    return {(row["of"], row["constant"]): float(row["value"]) for row in data.rows("training_constants")}


@cache
def inference():
    """data/inference_constants.csv: constant -> value."""
    return {row["constant"]: float(row["value"]) for row in data.rows("inference_constants")}
