"""Questions asked of a ledger: as a table, against a chip's ridge, against the rules of thumb."""

import numpy as np

from bottlenecks.facts import tables
from bottlenecks.facts.architectures import find_model
from bottlenecks.facts.architectures import model as find
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import counting, shares
from bottlenecks.models import kernels, ops

PHASES = ("forward", "backward", "prefill", "decode")


def phase(model, name, *, batch, tokens, format="bf16"):
    """Rows of one phase: forward and backward of training, a prefill, or one decode step."""
    if name == "decode":
        return ops.decode(model, batch=batch, context_tokens=tokens, format=format)
    if name == "prefill":
        return ops.prefill(model, batch=batch, prompt_tokens=tokens, format=format)
    rows = ops.forward(model, batch=batch, queries=tokens, format=format)
    return rows if name == "forward" else ops.backward(rows)


def table(rows, chip, *, format="bf16"):
    """Rows of a table: each operation's work, its intensity, and which side of the ridge it is on.

    The cache has a column where an operation reads or writes one.
    """
    ridge = ops.ridge_flop_per_byte(chip, format=format)
    whole, cached = ops.total(rows), ops.total(rows, "cache_bytes") > 0
    return [
        {
            "operation": row.name,
            "calls": int(row.calls),
            "FLOP": si(row.flop, "FLOP") if row.flop else "0",
            "of all": f"{row.flop / whole:.1%}",
            "weights": si(row.weight_bytes, "B") if row.weight_bytes else "",
            "activations": si(row.activation_bytes, "B") if row.activation_bytes else "",
            **({"cache": si(row.cache_bytes, "B") if row.cache_bytes else ""} if cached else {}),
            "FLOP/B": plain(ops.intensity_flop_per_byte(row), 3),
            "bound by": "arithmetic" if ops.intensity_flop_per_byte(row) > ridge else "memory",
        }
        for row in rows
    ]


def merged(rows, device=None):
    """Columns, one entry for each operation: rows of one name together, a gradient under its forward's.

    The two gradients of a product have its operations and its bytes, so nothing is lost. With a
    `kernels.Device` also the seconds that the operations take on it.
    """
    together = {}
    for row in rows:
        together.setdefault(_plain_name(row), []).append(row)
    kinds = ("flop", "weight_bytes", "activation_bytes", "cache_bytes")
    table = {"operation": np.array(list(together))} | {
        kind: np.array([float(ops.total(found, kind)) for found in together.values()]) for kind in kinds
    }
    table["bytes"] = sum(table[kind] for kind in kinds[1:])
    if device is not None:
        table["time_s"] = np.array([float(kernels.ledger_s(found, device)) for found in together.values()])
    return table


def _plain_name(row):
    name = row.name.partition(" (causal")[0]
    for gradient in (", input gradient", ", weight gradient", ", gradient"):
        name = name.removesuffix(gradient)
    return name


def per_token(model, name, *, batch, tokens, format="bf16"):
    """Operations and bytes of one phase for each token that it takes in: (FLOP, bytes)."""
    rows = phase(model, name, batch=batch, tokens=tokens, format=format)
    done = batch * (1 if name == "decode" else tokens)
    return ops.total(rows) / done, ops.total(rows, "bytes") / done


def phases_table(model, *, batch, tokens, chip, format="bf16"):
    """Rows of a table: the phases of one model side by side."""
    ridge = ops.ridge_flop_per_byte(chip, format=format)
    lines = []
    for name in PHASES:
        rows = phase(model, name, batch=batch, tokens=tokens, format=format)
        flop, moved = ops.total(rows), ops.total(rows, "bytes")
        above = sum(r.flop for r in rows if ops.intensity_flop_per_byte(r) > ridge) / flop
        lines.append(
            {
                "phase": name,
                "tokens": plain(batch * (1 if name == "decode" else tokens), 5),
                "FLOP": si(flop, "FLOP"),
                "bytes": si(moved, "B"),
                "FLOP/B": plain(flop / moved, 3),
                "FLOP in operations above the ridge": f"{above:.0%}",
            }
        )
    return lines


def training_flop_per_token(model, *, tokens, causal="half"):
    """Operations of training on one token of sequences of `tokens`: products of matrices alone."""
    rows = ops.training_step(model, batch=1, tokens=tokens, causal=causal, update=False)
    return ops.total(ops.products(rows)) / tokens


def over_six_n_d(model, *, tokens, causal="half", params=None):
    """Counted training operations over 6 N D, with N all active parameters unless another is given."""
    params = model.active_params if params is None else params
    return training_flop_per_token(model, tokens=tokens, causal=causal) / counting.six_n_d_flop(params, 1)


