"""Logistic regression on features of a frozen encoder: the low-shot protocol of MSN."""

import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from down_stream.classifiers.linear_head import (
    Fitted,
    LinearHead,
    Validation,
    standardisation,
)

# Of facebookresearch/msn, logistic_eval.py: the sum of losses + this / 2 x the squared weights, on
# features of length 1. Frames of a video are alike, so more than that is tried, too.
MSN_PENALTY = 0.00025
PENALTIES = tuple(MSN_PENALTY * 10**power for power in range(6))
_MAX_ITERATIONS = 1000
_NEVER = 1e4  # as a logit: a probability of 0


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    validation: Validation | None,
    *,
    classes: int,
    weights: Mapping[int, float] | None = None,
    frame_weights: np.ndarray | None = None,
    penalties: tuple[float, ...] = PENALTIES,
) -> Fitted:
    """Fits L2 logistic regression to its optimum (L-BFGS), the low-shot protocol of MSN.

    Assran et al., arXiv 2204.07141, section 5 and facebookresearch/msn, logistic_eval.py. Theirs
    centres each feature vector and scales it to length 1, without a bias; here every feature is
    standardised and there is a bias without penalty, so that the result is a head like any other. A
    standardised vector has length sqrt(width): the penalty is scaled by that squared.

    Args:
      features: float [frames, width].
      labels: int [frames], class ids; or with several labels [frames, classes] of 1 and 0, a
        regression each. -1 is unknown.
      validation: what the penalty is chosen on; without it, it is the first.
      classes: their number. One that no label has gets probability 0.
      weights: of frames in the loss, by label; with several labels, of those that have each.
      frame_weights: None, or float [frames], what each counts in the loss besides.
      penalties: rising.

    Returns:
      The head. Chosen is the "penalty", as PENALTIES; a row of the grid is {"penalty", "score",
      "converged"}. Without validation there is one, its score None.
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
            parts.append(_fit(model, inputs, target, by_label, frame_weights))
        kernel, bias = _assemble(parts, classes, labels.ndim == 2, inputs.shape[1])
        head = LinearHead(kernel, bias, mean, std, labels.ndim == 2)
        score = float(validation[1](head.probabilities(validation[0]))) if validation else None
        row = {"penalty": penalty, "score": score, "converged": all(part[3] for part in parts)}
        fitted.append((head, row))
    scores = [np.nan if row["score"] is None else row["score"] for _, row in fitted]
    head, row = fitted[np.argmax(np.nan_to_num(scores, nan=-np.inf))]
    return Fitted(head, {"penalty": row["penalty"], "grid": [row for _, row in fitted]})


def _model() -> LogisticRegression:
    return LogisticRegression(solver="lbfgs", max_iter=_MAX_ITERATIONS, tol=1e-5, warm_start=True)


def _fit(model, inputs, target, weights, frame_weights):
    """(Labels that occur, kernel [width, labels], bias [labels], whether it converged)."""
    known = np.flatnonzero(target >= 0)
    labels = np.unique(target[known])
    if len(labels) < 2:  # nothing to separate
        return labels, np.zeros((inputs.shape[1], len(labels))), np.zeros(len(labels)), True
    sample_weights = weights and np.array([weights.get(label, 0.0) for label in target[known]])
    if frame_weights is not None:
        counted = frame_weights[known].astype(np.float64)
        sample_weights = counted * (1.0 if sample_weights is None else sample_weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the grid says it
        model.fit(inputs[known], target[known], sample_weight=sample_weights)
    kernel, bias = model.coef_.T, model.intercept_
    if len(labels) == 2:  # one logit, of the second against the first
        kernel = np.concatenate([np.zeros_like(kernel), kernel], axis=1)
        bias = np.array([0.0, bias[0]])
    return labels, kernel, bias, bool(model.n_iter_.max() < _MAX_ITERATIONS)


def _assemble(parts, classes, multi_label, width):
    """Kernel float32 [width, classes] and bias [classes] of all parts."""
    kernel, bias = np.zeros((width, classes)), np.full(classes, -_NEVER)
    for place, (labels, its_kernel, its_bias, _) in enumerate(parts):
        if not multi_label:
            kernel[:, labels], bias[labels] = its_kernel, its_bias
        elif len(labels) == 2:
            kernel[:, place], bias[place] = its_kernel[:, 1], its_bias[1]
        elif 1 in labels:
            bias[place] = _NEVER
    return kernel.astype(np.float32), bias.astype(np.float32)
