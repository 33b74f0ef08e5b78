"""The clocks of many videos, read by several threads and kept."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.common.cores import available_cores
from data.common.errors import InputError
from data.storage.cached_table import cached_table
from data.video.clock import Clock, read_clock


def read_timings(
    videos: Mapping[str, Path], fps: float, cache: Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Which frames to take of each video at `fps`, and when they are shown.

    All packets of all files are read for it, undecoded, which takes as long as the disk needs; so
    the result is kept.

    Args:
      videos: {name: file}.
      fps: frames per second to take.
      cache: where the result is kept.

    Returns:
      {name: (int32 [n] numbers of frames, float64 [n] seconds since the first frame)}. Files that
      are no videos are named in the log and left out.
    """
    table = cached_table(cache, list(videos.values()), lambda: _make_timings(videos, fps))
    timings, start = {}, 0
    for name, count in zip(table["names"].tolist(), table["counts"].tolist(), strict=True):
        rows = slice(start, start := start + count)
        timings[name] = table["numbers"][rows], table["seconds"][rows]
    for name in videos.keys() - timings.keys():
        logging.warning("%s: cannot be read as a video; not used", videos[name])
    return timings


def _make_timings(videos: Mapping[str, Path], fps: float) -> dict[str, np.ndarray]:
    clocks = {}
    with ThreadPoolExecutor(available_cores()) as pool:  # OpenCV reads without Python's lock
        read = tqdm(
            pool.map(_try_clock, videos.values()),
            desc="time stamps",
            total=len(videos),
            unit="video",
            disable=None,
        )
        for name, clock in zip(videos, read, strict=True):
            if clock:
                clocks[name] = clock
    numbers = [clock.source_frames(fps) for clock in clocks.values()]
    seconds = [clock.times[n] for clock, n in zip(clocks.values(), numbers, strict=True)]
    return {
        "names": np.array(list(clocks), np.str_),
        "counts": np.array([len(n) for n in numbers], np.int64),
        "numbers": np.concatenate([np.empty(0), *numbers]).astype(np.int32),
        "seconds": np.concatenate([np.empty(0), *seconds]),
    }


def _try_clock(video: Path) -> Clock | None:
    try:
        clock = read_clock(video)
    except InputError as error:
        logging.warning("not used: %s", error)
        return None
    try:
        clock.check_end()
    except InputError as error:
        logging.warning("used as far as it goes: %s", error)
    return clock


def read_clocks(files):
    """The clocks of all videos that have one, and a line for each with a fault."""

    def read(file):
        try:
            clock = read_clock(file)
        except InputError as error:
            return None, str(error)
        try:
            clock.check_end()
        except InputError as error:
            return clock, str(error)
        return clock, None

    clocks, faults = {}, []
    with ThreadPoolExecutor(available_cores()) as pool:  # OpenCV reads without Python's lock
        results = pool.map(read, files.values())
        bar = tqdm(results, desc="time stamps", total=len(files), unit="video", disable=None)
        for name, (clock, fault) in zip(files, bar, strict=True):
            if clock:
                clocks[name] = clock
            if fault:
                faults.append(fault)
    return clocks, faults
