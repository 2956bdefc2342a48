"""The command line as a newcomer types it: good input, bad input, nothing lost."""

import csv
import errno
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from concurrent import futures
from functools import partial
from pathlib import Path

import made_up
import pytest

from bottlenecks import __main__ as command
from bottlenecks import data
from bottlenecks.command import chips
from bottlenecks.exhibits import registry
from bottlenecks.yours import roofline


def run(capsys, *argv):
    try:
        status = command.main(list(argv))
    except SystemExit as stop:
        status = stop.code
    out = capsys.readouterr()
    return status, out.out, out.err


def test_it_runs_as_a_module():
    out = subprocess.run([sys.executable, "-m", "bottlenecks", "--help"], capture_output=True, text=True, check=True)
    assert all(word in out.stdout for word in ("figures", "measure", "chips", "calibrate"))


def test_starting_loads_no_model():
    """Each verb imports what it asks when it runs: help and versions come at once."""
    code = "import bottlenecks.__main__ as m, sys; m._parser(); print(*(n for n in sys.modules if n.startswith('bottlenecks.')))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wings = {name.split(".")[1] for name in out.stdout.split()}
    assert wings == {"__main__", "command", "facts"}


@pytest.mark.parametrize("name", [verb.__name__.rpartition(".")[2] for verb in command.verbs()])
def test_every_command_has_help(capsys, name):
    status, out, _ = run(capsys, name, "--help")
    assert status == 0 and len(out) > 200


def test_chips(capsys):
    status, out, _ = run(capsys, "chips")
    assert status == 0 and "H100 SXM5" in out
    status, out, _ = run(capsys, "chips", "h100 sxm")
    assert status == 0 and "989 TFLOP/s dense" in out and "confidence" in out and "https://" in out
    status, out, _ = run(capsys, "chips", "h100 sxm", "--json")
    assert json.loads(out)["peak_flop_per_s"]["bf16"] == 989.4e12
    status, out, _ = run(capsys, "chips", "--json")
    assert len(json.loads(out)) > 40


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["chips", "H100"], "more than one"),
        (["chips", "MI300Y"], "did you mean 'MI300X'"),
        (["figures", "01-rofline"], "did you mean '01-roofline'"),
        (["figures", "01-roofline", "--set", "row=3"], "did you mean 'rows'"),
        (["figures", "01-roofline", "--set", "rows"], "NAME=VALUE"),
        (["figures", "01-roofline", "--set", "rows=many"], "rows must be a number, got 'many'"),
        (["figures", "12-sizes", "--set", "message=much"], "message must be a number, got 'much'"),
        (["figures", "01-roofline", "--set", "rows=-3"], "rows must be above zero, got -3.0"),
        (["figures", "01-roofline", "--set", "rows=nan"], "rows must be finite"),
        (["figures", "01-roofline", "--set", "format=4-bit"], "'4-bit' is unknown; did you mean '8-bit'|'16-bit'"),
        (["figures", "--set", "rows=3"], "--set needs a slug"),
        (["figures", "01-roofline", "--set", "rows=3", "--check"], "leave out --set"),
        (["figures", ""], "exhibit '' is unknown"),
        (["figures", "--out", ""], "--out must name a folder, got ''"),
        (["figures", "01-roofline", "--format", "gif"], "invalid choice: 'gif'"),
        (["measure", "--seconds", "600"], "must be from 5 to 55, got 600.0; the nearest is 55"),
        (["predic"], "did you mean 'predict'"),
        ([], "required: COMMAND (see bottlenecks --help)"),
        (["search", "Llama-3-8B", "DGX H100"], "required: --chips (see bottlenecks search --help)"),
        (
            ["search", "Llama-3-8B", "DGX H100", "--chips", "8", "--batch", "0"],
            "--batch must be a whole number from 1 to",
        ),
        (
            ["search", "Llama-3-8B", "DGX H100", "--chips", "1e9"],
            "from 1 to 1,000,000, got '1e9'; the nearest is 1000000",
        ),
        (["search", "Llama-3-8B", "DGX H100", "--chips", "8", "--seq", "9" * 25], "the nearest is 1000000000"),
        (["fits", "Llama-3-8B", "h100 sxm", "--context", "9" * 400], "--context must be a whole number from 1 to"),
        (["fits", "Llama-3-8B", "h100 sxm", "--batch", "nan"], "--batch must be a whole number"),
        (["fits", "Llama-3-8B", "h100 sxm", "--batch", "many"], "from 1 to 1,000,000,000, got 'many' (see"),
        (["fits", "Llama-3-8B", "h100 sxm", "--batch", "2.6"], "got '2.6'; the nearest is 3"),
        (["fits", "Llama-3-8B", "h100 sxm", "--chips", "-8"], "got '-8'; the nearest is 1"),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--format", "fp8"], "leave out --format or --train"),
        (["fits", "Llama-3-8B", "h100 sxm", "--recipe", "adam"], "--recipe is of training: add --train"),
        (["fits", "Llama-3-8B", "h100 sxm", "--zero", "2"], "--zero is of training: add --train"),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--recipe", "adam 8bit"], "did you mean 'adam, 8-bit'?"),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--recompute", "ful"], "did you mean 'full'?"),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--offload", "stats"], "did you mean 'states'?"),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--frozen", "nf4"], "add --lora RANK"),
        (["fits", "Llama-3-8B", "h100 sxm", "--offload", "states"], "--offload takes weights when serving"),
        (["fits", "Llama-3-8B", "h100 sxm", "--held-back", "some"], "--held-back must be a share"),
        (["fits", "Llama-3-8B", "h100 sxm", "--cache", "fp7"], "cache_format 'fp7' is unknown"),
        (
            ["fits", "Llama-3-8B", "h100 sxm", "--train", "--tp", "2", "--dp", "2", "--chips", "8"],
            "got 8; the nearest is 4",
        ),
        (["fits", "Llama-3-8B", "h100 sxm", "--train", "--batch", "2", "--micro-batch", "2"], "leave out one of them"),
        (["fits", "Llama-3-70B", "h100 sxm", "--chips", "97"], "at most 80 stages, got 97; the nearest is 96"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *argv)
    assert status == 2 and err.count("\n") == 1
    assert any(part in err for part in message.split("|")), err


