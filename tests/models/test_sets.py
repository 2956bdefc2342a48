"""Sets: the distinct rows of columns are found exactly, asked once, remembered, and not mixed up."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlenecks.models import sets

ON = SimpleNamespace(rate=1.0)
COLUMNS = (
    st.integers(0, 5),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2.5]),
    st.sampled_from([0.0, 1.0, 7.0]),
    st.sampled_from([3, 2**22, 2**40]),
    st.sampled_from([0, 2**22 - 1]),
    st.booleans(),
)


@given(st.data(), st.integers(1, 30))
def test_distinct_rows_are_those_of_python(data, size):
    made = [data.draw(st.lists(values, min_size=size, max_size=size)) for values in COLUMNS]
    columns = [np.array(values) for values in made] + [np.array(4.0), np.array([9])]
    which, found = sets.distinct(*columns)
    rows = set(zip(*made, strict=True))
    assert which.shape == (size,) and {len(f) for f in found} == {len(rows)}
    for column, values in zip(columns, found, strict=True):
        assert np.array_equal(np.broadcast_to(column, size), values[which])
        assert values.dtype == column.dtype


def test_columns_that_broadcast():
    which, (a, b) = sets.distinct(np.array([[1], [2]]), np.array([5, 5, 6]))
    assert which.shape == (2, 3) and a.size == 4
    assert a[which].tolist() == [[1, 1, 1], [2, 2, 2]] and b[which].tolist() == [[5, 5, 6]] * 2
    which, (a, b) = sets.distinct(3, 4)
    assert (which.shape, a.tolist(), b.tolist()) == ((), [3], [4])


def counted(asked):
    def make(a, b):
        asked.append(np.size(a))
        return {"sum": a + b, "one": 1.0}

    return make


def test_each_question_is_asked_once():
    asked, a, b = [], np.array([1, 2, 1, 2, 1]), np.array([5.5, 6.5, 5.5, 6.5, 6.5])
    found = sets.answered(counted(asked), ON, None, a=a, b=b)
    assert asked == [3] and np.array_equal(found["sum"], a + b) and found["one"].tolist() == [1.0] * 5


def test_a_memo_gives_what_it_was_told():
    asked, memo = [], {}
    make = counted(asked)
    for _ in range(2):
        for a in (np.array([1, 2]), np.array([1, 3])):
            assert np.array_equal(sets.answered(make, ON, memo, a=a, b=2.0)["sum"], a + 2.0)
    assert asked == [2, 2] and len(memo) == 2
    for n in range(sets.REMEMBERED + 5):
        sets.answered(make, ON, memo, a=np.array([n, 100]), b=2.0)
    assert len(memo) == sets.REMEMBERED
    before = len(asked)
    sets.answered(make, ON, memo, a=np.array([sets.REMEMBERED + 4, 100]), b=2.0)  # the newest is kept
    sets.answered(make, ON, memo, a=np.array([1, 2]), b=2.0)  # the oldest is not
    assert len(asked) == before + 1


def test_a_swept_machine_has_a_set_for_each_element():
    swept = SimpleNamespace(rate=np.array([1.0, 2.0, 3.0]))
    assert sets.swept(swept) and not sets.swept(ON) and not sets.swept(SimpleNamespace(rate=np.array(1.0)))
    found = sets.answered(lambda a: {"time": a / swept.rate}, swept, None, a=np.array([6.0, 6.0, 6.0]))
    assert found["time"].tolist() == [6.0, 3.0, 2.0]
    found = sets.answered(lambda a: {"time": a / swept.rate}, swept, None, a=6.0)
    assert found["time"] == pytest.approx([6.0, 3.0, 2.0])
