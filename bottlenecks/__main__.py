"""The command line: one file of `command/` for each verb."""

import argparse
import os
import sys

from bottlenecks import __version__
from bottlenecks.command import chips, figures, fits, measure, models, predict, score, search, sources, systems

VERBS = (figures, measure, predict, score, fits, search, chips, models, systems, sources)  # as `--help` lists them


def main(argv=None):
    """Run one command; a mistake in the input is one line on stderr and exit status 2."""
    args = _parser().parse_args(argv)
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say
        return 0
    except (ValueError, OSError) as problem:
        print(f"bottlenecks {args.command}: {problem}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="bottlenecks",
        description="Where the time of an AI computation goes.",
        epilog="Example: bottlenecks figures 01-roofline --set rows=256 --format pdf",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
