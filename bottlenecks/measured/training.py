"""Measured training runs as calls of `training.step`: what each row leaves open, and its own unit.

A row becomes a model, a layout, a machine and an software of software. Whoever states a model and a chip
gets a prediction; what the row does not say is chosen by rules that hold for every row, and named in
`assumed`. A practitioner of the time tunes what is open: of the layouts that could be meant
(`_layouts`), the fastest that fits in memory (`_choose`), of

- tensor parallelism within 8 chips and 1 to 32 stages, more where they divide; a compiler's chips
  (TPU from 2022) shard everything, with one batch a step;
- chunks of a stage, from 2024, where micro-batches are few for the stages;
- recomputation: none, in part, all; all before 2022 and in compiled programs, but of encoders;
- a micro-batch of 1 with stages or long contexts, else any to 16; expert parallelism that divides;
- a batch of 2M tokens, 4M above 50B parameters, and no less than 1,024 a chip; 2,048 tokens of a
  sequence, from 2024 8,192, of an encoder 512; as many chips as twice the states fill;
- the shape of the catalog, else GPT-3's or the nearest mixture's at that size.
"""

import re
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import Model, find_model, model, models
from bottlenecks.facts.chips import chip
from bottlenecks.laws import shares
from bottlenecks.measured.memory import SHAPES, gpt
from bottlenecks.models import footprint, training, wiring
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import at

TODAY = "2026"
BEGUN = {"opt175b": "2021-11"}  # runs printed long after they began: zhang2022opt's logbook
ROUNDS = {"training_results_v3.0": "2023-06", "training_results_v3.1": "2023-11"}  # of MLPerf
BATCH_TOKENS = 2**21  # of a step whose batch is not stated; twice as many for a LARGE model
LARGE = 50e9  # parameters: brown2020gpt3, Table 2.1, has 3.2M tokens a step at 175B
WRITTEN = 128 / 512  # tokens of T5's second stack for one of its first: nemo-launcher, t5/3b.yaml
LORA_RANK = 16  # of adapters: their size hardly matters
STATE_BYTES = 18  # of a weight and what its optimiser holds: eq:zero-states
CHIP_TOKENS = 1024  # of a step for each chip, at least: megascale_t2 on 12,288, llama3herd on 16,384
RESERVED = 0.08  # of a chip's memory, for the allocator and the buffers of collectives (a choice)
NARROW_KEPT_BYTES = 1.75  # of an activation, where products are narrow (`_kept`)
# Of a step of DeepLearningExamples' BERT on 512 tokens: sequences come in bins of 64, padded to their
# bin; in the mean half of the 512 are text (krell2021packing: more than half is padding).
BINNED_TOKENS = 512 // 2 + 64 // 2
# Sequences evaluated for each one trained on the way to MLPerf's target: 5,662 after every 24,576.
EVALUATED = 5662 / 24576  # mlcommons-gpt3
LONG = 16384  # tokens, from where on contexts may be cut
COMPILED = ("TPU", "Neuron")  # chips whose compiler shards what a program leaves whole
TOKENS = 2048  # of a sequence whose length is not stated, before 2024; later 8,192
VOCAB = 51200
SPELLINGS = (
    ("fp4", "fp4"),
    ("fp8", "fp8"),
    ("float8", "fp8"),
    ("int8", "int8"),
    ("tf32", "tf32"),
    ("fp16", "fp16"),
    ("bf16", "bf16"),
    ("fp32", "fp32"),
)
PORTS = {  # bytes/s of a chip, where the source's machine is known: Jean Zay, 4 x 100 Gbit/s a node
    "bloom_prequel": 6.25e9,
    "bloom_run": 6.25e9,
    "bigscience_v100_gpt2": 12.5e9,
    "bloomberggpt": 6.25e9,  # 64 p4d.24xlarge, 400 Gbit/s for eight chips
}
MEANT = {  # by a short name
    "V100": "V100 SXM2 32GB",
    "A100": "A100 SXM 80GB",
    "H100": "H100 SXM5",
    "H200": "H200 SXM",
    "B200": "B200 SXM (HGX)",
    "B300": "B300 SXM (HGX)",
}
MEASURED = ("step_time_s", "tokens_per_s_per_chip", "flop_per_s_per_chip", "mfu", "hfu")


def _gated(name, layers, width, heads, kv_heads, ffn_width, vocab):
    return Model(
        name=name,
        layers=layers,
        width=width,
        ffn_width=ffn_width,
        heads=heads,
        kv_heads=kv_heads,
        head_values=width // heads,
        vocab=vocab,
    )


