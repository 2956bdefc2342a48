"""Logs in the forms that tools print, with numbers that nobody measured."""

import json

RANKS = "\n".join(
    f"#  Rank {rank:2d} Group  0 Pid   42{rank:02d} on  node-{'ab'[rank // 8]} device {rank % 8:2d} [0000:1b:00] NVIDIA H100 80GB HBM3"
    for rank in range(16)
)
HEAD = """#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
"""
ALL_REDUCE = f"""# nccl-tests version 2.17.0 nccl-headers=22800 nccl-library=22800
# Collective test starting: all_reduce_perf
# nThread 1 nGpus 1 minBytes 0 maxBytes 2097152 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1 validation: 1 graph: 0
#
# Using devices
{RANKS}
node-a:4200:4200 [0] NCCL INFO NET/Plugin: no plugin
{HEAD}           0             0     float     sum      -1     3.91    0.00    0.00      0     3.88    0.00    0.00      0
     1048576        262144     float     sum      -1    100.0   10.49   19.66      0    90.00   11.65   21.85      2
     2097152        524288     float     sum      -1    broken  line
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 20.7
# Collective test concluded: all_reduce_perf
# Collective test starting: all_gather_perf
# nThread 1 nGpus 2 minBytes 1048576 maxBytes 1048576 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1 validation: 1 graph: 0
#   Rank 0 Group 0 Pid 52 on one device 0 [0000:18:00] AMD Instinct MI300X
#   Rank 1 Group 0 Pid 52 on one device 1 [0000:67:00] AMD Instinct MI300X
#       size         count      type   redop    root     time   algbw   busbw #wrong
     1048576        131072     float    none      -1    50.00   20.97   10.49    N/A
"""
OLD_GATHER = """# nThread 1 nGpus 2 minBytes 8 maxBytes 134217728 step: 2(factor) warmup iters: 5 iters: 20 validation: 1
#
# Using devices
#   Rank  0 Pid  12979 on    tower device  0 [0x45] Tesla T4
#   Rank  1 Pid  12979 on    tower device  1 [0xc4] Tesla T4
#
#                                             out-of-place                       in-place
#       size         count    type     time   algbw   busbw  error     time   algbw   busbw  error
#        (B)    (elements)             (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
     4194304        524288   float    400.0   10.49    5.24  0e+00    380.0   11.04    5.52  0e+00
"""
SERVED = """Namespace(backend='vllm', base_url=None, model='meta-llama/Llama-3.1-8B-Instruct', num_prompts=200, request_rate=inf)
Starting initial single prompt test run...
Traffic request rate: inf
Burstiness factor: 1.0 (Poisson process)
Maximum request concurrency: 64
============ Serving Benchmark Result ============
Successful requests:                     200
Failed requests:                         0
Maximum request concurrency:             64
Benchmark duration (s):                  17.50
Total input tokens:                      204,900
Total generated tokens:                  51200
Request throughput (req/s):              11.43
Output token throughput (tok/s):         2925.71
Total token throughput (tok/s):          14628.57
---------------Time to First Token----------------
Mean TTFT (ms):                          350.25
Median TTFT (ms):                        320.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          19.50
==================================================
Traffic request rate: 4.0
============ Serving Benchmark Result ============
Successful requests:                     100
Request rate configured (RPS):           4.00
Total input tokens:                      102400
Total generated tokens:                  25600
Output token throughput (tok/s):         1000.00
Mean TTFT (ms):                          50.25
Mean TPOT (ms):                          9.50
==================================================
============ Serving Benchmark Result ============
Successful requests:                     0
Total input tokens:                      0
==================================================
"""
SERVED_JSON = json.dumps(
    {
        "date": "20260112-101500",
        "backend": "sglang",
        "model_id": "nvidia/Llama-3.3-70B-Instruct-FP8",
        "num_prompts": 512,
        "request_rate": "inf",
        "max_concurrency": None,
        "completed": 512,
        "total_input_tokens": 524288,
        "total_output_tokens": 131072,
        "output_throughput": 2184.5,
        "mean_ttft_ms": 900.0,
        "mean_tpot_ms": 55.0,
        "itls": [[0.01, 0.02]],
    },
    indent=1,
)
SGLANG = """============ Serving Benchmark Result ============
Backend:                                 sglang
Traffic request rate:                    inf
Max request concurrency:                 16
Successful requests:                     64
Total input tokens:                      65536
Total generated tokens:                  8192
Output token throughput (tok/s):         800.00
Mean TPOT (ms):                          18.00
==================================================
"""
LLAMA_TABLE = """ggml_cuda_init: found 1 CUDA devices:
  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes
| model                          |       size |     params | backend    | ngl | fa |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | --: | -: | --------------: | -------------------: |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  99 |  1 |           pp512 |     10240.00 ± 40.10 |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  99 |  1 |           tg128 |        125.00 ± 0.30 |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  99 |  1 |   pp512 @ d4096 |      9000.00 ± 40.10 |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  99 |  1 |   tg128 @ d4096 |        100.00 ± 0.30 |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  99 |  1 |     pp512+tg128 |        640.00 ± 0.30 |
| llama 8B Q4_K - Medium         |   4.58 GiB |     8.03 B | CUDA       |  12 |  1 |           tg128 |         20.00 ± 0.30 |
|                                |            |            |            |     |    |                 |                    0 |

build: 1a2b3c4d5 (6000)
"""


