"""Video -> frames at a chosen rate, decoded from the beginning by OpenCV's FFmpeg.

The n-th frame taken (n from 0) is source frame round(n * source rate / fps), halves up; where the
source's rate varies, it is the frame whose timestamp is nearest n / fps. The timestamps are known
before anything is decoded: `data/video/clock.py` reads them.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from data.common.errors import InputError
from data.video.clock import open_video, read_clock

MIN_FPS = 0.001
FORMATS = ("jpg", "png")


def read_frames(video: str | Path, fps: float = 1.0) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes a video at `fps` frames per second, writing nothing.

    Yields:
      n, counted from 0: the frame of time n / fps; the image, RGB, uint8 [height, width, 3].

    Raises:
      InputError: not a video, or damaged: the readable frames were yielded by then.
    """
    check_settings(fps)
    clock = read_clock(Path(video))
    for n, image in decode(Path(video), enumerate(clock.source_frames(fps).tolist())):
        yield n, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    clock.check_end()


def check_settings(fps=1.0, format="jpg", quality=95, size=None, workers=None) -> None:
    """Raises `InputError` if an argument of `extract_frames` is out of range."""
    if not MIN_FPS <= fps <= 1 / MIN_FPS:
        raise InputError(f"fps={fps}: {MIN_FPS} to {1 / MIN_FPS:.0f} frames per second")
    if format not in FORMATS:
        raise InputError(f"format={format!r}: one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise InputError(f"quality={quality}: 1 to 100")
    for name, value in (("size", size), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: 1 or more")


def decode(video: Path, wanted, threads: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (n, BGR image) for the pairs (n, source frame) of `wanted`, in ascending order.

    Raises `InputError` at the first frame that cannot be had.
    """
    capture = open_video(video, cv2.CAP_PROP_N_THREADS, threads)
    try:
        decoded = 0
        for n, source in wanted:
            while decoded <= source:  # the frames in between are decoded but not converted
                if not capture.grab():
                    raise InputError(f"{video}: damaged, no frame can be read after {decoded}")
                decoded += 1
            found, image = capture.retrieve()
            if not found:
                raise InputError(f"{video}: damaged, frame {source} cannot be read")
            yield n, image
    finally:
        capture.release()
