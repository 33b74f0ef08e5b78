"""What a model says of a video, as intervals: one form for every format that is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.annotation_formats.labels import MULTI_LABEL, PHASE


@dataclass(frozen=True)
class Interval:
    """A class that lasts.

    Attributes:
      start, end: seconds, it lasts from its start to just before its end.
      label: name of the class.
      confidence: mean probability of the class in it.
    """

    start: float
    end: float
    label: str
    confidence: float


@dataclass(frozen=True)
class VideoIntervals:
    """The intervals of a video.

    Attributes:
      video: its name.
      media: path of its file, "" where that is not known.
      group: "phase", of which a moment has one, or a multi-label group.
      classes: all that the model tells apart, in the order of its ids.
      intervals: in the order of their starts.
    """

    video: str
    media: str
    group: str
    classes: tuple[str, ...]
    intervals: tuple[Interval, ...]

    @property
    def track(self) -> str:
        """Name of the track in annotation programs, as `labels.track_groups` reads it."""
        return PHASE if self.group == PHASE else MULTI_LABEL + self.group


def floored(seconds: float, rate: float = 1000.0) -> float:
    """The last moment of a clock of this rate that is not after a time in seconds.

    A frame at the time itself is then behind a boundary that is written, the frame before it is
    not: rounded up, it would get its neighbour's label.
    """
    return math.floor(seconds * rate + 1e-6) / rate


def look_first(videos: Sequence[VideoIntervals]) -> dict[tuple[int, int], int]:
    """{(place of the video, place of the interval): rank}, 1 for the least confident of all."""
    places = [(v, i) for v, video in enumerate(videos) for i in range(len(video.intervals))]
    places.sort(key=lambda place: videos[place[0]].intervals[place[1]].confidence)
    return {place: rank for rank, place in enumerate(places, 1)}
