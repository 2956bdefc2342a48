"""Rows of the collectives corpus, and of a reader's own file, as calls of `collectives.collective_time`."""

from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of, shown
from bottlenecks.facts.networks import fabrics, read_ports
from bottlenecks.laws import collectives as law_collectives
from bottlenecks.measured import choices
from bottlenecks.measured.cases import impossible, joined, taken_for
from bottlenecks.models import collectives, wiring

PEAK_BYTES = 8 * 2.0**30  # message of a row that prints a peak and no size
SMALL_BYTES, LARGE_BYTES = 2.0**16, 2.0**26  # of messages that latency, or bandwidth, has alone
SLIP = 0.9  # of two spellings, of which one is a slip of the pen
NODES = 4  # of a row that names ports and no count
OWNERS = {"link": "network", "port": "network", "latency": "latency"}


class Case(NamedTuple):
    """Rows that one call predicts, and its arguments."""

    rows: np.ndarray
    arguments: dict


class Configurations(NamedTuple):
    """As `measured.cases.Cases`; and `asked`, columns of what the model is asked for each row."""

    columns: dict
    found: list
    reasons: np.ndarray
    asked: dict


# ---- rows to configurations


def cases(columns):
    """`Configurations` of a table of collectives; a name that does not tell its board is the one most measured."""
    columns = columns | _boards(columns)
    count = columns["source_id"].size
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
    }
    reasons = impossible(columns)
    read = [columns[name].tolist() for name in _READ]
    for i, values in enumerate(zip(*read, strict=True)):
        if reasons[i]:
            continue
        try:
            found = _configuration(dict(zip(_READ, values, strict=True)))
        except ValueError as problem:
            reasons[i] = str(problem)
            continue
        for name, value in found.items():
            asked[name][i] = value
    found = [Case(*case) for case in _batches(columns, asked, reasons)]
    return Configurations(columns, found, reasons.astype(str), asked)


def _boards(columns):
    """The columns of boards, with the most measured of those that a name can mean, and that it was taken."""
    names, untold = columns["chip_name"].astype("U64"), columns["chip_name"] == ""
    taken = np.full(names.size, "", dtype="U99")
    for name in np.unique(columns["chip"][untold]).tolist():
        if found := choices.boards(name):
            mine = untold & (columns["chip"] == name)
            names[mine] = board = max(found, key=lambda board: board[1])[0]
            taken[mine] = taken_for(board)
    return {"chip_name": names, "board_taken": taken}


_READ = (
    *("collective", "chip_name", "n_gpus", "n_nodes", "port_bytes_per_s", "rdma_only", "one_domain", "own_count"),
    *("pcie_generation", "in_network", "algorithms", "launch", "network", "fabric"),
    *("message_bytes", "time_s", "algbw_bytes_per_s", "busbw_bytes_per_s"),
)


def _configuration(row):
    """One row as arguments of the model; ValueError: why it can be none."""
    if row["collective"] not in collectives.COLLECTIVES:
        if not row["collective"]:
            raise ValueError("no collective is named")
        near = get_close_matches(
            row["collective"], collectives.COLLECTIVES, n=1, cutoff=SLIP
        )  # reduce is no all_reduce
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        there = ", ".join(collectives.COLLECTIVES)
        raise ValueError(f"collective {shown(row['collective'])} is not modelled{hint} There are: {there}")
    if row["own_count"] == 1:
        raise ValueError("a bandwidth by the page's own count of bytes, without a message")
    assumed = []
    row = _with_ports(row, assumed)
    tiers = _tiers(row, assumed)
    ranks, per_domain = _ranks(row, tiers, assumed)
    message, measured, unit = _measured(row, ranks, assumed)
    ways = tuple(filter(None, row["algorithms"].split(";")))
    return {
        "tiers": tiers,
        "ranks": ranks,
        "per_domain": per_domain,
        "message_bytes": message,
        "measured_s": measured,
        "unit": unit,
        "ways": tuple(one_of("algorithms", way, collectives.ALGORITHMS) for way in ways) or None,
        "sums_in": 2 if row["in_network"] == "ports" else 1,
        "launch": one_of("launch", row["launch"] or "library", collectives.LAUNCHES),
        "assumed": "; ".join(assumed),
    }


