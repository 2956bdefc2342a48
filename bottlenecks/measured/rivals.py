"""The simplest rivals of the models, on the same rows: the datasheet, one number, and the mean of that and the model.

A model deserves its pages if it errs less than all three on sources that nothing was fitted to. The datasheet is the
larger of two times: operations at the printed peak, bytes at the printed bandwidth of memory or wire. The one number
multiplies it, for each family of chips and group of rows: in training it is a utilisation, elsewhere a share of the
floor. It is the median over all other sources. The last rival is the geometric mean of the one number and the model.

Errors are means of |ln(predicted / measured)|: twice too fast is as wrong as twice too slow.
"""

from functools import cache as keep

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import frame, scores

NAMES = ("datasheet", "one number", "both", "model")  # both: the geometric mean of one number and model


@keep
def logs(kind):
    """ln(measured / predicted seconds) of the rows that are scored: rival -> array; also source, role, group, inside."""
    rows, found = corpus.table(one_of("kind", kind, frame.KINDS)), scores.table(kind)
    mine = scores.fair(rows, found) & np.isfinite(found["floor_s"])
    rows, found = corpus.where(rows, mine), corpus.where(found, mine)
    with np.errstate(divide="ignore"):
        slower = np.log(found["measured"] / found["predicted"]) * np.where(np.isin(found["unit"], frame.TIMES), 1, -1)
        over = np.log(found["reference"] / found["predicted"]) * np.where(np.isin(found["unit"], frame.TIMES), 1, -1)
        datasheet = slower - over + np.log(found["seconds"] / found["floor_s"])
    one = datasheet - one_number(datasheet, rows["source_id"], found["group"], found["family"])
    return {
        "datasheet": datasheet,
        "one number": one,
        "both": (one + slower) / 2,
        "model": slower,
        "source": rows["source_id"],
        "role": rows["role"],
        "group": found["group"],
        "inside": scores.inside(found),
    }


def one_number(values, sources, groups, families):
    """Of each row the median of `values` over all other sources, each of the same weight.

    Of its group and family of chips; where no other source has both, of its group; else of all rows.
    """
    found = np.full(values.size, np.nan)
    for source, group, family in dict.fromkeys(zip(sources.tolist(), groups.tolist(), families.tolist(), strict=True)):
        others = sources != source
        for like in (others & (groups == group) & (families == family), others & (groups == group), others):
            if like.any():
                break
        mine = (sources == source) & (groups == group) & (families == family)
        found[mine] = weighted_median(values[like], sources[like])
    return found


def weighted_median(values, sources):
    """The median of rows, every source of the same weight."""
    _, which, count = np.unique(sources, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    share = np.cumsum((1 / count[which])[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])


def rivals(kind, role="held-out"):
    """One dictionary for each group of rows, the last for all of them: group, sources, rows, then the error of each of `NAMES`."""
    found = logs(kind)
    mine = found["role"] == role
    lines = []
    for group in (*np.unique(found["group"][mine]).tolist(), ""):
        some = mine & (found["group"] == group) if group else mine
        lines.append(
            {"group": group or "all", "sources": np.unique(found["source"][some]).size, "rows": int(some.sum())}
            | {name: mean_error(found[name][some], found["source"][some]) for name in NAMES}
        )
    return lines


def mean_error(logs, sources):
    """The mean over sources of the mean |ln(predicted / measured)|."""
    return float(np.mean([np.abs(logs[sources == name]).mean() for name in np.unique(sources)]))


def summary(kind, role="held-out"):
    """Of each rival: error (mean over sources), median row, as {name: {"error", "median"}}; and what the model alone has."""
    found = logs(kind)
    mine = found["role"] == role
    sources = found["source"][mine]
    table = {
        name: {"error": mean_error(found[name][mine], sources), "median": float(np.median(np.abs(found[name][mine])))}
        for name in NAMES
    }
    whole = scores.table(kind)
    asked = corpus.table(kind)["role"] == role
    return table | {
        "sources": np.unique(sources).size,
        "rows": int(mine.sum()),
        "predicted": float(np.isfinite(whole["predicted"][asked]).mean()),
        "inside": float(found["inside"][mine].mean()),
    }


def rivals_table(kind, most=5):
    """Rows of a table: `rivals` in percent, of all rows and of the groups with most sources."""
    words = {"datasheet": "datasheet", "one number": "one number", "both": "its mean with the model", "model": "model"}
    return [
        {name: line[name] for name in ("group", "sources", "rows")}
        | {words[name]: f"{line[name]:.0%}" for name in NAMES}
        for line in _widest(rivals(kind), most)
    ]


def _widest(lines, most):
    *groups, whole = lines
    kept = sorted(groups, key=lambda line: -line["sources"])[: most - 1]
    return [*(line for line in groups if line in kept), whole]
