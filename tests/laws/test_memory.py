"""The laws of memory: by hand or as printed, through pint, as arrays, at their limits."""

import inspect

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.laws import memory
from bottlenecks.lessons.show import show

unit = pint.UnitRegistry()
B, S, NONE = unit.byte, unit.second, unit.dimensionless
STATES = {"weight_bytes": 2 * B, "gradient_bytes": 2 * B, "state_bytes": 12 * B}

# law -> (arguments by position, arguments by name, unit of the result)
LAWS = {
    memory.shards: ((1, 64), {"from_stage": 1}, NONE),
    memory.states_bytes: ((1e9,), STATES | {"zero": 1, "ranks": 4}, B),
    memory.factored_moment_values: ((4, 6), {}, NONE),
    memory.lora_params: ((4, 6), {"rank": 2}, NONE),
    # counts bytes in its constants, as printed: without a unit to check
    memory.gpt_layer_bytes: ((16, 2), {"width": 8, "heads": 2, "tp": 2, "sp": 2, "scores": 1}, NONE),
    memory.layer_values: ((8,), {"attention_values": 32, "ffn_values": 64, "tp": 2, "sp": 2}, NONE),
    memory.score_bytes: ((16,), {"heads": 2, "value_bytes": 2 * B, "mask_bytes": 1 * B, "tp": 2, "dropout": 1}, B),
    memory.fused_attention_bytes: ((), {"heads": 2, "tp": 2, "sum_bytes": 4 * B}, B),
    memory.mixture_values: ((8,), {"experts": 16, "copies": 2, "hidden_values": 24, "tp": 2, "sp": 2}, NONE),
    memory.logits_bytes: ((2, 100), {"bytes_per_logit": 10 * B, "parts": 2, "tp": 4}, B),
    memory.in_flight_gpipe: ((32,), {}, NONE),
    memory.in_flight_1f1b: ((32,), {"stages": 8, "stage": 1}, NONE),
    memory.in_flight_interleaved: ((32,), {"stages": 8, "stage": 1, "chunks": 2}, NONE),
    memory.in_flight_zero_bubble: ((32,), {"stages": 8, "bound": 2}, NONE),
    memory.in_flight_bidirectional: ((32,), {"stages": 8}, NONE),
    memory.gathered_bytes: ((1e9,), {"weight_bytes": 2 * B, "gradient_bytes": 4 * B}, B),
    memory.reserved_bytes: ((1e9 * B,), {"fragmentation": 0.25, "overhead_bytes": 1e9 * B}, B),
    memory.hiding_tokens: ((2 * B,), {"flop_per_s": 4e14 / S, "bytes_per_s": 6e10 * B / S}, unit.dimensionless),
    memory.activation_bytes_per_s: ((1e5 * B,), {"layer_params": 2e8, "flop_per_s": 4e14 / S}, B / S),
    memory.hiding_bytes_per_s: ((16e9 * B,), {"duration_s": 0.5 * S}, B / S),
    memory.kv_cache_bytes: ((5,), {"layers": 2, "kv_heads": 2, "head_values": 4, "value_bytes": 2 * B}, B),
    memory.latent_cache_bytes: ((5,), {"layers": 2, "latent_values": 8, "rope_values": 4, "value_bytes": 2 * B}, B),
    memory.windowed_tokens: ((32,), {"window": 8}, NONE),
    memory.paged_tokens: ((100,), {"block": 16}, NONE),
    memory.shared_prefix_tokens: ((10, 1000), {"prefix": 800}, NONE),
    memory.recurrent_state_bytes: ((4,), {"layers": 10, "state_values": 100, "value_bytes": 4 * B}, B),
}


def test_every_law_of_the_module_is_in_the_table():
    public = {f for _, f in inspect.getmembers(memory, inspect.isfunction) if f.__module__ == memory.__name__}
    assert public == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension(law):
    args, kwargs, expected = LAWS[law]
    assert unit.Quantity(law(*args, **kwargs)).check(expected.dimensionality)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_every_argument_is_a_symbol_of_the_card(law):
    card = show(law)
    assert [name for _, name, *_ in card.symbols] == list(inspect.signature(law).parameters)
    assert card.holds and card.source


def test_seconds_in_place_of_bytes_are_refused():
    with pytest.raises(pint.DimensionalityError):
        memory.reserved_bytes(1.0 * B, fragmentation=0.1, overhead_bytes=1.0 * S)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_arrays_equal_scalars(law):
    args, kwargs, _ = LAWS[law]
    factors = np.array([1, 2, 3])

    def bare(factor):
        return law(
            *(getattr(a, "magnitude", a) * factor for a in args),
            **{n: getattr(v, "magnitude", v) * factor for n, v in kwargs.items()},
        )

    np.testing.assert_allclose(bare(factors), [bare(f) for f in factors], rtol=1e-14)


# ---- states


