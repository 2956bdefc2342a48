"""Figures of chapter 15 on runs that were measured: where one step's time goes, who owned it, and does it hold."""

from functools import cache as keep

import numpy as np
from matplotlib.colors import to_rgb

from bottlenecks.exhibits import against
from bottlenecks.exhibits.axes import panel
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import Mark, boxes, segments, span, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, MARKERS, SERIES, axis_in
from bottlenecks.facts import corpus
from bottlenecks.facts.units import plural, si
from bottlenecks.models import training
from bottlenecks.studies import runs

# ---- 1: waterfall ---------------------------------------------------------------------------------

OWNER = runs.OWNER_OF | {"rest": "idle"}


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


def _waterfall_words(ax, axis_end):
    """The words beside the bars: behind their ends, or before them where there is no room; the step's in its bar."""
    clear = {"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.75}  # of the line at the measured time
    words = [ax.text(0, i, "", va="center", fontsize=9, bbox=clear) for i in range(len(training.ROWS) + 3)]

    def fill(table):
        starts, ends, added = pick(table, "row", "start_s", "end_s", "added_s")
        run, right, n = row(table, "run"), axis_end(table), added.size
        shares = 100 * added / run.seconds
        texts = [
            f"{'+ ' * (i > 0)}{si(a, 's', 3)}, {s:.{0 if s > 9.5 else 1}f} %"
            for i, (a, s) in enumerate(zip(added, shares, strict=True))
        ]
        texts += [
            si(run.seconds, "s", 3),
            f"{si(run.measured_s, 's', 3)}, {run.measured_s / run.seconds:.2f} of the prediction",
        ]
        starts, ends = [*starts, 0, run.measured_s], [*ends, run.seconds, run.measured_s]
        for i, word in enumerate(words):
            word.set_text(texts[i] if i < len(texts) else "")
            if i >= len(texts):
                continue
            inside = i == n
            before = not inside and ends[i] > (0.6 if i > n else 0.72) * right
            word.get_bbox_patch().set_visible(not inside)
            word.set(
                x=(starts[i] if before or inside else ends[i]) + (-0.01 if before else 0.01) * right,
                ha="right" if before else "left",
                color="white" if inside else "black",
            )

    return Mark(words, fill)


def _waterfall_draw(figure):
    figure.set_size_inches(7.6, 6.2)
    ax = panel(figure, 0.245, 0.085, 0.98, 0.785)
    ax.set(xlabel="time", yticks=())
    axis_in(ax.xaxis, "s")
    ax.grid(False, axis="y")
    key(figure, {name: COLOUR[name] for name in ("compute", "memory", "network", "latency", "idle")}, 0.245, 0.815)

    def right(table):
        run = row(table, "run")
        return 1.04 * max(run.seconds, run.measured_s, run.high_s)

    def fit(table):
        ax.set(xlim=(0, right(table)), ylim=(pick(table, "row", "name").size + 1.55, -0.6))

    def bars(table):
        starts, ends = pick(table, "row", "start_s", "end_s")
        y = np.arange(starts.size + 1)
        return [*starts, 0], [*ends, row(table, "run").seconds], y - 0.33, y + 0.33

    def names(table):
        found = pick(table, "row", "name").tolist()
        return [*found, "step, well tuned", "measured"], -0.012, np.arange(len(found) + 2)

    def joints(table):
        return [[(e, i - 0.33), (e, i + 1.33)] for i, e in enumerate(pick(table, "row", "end_s"))]

    def head(table):
        run = row(table, "run")
        return f"{run.model} on {run.chips:,.0f} × {run.chip}, {run.format}"

    def cut(table):
        sizes = {name: int(getattr(row(table, "run"), name)) for name in ("tp", "cp", "pp", "vpp", "dp", "ep")}
        layout = ", ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
        return f"Cut: {layout}. Band: 80 % of measurements. Orange: measured."

    def used(table):
        run = row(table, "run")
        both = [[100 * getattr(run, before + name) for before in ("", "measured_")] for name in runs.USED]
        mfu, full, hfu = (f"{p:.0f} / {m:.0f} %" for p, m in both)
        return f"Predicted / measured: MFU {mfu} (with attention's whole square {full}), HFU {hfu}."

    def colours(table):
        return [COLOUR[owner] for owner in (*pick(table, "row", "owner").tolist(), "total")]

    small = {"va": "top", "fontsize": 9.5}
    return updating(
        Mark([], fit),
        span(ax, lambda table: (row(table, "run").low_s, row(table, "run").high_s), color="#F1EBDD"),
        upright(ax, lambda table: row(table, "run").measured_s, color=COLOUR["highlight"], lw=2.2, zorder=1),
        boxes(ax, bars, colours),
        segments(ax, joints, colors=COLOUR["idle"], linewidths=0.8),
        labels(ax, names, of="row", align="right", size=9.5),
        _waterfall_words(ax, right),
        text(figure, 0.015, 0.975, head, va="top", fontsize=12, weight="bold"),
        text(figure, 0.015, 0.925, cut, **small),
        text(figure, 0.015, 0.89, used, **small),
    )


def _waterfall_summary(table):
    rows, owners, added = pick(table, "row", "name", "owner", "added_s")
    run = row(table, "run")
    most = 1 + np.argsort(-added[1:], kind="stable")[:3]
    lost = ", ".join(f"{rows[i]} {100 * added[i] / run.seconds:.0f} %" for i in most)
    owned = {o: added[owners == o].sum() / run.seconds for o in ("compute", "memory", "network", "latency", "idle")}
    predicted, seen = ([100 * getattr(run, before + name) for name in runs.USED] for before in ("", "measured_"))
    return (
        f"{run.model} on {run.chips:,.0f} {run.chip} ({corpus.called(run.source)}, {run.role}): {si(added[0], 's')} of arithmetic at the peak, "
        f"{si(run.seconds, 's')} predicted, {si(run.measured_s, 's')} measured ({run.measured_s / run.seconds:.2f} times). Largest "
        f"losses: {lost}. By row: "
        + ", ".join(f"{o} {100 * v:.0f} %" for o, v in owned.items() if v > 0.005)
        + f". Of the peak, predicted and measured: model FLOP with the causal half of attention {predicted[0]:.0f} and {seen[0]:.0f} %, "
        f"with its whole square {predicted[1]:.0f} and {seen[1]:.0f} %, hardware FLOP (computed again counted) "
        f"{predicted[2]:.0f} and {seen[2]:.0f} %."
    )


waterfall = Exhibit(
    slug="15-waterfall",
    title="From the peak to the clock.",
    caption="One step of a published run, row by row of seconds that nothing hides, from its arithmetic at the "
    "peak. Colour: what a row mostly waits for. The orange line is what was measured.",
    alt="Waterfall of horizontal bars, each beginning where the one above ends, from arithmetic at the peak through "
    "kernels, memory, communication and pipeline bubble to the predicted step, with a vertical line at the measured "
    "time and a band around the prediction.",
    controls={"run": Control(label="run", values=tuple(runs.NAMED), start="Llama-3.1-405B, H100 (2024)")},
    table=_waterfall_table,
    draw=_waterfall_draw,
    summary=_waterfall_summary,
    rescales=True,
)


# ---- 2: the triangle ------------------------------------------------------------------------------

PERIODS = {  # words: first and last year, colour, marker
    "up to 2020": (0, 2020, "#9A9A9A", "v"),
    "2021-22": (2021, 2022, "#8C6D31", "s"),
    "2023": (2023, 2023, "#E69F00", "^"),
    "2024 on": (2024, 9999, "#222222", "o"),
}
SHOWN = (
    "mixtures on more than one machine, since 2023",
    *("all", "more than one machine, since 2023", "more than 1,000 chips", "8 chips or fewer"),
)
EVERY = "all periods"
WAITING = 0.1  # share of latency from which a marker is open
CORNERS = {"memory": (0.0, 0.0), "network": (1.0, 0.0), "compute": (0.5, 3**0.5 / 2)}
SIZES = (8, 128, 1024, 12288)


def _triangle_table(which, period):
    run = runs.shares_of_runs()
    mine = runs.GROUPS[which](run)
    columns = ("source", "model", "chips", "year", *runs.OWNERS, "largest")
    found = {}
    for name, (first, last, *_) in PERIODS.items():
        those = mine & (run["year"] >= first) & (run["year"] <= last)
        if those.any():
            found[name] = {c: run[c][those] for c in columns}
    counted = runs.dominated(run, mine)
    known = ("rows", "rows above", "sources", "sources above")
    counts = {name.replace(" ", "_"): float(counted[name]) for name in known}
    counts |= {f"above_{name}": float(counted[name]) for name in runs.OWNERS}
    counts |= {f"median_{name}": counted[f"median {name}"] for name in runs.OWNERS}
    return stack(**found, here={"which": which, "period": period} | counts)


def _at(columns):
    """Places in the triangle: shares of compute, memory and network, as if these were all."""
    parts = {name: columns[name] for name in CORNERS}
    whole = sum(parts.values())
    return np.column_stack([sum(parts[n] / whole * corner[i] for n, corner in CORNERS.items()) for i in (0, 1)])


def _area(chips):
    """Area of a marker: in proportion to the logarithm of the chips."""
    return 5 + 6 * np.log2(chips)


def _triangle_axes(figure):
    """The triangle with its corners, and at the right the sizes of its markers."""
    figure.set_size_inches(7.6, 5.6)
    ax = panel(figure, 0.055, 0.06, 0.675, 0.92)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.05, 0.9), aspect="equal")
    ax.axis("off")
    corners = {name: np.array(at) for name, at in CORNERS.items()}
    for name, here in corners.items():
        others = [(here + there) / 2 for n, there in corners.items() if n != name]
        ax.fill(*np.array([here, *others]).T, color=COLOUR[name], alpha=0.10, lw=0, zorder=0)
        up = name == "compute"
        x, y = here + {"memory": (0.05, -0.02), "network": (-0.05, -0.02), "compute": (0, 0.015)}[name]
        ax.text(x, y, name, color=COLOUR[name], ha="center", va="bottom" if up else "top", weight="bold")
    ax.plot(*np.array([*corners.values(), corners["memory"]]).T, color=COLOUR["total"], lw=1)
    ax.text(0.5, 0.145, "no share above a half", ha="center", va="center", fontsize=9, color=GREY)
    beside = {"transform": figure.transFigure, "clip_on": False, "ls": ""}
    for y, words in ((0.945, "runs published"), (0.675, "chips")):
        figure.text(0.70, y, words, fontsize=9.5, weight="bold", va="center")
    for i, n in enumerate(SIZES):
        ax.plot([0.715], [0.635 - 0.04 * i], marker="o", ms=_area(n) ** 0.5, mfc="none", mec=GREY, **beside)
        figure.text(0.735, 0.635 - 0.04 * i, f"{n:,}", va="center", fontsize=9.5)
    figure.text(0.70, 0.448, "open: a tenth or more\nis latency", fontsize=9, color=GREY, va="center", linespacing=1.3)
    return ax


