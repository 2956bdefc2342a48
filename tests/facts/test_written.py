"""What readers write in tables of their own: first lines, phases, kernels, counts of chips, empty cells."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import corpus, written
from bottlenecks.measured import frame, inference, kernels


def table(tmp_path, name, header, *lines):
    """A reader's file, read."""
    (tmp_path / "mine.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return corpus.read(tmp_path / "mine.csv", name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8xH100", ("H100", 8)),
        ("8x H100 SXM", ("H100 SXM", 8)),
        ("(8x) H100", ("H100", 8)),
        ("H100 x8", ("H100", 8)),
        ("H100 (8x)", ("H100", 8)),
        ("A100 80GBx8", ("A100 80GB", 8)),
        ("2 x RTX 4090", ("RTX 4090", 2)),
        ("4× A100-80GB", ("A100-80GB", 4)),
        ("MI300X", ("MI300X", None)),
        ("Tesla K20X", ("Tesla K20X", None)),
        ("GTX 980", ("GTX 980", None)),
        ("GPU Max 1550", ("GPU Max 1550", None)),
        ("2x8 H100", ("2x8 H100", None)),
        ("", ("", None)),
    ],
)
def test_chips_that_are_counted(text, found):
    assert written.counted(text) == found


def test_no_name_of_the_catalog_counts_its_chips():
    for row in data.rows("chips"):
        for name in (row["name"], *row["aliases"].split(";")):
            assert written.counted(name) == (name, None)


def test_a_count_fills_a_blank_and_must_agree(tmp_path):
    own = table(
        tmp_path, "inference", "chip,n_chips,model,phase", "8xH100,,L,decode", "8xH100,8,L,decode", "8xT4,4,L,decode"
    )
    assert own.columns["chip"].tolist() == ["H100", "H100", "T4"] and own.columns["n_chips"][:2].tolist() == [8, 8]
    assert own.faults.tolist() == ["", "", "the chip's name counts 8, and n_chips says 4"]
    assert own.given["chip"][0] == "8xH100"
    assert table(tmp_path, "inference", "chip,model,phase", "H100 x2,L,decode").columns["n_chips"].tolist() == [2]


@pytest.mark.parametrize(
    ("name", "header", "cells", "found"),
    [
        ("inference", "GPU type,#GPUs,Model,Phase,Concurrency,ISL,OSL,tok/s", "T4,8,L,decode,4,512,128,90",
         {"n_chips": 8, "batch": 4, "input_len": 512, "output_len": 128, "tokens_per_s": 90}),
        ("inference", "accelerator,num_gpus,model,phase,bs,TTFT (ms),ITL (ms)", "T4,2,L,decode,1,250,7",
         {"n_chips": 2, "batch": 1, "ttft_s": 0.25, "s_per_output_token": 0.007}),
        ("inference", "gpu,model,phase,TPOT", "T4,L,decode,6.5", {"s_per_output_token": 0.0065}),
        ("training", "GPU,GPUs,model,seq len,micro batch size,gbs,TFLOPS/GPU,MFU %", "T4,8,L,4k,2,64,40,50",
         {"n_chips": 8, "seq_len": 4096, "micro_batch": 2, "global_batch_seqs": 64, "flop_per_s_per_chip": 40e12, "mfu": 0.5}),
        ("collectives", "gpu,ranks,collective,size (B),time (us),algbw (GB/s),busbw", "T4,8,p2p,64,5,2,3",
         {"n_gpus": 8, "message_bytes": 64, "time_s": 5e-6, "algbw_bytes_per_s": 2e9, "busbw_bytes_per_s": 3e9}),
        ("collectives", "gpu,collective,msg size (MB)", "T4,p2p,64", {"message_bytes": 64e6}),
    ],
)  # fmt: skip
def test_first_lines_as_people_write_them(tmp_path, name, header, cells, found):
    own = table(tmp_path, name, header, cells)
    assert corpus.unread(header.split(","), name) == {} and own.columns["chip_name"].tolist() == ["T4"]
    assert {column: own.columns[column][0] for column in found} == pytest.approx(found)


