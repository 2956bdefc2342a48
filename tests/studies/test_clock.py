"""A clock of memory: by hand, against the footprint's sum, micro-batches in flight, what must never grow."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import memory
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models import footprint, training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.studies import clock, splitting

LLAMA = model("Llama-3-8B")
HEAD = 128_256 * 4096  # weights of the output head, and of the embedding
LAYER = 2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14_336  # 218,103,808 weights
# a layer takes 1 forward and 2 backward, the head as much, the embedding nothing
PLAIN = clock.Times(
    passes_s=9.0,
    exchange_s=0.5,
    optimizer_s=1.0,
    forward_s=1.0,
    again_s=0.0,
    backward_s=2.0,
    embedding_s=0.0,
    head_s=3.0,
)
NO_HEAD = replace(PLAIN, head_s=0.0)


def clocked(shape=LLAMA, times=PLAIN, *, stage=0, keeps_gradients=False, **layout):
    x = Layout(**{"seq_len": 1024, "recipe": "adam"} | layout)
    return clock.held(shape, x, times, stage=stage, keeps_gradients=keeps_gradients)


def summed(shape=LLAMA, *, stage=0, **layout):
    x = Layout(**{"seq_len": 1024, "recipe": "adam"} | layout)
    return float(footprint.total_bytes(footprint.training_rows(shape, x, stage=stage)))


def crest(*args, **kwargs):
    return clock.crest(clocked(*args, **kwargs))[1]


def at(found, name, time, *, before=False):
    """What is there at a time, after all that comes or goes at it; or before."""
    side = "left" if before else "right"
    return found[name][max(np.searchsorted(found["time_s"], time - 1e-9 if before else time + 1e-9, side) - 1, 0)]


# ---- by hand


def test_two_layers_and_a_head_by_hand():
    """One micro-batch: forward 0-3 (layer, layer, head), backward 3-9 (head, layer, layer), exchange, optimiser 9.5-10.5."""
    found = clocked(replace(LLAMA, layers=2))
    layer, head = 1024 * (139_264 + 128), 1024 * 16_384  # as test_footprint has them
    kept = [at(found, "activations", t) for t in (1, 2, 3, 5, 7, 9)]
    assert kept == pytest.approx([layer, 2 * layer, 2 * layer + head, 2 * layer, layer, 0], abs=1)
    logit = 1024 * 128_256  # 2 B and 4 B are made forward, and a gradient of 4 B backward
    assert at(found, "logits", 2) == 0 and at(found, "logits", 3) == pytest.approx(10 * logit)
    assert max(found["logits"][found["phase"] == "forward"]) == pytest.approx(6 * logit)
    assert at(found, "logits", 5) == pytest.approx(0, abs=1)
    made = [at(found, "gradients", t) for t in (3, 5, 7, 9, 10.5)]
    assert made == pytest.approx([0, 2 * HEAD, 2 * (HEAD + LAYER), 2 * (2 * HEAD + 2 * LAYER), 0], abs=1)
    assert np.all(found["weights"] == 2 * (2 * HEAD + 2 * LAYER)) and np.all(found["optimizer"] == 6 * found["weights"])
    assert found["time_s"][-1] == 10.5 and found["phase"][-2] == "optimizer"
    # gradients of 2 x 0.744 G weights x 2 B outgrow all that is freed: most is there when the last is made
    place, most = clock.crest(found)
    assert found["time_s"][place] == 9 and most == pytest.approx(16 * 2 * (HEAD + LAYER))


def test_a_layer_done_again_by_hand():
    """Full recomputation: 8,192 B of a layer are kept, 131,200 B come back while it is done again, 1/2 of 5/2 of its time."""
    times = replace(
        NO_HEAD, again_s=1.0, passes_s=8.0
    )  # two layers: forward 0-2, backward 2-8, each 1 again and 2 back
    found = clocked(replace(LLAMA, layers=2), times, recompute="full")
    again = [at(found, "recomputation", t) for t in (2, 3, 5, 6, 8)]
    whole = 1024 * (139_392 - 8192)
    assert again == pytest.approx([0, whole, 0, whole, 0], abs=1)
    assert at(found, "activations", 3) == pytest.approx(1024 * (2 * 8192))


def test_the_optimisers_copies_are_there_while_it_works():
    found = clocked(recipe="adam, not fused")
    assert at(found, "step", 9.5) == 8 * LLAMA.params and at(found, "step", 9.4) == at(found, "step", 10.5) == 0
    half = clocked(recipe="adam, not fused", offloaded_states=0.5)  # the host has copies of what it updates
    assert at(half, "step", 9.5) == 4 * LLAMA.params


def test_adapters_make_gradients_in_layers_alone():
    """Rank 16 on all matrices: 1,310,720 weights a layer (test_footprint); none when the head's backward pass is over."""
    found = clocked(replace(LLAMA, layers=2), lora_rank=16)
    made = [at(found, "gradients", t) for t in (5, 7, 9)]
    assert made == pytest.approx([0, 2 * 1_310_720, 4 * 1_310_720], abs=1)


