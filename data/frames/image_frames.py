"""Frames of an index: image files, or the same images packed into shards."""

from collections.abc import Sequence

import numpy as np

from data.dataset.frame_index import FrameIndex
from data.frames.frames import Frames
from data.images.decoding import decode_image, decode_reduced
from data.images.image_io import read_image, read_reduced
from data.storage.parts import PartReader
from data.storage.paths import AnyPath
from data.tfrecords.offsets import say_place
from data.tfrecords.packed import Pack


class ImageFrames(Frames):
    """Image files.

    Args:
      index: the frames, an attribute, too.
      fps: float or [videos], frames per second of video that were extracted; NaN where the numbers
        in the files' names are not known to count them.
      **remarks: as for `Frames`.
    """

    def __init__(self, index: FrameIndex, fps=1.0, **remarks):
        super().__init__(index.videos, index.video, index.phase, index.classes.phases, **remarks)
        self.label, self.classes = index.label, index.classes.classes
        self.index = index
        self._fps = np.broadcast_to(fps, len(index.videos))
        if len(rates := np.unique(self._fps)) == 1 and np.isfinite(rates).all():
            self.fps = float(rates[0])

    def read(self, row):
        return read_image(self.name(row))

    def read_reduced(self, row, reduction):
        return read_reduced(self.name(row), reduction)

    def paths(self, rows):
        return self.index.paths(np.asarray(rows, np.int64))

    def seconds(self, rows):
        return self.index.seconds(rows, self._fps[self.video[rows]])


class PackedFrames(ImageFrames):
    """Images of an index that are packed into shards (`data/tfrecords/packed.py`).

    Args:
      index, fps, **remarks: as for `ImageFrames`.
      packs: of each video, where it is packed.
    """

    def __init__(self, index: FrameIndex, packs: Sequence[Pack], fps=1.0, **remarks):
        super().__init__(index, fps, **remarks)
        self._packs = tuple(packs)
        firsts = [pack.starts[v] for pack, v in zip(packs, self.videos, strict=True)]
        self._shift = np.array(firsts, np.int64) - self.starts[:-1]
        self._parts = PartReader()

    def read(self, row):
        return decode_image(self.encoded(row), self.name(row))

    def read_reduced(self, row, reduction):
        return decode_reduced(self.encoded(row), self.name(row), reduction)

    def encoded(self, row: int) -> np.ndarray:
        """The image file, as it was packed: uint8 [bytes]."""
        return self._parts.read(*self._place(row))

    def name(self, row):
        shard, begin, _ = self._place(row)
        return f"{say_place(shard, begin)}, {super().name(row)}"

    def files(self, rows):
        return list(dict.fromkeys(self._place(row)[0] for row in np.arange(len(self))[rows]))

    def _place(self, row: int) -> tuple[AnyPath, int, int]:
        video = self.video[row]
        return self._packs[video].place(int(row + self._shift[video]))
