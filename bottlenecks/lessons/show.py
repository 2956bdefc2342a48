"""Equation cards, each from its law's own docstring so that an equation stands once; and tables."""

import inspect
import re

from bottlenecks import data

LONG_CODE = 20  # lines


class Card:
    """A law as a notebook shows it: equation, symbols, range, source and code."""

    def __init__(self, law):
        doc = inspect.getdoc(law) or ""
        if "$$" not in doc:
            raise ValueError(f"{getattr(law, '__name__', law)!r} has no equation in its docstring to show")
        self.name = f"{law.__module__.split('.', 1)[-1]}.{law.__name__}"
        self.title = doc.splitlines()[0]
        self.equation, self.label = re.search(r"\$\$(.*?)\$\$\s*\((eq:[\w-]+)\)", doc, re.S).groups()
        self.symbols = re.findall(r"^(\S+(?: \S+)?) {2,}(\S.*?) {2,}(\S.*?) +\[(.+?)\]$", doc, re.M)
        self.holds = self._after("Holds for:", doc)
        self.source = self._after("Source:", doc)
        self.code = _body(law)

    @staticmethod
    def _after(word, doc):
        found = re.search(rf"{word}(.*?)(?=\n\n|\n[A-Z][a-z ]+:|\Z)", doc, re.S)
        return " ".join(found.group(1).split()) if found else ""

    def _cited(self):
        cited = self.source
        for key, entry in data.references().items():
            if re.search(rf"\b{re.escape(key)}\b", cited):
                name = f"{entry.get('author', key)} ({entry.get('year', 'n.d.')})"
                cited = cited.replace(key, f"[{name}]({entry['url']})" if entry.get("url") else name)
        return cited

    def _folded(self):
        """The code; folded away where it would bury the equation."""
        code = f"```python\n{self.code}\n```"
        if self.code.count("\n") < LONG_CODE:
            return code
        return f"<details><summary>The code</summary>\n\n{code}\n\n</details>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        symbols = "\n".join(
            f"| ${_tex(symbol)}$ | {_argument(name)} | {meaning} | {unit} |"
            for symbol, name, meaning, unit in self.symbols
        )
        return {
            "text/markdown": (
                f"**{self.title}** &nbsp; `{self.name}` &nbsp; ({self.label})\n\n$${self.equation}$$\n\n"
                f"| | argument | | unit |\n|---|---|---|---|\n{symbols}\n\n"
                f"*Holds for:* {self.holds} *Source:* {self._cited()}\n\n{self._folded()}"
            ),
            "text/plain": f"{self.title}  {self.name} ({self.label})\n{self.equation.strip()}",
        }


def _argument(name):
    """An argument as code; an equation's label or what is counted inside as plain words."""
    return f"`{name}`" if re.fullmatch(r"[\w.]+", name) else name.strip("-")


def show(law):
    """The equation card of a law, as the last line of a cell."""
    return Card(law)


class Table:
    """Rows of text under their headings, as a notebook shows them."""

    def __init__(self, rows):
        self.rows = [{name: str(cell) for name, cell in row.items()} for row in rows]
        if not self.rows:
            raise ValueError("a table needs at least one row")

    def _repr_mimebundle_(self, include=None, exclude=None):
        names = list(self.rows[0])
        lines = [names, ["---"] + ["--:"] * (len(names) - 1), *(row.values() for row in self.rows)]
        widths = [max(len(name), *(len(row[name]) for row in self.rows)) for name in names]
        plain = [names, *(list(row.values()) for row in self.rows)]
        return {
            "text/markdown": "\n".join(f"| {' | '.join(line)} |" for line in lines),
            "text/plain": "\n".join(
                "  ".join(
                    cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
                )
                for line in plain
            ),
        }


def table(rows):
    """A table from rows, each a dictionary of heading and value, as the last line of a cell."""
    return Table(rows)


GREEK = dict(
    zip(
        "αβγδεηθκλℓμνΠρστφχ",
        r"\alpha \beta \gamma \delta \epsilon \eta \theta \kappa \lambda \ell \mu \nu \Pi \rho \sigma \tau \phi \chi".split(),
        strict=True,
    )
)


def _tex(symbol):
    for letter, command in GREEK.items():
        symbol = symbol.replace(letter, command)
    return re.sub(r"_(\w+)", r"_{\1}", symbol)


def _body(law):
    """The code of a law without its signature's docstring."""
    source = inspect.getsource(law)
    return re.sub(r'\n    r?""".*?"""', "", source, count=1, flags=re.S).strip()
