"""Tax: of the time between two tokens of one user, what memory and arithmetic explain, and the rest, which is agreement and waiting."""

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import serving


def single_user():
    """Published speeds of one user on 70 billion parameters, as a list of dictionaries in base SI.

    machine, chip, chips, token_s (measured); memory_s: every weight once, from all chips' memories together; flop_s: two
    operations a weight at the printed 16-bit peak (NaN where none is printed); rest_s and tax, its share of the token;
    watts: of all chips by their rating; joules per token if nobody else were served.
    """
    return [_line(row) for row in data.rows("single_user")]


def _line(row):
    on, shape, count = chip(row["chip"]), model(row["model"]), int(row["chips"])
    token_s = 1 / float(row["tokens_per_s"])
    stored = shape.params * float(row["weight_bits"]) / 8
    memory_s = serving.latency_floor_s(stored, chips=count, bytes_per_s=on.memory_bytes_per_s)
    peak = next((on.peak_flop_per_s(name) for name in ("bf16", "fp16") if name in on.peaks), np.nan)
    flop_s = 2 * shape.params / (count * peak)
    rest_s = token_s - max(memory_s, np.nan_to_num(flop_s))
    watts = count * on.tdp_watts
    return {
        "machine": row["machine"],
        "chip": row["chip"],
        "chips": count,
        "token_s": token_s,
        "memory_s": float(memory_s),
        "flop_s": float(flop_s),
        "rest_s": float(rest_s),
        "tax": float(rest_s / token_s),
        "watts": float(watts),
        "joules": float(watts * token_s),
        "holds": count * on.memory_bytes / stored,
        "sources": data.keys(row["sources"]),
    }
