"""Scores of phase predictions, by the names of the protocols that papers use.

One table of predictions goes in, one entry per protocol comes out, so that the number of any paper
can be set beside ours. `EXPLANATIONS` says how the protocols differ; why that matters is said in
Funke et al., "Metrics Matter in Surgical Phase Recognition" (arXiv 2305.13961). Scores are
fractions: 1 is perfect. Frames whose phase is unknown do not count.

    python -m down_stream.metrics predictions.csv [--output results.json]
"""

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from data.dataset.cholec80 import PHASES
from down_stream.metrics import relaxed
from down_stream.metrics.predictions import Predictions, read_predictions, write_predictions
from down_stream.metrics.statistics import (
    accuracy,
    check_labels,
    class_scores,
    confusion,
    draw_groups,
    groups_of,
    interval,
    mean,
    plain,
    score_draws,
    std,
    video_scores,
)

__all__ = ["Predictions", "evaluate", "read_predictions", "write_predictions"]
_PRESENT = (
    "A phase counts in a video where the truth or the prediction has it; a ratio whose "
    "denominator is 0 (precision of a phase that was never predicted) is 0."
)
EXPLANATIONS = {
    "video": "Mean over the phases of each video, then mean and std over the videos. "
    f"{_PRESENT} edit: 1 - edit distance of the two sequences of phases / length of the longer.",
    "frame": f"All frames of all videos pooled. {_PRESENT}",
    "phase": f"Mean over the videos of each phase, then mean and std over the phases. {_PRESENT}",
    **relaxed.EXPLANATIONS,
}


def evaluate(
    predictions: Predictions,
    draws: int = 1000,
    seed: int = 0,
    patients: Mapping[str, Hashable] | None = None,
) -> dict[str, dict]:
    """Scores predictions by every protocol; the result can be written as JSON as it is.

    Args:
      predictions: of any number of videos, at any rate.
      draws: how often the videos are drawn with replacement for the confidence intervals.
      seed: of these draws.
      patients: {video: patient}; those of one are drawn together. Others are cases of their own.

    Returns:
      {protocol: {"rule": what is averaged over what, and what an absent phase does, the scores,
      "std": {score: sample deviation}, "interval": {score: [low, high]} (95%, percentiles of the
      bootstrap over videos), details}}. Details: `per_video` (`video`, `relaxed*`), `per_phase`
      (`phase`, `relaxed*`), `confusion` and numbers of frames (`frame`). What is undefined, such
      as the deviation of one video, is None. The relaxed protocols are there where the classes
      are Cholec80's phases, which they are made for.

    Raises:
      InputError: no frame has a known label.
    """
    check_labels(predictions.label)
    tables = {name: predictions.of_video(name) for name in predictions.videos}
    tables = {name: table for name, table in tables.items() if (table[1] >= 0).any()}
    videos = list(tables)
    counts = np.stack([confusion(y, p, len(predictions.classes)) for _, y, p in tables.values()])
    edit = np.array([edit_score(y, p) for _, y, p in tables.values()])
    protocols = {
        "video": _video(counts, edit, videos),
        "frame": _frame(counts, unknown=int((predictions.label < 0).sum())),
        "phase": _phase(class_scores(counts), predictions.classes),
    }
    if predictions.classes == PHASES:
        for name, fixed in (("relaxed", False), ("relaxed_fixed", True)):
            rows = [relaxed.video_scores(*table, fixed=fixed) for table in tables.values()]
            protocols[name] = _relaxed(rows, videos)
    drawn = draw_groups(groups_of(videos, patients), draws, seed)
    return {
        name: plain(
            {
                "rule": EXPLANATIONS[name],
                **score(np.arange(len(videos))),
                "interval": {
                    key: interval(value) for key, value in score_draws(score, drawn).items()
                },
                **details,
            }
        )
        for name, (score, details) in protocols.items()
    }


def video_macro_f1(video: np.ndarray, label: np.ndarray, probabilities: np.ndarray) -> float:
    """The F1 of protocol `video` alone, for choosing between epochs.

    Args:
      video: int [n], numbers of videos.
      label: int [n], -1 where unknown.
      probabilities: float [n, classes].
    """
    classes = probabilities.shape[1]
    known = label >= 0
    number = np.unique(video[known], return_inverse=True)[1]
    cells = (number * classes + label[known].astype(int)) * classes
    cells += probabilities[known].argmax(axis=1)
    counts = np.bincount(cells, minlength=(number.max(initial=-1) + 1) * classes**2)
    return float(mean(video_scores(counts.reshape(-1, classes, classes))["f1"]))


