"""Published peaks of fine-tuning: one row of each kind by hand, the rule of thumb by hand, errors as budgets."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts.chips import find_chip
from bottlenecks.measured import memory, peaks

COLUMNS, TABLE = peaks.rows(), data.rows("memory_peaks")
ERRORS = peaks.errors()
LLAMA_2 = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 2 * 32000 * 4096  # 6,738,149,376 parameters of Llama-2-7B
QWEN = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 2 * 151936 * 4096  # 7,720,665,088 of Qwen-7B, as wide and as deep


def place(source, measured_gb, **cells):
    """The one row of a source with a peak, and whatever else tells it."""
    mine = (COLUMNS["source_id"] == source) & (np.abs(COLUMNS["measured_bytes"] / 1e9 - measured_gb) < 0.005)
    for name, value in cells.items():
        mine &= COLUMNS[name] == value
    assert mine.sum() == 1
    return np.flatnonzero(mine)[0]


# ---- the file


def test_every_row_has_a_source_and_whole_bytes():
    spelled = {row["spelled"] for row in data.rows("chip_names")}  # A100: which board is not said
    for row in TABLE:
        assert row["source_id"] in data.references() and (find_chip(row["chip"]) or row["chip"] in spelled)
        assert row["confidence"] in ("read", "secondary"), "what is remembered is no measurement"
        assert row["peak_bytes"] == str(int(row["peak_bytes"])) and 1e9 < int(row["peak_bytes"]) < 1e11
        assert row["counted_by"] in peaks.BEYOND


def test_a_row_is_predicted_or_says_why_not():
    out = COLUMNS["left_out"] != ""
    assert (out.size, out.sum()) == (65, 6)
    for name in ("predicted_bytes", "rule_bytes", "ratio", "rule_ratio"):
        np.testing.assert_array_equal(np.isfinite(COLUMNS[name]), ~out)
    assert not np.isfinite(COLUMNS["first_predicted_bytes"][out]).any()


# ---- rows by hand


def test_all_weights_in_16_bits():
    """Llama-2-7B, 2 x 256 tokens: 2 + 2 + 4 bytes a parameter are 53.9 GB, activations and logits 2.3 GB."""
    # a layer keeps of a token 4 x 4096 + 4 x 4096 + 3 x 11008 values of 2 B, and of its heads 32 sums of 4 B
    layer = 2 * (4 * 4096 + 4 * 4096 + 3 * 11008) + 4 * 32
    kept = 512 * (32 * layer + 2 * 2 * 4096)  # and what goes in and out of the last norm
    i = place("torchtune-389", 54.0)
    assert COLUMNS["predicted_bytes"][i] == 8 * LLAMA_2 + kept + 512 * 32000 * 10 == 56_235_393_024
    assert COLUMNS["first_predicted_bytes"][i] == COLUMNS["predicted_bytes"][i]  # nothing has changed for it


def test_adapters_on_16_bit_weights_as_the_device_counts():
    """Qwen-7B, 256 tokens, rank 64: frozen weights leave no gaps, all else does, and the device holds more."""
    adapters = 32 * 64 * (4 * (4096 + 4096) + 3 * (4096 + 11008))  # 159,907,840, of 2 + 2 + 4 bytes
    kept = 256 * (32 * 2 * 4096 + 2 * 2 * 4096)  # layers' inputs; the last norm's in and out
    loose = 8 * adapters + kept + 256 * 151936 * 10
    assert (adapters, loose) == (159_907_840, 1_739_522_048)
    beyond = memory.constants()
    i = place("qwen-profiling", 20.1)
    held = 2 * QWEN + loose * (1 + beyond["fragmentation"]) + beyond["overhead_bytes"]
    assert COLUMNS["predicted_bytes"][i] == pytest.approx(held, rel=1e-12)


def test_adapters_on_4_bit_weights_as_the_allocator_counts():
    """Llama-3.1-8B, 2 x 2,048 tokens, rank 8, loss in 8 parts: 0.516 bytes a frozen weight of the blocks, 2 of the ends."""
    narrow = 32 * 218_103_808 * 4.126953125 / 8
    adapters = 32 * 8 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))  # 20,971,520
    kept = 4096 * (32 * 2 * 4096 + 2 * 2 * 4096)
    logits = 4096 * 128256 * 10 / 8
    wide = 2 * 4096 * 14336  # one matrix for its product
    held = narrow + 2 * 2 * 128256 * 4096 + 8 * adapters + kept + logits + wide
    assert held == pytest.approx(7.784e9, rel=1e-4)
    assert COLUMNS["predicted_bytes"][place("torchtune-readme", 7.946)] == pytest.approx(held, rel=1e-12)


def test_the_rule_of_thumb():
    rule = COLUMNS["rule_bytes"]
    assert rule[place("torchtune-389", 54.0)] == 8 * LLAMA_2  # 53.9 GB
    assert rule[place("qwen-profiling", 69.6)] == 16 * QWEN / 2  # ZeRO 3 over two chips, 61.8 GB
    assert rule[place("qwen-profiling", 20.1)] == 2 * QWEN
    assert rule[place("chen2024longlora", 25.7)] == 2 * LLAMA_2  # ZeRO 2 leaves weights whole
    assert rule[place("fsdp-qlora", 5.347)] == LLAMA_2 * 4.126953125 / 8 / 2  # 1.7 GB
    # 16 B a parameter of BLOOM's 20B, on 8 chips that cut it in 8; 4 B more of the step are not in it
    before = peaks.pretraining()
    i = np.flatnonzero(before["model"] == "BLOOM-candidate-20B")[0]
    assert before["rule_bytes"][i] == 16 * (8 * 12 * 14400**2 + 250880 * 14400) / 8


def test_what_waits_on_the_host_is_not_held():
    """Weights of 70B in 4 bits, half of 36 GB for each of two chips, would not leave room: 16 GB were measured."""
    shape, layout = peaks.layout_of(TABLE[place("fsdp-qlora", 16.02)])
    assert shape.name == "Llama-2-70B" and layout.offloaded_weights == 1
    assert peaks.rule_bytes(shape, layout) > COLUMNS["measured_bytes"][place("fsdp-qlora", 16.02)]
    assert COLUMNS["ratio"][place("fsdp-qlora", 16.02)] < 1


# ---- errors


def test_errors_by_hand():
    columns = {"source_id": np.array(["a", "a", "b", "b"]), "measured_bytes": np.array([1.0, 1, 1, 1])}
    # a: ln 2 and ln 1/2; b: ln 4, and one that is not predicted. Over sources (ln 2 + ln 4) / 2
    columns |= {"ratio": np.array([2, 0.5, 4, np.nan]), "rule_ratio": np.array([1.0, 1, 1, np.nan])}
    found = peaks.errors(columns)
    assert set(found) == set(peaks.RIVALS) and found["rule of thumb"]["error"] == 0
    mine = found["model"]
    assert mine["rows"] == 3 and mine["error"] == pytest.approx(1.5 * np.log(2))
    assert mine["median"] == pytest.approx(np.log(2)) and mine["bias"] == pytest.approx(np.log(4) / 3)
    assert mine["sources"]["a"] == {"rows": 2, "error": pytest.approx(np.log(2)), "bias": 0.0}


@pytest.mark.budget
@pytest.mark.parametrize(
    "source, budget",
    [
        ("chen2024longlora", 0.14),
        ("fsdp-qlora", 0.19),
        ("qwen-profiling", 0.10),
        ("torchtune-389", 0.05),
        ("torchtune-readme", 0.09),
    ],
)
def test_sources_stay_within_their_budget(source, budget):
    assert ERRORS["model"]["sources"][source]["error"] < budget
    assert set(ERRORS["model"]["sources"]) == set(COLUMNS["source_id"][COLUMNS["left_out"] == ""].tolist())


@pytest.mark.budget
def test_over_sources_the_model_is_far_below_the_rule_of_thumb():
    model, rule, first = ERRORS["model"], ERRORS["rule of thumb"], ERRORS["first"]
    assert model["error"] < 0.11 and model["median"] < 0.095 and abs(model["bias"]) < 0.04
    assert 5 * model["error"] < rule["error"]
    assert (model["rows"], rule["rows"], first["rows"]) == (59, 59, 43)


def test_pretraining_is_what_memory_predicts():
    before, found = peaks.pretraining(), memory.predictions()
    held = found["role"] == "held-out"
    assert before["ratio"].size == held.sum() == 114
    np.testing.assert_array_equal(before["ratio"], found["ratio"][held])
    assert np.isfinite(before["rule_bytes"]).all()
