"""Recognises the format of a file of annotations by its content, and says which videos it names.

Another format gets a function here that gives its parts, and an entry of `FORMATS`, above the
general ones: whatever begins with "<" is taken for ELAN's, with "[" or "{" for Label Studio's.
"""

import codecs
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.annotation_formats.delimited import read_table
from data.annotation_formats.elan import linked_videos, open_elan, read_elan
from data.annotation_formats.label_studio import (
    find_instead,
    open_label_studio,
    read_label_studio,
    said_in_task,
    task_videos,
)
from data.annotation_formats.labels import VideoLabels
from data.annotation_formats.tables import split_videos
from data.common.errors import InputError, some
from data.dataset.audit import Audit

TABLES = {".csv", ".tsv", ".txt"}


@dataclass(frozen=True)
class Part:
    """What a file says about one video.

    Attributes:
      names: by which the video may be called, the most likely first.
      place: where that is said, for messages.
      format: in words.
      read: audit -> labels; raises `InputError` where the file cannot be used at all.
      said: {group: (start, end, label) in seconds} of what a model said of the video before.
    """

    names: list[str]
    place: str
    format: str
    read: Callable[[Audit], list[VideoLabels]]
    said: Mapping[str, list] = field(default_factory=dict)


def parts_of(file: Path, audit: Audit) -> list[Part]:
    """What a file says, video by video, whatever its format.

    Args:
      file: of any format.
      audit: receives what is odd.

    Raises:
      InputError: it is of no format that is known, or damaged.
    """
    with file.open("rb") as opened:
        head = opened.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    for known in FORMATS:
        if known.is_of(head, file):
            return known.parts(file, audit)
    expected = " or ".join(known.title for known in FORMATS)
    raise InputError(f"{file}: no annotations; expected {expected}")


def _table_parts(file: Path, audit: Audit) -> list[Part]:
    parts, described = split_videos(read_table(file, audit), audit)
    return [
        Part(
            [name or file.stem], f"{file}:{table.lines[0]}" if name else str(file), described, read
        )
        for name, (table, read) in parts.items()
    ]


def _elan_parts(file: Path, _: Audit) -> list[Part]:
    eaf = open_elan(file)
    names = [*linked_videos(eaf), file.stem]
    return [Part(names, str(file), "ELAN", functools.partial(read_elan, file, eaf))]


def _label_studio_parts(file: Path, audit: Audit) -> list[Part]:
    tasks = open_label_studio(file)
    others = [file.stem] if len(tasks) == 1 else []
    instead = [find_instead(task) for task in tasks]
    without = [
        f"task {t.get('id')}: {what}" for t, what in zip(tasks, instead, strict=True) if what
    ]
    if without:
        fault = f"{file}: no labels on a timeline, but {some(without, '; ')}"
        if len(without) == len(tasks):
            raise InputError(f"{fault}; expected results of TimelineLabels")
        audit.remark(f"{fault}; not used")
        tasks = [task for task, what in zip(tasks, instead, strict=True) if not what]
    return [
        Part(
            [*task_videos(task), *others] or ["nothing"],
            f"{file}: task {task.get('id')}",
            "Label Studio",
            functools.partial(read_label_studio, file, task),
            said_in_task(file, task),
        )
        for task in tasks
    ]


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
      title: what the user is told to expect, where a file is of none.
      is_of: (first bytes without white space before them, file) -> whether the file is of it.
      parts: (file, audit) -> what it says, video by video; raises `InputError` where it is damaged.
    """

    title: str
    is_of: Callable[[bytes, Path], bool]
    parts: Callable[[Path, Audit], list[Part]]


def _begins_with(starts: bytes) -> Callable[[bytes, Path], bool]:
    return lambda head, _: bool(head) and head[0] in starts


# The first that a file is of is taken.
FORMATS = (
    Format("a file of ELAN", _begins_with(b"<"), _elan_parts),
    Format("an export of Label Studio", _begins_with(b"[{"), _label_studio_parts),
    Format(
        f"a table ({', '.join(sorted(TABLES))})",
        lambda _, file: file.suffix.lower() in TABLES,
        _table_parts,
    ),
)
