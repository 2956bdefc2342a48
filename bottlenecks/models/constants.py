"""Constants: what no source prints, fitted by `measured.fits` and kept with its range."""

from functools import cache

from bottlenecks import data
from bottlenecks.facts.units import si


@cache
def training():
    """data/training_constants.csv: (of what, constant) -> value. Of a family of chips, of software of a year, or of any."""
    return {(row["of"], row["constant"]): float(row["value"]) for row in data.rows("training_constants")}


@cache
def inference():
    """data/inference_constants.csv: constant -> value."""
    return {row["constant"]: float(row["value"]) for row in data.rows("inference_constants")}


def kernels_shown(families):
    """Rows of a table: the fitted constants of the kernels of some families, in units that can be read."""
    words = {row["constant"]: row["name"] for row in data.rows("kernel_constant_names")}
    return [
        {
            "family": "all" if family == "any" else family,
            "constant": words[row["constant"]],
            "value": _readable(row["value"], row["unit"]),
            "80 % of kinds": " to ".join(_readable(row[end], row["unit"]) for end in ("low", "high") if row[end]),
            "rows": row["rows"],
        }
        for row in data.rows("kernel_constants")
        if (family := row["family"]) in families and row["rows"]
    ]


def _readable(text, unit):
    value = float(text)
    return f"{value:.1%}" if unit == "1" else f"{value:.3g} B" if unit == "B" else si(value, unit)
