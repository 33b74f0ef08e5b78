"""Packs the frames of a dataset: many image files into a few shards (`data/tfrecords/packed.py`).

A shard that is whole is kept, by the next call, too, as long as the images in it are what they
were. One that is written appears under its name when it is complete.
"""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.archives.room import require_space
from data.common.errors import InputError, check_range, reason_of, some
from data.common.progress import ProgressBar
from data.dataset.audit import Audit
from data.dataset.frame_index import FrameIndex, load_index
from data.dataset.index_columns import INDEX
from data.storage.whole import whole_file, write_json
from data.tfrecords.offsets import AFTER, BEFORE, scan_records
from data.tfrecords.packed import (
    MANIFEST,
    PACKED,
    PLACES,
    digests_of,
    extractions,
    mark_changed,
    open_pack,
    other_videos,
)

MB = 1_000_000
SIZES = (1, 4000)  # MB; places are numbers below 4 GiB
AT_ONCE = 64  # images in memory
SAMPLED = 1000  # images whose sizes tell the room that all of them need
BESIDE_AN_IMAGE = 120  # bytes of its record and its row, about
NOTE = pa.schema(
    [
        ("file", pa.string()),  # relative to the dataset directory
        ("changed", pa.int64()),  # nanoseconds
        ("begin", pa.uint32()),  # of the image in the shard
        ("length", pa.uint32()),
    ]
)
LIMIT, BYTES = b"limit", b"bytes"  # what a note says of its shard


def check_size(megabytes: int) -> None:
    """Raises `InputError` for a size that shards cannot have."""
    check_range("--pack_size", megabytes, *SIZES)


def pack_frames(root: Path, megabytes: int) -> str:
    """Packs the frames that pre-training reads, as the index of a dataset has them.

    Args:
      root: dataset directory.
      megabytes: that a shard has at most, but for one that holds a single larger image.

    Returns:
      How many shards there are, and how many of them were written, in words.

    Raises:
      InputError: the dataset has no index, an image cannot be read, or the disk has too little
        room for all.
      OSError: the disk is full, for instance; what is packed is kept.
    """
    check_size(megabytes)
    index = load_index(root, pretraining=True)
    folder = root / PACKED
    packing = _Packing(root, index, megabytes * MB)
    require_space(folder, round(packing.estimate()[1]), f"{folder}: a copy of the frames")
    folder.mkdir(exist_ok=True)
    with ProgressBar(desc="packing", total=len(index), unit="frame") as bar:
        for count in packing.shards():
            bar.update(count)
    places = np.concatenate(packing.places)
    if len(places) != len(index):
        raise RuntimeError(f"{folder}: {len(places)} of {len(index)} frames are packed")
    with whole_file(folder / PLACES, durable=True) as side, side.open("wb") as file:
        np.save(file, places)
    extracted = extractions(root)
    counts = np.bincount(index.video, minlength=len(index.videos)).tolist()
    digests = digests_of(index, dict.fromkeys(index.videos, root))
    videos = {
        video: {
            "frames": count,
            "digest": digests[video],
            "extracted": extracted.get(video, ""),
        }
        for video, count in zip(index.videos, counts, strict=True)
    }
    write_json(folder / MANIFEST, {"shards": packing.done, "videos": videos})
    packing.remove_others()
    return f"{folder}: {len(packing.done)} shards, {packing.written} of them written now"


def room_to_pack(root: Path, megabytes: int) -> tuple[int, float]:
    """How many frames of the index are not packed, and about how many bytes they will take."""
    if not (root / INDEX).is_file():
        return 0, 0.0
    return _Packing(root, load_index(root, pretraining=True), megabytes * MB).estimate()


def remark_packed(root: Path, audit: Audit) -> None:
    """Says that a dataset has been packed before it became what it is, where that is so."""
    if not (root / PACKED / MANIFEST).is_file():
        return
    if audit.changed:
        mark_changed(root, audit.changed)
    index = load_index(root, pretraining=True)
    try:
        other = other_videos(
            root, open_pack(root), digests_of(index, dict.fromkeys(index.videos, root))
        )
    except InputError as error:
        audit.remark(str(error))
        return
    if other:
        audit.remark(
            f"{root / PACKED}: not the frames that there are now of {some(other)}; --pack packs "
            "these again"
        )


