"""Figures for chapter 10: how often a memory reads itself, one chip with other memories, what a byte has cost."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import end_labels, labels, text
from bottlenecks.exhibits.marks import boxes, circles, curve, diamond, line, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.memories import prices
from bottlenecks.facts.units import plain, si
from bottlenecks.studies import technologies as study

# ---- how often a memory reads itself ------------------------------------------------------------------

UNITS = {  # memory -> words, moved beside its point
    "DDR5-6400": ("DDR5 module", "left"),
    "LPDDR5X 8533": ("LPDDR5X package", "left"),
    "GDDR7 28": ("GDDR7 device", "right"),
    "HBM3E": ("HBM3E stack", "left"),
    "HBF 1": ("flash stack, announced", "right"),
    "NVMe PCIe 5.0 x4 SSD": ("solid-state drive", "left"),
    "HDD nearline CMR": ("disk", "left"),
}
CHIPS = {
    "H100 SXM5": ("H100", "right"),
    "Apple M2 Ultra": ("M2 Ultra", "left"),
    "Groq LPU v1": ("Groq LPU", "right"),
    "Cerebras WSE-3": ("a wafer", "right"),
}
BYTES = tuple(float(n) for n in (1e9, 2e9, 4e9, 8e9, 16e9, 35e9, 70e9, 140e9, 400e9, 1e12))
TIMES = {1e-6: "0.000001", 1e-4: "0.0001", 1e-2: "0.01", 1: "1", 100: "100", 1e4: "10,000", 1e6: "1 million"}
SPEED = 10.0  # tokens a second that a reader keeps up with, and some more


@keep
def _turnover_table(weights):
    found = study.turnovers()
    place = {name: i for i, name in enumerate(found["name"].tolist())}
    at = [place[name] for name in UNITS]
    devices = [chip(name) for name in CHIPS]
    rate = weights * SPEED
    return stack(
        unit={name: found[name][at] for name in ("name", "bytes_per_s", "memory_bytes", "turnover_per_s")},
        chip={
            "name": np.array(list(CHIPS)),
            "bytes_per_s": np.array([each.memory_bytes_per_s for each in devices]),
            "memory_bytes": np.array([each.memory_bytes for each in devices]),
            "turnover_per_s": np.array([each.memory_bytes_per_s / each.memory_bytes for each in devices]),
        },
        here={"memory_bytes": weights, "bytes_per_s": rate, "turnover_per_s": SPEED},
    )


def _turnover_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    ax = panel(figure, 0.16, 0.115, 0.955, 0.87)
    ends = np.array([1e8, 1e14])
    x_axis(ax, "bytes held", *ends, log="B")
    y_axis(ax, "reads of all of it in a second", 1e-6, 1e7, log="", ticks=TIMES)
    for rate in 10.0 ** np.arange(6, 19, 3):
        ax.plot(ends, rate / ends, color="#DDDDDD", lw=0.9, zorder=0.5)
        place = {1e6: 2e10, 1e9: 1.6e8, 1e12: 1.6e8, 1e15: 1.6e8, 1e18: 1.3e12}[rate]
        if 1e-6 < rate / place < 1e7:
            at = {"rotation": -34, "rotation_mode": "anchor", "va": "bottom"}
            ax.text(place, rate / place, si(rate, "B/s"), fontsize=8, color=GREY, **at)

    def telling(table):
        here = row(table)
        return f"{si(here.memory_bytes, 'B')} of weights, {SPEED:.0f} times a second: {si(here.bytes_per_s, 'B/s')}"

    def names(series, told, side):
        def of(table):
            name, x, y = pick(table, series, "name", "memory_bytes", "turnover_per_s")
            mine = [i for i, each in enumerate(name.tolist()) if told[each][1] == side]
            factor = 1.35 if side == "right" else 1 / 1.35
            return [told[name[i]][0] for i in mine], x[mine] * factor, y[mine]

        return of

    return updating(
        text(ax, -0.155, 1.07, telling, of="axes", fontsize=11, weight="bold"),
        circles(ax, "unit", "memory_bytes", "turnover_per_s"),
        line(
            ax,
            lambda table: pick(table, "chip", "memory_bytes", "turnover_per_s"),
            marker="s",
            ls="",
            ms=6,
            color=COLOUR["memory"],
            zorder=3,
        ),
        *(
            labels(ax, names(series, told, side), size=8.5, align="left" if side == "right" else "right")
            for series, told in (("unit", UNITS), ("chip", CHIPS))
            for side in ("left", "right")
        ),
        diamond(ax, "memory_bytes", "turnover_per_s"),
    )


def _turnover_summary(table):
    here = row(table)
    name, times = pick(table, "unit", "name", "turnover_per_s")
    of = dict(zip(name.tolist(), times.tolist(), strict=True))
    return (
        f"{si(here.memory_bytes, 'B')} of weights at {SPEED:.0f} tokens a second need {si(here.bytes_per_s, 'B/s')}. Full, an HBM3E stack is read "
        f"{plain(of['HBM3E'])} times a second, a GDDR7 device {plain(of['GDDR7 28'])}, an LPDDR5X package {plain(of['LPDDR5X 8533'], 2)}, a DDR5 module "
        f"{plain(of['DDR5-6400'], 2)}, a drive once in {plain(1 / of['NVMe PCIe 5.0 x4 SSD'] / 60, 2)} minutes."
    )


turnover = Exhibit(
    slug="10-turnover",
    title="How often a memory reads itself.",
    caption="One unit of each memory (circles) and all of a chip's (squares). Along a grey line bandwidth is the same; the diamond holds some weights and reads "
    "them ten times a second. Which memories can it be made of?",
    alt="Reads of the whole a second against bytes held, on logarithmic axes with diagonals of equal bandwidth: SRAM far above, HBM and GDDR near fifty times a second, DDR "
    "below one, a drive at a thousandth.",
    controls={"weights": Control(label="weights", values=BYTES, start=70e9, unit="B")},
    table=_turnover_table,
    draw=_turnover_draw,
    summary=_turnover_summary,
    sources=("hwtimes", "bekman-accelerators", "semieng2026hbf"),
)

# ---- one chip, other memories -------------------------------------------------------------------------

MODELS = {"Llama-3-8B": "Llama 3 8B", "Llama-3-70B": "Llama 3 70B", "Llama-3.1-405B": "Llama 3.1 405B"}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTEXT = 2048
PANELS = {
    "tokens_per_s": ("tokens/s of each reader", 0.03, 2000, {0.1: "0.1", 10: "10", 300: "300"}),
    "largest": ("largest model, 8 bits", 3e9, 3e14, {1e10: "10 billion", 1e12: "1 trillion", 1e14: "100 tr."}),
    "joules": ("joules of a token", 0.01, 3e4, {0.1: "0.1 J", 10: "10 J", 1000: "1 kJ"}),
}


def _params(count):
    """150 billion, 3.1 trillion."""
    scale, word = (1e12, "trillion") if count >= 1e12 else (1e9, "billion")
    return f"{plain(count / scale, 2)} {word}"


@keep
def _swap_table(equal, name, batch):
    found, shape = study.swapped(equal), model(name)
    step = study.step_s(shape, found["bytes_per_s"], batch=batch, context=CONTEXT)
    fits = study.held_bytes(shape, batch=batch, context=CONTEXT) <= found["memory_bytes"]
    return stack(
        memory={
            "name": np.array([study.WORDS[each] for each in study.OTHERS]),
            "tokens_per_s": 1 / step,
            "fits": fits * 1.0,
            "largest": found["memory_bytes"],
            "joules": study.token_joules(shape, equal, batch=batch, context=CONTEXT),
            "bytes_per_s": found["bytes_per_s"],
            "units": found["units"],
        },
        here={"equal": equal, "model": MODELS[name], "batch": batch, "budget": found["budget"][0]},
    )


def _swap_draw(figure):
    figure.set_size_inches(7.6, 4.4)
    names = [study.WORDS[each] for each in study.OTHERS]
    marks = []
    for k, (column, (title, low, high, ticks)) in enumerate(PANELS.items()):
        left = 0.155 + 0.285 * k
        ax = panel(figure, left, 0.13, left + 0.262, 0.80)
        x_axis(ax, "", low, high, log="", ticks=ticks)
        rows(ax, names, size=9, labelled=k == 0)
        ax.set_title(title, fontsize=9.5, loc="left")

        def bars(table, column=column, low=low, high=high):
            value, fits = pick(table, "memory", column, "fits")
            y = np.arange(value.size)
            shown = np.where(np.isfinite(value) & ((fits > 0) | (column == "largest")), value, low)
            return low, np.minimum(shown, high), y - 0.34, y + 0.34

        def colours(table):
            return [COLOUR["memory"] if i == 0 else COLOUR["network"] for i in range(len(names))]

        def words(table, column=column, low=low):
            value, fits = pick(table, "memory", column, "fits")
            y = np.arange(value.size)
            told = []
            for v, f in zip(value, fits, strict=True):
                if not np.isfinite(v):
                    told.append("not published")
                elif column != "largest" and not f:
                    told.append("does not fit")
                elif column == "joules":
                    told.append(si(v, "J", 2))
                else:
                    told.append(plain(v, 2) if column == "tokens_per_s" else _params(v))
            return told, np.full(value.size, low * 1.25), y

        marks += [boxes(ax, bars, colours, alpha=0.45), labels(ax, words, size=8.5)]

    def telling(table):
        here = row(table)
        budget = {"watts": f"{plain(here.budget, 3)} W", "die edge": f"{plain(here.budget * 1e3, 2)} mm of edge"}
        what = budget.get(here.equal, f"{here.budget:,.0f} {here.equal}")
        readers = "one reader" if here.batch == 1 else f"{here.batch:.0f} readers"
        return f"An H200's memory for {what}: {here.model}, {readers}"

    return updating(text(figure, 0.012, 0.95, telling, fontsize=11, weight="bold", va="center"), *marks)


def _swap_summary(table):
    here = row(table)
    name, rate, units, fits, bandwidth = pick(table, "memory", "name", "tokens_per_s", "units", "fits", "bytes_per_s")
    told = []
    for i in range(name.size):
        if np.isfinite(bandwidth[i]):
            speed = f"{plain(rate[i], 2)} tokens/s" if fits[i] else "the model does not fit"
            told.append(f"{name[i]} {plain(units[i], 2)} units, {si(bandwidth[i], 'B/s', 2)}, {speed}")
    return f"For the same {here.equal}, {here.model} in 8 bits: " + "; ".join(told) + "."


swap = Exhibit(
    slug="10-swap",
    title="Swap the memory.",
    caption="An H200 with other memories for the watts, the edge of the die, or the dollars that its HBM3E takes. Which memory beats "
    "HBM for each of the budgets, and which for all?",
    alt="Three charts of bars, a row for each memory: tokens a second of each reader, largest model, joules of a token.",
    controls={
        "equal": Control(label="for the same", values=study.EQUAL, start="die edge"),
        "name": Control(label="model", values=tuple(MODELS), start="Llama-3-8B"),
        "batch": Control(label="readers", values=BATCHES, start=1),
    },
    table=_swap_table,
    draw=_swap_draw,
    summary=_swap_summary,
    sources=("rpu2026", "motir2026exports", "micron-ultra-bandwidth"),
)

# ---- prices -------------------------------------------------------------------------------------------

KINDS = {
    "DDR4": SERIES[0],
    "DDR5": SERIES[1],
    "LPDDR5X": SERIES[2],
    "GDDR6": SERIES[3],
    "HBM3E": SERIES[5],
    "NAND": GREY,
}
HBM = ("HBM3E", "HBM4")


def _year(date):
    year, _, month = date.partition("-")
    return float(year) + (float(month) - 0.5) / 12 if month else float(year)


@keep
def _prices_table():
    series = {}
    for name in KINDS:
        each = [p for kind in (HBM if name == "HBM3E" else (name,)) for p in prices(kind)]
        series[name] = {
            "year": np.array([_year(p.date) for p in each]),
            "usd_per_gbyte": np.array([p.usd_per_byte for p in each]) * 1e9,
            "low": np.array([p.low for p in each]) * 1e9,
            "high": np.array([p.high for p in each]) * 1e9,
        }
    return stack(**series)


def _prices_draw(figure):
    ax = panel(figure, 0.095, 0.09, 0.86, 0.93)
    x_axis(ax, "", 2020, 2026.9, ticks={y: str(y) for y in range(2020, 2027)})
    y_axis(
        ax, "dollars of a gigabyte", 0.1, 40, log="", ticks={0.1: "0.1", 0.3: "0.3", 1: "1", 3: "3", 10: "10", 30: "30"}
    )

    def bars(table):
        found = [pick(table, name, "year", "low", "high") for name in KINDS]
        x, low, high = (np.concatenate([each[i] for each in found]) for i in range(3))
        wide = high > low
        return x[wide] - 0.04, x[wide] + 0.04, low[wide], high[wide]

    return updating(
        boxes(ax, bars, "#D8D8D8"),
        *(curve(ax, name, "year", "usd_per_gbyte", color=c, lw=1.1, marker="o", ms=4.5) for name, c in KINDS.items()),
        end_labels(
            ax,
            {name: ("HBM3E, HBM4" if name == "HBM3E" else name, c) for name, c in KINDS.items()},
            lambda table: {name: pick(table, name, "usd_per_gbyte")[-1] for name in KINDS},
        ),
    )


def _prices_summary(table):
    last = {name: pick(table, name, "usd_per_gbyte") for name in KINDS}
    return (
        f"A gigabyte of DDR5 cost {plain(last['DDR5'][-2], 3)} dollars in August 2025 and {plain(last['DDR5'][-1], 3)} a year later; one of HBM {plain(last['HBM3E'][-2], 3)} "
        f"late in 2025 and {plain(last['HBM3E'][-1], 3)} for 2026."
    )


prices_shown = Exhibit(
    slug="10-prices",
    title="What a gigabyte has cost.",
    caption="Published prices: contracts where there are some, else spot. Grey bars: the range of a day or of a report. Was HBM ever cheaper than plain "
    "DRAM?",
    alt="Prices on a logarithmic axis from 2020 to 2026: DDR4 and DDR5 between one and four dollars until 2025, above ten in 2026, above HBM.",
    table=_prices_table,
    draw=_prices_draw,
    summary=_prices_summary,
    sources=("motir2026exports", "chosun2026dram", "futunn2025hbm", "hkhonch2025hbm4"),
)
