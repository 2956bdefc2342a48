"""Other tools, asked what this package is asked: `make benchmark PEERS=1`.

Each is installed in an environment of its own and asked there by `peer_adapters.py`. Two tables come out: answers a
second on three questions, and, on open rows of the corpus (`peer_rows.py`), error, coverage and speed.

python tools/peers.py [PEER ...]     names of peers, or the start of them (default: all)
    --write     the second table as bottlenecks/data/peers.csv too, which a chapter prints
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import peer_adapters
import peer_rows
from peer_adapters import PEERS, per_s

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import inference, training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine

HOME = Path(__file__).resolve().parent.parent / ".venv-peers"
ELSEWHERE = {
    "calculon": "the package index has another package under this name",
    "LLM-Viewer": "not on the package index",
}
HEAD = """
Answers a second of one core's time: theirs, ours one at a time, and ours as columns of 4,096 micro-batch
counts or batch sizes, with ratios to theirs. Then the answers. Of 96 layers on 64 stages ours waits for
the stages with two; the others give each stage one and a half. The measured step is one of those that
our constants were fitted on (korthikanti2022_t5)."""
ROWS = """
Open rows of the corpus: error is the mean over sources of the mean |ln(predicted / measured)|, median that of
the median row; ours are the committed predictions of the same rows, each source left out of what is learned.
Answers a second: the median answer, on one core; ours in one call, what a row leaves open and all."""


# ---- three questions, timed


def timed():
    """The questions, and for each what this package answers: one case, and a column of cases."""
    large, small = model("GPT-3 175B"), model("Llama-3-8B")
    cluster = machine(chip("A100 SXM 80GB"))
    server = machine(chip("H100 SXM5"))
    many = np.arange(1, 4097)

    def train(micro_batches, **layout):
        layout = Layout(seq_len=2048, recompute="full", micro_batches=micro_batches, **layout)
        return training.step(large, layout, on=cluster, software="2022").seconds

    def decode(batch):
        return inference.decode_s(small, inference.Plan(), server, batch=batch, context=2048)

    rows = corpus.table("training")
    measured = (rows["source_id"] == "korthikanti2022_t5") & (rows["model"] == "GPT-175B")
    measured &= rows["recompute"] == "full"
    wide = {"tp": 8, "pp": 64, "sp": True, "vpp": 1}
    narrow = {"tp": 8, "pp": 8, "sp": False, "vpp": 3}
    cut = {**narrow, "schedule": "interleaved"}
    alone = {"dp": 1, "cp": 1, "ep": 1, "zero": 0, "micro_batch": 1, "lora_rank": 0, "recompute": "full"}
    gpt = {"kind": "training", "chip": "A100 SXM 80GB", "format": "bf16", "seq_len": 2048, "timed": True}
    gpt |= alone | peer_rows.shape_of(large)
    llama = {"kind": "inference", "asks": "step", "chip": "H100 SXM5", "stack": "TensorRT-LLM", "timed": True}
    llama |= {"batch": 16, "prompt": 2048, "output": 1, "context": 2048, "weights": "bf16", "cache": "bf16"}
    llama |= {"n_chips": 1, "tp": 1, "pp": 1, "ep": None} | peer_rows.shape_of(small)
    return [
        (
            "train GPT-3 175B, 512 A100, tp 8 pp 64, 1536 sequences",
            gpt | wide | {"micro_batches": 1536},
            lambda: train(1536, **wide),
            lambda: train(many, **wide),
            None,
        ),
        (
            "train GPT-3 175B, 64 A100, tp 8 pp 8 x 3, 64 sequences",
            gpt | narrow | {"micro_batches": 64},
            lambda: train(64, **cut),
            lambda: train(8 * many, **cut),
            rows["step_time_s"][measured].item(),
        ),
        ("decode Llama-3-8B, H100, batch 16, context 2048", llama, lambda: decode(16), lambda: decode(many), None),
    ]


def seconds(value):
    return f"{value:.3g} s" if value >= 0.1 else f"{1e3 * value:.3g} ms"


def line(*cells):
    wide = (27, 56, 8, 8, 7, 10, 8, 9, 9, 9)
    print(" ".join(f"{c:{'<' if i < 2 else '>'}{w}}" for i, (c, w) in enumerate(zip(cells, wide, strict=True))))


def tell_timed(questions, found):
    """Print the first table; `found`: {peer: answers}."""
    print(HEAD)
    ours = [(per_s(one), 4096 * per_s(all), one()) for _, _, one, all, _ in questions]
    line("peer", "question", "theirs/s", "ours/s", "ratio", "columns/s", "ratio", "theirs", "ours", "measured")
    for peer, answers in found.items():
        for (name, *_, measured), (one, column, mine), theirs in zip(questions, ours, answers, strict=True):
            if "problem" in theirs:
                print(f"{peer:27s} {name:56s} no answer: {theirs['problem']}")
                continue
            rate = theirs["per_s"]
            line(
                peer,
                name,
                f"{rate:,.0f}",
                f"{one:,.0f}",
                f"{one / rate:.2f}",
                f"{column:,.0f}",
                f"{column / rate:,.0f}",
                seconds(theirs["seconds"]),
                seconds(mine),
                seconds(measured) if measured else "",
            )
        print(f"{'':27s} {PEERS[peer].__doc__}")
    for peer, why in ELSEWHERE.items():
        print(f"{peer}: not asked: {why}")


# ---- the peers


def python_of(peer):
    """The interpreter of a peer's environment, made and filled the first time."""
    home = HOME / peer
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (home / "installed").exists():
        print(f"installing {peer} into {home.relative_to(HOME.parent)}", file=sys.stderr)
        _quietly([sys.executable, "-m", "venv", "--clear", home], limit_s=120)
        _quietly([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", peer], limit_s=900)
        (home / "installed").touch()
    return python


def _quietly(command, limit_s, **options):
    """What a command prints, or an error with the last line of its complaint."""
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=limit_s, **options)
    if run.returncode:
        raise RuntimeError((run.stderr.strip() or f"exit {run.returncode}").splitlines()[-1])
    return run.stdout


def ask(peer, questions):
    """The answers of a peer, in order, or None where it can not be asked; then one line says why."""
    try:
        command = [python_of(peer), peer_adapters.__file__, peer]
        return json.loads(_quietly(command, 600, input=json.dumps(questions)))
    except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as problem:
        print(f"{peer}: left out: {problem}")
        return None


def tell_refused(peer, kind, answers):
    """Why a peer has no answer, most frequent first, in one line."""
    reasons = [found["problem"] for found in answers if "problem" in found]
    often = sorted(set(reasons), key=lambda reason: (-reasons.count(reason), reason))[:4]
    if often:
        print(f"  {peer}, {kind}, no answer: " + "; ".join(f"{r[:60]} ({reasons.count(r)})" for r in often))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="PEER")
    parser.add_argument("--write", action="store_true", help="write bottlenecks/data/peers.csv")
    args = parser.parse_args()
    chosen = [peer for peer in PEERS if peer.startswith(tuple(args.peers) or "")]
    first, rows = timed(), [peer_rows.asked(kind) for kind in peer_rows.KINDS]
    questions = [q for _, q, *_ in first] + [q for asked in rows for q in asked.questions]
    found = {peer: answers for peer in chosen if (answers := ask(peer, questions))}
    tell_timed(first, {peer: answers[: len(first)] for peer, answers in found.items()})
    print(ROWS)
    lines = []
    for peer, answers in found.items():
        start = len(first)
        for asked in rows:
            mine = answers[start : start + len(asked.questions)]
            start += len(asked.questions)
            tell_refused(peer, asked.kind, mine)
            if any("seconds" in answer for answer in mine):
                lines.append(peer_rows.line(peer, asked, mine, peer_adapters.typical_per_s(mine)))
    print(*peer_rows.told(lines), sep="\n")
    if args.write:
        peer_rows.write(lines)


if __name__ == "__main__":
    main()
