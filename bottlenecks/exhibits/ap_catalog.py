"""Figures of the appendix The catalog."""

import re

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.marks import Mark, area, curve, line, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, MARKERS, SERIES
from bottlenecks.facts.chips import chip, chips
from bottlenecks.facts.units import plain, plural
from bottlenecks.laws import trends


def peak16(c):
    """Dense 16-bit peak of a chip, or None."""
    return next((c.peaks[f].flop_per_s for f in ("bf16", "fp16") if f in c.peaks), None)


def _over(above, below):
    """Quotient of two columns, None where either is missing."""
    return lambda c: above(c) / below(c) if above(c) and below(c) else None


PEAK16 = ("bf16_tflops", "fp16_tflops")
QUANTITIES = {  # name: (number of a chip, unit on the axis, columns of the catalog that it rests on)
    "16-bit peak": (peak16, "FLOP/s", PEAK16),
    "memory bandwidth": (lambda c: c.memory_bytes_per_s, "B/s", ("memory_gbytes_per_s",)),
    "memory capacity": (lambda c: c.memory_bytes, "B", ("memory_sold",)),
    "link rate, one way": (lambda c: c.link_bytes_per_s, "B/s", ("link_gbytes_per_s_per_direction",)),
    "power": (lambda c: c.tdp_watts, "W", ("tdp_watts",)),
    "price": (lambda c: c.price_usd, "USD", ("price_usd",)),
    "16-bit peak per dollar": (_over(peak16, lambda c: c.price_usd), "FLOP/s/USD", (*PEAK16, "price_usd")),
    "16-bit peak per watt": (_over(peak16, lambda c: c.tdp_watts), "FLOP/J", (*PEAK16, "tdp_watts")),
    "bandwidth per watt": (
        _over(lambda c: c.memory_bytes_per_s, lambda c: c.tdp_watts),
        "B/J",
        ("memory_gbytes_per_s", "tdp_watts"),
    ),
}


def unconfirmed(c, quantity):
    """Whether a chip's number rests on a cell that no source of ours states."""
    return "all" in c.unconfirmed or bool(set(QUANTITIES[quantity][2]) & set(c.unconfirmed))


LINES = {
    "NVIDIA, data centre": names(
        "P100 SXM2, V100 SXM2 16GB, A100 SXM 80GB, H100 SXM5, H200 SXM, B200 SXM (HGX), B300 SXM (HGX)"
    ),
    "AMD, data centre": ("MI100", "MI250X", "MI300X", "MI325X", "MI355X"),
    "NVIDIA, GeForce": ("RTX 3090", "RTX 4090", "RTX 5090"),
    "Google TPU, training": ("TPU v2", "TPU v3", "TPU v4", "TPU v5p", "TPU v7"),
}
EVERYTHING = "every accelerator"
GROUPS = (*LINES, EVERYTHING)


def launch_year(c):
    """Launch as a number of years: the middle of the month, or of the year where no month is known."""
    year, _, month = c.launch.partition("-")
    return int(year) + (float(month or 6.5) - 0.5) / 12


def _members(group):
    if group == EVERYTHING:
        return [
            c for c in chips().values() if c.launch and peak16(c) and c.kind in ("GPU", "TPU", "ASIC", "APU", "GPU+CPU")
        ]
    return [chip(name) for name in LINES[group]]


# ---- growth ------------------------------------------------------------------------------------------


def _growth_table(quantity, group):
    of = QUANTITIES[quantity][0]
    found = [(c.name, launch_year(c), of(c), unconfirmed(c, quantity)) for c in _members(group) if of(c)]
    if len(found) < 3:
        raise ValueError(f"{quantity} of the line {group!r}: {len(found)} chips have one, a trend needs three")
    names, years, values, doubtful = zip(*found, strict=True)
    years, values = np.array(years), np.array(values, float)
    doubling, low, high = trends.fit_doubling(years, values)
    start = np.log2(values).mean() - years.mean() / doubling
    x = np.array([2016.0, 2027.0])
    return stack(
        points={"year": years, "value": values, "chip": np.array(names), "unconfirmed": np.array(doubtful, float)},
        trend={"year": x, "value": 2.0 ** (start + x / doubling)},
        band=_band(years, values, low, high),
        fit={"year": doubling, "low": low, "high": high, "quantity": quantity, "group": group},
    )


