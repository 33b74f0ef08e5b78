"""Copying and removing files and folders, on disks and remote file systems."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.storage.paths import AnyPath, RemotePath, gfile, make_room, os_errors, to_path, walk


def remove_folder(path: AnyPath) -> None:
    """Removes a folder and what is in it; one that is not there is no error."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.is_dir():
        with os_errors(path):
            gfile().rmtree(str(path))


def copy_folder(source: AnyPath, target: AnyPath, last: str) -> None:
    """Copies the files in a folder and below it.

    Args:
      source, target: folders; `target` is made.
      last: path in them of the file that is copied after all others, so that where it is, all are.
    """
    files = {to_path(place) / name for place, _, names in walk(source) for name in names}
    final = source / last
    for file in (*sorted(files - {final}), final):
        copied = target / file.relative_to(source).as_posix()
        copied.parent.mkdir(parents=True, exist_ok=True)
        copy_file(file, copied)


def copy_file(source: AnyPath, target: AnyPath) -> None:
    """Copies one file, and replaces what is there."""
    if isinstance(source, Path) and isinstance(target, Path):
        shutil.copyfile(source, target)
        return
    if isinstance(target, RemotePath):
        make_room(target)
    with os_errors(target if isinstance(source, Path) else source):
        gfile().copy(str(source), str(target), overwrite=True)


@contextlib.contextmanager
def local_copy(path: AnyPath) -> Iterator[Path]:
    """Context with a local file of this content: for libraries that open files by themselves.

    Of a local path it is the path itself.
    """
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy_file(path, copy)
        yield copy


@contextlib.contextmanager
def filled_folder(path: AnyPath, last: str) -> Iterator[Path]:
    """Context with a local folder whose files are in `path` at the end, besides what is there.

    Of a local path it is the path itself, made if it is missing; to a remote place the files are
    copied when nothing was raised, the file `last` at the end.
    """
    if isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        copy_folder(Path(folder), path, last)
