"""Chips: what a device can do at most, every number typed and with its source.

A chip is one row of `data/chips.csv` (and its memory levels, rows of `data/chip_levels.csv`).
The catalog holds dense peaks, per package, with 32-bit accumulation.

A chip's memory is what the device reports. Makers print GB and mean 2^30 bytes: an H100 "80GB" has 85.5e9. The row
keeps the printed number (`memory_sold`), the unit that it turns out to be in (`memory_unit`), what a driver or tool
counts in total (`memory_reported_bytes`) and where that was read. Where no device's report was read, `memory_basis`
names the rule by which the printed number is turned into bytes; see `MEMORY_SHARES`.
"""

import re
from dataclasses import dataclass, field
from functools import cache

from bottlenecks import data
from bottlenecks.facts import chip_names
from bottlenecks.facts.doors import nearest, one_of, positive, settle
from bottlenecks.facts.formats import FORMATS

MEMORY_UNITS = {"GB": 1e9, "GiB": 2.0**30}  # GB: on-chip memory, which is a sum over cores and comes in no power of two
# Share of the printed number that a device reports, by rule. Read from the chips that do report: 0.98 to 1 of it (the
# rest is the driver's); 0.995 on NVIDIA's HBM since the H100; 15/16 (0.93 to 0.94) on boards with GDDR memory and
# error correction, on unless its owner turns it off: the sixteenth word is the check bits of fifteen others.
MEMORY_SHARES = {"rule: in full": 1.0, "rule: less what the driver keeps": 0.995, "rule: less check bits": 15 / 16}

NUMBERS = ("memory_bytes", "memory_bytes_per_s", "tdp_watts", "price_usd", "link_bytes_per_s", "cores", "clock_hz")


@dataclass(frozen=True, kw_only=True, eq=False)
class Peak:
    """A peak rate and what the printed number counts; `dense` makes the kind a Chip accepts."""

    flop_per_s: float
    sparsity: str = "not said"  # "dense", or a pattern such as "2:4"
    scope: str = "not said"  # "package" or "die"

    def __post_init__(self):
        settle(self, "flop_per_s", positive("Peak.flop_per_s", self.flop_per_s))


