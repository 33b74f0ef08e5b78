"""Uncertain units that differ in their predicted classes (StepAL, arXiv 2507.22059).

A unit is described by its mean frame of each predicted class, in which uncertain frames weigh more;
units are clustered with their own uncertainty as weight. There are as many clusters as labelled
units and units to choose, and those with labels come last, as in `typicality`: the paper clusters
what has no labels alone, and so may choose the neighbour of what has some.
"""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from down_stream.selection.candidates import Candidates
from down_stream.selection.typicality import one_a_cluster


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """[n, classes] -> [n], 0 if certain, 1 if not at all; of several labels, their mean."""
    if probabilities.shape[1] == 1:  # one class is certain
        return np.zeros(len(probabilities))
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if np.abs(probabilities.sum(axis=1) - 1).max() > 0.01:  # of several labels a frame
        both = clipped * np.log2(clipped) + (1 - clipped) * np.log2(1 - clipped)
        return -both.mean(axis=1)
    return -(clipped * np.log(clipped)).sum(axis=1) / np.log(probabilities.shape[1])


def described(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Step-aware features float32 [units, classes * width], and the mean entropy [units]."""
    probabilities = candidates.rows.probabilities
    uncertain = entropy(probabilities)
    said = probabilities.argmax(axis=1)
    units, classes = len(candidates), probabilities.shape[1]
    place = candidates.unit * classes + said
    weight = np.bincount(place, uncertain + 1e-6, minlength=units * classes)
    width = candidates.points.shape[1]
    sums = np.zeros((units * classes, width), np.float32)
    np.add.at(sums, place, candidates.points * (uncertain + 1e-6)[:, None].astype(np.float32))
    means = sums / np.maximum(weight, 1e-9)[:, None]
    of_unit = np.bincount(candidates.unit, uncertain) / np.bincount(candidates.unit)
    return means.reshape(units, -1), of_unit


def by_uncertainty(
    candidates: Candidates, labelled: np.ndarray, allowed: np.ndarray, budget: int, seed: int
) -> list[tuple[int, dict[str, float]]]:
    """Chooses, of the clusters that have least labels and most uncertainty, the central units.

    Arguments and result are those of `by_coverage`.
    """
    points, uncertain = described(candidates)
    number = min(int(labelled.sum()) + budget, len(np.unique(points, axis=0)))
    with threadpool_limits(1):
        found = KMeans(number, n_init=10, random_state=seed).fit(points, sample_weight=uncertain)
    cluster = found.labels_
    distance = np.linalg.norm(points - found.cluster_centers_[cluster], axis=1)
    mass = np.bincount(cluster, uncertain * ~labelled, minlength=number)
    chosen = one_a_cluster(cluster, mass, -distance, labelled, allowed, budget)
    return [
        (row, {"cluster": of, "entropy": float(uncertain[row]), "distance": float(distance[row])})
        for row, of in chosen
    ]
