"""What is in a video: its parts that show nothing of use, its key frames, its still stretches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from data.annotation_formats.labels import stretches
from data.indexing.cleaning import LEAST_LIT, LEAST_TISSUE, measure_image
from down_stream.lookup.key_frames import AT_MOST, key_frames
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.tables import Rows

KEY_FRAMES = 12
KINDS = 16  # clusters of a video's frames, each judged by the pictures of some
LOOKED_AT = 3  # frames of a cluster
STILL = 0.05  # of the median distance of neighbouring frames, below which a picture stands still
SHORTEST = 3  # frames of a still stretch
BLACK_PART, OUTSIDE, STANDING = "black", "out of the body, by colours", "standing still"


@dataclass(frozen=True)
class Part:
    """A stretch of a video.

    Attributes:
      what: BLACK_PART, OUTSIDE or STANDING.
      start, end: seconds; where frames have no time, their places.
    """

    what: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class Contents:
    """What is in one video.

    Attributes:
      name: of the video.
      rows: its frames, in the order of time.
      seconds: how long it is; of frames without a time, how many they are.
      keys: int64 [k], positions of the key frames in the rows.
      parts: what shows nothing of use, in the order of time.
      same: {name: share} of other videos that have nearly the same key frames.
      has_pictures: whether any could be looked at.
    """

    name: str
    rows: Rows
    seconds: float
    keys: np.ndarray
    parts: tuple[Part, ...]
    same: dict[str, float]
    has_pictures: bool = True

    def total(self, what: str) -> float:
        """Seconds of all parts of a kind."""
        return sum(part.seconds for part in self.parts if part.what == what)


def look_into(name: str, rows: Rows, fps: float | None, pictures: Pictures) -> Contents:
    """Finds what is in a video; `rows` are its frames."""
    time = np.where(np.isnan(rows.second), np.arange(len(rows)), rows.second)
    rows, time = rows.take(np.argsort(time, kind="stable")), np.sort(time)
    step = 1 / fps if fps and not np.isnan(rows.second).any() else 1.0
    features = rows.embeddings
    is_of, has_pictures = _by_pictures(rows, pictures)
    parts = [
        *_stretches(_standing(features), STANDING, time, step),
        *(part for what, is_it in is_of.items() for part in _stretches(is_it, what, time, step)),
    ]
    keys = key_frames(features, KEY_FRAMES)
    ordered = tuple(sorted(parts, key=lambda part: (part.start, part.what)))
    return Contents(name, rows, float(time[-1] + step), keys, ordered, {}, has_pictures)


def _standing(features: np.ndarray) -> np.ndarray:
    """bool [n], the frames that are as the one before or after, long enough."""
    is_still = np.zeros(len(features), bool)
    if len(features) < SHORTEST:
        return is_still
    change = np.linalg.norm(np.diff(features, axis=0), axis=1)
    usual = np.median(change[change > 1e-6]) if (change > 1e-6).any() else 0
    same = np.concatenate([[False], change <= STILL * usual])
    for first, stop in stretches(same):
        if same[first] and stop - first + 1 >= SHORTEST:
            is_still[first - 1 : stop] = True
    return is_still


def _by_pictures(rows: Rows, pictures: Pictures) -> tuple[dict[str, np.ndarray], bool]:
    """({what: bool [n]}, whether there was a picture): kinds of frames, by pictures of some.

    The frames of a cluster are what most of its pictures that are looked at show.
    """
    features = rows.embeddings
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), AT_MOST)).astype(int))
    number = min(KINDS, len(np.unique(features[chosen], axis=0)))
    with threadpool_limits(1):
        found = KMeans(number, n_init=1, random_state=0).fit(features[chosen])
        kind = found.predict(features)
    is_of = {what: np.zeros(len(rows), bool) for what in (BLACK_PART, OUTSIDE)}
    has_pictures = False
    for cluster in range(number):
        members = np.flatnonzero(kind == cluster)
        places = np.linspace(0, len(members) - 1, min(LOOKED_AT, len(members)))
        seen = [
            judge(image)
            for row in members[places.astype(int)].tolist()
            if (image := pictures.read(str(rows.path[row]), float(rows.second[row]))) is not None
        ]
        has_pictures |= bool(seen)
        for what, marked in is_of.items():
            marked[members] = bool(seen) and 2 * seen.count(what) > len(seen)
    return is_of, has_pictures


def judge(image: np.ndarray) -> str:
    """BLACK_PART, OUTSIDE or "" for a picture, RGB uint8 [height, width, 3], by its colours alone.

    The rules and their limits are those of `data.indexing.cleaning`.
    """
    measures = measure_image(np.ascontiguousarray(image[::4, ::4, ::-1]))
    if measures.lit < LEAST_LIT:
        return BLACK_PART
    return OUTSIDE if measures.tissue < LEAST_TISSUE else ""


def _stretches(is_it, what, time, step) -> list[Part]:
    return [
        Part(what, float(time[first]), float(time[stop - 1] + step))
        for first, stop in stretches(is_it)
        if is_it[first]
    ]


def with_same(contents: Sequence[Contents]) -> list[Contents]:
    """The same with `same`: other videos in which most key frames are, nearly.

    Nearly is nearer than a twentieth of what neighbouring key frames of a video are apart.
    """
    points = np.concatenate([one.rows.embeddings[one.keys] for one in contents])
    of = np.repeat(np.arange(len(contents)), [len(one.keys) for one in contents])
    apart = np.linalg.norm(np.diff(points, axis=0), axis=1)[np.diff(of) == 0]
    limit = STILL * float(np.median(apart)) if len(apart) else 0.0
    shares = np.zeros((len(contents), len(contents)))
    for first in range(0, len(points), 256):
        block = slice(first, first + 256)
        squares = (points[block] ** 2).sum(1)[:, None] + (points**2).sum(1)[None]
        near = np.sqrt(np.maximum(squares - 2 * points[block] @ points.T, 0)) <= limit + 1e-3
        for row, own in zip(near, of[block], strict=True):
            shares[own, np.unique(of[row])] += 1 / len(contents[own].keys)
    np.fill_diagonal(shares, 0)
    return [
        Contents(
            *(one.name, one.rows, one.seconds, one.keys, one.parts),
            {contents[k].name: float(row[k]) for k in np.flatnonzero(row > 0.5)},
            one.has_pictures,
        )
        for one, row in zip(contents, shares, strict=True)
    ]
