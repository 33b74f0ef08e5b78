"""The most typical unit of each cluster (TypiClust, Hacohen et al., arXiv 2202.02794)."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

NEIGHBOURS = 20  # that typicality is measured by, section 3 of the paper
MOST_CLUSTERS = 500  # the same


def typicality(points: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """float64 [n], 1 / mean distance to the nearest neighbours in the same cluster.

    A point alone in its cluster has 0: nothing is like it.
    """
    values = np.zeros(len(points))
    for number in np.unique(cluster):
        rows = np.flatnonzero(cluster == number)
        if len(rows) < 2:
            continue
        search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows) - 1)).fit(points[rows])
        distance, _ = search.kneighbors()  # each without itself
        values[rows] = 1 / np.maximum(distance.mean(axis=1), 1e-6)
    return values


def by_typicality(
    points: np.ndarray, labelled: np.ndarray, allowed: np.ndarray, budget: int, seed: int
) -> list[tuple[int, dict[str, float]]]:
    """Chooses the most typical points of the largest clusters that have least labels.

    There are as many clusters as labelled points and points to choose, so that they become finer
    with every round.

    Args:
      points: [n, width], a row a unit.
      labelled, allowed: bool [n]: what has labels; what may be chosen.
      budget: how many are chosen.
      seed: of the clusters.

    Returns:
      (position, its reason in numbers) of each, in order.
    """
    number = min(int(labelled.sum()) + budget, len(np.unique(points, axis=0)), MOST_CLUSTERS)
    with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the cores
        cluster = KMeans(number, n_init=10, random_state=seed).fit_predict(points)
    typical = typicality(points, cluster)
    size = np.bincount(cluster, minlength=number)
    chosen = one_a_cluster(cluster, size, typical, labelled, allowed, budget)
    return [
        (row, {"cluster": of, "of_cluster": int(size[of]), "typicality": float(typical[row])})
        for row, of in chosen
    ]


def one_a_cluster(
    cluster: np.ndarray,
    weight: np.ndarray,
    merit: np.ndarray,
    labelled: np.ndarray,
    allowed: np.ndarray,
    budget: int,
) -> list[tuple[int, int]]:
    """Chooses the points of most merit, each from the heaviest of the clusters with least labels.

    Args:
      cluster: int [n], of each point.
      weight: [clusters].
      merit: [n].
      labelled, allowed: bool [n]: what has labels; what may be chosen.
      budget: how many are chosen.

    Returns:
      (position, its cluster) of each, in order.
    """
    covered = np.bincount(cluster[labelled], minlength=len(weight))
    left, chosen = allowed.copy(), []
    while len(chosen) < budget and left.any():
        possible = np.unique(cluster[left])
        best = possible[np.lexsort((possible, -weight[possible], covered[possible]))[0]]
        rows = np.flatnonzero(left & (cluster == best))
        row = int(rows[np.argmax(merit[rows])])
        chosen.append((row, int(best)))
        covered[best] += 1
        left[row] = False
    return chosen
