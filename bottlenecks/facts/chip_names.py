"""Names of chips by their parts: maker, board, form, memory and watts must all agree with one row of the catalog."""

import difflib
import re
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from bottlenecks import data
from bottlenecks.facts.doors import nearest

MAKERS = {  # word of a name -> vendor of the catalog
    **{v.casefold(): v for v in ("NVIDIA", "AMD", "Intel", "Google", "AWS", "Apple", "Huawei", "Tenstorrent", "Groq")},
    "habana": "Intel",
    "amazon": "AWS",
    "instinct": "AMD",
    "geforce": "NVIDIA",
    "tesla": "NVIDIA",
}
BRANDS = ("rtx", "gtx", "tpu")  # which may be left out, or stand before the number without a space
SILENT = {  # words that tell no board from another
    *("gpu", "gpus", "accelerator", "accelerators", "ai", "card", "board", "graphics", "per", "virtualized", "cloud"),
    *("server", "workstation", "edition", "nvlink", "cts", "dlc"),
}
FORMS = re.compile(r"sxm\d?|pcie|oam|nvl|hgx|dgx")
WITH_SXM = ("hgx", "dgx")  # machines whose boards are SXM
OPEN_FORMS = {"NVIDIA": {"pcie"}, "AMD": {"oam"}, "Intel": {"oam", "pcie"}}  # of a board that is sold in one form
SOLD_AS = 0.04  # a printed memory may be off what the catalog has: 192 GB of 186
OVER = 1.05  # of the watts that a board is made for
ALIKE = 0.75  # of two spellings, for a suggestion


class Parts(NamedTuple):
    """What a name states; '' or empty where it does not."""

    core: str  # what tells one kind of chip from another: h100, 4090, v5e
    vendors: frozenset
    forms: frozenset
    kind: str  # of memory
    gb: tuple
    watts: tuple
    cores: tuple


def parts(name):
    """The parts of a name.

    >>> found = parts("NVIDIA H100-SXM-80GB (700W)")
    >>> found.core, sorted(found.forms), found.gb, found.watts
    ('h100', ['sxm'], (80.0,), (700.0,))
    """
    text = re.sub(r"\([^)]*\bcap\b[^)]*\)|\((?:r|tm)\)|\bsm ?\d{2,3}\b", " ", name.casefold())
    stated = {}
    for what, pattern in (
        ("gb", r"(?<![a-z\d.])(\d+(?:\.\d+)?) ?g(?:i?b)?\b"),
        ("watts", r"(?<![a-z\d.])(\d+) ?w\b"),
        ("cores", r"(?<![a-z\d.])(\d+)[- ]core\b"),
    ):
        stated[what] = tuple(float(found) for found in re.findall(pattern, text))
        text = re.sub(pattern, " ", text)
    words = re.findall(r"[a-z0-9]+", text)
    words = [re.sub(rf"^({'|'.join(BRANDS)})(?=\w)", "", word) for word in words]
    kind = next((word for word in words if re.fullmatch(r"(hbm|gddr|lpddr)\d[a-z]?", word)), "")
    forms = {word for word in words if FORMS.fullmatch(word)}
    rest = [
        word
        for word in words
        if word not in SILENT | forms | {kind, *MAKERS, *BRANDS} and not re.fullmatch(r"nvl\d+", word)
    ]
    return Parts(
        core="".join(rest),
        vendors=frozenset(MAKERS[word] for word in words if word in MAKERS),
        forms=frozenset("sxm" if form in WITH_SXM else form for form in forms),
        kind=kind,
        **stated,
    )


@cache
def _catalog():
    """(row, parts of its own name, cores of its names, forms of its names) of each chip."""
    found = []
    for row in data.rows("chips"):
        every = [parts(spelled) for spelled in (row["name"], *row["aliases"].split(";")) if spelled]
        forms = set().union(*(each.forms for each in every))
        found.append(
            (row, every[0], {each.core for each in every}, forms | {form.rstrip("0123456789") for form in forms})
        )
    return tuple(found)


def boards_of(name):
    """Names of the catalog's chips with which every part that a name states agrees; one's own name before an alias."""
    stated = parts(name)
    if not stated.core:
        return []
    rows = [each for each in _catalog() if stated.core in each[2] and _agrees(stated, each[0], each[3])]
    exact = [each for each in rows if stated.gb and {float(each[0]["memory_sold"])} >= set(stated.gb)]
    rows = exact or rows
    named = [each for each in rows if each[1].core == stated.core]
    return [each[0]["name"] for each in named or rows]


