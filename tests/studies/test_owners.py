"""Who owns a product's time: fits that are as good really are, and the shares range over all of them."""

import numpy as np
import pytest

from bottlenecks.facts.chips import chip
from bottlenecks.measured import teeth
from bottlenecks.measured.fits import equal
from bottlenecks.models import kernels
from bottlenecks.studies import owners

SQUARE = {"k": 4096, "n": 4096}


def test_the_cache_as_measured_by_hand():
    """5,435.9 GB/s over 108 cores at 1.41 GHz; 9,769.1 GB/s over 132 at 1.83 GHz."""
    assert equal.measured_cache(chip("A100 SXM 80GB")) == pytest.approx(35.70, abs=0.01)
    assert equal.measured_cache(chip("H100 SXM5")) == pytest.approx(40.44, abs=0.01)


@pytest.mark.parametrize("name", teeth.CHIPS)
def test_every_set_kept_is_as_good_as_it_says(name):
    fits, grid = owners.equal_fits(name), equal.Grid(name)
    assert (fits["error"] <= fits["error"].min() + equal.TOLERANCE + 1e-4).all()
    for i in (0, 1, fits["error"].size - 1):
        values = {constant: fits[constant][i] for constant in owners.MOVED}
        assert grid.error(values) == pytest.approx(fits["error"][i], abs=2e-4)
        assert grid.held_out_error(values) == pytest.approx(fits["held_out_error"][i], abs=2e-4)
    known = kernels.family_constants(chip(name).family)
    assert [fits[c][0] for c in equal.FREE] == [known[c] for c in equal.FREE]
    assert fits["cache"][0] == known["effective_cache_bytes_per_clock"]


def test_no_value_around_a_fitted_rate_is_better():
    """The search has settled: the rate of a set moved by two percent lowers its error by less than a tenth of a point."""
    fits, grid = owners.equal_fits("H100 SXM5"), equal.Grid("H100 SXM5")
    values = {constant: fits[constant][4] for constant in owners.MOVED}
    for factor in (0.98, 1.02):
        assert grid.error(values | {"matmul_16": values["matmul_16"] * factor}) > grid.error(values) - 1e-3


def test_the_first_fit_is_the_book_and_shares_sum_to_one():
    for name in (*teeth.CHIPS, "B200 SXM (HGX)", "MI300X", "L40S"):
        many, on = owners.devices(name), kernels.device(chip(name))
        rows = np.array([16.0, 256.0, 2048.0])
        first = kernels.matmul_s(rows, 4096, 4096, device=many)[0]
        assert first == pytest.approx(kernels.matmul_s(rows, 4096, 4096, device=on))
        found = owners.shares_over_fits(name, rows=rows, **SQUARE)
        assert sum(found.values()) == pytest.approx(np.ones_like(found["compute"]), abs=1e-3)


def test_fits_that_tell_the_same_time_tell_different_owners():
    """H100, 2,048 rows: the times are within ten percent of one another, compute's share within no factor of two."""
    seconds = kernels.matmul_s(2048, 4096, 4096, device=owners.devices("H100 SXM5"))
    assert seconds.max() / seconds.min() < 1.1
    own, low, high = owners.shares_range("H100 SXM5", rows=2048, **SQUARE)["compute"]
    assert low < own < high and high / low > 2
    table = owners.fits_table("H100 SXM5", rows=2048, **SQUARE)
    assert [line["fit"] for line in table] == ["the book's", "least compute", "most compute"]


def test_no_fit_goes_beyond_a_datasheet():
    for name in (*teeth.CHIPS, "B200 SXM (HGX)", "L40S"):
        device, many = chip(name), owners.devices(name)
        assert (many.matmul_flop_per_s <= device.peak_flop_per_s("bf16") * (1 + 1e-12)).all()
        assert (many.memory_bytes_per_s <= device.memory_bytes_per_s).all()
