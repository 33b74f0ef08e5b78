"""Where pre-training reads frames: image files, record files, a TFDS dataset, or videos themselves.

All are read through one small interface, by row: the frames of all videos, video after video, each
in the order of time. No source holds images; what it holds grows by some bytes a frame.
"""

import abc
import bisect
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from data.errors import InputError
from data.files import AnyPath
from data.images import read_image
from data.index import FrameIndex
from data.record_offsets import read_bytes_feature
from data.video_frames import VideoReader

UNKNOWN = -1.0  # seconds


class FrameSource(abc.ABC):
    """Frames by row; safe to read from several threads.

    Attributes:
      videos: names of the videos, each of which has a frame or more.
      starts: int64 [videos + 1]; video v has the rows from starts[v] to starts[v + 1] - 1.
      excluded: names of the videos that are there, but were left out.
    """

    def __init__(self, videos: Sequence[str], counts: Sequence[int], excluded: Sequence[str] = ()):
        self.videos = tuple(videos)
        self.starts = np.cumsum([0, *counts], dtype=np.int64)
        self.excluded = tuple(excluded)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @abc.abstractmethod
    def read(self, row: int) -> np.ndarray:
        """The frame, RGB, uint8 [height, width, 3]; raises `InputError` or `OSError`."""

    @abc.abstractmethod
    def name(self, row: int) -> str:
        """What a person would call the frame: its file, or its file and its place there."""

    @abc.abstractmethod
    def second(self, row: int) -> float:
        """When the frame is shown, in seconds since its video's beginning; UNKNOWN if nothing says.

        Within a video it ascends, or is unknown throughout.
        """

    def video_of(self, row: int) -> int:
        """Position in `videos` of the video that a frame is of."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def neighbours(self, row: int, seconds: float) -> range:
        """The rows of the same video that are at most `seconds` away, `row` among them.

        Only `row` itself where times are unknown.
        """
        video, time = self.video_of(row), self.second(row)
        if time == UNKNOWN:
            return range(row, row + 1)
        rows = range(int(self.starts[video]), int(self.starts[video + 1]))
        first = bisect.bisect_left(rows, time - seconds, key=self.second)
        return rows[first : bisect.bisect_right(rows, time + seconds, key=self.second)]


class ImageSource(FrameSource):
    """Extracted frames, PNG or JPEG, of an index.

    Args:
      index: the frames.
      fps: float or [videos], frames per second of video that were extracted; 0 where the numbers
        in the files' names are not known to count them.
      excluded: names of the videos that are not in the index any more.
    """

    def __init__(self, index: FrameIndex, fps=1.0, excluded: Sequence[str] = ()):
        super().__init__(index.videos, np.bincount(index.video), excluded)
        self._fps = np.broadcast_to(fps, len(index.videos))
        self._index = index

    def read(self, row):
        return read_image(self.name(row))

    def name(self, row):
        return self._index.paths([row])[0]

    def second(self, row):
        fps = self._fps[self._index.video[row]]
        return (int(self._index.frame[row]) - 1) / float(fps) if fps else UNKNOWN


class RecordSource(FrameSource):
    """Encoded frames in TFRecord files of tf.train.Example messages.

    Args:
      videos, counts, excluded: as for `FrameSource`.
      files: the record files.
      table: columns by row: "shard" position in `files`, "begin" and "length" of the record in
        bytes, "second".
      feature: the image's name in the examples.
    """

    def __init__(self, videos, counts, excluded, files: Sequence[AnyPath], table, feature: str):
        super().__init__(videos, counts, excluded)
        self._files, self._table, self._feature = tuple(files), table, feature

    def read(self, row):
        file, begin, length = (int(self._table[name][row]) for name in ("shard", "begin", "length"))
        encoded = read_bytes_feature(self._files[file], begin, length, self._feature)
        try:
            image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:  # no bytes at all, or an image larger than OpenCV's limit
            image = None
        if image is None:
            raise InputError(f"{self.name(row)}: {len(encoded)} bytes that are no complete image")
        return image

    def name(self, row):
        file, begin = self._files[self._table["shard"][row]], self._table["begin"][row]
        return f"{file}, record at byte {begin}"

    def second(self, row):
        return float(self._table["second"][row])


class VideoSource(FrameSource):
    """Frames decoded from the videos themselves, at a rate.

    Slower than extracted frames by far, since a frame is decoded with those before it since the
    last key frame: for a first look, or where there is no room for frames.

    Args:
      files: {name: file}.
      timings: {name: (numbers, seconds)}, as `data.video_frames.read_timings` returns them.
      excluded: as for `FrameSource`.
    """

    OPEN = 4  # videos that each thread keeps open

    def __init__(self, files: Mapping[str, Path], timings, excluded: Sequence[str] = ()):
        super().__init__(list(timings), [len(numbers) for numbers, _ in timings.values()], excluded)
        self._files = [files[name] for name in timings]
        self._numbers = np.concatenate([numbers for numbers, _ in timings.values()])
        self._seconds = np.concatenate([seconds for _, seconds in timings.values()])
        self._of_thread = threading.local()

    def read(self, row):
        reader = self._reader(self.video_of(row))
        return reader.read(int(self._numbers[row]), self.second(row))

    def name(self, row):
        return f"{self._files[self.video_of(row)]}, frame {self._numbers[row]}"

    def second(self, row):
        return float(self._seconds[row])

    def _reader(self, video: int) -> VideoReader:
        """An open video of this thread, the most recently used last."""
        readers = self._of_thread.__dict__.setdefault("readers", {})
        reader = readers.pop(video, None) or VideoReader(self._files[video])
        while len(readers) >= self.OPEN:
            readers.pop(next(iter(readers))).close()
        readers[video] = reader
        return reader
