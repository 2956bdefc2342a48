"""Search: the space by hand, chunks and executors alike, the front, speed."""

import functools
import os
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.networks import system
from bottlenecks.laws import pipelines, recomputation
from bottlenecks.measured.memory import gpt
from bottlenecks.models import layouts, training
from bottlenecks.models.machine import machine
from bottlenecks.studies import search

SMALL = gpt(8, 1024, 16, vocab=51200)
ON = machine(system("DGX H100"))
CHUNK = 4000  # layouts: a dozen chunks and more


def find(chunk=search.CHUNK, **options):
    asked = {"chips": 16, "batch": 32, "seq_len": 2048} | options
    return search.search(SMALL, ON, chunk=chunk, **asked)


def test_every_layout_has_the_chips_and_the_batch():
    within = search.space(SMALL, chips=16, batch=32, seq_len=2048)
    found = search.candidates(SMALL, within, chips=16, batch=32, seq_len=2048, start=0, stop=within.size)
    assert np.all(found["tp"] * found["pp"] * found["cp"] * found["dp"] == 16)
    assert np.all(found["dp"] * found["micro_batch"] * found["micro_batches"] == 32)
    rows = np.stack(list(found.values()))
    assert np.unique(rows, axis=1).shape[1] == rows.shape[1]  # none twice


def test_a_space_by_hand():
    """One chip, batch 2: micro-batches of 1 or 2, four policies, no ZeRO."""
    found = search.search(SMALL, ON, chips=1, batch=2, seq_len=2048)
    assert found.valid == 2 * len(recomputation.POLICIES)


def test_chunks_change_nothing():
    whole, cut = find(), find(chunk=700)
    assert (cut.valid, cut.fitting) == (whole.valid, whole.fitting)
    assert cut.best["seconds"] == pytest.approx(whole.best["seconds"], rel=1e-12)
    assert cut.front["seconds"] == pytest.approx(whole.front["seconds"], rel=1e-12)


# ---- workers


@functools.cache
def serial():
    return find(chunk=CHUNK)


def same(one, other):
    """Is every number of two searches the same, to the last bit?"""
    columns = [(one.best, other.best), (one.front, other.front), (one.nearest, other.nearest)]
    return (one.valid, one.fitting, one.least_shortfall_bytes) == (
        other.valid,
        other.fitting,
        other.least_shortfall_bytes,
    ) and all(np.array_equal(a[name], b[name]) for a, b in columns for name in a)


@contextmanager
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        yield workers


@contextmanager
def dask():
    """Two workers in processes of their own, spoken to over sockets: a cluster on this machine."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        with client.get_executor() as workers:
            yield workers


@pytest.mark.parametrize("workers", [lambda: ThreadPoolExecutor(2), processes, dask])
def test_workers_find_the_same_to_the_last_bit(workers):
    with workers() as executor:
        assert same(serial(), find(chunk=CHUNK, executor=executor, ahead=3))


class Counting:
    """An executor in this thread that knows how many chunks nobody has asked back."""

    def __init__(self):
        self.open = self.most = self.sent = 0

    def submit(self, act, job):
        self.open, self.sent = self.open + 1, self.sent + 1
        self.most = max(self.most, self.open)
        future = Future()
        future.set_result(act(job))
        asked = future.result

        def result():
            self.open -= 1
            return asked()

        future.result = result
        return future


def test_few_chunks_are_under_way():
    executor = Counting()
    find(chunk=CHUNK, executor=executor, ahead=4)
    assert executor.sent > 10
    assert executor.most == 4


class Failing(Counting):
    """An executor of which every third chunk's worker dies; after `lives` chunks it takes no more."""

    def __init__(self, lives):
        super().__init__()
        self.lives = lives

    def submit(self, act, job):
        if self.sent >= self.lives:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = super().submit(act, job)
        if self.sent % 3 == 0:
            future = Future()
            future.set_exception(MemoryError("out of memory"))
        return future


@pytest.mark.parametrize(("lives", "said"), [(1000, "MemoryError: out of memory"), (0, "shutdown")])
def test_nothing_is_lost_when_workers_fail(lives, said):
    with pytest.warns(RuntimeWarning, match=said) as told:
        found = find(chunk=CHUNK, executor=Failing(lives))
    assert len(told) == 1
    assert same(serial(), found)


def die(job):
    os._exit(1)


def test_nothing_is_lost_when_a_pool_breaks():
    with processes() as executor:
        broken = executor.submit(die, None)
        with pytest.raises(Exception, match="terminated"):
            broken.result()
        with pytest.warns(RuntimeWarning, match="a worker failed .BrokenProcessPool"):
            assert same(serial(), find(chunk=CHUNK, executor=executor))


