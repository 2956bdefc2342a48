"""What all kinds of measured rows share: rows that one call predicts, rows that can be none, predictions.

A kind of measurement is a module with `cases(columns)`, made once, and with what is asked of them:
`predict(cases)`, reference seconds; `headline(cases, seconds)` in the unit of each row; `groups(cases)` to be scored
under; and `classes(cases)`, {factor: array of levels}, to which practice belongs.
"""

from functools import cache, wraps
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.chips import chip, find_chip
from bottlenecks.facts.doors import COUNT, RANKS
from bottlenecks.laws import shares
from bottlenecks.measured import choices
from bottlenecks.models import kernels


class Cases(NamedTuple):
    """All rows of a table as cases; a row is in one, or there is a reason why it is in none.

    A case has `rows`, `on` (what it ran on), `time(on)` in seconds, and, one for all or one a row, `assumed` in words and
    `open`, the deviation of the logarithm of the time over what is left open.
    """

    columns: dict
    found: list
    reasons: np.ndarray


TOKENS, MOST_LAYERS, WIDEST = 10**9, 10**4, 10**8
LENGTHS = ("input_len", "output_len")  # means, which may be broken; one below a token is a slip
LIMITS = {  # column -> (least, most, is it whole); a column that is not named is finite and above zero
    **dict.fromkeys(("m", "n", "k", "batch", "global_batch_seqs", "bytes", "threads", "slots"), (1, COUNT, True)),
    **dict.fromkeys(("seq_len", "kv_len", "padded_tokens", "micro_batch"), (1, TOKENS, True)),
    **dict.fromkeys(LENGTHS, (0, TOKENS, False)),
    **dict.fromkeys(("layers", "moe_topk", "pp", "vpp"), (1, MOST_LAYERS, True)),
    **dict.fromkeys(("hidden", "ffn", "vocab"), (1, WIDEST, True)),
    **dict.fromkeys(("heads", "kv_heads", "head_dim", "moe_experts"), (1, 10**5, True)),
    **dict.fromkeys(("n_chips", "n_gpus", "n_nodes", "nodes", "tp", "dp", "cp", "ep", "zero_ranks"), (1, RANKS, True)),
    **dict.fromkeys(("model_parallel", "ranks_per_chip"), (1, RANKS, True)),
    **dict.fromkeys(("mfu", "hfu"), (1e-6, 1, False)),
    **dict.fromkeys(("params", "active_params"), (1e3, 1e18, False)),
    "message_bytes": (1, 10**18, False),
    "batch_tokens": (1, COUNT, False),
    "evaluated_share": (0, 1, False),
    "capacity_factor": (1e-3, 1e3, False),
    "tokens_ahead": (0, 64, True),
    "lora_rank": (0, WIDEST, True),
    "zero": (0, 3, True),
    "directions": (1, 2, True),
    "pcie_generation": (1, 9, True),
}
SWITCHES = (
    *("causal", "timed_alone", "best_of_sweep", "tuned_library", "speculative", "in_place", "rdma_only", "one_domain"),
    *("own_count", "forced", "submission", "mask_fused", "expert_folding", "fixed_capacity", "graphs"),
    *("sequence_parallel", "embedding_slots"),
)
LIMITS |= dict.fromkeys(SWITCHES, (0, 1, True))
NO_NUMBER = "the numbers of the row are out of all proportion: there is no finite time"
SMALLEST, LARGEST = 1e-15, 1e24  # of a time or a rate in base SI


def impossible(columns):
    """Why each row can be none, '' or words: what is wrong with any of its numbers. A blank (NaN) is no reason."""
    reasons = np.full(columns["source_id"].size, "", dtype=object)
    for name, given in columns.items():
        if given.dtype.kind != "f" or name in ("duplicate_of", "board_open"):
            continue
        least, most, whole = LIMITS.get(name, (SMALLEST, LARGEST, False))
        with np.errstate(invalid="ignore"):
            wrong = (given < least) | (given > most) | (np.isfinite(given) & (np.mod(given, 1) != 0) & whole)
            wrong |= (name in LENGTHS) & (given > 0) & (given < 1)
        for i in np.flatnonzero(wrong).tolist():
            told = f"{name} must be {_bounds(name, least, most, whole)}, got {given[i]:g}"
            near = round(given[i]) if (whole or name in LENGTHS) and np.isfinite(given[i]) else given[i]
            near = min(max(near, least), most)
            told += f"; the nearest is {near:g}" if name in LIMITS else ""
            reasons[i] = f"{reasons[i]}; {told}" if reasons[i] else told
    return reasons


def _bounds(name, least, most, whole):
    if name in SWITCHES:
        return "1 or 0"
    if name not in LIMITS:
        return "above zero and finite"
    if name in LENGTHS:
        return f"0 or from 1 to {most:,.15g}"
    return f"{'whole and ' if whole else ''}from {least:g} to {most:,.15g}"


def sorted_out(make, rows, reasons):
    """`make(rows)`, a list of cases, for rows that are alike; a row that its door refuses costs no other.

    Where the door refuses (ValueError), halves are tried, down to the row, which gets the reason.
    """
    try:
        return make(rows)
    except ValueError as problem:
        if rows.size == 1:
            reasons[rows] = str(problem)
            return []
    return [case for half in np.array_split(rows, 2) for case in sorted_out(make, half, reasons)]


