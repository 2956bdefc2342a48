"""Exercises of chapter 14, How is one step split?"""

from functools import cache

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import pipelines, traffic
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.models.machine import machine
from bottlenecks.studies import running, splitting

STAGES, MICRO_BATCHES, SLICES = 8, 32, 4  # of 14.2 and 14.3b
COPIES = {"flop_per_s": 4e14, "bytes_per_s": 100e9 / 8}  # of 14.4b
AMPERE = {"flop_per_s": 160e12, "bytes_per_s": 240e9, "value_bytes": 2}  # of 14.5b
ASKING = {"heads": 32, "kv_heads": 8, "flop_per_s": 6e14, "bytes_per_s": 200e9 / 8}  # of 14.6b
RUN = {"flop_per_s": 642e12, "bytes_per_s": 400e9 / 8}  # of a chip in the chapter's run
BUDGET = {"units": 60, "per_100_gb_per_s": 10, "per_100_gbit_per_s": 5}  # of 14.9
LLAMA, H100 = model("Llama-3.1-405B"), chip("H100 SXM5")


def idle_percent(stages, micro_batches, slices=1):
    """Part of a whole step that a stage waits (eq:bubble), in percent."""
    schedule = "interleaved" if slices > 1 else "1f1b"
    wait = float(
        pipelines.bubble_s(1.0, 2.0, 1.0, stages=stages, chunks=slices, micro_batches=micro_batches, schedule=schedule)
    )
    return 100 * wait / (3 * micro_batches + wait)


def measured(column, **cells):
    """One number of the corpus: of the single row of training that has these cells, and the number."""
    table = corpus.table("training")
    alike = np.all([table[name] == cell for name, cell in cells.items()], axis=0)
    (found,) = np.flatnonzero(alike & np.isfinite(table[column]))
    return float(table[column][found])


def meta_flop_per_s(chips):
    """Rate of a chip that Meta printed for the chapter's run on so many."""
    return measured("flop_per_s_per_chip", model="Llama 3.1 405B", seq_len=8192, n_chips=chips)


def slices_for(slower, stages, few, many):
    """Slices with which a bubble alone makes a step `slower` times as long per micro-batch with few of them than with many."""
    return (stages - 1) * (1 / few - slower / many) / (slower - 1)


def meta_slices():
    """Slices of the chapter's run, if the bubble alone slowed it from 8,192 chips to 16,384."""
    return slices_for(meta_flop_per_s(8192) / meta_flop_per_s(16384), 16, 16, 32)


def megatron_flop_per_s(chips, zero):
    """Rate of a chip for GPT-3 as Megatron's authors measured it, with whole states and a pipeline, or with ZeRO 3."""
    return measured("flop_per_s_per_chip", model="GPT-174.6B", n_chips=chips, zero=zero)


def hiding_tokens():
    """Tokens of a chip with which the measured exchange of ZeRO 3 would take as long as products at the pipeline's rate."""
    return 2048 * megatron_flop_per_s(384, 0) / megatron_flop_per_s(1536, 3)


def tensor_ratio(ranks, width, layer_params, value_bytes, flop_per_s, bytes_per_s):
    """eq:tensor-ratio, its arguments in order."""
    sizes = {"width": width, "layer_params": layer_params, "value_bytes": value_bytes}
    return traffic.tensor_parallel_ratio(ranks, **sizes, flop_per_s=flop_per_s, bytes_per_s=bytes_per_s)


def gpt_ratio(ranks, width):
    """eq:tensor-ratio of a layer of 12 d^2 parameters on the A100 of 14.5."""
    return float(traffic.tensor_parallel_ratio(ranks, width=width, layer_params=12 * width**2, **AMPERE))


def slower_percent(first, second):
    """How many percent longer an operation takes at the second ratio of sending to computing, if nothing hides."""
    return 100 * ((1 + second) / (1 + first) - 1)


def measured_slower_percent():
    """The same of Megatron's 7.5 billion parameters on four ranks and 18.4 billion on eight."""
    four, eight = (
        measured("flop_per_s_per_chip", model=name, tp=ranks) for name, ranks in (("GPT-7.5B", 4), ("GPT-18.4B", 8))
    )
    return 100 * (four / eight - 1)