def begun_by(name):
    """Names of the chips that a name begins, as MI300 begins MI300X and MI300A; M3 is a chip beside M3 Max."""
    stated = parts(name)

    def begins(core):
        joint = core[len(stated.core) - 1 : len(stated.core) + 1]  # 7900 XT and 7900 XTX are two chips
        return core.startswith(stated.core) and not joint.isalpha() and not _goes_on(core, stated.core)

    return [
        row["name"]
        for row, _, cores, forms in _catalog()
        if stated.core and any(map(begins, cores)) and _agrees(stated, row, forms)
    ]


def agrees_with(name, chip_name):
    """Does the maker that a name states, if any, make that chip?"""
    row = next(each[0] for each in _catalog() if each[0]["name"] == chip_name)
    return parts(name).vendors <= {row["vendor"]}


def _agrees(stated, row, forms):
    """Do all parts that a name states agree with a row?"""
    open_forms = OPEN_FORMS.get(row["vendor"], set()) if not forms else set()
    watts, count = float(row["tdp_watts"] or "inf"), row["core_count"]
    return (
        stated.vendors <= {row["vendor"]}
        and stated.forms <= forms | open_forms
        and row["memory_kind"].casefold().startswith(stated.kind)
        and all(_is_memory(gb, row) for gb in stated.gb)
        and all(each <= OVER * watts for each in stated.watts)
        and all(count and each == float(count) for each in stated.cores)
    )


def _is_memory(gb, row):
    """Is a number of GB the memory of a chip: as sold, or as the device reports it in either unit?

    Memory that a processor shares is sold in many sizes, and tells no chip from another.
    """
    if row["kind"] == "APU":
        return True
    reported = float(row["memory_reported_bytes"] or "nan")
    known = (float(row["memory_sold"]), reported / 1e9, reported / 2**30)
    return any(abs(gb / each - 1) <= SOLD_AS for each in known)


# ---- clouds


def rented(name):
    """The chip of an instance of a cloud, '' for none.

    >>> rented("p5.48xlarge"), rented("a2-ultragpu-8g"), rented("Standard_ND96isr_H100_v5")
    ('H100 SXM5', 'A100 SXM 80GB', 'H100 SXM5')
    """
    text = re.sub(r"[\s_]+", "-", name.strip().casefold()).removeprefix("standard-").removeprefix("ml.")
    family = text.partition(".")[0]  # of AWS; p5 is p5.48xlarge, and no p5e
    return next((row["chip"] for row in data.rows("cloud_instances") if fnmatchcase(family, row["instance"])), "")


# ---- suggestions


def suggested(name):
    """The chip that a name most likely means: of the same core, one with its number, or that which it goes on from; else None.

    >>> suggested("H100 SXM6"), suggested("MI300Y"), suggested("H100 SMX5"), suggested("RTX 3060")
    ('H100 SXM5', 'MI300X', 'H100 SXM5', None)
    """
    name = re.sub(r"(?<=\d)o+", lambda found: "0" * len(found[0]), name.casefold())  # H1O0
    if found := boards_of(name):
        return found[0]
    core = parts(name).core
    if found := _of_core(name, core):
        return found
    best, found = ALIKE, None
    for row, _, cores, _ in _catalog():
        for other in cores:
            alike = difflib.SequenceMatcher(None, core, other).ratio()
            if alike > best and _same_number(core, other):
                best, found = alike, row["name"]
    cores = [other for _, _, every, _ in _catalog() for other in every]
    before = max((other for other in cores if _goes_on(core, other)), key=len, default="")
    return found or _of_core(name, before or next((other for other in cores if _goes_on(other, core)), ""))


def _of_core(name, core):
    """Of the chips of a core that which is spelled most like a name, None where there is none."""
    same = [row["name"] for row, _, cores, _ in _catalog() if core in cores]
    return (nearest(name, same, cutoff=0) or same[0]) if same else None


def _goes_on(core, other):
    """Does a core go on from another, which ends in a digit, with a word: a form with a slip?"""
    behind = core[len(other) :]  # but K80 (one GPU) is a K80
    return core.startswith(other) and other[-1:].isdigit() and re.match("(?!one)[a-z]{2}", behind) is not None


def _same_number(one, other):
    """Have two cores the same digits, or does one go on where the other ends (H1000, H100)?"""
    one, other = ("".join(re.findall(r"\d", core)) for core in (one, other))
    return bool(one and other) and (one.startswith(other) or other.startswith(one))
