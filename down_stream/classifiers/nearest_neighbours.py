"""k-NN on features of a frozen encoder: nothing is fitted."""

from dataclasses import dataclass

import numpy as np

from msn.training.neighbours import votes


@dataclass(frozen=True)
class NeighbourProbe:
    """k-NN with the weights and the k of `msn.training.neighbours`.

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
