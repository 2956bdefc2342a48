"""`bottlenecks progress`, as a reader types it."""

import pytest

from bottlenecks import __main__ as command
from bottlenecks.lessons import progress


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path / "mine"))
    return tmp_path / "mine"


def run(capsys, *argv):
    status = command.main(["progress", *argv])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_the_table(capsys, folder):
    progress.keep("00.4", True)
    status, out, _ = run(capsys)
    head, first, *_, last = out.splitlines()
    assert status == 0 and head.split() == ["chapter", "right", "tried", "of", "minutes"]
    assert first.startswith("00 Are you ready?") and first.split()[-6:] == ["1", "1", "10", "2", "of", "16"]
    assert all(len(line.split()) > 7 for line in out.splitlines()[2:-1])  # each names what it counts
    assert last.split()[:3] == ["all", "1", "1"]


def test_a_report_is_a_new_file(capsys, tmp_path):
    path = tmp_path / "report.md"
    assert run(capsys, "--markdown", str(path))[0] == 0 and "Nothing is tried yet" in path.read_text(encoding="utf-8")
    status, _, err = run(capsys, "--markdown", str(path))
    assert status == 2 and "is there already" in err


def test_clearing_keeps_the_record_under_another_name(capsys, folder):
    assert "nothing to clear" in run(capsys, "--clear")[1]
    progress.keep("00.4", True)
    assert "put aside" in run(capsys, "--clear")[1]
    assert len(list(folder.glob("progress-*.jsonl"))) == 1 and not (folder / progress.FILE).exists()


def test_two_wishes_at_once(capsys, tmp_path):
    status, _, err = run(capsys, "--clear", "--markdown", str(tmp_path / "x.md"))
    assert status == 2 and "write the report first" in err
