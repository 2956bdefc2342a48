r"""A calibration: what a reader's own runs say of her cluster, as a small file, and predictions that stand on it.

Her runs are one source of measurements, seen several times. In eq:practice the mean of a class q of them is

$$r_q = z\,s_q + c_q + e_q, \qquad z \sim N(0, 1),\ c_q \sim N(0, \gamma_q^2),\ e_q \sim N(0, w_q^2/n_q)$$  (eq:own-runs)

r_q  mean logarithm of measured over predicted time     [-]
z    her place among sources, the same for all classes  [-]
s_q  deviation between sources                          [-]
γ_q  deviation between the classes of one source        [-]
w_q  deviation between the runs of one class            [-]
n_q  her runs of the class                              [-]

so what is to be expected of z, and of her own factor exp(z s_q + c_q) on the time of each class, seen or not, is
arithmetic: `place` and `factor`. Without runs it is the book's own prediction; with many it is her mean.

    mine = read("mine.toml", "training")          # what `bottlenecks calibrate` wrote
    predict("training", columns, calibration=mine)

Nothing is read that is not named.
"""

import datetime
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bottlenecks.facts import files
from bottlenecks.facts.doors import one_of, shown
from bottlenecks.measured import frame, practice

MOST = 1e6  # of a number in a file: more is a slip
ANY = "any work"  # class of runs whose levels are not known, or whose kind has no classes but the program's
SAID = {
    "width": "{}-bit kernels",
    "size": "{} messages",
}  # factor of practice -> what a level is called; others as it is
PROGRAM = "program"  # the factor of practice that says who ran it, not what
CONSTANTS = {  # that her rows may move, in words
    "kernels": {
        **{f"matmul_{bits}": f"share of the peak of {bits}-bit products" for bits in (32, 16, 8)},
        "stream": "share of the memory's bandwidth",
    },
    "collectives": {
        "link": "share of a link",
        "port": "share of a port",
        "call_s": "least time of a call",
        "framework_s": "least time of a framework's call",
    },
}


class Class(NamedTuple):
    """Her runs of one class: the factor on the book's prediction, with deviations of its logarithm.

    `deviation`: of the factor; `within`: of a run about it; `open`: over what her runs left open, which is settled by them.
    """

    times: float
    deviation: float
    within: float
    open: float
    runs: int


class Constant(NamedTuple):
    """A constant of her chip: its value, the values that fit nearly as well, and the book's."""

    value: float
    low: float
    high: float
    book: float
    book_low: float
    book_high: float


class Calibration(NamedTuple):
    """What a file of her runs says; `place` and `deviation` of z in eq:own-runs, `scatter`: of her runs over the book's."""

    kind: str
    file: str  # of the runs, without its folder
    rows: int  # that were used
    runs: int  # that differ in what was run
    chips: tuple
    program: str  # '' where runs differ
    package: str
    date: datetime.date
    place: float
    deviation: float
    scatter: float
    classes: dict  # name -> Class
    constants: dict  # name -> Constant


# ---- what runs say


def place(mean, runs, source, own, row):
    """(mean, deviation) of z in eq:own-runs, given classes: mean logarithms, runs, and the three deviations.

    One run at 0.3, where sources lie apart by 0.2 and runs by 0.1, is 0.3 x 0.2 / 0.05 = 1.2 deviations out:

    >>> z, deviation = place([0.3], [1], [0.2], [0.0], [0.1])
    >>> round(float(z), 12), round(float(deviation) ** 2, 12)
    (1.2, 0.2)
    """
    mean, runs, source, own, row = (np.asarray(v, float) for v in (mean, runs, source, own, row))
    mean, source, own, row, runs = (v[runs > 0] for v in (mean, source, own, row, runs))
    spread = own**2 + row**2 / runs
    precision = 1 + np.sum(source**2 / spread)
    return np.sum(source * mean / spread) / precision, precision**-0.5


