"""Scores of one class per image, where images come in sequences: polyps, or any labelled folders.

A sequence (`video` in the table of predictions) shows one thing, a polyp for instance, so that the
frames of one are no independent cases: sequences are what the confidence intervals draw.
"""

from collections.abc import Hashable, Mapping

import numpy as np

from down_stream.metrics import statistics
from down_stream.metrics.positive import explain_positive, find_positive
from down_stream.metrics.predictions import Predictions

EXPLANATIONS = {
    "frame": "All frames pooled. balanced_accuracy: mean recall of the classes in the truth. f1, "
    "precision, recall: mean over the classes in truth or prediction. auc: area under the ROC "
    "curve, one class against the rest, mean over the classes.",
    "sequence": "A sequence has the class of most of its labels; predicted is the class with the "
    "highest mean probability over its frames. Scores as for frames, each sequence once.",
}


def evaluate(
    predictions: Predictions,
    draws: int = 1000,
    seed: int = 0,
    positive_class: str | None = None,
    patients: Mapping[str, Hashable] | None = None,
) -> dict[str, dict]:
    """Scores predictions by frame and by sequence; the result can be written as JSON as it is.

    Args:
      predictions: `video` names the sequence; `second` is the number of the frame.
      draws: how often the sequences are drawn with replacement for the confidence intervals.
      seed: of these draws.
      positive_class: of two classes, as `down_stream.metrics.positive.find_positive` takes it.
      patients: {sequence: patient}; those of one are drawn together. Others are cases of their own.

    Returns:
      {"frame": ..., "sequence": ...}, each {"rule", which says what is positive, the scores,
      "interval": {score: [low, high]}, "confusion"}; as `down_stream.metrics.phases.evaluate` has
      it for phases. What is undefined (the AUC where one class alone is in the truth) is None.

    Raises:
      InputError: no frame has a known label, or `positive_class` is no class.
    """
    statistics.check_labels(predictions.label)
    positive = find_positive(predictions.classes, positive_class)
    binary = explain_positive(predictions.classes, positive, positive_class is not None)
    known = predictions.label >= 0
    names, sequence = np.unique(predictions.video[known], return_inverse=True)
    label, probabilities = predictions.label[known], predictions.probabilities[known]
    predicted = predictions.prediction[known]
    frames = (label, predicted, probabilities)
    sequences = _of_sequences(label, probabilities, sequence, len(names))
    rows = [np.flatnonzero(sequence == number) for number in range(len(names))]

    drawn = statistics.draw_groups(statistics.groups_of(names, patients), draws, seed)
    drawn = [sample for samples in drawn for sample in samples]
    of_frames = (np.concatenate([rows[number] for number in draw]) for draw in drawn)
    rules = {name: f"{text} {binary}".strip() for name, text in EXPLANATIONS.items()}
    of_sequences = _protocol(rules["sequence"], sequences, drawn, positive)
    return {
        "frame": _protocol(rules["frame"], frames, of_frames, positive),
        "sequence": of_sequences | {"sequences": len(names)},
    }


def frame_macro_f1(video: np.ndarray, label: np.ndarray, probabilities: np.ndarray) -> float:
    """The F1 of protocol `frame` alone, for choosing between epochs; the sequences do not matter.

    Args:
      video: int [n].
      label: int [n], -1 where unknown.
      probabilities: float [n, classes].
    """
    counts = statistics.confusion(label, probabilities.argmax(axis=1), probabilities.shape[1])
    return float(statistics.mean(statistics.class_scores(counts)["f1"]))


def scores(
    label: np.ndarray,
    prediction: np.ndarray,
    probabilities: np.ndarray,
    positive: int | None = None,
) -> dict:
    """Scores of n cases; NaN where undefined.

    Args:
      label, prediction: int [n].
      probabilities: float [n, classes].
      positive: id of the positive class of two; None for no sensitivity and specificity.
    """
    number = probabilities.shape[1]
    counts = statistics.confusion(label, prediction, number)
    of_class = statistics.class_scores(counts)
    in_truth = counts.sum(axis=1) > 0
    found = {
        "accuracy": statistics.accuracy(counts),
        "balanced_accuracy": of_class["recall"][in_truth].mean(),
        **{name: statistics.mean(of_class[name]) for name in ("precision", "recall", "f1")},
        "auc": _auc(label, probabilities),
    }
    if positive is not None:
        recall = np.where(in_truth, of_class["recall"], np.nan)
        found |= {"sensitivity": recall[positive], "specificity": recall[1 - positive]}
    return {name: float(value) for name, value in found.items()}


def _of_sequences(label, probabilities, sequence, number):
    """Label, prediction and mean probabilities of each sequence."""
    classes = probabilities.shape[1]
    votes, summed = np.zeros((number, classes)), np.zeros((number, classes))
    np.add.at(votes, (sequence, label), 1)
    np.add.at(summed, sequence, probabilities)
    means = summed / votes.sum(axis=1, keepdims=True)
    return votes.argmax(axis=1), means.argmax(axis=1), means


def _protocol(rule, cases, draws, positive) -> dict:
    """The entry of one protocol; `draws` are arrays of positions in `cases`."""
    drawn = [scores(*(column[draw] for column in cases), positive) for draw in draws]
    found = scores(*cases, positive)
    return statistics.plain(
        {
            "rule": rule,
            **found,
            "interval": {
                key: statistics.interval(np.array([draw[key] for draw in drawn])) for key in found
            },
            "confusion": statistics.confusion(cases[0], cases[1], cases[2].shape[1]),
        }
    )


def _auc(label, probabilities):
    """Mean over the classes that are in the truth, but are not all of it; of two classes, one."""
    if np.isnan(probabilities).any():
        return np.nan
    from sklearn.metrics import roc_auc_score  # a second, of which a wrong value needs nothing

    # Of two, one: the probabilities of both add up to 1, and their areas are the same.
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [
        roc_auc_score(label == number, probabilities[:, number])
        for number in classes
        if 0 < np.count_nonzero(label == number) < len(label)
    ]
    return np.mean(areas) if areas else np.nan
