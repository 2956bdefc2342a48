"""Install the packages of requirements.lock and this one into an environment: `make` calls it with a Python that it found.

    python3.12 tools/install.py .venv

Two at once take turns, and the second finds the work done. The stamp, .ready, is written last: an interrupted
installation is simply done again. It asks nothing of the Python but the standard library.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ROOT = Path(__file__).resolve().parent.parent
ASKED = ("requirements.lock", "pyproject.toml")


@contextlib.contextmanager
def alone(folder):
    """Hold a folder itself; what is in it may go and come."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the process, however that ends
        yield
    finally:
        os.close(descriptor)


def main():
    folder = Path(sys.argv[1])
    python, stamp = folder / "bin" / "python", folder / ".ready"
    with alone(folder):
        if stamp.is_file() and stamp.stat().st_mtime >= max((ROOT / name).stat().st_mtime for name in ASKED):
            return 0
        if not works(python):
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        print(f"Installing the packages of requirements.lock into {folder} (once; a minute or two)", file=sys.stderr)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"], check=True)
        subprocess.run([*pip, "--no-build-isolation", "--editable", ROOT], check=True)
        stamp.touch()
    return 0


def works(python):
    try:
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:  # which has told why
        sys.exit(failed.returncode)
    except KeyboardInterrupt:
        sys.exit(130)
