"""Annotated intervals, the most suspicious ones first.

The count of confident learning (Northcutt et al., arXiv 1911.00068, section 3.1) is by frames: a
frame is confidently of a class where its out-of-fold probability is at least the mean of those of
the frames annotated so. Here the evidence against an annotation is a sum over time. A frame's
evidence for another class is the logarithm of p / t of that class over p / t of its own, where t
are those thresholds; in each annotated interval the part and the class of most evidence are looked
for. A boundary in the wrong place is such a part at an end, a wrong name all of it. Each boundary
that a proposal adds costs what one is worth, the logarithm of how rare it is; and since frames that
follow one another say the same, evidence is divided by the root of their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.annotation_formats.labels import stretches

LEAST = 1e-3  # probability of a frame that counts: one frame alone settles nothing


@dataclass(frozen=True)
class Suspicion:
    """The part of an annotated interval that contradicts its annotation most.

    Attributes:
      video: its number.
      first, behind: rows of its first frame, and of what follows its last.
      interval: the same of the interval that it is a part of.
      annotated, proposed: class ids.
      score: the evidence, as the module has it; above 0 another class is likelier.
    """

    video: int
    first: int
    behind: int
    interval: tuple[int, int]
    annotated: int
    proposed: int
    score: float


def confident_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float [classes]: the mean probability of each class where it is annotated; 1 where nowhere.

    Args:
      probabilities: [n, classes], out of fold.
      labels: int [n].
    """
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, own, minlength=probabilities.shape[1])
    return np.where(counts, sums / np.maximum(counts, 1), 1.0)


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int [classes, classes]: frames annotated as a row's class and confidently of a column's.

    Section 3.1, equation 1: a frame counts for the likeliest of the classes that it is confidently
    of, and not at all where there is none.
    """
    is_confident = probabilities >= confident_thresholds(probabilities, labels)
    likely = np.where(is_confident, probabilities, -1).argmax(axis=1)
    rows = is_confident.any(axis=1)
    joint = np.zeros((probabilities.shape[1],) * 2, np.int64)
    np.add.at(joint, (labels[rows], likely[rows]), 1)
    return joint


def rank(probabilities: np.ndarray, video: np.ndarray, labels: np.ndarray) -> list[Suspicion]:
    """One for every annotated interval, by falling score.

    Args:
      probabilities: [n, classes], out of fold.
      video, labels: int [n]; the frames of a video follow one another in time.
    """
    thresholds = confident_thresholds(probabilities, labels)
    evidence = np.log(np.maximum(probabilities, LEAST)) - np.log(np.maximum(thresholds, LEAST))
    evidence = evidence - evidence[np.arange(len(labels)), labels][:, np.newaxis]
    intervals = stretches(video, labels)
    classes = probabilities.shape[1]
    cost = np.log(len(labels) / len(intervals) * (classes - 1))  # frames an interval lasts
    found = []
    for first, behind in intervals:
        own = int(labels[first])
        before = labels[first - 1] if first and video[first - 1] == video[first] else -1
        after = labels[behind] if behind < len(labels) and video[behind] == video[first] else -1
        best = (-np.inf, first, behind, own)
        for other in set(range(classes)) - {own}:
            costs = cost * (other != before), cost * (other != after), 2 * cost
            score, start, stop = _most_suspicious(evidence[first:behind, other], *costs)
            best = max(best, (score, first + start, first + stop, other))
        score, start, stop, other = best
        found.append(Suspicion(int(video[first]), start, stop, (first, behind), own, other, score))
    return sorted(found, key=lambda one: -one.score)


def _most_suspicious(
    evidence: np.ndarray, at_start: float, at_end: float, inside: float
) -> tuple[float, int, int]:
    """(score, first, behind the last) of a part of an interval: its start, its end, all, or inside.

    Args:
      evidence: [n] for one other class.
      at_start, at_end, inside: what the boundaries cost that such a part adds.
    """
    number = len(evidence)
    total = np.concatenate([[0.0], np.cumsum(evidence)])
    lengths = np.arange(1, number + 1)
    starts = (total[1:] - at_start) / np.sqrt(lengths)
    ends = (total[-1] - total[:-1] - at_end) / np.sqrt(lengths[::-1])
    from_start, from_end = int(starts.argmax()), int(ends.argmax())
    amount, first, behind = largest_sum(evidence)
    return max(
        (float(starts[from_start]), 0, from_start + 1),
        (float(ends[from_end]), from_end, number),
        (float(total[-1] / np.sqrt(number)), 0, number),
        (float((amount - inside) / np.sqrt(behind - first)), first, behind),
    )


def largest_sum(values: Sequence[float]) -> tuple[float, int, int]:
    """(sum, first, behind the last) of the part of a row whose sum is largest; of one at least."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    lowest = np.minimum.accumulate(total[:-1])
    place = int(np.argmax(total[1:] - lowest))
    first = int(np.argmin(total[: place + 1]))
    return float(total[place + 1] - total[first]), first, place + 1
