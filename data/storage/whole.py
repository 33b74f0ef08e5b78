"""Files and folders that appear under their names when they are whole, on disks and object stores.

On a disk they are written beside their place, under a hidden name, and renamed. To a remote place
they are uploaded from a local folder. What a killed process leaves carries a hidden name, which no
reader takes, and is overwritten by the next one that writes the same file.
"""

import contextlib
import csv
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.common.errors import NO_ROOM, one_line
from data.storage.folders import copy_file, copy_folder, remove_folder
from data.storage.paths import AnyPath, is_remote

PART, OLD = ".part-", ".old-"  # before the name, so that libraries still see its suffix


@contextlib.contextmanager
def whole_file(path: AnyPath, durable: bool = False, writer: str = "") -> Iterator[Path]:
    """Context with a local path, where nothing is yet; the file written there becomes `path`.

    If anything is raised, the file is removed and what is at `path` stays.

    Args:
      path: its folder exists.
      durable: wait until it is on the disk: for what took long to make, or what says that other
        files are there.
      writer: tells apart those that may write the same file at the same time.

    Raises:
      OSError: the file cannot be written.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            side = Path(folder, path.name)
            yield side
            copy_file(side, path)
        return
    side = path.with_name(f"{PART}{writer}{path.name}")
    side.unlink(missing_ok=True)  # never written through: it could be a link
    try:
        with named_errors(path, side):
            yield side
            if durable:
                sync(side)
            side.replace(path)
            if durable:
                sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            side.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named_errors(path: AnyPath, side: Path | None = None) -> Iterator[None]:
    """Context in which an `OSError` that names no file, as of a full disk, gets this path.

    Args:
      path: what is to be written.
      side: where it is written before it gets its name; an error that names it gets `path`, too.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and (side is None or error.filename != str(side)):
            raise
        number = error.errno or _number(error, side)
        # A disk that is full is told by the system's words, not by Arrow's.
        told = error.strerror or one_line(error)
        reason = os.strerror(number) if number in NO_ROOM else told
        raise OSError(number or errno.EIO, reason, str(path)) from error


def _number(error: OSError, side: Path | None) -> int | None:
    """The number that NumPy leaves out where a write comes short: that of the next write."""
    if side and side.is_file() and re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        try:
            with side.open("ab") as file:
                file.write(bytes(1 << 16))
        except OSError as again:
            return again.errno
    return None


def write_json(
    path: AnyPath,
    content,
    *,
    indent: int | None = 1,
    allow_nan: bool = True,
    durable: bool = False,
    writer: str = "",
) -> None:
    """Writes what JSON can hold as a whole file, a value a line.

    Args:
      path, durable, writer: as for `whole_file`.
      content: of names, numbers, lists and dicts.
      indent: spaces; None for all in one line.
      allow_nan: whether NaN is written, which not every reader of JSON takes.
    """
    with whole_file(path, durable, writer) as side:
        side.write_text(json.dumps(content, indent=indent, allow_nan=allow_nan) + "\n")


def write_csv(path: AnyPath, rows: Iterable[Sequence], line_end: str = "\n") -> None:
    """Writes rows, the header first, as a whole file of comma-separated text in UTF-8."""
    with whole_file(path) as side, side.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=line_end).writerows(rows)


@contextlib.contextmanager
def whole_folder(path: AnyPath, last: str) -> Iterator[Path]:
    """Context with a local path, where nothing is yet; the folder made there becomes `path`.

    If anything is raised, the folder is removed and what is at `path` stays. On a disk, its files
    are on it before the folder has its name: for few files, as an encoder's.

    Args:
      path: its parent exists; a folder that is there is replaced.
      last: the file in it that is uploaded to a remote place after all others, so that where it is,
        all are.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            side = Path(folder, path.name)
            yield side
            remove_folder(path)
            copy_folder(side, path, last)
        return
    side, old = (path.with_name(f"{prefix}{path.name}") for prefix in (PART, OLD))
    remove_folder(side)
    try:
        with named_errors(path):
            yield side
        for place in (*side.rglob("*"), side):
            sync(place)
        remove_folder(old)
        if path.is_dir():
            path.rename(old)  # half of a folder that is removed would be taken for all of it
        side.rename(path)
        sync(path.parent)
    except BaseException:
        remove_folder(side)  # on a full disk it would be in the way
        if old.is_dir() and not path.exists():
            old.rename(path)
        raise
    remove_folder(old)


def remove_parts(folder: AnyPath) -> None:
    """Removes what killed writers with names of their own have left; none may be writing."""
    for left in () if is_remote(folder) else folder.glob(f"{PART}*"):
        left.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file's content, or a directory's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
