"""Rent: what the error of a kind of rows becomes without each mechanism, everything else learned anew.

A mechanism that neither lowers the error on sources left out nor teaches is deleted. Each here is switched off by
setting what it stands on to the value at which it does nothing; the corpus is predicted again, practice is learned
again without each source, and the error (mean over held-out sources of the mean |ln(predicted / measured)|) is compared.
`data/rent.csv` has the outcome; `bottlenecks score KIND --rent` prints it, and `--fresh` computes it.
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.doors import one_of
from bottlenecks.laws import power
from bottlenecks.measured import choices, frame, inference, kernels, practice, scores, training
from bottlenecks.measured import open as left_open
from bottlenecks.models import collectives, software
from bottlenecks.models import kernels as kernel_time
from bottlenecks.models.software import TODAY


def _program(**switches):
    """Every program with some switches as given."""
    known = software.at

    def at(*asked, **named):
        return replace(known(*asked, **named), **switches)

    server = replace(software.SERVER, **switches)  # of rows that name no program
    return [(module, "at", at) for module in (software, training, inference)] + [(inference, "SERVER", server)]


def _machine(**fields):
    """Every machine with some fields as given."""
    made = {module: module.machine for module in (training, inference)}

    def changed(module):
        def machine(*asked, **named):
            return replace(made[module](*asked, **named), **fields)

        return machine

    return [(module, "machine", changed(module)) for module in made]


def _constants(**values):
    """Constants of kernels with other values, in every family."""
    known = kernel_time.family_constants

    def family_constants(family):
        return known(family) | values

    return [(kernel_time, "family_constants", family_constants)]


def _efficiency(**numbers):
    """The wires with other constants."""
    fitted = collectives.fitted()

    def changed():
        return replace(fitted, **numbers)

    return [(collectives, "fitted", changed)]


def _classes(model, *factors):
    """A kind's practice without some of its factors."""
    known = model.classes

    def classes(cases):
        return {factor: levels for factor, levels in known(cases).items() if factor not in factors}

    return [(model, "classes", classes)]


def _today(chip):
    return ((TODAY, 1.0),)


_boards = choices.boards


def _one_board(name):
    found = _boards(name)
    return ((max(found, key=lambda board: board[1])[0], 1.0),) if found else ()


NO_CAP = [(power, "sustained_share", lambda flop_per_s, **_: 1.0)]

# kind -> mechanism -> what is set: (where, name, value)
MECHANISMS = {
    "training": {
        "practice": [(practice, "predicted", lambda kept, levels, open=0.0: _as_they_are(levels))],
        "layouts weigh by speed (else the fastest)": [(left_open, "TASTE", 1000.0)],
        "layouts weigh by speed (else all alike)": [(left_open, "TASTE", 0.0)],
        "dates are open (else today)": [(choices, "dates", _today)],
        "watts bound the rate": NO_CAP,
        "casts of narrow operands": lambda: _machine(cast_bytes=0.0),
        "what 2024's kernels gained": lambda: _program(per_joule=1.0, tuned_attention=1.0),
        "launches by the processor": lambda: _program(host_s=0.0),
        "cores that communication takes": lambda: _program(stolen=0.0),
        "tensor sends beside products": lambda: _program(overlaps_tensor=0.0),
        "unfused attention": lambda: _program(attention="best", mask_fused=True),
        "experts folded over tensor ranks": lambda: _program(folds_experts=False),
        "a token crosses once": lambda: _program(sends_once=False),
        "tiles and waves": lambda: _constants(tile_s=0.0),
        "starts on the device": lambda: _constants(fixed_s=1e-9, light_s=1e-9),
    },
    "inference": {
        "practice": [(practice, "predicted", lambda kept, levels, open=0.0: _as_they_are(levels))],
        "start of routed experts": lambda: _machine(routing_s=0.0),
        "waits for the last of the ranks": lambda: _machine(last_s=0.0),
        "the processor's own work": lambda: _program(host_layer_s=0.0),
        "sums in shots": lambda: _program(shots=False),
        "graphs of one shape": lambda: _program(static=False, every_expert=False),
        "kernels of programs that fuse less": lambda: _program(
            joined=True, casts=False, unpacks=False, attention="best"
        ),
        "cuts weigh by speed (else all alike)": [(inference, "TASTE", 0.0)],
        "formats are open (else 16 bits)": [(inference, "_stored", lambda first, on: (("", 1.0),))],
        "starts on the device": lambda: _constants(fixed_s=1e-9, light_s=1e-9),
        "watts bound the rate": NO_CAP,
    },
    "kernels": {
        "practice": [(practice, "predicted", lambda kept, levels, open=0.0: _as_they_are(levels))],
        "practice: kinds of program": lambda: _classes(kernels, "program"),
        "practice: widths apart": lambda: _classes(kernels, "width"),
        "watts bound the rate": NO_CAP,
        "tiles and waves": lambda: _constants(tile_s=0.0),
        "operands from the cache": lambda: _constants(effective_cache_bytes_per_clock=1e6),
        "starts on the device": lambda: _constants(fixed_s=1e-9, light_s=1e-9),
        "operands stay in the cache": [(kernel_time, "still_cached", lambda moved, **_: 0.0)],
        "boards are open (else the usual)": [(choices, "boards", _one_board)],
    },
    "collectives": {
        "practice": [(practice, "predicted", lambda kept, levels, open=0.0: _as_they_are(levels))],
        "a call takes the processor's time": lambda: _efficiency(call_s=0.0, framework_s=0.0),
        "links reach a share": lambda: _efficiency(link=1.0, port=1.0),
        "steps by generation": lambda: _efficiency(latency=1.0, latency_nvlink4=1.0, latency_nvlink5=1.0),
        "cuts of a message": lambda: _efficiency(segment_s=0.0, segment_nvlink4_s=0.0, segment_nvlink5_s=0.0),
        "fabrics apart": [(frame.KINDS["collectives"], "_between", lambda row: "")],
    },
}


