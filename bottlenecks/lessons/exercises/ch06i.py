"""Questions of the interlude after chapter 06: Llama-3-70B, trained for 30 days on H100s."""

from functools import cache

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import power
from bottlenecks.lessons.checks import Exercise
from bottlenecks.measured import scores
from bottlenecks.models import constants
from bottlenecks.studies import era

LLAMA, H100 = model("Llama-3-70B"), chip("H100 SXM5")
DAYS, TOKENS, SEQUENCE, BATCH = 30, 15e12, 8192, 2**24  # the order: the batch is of a step, in tokens
PORT_BYTES_PER_S = 400e9 / 8
STATE_BYTES, FOR_STATES = (
    18,
    64e9,
)  # of a parameter: weight 2, gradient 4, copy 4, two moments 8; what a chip has for them
AROUND, USD_PER_HOUR, USD_PER_KWH = 1.6, 2.50, 0.08  # watts of everything over those of the boards; two prices
LIKE = "PaLM 540B"  # the run whose losses between chips are borrowed
OTHER = {"passes": 4 / 3, "watts": 500}  # of the other board in the last table: four passes for three, and its cap
SECONDS = DAYS * 86400


def flop_per_token(square=0.5):
    """Operations of a token forwards and backwards, with half of the square of scores or another part of it."""
    return 6 * (LLAMA.active_block_params + LLAMA.head_params) + 12 * square * LLAMA.layers * LLAMA.width * SEQUENCE


def chips_at(flop_per_s):
    """Chips at a rate that do the run in its days."""
    return TOKENS * flop_per_token() / (SECONDS * flop_per_s)


def flop_per_joule():
    """Operations of a joule of a busy H100, as fitted on training steps in 16 bits."""
    return constants.training()["Hopper", "flop_per_joule_16"]


def sustained(watts=H100.tdp_watts):
    """FLOP/s that a board sustains on its watts."""
    return H100.peak_flop_per_s("bf16") * float(
        power.sustained_share(H100.peak_flop_per_s("bf16"), flop_per_joule=flop_per_joule(), watts=watts)
    )


@cache
def borrowed():
    """(part of the second that the model of one chip sees, products' part of the second) of a run of 2021."""
    found = next(run for run in era.runs() if run["model"] == LIKE)
    return 1 - found["unseen"], found["products of the second"]


def tokens_per_s(watts=H100.tdp_watts):
    """Tokens per second per chip in 16 bits, by hand."""
    return sustained(watts) * borrowed()[0] / flop_per_token()


def cluster():
    """Chips of the run."""
    return TOKENS / (SECONDS * tokens_per_s())


def in_8_bits(faster=2):
    """Tokens per second per chip if products alone get twice as fast."""
    return tokens_per_s() / (1 - borrowed()[1] + borrowed()[1] / faster)


def exchange_s(bytes_each=2):
    """Seconds in which the eight ports of a machine send every gradient and every weight once."""
    return 2 * bytes_each * LLAMA.params / (8 * PORT_BYTES_PER_S)


def step_s():
    """Seconds of a step of the cluster."""
    return BATCH / (cluster() * tokens_per_s())


def joules():
    """Energy of the run with everything around the boards."""
    return cluster() * H100.tdp_watts * AROUND * SECONDS


def rent_usd():
    """Rent of the chips."""
    return cluster() * DAYS * 24 * USD_PER_HOUR


def measured():
    """Rows of a table: runs of models of this shape on H100s that nothing was fitted to, each printed once."""
    rows, found = corpus.table("training"), scores.table("training")
    mine = (rows["role"] == "held-out") & (rows["suspect"] == "") & (rows["duplicate_of"] < 0)
    mine &= (found["params"] == LLAMA.params) & np.isfinite(found["ratio"])
    mine &= np.char.find(rows["chip_name"], "H100") >= 0
    return [
        {
            "program": f"{rows['software'][i]}, {rows['software_date'][i]}",
            "board": str(rows["chip_name"][i]),
            "chips": int(rows["n_chips"][i]),
            "format": str(rows["compute_dtype"][i]).split(" (")[0],
            "all layers computed again": "yes" if rows["recompute"][i] == "full" else "no, or not said",
            "by hand": f"{other_board() if rows['recompute'][i] == 'full' else in_8_bits():,.0f}",
            "this book's model": f"{found['predicted'][i]:,.0f}",
            "measured": f"{found['measured'][i]:,.0f}",
        }
        for i in np.flatnonzero(mine)
    ]


def other_board():
    """The estimate by hand for the board with fewer watts, where all layers are computed again."""
    return in_8_bits() / OTHER["passes"] * OTHER["watts"] / H100.tdp_watts


