"""Finds a dataset's annotations, recognises their formats, and says which video each is of.

In a dataset directory they are `<group>_annotations/<video>-<group>.txt`, the official layout, and
`annotations/`, which holds what `prepare.py --annotations` was given, as it was.
"""

import functools
import shutil
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data.annotation_formats.delimited import read_table
from data.annotation_formats.frame_table import TOOLS_GROUP, read_official
from data.annotation_formats.labels import VideoLabels
from data.annotation_formats.tables import split_videos
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.images.finding import list_files
from data.images.names import natural_key
from data.storage.whole import whole_folder

FOLDER = "annotations"  # in a dataset directory
OFFICIAL_SUFFIX = "_annotations"
GROUPS = {"tool": TOOLS_GROUP}  # what the official folders and files are named by
# What stems have after the name of the video.
ENDINGS = ("-phase", "_phase", "-phases", "_phases", "-tool", "_tool", "-annotations")
TABLES = {".csv", ".tsv", ".txt"}


@dataclass(frozen=True)
class Source:
    """Annotations of one video in one file.

    Attributes:
      file: where they are.
      format: in words.
      read: audit -> labels; raises `InputError` where the file cannot be used at all.
    """

    file: Path
    format: str
    read: Callable[[Audit], list[VideoLabels]]


def copy_annotations(given: Path, root: Path) -> None:
    """Copies a file or a folder to `root/annotations`, in the place of what was there.

    Raises:
      InputError: there is nothing to copy.
    """
    if given.resolve() == (root / FOLDER).resolve():
        return
    files = list_files(given) if given.is_dir() else [given]
    if not files or not given.exists():
        raise InputError(f"--annotations={given}: no such file, or no file in this folder")
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
                found.setdefault(video, []).append(Source(file, "official text", read))
    files = list_files(root / FOLDER) if (root / FOLDER).is_dir() else []
    for file in sorted(files, key=lambda file: natural_key(str(file))):
        try:
            for video, source in _recognise(file, videos, audit):
                found.setdefault(video, []).append(source)
        except InputError as error:
            audit.problem(str(error))
    return found


def _official(file: Path, group: str, audit: Audit) -> list[VideoLabels]:
    return [read_official(file, audit, group)]


def _recognise(file: Path, videos: set[str], audit: Audit) -> list[tuple[str, Source]]:
    """(video, source) of each video that a file annotates."""
    if file.suffix.lower() not in TABLES:
        raise InputError(f"{file}: no annotations; expected {', '.join(sorted(TABLES))}")
    parts, described = split_videos(read_table(file, audit), audit)
    audit.remark(f"{file}: read as {described}")
    sources = []
    for name, (table, read) in parts.items():
        video = match_video(name or file.stem, videos)
        if video is None:
            lines = f":{table.lines[0]}" if name else ""
            audit.remark(f"{file}{lines}: there are no frames of {name or file.stem}")
        else:
            sources.append((video, Source(file, described, read)))
    return sources


def match_video(name: str, videos: set[str]) -> str | None:
    """The video that a table or a file's stem calls `name`: with or without a file's ending."""
    candidates = [name, Path(name).name, Path(name).stem]
    candidates += [name.removesuffix(ending) for ending in ENDINGS]
    composed = {unicodedata.normalize("NFC", video): video for video in videos}
    candidates = [unicodedata.normalize("NFC", candidate) for candidate in candidates]
    return next((composed[candidate] for candidate in candidates if candidate in composed), None)
