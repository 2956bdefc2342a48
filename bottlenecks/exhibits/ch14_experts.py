"""Drawing of chapter 14: experts dealt to machines, and where a token's copies go."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.drawn_parts import HEADLINE, SMALL, flat, outlines, page
from bottlenecks.exhibits.labels import key, labels, text
from bottlenecks.exhibits.marks import boxes, segments, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.facts.architectures import model
from bottlenecks.facts.units import plural, si
from bottlenecks.laws import counting

ROUTED = "DeepSeek-V3"
LIMITS = {"no limit": None, "at most 8 machines": 8, "at most 4 machines": 4, "at most 2 machines": 2}
EACH = ("once for each machine", "once for each expert")
VALUE_BYTES = 2
GRID = {2: (2, 18), 4: (4, 18), 8: (4, 18), 16: (8, 14), 32: (8, 12)}  # machines: side by side, an expert's square
FIELD, NAME, TOKEN = (14, 746, 128), 16, (380, 92)  # left, right, top of the machines; room for a name; the token
PRICES = (404, 22, 14)  # bars: top, distance, thickness


def chosen_experts(experts, machines, per_token, limit):
    """The experts of one token, by a router of random scores; with a limit, within the machines of the best two each."""
    scores = np.random.default_rng(5).random((machines, experts // machines))
    if limit and limit < machines:
        best = np.sort(scores, axis=1)[:, -2:].sum(axis=1)
        scores[np.argsort(-best)[limit:]] = -1
    return np.sort(np.argsort(-scores.ravel())[:per_token])


def _copies(machines, per_token, limit, each):
    """Copies of a token that leave its machine, on average (eq:experts-touched with machines in place of experts)."""
    there = min(limit or machines, machines)
    many = per_token if each == EACH[1] else counting.experts_touched(there, 1, per_token)
    return many * (1 - 1 / machines)


@keep
def _experts_table(machines, per_token, limit, each):
    m, n, k = model(ROUTED), min(GRID, key=lambda g: abs(g - machines)), round(per_token)
    found = chosen_experts(m.experts, n, k, LIMITS[limit])
    homes = found * n // m.experts
    size = VALUE_BYTES * m.width
    ways = [(EACH[1], None), (EACH[0], None), *((words, most) for words, most in LIMITS.items() if most)]
    sent = [_copies(n, k, most, EACH[words == EACH[1]]) * size for words, most in ways]
    mine = _copies(n, k, LIMITS[limit], each)
    return stack(
        choice={"expert": found, "machine": homes},
        way={"way": [words for words, _ in ways], "sent_bytes": np.array(sent)},
        here={
            "machines": n,
            "per_token": k,
            "limit": limit,
            "each": each,
            "experts": m.experts,
            "width": m.width,
            "reached": counting.experts_touched(min(LIMITS[limit] or n, n), 1, k),
            "copies": mine,
            "sent_bytes": mine * size,
            "drawn": np.sum(homes > 0) if each == EACH[1] else np.unique(homes[homes > 0]).size,
        },
    )


def machine_frames(table):
    """Edges of the machines."""
    left, right, top = FIELD
    n = round(row(table).machines)
    across, square = GRID[n]
    wide = (right - left + 8) / across
    columns = int((wide - 14) // square)
    tall = NAME + -(-round(row(table).experts) // n // columns) * square + 4
    i = np.arange(n)
    x0, y0 = left + i % across * wide, top + i // across * (tall + 13)
    return flat(x0, x0 + wide - 8, y0, y0 + tall), columns, square


def _squares(table):
    """Edges of all experts, machine by machine."""
    (x0, _, y0, _), columns, square = machine_frames(table)
    each = round(row(table).experts / row(table).machines)
    i = np.arange(each)
    x, y = x0[:, None] + 5 + i % columns * square, y0[:, None] + NAME + i // columns * square
    return flat(x, x + square - 3, y, y + square - 3)


def _wires(table, away):
    """Lines of a token's copies to other machines, or to its own."""
    here, frames = row(table), machine_frames(table)[0]
    found, homes = pick(table, "choice", "expert", "machine")
    mine = (homes > 0) if away else (homes == 0)
    if here.each == EACH[1]:
        squares = _squares(table)[:, found[mine].astype(int)]
        ends = zip((squares[0] + squares[1]) / 2, frames[2][homes[mine].astype(int)], strict=True)
    else:
        reached = np.unique(homes[mine]).astype(int)
        ends = zip((frames[0] + frames[1])[reached] / 2, frames[2][reached], strict=True)
    return [(TOKEN, end) for end in ends]


