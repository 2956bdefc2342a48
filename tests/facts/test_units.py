"""Numbers to text and back: what readers write is read, and a refusal names what would be."""

import pytest

from bottlenecks.facts.units import in_unit, parse_quantity, parse_unit, si

WRITTEN = [  # text, the unit of the question, base units
    ("60 t/s", "tokens/s", 60),
    ("60 tok/s", "tokens/s", 60),
    ("60 tokens per second", "tokens/s", 60),
    ("60 tokens a second", "tokens/s", 60),
    ("100 billion", "FLOP", 1e11),
    ("100 billion operations", "FLOP", 1e11),
    ("100 gflop", "FLOP", 1e11),
    ("2 trillion", "FLOP/s", 2e12),
    ("2 min", "s", 120),
    ("1 hour", "s", 3600),
    ("3 days", "hours", 259200),
    ("3", "days", 259200),
    ("1/3 ms", "s", 1e-3 / 3),
    ("1/3", "ms", 1e-3 / 3),
    ("~300us", "s", 3e-4),
    ("300 μs", "s", 3e-4),
    ("about 300 microseconds", "s", 3e-4),
    ("5x", "times", 5),
    ("5 times", "times", 5),
    ("1e9", "FLOP", 1e9),
    ("10^9", "FLOP", 1e9),
    ("2 x 10^9", "FLOP", 2e9),
    ("40 %", "%", 40),
    ("40 percent", "%", 40),
    ("40", "%", 40),
    ("2.5k", "tokens", 2500),
    ("2.5k tokens", "tokens", 2500),
    ("2M", "users", 2e6),
    ("9 T", "FLOP", 9e12),
    ("20 000", "", 20000),
    ("20,000", "", 20000),
    ("0.5", "ms", 5e-4),
    ("80", "GB", 8e10),
    ("80 gigabytes", "B", 8e10),
    ("3 mb/s", "B/s", 3e6),
    ("3 GPUs", "chips", 3),
    ("8 experts", "experts", 8),
    ("150 flop per byte", "FLOP/B", 150),
]


@pytest.mark.parametrize(("text", "unit", "value"), WRITTEN)
def test_what_a_reader_writes_is_read(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit", "told"),
    [
        ("5 kg", "s", "'kg' is not one. Write one of: ns, µs, ms, s, min, h, days."),
        ("20 B", "s", "'B' is not one"),
        ("5 min", "tokens/s", "asks for tokens/s"),
        ("7 chips", "tokens", "A number will do"),
        ("3 parsecs", "GB", "Write one of: B, kB, MB, GB, TB, PB."),
        ("3 TFLOPS", "FLOP/s", "whether it is a count"),
        ("1,5", "s", "is '1,5' 1.5"),
        ("soon", "s", "Write a number"),
        ("0", "s", "above zero"),
        ("1/0", "s", "above zero"),
        ("1e999", "s", "above zero"),
        ("2.5m", "s", "'m' is not one"),  # minutes, or thousandths?
    ],
)
def test_a_refusal_names_what_is_of_the_same_kind(text, unit, told):
    with pytest.raises(ValueError) as problem:
        parse_quantity(text, unit)
    assert told in str(problem.value)
    assert "users" not in str(problem.value) and "FLOP/s/USD" not in str(problem.value)


@pytest.mark.parametrize("unit", ["MB", "mB", "kFLOP", "ns", "GiB", "TB/s", "PFLOP/s", "pJ/B", "tokens", "%", ""])
def test_a_unit_as_it_stands_wins_over_any_case(unit):
    scale, base = parse_unit(unit)
    assert unit.removesuffix(base) in ("", "M", "m", "k", "n", "Gi", "T", "P", "p") and scale > 0


def test_a_small_m_is_a_thousandth_where_that_makes_sense():
    assert parse_unit("mw") == (1e-3, "W") and parse_unit("mflop") == (1e6, "FLOP")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0314, "ms", "31.4 ms"),
        (3e-7, "ms", "300 ns"),
        (1, "chips", "1 chip"),
        (40, "%", "40 %"),
        (1.48e11, "FLOP", "148 GFLOP"),
        (8e10, "GB", "80 GB"),
        (1500, "", "1,500"),
        (150, "s", "2.5 min"),
        (7200, "s", "2 hours"),
        (259200, "ms", "3 days"),
        (1, "tokens/s", "1 tokens/s"),
    ],
)
def test_a_quantity_is_told_in_the_unit_of_the_question(value, unit, text):
    assert in_unit(value, unit) == text


def test_what_is_counted_has_no_prefix():
    assert si(16384, "chips") == "16,400 chips" and si(2048, "tiles") == "2,050 tiles"
