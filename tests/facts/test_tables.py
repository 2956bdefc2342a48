"""Tables of facts: every row, scaled once; arithmetic that the rows must obey."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import tables
from bottlenecks.facts.chips import chip, find_chip

NO_CHIP = {"", "A100", "Quadro P600"}  # the source does not say which, or no such row


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_row_loads_and_says_how_it_is_known(name):
    table, rows = tables.table(name), data.rows(name)
    assert {values.shape for values in table.values()} == {(len(rows),)}
    assert len(table) == len(rows[0]), "two columns of the file became one"
    for row in rows:
        assert row["confidence"] in ("read", "secondary", "memory"), row
        assert row["sources"] or row["confidence"] == "memory", row
        assert set(data.keys(row["unconfirmed"])) <= set(row), row
        assert row["confidence"] != "memory" or row["unconfirmed"], row


@pytest.mark.parametrize("name", tables.TABLES)
def test_numbers_are_numbers_and_text_is_text(name):
    for column in data.rows(name)[0]:
        if column in tables.BY_ROW and name == "industry":
            continue
        values = tables.table(name)[tables.scaled(column)[0]]
        assert (values.dtype.kind == "f") == (tables.scaled(column)[1] is not None)
        if values.dtype.kind == "f":
            assert np.all(np.isnan(values) | (values > 0) | (values == 0)), column
            assert not np.all(np.isnan(values)), f"{column} is empty"
        else:
            said = [v for v in values if v]
            assert not said or not all(map(_is_number, said)), f"{column} has no unit in its name"


def _is_number(text):
    try:
        return bool(float(text))
    except ValueError:
        return False


@pytest.mark.parametrize(
    "column, base, scale",
    [
        ("gbytes_per_s", "bytes_per_s", 1e9),
        ("pin_gbits_per_s", "pin_bytes_per_s", 0.125e9),
        ("gbytes", "bytes", 1e9),
        ("pj_per_bit", "joules_per_byte", 8e-12),
        ("chip_hours", "chip_s", 3600),
        ("power_kw_low", "power_watts_low", 1e3),
        ("above_memory_gbytes_per_s_per_mm2", "above_memory_bytes_per_s_per_m2", 1e15),
        ("share_percent", "share", 0.01),
        ("port_watts", "port_watts", 1),
    ],
)
def test_suffixes_by_hand(column, base, scale):
    assert tables.scaled(column) == (base, pytest.approx(scale))


def test_low_value_and_high_are_in_order():
    for name in tables.TABLES:
        table = tables.table(name)
        for low in (c for c in table if c.endswith("_low")):
            stem, high = low[:-4], low[:-3] + "high"
            value = table.get(stem, np.full(len(table[low]), np.nan))
            for a, b in ((table[low], value), (value, table.get(high, value))):
                both = ~(np.isnan(a) | np.isnan(b))
                assert np.all(a[both] <= b[both] * (1 + 1e-9)), (name, low)


def test_industry_scales_by_the_unit_of_the_row():
    table = tables.table("industry")
    by_metric = {(m, d): i for i, (m, d) in enumerate(zip(table["metric"], table["date"], strict=True))}
    i = by_metric["H100 cohort median", "2026-05"]
    assert table["value"][i] * 3600 == pytest.approx(2.95) and table["unit"][i] == "usd_per_s"
    i = by_metric["US industrial electricity", "2024"]
    assert table["value"][i] * 3.6e6 == pytest.approx(0.082)  # USD per kWh
    i = by_metric["PaLM 540B MFU on TPU v4", "2022"]
    assert table["value"][i] == pytest.approx(0.462) and table["unit"][i] == ""


def test_an_unknown_table_a_text_column_and_a_bad_cell():
    with pytest.raises(ValueError, match="table 'memory_tec' is unknown; did you mean 'memory_tech'"):
        tables.table("memory_tec")
    with pytest.raises(ValueError, match="column 'notes' is text"):
        tables.number({"notes": "x"}, "notes")
    with pytest.raises(ValueError, match="latency_us must be a number, got 'fast'"):
        tables.number({"latency_us": "fast"}, "latency_us")
    with pytest.raises(ValueError, match="read-only"):
        tables.table("memory_tech")["bytes"][0] = 1


# ---- memory


@pytest.mark.parametrize(
    "row", [pytest.param(r, id=r["name"]) for r in data.rows("memory_tech") if r["pin_gbits_per_s"] and r["bus_bits"]]
)
def test_bandwidth_is_pins_times_rate(row):
    arithmetic = float(row["pin_gbits_per_s"]) * float(row["bus_bits"]) / 8
    assert arithmetic == pytest.approx(float(row["gbytes_per_s"]), rel=0.01)


def test_memory_grows_by_generation():
    table = tables.table("memory_tech")
    rate = dict(zip(table["name"], table["bytes_per_s"], strict=True))
    for family in (
        ("DDR3-1600", "DDR4-3200", "DDR5-4800", "DDR5-6400", "MRDIMM-8800"),
        ("GDDR5 8", "GDDR6 16", "GDDR6X 21", "GDDR7 28", "GDDR7 32"),
        ("HBM1", "HBM2", "HBM2E", "HBM3", "HBM3E", "HBM4"),
        ("Object storage", "HDD nearline CMR", "NVMe PCIe 4.0 x4 SSD", "NVMe PCIe 5.0 x4 SSD"),
    ):
        rates = [rate[name] for name in family]
        assert rates == sorted(rates)


def test_energy_of_ddr3_is_the_access_over_its_bits():
    table = tables.table("memory_tech")
    i = list(table["name"]).index("DDR3-1600")
    assert table["joules_per_byte"][i] == pytest.approx(1300e-12 / 8, rel=0.01)  # 1.3 nJ, 64 bits


# ---- policy


def meets(rule, *, tpp, performance_density, io_bytes_per_s=0.0):
    """Do all bounds that the rule states on a chip hold?"""
    table = tables.table("policy")
    i = list(table["rule"]).index(rule)
    with np.errstate(invalid="ignore"):
        tests = (
            not tpp < table["at_least_tpp"][i],
            not tpp >= table["below_tpp"][i],
            not performance_density < table["at_least_performance_density"][i],
            not performance_density >= table["below_performance_density"][i],
            not io_bytes_per_s < table["at_least_io_bytes_per_s"][i],
        )
    return all(tests)


def tpp(name):
    bits = {"fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "fp4": 4}
    peaks = chip(name).peaks
    return max(p.flop_per_s / 1e12 * bits[f] for f, p in peaks.items() if f in bits)


def test_thresholds_of_2022_against_the_chips_made_for_them():
    rule = "3A090 (2022)"
    both_ways = {n: 2 * chip(n).link_bytes_per_s for n in ("A100 SXM 80GB", "A800 SXM 80GB", "H800 SXM")}
    assert tpp("A100 SXM 80GB") == pytest.approx(312 * 16)  # 4,992
    assert meets(rule, tpp=4992, performance_density=6.0, io_bytes_per_s=both_ways["A100 SXM 80GB"])
    for name in ("A800 SXM 80GB", "H800 SXM"):
        assert both_ways[name] == 400e9
        assert not meets(rule, tpp=tpp(name), performance_density=6, io_bytes_per_s=both_ways[name])


def test_thresholds_of_2023_against_h100_and_h20():
    h100 = {"tpp": tpp("H100 SXM5"), "performance_density": tpp("H100 SXM5") / 814}
    assert h100["tpp"] == pytest.approx(15831, rel=0.001)  # 989.4 x 16
    assert h100["performance_density"] == pytest.approx(19.45, rel=0.001)
    assert meets("3A090.a.1", **h100) and meets("3A090.a.2", **h100)
    h20 = {"tpp": 148 * 16, "performance_density": 148 * 16 / 814}  # 2,368 and 2.91
    assert h20["tpp"] == 2368 and h20["performance_density"] == pytest.approx(2.91, rel=0.001)
    for rule in ("3A090.a.1", "3A090.a.2", "3A090.b.1", "3A090.b.2"):
        assert not meets(rule, **h20), rule
    rtx4090 = {"tpp": 660.6 * 8, "performance_density": 660.6 * 8 / 608.5}  # fp8, AD102
    assert meets("3A090.a.1", **rtx4090)


def test_case_by_case_rule_of_2026_fits_the_h200():
    table = tables.table("policy")
    i = list(table["rule"]).index("H200 rule")
    for name in ("H200 SXM", "MI325X"):
        assert tpp(name) < table["below_tpp"][i]
        assert chip(name).memory_bytes_per_s < table["below_memory_bytes_per_s"][i]
    assert tpp("B200 SXM (HGX)") > table["below_tpp"][i]


def test_training_thresholds_against_llama_3():
    policy, runs = tables.table("policy"), tables.table("training_runs")
    llama = runs["reported_flop"][list(runs["model"]).index("Llama 3.1 405B")]
    bound = dict(zip(policy["rule"], policy["at_least_training_flop"], strict=True))
    assert bound["EU AI Act Art. 51"] < llama < bound["California SB 53"]
    assert bound["EO 14110, models"] == bound["California SB 53"] == 1e26


# ---- runs and failures


def test_reported_flop_is_near_six_n_d():
    t = tables.table("training_runs")
    n = np.where(np.isnan(t["active_params"]), t["params"], t["active_params"])
    ratio = t["reported_flop"] / (6 * n * t["tokens"])
    assert np.all((ratio[~np.isnan(ratio)] > 0.7) & (ratio[~np.isnan(ratio)] < 1.5))


def test_chip_hours_are_chips_times_days():
    t = tables.table("training_runs")
    ratio = t["chip_s"] / (t["chips"] * t["duration_s"])
    odd = set(t["model"][(np.abs(ratio - 1) > 0.05)])
    assert odd <= {"BLOOM 176B", "Transformer (base)"}, odd


def test_no_run_beats_the_peak_of_its_chip():
    t = tables.table("training_runs")
    n = np.where(np.isnan(t["active_params"]), t["params"], t["active_params"])
    for i, name in enumerate(t["chip"]):
        if find_chip(name) and chip(name).peaks and t["chip_s"][i] > 0:
            peak = max(p.flop_per_s for f, p in chip(name).peaks.items() if f in ("bf16", "fp16", "fp8", "fp32"))
            share = 6 * n[i] * t["tokens"][i] / t["chip_s"][i] / peak
            assert np.isnan(share) or share < 1, t["model"][i]


def test_chips_of_runs_and_failures_resolve():
    for name in ("training_runs", "failures"):
        lost = {c for c in tables.table(name)["chip"] if find_chip(c) != c}
        assert lost <= NO_CHIP, lost


def test_llama_interruptions_add_up():
    t = tables.table("failures")
    mine = np.char.startswith(t["system"], "Llama 3")
    causes = mine & (t["cause"] != "all")
    total = np.flatnonzero(mine & (t["cause"] == "all"))[0]
    assert t["count"][total] == t["planned"][total] + t["unplanned"][total]  # 466 = 47 + 419
    assert t["count"][causes].sum() == t["unplanned"][total]
    # 54 days / 419
    assert t["mttf_s"][total] == pytest.approx(54 * 86400 / 419, rel=0.01)
