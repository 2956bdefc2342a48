"""Memory as others measured it, and what they report to fit or not: within a tenth, or the same verdict.

Each case names its report. Sizes are as printed: GiB of a chip, tokens, MiB.
"""

import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured import memory
from bottlenecks.models.cache import cache_bytes_per_token
from bottlenecks.models.footprint import total_bytes, training_rows
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import room

GIB, MIB = 2**30, 2**20
H100 = chip("H100 SXM5")


def rows(name, on=H100, **asked):
    return room.serving(model(name), on, **asked)["rows"]


@pytest.mark.parametrize(
    ("report", "name", "asked", "gib"),
    [
        ("vllm#33155", "gpt-oss-120b", {}, 64.38),
        ("vllm#6746", "Llama-3.1-405B", {"tp": 8, "format": "fbgemm fp8"}, 57.752),
        ("vllm#13061", "Qwen2.5-14B", {"tp": 2}, 13.9476),
        ("vllm#17469", "Qwen3-30B-A3B", {"tp": 4}, 14.2474),
        ("vllm#12569", "Llama-3.1-70B", {"format": "w8a8"}, 67.72),
        ("vllm#5993", "Qwen2.5-72B", {"tp": 4, "format": "GPTQ-Int8"}, 17.98),
        ("ollama#6279", "Llama-3.1-70B", {"format": "Q4_0"}, 37.22),
    ],
)
def test_weights_as_servers_load_them(report, name, asked, gib):
    assert rows(name, **asked)["weights"] / GIB == pytest.approx(gib, rel=0.1), report


@pytest.mark.parametrize(
    ("report", "name", "on", "asked", "tokens"),
    [
        ("vllm#13061", "Qwen2.5-14B", "RTX 4090", {"tp": 2, "held_back": 0.02}, 81_536),
        ("vllm#12569", "Llama-3.1-70B", "H100 SXM5", {"format": "w8a8", "held_back": 0.02}, 22_096),
    ],
)
def test_tokens_that_a_cache_holds(report, name, on, asked, tokens):
    found = room.serving(model(name), chip(on), context=1, **asked)["of memory alone"]
    assert found == pytest.approx(tokens, rel=0.1), report


@pytest.mark.parametrize(
    ("report", "name", "asked", "mib"),
    [
        ("ollama#16480", "gpt-oss-120b", {"context": 131_072, "batch": 2}, 9216 + 90),
        ("hf-mem#70", "gpt-oss-20b", {"context": 8192, "batch": 32, "full_windows": True}, 12 * 1024),
        ("ik_llama.cpp#235", "DeepSeek-R1", {"context": 32_768, "chips": 8}, 2196),
    ],
)
def test_caches_as_engines_print_them(report, name, asked, mib):
    assert rows(name, **asked)["cache"] / MIB == pytest.approx(mib, rel=0.02), report


def test_bytes_of_a_token():
    # hf-mem#60: 5.38 GiB are 78,384 tokens
    assert cache_bytes_per_token(model("gpt-oss-120b")) == 73_728 == pytest.approx(5.38 * GIB / 78_384, rel=1e-3)


def test_narrow_weights_leave_the_cache_at_16_bits():
    kimi = (rows("Kimi-K2", chip("H200 SXM"), chips=8, format=text)["cache"] for text in ("bf16", "fp4"))
    assert len(set(kimi)) == 1  # hf-mem#54


def test_a_hybrid_keeps_its_state_and_an_encoder_nothing():
    minimax = rows("MiniMax-Text-01", chip("H200 SXM"), chips=8, format="fp8", context=1000)
    assert 8 * minimax["state"] == pytest.approx(147e6, rel=1e-2)  # 64 x 128 x 128 values x 70 layers, 16 bits
    assert rows("BERT-large", chip("T4"), context=512)["cache"] == 0


def test_no_context_beyond_the_models_own():
    found = {name: room.serving(model(name), H100)["largest context"] for name in ("gpt-oss-20b", "LLaMA-7B")}
    assert found == {"gpt-oss-20b": 131_072, "LLaMA-7B": 2048}


# ---- training


