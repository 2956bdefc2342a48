"""Your machine's kernels by shape and format, as rows of the corpus: `bottlenecks measure --corpus`.

    done = sweep("mine.csv", progress=bar())     # a minute; columns of data/kernels_measured.csv

A row is the median of five or more timings after a warm-up; `notes` has their range, and `doubt` whether other programs were running.
What each row counts is said at the head of `kernels.py`; each device has a process of its own.
"""

import csv
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

try:
    import resource

    resource.RUSAGE_THREAD  # noqa: B018
except (ImportError, AttributeError):  # Linux alone counts them for a thread
    resource = None

from bottlenecks import __version__
from bottlenecks.facts import files
from bottlenecks.facts.doors import positive
from bottlenecks.yours import kernels, machine, probes
from bottlenecks.yours.probes import skip
from bottlenecks.yours.roofline import probe_rows

COLUMNS = (
    "source_id",
    "source",
    "confidence",
    "kernel",
    "chip",
    "dtype",
    "m",
    "n",
    "k",
    "batch",
    "seq_len",
    "kv_len",
    "heads",
    "kv_heads",
    "head_dim",
    "causal",
    "bytes",
    "time_us",
    "tflops",
    "GBps",
    "implementation",
    "doubt",
    "notes",
)
BUSY_PER_S = 60  # a thread alone is put aside up to some 50 times a second; beside a busy program, 100 and more
BUSY = "other programs were running"
SAMPLES, SAMPLE_S, TOTAL_S = 5, 0.01, 0.1  # timings of a row at least; seconds of one, of all


# --- The run -------------------------------------------------------------------------------------


