"""Measured inference as calls: what a row is, what it leaves open, and why it has no prediction."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured import choices
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
        (STEP | {"input_len": np.inf}, "input_len must be 0 or from 1 to 1,000,000,000, got inf"),
        (STEP | {"input_len": 0.25}, "input_len must be 0 or from 1 to 1,000,000,000, got 0.25; the nearest is 0"),
        (STEP | {"phase": "training"}, "phase must be one of prefill, decode, end_to_end"),
        (STEP | {"tp": 7.0, "n_chips": 7.0}, "tp 7 does not divide the 32 heads"),
        (PROMPT | {"input_len": 0.0}, "input_len must be above zero, got 0"),
        (PROMPT | {"input_len": 0.0, "framework": "llama.cpp"}, "input_len must be above zero, got 0"),
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
            STEP | {"model": "PaLM-540B", "chip_name": "TPU v4", "n_chips": 64.0},
            LOAD | {"model": "Llama-3.1-405B", "weight_dtype": "bf16"},
        )
    )["assumed"].tolist()
    words = (
        "as many sequences as fit",
        "tensor parallel",
        "one sequence",
        "cut both ways",
        # 405.8e9 x 2 B over 0.97 of 85.5 GB are 9.8, so 10 chips; twice as many, to a power of two
        "a share of 32 chips, which hold the model",
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
    cut = mixture | {"ep": np.nan, "tp": 8.0}  # a server that runs from Python deals experts over the chips instead
    found = predict(rows(mixture, cut, cut | {"software": "SGLang", "software_date": "2025-06"}))
    dealt, stated, python = found["seconds"]
    assert python == dealt != stated and "experts over all chips" in found["assumed"][2]


# ---- what a row leaves open


def refused(cells):
    """Why a row has no prediction."""
    return predict(rows(cells))["reason"][0]


def case_of(**cells):
    """The case of one row with 16-bit weights, unless it states others."""
    (case,) = measured_inference.cases(rows({"weight_dtype": "bf16"} | cells)).found
    return case


def test_lengths_that_are_not_stated_are_a_distribution():
    """Its middle stands for the row: of a step, whose time grows with the prompt, the first at which half are as short."""
    weights = choices.weights("input_len")
    middle = next(n for n in weights if sum(weights[m] for m in weights if m <= n) >= sum(weights.values()) / 2)
    assert middle == 1024  # 0.013 + 0.051 + 0.298 of sources ask for less, and 0.192 for as much
    case = case_of(**STEP | {"input_len": np.nan})
    assert case.prompt.tolist() == [middle] and "prompts of 1,024 tokens" in case.assumed[0]
    assert case.open[0] > 0 and np.all(case_of(**STEP).open == 0)
    assert "answers of 256 tokens" in case_of(**LOAD | {"output_len": np.nan}).assumed[0]


def test_a_named_workload_has_its_lengths():
    """sonnet.txt of vLLM's benchmark: 550 tokens asked, 150 answered; what a row prints wins."""
    blank = RUN | {"input_len": np.nan, "output_len": np.nan}
    case = case_of(**blank | {"workload": "sonnet"})
    assert (case.prompt[0], case.output[0]) == (550, 150) and np.all(case.open == 0)
    assert case_of(**blank | {"workload": "sonnet", "output_len": 64.0}).output[0] == 64
    assert case_of(**blank | {"workload": "questions of ours"}).open[0] > 0


def test_a_rate_of_decoding_without_a_batch_is_of_many_sequences():
    """Of those that fit all, a quarter or a sixteenth, each a third of servers: the quarter is in the middle.

    0.9 x 85.5 GB less 16.06 GB of weights are 60.9 GB; 1,200 tokens of 2 x 8 x 128 x 2 B in 32 layers are 157.3 MB: 387,
    less two for what a step holds.
    """
    asked = STEP | {"batch": np.nan, "tokens_per_s": 5e3}
    for said in ({"software": "vLLM"}, {"framework": "vLLM"}, {"load": "saturated"}):
        case = case_of(**asked | said)
        assert case.batch[0] == pytest.approx(385 / 4, abs=0.3) and case.open[0] > 0
    for said in ({}, {"software": "gpt-fast"}):  # nobody says that many were served
        assert case_of(**asked | said).batch[0] == 1
    assert case_of(**STEP | {"batch": np.nan, "s_per_output_token": 0.01}).batch[0] == 1
    # 5,000 tokens a second, each sequence one in 10 ms
    told = case_of(**STEP | {"batch": np.nan, "tokens_per_s": 5e3, "s_per_output_token": 0.01})
    assert told.batch[0] == pytest.approx(50)


