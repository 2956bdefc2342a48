"""The corpus's open rows as questions to the peers, and what their answers come to beside ours.

Open rows are those of sources of the role held-out. Ours are the committed predictions, of which whatever is learned
from measured runs has left the row's own source out. A peer is asked what the row states; what it leaves open is
settled as our model does it (lengths, formats, a training layout), but for the cut of a server and its sequences at
once, which a peer may choose.
"""

import csv
import datetime
import time
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus, files
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.measured import frame, inference, scores
from bottlenecks.models.software import find_stack

KINDS = ("inference", "training")
MOST = 200  # questions of a kind
OWN = ("aic_silicon",)  # measured by the makers of a peer, who know it: left out for all
SHAPE = (
    *("layers", "heads", "kv_heads", "head_values", "width", "ffn_width", "ffn_matrices", "vocab", "params"),
    *("attention", "experts", "experts_per_token", "expert_width", "shared_experts", "dense_layers"),
    *("encoder_layers", "ssm_layers"),
)
LAYOUT = ("tp", "sp", "pp", "vpp", "dp", "cp", "ep", "zero", "micro_batch", "micro_batches", "seq_len", "lora_rank")
COLUMNS = (
    *("peer", "version", "kind", "sources", "rows_asked", "rows_answered", "error", "median"),
    *("our_error", "our_median", "per_s", "our_per_s", "date"),
)


class Asked(NamedTuple):
    """Rows of a kind that peers are asked, as questions."""

    kind: str
    places: np.ndarray  # in the corpus's table
    cases: object  # of these rows alone
    questions: list
    per_s: float  # answers of ours a second of one core, all rows in one call


def asked(kind):
    """`Asked` of a kind: the first, middle and last open row of each source and model."""
    rows, found = corpus.table(kind), scores.table(kind)
    open = scores.fair(rows, found) & (rows["role"] == "held-out") & ~np.isin(rows["source_id"], OWN)
    places = thinned(np.flatnonzero(open), rows["source_id"], rows["model"])
    few = corpus.where(rows, places)
    began = time.process_time()
    frame.predict(kind, few, owners=False)
    took_s = time.process_time() - began
    cases = frame.KINDS[kind].cases(few)
    questions = [None] * places.size
    for case in cases.found:
        for i, place in enumerate(case.rows.tolist()):
            questions[place] = {"inference": _of_inference, "training": _of_training}[kind](cases.columns, case, i)
    return Asked(kind, places, cases, questions, places.size / took_s)


