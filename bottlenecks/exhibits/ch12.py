"""Figures for chapter 12: what a call takes, three bandwidths, the weather map, errors by region, the way past the link."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import changing_key, end_labels, key, labels, text, told
from bottlenecks.exhibits.marks import boxes, circles, curve, diamond, level, line, updating, upright
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY, resource
from bottlenecks.facts.networks import system as system_of
from bottlenecks.facts.units import binary, plain, plural, si
from bottlenecks.studies import agreeing

SIZES = {2.0**n: word for n, word in ((10, "1 KiB"), (15, "32 KiB"), (20, "1 MiB"), (25, "32 MiB"), (30, "1 GiB"))}
EVERY = tuple(agreeing.SYSTEMS)
GRID = tuple(float(m) for m in agreeing.MESSAGES)

# ---- what a call takes -----------------------------------------------------------------------------

LINES = {  # series -> words, look
    "library": ("a library's call", {"color": COLOUR["total"], "lw": 2.4}),
    "queued": ("a library's call, queued on the chips", {"color": COLOUR["compute"], "lw": 1.4}),
    "ring": ("the ring's steps", resource("latency")),
    "own": ("kernels of one's own", {"color": COLOUR["memory"], "lw": 1.4, "ls": "--"}),
    "wire": ("the wire alone", resource("network")),
}


@keep
def _sizes_table(system, message):
    grid, ranks = agreeing.MESSAGES, 8
    found = {
        name: agreeing.timed(system, "all_reduce", grid, ranks, **how).seconds
        for name, how in zip(("library", "queued", "own"), agreeing.CALLERS.values(), strict=True)
    }
    found |= {"ring": agreeing.steps_s(system, grid, ranks), "wire": agreeing.wire_s(system, "all_reduce", grid, ranks)}
    measured = agreeing.of_system(system, "all_reduce", ranks=8.0)
    at = {name: float(np.interp(np.log(message), np.log(grid), values)) for name, values in found.items()}
    return stack(
        **{name: {"message_bytes": grid, "time_s": values} for name, values in found.items()},
        measured={"message_bytes": measured["message_bytes"], "time_s": measured["measured_s"]},
        here={"system": system, "message_bytes": message, "time_s": at["library"], "own_s": at["own"]}
        | {f"{name}_s": at[name] for name in ("wire", "ring", "queued")},
    )


def _sizes_draw(figure):
    ax = panel(figure, 0.125, 0.13, 0.975, 0.88)
    x_axis(ax, "message of each chip", 2.0**10, 2.0**33, log="", ticks=SIZES)
    y_axis(ax, "time of an all-reduce among 8 chips", 3e-9, 0.1, log="s")
    key(ax, {words: style["color"] for words, style in LINES.values()}, 0.6, 0.36, down=0.07)
    at = ("message_bytes", "time_s")

    def telling(table):
        here = row(table)
        return (
            f"{here.system}, {binary(here.message_bytes)}: {si(here.time_s, 's')}, "
            f"{plain(here.time_s / here.wire_s)} times what the wire says"
        )

    return updating(
        *(curve(ax, name, *at, **style) for name, (_, style) in LINES.items()),
        circles(ax, "measured", *at, ms=4),
        upright(ax, lambda table: row(table).message_bytes, color=GREY, lw=0.8),
        diamond(ax, *at),
        text(ax, 0, 1.06, telling, of="axes", fontsize=11, weight="bold"),
    )


def _sizes_summary(table):
    here = row(table)
    return (
        f"{here.system}, 8 chips, {binary(here.message_bytes)} each: the wire alone {si(here.wire_s, 's')}, 14 steps of a ring "
        f"{si(here.ring_s, 's')}, a library's call {si(here.time_s, 's')}, queued on the chips {si(here.queued_s, 's')}, kernels of "
        f"one's own {si(here.own_s, 's')}. {plural(pick(table, 'measured', 'time_s').size, 'measured call')} shown."
    )


sizes = Exhibit(
    slug="12-sizes",
    title="What eight chips take to agree.",
    caption="An all-reduce among eight chips of one machine against its message. Circles: measured calls, by whatever caller. "
    "Move the message: where does the wire begin to tell?",
    alt="Time against message on logarithmic axes: measured circles and modelled calls lie flat at tens of microseconds up to "
    "about a megabyte and then rise along the line of the wire, which starts thousands of times below them.",
    controls={
        "system": Control(label="machine", values=EVERY[:4], start="DGX A100"),
        "message": Control(label="message", values=GRID, start=2.0**14, unit="B"),
    },
    table=_sizes_table,
    draw=_sizes_draw,
    summary=_sizes_summary,
    sources=("azure_guide", "mleng_a100", "mleng_h200"),
)


# ---- three bandwidths ------------------------------------------------------------------------------

THREE = {
    "algorithm": ("algorithm\nbandwidth", {"color": COLOUR["compute"], "lw": 1.6}),
    "bus": ("bus bandwidth", {"color": COLOUR["memory"], "lw": 2.4}),
    "link": ("each link", {"color": COLOUR["network"], "lw": 1.8, "ls": "-."}),
}
WAYS = {"a ring of chips": "Ring", "the switch sums": "NVLS"}


@keep
def _three_table(system, way, message, ranks):
    tier = system_of(system).tiers[0]
    counts = np.arange(2, tier.ranks + 1)
    ranks = min(round(ranks), tier.ranks)
    found = [each / tier.bytes_per_s for each in agreeing.three(system, message, counts, WAYS[way])]
    found = [np.where(each > 0, each, np.nan) for each in found]  # two ranks need no switch to sum
    at = [float(each[round(ranks) - 2]) for each in found]
    measured = agreeing.measured_bus(system)
    return stack(
        **{name: {"ranks": counts * 1.0, "share": each} for name, each in zip(THREE, found, strict=True)},
        measured={"ranks": measured[0], "share": measured[1] / tier.bytes_per_s},
        here={
            "system": system,
            "way": way,
            "message_bytes": message,
            "ranks": ranks,
            "share": at[1],
            "rate": tier.bytes_per_s,
        }
        | dict(zip(("algorithm_share", "bus_share", "link_share"), at, strict=True)),
    )


def _three_draw(figure):
    ax = panel(figure, 0.11, 0.13, 0.81, 0.87)
    x_axis(ax, "ranks of one domain that agree", 1.8, 80, log="", ticks={n: str(n) for n in (2, 4, 8, 16, 36, 72)})
    y_axis(ax, "share of the link's printed rate, each way", 0, 1.25, ticks={n / 4: f"{25 * n} %" for n in range(6)})
    at = ("ranks", "share")

    def telling(table):
        here = row(table)
        each = (
            f"{name} {plain(share * here.rate / 1e9)}"
            for name, share in zip(
                ("algorithm", "bus", "each link"), (here.algorithm_share, here.bus_share, here.link_share), strict=True
            )
        )
        return f"{here.system}, {plain(here.ranks)} ranks, GB/s: {', '.join(each)}"

    return updating(
        upright(ax, lambda table: row(table).ranks, color=GREY, lw=0.8),
        level(ax, lambda _: 1.0, color=GREY, lw=1, ls=(0, (4, 3))),
        curve(ax, "algorithm", *at, **THREE["algorithm"][1]),
        curve(ax, "bus", *at, **THREE["bus"][1]),
        curve(ax, "link", *at, **THREE["link"][1]),
        circles(ax, "measured", *at, ms=5),
        diamond(ax, *at),
        text(
            ax, 1.9, 1.015, lambda table: f"printed: {si(row(table).rate, 'B/s')}", fontsize=9, color=GREY, va="bottom"
        ),
        end_labels(
            ax,
            {name: (words, style["color"]) for name, (words, style) in THREE.items()},
            lambda table: {name: pick(table, name, "share")[-1] for name in THREE},
            size=9,
        ),
        text(ax, 0, 1.06, telling, of="axes", fontsize=10.5, weight="bold"),
    )


def _three_summary(table):
    here = row(table)
    rates = [si(share * here.rate, "B/s") for share in (here.algorithm_share, here.bus_share, here.link_share)]
    return (
        f"All-reduce of {binary(here.message_bytes)} among {plain(here.ranks)} ranks of a {here.system}, {here.way}: algorithm bandwidth "
        f"{rates[0]}, bus bandwidth {rates[1]}, on each link {rates[2]} of {si(here.rate, 'B/s')}. "
        f"{plural(pick(table, 'measured', 'share').size, 'measured call')} of 1 GiB and more, in whichever way."
    )


three = Exhibit(
    slug="12-three",
    title="One call, three bandwidths.",
    caption="The same all-reduce told in three ways, over the printed rate of a chip's links; circles: measured bus bandwidths. Let the "
    "switch sum: which number passes the rate of the link?",
    alt="Bandwidth against ranks: the algorithm bandwidth falls towards half of the bus bandwidth for a ring; with sums in the "
    "switch the bus bandwidth rises above the dashed line of the link's printed rate while the link itself stays below it.",
    controls={
        "system": Control(label="machine", values=("DGX H100", "DGX H200", "GB200 NVL72"), start="DGX H200"),
        "way": Control(label="who sums", values=tuple(WAYS), start="a ring of chips"),
        "message": Control(label="message", values=GRID[14:], start=2.0**33, unit="B"),
        "ranks": Control(label="ranks", values=tuple(float(n) for n in (4, 8, 16, 36, 72)), start=8.0),
    },
    table=_three_table,
    draw=_three_draw,
    summary=_three_summary,
)


# ---- the weather map -------------------------------------------------------------------------------

WINNERS = {
    agreeing.CALL: "#D9D9D9",
    "Tree": "#F3B8D5",
    "Ring": "#9BC9E8",
    "NVLS": "#8FD3B6",
    "NVLSTree": "#C9E7A8",
    "Direct": "#F2D08A",
}
NAMED = {
    "Tree": "tree",
    "Ring": "ring",
    "NVLS": "the switch sums",
    "NVLSTree": "switch, then tree",
    "Direct": "pair by pair",
}
ASKED = {"all-reduce": "all_reduce", "all-gather": "all_gather", "all-to-all": "all_to_all"}
CALLERS = tuple(agreeing.CALLERS)[:2]


@keep
def _weather_table(system, asked, caller):
    map_ = agreeing.weather(system, ASKED[asked], caller)
    known = list(WINNERS)
    i, j = np.indices(map_.winner.shape)
    measured = agreeing.of_system(system, ASKED[asked], launch=agreeing.CALLERS[caller]["launch"])
    inside = measured["ranks"] <= map_.ranks[-1] * 1.4
    return stack(
        cell={
            "message_bytes": map_.messages[j].ravel(),
            "ranks": map_.ranks[i].ravel() * 1.0,
            "winner": np.array([known.index(name) for name in map_.winner.ravel().tolist()], float),
            "time_s": map_.seconds.ravel(),
        },
        measured={name: measured[name][inside] for name in ("message_bytes", "ranks", "error")},
        here={
            "system": system,
            "asked": asked,
            "caller": caller,
            "calls": int(inside.sum()),
            "error": float(np.mean(np.abs(measured["error"][inside]))) if inside.any() else np.nan,
        },
    )


def _weather_draw(figure):
    figure.set_size_inches(7.6, 5.0)
    ax = panel(figure, 0.1, 0.12, 0.97, 0.84)
    x_axis(ax, "message of each chip", 2.0**9.5, 2.0**33.5, log="", ticks=SIZES)
    y_axis(ax, "ranks", 1.4, 1450, log="", ticks={n: str(n) for n in (2, 8, 64, 512)})
    ax.grid(False)
    half = 2**0.5
    colours = list(WINNERS.values())

    def cells(table):
        m, n = pick(table, "cell", "message_bytes", "ranks")
        return m / half, m * half, n / half, n * half

    def words(table):
        here = row(table)
        told_ = f"{here.system}: who wins an {here.asked}, called by {here.caller}"
        if here.calls:
            told_ += f"\n{plural(here.calls, 'measured call')}, mean error {100 * here.error:.0f} %; filled where off by more than a quarter"
        return told_ + ("" if here.calls else "\nnobody's measured call on it")

    def places(far):
        def of(table):
            m, n, error = pick(table, "measured", "message_bytes", "ranks", "error")
            mine = (np.abs(error) > 0.25) == far
            return m[mine], n[mine]

        return of

    dots = {"ls": "", "marker": "o", "ms": 5, "mec": "black", "mew": 0.9}

    def there(table):
        found = {int(w) for w in pick(table, "cell", "winner")}
        return {NAMED.get(name, name): WINNERS[name] for i, name in enumerate(WINNERS) if i in found}

    return updating(
        boxes(
            ax,
            cells,
            lambda table: [colours[int(w)] for w in pick(table, "cell", "winner")],
            edgecolors="white",
            linewidth=0.4,
        ),
        line(ax, places(False), mfc="white", **dots),
        line(ax, places(True), mfc="black", **dots),
        changing_key(ax, there, 0.1, 0.868, size=9),
        text(ax, 0.1, 0.985, words, of="figure", fontsize=10, va="top", linespacing=1.4),
    )


def _weather_summary(table):
    here = row(table)
    winner = pick(table, "cell", "winner")
    shares = ", ".join(
        f"{NAMED.get(name, name)} {np.mean(winner == i):.0%}" for i, name in enumerate(WINNERS) if np.any(winner == i)
    )
    return f"{here.system}, {here.asked}, called by {here.caller}; shares of the map: {shares}. " + (
        f"{plural(here.calls, 'measured call')}, mean error {100 * here.error:.0f} %."
        if here.calls
        else "No measured call."
    )


weather = Exhibit(
    slug="12-weather",
    title="The weather map: who wins where.",
    caption="The fastest way for each message and number of ranks, in the model of the library. Circles are measured calls on these "
    "chips. Let the chips queue the calls themselves: what becomes of the grey?",
    alt="A map of message against ranks, coloured by the winning algorithm: grey at the lower left where the call itself owns "
    "the time, trees above, rings and sums in the switch at the right; circles mark measured calls.",
    controls={
        "system": Control(label="machine", values=EVERY, start="DGX H100"),
        "asked": Control(label="collective", values=tuple(ASKED), start="all-reduce"),
        "caller": Control(label="called by", values=CALLERS, start=CALLERS[0]),
    },
    table=_weather_table,
    draw=_weather_draw,
    summary=_weather_summary,
    sources=("nccl_tuning", "azure_guide", "aiconfigurator"),
)


# ---- errors by region ------------------------------------------------------------------------------


@keep
def _regions_table(asked, role):
    found = agreeing.regions(ASKED.get(asked, "all"), role)
    names = list(found)
    error, sources, count = (np.array([found[name][k] for name in names], dtype=float) for k in range(3))
    return stack(
        region={
            "size": [name[0] for name in names],
            "place": [name[1] for name in names],
            "error": error,
            "sources": sources,
            "rows": count,
        },
        here={"asked": asked, "role": role, "rows": int(count.sum())},
    )


def _regions_draw(figure):
    figure.set_size_inches(7.6, 2.9)
    ax = panel(figure, 0.14, 0.17, 0.985, 0.86)
    sizes_, places = list(agreeing.SIZES), list(agreeing.PLACES)
    ax.set(xlim=(-0.5, 2.5), ylim=(1.5, -0.5))
    ax.set_xticks(range(3), sizes_)
    ax.set_yticks(range(2), places)
    ax.grid(False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel("message of each chip")

    def at(table):
        size, place = pick(table, "region", "size", "place")
        return (
            np.array([sizes_.index(s) for s in size.tolist()], float),
            np.array([places.index(p) for p in place.tolist()], float),
        )

    def cells(table):
        x, y = at(table)
        return x - 0.47, x + 0.47, y - 0.44, y + 0.44

    def colours(table):
        return [_shade(error) for error in pick(table, "region", "error").tolist()]

    def words(large):
        def of(table):
            error, sources, count = pick(table, "region", "error", "sources", "rows")
            x, y = at(table)
            if large:
                said = [f"{100 * e:.0f} %" if np.isfinite(e) else "–" for e in error.tolist()]
            else:
                said = [
                    f"{plural(c, 'call')}, {plural(s, 'source')}" if c else "no measured call"
                    for c, s in zip(count.tolist(), sources.tolist(), strict=True)
                ]
            return said, x, y + (-0.1 if large else 0.2)

        return of

    return updating(
        boxes(ax, cells, colours),
        labels(ax, words(True), size=14, align="center", weight="bold"),
        labels(ax, words(False), size=9, align="center"),
        told(
            ax,
            lambda t: f"Mean over sources of the error of {row(t).asked}, {row(t).role}",
            "above",
            fontsize=10.5,
            weight="bold",
        ),
    )


def _shade(error):
    """White where the model is right, darker orange up to an error of three quarters."""
    if not np.isfinite(error):
        return "#F4F4F4"
    share = min(error / 0.75, 1.0)
    full = (0.902, 0.624, 0.0)
    return tuple(1 - share * (1 - value) for value in full)


def _regions_summary(table):
    size, place, error = pick(table, "region", "size", "place", "error")
    told_ = "; ".join(
        f"{s}, {p}: {100 * e:.0f} %"
        for s, p, e in zip(size.tolist(), place.tolist(), error.tolist(), strict=True)
        if np.isfinite(e)
    )
    head = f"Mean over sources of the error of {row(table).asked}, {row(table).role} calls."
    return f"{head} {told_}." if told_ else f"No call of this kind is measured: {row(table).asked}, {row(table).role}."


regions = Exhibit(
    slug="12-regions",
    title="Where the map is right.",
    caption="The mean over sources of the error of measured calls, by size and place; no constant was fitted to the held-out ones. "
    "Where would you trust it?",
    alt="Six fields, message size against place: errors of a few per cent for large messages inside a machine, about a half for "
    "small ones and a third across machines.",
    controls={
        "asked": Control(label="collective", values=("all calls", *ASKED), start="all calls"),
        "role": Control(label="calls", values=("held-out", "fit"), start="held-out"),
    },
    table=_regions_table,
    draw=_regions_draw,
    summary=_regions_summary,
)


# ---- the way past the link -------------------------------------------------------------------------

PATHS = {
    "direct": ("own link", resource("network")),
    "peer": ("over PCIe", resource("memory")),
    "memory": ("by the host's\nmemory", resource("latency")),
}


@keep
def _path_table(system, message):
    grid = agreeing.MESSAGES[:-2]
    found = agreeing.paths(system, grid)
    at = agreeing.paths(system, np.array([message]))
    measured = agreeing.some(collective="p2p", nodes=1.0, ranks=2.0, chip=agreeing.SYSTEMS[system])
    return stack(
        **{name: {"message_bytes": grid, "time_s": each} for name, each in zip(PATHS, found, strict=True)},
        measured={"message_bytes": measured["message_bytes"], "time_s": measured["measured_s"]},
        here={"system": system, "message_bytes": message, "time_s": float(at.direct_s[0])}
        | {"peer_s": float(at.peer_s[0]), "memory_s": float(at.memory_s[0])},
    )


def _path_draw(figure):
    ax = panel(figure, 0.125, 0.13, 0.83, 0.88)
    x_axis(ax, "message", 2.0**10, 2.0**31, log="", ticks=SIZES)
    y_axis(ax, "time between two chips", 2e-6, 0.2, log="s")
    at = ("message_bytes", "time_s")

    def telling(table):
        here = row(table)
        return (
            f"{here.system}, {binary(here.message_bytes)}: {si(here.time_s, 's')} over the link, "
            f"{plain(here.peer_s / here.time_s)} times that over PCIe"
        )

    return updating(
        *(curve(ax, name, *at, **style) for name, (_, style) in PATHS.items()),
        circles(ax, "measured", *at, ms=4.5),
        upright(ax, lambda table: row(table).message_bytes, color=GREY, lw=0.8),
        diamond(ax, *at),
        end_labels(
            ax,
            {name: (words, style["color"]) for name, (words, style) in PATHS.items()},
            lambda table: {name: pick(table, name, "time_s")[-1] for name in PATHS},
            size=9.5,
        ),
        text(ax, 0, 1.06, telling, of="axes", fontsize=10.5, weight="bold"),
    )


def _path_summary(table):
    here = row(table)
    return (
        f"{here.system}, {binary(here.message_bytes)} from one chip to another: {si(here.time_s, 's')} over their own link, "
        f"{si(here.peer_s, 's')} over PCIe, {si(here.memory_s, 's')} by way of the memory of the host."
    )


path = Exhibit(
    slug="12-path",
    title="What a link of one's own saves.",
    caption="A message from one chip to another of the same machine, by three ways; circles: measured over the link. From which size "
    "on does the link save more than half?",
    alt="Time against message on logarithmic axes: two lines lie close together for small messages and part above some "
    "hundred kilobytes, the own link lowest, the way through the memory of the host highest; circles follow the own link.",
    controls={
        "system": Control(label="machine", values=agreeing.SIDE_BY_SIDE, start="DGX H100"),
        "message": Control(label="message", values=GRID[:-2], start=2.0**20, unit="B"),
    },
    table=_path_table,
    draw=_path_draw,
    summary=_path_summary,
    sources=("vidur_net",),
)
