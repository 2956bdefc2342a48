"""Links and systems: how chips are wired, from the inside out.

Rates count one direction, as everywhere in this package; makers mostly print both directions
together, and `both_ways` halves those. A catalog holds rated bandwidth of the wire; where sources
disagree the row's notes say how it was settled, and `low` and `high` keep the range.
"""

import re
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.chips import Chip, chip, find_chip
from bottlenecks.facts.doors import RANKS, nearest, positive, settle, switch
from bottlenecks.facts.tables import number


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    """What one chip sends over its links of one kind: bytes/s in ONE direction, and the latency in s.

    For a network port, whose count depends on the machine, it is one port.
    """

    name: str
    bytes_per_s: float | None = None  # one direction; both directions together: Link.both_ways
    latency_s: float | None = None
    bytes_per_s_low: float | None = None  # where sources disagree
    bytes_per_s_high: float | None = None
    kind: str = ""
    sources: tuple = ()
    confidence: str = ""
    unconfirmed: tuple = ()
    notes: str = ""
    facts: dict = field(default_factory=dict, repr=False)  # the row of the catalog, as text

    def __post_init__(self):
        for name in ("bytes_per_s", "latency_s", "bytes_per_s_low", "bytes_per_s_high"):
            if getattr(self, name) is not None:
                settle(self, name, positive(f"Link({self.name!r}).{name}", getattr(self, name)))

    @classmethod
    def both_ways(cls, *, name, bytes_per_s, **rest):
        """A link from the number that makers print, both directions together [bytes/s].

        >>> Link.both_ways(name="NVLink 4", bytes_per_s=900e9).bytes_per_s
        450000000000.0
        """
        return cls(name=name, bytes_per_s=one_way(bytes_per_s), **rest)