def test_our_own_name_goes_first_and_a_bare_ttft_is_no_guess(tmp_path):
    own = table(tmp_path, "inference", "gpu,chip,model,phase,TTFT", "0,T4,L,decode,250")
    assert own.columns["chip_name"].tolist() == ["T4"] and np.isnan(own.columns["ttft_s"][0])
    assert corpus.unread(["chip", "TTFT"], "inference") == {"TTFT": "ttft_s"}


@pytest.mark.parametrize(
    ("phase", "texts"),
    [
        ("decode", ("Decode", "generation", "gen", "tg")),
        ("prefill", ("prefill", "pp", "prompt processing", "TTFT")),
        ("end_to_end", ("end-to-end", "e2e", "E2E", "serving", "throughput", "offline")),
    ],
)
def test_phases_as_people_write_them(phase, texts):
    assert {written.cell("inference", "phase", text) for text in texts} == {phase}


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("matmul", "matmul"),
        ("GEMM fp8", "matmul fp8"),
        ("hgemm", "matmul fp16"),
        ("gemv", "matmul"),
        ("FlashAttention-2 fwd", "attention flashattention 2 fwd"),
        ("flash_attn fwd+bwd", "attention flashattention fwd+bwd"),
        ("fa3 bwd", "attention fa 3 bwd"),
        ("sdpa", "attention"),
        ("RMSNorm", "elementwise rms norm"),
        ("rope", "elementwise rope"),
        ("memcpy d2d", "memcpy device local"),
        ("memcpy H2D", "memcpy host to device"),
        ("softmax backward", "softmax backward"),  # another kernel: no guess
        ("fast fourier", "fast fourier"),
    ],
)
def test_kernels_as_people_write_them(text, kernel):
    assert written.cell("kernels", "kernel", text) == kernel


def test_every_word_means_something_of_its_table():
    phases = {row["meant"] for row in data.rows("written") if row["column"] == "phase"}
    assert phases == set(inference.PHASES)
    for row in data.rows("written"):
        tables = [row["table"]] if row["table"] else list(corpus.TABLES)
        if row["column"] == "kernel":
            assert row["meant"].startswith(tuple(kernels.KINDS)), row
        elif not row["column"]:
            assert any(row["meant"] in data.columns(corpus.TABLES[name]) for name in tables), row
        assert written.fold(row["written"].removesuffix(" *")) == row["written"].removesuffix(" *"), row


def test_format_pass_and_program_of_a_kernels_name(tmp_path):
    header = "chip,kernel,dtype,m,n,k,seq_len,implementation"
    own = table(tmp_path, "kernels", header, "H100 SXM5,gemm fp8,,4096,4096,4096,,", "H100 SXM5,matmul,fp8,4096,4096,4096,,",
                "H100 SXM5,FlashAttention-2 bwd,,,,,4096,", "H100 SXM5,attention bwd,,,,,4096,FlashAttention-2")  # fmt: skip
    seconds = frame.predict("kernels", own.columns, owners=False)["predicted"]
    assert seconds[0] == seconds[1] > 0 and seconds[2] == seconds[3] > 0


@pytest.mark.parametrize("blank", ["nan", "NaN", "N/A", "n/a", "-", "--", "None", "null", "?"])
def test_words_for_an_empty_cell_in_any_column(tmp_path, blank):
    own = table(tmp_path, "kernels", "chip,kernel,dtype,m,time_us,board", f"T4,matmul,{blank},{blank},{blank},{blank}")
    assert own.faults.tolist() == [""] and own.columns["dtype"].tolist() == own.columns["board"].tolist() == [""]
    assert np.isnan([own.columns["m"][0], own.columns["time_s"][0]]).all()


def test_no_recomputation_is_a_choice(tmp_path):
    own = table(tmp_path, "training", "chip,model,recompute", "T4,L,None", "T4,L,N/A")
    assert own.columns["recompute"].tolist() == ["None", ""]


def test_weights_as_they_were_released(tmp_path):
    header = "chip,n_chips,model,phase,batch,input_len,output_len"
    models = ("DeepSeek-V3", "deepseek-ai/DeepSeek-R1", "gpt-oss-120b", "Llama-3-8B")
    own = table(tmp_path, "inference", header, *(f"H200 SXM,8,{model},decode,8,512,128" for model in models))
    found = frame.predict("inference", own.columns, owners=False)["assumed"].tolist()
    assert [text.split(" weights")[0] for text in found] == ["fp8", "fp8", "mxfp4", "bf16"]
