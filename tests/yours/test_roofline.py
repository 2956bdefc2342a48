"""Measuring a machine: that nothing breaks and nothing is lost. How fast it is, is not tested."""

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bottlenecks.yours import roofline as m
from bottlenecks.yours.probes import ROWS

LONG_S = 600.0


@pytest.fixture(scope="module")
def quick():
    told = []
    result = m.measure(2.0, 8 << 20, progress=lambda fraction, text: told.append((fraction, text)))
    return result, told


@pytest.fixture
def made():
    """A small result whose every maximum is known."""
    stream = [
        ("read", 1, 16 << 10, 90e9),
        ("read", 2, 32 << 10, 180e9),
        ("read", 2, 1 << 20, 100e9),
        ("write", 2, 1 << 30, 10e9),
        ("read", 2, 1 << 30, 20e9),
        ("read", 1, 1 << 30, 15e9),
    ]
    matmul = [("fp64", 1, 64, 5e9), ("fp64", 2, 512, 80e9), ("fp64", 2, 1024, 70e9)]
    matmul += [("fp32", 1, 64, 9e9)]
    return {
        "schema": 1,
        "measured_at": "2025-03-04T05:06:07Z",
        "version": "0",
        "took_s": 1.0,
        "machine": {"cpu": "Toy CPU", "gpu": "Toy GPU", "cores": 2, "caches_bytes": {"L1d": 32 << 10, "L2": 1 << 20}},
        "matmul": [dict(zip(ROWS["matmul"], ("cpu", *row), strict=True)) for row in matmul],
        "stream": [dict(zip(ROWS["stream"], ("cpu", *row), strict=True)) for row in stream],
        "latency": [{"device": "cpu", "working_set_bytes": 1 << 30, "latency_s": 100e-9, "subtracted_s": 1e-9}],
        "gather": [{"device": "cpu", "working_set_bytes": 1 << 30, "bytes_per_s": 6.4e9}],
        "launch": [{"device": "cpu", "launch_s": 1e-6}],
        "skipped": [{"probe": "cuda", "reason": "torch is not installed"}],
    }


# --- The run ---


def test_a_short_run_has_the_whole_schema(quick):
    result, _ = quick
    json.dumps(result, allow_nan=False)
    for section, keys in ({"skipped": ("probe", "reason")} | ROWS).items():
        assert all(tuple(row) == keys for row in result[section])
    assert "measured " + result["measured_at"] in m.summary(result)
    assert result["matmul"] or result["skipped"]  # which of them is a matter of speed
    assert {"cpu", "gpu", "cores", "caches_bytes", "blas"} <= result["machine"].keys()


def test_progress_rises_to_one(quick):
    fractions = [fraction for fraction, _ in quick[1]]
    assert fractions == sorted(fractions)
    assert quick[1][-1] == (1.0, "done") and fractions.count(1.0) == 1  # the bar ends one line


def test_memory_stays_below_the_limit(quick):
    assert all(row["working_set_bytes"] <= 8 << 20 for row in quick[0]["stream"])


def test_nothing_personal_is_kept(quick):
    text = json.dumps(quick[0])
    for secret in (str(Path.home()), platform.node(), os.getcwd(), sys.prefix):
        if len(secret) > 3:
            assert secret not in text


def test_no_time_at_all_still_returns(monkeypatch):
    monkeypatch.setattr(m, "_start", lambda *task: pytest.fail("started a probe without time"))
    result = m.measure(1e-9)
    assert "measured" in m.summary(result)
    assert {"no time left"} <= {row["reason"] for row in result["skipped"]}


@pytest.mark.parametrize("bad", [{"budget_s": 0}, {"budget_s": "long"}, {"max_bytes": -1}])
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        m.measure(**bad)


def test_import_costs_numpy_only():
    code = (
        "import sys, bottlenecks.yours.roofline; "
        "print([n for n in ('platformdirs', 'torch', 'matplotlib') if n in sys.modules])"
    )
    root = str(Path(m.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root}, capture_output=True)
    assert done.stdout.strip() == b"[]", done.stderr


# --- One probe in a process of its own ---


def test_child_prints_one_json_list_a_line():
    child = m._start("matmul", 1, 0.3, 1 << 20)
    out, _ = child.communicate(timeout=LONG_S)
    rows = [json.loads(line) for line in out.splitlines()]
    assert child.returncode == 0
    assert {section for section, _ in rows} >= {"launch"}


def test_child_is_told_its_threads(monkeypatch):
    started = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, **rest: started.update(rest))
    m._start("stream", 3, 1.0, 1)
    assert all(started["env"][name] == "3" for name in m.BLAS_THREADS)


