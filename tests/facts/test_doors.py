"""What was meant: by meaning before spelling."""

import pytest

from bottlenecks import data
from bottlenecks.facts.chips import chip, chips
from bottlenecks.facts.doors import nearest
from bottlenecks.facts.formats import FORMATS


@pytest.mark.parametrize(
    ("written", "choices", "meant"),
    [
        ("williams", data.references(), "williams2009roofline"),
        ("roofline", ["tinyllama", "williams2009roofline"], "williams2009roofline"),
        ("int4", FORMATS, "fp4"),
        ("fp8", ["fp64", "fp16", "int8"], "int8"),
        ("bf61", ["fp32", "bf16", "fp8"], "bf16"),
        ("H1000", ["B100", "H100 PCIe"], "H100 PCIe"),
        ("h10o sxm5", ["B100", "H100 SXM5"], "H100 SXM5"),
        ("int16", ["fp16", "bf16"], "fp16"),  # of several with the number the nearest spelling
        ("H1O0", ["A10", "H100 SXM5"], "H100 SXM5"),  # a letter for a digit
        ("B2OO", ["B100", "B200"], "B200"),
        ("gpt4o", ["gpt-40b", "gpt-4o"], "gpt-4o"),
        ("zzz", ["abc"], None),
        ("", ["abc"], None),
        (5, ["abc"], None),
    ],
)
def test_what_a_reader_meant(written, choices, meant):
    assert nearest(written, choices) == meant


def test_a_chip_of_one_digit_too_many_is_of_the_family():
    with pytest.raises(ValueError, match="did you mean 'H100 "):
        chip("H1000")
    assert "B100" in {name.split()[0] for name in chips()}, "whose spelling is nearer"
