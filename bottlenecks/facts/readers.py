"""Readers' files: the cells of a CSV file, row by row, with what is wrong in each; a bad row costs no other.

Cells are cut by commas, semicolons or tabs, whichever the first line has most of.
"""

import csv
import io
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bottlenecks.facts.doors import shown

MOST_CELL = 10_000  # characters; more is a quote that is not closed, or no table
MOST_LINES = 50  # of a quoted cell
UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Cells(NamedTuple):
    """What `rows_of` finds: the first line, the rows below it, what is wrong with each, and what cuts them."""

    header: list
    rows: list
    faults: list
    cut: str


def rows_of(path):
    """The `Cells` of a CSV file; each row's faults are a list. Blank lines are skipped.

    A row with cells too few or too many gets as many as the header has; cells beyond stay in the last, as they were cut.
    """
    text = _text(path)
    cut = _cut(text)
    found = [(cells, told) for cells, told in _records(text, cut) if len(cells) > 1 or "".join(cells).strip()]
    if not found:
        raise ValueError(f"{path} is empty; its first line must name columns")
    (header, told), *body = found
    if told:
        raise ValueError(f"{path}, first line: {told[0]}")
    header = [_utf8(column)[0].strip() for column in header]
    while len(header) > 1 and not header[-1]:  # commas at the end
        header.pop()
    header = [column or f"column {i + 1}" for i, column in enumerate(header)]
    rows, faults = [], []
    for cells, told in body:
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(header):
            told = [*told, f"must have {len(header)} cells as the first line has, got {len(cells)}"]
            last = len(header) - 1
            cells = [*cells[:last], cut.join(cells[last:])] if len(cells) > last else cells
            cells = cells + [""] * (len(header) - len(cells))
        whole = [_utf8(cell) for cell in cells]
        told += [
            f"{name} is not UTF-8: {shown(cell)}" for name, (cell, wrong) in zip(header, whole, strict=True) if wrong
        ]
        long = [name for name, (cell, _) in zip(header, whole, strict=True) if len(cell) > MOST_CELL]
        told += [f"{name} must have at most {MOST_CELL:,} characters" for name in long]
        rows.append([cell for cell, _ in whole])
        faults.append(told)
    return Cells(header, rows, faults, cut)


def _text(path):
    """The file's text, UTF-8 or (Excel's "Unicode text") UTF-16; bytes that are not UTF-8 are kept as surrogates."""
    try:
        raw = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)[:200]} cannot be read as a CSV file: {error}") from None
    if not raw.startswith(UTF16):
        return raw.decode("utf-8-sig", "surrogateescape")
    try:
        return raw.decode("utf-16")
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read as a CSV file: it is broken UTF-16 ({error}); save it as UTF-8"
        ) from None


def _cut(text):
    """What cuts the cells of a file: what its first line has most of, outside of quotes."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    bare = "".join(first.split('"')[::2])
    return max(",;\t", key=bare.count)


def _utf8(cell):
    """(a cell that can be written, whether it had bytes that are not UTF-8)."""
    if cell.isascii():
        return cell, False
    kept = cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return kept, kept != cell


def _records(text, cut):
    """(cells, faults) of each row: those of a strict reader, or where it stumbles of one row after the other."""
    lines = list(io.StringIO(text, newline=""))  # its lines end as a CSV file's may
    try:
        found = list(csv.reader(lines, strict=True, delimiter=cut))
        if all(len(cell) <= MOST_CELL for cells in found for cell in cells):
            return [(cells, []) for cells in found]
    except csv.Error:
        pass
    found, start = [], 0
    while start < len(lines):
        cells, told, used = _one(lines, start, cut)
        found.append((cells, told))
        start += used
    return found


def _one(lines, start, cut):
    """(cells, faults, lines used) of the row that starts on a line; a quote that is not closed ends with its line."""
    reader = csv.reader(islice(lines, start, start + MOST_LINES), strict=True, delimiter=cut)
    try:
        return next(reader, []), [], reader.line_num
    except csv.Error:
        pass
    try:
        cells = next(csv.reader([lines[start]], delimiter=cut), [])
    except csv.Error:
        cells = lines[start].rstrip("\r\n").split(cut)
        return cells, [] if any(len(cell) > MOST_CELL for cell in cells) else ["the row is no CSV"], 1
    return cells, ["a quote is not closed"] * (lines[start].count('"') % 2), 1