def _runs_of(figure, ax, period, y):
    """The runs of a period as markers, faded unless the period is chosen, and their number beside the triangle."""
    *_, colour, marker = PERIODS[period]
    dots = ax.scatter([], [], marker=marker, linewidths=0.8, zorder=2, clip_on=False)
    (mark,) = ax.plot(
        [0.715], [y], marker=marker, ms=6, color=colour, ls="", transform=figure.transFigure, clip_on=False
    )
    word = figure.text(0.735, y, "", va="center", fontsize=9.5)

    def fill(table):
        chosen, chips, waits = (
            row(table).period,
            pick(table, period, "chips"),
            pick(table, period, "latency") >= WAITING,
        )
        faded = chosen not in (EVERY, period)
        tint = (*to_rgb(colour), 0.13 if faded else 0.75)
        dots.set(
            offsets=_at({c: pick(table, period, c) for c in CORNERS}) if chips.size else np.empty((0, 2)),
            sizes=_area(chips),
            facecolors=[(1, 1, 1, 0.4) if w else tint for w in waits.tolist()],
            edgecolors=[tint if w else (1, 1, 1, 0.1 if faded else 0.35) for w in waits.tolist()],
            zorder=2.2 if chosen == period else 2,
        )
        mark.set_alpha(0.25 if faded else 1)
        word.set(text=f"{period}: {chips.size:,}", color=GREY if faded else "black")

    return Mark([dots, mark, word], fill)


