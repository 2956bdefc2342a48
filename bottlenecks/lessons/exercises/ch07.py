"""Exercises of chapter 07, When does attention take over?"""

import numpy as np

from bottlenecks.exhibits import ch07_drawn
from bottlenecks.facts.architectures import model
from bottlenecks.laws import attention as law
from bottlenecks.laws import tiling
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import attention, forms

GPT3 = {"width": 12288, "context": 2048}
SMALL = 4096  # width of 07.1
TILES = {"tokens": 16384, "head_values": 128, "value_bytes": 2, "block": 128}  # of 07.4
PASSES = 19  # over written scores, forward and backward, with a mask
PARTS = ((6.0, 1.0590, 4.0906), (4.0, 1.5215, 4.1867))  # largest score, sum of exponentials, result of two parts: 07.5
V32 = {"heads": 128, "full": 640, "chosen": 2176, "index_heads": 64, "index": 258, "keys": 2048}  # of 07.6
PRINTED = {"rate": 225e12, "params": 2.7e9, "layers": 32, "width": 2560, "context": 8192}  # of 07.8
PHASE = {"half": 53248, "main": 8192, "long": 131072, "tokens": 15e12, "share": 0.1}  # of 07.9
MILLION = {"tokens": 1e6, "seconds": 77.0, "chips": 128}  # yang2024cp, of 07.10


def half_tokens(layer_params, heads, head_values):
    """Context at which pairs take half of the operations."""
    return layer_params / (heads * head_values)


def reread_bytes(tokens, head_values, value_bytes, block):
    """Bytes of keys and values that a head reads if each block of queries reads all that lie before it."""
    return tokens**2 / (2 * block) * 2 * head_values * value_bytes


def third_tokens(layer_params, heads, head_values):
    """Context at which pairs take a third of the operations."""
    return half_tokens(layer_params, heads, head_values) / 2


def joined(most1, sum1, result1, most2, sum2, result2):
    """Attention over two parts of the keys, from what each part gives."""
    most = np.maximum(most1, most2)
    first, second = sum1 * np.exp(most1 - most), sum2 * np.exp(most2 - most)
    return (first * result1 + second * result2) / (first + second)


def second_percent():
    (most1, sum1, _), (most2, sum2, _) = PARTS
    second = sum2 * np.exp(most2 - most1)
    return 100 * float(second / (sum1 + second))


def index_pays(heads, full, chosen, index_heads, index, keys):
    """Tokens from which an index over all keys and attention to a few are fewer operations than attention to all."""
    return 2 * keys * heads * chosen / (heads * full - index_heads * index)


def index_share(tokens, heads, full, chosen, index_heads, index, keys):
    """The same operations over those of attention to all."""
    return (index_heads * index * tokens / 2 + heads * chosen * keys) / (heads * full * tokens / 2)


def needed_rate(rate, params, layers, width, context):
    """A rate that counted the full square of attention, with the half that is needed."""
    square = layers * width * context
    return rate * (6 * params + 6 * square) / (6 * params + 12 * square)


def phase_tokens(half, main, long, tokens, share):
    """Tokens of a long phase that costs a share of the main part."""
    return share * tokens * (1 + main / half) / (1 + long / half)


def streamed(scores, values, block):
    """Attention of one query, a block of keys at a time."""
    so_far = (-np.inf, 0.0, 0.0)
    for at in range(0, len(scores), block):
        s, v = scores[at : at + block], values[at : at + block]
        weights = np.exp(s - s.max())
        so_far = law.merged(so_far, (s.max(), weights.sum(), weights @ v))
    return so_far[2] / so_far[1]


def window_growth():
    """Pairs of 4,096 tokens over those of 2,048, each seeing 512."""
    four, two = (tiling.attention_pairs(n, n, causal=True, window=512.0) for n in (4096.0, 2048.0))
    return float(four / two)


def softmax_result():
    _, total, summed = ch07_drawn.so_far(4)
    return float(summed / total)


def read_share(form, cost="read"):
    """Percent of the usual form's bytes that a form reads for a decoded token at a million tokens."""
    usual = forms.costs(forms.forms()[forms.TODAY], 1048576.0)
    return 100 * float(forms.costs(forms.forms()[form], 1048576.0)[cost] / usual[cost])


def ring_percent(dealt, over="NVLink, 450 GB/s"):
    table = ch07_drawn.ring.table(context=131072.0, ranks=8.0, dealt=dealt, over=over)
    here = {
        name: values[table["series"] == "here"][0] for name, values in table.items() if name in ("ideal_s", "whole_s")
    }
    return 100 * float(here["ideal_s"]) / float(here["whole_s"])


