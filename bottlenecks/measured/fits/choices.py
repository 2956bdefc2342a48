"""What practitioners chose, counted on the corpus: every source has the same weight."""

import math
from collections import defaultdict

from bottlenecks.facts import corpus, formats
from bottlenecks.facts.chips import chip
from bottlenecks.measured import choices

UNSAID = 8  # times that 16-bit weights go unsaid for once that narrower ones do (a choice)
SHORTEST = 8  # tokens of a prompt or answer that anyone asks for
FULL = {1: 0.34, 0.25: 0.33, 0.0625: 0.33}  # sequences at once over those that fit: nobody states both; a choice
LONGEST = 6  # years after its launch in which a chip is still counted


def lags():
    """Years from the launch of a chip to the software of a run on it -> share of sources."""
    rows, found = corpus.table("training"), defaultdict(set)
    for source, name, date in zip(
        *(rows[c].tolist() for c in ("source_id", "chip_name", "software_date")), strict=True
    ):
        date = date or corpus.sources("training")[source]["published"]
        if name and chip(name).launch and date:
            found[source].add(min(max(int(date[:4]) - int(chip(name).launch[:4]), 0), LONGEST))
    return _shares(found)


def boards():
    """Chip -> sources that measured on it, of all kinds."""
    found = defaultdict(set)
    for table in ("training", "inference", "kernels", "collectives"):
        rows = corpus.table(table)
        for source, name in zip(rows["source_id"].tolist(), rows["chip_name"].tolist(), strict=True):
            found[name].add(source)
    return {name: float(len(sources)) for name, sources in sorted(found.items()) if name}


def stored(narrowest):
    """Format of weights where none is stated -> its weight, on chips whose narrowest products are given.

    That of the sources that state one, in 16, 8 or 4 bits; but who narrows them says so, and 16 bits count `UNSAID` times.
    """
    rows, found = corpus.table("inference"), defaultdict(set)
    columns = (rows[c].tolist() for c in ("source_id", "chip_name", "weight_dtype"))
    for source, name, spelled in zip(*columns, strict=True):
        how = formats.find_stored(spelled)
        if name and how and choices.narrowest(chip(name)) == narrowest:
            bits = 8 * formats.bytes_per_value(how)
            four = "nvfp4" if narrowest == "fp4" else "int4_g128"
            found[source].add("bf16" if bits > 9 else "fp8" if bits > 7 else four)
    weight = _shares(found) | {"bf16": UNSAID * _shares(found)["bf16"]}
    return {value: share / sum(weight.values()) for value, share in weight.items()}


def lengths(column):
    """Tokens of prompts or of answers, to the nearest power of four -> share of sources."""
    rows, found = corpus.table("inference"), defaultdict(set)
    for source, tokens in zip(rows["source_id"].tolist(), rows[column].tolist(), strict=True):
        if tokens >= SHORTEST:
            found[source].add(4.0 ** round(math.log(tokens, 4)))
    return _shares(found)


def _shares(found):
    """Value -> weight, every source having the same."""
    weight = defaultdict(float)
    for known in found.values():
        for value in known:
            weight[value] += 1 / len(known) / len(found)
    return dict(sorted(weight.items()))


def rows():
    """The rows of data/choices.csv, as dictionaries."""
    found = {"lag_years": lags(), **{column: lengths(column) for column in ("input_len", "output_len")}, "full": FULL}
    found |= {f"weights beside {narrowest}": stored(narrowest) for narrowest in ("fp4", "fp8", "int8", "bf16")}
    found |= {"board": boards()}
    return [
        {"choice": choice, "value": value if isinstance(value, str) else f"{value:g}", "weight": f"{weight:.4g}"}
        for choice, weights in found.items()
        for value, weight in weights.items()
    ]
