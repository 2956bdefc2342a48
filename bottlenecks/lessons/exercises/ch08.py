"""Exercises of chapter 08, What fills the memory?"""

import numpy as np

from bottlenecks.exhibits import ch08_clock
from bottlenecks.laws import memory as law
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import memory

ADAM = {"weight_bytes": 2, "gradient_bytes": 4, "state_bytes": 12}  # mixed precision, gradients summed in 32 bits
SEVEN, EIGHT = 6.738e9, 8.03e9  # parameters of Llama 2 7B and of Llama 3 8B
LAYER = {"width": 4096, "queries": 4096, "keys": 1024, "inner": 14336}  # of Llama 3 8B
ROOM = {"memory": 85.5e9, "held_back": 0.1, "layers": 32, "vocab": 128256, "logit_bytes": 10}  # of 08.5
LINK = {"sent_bytes": 2, "flop_per_s": 396e12, "bytes_per_s": 63e9}  # of 08.6
PRINTED = {"params": 70.55e9, "printed": 300e9}  # of 08.8: huggingface's page on fine-tuning Llama 3 70B
CARD = {"memory": 85.5e9, "gaps": 0.1, "contexts": 2.7e9, "activations": 10e9, "each": 8}  # of 08.9


def states_bytes(params, weight_bytes, gradient_bytes, state_bytes, stage, ranks):
    """Bytes of weights, gradients and states on each chip."""
    return params * (
        weight_bytes / (ranks if stage >= 3 else 1)
        + gradient_bytes / (ranks if stage >= 2 else 1)
        + state_bytes / (ranks if stage >= 1 else 1)
    )


def kept_bytes(width, queries, keys, inner):
    """Bytes that a gated layer keeps of a token in 16 bits, everything kept, attention fused (its sums left out)."""
    return 2 * (4 * width + 2 * queries + 2 * keys + 3 * inner)


def most_tokens(room, layers, kept, logits):
    """Tokens of a micro-batch whose activations and logits fill a room."""
    return room / (layers * kept + logits)


def room():
    """What an H100 of 08.5 has left for activations: a tenth held back, states of 18 bytes dealt to eight."""
    return ROOM["memory"] * (1 - ROOM["held_back"]) - states_bytes(EIGHT, *ADAM.values(), 3, 8)


def tokens_kept(kept):
    return most_tokens(room(), ROOM["layers"], kept, ROOM["vocab"] * ROOM["logit_bytes"])


def crest(changes):
    """The most that is held, from what comes and goes in turn."""
    return np.max(np.cumsum(changes))


def largest_params():
    return (CARD["memory"] / (1 + CARD["gaps"]) - CARD["contexts"] - CARD["activations"]) / CARD["each"]


FIRST = "Llama 3.1 8B, 8 H100"


def clock_crest(recompute, zero="as it ran", host=0):
    """GB at the crest of the first run of the clock."""
    here = ch08_clock.clock_of_bytes.table(run=FIRST, recompute=recompute, zero=zero, host=host)
    mine = here["series"] == "here"
    return float(here["total"][mine][0]) / 1e9