def factor(z, deviation, mean, runs, source, own, row):
    """(logarithm, its deviation) of the factor of classes, with z known so far; no runs: a class that she has none of."""
    known = own**2 * runs / (own**2 * runs + row**2)  # of what is the class's own
    found = known * mean + (1 - known) * source * z
    return found, np.sqrt(((1 - known) * source * deviation) ** 2 + own**2 * (1 - known))


def named(levels):
    """The name of each row's class: its levels in practice but for the program, and whose it is.

    >>> named({"program": np.array(["user"]), "width": np.array(["16"])}).tolist()
    ['16-bit kernels']
    """
    of = [
        [SAID.get(name, "{}").format(level) if level else "" for level in found.tolist()]
        for name, found in levels.items()
        if name != PROGRAM
    ]
    size = next(iter(levels.values())).size
    return np.array([", ".join(filter(None, each)) or ANY for each in zip(*of, strict=True)] if of else [ANY] * size)


# ---- predictions


def factors(calibration, levels, open):
    """(times, low, high) as `practice.predicted`, on reference seconds, for rows of her cluster."""
    kept = practice.kept(calibration.kind)
    source, own, row = practice.parted(kept, levels)
    middle = np.log(practice.predicted(kept, levels)[0])
    nothing = np.zeros(middle.size)
    log, deviation = factor(calibration.place, calibration.deviation, nothing, nothing, source, own, row)
    within, settled = calibration.scatter * row, nothing.copy()
    names = named(levels)
    for name, mine in calibration.classes.items():
        rows = names == name
        log[rows], deviation[rows], within[rows], settled[rows] = np.log(mine.times), *mine[1:4]
    left = np.abs(np.square(open) - settled**2)  # what is open otherwise than in her runs
    whole = np.sqrt(deviation**2 + within**2 + left)
    return tuple(np.exp(middle + log + whole * end) for end in (0.0, *kept.ends))


def predict(kind, columns, *, owners=True, calibration):
    """`frame.predict` for rows of her cluster. With constants of her chip, rows of another are predicted as the book does."""
    model = frame.KINDS[kind]
    cases = model.cases(columns)
    levels = model.classes(cases)
    constants = {name: constant.value for name, constant in calibration.constants.items()}
    found = model.predict(cases, owners=owners, **{"constants": constants} if constants else {})
    times = factors(calibration, levels, found["open"])
    said = np.array([words(calibration, name) for name in named(levels).tolist()], dtype=object)
    other = ~np.isin(cases.columns["chip_name"], calibration.chips) & bool(constants)
    if other.any():
        plain = model.predict(cases, owners=owners)
        found = {name: np.where(other, plain[name], values) for name, values in found.items()}
        book = practice.predicted(practice.kept(kind), levels, found["open"])
        times = tuple(np.where(other, theirs, hers) for theirs, hers in zip(book, times, strict=True))
        said[other] = f"not calibrated: the runs of {calibration.file} are of {' and '.join(calibration.chips)}"
    pairs = zip(said.tolist(), found["assumed"].tolist(), found["reason"].tolist(), strict=True)
    found["assumed"] = np.array(["" if why else "; ".join(filter(None, pair)) for *pair, why in pairs], dtype=str)
    return frame.in_own_units(kind, cases, found, times)


def times_of_training(calibration):
    """Seconds of her steps over those of a well-tuned program."""
    return float(factors(calibration, {PROGRAM: np.array([calibration.program])}, 0.0)[0][0])


def words(calibration, name=None):
    """What a prediction says of the calibration that it stands on."""
    said = f"calibrated on {calibration.runs} run{'s' * (calibration.runs != 1)} of {calibration.file}"
    return said if name is None or name in calibration.classes else f"{said}, none of them {name}"


# ---- the file


def write(out, calibration):
    """Write the file, or into an open one."""
    if hasattr(out, "write"):
        out.write(text(calibration))
    else:
        files.write(out, text(calibration))


