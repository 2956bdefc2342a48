"""The simplest rivals of the models: the datasheet alone, and the datasheet times one fitted number.

A model deserves its pages if it errs less than both on sources that nothing was fitted to. The datasheet is the larger
of two times: operations at the printed peak, weights at the printed bandwidth. The one number multiplies that time, and
is the one that errs least on the sources of the role `fit`: one for each group of rows. In training it is a utilisation.
"""

from functools import cache as keep

import numpy as np

from bottlenecks.facts import corpus, formats
from bottlenecks.facts.architectures import find_model, model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import inference, scores
from bottlenecks.models import cache

KINDS = ("training", "inference")


@keep
def rivals(kind):
    """Errors on held-out rows, of the rivals beside the model's: one dictionary for each group of rows.

    group, sources, rows; then the mean over sources of |predicted / measured - 1|, of "datasheet", "one number" (NaN
    where no source of the group is fitted on) and "model"; times: the number. All three have the same rows.
    """
    rows, found = corpus.table(one_of("kind", kind, KINDS)), scores.table(kind)
    bound_s = found["peak_s"] if kind == "training" else inference_bound_s(rows)
    rate = np.char.startswith(found["unit"], "tokens/s") | (found["unit"] == "TFLOP/s/chip")
    ratio = scaled(found["ratio"], bound_s / found["seconds"], rate)
    fair = scores.fair(rows, found) & np.isfinite(ratio)
    columns = {
        "role": rows["role"],
        "source": found["source"],
        "group": found["group"],
        "rate": rate,
        "datasheet": ratio,
        "model": found["ratio"],
    }
    return compared({name: values[fair] for name, values in columns.items()})


def compared(columns):
    """`rivals` of rows: columns role, source, group, rate, and two ratios."""
    held = columns["role"] == "held-out"
    lines = []
    for group in np.unique(columns["group"][held]):
        mine = held & (columns["group"] == group)
        like = (columns["role"] == "fit") & (columns["group"] == group)
        datasheet, rate, source = (columns[name] for name in ("datasheet", "rate", "source"))
        times = best_times(datasheet[like], rate[like], source[like])
        of_number = scaled(datasheet, times, rate)
        lines.append(
            {
                "group": str(group),
                "sources": np.unique(source[mine]).size,
                "rows": int(mine.sum()),
                "datasheet": mean_error(datasheet[mine], source[mine]),
                "one number": mean_error(of_number[mine], source[mine]),
                "model": mean_error(columns["model"][mine], source[mine]),
                "times": times,
            }
        )
    return lines


def scaled(ratio, times, rate):
    """Predicted over measured, if the predicted time is so many times as long: a rate is then lower."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rate, ratio / times, ratio * times)


def mean_error(ratio, source):
    """The mean over sources of the mean of |predicted / measured - 1|."""
    return float(np.mean([np.abs(ratio[source == name] - 1).mean() for name in np.unique(source)]))


def best_times(ratio, rate, source):
    """The factor on a time that errs least, of those that are right for one row; NaN without rows."""
    right = np.where(rate, ratio, 1 / ratio)
    return float(min(right, key=lambda times: mean_error(scaled(ratio, times, rate), source), default=np.nan))


def inference_bound_s(rows):
    """Seconds that no chip of a row can beat by its datasheet, in the sense of `measured.inference`'s seconds.

    A pass takes 2 operations for each active parameter and token, and fetches the weights once. Of a saturated server,
    whose sequences share the weights, operations or the fetch of a sequence's cache. Stages one after the other do not
    add their rates.
    """
    bound = np.full(rows["source_id"].size, np.nan)
    for case in inference.cases(rows).found:
        mine = {name: values[case.rows] for name, values in rows.items()}
        shape = model(find_model(str(mine["model"][0])))
        bound[case.rows] = (_saturated_s if case.kind == "saturated" else _alone_s)(shape, case.on, mine)
    return bound


def _saturated_s(shape, on, row):
    """Seconds between two tokens of all sequences of a server that never waits."""
    chips = np.nan_to_num(row["n_chips"], nan=1.0)
    output = np.maximum(row["output_len"], 1)
    tokens = (row["input_len"] + output) / output  # worked on, for each that comes out
    flop_s = 2 * (shape.active_block_params + shape.head_params) * tokens / on.peak_flop_per_s
    cached = cache.cache_bytes_per_token(shape, cache_bytes=_stored(row["kv_dtype"])) * (row["input_len"] + output / 2)
    return np.maximum(flop_s, cached / chip(on.name).memory_bytes_per_s) / chips


def _alone_s(shape, on, row):
    """Seconds of a prompt, of a step, or of both from start to end."""
    together = np.nan_to_num(row["n_chips"], nan=1.0) / np.nan_to_num(row["pp"], nan=1.0)
    batch, block = np.nan_to_num(row["batch"], nan=1.0), shape.active_block_params
    params = block + shape.head_params
    weights_s = _stored(row["weight_dtype"]) * params / chip(on.name).memory_bytes_per_s
    step_s = np.maximum(2 * params * batch / on.peak_flop_per_s, weights_s) / together
    prompt_s = np.maximum(2 * block * batch * row["input_len"] / on.peak_flop_per_s, weights_s) / together
    whole = (row["phase"] == "end_to_end") & np.isfinite(row["latency_s"])
    return np.where(row["phase"] == "prefill", prompt_s, np.where(whole, prompt_s + row["output_len"] * step_s, step_s))


def _stored(spelled):
    """Bytes of a value in the format that a column names, 16 bits where it names none."""
    return formats.bytes_per_value(formats.stored(str(spelled[0])) or "bf16")


def rivals_table(kind):
    """Rows of a table: `rivals` in percent, of the groups that have a fitted number."""
    return [
        {name: line[name] for name in ("group", "sources", "rows")}
        | {name: f"{line[name]:.0%}" for name in ("datasheet", "one number", "model")}
        for line in rivals(kind)
        if np.isfinite(line["one number"])
    ]
