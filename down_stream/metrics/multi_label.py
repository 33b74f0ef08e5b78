"""Several labels per frame, each present or not, as the tools of Cholec80: table and scores."""

import csv
import io
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.logs import logger
from data.storage.texts import read_any_text
from down_stream.metrics import statistics

EXPLANATIONS = {
    "tool": "Average precision of each tool over all frames (the area under the steps of its "
    "precision-recall curve), and their mean; a tool that the truth never has does not count. F1 "
    "of each tool at probability 0.5, and their mean.",
    "video": "The same in each video, for tools that its truth has; mean over tools, then mean and "
    "std over videos.",
}
THRESHOLD = 0.5
SCORES = ("average_precision", "f1")


@dataclass(frozen=True)
class MultiLabelPredictions:
    """Predictions of n frames for several labels, in any order.

    Attributes:
      video: str [n].
      second: int64 or float64 [n], the frame's time in its video.
      label: int8 [n, classes], 1 present, 0 absent, -1 unknown.
      probabilities: float32 [n, classes].
      classes: names of the labels.
    """

    video: np.ndarray
    second: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    @property
    def videos(self) -> list[str]:
        """The names of the videos, sorted."""
        return np.unique(self.video).tolist()

    @property
    def prediction(self) -> np.ndarray:
        """int8 [n, classes], 1 from a probability of 0.5 on."""
        return (self.probabilities >= THRESHOLD).astype(np.int8)


def write_predictions(path: str | Path, predictions: MultiLabelPredictions) -> None:
    """Writes video, second, then NAME_label (1, 0, -1 unknown) and NAME (probability) of each."""
    header = [column for name in predictions.classes for column in (f"{name}_label", name)]
    probabilities = predictions.probabilities.astype(np.float32).astype(str)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "second", *header])
        for video, second, labels, row in zip(
            predictions.video, predictions.second, predictions.label, probabilities, strict=True
        ):
            pairs = zip(labels.tolist(), row, strict=True)
            writer.writerow([video, second, *(value for pair in pairs for value in pair)])


def read_predictions(path: str | Path) -> MultiLabelPredictions:
    """Reads a table that `write_predictions` wrote.

    Raises:
      InputError: no such file, or not such a table.
    """
    try:
        text, remark = read_any_text(Path(path))
        if remark:
            logger.warning("%s", remark)
        header, *rows = filter(None, csv.reader(io.StringIO(text, newline="")))
        classes = tuple(header[3::2])
        if header[:2] != ["video", "second"] or header[2::2] != [f"{c}_label" for c in classes]:
            raise ValueError(f"columns {', '.join(header[:4])}")
        video, second, *columns = zip(*rows, strict=True)
        return MultiLabelPredictions(
            video=np.array(video),
            second=np.array(second, float),
            label=np.array(columns[::2], float).astype(np.int8).T,
            probabilities=np.array(columns[1::2], np.float32).T,
            classes=classes,
        )
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a predictions.csv of several labels ({error})") from error


def evaluate(
    predictions: MultiLabelPredictions,
    draws: int = 200,
    seed: int = 0,
    patients: Mapping[str, Hashable] | None = None,
) -> dict:
    """Scores predictions over all frames and by video; the result can be written as JSON.

    Args:
      predictions: of any number of videos.
      draws: how often the videos are drawn with replacement for the confidence intervals.
      seed: of these draws.
      patients: {video: patient}; those of one are drawn together. Others are cases of their own.

    Returns:
      {"tool": ..., "video": ...}, each {"rule", "average_precision" (the mean, mAP), "f1",
      "interval": {score: [low, high]}}; "per_class" in "tool", "std" and "per_video" in "video".
      What is undefined is None.

    Raises:
      InputError: no frame has a known label.
    """
    statistics.check_labels(predictions.label)
    names, video = np.unique(predictions.video, return_inverse=True)
    rows = [np.flatnonzero(video == number) for number in range(len(names))]
    label, probabilities = predictions.label, predictions.probabilities

    per_class = class_scores(label, probabilities)
    of_video = [class_scores(label[own], probabilities[own]) for own in rows]
    means = {key: np.array([statistics.mean(each[key]) for each in of_video]) for key in SCORES}
    drawn = statistics.draw_groups(statistics.groups_of(names, patients), draws, seed)
    pooled = [
        np.concatenate([rows[number] for number in sample])
        for samples in drawn
        for sample in samples
    ]
    of_draw = [class_scores(label[own], probabilities[own]) for own in pooled]
    tool = {
        "rule": EXPLANATIONS["tool"],
        **{key: statistics.mean(per_class[key]) for key in SCORES},
        "interval": {
            key: statistics.interval(np.array([statistics.mean(each[key]) for each in of_draw]))
            for key in SCORES
        },
        "per_class": {
            name: {
                **{key: per_class[key][place] for key in SCORES},
                "interval": {
                    key: statistics.interval(np.array([each[key][place] for each in of_draw]))
                    for key in SCORES
                },
            }
            for place, name in enumerate(predictions.classes)
        },
    }
    by_video = {
        "rule": EXPLANATIONS["video"],
        **{key: statistics.mean(means[key]) for key in SCORES},
        "interval": {
            key: statistics.interval(values)
            for key, values in statistics.score_draws(
                lambda index: {key: statistics.mean(means[key][index]) for key in SCORES}, drawn
            ).items()
        },
        "std": {key: statistics.std(means[key]) for key in SCORES},
        "per_video": {
            name: {key: means[key][place] for key in SCORES} for place, name in enumerate(names)
        },
    }
    return statistics.plain({"tool": tool, "video": by_video})


def mean_average_precision(
    video: np.ndarray, label: np.ndarray, probabilities: np.ndarray
) -> float:
    """The mean average precision over all frames alone; the videos do not matter."""
    return float(statistics.mean(class_scores(label, probabilities)["average_precision"]))


def class_scores(label: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Average precision and F1 of each label, float [classes]; NaN where the truth never has it.

    Args:
      label: int [n, classes], 1 present, 0 absent, -1 unknown.
      probabilities: float [n, classes].
    """
    from sklearn.metrics import average_precision_score  # takes a second, as scipy.stats does

    found = {key: np.full(label.shape[1], np.nan) for key in SCORES}
    for place in range(label.shape[1]):
        known = label[:, place] >= 0
        truth, probability = label[known, place] == 1, probabilities[known, place]
        if not truth.any():
            continue
        guess = probability >= THRESHOLD
        found["average_precision"][place] = average_precision_score(truth, probability)
        found["f1"][place] = 2 * (truth & guess).sum() / (truth.sum() + guess.sum())
    return found
