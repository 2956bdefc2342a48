"""Who owns a training step on one chip, by the width of the model: shares of the time of its layers."""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import Model, model
from bottlenecks.laws import shares
from bottlenecks.models import kernels
from bottlenecks.studies import one_device

HEAD, TOKENS = 128, 8192  # values of a head; tokens of a micro-batch, whatever the length of its sequences
HEADS = np.array([4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160])
WIDTHS = HEAD * HEADS.astype(float)


def gpt(width):
    """A GPT of that width (an array sweeps it): layers of 12 d^2 weights, heads of 128 values."""
    heads = width / HEAD
    shape = {"width": width, "ffn_width": 4 * width, "ffn_matrices": 2, "heads": heads, "kv_heads": heads}
    return Model(name="a GPT", layers=1, head_values=HEAD, attention="MHA", vocab=1, **shape)


def owners(shape, chip_name, *, tokens, fused):
    """Share of each owner (`one_device.OWNERS`) in the layers of a step in 16 bits, all of them computed again."""
    causal = "none" if shape.both_ways else "half"
    work = one_device.step(shape, batch=TOKENS / tokens, tokens=tokens, fused=fused, causal=causal, logits=False)
    return shares.at_once(
        lambda on: kernels.ledger_s(work, on), one_device.device(chip_name, "fp16"), one_device.OWNERS
    )


@cache
def swept(chip_name, tokens, fused):
    """`owners` at all `WIDTHS`."""
    return owners(gpt(WIDTHS), chip_name, tokens=tokens, fused=fused)


@cache
def published(chip_name, tokens, fused):
    """Width and products' share of the models of the era's runs, each as its own shape on this chip: {name: (d, s)}."""
    shapes = [model(run["model"]) for run in data.rows("era_runs")]
    of = {"tokens": tokens, "fused": fused}
    return {m.name: (m.width, float(np.squeeze(owners(m, chip_name, **of)["products"]))) for m in shapes}


def width_of(share, chip_name, tokens, fused):
    """The width from which products own that share, between the widths tried; NaN if none of them has it."""
    products = swept(chip_name, tokens, fused)["products"]
    below = np.flatnonzero(products < share)
    if below.size == 0 or below[-1] + 1 == products.size:
        return np.nan
    ends = slice(below[-1], below[-1] + 2)
    return float(np.interp(share, products[ends], WIDTHS[ends]))
