"""The text of the chapters: every number in it is computed, every card and exercise is in order."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from bottlenecks import data
from bottlenecks.lessons import checks
from bottlenecks.studies import claims

ROOT = Path(__file__).parents[1]
CHAPTERS = [p for p in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")) if not p.name.startswith("00")]
spec = importlib.util.spec_from_file_location("prose", ROOT / "tools" / "prose.py")
prose = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prose)


@pytest.mark.parametrize("path", prose.chapters(), ids=lambda p: p.stem)
def test_every_number_in_the_text_is_computed(path):
    assert prose.problems(path) == []


def test_a_wrong_number_is_found(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("x = 2"),
            nbformat.v4.new_markdown_cell(
                "It takes <span>3</span><!--= x --> steps, 40 GB and 5,120 rows; in 2023, 16<!--given--> more."
            ),
        ]
    )
    nbformat.write(notebook, tmp_path / "x.ipynb")
    found = prose.problems(tmp_path / "x.ipynb")
    assert len(found) == 3 and "the text says 3, x gives 2" in found[0]
    assert "40 GB" in found[1] and "5,120" in found[2]


def text_of(path, kind="markdown"):
    return "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind)


def id_of(path):
    """A chapter's id: "14", and "06i" of an interlude."""
    return re.match(r"\d\d[a-z]?", path.name)[0]


def words(text):
    return len(re.sub(r"<!--.*?-->|<[^>]+>", "", text, flags=re.S).split())


def exercises_of(path):
    return {id: e for id, e in checks.load_all().items() if id.split(".")[0] == id_of(path)}


@pytest.mark.parametrize("path", [p for p in CHAPTERS if id_of(p).isdigit()], ids=lambda p: p.stem)
def test_a_chapter_has_what_a_chapter_has(path):
    text, code = text_of(path), text_of(path, "code")
    told, _, asked = text.partition("## Exercises")
    assert 2200 <= words(told) <= 3500 and words(asked) <= 2200
    assert 4 <= len(re.findall(r"^(?:explore\(ch|ch)\d\d\w*\.", code, re.M)) <= 12
    assert code.count("explore(ch") >= 2 and code.count("guess(") >= 3
    for heading in ("## To take away", "## Exercises", "## Further reading"):
        assert heading in text


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_bold_means_remember_this(path):
    told = text_of(path).partition("## To take away")[0]
    assert re.findall(r"\*\*<span>[^*]*\*\*", told) == [], "computed numbers are printed in ordinary type"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_exercises_are_asked_checked_and_solved(path):
    text, code = text_of(path), text_of(path, "code")
    registered, chapter = exercises_of(path), id_of(path)
    asked = re.findall(rf'check\("({chapter}\.(?:\d+[a-c]?|x\d))"', code)
    assert sorted(asked) == sorted(id for id, exercise in registered.items() if not exercise.is_open)
    assert len(asked) >= 8
    for id in registered:
        if ".x" in id:  # a question below an exhibit
            continue
        assert f"**{id}**" in text, id
        assert solution_of(id.rstrip("abc"), text), f"{id}: no solution"
    chains = {id.rstrip("abc") for id in registered if id[-1] in "abc"}
    for whole in chains:
        parts = [id[-1] for id in registered if id.rstrip("abc") == whole]
        assert all(f"**{part}**" in solution_of(whole, text) for part in parts), f"{whole}: a part is not solved"


def solution_of(whole, text):
    """The folded solution of an exercise, of all parts of a chain; '' where there is none."""
    found = re.search(rf"<summary>(?:Solution|A solution) of {re.escape(whole)}</summary>(.*?)</details>", text, re.S)
    return found[1] if found else ""


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_minutes_and_stars_are_those_of_the_checks(path):
    for whole, minutes, stars in re.findall(r"\*\*(\d\d[a-z]?\.\d+)\*\* \((\d+) min, (★+)\)", text_of(path)):
        parts = [e for id, e in checks.load_all().items() if id.rstrip("abc") == whole]
        assert (int(minutes), len(stars)) == (sum(e.minutes for e in parts), max(e.stars for e in parts)), whole


def test_claims_in_chapters_exist_and_verdicts_are_computed():
    cited = {c for p in CHAPTERS for c in re.findall(r'verdict\("([\w-]+)"\)', text_of(p, "code"))}
    assert cited == set(claims.VERDICTS) <= set(claims.claims())


def test_roofline_of_llm_verdict():
    found = claims.verdict("W2-roofline-of-llm")
    assert found.verdict == "holds-when" and found.numbers["smallest_ratio"] > 1
    slow, fast = found.numbers["decode_slow_memory"], found.numbers["decode_fast_memory"]
    assert 1.2 < slow < 1.6 < fast < found.numbers["prefill"]


def test_unsettled_and_unknown_claims_say_so():
    with pytest.raises(ValueError, match="is not settled yet; settled: W2-roofline-of-llm"):
        claims.verdict("W3-jitter")
    with pytest.raises(ValueError, match="did you mean 'W3-jitter'"):
        claims.verdict("W3-jiter")


def test_captions_are_short():
    """How a figure was computed goes into a fold."""
    from bottlenecks.exhibits import registry

    long = {e.slug: len(e.caption.split()) for e in registry.load_all().values() if len(e.caption.split()) > 40}
    assert long == {}


def test_exhibits_cite_the_bibliography():
    from bottlenecks.exhibits import registry

    for exhibit in registry.load_all().values():
        assert set(exhibit.sources) <= set(data.references()), exhibit.slug
