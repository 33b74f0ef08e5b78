"""Paths as users give them: pathlib's on a disk, remote ones where they begin with a scheme."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Union

from data.common.errors import InputError

if TYPE_CHECKING:
    from data.storage.remote import RemotePath

AnyPath = Union[Path, "RemotePath"]

_FILE = "file://"
_SCHEME = re.compile(rf"(?!{_FILE})[A-Za-z][A-Za-z0-9+.-]*://")


def to_path(path: str | AnyPath) -> AnyPath:
    """A path as the user gave it: `pathlib.Path`, or where it has a scheme a `RemotePath`.

    For doors alone: below them, paths travel as what they are.

    Raises:
      InputError: there is no such store, or its package is not installed.
    """
    if not isinstance(path, str):
        return path
    if not is_remote(path):
        return Path(path.removeprefix(_FILE))
    from data.storage.remote import remote_path  # here alone: local files are read without it

    return remote_path(path)


def to_paths(paths: str | AnyPath | Sequence[str | AnyPath]) -> list[AnyPath]:
    """One path or several, as the user gave them, as `to_path` has them."""
    several = isinstance(paths, Sequence) and not isinstance(paths, str)
    return [to_path(path) for path in (paths if several else [paths])]


def file_name(text: str) -> str:
    """A text as a part of a folder's name."""
    return re.sub(r"[^\w.,=+-]+", "-", text).strip("-.")


def is_remote(path: str | AnyPath) -> bool:
    """Whether a path is on an object store: begins with a scheme."""
    return _SCHEME.match(str(path)) is not None


@contextlib.contextmanager
def arrow_source(path: AnyPath) -> Iterator[AnyPath | IO[bytes]]:
    """Context with what Arrow reads a file from: its path, or a remote file that is open.

    A local file is opened by Arrow itself: a thread of it may let go of an open file of Python's as
    late as when the interpreter ends, which aborts it (github.com/apache/arrow/issues/34314).
    """
    if is_remote(path):
        with path.open("rb") as file:
            yield file
    else:
        yield path


def check_local(name: str, path: str | AnyPath, otherwise: str = "") -> None:
    """Raises `InputError` for a remote path where only a local one can be used, or `otherwise`."""
    if is_remote(path):
        raise InputError(f"{name}={path}: is remote; expected a local path{otherwise}")


def output_folder(name: str, path: str | AnyPath) -> AnyPath:
    """The path of a folder to be written to, as the user gave it, as `to_path` has it.

    Raises:
      InputError: as `check_output_folder`, or the path is empty.
    """
    if not str(path):
        raise InputError(f"{name} is empty; expected a folder")
    folder = to_path(path)
    check_output_folder(name, folder)
    return folder


def local_folder(name: str, path: str | AnyPath) -> Path:
    """The same of a folder that must be on a disk; raises `InputError` for a remote one, too."""
    check_local(name, path)
    return output_folder(name, path)


def output_file(name: str, path: str | AnyPath, suffix: str) -> AnyPath:
    """The path of a file to be written, as the user gave it, as `to_path` has it.

    Raises:
      InputError: its name ends otherwise, or `check_output_folder` refuses its folder.
    """
    file = to_path(path)
    if file.suffix != suffix:
        raise InputError(f"--{name}={file}: expected a name that ends in {suffix}")
    check_output_folder(name, file.parent)
    return file


def check_output_folder(name: str, folder: AnyPath) -> None:
    """Raises `InputError` if a folder cannot be made, or written to; makes nothing."""
    for place in (folder,) if is_remote(folder) else (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise InputError(f"{name}={folder}: {place} is a file; expected a folder")
            if not is_remote(folder) and not os.access(place, os.W_OK | os.X_OK):
                raise InputError(f"{name}={folder}: no permission to write to {place}")
            return
