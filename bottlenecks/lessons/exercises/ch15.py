"""Exercises of chapter 15, Which split is fastest?"""

import numpy as np

from bottlenecks.exhibits import ch15_search
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import pipelines, traffic
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.lessons.exercises.ch14 import measured
from bottlenecks.models.machine import machine
from bottlenecks.studies import runs

STEP = {"whole_s": 10.0, "fixed_s": 1.0, "times": 4}  # of 15.1
MEGASCALE = {"stages": 8, "slices": 6}  # of 15.4
DENSE = {"width": 12288, "seq_len": 2048}  # GPT-3's, of 15.5b
CHECKPOINTS = 2 * 8192 * 4e6 * 3 * 80 + (2 + 8) * 70e9  # bytes of 15.8: three a layer, weights and optimiser's states
BUDGET = {"units": 10_000, "chip_s": 50_000, "open_s": 2.0, "links": 0.05}  # of 15.9
LLAMA, H100 = model("Llama-3.1-405B"), machine(chip("H100 SXM5"))
RUN = {  # of the chapter's run: what decides how many tensor ranks and copies send least
    "width": LLAMA.width,
    "layer_params": LLAMA.active_block_params / LLAMA.layers,
    "value_bytes": 2,
    "sent_bytes": 6,
    "data_bytes_per_s": 400e9 / 8,
    "tensor_bytes_per_s": 370e9,
}


def faster_with_fixed_part(whole_s, fixed_s, times):
    """Speed-up when only a part of the time is divided."""
    return whole_s / (fixed_s + (whole_s - fixed_s) / times)


def step_s(stages, micro_batches, slices=1):
    """Seconds of a step whose micro-batches take a stage one second each (eq:bubble)."""
    schedule = "interleaved" if slices > 1 else "1f1b"
    sizes = {"stages": stages, "chunks": slices, "micro_batches": micro_batches}
    return micro_batches + float(pipelines.bubble_s(1 / 3, 2 / 3, 1 / 3, **sizes, schedule=schedule))


def faster_with_bubble(stages, micro_batches, slices, times):
    """How many times faster a step gets with so many times the chips, which share its micro-batches."""
    return step_s(stages, micro_batches, slices) / step_s(stages, micro_batches / times, slices)


def ranks(sent_bytes, layer_params, value_bytes, width, chip_tokens, tensor_bytes_per_s, data_bytes_per_s):
    """eq:best-tensor-ranks, its arguments in order."""
    return traffic.best_tensor_ranks(
        chip_tokens,
        width=width,
        layer_params=layer_params,
        value_bytes=value_bytes,
        sent_bytes=sent_bytes,
        data_bytes_per_s=data_bytes_per_s,
        tensor_bytes_per_s=tensor_bytes_per_s,
    )


def megascale_s(chips):
    """Seconds of MegaScale's step of 6,144 sequences."""
    return measured("step_time_s", model="GPT-175B", software="MegaScale", n_chips=chips, global_batch_seqs=6144)


def explained_percent():
    """Of what MegaScale lacks to four times from 3,072 to 12,288 chips, what the bubble explains."""
    lost = 4 - megascale_s(3072) / megascale_s(12288)
    return 100 * (4 - faster_with_bubble(8, 128, 6, 4)) / lost


def again(backward):
    """How many times as long a step takes with every forward pass done twice."""
    return (2 + backward) / (1 + backward)


def attention_again_percent(width, seq_len):
    """Part of a step's arithmetic that attention's forward pass takes, in a layer of 12 d^2 parameters, in percent."""
    return 100 * 4 * seq_len * width / (24 * width**2 + 4 * seq_len * width) / 3


def korthikanti(name, column):
    """A number of Korthikanti's tables, for one of the models."""
    table = corpus.table("korthikanti2022")
    return float(table[column][table["model"] == name][0])


def again_measured():
    """Korthikanti's step of GPT-3 with everything computed again over that with attention alone."""
    return korthikanti("175B", "step_full_recompute_s") / korthikanti("175B", "step_seqpar_selective_s")


def state_bytes(params, tensor_ranks, stages, copies):
    """Bytes of weights, gradients and optimiser's states on a chip in the first stage of ZeRO."""
    return params / (tensor_ranks * stages) * (2 + 4 + 12 / copies)


def bytes_per_param():
    """What Korthikanti's trillion keeps on its 512 chips, for each parameter."""
    return korthikanti("1T", "par_opt_bytes") * korthikanti("1T", "gpus") / model("Megatron-GPT 1008B").params


