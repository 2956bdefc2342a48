"""The kernels that a sweep times, as cases by shape and format: a CPU's through numpy, a GPU's through torch.

What is counted:

matmul       2 m n k FLOP; weights as a linear layer keeps them, (n, k). GB/s: each matrix once.
attention    forward: 4 FLOP for each pair of positions and element of a head, half of them when
             causal. GB/s: queries, keys, values and result once. numpy writes its scores out.
elementwise  GB/s: least traffic, each operand once, however many passes are made (numpy's layer
             norm makes several). `stream copy` counts what is read and what is written, a `memcpy`
             between host and device counts its bytes once.
launch       seconds of a call that does nearly nothing.

Operands stay where they are from call to call, so small ones sit in caches: `bytes` says how small.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bottlenecks.yours import machine, probes
from bottlenecks.yours.probes import CUDA_TYPES, FORMATS

SIDES = (128, 256, 512, 1024, 2048, 4096, 8192)
SKINNY = (1, 8, 64, 512)
LAYERS = {  # of GPT-2 and of Llama 3 8B: name -> k, n
    "matmul (MLP up projection)": (768, 3072),
    "matmul (MLP down projection)": (3072, 768),
    "matmul (attention out projection)": (4096, 4096),
    "matmul (qkv projection)": (4096, 6144),
    "matmul (down projection)": (14336, 4096),
    "matmul (gate+up projection)": (4096, 28672),
}
HEADS = ((32, 64), (16, 128))  # heads, head_dim: 2048 wide, as in the papers of FlashAttention
CUDA_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1}


class Case(NamedTuple):
    """A row to be: its columns, its work, the memory it holds, what makes repeat(calls) -> seconds."""

    columns: dict
    flop: float
    moved_bytes: int
    held_bytes: int
    make: Callable
    note: str = ""


def matmul_case(kernel, format, m, n, k, element_bytes, result_bytes, make):
    moved = element_bytes * (m * k + k * n) + result_bytes * m * n
    held = moved + 4 * max(m, n) * k  # as fp32 or as a tile, before it is what it will be
    columns = {"kernel": kernel, "dtype": format, "m": m, "n": n, "k": k}
    return Case(columns, 2 * m * n * k, moved, held, make)


def attention_case(format, element_bytes, shape, causal, scores_bytes, make):
    batch, heads, rows, keys, head_dim = shape
    moved = 2 * element_bytes * batch * heads * (rows + keys) * head_dim
    flop = 4 * batch * heads * rows * keys * head_dim * (0.5 if causal else 1)
    columns = {
        "kernel": "attention fwd",
        "dtype": format,
        "batch": batch,
        "seq_len": rows,
        "kv_len": keys,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": head_dim,
        "causal": int(causal),
    }
    held = moved + scores_bytes * batch * heads * rows * keys
    return Case(columns, flop, moved, held, make)


def attention_shapes(tokens):
    """(batch, heads, queries, keys, head_dim): prefills of so many tokens in all, then decoding."""
    for heads, head_dim in HEADS:
        for length in (tokens >> 4, tokens >> 3, tokens >> 2, tokens >> 1, tokens):
            yield tokens // length, heads, length, length, head_dim
        for batch, keys in ((1, 1024), (1, 16384), (16, 1024), (16, 4096)):
            yield batch, heads, 1, keys, head_dim


def elementwise_cases(format, element_bytes, make):
    passes = {"residual add": 3, "scale": 2, "layer norm": 2}
    for m in (16, 256, 4096):
        for name, many in passes.items():
            columns = {"kernel": f"elementwise {name}", "dtype": format, "m": m, "n": 4096}
            moved = many * element_bytes * m * 4096
            yield Case(columns, 0, moved, 2 * moved, partial(make, name, m))


# --- CPU, through numpy --------------------------------------------------------------------------


def cpu_sweeps(pool, threads, limit_bytes):
    """(share of the time, cases), the short ones first."""
    return [
        (1, cpu_launch()),
        (4, cpu_copies(pool, threads, limit_bytes)),
        (4, elementwise_cases("fp32", 4, partial(cpu_elementwise, pool, threads))),
        (10, cpu_squares()),
        (8, cpu_attention()),
        (12, cpu_layers()),
    ]


def by_numpy(threads):
    blas = machine.describe()["blas"]
    return f"numpy {np.__version__}, {blas}, {threads} thread{'s' if threads > 1 else ''}"


def filled(dtype, *shape):
    """Some thousand random numbers again and again: to draw them all would outlast the product."""
    return np.resize(np.random.default_rng(0).integers(-2, 3, 4096).astype(dtype), shape)


def cpu_launch():
    one = np.zeros(1)
    columns = {"kernel": "launch (smallest call)", "dtype": "fp64", "implementation": by_numpy(1)}
    yield Case(columns, 0, 0, 0, partial(probes.repeated, partial(np.add, one, one, out=one)))


def cpu_squares():
    for n in SIDES:  # small ones of every format first: time runs out among the large
        for name, (dtype, largest) in FORMATS.items():
            if n <= largest or name in ("fp32", "fp64"):
                size = dtype().nbytes
                make = partial(cpu_product, dtype, n, n, n)
                case = matmul_case("matmul", name, n, n, n, size, size, make)
                yield case if name in ("fp32", "fp64") else case._replace(note="without a BLAS")


def cpu_layers():
    for kernel, (k, n) in LAYERS.items():
        for m in SKINNY:
            yield matmul_case(kernel, "fp32", m, n, k, 4, 4, partial(cpu_product, np.float32, m, n, k))


def cpu_product(dtype, m, n, k):
    a, weights, out = filled(dtype, m, k), filled(dtype, n, k), np.empty((m, n), dtype)
    return probes.repeated(partial(np.matmul, a, weights.T, out))


def cpu_attention():
    for shape in attention_shapes(2048):
        yield attention_case("fp32", 4, shape, False, 4, partial(cpu_attend, *shape))


def cpu_attend(batch, heads, rows, keys, head_dim):
    q = filled(np.float32, batch, heads, rows, head_dim)
    k, v = (filled(np.float32, batch, heads, keys, head_dim) for _ in range(2))
    q *= head_dim**-0.5
    scores, out = np.empty((batch, heads, rows, keys), np.float32), np.empty_like(q)

    def attend():
        np.matmul(q, k.swapaxes(-1, -2), out=scores)
        np.subtract(scores, scores.max(-1, keepdims=True), out=scores)
        np.exp(scores, out=scores)
        np.divide(scores, scores.sum(-1, keepdims=True), out=scores)
        np.matmul(scores, v, out=out)

    return probes.repeated(attend)


def cpu_elementwise(pool, threads, name, m):
    def kernel(part, _):
        x, y, out = part
        if name == "residual add":
            np.add(x, y, out=out)
        elif name == "scale":
            np.multiply(x, np.float32(0.5), out=out)
        else:
            np.subtract(x, x.mean(-1, keepdims=True), out=out)
            out *= (np.einsum("ij,ij->i", out, out)[:, None] / x.shape[-1] + 1e-5) ** -0.5

    arrays = [np.array_split(filled(np.float32, m, 4096), threads) for _ in range(3)]
    return probes.together(pool, kernel, list(zip(*arrays, strict=True)))


def cpu_copies(pool, threads, limit_bytes):
    for size in [16 << 10 << 2 * i for i in range(9) if 16 << 10 << 2 * i <= limit_bytes // 2]:
        for many in sorted({1, threads}):
            columns = {"kernel": "stream copy", "implementation": by_numpy(many)}
            yield Case(columns, 0, 2 * size, 2 * size, partial(cpu_copy, pool, many, size))


def cpu_copy(pool, threads, size):
    parts = np.array_split(np.ones((2, size), np.uint8), threads, axis=1)
    return probes.together(pool, lambda part, _: np.copyto(part[1], part[0]), parts)


# --- GPU, through torch --------------------------------------------------------------------------


def cuda_sweeps(torch, limit_bytes):
    """(share of the time, cases), the short ones first."""
    squares = [("matmul", n, n, n) for n in SIDES]
    layers = [(name, m, n, k) for name, (k, n) in LAYERS.items() for m in SKINNY]
    return [
        (1, cuda_launch(torch)),
        (3, cuda_copies(torch, limit_bytes)),
        (3, cuda_elementwise(torch)),
        (8, cuda_matmuls(torch, squares)),
        (8, cuda_attention(torch)),
        (10, cuda_matmuls(torch, layers)),
    ]


def by_torch(torch):
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}"


def cuda_timed(torch, build):
    """What `build` makes, timed by the GPU's clock, in memory that the case before has given back."""
    torch.cuda.empty_cache()
    return probes.cuda_repeated(torch, build())


