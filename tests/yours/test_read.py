"""Logs of others' tools: each number of a made-up log, by hand, in its column."""

import csv
import io

import made_up
import pytest

from bottlenecks.measured import frame
from bottlenecks.yours import logs, logs_collectives, read


@pytest.fixture
def found(tmp_path):
    """Reads a text as a log."""

    def act(text, kind=None, name="mine.log", encoding="utf-8", **given):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return read.read(tmp_path / name, kind, given)

    return act


def has(row, **cells):
    """Are these the cells of a row?"""
    assert {column: row[column] for column in cells} == {c: str(v) for c, v in cells.items()}


@pytest.mark.parametrize("name", made_up.LOGS)
def test_a_log_is_known_by_its_content_and_its_rows_are_predicted(found, name, tmp_path):
    text, kind = made_up.LOGS[name]
    got = found(text, name=name, chip="H100 SXM5", **({} if kind == "nccl-tests" else {"model": "Llama-3-8B"}))
    assert got.kind == kind and got.reasons == {} and got.missing == []
    read.write(tmp_path / "rows.csv", got.rows)
    out = io.StringIO()
    again = frame.predict_file(got.table, tmp_path / "rows.csv", out, owners=False)
    written = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(written) == len(got.rows) and all(row["predicted"] and row["measured"] for row in written)
    assert again["unread"] == {}
    for other in read.KINDS:
        if other != kind:
            assert not read.KINDS[other].recognises(logs.open_log(tmp_path / name)), other


def test_a_stranger_is_told_what_can_be_read(found):
    with pytest.raises(
        ValueError, match="mine.log is no log that can be read; there are: nccl-tests, serve, llama-bench"
    ):
        found("chip,m\nT4,8\n")
    with pytest.raises(ValueError, match="kind 'nccl' is unknown; did you mean 'nccl-tests'"):
        found(made_up.ALL_REDUCE, kind="nccl")
    with pytest.raises(ValueError, match="column of collectives 'chips' is unknown; did you mean 'chip'"):
        found(made_up.ALL_REDUCE, chips="H100")
    with pytest.raises(ValueError, match="n_nodes must be a number, got 'two'"):
        found(made_up.ALL_REDUCE, n_nodes="two")
    with pytest.raises(ValueError, match="could be nccl-tests or torchtitan: say which with --kind"):
        found(made_up.ALL_REDUCE + made_up.TITAN)
    with pytest.raises(ValueError, match="none.log cannot be read: "):
        read.read("none.log")
    with pytest.raises(ValueError, match=r"has no result that can be a row: 1 line could not be read, such as line 1"):
        found(made_up.SERVED[made_up.SERVED.rindex("====== Serving") - 6 :])


def test_launchers_marks_colours_and_encodings_change_nothing(found):
    plain = found(made_up.ALL_REDUCE)
    for mark in ("[1,0]<stdout>:", "0: ", "[default0]:", "2026-01-16T07:32:24.123Z "):
        assert found("".join(f"{mark}{line}\n" for line in made_up.ALL_REDUCE.splitlines())).rows == plain.rows
    assert found(made_up.ALL_REDUCE, encoding="utf-16").rows == plain.rows
    assert found(made_up.ALL_REDUCE.replace("\n", "\r\n")).rows == plain.rows


# ---- collectives


def test_nccl_tests_by_hand(found):
    got = found(made_up.ALL_REDUCE)
    out, into, gather = got.rows
    has(out, collective="all_reduce", chip="NVIDIA H100 80GB HBM3", n_gpus=16, n_nodes=2, message_bytes=2**20)
    has(out, time_us=100, algbw_GBps=10.49, busbw_GBps=19.66, in_place=0, library="NCCL (nccl-tests)", launch="library")
    has(into, time_us=90, algbw_GBps=11.65, busbw_GBps=21.85, in_place=1, doubt="2 values were wrong")
    has(gather, collective="all_gather", chip="AMD Instinct MI300X", n_gpus=2, n_nodes=1, time_us=50, busbw_GBps=10.49)
    has(gather, library="RCCL (rccl-tests)")
    assert got.left_out == ["1 line of 0 bytes"] and [number for number, _ in got.unread] == [29]
    assert got.told[0] == "all_reduce over 16 ranks of 2 machines, NVIDIA H100 80GB HBM3: 1,048,576 to 1,048,576 B"
    assert "a port of 400 Gbit/s a chip" in got.assumed
    has(found(made_up.ALL_REDUCE, n_nodes="1", port_gbit_per_s="200").rows[0], n_nodes=1, port_gbit_per_s=200)


