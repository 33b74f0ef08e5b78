"""Whether data sets of a run, or folders of a data set, look alike: a network tells what we can.

Of some frames of each data set what a camera and its recorder decide: brightness, colour cast,
size, shape and black borders. Where the medians of two data sets are further apart than frames
within one are, a network can tell the data sets by that, and lower its loss, without seeing any
tissue.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.images.names import are_numbered, natural_key
from data.indexing.cleaning import LIT, measure_image
from data.storage.paths import AnyPath, is_remote

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
# Folders that are compared: with fewer videos each, or more of them, they are operations, patients
# or days. Two operations of one hospital can differ in all of `KINDS` (Cholec80's 68 and 70 do).
# Images whose names do not number them are no video, and so many in a folder may be a data set.
FEWEST_VIDEOS, FEWEST_IMAGES, MOST_FOLDERS = 5, SAMPLED, 20
LEARNT = "a network can learn that in place of tissue"


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
    measured = _measure_all(frames, of_video, names)
    if not (told := _told(measured)):
        return ""
    return (
        f"these {len(measured)} data sets look different: {told}; {LEARNT}: see source_knn, and "
        "balance_sources, one_source_per_batch and prepare.py --crop_borders"
    )


def remark_folders(root: AnyPath, audit: Audit, before: Mapping[str, Any]) -> None:
    """Says how the folders that a dataset's videos come from differ, as those of hospitals do.

    Args:
      root: dataset directory, with its index.
      audit: with the videos' `folders`; receives a remark, the first of all, and its `looks`.
      before: the `looks` of an audit of the same frames, which are not measured again; of
        videos that are not given again they stay. Empty where there is none.
    """
    counts = Counter(audit.folders.values())
    is_asked = 2 <= len(counts) <= MOST_FOLDERS and not is_remote(root)
    if audit.folders and not is_asked:
        return
    of = {"folders": dict(counts), "cleaned": audit.cleaned()}
    if not audit.folders or before.items() >= of.items():
        audit.looks = dict(before)
    else:
        audit.looks = of | _compare_folders(root, audit.folders, counts)
    if told := audit.looks.get("differences"):
        number, what = len(audit.looks["compared"]), audit.looks["what"]
        text = f"{root}: these {number} folders of its {what} look different: {told}; "
        text += f"{LEARNT}: if each is a data set, prepare it by a --name of its own, and a run on "
        audit.remarks.insert(0, f"{text}all of them says how well it tells them, and can balance")


def _compare_folders(root: AnyPath, folders: Mapping[str, str], counts: Counter[str]) -> dict:
    """Which folders were `compared`, `what` they hold, and their `differences`, in words.

    Args:
      root: dataset directory, with its index.
      folders: {video: its folder}.
      counts: {folder: its videos}.
    """
    frames = open_source("images", [root])
    images = _images_of_no_video(frames, folders)
    names = [
        name
        for name, count in counts.items()
        if count >= FEWEST_VIDEOS or images[name] >= FEWEST_IMAGES
    ]
    names.sort(key=natural_key)
    place = {name: number for number, name in enumerate(names)}
    of_video = np.array([place.get(folders.get(name), -1) for name in frames.videos])
    measured = _measure_all(frames, of_video, names)
    what = "images" if all(images[name] for name in names) else "videos"
    return {"compared": list(measured), "what": what, "differences": _told(measured)}


def _images_of_no_video(frames: Frames, folders: Mapping[str, str]) -> Counter[str]:
    """{folder of `folders`: its images in flat folders whose names do not number them}."""
    found = Counter()
    for name, first, end in zip(frames.videos, frames.starts, frames.starts[1:], strict=False):
        if name in folders and end - first >= FEWEST_IMAGES:
            stems = [PurePath(path).stem for path in frames.paths(range(first, end))]
            found[folders[name]] += 0 if are_numbered(stems) else len(stems)
    return found


def _measure_all(frames: Frames, of_video: np.ndarray, names: Sequence[str]) -> dict:
    """{name: float [frames, kinds]} of the data sets that have videos, by positions in `names`."""
    of_frame = of_video[frames.video]
    numbers = [number for number in np.unique(of_video) if number >= 0]
    if len(numbers) < 2:
        return {}  # nothing is read
    return {names[n]: _measure(frames, np.flatnonzero(of_frame == n)) for n in numbers}


def _told(measured: dict[str, np.ndarray]) -> str:
    """The differences in words, "" without any."""
    told = []
    for kind, low, high, _ in differences(measured):
        texts = (f"{KINDS[kind][1].format(value)} ({name})" for name, value in (low, high))
        told.append(f"{kind} {' to '.join(texts)}")
    return ", ".join(told)


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