def _triangle_draw(figure):
    ax = _triangle_axes(figure)
    y = np.array([0.38, 0.335, 0.29, 0.245, 0.20, 0.155])
    inks = ["black", *(COLOUR[name] for name in runs.OWNERS), "black"]

    def column(x, align, words):
        return labels(ax, lambda table: (words(row(table)), x, y, inks), of="figure", align=align, size=9.5)

    def above(here):
        numbers = [f"{getattr(here, f'above_{name}'):.0f}" for name in runs.OWNERS]
        return ["above ½", *numbers, f"{here.rows_above:.0f} of {here.rows:.0f}"]

    def medians(here):
        return ["median", *(f"{100 * getattr(here, f'median_{name}'):.0f} %" for name in runs.OWNERS), ""]

    def mostly(table):
        return f"above ½ in most runs\nof {row(table).sources_above:.0f} of {row(table).sources:.0f} sources"

    def title(table):
        return f"Runs: {row(table).which}\nof each source and model the largest"

    return updating(
        *(_runs_of(figure, ax, period, 0.90 - 0.045 * i) for i, period in enumerate(PERIODS)),
        column(0.70, "left", lambda _: ["", *runs.OWNERS, "any"]),
        column(0.86, "right", above),
        column(0.975, "right", medians),
        text(figure, 0.70, 0.105, mostly, va="top", fontsize=9.5, linespacing=1.35),
        text(figure, 0.02, 0.965, title, va="top", linespacing=1.35),
    )


