"""Logs of others' tools as rows of the corpus: `bottlenecks read LOG`.

    found = read("all_reduce.log", given={"n_nodes": "1"})     # found.rows, as `bottlenecks predict` takes them

What a log is, is known by its content. Each kind is a file `logs_*.py` with its `TABLE`, `recognises(log)` and `read(log, given)`.
"""

import csv
from collections import Counter
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import cells, corpus, files, readers
from bottlenecks.facts.doors import one_of, shown
from bottlenecks.facts.units import plural
from bottlenecks.measured import frame
from bottlenecks.yours import logs, logs_collectives, logs_llama, logs_megatron, logs_serving, logs_torchtitan

READERS = (logs_collectives, logs_serving, logs_llama, logs_megatron, logs_torchtitan)
KINDS = MappingProxyType({reader.NAME: reader for reader in READERS})
EXAMPLES = {"chip": '"H100 SXM5"', "model": "Llama-3-8B", "n_gpus": "8", "n_nodes": "1", "n_chips": "8"}


class Rows(NamedTuple):
    """A log's rows, and what was understood.

    `kind` is the log's, `table` the rows'; `rows` are texts by column. `told`, `left_out` and `unread` as
    `logs.Found` has them; `missing` columns that a prediction needs and no row has; `reasons` why rows have no
    prediction yet, `assumed` what the others take for granted: words -> rows.
    """

    kind: str
    table: str
    rows: list
    told: list
    left_out: list
    unread: list
    missing: list
    reasons: dict
    assumed: dict


def read(path, kind=None, given=None):
    """The `Rows` of a log; `given`, column -> text, is what its reader states of all of them, and wins."""
    if kind is not None:
        one_of("kind", kind, KINDS)
    log = logs.open_log(path)
    reader = KINDS[kind or _recognised(log)]
    given = {name: str(value) for name, value in (given or {}).items()}
    _check(reader.TABLE, given)
    found = reader.read(log, given)
    if not found.rows:
        first = f", such as line {found.unread[0][0]}: {logs.cut(found.unread[0][1])}" if found.unread else ""
        why = f"{plural(len(found.unread), 'line')} could not be read{first}" if first else "no line has one"
        why = "; ".join(dict.fromkeys(found.left_out)) or why
        raise ValueError(f"{log.name} ({reader.NAME}) has no result that can be a row: {why}")
    rows = [row | given for row in found.rows]
    rows = [{column: row.get(column, "") for column in _columns(reader.TABLE, rows)} for row in rows]
    return Rows(reader.NAME, reader.TABLE, *found._replace(rows=rows), *_predicted(reader.TABLE, rows))


def write(out, rows):
    """Write rows into a CSV file, or into an open one."""
    if hasattr(out, "write"):
        _write(out, rows)
    else:
        files.write(out, partial(_write, rows=rows))


def _write(file, rows):
    table = csv.DictWriter(file, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)


def _recognised(log):
    """The kind of a log, by its content."""
    found = [name for name, reader in KINDS.items() if reader.recognises(log)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{log.name} could be {' or '.join(found)}: say which with --kind")
    raise ValueError(
        f"{log.name} is no log that can be read; there are: {', '.join(KINDS)}. "
        "A table of your own goes to `bottlenecks predict` as it is"
    )


def _check(table, given):
    """Is what a reader states a column of the table, and a number where that has numbers?"""
    about = corpus.columns(table)
    names = {column: name for column, name in zip(data.columns(corpus.TABLES[table]), about, strict=False)}
    for column, text in given.items():
        one_of(f"column of {table}", column, names)
        unit = about[names[column]][0]
        if unit == "text":
            continue
        try:
            bad = not np.isfinite(cells.number(text))
        except ValueError:
            bad = True
        if bad:
            raise ValueError(f"{column} must be a number, got {shown(text)}")


def _columns(table, rows):
    """Columns of the table that a row has, in its order, and those that a prediction needs."""
    used = {column for row in rows for column, text in row.items() if text} | set(corpus.NEEDED[table])
    return [column for column in data.columns(corpus.TABLES[table]) if column in used]


def _predicted(table, rows):
    """(columns that are missing, why rows have no prediction, what the others assume), by predicting them."""
    header = list(rows[0])
    file = readers.Cells(header, [list(row.values()) for row in rows], [[] for _ in rows], ",")
    own = corpus.of_cells("the rows", file, table)
    found = frame.predict(table, own.columns, owners=False)
    missing = [column for column in corpus.NEEDED[table] if not any(row[column] for row in rows)]
    reasons = Counter(filter(None, found["reason"].tolist()))
    words = [each for text in found["assumed"][found["reason"] == ""].tolist() for each in text.split("; ")]
    return missing, dict(reasons.most_common()), dict(Counter(filter(None, words)).most_common())


def report(found, name):
    """What `read` understood, in lines."""
    lines = [f"{name}: {found.kind}, {len(found.rows)} row{'s' * (len(found.rows) != 1)} of {found.table}"]
    lines += [f"  {words}" for words in found.told]
    lines += [f"  left out: {words}" for words in _counted(found.left_out)]
    lines += [f"  missing: {column} (--set {column}={EXAMPLES.get(column, 'VALUE')})" for column in found.missing]
    lines += [f"  no prediction yet for {rows} of them: {why}" for why, rows in found.reasons.items()]
    if found.assumed and not found.missing:
        lines.append(f"  a prediction would assume: {'; '.join(list(found.assumed)[:6])}")
    if found.unread:
        shown_lines = "; ".join(f"{number}: {logs.cut(line)}" for number, line in found.unread[:3])
        more = f"; and {len(found.unread) - 3} more" * (len(found.unread) > 3)
        lines.append(f"  not read: {shown_lines}{more}")
    return lines


def _counted(words):
    return [f"{each} ({times} times)" if times > 1 else each for each, times in Counter(words).items()]
