"""How each peer is asked; run in that peer's environment, so it imports nothing of ours.

python tools/peer_adapters.py PEER < questions.json > answers.json

An adapter returns {kind of question: function}. The function builds what its tool needs for one question and returns
seconds: of a training step; or, of inference, what the question `asks`: a "prefill", a "step", a "run" from start to
end, or "saturated": between two tokens of all sequences of a server that never waits. What a tool has no chip, engine,
format or layout for is refused: a KeyError or a NotImplementedError that says what.
"""

import contextlib
import json
import statistics
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

WRITTEN = tempfile.TemporaryDirectory()  # models as configuration files; goes with the process


class Table(dict):
    """What a tool calls something; a KeyError that names the tool's lack."""

    def __init__(self, what, **names):
        super().__init__(names)
        self.what = what

    def __missing__(self, name):
        raise KeyError(f"no {self.what} {name!r}")


def of_two(what, names):
    """A `Table` of names with spaces: 'our name = theirs' a line."""
    lines = (line.split(" = ") for line in names.strip().splitlines())
    return Table(what, **{ours.strip(): theirs.strip() for ours, theirs in lines})


def refuse(unless, what):
    """NotImplementedError: the tool has none of that."""
    if not unless:
        raise NotImplementedError(f"no {what}")


def plain(q):
    """Refuse what is not a stack of like decoder layers, each with attention and one feed-forward."""
    refuse(not q["experts"], "mixture of experts asked here")
    refuse(not q["encoder_layers"] and not q["ssm_layers"] and q["attention"] != "MLA", "such layers")


# ---- aiconfigurator: tables of measured kernels, by system and release of an engine

SYSTEMS = of_two(
    "system for",
    """
    A100 SXM 80GB = a100_sxm
    H100 SXM5 = h100_sxm
    H200 SXM = h200_sxm
    L40S = l40s
    B200 SXM (HGX) = b200_sxm
    B300 SXM (HGX) = b300_sxm
    GB200 (per GPU) = gb200
    GB300 (per GPU) = gb300
    RTX PRO 6000 Blackwell = rtx_pro_6000_server""",
)
ENGINES = Table("engine", **{"TensorRT-LLM": "trtllm", "vLLM": "vllm", "SGLang": "sglang"})
WEIGHTS = Table(
    "format of weights",
    **dict.fromkeys(("bf16", "fp16"), "bfloat16"),
    **dict.fromkeys(("int4_g128", "4.25 bits"), "int4_wo"),
    **{"fp8": "fp8", "nvfp4": "nvfp4", "int8": "int8_wo"},
)
CACHES = Table("format of the cache", bf16="bfloat16", fp16="bfloat16", fp8="fp8", int8="int8")
KNOWN = {  # (start of the model's name, format of its weights): a checkpoint whose formats are its own
    ("DeepSeek", "fp8"): "deepseek-ai/DeepSeek-R1",
    ("DeepSeek", "nvfp4"): "nvidia/DeepSeek-V3.1-NVFP4",
    ("gpt-oss-120b", "mxfp4"): "openai/gpt-oss-120b",
    ("gpt-oss-20b", "mxfp4"): "openai/gpt-oss-20b",
}


def checkpoint(q):
    """(path of the model, is its format its own): one that the tool knows, or a configuration file of the shape."""
    for (start, weights), path in KNOWN.items():
        if q["model"].startswith(start) and q["weights"] == weights:
            return path, True
    if q["model"].startswith("Llama-4-Maverick"):
        return "meta-llama/Llama-4-Maverick-17B-128E-Instruct", False
    refuse(q["ffn_matrices"] == 3 and q["attention"] in ("MHA", "GQA", "MQA"), "such layers")
    refuse(not q["shared_experts"] and not q["dense_layers"] and not q["ssm_layers"], "such a mixture")
    return _config(q), False


