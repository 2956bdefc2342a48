"""A figure of chapter 08: the bytes that a recipe keeps for a model."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import key, labels, told
from bottlenecks.exhibits.marks import segments, stacked, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, SERIES
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.formats import stored_bytes
from bottlenecks.facts.units import plain, si
from bottlenecks.models import footprint
from bottlenecks.models.layouts import Layout

RANK = 16  # of the adapters
KEPT = {  # words: recipe, rank of adapters, format of the frozen weights
    "Adam, mixed precision": ("adam, fp32 gradients", 0, "bf16"),
    "the same, 16-bit gradients": ("adam", 0, "bf16"),
    "Muon": ("muon", 0, "bf16"),
    "SGD with momentum": ("sgd, momentum", 0, "bf16"),
    "Adam with 8-bit states": ("adam, 8-bit", 0, "bf16"),
    "Adafactor": ("adafactor", 0, "bf16"),
    "Adam in 16 bits alone": ("adam, bf16 alone", 0, "bf16"),
    "8-bit states, no 32-bit weights": ("adam, 8-bit alone", 0, "bf16"),
    f"LoRA, rank {RANK}": ("adam", RANK, "bf16"),
    f"QLoRA, rank {RANK}": ("adam", RANK, "nf4"),
}
MIXED = "Adam, mixed precision"
SHOWN = {  # row of the footprint: words, colour
    "weights": ("weights", COLOUR["memory"]),
    "gradients": ("gradients", COLOUR["cache"]),
    "optimizer": ("optimiser states, with 32-bit weights", SERIES[7]),
}
CARDS = {"RTX 4090": "RTX 4090", "H100": "H100 SXM5", "B200": "B200 SXM (HGX)"}  # from the least memory to the most
END, TORN = 252e9, 0.9  # bytes: where the axis ends; share of it at which longer bars are torn


@keep
def _recipes_table(model_name):
    m = model(model_name)
    recipe, rank, frozen = (np.array(column) for column in zip(*KEPT.values(), strict=True))
    layout = Layout(seq_len=1, recipe=recipe, lora_rank=rank, frozen_bytes=np.array([stored_bytes(f) for f in frozen]))
    rows = footprint.training_rows(m, layout)
    return stack(
        recipe={"recipe": list(KEPT), **{part: rows[part] for part in SHOWN}},
        card={"card": list(CARDS), "memory_bytes": np.array([chip(name).memory_bytes for name in CARDS.values()])},
        here={"model": model_name, "params": m.params},
    )


def _parts(table):
    """Bytes of each kind, a line for each, over the recipes."""
    return np.array(pick(table, "recipe", *SHOWN))


def _least_card(table):
    """The place, among the cards, of the first that holds each recipe; beyond the last where none does."""
    return (_parts(table).sum(0)[:, None] > pick(table, "card", "memory_bytes")).sum(1)


def _recipes_draw(figure):
    figure.set_size_inches(7.6, 5.4)
    y = np.arange(len(KEPT))
    ax = panel(figure, 0.3, 0.09, 0.853, 0.815)
    x_axis(ax, "bytes kept between two steps", 0, END, unit="B", ticks=np.arange(0, END, 50e9))
    y_axis(ax, "", len(KEPT) - 0.5, -0.5, ticks=())
    for i, words in enumerate(KEPT):
        ax.text(-0.02, i - 0.17, words, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=9.5)
    key(figure, dict(SHOWN.values()), 0.012, 0.925)

    def drawn(table):
        """To scale up to the tear; behind it is the end of a bar that is longer than the axis."""
        ends = np.cumsum(_parts(table), 0)
        ends = np.where(ends[-1] > END, np.minimum(ends, np.array([[TORN], [TORN], [1.0]]) * END), ends)
        return y, np.diff(ends, axis=0, prepend=0)

    def breaks(table):
        """A slanted cut through each bar that is not to scale."""
        long = y[_parts(table).sum(0) > END]
        return [[((TORN - 0.012) * END, i + 0.42), ((TORN + 0.012) * END, i - 0.42)] for i in long]

    def each(table):
        """What a parameter of the model takes, on average."""
        sizes = _parts(table).T / row(table).params
        return [" + ".join(plain(round(v, 2)) for v in of) + " B per parameter" for of in sizes], -0.02, y + 0.2

    def verdicts(table):
        least, names = _least_card(table), [f"fits an {c}" if c != "B200" else f"fits a {c}" for c in CARDS]
        colours = [COLOUR["network"] if at < len(CARDS) else COLOUR["compute"] for at in least]
        return [[*names, "fits none of these"][at] for at in least], 1.015, y + 0.2, colours

    def cards(table):
        name, size = pick(table, "card", "card", "memory_bytes")
        words = [*name, *(si(v, "B") for v in size)]
        return words, np.tile(size, 2), -0.5 + np.repeat([-0.58, -0.24], len(CARDS))

    def telling(table):
        total = dict(zip(KEPT, _parts(table).sum(0), strict=True))
        here = row(table)
        return f"{here.model}: {si(total[MIXED], 'B')} with Adam in mixed precision, activations left out"

    return updating(
        stacked(ax, [colour for _, colour in SHOWN.values()], drawn, thick=0.62),
        segments(ax, breaks, colors="white", linewidths=8, zorder=4),
        segments(
            ax,
            lambda t: [((x, -0.5), (x, len(KEPT) - 0.5)) for x in pick(t, "card", "memory_bytes")],
            colors=COLOUR["total"],
            linewidths=1.6,
            linestyles="--",
            zorder=5,
        ),
        labels(ax, cards, size=9, align="center"),
        labels(ax, each, of="row", size=8, color=GREY, align="right"),
        labels(ax, lambda t: ([si(v, "B") for v in _parts(t).sum(0)], 1.015, y - 0.17), of="row", size=10),
        labels(ax, verdicts, of="row", size=8),
        told(figure, telling, "head", weight="bold", fontsize=11),
    )


def _recipes_summary(table):
    here, parts, least = row(table), _parts(table), _least_card(table)
    mixed = parts[:, list(KEPT).index(MIXED)]
    most = dict(zip(*pick(table, "card", "card", "memory_bytes"), strict=True))

    def fitting(card):
        names = np.array(list(KEPT))[least <= list(CARDS).index(card)]
        return "; ".join(names) or "nothing"

    return (
        f"{here.model}, {plain(here.params / 1e9)} billion parameters: Adam in mixed precision keeps {si(mixed.sum(), 'B')}, "
        f"{plain(mixed[2] / mixed.sum() * 100)} % of them states of the optimiser with their 32-bit weights. An H100 "
        f"({si(most['H100'], 'B')}) holds: {fitting('H100')}. An RTX 4090 ({si(most['RTX 4090'], 'B')}): {fitting('RTX 4090')}."
    )


recipes = Exhibit(
    slug="08-recipes",
    title="What a recipe keeps.",
    caption="Bytes of weights, gradients and optimiser states; activations come on top. Torn bars run past the axis. "
    "Which recipes leave room for a model of 13 billion parameters on one H100?",
    alt="Horizontal stacked bars for ten ways to train a model, from Adam with gradients in 32 bits down to QLoRA; parts: "
    "weights, gradients, optimiser states; dashed vertical lines at the memory of an RTX 4090, an H100 and a B200.",
    controls={
        "model_name": Control(
            label="model", values=("Llama-2-7B", "Llama-3-8B", "Llama-2-13B", "Llama-3-70B"), start="Llama-3-8B"
        )
    },
    table=_recipes_table,
    draw=_recipes_draw,
    summary=_recipes_summary,
    sources=("rajbhandari2020zero", "bitsandbytes-optimizers", "dettmers2023qlora"),
)
