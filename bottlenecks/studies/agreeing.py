"""Agreeing: what a call among ranks takes, whose way is the fastest where, and how the measured calls lie beside it."""

from functools import cache as keep
from typing import NamedTuple

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import links, system
from bottlenecks.facts.units import binary
from bottlenecks.laws import collectives as law
from bottlenecks.measured import collectives as rows_of
from bottlenecks.measured import scores
from bottlenecks.models import collectives, kernels, wiring
from bottlenecks.models.software import SERVER
from bottlenecks.studies.verdict import Verdict

SYSTEMS = {  # system -> the chip on which calls were measured there
    "DGX A100": "A100 SXM 80GB",
    "DGX H100": "H100 SXM5",
    "DGX H200": "H200 SXM",
    "DGX B200": "B200 SXM (HGX)",
    "GB200 NVL72": "GB200 (per GPU)",
}
MESSAGES = 2.0 ** np.arange(10, 34)  # 1 KiB to 8 GiB
RANKS = 2 ** np.arange(1, 11)
CALL = "the call itself"  # owns the time where no way takes as long as it does
CALLERS = {  # who calls -> how `collectives.collective_time` is asked
    "the library, from the host": {"launch": "library"},
    "the library, queued on the chips": {"launch": "queued"},
    "kernels of one's own": {"launch": "queued", "algorithms": tuple(collectives.SHOTS)},
}
SIZES = {"below 64 KiB": 0, "64 KiB to 64 MiB": 2.0**16, "above 64 MiB": 2.0**26}  # least message of a region
PLACES = ("one domain", "beyond")


def timed(system_name, collective, message_bytes, ranks, **how):
    """`collectives.Timed` of a call on a system of the catalog, with what its library reaches of the wires."""
    return collectives.collective_time(
        collective, message_bytes, tiers=system(system_name).tiers, ranks=ranks, efficiency=collectives.fitted(), **how
    )


def wire_s(system_name, collective, message_bytes, ranks):
    """Seconds that the bytes alone take on the innermost links at their printed rate."""
    return law.bus_factor(collective, ranks) * message_bytes / system(system_name).tiers[0].bytes_per_s


def steps_s(system_name, message_bytes, ranks):
    """Seconds of a ring all-reduce by eq:ring-all-reduce, a step as the library's tuner counts it."""
    tier = system(system_name).tiers[0]
    return law.ring_all_reduce_s(message_bytes, ranks, bytes_per_s=tier.bytes_per_s, latency_s=tier.latency_s)


class Weather(NamedTuple):
    """Which way wins for each number of ranks (down) and message (along), and its seconds."""

    ranks: np.ndarray
    messages: np.ndarray
    winner: np.ndarray
    seconds: np.ndarray


@keep
def weather(system_name, collective, caller):
    """`Weather` of a collective on a system, for as many ranks as it has."""
    most = system(system_name).tiers[-1].ranks or RANKS[-1]
    ranks = RANKS[most >= RANKS]
    found = timed(system_name, collective, MESSAGES, ranks[:, None], launch=CALLERS[caller]["launch"])
    own = collectives.collective_time(
        collective,
        MESSAGES,
        tiers=system(system_name).tiers,
        ranks=ranks[:, None],
        efficiency=collectives.fitted(),
        launch="queued",
    )
    floor = found.seconds > 1.0001 * own.seconds
    return Weather(ranks, MESSAGES, np.where(floor, CALL, found.algorithm), found.seconds)


# ---- measured calls


@keep
def calls():
    """Scored calls of the corpus with a message: column -> array.

    message_bytes, ranks, nodes, far (out of the innermost domain), port_bytes_per_s, measured_s, predicted_s, error (logarithm of predicted over measured), source, role, chip,
    collective, group, launch.
    """
    rows, found = corpus.table("collectives"), scores.table("collectives")
    asked, of = rows_of.cases(rows).asked, scores.in_seconds(found)
    mine = scores.fair(rows, found) & np.isfinite(rows["message_bytes"])
    inner = np.array([float(tiers[0].ranks or np.inf) if tiers else np.nan for tiers in asked["tiers"]])
    within = np.fmin(np.where(np.isnan(asked["per_domain"]), inner, asked["per_domain"]), inner)
    named = {
        "message_bytes": asked["message_bytes"],
        "ranks": asked["ranks"],
        "nodes": np.nan_to_num(rows["n_nodes"], nan=1.0),
        "far": asked["ranks"] > within,
        "port_bytes_per_s": np.array([tiers[-1].bytes_per_s if tiers else np.nan for tiers in asked["tiers"]]),
        "measured_s": of["measured_s"],
        "predicted_s": of["predicted_s"],
        "error": of["error"],
        "source": rows["source_id"],
        "role": rows["role"],
        "chip": rows["chip_name"],
        "collective": rows["collective"],
        "group": found["group"],
        "launch": asked["launch"],
    }
    return {name: values[mine] for name, values in named.items()}


def some(**wanted):
    """Measured calls that have some values in some columns: column -> array; a tuple holds several."""
    every = calls()
    mine = np.ones(every["ranks"].size, bool)
    for name, value in wanted.items():
        mine &= np.isin(every[name], value if isinstance(value, tuple) else (value,))
    return {name: values[mine] for name, values in every.items()}


def of_system(system_name, collective, **wanted):
    """Measured calls on the chips of a system, beyond a domain over ports as it has them; columns as `some`."""
    found = some(chip=SYSTEMS[system_name], collective=collective, **wanted)
    alike = np.isclose(found["port_bytes_per_s"], system(system_name).tiers[-1].bytes_per_s)
    return {name: values[~found["far"] | alike] for name, values in found.items()}


