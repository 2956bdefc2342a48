"""What readers write in tables of their own, in our words: first lines, phases, kernels, and how many chips.

`data/written.csv` has a line for each: a cell of a column, or without a column a header; of one table, or without one of all
that have what is meant. Case and punctuation count for nothing. Behind a word that ends in * more may stand, and is kept.
"""

import re
from functools import cache

from bottlenecks import data

COUNTED = re.compile(  # 8xH100, 2 x RTX 4090, (8x) H100; H100 x8, H100x8, H100 (8x)
    r"\(?(?P<before>\d{1,6}) ?[x×*]\)? ?(?P<name>\D.*)"
    r"|(?P<named>.+?)(?:(?<=[\dB])| )\(?[x×*] ?(?P<behind>\d{1,6})\)?"
    r"|(?P<of>.+?) \(?(?P<times>\d{1,6}) ?[x×*]\)?",
    re.I,
)


def headers(table, columns):
    """What a header may be called, folded -> the column of a table that it means."""
    return {written: meant for written, meant in _known(table, "").items() if meant in columns}


def cell(table, column, text):
    """A cell in our words; as it is where it has none of these.

    >>> cell("inference", "phase", "E2E"), cell("kernels", "kernel", "GEMM_fp8"), cell("kernels", "kernel", "conv2d")
    ('end_to_end', 'matmul fp8', 'conv2d')
    """
    known = _known(table, column)
    plain = fold(text) if known else ""
    if plain in known:
        return known[plain]
    begun = [w[:-2] for w in known if w.endswith(" *") and re.match(rf"{w[:-2]}(?![a-z])", plain)]
    if not begun:
        return text
    longest = max(begun, key=len)
    return f"{known[f'{longest} *']} {plain[len(longest) :].strip()}".strip()


def counted(text):
    """(a chip's name, how many of them, or None where that is not said).

    >>> counted("8x H100 SXM"), counted("RTX 4090 x2"), counted("MI300X"), counted("GTX 980")
    (('H100 SXM', 8), ('RTX 4090', 2), ('MI300X', None), ('GTX 980', None))
    """
    found = COUNTED.fullmatch(text.strip())
    if not found:
        return text, None
    name, count = (
        next(filter(None, found.group(*each))) for each in (("name", "named", "of"), ("before", "behind", "times"))
    )
    return name.strip(), int(count)


def fold(text):
    """Words without case and punctuation; what joins two of them (fwd+bwd) stays.

    >>> fold("#GPUs"), fold("TFLOPS/GPU"), fold("flash_attn (fwd+bwd)")
    ('gpus', 'tflops gpu', 'flash attn fwd+bwd')
    """
    return " ".join(re.findall(r"[a-z0-9.+%]+", text.casefold()))


@cache
def _known(table, column):
    """Written -> meant in a column of a table; what is said of the table itself goes first."""
    rows = [row for row in data.rows("written") if row["column"] == column]
    return {r["written"]: r["meant"] for of in ("", table) for r in rows if r["table"] == of}
