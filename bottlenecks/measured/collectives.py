"""Measured collectives: what the rows of the corpus say of the model, and what the model of them.

`fit()` finds the few numbers of an `Efficiency` on the sources of role `fit` alone, which
`data/network_constants.csv` holds and `models.collectives.fitted` reads; `predict` gives every row its prediction or
the reason why there is none; `errors` sums up by source.
"""

import re
from dataclasses import replace

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import nearest
from bottlenecks.facts.networks import Tier, link, links
from bottlenecks.laws import collectives as law_collectives
from bottlenecks.models import collectives
from bottlenecks.models.collectives import Efficiency

PEAK_BYTES = 8 * 2.0**30  # message of a row that prints a peak and no size
NODES = 4  # of a row that names ports and no count
# Whose ports a text counts; others: 8.
CHIPS_PER_HOST = {"GB200 (per GPU)": 4, "GB300 (per GPU)": 4}
GBITS = {"EDR": 100, "HDR": 200, "NDR": 400, "XDR": 800}
LATENCIES = ("latency", "latency_nvlink4", "latency_nvlink5")
SEGMENTS = ("segment_s", "segment_nvlink4_s", "segment_nvlink5_s")
START = Efficiency(link=0.8, call_s=30e-6, framework_s=30e-6, **dict.fromkeys(SEGMENTS, 10e-6))
FITTED = ("link", "call_s", "framework_s", "ll128", *LATENCIES, *SEGMENTS)
MOVED = 1e-3  # of the loss, for a number that moves by a factor of e
COLUMNS = (
    "predicted_s",
    "low_s",
    "high_s",
    "measured_s",
    "unit",
    "ratio",
    "bound",
    "algorithm",
    "protocol",
    "assumed",
    "reason",
)


# ---- rows to configurations


def configurations(rows):
    """What the model is asked for each row: a dictionary of columns, with `assumed` and `reason`."""
    count = rows["source_id"].size
    names_sharp = _sources_that_name_sharp(rows)
    asked = {
        "tiers": np.empty(count, object),
        "ways": np.empty(count, object),
        "ranks": np.full(count, np.nan),
        "per_domain": np.full(count, np.nan),
        "message_bytes": np.full(count, np.nan),
        "measured_s": np.full(count, np.nan),
        "sums_in": np.ones(count, int),
        "launch": np.full(count, "library", "U9"),
        "unit": np.full(count, "", "U3"),
        "assumed": np.full(count, "", "U200"),
        "reason": np.full(count, "", "U120"),
    }
    columns = [rows[name].tolist() for name in _READ]
    for i, values in enumerate(zip(*columns, strict=True)):
        row = dict(zip(_READ, values, strict=True))
        for name, value in _configuration(row, row["source_id"] in names_sharp).items():
            asked[name][i] = value
    return asked


_READ = (
    "source_id",
    "collective",
    "library",
    "chip_name",
    "n_gpus",
    "n_nodes",
    "network",
    "algorithm",
    "message_bytes",
    "time_s",
    "algbw_bytes_per_s",
    "busbw_bytes_per_s",
)


def _sources_that_name_sharp(rows):
    named = np.char.find(rows["network"], "SHARP") >= 0
    return set(rows["source_id"][named].tolist())


def _configuration(row, names_sharp):
    """One row as arguments of the model."""
    if row["collective"] not in collectives.COLLECTIVES:
        near = nearest(row["collective"], collectives.COLLECTIVES)
        return {"reason": f"collective {row['collective']!r} is not modelled; nearest: {near}"}
    if "normal kernels" in row["library"]:
        return {"reason": "a bandwidth by the page's own count of bytes, without a message"}
    assumed = []
    tiers, reason = _tiers(row, assumed)
    if reason:
        return {"reason": reason}
    ranks, per_domain, reason = _ranks(row, tiers, assumed)
    if reason:
        return {"reason": reason}
    message, measured, unit, reason = _measured(row, ranks, assumed)
    if reason:
        return {"reason": reason}
    return {
        "tiers": tiers,
        "ranks": ranks,
        "per_domain": per_domain,
        "message_bytes": message,
        "measured_s": measured,
        "unit": unit,
        "ways": _ways(row, names_sharp),
        "sums_in": 2 if "IB SHARP" in row["network"] else 1,
        "launch": _launch(row["library"]),
        "assumed": "; ".join(assumed),
    }


