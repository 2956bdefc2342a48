"""Exercise checks: right, or what kind of thing is off; never the answer itself.

An exercise is registered in `exercises/chNN.py`, with the function that computes the expected number from the
package. Ids are "05.3"; "05.3a", "05.3b" for the parts of a chain; "05.x1" for a question below an
exhibit; "06i.1" for one of an interlude.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bottlenecks.facts.doors import one_of
from bottlenecks.facts.units import COUNTS, parse_quantity, parse_unit, si
from bottlenecks.lessons import progress

EXERCISES = {}
KINDS = ("warm-up", "derive", "numbers", "compare", "program", "find the error", "design", "open")

UNTOLD = (*COUNTS, "%")  # of a count there are no bits, no prefixes and no multiply-adds
GENERIC = (  # ratios of the answer to the expected number, what they are, and what usually makes them
    ((1e3, 1e6, 1e9, 1e12, 1e-3, 1e-6, 1e-9, 1e-12), "a power of a thousand", "look at the prefixes"),
    (
        (2.0, 0.5),
        "a factor of two",
        "a multiply-add is two operations, a sparse peak is not a dense one, a copy both reads and writes",
    ),
    ((4.0, 0.25), "a factor of four", "count the bytes of a value, and each factor of two twice"),
    ((8.0, 0.125), "a factor of eight", "bits and bytes"),
)
PERCENT = (100.0, 0.01)
BINARY = (2**30 / 1e9, 1e9 / 2**30, 2**40 / 1e12, 1e12 / 2**40)


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise.

    `expected()` computes the number in base units of `unit`, or an array of numbers. `judge_with(answer)` instead
    looks at whatever the reader hands over and returns what is wrong with it, or nothing. With neither it is open.
    `slips` maps a wrong number to the mistake that makes it, or is a function that gives such a mapping.
    `read` says where to read when the answer is wrong.
    """

    id: str
    unit: str = ""
    expected: Callable | None = None
    hint: str
    rtol: float = 0.02
    slips: dict | Callable = field(default_factory=dict)
    minutes: float = 5
    stars: int = 1
    kind: str = "numbers"
    judge_with: Callable | None = None
    read: str = ""

    def __post_init__(self):
        if self.id in EXERCISES:
            raise ValueError(f"exercise {self.id!r} is registered twice")
        one_of(f"kind of exercise {self.id}", self.kind, KINDS)
        if self.is_open:
            object.__setattr__(self, "kind", "open")
        EXERCISES[self.id] = self

    @property
    def is_open(self):
        return self.expected is None and self.judge_with is None

    @property
    def effort(self):
        """What it asks of the reader: "10 min, **"."""
        return f"{self.minutes:g} min, {'*' * self.stars}"

    def mistakes(self):
        """Wrong number -> what made it."""
        return self.slips() if callable(self.slips) else self.slips


def check(id, answer=None, unit=""):
    """Print whether `answer` is right: check("01.2", 31.5, "ms"). The try is kept in the reader's own progress."""
    right, text = judge(id, answer, unit)
    print(text)
    if right is not None:
        progress.keep(exercise(id).id, right)


def hint(id):
    """Print where to start: hint("01.2")."""
    found = exercise(id)
    print(f"{found.id}: {found.hint}")


def exercise(id):
    """The exercise of an id: "05.3", "5.3", "05.3a", "05.x1", "06i.1"."""
    load_all()
    if not isinstance(id, str):
        raise ValueError(f"an exercise's id is a text, such as '05.3'; got {id!r}")
    written = re.fullmatch(r"\s*0?(\d)([iI]?\..*)", id)
    wanted = (f"0{written[1]}{written[2]}" if written else id).strip().lower()
    return EXERCISES[one_of("exercise", wanted, EXERCISES)]


def judge(id, answer=None, unit=""):
    """(True, False, or None where there is nothing to judge; the sentence that `check` prints)."""
    found = exercise(id)
    if found.is_open:
        if answer is None:
            return None, f"{found.id}: open, it has no single answer ({found.effort})."
        return None, f"{found.id} has no single answer, so there is no check. hint({found.id!r}) says where to start."
    if answer is None:
        return None, f"{found.id}: no answer yet ({found.effort})"
    if found.judge_with is not None:
        wrong = found.judge_with(answer)
        return not wrong, f"{found.id}: {'right.' if not wrong else f'not yet. {wrong}'}"
    expected = np.asarray(found.expected(), dtype=float)
    if expected.ndim:
        wrong = unlike(answer, expected, found.rtol)
        return not wrong, f"{found.id}: {'right.' if not wrong else f'not yet. {wrong}'}"
    return _number(found, answer, unit, float(expected))


