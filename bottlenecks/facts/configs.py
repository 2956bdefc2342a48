"""Configuration files of Hugging Face: what each family calls the fields of a `Model`."""

import json
import re
from os import PathLike
from pathlib import Path

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import one_of, positive, shown

LLAMA = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "ffn_width": "intermediate_size",
    "heads": "num_attention_heads",
    "vocab": "vocab_size",
}
GROUPED = LLAMA | {"kv_heads": "num_key_value_heads"}
WIDE = GROUPED | {"head_values": "head_dim"}  # heads whose values need not add up to the width
MIXTURE = {
    "experts": "num_experts",
    "experts_per_token": "num_experts_per_tok",
    "expert_width": "moe_intermediate_size",
}
LOCAL_EXPERTS = MIXTURE | {"experts": "num_local_experts", "expert_width": "intermediate_size"}
SHARED = MIXTURE | {
    "experts": "n_routed_experts",
    "shared_experts": "n_shared_experts",
    "dense_layers": "first_k_dense_replace",
}
LATENT = (
    LLAMA
    | SHARED
    | {
        "kv_lora_rank": "kv_lora_rank",
        "qk_nope_values": "qk_nope_head_dim",
        "qk_rope_values": "qk_rope_head_dim",
        "v_head_values": "v_head_dim",
    }
)
FAMILIES = {  # model_type -> our field -> its name in the file, where it must stand
    "llama": LLAMA,
    "mistral": GROUPED,
    "qwen2": GROUPED,
    "qwen3": WIDE,
    "gemma": WIDE,
    "gemma2": WIDE,
    "gemma3_text": WIDE,
    "glm": WIDE,
    "glm4": WIDE,
    "chatglm": {
        "layers": "num_layers",
        "width": "hidden_size",
        "ffn_width": "ffn_hidden_size",
        "heads": "num_attention_heads",
        "vocab": "padded_vocab_size",
        "kv_heads": "multi_query_group_num",
        "head_values": "kv_channels",
        "context_tokens": "seq_length",
    },
    "mixtral": GROUPED | LOCAL_EXPERTS,
    "gpt_oss": WIDE | LOCAL_EXPERTS,
    "llama4_text": WIDE | LOCAL_EXPERTS | {"ffn_width": "intermediate_size_mlp"},
    "qwen2_moe": GROUPED | MIXTURE | {"shared_width": "shared_expert_intermediate_size"},
    "qwen3_moe": WIDE | MIXTURE,
    "glm4_moe": WIDE | SHARED,
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
}
OPTIONAL = {
    "kv_heads": "num_key_value_heads",
    "head_values": "head_dim",
    "q_lora_rank": "q_lora_rank",
    "context_tokens": "max_position_embeddings",
}
UNSAID = {  # what published files leave to the family
    "gemma3_text": {"heads": 8, "kv_heads": 4, "head_values": 256, "vocab": 262208},
    "llama4_text": {"shared_experts": 1},
}
WINDOWED = {  # families with local layers -> every how many layers one is global (0: none is)
    "mistral": 0,
    "mixtral": 0,
    "gemma2": 2,
    "gemma3_text": 6,
    "gpt_oss": 2,
    "llama4_text": 4,
    "qwen2": None,
    "qwen3": None,
    "qwen2_moe": None,
    "qwen3_moe": None,  # those above a layer are local
}
LAYER_TYPES = {"full_attention": 0, "sliding_attention": 1, "chunked_attention": 1}  # 1: local
LAYOUT = {  # fields of the file that say how its layers are laid out, and what each must be
    "layer_types": list,
    "use_sliding_window": bool,
    "max_window_layers": int,
    "sliding_window_pattern": int,
    "_sliding_window_pattern": int,
    "decoder_sparse_step": int,
    "mlp_only_layers": list,
    "moe_layer_freq": int,
    "interleave_moe_layer_step": int,
}
REPEATED = {  # say again what another field says
    "experts_per_token",
    "sliding_window_size",
    "multi_query_attention",
    "vocab_size",
    "no_rope_layers",
    "no_rope_layer_interval",
    "moe_layers",
}
KINDS = {bool: "true or false", int: "a whole number, zero or above", list: "a list", dict: "a dictionary"}
ABOVE_ZERO = ("heads", "width", "expert_width")  # what others are divided by
MATTERS = re.compile("layer|head|expert|att|window|ssm|mamba|rank|conv|state|index|chunk|hidden|_dim|_size|_freq")
HARMLESS = re.compile(
    "bias|dropout|softcap|softmax|norm|scal|router|token|temperature|implementation|nextn|fp32|rope"
    "|ep_size|_act$|_activation$|^output_"
)


