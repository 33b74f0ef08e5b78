"""Which videos of public data sets are one operation under several names.

CAMMA's data sets of cholecystectomies share operations, so that pre-training on one and testing on
another can test on what was seen. Videos are recognised by the names they are released under, in
capitals or not; what is called otherwise is known by its name alone (`data.splits.spellings` says
what may be a name of theirs). Numbers below are Cholec80's.

- CholecT45 and CholecT50: VIDnn is video nn; 45 of the 50 are of Cholec80, VID92, VID96, VID103,
  VID110 and VID111 are of Cholec120. (README and docs/README-Splits.md, section "Video Overlap",
  of github.com/CAMMA-public/cholect50; Nwoye and Padoy, arXiv 2204.05235.)
- M2CAI16-tool: its videos 1-10 are ten of 67-76 and 11-15 are 61, 62, 64, 65 and 66, but which is
  which is not published. (github.com/CAMMA-public/camma_dataset_overlaps, of Walimbe et al.,
  MICCAI 2025, arXiv 2507.05020; as transcribed by third parties, we have not seen the original.)
- M2CAI16-workflow: 20 of its 41 videos are of Munich (Stauder et al., arXiv 1610.09278), the others
  of Strasbourg, with 73 and 77-80 among them according to the README.txt in Cholec80's archive, as
  quoted by third parties. Which these are is not published: any of the 41 may be.

Endoscapes2023 shares 66-68 and 70-72 (camma_dataset_overlaps); a number is all that it calls its
videos, so they are not recognised here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from data.common.errors import some
from data.images.names import composed

_TOOL_TRAIN = frozenset(range(67, 77))
_TOOL_TEST = frozenset({61, 62, 64, 65, 66})
_WORKFLOW = frozenset({73, 77, 78, 79, 80})
# Folders above a video are part of its name in a prepared data set: train_dataset_tool_video_01.
_NAMES = {
    "Cholec80": re.compile(r"video(\d\d)", re.IGNORECASE),
    "CholecT50": re.compile(r"(?:.*_)?VID(\d\d|\d{3})", re.IGNORECASE),
    "M2CAI16-tool": re.compile(r"(?:.*_)?tool_video_(\d\d)", re.IGNORECASE),
    "M2CAI16-workflow": re.compile(r"(?:.*?_)??((?:test_)?workflow_video_\d\d)", re.IGNORECASE),
}
SYNTHETIC = "synthetic.json"  # in a rendered data set, whose videos are named as Cholec80's


@dataclass(frozen=True)
class PublicVideo:
    """A video of a public data set.

    Attributes:
      dataset: its name.
      name: what tells it from the others of its data set.
      numbers: the videos of Cholec80, or of Cholec120, that it may be. One number: it is that one.
    """

    dataset: str
    name: str
    numbers: frozenset[int]


@cache
def find_public(video: str) -> PublicVideo | None:
    """The public video that a name stands for; None for any other name."""
    for dataset, pattern in _NAMES.items():
        if match := pattern.fullmatch(video):
            name = match[1].lower()
            if dataset == "M2CAI16-workflow":
                return PublicVideo(dataset, name, _WORKFLOW)
            number = int(name)
            if dataset == "M2CAI16-tool" and 1 <= number <= 15:
                return PublicVideo(dataset, name, _TOOL_TRAIN if number <= 10 else _TOOL_TEST)
            if 1 <= number <= {"Cholec80": 80, "CholecT50": 120}.get(dataset, 0):
                return PublicVideo(dataset, name, frozenset({number}))
    return None


def identity(video: str) -> str:
    """What all names of one operation have in common; for a name that is not public, the name.

    Names are one, however their accents are written: copies by way of a Mac write them otherwise.
    """
    found = find_public(video)
    if found is None:
        return composed(video)
    if len(found.numbers) == 1:
        return f"Cholec120 {min(found.numbers)}"
    return f"{found.dataset} {found.name}"


def same_operation(video: str, other: str) -> bool:
    """Whether two videos are one operation, as far as it is known."""
    return identity(video) == identity(other)


def may_be_same_operation(video: str, other: str) -> bool:
    """Whether two videos may be one operation, and it is not known whether they are."""
    one, two = find_public(video), find_public(other)
    if one is None or two is None or one.dataset == two.dataset or same_operation(video, other):
        return False
    return bool(one.numbers & two.numbers)


def overlaps(videos: Iterable[str], others: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which videos are among others, under whatever name.

    Returns:
      Two lists to be printed. The videos that are the same operation as one of the others:
      "video68" where it has that name there too, otherwise "video68 (VID68)". And the videos that
      may be: "video73 (one of workflow_video_01, ...)".
    """
    names, known = {}, []
    for name in others:
        names.setdefault(identity(name), []).append(name)
        if find_public(name):
            known.append(name)
    same, possible = [], []
    for video in videos:
        twins = names.get(identity(video), [])
        if twins:
            same.append(video if video in twins else f"{video} ({some(twins)})")
        elif maybe := [name for name in known if may_be_same_operation(video, name)]:
            possible.append(f"{video} (one of {some(maybe)})")
    return same, possible
