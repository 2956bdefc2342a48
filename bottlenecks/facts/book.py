"""The book's own plan: its chapters, what each needs, and the ways through them."""

from functools import cache

from bottlenecks import data

ROUTES = ("training", "serving", "hardware")
WAVES = {  # as chapters.csv writes them
    "tools": "Tools",
    "compute": "First wall: compute",
    "memory": "Second wall: memory",
    "system": "Third wall: the system",
    "whole": "The whole",
}


@cache
def chapters():
    """Number -> row of chapters.csv, in reading order, with numbers as numbers and lists as tuples."""
    return {
        row["number"]: row
        | {
            "needs": tuple(row["needs"].split()),
            "routes": tuple(row["routes"].split()),
            "minutes_to_read": float(row["minutes_to_read"]),
            "minutes": float(row["minutes_with_exercises"]),
            "written": row["written"] == "1",
        }
        for row in data.rows("chapters")
    }


def needed(numbers):
    """Chapters, with all that they need and what that needs, in reading order."""
    found, left = set(), list(numbers)
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += chapters()[number]["needs"]
    return [row for number, row in chapters().items() if number in found]


def on_route(name):
    """The chapters of a route, with what they need."""
    return needed(number for number, row in chapters().items() if name in row["routes"])
