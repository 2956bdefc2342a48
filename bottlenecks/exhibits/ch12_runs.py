"""Figures of chapter 12: more and more chips, and runs that were measured."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.registry import Control, Exhibit, one, pick, stack
from bottlenecks.exhibits.style import COLOUR, FITTED_DOT, LINE, MARKERS, SERIES, against_measured, axis_in
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.models import training
from bottlenecks.models.footprint import RECOMPUTE
from bottlenecks.studies import runs, scaling

GREY = "#6E6E6E"  # of words: dark enough to read
ERA = "2024"  # of the software


def _apart(heights, gap):
    """Heights of labels on an axis from 0 to 1, moved apart to at least `gap`, all between its ends."""
    placed, ceiling = np.array(heights, dtype=float), 1.0
    for i in np.argsort(-placed, kind="stable"):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed + max(0, 0.02 - placed.min())


def _times(count):
    """A factor in words."""
    return f"{count:,.0f} times" if count >= 100 else f"{plain(count, 3)} times"


# ---- 1: scaling -----------------------------------------------------------------------------------

CHIP = "H100 SXM5"
MODELS = ("Llama-3-8B", "Llama-3-70B", "GPT-3 175B", "Llama-3.1-405B")
TOKENS = {"GPT-3 175B": 2048}  # of a sequence, where not 8,192
CHIPS = 2 ** np.arange(3, 15)
JOB = 2**24  # tokens of a step that stays as it is
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
            scaling.machine(chip(CHIP), inside=inside, port_bytes_per_s=gbits * 1e9 / 8),
            chips=CHIPS,
            batch=batch,
            seq_len=seq_len,
            era=ERA,
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


def _gain(table, inside):
    """(first, last, times): the fewest and the most chips, and how much faster the most are."""
    return scaling.speed_up({c: pick(table, inside, c) for c in ("chips", "seconds", "tokens_per_s")})


def _scaling_draw(figure):
    figure.set_size_inches(7.6, 6.4)
    top = figure.add_axes([0.115, 0.43, 0.735, 0.545])
    low = figure.add_axes([0.115, 0.085, 0.735, 0.295])
    for ax in (top, low):
        ax.set(xscale="log", xlim=(CHIPS[0] / 1.15, CHIPS[-1] * 1.15))
        ax.set_xticks(CHIPS[::2], [f"{n:,}" for n in CHIPS[::2]])
        ax.minorticks_off()
    top.set(yscale="log", ylim=(1, 3e4), ylabel="chips that would do it at the peak")
    top.set_yticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1,000", "10,000"])
    top.set_xticklabels([])
    top.tick_params(axis="y", which="minor", length=0)
    low.set(ylim=(0, 0.6), xlabel="chips", ylabel="share of the peak")
    low.set_yticks([0, 0.2, 0.4, 0.6], ["0", "20 %", "40 %", "60 %"])
    ends = CHIPS[[0, -1]]
    top.plot(ends, ends, color=COLOUR["idle"], lw=1.2, ls=LINE["idle"])
    at = ends[0] * np.array([1.2, 1.6])  # parallel to the line: of what is logarithmic, equal factors
    top.text(
        *at,
        "all at the peak",
        color=GREY,
        fontsize=9.5,
        rotation=np.degrees(np.arctan2(*at[::-1])),
        rotation_mode="anchor",
        transform_rotates_text=True,
    )
    shades = [ax.axvspan(1, 1, color="#EFEFEF", lw=0, zorder=0) for ax in (top, low)]
    no_room = low.text(CHIPS[0] * 1.05, 0.03, "", color=GREY, fontsize=9, va="bottom")
    lines = {
        inside: [ax.plot([], [], color=c, ls=d, marker="o", ms=3.5)[0] for ax in (top, low)]
        for inside, (_, c, d) in WIRED.items()
    }
    words = {
        inside: [ax.text(1.015, 0, w, color=c, va="center", fontsize=9.5, transform=ax.transAxes) for ax in (top, low)]
        for inside, (w, c, _) in WIRED.items()
    }
    told = top.text(0.012, 0.985, "", transform=top.transAxes, va="top", linespacing=1.45)
    lost = {}

    def update(table):
        for old in lost.values():
            old.remove()
        at_end = []
        for inside, (above, below) in lines.items():
            n, perfect, share = pick(table, inside, "chips", "perfect_chips", "utilisation")
            above.set_data(n, perfect)
            below.set_data(n, share)
            at_end.append((perfect[-1], share[-1]))
        slowest = pick(table, "nothing", "perfect_chips")
        lost["top"] = top.fill_between(
            CHIPS, slowest, CHIPS, where=np.isfinite(slowest), color="#F4F0EA", lw=0, zorder=0.5
        )
        quick, slow = (pick(table, inside, "utilisation") for inside in ("links", "nothing"))
        lost["low"] = low.fill_between(CHIPS, slow, quick, color=COLOUR["network"], alpha=0.12, lw=0)
        bottom, ceiling = np.log(top.get_ylim())
        heights = [
            (np.log([p for p, _ in at_end]) - bottom) / (ceiling - bottom),
            np.array([s for _, s in at_end]) / 0.6,
        ]
        for which, placed in enumerate((_apart(heights[0], 0.052), _apart(heights[1], 0.095))):
            for word, height in zip(words.values(), placed, strict=True):
                word[which].set_y(height)
        gains = {inside: _gain(table, inside) for inside in WIRED}
        first, last, _ = gains["links"]
        end = first / 2**0.5 if first > CHIPS[0] else 1
        for shade in shades:
            shade.set(x=1, width=end - 1)
        no_room.set_text("" if first == CHIPS[0] else "no\nroom" if first < 4 * CHIPS[0] else "does not fit")
        told.set_text(
            f"From {first:,} chips to {last:,}, {_times(last / first)} as many:\n"
            + "\n".join(f"{w}: {_times(gains[inside][2])} as fast" for inside, (w, *_) in WIRED.items())
        )
        return [
            *(a for pair in lines.values() for a in pair),
            *(a for pair in words.values() for a in pair),
            *shades,
            no_room,
            told,
            *lost.values(),
        ]

    return update


def _scaling_summary(table):
    name, job, gbits = (one(table, "here", c) for c in ("model", "job", "gbits"))
    text = []
    for inside, (word, *_) in WIRED.items():
        first, last, times = _gain(table, inside)
        share, rate = pick(table, inside, "utilisation", "tokens_per_s")
        text.append(
            f"{word}: from {first:,} chips to {last:,} {_times(times)} as fast ({100 * times / (last / first):.0f} % of the "
            f"{_times(last / first)} as many), {100 * np.nanmax(share):.0f} % of the peak at best and {100 * share[-1]:.0f} % at the "
            f"end, {plain(rate[-1] / 1e6)} million tokens/s"
        )
    there = np.flatnonzero(np.isfinite(pick(table, "links", "seconds")))
    cuts = [
        f"{plain(int(pick(table, 'links', 'chips')[i]), 5)} chips: "
        + ", ".join(f"{c} {pick(table, 'links', c)[i]:.0f}" for c in ("tp", "cp", "pp", "dp"))
        + f", recomputing {AGAIN[RECOMPUTE[int(pick(table, 'links', 'recompute')[i])]]}"
        for i in there[[0, -1]]
    ]
    tokens = f"{JOB / 1e6:.1f} million tokens a step" if job == STAYS else f"{OF_A_CHIP:,} tokens a step for each chip"
    return f"{name}, {tokens}, ports of {plain(gbits)} Gbit/s. {'; '.join(text)}. Best layouts with NVLink: {'; '.join(cuts)}."


scaling_of = Exhibit(
    slug="12-scaling",
    title="More chips, for the same step or a larger one.",
    caption="Training on 8 to 16,384 H100, in bf16, with the fastest layout that fits at each number: tensor and context parallelism up to 8, "
    "pipelines to 64 stages, micro-batches to 8, interleaving and recomputation, all in powers of two. Above, the number of chips at the "
    "datasheet's peak that would do the same work (perfect: the dotted line); below, the same over the chips there are: model FLOP utilisation, "
    "the causal half of attention counted. Eight chips of a machine reach each other over NVLink (450 GB/s), over PCIe (63 GB/s, which "
    "then caps the port as well), or over nothing but a port for each chip; no network is oversubscribed. Strong: 16.8 million tokens a "
    "step. Weak: 16,384 tokens for each chip. Software of 2024; sequences of 8,192 tokens, of GPT-3 2,048. A gain above the number of chips tells that the fewest hold the job only in a poor layout.",
    alt="Two panels over the number of chips on a logarithmic axis, three lines each, for fast links, PCIe and ports alone: above, useful chips "
    "below a dotted diagonal; below, the share of the peak, which falls as chips are added, most without fast links.",
    controls={
        "model_name": Control(label="model", values=MODELS, start="Llama-3.1-405B"),
        "job": Control(label="scaling", values=(STAYS, GROWS), start=STAYS),
        "gbits": Control(label="port, Gbit/s", values=GBITS, start=400),
    },
    table=_scaling_table,
    draw=_scaling_draw,
    summary=_scaling_summary,
)


# ---- 2: waterfall ---------------------------------------------------------------------------------

OWNER = runs.OWNER_OF | {"rest": "idle"}
LINES = len(training.ROWS) + 3  # rows, the rest, the step, measured


def _waterfall_table(run):
    found = runs.waterfall(run)
    rows = runs.joined(found["rows"])
    ends = np.cumsum(list(rows.values()))
    facts = (
        "seconds",
        "measured_s",
        "low_s",
        "high_s",
        "model",
        "chip",
        "chips",
        "format",
        "source",
        "role",
        "year",
        *runs.USED,
        *(f"measured_{name}" for name in runs.USED),
        *runs.CUT,
    )
    return stack(
        row={
            "name": list(rows),
            "owner": [OWNER[name] for name in rows],
            "start_s": ends - list(rows.values()),
            "end_s": ends,
            "added_s": np.array(list(rows.values())),
        },
        run={name: found[name] for name in facts} | {"name": run},
    )


def _layout_text(table):
    """The layout, without what is not cut."""
    sizes = {name: int(one(table, "run", name)) for name in runs.CUT}
    cut = [f"{name} {sizes[name]}" for name in ("tp", "cp", "pp", "vpp", "dp", "ep") if sizes[name] > 1]
    return ", ".join(cut)


def _waterfall_draw(figure):
    figure.set_size_inches(7.6, 6.2)
    ax = figure.add_axes([0.245, 0.085, 0.735, 0.70])
    ax.set(xlabel="time", yticks=())
    axis_in(ax.xaxis, "s")
    ax.grid(False, axis="y")
    across = ax.get_yaxis_transform()
    names = [ax.text(-0.012, i, "", transform=across, ha="right", va="center", fontsize=9.5) for i in range(LINES)]
    bars = [ax.barh(i, 0, height=0.66)[0] for i in range(LINES - 1)]
    clear = {"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.75}  # of the line at the measured time
    words = [ax.text(0, i, "", va="center", fontsize=9, bbox=clear) for i in range(LINES)]
    joints = ax.vlines([], [], [], color=COLOUR["idle"], lw=0.8)
    band = ax.axvspan(0, 1, color="#F1EBDD", lw=0, zorder=0)
    goal = ax.axvline(0, color=COLOUR["highlight"], lw=2.2, zorder=1)
    head = figure.text(0.015, 0.975, "", va="top", fontsize=12, weight="bold")
    used = [figure.text(0.015, y, "", va="top", fontsize=9.5) for y in (0.925, 0.89)]
    for i, name in enumerate(("compute", "memory", "network", "latency", "idle")):
        figure.text(0.245 + 0.125 * i, 0.808, f"■ {name}", color=COLOUR[name] if name != "idle" else GREY, fontsize=9.5)

    def update(table):
        rows, owners, starts, ends, added = pick(table, "row", "name", "owner", "start_s", "end_s", "added_s")
        whole, measured, low, high, chips = (
            one(table, "run", c) for c in ("seconds", "measured_s", "low_s", "high_s", "chips")
        )
        count, right = rows.size, 1.04 * max(whole, measured, high)
        ax.set(xlim=(0, right), ylim=(count + 1.55, -0.6))
        texts = [
            f"{'+ ' * (i > 0)}{si(a, 's', 3)}, {100 * a / whole:.{0 if a > 0.095 * whole else 1}f} %"
            for i, a in enumerate(added)
        ]
        labels = [*rows.tolist(), "step, predicted", "measured"]
        colours = [COLOUR[o] for o in owners.tolist()] + [COLOUR["total"]]
        lefts, widths = [*starts, 0], [*added, whole]
        texts += [f"{si(whole, 's', 3)}", f"{si(measured, 's', 3)}, {measured / whole:.2f} of the prediction"]
        for i in range(LINES):
            shown = i < len(labels)
            names[i].set_text(labels[i] if shown else "")
            words[i].set_text(texts[i] if shown else "")
            if i < len(colours):
                bars[i].set(x=lefts[i], width=widths[i], color=colours[i])
            elif i < len(bars):
                bars[i].set(width=0)
            if shown:
                begin, stop = (lefts[i], lefts[i] + widths[i]) if i < len(colours) else (measured, measured)
                inside = i == count
                late = stop > (0.6 if i > count else 0.72) * right and not inside
                at = begin if late or inside else stop
                words[i].get_bbox_patch().set_visible(not inside)
                words[i].set(
                    x=at + (-1 if late else 1) * 0.01 * right,
                    ha="right" if late else "left",
                    color="white" if inside else "black",
                )
        joints.set_segments([[(e, i - 0.33), (e, i + 1.33)] for i, e in enumerate(ends)])
        band.set(x=low, width=high - low)
        goal.set_xdata([measured, measured])
        head.set_text(
            f"{one(table, 'run', 'model')} on {chips:,.0f} × {one(table, 'run', 'chip')}, {one(table, 'run', 'format')}"
        )
        both = {name: [100 * one(table, "run", before + name) for before in ("", "measured_")] for name in runs.USED}
        mfu, full, hfu = (f"{p:.0f} / {m:.0f} %" for p, m in both.values())
        used[0].set_text(f"Cut: {_layout_text(table)}. Band: 80 % of measurements. Orange: measured.")
        used[1].set_text(f"Predicted / measured: MFU {mfu} (with attention's whole square {full}), HFU {hfu}.")
        return [*names, *bars, *words, joints, band, goal, head, *used]

    return update


def _waterfall_summary(table):
    rows, owners, added = pick(table, "row", "name", "owner", "added_s")
    name, on, chips, source, role, whole, measured = (
        one(table, "run", c) for c in ("model", "chip", "chips", "source", "role", "seconds", "measured_s")
    )
    most = 1 + np.argsort(-added[1:], kind="stable")[:3]
    lost = ", ".join(f"{rows[i]} {100 * added[i] / whole:.0f} %" for i in most)
    owned = {o: added[owners == o].sum() / whole for o in ("compute", "memory", "network", "latency", "idle")}
    predicted, seen = ([100 * one(table, "run", f"{before}{n}") for n in runs.USED] for before in ("", "measured_"))
    return (
        f"{name} on {chips:,.0f} {on} ({source}, {role}): {si(added[0], 's')} of arithmetic at the peak, {si(whole, 's')} predicted, "
        f"{si(measured, 's')} measured ({measured / whole:.2f} times). Largest losses: {lost}. By row: "
        + ", ".join(f"{o} {100 * v:.0f} %" for o, v in owned.items() if v > 0.005)
        + f". Of the peak, predicted and measured: model FLOP with the causal half of attention {predicted[0]:.0f} and {seen[0]:.0f} %, "
        f"with its whole square {predicted[1]:.0f} and {seen[1]:.0f} %, hardware FLOP (computed again counted) "
        f"{predicted[2]:.0f} and {seen[2]:.0f} %."
    )


waterfall = Exhibit(
    slug="12-waterfall",
    title="From the peak to the clock.",
    caption="One step of a published run, row by row of exposed seconds as the training model predicts them, from its arithmetic at the datasheet's "
    "peak to the step; rows below half a percent are joined in the rest, which is grey as idle time is. Colour: the resource that a row mostly "
    "waits for. The orange line is what the source measured, or what its printed rate comes to. Utilisations are over the dense peak of the "
    "format that the products use; recomputed attention and layers count in the last one only.",
    alt="Waterfall of horizontal bars, each beginning where the one above ends, from arithmetic at the peak through kernels, memory, "
    "communication and pipeline bubble to the predicted step, with a vertical line at the measured time and a band around the prediction.",
    controls={"run": Control(label="run", values=tuple(runs.NAMED), start="Llama-3.1-405B, H100 (2024)")},
    table=_waterfall_table,
    draw=_waterfall_draw,
    summary=_waterfall_summary,
    rescales=True,
)


# ---- 3: the triangle ------------------------------------------------------------------------------

PERIODS = {  # words: first and last year, colour, marker
    "up to 2020": (0, 2020, "#9A9A9A", "v"),
    "2021-22": (2021, 2022, "#8C6D31", "s"),
    "2023": (2023, 2023, "#E69F00", "^"),
    "2024 on": (2024, 9999, "#222222", "o"),
}
SHOWN = ("all", "more than one machine, since 2023", "more than 1,000 chips", "mixtures", "8 chips or fewer")
EVERY = "all periods"
WAITING = 0.1  # share of latency from which a marker is open
CORNERS = {"memory": (0.0, 0.0), "network": (1.0, 0.0), "compute": (0.5, 3**0.5 / 2)}
SIZES = (8, 128, 1024, 12288)


def _triangle_table(which, period):
    run = runs.shares_of_runs()
    mine = runs.GROUPS[which](run)
    columns = ("source", "model", "chips", "year", *runs.RESOURCES, "largest")
    found = {}
    for name, (first, last, *_) in PERIODS.items():
        those = mine & (run["year"] >= first) & (run["year"] <= last)
        if those.any():
            found[name] = {c: run[c][those] for c in columns}
    counted = runs.dominated(run, mine)
    known = ("rows", "rows above", "sources", "sources above")
    counts = {name.replace(" ", "_"): float(counted[name]) for name in known}
    counts |= {f"above_{name}": float(counted[name]) for name in runs.RESOURCES}
    counts |= {f"median_{name}": counted[f"median {name}"] for name in runs.RESOURCES}
    return stack(**found, here={"which": which, "period": period} | counts)


def _at(columns):
    """Places in the triangle: shares of compute, memory and network, as if these were all."""
    parts = {name: columns[name] for name in CORNERS}
    whole = sum(parts.values())
    return np.column_stack([sum(parts[n] / whole * corner[i] for n, corner in CORNERS.items()) for i in (0, 1)])


def _area(chips):
    """Area of a marker: in proportion to the logarithm of the chips."""
    return 5 + 6 * np.log2(chips)


def _triangle_draw(figure):
    figure.set_size_inches(7.6, 5.6)
    ax = figure.add_axes([0.055, 0.06, 0.62, 0.86])
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.05, 0.9), aspect="equal")
    ax.axis("off")
    corners = {n: np.array(c) for n, c in CORNERS.items()}
    for name, here in corners.items():
        others = [(here + there) / 2 for n, there in corners.items() if n != name]
        ax.fill(*np.array([here, *others]).T, color=COLOUR[name], alpha=0.10, lw=0, zorder=0)
    ax.plot(*np.array([*corners.values(), corners["memory"]]).T, color=COLOUR["total"], lw=1)
    for name, ha, va, dy in (
        ("memory", "center", "top", -0.02),
        ("network", "center", "top", -0.02),
        ("compute", "center", "bottom", 0.015),
    ):
        at = corners[name]
        ax.text(
            at[0] + {"memory": 0.05, "network": -0.05}.get(name, 0),
            at[1] + dy,
            name,
            color=COLOUR[name],
            ha=ha,
            va=va,
            weight="bold",
        )
    ax.text(0.5, 0.145, "no share above a half", ha="center", va="center", fontsize=9, color=GREY)
    dots = {n: ax.scatter([], [], marker=m, linewidths=0.8, zorder=2, clip_on=False) for n, (*_, m) in PERIODS.items()}
    beside = {"transform": figure.transFigure, "clip_on": False}
    keys = {}
    for i, (name, (*_, colour, marker)) in enumerate(PERIODS.items()):
        y = 0.90 - 0.045 * i
        (mark,) = ax.plot([0.715], [y], marker=marker, ms=6, color=colour, ls="", **beside)
        keys[name] = (mark, figure.text(0.735, y, "", va="center", fontsize=9.5))
    figure.text(0.70, 0.945, "runs published", fontsize=9.5, weight="bold", va="center")
    figure.text(0.70, 0.675, "chips", fontsize=9.5, weight="bold", va="center")
    for i, n in enumerate(SIZES):
        ax.plot([0.715], [0.635 - 0.04 * i], marker="o", ms=_area(n) ** 0.5, mfc="none", mec=GREY, ls="", **beside)
        figure.text(0.735, 0.635 - 0.04 * i, f"{n:,}", va="center", fontsize=9.5)
    figure.text(0.70, 0.448, "open: a tenth or more\nis latency", fontsize=9, color=GREY, va="center", linespacing=1.3)
    counts = [
        figure.text(x, y, "", va="center", ha=ha, fontsize=9.5, color=COLOUR.get(n, "black"))
        for y, n in zip((0.38, 0.335, 0.29, 0.245, 0.20, 0.155), ("", *runs.RESOURCES, "rows"), strict=True)
        for x, ha in ((0.70, "left"), (0.86, "right"), (0.975, "right"))
    ]
    told = figure.text(0.70, 0.105, "", va="top", fontsize=9.5, linespacing=1.35)
    title = figure.text(0.02, 0.965, "", va="top", linespacing=1.35)

    def update(table):
        chosen = one(table, "here", "period")
        for name, (*_, colour, _) in PERIODS.items():
            mine = {c: pick(table, name, c) for c in ("chips", *runs.RESOURCES)}
            faded = chosen not in (EVERY, name)
            tint = (*_rgb(colour), 0.13 if faded else 0.75)
            dots[name].set_offsets(_at(mine) if mine["chips"].size else np.empty((0, 2)))
            dots[name].set_sizes(_area(mine["chips"]))
            waits = mine["latency"] >= WAITING
            dots[name].set_facecolors([(1, 1, 1, 0.4) if w else tint for w in waits.tolist()])
            dots[name].set_edgecolors([tint if w else (1, 1, 1, 0.35 if not faded else 0.1) for w in waits.tolist()])
            dots[name].set_zorder(2.2 if chosen == name else 2)
            mark, word = keys[name]
            mark.set_alpha(0.25 if faded else 1)
            word.set_text(f"{name}: {mine['chips'].size:,}")
            word.set_color(GREY if faded else "black")
        rows, above, sources, mostly = (
            one(table, "here", c) for c in ("rows", "rows_above", "sources", "sources_above")
        )
        cells = [("", "above ½", "median")]
        cells += [
            (n, f"{one(table, 'here', f'above_{n}'):.0f}", f"{100 * one(table, 'here', f'median_{n}'):.0f} %")
            for n in runs.RESOURCES
        ]
        cells += [("any", f"{above:.0f} of {rows:.0f}", "")]
        for word, text in zip(counts, (t for line in cells for t in line), strict=True):
            word.set_text(text)
        told.set_text(f"above ½ in most runs\nof {mostly:.0f} of {sources:.0f} sources")
        title.set_text(f"Runs: {one(table, 'here', 'which')}\nof each source and model the largest")
        return [*dots.values(), *(a for pair in keys.values() for a in pair), *counts, told, title]

    return update


def _rgb(colour):
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _triangle_summary(table):
    which, period, rows, above, sources, mostly = (
        one(table, "here", c) for c in ("which", "period", "rows", "rows_above", "sources", "sources_above")
    )
    each = [
        f"{n} in {one(table, 'here', f'above_{n}'):.0f}" for n in runs.RESOURCES if one(table, "here", f"above_{n}")
    ]
    medians = [f"{n} {100 * one(table, 'here', f'median_{n}'):.0f} %" for n in runs.RESOURCES]
    waiting = np.concatenate([pick(table, name, "latency") for name in PERIODS])
    slow = int(np.sum(waiting >= WAITING))
    text = (
        f"Runs: {which}, of each source and model the largest: {rows:.0f} of {sources:.0f} sources. One share is above a half in {above:.0f} runs ({', '.join(each) or 'none'}) "
        f"and in most runs of {mostly:.0f} sources. Median shares: {', '.join(medians)}. Latency, which the picture leaves out, owns "
        f"a tenth or more in {slow} run{'s' * (slow != 1)}, at most {100 * waiting.max():.0f} %."
    )
    if period == EVERY:
        return text
    mine = {c: pick(table, period, c) for c in runs.RESOURCES}
    if not mine["compute"].size:
        return f"{text} Published {period}: none."
    of_period = ", ".join(f"{n} {100 * np.median(v):.0f} %" for n, v in mine.items())
    return f"{text} Published {period}: {mine['compute'].size} runs, median {of_period}."


triangle = Exhibit(
    slug="12-triangle",
    title="Who owned the second.",
    caption="Training runs of the corpus, of each source's runs of a model that on most chips, placed by the shares of its predicted step (eq:shares) that compute, "
    "memory (with caches) and network own; each corner is a step that one of them owns alone, and in a shaded corner it owns more than "
    "half of the three. Latency, the fourth share, is left out of the place, which takes the other three as if they were all; the counts at the "
    "right take all four. Runs of one source lie close together, so sources are counted as well.",
    alt="Triangle with corners compute, memory and network; one marker for each training run, coloured by period and sized by the number of chips; "
    "most lie near the compute corner, mixtures of experts farther from it.",
    controls={
        "which": Control(label="runs", values=SHOWN, start="all"),
        "period": Control(label="period", values=(EVERY, *PERIODS), start=EVERY),
    },
    table=_triangle_table,
    draw=_triangle_draw,
    summary=_triangle_summary,
)


# ---- 4: reality -----------------------------------------------------------------------------------

TPU = "TPU"
SCORED = {  # words -> which runs
    "dense models": lambda run: ~run["mixture"],
    "mixtures": lambda run: run["mixture"],
    "GPUs, published up to 2022": lambda run: (run["family"] != TPU) & (run["year"] <= 2022),
    "GPUs, published since 2023": lambda run: (run["family"] != TPU) & (run["year"] > 2022),
    "TPUs": lambda run: run["family"] == TPU,
}
PAGES = {  # who measured: how the sources' names begin
    "Megatron Bridge": ("mbridge", "moe_zoo"),
    "NeMo, Megatron": ("nemo", "megatron"),
    "MegaScale": ("megascale",),
    "MLPerf": ("mlperf",),
    "TorchTitan": ("torchtitan",),
    "MaxText, JAX": ("maxtext", "tpu_", "jax", "levanter"),
    "BLOOM": ("bloom_",),
    "reports": ("",),
}


@keep
def _measured_by():
    """Who measured each scored run: the first of PAGES that its source's name begins with."""
    names = runs.scored()["source"].tolist()
    return np.array([next(who for who, starts in PAGES.items() if name.startswith(starts)) for name in names])


