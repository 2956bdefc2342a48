"""What the machine in front of you says of itself: names, cores, memory, caches, BLAS.

What a system does not tell is None, empty or "unknown"; nothing here raises. Linux says it in files
(whose absence is an empty text), macOS through `sysctl`, Windows for the most part not at all.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np


def describe() -> dict:
    """The machine as it is kept beside its measurements: no user name, host name or path."""
    return {
        "cpu": _cpu_name(),
        "gpu": None,  # only the probe of the GPU learns its name
        "cores": cores(),
        "memory_bytes": _memory_bytes(),
        "caches_bytes": _caches_bytes(),
        "os": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
    }


def cores() -> int:
    """Cores that this process may use: fewer than the machine's where it is confined."""
    confined = hasattr(os, "sched_getaffinity")  # Linux
    allowed = len(os.sched_getaffinity(0)) if confined else os.cpu_count() or 1
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit():  # a container's share of the machine; else it says "max"
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def available_bytes() -> int:
    """Memory free to use; half of all, or 1 GiB, where the system does not say."""
    words = _text("/proc/meminfo").partition("MemAvailable:")[2].split()
    free_bytes = 1024 * int(words[0]) if words else (_memory_bytes() or 2 << 30) // 2
    limit, used = (_text(f"/sys/fs/cgroup/memory.{end}") for end in ("max", "current"))
    if limit.isdigit():  # a container's
        free_bytes = min(free_bytes, max(0, int(limit) - int(used)))
    return free_bytes


def _memory_bytes():
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _cpu_name():
    lines = [line.partition(":") for line in _text("/proc/cpuinfo").splitlines()]
    told = {key.strip(): value.strip() for key, _, value in lines}
    name = told.get("model name") or _sysctl("machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine() or "unknown CPU"


def _caches_bytes():
    """Bytes of one instance of each data cache, as seen from core 0."""
    caches = {}
    for index in range(5):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        level, kind, size = (_text(folder + name) for name in ("level", "type", "size"))
        if kind in ("Data", "Unified") and size.endswith("K"):
            caches["L1d" if level == "1" else "L" + level] = 1024 * int(size[:-1])
    for name, key in {"L1d": "l1dcachesize", "L2": "l2cachesize", "L3": "l3cachesize"}.items():
        told = _sysctl(f"hw.perflevel0.{key}") or _sysctl(f"hw.{key}")  # fast cores, else all
        if told.isdigit() and int(told):
            caches[name] = int(told)
    return caches


def _blas():
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except KeyError:
        return "unknown"


def _text(path):
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _sysctl(name):
    if sys.platform != "darwin":
        return ""
    asked = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True)
    return asked.stdout.strip()