def _triangle_summary(table):
    here = row(table)
    counted = {name: getattr(here, f"above_{name}") for name in runs.OWNERS}
    each = ", ".join(f"{name} in {n:.0f}" for name, n in counted.items() if n) or "none"
    medians = ", ".join(f"{name} {100 * getattr(here, f'median_{name}'):.0f} %" for name in runs.OWNERS)
    waiting = np.concatenate([pick(table, name, "latency") for name in PERIODS])
    text = (
        f"Runs: {here.which}, of each source and model the largest: {here.rows:.0f} of {here.sources:.0f} sources. One share is "
        f"above a half in {here.rows_above:.0f} runs ({each}) and in most runs of {here.sources_above:.0f} sources. Median "
        f"shares: {medians}. Latency, which the picture leaves out, owns a tenth or more in "
        f"{plural(np.sum(waiting >= WAITING), 'run')}, at most {100 * waiting.max():.0f} %."
    )
    if here.period == EVERY:
        return text
    mine = {c: pick(table, here.period, c) for c in runs.OWNERS}
    if not mine["compute"].size:
        return f"{text} Published {here.period}: none."
    of_period = ", ".join(f"{n} {100 * np.median(v):.0f} %" for n, v in mine.items())
    return f"{text} Published {here.period}: {mine['compute'].size} runs, median {of_period}."


triangle = Exhibit(
    slug="15-triangle",
    title="Who owned the second.",
    caption="Published training runs, placed by the shares of their predicted step that compute, memory and "
    "network own. In a shaded corner one of them owns more than half. Counts at the right include latency.",
    alt="Triangle with corners compute, memory and network; one marker for each training run, coloured by period "
    "and sized by the number of chips; most lie near the compute corner, mixtures of experts farther from it.",
    controls={
        "which": Control(label="runs", values=SHOWN, start=SHOWN[0]),
        "period": Control(label="period", values=(EVERY, *PERIODS), start=EVERY),
    },
    table=_triangle_table,
    draw=_triangle_draw,
    summary=_triangle_summary,
)


# ---- 3: reality -----------------------------------------------------------------------------------

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


def _measured_draw(figure):
    figure.set_size_inches(7.6, 6.6)
    axes = against.panels(figure, 0.125, 0.71, (0.1, 3000), ratios=(0.2, 5), of=" time of a step")
    axes[1].set_ylabel("measured / predicted")

    def fitted(table):
        error = pick(table, "fit", "error")
        return [against.counted("fitted on", error)] if error.size else []

    styles = dict(zip(PAGES, zip(SERIES, MARKERS, strict=True), strict=True))
    head = "held out: runs,\nmean error of a run"
    return updating(against.scored(figure, axes, head=head, by="who", styles=styles, slots=len(PAGES), fitted=fitted))


def _measured_summary(table):
    held, fitted = (
        {s: np.abs(error).mean() for s, (*_, error) in against.groups(table, role, "source").items()}
        for role in ("held-out", "fit")
    )
    error = pick(table, "held-out", "error")
    worst, best = max(held, key=held.get), min(held, key=held.get)
    text = (
        f"{row(table).group}: {error.size} held-out runs of {len(held)} sources; mean absolute error of the runs "
        f"{100 * np.abs(error).mean():.0f} %, median {100 * np.median(np.abs(error)):.0f} %, mean over sources "
        f"{100 * np.mean(list(held.values())):.0f} %; from {100 * held[best]:.0f} % ({corpus.called(best)}) to "
        f"{100 * held[worst]:.0f} % ({corpus.called(worst)})."
    )
    if fitted:
        runs_of = f"{pick(table, 'fit', 'error').size} runs of {plural(len(fitted), 'source')}"
        text += f" Fitted: {runs_of}, mean over sources {100 * np.mean(list(fitted.values())):.0f} %."
    return text


measured = Exhibit(
    slug="15-measured",
    title="Does it hold?",
    caption="Measured training steps against the model's. In colour: sources that no constant was fitted on, by "
    "who measured. Grey: those that the constants came from. Choices that a source leaves open are made "
    "alike for all.",
    alt="Log-log scatter of measured against predicted times of a step, and below it their ratio, with a band of "
    "ten percent; a marker for each group of held-out sources, fitted runs small and grey.",
    controls={"group": Control(label="measurements", values=tuple(SCORED), start="dense models")},
    table=_measured_table,
    draw=_measured_draw,
    summary=_measured_summary,
)
