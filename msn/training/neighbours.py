"""The vote of the nearest neighbours, as k-NN probes of self-supervised learning have it.

Source: Wu et al., arXiv 1805.01978, section 3.4 (weighted votes, temperature 0.07); Caron et al.,
arXiv 2104.14294, section 4.1 (k = 20).
"""

import numpy as np

NEIGHBOURS, TEMPERATURE = 20, 0.07
_VALUES = 1 << 24  # similarities in memory at a time


def votes(
    train: np.ndarray,
    targets: np.ndarray,
    test: np.ndarray,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> np.ndarray:
    """Sums of the nearest neighbours' targets, each weighted by exp(cosine / temperature).

    Args:
      train: float [n, width], any length of rows.
      targets: float [n, classes], as 1 for the class of a row and 0 for the others.
      test: float [m, width].
      neighbours: of which there may be fewer.

    Returns:
      float64 [m, classes].
    """
    train, test = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (train, test)
    )
    neighbours = min(neighbours, len(train))
    step = max(1, _VALUES // len(train))
    sums = np.empty((len(test), targets.shape[1]))
    for start in range(0, len(test), step):
        similarity = test[start : start + step] @ train.T
        nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        weights = np.exp(np.take_along_axis(similarity, nearest, axis=1) / temperature)
        sums[start : start + step] = np.einsum("mk,mkc->mc", weights, targets[nearest])
    return sums


def vote(train: np.ndarray, labels: np.ndarray, test: np.ndarray, number: int) -> np.ndarray:
    """What the nearest neighbours vote for: int [m], of labels int [n] < `number`."""
    return votes(train, np.eye(number)[labels], test).argmax(axis=1)
