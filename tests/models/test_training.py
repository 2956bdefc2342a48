"""The training step: hand arithmetic, identities, limits, shares, arrays against scalars."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bottlenecks.facts.architectures import Model, model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import system
from bottlenecks.laws import pipelines, recomputation, shares
from bottlenecks.measured.memory import gpt
from bottlenecks.models import constants, kernels, layer, ops, sets, training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import RESOURCES, machine
from bottlenecks.models.software import Software, release, years
from bottlenecks.models.wiring import send_s

GPT = gpt(8, 1024, 16, vocab=51200)
ON = machine(system("DGX H100"))
A100 = machine(chip("A100 SXM 80GB"))
PERFECT = Software(name="perfect", attention="fused", host_s=0.0, stolen=0.0)
BASE = {"seq_len": 2048, "micro_batch": 2, "micro_batches": 4}


def step(model=GPT, on=A100, software=PERFECT, **layout):
    return training.step(model, Layout(**(BASE | layout)), on=on, software=software)


def test_one_chip_is_the_ledger():
    """One chip has no message and no bubble: kernels of the ledger, and the update."""
    rows = ops.forward(GPT, batch=2, queries=2048)
    rows = rows + ops.backward(rows)
    rows = [r._replace(shape=r.shape | {"implementation": "fused"}) if r.kind == "attention" else r for r in rows]
    found = step()
    computing = found.seconds - found.rows["optimiser"]
    assert computing == pytest.approx(4 * kernels.ledger_s(rows, A100), rel=1e-9)


def test_one_chip_sends_nothing():
    rows = step().rows
    for name in (
        "tensor parallel",
        "context parallel",
        "expert parallel",
        "pipeline sends",
        "pipeline bubble",
        "uneven stages",
        "data parallel",
    ):
        assert rows[name] == 0


def test_rows_have_fixed_names_and_none_is_negative():
    for found in (step(), step(tp=2, pp=4, dp=2, zero=1, recompute="full"), step(dp=8, zero=3)):
        assert tuple(found.rows) == training.ROWS
        assert all(np.all(value >= -1e-12) for value in found.rows.values())


def test_the_bubble_by_hand():
    """(p - 1)/(m v) of the work: 3 of 8 micro-batches; interleaved in two chunks, half of it."""
    times = {"stages": 4, "micro_batches": 8}
    plain = pipelines.bubble_s(1.0, 2.0, 1.0, chunks=1, schedule="1f1b", **times)
    assert plain / (8 * 3.0) == pytest.approx(3 / 8)
    half = pipelines.bubble_s(1.0, 2.0, 1.0, chunks=2, schedule="interleaved", **times)
    assert half == pytest.approx(plain / 2)
    assert pipelines.bubble_s(1.0, 2.0, 1.0, chunks=1, schedule="zb1p", **times) == 3  # F + B - 2 W
    assert pipelines.bubble_s(1.0, 2.0, 1.0, chunks=1, schedule="zb2p", **times) == 0
    # 4 micro-batches have 4 gradients of weights, not 6, to fill with: 3 (F + B - W) - 4 W
    few = {"stages": 4, "micro_batches": 4}
    assert pipelines.bubble_s(1.0, 2.0, 1.0, chunks=1, schedule="zb2p", **few) == 2
    # (8/2 - 1)(F + 2 B - 3 W) = 3 x 2
    dual = pipelines.bubble_s(1.0, 2.0, 1.0, stages=8, chunks=1, micro_batches=8, schedule="dualpipe")
    assert dual == 6


def test_bubble_of_a_step():
    """Of even stages without ends, the bubble is (p - 1)/m of the work."""
    rows = step(pp=4, micro_batches=8).rows
    idle = ("pipeline bubble", "uneven stages", "pipeline sends", "optimiser")
    work = sum(value for name, value in rows.items() if name not in idle)
    assert rows["pipeline bubble"] == pytest.approx(work * 3 / 8, rel=1e-6)


def test_model_flop_by_hand():
    """6 FLOP a weight and token, 6 more a head value and pair, causal: 3 x 4 x s(s+1)/2 x width."""
    found = step()
    tokens, sequences, width = 8 * 2048, 8, 1024
    weights = 8 * 12 * width**2 + 51200 * width
    pairs = 2048 * 2049 / 2
    by_hand = 6 * weights * tokens + 8 * 3 * 4 * pairs * width * sequences
    assert found.model_flop == pytest.approx(by_hand, rel=1e-9)
    assert found.full_flop == pytest.approx(6 * weights * tokens + 8 * 3 * 4 * 2048**2 * width * sequences, rel=1e-9)
    assert found.mfu == pytest.approx(by_hand / found.seconds / 312e12)


def test_flop_do_not_depend_on_the_layout():
    one = step(micro_batches=32)
    shared = {"dp": 4, "micro_batches": 8}
    for cut in ({"tp": 4}, {"pp": 4}, {"cp": 2}, {"tp": 2, "pp": 2, "sp": False}, shared, shared | {"cp": 2, "tp": 2}):
        many = step(**{"micro_batches": 32} | cut)
        for counted in ("model_flop", "full_flop", "hardware_flop"):
            assert getattr(many, counted) == pytest.approx(getattr(one, counted), rel=1e-9)


def test_recomputation_adds_a_third_of_the_hardware_flop():
    """A second forward pass of the layers: 4/3 without the logits."""
    tall = gpt(64, 1024, 16, vocab=128)
    assert step(tall, recompute="full").hardware_flop / step(tall).hardware_flop == pytest.approx(4 / 3, rel=1e-3)


def test_an_encoder_sees_both_ways():
    """Twice the pairs of a causal square, all but; a head for 15 % of the tokens."""
    both = step(replace(GPT, both_ways=True))
    width, sequences, tokens = 1024, 8, 8 * 2048
    weights = 8 * 12 * width**2 + 0.15 * 51200 * width
    by_hand = 6 * weights * tokens + 8 * 3 * 4 * 2048**2 * width * sequences
    assert both.model_flop == pytest.approx(by_hand, rel=1e-9)


def test_adapters_need_no_gradients_of_weights():
    """Two products of three; nothing to reduce, next to nothing to update."""
    tall = gpt(64, 1024, 16, vocab=128)
    all_of_it, adapters = step(tall, dp=8), step(tall, dp=8, lora_rank=16)
    for name in ("arithmetic at the peak", "products below the peak"):
        assert adapters.rows[name] < 0.8 * all_of_it.rows[name]
    assert adapters.rows["data parallel"] == 0 < all_of_it.rows["data parallel"]


def test_power_bounds_what_software_gains():
    """A fifth more FLOP a joule is a fifth more of the rate where power is the bound, and nothing where not."""
    tuned = replace(PERFECT, per_joule=1.05)
    hopper = machine(chip("H100 SXM5"))
    assert hopper.sustained < 1 == A100.sustained
    big = model("Llama-3-70B")
    products = [
        training.step(big, Layout(seq_len=8192, tp=8), on=hopper, software=e, memory=False).rows[
            "products below the peak"
        ]
        for e in (PERFECT, tuned)
    ]
    assert products[1] < products[0]
    assert step(software=tuned).seconds == step().seconds


def test_arrays_equal_scalars():
    choices = {
        "tp": [1, 2, 4, 8],
        "pp": [1, 2, 4, 2],
        "dp": [1, 4, 2, 8],
        "zero": [0, 1, 1, 3],
        "micro_batch": [1, 2, 1, 4],
        "recompute": ["none", "full", "selective", "none"],
        "schedule": ["1f1b", "zb1p", "interleaved", "1f1b"],
        "vpp": [1, 1, 2, 1],
    }
    many = step(on=ON, **{name: np.array(values) for name, values in choices.items()})
    for i in range(4):
        alone = step(on=ON, **{name: values[i] for name, values in choices.items()})
        assert many.seconds[i] == pytest.approx(float(alone.seconds), rel=1e-12)
        assert many.shortfall_bytes[i] == pytest.approx(float(alone.shortfall_bytes))


LAYOUTS = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 8, 16]),
        "pp": st.sampled_from([1, 2, 4]),
        "dp": st.sampled_from([1, 4, 16]),
        "cp": st.sampled_from([1, 2]),
        "zero": st.sampled_from([0, 1, 3]),
        "micro_batch": st.sampled_from([1, 4]),
        "micro_batches": st.sampled_from([4, 8]),
        "sp": st.booleans(),
        "recompute": st.sampled_from(["none", "selective", "products", "full"]),
        "schedule": st.sampled_from(["gpipe", "1f1b", "zb1p", "zb2p", "dualpipe"]),
    }
)


@settings(max_examples=25, deadline=None)
@given(LAYOUTS, st.sampled_from(list(years())), st.booleans())
def test_shares_sum_to_one(layout, software, mixture):
    shape = model("Qwen3-30B-A3B") if mixture else GPT
    known = BASE | layout | ({"ep": layout["dp"], "tp": 2} if mixture else {})
    whole = Layout(**known)
    found = shares.shares(lambda on: training.seconds(shape, whole, on=on, software=software), ON, RESOURCES)
    assert sum(found.values()) == pytest.approx(1, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    LAYOUTS,
    st.sampled_from(["matmul_flop_per_s", "memory_bytes_per_s", "cache_bytes_per_s", "link_speed", "port_speed"]),
)
@example(
    {
        "tp": 8,
        "pp": 4,
        "dp": 1,
        "cp": 1,
        "zero": 0,
        "micro_batch": 1,
        "micro_batches": 4,
        "sp": True,
        "recompute": "none",
        "schedule": "zb2p",
    },
    "cache_bytes_per_s",
)
def test_more_bandwidth_is_never_slower(layout, field):
    whole = Layout(**(BASE | layout))
    better = replace(ON, **{field: getattr(ON, field) * 1.5})
    slow, fast = (training.seconds(GPT, whole, on=on, software="2023") for on in (ON, better))
    assert fast <= slow * (1 + 1e-9)


def test_narrow_products_are_faster_and_attention_is_not():
    wide, narrow = (machine(chip("H100 SXM5"), f) for f in ("bf16", "fp8"))
    big = model("Llama-3-70B")
    layout = Layout(seq_len=8192, tp=8)
    one, two = (training.step(big, layout, on=on, software="2024", memory=False) for on in (wide, narrow))
    assert two.seconds < one.seconds
    assert two.peak_flop_per_s == pytest.approx(2 * one.peak_flop_per_s, rel=1e-3)


def test_power_caps_what_is_sustained():
    """The same FLOP a joule at 500 W against 700 W: five sevenths of the rate."""
    full, capped = (machine(chip(n)) for n in ("H100 SXM5", "Custom H100 96GB (HBM2e)"))
    rates = [layer.worn(on, PERFECT).matmul_flop_per_s for on in (full, capped)]
    assert rates[1] / rates[0] == pytest.approx(5 / 7)
    assert rates[0] == pytest.approx(700 * constants.training()["Hopper", "flop_per_joule_16"])


def test_zero_3_gathers_with_every_micro_batch():
    """Across slow ports: twice the micro-batches of half the size send twice the weights."""
    slow = replace(A100, port_speed=0.01)
    few, many = (step(on=slow, dp=64, zero=3, micro_batch=b, micro_batches=8 // b) for b in (4, 2))
    assert many.rows["data parallel"] == pytest.approx(2 * few.rows["data parallel"], rel=0.06)
    once = step(on=slow, dp=64, zero=1, micro_batch=2, micro_batches=4)
    assert once.rows["data parallel"] < many.rows["data parallel"] / 2


def test_what_does_not_fit_says_by_how_much():
    found = training.step(model("GPT-3 175B"), Layout(seq_len=2048), on=A100, software="2023")
    # 18 bytes a weight of state alone, 80 GB there
    assert not found.fits
    assert found.shortfall_bytes > 18 * 174e9 - 80e9


def test_an_unknown_era_is_told():
    with pytest.raises(ValueError, match="did you mean"):
        step(software="2032")


def test_distinct_is_exact():
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 9, 1000), rng.choice([0.5, 1.0, 3.0], 1000)
    which, (found_a, found_b, found_c) = sets.distinct(a, b, True)
    assert np.array_equal(found_a[which], a)
    assert np.array_equal(found_b[which], b)
    assert found_a.size == np.unique(np.stack([a, b]), axis=1).shape[1]
    assert np.all(found_c[which] == True)  # noqa: E712


def test_seconds_are_the_sum_of_the_rows():
    for kwargs in ({"tp": 2, "pp": 4, "dp": 2}, {"dp": 8, "zero": 3, "recompute": "full"}):
        layout = Layout(**(BASE | kwargs))
        rows = training.step(GPT, layout, on=ON, software="2022").rows
        assert training.seconds(GPT, layout, on=ON, software="2022") == pytest.approx(sum(rows.values()))


def test_what_hidden_exchange_steals_is_in_both():
    """Exchange beside the products takes cores from them: in the step's seconds as in its rows."""
    layout = Layout(**(BASE | {"tp": 8, "cp": 2, "pp": 2}))
    rows = training.step(GPT, layout, on=ON, software="2025").rows
    assert rows["slowed by communication"] > 0
    assert training.seconds(GPT, layout, on=ON, software="2025") == pytest.approx(sum(rows.values()))