NAMED = {  # shapes that rows name and do not print
    "GPT3-5B": gpt(24, 4096, 32, vocab=VOCAB, name="GPT3-5B"),
    "GPT3-20B": gpt(44, 6144, 48, vocab=VOCAB, name="GPT3-20B"),
    "Nemotron-8B": gpt(32, 4096, 32, vocab=256000, name="Nemotron-8B"),
    "Nemotron-22B": gpt(40, 6144, 48, vocab=256000, name="Nemotron-22B"),
    "TinyLlama-1.1B": _gated("TinyLlama-1.1B", 22, 2048, 32, 4, 5632, 32000),
    "GLM-130B": _gated("GLM-130B", 70, 12288, 96, 96, 32768, 150528),
    "Qwen2-57B-A14B": Model(  # transformers' configuration; the shared expert is eight wide
        name="Qwen2-57B-A14B",
        layers=28,
        width=3584,
        heads=28,
        kv_heads=4,
        head_values=128,
        attention="GQA",
        ffn_matrices=3,
        experts=64,
        experts_per_token=8,
        shared_experts=8,
        expert_width=2560,
        vocab=151936,
    ),
    "Mixtral-8x22B-G8T8": Model(  # liu2025folding, section 4.1
        name="Mixtral-8x22B-G8T8",
        layers=56,
        width=6144,
        heads=48,
        kv_heads=8,
        head_values=128,
        attention="GQA",
        ffn_matrices=3,
        experts=64,
        experts_per_token=8,
        expert_width=2048,
        vocab=32768,
    ),
    "Llama3-8x70B": Model(  # liu2025folding, section 4.1
        name="Llama3-8x70B",
        layers=80,
        width=8192,
        heads=64,
        kv_heads=8,
        head_values=128,
        attention="GQA",
        ffn_matrices=3,
        experts=8,
        experts_per_token=2,
        expert_width=28672,
        vocab=128256,
    ),
    "Qwen3-Next-80B-A3B": Model(  # transformers' configuration; a gated delta rule in three layers of four
        name="Qwen3-Next-80B-A3B",
        layers=48,
        width=2048,
        heads=16,
        kv_heads=2,
        head_values=256,
        attention="GQA",
        ffn_matrices=3,
        experts=512,
        experts_per_token=10,
        shared_experts=1,
        expert_width=512,
        ssm_layers=36,
        ssm_layer_params=2048 * (12288 + 64 + 4096),
        ssm_width=4096,
        vocab=151936,
    ),
    # megatron-bridge, nemotron_h_provider.py. Its 23 recurrences, 6 attentions and 23 mixtures stand
    # alone: here 29 layers, six of them with a feed-forward of one value.
    "Nemotron_3_Nano": Model(
        name="Nemotron_3_Nano",
        layers=29,
        width=2688,
        heads=32,
        kv_heads=2,
        head_values=128,
        attention="GQA",
        ffn_matrices=2,
        experts=128,
        experts_per_token=6,
        shared_experts=2,
        expert_width=1856,
        dense_layers=6,
        ffn_width=1,
        ssm_layers=23,
        ssm_layer_params=2688 * (10304 + 4096),
        ssm_width=4096,
        vocab=131072,
    ),
    # 40, 8 and 40, and two tokens ahead, with an attention and a mixture each: its printed FLOP a token.
    "Nemotron_3_Super": Model(
        name="Nemotron_3_Super",
        layers=50,
        width=4096,
        heads=32,
        kv_heads=2,
        head_values=128,
        attention="GQA",
        ffn_matrices=2,
        experts=512,
        experts_per_token=22,
        shared_experts=2,
        latent_width=1024,
        expert_width=2688,
        dense_layers=8,
        ffn_width=1,
        ahead=2,
        ssm_layers=40,
        ssm_layer_params=4096 * (18560 + 8192),
        ssm_width=8192,
        vocab=131072,
    ),
} | SHAPES
ENCODERS = ("BERT", "T5")
MIXED = re.compile(r"[AaB]\d+[bB]|Nemotron_3|x\d+B")  # names of mixtures and hybrids, by their active part


class Case(NamedTuple):
    """Rows that one call predicts: alike in model, machine and software; their layouts are arrays."""

    rows: np.ndarray
    model: object
    layout: Layout
    on: object
    software: object


# ---- a row


def _says(row, *names):
    """Does a row name one of these programs or their makers, in its source or its notes?"""
    text = (row["notes"] + " " + row["source"]).casefold()
    return any(name in text for name in names)


def _format(row, device, assumed):
    text = row["compute_dtype"].casefold()
    format = next((f for word, f in SPELLINGS if word in text), "")
    if not format:
        eight = next((f for f in ("fp8", "int8") if f in device.peaks), "bf16")
        early = device.family == "Gaudi" and "v3.0" in row["notes"]  # its software had no fp8 yet
        tuned = _says(row, "mlcommons") and not early
        format = eight if tuned else "bf16"
        assumed.append(f"{format} products")
    twin = {"bf16": "fp16", "fp16": "bf16", "fp8": "int8"}.get(format, format)
    found = next((f for f in (format, twin) if f in device.peaks), None)
    if found is None:
        raise ValueError(f"{device.name} has no {format} peak")
    return found


def _model(row, assumed):
    name = re.sub(r" (SFT|LoRA|\(.*\))$", "", row["model"])
    if any(word in name for word in ENCODERS):
        return _encoder(row, name, assumed)
    experts = row["moe_experts"]
    if np.isfinite(row["layers"] + row["hidden"]):
        if not np.isfinite(experts):
            return _printed(row, name, assumed)
        if not find_model(name) and np.isfinite(row["ffn"]):
            return _printed_mixture(row, name, assumed)
    if name in NAMED:
        assumed.append("a shape that the row does not print")
        return NAMED[name]
    if find_model(name):
        return model(name)
    params, active = row["params"], row["active_params"]
    size = re.search(r"(?:^|[^\dx.])(\d+(?:\.\d+)?)B\b", name)
    if not np.isfinite(params) and size:
        params = float(size[1]) * 1e9
    part = re.search(r"[-_ ][aA](\d+(?:\.\d+)?)[bB]", name)
    if not np.isfinite(active) and part:
        active = float(part[1]) * 1e9
    mixture = np.isfinite(experts) or "moe" in name.casefold() or bool(MIXED.search(name))
    if np.isfinite(params) and (mixture or active < 0.9 * params):
        return _like_a_mixture(name, params, active, assumed)
    if np.isfinite(params):
        assumed.append(f"a shape like GPT-3's, of {params / 1e9:.3g}B parameters")
        return by_size(name, params)
    raise ValueError(f"the shape of {name} is not known" if name else "no model is named")


