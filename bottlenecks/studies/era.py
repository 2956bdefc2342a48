"""Was it compute-bound? Published runs of 2018 to 2022 on the chips that they had, and the whole of their second.

A run is a line of `data/era_runs.csv`: what it trained on what, whether it computed layers again, and the utilisation that its
source prints. The modelled step is that of one chip; what it takes less than the real step is what it does not see: exchanges,
bubbles, waiting. So the products own at most their share of the modelled part.
"""

from functools import cache

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import shares
from bottlenecks.models import kernels, ops
from bottlenecks.studies import one_device

AGAIN = 4 / 3  # operations of a step whose layers are all computed again, over those needed: 8 N against 6 N
HALF = 0.5  # of the second: what "bound by" is taken to mean


def _modelled(run):
    """The step of one chip: part of its time that attention takes, owners, and utilisation by both conventions."""
    shape, batch, tokens = model(run["model"]), int(run["batch"]), int(run["tokens"])
    causal = run["mask"] == "causal"
    of = {"batch": batch, "tokens": tokens, "fused": run["begun"] >= one_device.FUSED_FROM}
    work = one_device.step(shape, **of, causal="half" if causal else "none", recompute=run["recompute"])
    done = one_device.step(shape, **of, causal="full" if causal else "none", recompute=run["recompute"])
    needed = one_device.step(shape, **of, causal="half" if causal else "none", recompute="none")
    on = one_device.device(run["chip"], "fp16")
    seconds, peak = kernels.ledger_s(work, on), chip(run["chip"]).peak_flop_per_s(on.format)
    owned = shares.shares(lambda d: kernels.ledger_s(work, d), on, one_device.OWNERS)
    rows, scores = {"hardware": done, "model": needed}, [r for r in work if r.kind == "attention"]
    known = {"scores": float(kernels.ledger_s(scores, on) / seconds)}
    return (
        known
        | {owner: float(v) for owner, v in owned.items()}
        | {f"{what} utilisation": float(ops.total(ops.products(each)) / seconds / peak) for what, each in rows.items()}
    )


def _reported(run):
    """Hardware utilisation that the source prints, or NaN; a model utilisation is raised by the pass that was computed again."""
    if not run["reported"]:
        return np.nan
    value, again = float(run["value"]), AGAIN if run["recompute"] == "full" else 1.0
    if run["reported"] == "hardware_tflops":
        on = chip(run["chip"])
        return value * 1e12 / on.peak_flop_per_s(one_device.device(run["chip"], "fp16").format)
    return value * again if run["reported"] == "mfu" else value


@cache
def runs():
    """One dictionary a run, in order of their beginning.

    model, chip, begun, recompute, recompute_basis; the owners of the modelled step and its hardware and model utilisation;
    reported (hardware utilisation, at most); of the real second: products (at most), rest (of the modelled step), unseen.
    """
    found = []
    for run in data.rows("era_runs"):
        modelled, reported = _modelled(run), _reported(run)
        seen = min(reported / modelled["hardware utilisation"], 1.0) if np.isfinite(reported) else np.nan
        kept = {name: run[name] for name in ("model", "chip", "begun", "recompute", "recompute_basis")}
        second = {
            "products of the second": seen * modelled["products"],
            "rest": seen * (1 - modelled["products"]),
            "unseen": 1 - seen,
        }
        found.append(kept | modelled | {"reported": reported} | second)
    return found


def error80():
    """The error of the modelled step that four fifths of the measured single-chip runs stay below."""
    runs = one_device.one_device_runs()
    return float(np.quantile(np.abs(runs["predicted"] / runs["measured"] - 1), 0.8))


def published():
    """The runs whose source prints a utilisation."""
    return [run for run in runs() if np.isfinite(run["reported"])]


def judged(error):
    """(above, open, below) one half: runs whose products own at most so much of the real second.

    `error` is that of the ledger's time on single chips: a run within it of one half is open.
    """
    most = np.array([run["products of the second"] for run in published()])
    above, below = most * (1 - error) > HALF, most * (1 + error) < HALF
    return int(above.sum()), int((~above & ~below).sum()), int(below.sum())


def era_table():
    """Rows of a table: the modelled step of one chip, and of the real second the products' part at most."""
    return [
        {
            "run": run["model"],
            "chip": run["chip"],
            "begun": run["begun"],
            "computed again": f"{run['recompute']} ({run['recompute_basis'].partition(':')[0]})",
            "products of one chip's step": f"{run['products']:.0%}",
            "hardware utilisation, modelled": f"{run['hardware utilisation']:.0%}",
            "model utilisation, modelled": f"{run['model utilisation']:.0%}",
            "hardware utilisation, published": _percent(run["reported"]),
            "products of the real second, at most": _percent(run["products of the second"]),
        }
        for run in runs()
    ]


def _percent(value):
    return f"{value:.0%}" if np.isfinite(value) else "not printed"
