"""The probes: that they count what they say and lose nothing. How fast a machine is, is not tested."""

import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from bottlenecks.yours import probes as p

LONG_S = 600.0


def soon(seconds):
    return time.monotonic() + seconds


def test_main_prints_rows_as_lines(monkeypatch, capsys):
    asked = []

    def toy(threads, deadline, limit_bytes):
        asked.append((threads, deadline > time.monotonic(), limit_bytes))
        yield p.row("launch", "cpu", 1.23456e-6)
        yield p.skip("toy", "enough")

    monkeypatch.setitem(p.PROBES, "toy", toy)
    p.main("toy", "2", "5.5", "1024")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["launch", {"device": "cpu", "launch_s": 1.235e-6}]  # four digits
    assert lines[1] == ["skipped", {"probe": "toy", "reason": "enough"}]
    assert asked == [(2, True, 1024)]


def test_a_reason_has_no_path():
    _, row = p.skip("x", "No file '/home/ada/x.so', C:\\Users\\ada or ~/y at 3 GB/s")
    assert "ada" not in row["reason"] and "~" not in row["reason"]
    assert "3 GB/s" in row["reason"]


def test_cycle_is_one_single_cycle_through_every_line():
    chain, order = p.cycle(64 * 1000)
    at, seen = 0, []
    for _ in range(1000):
        seen.append(at)
        at = int(chain[at])
    assert at == 0 and sorted(seen) == sorted(order.tolist())
    assert np.array_equal(np.sort(order), np.arange(1000) * p.LINE_BYTES // chain.itemsize)


def test_a_walk_makes_its_hops():
    chain, _ = p.cycle(8 * p.HOPS * p.LINE_BYTES)
    at = 0
    for _ in range(2 * p.HOPS):
        at = int(chain[at])
    assert p.walker(chain)() == at  # once when it tries itself, once when called


def test_a_numpy_that_copies_is_noticed():
    class Copying(np.ndarray):
        def take(self, indices, out=None, mode=None):
            out[:] = np.asarray(self)[indices.copy()]

    with pytest.raises(RuntimeError, match="copy"):
        p.walker(p.cycle(8 << 10)[0].view(Copying))


@pytest.mark.parametrize("size", [1024, 16 << 10, 100_032, 8 << 20])
@pytest.mark.parametrize("step", [0, 64])
def test_window_covers_its_part_and_no_more(size, step):
    part = np.zeros(size + 64, np.uint8)
    rows = p.window(part[:size], step)
    rows.fill(1)
    assert part[:size].all() and not part[size:].any()
    assert rows.shape[1] >= size // 2


def test_sizes_double_and_end_at_the_top():
    assert p.sizes(16, 64) == [16, 32, 64]
    assert p.sizes(64, 448) == [64, 128, 256, 448]
    assert p.sizes(64, 10) == [64]


@pytest.fixture
def one_sample(monkeypatch):
    """Each measurement is one call, so that a test lasts as long as its work."""
    monkeypatch.setattr(p, "fastest_s", lambda repeat, deadline: repeat(1))


def test_matmul_goes_up_in_each_format_until_memory_ends(one_sample):
    found = list(p.matmul_rows(1, soon(LONG_S), 1 << 20))
    assert found[0][0] == "launch"
    sides = {name: [] for name in p.FORMATS}
    for section, row in found:
        if section == "matmul":
            sides[row["format"]].append(row["n"])
    assert sides["fp64"] == [16, 32, 64, 128]  # 3 x 8 bytes x 256^2 is more than a MiB
    assert sides["fp32"] == sides["fp16"] == sides["int8"] == [16, 32, 64, 128, 256]
    skipped = [row["probe"] for section, row in found if section == "skipped"]
    assert skipped == ["matmul fp64, n = 256 and up", "matmul fp32, n = 512 and up"]


def test_chase_gives_latency_and_gather_of_each_size(one_sample):
    found = list(p.chase_rows(1, soon(LONG_S), 1 << 20))
    assert [section for section, _ in found] == ["latency", "gather"] * (len(found) // 2)
    assert [row["working_set_bytes"] for _, row in found[::2]] == p.sizes(64 << 10, (1 << 20) * 2 // 3)


def test_stream_of_two_threads_counts_both_shares(one_sample):
    rows = [row for _, row in p.stream_rows(2, soon(LONG_S), 1 << 20)]
    assert max(row["working_set_bytes"] for row in rows) == 768 << 10
    assert {row["threads"] for row in rows} == {2}


def test_fastest_is_the_least_per_call():
    took_s = iter([0.004, 0.010, 0.012, 0.040, 0.048])  # of 1, 2, 4, 8, 8 calls
    seen = []

    def repeat(calls):
        seen.append(calls)
        return next(took_s)

    assert p.fastest_s(repeat, deadline=soon(LONG_S), total_s=0.0) == 0.012 / 4
    assert seen == [1, 2, 4, 8, 8]


# --- GPU, with a torch made of paper ---


class Paper:
    """Any tensor, event or dtype: it takes every call and knows no arithmetic."""

    def __getattr__(self, name):
        return lambda *args, **kw: 20.0 if name == "elapsed_time" else self


def paper_torch(**cuda):
    known = dict(
        is_available=lambda: True,
        get_device_name=lambda index: "Paper GPU",
        get_device_capability=lambda: (9, 0),
        mem_get_info=lambda: (1 << 30, 1 << 31),
        Event=lambda enable_timing: Paper(),
        synchronize=lambda: None,
    )
    names = "zeros empty_like randn matmul ones _scaled_mm set_float32_matmul_precision".split()
    return SimpleNamespace(
        **{name: lambda *args, **kw: Paper() for name in names},
        **{kind: Paper() for kind in (*p.CUDA_TYPES.values(), "uint8")},
        cuda=SimpleNamespace(**known | cuda),
    )


def cuda_rows(monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    result = {section: [] for section in ("machine", "skipped", *p.ROWS)}
    for section, row in p.cuda_rows(1, soon(LONG_S), 64 << 20):
        result[section].append(row)
    return result


def test_cuda_measures_every_format(monkeypatch, one_sample):
    result = cuda_rows(monkeypatch, paper_torch())
    assert result["machine"] == [{"gpu": "Paper GPU"}]
    assert {row["format"] for row in result["matmul"]} == set(p.CUDA_TYPES)
    assert {row["kernel"] for row in result["stream"]} == {"copy"}
    assert result["launch"][0]["device"] == "cuda"
    # 20 ms by the GPU's clock for one product of n = 2048
    largest = max(result["matmul"], key=lambda row: row["n"])
    assert largest["flop_per_s"] == pytest.approx(2 * 2048**3 / 0.020, rel=1e-3)


def test_cuda_skips_what_this_gpu_has_not(monkeypatch, one_sample):
    torch = paper_torch(get_device_capability=lambda: (7, 0))
    del torch._scaled_mm
    result = cuda_rows(monkeypatch, torch)
    skipped = {row["probe"]: row["reason"] for row in result["skipped"]}
    assert "no tf32" in skipped["cuda matmul tf32"] and "_scaled_mm" in skipped["cuda matmul fp8"]
    assert {row["format"] for row in result["matmul"]} == {"fp32", "bf16", "fp16"}


def test_torch_without_a_gpu(monkeypatch):
    result = cuda_rows(monkeypatch, paper_torch(is_available=lambda: False))
    assert result["skipped"] == [{"probe": "cuda", "reason": "torch finds no CUDA device"}]
