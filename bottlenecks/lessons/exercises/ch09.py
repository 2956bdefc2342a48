"""Exercises of chapter 09, Why is decoding slow?"""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import memory, serving
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import decoding

SHARE, FASTER = 0.55, 1.1  # of 09.x1: a resource's share, and how much faster it gets
EXCHANGE_S = 12e-6  # of 09.5b: one all-reduce
THETA, DRAFTED, DRAFT_COST = 0.8, 3, 0.1  # of 09.4b
GUESSES = 5  # of 09.4c: tokens that gpt-fast drafts for a pass, its default
STEP = {"whole_s": 16e-3, "fixed_s": 6e-3}  # of 09.6b
DENSE_67B = {"layers": 95, "kv_heads": 8, "head_values": 128}  # deepseek2024llm: the model of 09.8's comparison
BOUGHT = {"users": 64, "context": 8192, "step_s": 10e-3}  # of 09.9
A100, H100, H200 = map(chip, ("A100 SXM 80GB", "H100 SXM5", "H200 SXM"))
LLAMA_8B, LLAMA_70B, LLAMA_405B = map(model, ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B"))


def used(shape):
    """Weights that a token multiplies with."""
    return shape.active_block_params + shape.head_params


def cache_bytes(shape, tokens=1):
    """Bytes of cache of so many tokens, 16 bits a value."""
    return memory.kv_cache_bytes(
        tokens, layers=shape.layers, kv_heads=shape.kv_heads, head_values=shape.head_values, value_bytes=2
    )


def users_even(weight_bytes, context, layers, kv_heads, head_values, value_bytes):
    """Users whose caches together weigh as much as the weights."""
    kept = {"layers": layers, "kv_heads": kv_heads, "head_values": head_values, "value_bytes": value_bytes}
    return weight_bytes / memory.kv_cache_bytes(context, **kept)


def rate(name, chips, weights):
    """gpt-fast's measured tokens per second of one sequence."""
    return decoding.tokens_per_s("gptfast", name, chips=chips, weights=weights)


def decoded(tokens, name="Llama-3-8B", format="F16"):
    """Measured tokens per second of an answer of so many tokens, from an empty cache, on one A100 by llama.cpp."""
    rows = corpus.table("inference")
    mine = (rows["model"] == name) & (rows["chip_name"] == A100.name) & (rows["weight_dtype"] == format)
    mine &= (rows["phase"] == "decode") & (rows["output_len"] == tokens) & (rows["n_chips"] == 1)
    return rows["tokens_per_s"][mine][0]


def cache_rate(short=512, long=8192):
    """Bytes per second at which longer answers read their longer caches, half as long on average as at their end."""
    more_bytes = (long - short) / 2 * cache_bytes(LLAMA_8B)
    return more_bytes / (1 / decoded(long) - 1 / decoded(short))


def guessing(theta, drafted, cost):
    """How many times faster guessing makes a user, if a guess costs a part of a step."""
    return serving.speculative_tokens(theta, drafted=drafted) / (1 + drafted * cost)


def speculated():
    """gpt-fast's measured tokens per second of Llama-2-70B in 4 bits with a small model that guesses."""
    rows = corpus.table("inference")
    return rows["tokens_per_s"][(rows["source_id"] == "gptfast") & (rows["speculative"] == 1)][0]


def tokens_of_a_pass(guesses=GUESSES):
    """Tokens that a pass must have yielded in that run: its rate times the time of guesses and pass."""
    return speculated() * (guesses / rate("Llama-2-7B", 1, "int4") + 1 / rate("Llama-2-70B", 1, "int4"))


def even_chips(read_s, layers, exchange_s):
    """Chips with which two exchanges in each layer take as long as reading, which is `read_s` on one chip."""
    return read_s / (2 * layers * exchange_s)


def read_s(shape, device):
    """Seconds in which one chip reads the weights of a token once, in 16 bits."""
    return serving.latency_floor_s(2 * used(shape), chips=1, bytes_per_s=device.memory_bytes_per_s)


def left_for_an_exchange(name="Llama-2-7B", chips=8):
    """Seconds of a measured step that cutting has not shortened, for each of its all-reduces."""
    one_s, many_s = (1 / rate(name, n, "bf16") for n in (1, chips))
    return (many_s - one_s / chips) / (2 * model(name).layers)


def narrowed(whole_s, fixed_s, part):
    """How many times faster a step gets whose reading shrinks to a part of what it was."""
    return whole_s / (fixed_s + (whole_s - fixed_s) * part)


def step_with(part, name="Llama-2-70B", chips=8):
    """Seconds of a step whose weights have a part of 16 bits: fixed part and reading from two measured steps."""
    wide_s, half_s = (1 / rate(name, chips, weights) for weights in ("bf16", "int8"))
    fixed_s = 2 * half_s - wide_s
    return fixed_s + (wide_s - fixed_s) * part


def judge_coin(simulate):
    """Whether a program's tokens per pass agree with eq:speculative-tokens within five times its scatter."""
    if not callable(simulate):
        return "A function is asked for: hand over its name, without brackets."
    passes = 20000
    for theta, guesses in ((0.8, 3), (0.5, 1), (0.9, 6), (0.0, 4), (1.0, 4)):
        try:
            got = float(simulate(theta, guesses, passes, np.random.default_rng(1)))
        except Exception as error:  # whatever a reader's function does
            return f"It stops at a chance of {theta} and {guesses} guesses: {type(error).__name__}: {error}"
        if not abs(got - serving.speculative_tokens(theta, drafted=guesses)) < 5 * guesses / 2 / passes**0.5:
            return f"With a chance of {theta} and {guesses} guesses it gives {got:.2f} tokens per pass, which is not right."
    return ""


def coin(theta, guesses, passes, rng):
    """Tokens per pass of a simulated speculation: one for certain, and guesses up to the first that is wrong."""
    right = rng.random((passes, guesses)) < theta
    return 1 + np.cumprod(right, axis=1).sum(axis=1).mean()


def saved(against_bytes, latent="DeepSeek-V2", value_bytes=2):
    """Percent of a token's cache that a latent saves against so many bytes."""
    shape = model(latent)
    kept = {"latent_values": shape.kv_lora_rank, "rope_values": shape.qk_rope_values}
    return 100 * (
        1 - memory.latent_cache_bytes(1, layers=shape.layers, value_bytes=value_bytes, **kept) / against_bytes
    )


def dense_67b_bytes():
    """Bytes that a token leaves in the cache of the dense model with which the report compares."""
    return memory.kv_cache_bytes(1, **DENSE_67B, value_bytes=2)


def all_heads_bytes(name="DeepSeek-V2"):
    """Bytes that a token would leave with a key and a value of 128 numbers for every head."""
    shape = model(name)
    return memory.kv_cache_bytes(1, layers=shape.layers, kv_heads=shape.heads, head_values=128, value_bytes=2)


def chips_for(weight_bytes=2.0, cache_part=1.0):
    """H100s, before rounding up, that read Llama-3-70B and its users' caches in the time that is bought."""
    cached = BOUGHT["users"] * cache_bytes(LLAMA_70B, BOUGHT["context"]) * cache_part
    return (weight_bytes * used(LLAMA_70B) + cached) / (BOUGHT["step_s"] * H100.memory_bytes_per_s)


def cache_part(users, context, shape=LLAMA_70B):
    """Percent of a step's bytes that are cache."""
    cached = users * cache_bytes(shape, context)
    return 100 * cached / (cached + 2 * used(shape))


def latent_times():
    """How many times more a token leaves in the cache of Llama-3.1-405B than in that of DeepSeek-V3."""
    shape = model("DeepSeek-V3")
    kept = {"latent_values": shape.kv_lora_rank, "rope_values": shape.qk_rope_values, "value_bytes": 2}
    return cache_bytes(LLAMA_405B) / memory.latent_cache_bytes(1, layers=shape.layers, **kept)


Exercise(
    id="09.x1",
    unit="%",
    expected=lambda: (100 * (1 - FASTER**-SHARE) + 100 * SHARE * (FASTER - 1)) / 2,  # exact, and share x 10 %
    hint="A share is what one percent is worth. Ten percent are worth about ten times as much.",
    rtol=0.06,  # either is right, and so is 55 x (1 - 1 / 1.1)
    slips={
        10.0: "that would need the whole step to be this resource's",
        4.5: "that is what the other resources would save",
    },
    minutes=2,
)
Exercise(
    id="09.x2",
    unit="%",
    expected=lambda: cache_part(32, 8192),
    hint="The height of all caches, over the whole pile of weights and caches.",
    rtol=0.05,  # read off a figure
    slips=lambda: {
        cache_part(16, 8192): "that is with 16 users",
        cache_part(32, 8192) / (1 - cache_part(32, 8192) / 100): "that is over the weights alone",
    },
    minutes=2,
)
Exercise(
    id="09.x3",
    unit="times",
    expected=latent_times,
    hint="Two bars of the figure: the one model keeps a key and a value for each of eight heads, the other one short vector.",
    rtol=0.06,  # read off a figure
    slips=lambda: {
        latent_times() * 16: "that has a key and a value for every query head",
        cache_bytes(LLAMA_70B) / cache_bytes(LLAMA_405B) * latent_times(): "that is Llama-3-70B",
    },
    minutes=2,
)
Exercise(
    id="09.1",
    unit="s",
    expected=lambda: read_s(LLAMA_8B, H100),
    hint="Bytes of the weights that multiply, over the bandwidth.",
    slips=lambda: {
        2 * LLAMA_8B.params / H100.memory_bytes_per_s: "the input embedding is looked up, not read",
        2 * used(LLAMA_8B) / H100.peak_flop_per_s("bf16"): "that is the time of the multiplications",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="09.2",
    unit="chips",
    expected=lambda: np.ceil(read_s(LLAMA_70B, H200) / 2e-3),
    hint="How many bytes per second are needed, and how many does one chip give? Chips are whole.",
    rtol=0.01,
    slips=lambda: {
        read_s(LLAMA_70B, H200) / 2e-3: "chips are whole",
        np.floor(read_s(LLAMA_70B, H200) / 2e-3): "with so few the floor is still above two milliseconds",
        np.ceil(read_s(LLAMA_70B, H100) / 2e-3): "that is the H100",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="09.3a",
    hint="Bytes of the weights over the bytes of one user's cache: a key and a value, for each layer and head.",
    judge_with=like(
        users_even, (139e9, 8192, 80, 8, 128, 2), (15e9, 4096, 32, 32, 128, 1), (8e11, 131072, 126, 8, 128, 2)
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="09.3b",
    unit="users",
    expected=lambda: 2 * used(LLAMA_8B) / cache_bytes(LLAMA_8B, 8192),
    hint="Put the model's numbers into part a. How many of its heads have keys and values?",
    slips=lambda: {
        2 * LLAMA_8B.params / cache_bytes(LLAMA_8B, 8192): "the input embedding is looked up, not read",
        used(LLAMA_8B) / cache_bytes(LLAMA_8B, 8192) / 2: "that has a key and a value for every query head",
        4 * used(LLAMA_8B) / cache_bytes(LLAMA_8B, 8192): "there is a key and a value",
    },
    minutes=3,
)
Exercise(
    id="09.3c",
    unit="B/s",
    expected=cache_rate,
    hint="The cache grows from nothing, so on average it is half as long as the answer. How many bytes more, in how much more time?",
    slips=lambda: {
        2 * cache_rate(): "generation begins with an empty cache: on average it is half as long as at the end",
        A100.memory_bytes_per_s: "that is the printed bandwidth",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="09.4a",
    hint="Tokens of a round, over steps of a round. A round is one step of the large model and all the guesses.",
    judge_with=like(guessing, (0.8, 3, 0.1), (0.5, 1, 0.0), (0.9, 8, 0.05), (0.3, 2, 0.2)),
    minutes=4,
    kind="derive",
)
Exercise(
    id="09.4b",
    unit="times",
    expected=lambda: guessing(THETA, DRAFTED, DRAFT_COST),
    hint="One token for certain, and each further one only if all before it were right.",
    slips=lambda: {
        guessing(THETA, DRAFTED, 0): "guessing is not free",
        (1 + DRAFTED * THETA)
        / (1 + DRAFTED * DRAFT_COST): "a guess after a wrong one is thrown away, even if it is right",
    },
    minutes=3,
)
Exercise(
    id="09.4c",
    unit="tokens",
    expected=tokens_of_a_pass,
    hint="How long is a round, with five small steps and one large? How many tokens did the run make in that time?",
    slips=lambda: {
        speculated() / rate("Llama-2-70B", 1, "int4"): "that is the gain: a round takes longer than a step",
        GUESSES + 1.0: "that is with every guess right",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="09.5a",
    hint="Reading on g chips takes the g-th part. The exchanges take what they take. Set the two equal.",
    judge_with=like(even_chips, (0.24, 126, 12e-6), (41e-3, 80, 2e-5), (1.0, 10, 0.01)),
    minutes=4,
    kind="derive",
)
Exercise(
    id="09.5b",
    unit="chips",
    expected=lambda: even_chips(read_s(LLAMA_405B, H100), LLAMA_405B.layers, EXCHANGE_S),
    hint="How long does one chip take to read the weights? How many all-reduces has a step?",
    slips=lambda: {
        2 * even_chips(read_s(LLAMA_405B, H100), LLAMA_405B.layers, EXCHANGE_S): "there are two exchanges in a layer",
        even_chips(read_s(LLAMA_70B, H100), LLAMA_70B.layers, EXCHANGE_S): "that is Llama-3-70B",
    },
    minutes=3,
)
Exercise(
    id="09.5c",
    unit="s",
    expected=left_for_an_exchange,
    hint="If cutting had shortened everything, the step would take an eighth. What is left, and how many all-reduces share it?",
    slips=lambda: {
        1 / rate("Llama-2-7B", 8, "bf16") / 64: "that is the whole step: an eighth of the old one is still work",
        2 * left_for_an_exchange(): "there are two exchanges in a layer",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="09.6a",
    hint="Only the reading shrinks.",
    judge_with=like(narrowed, (16e-3, 6e-3, 0.5), (10.0, 0.0, 0.25), (3.0, 1.0, 0.3125)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="09.6b",
    unit="times",
    expected=lambda: narrowed(**STEP, part=0.5),
    hint="Which part of the step is halved?",
    slips=lambda: {
        2.0: "that halves the exchanges and the starts as well",
        STEP["whole_s"] / (STEP["whole_s"] - STEP["fixed_s"]): "that takes the fixed part away and leaves the reading",
    },
    minutes=3,
)
Exercise(
    id="09.6c",
    unit="s",
    expected=lambda: step_with(5 / 16),
    hint="Two measured steps give two unknowns: the fixed part, and the reading at 16 bits.",
    rtol=0.005,
    slips=lambda: {
        step_with(1 / 4): "a weight of 4 bits is stored in five",
        1 / rate("Llama-2-70B", 8, "int4"): "that is the measured step",
        5 / 16 / rate("Llama-2-70B", 8, "bf16"): "that narrows the whole step",
    },
    minutes=6,
    stars=2,
    kind="compare",
)
Exercise(
    id="09.7",
    hint="rng.random((passes, guesses)) < theta says which guesses are right. A guess counts if all before it in its pass are right too.",
    judge_with=judge_coin,
    minutes=10,
    stars=2,
    kind="program",
)
Exercise(
    id="09.8",
    unit="%",
    expected=lambda: saved(dense_67b_bytes()),
    hint="Count both caches in the same format: layers, heads and values of the dense model, layers and values of the latent.",
    slips=lambda: {
        saved(
            dense_67b_bytes(), value_bytes=6 / 8
        ): "that is what is printed: one of the two caches has 6 bits a value",
        saved(
            all_heads_bytes()
        ): "that is against a key and a value for each of its own heads; the other model has eight",
    },
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="09.9",
    unit="chips",
    expected=lambda: np.ceil(chips_for(cache_part=0.5)),
    hint="Which are more bytes, the weights or the caches? Halve those, and divide by what one chip reads in the time.",
    rtol=0.01,
    slips=lambda: {
        chips_for(cache_part=0.5): "chips are whole",
        np.ceil(chips_for(weight_bytes=1.0)): "that halves the weights. Are they the larger part?",
        np.ceil(chips_for()): "that halves nothing",
    },
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="09.10",
    hint="decoding.floors() has the rows. decoding.parts_table and step_shares say what the model finds beside the reading.",
    minutes=20,
    stars=3,
    kind="open",
)
