"""Nonsense is answered by a message that names it: no traceback, no hang, no number out of it, no row lost.

`--fuzz N` tries N calls, and files and command lines in proportion; the seed is fixed.
"""

import csv
import io

import made_up
import numpy as np
import pytest
from fuzz import Hang, bad_file, bad_line, bad_log, bounded, calls, junk, narrow, outcome

from bottlenecks.__main__ import main
from bottlenecks.measured import frame, scores
from bottlenecks.yours import read

SEED = 20261129


@pytest.fixture
def tries(request):
    """Numbers of calls, files and command lines."""
    many = request.config.getoption("--fuzz")
    return {"calls": many, "files": many // 2, "lines": many // 5}


def told(failures):
    return "\n".join(dict.fromkeys(failures))


def test_every_call_works_as_it_stands():
    for call in calls():
        with bounded(30):
            call.act(**call.given)


def test_a_call_with_nonsense_says_so(tries):
    rng, failures = np.random.default_rng(SEED), []
    for _ in range(tries["calls"]):
        call = calls()[rng.integers(len(calls()))]
        arguments = (*call.numbers, *call.words, *call.records)
        argument = arguments[rng.integers(len(arguments))]
        nonsense = junk(call, argument, rng)
        if wrong := outcome(call, argument, nonsense):
            failures.append(f"{call.name}({argument}={repr_of(nonsense)}): {wrong[:160]}")
    assert not failures, f"{len(failures)} of {tries['calls']}:\n{told(failures)}"


def repr_of(nonsense):
    try:
        return repr(nonsense)[:60]
    except ValueError:
        return "a number of 5000 digits"


@pytest.mark.parametrize(
    "call", [c for c in calls() if c.name.startswith(("ops", "kernels", "inference", "requests"))], ids=lambda c: c.name
)
def test_narrow_integers_are_widened(call):
    small, wide = narrow(call, np.random.default_rng(SEED))
    if not small:
        pytest.skip("takes no whole number")
    for one, other in zip(numbers(call.act(**call.given | small)), numbers(call.act(**call.given | wide)), strict=True):
        np.testing.assert_array_equal(one, other)


def numbers(answer):
    """The arrays of an answer, in order."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, tuple | list):
        return [each for part in answer for each in numbers(part)]
    return [answer] if isinstance(answer, int | float | np.ndarray | np.generic) else []


def test_a_bad_cell_costs_its_row_alone(tries, tmp_path):
    rng, failures = np.random.default_rng(SEED), []
    for i in range(tries["files"]):
        kind = tuple(frame.KINDS)[i % len(frame.KINDS)]
        content, picked, bad, how = bad_file(kind, rng)
        if wrong := file_outcome(kind, content, picked, bad, tmp_path, owners=i % 20 < 4):
            failures.append(f"{kind}, {how}: {wrong[:200]}")
    assert not failures, f"{len(failures)} of {tries['files']}:\n{told(failures)}"


def file_outcome(kind, content, picked, bad, folder, owners):
    """'' if a file comes back whole, with a number or a reason in each row, else what is wrong."""
    path, out = folder / "in.csv", io.StringIO()
    path.write_bytes(content)
    try:
        with bounded(20):
            found = frame.predict_file(kind, path, out, owners=owners)
    except (Exception, Hang) as problem:
        return f"{type(problem).__name__}: {problem}"
    written = list(csv.DictReader(io.StringIO(out.getvalue())))
    if len(written) != found["reason"].size or len(written) != picked.size:
        return f"{len(written)} rows came back, not {picked.size}"
    known = np.isfinite(scores.table(kind)["predicted"][picked])
    for i, row in enumerate(written):
        if i != bad and known[i] and not row["predicted"]:
            return f"row {i} lost its prediction to row {bad}: {row['reason']}"
        if not (
            row["reason"] or (row["predicted"] and np.isfinite(float(row["predicted"])) and float(row["predicted"]) > 0)
        ):
            return f"row {i} (bad is {bad}) has neither a number nor a reason: {row['predicted']!r}"
        if row["ratio"] and not float(row["ratio"]) > 0:
            return f"row {i} has the ratio {row['ratio']}"
    return ""


def test_a_broken_log_gives_rows_or_a_reason(tries, tmp_path):
    rng, failures = np.random.default_rng(SEED), []
    for i in range(tries["files"]):
        name = tuple(made_up.LOGS)[i % len(made_up.LOGS)]
        text = bad_log(made_up.LOGS[name][0], rng)
        (tmp_path / name).write_text(text, encoding="utf-8")
        try:
            with bounded(20):
                found = read.read(tmp_path / name, given={"chip": "T4"})
        except ValueError as problem:
            if not str(problem).strip():
                failures.append(f"{name}: an error without words")
        except (Exception, Hang) as problem:
            failures.append(f"{name}: {type(problem).__name__}: {problem}: {text[-300:]!r}")
        else:
            if not found.rows or any(set(row) != set(found.rows[0]) for row in found.rows):
                failures.append(f"{name}: rows of different columns")
    assert not failures, f"{len(failures)} of {tries['files']}:\n{told(failures)}"


def test_a_command_line_of_nonsense_is_answered(tries, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, failures = np.random.default_rng(SEED), []
    for _ in range(tries["lines"]):
        line = bad_line(rng)
        try:
            with bounded(20):
                main(line)
        except SystemExit:
            pass
        except (Exception, Hang) as problem:
            failures.append(f"{line!r:.150}: {type(problem).__name__}: {problem}")
    capsys.readouterr()
    assert not failures, f"{len(failures)} of {tries['lines']}:\n{told(failures)}"
