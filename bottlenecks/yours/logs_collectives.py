"""Output of nccl-tests and rccl-tests as rows of collectives: a row for each size, out of place and in place.

    # nThread 1 nGpus 8 minBytes 8 maxBytes 8589934592 step: 2(factor) ...
    #  Rank  0 Group  0 Pid   4242 on  node-a device  0 [0000:1b:00] NVIDIA H100 80GB HBM3
    #       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
         1048576        262144     float     sum      -1    43.00   24.39   42.67      0    42.50   24.67   43.18      0

Several programs may stand one behind the other. Older releases print no `redop`, `root` or `Group`.
"""

import re

from bottlenecks.facts.units import plural
from bottlenecks.yours.logs import Found, figure, written

NAME = "nccl-tests"
TABLE = "collectives"
PROGRAMS = {  # of the tests -> what they call
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoallv": "all_to_all of unequal parts",
    "alltoall": "all_to_all",
    "sendrecv": "p2p",
    "broadcast": "broadcast",
    "reduce": "reduce",
    "gather": "gather",
    "scatter": "scatter",
    "hypercube": "hypercube",
}
PROGRAM = re.compile(rf"(?<![a-z])({'|'.join(PROGRAMS)})_perf")
RANK = re.compile(
    r"^#?\s*Rank\s+(\d+)\s+(?:Group\s+\d+\s+)?Pid\s+(\S+)\s+(?:on\s+(\S+)\s+)?device\s+\d+\s+\[[^\]]*\]\s*(.*)"
)
HEADER = re.compile(r"#?\s*size\s+count\s+type\s.*time\s+algbw\s+busbw")
SETUP = re.compile(r"#\s*nThread\s+(\d+)\s+nGpus\s+(\d+)")
DATA = re.compile(r"\s*\d+\s+\d+\s+[a-z]+[\w]*\s")
MOST_TOLD = 64  # ranks that two printed bandwidths can tell: of more, three digits are too few


class Run:
    """What the lines so far say of the program that is running."""

    def __init__(self):
        self.begin("")

    def begin(self, program):
        """Nothing is known but the program's name."""
        self.program, self.devices, self.hosts, self.pids = program, {}, {}, {}
        self.per_process, self.times, self.width, self.printed = "", 2, 4, False

    def sees(self, line):
        """Take in a line of a header; is it one?"""
        if found := PROGRAM.search(line):
            if found[1] != self.program or self.printed:
                self.begin(found[1])
            return True
        if found := SETUP.search(line):
            if self.printed:
                self.begin(self.program)
            self.per_process = written(int(found[1]) * int(found[2]))
            return True
        if found := RANK.search(line):
            rank, pid, host, device = found.groups()
            self.devices[rank], self.pids[rank] = device.strip(), pid
            if host:
                self.hosts[rank] = host
            return True
        if HEADER.search(line):
            names = line.replace("#wrong", "wrong").lstrip("# ").split()
            self.times = names.count("time")
            self.width = 3 + ("wrong" in names or "error" in names)
            self.printed = True
            return True
        return False


def recognises(log):
    """Is a log one of these?"""
    return any(HEADER.search(line) for line in log.lines)


def read(log, given):
    """The rows of a log, as `Found`; `given` has what its reader states."""
    run, rows, unread, empty, untimed = Run(), [], [], 0, 0
    rccl = any("rccl" in line.casefold() for line in log.lines)
    for number, line in enumerate(log.lines, 1):
        if run.sees(line) or line.lstrip().startswith("#") or not DATA.match(line):
            continue
        found = _line(line, run)
        if not found:
            unread.append((number, line))
            continue
        size, operation, root, results = found
        if not size:
            empty += 1
            continue
        common = _machine(run, rccl) | {"message_bytes": str(size)}
        common["collective"] = given.get("collective") or _collective(run, log.name)
        for in_place, (time, algbw, busbw, wrong) in enumerate(results):
            untimed += time == 0
            if time:
                rates = {"algbw_GBps": written(algbw or None), "busbw_GBps": written(busbw or None)}  # 8 B print 0.00
                each = {"time_us": written(time)} | rates
                doubt = f"{wrong:.0f} values were wrong" if wrong else ""
                rows.append(
                    common | each | {"in_place": str(in_place), "doubt": doubt, "_": (operation, root, run.per_process)}
                )
    doubts = _name_collectives(rows, log.name)
    left_out = [f"{plural(empty, 'line')} of 0 bytes"] * bool(empty)
    left_out += [f"{plural(untimed, 'result')} of 0.00 us"] * bool(untimed)
    return Found([{c: v for c, v in row.items() if c != "_"} for row in rows], _told(rows) + doubts, left_out, unread)


