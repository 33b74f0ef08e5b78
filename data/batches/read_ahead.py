"""Reads frames in threads, ahead of whoever takes them, and hands them out in order."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from data.common.errors import InputError
from data.common.machine import available_cores
from data.frames.frames import Frames
from data.images.image_io import BILINEAR, frame_to_input


class InputFrame(NamedTuple):
    """A frame as an encoder takes it.

    Attributes:
      row: in its `Frames`.
      image: RGB, uint8 [image_size, image_size, 3].
      aspect: width over height before it was made square.
    """

    row: int
    image: np.ndarray
    aspect: float


class Unreadable(NamedTuple):
    """A row that cannot be read, and why, in one line."""

    row: int
    reason: str


def read_ahead(
    frames: Frames,
    image_size: int,
    ahead: int,
    start: int = 0,
    stop: int | None = None,
    resample: str = BILINEAR,
) -> Iterator[InputFrame | Unreadable]:
    """The frames from row `start` to before row `stop`, as `image_io.frame_to_input` makes them.

    Threads, as many as there are cores, work on the next pieces of `frames`: OpenCV and Pillow
    decode and resize without Python's lock.

    Args:
      frames: what to read.
      image_size: height and width of the results in pixels.
      ahead: this many frames, or a few more, are kept ready.
      start, stop: rows; None for the end.
      resample: of `image_io.RESAMPLES`.
    """
    # What cannot be decoded is said by us, once.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cores, ended = available_cores(), threading.Event()
    waiting = deque()  # (rows, queue of what was made of them)
    pieces = frames.pieces(start, stop)
    with ThreadPoolExecutor(cores) as pool:
        try:
            while True:
                while len(waiting) < cores or sum(len(rows) for rows, _ in waiting) < ahead:
                    rows = next(pieces, None)
                    if rows is None:
                        break
                    waiting.append((rows, queue.SimpleQueue()))
                    pool.submit(_read, frames, image_size, resample, *waiting[-1], ended)
                if not waiting:
                    return
                yield from _take(waiting[0][1])
                waiting.popleft()
        finally:  # do not read on when nobody takes the frames any more
            ended.set()
            pool.shutdown(cancel_futures=True)


def _read(frames, image_size, resample, rows, made, ended) -> None:
    """Puts what becomes of `rows` into a queue; at the end None, or what went wrong."""
    try:
        for row, image in zip(rows, frames.read_in_order(rows), strict=True):
            if ended.is_set():
                return
            if isinstance(image, InputError):
                made.put(Unreadable(row, str(image)))
            else:
                aspect = image.shape[1] / image.shape[0]
                made.put(InputFrame(row, frame_to_input(image, image_size, resample), aspect))
        made.put(None)
    except BaseException as error:  # noqa: BLE001, raised in the thread that takes the frames
        made.put(error)


def _take(made) -> Iterator[InputFrame | Unreadable]:
    while (item := made.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