def test_models(capsys, tmp_path):
    status, out, _ = run(capsys, "models")
    assert status == 0 and "DeepSeek-V3" in out and out.count("\n") > 100
    status, out, _ = run(capsys, "models", "llama-3-8b")
    assert status == 0 and "8.03 B parameters from the shapes" in out and "https://" in out
    status, out, _ = run(capsys, "models", "Llama-3-8B", "--json")
    assert json.loads(out)["layers"] == 32
    config = next((Path(__file__).parents[1] / "facts" / "configs").glob("*.json"))
    assert run(capsys, "models", str(config))[0] == 0
    status, _, err = run(capsys, "models", "Lama-3-8B")
    assert status == 2 and "did you mean" in err
    status, _, err = run(capsys, "models", str(tmp_path / "config.json"))
    assert status == 2 and "config.json" in err


def test_systems(capsys):
    status, out, _ = run(capsys, "systems")
    assert status == 0 and out.count("\n") > 20
    status, out, _ = run(capsys, "systems", "dgx h100")
    assert status == 0 and "450 GB/s a chip and direction" in out and "https://" in out
    status, out, _ = run(capsys, "systems", "--json")
    assert all(tier["bytes_per_s"] > 0 for system in json.loads(out) for tier in system["tiers"])
    status, _, err = run(capsys, "systems", "DGX Z100")
    assert status == 2 and "did you mean" in err


def test_sources(capsys):
    status, out, _ = run(capsys, "sources")
    assert status == 0 and "williams2009roofline" in out
    status, out, _ = run(capsys, "sources", "mamf")
    assert status == 0 and "https://" in out and "kernels_measured: 20 rows" in out
    status, _, err = run(capsys, "sources", "wiliams2009")
    assert status == 2 and "did you mean 'williams2009roofline'" in err


def test_figures(capsys, tmp_path):
    status, out, _ = run(
        capsys, "figures", "01-roofline", "--out", str(tmp_path), "--set", "rows=100", "--format", "png"
    )
    assert status == 0 and "Cite as: bottlenecks" in out and "Williams" in out
    assert {p.name for p in tmp_path.iterdir()} == {"01-roofline-rows-100.png", "01-roofline-rows-100.csv"}


def test_figures_all_and_check(capsys, tmp_path, monkeypatch):
    few = {slug: registry.exhibit(slug) for slug in ("02-energy", "A2-roles")}  # each is drawn three times
    monkeypatch.setattr(registry, "load_all", lambda: few)
    assert run(capsys, "figures", "--out", str(tmp_path))[0] == 0
    status, out, _ = run(capsys, "figures", "--check", "--out", str(tmp_path))
    assert status == 0 and "0 problems" in out
    (tmp_path / "02-energy.csv").write_text("series\n")
    status, out, _ = run(capsys, "figures", "--check", "--out", str(tmp_path))
    assert status == 1 and "02-energy.csv: other columns" in out


