"""Where pre-training reads frames: image files, record files, a TFDS dataset, or videos themselves.

All are read through one small interface, by row: the frames of all videos, video after video, each
in the order of time. No source holds images; what it holds grows by some bytes a frame.
"""

import abc
import bisect
import contextlib
import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.images.completeness import find_cut
from data.images.image_io import decode_image, read_image
from data.storage.paths import AnyPath
from data.tfrecords.offsets import read_bytes_feature
from data.video.seeking import VideoReader

UNKNOWN_TIME = -1.0  # seconds


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
        """When the frame is shown, in seconds since its video's beginning, or UNKNOWN_TIME.

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
        if time == UNKNOWN_TIME:
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
        return (int(self._index.frame[row]) - 1) / float(fps) if fps else UNKNOWN_TIME


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
      timings: {name: (numbers, seconds)}, as `data.video.clocks.read_timings` returns them.
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


IMAGES_AT_ONCE = 8  # that one thread reads before it takes others
SECONDS_AT_ONCE = (
    128  # of video: a seek costs up to a key-frame interval, mostly 10 seconds or less
)


class FrameList(abc.ABC):
    """Frames by row. Safe to read from several threads.

    Attributes:
      videos: names of the videos.
      video: int32 [n], positions in `videos`.
      second: float64 [n], when a frame is shown, since its video's beginning; NaN if nothing says.
      phase: int8 [n], phase ids, -1 where unknown.
      faults: a line for every input that cannot be used at all, or not to its end.
      passed_over: how many files in the folders are neither images nor videos, as was asked for.
    """

    def __init__(self, videos, video, second, phase=None, faults=(), passed_over=0):
        self.videos = tuple(videos)
        self.video = np.asarray(video, np.int32)
        self.second = np.asarray(second, np.float64)
        self.phase = np.full(len(self.video), -1, np.int8) if phase is None else phase
        self.faults = list(faults)
        self.passed_over = passed_over

    def __len__(self) -> int:
        return len(self.video)

    @abc.abstractmethod
    def paths(self, rows: Iterable[int]) -> list[str]:
        """The files that the frames are in."""

    @abc.abstractmethod
    def read(self, rows: range) -> Iterator[np.ndarray | InputError]:
        """The frames, RGB, uint8 [height, width, 3], or the reason why one is unreadable."""

    def pieces(self, start: int = 0) -> Iterator[range]:
        """All rows from `start` on, in parts that are well read by one thread each."""
        for first in range(start, len(self), IMAGES_AT_ONCE):
            yield range(first, min(first + IMAGES_AT_ONCE, len(self)))

    def digest(self) -> str:
        """A hash of which frames these are."""
        found = hashlib.sha256(self.second.tobytes())
        for first in range(0, len(self), 4096):
            rows = range(first, min(first + 4096, len(self)))
            found.update("\n".join(self.paths(rows)).encode())
        return found.hexdigest()

    def video_names(self, rows) -> list[str]:
        """The names of the videos that frames are of."""
        return [self.videos[place] for place in self.video[rows]]


class ImageList(FrameList):
    """Image files.

    Args:
      files: paths by row: a list, or a `data.dataset.frame_index.FrameIndex`, which holds fewer
      bytes a frame.
      **columns: as for `FrameList`.
    """

    def __init__(self, files, **columns):
        super().__init__(**columns)
        self._files = files

    def paths(self, rows):
        if hasattr(self._files, "paths"):
            return self._files.paths(np.asarray(rows, np.int64))
        return [str(self._files[row]) for row in rows]

    def read(self, rows):
        for path in self.paths(rows):
            try:
                yield _read_whole(path)
            except InputError as error:
                yield error
            except OSError as error:
                yield InputError(f"{path}: {(error.strerror or str(error)).lower()}")


class SourceList(FrameList):
    """Frames of a `data.frames.sources.FrameSource`: those in record files."""

    def __init__(self, source: FrameSource):
        second = [source.second(row) for row in range(len(source))]
        video = np.repeat(np.arange(len(source.videos)), np.diff(source.starts))
        super().__init__(source.videos, video, second)
        self._source = source

    def paths(self, rows):
        return [self._source.name(row) for row in rows]

    def read(self, rows):
        for row in rows:
            try:
                yield self._source.read(row)
            except (InputError, OSError) as error:
                yield InputError(f"{self._source.name(row)}: {error}")


class VideoList(FrameList):
    """Frames decoded from videos at a rate, those that `data.preparation.extraction` would write.

    Args:
      files: {name: file}.
      numbers: {name: int [frames]}, which frames of the file are taken.
      times: {name: float [frames]}, when they are shown, in seconds since the first.
      fps: frames per second that are taken.
      faults, passed_over: as for `FrameList`.
    """

    def __init__(self, files, numbers, times, fps, faults, passed_over):
        counts = [len(numbers[name]) for name in numbers]
        super().__init__(
            list(numbers),
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate([np.empty(0), *(np.arange(count) / fps for count in counts)]),
            faults=faults,
            passed_over=passed_over,
        )
        self._files = [files[name] for name in numbers]
        self._numbers = np.concatenate([np.empty(0, np.int64), *numbers.values()])
        self._times = np.concatenate([np.empty(0), *times.values()])
        self._starts = np.cumsum([0, *counts])
        self._at_once = max(1, round(SECONDS_AT_ONCE * fps))

    def paths(self, rows):
        return [str(self._files[self.video[row]]) for row in rows]

    def read(self, rows):
        left = len(rows)
        try:
            reader = VideoReader(self._files[self.video[rows[0]]])
            with contextlib.closing(reader):
                numbers = self._numbers[rows.start : rows.stop].tolist()
                for image in reader.read_on(numbers, float(self._times[rows[0]])):
                    yield image
                    left -= 1
        except InputError as error:  # it holds for the frames after it, too
            yield from itertools.repeat(error, left)

    def pieces(self, start=0):
        for begin, end in itertools.pairwise(self._starts.tolist()):
            for first in range(max(begin, start), end, self._at_once):
                yield range(first, min(first + self._at_once, end))


def _read_whole(path):
    data = np.fromfile(path, np.uint8)
    if fault := find_cut(data.tobytes(), len(data)):
        raise InputError(f"{path}: {fault}")
    return decode_image(data, path)
