"""Copying and removing files and folders, on disks and object stores."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.storage.paths import AnyPath, is_remote


def remove_folder(path: AnyPath) -> None:
    """Removes a folder and what is in it; one that is not there is no error."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.is_dir():
        path.remove_folder()


def copy_folder(source: AnyPath, target: AnyPath, last: str = "") -> None:
    """Copies the files in a folder and below it.

    Args:
      source, target: folders; `target` is made.
      last: path in them of the file that is copied after all others, so that where it is, all are.
    """
    final = source / last
    for file in sorted(files_below(source), key=lambda file: (file == final, file)):
        copied = target / file.relative_to(source).as_posix()
        copied.parent.mkdir(parents=True, exist_ok=True)
        copy_file(file, copied)


def files_below(folder: AnyPath) -> list[AnyPath]:
    """The files in a folder and below it."""
    if is_remote(folder):
        return list(folder.rglob("*"))
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def copy_file(source: AnyPath, target: AnyPath) -> None:
    """Copies one file, and replaces what is there."""
    if is_remote(source) and is_remote(target):
        with local_copy(source) as copy:
            target.upload(copy)
    elif is_remote(source):
        source.download(target)
    elif is_remote(target):
        target.upload(source)
    else:
        shutil.copyfile(source, target)


def read_part(path: AnyPath, begin: int, end: int) -> bytes:
    """The bytes of a file from `begin` to before `end`; nothing else is fetched."""
    if is_remote(path):
        return path.read_part(begin, end)
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        return file.read(end - begin)


@contextlib.contextmanager
def local_copy(path: AnyPath) -> Iterator[Path]:
    """Context with a local file or folder of this content: for libraries that open it themselves.

    Of a local path it is the path itself.
    """
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        if path.is_dir():
            copy_folder(path, copy)
        else:
            copy_file(path, copy)
        yield copy


@contextlib.contextmanager
def filled_folder(path: AnyPath, last: str) -> Iterator[Path]:
    """Context with a local folder whose files are in `path` at the end, besides what is there.

    Of a local path it is the path itself, made if it is missing; to a remote place the files are
    copied when nothing was raised, the file `last` at the end.
    """
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        copy_folder(Path(folder), path, last)
