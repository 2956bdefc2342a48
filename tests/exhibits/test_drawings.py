"""Drawings to scale: their numbers and their geometry, worked out by hand."""

import numpy as np
import pytest

from bottlenecks.exhibits import ch09, ch09_drawn, ch14_drawn, ch14_experts, ch15_drawn
from bottlenecks.exhibits.registry import pick, row
from bottlenecks.models import inference

# ---- 14-zero


@pytest.mark.parametrize(
    ("stage", "copies", "kept"),
    [
        (0, 64, 18),  # 2 + 4 + 12
        (1, 64, 6.1875),  # 2 + 4 + 12 / 64
        (2, 8, 4),  # 2 + (4 + 12) / 8
        (3, 64, 0.28125),  # 18 / 64
        (3, 1, 18),  # nobody to share with
    ],
)
def test_what_a_copy_keeps_of_a_parameter(stage, copies, kept):
    table = ch14_drawn.zero(stage=stage, copies=copies).table
    assert pick(table, "book", "kept_bytes").sum() == pytest.approx(kept)
    held = pick(table, "stage", "held_bytes")[stage]
    assert held == pytest.approx(kept * row(table).params)
    parts = sum(pick(table, "stage", book)[stage] for book in ch14_drawn.BOOKS)
    assert parts == pytest.approx(held)


def test_shelves_are_to_scale_and_their_parts_cover_the_book_once():
    table = ch14_drawn.zero(stage=3, copies=4).table
    x0, x1, y0, _ = ch14_drawn.shelf_pieces(table).reshape(4, 4, 3)  # copies, books
    left, right, top, bottom = ch14_drawn.SHELVES
    width = right - left
    assert (x1 - x0)[0] == pytest.approx(np.array([2, 4, 12]) / 18 / 4 * width)
    assert x0[1:] == pytest.approx(x1[:-1])  # where one copy's part ends, the next one's begins
    assert x1[-1] - x0[0] == pytest.approx(np.array([2, 4, 12]) / 18 * width)
    assert (y0[:, 0] - top) == pytest.approx((bottom - top) / 4 * np.arange(4))


# ---- 14-cut


def test_a_ring_adds_the_summands_up():
    here = row(ch14_drawn.column_row(chips=4).table)
    assert here.sent_bytes == pytest.approx(2 * 3 / 4 * 8192 * 2)  # 24,576 B of a token
    assert here.weight_bytes == pytest.approx(3 * 8192 * 28672 * 2 / 4)  # gate, up and down, 16 bits
    assert row(ch14_drawn.column_row(chips=1).table).sent_bytes == 0


def test_attention_is_cut_by_heads():
    table = ch14_drawn.column_row(part="attention", chips=8).table
    assert pick(table, "first", "columns").tolist() == [64 * 128, 8 * 128, 8 * 128]


@pytest.mark.parametrize("part", ["feed-forward", "attention"])
def test_pieces_of_the_pair_are_to_scale(part):
    table = ch14_drawn.column_row(part=part, chips=4).table
    at, s = ch14_drawn.cut_pieces(table), row(table).scale
    wide, inner = 8192 * s, (28672 if part == "feed-forward" else 8192) * s
    x0, x1, y0, y1 = at["B"]
    assert (x1 - x0) == pytest.approx(wide) and (y1 - y0) == pytest.approx(inner / 4)
    a0, a1, top, bottom = at["up" if part == "feed-forward" else "queries"]
    assert (a1 - a0) == pytest.approx(inner / 4) and (bottom - top) == pytest.approx(wide)
    h0, h1, *_ = at["H"]
    assert h0 == pytest.approx(a0) and h1 == pytest.approx(a1)  # columns of A lie above those of X A


# ---- 14-under


@pytest.mark.parametrize("port", ch14_drawn.PORTS)
@pytest.mark.parametrize("zero", ["ZeRO 1", "ZeRO 3"])
@pytest.mark.parametrize("micro_batches", [1, 8])
def test_the_drawn_step_is_its_passes_and_what_the_law_exposes(zero, micro_batches, port):
    table = ch14_drawn.under_backward(zero=zero, micro_batches=micro_batches, port=port).table
    here = row(table)
    assert here.step_s == pytest.approx(micro_batches * 3 * here.forward_s + here.exposed_s)
    kind, start, end = pick(table, "work", "kind", "start_s", "end_s")
    for lane in (("forward", "backward"), ("gather", "scatter")):
        mine = np.isin(kind, lane) & (end > start)
        order = np.argsort(start[mine])
        assert (start[mine][order][1:] >= end[mine][order][:-1] - 1e-9).all()  # one thing at a time
    assert end[kind == "scatter"].max() == pytest.approx(here.step_s)


