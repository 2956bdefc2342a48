"""Models: parameters from shapes against published counts; doors."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import model_names
from bottlenecks.facts.architectures import ATTENTION, COUNTS, Model, find_model, model, models, why_unknown

# ---- the catalog

BEYOND_2_PERCENT = {  # published total and the count from shapes, relative difference, and why
    "Transformer base": (-0.031, "rounded to 65M in the paper; 37k of vocabulary is rounded, too"),
    "GPT-3 2.7B": (-0.020, "printed with two digits; biases, norms and positions not counted"),
    "OPT-2.7B": (-0.020, "printed with two digits; biases, norms and positions not counted"),
    "GLaM 64B/64E": (-0.039, "rounded to 1.2T; its plain feed-forwards have a gate, its experts not"),
}


def published():
    return [pytest.param(m, id=m.name) for m in models().values() if m.published_params]


@pytest.mark.parametrize("m", published())
def test_matrices_and_embeddings_make_the_published_total(m):
    gap = float(m.params / m.published_params - 1)
    if m.name in BEYOND_2_PERCENT:
        assert gap == pytest.approx(BEYOND_2_PERCENT[m.name][0], abs=1e-3)
    else:
        assert abs(gap) < 0.02


ACTIVE_WITHOUT = {  # embeddings that the publisher leaves out of the active count
    "input": ("gpt-oss-20b", "gpt-oss-120b", "DeepSeek-V2-Lite", "Kimi-K2"),
    "both": ("MiniMax-Text-01", "MiniMax-M2", "GLM-4.5", "GLM-4.5-Air"),
}


COUNTED = [m for m in models().values() if m.experts and m.published_active_params and m.confidence != "memory"]


@pytest.mark.parametrize("name", [m.name for m in COUNTED])
def test_weights_that_a_token_meets(name):
    m = model(name)
    left_out = {
        "input": m.embedding_params if name in ACTIVE_WITHOUT["input"] else 0,
        "both": m.head_params + m.embedding_params if name in ACTIVE_WITHOUT["both"] else 0,
    }
    counted = m.active_params - sum(left_out.values())
    assert counted == pytest.approx(m.published_active_params, rel=0.03)


def test_rows_have_sources_or_say_that_they_are_from_memory():
    for row in data.rows("models"):
        assert row["confidence"] in ("read", "secondary", "memory"), row["name"]
        assert row["sources"] or row["confidence"] == "memory", row["name"]
        assert set(data.keys(row["sources"])) <= set(data.references()), row["name"]
        assert set(data.keys(row["unconfirmed"])) <= set(row), row["name"]
        assert row["attention"] in ATTENTION and row["tied_embeddings"] in ("yes", "no")


def test_no_spelling_means_two_models():
    for row in data.rows("models"):
        for spelling in (row["name"], *filter(None, row["aliases"].split(";"))):
            assert find_model(spelling) == row["name"], spelling


def test_measured_models_resolve():
    spelled = {row["model"] for row in data.rows("inference_measured")}
    assert {name for name in spelled if not find_model(name)} == set()


# ---- one layer by hand


def test_a_grouped_query_layer():
    # Llama-3-8B: 2 x 4096^2 + 2 x 4096 x 1024 + 3 x 4096 x 14336 = 33,554,432 + 8,388,608 + 176,160,768
    assert model("Llama-3-8B").attention_params == 33_554_432 + 8_388_608
    assert model("Llama-3-8B").layer_params == 218_103_808


def test_a_multi_head_layer():
    # GPT-3 175B: 4 x 12288^2 + 2 x 12288 x 49152 = 12 x 12288^2
    assert model("GPT-3 175B").layer_params == 1_811_939_328


def test_a_multi_query_layer():
    # PaLM 540B: q and output 2 x 18432 x 48 x 256 = 452,984,832; one key and one value head 2 x 18432 x 256
    assert model("PaLM 540B").attention_params == 452_984_832 + 9_437_184


def test_a_latent_attention_layer():
    # DeepSeek-V3: q 7168 x 1536 + 1536 x 128 x 192 = 11,010,048 + 37,748,736; down 7168 x 576 = 4,128,768;
    # up 512 x 128 x 256 = 16,777,216; output 128 x 128 x 7168 = 117,440,512
    m = model("DeepSeek-V3")
    assert m.attention_params == 11_010_048 + 37_748_736 + 4_128_768 + 16_777_216 + 117_440_512
    # V2-Lite does not squeeze queries: 2048 x 16 x 192 = 6,291,456; 2048 x 576; 512 x 16 x 256; 16 x 128 x 2048
    lite = model("DeepSeek-V2-Lite").attention_params
    assert lite == 6_291_456 + 1_179_648 + 2_097_152 + 4_194_304


def test_a_mixture_layer():
    # Mixtral-8x7B: 8 x 3 x 4096 x 14336 = 1,409,286,144, router 4096 x 8 = 32,768; two experts: 352,321,536
    m = model("Mixtral-8x7B")
    assert m.mixture_params == 1_409_286_144 + 32_768
    assert m.layer_params == 41_943_040 + m.mixture_params
    assert m.active_block_params == 32 * (41_943_040 + 32_768 + 352_321_536)


def test_a_mixture_with_shared_experts_and_plain_layers():
    # DeepSeek-V3: an expert 3 x 7168 x 2048 = 44,040,192; 257 of them; router 7168 x 256 = 1,835,008;
    # 3 plain layers of 3 x 7168 x 18432 = 396,361,728
    m = model("DeepSeek-V3")
    assert m.shared_params == m.expert_params == 44_040_192
    assert m.mixture_params == 257 * 44_040_192 + 1_835_008
    assert m.block_params == 61 * m.attention_params + 3 * 396_361_728 + 58 * m.mixture_params


def test_a_recurrence_takes_the_place_of_attention():
    # Jamba: attention on 4 of 32 layers, 2 x 4096^2 + 2 x 4096 x 1024; a Mamba layer with inner width 8192:
    # in 4096 x 16384, convolution 8192 x 4, to rank and states 8192 x 288, from rank 256 x 8192,
    # states 8192 x 16, out 8192 x 4096
    m = model("Jamba-v0.1")
    recurrent = 67_108_864 + 32_768 + 2_359_296 + 2_097_152 + 131_072 + 33_554_432
    assert m.ssm_layer_params == recurrent
    assert m.block_params == 4 * 41_943_040 + 28 * recurrent + 16 * (m.ffn_params + m.mixture_params)


def test_an_encoder_adds_its_layers_and_cross_attention():
    # Transformer base: 6 x (4 x 512^2 + 2 x 512 x 2048) + 6 x (8 x 512^2 + 2 x 512 x 2048)
    assert model("Transformer base").block_params == 6 * 3_145_728 + 6 * 4_194_304


def test_tied_embeddings_count_once():
    gpt2 = model("GPT-2 small")
    assert gpt2.embedding_params == 0
    assert replace(gpt2, tied_embeddings=False).params == gpt2.params + 50257 * 768


@pytest.mark.parametrize("field", ["layers", "width", "kv_heads", "experts_per_token", "vocab"])
def test_any_field_may_be_an_array(field):
    m = model("Mixtral-8x7B")
    values = [8, 4, 2, 1]
    swept = replace(m, **{field: np.array(values)})
    for property in ("params", "active_params", "block_params"):
        one_by_one = [getattr(replace(m, **{field: v}), property) for v in values]
        assert np.broadcast_to(getattr(swept, property), 4).tolist() == one_by_one


# ---- look-up


@pytest.mark.parametrize("spelling", ["llama-3-8b", "Llama 3 8B", "LLAMA3_8B", "Llama-3-8B-Instruct", "llama3-8b-hf"])
def test_spelling_is_forgiven(spelling):
    assert model(spelling).name == "Llama-3-8B"


NAMES = {  # what people write -> the catalog's name
    "meta-llama/Llama-3.1-8B-Instruct": "Llama-3.1-8B",
    "meta-llama/Meta-Llama-3-8B": "Llama-3-8B",
    "llama3.1 8b": "Llama-3.1-8B",
    "llama3.1:70b-instruct-q4_0": "Llama-3.1-70B",
    "neuralmagic/Meta-Llama-3.1-405B-Instruct-FP8-dynamic": "Llama-3.1-405B",
    "llama 2 7b": "Llama-2-7B",
    "Llama2-7B": "Llama-2-7B",
    "LLaMA-2 7B": "Llama-2-7B",
    "TheBloke/Llama-2-13B-chat-GPTQ": "Llama-2-13B",
    "llama 7B Q4_K - Medium": "LLaMA-7B",  # as llama-bench prints it
    "LLAMA3_70B LoRA": "Llama-3-70B",
    "vicuna-13b": "LLaMA-13B",
    "lmsys/vicuna-7b-v1.5": "LLaMA-7B",
    "CodeLlama-34B": "CodeLlama-34B",
    "codellama/CodeLlama-7b-Instruct-hf": "Llama-2-7B",
    "TinyLlama": "TinyLlama-1.1B",
    "TinyLlama-1.1B-Chat-v1.0": "TinyLlama-1.1B",
    "Llama-4-Scout-17B-16E-Instruct": "Llama-4-Scout",
    "Mistral-7B": "Mistral-7B-v0.1",
    "Mistral 7B v0.2": "Mistral-7B-v0.3",  # without a window both
    "mistralai/Mistral-7B-Instruct-v0.3": "Mistral-7B-v0.3",
    "mixtral 8x7b": "Mixtral-8x7B",
    "Mixtral-8x22B-Instruct-v0.1": "Mixtral-8x22B",
    "Mistral-Large-Instruct-2411": "Mistral-Large-2407",
    "Qwen/Qwen3-8B": "Qwen3-8B",
    "qwen3-30b-a3b": "Qwen3-30B-A3B",
    "Qwen3-30B-A3B-Instruct-2507": "Qwen3-30B-A3B",
    "Qwen3_30B_a3B": "Qwen3-30B-A3B",
    "Qwen3-Coder-30B-A3B-Instruct": "Qwen3-30B-A3B",
    "Qwen2-7B-Instruct": "Qwen2.5-7B",
    "Qwen2.5-Coder-32B-Instruct-AWQ": "Qwen2.5-32B",
    "QwQ-32B": "Qwen2.5-32B",
    "Yi-34B": "Yi-34B",
    "01-ai/Yi-1.5-34B-Chat": "Yi-34B",
    "deepseek-ai/DeepSeek-R1-0528": "DeepSeek-R1",
    "DeepSeek-V3-0324": "DeepSeek-V3",
    "DeepSeek-V3.1": "DeepSeek-V3",
    "DeepSeek-R1-Distill-Llama-70B": "Llama-3-70B",
    "DeepSeek-R1-Distill-Qwen-14B": "Qwen2.5-14B",
    "DeepSeek-Coder-V2-Lite-Instruct": "DeepSeek-V2-Lite",
    "Kimi_K2": "Kimi-K2",
    "moonshotai/Kimi-K2-Instruct-0905": "Kimi-K2",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "GPT OSS 120B": "gpt-oss-120b",
    "gpt2": "GPT-2 small",
    "openai-community/gpt2": "GPT-2 small",
    "GPT-2 124M": "GPT-2 small",
    "gpt2-medium": "GPT-2 medium",
    "gpt2-large": "GPT-2 large",
    "GPT-2 774M": "GPT-2 large",
    "gpt2-xl": "GPT-2 XL",
    "GPT2-1.5B": "GPT-2 XL",
    "facebook/opt-6.7b": "OPT-6.7B",
    "microsoft/phi-2": "phi-2",
    "microsoft/phi-1_5": "phi-1.5",
    "Phi-3-mini-4k-instruct": "Phi-3-mini",
    "falcon-40b-instruct": "Falcon-40B",
    "google/gemma-2-9b-it": "Gemma-2-9B",
    "Gemma3-12B": "Gemma-3-12B",
    "gemma-7b": "Gemma-7B",  # 8.5e9 weights, as its maker calls it
    "EleutherAI/gpt-neox-20b": "GPT-NeoX-20B",
    "google/flan-t5-xl": "T5-v1.1-xl",
    "Nemotron-3-Nano-30B-A3B": "Nemotron_3_Nano",
}


@pytest.mark.parametrize("written", NAMES)
def test_names_resolve_by_their_parts(written):
    assert find_model(written) == model(written).name == NAMES[written]


NOT_NAMES = (  # another size, another generation, or nothing that tells which
    *("Llama-3-34B", "Llama-3.1-9B", "Qwen3-3B", "Qwen3-30B-A9B", "Mixtral-8x13B", "Llama-4-Scout-17B-128E"),
    *("Qwen1.5-72B", "GLM-6", "MiniMax-M3", "gemma-4-31b", "falcon3-7b", "DeepSeek-Coder-6.7B"),
    *("GPT-22B", "GPT2-1.4B", "GPT-3.8B", "Qwen3", "opt", "llama", "7B", "Instruct", "AWQ", "", "/", "org/"),
)


@pytest.mark.parametrize("written", NOT_NAMES)
def test_names_that_are_none_or_several(written):
    assert find_model(written) is None


def test_a_size_in_a_name_is_within_12_percent_of_the_shapes():
    # Llama-3-8B has 8.03e9: 7.1e9 to 8.99e9
    found = {size: find_model(f"Llama-3-{size}B") for size in (7.0, 7.2, 7.6, 8.9, 9.1)}
    assert found == {7.0: None, 7.2: "Llama-3-8B", 7.6: "Llama-3-8B", 8.9: "Llama-3-8B", 9.1: None}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("Llamma-3-8B", "; did you mean 'Llama-3-8B'?"),
        ("Qwenn3-8B", "; did you mean 'Qwen3-8B'?"),
        ("Yi-6B", "; of that family there are: Yi-34B."),
        ("Qwen1.5-72B", "; of that family there are: Qwen2.5-72B, Qwen2-57B-A14B, Qwen3-Next-80B-A3B, Qwen-72B."),
        ("GLM-6", "; of that family there are: GLM-4.5, GLM-4.5-Air, GLM-130B, GLM-5."),
        ("Llamma-3-34B", "."),  # of that size there is none
        ("Unheard-34B", "."),
        ("GPT-22B", "."),
        ("34B", "."),
        ("", "."),
    ],
)
def test_a_suggestion_is_of_the_family_and_of_the_size(written, told):
    assert why_unknown(written) == told


def test_families_of_another_name_lead_to_models():
    known = {part.family + version for part in map(model_names.parts, models()) for version in ("", part.version)}
    for row in data.rows("model_names"):
        assert row["base"] in known and row["why"], row


def test_the_decimal_point_counts():
    assert model("GPT3-1.3B").name == "GPT-3 1.3B" and model("GPT3-13B").name == "GPT-3 13B"


def test_unknown_and_ambiguous_names():
    with pytest.raises(ValueError, match="'Llamma-3-8B' is unknown; did you mean 'Llama-3-8B'"):
        model("Llamma-3-8B")
    with pytest.raises(ValueError, match="could be Qwen3-0.6B, Qwen3-1.7B"):
        model("qwen3")
    for nonsense in (None, 7, ["Llama-3-8B"], ""):
        with pytest.raises(ValueError, match="model"):
            model(nonsense)


# ---- doors


def made(**changes):
    return Model(
        **{
            "name": "X",
            "layers": 2,
            "width": 8,
            "ffn_width": 16,
            "heads": 4,
            "kv_heads": 2,
            "head_values": 2,
            "vocab": 10,
        }
        | changes
    )


@pytest.mark.parametrize("field", sorted(set(COUNTS)))
@pytest.mark.parametrize("value", [-1, float("nan"), "8", True])
def test_a_bad_count_is_refused_by_name_and_value(field, value):
    with pytest.raises(ValueError, match=f"X: {field} must be .*{value}"):
        made(**{field: value})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kv_heads": 3}, r"kv_heads must divide heads \(4\), got 3; the nearest is 2"),
        ({"kv_heads": 8}, "kv_heads must be at most heads, got 8; the nearest is 4"),
        (
            {"experts": 4, "experts_per_token": 5, "expert_width": 1},
            "experts_per_token must be at most experts, got 5; the nearest is 4",
        ),
        ({"experts": 4, "expert_width": 1}, "experts needs experts_per_token, which is missing"),
        ({"ffn_width": None}, "no experts needs ffn_width"),
        ({"attention": "MLA"}, "kv_lora_rank goes with attention 'MLA', got None"),
        ({"attention": "MLA", "kv_lora_rank": 4}, "kv_lora_rank needs qk_nope_values"),
        ({"kv_lora_rank": 4}, "kv_lora_rank goes with attention 'MLA', got 4 and 'GQA'"),
        ({"shared_experts": 1}, "shared_experts needs experts"),
        ({"tied_embeddings": "no"}, "tied_embeddings must be True or False, got 'no'"),
        ({"attention": "GQQ"}, "attention 'GQQ' is unknown; did you mean 'GQA'"),
        ({"local_layers": 3, "sliding_window_tokens": 4}, "local_layers must be at most layers, got 3"),
        ({"local_layers": 1}, "local_layers needs sliding_window_tokens"),
        ({"ssm_layers": 1}, "ssm_layers needs ssm_layer_params"),
    ],
)
def test_shapes_that_can_not_be(changes, message):
    with pytest.raises(ValueError, match="X: " + message):
        made(**changes)
