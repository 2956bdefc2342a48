"""What a probe times, in a process of its own: `python -m bottlenecks.yours.probes matmul 1 5.0 1000000`.

The arguments are the probe, its threads, its seconds and the bytes that it may allocate. It prints
each row as it is found, as one line of JSON: the section of the result, and the row. `measure`
starts one process for each probe, because the BLAS inside numpy reads its thread count once, at
import, and because a process can be stopped when its time is up.

A number is the fastest of many samples: whatever else the machine does can only add time. It keeps
four digits; the fifth is another one in every run. Conventions:

matmul   2 n^3 FLOP for an (n, n) product through `numpy.matmul`. numpy has a BLAS for fp64 and fp32
         alone; fp16 and int8 (8-bit sums, which wrap) show what the same chip does without one.
stream   bytes that the kernel asks for: `read` (a maximum) and `write` (a fill) count each byte of
         the working set once, `copy` (GPU) counts it once read and once written. Lines that a write
         first fetches from memory (write-allocate) are not counted. With several threads the
         working set is the sum of their shares. Small sets are swept many times inside one call.
latency  seconds of a dependent load beyond the first-level cache: a chase through a random cycle of
         64-byte lines, less a step of the same chase inside L1 (`subtracted_s`). Address
         translation is part of it, as it is part of any program.
gather   the same lines in the same random order, but independent, so that many are in flight; one
         line of 64 bytes is counted for each. Little's law: latency x rate = bytes in flight.
launch   seconds of one call that does nearly nothing: numpy's on one value, a GPU kernel's.
"""

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

ROWS = {  # section of a result -> keys of its rows
    "matmul": ("device", "format", "threads", "n", "flop_per_s"),
    "stream": ("device", "kernel", "threads", "working_set_bytes", "bytes_per_s"),
    "latency": ("device", "working_set_bytes", "latency_s", "subtracted_s"),
    "gather": ("device", "working_set_bytes", "bytes_per_s"),
    "launch": ("device", "launch_s"),
}
FORMATS = {  # format -> type, largest n; those with a BLAS get far
    "fp64": (np.float64, 4096),
    "fp32": (np.float32, 4096),
    "fp16": (np.float16, 256),
    "int8": (np.int8, 256),
}
CUDA_TYPES = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "float8_e4m3fn"}
LINE_BYTES = 64
HOPS = 1024  # of a chase in one call


def row(section, *values):
    rounded = (float(f"{v:.4g}") if isinstance(v, float) else v for v in values)
    return section, dict(zip(ROWS[section], rounded, strict=True))


def skip(probe, reason):
    """A row that says why there is no other; paths are cut, for they may hold a user's name."""
    reason = re.sub(r"(?:\b[A-Za-z]:|~|(?<!\w))[/\\][^\s'\",;]*", "<path>", str(reason))
    return "skipped", {"probe": probe, "reason": reason[:200]}


def sizes(smallest_bytes, largest_bytes):
    """Powers of two times the smallest, then the largest itself, in whole lines."""
    doublings = int(np.log2(max(1.0, largest_bytes / smallest_bytes)))
    found = [smallest_bytes << k for k in range(doublings + 1)]
    top = largest_bytes // LINE_BYTES * LINE_BYTES
    return [*found, top] if top > 1.25 * found[-1] else found


# --- Time ----------------------------------------------------------------------------------------


def fastest_s(repeat, deadline, sample_s=0.02, total_s=0.15):
    """Seconds of one call: the fastest sample. `repeat(calls)` makes them, returns the seconds.

    Samples last `sample_s` or more, so that the clock's own grain and cost vanish.
    """
    calls, samples, best_s = 1, 0, float("inf")
    stop = min(deadline, time.monotonic() + total_s)
    while samples < 2 or time.monotonic() < stop:
        took_s = repeat(calls)
        best_s = min(best_s, took_s / calls)
        if time.monotonic() > deadline:
            break
        if took_s < sample_s:
            calls *= 2
        else:
            samples += 1
    return best_s


def repeated(call):
    def repeat(calls):
        start_s = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start_s

    return repeat


# --- Arithmetic ----------------------------------------------------------------------------------