def test_gradients_and_weights_leave_through_the_port():
    here = row(ch14_drawn.under_backward(port="400 Gbit/s").table)
    assert here.scatter_s == pytest.approx(4 * here.params * 127 / 128 / 50e9)  # 32 bits, 400 / 8 = 50 GB/s
    assert here.gather_s == pytest.approx(here.scatter_s / 2)  # 16 bits
    assert here.forward_s == pytest.approx(2 * here.params * 8192 / here.rate)
    assert here.enough == pytest.approx(here.rate / 50e9)  # 6 B of each weight, 6 FLOP for each token


def test_more_micro_batches_hide_no_more():
    exposed = [row(ch14_drawn.under_backward(micro_batches=m).table).exposed_s for m in (1, 16)]
    assert exposed[0] == exposed[1]
    sharded = [row(ch14_drawn.under_backward(micro_batches=m, zero="ZeRO 3").table).exposed_s for m in (1, 16)]
    assert sharded[1] == pytest.approx(16 * sharded[0])  # weights come anew for each


# ---- 09-clock


@pytest.mark.parametrize(("chips", "batch"), [(1, 1), (8, 1), (8, 64)])
def test_the_clock_shows_the_whole_step(chips, batch):
    table = ch09_drawn.clock(chips=chips, batch=batch).table
    here = row(table)
    serving = ch09.serving_of("H100 SXM5", "Llama-2-70B", "bf16", chips)
    assert here.step_s == pytest.approx(inference.decode(*serving, batch=batch, context=2048).seconds)
    kind, start, end = pick(table, "step", "kind", "start_s", "end_s")
    assert start[0] == 0 and start[1:] == pytest.approx(end[:-1])
    assert np.sum(kind == "exchange") == (160 if chips > 1 else 0)  # two in each of 80 layers
    assert here.layers * here.layer_s < here.step_s < 1.02 * here.layers * here.layer_s  # and the two ends


def test_what_reading_takes_at_the_datasheets_rate():
    here = row(ch09_drawn.clock(chips=8).table)
    layer = 8192 * (8192 + 2 * 1024) + 8192 * 8192 + 3 * 8192 * 28672
    weights = 2 * (80 * layer + 32000 * 8192) / 8
    assert here.weights_s == pytest.approx(weights / 3.35e12)
    assert here.cache_s == pytest.approx(2048 * 80 * 2 * 128 * 2 / 3.35e12)  # one of 8 key-value heads a chip


# ---- 09-heads


@pytest.mark.parametrize(
    ("name", "chips", "each", "copies"),
    [
        ("GPT-3 175B", 8, 96 * 2 * (96 / 8) * 128 * 2, 1),  # layers, keys and values, heads on a chip, values, bytes
        ("Llama-3-70B", 8, 80 * 2 * 1 * 128 * 2, 1),
        ("Llama-3-70B", 2, 80 * 2 * 4 * 128 * 2, 1),
        ("PaLM 540B", 8, 118 * 2 * 1 * 256 * 2, 8),  # one head, on every chip
        ("DeepSeek-V3", 4, 61 * (512 + 64) * 2, 4),  # one latent, on every chip
    ],
)
def test_who_keeps_which_cache(name, chips, each, copies):
    table = ch09_drawn.heads(model_name=name, chips=chips).table
    here = row(table)
    assert here.each_bytes == pytest.approx(each)
    assert here.each_bytes * chips / here.whole_bytes == pytest.approx(copies)
    on, which, queries, copy = pick(table, "group", "chip", "kv_head", "queries", "copy")
    assert queries.sum() == here.heads and np.unique(which).size == here.kv_heads
    assert copy.sum() == on.size - here.kv_heads and not copy[0]
    assert np.unique(on).tolist() == list(range(chips))


