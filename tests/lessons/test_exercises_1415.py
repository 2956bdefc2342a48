"""Exercises of chapters 14 and 15: what they read of the corpus, and what their programs agree with."""

import pytest

from bottlenecks.lessons.exercises import ch14, ch15
from bottlenecks.studies import splitting


@pytest.mark.parametrize(("stages", "micro_batches"), [(1, 3), (2, 1), (3, 2), (4, 8), (8, 16)])
def test_the_step_of_an_even_pipeline_is_that_of_its_drawing(stages, micro_batches):
    drawn = splitting.timeline("1f1b", stages, micro_batches, 1)
    assert ch14.step([1.0] * stages, micro_batches) == pytest.approx(drawn["end"].max())
    assert ch14.step([1.0] * stages, micro_batches) == 3 * (micro_batches + stages - 1)  # the bubble, by hand


def test_a_slow_stage_is_not_cured_by_micro_batches():
    # the slow stage works 3 x 1.1 for each micro-batch, and waits for 3 forwards before and their backwards after
    assert ch14.step([1.0, 1.0, 1.0, 1.1], 100) == pytest.approx(3.3 * 100 + 9)


def test_rows_of_the_corpus():
    assert (ch14.meta_flop_per_s(8192), ch14.meta_flop_per_s(16384)) == (430e12, 400e12)
    assert [ch14.megatron_flop_per_s(n, 3) for n in (384, 768, 1536)] == [144e12, 88e12, 44e12]
    assert (ch15.megascale_s(3072), ch15.megascale_s(12288)) == (23.66, 6.34)
    assert ch15.again_measured() == 18.13 / 13.75


def test_a_row_that_is_not_there_is_no_answer():
    with pytest.raises(ValueError, match="not enough values"):
        ch14.measured("mfu", model="GPT-175B", n_chips=7)


def test_the_best_cut_of_a_toy():
    # 64 chips, 64 sequences, eight chips to a copy: 0.05 x 3 + 1 / 8 of (4, 2) against 0.05 + 3 / 8, 0.35, 7 / 8
    assert ch15.best_cut(64, 64, 8, 0.05) == (4, 2)
    assert ch15.best_cut(16384, 2048, 128, 0.024) == (8, 16)


def test_no_way_to_spend_the_budget_is_faster():
    a, c = ch14.unit_seconds()
    least = ch14.least_sending_s(a, c, 60)
    assert all(least < a / x + c / (60 - x) for x in (20, 30, 39, 41, 50))
    best = ch15.best_budget_s(**ch15.BUDGET)
    assert all(best < ch15.budget_s(k, **ch15.BUDGET) for k in (1, 2, 2.7, 3, 5))
