"""Features that another program has computed: a table that stands where an encoder would.

A .parquet or .npz file as inference.py writes it: `embeddings`, numbers [frames, width]; `video`,
the names of the data set; and `second`, or `frame`, the number in the name of the frame's file.
"""

import itertools
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.common.errors import InputError, one_line, some
from data.common.logs import logger
from data.dataset.frame_index import FrameIndex
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, arrow_source
from msn.formats.files.weight_files import TABLES

EMBEDDINGS, VIDEO = "embeddings", "video"
KEYS = ("frame", "second")  # the first that a table has


def is_table(path: AnyPath | None) -> bool:
    """Whether a path is that of a table of features, by its suffix."""
    return bool(path) and path.suffix in TABLES


def open_table(path: AnyPath, given: dict) -> "FeatureTable":
    """A table of features; raises `InputError` where anything is given that it does not take."""
    if said := [name for name, value in given.items() if value is not None]:
        raise InputError(
            f"{path}: {said[0]} given for a table of features, which has none; expected none"
        )
    return FeatureTable(path)


def metadata_of(path: AnyPath) -> dict:
    """What a table says of itself, as inference.py writes it; {} where it does not."""
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                told = str(content["metadata"]) if "metadata" in content.files else "{}"
        else:
            with arrow_source(path) as source:
                told = (pq.read_schema(source).metadata or {}).get(b"metadata", b"{}")
        found = json.loads(told)
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pa.ArrowException):
        return {}  # what is wrong with the table itself is said by who opens it


class FeatureTable:
    """The features of a file, by video and frame.

    Args:
      path: of a .parquet or .npz file.

    Attributes:
      width: how many numbers a frame has.

    Raises:
      InputError: it cannot be read, lacks a column, or a frame is in it twice.
    """

    kind = "a table of features"
    trainable_variables = ()

    def __init__(self, path: AnyPath):
        self.file = path
        columns = _read(path)
        self.embeddings = columns[EMBEDDINGS]
        self.width = self.embeddings.shape[1]
        self.key = next(key for key in KEYS if key in columns)
        self.places = _places(columns[VIDEO], columns[self.key], self.key)
        self._check_doubled()

    def of(self, index: FrameIndex) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 [found, width] of the frames of an index, and their rows int64 [found].

        Frames that the table does not have are named in the log.

        Raises:
          InputError: it has none of them; or frames at other times, less than a frame away.
        """
        found, rows = [], []
        for number in np.unique(index.video):
            mine = np.flatnonzero(index.video == number)
            wanted = _keys_of(index, mine, self.key)
            keys, places = self.places.get(index.videos[number], (wanted[:0], mine[:0]))
            where = np.searchsorted(keys, wanted)
            is_there = where < len(keys)
            is_there[is_there] = keys[where[is_there]] == wanted[is_there]
            if not is_there.all():
                self._say_missing(index, number, wanted[~is_there], len(mine), keys)
            found.append(places[where[is_there]])
            rows.append(mine[is_there])
        found, rows = np.concatenate(found), np.concatenate(rows)
        if not len(rows):
            raise InputError(
                f"{self.file}: none of {len(index.video)} frames of {some(index.videos)}; it has "
                f"{some(sorted(self.places))}"
            )
        order = np.argsort(rows, kind="stable")
        return self.embeddings[found[order]].astype(np.float32), rows[order]

    def _say_missing(self, index, number, missing, total, keys) -> None:
        """Names frames that are not there; raises `InputError` where the clocks differ."""
        video, step = index.videos[number], 1000 / index.fps[number]
        if self.key == "second" and len(keys):
            after = np.searchsorted(keys, missing)
            beside = keys[np.clip([after - 1, after], 0, len(keys) - 1)]
            distance = np.abs(beside - missing)
            nearest = np.take_along_axis(beside, distance.argmin(axis=0)[None], axis=0)[0]
            # A millisecond less: both keys are rounded to one.
            if (near := distance.min(axis=0) < step - 1).any():
                pairs = list(zip(nearest[near] / 1000, missing[near] / 1000, strict=True))
                shown = some([f"{found:g} s for {wanted:g} s" for found, wanted in pairs])
                raise InputError(
                    f"{self.file}: {len(pairs)} frames of {video} are misaligned: {shown}; "
                    "expected the data set's seconds, or a column 'frame' with the numbers in its "
                    "files' names"
                )
        logger.warning(
            "%s: %d of %d frames of %s are missing: %s %s",
            *(self.file, len(missing), total, video, self.key),
            some([f"{key / 1000:g}" if self.key == "second" else str(key) for key in missing]),
        )

    def _check_doubled(self) -> None:
        """Raises `InputError` where a frame has two rows."""
        for video, (keys, _) in self.places.items():
            if len(doubled := np.unique(keys[1:][keys[1:] == keys[:-1]])):
                values = doubled / 1000 if self.key == "second" else doubled
                raise InputError(
                    f"{self.file}: {len(doubled)} frames of {video} are in it more than once: "
                    f"{self.key} {some([f'{value:g}' for value in values])}"
                )


def _places(videos, values, key) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{video: (keys of its frames, sorted; their rows in the table)}."""
    if key == "second":
        keys = np.round(values.astype(np.float64) * 1000).astype(np.int64)
    else:
        keys = values.astype(np.int64)
    names, numbers = np.unique(videos, return_inverse=True)
    order = np.lexsort((keys, numbers))
    ends = np.searchsorted(numbers[order], np.arange(len(names) + 1))
    parts = [order[start:end] for start, end in itertools.pairwise(ends)]
    return {str(name): (keys[part], part) for name, part in zip(names, parts, strict=True)}


