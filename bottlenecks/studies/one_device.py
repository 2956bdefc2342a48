"""Was it compute? Training steps on one device of their day: what they take, and who owns the time."""

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain
from bottlenecks.laws import shares
from bottlenecks.models import kernels, ops

FORMATS = {"fp32": "fp32", "tf32": "tf32", "mixed (fp16)": "fp16", "": "fp16"}
OWNERS = {  # as kernels.RESOURCES, the multipliers apart from other arithmetic
    "products": "matmul_flop_per_s older_flop_per_s",
    "other arithmetic": "vector_per_s exp_per_s core_clocks_per_s",
    **{k: v for k, v in kernels.RESOURCES.items() if k in ("memory", "cache", "latency")},
}
BERT, GPT = "BERT on one chip and on many", "GPT on one chip"  # what a source shows: `corpus.showing`
FUSED_FROM = "2022-06"  # before FlashAttention, attention wrote its scores to memory


def step(shape, *, batch, tokens, format="fp16", fused, causal="half", recompute="full", logits=True):
    """Rows of one micro-batch's forward and backward as frameworks of the day ran it."""
    rows = ops.forward(
        shape, batch=batch, queries=tokens, format=format, causal=causal, logits="all" if logits else "none"
    )
    again = [r for r in rows if r.part not in ops.ENDS] if recompute == "full" else []
    rows = rows + again + ops.backward(rows)
    how = {"implementation": "fused" if fused else "unfused"}
    return [r._replace(shape=r.shape | how) if r.kind == "attention" else r for r in rows]


def device(chip_name, format):
    """The chip in a format, or in the 16-bit format that it has."""
    on = chip(chip_name)
    return kernels.device(on, format if format in on.peaks else "bf16")


def one_device_runs():
    """Training runs on one chip, measured, beside the ledger's time and its owners: columns.

    Sources `dle_bert` (BERT-large, no recomputation; its head scores one token in seven and is left
    out) and `megatron_readme_2020_09` (a GPT of 1.2 billion, all layers computed again). `at_peak` is the simplest
    rival of `predicted`: all products at the printed peak, and nothing else.
    """
    rows = corpus.table("training")
    bert_sources, gpt_sources = (corpus.showing("training", what) for what in (BERT, GPT))
    rows = corpus.where(rows, np.isin(rows["source_id"], bert_sources + gpt_sources) & (rows["n_chips"] == 1))
    found = {
        "model": [],
        "chip": [],
        "format": [],
        "tokens": [],
        "measured": [],
        "predicted": [],
        "at_peak": [],
        "compute": [],
    }
    for i in range(rows["model"].size):
        bert = rows["source_id"][i] in bert_sources
        shape = model("BERT-large" if bert else "Megatron-LM 1.2B")
        format, length = FORMATS[str(rows["compute_dtype"][i])], float(rows["seq_len"][i])
        real = rows["padded_tokens"][i]  # in the mean; padding is counted in the rate, and not worked on
        tokens = float(real) if np.isfinite(real) else length
        batch = rows["micro_batch"][i] if bert else rows["global_batch_seqs"][i]
        batch = batch if np.isfinite(batch) else 4096 / tokens  # where it is not said: 4,096 tokens
        work = step(
            shape,
            batch=batch,
            tokens=tokens,
            format=format,
            fused=False,
            causal="none" if bert else "half",
            recompute="none" if bert else "full",
            logits=not bert,
        )
        on = device(str(rows["chip_name"][i]), format)
        seconds = kernels.ledger_s(work, on)
        if bert:
            measured = rows["tokens_per_s_per_chip"][i]
        else:  # from the rate that the source prints, by Megatron's formula
            per_token = (
                ops.total(ops.products(step(shape, batch=1, tokens=tokens, fused=False, causal="full"))) / tokens
            )
            measured = rows["flop_per_s_per_chip"][i] / per_token
        owners = shares.shares(lambda d, work=work: kernels.ledger_s(work, d), on, OWNERS)
        at_peak_s = ops.total(ops.products(work)) / chip(str(rows["chip_name"][i])).peak_flop_per_s(format)
        values = (
            shape.name,
            str(rows["chip_name"][i]),
            format,
            length,
            measured,
            batch * length / seconds,
            batch * length / at_peak_s,
            owners["products"],
        )
        for column, value in zip(found, values, strict=True):
            found[column].append(value)
    return {column: np.array(values) for column, values in found.items()}


def mpt_run():
    """A measured run on H100s with long sequences and full recomputation: MPT-7B, 65,536 tokens."""
    rows = corpus.table("training")
    mine = np.isin(rows["source_id"], corpus.showing("training", "long sequences")) & (rows["model"] == "MPT-7b")
    return corpus.where(rows, mine & (rows["seq_len"] == 65536))


PASSES = ("forward", "backward, first half", "backward, second half", "forward, again")  # equal but for the head
NEEDED, ALONE = ("products", "attention, needed half"), ("products",)
SQUARE = (*NEEDED, "attention, masked half")
COUNTED = {  # what of a step each utilisation counts: kinds of blocks, and of how many passes
    "needed, over the dense peak": (NEEDED, 3),
    "the full square counted": (SQUARE, 3),
    "and the recomputed pass (HFU)": (SQUARE, 4),
    "6ND alone, attention forgotten": (ALONE, 3),
    "6ND with the embedding, tied or not": ((*ALONE, "embedding, looked up"), 3),
    "needed, over the sparse peak": (NEEDED, 3),
    "needed, over the PCIe card's peak": (NEEDED, 3),
}


