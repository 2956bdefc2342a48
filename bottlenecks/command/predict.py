"""`bottlenecks predict`: the rows of a reader's file, predicted."""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from bottlenecks.command.reports import calibration_of, count, percent, tell_unread

SHOWN = 4  # reasons in a line


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a CSV file: your own runs",
        description="Write the rows of IN.csv, in order and with all of their columns, and "
        "beside them: predicted, low and high (80 % of measurements lie between), measured, "
        "unit, ratio (predicted over measured), bound (the resource with the largest share), "
        "assumed (what the row leaves open) and reason (why there is no prediction). Columns "
        "are those of the package's kernels_measured.csv, inference_measured.csv, collectives_measured.csv or "
        "training_measured.csv; for a matrix product chip, kernel, dtype, m, n and k are "
        "enough, for a training run chip, n_chips, model and global_batch_seqs. Others may "
        "stand beside them. A model may be the path of a Hugging Face config.json, seen from IN.csv. Cells are cut by "
        "commas, semicolons or tabs. Numbers may be written 4,096, 1e6, 4k, 64M, 64 MiB, 85%%, 12.5 ms, and a column may "
        "be in another unit than ours (time_ms, message_MB). k, M and G are thousands, millions and billions, but of "
        "bytes (64M, as nccl-tests has it) and of the tokens of a sequence (4k) powers of 1,024; KB, MB and GB are "
        "thousands, KiB, MiB and GiB powers of 1,024. In files cut by semicolons or tabs 3,14 is 3.14. A measurement "
        "may be blank, OOM, N/A or -; a cell that cannot be read costs its row alone, which says so.",
        epilog="Example: bottlenecks predict kernels mine.csv -o predicted.csv",
    )
    parser.add_argument("kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training")
    parser.add_argument("file", metavar="IN.csv", help="the rows")
    parser.add_argument("-o", "--out", metavar="OUT.csv", help="where to write (default: standard output)")
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="of your cluster, as `bottlenecks calibrate` wrote it; rows predicted say so",
    )
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.measured import frame
    from bottlenecks.yours import calibrated

    by = frame.predict
    if args.calibration:
        if args.out and Path(args.out).exists() and Path(args.out).samefile(args.calibration):
            raise ValueError(f"{args.out} is the calibration itself: name another file")
        by = partial(calibrated.predict, calibration=calibration_of(args.calibration, args.kind))
    found = frame.predict_file(args.kind, args.file, args.out or sys.stdout, by=by)
    tell_unread(args.file, found["unread"])
    if args.out:
        print(f"{args.out}: {summary_line(found, frame.reasons(found))}")


def summary_line(found, reasons):
    """What became of a file's rows, in one line."""
    ratio = found["ratio"][np.isfinite(found["ratio"])]
    text = f"{count(found['ratio'].size)}, {np.isfinite(found['predicted']).sum()} predicted"
    if reasons:
        first = [f"{rows} x {reason}" for reason, rows in list(reasons.items())[:SHOWN]]
        rest = sum(list(reasons.values())[SHOWN:])
        first += [f"{rest} x other reasons"] * bool(rest)
        text += f", {sum(reasons.values())} not: {'; '.join(first)}"
    if ratio.size:
        text += f"; error {percent(np.abs(np.log(ratio)).mean())} over {ratio.size} measured"
    return text
