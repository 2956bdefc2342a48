"""Logs of Megatron-LM, and of programs that print as it does: one row of training, the median of its iterations.

      tensor_model_parallel_size ...................... 8
     [2026-01-16 07:32:24] iteration  100/ 500 | consumed samples: 102400 | elapsed time per iteration (ms): 5023.1 |
     throughput per GPU (TFLOP/s/GPU): 412.3 | learning rate: 1.0E-04 | global batch size: 1024 | ...

The layout is that of the arguments at the head. Iterations after the first ten count, at the last global batch.
"""

import re
from statistics import median

from bottlenecks.facts.architectures import models
from bottlenecks.yours.logs import Found, after_warm_up, figure, month, written

NAME = "megatron"
TABLE = "training"
ARGUMENT = re.compile(r"^\s*(?:--)?([\w-]+) \.{2,} ?(.*)$")
FLAG = re.compile(r"(?<!\S)--([a-z][\w-]*)(?:[ =]+([^\s\\-][^\s\\]*))?")  # of a command line
ITERATION = re.compile(r"\biteration\s+(\d+)\s*/\s*\d+\s*\|")
FIELDS = {
    "step_ms": re.compile(r"elapsed time per iteration \(ms\):\s*([\d.]+)"),
    "tflops": re.compile(r"TFLOP/s/GPU\)?:\s*([\d.]+)"),
    "batch": re.compile(r"global batch size:\s*(\d+)"),
}
MEMORY = re.compile(r"max allocated:\s*([\d.]+)")
TOTAL = re.compile(r"Total number of parameters in billions:\s*([\d.]+)")
SIZES = {  # column -> the argument that says it
    "n_chips": "world_size",
    "tp": "tensor_model_parallel_size",
    "pp": "pipeline_model_parallel_size",
    "cp": "context_parallel_size",
    "ep": "expert_model_parallel_size",
    "dp": "data_parallel_size",
    "micro_batch": "micro_batch_size",
    "seq_len": "seq_length",
    "layers": "num_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "head_dim": "kv_channels",
    "vocab": "padded_vocab_size",
    "moe_experts": "num_experts",
    "capacity_factor": "moe_expert_capacity_factor",
    "tokens_ahead": "mtp_num_layers",
}
SWITCHES = {
    "sequence_parallel": "sequence_parallel",
    "zero": "use_distributed_optimizer",
    "fixed_capacity": "moe_pad_expert_input_to_capacity",
    "embedding_slots": "account_for_embedding_in_pipeline_split",
}
FULLY = ("use_torch_fsdp2", "use_megatron_fsdp", "use_custom_fsdp")
MIB_IN_GIB = 1024


def recognises(log):
    """Is a log one of these?"""
    return any(ITERATION.search(line) and FIELDS["step_ms"].search(line) for line in log.lines)


def read(log, given):
    """The row of a log, as `Found`."""
    arguments = _arguments(log.lines)
    steps, unread = {}, []
    for number, line in enumerate(log.lines, 1):
        if not (found := ITERATION.search(line)):
            continue
        told = {name: figure(part[1]) for name, pattern in FIELDS.items() if (part := pattern.search(line))}
        if told.get("step_ms"):
            steps[int(found[1])] = told  # the last, where it was run again
        else:
            unread.append((number, line))
    if not steps:
        return Found([], [], [], unread)
    used, words = _used(steps)
    row, notes = _layout(arguments)
    text = log.text
    peak = max((float(found) for found in MEMORY.findall(text)), default=None)
    total = TOTAL.search(text)
    row |= {
        "params_b": total[1] if total else "",
        "global_batch_seqs": written(used[-1].get("batch")) or row.get("global_batch_seqs", ""),
        "step_time_s": written(median(each["step_ms"] for each in used) / 1e3),
        "tflops_per_chip": written(median(rates)) if (rates := [e["tflops"] for e in used if e.get("tflops")]) else "",
        "flops_kind": "model" if rates else "",
        "mem_gib_per_chip": written(peak and peak / MIB_IN_GIB),
        "memory_counted_by": "allocator" if peak else "",
        "software": "Megatron-LM",
        "software_date": month(text),
    }
    if not arguments:
        notes.append("no block of arguments: the layout is not told")
    return Found([row], [words, *notes], [], unread)


def _arguments(lines):
    """Arguments by their names with underscores: of a command line, and those that the program prints, which win."""
    asked = {found[1]: found[2] or "True" for line in lines for found in FLAG.finditer(line)}
    printed = {found[1]: found[2].strip() for line in lines if (found := ARGUMENT.match(line))}
    return {name.replace("-", "_"): value for each in (asked, printed) for name, value in each.items()}


