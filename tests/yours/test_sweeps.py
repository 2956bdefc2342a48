"""Rows for the corpus: their columns, what they count, and that none is lost. Not how fast."""

import csv
import os
import platform
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_probes import Paper, paper_torch

from bottlenecks import __main__ as command
from bottlenecks import data
from bottlenecks.yours import kernels, probes
from bottlenecks.yours import sweeps as s

LONG_S = 600.0


def read(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of_cases(cases, limit_bytes=1 << 30, seconds=LONG_S):
    return list(s.rows([(1, cases)], time.monotonic() + seconds, limit_bytes, "toy 1.0"))


@pytest.fixture
def short(monkeypatch):
    """Each timing is one call."""
    monkeypatch.setattr(s, "SAMPLE_S", 1e-9)
    monkeypatch.setattr(s, "TOTAL_S", 0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A short sweep with rows: on a machine that finds none in so little time, a longer one."""
    told, out = [], tmp_path_factory.mktemp("sweep") / "mine.csv"
    for budget_s in (3.0, 12.0, 48.0, 192.0):
        told.clear()
        done = s.sweep(out, budget_s, 8 << 20, progress=lambda *what: told.append(what))
        if done["rows"]:
            return done | {"budget_s": budget_s}, read(out), told
    pytest.fail(f"no row in {budget_s} s: {done['skipped']}")


# --- The run ---


def test_columns_are_those_of_the_corpus(tiny):
    with (data.FOLDER / "kernels_measured.csv").open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert list(s.COLUMNS) == [column for column in header if column in s.COLUMNS]
    assert tuple(tiny[1][0]) == s.COLUMNS


def test_every_sweep_has_rows_whose_rates_follow_from_shape_and_time(short):
    found = s.cpu_rows(2, time.monotonic() + LONG_S, 32 << 20)
    rows = [row for section, row in found if section == "kernels"]
    kinds = {row["kernel"].split()[0] for row in rows}
    assert kinds == {"launch", "stream", "elementwise", "matmul", "attention"}
    assert {row["dtype"] for row in rows if row["kernel"] == "matmul"} == set(probes.FORMATS)
    for row in rows:
        seconds = float(row["time_us"]) * 1e-6
        assert seconds > 0 and set(row) <= set(s.COLUMNS)
        if row["GBps"]:  # four digits are kept
            assert float(row["GBps"]) * 1e9 * seconds == pytest.approx(row["bytes"], rel=2e-3)
        if row["kernel"].startswith("matmul"):
            flop = 2 * row["m"] * row["n"] * row["k"]
            assert float(row["tflops"]) * 1e12 * seconds == pytest.approx(flop, rel=2e-3)


def test_a_row_says_where_it_comes_from(tiny):
    assert tiny[0]["rows"] == len(tiny[1]) > 0 and not tiny[0]["stopped"]
    for row in tiny[1]:
        assert row["chip"] and row["implementation"].startswith(f"numpy {np.__version__}")
        assert f"bottlenecks measure --corpus OUT.csv --seconds {tiny[0]['budget_s']:g}" in row["source"]
        assert int(row["notes"].split(" timings")[0].split()[-1]) >= 5


def test_nothing_personal_is_written(tiny):
    text = tiny[0]["path"].read_text(encoding="utf-8")
    for secret in (str(Path.home()), platform.node(), os.getcwd(), sys.prefix, "mine.csv"):
        if len(secret) > 3:
            assert secret not in text


def test_memory_and_progress_stay_in_bounds(tiny):
    done, rows, told = tiny
    assert max(int(row["bytes"] or 0) for row in rows) <= 8 << 20
    assert any("more memory" in reason for reason in done["skipped"])
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and told[-1] == (1.0, "done")


def interrupted(row):
    yield "kernels", row
    yield "skipped", {"probe": "toy", "reason": "no time left"}
    raise KeyboardInterrupt


def test_an_interrupted_run_keeps_its_rows(tmp_path, monkeypatch, capsys):
    row = {"kernel": "toy", "time_us": "2", "doubt": s.BUSY}
    monkeypatch.setattr(s, "_found", lambda *limits: interrupted(row))
    out = tmp_path / "mine.csv"
    assert command.main(["measure", "--corpus", str(out)]) == 130
    assert [each["kernel"] for each in read(out)] == ["toy"]
    told = capsys.readouterr().out
    assert "skipped toy: no time left" in told and f"1 rows in {out}" in told and "again" in told


def test_a_row_is_in_the_file_as_soon_as_it_is_found(tmp_path, monkeypatch):
    out, seen = tmp_path / "mine.csv", []

    def found(*limits):
        for _ in range(2):
            yield "kernels", {"kernel": "toy", "doubt": ""}
            seen.append(len(read(out)))

    monkeypatch.setattr(s, "_found", found)
    s.sweep(out)
    assert seen == [1, 2]


def test_a_file_without_rows_is_taken_away(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(s, "_found", lambda *limits: iter(()))
    assert command.main(["measure", "--corpus", str(tmp_path / "mine.csv")]) == 1
    assert "nothing was measured" in capsys.readouterr().out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--corpus", "old.csv"], "old.csv is there already and is not written over"),
        (["--corpus", "nowhere/mine.csv"], "cannot write nowhere"),
        (["--corpus", "mine.csv", "--seconds", "1"], "must be from 5 to 3600, got 1.0"),
        (["--corpus", "mine.csv", "--seconds", "nan"], "--seconds must be finite"),
        (["--corpus", "mine.csv", "--json"], "leave out --json"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_text("precious")
    monkeypatch.setattr(s, "_found", lambda *limits: pytest.fail("measured"))
    assert command.main(["measure", *argv]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "precious"


@pytest.mark.parametrize("bad", [{"budget_s": 0}, {"max_bytes": "all"}])
def test_bad_arguments_are_named(tmp_path, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        s.sweep(tmp_path / "mine.csv", **bad)
    assert not list(tmp_path.iterdir())


# --- One row ---


def test_a_timing_is_long_enough_and_there_are_five():
    took_s = iter([90e-3, 90e-3, 4e-3, 8e-3, 8e-3, 16e-3, 16e-3] + [24e-3] * 9)  # the first calls are odd ones
    calls, found, _ = s.timings(lambda calls: next(took_s), time.monotonic() + LONG_S)
    assert calls == 4 and found == [6e-3] * 5  # 24 ms / 4; five of them are more than 0.1 s


def test_without_time_for_five_there_is_no_row(short):
    case = kernels.Case({"kernel": "toy"}, 0, 0, 0, lambda: lambda calls: 1.0)
    assert of_cases([case], seconds=4.0) == [s.skip("toy", "no time left")]


def test_a_product_that_would_outlast_its_sweep_is_not_begun(short):
    def case(n, make):
        return kernels.matmul_case("toy", "fp32", n, n, n, 4, 4, make)

    slow = case(1024, lambda: lambda calls: 2.0 * calls)
    larger = case(4096, lambda: pytest.fail("begun"))  # 64 times two seconds
    found = of_cases([slow, larger])
    assert [section for section, _ in found] == ["kernels", "skipped"]


def test_what_fails_is_skipped_and_the_others_go_on(short):
    def broken():
        raise RuntimeError("no such kernel in /home/ada/lib.so")

    good = kernels.Case({"kernel": "good"}, 0, 3000, 0, lambda: lambda calls: 1e-6 * calls)
    section, row = of_cases([good._replace(columns={"kernel": "bad"}, make=broken), good])[0]
    assert section == "skipped" and "no such kernel" in row["reason"] and "ada" not in str(row)
    assert len(of_cases([good])) == 1


def test_a_busy_machine_is_written_into_the_row():
    case = kernels.Case({"kernel": "toy"}, 0, 0, 0, None)
    assert s.BUSY == s.finished(case, 1, [1.0] * 5, 200, "toy")["doubt"]
    assert s.finished(case, 1, [1.0] * 5, 20, "toy")["doubt"] == ""


# --- What is counted ---


def test_counts_of_a_product():
    case = kernels.matmul_case("toy", "fp8", 8, 4096, 1024, 1, 2, None)
    assert case.flop == 2 * 8 * 4096 * 1024
    assert case.moved_bytes == 8 * 1024 + 1024 * 4096 + 2 * 8 * 4096  # the result has 16 bits


def test_counts_of_attention():
    case = kernels.attention_case("fp16", 2, (2, 16, 512, 512, 128), True, 0, None)
    assert case.flop == 4 * 2 * 16 * 512 * 512 * 128 / 2
    assert case.moved_bytes == 4 * 2 * 2 * 16 * 512 * 128  # q, k, v, result; two bytes each
    decode = kernels.attention_case("fp16", 2, (1, 16, 1, 1024, 128), False, 0, None)
    assert decode.moved_bytes == 2 * 2 * 16 * (1 + 1024) * 128
    assert decode.columns["seq_len"] == 1 and decode.columns["kv_len"] == 1024


def test_attention_of_numpy_is_attention(monkeypatch):
    seen = []
    monkeypatch.setattr(probes, "repeated", seen.append)
    rng = np.random.default_rng(1)
    made = [rng.standard_normal((1, 2, n, 4)).astype(np.float32) for n in (3, 5, 5)]
    arrays = iter([each.copy() for each in made])
    monkeypatch.setattr(kernels, "filled", lambda *shape: next(arrays))
    kernels.cpu_attend(1, 2, 3, 5, 4)
    cells = dict(zip(seen[0].__code__.co_freevars, (c.cell_contents for c in seen[0].__closure__), strict=True))
    seen[0]()
    q, k, v = (each.astype(float) for each in made)
    weights = np.exp(np.einsum("bhqd,bhkd->bhqk", q, k) / 2)  # the root of 4
    expected = np.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdims=True), v)
    assert np.allclose(cells["out"], expected, atol=1e-5)


# --- GPU, with a torch made of paper: every call takes 20 ms by its clock ---


def cuda_rows(monkeypatch, **cuda):
    torch = paper_torch(**dict(empty_cache=lambda: None, mem_get_info=lambda: (8 << 30, 8 << 30)) | cuda)
    for name in ("add", "mul", "empty"):
        setattr(torch, name, lambda *args, **kw: Paper())
    torch.nn = SimpleNamespace(functional=Paper())
    torch.__version__, torch.version = "9.9", SimpleNamespace(cuda="99.9")
    monkeypatch.setitem(sys.modules, "torch", torch)
    return list(s.cuda_rows(1, time.monotonic() + LONG_S, 1 << 30))


def test_cuda_rows(monkeypatch):
    found = cuda_rows(monkeypatch)
    assert found[0] == ("machine", {"gpu": "Paper GPU"})
    rows = [row for section, row in found if section == "kernels"]
    assert {row["implementation"] for row in rows} == {"torch 9.9, CUDA 99.9"}
    assert {"fp32", "tf32", "bf16", "fp16", "fp8"} == {row["dtype"] for row in rows if row["kernel"] == "matmul"}
    (cube,) = (r for r in rows if r["kernel"] == "matmul" and (r["dtype"], r["n"]) == ("bf16", 512))
    assert cube["time_us"] == "2e+04" and float(cube["tflops"]) == pytest.approx(2 * 512**3 / 0.020 / 1e12, rel=1e-3)
    assert {row["causal"] for row in rows if row["kernel"] == "attention fwd"} == {0, 1}
    names = {row["kernel"] for row in rows}
    assert {"stream copy", "memcpy host to device", "memcpy device to host"} < names
    assert {"elementwise residual add", "elementwise scale", "elementwise layer norm"} < names
    assert all(set(row) <= set(s.COLUMNS) for row in rows)


def test_an_old_gpu_has_no_tf32(monkeypatch):
    found = cuda_rows(monkeypatch, get_device_capability=lambda: (7, 0))
    assert "tf32" not in {row.get("dtype") for _, row in found}


def test_torch_without_a_gpu(monkeypatch):
    assert cuda_rows(monkeypatch, is_available=lambda: False) == [s.skip("cuda", "torch finds no CUDA device")]
