"""k-NN probe: how well labelled frames of some videos predict the phases of others, during a run.

Nothing is fitted, so it is cheap enough to be computed while training goes on; down_stream/main.py
says what an encoder is worth.

Source: Wu et al., arXiv 1805.01978, section 3.4 (weighted votes, temperature 0.07); Caron et al.,
arXiv 2104.14294, section 4.1 (k = 20).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, f1_score

from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex, load_index
from data.dataset.overlaps import identity
from data.frames.batches import batches_of_features
from data.frames.frames import ImageFrames
from msn.training.neighbours import votes

BATCH_SIZE = 64


class KnnProbe:
    """Scores an encoder on labelled frames, whenever it is called.

    Args:
      encoder: `msn.networks.vit.Encoder`.
      roots: dataset directories.
      train_videos: names of the videos whose labelled frames vote.
      test_videos: names of the videos whose phases are predicted.
      seen: names of the videos that the encoder is pre-trained on.
      max_frames: of each part; of more, evenly spaced ones are taken.

    Raises:
      InputError: a video is missing or without labels, is in both parts, or a test video is seen.
    """

    def __init__(
        self,
        encoder,
        roots: Sequence[str | Path],
        train_videos: Sequence[str],
        test_videos: Sequence[str],
        seen: Sequence[str],
        max_frames: int,
    ):
        tested = {identity(video) for video in test_videos}
        for name, others in (("probe.train_videos", train_videos), ("pre-training", seen)):
            if both := [video for video in others if identity(video) in tested]:
                raise InputError(
                    f"probe.test_videos: {', '.join(both)} also in {name}; expected other "
                    "videos (data.exclude_videos keeps videos away from pre-training)"
                )
        index = load_index(roots)
        self.number = len(index.classes.phases)
        self.image_size = encoder.image_size
        self.represent = tf.function(encoder.represent, jit_compile=True, autograph=False)
        self.train = labelled(index, "train", train_videos, max_frames)
        self.test = labelled(index, "test", test_videos, max_frames)

    def __call__(self) -> dict[str, float]:
        """{"knn_accuracy", "knn_macro_f1"} over all test frames."""
        train, train_labels = embed(self.represent, self.train, self.image_size)
        test, labels = embed(self.represent, self.test, self.image_size)
        predictions = vote(train, train_labels, test, self.number)
        return {
            "knn_accuracy": float(accuracy_score(labels, predictions)),
            "knn_macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        }


def vote(train: np.ndarray, labels: np.ndarray, test: np.ndarray, number: int) -> np.ndarray:
    """Labels int [m] by the vote of `msn.training.neighbours`; labels int [n] < `number`."""
    return votes(train, np.eye(number)[labels], test).argmax(axis=1)


def labelled(index: FrameIndex, part: str, videos: Sequence[str], max_frames: int) -> FrameIndex:
    """At most `max_frames` labelled frames of some videos, evenly spaced."""
    if not videos:
        raise InputError(f"probe.{part}_videos is empty; expected names of labelled videos")
    selected = index.select(videos=videos)
    rows = np.flatnonzero(selected.phase >= 0)
    if not len(rows):
        raise InputError(f"probe.{part}_videos: no labelled frames of {', '.join(videos)}")
    spaced = np.linspace(0, len(rows) - 1, min(max_frames, len(rows))).round().astype(int)
    return selected.take(rows[spaced])


def embed(represent, index: FrameIndex, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Representations [frames read, width] and phases [frames read]."""
    frames = ImageFrames(index)
    batches = list(batches_of_features(represent, frames, image_size, BATCH_SIZE))
    if not batches:
        raise InputError(f"probe: none of {len(index)} frames can be read")
    features, rows = map(np.concatenate, zip(*batches, strict=True))
    return features.astype(np.float32), index.phase[rows]
