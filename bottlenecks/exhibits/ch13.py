"""Figures for chapter 13: what a middle keeps, the hottest link, energy by reach, limits of the next doubling, what it buys, the tax."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import end_labels, key, labels, text
from bottlenecks.exhibits.marks import HERE, boxes, circles, curve, line, segments, stacked, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.models.layouts import Layout
from bottlenecks.models.wires import EXCHANGES
from bottlenecks.studies import racks, tax, wired

# ---- what the middle keeps -------------------------------------------------------------------------

GRID = 2.0 ** np.arange(6, 15.01, 0.25)
NAMED = {  # published system -> its words and how they are moved
    "TPU v4 pod": ("TPU v4", 1.1, 1.06, "left"),
    "TPU v5e pod": ("TPU v5e", 1.1, 1.1, "left"),
    "TPU v5p pod": ("v5p", 0.85, 0.8, "right"),
    "Ironwood pod": ("Ironwood", 1.15, 1.08, "left"),
    "Meta 24k H100 (RoCE)": ("24,576 H100s, 7 : 1", 1.35, 1.28, "right"),
    "Frontier": ("Frontier", 0.95, 0.77, "right"),
    "Meta RSC": ("", 1, 1, "left"),
}
LOOKS = dict(zip(wired.MIDDLES, (SERIES[0], SERIES[2], SERIES[4], SERIES[1]), strict=True))


@keep
def _middle_table(chips, over):
    every = wired.published()
    lines = {
        name: {"chips": GRID, "kept": wired.kept(name, GRID, oversubscription=over) + 0 * GRID}
        for name in wired.MIDDLES
    }
    at = {f"kept_{i}": float(wired.kept(name, chips, oversubscription=over)) for i, name in enumerate(wired.MIDDLES)}
    return stack(
        **lines,
        published={"name": [each.name for each in every]}
        | {key_: np.array([getattr(each, key_) for each in every], float) for key_ in ("chips", "kept")},
        here={"chips": chips, "over": over} | at,
    )


def _middle_draw(figure):
    ax = panel(figure, 0.1, 0.14, 0.79, 0.86)
    x_axis(
        ax,
        "chips that talk each to all",
        50,
        60000,
        log="",
        ticks={64: "64", 512: "512", 4096: "4,096", 32768: "32,768"},
    )
    y_axis(
        ax,
        "of its full rate, what each of them keeps",
        0.005,
        1.5,
        log="",
        ticks={1: "all", 0.5: "1/2", 0.25: "1/4", 0.1: "1/10", 0.05: "1/20", 0.02: "1/50", 0.01: "1/100"},
    )

    def heights(table):
        return {name: pick(table, name, "kept")[-1] for name in LOOKS}

    def telling(table):
        here = row(table)
        return f"{here.chips:,.0f} chips: a 3-D torus keeps {100 * here.kept_1:.2g} %, a fat tree {100 * here.kept_0:.3g} %"

    marks = []
    for of_side in ("left", "right"):

        def side_names(table, of_side=of_side):
            found = dict(
                zip(
                    pick(table, "published", "name").tolist(),
                    zip(*pick(table, "published", "chips", "kept"), strict=True),
                    strict=True,
                )
            )
            told = [
                (words, found[name][0] * dx, found[name][1] * dy)
                for name, (words, dx, dy, side) in NAMED.items()
                if side == of_side
            ]
            return [t[0] for t in told], [t[1] for t in told], [t[2] for t in told]

        marks.append(labels(ax, side_names, align=of_side, size=9))
    return updating(
        *(curve(ax, name, "chips", "kept", color=colour) for name, colour in LOOKS.items()),
        circles(ax, "published", "chips", "kept", ms=5),
        upright(ax, lambda table: row(table).chips, color=GREY, lw=0.8),
        *marks,
        end_labels(
            ax,
            {name: (name.removeprefix("a ").replace(" or a ", ",\n"), colour) for name, colour in LOOKS.items()},
            heights,
        ),
        text(ax, 0, 1.06, telling, of="axes", fontsize=11, weight="bold"),
    )


def _middle_summary(table):
    here = row(table)
    parts = [f"{name} {100 * getattr(here, f'kept_{i}'):.3g} %" for i, name in enumerate(wired.MIDDLES)]
    return f"Of its full rate each of {here.chips:,.0f} chips keeps in an all-to-all: {', '.join(parts)}."


middle = Exhibit(
    slug="13-middle",
    title="What the middle leaves of an all-to-all.",
    caption="The share of its full rate that a chip keeps when all talk to all. Circles: published machines. An all-reduce keeps all of it on each, a mesh "
    "half. Oversubscribe the tree: from where on is a torus worse?",
    alt="Shares against the number of chips on logarithmic axes: level lines for trees and dragonflies, lines falling with the cube root "
    "or the square root for tori and meshes, and circles for machines.",
    controls={
        "chips": Control(
            label="chips", values=tuple(float(n) ** 3 for n in (4, 6, 8, 10, 12, 16, 20, 24)), start=512.0
        ),
        "over": Control(label="oversubscription", values=(1.0, 2.0, 3.0, 5.0, 7.0, 10.0), start=1.0),
    },
    table=_middle_table,
    draw=_middle_draw,
    summary=_middle_summary,
)


# ---- follow the hot link ---------------------------------------------------------------------------

OF = dict(zip(EXCHANGES, ("#0072B2", "#56B4E9", "#E69F00", "#CC79A7", "#009E73"), strict=True))
TIERS, CHIPS, BATCH = 4, 4096, 4096
MODELS = ("Llama-3.1-405B", "Llama-3-70B", "DeepSeek-V3")
CUTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@keep
def _hot_table(way, model_name, tp, pp, over):
    shape = model(model_name)
    tp, pp = round(tp), round(pp)
    dp = CHIPS // (tp * pp)
    ep = 64 if shape.experts else 1
    layout = Layout(
        seq_len=4096,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=min(ep, dp),
        sp=tp > 1,
        micro_batch=1,
        micro_batches=max(BATCH // dp, 1),
        zero=1,
        recompute="none",
        schedule="1f1b",
    )
    laid, step_s = wired.hot(way, shape, layout, oversubscription=over)
    count = len(laid.tiers)
    busy = {name: np.zeros(TIERS) for name in EXCHANGES}
    whole = sum(laid.moved_bytes.values())
    for name, moved in laid.moved_bytes.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            busy[name][:count] = np.nan_to_num(np.asarray(moved / whole * laid.busy_s, float))
    return stack(
        tier={"name": [*laid.tiers, *[""] * (TIERS - count)], "there": (np.arange(TIERS) < count) * 1.0}
        | {name: each / float(step_s) for name, each in busy.items()},
        here={"way": way, "model": model_name, "tp": tp, "pp": pp, "dp": dp, "step_s": float(step_s), "over": over}
        | {"hottest": str(laid.hottest), "share": float(np.max(laid.busy_s) / step_s)},
    )


def _hot_draw(figure):
    figure.set_size_inches(7.6, 4.3)
    ax = panel(figure, 0.19, 0.14, 0.975, 0.79)
    x_axis(
        ax,
        "seconds in which the links are busy, over those of the step",
        0,
        1.05,
        ticks={n / 4: f"{25 * n} %" for n in range(5)},
    )
    y_axis(ax, "", TIERS - 0.4, -0.6, ticks=())
    y = np.arange(TIERS)
    key(figure, OF, 0.02, 0.845, size=9)

    def bars(table):
        return y, [np.minimum(pick(table, "tier", name), 1.5) for name in OF]

    def names(table):
        return pick(table, "tier", "name").tolist(), np.full(TIERS, -0.015), y

    def shares(table):
        whole = sum(pick(table, "tier", name) for name in OF)
        there = pick(table, "tier", "there") > 0
        said = [f"{100 * w:.0f} %" if t else "" for w, t in zip(whole.tolist(), there.tolist(), strict=True)]
        return said, np.minimum(whole, 0.97) + 0.01, y

    def telling(table):
        here = row(table)
        return f"{here.way}: {CHIPS:,} H100s, tp {here.tp:.0f}, pp {here.pp:.0f}, dp {here.dp:.0f}, a step of {si(here.step_s, 's')}\nhottest: {here.hottest}, busy {100 * here.share:.0f} % of it"

    return updating(
        stacked(ax, list(OF.values()), bars),
        labels(ax, names, align="right", size=10),
        labels(ax, shares, size=9.5),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top", linespacing=1.4),
    )


def _hot_summary(table):
    here = row(table)
    parts = [
        f"{name} {sum(100 * pick(table, 'tier', each)[i] for each in OF):.0f} %"
        for i, name in enumerate(pick(table, "tier", "name").tolist())
        if name
    ]
    return f"{here.model} on {CHIPS:,} H100s, {here.way}; links busy, of a step of {si(here.step_s, 's')}: {', '.join(parts)}."


hot = Exhibit(
    slug="13-hot",
    title="Follow the hot link.",
    caption="Every exchange of a step laid on the links of a chip, for the same chips wired in five ways; hidden exchanges count as well. "
    "Move the cuts: which tier turns red hot?",
    alt="Horizontal bars, one for each tier of the network, in parts for tensor, context, expert, pipeline and data exchange; "
    "the longest is the hottest.",
    controls={
        "way": Control(label="wired as", values=wired.WAYS, start=wired.WAYS[0]),
        "model_name": Control(label="model", values=MODELS, start="Llama-3.1-405B"),
        "tp": Control(label="tensor", values=CUTS, start=8.0),
        "pp": Control(label="stages", values=CUTS, start=8.0),
        "over": Control(label="oversubscription", values=(1.0, 2.0, 4.0, 7.0, 16.0), start=1.0),
    },
    table=_hot_table,
    draw=_hot_draw,
    summary=_hot_summary,
)


# ---- energy and dollars by reach -------------------------------------------------------------------

WHAT = ("energy", "price")
KINDS = {"package": "#CC79A7", "copper": "#D55E00", "optics": "#0072B2"}
SHORT = {
    "on-package, 2.5-D": "on the package",
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
        1e-3,
        5e3,
        log="m",
        ticks={1e-3: "1 mm", 1e-2: "1 cm", 0.1: "10 cm", 1: "1 m", 10: "10 m", 100: "100 m", 1000: "1 km"},
    )
    y_axis(ax, "", 0.08, 100, log="", ticks={0.1: "0.1", 0.3: "0.3", 1: "1", 3: "3", 10: "10", 30: "30", 100: "100"})

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
        return "Picojoules per bit, both ends" if energy else "Dollars per Gbit/s of a link, in shops of 2026"

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
    caption="Each medium at its furthest reach, with the range of its sources; energy counts the modules or plugs at both ends, and not the chip's own "
    "transmitters. Where does a metre suddenly cost more?",
    alt="Upright bars over the reach, from a millimetre to a kilometre: on-package wires lowest, plain copper up to two metres near them, and "
    "beyond two metres a step of more than ten times to amplified copper and optics.",
    controls={"what": Control(label="of a bit", values=WHAT, start=WHAT[0])},
    table=_media_table,
    draw=_media_draw,
    summary=_media_summary,
)


# ---- where the next doubling stops -----------------------------------------------------------------

LIMITS = {  # what a domain asks for -> which of `racks.limits`, its unit
    "copper, m": ("copper_m", 1.0),
    "kW per rack, air": ("air_watts", 1e3),
    "kW per rack, liquid": ("liquid_watts", 1e3),
    "kg/m² of the floor": ("floor_kg_per_m2", 1.0),
}
SIZES = (36.0, 72.0, 144.0, 288.0, 576.0, 1152.0)


@keep
def _doubling_table(chips, rack_chips, chip_kw, rate):
    at = wired.doubling(chips, bytes_per_s=rate * 1e9, rack_chips=rack_chips, chip_watts=1e3 * chip_kw)
    asked = np.array([at.metres, at.rack_watts / 1e3, at.rack_watts / 1e3, at.floor_kg_per_m2], float)
    known = racks.limits()
    low, high = np.array([np.array(known[name]) / unit for name, unit in LIMITS.values()]).T
    every = racks.published()
    liquid = np.array([max(v for v in each["watts"] if v == v) / 1e3 for each in every.values()])
    weight = np.array([each["kg_per_m2"] if np.isfinite(each["kg_per_m2"]) else np.nan for each in every.values()])
    return stack(
        limit={"name": list(LIMITS), "asked": asked, "low": low, "high": high},
        published={
            "name": list(every),
            "kw": liquid,
            "kg_per_m2": weight,
            "chips": np.array([e["chips"] for e in every.values()]),
        },
        here={
            "chips": chips,
            "rack_chips": rack_chips,
            "pairs": float(at.pairs),
            "optics_kw": float(np.mean(at.optics_watts)) / 1e3,
        },
    )


def _doubling_draw(figure):
    figure.set_size_inches(7.6, 4.0)
    ax = panel(figure, 0.21, 0.15, 0.975, 0.8)
    x_axis(
        ax,
        "asked for, over the most that is said to be possible",
        0.03,
        12,
        log="",
        ticks={0.05: "1/20", 0.1: "1/10", 0.25: "1/4", 0.5: "1/2", 1: "1", 2: "2", 4: "4", 8: "8"},
    )
    rows(ax, list(LIMITS), size=10)
    y = np.arange(len(LIMITS))

    def bands(table):
        low, high = pick(table, "limit", "low", "high")
        return low / high, np.ones(y.size), y - 0.32, y + 0.32

    def beyond(table):
        return np.ones(y.size), np.full(y.size, 12.0), y - 0.32, y + 0.32

    def asked(table):
        value, high = pick(table, "limit", "asked", "high")
        return value / high, y

    def built(table):
        kw, kg = pick(table, "published", "kw", "kg_per_m2")
        high = pick(table, "limit", "high")
        return np.concatenate([kw / high[1], kw / high[2], kg / high[3]]), np.repeat([1.0, 2.0, 3.0], kw.size)

    def said(table):
        value = pick(table, "limit", "asked")
        return [f"{plain(v, 3)}" for v in value.tolist()], asked(table)[0] * 1.12, y - 0.36

    def telling(table):
        here = row(table)
        return f"a domain of {plain(here.chips)} chips, {plain(here.rack_chips)} to a rack: {here.pairs:,.0f} pairs of copper,\nor {plain(here.optics_kw, 2)} kW of optics"

    return updating(
        boxes(ax, bands, "#F5D9A0"),
        boxes(ax, beyond, "#F0B4A0"),
        line(ax, built, ls="", marker="o", ms=4, mfc="none", mec=GREY),
        line(ax, asked, **HERE),
        labels(ax, said, size=9.5),
        text(ax, 0.02, 0.98, telling, of="figure", fontsize=10.5, weight="bold", va="top", linespacing=1.4),
    )


def _doubling_summary(table):
    here = row(table)
    parts = [
        f"{name}: {plain(a, 3)} of {plain(low)} to {plain(high)}"
        for name, a, low, high in zip(
            *(pick(table, "limit", c).tolist() for c in ("name", "asked", "low", "high")), strict=True
        )
    ]
    return f"A domain of {plain(here.chips)} chips, {plain(here.rack_chips)} to a rack, {here.pairs:,.0f} pairs: {'; '.join(parts)}."


doubling = Exhibit(
    slug="13-doubling",
    title="Where does the next doubling stop?",
    caption="What a domain asks of its cables, of a rack and of the floor, over what is said to be possible: pale where sources disagree, "
    "red beyond all. Rings: published racks. Double the domain: what binds first?",
    alt="Four rows with a pale band up to one and a red one beyond; a diamond in each at what the chosen domain asks, and rings for "
    "published racks.",
    controls={
        "chips": Control(label="chips in the domain", values=SIZES, start=144.0),
        "rack_chips": Control(label="chips in a rack", values=(18.0, 36.0, 72.0, 144.0), start=72.0),
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
    caption="Published speeds of one user on 70 billion parameters: what reading the weights takes, and the whole token; at the right its energy "
    "if nobody else were served. Let one layer's memories work at a time: how much of the gap closes?",
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
def _bought_table(model_name, spread, sequences):
    trained = {name: wired.bought(name) for name in wired.TRAINED}
    took = wired.served(model_name, round(spread), sequences)
    lines = {name: {"domain": domains * 1.0, "speed": times[0] / times} for name, (domains, times) in trained.items()}
    return stack(
        **lines,
        served={"domain": np.array(wired.DOMAINS, float), "speed": took[0] / took},
        here={"model": model_name, "spread": spread, "sequences": sequences, "first_s": took[0], "last_s": took[-1]}
        | {"most": took[0] / took[-1]},
    )


def _bought_draw(figure):
    ax = panel(figure, 0.11, 0.14, 0.73, 0.86)
    x_axis(ax, "chips of a domain", 7.4, 140, log="", ticks={n: str(n) for n in wired.DOMAINS})
    y_axis(
        ax, "speed, over that with domains of 8", 0.97, 2.6, log="", ticks={n: plain(n) for n in (1, 1.2, 1.5, 2, 2.5)}
    )
    looks = {name: (f"{name}, trained", colour) for name, colour in TRAINS.items()}
    looks["served"] = ("served", COLOUR["network"])

    def heights(table):
        return {name: pick(table, name, "speed")[-1] for name in looks}

    def telling(table):
        here = row(table)
        return (
            f"{here.model} served, experts over {here.spread:.0f} chips, {plural(here.sequences, 'sequence')} each:\n"
            f"{si(here.first_s, 's')} per token in domains of 8, {si(here.last_s, 's')} in domains of 128"
        )

    return updating(
        *(curve(ax, name, "domain", "speed", color=colour, marker="o") for name, (_, colour) in looks.items()),
        end_labels(ax, looks, heights),
        text(ax, 0.02, 0.985, telling, of="figure", fontsize=10.5, weight="bold", va="top", linespacing=1.4),
    )


def _bought_summary(table):
    here = row(table)
    parts = [f"{name} {pick(table, name, 'speed')[-1]:.3f}" for name in TRAINS]
    return (
        f"A domain of 128 makes {here.model}, served over {here.spread:.0f} chips, {here.most:.2f} times as fast as one of 8; the best "
        f"training step on 512 H100s by {', '.join(parts)}."
    )


bought = Exhibit(
    slug="13-bought",
    title="What a doubling buys.",
    caption="The same chips and ports, the domain alone larger: the best of all layouts of a training step, and a mixture of experts served. "
    "Spread the experts over more chips: where does its line bend?",
    alt="Three lines over the chips of a domain: two of training rise by a few per cent and are flat from 64 on; one of serving rises much further, up "
    "to the number of chips that share the experts.",
    controls={
        "model_name": Control(label="served", values=SERVED, start="DeepSeek-V3"),
        "spread": Control(label="experts over", values=(16.0, 32.0, 64.0, 128.0), start=64.0, unit=" chips"),
        "sequences": Control(label="sequences per chip", values=(1.0, 4.0, 16.0, 64.0, 256.0), start=64.0),
    },
    table=_bought_table,
    draw=_bought_draw,
    summary=_bought_summary,
)
