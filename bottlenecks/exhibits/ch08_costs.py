"""Figures for chapter 08: what recomputation buys and costs, what a host's link hides, the terabytes of published runs."""

from functools import cache as keep

import numpy as np

from bottlenecks.exhibits.axes import panel, x_axis, y_axis
from bottlenecks.exhibits.labels import apart, key, labels, text
from bottlenecks.exhibits.marks import circles, curve, diamond, level, updating
from bottlenecks.exhibits.registry import Control, Exhibit, pick, row, stack
from bottlenecks.exhibits.style import COLOUR, GREY
from bottlenecks.facts.architectures import model
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import memory as law
from bottlenecks.studies import memory
from bottlenecks.studies.splitting import AGAIN

# ---- what recomputation buys -------------------------------------------------------------------------

MODELS = ("Llama-3-8B", "Llama-3-70B", "GPT-3 175B")
CONTEXTS = (2048.0, 8192.0, 32768.0)
ATTENTION = {"fused": True, "scores written out": False}
COLOURS = {"fused": COLOUR["memory"], "scores written out": COLOUR["compute"]}


@keep
def _again_table(name, context):
    found = {words: memory.again(name, int(context), fused) for words, fused in ATTENTION.items()}
    written = found["scores written out"]  # halves of the products are chosen where attention is fused
    found["scores written out"] = {policy: each for policy, each in written.items() if policy != "products"}
    series = {
        words: {
            "policy": np.array(list(each)),
            "kept_bytes": np.array([kept for kept, _ in each.values()]),
            "times": np.array([times for _, times in each.values()]),
        }
        for words, each in found.items()
    }
    none, full = found["fused"]["none"], found["fused"]["full"]
    some = {f"{policy}_times": found["fused"][policy][1] for policy in ("selective", "products")}
    return stack(
        here=some
        | {"name": name, "context": context, "none_bytes": none[0], "full_bytes": full[0], "full_times": full[1]}
        | {"vector_bytes": 2.0 * model(name).width, "written_bytes": found["scores written out"]["none"][0]},
        **series,
    )


def _again_draw(figure):
    figure.set_size_inches(7.6, 4.6)
    ax = panel(figure, 0.105, 0.125, 0.975, 0.80)
    x_axis(ax, "bytes kept of a token in each layer", 5e3, 2e7, log="B")
    y_axis(
        ax,
        "time of both passes, over nothing again",
        0.97,
        1.42,
        ticks={1: "1", 1.1: "1.1", 1.2: "1.2", 1.3: "1.3", 1.4: "1.4"},
    )
    key(figure, COLOURS, 0.1, 0.865)
    words = {policy: text for policy, text in AGAIN.items()}

    def named(table):
        rows = []
        for each in ATTENTION:
            policy, x, y = pick(table, each, "policy", "kept_bytes", "times")
            rows += [(p, a, b, each) for p, a, b in zip(policy.tolist(), x, y, strict=True)]
        kept = rows
        height = apart([r[2] for r in kept], 0.019)
        return [words[r[0]] for r in kept], [r[1] * 1.13 for r in kept], height, [COLOURS[r[3]] for r in kept]

    def telling(table):
        h = row(table)
        return (
            f"{h.name}, {h.context:,.0f} tokens: everything again keeps {si(h.full_bytes, 'B', 3)} of {si(h.none_bytes, 'B', 3)}\n"
            f"and takes {100 * (h.full_times - 1):.0f} % longer"
        )

    return updating(
        text(ax, -0.1, 1.2, telling, of="axes", fontsize=10.5, weight="bold", va="center", linespacing=1.35),
        *(
            curve(ax, each, "kept_bytes", "times", marker="o", ms=7, ls=":", lw=1.2, color=c)
            for each, c in COLOURS.items()
        ),
        labels(ax, named, size=8.5),
    )


def _again_summary(table):
    h = row(table)
    return (
        f"{h.name} at {h.context:,.0f} tokens keeps {si(h.none_bytes, 'B', 3)} of a token in a layer where its vector is {si(h.vector_bytes, 'B', 3)}; with scores written "
        f"{si(h.written_bytes, 'B', 3)}. Everything computed again keeps {si(h.full_bytes, 'B', 3)} for {100 * (h.full_times - 1):.1f} % more time, half of the products {100 * (h.products_times - 1):.1f} %, "
        f"attention alone, fused, {100 * (h.selective_times - 1):.1f} %."
    )


