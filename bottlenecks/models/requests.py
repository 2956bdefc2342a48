r"""Requests: what a server makes of its passes, whole answers, full load and guessed tokens."""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import record, share
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.laws import serving
from bottlenecks.models import cache
from bottlenecks.models.inference import checked, decode, decode_s, one_pass, prefill, prefill_s, slowest_stage_s

CHUNK = 8192  # tokens of prompts that a server reads in one pass
HELD_BACK = 0.9  # share of a chip's memory that servers give to weights and cache together


def mean_context(plan, prompt, output):
    """Tokens that a step sees in the mean over an answer; where graphs have one shape, always those of its end."""
    return prompt + output / (1 if plan.software.static else 2)


class Run(NamedTuple):
    """Seconds of requests that start and end together."""

    prefill_s: float  # until the first token
    decode_s: float  # of all tokens after it

    @property
    def seconds(self):
        """From the first prompt token to the last token of the answer."""
        return self.prefill_s + self.decode_s


def run(model, plan, on, *, batch, prompt, output):
    r"""A `Run` of `batch` sequences: `prompt` tokens read, `output` tokens made.

    $$T = T_p(B, S_p) + (S_o - 1)\,\frac{T_d(B, S_-) + T_d(B, S_+)}{2}, \qquad S_\pm = S_p + \frac{S_o}{2} \pm \frac{S_o}{2\sqrt{3}}$$  (eq:run-time)

    T_p  prefill_s  reading the prompts, which yields the first token  [s]
    T_d  decode_s   one step at a length of the context                [s]
    B    batch      sequences of the batch                             [-]
    S_p  prompt     tokens of a prompt                                 [-]
    S_o  output     tokens of an answer                                [-]

    Holds for: requests that start and end together. A step's time grows with the context in smooth
    pieces, so two points (Gauss's) stand for the sum over all steps. Where graphs have one shape, every
    step reads a cache of the final length.
    Source: counting; Gauss quadrature of two points is exact up to the third power.
    """
    batch, prompt, output = checked(model, plan, on, batch=batch, prompt=prompt, output=output)
    first = prefill_s(model, plan, on, batch=batch, prompt=prompt)
    middle, half = mean_context(plan, prompt, output), 0.0 if plan.software.static else output / 12**0.5
    ends = (np.maximum(middle + sign * half, 1) for sign in (-1, 1))
    steps = [decode_s(model, plan, on, batch=batch, context=context) for context in ends]
    return Run(first, np.maximum(output - 1, 0) * (steps[0] + steps[1]) / 2)


class Load(NamedTuple):
    """What a on sustains when requests never run out."""

    tokens_per_s: float  # made, by all chips of the plan
    token_s: float  # between two tokens of a sequence
    batch: float  # sequences at once, of each group of tp x pp chips


def largest_batch(model, plan, on, *, context, held_back=HELD_BACK):
    """Sequences of `context` tokens that the memory of a group of chips holds beside the weights."""
    (context,) = checked(model, plan, on, context=context)
    share("held_back", held_back)
    asked = cache.Serving(
        tp=plan.tp,
        pp=plan.pp,
        ep=plan.ep,
        context=context,
        cache_bytes=bytes_per_value(plan.cache_format),
        weight_bytes=bytes_per_value(plan.weight_format),
    )
    return cache.largest_batch(model, asked, memory_bytes=held_back * on.memory_bytes)


def saturated(model, plan, on, *, batch, prompt, output):
    r"""A `Load` of `batch` sequences in flight: who ends makes room for the next prompt.

    $$X = \frac{B\,S_o}{S_o\,T_d(B, S_p + S_o/2) + B\,T_p/B_p}$$  (eq:saturated-throughput)

    B    batch      sequences in flight, a token of each in a step          [-]
    S_o  output     tokens of an answer                                     [-]
    S_p  prompt     tokens of a prompt                                      [-]
    T_d  decode_s   one step, contexts spread evenly from S_p to S_p + S_o  [s]
    T_p  prefill_s  one pass over the prompts of B_p sequences              [s]
    B_p  CHUNK / P  prompts in a pass, at least one                         [-]

    Holds for: requests of one size, always another waiting. Prompts are read by the same chips
    between decode steps, or beside them in one pass, which saves little once the weights' traffic
    is hidden. A pipeline has as many parts of the batch under way as stages.
    Source: counting over one turnover of the batch.
    """
    batch, prompt, output = checked(model, plan, on, batch=batch, prompt=prompt, output=output)
    parts = np.minimum(plan.pp, batch)
    step = decode(model, plan, on, batch=batch / parts, context=mean_context(plan, prompt, output))
    token_s = np.where(
        np.equal(plan.pp, 1), step.seconds, np.maximum(step.seconds, parts * slowest_stage_s(step, plan))
    )
    together = np.maximum(1, CHUNK / prompt)
    read = prefill(model, plan, on, batch=together, prompt=prompt)
    read_s = np.where(np.equal(plan.pp, 1), read.seconds, slowest_stage_s(read, plan)) / together
    turnover_s = output * token_s + batch * read_s
    return Load(plan.ep * batch * output / turnover_s, turnover_s / output, batch)


def speculative_s(model, draft, plan, on, *, batch, context, acceptance, drafted):
    """Seconds a token when `draft` proposes `drafted` tokens and the model checks them in one pass.

    Time of a round over eq:speculative-tokens.
    """
    record("draft", draft, Model, "model(name)")
    checked(draft, plan, on)
    batch, context, drafted = checked(model, plan, on, batch=batch, context=context, drafted=drafted)
    acceptance = share("acceptance", acceptance, zero_allowed=True)
    drafting = drafted * decode(draft, plan, on, batch=batch, context=context).seconds
    queries = drafted + 1
    proved = one_pass(model, plan, on, batch=batch, queries=queries, keys=context + drafted)
    return (drafting + proved.seconds) / serving.speculative_tokens(acceptance, drafted=drafted)


def frontier(model, plan, on, *, prompt, output, batches):
    """Throughput against latency: {batch, token_s, tokens_per_s_per_chip}, points that no other beats."""
    batches, prompt, output = checked(model, plan, on, batches=batches, prompt=prompt, output=output)
    batches = np.atleast_1d(np.asarray(batches, dtype=float))
    load = saturated(model, plan, on, batch=batches, prompt=prompt, output=output)
    fits = batches <= largest_batch(model, plan, on, context=prompt + output)
    order = np.lexsort((-load.tokens_per_s, load.token_s))
    order = order[np.broadcast_to(fits, batches.shape)[order]]
    best = np.maximum.accumulate(load.tokens_per_s[order])
    kept = order[load.tokens_per_s[order] >= best]
    return {
        "batch": batches[kept],
        "token_s": load.token_s[kept],
        "tokens_per_s_per_chip": load.tokens_per_s[kept] / plan.chips,
    }
