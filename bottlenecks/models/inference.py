r"""Inference: a prefill and a decode step, on a chip or cut over many, and what a server makes of them.

A `Server` is what one copy of a model runs on: chips as kernels find them, the wires between them and
the software. A `Plan` says how the model is cut and in which formats. A pass is the ledger of `ops`,
each row cut to one chip's part and timed by `kernels`, with the collectives between the rows by
`collectives`. Batch, context and any field of a server or a plan's layout may be arrays.
"""

from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.chips import bytes_per_value
from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.networks import Tier, systems
from bottlenecks.laws import counting, tiling
from bottlenecks.models import collectives, engines, footprint, kernels, ops
from bottlenecks.models.software import SERVER, Software

HOST_LINK = "PCIe 4.0 x16"
PART = 1024  # tokens of a prompt's part on a pipeline
CHUNK = 8192  # tokens of prompts that a server reads in one pass
UNPACK = 8  # instructions to widen a weight: mask, shift, convert, scale, and their indices
HELD_BACK = 0.9  # share of a chip's memory that servers give to weights and cache together
COLUMNS = (  # products whose columns are dealt to tensor-parallel chips; the others': rows, groups
    "queries, keys, values",
    "queries",
    "queries, widened",
    "keys and values, widened",
    "gate and up",
    "up",
    "logits",
    "recurrence (by its weights)",
)
ROWS = ("attention output", "down")
GROUPS = ("queries into the latent", "values out of the latent")
DIVIDED = ("activation", "rotary positions")  # elementwise rows whose values are dealt
ROUTED = ("experts: ", "dispatch to experts", "combine experts")


# ---- laws


def latency_floor_s(weight_bytes, *, chips, bytes_per_s):
    r"""Least time of a decode step: the weights, read once, by all chips together.

    $$T \ge \frac{M}{n\,W}$$  (eq:latency-floor)

    M  weight_bytes  weights that a token uses          [B]
    n  chips         chips that share them              [-]
    W  bytes_per_s   memory bandwidth of one chip       [B/s]

    Holds for: weights cut evenly, one sequence, nothing kept on the chip between two tokens; cache,
    exchange and starts come on top. What moves it: fewer bytes a weight, fewer active experts, more
    chips, more tokens a pass (eq:speculative-tokens).
    Source: counting; pope2022, section 2.

    >>> round(latency_floor_s(141e9, chips=8, bytes_per_s=3.35e12) * 1e3, 2)
    5.26
    """
    return weight_bytes / (chips * bytes_per_s)


def speculative_tokens(acceptance, *, drafted):
    r"""Tokens that one pass of the large model yields when a small one has drafted some.

    $$E = \frac{1 - a^{\gamma + 1}}{1 - a}$$  (eq:speculative-tokens)

    a  acceptance  chance that a drafted token is taken   [-]
    γ  drafted     tokens drafted for a pass              [-]

    Holds for: drafts taken independently with the same chance; at a = 1 it is γ + 1.
    Source: leviathan2023, equation 1.

    >>> float(speculative_tokens(0.5, drafted=1))
    1.5
    """
    taken = np.minimum(acceptance, 1 - 1e-9)  # at 1 the quotient is 0 over 0
    return (1 - taken ** (drafted + 1)) / (1 - taken)


# ---- records


@dataclass(frozen=True, kw_only=True, eq=False)
class Server(kernels.Device):
    """Chips that serve a model: a `Device` of 16-bit kernels, and what else a step depends on.

    Base SI; any number may be an array, to sweep it.
    """

    product_format: str  # in which weights are multiplied
    product_flop_per_s: float
    memory_bytes: float  # of one chip
    tiers: tuple = ()  # of the network, innermost first; empty: no second chip
    reached: collectives.Efficiency = field(default_factory=collectives.Efficiency)
    links: float = 1.0  # factor on the tiers' bandwidths
    waits: float = 1.0  # factor on their latencies
    experts_times: float = 1.0  # time of routed experts over that of as many dense products
    takes_turns: bool = False  # weights' traffic and arithmetic, which overlap elsewhere
    # The host prepares the next step while the chips work: the longer of the two counts.
    host_step_s: float = 0.0
    host_sequence_s: float = 0.0  # more of it for each sequence