again = Exhibit(
    slug="08-again",
    title="What is bought with computing again.",
    caption="One text on one H100, a step's time against what each layer keeps of a token. Lower left is better. Lengthen the text: "
    "which way of computing again becomes dearer than half of the products?",
    alt="Two dotted lines of four points each, from much kept and no time lost at the lower right to little kept and a quarter more time at the upper left.",
    controls={
        "name": Control(label="model", values=MODELS, start="Llama-3-8B"),
        "context": Control(label="tokens of a text", values=CONTEXTS, start=8192.0),
    },
    table=_again_table,
    draw=_again_draw,
    summary=_again_summary,
)

# ---- the host ----------------------------------------------------------------------------------------

HOSTS = {"A100, PCIe 4": "A100 SXM 80GB", "H100, PCIe 5": "H100 SXM5", "MI300X, PCIe 5": "MI300X"}
SENT = {"gradient out, weight back (2 bytes)": memory.STATES_SENT, "all states out and in (12 bytes)": memory.ALL_SENT}
TOKENS = np.geomspace(128, 1e7, 120)
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)


@keep
def _host_table(host, sent, share):
    name = HOSTS[host]
    hidden = memory.hidden_tokens(name, SENT[sent], share)
    m = model("Llama-3-8B")
    kept = memory.again("Llama-3-8B", 8192, True)["none"][0]
    rate = hidden * 6 * memory.host_bytes_per_s(name) / SENT[sent]
    needs = float(law.activation_bytes_per_s(kept, layer_params=m.layer_params, flop_per_s=rate))
    return stack(
        wait={"tokens": TOKENS, "share": hidden / TOKENS},
        here={
            "host": host,
            "sent": sent,
            "share": share,
            "tokens": hidden,
            "even": 1.0,
            "host_bytes_per_s": memory.host_bytes_per_s(name),
            "activations_bytes_per_s": needs,
        },
    )


EXAMPLES = {"one text of 2,048 tokens": 2048, "eight texts of 8,192 tokens": 65536, "a step of 4 million tokens": 4e6}


def _host_draw(figure):
    ax = panel(figure, 0.115, 0.125, 0.975, 0.84)
    x_axis(
        ax,
        "tokens of a step, of all chips that share the states",
        128,
        1e7,
        log="",
        ticks={10.0**n: w for n, w in zip(range(3, 7), ("1,000", "10,000", "100,000", "1 million"), strict=True)},
    )
    y_axis(
        ax,
        "time of sending over time of computing",
        1e-4,
        100,
        log="",
        ticks={1e-4: "0.0001", 1e-2: "0.01", 1: "1", 100: "100"},
    )
    for words, tokens in EXAMPLES.items():
        ax.axvline(tokens, color="#D5D5D5", lw=1)
        ax.text(tokens * 1.08, 1.5e-4, words, fontsize=8.5, color=GREY, va="bottom", rotation=90, ha="left")

    def telling(table):
        h = row(table)
        return f"{h.host}: hidden from {plain(h.tokens, 3)} tokens of a step on, whatever the model"

    return updating(
        text(ax, -0.11, 1.1, telling, of="axes", fontsize=11, weight="bold"),
        level(ax, lambda _: 1.0, color="#B0B0B0", lw=1, ls=":"),
        curve(ax, "wait", "tokens", "share", color=COLOUR["network"]),
        diamond(ax, "tokens", "even"),
    )


def _host_summary(table):
    h = row(table)
    return (
        f"{h.host} at {si(h.host_bytes_per_s, 'B/s', 3)} and {h.share:.0%} of the peak: {h.sent} hide behind {plain(h.tokens, 3)} tokens of a step. To take the activations of Llama 3 8B "
        f"away while they are made would need {si(h.activations_bytes_per_s, 'B/s', 3)}."
    )