def _used(steps):
    """(the steps that count, in words): after the first ten, at the last global batch."""
    last = steps[max(steps)].get("batch")
    used, words = after_warm_up({n: step for n, step in steps.items() if step.get("batch") == last}, "iterations")
    ramp = last is not None and any(step.get("batch") != last for step in steps.values())
    return used, words + (f", at the last global batch, of {last:.0f}" if ramp else "")


def _layout(arguments):
    """(columns that the arguments say, what to know of them)."""

    def number(name):
        return figure(arguments.get(name, ""))

    def on(name):
        return arguments.get(name) == "True"

    row = {column: written(number(name)) for column, name in SIZES.items()}
    row |= {column: str(int(on(name))) for column, name in SWITCHES.items() if name in arguments}
    if any(map(on, FULLY)) or arguments.get("data_parallel_sharding_strategy") == "optim_grads_params":
        row["zero"] = "3"
    expert = number("moe_ffn_hidden_size") if number("num_experts") else None
    row |= {
        "vpp": _chunks(number, arguments),
        "ffn": written(expert or number("ffn_hidden_size") or _ffn(number("hidden_size"), on("swiglu"))),
        "kv_heads": written(
            number("num_query_groups") if on("group_query_attention") else number("num_attention_heads")
        ),
        "moe_topk": written(number("moe_router_topk")) if number("num_experts") else "",
        "global_batch_seqs": written(number("global_batch_size")),
        "recompute": _recompute(arguments),
        "compute_dtype": _format(arguments),
        "expert_folding": _folds(number),
    }
    if arguments.get("transformer_impl") == "local" and arguments.get("use_flash_attn") == "False":
        row |= {"attention": "unfused", "mask_fused": str(int(on("masked_softmax_fusion")))}
    return row | {"model": (name := _model(row))}, _notes(row, name, on("swiglu"))


def _notes(row, name, gated):
    """What to know of a layout's model."""
    if name:
        return [f"layers, widths and heads are those of {name}"]
    if gated and not row["moe_experts"]:
        return ["the feed-forward blocks are gated, and no column says so: --set model=config.json states the shape"]
    return []


def _ffn(hidden, gated):
    """Inner width where no argument states it: four widths, two thirds of that in whole 64s where it is gated."""
    return hidden and (int(hidden * 8 / 3 / 64) * 64 if gated else 4 * hidden)


def _chunks(number, arguments):
    """Chunks of a stage: as printed, or by the layers of each."""
    each, layers, pp = (
        number(n) for n in ("num_layers_per_virtual_pipeline_stage", "num_layers", "pipeline_model_parallel_size")
    )
    printed = number("virtual_pipeline_model_parallel_size")
    if printed is None and each and layers and pp:
        printed = layers / pp / each
    return written(printed) or ("1" if "virtual_pipeline_model_parallel_size" in arguments else "")


def _recompute(arguments):
    """Which activations are computed again, then in the program's words."""
    kind = arguments.get("recompute_granularity")
    if kind is None:
        return ""
    words = [arguments.get(name, "None") for name in ("recompute_method", "recompute_num_layers")]
    return " ".join(
        ["none" if kind == "None" else kind, *(word for word in words if word != "None" and kind == "full")]
    )


def _format(arguments):
    """The format of the products."""
    for name, format in (("fp4", "nvfp4"), ("fp8", "fp8")):
        if arguments.get(name, arguments.get(f"{name}_format", "None")) not in ("None", "False"):
            return format
    return next((format for format in ("bf16", "fp16") if arguments.get(format) == "True"), "fp32" if arguments else "")


def _folds(number):
    """Do experts stay whole over tensor-parallel ranks?"""
    tp, experts_tp = number("tensor_model_parallel_size"), number("expert_tensor_parallel_size")
    if not number("num_experts") or not experts_tp or not tp or tp == 1:
        return ""
    return str(int(experts_tp < tp))


def _model(row):
    """The catalog's first model of a row's layers, widths and heads; '' where there is none."""

    def alike(m):
        ffn = m.expert_width if m.experts else m.ffn_width
        told = {"layers": m.layers, "hidden": m.width, "heads": m.heads, "kv_heads": m.kv_heads, "ffn": ffn}
        return all(row[c] == written(v) for c, v in told.items()) and (row["moe_experts"] or "0") == written(
            m.experts or 0
        )

    return next((m.name for m in models().values() if alike(m)), "")