RESOURCES = kernels.RESOURCES | {  # who owns a step's second, for `shares`
    "compute": f"{kernels.RESOURCES['compute']} product_flop_per_s",
    "network": "links link_bytes_per_s host_bytes_per_s",
    "latency": "/fixed_s light_s tile_s waits host_step_s host_sequence_s",
}


def server(chip, format="bf16", *, tiers=None, experts_times=1.0, host_step_s=0.0, host_sequence_s=0.0):
    """A `Server` of chips that multiply in `format`; tiers of the first system with that chip."""
    wide = next((f for f in (format, "bf16", "fp16") if f in chip.peaks and bytes_per_value(f) == 2), None)
    wide = wide or next(iter(chip.peaks), format)
    device = kernels.device(chip, wide)
    return Server(
        **{f.name: getattr(device, f.name) for f in fields(device)},
        product_format=format,
        product_flop_per_s=kernels.device(chip, format).matmul_flop_per_s,
        memory_bytes=chip.memory_bytes,
        tiers=tiers_of(chip) if tiers is None else tiers,
        reached=collectives.fitted(),
        experts_times=experts_times,
        takes_turns=chip.kind == "TPU",
        host_step_s=host_step_s,
        host_sequence_s=host_sequence_s,
    )


def tiers_of(chip):
    """Tiers of the first system of the catalog with a chip; else its own link, or the host's."""
    kin = (each.tiers for each in systems().values() if each.chip and each.chip.name == chip.name)
    found = next((tiers for tiers in kin if tiers), ())
    if found:
        return found
    cluster = Tier(name="cluster", ranks=None, bytes_per_s=25e9, link="InfiniBand HDR")
    if chip.link_bytes_per_s:
        return Tier(name="node", ranks=8, bytes_per_s=chip.link_bytes_per_s), cluster
    host = next((v.bytes_per_s for v in chip.levels if v.name == "host link"), None) or 25e9
    return Tier(name="host", ranks=8, bytes_per_s=host, link=HOST_LINK), replace(cluster, bytes_per_s=min(25e9, host))


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How a model is cut over chips to serve, and in which formats it is kept."""

    tp: int = 1  # tensor parallel: heads and columns
    pp: int = 1  # pipeline stages
    ep: int = 1  # experts cut over groups of tp chips, each of which serves its own sequences
    weight_format: str = "bf16"
    head_format: str | None = None  # of the output head; None: as the other weights
    cache_format: str = "bf16"
    # "2-D": weights cut both ways, the cache by sequences; "gathered": tokens cut, weights fetched
    stationary: str = "1-D"
    parallel_block: bool = False  # attention and feed-forward side by side, one reduction for both
    overlap: float = 0.0  # share of the exchange that runs beside kernels
    software: Software = SERVER  # which runs a model's rows as they are

    def __post_init__(self):
        for name in ("tp", "pp", "ep"):
            positive(f"Plan.{name}", getattr(self, name))
        one_of("Plan.stationary", self.stationary, ("1-D", "2-D", "gathered"))

    @property
    def chips(self):
        """Chips of the plan."""
        return self.tp * self.pp * self.ep


class Pass(NamedTuple):
    """Seconds of one pass through a model, by what it waits for. All stages, one after the other."""

    layers_s: float
    ends_s: float  # embedding, head
    exchange_s: float  # collectives of the layers
    transfer_s: float  # between stages
    host_s: float  # of the host's own work, what outlasts the chips'

    @property
    def seconds(self):
        """From start to end, through all stages."""
        return sum(self)


# ---- one pass


def rows(model, plan, server, *, batch, queries, keys, logits="last", only_attention=False):
    """The ledger of a pass, cut to one chip's part; `batch` counts the sequences of a group of tp x pp chips."""
    made = {
        "queries": queries,
        "keys": keys,
        "logits": logits,
        "format": server.format,
        "weight_format": plan.weight_format,
        "cache_format": plan.cache_format,
        "absorbed": np.max(queries) <= kernels.DECODING,
    }
    whole = ops.forward(model, batch=batch, **made)
    if only_attention:
        return _run(whole, model, plan, server, lambda op: op.kind == "attention")
    if model.experts is not None and np.any(np.greater(plan.ep, 1)):
        # Experts see the tokens of all groups.
        every = ops.forward(model, batch=batch * plan.ep, **made)
        whole = [b if b.name.startswith("experts: ") else a for a, b in zip(whole, every, strict=True)]
    if plan.parallel_block:  # one norm and one sum for both
        whole = [op for op in whole if (op.name, op.part) not in _SECOND]
    return _run(whole, model, plan, server)


