"""Videos whose names differ in spelling alone: `Video 4`, `video_04` and Cholec80's `video04`.

They may be one operation, or two hospitals' fourth; so they are never taken for one, and it is
said wherever what was learnt from one would be tested on the other.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from data.common.errors import some
from data.images.names import composed
from data.splits.overlaps import find_public, identity
from data.splits.parts import PAIRS

_WORDS = re.compile(r"\d+|[^\W\d_]+")
_SHORT = {"vid": "video"}  # CholecT50's word and Cholec80's
_DATASETS = {("cholec", 80), ("cholect", 45), ("cholect", 50)}


def spelling(video: str) -> tuple:
    """What is left of a name without case, leading zeros, and what stands between words.

    ("video", 4) of all that the module names, of "cholec80-video04", and of VID04. Empty where a
    name has neither letters nor digits.
    """
    public = find_public(video)
    if public and len(public.numbers) == 1:
        return ("video", min(public.numbers))
    words = _WORDS.findall(composed(video).casefold())
    found = tuple(int(word) if word.isdecimal() else _SHORT.get(word, word) for word in words)
    return found[2:] if len(found) > 2 and found[:2] in _DATASETS else found


def alike(
    videos: Iterable[str], others: Iterable[str], *, of_public: bool = False
) -> list[tuple[str, str]]:
    """The videos whose names are those of others but for their spelling: (video, the other).

    Args:
      videos, others: names; one that is among the others under this name, or is known to be one
        operation with one of them, is none of these.
      of_public: whether only pairs count of which at least one is a public data set's name.
    """
    known, names = set(), {}
    for other in others:
        known.add(identity(other))
        names.setdefault(spelling(other), []).append(other)
    found = []
    for video in dict.fromkeys(videos):
        key = spelling(video)
        if not key or identity(video) in known:
            continue
        for other in names.get(key, ()):
            if not of_public or find_public(video) or find_public(other):
                found.append((video, other))
                break
    return found


def say_alike_parts(parts: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each two parts of a split, {part: videos}, that `alike` finds pairs in."""
    return [
        line
        for part, other in PAIRS
        for line in say_alike(
            alike(parts[part], parts[other]),
            f"{other} videos",
            f"leave one of the two out of {part}",
            of=f"{part} ",
        )
    ]


def say_alike(
    pairs: Iterable[tuple[str, str]], others: str, advice: str, *, of: str = ""
) -> list[str]:
    """A line, or none, for what `alike` found.

    Args:
      pairs: as `alike` gives them.
      others: what the others are, in words: "videos in pre-training".
      advice: what to do where they are one operation.
      of: which of the videos there are it is about, in words: "test ".
    """
    pairs = [f"{video!r} and {other!r}" for video, other in pairs]
    if not pairs:
        return []
    one = len(pairs) == 1
    count = f"1 {of}video may be one operation" if one else f"{len(pairs)} {of}videos may be one"
    return [
        f"{count} with {others}, spelt otherwise: {some(pairs)}; taken for different ones; where "
        f"they are not, {advice}"
    ]