def _band(years, values, low, high):
    """Lines through the middle of the points that double in the two ends of the interval, lower and upper; none if it has no ends."""
    x = np.linspace(2016, 2027, 23)
    if not 0 < low <= high:
        return {"year": x, "low": np.full(x.size, np.nan), "high": np.full(x.size, np.nan)}
    ends = [2.0 ** (np.log2(values).mean() + (x - years.mean()) / each) for each in (low, high)]
    return {"year": x, "low": np.minimum(*ends), "high": np.maximum(*ends)}


def _growth_draw(figure):
    figure.set_size_inches(7.6, 4.8)
    ax = panel(figure, 0.15, 0.11, 0.97, 0.93)
    notes = [ax.annotate("", (0, 0), xytext=(0, 0), textcoords="offset points", fontsize=9) for _ in range(12)]

    def axes(table):
        fit, values = row(table, "fit"), pick(table, "points", "value")
        x_axis(ax, "launch", 2016, 2027)
        y_axis(ax, "", values.min() / 3, values.max() * 3, log=QUANTITIES[fit.quantity][1])
        ax.set_title(f"{fit.quantity}: {fit.group}")

    def named(table):
        """The names of the chips, of a line that has few."""
        found = list(zip(*pick(table, "points", "year", "value", "chip"), strict=True))
        found = found if len(found) <= len(notes) else []
        x, trend = pick(table, "trend", "year", "value")
        for i, note in enumerate(notes):
            year, value, name = found[i] if i < len(found) else (2016, 1, "")
            above = np.log(value) > np.interp(year, x, np.log(trend))  # the name stands away from the line
            note.set(text=re.sub(r" (SXM|\(|\d+GB).*", "", name), ha="right" if above else "left")
            note.set(position=(-5, 3) if above else (5, -9), va="baseline")
            note.xy = year, value

    return updating(
        Mark([], axes),
        area(ax, lambda table: pick(table, "band", "year", "low", "high"), facecolors="#F7DCCB", zorder=0.6),
        curve(ax, "points", "year", "value", marker="o", ls="", color=SERIES[0], alpha=0.8),
        curve(ax, "trend", "year", "value", color=COLOUR["compute"], lw=1.4),
        Mark(notes, named),
    )


def _growth_summary(table):
    fit, doubtful = row(table, "fit"), pick(table, "points", "unconfirmed")
    text = (
        f"{doubtful.size} chips; doubling every {plain(fit.year, 2)} years (80 % of resampled fits: {plain(fit.low, 2)} to "
        f"{plain(fit.high, 2)})."
    )
    if not 0 < fit.low <= fit.high:
        text = f"{doubtful.size} chips; no growth that stands out from the scatter."
    if doubtful.any():
        are = "is" if doubtful.sum() == 1 else "are"
        text += f" {plain(doubtful.sum())} of the numbers {are} not confirmed by a source."
    return text


def doublings():
    """Rows of a table: every quantity and line that has three chips or more, keyed by both."""
    found = {}
    for quantity, (of, *_) in QUANTITIES.items():
        for group in LINES:
            if sum(of(c) is not None for c in _members(group)) < 3:
                continue
            table = _growth_table(quantity, group)
            fit = row(table, "fit")
            sure = 0 < fit.low <= fit.high < 100
            found[quantity, group] = {
                "quantity": quantity,
                "line": group,
                "chips": pick(table, "points", "year").size,
                "doubling, years": plain(fit.year, 2) if sure else "-",
                "80 % of resampled fits": f"{plain(fit.low, 2)} to {plain(fit.high, 2)}" if sure else "no clear growth",
                "not confirmed": plain(pick(table, "points", "unconfirmed").sum()),
            }
    return found


