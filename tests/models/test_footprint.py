"""Footprints: by hand, rows that add up, arrays that equal scalars, doors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.facts.architectures import model, models
from bottlenecks.laws.memory import RECIPES
from bottlenecks.laws.pipelines import SCHEDULES
from bottlenecks.laws.recomputation import POLICIES
from bottlenecks.models.cache import Serving, cache_bytes_per_token, largest_batch, largest_context, serving_rows
from bottlenecks.models.footprint import (
    in_flight,
    offload_bytes_per_s,
    shortfall_bytes,
    stage_params,
    total_bytes,
    training_rows,
)
from bottlenecks.models.layouts import CHOICES, Layout, stage_layers

LLAMA = model("Llama-3-8B")
MIXTURE = model("DeepSeek-V3")
DECODERS = [m for m in models().values() if not m.encoder_layers]


def rows(shape=LLAMA, stage=None, **layout):
    return training_rows(shape, Layout(**{"seq_len": 8192} | layout), stage=stage)


# ---- by hand


def test_llama_on_one_chip_by_hand():
    found = rows(recompute="none", recipe="adam")
    # 32 x (2 x 4096^2 + 2 x 4096 x 1024 + 3 x 4096 x 14336) + 2 x 128256 x 4096 = 8,029,995,008 parameters
    assert found["weights"] == found["gradients"] == 2 * 8_029_995_008
    assert found["optimizer"] == 12 * 8_029_995_008
    # 8192 tokens x (32 layers x (139,264 B + 4 B x 32 heads) + 2 x 4096 x 2 B before the head)
    assert found["activations"] == 8192 * (32 * (139_264 + 128) + 16_384)
    assert found["logits"] == 8192 * 128256 * 10
    assert found["recomputation"] == found["step"] == found["buffers"] == found["reserve"] == 0


@pytest.mark.parametrize(
    "policy, layer_bytes",
    [
        ("none", 139_264 + 128),
        ("selective", 139_264 + 128),  # a fused attention keeps no scores
        # input and output 2 x 4096; queries and result 2 x 4096, values 1024, half the gate 14336: 31,744 values
        ("products", 2 * 31_744 + 128),
        ("full", 2 * 4096),
    ],
)
def test_recomputation_by_hand(policy, layer_bytes):
    found = rows(recompute=policy, bytes_per_logit=1e-9)
    assert found["activations"] == pytest.approx(8192 * (32 * layer_bytes + 16_384))
    assert found["recomputation"] == pytest.approx(8192 * (139_392 - layer_bytes), abs=10)


def test_a_mixtures_parameters_add_up_over_chips():
    layout = Layout(tp=4, dp=8, ep=8, pp=1, seq_len=1)
    params = stage_params(MIXTURE, layout, 0)
    # 58 layers x 256 experts x 3 x 7168 x 2048, over 4 x 8 chips
    assert params["experts"] == 58 * 256 * 3 * 7168 * 2048 / 32
    whole = 4 * (params["blocks"] + params["embeddings"]) + 32 * params["experts"]
    copied = 3 * (61 * 7168 * (1536 + 512 + 64) + 58 * 7168 * 256)  # latents and routers on each chip
    assert whole == MIXTURE.params + copied


def test_stages_hold_the_whole_model():
    for pp, slots in ((1, False), (4, False), (5, False), (8, True)):
        layout = Layout(pp=pp, seq_len=1, embedding_slots=slots)
        layers = [stage_layers(LLAMA, layout, i)[1] for i in range(pp)]
        assert sum(layers) == 32
        params = sum(total_bytes(stage_params(LLAMA, layout, i)) for i in range(pp))
        assert params == LLAMA.params


def test_slots_for_the_embeddings_as_bloom_chose_them():
    # 70 layers and two embeddings over 12 stages: six slots each, five layers on the first and the last
    layout = Layout(pp=12, seq_len=1, embedding_slots=True)
    layers = [stage_layers(model("BLOOM-176B"), layout, i)[1] for i in range(12)]
    assert layers == [5, *[6] * 10, 5]


def test_an_embedding_shared_by_two_stages_is_held_twice():
    bloom = model("BLOOM-176B")
    held = [sum(stage_params(bloom, Layout(pp=pp, seq_len=1), i)["embeddings"] for i in range(pp)) for pp in (1, 2)]
    assert held == [bloom.head_params, 2 * bloom.head_params]


def test_key_value_heads_are_copied_beyond_their_number():
    kv = 2 * 4096 * 1024
    eight, thirty_two = (stage_params(LLAMA, Layout(tp=tp, seq_len=1), 0)["blocks"] for tp in (8, 32))
    assert 32 * thirty_two - 8 * eight == 32 * 3 * kv  # 32 copies of 8 heads are four times them


def test_dualpipe_holds_two_stages():
    one, two = (stage_params(MIXTURE, Layout(pp=8, dp=8, ep=8, seq_len=1, schedule=s), 3) for s in ("1f1b", "dualpipe"))
    assert two["experts"] == 2 * one["experts"] and two["blocks"] == 2 * one["blocks"]


def test_adapters_train_a_sliver():
    whole, adapted = rows(recipe="adam"), rows(recipe="adam", lora_rank=16)
    # Llama-3-8B, rank 16, all matrices: 16 x (4 x 4096 + 2 x (4096 + 1024) + 3 x (4096 + 14336)) = 1,310,720 a layer
    trained = 32 * 1_310_720
    assert adapted["optimizer"] == pytest.approx(12 * trained)
    assert adapted["weights"] == pytest.approx(whole["weights"] + 2 * trained)


def test_zero_3_gathers_two_layers_and_one_embedding_at_a_time():
    found = rows(zero=3, dp=8, recipe="adam, fp32")
    layer, end = LLAMA.layer_params, LLAMA.head_params
    assert found["weights"] == 4 * LLAMA.params / 8
    assert found["buffers"] == 2 * (2 * layer + end) + 4 * (layer + end)
    assert rows(zero=3, dp=8, gathers_once=True, recipe="adam, fp32")["buffers"] == 6 * LLAMA.params


def test_gradients_that_are_summed_leave_chunk_by_chunk():
    # Four stages of eight layers in four chunks of two: with four micro-batches each chunk's go through in turn, and
    # two chunks' gradients are whole, four layers; with eight the last of a chunk comes after all others' first.
    at = {"zero": 3, "dp": 8, "pp": 4, "gathers_once": True, "schedule": "interleaved", "recipe": "adam, fp32"}
    layer, ends = LLAMA.layer_params, LLAMA.head_params

    def buffers(**more):
        return training_rows(LLAMA, Layout(seq_len=1, sp=False, **at | more), stage=0)["buffers"]

    assert buffers(vpp=4, micro_batches=4) == 2 * (8 * layer + ends) + 4 * (4 * layer + ends)
    assert buffers(vpp=4, micro_batches=8) == 2 * (8 * layer + ends) + 4 * (8 * layer + ends)
    assert buffers(vpp=1, schedule="1f1b", micro_batches=4) == 2 * (8 * layer + ends) + 4 * (8 * layer + ends)


def test_hybrid_sharding_is_between_none_and_all():
    none, hybrid, whole = (rows(zero=3, dp=64, zero_ranks=n)["optimizer"] for n in (1, 8, None))
    assert none == 8 * hybrid == 64 * whole


def test_offload_moves_gradients_out_and_weights_in():
    layout = Layout(seq_len=8192, recipe="adam", offloaded_states=1.0)
    assert training_rows(LLAMA, layout)["optimizer"] == 0
    assert offload_bytes_per_s(LLAMA, layout, step_s=2.0) == LLAMA.params  # 2 B a parameter in 2 s
    layout = Layout(seq_len=8192, offloaded_activations=1.0, micro_batches=4)
    kept = rows()["activations"]
    assert offload_bytes_per_s(LLAMA, layout, step_s=1.0) == 4 * kept


def test_what_waits_on_the_host_by_hand():
    # Llama-3-8B, 8,029,995,008 parameters of which 525,336,576 are an embedding; a layer has 218,103,808
    n, end, layer = 8_029_995_008, 525_336_576, 218_103_808
    plain = {"recipe": "adam, widened gradients", "seq_len": 64}
    here, away = rows(**plain), rows(**plain, offloaded_states=1.0, offloaded_gradients=0.5, offloaded_weights=1.0)
    assert here["weights"] == 2 * n and here["optimizer"] == 12 * n and here["step"] > 3 * n
    assert away["weights"] == away["optimizer"] == away["step"] == 0  # the host works on what it keeps
    assert away["gradients"] == n  # half of 2 bytes
    assert away["buffers"] == 2 * (2 * layer + end)  # two layers and an embedding come whole, in 16 bits
    assert here["buffers"] == 0
    moved = Layout(seq_len=64, recipe="adam", offloaded_weights=1.0, micro_batches=3)
    assert offload_bytes_per_s(LLAMA, moved, step_s=1.0) == 3 * 2 * 2 * n  # twice for each micro-batch, 2 bytes


def test_a_loss_in_parts_keeps_the_logits_of_one():
    whole, parts = rows(), rows(loss_parts=8)
    assert whole["logits"] == 8192 * 128256 * 10 and parts["logits"] == whole["logits"] / 8
    assert {n for n in whole if whole[n] != parts[n]} == {"logits"}


def test_a_step_in_the_backward_pass_holds_one_gradient():
    # the largest matrix: an embedding of 128,256 x 4,096, or at 8 ranks its eighth
    for tp in (1, 8):
        assert rows(recipe="adam", step_in_backward=True, tp=tp)["gradients"] == 2 * 128_256 * 4096 / tp
    assert rows(recipe="adam", step_in_backward=True, tp=1, lora_rank=16)["gradients"] == 2 * 32 * 1_310_720


def test_frozen_weights_by_hand():
    # NF4 with two scales: 4.127 bits for the matrices of the blocks; both embeddings stay at 16 bits
    n, ends, trained = 8_029_995_008, 2 * 525_336_576, 32 * 1_310_720
    found = rows(recipe="adam", lora_rank=16, frozen_bytes=0.515869140625, fragmentation=0.25, overhead_bytes=1e9)
    frozen = 0.515869140625 * (n - ends) + 2 * ends
    assert found["weights"] == pytest.approx(frozen + 2 * trained)
    assert found["buffers"] == 2 * 4096 * 14336  # one matrix at a time is wide
    # what was there before the first step leaves no gaps
    loose = total_bytes(found) - found["reserve"] - frozen
    assert found["reserve"] == pytest.approx(loose / 4 + 1e9)
    # ZeRO 3 sends frozen layers as they are stored
    dealt = rows(recipe="adam", lora_rank=16, frozen_bytes=0.5, zero=3, dp=8)["buffers"]
    assert dealt == 0.5 * 2 * 218_103_808 + 2 * 525_336_576 + 2 * 4096 * 14336


# ---- properties

layouts = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 4, 8]),
        "pp": st.sampled_from([1, 2, 3, 8]),
        "dp": st.sampled_from([8, 16]),
        "cp": st.sampled_from([1, 2]),
        "ep": st.sampled_from([1, 8]),
        "vpp": st.sampled_from([1, 2]),
        "zero": st.integers(0, 3),
        "micro_batch": st.integers(1, 4),
        "micro_batches": st.integers(1, 32),
        "recompute": st.sampled_from(POLICIES),
        "schedule": st.sampled_from(SCHEDULES),
        "recipe": st.sampled_from(list(RECIPES)),
        "sp": st.booleans(),
        "fused_attention": st.booleans(),
        "dropout": st.booleans(),
        "keeps_outputs": st.booleans(),
        "gathers_once": st.booleans(),
        "embedding_slots": st.booleans(),
        "lora_rank": st.sampled_from([0, 8]),
        "frozen_bytes": st.sampled_from([0.5, 2]),
        "loss_parts": st.sampled_from([1, 8]),
        "step_in_backward": st.booleans(),
        "offloaded_weights": st.sampled_from([0, 0.5]),
        "offloaded_gradients": st.sampled_from([0, 1]),
        "fragmentation": st.sampled_from([0, 0.25]),
    }
)


@given(st.lists(layouts, min_size=2, max_size=5), st.sampled_from([LLAMA, MIXTURE]))
def test_arrays_equal_scalars(chosen, shape):
    one_by_one = [rows(shape, **c) for c in chosen]
    together = rows(shape, **{name: np.array([c[name] for c in chosen]) for name in chosen[0]})
    coded = {name: np.array([choices.index(c[name]) for c in chosen]) for name, choices in CHOICES.items()}
    by_index = rows(shape, **{n: np.array([c[n] for c in chosen]) for n in chosen[0]} | coded)
    for name, values in together.items():
        expected = [float(r[name]) for r in one_by_one]
        np.testing.assert_allclose(np.broadcast_to(values, len(chosen)), expected, rtol=1e-12)
        np.testing.assert_array_equal(values, by_index[name])


@given(layouts, st.sampled_from([LLAMA, MIXTURE]))
def test_rows_are_not_negative_and_less_is_kept_by_sharding_and_recomputing(chosen, shape):
    found = rows(shape, **chosen)
    assert all(value >= 0 for value in found.values())
    fixed = {**chosen, "stage": 0}
    states = [
        sum(rows(shape, **fixed | {"zero": z})[r] for r in ("weights", "gradients", "optimizer")) for z in range(4)
    ]
    assert states == sorted(states, reverse=True)
    kept = [rows(shape, **fixed | {"recompute": r})["activations"] for r in POLICIES]
    assert kept[0] >= kept[1] >= kept[3] and kept[0] >= kept[2]


@pytest.mark.parametrize("shape", [LLAMA, MIXTURE])
@given(chosen=layouts)
def test_none_is_the_fullest_of_all_stages(shape, chosen):
    each = [total_bytes(rows(shape, stage=i, **chosen)) for i in range(chosen["pp"])]
    assert total_bytes(rows(shape, **chosen)) == pytest.approx(max(each))


def test_the_second_stage_is_the_fullest_where_the_first_has_plain_layers():
    # 30 layers on four stages are 8, 8, 8 and 6; three of the first's 8 are plain
    deep = replace(MIXTURE, layers=30)
    each = [total_bytes(rows(deep, stage=i, pp=4, micro_batches=8)) for i in range(4)]
    assert each[1] == max(each) > max(each[0], each[3])
    assert total_bytes(rows(deep, pp=4, micro_batches=8)) == each[1]


def test_every_stage_in_one_call():
    stages = np.arange(8)
    together = rows(pp=8, micro_batches=32, stage=stages)["activations"]
    np.testing.assert_allclose(together, [rows(pp=8, micro_batches=32, stage=i)["activations"] for i in range(8)])
    held = in_flight(Layout(pp=8, micro_batches=32, seq_len=1), stages)
    np.testing.assert_array_equal(held, [8, 7, 6, 5, 4, 3, 2, 1])


def test_one_chunk_is_no_interleaving():
    layout = Layout(pp=8, micro_batches=32, seq_len=1, schedule="interleaved")
    assert in_flight(layout, 0) == 8


@pytest.mark.parametrize("shape", DECODERS, ids=lambda m: m.name)
def test_every_decoder_of_the_catalog_has_a_footprint(shape):
    held = total_bytes(rows(shape, recipe="adam"))
    # 16 bytes for each parameter, those of both embeddings as counted from shapes
    assert held > 16 * shape.params and np.isfinite(held)
    served = serving_rows(shape, Serving(context=1024))
    assert served["weights"] == pytest.approx(2 * shape.params)


def test_a_hundred_thousand_layouts_in_a_call():
    n, draw = 100_000, np.random.default_rng(0)
    layout = Layout(
        tp=2 ** draw.integers(0, 4, n),
        pp=2 ** draw.integers(0, 4, n),
        dp=2 ** draw.integers(0, 8, n),
        zero=draw.integers(0, 4, n),
        micro_batches=2 ** draw.integers(0, 8, n),
        seq_len=8192,
        recompute=draw.integers(0, 4, n),
        schedule=draw.integers(0, 7, n),
        recipe=draw.integers(0, len(RECIPES), n),
    )
    assert total_bytes(training_rows(LLAMA, layout)).shape == (n,)


# ---- inference


@pytest.mark.parametrize(
    "name, per_token",
    [
        ("Llama-3.1-8B", 2 * 32 * 8 * 128 * 2),  # 131,072
        ("Llama-3.1-405B", 2 * 126 * 8 * 128 * 2),  # 516,096
        ("DeepSeek-V3", 61 * (512 + 64) * 2),  # 70,272
        ("LLaMA-7B", 2 * 32 * 4096 * 2),  # 524,288: half a MiB
    ],
)
def test_cache_of_a_token_by_hand(name, per_token):
    assert cache_bytes_per_token(model(name)) == per_token


def test_serving_by_hand():
    found = serving_rows(model("Llama-3.1-8B"), Serving(batch=4, context=1000, block=16))
    assert found["weights"] == 2 * 8_029_995_008 + 0  # 16.06 GB
    assert found["cache"] == 4 * 1008 * 131_072  # 1000 tokens take 63 blocks of 16
    # 4 sequences: 2 x (2 x 4096 + 2 x 14336) B of work, 128,256 fp32 logits
    assert found["activations"] == 4 * (2 * (8192 + 28_672) + 128_256 * 4)


def test_each_part_of_a_server_is_as_wide_as_it_is_kept():
    # gpt-oss-120b: experts in 4.25 bits, attention, routers and both embeddings in 16
    model_ = model("gpt-oss-120b")
    wide = {"attention_bytes": 2, "embedding_bytes": 2, "head_bytes": 2}
    found = serving_rows(model_, Serving(context=1, weight_bytes=0.53125, **wide))["weights"]
    experts = 36 * 128 * 3 * 2880 * 2880
    assert found == pytest.approx(0.53125 * experts + 2 * (model_.params - experts))
    half = Serving(context=1, weight_bytes=0.53125, **wide, offloaded_weights=0.5)
    assert serving_rows(model_, half)["weights"] == found / 2


def test_a_recurrence_keeps_its_state():
    # 70 layers with 64 heads of 128 x 128 values, 16 bits: 147 MB a sequence
    minimax = model("MiniMax-Text-01")
    assert serving_rows(minimax, Serving(batch=3, context=9))["state"] == 3 * 70 * 64 * 128 * 128 * 2
    assert serving_rows(minimax, Serving(batch=3, context=9, state_values=0))["state"] == 0


def test_an_engine_that_trims_no_window_and_an_encoder():
    gpt = model("gpt-oss-20b")  # 24 layers, every second one with a window of 128; 8 heads of 64
    one = 2 * 8 * 64 * 2
    assert serving_rows(gpt, Serving(context=8192))["cache"] == one * 12 * (8192 + 128)
    assert serving_rows(gpt, Serving(context=8192, full_windows=True))["cache"] == one * 24 * 8192
    assert serving_rows(model("BERT-large"), Serving(context=512))["cache"] == 0  # who sees all keeps nothing


def test_a_part_of_a_prompt_works_beside_the_sequences():
    few, many = (serving_rows(LLAMA, Serving(batch=4, context=100, pass_tokens=n))["activations"] for n in (0, 8192))
    assert many - few == 8192 * (2 * 4096 + 2 * 14336) * 2


def test_heads_of_the_cache_are_cut_to_one_and_then_copied_by_hand():
    # 8 heads of 128 keys and values in 32 layers: 4 heads on each of two chips, one on each of 8 and of 32
    for tp, heads in ((2, 4), (8, 1), (32, 1)):
        assert cache_bytes_per_token(model("Llama-3.1-8B"), tp=tp) == 2 * 2 * 32 * heads * 128


def test_the_reserve_of_a_server_by_hand():
    found = serving_rows(model("Llama-3.1-8B"), Serving(context=1000, fragmentation=0.25, overhead_bytes=1e9))
    used = sum(found[name] for name in ("weights", "cache", "state", "activations"))
    assert found["reserve"] == pytest.approx(used / 4 + 1e9)


def test_windows_cap_the_local_layers():
    gemma = next(m for m in DECODERS if m.local_layers and m.local_layers < m.layers)
    window = gemma.sliding_window_tokens
    short, long = (serving_rows(gemma, Serving(context=c))["cache"] for c in (window, 2 * window))
    grows = (gemma.layers - gemma.local_layers) / gemma.layers
    assert long / short == pytest.approx(1 + grows)


@given(st.sampled_from([1, 2, 8]), st.integers(1, 65536), st.floats(20e9, 200e9), st.sampled_from([1, 16, 64]))
def test_the_largest_batch_fits_and_one_more_does_not(tp, context, capacity, block):
    serving = Serving(tp=tp, context=context, block=block)
    most = largest_batch(LLAMA, serving, memory_bytes=capacity)
    for batch, fits in ((most, True), (most + 1, False)):
        if batch:
            held = serving_rows(LLAMA, replace(serving, batch=int(batch)))
            assert (shortfall_bytes(held, capacity) <= 0) == fits


@given(st.sampled_from([1, 8]), st.integers(1, 64), st.floats(10e9, 200e9))
def test_the_longest_context_fits_and_one_more_does_not(tp, batch, capacity):
    serving = Serving(tp=tp, batch=batch, context=1)
    most = largest_context(LLAMA, serving, memory_bytes=capacity)
    for context, fits in ((most, True), (most + 1, False)):
        if context:
            held = serving_rows(LLAMA, replace(serving, context=int(context)))
            assert (shortfall_bytes(held, capacity) <= 0) == fits


def test_what_fits_broadcasts():
    capacity = np.array([24e9, 80e9, 141e9])
    serving = Serving(context=np.array([[1024], [8192]]))
    found = largest_batch(LLAMA, serving, memory_bytes=capacity)
    assert found.shape == (2, 3) and np.all(np.diff(found, axis=1) > 0)
    longest = largest_context(LLAMA, Serving(context=1), memory_bytes=capacity)
    assert longest.shape == (3,) and np.all(np.diff(longest) > 0)


def test_what_does_not_fit_is_an_answer():
    short = shortfall_bytes(rows(recipe="adam"), 80e9)
    assert short > 128e9 - 80e9  # 16 bytes x 8.03e9 alone
    assert largest_batch(model("Llama-3.1-405B"), Serving(context=1024), memory_bytes=80e9) == 0
    assert largest_context(model("Llama-3.1-405B"), Serving(context=1), memory_bytes=80e9) == 0


# ---- doors


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"tp": 0}, "Layout.tp must be above zero, got 0"),
        ({"tp": np.array([1, 7])}, r"tp must divide the heads of Llama-3-8B \(32\), got 7"),
        ({"tp": 7}, r"tp must divide the heads of Llama-3-8B \(32\), got 7; the nearest is 8"),
        ({"pp": 33}, r"pp x vpp must be at most 32, the layers of Llama-3-8B, got 33; the nearest is 32"),
        ({"zero": 4}, "Layout.zero must be from 0 to 3, got 4; the nearest is 3"),
        ({"micro_batch": 1.5}, "Layout.micro_batch must be whole, got 1.5; the nearest is 2"),
        ({"recompute": "ful"}, "Layout.recompute 'ful' is unknown; did you mean 'full'?"),
        ({"recipe": "adam 8-bit"}, "Layout.recipe 'adam 8-bit' is unknown; did you mean 'adam, 8-bit'?"),
        ({"schedule": np.array(["1f1b", "1b1f"])}, "Layout.schedule '1b1f' is unknown; did you mean 'zb1p'?"),
        ({"recompute": np.array([0, 9])}, "Layout.recompute"),
        ({"sp": 1}, "Layout.sp must be True or False, got 1"),
        ({"loss_parts": 0}, "Layout.loss_parts must be above zero, got 0"),
        ({"step_in_backward": 1}, "Layout.step_in_backward must be True or False, got 1"),
        ({"offloaded_states": 50}, "Layout.offloaded_states must be from 0 to 1, got 50; the nearest is 1"),
    ],
)
def test_doors_of_a_layout(fields, message):
    with pytest.raises(ValueError, match=message):
        rows(**fields)


def test_other_doors():
    with pytest.raises(ValueError, match=r"ep must divide the dp x cp \(4\), got 8; the nearest is 4"):
        rows(MIXTURE, dp=4, ep=8)
    with pytest.raises(ValueError, match="stage must be from 0 to pp - 1"):
        rows(pp=4, stage=4)
    with pytest.raises(ValueError, match="two stacks of layers are not modelled"):
        rows(model("T5-11B"))
    with pytest.raises(ValueError, match=r"Serving.prefix must be at most context \(10\), got 11"):
        Serving(context=10, prefix=11)
    with pytest.raises(ValueError, match="tp must divide the heads"):
        serving_rows(LLAMA, Serving(tp=3, context=10))


def test_the_fullest_stage_may_be_the_second():
    """Where embedding and head stand for a layer each, every stage between has one layer more."""
    llama = model("Llama-3.1-405B")  # 126 layers: 7 and 8 of them on the first two of 16 stages
    layout = Layout(
        tp=8,
        sp=True,
        pp=16,
        vpp=8,
        dp=128,
        zero=1,
        micro_batches=16,
        seq_len=8192,
        schedule="interleaved",
        embedding_slots=True,
    )
    each = [total_bytes(training_rows(llama, layout, stage=i)) for i in range(16)]
    assert total_bytes(training_rows(llama, layout)) == max(each) and int(np.argmax(each)) == 1
    # by hand, a layer and token: 4 streams cut in 8, q k v o, three of the feed-forward, 16-bit; log-sum-exp
    token = (4 * 16384 / 8 + (2 * 16384 + 2 * 1024 + 3 * 53248) / 8) * 2 + 4 * 128 / 8
    kept = training_rows(llama, layout, stage=1)["activations"]
    assert kept == pytest.approx(8 * 16 * 8192 * token, rel=0.03)


def test_one_stage_beside_two_in_an_array():
    """With plain layers first the second stage may be the fullest; a model of one stage has no second."""
    fields = {"seq_len": 4096, "tp": 8, "dp": 8, "ep": 8, "micro_batches": 8}
    many = training_rows(MIXTURE, Layout(**fields, pp=np.array([1, 2, 4])))
    for i, pp in enumerate((1, 2, 4)):
        for name, value in training_rows(MIXTURE, Layout(**fields, pp=pp)).items():
            assert np.broadcast_to(many[name], 3)[i] == pytest.approx(float(value)), (name, pp)


def test_states_are_cut_over_copies_of_data_and_context():
    for dp, cp in ((8, 1), (4, 2), (1, 8)):
        cut = rows(zero=1, dp=dp, cp=cp, recipe="adam")
        assert cut["optimizer"] == 12 * LLAMA.params / 8 and cut["weights"] == 2 * LLAMA.params
    assert rows(zero=3, dp=1)["buffers"] == rows(zero=1, dp=8)["buffers"] == rows(zero=2, dp=8)["buffers"] == 0
    two = rows(zero=2, dp=8, recipe="adam")
    assert two["gradients"] == 2 * LLAMA.params / 8 and two["weights"] == 2 * LLAMA.params


def test_a_server_holds_what_its_fullest_stage_holds():
    # DeepSeek-V3 on two stages: the first has three plain layers of 31, the second 30 mixtures and as large a table.
    serving = Serving(tp=8, pp=2, context=128)
    held = [total_bytes(stage_params(MIXTURE, Layout(tp=8, pp=2, seq_len=1), stage)) for stage in (0, 1)]
    assert held[1] > held[0] and serving_rows(MIXTURE, serving)["weights"] == 2 * held[1]
    one = serving_rows(MIXTURE, replace(serving, pp=1))["weights"]
    assert one == 2 * total_bytes(stage_params(MIXTURE, Layout(tp=8, seq_len=1), 0))
