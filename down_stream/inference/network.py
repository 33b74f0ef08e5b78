"""Frames of a video that comes over the network: rtsp://, http://, https://."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
from av.error import FFmpegError

from data.common.errors import InputError, one_line
from data.video.decoding import Finisher, with_neighbours

SCHEMES = ("rtsp", "rtsps", "http", "https")
ATTEMPTS = 5  # to connect, one after the other
TIMEOUT = 10.0  # seconds
LONGEST_STEP = 10.0  # seconds between two frames: what is longer is a clock that jumps
OPTIONS = {
    "http": {  # FFmpeg goes on where a connection broke
        "reconnect": "1",
        "reconnect_on_network_error": "1",
        "reconnect_max_retries": str(ATTEMPTS),
        "reconnect_delay_max": "4",
    },
    "rtsp": {"rtsp_transport": "tcp"},
}


def is_network(source: str) -> bool:
    """Whether a source is an address, not a file."""
    return "://" in source and urlsplit(source).scheme.lower() in SCHEMES


def shown(url: str) -> str:
    """An address without a user's name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def network_frames(url: str, fps: float, wait: float = 1.0) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a stream, the first of each 1 / fps seconds by its time stamps, until it ends.

    A connection that breaks is made again, `ATTEMPTS` times in a row at most; the time without one
    passes. Where time stamps jump, the clock goes on.

    Args:
      url: an address.
      fps: frames per second that are taken.
      wait: seconds before the first new attempt; twice as many before each that follows.

    Yields:
      Seconds since the first frame; the frame, RGB, uint8 [height, width, 3].

    Raises:
      InputError: no video there, or the connection is gone for good.
    """
    second, taken, failures, finish = 0.0, 0, 0, Finisher()
    is_begun, broken = False, None
    while True:
        try:
            options = OPTIONS.get(urlsplit(url).scheme.lower().rstrip("s"), {})
            with av.open(url, timeout=TIMEOUT, options=options) as container:
                before = None
                for picture in with_neighbours(_frames(container, shown(url))):
                    step = 0.0 if before is None else picture.number - before
                    if before is None and broken is not None:
                        step = time.monotonic() - broken
                    second += step if 0 < step < LONGEST_STEP or broken is not None else 0.0
                    before, failures, is_begun, broken = picture.number, 0, True, None
                    if second >= taken / fps - 1e-6:
                        yield second, cv2.cvtColor(finish(picture), cv2.COLOR_BGR2RGB)
                        taken = int(second * fps + 1e-6) + 1
            return
        except FFmpegError as error:
            failures += 1
            broken = broken or (time.monotonic() if is_begun else None)
            if failures > ATTEMPTS or not is_begun:
                tried = f"; {failures - 1} attempts to connect again failed" if is_begun else ""
                raise InputError(f"{shown(url)}: {one_line(error)}{tried}") from None
            time.sleep(wait * 2 ** (failures - 1))


def _frames(container, name: str):
    """Pairs (time stamp in seconds, frame); damaged frames are passed over."""
    stream = container.streams.best("video")
    if stream is None:
        raise InputError(f"{name}: no video in it")
    unit = float(stream.time_base)
    for packet in container.demux(stream):
        try:
            frames = stream.codec_context.decode(packet if packet.size else None)
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            if frame.pts is not None and not frame.is_corrupt:
                yield frame.pts * unit, frame
