"""Figures for chapter 10: fetching a weight beside multiplying with it, and the joules of a token."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, rows, x_axis, y_axis
from bottlenecks.exhibits.labels import labels, text
from bottlenecks.exhibits.marks import area, boxes, circles, curve, diamond, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.units import plain, si
from bottlenecks.studies import fetching, joules

# ---- the thousandfold ---------------------------------------------------------------------------------

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TICKS = {0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10", 100: "100", 1000: "1,000", 10000: "10,000"}
KINDS = {"on the chip": COLOUR["network"], "memory": COLOUR["memory"], "board": COLOUR["compute"]}


@keep
def _fetch_table(product, batch):
    found = fetching.ratios(product, batch)
    return stack(
        way={name: found[name] for name in ("name", "kind", "ratio", "low", "high")},
        here={
            "product": product,
            "batch": batch,
            "over": int((found["high"] >= fetching.CLAIM).sum()),
            "ways": found["name"].size,
            "most": found["high"].max(),
            "least": found["low"].min(),
            "claim": fetching.CLAIM,
        },
    )


def _fetch_draw(figure):
    figure.set_size_inches(7.6, 4.5)
    ax = panel(figure, 0.33, 0.13, 0.965, 0.875)
    x_axis(ax, "energy of fetching a weight, over that of using it", 0.005, 1e4, log="", ticks=TICKS)
    rows(ax, list(fetching.WAYS), size=9)
    ax.axvline(1, color="#B5B5B5", lw=1)
    ax.text(fetching.CLAIM * 0.9, -0.5, "a thousand", fontsize=8.5, color=GREY, ha="right", va="top")

    def bars(table):
        low, high = pick(table, "way", "low", "high")
        y = np.arange(low.size)
        return low / 1.06, high * 1.06, y - 0.26, y + 0.26

    def colours(table):
        return [KINDS[kind] for kind in pick(table, "way", "kind").tolist()]

    def words(table):
        low, high = pick(table, "way", "low", "high")
        told = [
            plain(a, 2) if b / a < 1.05 else f"{plain(a, 2)} to {plain(b, 2)}" for a, b in zip(low, high, strict=True)
        ]
        return told, high * 1.25, np.arange(low.size)

    def telling(table):
        here = row(table)
        tokens = "one token" if here.batch == 1 else f"{here.batch:.0f} tokens"
        return f"{here.product}, fetched for {tokens}: {plain(here.least, 2)} to {plain(here.most, 2)} times"

    return updating(
        upright(ax, lambda table: row(table).claim, color=COLOUR["total"], lw=1, ls=":"),
        boxes(ax, bars, colours, alpha=0.75),
        labels(ax, words, size=8.5),
        text(figure, 0.012, 0.955, telling, fontsize=11, weight="bold", va="center"),
    )


def _fetch_summary(table):
    here = row(table)
    name, low, high = pick(table, "way", "name", "low", "high")
    told = "; ".join(
        f"{n} {plain(a, 2)}" + (f" to {plain(b, 2)}" if b / a > 1.05 else "")
        for n, a, b in zip(name.tolist(), low, high, strict=True)
    )
    return f"{here.product}, a weight fetched for {plain(here.batch)}: {told}. {here.over:.0f} of {here.ways:.0f} ways reach a thousand."


fetch = Exhibit(
    slug="10-fetch",
    title="A thousand times a multiplication?",
    caption="Fetching one weight from where it lies, over a multiplication and an addition with it. Ranges as published; dotted: the claim. "
    "From how many tokens on does no way cost more than the arithmetic?",
    alt="A row for each place from which a weight may come, from a small SRAM beside the multiplier to DRAM, with the ratio of energies on a logarithmic axis and a dotted line at a "
    "thousand.",
    controls={
        "product": Control(label="arithmetic", values=tuple(fetching.PRODUCTS), start="8-bit integers, 45 nm"),
        "batch": Control(label="tokens that share the fetch", values=BATCHES, start=1),
    },
    table=_fetch_table,
    draw=_fetch_draw,
    summary=_fetch_summary,
    sources=("horowitz2014energy", "oconnor2017fgdram", "rpu2026"),
)

# ---- joules of a token --------------------------------------------------------------------------------

RUNS = {
    "Llama 3.1 8B, one H100": ("Llama-3.1-8B", "H100 SXM5", 1),
    "Qwen3 14B, one H100": ("Qwen3-14B", "H100 SXM5", 1),
    "Qwen3 32B, one B200": ("Qwen3-32B", "B200 SXM (HGX)", 1),
    "Llama 2 70B, two A100": ("Llama-2-70B", "A100 SXM 80GB", 2),
}
CURVE = np.geomspace(1, 700, 60)


@keep
def _joules_table(run, batch):
    found, said, here = joules.of_run(RUNS[run]), joules.told(RUNS[run], CURVE), joules.told(RUNS[run], float(batch))
    return stack(
        measured={name: found[name] for name in ("batch", "joules_per_token", "watts", "rated_watts")},
        told={"batch": CURVE, "board": said["board"], "memory": said["memory"], "arithmetic": said["arithmetic"]},
        here={
            "batch": float(batch),
            "board": float(here["board"]),
            "memory": float(here["memory"]),
            "arithmetic": float(here["arithmetic"]),
            "run": run,
            "usual": joules.usual_share(joules.called(RUNS[run])),
            "least": (found["watts"] / found["rated_watts"]).min(),
            "most": (found["watts"] / found["rated_watts"]).max(),
        },
    )


def _joules_draw(figure):
    ax = panel(figure, 0.105, 0.125, 0.80, 0.865)
    x_axis(
        ax, "readers served at once", 1, 700, log="", ticks={n: f"{n}" for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)}
    )
    y_axis(ax, "joules of a token", 0.005, 60, log="", ticks={0.01: "0.01 J", 0.1: "0.1 J", 1: "1 J", 10: "10 J"})

    def under(table):
        x, memory, arithmetic = pick(table, "told", "batch", "memory", "arithmetic")
        return x, np.full(x.shape, 1e-4), memory + arithmetic

    def of_arithmetic(table):
        x, arithmetic = pick(table, "told", "batch", "arithmetic")
        return x, np.full(x.shape, 1e-4), arithmetic

    def telling(table):
        here = row(table)
        parts = (here.memory + here.arithmetic) / here.board
        return f"{here.run}, {here.batch:.0f} at once: {si(here.board, 'J', 2)} a token, {100 * parts:.0f} % of it bytes and sums"

    def ends(table):
        here = row(table)
        last = {name: pick(table, "told", name)[-1] for name in ("board", "memory", "arithmetic")}
        y = [last["board"], last["memory"] + last["arithmetic"], last["arithmetic"] / 1.5]
        words = ["the whole board", "memory's devices", "arithmetic"]
        return words, np.full(3, 780.0), np.array(y) * (1 + 0 * here.batch)

    return updating(
        area(ax, under, facecolors=COLOUR["memory"], alpha=0.35),
        area(ax, of_arithmetic, facecolors=COLOUR["compute"], alpha=0.5),
        curve(ax, "told", "batch", "board", color=COLOUR["total"]),
        circles(ax, "measured", "batch", "joules_per_token"),
        diamond(ax, "batch", "board"),
        labels(ax, lambda table: _right(ends(table)), size=9),
        text(figure, 0.012, 0.94, telling, fontsize=10.5, weight="bold", va="center"),
    )


def _right(found):
    words, x, y = found
    return [w.replace("\n", " ") for w in words], x, y


def _joules_summary(table):
    here = row(table)
    batch, measured = pick(table, "measured", "batch", "joules_per_token")
    return (
        f"{here.run}: measured {si(measured[0], 'J', 3)} a token at {plain(batch[0], 3)} readers and {si(measured[-1], 'J', 3)} at {plain(batch[-1], 3)}, while the board "
        f"drew {100 * here.least:.0f} to {100 * here.most:.0f} % of its rated power. At {here.batch:.0f} the usual {100 * here.usual:.0f} % of it, for a predicted step and no prompt, says {si(here.board, 'J', 2)}, of which the "
        f"memory's devices take {si(here.memory, 'J', 2)} and the arithmetic {si(here.arithmetic, 'J', 2)}."
    )


joules_of_a_token = Exhibit(
    slug="10-joules",
    title="Who is paid for a token?",
    caption="Line: what a board usually draws for as long as a predicted step takes, over its readers. Circles: measured, prompts included. Below: what the memory's devices and "
    "the arithmetic account for. What falls as readers are added?",
    alt="Joules of a token falling with the number of readers on logarithmic axes, measured circles about a line, and two thin areas far below it.",
    controls={
        "run": Control(label="run", values=tuple(RUNS), start="Llama 3.1 8B, one H100"),
        "batch": Control(label="readers", values=BATCHES, start=8),
    },
    table=_joules_table,
    draw=_joules_draw,
    summary=_joules_summary,
    sources=("mlenergy_v3", "splitwise_power", "rpu2026"),
)