def test_a_loss_in_parts_leaves_no_logits_waiting():
    whole, parts = (clocked(micro_batches=4, schedule="gpipe", loss_parts=n)["logits"].max() for n in (1, 8))
    assert whole == pytest.approx(1024 * 128_256 * (4 * 6 + 4)) and parts == pytest.approx(1024 * 128_256 * 10 / 8)


def test_one_tensors_gradient_where_each_is_used_at_once():
    found = clocked(step_in_backward=True)
    assert 0 < found["gradients"].max() < 2 * LLAMA.params / 10 and at(found, "gradients", 1) == 0


def test_an_optimiser_without_states_has_none():
    found = clocked(recipe="sgd, bf16 alone")
    assert found["optimizer"].max() == found["step"].max() == 0


def test_what_zero_3_gathers_comes_and_goes():
    times = replace(NO_HEAD, passes_s=9.0)
    found = clocked(times=times, zero=3, dp=8)
    forward = found["buffers"][found["phase"] == "forward"]
    backward = found["buffers"][found["phase"] == "backward"]
    assert set(forward[1:-1]) == {2 * (2 * LAYER + HEAD)} and max(backward) == 2 * (3 * LAYER + 2 * HEAD)
    assert at(found, "buffers", 9.5) == 0
    once = clocked(times=times, zero=3, dp=8, pp=4, micro_batches=2, gathers_once=True)
    whole = 8 * LAYER + HEAD
    assert once["buffers"][0] == 2 * whole and once["buffers"].max() == 4 * whole and at(once, "buffers", 9.5) == 0


def test_what_the_allocator_holds_beyond_the_crest_stays():
    bare, found = (clocked(fragmentation=f, overhead_bytes=o) for f, o in ((0, 0), (0.25, 1e9)))
    assert np.ptp(found["reserve"]) == 0
    assert clock.crest(found)[1] == pytest.approx(1.25 * clock.crest(bare)[1] + 1e9)


# ---- against the sum

MODELS = ("Llama-3-8B", "Llama-2-7B", "GPT-3 175B", "Mixtral-8x7B")
STAGES = ((1, 0), (4, 0), (4, 3))  # of how many, which
RECIPES = ("adam, fp32 gradients", "adam, widened gradients", "muon")


def off_the_sum(how, **kwargs):
    """Crest over sum, of the ways in which they differ by more than 1 %; the optimiser's copies beside ZeRO 3 are apart."""
    found = {}
    for name, policy, zero, (pp, stage), recipe in product(MODELS, POLICIES, range(4), STAGES, RECIPES):
        if zero == 3 and recipe == "adam, widened gradients":
            continue
        cut = {"recompute": policy, "zero": zero, "pp": pp, "stage": stage, "recipe": recipe, "dp": 8}
        ratio = crest(model(name), **cut, **how, **kwargs) / summed(model(name), **cut, **how)
        if abs(ratio - 1) > 0.01:
            found[name, *cut.values()] = ratio
    return found


@pytest.mark.parametrize("m", [1, 8])
def test_the_crest_is_the_footprints_sum_where_gradients_stay(m):
    """A buffer of gradients from step to step: all that is summed is there at once, when a backward pass begins."""
    assert off_the_sum({"micro_batches": m}, keeps_gradients=True) == {}


def test_it_is_also_with_gradients_made_anew_where_many_micro_batches_follow():
    """From the second backward pass on all gradients are there, beside as many micro-batches as before it."""
    assert off_the_sum({"micro_batches": 8}) == {}


@pytest.mark.parametrize(("schedule", "vpp"), [("interleaved", 2), ("zb1p", 1)])
@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("recompute", POLICIES)
def test_it_is_in_every_schedule(schedule, vpp, stage, recompute):
    how = {"pp": 4, "micro_batches": 8, "schedule": schedule, "vpp": vpp, "recompute": recompute, "stage": stage}
    assert crest(keeps_gradients=True, **how) == pytest.approx(summed(**how), rel=1e-9)


