"""`bottlenecks score`: the errors of the predictions on the measured corpus."""

import json
import math

from bottlenecks.command.reports import count, percent
from bottlenecks.facts.units import plain


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "score",
        help="the errors of the predictions on the measured corpus",
        description="For each source of measurements and group of rows: rows, those scored, "
        "error (mean of |predicted / measured - 1|), bias, worst predicted / measured, and the "
        "share of measurements inside the 80 % interval. Constants are fitted on sources with "
        "the role fit alone; no constant is fitted on a held-out source. Predictions of the corpus are "
        "kept with the package, so that this takes no time; --fresh computes them.",
        epilog="Example: bottlenecks score kernels --unscored",
    )
    parser.add_argument("kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training")
    parser.add_argument("--json", action="store_true", help="print JSON; errors as fractions")
    parser.add_argument("--unscored", action="store_true", help="why rows have no prediction, instead of the errors")
    parser.add_argument(
        "--fresh", action="store_true", help="predict now, instead of reading the committed predictions"
    )
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.measured import scores

    found = scores.fresh(args.kind, owners=False) if args.fresh else scores.table(args.kind)
    if args.unscored:
        content = scores.unscored(args.kind, found)
        lines = unscored_lines(content)
    else:
        table, rows = scores.score(args.kind, found), scores.rows_summary(args.kind, found)
        summary = scores.summary(table)
        blank = [{k: None if v != v else v for k, v in row.items()} for row in table]
        lines = (*score_lines(table, summary), *rows_lines(rows))
        content = {"scores": blank, "summary": summary, "rows": rows}
    print(json.dumps(content, indent=1) if args.json else "\n".join(lines))


def score_lines(table, summary):
    """The tables of `scores.score` and `scores.summary`: each source, then each role and group."""
    yield _line(("role", "source", "group", "rows", "scored", "error", "bias", "worst", "inside"))
    for row in table:
        named = [row[name] for name in ("role", "source", "group", "rows", "scored")]
        worst = plain(row["worst"]) if math.isfinite(row["worst"]) else "-"
        yield _line([*named, percent(row["error"]), percent(row["bias"], "+"), worst, percent(row["inside"])])
    for row in summary:
        yield (
            f"{row['role']:9s}{row['group']}: error {percent(row['error'])}, the mean of "
            f"{row['sources']} source{'s' * (row['sources'] > 1)} with {count(row['rows'])}; "
            f"worst {row['worst source']} ({percent(row['its error'])})"
        )


def rows_lines(table):
    """`scores.rows_summary`: what it comes to over rows."""
    for row in table:
        yield (
            f"{row['role']:9s}rows: median error {percent(row['median'])} of {count(row['rows'])}; "
            f"{percent(row['inside'])} of them inside the 80 % interval"
        )


def unscored_lines(reasons):
    """Why rows have no prediction, the most frequent reason first."""
    yield f"without a prediction: {count(sum(reasons.values()))}"
    yield from (f"{rows:6d}  {reason}" for reason, rows in reasons.items())


def _line(cells):
    role, source, group, *numbers = cells
    return f"{role:9s}{source:25s}{group:23s}" + "".join(f"{n!s:>9s}" for n in numbers)