def _measured_table(group):
    run, who = runs.scored(), _measured_by()
    mine = SCORED[group](run)
    columns = ("source", "chips", "predicted_s", "measured_s", "error")
    found = {}
    for role in ("fit", "held-out"):
        those = mine & (run["role"] == role)
        if those.any():
            found[role] = {c: run[c][those] for c in columns} | {"who": who[those]}
    return stack(**found, here={"group": group})


def _mean_errors(table, role):
    """Source -> its mean absolute error."""
    sources, error = pick(table, role, "source", "error")
    return {s: np.abs(error[sources == s]).mean() for s in np.unique(sources).tolist()}


def _measured_draw(figure):
    figure.set_size_inches(7.6, 6.6)
    times = figure.add_axes([0.125, 0.385, 0.585, 0.60])
    ratios = figure.add_axes([0.125, 0.08, 0.585, 0.275])
    ends = (0.1, 3000)
    times.set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel="measured time of a step")
    ratios.set(
        xscale="log",
        yscale="log",
        xlim=ends,
        ylim=(0.2, 5),
        xlabel="predicted time of a step",
        ylabel="measured / predicted",
    )
    fit = against_measured(times, ratios, (1e-3, 1e4))
    beside = {"transform": figure.transFigure, "clip_on": False}
    slots = {}
    for i, who in enumerate(PAGES):
        style = {"color": SERIES[i], "marker": MARKERS[i], "ls": "", "ms": 5, "mfc": "none", "mew": 1.1}
        pair = [ax.plot([], [], **style)[0] for ax in (times, ratios)]
        slots[who] = (
            pair,
            times.plot([], [], **style, **beside)[0],
            figure.text(0.752, 0, "", va="center", fontsize=9.5, linespacing=1.25),
        )
    figure.text(0.722, 0.975, "held out: runs,\nmean error of a run", weight="bold", fontsize=9.5, va="top")
    dot = times.plot([], [], **FITTED_DOT, **beside)[0]
    fitted = figure.text(0.752, 0, "", va="center", fontsize=9.5, color=GREY, linespacing=1.25)
    figure.text(0.722, 0.085, "band: within 10 %", fontsize=9.5, color=GREY)

    def fill(pair, x, y):
        pair[0].set_data(x, y)
        pair[1].set_data(x, y / x)

    def update(table):
        who, x, y, error = pick(table, "held-out", "who", "predicted_s", "measured_s", "error")
        height = 0.885
        for name, (pair, mark, word) in slots.items():
            mine = who == name
            fill(pair, x[mine], y[mine])
            mark.set_data(([0.733], [height]) if mine.any() else ([], []))
            word.set_y(height)
            word.set_text(f"{name}\n{mine.sum():,}, {100 * np.abs(error[mine]).mean():.0f} %" if mine.any() else "")
            height -= 0.083 * mine.any()
        x, y, error = pick(table, "fit", "predicted_s", "measured_s", "error")
        fill(fit, x, y)
        dot.set_data(([0.733], [height]) if x.size else ([], []))
        fitted.set_y(height)
        fitted.set_text(f"fitted on\n{x.size:,}, {100 * np.abs(error).mean():.0f} %" if x.size else "")
        return [*fit, *(a for pair, mark, word in slots.values() for a in (*pair, mark, word)), dot, fitted]

    return update


