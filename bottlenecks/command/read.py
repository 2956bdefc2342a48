"""`bottlenecks read`: a log of another tool as rows for `bottlenecks predict`."""

import sys
from pathlib import Path

DEFAULT = "standard output"


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "read",
        help="turn a log of nccl-tests, vLLM, llama-bench, Megatron-LM or torchtitan into rows to predict",
        description="Read a log of another tool and write its results as rows in the columns that `bottlenecks predict` "
        "takes. What kind of log it is, is seen from its content: output of nccl-tests and rccl-tests (also through "
        "mpirun), reports of `vllm bench serve` and SGLang's bench_serving (text or JSON), llama-bench (JSON, JSON lines, "
        "CSV or Markdown), training logs of Megatron-LM and torchtitan (the median of their steps after the first ten). "
        "What was understood is printed, what is still missing for a prediction, and what could not be read.",
        epilog="Example: bottlenecks read all_reduce.log --set n_nodes=2 --set port_gbit_per_s=400 -o rows.csv, then "
        "bottlenecks predict collectives rows.csv",
    )
    parser.add_argument("file", metavar="LOG", help="the log")
    parser.add_argument("-o", "--out", metavar="ROWS.csv", help=f"where to write (default: {DEFAULT})")
    parser.add_argument(
        "--kind", help="nccl-tests, serve, llama-bench, megatron or torchtitan, where content tells too little"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="state a column of every row, over what the log says; may repeat",
    )
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.yours import read

    given = dict(_setting(text) for text in args.set)
    if args.out and Path(args.out).exists() and Path(args.file).exists() and Path(args.out).samefile(args.file):
        raise ValueError(f"{args.out} is the log itself: name another file")
    found = read.read(args.file, args.kind, given)
    read.write(args.out or sys.stdout, found.rows)
    to = sys.stdout if args.out else sys.stderr
    print("\n".join(read.report(found, args.file)), file=to)
    if args.out:
        print(f"{args.out}: now `bottlenecks predict {found.table} {args.out}`")


def _setting(text):
    """One COLUMN=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f'--set takes COLUMN=VALUE, such as chip="H100 SXM5"; got {text!r}')
    return name.strip(), value.strip()
