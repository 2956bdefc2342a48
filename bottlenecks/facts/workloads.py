"""Named workloads: how long their prompts and answers are, from data/workloads.csv.

Who serves ShareGPT, or a benchmark of MLPerf, often prints no lengths. The table has them, in tokens of the
tokenizer that it names: the mean, or where a source prints no other, the median.
"""

import re
from functools import cache

from bottlenecks import data
from bottlenecks.facts.doors import one_of

TABLE = "workloads"


def find_workload(text):
    """The row of the workload that a text names, by its own name or another, or None; spelling is forgiven.

    >>> find_workload("MLPerf Llama-2 70B")["name"], find_workload("my questions")
    ('mlperf-llama2-70b', None)
    """
    return _rows().get(data.spellings(TABLE, _fold).get(_fold(text))) if text else None


def lengths(text):
    """Tokens of a prompt and of an answer of a named workload; an error names the nearest.

    >>> lengths("sonnet")
    (550.0, 150.0)
    """
    row = find_workload(text) or _rows()[one_of("workload", text, _rows())]
    return float(row["input_tokens"]), float(row["output_tokens"])


@cache
def _rows():
    return {row["name"]: row for row in data.rows(TABLE)}


def _fold(text):
    return re.sub(r"[^a-z0-9]", "", text.casefold())
