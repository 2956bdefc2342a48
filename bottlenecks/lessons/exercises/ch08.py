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
CARD = {"memory": 85.5e9, "gaps": 0.27, "driver": 2.7e9, "activations": 10e9, "each": 8}  # of 08.9


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
    used = (CARD["memory"] - CARD["driver"]) / (1 + CARD["gaps"])
    return (used - CARD["activations"]) / CARD["each"]


def stage2_chips(params, weight_bytes, gradient_bytes, state_bytes, room_bytes):
    """Chips among which stage 2 must deal gradients and states, not rounded."""
    return params * (gradient_bytes + state_bytes) / (room_bytes - params * weight_bytes)


def plain_kept_bytes(width, inner):
    """Bytes that a layer without a gate keeps of a token in 16 bits, with as many keys as queries, attention fused."""
    return 2 * (8 * width + 2 * inner)


FIRST = "Llama 3.1 8B, 8 H100"


def clock_crest(recompute, zero="as it ran", host=0):
    """GB at the crest of the first run of the clock."""
    here = ch08_clock.clock_of_bytes.table(run=FIRST, recompute=recompute, zero=zero, host=host)
    mine = here["series"] == "here"
    return float(here["total"][mine][0]) / 1e9


Exercise(
    id="08.x1",
    unit="B",
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
    unit="B",
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
    unit="B",
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
    expected=lambda: 100 * (memory.again("Llama-3-8B", 32768, True)["selective"][1] - 1),
    hint="Choose 32,768 tokens: the words below the picture have each way of computing again.",
    slips=lambda: {
        100 * (memory.again("Llama-3-8B", 8192, True)["selective"][1] - 1): "that is at 8,192 tokens",
        100 * (memory.again("Llama-3-8B", 32768, True)["products"][1] - 1): "that is half of the products",
        100 * (memory.again("Llama-3-8B", 32768, True)["full"][1] - 1): "that is everything",
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
    unit="B",
    expected=lambda: 1.24e9 * 18,
    hint="Two bytes of weight, four of gradient, twelve of states.",
    slips={1.24e9 * 16: "gradients of 32 bits are four bytes", 1.24e9 * 2: "those are the weights"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="08.2",
    unit="B",
    expected=lambda: 8192 * 128256 * 10.0,
    hint="A score for each token and word; ten bytes for each.",
    slips={8192 * 128256 * 4.0: "that is one copy in 32 bits", 2048 * 128256 * 10.0: "that is one of the four texts"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="08.3a",
    hint="N b_w stays on each chip; N (b_g + b_o) is divided by the chips.",
    judge_with=like(stage2_chips, (8.03e9, 2, 4, 12, 2e10), (7e10, 2, 2, 12, 1.6e11), (1e9, 2, 4, 4, 3e9)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.3b",
    unit="chips",
    expected=lambda: stage2_chips(EIGHT, *ADAM.values(), 20e9),
    hint="8.03 x 16 over 20 less 8.03 x 2.",
    slips={EIGHT * 18 / 20e9: "that is stage 3", EIGHT * 12 / (20e9 - EIGHT * 6): "that leaves the gradients whole"},
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="08.3c",
    unit="times",
    expected=lambda: stage2_chips(EIGHT, *ADAM.values(), 20e9) / (EIGHT * 18 / 20e9),
    hint="Stage 3 needs 18 x 8.03 / 20 chips.",
    slips={8.0: "weights are an eighth of nothing here: they are whole"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="08.4a",
    hint="Two norms and what they read, d each; queries, keys, values and the heads' result, d each; the inner width twice. Two bytes each.",
    judge_with=like(plain_kept_bytes, (12288, 49152), (4096, 16384), (64, 100)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.4b",
    unit="B",
    expected=lambda: float(plain_kept_bytes(12288, 49152)),
    hint="2 x (8 x 12,288 + 2 x 49,152).",
    slips={plain_kept_bytes(12288, 49152) / 2.0: "two bytes for each value", 2.0 * 12288: "that is its vector alone"},
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="08.4c",
    unit="%",
    expected=lambda: 100 * plain_kept_bytes(12288, 49152) / (34 * 12288),
    hint="34 x 12,288 bytes are 417,792.",
    slips={100 * 34 * 12288 / plain_kept_bytes(12288, 49152): "the other way round"},
    rtol=0.005,
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
        lambda sent, rate, tokens: sent * rate / (6 * tokens), (2, 4e14, 512), (12, 1.2e14, 4e6), (1, 6, 1)
    ),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="08.6b",
    unit="B/s",
    expected=lambda: LINK["sent_bytes"] * LINK["flop_per_s"] / (6 * 512),
    hint="2 x 396e12 / (6 x 512).",
    slips={
        LINK["sent_bytes"] * LINK["flop_per_s"] / 512: "six operations for each parameter and token",
        LINK["sent_bytes"] * LINK["flop_per_s"] / (2 * 512): "backward counts too",
    },
    rtol=0.01,
    minutes=2,
)
Exercise(
    id="08.6c",
    unit="times",
    expected=lambda: float(law.hiding_tokens(**LINK)) / 512,
    hint="08.6b over 63 GB/s.",
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
    unit="B",
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
    hint="(85.5 - 2.7) / 1.27 is what tensors may use; less 10 for activations, over 8 bytes.",
    slips={
        (CARD["memory"] - CARD["driver"] - CARD["activations"]) / CARD["each"] / 1e9: "that leaves no gaps",
        largest_params() / 1e9 * 8 / 18: "that is mixed precision, with 18 bytes",
        (CARD["memory"] - CARD["driver"]) / 1.27 / 8 / 1e9: "activations take room",
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
