r"""Models: the shapes of their matrices, and how many weights they make.

A model is one row of `data/models.csv`; `configs` reads one from a configuration file. Norms, biases and
position tables are not counted: together they are below 2 % of any model of the catalog.
"""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts import model_names
from bottlenecks.facts.doors import COUNT, one_of, positive, settle, shown, switch

ATTENTION = ("MHA", "GQA", "MQA", "MLA", "MHA-XL")  # MHA-XL: and a matrix for relative positions
COUNTS = (
    *("layers", "encoder_layers", "width", "ffn_width", "ffn_matrices", "heads", "kv_heads", "head_values"),
    *("q_lora_rank", "kv_lora_rank", "qk_nope_values", "qk_rope_values", "v_head_values"),
    *("sliding_window_tokens", "local_layers", "index_heads", "index_values", "index_keys"),
    *("pooled_tokens", "coarse_layers", "coarse_tokens", "borrowed_layers"),
    *("ssm_layers", "ssm_layer_params", "ssm_width", "state_values"),
    *("experts", "shared_experts", "experts_per_token", "expert_width", "latent_width", "dense_layers"),
    *("ahead", "vocab", "context_tokens"),
)
MAY_BE_ZERO = {"encoder_layers", "local_layers", "coarse_layers", "borrowed_layers", "ssm_layers", "shared_experts"}
MAY_BE_ZERO |= {"dense_layers", "ahead"}
ALWAYS = ("layers", "width", "heads", "kv_heads", "head_values", "vocab", "ffn_matrices", *sorted(MAY_BE_ZERO))
MEANS = ("head_values", "ssm_layer_params")  # that need not be whole
MOST = {"layers": 10**4, "encoder_layers": 10**4, "heads": 10**5, "experts": 10**5, "ahead": 64, "ffn_matrices": 3}
MOST |= {"width": 10**8, "ffn_width": 10**8, "vocab": 10**9, "head_values": 10**5}
MOST_PARAMS = 1e18
YES_OR_NO = ("tied_embeddings", "expert_biases", "both_ways", "parallel_block")
NEEDS = {  # a field that is given, and those that it then needs
    "kv_lora_rank": ("qk_nope_values", "qk_rope_values", "v_head_values"),
    "experts": ("experts_per_token", "expert_width"),
    "experts_per_token": ("experts",),
    "shared_experts": ("experts",),
    "dense_layers": ("experts", "ffn_width"),
    "local_layers": ("sliding_window_tokens",),
    "index_keys": ("index_heads", "index_values"),
    "pooled_tokens": ("index_keys", "sliding_window_tokens"),
    "coarse_layers": ("coarse_tokens", "sliding_window_tokens"),
    "ssm_layers": ("ssm_layer_params",),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A transformer by its matrices. Counts; any number may be an array, to sweep it.

    A field that does not apply is None (or 0, where layers are counted).
    """

    name: str
    layers: int  # of the decoder, where there are two stacks
    encoder_layers: int = 0
    width: int  # of the residual stream
    ffn_width: int | None = None  # None where every layer is a mixture of experts
    ffn_matrices: int = 3  # 3 with a gate, 2 without
    heads: int
    kv_heads: int
    head_values: int  # of a query and a key
    attention: str = "GQA"
    q_lora_rank: int | None = None  # latent attention (MLA); None: queries are not compressed
    kv_lora_rank: int | None = None
    qk_nope_values: int | None = None
    qk_rope_values: int | None = None
    v_head_values: int | None = None
    sliding_window_tokens: int | None = None
    local_layers: int = 0  # layers that attend within the window
    index_heads: int | None = None  # of an index, which scores every key and lets attention see the best
    index_values: int | None = None  # of one of its heads, and of its one key
    index_keys: int | None = None  # keys that it lets a query see
    pooled_tokens: int | None = (
        None  # tokens behind one key of an indexed layer, whose queries see a window of all keys too
    )
    coarse_layers: int = 0  # layers that see every pooled key, of `coarse_tokens` tokens, and a window
    coarse_tokens: int | None = None
    borrowed_layers: int = 0  # layers that read the keys and values of another layer
    ssm_layers: int = 0  # layers with a recurrence in place of attention
    ssm_layer_params: int | None = None  # what takes attention's place, of one such layer
    ssm_width: int | None = None  # values of a token that such a layer scans; None: not counted
    state_values: int | None = None  # of one such layer's state, for each sequence; None: not counted
    experts: int | None = None  # of a layer, shared ones not counted
    shared_experts: int = 0
    experts_per_token: int | None = None
    expert_width: int | None = None
    expert_biases: bool = False  # each expert adds its own to what it writes, and bounds what it makes
    latent_width: int | None = None  # values of a token that experts read and write; None: width
    dense_layers: int = 0  # layers of a mixture model that have one plain feed-forward
    vocab: int
    tied_embeddings: bool = False
    both_ways: bool = False  # tokens attend to later ones too: an encoder
    ahead: int = 0  # tokens after the next that training predicts: a layer (of `layers`) and a head each
    parallel_block: bool = False  # attention and feed-forward read the same values: one exchange for both
    stored_format: str = ""  # of the weights as released, where it is not 16 bits
    context_tokens: int | None = None
    published_params: float | None = None
    published_active_params: float | None = None  # publishers differ in which embeddings they count
    training_tokens: float | None = None
    sources: tuple = ()
    confidence: str = ""  # read, secondary or memory
    unconfirmed: tuple = ()  # columns of the row that no source of ours states
    notes: str = ""

    def __post_init__(self):
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None or name in ALWAYS:
                limit = {"most": MOST.get(name, COUNT), "zero_allowed": name in MAY_BE_ZERO, "whole": name not in MEANS}
                value = positive(f"{self.name}: {name}", value, **limit)
                if isinstance(value, np.ndarray) and value.dtype.kind == "i":
                    value = value.astype(float)  # products of sizes run over 64 bits
                settle(self, name, value)
        for name in YES_OR_NO:
            switch(f"{self.name}: {name}", getattr(self, name))
        one_of(f"{self.name}: attention", self.attention, ATTENTION)
        if (self.attention == "MLA") != (self.kv_lora_rank is not None):
            raise ValueError(
                f"{self.name}: kv_lora_rank goes with attention 'MLA', got {self.kv_lora_rank!r} and {self.attention!r}"
            )
        for name, needed in NEEDS.items():
            value = getattr(self, name)
            self._need(name, needed if value is not None and np.any(value) else ())
        self._need("no experts", ("ffn_width",) if self.experts is None else ())
        for name, limit in (
            ("experts_per_token", "experts"),
            ("local_layers", "layers"),
            ("coarse_layers", "layers"),
            ("borrowed_layers", "layers"),
            ("ssm_layers", "layers"),
            ("dense_layers", "layers"),
            ("kv_heads", "heads"),
        ):
            self._at_most(name, limit)
        if np.any(np.mod(self.heads, self.kv_heads)):
            raise ValueError(
                f"{self.name}: kv_heads must divide heads ({self.heads!r}), got {self.kv_heads!r}"
                + _nearest_divisor(self.heads, self.kv_heads)
            )
        if np.any(np.greater(self.params, MOST_PARAMS)):
            raise ValueError(f"{self.name}: params must be at most {MOST_PARAMS:g}, got {np.max(self.params):g}")

    def _need(self, what, names):
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"{self.name}: {what} needs {name}, which is missing")

    def _at_most(self, name, limit):
        value, most = getattr(self, name), getattr(self, limit)
        if value is not None and most is not None and np.any(np.greater(value, most)):
            told = f"{name} must be at most {limit}, got {shown(value)}; the nearest is {shown(most)}"
            raise ValueError(f"{self.name}: {told}")

    @property
    def attention_params(self):
        r"""Weights of one attention: queries, keys and values, output.

        $$N_a = d\,h\,v + 2\,d\,k\,v + h\,v\,d$$  (eq:attention-params)

        d  width        values of a token           [-]
        h  heads        query heads                 [-]
        k  kv_heads     key-value heads             [-]
        v  head_values  values of one head          [-]

        Multi-head attention has k = h, multi-query attention k = 1, grouped-query attention lies
        between. For latent attention see eq:latent-attention-params.

        Holds for: matrices alone, no biases. Source: definition.
        """
        if self.attention == "MLA":
            return self.latent_attention_params
        queries = self.heads * self.head_values
        relative = self.width * queries if self.attention == "MHA-XL" else 0
        return 2 * self.width * queries + 2 * self.width * self.kv_width + relative + self.index_params

    @property
    def latent_attention_params(self):
        r"""Weights of one latent attention, which squeezes queries, and keys with values, through a rank.

        $$N_a = d\,r_q + r_q\,h\,(u + p) + d\,(r + p) + r\,h\,(u + v) + h\,v\,d$$  (eq:latent-attention-params)

        d    width           values of a token                                   [-]
        h    heads           heads                                               [-]
        r_q  q_lora_rank     rank of the queries; without it they are d h (u+p)  [-]
        r    kv_lora_rank    rank of keys and values                             [-]
        u    qk_nope_values  values of a key without position                    [-]
        p    qk_rope_values  values of a key with position, shared by the heads  [-]
        v    v_head_values   values of a head's value                            [-]

        Holds for: matrices alone, no biases. Source: deepseek2024v3.
        """
        width, queries = self.width, self.heads * self.head_values
        rank, values = self.kv_lora_rank, self.heads * self.v_head_values
        squeezed = width * queries if self.q_lora_rank is None else self.q_lora_rank * (width + queries)
        widened = rank * (self.heads * self.qk_nope_values + values)
        return squeezed + width * (rank + self.qk_rope_values) + widened + values * width + self.index_params

    @property
    def index_params(self):
        """Weights of one index: its queries, its key and the weights of its heads."""
        if self.index_keys is None:
            return 0
        queries = (self.q_lora_rank or self.width) * self.index_heads * self.index_values
        return queries + self.width * (self.index_values + self.index_heads)

    @property
    def kv_width(self):
        """Values of a token's keys, and of its values, in a layer without latent attention."""
        return self.kv_heads * self.head_values

    @property
    def ffn_params(self):
        r"""Weights of one plain feed-forward, of inner width f.

        $$N_f = m\,d\,f$$  (eq:ffn-params)

        m  ffn_matrices  3 with a gate, 2 without  [-]
        d  width         values of a token         [-]
        f  ffn_width     inner width               [-]

        Holds for: matrices alone, no biases. Source: definition.
        """
        return 0 if self.ffn_width is None else self.ffn_matrices * self.width * self.ffn_width

    @property
    def expert_params(self):
        """Weights of one expert: eq:ffn-params with the expert's widths."""
        if self.experts is None:
            return 0
        return self.ffn_matrices * self.routed_width * self.expert_width

    @property
    def routed_width(self):
        """Values of a token as its experts see it."""
        return self.latent_width or self.width

    @property
    def shared_params(self):
        """Weights of the shared experts of one layer, which every token visits."""
        if self.experts is None:
            return 0
        return self.shared_experts * self.ffn_matrices * self.width * self.expert_width

    @property
    def router_params(self):
        """Weights of one router, which scores every expert for a token, and of the way to a latent and back."""
        if self.experts is None:
            return 0
        return self.width * (self.experts + 2 * (self.latent_width or 0))

    @property
    def mixture_params(self):
        r"""Weights of one layer's mixture of experts; of these a token meets k experts in place of E.

        $$N_m = (E + s)\,N_e + d\,E, \qquad N_m^{\mathrm{active}} = (k + s)\,N_e + d\,E$$  (eq:mixture-params)

        E    experts            experts of a layer       [-]
        s    shared_experts     visited by every token   [-]
        k    experts_per_token  chosen for a token       [-]
        N_e  expert_params      weights of one expert    [-]
        d    width              values of a token        [-]

        Holds for: a linear router and experts of one size. Source: deepseek2024v3.
        """
        return self._mixture(self.experts)

    def _mixture(self, met):
        if self.experts is None:
            return 0
        return met * self.expert_params + self.shared_params + self.router_params

    @property
    def layer_params(self):
        """Weights of one layer that multiply; of a mixture's layer, with all its experts."""
        return self.attention_params + (self.ffn_params if self.experts is None else self.mixture_params)

    @property
    def head_params(self):
        """Weights of the output head; the input embedding is looked up and does not multiply."""
        return self.vocab * self.width

    @property
    def embedding_params(self):
        """Weights of the input embedding, none where it is the output head."""
        return (1 - self.tied_embeddings) * self.head_params

    @property
    def block_params(self):
        r"""Weights of all layers that multiply.

        $$N = (\ell - \ell_s)\,N_a + \ell_s\,N_s + \ell_d\,N_f + (\ell - \ell_d)\,N_m$$  (eq:block-params)

        \ell    layers            layers                                      [-]
        \ell_s  ssm_layers        of these, with a recurrence for attention   [-]
        \ell_d  dense_layers      of these, with a plain feed-forward         [-]
        N_a     attention_params  weights of one attention                    [-]
        N_s     ssm_layer_params  weights of one recurrence                   [-]
        N_f     ffn_params        weights of one feed-forward                 [-]
        N_m     mixture_params    weights of one mixture                      [-]

        A dense model has l_d = l. An encoder adds its layers, and to each decoder layer an attention.

        Holds for: matrices alone, without embeddings. Source: definition.
        """
        return self._blocks(self.experts)

    @property
    def active_block_params(self):
        """eq:block-params with the experts that one token meets: what a decode step multiplies by."""
        return self._blocks(self.experts_per_token)

    def _blocks(self, met):
        dense = self.layers if self.experts is None else self.dense_layers
        cross = self.encoder_layers > 0
        attentions = self.layers * (1 + cross) - self.ssm_layers
        encoder = self.encoder_layers * (self.attention_params + self.ffn_params)
        recurrent = self.ssm_layers * (self.ssm_layer_params or 0)
        return (
            attentions * self.attention_params
            - self.borrowed_layers * 2 * self.width * self.kv_width
            + recurrent
            + dense * self.ffn_params
            + (self.layers - dense) * self._mixture(met)
            + encoder
        )

    @property
    def params(self):
        """All weights: eq:block-params, the output head and the input embedding."""
        return self.block_params + self.head_params + self.embedding_params

    @property
    def active_params(self):
        """Of `params`, those of the experts that one token meets and everything else."""
        return self.active_block_params + self.head_params + self.embedding_params


def _nearest_divisor(heads, kv_heads):
    if np.ndim(heads) or np.ndim(kv_heads):
        return ""
    divisors = [k for k in range(1, int(heads) + 1) if heads % k == 0]
    return f"; the nearest is {min(divisors, key=lambda k: abs(k - kv_heads))}"


def models():
    """Every model of the catalog: name -> Model, in the file's order."""
    return dict(_catalog())


def model(name):
    """The model of that name; spelling is forgiven, ambiguity is not.

    >>> model("llama3 8b").name
    'Llama-3-8B'
    """
    found = find_model(name)
    if found:
        return _catalog()[found]
    several = [n for n in _catalog() if _fold(name) and _fold(n).startswith(_fold(name))]
    if several:
        raise ValueError(f"model {name!r} could be {', '.join(several)}")
    raise ValueError(f"model {name!r} is unknown{why_unknown(name)} `bottlenecks models` lists them all")


def find_model(name):
    """The catalog's name for a model as people write it, or None.

    A name resolves by its parts (`model_names`): organisations and suffixes are dropped, and a size that it states
    must be within 12 % of the shape's.

    >>> find_model("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"), find_model("DeepSeek-R1-Distill-Llama-70B")
    ('Qwen3-30B-A3B', 'Llama-3-70B')
    """
    return data.spellings("models", _fold).get(_fold(name)) or model_names.found_by(name, _sizes())


def why_unknown(name):
    """What to say of a name that no model has: the one that was meant, models of its family, or a full stop.

    >>> why_unknown("Llamma-3-8B"), why_unknown("Yi-6B"), why_unknown("Unheard-34B")
    ("; did you mean 'Llama-3-8B'?", '; of that family there are: Yi-34B.', '.')
    """
    return model_names.told(name, _sizes())


@cache
def _sizes():
    """Name -> (parameters, those that a token meets, experts)."""
    return {name: (float(m.params), float(m.active_params), m.experts) for name, m in _catalog().items()}


def _fold(name):
    """Spelling without case, punctuation (but 1.3B is not 13B) and the suffixes of chat versions."""
    if not isinstance(name, str):
        raise ValueError(f"model must be a name, got {name!r}")
    text = re.sub(r"[-_ ](instruct|chat|it|hf)$", "", name.casefold().strip())
    return re.sub(r"[^a-z0-9.]", "", text)


@cache
def _catalog():
    return {row["name"]: _model_from_row(row) for row in data.rows("models")}


def _model_from_row(row):
    return Model(
        name=row["name"],
        attention=row["attention"],
        **{c: int(row[c]) for c in COUNTS if row[c]},
        **{c: row[c] == "yes" for c in YES_OR_NO},
        stored_format=row["stored_format"],
        published_params=float(row["params"]) if row["params"] else None,
        published_active_params=float(row["active_params"]) if row["active_params"] else None,
        training_tokens=float(row["training_tokens"]) if row["training_tokens"] else None,
        sources=data.keys(row["sources"]),
        confidence=row["confidence"],
        unconfirmed=data.keys(row["unconfirmed"]),
        notes=row["notes"],
    )
