"""A verdict on a claim: a word, one sentence, the numbers as a small table, and how far it is from another word."""

import tomllib
from dataclasses import dataclass
from functools import cache

from bottlenecks import data

SAID = {"holds": "holds", "holds-when": "holds under conditions", "open": "cannot be decided", "fails": "fails"}
WORDS = tuple(SAID)


@cache
def claims():
    """Every claim: id -> {article, question, needs}."""
    table = tomllib.loads((data.FOLDER / "claims.toml").read_text(encoding="utf-8"))
    return {claim.pop("id"): claim for claim in table["claim"]}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """holds, holds-when or fails; the sentence and the numbers that say so; the range for which it was computed."""

    claim: str
    verdict: str  # one of WORDS
    because: str
    range: str
    numbers: dict
    rows: tuple = ()  # of a small table: dictionaries of one set of keys, of values that print
    margin: str = ""  # how far the numbers are from another word
    n: int | None = None  # what was counted, if anything was: runs, rows, models

    @property
    def foot(self):
        """What stands under the table."""
        counted = "" if self.n is None else f"n = {self.n:,}. "
        far = f"Margin: {self.margin} " if self.margin else ""
        return f"{far}{counted}Range: {self.range}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        question = claims()[self.claim]["question"]
        head = f"*{question}* **What is claimed {SAID[self.verdict]}.** ({self.claim})"
        marked = [head, self.because, _marked(self.rows), self.foot]
        plain = [f"{self.claim}: {self.verdict}. {self.because}", _plain(self.rows), self.foot]
        return {"text/markdown": "\n\n".join(filter(None, marked)), "text/plain": "\n".join(filter(None, plain))}


def _marked(rows):
    """Rows as a table of Markdown."""
    if not rows:
        return ""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(rows):
    return "\n".join("; ".join(f"{name} {value}" for name, value in row.items()) for row in rows)
