"""Summary sheets and the glossary: a page for each chapter, its numbers computed."""

import string
import tomllib
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.book import chapters
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import binary, plain, si
from bottlenecks.laws import memory, pipelines, roofline, serving, tiling, traffic, trust
from bottlenecks.lessons.alphabet import card, notation
from bottlenecks.lessons.show import Table
from bottlenecks.models.collectives import fitted

__all__ = ["glossary", "notation", "sheet"]


class Page:
    """Markdown, as the last line of a cell."""

    def __init__(self, markdown):
        self.markdown = markdown

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


def glossary(chapter=None):
    """The book's words and the trade's, of one chapter or of all, in alphabetical order."""
    rows = [row for row in data.rows("glossary") if chapter in (None, row["chapter"])]
    return Table(
        {
            "our word": f"**{row['term']}**",
            "the trade's": row["trade"],
            "what it is": row["definition"],
            "symbol": f"${row['symbol']}$" if row["symbol"] else "",
            "chapter": row["chapter"],
        }
        for row in sorted(rows, key=lambda row: row["term"])
    )


def sheet(chapter):
    """The summary sheet of a chapter: its laws, thresholds and traps."""
    written = _sheets()
    if chapter not in written:
        raise ValueError(f"chapter {chapter!r} has no sheet; there are: {', '.join(written)}")
    of, cards = written[chapter], [card(name) for name in written[chapter]["laws"]]
    question = chapters()[chapter]["question"]
    laws = [f"| {each.title} | ${' '.join(each.equation.split())}$ |" for each in cards]
    return Page(
        "\n".join(
            [
                f"### {chapter} · {question}",
                "",
                "| law | |",
                "|---|---|",
                *laws,
                "",
                "**To use**",
                "",
                *(f"- {filled(sentence)}" for sentence in of["thresholds"]),
                "",
                "**Traps**",
                "",
                *(f"- {trap}" for trap in of["traps"]),
            ]
        )
    )


@cache
def _sheets():
    return tomllib.loads((data.FOLDER / "sheets.toml").read_text(encoding="utf-8"))


def filled(sentence):
    """A sentence whose {names} are replaced by the numbers that they stand for."""
    names = [name for _, name, _, _ in string.Formatter().parse(sentence) if name]
    return sentence.format(**{name: number(name) for name in names})


@cache
def number(name):
    """One of the numbers of the sheets, as text."""
    return NUMBERS[name]()


# ---- the numbers ----------------------------------------------------------------------------------


def _h100():
    return chip("H100 SXM5")


def _ridge(format):
    return roofline.ridge_flop_per_byte(
        peak_flop_per_s=_h100().peak_flop_per_s(format), bytes_per_s=_h100().memory_bytes_per_s
    )


@cache
def _achieved(what):
    from bottlenecks.measured import first_estimate

    return first_estimate.achieved_fractions()[what]


def _link_depth():
    chips = {"chips": 2, "value_bytes": 2, "flop_per_s": _h100().peak_flop_per_s("fp16")}
    return traffic.inner_size_to_hide(**chips, bytes_per_s=_h100().link_bytes_per_s)


def _equal_tokens(name):
    """Tokens of a sequence at which causal attention asks for as much as a layer's weights: N_ℓ / (h d_h)."""
    m = model(name)
    return m.active_block_params / m.layers / (m.heads * m.head_values)


def _start_s():
    from bottlenecks.models import kernels

    return kernels.device(_h100(), "fp16").fixed_s


def _over_floor():
    from bottlenecks.studies import decoding

    floors = decoding.floors()
    return floors["measured_s"] / floors["floor_s"]


def _utilisations():
    from bottlenecks.studies import one_device

    return one_device.utilisations().values()


@cache
def products_flop_per_s():
    """The rate of products in Llama-3.1-405B's steps on H100s: their operations over their part of the waterfall."""
    from bottlenecks.studies import runs

    run, m = runs.waterfall("Llama-3.1-405B, H100 (2024)"), model("Llama-3.1-405B")
    flop = 6 * (m.active_block_params + m.head_params) * run["tokens"] / run["chips"]
    return flop / (flop / _h100().peak_flop_per_s("bf16") + run["rows"]["products below the peak"])


PORT_BYTES_PER_S = 400e9 / 8  # of each chip: 400 Gbit/s
IN_A_MACHINE = 8  # chips, and as many ports


def copy_tokens(flop_per_s):
    """Tokens per chip that hide the exchange of copies, when a ring crosses a machine's ports once for all its chips."""
    return traffic.data_parallel_tokens(
        flop_per_s=flop_per_s, bytes_per_s=IN_A_MACHINE * PORT_BYTES_PER_S, sent_bytes=6
    )


def _bubble():
    wait = float(pipelines.bubble_s(1.0, 2.0, 1.0, stages=8, chunks=1, micro_batches=32, schedule="1f1b"))
    return wait / (32 * 3.0 + wait)


def _cache_bytes():
    m = model("Llama-3-70B")
    return memory.kv_cache_bytes(1, layers=m.layers, kv_heads=m.kv_heads, head_values=m.head_values, value_bytes=2)


def _attention():
    from bottlenecks.studies import attention

    return attention


def _memory():
    from bottlenecks.studies import memory

    return memory


def _state_share():
    found = _memory().states()
    return float(np.nanmedian(found["memory_share"][found["state_bytes"] > 1e12]))


def _forms():
    from bottlenecks.studies import forms

    return forms


def _splitting():
    from bottlenecks.lessons.exercises import ch04

    return ch04


def _wiring():
    from bottlenecks.lessons.exercises import ch13

    return ch13


def _agreeing():
    from bottlenecks.lessons.exercises import ch12

    return ch12


def _exercised():
    from bottlenecks.lessons.exercises import ch22

    return ch22


