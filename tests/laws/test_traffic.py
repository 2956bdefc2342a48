"""What splitting sends against what it computes: by hand, through pint, as arrays, at their limits."""

import inspect

import held
import numpy as np
import pint
import pytest

from bottlenecks.laws import traffic

unit = pint.UnitRegistry()
B, S = unit.byte, unit.second
RATES = {"flop_per_s": 5e14 / S, "bytes_per_s": 5e10 * B / S}
MIXED = {"width": 8192, "layer_params": 8e8, "value_bytes": 2 * B, "sent_bytes": 6 * B}
MIXED |= {"data_bytes_per_s": 5e10 * B / S, "tensor_bytes_per_s": 4e11 * B / S}
LAWS = {  # law -> arguments, keywords, dimension
    traffic.link_s: ((1000, 2000), {"chips": 4, "value_bytes": 2 * B, "bytes_per_s": 5e10 * B / S}, unit.second),
    traffic.inner_size_to_hide: ((), RATES | {"chips": 2, "value_bytes": 2 * B}, unit.dimensionless),
    traffic.data_parallel_tokens: ((), RATES | {"sent_bytes": 6 * B}, unit.dimensionless),
    traffic.tensor_parallel_ratio: (
        (8,),
        RATES | {"width": 8192, "layer_params": 8e8, "value_bytes": 2 * B},
        unit.dimensionless,
    ),
    traffic.context_parallel_tokens: (
        (),
        RATES | {"width": 8192, "kv_width": 1024, "value_bytes": 2 * B},
        unit.dimensionless,
    ),
    traffic.best_tensor_ranks: ((1024,), MIXED, unit.dimensionless),
    traffic.mixed_split_tokens: ((), MIXED | {"flop_per_s": 6e14 / S}, unit.dimensionless),
    traffic.expert_parallel_ratio: ((), RATES | {"expert_width": 2048, "value_bytes": 2 * B}, unit.dimensionless),
}


