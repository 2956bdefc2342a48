"""`bottlenecks score`: the errors of the predictions on the measured corpus, beside those of the simplest rivals."""

import json
import math

from bottlenecks.command.reports import count, percent
from bottlenecks.facts.units import plain


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "score",
        help="the errors of the predictions on the measured corpus",
        description="For each source of measurements and group of rows: rows, those scored, error (mean of "
        "|ln(predicted / measured)|), bias (of predicted over measured speed: above zero is too fast), worst predicted / "
        "measured, and the share of measurements inside the 80 % interval. Then the error (mean over sources), the "
        "median row and the interval of all held-out rows, beside three rivals on the same rows: the datasheet; one "
        "number for each family of chips and group of rows, fitted without the source; and the geometric mean of that and "
        "the model. Constants are fitted on sources with the role fit alone; practice is learned without the source "
        "that is scored. Predictions of the corpus are kept with the package, so that this takes no time; --fresh "
        "computes them.",
        epilog="Example: bottlenecks score kernels --rent",
    )
    parser.add_argument("kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training")
    parser.add_argument("--json", action="store_true", help="print JSON; errors as fractions")
    parser.add_argument("--unscored", action="store_true", help="why rows have no prediction, instead of the errors")
    parser.add_argument("--rent", action="store_true", help="the error without each mechanism, instead of the errors")
    parser.add_argument(
        "--fresh", action="store_true", help="compute now (--rent: minutes), instead of reading what is kept"
    )
    parser.set_defaults(run=run)


def run(args):
    content, lines = _rent(args) if args.rent else _unscored(args) if args.unscored else _scores(args)
    print(json.dumps(content, indent=1) if args.json else "\n".join(lines))


def _found(args):
    from bottlenecks.measured import scores

    return scores.fresh(args.kind, owners=False) if args.fresh else scores.table(args.kind)


def _unscored(args):
    from bottlenecks.measured import scores

    content = scores.unscored(args.kind, _found(args))
    return content, unscored_lines(content)


def _rent(args):
    from bottlenecks.measured import rent

    content = rent.fresh(args.kind) if args.fresh else rent.table(args.kind)
    return content, rent_lines(content)


def _scores(args):
    from bottlenecks.measured import rivals, scores

    found = _found(args)
    table, rows = scores.score(args.kind, found), scores.rows_summary(args.kind, found)
    summary, beside = scores.summary(table), rivals.summary(args.kind)
    blank = [{k: None if v != v else v for k, v in row.items()} for row in table]
    tiers = rivals.tiers(args.kind)
    content = {"scores": blank, "summary": summary, "rows": rows, "rivals": beside, "tiers": tiers}
    return content, (*score_lines(table, summary), *rows_lines(rows), *rivals_lines(beside), *tiers_lines(tiers))


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


def rivals_lines(found):
    """`rivals.summary`: the model beside its rivals on the same held-out rows."""
    from bottlenecks.measured import rivals

    yield (
        f"held-out, all: {found['sources']} sources, {count(found['rows'])} scored, {percent(found['predicted'])} predicted, "
        f"{percent(found['inside'])} inside the 80 % interval"
    )
    for name, words in rivals.WORDS.items():
        error, median = found[name]["error"], found[name]["median"]
        yield f"  {words:14s}error {percent(error):>7s}   median row {percent(median):>7s}"


def tiers_lines(found):
    """`rivals.tiers`: the model's error where its chip was measured, and where nothing is known but the datasheet."""
    for tier, of in found.items():
        yield (
            f"  of these with {tier}: error {percent(of['model'])}, one number {percent(of['one number'])}, "
            f"{of['sources']} sources, {count(of['rows'])}, {percent(of['inside'])} inside"
        )


def rent_lines(table):
    """`rent.table`: what the error becomes without each mechanism, dearest first."""
    yield f"{'without':46s}{'error':>9s}{'median':>9s}{'inside':>9s}{'rent, points':>18s}"
    for row in table:
        numbers = [percent(float(row[name])) if row[name] else "" for name in ("error", "median", "inside")]
        rent = f"{100 * float(row['rent']):+.1f} +- {100 * float(row['deviation']):.1f}"
        rent = "" if row["mechanism"] == table[0]["mechanism"] else rent
        yield (f"{row['mechanism']:46s}" + "".join(f"{n:>9s}" for n in numbers) + f"{rent:>18s}").rstrip()


def unscored_lines(reasons):
    """Why rows have no prediction, the most frequent reason first."""
    yield f"without a prediction: {count(sum(reasons.values()))}"
    yield from (f"{rows:6d}  {reason}" for reason, rows in reasons.items())


def _line(cells):
    role, source, group, *numbers = cells
    return f"{role:9s}{source:25s}{group:23s}" + "".join(f"{n!s:>9s}" for n in numbers)