def test_squares_lie_within_their_chip():
    for name in ch09_drawn.HEADS:
        for chips in (1, 2, 4, 8):
            table = ch09_drawn.heads(model_name=name, chips=chips).table
            squares, kept = ch09_drawn.head_places(table)
            assert squares.shape[1] == row(table).heads
            _, _, top, bottom = ch09_drawn.FRAMES
            assert squares[2].min() > top and kept[3].max() < bottom
            start, end = ch09_drawn._frames(table)
            each = np.repeat(np.arange(chips), squares.shape[1] // chips)
            assert (squares[0] > start[each]).all() and (squares[1] < end[each]).all()


# ---- 09-users


def test_caches_are_as_large_as_the_weights():
    table = ch09_drawn.users(users=16, context=8192).table
    here, at = row(table), ch09_drawn.user_blocks(table)
    each = 8192 * 80 * 2 * 8 * 128 * 2  # tokens, layers, keys and values, heads, values, bytes: 2.68 GB
    assert here.each_bytes == pytest.approx(each) and here.cache_bytes == pytest.approx(16 * each)
    assert here.equal_users == pytest.approx(here.weight_bytes / each)
    heights = {name: edges[3] - edges[2] for name, edges in at.items()}
    assert heights["caches"] == pytest.approx(np.full(16, heights["weights"][0] * each / here.weight_bytes))
    assert heights["share"] == pytest.approx([heights["weights"][0] / 16, heights["caches"][0]])


# ---- 14-experts


@pytest.mark.parametrize(
    ("machines", "limit", "each", "copies"),
    [
        (8, "no limit", "once for each expert", 8 * 7 / 8),  # one in eight is at home
        (8, "no limit", "once for each machine", 8 * (1 - (7 / 8) ** 8) * 7 / 8),  # 5.25 machines reached
        (8, "at most 4 machines", "once for each machine", 4 * (1 - (3 / 4) ** 8) * 7 / 8),
        (2, "at most 8 machines", "once for each machine", 2 * (1 - (1 / 2) ** 8) / 2),  # there are only two
    ],
)
def test_copies_that_leave_a_tokens_machine(machines, limit, each, copies):
    here = row(ch14_experts.experts(machines=machines, limit=limit, each=each).table)
    assert here.copies == pytest.approx(copies)
    assert here.sent_bytes == pytest.approx(copies * 7168 * 2)


@pytest.mark.parametrize("machines", ch14_experts.GRID)
def test_a_limited_router_stays_on_so_many_machines(machines):
    for limit, most in ch14_experts.LIMITS.items():
        table = ch14_experts.experts(machines=machines, limit=limit, per_token=16).table
        expert, home = pick(table, "choice", "expert", "machine")
        assert np.unique(expert).size == 16 and (home == expert // (256 // machines)).all()
        assert np.unique(home).size <= (most or machines)
        assert ch14_experts.machine_frames(table)[0][3].max() < ch14_experts.PRICES[0] - 30


# ---- 15-groups


def test_groups_of_llama_3():
    table = ch15_drawn.groups(run="Llama-3.1-405B, 8k (2024)").table
    names, ranks, sent = pick(table, "group", "group", "ranks", "sent_bytes")
    assert dict(zip(names.tolist(), ranks.tolist(), strict=True)) == {"tensor": 8, "pipeline": 16, "data": 128}
    assert row(table).chips == 8 * 16 * 128 and row(table).machines == 2048
    # to the next stage and back, 8 chunks, 16 sequences of 8,192 tokens, a tensor rank's part of 16,384 values of 2 B
    assert sent[names == "pipeline"] == pytest.approx(2 * 8 * 16 * 8192 * 16384 * 2 / 8)


@pytest.mark.parametrize("run", ch15_drawn.PUBLISHED)
def test_every_machine_and_chip_has_its_place(run):
    table = ch15_drawn.groups(run=run).table
    here = row(table)
    machines, chips = ch15_drawn.copies_places(table), ch15_drawn.chips_places(table)
    assert machines.shape[1] == here.machines
    assert chips.shape[1] == here.tensor * here.context * here.pipeline
    for (x0, x1, y0, y1), (left, right, top, bottom) in ((machines, ch15_drawn.ALL), (chips, ch15_drawn.ONE)):
        assert x0.min() == left and x1.max() <= right + 1e-9 and y0.min() == top and y1.max() <= bottom + 1e-9
