"""Verdicts on attention: was the square the wall, and what do its alternatives save?"""

import numpy as np

from bottlenecks.facts.units import plain
from bottlenecks.studies import attention, forms
from bottlenecks.studies.verdict import Verdict

FUSED_SINCE = 2023  # from when on training programs fused attention: data/software.csv
WRITTEN, PLAIN, FUSED, OVERLAPPED = attention.PROGRAMS
GROUPS = {  # words -> which runs, and the attention of their time
    "until 2022, scores and dropout written out": (lambda year, long: (year < FUSED_SINCE) & ~long, WRITTEN),
    "the same without dropout": (lambda year, long: (year < FUSED_SINCE) & ~long, PLAIN),
    "since then, fused": (lambda year, long: (year >= FUSED_SINCE) & ~long, FUSED),
    "long phases, fused": (lambda year, long: long, OVERLAPPED),
}


def over_half():
    """{group of runs: (runs, {bill: how many give attention more than half of it})}, each at its own context."""
    found, counted = attention.runs(), {}
    for words, (which, program) in GROUPS.items():
        mine = np.flatnonzero(which(found["year"], found["long"]))
        at = [
            attention.shares(attention.run_model(found, i), found["context"][i : i + 1], program=program) for i in mine
        ]
        over = {bill: int(sum(float(each[bill][0]) > attention.HALF for each in at)) for bill in attention.BILLS}
        counted[words] = (len(at), over)
    return counted


def quadratic(counted=None):
    """Verdict on W2-quadratic-attention: which bills attention dominated, at the contexts that runs really had."""
    counted = over_half() if counted is None else counted
    (early, first), (_, plain_), (later, _), (phases, long) = counted.values()
    most, least = (max(of["traffic"], of["memory"]) for of in (first, plain_))
    word = "holds" if first["operations"] > early / 2 < least else "holds-when" if most > early / 2 else "fails"
    gpt3 = attention.crossings("GPT-3 175B", WRITTEN)
    return Verdict(
        claim="W2-quadratic-attention",
        verdict=word,
        numbers={"counted": counted, "gpt3": gpt3},
        because=f"GPT-3's square passes half of the bytes kept at {plain(gpt3['memory'], 3)} tokens, of the bytes moved at {plain(gpt3['traffic'], 3)}, of the time "
        f"at {plain(gpt3['time'], 3)} and of the operations at {plain(gpt3['operations'], 3)}. At their own contexts, {first['memory']} of {early} early runs had passed it in "
        f"bytes kept and {first['traffic']} in bytes moved if they had a dropout on their scores, {plain_['memory']} and {plain_['traffic']} if not; {first['operations']} in operations. "
        f"Fused kernels took the scores' bytes away; the square of operations is due in {long['operations']} of {phases} long phases.",
        rows=tuple(
            {"runs": words, "n": n}
            | {
                "bytes kept": over["memory"],
                "bytes moved": over["traffic"],
                "time": over["time"],
                "operations": over["operations"],
            }
            for words, (n, over) in counted.items()
        ),
        margin=f"it turns on the dropout, of which few reports speak: with it {most} of {early} runs are past half in a bill of bytes, without it {least}. Runs that computed "
        "their layers again paid the bytes kept in operations instead.",
        n=early + later + phases,
        range="Training, one sequence on one H100, nothing computed again; main parts at the context stated, or the model's own up to 8,192 tokens.",
    )


TOLD = (
    "a window of 4,096",
    "windows of 1,024 in 27 of 32 layers",
    "an index chooses 2,048 latents",
    "pooled latents and an index",
    "a delta-rule state in 24 of 32",
)
USUAL = 8192  # tokens of the main part of a run


def alternatives(pays=None, tests=None):
    """Verdict on W2-sparse-linear-attention: from which context on each form saves what, and what it loses."""
    pays = {name: forms.pays_from()[name] for name in TOLD} if pays is None else pays
    tests = forms.quality() if tests is None else tests
    early = [name for name, at in pays.items() if max(at.values()) <= USUAL]
    never = [name for name, at in pays.items() if not np.isfinite(max(at.values()))]
    word = "holds" if len(early) == len(pays) else "fails" if len(never) == len(pays) else "holds-when"
    long = tests["long"]
    lost = {"short texts": float(np.median(tests["points"][~long])), "recall": float(tests["points"][long].min())}
    return Verdict(
        claim="W2-sparse-linear-attention",
        verdict=word,
        numbers={"pays": pays, "early": early, "never": never, "lost": lost},
        because=f"Counted in operations and bytes, not in time: {len(early)} of {len(pays)} forms are below grouped keys in all three costs from {USUAL:,} tokens on or earlier. What is kept falls with windows and states "
        f"alike; an index reads little and computes much. In published comparisons the median on short texts is {lost['short texts']:+.1f} points, "
        f"the worst in recall from long ones {lost['recall']:+.0f}.",
        rows=tuple(
            {"form": name}
            | {
                words: _from(at[cost])
                for cost, words in (("operations", "operations"), ("read", "bytes read"), ("kept", "bytes kept"))
            }
            for name, at in pays.items()
        ),
        margin=f"it would hold if every form paid within {USUAL:,} tokens; {len(pays) - len(early)} does not."
        if len(pays) - len(early) == 1
        else f"it would hold if every form paid within {USUAL:,} tokens; {len(pays) - len(early)} do not.",
        n=len(pays),
        range="One body of 32 layers, against keys for groups of four heads; a prompt's operations, a decode step's bytes; up to four million tokens.",
    )


def _from(tokens):
    return "always" if tokens == 0 else "never" if not np.isfinite(tokens) else f"from {plain(tokens, 2)}"
