"""What rows leave open: choices that practitioners made, middles of what could be meant, boards; by hand."""

from typing import NamedTuple

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts.chips import chip
from bottlenecks.measured import choices
from bottlenecks.measured.cases import Cases, among_families, middles, over_boards, predictions, unswept
from bottlenecks.measured.fits import choices as counted
from bottlenecks.models import kernels

# ---- choices


def test_weights_of_a_choice_sum_to_one():
    for choice in {row["choice"] for row in data.rows("choices")} - {"board"}:
        assert sum(choices.weights(choice).values()) == pytest.approx(1, abs=1e-3), choice


def test_the_data_file_is_what_is_counted():
    assert list(data.rows("choices")) == counted.rows()


def test_boards_by_how_many_measured_on_them(monkeypatch):
    """9 sources and 1, and one that nobody measured on, with half a source behind each: 9.5, 1.5 and 0.5 of 11.5."""
    monkeypatch.setattr(choices, "weights", lambda choice: {"H100 SXM5": 9.0, "H100 PCIe": 1.0, "A100 PCIe 80GB": 5.0})
    found = dict(choices.boards.__wrapped__("H100"))
    assert found == pytest.approx({"H100 SXM5": 9.5 / 11.5, "H100 PCIe": 1.5 / 11.5, "H100 NVL": 0.5 / 11.5})


def test_a_name_that_tells_its_board_leaves_nothing_open():
    assert choices.boards("RTX 4090") == (("RTX 4090", 1.0),)
    assert choices.boards("") == choices.boards("of ours") == ()
    both = dict(choices.boards("L4 / L40S"))  # either
    assert set(both) == {"L4", "L40S"} and sum(both.values()) == pytest.approx(1)


def test_dates_follow_a_chip_s_launch(monkeypatch):
    """Of 2022, none, two, or four and five years later: the last two are not after today, so 2026."""
    monkeypatch.setattr(choices, "weights", lambda choice: {0.0: 0.1, 2.0: 0.6, 4.0: 0.2, 5.0: 0.1})
    found = dict(choices.dates(chip("H100 SXM5")))
    assert found == pytest.approx({"2022-07": 0.1, "2024-07": 0.6, "2026-07": 0.3})


def test_every_source_has_the_same_weight():
    """Of two sources one asked for 16 and 64 tokens, the other for 64: a quarter and three quarters."""
    assert counted._shares({"a": {16.0, 64.0}, "b": {64.0}}) == pytest.approx({16.0: 0.25, 64.0: 0.75})


# ---- middles


def test_the_middle_of_some_times():
    """1, 2 and 4 s with 0.2, 0.4 and 0.4: half is reached at 2 s, and the others are a factor of two away."""
    at, width = middles(np.array([[4.0], [1.0], [2.0]]), np.array([[0.4], [0.2], [0.4]]))
    assert at.tolist() == [2] and width[0] == pytest.approx(np.log(2) * 0.6**0.5)


def test_each_column_has_its_own_middle():
    values = np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 1.0]])
    at, width = middles(values, np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 5.0]]))
    assert at.tolist() == [0, 2] and width.tolist() == [0, 0]


# ---- boards


class Timed(NamedTuple):
    """A case whose time is that of its board."""

    rows: np.ndarray
    on: str
    assumed: str = ""
    open: float = 0.0

    def time(self, on):
        return {"small": 4.0, "middling": 2.0, "large": 1.0}[on]


@over_boards
def cases_of(columns):
    """Rows of boards that have a time, each a case."""
    known = np.isin(columns["chip_name"], ("small", "middling", "large"))
    found = [Timed(np.array([i]), str(columns["chip_name"][i])) for i in np.flatnonzero(known)]
    return Cases(columns, found, np.where(known, "", "no such board"))


def columns_of(*rows):
    names, spelled = zip(*rows, strict=True)
    return {"chip_name": np.array(names), "chip": np.array(spelled)}


def test_a_name_without_a_board_is_a_distribution(monkeypatch):
    """0.4 of 4 s, 0.4 of 2 s, 0.2 of 1 s: 2 s in the middle, the others twice or half."""
    weights = {"any": (("small", 0.4), ("middling", 0.4), ("large", 0.2)), "odd": (("small", 0.3), ("none", 0.7))}
    monkeypatch.setattr(choices, "boards", lambda name: weights.get(name, ()))
    found = cases_of(columns_of(("", "any"), ("large", "any"), ("", "unheard of"), ("", "odd")))
    assert found.columns["chip_name"].tolist() == [
        "middling",
        "large",
        "",
        "small",
    ]  # a board without a time counts little
    assert found.columns["board_open"].tolist() == pytest.approx([np.log(2) * 0.6**0.5, 0, 0, 0], abs=1e-9)
    predicted = predictions(found, owner=None)
    assert predicted["open"][0] == pytest.approx(np.log(2) * 0.6**0.5) and predicted["open"][1] == 0
    assert predicted["seconds"][[0, 1, 3]].tolist() == [2, 1, 4] and predicted["reason"][2] == "no such board"


def test_what_a_row_and_its_board_leave_open_add_as_squares(monkeypatch):
    monkeypatch.setattr(choices, "boards", lambda name: ())
    found = cases_of(columns_of(("large", "large")))
    found.columns["board_open"][:] = 0.3
    predicted = predictions(found._replace(found=[found.found[0]._replace(open=0.4)]), owner=None)
    assert predicted["open"].tolist() == pytest.approx([0.5])


def test_a_family_that_nobody_swept_leaves_more_open(monkeypatch):
    """As much as the shares of the peak differ among families that were: 0.5, 0.5 and 0.8 of it, and a family of its own."""
    shares = {("Hopper", "matmul_16"): 0.5, ("Ampere", "matmul_16"): 0.5, ("Volta", "matmul_16"): 0.8}
    table = {key: {"value": value} for key, value in shares.items()} | {("Hopper", "stream"): {"value": 0.9}}
    table |= {("any", "matmul_16"): {"value": 0.1}}
    monkeypatch.setattr(kernels, "constants_table", lambda: table)
    among_families.cache_clear()
    open = unswept(np.array(["H100 SXM5", "V100 SXM2 32GB", "", "no chip"]))
    among_families.cache_clear()
    # ln 1.6 apart: a third of them off by two thirds of it, two thirds by one: (4/9 + 2/9) / 2 of its square
    assert open.tolist() == pytest.approx([0, np.log(1.6) / 3**0.5, 0, 0])