def _run(whole, model, plan, server, kept=lambda op: True):
    """One chip's part of some rows, as the kernels that the plan's software runs."""
    cut = [_cut(op, model, plan, server) for op in whole if kept(op)]
    return [each for op in cut for each in engines.kernels(op, model, plan.software)]


_SECOND = (("feed-forward norm", "feed-forward"), ("residual add", "attention"))


def _cut(op, model, plan, server):
    """One chip's part of a row."""
    expert = op.name.startswith("experts: ")
    name = op.name.removeprefix("shared ").removeprefix("experts: ")
    tp, shape = plan.tp, op.shape
    if plan.stationary == "gathered":
        return _tokens_cut(op, plan, server)
    if op.kind == "attention":
        if plan.stationary == "2-D":
            return _scaled(op, batch=shape["batch"] / tp, share=1 / tp)
        kv_heads = np.maximum(shape["kv_heads"], tp) / tp
        cut = _scaled(op, heads=shape["heads"] / tp, kv_heads=kv_heads, share=1 / tp)
        return cut._replace(cache_bytes=op.cache_bytes * kv_heads / shape["kv_heads"])
    if op.kind == "elementwise":
        parts = tp if name in DIVIDED or plan.stationary == "2-D" else 1
        parts = parts * plan.ep if expert else parts
        moved = shape["moved_bytes"] / parts
        return op._replace(
            flop=op.flop / parts, activation_bytes=op.activation_bytes / parts, shape=shape | {"moved_bytes": moved}
        )
    m, k, n, groups = (shape[c] for c in ("m", "k", "n", "groups"))
    if plan.stationary == "2-D" and op.name != "router":
        x = _rows_of_chips(model, tp)
        k, n = (k / x, n * x / tp) if name in COLUMNS else (k * x / tp, n / x)
    elif name == "queries, keys, values":
        copied = np.maximum(model.kv_heads, tp) / tp - model.kv_heads / tp
        n = n / tp + 2 * copied * model.head_values
    elif name in COLUMNS:
        n = n / tp
    elif name in ROWS:
        k = k / tp
    elif name in GROUPS:
        groups = groups / tp
    if expert:
        groups = groups / plan.ep
    kept = plan.head_format if op.name == "logits" and plan.head_format else plan.weight_format
    wide = op.name == "router" or bytes_per_value(kept) >= 2
    return ops.matmul(
        op.name,
        m,
        k,
        n,
        groups=groups,
        calls=op.calls,
        part=op.part,
        weight_format=kept,
        format=server.format if wide else server.product_format,
    )


def _tokens_cut(op, plan, server):
    """One chip's part of a row when every chip has its own tokens and all of the weights."""
    if op.kind == "attention":
        return _scaled(op, batch=op.shape["batch"] / plan.tp, share=1 / plan.tp)
    if op.kind == "elementwise":
        return _scaled(op, moved_bytes=op.shape["moved_bytes"] / plan.tp, share=1 / plan.tp)
    m, k, n, groups = (op.shape[c] for c in ("m", "k", "n", "groups"))
    return ops.matmul(
        op.name,
        m / plan.tp,
        k,
        n,
        groups=groups,
        calls=op.calls,
        part=op.part,
        weight_format=plan.weight_format,
        format=server.format,
    )


def _scaled(op, *, share, **shape):
    return op._replace(
        flop=op.flop * share,
        activation_bytes=op.activation_bytes * share,
        cache_bytes=op.cache_bytes * share,
        shape=op.shape | shape,
    )


def _rows_of_chips(model, chips):
    """Chips along the model's width when weights are cut both ways: least traffic (pope2022, A.1)."""
    inner = model.ffn_width or model.expert_width
    return 2 ** np.round(np.log2(np.sqrt(chips * model.width / inner)))


def op_s(op, server):
    """Seconds of a cut row on a chip of a server."""
    slower = server.experts_times if op.name.startswith(ROUTED) else 1.0
    return slower * _kernels_s(op, server)


