"""What all protocols count and average: confusion, accuracy, scores of classes, intervals."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from data.common.errors import InputError


def check_labels(label: np.ndarray) -> None:
    """Raises `InputError` where no label is known (-1 is an unknown one)."""
    if not (label >= 0).any():
        raise InputError("no frame has a known label; expected labels to compare predictions with")


# Scores of counts and of sequences.


def confusion(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Numbers of frames, int [classes (truth), classes (prediction)]; unknown labels are left out.

    Args:
      label: int [n], -1 where unknown.
      prediction: int [n].
      classes: how many there are.
    """
    known = label >= 0
    cells = label[known].astype(int) * classes + prediction[known]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right frames, float [...], of confusion counts [..., classes, classes]."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and Jaccard index of each class, from [..., classes, classes] counts.

    Returns:
      Per score float [..., classes]; NaN where a class is neither in the truth nor predicted.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    truth, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    absent = truth + predicted == 0
    denominators = {
        "precision": predicted,
        "recall": truth,
        "f1": (truth + predicted) / 2,
        "jaccard": truth + predicted - hits,
    }
    return {
        name: np.where(absent, np.nan, hits / np.where(size == 0, 1, size))
        for name, size in denominators.items()
    }


def video_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, and the means over the classes of `class_scores`, float [...]."""
    means = {name: mean(values) for name, values in class_scores(counts).items()}
    return {"accuracy": accuracy(counts)} | means


def log_likelihood(video: np.ndarray, label: np.ndarray, probabilities: np.ndarray) -> float:
    """How probable the labels are held to be: minus the cross-entropy, each class counting alike.

    Unlike a count of right frames it changes with every probability, so that a few lucky frames do
    not make an epoch the best one. The videos do not matter.

    Args:
      video: int [n].
      label: int [n], or with several labels [n, classes] of 1 and 0; -1 where unknown.
      probabilities: float [n, classes].

    Returns:
      Mean over the classes in the truth, or over the labels, of the mean over their frames; NaN
      where no label is known.
    """
    chances = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if label.ndim == 1:
        of_label = np.take_along_axis(chances, np.maximum(label, 0)[:, np.newaxis], axis=1)
        counted = label[:, np.newaxis] == np.arange(chances.shape[1])
    else:
        of_label = np.where(label == 1, chances, 1 - chances)
        counted = label >= 0
    with np.errstate(invalid="ignore"):
        means = np.where(counted, np.log(of_label), 0).sum(axis=0) / counted.sum(axis=0)
    return float(mean(means))


# Averages over what is there, and the way to JSON.


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(axis=-1) / there.sum(axis=-1)


def std(values: np.ndarray) -> np.ndarray:
    """Sample deviation (n - 1) over the last axis of what is not NaN; NaN below two values."""
    number = (~np.isnan(values)).sum(axis=-1)
    variance = mean((values - mean(values)[..., np.newaxis]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.where(number > 1, variance * number / (number - 1), np.nan))


def draw_videos(videos: int, draws: int, seed: int) -> np.ndarray:
    """Which videos the samples of a bootstrap consist of, int [draws, videos].

    Of one video there are none: it says nothing about the spread over videos.
    """
    shape = (draws if videos > 1 else 0, videos)
    return np.random.default_rng(seed).integers(videos, size=shape)


def groups_of(videos: Sequence[str], patients: Mapping[str, Hashable] | None) -> np.ndarray:
    """int [videos], numbers of their patients; a video that is not in `patients` has its own."""
    known, numbers = patients or {}, {}
    cases = [(True, known[video]) if video in known else (False, video) for video in videos]
    return np.array([numbers.setdefault(case, len(numbers)) for case in cases], int)


def draw_groups(group: np.ndarray, draws: int, seed: int) -> list[np.ndarray]:
    """The samples of a bootstrap that draws groups of videos, as patients are, with replacement.

    Videos of one patient are no independent cases: drawn one by one, they make intervals too
    narrow.

    Args:
      group: int [videos], numbers from 0 on.
      draws: how many samples.
      seed: of the draws.

    Returns:
      Arrays int [samples, videos]: those of one length together, as groups are of any size. Where
      every video is a group of its own, they are one array, that of `draw_videos`.
    """
    number = int(group.max(initial=-1)) + 1
    if number == len(group):
        return [draw_videos(number, draws, seed)]
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    by_length = {}
    for drawn in draw_videos(number, draws, seed):
        sample = np.concatenate([members[place] for place in drawn])
        by_length.setdefault(len(sample), []).append(sample)
    return [np.stack(samples) for _, samples in sorted(by_length.items())]


def score_draws(score: Callable[[np.ndarray], dict], drawn: Sequence[np.ndarray]) -> dict:
    """{score: float [draws, ...]} of a function of samples, as `draw_groups` gives them."""
    found = [score(samples) for samples in drawn]
    if not found:  # of one group: as `draw_videos` of one video
        return {name: value[:0] for name, value in score(np.zeros((1, 1), int)).items()}
    return {name: np.concatenate([of[name] for of in found]) for name in found[0]}


def interval(draws: np.ndarray) -> list[float]:
    """The middle 95% of the draws of one score; NaN where it was undefined in all of them."""
    defined = draws[~np.isnan(draws)]
    return np.percentile(defined, (2.5, 97.5)).tolist() if defined.size else [math.nan, math.nan]


def mean_interval(values: np.ndarray) -> list[float]:
    """95% interval of the mean of two or more independent values (Student's t)."""
    from scipy import stats  # takes a second, of which a wrong value needs nothing

    error = values.std(ddof=1) / math.sqrt(len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * error)
    return [float(values.mean()) - half, float(values.mean()) + half]


def plain(value):
    """The same in Python's own types; None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
