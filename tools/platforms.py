"""Does it work elsewhere? Other Pythons, the oldest packages that are promised, and odd machines: `make platforms`.

    python tools/platforms.py                    all of them, in a table; logs in .venv-platforms/
    python tools/platforms.py python-3.13 wheel  some
    python tools/platforms.py --walk             the command line alone, and no tests
    python tools/platforms.py --whole            every test but the browser's and notebooks, not a fast part

Everywhere the command line is walked through from a folder that is not the checkout: it must print and write the
same to the byte as here, or, with other packages, end well. Then a fast part of the tests is run (FAST). What a
machine does not have is skipped with a line: a Python, uv, namespaces.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-platforms"
FAST = (
    "tests/facts tests/laws tests/test_house.py tests/yours/test_roofline.py tests/measured/test_frame.py "
    "tests/command bottlenecks/facts bottlenecks/laws"
).split()
WHOLE = ("tests", "bottlenecks", "-m", "not browser")
ROWS = "chip,kernel,dtype,m,n,k,müde\nT4,matmul,fp16,64,64,64,ja\nT4,no such,fp16,1,1,1,ß\n"
WALK = (
    ("--version",),
    ("chips",),
    ("chips", "H100 SXM5", "--json"),
    ("models", "Llama-3-8B"),
    ("systems", "DGX H100"),
    ("sources", "williams2009roofline"),
    ("fits", "Llama-3-70B", "H100 SXM5", "--chips", "2"),
    ("score", "kernels"),
    ("predict", "kernels", "rows.csv", "-o", "predicted.csv"),
    ("figures", "01-your-machine", "--set", "machine=yours", "--out", "pictures"),
)
NO_CACHE = ("mkdir -p failed for path", "Matplotlib created a temporary")  # its own words, where home is read-only
MAIN = "import sys; from bottlenecks.__main__ import main; sys.exit(main())"


class Skipped(Exception):
    """This machine has not what a platform needs."""


class Failed(Exception):
    """What went wrong, in a line."""


# ---- platforms: each says with which Python, variables, words before the command, and checkout


def of(python=sys.executable, variables=None, before=(), root=ROOT, same=True, tested=True):
    drop = ("PYTHONPATH", "BOTTLENECKS_DATA", "PYTHONUTF8", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    kept |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in (variables or {}).items():
        kept.pop(name, None)
        if value is not None:
            kept[name] = value
    return {"python": python, "env": kept, "before": before, "root": root, "same": same, "tested": tested}


def python(version):
    """The packages of the lock on another Python."""

    def made(log):
        found = interpreter(version)
        folder = HOME / f"python-{version}"
        call([found, ROOT / "tools" / "install.py", folder], log)
        return of(folder / "bin" / "python", same=False)

    return made


def interpreter(version):
    """A Python of a version that runs, on PATH or in pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for each in (f"python{version}", *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)):
        try:
            if subprocess.run([each, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0:
                return each
        except OSError:
            continue
    raise Skipped(f"no Python {version} on PATH or in pyenv")


def oldest(log):
    """The lowest versions that pyproject.toml promises, on the lowest Python."""
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        raise Skipped("uv is not installed (pip install uv)")
    folder, lowest = HOME / "oldest", HOME / "oldest.txt"
    groups = ["--group", "pyproject.toml:build", "--group", "pyproject.toml:test", "--extra", "cluster"]
    lowest_direct = ["--resolution", "lowest-direct", "--python-version", "3.11", "pyproject.toml", "-o", lowest]
    call([uv, "pip", "compile", "--quiet", *groups, *lowest_direct], log)
    call([uv, "venv", "--quiet", "--clear", "--python", interpreter("3.11"), folder], log)
    call([uv, "pip", "install", "--quiet", "--python", folder, "-r", lowest], log)
    return of(folder / "bin" / "python", same=False)


def lang_c(log):
    """No language and no encoding of the machine."""
    names = [n for n in os.environ if n.startswith("LC_")] + ["LANGUAGE"]
    return of(variables=dict.fromkeys(names) | {"LANG": "C"})


def no_home(log):
    return of(variables={"HOME": None, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None})


def read_only_home(log):
    """In a file system of its own, since root may write into any folder; Matplotlib says that it keeps no cache."""
    folder = HOME / "home"
    folder.mkdir(exist_ok=True)
    before = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o ro none "$HOME" && exec "$@"', "sh")
    variables = {"HOME": str(folder), "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None}
    able(before, "mount a file system in a namespace", variables)
    return of(variables=variables, before=before)


def offline(log):
    """With no network but this process's own."""
    able(("unshare", "-rn"), "leave the network (unshare -n)")
    return of(before=("unshare", "-rn"))


def able(before, what, variables=None):
    try:
        env = os.environ | (variables or {"LC_ALL": "C"})
        env = {name: value for name, value in env.items() if value is not None}
        if subprocess.run([*before, "true"], capture_output=True, env=env).returncode == 0:
            return
    except OSError:
        pass
    raise Skipped(f"this machine does not let us {what}")


def odd_path(log):
    """A checkout in a folder with spaces and letters beyond ASCII."""
    folder = HOME / "a checkout of müßig 漢字's"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bottlenecks", "tests", "figures", "tools", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    return of(root=folder)


def wheel(log):
    """Built, and installed where the checkout is not."""
    folder = HOME / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], log)
    (built,) = (folder / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    call([*pip, "--target", folder / "site", built], log)
    return of(root=folder / "site", tested=False)


PLATFORMS = {f"python-3.{minor}": python(f"3.{minor}") for minor in (11, 12, 13, 14)} | {
    "oldest": oldest,
    "lang-c": lang_c,
    "no-home": no_home,
    "read-only-home": read_only_home,
    "offline": offline,
    "odd-path": odd_path,
    "wheel": wheel,
}


# ---- what is done on each


def call(words, log, **options):
    """A command whose output goes to a log; what it says there last is the reason of a failure."""
    log.write(f"+ {' '.join(map(str, words))}\n")
    log.flush()
    options = {"cwd": ROOT} | options
    status = subprocess.run(list(map(str, words)), stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
    if status.returncode:
        raise Failed(f"{Path(words[0]).name} ended with {status.returncode}: see {Path(log.name).relative_to(ROOT)}")


def walk(at, log):
    """What the command line prints, and the files that it writes, from a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="walk ü ") as folder:
        Path(folder, "rows.csv").write_text(ROWS, encoding="utf-8")
        env = at["env"] | {"BOTTLENECKS_DATA": folder}
        home = "import bottlenecks; print(bottlenecks.__file__)"
        where = [*at["before"], at["python"], "-c", home]
        found = subprocess.run(where, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")
        if str(at["root"]) not in found.stdout:
            raise Failed(f"it imports {found.stdout.strip() or found.stderr[-200:]}, not that of {at['root']}")
        said = {}
        for words in WALK:
            argv = [*at["before"], at["python"], "-c", MAIN, *words]
            out = subprocess.run(argv, cwd=folder, env=env, capture_output=True, stdin=subprocess.DEVNULL)
            log.write(f"+ bottlenecks {' '.join(words)}\n{out.stderr.decode(errors='replace')}")
            told = [line for line in out.stderr.decode(errors="replace").splitlines() if not line.startswith(NO_CACHE)]
            if told and not out.returncode:
                raise Failed(f"bottlenecks {' '.join(words)} says {told[0]}")
            if out.returncode:
                raise Failed(f"bottlenecks {' '.join(words)} ended with {out.returncode}: {out.stderr[-200:].decode()}")
            said[words] = out.stdout
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                said[str(path.relative_to(folder))] = path.read_bytes()
        return said


def differences(said, here):
    return [" ".join(key) if isinstance(key, tuple) else key for key in here if said.get(key) != here[key]]


def tests(at, log, chosen):
    pytest = [
        *at["before"],
        at["python"],
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        os.environ.get("JOBS", "2"),
        *chosen,
    ]
    call(pytest, log, cwd=at["root"], env=at["env"])


def look(name, here, chosen):
    """(result, why) of one platform."""
    HOME.mkdir(exist_ok=True)
    with (HOME / f"{name}.log").open("w", encoding="utf-8") as log:
        try:
            at = PLATFORMS[name](log)
            said = walk(at, log)
            if at["same"] and differences(said, here):
                return "failed", f"not as here: {', '.join(differences(said, here))}"
            if at["tested"] and chosen:
                tests(at, log, chosen)
            return "passed", "" if at["tested"] and chosen else "the command line alone"
        except Skipped as why:
            return "skipped", str(why)
        except Failed as why:
            return "failed", str(why)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PLATFORMS)} (default: all)")
    parser.add_argument("--walk", action="store_true", help="no tests")
    parser.add_argument("--whole", action="store_true", help="every test but the browser's and notebooks")
    args = parser.parse_args()
    for name in args.names:
        if name not in PLATFORMS:
            parser.error(f"platform {name!r} is unknown; there are: {', '.join(PLATFORMS)}")
    chosen = () if args.walk else WHOLE if args.whole else FAST
    HOME.mkdir(exist_ok=True)
    with (HOME / "here.log").open("w", encoding="utf-8") as log:
        here = walk(of(), log)
    results = []
    print(f"{'platform':16s} {'result':8s} {'seconds':>7s}")
    for name in args.names or PLATFORMS:
        began_s = time.monotonic()
        result, why = look(name, here, chosen)
        results.append(result)
        print(f"{name:16s} {result:8s} {time.monotonic() - began_s:7.0f}  {why}", flush=True)
    count = [results.count(word) for word in ("passed", "failed", "skipped")]
    print("platforms: {} passed, {} failed, {} skipped".format(*count))
    return 1 if count[1] else 0


if __name__ == "__main__":
    sys.exit(main())