def test_figures_list(capsys):
    status, out, _ = run(capsys, "figures", "--list")
    assert status == 0 and "--set rows=64" in out


def test_an_unwritable_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = run(capsys, "figures", "02-energy", "--out", str(tmp_path / "file" / "below"))
    assert status == 2 and "cannot write into" in err and "--out" in err


def test_a_full_disk_keeps_picture_and_table(capsys, tmp_path, monkeypatch):
    asked = ("figures", "02-energy", "--out", str(tmp_path))
    (tmp_path / "02-energy.svg").write_text("picture")
    (tmp_path / "02-energy.csv").write_text("table")
    (tmp_path / ".write-probe").write_text("precious")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        status, _, err = run(capsys, *asked)
    assert status == 2 and err.count("\n") == 1 and "02-energy.svg (No space left on device)" in err
    kept = {"02-energy.svg": "picture", "02-energy.csv": "table", ".write-probe": "precious"}
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == kept
    assert run(capsys, *asked)[0] == 0 and "<svg" in (tmp_path / "02-energy.svg").read_text()
    assert (tmp_path / "02-energy.csv").read_text().startswith("series,")


RESULT = {"schema": 1, "measured_at": "2026-01-02T03:04:05Z", "took_s": 1.0, "machine": {}, "skipped": []}


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(roofline, "measure", lambda **_: RESULT)
    monkeypatch.setattr(roofline, "summary", lambda result: "summary")


def test_measure_saves(capsys, tmp_path, measured):
    status, out, _ = run(capsys, "measure", "--folder", str(tmp_path))
    assert status == 0 and "saved in" in out and len(list(tmp_path.iterdir())) == 1


def test_measure_loses_nothing_when_it_can_not_save(capsys, tmp_path, measured):
    (tmp_path / "file").write_text("")
    status, out, err = run(capsys, "measure", "--folder", str(tmp_path / "file" / "below"))
    assert status == 2 and "cannot write into" in err
    assert json.loads(out.splitlines()[-1]) == RESULT


# ---- predict, score