def test_one_micro_batch_never_has_all_gradients_beside_all_activations_by_hand():
    """Llama-3-8B, 8,192 tokens, Adam in 16 bytes a parameter, of which 14 without the gradients: 112.4 GB.

    When the backward pass begins, 32 layers x 1.1419 GB and the head's 0.1342 GB are there, and logits of 10.507 GB.
    A layer back frees 1.142 GB and makes gradients of 0.436 GB: it was the crest. The sum has 16.06 GB of gradients more.
    """
    how = {"seq_len": 8192, "micro_batches": 1}
    by_hand = 14 * 8_029_995_008 + 8192 * (32 * 139_392 + 16_384) + 10 * 8192 * 128_256
    assert crest(**how) == pytest.approx(by_hand)
    assert summed(**how) - by_hand == pytest.approx(2 * 8_029_995_008)


def test_gathered_layers_are_gone_when_the_optimiser_works_by_hand():
    """Llama-3-8B on eight, ZeRO 3, Adam not fused: N/8 x (2 + 2 + 12 + 8) B while the optimiser works.

    In front of it, N/8 x 16 B, the layers' inputs and one layer done again (or the logits) and what is gathered: less.
    """
    how = {"zero": 3, "dp": 8, "recompute": "full", "recipe": "adam, not fused"}
    assert crest(keeps_gradients=True, **how) == pytest.approx(8_029_995_008 / 8 * 24)
    in_passes = 8_029_995_008 / 8 * 16 + 1024 * (32 * 8192 + 16_384 + 10 * 128_256) + 2 * (3 * LAYER + 2 * HEAD)
    assert in_passes < 8_029_995_008 / 8 * 24


def test_gpipes_last_stage_waits_with_all_logits_by_hand():
    """Four stages, eight micro-batches: each waits with 6 B a logit, and one has its gradient of 4 B."""
    how = {"pp": 4, "micro_batches": 8, "schedule": "gpipe", "stage": 3}
    found = clocked(keeps_gradients=True, **how)
    assert found["logits"].max() == pytest.approx(1024 * 128_256 * (8 * 6 + 4))
    assert found["activations"].max() == pytest.approx(1024 * 8 * (8 * 139_392 + 16_384))
    # the sum has one micro-batch's logits, and one input of the head
    more = 1024 * (7 * 6 * 128_256 + 7 * 16_384)
    assert clock.crest(found)[1] - summed(**how) == pytest.approx(more)


# ---- micro-batches


