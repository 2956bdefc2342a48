"""Figures of chapter 15 on searching: the map of layouts, and the best layouts of more and more chips."""

from dataclasses import replace
from functools import cache as keep

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from bottlenecks.exhibits.axes import counts, panel, x_axis, y_axis
from bottlenecks.exhibits.ch14 import ERA
from bottlenecks.exhibits.labels import end_labels, labels, text, told
from bottlenecks.exhibits.marks import area, boxes, curve, line, span, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, LINE
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import system
from bottlenecks.facts.units import plain, plural, si
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, layouts, training
from bottlenecks.models.machine import machine
from bottlenecks.studies import running, runs, scaling, search, splitting


def _times(count):
    """A factor in words."""
    return f"{count:,.0f} times" if count >= 100 else f"{plain(count, 3)} times"


# ---- 1: the map of layouts ------------------------------------------------------------------------

TASKS = {  # model: tokens of a sequence, sequences of a step, era; as published
    "GPT-3 175B": (2048, 1536, "2024"),
    "Llama-3.1-405B": (8192, 2048, "2024"),
    "DeepSeek-V3": (4096, 15360, "2025"),
}
SAME = dict.fromkeys(("GPT-174.6B", "GPT3-175B", "GPT-175B"), "GPT-3 175B")  # how runs call it
POWERS = running.POWERS
MAPPED = tuple(2**i for i in range(6, 15))
TIERS = system("DGX H100").tiers
WIRES = {  # between H100: tiers
    "none: ports alone": TIERS[1:],
    "NVLink over 8": TIERS,
    "NVLink over 72": (replace(TIERS[0], ranks=72), *TIERS[1:]),
}
SHADES = LinearSegmentedColormap.from_list("utilisation", ["#FFF6EC", "#F2A65A", "#D55E00", "#7F3800"])
BEST_SHOWN = 0.55  # of the peak: the end of the colours


@keep
def _wired(wires):
    return machine(replace(system("DGX H100"), tiers=WIRES[wires])), {}


space_of = running.mapped  # what the map chooses among


@keep
def _cells(model_name, chips, wires, cp):
    m, (on, memo) = model(model_name), _wired(wires)
    seq_len, batch, era = TASKS[model_name]
    return search.cells(
        m, on, chips=chips, batch=batch, seq_len=seq_len, within=space_of(m, cp), software=era, memo=memo
    )


@keep
def _step_flop(model_name):
    """FLOP of a step, causal half, nothing twice: the layout does not matter."""
    seq_len, batch, era = TASKS[model_name]
    layout = layouts.Layout(seq_len=seq_len, micro_batches=batch)
    on = _wired("NVLink over 8")[0]
    return float(training.step(model(model_name), layout, on=on, software=era, memory=False).model_flop)


def _chosen(key, *cells):
    """Some cells of a map as a `Search`, which makes layouts of them."""
    found, (on, _) = _cells(*key), _wired(key[2])
    seq_len, _, era = TASKS[key[0]]
    return search.Search(
        model=model(key[0]),
        on=on,
        software=era,
        seq_len=seq_len,
        front={},
        valid=len(cells),
        nearest={},
        best={name: found[name][list(cells)] for name in search.COLUMNS},
        fitting=len(cells),
        least_shortfall_bytes=0.0,
    )


@keep
def _lost(key, best, looked):
    """(row, seconds): `search.why_slower` of one cell against the best one."""
    both = _chosen(key, best, looked)
    return search.why_slower(both, both.layout(1))


@keep
def _fullest(key, looked):
    """(row, bytes): what a chip holds most of."""
    rows = footprint.training_rows(model(key[0]), _chosen(key, looked).layout())
    row = max(rows, key=rows.get)
    return row, float(rows[row])


@keep
def _published(model_name):
    """Tensor ranks and stages of the named runs of a model."""
    found = (runs.waterfall(words) for words in runs.NAMED)
    mine = {(each["tp"], each["pp"]) for each in found if SAME.get(each["model"], each["model"]) == model_name}
    return {"tp": np.array([t for t, _ in sorted(mine)]), "pp": np.array([p for _, p in sorted(mine)])}