def test_every_hidden_exchange_steals(monkeypatch):
    # 8 layers and 4 micro-batches, of each a tenth of 1 + 2 + 4 s
    sends = {"tensor": 0.0, "tensor hidden": 1.0, "context": 0.0, "context hidden": 2.0}
    sends |= {"experts": 0.0, "experts hidden": 4.0}
    monkeypatch.setattr(training, "_exposed_sends", lambda *_: sends)
    rows = step(software=replace(PERFECT, stolen=0.1)).rows
    assert rows["slowed by communication"] == pytest.approx(8 * 4 * 0.1 * 7)


def test_keys_and_values_beside_attention_by_hand():
    # Around three times, 2 s each; attention's 1 and 2 s hide a half of it.
    one = dict.fromkeys(("tensor_s", "gather_s", "experts_s"), 0.0) | {"products_s": 10.0, "input_gradients_s": 10.0}
    one |= {"context_s": 2.0, "attention_s": 1.0, "attention_gradients_s": 2.0}
    few, none = {"tp": 1, "cp": 4, "sp": False}, recomputation.POLICIES.index("none")
    found = training._exposed_sends(one, recomputation.repeats(none), ON, PERFECT, 30.0, few, False, none)
    assert (found["context"], found["context hidden"]) == (3, 3)


