"""The file that embeddings are kept in, written as they come, in memory that does not grow.

While a run goes on, what it has made lies beside the file that is to be, in `<file>.partial/`: some
parts of the table, and what they are of. Killed at any moment, the same run goes on after the last
part. In the end the parts become one .npz or .parquet file, a part at a time.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.common.errors import InputError
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, check_output_folder
from data.storage.whole import whole_file

SUFFIXES = (".npz", ".parquet")
PARTIAL = ".partial"
REQUEST = "request.json"
ROWS_AT_ONCE = 4096  # of columns that are made as they are written

# A column in parts: a function that begins with the first part again, for each time it is read.
Column = Callable[[], Iterator[np.ndarray]]


class Parts:
    """What a run has made so far.

    Args:
      output: the file that is to be.
      request: what the run was asked for, as JSON; what is there of another run is not taken.

    Raises:
      InputError: there are parts of a run that was asked for something else.
    """

    def __init__(self, output: AnyPath, request: Mapping):
        self.folder = output.with_name(output.name + PARTIAL)
        note = self.folder / REQUEST
        text = json.dumps(request, indent=1)
        if note.is_file() and note.read_text() != text:
            raise InputError(
                f"{self.folder}: left by an unfinished run with {_difference(note, request)}; "
                "delete it, or give another --output"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if not note.is_file():
            with whole_file(note) as side:
                side.write_text(text)

    @property
    def files(self) -> list[AnyPath]:
        """In order; a file's name is the row after its last."""
        return sorted(self.folder.glob("part_*.npz"))

    @property
    def stop(self) -> int:
        """The first row that has not been tried."""
        files = self.files
        return int(files[-1].stem.removeprefix("part_")) if files else 0

    def add(self, stop: int, table: Mapping[str, np.ndarray], faults: list[str]) -> None:
        """Keeps a part: arrays [n, ...] by name, and a line for each row that is unreadable."""
        path = self.folder / f"part_{stop:012d}.npz"
        with whole_file(path) as side:
            np.savez(side, faults=np.array(faults, np.str_), **table)

    def column(self, name: str) -> Column:
        """The arrays of one name, part by part; parts without a readable frame are left out."""

        def read():
            for file in self.files:
                with file.open("rb") as content, np.load(content, allow_pickle=False) as part:
                    if name in part:
                        yield part[name]

        return read

    def whole(self, name: str) -> np.ndarray:
        """A small column as one array."""
        return np.concatenate(list(self.column(name)()))

    def faults(self) -> list[str]:
        """The lines of all parts."""
        return [line for lines in self.column("faults")() for line in lines.tolist()]

    def remove(self) -> None:
        remove_folder(self.folder)


def in_parts(length: int, make: Callable[[slice], np.ndarray]) -> Column:
    """A column of `length` rows that is made some rows at a time."""

    def read():
        for first in range(0, length, ROWS_AT_ONCE):
            yield make(slice(first, min(first + ROWS_AT_ONCE, length)))

    return read


def check_output(path: AnyPath) -> None:
    """Raises `InputError` if no table can be written there."""
    if path.suffix not in SUFFIXES or path.is_dir():
        raise InputError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    check_output_folder("output", path.parent)


def write_table(path: AnyPath, length: int, columns: Mapping[str, Column], classes=()) -> None:
    """Writes a table of `length` rows, by the suffix of `path`.

    An .npz file has an array for each column, which loads with `allow_pickle=False`, and in
    "classes" the names of the columns of "probabilities", where there are any. A .parquet file has
    columns of fixed-size lists, and the names in its metadata.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=True) as side:
        (_write_npz if path.suffix == ".npz" else _write_parquet)(side, length, columns, classes)


def _write_npz(path, length, columns, classes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in columns.items():
            _write_array(archive, name, length, column)
        if classes:
            _write_array(archive, "classes", len(classes), lambda: iter([np.array(classes)]))


def _write_array(archive, name, length, column):
    """One array in the .npy format, of which no more than a part is in memory."""
    first = next(column())
    dtype = first.dtype
    if dtype.kind == "U":  # all strings of an array have the same room
        dtype = max((part.dtype for part in column()), key=lambda kind: kind.itemsize)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (length, *first.shape[1:])}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in column():
            file.write(part.astype(dtype, copy=False).tobytes())


def _write_parquet(path, length, columns, classes):
    types = {name: _arrow_type(next(column())) for name, column in columns.items()}
    metadata = {"classes": json.dumps(list(classes))} if classes else None
    schema = pa.schema(list(types.items()), metadata)
    parts = {name: _Rows(column) for name, column in columns.items()}
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        done = 0
        while done < length:
            rows = min(part.ready() for part in parts.values())
            arrays = [_arrow(parts[name].take(rows), kind) for name, kind in types.items()]
            writer.write_table(pa.table(arrays, schema))
            done += rows


class _Rows:
    """Takes rows from a column in parts, of other lengths than its parts have."""

    def __init__(self, column):
        self._parts, self._left = column(), np.empty(0)

    def ready(self) -> int:
        if not len(self._left):
            self._left = next(self._parts)
        return len(self._left)

    def take(self, rows):
        taken, self._left = self._left[:rows], self._left[rows:]
        return taken


def _arrow_type(array):
    if array.dtype.kind == "U":
        return pa.string()
    kind = pa.from_numpy_dtype(array.dtype)
    for size in array.shape[:0:-1]:
        kind = pa.list_(kind, size)
    return kind


def _arrow(array, kind):
    if array.dtype.kind == "U":
        return pa.array(array.tolist(), kind)
    values = pa.array(array.reshape(-1))
    for size in array.shape[:0:-1]:
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def _difference(note: AnyPath, request) -> str:
    try:
        found = json.loads(note.read_text())
    except ValueError:
        return "a damaged request"
    key = next((key for key in request if found.get(key) != request[key]), "other options")
    return f"{key} {found.get(key)!r}, not {request.get(key)!r}"