def context_tokens(value_bytes, width, kv_width, flop_per_s, bytes_per_s):
    """eq:context-tokens, its arguments in order."""
    sizes = {"width": width, "kv_width": kv_width, "value_bytes": value_bytes}
    return traffic.context_parallel_tokens(**sizes, flop_per_s=flop_per_s, bytes_per_s=bytes_per_s)


def meta_context():
    """(tokens of each rank in the chapter's run with long sequences, tokens that the law asks for)."""
    ranks = measured("cp", model="Llama 3.1 405B", seq_len=131072, n_chips=16384)
    return 131072 / ranks, context_tokens(2, LLAMA.heads, LLAMA.kv_heads, **RUN)


def step(forward_s, micro_batches):
    """Seconds of a 1F1B step whose stages take `forward_s` forwards for each micro-batch and twice that backwards."""
    stages, last = len(forward_s), micro_batches - 1

    @cache
    def forward(i, m):
        return (
            0.0 if i < 0 or m < 0 else max(forward(i - 1, m), forward(i, m - 1), back(i, m - stages + i)) + forward_s[i]
        )

    @cache
    def back(i, m):
        if i == stages or m < 0:
            return 0.0
        ahead = forward(i, min(m + stages - 1 - i, last))
        return max(ahead, back(i + 1, m), back(i, m - 1)) + 2 * forward_s[i]

    return back(0, last)


def unit_seconds():
    """Units times seconds of the links in 14.9: of the tensors' inside a machine, of the copies' over the ports."""
    sent = splitting.sent_bytes(LLAMA, running.example().layout)
    inside = float(sent["tensor"]) / 100e9 * BUDGET["per_100_gb_per_s"]
    return inside, float(sent["data"]) / (100e9 / 8) * BUDGET["per_100_gbit_per_s"]


def least_sending_s(first, second, units):
    """Least sum of two times that money shortens, their units times seconds given."""
    return (first**0.5 + second**0.5) ** 2 / units


def speed_at(seq_len):
    """What a pipeline of one layer a stage keeps of a chip's speed, 2^24 tokens a step, in percent."""
    found = splitting.alone(LLAMA, machine(H100), software="2024", tokens=2**24, seq_len=seq_len)
    return 100 * splitting.speed(found, "pipeline", LLAMA.layers)


