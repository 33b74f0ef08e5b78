"""Frames by row, whatever they are in: image files, shards, record files, or videos themselves.

Pre-training, evaluation and inference read frames through `Frames` alone. No images are held in
memory; what is held grows by some bytes a frame.
"""

import abc
import bisect
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import PurePath

import numpy as np

from data.common.errors import InputError, reason_of
from data.images.decoding import Reduction, Shape, shrink
from data.storage.paths import AnyPath, is_remote, to_path

IMAGES_AT_ONCE = 8  # that one thread reads before it takes others


class Frames(abc.ABC):
    """Frames by row. Safe to read from several threads.

    The rows are the frames of one video after the other, each in the order of time; only those of
    a text file of image paths are in the order of that file.

    Attributes:
      videos: names of the videos, each of which has a frame or more.
      video: int32 [n], positions in `videos`.
      phase: int8 [n], positions in `phases`, -1 where unknown.
      phases: their names; none where nothing is annotated.
      label, classes: the same of still images in classes, int16 [n].
      excluded: names of the videos that were left out as asked for.
      fps: frames per second that are taken of the videos; None where that is not one number.
      faults: a line for every input that cannot be used at all, or not to its end.
      passed_over: how many files in the folders are neither images nor videos, as was asked for.
      listed: where these are only some of the videos that were found, a hash of all of them.
      damaged: names of the videos whose files are known to hold less than the video.
    """

    def __init__(
        self,
        videos: Sequence[str],
        video: np.ndarray,
        phase: np.ndarray | None = None,
        phases: Sequence[str] = (),
        excluded: Sequence[str] = (),
        faults: Sequence[str] = (),
        passed_over: int = 0,
    ):
        self.videos = tuple(videos)
        self.video = np.asarray(video, np.int32)
        self.phase = np.full(len(self.video), -1, np.int8) if phase is None else phase
        self.phases = tuple(phases)
        self.label, self.classes = np.full(len(self.video), -1, np.int16), ()
        self.fps = None
        self.excluded = tuple(excluded)
        self.faults = list(faults)
        self.passed_over = passed_over
        self.listed = ""
        self.damaged: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.video)

    @abc.abstractmethod
    def read(self, row: int) -> np.ndarray:
        """The frame, RGB, uint8 [height, width, 3]; raises `InputError` or `OSError`."""

    def read_reduced(self, row: int, reduction: Reduction) -> tuple[np.ndarray, Shape]:
        """The frame no larger than it is needed, which takes less time where it is a JPEG file.

        Args:
          row: as for `read`.
          reduction: (height, width) -> 1, 2, 4 or 8.

        Returns:
          The frame, its sides divided by `reduction`, and the (height, width) that it has whole.
        """
        image = self.read(row)
        return shrink(image, reduction(image.shape[:2])), image.shape[:2]

    @abc.abstractmethod
    def paths(self, rows) -> list[str]:
        """The files that the frames at `rows`, a range or an array of positions, are in."""

    @abc.abstractmethod
    def seconds(self, rows) -> np.ndarray:
        """When frames are shown, in seconds since their video's beginning; NaN if nothing says.

        Args:
          rows: a position, an array of positions, or a slice.

        Returns:
          float64 of the shape of `rows`. Within a video it ascends, or is unknown throughout.
        """

    def name(self, row: int) -> str:
        """What a person would call the frame: its file, or its file and its place there."""
        return self.paths([row])[0]

    def read_in_order(self, rows: range) -> Iterator[np.ndarray | InputError]:
        """The frames as `read` returns them, or the reason why one is unreadable."""
        for row in rows:
            try:
                item = self.read(row)
            except InputError as error:
                item = error
            except OSError as error:
                item = InputError(f"{self.name(row)}: {reason_of(error)}")
            yield item

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[range]:
        """The rows from `start` to before `stop`, in parts that one thread each reads well."""
        stop = len(self) if stop is None else stop
        for first in range(start, stop, IMAGES_AT_ONCE):
            yield range(first, min(first + IMAGES_AT_ONCE, stop))

    @cached_property
    def second(self) -> np.ndarray:
        """float64 [n], `seconds` of all rows."""
        return self.seconds(slice(None))

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 [videos + 1]; video v has the rows from starts[v] to starts[v + 1] - 1."""
        return np.searchsorted(self.video, np.arange(len(self.videos) + 1, dtype=np.int32))

    def neighbours(self, row: int, seconds: float) -> range:
        """The rows of the same video that are at most `seconds` away, `row` among them.

        Only `row` itself where times are unknown.
        """
        time = self._time(row)
        if time == -np.inf:
            return range(row, row + 1)
        rows = range(*self.starts[self.video[row] :][:2].tolist())
        first = bisect.bisect_left(rows, time - seconds, key=self._time)
        return rows[first : bisect.bisect_right(rows, time + seconds, key=self._time)]

    def _time(self, row: int) -> float:
        """What neighbours are found by; unknown is before all others."""
        second = float(self.seconds(row))
        return -np.inf if np.isnan(second) else second

    def files(self, rows) -> list[AnyPath]:
        """The files that `paths` names, each once."""
        return [to_path(path) for path in dict.fromkeys(self.paths(rows))]

    def state(self, rows: range) -> str:
        """A hash of which frames these are: times, and names, sizes and times of change of files.

        The times that programs set count, and those (ctime) that none sets. The folder that files
        are in makes no difference. Of remote ones, which take long to ask, names are all that
        counts.
        """
        return self._state_by(rows, functools.partial(file_state, by_ctime=True))

    def former_state(self, rows: range) -> str | None:
        """What `state` was in earlier versions, None where it is the same."""
        return self._state_by(rows, file_state)

    def _state_by(self, rows: range, state_of: Callable[[AnyPath], str]) -> str:
        digest = hashlib.sha256(self.seconds(slice(rows.start, rows.stop)).tobytes())
        digest.update("\n".join(PurePath(path).name for path in self.paths(rows)).encode())
        for file in self.files(rows):
            digest.update(state_of(file).encode())
        return digest.hexdigest()

    def video_names(self, rows) -> list[str]:
        """The names of the videos that frames are of."""
        return [self.videos[place] for place in self.video[rows]]


class SelectedFrames(Frames):
    """Some rows of other frames, in any order."""

    def __init__(self, frames: Frames, rows: np.ndarray):
        super().__init__(frames.videos, frames.video[rows])
        self._frames, self._rows = frames, rows

    def read(self, row):
        return self._frames.read(int(self._rows[row]))

    def read_reduced(self, row, reduction):
        return self._frames.read_reduced(int(self._rows[row]), reduction)

    def paths(self, rows):
        return self._frames.paths(self._rows[rows])

    def seconds(self, rows):
        return self._frames.seconds(self._rows[rows])


def file_state(file: AnyPath, by_ctime: bool = False) -> str:
    """What tells one version of a file from another; "missing" where it is, "" of a remote one.

    With `by_ctime` the time of change counts, too, that no program sets: also rights, a link or
    another disk change it.
    """
    if is_remote(file):
        return ""
    try:
        state = file.stat()
    except OSError:
        return "missing"
    ctime = f" {state.st_ctime_ns}" if by_ctime else ""
    return f"{state.st_size} {state.st_mtime_ns}{ctime}"


def repeated(counts: Sequence[int]) -> np.ndarray:
    """int32 [n], the position of the video of each frame, for the videos' numbers of frames."""
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)
