"""Figures for chapter 07: attention's share of four bills, where it passes half, measured kernels, forms and what they lose."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import QUARTERS, panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import apart, key, labels, text
from bottlenecks.exhibits.marks import circles, curve, level, line, segments, stems, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip as chip_of
from bottlenecks.facts.units import counted, plain, si
from bottlenecks.measured import scores
from bottlenecks.models import kernels
from bottlenecks.studies import attention, forms

LOOK = {  # bill: colour, dash, words
    "operations": (COLOUR["compute"], "-", "operations"),
    "traffic": (COLOUR["memory"], "--", "bytes moved"),
    "memory": (COLOUR["cache"], (0, (5, 1)), "bytes kept (scores)"),
    "time": (COLOUR["total"], "-.", "time on an H100"),
}
TRAINED = {  # model: tokens of a sequence in the main part of its training
    "GPT-2 XL": 1024,
    "GPT-3 175B": 2048,
    "LLaMA-65B": 2048,
    "Llama-2-70B": 4096,
    "Llama-3-8B": 8192,
    "Llama-3.1-405B": 8192,
    "DeepSeek-V3": 4096,
    "Kimi-K2": 4096,
    "Qwen3-235B-A22B": 4096,
}
TOKENS = {10.0**n: w for n, w in ((2, "100"), (3, "1,000"), (4, "10,000"), (5, "100,000"), (6, "1 million"))}
PROGRAMS = tuple(attention.PROGRAMS)


def _tokens(value):
    return "never" if not np.isfinite(value) else plain(value, 3)


# ---- four bills --------------------------------------------------------------------------------------


@keep
def _bills_table(name, program):
    found = attention.shares(model(name), attention.CONTEXTS, program=program)
    at = attention.crossings(name, program)
    return stack(
        bill={"context": attention.CONTEXTS, **found},
        here={
            "name": name,
            "program": program,
            "trained": TRAINED[name],
            **{f"half_{bill}": at[bill] for bill in LOOK},
        },
    )


def _bills_draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = panel(figure, 0.105, 0.115, 0.975, 0.785)
    x_axis(ax, "tokens of a sequence", 128, 4.2e6, log="", ticks=TOKENS)
    y_axis(ax, "attention's share", 0, 1.0, ticks=QUARTERS)
    key(figure, {words: colour for colour, _, words in LOOK.values()}, 0.09, 0.835)

    def halves(table):
        here = row(table)
        x = np.array([getattr(here, f"half_{bill}") for bill in LOOK])
        return x[np.isfinite(x)], np.full(np.isfinite(x).sum(), 0.5)

    def words(table):
        here = row(table)
        named = [(_tokens(getattr(here, f"half_{bill}")), LOOK[bill][2].removesuffix(" on an H100")) for bill in LOOK]
        return f"{here.name}, attention {here.program}\nhalf of " + ", ".join(f"{w}: {t}" for t, w in named)

    return updating(
        level(ax, lambda _: 0.5, color="#B0B0B0", lw=1.0, ls=":"),
        upright(ax, lambda table: row(table).trained, color="#B8B8B8", lw=6, alpha=0.45, zorder=0),
        text(ax, lambda table: row(table).trained * 0.9, 0.965, "trained at", fontsize=9, color=GREY, ha="right"),
        *(curve(ax, "bill", "context", b, color=c, linestyle=dash) for b, (c, dash, _) in LOOK.items()),
        line(ax, halves, marker="D", ms=7, ls="", color=COLOUR["highlight"], mec="black", mew=0.8, zorder=6),
        text(ax, -0.095, 1.165, words, of="axes", fontsize=10.5, weight="bold", linespacing=1.5),
    )


def _bills_summary(table):
    here = row(table)
    told = ", ".join(f"{LOOK[b][2]} {_tokens(getattr(here, f'half_{b}'))}" for b in LOOK)
    return f"{here.name}, attention {here.program}; tokens at which attention passes half of each bill: {told}; trained at {counted(here.trained)}."


bills = Exhibit(
    slug="07-bills",
    title="Four bills for one square.",
    caption="A layer's training, forward and backward, one sequence. Diamonds: attention has half. Grey: the context of the "
    "model's training. Choose GPT-3, then fuse its attention: which diamonds vanish?",
    alt="Four curves from near zero at short contexts to nearly one at long ones: bytes kept and bytes moved rise first, time next, operations last.",
    controls={
        "name": Control(label="model", values=tuple(TRAINED), start="GPT-3 175B"),
        "program": Control(label="attention", values=PROGRAMS, start=PROGRAMS[0]),
    },
    table=_bills_table,
    draw=_bills_draw,
    summary=_bills_summary,
)


# ---- where each model crosses ------------------------------------------------------------------------


@keep
def _crossings_table(program):
    at = {name: attention.crossings(name, program) for name in TRAINED}
    return stack(
        model={
            "name": np.array(list(TRAINED)),
            "at": np.arange(len(TRAINED)) * 1.0,
            "trained": np.array(list(TRAINED.values()), dtype=float),
            **{bill: np.array([at[name][bill] for name in TRAINED]) for bill in LOOK},
        },
        here={"program": program},
    )


def _crossings_draw(figure):
    figure.set_size_inches(7.6, 4.6)
    ax = panel(figure, 0.195, 0.12, 0.975, 0.84)
    x_axis(
        ax,
        "tokens of a sequence at which attention has half of the bill",
        300,
        4e5,
        log="",
        ticks={x: w for x, w in TOKENS.items() if x < 1e6},
    )
    rows(ax, list(TRAINED), size=9.5)
    key(figure, {LOOK[b][2]: LOOK[b][0] for b in LOOK} | {"trained at": "#B8B8B8"}, 0.02, 0.90, size=9)

    def between(table):
        at, high = pick(table, "model", "at", "trained")
        ends = np.stack([pick(table, "model", b) for b in LOOK] + [high])
        ends = np.where(np.isfinite(ends), ends, np.nan)
        return [((a, y), (b, y)) for y, a, b in zip(at, np.nanmin(ends, 0), np.nanmax(ends, 0), strict=True)]

    marks = {"operations": "o", "traffic": "s", "memory": "D", "time": "^"}
    return updating(
        segments(ax, between, colors="#E0E0E0", linewidths=1.2, zorder=1),
        curve(ax, "model", "trained", "at", marker="|", ms=19, mew=5, ls="", color="#B8B8B8", zorder=2),
        *(curve(ax, "model", b, "at", marker=m, ms=7, ls="", color=LOOK[b][0], zorder=4) for b, m in marks.items()),
        text(ax, -0.2, 1.12, lambda table: f"Attention {row(table).program}", of="axes", fontsize=11, weight="bold"),
    )


def _crossings_summary(table):
    x, trained = pick(table, "model", "operations", "trained")
    before = {b: int(np.sum(pick(table, "model", b) <= trained)) for b in LOOK}
    return (
        f"Attention {row(table).program}: half of the operations from {plain(x.min(), 2)} to {plain(x.max(), 2)} tokens; at the context of its training "
        f"half is passed in bytes kept by {before['memory']}, in bytes moved by {before['traffic']}, in time by {before['time']} of {x.size} models."
    )


crossings = Exhibit(
    slug="07-crossings",
    title="Where attention has half.",
    caption="Nine models by age. Grey bars: the context of the main part of training. A mark left of its bar was passed before training began. "
    "Which marks ever are?",
    alt="A row for each model with marks on a logarithmic axis of tokens: bytes kept and moved near a thousand, time near ten thousand, operations from ten thousand to two hundred thousand.",
    controls={"program": Control(label="attention", values=PROGRAMS, start=PROGRAMS[0])},
    table=_crossings_table,
    draw=_crossings_draw,
    summary=_crossings_summary,
)


# ---- the runs of each year ---------------------------------------------------------------------------

NAMED_RUNS = ("GPT-3 175B", "DeepSeek-V2 236B (MoE)")
NAMED_PHASES = ("Llama 3.1 405B", "DeepSeek-V3", "MiniMax-Text-01", "GLM-5")
COUNTS = ("share of the operations", "context")


@keep
def _runs_table(what):
    found = attention.runs()
    return stack(
        run={n: found[n] for n in ("name", "year", "context", "share")}
        | {"long": found["long"] * 1.0, "value": found["share"] if what == COUNTS[0] else found["context"]},
        here={
            "what": what,
            "most_main": found["share"][~found["long"]].max(),
            "median_early": float(np.median(found["share"][~found["long"] & (found["year"] < 2023)])),
            "over_half": int(np.sum(found["long"] & (found["share"] > attention.HALF))),
            "phases": int(found["long"].sum()),
        },
    )


def _runs_draw(figure):
    ax = panel(figure, 0.13, 0.09, 0.975, 0.86)
    x_axis(ax, "", 2018.2, 2026.8, ticks={y: str(y) for y in range(2019, 2027)})
    y_axis(ax, "", 0, 1, ticks=QUARTERS)

    def of(long):
        def points(table):
            year, value, mine = pick(table, "run", "year", "value", "long")
            return year[mine == long], value[mine == long]

        return points

    def limits(table):
        if row(table).what == COUNTS[0]:
            y_axis(
                ax, "attention's share of the operations", 0, 0.9, ticks={x: w for x, w in QUARTERS.items() if x < 1}
            )
        else:
            y_axis(ax, "tokens of a sequence", 300, 2e6, log="", ticks=TOKENS)
        return f"{row(table).over_half:.0f} of {row(table).phases:.0f} long phases give attention more than half; of the main parts none"

    def names(table):
        found = pick(table, "run", "name").tolist()
        year, value, long = pick(table, "run", "year", "value", "long")
        log = row(table).what == COUNTS[1]
        mine = [i for i, n in enumerate(found) if n in NAMED_RUNS and not long[i]]
        mine += [
            i
            for i in np.flatnonzero(long)
            if found[i] in NAMED_PHASES and value[i] == max(value[np.array(found) == found[i]])
        ]
        size = 0.13 if log else 0.042  # of a line of words, in the axis
        height = apart(np.log(value[mine]) + 0.2 if log else value[mine] + 0.03, 2.4 * size if log else size)
        return [found[i].removesuffix(" (MoE)") for i in mine], year[mine] - 0.1, np.exp(height) if log else height

    return updating(
        text(ax, -0.1, 1.07, limits, of="axes", fontsize=10.5, weight="bold"),
        level(ax, lambda table: 0.5 if row(table).what == COUNTS[0] else 1e-9, color="#B0B0B0", ls=":", lw=1),
        line(ax, of(0.0), marker="o", ms=5.5, ls="", mfc="white", mec=COLOUR["measured"], mew=1.3),
        line(ax, of(1.0), marker="D", ms=7, ls="", color=COLOUR["compute"], mec="black", mew=0.6),
        labels(ax, names, align="right", size=8.5),
    )


def _runs_summary(table):
    here = row(table)
    return (
        f"Shown: {here.what}. Up to 2022 the median run gave {here.median_early:.1%} of its operations to attention, and no main part of any run more than "
        f"{here.most_main:.0%}; of {here.phases:.0f} long phases {here.over_half:.0f} gave more than half."
    )


runs = Exhibit(
    slug="07-runs",
    title="What attention took in the runs of each year.",
    caption="Circles: the main part of a run. Diamonds: late phases with long sequences. Share of the operations needed, at the context "
    "of that year. In which year does attention first pass half?",
    alt="Circles from 2018 to 2026 between one and twenty percent, and diamonds from 2024 on between six and eighty-two.",
    controls={"what": Control(label="show", values=COUNTS, start=COUNTS[0])},
    table=_runs_table,
    draw=_runs_draw,
    summary=_runs_summary,
    rescales=True,
)


# ---- measured kernels --------------------------------------------------------------------------------

MEASURED = {  # words: names that sources use, implementation of the model, colour
    "written out": (("PyTorch standard",), "unfused", SERIES[0]),
    "FlashAttention-1": (("FlashAttention-1",), "fused, first", SERIES[2]),
    "FlashAttention-2": (("FlashAttention-2",), "fused", SERIES[1]),
}
CHIPS = {"A100": "A100 SXM 80GB", "H100": "H100 SXM5"}
HEADS = {"64 values a head": 64, "128 values a head": 128}
MASKS = {"causal": 1.0, "no mask": 0.0}
TOTAL_TOKENS, WIDTH = 16384, 2048  # of every measured call: sequences times their tokens, heads times their values


@keep
def _kernels_table(chip, head, mask):
    found, predicted = corpus.table("kernels"), scores.table("kernels")
    mine = (
        (found["pass"] == "both")
        & (found["chip_name"] == CHIPS[chip])
        & (found["head_dim"] == HEADS[head])
        & (found["causal"] == MASKS[mask])
    )
    device = kernels.device(chip_of(CHIPS[chip]))
    values = HEADS[head]
    series = {}
    for words, (names, kind, _) in MEASURED.items():
        which = mine & np.isin(found["implementation"], names)
        series[words] = {
            "context": found["seq_len"][which],
            "measured": found["flop_per_s"][which],
            "ratio": predicted["ratio"][which],
        }
        context = np.geomspace(512, found["seq_len"][which].max(), 60)
        shape = {
            "batch": TOTAL_TOKENS / context,
            "heads": WIDTH / values,
            "kv_heads": WIDTH / values,
            "head_values": values,
            "device": device,
        }
        seconds = kernels.attention_s(
            context, context, causal=mask == "causal", backward=True, implementation=kind, **shape
        )
        flop = 3.5 * 4 * context * TOTAL_TOKENS * WIDTH / (2 if mask == "causal" else 1)  # as the sources count
        series[f"{words}, model"] = {"context": context, "predicted": flop / seconds}
    every = np.concatenate([np.abs(np.log(series[w]["ratio"])) for w in MEASURED])
    return stack(
        here={"chip": chip, "head": head, "mask": mask, "error": float(np.nanmean(every)), "rows": every.size}, **series
    )


def _kernels_draw(figure):
    figure.set_size_inches(7.6, 4.5)
    ax = panel(figure, 0.105, 0.125, 0.975, 0.82)
    x_axis(
        ax, "tokens of a sequence, 16,384 in all", 450, 18500, log="", ticks={2**n: f"{2**n:,}" for n in range(9, 15)}
    )
    y_axis(ax, "TFLOP/s, forward and backward", 0, 4.1e14, ticks={1e14 * n: f"{100 * n}" for n in range(5)})
    key(figure, {words: colour for words, (_, _, colour) in MEASURED.items()}, 0.1, 0.885)
    marks = []
    for words, (_, _, colour) in MEASURED.items():
        marks.append(curve(ax, f"{words}, model", "context", "predicted", color=colour))
        marks.append(circles(ax, words, "context", "measured", mec=colour))

    def telling(table):
        here = row(table)
        ax.set_ylim(0, {"A100": 2.3e14, "H100": 4.1e14}[here.chip])
        return f"{here.chip}, {here.head}, {here.mask}: mean error {100 * here.error:.0f} % on {here.rows:.0f} calls"

    return updating(*marks, text(ax, -0.1, 1.13, telling, of="axes", fontsize=10.5, weight="bold"))


def _kernels_summary(table):
    here = row(table)
    best = max(pick(table, w, "measured").max() for w in MEASURED)
    return (
        f"{here.chip}, {here.head}, {here.mask}: {here.rows:.0f} measured calls, mean error of the model {100 * here.error:.0f} %; the fastest reaches "
        f"{si(best, 'FLOP/s', 3)}."
    )


kernels_measured = Exhibit(
    slug="07-kernels",
    title="Measured calls of attention, and the model.",
    caption="Circles: published benchmarks. Lines: eq:attention-time. No constant is fitted on attention. "
    "How much does the first fused kernel gain over the written one, and how much the second over the first?",
    alt="Rates of attention against tokens of a sequence: three curves with circles on them, FlashAttention-2 highest, the written-out kernel lowest and ending at 8,192 tokens.",
    controls={
        "chip": Control(label="chip", values=tuple(CHIPS), start="A100"),
        "head": Control(label="heads", values=tuple(HEADS), start="128 values a head"),
        "mask": Control(label="mask", values=tuple(MASKS), start="causal"),
    },
    table=_kernels_table,
    draw=_kernels_draw,
    summary=_kernels_summary,
    rescales=True,
)


# ---- forms -------------------------------------------------------------------------------------------

KIND = {"all pairs": SERIES[0], "fewer pairs": SERIES[1], "a state": SERIES[2]}
SHOWN = {
    "operations": "operations\nof a prompt",
    "read": "bytes read\nper decoded token",
    "kept": "bytes kept\nof a sequence",
}


@keep
def _forms_table(context):
    usual = forms.costs(forms.forms()[forms.TODAY], context)
    kinds = forms.about("kind")
    found = {each: [] for each in SHOWN}
    for m in forms.forms().values():
        mine = forms.costs(m, context)
        for each in SHOWN:
            found[each].append(float(mine[each] / usual[each]))
    return stack(
        form={"name": np.array(list(kinds)), "kind": np.array(list(kinds.values())), "at": np.arange(len(kinds)) * 1.0}
        | {each: np.array(values) for each, values in found.items()},
        here={"context": context, **{f"usual_{each}": float(usual[each]) for each in SHOWN}},
    )


def _forms_draw(figure):
    figure.set_size_inches(7.6, 5.0)
    marks = []
    names, used = forms.about("kind"), forms.about("used_by")
    for i, (each, title) in enumerate(SHOWN.items()):
        left = 0.415 + i * 0.197
        ax = panel(figure, left, 0.09, left + 0.17, 0.815)
        x_axis(ax, "", 0.002, 9, log="", ticks={0.01: "1 %", 0.1: "10 %", 1: "same"})
        ax.tick_params(axis="x", labelsize=8.5)
        rows(ax, [f"{n} ({used[n]})" for n in names], size=8, labelled=i == 0)
        ax.axvline(1, color="#B0B0B0", lw=1)
        ax.set_title(title, fontsize=9.5)

        def points(table, kind, each=each):
            at, x, mine = pick(table, "form", "at", each, "kind")
            return x[mine == kind], at[mine == kind]

        marks.append(stems(ax, 1, lambda table, each=each: pick(table, "form", each, "at")))
        for kind, colour in KIND.items():
            marks.append(
                line(ax, lambda table, k=kind, p=points: p(table, k), marker="o", ms=7, ls="", color=colour, zorder=4)
            )
    key(figure, KIND, 0.015, 0.905, size=9)
    head = figure.axes[0]
    marks.append(
        text(
            head,
            -2.35,
            1.21,
            lambda table: f"{row(table).context:,.0f} tokens, beside the usual form, keys for groups of 4 heads",
            of="axes",
            fontsize=11,
            weight="bold",
        )
    )
    return updating(*marks)


def _forms_summary(table):
    here = row(table)
    names, read = pick(table, "form", "name").tolist(), pick(table, "form", "read")
    index, pooled = (
        float(read[names.index(n)]) for n in ("an index chooses 2,048 latents", "pooled latents and an index")
    )
    return (
        f"At {here.context:,.0f} tokens the usual form keeps and reads {si(here.usual_kept, 'B', 3)}; the index form reads {index:.2%} of that for a decoded token, "
        f"pooled latents {pooled:.2%}."
    )


forms_shown = Exhibit(
    slug="07-forms",
    title="Which bill does each form of attention cut?",
    caption="One body (32 layers of 4,096 values), eleven forms, each with the sizes of the model named. Move the context: which form costs more than today's usual one, "
    "and until when?",
    alt="Three columns of dots, a row for each form of attention, relative to grouped keys: operations of a prompt, bytes read for a decoded token, bytes kept.",
    controls={
        "context": Control(
            label="tokens of context", values=(1024.0, 4096.0, 16384.0, 32768.0, 131072.0, 1048576.0), start=32768.0
        )
    },
    table=_forms_table,
    draw=_forms_draw,
    summary=_forms_summary,
)


# ---- what they lose ----------------------------------------------------------------------------------


@keep
def _quality_table():
    found = forms.quality()
    order = np.lexsort((-found["points"], [list(KIND).index(k) for k in found["kind"].tolist()]))
    return stack(
        test={
            "name": np.array(
                [f"{f}: {b}, {m}" for f, b, m in zip(found["form"], found["benchmark"], found["model"], strict=True)]
            )[order],
            "points": found["points"][order],
            "recall": found["long"][order] * 1.0,
            "scratch": found["scratch"][order] * 1.0,
            "at": np.arange(order.size) * 1.0,
        },
        here={"worst": float(found["points"].min()), "best": float(found["points"].max()), "rows": order.size},
    )


def _quality_draw(figure):
    figure.set_size_inches(7.6, 5.9)
    ax = panel(figure, 0.545, 0.095, 0.965, 0.87)
    x_axis(ax, "points beside full attention", -33, 8, ticks={-30: "−30", -20: "−20", -10: "−10", 0: "0", 5: "+5"})
    names = pick(_quality_table(), "test", "name").tolist()
    rows(ax, names, size=8)
    ax.axvline(0, color="#909090", lw=1)
    key(figure, {"other tests": SERIES[0], "tests of recall": SERIES[1]}, 0.55, 0.905)
    figure.text(
        0.012,
        0.965,
        "filled: trained so from the first token; hollow: put into a finished model",
        fontsize=10.5,
        weight="bold",
        va="center",
    )

    def of(recall, scratch):
        def points(table):
            x, at, mine, begun = pick(table, "test", "points", "at", "recall", "scratch")
            return x[(mine == recall) & (begun == scratch)], at[(mine == recall) & (begun == scratch)]

        return points

    marks = [
        line(ax, of(recall, scratch), marker=m, ms=7, ls="", mec=c, mfc=c if scratch else "white", mew=1.4, zorder=4)
        for recall, (m, c) in enumerate((("o", SERIES[0]), ("D", SERIES[1])))
        for scratch in (0, 1)
    ]
    return updating(stems(ax, 0, lambda table: pick(table, "test", "points", "at")), *marks)


def _quality_summary(table):
    here = row(table)
    return f"{here.rows:.0f} published comparisons at one size: from {here.worst:.0f} points to {here.best:+.0f}."


quality = Exhibit(
    slug="07-quality",
    title="What each form loses.",
    caption="Published comparisons with full attention at the same size, as their authors print them. Scores of different tests are "
    "different points. Which kind of test falls furthest?",
    alt="A dot for each comparison left or right of zero: most within five points, recall from long texts down to minus thirty.",
    table=_quality_table,
    draw=_quality_draw,
    summary=_quality_summary,
)
