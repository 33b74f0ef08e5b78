"""The clocks of many videos, read by several threads and kept."""

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from data.common.errors import InputError, reason_of, say_problem
from data.common.logs import logger
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.storage.cached_table import cached_table
from data.video.clock import Clock, read_clock
from data.video.names import content_digest
from data.video.parts import Parts, VideoFiles

KEPT_SECONDS = 90 * 24 * 3600
FORMAT = 9  # of what is kept: another one where clocks are read in another way


def read_clocks(videos: Mapping[str, Path]) -> tuple[dict[str, Clock], dict[str, str]]:
    """Reads the clocks of videos; all packets of all files are read for it, undecoded.

    Args:
      videos: {name: file}.

    Returns:
      {name: clock} of the videos that have one, and {name: why} of those that cannot be used, or
      only as far as they go.
    """
    clocks, faults = {}, {}
    with ThreadPoolExecutor(available_cores()) as pool:  # FFmpeg reads without Python's lock
        results = pool.map(_read_clock, videos.values())
        bar = ProgressBar(results, "time stamps", len(videos), unit="video", delay=1)
        for name, (clock, fault) in zip(videos, bar, strict=True):
            if clock:
                clocks[name] = clock
                if clock.jumps():
                    logger.warning("%s: %s", clock.video, clock.jumps())
            if fault:
                faults[name] = fault
    return clocks, faults


def read_parts(
    videos: Mapping[str, VideoFiles], scratch: Path
) -> tuple[dict[str, Parts], dict[str, str]]:
    """The same for videos in several files, or in DICOM files.

    Args:
      videos: {name: its files}.
      scratch: a folder to take videos out of DICOM files into, each into one of its name.
    """

    def read(item):
        name, files = item
        try:
            parts = files.read(name, scratch)
        except InputError as error:
            return None, str(error).replace(f"{scratch}/", "")
        except OSError as error:  # of a disk that is full or away; the other videos go on
            files.forget(name, scratch)
            reason = reason_of(error)
            return None, f"{name}: {reason}, where it was read, or copied to {scratch.parent}"
        return parts, parts.fault.replace(f"{scratch}/", "")

    found, faults = {}, {}
    with ThreadPoolExecutor(available_cores()) as pool:
        results = pool.map(read, videos.items())
        bar = ProgressBar(results, "time stamps", len(videos), unit="video", delay=1)
        for name, (parts, fault) in zip(videos, bar, strict=True):
            if parts:
                found[name] = parts
                for clock in parts.clocks:
                    if clock.jumps():
                        logger.warning("%s: %s", name, clock.jumps())
            if fault:
                faults[name] = fault
    return found, faults


def _read_clock(file: Path) -> tuple[Clock | None, str | None]:
    clock = None
    try:
        clock = read_clock(file)
        clock.check_end()
    except InputError as error:
        return clock, str(error)
    except OSError as error:  # a network disk is away
        return clock, f"{file}: {reason_of(error)}"
    return clock, None


