"""What fits: a model on chips, what is missing in bytes, and the cheapest change that makes it fit."""

from dataclasses import replace

import numpy as np

from bottlenecks.facts.doors import one_of, positive
from bottlenecks.facts.formats import FORMATS, bytes_per_value
from bottlenecks.models import cache, footprint
from bottlenecks.models.cache import Serving
from bottlenecks.models.layouts import Layout

NARROWER = (("fp8", 1.0), ("four bits", 0.5625))  # of a weight, with its scales
MOST_CHIPS = 2**14


def serving(model, chip, *, chips=1, context=4096, batch=1, format="bf16"):
    """What a server of `chips` chips keeps: a dictionary for `reports.fits_lines`."""
    width = bytes_per_value(one_of("format", format, FORMATS))
    tp, pp = _cut(model, positive("chips", chips))
    if pp > model.layers:
        least = range(min(chips, model.heads * model.layers), 0, -1)
        near = next(n for n in least if _cut(model, n)[1] <= model.layers)
        raise ValueError(
            f"chips must divide into heads (at most {model.heads}) times stages (at most {model.layers} layers) "
            f"of {model.name}, got {chips}; the nearest below is {near}"
        )
    now = Serving(tp=tp, pp=pp, context=context, batch=batch, weight_bytes=width, cache_bytes=max(width, 1))
    ways = [("an 8-bit cache", replace(now, cache_bytes=1.0))] if now.cache_bytes > 1 else []
    for name, narrow in NARROWER:
        if narrow < width:
            ways.append((f"weights in {name}", replace(now, weight_bytes=narrow)))
            ways.append((f"weights in {name} and an 8-bit cache", replace(now, weight_bytes=narrow, cache_bytes=1.0)))
    longest = float(cache.largest_context(model, now, memory_bytes=chip.memory_bytes))
    if context <= 2 * longest < 2 * context:  # not to less than half
        ways.append((f"a context of {longest:,.0f} tokens", replace(now, context=int(longest))))
    most = float(cache.largest_batch(model, now, memory_bytes=chip.memory_bytes))
    if batch <= 2 * most < 2 * batch:
        ways.append((f"{most:,.0f} sequences at once", replace(now, batch=int(most))))
    for more in _more(chips):
        tp, pp = _cut(model, more)
        if pp <= model.layers:
            ways.append((f"{more:,} chips ({_words(tp, pp)})", replace(now, tp=tp, pp=pp)))
    found = _answer(model, chip, now, ways, cache.serving_rows)
    found["layout"] = _words(now.tp, now.pp)
    return found | {"largest batch": most, "largest context": longest}


def training(model, chip, *, chips=1, context=4096, batch=1):
    """The same of a training step of `batch` sequences a chip group, in mixed precision."""
    positive("chips", chips)
    tp = _divisor(model.heads, min(chips, 8)) if chips > 1 else 1
    tp = tp if chips % tp == 0 else 1
    now = Layout(tp=tp, dp=chips // tp, seq_len=context, micro_batch=batch)
    ways = []
    for recompute in ("none", "selective", "full"):
        for stage in (0, 1, 2, 3) if now.dp > 1 else (0,):
            words = [f"ZeRO {stage}"] * (stage > 0)
            words += [f"{recompute} recomputation"] * (recompute != "none")
            if words:
                ways.append((" and ".join(words), replace(now, zero=stage, recompute=recompute)))
    for more in _more(chips):
        if more % tp == 0:
            ways.append(
                (
                    f"{more:,} chips, ZeRO 3 and full recomputation",
                    replace(now, dp=more // tp, zero=3, recompute="full"),
                )
            )
    found = _answer(model, chip, now, ways, footprint.training_rows)
    return found | {"layout": f"{_words(tp, 1)}, {now.dp} data parallel"}


def _answer(model, chip, now, ways, rows_of):
    held = {name: float(np.max(part)) for name, part in rows_of(model, now).items()}
    short = float(footprint.shortfall_bytes(held, chip.memory_bytes))
    change = None
    if short > 0:
        change = next((words for words, way in ways if _fits(model, chip, way, rows_of)), "")
    return {"rows": held, "memory": chip.memory_bytes, "shortfall": short, "change": change}


def _fits(model, chip, way, rows_of):
    return bool(np.all(footprint.shortfall_bytes(rows_of(model, way), chip.memory_bytes) <= 0))


def _cut(model, chips):
    """(tp, pp): tensor parallel as far as the heads go, the rest in stages."""
    tp = _divisor(model.heads, chips)
    while chips % tp:
        tp = _divisor(model.heads, tp - 1)
    return tp, chips // tp


def _divisor(whole, most):
    return next(n for n in range(int(min(most, whole)), 0, -1) if whole % n == 0)


def _more(chips):
    """Twice as many chips, and again."""
    more = 2 * chips
    while more <= MOST_CHIPS:
        yield more
        more *= 2


def _words(tp, pp):
    stages = f", {pp} stages" if pp > 1 else ""
    return (f"tensor parallel over {tp}" if tp > 1 else "one chip") + stages
