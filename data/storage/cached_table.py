"""Tables that take long to make of large files, kept until one of the files changes."""

import os
import uuid
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

from data.common.errors import reason_of
from data.common.logs import logger
from data.storage.paths import AnyPath
from data.storage.whole import whole_file

_unkept: dict[str, object] = {}  # folders of which it was said that nothing can be kept there


def cached_table(
    path: AnyPath,
    files: Sequence[AnyPath],
    make: Callable[[], dict[str, np.ndarray]],
    is_kept: Callable[[dict[str, np.ndarray]], bool] = lambda made: True,
    by_ctime: bool = False,
) -> dict[str, np.ndarray]:
    """What `make` returns, or what it returned before for the same files.

    Args:
      path: an .npz file beside the data, a hidden one. Where it cannot be written, as on a
        read-only disk, the table is made again each time.
      files: what the table is made of: their paths, sizes and times of change are compared.
      make: returns arrays of numbers or strings, none of them named "files".
      is_kept: whether what was made is to be kept.
      by_ctime: whether the time of change that no program sets is compared, too: also rights, a
        link or another disk change it, so that `make` should not take long.

    Raises:
      OSError: one of the files is not there.
    """
    states = [(file, file.stat()) for file in files]
    now = np.array(
        [
            f"{os.path.relpath(str(file), str(path.parent))} {state.st_size} {state.st_mtime_ns}"
            + (f" {state.st_ctime_ns}" if by_ctime else "")
            for file, state in states
        ]
    )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as table:
            if np.array_equal(table["files"], now):
                return {name: table[name] for name in table.files if name != "files"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # missing or damaged: it is made again
    made = make()
    if not is_kept(made):
        return made
    try:
        with whole_file(path, writer=uuid.uuid4().hex) as side:  # readers may run side by side
            np.savez(side, files=now, **made)
    except OSError as error:
        own = object()
        if _unkept.setdefault(str(path.parent), own) is own:  # once, however many videos there are
            reason = reason_of(error)
            logger.warning(
                "%s: nothing can be kept (%s), it will be made again", path.parent, reason
            )
    return made