def text(calibration):
    """The file, in TOML."""
    top = {name: getattr(calibration, name) for name in ("kind", "file", "rows", "runs", "chips", "program", "package")}
    lines = [
        f"# For: bottlenecks predict {calibration.kind} IN.csv --calibration THIS_FILE",
        *(f"{name} = {_toml(value)}" for name, value in top.items()),
        f"date = {calibration.date.isoformat()}",
        "",
        "# Among sources of measurements: 0 is the middle, +1 slower than 84 % of them. scatter: of runs, over the book's.",
        "[source]",
        *(f"{name} = {_toml(getattr(calibration, name))}" for name in OF_SOURCE),
        "",
        "# times: on the book's prediction of a class; deviations are of its logarithm: of the factor, of a run about it,",
        "# of what the runs left open.",
    ]
    for title, table in (("classes", calibration.classes), ("constants", calibration.constants)):
        lines += ["", f"[{title}]"]
        for name, row in table.items():
            cells = ", ".join(f"{field} = {_toml(value)}" for field, value in row._asdict().items())
            lines.append(f"{_toml(name)} = {{ {cells} }}")
    return "\n".join(lines) + "\n"


OF_SOURCE = ("place", "deviation", "scatter")


def _toml(value):
    if isinstance(value, str):
        return '"' + "".join(_letter(letter) for letter in value) + '"'
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return str(value) if isinstance(value, int) else str(float(f"{value:.6g}"))


def _letter(letter):
    """A letter in a TOML string: controls, quotes and backslashes by their number."""
    return f"\\u{ord(letter):04x}" if letter in '"\\\x7f' or ord(letter) < 32 else letter


def read(path, kind):
    """The `Calibration` that a file holds, of rows of a kind; ValueError: why it holds none."""
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no calibration: it is not TOML ({error})") from None
    try:
        calibration = _calibration(found)
    except KeyError as missing:
        raise ValueError(f"{path} is no calibration: it has no {missing.args[0]!r}") from None
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"{path} is no calibration: {problem}") from None
    if calibration.kind != one_of("kind", kind, frame.KINDS):
        raise ValueError(f"{path} is a calibration of {calibration.kind}, not of {kind}")
    return calibration


def _calibration(found):
    """The record of a file's tables; KeyError: what is missing, ValueError: what is wrong."""
    kind, source = one_of("kind", _of(found, "kind", str), frame.KINDS), _of(found, "source", dict)
    known = CONSTANTS.get(kind, {})
    return Calibration(
        kind=kind,
        **{name: _of(found, name, str) for name in ("file", "program", "package")},
        **{name: _of(found, name, int) for name in ("rows", "runs")},
        chips=tuple(_of(found, "chips", list)),
        date=_of(found, "date", datetime.date),
        place=_number(source, "place", least=-MOST),
        **{name: _number(source, name) for name in ("deviation", "scatter")},
        classes={name: _class(row) for name, row in _of(found, "classes", dict).items()},
        constants={one_of("constant", n, known): _constant(row) for n, row in _of(found, "constants", dict).items()},
    )


def _class(row):
    numbers = {name: _number(row, name) for name in ("deviation", "within", "open")}
    return Class(times=_number(row, "times", least=1e-6), runs=_of(row, "runs", int), **numbers)


def _constant(row):
    share = {name: _number(row, name, least=1e-12) for name in ("value", "low", "high")}
    return Constant(**share, **{name: _number(row, name, blank=True) for name in Constant._fields if "book" in name})


def _of(table, name, kind):
    """A cell of a table; KeyError: there is none, ValueError: it is of another kind."""
    value = table[name] if isinstance(table, dict) else table
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} must be {WORDS[kind]}, got {shown(value)}")
    return value


WORDS = {
    **{str: "a text", int: "a whole number", float | int: "a number", list: "a list", dict: "a table"},
    datetime.date: "a date",
}


def _number(table, name, *, least=0.0, blank=False):
    value = float(_of(table, name, float | int))
    if not (blank and np.isnan(value)) and not least <= value <= MOST:
        raise ValueError(f"{name} must be from {least:g} to {MOST:g}, got {value:g}")
    return value
