"""The ways to put an encoder to use: linear probe, logistic regression, k-NN, fine-tuning."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import keras
import numpy as np
from ml_collections import ConfigDict

from data.common.stopping import StopSignal
from data.dataset.frame_index import FrameIndex
from data.storage.paths import AnyPath
from down_stream.classifiers.finetuning import check_trainable, finetune
from down_stream.classifiers.frame_model import FrameModel
from down_stream.classifiers.grid_probe import fit_grid
from down_stream.classifiers.losses import (
    class_weights,
    positive_weights,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from down_stream.classifiers.probes import NeighbourProbe, fit_logistic
from down_stream.features.encoders import Frames
from down_stream.tasks import Task
from msn.workdir.run_directory import CHECKPOINTS, CONFIG_FILE, locked, write_configuration

CHANGEABLE = ("workdir", "feature_cache")  # between two starts of fine-tuning in one folder


@dataclass(frozen=True)
class Fitted:
    """What fitting comes to.

    Attributes:
      probabilities: features [frames, width] -> probabilities [frames, classes].
      model: `FrameModel`; None for k-NN, which is none.
      history: {name: one value per epoch}; empty where there are no epochs.
      best_epoch: index of the one that is tested; None without epochs.
      chosen: what validation has chosen besides, by name, for results.json.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    model: FrameModel | None
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None
    chosen: dict = field(default_factory=dict)


def fit_probe(config: ConfigDict, task: Task, frames: Frames, workdir: AnyPath) -> Fitted:
    """Linear probe on frozen features; learning rate and weight decay from a grid."""
    features, index = frames("train")
    found = fit_grid(
        features,
        task.labels(index).astype(np.int32),
        validation_of(frames, task),
        classes=task.number,
        learning_rates=config.probe.learning_rates,
        weight_decays=config.probe.weight_decays,
        optimizer=config.optimizer.name,
        warmup=config.optimizer.warmup,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        weights=weights_of(config, task, index),
        label_smoothing=config.label_smoothing,
        score_name=task.score_name,
    )
    chosen = {"learning_rate": found.learning_rate, "weight_decay": found.weight_decay}
    return Fitted(
        found.head.probabilities,
        model_of(task, frames.encoder, found.head),
        found.history,
        found.best_epoch,
        chosen | {"grid": found.grid},
    )


def fit_regression(config: ConfigDict, task: Task, frames: Frames, workdir: AnyPath) -> Fitted:
    """L2 logistic regression on frozen features, MSN's low-shot protocol."""
    features, index = frames("train")
    found = fit_logistic(
        features,
        task.labels(index).astype(np.int32),
        validation_of(frames, task),
        classes=task.number,
        weights=weights_of(config, task, index),
    )
    chosen = {"penalty": found.penalty, "grid": found.grid}
    model = model_of(task, frames.encoder, found.head)
    return Fitted(found.head.probabilities, model, chosen=chosen)


def fit_neighbours(config: ConfigDict, task: Task, frames: Frames, workdir: AnyPath) -> Fitted:
    """k nearest neighbours on frozen features: nothing is fitted."""
    features, index = frames("train")
    labels = task.labels(index).astype(np.int32)
    probe = NeighbourProbe(features, labels, task.number)
    return Fitted(probe.probabilities, None)


def fit_end_to_end(config: ConfigDict, task: Task, frames: Frames, workdir: AnyPath) -> Fitted:
    """Fine-tuning: encoder and head are trained on augmented frames."""
    encoder, index = frames.encoder, frames.splits["train"]
    model = FrameModel(encoder, task.classes, task.name, task.multi_label, seed=config.seed)
    validate = None
    if len(frames.splits["validation"]):

        def validate():
            features, index = frames.compute("validation")
            return task.scorer(index)(probabilities_of(model, features))

    check_trainable(encoder)
    with locked(workdir), StopSignal() as stop:
        if not (workdir / CHECKPOINTS).exists():  # what is here, if anything, is finished
            (workdir / CONFIG_FILE).unlink(missing_ok=True)
        write_configuration(workdir, config, CHANGEABLE)
        unreadable = set()
        history, best_epoch = finetune(
            model,
            index,
            task.labels(index).astype(np.int32),
            loss=sigmoid_cross_entropy if task.multi_label else softmax_cross_entropy,
            label_smoothing=config.label_smoothing,
            weights=weights_of(config, task, index),
            augmentation={"transformation": config.augmentation, **config.randaug.to_dict()},
            optimizer=config.optimizer.to_dict(),
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            validate=validate,
            score_name=task.score_name,
            directory=workdir / CHECKPOINTS,
            stop=stop,
            unreadable=unreadable,
        )
    frames.unreadable["train"] = len(unreadable)
    return Fitted(partial(probabilities_of, model), model, history, best_epoch)


FITS = {
    "probe": fit_probe,
    "logistic": fit_regression,
    "knn": fit_neighbours,
    "finetune": fit_end_to_end,
}


def validation_of(frames: Frames, task: Task):
    """(Features, function that scores probabilities of them), or None without validation."""
    if not len(frames.splits["validation"]):
        return None
    features, index = frames("validation")
    return features, task.scorer(index)


def weights_of(config: ConfigDict, task: Task, index: FrameIndex) -> dict[int, float] | None:
    """Weights of the classes in the loss; with several labels, of the frames that have each."""
    if not config.balance_classes:
        return None
    labels = task.labels(index)
    return positive_weights(labels) if task.multi_label else class_weights(labels, task.number)


def model_of(task: Task, encoder, head) -> FrameModel:
    """The encoder with a linear head, to be saved."""
    model = FrameModel(
        encoder, task.classes, task.name, task.multi_label, mean=head.mean, std=head.std
    )
    model.head.set_weights([head.kernel, head.bias])
    return model


def probabilities_of(model: FrameModel, features: np.ndarray) -> np.ndarray:
    """Representations [frames, width] -> probabilities float32 [frames, classes]."""
    return keras.ops.convert_to_numpy(model.probabilities(features))
