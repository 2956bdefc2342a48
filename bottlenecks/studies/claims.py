"""The claims ledger: what popular articles assert, and the verdicts that computations give.

A claim is a row of `data/claims.toml`; its verdict is a function here, so that no chapter types one.
"""

import tomllib
from dataclasses import dataclass
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops
from bottlenecks.models.machine import machine
from bottlenecks.studies import decoding, growth, one_device, runs, scaling, splitting


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """holds, holds-when or fails; the numbers that say so; the range for which it was computed."""

    claim: str
    verdict: str
    because: str
    range: str
    numbers: dict

    def _repr_mimebundle_(self, include=None, exclude=None):
        question = claims()[self.claim]["question"]
        return {
            "text/markdown": f"**{self.claim}: {self.verdict}.** *{question}*\n\n{self.because} Range: {self.range}",
            "text/plain": f"{self.claim}: {self.verdict}. {self.because} Range: {self.range}",
        }


@cache
def claims():
    """Every claim: id -> {article, question, needs}."""
    table = tomllib.loads((data.FOLDER / "claims.toml").read_text(encoding="utf-8"))
    return {claim.pop("id"): claim for claim in table["claim"]}


def verdict(id):
    """The verdict on a claim, computed now; claims that no chapter has settled say so."""
    one_of("claim", id, claims())
    if id not in VERDICTS:
        raise ValueError(f"claim {id!r} is not settled yet; settled: {', '.join(VERDICTS)}")
    return VERDICTS[id]()


def _roofline_of_llm():
    scored, _ = first_estimate.llm_steps()
    ratio, decode = scored["ratio"], scored["phase"] == "decode"
    slow = np.array([chip(name).memory_bytes_per_s <= 1.1e12 for name in scored["chip_name"]])
    numbers = {
        "rows": ratio.size,
        "smallest_ratio": float(ratio.min()),
        "decode_slow_memory": float(np.median(ratio[decode & slow])),
        "decode_fast_memory": float(np.median(ratio[decode & ~slow])),
        "prefill": float(np.median(ratio[~decode])),
    }
    if numbers["smallest_ratio"] < 1:
        word, start = "fails", "A measured step is shorter than the larger of the two times"
    else:
        word = "holds" if max(np.median(ratio[decode]), numbers["prefill"]) < 1.25 else "holds-when"
        start = "As a lower bound it holds: no measured step is shorter"
    return Verdict(
        claim="W2-roofline-of-llm",
        verdict=word,
        numbers=numbers,
        because=f"{start} (smallest measured / bound {numbers['smallest_ratio']:.2f}). As an estimate it is short by a "
        f"factor, in the median, of {numbers['decode_slow_memory']:.2f} for decoding from memories up to 1.1 TB/s, "
        f"{numbers['decode_fast_memory']:.2f} for decoding from faster ones and {numbers['prefill']:.2f} for prefill.",
        range=f"{ratio.size} single-chip, batch-1 steps with 16- or 8-bit weights; the part with many users waits for chapter 09.",
    )


def _compute_bound():
    owners = one_device.era_shares()
    slopes = one_device.throughput_slopes()
    runs = one_device.one_device_runs()
    names = [row["model"] for row in owners] + runs["model"].tolist()
    share = np.concatenate([[row["products"] for row in owners], runs["compute"]])
    error = np.abs(runs["predicted"] / runs["measured"] - 1)
    numbers = {
        "runs": share.size,
        "smallest_share": float(share.min()),
        "median_share": float(np.median(share)),
        "least": names[int(share.argmin())],
        "slopes": slopes,
        "ledger_error": float(error.mean()),
    }
    proportional = min(slopes.values()) > 0.75 and max(slopes.values()) < 1.25
    word = "holds-when" if share.min() > 0.5 and proportional else "fails"
    return Verdict(
        claim="W1-compute-bound",
        verdict=word,
        numbers=numbers,
        because=f"On one device, the multipliers' rate owns more than half of the step in all {share.size} cases looked at, from "
        f"{share.min():.0%} ({numbers['least']}) to {share.max():.0%}. Throughput followed the peak with exponents "
        f"{slopes['peak, GPT of 1.2 billion']:.2f} and {slopes['peak, BERT-large']:.2f} from V100 to A100, and the number of "
        f"chips with {slopes['chips, BERT-large']:.2f} and {slopes['chips, growing GPTs']:.2f}.",
        range="One chip's forward and backward pass, matrices of full width, communication left out (chapter 14); the ledger's time is off "
        f"by {error.mean():.0%} on the {error.size} single-chip runs that are measured.",
    )


