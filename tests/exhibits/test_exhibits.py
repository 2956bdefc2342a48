"""Figures: at their defaults and at both ends of every control; tables against the committed ones."""

import contextlib
import io
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from bottlenecks import data
from bottlenecks.command import figures as command
from bottlenecks.exhibits import registry
from bottlenecks.exhibits.registry import Control, row, stack
from bottlenecks.exhibits.style import RC
from bottlenecks.lessons.widgets import DPI, Explorer
from bottlenecks.yours import roofline
from bottlenecks.yours.probes import CUDA_TYPES, ROWS

EXHIBITS = list(registry.load_all().values())
FIGURES = data.FOLDER.parent.parent / "figures"
MOVES = [pytest.param(e, name, id=f"{e.slug}-{name}") for e in EXHIBITS for name in e.controls]
SAME_AT_BOTH_ENDS = ("01-your-machine",)  # nothing may be measured on this machine
every_exhibit = pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda e: e.slug)


@cache
def picture(slug):
    """An exhibit at its defaults, drawn once for all the tests that only look at it."""
    return registry.exhibit(slug)()


@cache
def live(slug):
    """A picture that is moved from setting to setting, as sliders do."""
    return registry.exhibit(slug)()


def pixels(picture):
    with mpl.rc_context(RC):
        picture.figure.canvas.draw()
    return np.asarray(picture.figure.canvas.buffer_rgba()).copy()


@every_exhibit
def test_default_has_words_for_everyone(exhibit):
    shown = picture(exhibit.slug)
    assert len(exhibit.alt) > 60 and len(shown.summary) > 30 and len(exhibit.caption) > 40
    bundle = shown._repr_mimebundle_()
    assert f'alt="{exhibit.alt[:30]}' in bundle["text/html"] and shown.summary in bundle["text/plain"]
    assert "nan" not in shown.summary.split()


@every_exhibit
def test_table_is_long_and_equal(exhibit):
    table = picture(exhibit.slug).table
    assert "series" in table and len({np.size(v) for v in table.values()}) == 1


@pytest.mark.parametrize(("exhibit", "name"), MOVES)
def test_a_moved_picture_is_the_one_drawn_afresh(exhibit, name):
    """At both ends of a control: words and picture differ, and a picture moved there is the same as a new one."""
    values, seen = exhibit.controls[name].values, []
    for value in (values[0], values[-1]):
        fresh, moved = exhibit(**{name: value}), live(exhibit.slug)
        with mpl.rc_context(RC):
            moved.update(fresh.table)
        seen.append((fresh.summary, pixels(fresh)))
        assert len(fresh.summary) > 30 and (pixels(moved) == seen[-1][1]).all(), value
    (low, low_pixels), (high, high_pixels) = seen
    assert exhibit.slug in SAME_AT_BOTH_ENDS or (low != high and (low_pixels != high_pixels).any())


def some_settings(exhibit):
    """The defaults, and three settings for which every control is somewhere else."""
    last = {name: len(control.values) - 1 for name, control in exhibit.controls.items()}
    places = [{name: round(part * n) for name, n in last.items()} for part in (0, 0.6, 1)]
    return [exhibit.settings()] + [
        {name: exhibit.controls[name].values[i] for name, i in place.items()} for place in places
    ]


@pytest.mark.parametrize("exhibit", [e for e in EXHIBITS if e.controls], ids=lambda e: e.slug)
def test_a_live_picture_is_the_printed_one(exhibit):
    """To the pixel, but for the rounding of half-covered ones: order from back to front, every tint, nothing left over."""
    explorer = Explorer(exhibit)
    for settings in some_settings(exhibit):
        with contextlib.suppress(ValueError):  # a combination that does not exist
            fresh = exhibit(**settings)
            for name, value in settings.items():
                explorer.inputs[name].value = value
            assert explorer.problem is None, explorer.problem
            fresh.figure.set_dpi(DPI)
            shown = np.asarray(Image.open(io.BytesIO(explorer.png))).astype(int)
            off = int(np.abs(shown - pixels(fresh)[..., :3]).max())
            assert off <= 3, settings


@every_exhibit
def test_labels_stay_inside(exhibit):
    figure = picture(exhibit.slug).figure
    figure.canvas.draw()
    whole = figure.bbox
    for ax in figure.axes:
        texts = [ax.xaxis.label, ax.yaxis.label, ax.title]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        for text in filter(lambda t: t.get_text(), texts):
            box = text.get_window_extent()
            assert box.x0 >= whole.x0 and box.y0 >= whole.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, (
                text.get_text()
            )


@every_exhibit
def test_committed_table_is_what_the_models_give_now(exhibit):
    assert command.table_problems(exhibit.slug, picture(exhibit.slug).table, FIGURES / f"{exhibit.slug}.csv") == []


@pytest.mark.parametrize("slug", ["01-roofline", "09-batch"])
def test_committed_picture_is_what_is_drawn_now(slug):
    drawn = io.BytesIO()
    registry.exhibit(slug)().save(drawn, format="svg")  # a new one: other tests have drawn on those that are shared
    kept = (FIGURES / f"{slug}.svg").read_bytes()
    if registry.drawn_by(kept) != registry.drawn_by(drawn.getvalue()):
        pytest.skip(f"drawn by matplotlib {registry.drawn_by(kept)}, here {registry.drawn_by(drawn.getvalue())}")
    assert kept == drawn.getvalue()


