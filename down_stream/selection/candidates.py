"""What may be chosen: videos, sequences of images, or intervals of videos, of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.common.errors import InputError, some
from data.images.names import natural_key
from down_stream.lookup.key_frames import normalised
from down_stream.lookup.tables import Rows

UNITS = ("video", "sequence", "interval")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Units, one of which is annotated as a whole, and their frames.

    Attributes:
      kind: of UNITS.
      rows: the frames, those of one unit after the other, each in the order of time.
      points: float32 [n, width], their embeddings, standardised and of length 1.
      unit: int64 [n], positions in `names`.
      names: of the video or sequence, a unit each.
      start: float64 [units], seconds at which an interval begins; NaN of whole videos.
      end: where it ends.
      classes: names of the columns of the probabilities.
      fps: frames per second of videos, None where it is not known.
    """

    kind: str
    rows: Rows
    points: np.ndarray
    unit: np.ndarray
    names: tuple[str, ...]
    start: np.ndarray
    end: np.ndarray
    classes: tuple[str, ...]
    fps: float | None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def bounds(self) -> np.ndarray:
        """int64 [units + 1]; unit u has the rows from bounds[u] to bounds[u + 1] - 1."""
        return np.searchsorted(self.unit, np.arange(len(self) + 1))

    def means(self) -> np.ndarray:
        """float32 [units, width], the mean of each unit's points."""
        sums = np.add.reduceat(self.points, self.bounds[:-1], axis=0)
        return sums / np.diff(self.bounds)[:, None]

    def sampled(self, at_most: int) -> np.ndarray:
        """Rows, as many of each unit and evenly over its time, `at_most` together if that goes."""
        each = max(1, at_most // len(self))
        parts = [
            np.unique(np.linspace(first, stop - 1, min(each, stop - first)).astype(np.int64))
            for first, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True)
        ]
        return np.concatenate(parts)


def open_candidates(
    rows: Rows, kind: str, classes: Sequence[str], fps: float | None, interval: float = 60.0
) -> Candidates:
    """Groups the frames of a table into units.

    Args:
      rows: of the table, in any order.
      kind: of UNITS; a sequence is a video whose frames have no time.
      classes: of its probabilities.
      fps: frames per second of its videos.
      interval: seconds of a unit of the kind "interval"; a last one that is shorter than half of it
        belongs to the one before.

    Raises:
      InputError: intervals are asked for where frames have no time.
    """
    names, number = np.unique(rows.video, return_inverse=True)
    order = sorted(range(len(names)), key=lambda place: natural_key(names[place]))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    names, video = names[order], place[number]
    time = np.where(np.isnan(rows.second), rows.frame, rows.second)
    by_time = np.lexsort((time, video))
    rows, video = rows.take(by_time), video[by_time]
    if kind == "interval":
        if np.isnan(rows.second).any():
            raise InputError(
                "intervals: the table has frames without a time; expected a column second"
            )
        video, names, start, end = _cut(rows.second, video, names, interval, fps)
    else:
        start = end = np.full(len(names), np.nan)
    points = normalised(rows.embeddings)
    return Candidates(
        kind, rows, points, video, tuple(map(str, names)), start, end, tuple(classes), fps
    )


def _cut(second, video, names, interval, fps):
    """(unit of each row, name, start and end of each unit)."""
    part = np.floor(second / interval).astype(np.int64)
    lasts = np.zeros(len(names))
    np.maximum.at(lasts, video, second)
    ends = lasts + 1 / (fps or 1.0)  # its last frame is shown as long as the others
    final = np.maximum(0, np.round(ends / interval).astype(np.int64) - 1)
    part = np.minimum(part, final[video])
    keys, unit = np.unique(np.stack([video, part], axis=1), axis=0, return_inverse=True)
    start = keys[:, 1] * interval
    end = np.where(keys[:, 1] == final[keys[:, 0]], ends[keys[:, 0]], start + interval)
    return unit.ravel(), names[keys[:, 0]], start, end


def without_lost(rows: Rows) -> tuple[Rows, list[str]]:
    """The rows without videos whose files are gone, and a line that names these.

    Where no file of the table is here, it was made elsewhere, and nothing is known of any.
    """
    files, place = np.unique(rows.path, return_inverse=True)
    is_lost = np.array(
        [bool(file) and "://" not in file and not Path(file).is_file() for file in files]
    )
    if not is_lost.any() or is_lost[files != ""].all():
        return rows, []
    videos = sorted(set(rows.video[is_lost[place]].tolist()), key=natural_key)
    line = f"{some(videos)}: cannot be read any more ({some(files[is_lost].tolist())}); not chosen"
    return rows.take(~np.isin(rows.video, videos)), [line]
