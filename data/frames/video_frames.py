"""Frames that are decoded from videos themselves, as they are asked for."""

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.frames.frames import Frames, repeated
from data.video.parts import PartsReader, Places
from data.video.seeking import VideoReader

# Of video: a seek costs up to a key-frame interval, mostly 10 seconds or less.
SECONDS_AT_ONCE = 128


class VideoFrames(Frames):
    """Frames decoded from videos at a rate, those that `data.extraction.extracting` would write.

    In any order slower than extracted frames by far, since a frame is decoded with those before it
    since the last key frame: for a first look, or where there is no room for frames.

    Args:
      files: {name: file}, or its `data.video.parts.Places` where it is in several, or in DICOM.
      timings: {name: what `Clock.take` returns}: which frames of the file are taken, and when they
        are shown.
      fps: frames per second that are taken: the n-th of a video is of second n / fps.
      states: {name: (what `file_state` said of its files before their clocks were read, digests of
        samples of them)}; of others, it is asked when it is needed.
      **remarks: as for `Frames`.
    """

    OPEN = 4  # videos that each thread keeps open for `read`

    def __init__(
        self,
        files: Mapping[str, Path | Places],
        timings: Mapping,
        fps: float,
        states: Mapping[str, tuple[str, str]] | None = None,
        **remarks,
    ):
        super().__init__(timings, repeated([len(n) for n, *_ in timings.values()]), **remarks)
        self._files = [files[name] for name in timings]
        self._numbers = np.concatenate([np.empty(0, int), *(n for n, *_ in timings.values())])
        self._times = np.concatenate(
            [np.empty(0), *(seconds for _, seconds, _ in timings.values())]
        )
        self._firsts = [first for *_, first in timings.values()]
        self.fps, self._of_thread = fps, threading.local()
        self._states = states or {}

    def read(self, row):
        video = self.video[row]
        stamp = self._firsts[video] + float(self._times[row])
        return self._reader(video).read(int(self._numbers[row]), stamp)

    def read_in_order(self, rows):
        video, place = self.video[rows[0]], slice(rows.start, rows.stop)
        stamps = self._firsts[video] + self._times[place]
        try:
            with contextlib.closing(_open_reader(self._files[video])) as reader:
                yield from reader.read_on(self._numbers[place].tolist(), stamps.tolist())
        except InputError as error:  # it is no video any more
            yield from itertools.repeat(error, len(rows))

    def pieces(self, start=0, stop=None):
        stop = len(self) if stop is None else stop
        at_once = max(1, round(SECONDS_AT_ONCE * self.fps))
        for begin, end in itertools.pairwise(self.starts.tolist()):
            for first in range(max(begin, start), min(end, stop), at_once):
                yield range(first, min(first + at_once, end, stop))

    def paths(self, rows):
        return [
            self._path(video, number)
            for video, number in zip(self.video[rows], self._numbers[rows], strict=True)
        ]

    def name(self, row):
        return f"{self._path(self.video[row], self._numbers[row])}, frame {self._numbers[row]}"

    def _path(self, video: int, number: int) -> str:
        file = self._files[video]
        return file.path(number) if isinstance(file, Places) else str(file)

    def seconds(self, rows):
        return (np.arange(len(self))[rows] - self.starts[self.video[rows]]) / self.fps

    def state(self, rows):
        state = self._states.get(self.videos[self.video[rows.start]])
        return self._state(rows, "".join(state)) if state else super().state(rows)

    def former_state(self, rows):
        state = self._states.get(self.videos[self.video[rows.start]])
        return self._state(rows, state[0]) if state else super().former_state(rows)

    def _state(self, rows: range, of_files: str) -> str:
        seconds = self.seconds(slice(rows.start, rows.stop))
        return hashlib.sha256(seconds.tobytes() + of_files.encode()).hexdigest()

    def _time(self, row):
        """To the frame: where the rate does not divide the video's, it is not n / fps."""
        return float(self._times[row])

    def _reader(self, video: int) -> VideoReader:
        """An open video of this thread, the most recently used last."""
        readers = self._of_thread.__dict__.setdefault("readers", {})
        reader = readers.pop(video, None) or _open_reader(self._files[video])
        while len(readers) >= self.OPEN:
            readers.pop(next(iter(readers))).close()
        readers[video] = reader
        return reader


def _open_reader(file: Path | Places) -> VideoReader | PartsReader:
    return PartsReader(file) if isinstance(file, Places) else VideoReader(file)
