"""One chip with other memories, joules of a token, the thousandfold: by hand, at limits, and verdicts either way."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.memories import memories, memory, price, prices
from bottlenecks.studies import fetching, generations, joules, technologies
from bottlenecks.studies import technology_verdicts as verdicts


def at(equal, name):
    found = technologies.swapped(equal)
    i = found["name"].tolist().index(name)
    return {column: values[i] for column, values in found.items()}


# ---- records


def test_a_memory_is_its_row():
    stack = memory("HBM3E")
    assert (stack.pins, stack.pin_bits_per_s, stack.memory_bytes) == (1024, pytest.approx(9.6e9), 48e9)
    assert stack.joules_per_byte == pytest.approx(8 * 3.44e-12) and stack.edge_m == pytest.approx(0.010)
    assert memory("LPDDR5X 8533").joules_per_byte is None
    with pytest.raises(ValueError, match="did you mean 'HBM3E'"):
        memory("HBM3e")


def test_every_price_has_a_date_a_range_and_a_source():
    for technology in ("DDR4", "DDR5", "HBM3E", "HBM4", "LPDDR5X", "GDDR6", "NAND"):
        dates = [each.date for each in prices(technology)]
        assert dates == sorted(dates)
        for each in prices(technology):
            assert 0 < each.low <= each.usd_per_byte <= each.high and each.sources and each.basis
    # 46.50 dollars for 16 Gbit, 786 % above a year before
    assert price("DDR5").usd_per_byte * 2e9 == pytest.approx(46.5)
    assert price("DDR5").usd_per_byte / price("DDR5", "2025").usd_per_byte == pytest.approx(8.86, rel=0.01)
    assert price("HBM4", "2025") is None


# ---- swaps


def test_how_many_modules_feed_a_chip():
    assert technologies.modules() == pytest.approx(3350 / 51.2, rel=1e-3)


def test_budgets_by_hand():
    # 4.8 TB/s x 8 bit x 3.44 pJ; 60 mm; 150.8e9 B x 10.3 dollars a GB
    assert at("watts", "HBM3E")["budget"] == pytest.approx(4.8e12 * 8 * 3.44e-12)
    assert at("die edge", "HBM3E")["budget"] == pytest.approx(0.060)
    # 60 mm / 5 mm = 12 channels of DDR5
    ddr = at("die edge", "DDR5-6400")
    assert (ddr["units"], ddr["bytes_per_s"]) == (pytest.approx(12), pytest.approx(12 * 51.2e9))
    # as many watts buy bandwidth as 3.44 to 5.0
    assert at("watts", "GDDR7 28")["bytes_per_s"] == pytest.approx(4.8e12 * 3.44 / 5.0)
    dear, cheap = at("dollars of 2026", "DDR5-6400"), at("dollars of 2025", "DDR5-6400")
    assert dear["memory_bytes"] * 23.25 / 15.6 == pytest.approx(cheap["memory_bytes"] * 2.62 / 10.3, rel=0.01)


def test_what_no_maker_prints_stays_open():
    assert np.isnan(at("watts", "LPDDR5X 8533")["bytes_per_s"])
    assert np.isnan(at("die edge", "HBF 1")["bytes_per_s"])
    assert np.isnan(technologies.step_s(model("Llama-3-8B"), np.array([np.nan, 1e12]))).tolist() == [True, False]


def test_a_budget_never_changes_how_often_a_memory_reads_itself():
    for equal in technologies.EQUAL:
        found = technologies.swapped(equal)
        for name, times in zip(found["name"].tolist(), found["turnover_per_s"], strict=True):
            if name != technologies.OWN and np.isfinite(times):
                assert times == pytest.approx(memory(name).bytes_per_s / memory(name).memory_bytes)


def test_more_bandwidth_never_slows_a_step_and_readers_keep_the_limit():
    rate = np.geomspace(1e10, 1e14, 30)
    step = technologies.step_s(model("Llama-3-8B"), rate)
    assert (np.diff(step) <= 1e-12).all()
    few = technologies.throughput(model("Llama-3-8B"), 6e11, 3e12, limit_s=0.1)
    many = technologies.throughput(model("Llama-3-8B"), 4.8e12, 1.5e11, limit_s=0.1)
    assert 0 < few[0] < many[0] and few[0] / few[1] <= 0.1 and many[0] / many[1] <= 0.1
    assert technologies.throughput(model("Llama-3.1-405B"), 4.8e12, 1.5e11, limit_s=0.1) == (0, 0.0)


def test_ratios_by_hand():
    assert technologies.ratio("package")[1] == pytest.approx(1228.8 / 51.2, rel=2e-3)
    assert technologies.ratio("byte")[1] == pytest.approx(1228.8 / 48 / 0.2, rel=2e-3)
    low, middle, high = technologies.ratio("edge")
    assert low < middle < high and middle == pytest.approx(24 * 5 / 10, rel=2e-3)


def test_turnovers_have_every_memory_of_known_rate_and_size():
    found = technologies.turnovers()
    assert found["name"].tolist() == list(memories())
    assert found["turnover_per_s"] == pytest.approx(found["bytes_per_s"] / found["memory_bytes"])


# ---- fetching


def test_a_weight_of_8_bits_by_hand():
    found = fetching.ratios("8-bit integers, 45 nm")
    of = {
        name: (low, high) for name, low, high in zip(found["name"].tolist(), found["low"], found["high"], strict=True)
    }
    # 0.2 + 0.1 pJ to use it; 1,300 to 2,600 pJ bring 64 bits from DRAM, 100 pJ from a megabyte of SRAM
    assert of["DRAM of 2014"] == (pytest.approx(162.5 / 0.3), pytest.approx(325 / 0.3))
    assert of["SRAM of 1 MB, 45 nm"][0] == pytest.approx(12.5 / 0.3)
    assert of["30 mm of wire"][0] == pytest.approx(8 * 30 * 0.12 / 0.3)
    half = fetching.ratios("8-bit integers, 45 nm", batch=2)
    assert half["high"] == pytest.approx(found["high"] / 2)


# ---- joules


def test_measured_boards_add_up():
    found = joules.measured()
    assert found["joules_per_token"] == pytest.approx(found["watts"] * found["chips"] / found["tokens_per_s"], rel=0.03)
    assert (found["watts"] < 1.02 * found["rated_watts"]).all()
    # what a datasheet allows bounds what a step can have read
    assert (found["bytes_per_s"] < 8e12).all()


def test_parts_of_two_chips_by_hand():
    """Llama 2 70B on two A100s, 16 readers: 137.9 GB of weights and caches of 576 tokens each, in 65.5 ms, at 48 pJ a byte."""
    row = joules.of_run(("Llama-2-70B", "A100 SXM 80GB", 2))
    assert row["batch"][-1] == 16 and row["watts"][-1] == pytest.approx(0.794 * 400, rel=1e-2)
    moved = 137.5e9 + 16 * 576 * 80 * 2 * 8 * 128 * 2
    assert row["memory_joules"][-1] == pytest.approx(48e-12 * moved / 16, rel=0.01)
    # a token's joules are those of both chips
    assert row["memory_joules"][-1] * row["tokens_per_s"][-1] / 2 == pytest.approx(
        48e-12 * moved / 0.0655 / 2, rel=0.01
    )


def test_a_share_is_that_of_the_other_series():
    found, run = joules.measured(), ("Qwen3-14B", "H100 SXM5", 1)
    others = (found["model"] != run[0]) | (found["chip"] != run[1])
    assert joules.usual_share(joules.called(run)) == np.median((found["watts"] / found["rated_watts"])[others])


def test_parts_are_a_small_part_and_one_share_tells_more():
    shares, errors = joules.shares(), joules.errors()
    assert np.median(shares["memory"]) < 0.2 and shares["memory"].max() < 0.5
    assert errors["one share"] < errors["rated power"] < errors["parts"]


def test_a_reader_more_costs_less_each():
    said = joules.told(("Llama-3.1-8B", "H100 SXM5", 1), np.array([1.0, 8.0, 64.0]))
    assert (np.diff(said["board"]) < 0).all() and (np.diff(said["memory"]) < 0).all()
    assert said["arithmetic"] == pytest.approx(2 * 8.03e9 * 1e-12, rel=0.01)


# ---- verdicts


def test_capacity_for_bandwidth_either_way():
    own, other = technologies.OWN, "DDR5-6400"
    fast, slow, none = (0.01, 10, 1000.0), (0.1, 10, 100.0), (np.inf, 0, 0.0)
    say = verdicts.bandwidth_not_capacity
    assert say({"Llama-3-8B": {own: fast, other: slow}}).verdict == "holds"
    assert say({"Llama-3-8B": {own: slow, other: fast}}).verdict == "fails"
    both = {"Llama-3-8B": {own: fast, other: slow}, "Llama-3.1-405B": {own: none, other: slow}}
    assert say(both).verdict == "holds-when"


def test_an_order_of_magnitude_either_way():
    say = verdicts.order_of_magnitude
    assert say({"package": (24, 24, 24), "edge": (11, 12, 16)}).verdict == "holds"
    assert say({"package": (24, 24, 24), "edge": (6, 12, 16)}).verdict == "holds-when"
    assert say({"package": (2, 2, 2), "edge": (3, 4, 5)}).verdict == "fails"


def test_a_thousandfold_either_way():
    found = {product: fetching.ratios(product) for product in fetching.PRODUCTS}
    assert verdicts.moving_data().verdict == "holds-when"
    dear = {product: each | {"high": 1e4 * each["high"]} for product, each in found.items()}
    assert verdicts.moving_data(dear).verdict == "holds"
    cheap = {product: each | {"high": each["high"] / 1e3} for product, each in found.items()}
    assert verdicts.moving_data(cheap).verdict == "fails"


@pytest.mark.parametrize(("power", "word"), [(1.0, "holds"), (0.0, "fails")])
def test_what_foretells_a_gain_either_way(power, word):
    draw = np.random.default_rng(5)
    peak, bandwidth = draw.normal(0, 0.7, (2, 80))
    found = {
        "work": np.repeat(generations.WORK, 20),
        "source": np.tile(["a", "b"], 40),
        "measured": power * bandwidth + (1 - power) * peak,
        "peak FLOP/s": peak,
        "bandwidth": bandwidth,
    }
    found |= {name: 0 * peak for name in generations.RIVALS if name not in found}
    assert verdicts.generations_told(found).verdict == word


def test_joules_beside_another_memory_by_hand():
    # 700 W less 4.8 TB/s x 27.52 pJ/B is what the rest of the board draws while a step lasts; then the step's bytes
    shape, rest = model("Llama-3-8B"), 700 - 4.8e12 * 27.52e-12
    said, step = (
        technologies.token_joules(shape, "watts"),
        technologies.step_s(shape, at("watts", "GDDR7 28")["bytes_per_s"]),
    )
    moved = technologies.held_bytes(shape)
    assert said[1] == pytest.approx(rest * step + 40e-12 * moved)
    assert np.isnan(technologies.token_joules(shape, "die edge")[technologies.OTHERS.index("DDR5-6400")])
    # half the bytes of 16 bits, and a cache of 128 KiB a token
    assert moved == pytest.approx(7.5e9 + 2048 * 131072, rel=0.01)


def test_strangers_words_are_refused_kindly():
    with pytest.raises(ValueError, match="chip 'MI300X' is unknown"):
        joules.told(("Llama-3.1-8B", "MI300X", 1), 8)
    with pytest.raises(ValueError, match="did you mean 'decoding'"):
        generations.of_work("decode")
