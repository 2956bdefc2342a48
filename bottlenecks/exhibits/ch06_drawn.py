"""Drawings for chapter 06: what a utilisation counts, to scale, and who owns a step by the width of its model."""

import re

import numpy as np

from bottlenecks.exhibits.axes import QUARTERS, panel, x_axis, y_axis
from bottlenecks.exhibits.drawn import INK, Scene, drawing, sheet
from bottlenecks.exhibits.labels import key, labels, told
from bottlenecks.exhibits.marks import line, segments, stacked_areas, updating
from bottlenecks.exhibits.registry import Control, Exhibit, names, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, si
from bottlenecks.studies import one_device, widths

# ---- 1: what is counted ---------------------------------------------------------------------------

SHEET = 7.6, 4.9
COLUMN, GAP, LEFT = 1.6, 0.24, 0.24  # inches: a pass, between two, before the first
LENGTHS = (2048, 4096, 8192, 16384, 32768, 65536)
PALE, EDGE = "#F3F1EC", "#B5B1A8"
COUNTED = {  # kinds of blocks: their colour where they are counted
    "products": COLOUR["compute"],
    "attention, needed half": COLOUR["highlight"],
    "attention, masked half": GREY,
    "embedding, looked up": GREY,
}
PRODUCTS, ATTENTION, BOTTOM = 3.06, 2.62, 0.33  # heights: foot of the products, top of the squares, last line


def _counted_table(counted, tokens):
    found = one_device.blocks(float(tokens))
    taken = np.array([one_device.counts(counted, *block) for block in found])
    flop, run = np.array(list(found.values())), one_device.mpt_run()
    rate, measured = (float(run[column][0]) for column in ("tokens_per_s_per_chip", "seq_len"))
    total, peak = one_device.counted_flop(counted, float(tokens)), one_device.divided_by(counted)
    return stack(
        block={
            "pass": [of for of, _ in found],
            "kind": [kind for _, kind in found],
            "flop_per_token": flop,
            "counted": taken.astype(float),
        },
        here={
            "name": counted,
            "tokens": tokens,
            "total_flop_per_token": total,
            "tokens_per_s": rate,
            "peak_flop_per_s": peak,
            "utilisation": rate * total / peak if tokens == measured else np.nan,
        },
    )


def square_inches_per_flop():
    """The scale of the sheet, whatever the length: the longest sequence's square of a pass fills its column."""
    of = one_device.blocks(float(LENGTHS[-1]))
    return COLUMN**2 / sum(of["forward", kind] for kind in COUNTED if kind.startswith("attention"))


def _look(kind, counted):
    return {"fill": COUNTED[kind] if counted else PALE, "edge": EDGE if not counted else "white", "lw": 0.8}


def _giga(flop):
    return plain(flop / 1e9, 3)


def _pass(scene, x, blocks):
    """The products and the square of attention of one pass: {kind: (operations per token, counted)}."""
    scale = square_inches_per_flop()
    flop, counted = blocks["products"]
    high = flop * scale / COLUMN
    scene.box(x, PRODUCTS, COLUMN, high, **_look("products", counted))
    colour = "white" if counted else GREY
    scene.words(x + COLUMN / 2, PRODUCTS + high / 2, f"products {_giga(flop)}", color=colour, weight="bold", size=9.5)
    (needed, seen), (masked, covered) = (blocks[kind] for kind in list(COUNTED)[1:3])
    side = np.sqrt((needed + masked) * scale)
    corner, low, right = (x, ATTENTION), (x, ATTENTION - side), (x + side, ATTENTION - side)
    scene.shape([corner, low, right], **_look("attention, needed half", seen))
    scene.shape([corner, (x + side, ATTENTION), right], **_look("attention, masked half", covered))
    scene.words(x, ATTENTION - side - 0.16, f"needed {_giga(needed)}", size=9, align="left")
    scene.words(x, ATTENTION - side - 0.33, f"masked {_giga(masked)}", size=9, align="left", color=GREY)


def _embedding(scene, flop, counted):
    side = np.sqrt(flop * square_inches_per_flop())
    scene.box(LEFT, BOTTOM - side / 2, side, side, **_look("embedding, looked up", counted))
    words = f"embedding: {_giga(flop)} if it were multiplied; it is only looked up"
    scene.words(LEFT + side + 0.1, BOTTOM, words, size=9, align="left", color=INK if counted else GREY)


