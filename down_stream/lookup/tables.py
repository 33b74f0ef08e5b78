"""Tables of embeddings, as inference.py writes them: read some rows at a time, or whole."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath, arrow_source
from msn.formats.files.feature_table import is_table, metadata_of

ROWS_AT_ONCE = 65_536
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, pa.ArrowException)


@dataclass(frozen=True, eq=False)
class Rows:
    """Frames of a table.

    Attributes:
      embeddings: float32 [n, width].
      video: str [n], names.
      second: float64 [n], seconds since the video's beginning, NaN where unknown.
      frame: int64 [n], the number in the name of the frame's file, -1 where unknown.
      path: str [n], the file that a frame is in, "" where unknown.
      probabilities: float32 [n, classes], of no classes where no model was given.
    """

    embeddings: np.ndarray
    video: np.ndarray
    second: np.ndarray
    frame: np.ndarray
    path: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows) -> "Rows":
        """Those at `rows`, an array of positions or a mask."""
        return Rows(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence["Rows"]) -> "Rows":
        """Several as one; those of a table without probabilities have NaN."""
        classes = max(part.probabilities.shape[1] for part in parts)
        columns = {
            field.name: [getattr(part, field.name) for part in parts] for field in fields(Rows)
        }
        columns["probabilities"] = [
            p if p.shape[1] == classes else np.full((len(p), classes), np.nan, np.float32)
            for p in columns["probabilities"]
        ]
        return Rows(**{name: np.concatenate(column) for name, column in columns.items()})


class Table:
    """A table of embeddings in a .npz or .parquet file.

    Args:
      path: of the file.

    Attributes:
      length, width: frames, and numbers of an embedding.
      classes: names of the columns of the probabilities; none where no model was given.

    Raises:
      InputError: there is no such file, or it is no table of one embedding a frame.
    """

    def __init__(self, path: AnyPath):
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file; inference.py writes tables of embeddings")
        if not is_table(path):
            raise InputError(f"{path}: expected a table, .npz or .parquet, as inference.py writes")
        try:
            self.length, shape, self.classes = (
                _facts_npz(path) if path.suffix == ".npz" else _facts_parquet(path)
            )
        except _BROKEN as error:
            raise InputError(f"{path}: not a table that can be read ({one_line(error)})") from error
        if len(shape) != 1 or not self.length:
            raise InputError(
                f"{path}: embeddings are {[self.length, *shape]}; expected [frames, width], as "
                "inference.py writes without --tokens=all"
            )
        self.width = shape[0]

    @cached_property
    def metadata(self) -> dict:
        """What the table says of itself."""
        return metadata_of(self.path)

    def parts(self, rows: int = ROWS_AT_ONCE) -> Iterator[Rows]:
        """All rows, so many at a time; raises `InputError` where the file is damaged."""
        read = _parts_npz if self.path.suffix == ".npz" else _parts_parquet
        try:
            for columns in read(self.path, rows):
                yield self._checked(columns)
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(f"{self.path}: damaged ({one_line(error)})") from error

    def read(self) -> Rows:
        """All rows at once."""
        return Rows.joined(list(self.parts()))

    def _checked(self, columns: dict) -> Rows:
        embeddings = np.asarray(columns["embeddings"], np.float32)
        n = len(embeddings)
        if not np.isfinite(embeddings).all():
            raise InputError(f"{self.path}: some embeddings are not finite; expected numbers")
        empty = np.empty((n, 0), np.float32)
        return Rows(
            embeddings,
            columns["video"].astype(str),
            np.asarray(columns.get("second", np.full(n, np.nan)), np.float64),
            np.asarray(columns.get("frame", np.full(n, -1)), np.int64),
            columns.get("path", np.full(n, "")).astype(str),
            np.asarray(columns.get("probabilities", empty), np.float32),
        )


def read_tables(paths: Sequence[AnyPath]) -> tuple[Rows, tuple[str, ...], float | None]:
    """The rows of several tables as one.

    Returns:
      The rows; the classes of their probabilities, none where no table has any; and the frames per
      second that videos were read at, None where no table says.

    Raises:
      InputError: they do not fit each other, or one cannot be read.
    """
    tables = [Table(path) for path in paths]
    first = tables[0]
    for table in tables[1:]:
        if table.width != first.width:
            raise InputError(
                f"{table.path}: embeddings of {table.width} numbers, those of {first.path} have "
                f"{first.width}; expected tables of one encoder"
            )
        prints = {t.metadata.get("fingerprint") for t in (first, table)}
        if len(prints - {None}) > 1:
            raise InputError(f"{table.path}: of another encoder than {first.path}")
    classes = dict.fromkeys(table.classes for table in tables if table.classes)
    if len(classes) > 1:
        raise InputError("tables of models with different classes; expected those of one model")
    rates = [table.metadata.get("fps") for table in tables]
    rows = Rows.joined([table.read() for table in tables])
    return rows, next(iter(classes), ()), next(filter(None, rates), None)


_COLUMNS = ("embeddings", "video", "second", "frame", "path", "probabilities")


def _facts_npz(path):
    with zipfile.ZipFile(path) as archive:
        with archive.open("embeddings.npy") as file:
            length, *shape = _header(file)[0]
        archive.getinfo("video.npy")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        classes = tuple(content["classes"].tolist()) if "classes" in content.files else ()
    return length, shape, classes


def _parts_npz(path, rows):
    """Parts of the arrays, as they stand one after the other in the file."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in _COLUMNS if f"{name}.npy" in archive.namelist()]
        files = {name: archive.open(f"{name}.npy") for name in names}
        headers = {name: _header(file) for name, file in files.items()}
        length = headers["embeddings"][0][0]
        if wrong := [name for name in names if headers[name][0][0] != length]:
            raise ValueError(f"{wrong[0]} has other rows than embeddings")
        for first in range(0, length, rows):
            count = min(rows, length - first)
            yield {name: _rows(files[name], *headers[name], count) for name in names}


