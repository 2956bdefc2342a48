r"""Wires: the exchanges of a training step laid on the links of a machine, and the hottest link.

The step asks `layer`, `training` and `states` what its exchanges are, as the clock does, and counts bytes in place of
seconds. What shares a link adds up, whether it is hidden behind computing or not.
"""

from typing import NamedTuple

import numpy as np

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.doors import code, record
from bottlenecks.laws import pipelines, recomputation
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import collectives, layer, states, tori, training
from bottlenecks.models.layer import NAMES
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import Machine
from bottlenecks.models.software import release

EXCHANGES = ("tensor parallel", "context parallel", "expert parallel", "pipeline sends", "data parallel")


class Laid(NamedTuple):
    """What the links of one chip carry in a step. Arrays have the tiers along their first axis."""

    tiers: tuple  # names, inside out
    moved_bytes: dict  # exchange -> bytes into each tier, one direction
    busy_s: np.ndarray  # seconds in which a tier's links carry them, all exchanges one after the other

    @property
    def hottest(self):
        """Name of the tier whose links are busy longest; '' where nothing is sent."""
        names = np.array(self.tiers)[np.argmax(self.busy_s, axis=0)]
        return np.where(np.max(self.busy_s, axis=0) > 0, names, "")


def carried(collective, message_bytes, ranks, *, on, per_domain=None, groups=1, launch="", besides=None):
    """`collectives.link_bytes` on a `Machine`, asked as `wiring.send_s` is; who calls and who shares does not matter to bytes."""
    ranks = np.asarray(ranks, dtype=float)
    if per_domain is not None:
        per_domain = np.minimum(per_domain, on.domain) if on.domain < np.inf else None
    found = collectives.link_bytes(
        collective, message_bytes, tiers=on.tiers, ranks=np.maximum(ranks, 1), per_domain=per_domain
    )
    return np.where(ranks > 1, found, 0.0)


def laid(model, layout, *, on, software):
    """The exchanges of a step on a `Machine` with two tiers or more: `Laid`. One layout at a time.

    A tier gives a chip its rate over its oversubscription, and of that the share that the library reaches; in a mesh of
    links from each chip to each it counts all of them.
    """
    record("model", model, Model, "model(name)")
    record("layout", layout, Layout, "Layout(seq_len=...)")
    record("on", on, Machine, "machine(chip)")
    if not on.tiers:
        raise ValueError("on must have a tier that joins its chips, got none")
    software, x = release(software, on.family), layout
    moved = dict(
        zip(
            EXCHANGES,
            (
                *_of_layers(model, x, on, software),
                _of_stages(model, x, on, software),
                _of_states(model, x, on, software),
            ),
            strict=True,
        )
    )
    moved = dict(zip(moved, np.broadcast_arrays(*moved.values()), strict=True))
    rates = [_rate(on, i, x.chips) for i in range(len(on.tiers))]
    whole = sum(moved.values())
    rates = np.stack(np.broadcast_arrays(*rates, whole[0])[:-1])
    return Laid(
        tuple(tier.name for tier in on.tiers), moved, np.where(whole > 0, whole / np.where(rates > 0, rates, 1), 0.0)
    )


def _rate(on, i, chips):
    """Bytes a second of a chip into a tier, all its ranks sending at once; of a torus, those of the slice that the step fills."""
    tier, reached = on.tiers[i], on.efficiency
    box = None if i else tori.placed(tier, np.minimum(chips, tier.ranks))
    port = collectives.kind(tier, i) == "NET"
    share = reached.port * on.port_speed if port else reached.link * on.link_speed
    links = box.mean_links / box.most if box else 1.0
    return tier.bytes_per_s / tier.oversubscription * share * links


def _of_layers(model, x, on, software):
    """Tensor, context and expert exchanges of a step: all layers of a chip, all micro-batches."""
    few = dict(zip(NAMES, np.broadcast_arrays(*(getattr(x, name) for name in NAMES)), strict=True))
    policy = code("recompute", x.recompute, POLICIES)
    one = layer.messages(model, on, software, **few, send=carried)
    every = training.layer_sends(one, recomputation.repeats(policy), software, few["sp"], policy)
    return [every[name] * x.micro_batches * model.layers / x.pp for name in ("tensor", "context", "experts")]


def _of_stages(model, x, on, software):
    """Activations and gradients between stages."""
    each = training.stage_send(model, on, software, **training.stage_sizes(x, on), send=carried)
    return 2 * x.micro_batches * pipelines.borders(x.pp, chunks=x.vpp, schedule=x.schedule) / x.pp * each


def _of_states(model, x, on, software):
    """Gradients that are summed and weights that are gathered."""
    sizes = states.sizes(x)
    sizes = dict(zip(sizes, np.broadcast_arrays(*sizes.values()), strict=True))
    found, trained = states.messages(model, on, software, **sizes, send=carried), 1.0 - np.greater(x.lora_rank, 0)
    kept, times, gathers = states.rounds(x)
    cut = kept * found["scatter"] + found["gather"] + found["between"]
    whole = np.where(np.greater_equal(x.zero, 1), cut, found["reduce"])
    parts = times * (trained * found["scatter"] + gathers * found["gather"]) + trained * found["between"]
    return np.where(sizes["sharded"], parts, trained * whole)
