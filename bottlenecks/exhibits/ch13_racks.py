"""Figures for chapter 13: energy and price by reach, what stops the next doubling, a lonely token, what a doubling buys."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.drawn_parts import HEADLINE, flat, outlines, page
from bottlenecks.exhibits.labels import end_labels, key, labels, text
from bottlenecks.exhibits.marks import HERE, boxes, curve, line, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.studies import racks, tax, wired

# ---- energy and dollars by reach -------------------------------------------------------------------

WHAT = ("energy", "price")
KINDS = {"package": "#CC79A7", "copper": "#D55E00", "optics": "#0072B2"}
SHORT = {
    "on-package, 2.5-D": "on a package",
    "die to die on a board": "die to die",
    "passive copper, 50G lanes": "copper, 50 Gbit/s",
    "passive copper, 100G lanes": "copper, 100 Gbit/s",
    "passive copper, 200G lanes": "",
    "linear amplified copper": "amplified copper",
    "active electrical cable": "retimed copper (AEC)",
    "multimode optics": "multimode fibre",
    "single-mode optics": "single-mode fibre",
    "linear pluggable optics": "no DSP (LPO)",
    "co-packaged optics": "",
}


BELOW = {  # whose words stand below them
    "energy": ("multimode optics", "linear pluggable optics", "passive copper, 100G lanes"),
    "price": ("multimode optics", "linear amplified copper", "passive copper, 100G lanes"),
}


HIDDEN = {"energy": (), "price": ("linear pluggable optics",)}  # whose words would lie on others


@keep
def _media_table(what):
    every = {name: racks.medium(name) for name in SHORT}
    reach = np.array([max(v for v in (*racks.ends_of(each, "reach_m"), 0) if v == v) for each in every.values()])
    of = racks.joules_per_bit if what == WHAT[0] else racks.usd_per_bit_per_s
    low, high = np.array([of(name) for name in every], float).T * (1e12 if what == WHAT[0] else 1e9)
    known = np.isfinite(low) & (reach > 0)
    return stack(
        medium={
            "name": [name for name, k in zip(every, known, strict=True) if k],
            "kind": [each["kind"] for each, k in zip(every.values(), known, strict=True) if k],
            "reach_m": reach[known],
            "low": low[known],
            "high": high[known],
        },
        here={
            "what": what,
            "known": int(known.sum()),
            "not_public": ", ".join(name for name, k in zip(every, known, strict=True) if not k),
        },
    )


def _media_draw(figure):
    ax = panel(figure, 0.12, 0.14, 0.965, 0.86)
    x_axis(
        ax,
        "reach",
        4e-4,
        5e3,
        log="m",
        ticks={1e-3: "1 mm", 1e-2: "1 cm", 0.1: "10 cm", 1: "1 m", 10: "10 m", 100: "100 m", 1000: "1 km"},
    )
    y_axis(ax, "", 0.05, 60, log="", ticks={0.1: "0.1", 0.3: "0.3", 1: "1", 3: "3", 10: "10", 30: "30"})

    def ranges(kind):
        def of(table):
            mine = np.array(pick(table, "medium", "kind").tolist()) == kind
            x, low, high = (pick(table, "medium", c)[mine] for c in ("reach_m", "low", "high"))
            return [((a, p / 1.06), (a, q * 1.06)) for a, p, q in zip(x, low, high, strict=True)]

        return of

    def words(table):
        names, (x, low, high) = pick(table, "medium", "name").tolist(), pick(table, "medium", "reach_m", "low", "high")
        below = np.array([name in BELOW[row(table).what] for name in names])
        hidden = HIDDEN[row(table).what]
        return ["" if name in hidden else SHORT[name] for name in names], x, np.where(below, low / 1.42, high * 1.32)

    def telling(table):
        energy = row(table).what == WHAT[0]
        return "Picojoules per bit" if energy else "Dollars per Gbit/s of a link, in shops of 2026"

    key(
        figure,
        {"on a package or board": KINDS["package"], "copper": KINDS["copper"], "light": KINDS["optics"]},
        0.12,
        0.9,
    )
    return updating(
        *(segments(ax, ranges(kind), colors=colour, linewidths=7, capstyle="round") for kind, colour in KINDS.items()),
        labels(ax, words, align="center", size=9),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top"),
    )


def _media_summary(table):
    unit = "pJ per bit" if row(table).what == WHAT[0] else "dollars per Gbit/s"
    parts = [
        f"{name}, {si(reach, 'm')}: {plain(low, 2)} to {plain(high, 2)}"
        if low != high
        else f"{name}, {si(reach, 'm')}: {plain(low, 2)}"
        for name, reach, low, high in zip(
            *(pick(table, "medium", c).tolist() for c in ("name", "reach_m", "low", "high")), strict=True
        )
    ]
    return f"Furthest reach and {unit}: {'; '.join(parts)}."


media = Exhibit(
    slug="13-media",
    title="What it takes to send a bit so far.",
    caption="Each medium at its furthest reach, with the range of its sources. Energy counts the plugs or modules of a link; on a package and die to die, "
    "the chips' transmitters. Where does a metre suddenly cost more?",
    alt="Upright bars over the reach, from a millimetre to a kilometre: on-package wires lowest, plain copper up to two metres near them, and "
    "beyond two metres a step to amplified copper and optics, of ten times and more in energy and six to ten in price.",
    controls={"what": Control(label="of a bit", values=WHAT, start=WHAT[0])},
    table=_media_table,
    draw=_media_draw,
    summary=_media_summary,
)


# ---- where the next doubling stops -----------------------------------------------------------------

LIMITS = {  # what a domain asks for -> which of `racks.limits`, its unit, digits and word
    "ports of a switch": ("switch_ports", 1.0, "chips"),
    "reach of copper": ("copper_m", 1.0, "m"),
    "a rack in air": ("air_watts", 1e3, "kW"),
    "a rack in liquid": ("liquid_watts", 1e3, "kW"),
    "floor, at its foot": ("floor_kg_per_m2", 1.0, "kg/m²"),
}
SIZES = (36.0, 72.0, 144.0, 288.0, 576.0)
PALE, RED, FAR = "#D5E3F0", "#F0B4A0", 16.0  # where sources differ, beyond all of them; the end of the axis
METRE, GROUND, MIDDLE = 56, 166, 380  # units of the page for a metre; where racks stand, and the middle of their row


@keep
def _doubling_table(chips, rack_chips, chip_kw, rate):
    at = wired.doubling(chips, bytes_per_s=rate * 1e9, rack_chips=rack_chips, chip_watts=1e3 * chip_kw)
    asked = np.array([chips, at.metres, at.rack_watts / 1e3, at.rack_watts / 1e3, at.floor_kg_per_m2], float)
    known = racks.limits()
    low, high = np.array([np.array(known[name]) / unit for name, unit, _ in LIMITS.values()]).T
    every = racks.published()
    return stack(
        limit={"name": list(LIMITS), "asked": asked, "low": low, "high": high},
        published={
            "name": list(every),
            "kw": np.array([np.nanmax(each["watts"]) / 1e3 for each in every.values()]),
            "liquid": np.array(["liquid" in each["cooling"] for each in every.values()]) * 1.0,
            "kg_per_m2": np.array([max(each["kg_per_m2"], -1.0) for each in every.values()]),
        },
        here={
            "chips": chips,
            "rack_chips": rack_chips,
            "racks": float(np.ceil(chips / rack_chips)),
            "stages": float(at.stages),
            "pairs": float(at.pairs),
            "optics_low": float(at.optics_watts[0]) / 1e3,
            "optics_high": float(at.optics_watts[1]) / 1e3,
        },
    )


def _row_marks(ax):
    """Racks in a row, to scale, the switches in its middle and the longest wire."""
    wide, high = wired.RACK_M * METRE, wired.HEIGHT_M * METRE

    def lefts(table):
        count = round(row(table).racks)
        return MIDDLE + (np.arange(count) - count / 2) * wide

    def frames(table):
        left = lefts(table)
        return outlines((left + 1, left + wide - 1, GROUND - high, GROUND))

    def longest(table):
        """Half a rack up, and along the row to its middle, over the slack."""
        x = lefts(table)[0] + wide / 2
        return [((x, GROUND), (x, GROUND - high / 2), (MIDDLE, GROUND - high / 2))]

    def words(table):
        asked = pick(table, "limit", "asked")
        return f"{asked[1]:.1f} m with {wired.SLACK_M} m to spare"

    return (
        segments(ax, frames, colors="#9A9A9A", linewidths=1.0),
        boxes(
            ax, lambda _: flat([MIDDLE - 7.0], [MIDDLE + 7.0], [GROUND - high / 2 - 16], [GROUND - high / 2 + 16]), GREY
        ),
        segments(ax, longest, colors=COLOUR["network"], linewidths=2.4),
        text(ax, MIDDLE, GROUND + 16, words, fontsize=9.5, color=COLOUR["network"], va="center", ha="center"),
    )


def _doubling_draw(figure):
    sheet = page(figure, 520)
    ax = panel(figure, 0.17, 0.105, 0.975, 0.6)
    x_axis(
        ax,
        "asked for, over the most that is said to be possible",
        0.03,
        FAR,
        log="",
        ticks={0.05: "1/20", 0.1: "1/10", 0.25: "1/4", 0.5: "1/2", 1: "1", 2: "2", 4: "4", 8: "8"},
    )
    rows(ax, list(LIMITS), size=10)
    y = np.arange(len(LIMITS))

    def bands(table):
        low, high = pick(table, "limit", "low", "high")
        return low / high, np.ones(y.size), y - 0.32, y + 0.32

    def beyond(_):
        return np.ones(y.size), np.full(y.size, FAR), y - 0.32, y + 0.32

    def asked(table):
        value, high = pick(table, "limit", "asked", "high")
        return value / high, y

    def built(table):
        kw, liquid, kg = pick(table, "published", "kw", "liquid", "kg_per_m2")
        high = pick(table, "limit", "high")
        heavy = kg > 0
        x = np.concatenate([kw / np.where(liquid > 0, high[3], high[2]), kg[heavy] / high[4]])
        return x, np.concatenate([np.where(liquid > 0, 3.0, 2.0), np.full(heavy.sum(), 4.0)])

    def said(table):
        value = pick(table, "limit", "asked").tolist()
        units = [unit for _, _, unit in LIMITS.values()]
        return [f"{plain(v, 3)} {unit}" for v, unit in zip(value, units, strict=True)], asked(table)[0] * 1.14, y - 0.4

    def telling(table):
        here = row(table)
        return (
            f"{plain(here.chips, 4)} chips in {plural(here.racks, 'rack')}, {plural(here.stages, 'stage')} of switches: {here.pairs:,.0f} pairs, "
            f"or {plain(here.optics_low, 2)} to {plain(here.optics_high, 2)} kW of optics"
        )

    return updating(
        text(sheet, 14, 10, telling, **HEADLINE | {"fontsize": 11}),
        *_row_marks(sheet),
        boxes(ax, bands, PALE),
        boxes(ax, beyond, RED),
        line(ax, built, ls="", marker="o", ms=4.5, mfc="none", mec=GREY),
        line(ax, asked, **HERE),
        labels(ax, said, size=9.5),
    )


def _doubling_summary(table):
    here = row(table)
    parts = [
        f"{name} {plain(a, 3)} {unit} of {plain(low)} to {plain(high)}"
        for (name, (_, _, unit)), a, low, high in zip(
            LIMITS.items(), *(pick(table, "limit", c).tolist() for c in ("asked", "low", "high")), strict=True
        )
    ]
    return f"A domain of {plain(here.chips, 4)} chips, {plain(here.rack_chips, 4)} to a rack, {here.pairs:,.0f} pairs: {'; '.join(parts)}."


doubling = Exhibit(
    slug="13-doubling",
    title="Where does the next doubling stop?",
    caption="Above, racks to scale with the longest wire to the switches. Below, what is asked for: blue where sources differ about what is possible, "
    "red beyond all. Rings: published racks. What stops first?",
    alt="A row of racks with a wire from one end to the middle; below five rows with a pale band up to one and a red one beyond, a diamond in each "
    "at what the chosen domain asks, and rings for published racks.",
    controls={
        "chips": Control(label="chips in the domain", values=SIZES, start=72.0),
        "rack_chips": Control(label="chips in a rack", values=(36.0, 72.0, 144.0), start=72.0),
        "chip_kw": Control(label="kW per chip", values=(0.7, 1.0, 1.875, 3.0, 4.2), start=1.875),
        "rate": Control(label="GB/s per chip", values=(450.0, 900.0, 1800.0, 3600.0), start=900.0),
    },
    table=_doubling_table,
    draw=_doubling_draw,
    summary=_doubling_summary,
)


# ---- one user's token ------------------------------------------------------------------------------


READ = ("all memories at once", "one layer's at a time")


@keep
def _tax_table(read):
    found = tax.single_user()
    at_once = read == READ[0]
    return stack(
        machine={
            "name": [f"{line['machine']} ({line['chips']})" for line in found],
            "memory_s": np.array(
                [line["memory_s"] if at_once else np.fmax(line["in_turn_s"], line["memory_s"]) for line in found]
            ),
            "token_s": np.array([line["token_s"] for line in found]),
            "joules": np.array([line["joules"] for line in found]),
        },
        here={"machines": len(found), "read": read},
    )


def _tax_draw(figure):
    figure.set_size_inches(7.6, 3.6)
    ax = panel(figure, 0.2, 0.16, 0.9, 0.8)
    x_axis(ax, "time between two tokens of one user", 1e-6, 0.2, log="s")
    names = [line["machine"] for line in tax.single_user()]
    rows(ax, names, size=9.5)
    y = np.arange(len(names))

    def memory(table):
        return pick(table, "machine", "memory_s"), y

    def whole(table):
        return pick(table, "machine", "token_s"), y

    def gaps(table):
        ends = zip(memory(table)[0], whole(table)[0], strict=True)
        return [((a, i), (b, i)) for i, (a, b) in enumerate(ends)]

    def said(table):
        joules = pick(table, "machine", "joules")
        return [f"{plain(j, 2)} J" for j in joules.tolist()], np.full(y.size, 0.24), y

    def telling(table):
        if row(table).read == READ[0]:
            return "All memories of a machine read at once"
        return "Where weights lie in SRAM, one layer's memories read at a time"

    key(figure, {"reading the weights": COLOUR["memory"], "the whole token": COLOUR["latency"]}, 0.2, 0.86)
    return updating(
        segments(ax, gaps, colors=COLOUR["latency"], linewidths=5, alpha=0.35),
        line(ax, memory, ls="", marker="o", ms=8, color=COLOUR["memory"]),
        line(ax, whole, ls="", marker="s", ms=7, color=COLOUR["latency"]),
        labels(ax, said, size=9.5),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top"),
    )


def _tax_summary(table):
    parts = [
        f"{name}: {100 * (1 - m / t):.1f} % of {si(t, 's')}"
        for name, m, t in zip(
            *(pick(table, "machine", c).tolist() for c in ("name", "memory_s", "token_s")), strict=True
        )
    ]
    return f"One user on 70 billion parameters, {row(table).read}; what reading the weights does not explain: {'; '.join(parts)}."


token = Exhibit(
    slug="13-token",
    title="The tax on a lonely token.",
    caption="One user on 70 billion parameters, as published: what reading the weights takes, and the whole token; at the right its energy. "
    "Read one layer's memories at a time: how much of the gap closes?",
    alt="Five machines, each with a dot at the time of reading the weights and a square at the whole token; for wafers and small chips "
    "they lie three orders of magnitude apart.",
    controls={"read": Control(label="reading", values=READ, start=READ[0])},
    table=_tax_table,
    draw=_tax_draw,
    summary=_tax_summary,
)


# ---- what a doubling buys --------------------------------------------------------------------------

SERVED = ("DeepSeek-V3", "Qwen3-235B-A22B")
TRAINS = dict(zip(wired.TRAINED, (COLOUR["compute"], COLOUR["cache"]), strict=True))


@keep
def _bought_table(model_name, sequences):
    trained = {name: wired.bought(name) for name in wired.TRAINED}
    took = wired.served(model_name, round(sequences))
    lines = {name: {"domain": domains * 1.0, "speed": times[0] / times} for name, (domains, times) in trained.items()}
    return stack(
        **lines,
        served={
            "domain": np.array(wired.DOMAINS, float),
            "speed": took.token_s[0] / took.token_s,
            "spread": took.spread * 1.0,
        },
        here={"model": model_name, "sequences": sequences, "first_s": took.token_s[0], "last_s": took.token_s[-1]}
        | {"most": took.token_s[0] / took.token_s[-1]},
    )


def _bought_draw(figure):
    ax = panel(figure, 0.11, 0.14, 0.73, 0.86)
    x_axis(ax, "chips of a domain", 7.4, 140, log="", ticks={n: str(n) for n in wired.DOMAINS})
    y_axis(
        ax,
        "speed, over that with domains of 8",
        0.98,
        2.0,
        log="",
        ticks={n: plain(n) for n in (1, 1.1, 1.2, 1.4, 1.7, 2)},
    )
    looks = {name: (f"{name}, trained", colour) for name, colour in TRAINS.items()}
    looks["served"] = ("served", COLOUR["network"])

    def heights(table):
        return {name: pick(table, name, "speed")[-1] for name in looks}

    def telling(table):
        here = row(table)
        return (
            f"{here.model} served, {plural(here.sequences, 'sequence')} per chip: {si(here.first_s, 's')} per token in domains of 8,\n"
            f"{si(here.last_s, 's')} in domains of 128; small numbers: chips among which its experts are dealt"
        )

    def spreads(table):
        domain, speed, spread = pick(table, "served", "domain", "speed", "spread")
        return [f"{n:.0f}" for n in spread.tolist()], domain, speed * 1.035

    return updating(
        *(
            curve(ax, name, "domain", "speed", color=colour, marker=mark)
            for (name, (_, colour)), mark in zip(looks.items(), "os^", strict=True)
        ),
        end_labels(ax, looks, heights),
        labels(ax, spreads, align="center", size=9),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top", linespacing=1.4),
    )


def _bought_summary(table):
    here = row(table)
    parts = [f"{name} {pick(table, name, 'speed')[-1]:.3f}" for name in TRAINS]
    return (
        f"A domain of 128 makes {here.model}, served to {plural(here.sequences, 'sequence')} per chip, {here.most:.2f} times as fast as one of 8; the best "
        f"training step on 512 H100s by {', '.join(parts)}."
    )


bought = Exhibit(
    slug="13-bought",
    title="What a doubling buys.",
    caption="The same chips and ports, the domain alone larger: the best of all layouts of a training step, and a mixture of experts served with the best spread of its "
    "experts. Give each chip fewer sequences: what is left?",
    alt="Three lines over the chips of a domain: two of training rise by a few per cent and are flat from 64 on; one of serving rises much further, and flattens as well.",
    controls={
        "model_name": Control(label="served", values=SERVED, start="DeepSeek-V3"),
        "sequences": Control(label="sequences per chip", values=(1.0, 4.0, 16.0, 64.0, 256.0), start=64.0),
    },
    table=_bought_table,
    draw=_bought_draw,
    summary=_bought_summary,
)
