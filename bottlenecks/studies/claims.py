"""The claims ledger: what popular articles assert, and the verdicts that computations give.

A claim is a row of `data/claims.toml`; its verdict is a function here, so that no chapter types one.
"""

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops
from bottlenecks.studies import era, growth, one_device, step_verdicts
from bottlenecks.studies.verdict import Verdict, claims


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
    """Over the whole second of the published runs, with the error of the modelled step as margin."""
    modelled, found = era.runs(), era.published()
    alone, slopes = one_device.one_device_runs(), one_device.throughput_slopes()
    error = float(np.abs(alone["predicted"] / alone["measured"] - 1).mean())
    most = {run["model"]: run["products of the second"] for run in found}
    above, open_, below = era.judged(error)
    inside = np.array([run["products"] for run in modelled])
    numbers = {
        "runs": len(found),
        "above": above,
        "open": open_,
        "below": below,
        "most": most,
        "modelled_runs": inside.size,
        "smallest_share": float(inside.min()),
        "largest_share": float(inside.max()),
        "slopes": slopes,
        "ledger_error": error,
    }
    proportional = min(slopes.values()) > 0.75 and max(slopes.values()) < 1.25
    word = "holds" if above == len(found) and proportional else "fails" if 2 * below > len(found) else "holds-when"
    least, largest = min(most, key=most.get), max(most, key=most.get)
    return Verdict(
        claim="W1-compute-bound",
        verdict=word,
        numbers=numbers,
        because=f"Inside the step of one chip products own {inside.min():.0%} to {inside.max():.0%} ({inside.size} runs). Of the real second "
        f"they own at most {most[least]:.0%} ({least}) to {most[largest]:.0%} ({largest}): of {len(found)} runs that print a utilisation "
        f"{above} are above one half by more than the model's error of {error:.0%}, {below} below it and {open_} within it. Throughput followed the "
        f"peak with exponents {slopes['peak, GPT of 1.2 billion']:.2f} and {slopes['peak, BERT-large']:.2f} from V100 to A100, and the "
        f"number of chips with {slopes['chips, BERT-large']:.2f} and {slopes['chips, growing GPTs']:.2f}.",
        range="Published runs begun 2018 to 2022 on the chips that they had; where a source does not say whether layers were computed again, "
        f"they are taken to have been, which is the most. The error is that of the ledger on {alone['predicted'].size} single-chip runs.",
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


VERDICTS = {
    "W2-roofline-of-llm": _roofline_of_llm,
    "W2-latency-floor": step_verdicts.latency_floor,
    "W3-aggregate-bandwidth": step_verdicts.aggregate_bandwidth,
    "W3-no-single-resource": step_verdicts.no_single_resource,
    "W3-disappointing-scaling": step_verdicts.disappointing_scaling,
    "W3-context-limits-parallelism": step_verdicts.context_limits,
    "W1-compute-bound": _compute_bound,
    "W1-flops-per-clock": _growth_of_peaks,
    "W1-low-precision": _low_precision,
}
