"""Verdicts on memory: what limited time and what capacity, what the techniques buy, and the terabytes of a cluster."""

import numpy as np

from bottlenecks.facts.units import plain, si
from bottlenecks.studies import memory
from bottlenecks.studies.verdict import Verdict

HALF, TERA = 0.5, 1e12
AGAIN = 4 / 3  # of the operations, with another forward pass


def memory_bound(found=None):
    """Verdict on W2-memory-bound: was memory what limited the time, and what took the capacity."""
    found = memory.limits() if found is None else found
    training = {words: each for words, each in found.items() if "read" not in each}
    decoding = {words: each for words, each in found.items() if "read" in each}
    slow = [words for words, each in found.items() if each["time"]["memory"] > HALF]
    word = "holds" if len(slow) == len(found) else "fails" if not slow else "holds-when"
    one, many = decoding.values()
    return Verdict(
        claim="W2-memory-bound",
        verdict=word,
        numbers=found,
        because=f"Memory owned {one['time']['memory']:.0%} of a decoding step and at most {max(each['time']['memory'] for each in training.values()):.0%} of a training step's "
        f"kernels, the scores' passes included. Of the capacity, states still took {min(each['capacity']['states'] for each in training.values()):.0%} to "
        f"{max(each['capacity']['states'] for each in training.values()):.0%} in training when they were dealt to eight chips, activations the rest; in decoding weights took most for "
        f"one user, and the cache from some sixteen users on ({many['capacity']['cache']:.0%}).",
        rows=tuple(
            {
                "work": words,
                "memory's share of the time": f"{each['time']['memory']:.0%}",
                "compute's": f"{each['time']['compute']:.0%}",
                "most of the capacity": _most(each["capacity"]),
            }
            for words, each in found.items()
        ),
        margin=f"{len(slow)} of {len(found)} pieces of work give memory more than half of their time; the nearest to a half is at "
        f"{min((each['time']['memory'] for each in found.values()), key=lambda share: abs(share - HALF)):.0%}.",
        n=len(found),
        range="Shares by which a faster memory would shorten the kernels, texts and contexts of 2,048 tokens, A100s, all states dealt to eight chips; exchanges, the update and both ends of the model are not in it.",
    )


def _most(shares):
    name = max(shares, key=shares.get)
    return f"{name}, {shares[name]:.0%}"


def techniques(tables=None):
    """Verdict on W2-checkpointing-and-mixed-precision: what each saves of the memory, and what it costs in time."""
    tables = {words: memory.techniques(words) for words in memory.SETTINGS} if tables is None else tables
    short, long = tables.values()
    free = [each["name"] for each in short if each["saved_bytes"] > 0 and each["times"] <= 1.001]
    dear = [each["name"] for each in short if each["times"] > 1.001]
    saving = [each for each in short if each["saved_bytes"] / each["before_bytes"] > 0.1 and each["times"] < AGAIN]
    word = "holds" if len(saving) == len(short) else "fails" if not saving else "holds-when"
    most = max(dear, key=lambda name: next(each["times"] for each in short if each["name"] == name)) if dear else ""
    return Verdict(
        claim="W2-checkpointing-and-mixed-precision",
        verdict=word,
        numbers=tables,
        because=f"{len(free)} of {len(short)} save memory and time at once, or memory for nothing; {len(dear)} are paid for with time, at most by "
        f"{max(each['times'] for each in short) - 1:.0%} ({most}). With a long text the same techniques save up to {max(each['saved_bytes'] for each in long) / TERA:.1f} TB.",
        rows=tuple(
            {
                "technique": a["name"],
                "saves": f"{si(a['saved_bytes'], 'B', 2)} of {si(a['before_bytes'], 'B', 3)}",
                "time": f"x {a['times']:.2f}",
                "long text: saves": f"{si(b['saved_bytes'], 'B', 2)} of {si(b['before_bytes'], 'B', 3)}",
                "its time": f"x {b['times']:.2f}",
            }
            for a, b in zip(short, long, strict=True)
        ),
        margin=f"it holds if each saves more than a tenth and costs less than another forward pass, a third; {len(saving)} of {len(short)} do, the nearest to a tenth saves "
        f"{min(each['saved_bytes'] / each['before_bytes'] for each in short):.0%}.",
        n=len(short),
        range=f"{memory.NAME} on eight H100 with ZeRO 3; mixed precision beside 32-bit products without tensor cores; recomputation beside fused attention where not said otherwise; a loss in parts is taken to cost no time.",
    )


def terabytes(found=None, tokens=4e6):
    """Verdict on W3-terabytes: since when the states of a run are terabytes, and what fetching them would cost."""
    found = memory.states() if found is None else found
    large = found["state_bytes"] > TERA
    known = large & np.isfinite(found["memory_share"])
    share = float(np.median(found["memory_share"][known])) if known.any() else np.nan
    wait = float(memory.host_share("H100 SXM5", tokens, memory.ALL_SENT))
    alone = float(memory.host_share("H100 SXM5", 8192.0, memory.ALL_SENT))
    word = "fails" if not large.any() else "holds" if wait > HALF else "holds-when"
    first = int(np.argmin(np.where(large, found["year"], np.inf)))
    return Verdict(
        claim="W3-terabytes",
        verdict=word,
        numbers={
            "large": int(large.sum()),
            "share": share,
            "wait": wait,
            "alone": alone,
            "first": str(found["name"][first]),
        },
        because=f"Since {found['name'][first]} ({found['year'][first]:.0f}) {int(large.sum())} of {large.size} published runs have states above a terabyte. Dealt out, they take "
        f"{share:.1%} of the memory of their chips in the median of the {int(known.sum())} whose chips are told. To bring all of them from the hosts and back in each step would take {wait:.1%} of the time of a step of four million tokens, "
        f"and {alone:.1f} times that of a step of 8,192 tokens on one chip.",
        rows=(
            {"what": "runs with states above a terabyte", "number": f"{int(large.sum())} of {large.size}"},
            {"what": "their share of the chips' memory, median", "number": f"{share:.1%}"},
            {"what": "all states through the host's link, of a step of 4 million tokens", "number": f"{wait:.1%}"},
            {"what": "the same, of a step of 8,192 tokens", "number": f"{alone:.0%}"},
        ),
        margin=f"it would hold if fetching took half of such a step; it takes {wait:.2%}.",
        n=int(large.size),
        range=f"{memory.STATE_BYTES} bytes per parameter; H100 at 40 % of its peak, {plain(memory.host_bytes_per_s('H100 SXM5') / 1e9, 2)} GB/s to its host each way, a host that keeps up.",
    )