def _keys_of(index: FrameIndex, rows: np.ndarray, key: str) -> np.ndarray:
    """What the frames of an index are found by: their numbers, or milliseconds."""
    if key == "frame":
        return index.frame[rows].astype(np.int64)
    return np.round(index.second[rows] * 1000).astype(np.int64)


def _read(path: AnyPath) -> dict[str, np.ndarray]:
    """The columns of a table, checked; raises `InputError`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        columns = (_read_npz if path.suffix == ".npz" else _read_parquet)(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise InputError(f"{path}: not a table that can be read ({one_line(error)})") from error
    embeddings = columns[EMBEDDINGS]
    key = next(key for key in KEYS if key in columns)
    problem = None
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or not embeddings.size:
        problem = (
            f"embeddings are {embeddings.dtype} {list(embeddings.shape)}; expected floating-point "
            "numbers [frames, width], one row for each frame"
        )
    elif odd := [name for name in (VIDEO, key) if columns[name].shape != embeddings.shape[:1]]:
        problem = f"{odd[0]} has the shape {columns[odd[0]].shape}; expected one per embedding"
    elif columns[VIDEO].dtype.kind not in "UO":
        problem = f"video is {columns[VIDEO].dtype}; expected names"
    elif columns[key].dtype.kind not in ("iu" if key == "frame" else "iuf"):
        problem = f"{key} is {columns[key].dtype}; expected numbers"
    elif not np.isfinite(columns[key]).all():
        problem = f"{key} is unknown in some rows; expected a number in each"
    elif key == "frame" and columns[key].min() < 0:
        problem = f"frame {columns[key].min()}; expected the numbers in files' names"
    elif len(rows := np.flatnonzero(~np.isfinite(embeddings).all(axis=1))):
        problem = f"{len(rows)} embeddings are not finite, as in row {rows[0]}"
    if problem:
        raise InputError(f"{path}: {problem}")
    return columns


def _read_npz(path):
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in _wanted(content.files)}


def _read_parquet(path):
    with local_copy(path) as file:  # a remote one as well is read whole
        content = pq.ParquetFile(file)
        table = content.read(_wanted(content.schema_arrow.names))
    if nulls := [name for name in table.column_names if table[name].null_count]:
        raise InputError(f"column {nulls[0]!r} has rows without a value")
    columns = {name: table[name].to_numpy() for name in table.column_names if name != EMBEDDINGS}
    lists = table[EMBEDDINGS].combine_chunks()
    if not hasattr(lists, "flatten"):
        raise InputError(f"embeddings are {lists.type}; expected a list of numbers in each row")
    values = lists.flatten().to_numpy(zero_copy_only=False)
    lengths = set(np.unique(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist())
    if len(lengths) != 1 or values.ndim != 1:
        raise InputError(f"embeddings of {len(lengths)} lengths; expected one")
    columns[EMBEDDINGS] = values.reshape(len(table), -1)
    return columns


def _wanted(names) -> list[str]:
    """The columns that are read; raises `InputError` where one is missing."""
    key = next((key for key in KEYS if key in names), None)
    missing = [name for name in (EMBEDDINGS, VIDEO) if name not in names]
    missing += [] if key else [" or ".join(KEYS)]
    if missing:
        raise InputError(
            f"no {missing[0]} among its columns ({some(list(names))}); expected embeddings, "
            "video, and second or frame"
        )
    return [EMBEDDINGS, VIDEO, key]
