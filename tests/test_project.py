"""What the files around the package promise to each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import lab
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
GROUPS = PYPROJECT["dependency-groups"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]  # in the lock too: every test runs everywhere
DIRECT = [*PYPROJECT["project"]["dependencies"], *EXTRAS["cluster"], *GROUPS["test"], *GROUPS["build"]]


def pins() -> dict[str, list[str]]:
    """Every version that the lock names, by package (some have one for each Python)."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_lock_names_no_address():
    assert "://" not in LOCK


def test_lock_has_a_hash_for_every_pin():
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert blocks and not [b.split()[0] for b in blocks if "--hash=sha256:" not in b]


@pytest.mark.parametrize("line", DIRECT)
def test_lock_satisfies(line):
    requirement = Requirement(line)
    versions = pins().get(canonicalize_name(requirement.name), [])
    assert versions, f"{requirement.name} is not in requirements.lock: make lock"
    for version in versions:
        assert requirement.specifier.contains(version), f"{line}, but the lock has {version}"


def test_environment_takes_python_from_conda_and_the_rest_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PYPROJECT["project"]["name"]
    python, pip, packages = environment["dependencies"]
    assert (pip, packages) == ("pip", {"pip": ["-e ."]})
    lower = [s for s in Requirement(python).specifier if s.operator == ">="]
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]) == SpecifierSet(str(lower[0]))


def test_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"].startswith(PYPROJECT["project"]["name"] + ":")
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["message"] and citation["authors"]


def test_both_licences_are_whole():
    assert "BSD 3-Clause License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    text = (ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    assert "Attribution 4.0 International" in text and "Section 8 -- Interpretation." in text


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_explains_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("make ")]
    assert sorted(explained) == sorted(targets)
    assert {"lab", "test", "check", "figures", "measure", "clean"} <= set(targets)


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
@pytest.mark.parametrize("target", ["test", "check", "lab", "figures", "platforms", "format"])
def test_a_dry_run_runs_nothing(tmp_path, target):
    asked = ["make", "-n", target, "READY=", f"RUN=touch {tmp_path}/ran;", "VENV=none"]
    shown = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"touch {tmp_path}/ran" in shown.stdout and not (tmp_path / "ran").exists()


def test_two_labs_at_once_both_open(tmp_path):
    """Each on a port of its own, whose address is the first that it prints."""
    command = [sys.executable, str(ROOT / "tools" / "lab.py"), "--no-browser", "--root", str(tmp_path)]
    names = {"CONFIG": "config", "DATA": "data", "RUNTIME": "runtime"}
    env = os.environ | {f"JUPYTER_{name}_DIR": str(tmp_path / folder) for name, folder in names.items()}
    started = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in "ab"]
    try:
        found = [_address(process.stderr) for process in started]
        assert len(set(found)) == 2 and None not in found
        for address, process in zip(found, started, strict=True):
            lab._wait_until_up(address, process, tmp_path)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _address(log):
    for line in log:
        if found := re.search(rb"http://127\.0\.0\.1:\d+/\S*token=\w+", line):
            return found[0].decode()
    return None


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no executable bit")
def test_ci_script_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_command_line_is_installed():
    run = subprocess.run([sys.executable, "-m", "bottlenecks", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0 and "usage" in run.stdout.lower(), run.stderr


# A folder of the machine that the book was written on, or the address of a package index.
PRIVATE = re.compile(
    r"(?<![\w.:~/-])/(?:work|root)/\w"
    r"|(?:pypi|pythonhosted)\.org/(?:simple|packages)/|registry\.npmjs\.org"
)


def test_no_file_names_a_private_folder_or_a_package_index():
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: the list of its files is not known")
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file() or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{name}: {match[0]}" for match in PRIVATE.finditer(text)]
    assert not found
