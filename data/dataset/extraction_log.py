"""What extraction leaves in a frames folder: its settings, and which videos are complete."""

import json
from collections.abc import Mapping
from pathlib import Path

from data.common.errors import InputError
from data.images.names import is_image, official_number
from data.storage.paths import AnyPath
from data.storage.whole import write_json

LOG = "extraction.json"  # in the frames folder: the settings, and which videos are complete


def frame_numbers(folder: Path, video: str) -> set[int]:
    """The numbers NNNNNN of the frames `<video>_NNNNNN` that a folder holds, in any format."""
    files = folder.iterdir() if folder.is_dir() else ()
    numbers = {official_number(file.stem, video) for file in files if is_image(file.name)}
    return numbers - {None}


def read_log(frames_dir: AnyPath, settings: Mapping | None = None) -> dict:
    """What `extract_frames` notes in its folder: its settings and the videos that are complete.

    Args:
      frames_dir: the folder; without a log in it, the answer is `settings` and no videos. "videos"
        has "frames" and "bytes" of each that is complete, and since they are noted "seconds",
        "source_fps" and "source", a hash of where its file lies; a "fault" and the frames that are
        "missing" where it is damaged, "jumps" of its clock, in words, and whether its frames were
        "found", that is, there before anything was extracted.
      settings: fps, format, quality, size that are asked for now; None accepts any.

    Raises:
      InputError: the frames in the folder have other settings.
    """
    path = frames_dir / LOG
    if not path.is_file():
        return {**(settings or {"fps": 1.0}), "videos": {}}
    try:
        log = json.loads(path.read_text())
        float(log["fps"])
        dict(log["videos"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged; delete it, frames that are there are kept") from error
    for key, value in (settings or {}).items():
        if log.get(key) != value:
            raise InputError(
                f"{key}={value}: {frames_dir} was extracted with {key}={log.get(key)}; "
                "give the same, or use another --name"
            )
    return log


def known_names(frames_dir: Path) -> dict[str, str]:
    """{hash of where a file lies: the name of its video}, of a log; not of videos in several."""
    names = {}
    for name, noted in read_log(frames_dir)["videos"].items():
        if "source" in noted and "parts" not in noted:
            names.setdefault(noted["source"], name)
    return names


def write_log(frames_dir: Path, log: Mapping) -> None:
    """Writes what `read_log` reads."""
    frames_dir.mkdir(parents=True, exist_ok=True)
    write_json(frames_dir / LOG, log)


def is_complete(name: str, frames_dir: Path, done: Mapping[str, Mapping]) -> bool:
    """Whether all frames of a video are there; `done` is the "videos" of a log.

    Those that are damaged in the video cannot be.
    """
    if name not in done:
        return False
    expected = set(range(1, done[name]["frames"] + 1)) - set(done[name].get("missing", ()))
    return frame_numbers(frames_dir / name, name) >= expected
