"""Measured inference as calls: what a row is, what it leaves open, and why it has no prediction."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured import inference as measured_inference
from bottlenecks.measured.fits import inference as fit_inference
from bottlenecks.models import inference, requests
from bottlenecks.models.machine import machine


def rows(*cells):
    """Columns of made-up rows; what a row leaves out is blank."""
    about = corpus.columns("inference")
    blank = {c: "" if unit == "text" else np.nan for c, (unit, _) in about.items()}
    start = blank | {"model": "Llama-3-8B", "chip_name": "H100 SXM5", "n_chips": 1.0}
    full = [start | c for c in cells]
    assert all(set(c) == set(blank) for c in full)
    return {c: np.array([row[c] for row in full]) for c in blank}


def predict(columns):
    return measured_inference.predict(measured_inference.cases(columns))


STEP = {"phase": "decode", "batch": 8.0, "input_len": 1000.0, "output_len": 200.0}
PROMPT = {"phase": "prefill", "batch": 2.0, "input_len": 2048.0}
RUN = {"phase": "end_to_end", "batch": 4.0, "input_len": 512.0, "output_len": 64.0, "latency_s": 1.0}
LOAD = {"phase": "end_to_end", "input_len": 1000.0, "output_len": 1000.0, "tokens_per_s": 9e3}


def test_a_row_is_a_call():
    found = predict(rows(STEP, PROMPT, RUN, LOAD))["seconds"]
    shape, on, plan = model("Llama-3-8B"), machine(chip("H100 SXM5")), inference.Plan()
    most = requests.largest_batch(shape, plan, on, context=2000)
    load = requests.saturated(shape, plan, on, batch=most, prompt=1000, output=1000)
    assert found.tolist() == pytest.approx(
        [
            inference.decode_s(shape, plan, on, batch=8, context=1100),
            inference.prefill_s(shape, plan, on, batch=2, prompt=2048),
            requests.run(shape, plan, on, batch=4, prompt=512, output=64).seconds,
            1 / load.tokens_per_s,
        ]
    )


def test_rows_are_answered_in_their_own_unit():
    table = rows(
        STEP | {"s_per_output_token": 0.01},
        STEP | {"tokens_per_s": 800.0},
        PROMPT,
        RUN,
        LOAD,
        PROMPT | {"tokens_per_s": 1e4},
    )
    measured, predicted, unit = measured_inference.headline(measured_inference.cases(table), np.full(6, 2e-2))
    assert unit.tolist() == ["ms/token", "tokens/s", "s", "s", "tokens/s", "tokens/s"]
    # 20 ms; 8 sequences over 20 ms; one token each 20 ms; 2 x 2,048 tokens in 20 ms
    assert predicted.tolist() == pytest.approx([20, 400, 0.02, 0.02, 50, 204800])
    assert measured[[0, 1, 3, 4]].tolist() == pytest.approx([10, 800, 1, 9000])


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (STEP | {"model": "Llama-9-8B"}, "not in the catalog"),
        (STEP | {"model": ""}, "no model is named"),
        (STEP | {"chip_name": ""}, "no chip is named"),
        (STEP | {"chip_name": "Groq LPU v1"}, "how many is not in the row"),
        (STEP | {"batch": 0.0}, "batch must be whole and from 1 to 1,000,000,000,000, got 0"),
        (STEP | {"input_len": np.inf}, "input_len must be whole and from 0 to 1,000,000,000, got inf"),
        (STEP | {"phase": "training"}, "phase must be one of prefill, decode, end_to_end"),
        (STEP | {"tp": 7.0, "n_chips": 7.0}, "tp 7 does not divide the 32 heads"),
        (PROMPT | {"input_len": np.nan}, "the row leaves the length of the prompts open"),
        (PROMPT | {"input_len": 0.0}, "input_len must be above zero, got 0"),
        (PROMPT | {"input_len": 0.0, "framework": "llama.cpp"}, "input_len must be above zero, got 0"),
        (LOAD | {"output_len": np.nan}, "the row leaves the length of prompts or answers open"),
        (LOAD | {"model": "Llama-3.1-405B"}, "do not fit the chips' memory"),
        (STEP | {"speculative": 1.0}, "the acceptance rate is not in the row"),
    ],
)
def test_a_row_without_a_prediction_says_why(cells, reason):
    found = predict(rows(STEP, cells, STEP))
    assert reason in found["reason"][1] and np.isnan(found["seconds"][1])
    assert found["reason"][[0, 2]].tolist() == ["", ""]


def test_a_copy_has_whole_heads():
    # 64 heads on 72 chips: nine copies on 8 chips each, and so nine times the tokens of 8 chips
    many = rows(*(LOAD | {"model": "Llama-3-70B", "n_chips": n} for n in (72.0, 8.0)))
    seconds = predict(many)["seconds"]
    assert 9 * seconds[0] == pytest.approx(seconds[1])


def test_groups_without_a_sequence_make_no_tokens():
    # 4 sequences on 8 chips with attention data parallel: half of the tokens of 8 in the same step
    half, whole = predict(
        rows(
            *(
                LOAD
                | {
                    "model": "Mixtral-8x7B",
                    "n_chips": 8.0,
                    "ep": 8.0,
                    "batch": n,
                    "software": "vLLM",
                    "load": "saturated",
                }
                for n in (4.0, 8.0)
            )
        )
    )["seconds"]
    assert half == pytest.approx(2 * whole)


def test_what_a_row_leaves_open_is_named():
    found = predict(
        rows(
            LOAD,
            STEP | {"n_chips": 8.0},
            STEP | {"batch": np.nan},
            STEP | {"input_len": np.nan},
            STEP | {"model": "PaLM-540B", "chip_name": "TPU v4", "n_chips": 64.0},
        )
    )["assumed"].tolist()
    words = (
        "as many sequences as fit",
        "tensor parallel",
        "one sequence",
        "1,024 tokens in the cache",
        "cut both ways",
    )
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_narrow_weights_are_read_narrow_and_named():
    wide, narrow, small = predict(
        rows(STEP | {"weight_dtype": "bf16"}, STEP | {"weight_dtype": "int8"}, STEP | {"weight_dtype": "Q4_K_M"})
    )["seconds"]
    assert narrow < 0.75 * wide and small < 0.75 * wide


def test_each_column_is_heard():
    """What a row states reaches its case: load, software of its date and chip, how weights are cut."""
    stated = RUN | {"batch": 64.0, "latency_s": np.nan, "tokens_per_s": 1e3}
    apart = rows(stated, stated | {"load": "saturated"}, LOAD, LOAD | {"load": "static", "latency_s": 1.0})
    kinds = ["static, one chip", "saturated", "saturated", "static, one chip"]
    assert measured_inference.groups(measured_inference.cases(apart)).tolist() == kinds
    seconds = predict(
        rows(
            PROMPT,
            PROMPT | {"software": "llama.cpp"},
            PROMPT | {"software": "Ollama"},
            PROMPT | {"software": "a server of ours"},
            STEP | {"software": "vLLM", "software_date": "2023-08"},
            STEP | {"software": "vLLM", "software_date": "2025-08"},
            STEP,
        )
    )["seconds"]
    assert seconds[0] < seconds[1] == seconds[2] and seconds[0] == seconds[3]
    assert seconds[4] > 1.2 * seconds[5] and seconds[5] == seconds[6]
    pod = STEP | {"model": "PaLM-540B", "chip_name": "TPU v4", "n_chips": 64.0}
    both, gathered = predict(rows(pod, pod | {"stationary": "gathered"}))["seconds"]
    assert gathered > 2 * both
    mixture = LOAD | {"model": "Mixtral-8x7B", "n_chips": 8.0, "ep": 8.0, "batch": 64.0, "load": "saturated"}
    board = PROMPT | {"chip_name": "RTX 3090", "weight_dtype": "F16"}
    plain, sixteen = measured_inference.cases(rows(board, board | {"software": "llama.cpp"})).found
    assert (plain.on.format, sixteen.on.format) == ("bf16", "fp16_acc16")
    compiled, python = predict(rows(mixture, mixture | {"software": "SGLang"}))["seconds"]
    assert python > compiled


def test_the_data_file_is_what_the_fit_finds():
    """Of the values that the fit tries, those it chose and their neighbours: the others take a minute."""
    kept = measured_inference.constants()

    def near(name, grid):
        chosen = [float(kept[name][column]) for column in ("value", "low", "high")]
        place = np.abs(grid[:, None] - chosen).min(axis=1) <= 1.5 * np.gradient(grid)
        assert 3 <= np.sum(place) < 12
        return grid[place]

    waits_s = near("last_s", fit_inference.WAITS_S)
    found = fit_inference.fit(near("experts_times", fit_inference.GRID), waits_s)
    assert set(kept) == set(found)
    for name, row in kept.items():
        for column in ("value", "low", "high"):
            assert float(row[column]) == pytest.approx(found[name][column], rel=0.03), name
        assert row["sources"] == ";".join(found[name]["sources"])


def test_only_sources_marked_fit_are_fitted_on():
    roles = {s: row["role"] for s, row in corpus.sources("inference").items()}
    used = {s for row in measured_inference.constants().values() for s in row["sources"].split(";")}
    assert used and all(roles[source] == "fit" for source in used)