def _map_table(model_name, chips, wires, cp, tp, pp):
    key = (model_name, round(chips), wires, round(cp))
    found, on = _cells(*key), _wired(wires)[0]
    fits = found["shortfall_bytes"] <= 0
    used = _step_flop(model_name) / (found["seconds"] * key[1] * on.peak_flop_per_s)
    here = {
        "model": model_name,
        "chips": key[1],
        "wires": wires,
        "cp": key[3],
        "tp": tp,
        "pp": pp,
        "batch": TASKS[model_name][1],
        "best": np.nan,
        "looked": np.nan,
        "lost_s": np.nan,
        "lost": "",
        "most": "",
        "most_bytes": np.nan,
    }
    if fits.any():
        here["best"] = int(np.argmin(np.where(fits, found["seconds"], np.inf)))
    looked = np.flatnonzero((found["tp"] == tp) & (found["pp"] == pp))
    if looked.size:
        here["looked"] = int(looked[0])
        if not fits[looked[0]]:
            here["most"], here["most_bytes"] = _fullest(key, here["looked"])
        elif looked[0] != here["best"]:
            here["lost"], here["lost_s"] = _lost(key, here["best"], here["looked"])
    m = model(model_name)
    here |= {"heads": m.heads, "layers": m.layers}
    words = {"recompute": np.array(POLICIES)[found["recompute"]], "schedule": np.array(SCHEDULES)[found["schedule"]]}
    cells = {"cell": np.arange(fits.size), **found, **words, "utilisation": used}
    rings = {"published": _published(model_name)} if _published(model_name)["tp"].size else {}
    return stack(cell=cells, **rings, here=here) if fits.size else stack(**rings, here=here)


def _named(table, i):
    """A cell's layout in words, line by line: the first names the cell."""
    at = {c: pick(table, "cell", c)[int(i)] for c in (*search.COLUMNS, "seconds", "utilisation")}
    first = [f"tensor {at['tp']:.0f}, pipeline {at['pp']:.0f}"]
    if at["pp"] > 1:
        first.append(splitting.schedule_name(at["schedule"], stages=at["pp"], chunks=at["vpp"]))
    second = f"data {at['dp']:,.0f}" + (f" (ZeRO {at['zero']:.0f})" if at["zero"] else "")
    second += f", context {at['cp']:.0f}" if at["cp"] > 1 else ""
    third = [f"{plural(at['micro_batches'], 'micro-batch')} of {at['micro_batch']:.0f}"]
    third += [f"experts over {at['ep']:.0f}"] if at["ep"] > 1 else []
    return [*first, second, *third, f"computed again: {splitting.AGAIN[at['recompute']]}"]


def _undivided(here):
    """Why the chosen cell is empty."""
    each = here.tp * here.pp * here.cp
    if here.heads % here.tp:
        return [f"{here.heads:.0f} heads are not dealt to {here.tp:.0f}"]
    if here.pp > here.layers:
        return [f"{here.layers:.0f} layers make no {here.pp:.0f} stages"]
    if here.chips < each:
        return [f"takes {each:,.0f} chips of {here.chips:,.0f}"]
    return [f"{here.batch:,.0f} sequences", f"are not dealt to {here.chips // each:,.0f} copies"]


def _verdict(table):
    """(head, lines) on the best cell, and on the chosen one."""
    here = row(table)
    chosen = f"Chosen: tensor {here.tp:.0f}, pipeline {here.pp:.0f}"
    if not (table["series"] == "cell").any():
        return ("Nothing can be divided so", []), (chosen, _undivided(here))
    seconds, used, short = pick(table, "cell", "seconds", "utilisation", "shortfall_bytes")
    if np.isnan(here.best):
        near = int(np.argmin(short))
        first = (f"Nothing fits: lacks {si(short[near], 'B')}", ["nearest:", *_named(table, near)])
    else:
        best = int(here.best)
        first = (f"Fastest: {si(seconds[best], 's')}, {plain(100 * used[best], 2)} % of peak", _named(table, best))
    if np.isnan(here.looked):
        return first, (chosen, _undivided(here))
    i = int(here.looked)
    if short[i] > 0:
        most = f"holds most: {here.most.replace('izer', 'iser')}, {si(here.most_bytes, 'B')}"
        why = [f"does not fit: lacks {si(short[i], 'B')}", most, "nearest to fitting:"]
        return first, (chosen, [*why, *_named(table, i)[1:]])
    if here.looked == here.best:
        return first, (chosen, ["this is the fastest"])
    lines = [
        f"{si(seconds[i], 's')}: {plain(seconds[i] / seconds[int(here.best)])} times as long",
        *_named(table, i)[1:],
    ]
    return first, (chosen, [*lines, "loses most to:", here.lost])