def test_results_that_print_zero(found):
    lines = ("8 2 float sum -1 12.10 0.00 0.00 0 N/A N/A N/A N/A", "64 16 float sum -1 0.00 0.00 0.00 0 0.00 inf inf 0")
    got = found(
        "# all_reduce_perf\n"
        + made_up.HEAD
        + "\n".join(lines)
        + "\n"
        + LINE.removeprefix(made_up.HEAD).format(op="sum", root=-1, alg=214.75, bus=375.81)
    )
    small, out, into = got.rows
    has(small, message_bytes=8, time_us=12.1, algbw_GBps="", busbw_GBps="")  # rounded away: the time tells
    assert [float(row["busbw_GBps"]) for row in (out, into)] == [375.81, 375.81]
    assert got.left_out == ["2 results of 0.00 us"] and got.unread == []
    with pytest.raises(ValueError, match="has no result that can be a row: 2 results of 0.00 us"):
        found("# all_reduce_perf\n" + made_up.HEAD + lines[1] + "\n")


def test_an_old_release_prints_no_operation_and_a_file_may_name_the_collective(found):
    for name in ("old_allgather.txt", "all_gather_2gpus.log", "AllGather.out"):
        out, into = found(made_up.OLD_GATHER, name=name).rows
        has(out, collective="all_gather", chip="Tesla T4", n_gpus=2, n_nodes=1, message_bytes=2**22, time_us=400)
        has(into, time_us=380, busbw_GBps=5.52, in_place=1)
    with pytest.raises(ValueError, match=r"redop blank with root -1 fits several: add --set collective="):
        found(made_up.OLD_GATHER)
    assert found(made_up.OLD_GATHER, collective="all_to_all").rows[0]["collective"] == "all_to_all"


LINE = (
    made_up.HEAD
    + "  8589934592    2147483648     float   {op}      {root}    40000  {alg}  {bus}  0    40000  {alg}  {bus}  0\n"
)


@pytest.mark.parametrize(
    ("op", "root", "alg", "bus", "collective", "ranks"),
    [
        ("sum", -1, 214.75, 375.81, "all_reduce", 8),  # 2 x 7/8
        ("sum", -1, 214.75, 187.91, "reduce_scatter", 8),  # 7/8
        ("sum", 0, 214.75, 214.75, "reduce", ""),
        ("none", 0, 214.75, 214.75, "broadcast", ""),
    ],
)
def test_what_nothing_names_follows_from_operation_root_and_bandwidths(found, op, root, alg, bus, collective, ranks):
    row = found(LINE.format(op=op, root=root, alg=alg, bus=bus)).rows[0]
    assert (row["collective"], row.get("n_gpus", "")) == (collective, str(ranks))
    with pytest.raises(ValueError, match="redop none with root -1 fits several"):
        found(LINE.format(op="none", root=-1, alg=214.75, bus=187.91))


def test_a_list_of_ranks_that_the_bandwidths_gainsay(found):
    ranks = "\n".join(made_up.RANKS.splitlines()[:2])
    got = found(ranks + "\n" + LINE.format(op="sum", root=-1, alg=214.75, bus=375.81))
    has(got.rows[0], n_gpus=2)
    assert "2 ranks are listed, and all_reduce's bandwidths tell 8: --set n_gpus=8?" in got.told


def test_ranks_that_are_not_listed():
    assert logs_collectives._ranks("all_reduce", 1.0) == "2" and logs_collectives._ranks("all_to_all", 0.96875) == "32"
    assert logs_collectives._ranks("all_gather", 0.99) == ""  # a hundred, or some more: three digits cannot tell


# ---- serving


def test_reports_of_serving_by_hand(found):
    got = found(made_up.SERVED)
    full, paced = got.rows
    # 204,900 / 200 = 1024.5 tokens in, 51,200 / 200 = 256 out
    has(
        full,
        model="meta-llama/Llama-3.1-8B-Instruct",
        phase="end_to_end",
        load="saturated",
        batch=64,
        input_len=1024,
        output_len=256,
    )
    has(full, tokens_per_s=2925.71, ms_per_output_token=19.5, ttft_s=0.35025, software="vLLM", tokens_kind="output")
    # 1,000 tokens a second times 9.5 ms: 9.5 sequences at work, to the even neighbour
    has(
        paced,
        model="meta-llama/Llama-3.1-8B-Instruct",
        phase="decode",
        load="",
        batch=10,
        input_len=1024,
        ms_per_output_token=9.5,
    )
    assert got.missing == ["chip"] and got.reasons == {"no chip is named": 2}
    assert got.unread == [(32, "a report without completed, total_output_tokens, output_throughput")]
    assert 'missing: chip (--set chip="H100 SXM5")' in "\n".join(read.report(got, "x"))


