"""What an exhibit is: a table of named columns, a drawing of it, a caption, and words for both.

    table(**controls) -> columns     a long table: equal-length columns, one of them `series`
    draw(figure) -> update           builds the artists once; `update(table)` fills them and
                                     returns those that changed
    summary(table) -> text           what the picture says now, for eyes and screen readers alike

The static cell, the sliders, `make figures`, the tests and a screen reader all use these three.
"""

import base64
import csv
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bottlenecks.exhibits.style import RC
from bottlenecks.facts import files
from bottlenecks.facts.doors import between, one_of
from bottlenecks.facts.units import binary, counted, si

EXHIBITS = {}


@dataclass(frozen=True, kw_only=True)
class Control:
    """One thing a reader may change. Text values make a menu, numbers a slider over them."""

    label: str
    values: tuple
    start: object
    unit: str = ""

    @property
    def is_menu(self):
        return isinstance(self.values[0], str)

    def checked(self, name, value):
        """`value` if this control allows it; numbers between the ends are allowed as well."""
        if self.is_menu:
            return one_of(name, value, self.values)
        return between(name, value, min(self.values), max(self.values))

    def text(self, value):
        """The read-out of a value."""
        if self.is_menu:
            return str(value)
        if self.unit == "B" and all(each % 1024 == 0 for each in self.values):  # messages, in powers of two
            return binary(value)
        text = si(value, self.unit, digits=6) if self.unit else counted(value)
        return text.removesuffix("s") if value == 1 and self.unit.endswith("s") else text


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """One figure of the book. Calling it gives a picture: `two_times(chip="B200 SXM (HGX)")`."""

    slug: str
    title: str
    caption: str
    alt: str
    table: Callable
    draw: Callable
    summary: Callable
    controls: dict = field(default_factory=dict)
    now: Callable = dict  # settings at which sliders start where the moment suggests others than the figure's own
    rescales: bool = False  # the axes change with a control, so nothing can be kept between moves
    sources: tuple = ()

    def __post_init__(self):
        if self.slug in EXHIBITS:
            raise ValueError(f"exhibit slug {self.slug!r} is taken")
        EXHIBITS[self.slug] = self

    def settings(self, **chosen):
        """The value of every control: its start, or the reader's choice after a check."""
        for name in chosen:
            one_of(f"{self.slug}: control", name, self.controls)
        return {name: control.checked(name, chosen.get(name, control.start)) for name, control in self.controls.items()}

    def __call__(self, **chosen):
        return Picture(self, self.settings(**chosen))

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self()._repr_mimebundle_()


class Picture:
    """An exhibit drawn at given settings; a notebook shows it with its caption and alt text."""

    def __init__(self, exhibit, settings):
        self.exhibit, self.settings = exhibit, settings
        self.table = exhibit.table(**settings)
        with mpl.rc_context(RC):
            self.figure = Figure(layout="none")
            FigureCanvasAgg(self.figure)
            self.update = exhibit.draw(self.figure)
            self.artists = self.update(self.table)

    @property
    def summary(self):
        return self.exhibit.summary(self.table)

    @property
    def alt(self):
        return f"{self.exhibit.alt} {self.summary}"

    def save(self, path, **options):
        """Write the picture as `drawn` gives it, into a file or into an open one."""
        picture = self.drawn(options.pop("format", Path(str(path)).suffix[1:]), **options)
        if hasattr(path, "write"):
            path.write(picture)
        else:
            files.write(path, picture)

    def drawn(self, form, **options):
        """The bytes of the picture; SVG and PDF without a date, so that equal input gives equal bytes."""
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
        buffer = io.BytesIO()
        with mpl.rc_context(RC):
            self.figure.savefig(buffer, format=form, metadata=dated[one_of("format", form, dated)], **options)
        return buffer.getvalue()

    def save_with_table(self, path):
        """The picture and, beside it, the CSV of what it draws: both are on the disk before either has its name."""
        path = Path(path)
        files.write_together({path: self.drawn(path.suffix[1:]), path.with_suffix(".csv"): csv_text(self.table)})

    def _repr_mimebundle_(self, include=None, exclude=None):
        image = base64.b64encode(self.drawn("svg")).decode()
        return {
            "text/html": (
                f'<figure style="margin:0"><img width="760" alt="{html.escape(self.alt)}" '
                f'src="data:image/svg+xml;base64,{image}"><figcaption style="max-width:760px">'
                f"<b>{marked(self.exhibit.title)}</b> {marked(self.exhibit.caption)} "
                f"<i>{marked(self.summary)}</i></figcaption></figure>"
            ),
            "text/plain": f"[figure {self.exhibit.slug}] {self.summary}",
        }


def marked(text):
    """Text as HTML; what stands between backticks is code.

    >>> marked("run `make` & wait")
    'run <code>make</code> &amp; wait'
    """
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def exhibit(slug):
    """The exhibit of that slug, or an error with the nearest one."""
    load_all()
    return EXHIBITS[one_of("exhibit", slug, EXHIBITS)]


def load_all():
    """Import every chapter's figures, so that `EXHIBITS` is complete."""
    import importlib
    import pkgutil

    import bottlenecks.exhibits as package

    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith(("ch", "ap_")):
            importlib.import_module(f"bottlenecks.exhibits.{module.name}")
    return EXHIBITS


def stack(**series):
    """A long table from named series: stack(roof={"x": ..., "y": ...}, point={"x": ..., ...}).

    Scalars fill their series; columns that a series lacks are NaN there (text: "").
    """
    names = list(dict.fromkeys(c for columns in series.values() for c in columns))
    sizes = {s: max(np.size(v) for v in columns.values()) for s, columns in series.items()}
    table = {"series": np.repeat(list(series), list(sizes.values()))}
    for name in names:
        texts = any(np.asarray(c[name]).dtype.kind == "U" for c in series.values() if name in c)
        blank = "" if texts else np.nan
        table[name] = np.concatenate(
            [np.broadcast_to(columns.get(name, blank), sizes[s]) for s, columns in series.items()]
        )
    return table


def names(text):
    """Names set apart by commas: names("H100 SXM5, MI300X")."""
    return tuple(re.split(r",\s+", text))


def pick(table, series, *columns):
    """Columns of one series: x, y = pick(table, "roof", "x", "y")."""
    rows = table["series"] == series
    picked = [table[column][rows] for column in columns]
    return picked[0] if len(columns) == 1 else picked


def row(table, series="here"):
    """The first row of a series, its columns as attributes: here = row(table); here.chips, here.time_s."""
    return Row(table, np.flatnonzero(table["series"] == series)[0])


class Row:
    """One line of a table, read where it is asked for."""

    def __init__(self, table, line):
        self._table, self._line = table, line

    def __getattr__(self, column):
        if column not in self._table:
            raise AttributeError(f"the table has no column {column!r}; it has {', '.join(self._table)}")
        return self._table[column][self._line].item()


def csv_text(table):
    """The table beside a figure: six significant digits, one row a point."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow([v if isinstance(v, str) else f"{v:.6g}" for v in row])
    return text.getvalue()


def read_csv(path):
    """A table that `csv_text` gave: numbers where every cell is one, text elsewhere."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    return {name: _column([row[i] for row in rows]) for i, name in enumerate(header)}


def _column(cells):
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells)


def drawn_by(svg):
    """The matplotlib version that an SVG names; bytes are comparable within one version."""
    found = re.search(rb"Matplotlib v([\d.]+)", svg)
    return found.group(1).decode() if found else "an unknown program"
