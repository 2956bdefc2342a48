"""Verdicts on claims about one step: decoding over chips, who owns a training step, and what divides it.

Each is a function of what it is given, computed here unless a caller gives it: another input, another word.
"""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.models.machine import machine
from bottlenecks.studies import decoding, runs, scaling, splitting
from bottlenecks.studies.verdict import Verdict

# ---- the floor of a decode step


def latency_floor(steps=None):
    """W2-latency-floor, from columns of `decoding.floors`."""
    steps = steps or decoding.floors()
    ratio = steps["measured_s"] / steps["floor_s"]
    narrow = np.char.find(np.char.lower(steps["format"]), "4") >= 0
    eight = (np.char.find(steps["format"], "8") >= 0) & ~narrow
    groups = {"16 bits": ~narrow & ~eight, "8 bits": eight, "4 bits and their scales": narrow}
    least, low = float(ratio.min()), int(np.sum(ratio < 1))
    sparse = model("DeepSeek-V3")
    active = decoding.weight_bytes(sparse) / (2 * (sparse.block_params + sparse.head_params))
    return Verdict(
        claim="W2-latency-floor",
        verdict="holds" if least >= 1 else "fails",
        because=f"{'No' if not low else low} measured step of one sequence is shorter than the bytes of its weights over the bandwidth "
        f"of the chips that read them together. The floor moves with what is read: to {active:.1%} for DeepSeek-V3's active experts, "
        "to a half or to five sixteenths with 8 or 4 bits and their scales, below it for each token where one reading yields several, "
        "and to the faster memory where weights stay on the chip.",
        rows=tuple(
            {
                "weights": name,
                "steps": int(mine.sum()),
                "least": plain(ratio[mine].min()),
                "median": plain(np.median(ratio[mine])),
                "most": plain(ratio[mine].max()),
            }
            for name, mine in (groups | {"all": ratio > 0}).items()
            if mine.any()
        ),
        margin=f"the nearest step takes {plain(least)} times its floor.",
        n=ratio.size,
        range=f"Batch 1, {len(set(steps['source'].tolist()))} sources. A larger batch reads no less, so the floor is one for it too.",
        numbers={
            "rows": ratio.size,
            "smallest": least,
            "median": float(np.median(ratio)),
            "largest": float(ratio.max()),
            "active_share": float(active),
            "sources": sorted(set(steps["source"].tolist())),
        },
    )


# ---- decoding over more chips

MEASURED = {"Llama-2-7B": (1, 2, 4, 8), "Llama-2-70B": (2, 4, 8), "Mixtral-8x7B": (2, 4, 8)}  # of the corpus, bf16
SPREAD = {  # format of the weights as released
    "Llama-3-8B": "bf16",
    "Llama-3-70B": "bf16",
    "Llama-3.1-405B": "bf16",
    "Qwen3-235B-A22B": "fp8",
    "DeepSeek-V3": "fp8",
    "Kimi-K2": "fp8",
}
GAIN = 1.05  # a doubling of chips has to bring so much to count


def measured_steps():
    """{model: {chips: seconds}}: steps of one program over more and more chips."""
    (source,) = corpus.showing("inference", "decoding over chips")
    return {
        name: {n: 1 / decoding.tokens_per_s(source, name, chips=n, weights="bf16") for n in counts}
        for name, counts in MEASURED.items()
    }


def modelled_steps():
    """{model: {chips: seconds}}: steps of one sequence on H100, eight to a machine."""
    found = {}
    for name, weights in SPREAD.items():
        counts, times = decoding.over_chips(model(name), chip("H100 SXM5"), weight_format=weights)
        found[name] = dict(zip(counts.tolist(), times.tolist(), strict=True))
    return found


