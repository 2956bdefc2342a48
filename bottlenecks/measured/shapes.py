"""Models of measured training runs: what a row prints, else the catalog, else one of that size.

What a row does not say is chosen and goes into `assumed`: the catalog's shape of that name, else GPT-3's
or that of the nearest mixture, at the size that the row or the name states.
"""

import re
from dataclasses import replace

import numpy as np

from bottlenecks.facts.architectures import Model, find_model, model, models
from bottlenecks.facts.configs import from_config
from bottlenecks.facts.doors import one_of

KINDS = ("decoder", "encoder", "encoder-decoder")
WRITTEN = 128 / 512  # tokens of T5's second stack for each token of its first (nemo_launcher, t5/3b.yaml)
VOCAB = 51200  # where none is stated: that of Megatron-LM
ACTIVE = 1 / 10  # of the parameters of a mixture that a token meets, where nothing is said of them


class Assumed:
    """What a row leaves open, in words."""

    def __init__(self, words=()):
        self.words = list(words)

    def add(self, words):
        """One choice."""
        self.words.append(words)

    def copy(self):
        """The same, to which other choices may be added."""
        return Assumed(self.words)

    def __str__(self):
        return "; ".join(dict.fromkeys(self.words))


def gpt(layers, width, heads, *, vocab, name="GPT"):
    """A GPT with multi-head attention and a plain feed-forward of four widths."""
    return Model(
        name=name,
        layers=layers,
        width=width,
        ffn_width=4 * width,
        ffn_matrices=2,
        heads=heads,
        kv_heads=heads,
        head_values=width / heads,
        attention="MHA",
        vocab=vocab,
        tied_embeddings=True,
    )


