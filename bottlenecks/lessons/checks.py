"""Exercise checks: right, or what kind of thing is off; never the answer itself.

An exercise is registered beside its chapter's figures would be: in `exercises/chNN.py`, with the
function that computes the expected number from the package.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from bottlenecks.facts.doors import one_of
from bottlenecks.facts.units import parse_unit, si

EXERCISES = {}

BINARY = "the ratio of binary to decimal units (GiB, GB)"
SLIPS = (  # ratio of the answer to the expected number, and what usually makes it
    ((1e3, 1e6, 1e9, 1e12, 1e-3, 1e-6, 1e-9, 1e-12), "a power of a thousand: look at the prefixes"),
    (
        (2.0, 0.5),
        "a factor of two: a multiply-add is two operations, a sparse peak is not a dense one, "
        "a copy both reads and writes",
    ),
    ((4.0, 0.25), "a factor of four: count the bytes of a value, and each factor of two twice"),
    ((8.0, 0.125), "a factor of eight: bits and bytes"),
    ((100.0, 0.01), "a factor of a hundred: a percentage and a fraction"),
    ((2**30 / 1e9, 1e9 / 2**30, 2**40 / 1e12, 1e12 / 2**40), BINARY),
)


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise: `expected()` computes the number, in base units of `unit`; None if it is open."""

    id: str
    unit: str
    expected: Callable | None
    hint: str
    rtol: float = 0.02

    def __post_init__(self):
        if self.id in EXERCISES:
            raise ValueError(f"exercise {self.id!r} is registered twice")
        EXERCISES[self.id] = self


def check(id, answer=None, unit=""):
    """Print whether `answer` is right: check("01.2", 31.5, "ms"). Without an answer, a hint."""
    print(judge(id, answer, unit)[1])


def judge(id, answer=None, unit=""):
    """(right or not, the sentence that `check` prints)."""
    load_all()
    exercise = EXERCISES[one_of("exercise", id, EXERCISES)]
    if exercise.expected is None:
        return False, f"{id} has no single answer, so there is no check. Hint: {exercise.hint}"
    if answer is None:
        return False, f"{id} is open. Hint: {exercise.hint}"
    if isinstance(answer, bool | str) or not _is_number(answer):
        got = float(answer) if isinstance(answer, float) else answer  # NumPy's prints its type, "float64"
        return (
            False,
            f"{id}: the answer must be one number, got {got!r}. The unit goes after it: check({id!r}, 3.2, 'ms')",
        )
    try:
        scale, base = parse_unit(unit)
    except ValueError as problem:
        return False, f"{id}: {problem}"
    if base != exercise.unit:
        asked = exercise.unit or "a bare number"
        return False, f"{id} asks for {asked}" + (
            f", got a number in {unit}" if unit else f"; say the unit: check({id!r}, ..., {exercise.unit!r})"
        )
    value, expected = float(answer) * scale, float(exercise.expected())
    if math.isclose(value, expected, rel_tol=exercise.rtol):
        return True, f"{id}: right. {si(value, exercise.unit)}, within {100 * exercise.rtol:g} %."
    return False, f"{id}: not yet. {_slip(value, expected, exercise)}"


def _slip(value, expected, exercise):
    if not math.isfinite(value) or value == 0 or (value < 0) != (expected < 0):
        return "The size or the sign can not be right."
    ratio = value / expected
    for ratios, what in SLIPS:
        if what == BINARY and not exercise.unit.startswith("B"):
            continue
        if any(math.isclose(ratio, slip, rel_tol=min(exercise.rtol, 0.01)) for slip in ratios):
            return f"It is off by {what}."
    if 0.9 < ratio < 1.1:
        return f"Close, but not within {100 * exercise.rtol:g} %: something small is left out, or rounded early."
    if 1 / 3 < ratio < 3:
        return f"The order of magnitude is right. Hint: {exercise.hint}"
    return f"The order of magnitude is off. Hint: {exercise.hint}"


def _is_number(answer):
    try:
        return math.isfinite(float(answer))
    except (TypeError, ValueError):
        return False


def load_all():
    """Import every chapter's exercises."""
    import importlib
    import pkgutil

    import bottlenecks.lessons.exercises as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bottlenecks.lessons.exercises.{module.name}")
    return EXERCISES
