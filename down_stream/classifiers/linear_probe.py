"""Linear probe: learning rate and weight decay chosen from a grid, all of it trained in one pass.

Every pair is a head of its own. Their kernels are parts of one, [width, heads, classes], so that a
step is one product for all of them; nothing passes from head to head.
"""

import itertools
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from data.batches.seeds import generator
from data.common.compiled_programs import xla_works
from data.common.errors import InputError
from data.common.progress import ProgressBar
from down_stream.classifiers.finetuning import create_optimizer
from down_stream.classifiers.linear_head import (
    Fitted,
    LinearHead,
    Validation,
    standardisation,
)

_INITIAL_STD = 0.01  # of the kernels


def fit_linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation: Validation | None,
    *,
    classes: int,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    optimizer: str,
    warmup: float,
    epochs: int,
    batch_size: int,
    seed: int,
    weights: Mapping[int, float] | None = None,
    frame_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    score_name: str = "macro_f1",
) -> Fitted:
    """Trains a linear head for every pair of learning rate and weight decay, on the same batches.

    Args:
      features: float32 [frames, width]; may be mapped from a file.
      labels: int [frames], class ids; or with several labels [frames, classes] of 1 and 0. -1 is
        unknown and counts for nothing.
      validation: after each epoch, every head is scored on it.
      classes: their number.
      learning_rates, weight_decays: the grid.
      optimizer, warmup: `down_stream.classifiers.finetuning.create_optimizer`'s name and warmup.
      epochs, batch_size, seed: ints; the seed is of the heads' start, the same for all, and of the
        order of the frames.
      weights: None, or {class: weight in the loss}: of the frames of that class; with several
        labels, of the frames where it is present.
      frame_weights: None, or float [frames], what each counts in the loss besides.
      label_smoothing: share of the target that is spread evenly, 0 to 1.
      score_name: of the score in the history.

    Returns:
      The head of the best epoch of the best point; without validation, of the last epoch of the
      middle point. Chosen are "learning_rate" and "weight_decay". A row of the grid is
      {"learning_rate", "weight_decay", "loss" (of its last epoch), "score", "epoch" (its best ones;
      None without validation)}, None standing for what is not finite. The history, {"loss", ...,
      "val_NAME": ...}, is of the chosen point; NaN where a loss was not finite.

    Raises:
      InputError: no head has a finite loss.
    """
    points = list(itertools.product(learning_rates, weight_decays))
    mean, std = standardisation(features)
    batch_size = min(batch_size, len(features))
    steps = -(-len(features) // batch_size)
    heads = Heads(
        points,
        (features.shape[1], classes),
        multi_label=labels.ndim == 2,
        optimizer=optimizer,
        warmup=warmup,
        steps=steps * epochs,
        seed=seed,
    )
    targets, importance = loss_targets(labels, classes, weights, label_smoothing)
    if frame_weights is not None:
        importance = importance * frame_weights[:, None].astype(np.float32)

    def batches(order):
        """Features, targets and importance, filled up with zeros: one compiled program serves all.

        And how many frames a batch has.
        """
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            parts = (features[rows] - mean) / std, targets[rows], importance[rows]
            missing = [(0, batch_size - len(rows)), (0, 0)]
            yield *(np.pad(part, missing) for part in parts), len(rows)

    held_out = None if validation is None else tf.constant((validation[0] - mean) / std)

    losses, scores = np.empty((epochs, len(points))), np.full((epochs, len(points)), np.nan)
    best, values = None, None
    for epoch in ProgressBar(range(epochs), "linear probe", unit="epoch"):
        order = generator(seed, epoch).permutation(len(features))
        losses[epoch] = sum(heads.step(*batch) for batch in batches(order)) / len(order)
        finite = np.isfinite(losses[epoch])
        if not finite.any():
            raise InputError(
                f"the loss is {losses[epoch][0]} in epoch {epoch + 1}; lower the learning rate"
            )
        if validation is None:
            continue
        probabilities = heads.probabilities(held_out).numpy()
        for number in np.flatnonzero(finite):
            scores[epoch, number] = validation[1](probabilities[:, number])
        highest = int(np.argmax(np.nan_to_num(scores[epoch], nan=-np.inf)))
        if scores[epoch, highest] > (-np.inf if best is None else scores[best]):
            best = epoch, highest
            values = heads.values(highest)
    if best is None:  # nothing to choose by
        best = epochs - 1, len(points) // 2
        if not np.isfinite(losses[best]):
            raise InputError(
                f"the loss is {losses[best]} in the last epoch; lower the learning rate"
            )
        values = heads.values(best[1])
    epoch, number = best
    history = {"loss": losses[:, number].tolist()}
    if validation:
        history[f"val_{score_name}"] = scores[:, number].tolist()
    grid = [_summary(*one) for one in zip(points, losses.T, scores.T, strict=True)]
    chosen = {name: grid[number][name] for name in ("learning_rate", "weight_decay")}
    head = LinearHead(*values, mean, std, heads.multi_label)
    return Fitted(head, chosen | {"grid": grid}, history, epoch)


class Heads:
    """Linear heads that are trained at once, each with its own learning rate and weight decay.

    Args:
      points: (learning rate, weight decay) of each.
      shape: (width, classes).
      multi_label: sigmoid and binary cross-entropy, rather than softmax and cross-entropy.
      optimizer, warmup, steps: as `create_optimizer` takes them.
      seed: int, of the kernels' start, the same for all.
    """

    def __init__(self, points, shape, *, multi_label, optimizer, warmup, steps, seed):
        width, classes = shape
        self.multi_label = multi_label
        start = keras.random.normal((width, 1, classes), 0.0, _INITIAL_STD, "float32", seed)
        kernel = np.repeat(np.asarray(start), len(points), axis=1)
        self.kernel = keras.Variable(kernel, dtype="float32", name="kernel")
        self.bias = keras.Variable(np.zeros((1, len(points), classes), np.float32), name="bias")
        rates, decays = np.array(points, np.float32).T[:, None, :, None]  # [1, heads, 1] each
        self.optimizer = create_optimizer(optimizer, rates, decays, warmup, steps)
        self.optimizer.build([self.kernel, self.bias])
        self._step = tf.function(self._update, jit_compile=xla_works(), autograph=False)

    def logits(self, features):
        """Standardised features [batch, width] -> [batch, heads, classes]."""
        width, heads, classes = self.kernel.shape
        product = tf.matmul(features, tf.reshape(self.kernel.value, (width, heads * classes)))
        return tf.reshape(product, (-1, heads, classes)) + self.bias.value

    def probabilities(self, features):
        """Standardised features [batch, width] -> [batch, heads, classes]."""
        logits = self.logits(features)
        return tf.sigmoid(logits) if self.multi_label else tf.nn.softmax(logits)

    def step(self, features, targets, importance, count: int) -> np.ndarray:
        """One update of all heads, by the mean over the first `count` frames of a batch.

        Returns:
          The losses before it, summed over these frames, [heads].
        """
        return self._step(features, targets, importance, tf.constant(count, tf.float32)).numpy()

    def _update(self, features, targets, importance, count):
        variables = [self.kernel, self.bias]
        with tf.GradientTape() as tape:
            logits, targets = self.logits(features), targets[:, None]
            if self.multi_label:
                every = tf.nn.sigmoid_cross_entropy_with_logits(
                    logits=logits, labels=tf.broadcast_to(targets, tf.shape(logits))
                )
                losses = tf.reduce_mean(importance[:, None] * every, axis=2)
            else:
                every = -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=2)
                losses = importance * every
            losses = tf.reduce_sum(losses, axis=0)
            total = tf.reduce_sum(losses) / count
        gradients = tape.gradient(total, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return losses

    def values(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Kernel [width, classes] and bias [classes] of one head."""
        return np.array(self.kernel)[:, number], np.array(self.bias)[0, number]


def loss_targets(labels, classes, weights, smoothing):
    """What the loss compares with and how much it counts.

    Returns:
      Targets float32 [frames, classes], and their importance: float32 [frames, 1] for one class
      per frame, [frames, classes] for several labels; 0 where a label is unknown.
    """
    by_class = np.array([1.0 if weights is None else weights[k] for k in range(classes)])
    known = labels >= 0
    if labels.ndim == 2:
        present = (labels == 1).astype(np.float32)
        targets = present * (1 - smoothing) + smoothing / 2
        importance = known * np.where(present, by_class, 1.0)
    else:
        targets = np.eye(classes)[np.maximum(labels, 0)] * (1 - smoothing) + smoothing / classes
        importance = (known * by_class[labels])[:, None]
    return targets.astype(np.float32), importance.astype(np.float32)


def _summary(point, losses, scores):
    """A point of the grid, as results have it."""
    loss = float(losses[-1]) if np.isfinite(losses[-1]) else None
    row = {"learning_rate": point[0], "weight_decay": point[1], "loss": loss}
    if not np.isfinite(scores).any():
        return row | {"score": None, "epoch": None}
    best = int(np.nanargmax(scores))
    return row | {"score": float(scores[best]), "epoch": best}
