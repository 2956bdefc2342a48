"""What several verbs print: counts, shares, sources; and how they read options and a model."""

import argparse
import math
import re
from pathlib import Path

from bottlenecks.facts.doors import nearest

MOST = 1_000_000_000  # of sequences, tokens: more is a slip of the finger
MOST_CHIPS = 1_000_000  # of a search; `fits` stops earlier


class Parser(argparse.ArgumentParser):
    """Mistakes are one line: what is wrong, what is allowed, where to read more."""

    def error(self, message):
        message = re.sub(r"^argument (\S+): must", r"\1 must", message)
        chosen = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        near = nearest(chosen[1], re.findall(r"[\w-]+", chosen[2])) if chosen else None
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"{message}{hint} (see {self.prog} --help)")


def whole(most):
    """How an option of whole numbers from 1 on is read: 8, 8_000 and 1e6."""

    def read(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if value.is_integer() and 1 <= value <= most:
            return int(value)
        near = (
            "" if math.isnan(value) else f"; the nearest is {min(max(round(value), 1) if value < most else most, most)}"
        )
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most:,}, got {text!r}{near}")

    return read


def progress():
    """A progress bar, where somebody sees it move."""
    import sys

    from bottlenecks.yours import roofline

    return roofline.bar() if sys.stderr.isatty() else None


def count(rows):
    """Rows as text."""
    return f"{rows} row{'s' * (rows != 1)}"


def percent(share, sign=""):
    """A share as text, '-' where there is none."""
    return f"{100 * share:{sign}.1f} %" if math.isfinite(share) else "-"


def shape_of(name):
    """A model of the catalog, or the one of a config.json."""
    from bottlenecks.facts import architectures, configs

    is_file = name.endswith(".json") or Path(name).is_file()
    return configs.from_config(name) if is_file else architectures.model(name)


def calibration_of(path, kind):
    """The calibration of a file, and a line on stderr that says that it is used."""
    import sys

    from bottlenecks import __version__
    from bottlenecks.yours import calibrated

    found = calibrated.read(path, kind)
    older = f"; it was made with bottlenecks {found.package}, this is {__version__}: calibrate again"
    print(f"{path}: {calibrated.words(found)}{older * (found.package != __version__)}", file=sys.stderr)
    return found


def tell_unread(file, unread):
    """Columns of a file that are nearly one of ours, as `corpus.unread` has them, in a line on stderr."""
    import sys

    meant = [f"{column} (did you mean {known}?)" for column, known in unread.items() if known]
    if meant:
        print(f"{file}: columns that were not read: {', '.join(meant)}", file=sys.stderr)


def print_sources(keys):
    """Title and address of each source, a line each."""
    from bottlenecks import data

    for key in keys:
        print(f"    {key}: {data.references()[key]['title']}. {data.references()[key].get('url', '')}")