def _tiers(row, assumed):
    """The tiers of a row's machine, or the reason why they are not known."""
    name, network = row["chip_name"], row["network"]
    port = _port_bytes_per_s(name, network)
    if "pure RDMA" in network:
        return (_ports(port, network),), ""
    if not name:
        if pcie := re.search(r"PCIe Gen(\d)", network):
            return (_host(pcie[1], 8),), ""
        return None, "the chip, and so its links, is not known"
    facts, inner = chip(name).facts, ()
    rate, domain = chip(name).link_bytes_per_s, facts["link_domain_chips"]
    if rate and domain:
        inner = (_inner(name, rate, int(domain)),)
    elif not facts["link"].startswith("none (PCIe"):
        return None, f"the rate of the links of {name}, or how many they join, is not known"
    if not rate or "bridge" in facts["link"]:
        generation = re.search(r"PCIe (\d)", facts["link"])
        generation = generation[1] if generation else "5" if "NVLink 4" in facts["link"] else "4"
        shared = 2 if inner else 1  # the two cards of a pair
        if inner:
            assumed.append("a pair of cards shares its way to the host")
        inner += (_host(generation, 8, shared),)
    if row["n_nodes"] == 1:
        return inner, ""
    if port is None and (nic := facts["nic_gbits_per_s"]):
        port = float(nic) / 8 * 1e9
        assumed.append(f"a port of {nic} Gbit/s a chip")
    if port is None:
        return (inner, "") if row["n_nodes"] != row["n_nodes"] else (None, "the ports are not known")
    return (*inner, _ports(min(port, inner[-1].bytes_per_s), network)), ""


def _inner(name, rate, domain):
    printed = chip(name).facts["link"]
    known = re.match(r"NVLink \d", printed)
    known = known[0] if known else f"{printed.split(' (')[0]} {name}"
    known = known if known in links() else ""
    switched = "bridge" not in printed
    sums = bool(known) and switched and "SHARP" in link(known).facts["in_network_reduction"]
    return Tier(name="domain", ranks=domain, bytes_per_s=rate, link=known, in_network_reduction=sums)


def _host(generation, ranks, shared=1):
    wire = link(f"PCIe {generation}.0 x16")
    return Tier(name="host", ranks=ranks, bytes_per_s=wire.bytes_per_s / shared, link=wire.name)


def _ports(rate, network):
    sums = "IB SHARP" in network
    return Tier(name="ports", ranks=None, bytes_per_s=rate, in_network_reduction=sums, link="InfiniBand NDR")


def _port_bytes_per_s(name, network):
    """Bytes/s of ports for one chip, as a text states them; None where it does not."""
    chips = CHIPS_PER_HOST.get(name, 8)
    text = network.replace(",", "")
    if found := re.search(r"([\d.]+) ?Gb(?:/s|ps|it/s)?[^+;]*per (?:GPU|chip)", text):
        return float(found[1]) / 8 * 1e9
    if found := re.search(r"([\d.]+) ?Tb(?:/s|ps|it/s)? per node", text):
        return float(found[1]) / 8 * 1e12 / chips
    if found := re.search(r"([\d.]+) ?Gb(?:/s|ps|it/s)? per node", text):
        return float(found[1]) / 8 * 1e9 / chips
    if found := re.search(r"(\d+) ?x ?([\d.]+) ?Gb", text):
        return float(found[1]) * float(found[2]) / 8 * 1e9 / chips
    if found := re.search(r"(\d+) ?x ?(EDR|HDR|NDR|XDR)", text):
        return float(found[1]) * GBITS[found[2]] / 8 * 1e9 / chips
    return None


def _ranks(row, tiers, assumed):
    """(ranks, ranks in each innermost domain or NaN for as many as fit, reason)."""
    ranks, nodes, domain = row["n_gpus"], row["n_nodes"], tiers[0].ranks
    if ranks != ranks:
        ranks = (domain or 8) * (NODES if len(tiers) > 1 and tiers[-1].ranks is None else 1)
        assumed.append(f"{ranks} ranks")
    if ranks < 1:
        return None, None, f"{ranks:g} ranks"
    most = tiers[-1].ranks
    if most is not None and ranks > most:
        return None, None, f"{ranks:.0f} ranks in one domain of {most}"
    if nodes != nodes or nodes == 1 or "MNNVL" in row["network"] or domain is None:
        return ranks, np.nan, ""
    within = ranks / nodes
    if within > domain:
        return None, None, f"{within:.0f} ranks a node in a domain of {domain}"
    return ranks, within, ""


