"""Numbers in a chapter's text: each is computed, and this keeps text and computation together.

In a text cell a number stands between two tags, followed by the expression that gives it:

    weights cross in <span>283 µs</span><!--= si(memory_s, "s") -->

A rendered page shows the number in ordinary type and hides the rest; bold is left for what is worth remembering. The
expression is evaluated when all code cells of the chapter have run. A number that the text itself sets, such as an exercise's hypothesis, is marked <!--given-->.

    python tools/prose.py            rewrite every number from its expression
    python tools/prose.py --check    say which are out of date, and which numbers have no expression
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from unittest import mock

import nbformat

from bottlenecks.facts import files

BOUND = re.compile(r"<span>([^<\n]*?)</span><!--= *(.+?) *-->")
UNITS = (
    r"(?:[kMGTPEmµnp]?(?:B/s|FLOP/s|FLOP/B|FLOP|B|s|W|J)|[KMGT]iB|FLOP per byte|tokens|%|times|bytes?|chips|users|rows)"
)
NUMBER = re.compile(rf"(?<![\w.#-])\d[\d,.]*(?:\s{UNITS}(?![\w/])|)(?!\w)")
IGNORED = re.compile(  # numbers that are computed, given, code, mathematics, links or names
    r"<span>[^<\n]*?</span><!--=.+?-->|RTX \w+|\S+(?: \S+)?<!--given-->|```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]+>|<!--.*?-->",
    re.S,
)
UNSEEN = mock.patch("bottlenecks.lessons.widgets.explore", lambda exhibit, **chosen: None)  # pictures change no number
YEAR = re.compile(r"(?:19|20)\d\d")


def chapters():
    """The notebooks, in reading order."""
    return sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def evaluated(path):
    """The notebook and, for each text cell, (cell, text as it should read) once all code has run."""
    notebook = nbformat.read(path, as_version=4)
    space, here = {"__name__": "chapter"}, os.getcwd()
    os.chdir(path.parent)
    try:
        with UNSEEN, contextlib.redirect_stdout(io.StringIO()):
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, f"{path.name}", "exec"), space)
    finally:
        os.chdir(here)
    return notebook, [
        (cell, BOUND.sub(lambda found: _filled(found, space, path), cell.source))
        for cell in notebook.cells
        if cell.cell_type == "markdown"
    ]


def _filled(found, space, path):
    try:
        value = eval(found[2], space)
    except Exception as problem:
        raise ValueError(f"{path.name}: {found[2]!r} does not evaluate: {problem!r}") from problem
    return f"<span>{value}</span><!--= {found[2]} -->"


def unbound(text):
    """Numbers of a text that no expression gives: those with a unit, and any of three digits or more."""
    found = []
    for number in NUMBER.findall(IGNORED.sub(" ", text)):
        digits = re.sub(r"\D", "", re.split(r"\s[A-Za-zµ%]", number)[0]).strip("0")
        bare = re.fullmatch(r"[\d,.]+", number)
        if re.fullmatch(r"(?:[01]\d|2[0-3])\.\d+\.?", number):  # the id of an exercise
            continue
        if bare and (len(digits) < 3 or YEAR.fullmatch(number.strip(".,"))):
            continue
        found.append(number.strip())
    return found


def problems(path):
    """One line for each number of a chapter that is out of date or has no expression."""
    lines = []
    for cell, text in evaluated(path)[1]:
        for old, new in zip(BOUND.finditer(cell.source), BOUND.finditer(text), strict=True):
            if old[1] != new[1]:
                lines.append(f"{path.name}: the text says {old[1]}, {old[2]} gives {new[1]}")
        lines += [f"{path.name}: {number!r} has no expression: {cell.source[:60]!r}" for number in unbound(cell.source)]
    return lines


def refresh(path):
    """Rewrite the computed numbers of a chapter; says whether anything changed."""
    notebook, texts = evaluated(path)
    changed = any(cell.source != text for cell, text in texts)
    for cell, text in texts:
        cell.source = text
    if changed:
        files.write(path, nbformat.writes(notebook) + "\n")
    return changed


if __name__ == "__main__":
    if "--check" in sys.argv:
        found = [line for path in chapters() for line in problems(path)]
        print("\n".join(found) or "every number in the text is computed")
        sys.exit(bool(found))
    for path in chapters():
        print(f"{path.name}: {'rewritten' if refresh(path) else 'up to date'}")