def kept_timings(
    videos: Mapping[str, Path], fps: float, folder: Path
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray, float]], dict[str, str]]:
    """Which frames to take of each video at `fps`; kept video by video, for 90 days.

    A video with a fault is read each time: permission, or a network disk, is mended without
    a change of its file.

    Args:
      videos: {name: file}.
      fps: frames per second to take.
      folder: where the results are kept; where it cannot be made, they are made each time.

    Returns:
      {name: what `Clock.take` returns} of the videos that have a clock, and {name: why} of those
      that cannot be used, or only as far as they go.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.npz"):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()

    def is_faultless(table):
        return not str(table["fault"])

    def read(file):
        make, content = partial(_make_timing, file, fps), _kept_content(file, folder)
        path = _kept(folder, f"{FORMAT} {fps} {file.absolute()} {content}")
        try:
            return cached_table(path, [file], make, is_faultless)
        except OSError:  # moved away since it was listed: that is its fault, and no other video's
            return make()

    timings, faults = {}, {}
    with ThreadPoolExecutor(available_cores()) as pool:
        results = pool.map(read, videos.values())
        bar = ProgressBar(results, "time stamps", len(videos), unit="video", delay=1)
        for name, table in zip(videos, bar, strict=True):
            if table["is_video"]:
                timings[name] = table["numbers"], table["seconds"], float(table["first"])
            if jumps := str(table["jumps"]):
                logger.warning("%s: %s", videos[name], jumps)
            if fault := str(table["fault"]):
                faults[name] = fault
    return timings, faults


def kept_contents(videos: Mapping[str, Path], folder: Path | None) -> dict[str, str]:
    """What `content_digest` says of videos, {name: digest}, "" of those that cannot be read.

    Only they tell a file that another of the same size has replaced whose time of change was set
    to that of the one before (`cp -p`, `rsync --times`). A file is read again when the time changes
    that no program sets (ctime).

    Args:
      videos: {name: file}.
      folder: where it is kept; None: every file is read.
    """
    if folder is not None:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(available_cores()) as pool:
        found = pool.map(partial(_kept_content, folder=folder), videos.values())
        bar = ProgressBar(found, "samples", len(videos), unit="video", delay=1)
        return dict(zip(videos, bar, strict=True))


def _kept_content(file: Path, folder: Path | None) -> str:
    try:
        if folder is None:
            return content_digest(file)
        path = _kept(folder, f"content {file.absolute()}")
        table = cached_table(
            path, [file], lambda: {"content": np.array(content_digest(file))}, by_ctime=True
        )
        return str(table["content"])
    except OSError:  # its fault is said where its clock is read
        return ""


def _kept(folder: Path, what: str) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(what)).hexdigest()[:32]}.npz"


def _make_timing(file: Path, fps: float) -> dict[str, np.ndarray]:
    """A table of numbers, seconds and first as `Clock.take` gives them, with fault and jumps."""
    clock, fault = _read_clock(file)
    numbers, seconds, first = clock.take(fps) if clock else ((), (), 0.0)
    return {
        "is_video": np.array(clock is not None),
        "numbers": np.asarray(numbers, np.int32),
        "seconds": np.asarray(seconds, np.float64),
        "first": np.array(first, np.float64),
        "fault": np.array(fault or ""),
        "jumps": np.array((clock and clock.jumps()) or ""),
    }


def read_timings(
    videos: Mapping[str, Path], fps: float, cache: Path
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Which frames to take of each video at `fps`, and when they are shown.

    Reading the clocks takes as long as the disk needs; so the result is kept.

    Args:
      videos: {name: file}.
      fps: frames per second to take.
      cache: where the result is kept.

    Returns:
      {name: what `Clock.take` returns}. Files that are no videos are named in the log and left out.
    """
    table = cached_table(cache, list(videos.values()), lambda: _make_timings(videos, fps))
    timings, start = {}, 0
    for name, count, first in zip(
        *(table[column].tolist() for column in ("names", "counts", "firsts")), strict=True
    ):
        rows = slice(start, start := start + count)
        timings[name] = table["numbers"][rows], table["seconds"][rows], first
    for name in videos.keys() - timings.keys():
        logger.warning("%s: cannot be read as a video; not used", videos[name])
    return timings


def _make_timings(videos: Mapping[str, Path], fps: float) -> dict[str, np.ndarray]:
    clocks, faults = read_clocks(videos)
    for fault in faults.values():
        logger.warning("%s", say_problem(fault))
    timings = [clock.take(fps) for clock in clocks.values()]
    return {
        "names": np.array(list(clocks), np.str_),
        "counts": np.array([len(numbers) for numbers, *_ in timings], np.int64),
        "firsts": np.array([first for *_, first in timings], np.float64),
        "numbers": np.concatenate([np.empty(0, np.int32), *(numbers for numbers, *_ in timings)]),
        "seconds": np.concatenate([np.empty(0), *(seconds for _, seconds, _ in timings)]),
    }