def test_hardware_sweeps_through_a_step():
    """An array in the machine's record gives an array of steps, each that of its own machine."""
    rates = ON.memory_bytes_per_s * np.array([0.5, 1.0, 2.0])
    layout = Layout(**(BASE | {"tp": 2, "dp": 4, "zero": 1}))
    many = training.seconds(GPT, layout, on=replace(ON, memory_bytes_per_s=rates), software="2024")
    alone = [training.seconds(GPT, layout, on=replace(ON, memory_bytes_per_s=r), software="2024") for r in rates]
    assert many == pytest.approx(np.array(alone).ravel())


def test_engines_beside_an_array_by_hand():
    # NeuronCore-v2: 128 lanes of 1.12 GHz for vectors and of 1.4 GHz for exponentials, two cores a chip.
    # A norm reads 2 bytes of a value and writes 2 in four instructions: one byte for each of them.
    on = machine(chip("Trainium1"))
    assert on.vector_per_s == pytest.approx(286.72e9) and on.exp_per_s == pytest.approx(358.4e9)
    long = 1e12
    norm_s = kernels.elementwise_s(long, device=on, kind="norm")
    copy_s = kernels.elementwise_s(long, device=on)
    assert norm_s - copy_s == pytest.approx(long / 286.72e9)
    assert machine(chip("TPU v4")).core_clocks_per_s == np.inf