def _prices(ax):
    """Below: bytes that leave the token's machine, by how often they are sent and how many machines it may choose."""
    first, apart, thick = PRICES
    y, left, right = first + apart * np.arange(5), 270, 640

    def scale(table):
        return (right - left) / pick(table, "way", "sent_bytes").max()

    def words(table):
        names = [*pick(table, "way", "way").tolist()[:2], *(f"the same, {w}" for w in pick(table, "way", "way")[2:])]
        return names, left - 8, y + thick / 2

    def now(table):
        here = row(table)
        at = 0 if here.each == EACH[1] else 1 + list(LIMITS).index(here.limit)
        return outlines((14, 746, y[at] - 4, y[at] + thick + 4))

    def sizes(table):
        sent = pick(table, "way", "sent_bytes")
        return [si(s, "B") for s in sent], left + scale(table) * sent + 6, y + thick / 2

    return (
        boxes(
            ax, lambda t: flat(left, left + scale(t) * pick(t, "way", "sent_bytes"), y, y + thick), COLOUR["network"]
        ),
        segments(ax, now, colors=COLOUR["highlight"], linewidths=1.6),
        labels(ax, words, align="right", size=9.5),
        labels(ax, sizes, size=9.5),
    )


def _experts_draw(figure):
    height = 526
    ax = page(figure, height)
    key(
        figure,
        {"expert": "#D0D0D0", "chosen": COLOUR["compute"], "crosses the network": COLOUR["network"]},
        0.018,
        1 - 76 / height,
    )

    def colours(table):
        chosen = np.isin(np.arange(row(table).experts), pick(table, "choice", "expert"))
        return [COLOUR["compute"] if c else "#D0D0D0" for c in chosen]

    def telling(table):
        here = row(table)
        return f"{plural(here.per_token, 'expert')} of {here.experts:.0f} on {plural(here.machines, 'machine')}: {si(here.sent_bytes, 'B')} leave per token and layer"

    def counted(table):
        here = row(table)
        return (
            f"On average a token reaches {plural(here.reached, 'machine', 3)} and {plural(here.copies, 'copy', 3)} of it leave"
            f" ({here.width:,.0f} values of {VALUE_BYTES} B). This one sends {here.drawn:.0f}."
        )

    def names(table):
        x0, _, y0, _ = machine_frames(table)[0]
        n = round(row(table).machines)
        return [f"{'machine ' if n <= 8 else ''}{i + 1}" for i in range(n)], x0 + 5, y0 + 8

    def ground(table):
        return machine_frames(table)[0]

    dot = ([TOKEN[0] - 34], [TOKEN[0] + 34], [TOKEN[1] - 10], [TOKEN[1] + 10])
    return updating(
        text(ax, 14, 12, telling, **HEADLINE | {"fontsize": 11.5}),
        text(ax, 14, 50, counted, **SMALL),
        segments(ax, lambda t: _wires(t, False), zorder=0.5, colors="#8C8C8C", linewidths=1.3, linestyles=":"),
        segments(ax, lambda t: _wires(t, True), zorder=0.5, colors=COLOUR["network"], linewidths=1.6),
        boxes(
            ax,
            ground,
            lambda t: ["#FDF3DC"] + ["white"] * (round(row(t).machines) - 1),
            edgecolors="#777777",
            linewidths=0.9,
        ),
        boxes(ax, _squares, colours),
        labels(ax, names, size=9),
        boxes(ax, lambda _: dot, "#FDF3DC", edgecolors="#777777", linewidths=0.9),
        labels(ax, lambda _: (["token"], TOKEN[0], TOKEN[1]), size=9.5, align="center"),
        text(ax, 14, PRICES[0] - 20, "Sent to other machines per token and layer, on average:", **SMALL),
        *_prices(ax),
    )


def _experts_summary(table):
    here = row(table)
    return (
        f"{here.experts:.0f} experts of {ROUTED} on {plural(here.machines, 'machine')}, {here.per_token:.0f} per token, {here.limit}, sent "
        f"{here.each}: a token reaches {plural(here.reached, 'machine', 3)}, {plural(here.copies, 'copy', 3)} leave its own, "
        f"{si(here.sent_bytes, 'B')} per layer, and as much comes back."
    )


experts = Exhibit(
    slug="14-experts",
    title="Where a token's experts are, and what must travel.",
    caption="How many copies of a token leave its machine? The choice drawn is one of a router with random scores, from machine 1; "
    "averages take choices as even. Inside a machine faster links pass copies on.",
    alt="Frames for machines with a square for each expert; lines from a token to the machines of its chosen experts; below, "
    "bars of bytes sent by policy.",
    controls={
        "machines": Control(label="machines", values=tuple(GRID), start=8),
        "per_token": Control(label="experts per token", values=(1, 2, 4, 8, 16), start=8),
        "limit": Control(label="limit", values=tuple(LIMITS), start="at most 4 machines"),
        "each": Control(label="sent", values=EACH, start=EACH[0]),
    },
    table=_experts_table,
    draw=_experts_draw,
    summary=_experts_summary,
)
