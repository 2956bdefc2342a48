"""The run history redone: operations by hand, and what was reported."""

import numpy as np
import pytest

from bottlenecks.studies import bills

RUNS, REDONE = bills.runs(), bills.redone()


def of(columns, name, column):
    return float(columns[column][columns["name"].tolist().index(name)])


def test_operations_by_hand():
    # GPT-3: 6 x 175e9 x 300e9 = 3.15e23, and attention 6 x 96 x 12288 x 2048 x 300e9 = 4.3e21
    assert of(RUNS, "GPT-3 175B", "six_n_d_flop") == pytest.approx(3.15e23)
    assert of(RUNS, "GPT-3 175B", "flop") == pytest.approx(3.15e23 + 4.35e21, rel=1e-3)
    # of a mixture those parameters count that a token uses
    assert of(RUNS, "DeepSeek-V3 671B (MoE)", "six_n_d_flop") == pytest.approx(6 * 37e9 * 14.8e12)


@pytest.mark.parametrize(
    ("name", "printed"), [("GPT-3 175B", 3.14e23), ("PaLM 540B", 2.53e24), ("Llama 3.1 405B", 3.8e25)]
)
def test_printed_operations(name, printed):
    assert of(RUNS, name, "flop") == pytest.approx(printed, rel=0.06)


def test_utilisation_of_whole_runs_is_that_of_their_chips():
    """Llama 2 70B: 6 x 68.977e9 x 2e12 over 1,720,320 hours of 312 TFLOP/s: 0.428, and attention besides."""
    assert of(RUNS, "Llama 2 70B", "used") == pytest.approx(0.428, rel=0.04)
    known = RUNS["used"][np.isfinite(RUNS["used"])]
    assert np.all((known > 0.05) & (known < 0.75))


def test_runs_that_can_be_redone_are_predicted():
    assert REDONE["name"].size >= 30 and np.isfinite(REDONE["predicted_s"]).all()
    assert np.all(REDONE["low_s"] < REDONE["predicted_s"]) and np.all(REDONE["predicted_s"] < REDONE["high_s"])


def test_the_simplest_rival_by_hand():
    # BLOOM at 40 % of 312 TFLOP/s
    flop = of(REDONE, "BLOOM 176B", "flop")
    assert of(REDONE, "BLOOM 176B", "one_s") == pytest.approx(flop / (0.4 * 312e12))


def test_a_record_is_the_largest_of_its_month_and_larger_than_all_before():
    year = np.array([2018.0, 2017.0, 2017.0, 2019.0, 2020.0, 2020.0])
    value = np.array([5.0, 3.0, 5.0, 5.0, 7.0, 6.0])
    assert bills.records(year, value).tolist() == [False, False, True, False, True, False]


def test_a_misspelt_run_is_told_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'BLOOM 176B'"):
        bills.priced(["BLOM 176B"])