def _measured_summary(table):
    held, fitted = (_mean_errors(table, role) for role in ("held-out", "fit"))
    error = pick(table, "held-out", "error")
    worst = max(held, key=held.get)
    best = min(held, key=held.get)
    text = (
        f"{one(table, 'here', 'group')}: {error.size} held-out runs of {len(held)} sources; mean absolute error of the runs "
        f"{100 * np.abs(error).mean():.0f} %, median {100 * np.median(np.abs(error)):.0f} %, mean over sources "
        f"{100 * np.mean(list(held.values())):.0f} %; from {100 * held[best]:.0f} % ({best}) to {100 * held[worst]:.0f} % ({worst})."
    )
    if fitted:
        text += f" Fitted: {pick(table, 'fit', 'error').size} runs of {len(fitted)} source{'s' * (len(fitted) != 1)}, mean over sources {100 * np.mean(list(fitted.values())):.0f} %."
    return text


measured = Exhibit(
    slug="12-measured",
    title="Does it hold?",
    caption="Measured training steps of the corpus against the training model, from one chip to many thousands. In colour, sources that no constant was fitted "
    "on, by who measured; grey, those that the constants of training came from. A rate (tokens or FLOP a second) is drawn as the step that it "
    "comes to. What a source leaves open is chosen as a practitioner would, the same way for all.",
    alt="Log-log scatter of measured against predicted times of a step, and below it their ratio, with a band of ten percent; a marker for each group "
    "of held-out sources, fitted runs small and grey.",
    controls={"group": Control(label="measurements", values=tuple(SCORED), start="dense models")},
    table=_measured_table,
    draw=_measured_draw,
    summary=_measured_summary,
)
