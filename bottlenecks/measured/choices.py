"""What practitioners chose, where a row does not say: small distributions, counted over the sources of the corpus.

`data/choices.csv` has a line for each value of each choice with its weight, every source counting once;
`measured.fits.choices` counts them.
"""

import re
from functools import cache

from bottlenecks import data
from bottlenecks.facts import chips
from bottlenecks.models.software import TODAY

UNSEEN = 0.5  # sources that stand behind a board of which none measured


@cache
def weights(choice):
    """Value -> weight of a choice: a number, or the name of a board.

    lag_years: years from a chip's launch to the software of a run on it. input_len, output_len: tokens of a prompt and
    an answer. full: sequences of a busy server over those that fit. board: sources that measured on it. "weights beside
    fp8": formats of weights on chips whose narrowest products are those.
    """
    read = str if choice == "board" or choice.startswith("weights") else float
    return {read(row["value"]): float(row["weight"]) for row in data.rows("choices") if row["choice"] == choice}


@cache
def boards(name):
    """((board, weight), ...): the chips that a name can mean which does not tell its board; () where it means none.

    >>> [board for board, _ in boards("H100")]
    ['H100 SXM5', 'H100 PCIe', 'H100 NVL']
    """
    plain = re.sub(r"\(.*?\)", "", name)
    found = chips.boards(name) if name.strip() else ()
    if not found and plain.strip():
        found = tuple(dict.fromkeys(board for part in plain.split("/") if part.strip() for board in chips.boards(part)))
    known = weights("board")
    each = {board: known.get(board, 0.0) + UNSEEN for board in found}
    return tuple((board, weight / sum(each.values())) for board, weight in each.items())


def narrowest(chip):
    """The narrowest format that a chip multiplies, of those in which weights are kept."""
    return next((format for format in ("fp4", "fp8", "int8") if format in chip.peaks), "bf16")


def dates(chip):
    """((date, weight), ...): when a run on a chip may have been, whose row has no date."""
    found = {}
    for lag, weight in weights("lag_years").items():
        year = str(min(int(chip.launch[:4]) + int(lag), int(TODAY))) if chip.launch else TODAY
        found[year] = found.get(year, 0.0) + weight
    return tuple((f"{year}-07", weight) for year, weight in found.items())
