"""Other tools, asked what this package is asked: `make benchmark PEERS=1`.

Each is installed in an environment of its own and asked there by this file, which then imports
nothing of ours: `python tools/peers.py NAME < questions.json > answers.json`. An adapter returns
{kind: function}; the function builds what its tool needs for one case and returns the step's seconds.
"""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

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


# ---- adapters, in the peers' environments


def llm_analysis():
    """One efficiency, here the half that its comments give for Megatron; no pipeline bubble."""
    from llm_analysis import config
    from llm_analysis.analysis import ActivationRecomputation, LLMAnalysis
    from llm_analysis.logger import logger

    logger.setLevel("ERROR")

    def tool(q, gpu, **layout):
        ffn = q["ffn_width"] * q["ffn_matrices"] / 2  # it knows two matrices: as many weights in all
        shape = config.ModelConfig(
            name="asked",
            num_layers=q["layers"],
            n_head=q["heads"],
            hidden_dim=q["width"],
            vocab_size=q["vocab"],
            max_seq_len=q["seq_len"],
            num_key_value_heads=q["kv_heads"],
            ffn_embed_dim=ffn,
            expansion_ratio=ffn / q["width"],
        )
        chip, formats = config.get_gpu_config_by_name(gpu), config.get_dtype_config_by_name("w16a16e16")
        return LLMAnalysis(shape, chip, formats, config.ParallelismConfig(**layout), flops_efficiency=0.5)

    def training(q):
        asked = tool(q, "a100-sxm-80gb", tp_size=q["tp"], pp_size=q["pp"], sp_size=q["tp"] if q["sp"] else 1)
        return asked.training(
            batch_size_per_gpu=1,
            gradient_accumulation_steps=q["micro_batches"],
            seq_len=q["seq_len"],
            activation_recomputation=ActivationRecomputation.FULL,
        )["latency_per_iter"]

    def decode(q):
        return tool(q, "h100-sxm-80gb").inference(
            batch_size_per_gpu=q["batch"], seq_len=q["seq_len"] - 1, num_tokens_to_generate=1
        )["decode_latency"]

    return {"training": training, "decode": decode}


def mlsysim():
    """One efficiency, 0.5 by default."""
    from mlsysim import Hardware, Models, Systems
    from mlsysim.core.units import ureg
    from mlsysim.engine.solvers.distributed import DistributedModel
    from mlsysim.engine.solvers.serving import ServingModel

    def shape(q):
        return Models.Language.GPT3.model_copy(
            update={
                "layers": q["layers"],
                "hidden_dim": q["width"],
                "heads": q["heads"],
                "kv_heads": q["kv_heads"],
                "vocab_size": q["vocab"],
                "parameters": q["params"] * ureg.param,
                "inference_flops": 2 * q["params"] * ureg.flop,
            }
        )

    def training(q):
        nodes = q["tp"] * q["pp"] // 8
        fleet = Systems.Clusters.Lab_64_A100.model_copy(update={"count": nodes})
        found = DistributedModel().solve(
            shape(q),
            fleet,
            batch_size=q["micro_batches"],
            tp_size=q["tp"],
            pp_size=q["pp"],
            v_stages=q["vpp"],
            microbatch_count=q["micro_batches"],
            activation_recomputation=True,
            seq_len=q["seq_len"],
        )
        return found.step_latency_total.to("s").magnitude

    def decode(q):
        options = {"seq_len": q["seq_len"], "batch_size": q["batch"]}
        found = ServingModel().solve(shape(q), Hardware.Cloud.H100, **options)
        return found.itl.to("s").magnitude

    return {"training": training, "decode": decode}


def genz_llm():
    """No training; its own entries of the model and of the chip."""
    from GenZ import decode_moddeling

    def decode(q):
        found = decode_moddeling(
            model="meta-llama/Llama-3.1-8B",
            batch_size=q["batch"],
            input_tokens=q["seq_len"] - 1,
            output_tokens=1,
            system_name="H100_GPU",
            bits="bf16",
        )
        return found["Latency"] / 1e3

    return {"decode": decode}


PEERS = {"llm-analysis==0.2.2": llm_analysis, "mlsysim==0.3.0": mlsysim, "genz-llm==0.0.16": genz_llm}


def per_s(act, budget_s=0.3, repeats=5):
    """Calls a second of the processor's time, the best of some loops of about `budget_s`."""
    act()
    began = time.process_time()
    act()
    loops = max(int(budget_s / max(time.process_time() - began, 1e-6)), 1)
    best = 0.0
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(loops):
            act()
        best = max(best, loops / (time.process_time() - began))
    return best


def answers(name, questions):
    """For each question its seconds and how many such calls a second, or why there are none."""
    tool, found = PEERS[name](), []
    for asked in questions:
        ask = tool.get(asked["kind"])
        try:
            if ask is None:
                raise NotImplementedError("it has no model of that")
            found.append({"seconds": ask(asked), "per_s": per_s(lambda: ask(asked))})  # noqa: B023
        except Exception as problem:  # of one question: the others may have answers
            found.append({"problem": f"{problem or type(problem).__name__}"})
    return found


# ---- here


def shape_of(model):
    """What an adapter may need of a model."""
    names = ("layers", "heads", "kv_heads", "width", "ffn_width", "ffn_matrices", "vocab", "params")
    return {name: getattr(model, name) for name in names}


def asked():
    """The questions, and for each what this package answers: one case, and a column of cases."""
    import numpy as np

    from bottlenecks.facts import corpus
    from bottlenecks.facts.architectures import model
    from bottlenecks.facts.chips import chip
    from bottlenecks.models import inference, training
    from bottlenecks.models.layouts import Layout

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
    gpt = {"kind": "training", "seq_len": 2048} | shape_of(large)
    llama = {"kind": "decode", "seq_len": 2048, "batch": 16} | shape_of(small)
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


def seconds(value):
    return f"{value:.3g} s" if value >= 0.1 else f"{1e3 * value:.3g} ms"


def line(*cells):
    wide = (19, 56, 8, 8, 7, 10, 8, 9, 9, 9)
    print(" ".join(f"{c:{'<' if i < 2 else '>'}{w}}" for i, (c, w) in enumerate(zip(cells, wide, strict=True))))


def main():
    print(HEAD)
    questions = asked()
    ours = [(per_s(one), 4096 * per_s(all), one()) for _, _, one, all, _ in questions]
    line("peer", "question", "theirs/s", "ours/s", "ratio", "columns/s", "ratio", "theirs", "ours", "measured")
    for peer, adapter in PEERS.items():
        try:
            found = json.loads(
                _quietly([python_of(peer), __file__, peer], 300, input=json.dumps([q for _, q, *_ in questions]))
            )
        except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as problem:
            print(f"{peer}: left out: {problem}")
            continue
        for (name, *_, measured), (one, column, mine), theirs in zip(questions, ours, found, strict=True):
            if "problem" in theirs:
                print(f"{peer:19s} {name:56s} no answer: {theirs['problem']}")
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
        print(f"{'':19s} {adapter.__doc__}")
    for peer, why in ELSEWHERE.items():
        print(f"{peer}: not asked: {why}")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        with contextlib.redirect_stdout(sys.stderr):
            found = answers(sys.argv[1], json.load(sys.stdin))
        print(json.dumps(found))
