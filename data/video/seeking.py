"""Single frames of a video in any order, each the very one that decoding from the beginning yields.

A seek is a guess: containers store key frames and average rates, and OpenCV computes a frame's
number from both (in MPEG transport streams it is off by some frames, with a varying rate by many).
What a decoded frame does carry is its time stamp, and `data/video/clock.py` knows the time of every
frame. So the frame is taken whose time is right, and where none has it, frames are counted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from data.common.errors import InputError
from data.video.clock import open_video

MARGINS = (0.0, 1.0, 4.0, 16.0)  # seconds before the frame at which decoding begins
SAME_TIME = 0.001  # seconds; time stamps have at least milliseconds


class VideoReader:
    """An open video. Not for several threads at a time.

    Args:
      video: the file.

    Raises:
      InputError: not a video.
    """

    def __init__(self, video: Path):
        self._video = video
        self._capture = self._open()
        if not self._capture.grab():
            raise InputError(f"{video}: damaged, no frame can be read")
        self._beginning = self._time()

    def read(self, number: int, second: float) -> np.ndarray:
        """Decodes one frame.

        Args:
          number: of the frame in the file, from 0.
          second: when it is shown, since the first frame: `Clock.times[number]`.

        Returns:
          RGB, uint8 [height, width, 3].

        Raises:
          InputError: the frame cannot be had.
        """
        wanted = self._beginning + second
        if not any(self._seek(wanted, margin) for margin in MARGINS):
            self._count(number)
        return self._retrieve(number)

    def read_on(self, numbers: Sequence[int], second: float) -> Iterator[np.ndarray]:
        """Decodes several frames, in one go from the first to the last.

        Args:
          numbers: of the frames in the file, ascending.
          second: when the first of them is shown, as for `read`.

        Yields:
          RGB, uint8 [height, width, 3].

        Raises:
          InputError: a frame cannot be had; those before it were yielded by then.
        """
        at = numbers[0]
        yield self.read(at, second)
        for number in numbers[1:]:
            for place in range(at + 1, number + 1):
                if not self._capture.grab():
                    raise InputError(f"{self._video}: damaged, no frame can be read after {place}")
            at = number
            yield self._retrieve(number)

    def close(self) -> None:
        self._capture.release()

    def _retrieve(self, number: int) -> np.ndarray:
        found, image = self._capture.retrieve()
        if not found:
            raise InputError(f"{self._video}: damaged, frame {number} cannot be read")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _open(self) -> cv2.VideoCapture:
        # One thread a decoder: several examples are read at a time anyway.
        return open_video(self._video, cv2.CAP_PROP_N_THREADS, 1)

    def _time(self) -> float:
        """Time stamp in seconds of the frame that was grabbed last."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _seek(self, wanted: float, margin: float) -> bool:
        """Decodes from `margin` before a time up to it; whether a frame of that time came."""
        self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * max(0.0, wanted - margin))
        while self._capture.grab():
            if self._time() >= wanted - SAME_TIME:
                return self._time() <= wanted + SAME_TIME
        return False

    def _count(self, number: int) -> None:
        """Decodes from the beginning: slow, and needs no time stamps."""
        self.close()
        self._capture = self._open()
        for place in range(number + 1):
            if not self._capture.grab():
                raise InputError(f"{self._video}: damaged, no frame can be read after {place}")
