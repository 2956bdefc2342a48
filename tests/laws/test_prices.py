"""The prices of a training step: power, launches, recomputation, ZeRO's exchange, stages. By hand, by dimension, at limits."""

import held
import numpy as np
import pint
import pytest

from bottlenecks.laws import launches, pipelines, power, recomputation, serving, zero

unit = pint.UnitRegistry()
S, FLOP, J, W = unit.second, unit.dimensionless, unit.joule, unit.watt
WINDOW = {"forward_s": 1 * S, "backward_s": 2 * S, "layers": 4, "times": 3}


@pytest.mark.parametrize(
    ("law", "args", "kwargs", "expected"),
    [
        (power.sustained_share, (8e14 / S,), {"flop_per_joule": 0.775e12 / J, "watts": 700 * W}, unit.dimensionless),
        (
            power.capped_share,
            (500 * W,),
            {"cap_watts": 400 * W, "idle_watts": 100 * W, "exponent": 3},
            unit.dimensionless,
        ),
        (power.watts_wanted, (0.9,), {"exponent": 3}, unit.dimensionless),
        (launches.exposed_launches_s, (1000,), {"call_s": 6e-6 * S, "busy_s": 5e-3 * S}, S),
        (
            recomputation.again_s,
            (recomputation.REPEATS["full"],),
            {"products_s": 4 * S, "attention_s": 1 * S, "elementwise_s": 0.5 * S},
            S,
        ),
        (pipelines.slowest_stage_s, (1 * S, 1 * S, 2 * S), {"most": 4, "last": 3, "stages": 4, "schedule": "1f1b"}, S),
    ],
)
def test_dimensions_and_cards(law, args, kwargs, expected):
    held.hold(law, args, kwargs, (1 * expected) if expected is S else unit.Quantity(1.0), unit)


def test_the_cap_of_an_h100():
    # 0.775 TFLOP/J x 700 W = 542.5 TFLOP/s, of 846 TFLOP/s that a product alone reaches
    assert power.sustained_share(846e12, flop_per_joule=0.775e12, watts=700) * 846e12 == pytest.approx(542.5e12)
    assert power.sustained_share(100e12, flop_per_joule=0.775e12, watts=700) == 1  # a slow kernel is not capped
    half, whole = power.sustained_share(846e12, flop_per_joule=0.775e12, watts=np.array([350, 700]))
    assert half == pytest.approx(whole / 2)


def test_switching_power_is_watts():
    amount = {"farads": 1e-6 * unit.farad, "volts": 0.8 * unit.volt, "hertz": 1e9 / S}
    held.hold(power.switching_watts, (0.5,), amount, 1 * W, unit)
    # 0.5 x 1 uF x 0.64 V^2 x 1 GHz = 320 W; zeros, which switch nothing, take none
    assert power.switching_watts(0.5, farads=1e-6, volts=0.8, hertz=1e9) == pytest.approx(320)
    assert power.switching_watts(0.0, farads=1e-6, volts=0.8, hertz=1e9) == 0


def test_a_capped_clock_by_hand():
    # 900 W wanted, 500 W there, 100 W of both idle: half of the switching power. At fixed voltage half of the clock;
    # where the voltage follows, the cube root of a half, 0.794. With watts to spare the clock is whole.
    cap = {"cap_watts": 500, "idle_watts": 100}
    assert power.capped_share(900, **cap, exponent=np.array([1, 3])) == pytest.approx([0.5, 0.5 ** (1 / 3)])
    assert power.capped_share(300, **cap, exponent=3) == 1
    # and back: 0.8 of the clock at a cap wants 1/0.8 = 1.25 times the power, or 1/0.512 = 1.953 times
    assert power.watts_wanted(0.8, exponent=np.array([1, 3])) == pytest.approx([1.25, 1 / 0.512])


def test_the_chip_waits_only_when_the_processor_is_behind():
    # 1,000 launches of 6 us are 6 ms: 1 ms behind 5 ms of work, nothing behind 7 ms
    assert launches.exposed_launches_s(1000, call_s=6e-6, busy_s=np.array([5e-3, 7e-3])) == pytest.approx([1e-3, 0])


