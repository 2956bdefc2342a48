"""Scaling: layouts counted by hand, the best against all, and speed-ups."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured.memory import gpt
from bottlenecks.models import footprint, training
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import scaling

H100 = chip("H100 SXM5")
LLAMA = model("Llama-3-8B")
TWO = gpt(2, 256, 2, vocab=1000, name="two layers, two heads")


def on(inside="links", gbits=400):
    return scaling.wired(H100, inside=inside, port_bytes_per_s=gbits * 1e9 / 8)


def best(on, **job):
    return scaling.best(LLAMA, on, seq_len=8192, software="2024", **job)


# ---- machines


def test_tiers_of_each_machine():
    links, host, nothing = (on(inside).tiers for inside in scaling.INSIDE)
    assert [t.bytes_per_s for t in links] == [450e9, 50e9] and links[0].ranks == 8
    assert [t.bytes_per_s for t in host] == [63e9, 50e9] and host[0].ranks == 8
    assert [t.bytes_per_s for t in nothing] == [50e9] and nothing[0].ranks is None


def test_a_port_beside_the_host_is_no_faster_than_the_host():
    assert [t.bytes_per_s for t in on("host", 800).tiers] == [63e9, 63e9]
    assert on("nothing", 800).tiers[0].bytes_per_s == 100e9


def test_bad_machines_are_stopped():
    with pytest.raises(ValueError, match="inside 'link' is unknown; did you mean 'links'"):
        on("link")
    with pytest.raises(ValueError, match="port_bytes_per_s"):
        on(gbits=0)


# ---- layouts


def test_layouts_counted_by_hand():
    # Two chips, two sequences of 64 tokens, which are too short to cut. Three policies each of:
    #   tp 2:  micro-batch 1 or 2 of the only copy, ZeRO 1                          2
    #   pp 2:  the same, with a layer each                                          2
    #          and two chunks each: embedding, layer, layer, head, micro-batch 1    1
    #   dp 2:  one micro-batch of one sequence, ZeRO 1, 2 or 3                      3
    which, columns = scaling.candidates(TWO, chips=2, batch=2, seq_len=64)
    assert which.size == 3 * 8 and set(which.tolist()) == {0}
    cuts = zip(*(columns[n].tolist() for n in ("tp", "pp", "dp", "micro_batch", "zero")), strict=True)
    assert set(columns["vpp"][columns["pp"] == 2].tolist()) == {1, 2}
    assert sorted(set(cuts)) == [
        (1, 1, 2, 1, 1),
        (1, 1, 2, 1, 2),
        (1, 1, 2, 1, 3),
        (1, 2, 1, 1, 1),
        (1, 2, 1, 2, 1),
        (2, 1, 1, 1, 1),
        (2, 1, 1, 2, 1),
    ]


def test_layouts_use_all_chips_and_all_sequences():
    chips, batch = np.array([8, 64]), np.array([64, 512])
    which, c = scaling.candidates(LLAMA, chips=chips, batch=batch, seq_len=8192)
    np.testing.assert_array_equal(c["tp"] * c["cp"] * c["pp"] * c["dp"], chips[which])
    np.testing.assert_array_equal(c["dp"] * c["micro_batch"] * c["micro_batches"], batch[which])
    assert np.all(c["micro_batches"][c["vpp"] > 1] % c["pp"][c["vpp"] > 1] == 0)
    assert np.all(LLAMA.layers % (c["pp"] * c["vpp"])[c["vpp"] > 1] == 0) and c["vpp"].max() == 8
    assert np.all(c["gathers_once"] == ((c["zero"] == 3) & (c["pp"] > 1)))


def test_embedding_and_head_count_as_layers_where_that_comes_out():
    # 126 layers do not divide over 4 stages, 128 do
    _, columns = scaling.candidates(model("Llama-3.1-405B"), chips=4, batch=4, seq_len=8192)
    four = columns["pp"] == 4
    assert four.any() and columns["embedding_slots"][four].all()
    assert not columns["embedding_slots"][columns["pp"] * columns["vpp"] == 2].any()


# ---- the best


def test_the_best_is_the_fastest_of_all_that_fit():
    job = {"chips": 16, "batch": 64}
    found = best(on(), **job)
    _, columns = scaling.candidates(LLAMA, seq_len=8192, **job)
    cuts = Layout(seq_len=8192, **columns)
    fits = footprint.total_bytes(footprint.training_rows(LLAMA, cuts)) <= H100.memory_bytes
    took = training.seconds(LLAMA, cuts, on=on(), software="2024")
    assert found["seconds"][0] == pytest.approx(took[fits].min(), rel=1e-12)
    assert 0 < fits.sum() < fits.size


def test_rate_and_utilisation_come_from_the_seconds():
    found = best(on(), chips=[8, 64], batch=[64, 64])
    np.testing.assert_allclose(found["tokens_per_s"], 64 * 8192 / found["seconds"])
    causal = 3 * LLAMA.layers * 2 * LLAMA.heads * LLAMA.head_values * 8192
    per_token = 6 * (LLAMA.params - LLAMA.vocab * LLAMA.width) + causal
    by_hand = per_token * found["tokens_per_s"] / found["chips"] / H100.peak_flop_per_s("bf16")
    np.testing.assert_allclose(found["utilisation"], by_hand, rtol=0.01)


def test_where_nothing_fits_there_is_no_answer():
    found = best(replace(on(), memory_bytes=16e9), chips=[1, 64], batch=[64, 64])
    assert np.isnan(found["seconds"][0]) and np.isnan(found["utilisation"][0]) and found["tp"][0] == 0
    assert np.isfinite(found["seconds"][1])
    none = best(replace(on(), memory_bytes=1e9), chips=[1, 2], batch=2)
    assert np.isnan(none["seconds"]).all()


def test_one_call_is_as_many_calls():
    both = best(on(), chips=[8, 32], batch=[64, 256])
    for i, (chips, batch) in enumerate(((8, 64), (32, 256))):
        alone = best(on(), chips=chips, batch=batch)
        for name, values in alone.items():
            assert values[0] == pytest.approx(both[name][i], rel=1e-12), name


def test_faster_wires_are_never_slower():
    job = {"chips": [8, 64, 512], "batch": 512}
    links, host, nothing = (best(on(inside), **job)["seconds"] for inside in scaling.INSIDE)
    assert np.all(links <= host) and np.all(links <= nothing)
    assert np.all(best(on(gbits=800), **job)["seconds"] <= links)


def test_a_step_that_grows_loses_less_than_one_that_stays():
    chips = np.array([64, 1024])
    stays = scaling.speed_up(best(on(), chips=chips, batch=256))
    grows = scaling.speed_up(best(on(), chips=chips, batch=4 * chips))
    assert stays[:2] == grows[:2] == (64, 1024) and stays[2] < grows[2] < 16.5


def test_a_speed_up_by_hand():
    found = {
        "chips": np.array([8, 16, 32]),
        "seconds": np.array([np.nan, 10.0, 6.0]),
        "tokens_per_s": np.array([np.nan, 100.0, 170.0]),
    }
    assert scaling.speed_up(found) == (16, 32, 1.7)
