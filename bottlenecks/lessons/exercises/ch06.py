"""Exercises of chapter 06, Was it compute-bound?"""

from functools import cache

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.lessons.checks import Exercise, like
from bottlenecks.studies import era, one_device, widths

DAY_S = 86400
PCIE, AGAIN = 0.40, 0.30  # utilisations of 06.1 and 06.2
LLAMA_1 = {"params": 65.2e9, "tokens": 1.4e12, "chips": 2048, "days": 21}  # touvron2023: of 06.4
SINGLE, TOLD = cache(one_device.one_device_runs), cache(one_device.utilisations)
PAGE = {"days": 44, "chips": 8960, "bytes": 21.6e12, "chip_bytes": 96e9}  # the line of 06.8, as printed
WEEKS = {"all": 10, "unseen": 6, "rest": 4, "products": 5}  # of 06.9: the budget, and what each choice takes
A100, H100, V100 = map(chip, ("A100 SXM 80GB", "H100 SXM5", "V100 SXM2 32GB"))
MPT = {"params": 6.65e9, "layers": 32, "width": 4096}  # as the chapter's cell has it


def attention_share(params, layers, width, tokens):
    """Part of the needed operations that causal attention takes."""
    return layers * width * tokens / (params + layers * width * tokens)


def mpt_tokens_per_s(tokens):
    """Measured tokens per second per chip of MPT-7B on H100s, all layers computed again."""
    rows = corpus.table("training")
    mine = np.isin(rows["source_id"], corpus.showing("training", "long sequences")) & (rows["model"] == "MPT-7b")
    mine &= (rows["seq_len"] == tokens) & (rows["recompute"] == "full")
    return rows["tokens_per_s_per_chip"][mine][0]


def mpt_mfu(tokens, square=0.5):
    """Utilisation of the same runs in percent, with half of the square of scores or another part of it."""
    flop = 6 * MPT["params"] + 12 * square * MPT["layers"] * MPT["width"] * tokens
    return 100 * flop * mpt_tokens_per_s(tokens) / H100.peak_flop_per_s("bf16")


def mfu_of_days(params, tokens, chips, days, peak):
    """Utilisation of a run whose days are known, six operations a parameter and token."""
    return 6 * params * tokens / (chips * peak * days * DAY_S)


def llama_1_mfu(square=0.5, tokens=2048):
    """The same run in percent, from its tokens per second and with attention."""
    table, shape = corpus.table("training"), model("LLaMA-65B")
    rate = table["tokens_per_s_per_chip"][table["model"] == "LLaMA-65B"][0]
    flop = 6 * (shape.active_block_params + shape.head_params) + 12 * square * shape.layers * shape.heads * 128 * tokens
    return 100 * flop * rate / A100.peak_flop_per_s("bf16")


def products_of_the_second(share, modelled_hfu, mfu, again):
    """Most of a real second that products can have owned: their share of the part that the model sees."""
    return share * mfu * again / modelled_hfu


def run(name):
    """A published run of `era`, by its model."""
    return next(each for each in era.runs() if each["model"] == name)


def exponent(rates, peaks):
    """Growth of a throughput as a power of the growth of the peak."""
    return np.log(rates[1] / rates[0]) / np.log(peaks[1] / peaks[0])


def one_chip(name, chip_name, format, tokens):
    """Measured tokens per second of a training run on one chip."""
    runs = SINGLE()
    mine = (runs["model"] == name) & (runs["chip"] == chip_name)
    mine &= (runs["format"] == format) & (runs["tokens"] == tokens)
    return runs["measured"][mine][0]


def gpt():
    """((V100, A100) tokens per second, peaks) of the GPT of 1.2 billion in 16 bits."""
    rates = [one_chip("Megatron-LM 1.2B", on, "fp16", 1024) for on in ("V100 SXM2 32GB", "A100 SXM 40GB")]
    return rates, [V100.peak_flop_per_s("fp16"), A100.peak_flop_per_s("fp16")]


def bert():
    """The same of BERT-large with 128 tokens, in fp32 on the V100 and in tf32 on the A100."""
    rates = [
        one_chip("BERT-large", on, format, 128) for on, format in (("V100 SXM2 32GB", "fp32"), (A100.name, "tf32"))
    ]
    return rates, [V100.peak_flop_per_s("fp32"), A100.peak_flop_per_s("tf32")]


