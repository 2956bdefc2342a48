"""Drawings to scale: their numbers and their geometry, worked out by hand."""

import numpy as np
import pytest

from bottlenecks.exhibits import ch14_drawn
from bottlenecks.exhibits.registry import pick, row

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
    x0, x1, y0, y1 = ch14_drawn.shelf_pieces(table).reshape(4, 4, 3)  # copies, books
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
