"""Units whose frames cover most of all frames (after ProbCover, Yehuda et al., arXiv 2205.11320).

The paper covers points by balls around single points. Here a unit is chosen as a whole, so that it
covers what lies in a ball around any of its frames: greedy maximum coverage by sets. The paper's
radius, at which balls are pure by clusters as pseudo-labels, is so small for frames of video that
a unit covers itself alone, and the longest are chosen; here it is the median distance of a frame to
the nearest one of another unit.
"""

import numpy as np

from down_stream.selection.candidates import Candidates

FRAMES = 6000  # that stand for all, as many of each unit
DIGITS = 9  # of weights, which sum to 1: of units that cover as much the first is taken


def by_coverage(
    candidates: Candidates, labelled: np.ndarray, allowed: np.ndarray, budget: int
) -> list[tuple[int, dict[str, float]]]:
    """Chooses the units that cover most of what nothing chosen or labelled covers.

    Each unit counts the same, however long it is.

    Args:
      candidates: with the frames.
      labelled, allowed: bool [units].
      budget: how many are chosen.

    Returns:
      (position, its reason in numbers) of each, in order.
    """
    rows = candidates.sampled(FRAMES)
    points, unit = candidates.points[rows], candidates.unit[rows]
    weight = 1 / np.bincount(unit)[unit]
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), FRAMES)).astype(np.int64))
    targets, weight = points[some], weight[some] / weight[some].sum()
    radius = _radius(targets, unit[some])
    reach = np.zeros((len(candidates), len(targets)), bool)
    for block in _blocks(len(points)):
        np.logical_or.at(reach, unit[block], _distances(points[block], targets) <= radius)
    uncovered = ~reach[labelled].any(axis=0)
    every = _weights(reach, weight)
    gains = every - _weights(reach[:, ~uncovered], weight[~uncovered])
    left, chosen = allowed.copy(), []
    while len(chosen) < budget and left.any():
        gain = np.where(left, gains.round(DIGITS), -1)
        if gain.max() <= 0:  # all is covered: what covers most is next
            gain = np.where(left, every.round(DIGITS), -1)
        best = int(np.argmax(gain))
        is_new = reach[best] & uncovered
        new = float(weight[is_new].sum())
        gains -= _weights(reach[:, is_new], weight[is_new])
        uncovered &= ~is_new
        covered = 1 - float(weight[uncovered].sum())
        chosen.append((best, {"new": new, "covered": covered, "radius": radius}))
        left[best] = False
    return chosen


def _radius(points: np.ndarray, unit: np.ndarray) -> float:
    """The median distance of a frame to the nearest one of another unit."""
    nearest = []
    for rows in _blocks(len(points)):
        distance = _distances(points[rows], points)
        distance[unit[rows][:, None] == unit[None]] = np.inf
        nearest.append(distance.min(axis=1))
    return float(np.median(np.concatenate(nearest)))


def _weights(reach: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """float64 [units], the weight of what each reaches, bool [units, targets]; in little memory."""
    return np.concatenate([reach[block] @ weight for block in _blocks(len(reach))])


def _blocks(length):
    return (slice(first, first + 512) for first in range(0, length, 512))


def _distances(points, others):
    """Euclidean distances, float32 [n, m]."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None]
    return np.sqrt(np.maximum(squares - 2 * points @ others.T, 0))
