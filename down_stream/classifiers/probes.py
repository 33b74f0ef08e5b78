"""Classifiers on frozen features without a learning rate: nearest neighbours, logistic regression.

They and `down_stream.classifiers.grid_probe` take the same things: features, labels and, to choose
on, the features of other videos with a function that scores probabilities for them.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from msn.training.neighbours import votes

# (features float [frames, width], function of their probabilities [frames, classes] -> score,
# higher is better)
Validation = tuple[np.ndarray, Callable[[np.ndarray], float]]

# Of facebookresearch/msn, logistic_eval.py: the sum of losses + this / 2 x the squared weights, on
# features of length 1. Frames of a video are alike, so more than that is tried, too.
MSN_PENALTY = 0.00025
PENALTIES = tuple(MSN_PENALTY * 10**power for power in range(6))
_MAX_ITERATIONS = 1000
_ROWS = 8192  # at a time
_NEVER = 1e4  # as a logit: a probability of 0


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation float32 [width] of training features, none of the latter 0."""
    mean = features.mean(axis=0, dtype=np.float64)
    std = features.std(axis=0, dtype=np.float64)
    std = np.where(std > 1e-6, std, 1.0)  # one that is constant here may differ elsewhere
    return mean.astype(np.float32), std.astype(np.float32)


@dataclass(frozen=True)
class LinearHead:
    """What a linear classifier comes to; the values of a frame model's head.

    Attributes:
      kernel, bias: float32 [width, classes] and [classes], for standardised features.
      mean, std: float32 [width], of the training features.
      multi_label: whether a frame has any number of the classes, rather than one.
    """

    kernel: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    multi_label: bool = False

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features [frames, width] -> float32 [frames, classes]."""
        logits = np.empty((len(features), len(self.bias)), np.float32)
        for start in range(0, len(features), _ROWS):  # they may be mapped from a large file
            part = (features[start : start + _ROWS] - self.mean) / self.std
            logits[start : start + _ROWS] = part @ self.kernel + self.bias
        return expit(logits) if self.multi_label else softmax(logits, axis=1)


@dataclass(frozen=True)
class NeighbourProbe:
    """k-NN: nothing is fitted, so there is no kernel; weights and k are `msn.training.neighbours`'.

    Attributes:
      features: float [frames, width], of the training videos.
      labels: int [frames], class ids; or with several labels [frames, classes] of 1 and 0. -1 is
        unknown.
      classes: their number.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: int

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features [frames, width] -> shares of the votes, float32 [frames, classes]."""
        if self.labels.ndim == 2:
            targets = np.concatenate([self.labels == 1, self.labels >= 0], axis=1)
            sums = votes(self.features, targets.astype(np.float32), features)
            share = sums[:, : self.classes] / np.maximum(sums[:, self.classes :], 1e-300)
        else:
            known = np.flatnonzero(self.labels >= 0)
            targets = np.eye(self.classes, dtype=np.float32)[self.labels[known]]
            sums = votes(self.features[known], targets, features)
            share = sums / sums.sum(axis=1, keepdims=True)
        return share.astype(np.float32)


@dataclass(frozen=True)
class LogisticProbe:
    """L2 logistic regression with the penalty that validation chose.

    Attributes:
      head: the classifier.
      penalty: as PENALTIES.
      grid: one {"penalty", "score", "converged"} per penalty; without validation one of them, its
        score None.
    """

    head: LinearHead
    penalty: float
    grid: list[dict]


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    validation: Validation | None,
    *,
    classes: int,
    weights: Mapping[int, float] | None = None,
    penalties: tuple[float, ...] = PENALTIES,
) -> LogisticProbe:
    """Fits L2 logistic regression to its optimum (L-BFGS), the low-shot protocol of MSN.

    Assran et al., arXiv 2204.07141, section 5 and facebookresearch/msn, logistic_eval.py. Theirs
    centres each feature vector and scales it to length 1, without a bias; here every feature is
    standardised and there is a bias without penalty, so that the result is a head like any other. A
    standardised vector has length sqrt(width): the penalty is scaled by that squared.

    Args:
      features: float [frames, width].
      labels: as `NeighbourProbe` has them; several labels are a regression each.
      validation: what the penalty is chosen on; without it, it is the first.
      classes: their number. One that no label has gets probability 0.
      weights: of frames in the loss, by label; with several labels, of those that have each.
      penalties: rising.

    Returns:
      `LogisticProbe`.
    """
    mean, std = standardisation(features)
    inputs = (np.asarray(features, np.float64) - mean) / std
    targets = list(labels.T) if labels.ndim == 2 else [labels]
    penalties = penalties if validation else penalties[:1]
    models = [_model() for _ in targets]
    fitted = []
    for penalty in sorted(penalties, reverse=True):  # each starts where the one before has ended
        parts = []
        for place, (model, target) in enumerate(zip(models, targets, strict=True)):
            by_label = {0: 1.0, 1: weights[place]} if weights and labels.ndim == 2 else weights
            model.C = 1 / (penalty * inputs.shape[1])
            parts.append(_fit(model, inputs, target, by_label))
        kernel, bias = _assemble(parts, classes, labels.ndim == 2, inputs.shape[1])
        head = LinearHead(kernel, bias, mean, std, labels.ndim == 2)
        score = float(validation[1](head.probabilities(validation[0]))) if validation else None
        row = {"penalty": penalty, "score": score, "converged": all(part[3] for part in parts)}
        fitted.append((head, row))
    scores = [np.nan if row["score"] is None else row["score"] for _, row in fitted]
    head, row = fitted[np.argmax(np.nan_to_num(scores, nan=-np.inf))]
    return LogisticProbe(head, row["penalty"], [row for _, row in fitted])


def _model() -> LogisticRegression:
    return LogisticRegression(solver="lbfgs", max_iter=_MAX_ITERATIONS, tol=1e-5, warm_start=True)


def _fit(model, inputs, target, weights):
    """(Classes found, kernel [width, found], bias [found], whether it converged)."""
    known = np.flatnonzero(target >= 0)
    found = np.unique(target[known])
    if len(found) < 2:  # nothing to separate
        return found, np.zeros((inputs.shape[1], len(found))), np.zeros(len(found)), True
    sample_weights = weights and np.array([weights.get(label, 0.0) for label in target[known]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the grid says it
        model.fit(inputs[known], target[known], sample_weight=sample_weights)
    kernel, bias = model.coef_.T, model.intercept_
    if len(found) == 2:  # one logit, of the second against the first
        kernel = np.concatenate([np.zeros_like(kernel), kernel], axis=1)
        bias = np.array([0.0, bias[0]])
    return found, kernel, bias, bool(model.n_iter_.max() < _MAX_ITERATIONS)


def _assemble(parts, classes, multi_label, width):
    """Kernel float32 [width, classes] and bias [classes] of all parts."""
    kernel, bias = np.zeros((width, classes)), np.full(classes, -_NEVER)
    if not multi_label:
        ((found, of_found, bias_of_found, _),) = parts
        kernel[:, found], bias[found] = of_found, bias_of_found
    else:
        for place, (found, of_found, bias_of_found, _) in enumerate(parts):
            if len(found) == 2:
                kernel[:, place], bias[place] = of_found[:, 1], bias_of_found[1]
            elif 1 in found:
                bias[place] = _NEVER
    return kernel.astype(np.float32), bias.astype(np.float32)
