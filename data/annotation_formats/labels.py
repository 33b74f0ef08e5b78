"""What is annotated of one video, over its time: one form for all formats.

Labels are at numbered frames or times (`Moments`) or last from one moment to another (`Intervals`).
Their `group` is "phase", of which a frame has one, or a multi-label group such as "tools", of whose
names a frame has any number.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.dataset.cholec80 import SOURCE_FPS

UNKNOWN = -1  # phase or tool without an annotation
# What is written where a label is missing, in lower case.
MISSING = {"", "-", "--", "---", "?", "na", "n/a", "n.a.", "nan", "null"}
PHASE = "phase"  # the group of which a frame has one label


@dataclass(frozen=True, eq=False)
class Moments:
    """Labels at numbered source frames.

    Attributes:
      file: where they are from, for messages.
      group: "phase", or a multi-label group.
      names: of phases those that occur; else those that `values` has columns for.
      frames: int64 [n], numbers of source frames, from 0, ascending, each once.
      values: of phases int16 [n], positions in `names`; else int8 [n, names], 1 or 0; -1 unknown.
      fps: source frames per second; None where that is not known for certain.
      likely_fps: what it is then, if the video is as long as that makes the annotation.
      lines: of each name the first line in the file that has it.
    """

    file: Path
    group: str
    names: tuple[str, ...]
    frames: np.ndarray
    values: np.ndarray
    fps: float | None = None
    likely_fps: float = SOURCE_FPS
    lines: tuple[int, ...] = ()

    @property
    def end(self) -> float:
        """What follows the last source frame, a step of the usual size after it."""
        sizes, counts = np.unique(np.diff(self.frames), return_counts=True)
        return float(self.frames[-1] + (sizes[counts.argmax()] if len(sizes) else 1))

    @property
    def rows(self) -> int:
        """How many frames have a row."""
        return len(self.frames)

    def at(self, seconds: np.ndarray, fps: float) -> np.ndarray:
        """Values at times, float64 [m] seconds; -1 where the nearest source frame has none.

        Halves are rounded up. `fps` are source frames per second.
        """
        return look_up(self.frames, self.values, np.floor(seconds * fps + 0.5 + 1e-6))


@dataclass(frozen=True, eq=False)
class Intervals:
    """Labels that last.

    Attributes:
      file, group, fps, likely_fps, lines: as of `Moments`. Times are numbers of frames, or seconds,
        of which there is 1 per second.
      names: those that `values` are positions in.
      starts, ends: float64 [n], an interval lasts from its start to just before its end. Those of
        phases do not overlap, and ascend.
      values: int16 [n], positions in `names`; -1 unknown.
    """

    file: Path
    group: str
    names: tuple[str, ...]
    starts: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    fps: float | None = 1.0
    likely_fps: float = SOURCE_FPS
    lines: tuple[int, ...] = ()

    @property
    def end(self) -> float:
        """Where the last interval ends; its start, if it lasts to the end of the video."""
        finite = np.where(np.isinf(self.ends), self.starts, self.ends)
        return float(finite.max())

    @property
    def rows(self) -> int:
        """How many intervals there are."""
        return len(self.starts)

    def at(self, seconds: np.ndarray, fps: float) -> np.ndarray:
        """Values at times, float64 [m] seconds.

        Returns:
          Of phases int16 [m], -1 in gaps; of a multi-label group int8 [m, names], 0 outside of
          intervals.
        """
        times = seconds * fps + 1e-6  # 12.04 * 25 is less than 301
        if self.group == PHASE:
            place = np.searchsorted(self.starts, times, side="right") - 1
            is_inside = (place >= 0) & (times < self.ends[place])
            return np.where(is_inside, self.values[place], UNKNOWN).astype(np.int16)
        found = np.zeros((len(times), len(self.names)), np.int8)
        for start, end, value in zip(self.starts, self.ends, self.values, strict=True):
            found[(times >= start) & (times < end), value] = 1
        return found


VideoLabels = Moments | Intervals


def look_up(frames: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values of the wanted source frames.

    Args:
      frames: int64 [n], ascending, each once.
      values: int [n, ...].
      wanted: [m], whole numbers.

    Returns:
      [m, ...] of the type of `values`, -1 where `frames` does not hold the wanted one.
    """
    if not len(frames):
        return np.full((len(wanted), *values.shape[1:]), UNKNOWN, values.dtype)
    places = np.searchsorted(frames, wanted).clip(max=len(frames) - 1)
    result = values[places]
    result[frames[places] != wanted] = UNKNOWN
    return result