@pytest.mark.parametrize("card", ["RTX A6000", "RTX 4090"])
def test_on_a_card_of_ones_own_it_is_of_one(card):
    """No link, or a bridge of two: nobody serves hundreds with a rate that says nothing of them."""
    own = STEP | {"batch": np.nan, "tokens_per_s": 22.0, "chip_name": card, "weight_dtype": "awq"}
    assert case_of(**own).batch[0] == 1


def test_the_rate_of_a_static_batch_counts_its_prompts():
    """A run's tokens are those that come out, its time that from the first prompt on, whatever it prints; a token's time is a step's."""
    timed, rated = RUN, RUN | {"latency_s": np.nan, "tokens_per_s": 100.0}
    seconds = predict(rows(timed, rated))["seconds"]
    assert seconds[0] == seconds[1]
    shape, on, plan = model("Llama-3-8B"), machine(chip("H100 SXM5")), inference.Plan()
    run = requests.run(shape, plan, on, batch=4, prompt=512, output=64)
    assert seconds[1] == pytest.approx(run.prefill_s + run.decode_s)
    assert case_of(**rated).tokens.tolist() == [4 * 64]
    step = predict(rows(RUN | {"latency_s": np.nan, "s_per_output_token": 0.01}))["seconds"]
    assert step == pytest.approx(inference.decode_s(shape, plan, on, batch=4, context=512 + 32))


def test_what_does_not_fit_takes_turns():
    """8,192 tokens are 1.074 GB; 0.97 x 85.5 GB less 16.06 GB are 66.9 GB: 62 sequences, and 124 take two turns."""
    long = RUN | {"input_len": 8190.0, "output_len": 2.0, "weight_dtype": "bf16"}
    once, twice = (predict(rows(long | {"batch": float(n)})) for n in (62, 124))
    assert twice["seconds"][0] == pytest.approx(2 * once["seconds"][0])
    assert "in turns" in twice["assumed"][0] and "in turns" not in once["assumed"][0]


def test_caches_are_16_bits_wide_unless_told_otherwise():
    """Beside narrow weights and products too: servers narrow keys and values only when asked."""
    narrow = STEP | {"weight_dtype": "fp8"}
    assert case_of(**narrow).cache_format == "bf16"
    assert case_of(**narrow | {"software": "vLLM", "software_date": "2025-08"}).cache_format == "bf16"
    assert case_of(**narrow | {"kv_dtype": "fp8"}).cache_format == "fp8"


def test_cuts_of_a_server_weigh_by_speed(monkeypatch):
    """Two cuts of the same, one in twice the time: 1 to 2^-11; other lengths have the weights of the choices."""
    worlds = [measured_inference.World("a", 10.0, tp=tp, weight=w) for tp, w in ((1, 0.3), (2, 0.3))]
    worlds.append(measured_inference.World("a", 20.0, weight=0.7))
    monkeypatch.setattr(measured_inference, "TASTE", 11.0)
    found = measured_inference._weights(worlds, np.array([[1.0], [2.0], [9.0]]))[:, 0]
    assert found[1] / found[0] == pytest.approx(1 / 2048) and found[0] + found[1] == pytest.approx(0.3)
    assert found[2] == 0.7


# ---- the fit


def test_the_data_file_is_what_the_fit_finds():
    """Of the values that the fit tries, those it chose and their neighbours: the others take a minute."""
    kept = {row["constant"]: row for row in data.rows("inference_constants")}
    grid = fit_inference.WAITS_S
    chosen = [float(kept["last_s"][column]) for column in ("value", "low", "high")]
    place = np.abs(grid[:, None] - chosen).min(axis=1) <= 1.5 * np.gradient(grid)
    assert 3 <= np.sum(place) < 12
    found = fit_inference.fit(grid[place])
    assert set(kept) == set(found)
    for name, row in kept.items():
        for column in ("value", "low", "high"):
            assert float(row[column]) == pytest.approx(found[name][column], rel=0.03), name
        assert row["sources"] == ";".join(found[name]["sources"])


