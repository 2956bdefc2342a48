"""Tables of facts as columns: a data file in, arrays in base SI out, scaled by the column's suffix.

    per lane and link   links, systems, tiers (as records: bottlenecks.facts.networks)
    media               what carries bits over a length: reach, watts of an end, price, bend
    racks               published racks: power, mass, cooling
    memory_tech         memory and storage technologies: rate, size, energy, edge of the die, latency
    memory_prices       dollars of a byte of memory, by date
    energy_measured     watts and joules of a token of boards that serve a model, by batch
    policy              rules on chips and models: one row is one test, every bound of it must hold
    industry            prices, market, power, utilisation; one row is one figure with its own `unit`
    training_runs       history: size, tokens, chips, chip-hours, utilisation
    failures            interruptions by cause, time to failure, goodput

A blank number is NaN: no source states it. Where a source states a range, the columns ending in
`low` and `high` hold it, and a `value` between them is its middle. `unconfirmed` names the columns of a row that no source
of ours states, and `confidence` says how the rest is known.
"""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.doors import one_of

TABLES = (
    "links",
    "systems",
    "tiers",
    "media",
    "racks",
    "memory_tech",
    "memory_prices",
    "energy_measured",
    "policy",
    "industry",
    "training_runs",
    "failures",
)

SUFFIXES = {  # suffix in the file -> suffix in base SI, scale; the longest that fits is taken
    "gbytes_per_s_per_direction_per_chip": ("bytes_per_s", 1e9),
    "gbytes_per_s_per_mm2": ("bytes_per_s_per_m2", 1e15),
    "gbytes_per_s": ("bytes_per_s", 1e9),
    "gbits_per_s_per_chip": ("bytes_per_s", 1e9 / 8),
    "gbits_per_s": ("bytes_per_s", 1e9 / 8),
    "mbits_per_mm2": ("bytes_per_m2", 1e12 / 8),
    "gbytes": ("bytes", 1e9),
    "pj_per_bit": ("joules_per_byte", 8e-12),
    "mwh": ("joules", 3.6e9),
    "watts": ("watts", 1.0),
    "kw": ("watts", 1e3),
    "mw": ("watts", 1e6),
    "ns": ("s", 1e-9),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "hours": ("s", 3600.0),
    "days": ("s", 86400.0),
    "um2": ("m2", 1e-12),
    "mm": ("m", 1e-3),
    "m": ("m", 1.0),
    "kg": ("kg", 1.0),
    "usd_per_gbyte": ("usd_per_byte", 1e-9),
    "usd_per_hour": ("usd_per_s", 1 / 3600),
    "cents_per_kwh": ("usd_per_joule", 0.01 / 3.6e6),
    "musd_per_mw_year": ("usd_per_joule", 1 / (365 * 86400)),
    "musd_per_mw": ("usd_per_watt", 1.0),
    "gusd": ("usd", 1e9),
    "usd": ("usd", 1.0),
    "flop_per_s": ("flop_per_s", 1.0),
    "flop": ("flop", 1.0),
    "billions": ("", 1e9),
    "percent": ("", 0.01),
}
BOUNDS = ("low", "high")  # `pj_per_bit_low` scales as `pj_per_bit`
COUNTS = (  # numbers without a unit
    "year",
    "price_year",
    "batch",
    "n_chips",
    "tokens_per_s",
    "joules_per_token",
    "output_len",
    "ports",
    "lanes",
    "encoding",
    "domain_chips",
    "closes_chips",
    "cables",
    "chips",
    "sequence_tokens",
    "chips_low",
    "chips_per_node",
    "racks",
    "scale_up_chips",
    "pue",
    "size_chips",
    "oversubscription",
    "bus_bits",
    "stack_height",
    "at_least_tpp",
    "below_tpp",
    "at_least_performance_density",
    "below_performance_density",
    "mfu",
    "count",
    "count_low",
    "count_high",
    "planned",
    "unplanned",
    "goodput",
    "goodput_low",
)
BY_ROW = ("value", "value_low", "value_high")  # their suffix is the row's `unit`


def scaled(column):
    """The name in base SI of a file's column, and its scale; scale None: the column is text.

    >>> scaled("memory_gbytes_per_s"), scaled("latency_ns"), scaled("notes")
    (('memory_bytes_per_s', 1000000000.0), ('latency_s', 1e-09), ('notes', None))
    >>> scaled("params_billions"), scaled("usd_per_gbyte_low"), scaled("chips")
    (('params', 1000000000.0), ('usd_per_byte_low', 1e-09), ('chips', 1.0))
    """
    if column in COUNTS:
        return column, 1.0
    stem, bound = column, ""
    if column.endswith(BOUNDS):
        stem, _, bound = column.rpartition("_")
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if stem == suffix or stem.endswith(f"_{suffix}"):
            base, scale = SUFFIXES[suffix]
            name = stem.removesuffix(suffix) + base
            return "_".join(filter(None, (name.rstrip("_"), bound))), scale
    return column, None


def number(row, column):
    """One cell in base SI, or None where it is blank.

    >>> number({"latency_us": "2.7"}, "latency_us")
    2.7e-06
    """
    scale = scaled(column)[1]
    if scale is None:
        raise ValueError(f"column {column!r} is text: its name ends in no unit of facts.SUFFIXES")
    if not row[column]:
        return None
    try:
        return float(row[column]) * scale
    except ValueError:
        raise ValueError(f"{column} must be a number, got {row[column]!r}") from None


@cache
def table(name):
    """All rows of a table of facts: column -> array; numbers in base SI, blank ones NaN.

    >>> float(table("memory_tech")["bytes_per_s"][0])  # DDR3-1600: 64 bits x 1.6 Gb/s / 8
    12800000000.0
    """
    rows = data.rows(one_of("table", name, TABLES))
    by_row = BY_ROW if "unit" in rows[0] else ()
    columns = {}
    for column in rows[0]:
        base, scale = scaled(column)
        if column in by_row:
            columns[column] = _column(
                [number({r["unit"]: r[column]}, r["unit"]) if scaled(r["unit"])[1] else _plain(r[column]) for r in rows]
            )
        elif scale is None:
            columns[base] = np.array([row[column] for row in rows])
        else:
            columns[base] = _column([number(row, column) for row in rows])
    if by_row:
        columns["unit"] = np.array([scaled(row["unit"])[0] for row in rows])
    for array in columns.values():
        array.flags.writeable = False  # the table is read once and shared
    return columns


def _column(values):
    return np.array([np.nan if v is None else v for v in values])


def _plain(cell):
    return float(cell) if cell else None
