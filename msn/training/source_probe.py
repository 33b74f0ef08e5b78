"""Source probe: how well the features tell where a frame is from, during a run.

An encoder that learns which camera, overlay or hospital a frame has lowers its loss by it, and
nothing else in the log shows that. What is asked is the data set, where there are several, and else
the video; the answer is the vote of `msn.training.neighbours`.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.metrics import recall_score

from data.batches.batches import batches_of_features
from data.batches.sampling import source_of_videos
from data.common.errors import InputError
from data.frames.frames import Frames, SelectedFrames
from data.storage.paths import AnyPath
from msn.training.neighbours import NEIGHBOURS, vote

BATCH_SIZE = 64


class SourceProbe:
    """Scores an encoder on frames that it is pre-trained on, whenever it is called.

    Every second video of a data set votes, the frames of the others are asked for; of a source that
    is one video, the first half votes. All sources have as many frames, evenly spaced.

    Args:
      represent: compiled function, images [64, size, size, 3] -> [64, width].
      frames: of pre-training.
      roots: dataset directories.
      image_size: pixels.
      max_frames: that vote, and that are asked for. Of so many videos that each would have fewer
        than the neighbours that vote, evenly spaced ones are taken.
    """

    SCORES = ("source_knn",)

    def __init__(
        self,
        represent: tf.function,
        frames: Frames,
        roots: Sequence[AnyPath],
        image_size: int,
        max_frames: int,
    ):
        self.represent, self.image_size = represent, image_size
        sources = [halves(frames, videos) for videos in videos_of_sources(frames, roots)]
        self.is_of_videos = len(sources) == len(frames.videos)
        sources = [both for both in sources if all(rows.sum(axis=0)[1] for rows in both)]
        most = max(2, max_frames // NEIGHBOURS)
        chosen = np.linspace(0, len(sources) - 1, min(len(sources), most)).round().astype(int)
        self.number = len(chosen)
        parts = [], []
        for source in chosen:
            for part, ranges in zip(parts, sources[source], strict=True):
                part.append(spaced(*ranges.T, max(1, max_frames // self.number)))
        self.parts = [
            (
                SelectedFrames(frames, np.concatenate([*part, np.empty(0, np.int64)])),
                np.repeat(np.arange(self.number), [len(rows) for rows in part]),
            )
            for part in parts
        ]

    @property
    def protocol(self) -> str:
        """What the score is, in words that name nobody."""
        return (
            f"share of frames of pre-training whose {NEIGHBOURS} nearest neighbours tell which of "
            f"{self.number} {'videos' if self.is_of_videos else 'data sets'} they are from; by "
            f"chance {1 / self.number:.3g}; no task: low is good"
        )

    def __call__(self) -> dict[str, float]:
        """{"source_knn", "source_chance"}: the share of frames whose source is told, and by chance.

        The share is the mean over sources. By chance, that is, by answers that do not depend on the
        frame, it is one over the number of sources, however many frames and votes each of them
        has: such answers tell p of every source's frames for it, and these p are 1 together.
        Nothing where there is but one.
        """
        if self.number < 2:
            return {}
        (train, of_train), (test, of_test) = (
            (features, labels[rows])
            for frames, labels in self.parts
            for features, rows in [embed(self.represent, frames, self.image_size)]
        )
        told = vote(train, of_train, test, self.number)
        share = recall_score(of_test, told, labels=np.unique(of_test), average="macro")
        return {"source_knn": float(share), "source_chance": 1 / self.number}


def videos_of_sources(frames: Frames, roots: Sequence[AnyPath]) -> list[np.ndarray]:
    """Positions of the videos of each data set; of each video, where there is one data set."""
    of = source_of_videos(frames, roots)
    sets = [np.flatnonzero(of == number) for number in np.unique(of)]
    return sets if len(sets) > 1 else list(np.arange(len(of))[:, np.newaxis])


def halves(frames: Frames, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a source that vote, and that are asked for: int [ranges, 2], first and length."""
    begins, lengths = frames.starts[videos], np.diff(frames.starts)[videos]
    if len(videos) > 1:
        ranges = np.stack([begins, lengths], axis=1)
        return ranges[::2], ranges[1::2]
    first = (lengths + 1) // 2
    return np.stack([begins, first], axis=1), np.stack([begins + first, lengths - first], axis=1)


def spaced(begins: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """At most `count` rows int64, evenly spaced over ranges of `lengths` rows from `begins` on."""
    ends = np.cumsum(lengths)
    places = np.linspace(0, ends[-1] - 1, min(count, ends[-1])).round().astype(np.int64)
    ranges = np.searchsorted(ends, places, side="right")
    return begins[ranges] + places - (ends - lengths)[ranges]


def embed(represent, frames: Frames, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Representations float32 [frames read, width], and the rows that they are of.

    Raises:
      InputError: not one frame can be read.
    """
    batches = list(batches_of_features(represent, frames, image_size, BATCH_SIZE))
    if not batches:
        raise InputError(f"probe: none of {len(frames)} frames can be read")
    features, rows = map(np.concatenate, zip(*batches, strict=True))
    return features.astype(np.float32), rows
