"""The roofline of the machine in front of you: peak arithmetic, bandwidth, latency, call overhead.

    result = measure(progress=bar())      # under a minute, on this machine's CPU and GPU
    print(summary(result))
    save(result)                          # roof(load()) is then drawn beside the datasheets

A result is a dict of plain values: when and for how long, the machine, a list of rows for each
section of `probes.ROWS`, what was skipped, and why, and what it lacks (`incomplete`). What each number counts is said at the head
of `probes.py`; each probe runs in a process of its own.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from threading import Timer

from bottlenecks import __version__
from bottlenecks.facts import files
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.units import si
from bottlenecks.yours import machine
from bottlenecks.yours.probes import ROWS, skip

SCHEMA = 1
DEVICES = ("cpu", "cuda")
TITLES = {"matmul": "matrix multiply", "stream": "bandwidth", "chase": "latency", "cuda": "GPU"}
PARTS = {"matmul": "arithmetic", "stream": "bandwidth", "latency": "latency"}  # what a whole run has of its CPU
BLAS_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


# --- The run -------------------------------------------------------------------------------------


def measure(budget_s: float = 45.0, max_bytes: int = 1 << 30, progress=None) -> dict:
    """Measure this machine within about `budget_s` seconds (at most two more, however slow it is).

    Allocates less than `max_bytes` and less than a quarter of the memory that is free. Calls
    `progress(fraction, text)`. A probe that cannot run here becomes an entry of `skipped`.
    The result holds no user name, host name or path, so it can be shown to anyone.
    """
    positive("budget_s", budget_s)
    positive("max_bytes", max_bytes)
    began_s = time.monotonic()
    result = {
        "schema": SCHEMA,
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": __version__,
        "took_s": 0.0,
        "machine": machine.describe(),
        **{section: [] for section in ROWS},
        "skipped": [],
        "incomplete": [],
    }
    limit_bytes = int(min(max_bytes, machine.available_bytes() // 4))
    tell = progress or (lambda fraction, text: None)
    steps = _steps(machine.cores())
    if "cuda" not in [probe for probe, *_ in steps]:
        result["skipped"] += [skip("cuda", "torch is not installed")[1]]
    while steps:
        probe, threads, weight = steps[0]
        many = f", {threads} threads" if threads > 1 else ""
        spent_s = time.monotonic() - began_s
        seconds = (budget_s - spent_s) * weight / sum(step[-1] for step in steps)
        tell(min(0.99, spent_s / budget_s), TITLES[probe] + many)
        for section, row in probe_rows(probe + many, probe, threads, seconds, limit_bytes):
            if section == "machine":  # only the GPU's own process knows its name
                result["machine"] |= row
            else:
                result[section].append(row)
            tell(min(0.99, (time.monotonic() - began_s) / budget_s), TITLES[probe] + many)
        steps.pop(0)
    result["incomplete"] = lacks(result)
    result["took_s"] = round(time.monotonic() - began_s, 1)
    tell(1.0, "done")
    return result


def _steps(cores):
    """(probe, threads, share of the time); time that one leaves over goes to those after it."""
    steps = [("matmul", 1, 3), ("stream", 1, 3), ("chase", 1, 4)]
    if cores > 1:
        steps += [("matmul", cores, 2), ("stream", cores, 3)]
    return steps + ([("cuda", 1, 6)] if find_spec("torch") else [])


def probe_rows(label, probe, threads, seconds, limit_bytes, module="bottlenecks.yours.probes"):
    """What a probe prints in a process of its own, which is ended 1.5 s after its time."""
    if seconds < 0.1:
        yield skip(label, "no time left")
        return
    try:
        child = _start(probe, threads, seconds, limit_bytes, module)
    except OSError as error:  # in a browser, for one
        yield skip(label, f"no process could be started: {error}")
    else:
        yield from _listen(child, label, seconds + 1.5)


def _start(probe, threads, seconds, limit_bytes, module="bottlenecks.yours.probes"):
    task = map(str, (probe, threads, seconds, limit_bytes))
    return subprocess.Popen(
        [sys.executable, "-m", module, *task],
        cwd=Path(__file__).parents[2],  # where this very package is found first
        env=os.environ | {name: str(threads) for name in BLAS_THREADS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _listen(child, label, patience_s):
    """Rows as the child prints them; a line that is none is a complaint, the last one the reason."""
    complaint, late = "", []
    timer = Timer(patience_s, lambda: (late.append(True), child.kill()))
    timer.start()
    with child:
        try:
            for line in child.stdout:
                try:
                    section, row = json.loads(line)
                except (ValueError, TypeError):
                    complaint = line.decode(errors="replace").strip() or complaint
                else:
                    yield section, row
            child.wait()
        finally:  # also when the reader interrupts the run
            timer.cancel()
            child.kill()
    if late:
        yield skip(label, f"stopped after {patience_s:.1f} s; what it had measured is kept")
    elif child.returncode:
        yield skip(label, complaint or f"its process ended with code {child.returncode}")


# --- Keeping results -----------------------------------------------------------------------------


def user_folder() -> Path:
    """Where results are kept: BOTTLENECKS_DATA if set, else this user's data folder."""
    from platformdirs import user_data_path

    try:
        return Path(os.environ.get("BOTTLENECKS_DATA") or user_data_path("bottlenecks")).expanduser()
    except RuntimeError:
        raise OSError("this user has no home folder: set BOTTLENECKS_DATA to a folder for measurements") from None