MACHINES = {  # what a run may have left out, and what is then told
    "whole": ((), ("memory ", "ridge")),
    "no bandwidth": (("stream",), ("bandwidth was not measured", "incomplete", "fp32")),
    "no arithmetic": (("matmul",), ("memory ", "arithmetic was not measured", "incomplete")),
    "neither": (("stream", "matmul"), ("Nothing is measured", "the sample is shown", "memory ", "ridge")),
    "nothing": (tuple(ROWS), ("Nothing is measured", "memory ", "ridge")),
}
GPU = {"format": "fp16", "threads": 1, "n": 4096, "flop_per_s": 9e13}, {"kernel": "read", "threads": 1}


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(("without", "words"), MACHINES.values(), ids=MACHINES)
def test_a_measured_machine_is_drawn_whatever_its_run_lacks(tmp_path, monkeypatch, without, words, gpu):
    """By the figure, by its menu, and by the whole of what `figures` writes."""
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path))
    mine = roofline.load() | {section: [] for section in without}
    if gpu:
        formats = [{"device": "cuda", **GPU[0], "format": format} for format in CUDA_TYPES]
        stream = {"device": "cuda", **GPU[1], "working_set_bytes": 1 << 30, "bytes_per_s": 2e12}
        mine |= {"matmul": mine["matmul"] + formats, "stream": [*mine["stream"], stream]}
        mine["machine"] |= {"gpu": "Toy GPU"}
    roofline.save(mine)
    explorer = Explorer(registry.exhibit("01-your-machine"))
    assert explorer.inputs["machine"].value == "yours" and explorer.problem is None
    shown = registry.exhibit("01-your-machine")(machine="yours")
    shown.save_with_table(tmp_path / "x.svg")
    assert registry.marked(shown.summary) in explorer.words.value and "nan" not in shown.summary
    assert all(word in shown.summary for word in words) or gpu, shown.summary
    assert not gpu or "fp16 on the GPU 90 TFLOP/s (ridge 45)" in shown.summary
    assert np.isfinite(shown.table["rate_flop_per_s"]).all()


def test_no_stray_files_among_the_figures():
    expected = {f"{e.slug}.{form}" for e in EXHIBITS for form in ("svg", "csv")}
    assert {p.name for p in FIGURES.iterdir()} == expected


def test_two_drawings_are_equal_to_the_byte():
    first, second = io.BytesIO(), io.BytesIO()
    EXHIBITS[0]().save(first, format="svg")
    EXHIBITS[0]().save(second, format="svg")
    assert first.getvalue() == second.getvalue()


def test_a_table_that_differs_is_found(tmp_path):
    table = picture(EXHIBITS[0].slug).table
    path = tmp_path / "x.csv"
    path.write_text(registry.csv_text(table), encoding="utf-8")
    assert command.table_problems("x", table, path) == []
    column = next(c for c in table if table[c].dtype.kind == "f")
    changed = {**table, column: table[column] * 1.001}
    assert command.table_problems("x", changed, path) == [f"{path}: column {column} differs"]
    assert "missing" in command.table_problems("x", table, tmp_path / "y.csv")[0]


def test_stack_fills_what_a_series_lacks():
    table = stack(a={"x": np.array([1.0, 2.0]), "n": "p"}, b={"x": 3.0})
    assert table["series"].tolist() == ["a", "a", "b"] and table["n"].tolist() == ["p", "p", ""]


def test_a_row_is_the_first_of_its_series():
    table = stack(a={"x": np.array([1.0, 2.0])}, b={"x": 3.0, "n": "p"})
    assert row(table, "a").x == 1 and row(table, "b").n == "p" and isinstance(row(table, "b").x, float)


def test_unknown_slug_names_the_nearest():
    with pytest.raises(ValueError, match="'01-rooflin' is unknown; did you mean '01-roofline'"):
        registry.exhibit("01-rooflin")


def test_unknown_control_and_values_out_of_range():
    the_roofline = registry.exhibit("01-roofline")
    with pytest.raises(ValueError, match="control 'row' is unknown; did you mean 'rows'"):
        the_roofline(row=3)
    with pytest.raises(ValueError, match="rows must be from 1 to 4096, got 5000; the nearest is 4096"):
        the_roofline(rows=5000)
    with pytest.raises(ValueError, match="chip_name 'H10O SXM5' is unknown; did you mean 'H100 SXM5'"):
        the_roofline(chip_name="H10O SXM5")
    for bad in (-1, float("nan"), "many", None):
        with pytest.raises(ValueError, match="rows must be"):
            the_roofline(rows=bad)


def test_a_slug_is_taken_once():
    with pytest.raises(ValueError, match="is taken"):
        registry.Exhibit(slug=EXHIBITS[0].slug, title="", caption="", alt="", table=dict, draw=print, summary=str)


def test_values_between_the_steps_of_a_slider_are_allowed():
    assert "100 rows" in registry.exhibit("01-roofline")(rows=100).summary
    assert Control(label="x", values=(1, 10), start=1).checked("x", 2.5) == 2.5


def test_picture_saves_in_every_format(tmp_path):
    shown = picture(EXHIBITS[0].slug)
    for form, head in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        shown.save(tmp_path / f"x.{form}")
        assert (tmp_path / f"x.{form}").read_bytes().startswith(head)
