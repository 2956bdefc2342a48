"""Figures for chapter 04: a run as chips times days, the bill redone, the history of operations and chips, a speed run."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.drawn_parts import HEADLINE, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, circles, curve, line, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.chips import chip as chip_of
from bottlenecks.facts.units import RAISED, plain, plural, powers, si
from bottlenecks.laws import trends
from bottlenecks.studies import bills, speedrun

DAY_S, HOUR_S = 86400.0, 3600.0

# ---- a run, chips times days -------------------------------------------------------------------------

SIZES = {  # words -> parameters, tokens
    "GPT-3: 175 billion, 300 billion tokens": (175e9, 300e9),
    "Llama 2: 70 billion, 2 trillion tokens": (70e9, 2e12),
    "Llama 3.1: 405 billion, 15.6 trillion tokens": (405e9, 15.6e12),
}
CHIPS = {"V100": "V100 SXM2 32GB", "A100": "A100 SXM 80GB", "H100": "H100 SXM5", "GB200": "GB200 (per GPU)"}
COUNTS = (2000.0, 5000.0, 10000.0, 15000.0, 20000.0, 40000.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@keep
def _days_table(size, chip, chips, share):
    params, tokens = SIZES[size]
    flop = 6 * params * tokens
    peak = chip_of(CHIPS[chip]).peak_flop_per_s("bf16" if "bf16" in chip_of(CHIPS[chip]).peaks else "fp16")
    ideal_s = flop / (chips * peak)
    return stack(
        here={
            "size": size,
            "chip": chip,
            "chips": chips,
            "share": share,
            "flop": flop,
            "peak": peak,
            "ideal_days": ideal_s / DAY_S,
            "days": ideal_s / share / DAY_S,
            "chip_hours": flop / (peak * share) / HOUR_S,
        }
    )


LEFT, FLOOR, WIDE, HIGH = 80, 360, 560, 270  # of the picture of a run
MOST_DAYS, MOST_CHIPS = 100.0, 40000.0


def _days_draw(figure):
    ax = page(figure, 430)

    def size(days, chips):
        return LEFT, LEFT + WIDE * min(days / MOST_DAYS, 1), FLOOR - HIGH * chips / MOST_CHIPS, FLOOR

    def whole(table):
        here = row(table)
        x0, x1, y1, y0 = size(here.days, here.chips)
        return flat([x0], [x1], [y1], [y0])

    def reached(table):
        here = row(table)
        x0, x1, y1, y0 = size(here.days, here.chips)
        return flat([x0], [x1], [y0 + (y1 - y0) * here.share], [y0])

    def telling(table):
        here = row(table)
        return (
            f"{plain(here.chips, 3)} {here.chip}s at {100 * here.share:.0f} % of their peak: {plain(here.days, 3)} days"
        )

    def facts(table):
        here = row(table)
        over = ", drawn up to 100" if here.days > MOST_DAYS else ""
        return (
            f"{powers(here.flop)} FLOP. At the peak of {si(here.peak, 'FLOP/s')} each: {plain(here.ideal_days, 3)} days{over}; "
            f"in all {plain(here.chip_hours / 1e6, 3)} million chip-hours."
        )

    for days in (0, 25, 50, 75, 100):
        x = LEFT + WIDE * days / MOST_DAYS
        ax.plot([x, x], [FLOOR, FLOOR + 5], color=GREY, lw=0.8)
        ax.text(x, FLOOR + 18, f"{days} days", fontsize=9, ha="center", va="center", color=GREY)
    for count in (0, 10000, 20000, 30000, 40000):
        y = FLOOR - HIGH * count / MOST_CHIPS
        ax.plot([LEFT - 5, LEFT], [y, y], color=GREY, lw=0.8)
        ax.text(LEFT - 10, y, f"{count:,}", fontsize=9, ha="right", va="center", color=GREY)
    key(
        figure,
        {"the share of the peak that is reached": COLOUR["compute"], "the share that is not reached": "#EBD9CC"},
        0.1,
        0.03,
    )
    return updating(
        text(ax, 14, 10, telling, **HEADLINE),
        text(ax, 14, 46, facts, **SMALL),
        boxes(ax, whole, "#EBD9CC"),
        boxes(ax, reached, COLOUR["compute"]),
        segments(ax, lambda table: outlines(whole(table)), colors="black", linewidths=0.8),
    )


def _days_summary(table):
    here = row(table)
    return (
        f"{here.size} take {powers(here.flop)} FLOP: on {plain(here.chips, 3)} {here.chip}s {plain(here.ideal_days, 3)} days at their peak and "
        f"{plain(here.days, 3)} at {100 * here.share:.0f} % of it."
    )


days = Exhibit(
    slug="04-days",
    title="A run is chips times days.",
    caption="Width: days; height: chips; the dark part: what is reached of the peak. Choose a run and chips: what takes "
    "Llama 3.1 below a month?",
    alt="A rectangle as wide as the days and as high as the chips that a run takes, its lower part dark by the share of the peak that is reached.",
    controls={
        "size": Control(label="model", values=tuple(SIZES), start=next(iter(SIZES))),
        "chip": Control(label="chip", values=tuple(CHIPS), start="V100"),
        "chips": Control(label="chips", values=COUNTS, start=10000.0),
        "share": Control(label="share of the peak", values=SHARES, start=0.2),
    },
    table=_days_table,
    draw=_days_draw,
    summary=_days_summary,
)


# ---- the bill, redone --------------------------------------------------------------------------------

WAYS = ("the model of this book", "40 % of the peak")


@keep
def _bill_table(way):
    found = bills.redone()
    by_model = way == WAYS[0]
    predicted = found["predicted_s"] if by_model else found["one_s"]
    error = np.abs(np.log(predicted / found["chip_s"]))
    far = np.argsort(-error)[:5]
    return stack(
        run={
            "name": found["name"],
            "reported_hours": found["chip_s"] / HOUR_S,
            "predicted_hours": predicted / HOUR_S,
            "low_hours": (found["low_s"] if by_model else predicted) / HOUR_S,
            "high_hours": (found["high_s"] if by_model else predicted) / HOUR_S,
            "far": np.isin(np.arange(error.size), far) * 1.0,
        },
        here={
            "way": way,
            "median": float(np.median(error)),
            "mean": float(np.mean(error)),
            "inside": float(np.mean((found["low_s"] <= found["chip_s"]) & (found["chip_s"] <= found["high_s"]))),
            "runs": error.size,
        },
    )


def _bill_draw(figure):
    figure.set_size_inches(7.6, 5.2)
    ax = panel(figure, 0.145, 0.115, 0.975, 0.9)
    ticks = {
        10.0**n: word
        for n, word in (
            (1, "10"),
            (2, "100"),
            (3, "1,000"),
            (4, "10,000"),
            (5, "100,000"),
            (6, "1 million"),
            (7, "10 million"),
        )
    }
    x_axis(ax, "chip-hours reported", 3, 1e8, log="", ticks=ticks)
    y_axis(ax, "chip-hours predicted", 3, 1e8, log="", ticks=ticks)
    ends = np.array([3, 1e8])
    for times in (1, 2, 0.5):
        ax.plot(ends, ends * times, color="#B0B0B0", lw=1.2 if times == 1 else 0.7, ls="-" if times == 1 else ":")

    def whiskers(table):
        x, low, high = pick(table, "run", "reported_hours", "low_hours", "high_hours")
        return [((a, p), (a, q)) for a, p, q in zip(x, low, high, strict=True)]

    def names(above):
        def of(table):
            x, y, far = pick(table, "run", "reported_hours", "predicted_hours", "far")
            mine = (far > 0) & (((y > x) & (x > 1000)) == above)
            names = np.array(pick(table, "run", "name").tolist())[mine].tolist()
            order = np.argsort(y[mine])
            gaps = np.arange(order.size) * np.log(1.5)  # so that no name lies on another
            height = np.exp(np.maximum.accumulate(np.log(y[mine][order]) - gaps) + gaps)
            return [names[i].removesuffix(" (MoE)") for i in order], (x[mine] * (0.8 if above else 1.25))[order], height

        return of

    def telling(table):
        here = row(table)
        return f"{plural(here.runs, 'run')}, {here.way}: half are within {100 * here.median:.0f} %, the mean error is {100 * here.mean:.0f} %"

    return updating(
        segments(ax, whiskers, colors="#7FB0D8", linewidths=2.6),
        circles(ax, "run", "reported_hours", "predicted_hours", ms=5),
        labels(ax, names(True), align="right", size=9),
        labels(ax, names(False), size=9),
        text(ax, -0.12, 1.05, telling, of="axes", fontsize=10.5, weight="bold"),
    )


def _bill_summary(table):
    here = row(table)
    inside = f"; {100 * here.inside:.0f} % inside its interval, which promises 80" if here.way == WAYS[0] else ""
    return f"Chip-hours of {here.runs:.0f} published runs by {here.way}: median error {100 * here.median:.0f} %, mean {100 * here.mean:.0f} %{inside}."


bill = Exhibit(
    slug="04-bill",
    title="The bill, redone.",
    caption="Published runs: chip-hours from shape, tokens and kind of chip, beside those reported; bars promise to hold 80 %. Named: the five that are furthest "
    "off. Dotted: twice and half. Which lie outside?",
    alt="Predicted against reported chip-hours on logarithmic axes from ten to ten million: circles along the diagonal, most within a factor of two, five of "
    "them named further away.",
    controls={"way": Control(label="predicted by", values=WAYS, start=WAYS[0])},
    table=_bill_table,
    draw=_bill_draw,
    summary=_bill_summary,
)


# ---- the history -------------------------------------------------------------------------------------

WHAT = {"operations": ("flop", "FLOP"), "chips": ("chips", ""), "tokens": ("tokens", "")}
SINCE = 2017


@keep
def _history_table(what):
    found = bills.runs()
    column, _ = WHAT[what]
    values = (
        np.where(np.isnan(found["flop"]), found["reported_flop"], found["flop"])
        if what == "operations"
        else found[column]
    )
    known = np.isfinite(values) & (found["year"] > SINCE)
    year, value = found["year"][known], values[known]
    order = np.argsort(year, kind="stable")
    year, value = year[order], value[order]
    record = bills.records(year, value)
    doubling, low, high = trends.fit_doubling(year[record], value[record])
    slope, start = np.polyfit(year[record], np.log2(value[record]), 1)
    ends = np.array([year[record].min(), year[record].max()])
    return stack(
        run={"name": found["name"][known][order], "year": year, "value": value, "record": record * 1.0},
        line={"year": ends, "value": 2 ** (slope * ends + start)},
        here={
            "what": what,
            "doubling_months": 12 * doubling,
            "low_months": 12 * low,
            "high_months": 12 * high,
            "records": int(record.sum()),
        },
    )


NAMES = ("GPT-1", "BERT-large", "T5-11B", "GPT-3 175B", "Gopher 280B", "PaLM 540B", "Llama 3.1 405B")


def _history_draw(figure):
    ax = panel(figure, 0.125, 0.11, 0.975, 0.87)
    x_axis(ax, "", 2016.6, 2026.8, ticks={y: str(y) for y in range(2017, 2027)})
    y_axis(ax, "", 1, 10, log="")

    def limits(table):
        what = row(table).what
        ax.set_ylim(*{"operations": (1e18, 3e26), "chips": (4, 60000), "tokens": (5e9, 1e14)}[what])
        ax.set_ylabel(f"{what} of a training run" + (", FLOP" if what == "operations" else ""))
        every = {"operations": range(18, 27, 2), "chips": range(1, 5), "tokens": range(10, 15)}[what]
        ax.set_yticks([10.0**n for n in every], [f"10{str(n).translate(RAISED)}" for n in every])

    def names(table):
        found = pick(table, "run", "name").tolist()
        year, value = pick(table, "run", "year", "value")
        mine = [i for i, name in enumerate(found) if name in NAMES]
        return [found[i].removesuffix(" (MoE)") for i in mine], year[mine] - 0.08, value[mine] * 1.25

    def telling(table):
        here = row(table)
        limits(table)
        return (
            f"{here.what} of record runs double in {plain(here.doubling_months, 2)} months ({plain(here.low_months, 2)} to {plain(here.high_months, 2)}; "
            f"{plural(here.records, 'record')})"
        )

    def records(table):
        year, value, record = pick(table, "run", "year", "value", "record")
        return year[record > 0], value[record > 0]

    return updating(
        text(ax, 0, 1.05, telling, of="axes", fontsize=11, weight="bold"),
        curve(ax, "line", "year", "value", color=COLOUR["compute"], lw=1.4, ls="--"),
        circles(ax, "run", "year", "value", ms=5),
        line(ax, records, ls="", marker="o", ms=5.5, color=COLOUR["compute"], zorder=7),
        labels(ax, names, align="right", size=8.5),
    )


def _history_summary(table):
    here = row(table)
    return (
        f"{pick(table, 'run', 'value').size} published runs; their {here.what}, of those that set a record, double in {plain(here.doubling_months, 2)} months "
        f"(80 %: {plain(here.low_months, 2)} to {plain(here.high_months, 2)})."
    )


history = Exhibit(
    slug="04-history",
    title="What runs have grown to.",
    caption="Published runs by the month of their paper; filled: those that set a record, on which the line is fitted. Look at operations, then at chips: what "
    "grew faster?",
    alt="Points from 2017 to 2026 on a logarithmic axis, rising by about seven orders of magnitude in operations and three in chips, with a dashed line through the records.",
    controls={"what": Control(label="of each run", values=tuple(WHAT), start="operations")},
    table=_history_table,
    draw=_history_draw,
    summary=_history_summary,
    rescales=True,
)


# ---- a speed run -------------------------------------------------------------------------------------

OF = {
    "learning": COLOUR["highlight"],
    "arithmetic": COLOUR["compute"],
    "system": COLOUR["network"],
    "mixed": COLOUR["idle"],
}
WORDS = {
    "learning": "better learning",
    "arithmetic": "faster arithmetic",
    "system": "less waiting",
    "mixed": "several at once",
}


UNTIL = {"July 2024": 2024.5, "January 2025": 2025.0, "July 2025": 2025.5, "January 2026": 2026.0, "July 2026": 2026.6}


@keep
def _speedrun_table(until):
    found = speedrun.records()
    upto = found["date"] <= UNTIL[until]
    minutes = found["minutes"][upto]
    steps = np.log2(minutes[:-1] / minutes[1:])
    kinds = found["saves"][upto][1:]
    each = {kind: float(steps[kinds == kind].sum()) for kind in OF}
    return stack(
        record={"date": found["date"][upto], "minutes": minutes, "saves": found["saves"][upto]},
        kind={"name": list(OF), "halvings": np.array(list(each.values()))},
        here={
            "first": minutes[0],
            "last": minutes[-1],
            "times": float(minutes[0] / minutes[-1]),
            "records": int(np.sum(found["saves"][upto] != "retimed")),
            "until": until,
        },
    )


def _speedrun_draw(figure):
    ax = panel(figure, 0.09, 0.12, 0.64, 0.86)
    x_axis(
        ax,
        "",
        2024.3,
        2026.7,
        ticks={2024.5: "mid 2024", 2025: "2025", 2025.5: "mid 2025", 2026: "2026", 2026.5: "mid 2026"},
    )
    y_axis(ax, "minutes on eight H100s", 1, 60, log="", ticks={n: str(n) for n in (1, 2, 5, 10, 20, 50)})
    side = panel(figure, 0.72, 0.12, 0.985, 0.86)
    x_axis(side, "halvings", 0, 4.2, ticks={n: str(n) for n in range(4)})
    y_axis(side, "", 3.6, -0.6, ticks=())
    y = np.arange(len(OF))

    def of_kind(kind):
        def points(table):
            date, minutes = pick(table, "record", "date", "minutes")
            mine = np.array(pick(table, "record", "saves").tolist()) == kind
            return date[mine], minutes[mine]

        return points

    def bar(i):
        def of(table):
            return flat([0.0], [pick(table, "kind", "halvings")[i]], [i - 0.3], [i + 0.3])

        return of

    def words(table):
        halvings = pick(table, "kind", "halvings")
        return (
            [f"{WORDS[k]}: {2**h:.2g} times" for k, h in zip(OF, halvings.tolist(), strict=True)],
            np.zeros(y.size) + 0.04,
            y - 0.42,
        )

    def telling(table):
        here = row(table)
        return f"{plain(here.first, 3)} minutes become {plain(here.last, 3)}: {plain(here.times, 2)} times faster in {plural(here.records - 1, 'record')}"

    return updating(
        text(ax, 0, 1.06, telling, of="axes", fontsize=11, weight="bold"),
        curve(ax, "record", "date", "minutes", color="#C8C8C8", lw=1.0, drawstyle="steps-post"),
        *(line(ax, of_kind(kind), ls="", marker="o", ms=5, color=colour) for kind, colour in OF.items()),
        *(boxes(side, bar(i), colour) for i, colour in enumerate(OF.values())),
        labels(side, words, size=9),
    )


def _speedrun_summary(table):
    here = row(table)
    parts = [f"{WORDS[k]} {2**h:.2g} times" for k, h in zip(OF, pick(table, "kind", "halvings").tolist(), strict=True)]
    return f"The same loss on eight H100s: {plain(here.first, 3)} minutes at first, {plain(here.last, 3)} after {plural(here.records - 1, 'record')}; {', '.join(parts)}."


run = Exhibit(
    slug="04-speedrun",
    title="The same loss, thirty-seven times sooner.",
    caption="Every record of a public race: a model of 124 million parameters to a given loss on eight H100s. Right: halvings by what a record saves, by our "
    "reading. Which wall gave most?",
    alt="Minutes of each record from 45 in 2024 down to about one in 2026 as a falling staircase of points in four colours; bars at the right for the halvings of each kind, the longest for fewer steps.",
    controls={"until": Control(label="until", values=tuple(UNTIL), start="July 2026")},
    table=_speedrun_table,
    draw=_speedrun_draw,
    summary=_speedrun_summary,
)