Exercise(
    id="14.x1",
    expected=lambda: 27.0,
    hint="Three waits among so many works and three waits: which number makes that a tenth?",
    slips={
        30.0: "with these the bubble is a tenth of the work; the step is the work and the bubble",
        36.0: "a stage of four waits for the three others",
    },
    minutes=3,
)
Exercise(
    id="14.x2",
    unit="%",
    expected=lambda: speed_at(524288),
    hint="How many sequences, so how many micro-batches, are left of 2^24 tokens?",
    rtol=0.04,  # read off a figure
    slips=lambda: {
        100 * 32 / 125: "that is the work over the bubble; the step is the work and the bubble",
        speed_at(131072): "that is what 128k tokens leave",
    },
    minutes=3,
)
Exercise(
    id="14.x3",
    unit="times",
    expected=lambda: 1.0,
    hint="Whose activations are they? Does a copy have fewer sequences in its memory at a time when there are more copies?",
    slips={
        16.0: "ZeRO deals out weights, gradients and optimiser's states. Activations are each copy's own",
        2.0: "that is what becomes of the states: copies end at 2,048, one for each sequence",
    },
    minutes=3,
)
Exercise(
    id="14.1",
    unit="B",
    expected=lambda: 70e9 * (2 + 4 + 12 / 64),
    hint="Which of the three kinds of state does the first stage deal out?",
    rtol=0.01,
    slips={
        70e9 * 18: "that is a whole copy: the first stage deals out the optimiser's states",
        70e9 * (2 + 16 / 64): "that is the second stage, which deals out gradients too",
        70e9 * 18 / 64: "that is the third stage, which deals out all",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="14.2",
    unit="%",
    expected=lambda: idle_percent(STAGES, MICRO_BATCHES),
    hint="The bubble is measured in work; the step is work and bubble.",
    rtol=0.01,
    slips={
        100 * 7 / 32: "that is the bubble over the work; the step is the work and the bubble",
        100 * 8 / 40: "a stage waits for the others, and there is one fewer of them than stages",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="14.3a",
    hint="Over the work the bubble is (p - 1) / (v mu). The step is the work and the bubble.",
    judge_with=like(
        lambda p, mu, v: idle_percent(p, mu, v) / 100, (8, 32, 1), (8, 32, 4), (16, 16, 8), (4, 8, 2), (1, 5, 1)
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="14.3b",
    unit="%",
    expected=lambda: idle_percent(STAGES, MICRO_BATCHES, SLICES),
    hint="Slices divide the bubble, not the work.",
    rtol=0.01,
    slips={
        100 * 7 / 128: "that is the bubble over the work; the step is the work and the bubble",
        100 * 7 / 39 / 4: "slices divide the bubble, and with it the step becomes shorter",
        100 * 7 / 39: "that is without slices",
    },
    minutes=3,
)
Exercise(
    id="14.3c",
    expected=meta_slices,
    hint="Per micro-batch, a step takes 1 + (p - 1) / (v mu). Divide that for 16 micro-batches by that for 32, and solve for v.",
    slips=lambda: {
        15 / 16 / (meta_flop_per_s(8192) / meta_flop_per_s(16384) - 1): "that takes the whole bubble for the loss; "
        "the run on fewer chips had a bubble too",
        15 / 32 / (meta_flop_per_s(8192) / meta_flop_per_s(16384) - 1): "that is the difference of two bubbles; "
        "rates are to each other as whole steps are",
    },
    minutes=8,
    stars=3,
    kind="compare",
)
Exercise(
    id="14.4a",
    hint="Six operations for each parameter and token, b_x bytes for each parameter. Set the two times equal.",
    judge_with=like(
        lambda sent, rate, port: traffic.data_parallel_tokens(flop_per_s=rate, bytes_per_s=port, sent_bytes=sent),
        (6, 5e14, 5e10),
        (4, 1e15, 1e11),
        (8, 3e14, 2.5e10),
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="14.4b",
    unit="tokens",
    expected=lambda: traffic.data_parallel_tokens(**COPIES, sent_bytes=6),
    hint="Bits to bytes first; then the law.",
    slips={
        4e14 / 100e9: "a port of 100 Gbit/s does not carry 100 GB/s: bits and bytes",
        8 / 6 * 4e14 / 12.5e9: "eight bytes are sent in the third stage of ZeRO; here it is six",
    },
    minutes=3,
)
Exercise(
    id="14.4c",
    unit="tokens",
    expected=hiding_tokens,
    hint="How long does the exchange take, in tokens at 44 TFLOP/s? How many tokens last as long at the other rate?",
    slips=lambda: {
        2048
        * megatron_flop_per_s(768, 3)
        / megatron_flop_per_s(1536, 3): "that is the row above, whose chips wait as long",
        float(
            traffic.data_parallel_tokens(flop_per_s=153e12, bytes_per_s=200e9, sent_bytes=8)
        ): "that is what the law makes of eight rated ports; what did the rows show?",
        2048 * megatron_flop_per_s(1536, 3) / megatron_flop_per_s(384, 0): "that is the quotient upside down",
    },
    minutes=8,
    stars=3,
    kind="compare",
)
Exercise(
    id="14.5a",
    hint="Eight exchanges, each of (g - 1)/g of a token's values; six operations for each parameter, dealt to g chips.",
    judge_with=like(
        tensor_ratio,
        (8, 8192, 12 * 8192**2, 2, 5e14, 4e11),
        (2, 16384, 3.2e9, 2, 6e14, 4e11),
        (64, 4096, 2e8, 1, 1e15, 9e11),
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="14.5b",
    unit="%",
    expected=lambda: slower_percent(gpt_ratio(4, 4096), gpt_ratio(8, 6144)),
    hint="If nothing hides, an operation takes 1 + rho of the time of its arithmetic.",
    slips=lambda: {
        slower_percent(gpt_ratio(5, 4096), gpt_ratio(9, 6144)): "of a sum, a g-th stays where it is: (g - 1)/g is sent",
        100 * (gpt_ratio(8, 6144) - gpt_ratio(4, 4096)): "that is the difference of the ratios; compare whole times",
        100
        * (
            gpt_ratio(8, 6144) / gpt_ratio(4, 4096) - 1
        ): "so much longer takes sending alone, and most of the time is computing",
    },
    minutes=5,
    stars=2,
)
Exercise(
    id="14.5c",
    unit="%",
    expected=lambda: 100 * measured_slower_percent() / slower_percent(gpt_ratio(4, 4096), gpt_ratio(8, 6144)),
    hint="First the measured difference, from the two rates; then what part of part b it is.",
    slips=lambda: {
        measured_slower_percent(): "that is the measured difference; how much of the law's is it?",
        100
        * slower_percent(gpt_ratio(4, 4096), gpt_ratio(8, 6144))
        / measured_slower_percent(): "that is the law's difference in percent of the measured one",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="14.6a",
    hint="Under a causal mask 2 d_q S_q S_k operations, against 2 b d_kv S_k bytes that come by.",
    judge_with=like(
        context_tokens, (2, 16384, 1024, 5e14, 5e10), (1, 4096, 4096, 1e15, 1e11), (2, 4096, 1024, 6e14, 2.5e10)
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="14.6b",
    unit="tokens",
    expected=lambda: context_tokens(
        2, ASKING["heads"], ASKING["kv_heads"], ASKING["flop_per_s"], ASKING["bytes_per_s"]
    ),
    hint="What comes by is a quarter as wide as what asks.",
    slips={
        48000.0: "that is with a key head for each query head: what comes by is narrower",
        12000.0 / 8: "a port of 200 Gbit/s does not carry 200 GB/s: bits and bytes",
    },
    minutes=3,
)
Exercise(
    id="14.6c",
    unit="times",
    expected=lambda: meta_context()[0] / meta_context()[1],
    hint="How many tokens has each of sixteen ranks? How many would the law ask for?",
    slips=lambda: {
        131072 / meta_context()[1]: "that is the whole sequence; each rank holds a sixteenth of it",
        meta_context()[1] / meta_context()[0]: "that is what is asked for over what is there",
        meta_context()[0] / meta_context()[1] / 16: "the model has sixteen query heads for each key head",
    },
    minutes=4,
    stars=2,
    kind="compare",
)
Exercise(
    id="14.7",
    hint="A forward pass waits for that of the stage before and for its own stage's last work; what was that, in 1F1B? "
    "Write when each pass is done as a function of stage and micro-batch that calls itself.",
    judge_with=like(
        step, ([1.0] * 4, 8), ([1.0, 1.2, 1.0], 5), ([1.0] * 8, 16), ([2.0, 1.0], 1), ([0.5, 0.5, 1.5, 0.5], 7)
    ),
    minutes=20,
    stars=3,
    kind="program",
)
Exercise(
    id="14.8",
    expected=lambda: 28672 * H100.link_bytes_per_s / H100.peak_flop_per_s("bf16"),
    hint="The divisor is the rate of arithmetic over that of the links inside a machine.",
    slips={
        28672 / 1995: "which rates make 1,995? The links carry 450 GB/s",
        28672 / 2475: "that is for what leaves a machine, 400 GB/s",
    },
    minutes=5,
    stars=2,
    kind="find the error",
)
Exercise(
    id="14.9",
    unit="s",
    expected=lambda: least_sending_s(*unit_seconds(), BUDGET["units"]),
    hint="Write the sum with x units for the links and the rest for the port. At its least, one more unit gains as much on either side.",
    rtol=0.01,
    slips=lambda: {
        2 * sum(unit_seconds()) / BUDGET["units"]: "that spends half on each, or makes both times equal; it is a sum, "
        "so ask where one more unit gains most",
        sum(unit_seconds()) / BUDGET["units"]: "that lets the two hide behind each other; here they add up",
    },
    minutes=15,
    stars=3,
    kind="design",
)
Exercise(
    id="14.10",
    hint="runs.NAMED has the runs, splitting.published their layouts, splitting.price_table what each cut sends.",
    minutes=25,
    stars=3,
    kind="open",
)