def _with_ports(row, assumed):
    """A row with its fabric and ports, where they stand only in its words for the links in use."""
    if row["n_nodes"] == 1:
        return row
    fabric, rate = read_ports(row["network"], row["n_gpus"] / row["n_nodes"] if row["n_nodes"] > 1 else 8.0)
    if row["port_bytes_per_s"] != row["port_bytes_per_s"] and rate == rate:
        assumed.append(f"a port of {8 * rate / 1e9:g} Gbit/s a chip")
        row = row | {"port_bytes_per_s": rate}
    return row | {"fabric": row["fabric"] if row["fabric"] in fabrics() else fabric}


def _tiers(row, assumed):
    """The tiers of a row's machine."""
    name, port = row["chip_name"], row["port_bytes_per_s"]
    sums = row["in_network"] == "ports"
    if row["rdma_only"] == 1 and port == port:
        return (wiring.ports(port, sums=sums, fabric=_between(row)),)
    if not name:
        if row["pcie_generation"] == row["pcie_generation"]:
            return (wiring.host(f"PCIe {row['pcie_generation']:.0f}.0 x16"),)
        raise ValueError("the chip, and so its links, is not known")
    facts, inner = chip(name).facts, wiring.inside(chip(name))
    if not inner and row["n_gpus"] == row["n_nodes"] and port == port:  # one chip a machine
        return (wiring.ports(port, sums=sums, fabric=_between(row)),)
    if not inner:
        raise ValueError(f"the rate of the links of {name}, or how many they join, is not known")
    if len(inner) > 1:
        assumed.append("a pair of cards shares its way to the host")
    if row["n_nodes"] == 1:
        return inner
    if port != port and (nic := facts["nic_gbits_per_s"]):
        port = float(nic) / 8 * 1e9
        assumed.append(f"a port of {nic} Gbit/s a chip")
    if port != port:
        if row["n_nodes"] == row["n_nodes"]:
            raise ValueError("the ports are not known")
        return inner
    return (*inner, wiring.ports(min(port, inner[-1].bytes_per_s), sums=sums, fabric=_between(row)))


def _between(row):
    """The fabric between machines that a row names, '' where it names none."""
    return row["fabric"] if row["fabric"] in fabrics() else ""


def _ranks(row, tiers, assumed):
    """(ranks, ranks in each innermost domain or NaN for as many as fit)."""
    ranks, nodes, domain = row["n_gpus"], row["n_nodes"], tiers[0].ranks
    if ranks != ranks:
        ranks = (domain or 8) * (NODES if len(tiers) > 1 and tiers[-1].ranks is None else 1)
        assumed.append(f"{ranks} ranks")
    if ranks < 1:
        raise ValueError(f"{ranks:g} ranks")
    most = tiers[-1].ranks
    if most is not None and ranks > most:
        raise ValueError(f"{ranks:.0f} ranks in one domain of {most}")
    if nodes != nodes or nodes == 1 or row["one_domain"] == 1 or domain is None:
        return ranks, np.nan
    within = ranks / nodes
    if within < 1:
        raise ValueError(f"{ranks:.0f} ranks on {nodes:.0f} nodes: n_nodes must be at most n_gpus")
    if within > domain:
        raise ValueError(f"{within:.0f} ranks a node in a domain of {domain}")
    return ranks, within


