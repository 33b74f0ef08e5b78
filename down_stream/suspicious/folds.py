"""What classifiers think of videos that they have not learnt from."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from data.annotation_formats.labels import stretches
from data.common.errors import InputError
from data.common.progress import ProgressBar
from down_stream.classifiers.linear_head import standardisation

FRAMES = 20_000  # that a classifier learns from, at most; neighbours look the same
PENALTY = 1e-2  # of the squared weights, a frame: of labels some of which are wrong


def with_neighbours(
    features: np.ndarray, video: np.ndarray, second: np.ndarray, around: float
) -> np.ndarray:
    """Features [n, width] -> [n, 2 * width]: behind each its mean over so many seconds around it.

    Args:
      features: float32.
      video: int [n]; the frames of each are in the order of time.
      second: float [n].
      around: seconds before and behind a frame.
    """
    means = np.empty_like(features)
    for first, behind in stretches(video):
        rows = slice(first, behind)
        total = np.zeros((behind - first + 1, features.shape[1]))
        np.cumsum(features[rows], axis=0, out=total[1:])
        left = np.searchsorted(second[rows], second[rows] - around - 1e-6)
        right = np.searchsorted(second[rows], second[rows] + around + 1e-6)
        means[rows] = (total[right] - total[left]) / (right - left)[:, np.newaxis]
    return np.concatenate([features, means], axis=1)


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[int],
    classes: int,
    folds: int,
    seed: int,
) -> np.ndarray:
    """Probabilities float32 [n, classes] of frames by classifiers that have not seen their group.

    L2 logistic regression on standardised features, each class counting the same.

    Args:
      features: float32 [n, width].
      labels: int [n], all known.
      groups: int [n], of videos or patients: no group is learnt from and asked about at once.
      classes: their number.
      folds: how many parts the groups are cut into; as many as there are groups, at most.
      seed: of the frames that are learnt from, where there are many.

    Raises:
      InputError: there is one group, or one label.
    """
    number = len(np.unique(groups))
    if number < 2:
        raise InputError(
            "labels of one video or patient; expected two or more, to ask each about the others"
        )
    if len(np.unique(labels)) < 2:
        raise InputError("all frames have one label; expected two or more")
    found = np.full((len(features), classes), 1e-6, np.float32)
    random = np.random.default_rng(seed)
    splits = GroupKFold(min(folds, number)).split(features, labels, groups)
    for train, asked in ProgressBar(list(splits), "folds", unit="fold"):
        if len(train) > FRAMES:
            train = random.choice(train, FRAMES, replace=False)
        mean, std = standardisation(features[train])
        inputs = (features[train] - mean) / std
        strength = 1 / (PENALTY * len(train))
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=100, tol=1e-2)
        if len(np.unique(labels[train])) < 2:  # the others have one: nothing is known of this fold
            found[asked] = 1 / classes
            continue
        model.fit(inputs, labels[train])
        known = model.predict_proba((features[asked] - mean) / std)
        found[np.ix_(asked, model.classes_)] = known
    return found
