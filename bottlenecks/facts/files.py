"""Files: the one place that writes them, and nothing of the reader's is ever lost.

A file is written beside its place under a name that nobody has, brought to the disk, and then given its
name in one step: killed at any moment, each file is the old one or the new one, whole. Several of one
thing, such as a picture and its table, are all on the disk before the first gets its name. A file keeps
its mode; a write-protected one is refused. A symbolic link is followed, and stays a link; of two hard
links the other keeps what it has. Devices and pipes are written as they are. What a killed run leaves
is a `.part` file of its own, with a name of 16 random digits.
"""

import errno
import io
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

OPEN_FILES = ("/dev/std", "/dev/fd/", "/proc/")  # another name of what is open already


def write(path, content, *, new=False):
    """Write a file: `content` is a text, bytes, or a function that writes into an open text file.

    With `new`, a file that is there already is refused, and never written over.
    """
    write_together({path: content}, new=new)


def write_together(contents, *, new=False):
    """The same for several files (path -> content): all are on the disk before one gets its name."""
    parts = {}
    try:
        for path, content in contents.items():
            with naming(path):
                target = _target(path, new)
                if target is None:
                    with open(path, "ab") as file:
                        _fill(file, content)
                    continue
                part = target.with_name(f".{secrets.token_hex(8)}.part")
                with part.open("xb") as file:  # nobody's: `x` refuses a name that is taken
                    parts[part] = path, target
                    _fill(file, content)
                    _like(file.fileno(), target)
                    os.fsync(file.fileno())
        for part, (path, target) in parts.items():
            with naming(path):
                _give_name(part, target, new)
        for folder in {target.parent for _, target in parts.values()}:
            _keep_names(folder)
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()  # gone where it has its name


@contextmanager
def created(path):
    """A new file that is filled line by line while lines are found; what is there already is refused.

    Each text that is written is in the file at once, whole, or not at all, whatever ends the process.
    """
    with naming(path):
        file = Path(path).open("xb", buffering=0)
    with file:
        yield Lines(path, file)


def add_line(path, line):
    """Add a line to a file, which is made where there is none; several processes may do so at once.

    The line is written in one piece, behind a line's end of its own: one that was cut off spoils none but itself.
    """
    with naming(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            text = f"\n{line}".encode()
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)


def put_aside(path, mark):
    """Give a file another name, with `mark` behind its stem; returns it. A name that is taken is refused."""
    path = Path(path)
    other = path.with_name(f"{path.stem}{mark}{path.suffix}")
    with naming(other):
        _give_name(path, other, new=True)
        with suppress(FileNotFoundError):  # where a file system has links, its first name is left
            path.unlink()
    return other


class Lines:
    """What `created` gives: anything that writes into a text file can write into it."""

    def __init__(self, path, file):
        self._path, self._file = path, file

    def write(self, text):
        left, start = text.encode(), self._file.tell()
        with naming(self._path):
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                self._file.truncate(start)
                raise
        return len(text)


@contextmanager
def naming(path):
    """Errors of the system say which file they are about, and what to do."""
    try:
        yield
    except BrokenPipeError:  # whoever read a pipe has enough
        raise
    except FileExistsError:
        raise FileExistsError(f"{path} is there already and is not written over: name a new file") from None
    except OSError as error:
        why = error.strerror or str(error)
        hint = {
            "ENOSPC": "; what was in it is as it was",
            "ENOENT": ": name a file in a folder that is there",
            "ENOTDIR": ": name a file in a folder that is there",
            "EACCES": ": name a file that you may write, in a folder that you may write to",
            "EROFS": ": name a file in a folder that you may write to",
            "EISDIR": f": name a file in it, such as {Path(path) / 'out.csv'}",
        }.get(errno.errorcode.get(error.errno), "")
        raise type(error)(f"cannot write {path} ({why}){hint}") from error


def _target(path, new):
    """The file behind a path and its links; None for a device or a pipe."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        if new and os.path.islink(path):
            raise FileExistsError from None
        return Path(os.path.realpath(path))
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(there.st_mode):
        return None
    if new:
        raise FileExistsError
    if os.path.abspath(path).startswith(OPEN_FILES):
        raise PermissionError(errno.EPERM, "it is another name of an open file: name the file itself")
    if not there.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(errno.EPERM, "it is write-protected: allow writing (chmod u+w), or name another file")
    return Path(os.path.realpath(path))


def _fill(file, content):
    if isinstance(content, bytes):
        file.write(content)
    else:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        if isinstance(content, str):
            text.write(content)
        else:
            content(text)
        text.flush()
        text.detach()
    file.flush()


def _like(descriptor, target):
    """Mode and owner of the file whose place is taken."""
    if os.name == "nt" or not target.exists():
        return
    there = target.stat()
    with suppress(OSError):  # an owner is given away by root alone
        os.fchown(descriptor, there.st_uid, there.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(there.st_mode))


def _give_name(part, target, new):
    if not new:
        os.replace(part, target)
        return
    try:
        os.link(part, target)  # refuses a name that is taken, in one step
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError from None
        os.rename(part, target)


def _keep_names(folder):
    """Bring the folder itself to the disk, where a system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