def best_cut(chips, batch, least, cost):
    """(tensor ranks, stages), powers of two, with which a step of so many sequences is shortest.

    A copy takes `least` chips or more; each tensor rank after the first costs `cost` of the arithmetic.
    """
    found = []
    for tensor in (1, 2, 4, 8):
        for stages in 2 ** np.arange(int(np.log2(chips // tensor)) + 1):
            copies = chips // (tensor * stages)
            if tensor * stages >= least and copies <= batch:
                found.append((1 + cost * (tensor - 1) + (stages - 1) / (batch // copies), tensor, stages))
    return min(found)[1:]


def budget_s(speed, units, chip_s, open_s, links):
    """Seconds of 15.9's step where links are `speed` times as fast."""
    return chip_s * (1 + links * speed) / units + open_s / speed


def best_budget_s(units, chip_s, open_s, links):
    """The least of them, over all speeds."""
    return budget_s((open_s * units / (chip_s * links)) ** 0.5, units, chip_s, open_s, links)


def twice_counted():
    """HFU over MFU, both predicted, of the run of 2021."""
    found = runs.waterfall("GPT-3, Megatron, A100 (2021)")
    return found["hfu"] / found["full"]


Exercise(
    id="15.x1",
    unit="chips",
    expected=lambda: 16384 / ch15_search.TASKS["Llama-3.1-405B"][1],
    hint="There cannot be more copies than sequences. How many chips does that leave to each copy?",
    slips={
        16.0: "with eight chips to a copy each copy has one sequence, which is allowed",
        2048.0: "that is how many copies there can be; how many chips must each have?",
    },
    minutes=3,
)
Exercise(
    id="15.x2",
    unit="chips",
    expected=lambda: ch15_search.JOB / ch15_search.OF_A_CHIP,
    hint="The fixed step has 2^24 tokens, the growing one 2^14 for each chip.",
    slips={
        2048.0: "that is how many sequences the fixed step has",
        16384.0: "that is the tokens of each chip in the growing step",
    },
    minutes=3,
)
Exercise(
    id="15.x3",
    unit="times",
    expected=twice_counted,
    hint="The HFU counts what is computed again. Both are written above the bars.",
    slips={
        1.25: "a fifth of the step is a quarter of the rest in time; the two rates count operations",
        1.5: "a forward pass is half of a backward pass, and a third of both",
        2.0: "only the forward pass is done twice",
    },
    minutes=3,
)
Exercise(
    id="15.1",
    unit="times",
    expected=lambda: faster_with_fixed_part(**STEP),
    hint="Which part of the step is divided by four?",
    slips={
        4.0: "one second of the ten stays as it is",
        10 / 3.5: "the second that stays is part of the ten: nine are divided",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="15.2",
    unit="times",
    expected=lambda: faster_with_bubble(8, 32, 1, 2),
    hint="A step takes as long as mu + p - 1 micro-batches. What becomes of mu with twice the copies?",
    slips={
        2.0: "the bubble does not get shorter",
        (1 + 7 / 32) / (1 + 7 / 16): "that is what each chip keeps of its speed; there are twice as many chips",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="15.3a",
    hint="With g_t ranks a chip sends b_x N_l / g_t bytes to the other copies, and 8 b d g_t B_1 to its own ranks. Set the seconds equal.",
    judge_with=like(
        ranks,
        (6, 3.2e9, 2, 16384, 1024, 4e11, 5e10),
        (4, 2e8, 2, 4096, 4096, 9e11, 1e11),
        (6, 8e8, 1, 8192, 512, 2e11, 2e11),
    ),
    minutes=6,
    stars=2,
    kind="derive",
)
Exercise(
    id="15.3b",
    expected=lambda: traffic.best_tensor_ranks(1024, **RUN),
    hint="Put the numbers into part a. Tokens of a chip: those of the step over all chips.",
    slips=lambda: {
        traffic.best_tensor_ranks(1024, **RUN) ** 2: "the root is missing",
        traffic.best_tensor_ranks(
            1024, **RUN | {"tensor_bytes_per_s": 50e9}
        ): "the links inside a machine are faster than the ports",
    },
    minutes=4,
)
Exercise(
    id="15.3c",
    expected=lambda: traffic.best_tensor_ranks(16 * 1024, **RUN),
    hint="With p stages a chip has a p-th of the layers. How many tokens does it work on in each of them?",
    slips=lambda: {
        traffic.best_tensor_ranks(1024, **RUN): "that is without stages",
        traffic.best_tensor_ranks(1024, **RUN)
        / 16: "the tokens of a layer grow sixteenfold, and they stand under the root",
        traffic.best_tensor_ranks(64, **RUN): "stages leave a chip fewer layers, so more tokens in each of them",
    },
    minutes=6,
    stars=3,
    kind="compare",
)
Exercise(
    id="15.4a",
    hint="Per stage, a step takes as long as mu + (p - 1) / v micro-batches. Before and after, what is mu?",
    judge_with=like(faster_with_bubble, (8, 32, 1, 2), (8, 128, 6, 4), (16, 32, 8, 2), (4, 64, 1, 8)),
    minutes=4,
    stars=2,
    kind="derive",
)
Exercise(
    id="15.4b",
    unit="times",
    expected=lambda: faster_with_bubble(MEGASCALE["stages"], 128, MEGASCALE["slices"], 4),
    hint="How many copies are 3,072 chips, with 64 chips each? How many sequences has each copy?",
    rtol=0.005,
    slips={4.0: "the bubble does not get shorter", (128 + 7) / (32 + 7): "that is without slices"},
    minutes=4,
)
Exercise(
    id="15.4c",
    unit="%",
    expected=explained_percent,
    hint="What is missing to four times, measured and by your formula?",
    rtol=0.03,
    slips=lambda: {
        100 * faster_with_bubble(8, 128, 6, 4) * megascale_s(12288) / megascale_s(3072): "that is the formula's gain "
        "over the measured one; compare what each lacks to four",
        100 * (4 - 135 / 39) / (4 - megascale_s(3072) / megascale_s(12288)): "that is without slices",
    },
    minutes=4,
    stars=2,
    kind="compare",
)
Exercise(
    id="15.5a",
    hint="Count in forward passes: one, and r for the backward pass.",
    judge_with=like(again, (2.0,), (1.0,), (2.5,)),
    minutes=2,
    kind="derive",
)
Exercise(
    id="15.5b",
    unit="%",
    expected=lambda: attention_again_percent(**DENSE),
    hint="A layer has 24 d^2 operations for each token in its products, forwards, and 4 S d in attention. Three forward passes make a step.",
    slips={
        3 * attention_again_percent(**DENSE): "that is attention's part of a forward pass, and the step is three",
        100 / 3: "that is everything computed again",
    },
    minutes=5,
    stars=2,
)
Exercise(
    id="15.5c",
    unit="times",
    expected=lambda: 1 / (again_measured() - 1) - 1,
    hint="Set part a equal to the quotient of the two measured steps, and solve for r.",
    slips=lambda: {
        1 / (again_measured() - 1): "that is the whole step in forward passes",
        again_measured(): "that is the quotient of the two steps; which r makes it?",
    },
    minutes=4,
    stars=2,
    kind="compare",
)
Exercise(
    id="15.6a",
    hint="Tensor ranks and stages divide everything; copies divide the optimiser's states.",
    judge_with=like(state_bytes, (4e11, 8, 16, 128), (7e10, 4, 1, 64), (1e12, 8, 64, 1)),
    minutes=3,
    kind="derive",
)
Exercise(
    id="15.6b",
    unit="B",
    expected=lambda: state_bytes(LLAMA.params, 4, 8, 512),
    hint="16,384 chips in groups of 32 are how many copies?",
    slips=lambda: {
        LLAMA.params / 32 * 18: "that is without ZeRO",
        LLAMA.params / 32 * (2 + 16 / 512): "that is the second stage, which deals out gradients too",
        LLAMA.params / 32 * 18 / 512: "that is the third stage, which deals out all",
    },
    minutes=3,
)
Exercise(
    id="15.6c",
    unit="B",
    expected=bytes_per_param,
    hint="512 chips share the parameters. A gibibyte is 2^30 bytes.",
    slips=lambda: {
        bytes_per_param() * 1e9 / 2**30: "that takes the gibibytes for gigabytes",
        6.0: "that leaves out the optimiser's states, and there is one copy to keep them",
    },
    rtol=0.01,
    minutes=4,
    kind="compare",
)
Exercise(
    id="15.7",
    hint="Two loops over powers of two, one condition for memory, one for sequences, and the least of 1 + c (g - 1) + (p - 1) / mu.",
    judge_with=like(best_cut, (64, 64, 8, 0.05), (64, 1024, 8, 0.05), (16384, 2048, 128, 0.024), (1024, 512, 16, 0.2)),
    minutes=15,
    stars=2,
    kind="program",
)
Exercise(
    id="15.8",
    expected=lambda: 44 * 8960 / np.round(CHECKPOINTS / 96e9),
    hint="Add up the bytes with three checkpoints, divide by the memory of a chip, and the days by the chips.",
    slips={
        44 * 8960 / 225: "that belongs to 225 chips, which four checkpoints a layer would need",
        6.5 * 365: "that is the sentence; what do 44 days and the chips say?",
    },
    rtol=0.01,
    minutes=8,
    stars=2,
    kind="find the error",
)
Exercise(
    id="15.9",
    unit="s",
    expected=lambda: best_budget_s(**BUDGET),
    hint="Write the seconds as a function of the speed of the links. Faster links cost chips.",
    rtol=0.01,
    slips={
        budget_s(1, **BUDGET): "that leaves the links as they are",
        budget_s(20, **BUDGET): "that spends as much on links as on chips",
    },
    minutes=12,
    stars=3,
    kind="design",
)
Exercise(id="15.10", hint="search.search, then search.why_slower.", minutes=25, stars=3, kind="open")