def _cell_columns(table):
    """Column and row of each cell in the grid, the bytes that it lacks, the share of the peak that it reaches."""
    if not (table["series"] == "cell").any():
        return np.zeros((4, 0))
    tp, pp, short, used = pick(table, "cell", "tp", "pp", "shortfall_bytes", "utilisation")
    return np.array([np.log2(tp), np.log2(pp), short, used])


def _map_axes(figure):
    """The grid, its scale of colours, and what stands beside them whatever the table."""
    figure.set_size_inches(7.6, 5.4)
    ax, scale = panel(figure, 0.085, 0.185, 0.625, 0.885), panel(figure, 0.085, 0.052, 0.385, 0.074)
    ticks = {i: str(p) for i, p in enumerate(POWERS)}
    x_axis(ax, "tensor-parallel ranks", -0.5, len(POWERS) - 0.5, ticks=ticks)
    y_axis(ax, "pipeline stages", -0.5, len(POWERS) - 0.5, ticks=ticks)
    ax.grid(False)
    ax.tick_params(length=0)
    scale.imshow(np.linspace(0, BEST_SHOWN, 128)[None], aspect="auto", cmap=SHADES, extent=(0, BEST_SHOWN, 0, 1))
    scale.set(yticks=(), xticks=(0, 0.1, 0.2, 0.3, 0.4, 0.5))
    scale.set_xticklabels(["0", "10", "20", "30", "40", "50 %"], fontsize=8.5)
    scale.grid(False)
    figure.text(0.395, 0.062, "of the peak (MFU)", va="center", fontsize=9)
    words = "hatched: lacks so many bytes a chip\n·  cannot be divided"
    figure.text(0.65, 0.062, words, va="center", fontsize=9, color=GREY, linespacing=1.3)
    return ax


def _cell_marks(ax):
    """The cells: those that fit with their share of the peak, those that do not with what they lack, dots for none."""

    def around(width, height, fits):
        def edges(table):
            x, y, short, _ = _cell_columns(table)
            mine = (short <= 0) == fits
            return x[mine] - width, x[mine] + width, y[mine] - height, y[mine] + height

        return edges

    def used(table):
        x, y, short, share = _cell_columns(table)
        return [values[short <= 0] for values in (share, x, y)]

    def percents(table):
        share, x, y = used(table)
        return [f"{100 * u:.0f}" for u in share], x, y, np.where(share > 0.28, "white", "#222222")

    def lacking(table):
        x, y, short, _ = _cell_columns(table)
        return [si(s, "B", 2) for s in short[short > 0]], x[short > 0], y[short > 0]

    def empty(table):
        known = set(zip(*_cell_columns(table)[:2].tolist(), strict=True))
        found = [(i, j) for i in range(len(POWERS)) for j in range(len(POWERS)) if (i, j) not in known]
        return tuple(zip(*found, strict=True)) or ([], [])

    hatched = {"edgecolors": "#B9B9B9", "hatch": "////", "linewidths": 0.8}
    framed = {"edgecolors": "white", "linewidths": 1.2}
    return [
        boxes(ax, around(0.5, 0.5, False), "#F1F1F1", **hatched),
        boxes(ax, around(0.5, 0.5, True), lambda table: SHADES(used(table)[0] / BEST_SHOWN), **framed),
        boxes(ax, around(0.44, 0.17, False), "#F1F1F1"),
        labels(ax, percents, size=9, align="center"),
        labels(ax, lacking, size=8, align="center"),
        line(ax, empty, marker=".", ls="", color="#9A9A9A", ms=4),
    ]