Exercise(
    id="06i.1",
    unit="",
    expected=lambda: float(LLAMA.params),
    hint="Count the matrices of a layer: queries and output of full width, keys and values of an eighth, three of the feed-forward. Then the two tables of words.",
    rtol=0.005,
    slips=lambda: {
        float(
            LLAMA.params - LLAMA.vocab * LLAMA.width
        ): "there are two tables of words, at the entrance and at the exit",
        float(LLAMA.params + LLAMA.layers * 2 * LLAMA.width * (LLAMA.width - 1024)): "keys and values have eight heads",
    },
    minutes=6,
    read="To read: chapter 03.",
)
Exercise(
    id="06i.2",
    unit="FLOP",
    expected=flop_per_token,
    hint="Six for each parameter that multiplies, and six for each layer, value of the width and token of the sequence.",
    slips=lambda: {
        6.0 * LLAMA.params: "attention is left out, and a table is counted that is only looked up",
        flop_per_token(0): "attention is left out",
        flop_per_token(1): "the masked half of the square need not be computed",
    },
    minutes=4,
    read="To read: chapter 03.",
)
Exercise(
    id="06i.3",
    unit="chips",
    expected=lambda: chips_at(H100.peak_flop_per_s("bf16")),
    hint="Operations of all tokens, over what one chip does in thirty days at its peak.",
    slips=lambda: {
        chips_at(2 * H100.peak_flop_per_s("bf16")): "the larger printed peak counts products by zeros",
        chips_at(H100.peak_flop_per_s("bf16")) * DAYS: "that is for a single day",
    },
    minutes=4,
    read="To read: chapter 06.",
)
Exercise(
    id="06i.4",
    unit="FLOP/s",
    expected=sustained,
    hint="Watts are joules per second. How many operations does a joule pay for?",
    slips=lambda: {
        H100.peak_flop_per_s("bf16"): "that is the peak, for which the board lacks the watts",
        flop_per_joule() * chip("H100 PCIe").tdp_watts: "that is the PCIe board",
    },
    minutes=3,
    read="To read: chapter 05, Watts.",
)
Exercise(
    id="06i.5",
    unit="tokens/s",
    expected=tokens_per_s,
    hint="The sustained rate holds for the part of the second in which the chip works. Divide by the operations of a token.",
    slips=lambda: {
        sustained() / flop_per_token(): "that is a chip that never waits for the others",
        H100.peak_flop_per_s("bf16") * borrowed()[0] / flop_per_token(): "that is the peak",
    },
    minutes=4,
    read="To read: chapter 06, The whole second.",
)
Exercise(
    id="06i.6",
    unit="chips",
    expected=cluster,
    hint="All tokens over the tokens that one chip makes in thirty days.",
    slips=lambda: {
        chips_at(sustained()): "that is a cluster whose chips never wait for each other",
        chips_at(H100.peak_flop_per_s("bf16")): "that is at the peak",
    },
    minutes=3,
)
Exercise(
    id="06i.7",
    unit="chips",
    expected=lambda: np.ceil(STATE_BYTES * LLAMA.params / FOR_STATES),
    hint="Bytes of all parameters with what belongs to them, over what one chip has room for. Chips are whole.",
    rtol=0.002,
    slips=lambda: {
        STATE_BYTES * LLAMA.params / FOR_STATES: "chips are whole",
        np.ceil(2 * LLAMA.params / FOR_STATES): "those are the weights alone",
    },
    minutes=4,
    read="Chapters 08 and 14 will take it up.",
)
Exercise(
    id="06i.8",
    unit="",
    expected=lambda: BATCH / SEQUENCE / cluster(),
    hint="How many sequences are in a step, and how many chips?",
    slips=lambda: {
        cluster() / (BATCH / SEQUENCE): "that is chips for each sequence",
        BATCH / cluster(): "those are tokens",
    },
    minutes=3,
    read="Chapter 14 will take it up.",
)
Exercise(
    id="06i.9",
    unit="s",
    expected=exchange_s,
    hint="Out go the gradients, back come the weights: two bytes for each parameter each way, through eight ports of 400 Gbit/s.",
    slips=lambda: {
        8 * exchange_s(): "that is one port for the whole machine",
        exchange_s() / 2: "that is one of the two ways",
        exchange_s() / 8: "the ports are sold in bits",
    },
    minutes=4,
    read="Chapters 12 and 14 will take it up.",
)
Exercise(
    id="06i.10",
    unit="J",
    expected=joules,
    hint="Chips, times their watts, times what stands around them, times the seconds. A kilowatt-hour is 3.6 MJ.",
    slips=lambda: {joules() / AROUND: "that is the boards alone", joules() / 3600: "those are watt-hours"},
    minutes=4,
)
Exercise(
    id="06i.11",
    unit="USD",
    expected=rent_usd,
    hint="Chips, hours and a price.",
    slips=lambda: {rent_usd() / 24: "a day has 24 hours", joules() / 3.6e6 * USD_PER_KWH: "that is the electricity"},
    minutes=3,
)
Exercise(
    id="06i.12",
    unit="tokens/s",
    expected=in_8_bits,
    hint="Only the part of the second that products own is halved.",
    slips=lambda: {
        2 * tokens_per_s(): "that halves the whole second",
        tokens_per_s() / (1 - borrowed()[1]): "that takes the products away",
        tokens_per_s(): "that is in 16 bits",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
