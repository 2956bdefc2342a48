"""Facts: tables in which every number keeps its source, and the one bibliography."""

import csv
import tomllib
from functools import cache
from importlib.resources import files

FOLDER = files(__name__)


@cache
def rows(table):
    """The rows of data/<table>.csv as dictionaries of text, in the file's order."""
    with (FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def columns(table):
    """The columns of data/<table>.csv: name -> tuple of text, in the file's order."""
    with (FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    return dict(zip(header, zip(*lines, strict=True), strict=True))


@cache
def references():
    """The bibliography: key -> {title, author, year, url, note}."""
    return tomllib.loads((FOLDER / "references.toml").read_text(encoding="utf-8"))


def keys(cell):
    """The bibliography keys in a `sources` cell.

    >>> keys("jouppi2021lessons; horowitz2014")
    ('jouppi2021lessons', 'horowitz2014')
    """
    return tuple(key.strip() for key in cell.split(";") if key.strip())


def tables():
    """Names of all tables, without `.csv`."""
    return sorted(path.name.removesuffix(".csv") for path in FOLDER.iterdir() if path.name.endswith(".csv"))


def cited_by(key):
    """Rows that cite a key of the bibliography: table -> their names (empty text where nameless)."""
    found = {}
    for table in tables():
        mine = [row for row in rows(table) if key == row.get("source_id") or key in keys(row.get("sources") or "")]
        if mine:
            found[table] = [row.get("name") or row.get("operation") or row.get("chip") or "" for row in mine]
    return found


@cache
def spellings(table, fold):
    """Every spelling of a table's names and aliases, folded -> the name that the table uses."""
    return {
        fold(spelling): row["name"]
        for row in rows(table)
        for spelling in (row["name"], *row["aliases"].split(";"))
        if spelling
    }