def matmul_rows(threads, deadline, limit_bytes):
    """Each size until twice its expected time is more than is left."""
    if threads == 1:
        one = np.zeros(1)
        call = repeated(lambda: np.add(one, one, out=one))
        yield row("launch", "cpu", fastest_s(call, deadline))
    for name in FORMATS if threads == 1 else ("fp64", "fp32"):  # without a BLAS, no threads
        dtype, largest = FORMATS[name]
        seconds, stop = 0.0, (time.monotonic() + deadline) / 2  # formats ahead need time too
        for n in sizes(16, largest):
            if time.monotonic() + 16 * seconds > stop or 3 * n * n * dtype().nbytes > limit_bytes:
                yield skip(f"matmul {name}, n = {n} and up", "no time or memory left")
                break
            a, b = np.random.default_rng(0).integers(-2, 3, (2, n, n), np.int8).astype(dtype)
            seconds = fastest_s(repeated(partial(np.matmul, a, b, np.empty_like(a))), stop)
            yield row("matmul", "cpu", name, threads, n, 2 * n**3 / seconds)


# --- Bandwidth -----------------------------------------------------------------------------------


def read(window, out):
    np.maximum.reduce(window, axis=1, out=out)


def write(window, out):
    window.fill(1)


# A call sweeps its set many times, as rows that begin so many bytes after each other. A fill needs
# them apart: numpy would take rows that coincide for columns, and fill byte by byte.
KERNELS = {"read": (read, 0), "write": (write, LINE_BYTES)}


