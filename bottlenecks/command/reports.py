"""What several verbs print: counts, shares, sources; and how they read a model."""

import math
from pathlib import Path


def count(rows):
    """Rows as text."""
    return f"{rows} row{'s' * (rows != 1)}"


def percent(share, sign=""):
    """A share as text, '-' where there is none."""
    return f"{100 * share:{sign}.1f} %" if math.isfinite(share) else "-"


def shape_of(name):
    """A model of the catalog, or the one of a config.json."""
    from bottlenecks.facts import architectures

    is_file = name.endswith(".json") or Path(name).is_file()
    return architectures.from_config(name) if is_file else architectures.model(name)


def print_sources(keys):
    """Title and address of each source, a line each."""
    from bottlenecks import data

    for key in keys:
        print(f"    {key}: {data.references()[key]['title']}. {data.references()[key].get('url', '')}")
