"""The ways to put an encoder to use: linear probe, logistic regression, k-NN, fine-tuning."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from data.common.logs import logger
from down_stream.classifiers.finetuning import finetune
from down_stream.classifiers.frame_model import FrameModel
from down_stream.classifiers.linear_head import Fitted
from down_stream.classifiers.losses import (
    class_weights,
    positive_weights,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from down_stream.classifiers.nearest_neighbours import NeighbourProbe
from down_stream.features.encoders import SplitFeatures
from down_stream.tasks import FEW, Task
from msn.formats.files.feature_table import FeatureTable

UNREADABLE = "cannot be read and do not count"  # how the remark on such frames ends
CHOSEN_ON = "what is tested was chosen on "


def fit_head(
    fit: Callable[..., Fitted],
    task: Task,
    frames: SplitFeatures,
    *,
    balance_classes: bool,
    **training,
) -> Fitted:
    """A linear classifier on frozen features.

    Args:
      fit: `fit_linear_probe` or `fit_logistic`.
      task, frames: what is learnt, from what.
      balance_classes: whether classes count inversely to their frequency.
      **training: further arguments of `fit`.
    """
    features, index = frames("train")
    labels = task.labels(index).astype(np.int32)
    weights = weights_of(task, labels) if balance_classes else None
    validation = None
    if len(frames.splits["validation"]):
        held_out, held_out_index = frames("validation")
        validation = held_out, task.scorer(held_out_index)
    training |= {"classes": task.number, "weights": weights}
    fitted = fit(features, labels, validation, frame_weights=task.frame_weights(index), **training)
    if isinstance(frames.encoder, FeatureTable):  # there is nothing to run on other frames
        return fitted
    head = fitted.classifier
    model = FrameModel(
        frames.encoder,
        task.classes,
        task.name,
        task.multi_label,
        mean=head.mean,
        std=head.std,
        features=frames.features,
    )
    model.head.set_weights([head.kernel, head.bias])
    return dataclasses.replace(fitted, model=model)


def fit_neighbours(task: Task, frames: SplitFeatures) -> Fitted:
    """k nearest neighbours on frozen features: nothing is fitted."""
    features, index = frames("train")
    return Fitted(NeighbourProbe(features, task.labels(index).astype(np.int32), task.number))


def fit_end_to_end(
    task: Task, frames: SplitFeatures, *, balance_classes: bool, seed: int, **training
) -> Fitted:
    """Fine-tuning: encoder and head are trained on augmented frames; or attentive pooling and head.

    Args:
      balance_classes: whether classes count inversely to their frequency.
      seed: of the head and the training.
      **training: arguments of `down_stream.classifiers.finetuning.finetune`.
    """
    index = frames.splits["train"]
    model = FrameModel(
        frames.encoder,
        task.classes,
        task.name,
        task.multi_label,
        seed=seed,
        features=frames.features,
    )
    if model.pool is not None:
        frames.represent_by(model.represent)
    validate = None
    if len(frames.splits["validation"]):

        def validate():
            features, index = frames.compute("validation")
            return task.scorer(index)(keras.ops.convert_to_numpy(model.probabilities(features)))

    labels = task.labels(index).astype(np.int32)
    unreadable = set()
    history, best_epoch = finetune(
        model,
        index,
        labels,
        loss=sigmoid_cross_entropy if task.multi_label else softmax_cross_entropy,
        weights=weights_of(task, labels) if balance_classes else None,
        frame_weights=task.frame_weights(index),
        validate=validate,
        score_name=task.score_name,
        unreadable=unreadable,
        seed=seed,
        **training,
    )
    frames.unreadable["train"] = len(unreadable)
    return Fitted(model, history=history, best_epoch=best_epoch, model=model)


def remarks(task: Task, fitted: Fitted, frames: SplitFeatures, is_fold: bool = False) -> list[str]:
    """What a reader of the results should know about how they came about; also in the log.

    Of a fold of a cross-validation, no advice to cross-validate.
    """
    texts = []
    scores = fitted.history.get(f"val_{task.score_name}", [0])
    if np.isnan(scores).all():
        texts.append(f"val_{task.score_name} is undefined in every epoch: the last one is tested")
    validation = frames.splits["validation"]
    is_chosen = bool(fitted.history or fitted.chosen)
    if is_chosen and len(validation) and task.is_few(validation):
        groups = len(np.unique(validation.video))
        by = "their score, much of which is luck"
        if task.score_name == "log_likelihood":
            by = "the likelihood of their labels, which depends less on luck than the score"
        advice = "" if is_fold else f"; --config.folds=5 tests every {task.unit} once"
        texts.append(
            f"{CHOSEN_ON}{groups} validation {task.unit}{'s' if groups > 1 else ''}, fewer than "
            f"{FEW[task.unit]}, by {by}{advice}"
        )
    if counts := [f"{count} {part} frames" for part, count in frames.unreadable.items() if count]:
        texts.append(f"{', '.join(counts)} {UNREADABLE}")
    for remark in texts:
        logger.warning("%s", remark)
    return texts


def weights_of(task: Task, labels: np.ndarray) -> dict[int, float]:
    """Weights of the classes in the loss; with several labels, of the frames that have each."""
    return positive_weights(labels) if task.multi_label else class_weights(labels, task.number)