def _growth_of_peaks():
    steps = growth.line(("V100 SXM2 16GB", "A100 SXM 80GB", "H100 SXM5"), "narrowest")
    before, after, whole = steps[-1]
    gain = growth.doublings(whole)
    total = sum(gain.values())
    part = {name: value / total for name, value in gain.items()}
    numbers = {"factors": whole, "parts": part, "growth": 2**total}
    per_clock = part[growth.PER_CLOCK]
    return Verdict(
        claim="W1-flops-per-clock",
        verdict="holds" if per_clock > 2 / 3 else "holds-when" if per_clock == max(part.values()) else "fails",
        numbers=numbers,
        because=f"From {before.name} to {after.name} the fastest format's peak grew {2**total:.1f} times. Counted in doublings, "
        f"{per_clock:.0%} of that is FLOP per clock and core, {part[growth.NARROWER]:.0%} narrower numbers, "
        f"{part[growth.CORES]:.0%} more cores and {part[growth.CLOCK]:.0%} the clock.",
        range="Two generations of NVIDIA's data-centre GPUs, dense peaks at the printed boost clock.",
    )


def _low_precision():
    best = first_estimate.achieved()
    swept = best["what"] == "matmul, best shape"
    found = {
        (str(n), str(f)): v
        for n, f, v in zip(best["chip_name"][swept], best["format"][swept], best["fraction"][swept], strict=True)
    }
    both = [name for name, format in found if format == "fp8" and (name, "bf16") in found]
    ratio = np.array([found[name, "fp8"] / found[name, "bf16"] for name in both])
    rows = {
        n: [ops.ridge_flop_per_byte(chip(n), format=f) * bytes_per_value(f) / 2 for f in ("bf16", "fp8")] for n in both
    }
    moved = [n for n, (wide, narrow) in rows.items() if abs(narrow / wide - 1) > 0.02]
    numbers = {
        "chips": len(both),
        "median_ratio": float(np.median(ratio)),
        "busier": int((ratio > 1).sum()),
        "ridge_rows": rows,
        "moved": moved,
    }
    return Verdict(
        claim="W1-low-precision",
        verdict="fails" if np.median(ratio) < 1 else "holds",
        numbers=numbers,
        because=f"On {len(both)} chips measured in both formats, the best product in 8 bits reaches {np.median(ratio):.2f} times the "
        f"fraction of its peak that 16 bits reach (median; more on {numbers['busier']} chips). The ridge, counted in uses of a "
        f"weight, stays where it was where the peak doubles as the bytes halve, and moves on {len(moved)} of them"
        + (f" ({', '.join(moved)})" if moved else "")
        + ". Bytes alone are halved where weights are kept narrow and multiplied wide.",
        range="Best of a sweep of shapes, bf16 against fp8; what a narrower format does to a model's quality is another question.",
    )


def _latency_floor():
    steps = decoding.floors()
    ratio = steps["measured_s"] / steps["floor_s"]
    sparse = model("DeepSeek-V3")
    active = decoding.weight_bytes(sparse) / (2 * (sparse.block_params + sparse.head_params))
    numbers = {
        "rows": ratio.size,
        "smallest": float(ratio.min()),
        "median": float(np.median(ratio)),
        "active_share": float(active),
        "sources": sorted({corpus.called(source) for source in steps["source"].tolist()}),
    }
    return Verdict(
        claim="W2-latency-floor",
        verdict="holds" if ratio.min() >= 1 else "fails",
        numbers=numbers,
        because=f"Of {ratio.size} measured steps of one sequence none is shorter than its weights over the bandwidth of the chips "
        f"that read them together (smallest measured / floor {ratio.min():.2f}, median {np.median(ratio):.2f}). The floor moves "
        f"with what is read: to {active:.1%} for DeepSeek-V3's active experts, to a half and a quarter with 8 and 4 bits, below "
        "it for each token where one reading yields several (speculation), and away where the weights stay on the chip.",
        range=f"Sources: {'; '.join(numbers['sources'])}. Batch 1. A larger batch reads no less, so the floor is one for it too.",
    )


def _aggregate_bandwidth():
    (source,) = corpus.showing("inference", "decoding over chips")
    rates = {n: decoding.tokens_per_s(source, "Llama-2-7B", chips=n, weights="bf16") for n in (1, 2, 4, 8)}
    best = {
        name: decoding.best_chips(model(name), chip("H100 SXM5"))
        for name in ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B")
    }
    numbers = {"measured": rates, "best_chips": {name: n for name, (n, _) in best.items()}}
    gain = rates[8] / rates[1]
    return Verdict(
        claim="W3-aggregate-bandwidth",
        verdict="holds-when",
        numbers=numbers,
        because=f"Measured on A100s, Llama-2-7B decodes {rates[2] / rates[1]:.2f}, {rates[4] / rates[1]:.2f} and {gain:.2f} times faster "
        "on 2, 4 and 8 chips. The exchanges of each layer end the gain: modelled on H100s at batch 1, a step is shortest on "
        + ", ".join(f"{n} chips for {name}" for name, (n, _) in best.items())
        + " (of 1 to 64, in powers of two).",
        range="Tensor parallel, eight chips to a fast domain, 2,048 tokens of context, NVIDIA's collectives.",
    )


