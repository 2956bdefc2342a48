"""Memory technologies: what a stack, package or module of each gives, takes and costs.

A technology is one row of `data/memory_tech.csv`; its prices, which moved by a factor of nine within a year, are rows of
`data/memory_prices.csv`, each with its date.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import one_of, positive, settle
from bottlenecks.facts.tables import table

COLUMNS = {  # field -> column of the table
    "bytes_per_s": "bytes_per_s",
    "memory_bytes": "bytes",
    "joules_per_byte": "joules_per_byte",
    "edge_m": "edge_m",
    "edge_m_low": "edge_m_low",
    "edge_m_high": "edge_m_high",
    "latency_s": "latency_s",
    "pins": "bus_bits",
    "pin_bits_per_s": "pin_bytes_per_s",
}
TEXTS = ("name", "technology", "kind", "per", "confidence", "notes")
LISTS = ("sources", "unconfirmed")


class Price(NamedTuple):
    """Dollars of a byte: the middle, the range, when, and of what kind (contract, spot, module ...)."""

    usd_per_byte: float
    low: float
    high: float
    date: str
    basis: str
    sources: tuple


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """One unit of a memory technology. Base SI; blank facts are None; any number may be an array."""

    name: str
    bytes_per_s: float
    memory_bytes: float
    joules_per_byte: float | None = None  # of an access at the device, its interface included
    edge_m: float | None = None  # of a die that its interface takes
    edge_m_low: float | None = None  # where sources differ
    edge_m_high: float | None = None
    latency_s: float | None = None
    pins: float | None = None  # of data
    pin_bits_per_s: float | None = None
    technology: str = ""
    kind: str = ""
    per: str = ""  # what one unit is: stack, package, module
    year: int | None = None
    sources: tuple = ()
    confidence: str = ""
    unconfirmed: tuple = ()
    notes: str = ""

    def __post_init__(self):
        for name in COLUMNS:
            if getattr(self, name) is not None:
                settle(self, name, positive(f"{self.name}: {name}", getattr(self, name)))


@cache
def memories():
    """Technologies of which a unit's bandwidth and size are known: name -> Memory, in the file's order.

    >>> memories()["DDR5-6400"].bytes_per_s / memories()["DDR5-6400"].memory_bytes  # reads of itself a second
    0.2
    """
    rows, found = table("memory_tech"), {}
    for i in np.flatnonzero(np.isfinite(rows["bytes_per_s"]) & np.isfinite(rows["bytes"])):
        number = {name: _known(rows[column][i]) for name, column in COLUMNS.items()}
        if number["pin_bits_per_s"]:
            number["pin_bits_per_s"] *= 8
        text = {name: str(rows[name][i]) for name in TEXTS}
        lists = {name: tuple(filter(None, str(rows[name][i]).split(";"))) for name in LISTS}
        found[text["name"]] = Memory(**text, **number, **lists, year=int(rows["year"][i]))
    return found


def _known(value):
    return None if np.isnan(value) else float(value)


def memory(name):
    """The technology of that name, or an error that names the nearest."""
    return memories()[one_of("memory", name, memories())]


def prices(technology):
    """Every price of a technology, oldest first.

    >>> [(p.date, round(p.usd_per_byte * 1e9, 2)) for p in prices("DDR5")][-2:]  # nine times in a year
    [('2025-08', 2.62), ('2026-08', 23.25)]
    """
    rows = table("memory_prices")
    one_of("technology", technology, sorted(set(rows["technology"].tolist())))
    mine = [i for i in np.argsort(rows["date"], kind="stable") if rows["technology"][i] == technology]
    found = []
    for i in mine:
        middle, low, high = (float(rows[f"usd_per_byte{end}"][i]) for end in ("", "_low", "_high"))
        low, high = (middle if np.isnan(end) else end for end in (low, high))
        sources = tuple(str(rows["sources"][i]).split(";"))
        found.append(Price(middle, low, high, str(rows["date"][i]), str(rows["basis"][i]), sources))
    return tuple(found)


def price(technology, until="9999"):
    """The last price of a technology dated no later than `until` (a year, or year-month); None where there is none.

    >>> price("DDR5", "2025").date
    '2025-08'
    """
    dated = [each for each in prices(technology) if each.date[: len(until)] <= until]
    return dated[-1] if dated else None
