"""The figure of the contents page: which chapter needs which, and three ways through the book."""

import numpy as np

from bottlenecks.exhibits.axes import panel
from bottlenecks.exhibits.labels import labels, told
from bottlenecks.exhibits.marks import Mark, boxes, corners, polygons, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.book import ROUTES, WAVES, chapters, on_route
from bottlenecks.facts.units import plain, plural

WHOLE = "the whole book"
HUES = {
    "tools": COLOUR["idle"],
    "compute": COLOUR["compute"],
    "memory": COLOUR["memory"],
    "system": COLOUR["network"],
    "whole": COLOUR["total"],
}
LEFT, RIGHT, HIGH = 2.75, 7.4, 0.8  # edges of the boxes in inches, their height in rows
HEADED, GAP = 0.95, 0.35  # rows of a wall's heading, and above it
FAINT = "#DCDCDC"
PALE, PALE_HOURS = "#A8A8A8", "#C4C4C4"  # words beside the route


def _rows():
    """(number -> row of its box, wave -> row of its heading), from the top."""
    places, heads, y = {}, {}, 0.0
    for number, chapter in chapters().items():
        if chapter["wave"] not in heads:
            heads[chapter["wave"]] = y + GAP
            y += GAP + HEADED
        places[number] = y
        y += 1
    return places, heads


def _map_table(route):
    shown = {c["number"] for c in (chapters().values() if route == WHOLE else on_route(route))}
    places, all_of = _rows()[0], list(chapters().values())
    arrows = [(need, c["number"]) for c in all_of for need in c["needs"]]
    mine = [c for c in all_of if c["number"] in shown]
    return stack(
        chapter={
            "number": [c["number"] for c in all_of],
            "question": [c["question"] for c in all_of],
            "wave": [c["wave"] for c in all_of],
            "row": [places[c["number"]] for c in all_of],
            "on_route": [float(c["number"] in shown) for c in all_of],
            "written": [float(c["written"]) for c in all_of],
            "minutes": [c["minutes"] for c in all_of],
        },
        arrow={
            "number": [needs for _, needs in arrows],
            "needs": [need for need, _ in arrows],
            "on_route": [float({*pair} <= shown) for pair in arrows],
        },
        here={
            "question": route,
            "chapters": len(mine),
            "written": sum(c["written"] for c in mine),
            "minutes": sum(c["minutes"] for c in mine),
        },
    )


def _summary(table):
    here = row(table)
    way = "The whole book" if here.question == WHOLE else f"The way of {here.question}"
    return (
        f"{way} has {plural(here.chapters, 'chapter')}, {plain(here.written)} of them written, "
        f"and takes about {plain(here.minutes / 60, 2)} hours with exercises."
    )


# ---- the drawing ----------------------------------------------------------------------------------


def _edges(table):
    """Left, right, lower and upper edges of the boxes."""
    y = pick(table, "chapter", "row")
    return LEFT, RIGHT, y + HIGH / 2, y - HIGH / 2


def _arcs(table, on_route):
    """Half ellipses at the left, from each chapter down to those that need it; the farther, the wider."""
    places, _ = _rows()
    needs, number, on = pick(table, "arrow", "needs", "number", "on_route")
    turn = np.linspace(0, np.pi, 40)
    arcs = []
    for need, by in zip(needs[on == on_route], number[on == on_route], strict=True):
        start, end = places[need] + 0.14, places[by] - 0.14
        wide = 0.22 + 2.3 * ((end - start) / (max(places.values()) - min(places.values()))) ** 0.8
        arcs.append(np.stack([LEFT - wide * np.sin(turn), (start + end) / 2 - (end - start) / 2 * np.cos(turn)], -1))
    return arcs


def _heads(ax, on_route, colour, **style):
    """Triangles where arrows end."""
    drawn = polygons(ax, facecolors=colour, **style)
    side = np.array([[0, 0], [-0.1, -0.15], [-0.1, 0.15]])
    return Mark([drawn], lambda table: drawn.set_verts([arc[-1] + side for arc in _arcs(table, on_route)]))