def _no_single_resource():
    every = runs.shares_of_runs()
    several = runs.GROUPS["more than one machine, since 2023"](every)
    numbers = {
        "dense": runs.dominated(every, several & ~every["mixture"]),
        "mixtures": runs.dominated(every, several & every["mixture"]),
        "trillion": runs.dominated(every, runs.GROUPS["a trillion parameters, since 2023"](every)),
    }
    above = {name: found["rows above"] / found["rows"] for name, found in numbers.items()}
    shared = [name for name in ("dense", "mixtures") if above[name] < 0.5]
    word = {0: "fails", 1: "holds-when", 2: "holds"}[len(shared)]

    def told(name):
        found = numbers[name]
        medians = ", ".join(f"{owner} {found[f'median {owner}']:.0%}" for owner in runs.OWNERS[:3])
        return f"{found['rows above']} of {found['rows']} (compute in {found['compute']}; medians: {medians})"

    return Verdict(
        claim="W3-no-single-resource",
        verdict=word,
        numbers=numbers,
        because=f"One resource has a share above one half in the steps of dense models in {told('dense')}, of mixtures of experts "
        f"in {told('mixtures')}, of models of a trillion parameters in {told('trillion')}. Dense training is still bound by its "
        "products; where experts are small and far apart, three resources share the step.",
        range="Published runs since 2023 on more than eight chips, of each source and model the largest; shares of predicted steps. "
        "A run goes at the pace of its slowest chip and stops for failures, and neither is in these steps.",
    )


def _disappointing_scaling():
    on = {inside: scaling.wired(chip("H100 SXM5"), inside=inside, port_bytes_per_s=50e9) for inside in scaling.INSIDE}
    jobs = {"Llama-3-8B": 8, "Llama-3.1-405B": 512}  # from so many chips
    numbers = {}
    for name, fewest in jobs.items():
        chips = fewest * 2 ** np.arange(int(np.log2(16384 / fewest)) + 1)
        for inside, wired in on.items():
            of = {"chips": chips, "seq_len": 8192, "software": "2024"}
            strong = scaling.best(model(name), wired, batch=2048, **of)
            weak = scaling.best(model(name), wired, batch=np.maximum(chips // 4, 1), **of)
            numbers[name, inside] = {"strong": scaling.speed_up(strong), "weak": scaling.speed_up(weak)}

    def told(name, job):
        first, last, _ = numbers[name, "links"][job]
        return f"{name} from {first:,} to {last:,} chips ({last // first} times as many): " + ", ".join(
            f"{numbers[name, inside][job][2]:.0f} times with {words}"
            for inside, words in (("links", "NVLink"), ("host", "PCIe alone"), ("nothing", "nothing but ports"))
        )

    return Verdict(
        claim="W3-disappointing-scaling",
        verdict="holds-when",
        numbers=numbers,
        because=f"A fixed step: {told('Llama-3-8B', 'strong')}; {told('Llama-3.1-405B', 'strong')}. A step that grows with the chips: "
        f"{told('Llama-3.1-405B', 'weak')}. A fixed batch runs out of sequences to deal before links matter; growing batches keep "
        "nearly all of the gain, links or not, where a port of 400 Gbit/s stands behind each chip.",
        range="H100s with the best layout at each number of chips, ports of 400 Gbit/s without oversubscription, sequences of 8,192 "
        "tokens, fixed steps of 2,048 of them. No jitter, no failures.",
    )


def _context_limits():
    shape, on = model("Llama-3.1-405B"), machine(chip("H100 SXM5"))
    numbers = {}
    for seq_len in (8192, 131072, 1048576):
        found = splitting.alone(shape, on, software="2024", tokens=2048 * 8192, seq_len=seq_len)
        good = found["efficiency"] >= 0.5
        numbers[seq_len] = {
            name: int(found["ranks"][good & (found["dimension"] == name)].max())
            for name in ("tensor", "pipeline", "context", "data")
        }
    short, long = numbers[8192], numbers[1048576]

    def told(name):
        return f"{name} {', '.join(f'{numbers[n][name]:,}' for n in numbers)}"

    word = "holds" if long["context"] > 8 * short["context"] and long["pipeline"] < short["pipeline"] else "holds-when"
    return Verdict(
        claim="W3-context-limits-parallelism",
        verdict=word,
        numbers=numbers,
        because="Alone, each cut keeps half of a chip's speed up to so many chips, at 8,192, 131,072 and 1,048,576 tokens: "
        f"{told('tensor')}; {told('pipeline')}; {told('context')}; {told('data')}. With the tokens of a step fixed, longer sequences "
        "are fewer: copies and pipelines run out of them. Tensors end at the number of heads. Context divides more, the longer it is.",
        range="Llama-3.1-405B on H100s, eight to a machine, 16.8 million tokens a step, all layers computed again.",
    )


VERDICTS = {
    "W2-roofline-of-llm": _roofline_of_llm,
    "W2-latency-floor": _latency_floor,
    "W3-aggregate-bandwidth": _aggregate_bandwidth,
    "W3-no-single-resource": _no_single_resource,
    "W3-disappointing-scaling": _disappointing_scaling,
    "W3-context-limits-parallelism": _context_limits,
    "W1-compute-bound": _compute_bound,
    "W1-flops-per-clock": _growth_of_peaks,
    "W1-low-precision": _low_precision,
}
