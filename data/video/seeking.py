"""Single frames of a video in any order, each the very one that decoding from the beginning yields.

A seek is a guess: containers store key frames and average rates, and FFmpeg goes somewhere before
the time that is asked for. What a decoded frame does carry is its time stamp, and
`data/video/clock.py` knows the time stamp of every frame. So the frame is taken whose time is
right; where none has it, and where the clock of the file jumps, frames are told by their packets.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from data.common.errors import InputError
from data.video.clock import SAME_TIME, Clock, read_clock
from data.video.decoding import decode_pictures, pick
from data.video.files.holes import LATE, MADE_OF_TWO
from data.video.files.opening import VideoFile
from data.video.pictures import Finisher, Picture, with_neighbours

MARGINS = (0.0, 1.0, 4.0, 16.0)  # seconds before the frame at which decoding begins


class VideoReader:
    """An open video. Not for several threads at a time.

    Args:
      video: the file.

    Raises:
      InputError: not a video.
    """

    def __init__(self, video: Path):
        self._video = video
        # One thread a decoder: several examples are read at a time anyway.
        self._file = VideoFile(video)
        self._unit = float(self._file.stream.time_base)
        rates = (self._file.stream.average_rate, self._file.stream.guessed_rate)
        self._late = LATE / float(min(filter(None, rates), default=1))
        self._finish = Finisher()

    def read(self, number: int, stamp: float) -> np.ndarray:
        """Decodes one frame.

        Args:
          number: of the frame in the file, from 0.
          stamp: its time stamp in the file, as `Clock.take` returns it.

        Returns:
          RGB, uint8 [height, width, 3].

        Raises:
          InputError: the frame cannot be had.
        """
        return _image(next(self.read_on([number], [stamp])))

    def read_on(
        self, numbers: Sequence[int], stamps: Sequence[float]
    ) -> Iterator[np.ndarray | InputError]:
        """Decodes several frames, in one go from the first to the last.

        Args:
          numbers: of the frames in the file, ascending.
          stamps: their time stamps.

        Yields:
          RGB, uint8 [height, width, 3], or why a frame cannot be had.
        """
        found = itertools.chain([None], self._seek(numbers[0], stamps[0]))
        picture = next(found)
        for place, stamp in enumerate(stamps):
            while picture is None or picture[0] < stamp - SAME_TIME:
                if (picture := next(found, None)) is None:
                    break
            if picture is None or picture[0] > stamp + SAME_TIME or not picture[1].frame:
                yield from self._count(numbers[place:])
                return
            yield cv2.cvtColor(self._finish(picture[1]), cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._file.close()

    def _seek(self, number: int, stamp: float) -> Iterator[tuple[float, Picture]]:
        """Pairs (time stamp, picture) from the frame of a time on; nothing if it is not found."""
        for margin in MARGINS if np.isfinite(stamp) else ():
            has_key, pictures = False, self._pictures_from(stamp - margin)
            for picture in pictures:
                had_key = has_key
                has_key |= picture.frame is not None and picture.frame.key_frame
                time = picture.number * self._unit
                if time >= stamp - SAME_TIME:
                    break
            else:
                continue
            is_sound = picture.frame is not None and has_key and time <= stamp + SAME_TIME
            has_before = number == 0 or (had_key and picture.before)
            if is_sound and (has_before or not picture.frame.interlaced_frame):
                yield time, picture
                yield from ((p.number * self._unit, p) for p in pictures)
                return

    def _pictures_from(self, stamp: float) -> Iterator[Picture]:
        """Decodes from some place before a time on; the pictures' numbers are time stamps."""
        try:
            self._file.container.seek(round(stamp / self._unit), stream=self._file.stream)
        except FFmpegError:
            return iter(())
        return with_neighbours(self._frames())

    def _frames(self) -> Iterator[tuple[int, VideoFrame | None]]:
        """Pairs (time stamp, frame) from here on; None for a frame that is damaged, or lost.

        Frames may be lost where time stamps leave one out: then the clock is read, which knows.
        """
        decoder, waiting, is_doubtful = self._file.stream.codec_context, deque(), False
        for packet in itertools.chain(self._file.packets(), [None]):
            try:
                frames = decoder.decode(packet)
            except FFmpegError:
                frames = []
            for frame in frames:
                if frame.pts is None:
                    continue
                if waiting:
                    is_doubtful |= (frame.pts - waiting[-1].pts) * self._unit > self._late
                waiting.append(frame)
                if len(waiting) > (MADE_OF_TWO if decoder.has_b_frames else 1):
                    yield self._sound(waiting.popleft(), is_doubtful)
        for frame in waiting:
            yield self._sound(frame, is_doubtful)

    def _sound(self, frame: VideoFrame, is_doubtful: bool) -> tuple[int, VideoFrame | None]:
        is_lost = False
        if is_doubtful:
            lost, stamp = self._lost_stamps, frame.pts * self._unit
            place = np.searchsorted(lost, stamp - SAME_TIME)
            is_lost = place < len(lost) and lost[place] <= stamp + SAME_TIME
        return frame.pts, None if frame.is_corrupt or is_lost else frame

    @cached_property
    def _lost_stamps(self) -> np.ndarray:
        state = self._video.stat()
        return _lost_stamps(self._video, state.st_size, state.st_mtime_ns)

    @cached_property
    def _clock(self) -> Clock:
        return read_clock(self._video)

    def _count(self, numbers: Sequence[int]) -> Iterator[np.ndarray | InputError]:
        """Frames by their packets: all before them are read for it, few are decoded."""
        clock = self._clock
        there = [number for number in numbers if number < len(clock.times)]
        with VideoFile(self._video) as file:
            pictures = decode_pictures(file, clock, clock.start_for(there[0]) if there else 0)
            for number, image in pick(pictures, zip(there, there, strict=True), clock):
                if image is None:
                    yield InputError(
                        f"{self._video}: second {int(clock.times[number])} cannot be read"
                    )
                else:
                    yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        for _ in numbers[len(there) :]:
            yield InputError(f"{self._video}: no frame can be read after {len(clock.times)}")


@lru_cache(maxsize=4096)
def _lost_stamps(video: Path, *state) -> np.ndarray:
    """`Clock.lost_stamps` of a file in a state: readers are opened again and again."""
    return read_clock(video).lost_stamps()


def _image(found: np.ndarray | InputError) -> np.ndarray:
    if isinstance(found, InputError):
        raise found
    return found
