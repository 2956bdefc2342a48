"""Compute what each mechanism of the models earns, and write data/rent.csv; about a quarter of an hour on a quiet core.

python tools/rent.py [KIND ...]
"""

import csv
import sys

from bottlenecks import data
from bottlenecks.facts import files
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import rent


def main():
    asked = [one_of("kind", kind, rent.MECHANISMS) for kind in sys.argv[1:]] or list(rent.MECHANISMS)
    kept = {row["kind"]: [] for row in data.rows("rent")}
    for row in data.rows("rent"):
        kept[row["kind"]].append(row)
    for kind in asked:
        kept[kind] = rent.fresh(kind)
        for row in kept[kind]:
            print(f"{kind:12s}{row['mechanism']:46s}{row['error']:>8s}{row['rent']:>9s}", flush=True)
    rows = [row for kind in rent.MECHANISMS for row in kept.get(kind, ())]

    def fill(file):
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    files.write(data.FOLDER / "rent.csv", fill)


if __name__ == "__main__":
    sys.exit(main())
