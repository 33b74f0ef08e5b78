"""A video in one file or in several that follow one another, as recorders cut it.

Its clock runs on from file to file: source frames are counted on, and a file begins where the one
before it ends. What was not recorded in between has no time.
"""

import bisect
import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.images.names import plain_path
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, is_remote
from data.video.clock import Clock, estimate_seconds, read_clock
from data.video.decoding import decode, say_lost
from data.video.dicom import is_dicom, read_dicom_clock
from data.video.names import content_digest, folder_digest, head_digest, sources_of
from data.video.seeking import VideoReader


@dataclass(frozen=True)
class VideoFiles:
    """The files of a video.

    Attributes:
      files: in their order.
      fault: why the video goes on after them, and cannot be used there; "" where it does not.
    """

    files: tuple[AnyPath, ...]
    fault: str = ""

    def found(self) -> list[os.stat_result]:
        """The states of the files, as far as they are there, asked for now."""
        return [file.stat() for file in self.files if file.is_file()]

    @property
    def sizes(self) -> list[int]:
        """The files' bytes, as far as they are there: by them the video is known again."""
        return [state.st_size for state in self.found()]

    @property
    def modified(self) -> list[float]:
        """When the files were changed last, in seconds, as far as they are there."""
        return [state.st_mtime for state in self.found()]

    @property
    def changed(self) -> list[float]:
        """The same of the times (ctime) that also rights, a link or another disk change.

        Programs that copy files cannot set them, as they set `modified`.
        """
        return [state.st_ctime for state in self.found()]

    @property
    def content(self) -> list[str]:
        """`data.video.names.content_digest` of the files, as far as they are there."""
        return [content_digest(file) for file in self.files if file.is_file()]

    @property
    def head(self) -> str:
        """`data.video.names.head_digest` of the first file, "" where it is not there."""
        return head_digest(self.files[0]) if self.files[0].is_file() else ""

    @property
    def state(self) -> dict:
        """What a log of extraction notes, to tell whether the files have changed since.

        The folder tells videos of one file name apart in annotations.
        """
        return self.state_by(self)

    def state_by(self, copies: "VideoFiles") -> dict:
        """The same, where copies on this machine tell the content."""
        folder = folder_digest(plain_path(self.files[0]).parent.name)
        times = {"modified": self.modified, "changed": self.changed}
        return times | {"content": copies.content, "folder": folder}

    @property
    def sources(self) -> tuple[str, str]:
        """`data.video.names.sources_of` of the first file."""
        return sources_of(self.files[0])

    def estimate_seconds(self) -> float:
        """As `data.video.clock.estimate_seconds`; 0 of files that would have to be fetched."""
        return sum(estimate_seconds(file) for file in self.files if not is_remote(file))

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
            yield self.read(name, scratch)
        except InputError as error:
            raise InputError(str(error).replace(f"{scratch}/", "")) from error
        finally:
            remove_folder(scratch)

    def read(self, name: str, scratch: Path) -> "Parts":
        """What `open` gives; whoever calls this removes `scratch`."""
        clocks, fault = [], self.fault
        for part, file in enumerate(self.files, 1):
            try:
                if is_dicom(file):
                    clocks.append(read_dicom_clock(file, scratch / self._stream(name, part)))
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

    def forget(self, name: str, scratch: Path) -> None:
        """Removes from `scratch` what `read` has written there, also where it failed."""
        for part, file in enumerate(self.files, 1):
            if is_dicom(file):
                (scratch / self._stream(name, part)).unlink(missing_ok=True)

    def _stream(self, name: str, part: int) -> str:
        return name if len(self.files) == 1 else f"{name}, part {part}"


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

    def places(self, scratch: Path) -> "Places":
        """What `PartsReader` needs; `scratch` is where videos were taken out of DICOM files."""
        starts = np.cumsum([0, *(len(clock.times) for clock in self.clocks[:-1])])
        return Places(
            tuple(clock.video for clock in self.clocks),
            tuple(starts.tolist()),
            tuple(self._begins()),
            tuple(clock.first for clock in self.clocks),
            scratch,
        )

    def take(self, fps: float) -> tuple[np.ndarray, np.ndarray]:
        """The frames to take at `fps`: their numbers, int32 [n], and when they are shown.

        The times, float64 [n], are those that the files say, also where one rate fits them all: by
        them, `PartsReader` finds a frame.
        """
        numbers = self.clock.source_frames(fps).astype(np.int32)
        begins = self._begins()
        times = [c.times + begin for c, begin in zip(self.clocks, begins, strict=True)]
        return numbers, np.concatenate(times)[numbers]

    def _begins(self) -> list[float]:
        """When the files begin, in seconds since the first one does."""
        return np.cumsum([0.0, *(clock.seconds for clock in self.clocks[:-1])]).tolist()

    def check_end(self) -> None:
        """Raises `InputError` if these are not all files of the video, or not all of a file."""
        if self.fault:
            raise InputError(self.fault)


@dataclass(frozen=True)
class Places:
    """Where the frames of a video are, without the time of each.

    Attributes:
      files: in their order; of a DICOM file, the video that was taken out of it.
      starts: by file, the number of its first frame.
      begins: by file, when it begins, in seconds.
      firsts: by file, `Clock.first`.
      scratch: the folder of what was taken out of DICOM files.
    """

    files: tuple[Path, ...]
    starts: tuple[int, ...]
    begins: tuple[float, ...]
    firsts: tuple[float, ...]
    scratch: Path

    def part(self, number: int) -> int:
        """Which file a frame is in."""
        return bisect.bisect_right(self.starts, number) - 1

    def path(self, number: int) -> str:
        """The file that a frame is in; of DICOM the video's name: paths may name a patient."""
        return self.say(self.files[self.part(number)])

    def say(self, what: object) -> str:
        """A path, or a message about one, without the scratch folder."""
        return str(what).replace(f"{self.scratch}/", "")


class PartsReader:
    """Reads frames as `data.video.seeking.VideoReader` does, from files that follow one another.

    Numbers of frames are counted on, and stamps are seconds as `Parts.take` returns them.
    """

    def __init__(self, places: Places):
        self._places = places
        self._open: tuple[int, VideoReader] | None = None

    def read(self, number: int, stamp: float) -> np.ndarray:
        """One frame; raises `InputError` if it cannot be had."""
        (image,) = self.read_on([number], [stamp])
        if isinstance(image, InputError):
            raise image
        return image

    def read_on(
        self, numbers: Sequence[int], stamps: Sequence[float]
    ) -> Iterator[np.ndarray | InputError]:
        """Several frames, ascending, or why one cannot be had."""
        places = self._places
        rows = zip(numbers, stamps, strict=True)
        for part, group in itertools.groupby(rows, key=lambda row: places.part(row[0])):
            shift = places.firsts[part] - places.begins[part]
            inside = [(n - places.starts[part], stamp + shift) for n, stamp in group]
            try:
                reader = self._reader(part)
            except InputError as error:  # the file is no video any more
                yield from itertools.repeat(InputError(places.say(error)), len(inside))
                continue
            for found in reader.read_on(*zip(*inside, strict=True)):
                is_fault = isinstance(found, InputError)
                yield InputError(places.say(found)) if is_fault else found

    def close(self) -> None:
        """Closes the file that is open."""
        if self._open:
            self._open[1].close()
        self._open = None

    def _reader(self, part: int) -> VideoReader:
        if self._open is None or self._open[0] != part:
            self.close()
            self._open = part, VideoReader(self._places.files[part])
        return self._open[1]


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