def save(result: dict, folder=None) -> Path:
    """Write `result` to `folder` (else `user_folder()`) under the time of its measurement.

    The file never takes the place of an earlier one.
    """
    folder = Path(folder or user_folder())
    kept = {key: value for key, value in result.items() if key != "origin"}
    text = json.dumps(kept, indent=1, allow_nan=False) + "\n"
    stem = "machine-" + result["measured_at"].replace("-", "").replace(":", "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{stem}.json", *(f"{stem}-{i:03}.json" for i in range(2, 1000))]  # measured in the same second
        for path in (folder / name for name in names):
            with suppress(FileExistsError):
                files.write(path, text, new=True)
                return path
        raise FileExistsError(f"{folder / names[-1]} is there already")
    except OSError as error:
        why = error.strerror or getattr(error.__cause__, "strerror", None) or error
        raise OSError(
            f"cannot write into {folder} ({why}): set BOTTLENECKS_DATA to a "
            "folder that you may write to, or pass one (--folder)"
        ) from error


def load(path=None) -> dict:
    """The result in `path`, else the newest of `user_folder()`, else the sample of the package.

    `result["origin"]` says whether it is "yours" or the "sample".
    """
    sample = Path(__file__).parents[1] / "data" / "sample_machine.json"
    if path is None:
        kept = []
        with suppress(OSError):  # without a home folder there is nothing in it
            kept = user_folder().glob("machine-*.json")
        path = max(kept, key=lambda each: each.stem, default=sample)
    try:
        text = Path(path).read_text(encoding="utf-8")
        result = json.loads(text, parse_constant=int)  # refuses NaN
        if result["schema"] != SCHEMA:
            raise ValueError(f"its schema is {result['schema']!r}")
        summary(result)  # what can be summed up is whole
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} is not a measurement of this package, schema {SCHEMA}: "
            f"{type(error).__name__}: {error}; measure again, or take the file away"
        ) from error
    return result | {"origin": "sample" if Path(path) == sample else "yours"}


# --- Reading results -----------------------------------------------------------------------------


def lacks(result: dict) -> list:
    """What a run did not find of its CPU, in words, such as ["bandwidth"]; empty for a whole one."""
    return [word for section, word in PARTS.items() if not any(row["device"] == "cpu" for row in result[section])]


def roof(result: dict, device: str = "cpu") -> dict:
    """What a roofline needs: the best rate of each format, of main memory and of each cache.

    Main memory is the largest working set that was streamed. A cache is listed where its rate
    stands out: above that of everything further from the core. Absent numbers are absent keys.
    """
    one_of("device", device, DEVICES)
    rows = {section: [row for row in result[section] if row["device"] == device] for section in ROWS}
    found = {"name": result["machine"]["gpu" if device == "cuda" else "cpu"], "device": device}
    peaks = found["flop_per_s"] = {}
    for row in rows["matmul"]:
        peaks[row["format"]] = max(row["flop_per_s"], peaks.get(row["format"], 0.0))
    largest = max((row["working_set_bytes"] for row in rows["stream"]), default=0)
    if largest:
        memory = [row for row in rows["stream"] if row["working_set_bytes"] == largest]
        caches = result["machine"]["caches_bytes"] if device == "cpu" else {}
        found["bytes_per_s"] = _best(memory)
        found["caches_bytes_per_s"] = _plateaus(rows["stream"], caches, found["bytes_per_s"])
    if rows["launch"]:
        found["launch_s"] = min(row["launch_s"] for row in rows["launch"])
    return found | _random_access(rows["latency"], rows["gather"], largest / 4)


