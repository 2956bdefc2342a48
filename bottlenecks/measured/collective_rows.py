"""Measured collectives as rows of the frame of predictions: `measured.collectives`, in each row's own unit."""

import numpy as np

from bottlenecks.measured import collectives

OWNERS = {"link": "network", "port": "network", "latency": "latency"}


def predict(columns, *, owners=True):
    """Seconds of every row, with the interval, the owner and what was assumed: name -> array."""
    found = collectives.predict(columns)
    assumed = [
        "; ".join(filter(None, (assumed, " ".join(filter(None, (algorithm, protocol))))))
        for assumed, algorithm, protocol in zip(
            *(found[n].tolist() for n in ("assumed", "algorithm", "protocol")), strict=True
        )
    ]
    owned = [OWNERS.get(b, "") if owners else "" for b in found["bound"].tolist()]
    return {
        "seconds": found["predicted_s"],
        "low_s": found["low_s"],
        "high_s": found["high_s"],
        "bound": np.array(owned, dtype=str),
        "assumed": np.array(assumed, dtype=str),
        "reason": found["reason"].astype(str),
    }


def headline(columns, seconds):
    """(measured, predicted, unit): microseconds of a call, else the bandwidth that the row prints."""
    asked = collectives.configurations(columns)
    bus, algorithm = columns["busbw_bytes_per_s"], columns["algbw_bytes_per_s"]
    printed = np.where(np.isfinite(bus), bus, algorithm)
    rates = asked["unit"] == "B/s"
    with np.errstate(divide="ignore", invalid="ignore"):
        predicted = np.where(rates, printed * asked["measured_s"] / seconds / 1e9, seconds * 1e6)
    measured = np.where(rates, printed / 1e9, asked["measured_s"] * 1e6)
    return measured, predicted, np.where(rates, "GB/s", "us")


def groups(columns):
    """What a row is scored under: groups inside one machine, and across machines."""
    return np.where(columns["n_nodes"] != 1, "across machines", "inside a machine")