def _line(line, run):
    """(bytes, operation, root, [(us, algbw, busbw, wrong values)]) of a line of results; None where it is none."""
    cells = line.split()
    last = run.times * run.width
    head, results = cells[:-last], cells[-last:]
    if not 3 <= len(head) <= 5 or not head[0].isdigit():
        return None
    found = []
    for i in range(run.times):
        time, algbw, busbw, *wrong = (figure(cell) for cell in results[i * run.width : (i + 1) * run.width])
        found.append((time, algbw, busbw, wrong[0] if wrong else None))
    if all(each[0] is None for each in found):
        return None
    operation = head[3] if len(head) > 3 else ""
    return int(head[0]), operation, int(head[4]) if len(head) > 4 and head[4].lstrip("-").isdigit() else -1, found


def _machine(run, rccl):
    """The columns that the header says: chip, ranks and machines."""
    chips = sorted(set(run.devices.values()))
    nodes = len(set(run.hosts.values())) or (1 if len(set(run.pids.values())) == 1 else None)
    rccl = rccl or any("AMD" in chip for chip in chips)
    return {
        "chip": chips[0] if len(chips) == 1 else "",
        "n_gpus": written(len(run.devices) or None),
        "n_nodes": written(nodes),
        "library": "RCCL (rccl-tests)" if rccl else "NCCL (nccl-tests)",
        "launch": "library",
    }


def _collective(run, file):
    """What a program, else a file's name, says; '' where neither does."""
    if run.program:
        return PROGRAMS[run.program]
    named = [c for c in PROGRAMS if c.replace("_", "") in re.sub(r"[^a-z]", "", file.casefold())]
    return PROGRAMS[max(named, key=len)] if named else ""


def _name_collectives(rows, file):
    """Where nothing names the collective: what its operation, root and bandwidths leave. Ranks, where none are listed.

    Returns what does not fit together, in words.
    """
    doubts = []
    for group in {(r["collective"], r["n_gpus"], r["_"]) for r in rows}:
        mine = [r for r in rows if (r["collective"], r["n_gpus"], r["_"]) == group]
        largest = max(mine, key=lambda r: float(r["busbw_GBps"] or 0))
        both = [float(largest[c] or 0) for c in ("busbw_GBps", "algbw_GBps")]
        share = both[0] / both[1] if both[1] >= 1 else None
        collective, ranks, (operation, root, per_process) = group
        if not collective:
            collective = _meant(operation, root, share)
            if not collective:
                raise ValueError(
                    f"no line and no name of {file} says which collective it is, such as all_reduce_perf, and redop "
                    f"{operation or 'blank'} with root {root} fits several: add --set collective=all_gather, for instance"
                )
        told = _ranks(collective, share)
        if ranks and told and ranks != told:
            doubts.append(f"{ranks} ranks are listed, and {collective}'s bandwidths tell {told}: --set n_gpus={told}?")
        for row in mine:
            row["collective"], row["n_gpus"] = collective, ranks or told or per_process
    return doubts


def _meant(operation, root, share):
    """The collective of an operation and a root, by busbw over algbw; '' where several fit."""
    adds = operation not in ("", "none")
    if root >= 0:
        return "reduce" if adds else "broadcast"
    if not adds or share is None or abs(share - 1) < 0.01:
        return ""
    return "all_reduce" if share > 1 else "reduce_scatter"


def _ranks(collective, share):
    """How many ranks busbw over algbw tells: 2(n-1)/n of an all-reduce, (n-1)/n of the others; '' where it does not.

    >>> _ranks("all_reduce", 1.75), _ranks("all_gather", 0.9375), _ranks("all_gather", 0.93)
    ('8', '16', '')
    """
    many = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "all_to_all": 1.0}.get(collective)
    if many is None or share is None or share >= many:
        return ""
    ranks = many / (many - share)
    return written(round(ranks)) if ranks < MOST_TOLD and abs(ranks - round(ranks)) < 0.02 * ranks**0.5 else ""


def _told(rows):
    """What was understood, a line for each collective."""
    found = {}
    for row in rows:
        machines = plural(int(row["n_nodes"]), "machine") if row["n_nodes"] else "machines that are not counted"
        words = f"{row['collective']} over {row['n_gpus'] or 'unknown'} ranks of {machines}"
        words += f", {row['chip']}" if row["chip"] else ""
        found.setdefault(words, []).append(int(row["message_bytes"]))
    return [f"{words}: {min(sizes):,} to {max(sizes):,} B" for words, sizes in found.items()]