def regions(collective, role="held-out"):
    """{(size, place): (mean over sources of |ln|, sources, rows)} of the measured calls; NaN where there is none."""
    found = some(collective=collective, role=role) if collective != "all" else some(role=role)
    least = np.array(list(SIZES.values()))
    size = np.searchsorted(least, found["message_bytes"], side="right") - 1
    out = {}
    for i, name in enumerate(SIZES):
        for j, place in enumerate(PLACES):
            mine = (size == i) & (found["far"] == j)
            sources = found["source"][mine]
            error = scores.mean_error(found["error"][mine], sources) if mine.any() else np.nan
            out[name, place] = (error, np.unique(sources).size, int(mine.sum()))
    return out


# ---- three bandwidths


def three(system_name, message_bytes, ranks, algorithm):
    """(algorithm, bus, link) bytes a second of an all-reduce by a way: what a log prints, and what a chip's links carry.

    A switch that sums takes each chip's message once and gives the sum once: (g + 1)/g of a message in each direction.
    """
    at = timed(system_name, "all_reduce", message_bytes, ranks, launch="queued", algorithms=(algorithm,))
    alone = law.algorithm_bytes_per_s(message_bytes, at.seconds)
    bus = law.bus_bytes_per_s(message_bytes, at.seconds, factor=law.bus_factor("all_reduce", ranks))
    carried = (ranks + 1) / ranks if algorithm == "NVLS" else law.bus_factor("all_reduce", ranks)
    return alone, bus, carried * alone


def measured_bus(system_name, least=2.0**30):
    """(ranks, bus bytes a second) of measured all-reduces of large messages inside a domain of a system's chips."""
    found = of_system(system_name, "all_reduce")
    mine = ~found["far"] & (found["message_bytes"] >= least)
    ranks = found["ranks"][mine]
    factor = law.bus_factor("all_reduce", ranks)
    return ranks, law.bus_bytes_per_s(found["message_bytes"][mine], found["measured_s"][mine], factor=factor)


# ---- the way past the link


class Paths(NamedTuple):
    """Seconds of a message between two chips of a machine: over their own link, over PCIe, and by way of the host's memory."""

    direct_s: np.ndarray
    peer_s: np.ndarray
    memory_s: np.ndarray


def paths(system_name, message_bytes):
    """`Paths` of a message. By way of the memory it is written there whole, then read: two copies, each launched by the processor."""
    on = chip(SYSTEMS[system_name])
    direct_s = timed(system_name, "p2p", message_bytes, 2).seconds
    known = collectives.of_generation(
        system(system_name).tiers, collectives.fitted()
    )  # waits of its own generation of chips
    rate = next(level.bytes_per_s for level in on.levels if level.name == "host link")
    wire = next(name for name, each in links().items() if each.kind == "host" and each.bytes_per_s == rate)
    peer_s = collectives.collective_time(
        "p2p", message_bytes, tiers=(wiring.host(wire),), ranks=2, efficiency=known
    ).seconds
    device = kernels.device(on)
    memory_s = 2 * (SERVER.host_s + device.fixed_s + message_bytes / device.host_bytes_per_s)
    return Paths(*(np.asarray(each, dtype=float) for each in (direct_s, peer_s, memory_s)))


SIDE_BY_SIDE = ("DGX A100", "DGX H100")
AT = (2048.0, 2.0**20, 2.0**26, 2.0**30)  # messages of the verdict


def _span(low, high):
    """Two numbers as text, or one where both round alike."""
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"


def _at(saved, i, pick):
    """The least or most that the link saves at the i-th message."""
    return pick(float(each[i]) for each in saved.values())


def nvlink_path(side_by_side=SIDE_BY_SIDE, at=AT, found=None):
    """Verdict on W3-nvlink-path: what the link saves, by message size."""
    found = {name: paths(name, np.array(at)) for name in side_by_side} if found is None else found
    saved = {name: np.minimum(each.peer_s, each.memory_s) / each.direct_s for name, each in found.items()}
    least = min(float(each[0]) for each in saved.values())
    most = max(float(each[-1]) for each in saved.values())
    if most < 2:
        word, told = "fails", "The link saves less than half of the time at any size"
    elif least < 1.5:
        word, told = (
            "holds-when",
            "The link saves little of a small message, which waits by either way, and most of a large one, which streams",
        )
    else:
        word, told = "holds", "The link saves at least a third of the time at every size"
    measured = some(collective="p2p", nodes=1.0, ranks=2.0)
    return Verdict(
        claim="W3-nvlink-path",
        verdict=word,
        numbers={"least": least, "most": most, "measured": measured["ranks"].size},
        because=f"{told}: the way over PCIe takes {_span(least, _at(saved, 0, max))} times as long at {binary(at[0])}, "
        f"and {_span(_at(saved, -1, min), most)} times at {binary(at[-1])}.",
        rows=tuple(
            {"message": binary(size)} | {name: f"{saved[name][i]:.1f} times" for name in saved}
            for i, size in enumerate(at)
        ),
        margin="it would hold at every size if the smallest message took 1.5 times as long over PCIe on each machine.",
        n=int(measured["ranks"].size),
        range="Two chips of one machine below one PCIe switch, nothing else on the wires. The measured calls are all of the link; "
        "over PCIe it is the printed rate with the share that libraries reach of links, and waits as the library's tuner counts them.",
    )