def alike(columns, texts, numbers=(), blanks=(), among=True):
    """Rows alike in texts, in numbers and in which cells are blank: arrays of places, in order of their first."""
    keys = [columns[name].tolist() for name in texts]
    keys += [np.nan_to_num(columns[name], nan=-1).tolist() for name in numbers]
    keys += [np.isnan(columns[name]).tolist() for name in blanks]
    together = {}
    for i, (used, *key) in enumerate(zip(np.broadcast_to(among, len(keys[0])).tolist(), *keys, strict=True)):
        if used:
            together.setdefault(tuple(key), []).append(i)
    return [np.array(rows) for rows in together.values()]


def middles(values, weights):
    """(place of the weighted median along the first axis, weighted deviation of the logarithms about it), of each column."""
    order = np.argsort(values, axis=0, kind="stable")
    share = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0) / weights.sum(axis=0)
    at = np.take_along_axis(order, np.argmax(share >= 0.5, axis=0)[None], axis=0)[0]
    logs = np.log(values / np.take_along_axis(values, at[None], axis=0)[0])
    return at, np.sqrt(np.average(logs**2, axis=0, weights=weights))


def over_boards(cases):
    """A kind's `cases`, where a name that does not tell its board is a distribution over those that it can mean.

    The one of the median time stands for the row; the others widen its interval.
    """

    @wraps(cases)
    def settled(columns):
        names, spelled = columns["chip_name"], columns["chip"]
        untold = (names == "") & (columns.get("board", names) == "")
        names, open, taken = names.astype("U64"), np.zeros(names.size), np.full(names.size, "", dtype=object)
        for name in np.unique(spelled[untold]).tolist():
            boards = choices.boards(name)
            mine = np.flatnonzero(untold & (spelled == name))
            if boards:
                names[mine], open[mine] = _board(cases, {c: v[mine] for c, v in columns.items()}, boards)
                taken[mine] = [taken_for(board) for board in names[mine].tolist()]
        return cases(columns | {"chip_name": names, "board_open": open, "board_taken": taken.astype(str)})

    return settled


def taken_for(board):
    """What is said of a row whose chip is a name that several boards have."""
    return f"taken for {board}: the name does not tell the board"


def _board(cases, columns, boards):
    """(the board of the median time of each row, deviation of the logarithm over all of them)."""
    each = np.full((len(boards), columns["chip"].size), np.nan)
    for i, (board, _) in enumerate(boards):
        tried = {"chip_name": np.full(each.shape[1], board), "board_tried": np.full(each.shape[1], board)}
        found = cases(columns | tried)
        for case in found.found:
            each[i, case.rows] = case.time(case.on)
    known = np.isfinite(each)
    weights = known * np.array([weight for _, weight in boards])[:, None] + 1e-12
    at, open = middles(np.where(known, each, np.nanmax(np.where(known, each, 1.0), axis=0)), weights)
    return np.array([board for board, _ in boards])[at], open


def predictions(cases, *, owner):
    """Reference seconds of every row, its owner and what was assumed: name -> array.

    `open`: deviation of the logarithm of the time over what a row leaves open. `owner(case)`: the resource with the
    largest share, or None where nobody asks. `seconds` is NaN where `reason` says why.
    """
    size = cases.reasons.size
    found = {"seconds": np.full(size, np.nan), "open": np.zeros(size)}
    found |= {name: np.full(size, "", dtype=object) for name in ("bound", "assumed")}
    reasons = cases.reasons.astype(object)
    also = np.hypot(cases.columns["board_open"], unswept(cases.columns["chip_name"]))
    for case in cases.found:
        if case.rows.size:
            try:
                found["seconds"][case.rows] = case.time(case.on)
            except ValueError as problem:
                reasons[case.rows] = str(problem)
                continue
            found["open"][case.rows] = np.hypot(case.open, also[case.rows])
            found["assumed"][case.rows] = case.assumed
            found["bound"][case.rows] = owner(case) if owner else ""
    lost = (reasons == "") & ~(np.isfinite(found["seconds"]) & (found["seconds"] > 0))
    reasons[lost], found["seconds"][lost] = NO_NUMBER, np.nan
    found["assumed"] = np.where(reasons == "", joined(cases.columns["board_taken"], found["assumed"]), "")
    return found | {name: found[name].astype(str) for name in ("bound", "assumed")} | {"reason": reasons.astype(str)}


def unswept(names):
    """What a chip leaves open of the logarithm of a time: nothing where its family was swept, else what families differ by."""
    of = {name: find_chip(name) for name in set(names.tolist())}
    alike = among_families()
    open = {name: alike if found and not kernels.swept(chip(found).family) else 0.0 for name, found in of.items()}
    return np.array([open[name] for name in names.tolist()])


@cache
def among_families():
    """Deviation of the logarithm of the share of the peak that products reach, over the families that were measured themselves."""
    of = kernels.constants_table().items()
    own = [float(row["value"]) for (family, name), row in of if name == "matmul_16" and family != "any"]
    return float(np.std(np.log(own), ddof=1))


def joined(*texts):
    """Texts of each row behind one another, blanks left out."""
    return np.array(["; ".join(filter(None, each)) for each in zip(*texts, strict=True)], dtype=str)


def largest(resources):
    """The owner of a case's time among some resources (eq:shares), for `predictions`."""
    return lambda case: shares.largest(shares.shares(case.time, case.on, resources))
