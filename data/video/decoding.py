"""Video -> frames at a chosen rate, decoded from the beginning.

The n-th frame taken (n from 0) is source frame round(n * source rate / fps), halves up; where the
source's rate varies, it is the frame whose timestamp is nearest n / fps. The timestamps are known
before anything is decoded: `data/video/clock.py` reads them.

What is damaged is left out: decoding goes on behind it, since each frame is known by its packet.
Interlaced frames are deinterlaced, from their neighbours; others are not touched.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from data.common.errors import ELSE_USED, InputError
from data.video.clock import Clock, read_clock
from data.video.files.holes import LOST
from data.video.files.opening import VideoFile
from data.video.pictures import Finisher, Picture, with_neighbours

MIN_FPS = 0.001
FORMATS = ("jpg", "png")
SAID = 5  # damaged stretches that are named
LONGEST_REPEAT = 1.0  # seconds for which a file may say "as before" instead of a picture


def read_frames(video: str | Path, fps: float = 1.0) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes a video at `fps` frames per second, writing nothing.

    Yields:
      n, counted from 0: the frame of time n / fps; the image, RGB, uint8 [height, width, 3].

    Raises:
      InputError: not a video, or damaged: the readable frames were yielded by then.
    """
    check_settings(fps)
    clock, lost = read_clock(Path(video)), []
    for n, image in decode(clock, enumerate(clock.source_frames(fps).tolist()), lost=lost):
        yield n, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    check_whole(clock, lost)