@pytest.mark.parametrize(("schedule", "vpp"), [("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("zb1p", 1)])
@pytest.mark.parametrize("stage", range(4))
def test_micro_batches_in_flight_are_those_of_the_laws(schedule, vpp, stage):
    """Activations' crest over those of one micro-batch; the last stage has the head's input besides."""
    one = clocked(LLAMA, NO_HEAD, pp=4, stage=stage)["activations"].max()
    found = clocked(LLAMA, NO_HEAD, pp=4, micro_batches=16, schedule=schedule, vpp=vpp, stage=stage)
    head = (stage == 3) * 1024 * 16_384
    layers = one - head
    layout = Layout(seq_len=1024, pp=4, micro_batches=16, schedule=schedule, vpp=vpp)
    law = float(footprint.in_flight(layout, stage))
    waiting = found["activations"].max() - law * layers
    assert -1 < waiting < 16 * head + 1


def test_one_forward_one_backward_by_its_law():
    for stage in range(4):
        found = clocked(LLAMA, NO_HEAD, pp=8, micro_batches=32, stage=stage)["activations"].max()
        law = memory.in_flight_1f1b(32, stages=8, stage=stage)
        assert found == pytest.approx(float(law) * 4 * 1024 * 139_392)


def test_with_gpipe_all_micro_batches_pile_up():
    for m in (1, 3, 8):
        found = clocked(LLAMA, NO_HEAD, pp=4, micro_batches=m, schedule="gpipe")
        assert found["activations"].max() == pytest.approx(m * 8 * 1024 * 139_392)


@pytest.mark.parametrize("m", [1, 4, 16])
def test_byte_seconds_of_a_lone_chip(m):
    """Each micro-batch's layers grow over a third of its time and shrink over two: half of them, all the time."""
    found = clocked(LLAMA, NO_HEAD, micro_batches=m)
    integral = np.trapezoid(found["activations"], found["time_s"])
    assert integral == pytest.approx(32 * 1024 * 139_392 / 2 * 9)


@pytest.mark.parametrize(("schedule", "vpp"), [("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("zb1p", 1)])
def test_nothing_is_left_over_and_time_runs_on(schedule, vpp):
    for pp, stage, outputs in ((1, 0, False), (4, 0, True), (4, 2, True), (4, 3, False)):
        how = {"pp": pp, "micro_batches": 8, "schedule": schedule, "vpp": vpp if pp > 1 else 1, "recompute": "full"}
        found = clocked(LLAMA, PLAIN, stage=stage, keeps_outputs=outputs, **how)
        for name in ("activations", "logits", "recomputation", "step", "gradients"):
            assert abs(found[name][-1]) < 1 and found[name].min() > -1, (name, pp, stage)
        assert np.all(np.diff(found["time_s"]) >= -1e-12) and found["time_s"][-1] == 10.5
        assert {len(column) for column in found.values()} == {found["time_s"].size}


def test_passes_are_where_the_timeline_has_them():
    found = clocked(LLAMA, NO_HEAD, pp=4, micro_batches=8, stage=1)
    drawn = splitting.timeline("1f1b", 4, 8)
    mine = (drawn["stage"] == 1) & (drawn["kind"] == "backward")
    unit = 9 / drawn["end"].max()
    starts = drawn["start"][mine] * unit
    went = found["activations"]
    falls = found["time_s"][:-1][(np.diff(went) < -1) & (found["phase"][1:] == "backward")]
    assert all(np.min(np.abs(falls - start)) < 1e-9 for start in starts)


# ---- what must never grow

SHAPES = st.sampled_from(["Llama-3-8B", "Llama-2-7B", "Mixtral-8x7B"])
HOW = st.fixed_dictionaries(
    {
        "pp": st.sampled_from([1, 2, 4]),
        "micro_batches": st.sampled_from([1, 4, 8]),
        "micro_batch": st.sampled_from([1, 4]),
        "dp": st.sampled_from([2, 8]),
        "tp": st.sampled_from([1, 4]),
        "schedule": st.sampled_from(["gpipe", "1f1b", "zb1p"]),
        "fused_attention": st.booleans(),
    }
)


@given(SHAPES, HOW)
def test_more_recomputation_never_raises_the_activations(name, how):
    crests = [clocked(model(name), recompute=policy, **how)["activations"].max() for policy in POLICIES]
    assert np.all(np.diff(crests) <= 1e-6 * crests[0])


@given(SHAPES, HOW, st.sampled_from(["adam", "adam, not fused", "muon"]))
def test_each_stage_of_zero_lowers_the_floor(name, how, recipe):
    """The floor: what is held before the step begins."""
    floors = [clock.total_bytes(clocked(model(name), zero=zero, recipe=recipe, **how)).min() for zero in range(4)]
    assert np.all(np.diff(floors) <= 0) and floors[3] == pytest.approx(floors[0] / how["dp"])


@given(SHAPES, HOW)
def test_gradients_that_stay_never_lower_the_crest(name, how):
    assert crest(model(name), **how) <= crest(model(name), keeps_gradients=True, **how) * (1 + 1e-12)


# ---- times and doors


def test_times_add_up_to_the_step_and_backward_takes_about_twice():
    on = machine(chip("H100 SXM5"))
    x = Layout(seq_len=4096, dp=8, zero=3, micro_batches=4)
    found = clock.times(LLAMA, x, on=on, software="2024")
    step = float(training.seconds(LLAMA, x, on=on, software="2024"))
    assert found.passes_s + found.exchange_s + found.optimizer_s == pytest.approx(step)
    assert found.again_s == 0 and 1.7 < found.backward_s / found.forward_s < 2.6
    full = clock.times(LLAMA, replace(x, recompute="full"), on=on, software="2024")
    assert full.again_s == pytest.approx(full.forward_s) == pytest.approx(found.forward_s)
    assert clock.held(LLAMA, x, found)["time_s"][-1] == pytest.approx(step)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"micro_batches": np.array([1, 2])}, "layout must be one, got an array as its micro_batches"),
        ({"schedule": "zbv", "pp": 2}, "schedule of a clock 'zbv' is unknown"),
        ({"pp": 4, "stage": 4}, "stage must be"),
    ],
)
def test_doors(how, message):
    with pytest.raises(ValueError, match=message):
        clocked(**how)


def test_times_are_checked():
    with pytest.raises(ValueError, match="Times.forward_s"):
        replace(PLAIN, forward_s=0.0)
    with pytest.raises(ValueError, match="times must be"):
        clock.held(LLAMA, Layout(seq_len=8), 3.0)
