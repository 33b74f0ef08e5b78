"""Which files are videos, and what the videos are called."""

from collections.abc import Iterable
from pathlib import Path

from data.common.errors import InputError

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".divx", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


def name_videos(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Names videos by where they lie below `folder`: `case 1/left.mp4` is "case 1_left".

    Raises:
      InputError: two of them would have the same name.
    """
    return unique_names(
        ("_".join(file.relative_to(folder).with_suffix("").parts), file) for file in files
    )


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video; hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def unique_names(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """A mapping of pairs (name, file); raises `InputError` if two have one name."""
    videos = {}
    for name, file in named:
        if name in videos:
            raise InputError(f"{file} and {videos[name]}: both would be named {name}; rename one")
        videos[name] = file
    return videos