NUMBERS = {
    "layerkept": lambda: plain(_memory().again("Llama-3-8B", 8192, True)["none"][0] / 1e3, 3),
    "againcost": lambda: plain(100 * (_memory().again("Llama-3-8B", 32768, True)["full"][1] - 1), 2),
    "hosttokens": lambda: plain(_memory().hidden_tokens("H100 SXM5", _memory().STATES_SENT), 2),
    "allhosttokens": lambda: plain(_memory().hidden_tokens("H100 SXM5", _memory().ALL_SENT), 2),
    "terabytes": lambda: str(int((_memory().states()["state_bytes"] > 1e12).sum())),
    "stateshare": lambda: plain(100 * _state_share(), 2),
    "gpt3half": lambda: plain(_equal_tokens("GPT-3 175B"), 3),
    "llama8half": lambda: plain(_equal_tokens("Llama-3-8B"), 3),
    "v3half": lambda: plain(_attention().half("DeepSeek-V3"), 3),
    "fusedtime": lambda: plain(_attention().crossings("Llama-3-8B", "fused")["time"], 2),
    "overlappedtime": lambda: plain(
        _attention().crossings("Llama-3-8B", "fused, products and softmax at once")["time"], 2
    ),
    "indexpays": lambda: plain(_forms().pays_from()["an index chooses 2,048 latents"]["operations"], 2),
    "half_measured": lambda: binary(_agreeing().measured_half_bytes()),
    "call_us": lambda: plain(1e6 * fitted().call_s, 2),
    "ratio": lambda: plain(float(_splitting().losses.ratio_at(_splitting().losses.law(_splitting().FIT), 5.76e23)), 2),
    "wasted": lambda: plain(_splitting().wasted_percent(3.0), 2),
    "split": lambda: plain(
        float(_splitting().losses.best(_splitting().losses.law(_splitting().FIT), 1e24).params) / 1e9, 2
    ),
    "walked": lambda: plain(_splitting().served_params(), 2),
    "four": lambda: plain(
        100 * float(_splitting().law.effective_tokens(4.0, 1.0, fade=_splitting().losses.REPEATED)) / 4, 2
    ),
    "kept_cube": lambda: plain(100 * float(_wiring().wired.kept("a torus in 3-D", 4096)), 2),
    "copper_chips": lambda: plain(_wiring().wired.copper_chips()),
    "light_low": lambda: plain(1e12 * _wiring().racks.joules_per_bit("active electrical cable")[0], 2),
    "light_high": lambda: plain(1e12 * _wiring().racks.joules_per_bit("single-mode optics")[1], 2),
    "bus_eight": lambda: plain(float(_agreeing().bus_over_link(8)), 3),
    "training_surely": lambda: plain(_exercised().surely_percent(), 1),
    "pooled_one": lambda: plain(_exercised().pooled_times(_exercised().FIRST, 1), 3),
    "half_width": lambda: f"{float(trust.share_inside(0.8, 0.5)):.0%}",
    "left_row": lambda: f"{_exercised().lookup()[0]:.0%}",
    "left_source": lambda: f"{_exercised().lookup()[1]:.0%}",
    "ridge_h100": lambda: si(_ridge("fp16"), "FLOP/B"),
    "rows_h100": lambda: plain(_ridge("fp16"), 1),
    "ridge_h100_fp8": lambda: si(_ridge("fp8"), "FLOP/B"),
    "matmul_share": lambda: plain(_achieved("matmul"), 2),
    "link_depth": lambda: plain(_link_depth(), 4),
    "in_flight_h100": lambda: si(
        roofline.bytes_in_flight(bytes_per_s=_h100().memory_bytes_per_s, latency_s=_h100().level("HBM").latency_s),
        "B",
        2,
    ),
    "tenth_70b": lambda: plain(_equal_tokens("Llama-3-70B") / 10, 2),
    "equal_70b": lambda: plain(_equal_tokens("Llama-3-70B"), 2),
    "experts_deepseek": lambda: plain(model("DeepSeek-V3").experts / model("DeepSeek-V3").experts_per_token),
    "start_h100": lambda: si(_start_s(), "s", 2),
    "cores_h100": lambda: plain(_h100().cores),
    "tie": lambda: plain(tiling.overlapped_s(1.0, 1.0)),
    "mfu_low": lambda: f"{min(_utilisations()):.0%}",
    "mfu_high": lambda: f"{max(_utilisations()):.0%}",
    "floor_low": lambda: plain(np.min(_over_floor()), 2),
    "floor_high": lambda: plain(np.max(_over_floor()), 2),
    "floor_median": lambda: plain(np.median(_over_floor()), 2),
    "cache_70b": lambda: si(_cache_bytes(), "B"),
    "drafts": lambda: plain(serving.speculative_tokens(0.8, drafted=3)),
    "copy_tokens": lambda: plain(IN_A_MACHINE * copy_tokens(products_flop_per_s()), 2),
    "chip_tokens": lambda: plain(copy_tokens(products_flop_per_s()), 2),
    "bubble": lambda: f"{_bubble():.0%}",
    "products_rate": lambda: si(products_flop_per_s(), "FLOP/s"),
    "products_share": lambda: f"{products_flop_per_s() / _h100().peak_flop_per_s('bf16'):.0%}",
    "amdahl": lambda: plain(1 / (0.1 + 0.9 / 4)),
    "theirs": lambda: plain(copy_tokens(_h100().peak_flop_per_s("bf16")), 4),
    "ours": lambda: plain(copy_tokens(products_flop_per_s()), 2),
    "peak": lambda: si(_h100().peak_flop_per_s("bf16"), "FLOP/s"),
    "ports": lambda: si(IN_A_MACHINE * PORT_BYTES_PER_S, "B/s"),
}