def _hues(table):
    """The colours of the arrows on the route: each has that of the wall it comes from."""
    needs, on = pick(table, "arrow", "needs", "on_route")
    return [HUES[chapters()[need]["wave"]] for need in needs[on == 1]]


def _coloured(mark, colours):
    """A mark of one collection whose pieces have colours of their own."""

    def fill(table):
        mark.fill(table)
        mark.artists[0].set_color(colours(table))

    return Mark(mark.artists, fill)


def _faces(table):
    """The wave's hue where a chapter is written, white where it is not; pale beside the route."""
    waves, written, on = pick(table, "chapter", "wave", "written", "on_route")
    return [
        _mixed(HUES[w], (0.26 if o else 0.08) if done else 0) for w, done, o in zip(waves, written, on, strict=True)
    ]


def _mixed(colour, part):
    """A colour of which `part` is left, the rest white."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return tuple(1 - part * (1 - rgb))


def _rims(ax):
    """The boxes' edges, in colour on the route alone."""
    drawn = polygons(ax, facecolors="none", linewidths=1.2, zorder=1.6)

    def fill(table):
        waves, on = pick(table, "chapter", "wave", "on_route")
        drawn.set_verts(corners(*_edges(table)))
        drawn.set_edgecolors([HUES[wave] if o else FAINT for wave, o in zip(waves, on, strict=True)])

    return Mark([drawn], fill)


def _words(column, x, pale):
    """The words of a column at a place in every box."""

    def words(table):
        texts, y, on = pick(table, "chapter", column, "row", "on_route")
        if column == "minutes":
            texts = [f"{plain(minutes / 60, 2)} h" for minutes in texts]
        return texts, np.full(len(y), x), y, ["#111111" if o else pale for o in on]

    return words


def _draw_map(figure):
    figure.set_size_inches(7.6, 7.9)
    ax = panel(figure, left=0.0, bottom=0.035, right=1.0, top=0.985)
    places, heads = _rows()
    ax.set(xlim=(0, 7.6), ylim=(max(places.values()) + 0.6, 0))
    ax.axis("off")
    for wave, y in heads.items():
        ax.text(LEFT, y + 0.15, WAVES[wave], va="center", fontsize=9.5, weight="bold", color=HUES[wave])
    figure.text(
        LEFT / 7.6,
        0.012,
        "filled: written    white: being written    h: hours with exercises",
        fontsize=8.5,
        color=GREY,
    )
    return updating(
        segments(ax, lambda table: _arcs(table, 0), colors=FAINT, linewidths=0.9, zorder=1),
        _heads(ax, 0, FAINT, zorder=1),
        _coloured(segments(ax, lambda table: _arcs(table, 1), linewidths=1.0, zorder=1.2), _hues),
        _coloured(_heads(ax, 1, "none", zorder=1.3), _hues),
        boxes(ax, _edges, _faces, zorder=1.4),
        _rims(ax),
        labels(ax, _words("number", LEFT + 0.12, PALE), size=9, weight="bold"),
        labels(ax, _words("question", LEFT + 0.48, PALE), size=9),
        labels(ax, _words("minutes", RIGHT - 0.1, PALE_HOURS), size=8, align="right"),
        told(ax, _told, "upper left", fontsize=10),
    )


def _told(table):
    """The way and its length, at the head of the figure."""
    here = row(table)
    return f"{here.question}\n{plural(here.chapters, 'chapter')}, {plain(here.minutes / 60, 2)} h"


contents = Exhibit(
    slug="00-map",
    title="Which chapter needs which.",
    caption="Every chapter, below the name of its wall. An arrow leads from a chapter to one that needs it. "
    "Choose a way through the book.",
    alt="A list of 23 boxes in five groups, one for each chapter, with arrows at the left from each chapter to those "
    "that need it.",
    table=_map_table,
    draw=_draw_map,
    summary=_summary,
    controls={"route": Control(label="way through the book", values=(WHOLE, *ROUTES), start=WHOLE)},
)
