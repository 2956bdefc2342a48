"""Drawing of chapter 15: how the groups of a published layout lie on its machines."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.ch14 import ERA
from bottlenecks.exhibits.drawn_parts import HEADLINE, INK, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plural
from bottlenecks.models.machine import machine
from bottlenecks.studies import splitting

PUBLISHED = {  # words: source and row of the run, model, chip
    "Llama-3.1-405B, 8k (2024)": ("llama3_t4", 1, "Llama-3.1-405B", "H100 SXM5"),
    "Llama-3.1-405B, 128k (2024)": ("llama3_t4", 2, "Llama-3.1-405B", "H100 SXM5"),
    "GPT-145.6B (2021)": ("megatron2021_t1", 6, "GPT-145.6B", "A100 SXM 80GB"),
    "GPT-1008B (2021)": ("megatron2021_t1", 9, "GPT-1008B", "A100 SXM 80GB"),
}
GROUPS = {  # dimension: colour of its outline
    "tensor": COLOUR["compute"],
    "context": COLOUR["latency"],
    "pipeline": INK,
    "data": COLOUR["network"],
}
INSIDE = 8  # chips of a machine
ALL, ONE = (20, 250, 116, 420), (318, 740, 116, 420)  # left, right, top, bottom: all copies; one of them
LIST = (466, 24, 300, 180)  # top, distance, left of the bars, the longest
MOST = 46  # pixels of a chip


@keep
def _groups_table(run):
    source, line, name, on = PUBLISHED[run]
    m, x = model(name), splitting.published(source, line)
    prices = {found["dimension"]: found for found in splitting.price_table(m, x, machine(chip(on)), ERA)}
    sent, ranks = splitting.sent_bytes(m, x), {"tensor": x.tp, "context": x.cp, "pipeline": x.pp, "data": x.dp}
    here = [name for name in GROUPS if name in prices]
    return stack(
        group={
            "group": here,
            "ranks": np.array([ranks[name] for name in here]),
            "sent_bytes": np.array([float(sent[name]) for name in here]),
            "sent": [prices[name]["a chip sends in a step"] for name in here],
            "exposed": [prices[name]["not hidden"] for name in here],
        },
        here={"run": run, "chip": on, **ranks, "chips": x.chips, "machines": x.chips / INSIDE},
    )


def _shade(share):
    """The colour of a stage, from the first, pale, to the last."""
    pale, deep = np.array([0.90, 0.93, 0.96]), np.array([0.36, 0.53, 0.67])
    return [tuple(pale + s * (deep - pale)) for s in np.ravel(share)]


def copies_places(table):
    """Edges of the machines: a row for each copy, in it the machines of stage after stage."""
    here, (left, right, top, bottom) = row(table), ALL
    across = round(here.tensor * here.context * here.pipeline / INSIDE)
    x, y = (
        left + np.arange(across) / across * (right - left),
        top + np.arange(round(here.data))[:, None] / here.data * (bottom - top),
    )
    return flat(x, x + (right - left) / across, y, y + (bottom - top) / here.data)


def chips_places(table):
    """Edges of the chips of one copy: a row for each stage, in it the ranks of tensor groups, machine by machine."""
    here, (left, right, top, bottom) = row(table), ONE
    across, stages = round(here.tensor * here.context), round(here.pipeline)
    gap = 6 if across <= 64 else 4
    wide = min((right - left - gap * (across / INSIDE - 1)) / across, MOST)
    i = np.arange(across)
    x, y = left + i * wide + i // INSIDE * gap, top + np.arange(stages)[:, None] / stages * (bottom - top)
    tall = (bottom - top) / stages
    return flat(x, x + wide * 0.9, y, y + tall * (0.86 if tall > 8 else 1))


def _marked(table, name):
    """The outline of the group of a dimension that has chip 1."""
    here, chips = row(table), chips_places(table)
    across = round(here.tensor * here.context)
    if name == "tensor":
        mine = chips[:, : round(here.tensor)]
        return outlines((mine[0].min() - 3, mine[1].max() + 2, mine[2].min() - 3, mine[3].max() + 2))
    if name == "pipeline":
        mine = chips[:, ::across]
        return outlines((mine[0].min() - 5, mine[1].max() + 1, mine[2].min() - 5, mine[3].max() + 4))
    if name == "context" and here.context > 1:
        x0, x1, y0, y1 = chips[:, : across : round(here.tensor)]
        return outlines((x0 - 1, x1 + 1, y0 - 8, y1 + 6))
    if name == "data":
        x0, x1, y0, y1 = copies_places(table)[:, 0]
        return outlines((x0 - 3, max(x1, x0 + 3) + 2, y0 - 3, ALL[3] + 3))
    return []


def _groups_list(ax):
    """Below: what a chip sends in each of its groups."""
    first, apart, left, longest = LIST

    def at(table):
        return first + apart * np.arange(pick(table, "group", "group").size)

    def words(table):
        here, names = row(table), pick(table, "group", "group").tolist()
        where = {
            "tensor": f"{here.tensor:.0f} chips of one machine",
            "context": f"{here.context:.0f} machines of a stage",
            "pipeline": f"{here.pipeline:.0f} stages of a copy",
            "data": f"{here.data:.0f} copies",
        }
        return [f"{name}: {where[name]}" for name in names], 44, at(table)

    def bars(table):
        sent, y = pick(table, "group", "sent_bytes"), at(table)
        return flat(left, left + longest * sent / sent.max(), y - 7, y + 7)

    def sizes(table):
        sent, told, exposed = pick(table, "group", "sent_bytes", "sent", "exposed")
        texts = [f"{a}, {b} not hidden" for a, b in zip(told.tolist(), exposed.tolist(), strict=True)]
        return texts, left + longest * sent / sent.max() + 8, at(table)

    def colours(table):
        return [GROUPS[name] for name in pick(table, "group", "group").tolist()]

    return (
        boxes(ax, lambda t: flat(22, 34, at(t) - 6, at(t) + 6), colours),
        labels(ax, words, size=9.5),
        boxes(ax, bars, colours),
        labels(ax, sizes, size=9.5),
    )


def _groups_draw(figure):
    ax = page(figure, 556)

    def telling(table):
        here = row(table)
        return f"{here.run}: {here.chips:,.0f} {here.chip} in {here.machines:,.0f} machines"

    def stages(table):
        here = row(table)
        across = here.tensor * here.context * here.pipeline / INSIDE
        column = np.arange(round(across)) // (across / here.pipeline)
        return _shade(np.tile(column, round(here.data)) / max(here.pipeline - 1, 1))

    def copies(table):
        """A little of white between copies, none between their machines."""
        x0, x1, y0, y1 = copies_places(table)
        return x0, x1 + 0.4, y0, y1 - np.minimum(0.9, 0.25 * (y1 - y0))

    def of_chips(table):
        here = row(table)
        stage = np.repeat(np.arange(round(here.pipeline)), round(here.tensor * here.context))
        return _shade(stage / max(here.pipeline - 1, 1))

    def captions(table):
        here = row(table)
        return (
            [
                f"All machines: {plural(here.data, 'copy')}, a row each,",
                "in it the machines of stage 1, 2, ...",
                f"The first copy, enlarged: {here.pipeline:.0f} stages, a row each;",
                f"a box is a chip, {INSIDE} make a machine.",
            ],
            [ALL[0], ALL[0], ONE[0], ONE[0]],
            [66, 84, 66, 84],
        )

    def enlarged(table):
        tall = (ALL[3] - ALL[2]) / row(table).data
        return [((ALL[1] + 2, ALL[2]), (ONE[0] - 12, ONE[2])), ((ALL[1] + 2, ALL[2] + tall), (ONE[0] - 12, ONE[3]))]

    return updating(
        text(ax, 14, 12, telling, **HEADLINE | {"fontsize": 11.5}),
        text(ax, 14, 44, "Outlined: one group of each kind, the one that has the first chip.", **SMALL),
        labels(ax, captions, size=9.5),
        boxes(ax, copies, stages, snap=False),
        segments(ax, enlarged, colors="#9A9A9A", linewidths=0.8),
        boxes(ax, chips_places, of_chips, snap=False),
        *(
            segments(ax, lambda t, name=name: _marked(t, name), colors=colour, linewidths=1.9)
            for name, colour in GROUPS.items()
        ),
        text(ax, 14, LIST[0] - 24, "Each chip sends in a step:", **SMALL),
        *_groups_list(ax),
    )


def _groups_summary(table):
    here = row(table)
    names, ranks, sent, exposed = pick(table, "group", "group", "ranks", "sent", "exposed")
    parts = "; ".join(
        f"{name} {rank:.0f}: {size} per chip and step, {open_s} not hidden"
        for name, rank, size, open_s in zip(names.tolist(), ranks, sent.tolist(), exposed.tolist(), strict=True)
    )
    return f"{here.run}, {here.chips:,.0f} {here.chip} in {here.machines:,.0f} machines of {INSIDE}. From the inside out: {parts}."


groups = Exhibit(
    slug="15-groups",
    title="A layout on its machines, from the inside out.",
    caption="Which groups may leave the machine? Tensor groups send most and lie inside one; context, pipeline and data groups "
    "follow outwards. Drawn in Llama 3's order of ranks; bytes are counted, times modelled.",
    alt="At the left a grid of all machines, a row for each copy; at the right the first copy enlarged, a row for each stage and "
    "a square for each chip, with one group of each kind outlined; below, bars of bytes that a chip sends in each.",
    controls={"run": Control(label="run", values=tuple(PUBLISHED), start="Llama-3.1-405B, 8k (2024)")},
    table=_groups_table,
    draw=_groups_draw,
    summary=_groups_summary,
)
