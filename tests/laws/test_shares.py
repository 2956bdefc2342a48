"""Shares: by hand, and their sum at random shapes."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.laws.shares import at_once, largest, shares
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.models import kernels


@dataclass(frozen=True, kw_only=True)
class Machine:
    peak: float = 2.0
    bandwidth: float = 4.0
    start_s: float = 3.0


WHO = {"compute": "peak", "memory": "bandwidth", "latency": "/start_s"}


def test_a_sum_by_hand():
    # 10 / 2 = 5 s of arithmetic, 8 / 4 = 2 s of traffic, 3 s to start: of 10 s 0.5, 0.2 and 0.3
    found = shares(lambda on: 10 / on.peak + 8 / on.bandwidth + on.start_s, Machine(), WHO)
    assert found == pytest.approx({"compute": 0.5, "memory": 0.2, "latency": 0.3}, abs=1e-8)


def test_a_maximum_by_hand():
    def time(on):
        return np.maximum(np.array([20.0, 10.0, 1.0]) / on.peak, 20 / on.bandwidth)

    # 10 s against 5 s: arithmetic alone; 5 against 5: half and half; 0.5 against 5: traffic alone
    found = shares(time, Machine(), WHO)
    np.testing.assert_allclose(found["compute"], [1, 0.5, 0], atol=1e-4)
    np.testing.assert_allclose(found["memory"], [0, 0.5, 1], atol=1e-4)
    assert largest(found)[[0, 2]].tolist() == ["compute", "memory"]


def test_all_shares_at_once_by_hand():
    asked = []

    def time(on):
        asked.append(on)
        return np.array([10.0, 1.0]) / on.peak + 8 / on.bandwidth + on.start_s

    # 5 + 2 + 3 s as above, and 0.5 + 2 + 3 s
    found = at_once(time, Machine(), WHO)
    np.testing.assert_allclose(found["compute"], [0.5, 0.5 / 5.5], atol=1e-8)
    np.testing.assert_allclose(found["memory"], [0.2, 2 / 5.5], atol=1e-8)
    np.testing.assert_allclose(found["latency"], [0.3, 3 / 5.5], atol=1e-8)
    assert len(asked) == 1


def test_the_largest_of_a_number_and_of_arrays():
    assert str(largest({"a": 0.2, "b": 0.8})) == "b"
    assert largest({"a": np.array([0.9, 0.1]), "b": 0.5}).tolist() == ["a", "b"]


# ---- kernels


def away_from_ties(time, on):
    """Both sides' slopes agree in each rate that the time depends on."""
    for fields in kernels.RESOURCES.values():
        for field in fields.replace("/", "").split():
            near = [np.log(time(replace(on, **{field: getattr(on, field) * f}))) for f in np.exp([-2e-4, 0, 2e-4])]
            if not abs(near[0] + near[2] - 2 * near[1]) < 1e-6:
                return False
    return True


sizes = st.integers(1, 20_000)
names = st.sampled_from(("A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)", "L40S", "MI300X", "TPU v4"))
timed_kernels = st.one_of(
    st.builds(
        lambda m, k, n, groups, warm: lambda on: kernels.matmul_s(m, k, n, device=on, groups=groups, warm=warm),
        sizes,
        sizes,
        sizes,
        st.integers(1, 8),
        st.booleans(),
    ),
    st.builds(
        lambda moved, kind: lambda on: kernels.elementwise_s(moved, device=on, kind=kind),
        st.floats(1e3, 1e10),
        st.sampled_from(("add", *kernels.WORKED)),
    ),
    st.builds(
        lambda queries, before, batch, how, backward: (
            lambda on: kernels.attention_s(
                queries,
                queries + before,
                batch=batch,
                heads=32,
                kv_heads=8,
                head_values=128,
                device=on,
                implementation=how,
                backward=backward,
            )
        ),
        sizes,
        sizes,
        st.integers(1, 64),
        st.sampled_from(kernels.IMPLEMENTATIONS),
        st.booleans(),
    ),
)


@given(names, timed_kernels)
def test_shares_of_a_kernel_are_shares(name, time):
    on = kernels.device(chip(name))
    assume(away_from_ties(time, on))
    found = shares(time, on, kernels.RESOURCES)
    assert all(share > -1e-6 for share in found.values()), found
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-6)


def test_shares_of_the_corpus_sum_to_one():
    """Every kind of row, links and copies too; a few of thousands lie at a tie of two tiles."""
    away = []
    for case in measured_kernels.cases(corpus.table("kernels")).found:
        on = kernels.device(case.chip, case.format)
        total = sum(shares(case.time, on, kernels.RESOURCES).values())
        away += np.abs(np.broadcast_to(total, case.rows.shape) - 1).tolist()
    assert len(away) > 2000 and np.mean(np.array(away) > 1e-6) < 0.01 and max(away) < 0.1


def test_who_owns_what_by_hand():
    # H100: 8,192^3 is 1.1 ms of arithmetic against 0.12 ms of traffic; one row is 40 us of traffic
    # against 0.1 us; an addition of 1 kB is all start.
    on = kernels.device(chip("H100 SXM5"))

    def owner(time):
        return str(largest(shares(time, on, kernels.RESOURCES)))

    assert owner(lambda d: kernels.matmul_s(8192, 8192, 8192, device=d)) == "compute"
    assert owner(lambda d: kernels.matmul_s(1, 8192, 57344, device=d)) == "memory"
    assert owner(lambda d: kernels.elementwise_s(1e3, device=d)) == "latency"
