"""Sliders and guesses without a browser: moves redraw, words follow, answers stay shut."""

import sys

import pytest

from bottlenecks.exhibits import ch01, ch02, registry
from bottlenecks.facts.units import parse_quantity
from bottlenecks.lessons.widgets import Explorer, GuessBox, compare, explore, guess

WITH_CONTROLS = [e for e in registry.load_all().values() if e.controls]


@pytest.mark.parametrize("exhibit", WITH_CONTROLS, ids=lambda e: e.slug)
def test_every_control_redraws_at_its_ends_and_between(exhibit):
    explorer = Explorer(exhibit)
    for name, control in exhibit.controls.items():
        seen, last = set(), len(control.values) - 1
        for value in {control.values[i]: None for i in (0, last // 2, last)}:
            explorer.inputs[name].value = value
            assert bytes(explorer.image.value).startswith(b"\x89PNG")
            seen.add((bytes(explorer.image.value), explorer.words.value))
        assert len(seen) > 1 or exhibit.slug == "01-your-machine"
        explorer.inputs[name].value = control.start


def test_a_redrawn_picture_is_the_picture_drawn_anew():
    explorer = Explorer(ch01.two_times)
    explorer.inputs["rows"].value = 1024
    explorer.inputs["rows"].value = 64
    assert explorer.image.value == Explorer(ch01.two_times).image.value


def test_a_combination_that_does_not_exist_says_so_and_keeps_the_picture():
    explorer = Explorer(ch01.the_roofline)
    explorer.inputs["chip_name"].value = "TPU v5p"
    explorer.inputs["format"].value = "16-bit"
    before = explorer.image.value
    explorer.inputs["chip_name"].value = "V100 SXM2 32GB"
    assert explorer.image.value != before
    kept = explorer.image.value
    explorer.inputs["format"].value = "8-bit"
    assert "V100 SXM2 32GB has no 8-bit matrix peak" in explorer.words.value and explorer.image.value == kept


def test_sliders_have_a_read_out_and_words_for_a_screen_reader():
    explorer = Explorer(ch01.two_times)
    slider = explorer.inputs["rows"]
    assert slider.readout and slider.label == "64 rows" and slider.description == "rows"
    assert 'role="status"' in explorer.words.value and "At 64 rows" in explorer.words.value
    assert "bn-explore" in explorer.box._dom_classes


def test_a_move_draws_no_axes_again(monkeypatch):
    """What makes a redraw cheap: the background is kept, and only artists that change are drawn."""
    explorer = Explorer(ch01.two_times)
    monkeypatch.setattr(explorer.picture.figure.canvas, "draw", lambda: pytest.fail("drew the whole figure"))
    before = explorer.image.value
    explorer.inputs["rows"].value = 1024
    assert explorer.image.value != before


def test_explore_shows_a_widget_a_page_and_text(monkeypatch):
    shown = []
    monkeypatch.setattr(sys.modules["bottlenecks.lessons.widgets"], "display", lambda data, raw: shown.append(data))
    explore(ch02.levels)
    guess("How many?", answer=3.0, unit="times", then="Three.")
    assert all({"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(data) for data in shown)
    assert "<img" in shown[0]["text/html"] and "<details>" in shown[1]["text/html"]
    assert "3" not in shown[1]["text/plain"]


def box(text, answer=0.319e-3, unit="s"):
    made = GuessBox("How long?", answer, unit, "<b>319 µs</b>")
    made.field.value = text
    made.commit()
    return made


@pytest.mark.parametrize("text", ["", "soon", "20", "20 parsecs", "20 B", "-20 ms", "0 ms", "nan ms", "inf s"])
def test_no_readable_guess_no_answer(text):
    made = box(text)
    assert "319" not in made.reply.value and not made.field.disabled and made.reply.value


@pytest.mark.parametrize("text", ["20 ms", "20ms", "0.02 s", "2e-2 s", "20,000 us", "20000 µs"])
def test_a_guess_is_read_in_any_unit(text):
    assert parse_quantity(text, "s") == pytest.approx(0.02)
    made = box(text)
    assert "319 µs" in made.reply.value and "63 times too much" in made.reply.value and made.field.disabled


def test_how_far_off():
    assert "within a tenth" in compare(0.95, 1.0)
    assert compare(1.0, 4.0) == "4 times too little."
