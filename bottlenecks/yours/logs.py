"""What readers of other tools' logs share: a log's lines without colours and launchers' marks, and what is found in them."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from bottlenecks.facts import formats
from bottlenecks.facts.architectures import find_model, models
from bottlenecks.facts.doors import shown

COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# mpirun's [1,0]<stdout>:, srun -l's 0:, torchrun's [default0]: and [rank0]:, kubectl's 2026-01-16T07:32:24Z
LAUNCHER = re.compile(
    r"^\s*(?:\[(?:[\w.-]+@)?\d+,\d+\](?:<std(?:out|err)>:?|:)|\d+:|\[(?:default|rank)\d+\]:|\d{4}-\d\d-\d\dT[\d:.]+Z)\s?"
)
UTF16 = (b"\xff\xfe", b"\xfe\xff")
SAME_SIZE = 0.003  # share in which two counts of one model's parameters may differ
WARM = 10  # steps before a program runs as it goes on to run


class Log(NamedTuple):
    """A log: its file's name, and its lines."""

    name: str
    lines: list

    @property
    def text(self):
        """All lines as one text."""
        return "\n".join(self.lines)


class Found(NamedTuple):
    """What a log says, as rows of a table of the corpus: column of its file -> text.

    `told` is what was understood, in words, `left_out` what no column can say, `unread` the lines that could not
    be read: (number, text).
    """

    rows: list
    told: list
    left_out: list
    unread: list


def open_log(path):
    """The `Log` in a file; PowerShell's is UTF-16."""
    try:
        raw = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)[:200]} cannot be read: {error}") from None
    text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig", "replace")
    return Log(Path(path).name, [LAUNCHER.sub("", COLOUR.sub("", line)).rstrip() for line in text.splitlines()])


def objects(text):
    """The dictionaries that stand in a text as JSON: one, a list, one a line, or between other lines.

    >>> list(objects('INFO: done\\n[{"a": 1},\\n {"a": {"b": 2}}]'))
    [{'a': 1}, {'a': {'b': 2}}]
    """
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(found, dict):
                yield found
        start = text.find("{", end)


def figure(text):
    """A number as tools print it, None where it is none.

    >>> figure("3,122"), figure("12.5/12.4"), figure("N/A")
    (3122.0, 12.5, None)
    """
    found = re.match(r"\s*([-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)", str(text), re.I)
    value = float(found[1].replace(",", "")) if found else None
    return value if value is not None and abs(value) < 1e300 else None


def written(value, digits=6):
    """A number for a cell; '' for none.

    >>> written(2097152.0), written(0.0123456789), written(None)
    ('2097152', '0.0123457', '')
    """
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"


def model_called(name):
    """(model, format of its weights or '') of a name as hubs have it.

    A name that the catalog knows stays whole, its format with it; of another its owner is left out, and the format taken off.

    >>> model_called("nvidia/Llama-3.3-70B-Instruct-FP8"), model_called("nobody/Own-3B-FP8")
    (('nvidia/Llama-3.3-70B-Instruct-FP8', ''), ('Own-3B', 'FP8'))
    """
    if find_model(name):
        return name, ""
    name = name.rstrip("/").rpartition("/")[2]
    rest, _, last = name.rpartition("-")
    if rest and not find_model(name) and formats.named(last):
        return rest, last
    return name, ""


def model_of_size(params, family, digits=None):
    """The catalog's first model of so many parameters whose name begins like `family`, '' where there is none.

    `digits`: how many of the number are printed, where it is rounded.

    >>> model_of_size(8030261248, "llama")
    'Llama-3-8B'
    """
    letters = re.match(r"[a-z]*", family.casefold())[0]
    near = max(SAME_SIZE, 0.6 * 10.0 ** (1 - digits) if digits else 0.0)
    fits = (m.name for m in models().values() if abs(m.params / params - 1) < near)
    return next((name for name in fits if letters and name.casefold().startswith(letters[:4])), "")


def after_warm_up(steps, name):
    """(what counts of steps by their number, in their order; in words): those after the first ten, else after the first.

    >>> after_warm_up({1: "a", 10: "b", 20: "c"}, "steps")
    (['c'], 'the median of 1 of 3 steps that are printed, those after the first 10')
    """
    warm = {n: step for n, step in steps.items() if n > WARM}
    used = warm or {n: step for n, step in steps.items() if n > min(steps)} or steps
    words = f"the median of {len(used)} of {len(steps)} {name} that are printed"
    words += f", those after the first {WARM}" if warm else f": none is after the first {WARM}"
    return [used[n] for n in sorted(used)], words


def month(text):
    """yyyy-mm of the first date in a text, '' where there is none.

    >>> month("[2026-01-16 07:32:24] iteration"), month("20250424-115709")
    ('2026-01', '2025-04')
    """
    found = re.search(r"(?<!\d)(20[12]\d)-?(0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])(?!\d)", text)
    return f"{found[1]}-{found[2]}" if found else ""


def cut(line, most=70):
    """A line for a message."""
    return shown(line.strip()[:most] + "..." * (len(line.strip()) > most))