@pytest.mark.parametrize(
    ("policy", "seconds"), [("none", 0.0), ("selective", 1.0), ("products", 4 / 2 + 0.5), ("full", 5.5)]
)
def test_what_each_policy_does_again(policy, seconds):
    again = recomputation.repeats(recomputation.POLICIES.index(policy))
    assert recomputation.again_s(again, products_s=4.0, attention_s=1.0, elementwise_s=0.5) == seconds
    many = recomputation.repeats(np.arange(4))
    assert recomputation.again_s(many, products_s=4.0, attention_s=1.0, elementwise_s=0.5).shape == (4,)


def test_full_repeats_most_and_none_nothing():
    for column in recomputation.TABLE:
        assert column[0] == 0 and column[-1] == column.max() == 1


def test_exposed_gradients_by_hand():
    at = {"forward_s": 1.0, "backward_s": 2.0, "layers": 4, "times": 1}
    both = {"hides_gradients": True, "hides_weights": True}
    # Of 4 s of reduction three quarters can hide, 2 s of backward pass do; of 2 s of gather 1.5 s can, 1 s does.
    exposed, hidden = zero.exposed_gradients_s(4.0, 2.0, **at, **both)
    assert (exposed, hidden) == (3.0, 3.0)
    nothing = zero.exposed_gradients_s(4.0, 2.0, **at, hides_gradients=False, hides_weights=False)
    assert nothing == (6.0, 0.0)
    # ZeRO 2 reduces with each of 8 micro-batches, and gathers once.
    assert zero.exposed_gradients_s(4.0, 2.0, **at | {"times": 8}, **both) == (8 * 2.0 + 1.0, 8 * 2.0 + 1.0)
    alone = zero.exposed_gradients_s(4.0, 0.0, **at | {"layers": 1}, **both)
    assert alone == (4.0, 0.0)  # one layer has nothing to hide behind


def test_sharded_weights_by_hand():
    # Gathers of 2 s, forward and backward, and 2 s of gradients, with each of 3 micro-batches: 1 s and 2 s of work hide as much.
    exposed, hidden = zero.exposed_weights_s(2.0, 2.0, forward_s=1.0, backward_s=2.0, layers=4, times=3, gathers=2)
    assert (exposed, hidden) == (3 * (6 - 3), 3 * 3)
    # Kept whole: 2 s of weights, of which a forward pass of 1 s hides 1; 2 s of gradients, of which 3/4 hide in 2 s.
    kept = zero.exposed_weights_s(2.0, 2.0, forward_s=1.0, backward_s=2.0, layers=4, times=1, gathers=1)
    assert kept == (4 - 1 - 1.5, 2.5)
    free, _ = zero.exposed_weights_s(0.0, 0.0, forward_s=1.0, backward_s=2.0, layers=4, times=3, gathers=2)
    assert free == 0


def test_what_is_sent_is_exposed_or_hidden():
    for reduce, gather, layers in ((4.0, 2.0, 4), (0.1, 0.1, 80), (3.0, 9.0, 1)):
        at = {"forward_s": 1.0, "backward_s": 2.0, "layers": layers, "times": 2}
        both = zero.exposed_gradients_s(reduce, gather, hides_gradients=True, hides_weights=True, **at)
        assert sum(both) == pytest.approx(2 * reduce + gather)
        assert sum(zero.exposed_weights_s(reduce, gather, gathers=2, **at)) == pytest.approx(2 * (2 * gather + reduce))


def test_the_slowest_stage_by_hand():
    at = {"most": 4, "last": 3}
    # first: 4 layers and an embedding, 4.5; last: 3 layers and a head of 2, 5
    assert pipelines.slowest_stage_s(1.0, 0.5, 2.0, stages=4, schedule="1f1b", **at) == 5
    # fed from both ends a chip has half of each: 4.75; with more than two stages another has 4 layers
    assert pipelines.slowest_stage_s(1.0, 0.5, 2.0, stages=4, schedule="dualpipe", **at) == 4.75
    # one stage has everything
    assert pipelines.slowest_stage_s(1.0, 0.5, 2.0, stages=1, schedule="1f1b", most=7, last=7) == 9.5