def _as_they_are(levels):
    size = next(iter(levels.values())).size
    return np.ones(size), np.full(size, 0.8), np.full(size, 1.25)  # some ends, of which nothing is told


@contextmanager
def without(kind, mechanism):
    """Everything inside is computed without a mechanism of a kind."""
    found = MECHANISMS[one_of("kind", kind, MECHANISMS)][one_of("mechanism", mechanism, MECHANISMS[kind])]
    changed = found() if callable(found) else found
    before = [(where, name, getattr(where, name)) for where, name, _ in changed]
    try:
        for where, name, value in changed:
            setattr(where, name, value)
        _forget()
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)
        _forget()


def _forget():
    """What was computed with other constants."""
    for kept in (training._machine, collectives.fitted):
        getattr(kept, "cache_clear", lambda: None)()


def error(kind):
    """(error of each held-out source, median row, share inside) of a kind, as the models are now."""
    rows, found = corpus.table(kind), scores.fresh(kind, owners=False)
    mine = scores.fair(rows, found) & (rows["role"] == "held-out")
    off = np.abs(np.log(found["ratio"][mine]))
    each = scores.of_sources(off, rows["source_id"][mine])
    return each, float(np.median(off)), float(scores.inside(found)[mine].mean())


def fresh(kind):
    """The rows of data/rent.csv of a kind, computed now: each mechanism with what the error is without it."""
    with_all = error(kind)
    lines = [_line(kind, "all mechanisms", with_all, with_all)]
    for mechanism in MECHANISMS[one_of("kind", kind, MECHANISMS)]:
        with without(kind, mechanism):
            lines.append(_line(kind, mechanism, error(kind), with_all))
    return lines


def _line(kind, mechanism, found, with_all):
    """A row of data/rent.csv; `deviation` is that of the rent, which is a mean of differences over sources."""
    paid = found[0] - with_all[0]
    names = ("error", "median", "inside")
    numbers = {name: f"{np.mean(value):.4f}" for name, value in zip(names, found, strict=True)}
    numbers |= {"inside": ""} if mechanism == "practice" else {}  # without it there is no interval
    rent = {"rent": f"{paid.mean():.4f}", "deviation": f"{paid.std(ddof=1) / paid.size**0.5:.4f}"}
    return {"kind": kind, "mechanism": mechanism} | numbers | rent


def table(kind):
    """The committed rows of a kind: mechanism, error and median row without it, and its rent, dearest first."""
    rows = [row for row in data.rows("rent") if row["kind"] == one_of("kind", kind, MECHANISMS)]
    if not rows:
        raise ValueError(f"the rent of {kind} is not kept; --fresh computes it, in some minutes")
    first, rest = rows[0], sorted(rows[1:], key=lambda row: -float(row["rent"]))
    return [first, *rest]
