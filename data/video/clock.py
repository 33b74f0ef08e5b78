"""When each frame of a video is shown, found without decoding it.

OpenCV hands out a file's packets undecoded (`CAP_PROP_FORMAT` -1), each with its timestamp. Reading
them takes a few percent of the time that decoding takes, and says what frame counts in headers do
not: whether the rate is constant, and whether the file is cut off.
"""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from data.common.errors import InputError

MAX_DENOMINATOR = 1001  # of the rates in use: 30000/1001 is the oddest
MAX_SHORT = 2.0  # seconds by which a sound track may outlast the pictures


@dataclass(frozen=True)
class Clock:
    """The timing of a video.

    Attributes:
      video: the file.
      times: float64 [frames], seconds since the first frame, ascending.
      rate: frames per second; None where it varies.
      promised: seconds that the file's header announces, 0 where it does not.
    """

    video: Path
    times: np.ndarray
    rate: Fraction | None
    promised: float

    @property
    def seconds(self) -> float:
        """How long the video lasts: its last frame is shown as long as most are."""
        step = 1 / float(self.rate) if self.rate else float(np.median(np.diff(self.times)))
        return float(self.times[-1]) + step

    def source_frames(self, fps: float) -> np.ndarray:
        """Which frames to take at `fps`: int64 [n], positions in `times`, ascending.

        At a constant rate round(n * rate / fps), halves up, in exact arithmetic; else the frame
        whose time is nearest n / fps, the later of two that are equally near.
        """
        step = Fraction(fps).limit_denominator(MAX_DENOMINATOR)
        if self.rate:
            step = self.rate / step
            p, q = step.numerator, step.denominator
            count = -(-(2 * len(self.times) - 1) * q // (2 * p))  # n with n * p / q < frames - 1/2
            n = np.arange(count, dtype=np.int64)
            return (2 * n * p + q) // (2 * q)
        half_a_frame = np.median(np.diff(self.times)) / 2
        n = np.arange(np.ceil((self.times[-1] + half_a_frame) * float(step)))
        between = (self.times[1:] + self.times[:-1]) / 2
        return np.searchsorted(between, n / float(step) + 1e-6, side="right")

    def take(self, fps: float) -> tuple[np.ndarray, np.ndarray]:
        """The frames to take at `fps`: their numbers, int32 [n], and times, float64 [n]."""
        numbers = self.source_frames(fps).astype(np.int32)
        return numbers, self.times[numbers]

    def check_end(self) -> None:
        """Raises `InputError` if the file ends well before its header says that it does."""
        seconds = self.times[-1]
        if self.promised - seconds > MAX_SHORT:
            raise InputError(
                f"{self.video}: cut off, ends after {seconds:.0f} of {self.promised:.0f} seconds"
            )


def open_video(video: Path, *options: float) -> cv2.VideoCapture:
    """Opens a video with OpenCV's `options` (property, value, ...); raises `InputError`."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said by us, once
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if not video.is_file():
        raise InputError(f"{video}: no such video")
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [int(value) for value in options])
    if not capture.isOpened():
        size = video.stat().st_size
        raise InputError(f"{video}: {size} bytes that are no video, or one without its index")
    return capture


def estimate_seconds(video: Path) -> float:
    """Length of a video by its header; 0 where that does not say, or there is none."""
    try:
        return _promised_seconds(open_video(video))
    except InputError:
        return 0.0


def read_clock(video: Path) -> Clock:
    """Reads the timestamps of a video; raises `InputError` if it is none or holds no frames."""
    packets = open_video(video, cv2.CAP_PROP_FORMAT, -1)
    milliseconds, is_key = [], []
    while packets.grab():
        milliseconds.append(packets.get(cv2.CAP_PROP_POS_MSEC))
        is_key.append(packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0)
    if not milliseconds:
        raise InputError(f"{video}: holds no frames")
    times = np.sort(milliseconds) / 1000
    hidden = _count_hidden(video, is_key)
    times = times[hidden:] - times[hidden]
    rate = _constant_rate(video, times, packets.get(cv2.CAP_PROP_FPS))
    if rate and not _is_ascending(times):
        times = np.arange(len(times)) / float(rate)
    promised = _promised_seconds(packets) - hidden / packets.get(cv2.CAP_PROP_FPS)
    return Clock(video, times, rate, promised)


def _promised_seconds(capture: cv2.VideoCapture) -> float:
    frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return frames / fps if frames > 0 and fps > 0 else 0.0


def _count_hidden(video: Path, is_key: list[bool]) -> int:
    """How many frames at the beginning are decoded but not shown.

    Who cuts a video without encoding it anew keeps the frames since the last key frame and hides
    them by an edit list. OpenCV obeys the list; then the first frame it shows is no key frame.
    Only decoding the video tells how many are hidden.
    """
    capture = open_video(video, cv2.CAP_PROP_N_THREADS, 1)
    if not capture.grab() or chr(int(capture.get(cv2.CAP_PROP_FRAME_TYPE))) not in "PB":
        return 0
    shown = 1
    while capture.grab():
        shown += 1
    hidden = len(is_key) - shown
    group = is_key.index(True, 1) if True in is_key[1:] else len(is_key)
    return hidden if hidden < group else 0  # more is damage


def _constant_rate(video: Path, times: np.ndarray, header: float) -> Fraction | None:
    """The header's rate or, where timestamps contradict it, theirs; None if it varies."""
    rates = [header] if 0 < header < 10_000 else []
    if not _is_ascending(times):  # no time stamps, or useless ones
        if not rates:
            raise InputError(f"{video}: says neither its frame rate nor when its frames are shown")
        return Fraction(header).limit_denominator(MAX_DENOMINATOR)
    rates.append((len(times) - 1) / times[-1] if len(times) > 1 else 1.0)
    for rate in (Fraction(rate).limit_denominator(MAX_DENOMINATOR) for rate in rates):
        if np.abs(times * float(rate) - np.arange(len(times))).max() < 0.5:
            return rate
    return None


def _is_ascending(times: np.ndarray) -> bool:
    return bool((np.diff(times) > 0).all())
