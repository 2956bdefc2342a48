"""Rows as calls: every row has a prediction or a reason, and its own unit."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.facts.formats import named
from bottlenecks.measured import kernels as measured_kernels
from bottlenecks.models import kernels


def rows(*cells):
    """Columns of made-up rows; what a row leaves out is blank."""
    about = corpus.columns("kernels")
    blank = {c: "" if unit == "text" else np.nan for c, (unit, _) in about.items()}
    full = [blank | {"kernel": "matmul", "chip_name": "H100 SXM5", "dtype": "bf16"} | c for c in cells]
    assert all(set(c) == set(blank) for c in full)
    return {c: np.array([row[c] for row in full]) for c in blank}


def predict(columns):
    return measured_kernels.predict(measured_kernels.cases(columns))


SQUARE = {"m": 8192.0, "n": 8192.0, "k": 8192.0}
PROMPT = {"kernel": "attention fwd", "batch": 2.0, "seq_len": 8192.0, "heads": 16.0, "head_dim": 128.0, "causal": 0.0}


def test_a_row_is_a_call():
    found = predict(rows(SQUARE, SQUARE | {"kernel": "Matmul (qkv projection)", "timed_alone": 0.0}))
    on = kernels.device(chip("H100 SXM5"), "bf16")
    assert found["seconds"].tolist() == [kernels.matmul_s(8192, 8192, 8192, device=on, warm=w) for w in (True, False)]
    assert found["bound"].tolist() == ["compute", "compute"] and found["reason"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"m": 8.0, "n": 8.0}, "leaves a size of the kernel open"),
        (PROMPT | {"seq_len": np.nan}, "leaves a size of the kernel open"),
        (SQUARE | {"m": -8.0}, "m must be whole and from 1 to 1,000,000,000,000, got -8"),
        (SQUARE | {"k": 0.0}, "k must be whole and from 1 to 1,000,000,000,000, got 0"),
        (SQUARE | {"n": np.inf}, "n must be whole and from 1 to 1,000,000,000,000, got inf"),
        (SQUARE | {"time_s": 0.0}, "time_s must be above zero and finite, got 0"),
        (PROMPT | {"causal": 2.0}, "causal must be 1 or 0, got 2"),
        (SQUARE | {"kernel": "convolution"}, "no model of the kernel 'convolution'"),
        (SQUARE | {"kernel": ""}, "no kernel is named"),
        (SQUARE | {"chip_name": ""}, "no chip is named"),
        (SQUARE | {"chip_name": "", "chip": "MI300Y"}, "'MI300Y' is not in the catalog; did you mean 'MI300X'"),
        (SQUARE | {"chip_name": "A100 SXM 80GB", "dtype": "fp8"}, "A100 SXM 80GB has no fp8 peak; it has fp64"),
        (SQUARE | {"dtype": "fp7"}, "dtype 'fp7' is unknown; did you mean 'fp"),
        (SQUARE | {"chip_name": "Cerebras WSE-3", "kernel": "memcpy host to device"}, "has no published peak"),
        ({"kernel": "memcpy host to device", "chip_name": "H200 SXM"}, "has no host link in the catalog"),
        ({"kernel": "p2p write", "chip_name": "L40S"}, "has no link to another chip in the catalog"),
        ({"kernel": "elementwise sort", "m": 8.0, "n": 8.0}, "no model of the kernel"),
    ],
)
def test_a_row_without_a_prediction_says_why(cells, reason):
    found = predict(rows(SQUARE, cells, SQUARE))
    assert reason in found["reason"][1] and np.isnan(found["seconds"][1])
    assert found["reason"][[0, 2]].tolist() == ["", ""]
    assert np.isfinite(found["seconds"][[0, 2]]).all()


@pytest.mark.parametrize(
    ("dtype", "formats"),
    [
        ("bf16", ["bf16"]),
        ("fp16/bf16 (not stated)", ["fp16", "bf16"]),
        ("Float32", ["fp32"]),
        ("float8_e4m3", ["fp8"]),
        ("fp64 (BabelStream default)", ["fp64"]),
        ("", []),
        ("fp16_acc16", ["fp16_acc16"]),
        ("e4m3 (fp8)", ["fp8"]),
        ("nvfp4", ["fp4"]),
        ("bfloat16", ["bf16"]),
    ],
)
def test_formats_by_their_spelling(dtype, formats):
    assert named(dtype) == tuple(formats)


def test_what_was_assumed_is_that_of_the_row():
    table = rows(PROMPT, PROMPT | {"batch": np.nan}, PROMPT | {"causal": np.nan, "heads": np.nan})
    full, alone, unmasked = predict(table)["assumed"].tolist()
    assert "sequence" not in full and "mask" not in full
    assert "one sequence" in alone and "no mask" in unmasked and "a width of 2048" in unmasked


def test_headlines_by_hand():
    # 2 x 8,192^3 = 1.09951e12 FLOP in 2 ms: 549.8 TFLOP/s. Attention, 4 FLOP a pair and value:
    # 4 x 8,192^2 x 128 x 16 x 2 = 1.09951e12 as well; half of it with a mask; 3.5 times with the
    # backward pass, which alone is 2.5. A copy of 1 GB in 2 ms: 500 GB/s.
    rated = {"flop_per_s": 1e12}
    table = rows(
        SQUARE | {"time_s": 1e-3},
        SQUARE | rated,
        PROMPT | rated,
        PROMPT | rated | {"causal": 1.0},
        PROMPT | rated | {"kernel": "attention fwd+bwd"},
        PROMPT | rated | {"kernel": "attention bwd"},
        {"kernel": "stream copy", "bytes": 1e9, "bytes_per_s": 3e12},
        SQUARE,
        SQUARE | rated | {"kernel": "Grouped matmul", "batch": 4.0},
    )
    measured, predicted, unit = measured_kernels.headline(measured_kernels.cases(table), np.full(9, 2e-3))
    assert unit.tolist() == ["us"] + ["TFLOP/s"] * 5 + ["GB/s", "us", "TFLOP/s"]
    np.testing.assert_allclose(measured, [1000, 1, 1, 1, 1, 1, 3000, np.nan, 1])
    rate = 549.756
    expected = [2000, rate, rate, rate / 2, 3.5 * rate, 2.5 * rate, 500, 2000, 4 * rate]
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)


def test_backward_alone_is_the_rest():
    parts = [PROMPT | {"kernel": f"attention {name}"} for name in ("fwd", "bwd", "fwd+bwd")]
    forward, backward, both = predict(rows(*parts))["seconds"]
    assert forward + backward == pytest.approx(both) and backward > forward


def test_each_column_is_heard():
    """What a row states reaches its case, whatever its kernel is called."""
    both, named, unfused, first, plain = predict(
        rows(
            PROMPT | {"kernel": "attention", "pass": "both"},
            PROMPT | {"kernel": "attention fwd+bwd"},
            PROMPT | {"attention": "unfused"},
            PROMPT | {"attention": "fused, first"},
            PROMPT,
        )
    )["seconds"]
    assert both == named and plain < first < unfused
    alone, within, best = predict(rows(SQUARE, SQUARE | {"timed_alone": 0.0}, SQUARE | {"best_of_sweep": 1.0}))[
        "seconds"
    ]
    assert best < alone <= within
    copy = {"kernel": "memcpy device to device", "bytes": 1e10}
    one, two = predict(rows(copy, copy | {"directions": 2.0}))["seconds"]
    assert two == pytest.approx(one / 2, rel=1e-3)
    sweep = [{"kernel": "stream read", "threads": float(n)} for n in (1024, 2048)]
    assert np.isfinite(predict(rows(*sweep))["seconds"]).tolist() == [False, True]
    for cells, reason in (({"pass": "fwd"}, "pass 'fwd' is unknown"), ({"attention": "flash"}, "attention 'flash'")):
        assert reason in predict(rows(PROMPT | cells))["reason"][0]


def test_a_datasheet_knows_no_limit_of_power():
    """An L40S sustains less than its peak in 350 W; by its datasheet, with which it is compared, it has all of it."""
    board = chip("L40S")
    assert kernels.ideal(board).matmul_flop_per_s == board.peak_flop_per_s("bf16")
    assert kernels.device(board).matmul_flop_per_s < 0.9 * board.peak_flop_per_s("bf16")


def test_attention_by_the_program_that_a_row_names():
    """FlashAttention's papers: the first writes partial results, the third overlaps; "standard" keeps the scores in memory."""
    of = measured_kernels.attention_of
    assert [
        of(name) for name in ("xFormers 0.0.20", "FA2", "flash_attn 2.5.8", "FlashAttention-3", "PyTorch standard")
    ] == ["fused, first", "fused", "fused", "fused, overlapped", "unfused"]
    # the longest name counts, and only where the text begins with it
    assert of("FlashAttention v1 (2022)") == "fused, first" and of("ours, like FA2") == of("") == ""
    named = [PROMPT | {"implementation": name} for name in ("xFormers", "FA2", "FA3", "ours", "")]
    seconds = predict(rows(*named, PROMPT | {"implementation": "xFormers", "attention": "fused"}))["seconds"]
    assert seconds[0] > seconds[1] > seconds[2] and seconds[3] == seconds[4]
    assert seconds[5] == seconds[1]  # what a row states wins


def test_a_copy_is_owned_by_its_link():
    copies = [
        {"kernel": f"memcpy {name}", "bytes": 1e9}
        for name in ("host to device", "device to device read", "device local")
    ]
    assert predict(rows(*copies))["bound"].tolist() == ["network", "network", "memory"]


def test_elementwise_values_are_as_wide_as_their_format():
    cells = {"kernel": "elementwise residual add", "m": 65536.0, "n": 65536.0}
    wide, narrow = predict(rows(cells | {"dtype": "float32"}, cells))["seconds"]
    assert wide == pytest.approx(2 * narrow, rel=0.01)


@pytest.mark.parametrize("card", ["V100 SXM2 16GB", "T4"])
def test_a_card_without_bf16_does_not_multiply_it_as_fast_as_fp16(card):
    found = predict(rows(SQUARE | {"chip_name": card}, SQUARE | {"chip_name": card, "dtype": "fp16"}))
    assert found["reason"][0].startswith(f"{card} has no bf16 peak; it has ") and found["reason"][1] == ""
    tpu = predict(rows(SQUARE | {"chip_name": "TPU v4", "dtype": "fp16"}))
    assert "fp16 as fast as bf16" in tpu["assumed"][0]
