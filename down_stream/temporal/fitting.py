"""The second stage of an experiment: a temporal model on the features of whole videos."""

from dataclasses import dataclass

import numpy as np

from data.dataset.frame_index import FrameIndex
from down_stream.choices import TEMPORAL_MODELS
from down_stream.classifiers.losses import class_weights
from down_stream.features.encoders import SplitFeatures
from down_stream.tasks import Task
from down_stream.temporal.model import TemporalModel
from down_stream.temporal.training import fit_temporal, predict_temporal, videos_of


@dataclass(frozen=True)
class Sequences:
    """A temporal model and how it was fitted.

    Attributes:
      model: takes features of whole videos.
      facts: history and best epoch, for results.json.
    """

    model: TemporalModel
    facts: dict

    def probabilities(self, features: np.ndarray, index: FrameIndex) -> np.ndarray:
        """Features [frames, width] of an index -> probabilities [frames, classes]."""
        return predict_temporal(self.model, features, index.video, index.second)


def fit_sequences(
    task: Task, frames: SplitFeatures, *, name: str, balance_classes: bool, **training
) -> Sequences:
    """Fits a temporal model on the features of the frame model.

    Args:
      task, frames: as the frame model had them.
      name: one of TEMPORAL_MODELS.
      balance_classes: whether classes count inversely to their frequency.
      **training: arguments of `down_stream.temporal.training.fit_temporal`.

    Raises:
      InputError: the loss is not finite.
    """
    features, index = frames("train")
    validate = None
    if len(frames.splits["validation"]):
        held_out, held_out_index = frames("validation")
        score = task.scorer(held_out_index)

        def validate(model):
            seconds = held_out_index.second
            return score(predict_temporal(model, held_out, held_out_index.video, seconds))

    if (weights := task.frame_weights(index)) is not None:  # it learns from people alone
        rows = np.flatnonzero(weights == 1)
        features, index = features[rows], index.take(rows)
    labels = task.labels(index)
    model, history, best_epoch = fit_temporal(
        videos_of(features, index.video, index.second, labels),
        num_classes=task.number,
        validate=validate,
        weights=class_weights(labels, task.number) if balance_classes else None,
        causal=TEMPORAL_MODELS[name],
        score_name=task.score_name,
        **training,
    )
    return Sequences(model, {"history": history, "best_epoch": best_epoch})
