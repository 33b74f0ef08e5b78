"""Lists of video names in configurations, in which patterns stand for many names."""

import fnmatch
from collections.abc import Iterable, Sequence

from data.images.names import natural_key

SIGNS = "*?["


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
        if name not in videos and any(sign in name for sign in SIGNS):
            matching = sorted(fnmatch.filter(videos, name), key=natural_key)
        found += [video for video in matching if video not in found]
    return tuple(found)