def test_a_ring_of_each_tensor_parallel_rank_has_a_port():
    # All weights leave a machine through the one port of a ring over its eight chips; cut over the
    # eight, an eighth of them through the port of each: an eighth of the time, and shorter rings.
    software = replace(release("2021"), overlaps_gradients=False)
    on, shape = machine(chip("A100 SXM 80GB")), model("GPT-3 175B")
    alone, cut = (
        training.step(
            shape,
            Layout(dp=64 // tp, tp=tp, zero=3, micro_batch=1, seq_len=128),
            on=on,
            software=software,
            memory=False,
        ).rows["data parallel"]
        for tp in (1, 8)
    )
    assert alone / cut == pytest.approx(8, rel=0.15)


MIXTURE = Model(
    name="m",
    layers=4,
    width=1024,
    heads=8,
    kv_heads=8,
    head_values=128,
    attention="MHA",
    experts=64,
    experts_per_token=4,
    expert_width=512,
    vocab=32000,
)


def test_the_processor_bounds_many_small_experts():
    """Each matrix of each expert costs calls, and no product can be launched before its tokens are counted."""
    software = replace(release("2025"), attention="fused")
    few, many = (step(MIXTURE, on=ON, software=software, ep=n, dp=64, micro_batch=1) for n in (64, 1))
    calls = 2 * 64 * sum(layer.MATRIX_CALLS["wide"])  # a layer and micro-batch, two matrices
    assert many.rows["launches"] > 0
    assert many.seconds >= 4 * 4 * calls * software.host_s
    assert many.rows["launches"] > 5 * few.rows["launches"]


def test_biases_of_experts_are_moved_by_hand():
    plain, biased = (step(m, software=PERFECT) for m in (MIXTURE, replace(MIXTURE, expert_biases=True)))
    values = 2 * 2048 * 4  # tokens of a micro-batch, each at four experts
    each = [values * (b * 1024 + w * 512) for b, w in zip(layer.BIAS_BYTES, layer.BOUND_BYTES, strict=True)]
    expected = sum(kernels.elementwise_s(moved, device=A100) for moved in each)
    assert biased.seconds - plain.seconds == pytest.approx(4 * 4 * expected, rel=1e-6)


def test_tokens_ahead_are_heads_more():
    plain, ahead = (step(m, software=PERFECT) for m in (MIXTURE, replace(MIXTURE, ahead=1)))
    head = 6 * 32000 * 1024 * plain.tokens
    assert ahead.model_flop - plain.model_flop == pytest.approx(head, rel=1e-9)


def test_fed_from_both_ends_the_first_stage_shares_with_the_last():
    # Four stages of a layer l, logits h on the last; slowest less mean: one way (l + h) - (l + h/4), both
    # ways (l + h/2) - (l + h/4), a third. The embedding, on the first, is little.
    one, both = (
        training.step(
            gpt(4, 1024, 16, vocab=51200),
            Layout(pp=4, micro_batches=8, seq_len=2048, schedule=name),
            on=ON,
            software=PERFECT,
            memory=False,
        ).rows["uneven stages"]
        for name in ("1f1b", "dualpipe")
    )
    assert both == pytest.approx(one / 3, rel=0.05)


# ---- rows by hand, from the seconds of a layer (tests/models/test_layer.py) and of messages

HOPPER = machine(chip("H100 SXM5"))
WIDE = Layout(tp=2, pp=4, dp=4, micro_batches=8, seq_len=2048)


def rows_of(layout, software=PERFECT, on=HOPPER, shape=GPT):
    return training.step(shape, layout, on=on, software=software, memory=False).rows


def test_sends_between_stages_by_hand():
    # 2 x 2,048 tokens of 1,024 values, half of it from each of two ranks; 2 x 8 there and back, and 2 x 3 that fill
    # the pipeline. Eight chips of a stage fill a domain, so the next stage is behind the ports; four do not.
    half = 2048 * 1024
    for dp, near in ((4, 1), (2, 2), (1, 2)):
        each = send_s("p2p", half, 2, on=HOPPER, per_domain=near)
        assert rows_of(replace(WIDE, dp=dp))["pipeline sends"] == pytest.approx(22 * each)
    each = send_s("p2p", half, 2, on=HOPPER, per_domain=1)
    whole = send_s("all_gather", 2 * half, 2, on=HOPPER)  # parts are put together where the sequence is not cut
    assert rows_of(replace(WIDE, sp=False))["pipeline sends"] == pytest.approx(22 * (each + whole))
    plain = replace(PERFECT, scatters_sends=False)
    for sp, message in ((True, half), (False, 2 * half)):
        each = send_s("p2p", message, 2, on=HOPPER, per_domain=1)
        assert rows_of(replace(WIDE, sp=sp), plain)["pipeline sends"] == pytest.approx(22 * each)
    each = send_s("p2p", half / 2, 2, on=HOPPER, per_domain=1)
    assert rows_of(replace(WIDE, cp=2))["pipeline sends"] == pytest.approx(22 * each)


def test_sends_between_chunks_by_hand():
    # Two chunks a stage: twice as many, which run beside the next chunk; what fills the pipeline nothing hides.
    chunks = replace(WIDE, vpp=2, schedule="interleaved")
    each = send_s("p2p", 2048 * 1024, 2, on=HOPPER, per_domain=1)
    thief = replace(PERFECT, stolen=0.1, overlaps_gradients=False)
    for software, exposed, hidden in ((thief, 6, 32), (replace(thief, overlaps_sends=False), 38, 0)):
        rows = rows_of(chunks, software)
        assert rows["pipeline sends"] == pytest.approx(exposed * each)
        assert rows["slowed by communication"] == pytest.approx(0.1 * hidden * each)


@pytest.mark.parametrize(
    ("recompute", "attention", "rounds", "beside"),
    [("none", "fused", 3, 1), ("full", "fused", 4, 2), ("selective", "fused", 4, 2), ("selective", "unfused", 3, 2)],
)
def test_keys_that_go_around_hide_behind_attention_by_hand(recompute, attention, rounds, beside):
    # Once forward, twice backward, once more where a fused attention is done again; the first round hides nothing.
    layout = Layout(cp=4, micro_batches=2, micro_batch=1, seq_len=2048, recompute=recompute)
    software = replace(PERFECT, attention=attention)
    for speed in (1.0, 0.05, 0.01):
        on = replace(HOPPER, link_speed=speed)
        one = layer.layer(GPT, layout, on, software)
        sent = rounds * one["context_s"]
        open_s = max(sent - beside * one["attention_s"] - one["attention_gradients_s"], sent / 4)
        assert rows_of(layout, software, on)["context parallel"] == pytest.approx(8 * 2 * open_s)


@pytest.mark.parametrize(("recompute", "passes"), [("none", 4), ("selective", 4), ("products", 4), ("full", 6)])
def test_exchanges_of_a_layer_by_hand(recompute, passes):
    # Attention and feed-forward, there and back, and again where the layer is; a cut sequence is gathered twice more.
    for sp in (True, False):
        layout = Layout(tp=8, micro_batches=2, seq_len=2048, recompute=recompute, sp=sp)
        one = layer.layer(GPT, layout, HOPPER, PERFECT)
        sent = passes * one["tensor_s"] + 2 * sp * one["gather_s"]
        assert rows_of(layout)["tensor parallel"] == pytest.approx(8 * 2 * sent)
        beside = min(0.5 * sent, one["products_s"] + one["input_gradients_s"])
        hides = replace(PERFECT, overlaps_tensor=0.5, stolen=0.1)
        rows = rows_of(layout, hides)
        assert rows["tensor parallel"] == pytest.approx(8 * 2 * (sent - beside))
        assert rows["slowed by communication"] == pytest.approx(0.1 * 8 * 2 * beside)
    across = Layout(tp=16, micro_batches=2, seq_len=2048, recompute=recompute)
    assert rows_of(across, hides)["tensor parallel"] == pytest.approx(rows_of(across)["tensor parallel"])


def test_recomputation_by_hand():
    layout = Layout(micro_batches=2, seq_len=2048)
    one = layer.layer(GPT, layout, HOPPER, PERFECT)
    products, attention, small = (one[n] for n in ("products_s", "attention_s", "elementwise_s"))
    for policy, again in (
        ("none", 0),
        ("selective", attention),
        ("products", products / 2 + small),
        ("full", products + attention + small),
    ):
        assert rows_of(replace(layout, recompute=policy))["recomputation"] == pytest.approx(8 * 2 * again)


def test_experts_hide_only_where_the_pipeline_runs_both_ways():
    shape, layout = model("Qwen3-30B-A3B"), Layout(pp=4, dp=8, ep=8, micro_batches=8, seq_len=2048)
    one = layer.layer(shape, layout, HOPPER, PERFECT)
    asked = {"shape": shape, "software": PERFECT}
    layers = 8 * shape.layers / 4
    assert rows_of(layout, **asked)["expert parallel"] == pytest.approx(layers * 4 * one["experts_s"])
    assert rows_of(replace(layout, recompute="full"), **asked)["expert parallel"] == pytest.approx(
        layers * 6 * one["experts_s"]
    )
    assert rows_of(replace(layout, schedule="dualpipe"), **asked)["expert parallel"] == 0


def test_a_late_processor_by_hand():
    # 15 + 38 calls a layer and micro-batch (tests/models/test_layer.py, without a gate or turned positions 13 + 34)
    # of 1 ms outlast all work; selective recomputation launches five kernels more, full the forward pass again.
    slow = replace(PERFECT, host_s=1e-3)
    for policy, more in (("none", 0), ("selective", 5), ("products", 0.75), ("full", 1.0)):
        layout = Layout(micro_batches=2, seq_len=128, recompute=policy)
        one = layer.layer(GPT, layout, HOPPER, slow)
        calls = one["launches"] + one["launches_back"] + (more if more == 5 else more * one["launches"])
        rows = rows_of(layout, slow)
        names = ("products_s", "attention_s", "elementwise_s", "weight_gradients_s", "input_gradients_s")
        busy = sum(one[n] for n in (*names, "attention_gradients_s", "elementwise_gradients_s"))
        again = rows["recomputation"] / 16
        assert rows["launches"] == pytest.approx(16 * (calls * 1e-3 - busy - again))


def test_a_processor_runs_ahead_while_its_chip_waits_for_another():
    # Where launches of 1 ms outlast all else, a step takes as long whatever an exchange takes.
    layout, slow = Layout(tp=2, micro_batches=2, seq_len=128), replace(PERFECT, host_s=1e-3)
    near, far = (rows_of(layout, slow, on=replace(HOPPER, waits=waits)) for waits in (1.0, 10.0))
    assert far["tensor parallel"] > near["tensor parallel"] > 0
    assert far["tensor parallel"] + far["launches"] == pytest.approx(near["tensor parallel"] + near["launches"])
