"""Scores of the samples of a bootstrap, the same samples for several tables of predictions.

Two models that were tested on the same videos are compared video by video: what makes a video easy
or hard is then in both, and the interval of the difference is narrower than those of the scores.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from data.common.errors import InputError
from down_stream.metrics import multi_label, statistics
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions

Scores = dict[str, np.ndarray]
Table = Predictions | MultiLabelPredictions
Patients = Mapping[str, Hashable] | None
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
    predictions: Table | Sequence[Table],
    others: Table | Sequence[Table],
    seed: int = 0,
    patients: Patients = None,
) -> tuple[float, list[float]]:
    """How much better `predictions` are than `others`, and the 95% interval over the test videos.

    Several tables, of other seeds each, count by the mean of their scores. Videos of one
    of the `patients`, {video: patient}, are drawn together.

    Raises:
      InputError: they are not of the same videos and labels.
    """
    ours, theirs = ([predictions], [others]) if _is_one(predictions) else (predictions, others)
    ours, theirs = ([_labelled(table) for table in tables] for tables in (ours, theirs))
    for table in (*ours[1:], *theirs):
        check_same_labels(ours[0], table)
    difference, draws = (
        one - other
        for one, other in zip(
            _mean_scores(protocol, score, ours, seed, patients),
            _mean_scores(protocol, score, theirs, seed, patients),
            strict=True,
        )
    )
    return float(difference), statistics.interval(draws)


def mean_score(
    protocol: str,
    score: str,
    tables: Sequence[Table],
    seed: int = 0,
    patients: Patients = None,
) -> tuple[float, list[float]]:
    """The mean score of tables of the same videos, and its 95% interval over the videos.

    Videos of one of the `patients` are drawn together.

    Raises:
      InputError: they are not of the same videos and labels.
    """
    tables = [_labelled(table) for table in tables]
    for table in tables[1:]:
        check_same_labels(tables[0], table)
    found, draws = _mean_scores(protocol, score, tables, seed, patients)
    return float(found), statistics.interval(draws)


def _is_one(predictions) -> bool:
    return isinstance(predictions, Predictions | MultiLabelPredictions)


def _mean_scores(protocol, score, tables, seed, patients) -> tuple[np.ndarray, np.ndarray]:
    """The mean score of the tables, and that of the samples of a bootstrap, the same for each."""
    if protocol not in DRAWS:
        raise InputError(
            f"nothing is drawn for the protocol {protocol}; expected {', '.join(DRAWS)}"
        )
    videos = tables[0].videos
    every = np.arange(len(videos))[np.newaxis]
    drawn = statistics.draw_groups(statistics.groups_of(videos, patients), DRAWS[protocol], seed)
    scorers = [scorer(protocol, table) for table in tables]
    found = np.mean([of_sample(every)[score] for of_sample in scorers], axis=0)
    draws = [statistics.score_draws(of_sample, drawn)[score] for of_sample in scorers]
    return found[0], np.mean(draws, axis=0)


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