def _map_draw(figure):
    ax = _map_axes(figure)
    tops, colours = (0.875, 0.53), (COLOUR["memory"], COLOUR["total"])

    def framed(x, y):
        return x - 0.45, x + 0.45, y - 0.45, y + 0.45

    def chosen(table):
        return framed(np.log2([row(table).tp]), np.log2([row(table).pp]))

    def best(table):
        found = row(table).best
        return framed(*_cell_columns(table)[:2, [int(found)]]) if np.isfinite(found) else np.zeros((4, 0))

    def published(table):
        return [np.log2(values) for values in pick(table, "published", "tp", "pp")]

    def lines(table):
        texts, heights = [], []
        for top, (_, about) in zip(tops, _verdict(table), strict=True):
            texts += about
            heights += [top - 0.043 * (i + 1.15) for i in range(len(about))]
        return texts, 0.65, np.array(heights)

    def head(i):
        return lambda table: _verdict(table)[i][0]

    def telling(table):
        here = row(table)
        cut = f", context over {here.cp:.0f}" if here.cp > 1 else ""
        return f"{here.model} on {plain(here.chips, 6)} H100, {here.wires.replace('none: ', 'no NVLink, ')}{cut}"

    bold = {"va": "center", "weight": "bold"}
    return updating(
        *_cell_marks(ax),
        boxes(ax, chosen, "none", edgecolors="#222222", linewidths=1.8, linestyles="--", zorder=4),
        boxes(ax, best, "none", edgecolors=COLOUR["memory"], linewidths=3, zorder=5),
        line(ax, published, marker="o", ls="", ms=25, mfc="none", mec="#222222", mew=1.6, zorder=6),
        *(text(figure, 0.65, y, head(i), color=colours[i], **bold) for i, y in enumerate(tops)),
        labels(ax, lines, of="figure", size=9.5),
        told(figure, telling, "head"),
    )


def _map_summary(table):
    here = row(table)
    (head, lines), (chosen, why) = _verdict(table)
    short = _cell_columns(table)[2]
    much = f" ({si(here.lost_s, 's')} longer in all)" if np.isfinite(here.lost_s) else ""
    lines, why = (", ".join(words).replace(":, ", ": ") for words in (lines, why))
    return (
        f"{here.model} on {plain(here.chips, 6)} H100, {here.wires}, context over {plural(here.cp, 'rank')}: of "
        f"{len(POWERS) ** 2} cells {short.size or 'none'} can be divided and {(short <= 0).sum()} fit. {head}: {lines}. "
        f"{chosen}: {why}{much}."
    )


map = Exhibit(
    slug="15-map",
    title="The map of layouts.",
    caption="For each pair of tensor ranks and stages, the best of all other choices. Colour and number: share of "
    "the peak (MFU). Blue frame: the fastest; rings: published layouts; dashed: your choice.",
    alt="A grid of tensor-parallel ranks against pipeline stages: cells that fit are shaded and numbered by "
    "utilisation, those that do not are hatched with the bytes they lack, those that cannot be divided have a dot; "
    "the fastest and a chosen cell are framed and described beside.",
    controls={
        "model_name": Control(label="model", values=tuple(TASKS), start="Llama-3.1-405B"),
        "chips": Control(label="chips", values=MAPPED, start=16384),
        "wires": Control(label="links", values=tuple(WIRES), start="NVLink over 8"),
        "cp": Control(label="context ranks", values=(1, 2, 4, 8, 16), start=1),
        "tp": Control(label="chosen tensor", values=POWERS, start=8),
        "pp": Control(label="chosen pipeline", values=POWERS, start=4),
    },
    table=_map_table,
    draw=_map_draw,
    summary=_map_summary,
)


# ---- 2: scaling -----------------------------------------------------------------------------------