def test_every_law_is_here():
    assert {f for _, f in inspect.getmembers(traffic, inspect.isfunction)} == set(LAWS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_dimension_and_card(law):
    held.hold(law, *LAWS[law], unit)


def test_one_rank_sends_nothing():
    assert traffic.tensor_parallel_ratio(1, width=1, layer_params=1, value_bytes=1, flop_per_s=1, bytes_per_s=1) == 0


def test_one_chip_needs_no_link():
    assert traffic.link_s(8, 8, chips=1, value_bytes=2, bytes_per_s=1e9) == 0
    assert traffic.inner_size_to_hide(chips=1, value_bytes=2, flop_per_s=1e15, bytes_per_s=1e9) == 0


def test_two_chips_send_a_whole_partial_result_each():
    # 64 x 8,192 values of 2 B are 1,048,576 B, at 450 GB/s 2.33 us
    assert traffic.link_s(64, 8192, chips=2, value_bytes=2, bytes_per_s=450e9) == pytest.approx(2.3302e-6, rel=1e-4)


def test_the_inner_size_of_two_chips_as_printed():
    # scaling-book, "Rooflines": bf16 on two TPU v5e, 1.97e14 FLOP/s, 4.5e10 B/s: D > 8755
    found = traffic.inner_size_to_hide(chips=2, value_bytes=2, flop_per_s=1.97e14, bytes_per_s=4.5e10)
    assert int(found) == 8755


@pytest.mark.parametrize("chips", [2, 3, 8])
@pytest.mark.parametrize("rows", [1, 1000])
def test_at_the_inner_size_chips_compute_as_long_as_they_send(chips, rows):
    inner = traffic.inner_size_to_hide(chips=chips, value_bytes=2, flop_per_s=1e15, bytes_per_s=5e10)
    compute_s = 2 * rows * inner * 512 / chips / 1e15  # two operations for each of rows x inner x columns / chips
    assert compute_s == pytest.approx(traffic.link_s(rows, 512, chips=chips, value_bytes=2, bytes_per_s=5e10))


def test_a_layer_of_gpt3_by_hand():
    # 12,288 wide, 12 x 12,288^2 = 1.812e9 parameters; a token in 8 ranks on one chip: 6 x 1.812e9 / 8
    # = 1.359e9 FLOP, at 2e14 a second 6.795 us. It sends 8 x 2 x 12,288 x 7/8 = 172,032 B, at
    # 2.4e11 a second 0.7168 us: a share of 0.1055.
    ratio = traffic.tensor_parallel_ratio(
        8, width=12288, layer_params=12 * 12288**2, value_bytes=2, flop_per_s=2e14, bytes_per_s=2.4e11
    )
    assert ratio == pytest.approx(0.7168 / 6.795, rel=1e-3)


def test_gradients_by_hand():
    # 70e9 parameters, 1e4 tokens: 4.2e15 FLOP, 8.4 s at 5e14. 6 x 70e9 = 4.2e11 B, 8.4 s at 5e10.
    tokens = traffic.data_parallel_tokens(flop_per_s=5e14, bytes_per_s=5e10, sent_bytes=6)
    assert 6 * 70e9 * tokens / 5e14 == pytest.approx(6 * 70e9 / 5e10)


def test_ring_attention_by_hand():
    # 64 heads of 128 and 8 of keys; 2,000 tokens here of 64,000: 2 x 8,192 x 2,000 x 64,000 = 2.097e12
    # FLOP, 2.097 ms at 1e15; keys and values 2 x 2 x 1,024 x 64,000 = 2.621e8 B, 2.097 ms at 1.25e11.
    here = traffic.context_parallel_tokens(
        width=8192, kv_width=1024, value_bytes=2, flop_per_s=1e15, bytes_per_s=1.25e11
    )
    assert here == pytest.approx(2000)


def test_experts_by_hand():
    # 7,168 wide, 2,048 inside: 3 x 7,168 x 2,048 x 6 = 2.642e8 FLOP, 0.5285 us at 5e14;
    # 4 x 2 x 7,168 = 57,344 B, 1.147 us at 5e10: 2.17
    ratio = traffic.expert_parallel_ratio(expert_width=2048, value_bytes=2, flop_per_s=5e14, bytes_per_s=5e10)
    assert ratio == pytest.approx(1.14688 / 0.52848, rel=1e-3)


def test_arrays_and_more_bandwidth():
    rates = np.array([1e10, 1e11])
    for law, (args, kwargs, _) in LAWS.items():
        plain = {k: getattr(v, "magnitude", v) for k, v in kwargs.items()}
        faster = {name: rates for name in plain if name.endswith("bytes_per_s") and name != "tensor_bytes_per_s"}
        slow, fast = law(*args, **plain | faster)
        assert slow == pytest.approx(fast * (10**0.5 if law is traffic.best_tensor_ranks else 10))


def test_tensors_beside_copies_by_hand():
    # A layer of 1.6e9 parameters, 10,000 wide, 1,000 tokens a chip, 2-byte values, 6 bytes a parameter; links of 4e11 and
    # ports of 5e10 B/s. Copies: 9.6e9 / n bytes; tensors: 8 x 2 x 1e4 x 1e3 n = 1.6e8 n bytes.
    # n = sqrt(9.6e9 / 1.6e8 x 8) = sqrt(480) = 21.9, and both take 9.6e9 / 21.9 / 5e10 = 8.76 ms.
    sizes = {"width": 1e4, "layer_params": 1.6e9, "value_bytes": 2, "sent_bytes": 6}
    links = {"data_bytes_per_s": 5e10, "tensor_bytes_per_s": 4e11}
    ranks = traffic.best_tensor_ranks(1000, **sizes, **links)
    assert ranks == pytest.approx(480**0.5)
    assert 9.6e9 / ranks / 5e10 == pytest.approx(1.6e8 * ranks / 4e11)
    assert traffic.best_tensor_ranks(250, **sizes, **links) == pytest.approx(
        2 * ranks
    )  # the same step on four times the chips
    # Arithmetic of t tokens: 6 x 1.6e9 t / F. At the threshold it is as long as either exchange.
    tokens = traffic.mixed_split_tokens(**sizes, flop_per_s=5e14, **links)
    ranks = traffic.best_tensor_ranks(tokens, **sizes, **links)
    assert 6 * 1.6e9 * tokens / 5e14 == pytest.approx(6 * 1.6e9 / ranks / 5e10)
