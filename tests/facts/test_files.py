"""Files are whole at any moment: killed, on a full disk, protected, linked, in the way."""

import errno
import os
import random
import stat
import subprocess
import sys
import time

import pytest

from bottlenecks.facts import files

posix = pytest.mark.skipif(os.name == "nt", reason="modes, pipes and links of POSIX")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_bytes_and_what_is_written_line_by_line(tmp_path):
    files.write_together(
        {tmp_path / "a": "é\r\n", tmp_path / "b": b"\x00\xff", tmp_path / "c": lambda file: file.write("x\n")}
    )
    assert [(tmp_path / name).read_bytes() for name in "abc"] == ["é\r\n".encode(), b"\x00\xff", b"x\n"]
    assert names(tmp_path) == ["a", "b", "c"]


def test_no_file_that_happens_to_be_beside_is_touched(tmp_path):
    beside = ("o.csv.part", ".o.csv.part", "o.csv.tmp", "o.csv~", ".write-probe")
    for name in beside:
        (tmp_path / name).write_text("precious")
    files.write(tmp_path / "o.csv", "new")
    assert names(tmp_path) == sorted([*beside, "o.csv"])
    assert all((tmp_path / name).read_text() == "precious" for name in beside)


KILLED = """
import sys
from bottlenecks.facts import files
first, second = sys.argv[1:]
print("ready", flush=True)
while True:
    for letter in "ab":
        files.write_together({first: letter * 300_000, second: letter.encode() * 300_000})
"""


def test_killed_at_any_moment_each_file_is_whole(tmp_path):
    paths = [tmp_path / "picture.svg", tmp_path / "table.csv"]
    for path in paths:
        path.write_text("o" * 300_000)
    chance = random.Random(7)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", KILLED, *paths], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(chance.uniform(0, 0.02))
            child.kill()
        for path in paths:
            text = path.read_text()
            assert len(text) == 300_000 and len(set(text)) == 1
    assert all(name.startswith(".") for name in set(names(tmp_path)) - {p.name for p in paths})


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_every_file_as_it_was(tmp_path, monkeypatch, where):
    for name in "ab":
        (tmp_path / name).write_text("before")
    second = "after"
    if where == "write":

        def second(file):
            file.write("half")
            full()
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match=r"cannot write .*[ab] \(No space left on device\); what was in it"):
        files.write_together({tmp_path / "a": "after", tmp_path / "b": second})
    assert names(tmp_path) == ["a", "b"]
    assert [(tmp_path / name).read_text() for name in "ab"] == ["before"] * 2


def test_what_is_no_error_of_the_system_leaves_nothing_behind_either(tmp_path):
    def stopped(file):
        file.write("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "a", stopped)
    assert names(tmp_path) == []


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match=r"cannot write .*a \(Permission denied\): name a file that you may write"):
            files.write(tmp_path / "a", "new")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_where_nothing_can_be_made(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "a").write_text("before")
    monkeypatch.setattr(files.Path, "open", refused)
    with pytest.raises(OSError, match=r"cannot write .*a \(Permission denied\): name a file that you may write"):
        files.write(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "before"


def test_what_is_no_place_for_a_file(tmp_path):
    (tmp_path / "file").write_text("before")
    with pytest.raises(
        IsADirectoryError, match=r"cannot write .* \(it is a folder\): name a file in it, such as .*out"
    ):
        files.write(tmp_path, "new")
    with pytest.raises(OSError, match="name a file in a folder that is there"):
        files.write(tmp_path / "none" / "a", "new")
    with pytest.raises(OSError, match="name a file in a folder that is there"):
        files.write(tmp_path / "file" / "a", "new")
    assert names(tmp_path) == ["file"]


def test_a_bad_second_place_leaves_the_first_file_alone(tmp_path):
    (tmp_path / "a").write_text("before")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="b .it is a folder"):
        files.write_together({tmp_path / "a": "after", tmp_path / "b": "after"})
    assert (tmp_path / "a").read_text() == "before" and names(tmp_path) == ["a", "b"]


@posix
def test_modes_are_kept_and_protected_files_refused(tmp_path):
    for mode in (0o600, 0o664, 0o755):
        (tmp_path / "a").write_text("before")
        (tmp_path / "a").chmod(mode)
        files.write(tmp_path / "a", "after")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError, match=r"write-protected: allow writing \(chmod u\+w\)"):
        files.write(tmp_path / "a", "lost")
    assert (tmp_path / "a").read_text() == "after"
    mask = os.umask(0o027)
    try:
        files.write(tmp_path / "b", "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640


@posix
def test_links(tmp_path):
    """A symbolic link is followed and stays; of two hard links the other keeps what it has."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_text("before")
    (tmp_path / "link").symlink_to("far/a")
    (tmp_path / "new").symlink_to("far/b")
    os.link(tmp_path / "far" / "a", tmp_path / "twin")
    files.write(tmp_path / "link", "after")
    files.write(tmp_path / "new", "after")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "a").read_text() == "after"
    assert (tmp_path / "far" / "b").read_text() == "after"
    assert (tmp_path / "twin").read_text() == "before"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="cannot write .*loop"):
        files.write(tmp_path / "loop", "after")


@posix
def test_devices_and_pipes_are_written_and_open_files_refused(tmp_path):
    files.write("/dev/null", "gone")
    reading, writing = os.pipe()
    files.write(f"/dev/fd/{writing}", "through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        files.write(f"/dev/fd/{writing}", "through")
    os.close(writing)
    with (tmp_path / "a").open("w") as file:
        file.write("before")
        file.flush()
        with pytest.raises(PermissionError, match="name the file itself"):
            files.write(f"/dev/fd/{file.fileno()}", "lost")
    assert (tmp_path / "a").read_text() == "before"
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="cannot write /dev/full"):
            files.write("/dev/full", "x" * 100_000)


@pytest.mark.parametrize("linked", [True, False])
def test_a_new_file_takes_no_other_place(tmp_path, monkeypatch, linked):
    if not linked:
        monkeypatch.setattr(os, "link", full)  # as a file system does that has none
    files.write(tmp_path / "a", "first", new=True)
    with pytest.raises(FileExistsError, match="a is there already and is not written over: name a new file"):
        files.write(tmp_path / "a", "second", new=True)
    with pytest.raises(FileExistsError), files.created(tmp_path / "a"):
        pass
    with files.created(tmp_path / "b") as file:
        file.write("line\n")
        assert (tmp_path / "b").read_text() == "line\n"  # at once
    assert [(tmp_path / name).read_text() for name in "ab"] == ["first", "line\n"] and names(tmp_path) == ["a", "b"]


def test_lines_are_whole_on_a_full_disk(tmp_path):
    class Disk:  # has room for seven bytes more
        def __init__(self, file):
            self.file, self.room = file, 7

        def write(self, text):
            if not self.room:
                full()
            written = self.file.write(text[: self.room])
            self.room -= written
            return written

        def __getattr__(self, name):
            return getattr(self.file, name)

    with files.created(tmp_path / "a") as lines:
        lines._file = Disk(lines._file)
        lines.write("1,2\n")
        with pytest.raises(OSError, match=r"cannot write .*a \(No space left on device\); what was in it"):
            lines.write("3,4,5\n")
    assert (tmp_path / "a").read_text() == "1,2\n"
