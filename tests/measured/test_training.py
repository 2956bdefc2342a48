"""Measured training runs: the bars, what is assumed, the frame."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.facts.chips import chip
from bottlenecks.measured import collectives, frame, scores
from bottlenecks.measured import training as measured_training
from bottlenecks.models import training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine

MEGATRON = ("megatron2021_t1", "korthikanti2022_t5")
ROWS, AT = corpus.table("training"), scores.table("training")


def test_the_bars_of_megatron():
    """Both tables together, one set of parameters an era: 5 % in the mean, 10 % at worst."""
    fair = (ROWS["suspect"] == "") & (ROWS["duplicate_of"] < 0) & np.isin(ROWS["source_id"], MEGATRON)
    off = np.abs(AT["ratio"][fair & np.isfinite(AT["ratio"])] - 1)
    assert off.size == 18
    assert off.mean() < 0.05
    assert off.max() < 0.10


def test_about_four_fifths_of_held_out_runs_lie_inside():
    inside = {line["role"]: line["inside"] for line in scores.rows_summary("training")}
    assert 0.70 <= inside["held-out"] <= 0.85


def test_the_spread_is_that_of_the_fitted_sources():
    assert measured_training.fit_spread() == pytest.approx(training.SPREAD, rel=0.01)


def test_eras_by_the_year_of_the_source():
    assert np.all(np.char.find(AT["assumed"][AT["reason"] == ""], "software of") >= 0)
    mine = ROWS["source_id"] == "megatron2021_t1"
    assert np.all(np.char.find(AT["assumed"][mine], "software of 2021") >= 0)


def test_a_reader_s_row(tmp_path):
    """Few columns are enough; a row without a chip says so."""
    path = tmp_path / "mine.csv"
    path.write_text(
        "chip,n_chips,model,seq_len,global_batch_seqs,tp,pp,micro_batch\n"
        "H100 SXM5,64,Llama-3-70B,8192,128,4,4,1\n,8,Llama-3-8B,8192,64,1,1,1\n"
    )
    _, columns = corpus.read(path, "training")
    found = frame.predict("training", columns)
    assert found["low"][0] < found["predicted"][0] < found["high"][0]
    assert found["unit"][0] == "s" and found["bound"][0] == "compute"
    assert found["reason"].tolist() == ["", "no chip is named"]
    # 6 x 70.6e9 x 1,048,576 tokens over 64 chips at 989 TFLOP/s: 7 s at the peak
    assert 7 < found["predicted"][0] < 25


def test_every_row_with_a_model_and_a_chip_is_predicted(tmp_path):
    """Whatever else is left open is assumed, and named."""
    path = tmp_path / "mine.csv"
    path.write_text(
        "chip,n_chips,model,params_b,active_params_b,seq_len,global_batch_seqs,moe_experts,layers,hidden,ffn,tp,cp\n"
        "H100 SXM5,64,Llama-3-70B,,,,,,,,,,\n"
        "H100 SXM5,,Llama-3-8B,,,,,,,,,,\n"
        "A100 SXM 80GB,8,BERT-large,,,128,1024,,,,,,\n"
        "A100 SXM 80GB,8,T5-3B,3,,,,,,,,,\n"
        "H100 SXM5,8,LLAMA2-13B LoRA,13,,4096,32,,,,,,\n"
        "H100 SXM5,128,Qwen3-Next-80B-A3B,,,4096,,,,,,,\n"
        "H100 SXM5,64,Unheard-200B-A20B,,,4096,512,,,,,,\n"
        "TPU v5p,256,of its own,,,4096,512,16,32,4096,8192,,\n"
        "B200 SXM (HGX),512,Llama-3-8B,,,524288,8,,,,,4,8\n"
        "H100 SXM5,64,a dense 30B,,,,,,,,,,\n"
    )
    _, columns = corpus.read(path, "training")
    found = frame.predict("training", columns, owners=False)
    assert found["reason"].tolist() == [""] * 10
    assert np.all((0 < found["predicted"]) & (found["low"] < found["predicted"]))
    words = ("M tokens a step", "8 chips", "", "2 stacks", "", "", "a shape like", "", "cp 16", "GPT-3's")
    assert all(word in text for word, text in zip(words, found["assumed"].tolist(), strict=True))


def test_collectives_in_the_frame():
    """The frame's predictions are those of network_fit, in the row's own unit."""
    rows = corpus.table("collectives")
    found, plain = frame.predict("collectives", rows), collectives.predict(rows)
    known = np.isfinite(plain["ratio"])
    slower = np.where(found["unit"] == "us", found["ratio"], 1 / found["ratio"])
    assert slower[known] == pytest.approx(plain["ratio"][known])
    assert set(np.unique(found["bound"])) <= {"", "network", "latency"}


def test_nemotron_3_super_is_as_large_as_printed():
    """120B weights, and 85.1 GFLOP a token at 8,192 tokens, as Megatron Bridge's rates imply."""
    shape = measured_training.NAMED["Nemotron_3_Super"]
    alone = replace(shape, layers=48, ahead=0)
    assert alone.params == pytest.approx(120.7e9, rel=0.02)
    on = machine(chip("GB300 (per GPU)"))
    layout = Layout(dp=64, ep=64, seq_len=8192, micro_batch=1, micro_batches=8)
    found = training.step(shape, layout, on=on, software="2025", memory=False)
    assert found.model_flop / found.tokens == pytest.approx(85.1e9, rel=0.02)


def test_rules_of_software_ask_what_a_row_says_and_not_whose_it_is():
    """A reader's own rows of a program are predicted as the corpus's rows of it are."""
    every = corpus.table("training")
    theirs = corpus.where(every, every["source_id"] == "mbridge_26.02")
    mine = theirs | {"source_id": np.full(theirs["source_id"].size, "my_cluster")}
    found = [measured_training.predict(rows, owners=False)["seconds"] for rows in (theirs, mine)]
    assert np.isfinite(found[0]).sum() > 20
    np.testing.assert_allclose(*found)
