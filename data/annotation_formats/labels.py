"""What is annotated of one video, over its time: one form for all formats.

Labels are at numbered frames or times (`Moments`) or last from one moment to another (`Intervals`).
Their `group` is "phase", of which a frame has one, or a multi-label group such as "tools", of whose
names a frame has any number.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.cholec80 import SOURCE_FPS

UNKNOWN = -1  # phase or tool without an annotation
# What is written where a label is missing, in lower case.
MISSING = {"", "-", "--", "---", "?", "na", "n/a", "n.a.", "nan", "null"}
PHASE = "phase"  # the group of which a frame has one label
MULTI_LABEL = "multi_label_"  # before a group, in tracks and columns that a model has written
OF_LABEL = " / "  # between it and a label, in a track for one label
HUMAN, MODEL = "human", "model"  # who labels are by


def stretches(*columns: np.ndarray) -> list[tuple[int, int]]:
    """(first row, row behind the last) of the parts in which all columns, [n], stay as they are."""
    is_new = np.any([np.diff(column) != 0 for column in columns], axis=0)
    edges = [0, *(np.flatnonzero(is_new) + 1).tolist(), len(columns[0])]
    return list(itertools.pairwise(edges))


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
      likely_fps: what it is then, if the video is as long as that makes the annotation; None where
        only the user can know.
      lines: of each name the first line in the file that has it.
      labelled_by: "model" where the file says that a model has written all of it, and nobody else.
    """

    file: Path
    group: str
    names: tuple[str, ...]
    frames: np.ndarray
    values: np.ndarray
    fps: float | None = None
    likely_fps: float | None = SOURCE_FPS
    lines: tuple[int, ...] = ()
    labelled_by: str = HUMAN

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
      file, group, fps, likely_fps, lines, labelled_by: as of `Moments`. Times are numbers of
        frames, or seconds, of which there is 1 per second.
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
    likely_fps: float | None = SOURCE_FPS
    lines: tuple[int, ...] = ()
    labelled_by: str = HUMAN

    @property
    def end(self) -> float:
        """Where the last interval ends; its start, if it lasts to the end of the video."""
        if not len(self.starts):
            return 0.0
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
        times = seconds * fps + 1e-6  # 1.16 * 25 is less than 29
        if self.group == PHASE:
            place = np.searchsorted(self.starts, times, side="right") - 1
            is_inside = (place >= 0) & (times < self.ends[place])
            return np.where(is_inside, self.values[place], UNKNOWN).astype(np.int16)
        found = np.zeros((len(times), len(self.names)), np.int8)
        for start, end, value in zip(self.starts, self.ends, self.values, strict=True):
            found[(times >= start) & (times < end), value] = 1
        return found


VideoLabels = Moments | Intervals


def track_groups(file: Path, tracks: Iterable[str]) -> dict[str, str]:
    """{track: group} of the tracks of a timeline, as annotation programs have them.

    The track with "phase" in its name has the phases, or the only track; each other one is a
    multi-label group of its own name. One called "multi_label_NAME" is the group NAME.

    Raises:
      InputError: several tracks have it in their names.
    """
    tracks = list(tracks)
    marked = {name: group for name in tracks if (group := marked_group(name))}
    tracks = [name for name in tracks if name not in marked]
    phases = [name for name in tracks if name.casefold() in (PHASE, "phases")]
    phases = phases or [name for name in tracks if PHASE in name.casefold()]
    if len(phases) > 1:
        raise InputError(f"{file}: {some(phases)}; expected phases in one of them")
    phases = phases or (tracks if len(tracks) == 1 and not marked else [])
    return {name: PHASE if name in phases else name for name in tracks} | marked


def marked_group(name: str) -> str:
    """The multi-label group that a track or a column is marked with, "" for none.

    A track may be for one of its labels: "multi_label_tools / Hook".
    """
    group, _, _ = name.removeprefix(MULTI_LABEL).partition(OF_LABEL)
    return group if name.startswith(MULTI_LABEL) else ""


def track_intervals(
    file: Path,
    group: str,
    rows: Sequence[tuple[float, float, str]],
    audit: Audit,
    fps: float | None = 1.0,
    likely_fps: float | None = SOURCE_FPS,
    labelled_by: str = HUMAN,
) -> Intervals | None:
    """The intervals of a track; None where none can be used.

    Args:
      file: where they are from.
      group: "phase", or a multi-label group.
      rows: start, end (just behind the last moment) and label of each, in any order.
      audit: receives a problem for each that ends before it starts, or overlaps with another phase.
      fps, likely_fps, labelled_by: as of `Intervals`.
    """
    if not rows and group != PHASE:
        return no_intervals(file, group, labelled_by)
    good = []
    for start, end, label in sorted(rows, key=lambda row: row[:2]):
        what = f"{file}: {group}: {label!r} from {start:g} to {end:g}"
        if end <= start:
            audit.problem(f"{what}; expected an end after the start")
        elif label.strip().casefold() in MISSING:
            audit.remark(f"{what} has no label; not used")
        else:
            good.append((start, end, label.strip(), what))
    if not good:
        return None
    names = list(dict.fromkeys(label for _, _, label, _ in good))
    starts, ends = (np.array([row[k] for row in good], np.float64) for k in (0, 1))
    values = np.array([names.index(row[2]) for row in good], np.int16)
    if group == PHASE:
        where = [row[3] for row in good]
        starts, ends, values = without_overlaps(starts, ends, values, where, audit)
    lines = (1,) * len(names)
    rest = fps, likely_fps, lines, labelled_by
    return Intervals(file, group, tuple(names), starts, ends, values, *rest)


def no_intervals(file: Path, group: str, labelled_by: str = HUMAN) -> Intervals:
    """What a file says that has nothing of a multi-label group: it is absent all the time."""
    times = np.empty(0, np.float64)
    return Intervals(file, group, (), times, times, np.empty(0, np.int16), labelled_by=labelled_by)


def without_overlaps(
    starts: np.ndarray, ends: np.ndarray, values: np.ndarray, where: Sequence[str], audit: Audit
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals, ascending, made not to overlap: what two phases claim is -1.

    Args:
      starts, ends: float64 [n].
      values: int16 [n].
      where: of each interval, for messages.
      audit: receives a problem for each that overlaps with another phase.
    """
    if (np.maximum.accumulate(ends)[:-1] <= starts[1:]).all():
        return starts, ends, values
    points = np.unique(np.concatenate([starts, ends]))
    claimed = np.full(len(points), -2, np.int32)  # -2: by none yet
    for start, end, value, place in zip(starts, ends, values, where, strict=True):
        inside = slice(*np.searchsorted(points, [start, end]))
        part = claimed[inside]
        is_other = (part != -2) & (part != value)
        if is_other.any():
            first = inside.start + int(np.argmax(is_other))
            audit.problem(
                f"{place}: overlaps with another phase from {points[first]:g} to "
                f"{points[first + is_other.sum()]:g}; what two rows claim has no label"
            )
        claimed[inside] = np.where(is_other, UNKNOWN, value)
    claimed = np.where(claimed == -2, UNKNOWN, claimed).astype(np.int16)
    return points[:-1], points[1:], claimed[:-1]


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
