r"""Shares: which resource owns the second, as elasticities of a time that sum to one."""

from dataclasses import replace

import numpy as np

STEP = 1e-4  # of a logarithm


def shares(time, record, resources):
    r"""Share of each resource in the time that `time(record)` takes.

    $$s_i = -\frac{\partial \log T}{\partial \log r_i}, \qquad \sum_i s_i = 1$$  (eq:shares)

    T    time(record)  seconds, a number or an array                            [s]
    r_i  resources     rates, and the inverse of durations, that T depends on

    `resources` names, for each owner, the fields of the record that are its rates, and after a "/"
    those that are durations: {"memory": "memory_bytes_per_s", "latency": "/fixed_s"}. All rates
    twice as fast halve the time, so by Euler's theorem the shares sum to one: if they do not, a
    resource is missing. At a tie of a maximum the two sides' slopes are averaged.

    Holds for: any time that is homogeneous of degree -1 in its rates.
    Source: definition.

    Returns {owner: share}; arrays where the time is one.
    """
    found = {}
    for owner, fields in resources.items():
        faster, slower = (np.log(time(_scaled(record, fields, np.exp(sign * STEP)))) for sign in (1, -1))
        found[owner] = (slower - faster) / (2 * STEP)
    return found


def at_once(time, record, resources):
    """`shares` in a single call, for a time that broadcasts: the record's rates get a leading axis.

    `time` is asked once, with fields of shape (2 x owners, 1), for what has one axis.
    """
    ends = [(owner, sign) for owner in resources for sign in (1, -1)]
    scaled = [_scaled(record, resources[owner], np.exp(sign * STEP)) for owner, sign in ends]
    named = {f for fields in resources.values() for f in fields.replace("/", " ").split()}
    swept = {f: np.array([[getattr(one, f)] for one in scaled]) for f in named}
    logs = np.log(time(replace(record, **swept)))
    return {owner: (logs[2 * i + 1] - logs[2 * i]) / (2 * STEP) for i, owner in enumerate(resources)}


def largest(shares):
    """The owner with the largest share, elementwise: an array of names."""
    names = np.array(list(shares))
    return names[np.argmax(np.stack(np.broadcast_arrays(*shares.values())), axis=0)]


def _scaled(record, fields, factor):
    rates, _, durations = fields.partition("/")
    return replace(
        record,
        **{f: getattr(record, f) * factor for f in rates.split()},
        **{f: getattr(record, f) / factor for f in durations.split()},
    )
