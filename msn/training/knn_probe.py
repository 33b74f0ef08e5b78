"""k-NN probe: how well labelled frames of some videos predict the labels of others, during a run.

Nothing is fitted, so it is cheap enough to be computed while training goes on; down_stream/main.py
says what an encoder is worth.

Source: Wu et al., arXiv 1805.01978, section 3.4 (weighted votes, temperature 0.07); Caron et al.,
arXiv 2104.14294, section 4.1 (k = 20).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.classes import Classes
from data.dataset.frame_index import FrameIndex, load_index
from data.frames.image_frames import ImageFrames
from data.splits.overlaps import identity
from data.splits.spellings import alike, say_alike
from msn.training.neighbours import NEIGHBOURS, vote, votes
from msn.training.source_probe import embed

PHASES, CLASSES = "phases", "classes"  # tasks with one label a frame; others have any number


class KnnProbe:
    """Scores an encoder on labelled frames, whenever it is called.

    Args:
      represent: compiled function, images [64, size, size, 3] -> [64, width].
      roots: dataset directories.
      task: "phases", "classes" of still images, or a group of labels of which a frame has any
        number, as "tools"; empty for the classes of a data set that has some, else phases.
      train_videos: names of the videos whose labelled frames vote.
      test_videos: names of the videos whose labels are predicted.
      seen: names of the videos that the encoder is pre-trained on.
      image_size: pixels.
      max_frames: of each part; of more, evenly spaced ones are taken.

    Raises:
      InputError: a video is missing or without labels, is in both parts, or a test video is seen;
        no such task.
    """

    SCORES = ("knn_accuracy", "knn_macro_f1", "knn_average_precision")

    def __init__(
        self,
        represent: tf.function,
        roots: Sequence[str | Path],
        task: str,
        train_videos: Sequence[str],
        test_videos: Sequence[str],
        seen: Sequence[str],
        *,
        image_size: int,
        max_frames: int,
    ):
        tested = {identity(video) for video in test_videos}
        for name, others in (("probe.train_videos", train_videos), ("pre-training", seen)):
            if both := [video for video in others if identity(video) in tested]:
                raise InputError(
                    f"probe.test_videos: {some(both)} also in {name}; expected other "
                    "videos (data.exclude_videos keeps videos away from pre-training)"
                )
            advice = "test others, or leave them out there"
            for remark in say_alike(alike(test_videos, others), f"videos in {name}", advice):
                logger.warning("probe.test_videos: %s", remark)
        index = load_index(roots)
        self.represent, self.image_size = represent, image_size
        self.task = choose_task(task, index.classes)
        self.number = len(names_of(self.task, index.classes))
        self.train = labelled(index, self.task, "train", train_videos, max_frames)
        self.test = labelled(index, self.task, "test", test_videos, max_frames)

    @property
    def protocol(self) -> str:
        """What the scores are, in words that name nobody."""
        voting, asked = (
            f"{len(part)} frames of {count} video{'' if count == 1 else 's'}"
            for part in (self.train, self.test)
            for count in [len(np.unique(part.video))]
        )
        return (
            f"{self.task} by the vote of {NEIGHBOURS} nearest neighbours among {voting}, over all "
            f"of {asked} that pre-training has not seen"
        )

    def __call__(self) -> dict[str, float]:
        """{"knn_accuracy", "knn_macro_f1"} over all test frames.

        Of labels of which a frame has any number, {"knn_average_precision"}: its mean over the
        names that some test frames have and others have not; nothing where there are none.
        """
        (train, train_labels), (test, labels) = (
            self.embed(part) for part in (self.train, self.test)
        )
        if self.task not in (PHASES, CLASSES):
            score = mean_average_precision(labels, vote_for_each(train, train_labels, test))
            return {} if np.isnan(score) else {"knn_average_precision": score}
        predictions = vote(train, train_labels, test, self.number)
        return {
            "knn_accuracy": float(accuracy_score(labels, predictions)),
            "knn_macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        }

    def embed(self, index: FrameIndex) -> tuple[np.ndarray, np.ndarray]:
        """Representations [frames read, width] and labels [frames read, ...]."""
        features, rows = embed(self.represent, ImageFrames(index), self.image_size)
        return features, labels_of(index, self.task)[rows]


def choose_task(task: str, classes: Classes) -> str:
    """The task that a configuration names, or that a data set is for."""
    known = [*([PHASES] if classes.phases else []), *([CLASSES] if classes.classes else [])]
    known += classes.multi_label
    if not task:
        task = CLASSES if classes.classes else PHASES
    if task not in known:
        raise InputError(f"probe.task is {task!r}; expected one of {', '.join(known) or 'none'}")
    return task


def names_of(task: str, classes: Classes) -> Sequence[str]:
    """What the labels of a task are."""
    if task in classes.multi_label:
        return classes.multi_label[task]
    return classes.classes if task == CLASSES else classes.phases


def labels_of(index: FrameIndex, task: str) -> np.ndarray:
    """int [n], or [n, names] of any number of labels; -1 where unknown."""
    if task in index.classes.multi_label:
        return index.presence[task]
    return index.label if task == CLASSES else index.phase


def labelled(
    index: FrameIndex, task: str, part: str, videos: Sequence[str], max_frames: int
) -> FrameIndex:
    """At most `max_frames` labelled frames of some videos, evenly spaced."""
    if not videos:
        raise InputError(f"probe.{part}_videos is empty; expected names of labelled videos")
    selected = index.select(videos=videos)
    is_known = labels_of(selected, task) >= 0
    rows = np.flatnonzero(is_known if is_known.ndim == 1 else is_known.any(axis=1))
    if not len(rows):
        raise InputError(
            f"probe.{part}_videos: no frames of {', '.join(videos)} with labels of {task}"
        )
    spaced = np.linspace(0, len(rows) - 1, min(max_frames, len(rows))).round().astype(int)
    return selected.take(rows[spaced])


def vote_for_each(train: np.ndarray, presence: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Shares [m, names] of the votes for presence among those of neighbours that are known.

    Args:
      train: float [n, width].
      presence: int [n, names]: 1 present, 0 absent, -1 unknown.
      test: float [m, width].
    """
    number = presence.shape[1]
    both = votes(train, np.concatenate([presence == 1, presence >= 0], axis=1), test)
    return both[:, :number] / np.maximum(both[:, number:], 1e-12)


def mean_average_precision(presence: np.ndarray, scores: np.ndarray) -> float:
    """Mean over names of which frames are known to have them and others not to; NaN if none is.

    Args:
      presence: int [n, names]: 1 present, 0 absent, -1 unknown.
      scores: float [n, names].
    """
    found = []
    for of, score in zip(presence.T, scores.T, strict=True):
        if {0, 1} <= set(of.tolist()):
            found.append(average_precision_score(of[of >= 0], score[of >= 0]))
    return float(np.mean(found)) if found else float("nan")