def sweep(out, budget_s: float = 60.0, max_bytes: int = 1 << 30, progress=None) -> dict:
    """Measure for about `budget_s` seconds and write each row to the new file `out` as it is found.

    Allocates less than `max_bytes` and less than a quarter of the memory that is free. Says how many
    rows there are, in how many other programs had a hand, what was skipped and why, and whether
    Ctrl-C ended it, which loses no row.
    """
    positive("budget_s", budget_s)
    positive("max_bytes", max_bytes)
    limit_bytes = int(min(max_bytes, machine.available_bytes() // 4))
    tell = progress or (lambda fraction, text: None)
    done = {"path": Path(out), "rows": 0, "busy": 0, "skipped": Counter(), "stopped": False}
    with files.created(out) as file:  # whatever ends this process, what it has found is in the file
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        began_s = time.monotonic()
        try:
            for section, row in _found(budget_s, limit_bytes):
                if section == "skipped":
                    done["skipped"][f"{row['probe']}: {row['reason']}"] += 1
                    continue
                table.writerow(row)
                done["rows"] += 1
                done["busy"] += row["doubt"] == BUSY
                tell(min(0.99, (time.monotonic() - began_s) / budget_s), row["kernel"][:28])
        except KeyboardInterrupt:
            done["stopped"] = True
    if not done["rows"]:  # so that the same command can be given again
        done["path"].unlink()
    tell(1.0, "stopped" if done["stopped"] else "done")
    return done


def _found(budget_s, limit_bytes):
    """What the processes of both devices print, with what only this one knows of each row."""
    here, began_s = machine.describe(), time.monotonic()
    chips = {"cpu": here["cpu"]}
    common = {
        "source_id": "bottlenecks_measure",
        "confidence": "measured",
        "source": f"bottlenecks {__version__}: bottlenecks measure --corpus OUT.csv --seconds {budget_s:g}, "
        f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}, Python {here['python']}, {here['os']}, {here['cores']} cores of {here['cpu']}",
    }
    devices = [("cpu", machine.cores())]
    if find_spec("torch"):
        devices.insert(0, ("cuda", machine.cores()))
    else:
        yield skip("cuda", "torch is not installed")
    for i, (device, threads) in enumerate(devices):
        seconds = (budget_s - (time.monotonic() - began_s)) / (len(devices) - i)
        for section, row in probe_rows(device, device, threads, seconds, limit_bytes, "bottlenecks.yours.sweeps"):
            if section == "machine":
                chips["cuda"] = row["gpu"]
            elif section == "kernels":
                yield section, common | {"chip": chips[device]} | row
            else:
                yield section, row


# --- One row after another, in a process of its own ----------------------------------------------


def rows(sweeps, deadline, limit_bytes, implementation):
    """Sweeps are (weight, cases); the time that one leaves over goes to those after it."""
    pace = {}  # format -> the fewest seconds a FLOP has taken, so that no call outlasts its sweep
    weights = sum(weight for weight, _ in sweeps)
    for weight, cases in sweeps:
        now = time.monotonic()
        stop = now + (deadline - now) * weight / weights
        weights -= weight
        for case in cases:
            format = case.columns.get("dtype", "")
            what = f"{case.columns['kernel']} {format}".strip()
            least_s = (SAMPLES + 1) * case.flop * pace.get(format, 0.0)
            if case.held_bytes > limit_bytes:
                yield skip(what, "more memory than it may take")
            elif time.monotonic() + least_s > stop:
                yield skip(what, "no time left")
            else:
                try:
                    calls, took_s, per_s = timings(case.make(), stop)
                except Exception as error:  # a library or a device without it; the others go on
                    yield skip(what, f"{type(error).__name__}: {error}")
                    continue
                if not took_s:
                    yield skip(what, "no time left")
                    continue
                if case.flop:
                    pace[format] = min(np.median(took_s) / case.flop, pace.get(format, np.inf))
                yield "kernels", finished(case, calls, took_s, per_s, implementation)


def timings(repeat, deadline):
    """Calls in a timing, seconds of one call in each timing (none if time is too short for five),
    and how often a second this thread had to leave its core to another.

    What comes before is the warm-up: threads, pages, caches, clocks, and the length of a timing.
    """
    calls, took_s = 1, repeat(1)
    if took_s < 20 * SAMPLE_S:  # of two, since the first calls may be odd ones
        while (took_s := min(repeat(calls), repeat(calls))) < SAMPLE_S:
            calls *= 2
    found, began_s, before = [], time.monotonic(), preempted()
    if began_s + SAMPLES * took_s < deadline:
        while len(found) < SAMPLES or sum(found) < TOTAL_S:
            found.append(repeat(calls))
    per_s = (preempted() - before) / max(time.monotonic() - began_s, SAMPLE_S)
    return calls, [each / calls for each in found], per_s


def preempted():
    """Of this thread alone: helpers that it started may well push each other aside."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw if resource else 0


def finished(case, calls, took_s, per_s, implementation):
    """The columns of a case that has been timed; four digits, for the fifth is noise.

    >>> case = kernels.Case({"kernel": "toy"}, flop=2e6, moved_bytes=3000, held_bytes=0, make=None)
    >>> row = finished(case, 7, [1e-6, 2e-6, 4e-6], 0, "numpy")
    >>> row["time_us"], row["tflops"], row["GBps"], row["bytes"]
    ('2', '1', '1.5', 3000)
    """
    seconds = float(np.median(took_s))
    numbers = {
        "time_us": seconds / 1e-6,
        "tflops": case.flop / seconds / 1e12,
        "GBps": case.moved_bytes / seconds / 1e9,
    }
    note = (
        f"median of {len(took_s)} timings of {calls} calls after a warm-up, "
        f"{min(took_s) / 1e-6:.4g} to {max(took_s) / 1e-6:.4g} us"
    )
    return (
        {
            "implementation": implementation,
            "bytes": case.moved_bytes or "",
            "doubt": BUSY if per_s > BUSY_PER_S else "",
            "notes": "; ".join(filter(None, (note, case.note))),
        }
        | {name: f"{value:.4g}" if value else "" for name, value in numbers.items()}
        | case.columns
    )


def cpu_rows(threads, deadline, limit_bytes):
    with ThreadPoolExecutor(threads) as pool:
        sweeps = kernels.cpu_sweeps(pool, threads, limit_bytes)
        yield from rows(sweeps, deadline, limit_bytes, kernels.by_numpy(threads))


def cuda_rows(threads, deadline, limit_bytes):
    def sweep(torch, deadline, limit_bytes):
        sweeps = kernels.cuda_sweeps(torch, limit_bytes)
        yield from rows(sweeps, deadline, limit_bytes, kernels.by_torch(torch))

    yield from probes.on_cuda(sweep, deadline, limit_bytes)


SWEEPS = {"cpu": cpu_rows, "cuda": cuda_rows}

if __name__ == "__main__":
    probes.main(*sys.argv[1:], table=SWEEPS)
