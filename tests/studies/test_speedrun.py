"""The record history by hand."""

import numpy as np
import pytest

from bottlenecks.studies import speedrun


def test_the_whole_history():
    """45 minutes in May 2024, 1.23 in July 2026."""
    found = speedrun.records()
    assert found["minutes"][0] == 45 and found["minutes"][-1] == 1.23 and np.all(np.diff(found["date"]) >= 0)


def test_factors_multiply_to_the_whole():
    """36.6 times, but for records that were only timed anew."""
    found, steps = speedrun.records(), speedrun.factors()
    anew = found["saves"] == "retimed"
    lost = np.prod([found["minutes"][i - 1] / found["minutes"][i] for i in np.flatnonzero(anew)])
    assert np.prod(list(steps.values())) * lost == pytest.approx(45 / 1.23)
    assert set(found["saves"][1:]) <= {*speedrun.KINDS, "retimed"}
    assert all(factor >= 1 for factor in steps.values())
