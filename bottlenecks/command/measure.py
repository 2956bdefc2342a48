"""`bottlenecks measure`: this machine's roofline, or its kernels as rows of the corpus."""

import json

from bottlenecks.command.reports import progress
from bottlenecks.facts.doors import between


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "measure",
        help="measure this machine's roofline (under a minute)",
        description="Measure matrix products, bandwidth and latency of this machine, save the "
        "result in your data folder and print a summary. Chapter 01 draws it. With --corpus, "
        "measure kernels instead (matrix products and attention by shape and format, "
        "elementwise operations, copies, launches) and write them to a new CSV file, in "
        "the columns of the package's kernels_measured.csv; Ctrl-C keeps what is found.",
    )
    parser.add_argument(
        "--seconds", type=float, help="time to spend, 5 to 55 (default: 45); with --corpus 5 to 3600 (default: 60)"
    )
    parser.add_argument("--corpus", metavar="OUT.csv", help="write kernels as rows of the corpus to this new file")
    parser.add_argument("--folder", help="where to save (default: your data folder, or BOTTLENECKS_DATA)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON as well")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.yours import roofline

    if args.corpus is not None:
        return _measure_corpus(args)
    seconds = between("--seconds", 45.0 if args.seconds is None else args.seconds, 5, 55)
    result = roofline.measure(budget_s=seconds, progress=progress())
    print(roofline.summary(result))
    if args.json:
        print(json.dumps(result, indent=1))
    try:
        print(f"saved in {roofline.save(result, args.folder)}")
    except OSError:
        if not args.json:
            print(json.dumps(result))  # nothing measured is lost
        raise


def _measure_corpus(args):
    """Exit status 130, as a shell's, after Ctrl-C; 1 when nothing could be measured."""
    from bottlenecks.yours import sweeps

    if args.json or args.folder:
        raise ValueError("--corpus writes to its own file: leave out --json and --folder")
    seconds = between("--seconds", 60.0 if args.seconds is None else args.seconds, 5, 3600)
    done = sweeps.sweep(args.corpus, budget_s=seconds, progress=progress())
    for reason, times in done["skipped"].items():
        print(f"skipped {reason}" + (f" ({times} rows)" if times > 1 else ""))
    if done["busy"]:
        print(f"{done['busy']} rows were slowed by other programs (their `doubt` says so): run it again")
    print(f"{done['rows']} rows in {done['path']}" if done["rows"] else "nothing was measured")
    return 130 if done["stopped"] else 0 if done["rows"] else 1
