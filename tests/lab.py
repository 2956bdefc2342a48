"""Drive the book in JupyterLab with a real browser, started as `make lab` starts it.

For the eye, one picture for each screenful of a notebook:

    python tests/lab.py notebooks/01_how_fast_could_it_go.ipynb --shots DIR [--run]
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WAIT_S = 300.0  # for anything that the browser or JupyterLab does: a busy machine may be slow
RUN_S = 900.0  # for all cells of a notebook
RAISED = '[data-mime-type="application/vnd.jupyter.stderr"]'  # tracebacks and warnings


def chromium() -> str | None:
    """Path of a Chromium-like browser, or None: BOTTLENECKS_CHROMIUM, then PATH."""
    names = ["chromium", "chromium-browser", "google-chrome", "chrome"]
    paths = (shutil.which(name) for name in names)
    return os.environ.get("BOTTLENECKS_CHROMIUM") or next(filter(None, paths), None)


@contextlib.contextmanager
def server(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """JupyterLab through tools/lab.py, on `root`; yields address and token.

    Settings, workspace and runtime files are its own, and it saves nothing unless told to.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    base, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        names = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        env = os.environ | {name: f"{home}/{folder}" for name, folder in names.items()}
        env["JUPYTER_TOKEN"] = token
        env.pop("JUPYTER_CONFIG_PATH", None)
        settings = Path(home, "settings", "@jupyterlab", "docmanager-extension")
        settings.mkdir(parents=True)
        settings.joinpath("plugin.jupyterlab-settings").write_text('{"autosave": false}')
        log = Path(home, "log")
        command = [sys.executable, str(ROOT / "tools" / "lab.py"), "--no-browser"]
        with log.open("w") as out:
            process = subprocess.Popen(
                [*command, "--port", str(port), "--root", str(root)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_up(f"{base}/api/status?token={token}", process, log)
            yield base, token
        finally:
            process.send_signal(signal.SIGTERM)  # the server ends its kernels
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(url: str, process: subprocess.Popen, log: Path, limit_s: float = WAIT_S) -> None:
    start = time.monotonic()
    while time.monotonic() - start < limit_s:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except OSError:
            time.sleep(0.1)
    told = log.read_text()[-3000:] if log.is_file() else ""
    raise RuntimeError(f"JupyterLab did not start:\n{told}")


@dataclass
class Notebook:
    """A notebook open in the browser, with what the page complained about and asked for."""

    page: object  # playwright's Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def run_all(self) -> None:
        """Run > Run All Cells, as a reader would, and wait for the last cell."""
        self._menu("Edit", "editmenu:clear-all")  # so that a count tells a new run from the stored
        self._wait_for_prompts(r"^\[ *\]:$")
        self._menu("Run", "runmenu:run-all")
        self._wait_for_prompts(r"^\[\d+\]:$", RUN_S)
        raised = self.page.locator(RAISED)
        if raised.count():
            raise RuntimeError(f"a cell raised or warned:\n{raised.first.inner_text()}")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the status bar shows a kernel that is idle."""
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def _menu(self, title: str, command: str) -> None:
        self.page.get_by_role("menuitem", name=title, exact=True).click()
        self.page.locator(f'[data-command="{command}"]').click()

    def _wait_for_prompts(self, pattern: str, limit_s: float = WAIT_S) -> None:
        """Wait until `pattern` matches the prompt of each code cell with text, or a cell raised."""
        self.page.wait_for_function(
            """([pattern, raised]) => document.querySelector(raised)
                || [...document.querySelectorAll('.jp-CodeCell')]
                    .filter(cell => cell.querySelector('.cm-content')?.textContent.trim())
                    .map(cell => cell.querySelector('.jp-InputPrompt')?.textContent.trim() ?? '')
                    .every(text => RegExp(pattern).test(text))""",
            arg=[pattern, RAISED],
            timeout=1000 * limit_s,
        )

    def explorers(self) -> list:
        return self.page.locator(".bn-explore").all()

    def shots(self, folder: Path) -> list[Path]:
        """One PNG for each screenful, from top to bottom."""
        folder.mkdir(parents=True, exist_ok=True)
        scroller = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
        scroller.evaluate("e => { e.scrollTop = 0; }")
        paths, top = [], -1
        while scroller.evaluate("e => e.scrollTop") > top:
            top = scroller.evaluate("e => e.scrollTop")
            self.page.wait_for_timeout(700)  # mathematics and pictures that scrolled into view
            paths.append(folder / f"{len(paths) + 1:02d}.png")
            self.page.screenshot(path=paths[-1])
            scroller.evaluate("e => { e.scrollTop += 0.9 * e.clientHeight; }")
            self.page.wait_for_timeout(200)
        return paths


@contextlib.contextmanager
def notebook(path: Path, width: int = 1400, height: int = 1000) -> Iterator[Notebook]:
    """Open the notebook at `path` in JupyterLab, in a fresh browser, with its kernel ready."""
    from playwright.sync_api import sync_playwright

    path = Path(path).resolve()
    root = ROOT if path.is_relative_to(ROOT) else path.parent
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with server(root) as (base, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS + sandbox)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1000 * WAIT_S)
        book = Notebook(page)
        own = (base, base.replace("http:", "ws:"), "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or book.outside.append(r.url))
        page.on("websocket", lambda w: w.url.startswith(own) or book.outside.append(w.url))
        page.on("pageerror", lambda e: book.errors.append(str(e)))
        page.on("console", lambda m: m.type == "error" and book.errors.append(m.text))
        page.goto(f"{base}/lab/tree/{path.relative_to(root).as_posix()}?token={token}&reset")
        # JupyterLab shows one empty cell and an idle kernel before it has read the file.
        cells = len(json.loads(path.read_text(encoding="utf-8"))["cells"])
        page.wait_for_function(
            "cells => document.querySelectorAll('.jp-Notebook .jp-Cell').length === cells", arg=cells
        )
        book.wait_for_kernel()
        yield book
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--shots", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", action="store_true", help="run all cells first")
    args = parser.parse_args()
    with notebook(args.notebook) as book:
        if args.run:
            book.run_all()
        for path in book.shots(args.shots):
            print(path)
        for error in book.errors:
            print("console:", error, file=sys.stderr)
        for url in book.outside:
            print("outside request:", url, file=sys.stderr)


if __name__ == "__main__":
    main()
