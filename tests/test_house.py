"""The house: wings import only from wings above them in the list, files stay small, importing costs little."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bottlenecks import data

PACKAGE = Path(__file__).parents[1] / "bottlenecks"
WINGS = ("data", "facts", "laws", "models", "measured", "yours", "studies", "exhibits", "lessons", "command")
HOME = {"matplotlib": "exhibits", "PIL": "lessons", "ipywidgets": "lessons", "IPython": "lessons"}  # lowest wing
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 600, 60


def name_of(path):
    """models/ops.py as models.ops; a wing's own file as the wing."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def wing(name):
    """Place of a module's wing; the package itself (its version) is below all, the entry point above."""
    first = name.partition(".")[0]
    return -1 if first in ("", "__version__") else len(WINGS) if first == "__main__" else WINGS.index(first)


KNOWN = {name_of(path) for path in FILES}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path):
    """Modules that a file imports, ours without the package's name: `from bottlenecks.laws import tiling` is laws.tiling."""
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("bottlenecks.")
                module = node.module.removeprefix("bottlenecks").removeprefix(".")
                found.append(inner if inner in KNOWN or not node.module.startswith("bottlenecks") else module)
    return found


def ours(path):
    """The modules of this package that a file imports."""
    return {name for name in imports(path) if name in KNOWN}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_wing_imports_only_from_itself_and_wings_below(path):
    mine = name_of(path)
    above = [name for name in ours(path) if wing(name) > wing(mine)]
    assert not above, f"{mine} imports {above}"


def test_no_two_files_import_each_other():
    """By Kahn: taking away files that import nothing left, again and again, nothing is left."""
    left = {name_of(path): ours(path) for path in FILES}
    while leaves := [name for name, needed in left.items() if not needed & left.keys() - {name}]:
        for name in leaves:
            del left[name]
    assert not left, f"a circle among {sorted(left)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_stay_upstairs(path):
    for name in imports(path):
        home = HOME.get(name.partition(".")[0])
        assert home is None or wing(name_of(path)) >= wing(home), f"{name_of(path)} imports {name}"
        assert home != "lessons" or name_of(path) == "lessons.widgets", f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES, f"{path.name} has {text.count(chr(10))} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            body = node.end_lineno - max(doc, node.body[0].lineno - 1)
            assert body <= MOST_LINES_OF_A_FUNCTION, f"{path.name}: {node.name} has {body} lines"


def test_the_docstring_of_the_package_names_every_wing():
    import bottlenecks

    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(WINGS)
    assert [name for name in re.findall(r"^    (\w+)/", bottlenecks.__doc__, re.M)] == list(WINGS)


@pytest.mark.parametrize(
    "module", ["", ".laws.roofline", ".facts.chips", ".models.training", ".yours.roofline", ".__main__"]
)
def test_an_import_loads_numpy_and_nothing_heavy(module):
    heavy = ("matplotlib", "ipywidgets", "IPython", "pandas", "platformdirs")
    code = f"import bottlenecks{module}, sys; print(*(n for n in {heavy} if n in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == []


def test_labels_of_equations_are_unique_and_text_refers_to_existing_ones():
    sources = [p.read_text(encoding="utf-8") for p in FILES]
    homes = [label for s in sources for label in re.findall(r"\$\$\s*\((eq:[\w-]+)\)", s)]
    assert len(homes) == len(set(homes)), "an equation has two homes"
    notebooks = [p.read_text(encoding="utf-8") for p in (PACKAGE.parent / "notebooks").glob("*.ipynb")]
    named = {label.rstrip("-") for s in sources + notebooks for label in re.findall(r"\b[Ee]q:([\w-]+)", s)}
    assert {f"eq:{label}" for label in named} <= set(homes)


def test_the_word_flops_is_not_a_name():
    for path in FILES:
        for node in ast.walk(parsed(path)):
            name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            assert not (isinstance(name, str) and "flops" in name.lower().split("_")), f"{path}: {name}"