def test_other_reports_of_serving(found):
    got = found(made_up.SERVED_JSON, chip="H100 SXM5")
    (row,) = got.rows
    has(row, model="nvidia/Llama-3.3-70B-Instruct-FP8", input_len=1024, output_len=256, software="SGLang")
    assert "fp8 weights, by the model's name" in got.assumed
    (other,) = found(made_up.SERVED_JSON.replace("Llama-3.3-70B-Instruct", "Own-70B"), chip="H100 SXM5").rows
    has(other, model="Own-70B", weight_dtype="FP8")  # of a model that the catalog does not know
    has(row, phase="end_to_end", load="saturated", tokens_per_s=2184.5, software_date="2026-01")
    assert "batch" not in row  # 512 at once are more than a server surely takes in
    (row,) = found(made_up.SGLANG, model="Qwen2.5-7B").rows
    has(row, model="Qwen2.5-7B", batch=16, input_len=1024, output_len=128, software="SGLang", tokens_per_s=800)
    few = made_up.SGLANG.replace("Max request concurrency:                 16\n", "")
    assert found(few).rows[0]["batch"] == "64"  # all of them at once


# ---- llama.cpp


def test_a_table_of_llama_bench_by_hand(found):
    got = found(made_up.LLAMA_TABLE)
    prompt, made, behind, run = got.rows
    has(prompt, model="Llama-3-8B", chip="NVIDIA GeForce RTX 4090", weight_dtype="Q4_K_M", batch=1, phase="prefill")
    has(prompt, input_len=512, output_len=0, latency_s=0.05, tokens_per_s=10240, n_chips=1, software="llama.cpp")
    has(made, phase="decode", input_len=0, output_len=128, ms_per_output_token=8, tokens_per_s=125)
    has(behind, phase="decode", input_len=4096, output_len=128, ms_per_output_token=10)
    # 640 tokens in a second, 128 of them made
    has(run, phase="end_to_end", load="static", input_len=512, output_len=128, latency_s=1, tokens_per_s=128)
    assert got.left_out == ["a prompt behind tokens that are in the cache", "layers that are partly on the processor"]
    assert got.told == [
        "llama 8B Q4_K - Medium, 8.03 B parameters: taken for Llama-3-8B on NVIDIA GeForce RTX 4090 (6 tests)"
    ]


def test_other_forms_of_llama_bench(found):
    layers, rows = found(made_up.LLAMA_JSON).rows
    has(layers, model="Llama-3-70B", chip="NVIDIA A100-SXM4-80GB", n_chips=2, tp=1, pp=2, weight_dtype="Q8_0")
    has(layers, kv_dtype="q8_0", ms_per_output_token=50, output_len=128, software_date="2025-04")
    has(rows, tp=2, pp=1, phase="prefill", input_len=512, latency_s=0.5)
    assert [row["output_len"] for row in found(made_up.LLAMA_LINES).rows] == ["64", "128"]
    (row,) = found(made_up.LLAMA_CSV).rows
    has(row, chip="NVIDIA H100 PCIe", n_chips=1, pp=1, ms_per_output_token=50, model="Llama-3-70B")
    on_cpu = found(made_up.LLAMA_CSV.replace('"CUDA"', '"CPU"'))
    assert on_cpu.rows[0]["chip"] == "AMD EPYC 9654 96-Core Processor"


# ---- training


def test_megatron_by_hand(found):
    got = found(made_up.MEGATRON)
    (row,) = got.rows
    has(row, model="Llama-3-8B", n_chips=16, tp=4, pp=2, vpp=4, dp=2, cp=1, ep=1, micro_batch=1, global_batch_seqs=128)
    has(row, layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, head_dim=128, vocab=128256, seq_len=8192)
    has(row, recompute="full uniform 1", compute_dtype="fp8", sequence_parallel=1, zero=1, software_date="2026-01")
    # iterations 15 and 20: 8.0 and 8.2 s, 440 and 430 TFLOP/s; 40,960 MiB
    has(
        row,
        step_time_s=8.1,
        tflops_per_chip=435,
        flops_kind="model",
        mem_gib_per_chip=40,
        memory_counted_by="allocator",
    )
    assert "moe_experts" not in row and "moe_topk" not in row
    assert got.told[0] == (
        "the median of 2 of 3 iterations that are printed, those after the first 10, at the last global batch, of 128"
    )
    assert [number for number, _ in got.unread] == [38] and got.missing == ["chip"]