def stream_rows(threads, deadline, limit_bytes):
    """Largest set first: main memory is what a reader wants most, should time run out."""
    shares = sizes(16 << 10, limit_bytes * 3 // 4 // threads)
    memory = np.ones((threads, max(shares)), np.uint8)  # zeros may all be one page of the system's
    with ThreadPoolExecutor(threads) as pool:
        for size in reversed(shares):
            if time.monotonic() > deadline:
                yield skip(f"stream, {size * threads} bytes and down", "no time left")
                return
            for name, (kernel, step) in KERNELS.items():
                windows = [window(part[:size], step) for part in memory]
                seconds = fastest_s(together(pool, kernel, windows), deadline)
                bytes_per_s = sum(each.size for each in windows) / seconds
                yield row("stream", "cpu", name, threads, size * threads, bytes_per_s)


def window(part, step):
    """`part` as rows `step` bytes apart, each at least half of it, some MiB in all."""
    rows = (4 << 20) // part.size
    if step:
        rows = min(rows, part.size // step // 2)
    rows = max(1, rows)
    row_bytes = part.size - (rows - 1) * step
    return np.lib.stride_tricks.as_strided(part, (rows, row_bytes), (step, 1))


def together(pool, kernel, windows):
    """Each window swept by a thread of its own: numpy lets go of Python's lock meanwhile."""
    sweeps = [repeated(partial(kernel, each, np.empty(len(each), np.uint8))) for each in windows]

    def repeat(calls):
        start_s = time.perf_counter()
        list(pool.map(lambda sweep: sweep(calls), sweeps))
        return time.perf_counter() - start_s

    return repeat


# --- Latency -------------------------------------------------------------------------------------


def chase_rows(threads, deadline, limit_bytes):
    l1_step_s = chase_s(cycle(8 << 10)[0], deadline)
    s_per_byte = 0.0
    for size in sizes(64 << 10, limit_bytes * 2 // 3):  # the cycle's own order takes a quarter
        start_s = time.monotonic()
        if start_s + 1.5 * size * s_per_byte > deadline:
            yield skip(f"latency and gather, {size} bytes and up", "no time left")
            return
        chain, order = cycle(size)
        latency_s = max(0.0, chase_s(chain, deadline) - l1_step_s)
        yield row("latency", "cpu", size, latency_s, l1_step_s)
        yield row("gather", "cpu", size, LINE_BYTES / gather_s(chain, order, deadline))
        s_per_byte = (time.monotonic() - start_s) / size


def cycle(size_bytes):
    """One random cycle through every line: chain[i] is the place after i. And its order."""
    step = LINE_BYTES // np.dtype(np.intp).itemsize
    order = np.random.default_rng(0).permutation(size_bytes // LINE_BYTES).astype(np.intp)
    order *= step
    chain = np.empty(order.size * step, np.intp)  # not zeros, which come without huge pages
    chain[order] = np.roll(order, -1)
    return chain, order


def chase_s(chain, deadline):
    """Seconds of one hop i -> chain[i]."""
    return fastest_s(repeated(walker(chain)), deadline) / HOPS


def walker(chain):
    """A function that makes HOPS dependent hops inside numpy, and returns where it stands.

    Indices and output are one array, a place apart: each hop's result is the next hop's index. That
    `take` works through them in turn, on the array itself, is no promise of numpy's; we look.
    """
    path = np.zeros(HOPS + 1, np.intp)
    indices, output = path[:-1], path[1:]

    def walk():
        path[0] = path[-1]
        chain.take(indices, out=output, mode="clip")  # "raise" would work on a copy
        return path[-1]

    walk()
    if not np.array_equal(chain[indices], output):
        raise RuntimeError("this numpy takes from a copy, so that no hop waits for the one before")
    return walk


def gather_s(chain, order, deadline, block=8192):
    """Seconds of one load, when the places are known beforehand."""
    order = order if order.size >= block else np.resize(order, block)
    out = np.empty(block, np.intp)

    def gather():
        for start in range(0, order.size, block):
            indices = order[start : start + block]
            chain.take(indices, out=out[: indices.size], mode="clip")

    return fastest_s(repeated(gather), deadline) / order.size


# --- GPU -----------------------------------------------------------------------------------------


def on_cuda(rows, deadline, limit_bytes):
    """The GPU's name, then `rows(torch, deadline, limit_bytes)` within a quarter of its free memory."""
    import torch

    if not torch.cuda.is_available():
        yield skip("cuda", "torch finds no CUDA device")
        return
    yield "machine", {"gpu": torch.cuda.get_device_name(0)}
    yield from rows(torch, deadline, min(limit_bytes, torch.cuda.mem_get_info()[0] // 4))


def cuda_rows(threads, deadline, limit_bytes):
    yield from on_cuda(cuda_parts, deadline, limit_bytes)


def cuda_parts(torch, deadline, limit_bytes):
    parts = {"launch": cuda_launch(torch, deadline)}
    parts["copy"] = cuda_copies(torch, deadline, limit_bytes)
    for name in CUDA_TYPES:
        parts[f"matmul {name}"] = cuda_matmuls(torch, name, deadline, limit_bytes)
    for part, rows in parts.items():
        try:
            yield from rows
        except Exception as error:  # a torch or a GPU without this format; the others go on
            yield skip(f"cuda {part}", f"{type(error).__name__}: {error}")


def cuda_repeated(torch, call):
    """Seconds between two marks on the GPU's own clock: launches that overlap work cost nothing."""

    def repeat(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            call()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3

    repeat(1)  # compiles, picks an algorithm, allocates
    return repeat


def cuda_launch(torch, deadline):
    """Wall-clock seconds a kernel, back to back: what a chain of tiny operations runs at."""
    one = torch.zeros(1, device="cuda")

    def launch():
        for _ in range(1000):
            one.add_(1)
        torch.cuda.synchronize()

    launch()  # compiles
    yield row("launch", "cuda", fastest_s(repeated(launch), deadline) / 1000)


def cuda_copies(torch, deadline, limit_bytes):
    for size in sizes(1 << 20, limit_bytes // 2):
        if time.monotonic() > deadline:
            yield skip(f"cuda copy, {2 * size} bytes and up", "no time left")
            return
        source = torch.zeros(size, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)
        seconds = fastest_s(cuda_repeated(torch, partial(target.copy_, source)), deadline)
        yield row("stream", "cuda", "copy", None, 2 * size, 2 * size / seconds)


def cuda_matmuls(torch, name, deadline, limit_bytes):
    if name == "tf32" and torch.cuda.get_device_capability()[0] < 8:
        raise RuntimeError("this GPU has no tf32")  # torch would run fp32 and not say so
    for n in (256, 1024, 2048, 4096, 8192):
        if time.monotonic() > deadline or 12 * n * n > limit_bytes:
            yield skip(f"cuda matmul {name}, n = {n} and up", "no time or memory left")
            return
        seconds = fastest_s(cuda_repeated(torch, cuda_product(torch, name, n, n, n)), deadline)
        yield row("matmul", "cuda", name, None, n, 2 * n**3 / seconds)


def cuda_product(torch, name, m, n, k):
    """(m, k) times weights kept as a linear layer keeps them, (n, k)."""
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    dtype = getattr(torch, CUDA_TYPES[name])
    a, weights = (torch.randn(rows, k, device="cuda").to(dtype) for rows in (m, n))
    if name != "fp8":
        return partial(torch.matmul, a, weights.t())
    one = torch.ones((), device="cuda")  # fp8 wants the right side column by column, as it is here
    return partial(torch._scaled_mm, a, weights.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


PROBES = {"matmul": matmul_rows, "stream": stream_rows, "chase": chase_rows, "cuda": cuda_rows}


def main(probe, threads, seconds, limit_bytes, table=PROBES):
    deadline = time.monotonic() + float(seconds)
    for found in table[probe](int(threads), deadline, int(limit_bytes)):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
