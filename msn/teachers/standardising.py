"""Features whose dimensions have mean 0 and variance 1: none counts more than another."""

from collections.abc import Sequence

import numpy as np

BLOCK = 4096  # frames that are standardised at once


def standardise(features: np.ndarray, known: np.ndarray) -> None:
    """Gives each dimension of [n, width] mean 0 and variance 1 over the known rows, in place.

    Other rows are zero. A dimension that is the same in all frames tells nothing, and is zero.
    Block by block: there may be millions of frames, and a copy of them in float64 beside them.
    """
    starts = range(0, len(features), BLOCK)
    blocks = [(features[at : at + BLOCK], known[at : at + BLOCK]) for at in starts]
    mean, deviation = mean_and_deviation(blocks)
    for rows, of in blocks:
        rows[...] = np.where(of[:, None], (rows - mean) / deviation, 0)


def mean_and_deviation(
    blocks: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each dimension of the known rows, float64 [width].

    The deviation is infinite where a dimension is the same everywhere.

    Args:
      blocks: features [n, width], and which of them are known, bool [n]; of no more than one at a
        time is there a copy.
    """
    count, width = sum(of.sum() for _, of in blocks), blocks[0][0].shape[1]
    sums = (rows[of].sum(axis=0, dtype=np.float64) for rows, of in blocks)
    mean = sum(sums, np.zeros(width)) / count
    squares = sum((((rows[of] - mean) ** 2).sum(axis=0) for rows, of in blocks), np.zeros(width))
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation > 1e-6 * np.abs(mean) + 1e-12, deviation, np.inf)