class _Packing:
    """The shards of a dataset, row by row.

    Attributes:
      done: of each shard its "file", "frames" and "bytes".
      places: uint32 [n, 2] of each.
      written: how many were not there.
    """

    def __init__(self, root: Path, index: FrameIndex, limit: int):
        self.root, self.index, self.limit = root, index, limit
        self.folder, self.prefix = root / PACKED, len(f"{root.absolute()}/")
        self.done, self.places, self.written = [], [], 0
        self.known = {}  # first file -> (shard, note) of those that are whole
        for note in sorted(self.folder.glob("[!.]*.parquet")):
            shard = note.with_suffix(".tfrecord")
            if table := _read_note(note, shard, limit):
                self.known[table["file"][0].as_py()] = shard, table
        self.numbers = {file.stem for file in self.folder.glob("[!.]*.tfrecord")}

    def estimate(self) -> tuple[int, float]:
        """Frames that no shard has, by number, and about how many bytes they will take."""
        missing = max(0, len(self.index) - sum(len(table) for _, table in self.known.values()))
        rows = np.linspace(0, len(self.index) - 1, min(SAMPLED, len(self.index))).astype(int)
        sizes = [state[0] for file in self.index.paths(rows) if (state := _state(Path(file)))]
        return missing, missing * (BESIDE_AN_IMAGE + float(np.mean(sizes or [0])))

    def shards(self) -> Iterator[int]:
        """Makes one shard after the other; yields how many frames each has."""
        row = 0
        while row < len(self.index):
            first = self._files(row, row + 1)[0]
            shard, table = self.known.get(first, (None, None))
            if table is None or not self._is_same(row, table):
                (self.folder / MANIFEST).unlink(missing_ok=True)  # before anything of it changes
                if shard:
                    shard.unlink()
                shard, table = self._write(row)
                self.written += 1
            self.done.append(
                {"file": shard.name, "frames": len(table), "bytes": shard.stat().st_size}
            )
            self.places.append(np.stack([table["begin"], table["length"]], axis=1))
            row += len(table)
            yield len(table)

    def remove_others(self) -> None:
        """Removes the shards, and their notes, that are not used any more."""
        used = {shard["file"].removesuffix(".tfrecord") for shard in self.done}
        for file in self.folder.glob("[!.]*"):
            if file.suffix in (".tfrecord", ".parquet") and file.stem not in used:
                file.unlink()

    def _files(self, start: int, stop: int) -> list[str]:
        """Files of rows, relative to the dataset directory."""
        return [path[self.prefix :] for path in self.index.paths(np.arange(start, stop))]

    def _is_same(self, row: int, table: pa.Table) -> bool:
        """Whether the next rows are the images of a shard, as they were when it was written."""
        files = self._files(row, min(row + len(table), len(self.index)))
        if files != table["file"].to_pylist():
            return False
        states = zip(table["length"].to_pylist(), table["changed"].to_pylist(), strict=True)
        return all(
            _state(self.root / file) == state for file, state in zip(files, states, strict=True)
        )

    def _write(self, row: int) -> tuple[Path, pa.Table]:
        """Writes the shard that begins with a row: up to the limit, or to one that is known."""
        number = next(n for n in range(len(self.numbers) + 1) if _stem(n) not in self.numbers)
        shard = self.folder / f"{_stem(number)}.tfrecord"
        self.numbers.add(shard.stem)
        with whole_file(shard, durable=True) as side:
            rows = _write_records(side, self._images(row), self.limit, self.known)
            begins, lengths = scan_records(side)
            ends = [begin + length for _, _, begin, length in rows]
            if (begins + lengths).tolist() != ends:  # an image is the end of its record
                raise RuntimeError(f"{shard}: not what was written")
            size = side.stat().st_size
        columns = zip(*rows, strict=True)
        table = pa.table(list(map(list, columns)), NOTE)
        table = table.replace_schema_metadata({LIMIT: str(self.limit), BYTES: str(size)})
        with whole_file(shard.with_suffix(".parquet"), durable=True) as side:
            pq.write_table(table, side, compression="zstd")
        return shard, table

    def _images(self, row: int) -> Iterator[tuple[str, int, int, bytes]]:
        """File, frame number, time of change and bytes of all images from a row on."""
        with ThreadPoolExecutor() as pool:
            for start in range(row, len(self.index), AT_ONCE):
                files = self._files(start, min(start + AT_ONCE, len(self.index)))
                read = pool.map(_read, (self.root / file for file in files))
                frames = self.index.frame[start : start + AT_ONCE].tolist()
                for file, frame, image in zip(files, frames, read, strict=True):
                    yield file, frame, *image


def _stem(number: int) -> str:
    return f"frames-{number:05d}"


def _write_records(path: Path, images: Iterator, limit: int, known) -> list[tuple]:
    """Writes a shard; returns the rows of its note."""
    import tensorflow as tf  # slow

    rows, at = [], 0
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for file, frame, changed, image in images:
                record = _serialise(file, frame, image)
                end = at + BEFORE + len(record)
                if rows and (end + AFTER > limit or file in known):
                    break
                writer.write(record)
                rows.append((file, changed, end - len(image), len(image)))
                at = end + AFTER
    except tf.errors.OpError as error:  # "PATH; File too large", of a quota or a FAT disk
        raise OSError(errno.EIO, error.message.rpartition("; ")[2]) from error
    return rows


def _serialise(file: str, frame: int, image: bytes) -> bytes:
    """A tf.train.Example that ends with the image: its features are in the order of names."""
    import tensorflow as tf

    feature, texts = tf.train.Feature, tf.train.BytesList
    features = {
        "file": feature(bytes_list=texts(value=[os.fsencode(file)])),
        "frame": feature(int64_list=tf.train.Int64List(value=[frame])),
        "image": feature(bytes_list=texts(value=[image])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _read(path: Path) -> tuple[int, bytes]:
    """When a file was changed, and its bytes; raises `InputError` where it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return os.fstat(file.fileno()).st_mtime_ns, file.read()
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}") from error


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change of a file, None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _read_note(note: Path, shard: Path, limit: int) -> pa.Table | None:
    """What a note says of a shard; None where that is not whole, or of another limit."""
    try:
        table = pq.read_table(note)
        said = table.schema.metadata
        is_whole = int(said[BYTES]) == shard.stat().st_size and int(said[LIMIT]) == limit
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    return table if is_whole and table.schema.equals(NOTE) and len(table) else None