def dense(flop_per_s):
    """A dense peak of the whole package, the only kind that a Chip holds."""
    return Peak(flop_per_s=flop_per_s, sparsity="dense", scope="package")


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """One level of a memory hierarchy, totals over the chip. Blank facts are None."""

    name: str
    bytes: float | None = None
    bytes_per_s: float | None = None
    latency_s: float | None = None
    basis: str = ""  # how the bandwidth is known: arithmetic, measured, datasheet
    sources: tuple = ()

    def __post_init__(self):
        for name in ("bytes", "bytes_per_s", "latency_s"):
            if getattr(self, name) is not None:
                settle(self, name, positive(f"Level({self.name!r}).{name}", getattr(self, name)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Chip:
    """One accelerator or processor. Base SI; any number may be an array, to sweep it."""

    name: str
    peaks: dict  # format -> Peak
    memory_bytes: float
    memory_bytes_per_s: float
    tdp_watts: float | None = None
    price_usd: float | None = None  # list or street price at launch; see `facts["price_basis"]`
    link_bytes_per_s: float | None = None  # one direction, all links of the scale-up network
    cores: float | None = None  # that a kernel's tiles are dealt to: SMs, CUs
    clock_hz: float | None = None  # highest boost, as the peaks assume
    kind: str = ""
    vendor: str = ""
    family: str = ""  # chips whose cores are alike: what is measured on one holds for the others
    launch: str = ""
    memory_kind: str = ""
    memory_sold: str = ""  # as printed, in the unit that it is in: "80 GiB"
    memory_basis: str = ""  # what reported `memory_bytes`, or the rule that gave it
    levels: tuple = ()  # Level, innermost first
    sources: tuple = ()
    confidence: str = ""  # read, secondary or memory
    unconfirmed: tuple = ()  # columns of the row that no source of ours states
    notes: str = ""
    facts: dict = field(default_factory=dict, repr=False)  # the row of the catalog, as text

    def __post_init__(self):
        if not isinstance(self.name, str) or not isinstance(self.peaks, dict):
            raise ValueError(f"a Chip takes a name and a dictionary of peaks, got {self.name!r} and {self.peaks!r}")
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None or name in NUMBERS[:2]:
                settle(self, name, positive(f"{self.name}: {name}", value))
        for format, peak in self.peaks.items():
            one_of("format", format, FORMATS)
            _require_dense(self.name, format, peak)

    def peak_flop_per_s(self, format):
        """Dense peak in `format`; an error names the formats that the chip does have."""
        if not isinstance(format, str) or format not in self.peaks:
            one_of("format", format, FORMATS)
            have = ", ".join(self.peaks) or "none (its maker publishes no dense peak)"
            near = nearest(format, self.peaks)
            raise ValueError(
                f"{self.name} has no {format} peak"
                + (f"; the nearest is {near!r}" if near else "")
                + f". There are: {have}"
            )
        return self.peaks[format].flop_per_s

    def level(self, name):
        """The memory level of that name, or an error that lists the levels."""
        names = [level.name for level in self.levels]
        return self.levels[names.index(one_of(f"{self.name}: level", name, names))]


def _require_dense(chip_name, format, peak):
    where = f"{chip_name}: the {format} peak"
    if not isinstance(peak, Peak):
        raise ValueError(f"{where} must say what it counts: write dense({peak!r}) if it is dense")
    if peak.sparsity != "dense":
        half = ""
        if peak.sparsity == "2:4":
            half = f"; a 2:4 pattern counts double, so write dense({peak.flop_per_s / 2!r})"
        raise ValueError(f"{where} must be dense, got sparsity {peak.sparsity!r}{half}")
    if peak.scope != "package":
        raise ValueError(f"{where} must be for the whole package, got scope {peak.scope!r}")


def chips(*, kind=None, vendor=None, since=0, format=None):
    """The chips of the catalog, name -> Chip in the file's order; each argument narrows the choice.

    >>> list(chips(vendor="Groq"))
    ['Groq LPU v1']
    """
    every = _catalog()
    if kind is not None:
        one_of("kind", kind, sorted({c.kind for c in every.values()}))
    if vendor is not None:
        one_of("vendor", vendor, sorted({c.vendor for c in every.values()}))
    if format is not None:
        one_of("format", format, FORMATS)
    positive("since", since, zero_allowed=True)
    return {
        name: c
        for name, c in every.items()
        if kind in (None, c.kind)
        and vendor in (None, c.vendor)
        and (format is None or format in c.peaks)
        and int(c.launch[:4] or 0) >= since
    }


def chip(name):
    """The chip of that name; spelling is forgiven, ambiguity is not.

    >>> chip("h100-sxm-80gb").name
    'H100 SXM5'
    """
    found = find_chip(name)
    if found:
        return _catalog()[found]
    several = boards(name)
    if len(several) > 1:
        raise ValueError(f"chip {name!r} is more than one: {', '.join(several)}")
    if several:
        return _catalog()[several[0]]
    near = chip_names.suggested(name)
    raise ValueError(
        f"chip {name!r} is unknown"
        + (f"; did you mean {near!r}?" if near else ".")
        + " `bottlenecks chips` lists them all"
    )


def find_chip(name):
    """The catalog's name for a chip as people write it, or for what a cloud's instance holds; None where it is not one.

    A name resolves by its parts (`chip_names`): maker, board, form, memory and watts that it states must all agree
    with one row.

    >>> find_chip("NVIDIA B200-SXM-180GB"), find_chip("4090"), find_chip("p4d.24xlarge"), find_chip("A100 SXM 96GB")
    ('B200 SXM (HGX)', 'RTX 4090', 'A100 SXM 40GB', None)
    """
    found = data.spellings("chips", _fold).get(_fold(name))
    if found:
        return found if chip_names.agrees_with(name, found) else None
    if _short(name):
        return None  # known to be more than one, or none
    several = chip_names.boards_of(name)
    return several[0] if len(several) == 1 else chip_names.rented(name) or None


def boards(name):
    """Every chip of the catalog that a name could mean, in the file's order.

    >>> boards("GH200"), boards("TPU v5")
    (('GH200 (96GB)', 'GH200 (144GB HBM3e)'), ('TPU v5e', 'TPU v5p'))
    """
    _fold(name)  # a name
    found = chip_names.boards_of(name) or chip_names.begun_by(name)
    return tuple(found) or tuple(filter(None, [find_chip(name)]))


@cache
def short_names():
    """Short names that the catalog does not hold -> their row: what is meant by them ('': not told), and why."""
    return {row["spelled"]: row for row in data.rows("chip_names")}


def _short(name):
    """The row of a short name, in any case; {} where there is none."""
    return next((row for spelled, row in short_names().items() if spelled.casefold() == str(name).casefold()), {})


def meant(name):
    """The chip that practitioners mean by a short name, '' where none.

    >>> meant("H100"), meant("H20")
    ('H100 SXM5', '')
    """
    return _short(name).get("meant", "")


def why_unknown(name):
    """Why the catalog has no chip of a name, for a reader who wrote it.

    >>> why_unknown("H100 SXM6")
    "chip 'H100 SXM6' is not in the catalog; did you mean 'H100 SXM5'?"
    """
    if not name:
        return "no chip is named"
    why = _short(name).get("why", "")
    if why:
        return f"chip {name!r}: {why}"
    several = boards(name)
    if several:
        return f"chip {name!r} could be {', '.join(several)}"
    near = chip_names.suggested(name)
    return f"chip {name!r} is not in the catalog" + (f"; did you mean {near!r}?" if near else "")


def _fold(name):
    """Spelling without case, punctuation, vendor and power caps."""
    if not isinstance(name, str):
        raise ValueError(f"chip must be a name, got {name!r}")
    text = re.sub(r"\([^)]*\bcap\b[^)]*\)", " ", name.casefold())
    text = re.sub(r"\b(nvidia|amd|intel|google|aws|apple|geforce|tesla|instinct)\b", " ", text)
    return re.sub(r"[^a-z0-9]", "", text)


@cache
def _catalog():
    return {row["name"]: _chip_from_row(row) for row in data.rows("chips")}


def _number(row, column, scale):
    return float(row[column]) * scale if row[column] else None


def _memory_bytes(row):
    """What the device reports, or the printed capacity by the rule that the row names."""
    if row["memory_reported_bytes"]:
        return float(row["memory_reported_bytes"])
    unit = MEMORY_UNITS[one_of("memory_unit", row["memory_unit"], MEMORY_UNITS)]
    share = MEMORY_SHARES[one_of("memory_basis", row["memory_basis"], MEMORY_SHARES)]
    return float(row["memory_sold"]) * unit * share


def _chip_from_row(row):
    columns = {f: f"{f}_tops" if f == "int8" else f"{f}_tflops" for f in FORMATS}
    return Chip(
        name=row["name"],
        vendor=row["vendor"],
        kind=row["kind"],
        family=row["family"],
        launch=row["launch"],
        cores=_number(row, "core_count", 1.0),
        clock_hz=_number(row, "clock_ghz", 1e9),
        peaks={f: dense(_number(row, c, 1e12)) for f, c in columns.items() if row.get(c)},
        memory_kind=row["memory_kind"],
        memory_sold=f"{row['memory_sold']} {row['memory_unit']}",
        memory_basis=row["memory_basis"],
        memory_bytes=_memory_bytes(row),
        memory_bytes_per_s=_number(row, "memory_gbytes_per_s", 1e9),
        tdp_watts=_number(row, "tdp_watts", 1.0),
        price_usd=_number(row, "price_usd", 1.0),
        link_bytes_per_s=_number(row, "link_gbytes_per_s_per_direction", 1e9),
        levels=_levels(row["name"]),
        sources=data.keys(row["sources"]),
        confidence=row["confidence"],
        unconfirmed=tuple(filter(None, row["unconfirmed"].split(";"))),
        notes=row["notes"],
        facts=row,
    )


def _levels(chip_name):
    return tuple(
        Level(
            name=row["level"],
            bytes=_number(row, "level_bytes", 1.0),
            bytes_per_s=_number(row, "gbytes_per_s", 1e9),
            latency_s=_number(row, "latency_ns", 1e-9),
            basis=row["basis"],
            sources=data.keys(row["sources"]),
        )
        for row in data.rows("chip_levels")
        if row["chip"] == chip_name
    )
