"""Sliders and guesses. The only module that knows ipywidgets.

Each shows three things at once: the live widget, an HTML stand-in for a page without a kernel,
and plain text; a front end takes the richest that it can show.
"""

import base64
import html
import math
import os
import time

import ipywidgets
import matplotlib as mpl
import numpy as np
from IPython.display import display

from bottlenecks.exhibits.layers import Layers, notice, png
from bottlenecks.exhibits.registry import Picture, marked
from bottlenecks.exhibits.style import RC
from bottlenecks.facts.doors import positive
from bottlenecks.facts.units import example, in_unit, parse_quantity, parse_unit, plain
from bottlenecks.lessons import errors

WIDTH = 760  # of a picture on the page, in CSS pixels
DPI = 130  # of a live picture: sharp enough on a dense screen, quick to draw and to send
HIGHEST = "58vh"  # of a picture: controls, words and picture are seen together on a small screen
SLOW_S = 0.2  # a redraw that takes longer says that it is at work
LINE = 105  # letters of a line of words
# A read-out is as wide as what it says.
READOUT = ".bn-explore .widget-readout {flex: none; width: max-content; max-width: none; white-space: nowrap}"
errors.install()


def explore(exhibit, **chosen):
    """Sliders over an exhibit: moving one recomputes the table and hands it to the same artists.

    On a page without a kernel the picture at the controls' first values stands in its place.
    """
    explorer = Explorer(exhibit, chosen)
    still = explorer.still._repr_mimebundle_()
    note = f"In a running notebook (Run, Run All Cells) you can change: {', '.join(explorer.labels)}."
    _show(explorer.box, f"{still['text/html']}<p><i>{html.escape(note)}</i></p>", f"{still['text/plain']} {note}")


class Explorer:
    """The controls, the picture and the words of one live exhibit."""

    def __init__(self, exhibit, chosen=None):
        began_s = time.perf_counter()
        self.exhibit = exhibit
        self.still = exhibit(**exhibit.now() | (chosen or {}))
        self.picture = Picture(exhibit, self.still.settings)
        self.labels = [control.label for control in exhibit.controls.values()]
        self.inputs = {name: _input(control, self.still.settings[name]) for name, control in exhibit.controls.items()}
        self.image, self.words, self.lines = ipywidgets.HTML(), ipywidgets.HTML(), 1
        self.png, self.problem = b"", None
        self.picture.figure.set_dpi(DPI)
        self.layers = Layers(self.picture.figure, self.picture.artists)
        self._time(began_s)
        self.redraw()
        for control in self.inputs.values():
            control.observe(self._moved, names="value")
        caption = ipywidgets.HTML(
            f'<style>{READOUT}</style><div style="max-width:{WIDTH}px;line-height:1.4"><b>{marked(exhibit.title)}</b> {marked(exhibit.caption)}</div>'
        )
        self.box = ipywidgets.VBox([_side_by_side(list(self.inputs.values())), self.words, self.image, caption])
        self.box.add_class("bn-explore")

    def _moved(self, change):
        if self.took_s > SLOW_S:
            self._say("Computing ...", busy=True)
        began_s = time.perf_counter()
        self.redraw()
        self._time(began_s)

    def _time(self, began_s):
        """Where an update is slow it says so, and a slider waits until it is let go."""
        self.took_s = time.perf_counter() - began_s
        for control in self.inputs.values():
            if isinstance(control, ipywidgets.SelectionSlider):
                control.continuous_update = self.took_s <= SLOW_S

    def redraw(self):
        """Recompute, redraw and describe the exhibit at the controls' present values.

        A choice that has no picture shows the reason in its place, never the picture of another choice.
        """
        self.problem = None
        try:
            pixels, words = self._drawn()
        except Exception as problem:  # ValueError: a combination that does not exist, such as fp8 on an A100
            if not isinstance(problem, ValueError) and os.environ.get(errors.ALL) == "1":
                raise
            self.problem = problem
            fault = "" if isinstance(problem, ValueError) else f"This cannot be drawn ({type(problem).__name__}): "
            words = fault + one_line(problem)
            pixels = notice(self.picture.figure, words)
        self.png = png(pixels)
        alt = words if self.problem else f"{self.exhibit.alt} {words}"
        self.image.value = _img(self.png, pixels.shape, alt)
        self._say(words)

    def _drawn(self):
        """(pixels, words) at the controls' present values."""
        table = self.exhibit.table(**{name: control.value for name, control in self.inputs.items()})
        if not any(np.size(column) for column in table.values()):
            raise ValueError("There is nothing to draw for this choice.")
        words = self.exhibit.summary(table)
        with mpl.rc_context(RC):
            self.picture.update(table)
            return self.layers.draw_anew() if self.exhibit.rescales else self.layers.draw(), words

    def _say(self, words, busy=False):
        """The words in a place that grows but never shrinks, so that the picture under them stands still."""
        self.lines = max(self.lines, math.ceil(len(words) / LINE))
        self.words.value = (
            f'<div class="bn-summary{" bn-busy" * busy}" role="status" aria-live="polite" style="max-width:{WIDTH}px;'
            f'line-height:1.4;min-height:{1.4 * self.lines:g}em"><i>{marked(words)}</i></div>'
        )