def cuda_launch(torch):
    def launch():
        return torch.zeros(1, device="cuda")

    columns = {"kernel": "launch (smallest kernel, back to back)", "dtype": "fp32"}
    yield Case(columns, 0, 0, 0, lambda: cuda_timed(torch, lambda: partial(launch().add_, 1)))


def cuda_matmuls(torch, shapes):
    new = torch.cuda.get_device_capability()[0] >= 8
    formats = [name for name in CUDA_TYPES if new or name != "tf32"]  # an old one would run fp32
    for kernel, m, n, k in shapes:
        for name in formats:
            size = CUDA_BYTES[name]
            build = partial(probes.cuda_product, torch, name, m, n, k)
            yield matmul_case(kernel, name, m, n, k, size, max(2, size), partial(cuda_timed, torch, build))


def cuda_attention(torch):
    def build(name, shape, causal):
        batch, heads, rows, keys, head_dim = shape
        dtype = getattr(torch, CUDA_TYPES[name])
        q, k, v = (
            torch.randn(batch, heads, length, head_dim, device="cuda", dtype=dtype) for length in (rows, keys, keys)
        )
        attend = torch.nn.functional.scaled_dot_product_attention
        return partial(attend, q, k, v, is_causal=causal)

    for shape in attention_shapes(16384):
        for name in ("fp16", "bf16"):
            for causal in (False, True) if shape[2] > 1 else (False,):
                make = partial(cuda_timed, torch, partial(build, name, shape, causal))
                case = attention_case(name, 2, shape, causal, 0, make)
                yield case._replace(note="scaled_dot_product_attention, the backend of torch's choice")


