"""Scores of each class with their confidence intervals, for bars."""

from collections.abc import Hashable, Mapping

import numpy as np

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions

# {class: {name of a score: (value, low, high)}}, fractions; NaN where undefined.
ClassScores = dict[str, dict[str, tuple[float, float, float]]]

DRAWS = 1000
_SHOWN = {"Precision": "precision", "Recall": "recall", "F1": "f1"}


def of_predictions(
    predictions: Predictions,
    *,
    pooled: bool,
    patients: Mapping[str, Hashable] | None = None,
) -> ClassScores:
    """Precision, recall and F1 of each class, and 95% intervals (bootstrap over videos).

    Args:
      predictions: with labels.
      pooled: over all frames at once; else the mean over the videos, as the protocol `phase` has
        it. Videos are drawn either way, DRAWS times with replacement.
      patients: {video: patient}; those of one are drawn together.
    """
    tables = [predictions.of_video(name)[1:] for name in predictions.videos]
    counts = np.stack([statistics.confusion(*t, len(predictions.classes)) for t in tables])

    def score(index):
        if pooled:
            return statistics.class_scores(counts[index].sum(axis=-3))
        of_video = statistics.class_scores(counts)
        return {k: statistics.mean(np.swapaxes(v[index], -2, -1)) for k, v in of_video.items()}

    groups = statistics.groups_of(predictions.videos, patients)
    drawn = statistics.score_draws(score, statistics.draw_groups(groups, DRAWS, seed=0))
    values = score(np.arange(len(tables)))
    return {
        name: {
            shown: (float(values[key][k]), *statistics.interval(drawn[key][:, k]))
            for shown, key in _SHOWN.items()
        }
        for k, name in enumerate(predictions.classes)
    }


def of_results(per_class: dict[str, dict]) -> ClassScores:
    """Average precision and F1 as results.json has them: {class: {score, "interval"}}."""
    shown = {"Average precision": "average_precision", "F1": "f1"}
    return {
        name: {
            title: tuple(
                np.nan if value is None else value
                for value in (found[key], *found.get("interval", {}).get(key, (None, None)))
            )
            for title, key in shown.items()
        }
        for name, found in per_class.items()
    }
