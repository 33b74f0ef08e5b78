"""Predictions as intervals, for annotators to correct: runs of a class that last long enough.

Without a temporal model, frames are smoothed: of all timelines whose runs last a number of seconds
or more, the one that is most likely by the frames' probabilities is taken (Viterbi's algorithm for
runs of a least length). It looks at the whole video, so it is not causal.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from data.annotation_formats.labels import PHASE, stretches
from data.annotation_writers.intervals import Interval, VideoIntervals
from data.annotation_writers.writing import check_folder, write_annotations
from data.common.errors import InputError, some
from data.frames.frames import Frames
from data.images.names import is_image
from data.storage.paths import AnyPath
from data.video.names import is_video

if TYPE_CHECKING:  # of TensorFlow's, which what is wanted is checked before
    from down_stream.classifiers.frame_model import FrameModel

MIN_SECONDS = 5.0  # without a temporal model
LEAST = 1e-3  # probability of a frame that counts: one frame alone settles nothing


@dataclass(frozen=True)
class Wanted:
    """What annotations are wanted.

    Attributes:
      folder: where they are written.
      form: of `annotation_writers.writing.WRITERS`.
      min_seconds: that an interval lasts; None for MIN_SECONDS without a temporal model, and
        whatever a temporal model says with one.
    """

    folder: AnyPath
    form: str = "csv"
    min_seconds: float | None = None

    def check(self, frames: Frames, model: "FrameModel | None") -> None:
        """Raises `InputError` where they cannot be made or written."""
        if model is None:
            raise InputError(
                "--annotations: an encoder predicts no classes; expected --model_path=the model/ "
                "of an experiment"
            )
        untimed = np.isnan(frames.second)
        if untimed.any():
            (name, *_) = frames.video_names(np.flatnonzero(untimed)[:1])
            raise InputError(f"--annotations: time is unknown in {name}; expected videos")
        check_folder(self.folder, self.form)

    def write(
        self,
        frames: Frames,
        rows: np.ndarray,
        probabilities: np.ndarray,
        model: "FrameModel",
        temporal,
    ) -> str:
        """Writes them; returns what was done in words.

        Raises:
          InputError: they would be written over somebody's work.

        Args:
          frames: the list that `rows`, int64 [n], are of.
          probabilities: float32 [n, classes].
          model, temporal: who says so; None for no temporal model.
        """
        from down_stream.inference.phase_files import describe

        least = self.min_seconds
        if least is None:
            least = 0.0 if temporal else MIN_SECONDS
        order = np.lexsort((frames.second[rows], frames.video[rows]))
        found = [
            _video(frames, rows[places], probabilities[places], model, least)
            for first, behind in stretches(frames.video[rows][order])
            for places in [order[first:behind]]
        ]
        check_folder(self.folder, self.form)  # again: hours may have passed
        write_annotations(self.folder, self.form, found)
        number = sum(len(of.intervals) for of in found)
        smoothed = f", each {least:g} s or longer by the whole video" if least else ""
        how = f"{describe(temporal)}{smoothed}"
        unlinked = some([of.video for of in found if not of.media and self.form != "csv"])
        where = f"; {unlinked}: no single video file that could be linked" if unlinked else ""
        return f"annotations: {number} intervals of {len(found)} videos; {how}{where}"


def _video(frames, rows, probabilities, model, least) -> VideoIntervals:
    """The intervals of one video, its rows in the order of time."""
    from down_stream.inference.phase_files import PHASES

    name = frames.videos[frames.video[rows[0]]]
    group = PHASE if model.task == PHASES else model.task
    of = [
        Interval(start, end, model.classes[place], confidence)
        for start, end, place, confidence in find_intervals(
            frames.second[rows], probabilities, least, model.multi_label
        )
    ]
    of.sort(key=lambda each: (each.start, each.end))
    return VideoIntervals(name, _media(frames, rows), group, tuple(model.classes), tuple(of))


def _media(frames: Frames, rows: np.ndarray) -> str:
    """Path of the file that frames are of, "" where it is not known, or there are several."""
    path, last = frames.paths(rows[[0, -1]])
    if not is_image(path):
        return path if path == last and is_video(PurePath(path).name) else ""  # of DICOM, a name
    video = frames.videos[frames.video[rows[0]]]
    (file,) = frames.files(rows[:1])
    folder = file.parent.parent.parent / "videos"  # of a dataset
    files = sorted(folder.glob(f"{video}.*")) if folder.is_dir() else []
    return str(files[0]) if files else ""


def find_intervals(
    seconds: np.ndarray, probabilities: np.ndarray, least: float, multi_label: bool
) -> list[tuple[float, float, int, float]]:
    """Intervals of a video.

    A frame stands for the time until the next one; where that is further away than usual, and than
    `least`, there is a gap between intervals.

    Args:
      seconds: float64 [n], of the frames, ascending.
      probabilities: float32 [n, classes].
      least: seconds that an interval lasts, but for those between gaps; 0 for every run.
      multi_label: whether each class is there or not, at 0.5.

    Returns:
      (start, end, place of the class, mean probability of the class in it).
    """
    steps = np.diff(seconds)
    step = float(np.median(steps)) if len(steps) else 1.0
    gaps = np.flatnonzero(steps > max(1.5 * step, least)) + 1
    found = []
    for places in np.split(np.arange(len(seconds)), gaps):
        times = np.append(seconds[places], seconds[places[-1]] + step)
        frames = max(1, int(np.ceil(least / step - 1e-6))) if step else 1
        columns = (
            [(None, probabilities[places])]
            if not multi_label
            else [(c, np.stack([1 - p, p], axis=1)) for c, p in enumerate(probabilities[places].T)]
        )
        for column, each in columns:
            labels = smoothed(each, frames)
            for first, behind in stretches(labels):
                value = int(labels[first])
                if column is not None and value == 0:
                    continue
                confidence = float(each[first:behind, value].mean())
                place = value if column is None else column
                found.append((float(times[first]), float(times[behind]), place, confidence))
    return found


def smoothed(probabilities: np.ndarray, least: int) -> np.ndarray:
    """The most likely classes, int64 [n], of which each lasts `least` frames or more.

    Args:
      probabilities: float [n, classes].
      least: 1 for the most likely class of each frame. Fewer frames than that have one class.
    """
    n, classes = probabilities.shape
    if least <= 1:
        return probabilities.argmax(axis=1)
    total = np.zeros((n + 1, classes))  # log-likelihood of the frames before a place
    np.cumsum(np.log(np.maximum(probabilities, LEAST)), axis=0, out=total[1:])
    if n < 2 * least:
        return np.full(n, total[-1].argmax())
    # best[t, c]: of the frames before t, in runs that are long enough, the last one of class c,
    # less total[t, c], so that a run that goes on keeps its value.
    best = np.full((n + 1, classes), -np.inf)
    since = np.zeros((n + 1, classes), np.int64)  # where that run has begun
    top, of = np.full(n + 1, -np.inf), np.zeros(n + 1, np.int64)
    top[0] = 0.0
    for t in range(least, n + 1):
        begun = top[t - least] - total[t - least]
        is_new = begun > best[t - 1]
        best[t] = np.where(is_new, begun, best[t - 1])
        since[t] = np.where(is_new, t - least, since[t - 1])
        of[t] = int((best[t] + total[t]).argmax())
        top[t] = best[t, of[t]] + total[t, of[t]]
    labels, behind = np.empty(n, np.int64), n
    while behind:
        first = since[behind, of[behind]]
        labels[first:behind] = of[behind]
        behind = int(first)
    return labels
