"""Predictions and scores as lines of text, for the command line."""

import numpy as np

from bottlenecks import predictions
from bottlenecks.units import plain, si

SHOWN = 4  # reasons in a line


def summary_line(found):
    """What became of a file's rows, in one line."""
    reasons = predictions.reasons(found)
    ratio = found["ratio"][np.isfinite(found["ratio"])]
    text = f"{count(found['ratio'].size)}, {np.isfinite(found['predicted']).sum()} predicted"
    if reasons:
        first = [f"{rows} x {reason}" for reason, rows in list(reasons.items())[:SHOWN]]
        rest = sum(list(reasons.values())[SHOWN:])
        first += [f"{rest} x other reasons"] * bool(rest)
        text += f", {sum(reasons.values())} not: {'; '.join(first)}"
    if ratio.size:
        text += f"; error {percent(np.abs(ratio - 1).mean())} over {ratio.size} measured"
    return text


def score_lines(table):
    """The table of `predictions.score`, then what it comes to for each role and group."""
    head = ("role", "source", "group", "rows", "scored", "error", "bias", "worst", "inside")
    yield _line(head)
    for row in table:
        yield _line([
            row["role"], row["source"], row["group"], row["rows"], row["scored"],
            percent(row["error"]), percent(row["bias"], "+"), ratio_text(row["worst"]),
            percent(row["inside"]),
        ])  # fmt: skip
    for row in predictions.summary(table):
        yield (
            f"{row['role']:9s}{row['group']}: error {percent(row['error'])}, the mean of "
            f"{row['sources']} source{'s' * (row['sources'] > 1)} with {count(row['rows'])}; "
            f"worst {row['worst source']} ({percent(row['its error'])})"
        )


def unscored_lines(reasons):
    """Why rows have no prediction, the most frequent reason first."""
    yield f"without a prediction: {count(sum(reasons.values()))}"
    yield from (f"{rows:6d}  {reason}" for reason, rows in reasons.items())


def fits_lines(model, chip, found):
    """What a chip of a layout holds (`fits`), what is missing, and what to change."""
    yield f"{model.name} on {chip.name}, {found['layout']}: bytes on the fullest chip"
    for name, held in found["rows"].items():
        if held:
            yield f"  {name:14s}{si(held, 'B', 4):>12s}"
    yield f"  {'together':14s}{si(sum(found['rows'].values()), 'B', 4):>12s} of {si(found['memory'], 'B', 4)}"
    short = found["shortfall"]
    yield f"does not fit, by {si(short, 'B', 4)}" if short > 0 else f"fits, with {si(-short, 'B', 4)} to spare"  # fmt: skip
    if found["change"] is not None:
        yield f"cheapest change that fits: {found['change'] or 'none of those tried'}"
    if "largest batch" in found:
        most, longest = found["largest batch"], found["largest context"]
        yield f"largest batch at this context: {most:,.0f}; longest context at this batch: {longest:,.0f}"


def count(rows):
    """Rows as text."""
    return f"{rows} row{'s' * (rows != 1)}"


def percent(share, sign=""):
    """A share as text, '-' where there is none."""
    return f"{100 * share:{sign}.1f} %" if np.isfinite(share) else "-"


def ratio_text(ratio):
    """Predicted over measured as text."""
    return plain(ratio) if np.isfinite(ratio) else "-"


def _line(cells):
    role, source, group, *numbers = cells
    return f"{role:9s}{source:22s}{group:23s}" + "".join(f"{n!s:>9s}" for n in numbers)
