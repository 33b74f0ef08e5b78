"""The parts of a split: which there are, and the names and patterns of the videos in them."""

from collections.abc import Iterable, Mapping, Sequence

from data.common.errors import InputError
from data.images.names import composed, matches, natural_key
from data.splits.overlaps import identity

PARTS = ("train", "validation", "test")
PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
SIGNS = "*?["  # of patterns that stand for many videos


def expand(names: Iterable[str], videos: Sequence[str]) -> tuple[str, ...]:
    """Names with every pattern, such as "test2019-*", replaced by the videos that it matches.

    Args:
      names: names and patterns; a name stays, whether there is such a video or not. What is the
        name of a video is no pattern.
      videos: those that a pattern can match.

    Returns:
      Names, each once; those of a pattern, which may be none, in natural order.
    """
    found = []
    for name in names:
        matching = [name]
        if name not in videos:  # accents may be written otherwise
            same = [video for video in videos if composed(video) == composed(name)]
            matching = same if len(same) == 1 else [name]
        if matching == [name] and name not in videos and any(sign in name for sign in SIGNS):
            matching = [video for video in videos if matches(video, name)]
            matching.sort(key=natural_key)
        found += [video for video in matching if video not in found]
    return tuple(found)


def check_disjoint(name: str, split: Mapping[str, Iterable[str]]) -> None:
    """Raises `InputError` if an operation is in two parts of a split, under whatever names."""
    seen = {}  # operation -> (video, part)
    for part, videos in split.items():
        for video in videos:
            first, where = seen.setdefault(identity(video), (video, part))
            if where != part:
                called = video if video == first else f"{first}, which is {video},"
                raise InputError(
                    f"split {name}: {called} is in {where} and in {part}; one operation, one part"
                )
