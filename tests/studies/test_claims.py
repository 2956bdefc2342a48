"""Claims: how a verdict is told, and that each can come out otherwise."""

import pytest

from bottlenecks.studies import claims
from bottlenecks.studies.verdict import Verdict

TOLD = {"claim": "W1-compute-bound", "verdict": "holds", "because": "So it is.", "range": "here.", "numbers": {}}


def shown(**more):
    return Verdict(**TOLD | more)._repr_mimebundle_()


def test_a_verdict_is_a_sentence_a_table_and_a_margin():
    found = shown(rows=({"model": "a", "chips": 8}, {"model": "b", "chips": 16}), margin="two runs.", n=1234)
    question = claims.claims()["W1-compute-bound"]["question"]
    assert found["text/markdown"] == (
        f"**W1-compute-bound: holds.** *{question}*\n\nSo it is.\n\n"
        "| model | chips |\n| --- | --- |\n| a | 8 |\n| b | 16 |\n\nMargin: two runs. n = 1,234. Range: here."
    )
    assert found["text/plain"].splitlines()[1:] == [
        "model a; chips 8",
        "model b; chips 16",
        "Margin: two runs. n = 1,234. Range: here.",
    ]


def test_a_verdict_without_a_table_is_as_it_was():
    assert shown()["text/plain"] == "W1-compute-bound: holds. So it is.\nRange: here."
    with pytest.raises(ValueError, match="claim"):
        claims.verdict("W9-none")
