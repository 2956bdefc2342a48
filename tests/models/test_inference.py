"""Inference: by hand, against print, and what no change of a server may do."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import serving, shares
from bottlenecks.models import inference, ops, requests
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import SERVER

LLAMA, MIXTURE = model("Llama-3-70B"), model("Mixtral-8x7B")
H100 = machine(chip("H100 SXM5"))
PALM = {"stationary": "2-D", "parallel_block": True, "cache_format": "bf16"}


def test_the_floor_of_70_billion_weights_over_8_chips():
    # 141 GB over 8 x 3.35 TB/s
    floor = serving.latency_floor_s(141e9, chips=8, bytes_per_s=3.35e12)
    assert floor == pytest.approx(5.26e-3, rel=1e-3)
    step = inference.decode(LLAMA, Plan(tp=8), H100, batch=1, context=1024)
    assert floor < step.layers_s + step.ends_s < 2 * floor


@pytest.mark.parametrize(
    ("drafted", "acceptance", "tokens"), [(4, 0.0, 1), (4, 1.0, 5), (1, 0.5, 1.5), (3, 0.5, 1.875)]
)
def test_tokens_of_a_speculative_pass(drafted, acceptance, tokens):
    # (1 - 0.5^4) / (1 - 0.5) = 1.875
    assert serving.speculative_tokens(acceptance, drafted=drafted) == pytest.approx(tokens)


def test_drafts_that_nobody_takes_cost_and_those_that_all_take_pay():
    draft, plan = model("Llama-3-8B"), Plan(tp=8)
    alone = inference.decode(LLAMA, plan, H100, batch=1, context=1024).seconds
    bad, good = requests.speculative_s(
        LLAMA, draft, plan, H100, batch=1, context=1024, acceptance=np.array([0.0, 1.0]), drafted=4
    )
    assert bad > alone > good


@pytest.mark.parametrize(
    ("weights", "batch", "context", "measured_s"),
    [("int8", 64, 2080, 28.5e-3), ("bf16", 64, 2080, 36.9e-3), ("bf16", 512, 2080, 93.75e-3)],
)
def test_palm_on_64_chips_of_tpu_v4(weights, batch, context, measured_s):
    # pope2022, Table 2 and section 4; the bar is 10 %
    step = inference.decode(
        model("PaLM 540B"),
        Plan(tp=64, weight_format=weights, **PALM),
        machine(chip("TPU v4")),
        batch=batch,
        context=context,
    )
    assert step.seconds == pytest.approx(measured_s, rel=0.1)


def test_one_chip_is_the_ledger():
    from bottlenecks.models import kernels

    small, on = model("Llama-3-8B"), kernels.device(chip("H100 SXM5"))
    rows = ops.decode(small, batch=64, context_tokens=512)
    step = inference.decode(small, Plan(), H100, batch=64, context=512)
    assert step.seconds == pytest.approx(kernels.ledger_s(rows, on), rel=1e-9)
    assert step.exchange_s == 0 and step.transfer_s == 0


def test_cut_rows_hold_the_whole_model_together():
    # eight chips' parts of weights and operations add up; norms, which all do, aside
    whole = ops.products(inference.rows(LLAMA, Plan(), H100, batch=16, queries=1, keys=512))
    part = ops.products(inference.rows(LLAMA, Plan(tp=8), H100, batch=16, queries=1, keys=512))
    for what in ("flop", "weight_bytes", "cache_bytes"):
        assert 8 * ops.total(part, what) == pytest.approx(ops.total(whole, what))
    few = inference.rows(LLAMA, Plan(tp=16), H100, batch=16, queries=1, keys=512)
    cache = ops.total(few, "cache_bytes")  # eight key-value heads: the ninth chip has a copy
    assert 8 * cache == pytest.approx(ops.total(whole, "cache_bytes"))


def test_experts_are_cut_over_groups_and_see_all_their_tokens():
    alone = inference.rows(MIXTURE, Plan(), H100, batch=64, queries=1, keys=512)
    shared = inference.rows(MIXTURE, Plan(ep=8), H100, batch=8, queries=1, keys=512)
    for a, b in zip(alone, shared, strict=True):
        if a.name in ("experts: up", "experts: gate and up", "experts: down"):
            assert 8 * b.flop == pytest.approx(a.flop)
            assert 8 * b.weight_bytes == pytest.approx(a.weight_bytes)


def test_arrays_are_scalars_many_times():
    batch, context = np.array([1, 7, 64, 300]), np.array([100, 4000, 900, 32000])
    for plan in (Plan(tp=8), Plan(tp=4, pp=2), Plan(tp=2, weight_format="int8", cache_format="fp8")):
        swept = inference.decode_s(LLAMA, plan, H100, batch=batch, context=context)
        each = [
            inference.decode_s(LLAMA, plan, H100, batch=b, context=c)
            for b, c in zip(batch.tolist(), context.tolist(), strict=True)
        ]
        assert swept == pytest.approx(each, rel=1e-12)


def test_a_long_array_of_few_batches_is_the_same():
    batch = np.tile([1, 8, 64], 2000)
    context = np.arange(1, 6001)
    long = inference.decode_s(LLAMA, Plan(tp=8), H100, batch=batch, context=context)
    few = inference.decode_s(LLAMA, Plan(tp=8), H100, batch=batch[::100], context=context[::100])
    assert long[::100] == pytest.approx(few, rel=1e-12)


@pytest.mark.parametrize("field", ["memory_bytes_per_s", "link_speed", "product_flop_per_s", "vector_per_s"])
@pytest.mark.parametrize("plan", [Plan(tp=8), Plan(tp=4, pp=2), Plan(tp=2, weight_format="int8")])
def test_more_of_a_rate_is_never_slower(field, plan):
    rates = getattr(H100, field) * np.geomspace(0.25, 4, 9)
    on = replace(H100, **{field: rates})
    for batch in (1, 256):
        seconds = inference.decode_s(LLAMA, plan, on, batch=batch, context=2048)
        assert np.all(np.diff(np.broadcast_to(seconds, 9)) <= 1e-12)


@pytest.mark.parametrize(
    ("shape", "plan", "on"),
    [
        (LLAMA, Plan(tp=8), H100),
        (LLAMA, Plan(tp=4, pp=2), H100),
        (MIXTURE, Plan(ep=8), H100),
        (LLAMA, Plan(weight_format="fp8", cache_format="fp8"), machine(chip("H100 SXM5"), "fp8")),
        (model("PaLM 540B"), Plan(tp=64, **PALM), machine(chip("TPU v4"))),
        (LLAMA, Plan(tp=8, software=replace(SERVER, host_layer_s=2e-2 / LLAMA.layers)), H100),
    ],
)
def test_shares_sum_to_one(shape, plan, on):
    for batch in (1, 100):
        owners = shares.shares(
            lambda s, b=batch: requests.run(shape, plan, s, batch=b, prompt=500, output=100).seconds, on, RESOURCES
        )
        assert sum(owners.values()) == pytest.approx(1, abs=1e-6)


def test_a_run_is_a_prompt_and_its_steps():
    made = requests.run(LLAMA, Plan(tp=8), H100, batch=4, prompt=500, output=100)
    steps = inference.decode_s(LLAMA, Plan(tp=8), H100, batch=4, context=np.arange(501, 600))
    assert made.decode_s == pytest.approx(steps.sum(), rel=2e-3)
    assert made.prefill_s == inference.prefill_s(LLAMA, Plan(tp=8), H100, batch=4, prompt=500)
    one = requests.run(LLAMA, Plan(tp=8), H100, batch=4, prompt=500, output=1)
    assert one.decode_s == 0 and one.seconds == one.prefill_s


def test_the_second_user_is_nearly_free_until_the_cache_is_not():
    steps = inference.decode_s(LLAMA, Plan(tp=8), H100, batch=np.array([1, 2]), context=512)
    assert steps[1] / steps[0] < 1.05
    long = inference.decode_s(LLAMA, Plan(tp=8), H100, batch=np.array([1, 64]), context=128_000)
    assert long[1] / long[0] > 5


def test_stages_yield_more_and_answer_no_sooner():
    whole = requests.saturated(LLAMA, Plan(tp=8), H100, batch=64, prompt=500, output=500)
    staged = requests.saturated(LLAMA, Plan(tp=8, pp=4), H100, batch=256, prompt=500, output=500)
    assert staged.tokens_per_s > 2 * whole.tokens_per_s
    assert staged.token_s > 0.9 * whole.token_s


def test_a_slow_host_hides_behind_slow_chips():
    plan = Plan(tp=8, software=replace(SERVER, host_layer_s=5e-3 / LLAMA.layers))
    fast, slow = (inference.decode(LLAMA, plan, H100, batch=b, context=512) for b in (1, 2000))
    assert slow.host_s == 0 and fast.seconds == pytest.approx(max(fast.seconds, 5e-3))


def test_the_frontier_trades_latency_for_throughput():
    plan = Plan(tp=8, weight_format="fp8", cache_format="fp8")
    edge = requests.frontier(LLAMA, plan, H100, prompt=1000, output=1000, batches=2.0 ** np.arange(14))
    assert edge["batch"].size > 5 and np.all(np.diff(edge["token_s"]) > 0)
    assert np.all(np.diff(edge["tokens_per_s_per_chip"]) > 0)
    most = requests.largest_batch(LLAMA, plan, H100, context=2000)
    assert edge["batch"].max() <= most


def test_plans_are_checked_at_the_door():
    with pytest.raises(ValueError, match="tp"):
        Plan(tp=0)
    with pytest.raises(ValueError, match="2-D"):
        Plan(stationary="2D")
    lone = machine(chip("H100 SXM5"), tiers=())
    assert np.isinf(inference.decode_s(LLAMA, Plan(tp=8), lone, batch=1, context=64))
