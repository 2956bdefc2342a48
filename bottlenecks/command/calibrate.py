"""`bottlenecks calibrate`: the reader's own measured runs move the predictions for her cluster."""

import math
import sys
from pathlib import Path

from bottlenecks.command.reports import count, percent, tell_unread
from bottlenecks.facts.units import plain, si

SHOWN = 4  # reasons, and runs far out, that are told


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "calibrate",
        help="let your own measured runs move the predictions for your cluster",
        description="Read measured runs in the columns that `bottlenecks predict` takes, and write what they say of your "
        "cluster into a small file: how its times stand to the book's prediction, for each class of runs, how well that is "
        "known, and, where products or collectives of several kinds tell them apart, the few constants of your chip. A few "
        "runs move little and many move all the way: yours are one more source of measurements. What moved, what stays and "
        "why, and how many more runs would narrow the interval by how much, is printed. Nothing uses the file unasked: "
        "give it to `bottlenecks predict` or `bottlenecks search` with --calibration.",
        epilog="Example: bottlenecks calibrate training mine.csv -o mine.toml, then "
        "bottlenecks predict training next.csv --calibration mine.toml",
    )
    parser.add_argument("kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training")
    parser.add_argument("file", metavar="ROWS.csv", help="the measured runs")
    parser.add_argument("-o", "--out", metavar="CALIBRATION.toml", help="where to write (default: standard output)")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.yours import calibrate, calibrated

    if args.out and Path(args.out).exists() and Path(args.file).exists() and Path(args.out).samefile(args.file):
        raise ValueError(f"{args.out} is the input itself: name another file")
    found = calibrate.calibrate(args.kind, args.file)
    tell_unread(args.file, found.unread)
    calibrated.write(args.out or sys.stdout, found.calibration)
    print("\n".join(lines(found, args.file)), file=sys.stdout if args.out else sys.stderr)
    if args.out:
        print(f"{args.out}: now `bottlenecks predict {args.kind} IN.csv --calibration {args.out}`")


def lines(found, file):
    """What a `calibrate.Found` says."""
    mine = found.calibration
    repeats = f", {mine.rows - mine.runs} of them repeats" * (mine.rows > mine.runs)
    yield f"{file}: {count(mine.rows)} used{repeats}" + _unused(found.unused)
    yield from constant_lines(mine, found.stay)
    that = "what is predicted" + " with these constants" * bool(mine.constants)
    for name, about in found.classes.items():
        of = mine.classes[name]
        yield f"{name}: yours take {plain(of.times)} times {that}, by {of.runs} run{'s' * (of.runs != 1)}"
        yield f"  80 % of such runs take {_ends(about.after)} times as long; by the book alone {_ends(about.before)} times"
        more = ", ".join(percent(width) for width in about.more)
        yield f"  that is {percent(about.now)} either way; after 1, 3 and 10 more such runs {more}"
    if found.other:
        name, now, then = found.other
        yield f"runs of another class would tell most: {name}, {percent(now)} either way now and {percent(then)} after 3"
    if not mine.constants:
        below = (1 + math.erf(mine.place / math.sqrt(2))) / 2
        yield f"your cluster is slower than about {100 * below:.0f} % of the sources of measurements"
    if found.far:
        first = [f"{row} ({plain(times)} times)" for row, times in list(found.far.items())[:SHOWN]]
        rest = f" and {len(found.far) - SHOWN} more" * (len(found.far) > SHOWN)
        yield f"rows far from the middle of their class, to be looked at first: {', '.join(first)}{rest}"


def constant_lines(mine, stay):
    """The constants that moved, beside the book's, and why others stay."""
    from bottlenecks.yours.calibrated import CONSTANTS

    about = CONSTANTS.get(mine.kind, {})
    for name, found in mine.constants.items():
        value, low, high, *book = (si(v, "s" if name.endswith("_s") else "") for v in found)
        known = f" ({book[1]} to {book[2]})" * (found.book_low == found.book_low)
        yield f"{about[name]}: {value} ({low} to {high}), by the book {book[0]}{known}"
    for name, why in stay.items():
        yield f"{about[name]} stays as it is: {why}"


def _unused(reasons):
    if not reasons:
        return ""
    first = [f"{rows} x {why}" for why, rows in list(reasons.items())[:SHOWN]]
    rest = sum(list(reasons.values())[SHOWN:])
    return f", {sum(reasons.values())} not: {'; '.join(first + [f'{rest} x other reasons'] * bool(rest))}"


def _ends(ends):
    return f"{plain(ends[0])} to {plain(ends[1])}"