def one_way(both_bytes_per_s):
    """One direction [bytes/s] of a rate that counts both directions together.

    >>> one_way(600e9)
    300000000000.0
    """
    return positive("both_bytes_per_s", both_bytes_per_s) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Tier:
    """One level of a network: all chips that reach each other without leaving it.

    `ranks` counts every chip inside, those of the inner tiers included; None: as many as are bought.
    `bytes_per_s` is what one chip can send into the tier, one direction; across the whole tier it
    gets that over `oversubscription`.
    """

    name: str
    ranks: int | None
    bytes_per_s: float
    latency_s: float | None = None
    oversubscription: float = 1.0
    in_network_reduction: bool = False
    link: str = ""  # a name for `link`
    topology: str = ""  # of its ranks, in words: "2D mesh", "3D torus"; '': as its link has it
    sides: tuple = ()  # of a torus or mesh, chips along each axis, where they are known
    sources: tuple = ()
    confidence: str = ""
    unconfirmed: tuple = ()
    notes: str = ""

    def __post_init__(self):
        where = f"Tier({self.name!r})"
        if self.ranks is not None:
            settle(self, "ranks", positive(f"{where}.ranks", self.ranks, most=RANKS, whole=True))
        for name in ("bytes_per_s", "latency_s", "oversubscription"):
            value = getattr(self, name)
            if value is not None or name != "latency_s":
                settle(self, name, positive(f"{where}.{name}", value))
        switch(f"{where}.in_network_reduction", self.in_network_reduction)
        if np.any(np.asarray(self.oversubscription) < 1):
            raise ValueError(
                f"{where}.oversubscription must be 1 or above (ports down over ports up), "
                f"got {self.oversubscription!r}; did you mean {1 / self.oversubscription!r}?"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """A machine: chips of one kind and the tiers that join them, inside out."""

    name: str
    chip: Chip | None  # None where the catalog of chips does not have it: `facts["chip"]` names it
    chips: int
    tiers: tuple = ()  # Tier, innermost first
    sources: tuple = ()
    confidence: str = ""
    unconfirmed: tuple = ()
    notes: str = ""
    facts: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        if self.chip is not None and not isinstance(self.chip, Chip):
            raise ValueError(f"{self.name}: chip must be a Chip, got {self.chip!r}; write chip({self.chip!r})")
        settle(self, "chips", positive(f"{self.name}: chips", self.chips, most=RANKS, whole=True))
        for inner, outer in zip(self.tiers, self.tiers[1:], strict=False):
            _require_nested(self.name, inner, outer)

    def tier(self, name):
        """The tier of that name, or an error that lists them."""
        names = [tier.name for tier in self.tiers]
        if name in names:
            return self.tiers[names.index(name)]
        raise ValueError(f"{self.name}: tier {name!r} is unknown; there are: {', '.join(names) or 'none'}")


def _require_nested(system_name, inner, outer):
    where = f"{system_name}: tier {outer.name!r}"
    if inner.ranks is None:
        raise ValueError(f"{where} lies outside {inner.name!r}, which has no end (ranks None)")
    if outer.ranks is not None:
        if np.any(np.asarray(outer.ranks) <= np.asarray(inner.ranks)):
            raise ValueError(
                f"{where} has {outer.ranks!r} ranks, not more than the {inner.ranks!r} of "
                f"{inner.name!r} inside it; list tiers from the inside out"
            )
        if np.any(np.asarray(outer.ranks) % np.asarray(inner.ranks)):
            raise ValueError(
                f"{where} has {outer.ranks!r} ranks, not a multiple of the {inner.ranks!r} of {inner.name!r} inside it"
            )
    if np.any(np.asarray(outer.bytes_per_s) > np.asarray(inner.bytes_per_s)):
        raise ValueError(
            f"{where} has {outer.bytes_per_s!r} bytes/s per rank, more than the "
            f"{inner.bytes_per_s!r} of {inner.name!r} inside it"
        )


def links():
    """Every link of the catalog: name -> Link, in the file's order."""
    return dict(_links())


def link(name):
    """The link of that name; spelling is forgiven.

    >>> link("pcie gen5 x16").bytes_per_s
    63000000000.0
    """
    return _find("link", name, "links", _links())


@cache
def wire(name):
    """The catalog's row of a link as text, blank for a name that it does not have."""
    known = name in _links()
    return link(name).facts if known else dict.fromkeys(next(iter(data.rows("links"))), "")


def systems():
    """Every system of the catalog: name -> System, in the file's order."""
    return dict(_systems())


def system(name):
    """The system of that name; spelling is forgiven.

    >>> [tier.ranks for tier in system("dgx-h100 superpod").tiers]
    [8, 256]
    """
    return _find("system", name, "systems", _systems())


def _fold(text):
    return "".join(c for c in text.casefold() if c.isalnum())


def find_system(name):
    """The catalog's name for a spelling of a system, or None."""
    return data.spellings("systems", _fold).get(_fold(name))


def _find(what, name, table, catalog):
    if not isinstance(name, str):
        raise ValueError(f"{what} must be a name, got {name!r}")
    found = data.spellings(table, _fold).get(_fold(name))
    if found:
        return catalog[found]
    near = nearest(name, list(catalog))
    raise ValueError(
        f"{what} {name!r} is unknown"
        + (f"; did you mean {near!r}?" if near else ".")
        + f" There are: {', '.join(catalog)}"
    )


def _provenance(row):
    return {
        "sources": data.keys(row["sources"]),
        "confidence": row["confidence"],
        "unconfirmed": data.keys(row["unconfirmed"]),
        "notes": row["notes"],
    }


@cache
def _links():
    return {
        row["name"]: Link(
            name=row["name"],
            kind=row["kind"],
            bytes_per_s=number(row, "chip_gbytes_per_s") or number(row, "port_gbytes_per_s"),
            latency_s=number(row, "latency_us"),
            bytes_per_s_low=number(row, "gbytes_per_s_low"),
            bytes_per_s_high=number(row, "gbytes_per_s_high"),
            facts=row,
            **_provenance(row),
        )
        for row in data.rows("links")
    }


@cache
def _systems():
    return {
        row["name"]: System(
            name=row["name"],
            chip=chip(row["chip"]) if find_chip(row["chip"]) else None,
            chips=int(row["chips"]),
            tiers=_tiers(row["name"]),
            facts=row,
            **_provenance(row),
        )
        for row in data.rows("systems")
    }


def _tiers(system_name):
    return tuple(
        Tier(
            name=row["tier"],
            ranks=int(row["size_chips"]) if row["size_chips"] else None,
            bytes_per_s=number(row, "gbytes_per_s_per_direction_per_chip"),
            latency_s=number(row, "latency_us"),
            oversubscription=number(row, "oversubscription") or 1.0,  # blank: not stated
            in_network_reduction=row["in_network_reduction"] == "yes",
            link=row["link"],
            **_provenance(row),
        )
        for row in data.rows("tiers")
        if row["system"] == system_name
    )


# ---- fabrics


@cache
def fabrics():
    """What carries messages between machines: name -> row of data/fabrics.csv."""
    return {row["name"]: row for row in data.rows("fabrics")}


@cache
def read_ports(text, per_machine):
    """(fabric, bytes a second of one chip's port) by a text such as "8x400Gb InfiniBand per node"; '' and NaN where not told.

    `per_machine`: chips of a machine, whose ports the text may give together.

    >>> read_ports("EFA 3200 Gb/s per node", 8.0), read_ports("200 Gb/s HDR per GPU", 8.0)
    (('EFA', 50000000000.0), ('InfiniBand', 25000000000.0))
    """
    words = set(re.findall(r"[a-z][a-z0-9-]*", text.casefold()))
    spelled = {each.casefold(): name for name, row in fabrics().items() for each in (name, *data.keys(row["aliases"]))}
    fabric = next((name for each, name in spelled.items() if set(each.split()) <= words), "")
    found = re.search(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*([gt])b(?:it)?(?:ps|/s)?\b", text.casefold())
    if not found:
        return fabric, float("nan")
    rate = float(found[2]) * (1e9 if found[3] == "g" else 1e12) / 8
    if re.search(r"per (?:gpu|chip|rank|card)", text.casefold()):
        return fabric, rate
    several = float(found[1]) if found[1] else 1.0
    if found[1] or re.search(r"per (?:node|machine|host|server|vm|instance)", text.casefold()):
        rate = rate * several / max(per_machine, 1.0)
    return fabric, rate
