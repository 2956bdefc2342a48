"""Summary sheets and glossary: every name in them exists, and their numbers are those of the arithmetic beside them."""

import re

import pytest

from bottlenecks import data
from bottlenecks.lessons import alphabet, sheets

SHEETS = sheets._sheets()
GLOSSARY = data.rows("glossary")
LAWS = alphabet.laws()
BY_HAND = {
    "ridge_h100": "295 FLOP/B",  # 989.4e12 / 3.35e12 = 295.3
    "ridge_h100_fp8": "591 FLOP/B",  # 1978.9e12 / 3.35e12
    "rows_h100": "300",
    "equal_70b": "100,000",  # 104,448, by the arithmetic of exercise 02.4
    "tenth_70b": "10,000",
    "experts_deepseek": "32",  # 256 / 8
    "cores_h100": "132",
    "tie": "1.19",  # 2^(1/4)
    "cache_70b": "328 kB",  # 2 x 80 x 8 x 128 x 2 = 327,680
    "drafts": "2.95",  # 1 + 0.8 + 0.64 + 0.512
    "bubble": "18%",  # 7 / 39
    "amdahl": "3.08",  # 1 / 0.325
    "theirs": "2,474",  # 989.4e12 / 400e9 = 2,473.5
    "in_flight_h100": "1.2 MB",  # 3.35e12 x 371.7e-9 = 1.245e6
    "peak": "989 TFLOP/s",
    "ports": "400 GB/s",  # 8 x 50
}


@pytest.mark.parametrize("name", BY_HAND)
def test_numbers_by_hand(name):
    assert sheets.number(name) == BY_HAND[name]


def test_the_two_books_differ_by_the_rate_alone():
    """What hides an exchange is proportional to the rate: 2,474 x 642 / 989 = 1,606."""
    ratio = sheets.copy_tokens(sheets.products_flop_per_s()) / sheets.copy_tokens(989.4e12)
    assert ratio == pytest.approx(sheets.products_flop_per_s() / 989.4e12)
    assert 1300 < sheets.copy_tokens(sheets.products_flop_per_s()) < 1900


@pytest.mark.parametrize("chapter", SHEETS)
def test_a_sheet(chapter):
    assert set(SHEETS[chapter]["laws"]) <= set(LAWS)
    text = sheets.sheet(chapter).markdown
    assert text.startswith(f"### {chapter} · ") and "**Traps**" in text and "{" not in re.sub(r"\$.*?\$", "", text)
    assert all(trap in text for trap in SHEETS[chapter]["traps"])


def test_every_written_chapter_has_a_sheet_and_every_number_is_used():
    assert set(SHEETS) >= {row["number"] for row in data.rows("chapters") if row["written"] == "1"}
    said = " ".join(line for sheet in SHEETS.values() for line in sheet["thresholds"])
    said += " ".join(row["ours"] + row["remark"] for row in data.rows("rosetta"))
    assert [name for name in sheets.NUMBERS if f"{{{name}}}" not in said] == []


def test_a_chapter_without_a_sheet():
    with pytest.raises(ValueError, match="has no sheet; there are: 01, 02"):
        sheets.sheet("10")


@pytest.mark.parametrize("row", GLOSSARY, ids=lambda row: row["term"])
def test_a_definition_is_one_sentence_that_says_what_a_thing_is(row):
    said = row["definition"]
    assert re.match(r"(An?|The) |[A-Z]", said) and said.endswith(".") and said.count(". ") == 0
    assert re.search(r" (is|are) ", said) and len(said.split()) <= 30
    assert row["trade"] and row["chapter"] in {chapter["number"] for chapter in data.rows("chapters")}
    assert not row["symbol"] or alphabet.entry(row["symbol"].replace("^{*}", "")), row["symbol"]


def test_the_glossary_has_the_homely_words_and_each_once():
    terms = [row["term"] for row in GLOSSARY]
    assert len(terms) == len(set(terms)) >= 80
    trade = {row["term"]: row["trade"] for row in GLOSSARY}
    for ours, theirs in {
        "computed again": "recomputation",
        "copy": "replica",
        "exchange": "collective",
        "open": "exposed",
        "hidden": "overlapped",
        "machine": "node",
        "port": "NIC",
        "core": "SM",
        "tick": "clock cycle",
        "slice": "virtual stage",
        "dealt out": "sharded",
    }.items():
        assert theirs in trade[ours]


def test_the_glossary_of_a_chapter():
    shown = sheets.glossary("14")._repr_mimebundle_()["text/markdown"]
    assert "**bubble**" in shown and "**tile**" not in shown
