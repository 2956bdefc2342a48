"""Sliders and guesses. The only module that knows ipywidgets.

Each shows three things at once: the live widget, an HTML stand-in for a page without a kernel,
and plain text; a front end takes the richest that it can show.
"""

import html
import io

import ipywidgets
import matplotlib as mpl
from IPython.display import display
from PIL import Image

from bottlenecks.exhibits.registry import Picture
from bottlenecks.exhibits.style import RC
from bottlenecks.facts.units import example, parse_quantity, plain, si

WIDTH = 760  # of a picture on the page, in CSS pixels
DPI = 130  # of a live picture: sharp enough on a dense screen, quick to draw and to send


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
        self.exhibit = exhibit
        self.still = exhibit(**(chosen or {}))
        self.picture = Picture(exhibit, self.still.settings)
        self.labels = [control.label for control in exhibit.controls.values()]
        self.inputs = {name: _input(control, self.still.settings[name]) for name, control in exhibit.controls.items()}
        self.image = ipywidgets.Image(format="png", width=WIDTH, layout={"max_width": "100%"})
        self.words = ipywidgets.HTML()
        caption = ipywidgets.HTML(
            f'<div style="max-width:{WIDTH}px;line-height:1.4"><b>{html.escape(exhibit.title)}</b> {html.escape(exhibit.caption)}</div>'
        )
        for control in self.inputs.values():
            control.observe(self._moved, names="value")
        self._hold_background()
        self.redraw()
        self.box = ipywidgets.VBox([*self.inputs.values(), self.image, caption, self.words])
        self.box.add_class("bn-explore")

    def _hold_background(self):
        """Draw once all that no slider changes: axes, ticks, grid. Log ticks cost most of a redraw."""
        figure = self.picture.figure
        figure.set_dpi(DPI)
        for artist in self.picture.artists:
            artist.set_animated(True)
        with mpl.rc_context(RC):
            figure.canvas.draw()
        self.background = figure.canvas.copy_from_bbox(figure.bbox)

    def _moved(self, change):
        self.redraw()

    def redraw(self):
        """Recompute, redraw and describe the exhibit at the controls' present values."""
        try:
            table = self.exhibit.table(**{name: control.value for name, control in self.inputs.items()})
        except ValueError as problem:  # a combination that does not exist, such as fp8 on an A100
            self.words.value = _words(str(problem))
            return
        canvas = self.picture.figure.canvas
        if self.exhibit.rescales:
            with mpl.rc_context(RC):
                artists = self.picture.update(table)
            self._hold_background()
        else:
            artists = self.picture.update(table)
        canvas.restore_region(self.background)
        for artist in sorted(artists, key=lambda artist: artist.get_zorder()):
            self.picture.figure.draw_artist(artist)
        buffer = io.BytesIO()
        picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
        # A palette halves the time and the size of the picture; a plot has few colours.
        picture.convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            buffer, format="png", compress_level=1
        )
        self.image.value = buffer.getvalue()
        self.words.value = _words(self.exhibit.summary(table))


def _input(control, start):
    """A menu for names, a slider with a read-out for numbers; Tab reaches both, arrow keys move a slider."""
    style = {"description_width": "120px"}
    if control.is_menu:
        return ipywidgets.Dropdown(
            layout={"width": "370px"}, options=control.values, value=start, description=control.label, style=style
        )
    return ipywidgets.SelectionSlider(
        options=[(control.text(value), value) for value in sorted({*control.values, start})],
        value=start,
        description=control.label,
        style=style,
        layout={"width": "550px"},
        continuous_update=True,
    )


def _words(text):
    return f'<div class="bn-summary" role="status" aria-live="polite" style="max-width:{WIDTH}px;line-height:1.4"><i>{html.escape(text)}</i></div>'


def guess(question, *, answer, unit="", then="", picture=None):
    """A question whose answer stays shut until the reader commits to a number.

    On a page without a kernel the answer lies in a fold. `then` is shown with the answer, and so
    is `picture`, an exhibit's picture.
    """
    shown = picture._repr_mimebundle_()["text/html"] if picture else ""
    told = f"<p><b>{si(answer, unit)}</b>. {html.escape(then)}</p>{shown}"
    fold = f"<p><b>Your guess.</b> {html.escape(question)}</p><details><summary>Guess first, then open</summary>{told}</details>"
    _show(GuessBox(question, answer, unit, told).box, fold, f"[guess] {question}")


class GuessBox:
    """A text field, a button, and the answer behind them."""

    def __init__(self, question, answer, unit, told):
        self.answer, self.unit, self.told = answer, unit, told
        self.field = ipywidgets.Text(
            placeholder=f"a number with its unit, such as {example(unit)}",
            description="Your guess",
            layout={"width": "420px"},
        )
        self.button = ipywidgets.Button(description="Commit", tooltip="Lock the guess in and see the answer")
        self.reply = ipywidgets.HTML()
        self.button.on_click(self.commit)
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<p><b>{html.escape(question)}</b></p>"),
                ipywidgets.HBox([self.field, self.button]),
                self.reply,
            ]
        )
        self.box.add_class("bn-guess")

    def commit(self, _=None):
        """Compare the guess with the answer; without a readable guess the answer stays shut."""
        try:
            value = parse_quantity(self.field.value, self.unit)
        except ValueError as problem:
            self.reply.value = f"<p role='status'>{html.escape(str(problem))}</p>"
            return
        self.field.disabled = self.button.disabled = True
        self.reply.value = (
            f"<div role='status'><p>You said {si(value, self.unit)}: {compare(value, self.answer)}</p>{self.told}</div>"
        )


def compare(value, answer):
    """How far a guess is, in words."""
    ratio = value / answer
    if 0.9 <= ratio <= 1.1:
        return "within a tenth. Well guessed."
    return f"{plain(max(ratio, 1 / ratio), 2)} times too {'much' if ratio > 1 else 'little'}."


def _show(widget, page_html, text):
    view = widget._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
    display({"application/vnd.jupyter.widget-view+json": view, "text/html": page_html, "text/plain": text}, raw=True)
