"""Exercises of chapter 03, What does a transformer ask for?"""

import numpy as np

from bottlenecks.facts import corpus, tables
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import counting
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.models import ops
from bottlenecks.studies import ledgers

BUDGET_S, BATCH, CONTEXT = 14e-3, 64, 8192  # of 03.9
QWEN = {  # of the chapter's last section
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
LLAMA = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}


def cache_bytes(layers, kv_heads, head_values, value_bytes):
    """Bytes that one token leaves in the cache: a key and a value for each of its heads in each layer."""
    return 2 * layers * kv_heads * head_values * value_bytes


def cache_bytes_per_token(name):
    """The same by the ledger of a model, 16 bits a value."""
    return ops.total(ops.decode(model(name), batch=1, context_tokens=1024), "cache_bytes") / 1024


def sequences(memory_bytes):
    """Sequences of 8,192 tokens whose cache fits beside the weights of Llama-3-8B, 16 bits a value."""
    return (memory_bytes - 2 * model("Llama-3-8B").params) / (8192 * cache_bytes_per_token("Llama-3-8B"))


def even_tokens(layer_params, heads, head_values):
    """Length of a sequence at which causal attention costs what the products with weights cost."""
    return layer_params / (heads * head_values)


def lengthened(layer_params, attention_width, short, long):
    """How many times more operations a layer asks for per token when sequences grow from one length to another."""
    return (layer_params + long * attention_width) / (layer_params + short * attention_width)


def slowdown():
    """How many times fewer tokens per second a run of Llama-3-405B made at 262,144 tokens than at 32,768."""
    table = corpus.table("training")
    mine = (table["model"] == "Llama 3.1 405B") & (table["n_chips"] == 512) & (table["recompute"] == "full")
    short, long = (table["tokens_per_s_per_chip"][mine & (table["seq_len"] == tokens)][0] for tokens in (32768, 262144))
    return short / long


def asked_for(**options):
    """How many times more operations the ledger of Llama-3-405B asks for per token at the same two lengths."""
    short, long = (
        ledgers.training_flop_per_token(model("Llama-3-405B"), tokens=tokens, **options) for tokens in (32768, 262144)
    )
    return long / short


def touched(experts, experts_per_token, tokens):
    """Experts that at least one of the tokens visits, on average (eq:experts-touched)."""
    return counting.experts_touched(experts, experts_per_token, tokens)


def met(experts, experts_per_token, tokens):
    """Tokens that an expert meets on average, of the experts that are read."""
    return tokens * experts_per_token / touched(experts, experts_per_token, tokens)


def mixtral_step_s(params):
    """Seconds in which an A100 reads so many parameters of 8 bits."""
    return params / chip("A100 SXM 80GB").memory_bytes_per_s


def mixtral_measured_s():
    """Seconds per token of Mixtral-8x7B with 8-bit weights for one user on an A100."""
    table = corpus.table("inference")
    mine = (table["model"] == "Mixtral-8x7B") & (table["chip_name"] == "A100 SXM 80GB") & (table["n_chips"] == 1)
    mine &= (table["weight_dtype"] == "int8") & (table["phase"] == "decode") & (table["batch"] == 1)
    return table["s_per_output_token"][mine][0]


def needed_share(recomputed):
    """Share of the operations that the model needs when a part of the forward pass is made twice."""
    return 3 / (3 + recomputed)


def reported_passes(name):
    """Forward passes that a run's reported operations amount to, at two operations for each parameter and token."""
    runs = tables.table("training_runs")
    i = list(runs["model"]).index(name)
    return runs["reported_flop"][i] / (2 * runs["params"][i] * runs["tokens"][i])


def layer(config, tokens):
    """(parameters, operations per token) of a layer: forward, in a sequence of `tokens`, half of the square."""
    width, wide = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    params = 2 * width * width + 2 * width * width * kv_heads // heads + 3 * width * wide
    return params, 2 * params + 2 * tokens * width


def megatron_row():
    """The row of 03.8: 1,024 chips in 11.9 seconds per step."""
    table = corpus.table("training")
    mine = (table["model"] == "GPT-175B") & (table["n_chips"] == 1024) & (table["step_time_s"] == 11.9)
    i = np.flatnonzero(mine)[0]
    return {
        name: table[name][i]
        for name in ("n_chips", "step_time_s", "global_batch_seqs", "seq_len", "flop_per_s_per_chip", "mfu")
    }


def counted_flop_per_s(**options):
    """Rate of all chips of that row, from its time and the ledger's operations."""
    row = megatron_row()
    flop = ledgers.training_flop_per_token(model("GPT-3 175B"), tokens=row["seq_len"], **options)
    return flop * row["seq_len"] * row["global_batch_seqs"] / row["step_time_s"]


def most_kv_heads():
    """Key-value heads of Llama-3-8B, not rounded, with which an H100 reads a decode step's bytes in the budget."""
    rows = ops.decode(model("Llama-3-8B"), batch=BATCH, context_tokens=CONTEXT)
    cache, everything = ops.total(rows, "cache_bytes"), ops.total(rows, "bytes")
    allowed = BUDGET_S * chip("H100 SXM5").memory_bytes_per_s - (everything - cache)
    return allowed / cache * model("Llama-3-8B").kv_heads