def _kernels_s(op, server):
    if op.kind == "matmul" and op.format != server.format:
        server = replace(server, format=op.format, matmul_flop_per_s=server.product_flop_per_s)
    if op.kind == "matmul" and server.takes_turns:  # eq:no-overlap
        arithmetic, memory = (
            kernels.op_s(op, replace(server, **{rate: np.inf})) for rate in ("memory_bytes_per_s", "matmul_flop_per_s")
        )
        return arithmetic + memory - op.calls * server.fixed_s
    tiled_s = kernels.op_s(op, server)
    if op.kind != "matmul" or np.min(op.shape["m"]) > engines.FEW_ROWS or np.all(np.equal(server.cores, 1)):
        return tiled_s
    vector_s = op.calls * few_rows_s(**op.shape, server=server)
    return np.where(op.shape["m"] <= engines.FEW_ROWS, np.minimum(tiled_s, vector_s), tiled_s)


def few_rows_s(m, k, n, *, groups, weight_bytes, server):
    r"""Seconds of a product of few rows as a matrix-vector kernel: no tile is filled for nothing.

    $$T = T_0 + \left[\left(\frac{m k n}{V}\right)^4 + \left(\frac{w\,k n}{W}\right)^4\right]^{1/4}$$  (eq:few-rows-time)

    T_0      server.fixed_s             time to start and to end                     [s]
    m, k, n  -                          rows, depth, columns                         [-]
    V        server.vector_per_s        multiply-adds on single values a second      [1/s]
    w        weight_bytes               of a stored weight                           [B]
    W        server.memory_bytes_per_s  bandwidth that is reached                    [B/s]

    Holds for: a decode step of up to about eight sequences, on chips whose cores take any work;
    several weights are read for each value of the few rows, whose traffic is left out.
    Source: eq:matmul-flop and eq:matmul-bytes with vector units in place of tiles.
    """
    unpacked = np.where(weight_bytes < server.bytes_per_value, UNPACK, 1)
    busy_s = groups * (m + unpacked) * k * n / server.vector_per_s
    traffic_s = groups * weight_bytes * k * n / server.memory_bytes_per_s
    return server.fixed_s + tiling.overlapped_s(busy_s, traffic_s)


