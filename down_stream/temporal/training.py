"""Fits a temporal model to the frame features of whole videos, and applies it to them.

A temporal model sees one frame in every second, the first where there are several; the others of
that second have its answer. Frames can be missing: the frame before them is then held, as it is on
a screen that got no new one. That uses the past alone, so that a running video
(`TemporalModel.stream`) gives the same; held seconds have no label and are not predicted.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from data.batches.prefetching import prefetched
from data.batches.seeds import generator
from data.common.errors import InputError
from down_stream.classifiers.finetuning import create_train_step, fit
from down_stream.classifiers.linear_head import standardisation
from down_stream.classifiers.training_state import TrainingState
from down_stream.temporal.model import TemporalModel, fill_up

UNKNOWN = -1

Video = tuple[np.ndarray, np.ndarray]  # features float32 [time, width], labels int [time]


def fit_temporal(
    videos: Sequence[Video],
    *,
    num_classes: int,
    validate: Callable[[TemporalModel], float] | None,
    epochs: int,
    learning_rate: float,
    weights: dict[int, float] | None,
    seed: int,
    causal: bool = True,
    num_stages: int = 2,
    num_layers: int = 9,
    num_maps: int = 64,
    dropout: float = 0.5,
    score_name: str = "macro_f1",
) -> tuple[TemporalModel, dict[str, list[float]], int]:
    """Trains a temporal model: one whole video an update, Adam, the best epoch is kept.

    The loss is TeCNO's: cross-entropy of every stage, averaged over the stages and over the seconds
    of the video that have a label, these weighted by class. A factor common to all weights cancels
    out: `class_weights`, inverse to frequency, are as good as its median-frequency weights. (Its
    code takes the softmax twice, losses/classification.py; here it is taken once.) MS-TCN's
    smoothing loss is left out of both variants.

    Args:
      videos: features and labels on a grid of one second (`videos_of`); -1 where unknown.
      num_classes: int.
      validate: None, or a function that scores the model, higher is better; without it the last
        epoch is kept.
      epochs: int.
      learning_rate: of Adam; constant.
      weights: None, or {label: weight in the loss} of all classes.
      seed: int >= 0; of initialisation, dropout and the order of the videos.
      causal, num_stages, num_layers, num_maps, dropout: as `TemporalModel` takes them.
      score_name: of what `validate` returns, in the history.

    Returns:
      The model, history ({name: one value per epoch}) and the index of the epoch that was kept.

    Raises:
      InputError: no video has a label, or the loss is not finite.
    """
    videos = [video for video in videos if (video[1] != UNKNOWN).any()]
    if not videos:
        raise InputError("none of the training videos has a label: nothing for a temporal model")
    mean, std = standardisation(*(features for features, _ in videos))
    sizes = {
        "width": len(mean),
        "num_classes": num_classes,
        "num_stages": num_stages,
        "num_layers": num_layers,
        "num_maps": num_maps,
        "dropout": dropout,
        "causal": causal,
    }
    model = TemporalModel(**sizes, mean=mean, std=std, seed=seed)
    training = _training_of(learning_rate, **sizes)
    training.start_as(model)
    history, best_epoch = fit(
        training.train_step,
        lambda first_step: _batches(videos, model, weights, seed),
        TrainingState(training.model.weights, training.optimizer, f"val_{score_name}"),
        steps=len(videos),
        epochs=epochs,
        validate=validate and (lambda: validate(training.model)),
        directory=None,
        stop=None,
    )
    _copy(training.model, model)
    return model, history, best_epoch


class _Training:
    """A model, its optimizer and the compiled update, for one fit after another.

    Tracing and compiling the update takes longer than many a fit does, and a grid or a cross-
    validation fits dozens of models of one size: they are all trained in the same variables.

    Args:
      learning_rate: of Adam.
      **sizes: arguments of `TemporalModel` without mean, std and seed.
    """

    def __init__(self, learning_rate, **sizes):
        self.model = TemporalModel(**sizes)
        self.optimizer = keras.optimizers.Adam(learning_rate)
        variables = self.model.trainable_variables
        self.optimizer.build(variables)
        self._start = [keras.ops.convert_to_numpy(v) for v in self.optimizer.variables]
        self.train_step = create_train_step(
            self._loss_of, variables, self.optimizer, [1.0] * len(variables)
        )

    def start_as(self, model: TemporalModel) -> None:
        """Makes everything as it is before the first update of `model`."""
        _copy(model, self.model)
        for variable, value in zip(self.optimizer.variables, self._start, strict=True):
            variable.assign(value)

    def _loss_of(self, inputs, targets):
        labels, importance = targets
        logits = self.model(inputs, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        right = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
        seen = tf.cast(importance > 0, tf.float32)
        loss = tf.reduce_sum(importance * losses) / tf.reduce_sum(importance)
        return loss, tf.reduce_sum(seen * right) / tf.reduce_sum(seen)


@functools.lru_cache(maxsize=4)
def _training_of(learning_rate, **sizes) -> _Training:
    """The one for these sizes."""
    return _Training(learning_rate, **sizes)


def _copy(source: TemporalModel, target: TemporalModel) -> None:
    """Copies all variables, the state of dropout's draws among them."""
    for variable, value in zip(target.variables, source.variables, strict=True):
        variable.assign(value)


