"""Features whose dimensions have mean 0 and variance 1: none counts more than another."""

from collections.abc import Iterable

import numpy as np

BLOCK = 4096  # frames that are standardised at once


def standardise(features: np.ndarray, known: np.ndarray) -> None:
    """Gives each dimension of [n, width] mean 0 and variance 1 over the known rows, in place.

    Other rows are zero. A dimension that is the same in all frames tells nothing, and is zero.
    Block by block: there may be millions of frames, and a copy of them in float64 beside them.
    """
    starts = range(0, len(features), BLOCK)
    blocks = [(features[at : at + BLOCK], known[at : at + BLOCK]) for at in starts]
    mean, deviation = mean_and_deviation([rows[of] for rows, of in blocks])
    for rows, of in blocks:
        rows[...] = np.where(of[:, None], (rows - mean) / deviation, 0)


def mean_and_deviation(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each dimension of blocks [n, width], float64 [width].

    The deviation is infinite where a dimension is the same everywhere.
    """
    count, width = sum(map(len, blocks)), blocks[0].shape[1]
    mean = sum((rows.sum(axis=0, dtype=np.float64) for rows in blocks), np.zeros(width)) / count
    squares = sum((((rows - mean) ** 2).sum(axis=0) for rows in blocks), np.zeros(width))
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation > 1e-6 * np.abs(mean) + 1e-12, deviation, np.inf)
