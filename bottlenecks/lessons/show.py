"""Equation cards, each from its law's own docstring so that an equation stands once; and tables."""

import inspect
import io
import re
import tokenize

from bottlenecks import data
from bottlenecks.lessons import errors

LONG_CODE = 20  # lines
WIDE_CODE = 92  # letters: a page breaks longer lines anywhere
PRIVATE = re.compile(r"(?<![\w.])_[a-z]\w*\(")  # a call of a helper that a card does not show
errors.install()


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
        cited = self._worded(self.source)
        for key, entry in data.references().items():
            if re.search(rf"\b{re.escape(key)}\b", cited):
                name = f"{entry.get('author', key)} ({entry.get('year', 'n.d.')})"
                cited = cited.replace(key, f"[{name}]({entry['url']})" if entry.get("url") else name)
        return cited

    def _worded(self, text):
        """Text with the card's symbols and its small formulas as mathematics; a label leads to its equation."""
        names = sorted({symbol for symbol, *_ in self.symbols} - {"a", "-"}, key=len, reverse=True)  # "a" is a word
        words = re.split(r"(`[^`]*`|\beq:[\w-]*\w)", text)
        for i, word in enumerate(words):
            if word.startswith("eq:"):
                words[i] = f"[{word}](#{word.replace(':', '-')})"
            elif not word.startswith("`"):
                words[i] = _mathematics(word, names)
        return "".join(words)

    def _folded(self):
        """The code; folded away where it would bury the equation, or calls helpers that it does not show."""
        code = f"```python\n{self.code}\n```"
        if self.code.count("\n") < LONG_CODE and not PRIVATE.search(self.code):
            return code
        return f"<details><summary>The code</summary>\n\n{code}\n\n</details>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        symbols = "\n".join(
            f"| {'' if symbol == '-' else f'${_tex(symbol)}$'} | {_argument(name)} | {self._worded(meaning)} | {unit} |"
            for symbol, name, meaning, unit in self.symbols
        )
        return {
            "text/markdown": (
                f'<a id="{self.label.replace(":", "-")}"></a>**{self.title}** &nbsp; `{self.name}` &nbsp; ({self.label})\n\n'
                f"$${self.equation}$$\n\n| symbol | argument | meaning | unit |\n|:--|:--|:--|:--|\n{symbols}\n\n"
                f"*Holds for:* {self._worded(self.holds)} *Source:* {self._cited()}\n\n{self._folded()}"
            ),
            "text/plain": f"{self.title}  {self.name} ({self.label})\n{self.equation.strip()}",
        }


def _argument(name):
    """An argument as code; an equation's label or what is counted inside as plain words."""
    name = re.sub(r"\((eq:([\w-]+))\)", r"[\1](#eq-\2)", name)
    return f"`{name}`" if re.fullmatch(r"[\w.]+", name) else name.strip("-")


def show(law):
    """The equation card of a law, as the last line of a cell."""
    return Card(law)


# A number, alone or with a sign, a unit or a word after it: "5,449 tokens/s", "-3.2 %", "2.1 times"
NUMBER = re.compile(r"[-+−~≈×<>±]?\s?(\d[\d,.]*(e[-+]?\d+)?|inf|nan)( ?[^\s\d]\S*)?", re.I)
NOTHING = ("", "-", "–", "—")
GLUE = "\u00a0"  # a space at which no line is broken