Exercise(
    id="08.x1",
    unit="GB",
    expected=lambda: states_bytes(SEVEN, *ADAM.values(), 0, 1),
    hint="Choose Llama-2-7B: the summary has what Adam in mixed precision needs, to three digits.",
    slips={
        SEVEN * 8: "that is Adam in 16 bits alone",
        SEVEN * 2: "those are the weights alone",
        SEVEN * 16: "gradients are summed in 32 bits",
    },
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="08.x2",
    unit="GB",
    expected=lambda: 1e9 * clock_crest("all layers"),
    hint="Leave the first run and ZeRO as it ran, and compute all layers again: the head of the picture has the crest.",
    slips=lambda: {
        1e9 * clock_crest("nothing"): "that is with nothing computed again",
        1e9 * clock_crest("half of the products"): "that is with half of the products computed again",
    },
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="08.x3",
    unit="GB",
    expected=lambda: states_bytes(EIGHT, *ADAM.values(), 1, 8),
    hint="Choose eight chips and stage 1: the head of the picture has the bytes per chip.",
    slips={
        states_bytes(EIGHT, *ADAM.values(), 0, 8): "that is without ZeRO",
        states_bytes(EIGHT, *ADAM.values(), 2, 8): "that is stage 2",
        states_bytes(EIGHT, *ADAM.values(), 3, 8): "that is stage 3",
    },
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="08.x4",
    unit="%",
    expected=lambda: 100 * (memory.again("Llama-3-8B", 32768, True)["full"][1] - 1),
    hint="Choose 32,768 tokens: the head of the picture has how much longer everything again takes.",
    slips=lambda: {
        100 * (memory.again("Llama-3-8B", 8192, True)["full"][1] - 1): "that is at 8,192 tokens",
        100 / 3: "that is the share of operations; a step has other parts too",
    },
    rtol=0.03,
    minutes=2,
)
Exercise(
    id="08.x5",
    unit="tokens",
    expected=lambda: memory.hidden_tokens("H100 SXM5", memory.ALL_SENT),
    hint="Choose the H100 and let all states go out and in: the diamond stands at the tokens.",
    slips=lambda: {memory.hidden_tokens("H100 SXM5", memory.STATES_SENT): "that is with gradients and weights alone"},
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="08.1",
    unit="GB",
    expected=lambda: 1.24e9 * 18,
    hint="Two bytes of weight, four of gradient, twelve of states.",
    slips={1.24e9 * 16: "gradients of 32 bits are four bytes", 1.24e9 * 2: "those are the weights"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="08.2",
    unit="GB",
    expected=lambda: 8192 * 128256 * 10.0,
    hint="A score for each token and word; ten bytes for each.",
    slips={8192 * 128256 * 4.0: "that is one copy in 32 bits", 2048 * 128256 * 10.0: "that is one of the four texts"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="08.3a",
    hint="What is dealt out is divided by the ranks: states from stage 1, gradients from 2, weights from 3.",
    judge_with=like(
        states_bytes, (8.03e9, 2, 4, 12, 1, 8), (7e10, 2, 2, 12, 3, 64), (1e9, 2, 4, 4, 2, 4), (1e9, 2, 4, 12, 0, 4)
    ),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.3b",
    unit="GB",
    expected=lambda: states_bytes(EIGHT, *ADAM.values(), 2, 8),
    hint="2 bytes whole, and 16 over eight.",
    slips={
        states_bytes(EIGHT, *ADAM.values(), 1, 8): "that is stage 1",
        states_bytes(EIGHT, *ADAM.values(), 3, 8): "that is stage 3",
    },
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="08.3c",
    unit="times",
    expected=lambda: states_bytes(EIGHT, *ADAM.values(), 2, 8) / states_bytes(EIGHT, *ADAM.values(), 3, 8),
    hint="08.3b over 18/8 bytes for each parameter.",
    slips={8.0: "only the weights are still whole at stage 2"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="08.4a",
    hint="Two norms and what they read, d each; queries and the heads' result; keys and values; gate, up and their product. Two bytes each.",
    judge_with=like(kept_bytes, (4096, 4096, 1024, 14336), (8192, 8192, 1024, 28672), (64, 64, 64, 256)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.4b",
    unit="kB",
    expected=lambda: float(kept_bytes(**LAYER)),
    hint="2 x (16,384 + 8,192 + 2,048 + 43,008).",
    slips={kept_bytes(**LAYER) / 2.0: "two bytes for each value", 8192.0: "that is its vector alone"},
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="08.4c",
    unit="times",
    expected=lambda: kept_bytes(**LAYER) / 8192,
    hint="Its vector is 4,096 values of two bytes.",
    slips={32.0 * kept_bytes(**LAYER) / 8192: "that is over all layers"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="08.5a",
    hint="Each token takes l A bytes in the layers, and its logits once.",
    judge_with=like(most_tokens, (5e10, 32, 139264, 1282560), (1e10, 80, 16384, 1e6), (1.0, 1, 1, 1)),
    minutes=3,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.5b",
    unit="tokens",
    expected=lambda: tokens_kept(kept_bytes(**LAYER)),
    hint="The room is 0.9 x 85.5 GB less 18 bytes of 8.03 billion parameters over eight chips.",
    slips={
        most_tokens(room(), 32, kept_bytes(**LAYER), 0): "logits take room as well",
        most_tokens(ROOM["memory"] * 0.9, 32, kept_bytes(**LAYER), 1282560): "the states take room as well",
    },
    rtol=0.01,
    minutes=4,
)
Exercise(
    id="08.5c",
    unit="times",
    expected=lambda: tokens_kept(2.0 * 4096) / tokens_kept(kept_bytes(**LAYER)),
    hint="Everything computed again keeps a token's vector of each layer, 8,192 bytes.",
    slips={kept_bytes(**LAYER) / 8192: "the logits do not shrink with the layers"},
    rtol=0.01,
    minutes=4,
    kind="compare",
)
Exercise(
    id="08.6a",
    hint="b N bytes over W, against 6 N B operations over R: N cancels.",
    judge_with=like(
        lambda sent, rate, link: sent * rate / (6 * link), (2, 4e14, 63e9), (12, 1.2e14, 31.5e9), (1, 6, 1)
    ),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.6b",
    unit="tokens",
    expected=lambda: float(law.hiding_tokens(**LINK)),
    hint="2 x 396e12 / (6 x 63e9).",
    slips={
        float(law.hiding_tokens(**LINK)) * 6: "six operations for each parameter and token",
        float(law.hiding_tokens(**LINK)) * 3: "backward counts too",
    },
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="08.6c",
    unit="times",
    expected=lambda: float(law.hiding_tokens(**LINK)) / 512,
    hint="Sending over computing: the tokens that would hide it, over the tokens that there are.",
    slips=lambda: {512 / float(law.hiding_tokens(**LINK)): "the other way round"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="08.7",
    hint="np.cumsum gives what is held after each change.",
    judge_with=like(crest, (np.array([4.0, 3.0, 3.0, -3.0, 5.0, -3.0, -5.0]),), (np.array([1.0, -1.0, 2.0]),)),
    minutes=5,
    stars=2,
    kind="program",
)
Exercise(
    id="08.8",
    unit="GB",
    expected=lambda: PRINTED["params"] * 8,
    hint="Weights and gradients of two bytes, two moments of two bytes: the least that Adam keeps.",
    slips={PRINTED["printed"]: "that is the printed number", PRINTED["params"] * 4: "that is weights and gradients"},
    rtol=0.01,
    minutes=5,
    stars=2,
    kind="find the error",
)
Exercise(
    id="08.9",
    unit="",
    expected=lambda: largest_params() / 1e9,
    hint="Take the gaps off first: what may be used is the memory over 1.1. Then contexts and activations. Eight bytes for each parameter remain.",
    slips={
        (CARD["memory"] - CARD["contexts"] - CARD["activations"]) / CARD["each"] / 1e9: "that leaves no gaps",
        largest_params() / 1e9 * 8 / 18: "that is mixed precision, with 18 bytes",
        (CARD["memory"] / 1.1) / 8 / 1e9: "contexts and activations take room",
    },
    rtol=0.01,
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="08.10",
    hint="bottlenecks fits MODEL CHIP --train ... prints the bytes by what they are for; nvidia-smi has what was held.",
    minutes=30,
    stars=3,
    kind="open",
)