def _told(here):
    """The number counted, and the utilisation at the length that was measured."""
    total = f"{_giga(here.total_flop_per_token)} GFLOP per token counted"
    if not np.isfinite(here.utilisation):
        return f"{total}, sequences of {here.tokens:,.0f} tokens", "the utilisation is told at 65,536 tokens"
    rate = f"× {here.tokens_per_s:,.0f} tokens/s = {si(here.total_flop_per_token * here.tokens_per_s, 'FLOP/s')}"
    peak = si(here.peak_flop_per_s, "FLOP/s")
    return f"{total} {rate}", f"over a peak of {peak}: {plain(100 * here.utilisation, 3)} %"


def counted_scene(table):
    """Operations of one token, those that are counted in colour."""
    scene, here = Scene(), row(table)
    found = {}
    for of, kind, flop, counted in zip(*pick(table, "block", "pass", "kind", "flop_per_token", "counted"), strict=True):
        found.setdefault(str(of), {})[str(kind)] = float(flop), bool(counted)
    first, second = _told(here)
    scene.words(LEFT, 4.7, here.name, size=10.5, align="left", weight="bold")
    scene.words(LEFT, 4.48, first, align="left")
    scene.words(LEFT, 4.28, second, align="left", weight="bold")
    for i, blocks in enumerate(found.values()):
        _pass(scene, LEFT + i * (COLUMN + GAP), blocks)
    for words, first, last in (("forward", 0, 0), ("backward, worth two passes", 1, 2), ("forward, again", 3, 3)):
        left, right = (LEFT + i * (COLUMN + GAP) for i in (first, last))
        scene.words(left, 3.96, words, align="left")
        scene.brace((left, 3.82), (right + COLUMN, 3.82), 0.06)
    scene.words(LEFT, ATTENTION + 0.16, "attention: a line for each query, a column for each key", size=9, align="left")
    embedding = [blocks["embedding, looked up"] for blocks in found.values() if "embedding, looked up" in blocks]
    _embedding(scene, sum(flop for flop, _ in embedding), embedding[0][1])
    scene.words(SHEET[0] - LEFT, BOTTOM, "areas to scale, GFLOP per token", size=9, align="right", color=GREY)
    return scene


def _counted_draw(figure):
    return updating(drawing(sheet(figure, *SHEET), counted_scene))


def _counted_summary(table):
    here = row(table)
    kinds, flop = pick(table, "block", "kind", "flop_per_token")
    of = pick(table, "block", "pass") != one_device.PASSES[-1]
    products, needed = (flop[of & (kinds == kind)].sum() for kind in one_device.NEEDED)
    told_at = f": {plain(100 * here.utilisation, 3)} % of the peak" if np.isfinite(here.utilisation) else ""
    return (
        f"{here.name}: {_giga(here.total_flop_per_token)} GFLOP per token at {here.tokens:,.0f} tokens{told_at}. Products need "
        f"{_giga(products)} GFLOP, the needed half of attention {_giga(needed)}."
    )


counted = Exhibit(
    slug="06-counted",
    title="What a utilisation counts.",
    caption="One token of MPT-7B, a pass per column; pale is left out of the count. The rate is that of 65,536 tokens. "
    "How far apart are needed and recomputed there, and how far at 2,048 tokens?",
    alt="Drawing in four columns, one for each pass: a rectangle for the products with weights, below it the square of "
    "attention cut by its diagonal into a needed and a masked half; a small square for the embedding.",
    controls={
        "counted": Control(
            label="what is counted", values=tuple(one_device.COUNTED), start="needed, over the dense peak"
        ),
        "tokens": Control(label="tokens of a sequence", values=LENGTHS, start=65536),
    },
    table=_counted_table,
    draw=_counted_draw,
    summary=_counted_summary,
    sources=names("llmfoundry_h100"),
)


# ---- 2: the width from which products own the step ----------------------------------------------------

OWNERS = {  # as `one_device.OWNERS`: words, colour
    "products": ("products", COLOUR["compute"]),
    "other arithmetic": ("other arithmetic", COLOUR["highlight"]),
    "memory": ("memory", COLOUR["memory"]),
    "cache": ("last cache", COLOUR["cache"]),
    "latency": ("starts of kernels", COLOUR["latency"]),
}
MOST = 0.9  # of the step, which the question asks for
CHIPS = names("V100 SXM2 32GB, A100 SXM 80GB, H100 SXM5")
ATTENTIONS = {"scores written out": False, "fused": True}


