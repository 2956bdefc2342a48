"""Sliders and guesses without a browser: moves redraw, words follow, answers stay shut."""

import base64
import html
import io
import re

import pytest
from PIL import Image

from bottlenecks.exhibits import ch01, ch02, registry
from bottlenecks.facts.units import example, parse_quantity
from bottlenecks.lessons import widgets
from bottlenecks.lessons.widgets import Explorer, GuessBox, compare, explore, guess

WITH_CONTROLS = [e for e in registry.load_all().values() if e.controls]


@pytest.mark.parametrize("exhibit", WITH_CONTROLS, ids=lambda e: e.slug)
def test_every_control_redraws_at_its_ends_and_between(exhibit):
    explorer = Explorer(exhibit)
    for name, control in exhibit.controls.items():
        seen, last = set(), len(control.values) - 1
        for value in {control.values[i]: None for i in (0, last // 2, last)}:
            explorer.inputs[name].value = value
            assert explorer.problem is None or isinstance(explorer.problem, ValueError)
            seen.add((explorer.png, explorer.words.value))
        assert len(seen) > 1 or exhibit.slug == "01-your-machine"
        explorer.inputs[name].value = control.start


def test_a_redrawn_picture_is_the_picture_drawn_anew():
    explorer = Explorer(ch01.two_times)
    explorer.inputs["rows"].value = 1024
    explorer.inputs["rows"].value = 64
    assert explorer.png == Explorer(ch01.two_times).png


def colours(explorer):
    return {colour for _, colour in Image.open(io.BytesIO(explorer.png)).getcolors(1 << 20)}


def test_a_combination_that_does_not_exist_says_so_where_the_picture_was():
    explorer = Explorer(ch01.the_roofline)
    explorer.inputs["chip_name"].value = "V100 SXM2 32GB"
    drawn = explorer.png
    explorer.inputs["format"].value = "8-bit"
    assert "V100 SXM2 32GB has no 8-bit matrix peak" in explorer.words.value
    assert 'alt="V100 SXM2 32GB has no 8-bit matrix peak' in explorer.image.value
    assert all(max(c) - min(c) < 2 for c in colours(explorer)), "grey alone: nothing of the choice before is left"
    explorer.inputs["format"].value = "16-bit"
    assert explorer.png == drawn and explorer.problem is None


def test_a_table_without_rows_and_a_fault_of_ours_leave_no_old_picture(monkeypatch):
    explorer = Explorer(ch01.two_times)
    drawn = explorer.png
    explorer.exhibit = Fake(ch01.two_times, lambda **_: {"series": [], "x": []})
    explorer.inputs["rows"].value = 1024
    assert "nothing to draw" in explorer.words.value and explorer.png != drawn
    explorer.exhibit = Fake(ch01.two_times, lambda **_: {}["origin"])
    explorer.inputs["rows"].value = 64
    assert "KeyError" in explorer.words.value and "origin" in explorer.words.value and explorer.png != drawn
    monkeypatch.setenv("BOTTLENECKS_TRACEBACK", "1")
    with pytest.raises(KeyError):
        explorer.redraw()


def test_a_slow_update_says_that_it_is_at_work():
    explorer, said = Explorer(ch01.two_times), []
    explorer.words.observe(lambda change: said.append(change.new), names="value")
    explorer.took_s = 0.0
    explorer.inputs["rows"].value = 1024
    assert len(said) == 1 and "At 1,024 rows" in said[0]
    explorer.took_s = 2 * widgets.SLOW_S
    explorer.inputs["rows"].value = 64
    assert len(said) == 3 and "bn-busy" in said[1] and "Computing" in said[1] and "bn-busy" not in said[2]


def test_a_slider_waits_until_it_is_let_go_where_a_redraw_is_slow(monkeypatch):
    explorer = Explorer(ch01.two_times)
    ticks = iter((0.0, 0.1, 0.0, 3.0))
    monkeypatch.setattr(widgets.time, "perf_counter", lambda: next(ticks))
    explorer.inputs["rows"].value = 1024
    assert explorer.inputs["rows"].continuous_update
    explorer.inputs["rows"].value = 64
    assert not explorer.inputs["rows"].continuous_update


def test_controls_words_and_picture_come_in_this_order_labels_whole():
    explorer = Explorer(registry.exhibit("09-design"))
    controls, words, image, _ = explorer.box.children
    assert words is explorer.words and image is explorer.image
    assert controls.layout.grid_template_columns.startswith("repeat(2")
    for control in controls.children:
        assert int(control.style.description_width.removesuffix("px")) >= 7 * len(control.description)
    left, right = (
        {c.style.description_width for c in controls.children[side::2]} for side in (0, 1)
    )  # of a column all labels end at the same place
    assert len(left) == len(right) == 1
    few = Explorer(ch02.levels).box.children[0]
    assert len(few.children) == 2 and few.layout.grid_template_columns.startswith("repeat(1")


def test_the_place_of_the_words_never_shrinks():
    explorer = Explorer(ch02.levels)
    explorer._say("x" * 3 * widgets.LINE)
    assert "min-height:4.2em" in explorer.words.value  # three lines of 1.4
    explorer._say("x")
    assert "min-height:4.2em" in explorer.words.value


def test_a_live_picture_has_an_alt_text_that_follows():
    explorer = Explorer(ch01.two_times)
    before = explorer.image.value.split("src=")[0]
    explorer.inputs["rows"].value = 1024
    now = html.unescape(explorer.image.value.split("src=")[0])
    assert now != before and ch01.two_times.alt in now and "At 1,024 rows" in now
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', explorer.image.value).group(1)
    assert base64.b64decode(encoded) == explorer.png


def test_an_exhibit_may_start_elsewhere_now_unless_the_reader_chose():
    exhibit = Fake(ch01.two_times, ch01.two_times.table)
    exhibit.now = lambda: {"rows": 1024}
    assert Explorer(exhibit).inputs["rows"].value == 1024
    assert Explorer(exhibit, {"rows": 64}).inputs["rows"].value == 64


class Fake:
    """An exhibit with another table."""

    def __init__(self, exhibit, table):
        self._exhibit, self.table = exhibit, table

    def __getattr__(self, name):
        return getattr(self._exhibit, name)

    def __call__(self, **chosen):
        return self._exhibit(**chosen)


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
    before = explorer.png
    explorer.inputs["rows"].value = 1024
    assert explorer.png != before


def test_explore_shows_a_widget_a_page_and_text(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append(data))
    explore(ch02.levels)
    guess("How many?", answer=3.0, unit="times", then="Three.")
    assert all({"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(data) for data in shown)
    assert "<img" in shown[0]["text/html"] and "<details>" in shown[1]["text/html"]
    assert "3" not in shown[1]["text/plain"]


def box(*texts, answer=0.319e-3, unit="s", **more):
    made = GuessBox("How long?", answer, unit, **more)
    for text in texts:
        made.field.value = text
        made.commit()
    return made


@pytest.mark.parametrize(
    "text", ["", "soon", "20 parsecs", "20 B", "-20 ms", "0 ms", "nan ms", "inf s", "1/0 s", "5 kg"]
)
def test_no_readable_guess_no_answer(text):
    made = box(text)
    assert "319" not in made.reply.value and made.reply.value and made.first is None


@pytest.mark.parametrize("text", ["20 ms", "20ms", "0.02 s", "2e-2 s", "20,000 us", "20000 µs", "0.02"])
def test_a_guess_is_read_in_any_unit(text):
    assert parse_quantity(text, "s") == pytest.approx(0.02)
    made = box(text)
    assert "319 µs" in made.reply.value and "63 times too much" in made.reply.value  # 20 ms / 0.319 ms = 62.7


def test_a_bare_number_is_in_the_unit_of_the_question():
    made = box("0.32", unit="ms")
    assert "You said 0.32 ms: within a tenth" in made.reply.value


def test_enter_commits():
    made = GuessBox("How long?", 0.319e-3, "s")
    made.field.value = "20 ms"
    made.field._handle_custom_msg({"event": "submit"}, [])
    assert "319 µs" in made.reply.value


def test_one_may_guess_again_and_the_first_guess_is_remembered():
    made = box("20 ms", "nonsense")
    assert "319 µs" in made.reply.value, "what was seen stays"
    made.field.value = "0.3 ms"
    made.commit()
    assert "First you said 20 ms; now 300 µs: within a tenth" in made.reply.value and not made.field.disabled
    made.field.value = "20 ms"
    made.commit()
    assert "You said 20 ms: 63 times" in made.reply.value


WRONG = {18e-6: "You divided by the peak: the weights have to come first.", 40e-3: "You read them once a row."}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("18 us", "You divided by the peak"), ("19.5 us", "You divided by the peak"), ("38 ms", "You read them once")],
)
def test_a_typical_slip_is_named(text, sentence):
    made = box(text, wrong=WRONG)
    assert sentence in made.reply.value and "times too" in made.reply.value


@pytest.mark.parametrize("text", ["22 us", "15 us", "0.3 ms", "1 s"])
def test_another_guess_is_told_no_slip(text):
    assert not any(sentence in box(text, wrong=WRONG).reply.value for sentence in WRONG.values())


def test_what_a_fold_holds_and_what_stands_open(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append(data))
    guess("How long?", answer=0.319e-3, unit="ms", then="So <much>.", wrong=WRONG)
    page = shown[0]["text/html"]
    outside, fold = page.split("<details>")
    assert "319" not in outside and "0.319 ms" in fold and "So &lt;much&gt;." in fold
    assert "0.018 ms? You divided by the peak" in fold and fold.endswith("</details>")
    assert "319" not in shown[0]["text/plain"]


@pytest.mark.parametrize("unit", ["s", "ms", "FLOP", "B/s", "%", "times", "chips", "", "tokens", "experts", "hours"])
def test_an_example_is_readable_and_hints_at_nothing(unit):
    hint = example(unit)
    for text in re.split(" or |, ", hint):
        assert parse_quantity(text, unit) > 0
    assert hint in GuessBox("?", 5, unit).field.placeholder


def test_a_question_without_a_sensible_answer_or_unit_is_refused():
    with pytest.raises(ValueError, match="answer must be above zero"):
        GuessBox("?", 0, "s")
    with pytest.raises(ValueError, match="unit 'parsecs' is unknown"):
        GuessBox("?", 1, "parsecs")
    with pytest.raises(ValueError, match="wrong must be above zero"):
        GuessBox("?", 1, "s", wrong={-1: ""})


def test_how_far_off():
    assert "within a tenth" in compare(0.95, 1.0)
    assert compare(1.0, 4.0) == "4 times too little."
