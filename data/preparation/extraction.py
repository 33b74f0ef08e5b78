"""Video -> frames at a chosen rate, decoded by FFmpeg.

The n-th frame taken (n from 0) is source frame round(n * source rate / fps), halves up; where the
source's rate varies, it is the frame whose timestamp is nearest n / fps. The timestamps are known
before anything is decoded: `data/video/clock.py` reads them. A video in several files is extracted
as one (`data/video/parts.py`).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from data.common.cores import available_cores
from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.dataset.extraction_log import (
    LOG,
    changed_names,
    frame_numbers,
    is_extracted,
    note_state,
    read_log,
    taken_names,
    write_log,
)
from data.images.image_io import write_frame
from data.preparation.stillness import Stillness
from data.storage.folders import remove_folder
from data.video.decoding import check_settings
from data.video.names import unique_names
from data.video.parts import Parts, VideoFiles


def extract_frames(
    videos: Sequence[str | Path] | Mapping[str, Path | VideoFiles],
    frames_dir: str | Path,
    *,
    fps: float = 1.0,
    format: str = "jpg",
    quality: int = 95,
    size: int | None = None,
    workers: int | None = None,
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

    Returns:
      {name: reason} of the videos that could not be used, or not to their end.

    Raises:
      InputError: an argument is out of range, two videos have one name, or `frames_dir` was
        extracted with other settings.
    """
    check_settings(fps, format, quality, size, workers)
    frames_dir = Path(frames_dir)
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
    reasons = _forget_changed(videos, frames_dir, log)
    reasons |= taken_names(videos, frames_dir, log["videos"])
    note_state(videos, frames_dir, log)
    free = {name: video for name, video in videos.items() if name not in reasons}
    todo = {
        name: video
        for name, video in free.items()
        if not is_extracted(name, video, frames_dir, log["videos"])
    }
    reasons |= noted_faults(free.keys() - todo.keys(), log)
    if not todo:
        return dict(sorted(reasons.items()))
    cores = available_cores()
    workers = min(len(todo), workers or cores)
    threads = max(1, cores // workers)  # of one video: more would cost time by their coordination
    stop, lock = threading.Event(), threading.Lock()
    is_noted = (frames_dir / LOG).is_file()

    def note_settings():
        """Before the first frame is written: frames without a log are taken for others'."""
        with lock:
            if not (frames_dir / LOG).is_file():
                write_log(frames_dir, log)

    # Threads, not processes: FFmpeg decodes and OpenCV encodes without Python's lock.
    with ThreadPoolExecutor(workers) as pool, _Progress(pool, todo, fps) as progress:

        def extract(name, video):
            present = len(frame_numbers(frames_dir / name, name))
            state = video.state  # before it is read: what is written meanwhile is a change
            with video.open(name, frames_dir / f".{name}") as parts:
                note_settings()
                facts = _extract(name, parts, frames_dir, settings, threads, progress, stop)
            sizes = video.sizes
            facts |= {"bytes": sum(sizes), "source": video.sources[0]}
            facts |= state
            if present and name not in log["videos"]:
                facts["found"] = not is_noted or present >= facts["frames"]
            return facts | ({"parts": sizes} if len(sizes) > 1 else {})

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
    try:
        for job in as_completed(jobs):
            name = jobs[job]
            try:
                log["videos"][name] = job.result()
            except InputError as error:
                reasons[name] = str(error)
                continue
            reasons |= noted_faults([name], log)
            write_log(frames_dir, log)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    return {name: reasons[name] for name in files if name in reasons}


def noted_faults(names: Iterable[str], log: Mapping) -> dict[str, str]:
    """{name: what was damaged} of videos that are done, as far as it could be."""
    return {name: log["videos"][name]["fault"] for name in names if "fault" in log["videos"][name]}


def _forget_changed(
    videos: Mapping[str, VideoFiles], frames_dir: Path, log: dict
) -> dict[str, str]:
    """Removes what was extracted of files that have changed since.

    Returns:
      {name: reason} of those of which it stays, since the new file is no video, or it cannot be
      removed.
    """
    reasons = {}
    for name in changed_names(videos, frames_dir, log["videos"]):
        folder = frames_dir / name
        try:
            with videos[name].open(name, frames_dir / f".{name}"):
                pass
        except InputError as error:
            reasons[name] = f"{error}; the frames of the file before it stay"
            continue
        remove_folder(folder)  # before the note: a kill in between changes nothing
        if folder.exists():
            reasons[name] = f"{folder}: cannot be removed, but its video has changed; remove it"
            continue
        del log["videos"][name]
        write_log(frames_dir, log)
    return reasons


class _Progress:
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


def _extract(
    name: str,
    parts: Parts,
    frames_dir: Path,
    settings: Mapping,
    threads: int,
    progress: _Progress,
    stop: threading.Event,
) -> dict:
    """Writes the frames of one video that are missing.

    Returns:
      How many "frames" it has, the "seconds" that it lasts, and its own frames per second,
      "source_fps", None where they vary; where it is damaged a "fault" and the numbers of the
      frames that are "missing" for it, and where its clock "jumps", that in words.
    """
    clock, folder = parts.clock, frames_dir / name
    present = frame_numbers(folder, name)
    sources = clock.source_frames(settings["fps"]).tolist()
    missing = [(n, source) for n, source in enumerate(sources) if n + 1 not in present]
    progress.begin(name, len(sources), len(sources) - len(missing))

    def write(n, image):
        folder.mkdir(parents=True, exist_ok=True)
        write_frame(folder / f"{name}_{n + 1:06d}.{settings['format']}", image, settings)
        progress.advance()

    still, source_of = Stillness(clock), dict(missing)
    writing = deque()  # images that are encoded and written while the next ones are decoded
    with ThreadPoolExecutor(threads) as writers:
        try:
            for n, image in parts.decode(missing, threads):
                if stop.is_set():
                    raise InputError(f"{clock.video}: stopped")  # nobody waits for it any more
                still.see(source_of[n], image)
                writing.append(writers.submit(write, n, image))
                if len(writing) > threads:
                    writing.popleft().result()
        finally:  # of a damaged video too, the readable frames are kept
            for written in writing:
                written.result()
    parts.check_end()
    rate = float(clock.rate) if clock.rate else None
    facts = {"frames": len(sources), "seconds": round(clock.seconds, 3), "source_fps": rate}
    if fault := "; ".join(filter(None, (parts.damage(), still.fault()))):
        lost = {n + 1 for n, _ in missing} - frame_numbers(folder, name)
        facts |= {"fault": fault, "missing": sorted(lost)}
    if jumps := "; ".join(filter(None, (clock.jumps() for clock in parts.clocks))):
        facts["jumps"] = jumps
    return facts
