"""Where each record of a TFRecord file lies, so that any can be read without those before it.

A record is its length (uint64), a checksum of that (4 bytes), its content and a checksum of that
(https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details").
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from data.common.errors import InputError
from data.common.logs import logger
from data.storage.folders import read_part
from data.storage.paths import AnyPath
from data.tfrecords.array_records import is_array_record, read_array_record, read_array_records

BEFORE, AFTER = 12, 4  # bytes around a record's content


def scan_records(file: AnyPath) -> tuple[np.ndarray, np.ndarray]:
    """Finds the records of a file by their lengths; their content is not read.

    Returns:
      int64 [n], where the contents begin; int64 [n], how long they are. What follows the last
      complete record is named in the log.

    Raises:
      InputError: the file holds no complete record.
    """
    with file.open("rb", buffering=0) as content:
        return _scan(file, content)


def _scan(file: AnyPath, content: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
    """As `scan_records`, of an opened file."""
    begins, lengths = [], []
    size, at = content.seek(0, os.SEEK_END), 0
    while at + BEFORE + AFTER <= size:
        content.seek(at)
        (length,) = struct.unpack("<Q", content.read(8))
        if at + BEFORE + length + AFTER > size:
            break
        begins.append(at + BEFORE)
        lengths.append(length)
        at += BEFORE + length + AFTER
    if not begins:
        raise InputError(f"{file}: {size} bytes that hold no complete record")
    if at != size:
        logger.warning("%s: ends after %d bytes, within record %d", file, at, len(begins) + 1)
    return np.array(begins, np.int64), np.array(lengths, np.int64)


def read_bytes_feature(file: AnyPath, begin: int, length: int, feature: str) -> bytes:
    """One bytes feature of a tf.train.Example at a place that `read_small_features` found.

    Raises:
      InputError: there is no such example, or it has no such feature.
    """
    if is_array_record(file):
        serialised = read_array_record(file, begin)
    else:
        serialised = read_part(file, begin, begin + length)
    try:
        return serialised[_find_values(serialised, 0, len(serialised), (feature,))[feature]]
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise InputError(f"{say_place(file, begin)} has no {feature!r}") from error


def say_place(file: AnyPath, begin: int) -> str:
    """In words, where a record lies."""
    return f"{file}, record {'' if is_array_record(file) else 'at byte '}{begin}"


def read_small_features(
    file: AnyPath, names: Sequence[str]
) -> Iterator[tuple[int, int, dict[str, bytes]]]:
    """Some features of every record, without reading the images beside them.

    Args:
      file: TFRecord or ArrayRecord file of tf.train.Example messages.
      names: of features that have one value.

    Yields:
      where a record's content begins (its number in an ArrayRecord file), its length, and
      {name: value as it is stored}: text, or what `integer` and `real` turn into a number.

    Raises:
      InputError: a record has none of that name, or is damaged.
    """
    if is_array_record(file):
        for number, record in enumerate(read_array_records(file)):
            yield number, len(record), _find(record, 0, len(record), names, say_place(file, number))
        return
    with _content(file) as (content, begins, lengths):
        for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
            yield begin, length, _find(content, begin, length, names, say_place(file, begin))


def _find(content, begin: int, length: int, names: Sequence[str], place: str) -> dict[str, bytes]:
    try:
        values = _find_values(content, begin, begin + length, names)
        return {name: content[values[name]] for name in names}
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise InputError(f"{place} lacks {', '.join(names)}") from error


@contextlib.contextmanager
def _content(file: AnyPath) -> Iterator:
    """Context with a file's bytes, of which only what is looked at is read, and its records."""
    with file.open("rb", buffering=0) as opened:
        begins, lengths = _scan(file, opened)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            content.madvise(mmap.MADV_RANDOM)
            yield content, begins, lengths


def integer(stored: bytes) -> int:
    """The first number of an int64 feature that is not negative."""
    return _varint(stored, 0)[0]


def real(stored: bytes) -> float:
    """The first number of a float feature."""
    return struct.unpack_from("<f", stored)[0]


def _find_values(content, begin: int, end: int, names) -> dict[str, slice]:
    """Where the first value of each named feature of a serialised tf.train.Example is.

    Example.features (1) is Features; Features.feature (1) is a map, whose entries have a key (1)
    and a value (2); that is a Feature with one list, whose values (1) are bytes, or numbers packed
    (tensorflow/core/example/*.proto). Values of other names are passed over unread.
    """
    found = {}
    for _, *features in _fields(content, begin, end):
        for _, *entry in _fields(content, *features):
            spans = {number: span for number, *span in _fields(content, *entry)}
            name = content[slice(*spans[1])].decode()
            if name in names:
                _, *values = next(_fields(content, *spans[2]))
                _, *first = next(_fields(content, *values))
                found[name] = slice(*first)
    return found


def _fields(content, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, begin, end) of a message's fields, all of them length-delimited.

    Source: https://protobuf.dev/programming-guides/encoding/.
    """
    while at < end:
        tag, at = _varint(content, at)
        if tag & 7 != 2:
            raise ValueError(f"wire type {tag & 7}")
        length, at = _varint(content, at)
        yield tag >> 3, at, at + length
        at += length


def _varint(content, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            return value, at
