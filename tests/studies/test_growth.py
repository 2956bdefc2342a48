"""Growth of peaks: by hand on made-up chips, then on the catalog's lines."""

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest

from bottlenecks.facts.chips import Chip, chip, dense
from bottlenecks.models import kernels
from bottlenecks.studies import growth

LINES = (
    ("P100 SXM2", "V100 SXM2 16GB", "A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)"),
    ("MI100", "MI250X", "MI300X", "MI355X"),
    ("TPU v2", "TPU v3", "TPU v4", "TPU v5p"),
)


def made(name, cores, clock_hz, per_clock, **peaks):
    return Chip(
        name=name,
        cores=cores,
        clock_hz=clock_hz,
        memory_bytes=1e9,
        memory_bytes_per_s=1e9,
        peaks={f: dense(p) for f, p in peaks.items()},
        facts={"flop_per_clock_per_core_16bit": per_clock},
    )


OLD = made("old", 10, 1e9, "100", fp16=1e12)  # 10 x 1e9 x 100 = 1e12
NEW = made("new", 20, 1.5e9, "400", bf16=11e12, fp8=22e12, fp4=88e12)  # 20 x 1.5e9 x 400 = 12e12


def test_factors_by_hand():
    # clock 1.5, cores 2, per clock 4: 12; the new datasheet prints 11, so 11/12 is left over
    found = growth.step(OLD, NEW)
    assert found == pytest.approx(
        {"clock": 1.5, "cores": 2, "FLOP per clock and core": 4, "narrower format": 1, "left over": 11 / 12}
    )
    # fp4 at 88 over bf16 at 11: 8 more
    assert growth.step(OLD, NEW, width="narrowest")["narrower format"] == pytest.approx(8)


def test_without_a_printed_rate_of_a_core_it_is_what_the_peak_leaves():
    blank = replace(NEW, facts={"flop_per_clock_per_core_16bit": ""})
    found = growth.parts(blank)
    # 11e12 / (20 x 1.5e9) = 366.67, nothing left over
    assert found["FLOP per clock and core"] == pytest.approx(1100 / 3)
    assert found["left over"] == pytest.approx(1)


@pytest.mark.parametrize("order", [1, -1])
def test_without_a_clock_two_factors_are_one(order):
    unclocked = replace(NEW, clock_hz=None)
    pair = (OLD, unclocked)[::order]
    found = growth.step(*pair)
    # 11 times the peak, twice the cores: 5.5
    assert set(found) == {"cores", "clock and FLOP per clock", "narrower format", "left over"}
    assert found["cores"] == pytest.approx(2.0**order)
    assert found["clock and FLOP per clock"] == pytest.approx(5.5**order)
    assert prod(found.values()) == pytest.approx(11.0**order)


@pytest.mark.parametrize("width", growth.WIDTHS)
@pytest.mark.parametrize("names", LINES, ids=lambda names: names[0])
def test_product_is_the_ratio_of_peaks_and_the_steps_make_the_whole(names, width):
    *steps, whole = growth.line(names, width)
    for before, after, factors in [*steps, whole]:
        ratio = after.peak_flop_per_s(growth.format_of(after, width)) / before.peak_flop_per_s(
            growth.format_of(before, width)
        )
        assert prod(factors.values()) == pytest.approx(ratio)
        assert abs(factors["left over"] - 1) < 0.01  # datasheets round
    for part, factor in whole[2].items():
        assert prod(f[part] for _, _, f in steps) == pytest.approx(factor)


def test_printed_numbers_of_a_step():
    # V100 to A100, datasheets: 1.53 to 1.41 GHz, 80 to 108 SM, 1,024 to 2,048 a clock, 125 to 312 TFLOP/s
    found = growth.step(chip("V100 SXM2 16GB"), chip("A100 SXM 80GB"))
    assert found["clock"] == pytest.approx(1.41 / 1.53)
    assert found["cores"] == pytest.approx(1.35) and found["FLOP per clock and core"] == 2
    assert found["left over"] == pytest.approx(312 / 125 / (1.41 / 1.53 * 1.35 * 2))


def test_formats_that_are_counted():
    assert growth.format16(chip("MI100")) == "fp16"  # bf16 runs at half its rate
    assert growth.format_of(chip("B200 SXM (HGX)"), "narrowest") == "fp4"
    assert growth.format_of(chip("P100 SXM2"), "narrowest") == "fp16"
    assert growth.format_of(chip("RTX 3070"), "narrowest") == "bf16"  # not its 16-bit sums
    assert growth.format_of(chip("H100 SXM5"), "narrowest") in ("fp8", "int8")


def test_doublings_add():
    assert growth.doublings({"a": 8, "b": 0.5}) == {"a": 3, "b": -1}


def test_what_is_unsure_is_named():
    assert growth.unsure(chip("TPU v5p")) == ("clock",)
    assert growth.unsure(chip("P100 SXM2")) == ("FLOP per clock and core",)
    assert growth.unsure(chip("MI300X")) == ()


def test_doors():
    with pytest.raises(ValueError, match="width '16 bit' is unknown; did you mean '16-bit'"):
        growth.step(OLD, NEW, width="16 bit")
    with pytest.raises(ValueError, match="TPU v7 has no number of cores"):
        growth.parts(chip("TPU v7"))
    with pytest.raises(ValueError, match="EPYC 9654 has no 16-bit peak"):
        growth.parts(chip("EPYC 9654"))


# ---- the stages of a kernel's time


@pytest.mark.parametrize("memory_first", [False, True])
@pytest.mark.parametrize("name", ["A100 SXM 80GB", "B200 SXM (HGX)", "MI300X", "TPU v5p"])
@pytest.mark.parametrize("shape", [(1, 4096, 4096), (300, 8192, 57344), (4096, 4096, 4096)])
def test_stages_go_from_the_peak_to_the_model_and_never_back(name, shape, memory_first):
    m, k, n = shape
    found = kernels.stages(chip(name), memory_first=memory_first)
    seconds = [float(kernels.matmul_s(m, k, n, device=on)) for on in found.values()]
    real = kernels.device(chip(name))
    assert seconds[0] == pytest.approx(2 * m * k * n / chip(name).peak_flop_per_s("bf16"))
    assert seconds[-1] == float(kernels.matmul_s(m, k, n, device=real))
    assert all(after >= before * (1 - 1e-12) for before, after in pairwise(seconds))


def test_the_second_stage_is_as_asked():
    found = kernels.stages(chip("H100 SXM5"), memory_first=True)
    assert list(found)[1] == "memory not hidden"
    # (64, 4096) @ (4096, 4096): 2 (64 x 4096 x 2 + 4096^2) bytes, far above its arithmetic
    moved = 2 * (2 * 64 * 4096 + 4096**2)
    seconds = kernels.matmul_s(64, 4096, 4096, device=found["memory not hidden"])
    rate = kernels.device(chip("H100 SXM5")).memory_bytes_per_s
    assert seconds == pytest.approx(moved / rate, rel=0.01)


def test_last_stage_is_the_device_itself():
    real = kernels.device(chip("H100 SXM5"), "fp8")
    last = list(kernels.stages(chip("H100 SXM5"), "fp8").values())[-1]
    assert vars(last) == vars(real)