def test_tokens_of_a_guess_by_hand():
    # Of four guesses all are taken, and one token more; none, and only that one; half: (1 - 1/32) / (1/2) = 1.9375
    found = serving.speculative_tokens(np.array([1.0, 0.0, 0.5]), drafted=4)
    assert found == pytest.approx([5, 1, 1.9375])
    assert serving.latency_floor_s(8e9, chips=4, bytes_per_s=1e12) == pytest.approx(2e-3)


def idle(schedule, stages, micro_batches, chunks=1, forward=1.0, backward=2.0, weights=1.0):
    at = {"stages": stages, "micro_batches": micro_batches, "chunks": chunks, "schedule": schedule}
    return float(pipelines.bubble_s(forward, backward, weights, **at))


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_a_plain_bubble_by_hand(schedule):
    assert idle(schedule, 4, 8) == idle(schedule, 4, 2) == idle(schedule, 4, 8, chunks=2) == 3 * 3
    assert idle(schedule, 4, 8, weights=0.5) == 9 and idle(schedule, 1, 8) == 0


def test_an_interleaved_bubble_by_hand():
    # Half of it with two chunks. With 2 micro-batches for 4 stages the first chunk waits for 2 more: (3 + 2) x 3 / 2.
    assert idle("interleaved", 4, 8, chunks=2) == idle("interleaved", 4, 4, chunks=2) == 4.5
    assert idle("interleaved", 4, 2, chunks=2) == 7.5
    assert idle("interleaved", 4, 2, chunks=3) == (3 + 2 * 2) * 3 / 3


def test_bubbles_filled_with_gradients_of_weights_by_hand():
    # 3 (F + B - W) less as many gradients as there are, 3 or 6 at most: with W = 0.5, 7.5 - 1.5 and 7.5 - 3
    assert idle("zb1p", 4, 8, weights=0.5) == 6 and idle("zb2p", 4, 8, weights=0.5) == 4.5
    assert idle("zbv", 4, 8, weights=0.5) == 4.5
    assert idle("zb1p", 4, 2, weights=0.5) == 6.5 and idle("zb2p", 4, 4, weights=0.5) == 5.5
    assert idle("zb2p", 4, 8, weights=1.2) == 0  # (F + B - 3 W) is below zero
    assert idle("zb1p", 1, 8) == idle("zb2p", 1, 8) == 0


def test_a_bubble_fed_from_both_ends_by_hand():
    # (8/2 - 1)(F + 2 B - 2 W) less 3 W: 3 (5 - 1) - 1.5; with 2 micro-batches 12 - 1. Two stages have none.
    assert idle("dualpipe", 8, 8, weights=0.5) == 10.5 and idle("dualpipe", 8, 2, weights=0.5) == 11
    assert idle("dualpipe", 2, 8, weights=0.5) == idle("dualpipe", 1, 8, weights=0.5) == 0


def test_a_pair_of_stages_fed_from_both_ends_by_hand():
    # Each of two chips has half of both: 4 layers and an embedding 4.5, 3 layers and a head 5, so 4.75. With much
    # shorter ends and more stages, the chips between have whole layers alone.
    at = {"most": 4, "schedule": "dualpipe"}
    assert pipelines.slowest_stage_s(1.0, 0.5, 2.0, stages=2, last=3, **at) == 4.75
    assert pipelines.slowest_stage_s(1.0, 0.0, 0.0, stages=4, last=2, **at) == 4
    assert pipelines.slowest_stage_s(1.0, 0.0, 0.0, stages=3, last=2, **at) == 4
    assert pipelines.slowest_stage_s(1.0, 0.0, 0.0, stages=2, last=2, **at) == 3
    assert pipelines.slowest_stage_s(1.0, 0.0, 2.0, stages=4, last=3, most=4, schedule="zbv") == 5


def test_selective_recomputation_is_of_attention_alone():
    # korthikanti2022, section 5: the softmax and its neighbours; no product, no sum over ranks, no launch of the layer's
    assert recomputation.REPEATS["selective"] == recomputation.Repeats(0, 1, 0, 0, 0)
    assert recomputation.REPEATS["full"] == (1,) * 5 and recomputation.REPEATS["none"] == (0,) * 5