def videos_of(
    features: np.ndarray, video: np.ndarray, second: np.ndarray, label: np.ndarray
) -> list[Video]:
    """A table of frames as videos on a grid of one second, as `fit_temporal` takes them.

    Args:
      features: float32 [frames, width].
      video: [frames], names or numbers; second: int [frames]; label: int [frames], -1 where
        unknown. The frames may come in any order.

    Returns:
      For every video, features float32 [time, width] and labels int32 [time] from its first frame
      to its last; -1 in seconds without a frame.

    Raises:
      InputError: two frames of a video at one time.
    """
    videos = []
    for rows in _rows_of_videos(video):
        held, places = on_seconds(second[rows])
        is_there = places[held] == np.arange(len(held))
        labels = np.where(is_there, label[rows[held]], UNKNOWN).astype(np.int32)
        videos.append((np.asarray(features[rows[held]], np.float32), labels))
    return videos


def predict_temporal(
    model: TemporalModel, features: np.ndarray, video: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Probabilities float32 [frames, classes] for a table of frames, row by row.

    Arguments and what is raised are as in `videos_of`. Videos must be whole: a frame that is
    missing at the beginning was not seen.
    """
    probabilities = np.empty((len(features), model.num_classes), np.float32)
    for rows in _rows_of_videos(video):
        held, places = on_seconds(second[rows])
        probabilities[rows] = model.probabilities(features[rows[held]])[places]
    return probabilities


def on_seconds(second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Puts the frames of one video on a grid of one second, from the first frame to the last.

    Args:
      second: [frames], in any order; above one frame a second they are fractional.

    Returns:
      held, int64 [time]: which frame is seen in each second, its first, or that of the last second
      that had one; places, int64 [frames]: where in the grid each frame is.

    Raises:
      InputError: two frames at one time.
    """
    order = np.argsort(second)
    if (again := np.flatnonzero(np.diff(second[order]) == 0)).size:
        twice = second[order[again[0]]]
        raise InputError(f"second {twice} of a video has two frames; expected one")
    whole = np.floor(second).astype(np.int64)
    ordered = whole[order]
    firsts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    grid = np.arange(ordered[0], ordered[-1] + 1)
    held = order[firsts[np.searchsorted(ordered[firsts], grid, side="right") - 1]]
    return held, whole - ordered[0]


def _rows_of_videos(video: np.ndarray) -> list[np.ndarray]:
    """The rows of each video of a table."""
    _, number, counts = np.unique(video, return_inverse=True, return_counts=True)
    return np.split(np.argsort(number, kind="stable"), np.cumsum(counts)[:-1])


def _batches(videos, model, weights, seed) -> tf.data.Dataset:
    """Epoch after epoch without end: one video a batch, each epoch in another order.

    Elements are inputs, and labels with their weights, both [1, stages, time].
    """
    weight_of = np.array([(weights or {}).get(i, 1.0) for i in range(model.num_classes)])

    def one(features, labels):
        features, present = fill_up(features)
        targets = np.zeros(present.shape, np.int32)
        targets[0, : len(labels)] = np.maximum(labels, 0)
        weight = np.zeros(present.shape, np.float32)
        weight[0, : len(labels)] = np.where(labels == UNKNOWN, 0, weight_of[labels])
        stages = (1, model.num_stages, 1)
        return (features, present), (np.tile(targets, stages), np.tile(weight, stages))

    def batches() -> Iterator:
        for epoch in itertools.count():
            for place in generator(seed, epoch).permutation(len(videos)):
                yield one(*videos[place])

    signature = (
        (
            tf.TensorSpec((1, None, model.width), tf.float32),
            tf.TensorSpec((1, None), tf.float32),
        ),
        (
            tf.TensorSpec((1, model.num_stages, None), tf.int32),
            tf.TensorSpec((1, model.num_stages, None), tf.float32),
        ),
    )
    return prefetched(tf.data.Dataset.from_generator(batches, output_signature=signature), 1)