host = Exhibit(
    slug="08-host",
    title="When the host's link is fast enough.",
    caption="Sending states to the host and back, over the computing of a step. Sizes and chips cancel. Where does sending only gradients "
    "and weights cease to hurt on an H100?",
    alt="A falling line on logarithmic axes: sending takes a hundred times the computing at a hundred tokens and a thousandth of it at a million.",
    controls={
        "host": Control(label="chip and link", values=tuple(HOSTS), start="H100, PCIe 5"),
        "sent": Control(label="sent for each parameter", values=tuple(SENT), start=next(iter(SENT))),
        "share": Control(label="share of the peak", values=SHARES, start=0.4),
    },
    table=_host_table,
    draw=_host_draw,
    summary=_host_summary,
)

# ---- terabytes ---------------------------------------------------------------------------------------

WHAT = ("bytes of all states", "share of the chips' memory")
NAMED = (
    "BERT-large",
    "GPT-2 1.5B",
    "GPT-3 175B",
    "Switch-1.5T (MoE)",
    "PaLM 540B",
    "Llama 2 70B",
    "Llama 3.1 405B",
    "DeepSeek-V3 671B (MoE)",
    "Kimi K2 1T (MoE)",
)

FEW = ("Switch-1.5T (MoE)", "PaLM 540B", "DeepSeek-V3 671B (MoE)")


@keep
def _states_table(what):
    found = memory.states()
    large = found["state_bytes"] > 1e12
    return stack(
        run={
            "name": found["name"],
            "year": found["year"],
            "value": found["state_bytes"] if what == WHAT[0] else found["memory_share"],
        },
        here={
            "what": what,
            "large": int(large.sum()),
            "runs": large.size,
            "median": float(np.nanmedian(found["memory_share"][large])),
            "told": int(np.isfinite(found["memory_share"][large]).sum()),
            "largest_bytes": float(found["state_bytes"].max()),
        },
    )


def _states_draw(figure):
    ax = panel(figure, 0.115, 0.09, 0.975, 0.86)
    x_axis(ax, "", 2017, 2026.6, ticks={y: str(y) for y in range(2017, 2027)})
    y_axis(ax, "", 1, 10, log="")

    def limits(table):
        bytes_ = row(table).what == WHAT[0]
        if bytes_:
            y_axis(ax, "bytes of all states of the run", 5e8, 1e14, log="B")
        else:
            y_axis(
                ax,
                "share of the memory of its chips",
                6e-4,
                1.5,
                log="",
                ticks={1e-3: "0.1 %", 1e-2: "1 %", 0.1: "10 %", 1: "100 %"},
            )
        h = row(table)
        return (
            f"{h.large:.0f} of {h.runs:.0f} runs above a terabyte: {h.median:.1%} of their chips' memory "
            f"(median of {h.told:.0f})"
        )

    def names(table):
        found = pick(table, "run", "name").tolist()
        year, value = pick(table, "run", "year", "value")
        named = NAMED if row(table).what == WHAT[0] else FEW
        mine = [i for i, n in enumerate(found) if n in named and np.isfinite(value[i])]
        return [found[i].removesuffix(" (MoE)") for i in mine], year[mine] - 0.08, value[mine] * 1.28

    return updating(
        text(ax, -0.11, 1.07, limits, of="axes", fontsize=10, weight="bold"),
        level(ax, lambda table: 1e12 if row(table).what == WHAT[0] else 1e-9, color="#B0B0B0", lw=1, ls=":"),
        circles(ax, "run", "year", "value", ms=5),
        labels(ax, names, align="right", size=8.5),
    )


def _states_summary(table):
    h = row(table)
    return (
        f"Shown: {h.what}. {h.large:.0f} of {h.runs:.0f} published runs have states above a terabyte, the largest {si(h.largest_bytes, 'B', 3)}; they take "
        f"{h.median:.1%} of the memory of their chips in the median."
    )


states = Exhibit(
    slug="08-states",
    title="Terabytes, dealt out.",
    caption="Published runs: 18 bytes for each parameter. Switch to the share of the memory of all their chips. "
    "Since when are states terabytes, and how full do they make a cluster?",
    alt="Points from 2017 to 2026 rising from gigabytes to tens of terabytes, most large ones between one and thirty.",
    controls={"what": Control(label="show", values=WHAT, start=WHAT[0])},
    table=_states_table,
    draw=_states_draw,
    summary=_states_summary,
    rescales=True,
)
