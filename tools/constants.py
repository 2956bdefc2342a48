"""Fit the constants of kernel times on the corpus and write them; --check compares only."""

import csv
import sys
from pathlib import Path

from bottlenecks import kernel_fit

FILE = Path(__file__).parents[1] / "bottlenecks" / "data" / "kernel_constants.csv"


def main():
    """Write data/kernel_constants.csv; takes about two minutes, most of it for the spreads."""
    fitted = kernel_fit.rows()
    if "--check" in sys.argv[1:]:
        with FILE.open(encoding="utf-8", newline="") as file:
            same = list(csv.DictReader(file)) == fitted
        print("as fitted" if same else "differs from what is fitted now")
        return 0 if same else 1
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fitted[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(fitted)
    print(f"{len(fitted)} constants in {FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