def test_a_short_run_and_one_without_arguments(found):
    text = made_up.MEGATRON[made_up.MEGATRON.index(" [2026-01-16 07:32:24]") :]
    first, _, second, *_ = text.splitlines()
    got = found(f"{first.replace('    64', '   128')}\n{second}\n")
    has(got.rows[0], step_time_s=9, global_batch_seqs=128)  # the first is left out
    assert got.told == [
        "the median of 1 of 2 iterations that are printed: none is after the first 10",
        "no block of arguments: the layout is not told",
    ]


COMMAND = """torchrun --nproc_per_node 8 pretrain_gpt.py --tensor-model-parallel-size 8 --pipeline-model-parallel-size=4 \\
  --micro-batch-size 1 --seq-length 2048 --num-layers 96 --hidden-size 12288 --num-attention-heads 96 \\
  --recompute-granularity full --world-size 64 --bf16 --sequence-parallel --fp8-format hybrid
 iteration 20/ 100 | elapsed time per iteration (ms): 5023.1 | TFLOP/s/GPU: 400.2 | global batch size: 512 |
"""


def test_a_command_line_of_megatron_states_the_layout(found):
    (row,) = found(COMMAND).rows
    has(
        row,
        model="GPT-3 175B",
        tp=8,
        pp=4,
        micro_batch=1,
        seq_len=2048,
        n_chips=64,
        recompute="full",
        step_time_s=5.0231,
    )
    has(
        row, ffn=49152, compute_dtype="fp8", sequence_parallel=1, global_batch_seqs=512, tflops_per_chip=400.2
    )  # 4 x 12,288
    has(found("  --tensor-model-parallel-size ...... 2\n" + COMMAND).rows[0], tp=2)  # what is printed wins
    has(found(COMMAND.replace("--bf16", "--swiglu")).rows[0], ffn=32768)  # 8/3 x 12,288 = 512 x 64


@pytest.mark.parametrize(
    ("arguments", "cells"),
    [
        ({"recompute_granularity": "None"}, {"recompute": "none"}),
        ({"recompute_granularity": "selective"}, {"recompute": "selective"}),
        ({"fp8": "None"}, {"compute_dtype": "bf16"}),
        ({"use_distributed_optimizer": "False"}, {"zero": 0}),
        ({"virtual_pipeline_model_parallel_size": "None"}, {"vpp": 4}),  # 32 layers / 2 stages / 4
        ({"num_experts": "8"}, {"moe_experts": 8, "moe_topk": 2, "ffn": 14336, "model": "Mixtral-8x7B"}),
        ({"ffn_hidden_size": "11008"}, {"ffn": 11008, "model": ""}),
    ],
)
def test_arguments_of_megatron(found, arguments, cells):
    lines = made_up.MEGATRON.splitlines()
    for name, value in arguments.items():
        lines = [line[:51] + value if line.split()[:1] == [name] else line for line in lines]
    has(found("\n".join(lines)).rows[0], **cells)


def test_torchtitan_by_hand(found):
    got = found(made_up.TITAN)
    (row,) = got.rows
    has(row, model="Llama-3-8B", chip="NVIDIA H100 80GB HBM3", n_chips=16, tp=2, pp=1, cp=1, dp=8, zero=3, zero_ranks=4)
    has(row, micro_batch=1, global_batch_seqs=8, seq_len=8192, recompute="products, selective", compute_dtype="fp8")
    has(row, tokens_per_s_per_chip=6010, tflops_per_chip=348, mfu=0.352, mem_gib_per_chip=47.5, software_date="2025-08")
    assert got.told == [
        "the median of 2 of 4 steps that are printed, those after the first 10",
        "llama3 8B of 8.03 B parameters is taken for Llama-3-8B",
    ]


def test_an_old_torchtitan(found):
    got = found(made_up.OLD_TITAN)
    (row,) = got.rows
    has(
        row,
        chip="NVIDIA A100-SXM4-80GB",
        n_chips=8,
        tp=2,
        dp=4,
        micro_batch=2,
        seq_len=4096,
        tokens_per_s_per_chip=1026,
    )
    assert "mfu" not in row and "mfu is left out: it is of 989 TFLOP/s, not the 312 of the A100 SXM 80GB" in got.told
    assert got.missing == ["model"] and got.reasons == {"no model is named": 1}
