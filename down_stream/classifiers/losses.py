"""Losses of classifiers: one class per frame (softmax), or any number of them (sigmoid).

Both take label -1 as unknown: it adds nothing to the loss and is not counted. They are not one: in
the first the classes share a probability of 1, in the second each has one of its own.
"""

import numpy as np
from keras import ops

from msn.method.losses import cross_entropies


def softmax_cross_entropy(labels, logits, weights=None, label_smoothing=0.0, frame_weights=None):
    """Cross-entropy of frames that have one class each.

    With p = softmax(logits) and the target t, 1 for the label's class before it is smoothed, that
    is -sum_k t_k log p_k: `msn.method.losses.cross_entropies`, as in MSN, whose targets are soft.

    Args:
      labels: int [frames], class ids, -1 where unknown.
      logits: float [frames, classes].
      weights: None, or float [classes]: what a frame of each class counts.
      label_smoothing: share of the target that goes to all classes alike, 0..1 (Szegedy et al.,
        arXiv 1512.00567, section 7).
      frame_weights: None, or float [frames]: what each counts besides.

    Returns:
      loss and accuracy, the means over frames with a known label, both scalars.
    """
    classes = logits.shape[-1]
    known = ops.cast(labels >= 0, logits.dtype)
    labels = ops.maximum(labels, 0)
    targets = ops.one_hot(labels, classes, dtype=logits.dtype)
    targets = targets * (1 - label_smoothing) + label_smoothing / classes
    losses = cross_entropies(ops.log_softmax(logits), targets)
    if weights is not None:
        losses = losses * ops.take(ops.convert_to_tensor(weights, logits.dtype), labels)
    if frame_weights is not None:
        losses = losses * frame_weights
    correct = ops.cast(ops.equal(ops.argmax(logits, axis=-1), labels), logits.dtype)
    return _mean(losses, known), _mean(correct, known)


def sigmoid_cross_entropy(labels, logits, weights=None, label_smoothing=0.0, frame_weights=None):
    """Cross-entropy of frames that have any number of classes, each present or absent.

    With p = sigmoid(logit) and the target t of a class, that is -(t log p + (1 - t) log(1 - p)).

    Args:
      labels: int [frames, classes], 1 present, 0 absent, -1 unknown.
      logits: float [frames, classes].
      weights: None, or float [classes]: what the presence of each class counts, its absence
        counting 1 (see `positive_weights`).
      label_smoothing: 0..1; labels move by half of it towards each other.
      frame_weights: None, or float [frames]: what each counts besides.

    Returns:
      loss and accuracy, the means over all known labels, both scalars.
    """
    known = ops.cast(labels >= 0, logits.dtype)
    present = ops.cast(labels == 1, logits.dtype)
    targets = present * (1 - label_smoothing) + label_smoothing / 2
    weights = 1.0 if weights is None else ops.convert_to_tensor(weights, logits.dtype)
    losses = -weights * targets * ops.log_sigmoid(logits)
    losses = losses - (1 - targets) * ops.log_sigmoid(-logits)
    if frame_weights is not None:
        losses = losses * frame_weights[:, None]
    correct = ops.cast(ops.equal(logits > 0, labels == 1), logits.dtype)
    return _mean(losses, known), _mean(correct, known)


def positive_weights(labels: np.ndarray) -> dict[int, float]:
    """Weights for `sigmoid_cross_entropy` that give presence and absence the same say.

    Args:
      labels: int [frames, classes], 1 present, 0 absent, -1 unknown.

    Returns:
      {class: frames without over frames with it}; 1 for a class that is never present, or always.
    """
    present, absent = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    is_mixed = (present > 0) & (absent > 0)
    weights = np.where(is_mixed, absent / np.maximum(present, 1), 1.0)
    return dict(enumerate(weights.tolist()))


def _mean(values, known):
    return ops.sum(values * known) / ops.maximum(ops.sum(known), 1.0)


def class_weights(labels: np.ndarray, classes: int) -> dict[int, float]:
    """Weights in the loss that give every class the same say.

    Args:
      labels: int [frames], class ids; -1, unknown, does not count.
      classes: how many there are.

    Returns:
      {class id: weight}, inverse to its frequency, 0 for a class that does not occur; the mean
      weight of a frame is 1.
    """
    known = labels[labels >= 0]
    counts = np.bincount(known, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.where(counts, len(known) / (max(1, present) * np.maximum(counts, 1)), 0.0)
    return dict(enumerate(weights.tolist()))
