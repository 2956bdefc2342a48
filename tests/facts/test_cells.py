"""Numbers and headers as readers write them."""

import pytest

from bottlenecks.facts.cells import has_decimal_comma, heading, number

NAMES = {"time_s", "step_time_s", "message_bytes", "busbw_bytes_per_s", "flop_per_s", "mem_bytes_per_chip", "mfu"}
NAMES |= {"tokens_per_s", "s_per_output_token", "port_bytes_per_s"}


@pytest.mark.parametrize(
    ("text", "scale", "unit", "step", "value"),
    [
        ("4096", 1, "1", 1000, 4096),
        ("4,096", 1, "1", 1000, 4096),
        ("1,234.5", 1, "1", 1000, 1234.5),
        ("20 000 000", 1, "1", 1000, 20e6),
        ("1e6", 1, "1", 1000, 1e6),
        ("4k", 1, "1", 1000, 4000),
        ("4k", 1, "1", 1024, 4096),
        ("1.5K", 1, "1", 1024, 1536),
        ("4Ki", 1, "1", 1000, 4096),
        ("64M", 1, "B", 1024, 64 * 2**20),
        ("64 MiB", 1, "B", 1024, 64 * 2**20),
        ("128KB", 1, "B", 1024, 128_000),
        ("85%", 1, "1", 1000, 0.85),
        ("85 %", 0.01, "1", 1000, 0.85),
        ("85", 0.01, "1", 1000, 0.85),
        ("7B", 1e9, "1", 1000, 7e9),
        ("7B", 1, "1", 1000, 7e9),
        ("350M", 1e9, "1", 1000, 0.35e9),
        ("7", 1e9, "1", 1000, 7e9),
        ("12.5", 1e-6, "s", 1000, 12.5e-6),
        ("12.5 ms", 1e-6, "s", 1000, 0.0125),
        ("3.35 TB/s", 1e9, "B/s", 1000, 3.35e12),
        ("400 Gbit/s", 0.125e9, "B/s", 1000, 50e9),
        ("400Gb/s", 0.125e9, "B/s", 1000, 50e9),
        ("700 kW", 1, "W", 1000, 700e3),
        ("120 tok/s", 1, "1/s", 1000, 120),
        ("400 TFLOP/s", 1e12, "FLOP/s", 1000, 400e12),
    ],
)
def test_a_number_by_hand(text, scale, unit, step, value):
    assert number(text, scale, unit, step=step) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "why"),
    [
        ("eight", "1", "^$"),
        ("max (8)", "1", "^$"),
        ("", "1", "^$"),
        ("8 GPUs", "1", "'GPUs' is no multiple"),
        ("0x10", "1", "'x10' is no multiple"),
        ("8O", "1", "a letter O is no zero"),
        ("5m", "1", "'m' is no multiple"),
        ("3,14", "1", "is it 3.14?"),
        ("4,09,6", "1", "a comma sets thousands apart here$"),
        ("12 GB", "s", "'GB' is no unit of the kind s"),
        ("450 gbps", "B/s", "'gbps' is no unit"),  # bits or bytes
    ],
)
def test_what_is_no_number_says_why(text, unit, why):
    with pytest.raises(ValueError, match=why):
        number(text, 1.0, unit)


def test_a_decimal_comma_is_known_by_its_column():
    assert has_decimal_comma(["3,14", "4,096"]) and number("4,096", decimal_comma=True) == 4.096
    assert not has_decimal_comma(["4,096", "12", "1.5"]) and number("4,096") == 4096
    assert number("1.234,5", decimal_comma=True) == 1234.5 and number("3.14", decimal_comma=True) == 3.14
    assert has_decimal_comma(["0,125"]) and has_decimal_comma(["1.234,5"])


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("time_ms", ("time_s", 1e-3, "s")),
        ("Time (ms)", ("time_s", 1e-3, "s")),
        ("step_time_min", ("step_time_s", 60, "s")),
        ("message_MB", ("message_bytes", 1e6, "B")),
        ("message MiB", ("message_bytes", 2**20, "B")),
        ("busbw_GB/s", ("busbw_bytes_per_s", 1e9, "B/s")),
        ("busbw_MB_per_s", ("busbw_bytes_per_s", 1e6, "B/s")),
        ("busbw_Gbps", ("busbw_bytes_per_s", 0.125e9, "B/s")),
        ("port_gbps", None),  # bits or bytes
        ("flop_per_s", ("flop_per_s", 1, "")),
        ("gflops", ("flop_per_s", 1e9, "FLOP/s")),
        ("TFLOP/s", ("flop_per_s", 1e12, "FLOP/s")),
        ("mem_gb_per_chip", ("mem_bytes_per_chip", 1e9, "B")),
        ("us_per_output_token", ("s_per_output_token", 1e-6, "s")),
        ("tokens_per_sec", ("tokens_per_s", 1, "")),
        ("MFU %", ("mfu", 0.01, "1")),
        ("mood", None),
        ("latency_ms", None),
    ],
)
def test_a_header_by_hand(header, found):
    assert heading(header, NAMES) == found
