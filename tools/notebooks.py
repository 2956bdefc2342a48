"""Notebooks as they are committed: executed, without widget state, timestamps or random ids.

python tools/notebooks.py [NOTEBOOK ...]             normalise in place
python tools/notebooks.py --check [NOTEBOOK ...]     one line a problem; exit 1 if any
python tools/notebooks.py --execute [NOTEBOOK ...]   run from top to bottom, then normalise

Without names: all of notebooks/.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import nbformat

from bottlenecks.facts import files

ROOT = Path(__file__).resolve().parent.parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(notebook: nbformat.NotebookNode) -> list[str]:
    """Bring `notebook` into its committed form; return what had to change."""
    found = []
    if notebook.metadata.pop("widgets", None):
        found.append("stored widget state")
    if notebook.metadata.get("language_info", {}).pop("version", None):
        found.append("the Python version of one machine")
    ids = set()
    for number, cell in enumerate(notebook.cells, 1):
        # The id comes from the text: a new run changes none, an edit only its own.
        digest, repeat = hashlib.sha256(cell.source.encode()).hexdigest()[:8], 1
        cell_id = digest
        while cell_id in ids:
            repeat += 1
            cell_id = f"{digest}-{repeat}"
        ids.add(cell_id)
        if cell.get("id") != cell_id:
            found.append(f"cell {number}: id is not that of its text")
        cell["id"] = cell_id
        if cell.metadata.pop("execution", None):
            found.append(f"cell {number}: execution timestamps")
        if cell.cell_type != "code":
            continue
        if any(output.get("data", {}).pop(WIDGET_VIEW, None) for output in cell.outputs):
            found.append(f"cell {number}: stored widget view")
        cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    if notebook.nbformat_minor < 5:  # the first version of the format with ids
        notebook.nbformat_minor = 5
        found.append("nbformat below 4.5")
    return found


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    from nbclient import NotebookClient

    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    ).execute()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--execute", action="store_true")
    args = parser.parse_args()

    status = 0
    for path in args.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, as_version=4)
        if args.execute:
            print(path.name, flush=True)
            try:
                execute(notebook, path.resolve().parent)
            except Exception as error:  # keep the file as it was, go on with the next
                print(f"{path.name}: {error}", file=sys.stderr)
                status = 1
                continue
        problems = normalise(notebook)
        after = nbformat.writes(notebook) + "\n"
        if args.check:
            for problem in problems or ["not as nbformat writes it"] * (after != before):
                print(f"{path.name}: {problem} (run tools/notebooks.py)", file=sys.stderr)
                status = 1
        elif after != before:
            files.write(path, after)
    return status


if __name__ == "__main__":
    sys.exit(main())
