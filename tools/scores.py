"""Compute the corpus's predictions, write them, and say what became of the errors.

python tools/scores.py [KIND ...]    bottlenecks/data/predictions_*.csv, which all pages read
python tools/scores.py --budgets     and tests/measured/budgets.csv: the errors that tests allow

Two minutes on two quiet cores, most of it for the owners of inference's seconds.
"""

import argparse
import csv
import sys
from pathlib import Path

from bottlenecks import data
from bottlenecks.facts import files
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import frame, scores

BUDGETS = Path(__file__).resolve().parents[1] / "tests" / "measured" / "budgets.csv"
COLUMNS = ("kind", "role", "group", "source", "error")
TOLD = 5e-4  # a change of an error that is worth a line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(frame.KINDS)} (default: all)")
    parser.add_argument("--budgets", action="store_true", help="write the errors that tests allow as well")
    args = parser.parse_args()
    for kind in [one_of("kind", kind, frame.KINDS) for kind in args.kinds] or frame.KINDS:
        before = _before(kind)
        found = scores.fresh(kind)
        scores.write(kind, found)
        print(f"predictions_{kind}.csv: {found['ratio'].size} rows")
        _tell(kind, before, scores.errors(kind, found))
    if args.budgets:
        _clear()
        _write_budgets()


def _before(kind):
    """The errors of the committed table; none where there is none, or one of another corpus."""
    try:
        return scores.errors(kind)
    except (OSError, ValueError, KeyError):
        return {}


def _clear():
    """Forget the tables that were read: they have been written since."""
    scores.table.cache_clear()
    data.columns.cache_clear()


def _tell(kind, before, after):
    for (role, group, source), error in after.items():
        old = before.get((role, group, source), error)
        if abs(error - old) >= TOLD:
            what = ", ".join(filter(None, (role, group or "median over rows", source)))
            print(f"  {kind}, {what}: {old:.1%} -> {error:.1%}")


def _write_budgets():
    def fill(file):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for kind in frame.KINDS:
            for (role, group, source), error in sorted(scores.errors(kind).items()):
                writer.writerow((kind, role, group, source, f"{error:.4f}"))

    files.write(BUDGETS, fill)
    print(f"{BUDGETS.name}: what the errors are now")


if __name__ == "__main__":
    sys.exit(main())
