"""Which frames a contact sheet shows: of each video, or class, some that are evenly apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from data.annotation_formats.clock_times import clock
from data.frames.frames import Frames

MAX_ROWS = 40  # videos or classes on a sheet
PER_STRIP = 8  # frames beside one another
BINS = 400  # of a stripe


@dataclass(frozen=True)
class Strip:
    """Frames beside one another, and the stripe below them.

    Attributes:
      name: of the video or class; "" where a strip goes on with the one above.
      about: how much there is of it, in words.
      rows: of the frames, at most `PER_STRIP`; None where a frame is missing.
      captions: one for each.
      stripe: int [bins], ids of phases or of a class, -1 unknown; empty where nothing is known.
    """

    name: str
    about: str
    rows: tuple[int | None, ...]
    captions: tuple[str, ...]
    stripe: np.ndarray


def choose_strips(frames: Frames) -> tuple[list[Strip], str]:
    """The strips of a dataset, and what they show of it, in words."""
    if frames.classes:
        labels = [int(label) for label in np.unique(frames.label)]
        kept = _evenly([*(k for k in labels if k >= 0), *(k for k in labels if k < 0)], MAX_ROWS)
        strips = [_class_strip(frames, label) for label in kept]
        return strips, _said(len(kept), len(labels), "classes", f"{len(frames):,} images")
    kept = _evenly(range(len(frames.videos)), MAX_ROWS)
    lines = 3 if len(kept) <= 4 else 2 if len(kept) <= 10 else 1
    strips = [strip for video in kept for strip in _video_strips(frames, video, lines)]
    return strips, _said(len(kept), len(frames.videos), "videos", f"{len(frames):,} frames")


def _said(kept: int, total: int, what: str, frames: str) -> str:
    if kept == total:
        return f"{total:,} {what}, {frames}"
    return f"{kept} of {total:,} {what}, evenly; {frames} in all"


def _evenly(things: Sequence, number: int) -> list:
    """At most `number` of some things, as far from one another as can be."""
    count = min(number, len(things))
    return [things[int((k + 0.5) * len(things) / count)] for k in range(count)]


def _class_strip(frames: Frames, label: int) -> Strip:
    rows = np.flatnonzero(frames.label == label)
    chosen = _evenly(rows.tolist(), PER_STRIP)
    name = frames.classes[label] if label >= 0 else "without a class"
    about, captions = f"{len(rows):,} images", tuple(frames.video_names(chosen))
    return Strip(name, about, tuple(chosen), captions, np.array([label]))


def _video_strips(frames: Frames, video: int, lines: int) -> list[Strip]:
    """The strips of a video, each a part of its time."""
    start, end = frames.starts[video : video + 2].tolist()
    seconds = frames.second[start:end]
    is_timed = not np.isnan(seconds).any()
    times = seconds if is_timed else np.arange(end - start, dtype=float)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    length = float(times[-1]) + step
    about = f"{end - start:,} frames" + (f", {clock(length, decimals=1)}" if is_timed else "")
    lines = max(1, min(lines, math.ceil((end - start) / PER_STRIP)))
    phases, strips, last = frames.phase[start:end], [], -1
    for line in range(lines):
        begin, stop = line * length / lines, (line + 1) * length / lines
        count = min(PER_STRIP, end - start)
        wanted = begin + (np.arange(count) + 0.5) * (stop - begin) / count
        found = _nearest(times, wanted)
        captions = (
            [clock(times[k], decimals=1) for k in found]
            if is_timed
            else _names(frames, start + found)
        )
        is_new = np.diff(found, prepend=last) > 0  # else there are no frames for a while
        is_new &= np.abs(times[found] - wanted) <= max((stop - begin) / count, step)
        last = found[-1]
        rows = [start + int(k) if new else None for k, new in zip(found, is_new, strict=True)]
        captions = [caption * bool(new) for caption, new in zip(captions, is_new, strict=True)]
        bins = begin + (np.arange(BINS) + 0.5) * (stop - begin) / BINS
        stripe = _at(times, phases, bins, step) if (phases >= 0).any() else np.empty(0, np.int64)
        name, said = (frames.videos[video], about) if line == 0 else ("", "")
        strips.append(Strip(name, said, tuple(rows), tuple(captions), stripe))
    return strips


def _nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Positions in `times`, ascending, of those nearest others."""
    between = (times[1:] + times[:-1]) / 2
    return np.searchsorted(between, wanted)


def _at(times: np.ndarray, phases: np.ndarray, bins: np.ndarray, step: float) -> np.ndarray:
    """The phase at each time: that of the frame before; unknown where frames are missing."""
    place = np.clip(np.searchsorted(times, bins, side="right") - 1, 0, None)
    return np.where(bins - times[place] < 1.5 * step, phases[place].astype(np.int64), -1)


def _names(frames: Frames, rows: np.ndarray) -> list[str]:
    """File names of images that have no time."""
    return [PurePath(path).name for path in frames.paths(rows)]