def check_settings(fps=1.0, format="jpg", quality=95, size=None, workers=None) -> None:
    """Raises `InputError` if an argument of `extract_frames` is out of range."""
    if not MIN_FPS <= fps <= 1 / MIN_FPS:
        raise InputError(f"fps={fps}: expected {MIN_FPS} to {1 / MIN_FPS:.0f} frames per second")
    if format not in FORMATS:
        raise InputError(f"format={format!r}: expected one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise InputError(f"quality={quality}: expected 1 to 100")
    for name, value in (("size", size), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: expected 1 or more")


def decode(
    clock: Clock, wanted: Iterable[tuple[int, int]], threads: int = 1, lost: list | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (n, BGR image) for the pairs (n, source frame) of `wanted`, in ascending order.

    Args:
      clock: of the video.
      wanted: pairs.
      threads: that decode it; 0 for one a core.
      lost: receives the seconds of all frames that are damaged; those are not yielded.
    """
    with VideoFile(clock.video, threads) as file:
        for n, image in pick(decode_pictures(file, clock), wanted, clock, lost):
            if image is not None:
                yield n, image


def pick(
    pictures: Iterable[Picture],
    wanted: Iterable[tuple[int, int]],
    clock: Clock,
    lost: list | None = None,
) -> Iterator[tuple[int, np.ndarray | None]]:
    """As `decode`, of pictures that are decoded already; None where a frame is damaged.

    Where a file has no picture for a frame, the one before it is still shown.
    """
    pictures, finish = iter(pictures), Finisher()
    latest = image = None
    coming = next(pictures, None)
    for n, source in wanted:
        while coming and coming.number <= source:
            if lost is not None and coming.frame is None:
                lost.append(float(clock.times[coming.number]))
            latest, image, coming = coming, None, next(pictures, None)
        if image is None and latest and latest.frame:
            image = finish(latest)
        yield n, image


def decode_pictures(file: VideoFile, clock: Clock, start: int = 0) -> Iterator[Picture]:
    """Decodes a video from a packet on, in the order in which frames are shown.

    Damaged frames come without an image; those for which the file has none do not come.

    Args:
      file: opened, and not read from.
      clock: of it.
      start: place of a packet with which decoding can begin.
    """
    return with_neighbours(_decoded(file, clock, start))


def _decoded(file: VideoFile, clock: Clock, start: int) -> Iterator[tuple[int, VideoFrame | None]]:
    decoder, naming = file.stream.codec_context, _Naming(clock, start)
    for place, packet in enumerate(file.packets()):
        if place < start:
            continue
        if place > start and clock.begins_anew(place):
            yield from naming.name(_decode(decoder, None, naming))
            decoder.flush_buffers()
        # The transport counter does not go on where two files were put together: no damage.
        packet.is_corrupt = packet.is_corrupt and place + 1 not in clock.starts
        if packet.is_corrupt:
            naming.failed.add(place)
        packet.pts = packet.dts = place
        yield from naming.name(_decode(decoder, packet, naming))
    yield from naming.name(_decode(decoder, None, naming))
    yield from naming.end()


def _decode(decoder, packet, naming: "_Naming") -> list[VideoFrame]:
    try:
        return decoder.decode(packet)
    except FFmpegError:  # passed over; the next packets may be sound
        if packet:  # one that a thread took before may have failed
            naming.failed.update(range(packet.pts - decoder.thread_count + 1, packet.pts + 1))
        return []


class _Naming:
    """Tells which frames a decoder hands out, and which it should have."""

    def __init__(self, clock: Clock, start: int):
        self.failed = set()  # places of packets, damaged or not decoded
        self._clock, self._due = clock, 0 if start == 0 else None
        self._sound = self._latest = -1  # places: of the last sound frame, of the last packet
        self._numbers = None
        if clock.places is not None:
            self._numbers = np.full(clock.places.max() + 1, -1)
            there = np.flatnonzero(clock.places != LOST)
            self._numbers[clock.places[there]] = there

    def name(self, frames: list[VideoFrame]) -> Iterator[tuple[int, VideoFrame | None]]:
        """Pairs (number, frame), None for frames that are damaged, or missing before these."""
        for frame in frames:
            number = self._number(frame)
            if number < (self._due or 0):
                continue  # hidden
            if self._due is not None:
                yield from self._missing(number)
            self._due = number + 1
            if frame.is_corrupt:
                self.failed.add(frame.pts)
            else:
                self._sound = max(self._sound, frame.pts)
            yield number, None if frame.is_corrupt else frame

    def end(self) -> Iterator[tuple[int, None]]:
        """The frames that are missing at the end."""
        yield from self._missing(len(self._clock.times)) if self._due is not None else ()

    def _number(self, frame) -> int:
        if self._numbers is not None:
            return int(self._numbers[frame.pts]) if frame.pts < len(self._numbers) else -1
        passed = frame.dts - self._latest if self.failed and frame.dts and self._latest > 0 else 1
        self._latest = frame.dts or -1
        return min((self._due or 0) + passed - 1, len(self._clock.times) - 1)

    def _missing(self, end: int) -> Iterator[tuple[int, None]]:
        times, places = self._clock.times, self._clock.places
        missing = range(self._due, end)
        if not missing:
            return
        shown = times[missing[-1]] - times[max(0, missing[0] - 1)]
        is_torn = shown > LONGEST_REPEAT or (self.failed and self._sound <= max(self.failed))
        for number in missing:
            if is_torn or places is None or places[number] in {LOST, *self.failed}:
                yield number, None


def check_whole(clock: Clock, lost: Iterable[float]) -> None:
    """Raises `InputError` if a video is damaged at the seconds `lost`, or cut off."""
    clock.check_end()
    if damage := say_lost(lost):
        raise InputError(f"{clock.video}: {damage}")


def say_lost(seconds: Iterable[float]) -> str:
    """The stretches of a video that cannot be read, in words; "" where there are none."""
    runs = []
    for second in sorted({int(second) for second in seconds}):
        if runs and second == runs[-1][1] + 1:
            runs[-1][1] = second
        else:
            runs.append([second, second])
    if not runs:
        return ""
    words = [f"second {a}" if a == b else f"seconds {a} to {b}" for a, b in runs[:SAID]]
    more = f" and {len(runs) - SAID} more stretches" if len(runs) > SAID else ""
    return f"{', '.join(words)}{more} cannot be read, {ELSE_USED}"