def _best(rows):
    return max(row["bytes_per_s"] for row in rows)


def _plateaus(streams, caches_bytes, memory_bytes_per_s):
    """Best rate of sets that fit a cache with room to spare and overflow the one inside it.

    L1 and L2 are taken to be each core's own, L3 to be one for all.
    """
    plateaus, floor_bytes_per_s = {}, memory_bytes_per_s
    names = sorted(caches_bytes, key=caches_bytes.get)
    for name, inner in reversed(list(zip(names, [None, *names], strict=False))):
        rows = [
            row
            for row in streams
            if row["working_set_bytes"] / row["threads"] >= 4 * caches_bytes.get(inner, 0)
            and row["working_set_bytes"] / (row["threads"] if name != "L3" else 1) <= caches_bytes[name] * 3 // 4
        ]
        if rows and _best(rows) > 1.1 * floor_bytes_per_s:
            plateaus[name] = floor_bytes_per_s = _best(rows)
    return plateaus


def _random_access(latency, gather, memory_set_bytes):
    """Latency of main memory, and bytes in flight when its lines are fetched at random.

    A run cut short may have chased through caches alone: such a set is no memory's.
    """
    latency_s = {row["working_set_bytes"]: row["latency_s"] for row in latency}
    bytes_per_s = {row["working_set_bytes"]: row["bytes_per_s"] for row in gather}
    largest = max(latency_s.keys() & bytes_per_s.keys(), default=0)
    if not largest or largest < memory_set_bytes:
        return {}
    in_flight_bytes = latency_s[largest] * bytes_per_s[largest]
    return {"latency_s": latency_s[largest], "in_flight_bytes": in_flight_bytes}


def summary(result: dict) -> str:
    """The result in a few lines for a terminal."""
    lines = []
    for found in (roof(result, device) for device in DEVICES):
        if found["flop_per_s"] or "bytes_per_s" in found:
            lines += _device_lines(found)
    note = " (the sample that ships with the package)" if result.get("origin") == "sample" else ""
    lines += [f"measured {result['measured_at']} in {result['took_s']:.0f} s{note}"]
    if lacks(result):
        lines += [f"incomplete, without {' and '.join(lacks(result))}: run it again when no other program runs"]
    if _looks_busy(result):
        lines += ["all cores did little more than one: if other programs were running, run it again"]
    return "\n".join(lines + [f"skipped {s['probe']}: {s['reason']}" for s in result["skipped"]])


def _looks_busy(result):
    best = {}
    for row in result["matmul"]:
        if row["device"] == "cpu":
            many = row["threads"] > 1
            best[many] = max(row["flop_per_s"], best.get(many, 0.0))
    return len(best) == 2 and best[True] < 1.3 * best[False]


def _device_lines(found):
    peaks, memory = found["flop_per_s"], found.get("bytes_per_s")
    lines = [found["name"]]
    if peaks:
        lines += [_line("arithmetic", peaks, "FLOP/s")]
    if memory:
        lines += [_line("bandwidth", {"memory": memory} | found["caches_bytes_per_s"], "B/s")]
    if peaks and memory:
        lines += [_line("ridge", {k: v / memory for k, v in peaks.items()}, "FLOP/B")]
    delays = {
        "memory, above L1": (found.get("latency_s"), "s"),
        "in flight from one core": (found.get("in_flight_bytes"), "B"),
        "smallest call": (found.get("launch_s"), "s"),
    }
    told = [f"{name} {si(*value)}" for name, value in delays.items() if value[0] is not None]
    return [*lines, f"  {'latency':<11}" + "   ".join(told)] if told else lines


def _line(title, values, unit):
    return f"  {title:<11}" + "   ".join(f"{key} {si(v, unit)}" for key, v in values.items())


def bar(stream=None):
    """A progress bar: `measure(progress=bar())`."""
    stream = stream or sys.stderr

    def progress(fraction, text):
        filled = round(30 * fraction)
        stream.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {fraction:4.0%} {text:<28}")
        stream.write("\n" if fraction >= 1 else "")
        stream.flush()

    return progress
