"""Fit the constants of the models on the corpus and write them; --check compares only."""

import csv
import sys
from functools import partial
from pathlib import Path

from bottlenecks.facts import files
from bottlenecks.measured.fits import collectives, equal, inference, kernels, training

FOLDER = Path(__file__).parents[1] / "bottlenecks" / "data"
FITS = {"kernel": kernels, "equal": equal, "network": collectives, "inference": inference, "training": training}
# each stands on those before


def main():
    """Write data/*_constants.csv; takes about three minutes, most of it for the spreads of kernels.

    Each fit stands on the constants before it as they were: run again until nothing differs.
    """
    for name, module in FITS.items():
        file = FOLDER / f"{name}_constants.csv"
        fitted = module.rows()
        if "--check" in sys.argv[1:]:
            with file.open(encoding="utf-8", newline="") as text:
                same = list(csv.DictReader(text)) == fitted
            print(f"{file.name}: {'as fitted' if same else 'differs from what is fitted now'}")
            continue
        files.write(file, partial(_fill, rows=fitted))
        print(f"{len(fitted)} constants in {file.name}")


def _fill(file, rows):
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