def exchange_s(model, plan, server, *, tokens):
    """Seconds of the collectives of all layers in a pass of `tokens` tokens of each group."""
    wide = bytes_per_value(server.format)
    message = wide * tokens * model.width
    if plan.stationary == "2-D":
        return model.layers * _two_dimensional_s(model, plan, server, tokens=tokens)
    if plan.stationary == "gathered":
        return model.layers * _gathered_s(model, plan, server)
    reductions = (1 if plan.parallel_block else 2) * model.layers
    captured = plan.software.captured
    found = 0.0
    if np.any(np.greater(plan.tp, 1)):
        found = reductions * collective_s("all_reduce", message, plan.tp, server, captured=captured)
    if model.experts is not None and np.any(np.greater(plan.ep, 1)):
        reached = counting.experts_touched(plan.ep, 1, model.experts_per_token)  # other groups
        sent = tokens * model.width * reached / plan.tp
        out = bytes_per_value(server.product_format)
        domain = server.tiers[0].ranks if server.tiers else None  # whose chips groups of tp share
        near = {} if domain is None else {"per_domain": np.clip(domain // plan.tp, 1, plan.ep)}
        there = collective_s("all_to_all", out * sent, plan.ep, server, captured=captured, **near)
        back = collective_s("all_to_all", wide * sent, plan.ep, server, captured=captured, **near)
        found = found + (model.layers - model.dense_layers) * (there + back)
    return found * (1 - plan.overlap)


def _two_dimensional_s(model, plan, server, *, tokens):
    r"""Seconds of a layer's collectives when weights are cut both ways over a torus.

    $$t_a(M, n) = \frac{n - 1}{n}\,\frac{M}{W f} + \tau h, \qquad f = \frac{\log n}{\log N}, \qquad h = \tfrac{3}{2} f\,N^{1/3}$$  (eq:torus-axes)

    M  -                        what the group holds together                         [B]
    n  -                        chips of the group: x along the width, y = N / x      [-]
    N  plan.tp                  chips                                                 [-]
    W  server.link_bytes_per_s  all links of a chip, one direction                    [B/s]
    f  -                        share of the links that lie along the group's axes    [-]
    τ  tier.latency_s           one hop                                               [s]
    h  -                        hops, both ways round each ring at once               [-]

    Holds for: a cube of chips on a 3-D torus with no library between program and wire, so nothing is
    added to a call. In a layer: the width's values are gathered and their sums scattered over y; the
    inner values' sums scattered and the values gathered over x; queries go from heads to sequences
    and results come back, all to all. Parallel blocks do it once for both halves.
    Source: pope2022, section 3.2.2; the bandwidth terms are its equations.
    """
    wide, chips = bytes_per_value(server.format), plan.tp
    x = _rows_of_chips(model, chips)
    y = chips / x
    hop_s = server.waits * (server.tiers[0].latency_s or 1e-6)

    def over(n, message):
        f = np.log2(np.maximum(n, 1)) / np.log2(chips)
        rate = np.maximum(f, 1e-9) * server.link_bytes_per_s
        return np.where(n > 1, (n - 1) / n * message / rate + hop_s * 1.5 * f * np.cbrt(chips), 0.0)

    heads = wide * tokens * model.heads * model.head_values / y
    inner = wide * tokens * (model.ffn_width or model.expert_width) / y
    columns = [inner] * (model.ffn_matrices - 1)
    if plan.parallel_block:  # queries leave with a product's columns, results enter with the values
        columns[0] = columns[0] + heads
        out, blocks = [inner + heads], 1
    else:
        columns, out, blocks = [*columns, heads], [inner, heads], 2
    outer_s = 2 * blocks * over(y, wide * tokens * model.width / x)
    inner_s = sum(over(x, message) for message in (*columns, *out))
    return outer_s + inner_s + 2 * over(chips, heads * y / chips)


def _gathered_s(model, plan, server):
    """Seconds in which a layer's weights, cut over all chips, are gathered by every chip."""
    whole = model.block_params / model.layers * bytes_per_value(plan.weight_format)
    return whole * (plan.tp - 1) / plan.tp / server.link_bytes_per_s


def collective_s(kind, message_bytes, ranks, server, *, captured=True, **options):
    """Seconds of a collective on a server's wires.

    `captured` in a graph, or in a stream that runs ahead, it waits for no call.
    """
    scale = server.links * server.waits  # time is homogeneous in bytes over bandwidth and waits
    if not server.tiers:
        return np.where(np.equal(ranks, 1), 0.0, np.inf)
    found = collectives.collective_time(
        kind,
        message_bytes / scale,
        tiers=server.tiers,
        ranks=ranks,
        efficiency=server.reached,
        launch="queued" if captured else "library",
        **options,
    )
    return server.waits * found.seconds


def one_pass(model, plan, server, *, batch, queries, keys, logits="last"):
    """A `Pass` of `queries` new tokens in each of `batch` sequences of `keys` tokens."""
    attending = attention_s(model, plan, server, batch=batch, queries=queries, keys=keys)
    distinct, places = _distinct(batch, queries, model, plan, server)
    made = {"queries": queries, "keys": queries, "logits": logits}
    layers_s = ends_s = 0.0
    for op in rows(model, plan, server, batch=distinct, **made):
        if op.part == "ends":
            ends_s = ends_s + op_s(op, server)
        elif op.kind != "attention" and op.part != engines.SCORES:
            layers_s = layers_s + op_s(op, server)
    tokens = distinct * queries
    transfer = bytes_per_value(server.format) * tokens * model.width / plan.tp
    transfer_s = 0.0
    if np.any(np.greater(plan.pp, 1)):
        transfer_s = (plan.pp - 1) * collective_s("p2p", transfer, np.minimum(plan.pp, 2), server)
    exchanged_s = exchange_s(model, plan, server, tokens=tokens)
    if places is not None:
        layers_s, ends_s, exchanged_s, transfer_s = (
            each[places] if np.ndim(each) else each for each in (layers_s, ends_s, exchanged_s, transfer_s)
        )
    layers_s = layers_s + attending
    if plan.stationary == "gathered":  # the next layer's weights come while this one computes
        exchanged_s = np.maximum(exchanged_s - layers_s, 0)
    host_s = server.host_step_s + batch * server.host_sequence_s
    exposed_s = np.maximum(host_s - layers_s - ends_s - exchanged_s - transfer_s, 0)
    return Pass(layers_s, ends_s, exchanged_s, transfer_s, exposed_s)


def attention_s(model, plan, server, *, batch, queries, keys):
    """Seconds of the attention of all layers: what alone depends on the context."""
    ledger = rows(model, plan, server, batch=batch, queries=queries, keys=keys, logits="none", only_attention=True)
    return sum((op_s(op, server) for op in ledger), 0.0)


def _distinct(batch, queries, model, plan, server):
    """(distinct batches, where each goes) if a long array repeats few of them, else (batch, None)."""
    swept = any(
        np.ndim(value)
        for record in (model, plan, server)
        for value in vars(record).values()
        if isinstance(value, np.ndarray)
    )
    if np.size(batch) < 4096 or np.ndim(queries) or swept:
        return batch, None
    distinct, places = np.unique(batch, return_inverse=True)
    return (distinct, places.reshape(np.shape(batch))) if 4 * distinct.size < np.size(batch) else (batch, None)


def decode(model, plan, server, *, batch, context):
    """A `Pass` that yields one token for each of `batch` sequences, `context` tokens with the new one."""
    return one_pass(model, plan, server, batch=batch, queries=1, keys=context)


def prefill(model, plan, server, *, batch, prompt, cached=0):
    """A `Pass` over `prompt` tokens of each sequence, beyond `cached` ones that the cache holds."""
    return one_pass(model, plan, server, batch=batch, queries=prompt, keys=prompt + cached)


def decode_s(model, plan, server, *, batch, context):
    """Seconds between two tokens of each of `batch` sequences that start and end together.

    Over pipeline stages the batch goes whole or in as many parts as stages, whichever is sooner.
    """
    whole = decode(model, plan, server, batch=batch, context=context)
    if np.all(np.equal(plan.pp, 1)):
        return whole.seconds
    parts = np.minimum(plan.pp, batch)
    part = decode(model, plan, server, batch=batch / parts, context=context)
    return np.minimum(whole.seconds, _staged_s(part, plan, parts))


def prefill_s(model, plan, server, *, batch, prompt, cached=0):
    """Seconds until `batch` prompts are read, on a pipeline in parts of about `PART` tokens."""
    if np.all(np.equal(plan.pp, 1)):
        return prefill(model, plan, server, batch=batch, prompt=prompt, cached=cached).seconds
    parts = np.clip(np.ceil(batch * prompt / PART), np.minimum(plan.pp, batch), batch)
    part = prefill(model, plan, server, batch=batch / parts, prompt=prompt, cached=cached)
    return _staged_s(part, plan, parts)


def _staged_s(part, plan, parts):
    """Seconds of `parts` passes one behind the other through the stages (a pipeline's fill and drain)."""
    return part.seconds + (parts - 1) * slowest_stage_s(part, plan)


def slowest_stage_s(part, plan):
    """Seconds of a pass on the last stage, which has the head: how often a pipeline yields."""
    layers = (part.layers_s + part.exchange_s) / plan.pp
    sent = part.transfer_s / np.maximum(plan.pp - 1, 1)
    return layers + part.ends_s + sent + part.host_s


# ---- whole requests


class Run(NamedTuple):
    """Seconds of requests that start and end together."""

    prefill_s: float  # until the first token
    decode_s: float  # of all tokens after it

    @property
    def seconds(self):
        """From the first prompt token to the last token of the answer."""
        return self.prefill_s + self.decode_s


def run(model, plan, server, *, batch, prompt, output):
    r"""A `Run` of `batch` sequences: `prompt` tokens read, `output` tokens made.

    $$T = T_p(B, P) + (O - 1)\,\frac{T_d(B, S_-) + T_d(B, S_+)}{2}, \qquad S_\pm = P + \frac{O}{2} \pm \frac{O}{2\sqrt{3}}$$  (eq:run-time)

    T_p  prefill_s      reading the prompts, which yields the first token   [s]
    T_d  decode_s       one step at a length of the context                 [s]
    B    batch          sequences                                           [-]
    P    prompt         tokens of a prompt                                  [-]
    O    output         tokens of an answer                                 [-]

    Holds for: requests that start and end together. A step's time grows with the context in smooth
    pieces, so two points (Gauss's) stand for the sum over all steps.
    Source: counting; Gauss quadrature of two points is exact up to the third power.
    """
    first = prefill_s(model, plan, server, batch=batch, prompt=prompt)
    middle, half = prompt + output / 2, output / 12**0.5
    ends = (np.maximum(middle + sign * half, 1) for sign in (-1, 1))
    steps = [decode_s(model, plan, server, batch=batch, context=context) for context in ends]
    return Run(first, np.maximum(output - 1, 0) * (steps[0] + steps[1]) / 2)


class Load(NamedTuple):
    """What a server sustains when requests never run out."""

    tokens_per_s: float  # made, by all chips of the plan
    token_s: float  # between two tokens of a sequence
    batch: float  # sequences at once, of each group of tp x pp chips


def largest_batch(model, plan, server, *, context, held_back=HELD_BACK):
    """Sequences of `context` tokens that the memory of a group of chips holds beside the weights."""
    serving = footprint.Serving(
        tp=plan.tp,
        pp=plan.pp,
        ep=plan.ep,
        context=context,
        cache_bytes=bytes_per_value(plan.cache_format),
        weight_bytes=bytes_per_value(plan.weight_format),
    )
    return footprint.largest_batch(model, serving, memory_bytes=held_back * server.memory_bytes)


def saturated(model, plan, server, *, batch, prompt, output):
    r"""A `Load` of `batch` sequences in flight: who ends makes room for the next prompt.

    $$X = \frac{B\,O}{O\,T_d(B, P + O/2) + B\,T_p/b}$$  (eq:saturated-throughput)

    B    batch          sequences in flight                                    [-]
    O    output         tokens of an answer                                    [-]
    P    prompt         tokens of a prompt                                     [-]
    T_d  decode_s       one step, contexts spread evenly from P to P + O       [s]
    T_p  prefill_s      one pass over the prompts of b sequences               [s]
    b    CHUNK / P      prompts in a pass, at least one                        [-]

    Holds for: requests of one size, always another waiting. Prompts are read by the same chips
    between decode steps, or beside them in one pass, which saves little once the weights' traffic
    is hidden. A pipeline has as many parts of the batch under way as stages.
    Source: counting over one turnover of the batch.
    """
    parts = np.minimum(plan.pp, batch)
    step = decode(model, plan, server, batch=batch / parts, context=prompt + output / 2)
    token_s = np.where(
        np.equal(plan.pp, 1), step.seconds, np.maximum(step.seconds, parts * slowest_stage_s(step, plan))
    )
    together = np.maximum(1, CHUNK / prompt)
    read = prefill(model, plan, server, batch=together, prompt=prompt)
    read_s = np.where(np.equal(plan.pp, 1), read.seconds, slowest_stage_s(read, plan)) / together
    turnover_s = output * token_s + batch * read_s
    return Load(plan.ep * batch * output / turnover_s, turnover_s / output, batch)


def speculative_s(model, draft, plan, server, *, batch, context, acceptance, drafted):
    """Seconds a token when `draft` proposes `drafted` tokens and the model checks them in one pass.

    Time of a round over eq:speculative-tokens.
    """
    drafting = drafted * decode(draft, plan, server, batch=batch, context=context).seconds
    queries = drafted + 1
    checked = one_pass(model, plan, server, batch=batch, queries=queries, keys=context + drafted)
    return (drafting + checked.seconds) / speculative_tokens(acceptance, drafted=drafted)


def frontier(model, plan, server, *, prompt, output, batches):
    """Throughput against latency: {batch, token_s, tokens_per_s_per_chip}, points that no other beats."""
    batches = np.asarray(batches, dtype=float)
    load = saturated(model, plan, server, batch=batches, prompt=prompt, output=output)
    fits = batches <= largest_batch(model, plan, server, context=prompt + output)
    order = np.lexsort((-load.tokens_per_s, load.token_s))
    order = order[np.broadcast_to(fits, batches.shape)[order]]
    best = np.maximum.accumulate(load.tokens_per_s[order])
    kept = order[load.tokens_per_s[order] >= best]
    return {
        "batch": batches[kept],
        "token_s": load.token_s[kept],
        "tokens_per_s_per_chip": load.tokens_per_s[kept] / plan.chips,
    }