def allowed_kv_heads():
    """The largest number of them that divides the query heads."""
    heads = model("Llama-3-8B").heads
    return max(k for k in range(1, heads + 1) if heads % k == 0 and k <= most_kv_heads())


def latent_intensity():
    """FLOP per byte of DeepSeek-V3's attention in a decode step."""
    rows = ops.decode(model("DeepSeek-V3"), batch=64, context_tokens=8192)
    return ops.intensity_flop_per_byte(next(row for row in rows if row.kind == "attention"))


Exercise(
    id="03.x1",
    unit="%",
    expected=lambda: (
        100 * ledgers.parameters_by_part(model("DeepSeek-V3"))["experts not met"] / model("DeepSeek-V3").params
    ),
    hint="Look at the bar of DeepSeek-V3 twice: all parameters, and those met by a token.",
    rtol=0.01,
    slips={
        100
        * (1 - 8 / 256): "that is the share of the experts; attention, the shared expert and the tables are met by all"
    },
    minutes=2,
)
Exercise(
    id="03.x2",
    unit="tokens",
    expected=lambda: np.log(0.1) / np.log(1 - 8 / 128),
    hint="One token misses an expert with the probability of 120 in 128. How often must that be multiplied by itself to give a tenth?",
    rtol=0.06,  # read off a figure
    slips={0.9 * 128 / 8: "that would do if no two tokens chose the same expert"},
    minutes=3,
)
Exercise(
    id="03.x3",
    unit="tokens",
    expected=lambda: ledgers.tokens_at(model("Llama-3-8B"), over_six_n_d=1.3),
    hint="Move the tokens until the curve stands at 1.3.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        0.3
        * even_tokens(
            model("Llama-3-8B").layer_params, 32, 128
        ): "the table of words, which never multiplies, makes up for the first tokens"
    },
    minutes=2,
)
Exercise(
    id="03.x4",
    unit="FLOP/B",
    expected=latent_intensity,
    hint="Find the dot that stands close to the ridge, and read its place on the axis.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        ops.ridge_flop_per_byte(chip("H100 SXM5"), format="bf16"): "that is the ridge",
        64.0: "that is where the products stand",
    },
    minutes=2,
)
Exercise(
    id="03.1",
    unit="",
    expected=lambda: model("Llama-3-70B").attention_params,
    hint="Four matrices: for queries, keys, values and output. Keys and values have fewer heads.",
    slips={
        4 * 8192**2: "that gives keys and values a head for each query head",
        2 * 8192**2 + 8192 * 1024: "that has keys or values, and both are needed",
        8192**2 + 2 * 8192 * 1024: "the output needs a matrix as well",
    },
    minutes=4,
    kind="warm-up",
)
Exercise(
    id="03.2",
    unit="FLOP",
    expected=lambda: counting.six_n_d_flop(540e9, 780e9),
    hint="Two operations for each weight and token in a forward pass, and training is three of them.",
    slips={
        2 * 540e9 * 780e9: "that is the forward pass alone",
        8 * 540e9 * 780e9: "that computes the forward pass twice",
    },
    minutes=2,
    kind="warm-up",
)
Exercise(
    id="03.3a",
    hint="Keys and values, for each of their heads, in each layer.",
    judge_with=like(cache_bytes, (32, 8, 128, 2), (80, 8, 128, 1), (96, 96, 128, 2)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="03.3b",
    unit="B",
    expected=lambda: cache_bytes_per_token("Llama-3-70B"),
    hint="The formula of part a. Count the heads of keys and values, and two bytes for each number.",
    slips={
        2 * 80 * 64 * 128 * 2: "that counts the query heads",
        2 * 80 * 8 * 128: "keys and values are both kept, and each number is two bytes",
    },
    minutes=3,
)
Exercise(
    id="03.3c",
    unit="",
    expected=lambda: np.floor(sequences(chip("H100 SXM5").memory_bytes)),
    hint="Subtract the weights from the memory, divide by the cache of a whole sequence. Half a sequence serves nobody.",
    rtol=0.005,
    slips=lambda: {
        sequences(chip("H100 SXM5").memory_bytes): "sequences are whole",
        sequences(80e9): "sequences are whole, and the device reports more than the 80 GB that are printed",
        np.floor(sequences(80e9)): "the device reports more than the 80 GB that are printed",
        chip("H100 SXM5").memory_bytes // (8192 * cache_bytes_per_token("Llama-3-8B")): "the weights need room as well",
    },
    minutes=5,
    kind="compare",
)
Exercise(
    id="03.4a",
    hint="Per token and layer: two operations for each weight, and twice the length times the width of all heads in attention.",
    judge_with=like(lengthened, (855.6e6, 8192, 8192, 131072), (218.1e6, 4096, 2048, 4096), (15.7e6, 2048, 1, 1000)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="03.4b",
    unit="times",
    expected=lambda: lengthened(model("Llama-3-70B").layer_params, 8192, 8192, 131072),
    hint="Count the weights of one layer first: attention as in 03.1, and three matrices of the feed-forward.",
    slips=lambda: {
        16.0: "only attention grows with the length",
        lengthened(
            model("Llama-3-70B").layer_params, 2 * 8192, 8192, 131072
        ): "that counts the whole square; half of it is needed",
        lengthened(
            model("Llama-3-70B").layer_params, 1024, 8192, 131072
        ): "queries have more heads than keys, and each does its own scores",
    },
    minutes=5,
)
Exercise(
    id="03.4c",
    unit="times",
    expected=lambda: slowdown() / asked_for(),
    hint="Per token, a layer's weights cost the same at both lengths, and attention grows with the length. Divide, then compare.",
    rtol=0.03,
    slips=lambda: {
        slowdown(): "that is the measured slowdown; divide it by the one that the ledger asks for",
        asked_for(): "that is what the ledger asks for; how much slower was the run?",
        slowdown() / asked_for(causal="full"): "that counts the whole square, of which half is needed",
        slowdown() / 8: "per token, only attention grows eightfold",
    },
    minutes=10,
    stars=3,
    kind="compare",
)
Exercise(
    id="03.5a",
    hint="Count the visits, and divide them by the experts that are read.",
    judge_with=like(met, (8, 2, 2), (256, 8, 64), (64, 6, 1)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="03.5b",
    unit="tokens",
    expected=lambda: met(256, 8, 32),
    hint="Visits are eight for each token. The experts that are read share them.",
    slips={
        1.0: "that shares them among all experts, and many are not read",
        32.0: "each token visits some of the experts",
    },
    minutes=4,
)
Exercise(
    id="03.5c",
    unit="times",
    expected=lambda: mixtral_measured_s() / mixtral_step_s(ledgers.multiplying_params(model("Mixtral-8x7B"))),
    hint="Add what one token multiplies with: attention, two experts in each layer and the output matrix. One byte each, over the bandwidth.",
    rtol=0.03,
    slips=lambda: {
        mixtral_measured_s()
        / mixtral_step_s(
            model("Mixtral-8x7B").params
        ): "that reads all eight experts, and beats the bound: one token visits two",
        mixtral_measured_s()
        / mixtral_step_s(2 * ledgers.multiplying_params(model("Mixtral-8x7B"))): "a weight of 8 bits is one byte",
    },
    minutes=8,
    stars=2,
    kind="compare",
)
Exercise(
    id="03.6a",
    hint="Training is three forwards. Add the part that is made twice.",
    judge_with=like(needed_share, (0.0,), (1.0,), (0.25,)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="03.6b",
    unit="%",
    expected=lambda: 100 * needed_share(1),
    hint="How many passes does the model need, and how many does the hardware make?",
    slips={
        100 * 2 / 3: "backward is two passes, and forward one",
        100 * 4 / 3: "that is the hardware's work over the model's need",
    },
    minutes=2,
)
Exercise(
    id="03.6c",
    unit="",
    expected=lambda: reported_passes("OPT-175B"),
    hint="A forward pass is two operations for each parameter and token. How many of them does the reported number hold?",
    slips=lambda: {
        3.0: "that is what the model needs; what does the report hold?",
        reported_passes("OPT-175B") / 3: "that is the report over six operations for each parameter and token",
    },
    minutes=5,
    kind="compare",
)
Exercise(
    id="03.7",
    hint="Queries and output have the width of all heads, keys and values that of fewer, and the feed-forward three matrices.",
    judge_with=like(layer, (LLAMA, 8192), (QWEN, 4096), (QWEN, 32768)),
    rtol=1e-3,  # S (S + 1) / 2 pairs will do as well
    minutes=12,
    stars=2,
    kind="program",
)
Exercise(
    id="03.8",
    unit="FLOP/s",
    expected=counted_flop_per_s,
    hint="Count the tokens of a step, multiply by the operations per token, divide by the seconds.",
    rtol=0.03,
    slips=lambda: {
        megatron_row()["flop_per_s_per_chip"] * 1024: "that is the printed rate",
        counted_flop_per_s() / 3: "training is three forwards",
        counted_flop_per_s() / 1024: "that is the rate of one chip; the table prints that of all",
    },
    minutes=10,
    stars=2,
    kind="find the error",
)
Exercise(
    id="03.9",
    unit="",
    expected=allowed_kv_heads,
    hint="Which part of the bytes do key-value heads change, and how much of it fits into the budget?",
    rtol=0.005,
    slips=lambda: {
        most_kv_heads(): "heads are whole, and their number must divide that of the query heads",
        np.floor(most_kv_heads()): "their number must divide that of the query heads",
        4.0: "compute the bytes of that step: weights, cache and the rest",
    },
    minutes=12,
    stars=3,
    kind="design",
)
Exercise(id="03.10", hint="Sort the operations of ops.decode by their bytes.", minutes=20, stars=2, kind="open")
