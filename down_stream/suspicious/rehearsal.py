"""How much of what is wrong would be found: some intervals are altered, and looked for.

Half of them are moved, in one direction and by a quarter to a half of what they last, over their
neighbours; the others get the name of another class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.annotation_formats.labels import stretches
from down_stream.suspicious.ranking import Suspicion

TOP = 0.1  # of the list


@dataclass(frozen=True)
class Altered:
    """What was done to an interval: its kind, "moved" or "renamed", and rows that are now wrong."""

    kind: str
    rows: np.ndarray


def alter(
    video: np.ndarray, labels: np.ndarray, classes: int, share: float, seed: int
) -> tuple[np.ndarray, list[Altered]]:
    """Labels int [n] with a share of their intervals altered, and what was done.

    Args:
      video, labels: int [n]; the frames of a video follow one another in time.
      classes: their number.
      share: of the intervals, 0 to 1; one at least.
      seed: of what is done to which.
    """
    random = np.random.default_rng(seed)
    intervals = stretches(video, labels)
    number = len(intervals)
    chosen = random.choice(number, max(1, round(share * number)), replace=False)
    changed, done = labels.copy(), []
    for count, place in enumerate(chosen.tolist()):
        first, behind = intervals[place]
        before = changed.copy()
        if count % 2:
            others = [k for k in range(classes) if k != labels[first] and (labels == k).any()]
            changed[first:behind] = random.choice(others)
        else:
            _move(changed, video, first, behind, random)
        if (rows := np.flatnonzero(changed != before)).size:
            done.append(Altered("renamed" if count % 2 else "moved", rows))
    return changed, done


def _move(labels, video, first, behind, random) -> None:
    """Moves an interval, in place: what it leaves becomes its neighbour's on that side."""
    length = behind - first
    by = max(1, round(length * random.uniform(0.25, 0.5)))
    own, same = labels[first], np.flatnonzero(video == video[first])
    has_before, has_after = first > same[0], behind <= same[-1]
    is_later = bool(random.integers(2)) if has_before and has_after else has_before
    if is_later or not has_after:
        left = labels[first - 1] if has_before else own
        labels[first : first + by] = left
        labels[behind : min(behind + by, same[-1] + 1)] = own
    else:
        labels[behind - by : behind] = labels[behind]
        labels[max(first - by, same[0]) : first] = own


def found_share(ranked: Sequence[Suspicion], altered: Sequence[Altered], top: float = TOP) -> float:
    """The share of what was altered that the first part of a list shows.

    One is shown where at least half of a part of an interval that is listed there is altered.

    Args:
      ranked: all intervals.
      altered: what was done to some.
      top: how much of the list is looked at.
    """
    shown = ranked[: max(1, round(top * len(ranked)))]
    hits = [
        any(
            2 * np.isin(of.rows, range(one.first, one.behind)).sum() >= one.behind - one.first
            for one in shown
        )
        for of in altered
    ]
    return float(np.mean(hits)) if hits else 0.0
