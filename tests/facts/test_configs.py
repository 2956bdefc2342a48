"""Configuration files: the models of the catalog from what their publishers ship; doors."""

import json
from pathlib import Path

import pytest

from bottlenecks.facts.architectures import COUNTS, model
from bottlenecks.facts.configs import from_config

CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.json"))

AS_CONFIGURED = {  # where a configuration file and the catalog differ on purpose
    "Gemma-3-12B": {"vocab", "context_tokens"},  # 64 rows more for images; context left to the family
    "DeepSeek-V2-Lite": {"context_tokens"},
    "DeepSeek-V3": {"context_tokens"},
    "Mistral-7B-v0.1": {"context_tokens"},
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_configuration_makes_the_model_of_the_catalog(path):
    read = from_config(path)
    if path.stem == "GLM-4-9B":  # not in the catalog: 9.4e9 parameters published
        assert read.params == pytest.approx(9.4e9, rel=0.01) and read.attention == "GQA"
        return
    known = model(read.name)
    fields = {*COUNTS, "attention", "tied_embeddings"} - AS_CONFIGURED.get(read.name, set())
    assert {f: getattr(read, f) for f in fields} == {f: getattr(known, f) for f in fields}


def published_config(name, **changes):
    path = next(p for p in CONFIGS if p.stem == name)
    return json.loads(path.read_text(encoding="utf-8")) | changes


def test_a_folder_or_a_dictionary_will_do(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(published_config("Qwen3-8B")))
    assert from_config(tmp_path).name == tmp_path.name
    assert from_config(published_config("Qwen3-8B"), name="mine").name == "mine"


def test_the_text_that_a_hub_prints_will_do():
    """With its true, false and null, which are not Python."""
    content = published_config("Qwen3-8B", use_cache=True, rope_scaling=None)
    text = json.dumps(content, indent=2)
    assert "true" in text and "null" in text
    read = from_config(f"\n{text}\n")
    assert {f: getattr(read, f) for f in COUNTS} == {f: getattr(from_config(content), f) for f in COUNTS}
    assert from_config("\ufeff" + text, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"model_type": "qwen3",', "config is not JSON, as a hub prints it: Expecting"),
        ("{'model_type': None}", "config is not JSON"),
        ("[1, 2]", "config must hold a dictionary"),
        ("{" * 200_000, "config is not JSON"),
    ],
)
def test_a_text_that_is_no_configuration_says_where(text, told):
    with pytest.raises(ValueError, match=told):
        from_config(text)


def test_variants_of_layout():
    qwen = published_config("Qwen3-30B-A3B", decoder_sparse_step=2, mlp_only_layers=[1])
    assert from_config(qwen).dense_layers == 25  # 24 of 48 by the step, and layer 1
    window = published_config("Qwen2.5-7B", use_sliding_window=True, max_window_layers=20)
    assert from_config(window).local_layers == 8
    typed = published_config("Qwen3-8B", layer_types=["full_attention"] * 36)
    assert from_config(typed).local_layers == 0
    shared = published_config("Qwen3-30B-A3B", model_type="qwen2_moe", shared_expert_intermediate_size=1536)
    assert from_config(shared).shared_experts == 2


@pytest.mark.parametrize(
    "name, key",
    [
        ("Llama-3-8B", "hidden_size"),
        ("Mistral-7B-v0.1", "num_key_value_heads"),
        ("Qwen3-8B", "head_dim"),
        ("Mixtral-8x7B", "num_local_experts"),
        ("DeepSeek-V3", "kv_lora_rank"),
        ("DeepSeek-V3", "moe_intermediate_size"),
        ("GLM-4.5-Air", "first_k_dense_replace"),
        ("gpt-oss-20b", "num_experts_per_tok"),
        ("GLM-4-9B", "multi_query_group_num"),
    ],
)
def test_a_missing_field_is_named(name, key):
    config = published_config(name)
    del config[key]
    with pytest.raises(ValueError, match=f"has no '{key}'"):
        from_config(config)


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("Llama-3-8B", {"model_type": "llama9"}, "model_type 'llama9' is unknown; did you mean 'llama'"),
        ("Llama-3-8B", {"model_type": None}, "model_type None is unknown"),
        ("Qwen3-8B", {"layer_types": ["linear_attention"]}, "layer_types 'linear_attention' is unknown"),
        ("Qwen3-8B", {"layer_types": ["full_attention"]}, "layer_types must have 36 entries, got 1"),
        ("Qwen3-8B", {"linear_num_key_heads": 16}, "'linear_num_key_heads' .16. is not known"),
        ("DeepSeek-V3", {"index_n_heads": 64}, "'index_n_heads' .64. is not known"),
        ("DeepSeek-V3", {"moe_layer_freq": 2}, "moe_layer_freq must be 1, got 2"),
        ("Llama-3-8B", {"sliding_window": 4096}, "'sliding_window' .4096. is not known"),
        ("Llama-3-8B", {"num_hidden_layers": "32"}, "num_hidden_layers must be a number, got '32'"),
        ("Llama-3-8B", {"num_hidden_layers": -32}, "num_hidden_layers .*-32; did you mean 32"),
        ("Llama-3-8B", {"num_hidden_layers": 2.5}, "num_hidden_layers must be whole, got 2.5"),
        ("Llama-3-8B", {"num_attention_heads": 0}, "num_attention_heads must be above zero, got 0"),
        ("Qwen3-30B-A3B", {"moe_intermediate_size": 0}, "moe_intermediate_size must be above zero, got 0"),
        ("Llama-3-8B", {"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false, got 'no'"),
        ("Llama-3-8B", {"text_config": "x"}, "text_config must be a dictionary, got 'x'"),
        ("Qwen3-8B", {"layer_types": 7}, "layer_types must be a list, got 7"),
        ("Qwen2.5-7B", {"max_window_layers": -1}, "max_window_layers must be a whole number, zero or above, got -1"),
        ("Qwen3-30B-A3B", {"mlp_only_layers": 7}, "mlp_only_layers must be a list, got 7"),
        ("Qwen3-30B-A3B", {"decoder_sparse_step": "2"}, "decoder_sparse_step must be a whole number.*got '2'"),
        ("Llama-3-8B", {"num_key_value_heads": 5}, "kv_heads must divide heads .32., got 5; the nearest is 4"),
    ],
)
def test_a_field_that_matters_and_is_unknown_is_named(name, changes, message):
    with pytest.raises(ValueError, match=message):
        from_config(published_config(name, **changes))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.json' cannot be read"):
        from_config(tmp_path / "nowhere.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="must hold a dictionary"):
        from_config(tmp_path)
    (tmp_path / "config.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="is not JSON"):
        from_config(tmp_path)
    for nonsense in (None, 5, []):
        with pytest.raises(ValueError, match="config must be JSON text, a path or a dictionary"):
            from_config(nonsense)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        from_config(tmp_path)