def by_size(name, params):
    """A dense decoder of so many parameters, as deep and wide as brown2020gpt3 made its own (Table 2.1).

    Above 6.7B the width is 128 times the layers; below, layers shrink more slowly: 24 at 0.35 to 1.3B.
    """
    aspect = np.interp(np.log(params), np.log([0.125e9, 0.35e9, 1.3e9, 6.7e9]), [64, 43, 85, 128])
    layers = max(round((params / (12 * aspect**2)) ** (1 / 3)), 1)
    width = max(round(np.sqrt(params / (12 * layers)) / 128), 1) * 128
    return gpt(layers, width, max(width // 128, 1), vocab=VOCAB, name=name)


def model_of(row, assumed):
    """The model that a row trains; ValueError: its shape is not known."""
    shape = _shape(row, assumed)
    ahead = row["tokens_ahead"]
    if not np.isfinite(ahead):
        return shape
    return replace(shape, layers=shape.layers + int(ahead) - shape.ahead, ahead=int(ahead))


def _shape(row, assumed):
    if row["model"].endswith(".json"):
        return from_config(row["model"])
    name, known = row["model"], find_model(row["model"])
    if _kind(row, known) != "decoder":
        return _encoder(row, name, known, assumed)
    if np.isfinite(row["layers"] + row["hidden"]):
        if not np.isfinite(row["moe_experts"]):
            return _printed(row, name, known, assumed)
        if not known and np.isfinite(row["ffn"]):
            return _printed_mixture(row, name, assumed)
    if known:
        return model(known)
    params, active = _sizes(row, name)
    if not np.isfinite(params):
        raise ValueError(f"the shape of {name} is not known" if name else "no model is named")
    if np.isfinite(row["moe_experts"]) or "moe" in name.casefold() or active < 0.9 * params:
        return _like_a_mixture(name, params, active, assumed)
    assumed.add(f"a shape like GPT-3's, of {params / 1e9:.3g}B parameters")
    return by_size(name, params)


def _kind(row, known):
    if row["model_kind"]:
        return one_of("model_kind", row["model_kind"], KINDS)
    shape = model(known) if known else None
    return "decoder" if not shape else "encoder" if shape.both_ways else KINDS[2 * (shape.encoder_layers > 0)]


def sizes_in(name):
    """(parameters, those that a token meets) by what a name says of a size; NaN where it says nothing.

    >>> sizes_in("Unheard-200B-A20B"), sizes_in("a dense 30B")
    ((200000000000.0, 20000000000.0), (30000000000.0, nan))
    """
    whole = re.search(r"(?:^|[^\dx.])(\d+(?:\.\d+)?)B\b", name)
    part = re.search(r"[-_ ][aA](\d+(?:\.\d+)?)[bB]", name)
    return tuple(float(found[1]) * 1e9 if found else np.nan for found in (whole, part))


def _sizes(row, name):
    """(parameters, active ones) that a row states, else its model's name; NaN where neither does."""
    stated = (row["params"], row["active_params"])
    return tuple(a if np.isfinite(a) else b for a, b in zip(stated, sizes_in(name), strict=True))


def _heads(row, width, assumed):
    heads = row["heads"]
    if not np.isfinite(heads):
        heads = next((h for h in (width // 128, 64, 32, 16) if h and width % h == 0), None)
        if heads is None:
            raise ValueError(f"hidden must be a multiple of 16 where heads are not stated, got {width:g}")
        assumed.add(f"{heads:.0f} heads")
    kv = row["kv_heads"] if np.isfinite(row["kv_heads"]) else heads
    vocab = row["vocab"]
    if not np.isfinite(vocab):
        vocab = VOCAB
        assumed.add(f"a vocabulary of {VOCAB:,}")
    return int(heads), int(kv), int(vocab)


def _printed(row, name, known, assumed):
    """A dense decoder of the layers and widths that a row prints."""
    layers, width = row["layers"], row["hidden"]
    heads, kv, vocab = _heads(row, width, assumed)
    ffn = row["ffn"] if np.isfinite(row["ffn"]) else 4 * width
    gate = 3 if known and model(known).ffn_matrices == 3 and model(known).width == width else 2
    if gate == 3 and not np.isfinite(row["ffn"]):
        ffn = model(known).ffn_width
    if width % heads and not np.isfinite(row["head_dim"]):
        stated, heads = heads, next(h for h in range(int(heads), 0, -1) if width % h == 0)
        kv = heads
        assumed.add(f"{heads} heads: {stated} do not divide the width")
    return Model(
        name=name,
        layers=int(layers),
        width=int(width),
        ffn_width=int(ffn),
        ffn_matrices=gate,
        heads=heads,
        kv_heads=kv,
        head_values=row["head_dim"] if np.isfinite(row["head_dim"]) else width / heads,
        attention="MHA" if kv == heads else "GQA",
        vocab=vocab,
        tied_embeddings=True,
    )


def _printed_mixture(row, name, assumed):
    """A mixture of the layers, widths and experts that a row prints; its experts have a gate."""
    width = row["hidden"]
    heads, kv, vocab = _heads(row, width, assumed)
    return Model(
        name=name,
        layers=int(row["layers"]),
        width=int(width),
        heads=heads,
        kv_heads=kv,
        head_values=row["head_dim"] if np.isfinite(row["head_dim"]) else width / heads,
        attention="MHA" if kv == heads else "GQA",
        experts=int(row["moe_experts"]),
        experts_per_token=int(row["moe_topk"]) if np.isfinite(row["moe_topk"]) else 2,
        expert_width=int(row["ffn"]),
        vocab=vocab,
    )


def _like_a_mixture(name, params, active, assumed):
    """A mixture known by its size: the catalog's nearest in all and active parameters, as deep as that needs."""
    if not np.isfinite(active):
        active = ACTIVE * params
    near = [m for m in models().values() if m.experts is not None]
    far = [abs(np.log(m.params / params)) + abs(np.log(m.active_params / active)) for m in near]
    like = near[int(np.argmin(far))]
    layers = max(round(like.layers * params / like.params), like.dense_layers + 1)
    assumed.add(f"a shape like {like.name}'s, of {layers} layers")
    share = layers / like.layers
    return replace(
        like,
        name=name,
        layers=layers,
        local_layers=round(like.local_layers * share),
        ssm_layers=round(like.ssm_layers * share),
    )


def _encoder(row, name, known, assumed):
    """Tokens attend both ways, and the masked ones alone reach the head.

    Of two stacks (T5) a token passes one, a layer of 12 squared widths or, with the attention to the
    other stack, of 16; for 512 tokens read 128 are written (nemo_launcher's t5/3b.yaml).
    """
    two = _kind(row, known) == "encoder-decoder"
    if np.isfinite(row["layers"] + row["hidden"]):
        shape = replace(_printed(row, name, known, assumed), both_ways=True)
        return _two_stacks(shape) if two else shape
    if known and not model(known).encoder_layers:
        return replace(model(known), both_ways=True)
    params = row["params"] if np.isfinite(row["params"]) else model(known).params if known else np.nan
    if not np.isfinite(params):
        raise ValueError(f"the shape of {name} is not known")
    assumed.add(f"a shape by {params / 1e9:.3g}B parameters in {1 + two} stack{'s' * two}")
    passed = (12 + 16 * WRITTEN) / 28 if two else 1.0
    vocab = int(row["vocab"]) if np.isfinite(row["vocab"]) else VOCAB
    return replace(by_size(name, params * passed), both_ways=True, vocab=vocab)


def _two_stacks(shape):
    """As many layers of one stack as the tokens that are read pass in two of this shape, gated.

    Those written pass a layer more, and ask those read, whose keys and values each layer makes anew.
    """
    shape = replace(shape, ffn_matrices=3)
    asking = shape.attention_params / 2 / (shape.attention_params + shape.ffn_matrices * shape.width * shape.ffn_width)
    return replace(shape, layers=round(shape.layers * (1 + WRITTEN * (1 + asking) + asking)))
