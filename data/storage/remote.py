"""Paths on object stores, by universal_pathlib over fsspec and a package for each store.

Imported by `data.storage.paths` where a path has a scheme, and only there: files on a disk are read
without any of it.

Object stores promise less than a disk. Renaming is a copy and a deletion, so that what is there
under its final name may be half of it; nothing can be appended; there are no locks, and no folders
but as beginnings of names. What has to be whole is therefore marked by a file that is written after
it, here and in `msn.workdir.checkpoint_files`.
"""

import contextlib
import errno
import fnmatch
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fsspec import get_filesystem_class
from upath.extensions import ProxyUPath

from data.common.errors import InputError, one_line

SCHEMES = ("s3", "gs", "az", "hf")  # of requirements-remote.txt
_NUMBERS = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}


@contextlib.contextmanager
def os_errors(path):
    """Context that turns what a store's package raises into what local files raise: `OSError`."""
    try:
        yield
    except Exception as error:  # each package has its own kinds
        kinds = (number for kind, number in _NUMBERS.items() if isinstance(error, kind))
        number = getattr(error, "errno", None) or next(kinds, errno.EIO)
        reason = getattr(error, "strerror", None) or one_line(error)
        if reason in str(path):
            reason = os.strerror(number)
        raise OSError(number, reason, str(path)) from error


class RemotePath(ProxyUPath):
    """A path with a scheme; its methods do what those of `pathlib.Path` do, and raise `OSError`.

    Made by `data.storage.paths.to_path`. Files are fetched and stored as a whole: what is opened to
    be read is a local copy, and `data.storage.whole` writes.
    """

    def exists(self) -> bool:
        with os_errors(self):
            return super().exists()

    def is_dir(self) -> bool:
        with os_errors(self):
            return super().is_dir()

    def is_file(self) -> bool:
        with os_errors(self):
            return super().is_file()

    def stat(self):
        with os_errors(self):
            return super().stat()

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Does nothing: there are folders where there are files."""

    def iterdir(self) -> Iterator["RemotePath"]:
        with os_errors(self):
            names = self.fs.ls(self.path, detail=False)
        return (self / name.rstrip("/").rpartition("/")[2] for name in names)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """What lies in this folder, not below it, and matches; nothing where there is no folder."""
        entries = self.iterdir() if self.is_dir() else ()
        return (entry for entry in entries if fnmatch.fnmatchcase(entry.name, pattern))

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files in this folder and below it whose names match."""
        with os_errors(self):
            names = self.fs.find(self.path)
        found = (self / name.removeprefix(self.path).lstrip("/") for name in names)
        return (path for path in found if fnmatch.fnmatchcase(path.name, pattern))

    def read_bytes(self) -> bytes:
        return self.read_part(None, None)

    def read_part(self, begin: int | None, end: int | None) -> bytes:
        """The bytes from `begin` to before `end`; nothing else is fetched."""
        with os_errors(self):
            return self.fs.cat_file(self.path, start=begin, end=end)

    def read_text(self, encoding="utf-8", errors="strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode="r", buffering=-1, encoding=None, errors=None, newline=None):
        """Opens a copy, to be read."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "copy")
            self.download(copy)
            return copy.open(mode, buffering, encoding, errors, newline)

    def write_bytes(self, content: bytes) -> None:
        with os_errors(self):
            self.fs.pipe_file(self.path, bytes(content))

    def write_text(self, text: str, encoding="utf-8") -> None:
        self.write_bytes(text.encode(encoding))

    def unlink(self, missing_ok: bool = False) -> None:
        if self.exists():
            with os_errors(self):
                self.fs.rm_file(self.path)
        elif not missing_ok:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    def download(self, target: Path) -> None:
        """Copies this file to a disk."""
        with os_errors(self):
            self.fs.get_file(self.path, str(target))

    def upload(self, source: Path) -> None:
        """Makes this file a copy of one on a disk."""
        with os_errors(self):
            self.fs.put_file(str(source), self.path)

    def remove_folder(self) -> None:
        """Removes a folder and what is in it."""
        with os_errors(self):
            self.fs.rm(self.path, recursive=True)


def remote_path(path: str) -> RemotePath:
    """A remote path as the user gave it.

    Raises:
      InputError: there is no package for its scheme, or none can be set up, or no bucket is named.
    """
    scheme, _, name = path.partition("://")
    parts = [part for part in name.split("/") if part]  # a store takes a//b for another name
    if name.startswith("/") or not parts:
        raise InputError(f"{path}: no bucket; expected {scheme}://NAME/...")
    try:
        get_filesystem_class(scheme)
    except ValueError:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise InputError(f"{path}: no file system for {scheme}://; expected {known}") from None
    except ImportError as error:
        raise InputError(
            f"{path}: {scheme}:// needs a package ({one_line(error)}); expected: pip install -r "
            "requirements-remote.txt"
        ) from error
    try:
        # Listings are not kept: another process may have written since.
        remote = RemotePath(f"{scheme}://{'/'.join(parts)}", use_listings_cache=False)
        remote.fs  # noqa: B018 - set up now: what is missing is said here
    except Exception as error:  # each package has its own kinds
        raise InputError(f"{path}: {one_line(error)}") from error
    return remote
