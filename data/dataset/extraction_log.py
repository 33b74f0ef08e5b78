"""What extraction leaves in a frames folder: its settings, and which videos are complete."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from data.common.errors import InputError
from data.images.linking import ROUGH
from data.images.names import is_image, official_number
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import write_json
from data.video.names import KnownNames
from data.video.parts import VideoFiles

LOG = "extraction.json"  # in the frames folder: the settings, and which videos are complete
NEW = ".extraction.jsonl"  # beside it: a line for each video that is complete since it was written
NONE_KNOWN: Mapping[str, int] = MappingProxyType({})


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
        "source_fps", "source", a hash of where its file lies, "modified", when its files were
        changed last, in seconds, "changed", the same by their ctime, "content", digests of samples
        of them, and "folder", a hash of the name of the one they are in; where it is damaged a
        "fault", the frames that are "missing" and "head", a digest of its first bytes; "jumps" of
        its clock, in words, and whether its frames were "found", that is, there before anything was
        extracted.
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
    log["videos"] |= _new_videos(frames_dir)
    for key, value in (settings or {}).items():
        if log.get(key) != value:
            raise InputError(
                f"{key}={value}: {frames_dir} was extracted with {key}={log.get(key)}; "
                "give the same, or use another --name"
            )
    return log


def known_names(frames_dir: Path) -> KnownNames:
    """The names that videos have in a log; those of videos in several files are free for files."""
    places, states, taken, operations, heads = {}, {}, set(), {}, {}
    for name, noted in read_log(frames_dir)["videos"].items():
        if "parts" in noted:
            operations[noted.get("source")] = name
            continue
        states[name, noted.get("bytes")] = (noted.get("content") or [None])[0]
        if "source" in noted:
            places.setdefault(noted["source"], name)
            taken.add(name)
        if head := noted.get("head"):
            heads.setdefault(head, name)
    return KnownNames(places, states, frozenset(taken), operations, heads)


def write_log(frames_dir: Path, log: Mapping) -> None:
    """Writes what `read_log` reads."""
    frames_dir.mkdir(parents=True, exist_ok=True)
    write_json(frames_dir / LOG, log)
    if not is_remote(frames_dir):
        (frames_dir / NEW).unlink(missing_ok=True)


@contextlib.contextmanager
def growing_log(frames_dir: Path, log: Mapping) -> Iterator[Callable[[str], None]]:
    """Context with a function (name) that notes, as a line of `NEW`, a video that is new in `log`.

    The log of thousands of videos, written for each of them, would take hours; so it is written at
    the end, whatever has ended it, and `read_log` reads both.
    """
    noted, new = [], frames_dir / NEW

    def note(name: str) -> None:
        if not noted and (new.is_file() or not (frames_dir / LOG).is_file()):
            write_log(frames_dir, log)
        else:
            with new.open("a") as lines:
                lines.write(json.dumps([name, log["videos"][name]]) + "\n")
        noted.append(name)

    try:
        yield note
    finally:
        if noted:
            write_log(frames_dir, log)


def _new_videos(frames_dir: AnyPath) -> dict:
    """What a killed process has noted of the videos that were complete."""
    found = {}
    if not is_remote(frames_dir):
        with contextlib.suppress(FileNotFoundError, ValueError):  # cut off by a kill
            for line in (frames_dir / NEW).read_text().splitlines():
                name, found[name] = json.loads(line)
    return found


def is_complete(
    name: str, frames_dir: Path, done: Mapping[str, Mapping], known: Mapping[str, int] = NONE_KNOWN
) -> bool:
    """Whether all frames of a video are there, but for those that are damaged in the video.

    Args:
      name: of the video.
      frames_dir: where its folder is.
      done: the "videos" of a log.
      known: {video: n} of those of which it is known that frames 1 to n are there.
    """
    if name not in done:
        return False
    if known.get(name, 0) >= done[name]["frames"]:
        return True
    expected = set(range(1, done[name]["frames"] + 1)) - set(done[name].get("missing", ()))
    return frame_numbers(frames_dir / name, name) >= expected


def taken_names(
    others: Mapping[str, bool], frames_dir: Path, done: Mapping[str, Mapping]
) -> dict[str, str]:
    """{name: reason} of the videos under whose name there are frames that are to stay.

    Another file was extracted under it before, or they were there before anything was extracted.
    `others` are as `other_files` returns them.
    """
    reasons = {}
    for name, is_same_place in others.items():
        if not is_same_place:
            reasons[name] = f"{name}: another video has this name in this dataset; rename one"
        elif _is_found(name, frames_dir, done):
            reasons[name] = (
                f"{name}: its file has changed, and its frames, which were not extracted here, "
                f"stay; remove {frames_dir / name} to have them extracted"
            )
    return reasons


def changed_names(
    others: Mapping[str, bool], frames_dir: Path, done: Mapping[str, Mapping]
) -> list[str]:
    """The names of those `other_files` that are videos extracted here, changed since."""
    return [name for name in others if others[name] and not _is_found(name, frames_dir, done)]


def _is_found(name: str, frames_dir: Path, done: Mapping[str, Mapping]) -> bool:
    """Whether frames are there that were there before anything was extracted."""
    return done[name].get("found", False) and (frames_dir / name).is_dir()


def other_files(videos: Mapping[str, VideoFiles], done: Mapping[str, Mapping]) -> dict[str, bool]:
    """{name: whether it is the same video} of the videos of which another file was extracted.

    It is where the file lies where it lay, or the one before was damaged and began as it does. One
    that has got more parts since is the same.
    """
    others = {}
    for name, video in videos.items():
        if name in done and (states := video.found()):
            noted = _noted_sizes(done[name])
            sizes = [state.st_size for state in states]
            if sizes[: len(noted)] != noted or _is_later(video, states, done[name]):
                others[name] = done[name].get("source") in video.sources or _is_mended(
                    video, done[name]
                )
    return others


def _is_later(video: VideoFiles, states: Sequence[os.stat_result], noted: Mapping) -> bool:
    """Whether a file has other contents since it was noted when it was changed last.

    A file that was only touched, or copied, has the same. Earlier versions noted neither. Samples
    do not tell whether a damaged file has been mended between them: written anew in its place, it
    counts as later.
    """
    content = noted.get("content", ())
    if _is_touched(states, noted):
        if "fault" in noted and noted.get("source") in video.sources:
            return True
    elif not content or not _is_changed(states, noted):
        return False
    return not content or video.content[: len(content)] != content


def _is_mended(video: VideoFiles, noted: Mapping) -> bool:
    """Whether a file was damaged that begins as this one does."""
    return bool(head := noted.get("head")) and head == video.head


def _is_touched(states: Sequence[os.stat_result], noted: Mapping) -> bool:
    pairs = zip(states, noted.get("modified", ()), strict=False)
    return any(abs(now.st_mtime - then) > ROUGH for now, then in pairs)


def _is_changed(states: Sequence[os.stat_result], noted: Mapping) -> bool:
    """Whether a file may have been replaced by one with its times; earlier versions cannot say."""
    then = noted.get("changed", ())
    return [state.st_ctime for state in states[: len(then)]] != then or not then


def is_extracted(
    name: str,
    video: VideoFiles,
    frames_dir: Path,
    done: Mapping[str, Mapping],
    known: Mapping[str, int] = NONE_KNOWN,
) -> bool:
    """Whether all frames of a video are there, and it has got no more parts since.

    The others are those of `is_complete`.
    """
    return is_complete(name, frames_dir, done, known) and _noted_sizes(done[name]) == video.sizes


def _noted_sizes(noted: Mapping) -> list[int]:
    return noted.get("parts", [noted["bytes"]])


def note_state(videos: Mapping[str, VideoFiles], frames_dir: Path, log: dict) -> None:
    """Notes the state of files that were touched or moved, or whose state was not noted.

    Args:
      videos: those that are none of `other_files`.
      frames_dir: where the log is.
      log: as `read_log` returns it.
    """
    done, late = log["videos"], []
    for name, video in videos.items():
        if name not in done or len(states := video.found()) < len(video.files):
            continue
        noted = done[name]
        if (
            "modified" not in noted
            or _is_touched(states, noted)
            or _is_changed(states, noted)
            or noted.get("source") not in video.sources
        ):
            late.append(name)
    for name in late:
        done[name] |= videos[name].state | {"source": videos[name].sources[0]}
    if late:
        write_log(frames_dir, log)
