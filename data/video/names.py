"""Which files are videos, and what the videos are called."""

import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.common.errors import InputError
from data.images.names import plain_path

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".divx", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


def name_videos(
    folder: Path, files: Iterable[Path], remarks: list[str], known: Mapping[str, str] | None = None
) -> dict[str, Path]:
    """Names videos by where they lie below `folder`: `case 1/left.mp4` is "case 1_left".

    Where several would have one name, the first keeps it: `op.avi` is "op", `op.mkv` "op_mkv".
    Before that, a file keeps the name that it has in `known`, {hash of its place (`sources_of`):
    name}. `remarks` receives a line for each that is called otherwise.
    """
    known, kept, named = known or {}, {}, []
    for file in files:
        name = "_".join(file.relative_to(folder).with_suffix("").parts)
        before = next((known[source] for source in sources_of(file) if source in known), None)
        if before is None or before in kept:
            named.append((name, file))
            continue
        kept[before] = file
        if before != name:
            remarks.append(f"{file}: named {before}, as before")
    return names_apart(named, remarks, kept)


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video; hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def sources_of(file: Path) -> tuple[str, str]:
    """Hashes of where a file lies, for paths may name a patient.

    One of the plain path; and one of the path as it is written, "..", too, which earlier logs have.
    """
    paths = plain_path(file), file.absolute()
    return tuple(hashlib.sha256(os.fsencode(path)).hexdigest()[:16] for path in paths)


def names_apart(
    named: Iterable[tuple[str, Path]], remarks: list[str], kept: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """A mapping of pairs (name, file); a name that is taken gets the file's suffix, or a number.

    The names `kept` are taken, and in it.
    """
    named = list(named)
    videos, wanted = dict(kept or {}), {name for name, _ in named}
    for name, file in named:
        others = itertools.chain((file.suffix.lstrip("."),), itertools.count(2))
        free = (f"{name}_{other}" for other in others)
        new = (
            name
            if name not in videos
            else next(n for n in free if n not in videos and n not in wanted)
        )
        if new != name:
            remarks.append(f"{file}: named {new}, as {name} is {videos[name]}")
        videos[new] = file
    return videos


def unique_names(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """A mapping of pairs (name, file); raises `InputError` if two have one name."""
    videos = {}
    for name, file in named:
        if name in videos:
            raise InputError(f"{file} and {videos[name]}: both would be named {name}; rename one")
        videos[name] = file
    return videos
