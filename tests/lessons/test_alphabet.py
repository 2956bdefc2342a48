"""One alphabet: no symbol of a card has a second meaning, and none is missing from the table."""

import re

import pytest

from bottlenecks import data
from bottlenecks.lessons import alphabet
from bottlenecks.lessons.show import Card, _tex

CARDS = {name: Card(law) for name, law in alphabet.laws().items()}
ROWS = data.rows("notation")
PARTS = re.compile(r"/")  # of a symbol that is made of two: B/S


@pytest.mark.parametrize("name", CARDS)
def test_a_card_uses_the_book_s_alphabet(name):
    for written, argument, meaning, unit in CARDS[name].symbols:
        if written == "-":
            continue
        parts = PARTS.split(_tex(written))
        for part in parts:
            row = alphabet.entry(part)
            assert row, f"{part} is not in notation.csv"
            if len(parts) == 1:
                assert unit == row["unit"] or row["unit"] == "any", (
                    f"{part} is in {row['unit']}, here {argument} in {unit}"
                )
                said = row["said"].split(";")
                assert any(word in meaning for word in said), f"{part} is {row['meaning']!r}, here {meaning!r}"


@pytest.mark.parametrize("name", CARDS)
def test_an_equation_has_no_symbol_that_the_table_lacks(name):
    found = alphabet.symbols(CARDS[name].equation)
    assert found and not [each for each in found if not alphabet.entry(each)]


def test_a_symbol_has_one_row_and_a_meaning_one_symbol():
    for column in ("symbol", "meaning"):
        assert len({row[column] for row in ROWS}) == len(ROWS)
    assert all(row["symbol"] == alphabet.symbol(row["symbol"]) for row in ROWS)


def test_no_row_is_left_over():
    used = {alphabet.entry(each)["symbol"] for card in CARDS.values() for each in alphabet.symbols(card.equation)}
    listed = {
        alphabet.entry(_tex(part))["symbol"]
        for c in CARDS.values()
        for w, *_ in c.symbols
        if w != "-"
        for part in PARTS.split(w)
    }
    assert {row["symbol"] for row in ROWS} == used | listed


def test_the_first_chapter_of_a_symbol_exists():
    assert {row["chapter"] for row in ROWS} <= {row["number"] for row in data.rows("chapters")}


def test_symbols_of_an_equation():
    assert alphabet.symbols(r"T = \max\left(\frac{F}{P},\ \max_{l} \frac{Q_l}{W_l}\right)") == [
        "T",
        "F",
        "P",
        "l",
        "Q_l",
        "W_l",
    ]
    assert alphabet.symbols(r"B_\mu\,V \text{ of } T_{hr} I^{*}") == [r"B_\mu", "V", "T_{hr}", "I"]


def test_the_page():
    shown = alphabet.notation("05")._repr_mimebundle_()["text/markdown"]
    assert "| $t_m$ | rows of a tile |" in shown and "$S_q$" not in shown
