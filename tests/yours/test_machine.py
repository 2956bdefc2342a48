"""What a machine says of itself: whole here, and empty where a system says nothing."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bottlenecks.yours import machine


@pytest.fixture
def files(monkeypatch):
    """The machine's files, as a dict that a test fills."""
    told = {}
    monkeypatch.setattr(machine, "_text", lambda path: told.get(path, ""))
    return told


def test_this_machine_is_described():
    found = machine.describe()
    assert found["cpu"] and found["gpu"] is None and found["numpy"] == np.__version__
    assert {"os", "python", "blas", "memory_bytes", "caches_bytes"} <= found.keys()
    assert 1 <= found["cores"] <= os.cpu_count()
    assert 0 < machine.available_bytes() <= (found["memory_bytes"] or 1 << 30)


def test_a_system_that_says_nothing(files, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(np, "show_config", lambda mode: {})
    found = machine.describe()
    assert (found["memory_bytes"], found["caches_bytes"], found["blas"]) == (None, {}, "unknown")
    assert found["cpu"] and found["cores"] >= 1 and machine.available_bytes() == 1 << 30


def test_linux_names_and_caches(files):
    files["/proc/cpuinfo"] = "processor : 0\nmodel name\t: Toy CPU @ 3 GHz\n"
    caches = ("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1024K")
    for index, values in enumerate(caches):
        for name, value in zip(("level", "type", "size"), values, strict=True):
            files[f"/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"] = value
    found = machine.describe()
    assert found["cpu"] == "Toy CPU @ 3 GHz"
    assert found["caches_bytes"] == {"L1d": 32 << 10, "L2": 1 << 20}


def test_macos_names_and_caches(files, monkeypatch):
    says = {
        "machdep.cpu.brand_string": "Apple M9",
        "hw.perflevel0.l1dcachesize": "131072",
        "hw.l2cachesize": "4194304",
        "hw.l3cachesize": "0",
    }
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: SimpleNamespace(stdout=says.get(command[-1], "") + "\n")
    )
    assert machine._cpu_name() == "Apple M9"
    assert machine._caches_bytes() == {"L1d": 128 << 10, "L2": 4 << 20}


def test_a_container_confines(files, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert machine.cores() == 8
    files["/sys/fs/cgroup/cpu.max"] = "max 100000"
    assert machine.cores() == 8
    files["/sys/fs/cgroup/cpu.max"] = "250000 100000"
    assert machine.cores() == 2
    files["/proc/meminfo"] = "MemTotal: 99 kB\nMemAvailable:   4096 kB\n"
    assert machine.available_bytes() == 4 << 20
    files["/sys/fs/cgroup/memory.max"] = "max"
    assert machine.available_bytes() == 4 << 20
    files |= {"/sys/fs/cgroup/memory.max": "3000", "/sys/fs/cgroup/memory.current": "1000"}
    assert machine.available_bytes() == 2000
