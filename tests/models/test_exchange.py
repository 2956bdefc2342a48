"""What chips of a serving plan send to each other in a pass: how often, how many bytes, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import chip
from bottlenecks.models.collectives import Efficiency
from bottlenecks.models.exchange import exchange_s
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import machine
from bottlenecks.models.software import SERVER
from bottlenecks.models.wiring import send_s

WIDE = Model(name="wide", layers=6, width=1024, ffn_width=4096, heads=16, kv_heads=4, head_values=64, vocab=512)
MIXED = replace(WIDE, experts=16, experts_per_token=2, expert_width=512, dense_layers=2)
# Perfect wires without a least time of a call, so that every byte shows
H100, NARROW, CUBE = (
    machine(chip(name), format, efficiency=Efficiency())
    for name, format in (("H100 SXM5", "bf16"), ("H100 SXM5", "fp8"), ("TPU v4", "bf16"))
)


LIBRARY = replace(SERVER, shots=False)  # which asks for no kernels of its own


def test_reductions_by_hand():
    # Two reductions a layer of 2 bytes x 10 tokens x 1,024 values; side by side one; a quarter hidden.
    one = send_s("all_reduce", 20480, 4, on=H100, launch="queued")
    assert exchange_s(WIDE, Plan(tp=4, software=LIBRARY), H100, tokens=10) == pytest.approx(12 * one)
    assert exchange_s(WIDE, Plan(tp=4, parallel_block=True, software=LIBRARY), H100, tokens=10) == pytest.approx(
        6 * one
    )
    assert exchange_s(WIDE, Plan(tp=4, overlap=0.25, software=LIBRARY), H100, tokens=10) == pytest.approx(9 * one)
    assert exchange_s(WIDE, Plan(), H100, tokens=10) == exchange_s(WIDE, Plan(ep=4), H100, tokens=10) == 0
    slow = Plan(tp=4, software=replace(LIBRARY, captured=False))
    launched = send_s("all_reduce", 20480, 4, on=H100, launch="library")
    assert exchange_s(WIDE, slow, H100, tokens=10) == pytest.approx(12 * launched)


def test_short_sums_take_a_shot_and_long_ones_the_library():
    # A layer's two sums of 2 bytes x 10 tokens x 1,024 values in one shot: 3 x 20,480 bytes over a half of 450 GB/s, and
    # a wait of 4 us. Beyond a machine, and for a program without such kernels, the library's.
    slow = replace(H100, efficiency=Efficiency(shot=0.5, shot_s=4e-6))
    one = 4e-6 + 3 * 20480 / (0.5 * 450e9)
    assert exchange_s(WIDE, Plan(tp=4), slow, tokens=10) == pytest.approx(12 * one)
    far = [exchange_s(WIDE, Plan(tp=16, software=each), slow, tokens=10) for each in (SERVER, LIBRARY)]
    assert far[0] == far[1] > 0
    late = replace(slow, waits=2.0, link_speed=0.5)
    twice = 8e-6 + 3 * 20480 / (0.25 * 450e9)
    assert exchange_s(WIDE, Plan(tp=4), late, tokens=10) == pytest.approx(12 * twice)


def test_experts_by_hand():
    # Two experts of a token lie in 4 (1 - (3/4)^2) = 1.75 of 4 groups. Each of 2 ranks sends half of 10 tokens x
    # 1,024 values, out in 8 bits and back in 16, in the four layers that are mixtures; a domain has 8 / 2 groups.
    values = 10 * 1024 * 1.75 / 2
    out, back = (send_s("all_to_all", size * values, 4, on=NARROW, launch="queued", per_domain=4) for size in (1, 2))
    reductions = exchange_s(WIDE, Plan(tp=2), NARROW, tokens=10)
    found = exchange_s(MIXED, Plan(tp=2, ep=4), NARROW, tokens=10)
    assert found == pytest.approx(reductions + 4 * (out + back))
    # 16 groups of 4 ranks: 2 groups in a domain of 8, and so ports
    values = 10 * 1024 * 16 * (1 - (15 / 16) ** 2) / 4
    there = send_s("all_to_all", 2 * values, 16, on=H100, launch="queued", per_domain=2)
    found = exchange_s(MIXED, Plan(tp=4, ep=16), H100, tokens=10)
    assert found == pytest.approx(exchange_s(WIDE, Plan(tp=4), H100, tokens=10) + 4 * 2 * there)


def test_a_torus_cut_both_ways_by_hand():
    # 64 chips, 4 along the width and 16 along the inner width of four times the width. f = log 4 / log 64 = 1/3
    # and 2/3 of the links, 6 f hops of a ring in a cube of side 4.
    rate, hop_s, tokens = CUBE.link_bytes_per_s, CUBE.tiers[0].latency_s or 1e-6, 10

    def along(share, part, message):
        return part * message / (share * rate) + hop_s * 6 * share

    heads, inner = 2 * tokens * 1024 / 16, 2 * tokens * 4096 / 16
    stream = along(2 / 3, 15 / 16, 2 * tokens * 1024 / 4)
    sequences = along(1, 63 / 64, 2 * tokens * 1024 / 64)
    # gate, up and queries scattered, the inner values and the heads' results gathered
    apart = sum(along(1 / 3, 3 / 4, sent) for sent in (inner, inner, heads, inner, heads))
    found = exchange_s(WIDE, Plan(tp=64, stationary="2-D"), CUBE, tokens=tokens)
    assert found == pytest.approx(6 * (4 * stream + apart + 2 * sequences))
    joint = sum(along(1 / 3, 3 / 4, sent) for sent in (inner + heads, inner, inner + heads))
    found = exchange_s(WIDE, Plan(tp=64, stationary="2-D", parallel_block=True), CUBE, tokens=tokens)
    assert found == pytest.approx(6 * (2 * stream + joint + 2 * sequences))
    late = replace(CUBE, waits=3.0)
    hops = 6 * (2 * 6 * 2 / 3 + 3 * 6 / 3 + 2 * 6)
    more = exchange_s(WIDE, Plan(tp=64, stationary="2-D", parallel_block=True), late, tokens=tokens) - found
    assert more == pytest.approx(2 * hop_s * hops)


def test_a_torus_without_a_gate_or_a_known_hop_by_hand():
    # One column product and the queries with it; a hop of a microsecond where the catalog has none:
    # 2/3 x 6 hops twice for the stream, 1/3 x 6 twice for the inner values, 6 twice for the sequences.
    bare = replace(WIDE, ffn_matrices=2)
    plan = Plan(tp=64, stationary="2-D", parallel_block=True)
    unknown = replace(CUBE, tiers=(replace(CUBE.tiers[0], latency_s=None), *CUBE.tiers[1:]))
    found, late = (exchange_s(bare, plan, replace(unknown, waits=w), tokens=10) for w in (1.0, 3.0))
    assert late - found == pytest.approx(2 * 6 * 1e-6 * (2 * 4 + 2 * 2 + 2 * 6))
    gated = exchange_s(WIDE, plan, unknown, tokens=10)
    inner = 2 * 10 * 4096 / 16
    assert gated - found == pytest.approx(6 * (3 / 4 * inner / (CUBE.link_bytes_per_s / 3) + 1e-6 * 2))


def test_gathered_weights_by_hand():
    # Seven eighths of every layer's weights of a byte come in over all links.
    found = exchange_s(WIDE, Plan(tp=8, stationary="gathered", weight_format="fp8"), CUBE, tokens=10)
    assert found == pytest.approx(WIDE.block_params * 7 / 8 / CUBE.link_bytes_per_s)


def test_sweeps_of_ranks_are_each_their_own():
    swept = exchange_s(WIDE, Plan(tp=np.array([1, 2, 8])), H100, tokens=10)
    assert swept == pytest.approx([exchange_s(WIDE, Plan(tp=n), H100, tokens=10) for n in (1, 2, 8)])