def _input(control, start):
    """A menu for names, a slider with a read-out for numbers; Tab reaches both, arrow keys move a slider."""
    if control.is_menu:
        return ipywidgets.Dropdown(options=control.values, value=start, description=control.label)
    return ipywidgets.SelectionSlider(
        options=[(control.text(value), value) for value in sorted({*control.values, start})],
        value=start,
        description=control.label,
        continuous_update=True,
    )


def _side_by_side(controls):
    """Controls with their labels whole; in two columns where there are more than two."""
    columns = 2 if len(controls) > 2 else 1
    for column in (controls[i::columns] for i in range(columns)):
        letters = max([len(control.description) for control in column], default=0)
        for control in column:
            control.style.description_width = f"{8 * letters + 18}px"
            control.layout.width = "auto"
    grid = {"grid_template_columns": f"repeat({columns}, minmax(0, 1fr))", "grid_gap": "0 20px"}
    return ipywidgets.GridBox(
        controls, layout={**grid, "width": f"{WIDTH if columns > 1 else 550}px", "max_width": "100%"}
    )


def _img(picture, shape, alt):
    """A picture as HTML: a widget's own image has no place for an alt text."""
    height, width, _ = shape
    return (
        f'<img alt="{html.escape(alt)}" width="{width}" height="{height}" decoding="sync" style="display:block;'
        f'width:min({WIDTH}px, 100%);height:auto;max-height:{HIGHEST};object-fit:contain;object-position:left top"'
        f' src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    )


def one_line(problem):
    """What a problem says, on one line."""
    return " ".join(str(problem).split()) or type(problem).__name__


def guess(question, *, answer, unit="", then="", wrong=None, picture=None):
    """A question whose answer stays shut until the reader commits to a number.

    `unit` is the one in which the question is asked: a bare number is read in it ("ms", "GB", "tokens/s", "%", "times",
    "chips" ...). `answer` is in base units. `wrong` maps numbers in base units that typical slips lead to onto a sentence that
    names the slip; a guess within a tenth of one is told it. `then` is shown with the answer, and so is `picture`, an exhibit's
    picture. On a page without a kernel all this lies in a fold.
    """
    box = GuessBox(question, answer, unit, then=then, wrong=wrong, picture=picture)
    slips = "".join(f"<li>{in_unit(value, unit)}? {marked(sentence)}</li>" for value, sentence in box.wrong.items())
    fold = (
        f"<p><b>Your guess.</b> {marked(question)}</p><details><summary>Guess first, then open</summary>"
        f"{box.told}{slips and f'<p>What a guess may have missed:</p><ul>{slips}</ul>'}</details>"
    )
    _show(box.box, fold, f"[guess] {question}")


class GuessBox:
    """A text field, a button, and the answer behind them. One may guess again; the first guess is remembered."""

    def __init__(self, question, answer, unit="", *, then="", wrong=None, picture=None):
        parse_unit(unit)
        self.answer, self.unit = positive("answer", answer), unit
        self.wrong = {positive("wrong", value): sentence for value, sentence in (wrong or {}).items()}
        drawn = picture._repr_mimebundle_()["text/html"] if picture else ""
        self.told = f"<p><b>{in_unit(answer, unit)}</b>. {marked(then)}</p>{drawn}"
        self.first = None
        self.field = ipywidgets.Text(
            placeholder=f"a number, such as {example(unit)}", description="Your guess", layout={"width": "420px"}
        )
        self.button = ipywidgets.Button(description="Commit", tooltip="Lock the guess in and see the answer")
        self.reply = ipywidgets.HTML()
        self.button.on_click(self.commit)
        self.field.on_msg(self._entered)
        asked = ipywidgets.HTML(f"<p><b>{marked(question)}</b></p>")
        self.box = ipywidgets.VBox([asked, ipywidgets.HBox([self.field, self.button]), self.reply])
        self.box.add_class("bn-guess")

    def _entered(self, field, content, buffers):
        """The Enter key commits as the button does."""
        if content.get("event") == "submit":
            self.commit()

    def commit(self, _=None):
        """Compare the guess with the answer; without a readable guess the answer stays shut."""
        try:
            value = parse_quantity(self.field.value, self.unit)
        except ValueError as problem:
            again = self.told if self.first else ""
            self.reply.value = f"<div role='status'><p>{html.escape(str(problem))}</p>{again}</div>"
            return
        said = f"You said {in_unit(value, self.unit)}"
        if self.first not in (None, value):
            said = f"First you said {in_unit(self.first, self.unit)}; now {in_unit(value, self.unit)}"
        self.first = self.first or value
        self.button.description = "Guess again"
        verdict = marked(compare(value, self.answer, self.wrong))
        self.reply.value = f"<div role='status'><p>{said}: {verdict}</p>{self.told}</div>"


def compare(value, answer, wrong=None):
    """How far a guess is, in words, and what slip leads to it where one is known."""
    ratio = value / answer
    if 0.9 <= ratio <= 1.1:
        return "within a tenth. Well guessed."
    far = f"{plain(max(ratio, 1 / ratio), 2)} times too {'much' if ratio > 1 else 'little'}."
    near = min(wrong or {}, key=lambda slip: abs(math.log(value / slip)), default=None)
    return f"{far} {wrong[near]}" if near and 0.9 <= value / near <= 1.1 else far


def _show(widget, page_html, text):
    view = widget._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
    display({"application/vnd.jupyter.widget-view+json": view, "text/html": page_html, "text/plain": text}, raw=True)
