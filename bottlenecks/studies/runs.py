"""Real training runs, predicted: the rows of a step from the peak to the clock, and who owned the second."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.doors import one_of
from bottlenecks.laws import shares
from bottlenecks.measured import frame, practice, scores
from bottlenecks.measured import training as measured_training
from bottlenecks.models.software import TODAY

TABLE = "training"
OWNER_OF = {  # of each row of a step, for a picture: the shares are finer
    "arithmetic at the peak": "compute",
    "products below the peak": "compute",
    "attention beyond the peak": "compute",
    "elementwise": "memory",
    "recomputation": "compute",
    "logits and embedding": "compute",
    "launches": "latency",
    "tensor parallel": "network",
    "context parallel": "network",
    "expert parallel": "network",
    "pipeline sends": "network",
    "uneven stages": "idle",
    "pipeline bubble": "idle",
    "data parallel": "network",
    "slowed by communication": "network",
    "optimiser": "memory",
}
NUMBERS = ("zero", "seq_len")  # columns of data/named_runs.csv that are numbers
NAMED = {  # words: cells of a row of the corpus; of several rows the one with most chips
    row["run"]: {
        name: float(row[name]) if name in NUMBERS else row[name] for name in row if name != "run" and row[name]
    }
    for row in data.rows("named_runs")
}
USED = {"mfu": "model", "full": "full", "hfu": "hardware"}  # as `training.Step.utilisation` names them
CUT = ("tp", "pp", "cp", "dp", "ep", "vpp", "micro_batch", "micro_batches")  # of a layout
OWNERS = scores.OWNERS
SINGLE = 8  # chips that one machine holds
MANY = 1000  # chips of a large run
SINCE = 2023
GROUPS = {  # words -> which runs
    "all": lambda run: run["chips"] > 0,
    "more than one machine, since 2023": lambda run: (run["chips"] > SINGLE) & (run["year"] >= SINCE),
    "more than 1,000 chips": lambda run: run["chips"] > MANY,
    "a trillion parameters, since 2023": lambda run: (
        (run["params"] >= 0.999e12) & (run["chips"] > SINGLE) & (run["year"] >= SINCE)
    ),
    "mixtures": lambda run: run["mixture"],
    "mixtures on more than one machine, since 2023": lambda run: (
        run["mixture"] & (run["chips"] > SINGLE) & (run["year"] >= SINCE)
    ),
    "8 chips or fewer": lambda run: run["chips"] <= SINGLE,
}


def years(sources):
    """The year in which each source was published; where it is not known, that of the corpus."""
    about = corpus.sources(TABLE)
    known = {s: int((about[s]["published"] or TODAY)[:4]) for s in set(sources.tolist())}
    return np.array([known[s] for s in sources.tolist()])


# ---- one run


def named(words):
    """A run of `NAMED`: its row of the corpus, as columns of one element."""
    found = corpus.table(TABLE)
    mine = (found["suspect"] == "") & (found["duplicate_of"] < 0)
    for name, cell in NAMED[one_of("run", words, NAMED)].items():
        mine &= found[name] == cell
    return corpus.where(found, np.arange(mine.size) == np.argmax(np.where(mine, found["n_chips"], 0)))


@cache
def waterfall(words):
    """One named run from the peak to the clock: what there is to draw and to say of it.

    rows        row of the step -> exposed seconds, in order: they add up to `seconds`, those of a well-tuned program
    measured_s  the run's own seconds, from whatever rate its source prints; low_s and high_s
                bound 80 % of measurements of runs like it (`measured.practice`)
    mfu, full, hfu  shares of the peak by the three conventions of `training.Step.utilisation`,
                predicted; each with `measured_` before it, over the measured seconds
    """
    row = named(words)
    cases = measured_training.cases(row)
    (case,) = cases.found
    step, seconds = case.step, case.step.seconds
    slower = float(np.exp(frame.slower(TABLE, cases, seconds)[0]))
    _, low, high = practice.predicted(practice.kept(TABLE), measured_training.classes(cases), case.open)
    seconds = seconds.item()
    used = {name: step.utilisation(of).item() for name, of in USED.items()}
    layout = {name: int(np.ravel(getattr(case.layout, name))[0]) for name in CUT}
    return {
        "rows": {name: np.broadcast_to(value, 1).item() for name, value in step.rows.items()},
        "seconds": seconds,
        "measured_s": seconds * slower,
        "low_s": seconds * low.item(),
        "high_s": seconds * high.item(),
        "chips": int(row["n_chips"][0]),
        "chip": case.on.name,
        "model": case.model.name,
        "source": row["source_id"][0].item(),
        "role": row["role"][0].item(),
        "year": int(years(row["source_id"])[0]),
        "format": case.on.product_format,
        "tokens": float(np.ravel(step.tokens)[0]),
        "assumed": case.assumed[0],
        **layout,
        **used,
        **{f"measured_{name}": value / slower for name, value in used.items()},
    }


def joined(rows, least=0.005):
    """Rows of a step, those below a share of it joined in a last one, "rest"."""
    whole = sum(rows.values())
    kept = {name: seconds for name, seconds in rows.items() if seconds >= least * whole}
    return kept | {"rest": whole - sum(kept.values())}


# ---- all runs


@cache
def _rows(every):
    """Rows of the corpus that were measured, speak for themselves and are predicted, and their predictions.

    Not every one: of each source's runs of a model that on most chips, of several the fastest.
    """
    found, predicted = corpus.table(TABLE), scores.table(TABLE)
    fair = (found["suspect"] == "") & (found["duplicate_of"] < 0)
    fair &= np.any([np.isfinite(found[name]) for name in measured_training.MEASURED], axis=0)
    which = np.flatnonzero(fair)
    if not every:
        which = which[largest(corpus.where(found, which))]
    which = which[predicted["reason"][which] == ""]
    return corpus.where(found, which), corpus.where(predicted, which)


def largest(columns):
    """Of each source's runs of a model, that on most chips, and of several the fastest: a mask."""
    rates = [columns[name] for name in ("flop_per_s_per_chip", "tokens_per_s_per_chip", "mfu", "hfu")]
    order = np.lexsort([*(np.nan_to_num(-rate, nan=np.inf) for rate in rates[::-1]), -columns["n_chips"]])
    pair = np.char.add(np.char.add(columns["source_id"], "\n"), columns["model"])[order]
    _, first = np.unique(pair, return_index=True)
    mask = np.zeros(order.size, dtype=bool)
    mask[order[first]] = True
    return mask


