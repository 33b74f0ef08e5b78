"""Linear classifiers on features of a frozen encoder, and how they are chosen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit, softmax

# (features float [frames, width], function of their probabilities [frames, classes] -> score,
# higher is better)
Validation = tuple[np.ndarray, Callable[[np.ndarray], float]]

_ROWS = 8192  # at a time


def standardisation(*parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation float32 [width] of training features, none of the latter 0.

    Args:
      *parts: float [frames, width]; they are not copied together.
    """
    number = sum(map(len, parts))
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / number
    std = np.sqrt(sum(((part - mean) ** 2).sum(axis=0) for part in parts) / number)
    std = np.where(std > 1e-6, std, 1.0)  # one that is constant here may differ elsewhere
    return mean.astype(np.float32), std.astype(np.float32)


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier: the values of a frame model's head.

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
class Fitted:
    """A classifier, and how it was fitted.

    Attributes:
      classifier: has `probabilities`: features [frames, width] -> probabilities [frames, classes].
      chosen: settings that validation chose, by name; "grid" has a row for all that were tried.
      history: {name: one value per epoch}; empty where there are no epochs.
      best_epoch: index of the epoch that is tested; None without epochs.
      model: `FrameModel` of encoder and classifier; None before there is one, and for k-NN.
    """

    classifier: Any
    chosen: dict = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None
    model: Any = None