def _header(file):
    """(shape, dtype) of an array in the .npy format, behind whose header the file is then."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, is_fortran, dtype = read[version](file)
    if is_fortran or dtype.hasobject:
        raise ValueError("arrays in another order, or of objects")
    return shape, dtype


def _rows(file, shape, dtype, count):
    content = file.read(count * int(np.prod(shape[1:])) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(count, *shape[1:])


def _facts_parquet(path):
    with arrow_source(path) as source:
        content = pq.ParquetFile(source)
        schema, length = content.schema_arrow, content.metadata.num_rows
        schema.field("video")
        kind, shape = schema.field("embeddings").type, []
        while pa.types.is_fixed_size_list(kind):
            shape.append(kind.list_size)
            kind = kind.value_type
        if pa.types.is_list(kind) and not shape:  # of lists that need not be of one length
            first = next(content.iter_batches(1, columns=["embeddings"]), None)
            shape = [len(first["embeddings"][0])] if first is not None else [0]
        classes = tuple(json.loads((schema.metadata or {}).get(b"classes", b"[]")))
    return length, shape, classes


def _parts_parquet(path, rows):
    with arrow_source(path) as source:
        content = pq.ParquetFile(source)
        names = [name for name in _COLUMNS if name in content.schema_arrow.names]
        for batch in content.iter_batches(rows, columns=names):
            columns = {}
            for name in names:
                column = batch[name]
                if column.null_count:
                    raise ValueError(f"column {name!r} has rows without a value")
                if hasattr(column, "flatten") and name in ("embeddings", "probabilities"):
                    values = column.flatten().to_numpy(zero_copy_only=False)
                    columns[name] = values.reshape(len(column), -1)
                else:
                    columns[name] = column.to_numpy(zero_copy_only=False)
            yield columns
