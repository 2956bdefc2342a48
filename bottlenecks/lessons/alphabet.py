"""One alphabet for the whole book: every symbol of every equation card, each with one meaning and one unit."""

import importlib
import inspect
import pkgutil
import re

from bottlenecks import data
from bottlenecks.lessons.show import Card, Table

LETTERS = (
    "alpha beta gamma delta epsilon eta theta kappa lambda mu nu Pi rho sigma tau phi chi ell pi varepsilon psi omega zeta xi Phi"
).split()
TOKEN = re.compile(r"(\\[a-zA-Z]+ ?|[A-Za-z])(?:_(\{[^}]*\}|\\[a-zA-Z]+|\w))?")
INDICES = ("i", "l", "1", "2", "3", "p", "+", "-", r"\pm", "1/2", "*")  # the same thing, one of several


def notation(chapter=None):
    """The book's symbols, or those that a chapter is the first to use, as a table."""
    rows = [row for row in data.rows("notation") if chapter in (None, row["chapter"])]
    return Table(
        {
            "symbol": f"${row['symbol']}$",
            "meaning": row["meaning"],
            "unit": "" if row["unit"] == "-" else row["unit"],
            "from chapter": row["chapter"],
        }
        for row in sorted(rows, key=lambda row: _order(row["symbol"]))
    )


def _order(symbol):
    """Latin letters, then Greek; a letter before what is made of it."""
    letter, _, below = symbol.partition("_")
    return letter.startswith("\\"), letter.lower(), letter, below


def symbol(text):
    r"""A symbol in the spelling of the table: symbol("T_{x}"), symbol(r"B_{\mu}").

    >>> symbol("T_{x}"), symbol("T_{hr}")
    ('T_x', 'T_{hr}')
    """
    letter, _, below = text.replace(" ", "").partition("_")
    below = below.strip("{}")
    if not below:
        return letter
    return f"{letter}_{below}" if len(below) == 1 or re.fullmatch(r"\\\w+", below) else f"{letter}_{{{below}}}"


def entry(text):
    """The row of a symbol; of one of several (the first bandwidth, a level's bytes) the row of its letter."""
    table = {row["symbol"]: row for row in data.rows("notation")}
    written = symbol(text)
    letter, _, below = written.partition("_")
    return table.get(written) or (table.get(letter) if below.strip("{}") in INDICES else None)


def symbols(equation):
    """The symbols of an equation in LaTeX, in the order in which they appear."""
    bare = re.sub(r"\\(?:text|begin|end)\{[^}]*\}", " ", equation)
    bare = re.sub(r"\\([a-zA-Z]+)", lambda found: found[0] + " " if found[1] in LETTERS else " ", bare)
    return list(dict.fromkeys(symbol("_".join(filter(None, found))) for found in TOKEN.findall(bare)))


def laws():
    """The functions that have an equation card, by their dotted names."""
    found = {}
    for wing in ("laws", "models"):
        package = importlib.import_module(f"bottlenecks.{wing}")
        for each in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{each.name}")
            for name, law in inspect.getmembers(module, inspect.isfunction):
                if law.__module__ == module.__name__ and "$$" in (law.__doc__ or ""):
                    found[f"{wing}.{each.name}.{name}"] = law
    return found


def card(name):
    """The card of a law by its dotted name: card("laws.roofline.time_s")."""
    return Card(laws()[name])
