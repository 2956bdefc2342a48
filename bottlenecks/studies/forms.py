"""Forms of attention on one and the same body: what each takes from which bill, from which context it pays, what it loses."""

from dataclasses import replace
from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.models import cache as caches
from bottlenecks.models import ops

BODY = "Llama-3-8B"  # 32 layers of 4,096 values, 32 heads of 128
TODAY = "keys for groups of 4 heads"  # the form that others are held against
COSTS = ("operations", "read", "kept")
CONTEXTS = np.round(2.0 ** np.arange(7, 22.01, 0.25))


@cache
def forms():
    """{form: the body with that form of attention}; the fields of a row that are given replace the body's."""
    found = {}
    for row in data.rows("attention_forms"):
        given = {n: row[n] for n in row if n not in ("form", "kind", "used_by", "sources") and row[n]}
        fields = {n: text if n == "attention" else int(text) for n, text in given.items()}
        found[row["form"]] = replace(model(BODY), name=row["form"], **fields)
    return found


def about(what):
    """{form: a column of its row}."""
    return {row["form"]: row[what] for row in data.rows("attention_forms")}


def _mixing(rows):
    return [op for op in rows if op.kind == "attention" or op.name in ("choice of keys", "state")]


def costs(m, context):
    """What a form asks for at a context: {operations, read, kept}.

    operations  of the mean token of a prompt, in all layers: pairs, an index's scores, a state's updates
    read        bytes that a decode step of one sequence reads of keys, values, index and states, and writes of states
    kept        bytes of a sequence in the cache and in states
    """
    context = np.asarray(context, dtype=float)
    prompt = _mixing(ops.forward(m, batch=1, queries=context, logits="none"))
    step = _mixing(ops.decode(m, batch=1, context_tokens=context, logits="none"))
    state = 4 * m.ssm_layers * (m.state_values or 0)
    return {
        "operations": sum(op.flop for op in prompt if op.name != "choice of keys") / context,
        "read": sum(op.cache_bytes for op in step) + 2 * state,
        "kept": caches.context_bytes(m, context) + state,
    }


def of_usual(form, cost, context=131072.0):
    """One of the `costs` of a form, over that of today's usual one.

    >>> of_usual(TODAY, "kept")
    1.0
    """
    every = forms()
    return float(costs(every[form], context)[cost] / costs(every[TODAY], context)[cost])


@cache
def pays_from():
    """{form: {cost: context from which it is below today's usual form}}: 0 where always, infinite where never up to 4M."""
    usual = costs(forms()[TODAY], CONTEXTS)
    found = {}
    for name, m in forms().items():
        mine = costs(m, CONTEXTS)
        found[name] = {each: _from(m, each, mine[each] < usual[each] * (1 - 1e-9)) for each in COSTS}
    return found


def _from(m, cost, below):
    """First context from which on a form stays below today's usual one, to a token."""
    if below.all():
        return 0.0
    if not below[-1]:
        return np.inf
    at = np.flatnonzero(~below)[-1]
    low, high = CONTEXTS[at], CONTEXTS[at + 1]
    while high - low > 1:  # the one is not below, the other is
        middle = np.floor((low + high) / 2)
        under = costs(m, middle)[cost] < costs(forms()[TODAY], middle)[cost] * (1 - 1e-9)
        low, high = (low, middle) if under else (middle, high)
    return float(high)


@cache
def quality():
    """Published tests of a form beside full attention, same size: columns, with `points`: with it less without.

    scratch: trained so from the first token; else put into a model that was there, and trained on.
    """
    rows = data.rows("attention_quality")
    found = {n: np.array([row[n] for row in rows]) for n in ("form", "kind", "model", "benchmark", "sources", "notes")}
    found["long"] = np.array([row["recall"] == "yes" for row in rows])
    found["scratch"] = np.array([row["from_scratch"] == "yes" for row in rows])
    for n in ("full", "with_form"):
        found[n] = np.array([float(row[n]) for row in rows])
    return found | {"points": found["with_form"] - found["full"]}