def test_only_sources_marked_fit_are_fitted_on():
    roles = {s: row["role"] for s, row in corpus.sources("inference").items()}
    used = {s for row in data.rows("inference_constants") for s in row["sources"].split(";")}
    assert used and all(roles[source] == "fit" for source in used)


def test_rows_of_different_frameworks_are_not_alike():
    """A program may stand in either column; the second row is not taken for the first's."""
    eager, server = predict(rows(STEP | {"framework": "eager PyTorch"}, STEP | {"framework": "vLLM"}))["seconds"]
    alone = [predict(rows(STEP | {"software": name}))["seconds"][0] for name in ("eager PyTorch", "vLLM")]
    assert [eager, server] == alone and eager > server


@pytest.mark.parametrize("load", ["Saturated", "SATURATED"])
def test_the_case_of_a_load_does_not_count(load):
    found = predict(rows(LOAD | {"load": "saturated"}, LOAD | {"load": load}))["seconds"]
    assert found[0] == found[1] > 0


def test_an_unknown_load_is_refused():
    assert "load must be one of static, saturated or blank, got 'satureted'" in refused(LOAD | {"load": "satureted"})


def test_a_prediction_does_not_hang_on_what_was_measured():
    """Of a server that says nothing of its sequences: the same time per token with a rate, fast or slow, and with none."""
    asked = STEP | {"batch": np.nan, "software": "vLLM", "software_date": "2024-08"}
    cases = [case_of(**asked | {"tokens_per_s": rate}) for rate in (9000.0, 90.0, np.nan)]
    assert len({case.batch[0] for case in cases}) == 1


def test_what_waits_is_told_of_its_own_row_alone():
    found = predict(rows(STEP | {"batch": 1.0}, STEP | {"batch": 40000.0}))["assumed"]
    assert "in turns" not in found[0] and "in turns" in found[1]


def test_a_mixture_too_has_no_more_ranks_than_chips():
    more = STEP | {"model": "Mixtral-8x7B", "n_chips": 8.0, "tp": 8.0, "pp": 8.0}
    assert refused(more) == "tp 8 x pp 8 is 64 chips, and the row has 8"


def test_four_bits_of_another_maker_are_not_nvidias():
    case = case_of(**STEP | {"chip_name": "MI355X", "weight_dtype": ""})
    assert case.weight_format == "mxfp4"


def test_weights_that_do_not_fit_run_nowhere_but_where_they_ran():
    """141 GB of Llama-3-70B on one H100 of 80 GB: two at least; a run that was measured held them somehow."""
    asked = STEP | {"model": "Llama-3-70B", "weight_dtype": "bf16"}
    assert refused(asked) == "bf16 weights of Llama-3-70B do not fit 1 x H100 SXM5: they take 2 at least"
    assert "do not fit" in predict(rows(asked | {"s_per_output_token": 1.0}))["assumed"][0]


def test_boards_that_can_not_hold_the_model_are_not_meant():
    """An A100 with a model of 61 GB in 16 bits is one of 80 GB: the boards of 40 GB widen nothing."""
    asked = STEP | {"model": "Qwen3-30B-A3B", "weight_dtype": "bf16", "chip_name": "", "chip": "A100"}
    cases = measured_inference.cases(rows(asked))
    assert "80GB" in cases.columns["chip_name"][0]


def test_a_graph_of_one_shape_reads_the_whole_cache():
    """512 tokens read and 64 made: each step sees 576, not 544 in the mean; and a step compiled for 32 serves 4 as slowly."""
    named = {"software": "Optimum Habana", "chip_name": "Gaudi 3"}
    shape, on = model("Llama-3-8B"), machine(chip("Gaudi 3"))
    case = case_of(**RUN | named)
    step = inference.decode_s(shape, inference.Plan(), on, batch=4, context=576)
    first = inference.prefill_s(shape, inference.Plan(), on, batch=4, prompt=512)
    assert case.time(case.on) == pytest.approx(first + 63 * step)
    few, many = (case_of(**STEP | named | {"batch": b, "slots": 32.0}) for b in (4.0, 32.0))
    assert few.time(few.on) == many.time(many.on)
