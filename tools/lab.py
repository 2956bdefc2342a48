"""Start JupyterLab on the book: `make lab` and the browser test both come through here.

Loopback only, with a token; no news, no update check, no extension shop. The settings of the user
interface are in tools/jupyter/labconfig/, which a reader's own settings may override.
"""

import argparse
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port of the system's choice: counting up from 8888, two that start at once take the same."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="?", default="notebooks/00_contents.ipynb")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder to serve")
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--no-browser", action="store_true")
    args = parser.parse_args()

    search = [str(ROOT / "tools" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, search))
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel before any other
    page = f"/tree/{args.notebook}" if (args.root / args.notebook).exists() else ""
    argv = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={args.root}",
        f"--LabApp.default_url=/lab{page}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
    ]
    argv += [f"--ServerApp.port={free_port() if args.port is None else args.port}", "--ServerApp.port_retries=0"]
    if args.no_browser:
        argv.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        argv.append("--allow-root")  # in a container; the server listens on loopback alone

    from jupyterlab.labapp import main as lab

    sys.exit(lab(argv))


if __name__ == "__main__":
    main()