def llama_test(**fields):
    """One test of llama-bench as its JSON has it."""
    return {
        "build_commit": "1a2b3c4d5",
        "cpu_info": "AMD EPYC 9654 96-Core Processor",
        "gpu_info": "NVIDIA A100-SXM4-80GB, NVIDIA A100-SXM4-80GB",
        "backends": "CUDA",
        "model_filename": "models/Meta-Llama-3-70B-Instruct-Q8_0-00001-of-00002.gguf",
        "model_type": "llama 70B Q8_0",
        "model_size": 74975000000,
        "model_n_params": 70553706496,
        "n_batch": 2048,
        "n_ubatch": 512,
        "type_k": "q8_0",
        "type_v": "f16",
        "n_gpu_layers": 99,
        "split_mode": "layer",
        "flash_attn": True,
        "n_prompt": 0,
        "n_gen": 128,
        "n_depth": 0,
        "test_time": "2025-04-24T11:57:09Z",
        "avg_ns": 6400000000,
        "avg_ts": 20.0,
        "samples_ts": [20.0],
    } | fields


LLAMA_JSON = json.dumps([llama_test(), llama_test(n_prompt=512, n_gen=0, avg_ts=1024.0, split_mode="row")], indent=2)
LLAMA_LINES = "llama-bench: benchmark 1/2\n" + "\n".join(json.dumps(llama_test(n_gen=n)) for n in (64, 128))
LLAMA_CSV = "\n".join(
    [
        ",".join(llama_test(samples_ts=0)),
        ",".join(f'"{value}"' for value in llama_test(samples_ts=0, gpu_info="NVIDIA H100 PCIe").values()),
    ]
)
MEGATRON = """using world size: 16, data-parallel size: 2, context-parallel size: 1, tensor-model-parallel size: 4, pipeline-model-parallel size: 2
------------------------ arguments ------------------------
  bf16 ............................................ True
  context_parallel_size ........................... 1
  data_parallel_size .............................. 2
  expert_model_parallel_size ...................... 1
  ffn_hidden_size ................................. 14336
  fp8 ............................................. hybrid
  global_batch_size ............................... 128
  group_query_attention ........................... True
  hidden_size ..................................... 4096
  kv_channels ..................................... 128
  micro_batch_size ................................ 1
  moe_router_topk ................................. 2
  num_attention_heads ............................. 32
  num_experts ..................................... None
  num_layers ...................................... 32
  num_layers_per_virtual_pipeline_stage ........... 4
  num_query_groups ................................ 8
  padded_vocab_size ............................... 128256
  pipeline_model_parallel_size .................... 2
  recompute_granularity ........................... full
  recompute_method ................................ uniform
  recompute_num_layers ............................ 1
  seq_length ...................................... 8192
  sequence_parallel ............................... True
  swiglu .......................................... True
  tensor_model_parallel_size ...................... 4
  use_distributed_optimizer ....................... True
  virtual_pipeline_model_parallel_size ............ 4
  world_size ...................................... 16
-------------------- end of arguments ---------------------
 [2026-01-16 07:32:24] iteration        5/     100 | consumed samples:          320 | elapsed time per iteration (ms): 5000.0 | throughput per GPU (TFLOP/s/GPU): 300.0 | learning rate: 4.134000E-07 | global batch size:    64 | lm loss: 1.344240E+01 |
[Rank 0] (after 5 iterations) memory (MB) | allocated: 20000.0 | max allocated: 40960.0 | reserved: 45000.0 | max reserved: 45000.0
 [2026-01-16 07:33:24] iteration       10/     100 | consumed samples:         1280 | elapsed time per iteration (ms): 9000.0 | throughput per GPU (TFLOP/s/GPU): 390.0 | learning rate: 4.134000E-07 | global batch size:   128 | lm loss: 1.344240E+01 |
 [2026-01-16 07:34:24] iteration       15/     100 | consumed samples:         1920 | elapsed time per iteration (ms): 8000.0/7990.0 | throughput per GPU (TFLOP/s/GPU): 440.0 | learning rate: 4.134000E-07 | global batch size:   128 | lm loss: 1.344240E+01 |
 [2026-01-16 07:35:24] iteration       20/     100 | consumed samples:         2560 | elapsed time per iteration (ms): 8200.0 | throughput per GPU (TFLOP/s/GPU): 430.0 | learning rate: 4.134000E-07 | global batch size:   128 | lm loss: 1.344240E+01 |
 [2026-01-16 07:36:24] iteration       25/     100 | consumed samples:         3200 | learning rate: 4.1
"""
TITAN = """[rank0]:[titan] 2025-08-22 07:52:50,000 - root - INFO - Building device mesh with parallelism: pp=1, dp_replicate=2, dp_shard=4, cp=1, tp=2, ep=1, etp=1
[rank0]:[titan] 2025-08-22 07:52:51,000 - root - INFO - CUDA capacity: NVIDIA H100 80GB HBM3 with 79.18GiB memory
[rank0]:[titan] 2025-08-22 07:52:52,000 - root - INFO - \x1b[34mModel llama3 8B \x1b[31msize: 8,030,261,248 total parameters\x1b[39m
[rank0]:[titan] 2025-08-22 07:52:52,500 - root - INFO - Swapped to Float8Linear layers with enable_fsdp_float8_all_gather=True
[rank0]:[titan] 2025-08-22 07:52:53,000 - root - INFO - Applied selective activation checkpointing to the model
[rank0]:[titan] 2025-08-22 07:52:53,100 - root - INFO - Applied HSDP to the model
[rank0]:[titan] 2025-08-22 07:52:57,467 - root - INFO - Peak FLOPS used for computing MFU: 9.890e+14
[rank0]:[titan] 2025-08-22 07:52:57,498 - root - INFO - Trainer is initialized with local batch size 1, global batch size 8, gradient accumulation steps 1, sequence length 8192, total steps 100 (warmup 200)
[rank0]:[titan] 2025-08-22 07:53:02,000 - root - INFO - \x1b[31mstep:  1  \x1b[32mloss: 12.2400  \x1b[38;2;180;60;0mgrad_norm: 4.1  \x1b[33mmemory: 40.10GiB(50.65%)  \x1b[34mtps: 900  \x1b[36mtflops: 50.00  \x1b[35mmfu: 5.06%\x1b[39m
[rank0]:[titan] 2025-08-22 07:53:12,000 - root - INFO - \x1b[31mstep: 10  \x1b[32mloss: 10.2400  \x1b[33mmemory: 47.00GiB(59.36%)  \x1b[34mtps: 5,900  \x1b[36mtflops: 340.00  \x1b[35mmfu: 34.38%\x1b[39m
[rank0]:[titan] 2025-08-22 07:53:22,000 - root - INFO - \x1b[31mstep: 20  \x1b[32mloss:  9.2400  \x1b[33mmemory: 47.00GiB(59.36%)  \x1b[34mtps: 6,000  \x1b[36mtflops: 347.00  \x1b[35mmfu: 35.10%\x1b[39m
[rank0]:[titan] 2025-08-22 07:53:32,000 - root - INFO - step: 30  loss:  8.2400  memory: 47.50GiB(59.99%)  tps: 6,020  tflops: 349.00  mfu: 35.30%
"""
OLD_TITAN = """[rank0]:2025-02-13 11:33:12,140 - root - INFO - GPU capacity: NVIDIA A100-SXM4-80GB (0) with 79.33GiB memory
[rank0]:2025-02-13 11:33:12,140 - root - INFO - Peak FLOPS used for computing MFU: 9.890e+14
[rank0]:2025-02-13 11:33:12,140 - root - INFO - Building 2-D device mesh with ['dp_shard', 'tp'], [4, 2]
[rank0]:2025-02-13 11:33:29,482 - root - INFO - Training starts at step 1, with local batch size 2, global batch size 8, sequence length 4096, total steps 100 (warmup 200)
[rank0]:2025-02-13 11:33:35,026 - root - INFO - step:  1  loss: 12.2417  memory: 42.08GiB(30.10%)  wps: 478  mfu: 8.65%
[rank0]:2025-02-13 11:33:45,521 - root - INFO - step:  2  loss:  9.8821  mmemory: 49.59GiB(35.46%)  wps: 1,026  mfu: 41.15%
"""
LOGS = {  # name -> (text, kind)
    "all_reduce.txt": (ALL_REDUCE, "nccl-tests"),
    "old_allgather.txt": (OLD_GATHER, "nccl-tests"),
    "served.txt": (SERVED, "serve"),
    "sglang.txt": (SGLANG, "serve"),
    "served.json": (SERVED_JSON, "serve"),
    "bench.md": (LLAMA_TABLE, "llama-bench"),
    "bench.json": (LLAMA_JSON, "llama-bench"),
    "bench.jsonl": (LLAMA_LINES, "llama-bench"),
    "bench.csv": (LLAMA_CSV, "llama-bench"),
    "megatron.log": (MEGATRON, "megatron"),
    "titan.log": (TITAN, "torchtitan"),
    "old_titan.log": (OLD_TITAN, "torchtitan"),
}