@pytest.mark.parametrize("zero, printed", [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_zero_as_its_paper_prints_it(zero, printed):
    # Figure 1: 7.5e9 parameters, 64 ranks, Adam at 2 + 2 + 12 bytes; 16 x 7.5 = 120; 4 x 7.5 + 12 x 7.5 / 64 = 31.4;
    # 2 x 7.5 + 14 x 7.5 / 64 = 16.6; 120 / 64 = 1.875
    adam = memory.RECIPES["adam"]
    found = memory.states_bytes(
        7.5e9,
        weight_bytes=adam.weight_bytes,
        gradient_bytes=adam.gradient_bytes,
        state_bytes=adam.state_bytes,
        zero=zero,
        ranks=64,
    )
    assert found == pytest.approx(printed * 1e9, abs=0.05e9)


@pytest.mark.parametrize(
    "recipe, whole, kept, shared",
    [("adam, widened gradients", 20, 4, 16), ("adam, fp32 gradients", 18, 6, 12), ("adam, fp32", 16, 8, 8)],
)
def test_megatrons_table_of_bytes_per_parameter(recipe, whole, kept, shared):
    # its distributed optimizer shares states alone: "20, 4 + 16/d", "18, 6 + 12/d", "16, 8 + 8/d"
    r = memory.RECIPES[recipe]
    states = {
        "weight_bytes": r.weight_bytes,
        "gradient_bytes": r.gradient_bytes,
        "state_bytes": r.state_bytes + r.step_bytes,
    }
    assert memory.states_bytes(1, **states, zero=0, ranks=8) == whole
    assert memory.states_bytes(1, **states, zero=1, ranks=8) == kept + shared / 8


def test_bloom_chronicle_by_18():
    # "gpu w/ emb: 2*403_717_700 + 145_745_300 = 953_180_700 params * 18 bytes = 17_157_252_600 bytes"
    r = memory.RECIPES["adam, fp32 gradients"]
    assert sum(r[:3]) * 953_180_700 == 17_157_252_600


def test_a_factored_moment_and_an_adapter_are_small():
    # of a 4096 x 4096 matrix: 8,192 of 16.8e6 values; rank 16: 131,072 of 16.8e6
    assert memory.factored_moment_values(4096, 4096) / 4096**2 == 1 / 2048
    assert memory.lora_params(4096, 4096, rank=16) / 4096**2 == 1 / 128


# ---- activations


@pytest.mark.parametrize("width, heads, ratio", [(12288, 96, 80), (20480, 128, 64)])
def test_korthikantis_ratio_of_scores(width, heads, ratio):
    # "5as/h = 80 for GPT-3 and 64 for MT-NLG" beside 34
    one = {"width": width, "heads": heads, "tp": 1, "sp": 1}
    plain = memory.gpt_layer_bytes(2048, 1, **one, scores=0)
    assert plain == 34 * 2048 * width
    assert memory.gpt_layer_bytes(2048, 1, **one, scores=1) / plain == pytest.approx((34 + ratio) / 34)


def test_shapes_give_korthikantis_equation():
    # 4 widths of attention, two matrices of 4 widths, masks of two branches: 8 + 2 + 24 = 34, and 5 a s
    s, h, a, t = 2048, 12288, 96, 8
    for sp in (1, t):
        counted = (
            2 * memory.layer_values(h, attention_values=4 * h, ffn_values=8 * h, tp=t, sp=sp)
            + 2 * h / sp
            + memory.score_bytes(s, heads=a, value_bytes=2, mask_bytes=1, tp=t, dropout=1)
        )
        assert s * counted == pytest.approx(memory.gpt_layer_bytes(s, 1, width=h, heads=a, tp=t, sp=sp, scores=1))


def test_llama_layer_by_hand():
    # Llama-3-8B: 4 x 4096 + (2 x 4096 + 2 x 1024) + 3 x 14336 = 69,632 values of a token; 139,264 B in 16 bits
    values = memory.layer_values(4096, attention_values=2 * 4096 + 2 * 1024, ffn_values=3 * 14336, tp=1, sp=1)
    assert 2 * values == 139_264


def test_one_expert_is_a_feed_forward_and_its_copies():
    one = memory.mixture_values(8, experts=1, copies=1, hidden_values=24, tp=1, sp=1)
    assert one == 24 + 2 * 8 + 2  # its input and output, a score and a probability in fp32 (two values each)


# ---- pipelines


@pytest.mark.parametrize("chunks", [2, 3, 6])
def test_interleaving_costs_what_korthikanti_prints(chunks):
    # first stage: p (1 + (p-1)/(p v))
    found = memory.in_flight_interleaved(10**6, stages=8, stage=0, chunks=chunks)
    assert found == pytest.approx(8 * (1 + 7 / (8 * chunks)))


def test_schedules_beside_one_another():
    m, p = 64, 8
    first = memory.in_flight_1f1b(m, stages=p, stage=0)
    assert first == p and memory.in_flight_1f1b(m, stages=p, stage=p - 1) == 1
    assert memory.in_flight_gpipe(m) == m
    assert memory.in_flight_zero_bubble(m, stages=p, bound=1) == first  # ZB1P, ZBV: 1x
    assert memory.in_flight_zero_bubble(m, stages=p, bound=2) == 2 * first  # ZB2P: 2x
    assert memory.in_flight_bidirectional(m, stages=p) == first + 1  # DualPipe: PP+1
    assert memory.in_flight_interleaved(m, stages=p, stage=0, chunks=10**9) == pytest.approx(p)


@given(st.integers(1, 64), st.integers(1, 16), st.integers(2, 8), st.data())
def test_no_schedule_holds_more_than_gpipe_or_less_than_one_stage_needs(m, p, v, data):
    i = data.draw(st.integers(0, p - 1))
    for found in (
        memory.in_flight_1f1b(m, stages=p, stage=i),
        memory.in_flight_interleaved(m, stages=p, stage=i, chunks=v),
        memory.in_flight_zero_bubble(m, stages=p, bound=1),
        memory.in_flight_bidirectional(m, stages=p),
    ):
        assert 0 < found <= memory.in_flight_gpipe(m)


# ---- caches


def test_caches_as_a_server_prints_them():
    # llama.cpp at 2,048 tokens in 16 bits: 256 MiB for Llama-3-8B and Mixtral-8x7B, 640 for Llama-3-70B
    for layers, mebibytes in ((32, 256), (80, 640)):
        found = memory.kv_cache_bytes(2048, layers=layers, kv_heads=8, head_values=128, value_bytes=2)
        assert found == mebibytes * 2**20


def test_latents_weigh_what_two_and_a_quarter_groups_do():
    # DeepSeek-V2: 512 + 64 = 576 values = 2 x 128 x 2.25
    latent = memory.latent_cache_bytes(1, layers=60, latent_values=512, rope_values=64, value_bytes=2)
    assert latent == memory.kv_cache_bytes(1, layers=60, kv_heads=2.25, head_values=128, value_bytes=2)


def test_multi_query_is_multi_head_over_the_heads():
    shape = {"layers": 32, "head_values": 128, "value_bytes": 2}
    assert memory.kv_cache_bytes(7, kv_heads=32, **shape) == 32 * memory.kv_cache_bytes(7, kv_heads=1, **shape)


@given(st.integers(1, 10**5), st.integers(1, 256))
def test_paging_wastes_less_than_a_block(context, block):
    waste = memory.paged_tokens(context, block=block) - context
    assert 0 <= waste < block


def test_paging_wastes_half_a_block_on_average():
    contexts = np.arange(1, 16 * 1000 + 1)
    assert np.mean(memory.paged_tokens(contexts, block=16) - contexts) == 7.5  # (16 - 1) / 2


def test_a_prefix_is_kept_once():
    assert memory.shared_prefix_tokens(10, 1000, prefix=0) == 10_000
    assert memory.shared_prefix_tokens(10, 1000, prefix=1000) == 1000
    assert memory.shared_prefix_tokens(1, 1000, prefix=800) == 1000


def test_a_window_stops_growing():
    np.testing.assert_array_equal(memory.windowed_tokens(np.array([1, 8, 99]), window=8), [1, 8, 8])


@pytest.mark.parametrize(
    ("name", "bytes_of_a_weight"),
    [  # all that is held outside the step: as the sources print it, or by adding formats of 4, 2 and 1 bytes
        ("adam", 2 + 2 + 4 + 4 + 4),  # rajbhandari2020zero: 16
        ("adam, widened gradients", 16),
        ("adam, not fused", 16),
        ("adam, fp32 gradients", 18),  # megatron-distributed-optimizer
        ("adam, both gradients", 2 + 2 + 4 + 4 + 4 + 4),
        ("adam, fp32", 16),
        ("adam, no fp32 weights", 2 + 2 + 4 + 4),
        ("adam, bf16 alone", 4 * 2),
        ("adam, fp8 weights", 1 + 2 + 4 + 4 + 4),
        ("adam, 8-bit", 2 + 2 + 4 + 2 * (1 + 4 / 256)),
        ("adam, 8-bit alone", 2 + 2 + 2 * (1 + 4 / 256)),  # a scale of four bytes for 256 values of a state
        ("adafactor", 2 + 2 + 4),
        ("adafactor, bf16 alone", 2 + 2),
        ("muon", 2 + 2 + 4 + 4),
        ("muon, bf16 alone", 2 + 2 + 2),
        ("sgd, momentum", 2 + 2 + 4 + 4),
        ("sgd", 2 + 2 + 4),
        ("sgd, bf16 alone", 2 + 2),
    ],
)
def test_bytes_of_a_recipe_by_hand(name, bytes_of_a_weight):
    recipe = memory.RECIPES[name]
    assert recipe.weight_bytes + recipe.gradient_bytes + recipe.state_bytes == bytes_of_a_weight
    # embedding and head are with Adam where matrices have one momentum; elsewhere they are as all others
    embedding = {"muon": 4 + 4 + 4, "muon, bf16 alone": 2 + 2}.get(name, recipe.state_bytes)
    assert recipe.embedding_state_bytes == embedding
    # of the step alone: 16-bit gradients widened; unfused, a 32-bit copy more, 20 and 24 in all
    assert recipe.step_bytes == {"adam, widened gradients": 4, "adam, not fused": 8}.get(name, 0)
    assert recipe.weight_bytes == {"adam, fp32": 4, "adam, fp8 weights": 1}.get(name, 2)