def _measured(row, ranks, assumed):
    """(message, seconds, unit of the headline)."""
    message, seconds = row["message_bytes"], row["time_s"]
    if message <= 0:
        raise ValueError(f"a message of {message:g} bytes")
    if message == message and seconds == seconds:
        return message, seconds, "s"
    if message != message:
        message = PEAK_BYTES
        assumed.append("a peak, at 8 GiB")
    factor = law_collectives.bus_factor(row["collective"], ranks)
    if row["busbw_bytes_per_s"] == row["busbw_bytes_per_s"]:
        return message, factor * message / row["busbw_bytes_per_s"], "B/s"
    if row["algbw_bytes_per_s"] == row["algbw_bytes_per_s"]:
        return message, message / row["algbw_bytes_per_s"], "B/s"
    return message, np.nan, "s"


def _batches(columns, asked, reasons):
    """Rows that differ only in numbers, with their arguments of `collectives.collective_time`."""
    groups = {}
    for i in np.flatnonzero(reasons == "").tolist():
        tiers = tuple((tier.ranks, tier.bytes_per_s, tier.link, tier.latency_s) for tier in asked["tiers"][i])
        spread = bool(np.isnan(asked["per_domain"][i]))
        same = (asked["ways"][i], asked["sums_in"][i].item(), asked["launch"][i].item(), spread)
        groups.setdefault((columns["collective"][i].item(), tiers, *same), []).append(i)
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


# ---- predictions


def predict(cases, *, owners=True, efficiency=None, constants=None):
    """Reference seconds of every row, the owner and what was assumed: name -> array, as `measured.cases.predictions`.

    Also the `algorithm` and the `protocol` taken, and `held_up`: by the link, the port or the latency.
    `efficiency`: `collectives.fitted()` unless given; `constants` of a reader's own stand in place of some of it.
    """
    efficiency = replace(efficiency or collectives.fitted(), **constants or {})
    count = cases.reasons.size
    found = {"seconds": np.full(count, np.nan), "open": np.zeros(count)}
    found |= {name: np.full(count, "", "U12") for name in ("held_up", "algorithm", "protocol")}
    for rows, arguments in cases.found:
        at = collectives.collective_time(**arguments, efficiency=efficiency)
        found["held_up"][rows] = at.bound
        for name in ("seconds", "algorithm", "protocol"):
            found[name][rows] = getattr(at, name)
    ways = zip(found["algorithm"].tolist(), found["protocol"].tolist(), strict=True)
    ways = [f"{algorithm} {protocol}".strip() for algorithm, protocol in ways]
    words = joined(cases.columns["board_taken"], cases.asked["assumed"], ways)
    return found | {
        "bound": np.array([OWNERS.get(held, "") if owners else "" for held in found["held_up"].tolist()]),
        "assumed": np.where(cases.reasons == "", words, ""),
        "reason": cases.reasons,
    }


def classes(cases):
    """{factor: level of each row}: how large a message is, which latency, or bandwidth, has alone at its ends."""
    asked = cases.asked["message_bytes"]
    size = np.where(asked < SMALL_BYTES, "small", np.where(asked < LARGE_BYTES, "middle", "large"))
    return {"size": size}


def headline(cases, seconds):
    """(measured, predicted, unit): microseconds of a call, else the bandwidth that the row prints."""
    columns, asked = cases.columns, cases.asked
    bus, algorithm = columns["busbw_bytes_per_s"], columns["algbw_bytes_per_s"]
    printed = np.where(np.isfinite(bus), bus, algorithm)
    rates = asked["unit"] == "B/s"
    with np.errstate(divide="ignore", invalid="ignore"):
        predicted = np.where(rates, printed * asked["measured_s"] / seconds / 1e9, seconds * 1e6)
    measured = np.where(rates, printed / 1e9, asked["measured_s"] * 1e6)
    return measured, predicted, np.where(rates, "GB/s", "us")


def groups(cases):
    """What a row is scored under: groups inside one machine, and across machines."""
    return np.where(cases.columns["n_nodes"] != 1, "across machines", "inside a machine")
