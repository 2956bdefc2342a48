"""Chips: the catalog is physically sane and typed; the doors stop what is not."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import chip_names, corpus
from bottlenecks.facts.chips import (
    MEMORY_SHARES,
    MEMORY_UNITS,
    Chip,
    Level,
    Peak,
    boards,
    chip,
    chips,
    dense,
    find_chip,
)
from bottlenecks.facts.formats import FORMATS, bytes_per_value
from bottlenecks.facts.tables import TABLES
from bottlenecks.models import ops

WANTED = (
    "V100 SXM2 32GB",
    "A100 SXM 80GB",
    "H100 SXM5",
    "H200 SXM",
    "B200 SXM (HGX)",
    "MI300X",
    "TPU v4",
    "TPU v5p",
    "TPU v6e",
    "TPU v7",
    "Trainium2",
    "Groq LPU v1",
    "Cerebras WSE-3",
    "RTX 4090",
    "Apple M2 Ultra",
    "Xeon 6980P",
)


@pytest.mark.parametrize("name", WANTED)
def test_the_book_has(name):
    assert chip(name).memory_bytes_per_s > 0


@pytest.mark.parametrize("name", list(chips()))
def test_physical_sanity(name):
    c = chip(name)
    assert 1e9 < c.memory_bytes_per_s < 1e17 and 1e8 < c.memory_bytes < 1e13
    assert c.tdp_watts is None or 5 < c.tdp_watts < 30_000
    rates = {f: peak.flop_per_s for f, peak in c.peaks.items()}
    assert all(1e10 < rate < 1e17 for rate in rates.values())
    ladder = [rates[f] for f in ("fp64", "fp32", "fp16", "fp8", "fp4") if f in rates]
    assert ladder == sorted(ladder), "a narrower format is never slower"
    for level, outer in zip(c.levels, c.levels[1:], strict=False):
        if level.bytes_per_s and outer.bytes_per_s:
            assert level.bytes_per_s >= outer.bytes_per_s, f"{outer.name} outruns {level.name}"
        if level.latency_s and outer.latency_s:
            assert level.latency_s <= outer.latency_s


def facts(*columns):
    rows = [row for row in data.rows("chips") if all(row[c] for c in columns)]
    return [pytest.param(row, id=row["name"]) for row in rows]


@pytest.mark.parametrize("row", facts("core_count", "flop_per_clock_per_core_16bit", "clock_ghz"))
def test_peak_is_cores_times_flop_per_clock_times_clock(row):
    peak_tflops = float(row["bf16_tflops"] or 0), float(row["fp16_tflops"] or 0)
    arithmetic = float(row["core_count"]) * float(row["flop_per_clock_per_core_16bit"]) * float(row["clock_ghz"]) / 1e3
    assert arithmetic == pytest.approx(max(peak_tflops), rel=0.03)


@pytest.mark.parametrize("row", facts("memory_bus_bits", "memory_pin_gbits_s"[:0] + "memory_pin_gbits_per_s"))
def test_bandwidth_is_pins_times_rate(row):
    arithmetic = float(row["memory_bus_bits"]) * float(row["memory_pin_gbits_per_s"]) / 8
    assert arithmetic == pytest.approx(float(row["memory_gbytes_per_s"]), rel=0.03)


def test_no_sparse_peak_by_the_numbers_that_datasheets_lead_with():
    for name, format, sparse in (
        ("H100 SXM5", "fp8", 3958e12),
        ("B200 SXM (HGX)", "fp8", 9000e12),
        ("H100 SXM5", "bf16", 1979e12),
    ):
        assert chip(name).peak_flop_per_s(format) == pytest.approx(sparse / 2, rel=0.01)


def test_no_link_counts_both_directions():
    for name, both_ways in (("A100 SXM 80GB", 600e9), ("H100 SXM5", 900e9), ("B200 SXM (HGX)", 1800e9)):
        assert chip(name).link_bytes_per_s == both_ways / 2


# ---- memory: what a device reports

MIB = 2**20
REPORTED = {  # bytes as nvidia-smi, rocm-smi or the device's own software counts them; sources in the row
    "K80 (one GPU)": 11_441 * MIB,
    "V100 SXM2 16GB": 16_160 * MIB,
    "V100 SXM2 32GB": 32_510 * MIB,
    "T4": 15_360 * MIB,
    "A100 SXM 40GB": 40_960 * MIB,
    "A100 SXM 80GB": 81_920 * MIB,
    "A100 PCIe 80GB": 81_920 * MIB,
    "A800 SXM 80GB": 81_920 * MIB,
    "H100 SXM5": 85_520_809_984,  # 81,559 MiB
    "H100 PCIe": 81_559 * MIB,
    "H200 SXM": 143_771 * MIB,
    "A10": 23_028 * MIB,
    "L4": 23_034 * MIB,
    "L40": 46_068 * MIB,
    "L40S": 46_068 * MIB,
    "B200 SXM (HGX)": 183_359 * MIB,
    "GB200 (per GPU)": 189_471 * MIB,
    "B300 SXM (HGX)": 275_040 * MIB,
    "GB300 (per GPU)": 284_208 * MIB,
    "RTX 3090": 24_576 * MIB,
    "RTX A6000": 49_140 * MIB,
    "RTX A5000": 24_564 * MIB,
    "RTX 4090": 24_564 * MIB,
    "RTX 6000 Ada": 49_140 * MIB,
    "RTX 5090": 32_607 * MIB,
    "RTX PRO 6000 Blackwell": 97_887 * MIB,
    "GB10": 128_501_256_192,
    "MI300X": 206_141_652_992,
    "Gaudi 2": round(94.62 * 2**30),
}


@pytest.mark.parametrize("name", REPORTED)
def test_memory_is_what_the_device_reports(name):
    assert chip(name).memory_bytes == REPORTED[name]


def test_memory_is_reported_with_a_source_or_by_a_stated_rule():
    reported = set()
    for row in data.rows("chips"):
        if row["memory_basis"] in MEMORY_SHARES:
            assert not row["memory_reported_bytes"] and not row["memory_source"], row["name"]
            by_rule = float(row["memory_sold"]) * MEMORY_UNITS[row["memory_unit"]] * MEMORY_SHARES[row["memory_basis"]]
            assert chip(row["name"]).memory_bytes == by_rule
        else:
            assert row["memory_source"] in data.keys(row["sources"]), row["name"]
            reported.add(row["name"])
    assert reported == set(REPORTED)


@pytest.mark.parametrize("row", facts("memory_reported_bytes"))
def test_the_reading_named_is_the_number_of_bytes(row):
    tool, _, reading = row["memory_basis"].partition(": ")
    number, unit = reading.replace(",", "").split()
    scale = {"B": 1, "MiB": MIB, "GiB": 2**30}[unit]
    assert tool and round(float(number) * scale) == int(row["memory_reported_bytes"])


@pytest.mark.parametrize("row", facts("memory_reported_bytes"))
def test_the_unit_of_the_printed_number_is_the_one_that_the_report_bears_out(row):
    share = float(row["memory_reported_bytes"]) / (float(row["memory_sold"]) * MEMORY_UNITS[row["memory_unit"]])
    assert 0.93 < share <= 1.0
    if row["memory_kind"].startswith("HBM") and not row["name"].endswith(("B300 SXM (HGX)", "GB300 (per GPU)")):
        assert share > 0.98  # in decimal GB it would be 1.05 to 1.07


def test_rules_give_what_their_kin_report():
    """The shares that the rules use, from the chips that do report."""

    def shares(names):
        row_of = {row["name"]: row for row in data.rows("chips")}
        return [chip(n).memory_bytes / (float(row_of[n]["memory_sold"]) * 2**30) for n in names]

    driver = shares(("H100 SXM5", "H100 PCIe", "H200 SXM", "B200 SXM (HGX)", "GB200 (per GPU)"))
    assert np.mean(driver) == pytest.approx(MEMORY_SHARES["rule: less what the driver keeps"], abs=1e-3)
    checked = shares(("K80 (one GPU)", "T4", "A10", "L4", "L40", "L40S"))
    assert np.mean(checked) == pytest.approx(MEMORY_SHARES["rule: less check bits"], abs=2e-3)


def test_the_last_level_of_a_hierarchy_is_the_chips_memory():
    for row in data.rows("chip_levels"):
        if row["level"] in ("HBM", "GDDR", "DDR"):
            assert float(row["level_bytes"]) == chip(row["chip"]).memory_bytes, row["chip"]


def test_generations_grow():
    for family in (
        ("V100 SXM2 32GB", "A100 SXM 80GB", "H100 SXM5", "B200 SXM (HGX)"),
        ("MI210", "MI300X", "MI355X"),
        ("TPU v2", "TPU v3", "TPU v4", "TPU v5p", "TPU v7"),
    ):
        line = [chip(name) for name in family]
        for column in (
            lambda c: c.memory_bytes_per_s,
            lambda c: max(p.flop_per_s for f, p in c.peaks.items() if f in ("fp16", "bf16")),
        ):
            values = [column(c) for c in line]
            assert values == sorted(values)


def test_every_source_is_in_the_bibliography_and_every_entry_is_used():
    cited = {
        key
        for table in (
            "chips",
            "chip_levels",
            "energy",
            "models",
            "formats_stored",
            "cloud_instances",
            "software",
            "workloads",
            "corpus_columns",
            *("scaling_laws", "capability", "rents", "attention_forms", "attention_phases", "attention_quality"),
            *TABLES,
        )
        for row in data.rows(table)
        for key in data.keys(row["sources"])
    }
    beside = ("power_measured", "launch_measured", "dense_products", "kernel_grids", "collective_grids", "memory_peaks")
    cited |= {row["source_id"] for file in (*corpus.TABLES.values(), *beside) for row in data.rows(file)}
    text = _text_of_the_package()
    cited |= {key for key in data.references() if key in text}
    assert cited == set(data.references())


def _text_of_the_package():
    folder = data.FOLDER.parent
    return "".join(p.read_text(encoding="utf-8") for p in folder.rglob("*.py"))


def test_references_have_a_title_and_an_address():
    for key, entry in data.references().items():
        assert entry["title"], key
        assert entry.get("url", "https://").startswith("https://"), key


def test_rows_from_memory_say_so():
    for row in data.rows("chips"):
        assert row["confidence"] in ("read", "secondary", "memory"), row["name"]
        assert row["sources"] or row["confidence"] == "memory", row["name"]


# ---- look-up


@pytest.mark.parametrize("spelling", ["h100 sxm5", "NVIDIA H100 SXM", "H100-SXM-80GB", "nvidia h100 sxm5"])
def test_spelling_is_forgiven(spelling):
    assert chip(spelling).name == "H100 SXM5"


NAMES = {  # what people write -> the catalog's name
    "NVIDIA B200-SXM-180GB": "B200 SXM (HGX)",
    "B200 192GB": "B200 SXM (HGX)",  # 192.3e9 bytes, of which 180 GiB are sold
    "HGX B200": "B200 SXM (HGX)",
    "H100-SXM-80GB (700W)": "H100 SXM5",
    "NVIDIA H100 80GB HBM3": "H100 SXM5",  # the PCIe card has HBM2e
    "DGX H100": "H100 SXM5",
    "H100 PCIe 80 GB": "H100 PCIe",
    "NVIDIA H200-SXM-141GB": "H200 SXM",
    "Virtualized NVIDIA H200-SXM-141GB": "H200 SXM",
    "GH200 96GB": "GH200 (96GB)",
    "NVIDIA GB200 NVL72": "GB200 (per GPU)",
    "GB300": "GB300 (per GPU)",
    "V100-SXM-32GB": "V100 SXM2 32GB",
    "A100-SXM4-40GB": "A100 SXM 40GB",
    "NVIDIA A100 80GB PCIe": "A100 PCIe 80GB",
    "4090": "RTX 4090",
    "RTX4090": "RTX 4090",
    "RTX 4090 24GB": "RTX 4090",
    "GeForce RTX 3090": "RTX 3090",
    "A6000": "RTX A6000",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000 Blackwell",
    "TPU7x (Ironwood)": "TPU v7",
    "TPU v5e": "TPU v5e",
    "v5e": "TPU v5e",
    "tpuv5p": "TPU v5p",
    "v6e": "TPU v6e",
    "Trillium": "TPU v6e",
    "HL-225": "Gaudi 2",
    "Gaudi2": "Gaudi 2",
    "Gaudi-3": "Gaudi 3",
    "HL-325L": "Gaudi 3",
    "MI300X": "MI300X",
    "AMD Instinct MI300X 192GB": "MI300X",
    "AMD Instinct MI325X 256GB HBM3e": "MI325X",
    "Apple M2 Ultra": "Apple M2 Ultra",
    "M3 Max": "Apple M3 Max",
    "M3 Max (40-core GPU)": "Apple M3 Max",
    "M3 Max 128GB": "Apple M3 Max",  # shared memory is sold in many sizes
    "Apple M4": "Apple M4",
    "M2": "Apple M2",
    "M1 Ultra (64-core GPU)": "Apple M1 Ultra",
    "Apple M4 Pro 20-core": "Apple M4 Pro",
    "NVIDIA H100-NVL-94GB": "H100 NVL",
    "NVIDIA H200-NVL-141GB": "H200 NVL",
    "A100-PCIE-40GB": "A100 PCIe 40GB",
    "RTX 3090 Ti": "RTX 3090 Ti",
    "4060 Ti 16GB": "RTX 4060 Ti 16GB",
    "RTX 2080 Ti": "RTX 2080 Ti",
    "Tesla P40": "P40",
    "AMD Instinct MI250": "MI250",
    "Intel Data Center GPU Max 1550": "Data Center GPU Max 1550",
    "Wormhole n150": "Tenstorrent Wormhole n150",
    "Jetson AGX Orin": "Jetson AGX Orin 64GB",
    "g5.xlarge": "A10G",
    "Standard_NC40ads_H100_v5": "H100 NVL",
    "Trainium2": "Trainium2",
    "trn2": "Trainium2",
    # instances of clouds
    "p3.16xlarge": "V100 SXM2 16GB",
    "p3dn.24xlarge": "V100 SXM2 32GB",
    "p4d.24xlarge": "A100 SXM 40GB",
    "p4de.24xlarge": "A100 SXM 80GB",
    "p5": "H100 SXM5",
    "p5.48xlarge": "H100 SXM5",
    "ml.p5.48xlarge": "H100 SXM5",
    "p5e.48xlarge": "H200 SXM",
    "p5en.48xlarge": "H200 SXM",
    "g6.12xlarge": "L4",
    "trn1.32xlarge": "Trainium1",
    "inf2.48xlarge": "Inferentia2",
    "a2-highgpu-8g": "A100 SXM 40GB",
    "a2-ultragpu-8g": "A100 SXM 80GB",
    "a3-highgpu-8g": "H100 SXM5",
    "a3-megagpu-8g": "H100 SXM5",
    "a3-ultragpu-8g": "H200 SXM",
    "a4-highgpu-8g": "B200 SXM (HGX)",
    "ND_A100_v4": "A100 SXM 40GB",
    "Standard_ND96amsr_A100_v4": "A100 SXM 80GB",
    "Standard_ND96isr_H100_v5": "H100 SXM5",
    "ND_H200_v5": "H200 SXM",
    "ND_MI300X_v5": "MI300X",
}


@pytest.mark.parametrize("written", NAMES)
def test_names_resolve_by_their_parts(written):
    assert find_chip(written) == chip(written).name == NAMES[written]


NOT_NAMES = (  # that some part contradicts, or that leave a part open
    *("H100 SXM6", "H100 PCIe 94GB", "H100-PCIe (700W)", "A100 SXM 96GB", "AMD H100", "AMD H200", "NVIDIA MI300X"),
    *("L40S SXM", "RTX 4090 Laptop", "RTX 4090 D", "RTX 6000", "RTX 3060", "M3 Max 30-Core GPU"),
    *("H800/H100 (SM90)", "V100 (not stated)", "NVIDIA H100-SXM5-96GB", "H100 80GB HBM3e", "MI300", "v5p-128"),
    *("H100", "A100", "V100", "H20", "GH200", "DGX A100", "p5x.48xlarge", "a3", "GB", "SXM", "80GB", ""),
)


@pytest.mark.parametrize("written", NOT_NAMES)
def test_names_that_are_none_or_several(written):
    assert find_chip(written) is None


@pytest.mark.parametrize(
    ("written", "several"),
    [
        ("H100", {"H100 SXM5", "H100 PCIe", "H100 NVL"}),
        ("RTX 4060 Ti", {"RTX 4060 Ti 8GB", "RTX 4060 Ti 16GB"}),
        ("A100", {"A100 SXM 40GB", "A100 SXM 80GB", "A100 PCIe 40GB", "A100 PCIe 80GB"}),
        ("A100 80GB", {"A100 SXM 80GB", "A100 PCIe 80GB"}),
        ("V100", {"V100 SXM2 16GB", "V100 SXM2 32GB", "V100 PCIe 16GB"}),
        ("V100 16 GB", {"V100 SXM2 16GB", "V100 PCIe 16GB"}),
        ("GH200", {"GH200 (96GB)", "GH200 (144GB HBM3e)"}),
        ("H200", {"H200 SXM", "H200 NVL"}),
        ("B200", {"B200 SXM (HGX)"}),
        ("H20", {"H20 SXM"}),
        ("H800", {"H800 SXM"}),
        ("TPU v5", {"TPU v5e", "TPU v5p"}),
        ("MI300", {"MI300X", "MI300A"}),
        ("p5", {"H100 SXM5"}),
    ],
)
def test_boards_that_a_name_could_mean(written, several):
    assert several <= set(boards(written))
    kin = {name.split()[0] for name in several}
    assert {name.split()[0] for name in boards(written)} <= kin | {"Custom"}


def test_boards_of_a_name_that_is_none():
    assert boards("RTX 3060") == boards("") == boards("80GB") == ()
    assert boards("M3") == boards("RTX 4060") == ()  # chips beside the M3 Max and the 4060 Ti
    assert boards("Tesla K80") == ("K80 (one GPU)",)
    assert boards("RX 7900 XT") == ()  # a chip beside the XTX


def test_a_suggestion_is_never_made_by_spelling_alone():
    slips = (
        ("H100 SXM6", "H100 SXM5"),
        ("H100 SMX5", "H100 SXM5"),
        ("A100 smx4 40GB", "A100 SXM 40GB"),
        ("L40SS", "L40S"),
    )
    for written, meant in (
        *slips,
        ("MI300Y", "MI300X"),
        ("H1OO", "H100"),
        ("Gaudi 33", "Gaudi 3"),
        ("A1OO 80GB", "A100 SXM 80GB"),
        ("M3", "Apple M3 "),
    ):
        assert chip_names.suggested(written).startswith(meant)
    for written in ("RTX 3060", "Gaudi 4", "M6 Max", "Radeon VII", "GPU", "", "80GB"):
        assert chip_names.suggested(written) is None


def test_instances_hold_chips_of_the_catalog():
    for row in data.rows("cloud_instances"):
        assert row["chip"] in chips() and bool(row["sources"]) == (row["confidence"] == "read"), row["instance"]


def test_power_caps_are_the_same_board():
    assert find_chip("A100-SXM-80GB (330W cap)") == "A100 SXM 80GB"


def test_an_ambiguous_name_lists_its_meanings():
    for name in ("H100", "H100 80GB", "nvidia-h100-80gb"):
        with pytest.raises(ValueError, match="more than one.*H100 SXM5.*H100 PCIe"):
            chip(name)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="'MI300Y' is unknown; did you mean 'MI300X'"):
        chip("MI300Y")


@pytest.mark.parametrize("nonsense", [None, 7, ["H100"], ""])
def test_a_name_that_is_none_is_refused(nonsense):
    with pytest.raises(ValueError, match="chip"):
        chip(nonsense)


def test_unknown_and_missing_formats():
    with pytest.raises(ValueError, match="did you mean 'bf16'"):
        chip("H100 SXM5").peak_flop_per_s("bf61")
    with pytest.raises(ValueError, match="A100 SXM 80GB has no fp8 peak; the nearest is 'int8'"):
        chip("A100 SXM 80GB").peak_flop_per_s("fp8")
    with pytest.raises(ValueError, match="publishes no dense peak"):
        chip("Cerebras WSE-3").peak_flop_per_s("fp16")
    with pytest.raises(ValueError, match="format"):
        bytes_per_value("fp7")


def test_unknown_level():
    with pytest.raises(ValueError, match="level 'L7' is unknown.*L2"):
        chip("A100 SXM 80GB").level("L7")


def test_the_catalog_can_be_narrowed():
    assert set(chips(kind="TPU", since=2023)) == {"TPU v5e", "TPU v5p", "TPU v6e", "TPU v7"}
    assert all("fp4" in c.peaks for c in chips(format="fp4").values()) and chips(format="fp4")
    with pytest.raises(ValueError, match="kind 'gpu' is unknown; did you mean 'GPU'"):
        chips(kind="gpu")
    with pytest.raises(ValueError, match="format 'bf61' is unknown"):
        chips(format="bf61")


# ---- doors


def made(**changes):
    facts = {"name": "X", "peaks": {"bf16": dense(1e15)}, "memory_bytes": 8e10, "memory_bytes_per_s": 3e12}
    return Chip(**(facts | changes))


@pytest.mark.parametrize("value", [-1.0, 0, float("nan"), float("inf"), "3e12", None, True])
def test_a_bad_bandwidth_is_refused_by_name_and_value(value):
    with pytest.raises(ValueError, match="X: memory_bytes_per_s must be") as raised:
        made(memory_bytes_per_s=value)
    assert repr(value) in str(raised.value)


def test_a_negative_number_gets_its_mirror_as_a_hint():
    with pytest.raises(ValueError, match=r"got -3.0; did you mean 3.0\?"):
        made(memory_bytes=-3.0)


def test_a_bare_peak_is_refused():
    with pytest.raises(ValueError, match=r"must say what it counts: write dense\(1000000000000000.0\)"):
        made(peaks={"bf16": 1e15})


def test_a_sparse_peak_is_refused_with_its_dense_half():
    with pytest.raises(ValueError, match=r"must be dense, got sparsity '2:4'.*dense\(989500000000000.0\)"):
        made(peaks={"bf16": Peak(flop_per_s=1.979e15, sparsity="2:4", scope="package")})


def test_a_peak_of_one_die_is_refused():
    with pytest.raises(ValueError, match="whole package, got scope 'die'"):
        made(peaks={"bf16": Peak(flop_per_s=1e15, sparsity="dense", scope="die")})


def test_a_peak_that_does_not_say_is_refused():
    with pytest.raises(ValueError, match="must be dense, got sparsity 'not said'"):
        made(peaks={"bf16": Peak(flop_per_s=1e15)})


@pytest.mark.parametrize("value", [-1e15, 0, float("nan"), "fast"])
def test_a_bad_peak_rate_is_refused(value):
    with pytest.raises(ValueError, match="Peak.flop_per_s must be"):
        dense(value)


def test_a_peak_of_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="did you mean 'bf16'"):
        made(peaks={"bf61": dense(1e15)})


def test_a_bad_level_is_refused():
    with pytest.raises(ValueError, match=r"Level\('L2'\).latency_s must be above zero"):
        Level(name="L2", latency_s=-1e-9)


def test_replace_sweeps_a_field_through_a_model():
    h100 = chip("H100 SXM5")
    op = ops.matmul("", 1, 8192, 57344, format="fp16")
    swept = replace(h100, memory_bytes_per_s=h100.memory_bytes_per_s * np.array([1.0, 2.0]))
    times = ops.time_s(op, swept, format="fp16")
    assert times[0] == pytest.approx(2 * times[1])
    with pytest.raises(ValueError, match="memory_bytes_per_s"):
        replace(h100, memory_bytes_per_s=np.array([1.0, -2.0]))


def test_bytes_per_value_of_every_format():
    assert {f: bytes_per_value(f) for f in FORMATS if f in ("fp64", "tf32", "bf16", "int8", "fp6", "fp4")} == {
        "fp64": 8,
        "tf32": 4,
        "bf16": 2,
        "int8": 1,
        "fp6": 0.75,
        "fp4": 0.5,
    }
