"""The simplest rivals of the models, on the same rows: the datasheet, one number, and the mean of that and the model.

A model deserves its pages if it errs less than all three on sources that nothing was fitted to. The datasheet is the
larger of two times: operations at the printed peak, bytes at the printed bandwidth of memory or wire. The one number
multiplies it, for each family of chips, group of rows and decade of the datasheet's time (a small message is no large
one): in training it is a utilisation, elsewhere a share of the floor. It is the median over all other sources. The last rival is the geometric mean of the one number and the model.

Errors are means of |ln(predicted / measured)|: twice too fast is as wrong as twice too slow.
"""

from functools import cache as keep

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.measured import scores
from bottlenecks.models import kernels

NAMES = ("datasheet", "one number", "both", "model")  # both: the geometric mean of one number and model
TIERS = ("one sweep of the chip's family", "its datasheet alone")  # what is known of the chip
WORDS = dict(zip(NAMES, ("datasheet", "one number", "mean of both", "model"), strict=True))


@keep
def logs(kind):
    """ln(measured / predicted seconds) of the rows that are scored: rival -> array; also source, role, group, inside."""
    found, rows = scores.table(kind), corpus.table(kind)
    mine = scores.fair(rows, found) & np.isfinite(found["floor_s"])
    rows, found = corpus.where(rows, mine), corpus.where(found, mine)
    of = scores.in_seconds(found)
    slower, datasheet = -of["error"], np.log(of["measured_s"] / found["floor_s"])
    decade = np.floor(np.log10(found["floor_s"])).astype(int).astype(str)
    classes = np.char.add(np.char.add(found["group"], ", s of 10^"), decade)
    one = datasheet - one_number(datasheet, rows["source_id"], classes, found["family"])
    return {
        "datasheet": datasheet,
        "one number": one,
        "both": (one + slower) / 2,
        "model": slower,
        "source": rows["source_id"],
        "role": rows["role"],
        "group": found["group"],
        "family": found["family"],
        "inside": scores.inside(found),
    }


def one_number(values, sources, classes, families):
    """Of each row the median of `values` over all other sources, each of the same weight.

    Of its class and family of chips; where no other source has both, of its class; else of all rows.
    """
    found = np.full(values.size, np.nan)
    for source, alike, family in dict.fromkeys(zip(sources.tolist(), classes.tolist(), families.tolist(), strict=True)):
        others = sources != source
        for like in (others & (classes == alike) & (families == family), others & (classes == alike), others):
            if like.any():
                break
        mine = (sources == source) & (classes == alike) & (families == family)
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
            | {name: scores.mean_error(found[name][some], found["source"][some]) for name in NAMES}
        )
    return lines


def summary(kind, role="held-out"):
    """Of each rival: error (mean over sources), median row, as {name: {"error", "median"}}; and what the model alone has."""
    found = logs(kind)
    mine = found["role"] == role
    sources = found["source"][mine]
    table = {
        name: {
            "error": scores.mean_error(found[name][mine], sources),
            "median": float(np.median(np.abs(found[name][mine]))),
        }
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


def tiers(kind, role="held-out"):
    """Of each tier of `TIERS` that has rows: {tier: {sources, rows, inside, and the error of each of `NAMES`}}."""
    found, lines = logs(kind), {}
    swept = {family: kernels.swept(family) for family in set(found["family"].tolist())}
    known = np.array([swept[family] for family in found["family"].tolist()])
    for tier, of in zip(TIERS, (known, ~known), strict=True):
        mine = of & (found["role"] == role)
        if mine.any():
            sources = found["source"][mine]
            lines[tier] = {"sources": np.unique(sources).size, "rows": int(mine.sum())}
            lines[tier] |= {"inside": float(found["inside"][mine].mean())}
            lines[tier] |= {name: scores.mean_error(found[name][mine], sources) for name in NAMES}
    return lines


def rivals_table(kind, most=5):
    """Rows of a table: `rivals` in percent, of all rows and of the groups with most sources."""
    return [
        {name: line[name] for name in ("group", "sources", "rows")}
        | {WORDS[name]: f"{line[name]:.0%}" for name in NAMES}
        for line in _widest(rivals(kind), most)
    ]


def _widest(lines, most):
    *groups, whole = lines
    kept = sorted(groups, key=lambda line: -line["sources"])[: most - 1]
    return [*(line for line in groups if line in kept), whole]