def cuda_elementwise(torch):
    def build(dtype, name, m):
        x, y = (torch.randn(m, 4096, device="cuda").to(dtype) for _ in range(2))
        if name == "layer norm":
            return partial(torch.nn.functional.layer_norm, x, (4096,))
        return partial(torch.add, x, y) if name == "residual add" else partial(torch.mul, x, 0.5)

    for name in ("fp32", "bf16"):
        dtype = getattr(torch, CUDA_TYPES[name])

        def make(kernel, m, dtype=dtype):
            return cuda_timed(torch, partial(build, dtype, kernel, m))

        yield from elementwise_cases(name, CUDA_BYTES[name], make)


def cuda_copies(torch, limit_bytes):
    def build(size, source, target):
        source, target = (torch.zeros(size, dtype=torch.uint8, **place) for place in (source, target))
        return partial(target.copy_, source, non_blocking=True)

    device, pinned, plain = {"device": "cuda"}, {"pin_memory": True}, {}
    kinds = {
        "stream copy": (2, device, device, ""),
        "memcpy host to device": (1, pinned, device, "pinned host memory"),
        "memcpy device to host": (1, device, pinned, "pinned host memory"),
        "memcpy host to device (pageable)": (1, plain, device, "pageable host memory"),
    }
    for size in [64 << 10 << 2 * i for i in range(8) if 64 << 10 << 2 * i <= limit_bytes // 2]:
        for kernel, (count, source, target, note) in kinds.items():
            make = partial(cuda_timed, torch, partial(build, size, source, target))
            yield Case({"kernel": kernel}, 0, count * size, 2 * size, make, note)
