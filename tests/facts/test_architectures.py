"""Models: parameters from shapes against published counts; doors."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts.architectures import ATTENTION, COUNTS, Model, find_model, model, models

# ---- the catalog

BEYOND_2_PERCENT = {  # published total and the count from shapes, relative difference, and why
    "Transformer base": (-0.031, "rounded to 65M in the paper; 37k of vocabulary is rounded, too"),
    "GPT-3 2.7B": (-0.020, "printed with two digits; biases, norms and positions not counted"),
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


NOT_IN_THE_CATALOG = {"GLM-5", "MiniMax-M2.5", "Qwen3.5-397B-A17B"}  # shapes that we have not seen


def test_measured_models_resolve():
    spelled = {row["model"] for row in data.rows("inference_measured")}
    assert {name for name in spelled if not find_model(name)} == NOT_IN_THE_CATALOG


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
