"""ArrayRecord files: what TensorFlow Datasets writes with --file_format=array_record.

They hold the same messages as TFRecord files, in chunks that may be compressed, and find a record
by its number (https://github.com/google/array_record). The package comes with tensorflow-datasets.
"""

import threading
from collections.abc import Iterator
from functools import lru_cache

from data.common.errors import InputError
from data.storage.paths import AnyPath, check_local

BATCH = 64  # records that are read at a time
OPEN_FILES = 64

_lock = threading.Lock()


def is_array_record(file: AnyPath) -> bool:
    """Whether a shard is named as TensorFlow Datasets names ArrayRecord files."""
    return ".array_record-" in file.name


def read_array_record(file: AnyPath, number: int) -> bytes:
    """One record of a file.

    Raises:
      InputError: the file has no such record, or is damaged.
    """
    try:
        (record,) = _open(file).read([number])
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(f"{file}: record {number} cannot be read") from error
    return record


def read_array_records(file: AnyPath) -> Iterator[bytes]:
    """All records of a file, in their order; raises `InputError` where it holds none."""
    count = _open(file).num_records()
    if not count:
        raise InputError(f"{file}: {file.stat().st_size} bytes that hold no record")
    for begin in range(0, count, BATCH):
        try:
            yield from _open(file).read(begin, min(begin + BATCH, count))
        except RuntimeError as error:
            raise InputError(f"{file}: damaged, record {begin} or one behind it") from error


def _open(file: AnyPath):
    check_local("files of format array_record", str(file))
    now = file.stat()
    with _lock:
        return _opened(str(file), now.st_size, now.st_mtime_ns)


@lru_cache(OPEN_FILES)
def _opened(name: str, *_):
    """The reader of a file in some state; several threads may use it."""
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError as error:  # there are no builds of it for Windows
        raise InputError(
            f"{name}: needs the package array_record; or build the dataset with "
            "--file_format=tfrecord"
        ) from error
    return ArrayRecordReader(name)