PROSE = ("notes", "network", "framework", "zero_fsdp", "derived")  # columns of the corpus that are written for people
READERS = {
    "network": "read_ports",
    "framework": "find_stack",
    "zero_fsdp": "read_stage",
}  # the one place that knows its words
KEYS = {row["source_id"] for row in data.rows("corpus_sources")}
OTHERWISE = {  # a table of the corpus, and a configuration's model type: nobody asks whose a row is
    ("facts.corpus", "nanogpt_speedrun"),
    ("studies.speedrun", "nanogpt_speedrun"),
    ("facts.configs", "deepseek_v3"),
}
RULES = [p for p in FILES if wing(name_of(p)) in range(wing("facts"), wing("exhibits"))]


def handed_on(tree):
    """The values that become a record's or a dictionary's `notes` as they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (id(k.value) for k in node.keywords if k.arg == "notes")
        elif isinstance(node, ast.Dict):
            named = zip(node.keys, node.values, strict=True)
            yield from (id(value) for key, value in named if isinstance(key, ast.Constant) and key.value == "notes")


def handed_to_readers(tree):
    """The values that are handed, as they are, to the function that reads their column."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            first = node.args[0]
            text = first.args[0] if isinstance(first, ast.Call) and ast.unparse(first.func) == "str" else first
            if isinstance(text, ast.Subscript) and isinstance(text.slice, ast.Constant):
                if READERS.get(text.slice.value) == ast.unparse(node.func):
                    yield id(text)


@pytest.mark.parametrize("path", RULES, ids=name_of)
def test_no_rule_is_read_out_of_prose(path):
    """A fact that a prediction needs is a column, or is found by the column's one reader. Catalogs hand their notes on, unread."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unread = {*handed_on(tree), *handed_to_readers(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in PROSE:
            assert id(node) in unread, f"{path.name}:{node.lineno} reads {node.slice.value}"
        assert not (isinstance(node, ast.Attribute) and node.attr == "notes"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", RULES, ids=name_of)
def test_no_rule_asks_whose_a_row_is(path):
    """Rows are grouped by source, for scores; what a source shows stands in corpus_sources.csv."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in KEYS:
            assert (name_of(path), node.value) in OTHERWISE, f"{path.name}:{node.lineno} names {node.value}"
        if isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith", "find"):
            told = ast.unparse(node.value)
            assert "source_id" not in told and "'source'" not in told, f"{path.name}:{node.lineno} cuts up a key"


WRITES = {"write_text", "write_bytes", "touch", "unlink", "rename", "rmtree", "savefig", "truncate", "tofile", "remove"}
SAFE = {  # a wing's file and what it does there
    ("facts.files", "all"),  # the place that writes
    ("exhibits.registry", "savefig"),  # into memory
    ("mutants", "write_text"),  # into a copy of the package that is gone when it ends
    ("yours.sweeps", "unlink"),  # the file that it made itself, where nothing was measured
}


def mode_of(call):
    """The mode of a call of `open`, where it is written out: of the function the second argument, of a path the first."""
    if getattr(call.func, "attr", getattr(call.func, "id", "")) != "open":
        return ""
    place = 0 if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) not in ("io", "os") else 1
    given = [*call.args[place : place + 1], *(k.value for k in call.keywords if k.arg == "mode")]
    return "".join(a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else "" for a in given)


TOOLS = sorted((PACKAGE.parent / "tools").glob("*.py"))
BENCHES = (
    "install.py",
    "mutants.py",
    "peer_adapters.py",
    "peers.py",
    "platforms.py",
    "prove_red.py",
)  # tools that work in folders of their own


@pytest.mark.parametrize("path", FILES + [p for p in TOOLS if p.name not in BENCHES], ids=lambda p: p.stem)
def test_one_place_writes_files(path):
    """Else somebody's file is half-written when a disk is full or a process ends."""
    mine = name_of(path) if path in FILES else path.stem
    if (mine, "all") in SAFE:
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", "")
            at = f"{path.name}:{node.lineno}: {name} writes a file; facts/files.py does that"
            assert not set(mode_of(node)) & set("wax+"), at
            assert name not in WRITES or (mine, name) in SAFE, at
