"""A video in one file or in several that follow one another, as recorders cut it.

Its clock runs on from file to file: source frames are counted on, and a file begins where the one
before it ends. What was not recorded in between has no time.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.storage.folders import remove_folder
from data.video.clock import Clock, estimate_seconds, read_clock
from data.video.decoding import decode, say_lost
from data.video.dicom import is_dicom, read_dicom_clock


@dataclass(frozen=True)
class VideoFiles:
    """The files of a video.

    Attributes:
      files: in their order.
      fault: why the video goes on after them, and cannot be used there; "" where it does not.
    """

    files: tuple[Path, ...]
    fault: str = ""

    @property
    def sizes(self) -> list[int]:
        """The files' bytes, as far as they are there: by them the video is known again."""
        return [file.stat().st_size for file in self.files if file.is_file()]

    def estimate_seconds(self) -> float:
        """As `data.video.clock.estimate_seconds`."""
        return sum(map(estimate_seconds, self.files))

    @contextlib.contextmanager
    def open(self, name: str, scratch: Path) -> Iterator["Parts"]:
        """Context in which the files can be decoded, up to the first that is damaged.

        Args:
          scratch: a folder that is made where videos have to be taken out of DICOM files, and
            removed at the end.
          name: of the video, what errors about DICOM files call them.

        Raises:
          InputError: not even the first file can be used.
        """
        try:
            yield self._open(name, scratch)
        except InputError as error:
            raise InputError(str(error).replace(f"{scratch}/", "")) from error
        finally:
            remove_folder(scratch)

    def _open(self, name: str, scratch: Path) -> "Parts":
        clocks, fault = [], self.fault
        for part, file in enumerate(self.files, 1):
            try:
                if is_dicom(file):
                    stream = name if len(self.files) == 1 else f"{name}, part {part}"
                    clocks.append(read_dicom_clock(file, scratch / stream))
                else:
                    clocks.append(read_clock(file))
                clocks[-1].check_end()
            except InputError as error:
                is_last = file == self.files[-1]
                fault = f"{error}" if is_last else f"{error}; the parts after it are not used"
                break
        if not clocks:
            raise InputError(fault)
        return Parts(tuple(clocks), join_clocks(clocks), fault)


@dataclass(frozen=True)
class Parts:
    """The usable files of a video.

    Attributes:
      clocks: one for each file.
      clock: of them all.
      fault: why they are not the whole video; "" where they are.
      lost: the seconds of frames that turned out to be damaged when they were decoded.
    """

    clocks: tuple[Clock, ...]
    clock: Clock
    fault: str
    lost: list[float] = field(default_factory=list)

    def decode(self, wanted: Iterable[tuple[int, int]], threads: int = 1) -> Iterator[tuple]:
        """As `data.video.decoding.decode`, source frames being counted on from file to file."""
        wanted, start = list(wanted), 0
        for clock in self.clocks:
            end = start + len(clock.times)
            inside = [(n, source - start) for n, source in wanted if start <= source < end]
            lost = []
            if inside:
                yield from decode(clock, inside, threads, lost)
            self.lost.extend(second + float(self.clock.times[start]) for second in lost)
            start = end

    def damage(self) -> str:
        """What could not be decoded, in words; "" where all could."""
        said = say_lost(self.lost)
        return said and f"{self.clock.video}: {said}"

    def check_end(self) -> None:
        """Raises `InputError` if these are not all files of the video, or not all of a file."""
        if self.fault:
            raise InputError(self.fault)


def join_clocks(clocks: Sequence[Clock]) -> Clock:
    """One clock of files that follow one another, named by the first.

    Its rate is constant where one rate fits all of their frames.
    """
    if len(clocks) == 1:
        return clocks[0]
    starts = np.cumsum([0, *(clock.seconds for clock in clocks[:-1])])
    times = np.concatenate([c.times + start for c, start in zip(clocks, starts, strict=True)])
    places = np.arange(len(times))
    rates = dict.fromkeys(clock.rate for clock in clocks)
    rate = next((r for r in rates if r and np.abs(times * float(r) - places).max() < 0.5), None)
    if rate:
        times = places / float(rate)
    return Clock(clocks[0].video, times, rate, float(starts[-1]) + clocks[-1].promised)
