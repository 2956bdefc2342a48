"""The claims ledger: what popular articles assert, and the verdicts that computations give.

A claim is a row of `data/claims.toml`; its verdict is a function here, so that no chapter types one.
"""

import numpy as np

from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.measured import first_estimate
from bottlenecks.models import ops
from bottlenecks.studies import (
    agreeing,
    attention_verdicts,
    bills,
    era,
    growth,
    losses,
    memory_verdicts,
    one_device,
    step_verdicts,
    tax,
    wired,
)
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
        because=f"{start}. As an estimate it is short by a factor that is larger on the fastest memories and, in prefill, grows with the prompt.",
        rows=tuple(
            {"steps": name, "measured / bound, median": f"{numbers[key]:.2f}"}
            for name, key in (
                ("decode, memories up to 1.1 TB/s", "decode_slow_memory"),
                ("decode, faster memories", "decode_fast_memory"),
                ("prefill", "prefill"),
            )
        ),
        margin=f"the nearest step takes {numbers['smallest_ratio']:.2f} times its bound; as an estimate it would hold below 1.25.",
        n=int(ratio.size),
        range="Single-chip, batch-1 steps with 16-, 8- or 4-bit weights; chapter 09 has many users.",
    )


def _compute_bound():
    """Over the whole second of the published runs, with the error of the modelled step as margin."""
    modelled, found = era.runs(), era.published()
    alone, slopes = one_device.one_device_runs(), one_device.throughput_slopes()
    error = era.error80()
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
    near = min(most, key=lambda name: abs(most[name] - era.HALF))
    return Verdict(
        claim="W1-compute-bound",
        verdict=word,
        numbers=numbers,
        because=f"Inside the modelled step of one chip products own {inside.min():.0%} to {inside.max():.0%}. Of the real second they own at "
        f"most {most[least]:.0%} ({least}) to {most[largest]:.0%} ({largest}). Throughput followed the peak with exponents "
        f"{slopes['peak, GPT of 1.2 billion']:.2f} and {slopes['peak, BERT-large']:.2f} from V100 to A100, and the number of chips with "
        f"{slopes['chips, BERT-large']:.2f} and {slopes['chips, growing GPTs']:.2f}.",
        rows=(
            {"products of the real second, at most": "above one half", "runs": above},
            {"products of the real second, at most": "within the model's error of it", "runs": open_},
            {"products of the real second, at most": "below one half", "runs": below},
        ),
        margin=f"four fifths of the single-chip steps are missed by less than {error:.0%}; the run nearest to one half is {near}, at {most[near]:.0%}.",
        n=len(found),
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
        f"{per_clock:.0%} of that is FLOP per clock and core.",
        rows=tuple({"factor": name, "part of the doublings": f"{value:.0%}"} for name, value in part.items()),
        margin="it would hold from two thirds on, and fail if another factor were larger; the next has "
        f"{max(value for name, value in part.items() if name != growth.PER_CLOCK):.0%}.",
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
        because=f"In 8 bits the best product reaches {np.median(ratio):.2f} times the fraction of its peak that 16 bits reach, in the median. "
        f"The ridge, counted in uses of a weight, stays where the peak doubles as the bytes halve; it moves on {len(moved)} of the chips"
        + (f" ({', '.join(moved)})" if moved else "")
        + ".",
        rows=tuple(
            {
                "chip": n,
                "16 bits": f"{found[n, 'bf16']:.0%}",
                "8 bits": f"{found[n, 'fp8']:.0%}",
                "8 over 16": f"{r:.2f}",
            }
            for n, r in zip(both, ratio, strict=True)
        ),
        margin=f"more of the peak in 8 bits than in 16 on {numbers['busier']} of {len(both)}; it would hold from a median of 1 on.",
        n=len(both),
        range="Best of a sweep of shapes, bf16 against fp8; what a narrower format does to a model's quality is another question.",
    )


VERDICTS = {
    "W2-roofline-of-llm": _roofline_of_llm,
    "W2-quadratic-attention": attention_verdicts.quadratic,
    "W2-sparse-linear-attention": attention_verdicts.alternatives,
    "W2-memory-bound": memory_verdicts.memory_bound,
    "W2-checkpointing-and-mixed-precision": memory_verdicts.techniques,
    "W3-terabytes": memory_verdicts.terabytes,
    "W2-latency-floor": step_verdicts.latency_floor,
    "W3-aggregate-bandwidth": step_verdicts.aggregate_bandwidth,
    "W3-no-single-resource": step_verdicts.no_single_resource,
    "W3-disappointing-scaling": step_verdicts.disappointing_scaling,
    "W3-context-limits-parallelism": step_verdicts.context_limits,
    "W3-nvlink-path": agreeing.nvlink_path,
    "W3-scale-up-physics": wired.scale_up_physics,
    "W3-interconnect-tax": tax.interconnect_tax,
    "W1-frontier-size": bills.frontier_size,
    "W1-trillions-of-flops": bills.trillions,
    "W1-codesign": losses.codesign,
    "W1-compute-bound": _compute_bound,
    "W1-flops-per-clock": _growth_of_peaks,
    "W1-low-precision": _low_precision,
}
