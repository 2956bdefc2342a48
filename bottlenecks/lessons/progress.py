"""The reader's own record of exercises tried: a file on this machine, which nothing sends anywhere.

Each try adds one line to `progress.jsonl` in the data folder, beside what `bottlenecks measure` keeps.
"""

import json
from contextlib import suppress
from datetime import UTC, datetime

from bottlenecks.facts import files
from bottlenecks.facts.book import chapters
from bottlenecks.facts.units import plain
from bottlenecks.yours.roofline import user_folder

FILE = "progress.jsonl"
OUTSIDE = {"00": "Are you ready?", "06i": "Train Llama-3-70B for 30 days"}  # what has exercises and is no chapter
TOLD = set()  # problems that were told once


def keep(id, right):
    """Add a try to the record. A disk that refuses is told of once, and fails nothing."""
    line = json.dumps({"id": id, "right": bool(right), "at": _now()})
    try:
        folder = user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        files.add_line(folder / FILE, line)
    except OSError as error:
        if str(error) not in TOLD:
            TOLD.add(str(error))
            print(f"(Your progress is not kept: {error})")


def _now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tries():
    """Every try, oldest first: {id, right, at}. A line that is none, of a run that was cut off, is passed over."""
    try:
        lines = (user_folder() / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [kept for line in lines if (kept := _try(line))]


def _try(line):
    with suppress(ValueError, TypeError, KeyError):
        kept = json.loads(line)
        if isinstance(kept["id"], str) and isinstance(kept["right"], bool) and isinstance(kept["at"], str):
            return kept
    return None


def put_aside():
    """Begin anew. The record so far is kept under the time, and its path returned; None where there is none."""
    path = user_folder() / FILE
    if not tries():
        return None
    return files.put_aside(path, "-" + _now().replace("-", "").replace(":", ""))


def by_chapter(exercises, kept=None):
    """Rows of chapter, exercises right, tried and in all, and the minutes of those right and of all.

    `exercises` is the registry of `checks`; open ones, which nobody can be right about, are left out.
    """
    kept = tries() if kept is None else kept
    tried, right = {k["id"] for k in kept}, {k["id"] for k in kept if k["right"]}
    rows = {}
    for id, one in sorted(exercises.items()):
        if one.is_open:
            continue
        row = rows.setdefault(id.partition(".")[0], dict.fromkeys(("right", "tried", "total", "done_min", "min"), 0))
        row["right"] += id in right
        row["tried"] += id in tried
        row["total"] += 1
        row["done_min"] += one.minutes * (id in right)
        row["min"] += one.minutes
    return [{"chapter": chapter, **row} for chapter, row in rows.items()]


def lines(rows):
    """The table of `by_chapter` as rows of text, with the chapters' questions and a sum."""
    questions = {number: row["question"] for number, row in chapters().items()} | OUTSIDE
    whole = {name: sum(row[name] for row in rows) for name in ("right", "tried", "total", "done_min", "min")}
    return [
        {
            "chapter": f"{row['chapter']} {questions.get(row['chapter'], '')}".strip(),
            "right": f"{row['right']}",
            "tried": f"{row['tried']}",
            "of": f"{row['total']}",
            "minutes": f"{plain(row['done_min'])} of {plain(row['min'])}",
        }
        for row in [*rows, {"chapter": "all", **whole}]
    ]


def report(exercises):
    """A report to hand in, in Markdown: the table, and each exercise that was tried."""
    from bottlenecks import __version__

    kept = tries()
    table = lines(by_chapter(exercises, kept))
    out = [f"# Exercises of *bottlenecks* {__version__}, as of {_now()}", "", *_markdown(table), ""]
    each = []
    for id in sorted({k["id"] for k in kept} & set(exercises)):
        mine = [k for k in kept if k["id"] == id]
        first = next((k["at"] for k in mine if k["right"]), "not yet")
        one = exercises[id]
        each.append({"exercise": id, "kind": one.kind, "stars": "★" * one.stars, "tries": len(mine), "right": first})
    return "\n".join([*out, *_markdown(each), ""]) if each else "\n".join([*out, "Nothing is tried yet.", ""])


def _markdown(rows):
    names = list(rows[0])
    return [
        f"| {' | '.join(map(str, line))} |" for line in (names, ["---"] * len(names), *(row.values() for row in rows))
    ]