@pytest.fixture
def mine(tmp_path):
    """Some rows of the corpus, from all over it, with a column of the reader's own."""
    rows = [row | {"my note": f'no. {i}, "quoted"'} for i, row in enumerate(data.rows("kernels_measured")[::40])]
    with (tmp_path / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "mine.csv", rows


def test_predict_returns_every_row_and_column_in_order(capsys, tmp_path, mine):
    path, rows = mine
    before = path.read_bytes()
    status, out, err = run(capsys, "predict", "kernels", str(path))
    assert status == 0 and err == "" and path.read_bytes() == before
    found = list(csv.DictReader(io.StringIO(out)))
    assert [{c: row[c] for c in rows[0]} for row in found] == rows
    added = [c for c in found[0] if c not in rows[0]]
    assert added == ["predicted", "low", "high", "measured", "unit", "ratio", "bound", "assumed", "reason"]
    assert all(bool(row["predicted"]) != bool(row["reason"]) for row in found)
    status, said, _ = run(capsys, "predict", "kernels", str(path), "-o", str(tmp_path / "out.csv"))
    assert status == 0 and (tmp_path / "out.csv").read_text(encoding="utf-8") == out
    predicted = sum(bool(row["predicted"]) for row in found)
    assert said.count("\n") == 1 and f"out.csv: {len(rows)} rows, {predicted} predicted, " in said
    reasons = [int(n) for n in re.findall(r"[:;] (\d+) x ", said)]
    assert f"{len(rows) - predicted} not: " in said and sum(reasons) == len(rows) - predicted
    errors = [abs(math.log(float(row["ratio"]))) for row in found if row["ratio"]]
    assert f"; error {100 * sum(errors) / len(errors):.1f} % over {len(errors)} measured\n" in said


def test_reasons_past_the_first_four_are_counted_together(capsys, tmp_path):
    kernels = ("rubbish", "pointer-chase load latency", "shared-cache read", "elementwise sort", "gather", "")
    (tmp_path / "in.csv").write_text("chip,kernel\n" + "".join(f"T4,{name}\n" for name in kernels), encoding="utf-8")
    _, said, _ = run(capsys, "predict", "kernels", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"))
    assert "6 rows, 0 predicted, 6 not: " in said and said.endswith("; 2 x other reasons\n") and said.count(" x ") == 5


def test_predict_needs_six_columns(capsys, tmp_path):
    path = tmp_path / "few.csv"
    text = "chip,kernel,dtype,m,n,k,mood\r\n\r\nh100 sxm,matmul,bf16,8192,8192,8192,good\r\n"
    path.write_bytes(("\ufeff" + text).encode())
    status, out, _ = run(capsys, "predict", "kernels", str(path))
    (row,) = csv.DictReader(io.StringIO(out))
    assert status == 0 and row["chip"] == "h100 sxm" and row["mood"] == "good"
    # 1.0995e12 FLOP in more than the 1,111 us of the datasheet's peak and less than twice that
    assert 1111 < float(row["low"]) < float(row["predicted"]) < float(row["high"]) < 2222
    assert (row["unit"], row["bound"], row["measured"], row["ratio"]) == ("us", "compute", "", "")
    status, said, _ = run(capsys, "predict", "kernels", str(path), "-o", str(tmp_path / "out.csv"))
    assert said == f"{tmp_path / 'out.csv'}: 1 row, 1 predicted\n"


@pytest.mark.parametrize(
    ("text", "argv", "message"),
    [
        ("chip,m\nT4,8\n", ["kernel", "in.csv"], "kind 'kernel' is unknown; did you mean 'kernels'"),
        ("chip,kernel,m\nT4,matmul,8\n", ["kernels", "none.csv"], "none.csv cannot be read as a CSV file"),
        ("chips,rows\nT4,8\n", ["kernels", "in.csv"], "no column is one of"),
        ("chip,kernel,m\nT4,matmul,8\n", ["kernels", "in.csv", "-o", "in.csv"], "in.csv is the input itself"),
        ("chip,kernel,m\nT4,matmul,8\n", ["kernels", "in.csv", "-o", "link.csv"], "link.csv is the input itself"),
        ("chip,kernel,m\nT4,matmul,8\n", ["kernels", "in.csv", "-o", "no/out.csv"], "cannot write"),
        ("chip,kernel,low\nT4,matmul,8\n", ["kernels", "in.csv", "-o", "out.csv"], "a column 'low' as well"),
    ],
)
def test_predict_refuses_in_one_line(capsys, tmp_path, monkeypatch, text, argv, message):
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text(text)
    os.link("in.csv", "link.csv")
    status, out, err = run(capsys, "predict", *argv)
    assert status == 2 and out == "" and err.count("\n") == 1 and message in err, err
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "link.csv"}
    assert Path("in.csv").read_text() == text


def test_a_reader_that_has_enough_is_no_error():
    path = data.FOLDER / "kernels_measured.csv"
    out = subprocess.run(
        f"{sys.executable} -m bottlenecks predict kernels {path} | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="bash",
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stderr == "" and out.stdout.splitlines()[1] == "0"


def test_score(capsys):
    status, out, _ = run(capsys, "score", "kernels")
    head, *lines = out.splitlines()
    assert status == 0 and head.split() == [
        "role",
        "source",
        "group",
        "rows",
        "scored",
        "error",
        "bias",
        "worst",
        "inside",
    ]
    assert run(capsys, "score", "kernels", "--fresh")[1] == out
    roles = [line.split()[0] for line in lines]
    table = roles.index("fit", roles.index("held-out"))  # then the summary begins
    assert any(line.split()[:3] == ["held-out", "fa2_a100", "attention"] for line in lines[:table])
    summary = [line for line in lines[table:] if line.startswith("held-out")]
    *groups, rows, whole = summary
    assert len(groups) == 4 and all(" %, the mean of " in s and "; worst " in s for s in groups)
    assert "rows: median error " in rows and "inside the 80 % interval" in rows
    assert whole.startswith("held-out, all: ") and " % predicted, " in whole
    *rivals, swept, unknown = lines[lines.index(whole) + 1 :]
    assert [line.split("error")[0].strip() for line in rivals] == ["datasheet", "one number", "mean of both", "model"]
    assert swept.strip().startswith("of these with one sweep of the chip's family: error ")
    assert unknown.strip().startswith("of these with its datasheet alone: error ")
    status, out, _ = run(capsys, "score", "kernels", "--json")
    content = json.loads(out)
    assert status == 0 and len(content["scores"]) == table and len(content["summary"]) == 7
    assert any(row["error"] is None and row["scored"] == 0 for row in content["scores"])


def test_score_says_what_each_mechanism_earns(capsys):
    status, out, _ = run(capsys, "score", "kernels", "--rent")
    head, whole, *lines = out.splitlines()
    assert status == 0 and head.split() == ["without", "error", "median", "inside", "rent,", "points"]
    assert whole.startswith("all mechanisms") and whole.endswith(" %")
    rents = [float(line.split()[-3]) for line in lines]
    assert rents == sorted(rents, reverse=True) and rents[0] > 1
    # what the error is without a mechanism, less what it is: both to a tenth of a percent
    before, without = (float(line[46:].split()[0]) for line in (whole, lines[0]))
    assert without - before == pytest.approx(rents[0], abs=0.11)
    content = json.loads(run(capsys, "score", "kernels", "--rent", "--json")[1])
    assert [row["mechanism"] for row in content] == [line[:46].strip() for line in (whole, *lines)]


def test_score_says_what_has_no_prediction(capsys):
    status, out, _ = run(capsys, "score", "kernels", "--unscored")
    head, *lines = out.splitlines()
    counts = [int(line.split()[0]) for line in lines]
    assert status == 0 and head == f"without a prediction: {sum(counts)} rows"
    assert counts == sorted(counts, reverse=True) and "shared-cache read" in out
    reasons = json.loads(run(capsys, "score", "kernels", "--unscored", "--json")[1])
    assert list(reasons.values()) == counts
    status, _, err = run(capsys, "score", "kernel")
    assert status == 2 and "did you mean 'kernels'" in err and err.count("\n") == 1


def test_fits(capsys):
    status, out, _ = run(capsys, "fits", "llama 3 70b", "h100 sxm")
    # 141.1 GB of weights, 1.3 of cache, 1.2 of a pass, 2.7 of contexts; 77.0 of 85.5 are there
    assert status == 0 and "does not fit, by 69.4" in out
    assert "cheapest change that fits: weights in four bits" in out
    assert "held back: 11.27 GB, 10% of the memory, which servers leave alone unless told otherwise" in out
    status, out, _ = run(capsys, "fits", "Llama-3-8B", "h100 sxm", "--train", "--json")
    assert status == 0 and json.loads(out)["shortfall"] > 0
    status, out, _ = run(capsys, "fits", "Llama-3-8B", "h100 sxm", "--context", "8192")
    assert status == 0 and "to spare" in out and "largest batch at this context" in out
    status, out, _ = run(capsys, "fits", "LLaMA-7B", "h100 sxm", "--batch", "2")
    assert "longest context at this batch: 2,048 (the model's own; the memory would hold" in out
    assert "4,096 tokens are more than the 2,048 that LLaMA-7B was made for" in out


@pytest.mark.parametrize(
    ("options", "asked"),
    [  # what the verb prints is what the functions hold
        ("--tp 2 --context 999 --batch 3 --cache fp8 --format awq --held-back 20% --prefill-chunk 512",
         {"tp": 2, "context": 999, "batch": 3, "cache_format": "fp8", "format": "awq", "held_back": 0.2, "prefill": 512}),
        ("--chips 4 --format Q4_0 --held-back 4GB --offload 0.25 --full-windows",
         {"chips": 4, "format": "Q4_0", "held_back": 4e9, "offloaded": 0.25, "full_windows": True}),
        ("--train --chips 8 --tp 2 --pp 2 --zero 1 --micro-batch 2 --micro-batches 4 --recompute selective",
         {"chips": 8, "tp": 2, "pp": 2, "zero": 1, "batch": 2, "micro_batches": 4, "recompute": "selective"}),
        ("--train --lora 16 --frozen nf4 --loss-chunks 8 --logit-bytes 16 --offload states,activations=0.5 --recipe adam",
         {"lora_rank": 16, "frozen_bytes": 0.5625, "loss_parts": 8, "bytes_per_logit": 16.0, "offloaded_states": 1.0,
          "offloaded_activations": 0.5, "recipe": "adam"}),
        ("--train --offload 0.5 --step-in-backward --held-back 0",
         {"offloaded_states": 0.5, "step_in_backward": True, "held_back": 0.0}),
    ],
)  # fmt: skip
def test_fits_takes_a_whole_layout(capsys, options, asked):
    from bottlenecks.facts.architectures import model
    from bottlenecks.facts.chips import chip
    from bottlenecks.studies import room

    of = room.training if "--train" in options else room.serving
    status, out, _ = run(capsys, "fits", "Llama-3-8B", "h100 sxm", *options.split(), "--json")
    assert status == 0
    assert json.loads(out) == json.loads(json.dumps(of(model("Llama-3-8B"), chip("H100 SXM5"), **asked)))
    assert run(capsys, "fits", "Llama-3-8B", "h100 sxm", *options.split())[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fits", "Llama-3-8B", "MI300Y"], "did you mean 'MI300X'"),
        (
            ["fits", "Llama-3-8B", "h100 sxm", "--chips", "0"],
            "--chips must be a whole number from 1 to 16,384, got '0'; the nearest is 1",
        ),
        (["fits", "Llama-3-8B", "h100 sxm", "--format", "fp7"], "format 'fp7' is unknown"),
    ],
)
def test_fits_names_what_is_wrong(capsys, argv, message):
    status, _, err = run(capsys, *argv)
    assert status == 2 and message in err


def test_predicting_inference_from_a_file(capsys, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text(
        "model,chip,n_chips,phase,batch,input_len,output_len,ms_per_output_token\n"
        "Llama-3-8B,H100-SXM-80GB,1,decode,1,1000,200,7.5\n"
    )
    status, out, _ = run(capsys, "predict", "inference", str(mine))
    (row,) = csv.DictReader(io.StringIO(out))
    assert status == 0 and row["unit"] == "ms/token" and float(row["measured"]) == 7.5
    assert float(row["low"]) < float(row["predicted"]) < float(row["high"])


def test_search_ranks_layouts_and_says_what_to_buy(capsys):
    status, out, _ = run(capsys, "search", "Llama-3-8B", "DGX H100", "--chips", "16", "--top", "3")
    assert status == 0
    assert "buy " in out and "the second of the best: compute" in out
    status, out, _ = run(capsys, "search", "Llama-3.1-405B", "DGX H100", "--chips", "8", "--json")
    assert status == 1
    assert json.loads(out)["least_shortfall_bytes"] > 0


def test_search_prints_what_its_links_carry(capsys):
    """Of 16 chips with a node each for themselves: two tiers, bytes and seconds of each, the hottest named."""
    asked = ("search", "Llama-3-8B", "DGX H100", "--chips", "16", "--top", "1")
    status, out, _ = run(capsys, *asked, "--links")
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("links of a chip"))
    assert status == 0 and [line.split()[0] for line in lines[at + 2 : at + 4]] == ["node", "cluster"]
    assert lines[-1] in ("the hottest links: node", "the hottest links: cluster")
    content = json.loads(run(capsys, *asked, "--links", "--json")[1])
    busy = {tier["tier"]: tier["busy_s"] for tier in content["links"]}
    assert max(busy, key=busy.get) == lines[-1].split()[-1] == next(t["tier"] for t in content["links"] if t["hottest"])
    assert "links" not in json.loads(run(capsys, *asked, "--json")[1])


def test_search_says_when_a_system_has_fewer_chips(capsys):
    status, _, err = run(capsys, "search", "Llama-3-8B", "DGX H100 SuperPOD", "--chips", "512")
    assert status and "--chips must be at most 256, all that DGX H100 SuperPOD has, got 512" in err


def test_search_shares_its_work_among_jobs(capsys, monkeypatch):
    pools = []

    class Pool(futures.ProcessPoolExecutor):
        def __init__(self, workers, *context):
            pools.append(workers)
            super().__init__(workers, *context)

    monkeypatch.setattr(futures, "ProcessPoolExecutor", Pool)
    asked = ("search", "Llama-3-8B", "DGX H100", "--chips", "16", "--top", "3", "--json")
    alone = run(capsys, *asked)
    assert alone[0] == 0 and pools == []
    assert run(capsys, *asked, "--jobs", "2") == alone  # nothing on stderr: no worker failed
    assert pools == [2]
    status, _, err = run(capsys, *asked, "--jobs", "0")
    assert status == 2 and "--jobs must be a whole number from 1 to 256, got '0'; the nearest is 1" in err


# ---- whatever happens is one line


@pytest.mark.parametrize(
    "fault",
    [OverflowError("int too large"), KeyError("origin"), MemoryError(), StopIteration(), ZeroDivisionError("a\nb")],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_of_ours_says_so_and_how_to_report_it(capsys, monkeypatch, fault):
    def broken(args):
        raise fault

    monkeypatch.setattr(chips, "run", broken)
    status, out, err = run(capsys, "chips", "H100 SXM5")
    assert status == 1 and out == "" and err.count("\n") == 1
    assert "bottlenecks chips 'H100 SXM5': " in err and "a fault of bottlenecks, not of yours: please report" in err
    assert ("memory" if isinstance(fault, MemoryError) else type(fault).__name__) in err
    monkeypatch.setenv("BOTTLENECKS_TRACEBACK", "1")
    assert "in broken" in run(capsys, "chips", "H100 SXM5")[2]


def test_numbers_may_be_written_as_people_do(capsys):
    a, b = (run(capsys, "fits", "Llama-3-8B", "h100 sxm", "--context", text) for text in ("8192", "8_192"))
    assert a == b and a[0] == 0
    assert run(capsys, "fits", "Llama-3-8B", "h100 sxm", "--context", "1e3")[0] == 0


def shell(line):
    """A line of bash with $B for the command; its result."""
    run = f"{sys.executable} -m bottlenecks"
    return subprocess.run(["bash", "-c", line.replace("$B", run)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("$B chips | head -1; exit ${PIPESTATUS[0]}", 0, ""),
        ("$B --help | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("$B chips MI300Y | true; exit ${PIPESTATUS[0]}", 2, "did you mean"),
        ("$B chips >&-", 0, ""),
        ("$B chips >&- 2>&- <&-", 0, ""),
        ("$B chips MI300Y 2>&-", 2, ""),
        ("$B chips MI300Y 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", 2, ""),
        ("PYTHONIOENCODING=ascii $B models Llama-3-8B --json >/dev/null", 0, ""),
        (
            "PYTHONIOENCODING=ascii $B predict kernels <(echo chip,m,kernel; echo T4,8,ü)",
            2,
            ": set PYTHONIOENCODING=utf-8",
        ),
    ],
)
def test_streams_that_are_closed_or_narrow(line, status, words):
    found = shell(line)
    assert found.returncode == status, found.stderr
    assert found.stderr.count("\n") == bool(words) and words in found.stderr, found.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_standard_output():
    found = shell("$B chips > /dev/full")
    assert found.returncode == 2 and found.stderr.count("\n") == 1 and "No space left" in found.stderr


WAITS = """
import sys, time
from bottlenecks import __main__ as command
from bottlenecks.command import chips
from bottlenecks.studies import search

def wait(*args, executor=None, **_):
    found = executor and [executor.submit(time.sleep, 60) for _ in range(4)]
    print("ready", flush=True)
    return found[0].result() if found else time.sleep(60)

chips.run = search.search = wait
sys.exit(command.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
@pytest.mark.parametrize("argv", [("chips",), ("search", "Llama-3-8B", "DGX H100", "--chips", "8", "--jobs", "2")])
def test_ctrl_c_is_one_line(tmp_path, argv):
    script = tmp_path / "script.py"
    script.write_text("if __name__ == '__main__':\n    " + WAITS.strip().replace("\n", "\n    "))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf
    with subprocess.Popen([sys.executable, str(script), *argv], preexec_fn=heard, **pipes) as child:
        assert child.stdout.readline() == "ready\n"
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
        out, err = child.communicate(timeout=600)
    assert (child.returncode, out, err) == (130, "", f"bottlenecks {argv[0]}: stopped\n")


def test_a_progress_bar_is_for_a_terminal(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(roofline, "measure", lambda progress, **_: seen.append(progress) or RESULT)
    monkeypatch.setattr(roofline, "summary", lambda result: "summary")
    monkeypatch.setattr(roofline, "save", lambda *_: "")
    run(capsys, "measure")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(capsys, "measure")
    assert seen[0] is None and callable(seen[1])


def test_a_column_that_is_nearly_one_of_ours_is_named(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("model,chip,n_chips,dp,global_batch,colour\nLlama-3-8B,H100 SXM5,8,8,128,red\n", encoding="utf-8")
    assert command.main(["predict", "training", str(path)]) == 0
    found = capsys.readouterr()
    assert found.err == f"{path}: columns that were not read: global_batch (did you mean global_batch_seqs?)\n"


def test_a_short_name_of_a_chip_is_understood_in_any_case(capsys, tmp_path):
    path, found = tmp_path / "mine.csv", []
    for name in ("h100", "H100", "H100 SXM5"):
        path.write_text(f"chip,kernel,dtype,m,n,k\n{name},matmul,bf16,64,64,64\n", encoding="utf-8")
        command.main(["predict", "kernels", str(path)])
        found.append(capsys.readouterr().out)
    for each in found[:2]:
        assert "taken for H100 SXM5: the name does not tell the board" in each
    assert found[0].splitlines()[1].replace("h100", "H100") == found[1].splitlines()[1]
    assert "taken for" not in found[2]


def test_read_writes_rows_that_predict_takes(capsys, tmp_path):
    (tmp_path / "run.log").write_text(made_up.ALL_REDUCE, encoding="utf-8")
    log, rows = str(tmp_path / "run.log"), str(tmp_path / "rows.csv")
    status, out, err = run(capsys, "read", log)
    assert status == 0 and err.startswith(f"{log}: nccl-tests, 3 rows of collectives\n") and "not read: 29: " in err
    assert [row["collective"] for row in csv.DictReader(io.StringIO(out))] == ["all_reduce", "all_reduce", "all_gather"]
    status, said, err = run(capsys, "read", log, "-o", rows, "--set", "chip=H100 SXM5", "--set", "n_nodes=1")
    assert status == 0 and err == "" and said.endswith(f"{rows}: now `bottlenecks predict collectives {rows}`\n")
    assert Path(rows).read_text(encoding="utf-8").count(",H100 SXM5,") == 3
    assert "16 ranks in one domain of 8" in said
    assert run(capsys, "predict", "collectives", rows, "-o", str(tmp_path / "out.csv"))[0] == 0
    assert (tmp_path / "run.log").read_text(encoding="utf-8") == made_up.ALL_REDUCE


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none.log"], "none.log cannot be read"),
        (["in.log", "--set", "chip"], "--set takes COLUMN=VALUE"),
        (["in.log", "--set", "chop=T4"], "column of collectives 'chop' is unknown; did you mean 'chip'?"),
        (["in.log", "--kind", "vllm"], "kind 'vllm' is unknown"),
        (["in.log", "--kind", "serve"], "in.log (serve) has no result that can be a row"),
        (["in.log", "-o", "in.log"], "in.log is the log itself: name another file"),
        (["in.log", "-o", "no/rows.csv"], "cannot write no/rows.csv"),
        (["rows.csv"], "rows.csv is no log that can be read; there are: nccl-tests,"),
    ],
)
def test_read_refuses_in_one_line(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    Path("in.log").write_text(made_up.ALL_REDUCE, encoding="utf-8")
    Path("rows.csv").write_text("chip,m\nT4,8\n", encoding="utf-8")
    status, out, err = run(capsys, "read", *argv)
    assert status == 2 and out == "" and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["calibrate", "kernel", "in.csv"], "kind 'kernel' is unknown; did you mean 'kernels'"),
        (["calibrate", "kernels", "none.csv"], "none.csv cannot be read as a CSV file"),
        (
            ["calibrate", "kernels", "in.csv"],
            "in.csv: no row can calibrate: 1 x the row leaves a size of the kernel open",
        ),
        (["calibrate", "kernels", "in.csv", "-o", "in.csv"], "in.csv is the input itself: name another file"),
        (["calibrate", "kernels", "measured.csv", "-o", "no/a.toml"], "cannot write no/a.toml"),
        (["predict", "kernels", "in.csv", "--calibration", "none.toml"], "none.toml cannot be read"),
        (["predict", "kernels", "in.csv", "--calibration", "in.csv"], "in.csv is no calibration: it is not TOML"),
        (
            ["predict", "kernels", "in.csv", "--calibration", "measured.csv", "-o", "measured.csv"],
            "is the calibration itself",
        ),
    ],
)
def test_calibrate_refuses_in_one_line(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("chip,kernel,m\nT4,matmul,8\n", encoding="utf-8")
    Path("measured.csv").write_text("chip,kernel,m,n,k,time_us\nT4,matmul,8k,8k,8k,30000\n", encoding="utf-8")
    status, out, err = run(capsys, *argv)
    assert status == 2 and out == "" and err.count("\n") == 1 and message in err, err
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "measured.csv"}


def test_a_model_may_be_a_config_beside_the_file(capsys, tmp_path):
    (tmp_path / "tiny").mkdir()
    config = {"model_type": "llama", "num_hidden_layers": 16, "hidden_size": 2048, "vocab_size": 32000}
    config |= {"intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8}
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "mine.csv").write_text(
        "chip,model,phase,batch,input_len,output_len\nH100 SXM5,tiny/config.json,decode,1,1000,200\n"
        "H100 SXM5,none/config.json,decode,1,1000,200\nH100 SXM5,Llama-3-8B,decode,1,1k,200\n"
    )
    assert run(capsys, "predict", "inference", str(tmp_path / "mine.csv"), "-o", str(tmp_path / "out.csv"))[0] == 0
    tiny, none, known = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8")))
    # 16 layers of 2 x 2048 x 2048 + 2 x 2048 x 512 + 3 x 2048 x 8192 values and a head of 32000 x 2048, two bytes each
    # are 2.08 GB: 0.62 ms at 3.35 TB/s
    assert 0.62 < float(tiny["predicted"]) < 0.3 * float(known["predicted"])
    assert tiny["model"] == "tiny/config.json" and "cannot be read" in none["reason"]
    train = tmp_path / "train.csv"
    train.write_text(
        "chip;model;n_chips;global_batch_seqs;seq_len\nH100 SXM5;tiny/config.json;8;64;4k\n", encoding="utf-8"
    )
    status, out, _ = run(capsys, "predict", "training", str(train))
    (row,) = csv.DictReader(io.StringIO(out))
    assert status == 0 and row["predicted"] and "a shape like" not in row["assumed"] and row["seq_len"] == "4k"