class Table:
    """Rows of text under their headings, as a notebook shows them: words at the left, numbers at the right and whole."""

    def __init__(self, rows):
        self.rows = [{name: str(cell) for name, cell in row.items()} for row in rows]
        if not self.rows:
            raise ValueError("a table needs at least one row")
        self.names = list(self.rows[0])
        self.right = {name: self._counts(name) for name in self.names}

    def _counts(self, name):
        """Whether a column holds numbers."""
        cells = [row[name] for row in self.rows if row[name] not in NOTHING]
        return bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)

    def _cell(self, name, cell):
        return cell.replace(" ", GLUE) if self.right[name] or NUMBER.fullmatch(cell) else cell

    def _repr_mimebundle_(self, include=None, exclude=None):
        rules = ["--:" if self.right[name] else ":--" for name in self.names]
        cells = [[self._cell(name, cell) for name, cell in row.items()] for row in self.rows]
        widths = [max(len(name), *(len(row[name]) for row in self.rows)) for name in self.names]
        lines = [
            "  ".join(
                row[name].rjust(w) if self.right[name] else row[name].ljust(w)
                for name, w in zip(self.names, widths, strict=True)
            ).rstrip()
            for row in [dict(zip(self.names, self.names, strict=True)), *self.rows]
        ]
        return {
            "text/markdown": "\n".join(f"| {' | '.join(line)} |" for line in (self.names, rules, *cells)),
            "text/plain": "\n".join(lines),
        }


def table(rows):
    """A table from rows, each a dictionary of heading and value, as the last line of a cell."""
    return Table(rows)


GREEK = dict(
    zip(
        "αβγδεηθκλΛℓμνΠρστφχζψωξ",
        r"\alpha \beta \gamma \delta \epsilon \eta \theta \kappa \lambda \Lambda \ell \mu \nu \Pi \rho \sigma \tau \phi \chi \zeta \psi \omega \xi".split(),
        strict=True,
    )
)


def _tex(symbol):
    for letter, command in GREEK.items():
        symbol = symbol.replace(letter, command)
    return re.sub(r"_(\w+)", r"_{\1}", symbol)


SIGNS = (("<=", "≤"), (">=", "≥"), (" - ", " − "), (" * ", " "))


def _mathematics(text, names):
    """A stretch of words with its symbols set as mathematics: `m n / t^2` where m, n and t are symbols."""
    for plain, sign in SIGNS:
        text = text.replace(plain, sign)
    if names:
        one = "|".join(map(re.escape, names))
        text = re.sub(
            rf"(?<![\w.'’-])(?<!\w\w/)({one})(\^\w+)?(?![\w'’.-]*\w)",
            lambda found: f"${_tex(found[1])}{found[2] or ''}$",
            text,
        )
    return re.sub(r"(?<![\w$])[A-Za-z]_\w+\b(?![$\w])", lambda found: f"${_tex(found[0])}$", text)


def _body(law):
    """The code of a law as a reader meets it: without docstring and marks for tools, its lines short enough."""
    source = inspect.getsource(law)
    source = re.sub(r'\n    r?""".*?"""', "", source, count=1, flags=re.S).strip()
    source = re.sub(r" *# (fmt|noqa|ruff|pragma|type)\b.*", "", source)
    return "\n".join(_broken(source))


def _broken(source):
    """The lines of a source, long ones broken after a comma or before an operator within brackets."""
    lines, breaks = source.splitlines(), {}
    depth, code = 0, (tokenize.OP, tokenize.NAME)
    for kind, text, (row, column), (_, end), _ in tokenize.generate_tokens(io.StringIO(source).readline):
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}")) if kind == tokenize.OP else 0
        if depth and kind in code and text in (",", "+", "/", "if", "else", "for"):
            breaks.setdefault(row, []).append((depth, end + 1 if text == "," else column))
        if text == "(":  # where there is nothing better
            breaks.setdefault(row, []).append((depth + 10, end))
    for row, line in enumerate(lines, 1):
        bare = line.split("  # ")[0]
        if len(line) > WIDE_CODE and bare != line:  # the comment goes above
            indent = line[: len(line) - len(line.lstrip())]
            yield f"{indent}# {line.split('  # ', 1)[1]}"
            line = bare
        at = [place for place in breaks.get(row, ()) if 20 < place[1] < min(WIDE_CODE, len(line))]
        if len(line) > WIDE_CODE and at:
            _, cut = min(at, key=lambda place: (place[0], -place[1]))  # the outermost, as far to the right as can be
            indent = len(line) - len(line.lstrip()) + 4
            yield line[:cut].rstrip()
            line = " " * indent + line[cut:].lstrip()
        yield line