def _widths_table(chip_name, tokens, attention):
    setting = chip_name, int(tokens), ATTENTIONS[attention]
    models = {}
    for name, place in widths.published(*setting).items():
        models.setdefault(place, []).append(re.split(r"-LM|-large|[- ][\d.]+B", name)[0])
    d, share = np.array(list(models)).T
    return stack(
        swept={"width": widths.WIDTHS, **widths.swept(*setting)},
        model={"width": d, "products": share, "name": [", ".join(each) for each in models.values()]},
        here={
            "chip": chip_name,
            "tokens": tokens,
            "attention": attention,
            "width": widths.width_of(MOST, *setting),
            "most": widths.swept(*setting)["products"].max(),
        },
    )


def _answer(here):
    if np.isfinite(here.width):
        return f"nine tenths from a width of {plain(here.width, 2)}"
    return f"products own {plain(100 * here.most, 2)} % at most"


def _widths_draw(figure):
    figure.set_size_inches(7.6, 4.9)
    ax = panel(figure, 0.112, 0.115, 0.955, 0.775)
    x_axis(ax, "width of the model", 512, 20800, ticks={v: f"{v:,}" for v in (1024, *range(4096, 20481, 4096))})
    y_axis(ax, "share of the step", 0, 1, ticks=QUARTERS | {MOST: "90 %"})
    key(figure, dict(OWNERS.values()), 0.02, 0.895)

    def parts(table):
        return pick(table, "swept", "width"), np.array(pick(table, "swept", *OWNERS))

    def hangers(table):
        d, share = pick(table, "model", "width", "products")
        return np.stack([np.stack([d, share], 1), np.stack([d, 0 * d + 1.02], 1)], 1)

    def called(table):
        d, name = pick(table, "model", "width", "name")
        lines = [
            (word, x, 1.05 + 0.052 * up)
            for x, n in zip(d, name, strict=True)
            for up, word in enumerate(n.split(", ")[::-1])
        ]
        return tuple(zip(*lines, strict=True))

    def crossing(table):
        d = row(table).width
        return np.array([[(d, 0), (d, MOST)]]) if np.isfinite(d) else []

    nine = np.array([[(512, MOST), (20800, MOST)]])
    return updating(
        stacked_areas(ax, [colour for _, colour in OWNERS.values()], parts),
        segments(ax, lambda table: nine, colors="black", linewidths=1.2, linestyles=":"),
        segments(ax, crossing, colors="black", linewidths=1.6),
        segments(ax, hangers, colors="#222222", linewidths=0.7, clip_on=False),
        line(
            ax,
            lambda table: pick(table, "model", "width", "products"),
            marker="o",
            ls="",
            ms=6,
            mfc="white",
            mec="black",
            mew=1.1,
            zorder=3,
        ),
        labels(ax, called, size=9, align="center"),
        told(
            figure,
            lambda table: (
                f"{row(table).chip}, {row(table).tokens:,.0f} tokens, {row(table).attention}: {_answer(row(table))}"
            ),
            "head",
            fontsize=10.5,
            weight="bold",
        ),
    )


def _widths_summary(table):
    here = row(table)
    d, products = pick(table, "swept", "width", "products")
    return (
        f"{here.chip}, sequences of {here.tokens:,.0f} tokens, {here.attention}: products own {plain(100 * products[0], 2)} % of the step at a "
        f"width of {d[0]:,.0f} and {plain(100 * products[-1], 2)} % at {d[-1]:,.0f}; {_answer(here)}."
    )


by_width = Exhibit(
    slug="06-width",
    title="The wider the model, the more its products own.",
    caption="A modelled training step on one chip, layers of a GPT alone, 8,192 tokens at once; circles: products in layers of "
    "published shapes. At which width do products own nine tenths?",
    alt="Stacked areas over the width of a model: products, other arithmetic, memory, last cache and starts of kernels; a dotted "
    "line at nine tenths and a circle for each published model, with its name above.",
    controls={
        "chip_name": Control(label="chip", values=CHIPS, start="A100 SXM 80GB"),
        "tokens": Control(label="tokens of a sequence", values=(512, 2048, 8192), start=2048),
        "attention": Control(label="attention", values=tuple(ATTENTIONS), start="scores written out"),
    },
    table=_widths_table,
    draw=_widths_draw,
    summary=_widths_summary,
    sources=names("shoeybi2019megatron, brown2020gpt3, palm_t3, gptneox20b, bloom2022"),
)
