"""One layer of a training step on one chip: messages, launches, casts and what experts move, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import chip
from bottlenecks.models import kernels, layer
from bottlenecks.models.collectives import Efficiency
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.models.software import Software
from bottlenecks.models.wiring import send_s

DENSE = Model(name="d", layers=4, width=1024, ffn_width=4096, heads=16, kv_heads=4, head_values=64, vocab=32000)
MIXED = Model(  # of four layers three are mixtures of 16 experts, two a token
    name="m",
    layers=4,
    width=1024,
    ffn_width=4096,
    heads=16,
    kv_heads=4,
    head_values=64,
    vocab=32000,
    experts=16,
    experts_per_token=2,
    expert_width=512,
    dense_layers=1,
)
LATENT = replace(
    DENSE, attention="MLA", kv_heads=16, kv_lora_rank=100, qk_nope_values=32, qk_rope_values=28, v_head_values=64
)
# Perfect wires without a least time of a call, so that every byte shows
H100, FP8 = (machine(chip("H100 SXM5"), format, efficiency=Efficiency()) for format in ("bf16", "fp8"))
PLAIN = Software(name="plain", attention="fused")
BASE = {"micro_batch": 2, "seq_len": 512}


def one(model, what, on=H100, software=PLAIN, **layout):
    return float(layer.layer(model, Layout(**(BASE | layout)), on, software)[what])


# ---- messages


def test_tensor_parallel_messages_by_hand():
    # 2 x 512 tokens of 1,024 values of 2 bytes; halves of it with the sequence cut over two ranks
    stream = 2 * 1024 * 1024
    gather, scatter, both = (send_s(c, stream, 4, on=H100) for c in ("all_gather", "reduce_scatter", "all_reduce"))
    assert one(DENSE, "tensor_s", tp=4) == pytest.approx(gather + scatter)
    assert one(DENSE, "gather_s", tp=4) == pytest.approx(gather)
    assert one(DENSE, "tensor_s", tp=4, sp=False) == pytest.approx(both)
    half = sum(send_s(c, stream / 2, 4, on=H100) for c in ("all_gather", "reduce_scatter"))
    assert one(DENSE, "tensor_s", tp=4, cp=2) == pytest.approx(half)


def test_keys_and_values_go_around_by_hand():
    # 4 heads of 64 values, keys and values, of all 1,024 tokens; of two tensor-parallel ranks 2 heads each.
    assert one(DENSE, "context_s", cp=4) == pytest.approx(send_s("all_gather", 2 * 1024 * 512, 4, on=H100))
    near = send_s("all_gather", 2 * 1024 * 256, 8, on=H100, per_domain=4)
    assert one(DENSE, "context_s", cp=8, tp=2, micro_batch=2) == pytest.approx(near)
    copied = send_s("all_gather", 2 * 1024 * 128, 8, on=H100, per_domain=1)  # a head at least
    assert one(DENSE, "context_s", cp=8, tp=8) == pytest.approx(copied)
    latent = send_s("all_gather", 2 * 1024 * 128, 2, on=H100)  # 100 of the latent, 28 turned
    assert one(LATENT, "context_s", cp=2) == pytest.approx(latent)


def test_tokens_to_their_experts_by_hand():
    # Two copies of 1,024 tokens x 1,024 values of 2 bytes, the busiest 1.5 times as many; three of four layers.
    sent = 2 * 1024 * 2 * 1024
    alone = send_s("all_to_all", 1.5 * sent, 8, on=H100, per_domain=8)
    assert one(MIXED, "experts_s", ep=8, dp=8, imbalance=1.5) == pytest.approx(0.75 * alone)
    # Cut over two tensor-parallel ranks each sends half, 4 groups in a domain; then all need an expert's tokens.
    half = send_s("all_to_all", sent / 2, 8, on=H100, per_domain=4)
    among = sum(send_s(c, sent, 2, on=H100) for c in ("all_gather", "reduce_scatter"))
    assert one(MIXED, "experts_s", ep=8, dp=8, tp=2) == pytest.approx(0.75 * (half + among / 2))
    # Folded, experts are dealt to all sixteen ranks, eight in a domain.
    folds = replace(PLAIN, folds_experts=True)
    folded = send_s("all_to_all", sent / 2, 16, on=H100, per_domain=8)
    assert one(MIXED, "experts_s", software=folds, ep=8, dp=8, tp=2) == pytest.approx(0.75 * folded)
    # Sent once to a domain: two experts lie in 2 (1 - 1/4) = 1.5 of two domains, three quarters of the copies.
    once = replace(PLAIN, sends_once=True)
    less = send_s("all_to_all", 0.75 * sent, 16, on=H100, per_domain=8)
    assert one(MIXED, "experts_s", software=once, ep=16, dp=16) == pytest.approx(0.75 * less)
    near = send_s("all_to_all", sent, 8, on=H100, per_domain=8)
    assert one(MIXED, "experts_s", software=once, ep=8, dp=8) == pytest.approx(0.75 * near)
    assert one(DENSE, "experts_s", dp=8) == 0


# ---- launches


def test_launches_of_a_layer_by_hand():
    # Four products, two calls each; attention; two norms, rotary positions, activation, two additions.
    assert one(DENSE, "launches") == 4 * 2 + 1 + 6
    assert one(DENSE, "launches_back") == 4 * 6 + 2 * 7
    unfused = replace(PLAIN, attention="unfused")
    assert one(DENSE, "launches", software=unfused) == 4 * 2 + 5 + 6
    assert one(DENSE, "launches_back", software=unfused) == 4 * 6 + 2 * (5 + 6)
    assert one(DENSE, "launches", on=FP8) == 4 * 10 + 1 + 6  # narrow operands are cast
    assert one(DENSE, "launches_back", on=FP8) == 4 * 22 + 2 * 7
    # A mixture: three of four layers have a router, 2 products of each of 16 experts, and routing's own 45; the
    # fourth two products and an activation. Kernels of all: attention's 2 products, 1 and 5 small ones; dispatch,
    # activation and combination of a mixture.
    routed = 0.75 * (2 * 16 * 2 + 45 + 1 + 1)
    rest = 2 * 2 + 1 + 5 + 0.25 * (2 * 2 + 1) + 0.75 * (2 + 1)
    assert one(MIXED, "launches") == pytest.approx(routed + rest)


# ---- casts and what experts move


def test_narrow_operands_by_hand():
    # Operands of a layer: norm's 1,024, attention's 1,024, norm's 1,024 and activation's 4,096 values of 1,024
    # tokens. Backward all are made narrow again, four kernels; forward a norm and an activation write narrow at
    # once, and attention's result alone is cast.
    def cast_s(kernels_, values):
        return kernels_ * FP8.light_s + 1024 * values * FP8.cast_bytes / FP8.memory_bytes_per_s

    twice = replace(FP8, cast_bytes=2 * FP8.cast_bytes)
    for what, software, values in (
        ("products_s", PLAIN, 1024),
        ("products_s", replace(PLAIN, fuses_casts=False), 7168),
        ("input_gradients_s", PLAIN, 7168),
    ):
        more = one(DENSE, what, on=twice, software=software) - one(DENSE, what, on=FP8, software=software)
        assert more == pytest.approx(cast_s(0, values), rel=1e-6)
    apart = one(DENSE, "products_s", on=FP8, software=replace(PLAIN, fuses_casts=False))
    assert apart - one(DENSE, "products_s", on=FP8) == pytest.approx(cast_s(3, 6144), rel=1e-6)


def test_copies_put_in_order_by_hand():
    # Over ranks, 2 x 1,024 copies of 1,024 values are sorted and brought back, each read and written: 8 bytes.
    moved = 0.75 * kernels.elementwise_s(8 * 2048 * 1024, device=H100)
    for what in ("elementwise_s", "elementwise_gradients_s"):
        assert one(MIXED, what, ep=8, dp=8) - one(MIXED, what, dp=8) == pytest.approx(moved, rel=1e-6)


def test_biases_of_experts_by_hand():
    biased = replace(MIXED, expert_biases=True)
    for what, bias, bound in (("elementwise_s", 28, 16), ("elementwise_gradients_s", 40, 20)):
        values = 2048 * 1.5 * np.array([1024, 512])
        moved = 0.75 * kernels.elementwise_s(bias * values[0] + bound * values[1], device=H100)
        more = one(biased, what, imbalance=1.5) - one(MIXED, what, imbalance=1.5)
        assert more == pytest.approx(moved, rel=1e-6)


# ---- rows


def test_rows_of_a_rank_by_hand():
    # Two context-parallel ranks of 1,024 tokens; experts see two copies of a rank's 512, over eight groups 4,096
    # of which touch 16 (1 - (7/8)^4096), all; a group of eight has two of them.
    rows = {op.name: op for op in layer.layer_rows(MIXED, tp=2, sp=True, cp=2, ep=8, micro_batch=2, seq_len=512)}
    assert rows["gate and up"].shape["m"] == 512 and rows["gate and up"].shape["n"] == 4096
    assert rows["experts: down"].shape["groups"] == pytest.approx(2)
    assert rows["experts: down"].shape["m"] == pytest.approx(512) and rows["experts: down"].shape["k"] == 256
    assert rows["feed-forward norm"].shape["moved_bytes"] == 2 * 2 * 512 * 1024 / 2
    ahead = {
        op.name: op
        for op in layer.layer_rows(replace(DENSE, ahead=2), tp=1, sp=True, cp=1, ep=1, micro_batch=2, seq_len=512)
    }
    assert ahead["logits"].calls == 3 and ahead["logits"].flop == 3 * 2 * 1024 * 1024 * 32000


def test_power_and_software_on_the_rates_by_hand():
    capped = replace(H100, sustained=0.5)
    worn = layer.worn(capped, replace(PLAIN, per_joule=1.5, tuned_attention=3.0))
    assert worn.matmul_flop_per_s == 0.75 * H100.matmul_flop_per_s
    assert worn.older_flop_per_s == H100.older_flop_per_s  # never more than the rate itself
    assert worn.product_flop_per_s == H100.product_flop_per_s  # of another width, not capped by power


def test_traffic_of_small_kernels_by_hand():
    twice = replace(PLAIN, traffic=2.0)
    far = replace(H100, light_s=0.0, cache_bytes=0.0)
    for what in ("elementwise_s", "elementwise_gradients_s", "embedding_s"):
        assert one(DENSE, what, on=far, software=twice) == pytest.approx(2 * one(DENSE, what, on=far))


def test_gradients_of_attention_by_hand():
    # forward and backward together less the forward, whatever the array of layouts
    shape = {"batch": 2, "heads": 16, "kv_heads": 4, "head_values": 64, "implementation": "fused"}
    worn = layer.worn(H100, PLAIN)
    forward, both = (kernels.attention_s(512, 512, **shape, device=worn, backward=b) for b in (False, True))
    assert one(DENSE, "attention_s") == pytest.approx(forward)
    assert one(DENSE, "attention_gradients_s") == pytest.approx(both - forward)
    many = layer.layer(DENSE, Layout(seq_len=512, micro_batch=2, tp=np.array([1, 2, 1])), H100, PLAIN)
    assert many["attention_gradients_s"][[0, 2]] == pytest.approx(both - forward)