CHIP = "H100 SXM5"
MODELS = ("Llama-3-8B", "Llama-3-70B", "GPT-3 175B", "Llama-3.1-405B")
TOKENS = {"GPT-3 175B": 2048}  # of a sequence, where not 8,192
CHIPS = 2 ** np.arange(3, 15)
JOB = 2**24  # tokens of a step that stays as it is
AT_EASE = 512  # chips from which speeds are told: on fewer the largest job just fits, in a poor layout
OF_A_CHIP = 2**14  # tokens of a step that grows, for each chip: the two meet at 1,024 chips
AGAIN = {"none": "nothing", "products": "every second product", "full": "all"}  # to keep fewer activations
STAYS, GROWS = "strong: the step stays", "weak: the step grows"
GBITS = (100, 200, 400, 800)
WIRED = {  # inside a machine: words, colour, dash
    "links": ("NVLink", COLOUR["network"], "-"),
    "host": ("PCIe", "#8C6D31", "--"),
    "nothing": ("ports alone", COLOUR["total"], ":"),
}


@keep
def _scaled(model_name, job, gbits):
    seq_len = TOKENS.get(model_name, 8192)
    batch = (JOB if job == STAYS else OF_A_CHIP * CHIPS) // seq_len
    return {
        inside: scaling.best(
            model(model_name),
            scaling.wired(chip(CHIP), inside=inside, port_bytes_per_s=gbits * 1e9 / 8),
            chips=CHIPS,
            batch=batch,
            seq_len=seq_len,
            software=ERA,
        )
        for inside in WIRED
    }


def _scaling_table(model_name, job, gbits):
    found = _scaled(model_name, job, gbits)
    shown = (
        "chips",
        "batch",
        "seconds",
        "tokens_per_s",
        "utilisation",
        "tp",
        "cp",
        "pp",
        "vpp",
        "dp",
        "zero",
        "micro_batch",
        "recompute",
    )
    lines = {
        inside: {name: columns[name] for name in shown} | {"perfect_chips": columns["chips"] * columns["utilisation"]}
        for inside, columns in found.items()
    }
    return stack(**lines, here={"model": model_name, "job": job, "gbits": gbits})


def _gain(table, inside, start=1):
    """(first, last, times): the fewest chips, from `start` on, and the most, and how much faster these are."""
    found = {c: pick(table, inside, c) for c in ("chips", "seconds", "tokens_per_s")}
    late = found["chips"] >= start
    return scaling.speed_up({name: values[late] for name, values in found.items()})


def _scaling_axes(figure):
    """Two panels over the number of chips."""
    figure.set_size_inches(7.6, 6.4)
    top, low = panel(figure, 0.115, 0.43, 0.85, 0.975), panel(figure, 0.115, 0.085, 0.85, 0.38)
    for ax in (top, low):
        x_axis(ax, "", CHIPS[0] / 1.15, CHIPS[-1] * 1.15, log="", ticks=counts(CHIPS[::2].tolist()))
    top.set_xticklabels([])
    low.set_xlabel("chips")
    y_axis(top, "chips that would do it at the peak", 1, 3e4, log="", ticks=counts(10**i for i in range(5)))
    y_axis(low, "share of the peak", 0, 0.6, ticks={0: "0", 0.2: "20 %", 0.4: "40 %", 0.6: "60 %"})
    return top, low