INDEX, POOLED = "an index chooses 2,048 latents", "pooled latents and an index"

Exercise(
    id="07.x1",
    unit="tokens",
    expected=lambda: attention.crossings("Llama-3-8B", "fused")["time"],
    hint="Choose Llama-3-8B and fused attention and read the time in the head of the picture.",
    slips=lambda: {
        attention.crossings("Llama-3-8B", "fused")["operations"]: "that is half of the operations",
        attention.crossings("Llama-3-8B", "written out")["time"]: "that is with scores written out",
        attention.crossings("Llama-3-8B", "fused, products and softmax at once")[
            "time"
        ]: "that is with products and softmax at once",
    },
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="07.x2",
    unit="times",
    expected=window_growth,
    hint="Choose a window of 512 and compare the million pairs at 2,048 and at 4,096 tokens.",
    slips={4.0: "that is without a window", 2.0: "nearly; the first 512 tokens see fewer"},
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="07.x3",
    unit="",
    expected=softmax_result,
    hint="Step to the end: the head of the picture has the result.",
    slips=lambda: {float(np.mean(ch07_drawn.VALUES)): "that is the plain mean of the values"},
    rtol=0.002,
    minutes=2,
)
Exercise(
    id="07.x4",
    unit="%",
    expected=lambda: read_share(INDEX),
    hint="Choose a million tokens: the words below the picture have the number.",
    slips=lambda: {read_share(INDEX, "kept"): "that is what it keeps", read_share(POOLED): "that is DeepSeek-V4's"},
    rtol=0.05,
    minutes=3,
)
Exercise(
    id="07.x5",
    unit="%",
    expected=lambda: ring_percent("from both ends (zigzag)"),
    hint="Leave 131,072 tokens on 8 chips over NVLink and deal from both ends: the head of the picture says it.",
    slips=lambda: {ring_percent("in order"): "that is in order"},
    rtol=0.02,
    minutes=2,
)
Exercise(
    id="07.1",
    unit="tokens",
    expected=lambda: half_tokens(12 * SMALL**2, 32, 128),
    hint="A layer has twelve squares of the width, and all its heads together have one width.",
    slips={6 * SMALL: "that counts the full square", SMALL: "that is the width"},
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="07.2",
    unit="B",
    expected=lambda: 32 * 8192**2 * 2,
    hint="A score for each head and pair, two bytes each; the whole square is written.",
    slips={
        8192**2 * 2: "that is one head",
        32 * 8192**2: "that is a byte for each",
        16 * 8192**2 * 2: "the masked half is written too",
    },
    rtol=0.01,
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="07.3a",
    hint="A third of the whole is half as much as the weights take: 2 S h d_h = 2 N / 2.",
    judge_with=like(third_tokens, (12 * 4096**2, 32, 128), (2.2e8, 32, 128), (1.0, 1, 1)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="07.3b",
    unit="tokens",
    expected=lambda: third_tokens(model("Llama-3.1-405B").layer_params, 128, 128),
    hint="Its layer has 3.188 billion parameters, and 128 heads of 128 values.",
    slips=lambda: {
        third_tokens(model("Llama-3.1-405B").layer_params, 128, 128) / 2: "that counts the full square",
        half_tokens(model("Llama-3.1-405B").layer_params, 128, 128): "there attention has half",
    },
    rtol=0.005,
    minutes=3,
)
Exercise(
    id="07.3c",
    unit="%",
    expected=lambda: 100 * 131072 / (131072 + half_tokens(model("Llama-3.1-405B").layer_params, 128, 128)),
    hint="The square over the square and the weights: S over S + S of the half.",
    slips=lambda: {
        100
        * 131072
        / half_tokens(model("Llama-3.1-405B").layer_params, 128, 128): "that is the square over the weights alone"
    },
    rtol=0.01,
    minutes=3,
    kind="compare",
)
Exercise(
    id="07.4a",
    hint="The i-th block of S_b queries reads the i blocks before it; sum over S/S_b blocks; keys and values, each d_h values.",
    judge_with=like(reread_bytes, (16384, 128, 2, 128), (1024, 64, 2, 64), (4096, 128, 1, 192)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="07.4b",
    unit="B",
    expected=lambda: reread_bytes(**TILES),
    hint="16,384² over 256, times 2 x 128 values of 2 bytes.",
    slips={2 * reread_bytes(**TILES): "that is without the mask", reread_bytes(**TILES) / 2: "keys and values, both"},
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="07.4c",
    unit="times",
    expected=lambda: PASSES * TILES["value_bytes"] * TILES["tokens"] ** 2 / reread_bytes(**TILES),
    hint="The passes, times 16,384² scores of 2 bytes, over the bytes of 07.4b.",
    slips={1.0: "that is one pass", 38.0: "a block of 128 queries meets half of the square"},
    rtol=0.02,
    minutes=3,
    kind="compare",
)
Exercise(
    id="07.5a",
    hint="o z is the weighted sum of each part; bring both to the larger of the two maxima by exp(its own maximum - the larger).",
    judge_with=like(
        joined, (3.0, 1.553, 4.8, 5.0, 1.436, 3.9), (0.0, 1.0, 2.0, 0.0, 1.0, 4.0), (700.0, 2.0, 1.0, -700.0, 3.0, 9.0)
    ),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="07.5b",
    unit="",
    expected=lambda: float(joined(*PARTS[0], *PARTS[1])),
    hint="The second is weighed with 1.5215 exp(4 - 6) = 0.2059.",
    slips={
        (4.0906 + 4.1867) / 2: "that is the plain mean of the two",
        (1.059 * 4.0906 + 1.5215 * 4.1867) / (1.059 + 1.5215): "the second sum is still less its own maximum",
    },
    rtol=0.001,
    minutes=3,
)
Exercise(
    id="07.5c",
    unit="%",
    expected=second_percent,
    hint="0.2059 of 1.059 + 0.2059.",
    slips={100 * 1.5215 / (1.059 + 1.5215): "that forgets that its largest score is smaller"},
    rtol=0.01,
    minutes=2,
    kind="compare",
)
Exercise(
    id="07.6a",
    hint="h_i c_i S/2 + h c_k k < h c S/2, for S much larger than k.",
    judge_with=like(index_pays, tuple(V32.values()), (32, 512, 512, 8, 130, 1024), (1, 2.0, 2.0, 1, 1.0, 1)),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="07.6b",
    unit="tokens",
    expected=lambda: index_pays(**V32),
    hint="2 x 2,048 x 128 x 2,176 over 128 x 640 - 64 x 258.",
    slips={
        index_pays(**V32 | {"index": 0.0}): "the index itself costs operations too",
        index_pays(**V32) / 2: "a query meets half of the tokens in the mean",
        index_pays(**V32 | {"chosen": 640}): "a chosen latent is met in full: 2,176 operations",
    },
    rtol=0.01,
    minutes=3,
)
Exercise(
    id="07.6c",
    unit="%",
    expected=lambda: 100 * index_share(131072, **V32),
    hint="Both terms at S = 131,072 over h c S/2.",
    slips={100 * 64 * 258 / (128 * 640): "that is the index alone", 100 * 2048 / 65536: "that leaves out the index"},
    rtol=0.01,
    minutes=3,
    kind="compare",
)
Exercise(
    id="07.7",
    hint="Keep a maximum, a sum and a weighted sum; each block's own three are merged with them.",
    judge_with=like(
        streamed,
        (np.array([1.0, 3.0, 0.0, 2.0, 2.0, 5.0]), np.array([2.0, 4.0, 6.0, 8.0, 1.0, 3.0]), 2),
        (np.array([800.0, 801.0, 799.0]), np.array([1.0, 2.0, 3.0]), 2),
    ),
    minutes=8,
    stars=2,
    kind="program",
)
Exercise(
    id="07.8",
    unit="FLOP/s",
    expected=lambda: needed_rate(**PRINTED),
    hint="Per token 6N and 12 l d S were counted; 6N and 6 l d S are needed.",
    slips={PRINTED["rate"]: "that is the printed number", PRINTED["rate"] / 2: "only attention's part is halved"},
    rtol=0.01,
    minutes=6,
    stars=2,
    kind="find the error",
)
Exercise(
    id="07.9",
    unit="tokens",
    expected=lambda: phase_tokens(**PHASE),
    hint="A token costs 1 + S/53,247 of what its weights cost, in the main part and in the long phase.",
    slips={
        0.1 * 15e12: "a token of the long phase costs three times as much",
        0.1 * 15e12 / (1 + 131072 / 53247): "a token of the main part costs more than its weights, too",
        0.1 * 15e12 / 16: "the context is 16 times as long, but weights cost what they did",
    },
    rtol=0.01,
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="07.10",
    hint="attention.share_of_operations(model(name), context) has the share; a report's own words have the rest.",
    minutes=30,
    stars=3,
    kind="open",
)
