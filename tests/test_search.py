"""Search: the space by hand, chunks and executors alike, the front, speed."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bottlenecks import footprint, search, training
from bottlenecks.architecture import model
from bottlenecks.memory_scores import gpt
from bottlenecks.networks import system

SMALL = gpt(8, 1024, 16, vocab=51200)
ON = training.machine(system("DGX H100"))


def find(chunk=search.CHUNK, **options):
    asked = {"chips": 16, "batch": 32, "seq_len": 2048} | options
    return search.search(SMALL, ON, chunk=chunk, **asked)


def test_every_layout_has_the_chips_and_the_batch():
    within = search.space(SMALL, chips=16, batch=32, seq_len=2048)
    found = search.layouts(SMALL, within, chips=16, batch=32, start=0, stop=within.size)
    assert np.all(found["tp"] * found["pp"] * found["cp"] * found["dp"] == 16)
    assert np.all(found["dp"] * found["micro_batch"] * found["micro_batches"] == 32)
    rows = np.stack(list(found.values()))
    assert np.unique(rows, axis=1).shape[1] == rows.shape[1]  # none twice


def test_a_space_by_hand():
    """One chip, batch 2: micro-batches of 1 or 2, four policies, no ZeRO."""
    found = search.search(SMALL, ON, chips=1, batch=2, seq_len=2048)
    assert found.valid == 2 * len(footprint.RECOMPUTE)


def test_chunks_and_executors_change_nothing():
    whole, cut = find(), find(chunk=100)
    with ThreadPoolExecutor(2) as workers:
        sent = find(chunk=500, executor=workers)
    for other in (cut, sent):
        assert (other.valid, other.fitting) == (whole.valid, whole.fitting)
        assert other.best["seconds"] == pytest.approx(whole.best["seconds"], rel=1e-12)
        assert other.front["seconds"] == pytest.approx(whole.front["seconds"], rel=1e-12)


def test_the_best_is_the_least_of_all():
    found = find()
    assert np.all(np.diff(found.best["seconds"]) >= 0)
    assert found.step().seconds == pytest.approx(found.best["seconds"][0], rel=1e-12)
    assert found.front["seconds"][0] == found.best["seconds"][0]
    assert np.all(np.diff(found.front["memory_bytes"]) < 0)


def test_what_does_not_fit_is_told_in_bytes():
    found = search.search(model("GPT-3 175B"), ON, chips=8, batch=8, seq_len=2048)
    assert found.fitting == 0
    assert found.least_shortfall_bytes > 0
    with pytest.raises(ValueError, match="no layout fits"):
        found.layout()


def test_why_a_loser_loses():
    found = find()
    name, seconds = search.why_slower(found, found.layout(5))
    assert name in training.ROWS
    assert seconds == pytest.approx(found.best["seconds"][5] - found.best["seconds"][0])


def test_pareto_by_hand():
    x, y, z = np.array([1, 2, 2, 3.0]), np.array([3, 1, 3, 3.0]), np.array([1, 1, 0, 2.0])
    assert sorted(search.pareto(x, y).tolist()) == [0, 1]
    assert sorted(search.pareto(x, y, z).tolist()) == [0, 1, 2]


def test_doubling_everything_halves_the_step():
    """Each gain is at least one; no one resource does more than all together, which is two."""
    found = find()
    gains = search.doubled(SMALL, found.layout(), ON, "2025")
    assert all(1 - 1e-9 <= gain <= 2 + 1e-9 for gain in gains.values())
    owned = search.owners(SMALL, found.layout(), ON, "2025")
    assert sum(owned.values()) == pytest.approx(1, abs=1e-6)


def test_a_front_of_chips_and_energy():
    table = search.fronts(SMALL, ON, chips=(8, 16), batch=32, seq_len=2048)
    assert set(table["chips"]) == {8, 16}
    assert table["kept"].any()
    assert table["joules"] == pytest.approx(table["chips"] * table["seconds"] * 700)


def test_the_space_of_175_billion_on_512_chips_in_two_seconds():
    begun = time.perf_counter()
    found = search.search(model("GPT-3 175B"), ON, chips=512, batch=2048, seq_len=2048)
    assert time.perf_counter() - begun < 2
    assert found.valid > 40_000
