"""The command line: one file of `command/` for each verb."""

import os
import sys


def main(argv=None):
    """Run one command. Whatever happens is told in one line, on stderr.

    Exit status: 0; 1 where the answer is no, or after a fault of ours; 2 after a mistake in what was asked;
    130 after Ctrl-C. A reader of a pipe that has enough, such as `head`, is no error.
    """
    asked = sys.argv[1:] if argv is None else list(argv)
    try:
        _open_all()
        try:
            return _run(asked)
        finally:
            sys.stdout.flush()
    except SystemExit as stop:  # of --help and --version
        return stop.code or 0
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        _ignore_another(argv)
        _say(asked[:1], "stopped", "\n" * sys.stderr.isatty())  # not behind a progress bar
        return 130
    except UnicodeEncodeError as problem:
        missing = problem.object[problem.start]
        _say(asked[:1], f"this output's encoding, {problem.encoding}, has no {missing!r}: set PYTHONIOENCODING=utf-8")
        return 2
    except (ValueError, OSError) as problem:
        _say(asked[:1], problem)
        return 2
    except Exception as fault:
        return _our_fault(asked, fault)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _settle(stream)


def _run(asked):
    args = _parser().parse_args(asked)
    return args.run(args) or 0


def verbs():
    """The commands, as `--help` lists them."""
    from bottlenecks.command import (
        calibrate,
        chips,
        figures,
        fits,
        measure,
        models,
        predict,
        progress,
        read,
        score,
        search,
        sources,
        systems,
    )

    return figures, measure, read, predict, calibrate, score, fits, search, chips, models, systems, sources, progress


def _parser():
    from bottlenecks import __version__
    from bottlenecks.command.reports import Parser

    parser = Parser(
        prog="bottlenecks",
        description="Where the time of an AI computation goes.",
        epilog="Example: bottlenecks figures 01-roofline --set rows=256 --format pdf",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in verbs():
        verb.add(commands)
    return parser


def _our_fault(asked, fault):
    import shlex

    if os.environ.get("BOTTLENECKS_TRACEBACK"):
        import traceback

        traceback.print_exception(fault)
    what = (
        "more memory is needed than there is" if isinstance(fault, MemoryError) else f"{type(fault).__name__}: {fault}"
    )
    _say(
        [shlex.join(asked)],
        f"{what}. This is a fault of bottlenecks, not of yours: please report this line, and what the same "
        "command prints with BOTTLENECKS_TRACEBACK=1",
    )
    return 1


def _say(of, problem, before=""):
    words = " ".join(str(problem).splitlines())
    try:
        print(f"{before}{' '.join(['bottlenecks', *of])}: {words}", file=sys.stderr)
    except OSError:  # nobody listens
        pass


def _open_all():
    """A closed standard stream (`>&-`) is the null device: else a file of the reader's would get its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, open(os.devnull, mode))


def _settle(stream):
    """Python empties its streams once more when it ends: what could not be said by now is dropped in silence."""
    try:
        stream.flush()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _ignore_another(argv):
    """A second Ctrl-C does not interrupt what is left to do: to end."""
    if argv is None:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
