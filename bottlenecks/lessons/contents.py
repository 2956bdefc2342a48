"""The contents page: chapters, what each needs, ways through them, objectives, and other books' words."""

from bottlenecks import data
from bottlenecks.facts.book import ROUTES, chapters, on_route
from bottlenecks.facts.doors import between, one_of
from bottlenecks.facts.units import plain
from bottlenecks.lessons.sheets import filled
from bottlenecks.lessons.show import Table


def contents_map():
    """Every chapter as a question, with its wave, what it needs, and its time."""
    return Table(
        {
            "": row["number"],
            "question": _link(row),
            "what it is about": row["about"],
            "wall": row["wave"],
            "needs": ", ".join(row["needs"]) or "-",
            "minutes to read": plain(row["minutes_to_read"]),
            "with exercises": plain(row["minutes"]),
        }
        for row in chapters().values()
    )


def _link(row):
    return f"[{row['question']}]({row['slug']}.ipynb)" if row["written"] else f"{row['question']} *(being written)*"


def weeks_of(rows, weeks):
    """Rows dealt over weeks in order: week k takes those whose middle lies in the k-th part of the minutes."""
    whole, before, dealt = sum(row["minutes"] for row in rows), 0.0, [[] for _ in range(weeks)]
    for row in rows:
        middle = before + row["minutes"] / 2
        dealt[min(int(middle / whole * weeks), weeks - 1)].append(row)
        before += row["minutes"]
    return dealt


def route(name, weeks=6):
    """A way through the book, dealt over weeks: route("serving", weeks=6).

    `name` is "training", "serving" or "hardware". What its chapters need is in it.
    """
    one_of("route", name, ROUTES)
    rows = on_route(name)
    weeks = int(between("weeks", weeks, 1, 26))
    return Table(
        {
            "week": week,
            "chapters": "; ".join(f"{row['number']} {_link(row)}" for row in dealt) or "review",
            "hours": plain(sum(row["minutes"] for row in dealt) / 60, 2),
        }
        for week, dealt in enumerate(weeks_of(rows, weeks), 1)
    )


def objectives(chapter):
    """What a reader can do after a chapter, and the exercise that shows it."""
    rows = [row for row in data.rows("objectives") if row["chapter"] == chapter]
    if not rows:
        there = dict.fromkeys(row["chapter"] for row in data.rows("objectives"))
        raise ValueError(f"chapter {chapter!r} has no objectives; there are: {', '.join(there)}")
    return Table({"after this chapter you can": row["objective"], "shown by": row["exercise"]} for row in rows)


def rosetta(kind=None):
    """Our symbols, names and numbers beside those of *How to Scale Your Model* and of the Ultra-Scale Playbook.

    `kind` is "symbol", "name" or "number"; all without.
    """
    if kind is not None:
        one_of("kind", kind, tuple(dict.fromkeys(row["kind"] for row in data.rows("rosetta"))))
    return Table(
        {
            "ours": _said(row["ours"], row),
            "How to Scale Your Model": row["scaling_book"],
            "Ultra-Scale Playbook": row["playbook"],
            "remark": _said(row["remark"], row),
        }
        for row in data.rows("rosetta")
        if kind in (None, row["kind"])
    )


def _said(text, row):
    """Only rows of numbers have names in braces; elsewhere braces are LaTeX's."""
    return filled(text) if row["kind"] == "number" else text