def from_config(config, *, name=None):
    """A Model from a Hugging Face `config.json`: its text as a hub prints it, a dictionary, its path, or its folder.

    Show what comes of it in the same cell, `show(from_config(text))` or a table of it: when the text cannot be read,
    nothing of an earlier model is shown then.

    Families: Llama (to 4), Mistral, Mixtral, Qwen 2 and 3, Gemma, GLM-4, DeepSeek V2 and V3 (R1), Kimi K2,
    gpt-oss. Vision towers and extra prediction layers are not counted. A field that is missing, or
    one that may change the shape and is not known here, is an error that names it.

    >>> tiny = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 10,
    ...         "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    >>> from_config(tiny).layer_params
    576
    """
    config, stem = _read(config)
    text = _typed("text_config", config.get("text_config"), dict) or config
    family = one_of("model_type", text.get("model_type"), FAMILIES)
    name = name or config.get("_name_or_path") or stem or family
    window = {"llama4_text": "attention_chunk_size"}.get(family, "sliding_window")
    names = OPTIONAL | FAMILIES[family]
    if family in WINDOWED:
        names = names | {"sliding_window_tokens": window}
    found = dict(UNSAID.get(family, {}))
    for field, key in names.items():
        if text.get(key) is not None:
            found[field] = positive(f"{name}: {key}", text[key], zero_allowed=field not in ABOVE_ZERO, whole=True)
        elif field in FAMILIES[family] and field not in found:
            raise ValueError(f"{name}: the configuration of a {family} model has no {key!r}")
    _refuse_unknown(name, text, {*names.values(), *LAYOUT, *REPEATED})
    for key, kind in LAYOUT.items():
        _typed(f"{name}: {key}", text.get(key), kind)
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    tied = _typed(f"{name}: tie_word_embeddings", tied, bool)
    found["tied_embeddings"] = family.startswith("gemma") if tied is None else tied
    found |= _heads(found)
    found |= _windows(name, text, found, WINDOWED.get(family, 0))
    if "experts" in found:
        found |= _mixture(name, text, found)
    found.pop("shared_width", None)
    return Model(name=name, **found)


def _read(config):
    """(content, name) of a configuration."""
    if isinstance(config, dict):
        return config, ""
    if isinstance(config, str) and config.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return _content(config.lstrip("\ufeff"), "config"), ""
    if not isinstance(config, (str, PathLike)):
        raise ValueError(f"config must be JSON text, a path or a dictionary, got {shown(config)}")
    path = Path(config)
    path = path / "config.json" if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"config {shown(str(path))} cannot be read: {error}") from None
    return _content(text, f"config {str(path)!r}"), path.parent.name if path.stem == "config" else path.stem


def _content(text, name):
    """The dictionary that a JSON text holds."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON, as a hub prints it: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a dictionary, got {shown(content)}")
    return content


def _typed(name, value, kind):
    """The value of a field that is no size, None where it is left out."""
    if value is None or (type(value) is kind and (kind is not int or value >= 0)):
        return value
    raise ValueError(f"{name} must be {KINDS[kind]}, got {shown(value)}")


def _refuse_unknown(name, text, known):
    for key, value in text.items():
        if value and key not in known and MATTERS.search(key) and not HARMLESS.search(key):
            raise ValueError(
                f"{name}: {key!r} ({value!r}) is not known here and may change the shape; if it does not, leave it out"
            )


def _heads(found):
    """Key-value heads, values of a head and the kind of attention, from what the file says."""
    heads = found["heads"]
    if "kv_lora_rank" in found:
        values = found["qk_nope_values"] + found["qk_rope_values"]
        return {"kv_heads": heads, "head_values": values, "attention": "MLA"}
    kv_heads = found.get("kv_heads", heads)
    kind = "MHA" if kv_heads == heads else "MQA" if kv_heads == 1 else "GQA"
    values = found.get("head_values", found["width"] // heads)
    return {"kv_heads": kv_heads, "head_values": values, "attention": kind}


def _windows(name, text, found, global_every):
    """How many layers attend within a window; the window's size is dropped where none does."""
    layers, types = found["layers"], text.get("layer_types")
    if types:
        local = sum(LAYER_TYPES[one_of(f"{name}: layer_types", t, LAYER_TYPES)] for t in types)
        if len(types) != layers:
            raise ValueError(f"{name}: layer_types must have {layers} entries, got {len(types)}")
    elif "sliding_window_tokens" not in found:
        local = 0
    elif global_every is None:
        first = text.get("max_window_layers", layers)
        local = max(layers - first, 0) if text.get("use_sliding_window") else 0
    else:
        every = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
        every = every or global_every
        local = layers - (layers // every if every else 0)
    window = found.get("sliding_window_tokens") if local else None
    return {"local_layers": local, "sliding_window_tokens": window}


def _mixture(name, text, found):
    """Layers without experts, shared experts, and the plain feed-forward where there is one."""
    if text.get("moe_layer_freq", 1) != 1:
        raise ValueError(f"{name}: moe_layer_freq must be 1, got {text['moe_layer_freq']!r}")
    layers, only = found["layers"], text.get("mlp_only_layers") or []
    step = text.get("decoder_sparse_step") or text.get("interleave_moe_layer_step") or 1
    plain = sum(i in only or (i + 1) % step != 0 for i in range(layers))
    plain = found.get("dense_layers", plain)
    shared = found.get("shared_width", 0) // found["expert_width"]
    return {
        "dense_layers": plain,
        "shared_experts": found.get("shared_experts", shared),
        "ffn_width": found["ffn_width"] if plain else None,
    }