def listen_to(code):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    child = subprocess.Popen([sys.executable, "-c", code], **pipes)
    return m._listen(child, "toy", LONG_S)


def test_noise_between_rows_is_passed_over():
    rows = list(listen_to("print('a warning'); print('[\"launch\", {\"launch_s\": 1}]'); print('{}')"))
    assert rows == [("launch", {"launch_s": 1})]


def test_a_dead_child_says_why():
    (section, row), *more = listen_to("raise SystemExit('no such chip')")
    assert (section, row, more) == ("skipped", {"probe": "toy", "reason": "no such chip"}, [])
    assert "code 3" in next(listen_to("import os; os._exit(3)"))[1]["reason"]


def test_a_late_child_is_stopped_and_its_rows_kept(monkeypatch):
    alarms = []

    class Timer:  # one that goes off when the test says so
        def __init__(self, seconds, ring):
            alarms.append(ring)

        start = cancel = lambda self: None

    monkeypatch.setattr(m, "Timer", Timer)
    rows = listen_to("import time; print('[\"launch\", {}]', flush=True); time.sleep(600)")
    assert next(rows) == ("launch", {})
    alarms[0]()
    ((section, row),) = rows
    assert section == "skipped" and "stopped" in row["reason"]


def test_an_interrupted_run_leaves_no_child():
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; print('[1, 2]', flush=True); time.sleep(600)"], stdout=subprocess.PIPE
    )
    rows = m._listen(child, "toy", LONG_S)
    next(rows)
    rows.close()
    assert child.poll() is not None


def test_a_failing_probe_lands_in_skipped(monkeypatch):
    """One that breaks in its process, and one whose process cannot be started."""
    found = [("skipped", {"probe": "toy", "reason": "KeyError: 'nonsense'"})]
    assert list(m.probe_rows("toy", "nonsense", 1, 5.0, 1 << 20)) == found
    rows = listen_to("print('[\"launch\", {}]'); raise MemoryError('too big')")
    found = [("launch", {}), ("skipped", {"probe": "toy", "reason": "MemoryError: too big"})]
    assert sorted(rows) == found  # the two streams of a child may come in any order

    monkeypatch.setattr(sys, "executable", "/no/such/python")
    ((section, row),) = m.probe_rows("toy", "matmul", 1, 5.0, 1 << 20)
    assert section == "skipped" and "no process" in row["reason"] and "python" not in row["reason"]


# --- Keeping and reading results ---


def test_save_never_overwrites(tmp_path, made):
    first, second = m.save(made, tmp_path), m.save(made | {"took_s": 2.0}, tmp_path)
    assert first.name == "machine-20250304T050607Z.json"
    assert json.loads(first.read_text()) == made and second != first
    assert m.load(second)["took_s"] == 2.0
    assert sorted(tmp_path.iterdir()) == sorted([first, second])  # and leaves nothing behind


def test_unwritable_folder_says_what_to_do(tmp_path, made):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(OSError, match="BOTTLENECKS_DATA") as caught:
        m.save(made, blocked / "deeper")
    assert str(blocked) in str(caught.value) and "--folder" in str(caught.value)


def test_a_full_disk_leaves_no_half_of_a_measurement(tmp_path, made, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write into .* \(No space left on device\): set BOTTLENECKS_DATA"):
        m.save(made, tmp_path)
    assert not list(tmp_path.iterdir())


def test_user_folder_obeys_the_environment(tmp_path, monkeypatch, made):
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path / "mine"))
    assert m.save(made).parent == m.user_folder() == tmp_path / "mine"
    monkeypatch.delenv("BOTTLENECKS_DATA")
    assert m.user_folder().name == "bottlenecks"


def test_load_takes_the_given_then_the_newest_then_the_sample(tmp_path, monkeypatch, made):
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path))
    assert m.load()["origin"] == "sample"
    given = m.save(made)
    newer = made | {"measured_at": "2025-03-05T00:00:00Z"}
    m.save(newer)
    newest = m.save(newer | {"took_s": 3.0})  # in the same second
    assert m.load() == json.loads(newest.read_text()) | {"origin": "yours"}
    assert m.load(given) == made | {"origin": "yours"}


def test_origin_is_not_saved(tmp_path, made):
    assert "origin" not in json.loads(m.save(made | {"origin": "sample"}, tmp_path).read_text())


