"""Scores of the samples of a bootstrap, the same samples for several tables of predictions.

Two models that were tested on the same videos are compared video by video: what makes a video easy
or hard is then in both, and the interval of the difference is narrower than those of the scores.
"""

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from data.common.errors import InputError
from down_stream.metrics import multi_label, statistics
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions

Scores = dict[str, np.ndarray]
DRAWS = {"video": 1000, "frame": 1000, "tool": 200}  # by protocol, as the results have them


def scorer(
    protocol: str, predictions: Predictions | MultiLabelPredictions
) -> Callable[[np.ndarray], Scores]:
    """Function of samples of videos, int [draws, videos] by sorted name, to scores, float [draws].

    Args:
      protocol: "video" of phases, "frame" of classes, "tool" of several labels: what experiments
        are compared by.
      predictions: whose videos all have known labels.
    """
    names, video = np.unique(predictions.video, return_inverse=True)
    if protocol == "tool":
        return _pooled_labels(predictions, video, len(names))
    number = len(predictions.classes)
    counts = np.stack(
        [
            statistics.confusion(predictions.label[own], predictions.prediction[own], number)
            for own in (video == place for place in range(len(names)))
        ]
    )
    if protocol == "video":
        rows = statistics.video_scores(counts)
        return lambda index: {name: statistics.mean(v[index]) for name, v in rows.items()}

    def of_frames(index):
        # How often each video is drawn: the counts of all draws side by side would fill memory.
        times = np.stack([np.bincount(drawn, minlength=len(names)) for drawn in index])
        return statistics.video_scores(np.tensordot(times, counts, axes=1))

    return of_frames


def paired_difference(
    protocol: str,
    score: str,
    predictions: Predictions | MultiLabelPredictions,
    others: Predictions | MultiLabelPredictions,
    seed: int = 0,
    patients: Mapping[str, Hashable] | None = None,
) -> tuple[float, list[float]]:
    """How much better `predictions` are than `others`, and the 95% interval over the test videos.

    Those of one of the `patients`, {video: patient}, are drawn together.

    Raises:
      InputError: they are not of the same videos and labels.
    """
    tables = [_labelled(table) for table in (predictions, others)]
    check_same_labels(*tables)
    videos = tables[0].videos
    ours, theirs = (scorer(protocol, table) for table in tables)
    every = np.arange(len(videos))[np.newaxis]
    drawn = statistics.draw_groups(statistics.groups_of(videos, patients), DRAWS[protocol], seed)
    difference = ours(every)[score] - theirs(every)[score]
    one, other = (statistics.score_draws(scores, drawn)[score] for scores in (ours, theirs))
    draws = one - other
    return float(difference[0]), statistics.interval(draws)


def check_same_labels(predictions, others) -> None:
    """Raises `InputError` unless two tables are of the same videos, classes and labels.

    Frames that one of them does not have, as it could not read them, do not matter.
    """
    if predictions.videos != others.videos:
        raise InputError("the test videos are not the same")
    if predictions.classes != others.classes:
        raise InputError("the classes are not the same")
    one, other = map(_labels_by_frame, (predictions, others))
    both = one.keys() & other.keys()
    if not both or any(one[frame] != other[frame] for frame in both):
        raise InputError("the labels of the test frames are not the same")


def _labels_by_frame(table) -> dict:
    frames = zip(table.video.tolist(), table.second.tolist(), strict=True)
    return dict(zip(frames, table.label.tolist(), strict=True))


def _labelled(table):
    """The table without what counts in no score: frames of unknown label."""
    known = table.label >= 0
    rows = np.flatnonzero(known if known.ndim == 1 else known.any(axis=1))
    columns = {name: getattr(table, name)[rows] for name in ("video", "second", "label")}
    columns |= {"probabilities": table.probabilities[rows], "classes": table.classes}
    if isinstance(table, MultiLabelPredictions):
        return MultiLabelPredictions(**columns)
    return Predictions(**columns, prediction=table.prediction[rows])


def _pooled_labels(predictions: MultiLabelPredictions, video: np.ndarray, videos: int):
    rows = [np.flatnonzero(video == place) for place in range(videos)]

    def score(index):
        pooled = [np.concatenate([rows[place] for place in draw]) for draw in index]
        found = [
            multi_label.class_scores(predictions.label[own], predictions.probabilities[own])
            for own in pooled
        ]
        return {
            name: np.array([statistics.mean(each[name]) for each in found])
            for name in multi_label.SCORES
        }

    return score
