"""What a public dataset's archive holds, in the terms that the pipeline has.

A module of this folder describes one dataset: where its videos or frames and its annotations are,
found by their names anywhere below the folder, and its published splits. Annotations become tables
as anybody may have them (`data/annotation_formats/tables.py`), which the dataset keeps.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.archives.unpacking import SUFFIXES
from data.common.errors import InputError, some
from data.common.logs import logger
from data.images.folders import list_files

Split = Mapping[str, Sequence[str]]  # part: names of videos
Rows = Iterable[Sequence]  # of a table, the header first


@dataclass(frozen=True)
class Found:
    """What is in an archive.

    Attributes:
      phases: names of all phases, in the order of their ids; none where none are annotated.
      tables: {file name: rows}, annotations.
      videos: {name: file}.
      frames: {name of video: {number, counted from 1 at 1 fps: image}}.
      images: {name of video: its images in order}, of which no time is known.
      protocols: {name: split} as published, the default first.
    """

    phases: Sequence[str]
    tables: Mapping[str, Rows]
    videos: Mapping[str, Path] = field(default_factory=dict)
    frames: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    images: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    protocols: Mapping[str, Split] = field(default_factory=dict)


def matching(folder: Path, example: str, *patterns: str) -> list[dict[str, Path]]:
    """Files by their names, below a folder.

    Args:
      folder: the archive, unpacked.
      example: of a file that the first pattern is for.
      patterns: of the ends of paths with "/", regular expressions; their first group is the key.

    Returns:
      {key: file} for each pattern, in natural order; of two files with one key the first.

    Raises:
      InputError: there is no file of the first pattern.
    """
    found = [{} for _ in patterns]
    compiled = [re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE) for pattern in patterns]
    faults = []
    for file in list_files(folder, faults):
        path = file.relative_to(folder).as_posix()
        for files, pattern in zip(found, compiled, strict=True):
            if match := pattern.fullmatch(path):
                files.setdefault(match[1], file)
    for fault in faults:
        logger.warning("not used: %s", fault)
    if not found[0]:
        inner = [file.name for file in list_files(folder, []) if file.name.endswith(SUFFIXES)]
        advice = (
            f"it holds {some(inner)}: unpack that first" if inner else "expected another archive"
        )
        raise InputError(f"{folder}: no file like {example} in it; {advice}")
    return found
