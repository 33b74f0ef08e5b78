"""Frames in the record files of others."""

from collections.abc import Sequence

import numpy as np

from data.frames.frames import Frames, repeated
from data.images.decoding import decode_image, decode_reduced
from data.storage.paths import AnyPath
from data.tfrecords.offsets import read_bytes_feature, say_place


class RecordFrames(Frames):
    """Encoded frames in TFRecord files of tf.train.Example messages.

    Args:
      videos: as for `Frames`.
      counts: frames of each video.
      files: the record files.
      table: columns by row: "shard" position in `files`, "begin" and "length" of the record in
        bytes (its number in an ArrayRecord file), "second", which is negative where it is unknown.
      feature: the image's name in the examples.
      **remarks: as for `Frames`.
    """

    def __init__(self, videos, counts, files: Sequence[AnyPath], table, feature: str, **remarks):
        super().__init__(videos, repeated(counts), **remarks)
        self._files, self._table, self._feature = tuple(files), table, feature

    def read(self, row):
        return decode_image(self._encoded(row), self.name(row))

    def read_reduced(self, row, reduction):
        return decode_reduced(self._encoded(row), self.name(row), reduction)

    def _encoded(self, row) -> np.ndarray:
        file, begin, length = (int(self._table[name][row]) for name in ("shard", "begin", "length"))
        encoded = read_bytes_feature(self._files[file], begin, length, self._feature)
        return np.frombuffer(encoded, np.uint8)

    def paths(self, rows):
        places = zip(self._table["shard"][rows], self._table["begin"][rows], strict=True)
        return [say_place(self._files[file], begin) for file, begin in places]

    def files(self, rows):
        return [self._files[file] for file in np.unique(self._table["shard"][rows])]

    def seconds(self, rows):
        second = self._table["second"][rows].astype(np.float64)
        return np.where(second < 0, np.nan, second)
