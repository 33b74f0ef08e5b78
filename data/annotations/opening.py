"""Finds a dataset's annotations, and says which video each is of.

In a dataset directory they are `<group>_annotations/<video>-<group>.txt`, the official layout, and
`annotations/`, which holds what `prepare.py --annotations` was given, as it was.
"""

import functools
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from data.annotation_formats.frame_table import TOOLS_GROUP, read_official
from data.annotation_formats.labels import VideoLabels
from data.annotation_writers.label_studio import CONFIGURATION
from data.annotation_writers.said import SAID, read_said
from data.annotations.recognising import parts_of
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.extraction_log import read_log
from data.images.folders import list_files
from data.images.names import composed, natural_key
from data.storage.whole import whole_folder
from data.video.names import folder_digest

FOLDER = "annotations"  # in a dataset directory
OFFICIAL_SUFFIX = "_annotations"
GROUPS = {"tool": TOOLS_GROUP}  # what the official folders and files are named by
# What stems have after the name of the video.
ENDINGS = ("-phase", "_phase", "-phases", "_phases", "-tool", "_tool", "-annotations")


@dataclass(frozen=True)
class Source:
    """Annotations of one video in one file.

    Attributes:
      file: where they are.
      read: audit -> labels; raises `InputError` where the file cannot be used at all.
      said: {group: (start, end, label) in seconds} of what a model said of the video before, as far
        as that is known.
      place: where in the file that is, if it is about several videos.
    """

    file: Path
    read: Callable[[Audit], list[VideoLabels]]
    said: Mapping[str, list] = field(default_factory=dict)
    place: str = ""


def copy_annotations(given: Path, root: Path, faults: list[str]) -> None:
    """Copies a file or a folder to `root/annotations`, in the place of what was there.

    `faults` receives a line for each file or folder that cannot be used.

    Raises:
      InputError: there is nothing to copy.
    """
    if given.resolve() == (root / FOLDER).resolve():
        return
    files = list_files(given, faults) if given.is_dir() else [given]
    if not files or not given.exists():
        raise InputError(
            f"--annotations={given}: no such file, or no file in this folder"
            + (f"; {some(faults, '; ')}" if faults else "")
        )
    base = given if given.is_dir() else given.parent
    with whole_folder(root / FOLDER, str(files[-1].relative_to(base))) as folder:
        for file in files:
            place = folder / file.relative_to(base)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def find_annotations(root: Path, videos: Iterable[str], audit: Audit) -> dict[str, list[Source]]:
    """The annotations of a dataset, {video: sources}, for those of its videos that have any.

    Args:
      root: dataset directory.
      videos: names of the videos that have frames.
      audit: receives a problem for each file that is none, a remark for each video that only the
        annotations have.
    """
    videos = set(videos)
    found: dict[str, list[Source]] = {}
    for folder in sorted(root.glob(f"*{OFFICIAL_SUFFIX}")):
        kind = folder.name.removesuffix(OFFICIAL_SUFFIX)
        group = GROUPS.get(kind, kind)
        for video in videos:
            file = folder / f"{video}-{kind}.txt"
            if file.is_file():
                read = functools.partial(_official, file, group)
                found.setdefault(video, []).append(Source(file, read))
    files = list_files(root / FOLDER, audit.problems) if (root / FOLDER).is_dir() else []
    noted = read_log(root / "frames")["videos"] if files else {}
    folders = {video: noted.get(video, {}).get("folder") for video in videos}
    said = _what_models_said(files, videos, audit)
    files = [file for file in files if file.name not in (SAID, CONFIGURATION)]
    others, are_about_videos = [], False
    for file in sorted(files, key=lambda file: natural_key(str(file))):
        try:
            sources = _sources(file, folders, others, audit)
        except InputError as error:
            audit.problem(str(error))
            continue
        for video, source in sources:
            if not source.said:
                source = replace(source, said=said.get((file.parent, video), {}))
            found.setdefault(video, []).append(source)
            are_about_videos = True
    if others and not are_about_videos:
        audit.problem(
            f"{root / FOLDER}: about {some(others)}; expected videos of this dataset, as "
            f"{some(sorted(videos, key=natural_key))}, in a column named video or as file names"
        )
    return found


