"""How fast: `make benchmark`. Ratios within one run; machines differ and are noisy.

Kernel-side time of a slider's move for each exhibit, against drawing the same figure anew; and
what an import costs beside numpy's.
"""

import statistics
import subprocess
import sys
import time

from bottlenecks.exhibits import registry
from bottlenecks.exhibits.registry import Picture
from bottlenecks.lessons.widgets import Explorer


def median_s(act, times):
    """Median seconds of calling `act` with 0, 1, 2, ..."""
    took = []
    for i in range(times):
        began = time.perf_counter()
        act(i)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def moves(explorer):
    """One function that moves the explorer's controls through all their values in turn."""
    steps = [(explorer.inputs[n], v) for n, c in explorer.exhibit.controls.items() for v in c.values]

    def move(i):
        control, value = steps[i % len(steps)]
        control.value = value

    return move, len(steps)


def import_s(module):
    """Seconds to import a module in a fresh interpreter, less an empty one."""
    command = [sys.executable, "-c"]
    empty = median_s(lambda _: subprocess.run([*command, "pass"], check=True), 7)
    return median_s(lambda _: subprocess.run([*command, f"import {module}"], check=True), 7) - empty


def main():
    print(f"{'exhibit':20s} {'a move':>9s} {'drawn anew':>11s} {'ratio':>6s}")
    for exhibit in registry.load_all().values():
        if not exhibit.controls:
            continue
        move, steps = moves(Explorer(exhibit))
        moved = median_s(move, 3 * steps)

        def draw(_, exhibit=exhibit):
            Picture(exhibit, exhibit.settings()).figure.canvas.draw()

        drawn = median_s(draw, 7)
        print(f"{exhibit.slug:20s} {1e3 * moved:6.1f} ms {1e3 * drawn:8.1f} ms {drawn / moved:6.1f}")
    numpy_s = import_s("numpy")
    for module in ("numpy", "bottlenecks.laws.roofline", "bottlenecks.facts.chips", "bottlenecks.exhibits.ch01"):
        seconds = import_s(module)
        print(f"import {module:28s} {1e3 * seconds:6.0f} ms   {seconds / numpy_s:.2f} times numpy")


if __name__ == "__main__":
    main()
