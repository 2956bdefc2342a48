"""What fits: a model on chips, what is missing in bytes, and the cheapest change that makes it fit.

Nothing fits into all of a memory. A server leaves a share of it alone; training holds more than its tensors, by as
much as measured runs did. What is held back so is part of every answer.
"""

from dataclasses import fields, replace
from functools import cache

import numpy as np

from bottlenecks.facts import formats
from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import Chip
from bottlenecks.facts.doors import between, code, one_of, positive, record, share, shown, switch
from bottlenecks.facts.formats import bytes_per_value
from bottlenecks.facts.units import si
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.measured import memory as runs
from bottlenecks.measured import peaks
from bottlenecks.models import cache as caches
from bottlenecks.models import footprint
from bottlenecks.models.cache import Serving
from bottlenecks.models.layouts import Layout, divisors
from bottlenecks.models.requests import CHUNK, HELD_BACK

NARROWER = (("fp8", "fp8"), ("four bits", "nvfp4"))  # of weights; the ends stay as they are
MOST_CHIPS, MOST = 2**14, 10**9
RELEASED, BESIDE = "as released", "beside the weights"  # of the weights, of the cache
LEFT_ALONE = 1 - HELD_BACK  # share of a memory
MEASURED = "measured"
FEWER_LOGITS = 8  # parts of a loss, as trainers that make it in parts have it
CUT = ("tp", "pp", "dp", "cp")  # fields of a layout that multiply to its chips
OWN = ("seq_len", "micro_batch", "fragmentation", "overhead_bytes")  # fields of a layout that have another name here


# ---- serving


def serving(
    model,
    chip,
    *,
    chips=1,
    context=4096,
    batch=1,
    format=RELEASED,
    cache_format=BESIDE,
    held_back=LEFT_ALONE,
    prefill=CHUNK,
    tp=None,
    pp=None,
    ep=1,
    offloaded=0.0,
    full_windows=False,
):
    """What a server of `chips` chips keeps: a dictionary for `fits_lines`.

    `chips` make `ep` groups of `tp` x `pp`; where these are not told, tensor parallel as far as the heads go. `format`
    and `cache_format` are as texts spell them. `held_back`: a share of the memory, or bytes. `prefill`: tokens of
    prompts that a pass reads. `offloaded`: share of the weights that the host keeps. `full_windows`: an engine that
    keeps every token for layers that see a window too.
    """
    chips, context, batch, prefill = _sizes(model, chip, chips=chips, context=context, batch=batch, prefill=prefill)
    stored = _format(model, format)
    now = Serving(
        **_groups(model, chips, tp, pp, ep),
        context=context,
        batch=batch,
        **_widths(stored),
        cache_bytes=_cache_bytes(stored, cache_format),
        pass_tokens=prefill,
        offloaded_weights=share("offloaded", offloaded, zero_allowed=True),
        full_windows=switch("full_windows", full_windows),
        overhead_bytes=_beyond_tensors()["overhead_bytes"],
    )
    held = _held_bytes(held_back, chip)
    room = chip.memory_bytes - held
    most = float(caches.largest_batch(model, now, memory_bytes=room))
    longest = float(caches.largest_context(model, now, memory_bytes=room, most=MOST))
    own = model.context_tokens or np.inf
    ways = _serving_ways(model, now, stored, most, min(longest, own), ep)
    found = _answer(model, now, ways, caches.serving_rows, chip.memory_bytes, held)
    found["layout"] = _words(now.tp, now.pp) + (f", {ep} groups of experts" if ep > 1 else "")
    found |= {"weights": stored, "largest batch": most, "largest context": min(longest, own)}
    found["of memory alone"] = longest
    found["remarks"] = _too_long(model, context)
    found["held back"] += found["rows"]["reserve"]
    usual = "which servers leave alone unless told otherwise" if held_back == LEFT_ALONE else "as asked"
    contexts = f"{si(now.overhead_bytes, 'B', 2)} for contexts and libraries, as measured training runs held"
    found["held for"] = f"{held / chip.memory_bytes:.0%} of the memory, {usual}, and {contexts}"
    return found


