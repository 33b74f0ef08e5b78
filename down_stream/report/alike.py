"""What makes two experiments hard to compare: all that differs beside what is compared."""

import os.path
from collections.abc import Mapping

from data.splits.parts import PARTS


def what_differs(results: Mapping, first: Mapping) -> list[str]:
    """How the experiment of `results` differs from a first one, beside encoder and name.

    Args:
      results, first: what results.json holds. What an earlier version did not note is left out.

    Returns:
      One text for each difference, as "image size (64, not 224)".
    """
    found = {}
    for title, key in (
        *(("task", "task"), ("mode", "mode"), ("features", "features"), ("classes", "classes")),
        *(("protocol", "chosen_by"), ("positive class", "positive_class")),
        ("choice of the epoch", "epoch_chosen_by"),
    ):
        found[title] = [each.get(key) for each in (results, first)]
    for title, key in (
        *(("image size", "image_size"), ("patch", "patch_size"), ("resizing", "resample")),
        *(("preprocessing, mean", "mean"), ("preprocessing, std", "std")),
    ):
        found[title] = [(each.get("network") or {}).get(key) for each in (results, first)]
    found["data"] = [_roots(each) for each in (results, first)]
    found["folds"] = [len(each.get("folds", [])) for each in (results, first)]
    if all(found["folds"]):
        found["drawing of the folds, seed"] = [
            each.get("config", {}).get("seed") for each in (results, first)
        ]
    texts = [
        f"{title} ({_said(one)}, not {_said(other)})"
        for title, (one, other) in found.items()
        if None not in (one, other) and one != other
    ]
    return texts + [text for part in PARTS if (text := _videos_differ(part, results, first))]


def not_noted(results: Mapping) -> bool:
    """Whether an earlier version wrote the results, which did not note the image size."""
    return "network" not in results


def _videos_differ(part: str, results: Mapping, first: Mapping) -> str:
    """How the videos of a part differ, or their frames; "" where they do not."""
    one, other = (each.get("videos", {}).get(part) for each in (results, first))
    if None in (one, other):
        return ""
    if set(one) != set(other):
        shared = len(set(one) & set(other))
        return f"{part} videos ({len(one)}, not {len(other)}, {shared} in both)"
    frames, others = (
        each.get("frames", {}).get(part, 0) - each.get("unreadable_frames", {}).get(part, 0)
        for each in (results, first)
    )
    return f"{part} frames ({frames}, not {others})" if frames != others else ""


def _roots(results: Mapping) -> list[str] | None:
    """The dataset directories of an experiment."""
    root = results.get("config", {}).get("data", {}).get("root")
    return root and [os.path.normpath(one) for one in root]


def _said(value) -> str:
    if isinstance(value, list | tuple):
        return " ".join(f"{one:.3g}" if isinstance(one, float) else str(one) for one in value)
    return str(value)