def _number(found, answer, unit, expected):
    if isinstance(answer, bool | str) or not _is_number(answer):
        got = float(answer) if isinstance(answer, float) else answer  # NumPy's prints its type, "float64"
        return None, f"{found.id}: the answer must be one number, got {got!r}. {_call(found, answer)}"
    try:
        scale, base = parse_unit(unit)
    except ValueError as problem:
        return None, f"{found.id}: {problem}"
    if base != found.unit:
        asked = f"a number in {found.unit}" if found.unit else "a bare number"
        got = f", got one in {unit}" if unit else ""
        return None, f"{found.id} asks for {asked}{got}. {_call(found, None)}"
    value = float(answer) * scale
    if math.isclose(value, expected, rel_tol=found.rtol):
        return True, f"{found.id}: right. {si(value, found.unit)}, within {100 * found.rtol:g} %."
    read = f" {found.read}" if found.read else ""
    return False, f"{found.id}: not yet. {_slip(value, expected, found)}{read}"


WRITTEN = {"s": "ms", "B": "GB", "B/s": "TB/s", "FLOP": "GFLOP", "FLOP/s": "TFLOP/s"}  # units as exercises ask for them


def _call(found, answer):
    """How the call is written, with the reader's own number where one can be read."""
    number, unit = "10", WRITTEN.get(found.unit, found.unit)
    if isinstance(answer, str):
        try:
            number, unit = f"{parse_quantity(answer, found.unit):g}", found.unit
        except ValueError:
            pass
    if not found.unit:
        return f"It is a bare number: check({found.id!r}, {number})"
    return f"The unit goes after it: check({found.id!r}, {number}, {unit!r})"


def _slip(value, expected, found):
    """What made a wrong number: the exercise's own mistakes first, then factors, then its size."""
    for wrong, what in sorted(found.mistakes().items(), key=lambda slip: abs(slip[0] - value)):
        if math.isclose(value, wrong, rel_tol=max(found.rtol, 1e-6)):
            return f"{what[0].upper()}{what[1:]}{'' if what.endswith(('.', '?', '!')) else '.'}"
    if not math.isfinite(value) or value == 0 or (value < 0) != (expected < 0):
        return "The size or the sign cannot be right."
    ratio = value / expected
    factor = _factor(ratio, found)
    if factor:
        return f"It is off by {factor}."
    if 0.9 < ratio < 1.1:
        return f"Close, but not within {100 * found.rtol:g} %: something small is left out, or rounded early."
    size = "right" if 1 / 3 < ratio < 3 else "off"
    return f"The order of magnitude is {size}. Hint: {found.hint}"


def _factor(ratio, found):
    def near(ratios):
        return any(math.isclose(ratio, slip, rel_tol=min(found.rtol, 0.01)) for slip in ratios)

    for ratios, factor, cause in GENERIC:
        if near(ratios):
            return factor if found.unit in UNTOLD else f"{factor}: {cause}"
    if near(PERCENT):
        return "a factor of a hundred: a percentage and a fraction"
    if near(BINARY) and found.unit.startswith("B"):
        return "the ratio of binary to decimal units (GiB, GB)"
    return ""


def unlike(answer, expected, rtol=1e-6):
    """How an array of the reader's differs from the expected one, first place first; nothing where it does not."""
    try:
        got = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return f"An array of numbers is asked for, got {type(answer).__name__}."
    if got.shape != expected.shape:
        return f"Its shape should be {expected.shape}, and is {got.shape}."
    wrong = np.argwhere(~np.isclose(got, expected, rtol=rtol, atol=0, equal_nan=True))
    if not len(wrong):
        return ""
    place = ", ".join(map(str, wrong[0]))
    return f"{len(wrong)} of {expected.size} values differ, the first at [{place}], where you have {got[tuple(wrong[0])]:g}."


def like(reference, *inputs, rtol=1e-6):
    """For `judge_with`: the reader's function must give what `reference` gives for each of the inputs.

    An input is a tuple of arguments, or a dictionary of them by name.
    """

    def wrong(function):
        if not callable(function):
            return f"A function is asked for, got {type(function).__name__}: hand over its name, without brackets."
        for given in inputs:
            named = given if isinstance(given, dict) else {}
            plain = () if named else given
            call = f"{getattr(function, '__name__', 'yours')}({', '.join([*map(_shown, plain), *(f'{k}={_shown(v)}' for k, v in named.items())])})"
            try:
                got = function(*plain, **named)
            except Exception as error:  # whatever a reader's function does
                return f"{call} stops: {type(error).__name__}: {error}"
            if unlike(got, np.asarray(reference(*plain, **named), dtype=float), rtol):
                return f"{call} gives {_shown(got)}, which is not right."
        return ""

    return wrong


def _shown(value):
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


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
