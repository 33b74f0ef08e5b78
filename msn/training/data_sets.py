"""The data sets of a run, and whether they look alike: what tells them apart tells an encoder, too.

Of some frames of each data set what a camera and its recorder decide: brightness, colour cast,
size, shape and black borders. Where the medians of two data sets are further apart than frames
within one are, a network can tell the data sets by that, and lower its loss, without seeing any
tissue.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data.common.errors import InputError, some
from data.common.logs import logger
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.indexing.cleaning import LIT, measure_image
from data.splits.manifest import MANIFEST
from data.splits.overlaps import identity
from data.splits.parts import expand
from data.storage.paths import AnyPath

SAMPLED = 24  # frames of a data set: medians to a fifth of the spread, in a second or two
# {what is measured: (the least difference that is one, how it is written)}. Spreads smaller than
# the difference count as it: frames of one size would make any other size infinitely far away.
KINDS = {
    "brightness": (10.0, "{:.0f}"),  # of 255
    "red to green": (0.1, "{:.2f}"),
    "height": (40.0, "{:.0f}"),  # pixels
    "width to height": (0.05, "{:.2f}"),
    "black border": (0.02, "{:.0%}"),  # share of the picture
}


def open_frames(config: ConfigDict) -> Frames:
    """The frames of a run; exclusions that name no video are said."""
    data = config.data
    source = open_source(data.source, data.root, data.exclude_videos, data.fps)
    excluded = {identity(video) for video in source.excluded}
    if missing := [
        name
        for name in data.exclude_videos
        if name != MANIFEST and excluded.isdisjoint(map(identity, expand((name,), source.excluded)))
    ]:
        advice = (
            "; nothing is left out, of what scores are measured on, either: expected names of "
            f"videos, or {MANIFEST} for what the data's own split validates and tests"
        )
        logger.warning(
            "data.exclude_videos: not in the data: %s%s",
            *(some(missing), "" if source.excluded else advice),
        )
    return source


class Difference(NamedTuple):
    """What two data sets differ in most.

    Attributes:
      kind: of `KINDS`.
      low, high: (name of the data set, its median) with the smallest and the largest.
      spreads: their distance, in spreads of the frames within a data set.
    """

    kind: str
    low: tuple[str, float]
    high: tuple[str, float]
    spreads: float


def measure_frame(image: np.ndarray) -> tuple[float, ...]:
    """The numbers of `KINDS` for a frame, RGB uint8 [height, width, 3]."""
    height, width = image.shape[:2]
    left, top, right, bottom = measure_image(image[..., ::-1]).box
    border = 1 - (right - left) * (bottom - top)
    lit = image[image.max(axis=2) > LIT].astype(np.float32)
    if not len(lit):  # all black, which has neither colour nor a border
        return np.nan, np.nan, height, width / height, np.nan
    red, green, _ = lit.mean(axis=0)
    return float(lit.mean()), float(red / max(green, 1)), height, width / height, border


def differences(measured: dict[str, np.ndarray]) -> list[Difference]:
    """What data sets differ in, the largest first; none where they look alike.

    Args:
      measured: {name of a data set: float [frames, kinds]}, NaN where nothing could be measured.
    """
    found = []
    for place, (kind, (least, _)) in enumerate(KINDS.items()):
        values = {name: of[:, place][np.isfinite(of[:, place])] for name, of in measured.items()}
        values = {name: of for name, of in values.items() if len(of)}
        if len(values) < 2:
            continue
        medians = {name: float(np.median(of)) for name, of in values.items()}
        # Half of the frames are within so much of their own data set's median.
        spread = np.median(np.concatenate([np.abs(of - medians[n]) for n, of in values.items()]))
        low, high = min(medians, key=medians.get), max(medians, key=medians.get)
        spreads = (medians[high] - medians[low]) / max(2 * float(spread), least)
        if spreads >= 1:
            found.append(Difference(kind, (low, medians[low]), (high, medians[high]), spreads))
    return sorted(found, key=lambda one: -one.spreads)


def say_differences(frames: Frames, of_video: np.ndarray, roots: Sequence[AnyPath]) -> str:
    """In a line, how the data sets of a run differ; "" where there is one, or they look alike.

    Args:
      frames: of the run.
      of_video: int [videos], the position in `roots` of each video's data set.
      roots: dataset directories.
    """
    names = [root.name for root in roots]
    names = names if len(set(names)) == len(names) else [str(root) for root in roots]
    numbers = [number for number in np.unique(of_video) if number >= 0]
    if len(numbers) < 2:
        return ""
    of_frame = of_video[frames.video]
    measured = {
        names[number]: _measure(frames, np.flatnonzero(of_frame == number)) for number in numbers
    }
    told = []
    for kind, low, high, _ in differences(measured):
        texts = (f"{KINDS[kind][1].format(value)} ({name})" for name, value in (low, high))
        told.append(f"{kind} {' to '.join(texts)}")
    if not told:
        return ""
    return (
        f"these {len(numbers)} data sets look different: {', '.join(told)}; a network can learn "
        "that in place of tissue: see source_knn, and balance_sources, one_source_per_batch and "
        "prepare.py --crop_borders"
    )


def _measure(frames: Frames, rows: np.ndarray) -> np.ndarray:
    """float [frames read, kinds] of evenly spaced rows; without those that cannot be read."""
    spaced = np.unique(np.linspace(0, len(rows) - 1, SAMPLED).round().astype(int))
    measured = []
    for row in rows[spaced]:
        try:
            measured.append(measure_frame(frames.read(int(row))))
        except (InputError, OSError):  # said, and counted, where training reads it
            continue
    return np.array(measured, float).reshape(-1, len(KINDS))
