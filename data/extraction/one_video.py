"""The frames of one video, and what the log of extraction says of it.

Threads of one process and workers of a cluster call the same function, so that what they write is
the same.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from data.common.errors import InputError
from data.dataset.extraction_log import frame_numbers
from data.extraction.stillness import Stillness
from data.images.image_io import write_frame
from data.storage.folders import copy_file, copy_folder
from data.storage.locking import scratch_folder
from data.storage.paths import AnyPath, is_remote
from data.video.parts import Parts, VideoFiles


class Unwatched:
    """How far a video is, for nobody."""

    def begin(self, name: str, total: int, present: int) -> None:
        """Of a video: how many frames it has, and how many are there."""

    def advance(self) -> None:
        """One more frame is there."""


UNWATCHED = Unwatched()


def extract_video(
    name: str,
    video: VideoFiles,
    frames_dir: AnyPath,
    settings: Mapping,
    *,
    present: int = 0,
    is_noted: bool = True,
    threads: int = 1,
    progress: Unwatched = UNWATCHED,
    before: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
    writer: str = "",
) -> dict:
    """Writes the frames of one video that are missing, as `extracting.extract_frames` says.

    A video on an object store is fetched as a whole; frames for one are written here first, and
    stored when all are there: of a video that was stopped nothing is.

    Args:
      settings: fps, format, quality, size.
      present: how many frames of a video that no log has were there before.
      is_noted: whether there was a log before.
      threads: that decode and encode.
      progress: is told how far it is.
      before: called when the video is known to be one, before its first frame is written.
      stop: set where nobody waits for the frames any more.
      writer: as for `data.storage.whole.whole_file`.

    Returns:
      What the log says of it (`data.dataset.extraction_log.read_log`).

    Raises:
      InputError: it cannot be used.
    """
    stop = stop or threading.Event()
    with staged(video, name, frames_dir) as (local, place):
        state = video.state_by(local)  # before it is read: what is written meanwhile is a change
        try:
            with local.open(name, place / f".{name}") as parts:
                before()
                facts = _extract(name, parts, place, settings, threads, progress, stop, writer)
        except InputError as error:
            raise InputError(_named(str(error), local, video)) from error
        facts |= {
            key: _named(facts[key], local, video) for key in ("fault", "jumps") if key in facts
        }
        sizes = video.sizes
        facts |= {"bytes": sum(sizes), "source": video.sources[0]}
        facts |= state
        if "fault" in facts:
            facts["head"] = local.head
        if present and (not is_noted or present >= facts["frames"]):
            facts["found"] = True
        return facts | ({"parts": sizes} if len(sizes) > 1 else {})


@contextlib.contextmanager
def staged(video: VideoFiles, name: str, frames_dir: AnyPath):
    """Context with (files, folder of frames) on this machine, for what is on object stores.

    Frames are stored at the end, also those of a video that is damaged.
    """
    if not is_remote(frames_dir) and not any(map(is_remote, video.files)):
        yield video, frames_dir
        return
    with scratch_folder("extracting-") as scratch:
        files, place = [], frames_dir
        for number, file in enumerate(video.files):
            files.append(file)
            if is_remote(file):
                files[-1] = Path(scratch, str(number), file.name)
                files[-1].parent.mkdir()
                copy_file(file, files[-1])
        if is_remote(frames_dir):
            place = Path(scratch, "frames")
            place.mkdir()
        try:
            yield replace(video, files=tuple(files)), place
        except InputError:
            _store(place / name, frames_dir / name)
            raise
        _store(place / name, frames_dir / name)


def _store(folder: Path, target: AnyPath) -> None:
    if is_remote(target):
        copy_folder(folder, target)


def _named(text: str, local: VideoFiles, video: VideoFiles) -> str:
    """A text about copies, about the files that they are of."""
    for copy, file in zip(local.files, video.files, strict=True):
        text = text.replace(str(copy), str(file))
    return text


def _extract(
    name: str,
    parts: Parts,
    frames_dir: Path,
    settings: Mapping,
    threads: int,
    progress: Unwatched,
    stop: threading.Event,
    writer: str,
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
        path = folder / f"{name}_{n + 1:06d}.{settings['format']}"
        write_frame(path, image, settings, writer)
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
