"""Inference: by hand, against print, and what no change of a server may do."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.laws import serving, shares
from bottlenecks.models import collectives, inference, ops, requests
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import SERVER, at
from bottlenecks.models.wiring import send_s

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


# ---- how a pass is put together, by hand


def test_a_model_without_experts_can_not_deal_them():
    with pytest.raises(ValueError, match=r"Plan.ep must be at most the experts of Llama-3-70B .1., got 2"):
        inference.decode(LLAMA, Plan(ep=2), H100, batch=1, context=64)


def test_a_pipeline_by_hand():
    # Four stages: layers 8 and their exchange 4, so 3 on a stage; the head 1; three sends of 1; a host of 0.5. A
    # part leaves the last stage every 3 + 1 + 1 + 0.5; three of them take the first's 16.5 and two such.
    part = inference.Pass(8.0, 1.0, 4.0, 3.0, 0.5)
    assert part.seconds == 16.5
    assert inference.slowest_stage_s(part, Plan(pp=4)) == 5.5
    assert inference.slowest_stage_s(part, Plan(pp=2)) == 6 + 1 + 3 + 0.5  # two stages send once
    assert inference._staged_s(part, Plan(pp=4), 3) == 27.5
    assert inference.slowest_stage_s(part._replace(transfer_s=0.0), Plan()) == 13.5


def test_sends_between_stages_by_hand():
    # Three sends of 2 bytes x 64 tokens x 8,192 values, half of them from each of two ranks
    made = inference.decode(LLAMA, Plan(tp=2, pp=4), H100, batch=64, context=512)
    assert made.transfer_s == pytest.approx(3 * send_s("p2p", 64 * 8192, 2, on=H100))
    swept = inference.decode(LLAMA, Plan(tp=2, pp=np.array([1, 4])), H100, batch=64, context=512)
    assert swept.transfer_s.tolist() == [0.0, made.transfer_s]


@pytest.mark.parametrize(
    ("batch", "prompt", "parts"), [(8, 512, 4), (8, 500, 4), (8, 64, 2), (8, 4096, 8), (1, 4096, 1)]
)
def test_parts_of_a_prompt_by_hand(batch, prompt, parts):
    # parts of about 1,024 tokens, one a stage at least, none of less than a sequence
    plan = Plan(tp=8, pp=2)
    one = inference.prefill(LLAMA, plan, H100, batch=batch / parts, prompt=prompt, cached=100)
    expected = one.seconds + (parts - 1) * inference.slowest_stage_s(one, plan)
    assert inference.prefill_s(LLAMA, plan, H100, batch=batch, prompt=prompt, cached=100) == pytest.approx(expected)


def test_a_step_over_stages_goes_whole_or_in_parts():
    plan = Plan(tp=8, pp=4)
    for batch in (2, 64, 2048):
        whole = inference.decode(LLAMA, plan, H100, batch=batch, context=512)
        parts = min(batch, 4)
        part = inference.decode(LLAMA, plan, H100, batch=batch / parts, context=512)
        staged = part.seconds + (parts - 1) * inference.slowest_stage_s(part, plan)
        found = inference.decode_s(LLAMA, plan, H100, batch=batch, context=512)
        assert found == pytest.approx(min(whole.seconds, staged))


def test_a_host_that_is_late_by_hand():
    # The host's own 20 ms outlast everything that chips and wires do: a step is 20 ms, twice that at half its speed.
    software = replace(SERVER, host_layer_s=20e-3 / LLAMA.layers)
    for plan in (Plan(tp=8, software=software), Plan(tp=4, pp=2, software=software)):
        made = inference.decode(LLAMA, plan, H100, batch=8, context=512)
        assert made.seconds == pytest.approx(20e-3) and made.host_s > 0
        assert inference.decode(LLAMA, plan, replace(H100, host_waits=2.0), batch=8, context=512).seconds == (
            pytest.approx(40e-3)
        )


def test_gathered_weights_come_beside_the_layer_before():
    lone, slow = machine(chip("TPU v4")), replace(machine(chip("TPU v4")), link_bytes_per_s=1e9)
    asked = {"batch": 512, "queries": 2048, "keys": 2048}
    made, late = (inference.one_pass(LLAMA, Plan(tp=64, stationary="gathered"), on, **asked) for on in (lone, slow))
    whole = LLAMA.block_params * 2 * 63 / 64 / 1e9
    assert made.exchange_s == 0 and late.exchange_s == pytest.approx(whole - late.layers_s)


def test_routed_experts_take_a_start_in_each_layer():
    asked = {"batch": 8, "context": 512}
    none, some = (inference.decode(MIXTURE, Plan(), replace(H100, routing_s=s), **asked) for s in (0.0, 1e-5))
    assert some.layers_s - none.layers_s == pytest.approx(MIXTURE.layers * 1e-5) and some.ends_s == none.ends_s
    dense = [inference.decode_s(LLAMA, Plan(tp=8), replace(H100, routing_s=s), **asked) for s in (0.0, 1e-5)]
    assert dense[0] == dense[1]
    # narrow products make their operands first: the file's 13.5 and 38.5 us
    starts = [machine(chip("H100 SXM5"), format).routing_s for format in ("bf16", "fp8")]
    assert starts == [13.5e-6, 38.5e-6]
    assert machine(chip("H100 SXM5"), efficiency=collectives.Efficiency()).routing_s == 0


def test_which_rows_a_pass_has():
    fp8 = machine(chip("H100 SXM5"), "fp8")
    asked = {"batch": 2, "queries": 1, "keys": 64}
    formats = {
        kept: {op.format for op in inference.rows(LLAMA, Plan(weight_format=kept), fp8, **asked) if op.kind == "matmul"}
        for kept in ("bf16", "fp8")
    }
    assert formats == {"bf16": {fp8.format}, "fp8": {"fp8"}}  # 16-bit weights are multiplied in 16 bits
    joint = [op.name for op in inference.rows(LLAMA, Plan(parallel_block=True), H100, **asked)]
    assert joint.count("residual add") == 1 and "feed-forward norm" not in joint and "attention norm" in joint
    latent = model("DeepSeek-V3")
    for queries, absorbed in ((16, True), (17, False)):
        names = {op.name for op in inference.rows(latent, Plan(), H100, batch=1, queries=queries, keys=64)}
        assert ("queries into the latent" in names) == absorbed
    queries = np.array([1, 64])  # an array goes one way: absorbed only where all of it does
    names = {op.name for op in inference.rows(latent, Plan(), H100, batch=1, queries=queries, keys=64)}
    assert "queries into the latent" not in names
    assert Plan(tp=4, pp=3, ep=2).chips == 24


def test_a_long_array_on_a_swept_machine_is_each_its_own():
    batch, rates = np.tile([1.0, 8.0, 64.0], 1500), np.linspace(1e12, 3e12, 4500)
    found = inference.decode_s(LLAMA, Plan(tp=8), replace(H100, memory_bytes_per_s=rates), batch=batch, context=512)
    for i in (0, 2222, 4499):
        on = replace(H100, memory_bytes_per_s=rates[i])
        assert found[i] == pytest.approx(inference.decode_s(LLAMA, Plan(tp=8), on, batch=batch[i], context=512))


def test_a_program_that_runs_every_expert_reads_all_weights():
    # 30.5 billion weights of 2 bytes over the 2.45 TB/s of Gaudi 2: 24.9 ms for one token; 3.3 billion are needed
    shape, on = model("Qwen3-30B-A3B"), machine(chip("Gaudi 2"))
    all_of_them, chosen = (
        inference.decode_s(shape, Plan(software=replace(SERVER, every_expert=every)), on, batch=1, context=1024)
        for every in (True, False)
    )
    assert all_of_them > 24.9e-3 > 3 * chosen
    assert at("vLLM", "2025-06", "Gaudi").every_expert and not at("vLLM", "2025-06", "Hopper").every_expert