@pytest.mark.parametrize(
    ("report", "name", "recipe", "batch", "gigabytes"),
    [  # of a fine-tuning on short sequences
        ("torchtune#389", "Llama-2-7B", "adam, bf16 alone", 2, 54),
        ("torchtune#389", "Llama-2-7B", "adam, 8-bit alone", 2, 40.5),
        ("huggingface/blog#2245", "Llama-3-70B", "adam, bf16 alone", 1, 542),  # 519 to 565, one sequence
    ],
)
def test_fine_tuning(report, name, recipe, batch, gigabytes):
    held = training_rows(model(name), Layout(seq_len=256, micro_batch=batch, recipe=recipe))
    assert total_bytes(held) / 1e9 == pytest.approx(gigabytes, rel=0.1), report


def test_adam_of_175_billion():
    # cs249r_book#1681: 8 bytes a parameter, 1,400 GB
    held = training_rows(model("GPT-3 175B"), Layout(seq_len=1, recipe="adam, fp32"))
    assert held["optimizer"] / 1e9 == pytest.approx(1400, rel=0.01)


QLORA = {"lora_rank": 32, "frozen_bytes": 0.516, "recompute": "full"}


@pytest.mark.parametrize(
    ("report", "name", "on", "asked", "fits"),
    [
        ("LlamaFactory#260", "Llama-2-7B", "V100 SXM2 32GB", {"chips": 8, "tp": 1, "zero": 2, "recipe": "adam"}, False),
        ("axolotl#1522", "Llama-2-70B", "RTX 3090", {"chips": 2, "tp": 1, "zero": 3, **QLORA}, False),
        # Answer.AI's script leaves the weights on the host
        ("axolotl#1522", "Llama-2-70B", "RTX 3090", {"chips": 2, "tp": 1, "zero": 3, "offloaded_weights": 1.0, **QLORA}, True),
        ("xtuner#88", "Llama-2-70B", "A100 SXM 40GB", QLORA, False),
    ],
)  # fmt: skip
def test_who_ran_out_of_memory(report, name, on, asked, fits):
    found = room.training(model(name), chip(on), context=1024, **asked)
    assert (found["shortfall"] <= 0) == fits, report


# ---- measured peaks of fine-tuning


TUNED = {"recipe": "adam, bf16 alone", "batch": 2, "context": 4096}
LADDER = [  # torchtune's README: Llama-3.2-3B in bf16 on one A100, each step on top of the last; the allocator's GiB
    ({}, 51.0),
    ({"loss_parts": 8}, 42.9),
    ({"loss_parts": 8, "recompute": "full"}, 24.9),
    ({"loss_parts": 8, "recompute": "full", "step_in_backward": True}, 23.1),
    ({"loss_parts": 8, "recompute": "full", "step_in_backward": True, "offloaded_activations": 1.0}, 21.8),
    ({"loss_parts": 8, "recompute": "full", "offloaded_activations": 1.0, "lora_rank": 64}, 8.5),
    ({"loss_parts": 8, "recompute": "full", "offloaded_activations": 1.0, "lora_rank": 64, "frozen_bytes": 0.516}, 4.6),
]


@pytest.mark.parametrize(("asked", "gib"), LADDER)
def test_a_ladder_of_savings(asked, gib):
    found = room.training(model("Llama-3.2-3B"), chip("A100 SXM 80GB"), held_back=0.0, **TUNED, **asked)
    assert sum(found["rows"].values()) / GIB == pytest.approx(gib, rel=0.1)


@pytest.mark.parametrize(
    ("batch", "context", "frozen", "zero", "gib"),
    [  # fsdp_qlora, benchmarks of March 2024: Llama-2-7B, rank 64, two chips; GiB that the allocator reserved
        (1, 2048, 0.516, 3, 5.21),
        (4, 2048, 0.516, 3, 11.22),
        (10, 2048, 0.516, 3, 20.97),
        (4, 2048, 2, 3, 16.14),
        (6, 2048, 2, 3, 21.35),
        (8, 2048, 0.516, 0, 20.94),
        (4, 2048, 2, 0, 22.04),
    ],
)
def test_adapters_on_two_chips(batch, context, frozen, zero, gib):
    asked = {"recompute": "full", "lora_rank": 64, "recipe": "adam, bf16 alone", "bytes_per_logit": 16}
    found = room.training(
        model("Llama-2-7B"), chip("RTX 3090"), chips=2, tp=1, batch=batch, context=context, frozen_bytes=frozen, zero=zero, **asked
    )  # fmt: skip
    contexts = memory.constants()["overhead_bytes"]  # which the allocator does not count
    assert (sum(found["rows"].values()) - contexts) / GIB == pytest.approx(gib, rel=0.1)
