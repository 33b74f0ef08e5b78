"""Videos whose pictures stand still though their files go on: what a broken decoder leaves."""

import numpy as np

from data.common.errors import PARTLY_USED
from data.video.clock import Clock

LEAST = 10  # frames that are the same, bit for bit: noise alone changes those of a camera


class Stillness:
    """Compares each frame that is taken of a video with the one before it.

    Args:
      clock: of the video.
    """

    def __init__(self, clock: Clock):
        self._clock, self._before, self._runs = clock, None, []
        self._seen = 0

    def see(self, source: int, image: np.ndarray) -> None:
        """Takes the next frame: its number in the file, and its image."""
        self._seen += 1
        if self._before is not None and np.array_equal(image, self._before):
            self._runs[-1][1:] = source, self._runs[-1][2] + 1
        else:
            self._runs.append([source, source, 1])
        self._before = image

    def fault(self) -> str:
        """What stands still, in words; "" where nothing does.

        Frames that a file stores as differing little, such as those of a black screen, may be the
        same: a stretch counts where its frames take as many bytes as half of what others take.
        """
        if not self._runs or max(count for *_, count in self._runs) < LEAST:
            return ""
        video, times = self._clock.video, self._clock.times
        if len(self._runs) == 1:
            return f"{video}: its {self._seen} frames are all the same picture; {PARTLY_USED}"
        sizes = self._clock.sizes
        for begin, end, count in self._runs if sizes is not None else ():
            inside, outside = sizes[begin + 1 : end + 1], np.delete(sizes, np.s_[begin : end + 1])
            if count >= LEAST and len(outside) and inside.mean() > outside.mean() / 2:
                return (
                    f"{video}: the frames of seconds {times[begin]:.0f} to {times[end]:.0f} are "
                    f"the same picture, the file has different ones; {PARTLY_USED}"
                )
        return ""
