"""Key frames: few frames that stand for a video, by clusters in features and time."""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

TIME = 1.0  # weight of time: frames of the two ends are as far apart as two frames are by features
AT_MOST = 4000  # frames that are clustered, evenly over the video


def normalised(features: np.ndarray) -> np.ndarray:
    """Features [n, width], each column standardised, then each row of length 1; float32."""
    centred = features - features.mean(axis=0, keepdims=True)
    centred /= np.maximum(features.std(axis=0, keepdims=True), 1e-6)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def key_frames(features: np.ndarray, number: int) -> np.ndarray:
    """Positions of the frames nearest to the centres of clusters in features and time.

    Args:
      features: [n, width], of a video in the order of time.
      number: how many are wanted.

    Returns:
      int64 [min(number, n)] or fewer, where frames are the same; ascending.
    """
    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), AT_MOST)).astype(int))
    if len(rows) <= number:
        return rows
    time = np.linspace(-1, 1, len(rows))[:, None] * TIME / np.sqrt(2)
    points = np.hstack([normalised(features[rows]), time])
    number = min(number, len(np.unique(points, axis=0)))
    with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the cores
        found = KMeans(number, n_init=1, random_state=0).fit(points)
    distance = np.linalg.norm(points - found.cluster_centers_[found.labels_], axis=1)
    order = np.lexsort((distance, found.labels_))
    _, first = np.unique(found.labels_[order], return_index=True)
    return np.sort(rows[order[first]])