def _what_models_said(files: list[Path], videos: set[str], audit: Audit) -> dict:
    """{(folder, video): {group: intervals}} of the files that models have left beside theirs."""
    found = {}
    for file in files:
        if file.name != SAID:
            continue
        try:
            intervals = read_said(file).intervals
        except InputError as error:
            audit.problem(str(error))
            continue
        for name, groups in intervals.items():
            if video := match_video(name, videos):
                found[file.parent, video] = groups
    return found


def _official(file: Path, group: str, audit: Audit) -> list[VideoLabels]:
    return [read_official(file, audit, group)]


def _sources(
    file: Path, folder_of: Mapping[str, str | None], others: list[str], audit: Audit
) -> list[tuple[str, Source]]:
    """(video, source) of each video that a file annotates, whatever its format.

    Args:
      file: of any format that `recognising` knows.
      folder_of: {video: `folder_digest` of the folder its file is in, None where it is not known}.
      others: receives the names of those that are none of these videos.
      audit: receives what is odd.
    """
    videos = set(folder_of)
    parts = parts_of(file, audit)
    if parts:
        audit.remark(f"{file}: read as {parts[0].format}")
    sources, folders = [], {}
    for part in parts:
        matches = ((match_video(name, videos), name) for name in part.names)
        video, called = next((match for match in matches if match[0]), (None, ""))
        if video is None:
            audit.remark(f"{part.place}: there are no frames of {part.names[0]}")
            others.append(part.names[0])
        else:
            if not any(_has_in_it(name, video) for name in part.names):
                audit.remark(f"{part.place}: {part.names[0]} is taken for {video}")
            if folder_of[video] and not may_lie_in(called, video, folder_of[video]):
                audit.problem(
                    f"{part.place}: {called} is not used: {video} is of another folder; expected "
                    f"its own, or {video} where that is meant"
                )
                continue
            sources.append((video, Source(file, part.read, part.said, part.place)))
            folders.setdefault(video, {}).setdefault(_folder_above(called, video), called)
    # "case 1/left" and "case 2/left" are two videos, of which one may have no frames here.
    unclear = {video for video, names in folders.items() if len(names.keys() - {""}) > 1}
    for video in sorted(unclear, key=natural_key):
        names = sorted(folders[video].values())
        audit.problem(
            f"{file}: {some(names)} could all be {video}, so none is used; expected rows of one "
            f"of them, or {video} where it is meant"
        )
    return [(video, source) for video, source in sources if video not in unclear]


def match_video(name: str, videos: set[str]) -> str | None:
    """The video that an annotation calls `name`.

    Args:
      name: a name or a path, with or without a file's ending. Folders may be part of the name of
        the video: "case 1/left.mp4" is "case 1_left". Spaces are as good as underscores, and "op
        (2)" may be "op_2", as servers call files that are uploaded, where no other video may be it.
      videos: names.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    joined = ["_".join(parts[first:]) for first in range(len(parts))]
    candidates = [name, *(c for full in joined for c in (full, str(Path(full).with_suffix(""))))]
    candidates += [name.removesuffix(ending) for ending in ENDINGS]
    for plain in (composed, _without_spaces, str.casefold, _as_uploaded):
        known = {}
        for video in videos:
            known.setdefault(plain(video), []).append(video)
        for candidate in filter(None, map(plain, candidates)):
            if len(known.get(candidate, ())) == 1:
                return known[candidate][0]
    return None


def may_lie_in(name: str, video: str, folder: str) -> bool:
    """Whether a name with a folder can be of a video in the folder of a `folder_digest`.

    Paths from the root may be of another machine, and say nothing.
    """
    plain = name.replace("\\", "/")
    above = _folder_above(name, video)
    is_from_root = plain.startswith("/") or ":" in plain.partition("/")[0]
    return not above or is_from_root or ".." in plain or folder_digest(above) == folder


def _folder_above(name: str, video: str) -> str:
    """The last folder of a path, where it is not part of the video's name; "" without one."""
    folder = PurePosixPath(name.replace("\\", "/")).parent.name
    return "" if _has_in_it(video, folder) else _without_spaces(folder).casefold()


def _without_spaces(name: str) -> str:
    return composed(name).replace(" ", "_")


def _has_in_it(name: str, video: str) -> bool:
    """Whether an annotation names a video letter by letter, but for spaces and folders."""
    return _without_spaces(video) in re.sub(r"[\\/]", "_", _without_spaces(name))


def _as_uploaded(name: str) -> str:
    """As Django's `get_valid_filename` leaves a name: Label Studio's server is one."""
    return re.sub(r"[^-\w.]", "", _without_spaces(name)).casefold()
