"""Scaling: the best layout of a job at each number of chips, whether it stays as it is or grows with them."""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import RANKS, between, one_of, positive, record
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, layouts, training, wiring
from bottlenecks.models.layouts import Layout, slotted
from bottlenecks.models.machine import Machine, machine

MOST = {"tp": 8, "cp": 8, "pp": 64, "vpp": 8, "micro_batch": 8}  # of a layout; all powers of two
TRIED = ("none", "products", "full")  # recomputation, where attention is fused
SHARDED = (1, 2, 3)  # ZeRO: the optimiser's states, gradients too, or all; the last gathers once where there are stages
COLUMNS = (
    "tp",
    "cp",
    "pp",
    "vpp",
    "dp",
    "zero",
    "micro_batch",
    "micro_batches",
    "recompute",
    "schedule",
    "embedding_slots",
    "gathers_once",
)
INSIDE = ("links", "host", "nothing")
HOST = "PCIe 5.0 x16"


def wired(chip, *, inside, port_bytes_per_s, format="bf16"):
    """A `Machine` of a chip with a port of its own to a network without oversubscription.

    `inside` a host chips reach each other over their own "links", over the "host"'s PCIe, or over
    "nothing" but their ports. Beside the host's PCIe a port is no faster than that.
    """
    one_of("inside", inside, INSIDE)
    rate = positive("port_bytes_per_s", port_bytes_per_s)
    record("chip", chip, Chip, "chip(name)")
    if inside == "links":
        tiers = wiring.tiers_of(chip, port_bytes_per_s=rate)
    elif inside == "host":
        host = wiring.host(HOST)
        tiers = (host, wiring.ports(min(rate, host.bytes_per_s)))
    else:
        tiers = (wiring.ports(rate),)
    return machine(chip, format, tiers=tiers)


def candidates(model, *, chips, batch, seq_len):
    """Every layout in powers of two on each of several numbers of chips: (which of them, columns).

    Stages hold equal chunks where they are interleaved; embedding and head count as a layer each
    where that makes it come out (`Layout.embedding_slots`).
    """
    chips, batch, seq_len = _job(model, chips, batch, seq_len)
    tp, cp, pp, vpp, micro = (_powers(most) for most in MOST.values())
    axes = np.ix_(range(chips.size), tp, cp, pp, vpp, micro, [POLICIES.index(r) for r in TRIED], SHARDED)
    which, tp, cp, pp, vpp, micro, again, zero = np.broadcast_arrays(*axes)
    dp = chips[which] // (tp * cp * pp)
    count = batch[which] // np.maximum(dp * micro, 1)
    whole = (dp * tp * cp * pp == chips[which]) & (count * dp * micro == batch[which]) & (count > 0)
    whole &= ((vpp == 1) | (pp > 1)) & ((zero == 1) | (dp * cp > 1))
    schedule = np.where(vpp > 1, SCHEDULES.index("interleaved"), SCHEDULES.index("1f1b"))
    slots = slotted(model.layers, pp * vpp)
    once = (zero == 3) & (pp > 1)
    named = (tp, cp, pp, vpp, dp, zero, micro, count, again, schedule, slots, once)
    columns = {name: np.broadcast_to(value, whole.shape)[whole] for name, value in zip(COLUMNS, named, strict=True)}
    legal = layouts.legal(model, SimpleNamespace(ep=1, seq_len=seq_len, **columns))
    return which[whole][legal], {name: value[legal] for name, value in columns.items()}


def _job(model, chips, batch, seq_len):
    """(chips, sequences of a step, tokens of a sequence), the first two as arrays of one shape."""
    record("model", model, Model, "model(name)")
    chips, batch = (np.asarray(n) if isinstance(n, list | tuple) else n for n in (chips, batch))
    chips = positive("chips", chips, most=RANKS, whole=True)
    batch = positive("batch", batch, most=10**9, whole=True)
    seq_len = between("seq_len", positive("seq_len", seq_len, whole=True), 1, 10**9)
    return *np.broadcast_arrays(np.atleast_1d(chips), batch), int(seq_len)


def _powers(most):
    """1, 2, 4, ... up to a power of two."""
    return 2 ** np.arange(int(most).bit_length())


@lru_cache(maxsize=16)  # jobs: how chips are wired does not matter here
def _fitting(model, chips, batch, seq_len, memory_bytes):
    """`candidates` that fit chips of so much memory."""
    which, columns = candidates(model, chips=np.array(chips), batch=np.array(batch), seq_len=seq_len)
    used = footprint.total_bytes(footprint.training_rows(model, Layout(seq_len=seq_len, **columns)))
    fits = used <= memory_bytes
    return which[fits], {name: values[fits] for name, values in columns.items()}


def best(model, on, *, chips, batch, seq_len, software):
    """The fastest layout that fits, for each number of chips: columns, NaN and 0 where none fits.

    `chips` and `batch` (sequences of a step) broadcast: a fixed job, or one that grows. Columns chips,
    batch, seconds, tokens_per_s (of all chips), utilisation (model FLOP over the datasheet's peak) and
    those of the layout; one call of the training model for all of them.
    """
    record("on", on, Machine, "machine(chip)")
    chips, batch, seq_len = _job(model, chips, batch, seq_len)
    which, columns = _fitting(model, tuple(chips.tolist()), tuple(batch.tolist()), seq_len, float(on.memory_bytes))
    found = {"chips": chips, "batch": batch, "seconds": np.full(chips.size, np.nan)}
    found |= {name: np.zeros(chips.size, dtype=int) for name in COLUMNS}
    utilisation = np.full(chips.size, np.nan)
    if which.size:
        took = training.seconds(model, Layout(seq_len=seq_len, **columns), on=on, software=software)
        order = np.lexsort((took, which))
        there, first = np.unique(which[order], return_index=True)
        fastest = order[first]
        found["seconds"][there] = took[fastest]
        for name in COLUMNS:
            found[name][there] = columns[name][fastest]
        one = Layout(seq_len=seq_len, **{name: values[fastest] for name, values in columns.items()})
        utilisation[there] = training.step(model, one, on=on, software=software, memory=False).mfu
    return found | {"tokens_per_s": batch * seq_len / found["seconds"], "utilisation": utilisation}


def held(model, on, found, *, seq_len, software):
    """Seconds of the layouts that `best` found for one machine, on another, whether or not they are good ones there."""
    there = np.isfinite(found["seconds"])
    columns = {name: found[name][there] for name in COLUMNS}
    switches = {name: columns[name].astype(bool) for name in layouts.SWITCHES if name in columns}
    layout = Layout(seq_len=seq_len, **columns | switches)
    seconds = np.full(there.size, np.nan)
    seconds[there] = training.seconds(model, layout, on=on, software=software)
    return seconds


def speed_up(found):
    """(first, last, times): the fewest and the most chips that hold the job, and how much faster they do it."""
    there = np.flatnonzero(np.isfinite(found["seconds"]))
    first, last = there[0], there[-1]
    rate = found["tokens_per_s"]
    return int(found["chips"][first]), int(found["chips"][last]), float(rate[last] / rate[first])
