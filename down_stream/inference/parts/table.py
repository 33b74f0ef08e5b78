"""The file that embeddings are in: .npz or .parquet, written a part at a time.

Memory does not grow with the number of rows.
"""

import json
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.storage.paths import AnyPath
from data.storage.whole import whole_file
from down_stream.inference.parts.table_parts import Column

ROWS_AT_ONCE = 4096  # of columns that are made as they are written


def in_parts(length: int, make: Callable[[slice], np.ndarray]) -> Column:
    """A column of `length` rows that is made some rows at a time."""

    def read():
        for first in range(0, length, ROWS_AT_ONCE):
            yield make(slice(first, min(first + ROWS_AT_ONCE, length)))

    return read


def write_table(
    path: AnyPath, length: int, columns: Mapping[str, Column], classes=(), metadata=None
) -> None:
    """Writes a table of `length` rows, by the suffix of `path`.

    An .npz file has an array for each column, which loads with `allow_pickle=False`, in "classes"
    the names of the columns of "probabilities", where there are any, and in "metadata" JSON. A
    .parquet file has columns of fixed-size lists, and "classes" and "metadata" in its schema.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=True) as side:
        (_write_npz if path.suffix == ".npz" else _write_parquet)(
            side, length, columns, classes, json.dumps(metadata or {})
        )


def _write_npz(path, length, columns, classes, metadata):
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in columns.items():
            _write_array(archive, name, length, column)
        if classes:
            _write_array(archive, "classes", len(classes), lambda: iter([np.array(classes)]))
        with archive.open("metadata.npy", "w") as file:
            np.lib.format.write_array(file, np.array(metadata), allow_pickle=False)


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


def _write_parquet(path, length, columns, classes, metadata):
    types = {name: _arrow_type(next(column())) for name, column in columns.items()}
    texts = {"metadata": metadata} | ({"classes": json.dumps(list(classes))} if classes else {})
    schema = pa.schema(list(types.items()), texts)
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
