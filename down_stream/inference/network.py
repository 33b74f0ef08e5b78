"""Frames of a video that comes over the network: rtsp://, http://, https://."""

import contextlib
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
from av.error import FFmpegError

from data.common.errors import InputError
from data.common.logs import logger
from data.video.pictures import Finisher, with_neighbours

SCHEMES = ("rtsp", "rtsps", "http", "https")
ATTEMPTS = 5  # to connect, one after the other
TIMEOUT = 10.0  # seconds
LASTING = 10.0  # seconds of video after which a new connection counts as made
LONGEST_STEP = 10.0  # seconds between two frames: what is longer is a clock that jumps
MAX_SHORT = 2.0  # seconds by which a file that a server plays may end before it said
PLAYLISTS = ("hls", "dash")  # formats whose size is not that of the video
OPTIONS = {
    "http": {  # FFmpeg goes on where a connection broke
        "reconnect": "1",
        "reconnect_on_network_error": "1",
        "reconnect_max_retries": str(ATTEMPTS),
        "reconnect_delay_max": "4",
    },
    "rtsp": {"rtsp_flags": "prefer_tcp"},  # UDP where the server has nothing else
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

    A connection that breaks is made again, `ATTEMPTS` times in a row at most. Of a file that the
    server plays, no frame is missed or comes twice; of a live stream, the time without a connection
    passes. RTSP does not tell the end of a live stream from a server that is gone: both are tried
    again. Where time stamps jump, the clock goes on.

    Args:
      url: an address.
      fps: frames per second that are taken.
      wait: seconds before the first new attempt; twice as many before each that follows.

    Yields:
      Seconds since the first frame; the frame, RGB, uint8 [height, width, 3].

    Raises:
      InputError: no video there, or the connection is gone for good.
    """
    scheme = urlsplit(url).scheme.lower().rstrip("s")
    second, taken, failures, finish = 0.0, 0, 0, Finisher()
    before = broken = None  # a time stamp; when the connection broke
    while True:
        connected = None  # the second of a connection's first frame: waiting is no streaming
        opened = time.monotonic()
        try:
            with av.open(url, timeout=TIMEOUT, options=OPTIONS.get(scheme, {})) as container:
                length = (container.duration or 0) / av.time_base  # of a file; a live one has none
                is_file = length > 0 or (scheme == "http" and _is_sized(container))
                if length and before is not None:
                    with contextlib.suppress(FFmpegError):  # then all up to there comes once more
                        container.seek(int(before * av.time_base))
                for picture in with_neighbours(_frames(container, shown(url))):
                    step = 0.0 if before is None else picture.number - before
                    if broken is not None and is_file:
                        if step <= 0:
                            continue
                    elif broken is not None:
                        step = time.monotonic() - broken
                    elif not 0 < step < LONGEST_STEP:
                        step = 0.0
                    second += step
                    before, broken = picture.number, None
                    connected = second if connected is None else connected
                    if second - connected > LASTING:
                        failures = 0
                    if second >= taken / fps - 1e-6:
                        yield second, cv2.cvtColor(finish(picture), cv2.COLOR_BGR2RGB)
                        taken = int(second * fps + 1e-6) + 1
            if scheme == "http" or (length and second > length - MAX_SHORT):
                return
            reason = "the connection ended"
        except FFmpegError as error:
            is_late = connected is None and time.monotonic() - opened > TIMEOUT
            reason = _reason(error, is_late)
        if before is None:
            raise InputError(f"{shown(url)}: {reason}")
        failures += 1
        if failures > ATTEMPTS:
            raise InputError(
                f"{shown(url)}: {reason}, after second {second:.0f}; {ATTEMPTS} attempts to "
                "connect again failed"
            )
        logger.warning("%s: %s, after second %.0f; trying again", shown(url), reason, second)
        broken = broken or time.monotonic()
        time.sleep(wait * 2 ** (failures - 1))


def _is_sized(container) -> bool:
    """Whether it is known where an answer over HTTP ends; of live ones and playlists it is not."""
    return container.format.name not in PLAYLISTS and container.size > 0


def _reason(error: FFmpegError, is_late: bool) -> str:
    """What went wrong, in words; the error as text would hold the address with its password."""
    if is_late or isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return f"no answer in {TIMEOUT:g} seconds"
    if isinstance(error, av.error.PermissionError):  # FFmpeg's -1
        return "the server hung up"
    return error.strerror[:1].lower() + error.strerror[1:]


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