def _serving_ways(model, now, stored, most, longest, ep):
    """(words, `Serving`) of changes, the cheapest first."""
    narrow_cache = min(now.cache_bytes, 1.0)
    ways = [("an 8-bit cache", replace(now, cache_bytes=1.0))] if now.cache_bytes > 1 else []
    for name, format in NARROWER:
        if bytes_per_value(format) < now.weight_bytes:
            less = replace(now, **_widths(format))
            ways.append((f"weights in {name}", less))
            if now.cache_bytes > 1:
                ways.append((f"weights in {name} and an 8-bit cache", replace(less, cache_bytes=narrow_cache)))
    if now.context <= 2 * longest < 2 * now.context:  # not to less than half
        ways.append((f"a context of {longest:,.0f} tokens", replace(now, context=int(longest))))
    if now.batch <= 2 * most < 2 * now.batch:
        ways.append((f"{most:,.0f} sequences at once", replace(now, batch=int(most))))
    for more in _more(now.tp * now.pp * ep):
        tp, pp = _cut(model, more // ep)
        if pp <= model.layers:
            ways.append((f"{more:,} chips ({_words(tp, pp)})", replace(now, tp=tp, pp=pp)))
    return ways


def _groups(model, chips, tp, pp, ep):
    """{"tp", "pp", "ep"} of a server."""
    ep = int(positive("ep", ep, most=MOST_CHIPS, whole=True))
    if tp is None and pp is None:
        if chips % ep:
            raise ValueError(f"ep must divide the chips ({chips}), got {ep}; the nearest is {_divisor(chips, ep)}")
        tp, pp = _cut(model, chips // ep)
        if pp > model.layers:
            near = min((n for n in range(1, chips + 1) if _cut(model, n)[1] <= model.layers), key=lambda n: chips - n)
            raise ValueError(
                f"chips must be tensor-parallel ranks that divide the {model.heads} heads of {model.name} times at most"
                f" {model.layers} stages, got {chips}; the nearest is {near}"
            )
    else:
        cut = {"tp": 1 if tp is None else tp, "pp": 1 if pp is None else pp}
        tp, pp = (int(positive(name, n, most=MOST_CHIPS, whole=True)) for name, n in cut.items())
        if chips not in (1, tp * pp * ep):
            raise ValueError(f"chips must be tp x pp x ep ({tp * pp * ep}), got {chips}; the nearest is {tp * pp * ep}")
        if pp > model.layers:
            raise ValueError(f"pp must be at most the layers of {model.name} ({model.layers}), got {pp}")
    return {"tp": tp, "pp": pp, "ep": ep}


def _format(model, text):
    """How a model's weights are stored: as texts spell it, or as it was released."""
    if isinstance(text, str) and text == RELEASED:
        return model.stored_format or "bf16"
    return _stored("format", text)


def _stored(name, text):
    found = formats.stored(text, name) if isinstance(text, str) and text else ""
    return found or one_of(name, text, formats.FORMATS)


def _widths(stored):
    """Fields of `Serving`: bytes of a weight in each part of a model."""
    parts = {part: float(bytes_per_value(format)) for part, format in formats.parts(stored).items()}
    return {"weight_bytes": parts.pop("ffn")} | {f"{part}_bytes": width for part, width in parts.items()}


def _cache_bytes(stored, text):
    """Bytes of a value in the cache: as told, or what goes with the weights' format, 16 bits for most."""
    if isinstance(text, str) and text == BESIDE:
        return float(bytes_per_value(formats.beside(stored)[2] or "bf16"))
    return float(bytes_per_value(_stored("cache_format", text)))


# ---- training


def training(model, chip, *, chips=1, context=4096, batch=1, held_back=MEASURED, **layout):
    """The same of a training step: `batch` sequences of `context` tokens in a micro-batch.

    `layout`: fields of `Layout`. Of tp, pp, dp and cp those that are not told are 1, and dp what the chips leave; where
    none is told, tensor parallel over up to 8 chips, or with ZeRO data parallel. `held_back`: as measured runs hold beyond their tensors, or a
    share of the memory, or bytes.
    """
    chips, context, batch = _sizes(model, chip, chips=chips, context=context, batch=batch)
    known = [field.name for field in fields(Layout) if field.name not in OWN]
    told = {one_of("field of a layout", name, known): value for name, value in layout.items() if value is not None}
    now = Layout(**told | _training_cut(model, chips, told), seq_len=context, micro_batch=batch)
    if now.lora_rank > model.width:
        raise ValueError(f"lora_rank must be at most the width of {model.name} ({model.width}), got {now.lora_rank}")
    if isinstance(held_back, str) and held_back == MEASURED:
        beyond, held = _beyond_tensors(), 0.0
        now = replace(now, fragmentation=beyond["fragmentation"], overhead_bytes=beyond["overhead_bytes"])
        words = (
            f"{beyond['fragmentation']:.0%} of all but frozen weights for gaps between tensors and"
            f" {si(beyond['overhead_bytes'], 'B', 2)} for contexts and libraries, as {beyond['runs']} measured runs"
            f" of pretraining held; of {beyond['peaks']} published fine-tuning runs 80 % held {beyond['low']:.2f} to"
            f" {beyond['high']:.2f} times what this predicts, and segments that can grow leave hardly a gap"
            " (--held-back says otherwise)"
        )
    else:
        held = _held_bytes(held_back, chip)
        words = f"{held / chip.memory_bytes:.0%} of the memory, as asked"
    found = _answer(model, now, _training_ways(model, now), footprint.training_rows, chip.memory_bytes, held)
    found["held back"] += found["rows"]["reserve"]
    cut = [f"{n} {way} parallel" for n, way in ((now.dp, "data"), (now.cp, "context"), (now.ep, "expert")) if n > 1]
    return found | {
        "layout": ", ".join((_words(now.tp, now.pp), *cut)),
        "remarks": _too_long(model, context),
        "held for": words,
    }


def _training_cut(model, chips, told):
    """{"tp", "pp", "dp", "cp"}: as told, the rest data parallel."""
    given = {name: int(positive(name, told[name], most=MOST_CHIPS, whole=True)) for name in CUT if name in told}
    if not given and told.get("zero"):
        return {"dp": chips}  # states are dealt among copies
    if not given:
        tp = _divisor(model.heads, min(chips, 8)) if chips > 1 else 1
        tp = tp if chips % tp == 0 else 1
        return {"tp": tp, "dp": chips // tp}
    cut = dict.fromkeys(CUT, 1) | given
    others = cut["tp"] * cut["pp"] * cut["cp"]
    if "dp" not in given and chips % others == 0:
        cut["dp"] = chips // others
    product = others * cut["dp"]
    if product != chips and chips != 1:
        raise ValueError(f"chips must be tp x pp x dp x cp ({product}), got {chips}; the nearest is {product}")
    return cut


def _training_ways(model, now):
    """(words, `Layout`) of changes, the cheapest first: what costs no time, what does, the host's help, more chips."""
    policy, ways = int(code("recompute", now.recompute, POLICIES)), []
    parts = (now.loss_parts, max(now.loss_parts, FEWER_LOGITS))
    for recompute in (POLICIES[policy], *(p for p in ("selective", "products", "full") if POLICIES.index(p) > policy)):
        for stage in range(now.zero, 4) if now.dp * now.cp > 1 else (now.zero,):
            for count in dict.fromkeys(parts):
                words = [f"ZeRO {stage}"] * (stage > now.zero) + [f"a loss in {count} parts"] * (count > now.loss_parts)
                words += [f"{recompute} recomputation"] * (recompute != POLICIES[policy])
                ways.append((" and ".join(words), replace(now, zero=stage, recompute=recompute, loss_parts=count)))
    least = replace(now, recompute="full", loss_parts=parts[1], zero=3 if now.dp * now.cp > 1 else now.zero)
    if now.micro_batch > 1:
        ways.append(("micro-batches of one sequence and full recomputation", replace(least, micro_batch=1)))
    away = replace(least, offloaded_states=1.0, offloaded_gradients=1.0)
    ways.append(("optimiser states and gradients on the host and full recomputation", away))
    for more in _more(now.chips):
        many = replace(least, dp=now.dp * more // now.chips, zero=3)
        ways.append((f"{more:,} chips, ZeRO 3 and full recomputation", many))
    return [(words, way) for words, way in ways if words]


@cache
def _beyond_tensors():
    """What measured runs hold beyond their tensors, and how far they spread around what that predicts."""
    found, ratio = runs.predictions(), peaks.rows()["ratio"]
    low, high = np.quantile(1 / ratio[np.isfinite(ratio)], [0.1, 0.9])
    spread = {"low": float(low), "high": float(high), "peaks": int(np.isfinite(ratio).sum())}
    return runs.constants(found) | spread | {"runs": int((found["role"] == "fit").sum())}


# ---- both


def _sizes(model, chip, **named):
    """Counts as Python integers, with a model and a chip that are some."""
    record("model", model, Model, "model(name)")
    record("chip", chip, Chip, "chip(name)")
    limits = {name: MOST_CHIPS if name == "chips" else MOST for name in named}
    sizes = {name: positive(name, n, most=limits[name], whole=True) for name, n in named.items()}
    return [int(between(name, n, 1, limits[name])) for name, n in sizes.items()]


def _held_bytes(held_back, chip):
    """Bytes of a memory that are left alone: a share below one, or bytes."""
    held = positive("held_back", held_back, zero_allowed=True, most=chip.memory_bytes)
    if np.ndim(held):
        raise ValueError(f"held_back must be one number, got {shown(held_back)}")
    if 1 <= held < 2**20:
        told = f"held_back must be a share below 1, or bytes of a mebibyte at least, got {shown(held_back)}"
        raise ValueError(f"{told}; the nearest is 0.99")
    held = float(held * chip.memory_bytes if held < 1 else held)
    if held >= chip.memory_bytes:
        raise ValueError(f"held_back must be less than the memory of {chip.name}, got {shown(held_back)}")
    return held


def _too_long(model, context):
    own = model.context_tokens
    if not own or context <= own:
        return []
    return [f"{context:,} tokens are more than the {own:,.0f} that {model.name} was made for"]


def _answer(model, now, ways, rows_of, memory_bytes, held):
    rows = {name: float(np.max(part)) for name, part in rows_of(model, now).items()}
    short = float(footprint.shortfall_bytes(rows, memory_bytes)) + held
    change = None
    if short > 0:
        change = next((words for words, way in ways if _fits(rows_of(model, way), memory_bytes - held)), "")
    return {"rows": rows, "memory": memory_bytes, "held back": held, "shortfall": short, "change": change}


def _fits(rows, room):
    return room > 0 and bool(np.all(footprint.shortfall_bytes(rows, room) <= 0))


def _cut(model, chips):
    """(tp, pp): tensor parallel as far as the heads go, the rest in stages."""
    tp = _divisor(model.heads, chips)
    while chips % tp:
        tp = _divisor(model.heads, tp - 1)
    return tp, chips // tp


def _divisor(whole, most):
    return max(n for n in divisors(whole) if n <= most)


def _more(chips):
    """Twice as many chips, and again."""
    more = 2 * chips
    while more <= MOST_CHIPS:
        yield more
        more *= 2


def _words(tp, pp):
    stages = f", {pp} stages" if pp > 1 else ""
    return (f"tensor parallel over {tp}" if tp > 1 else "one chip") + stages
