"""The pictures of a table's frames, read from the files that the table names."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.machine import user_cache
from data.images.image_io import read_image
from data.images.names import is_image
from data.storage.paths import is_remote
from data.video.clock import Clock, read_clock
from data.video.clocks import kept_timings
from data.video.seeking import VideoReader


def files_before(
    video: Iterable[str], path: Iterable[str], second: Iterable[float]
) -> dict[str, tuple[str, ...]]:
    """{file: those before it} of the operations that are in several video files.

    A file of which no frame was taken, as it is shorter than the time between two, is not known.

    Args:
      video: names, by frame.
      path: files that the frames are in.
      second: when they are shown, since the operation's beginning.
    """
    begins = {}  # video -> {file: its first second}
    latest = None
    for name, file, when in zip(video, path, second, strict=True):
        if (name, file) == latest or is_image(Path(file).name):
            continue
        latest = name, file
        of_video = begins.setdefault(name, {})
        of_video[file] = min(of_video.get(file, when), when)
    found = {}
    for of_video in begins.values():
        files = sorted(of_video, key=of_video.get)
        if len(files) > 1:
            found |= {file: tuple(files[:place]) for place, file in enumerate(files)}
    return found


class Pictures:
    """Reads frames by the file that they are in and, of videos, by their time.

    A frame of an operation that was joined from several files is in one of them, at a time since
    the operation's beginning: how long the files before it are is read from them. Of DICOM files
    tables have no paths, which may name a patient, and so their frames have no picture.

    Args:
      fps: frames per second that the table has of videos.
      before: {file: those before it of its operation, in their order}, as `files_before` finds
        them; of a file that is a whole video nothing is needed.

    Attributes:
      missing: {file: why} of what could not be read.
    """

    def __init__(self, fps: float | None = None, before: Mapping[str, Sequence[str]] | None = None):
        self.missing = {}
        self._fps, self._before, self._open = fps or 1.0, before or {}, None
        self._clocks: dict[str, Clock] = {}

    def read(self, path: str, second: float = np.nan) -> np.ndarray | None:
        """RGB, uint8 [height, width, 3], of the frame at `second`; None if it is gone."""
        if not path or is_remote(path) or path in self.missing:
            return None
        try:
            return read_image(path) if is_image(Path(path).name) else self._of_video(path, second)
        except (InputError, OSError) as error:
            self.missing[path] = str(error)
            return None

    def in_file(self, path: str, second: float) -> float:
        """When a frame is shown in the file that it is in; NaN where that cannot be told."""
        try:
            return second - sum(self._clock(file).seconds for file in self._before.get(path, ()))
        except (InputError, OSError):
            return float("nan")

    def _clock(self, path: str) -> Clock:
        if path not in self._clocks:
            self._clocks[path] = read_clock(Path(path))
        return self._clocks[path]

    def _of_part(self, path, second):
        """Of a file that others come before."""
        second = self.in_file(path, second)
        if np.isnan(second):
            raise InputError(f"{path}: its files before it cannot be read, nor so where it begins")
        clock = self._clock(path)
        between = (clock.times[1:] + clock.times[:-1]) / 2
        number = int(np.searchsorted(between, second + 1e-6, side="right"))
        with contextlib.closing(VideoReader(Path(path))) as reader:
            return reader.read(number, clock.first + float(clock.times[number]))

    def _of_video(self, path, second):
        if self._before.get(path):
            return self._of_part(path, second)
        if not self._open or self._open[0] != path:
            self.close()
            timings, faults = kept_timings({path: Path(path)}, self._fps, user_cache("clocks"))
            if path not in timings:
                raise InputError(faults[path])
            self._open = path, VideoReader(Path(path)), timings[path]
        _, reader, (numbers, seconds, first) = self._open
        place = min(round(np.nan_to_num(second) * self._fps), len(numbers) - 1)
        return reader.read(int(numbers[place]), first + float(seconds[place]))

    def close(self) -> None:
        """Closes the video that is open."""
        if self._open:
            self._open[1].close()
        self._open = None
