"""Would the tests notice a wrong formula? Two are planted in a copy of the package, and tests are run on it.

python tools/mutants.py --prove-red     or `make prove-red`: under two minutes; exit 0 if each was noticed

Each must turn red a test that was green before, of two kinds: a number worked out by hand, and a budget, which is the
error on measurements once `make scores` has written the wrong predictions. Between them the question whether any
prediction changed, which is neither. What was red before says nothing, and is told.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ALONE = ("-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:nbval", "--hypothesis-seed=0")
SCORES = "tests/measured/test_scores.py"
WRITE = "from bottlenecks.measured import scores; scores.write({0!r}, scores.fresh({0!r}, owners=False))"
MUST = ("by hand", "budget")  # kinds of tests that must notice
SHOWN = 4  # names of tests in a line of the report


class Wrong(NamedTuple):
    """A formula made wrong: what it says then, where, its text and the wrong one; who should notice."""

    what: str
    module: str
    right: str
    wrong: str
    by_hand: tuple  # arguments of pytest
    kind: str  # of measured rows


WRONGS = (
    Wrong(
        "a tile takes twice its operations (eq:tile-time)",
        "laws.tiling",
        "arithmetic_s = 2 * tile_rows",
        "arithmetic_s = 4 * tile_rows",
        ("tests/laws/test_tiling.py", "bottlenecks/laws/tiling.py"),
        "kernels",
    ),
    Wrong(
        "arithmetic and traffic of a product take turns: + in place of max (eq:matmul-time)",
        "models.kernels",
        "np.hypot(np.square(busy_s), np.square(traffic_s))",
        "np.square(busy_s + traffic_s)",
        ("tests/models/test_kernels.py", "-k", "by_hand or product"),
        "kernels",
    ),
)


def planted(text, wrong):
    """The source of a module with one formula made wrong; it must be there once."""
    if text.count(wrong.right) != 1:
        raise ValueError(f"{wrong.module} has {wrong.right!r} {text.count(wrong.right)} times, not once: see WRONGS")
    return text.replace(wrong.right, wrong.wrong)


def newly(before, after):
    """{kind of test: tests, in order, that were green before and are red after}."""
    return {kind: sorted(after[kind] - before[kind]) for kind in after}


def missed(found):
    """Kinds of tests that must notice, of which none did."""
    return [kind for kind in MUST if not found[kind]]


def copied(folder):
    """Copy the package and its tests into a folder: what is done to them there touches nothing else."""
    for name in ("bottlenecks", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def _run(folder, *command):
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def reds(folder, *asked):
    """Names of the tests of a copy that fail; `asked`: arguments of pytest."""
    told = folder / "red.xml"
    told.unlink(missing_ok=True)
    run = _run(folder, "-m", "pytest", *ALONE, f"--junitxml={told}", *asked)
    if not told.exists():
        raise RuntimeError(f"pytest {' '.join(asked)}: {(run.stderr or run.stdout).strip()[-300:]}")
    cases = xml.parse(told).iter("testcase")
    bad = (case for case in cases if case.find("failure") is not None or case.find("error") is not None)
    return {f"{case.get('classname')}::{case.get('name')}" for case in bad}


def asked_of(folder, wrong):
    """{kind of test: names of those that are red} of a copy as it stands; its predictions are then written."""
    found = {
        "by hand": reds(folder, *wrong.by_hand),
        "changed": reds(folder, SCORES, "-m", "changed", "-k", f"prediction and {wrong.kind}"),
    }
    run = _run(folder, "-c", WRITE.format(wrong.kind))
    if run.returncode:
        raise RuntimeError(f"no predictions of {wrong.kind}: {run.stderr.strip()[-300:]}")
    return found | {"budget": reds(folder, SCORES, "-m", "budget", "-k", wrong.kind)}


def _one(wrong):
    """Plant one wrong formula, say who noticed; the kinds that missed it."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        copied(folder)
        before = asked_of(folder, wrong)
        table = f"bottlenecks/data/predictions_{wrong.kind}.csv"
        shutil.copy(ROOT / table, folder / table)
        path = folder / "bottlenecks" / (wrong.module.replace(".", "/") + ".py")
        path.write_text(planted(path.read_text(encoding="utf-8"), wrong), encoding="utf-8")
        after = asked_of(folder, wrong)
    found = newly(before, after)
    print(f"{wrong.module}: {wrong.what}")
    for kind, names in found.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        was = f" ({len(before[kind])} red before)" if before[kind] else ""
        print(f"  {kind:8s} {len(names)} red{was}: {', '.join(names[:SHOWN]) or 'NONE'}{more}", flush=True)
    return missed(found)


def prove():
    """0 if every wrong formula was noticed by each kind of test, else 1."""
    began = time.perf_counter()
    unseen = [f"{wrong.module} by {kind}" for wrong in WRONGS for kind in _one(wrong)]
    told = f"not noticed: {'; '.join(unseen)}" if unseen else f"all {len(WRONGS)} wrong formulas were noticed"
    print(f"{told} ({time.perf_counter() - began:.0f} s)")
    return 1 if unseen else 0
