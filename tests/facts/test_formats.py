"""Formats: bits a weight by the bytes of its blocks, and how texts spell them."""

import pytest

from bottlenecks import data
from bottlenecks.facts import formats
from bottlenecks.models.inference import Plan

# ---- what is stored, by hand

BITS = {  # spelling -> bits of a weight, its scales included
    "Q4_0": (16 + 32 * 4) / 32,  # a 16-bit scale and 32 values of 4 bits
    "Q4_1": (2 * 16 + 32 * 4) / 32,  # and a smallest value
    "Q5_0": (16 + 32 * 5) / 32,
    "Q5_1": (2 * 16 + 32 * 5) / 32,
    "Q8_0": (16 + 32 * 8) / 32,
    "Q6_K": (16 + 256 / 16 * 8 + 256 * 6) / 256,  # scales of 8 bits for 16 values
    "IQ4_XS": (16 + 256 / 32 * 6 + 256 * 4) / 256,  # scales of 6 bits for 32 values
    "Q4_K_M": 4.88,
    "Q4_K - Medium": 4.88,  # as llama-bench prints it
    "q4km": 4.88,
    "Q4_K_S": 4.6672,
    "Q5_K_M": 5.7036,
    "Q3_K_M": 3.91,
    "Q2_K": 3.1593,
    "IQ4_XS - 4.25 bpw": 4.25,
    "awq": 4 + (16 + 4) / 128,
    "AWQ-Marlin": 4 + (16 + 4) / 128,
    "gptq": 4 + (16 + 4) / 128,
    "GPTQ-Int8": 8 + (16 + 8) / 128,
    "w4a16": 4 + (16 + 4) / 128,
    "int4": 4 + 32 / 128,
    "UINT4": 4 + 32 / 128,
    "4-bit": 4 + 32 / 128,
    "int4-g128": 4 + 32 / 128,
    "int4-g32": 4 + 32 / 32,
    "4 bit, group size 64": 4 + 32 / 64,
    "6 bit g64": 6 + 32 / 64,
    "3bit": 3 + 32 / 128,
    "nf4": 4 + 32 / 64,
    "nf4 double quant": 4 + 8 / 64 + 32 / 64 / 256,
    "mxfp4": 4 + 8 / 32,
    "nvfp4": 4 + 8 / 16,
    "fp4": 4 + 8 / 16,
    "nvfp4 MoE GEMMs and O-proj": 4 + 8 / 16,
    "MXFP8": 8 + 8 / 32,
    "w8a8": 8,
    "w8a16": 8,
    "int8 weights": 8,
    "8bit": 8,
    "fp8 (block 128)": 8,
    "FP8-E4M3": 8,
    "4.0bpw": 4,
    "EXL2 3.0 bpw": 3,
    "2.5 bits": 2.5,
    "3.5 bits": 3.5,
    "F16": 16,
    "half": 16,
    "torch.bfloat16": 16,
}


@pytest.mark.parametrize("spelled", BITS)
def test_bits_of_a_weight(spelled):
    assert 8 * formats.stored_bytes(spelled) == pytest.approx(BITS[spelled], rel=1e-9)


@pytest.mark.parametrize("spelled", ["", "auto", "None", "not stated"])
def test_a_text_that_states_no_format(spelled):
    assert formats.stored(spelled) == "" and formats.operands("act_dtype", spelled) == ()
    with pytest.raises(ValueError, match="no format is stated"):
        formats.stored_bytes(spelled)


@pytest.mark.parametrize("spelled", ["fp7", "exl2", "q9_z", "0 bits", "int16", "whatever"])
def test_a_format_that_is_stated_and_unknown_is_an_error_that_names_it(spelled):
    with pytest.raises(ValueError, match=f"weight_dtype '{spelled}' is unknown.*nvfp4.*'4.25 bits'"):
        formats.stored(spelled, "weight_dtype")


def test_an_unknown_format_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'nvfp4'"):
        formats.stored("nvfp5")
    with pytest.raises(ValueError, match="act_dtype 'bf61' is unknown; did you mean 'bf16'"):
        formats.operands("act_dtype", "bf61")


# ---- what goes with it


@pytest.mark.parametrize(
    ("spelled", "head", "products", "cache"),
    [
        ("w8a8", "bf16", "int8", ""),
        ("W8A8 FP8", "bf16", "fp8", ""),
        ("fp8", "bf16", "fp8", ""),
        ("w4a8", "bf16", "int8", ""),
        ("W4A8KV4", "bf16", "int8", "int4_g128"),
        ("w4a16", "bf16", "bf16", ""),
        ("awq", "bf16", "", ""),
        ("Q4_0", "q6_k", "", ""),
        ("Q4_K_M", "", "", ""),  # its mean has the head
        ("int8", "", "", ""),
        ("bf16", "", "", ""),
        ("4.0bpw", "", "", ""),
    ],
)
def test_what_goes_with_a_format(spelled, head, products, cache):
    assert formats.beside(formats.stored(spelled)) == (head, products, cache)


def test_any_number_of_bits_is_a_format():
    assert formats.bytes_per_value("4.25 bits") == 0.53125
    assert Plan(weight_format="3 bits", cache_format="4.5 bits").weight_format == "3 bits"
    for wrong in ("0.5 bits", "65 bits", "-3 bits", "bits", "4.25"):
        with pytest.raises(ValueError, match=f"format '{wrong}' is unknown"):
            formats.bytes_per_value(wrong)


# ---- the table


def test_formats_of_the_table_are_whole():
    for row in data.rows("formats_stored"):
        assert int(row["value_bits"]) <= float(row["bits"]) < int(row["value_bits"]) + 1.3, row["name"]
        assert row["arithmetic"] and data.keys(row["sources"]), row["name"]
        for beside in (row["head"], row["products"], row["cache"]):
            assert not beside or formats.bytes_per_value(beside), row["name"]
        for spelled in (row["name"], *row["spelled"].split(";")):
            assert formats.find_stored(spelled) == row["name"], spelled
