"""The reader's own record: what is kept, what is not, and that nothing that goes wrong with it stops a check."""

import json
import subprocess
import sys

import pytest

from bottlenecks.lessons import checks, progress


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BOTTLENECKS_DATA", str(tmp_path / "mine"))
    monkeypatch.setattr(progress, "TOLD", set())
    return tmp_path / "mine"


def test_a_try_is_one_line(folder):
    checks.check("00.4", 20, "s")
    checks.check("00.4", 50, "ms")
    assert [(k["id"], k["right"]) for k in progress.tries()] == [("00.4", False), ("00.4", True)]
    assert set(progress.tries()[0]) == {"id", "right", "at"}


@pytest.mark.parametrize("given", [(None,), ("soon",), (50, "parsec"), (50, "B")])
def test_what_is_no_answer_is_not_kept(folder, given):
    checks.check("00.4", *given)
    assert not folder.exists()


def test_a_disk_that_refuses_is_told_of_once_and_fails_nothing(folder, capsys, monkeypatch):
    folder.parent.joinpath("mine").write_text("a file where the folder should be")
    checks.check("00.4", 50, "ms")
    checks.check("00.4", 50, "ms")
    out = capsys.readouterr().out.splitlines()
    assert [line.startswith("00.4: right") for line in out] == [True, False, True]
    assert out[1].startswith("(Your progress is not kept: ")
    assert progress.tries() == []


def test_a_line_that_was_cut_off_spoils_none_but_itself(folder):
    progress.keep("00.1", True)
    with (folder / progress.FILE).open("a") as file:
        file.write('\n{"id": "00.2", "rig')
    progress.keep("00.3", False)
    assert [k["id"] for k in progress.tries()] == ["00.1", "00.3"]


def test_several_processes_keep_at_once(folder):
    code = "from bottlenecks.lessons import progress\nfor i in range(50): progress.keep('00.1', True)"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(progress.tries()) == 150


def test_the_table_counts_an_exercise_once(folder):
    class One:
        def __init__(self, minutes, is_open=False):
            self.minutes, self.is_open, self.kind, self.stars = minutes, is_open, "numbers", 1

    registry = {"01.1": One(5), "01.2": One(10), "01.3": One(20, is_open=True), "02.1": One(7)}
    kept = [{"id": i, "right": r, "at": "now"} for i, r in (("01.1", False), ("01.1", True), ("02.1", False))]
    first, second = progress.by_chapter(registry, kept)
    assert first == {"chapter": "01", "right": 1, "tried": 1, "total": 2, "done_min": 5, "min": 15}
    assert second == {"chapter": "02", "right": 0, "tried": 1, "total": 1, "done_min": 0, "min": 7}
    last = progress.lines([first, second])[-1]
    assert last == {"chapter": "all", "right": "1", "tried": "2", "of": "3", "minutes": "5 of 22"}


def test_a_report_names_what_was_tried(folder):
    checks.check("00.4", 20, "s")
    text = progress.report(checks.load_all())
    assert "| 00.4 | warm-up | ★ | 1 | not yet |" in text and "00 Are you ready?" in text


def test_beginning_anew_loses_nothing(folder):
    assert progress.put_aside() is None
    progress.keep("00.1", True)
    other = progress.put_aside()
    assert progress.tries() == [] and json.loads(other.read_text())["id"] == "00.1"
    progress.keep("00.2", True)
    assert [k["id"] for k in progress.tries()] == ["00.2"]
