"""Video -> frames at a chosen rate, decoded by FFmpeg.

The n-th frame taken (n from 0) is source frame round(n * source rate / fps), halves up; where the
source's rate varies, it is the frame whose timestamp is nearest n / fps. The timestamps are known
before anything is decoded: `data/video/clock.py` reads them. A video in several files is extracted
as one (`data/video/parts.py`).
"""

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from data.common.errors import InputError
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.dataset.extraction_log import (
    LOG,
    NONE_KNOWN,
    changed_names,
    frame_numbers,
    growing_log,
    is_extracted,
    note_state,
    other_files,
    read_log,
    taken_names,
    write_log,
)
from data.extraction.calls import Spread
from data.extraction.one_video import Unwatched, extract_video, staged
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, to_path
from data.storage.whole import remove_parts
from data.video.decoding import check_settings
from data.video.names import unique_names
from data.video.parts import VideoFiles


def extract_frames(
    videos: Sequence[str | Path] | Mapping[str, Path | VideoFiles],
    frames_dir: str | AnyPath,
    *,
    fps: float = 1.0,
    format: str = "jpg",
    quality: int = 95,
    size: int | None = None,
    workers: int | None = None,
    spread: Spread | None = None,
    known: Mapping[str, int] = NONE_KNOWN,
) -> dict[str, str]:
    """Writes `frames_dir/<video>/<video>_NNNNNN.<format>`, NNNNNN counted from 1.

    Frames that are there, in whatever image format, are kept; a video whose frames are complete is
    not opened again, unless its file has changed: then its frames are removed first, if they were
    extracted here and the new file is a video. Stopped at any moment, the next call goes on.

    Args:
      videos: files, named by their stems; or a mapping from names to a file or several.
      frames_dir: made where it is missing.
      fps: frames per second of video.
      format: "jpg" or "png".
      quality: of JPEG, 1..100.
      size: shorter side in pixels; larger frames are reduced to it. None keeps the size.
      workers: videos decoded at the same time; None for one per core.
      spread: has workers elsewhere extract them, as `data.preparation.on_beam.Beam` does.
      known: {video: n} of those of which it is known that frames 1 to n are there.

    Returns:
      {name: reason} of the videos that could not be used, or not to their end.

    Raises:
      InputError: an argument is out of range, two videos have one name, or `frames_dir` was
        extracted with other settings.
    """
    check_settings(fps, format, quality, size, workers)
    frames_dir = to_path(frames_dir)
    if not isinstance(videos, Mapping):
        videos = unique_names((Path(video).stem, Path(video)) for video in videos)
    videos = {
        name: video if isinstance(video, VideoFiles) else VideoFiles((video,))
        for name, video in videos.items()
    }
    settings = {"fps": fps, "format": format, "quality": quality, "size": size}
    log = read_log(frames_dir, settings)
    if fps != 1 and not (frames_dir / LOG).is_file() and any(frames_dir.glob("*/*_*.*")):
        raise InputError(
            f"fps={fps}: {frames_dir} holds frames already, most likely at 1 fps; "
            "use another --name or --fps=1"
        )
    others = other_files(videos, log["videos"])
    reasons = _forget_changed(videos, others, frames_dir, log)
    others = {name: others[name] for name in others if name in log["videos"]}
    reasons |= taken_names(others, frames_dir, log["videos"])
    same = {name: video for name, video in videos.items() if name not in others}
    note_state(same, frames_dir, log)
    free = {name: video for name, video in videos.items() if name not in reasons}
    todo = {
        name: video
        for name, video in free.items()
        if not is_extracted(name, video, frames_dir, log["videos"], known)
    }
    reasons |= noted_faults(free.keys() - todo.keys(), log)
    if not todo:
        return dict(sorted(reasons.items()))
    is_noted = (frames_dir / LOG).is_file()
    lock = threading.Lock()

    def note_settings():
        """Before the first frame is written: frames without a log are taken for others'."""
        with lock:
            if not (frames_dir / LOG).is_file():
                write_log(frames_dir, log)

    def call(name, video):
        present = 0 if name in log["videos"] else len(frame_numbers(frames_dir / name, name))
        before = {"present": present, "is_noted": is_noted}
        return functools.partial(extract_video, name, video, frames_dir, settings, **before)

    if spread:
        note_settings()
        calls = {name: call(name, video) for name, video in todo.items()}
        reasons |= _extract_elsewhere(todo, calls, frames_dir, log, spread)
        return dict(sorted(reasons.items()))
    cores = available_cores()
    workers = min(len(todo), workers or cores)
    threads = max(1, cores // workers)  # of one video: more would cost time by their coordination
    stop = threading.Event()
    # Threads, not processes: FFmpeg decodes and OpenCV encodes without Python's lock.
    with ThreadPoolExecutor(workers) as pool, _Progress(pool, todo, fps) as progress:
        ours = {"threads": threads, "progress": progress, "before": note_settings, "stop": stop}

        def extract(name, video):
            facts = call(name, video)(**ours)
            remove_parts(frames_dir / name)  # of workers elsewhere that died before
            return facts

        reasons |= extract_all(todo, frames_dir, log, extract, pool, stop)
    return dict(sorted(reasons.items()))


def extract_all(
    files: Mapping[str, Path | VideoFiles],
    frames_dir: Path,
    log: dict,
    extract: Callable[[str, Path | VideoFiles], dict],
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> dict[str, str]:
    """Extracts videos in a pool of threads, and notes each that is complete.

    Args:
      files: {name of the video: its file or files}.
      frames_dir: where the notes are written.
      log: as `read_log` returns it; it is added to.
      extract: writes the frames of a video (name, file) and returns what the log says of it, of
        which "frames" is how many it has, and "bytes" how large its file is.
      pool: runs `extract`; it is shut down.
      stop: is set after an error or Ctrl-C, so that what runs does not go on.

    Returns:
      {name: reason} of the videos for which `extract` raised `InputError`.
    """
    reasons = {}
    jobs = {pool.submit(extract, name, path): name for name, path in files.items()}
    with growing_log(frames_dir, log) as note:
        try:
            for job in as_completed(jobs):
                name = jobs[job]
                try:
                    log["videos"][name] = job.result()
                except InputError as error:
                    reasons[name] = str(error)
                    continue
                reasons |= noted_faults([name], log)
                note(name)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return {name: reasons[name] for name in files if name in reasons}


def _extract_elsewhere(
    videos: Mapping[str, VideoFiles], calls: Mapping, frames_dir: AnyPath, log: dict, spread: Spread
) -> dict[str, str]:
    """Has workers extract videos, and notes them all; returns as `extract_all`."""
    reasons = {}
    settings = {key: log.get(key) for key in ("fps", "format", "quality", "size")}
    keys = {
        name: f"{name} {settings} {video.sources} {video.sizes} {video.modified} {video.changed}"
        for name, video in videos.items()
    }
    for name, found in spread("extract", calls, keys):
        if isinstance(found, InputError):
            reasons[name] = str(found)
            continue
        log["videos"][name] = found
        reasons |= noted_faults([name], log)
        remove_parts(frames_dir / name)  # of workers that died
    write_log(frames_dir, log)
    return reasons


def noted_faults(names: Iterable[str], log: Mapping) -> dict[str, str]:
    """{name: what was damaged} of videos that are done, as far as it could be."""
    return {name: log["videos"][name]["fault"] for name in names if "fault" in log["videos"][name]}


def _forget_changed(
    videos: Mapping[str, VideoFiles], others: Mapping[str, bool], frames_dir: Path, log: dict
) -> dict[str, str]:
    """Removes what was extracted of files that have changed since.

    Returns:
      {name: reason} of those of which it stays, since the new file is no video, or it cannot be
      removed.
    """
    reasons, changed = {}, changed_names(others, frames_dir, log["videos"])
    try:
        for name in changed:
            folder = frames_dir / name
            try:
                with (
                    staged(videos[name], name, frames_dir) as (local, place),
                    local.open(name, place / f".{name}"),
                ):
                    pass
            except InputError as error:
                reasons[name] = f"{error}; the frames of the file before it stay"
                continue
            remove_folder(folder)  # before the note: a kill in between changes nothing
            if folder.exists():
                reasons[name] = f"{folder}: cannot be removed, but its video has changed; remove it"
                continue
            del log["videos"][name]
    finally:
        if reasons.keys() != set(changed):
            write_log(frames_dir, log)
    return reasons


class _Progress(Unwatched):
    """A bar over the frames of all videos, fed from several threads.

    The total is estimated from the files' headers and put right as the videos are read.
    """

    def __init__(self, pool: ThreadPoolExecutor, videos: Mapping[str, VideoFiles], fps: float):
        seconds = pool.map(VideoFiles.estimate_seconds, videos.values())
        self._estimates = {name: round(s * fps) for name, s in zip(videos, seconds, strict=True)}
        self._bar = ProgressBar(desc="extract", unit="frame", total=sum(self._estimates.values()))
        self._lock = threading.Lock()

    def begin(self, name: str, total: int, present: int) -> None:
        with self._lock:
            self._bar.total += total - self._estimates[name]
            self._bar.update(present)

    def advance(self) -> None:
        with self._lock:
            self._bar.update()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()