def _measured(row, ranks, assumed):
    """(message, seconds, unit of the headline, reason)."""
    message, seconds = row["message_bytes"], row["time_s"]
    if message <= 0:
        return None, None, None, f"a message of {message:g} bytes"
    if message == message and seconds == seconds:
        return message, seconds, "s", ""
    if message != message:
        message = PEAK_BYTES
        assumed.append("a peak, at 8 GiB")
    factor = law_collectives.bus_factor(row["collective"], ranks)
    if row["busbw_bytes_per_s"] == row["busbw_bytes_per_s"]:
        return message, factor * message / row["busbw_bytes_per_s"], "B/s", ""
    if row["algbw_bytes_per_s"] == row["algbw_bytes_per_s"]:
        return message, message / row["algbw_bytes_per_s"], "B/s", ""
    return message, np.nan, "s", ""


def _ways(row, names_sharp):
    """Algorithms that the row leaves open; None: all."""
    said, network = row["algorithm"], row["network"]
    if "low-latency kernels" in row["library"]:
        return ("Put",)
    if "NVLSTree" in said:
        return ("NVLSTree",)
    if "NVLS off" in said or said == "Ring" or said.startswith("Ring ("):
        return ("Ring",)
    if said.startswith("Tree"):
        return ("Tree",)
    if names_sharp and "SHARP" not in network and row["collective"] == "all_reduce":
        return ("Ring", "Tree")
    return None


def _launch(library):
    """Who calls, by the row's text. Over a thousand calls (-n 1000) the host is far ahead."""
    return "framework" if "via PyTorch" in library else "queued" if "-n 1000" in library else "library"


# ---- prediction


def predict(rows, efficiency=None):
    """Every row of a table in the corpus's columns, in order: a dictionary of `COLUMNS`.

    Times are in seconds whatever the row prints; `unit` says what that is. `ratio` is predicted over
    measured. `efficiency`: `collectives.fitted()` unless given.
    """
    efficiency = efficiency or collectives.fitted()
    asked = configurations(rows)
    count = rows["source_id"].size
    out = {name: np.full(count, np.nan) for name in ("predicted_s", "low_s", "high_s")}
    out |= {name: np.full(count, "", "U12") for name in ("bound", "algorithm", "protocol")}
    for mine, arguments in _batches(rows, asked):
        at = collectives.collective_time(**arguments, efficiency=efficiency)
        values = (at.seconds, at.low_s, at.high_s, at.bound, at.algorithm, at.protocol)
        names = ("predicted_s", "low_s", "high_s", "bound", "algorithm", "protocol")
        for name, value in zip(names, values, strict=True):
            out[name][mine] = value
    out["measured_s"] = asked["measured_s"]
    out["ratio"] = out["predicted_s"] / out["measured_s"]
    out |= {name: asked[name] for name in ("unit", "assumed", "reason")}
    return {name: out[name] for name in COLUMNS}


def _batches(rows, asked):
    """Rows that differ only in numbers, with their arguments of `collectives.collective_time`."""
    groups = {}
    for i in np.flatnonzero(asked["reason"] == "").tolist():
        tiers = tuple((tier.ranks, tier.bytes_per_s, tier.link) for tier in asked["tiers"][i])
        spread = bool(np.isnan(asked["per_domain"][i]))
        key = (
            rows["collective"][i].item(),
            tiers,
            asked["ways"][i],
            asked["sums_in"][i].item(),
            asked["launch"][i].item(),
            spread,
        )
        groups.setdefault(key, []).append(i)
    for (collective, _, algorithms, sums_in, launch, spread), mine in groups.items():
        yield (
            np.array(mine),
            {
                "collective": collective,
                "message_bytes": asked["message_bytes"][mine],
                "tiers": asked["tiers"][mine[0]],
                "ranks": asked["ranks"][mine],
                "per_domain": None if spread else asked["per_domain"][mine],
                "algorithms": algorithms,
                "sums_in": sums_in,
                "launch": launch,
            },
        )


# ---- fit


def fit():
    """The efficiencies of least error on the sources of role `fit`, with their spread.

    Loss: the mean over sources of the mean |log(predicted / measured)|, so that a long sweep does not
    outvote a short one. Left out: suspect rows, copies between two chips, which a copy engine makes,
    and an algorithm forced against the library's choice. Spread: residuals of each source under a
    fit to the others, every source with the same weight.
    """
    rows = corpus.table("collectives")
    rows = corpus.where(rows, _to_fit(rows))
    found, asked = _ways_of_rows(rows)
    seen = rows["source_id"]
    best = _search(found, asked, _weights(seen, seen != ""))
    logs = np.empty(seen.size)
    for source in dict.fromkeys(seen.tolist()):
        other = _search(found, asked, _weights(seen, seen != source))
        mine = seen == source
        logs[mine] = np.log(asked["measured_s"] / _seconds(found, asked, other))[mine]
    at = predict(rows, best)
    waits = at["bound"] == "latency"
    # One row leaves a domain and tells no spread: two tiers are taken to err independently.
    spread = (
        ("link", *_interval(logs, seen, ~waits)),
        ("latency", *_interval(logs, seen, waits)),
        ("beyond", *_interval(logs * 2**0.5, seen, seen != "")),
    )
    return replace(best, spread=spread)


