"""Paths on remote file systems (gs://bucket/...) that are used like pathlib's.

They go through TensorFlow's file systems: gs:// comes with TensorFlow, others with packages that
register theirs. Local paths stay pathlib's own.

Remote file systems promise less than a disk. Renaming may be a copy and a deletion, so that what is
there under its final name may be half of it; nothing can be appended; there are no locks. What has
to be whole is therefore marked by a file that is written after it, here and in
`msn.workdir.checkpoint_files`.
"""

import contextlib
import errno
import fnmatch
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace

from data.common.errors import InputError, one_line

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(/?)")


class RemotePath(PurePosixPath):
    """A path with a scheme; its methods do what those of `pathlib.Path` do, and raise `OSError`.

    Made by `to_path`, which checks the scheme.
    """

    def __str__(self):
        return super().__str__().replace(":/", "://", 1)  # pathlib takes // for /

    def absolute(self) -> "RemotePath":
        return self

    def exists(self) -> bool:
        with os_errors(self):
            return gfile().exists(str(self))

    def is_dir(self) -> bool:
        return self._is_directory() is True

    def is_file(self) -> bool:
        return self._is_directory() is False

    def _is_directory(self) -> bool | None:
        """None where nothing is there; raises `OSError` where that cannot be found out."""
        try:
            with os_errors(self):
                return gfile().stat(str(self)).is_directory
        except FileNotFoundError:
            return None

    def iterdir(self) -> Iterator["RemotePath"]:
        with os_errors(self):
            names = gfile().listdir(str(self))
        return (self / name for name in names)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """What lies in this folder, not below it, and matches; nothing where there is no folder."""
        entries = self.iterdir() if self.is_dir() else ()
        return (entry for entry in entries if fnmatch.fnmatchcase(entry.name, pattern))

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files in this folder and below it whose names match."""
        for place, _, names in walk(self):
            yield from (RemotePath(place) / name for name in fnmatch.filter(names, pattern))

    def stat(self) -> SimpleNamespace:
        """`st_size` and `st_mtime_ns` alone."""
        with os_errors(self):
            found = gfile().stat(str(self))
        return SimpleNamespace(st_size=found.length, st_mtime_ns=found.mtime_nsec)

    def open(self, mode="r", buffering=-1, encoding="utf-8", errors=None, newline=None):
        raw = _RemoteFile(self, "r" if "r" in mode else "w")
        if not buffering:
            return raw
        buffered = io.BufferedReader(raw) if raw.readable() else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        with os_errors(self), gfile().GFile(str(self), "rb") as file:
            return file.read()

    def read_text(self, encoding="utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        make_room(self)
        with os_errors(self), gfile().GFile(str(self), "wb") as file:
            file.write(bytes(content))

    def write_text(self, text: str, encoding="utf-8") -> None:
        self.write_bytes(text.encode(encoding))

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Makes the folders above it, too: on an object store there are none to miss."""
        if not exist_ok and self.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        with os_errors(self):
            gfile().makedirs(str(self))

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with os_errors(self):
                gfile().remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(self, target: "RemotePath") -> "RemotePath":
        with os_errors(self):
            gfile().rename(str(self), str(target), overwrite=True)
        return target


class _RemoteFile(io.RawIOBase):
    """A file of TensorFlow's as one of Python's, opened to be read or written, in bytes."""

    def __init__(self, path: RemotePath, mode: str):
        self._path, self._mode = path, mode
        if mode == "w":
            make_room(path)
        self._file = gfile().GFile(str(path), f"{mode}b")
        with os_errors(path):  # it would be opened by the first use alone
            self._file.size() if mode == "r" else self._file.write(b"")

    def readable(self):
        return self._mode == "r"

    def writable(self):
        return self._mode == "w"

    def seekable(self):
        return self._mode == "r"

    def readinto(self, buffer):
        with os_errors(self._path):
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def write(self, content):
        with os_errors(self._path):
            self._file.write(bytes(content))
        return len(content)

    def seek(self, offset, whence=os.SEEK_SET):
        if not self.seekable():
            raise io.UnsupportedOperation("seek")
        with os_errors(self._path):
            self._file.seek(offset, whence)
            return self._file.tell()

    def close(self):
        if not self.closed:
            super().close()
            with os_errors(self._path):
                self._file.close()


AnyPath = Path | RemotePath


def to_path(path: str | PurePath) -> AnyPath:
    """A path as the user gave it: pathlib's, or a remote one where it begins with a scheme.

    Raises:
      InputError: TensorFlow has no file system of this scheme, or is not there.
    """
    if isinstance(path, PurePath) or not (scheme := _SCHEME.match(path)):
        return path if isinstance(path, PurePath) else Path(path)
    try:
        known = sorted(f"{name}://" for name in gfile().get_registered_schemes() if name)
    except ImportError as error:
        raise InputError(f"{path}: remote file systems need TensorFlow ({error})") from error
    if f"{scheme[1]}://" not in known:
        raise InputError(
            f"{path}: no file system for {scheme[1]}://; TensorFlow has {', '.join(known)} here"
        )
    if scheme[1] == "file":
        return Path(path[len("file://") :])
    if scheme[2]:
        raise InputError(f"{path}: no host or bucket; expected {scheme[1]}://NAME/...")
    return RemotePath(path)


def is_remote(path: str | PurePath) -> bool:
    """Whether a path begins with a scheme."""
    return _SCHEME.match(str(path)) is not None


def check_local(name: str, path: str | PurePath) -> None:
    """Raises `InputError` for a remote path where only a local one can be used."""
    if is_remote(path):
        raise InputError(f"{name}={path}: is remote; expected a local path")


def walk(folder: AnyPath) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`: (folder, names of folders in it, names of files in it), from the top down."""
    if isinstance(folder, Path):
        return os.walk(folder)
    return gfile().walk(str(folder))


def make_room(path: RemotePath) -> None:
    """Before a file is written: ram:// adds to one that is there, where others replace it."""
    if path.parts[0] == "ram:":
        path.unlink(missing_ok=True)


def gfile():
    """TensorFlow's file systems."""
    import tensorflow as tf  # here alone: local files are read without TensorFlow

    return tf.io.gfile


@contextlib.contextmanager
def os_errors(path: PurePath):
    """Context that turns TensorFlow's errors into those that local files raise."""
    from tensorflow import errors

    try:
        yield
    except errors.OpError as error:
        numbers = {
            errors.NotFoundError: errno.ENOENT,
            errors.AlreadyExistsError: errno.EEXIST,
            errors.PermissionDeniedError: errno.EACCES,
        }
        if number := numbers.get(type(error)):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise OSError(f"{path}: {one_line(error)}") from error


def check_output_folder(name: str, path: str | PurePath) -> None:
    """Raises `InputError` if a folder cannot be made at `path`; makes nothing."""
    # here: it imports this module

    if not str(path):
        raise InputError(f"{name} is empty; expected a folder")
    folder = to_path(path)
    for place in (folder, *folder.parents) if isinstance(folder, Path) else (folder,):
        if place.exists():
            if not place.is_dir():
                raise InputError(f"{name}={path}: {place} is a file; expected a folder")
            return