def test_a_wrong_question_is_not_a_failed_worker():
    wrong = search.space(SMALL, chips=16, batch=32, seq_len=2048)
    wrong = replace(wrong, micro_batch=(0.5,))
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="micro_batch"):
        find(within=wrong, executor=executor)


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


def test_a_cell_is_the_best_of_its_pair():
    asked = {"chips": 16, "batch": 32, "seq_len": 2048}
    within = search.space(SMALL, **asked, recompute=("none", "full"))
    found = search.cells(SMALL, ON, within=within, **asked)
    pairs = list(zip(found["tp"].tolist(), found["pp"].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    whole = search.search(SMALL, ON, within=within, keep=1, **asked)
    assert found["seconds"][found["shortfall_bytes"] <= 0].min() == whole.best["seconds"][0]
    narrow = replace(within, tp=(2,), pp=(4,))
    one = search.search(SMALL, ON, within=narrow, keep=1, **asked)
    assert found["seconds"][pairs.index((2, 4))] == one.best["seconds"][0]


def test_a_cell_where_nothing_fits_is_the_nearest():
    asked = {"chips": 8, "batch": 8, "seq_len": 2048}
    within = search.space(model("GPT-3 175B"), **asked)
    found = search.cells(model("GPT-3 175B"), ON, within=within, **asked)
    whole = search.search(model("GPT-3 175B"), ON, within=within, **asked)
    assert found["shortfall_bytes"].min() == pytest.approx(whole.least_shortfall_bytes)
    none = search.cells(SMALL, ON, within=replace(within, tp=(3,)), **asked)
    assert none["seconds"].size == 0


def test_stages_even_only_with_embedding_and_head():
    """126 layers and two ends are 16 times 8: the first stage has 7 layers, and no other more than 8."""
    llama = model("Llama-3.1-405B")
    asked = {"chips": 16384, "batch": 2048, "seq_len": 8192}
    within = replace(
        search.space(llama, **asked, zero=(1,), recompute=("none",)),
        pipelines=(("interleaved", 8),),
        pp=(16,),
        tp=(8,),
        cp=(1,),
        micro_batch=(1,),
    )
    found = search.search(llama, ON, within=within, software="2024", **asked)
    assert found.valid == 1
    cut = search.candidates(llama, within, chips=16384, batch=2048, seq_len=8192, start=0, stop=within.size)
    layout = search.as_layout(llama, cut, 8192)
    assert layouts.stage_layers(llama, layout, np.array([0, 1, 15]))[1].tolist() == [7, 8, 7]


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


def test_the_space_of_175_billion_on_512_chips_is_timed_in_a_few_calls(monkeypatch):
    """What makes a search quick: thousands of layouts a call, and no loop over them."""
    calls, seconds = [], training.seconds
    monkeypatch.setattr(training, "seconds", lambda *args, **kwargs: calls.append(1) or seconds(*args, **kwargs))
    asked = {"chips": 512, "batch": 2048, "seq_len": 2048}
    found = search.search(model("GPT-3 175B"), ON, **asked)
    chunks = -(-search.space(model("GPT-3 175B"), **asked).size // search.CHUNK)
    assert found.valid > 40_000 and 1 <= len(calls) <= chunks < 10


# ---- what a year knew


def test_no_schedule_before_its_year():
    assert search.known_by(2020) == ("1f1b",)
    assert search.known_by(2021) == ("1f1b", "interleaved")
    assert search.known_by(2023) == ("1f1b", "interleaved", "zb1p", "zb2p", "zbv")
    assert search.known_by(2024) == search.PIPELINES


def test_a_search_of_2021_has_no_zero_bubble_and_no_cut_stream():
    old, new = (find(software=year) for year in ("2021", "2024"))
    names = [{pipelines.SCHEDULES[s] for s in found.best["schedule"].tolist()} for found in (old, new)]
    assert names[0] <= {"1f1b", "interleaved"} and old.valid < new.valid
    assert not old.layout().sp and new.layout().sp


def test_both_ends_and_two_chunks_are_searched_where_they_can_be():
    within = search.space(SMALL, chips=8, batch=64, seq_len=2048)
    found = search.candidates(SMALL, within, chips=8, batch=64, seq_len=2048, start=0, stop=within.size)
    for name, stages in (("dualpipe", {2, 4, 8}), ("zbv", {2, 4})):  # eight layers make no sixteen chunks
        mine = found["schedule"] == pipelines.SCHEDULES.index(name)
        assert set(found["pp"][mine].tolist()) == stages
    both = found["schedule"] == pipelines.DUALPIPE
    assert np.all(found["micro_batches"][both] >= 2 * found["pp"][both])
