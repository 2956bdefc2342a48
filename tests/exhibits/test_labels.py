"""Labels: moved apart as little as will do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.exhibits.labels import apart


def test_labels_that_do_not_touch_stay():
    assert apart([0.1, 0.5, 0.3], 0.2) == pytest.approx([0.1, 0.5, 0.3])


def test_two_on_one_place_part_by_equal_ways():
    assert apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_a_label_of_two_lines_needs_more_room():
    assert np.diff(apart([0.5, 0.5], [0.1, 0.3])) == pytest.approx(0.2)


def test_labels_stay_between_the_ends():
    assert apart([0.0, 0.01, 1.0], 0.1, 0.02, 0.99) == pytest.approx([0.02, 0.12, 0.99])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_never_overlap_and_keep_their_order(heights):
    placed, order = apart(heights, 0.1), np.argsort(heights, kind="stable")
    assert (np.diff(placed[order]) > 0.1 - 1e-9).all()
    assert placed.mean() == pytest.approx(np.mean(heights))