def thinned(places, sources, models):
    """The first, middle and last place of each source and model; of each source, where these are more than `MOST`."""
    for keys in (zip(sources[places].tolist(), models[places].tolist(), strict=True), sources[places].tolist()):
        groups = {}
        for place, key in zip(places.tolist(), keys, strict=True):
            groups.setdefault(key, []).append(place)
        found = sorted({few[i] for few in groups.values() for i in (0, len(few) // 2, -1)})
        if len(found) <= MOST:
            break
    return np.array(found)


def shape_of(model):
    """What an adapter may need of a model."""
    return {"model": model.name} | {name: getattr(model, name) for name in SHAPE}


def _of_training(columns, case, i):
    """A step of a row, in the layout that is stated or that our model takes for it."""
    layout = {name: _plain(np.broadcast_to(getattr(case.layout, name), case.rows.shape)[i]) for name in LAYOUT}
    policy = np.broadcast_to(case.layout.recompute, case.rows.shape)[i]
    layout["recompute"] = policy if isinstance(policy, str) else POLICIES[int(policy)]
    return {"kind": "training", "chip": case.on.name, "format": case.on.format} | layout | shape_of(case.model)


def _of_inference(columns, case, i):
    """A prompt, a step, a run or a token of a server of a row."""
    row = {name: values[case.rows[i]] for name, values in columns.items()}
    cut = {name: int(row[name]) if np.isfinite(row[name]) else None for name in ("n_chips", "tp", "pp", "ep")}
    if cut["n_chips"] is None:
        cut["n_chips"] = (cut["tp"] or 1) * (cut["pp"] or 1) * (cut["ep"] or 1)
    batch, prompt, output = (
        float(np.broadcast_to(v, case.rows.shape)[i]) for v in (case.batch, case.prompt, case.output)
    )
    return (
        {
            "kind": "inference",
            "asks": _asks(row),
            "chip": case.on.name,
            "stack": find_stack(str(row["software"])) or find_stack(str(row["framework"])),
            "batch": batch if np.isfinite(batch) else None,
            "prompt": prompt if np.isfinite(prompt) else 0.0,
            "output": output if np.isfinite(output) else 1.0,
            "context": max(np.nan_to_num(prompt) + np.nan_to_num(output) / 2, 1.0),
            "weights": case.weight_format,
            "cache": case.cache_format,
        }
        | cut
        | shape_of(model(find_model(str(row["model"]))))
    )


def _asks(row):
    if row["load"] == "saturated":
        return "saturated"
    if row["phase"] == "prefill":
        return "prefill"
    return "run" if row["phase"] == "end_to_end" and inference.is_run(row) else "step"


def _plain(value):
    return value.item() if hasattr(value, "item") else value


# ---- what answers come to


def line(peer, asked, answers, per_s):
    """A line of `COLUMNS`, as numbers."""
    seconds = np.array([found.get("seconds", np.nan) for found in answers])
    measured, predicted, _ = frame.KINDS[asked.kind].headline(asked.cases, seconds)
    with np.errstate(divide="ignore", invalid="ignore"):
        theirs = np.log(predicted / measured)
    ours = np.log(scores.table(asked.kind)["ratio"][asked.places])
    sources = corpus.table(asked.kind)["source_id"][asked.places]
    name, _, version = peer.partition("==")
    known = np.isfinite(theirs)
    return (
        {"peer": name, "version": version, "kind": asked.kind}
        | {"sources": np.unique(sources[known]).size, "rows_asked": known.size, "rows_answered": int(known.sum())}
        | dict(zip(("error", "median"), errors(theirs[known], sources[known]), strict=True))
        | dict(zip(("our_error", "our_median"), errors(ours[known], sources[known]), strict=True))
        | {"per_s": per_s, "our_per_s": asked.per_s, "date": datetime.date.today().isoformat()}
    )


def errors(logs, sources):
    """(mean over sources of the mean |ln|, |ln| of the median row); NaN where there is no row."""
    return (scores.mean_error(logs, sources), float(np.median(np.abs(logs)))) if logs.size else (np.nan, np.nan)


def told(lines):
    """The lines as a table of words."""
    wide = (20, 9, 9, 8, 8, 7, 7, 7, 8, 9, 11, 9)
    heads = ("peer", "kind", "answered", "of rows", "sources", "error", "ours", "median", "ours", "answers/s", "ours/s")
    yield _row(heads, wide)
    for found in lines:
        share = f"{found['rows_answered'] / found['rows_asked']:.0%}"
        pairs = ("error", "our_error", "median", "our_median")
        yield _row(
            (
                found["peer"],
                found["kind"],
                found["rows_answered"],
                f"{share} of {found['rows_asked']}",
                found["sources"],
                *(f"{found[name]:.3f}" for name in pairs),
                f"{found['per_s']:,.0f}",
                f"{found['our_per_s']:,.0f}",
            ),
            wide,
        )


def _row(cells, wide):
    return " ".join(
        f"{cell!s:{'<' if i < 2 else '>'}{w}}" for i, (cell, w) in enumerate(zip(cells, wide, strict=False))
    )


def write(lines):
    """Write `data/peers.csv`; lines of a peer and kind that were not asked now stay."""
    name = data.FOLDER / "peers.csv"
    new = [{c: f"{v:.4g}" if isinstance(v, float) else str(v) for c, v in found.items()} for found in lines]
    asked = {(found["peer"], found["kind"]) for found in new}
    old = [
        found for found in (data.rows("peers") if name.exists() else ()) if (found["peer"], found["kind"]) not in asked
    ]

    def fill(file):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(new + old, key=lambda found: (found["kind"], found["peer"])))

    files.write(name, fill)