def _scaling_draw(figure):
    top, low = _scaling_axes(figure)

    def no_room(table):
        """Where the model does not fit, even with fast links."""
        first = _gain(table, "links")[0]
        return 1, first / 2**0.5 if first > CHIPS[0] else 1

    def lacking(table):
        first = _gain(table, "links")[0]
        return "" if first == CHIPS[0] else "no\nroom" if first < 4 * CHIPS[0] else "does not fit"

    def ends(column):
        return lambda table: {inside: pick(table, inside, column)[-1] for inside in WIRED}

    def lost(table):
        return CHIPS, *pick(table, "nothing", "perfect_chips", "chips")

    def between(table):
        return CHIPS, pick(table, "nothing", "utilisation"), pick(table, "links", "utilisation")

    def telling(table):
        gains = {inside: _gain(table, inside, AT_EASE) for inside in WIRED}
        first, last, _ = gains["links"]
        faster = "\n".join(f"{w}: {_times(gains[inside][2])} as fast" for inside, (w, *_) in WIRED.items())
        return f"From {first:,} chips to {last:,}, {_times(last / first)} as many:\n{faster}"

    names = {inside: (word, colour) for inside, (word, colour, _) in WIRED.items()}
    at = CHIPS[0] * np.array([1.2, 1.6])  # parallel to the line: of what is logarithmic, equal factors
    slope = {"rotation": np.degrees(np.arctan2(*at[::-1])), "rotation_mode": "anchor", "transform_rotates_text": True}
    panels = ((top, "perfect_chips"), (low, "utilisation"))
    return updating(
        *(span(ax, no_room, color="#EFEFEF") for ax in (top, low)),
        area(top, lost, facecolors="#F4F0EA", zorder=0.5),
        line(top, lambda table: (CHIPS, CHIPS), color=COLOUR["idle"], lw=1.2, ls=LINE["idle"]),
        text(top, *at, "all at the peak", color=GREY, fontsize=9.5, **slope),
        area(low, between, facecolors=COLOUR["network"], alpha=0.12),
        *(
            curve(ax, inside, "chips", column, color=c, ls=d, marker="o", ms=3.5)
            for inside, (_, c, d) in WIRED.items()
            for ax, column in panels
        ),
        *(end_labels(ax, names, ends(column)) for ax, column in panels),
        text(low, CHIPS[0] * 1.05, 0.03, lacking, color=GREY, fontsize=9, va="bottom"),
        told(top, telling, linespacing=1.45),
    )


def _scaling_summary(table):
    here, text = row(table), []
    for inside, (word, *_) in WIRED.items():
        first, last, times = _gain(table, inside, AT_EASE)
        share, rate = pick(table, inside, "utilisation", "tokens_per_s")
        text.append(
            f"{word}: from {first:,} chips to {last:,} {_times(times)} as fast ({100 * times / (last / first):.0f} % of the "
            f"{_times(last / first)} as many), {100 * np.nanmax(share):.0f} % of the peak at best and {100 * share[-1]:.0f} % at the "
            f"end, {plain(rate[-1] / 1e6)} million tokens/s"
        )
    layouts = {c: pick(table, "links", c) for c in ("chips", "tp", "cp", "pp", "dp", "recompute", "seconds")}
    there = np.flatnonzero(np.isfinite(layouts["seconds"]))
    cuts = [
        f"{plain(int(layouts['chips'][i]), 5)} chips: "
        + ", ".join(f"{c} {layouts[c][i]:.0f}" for c in ("tp", "cp", "pp", "dp"))
        + f", recomputing {AGAIN[POLICIES[int(layouts['recompute'][i])]]}"
        for i in there[[0, -1]]
    ]
    tokens = f"{OF_A_CHIP:,} tokens a step for each chip"
    tokens = f"{JOB / 1e6:.1f} million tokens a step" if here.job == STAYS else tokens
    return (
        f"{here.model}, {tokens}, ports of {plain(here.gbits)} Gbit/s. {'; '.join(text)}. Best layouts with NVLink: "
        f"{'; '.join(cuts)}."
    )


scaling_of = Exhibit(
    slug="15-scaling",
    title="More chips, for the same step or a larger one.",
    caption="Training with the fastest layout that fits at each number of chips. Above: chips at the peak that "
    "would do the same work; dotted is perfect. Below: the same over the chips there are.",
    alt="Two panels over the number of chips on a logarithmic axis, three lines each, for fast links, PCIe and "
    "ports alone: above, useful chips below a dotted diagonal; below, the share of the peak, which falls as chips "
    "are added, most without fast links.",
    controls={
        "model_name": Control(label="model", values=MODELS, start="Llama-3.1-405B"),
        "job": Control(label="scaling", values=(STAYS, GROWS), start=STAYS),
        "gbits": Control(label="port, Gbit/s", values=GBITS, start=400),
    },
    table=_scaling_table,
    draw=_scaling_draw,
    summary=_scaling_summary,
)