def seven(rate, multiplied, head, layers, width, tokens, dense, other):
    """The seven utilisations of the chapter, in its order, by the rules of thumb of its first cell.

    `multiplied` counts the head's parameters, which are not computed again; `other` is another board's peak.
    """
    causal, square = (part * layers * width * tokens for part in (6, 12))
    needed = 6 * multiplied + causal
    again = 8 * (multiplied - head) + 6 * head + square * 4 / 3
    flop = [needed, 6 * multiplied + square, again, 6 * multiplied, 6 * (multiplied + head), needed, needed]
    return rate * np.array(flop) / np.array([dense] * 5 + [2 * dense, other])


def faster(*chosen, name="GPT-NeoX-20B"):
    """How many times faster a run gets when parts of its second are halved ("products": a tenth less)."""
    parts = {"unseen": run(name)["unseen"], "rest": run(name)["rest"], "products": run(name)["products of the second"]}
    return 1 / (1 - sum(parts[each] * (0.1 if each == "products" else 0.5) for each in chosen))


def best(weeks=WEEKS["all"]):
    """The most that the budget buys: every choice that fits, tried."""
    names = [name for name in WEEKS if name != "all"]
    sets = [[n for i, n in enumerate(names) if bits >> i & 1] for bits in range(2 ** len(names))]
    return max(faster(*chosen) for chosen in sets if sum(WEEKS[n] for n in chosen) <= weeks)


def open_at(name):
    """Percent of error of the modelled step at which a run above one half becomes open."""
    return 100 * (1 - era.HALF / run(name)["products of the second"])


def recomputed_over_needed(tokens):
    """What the count with the recomputed pass holds, over what is needed."""
    names = ("and the recomputed pass (HFU)", "needed, over the dense peak")
    return np.divide(*[one_device.counted_flop(name, tokens) for name in names])


def nine_tenths(tokens, fused):
    """Width from which products own nine tenths of the layers' step on an A100."""
    return widths.width_of(0.9, A100.name, tokens, fused)