def aggregate_bandwidth(measured=None, modelled=None):
    """W3-aggregate-bandwidth: does each doubling of chips make a step shorter, and where does that end?"""
    steps = {"measured, A100": measured or measured_steps(), "modelled, H100": modelled or modelled_steps()}
    rows, ends, nearest = [], {}, np.inf
    for how, found in steps.items():
        for name, times in found.items():
            chips = sorted(times)
            gains = [times[a] / times[b] for a, b in pairwise(chips)]
            best = chips[int(np.argmin([times[n] for n in chips]))]
            worth = next((a for a, gain in zip(chips, gains, strict=False) if gain < GAIN), chips[-1])
            ends[how, name] = (chips[0], worth, chips[-1])
            nearest = min(nearest, *(abs(gain - GAIN) for gain in gains))
            rows.append(
                {
                    "model": name,
                    "mixture": "yes" if model(decoding.find_model(name)).experts else "no",
                    "steps": how,
                    "chips": f"{chips[0]} to {chips[-1]}",
                    "fastest on": best,
                    "step there": si(times[best], "s"),
                    "gain of each doubling": ", ".join(f"{gain:.2f}" for gain in gains),
                }
            )
    stopped = [worth < last for _, worth, last in ends.values()]
    never = [worth == first for first, worth, _ in ends.values()]
    word = "holds" if not any(stopped) else "fails" if all(never) else "holds-when"
    sparse = [row for row in rows if row["mixture"] == "yes" and row["steps"].startswith("modelled")]
    dense = [row for row in rows if row["mixture"] == "no" and row["steps"].startswith("modelled")]
    told = {
        kind: ", ".join(f"{r['fastest on']} for {r['model']}" for r in found)
        for kind, found in (("dense", dense), ("sparse", sparse))
    }
    return Verdict(
        claim="W3-aggregate-bandwidth",
        verdict=word,
        because="More chips read sooner, until the sums of each layer take what reading gains. One sequence is decoded soonest on so many "
        f"chips: dense models {told['dense']}; mixtures {told['sparse']}.",
        rows=tuple(rows),
        margin=f"the doubling nearest to a gain of {GAIN - 1:.0%} is {nearest:.1%} away from it.",
        n=len(rows),
        range="Batch 1, tensor parallel, eight chips to a fast domain, sums in shots inside it; the model's are of 2,048 tokens of context.",
        numbers={"ends": ends, "steps": steps},
    )


# ---- who owns a training step

SCALES = {"more than one machine": 9, "64 chips or more": 64, "512 chips or more": 512}
ENOUGH = 5  # sources of a group that has a vote
CLOSE = 0.5  # sources: a group nearer to one half than this decides nothing


def weighted(run, mask):
    """Share of runs of a mask in which one resource has more than half, every source with the same weight."""
    over = np.max([run[name][mask] for name in runs.OWNERS], axis=0) > 0.5
    of = run["source"][mask]
    return float(np.mean([over[of == name].mean() for name in np.unique(of)]))


def no_single_resource(run=None):
    """W3-no-single-resource, from columns of `runs.shares_of_runs`, by scale, for dense models and mixtures."""
    run = run or runs.shares_of_runs()
    since = run["year"] >= runs.SINCE
    groups = {
        (kind, scale): since & (run["chips"] >= least) & (run["mixture"] == (kind == "mixtures"))
        for kind in ("dense", "mixtures")
        for scale, least in SCALES.items()
    }
    groups["all", "a trillion parameters"] = runs.GROUPS["a trillion parameters, since 2023"](run)
    found = {name: runs.dominated(run, mask) for name, mask in groups.items() if mask.any()}
    share = {name: weighted(run, groups[name]) for name in found}
    voting = [name for name in found if found[name]["sources"] >= ENOUGH]
    shared = [share[name] < 0.5 for name in voting]
    near = min(voting, key=lambda name: abs(share[name] - 0.5) * found[name]["sources"])
    far, rows = abs(share[near] - 0.5) * found[near]["sources"], found[near]
    return Verdict(
        claim="W3-no-single-resource",
        verdict="open" if far < CLOSE else "holds" if all(shared) else "holds-when" if any(shared) else "fails",
        because="One resource, nearly always compute, has more than half of the step in "
        + " and in ".join(
            f"{share[kind, scale]:.0%} of the runs of {words} on {scale.replace('or more', '')}".rstrip()
            for kind, scale, words in (
                ("dense", "more than one machine", "dense models"),
                ("mixtures", "more than one machine", "mixtures"),
            )
            if (kind, scale) in share
        )
        + ", every source counted once. Mixtures share their steps most evenly, and less so the more chips they have.",
        rows=tuple(
            {
                "runs": f"{kind}, {scale}",
                "one above half": f"{each['rows above']} of {each['rows']}",
                "of which compute": each["compute"],
                "sources": each["sources"],
                "every source once": f"{share[kind, scale]:.0%}",
                "median compute, memory, network": ", ".join(f"{each[f'median {o}']:.0%}" for o in runs.OWNERS[:3]),
            }
            for (kind, scale), each in found.items()
        ),
        margin=f"{', '.join(near)}: {plain(far, 2)} sources of {rows['sources']} are between it and the other side of a half; by rows "
        f"it is {rows['rows above']} of {rows['rows']}.",
        n=int(np.sum(since & (run["chips"] >= min(SCALES.values())))),
        range="Published runs since 2023 on more than eight chips, of each source and model the largest; shares of predicted steps, without "
        f"failures and slow chips. Groups of fewer than {ENOUGH} sources have no vote.",
        numbers={", ".join(name): each | {"weighted": share[name]} for name, each in found.items()},
    )


