"""The files of checkpoints: on a disk, and on object stores.

On a disk a checkpoint is written to the side and renamed: what carries its final name is whole. On
an object store renaming is a copy, which can be cut off. There a checkpoint is whole when
its marker is beside it: a file that is written last, with the size of the checkpoint.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import safetensors
import safetensors.numpy

from data.common.errors import InputError, one_line
from data.common.logs import logger
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import PART, whole_file

SUFFIX, MARKER = ".safetensors", ".done"


def write_state(path: AnyPath, state: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file that is there as a whole or not at all.

    Raises:
      OSError or safetensors.SafetensorError: it cannot be written; nothing is left of it.
    """
    if is_remote(path):
        marker_of(path).unlink(missing_ok=True)  # of a file that is replaced
    with whole_file(path, durable=True) as side:
        side.touch()
        mode = side.stat().st_mode  # of the umask: safetensors' own is for one user alone
        safetensors.numpy.save_file(state, side, metadata=metadata)
        side.chmod(mode)
        size = side.stat().st_size
    if is_remote(path):
        marker_of(path).write_text(str(size))


@contextlib.contextmanager
def open_state(path: AnyPath) -> Iterator:
    """Context with a file that `write_state` wrote, as `safetensors.safe_open` gives it.

    Raises:
      InputError: it is not whole.
    """
    if is_remote(path):
        expected, size = marker_of(path).read_text(), path.stat().st_size
        if expected != str(size):
            raise InputError(f"{path}: damaged checkpoint ({size} bytes, not {expected})")
    try:
        with local_copy(path) as file, safetensors.safe_open(file, "numpy") as opened:
            yield opened
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: damaged checkpoint ({one_line(error)})") from error


def save_state(
    directory: AnyPath,
    step: int,
    state: dict[str, np.ndarray],
    metadata: dict[str, str],
    keep: int,
    keep_every: int = 0,
) -> AnyPath:
    """Writes the checkpoint of a step, and removes those that are not to be kept.

    Args:
      directory: made if it is missing.
      step: int.
      state: arrays by name.
      metadata: strings by name.
      keep: the newest so many files stay.
      keep_every: so does every file of a multiple of so many steps; 0 for none.

    Raises:
      InputError: the file cannot be written, as on a full disk; those before it are as they were.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step_{step:08d}{SUFFIX}"
    try:
        write_state(path, state, metadata)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: the checkpoint cannot be written ({one_line(error)}); the same command goes "
            "on from the one before"
        ) from error
    for unfinished in (*directory.glob(f"{PART}*"), *unmarked(directory)):
        unfinished.unlink()  # of a run that was killed while it wrote
    finished = checkpoints(directory)
    # Files of later steps were refused as damaged, or the run went back behind them.
    earlier = [file for file in finished if step_of(file) <= step]
    for_good = [file for file in earlier if keep_every and step_of(file) % keep_every == 0]
    for file in set(finished) - {*earlier[-keep:], *for_good}:
        remove(file)
    return path


def read_state(
    path: AnyPath, shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a checkpoint and its metadata.

    Raises:
      InputError: it is not whole, or has other arrays than those of `shapes`.
    """
    with open_state(path) as file:
        state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    # An earlier version had the MLPs' second kernels, and their moments, as [outputs, inputs]. The
    # MLPs of all variants are wider than their tokens: the shape tells.
    state = {
        name: value.T if value.shape[::-1] == shapes.get(name) != value.shape else value
        for name, value in state.items()
    }
    if differing := sorted(
        {name: value.shape for name, value in state.items()}.items() ^ shapes.items()
    ):
        raise InputError(
            f"{path}: is of another model or an earlier version; {differing[0][0]!r} differs"
        )
    return state, metadata


def read_newest(directory: AnyPath, read: Callable):
    """What `read` returns for the newest checkpoint that it does not refuse; None without any.

    Raises:
      InputError: there are checkpoints, but none that can be used. To begin at step 0 would
        overwrite what may be weeks of work.
    """
    unfinished = unmarked(directory)
    for path in unfinished:
        logger.warning("%s: has no %s beside it; not used", path, marker_of(path).name)
    paths = checkpoints(directory)
    for path in reversed(paths):
        try:
            return read(path)
        except InputError as error:
            logger.warning("%s; taking the one before", error)
    if paths or unfinished:
        raise InputError(
            f"{directory}: none of {len(paths) + len(unfinished)} checkpoints can be used, the log "
            "says why; move it away to start over, or use another workdir"
        )
    return None


def checkpoints(directory: AnyPath) -> list[AnyPath]:
    """Finished checkpoints in a directory, oldest first."""
    unfinished = unmarked(directory)
    return [path for path in _files(directory) if path not in unfinished]


def unmarked(directory: AnyPath) -> list[AnyPath]:
    """Checkpoints without the marker that they need where they are, oldest first."""
    if not is_remote(directory):
        return []
    markers = set(directory.glob(f"*{MARKER}"))
    return [path for path in _files(directory) if marker_of(path) not in markers]


def remove(path: AnyPath) -> None:
    """Removes a checkpoint; its marker goes first."""
    if is_remote(path):
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
