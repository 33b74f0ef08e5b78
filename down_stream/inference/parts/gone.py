"""Frames of videos that are gone, of which a table keeps the rows."""

from collections.abc import Sequence

import numpy as np

from data.common.errors import InputError
from data.frames.frames import Frames
from down_stream.inference.parts.video_parts import VideoParts


class WithGone(Frames):
    """Frames, and after them those of videos that are gone, of which all but the picture is known.

    Args:
      frames: those that are there.
      gone: parts of videos that are not.
    """

    def __init__(self, frames: Frames, gone: Sequence[VideoParts]):
        lengths = [parts.length for parts in gone]
        new = np.arange(len(frames.videos), len(frames.videos) + len(gone))
        super().__init__(
            (*frames.videos, *(parts.video for parts in gone)),
            np.concatenate([frames.video, np.repeat(new, lengths)]),
            np.concatenate([frames.phase, np.full(sum(lengths), -1, np.int8)]),
            frames.phases,
            faults=frames.faults,
            passed_over=frames.passed_over,
        )
        self.fps = frames.fps
        self.label = np.concatenate([frames.label, np.full(sum(lengths), -1, np.int16)])
        self.classes = frames.classes
        self._frames, self._seconds, self._paths = frames, [frames.second], []
        for parts in gone:
            rows = parts.whole("rows", np.int64)
            second, path = np.full(parts.length, np.nan), np.full(parts.length, "", object)
            second[rows], path[rows] = parts.whole("second"), parts.whole("path", object)
            self._seconds.append(second)
            self._paths += path.tolist()
        self._seconds = np.concatenate(self._seconds)

    def read(self, row):
        if row < len(self._frames):
            return self._frames.read(row)
        raise InputError(f"{self.name(row)}: is gone")

    def paths(self, rows):
        """As of any `Frames`; `rows` ascend."""
        there, gone = np.split(np.asarray(rows), [np.searchsorted(rows, len(self._frames))])
        return self._frames.paths(there) + [self._paths[row - len(self._frames)] for row in gone]

    def seconds(self, rows):
        return self._seconds[rows]
