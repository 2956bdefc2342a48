"""Fit of collectives: the few numbers of an `Efficiency`, on the sources of role fit alone.

`rows()` is what `data/network_constants.csv` holds and `models.collectives.fitted` reads.
"""

from dataclasses import replace

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.networks import fabrics
from bottlenecks.measured import collectives as measured_collectives
from bottlenecks.models import collectives
from bottlenecks.models.collectives import Efficiency

LATENCIES = ("latency", "latency_nvlink4", "latency_nvlink5")
SEGMENTS = ("segment_s", "segment_nvlink4_s", "segment_nvlink5_s")
START = Efficiency(link=0.8, call_s=30e-6, framework_s=30e-6, **dict.fromkeys(SEGMENTS, 10e-6))
FITTED = ("link", "call_s", "framework_s", "ll128", *LATENCIES, *SEGMENTS)
MOVED = 1e-3  # of the loss, for a number that moves by a factor of e


def fit():
    """The efficiencies of least error on the sources of role `fit`.

    Loss: the mean over sources of the mean |log(predicted / measured)|, so that a long sweep does not
    outvote a short one. Left out: suspect rows, copies between two chips, which a copy engine makes,
    and an algorithm forced against the library's choice.
    """
    rows = corpus.table("collectives")
    rows = corpus.where(rows, _to_fit(rows))
    cases = measured_collectives.cases(rows)
    found, asked = _ways_of_rows(cases)
    return _search(found, asked, _weights(rows["source_id"], rows["source_id"] != ""))


def rows():
    """The rows of data/network_constants.csv, as dictionaries: the numbers of an `Efficiency`."""
    best = fit()
    blank = {"low": "", "high": "", "rows": str(int(_to_fit(corpus.table("collectives")).sum()))}
    numbers = [
        {"constant": name, "value": f"{getattr(best, name):.4g}", **blank, "unit": "s" if name.endswith("_s") else "1"}
        for name in ("port", *FITTED)
    ]
    every = corpus.table("collectives")
    count = str(int((_sound(every) & _in_shots(every)).sum()))
    numbers += [
        {"constant": name, "value": f"{value:.4g}", **blank, "rows": count, "unit": unit}
        for (name, unit), value in zip((("shot", "1"), ("shot_s", "s")), shots(), strict=True)
    ]
    return numbers


def _to_fit(rows):
    """Rows of the library's own algorithms, but those that a fabric's own numbers in data/fabrics.csv are fitted on.

    Other rows over a fabric stay: their long messages tell what a port reaches, and nothing else does.
    """
    of_fabrics = [source for row in fabrics().values() for source in data.keys(row["sources"])]
    own = ~_in_shots(rows) & (rows["collective"] != "p2p") & (rows["forced"] != 1)
    return _sound(rows) & own & ~np.isin(rows["source_id"], of_fabrics)


def _sound(rows):
    return (rows["role"] == "fit") & (rows["suspect"] == "")


def _in_shots(rows):
    """Rows of kernels that sum in shots."""
    return np.array([bool(set(ways.split(";")) & collectives.SHOTS.keys()) for ways in rows["algorithms"].tolist()])


def shots():
    """(share of a link, seconds of a shot): of least mean |log(predicted / measured)| on rows of such kernels.

    Fitted apart from the rest: these rows say nothing of the library, nor its rows of them.
    """
    rows = corpus.table("collectives")
    found, asked = _ways_of_rows(measured_collectives.cases(corpus.where(rows, _sound(rows) & _in_shots(rows))))

    def loss(share, shot_s):
        seconds = _seconds(found, asked, Efficiency(shot=share, shot_s=shot_s))
        return float(np.mean(np.abs(np.log(seconds / asked["measured_s"]))))

    grid = [(share, shot_s) for share in np.linspace(0.4, 1, 121) for shot_s in np.linspace(2e-6, 8e-6, 121)]
    return min(grid, key=lambda at: loss(*at))


def _ways_of_rows(cases):
    """Every way of every row as one Way: ways along the first axis, rows along the second."""
    asked, count = dict(cases.asked), cases.reasons.size
    order = [(a, p) for a in collectives.ALGORITHMS for p in collectives.PROTOCOLS]
    fields = {name: np.zeros((len(order), count)) for name in _TIMES}
    fields["fixed_s"][:] = np.inf  # no such way
    asked["generation"] = np.zeros(count, int)
    for mine, arguments in cases.found:
        allowed = arguments["algorithms"]
        arguments = {k: v for k, v in arguments.items() if k not in ("algorithms", "launch")}
        asked["generation"][mine] = LATENCIES.index(collectives.generation(arguments["tiers"])[0])
        for way in collectives.ways(**arguments, asked=allowed):
            if allowed is None or way.algorithm in allowed:
                for name in _TIMES:
                    fields[name][order.index((way.algorithm, way.protocol)), mine] = getattr(way, name)
    return collectives.Way("", "", **fields), asked


_TIMES = ("fixed_s", "fill_s", "cuts", "link_s", "port_s", "ll128", "shots")


def _seconds(found, asked, efficiency):
    latency, segment_s = (
        np.array([getattr(efficiency, name) for name in names])[asked["generation"]] for names in (LATENCIES, SEGMENTS)
    )
    of_rows = replace(efficiency, latency=latency, segment_s=segment_s)
    seconds, _, _ = collectives.way_s(found, of_rows)
    least = {launch: collectives.least_s(launch, efficiency) for launch in collectives.LAUNCHES}
    return np.maximum(seconds.min(axis=0), sum((asked["launch"] == k) * s for k, s in least.items()))


def _weights(seen, mask):
    """The same weight for every source that the mask leaves; they sum to one."""
    kept = dict.fromkeys(seen[mask].tolist())
    of = [mask & (seen == source) for source in kept]
    return sum(mine / mine.sum() for mine in of) / len(of)


def _search(found, asked, weights):
    """Pattern search, one number at a time, by factors that shrink.

    A number that no row speaks for stays where it starts: leaving costs a little.
    """

    def loss(efficiency):
        seconds = _seconds(found, asked, efficiency)
        moved = [np.log(getattr(efficiency, n) / getattr(START, n)) ** 2 for n in FITTED]
        off = np.abs(np.log(seconds / asked["measured_s"]))
        return float(np.sum(weights * off) + MOVED * np.sum(moved))

    best, factor = START, 1.3
    least = loss(best)
    while factor > 1.001:
        tried = [replace(best, **{name: getattr(best, name) * by}) for name in FITTED for by in (factor, 1 / factor)]
        losses = [loss(efficiency) for efficiency in tried]
        if min(losses) < least - 1e-9:
            least, best = min(losses), tried[int(np.argmin(losses))]
        else:
            factor **= 0.5
    # Rings are held up by their links before their ports, so a range of ports fits as well: its middle.
    ports = np.linspace(0.5, 1.0, 101)
    free = [port for port in ports if loss(replace(best, port=float(port))) < least + 1e-3]
    return replace(best, port=float(np.mean(free)))
