"""Chooses units by a strategy, in order, and says why in numbers."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from data.common.errors import InputError
from down_stream.selection.candidates import Candidates
from down_stream.selection.coverage import by_coverage
from down_stream.selection.typicality import by_typicality
from down_stream.selection.uncertainty import by_uncertainty

STRATEGIES = ("typical", "coverage", "uncertain", "random", "longest")
# What the study found best (docs/few_labels.md).
USUAL = {"video": "typical", "sequence": "coverage", "interval": "coverage"}
NEAR = 0.05  # share of the distances to the nearest other unit below which two are near neighbours


@dataclass(frozen=True)
class Choice:
    """A unit that is to be annotated.

    Attributes:
      unit: its position in the candidates.
      reason: by name, numbers that say why.
    """

    unit: int
    reason: dict[str, float]


def read_budget(text: str, units: int) -> int:
    """How many "8" are, and "10%" of the units, at least 1; raises `InputError`."""
    share = text.endswith("%")
    try:
        number = float(text[:-1]) if share else int(text)
    except ValueError:
        number = 0
    if not 0 < number <= (100 if share else np.inf):
        raise InputError(f"--budget={text}: expected a number, or a share such as 10%")
    return max(1, round(number / 100 * units)) if share else number


def choose(
    candidates: Candidates,
    labelled: np.ndarray,
    strategy: str,
    budget: int,
    seed: int,
) -> list[Choice]:
    """Chooses up to `budget` units without labels, the most wanted first.

    Of sequences and intervals, near neighbours of what is chosen or labelled come last. The same
    arguments give the same result.

    Args:
      candidates: without what must never be chosen.
      labelled: bool [units].
      strategy: of STRATEGIES.
      budget: number of units.
      seed: of clusters and of draws.

    Raises:
      InputError: there is no such strategy, or "uncertain" has no probabilities to go by.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy is {strategy!r}; expected {', '.join(STRATEGIES)}")
    if strategy == "uncertain" and not _has_probabilities(candidates):
        raise InputError(
            "strategy uncertain: the table has no probabilities; expected one that inference.py "
            "wrote with the model/ of an experiment"
        )
    budget = min(budget, int((~labelled).sum()))
    if candidates.kind == "video" or budget == 0:
        return [Choice(*found) for found in _by(candidates, labelled, strategy, budget, seed)]
    return _apart(candidates, labelled, strategy, budget, seed)


def _by(candidates, labelled, strategy, budget, seed, allowed=None):
    """(position, reason) of each, of those allowed."""
    allowed = ~labelled if allowed is None else allowed
    if budget == 0:
        return []
    if strategy == "typical":
        return by_typicality(candidates.means(), labelled, allowed, budget, seed)
    if strategy == "coverage":
        return by_coverage(candidates, labelled, allowed, budget)
    if strategy == "uncertain":
        return by_uncertainty(candidates, labelled, allowed, budget, seed)
    frames = np.diff(candidates.bounds)
    left = np.flatnonzero(allowed)
    order = np.random.default_rng(seed).permutation(left)
    if strategy == "longest":
        order = left[np.argsort(-frames[left], kind="stable")]
    return [(int(row), {"frames": int(frames[row])}) for row in order[:budget]]


def _apart(candidates, labelled, strategy, budget, seed):
    """The same without near neighbours of each other, or of what is labelled, while others last."""
    near = near_neighbours(candidates.means())
    taken, allowed, chosen = labelled.copy(), ~labelled, []
    for unit in np.flatnonzero(labelled):
        allowed[near[unit]] = False
    while len(chosen) < budget:
        if not allowed.any():  # only neighbours are left
            allowed = ~taken
            near = [np.empty(0, np.int64)] * len(near)
        for unit, reason in _by(candidates, taken, strategy, budget - len(chosen), seed, allowed):
            if allowed[unit]:
                chosen.append(Choice(unit, reason))
                taken[unit] = True
                allowed[[unit, *near[unit]]] = False
    return chosen


def near_neighbours(points: np.ndarray) -> list[np.ndarray]:
    """Of each point those that are nearer than nearly all points are to their nearest ones."""
    if len(points) < 3:
        return [np.empty(0, np.int64)] * len(points)
    search = NearestNeighbors().fit(points)
    distance, _ = search.kneighbors(n_neighbors=1)
    return list(search.radius_neighbors(radius=np.quantile(distance, NEAR), return_distance=False))


def _has_probabilities(candidates: Candidates) -> bool:
    values = candidates.rows.probabilities
    return bool(values.shape[1]) and not np.isnan(values).any()
