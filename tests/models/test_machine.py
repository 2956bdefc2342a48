"""Machines: rates beside an array, power, formats, and which kernel does a product."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.chips import chip
from bottlenecks.facts.networks import system
from bottlenecks.models import constants, kernels, ops, wiring
from bottlenecks.models.machine import machine, product_s, rows_s

H100, V4, V6E, TRAINIUM = (machine(chip(n)) for n in ("H100 SXM5", "TPU v4", "TPU v6e", "Trainium1"))


def test_units_beside_an_array_by_hand():
    # TPU v5p has a 32nd of its arrays' rate; TPU v6e, with arrays four times as large, half as many for the same unit
    assert V4.vector_per_s == pytest.approx(V4.matmul_flop_per_s / 32) and V4.exp_per_s == V4.vector_per_s / 4
    assert V6E.vector_per_s == pytest.approx(V6E.matmul_flop_per_s / 64)
    assert (V4.takes_turns, H100.takes_turns, TRAINIUM.takes_turns) == (True, False, False)
    assert H100.vector_per_s == pytest.approx(66.9e12 / 2, rel=0.01)  # multiply-adds of 66.9 TFLOP/s in 32 bits


def test_formats_of_a_machine():
    fp8 = machine(chip("H100 SXM5"), "fp8")
    assert (fp8.format, fp8.product_format, fp8.narrow, H100.narrow) == ("bf16", "fp8", True, False)
    assert fp8.matmul_flop_per_s == H100.matmul_flop_per_s == H100.product_flop_per_s
    assert fp8.product_flop_per_s == kernels.device(chip("H100 SXM5"), "fp8").matmul_flop_per_s
    assert fp8.peak_flop_per_s == chip("H100 SXM5").peak_flop_per_s("fp8")
    assert machine(chip("T4"), "int8").format == "fp16"  # T4 has no bf16


def test_power_by_hand():
    # What 700 W sustain over what a kernel of 16 bits alone reaches; 8-bit products are not capped
    share = constants.training()["Hopper", "flop_per_joule_16"] * 700 / H100.matmul_flop_per_s
    assert 0.5 < share < 1 and H100.sustained == pytest.approx(share)
    assert machine(chip("H100 SXM5"), "fp8").sustained == pytest.approx(share)
    assert V4.sustained == 1.0


def test_domains():
    assert H100.domain == 8 and machine(chip("H100 SXM5"), tiers=()).domain == np.inf
    assert machine(chip("H100 SXM5"), tiers=(wiring.ports(1e9),)).domain == np.inf
    assert machine(system("DGX H100")).domain == 8
    lone = machine(chip("L40S"))
    assert np.isfinite(lone.link_bytes_per_s) and np.isfinite(lone.host_bytes_per_s)


def test_products_that_take_turns_by_hand():
    # Weights come, then the array works: 2 x 8 x 4,096^2 FLOP are rounded up to rows of 128; bytes are not.
    arithmetic = 2 * 128 * 4096**2 / V4.matmul_flop_per_s
    memory = 2 * (8 * 4096 + 4096 * 4096 + 8 * 4096) / V4.memory_bytes_per_s
    found = product_s(8, 4096, 4096, groups=1, weight_bytes=2, device=V4)
    assert found == pytest.approx(V4.fixed_s + arithmetic + memory)


def test_few_rows_go_to_the_quicker_kernel():
    asked = {"groups": 1, "weight_bytes": 2}
    slow_vector, slow_tiles = replace(H100, vector_per_s=1e9), replace(H100, matmul_flop_per_s=1e9)
    for on in (H100, slow_vector, slow_tiles):
        for m in (1, 8):
            tiled = kernels.matmul_s(m, 4096, 4096, device=on, **asked)
            vector = kernels.few_rows_s(m, 4096, 4096, device=on, **asked)
            assert product_s(m, 4096, 4096, device=on, **asked) == min(tiled, vector)
        nine = product_s(9, 4096, 4096, device=on, **asked)
        assert nine == kernels.matmul_s(9, 4096, 4096, device=on, **asked)
    assert kernels.few_rows_s(8, 4096, 4096, device=slow_tiles, **asked) < tiled
    found = product_s(np.array([1, 9]), 4096, 4096, device=slow_tiles, **asked)
    assert found.tolist() == [product_s(m, 4096, 4096, device=slow_tiles, **asked) for m in (1, 9)]
    # an array has no such kernel
    idle = replace(TRAINIUM, matmul_flop_per_s=1e9)
    assert product_s(1, 64, 64, device=idle, **asked) == kernels.matmul_s(1, 64, 64, device=idle, **asked)


def test_rows_of_two_formats_in_order():
    fp8 = machine(chip("H100 SXM5"), "fp8")
    rows = [
        ops.matmul("a", 512, 4096, 4096, format="bf16"),
        ops.elementwise("b", 1e6, "norm", format="bf16", calls=3),
        ops.matmul("c", 512, 4096, 4096, format="fp8", calls=2),
        ops.matmul("d", np.array([16, 512]), 4096, 4096, format="bf16"),
    ]
    a, b, c, d = rows_s(rows, fp8)
    wide = kernels.matmul_s(512, 4096, 4096, device=fp8)
    narrow = kernels.matmul_s(512, 4096, 4096, device=kernels.device(chip("H100 SXM5"), "fp8"))
    assert np.all(a == pytest.approx(wide)) and np.all(c == pytest.approx(2 * narrow))
    assert b == pytest.approx(3 * kernels.elementwise_s(4e6, device=fp8, kind="norm"))
    assert d[1] == pytest.approx(wide) and d[0] < wide
    huge = [ops.matmul("e", np.full(50_000, 512.0), 4096, 4096, format="bf16")] * 3  # more than one call takes
    assert all(each.shape == (50_000,) and np.ptp(each) == 0 for each in rows_s(huge, fp8))


def test_no_catalog_chip_is_an_error():
    with pytest.raises(ValueError, match="not in the catalog"):
        machine(replace(system("DGX H100"), chip=None))
