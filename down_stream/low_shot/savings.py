"""How much annotation pre-training saves, as far as the seeds of a grid can tell."""

import numpy as np

from down_stream.metrics.statistics import mean_interval


def savings(by_number: dict, baseline: dict) -> dict:
    """With how few labels an encoder is better than the baseline ever is.

    Compared is seed by seed, because the cells of a seed share their labelled videos. Annotation is
    saved where all of this holds of a number of labelled videos:

    - the encoder is better than the baseline with the most, beyond the interval over seeds;
    - it is better than the baseline with the same labels, beyond the interval, and better in the
      mean with every larger number, too: else what is read there is noise of the curves;
    - the baseline itself needs more videos to be as good as with the most.

    Args:
      by_number: the encoder's {number of videos: {"mean", "scores"}}, the scores in the order of
        the seeds, None where undefined.
      baseline: the same of the baseline.

    Returns:
      {"baseline_most": the most videos the baseline has; "target": its mean with them;
      "baseline_videos": the fewest with which its mean is as good as that; "reached": the fewest
      with which the encoder's mean is, None if nowhere; "videos": the fewest with which all above
      holds, None if none; "share": of `baseline_videos` that need no labels, or None; "difference",
      "interval": of scores, to the baseline with the most, at `videos`, else at `reached`; "why":
      what is not so at `reached`, None where annotation is saved}.
    """
    most = max(baseline, key=int)
    target = baseline[most]["mean"]
    ours, theirs = _means(by_number), _means(baseline)
    summary = dict.fromkeys(("baseline_videos", "reached", "videos", "share", "difference"))
    summary |= {"baseline_most": int(most), "target": target, "interval": None, "why": None}
    if target is None:
        return summary | {"why": "undefined"}
    good = [n for n, mean in ours.items() if mean >= target]
    if not good:
        return summary | {"why": "not reached"}
    needed = next(n for n, mean in theirs.items() if mean >= target)
    summary |= {"baseline_videos": needed, "reached": good[0]}
    for number in good:
        scores = by_number[str(number)]["scores"]
        gap = _difference(scores, baseline[most]["scores"])
        same = _difference(scores, baseline[str(number)]["scores"]) if number in theirs else gap
        larger = [n for n in ours if n >= number and n in theirs]
        if number >= needed:
            why = "not fewer"
        elif any(ours[n] <= theirs[n] for n in larger):
            why = "not better with the same labels"
        elif None in (gap["interval"], same["interval"]):
            why = "no interval"
        elif gap["interval"][0] <= 0:
            why = "within the interval"
        elif same["interval"][0] <= 0:
            why = "within the interval with the same labels"
        else:
            return summary | gap | {"videos": number, "share": 1 - number / needed, "why": None}
        if summary["why"] is None:
            summary |= gap | {"why": why}
    return summary


def sentences(summary: dict) -> list[str]:
    """What low_shot.json says about each encoder but the baseline."""
    return [
        _sentence(encoder, saved, summary["baseline"], summary["counted"])
        for encoder, saved in summary["saved"].items()
    ]


def _sentence(encoder: str, saved: dict, baseline: str, counted: str) -> str:
    best = f"{baseline} with {saved['baseline_most']}"
    if saved["why"] == "undefined":
        return f"{best} labelled {counted} has no score: nothing to compare {encoder} with"
    if saved["why"] == "not reached":
        return f"{encoder} does not get as good as {best} labelled {counted}"
    enough = ""
    if saved["baseline_videos"] < saved["baseline_most"]:
        enough = f", which {baseline} is with {saved['baseline_videos']} as well"
    if saved["why"] is None:
        return (
            f"{encoder} with {saved['videos']} labelled {counted} is better than {best} by "
            f"{_points(saved)}{enough}: at least {100 * saved['share']:.0f} % less annotation"
        )
    same = f"not better than {baseline} with the same {counted}"
    if saved["why"] == "within the interval":
        reason = f"the difference is {_points(saved)}"
    else:
        reason = {
            "not fewer": f"{baseline} needs no more",
            "not better with the same labels": f"with as many or more it is {same}",
            "no interval": "one seed has no interval; it takes two or more",
            "within the interval with the same labels": f"beyond the interval it is {same}",
        }[saved["why"]]
    return (
        f"{encoder} has the mean of {best} from {saved['reached']} labelled {counted} on{enough}; "
        f"whether that saves annotation is not shown: {reason}"
    )


def _points(saved: dict) -> str:
    low, high = (100 * value for value in saved["interval"])
    difference = 100 * saved["difference"]
    return f"{difference:.1f} points (95 % interval over the seeds {low:.1f} to {high:.1f})"


def _means(by_number: dict) -> dict[int, float]:
    """Means that are defined, by rising number of videos."""
    means = {int(number): one["mean"] for number, one in by_number.items()}
    return {number: means[number] for number in sorted(means) if means[number] is not None}


def _difference(scores: list, others: list) -> dict:
    """Mean difference of two lists of scores, seed by seed, and its interval."""
    pairs = [pair for pair in zip(scores, others, strict=True) if None not in pair]
    differences = np.array([one - other for one, other in pairs])
    return {
        "difference": float(differences.mean()) if pairs else None,
        "interval": mean_interval(differences) if len(pairs) > 1 else None,
    }