growth = Exhibit(
    slug="A1-growth",
    title="How fast does it grow?",
    caption="One number of each chip against its launch, with the exponential that fits best. Shaded: 80 % of fits to "
    "resampled points; generations are few and not independent, so it is too narrow.",
    alt="Log plot of a quantity against launch date with a straight line through the points and a band around it.",
    controls={
        "quantity": Control(label="quantity", values=tuple(QUANTITIES), start="16-bit peak"),
        "group": Control(label="line", values=GROUPS, start=GROUPS[0]),
    },
    table=_growth_table,
    draw=_growth_draw,
    summary=_growth_summary,
    rescales=True,
)


# ---- three ratios ----------------------------------------------------------------------------------------

RATIOS = {
    "FLOP per byte of memory traffic": _over(peak16, lambda c: c.memory_bytes_per_s),
    "FLOP per byte of link traffic": _over(peak16, lambda c: c.link_bytes_per_s),
    "seconds to read the whole memory": _over(lambda c: c.memory_bytes, lambda c: c.memory_bytes_per_s),
}


def _ratios_table(group):
    members = _members(group)
    series = {}
    for name, of in RATIOS.items():
        found = [(launch_year(c), of(c), c.name) for c in members if of(c)]
        if found:
            years, values, names = zip(*sorted(found), strict=True)
            values = np.array(values)
            series[name] = {
                "year": np.array(years),
                "value": values,
                "relative": values / values[0],
                "chip": np.array(names),
            }
    return stack(**series)


def _ratios_draw(figure):
    figure.set_size_inches(7.6, 4.8)
    ax = panel(figure, 0.10, 0.11, 0.97, 0.96)
    x_axis(ax, "launch", 2015.5, 2027)
    y_axis(ax, "relative to the first chip of the line", 0.15, 40, log="")
    ax.axhline(1, color=COLOUR["idle"], lw=0.8)
    looks = zip(RATIOS, MARKERS, SERIES, strict=False)
    marks = [curve(ax, n, "year", "relative", marker=marker, color=colour, label=n) for n, marker, colour in looks]
    ax.legend(loc="lower left", fontsize=9)
    return updating(*marks)


def _ratios_summary(table):
    words = []
    for name in dict.fromkeys(table["series"]):
        values, relative, names = pick(table, name, "value", "relative", "chip")
        words.append(
            f"{name}: {plain(values[0], 2)} ({names[0]}) to {plain(values[-1], 2)} ({names[-1]}), {plain(relative[-1], 2)} times"
        )
    return "; ".join(words) + "."


ratios = Exhibit(
    slug="A1-ratios",
    title="The ratios that make the waves.",
    caption="Three quotients of each chip, relative to the first of its line. Where one rises, a program must do "
    "more with each byte than before; where one falls, there is less room for what it works on.",
    alt="Log plot of three ratios against launch date, each starting at one.",
    controls={"group": Control(label="line", values=tuple(LINES), start="NVIDIA, data centre")},
    table=_ratios_table,
    draw=_ratios_draw,
    summary=_ratios_summary,
)


# ---- any two columns ----------------------------------------------------------------------------------------


def _any_two_table(across, up, kind):
    members = [c for c in chips().values() if kind in ("all", c.kind)]
    found = [(c.name, c.vendor, QUANTITIES[across][0](c), QUANTITIES[up][0](c)) for c in members]
    found = [row for row in found if row[2] and row[3]]
    names, vendors, x, y = zip(*found, strict=True)
    vendors = np.array([v if v in VENDORS else OTHERS for v in vendors])
    return stack(
        chips={"chip": np.array(names), "vendor": vendors, "x": np.array(x, float), "y": np.array(y, float)},
        axes={"chip": across, "vendor": up},
    )


VENDORS = ("NVIDIA", "AMD", "Google", "Intel", "AWS", "Apple", "Groq", "Cerebras")
OTHERS = "others"