def _ahead(row, shape):
    """DeepSeek-V3 predicts a second token, where its makers and Megatron train it and do not say otherwise."""
    theirs = _says(row, "megatron-bridge", "deepseek-ai")
    if not theirs or shape.name != "DeepSeek-V3" or "w/o MTP" in row["model"]:
        return shape
    return replace(shape, layers=shape.layers + 1, ahead=1)


def _heads(row, width, assumed):
    heads = row["heads"]
    if not np.isfinite(heads):
        heads = next(h for h in (width // 128, 64, 32, 16) if width % h == 0)
        assumed.append(f"{heads:.0f} heads")
    kv = row["kv_heads"] if np.isfinite(row["kv_heads"]) else heads
    vocab = row["vocab"]
    if not np.isfinite(vocab):
        vocab = VOCAB
        assumed.append(f"a vocabulary of {VOCAB:,}")
    return int(heads), int(kv), int(vocab)


def _printed(row, name, assumed):
    """A dense decoder of the layers and widths that a row prints."""
    layers, width = row["layers"], row["hidden"]
    heads, kv, vocab = _heads(row, width, assumed)
    ffn = row["ffn"] if np.isfinite(row["ffn"]) else 4 * width
    known = find_model(name)
    gate = 3 if known and model(known).ffn_matrices == 3 and model(known).width == width else 2
    if gate == 3 and not np.isfinite(row["ffn"]):
        ffn = model(known).ffn_width
    if width % heads:
        heads = kv = next(h for h in range(int(heads), 0, -1) if width % h == 0)
    return Model(
        name=name,
        layers=int(layers),
        width=int(width),
        ffn_width=int(ffn),
        ffn_matrices=gate,
        heads=heads,
        kv_heads=kv,
        head_values=width / heads,
        attention="MHA" if kv == heads else "GQA",
        vocab=vocab,
        tied_embeddings=True,
    )


def _printed_mixture(row, name, assumed):
    """A mixture of the layers, widths and experts that a row prints; its experts have a gate."""
    width = row["hidden"]
    heads, kv, vocab = _heads(row, width, assumed)
    each = int(row["moe_topk"]) if np.isfinite(row["moe_topk"]) else 2
    stated = re.search(r"head_dim (\d+)", row["notes"])
    return Model(
        name=name,
        layers=int(row["layers"]),
        width=int(width),
        heads=heads,
        kv_heads=kv,
        head_values=int(stated[1]) if stated else width / heads,
        attention="MHA" if kv == heads else "GQA",
        experts=int(row["moe_experts"]),
        experts_per_token=each,
        expert_width=int(row["ffn"]),
        vocab=vocab,
    )


def _like_a_mixture(name, params, active, assumed):
    """A mixture known by its size: the catalog's nearest in all and active parameters, as deep as that needs."""
    if not np.isfinite(active):
        active = params / 10
    near = [m for m in models().values() if m.experts is not None]
    near += [m for m in NAMED.values() if m.experts is not None]
    far = [abs(np.log(m.params / params)) + abs(np.log(m.active_params / active)) for m in near]
    like = near[int(np.argmin(far))]
    layers = max(round(like.layers * params / like.params), like.dense_layers + 1)
    assumed.append(f"a shape like {like.name}'s, of {layers} layers")
    share = layers / like.layers
    return replace(
        like,
        name=name,
        layers=layers,
        local_layers=round(like.local_layers * share),
        ssm_layers=round(like.ssm_layers * share),
    )


def _encoder(row, name, assumed):
    """Tokens attend both ways, and the masked ones alone reach the head.

    Of two stacks (T5) a token passes one, a layer of 12 squared widths or, with the attention to the
    other stack, of 16; for 512 tokens read 128 are written (nemo-launcher's t5/3b.yaml).
    """
    if np.isfinite(row["layers"] + row["hidden"]):
        shape = replace(_printed(row, name, assumed), both_ways=True)
        return _two_stacks(shape) if "T5" in name else shape
    if find_model(name) and not model(name).encoder_layers:
        return replace(model(name), both_ways=True)
    params = row["params"]
    if not np.isfinite(params):
        raise ValueError(f"the shape of {name} is not known")
    stacks = 2 if "T5" in name else 1
    assumed.append(f"a shape by {params / 1e9:.3g}B parameters in {stacks} stack{'s' * (stacks > 1)}")
    passed = (12 + 16 * WRITTEN) / 28 if stacks == 2 else 1.0
    vocab = int(row["vocab"]) if np.isfinite(row["vocab"]) else VOCAB
    return replace(by_size(name, params * passed), both_ways=True, vocab=vocab)


def _two_stacks(shape):
    """As many layers of one stack as the tokens that are read pass in two of this shape, gated.

    Those written pass a layer more, and ask those read, whose keys and values each layer makes anew.
    """
    shape = replace(shape, ffn_matrices=3)
    asking = shape.attention_params / 2 / (shape.attention_params + shape.ffn_matrices * shape.width * shape.ffn_width)
    return replace(shape, layers=round(shape.layers * (1 + WRITTEN * (1 + asking) + asking)))


def by_size(name, params):
    """A dense decoder of so many parameters, as deep and wide as brown2020gpt3 made its own (Table 2.1).

    Above 6.7B the width is 128 times the layers; below, layers shrink more slowly: 24 at 0.35 to 1.3B.
    """
    aspect = np.interp(np.log(params), np.log([0.125e9, 0.35e9, 1.3e9, 6.7e9]), [64, 43, 85, 128])
    layers = max(round((params / (12 * aspect**2)) ** (1 / 3)), 1)
    width = max(round(np.sqrt(params / (12 * layers)) / 128), 1) * 128
    heads = max(width // 128, 1)
    return gpt(layers, width, heads, vocab=VOCAB, name=name)


def _era(row, published, device, assumed):
    text = (row["notes"] + row["source"]).casefold()
    stack = {"TPU": "XLA", "Neuron": "Neuron"}.get(device.family, "tuned")
    software = at(stack, published, device.family)
    year = at("tuned", published).name
    assumed.append(f"software of {year}")
    if "tokendrop" in row["model"] and device.family == "Blackwell" and row["pp"] == 1:
        # experts of one size fit in a graph, and recipes without stages record the step (megatron-bridge-recipes)
        software = replace(software, host_s=0.0)
    if "tokendrop" in row["model"]:  # every expert has as many tokens as it may
        software = replace(software, waits_for_counts=False)
    if software.attention == "unfused" and year < "2023" and "flash" in text:
        software = replace(software, attention="fused, first")
    plain = row["model"].startswith("minGPT") or "attention not fused" in row["notes"]
    if plain:  # each of attention's kernels alone
        software = replace(software, attention="unfused", mask_fused=False)
    if "DeepLearningExamples" in row["source"]:
        software = replace(software, traffic=at("DeepLearningExamples", published).traffic)
    if "llm-foundry" in text:  # its narrow layers stand alone
        software = replace(software, fuses_casts=False)
    if year == "2023" and "Framework-Launcher" in row["source"]:
        software = replace(software, attention="unfused")
    if "DeepEP" in row["notes"] or row["model"].startswith("DeepSeek"):
        software = replace(software, sends_once=True)
    plain = _says(row, "megatron-bridge") and row["model"].startswith("GPT OSS")
    if "dispatcher A2A" in row["notes"] or "tokendrop" in row["model"] or plain:
        # Recipes that keep the plain exchange: megatron-bridge-recipes.
        software = replace(software, sends_once=False)
    if "without folding" in row["notes"]:
        software = replace(software, folds_experts=False)
    if row["notes"].startswith("MegaScale"):  # megascale: both overlap with the products
        software = replace(software, overlaps_tensor=0.8, overlaps_gradients=True, overlaps_weights=True)
    if _says(row, "deepspeed", "bigscience"):
        software = replace(software, scatters_sends=False)  # its pipeline sends whole activations
    if "torchtitan" in text and year >= "2024":
        # PyTorch's own is FlashAttention-2
        software = replace(software, attention="fused", tuned_attention=1.0)
    return replace(software, name=year)


def _number(row, name, default, assumed, words=None):
    if np.isfinite(row[name]):
        return int(row[name])
    if words:
        assumed.append(words)
    return default


def _shard(row, software, dp, assumed):
    """(ZeRO stage, ranks that share states or None)."""
    text = row["zero_fsdp"]
    group = re.search(r"group (\d+)|FSDP(?: over ICI)? (\d+)|(\d+)-way", text)
    group = int(next(filter(None, group.groups()))) if group else None
    if group is not None:
        group = min(group, dp)
        while dp % group:
            group -= 1
    if "FSDP" in text or "ZeRO-3" in text or "fully sharded" in text:
        return 3, group
    if "ZeRO-1" in text or "dist-opt" in text:
        return 1, group
    if "ZeRO" in text:
        return 1, None
    if text.startswith("none"):
        return (1 if software.name >= "2024" else 0), None
    zero = 1 if software.name >= "2023" else 0
    assumed.append("optimiser states " + ("shared over data-parallel ranks" if zero else "whole"))
    return zero, None


def _layouts(row, shape, device, software, assumed):
    """Every layout that a practitioner could have meant by a row: what it states, and choices for the rest."""
    text = row["zero_fsdp"]
    row = _of_chips(_chips(row, shape, device, assumed), device, assumed)
    chips = row["n_chips"]
    seq = TOKENS if software.name < "2024" else 8192
    seq = 512 if shape.both_ways else seq
    seq = 128 if "Ph1" in row["model"] else seq  # of BERT's two phases: bert-readme
    seq = _number(row, "seq_len", min(seq, shape.context_tokens or seq), assumed)
    if not np.isfinite(row["seq_len"]):
        assumed.append(f"{seq:,} tokens")
    if "DeepLearningExamples" in row["source"] and seq == 512:
        assumed.append(f"bins of 64 tokens, in the mean {BINNED_TOKENS}")
        seq = BINNED_TOKENS
    sharded = bool(re.search(r"FSDP|ZeRO-3|fully sharded", text))
    compiled = device.family in COMPILED
    if compiled and not np.isfinite(row["tp"]) and not sharded and software.name >= "2022":
        sharded = True
        assumed.append("fully sharded")
    batch, local = _batch(row, shape, seq, sharded, assumed)
    padded = re.search(r"capacity factor ([\d.]+\d)", row["notes"])  # rows that experts compute, of those sent
    found, told = [], np.isfinite(row["tp"])
    for tp, pp, cp, chunks in _cuts(row, shape, chips, seq, sharded, compiled, software):
        dp = chips / (tp * pp * cp)
        if dp < 1 or (dp % 1 and not told):
            continue
        dp = int(dp)
        each = batch / dp
        if local:
            each = local
        elif not np.isfinite(row["global_batch_seqs"]):
            each = max(2 ** round(np.log2(each)), 1)
        if each < 1 and np.isfinite(row["tp"]) and 1 / each % 1 == 0:  # contexts are cut further
            cp, dp, each = int(cp / each), int(dp * each), 1
            assumed.append(f"cp {cp}: as many sequences as ranks")
        if each < 1:
            continue
        zero, ranks = _shard(row, software, dp * cp, assumed)
        zero = 3 if sharded else zero
        # with a token ahead the last stage has two heads, and few layers: megatron-bridge-recipes
        slots = bool(shape.layers % pp and not (shape.layers + 2) % pp) and not shape.ahead
        sp = tp > 1 and software.name >= "2022" and "without sequence parallelism" not in row["notes"]
        known = {
            "tp": tp,
            "pp": pp,
            "cp": cp,
            "dp": dp,
            "vpp": chunks,
            "sp": sp,
            "zero": zero,
            "zero_ranks": ranks,
            "seq_len": seq,
            "embedding_slots": slots,
            "schedule": "dualpipe" if "DualPipe" in row["notes"] else "interleaved" if chunks > 1 else "1f1b",
            "lora_rank": LORA_RANK if row["model"].endswith("LoRA") else 0,
            "imbalance": float(padded[1]) if padded else 1.0,
            "fused_attention": software.attention != "unfused",
            "gathers_once": zero == 3 and pp > 1,
        }
        for recompute in _recomputes(row, shape, software, compiled):
            for micro in _micros(row, software, each, pp, seq, compiled and pp == 1):
                many = max(int(each // micro), 1)
                for ep in _experts(row, shape, tp, dp * cp, compiled, software):
                    found.append(
                        known | {"micro_batch": micro, "micro_batches": many, "recompute": recompute, "ep": ep}
                    )
    if not found and 1 <= batch < chips and not local:
        assumed.append(f"{chips:.0f} sequences, not {batch:.0f}: one a chip")
        return _layouts(row | {"global_batch_seqs": float(chips)}, shape, device, software, assumed)
    if not found:
        cut = [row[n] for n in ("tp", "pp", "cp") if np.isfinite(row[n])]
        raise ValueError(
            f"tp x pp x cp ({np.prod(cut):.0f}) does not divide {chips:.0f} chips"
            if cut and chips % np.prod(cut)
            else f"{batch:.0f} sequences are fewer than the data-parallel ranks"
        )
    return found


def _chips(row, shape, device, assumed):
    """A row without its chips: those of its layout, or twice as many as weights and states fill."""
    if np.isfinite(row["n_chips"]):
        return row
    cut = np.nanprod([row[n] for n in ("tp", "pp", "cp", "dp")])
    least = 2 * STATE_BYTES * shape.params / device.memory_bytes
    if not np.isfinite(row["dp"]):
        cut = max(cut, 2 ** np.ceil(np.log2(max(least / 8, 1))) * 8)
    assumed.append(f"{cut:.0f} chips")
    return row | {"n_chips": float(cut)}


def _of_chips(row, device, assumed):
    """Where ranks are cores, several to a chip, the row as if a chip were one rank."""
    cores = device.facts["core_count"]
    if device.family != "Neuron" or not np.isfinite(row["tp"]):
        return row
    assumed.append(f"tp counts cores, {cores} to a chip")
    return row | {"tp": max(row["tp"] // int(cores), 1)}


def _batch(row, shape, seq, sharded, assumed):
    """(sequences of a step, sequences of one rank where only that is stated)."""
    batch = row["global_batch_seqs"]
    if np.isfinite(batch):
        return batch, None
    summed = re.search(r"accumulated batch per GPU (\d+)", row["notes"])
    if summed:
        return float(summed[1]) * row["n_chips"], None
    each = re.search(r"(\d+)k tokens per device", row["notes"])
    if each:
        return float(each[1]) * 1024 * row["n_chips"] / seq, None
    local = re.search(r"local batch size (\d+)", row["notes"])
    if local:
        return np.inf, int(local[1])
    stated = re.search(r"batch (?:of |size )?([\d.]+)M tokens", row["notes"])
    if stated:
        return float(stated[1]) * 2**20 / seq, None
    if np.isfinite(row["micro_batch"]) and sharded and not row["pp"] > 1:
        assumed.append("one micro-batch a step")
        return np.inf, int(row["micro_batch"])
    tokens = BATCH_TOKENS * (2 if shape.params > LARGE else 1)
    tokens = max(tokens, CHIP_TOKENS * 2 ** np.floor(np.log2(row["n_chips"])))
    assumed.append(f"{tokens / 2**20:g}M tokens a step")
    return tokens / seq, None


def _cuts(row, shape, chips, seq, sharded, compiled, software):
    """(tp, pp, cp, chunks) that a row leaves possible."""
    tp, pp, cp = row["tp"], row["pp"], row["cp"]
    size = re.search(r"model-parallel size (?:\(tp x pp\) = )?(\d+)", row["notes"])
    if not np.isfinite(tp) and size:
        tp, pp = min(int(size[1]), 8), max(int(size[1]) // 8, 1)
    chunks = int(row["vpp"]) if np.isfinite(row["vpp"]) else 1
    rings = (int(cp),) if np.isfinite(cp) else (1, 2, 4, 8, 16, 32) if seq >= LONG else (1,)
    if np.isfinite(tp):
        stages = int(pp) if np.isfinite(pp) else 1
        chunks = 1 if stages == 1 or stages * chunks > shape.layers else chunks
        return [
            (int(tp), stages, ring, c)
            for ring in rings
            for c in _chunks(row, shape, chips, int(tp) * stages * ring, stages, chunks, software)
        ]
    sizes = [n for n in (1, 2, 4, 8, *((16, 32) if compiled else ())) if shape.heads % n == 0]
    if sharded:  # over all chips; tensor parallelism on top where sequences are fewer than chips
        least = [n for n in sizes if not chips > n * row["global_batch_seqs"]][:1] or sizes[-1:]
        return [(n, 1, ring, 1) for n in (least if compiled else sizes) for ring in rings]
    stages = (1, 2, 4, 8, 16, 32) if not np.isfinite(pp) else (int(pp),)
    if not np.isfinite(pp) and np.log2(chips) % 1:  # and what else divides chips and layers
        stages += tuple(n for n in range(3, 65) if shape.layers % n == 0 == chips % n and n not in stages)
    found = []
    for n in sizes:
        for p in stages:
            if p > shape.layers:
                continue
            cut = next((n for n in (shape.layers, shape.layers + 2) if n % p == 0), p)
            many = (chunks,) if chunks > 1 or p == 1 else [c for c in (1, 2, 4, 6, 12) if cut // p % c == 0]
            found += [(n, p, ring, c) for ring in rings for c in many]
    return found


def _chunks(row, shape, chips, ranks, stages, chunks, software):
    """Chunks of a stage. Where a row has none, few micro-batches for its stages tell that it had some."""
    if "interleaved" in row["notes"].casefold() and chunks == 1 and stages > 1:
        return [c for c in (2, 4, 5, 6, 8, 10, 12) if stages * c <= shape.layers + 2]
    told = np.isfinite(row["vpp"]) or chunks > 1 or "1F1B" in row["notes"] or "DualPipe" in row["notes"]
    each = row["global_batch_seqs"] * ranks / chips
    few = each / (row["micro_batch"] if np.isfinite(row["micro_batch"]) else 1) < 8 * stages
    if told or stages == 1 or software.name < "2024" or not few:
        return (chunks,)
    return [c for c in (1, 2, 4, 5, 6, 8, 10, 12) if stages * c <= shape.layers]


def _experts(row, shape, tp, ranks, compiled, software):
    """Expert-parallel ranks: what the row states; else none, or any number that divides both."""
    if shape.experts is None:
        return (1,)
    if np.isfinite(row["ep"]):  # over all ranks, where whole experts are folded over tensor-parallel ones
        ep = max(int(row["ep"]) // (tp if software.folds_experts else 1), 1)
        return (int(np.gcd(np.gcd(ep, ranks), shape.experts)),)
    sizes = (1,) if compiled else (1, 4, 8, 16, 32, 64)
    return [n for n in sizes if ranks % n == 0 and shape.experts % n == 0]


def _recomputes(row, shape, software, compiled):
    """Which activations are computed again: as stated, or each policy of that time."""
    stated = row["recompute"].casefold()
    if stated.startswith(("full", "none")):
        return (stated[:4],)
    if stated:
        mild = ("torchtitan", "minimal", "custom", "selective")
        products = _says(row, "torchtitan") or "custom" in stated
        choices = ("products",) if products and any(w in stated for w in mild) else ("selective",)
        if software.attention != "unfused" and not products:
            choices = ("none",)  # what is kept of a fused attention is little: norms at most
        return choices
    if _says(row, "megatron-bridge") and shape.experts is not None:
        return ("none",)  # its recipes of mixtures name norms and activations at most
    again = row["hfu"] / row["mfu"]
    if shape.both_ways:  # encoders are small: nothing, where there is room
        return ("none", "full")
    if again > 1.2 or compiled or software.name < "2022":  # full is what MaxText does when not told
        return ("full",)
    return ("none", "selective", "full") if software.attention == "unfused" else ("none", "products", "full")


def _micros(row, software, each, pp, seq, compiled):
    micro = row["micro_batch"]
    if np.isfinite(micro):
        micro = int(min(micro, each))
        while each % micro:
            micro -= 1
        return (micro,)
    if compiled:  # the program of a step is one: no accumulation of gradients
        return (int(each),)
    if software.name == "2020":
        return (int(each), *(n for n in (64, 32, 16, 8, 4, 2, 1) if each % n == 0 and n < each))
    if pp > 1 or seq > 16384:  # pipelines are short of micro-batches
        return (1,)
    return tuple(n for n in (16, 8, 4, 2, 1) if each % n == 0) or (1,)


OPEN_FIELDS = (
    ("tp", "tp {tp}, pp {pp}"),
    ("recompute", "recomputation: {recompute}"),
    ("micro_batch", "micro-batch {micro_batch}"),
    ("cp", "cp {cp}"),
    ("ep", "ep {ep}"),
    ("vpp", "vpp {vpp}"),
)


def _choose(found, shape, on, software):
    """(layout, what was chosen in words): the fastest of those that fit, as a practitioner would tune."""
    if len(found) == 1:
        return found[0], ()
    layout = Layout(**{n: np.array([_plain(k, n) for k in found]) for n in found[0]})
    short = _shortfall(shape, _kept(layout, on, software), found, on)
    each_s = training.seconds(shape, layout, on=on, software=software)
    each_s = each_s * layout.chips / (layout.micro_batch * layout.micro_batches * layout.dp)
    fits = short <= -RESERVED * on.memory_bytes
    if not fits.any():  # the run did run: our bytes are off, and those nearest to fitting may have fitted
        fits = short <= short.min() + RESERVED * on.memory_bytes
    best = int(np.argmin(np.where(fits, each_s, np.inf)))
    words = [text.format(**found[best]) for name, text in OPEN_FIELDS if len({k[name] for k in found}) > 1]
    fitting = short[best] <= -RESERVED * on.memory_bytes
    tail = ": the fastest that fits" if fitting else "; the memory predicted does not fit"
    return found[best], ("; ".join(words) + tail,) if words else ()


def _kept(layout, on, software):
    """The layout with what software of its time keeps: gradients in 16 bits rather than compute again.

    Of a layer's activations a third are inputs of products (11.25 and 5.5 widths of Llama 3 70B),
    which narrow formats keep in a byte: 1.75 in the mean.
    """
    recipe = "adam" if software.name >= "2024" else "adam, fp32 gradients"
    return replace(layout, recipe=recipe, value_bytes=NARROW_KEPT_BYTES if on.narrow else 2)


def _shortfall(shape, layout, found, on):
    try:
        rows = footprint.training_rows(shape, layout)
        return footprint.shortfall_bytes(rows, on.memory_bytes) + 0.0 * layout.tp
    except ValueError:
        if len(found) == 1:
            return np.array([0.0 if found[0]["pp"] == 1 else np.inf])
        parts = [_shortfall(shape, replace(layout, **{n: np.array([_plain(k, n)]) for n in k}), [k], on) for k in found]
        return np.concatenate(parts)


def _tiers(row, device, assumed):
    """Tiers of the run, by ports that the row states."""
    text = row["notes"]
    if row["source_id"] in PORTS:
        assumed.append("ports of the machine that the source names")
        return wiring.tiers_of(device, port_bytes_per_s=PORTS[row["source_id"]])
    found = re.search(r"([\d.]+) ?x ?([\d.]+) Gb/s", text) or re.search(r"()(?:RoCE )([\d.]+) Gb/s per node", text)
    if found:
        rate = float(found[1] or 1) * float(found[2]) / 8 * 1e9 / 8
        return wiring.tiers_of(device, port_bytes_per_s=rate)
    return wiring.tiers_of(device)


# ---- rows


_remembered = {}


def cases(columns):
    """(cases, layouts, assumed, reasons): rows alike in model, machine and software go together."""
    key = id(columns["source_id"])
    if key not in _remembered or _remembered[key][0] is not columns["source_id"]:
        _remembered.clear()  # the frame asks several times for the same rows
        _remembered[key] = (columns["source_id"], _cases(columns))
    return _remembered[key][1]


def _cases(columns):
    count = columns["model"].size
    assumed, reasons = np.full(count, "", dtype=object), np.full(count, "", dtype=object)
    about = corpus.sources("training")
    groups, names = {}, list(columns)
    for i, values in enumerate(zip(*(columns[n].tolist() for n in names), strict=True)):
        row, notes = dict(zip(names, values, strict=True)), []
        try:
            row["chip_name"] = row["chip_name"] or MEANT.get(row["chip"], "")
            if not row["chip_name"]:
                raise ValueError(f"chip {row['chip']!r} is not in the catalog" if row["chip"] else "no chip is named")
            device = chip(row["chip_name"])
            if row["chip"] in MEANT:
                notes.append(f"{row['chip']} is the {device.name}")
            for name in ("n_chips", "tp", "pp", "cp", "micro_batch", "global_batch_seqs", "seq_len"):
                if row[name] <= 0:
                    raise ValueError(f"{name} must be above zero, got {row[name]:g}")
            published = about.get(row["source_id"], {}).get("published") or TODAY
            published = BEGUN.get(row["source_id"], published)
            published = next((d for r, d in ROUNDS.items() if r in row["source"]), published)
            format = _format(row, device, notes)
            shape = _ahead(row, _model(row, notes))
            software = _era(row, published, device, notes)
            tiers = _tiers(row, device, notes)
            on = _machine(device.name, format, tiers[-1].bytes_per_s, tiers)
            known, words = _choose(_layouts(row, shape, device, software, notes), shape, on, software)
        except ValueError as problem:
            reasons[i] = str(problem)
            continue
        key = (_values(shape), _values(software), id(on))
        groups.setdefault(key, []).append((i, known, shape, on, software))
        assumed[i] = "; ".join(dict.fromkeys((*notes, *words)))
    found = []
    for members in groups.values():
        _, _, shape, on, software = members[0]
        layouts = {name: np.array([_plain(known, name) for _, known, *_ in members]) for name in members[0][1]}
        found.append(Case(np.array([m[0] for m in members]), shape, Layout(**layouts), on, software))
    return found, assumed.astype(str), reasons.astype(str)


def _values(record):
    return tuple(getattr(record, f.name) for f in fields(record))


_machines = {}


def _machine(name, format, ports, tiers):
    """A chip's machine, made once: `ports` and `tiers` tell where it stands."""
    key = (name, format, ports)
    if key not in _machines:
        _machines[key] = machine(chip(name), format, tiers=tiers)
    return _machines[key]


def _plain(known, name):
    value = known[name]
    return known["dp"] * known["cp"] if name == "zero_ranks" and value is None else value


def predict(columns, *, owners=True):
    """Seconds of every row's step, with the interval, the owner and what was assumed: name -> array."""
    count = columns["model"].size
    found = {name: np.full(count, np.nan) for name in ("seconds", "low_s", "high_s")}
    bound = np.full(count, "", dtype=object)
    every, assumed, reasons = cases(columns)
    for case in every:

        def time(on, case=case):
            return training.seconds(case.model, case.layout, on=on, software=case.software)

        seconds = _work(case).seconds
        low, high = spread(unlike(case, assumed[case.rows]))
        found["seconds"][case.rows] = seconds
        found["low_s"][case.rows], found["high_s"][case.rows] = seconds * low, seconds * high
        bound[case.rows] = _owner(time, case.on) if owners else ""
    return found | {"bound": bound.astype(str), "assumed": assumed, "reason": reasons}


def _owner(time, on):
    """The resource with the largest share; who has more than half needs no comparison."""
    first = shares.shares(time, on, {"compute": RESOURCES["compute"]})
    if np.all(first["compute"] > 0.5):
        return "compute"
    return shares.largest(shares.shares(time, on, RESOURCES))


SPREAD = tuple(float(data.rows("training_constants")[-1][end]) for end in ("low", "high"))
FITTED_FAMILIES = ("Ampere", "Hopper", "Volta")
FITTED_NARROW = ("", "fp8")
# Mixtures were fitted on two sources: by `fit_spread`'s factor that is 1.87 times as wide as on fourteen.
MIXTURE_RESPECTS = 2.5
OPEN = ("tp ", "tokens a step", "recomputation: ", "does not fit", "fully sharded", "a shape", " chips")


def unlike(case, assumed):
    """In how many respects each row differs from every run that was fitted.

    Another family of chips, its products never timed, another narrow format; a mixture, an encoder,
    recurrent layers; contexts that are cut; and each choice of weight left open.
    """
    on, model = case.on, case.model
    common = (on.family not in FITTED_FAMILIES) + any("matmul" in text for text in on.assumed)
    common += ((on.product_format if on.narrow else "") not in FITTED_NARROW) + MIXTURE_RESPECTS * (
        model.experts is not None
    )
    common += model.both_ways + (model.ssm_layers > 0)
    left = np.array([sum(word in text for word in OPEN) for text in assumed.tolist()])
    return common + np.greater(case.layout.cp, 1) + left


def spread(respects=0):
    """(low, high): factors on a prediction between which 80 % of measured times lie.

    A respect in which a run is like none that was fitted is taken for one more error of the same
    size, independent of the others.
    """
    wider = np.sqrt(1 + np.asarray(respects))
    return tuple(np.exp(wider * np.log(end)) for end in SPREAD)


def fit_spread():
    """(low, high) of measured over predicted seconds on the sources fitted, each with the same weight.

    Widened for a source not seen: few sources tell less, by the factor of Student's t.
    """
    rows = corpus.table("training")
    rows = corpus.where(rows, (rows["role"] == "fit") & (rows["suspect"] == ""))
    seconds = np.full(rows["model"].size, np.nan)
    for case in cases(rows)[0]:
        seconds[case.rows] = training.seconds(case.model, case.layout, on=case.on, software=case.software)
    measured, predicted, unit = headline(rows, seconds)
    logs = np.log(measured / predicted) * np.where(unit == "s", 1, -1)
    known = np.isfinite(logs)
    logs, seen = logs[known], rows["source_id"][known]
    names, at, count = np.unique(seen, return_inverse=True, return_counts=True)
    order = np.argsort(logs)
    share = np.cumsum((1 / count[at] / names.size)[order])
    z = 1.2816  # the normal's 90 %
    wider = (1 + (z**2 + 1) / (4 * (names.size - 1))) * (1 + 1 / names.size) ** 0.5
    ends = (logs[order][np.searchsorted(share, q)] for q in (0.1, 0.9))
    return tuple(float(np.exp(wider * end)) for end in ends)


def headline(columns, seconds):
    """(measured, predicted, unit): the step's seconds, else tokens/s a chip, else TFLOP/s a chip."""
    count = columns["model"].size
    tokens, flop, peak = (np.full(count, np.nan) for _ in range(3))
    kinds = columns["flops_kind"].tolist()
    every, *_ = cases(columns)
    for case in every:
        work = _work(case)
        whole = columns["seq_len"][case.rows] / case.layout.seq_len  # a source counts padding too
        tokens[case.rows] = work.tokens / work.chips * np.where(whole > 1, whole, 1)
        # its forward pass is a third of what is not computed again
        evaluated = EVALUATED * work.full_flop / 3 / work.hardware_flop
        timed = np.char.find(columns["notes"][case.rows], "time to train") >= 0
        tokens[case.rows] /= 1 + np.where(timed, evaluated, 0)
        for i, row in enumerate(case.rows.tolist()):
            kind = "hardware" if kinds[row].startswith("hardware") else "full"
            kind = "model" if kinds[row].startswith("model_causal") else kind
            if not np.isfinite(columns["flop_per_s_per_chip"][row]) and not np.isfinite(columns["mfu"][row]):
                kind = "hardware"
            each = {"hardware": work.hardware_flop, "full": work.full_flop, "model": work.model_flop}[kind]
            flop[row] = (each / work.chips)[i]
        peak[case.rows] = case.on.peak_flop_per_s
    rate = columns["flop_per_s_per_chip"]
    rate = np.where(np.isfinite(rate), rate, columns["mfu"] * peak)
    rate = np.where(np.isfinite(rate), rate, columns["hfu"] * peak)
    choices = (np.isfinite(columns["step_time_s"]), np.isfinite(columns["tokens_per_s_per_chip"]), np.isfinite(rate))
    measured = np.select(choices, (columns["step_time_s"], columns["tokens_per_s_per_chip"], rate / 1e12), np.nan)
    predicted = np.select(choices, (seconds, tokens / seconds, flop / seconds / 1e12), seconds)
    return measured, predicted, np.select(choices, ("s", "tokens/s/chip", "TFLOP/s/chip"), "s")


_worked = {}


def _work(case):
    if id(case) not in _worked or _worked[id(case)][0] is not case:
        if len(_worked) > 2000:
            _worked.clear()
        _worked[id(case)] = (
            case,
            training.step(case.model, case.layout, on=case.on, software=case.software, memory=False),
        )
    return _worked[id(case)][1]


def groups(columns):
    """What a row is scored under: dense models, and mixtures of experts."""
    mixtures = np.zeros(columns["model"].size, dtype=bool)
    for case in cases(columns)[0]:
        mixtures[case.rows] = case.model.experts is not None
    return np.where(mixtures, "mixtures", "dense")
