"""The stored form of the notebooks: executed, clean, and with code that only shows."""

import ast
import importlib.util
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 12  # lines that are not blank
LONGEST_HIDDEN = 40  # of a cell that a reader does not see unless she asks for it


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    cells = enumerate(notebook.cells, 1)
    return [(n, cell) for n, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_is_a_contents_page():
    assert ROOT / "notebooks" / "00_contents.ipynb" in NOTEBOOKS


def test_format(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert not [n for n, cell in enumerate(notebook.cells, 1) if not cell.source.strip()]


def test_executed_from_top_to_bottom(notebook):
    # nbval compares nothing where a count is missing, so this also guards the outputs.
    counts = [cell.execution_count for _, cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_errors_stored(notebook):
    cells = code_cells(notebook)
    assert not [n for n, cell in cells for o in cell.outputs if o.output_type == "error"]
    assert not [n for n, cell in cells for o in cell.outputs if o.get("name") == "stderr"]


def test_as_tools_notebooks_writes_it(notebook):
    """No widget state, no timestamps, no random ids."""
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "notebooks.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.normalise(notebook) == []


def _is_asked_for(function, cell):
    """A function that the reader is to write: it stands empty above its check."""
    empty = isinstance(function.body[-1], ast.Expr) and getattr(function.body[-1].value, "value", None) is ...
    return empty and "check(" in cell.source


def test_hidden_cells_are_hidden_in_the_lab_and_in_print(notebook):
    for n, cell in code_cells(notebook):
        tagged = "hide-input" in cell.metadata.get("tags", ())
        assert tagged == bool(cell.metadata.get("jupyter", {}).get("source_hidden")), f"cell {n}"


def test_code_is_short_and_defines_nothing(notebook):
    faults = []
    for n, cell in code_cells(notebook):
        lines = [
            line for line in cell.source.splitlines() if line.strip() and not line.startswith(("from ", "import "))
        ]
        longest = LONGEST_HIDDEN if "hide-input" in cell.metadata.get("tags", ()) else LONGEST_CELL
        if len(lines) > longest:
            faults.append(f"cell {n}: {len(lines)} lines, at most {longest} are readable")
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef) and _is_asked_for(node, cell):
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                faults.append(f"cell {n}: defines {node.name}; that belongs in the package")
            elif isinstance(getattr(node, "value", None), ast.Lambda) and isinstance(
                node, ast.Assign | ast.AnnAssign | ast.NamedExpr
            ):
                faults.append(f"cell {n}: a named lambda; that belongs in the package")
    assert not faults