# Protocols: each is a function from indices of videos, int [..., videos], to scores, float [...]
# (so that one call scores all draws of the bootstrap), and the details of the result.

Protocol = tuple[Callable[[np.ndarray], dict[str, np.ndarray]], dict]


def _video(counts: np.ndarray, edit: np.ndarray, videos: list[str]) -> Protocol:
    rows = video_scores(counts) | {"edit": edit}
    details = {
        "std": {name: std(values) for name, values in rows.items()},
        "per_video": _transposed(rows, videos),
    }
    return lambda index: {name: mean(values[index]) for name, values in rows.items()}, details


def _frame(counts: np.ndarray, unknown: int) -> Protocol:
    def score(index):
        pooled = counts[index].sum(axis=-3)
        share = pooled.sum(axis=-1) / pooled.sum(axis=(-2, -1))[..., np.newaxis]
        phases = class_scores(pooled)
        scores = {"accuracy": accuracy(pooled)}
        scores |= {f"macro_{name}": mean(values) for name, values in phases.items()}
        return scores | {"weighted_f1": np.nansum(share * phases["f1"], axis=-1)}

    total = counts.sum(axis=0)
    return score, {"confusion": total, "labelled_frames": total.sum(), "unknown_frames": unknown}


def _phase(scores: dict[str, np.ndarray], classes: tuple[str, ...]) -> Protocol:
    """`scores`: float [videos, phases], NaN where a phase does not count."""
    means = {name: mean(values.T) for name, values in scores.items()}
    deviations = _transposed({name: std(values.T) for name, values in scores.items()}, classes)
    per_phase = _transposed(means, classes)
    for i, name in enumerate(classes):
        number = (~np.isnan(scores["jaccard"][:, i])).sum()
        per_phase[name] |= {"std": deviations[name], "videos": number}

    def score(index):
        return {k: mean(mean(np.swapaxes(v[index], -2, -1))) for k, v in scores.items()}

    return score, {"std": {k: std(v) for k, v in means.items()}, "per_phase": per_phase}


def _relaxed(rows: list[dict], videos: list[str]) -> Protocol:
    values = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    cut = {name: np.minimum(array, 1) for name, array in values.items()}
    accuracies = cut.pop("accuracy")
    score_phases, details = _phase(cut, PHASES)
    details["std"]["accuracy"] = std(accuracies)
    details["per_video"] = _transposed(values, videos)
    return lambda index: {"accuracy": mean(accuracies[index]), **score_phases(index)}, details


def edit_score(label: np.ndarray, prediction: np.ndarray) -> float:
    """Likeness of two sequences of phases, whatever their durations (Lea et al., CVPR 2017).

    One minus the Levenshtein distance of the segments, divided by the number of segments of the
    longer sequence. It punishes flicker, which hardly shows in the accuracy.

    Args:
      label: int [n] in the order of time, -1 where unknown (left out).
      prediction: int [n].
    """
    known = label >= 0
    truth, guess = _segments(label[known]), _segments(prediction[known])
    position = np.arange(len(guess) + 1)
    distance = position  # of the first i segments of the truth to the first `position` of the guess
    for i, phase in enumerate(truth, start=1):
        either = np.minimum(distance[1:] + 1, distance[:-1] + (guess != phase))
        # Insertions cost one per step to the right: a running minimum on the slope.
        distance = np.minimum.accumulate(np.append(i, either) - position) + position
    return 1 - distance[-1] / max(len(truth), len(guess))


def _segments(phases: np.ndarray) -> np.ndarray:
    """The sequence of phases without their durations: 0 0 1 1 1 0 -> 0 1 0."""
    return phases[np.flatnonzero(np.diff(phases, prepend=-1))]


def _transposed(columns: dict[str, np.ndarray], names: list[str]) -> dict[str, dict]:
    """{score: values [names, ...]} -> {name: {score: value}}."""
    return {
        name: {score: values[i] for score, values in columns.items()}
        for i, name in enumerate(names)
    }


def summary(results: dict[str, dict]) -> str:
    """One line per protocol and score, in percent: value, deviation, confidence interval."""
    lines = [f"{'protocol':15}{'score':17}{'%':>7}  {'std':>6}  95% interval"]
    for protocol, result in results.items():
        for score, (low, high) in result["interval"].items():
            value, deviation = result[score], result.get("std", {}).get(score)
            value, deviation, low, high = (
                "-" if x is None else f"{100 * x:.2f}" for x in (value, deviation, low, high)
            )
            lines.append(f"{protocol:15}{score:17}{value:>7}  {deviation:>6}  {low} to {high}")
    return "\n".join(lines)
