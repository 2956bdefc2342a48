"""The contents page: an order in which nothing is needed before it comes, routes, objectives that an exercise shows."""

from pathlib import Path

import pytest

from bottlenecks import data
from bottlenecks.facts import book
from bottlenecks.lessons import checks, contents

CHAPTERS = list(book.chapters().values())
NUMBERS = [row["number"] for row in CHAPTERS]
OBJECTIVES = data.rows("objectives")
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_there_are_23_in_order():
    assert [f"{i:02}" for i in range(1, 24)] == NUMBERS
    assert all(row["slug"].startswith(f"{row['number']}_") and row["question"].endswith("?") for row in CHAPTERS)
    waves = [row["wave"] for row in CHAPTERS]
    assert list(dict.fromkeys(waves)) == list(book.WAVES) and sorted(waves, key=list(book.WAVES).index) == waves


@pytest.mark.parametrize("row", CHAPTERS, ids=lambda row: row["number"])
def test_a_chapter_needs_only_earlier_ones_and_lies_on_a_route(row):
    assert all(needed < row["number"] for needed in row["needs"]) and set(row["needs"]) <= set(NUMBERS)
    assert row["routes"] and set(row["routes"]) <= set(book.ROUTES)
    assert 0 < row["minutes_to_read"] < row["minutes"]


def test_the_chapters_that_are_written_are_those_that_are_there():
    there = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert {row["slug"] for row in CHAPTERS if row["written"]} == {row["slug"] for row in CHAPTERS} & there
    others = {
        name for name in there if name[:2] in ("00", "A1", "A2", "A3") or name[2] == "i"
    }  # contents, appendices, interludes
    assert there - others == {row["slug"] for row in CHAPTERS if row["written"]}


def test_what_a_chapter_needs():
    assert [row["number"] for row in book.needed(["09"])] == ["01", "02", "03", "09"]
    assert [row["number"] for row in book.needed(["15"])] == ["01", "02", "03", "05", "12", "14", "15"]


@pytest.mark.parametrize("name", book.ROUTES)
@pytest.mark.parametrize("weeks", [1, 3, 6, 13])
def test_a_route_has_what_it_needs_and_loses_nothing(name, weeks):
    rows = book.on_route(name)
    assert {need for row in rows for need in row["needs"]} <= {row["number"] for row in rows}
    dealt = contents.weeks_of(rows, weeks)
    assert len(dealt) == weeks and [row for week in dealt for row in week] == rows
    assert len(contents.route(name, weeks).rows) == weeks


def test_weeks_of_equal_chapters_are_equal():
    rows = [{"minutes": 60}] * 6
    assert [len(week) for week in contents.weeks_of(rows, 3)] == [2, 2, 2]


def test_a_route_that_is_none():
    with pytest.raises(ValueError, match="did you mean 'serving'"):
        contents.route("servin")


def test_every_written_chapter_has_four_objectives():
    for row in CHAPTERS:
        mine = [o for o in OBJECTIVES if o["chapter"] == row["number"]]
        assert len(mine) == 4 or (not mine and not row["written"]), row["number"]
    with pytest.raises(ValueError, match="has no objectives"):
        contents.objectives("10")


VERBS = "Compute Count Choose Compare Convert Derive Design Estimate Explain Find Judge Predict Tell Write Sketch Show Program".split()


@pytest.mark.parametrize("row", OBJECTIVES, ids=lambda row: f"{row['chapter']} {row['objective'][:30]}")
def test_an_objective_begins_with_a_verb_and_an_exercise_shows_it(row):
    assert row["objective"].split()[0] in VERBS
    assert row["exercise"].startswith(f"{row['chapter']}.")
    parts = {id.rstrip("abc") for id in checks.load_all()}  # a chain counts as one
    assert row["exercise"] in parts, f"there is no exercise {row['exercise']}"


def test_other_books():
    shown = contents.rosetta("number")._repr_mimebundle_()["text/markdown"]
    assert "2,475 tokens per GPU" in shown and "(2,474)" in shown and "{" not in shown
    assert len(contents.rosetta("symbol").rows) >= 12


def test_the_map_links_what_is_written():
    shown = contents.contents_map()._repr_mimebundle_()["text/markdown"]
    assert (
        "[How fast could it go?](01_how_fast_could_it_go.ipynb)" in shown
        and "Why not just more DRAM? *(being written)*" in shown
    )
