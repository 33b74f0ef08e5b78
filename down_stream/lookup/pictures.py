"""The pictures of a table's frames, read from the files that the table names."""

from pathlib import Path

import numpy as np

from data.common.compiled_programs import user_cache
from data.common.errors import InputError
from data.images.image_io import read_image
from data.images.names import is_image
from data.storage.paths import is_remote
from data.video.clocks import kept_timings
from data.video.seeking import VideoReader


class Pictures:
    """Reads frames by the file that they are in and, of videos, by their time.

    A video is read here as one file: frames of operations that were joined from several, or of
    DICOM files, have no picture.

    Args:
      fps: frames per second that the table has of videos.

    Attributes:
      missing: {file: why} of what could not be read.
    """

    def __init__(self, fps: float | None = None):
        self.missing = {}
        self._fps, self._open = fps or 1.0, None

    def read(self, path: str, second: float = np.nan) -> np.ndarray | None:
        """RGB, uint8 [height, width, 3], of the frame at `second`; None if it is gone."""
        if not path or is_remote(path) or path in self.missing:
            return None
        try:
            return read_image(path) if is_image(Path(path).name) else self._of_video(path, second)
        except (InputError, OSError) as error:
            self.missing[path] = str(error)
            return None

    def _of_video(self, path, second):
        if not self._open or self._open[0] != path:
            self.close()
            timings, faults = kept_timings({path: Path(path)}, self._fps, user_cache("clocks"))
            if path not in timings:
                raise InputError(faults[path])
            self._open = path, VideoReader(Path(path)), timings[path]
        _, reader, (numbers, seconds, first) = self._open
        place = min(round(np.nan_to_num(second) * self._fps), len(numbers) - 1)
        return reader.read(int(numbers[place]), first + float(seconds[place]))

    def close(self) -> None:
        """Closes the video that is open."""
        if self._open:
            self._open[1].close()
        self._open = None