def _any_two_draw(figure):
    figure.set_size_inches(7.6, 5.0)
    ax = panel(figure, 0.21, 0.11, 0.92, 0.92)
    notes = [ax.annotate("", (1, 1), xytext=(5, 3), textcoords="offset points", fontsize=9) for _ in range(NOTED)]

    def axes(table):
        (x, y), shown = pick(table, "chips", "x", "y"), row(table, "axes")
        x_axis(ax, shown.chip, x.min() / 2, x.max() * 2, log=QUANTITIES[shown.chip][1])
        y_axis(ax, shown.vendor, y.min() / 2, y.max() * 2, log=QUANTITIES[shown.vendor][1])

    def named(table):
        """The names of the chips that lie farthest from the line through all, where a name has room."""
        names, x, y = pick(table, "chips", "chip", "x", "y")
        places = ax.transAxes.inverted().transform(ax.transData.transform(np.column_stack([x, y])))
        placed = _far_apart(names, places)
        for i, note in enumerate(notes):
            name, above = placed[i] if i < len(placed) else ("", False)
            note.set_text(re.sub(r" \(.*", "", name))
            if name:
                k = names.tolist().index(name)
                left = places[k, 0] > 0.2 if above else places[k, 0] > 0.85
                note.set(ha="right" if left else "left", position=(-5 if left else 5, 4 if above else -9))
                note.xy = x[k], y[k]

    def key(table):
        shown = [mark.artists[0] for mark in marks if mark.artists[0].get_xdata().size]
        ax.legend(handles=shown, loc="lower left", bbox_to_anchor=(-0.27, 1.0), ncols=9, **small)

    def of(maker):
        def points(table):
            makers, x, y = pick(table, "chips", "vendor", "x", "y")
            return x[makers == maker], y[makers == maker]

        return points

    looks = zip((*VENDORS, OTHERS), (*MARKERS, "h"), (*SERIES, COLOUR["idle"]), strict=True)
    marks = [line(ax, of(v), marker=marker, color=colour, ls="", label=v) for v, marker, colour in looks]
    small = {"fontsize": 9, "handletextpad": 0.0, "columnspacing": 0.9}
    return updating(Mark([], axes), *marks, Mark([], key), Mark(notes, named))


NOTED = 8  # chips that are named
ROOM = 0.2, 0.05  # that a name takes, in fractions of the axes


def _far_apart(names, places):
    """(name, whether above) of the points farthest from the straight line through all, but where a name stands already.

    `places` are fractions of the axes.
    """
    (x, y), found = places.T, []
    off = y - np.polyval(np.polyfit(x, y, 1), x)
    for i in np.argsort(-np.abs(off), kind="stable").tolist():
        free = all(abs(x[i] - x[k]) > ROOM[0] or abs(y[i] - y[k]) > ROOM[1] for k in found)
        if free and abs(off[i]) > 0.05:
            found.append(i)
    return [(str(names[i]), off[i] > 0) for i in found[:NOTED]]


def _any_two_summary(table):
    (names, x, y), axes = pick(table, "chips", "chip", "x", "y"), row(table, "axes")
    across, up = axes.chip, axes.vendor
    if names.size < 3:
        return f"{plural(names.size, 'chip')}; too few to compare."
    if across == up:
        return f"{names.size} chips. Both axes show the {across}: choose another for one of them."
    best = names[(y / x).argmax()]
    correlation = np.corrcoef(np.log(x), np.log(y))[0, 1]
    return f"{names.size} chips. Most {up} for its {across}: {best}. Correlation of the logarithms: {plain(correlation, 2)}."


any_two = Exhibit(
    slug="A1-any-two",
    title="Any two numbers of the catalog.",
    caption="Each point is a chip; colour and mark are its maker's. Both axes are logarithmic. Named: chips that lie "
    "farthest from the line through all.",
    alt="Log-log scatter of two quantities of the catalog, one point for each chip.",
    controls={
        "across": Control(label="across", values=tuple(QUANTITIES), start="memory bandwidth"),
        "up": Control(label="up", values=tuple(QUANTITIES), start="16-bit peak"),
        "kind": Control(label="kind", values=("all", "GPU", "TPU", "ASIC"), start="all"),
    },
    table=_any_two_table,
    draw=_any_two_draw,
    summary=_any_two_summary,
    rescales=True,
)