def _about(found, predicted):
    """What runs are: columns."""
    return {
        "source": found["source_id"],
        "model": found["model"],
        "year": years(found["source_id"]),
        "role": found["role"],
        "stated": predicted["open"] == 0,
        "mixture": predicted["group"] == "mixtures",
        **{name: predicted[name] for name in ("software", "family", "params", "chips")},
    }


@cache
def shares_of_runs(every=False):
    """Who owned the second of runs that can be scored (eq:shares): columns, one element a run.

    Of each source's runs of a model that on most chips, or `every` one. source, model, chips, year
    (of the source), role, software, family (of its chip), params, mixture, stated (no
    layout, batch or policy of weight was left to our choice); then the shares compute, memory (with
    the caches), network and latency, which sum to one, and largest, whose name says which.
    """
    found, predicted = _rows(every)
    owned = {name: predicted[name] for name in OWNERS}
    return _about(found, predicted) | owned | {"largest": shares.largest(owned)}


def dominated(run, mask, above=0.5):
    """How many runs of a mask have one share above a half, by rows and by sources.

    A source counts where that holds for most of its rows. {"rows", "rows above", one entry for each
    resource with the rows that it dominates, "sources", "sources above", and "median compute", ...}
    """
    mine = {name: values[mask] for name, values in run.items()}
    over = np.max([mine[name] for name in OWNERS], axis=0) > above
    names = np.unique(mine["source"])
    most = [over[mine["source"] == name].mean() > 0.5 for name in names]
    found = {"rows": over.size, "rows above": int(over.sum())}
    found |= {name: int((over & (mine["largest"] == name)).sum()) for name in OWNERS}
    found |= {"sources": names.size, "sources above": int(sum(most))}
    return found | {f"median {name}": float(np.median(mine[name])) for name in OWNERS}


def dominated_table(run=None):
    """Rows of a table: `dominated` for each of GROUPS, and for dense models and mixtures apart."""
    run = run or shares_of_runs()
    groups = {name: which(run) for name, which in GROUPS.items()}
    several = groups["more than one machine, since 2023"]
    groups["of these, dense"] = several & ~run["mixture"]
    groups["of these, mixtures"] = several & run["mixture"]
    groups["of these, with nothing of weight left open"] = several & run["stated"]
    lines = []
    for name, mask in groups.items():
        each = dominated(run, mask)
        lines.append(
            {"runs": name, "rows": each["rows"], "one share above a half": each["rows above"]}
            | {owner: each[owner] for owner in OWNERS}
            | {"sources": each["sources"], "of which mostly above": each["sources above"]}
            | {f"median {owner}": f"{each[f'median {owner}']:.0%}" for owner in OWNERS}
        )
    return lines


@cache
def scored():
    """Every run that can be scored, predicted and measured, in seconds of a step: columns.

    Those of `shares_of_runs` that say what it is, and `scores.in_seconds`.
    """
    found, at = _rows(True)
    return _about(found, at) | scores.in_seconds(at)


def groups_of(errors):
    """Rows of a table: errors of training steps, fitted sources and held-out ones, each counted once."""
    return [
        {
            "sources": r["role"],
            "models": r["group"],
            "how many": r["sources"],
            "rows": r["rows"],
            "mean error": f"{r['error']:.0%}",
            "worst source": scores.worst_source(r),
        }
        for r in scores.summary(errors)
    ]
