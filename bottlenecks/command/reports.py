"""Predictions and scores as lines of text, for the command line."""

import numpy as np

from bottlenecks.facts.units import plain, si
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.measured import frame
from bottlenecks.studies import search

SHOWN = 4  # reasons in a line


def summary_line(found):
    """What became of a file's rows, in one line."""
    reasons = frame.reasons(found)
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
    """The table of `frame.score`, then what it comes to for each role and group."""
    head = ("role", "source", "group", "rows", "scored", "error", "bias", "worst", "inside")
    yield _line(head)
    for row in table:
        yield _line(
            [
                row["role"],
                row["source"],
                row["group"],
                row["rows"],
                row["scored"],
                percent(row["error"]),
                percent(row["bias"], "+"),
                ratio_text(row["worst"]),
                percent(row["inside"]),
            ]
        )
    for row in frame.summary(table):
        yield (
            f"{row['role']:9s}{row['group']}: error {percent(row['error'])}, the mean of "
            f"{row['sources']} source{'s' * (row['sources'] > 1)} with {count(row['rows'])}; "
            f"worst {row['worst source']} ({percent(row['its error'])})"
        )


def rows_lines(table):
    """`frame.rows_summary`: what it comes to over rows."""
    for row in table:
        yield (
            f"{row['role']:9s}rows: median error {percent(row['median'])} of {count(row['rows'])}; "
            f"{percent(row['inside'])} of them inside the 80 % interval"
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
    yield f"does not fit, by {si(short, 'B', 4)}" if short > 0 else f"fits, with {si(-short, 'B', 4)} to spare"
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
    return f"{role:9s}{source:25s}{group:23s}" + "".join(f"{n!s:>9s}" for n in numbers)


# ---- a search


def search_lines(found):
    """The best layouts, who owns the second of the first, and what to buy next."""
    yield f"{found.valid} valid layouts, {found.fitting} fit"
    if not found.fitting:
        near = ", ".join(f"{k} {v}" for k, v in _named(found.nearest).items())
        yield f"the nearest lacks {si(found.least_shortfall_bytes, 'B')} a chip: {near}"
        return
    head = ("step", "MFU", "memory", *(_SHORT.get(n, n) for n in search.COLUMNS))
    yield "".join(f"{cell:>12s}" for cell in head)
    mfu = _mfu(found)
    for i in range(found.best["seconds"].size):
        at = {name: values[i] for name, values in found.best.items()}
        named = _named({n: at[n] for n in search.COLUMNS})
        cells = (si(at["seconds"], "s"), percent(mfu[i]), si(at["memory_bytes"], "B"), *named.values())
        yield "".join(f"{cell!s:>12s}" for cell in cells)
    layout = found.layout()
    owners = search.owners(found.model, layout, found.on, found.software)
    yield "the second of the best: " + ", ".join(f"{o} {percent(v)}" for o, v in owners.items())
    step = found.step()
    rows = sorted(step.rows.items(), key=lambda item: -item[1])
    yield "its rows: " + ", ".join(
        f"{name} {percent(float(s / step.seconds))}" for name, s in rows if s > 0.005 * step.seconds
    )
    gains = search.doubled(found.model, layout, found.on, found.software)
    best = max(gains, key=gains.get)
    yield f"buy {best}: twice as much makes it {plain(gains[best])} times as fast; " + ", ".join(
        f"{o} {plain(v)}" for o, v in gains.items() if o != best
    )


def search_json(found):
    """The same as numbers in base units."""
    mfu = _mfu(found)
    best = [
        _named({n: found.best[n][i] for n in search.COLUMNS})
        | {n: float(found.best[n][i]) for n in ("seconds", "memory_bytes")}
        | {"mfu": float(mfu[i])}
        for i in range(found.best["seconds"].size)
    ]
    content = {
        "valid": found.valid,
        "fitting": found.fitting,
        "best": best,
        "least_shortfall_bytes": float(found.least_shortfall_bytes),
    }
    if found.fitting:
        where = (found.model, found.layout(), found.on, found.software)
        content["shares"] = {o: float(v) for o, v in search.owners(*where).items()}
        content["doubled"] = {o: float(v) for o, v in search.doubled(*where).items()}
        content["rows_s"] = {name: float(s) for name, s in found.step().rows.items()}
    return content


_SHORT = {"micro_batch": "micro", "micro_batches": "times", "recompute": "again"}


def _named(columns):
    """A layout's columns with its choices as words."""
    words = {"recompute": POLICIES, "schedule": SCHEDULES}
    return {n: words[n][int(v)] if n in words else int(v) for n, v in columns.items()}


def _mfu(found):
    return [float(found.step(i).mfu) for i in range(found.best["seconds"].size)]