Exercise(
    id="06.x1",
    unit="%",
    expected=lambda: 100 * np.divide(*[list(TOLD().values())[i] for i in (3, 0)]),
    hint="Two bars, the one over the other: what 6ND counts, and what the model needs.",
    slips=lambda: {
        100 * np.divide(*[list(TOLD().values())[i] for i in (3, 1)]): "that is over the full square",
        100 * np.divide(*[list(TOLD().values())[i] for i in (4, 0)]): "that counts the embedding",
    },
    minutes=2,
)
Exercise(
    id="06.x2",
    unit="%",
    expected=lambda: open_at("PaLM 540B"),
    hint="A run is open when its orange part, made smaller by the error, reaches one half.",
    rtol=0.05,  # read off a figure
    slips=lambda: {
        100 * (run("PaLM 540B")["products of the second"] - 0.5): "that is in points; the error is a part of the bar",
        100 * (run("PaLM 540B")["products of the second"] / 0.5 - 1): "the error is a part of the bar, not of one half",
    },
    minutes=3,
)
Exercise(
    id="06.x3",
    unit="times",
    expected=lambda: np.divide(*[one_chip("BERT-large", A100.name, f, 512) for f in ("fp16", "tf32")]),
    hint="Two lines of the table with the same chip and length: one measured rate over the other.",
    slips=lambda: {
        2.0: "that is what the peaks promise",
        np.divide(*[one_chip("BERT-large", A100.name, f, 128) for f in ("fp16", "tf32")]): "that is with 128 tokens",
    },
    minutes=2,
    kind="compare",
)
Exercise(
    id="06.x4",
    unit="times",
    expected=lambda: recomputed_over_needed(2048.0),
    hint="Move the length, choose both counts one after the other, and divide.",
    slips=lambda: {
        recomputed_over_needed(65536.0): "that is with 65,536 tokens",
        1 / recomputed_over_needed(2048.0): "that is the quotient upside down",
        era.AGAIN: "that is the rule, without the masked half. Read both counts off",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="06.x5",
    unit="times",
    expected=lambda: nine_tenths(2048, False) / nine_tenths(2048, True),
    hint="Change the attention alone. The bold line tells the width, once with scores written out and once fused.",
    rtol=0.06,  # widths are told with two digits
    slips=lambda: {
        nine_tenths(512, False) / nine_tenths(512, True): "that is with 512 tokens",
        nine_tenths(2048, True) / nine_tenths(2048, False): "that is the quotient upside down",
    },
    minutes=3,
    kind="compare",
)
Exercise(
    id="06.1",
    unit="%",
    expected=lambda: 100 * PCIE * H100.peak_flop_per_s("bf16") / chip("H100 PCIe").peak_flop_per_s("bf16"),
    hint="What was the rate, and what is the peak of the board itself?",
    slips=lambda: {
        100
        * PCIE
        * chip("H100 PCIe").peak_flop_per_s("bf16")
        / H100.peak_flop_per_s("bf16"): "that is the quotient upside down: the board has the smaller peak",
        100 * PCIE: "that is what was reported, over another board's peak",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="06.2",
    unit="%",
    expected=lambda: 100 * AGAIN * era.AGAIN,
    hint="Three passes are needed, one forwards and two's worth backwards. How many are made?",
    slips={
        60.0: "only the pass forwards is made twice, and backwards is worth two of it",
        45.0: "backwards is worth two passes, not one",
        22.5: "the hardware does more than is needed, not less",
    },
    minutes=3,
    kind="warm-up",
)
Exercise(
    id="06.3a",
    hint="Products take six operations for each parameter. A causal query meets half of the sequence, twice, in three passes.",
    judge_with=like(attention_share, (6.65e9, 32, 4096, 65536), (7e10, 80, 8192, 8192), (1e9, 24, 2048, 1024)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="06.3b",
    unit="tokens",
    expected=lambda: MPT["params"] / (MPT["layers"] * MPT["width"]),
    hint="A share of one half means that both terms are equal.",
    slips={
        MPT["params"] / (2 * MPT["layers"] * MPT["width"]): "that counts the masked half as well",
        MPT["params"] / MPT["width"]: "that is one layer of attention against all parameters",
    },
    minutes=3,
)
Exercise(
    id="06.3c",
    unit="%",
    expected=lambda: mpt_mfu(32768),
    hint="Operations per token at this length, times the tokens per second, over the peak.",
    slips=lambda: {
        mpt_mfu(32768, 1): "that counts the full square, as the source does",
        mpt_mfu(32768, 0): "that leaves attention out",
        mpt_mfu(4096): "that is the run with 4,096 tokens",
    },
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="06.4a",
    hint="Operations of the whole run, over the operations that all chips could have done in these days.",
    judge_with=like(
        mfu_of_days,
        (65.2e9, 1.4e12, 2048, 21, 312e12),
        (175e9, 300e9, 10000, 15, 125e12),
        (70e9, 15e12, 8960, 44, 459e12),
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="06.4b",
    unit="%",
    expected=lambda: 100 * mfu_of_days(**LLAMA_1, peak=A100.peak_flop_per_s("bf16")),
    hint="Put the numbers into part a. A day has 86,400 seconds.",
    slips=lambda: {
        100 * mfu_of_days(**LLAMA_1, peak=2 * A100.peak_flop_per_s("bf16")): "that is over the sparse peak",
        100 * mfu_of_days(**LLAMA_1, peak=3 * A100.peak_flop_per_s("bf16")): "forwards and backwards are six, not two",
    },
    minutes=4,
)
Exercise(
    id="06.4c",
    unit="%",
    expected=llama_1_mfu,
    hint="Six operations for each parameter that multiplies, and six for each layer, value of the width and token of the sequence.",
    rtol=0.006,
    slips=lambda: {llama_1_mfu(0): "that leaves attention out", llama_1_mfu(1): "that counts the masked half as well"},
    minutes=5,
    stars=2,
    kind="compare",
)
Exercise(
    id="06.5a",
    hint="How much of the real second does the modelled step explain? Of that part, the products own their share.",
    judge_with=like(products_of_the_second, (0.9, 0.65, 0.21, 4 / 3), (0.7, 0.5, 0.4, 1.0)),
    minutes=5,
    stars=2,
    kind="derive",
)
Exercise(
    id="06.5b",
    unit="%",
    expected=lambda: 100 * run("MT-NLG 530B")["products of the second"],
    hint="All layers were computed again, so the hardware did four thirds of what the model needs.",
    slips=lambda: {
        100 * run("MT-NLG 530B")["products of the second"] / era.AGAIN: "the layers were computed again",
        100 * run("MT-NLG 530B")["products"]: "that is the share of a step on one chip",
        100
        * run("MT-NLG 530B")["reported"]: "that is the utilisation: products own more time than they use of the peak",
    },
    minutes=3,
)
Exercise(
    id="06.5c",
    unit="times",
    expected=lambda: run("BLOOM-176B")["hardware utilisation"] / run("GPT-NeoX-20B")["hardware utilisation"],
    hint="A run's utilisation is that of its modelled step, times the part of the second that the step explains.",
    slips=lambda: {
        run("BLOOM-176B")["reported"] / run("GPT-NeoX-20B")["reported"]: "that is the quotient as it was",
        (1 - run("BLOOM-176B")["unseen"])
        / (1 - run("GPT-NeoX-20B")["unseen"]): "that is what the chips' waiting for each other adds",
    },
    minutes=5,
    stars=3,
    kind="compare",
)
Exercise(
    id="06.6a",
    hint="If the rate goes with a power of the peak, their logarithms are in proportion.",
    judge_with=like(
        lambda r1, r2, p1, p2: exponent((r1, r2), (p1, p2)), (1.0, 2.0, 1.0, 4.0), (10.0, 15.0, 125e12, 312e12)
    ),
    minutes=4,
    kind="derive",
)
Exercise(
    id="06.6b",
    unit="",
    expected=lambda: exponent(*gpt()),
    hint="Take logarithms of both quotients, and divide.",
    slips=lambda: {
        np.divide(*gpt()[0][::-1]) / np.divide(*gpt()[1][::-1]): "divide the logarithms, not the factors",
        1 / exponent(*gpt()): "that is the peak as a power of the rate",
    },
    minutes=3,
)
Exercise(
    id="06.6c",
    unit="",
    expected=lambda: exponent(*bert()),
    hint="As before, with the peaks of the two formats.",
    slips=lambda: {
        exponent(bert()[0], gpt()[1]): "those are the peaks in 16 bits",
        np.divide(*bert()[0][::-1]) / np.divide(*bert()[1][::-1]): "divide the logarithms, not the factors",
    },
    minutes=4,
    stars=2,
    kind="compare",
)
Exercise(
    id="06.7",
    hint="Write down five counts of operations per token first. The last two utilisations have the first count over other peaks.",
    judge_with=like(
        seven,
        (1956.0, 6.65e9, 0.206e9, 32, 4096, 65536, 989.4e12, 756.5e12),
        (380.0, 65e9, 0.26e9, 80, 8192, 2048, 312e12, 312e12),
        rtol=1e-4,
    ),
    minutes=15,
    stars=3,
    kind="program",
)
Exercise(
    id="06.8",
    unit="chips",
    expected=lambda: PAGE["bytes"] / PAGE["chip_bytes"],
    hint="The memory and the days are two ways to one number of chips. Compute it from the memory, and then see which days belong to it.",
    rtol=0.005,
    slips={171.0: "that is the divisor as it is printed. Carry the division out"},
    minutes=5,
    stars=2,
    kind="find the error",
)
Exercise(
    id="06.9",
    unit="times",
    expected=best,
    hint="What does each choice take off the second? Which of them fit into the weeks together?",
    slips=lambda: {
        faster("unseen"): "four weeks are left over",
        faster("rest", "products"): "that fits, and another pair takes more off the second",
        faster("unseen", "rest", "products"): "that takes fifteen weeks",
    },
    minutes=10,
    stars=3,
    kind="design",
)
Exercise(
    id="06.10",
    hint="What is counted, over which peak, with which convention for what is computed again, and for how long?",
    minutes=20,
    stars=2,
    kind="open",
)
