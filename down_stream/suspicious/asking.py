"""Which labels of a data set contradict what frames look like: from features to a list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.storage.paths import AnyPath
from down_stream.features.encoders import SplitFeatures
from down_stream.features.labelled_splits import labelled_frames, patients_of
from down_stream.suspicious.folds import out_of_fold, with_neighbours
from down_stream.suspicious.ranking import Suspicion, confident_joint, rank
from down_stream.tasks import Task

EVERYTHING = {"train": (), "validation": (), "test": ("*",)}


@dataclass(frozen=True, eq=False)
class Asked:
    """The readable labelled frames of a data set, in the order of their times.

    Attributes:
      index: n frames.
      features: float32 [n, width], with those of neighbours in time.
      labels: int [n].
      groups: int [n], of videos or patients.
    """

    index: FrameIndex
    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def rank(
        self, labels: np.ndarray, classes: int, folds: int, seed: int
    ) -> tuple[list[Suspicion], np.ndarray]:
        """All annotated intervals, the most suspicious ones first, and the confident joint.

        Args:
          labels: int [n], those to be asked about.
          classes, folds, seed: as of `folds.out_of_fold`.
        """
        found = out_of_fold(self.features, labels, self.groups, classes, folds, seed)
        return rank(found, self.index.video, labels), confident_joint(found, labels)


def ask(
    roots: Sequence[AnyPath],
    task: Task,
    encoder,
    batch_size: int,
    cache: str | None,
    around: float,
) -> Asked:
    """Opens what is asked about.

    Args:
      roots: dataset directories.
      task: with one class a frame, in time.
      encoder: as `down_stream.features.encoders.open_encoder` returns it, or a table.
      batch_size, cache: as of `SplitFeatures`.
      around: seconds of neighbours before and behind a frame.

    Raises:
      InputError: the task has no intervals, or no frame has a label.
    """
    if not task.is_video:
        raise InputError(f"task={task.name}: labels without intervals; expected phases")
    index = labelled_frames(roots, EVERYTHING, task)
    if not len(index):
        raise InputError(f"{roots[0]}: no labelled frames; annotate some first")
    features, index = SplitFeatures(encoder, {"all": index}, batch_size, cache)("all")
    order = np.lexsort((index.second, index.video))
    index, features = index.take(order), np.asarray(features[order], np.float32)
    of_patients = patients_of(roots, {"all": index}).group(sorted(index.videos)).groups.values()
    group = {video: number for number, of in enumerate(of_patients) for video in of}
    return Asked(
        index,
        with_neighbours(features, index.video, index.second, around),
        task.labels(index).astype(np.int64),
        np.array([group[video] for video in index.videos])[index.video],
    )