# ---- without fast links

JOBS = {"Llama-3-8B": 8, "Llama-3.1-405B": 512}  # from so many chips
MUCH, LITTLE = 0.5, 0.9  # of the speed with links
WITHOUT = {"host": "PCIe alone", "nothing": "ports alone"}


@cache
def without_links(most=16384):
    """{(model, job, wires): {"held", "chosen", "speed_up", "perfect"}}: speeds at the most chips over those with links.

    `held`: with the layout that is best with links; `chosen`: with the best one for these wires. `speed_up`: from the
    fewest chips to the most, of the chosen; `with_links` the same with NVLink; `perfect`: as many times more chips.
    """
    on = {inside: scaling.wired(chip("H100 SXM5"), inside=inside, port_bytes_per_s=50e9) for inside in scaling.INSIDE}
    found = {}
    for name, fewest in JOBS.items():
        chips = fewest * 2 ** np.arange(int(np.log2(most / fewest)) + 1)
        of, shape = {"seq_len": 8192, "software": "2024"}, model(name)
        for job, batch in (("strong", 2048), ("weak", np.maximum(chips // 4, 1))):
            best = {inside: scaling.best(shape, each, chips=chips, batch=batch, **of) for inside, each in on.items()}
            links = best["links"]
            first, last, times = scaling.speed_up(links)
            for inside in WITHOUT:
                held = scaling.held(shape, on[inside], links, **of)
                found[name, job, inside] = {
                    "held": float(links["seconds"][-1] / held[-1]),
                    "chosen": float(links["seconds"][-1] / best[inside]["seconds"][-1]),
                    "speed_up": scaling.speed_up(best[inside])[2],
                    "with_links": times,
                    "perfect": last / first,
                }
    return found


def disappointing_scaling(found=None):
    """W3-disappointing-scaling: it holds if half of the speed is lost even with the layout chosen anew."""
    found = found or without_links()
    chosen = {name: each["chosen"] for name, each in found.items()}
    held = {name: each["held"] for name, each in found.items()}
    word = "holds" if max(chosen.values()) < MUCH else "fails" if min(held.values()) > LITTLE else "holds-when"
    worst, best = min(held, key=held.get), max(chosen, key=chosen.get)
    near = min(abs(value - MUCH) for value in chosen.values())

    def told(name):
        return f"{name[0]}, {name[1]}, {WITHOUT[name[2]]}"

    return Verdict(
        claim="W3-disappointing-scaling",
        verdict=word,
        because="How much is lost with the links depends on whether the layout may change. Held as it was with them, the step keeps "
        f"{held[worst]:.0%} of its speed in the worst case ({told(worst)}); chosen anew {chosen[worst]:.0%}, and in the best "
        f"{chosen[best]:.0%} ({told(best)}).",
        rows=tuple(
            {
                "job": f"{name}, {job}",
                "wires": WITHOUT[inside],
                "layout held": f"{each['held']:.0%}",
                "chosen anew": f"{each['chosen']:.0%}",
                "times as fast, first to last": f"{each['speed_up']:.0f} (links: {each['with_links']:.0f})",
                "times the chips": f"{each['perfect']:.0f}",
            }
            for (name, job, inside), each in found.items()
        ),
        margin=f"the job nearest to losing a half, chosen anew, is {near:.0%} away.",
        n=len(found),
        range="H100s, up to 16,384, speeds there over those with NVLink; ports of 400 Gbit/s a chip without oversubscription, 8,192 tokens a "
        "sequence, 2,048 sequences a step (strong) or one for four chips (weak). No jitter, no failures.",
        numbers=found,
    )


# ---- longer contexts, more heads

LENGTHS = (8192, 131072, 1048576)
HEADS = (64, 128, 256)
DIVIDED = ("tensor", "pipeline", "context", "data")


def where_each_stops(keeps=0.5, lengths=LENGTHS, heads=HEADS):
    """{(tokens, heads): {dimension: (most ranks that keep so much of a chip's speed, least that fit or None)}}."""
    whole, on = model("Llama-3.1-405B"), machine(chip("H100 SXM5"))
    found = {}
    for count in heads:
        shape = replace(whole, heads=count, head_values=whole.heads * whole.head_values // count)
        for seq_len in lengths:
            if count != whole.heads and seq_len != lengths[0]:
                continue
            at = splitting.alone(shape, on, software="2024", tokens=2048 * 8192, seq_len=seq_len)
            good, fits = at["efficiency"] >= keeps, at["bytes"] <= on.memory_bytes
            found[seq_len, count] = {
                name: (
                    int(at["ranks"][good & (at["dimension"] == name)].max()),
                    next(iter(at["ranks"][fits & (at["dimension"] == name)].tolist()), None),
                )
                for name in DIVIDED
            }
    return found


def context_limits(found=None, keeps=0.5):
    """W3-context-limits-parallelism: it holds if copies and context together divide less, the longer the sequence."""
    found = found or where_each_stops(keeps)
    heads = model("Llama-3.1-405B").heads
    lengths = sorted({seq_len for seq_len, count in found if count == heads})
    both = [found[n, heads]["data"][0] * found[n, heads]["context"][0] for n in lengths]
    fewer = [name for name in DIVIDED if found[lengths[-1], heads][name][0] < found[lengths[0], heads][name][0]]
    left = both[-1] / both[0]
    word = "holds" if left < 0.25 else "holds-when" if fewer else "fails"
    fitting = sorted({name for each in found.values() for name in DIVIDED if each[name][1] is not None})
    return Verdict(
        claim="W3-context-limits-parallelism",
        verdict=word,
        because=f"From {lengths[0]:,} to {lengths[-1]:,} tokens {' and '.join(fewer) or 'no cut'} "
        f"{'divide' if len(fewer) > 1 else 'divides'} less, since a step has fewer "
        f"sequences; context divides more, and the chips that copies and context can use together fall to {plain(left, 2)} of what they were. Tensors end at the heads, "
        f"or before. Of the cuts alone, {' and '.join(fitting) or 'none'} also fits the memory.",
        rows=tuple(
            {"tokens": f"{n:,}", "heads": count}
            | {name: f"{most:,}" + (f" (fits from {fit:,})" if fit else "") for name, (most, fit) in each.items()}
            for (n, count), each in found.items()
        ),
        margin=f"copies times context is {plain(left, 2)} of what it was; below 0.25 it would hold, and with no cut that divides less fail.",
        n=len(found),
        range=f"Llama-3.1-405B, also with other numbers of heads of the same width, on H100s, 16.8 million tokens a step, all layers computed "
        f"again; ranks up to which a cut alone keeps {keeps:.0%} of a chip's speed.",
        numbers=found,
    )
