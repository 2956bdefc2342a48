"""The house: modules import only from floors below, and importing costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bottlenecks"
FLOORS = (
    {"bottlenecks", "data"}, {"doors", "units", "facts"}, {"hardware", "networks", "architecture", "corpus"},
    {"roofline", "tiling", "counting", "memory", "collectives", "attention", "traffic"}, {"ops", "engines", "kernel_time", "footprint", "communication", "network_fit", "inference", "training"},
    {"machine", "probes", "measure", "kernels", "sweeps", "validation", "claims", "trends",
     "growth", "shares", "kernel_rows", "kernel_fit", "predictions", "ledgers", "eras", "decoding", "memory_scores", "fits",
     "inference_rows", "inference_fit", "training_rows", "collective_rows", "search", "splitting", "runs", "scaling"},
    {"exhibits.style", "exhibits.registry", "exhibits.ch", "exhibits.ap_catalog", "exhibits.ap_corpus", "exhibits"},
    {"checks", "show", "widgets", "reports"}, {"exercises.ch", "exercises"}, {"__main__"},
)  # fmt: skip
WITHIN_A_FLOOR = {
    ("corpus", "hardware"),
    ("networks", "hardware"),
    ("facts", "doors"),
    ("claims", "validation"),
    ("claims", "eras"),
    ("claims", "decoding"),
    ("claims", "runs"),
    ("claims", "scaling"),
    ("claims", "splitting"),
    ("decoding", "predictions"),
    ("decoding", "shares"),
    ("claims", "growth"),
    ("eras", "shares"),
    ("ledgers", "shares"),
    ("kernel_rows", "shares"),
    ("kernel_fit", "kernel_rows"),
    ("predictions", "kernel_rows"),
    ("predictions", "inference_rows"),
    ("inference_rows", "shares"),
    ("inference_fit", "inference_rows"),
    ("inference", "communication"),
    ("inference", "engines"),
    ("engines", "ops"),
    ("inference", "footprint"),
    ("inference", "kernel_time"),
    ("inference", "network_fit"),
    ("inference", "ops"),
    ("network_fit", "communication"),
    ("training", "communication"),
    ("training", "footprint"),
    ("training", "kernel_time"),
    ("training", "network_fit"),
    ("training", "ops"),
    ("training_rows", "memory_scores"),
    ("training_rows", "shares"),
    ("predictions", "training_rows"),
    ("predictions", "collective_rows"),
    ("search", "shares"),
    ("splitting", "search"),
    ("splitting", "training_rows"),
    ("runs", "predictions"),
    ("runs", "shares"),
    ("runs", "training_rows"),
    ("measure", "machine"),
    ("measure", "probes"),
    ("kernels", "machine"),
    ("kernels", "probes"),
    ("sweeps", "kernels"),
    ("sweeps", "machine"),
    ("sweeps", "measure"),
    ("sweeps", "probes"),
    ("units", "doors"),
}  # the left imports the right
HEAVY = {
    "matplotlib": "exhibits.style",
    "ipywidgets": "widgets",
    "IPython": "widgets",
    "PIL": "widgets",
}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(p for p in parts if p != "__init__") or "bottlenecks"
    return (
        name.rstrip("0123456789b")
        if name.startswith(
            ("exhibits.ch", "exhibits.ap_catalog", "exhibits.ap_corpus", "exercises.ch")
        )
        else name
    )


def floor(name):
    return next(i for i, modules in enumerate(FLOORS) if name in modules)


def imports(path):
    """Names of modules that a file imports, ours without the package's name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "bottlenecks" or node.module in (
                "bottlenecks.exhibits",
                "bottlenecks.exercises",
            ):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    mine = module_name(path)
    for name in imports(path):
        if not name.startswith("bottlenecks."):
            continue
        theirs = name.removeprefix("bottlenecks.")
        if theirs == "__version__":
            continue
        if theirs.startswith(
            ("exhibits.ch", "exhibits.ap_catalog", "exhibits.ap_corpus", "exercises.ch")
        ):
            theirs = theirs.rstrip("0123456789b")
        while theirs not in set().union(*FLOORS):
            theirs = theirs.rpartition(".")[0]
        allowed = floor(theirs) < floor(mine) or (mine, theirs) in WITHIN_A_FLOOR
        inside = mine.startswith("exhibits") and theirs.startswith("exhibits")
        own_loader = (mine, theirs) == (
            "checks",
            "exercises",
        )  # reads the exercises that register with it
        assert allowed or inside or own_loader, (
            f"{mine} imports {theirs}, which is not on a floor below"
        )


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_libraries_stay_upstairs(path):
    for name in imports(path):
        home = HEAVY.get(name.split(".")[0])
        if home == "widgets":
            assert module_name(path) == "widgets", f"{module_name(path)} imports {name}"
        elif home:
            assert floor(module_name(path)) >= floor(home), f"{module_name(path)} imports {name}"


def test_the_docstring_of_the_package_names_every_module():
    import bottlenecks

    for path in PACKAGE.glob("*.py"):
        assert path.name == "__init__.py" or path.name in bottlenecks.__doc__, path.name


@pytest.mark.parametrize(
    "module", ["bottlenecks", "bottlenecks.roofline", "bottlenecks.hardware", "bottlenecks.measure"]
)
def test_an_import_loads_numpy_and_nothing_heavy(module):
    code = f"import {module}, sys; print(*(n for n in ('matplotlib', 'ipywidgets', 'IPython', 'pandas', 'platformdirs') if n in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == []


def test_labels_of_equations_are_unique_and_text_refers_to_existing_ones():
    import re

    sources = [p.read_text(encoding="utf-8") for p in FILES]
    homes = [label for s in sources for label in re.findall(r"\$\$\s*\((eq:[\w-]+)\)", s)]
    assert len(homes) == len(set(homes)), "an equation has two homes"
    notebooks = [
        p.read_text(encoding="utf-8") for p in (PACKAGE.parent / "notebooks").glob("*.ipynb")
    ]
    named = {
        label.rstrip("-")
        for s in sources + notebooks
        for label in re.findall(r"\b[Ee]q:([\w-]+)", s)
    }
    assert {f"eq:{label}" for label in named} <= set(homes)


def test_the_word_flops_is_not_a_name():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = (
                getattr(node, "name", None)
                or getattr(node, "id", None)
                or getattr(node, "arg", None)
            )
            assert not (isinstance(name, str) and "flops" in name.lower().split("_")), (
                f"{path}: {name}"
            )
