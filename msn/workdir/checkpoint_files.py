"""The files of checkpoints: on a disk, and on remote file systems.

On a disk a checkpoint is written to the side and renamed: what carries its final name is whole. On
a remote file system renaming may be a copy, which can be cut off. There a checkpoint is whole when
its marker is beside it: a file that is written last and tells how many bytes the checkpoint has.
"""

import contextlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from data.common.errors import InputError, one_line
from data.storage.folders import copy_file, local_copy
from data.storage.paths import AnyPath, RemotePath

SUFFIX, MARKER = ".safetensors", ".done"


def write_state(path: AnyPath, state: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file that is there as a whole or not at all.

    Raises:
      OSError or safetensors.SafetensorError: it cannot be written; nothing is left of it.
    """
    if isinstance(path, RemotePath):
        marker_of(path).unlink(missing_ok=True)  # of a file that is replaced
        with tempfile.TemporaryDirectory() as folder:
            side = Path(folder, path.name)
            safetensors.numpy.save_file(state, side, metadata=metadata)
            copy_file(side, path)
            marker_of(path).write_text(str(side.stat().st_size))
        return
    partial = path.with_suffix(".partial")
    try:
        safetensors.numpy.save_file(state, partial, metadata=metadata)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except (OSError, safetensors.SafetensorError):
        partial.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Waits until a file's content, or a directory's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_state(path: AnyPath) -> Iterator:
    """Context with a file that `write_state` wrote, as `safetensors.safe_open` gives it.

    Raises:
      InputError: it is not whole.
    """
    if isinstance(path, RemotePath):
        marked, found = marker_of(path).read_text(), path.stat().st_size
        if marked != str(found):
            raise InputError(f"{path}: damaged checkpoint ({found} bytes, not {marked})")
    try:
        with local_copy(path) as file, safetensors.safe_open(file, "numpy") as opened:
            yield opened
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: damaged checkpoint ({one_line(error)})") from error


def read_metadata(path: AnyPath) -> dict[str, str]:
    """The metadata of a whole safetensors file, whose arrays are not read.

    It begins with the length of its header, uint64, and the header, which is JSON
    (https://huggingface.co/docs/safetensors, "Format").
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))["__metadata__"]


def checkpoints(directory: AnyPath) -> list[AnyPath]:
    """Finished checkpoints in a directory, oldest first."""
    unfinished = unmarked(directory)
    return [path for path in _files(directory) if path not in unfinished]


def unmarked(directory: AnyPath) -> list[AnyPath]:
    """Checkpoints without the marker that they need where they are, oldest first."""
    if isinstance(directory, Path):
        return []
    markers = set(directory.glob(f"*{MARKER}"))
    return [path for path in _files(directory) if marker_of(path) not in markers]


def remove(path: AnyPath) -> None:
    """Removes a checkpoint; its marker goes first."""
    if isinstance(path, RemotePath):
        marker_of(path).unlink(missing_ok=True)
    path.unlink()


def step_of(path: AnyPath) -> int:
    """The step in the name of a checkpoint."""
    return int(path.stem.removeprefix("step_"))


def marker_of(path: AnyPath) -> AnyPath:
    """The file that says that a checkpoint is whole."""
    return path.with_suffix(MARKER)


def _files(directory: AnyPath) -> list[AnyPath]:
    return sorted(directory.glob(f"step_*{SUFFIX}"))