def blocks(tokens):
    """Operations per token of MPT-7B by pass and kind of block, sequences of `tokens`: {(pass, kind): FLOP}.

    All layers are computed again, the output head is not. Nobody multiplies by the embedding; some count it.
    """
    shape = model("MPT-7B")
    half, square = (
        ops.products(ops.forward(shape, batch=1, queries=tokens, causal=causal)) for causal in ("half", "full")
    )
    head = ops.total([row for row in half if row.part in ops.ENDS])
    needed, whole = (ops.total([row for row in rows if row.kind == "attention"]) for rows in (half, square))
    products = ops.total(half) - needed
    found = {}
    for of in PASSES:
        multiplied = products - (head if of == PASSES[-1] else 0)
        for kind, flop in zip(SQUARE, (multiplied, needed, whole - needed), strict=True):
            found[of, kind] = float(flop / tokens)
    return found | {(of, "embedding, looked up"): 2.0 * shape.head_params for of in PASSES[:-1]}


def counts(name, of, kind):
    """Whether the utilisation of that name counts a kind of block of a pass."""
    kinds, passes = COUNTED[name]
    return kind in kinds and of in PASSES[:passes]


def counted_flop(name, tokens):
    """Operations per token that the utilisation of that name counts."""
    return sum(flop for block, flop in blocks(tokens).items() if counts(name, *block))


def divided_by(name):
    """The peak over which the utilisation of that name is told, in FLOP/s."""
    dense = chip("H100 SXM5").peak_flop_per_s("bf16")
    return {KINDS["error"][0]: 2 * dense, KINDS["error"][1]: chip("H100 PCIe").peak_flop_per_s("bf16")}.get(name, dense)


def utilisations():
    """One run, many utilisations: what is counted and divided by -> share of a peak.

    The first is what this book calls model FLOP utilisation: what the model needs, the causal half,
    over the dense peak of the very chip.
    """
    run = mpt_run()
    tokens, rate = float(run["seq_len"][0]), float(run["tokens_per_s_per_chip"][0])
    return {name: rate * counted_flop(name, tokens) / divided_by(name) for name in COUNTED}


KINDS = {  # of `utilisations`, in their order: what sets each apart from the first
    "convention": ("needed, over the dense peak", "the full square counted", "and the recomputed pass (HFU)"),
    "omission": ("6ND alone, attention forgotten", "6ND with the embedding, tied or not"),
    "error": ("needed, over the sparse peak", "needed, over the PCIe card's peak"),
}


def defensible_spread():
    """The largest over the smallest of the utilisations that are conventions and nothing else."""
    found = [utilisations()[name] for name in KINDS["convention"]]
    return max(found) / min(found)


def one_device_table():
    """Rows of a table: measured single-chip training beside the ledger's, and compute's share."""
    runs = one_device_runs()
    columns = (runs[c] for c in runs if c != "at_peak")
    return [
        {
            "model": name,
            "chip": on,
            "format": format,
            "tokens of a sequence": plain(tokens, 5),
            "measured": f"{plain(measured, 4)} tokens/s",
            "ledger": f"{plain(predicted, 4)} tokens/s",
            "ledger / measured": f"{predicted / measured:.2f}",
            "the multipliers' share": f"{share:.0%}",
        }
        for name, on, format, tokens, measured, predicted, share in zip(*columns, strict=True)
    ]


def throughput_slopes():
    """How throughput followed the peak and the number of chips: exponents, 1 where in proportion.

    "peak": from V100 to A100, the same model and program, of tokens/s over the 16-bit peak.
    "chips": from 1 to 256 A100, BERT-large; and from 32 to 3,072, GPTs that grow with the chips.
    """
    rows = corpus.table("training")

    def rate(shown, on, chips, **equal):
        mine = (
            np.isin(rows["source_id"], corpus.showing("training", shown))
            & (rows["chip_name"] == on)
            & (rows["n_chips"] == chips)
        )
        for column, value in equal.items():
            mine &= rows[column] == value
        per_chip = rows["tokens_per_s_per_chip"][mine], rows["flop_per_s_per_chip"][mine]
        return float(np.nanmax(np.concatenate(per_chip)))

    peaks = np.log(chip("A100 SXM 80GB").peak_flop_per_s("fp16") / chip("V100 SXM2 32GB").peak_flop_per_s("fp16"))
    half = {"compute_dtype": "mixed (fp16)", "seq_len": 128.0}
    bert = [rate(BERT, on, 1, **half) for on in ("V100 SXM2 32GB", "A100 SXM 80GB")]
    gpt = [rate(GPT, on, 1) for on in ("V100 SXM2 32GB", "A100 SXM 40GB")]
    many = [rate(BERT, "A100 SXM 80GB", n, **half) for n in (1, 256)]
    weak = corpus.where(rows, np.isin(rows["source_id"], corpus.showing("training", "weak scaling")))
    total = np.log(weak["n_chips"] * weak["flop_per_s_per_chip"])
    return {
        "peak, BERT-large": np.log(bert[1] / bert[0]) / peaks,
        "peak, GPT of 1.2 billion": np.log(gpt[1] / gpt[0]) / peaks,
        "chips, BERT-large": 1 + np.log(many[1] / many[0]) / np.log(256),
        "chips, growing GPTs": float(np.polyfit(np.log(weak["n_chips"]), total, 1)[0]),
    }