def rows():
    """The rows of data/network_constants.csv, as dictionaries: numbers, then spreads by where."""
    best = fit()
    blank = {"low": "", "high": "", "rows": str(int(_to_fit(corpus.table("collectives")).sum()))}
    numbers = [
        {"constant": name, "value": f"{getattr(best, name):.4g}", **blank, "unit": "s" if name.endswith("_s") else "1"}
        for name in ("port", *FITTED)
    ]
    return numbers + [
        {"constant": f"spread_{where}", "value": "1", **blank, "low": f"{low:.4g}", "high": f"{high:.4g}", "unit": "1"}
        for where, low, high in best.spread
    ]


def _to_fit(rows):
    forced = np.char.find(rows["algorithm"], "forced") >= 0
    ours = (rows["role"] == "fit") & (rows["collective"] != "p2p")
    return ours & (rows["suspect"] == "") & ~forced


def _ways_of_rows(rows):
    """Every way of every row as one Way: ways along the first axis, rows along the second."""
    asked = configurations(rows)
    order = [(a, p) for a in collectives.ALGORITHMS for p in collectives.PROTOCOLS]
    fields = {name: np.zeros((len(order), rows["source_id"].size)) for name in _TIMES}
    fields["fixed_s"][:] = np.inf  # no such way
    asked["generation"] = np.zeros(rows["source_id"].size, int)
    for mine, arguments in _batches(rows, asked):
        allowed, _ = arguments.pop("algorithms"), arguments.pop("launch")
        asked["generation"][mine] = LATENCIES.index(collectives.generation(arguments["tiers"])[0])
        for way in collectives.ways(**arguments, asked=allowed):
            if allowed is None or way.algorithm in allowed:
                for name in _TIMES:
                    fields[name][order.index((way.algorithm, way.protocol)), mine] = getattr(way, name)
    return collectives.Way("", "", **fields), asked


_TIMES = ("fixed_s", "fill_s", "cuts", "link_s", "port_s", "ll128")


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


def _interval(logs, seen, mask):
    """Where the middle 80 % of measured over predicted lie for a source not seen.

    Every source has the same weight; few sources tell less, by the factor of Student's t.
    """
    order = np.argsort(logs)
    share = np.cumsum(_weights(seen, mask)[order])
    count, z = np.unique(seen[mask]).size, 1.2816  # the normal's 90 %
    student = 1 + (z**2 + 1) / (4 * (count - 1))  # t over z, to first order
    wider = student * (1 + 1 / count) ** 0.5
    middle = [logs[order][np.searchsorted(share, at)] for at in (0.1, 0.9)]
    return tuple(float(np.exp(wider * log)) for log in middle)


# ---- scores


def errors(rows=None, predicted=None):
    """Errors of the predictions by source: a list of dictionaries, fit before held-out.

    `error` is the mean |predicted / measured - 1| of the rows that are not suspect, `error_large` of
    those over 16 MB (peaks included), `coverage` the share inside the 80 % interval, `worst` the row
    furthest off; inside one machine and across machines apart.
    """
    rows = corpus.table("collectives") if rows is None else rows
    at = predict(rows) if predicted is None else predicted
    counted = (at["reason"] == "") & (rows["suspect"] == "") & np.isfinite(at["ratio"])
    inside = (at["measured_s"] >= at["low_s"]) & (at["measured_s"] <= at["high_s"])
    off = np.abs(at["ratio"] - 1)
    across = rows["n_nodes"] != 1
    found = []
    for role in ("fit", "held-out"):
        of_role = counted & (rows["role"] == role)
        for source in dict.fromkeys(rows["source_id"][of_role].tolist()):
            for where, there in (("inside", ~across), ("across", across)):
                mine = of_role & (rows["source_id"] == source) & there
                if not mine.any():
                    continue
                large = mine & ((rows["message_bytes"] > 16e6) | np.isnan(rows["message_bytes"]))
                worst = np.flatnonzero(mine)[np.argmax(np.abs(np.log(at["ratio"][mine])))]
                found.append(
                    {
                        "role": role,
                        "source": source,
                        "where": where,
                        "rows": int(mine.sum()),
                        "error": float(off[mine].mean()),
                        "median": float(np.median(off[mine])),
                        "error_large": float(off[large].mean()) if large.any() else np.nan,
                        "coverage": float(inside[mine].mean()),
                        "worst": int(worst),
                        "worst_ratio": float(at["ratio"][worst]),
                    }
                )
    return found
