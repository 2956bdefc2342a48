"""What data-parallel ranks exchange and update in a step, by hand: pieces, bytes, ranks and what hides behind work."""

from dataclasses import replace

import pytest

from bottlenecks.facts.architectures import Model
from bottlenecks.facts.chips import chip
from bottlenecks.models import states
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.models.software import Software
from bottlenecks.models.wiring import send_s

DENSE = Model(name="d", layers=8, width=4096, ffn_width=16384, heads=32, kv_heads=32, head_values=128, vocab=32768)
BLOCK = 4 * 4096**2 + 3 * 4096 * 16384
TABLE = 4096 * 32768
MIXED = replace(DENSE, experts=8, experts_per_token=2, expert_width=16384, ffn_width=None)
ON = machine(chip("H100 SXM5"))
BARE = Software(name="bare", overlaps_gradients=False, overlaps_weights=False)


def found(model=DENSE, software=BARE, on=ON, stage_s=0.0, **layout):
    layout = Layout(**({"seq_len": 128} | layout))
    return tuple(float(x) for x in states.exchange_s(model, layout, on, software, stage_s=stage_s, forward_share=0.25))


def sent(collective, values, ranks, *, size, pieces=None, **rest):
    pieces = pieces or -(-values * size // 2**29)
    return pieces * send_s(collective, values * size / pieces, ranks, on=ON, **rest)


def test_gradients_of_copies_by_hand():
    # Two stages of four layers, cut over two ranks, and a table: its half in 4 bytes is cut in buckets of 512 MiB.
    # Of eight ranks four lie in a domain.
    held = (4 * BLOCK + TABLE) / 2
    exposed, hidden, update = found(tp=2, pp=2, dp=8)
    assert exposed == pytest.approx(sent("all_reduce", held, 8, size=4, per_domain=4)) and hidden == 0
    # 30 bytes of every weight, and 4 of the gradients' norm; eight kernels
    assert update == pytest.approx(34 * held / ON.memory_bytes_per_s + 8 * ON.light_s)
    assert found(tp=2, pp=2)[0] == 0


def test_states_dealt_to_ranks_by_hand():
    # ZeRO 1: gradients to their owners, 16-bit weights back; an eighth to update. ZeRO 2 sends every micro-batch's.
    held = 8 * BLOCK + 2 * TABLE
    scatter = sent("reduce_scatter", held, 8, size=4)
    gather = sent("all_gather", held, 8, size=2)
    exposed, _, update = found(dp=4, cp=2, zero=1, micro_batches=3)
    assert exposed == pytest.approx(scatter + gather)
    assert update == pytest.approx(34 * held / 8 / ON.memory_bytes_per_s + 8 * ON.light_s)
    assert found(dp=8, zero=2, micro_batches=3)[0] == pytest.approx(3 * scatter + gather)


def test_weights_that_come_and_go_by_hand():
    # ZeRO 3, layer by layer: weights twice and gradients once a micro-batch; each once a step where they are kept whole.
    held = 8 * BLOCK + 2 * TABLE
    scatter = sent("reduce_scatter", held, 8, size=4, pieces=8)
    gather = sent("all_gather", held, 8, size=2, pieces=8)
    assert found(dp=8, zero=3, micro_batches=3)[0] == pytest.approx(3 * (2 * gather + scatter))
    assert found(dp=8, zero=3, micro_batches=3, gathers_once=True)[0] == pytest.approx(gather + scatter)


def test_copies_of_shards_by_hand():
    # Shards over 8 of 16 ranks, one machine each, leave two copies; each rank adds its eighth to the other's.
    held = 8 * BLOCK + 2 * TABLE
    inside = sent("reduce_scatter", held, 8, size=4) + sent("all_gather", held, 8, size=2)
    between = send_s("all_reduce", 4 * held / 8, 2, on=ON, per_domain=1)
    assert found(dp=16, zero=1, zero_ranks=8)[0] == pytest.approx(inside + between)
    # over 4 ranks two of four copies lie in a machine
    inside = sent("reduce_scatter", held, 4, size=4) + sent("all_gather", held, 4, size=2)
    between = send_s("all_reduce", 4 * held / 4, 4, on=ON, per_domain=2)
    assert found(dp=16, zero=1, zero_ranks=4)[0] == pytest.approx(inside + between)
    layers = sent("reduce_scatter", held, 4, size=4, pieces=8) + 2 * sent("all_gather", held, 4, size=2, pieces=8)
    assert found(dp=16, zero=3, zero_ranks=4)[0] == pytest.approx(layers + between)


def test_experts_have_fewer_copies_by_hand():
    # Eight experts of 3 x 4,096 x 16,384 over four groups, two copies of each; everything else eight.
    dense = 8 * (4 * 4096**2 + 8 * 4096) + 2 * TABLE
    experts = 8 * 2 * 3 * 4096 * 16384
    exposed, _, update = found(MIXED, dp=8, ep=4)
    whole = sent("all_reduce", dense, 8, size=4) + sent("all_reduce", experts, 2, size=4)
    assert exposed == pytest.approx(whole)
    assert update == pytest.approx(34 * (dense + experts) / ON.memory_bytes_per_s + 8 * ON.light_s)


def test_experts_owners_and_far_copies_by_hand():
    # ZeRO 1: eight ranks share what is dense, two share each expert: half of it to update.
    # Four experts' ranks lie between two copies: of a node's eight two, one after the other.
    dense = 8 * (4 * 4096**2 + 8 * 4096) + 2 * TABLE
    experts = 8 * 2 * 3 * 4096 * 16384
    _, _, update = found(MIXED, dp=8, ep=4, zero=1)
    assert update == pytest.approx(34 * (dense / 8 + experts / 2) / ON.memory_bytes_per_s + 8 * ON.light_s)
    exposed = found(MIXED, dp=32, ep=4)[0]
    far = sent("all_reduce", dense, 32, size=4) + sent("all_reduce", experts, 8, size=4, per_domain=2)
    assert exposed == pytest.approx(far)
    # ZeRO 1 over eight of them: experts have two owners in a node, and four such pairs
    exposed = found(MIXED, dp=32, ep=4, zero=1, zero_ranks=8)[0]
    inside = sum(
        sent("reduce_scatter", of, n, size=4) + sent("all_gather", of, n, size=2)
        for of, n in ((dense, 8), (experts, 2))
    )
    between = sum(send_s("all_reduce", 4 * of / n, 4, on=ON, per_domain=1) for of, n in ((dense, 8), (experts, 2)))
    assert exposed == pytest.approx(inside + between)


def test_what_work_hides_by_hand():
    # Seven of eight layers' exchange can hide: gradients behind three quarters of a second, weights behind a quarter.
    held = 8 * BLOCK + 2 * TABLE
    scatter, gather = sent("reduce_scatter", held, 8, size=4), sent("all_gather", held, 8, size=2)
    both = replace(BARE, overlaps_gradients=True, overlaps_weights=True)
    exposed, hidden, _ = found(dp=8, zero=1, software=both, stage_s=1.0)
    assert hidden == pytest.approx((scatter + gather) * 7 / 8) and exposed == pytest.approx((scatter + gather) / 8)
    brief = found(dp=8, zero=1, software=both, stage_s=4e-3)
    assert brief[1] == pytest.approx(3e-3 + 1e-3) and brief[0] + brief[1] == pytest.approx(scatter + gather)
    four = found(dp=8, pp=2, zero=1, software=both, stage_s=1.0)  # four layers on a stage
    assert four[0] / (four[0] + four[1]) == pytest.approx(1 / 4)


def test_adapters_send_nothing_and_one_port_is_shared():
    exposed, hidden, update = found(dp=8, zero=1, lora_rank=16)
    assert exposed == hidden == 0 and update == pytest.approx(8 * ON.light_s)
    held = 8 * BLOCK + 2 * TABLE
    one_port = replace(BARE, one_port=True)
    crowd = {"pieces": 8, "groups": 8}
    gather, scatter = sent("all_gather", held, 64, size=2, **crowd), sent("reduce_scatter", held, 64, size=4, **crowd)
    assert found(dp=64, zero=3, software=one_port)[0] == pytest.approx(2 * gather + scatter)
    crowd = {"pieces": 8, "groups": 4, "per_domain": 4}  # each of two tensor-parallel ranks has a ring of its own
    gather = sent("all_gather", held / 2, 32, size=2, **crowd)
    scatter = sent("reduce_scatter", held / 2, 32, size=4, **crowd)
    assert found(dp=32, tp=2, zero=3, software=one_port)[0] == pytest.approx(2 * gather + scatter)


def test_a_domain_that_tensor_parallel_ranks_fill():
    held = (8 * BLOCK + 2 * TABLE) / 8
    assert found(tp=8, dp=4)[0] == pytest.approx(sent("all_reduce", held, 4, size=4, per_domain=1))
    held = (8 * BLOCK + 2 * TABLE) / 16
    assert found(tp=16, dp=4)[0] == pytest.approx(sent("all_reduce", held, 4, size=4, per_domain=1))