def rules_table(names, *, tokens):
    """Rows of a table: the ledger's training operations a token over each rule of thumb."""
    lines = []
    for name in names:
        m = find(name)
        counted = training_flop_per_token(m, tokens=tokens)
        multiply = multiplying_params(m)
        palm = counting.palm_flop(
            multiply, 1, layers=m.layers, heads=m.heads, head_values=m.head_values, context_tokens=tokens
        )
        lines.append(
            {
                "model": m.name,
                "counted, a token": si(counted, "FLOP"),
                "over 6N, all": f"{counted / counting.six_n_d_flop(m.params, 1):.2f}",
                "over 6N, active": f"{counted / counting.six_n_d_flop(m.active_params, 1):.2f}",
                "over 6N, that multiply": f"{counted / counting.six_n_d_flop(multiply, 1):.2f}",
                "over PaLM's": f"{counted / palm:.2f}",
            }
        )
    return lines


def resource_shares(rows, chip, *, format="bf16"):
    """Shares of the time that `rows` take on a chip (eq:shares), by resource."""
    device = kernels.device(chip, format)
    return shares.shares(lambda d: kernels.ledger_s(rows, d), device, kernels.RESOURCES)


def parameters_by_part(model):
    """Part -> parameters: attention, feed-forward met and not met by a token, embedding, head."""
    met = model.active_block_params
    attention = model.attention_params * (model.layers - model.ssm_layers) * (1 + (model.encoder_layers > 0))
    attention = attention + model.ssm_layers * (model.ssm_layer_params or 0)
    return {
        "attention": attention,
        "feed-forward": met - attention,
        "experts not met": model.block_params - met,
        "output head": model.head_params,
        "embedding": model.embedding_params,
    }


def multiplying_params(model):
    """Parameters that multiply for a token: those of its layers and the output head."""
    return model.active_block_params + model.head_params


def fetched_bytes_per_token(model, tokens, *, format="bf16"):
    """Weights that a pass of `tokens` tokens fetches, for each of them: (model's, a dense model's).

    The dense model has as many parameters that multiply for a token.
    """
    tokens = np.asarray(tokens, dtype=float)
    rows = ops.decode(model, batch=tokens, context_tokens=1, format=format)
    dense = ops.weights_pass(multiplying_params(model), tokens, weight_bytes=bytes_per_value(format))
    return ops.total(rows, "weight_bytes") / tokens, dense.bytes / tokens


def touched_share(model, tokens):
    """Share of a mixture's experts that a pass of `tokens` tokens fetches from memory."""
    return (
        counting.experts_touched(model.experts, model.experts_per_token, np.asarray(tokens, dtype=float))
        / model.experts
    )


def tokens_touching(model, *, share):
    """Tokens of a pass at which a share of a mixture's experts is touched (eq:experts-touched solved)."""
    return np.log(1 - share) / np.log(1 - model.experts_per_token / model.experts)


def reported_table():
    """Rows of a table: operations that published runs report, against 6ND, 8ND and the ledger.

    The ledger is of sequences of at most 8,192 tokens: longer contexts come in a last, short phase.
    """
    runs, lines = tables.table("training_runs"), []
    for i in np.flatnonzero(np.isfinite(runs["reported_flop"] + runs["tokens"])):
        name = find_model(str(runs["model"][i]))
        active = runs["active_params"][i]
        params = active if np.isfinite(active) else runs["params"][i]
        six = counting.six_n_d_flop(params, runs["tokens"][i]) / runs["reported_flop"][i]
        counted = np.nan
        if name:
            m = find(name)
            per_token = training_flop_per_token(m, tokens=min(m.context_tokens or 2048, 8192))
            counted = per_token * runs["tokens"][i] / runs["reported_flop"][i]
        lines.append(
            {
                "run": str(runs["model"][i]),
                "tokens": f"{plain(runs['tokens'][i] / 1e9)} billion",
                "reported": f"{runs['reported_flop'][i]:.3g} FLOP",
                "6ND / reported": f"{six:.2f}",
                "8ND / reported": f"{six * 8 / 6:.2f}",
                "ledger / reported": f"{counted:.2f}" if np.isfinite(counted) else "no shape",
            }
        )
    return lines


def one_layer(rows):
    """Rows of one layer: the ledger's rows that are repeated in every layer, counted once."""
    return [
        row._replace(
            flop=row.flop / row.calls,
            weight_bytes=row.weight_bytes / row.calls,
            activation_bytes=row.activation_bytes / row.calls,
            cache_bytes=row.cache_bytes / row.calls,
            calls=1,
        )
        for row in rows
        if row.part in ("attention", "feed-forward")
    ]


def tokens_at(model, *, over_six_n_d):
    """Length of a sequence at which training takes so many times 6ND: attention is linear in it."""
    short, long = (training_flop_per_token(model, tokens=t) for t in (1, 100_001))
    wanted = over_six_n_d * counting.six_n_d_flop(model.active_params, 1)
    return 1 + (wanted - short) / (long - short) * 100_000
