"""Rows of a dataset's index, as videos and images with classes both have them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.dataset.index_columns import index_schema
from data.images.names import trailing_number


def index_table(
    videos: Sequence[str],
    frames: Sequence[int],
    phases: np.ndarray,
    presence: Mapping[str, np.ndarray],
    multi_label: Mapping[str, Sequence[str]],
    files: Iterable[Path],
) -> pa.Table:
    """Rows of the index, columns as in `index_schema`.

    Args:
      videos, frames: name of the video and number in it, one per row.
      phases: int8 [n].
      presence: {group: int8 [n, names]} for each group of `multi_label`.
      multi_label: {group: names}.
      files: relative to the dataset directory.
    """
    files = list(files)
    columns = [
        pa.array(videos, pa.string()),
        np.asarray(frames, np.int32),
        phases,
        *(np.ascontiguousarray(c) for group in multi_label for c in presence[group].T),
        pa.array([file.as_posix() for file in files], pa.string()),
        pa.array(map(_template, files, frames), pa.string()),
    ]
    return pa.table(columns, index_schema(multi_label))


def _template(path: Path, frame: int) -> str:
    """A path with its frame number left open, for str.format; as it is, if it does not end in it.

    frames/video68/video68_000055.jpg, 55 -> frames/video68/video68_{0:06d}.jpg
    frames/video68/video68_000054.jpg, 55 -> frames/video68/video68_{1:06d}.jpg
    """
    text = path.as_posix().replace("{", "{{").replace("}", "}}")
    digits = trailing_number(path.stem)
    if digits is None or not digits.isascii():  # a number would be written in other digits
        return text
    less = int(frame) - int(digits)  # of a name's end that is no frame's number, any length
    if less not in (0, 1):
        return text
    width = f"0{len(digits)}" if digits[0] == "0" and len(digits) > 1 else ""
    spec = f"{{{less}:{width}d}}"
    end = len(text) - len(path.suffix)
    return text[: end - len(digits)] + spec + text[end:]