def _config(q):
    config = {
        "architectures": ["Qwen3MoeForCausalLM" if q["experts"] else "LlamaForCausalLM"],
        "hidden_size": q["width"],
        "intermediate_size": q["ffn_width"] or q["expert_width"],
        "num_attention_heads": q["heads"],
        "num_hidden_layers": q["layers"],
        "num_key_value_heads": q["kv_heads"],
        "head_dim": q["head_values"],
        "vocab_size": q["vocab"],
        "max_position_embeddings": 1 << 20,
    }
    if q["experts"]:
        config |= {"num_experts": q["experts"], "num_experts_per_tok": q["experts_per_token"]}
        config |= {"moe_intermediate_size": q["expert_width"]}
    folder = Path(WRITTEN.name) / q["model"]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def cuts(q):
    """(tp, pp, chips of data-parallel attention, tp of experts, ep) that a row means, or may mean, by its chips."""
    chips, pp = q["n_chips"], q["pp"] or 1
    tp, ep = q["tp"], q["ep"] if q["experts"] else None
    if tp is None and ep:
        tp = 1
    asked = [tp] if tp else [chips // pp]
    if not tp and q["asks"] == "saturated":
        asked = [n for n in (1, 2, 4, 8) if chips % (n * pp) == 0 and q["heads"] % n == 0]
    for n in asked:
        if not ep:
            yield n, pp, 1, n, 1
        elif n * ep * pp <= chips or n == 1:
            yield n, pp, ep, n, ep
        else:
            yield n, pp, 1, max(n // ep, 1), min(ep, n)


def aiconfigurator():
    """Its present release of an engine, whatever the row's; of what a row leaves open, the fastest that fits."""
    import logging

    from aiconfigurator_core.sdk import config_builders
    from aiconfigurator_core.sdk.backends.factory import get_backend
    from aiconfigurator_core.sdk.config import RuntimeConfig
    from aiconfigurator_core.sdk.models import get_model
    from aiconfigurator_core.sdk.perf_database import get_database, get_version_slots

    logging.disable(logging.CRITICAL)
    modes = {"prefill": "static_ctx", "step": "static_gen", "run": "static"}
    never = 1e12  # a limit of a latency, ms

    def made(q, cut, attention):
        tp, pp, dp, expert_tp, ep = cut
        path, own = checkpoint(q)
        formats = {"kvcache_quant_mode": CACHES[q["cache"]], "fmha_quant_mode": attention}
        if not own:
            formats |= dict.fromkeys(("gemm_quant_mode", "moe_quant_mode"), WEIGHTS[q["weights"]])
            formats["moe_quant_mode"] = formats["moe_quant_mode"] if q["experts"] else None
        layout = config_builders.build_model_config(tp, pp, dp, expert_tp, ep, **formats)
        return get_model(path, layout, ENGINES[q["stack"]])

    def one(q, cut, attention):
        system, engine = SYSTEMS[q["chip"]], ENGINES[q["stack"]]
        tables = get_database(system, engine, get_version_slots(system, engine)["current"])
        model, server = made(q, cut, attention), get_backend(engine)
        copies = max(q["n_chips"] / (cut[0] * cut[1] * cut[2]), 1)
        batch = q["batch"] and max(round(q["batch"] / copies / cut[2]), 1)
        prompt, output = max(round(q["prompt"]), 1), max(round(q["output"]), 1)
        if q["asks"] == "saturated":
            asked = RuntimeConfig(batch_size=1, isl=prompt, osl=max(output, 2), ttft=never, tpot=never)
            best = server.find_best_agg_result_under_constraints(
                model, tables, asked, max_batch_size=batch or 1024, ctx_stride=2048
            ).get_summary_df()
            refuse(len(best), "batch that fits")
            return 1 / (copies * float(best["tokens/s"].iloc[0]))
        if q["asks"] == "step":
            prompt, output = max(round(q["context"]) - 1, 1), 2
        asked = RuntimeConfig(batch_size=batch, isl=prompt, osl=output)
        return server.run_static_latency_only(model, tables, asked, modes[q["asks"]]) / 1e3

    def inference(q):
        found, problem = [], None
        for cut in cuts(q):
            for attention in (None, "bfloat16"):  # it has attention in eight bits for some chips and shapes alone
                try:
                    found.append(one(q, cut, attention))
                    break
                except Exception as trouble:  # of one cut: another may have an answer
                    problem = trouble
        if not found:
            raise problem or NotImplementedError("no cut that it knows")
        return min(found)

    return {"inference": inference}


# ---- llm-analysis, mlsysim: one efficiency

LLM_ANALYSIS_CHIPS = of_two(
    "chip",
    """
    A100 SXM 80GB = a100-sxm-80gb
    A100 SXM 40GB = a100-sxm-40gb
    A100 PCIe 80GB = a100-pcie-80gb
    H100 SXM5 = h100-sxm-80gb
    H100 PCIe = h100-pcie-80gb
    V100 SXM2 32GB = v100-sxm-32gb
    MI250 = mi250-128gb
    RTX A6000 = a6000-48gb""",
)
MLSYSIM_FLEETS = of_two(
    "cluster of",
    """
    A100 SXM 80GB = Lab_64_A100
    H100 SXM5 = Lab_64_H100
    B200 SXM (HGX) = Training_1K_B200""",
)
MLSYSIM_CHIPS = of_two(
    "chip",
    """
    A100 SXM 80GB = A100
    A100 SXM 40GB = A100_40GB
    H100 SXM5 = H100
    H100 PCIe = H100_PCIe
    H200 SXM = H200
    B200 SXM (HGX) = B200
    MI300X = MI300X
    MI325X = MI325X
    Gaudi 3 = Gaudi3""",
)


def llm_analysis():
    """One efficiency, here the half that its comments give for Megatron; no pipeline bubble."""
    from llm_analysis import config
    from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
    from llm_analysis.logger import logger

    logger.setLevel("ERROR")
    again = {"none": "NONE", "selective": "SELECTIVE", "products": "SELECTIVE", "full": "FULL"}
    weights = Table("format of weights", bf16="w16a16e16", fp16="w16a16e16", int8="w8a16e16", int4_g128="w4a16e16")

    def tool(q, format, tokens, **layout):
        plain(q)
        ffn = q["ffn_width"] * q["ffn_matrices"] / 2  # it knows two matrices: as many weights in all
        shape = config.ModelConfig(
            name="asked",
            num_layers=q["layers"],
            n_head=q["heads"],
            hidden_dim=q["width"],
            vocab_size=q["vocab"],
            max_seq_len=tokens,
            num_key_value_heads=q["kv_heads"],
            ffn_embed_dim=ffn,
            expansion_ratio=ffn / q["width"],
        )
        chip = config.get_gpu_config_by_name(LLM_ANALYSIS_CHIPS[q["chip"]])
        formats = config.get_dtype_config_by_name(format)
        return LLMAnalysis(shape, chip, formats, config.ParallelismConfig(**layout), flops_efficiency=0.5)

    def training(q):
        refuse(q["format"] in ("bf16", "fp16"), f"products in {q['format']} asked here")
        refuse(q["cp"] == 1 and not q["lora_rank"], "context parallelism and no adapters")
        layout = {"tp_size": q["tp"], "pp_size": q["pp"], "dp_size": q["dp"], "sp_size": q["tp"] if q["sp"] else 1}
        asked = tool(q, "w16a16e16", q["seq_len"], **layout)
        return asked.training(
            batch_size_per_gpu=q["micro_batch"],
            gradient_accumulation_steps=q["micro_batches"],
            seq_len=q["seq_len"],
            ds_zero=DSZeRO(q["zero"]),
            activation_recomputation=ActivationRecomputation[again[q["recompute"]]],
        )["latency_per_iter"]

    def inference(q):
        tp, pp = q["tp"] or q["n_chips"], q["pp"] or 1
        refuse(q["asks"] != "saturated", "server that never waits asked here")
        refuse(tp * pp == q["n_chips"], "such a cut of a server")
        asked = tool(q, weights[q["weights"]], round(q["prompt"] + q["output"]) + 1, tp_size=tp, pp_size=pp)
        sizes = {"batch_size_per_gpu": round(q["batch"])}
        if q["asks"] == "step":
            found = asked.inference(seq_len=max(round(q["context"]) - 1, 1), num_tokens_to_generate=1, **sizes)
            return found["decode_latency"]
        found = asked.inference(seq_len=round(q["prompt"]), num_tokens_to_generate=max(round(q["output"]), 1), **sizes)
        return found["prefill_latency"] + (found["total_decode_latency"] if q["asks"] == "run" else 0)

    return {"training": training, "inference": inference}


def mlsysim():
    """One efficiency, 0.5 by default; inference on one chip."""
    from mlsysim import Hardware, Models, Systems
    from mlsysim.core.units import ureg
    from mlsysim.engine.solvers.distributed import DistributedModel
    from mlsysim.engine.solvers.serving import ServingModel

    formats = Table("format of weights", bf16="fp16", fp16="fp16", fp8="fp8", int8="int8")

    def shape(q):
        plain(q)
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
        chips = q["tp"] * q["pp"] * q["dp"]
        refuse(q["cp"] == 1 and not q["lora_rank"], "context parallelism and no adapters")
        refuse(chips % 8 == 0, f"cluster of {chips} chips")
        fleet = getattr(Systems.Clusters, MLSYSIM_FLEETS[q["chip"]]).model_copy(update={"count": chips // 8})
        found = DistributedModel().solve(
            shape(q),
            fleet,
            batch_size=q["micro_batch"] * q["micro_batches"] * q["dp"],
            precision=formats[q["format"]],
            tp_size=q["tp"],
            pp_size=q["pp"],
            v_stages=q["vpp"],
            microbatch_count=q["micro_batches"],
            zero_stage=q["zero"],
            activation_recomputation=q["recompute"] == "full",
            seq_len=q["seq_len"],
        )
        return found.step_latency_total.to("s").magnitude

    def inference(q):
        refuse(q["asks"] != "saturated", "server that never waits asked here")
        refuse(q["n_chips"] == 1, "server of several chips asked here")
        sizes = {"batch_size": round(q["batch"]), "precision": formats[q["weights"]]}
        length = round(q["prompt"] if q["asks"] == "prefill" else q["context"])
        found = ServingModel().solve(
            shape(q), getattr(Hardware.Cloud, MLSYSIM_CHIPS[q["chip"]]), seq_len=length, **sizes
        )
        step_s, prompt_s = found.itl.to("s").magnitude, found.ttft.to("s").magnitude
        return {"prefill": prompt_s, "step": step_s, "run": prompt_s + q["output"] * step_s}[q["asks"]]

    return {"training": training, "inference": inference}


def genz_llm():
    """No training; a roofline of each operator, at full rates."""
    from GenZ import decode_moddeling, prefill_moddeling
    from GenZ.Models.default_models import ModelConfig

    chips = of_two(
        "chip",
        """
        A100 SXM 40GB = A100_40GB_GPU
        A100 SXM 80GB = A100_80GB_GPU
        H100 SXM5 = H100_GPU
        MI300X = MI300X
        MI325X = MI325X
        Gaudi 3 = Gaudi3
        TPU v4 = TPUv4""",
    )
    formats = Table("format of weights", bf16="bf16", fp16="bf16", fp8="fp8", int8="int8")

    def inference(q):
        plain(q)
        tp, pp = q["tp"] or q["n_chips"], q["pp"] or 1
        refuse(q["asks"] != "saturated", "server that never waits asked here")
        refuse(tp * pp == q["n_chips"], "such a cut of a server")
        shape = ModelConfig(
            model=q["model"],
            vocab_size=q["vocab"],
            hidden_size=q["width"],
            intermediate_size=q["ffn_width"],
            num_ffi=q["ffn_matrices"] - 1,
            num_decoder_layers=q["layers"],
            num_attention_heads=q["heads"],
            num_key_value_heads=q["kv_heads"],
            head_dim=q["head_values"],
            max_model_len=1 << 20,
        )
        asked = {"model": shape, "batch_size": round(q["batch"]), "bits": formats[q["weights"]]}
        asked |= {"system_name": chips[q["chip"]], "tensor_parallel": tp, "pipeline_parallel": pp}

        def prompt_s():
            return prefill_moddeling(input_tokens=round(q["prompt"]), **asked)["Latency"] / 1e3

        def step_s():
            length = max(round(q["context"]) - 1, 1)
            return decode_moddeling(input_tokens=length, output_tokens=1, Bb=1, **asked)["Latency"] / 1e3

        if q["asks"] == "run":
            return prompt_s() + q["output"] * step_s()
        return prompt_s() if q["asks"] == "prefill" else step_s()

    return {"inference": inference}


PEERS = {
    "aiconfigurator-core==0.12.0": aiconfigurator,
    "llm-analysis==0.2.2": llm_analysis,
    "mlsysim==0.3.0": mlsysim,
    "genz-llm==0.0.16": genz_llm,
}


# ---- answers


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


@cache
def tool_of(name):
    return PEERS[name]()


def answer(name, asked):
    """{"seconds", "took_s": of the processor} of one question, with `timed` also "per_s"; or {"problem": why not}."""
    try:
        ask = tool_of(name).get(asked["kind"])
        refuse(ask, f"model of {asked['kind']}")
        began = time.process_time()
        found = {"seconds": float(ask(asked)), "took_s": time.process_time() - began}
        return found | ({"per_s": per_s(lambda: ask(asked))} if asked.get("timed") else {})
    except Exception as problem:  # of one question: the others may have answers
        told = str(problem.args[0]) if isinstance(problem, KeyError) and problem.args else str(problem)
        return {"problem": (told or type(problem).__name__)[:200]}


def typical_per_s(answers):
    """Answers a second of one core: of the median answer, reading of tables left out."""
    took = [found["took_s"] for found in answers if "seconds" in found]
    return 1 / max(statistics.median(took), 1e-6) if took else 0.0


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = [answer(sys.argv[1], asked) for asked in json.load(sys.stdin)]
    print(json.dumps(found))