def broken(made):
    yield '{"schema": 1,'
    yield "[]"
    yield json.dumps(made | {"schema": 2})
    yield json.dumps(made | {"machine": "mine"})
    yield json.dumps({key: value for key, value in made.items() if key != "skipped"})
    yield json.dumps(made | {"launch": [{"device": "cpu"}]})
    yield json.dumps(made | {"launch": [{"device": "cpu", "launch_s": float("nan")}]})
    yield json.dumps(made | {"stream": None})


def test_a_broken_file_is_named(tmp_path, made):
    path = tmp_path / "machine-x.json"
    for text in broken(made):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"machine-x\.json"):
            m.load(path)


def test_each_row_is_looked_at(tmp_path, made):
    """A file whose rows lack what a roof is made from is broken, whichever key it is."""
    for section, keys in ROWS.items():
        for key in set(keys) - {"kernel", "n", "subtracted_s"}:  # kept, and no roof asks for them
            cut = [{k: v for k, v in row.items() if k != key} for row in made[section]]
            path = tmp_path / "machine-x.json"
            path.write_text(json.dumps(made | {section: cut}))
            with pytest.raises(ValueError, match=r"machine-x\.json"):
                m.load(path)


def test_sample_is_whole_and_draws_a_roof(monkeypatch, tmp_path):
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path))
    sample = m.load()
    found = m.roof(sample)
    assert {"fp64", "fp32", "fp16", "int8"} == found["flop_per_s"].keys()
    assert found["bytes_per_s"] < min(found["caches_bytes_per_s"].values())
    assert found["name"] in m.summary(sample) and "sample" in m.summary(sample)


def test_roof_picks_the_maxima(made):
    assert m.roof(made) == {
        "name": "Toy CPU",
        "device": "cpu",
        "flop_per_s": {"fp64": 80e9, "fp32": 9e9},
        "bytes_per_s": 20e9,
        "caches_bytes_per_s": {"L2": 100e9, "L1d": 180e9},
        "latency_s": 100e-9,
        "in_flight_bytes": pytest.approx(640),  # 100 ns x 6.4 GB/s: ten lines
        "launch_s": 1e-6,
    }


def test_roof_takes_no_cache_for_memory(made):
    made["latency"][0]["working_set_bytes"] = made["gather"][0]["working_set_bytes"] = 1 << 20
    assert not {"latency_s", "in_flight_bytes"} & m.roof(made).keys()


def test_roof_of_a_device_without_rows(made):
    assert m.roof(made, "cuda") == {"name": "Toy GPU", "device": "cuda", "flop_per_s": {}}
    with pytest.raises(ValueError, match="device 'cdua' is unknown; did you mean 'cuda'"):
        m.roof(made, "cdua")


def test_a_busy_machine_is_pointed_out(made):
    assert "run it again" not in m.summary(made)
    made["matmul"] = [row | {"flop_per_s": 5e9} for row in made["matmul"]]
    assert "run it again" in m.summary(made)
    assert "skipped cuda: torch is not installed" in m.summary(made)


def test_a_run_cut_short_says_so(made):
    """A busy machine may leave no time for a probe: what it lacks is told, and the rest is kept."""
    assert m.lacks(made) == []
    for without, lacking in ((["stream"], "bandwidth"), (["matmul"], "arithmetic"), (list(ROWS), "arithmetic and")):
        cut = made | {section: [] for section in without}
        assert f"incomplete, without {lacking}" in m.summary(cut) and "run it again" in m.summary(cut)
    assert m.lacks(made | {"stream": []}) == ["bandwidth"]


def test_a_run_without_time_is_stored_as_incomplete(monkeypatch, tmp_path):
    monkeypatch.setattr(m, "probe_rows", lambda label, *_: iter([m.skip(label, "no time left")]))
    path = m.save(m.measure(2.0), tmp_path)
    assert json.loads(path.read_text())["incomplete"] == ["arithmetic", "bandwidth", "latency"]
    assert m.load(path)["origin"] == "yours" and "without arithmetic and bandwidth and latency" in m.summary(
        m.load(path)
    )


def test_no_home_is_no_reason_to_fail(monkeypatch, made):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BOTTLENECKS_DATA", raising=False)
    monkeypatch.setattr(m.Path, "expanduser", nobody)
    assert m.load()["origin"] == "sample"
    with pytest.raises(OSError, match="no home folder: set BOTTLENECKS_DATA"):
        m.save(made)


def test_bar_draws_and_ends_its_line():
    written = []
    show = m.bar(SimpleNamespace(write=written.append, flush=lambda: None))
    show(0.5, "halfway")
    show(1.0, "done")
    text = "".join(written)
    assert "#" * 15 + "." * 15 in text and "halfway" in text and text.endswith("\n")
