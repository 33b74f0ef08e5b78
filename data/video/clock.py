"""When each frame of a video is shown, found without decoding it.

FFmpeg hands out a file's packets undecoded, each with its time stamp. Reading them takes a few
percent of the time that decoding takes, and says what frame counts in headers do not: whether the
rate is constant, whether the clock jumps, and whether the file is cut off.
"""

import contextlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from data.common.errors import PARTLY_USED, InputError
from data.video.opening import GAP, SLOW, Packets, VideoFile, find_beginning, read_packets, unroll

MAX_DENOMINATOR = 1001  # of the rates in use: 30000/1001 is the oddest
MAX_SHORT = 2.0  # seconds by which a sound track may outlast the pictures
LOST = -1  # place of a frame whose bytes are there, and are damaged: no packet has it
LONGEST = 48 * 3600  # seconds that a guess from the first and the last time stamp may give


@dataclass(frozen=True)
class Clock:
    """The timing of a video.

    Attributes:
      video: the file.
      times: float64 [frames], seconds since the first frame, ascending.
      rate: frames per second; None where it varies.
      promised: seconds that the file announces, 0 where it does not.
      places: int64 [frames], which packet of the file, from 0, has each frame, -1 (`LOST`) where
        none has it any more; None where time stamps do not tell: then the frames are counted as
        they come.
      starts: places of the packets before which the decoder begins anew: 0, and where the clock
        jumps, since the file goes on there as another recording.
      first: time stamp in seconds of the first frame; NaN where frames cannot be found by time.
      sizes: int64 [frames], bytes of each frame in the file; None where `places` is.
      keys: int64 [k], places of the packets with which decoding can begin.
    """

    video: Path
    times: np.ndarray
    rate: Fraction | None
    promised: float
    places: np.ndarray | None = None
    starts: tuple[int, ...] = (0,)
    first: float = float("nan")
    sizes: np.ndarray | None = None
    keys: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def seconds(self) -> float:
        """How long the video lasts: its last frame is shown as long as most are."""
        return float(self.times[-1]) + self._step

    @cached_property
    def _step(self) -> float:
        if self.rate:
            return 1 / float(self.rate)
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

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
        n = np.arange(np.ceil((self.times[-1] + self._step / 2) * float(step)))
        between = (self.times[1:] + self.times[:-1]) / 2
        return np.searchsorted(between, n / float(step) + 1e-6, side="right")

    def take(self, fps: float) -> tuple[np.ndarray, np.ndarray, float]:
        """The frames to take at `fps`.

        Returns:
          Their numbers, int32 [n]; when they are shown, float64 [n]; and `first`, which makes time
          stamps of that.
        """
        numbers = self.source_frames(fps).astype(np.int32)
        return numbers, self.times[numbers], self.first

    def jumps(self) -> str:
        """In words, where the clock of the file jumps; "" where it does not."""
        if self.places is None or len(self.starts) < 2:
            return ""
        frames = np.searchsorted(np.maximum.accumulate(self.places), self.starts[1:])
        frames = frames[frames < len(self.times)]
        seconds = ", ".join(f"{second:.0f}" for second in self.times[frames[:5]])
        more = ", ..." if len(frames) > 5 else ""
        return (
            f"its time stamps jump at {'second' if len(frames) == 1 else 'seconds'} "
            f"{seconds}{more}; the clock goes on with the duration of a frame there"
        )

    def start_for(self, number: int) -> int:
        """Place of a packet from which on to decode, to have a frame and the one before it."""
        if self.places is None:
            return 0
        keys = self.keys[self.keys <= self.places[number]]
        return int(keys[-2]) if len(keys) > 1 else 0

    def check_end(self) -> None:
        """Raises `InputError` if the file ends well before it says that it does."""
        seconds = self.times[-1]
        if self.promised - seconds > MAX_SHORT:
            raise InputError(
                f"{self.video}: cut off, {PARTLY_USED}, to second {seconds:.0f} of "
                f"{self.promised:.0f}"
            )


def estimate_seconds(video: Path) -> float:
    """Length of a video by its header; 0 where that does not say, or there is none."""
    try:
        with VideoFile(video) as file:
            seconds = _header_seconds(file)
            return seconds if 0 < seconds < LONGEST else 0.0
    except InputError:
        return 0.0


def read_clock(video: Path) -> Clock:
    """Reads the timestamps of a video; raises `InputError` if it is none or holds no frames."""
    with VideoFile(video) as file:
        packets = read_packets(file)
        if not len(packets.shown):
            raise InputError(f"{video}: holds no frames")
        header = file.stream.guessed_rate or file.stream.average_rate
        unit, missing = float(file.stream.time_base), _missing_seconds(file, packets)
        tells_holes = file.may_jump or not (file.says_durations or len(file.container.streams) > 1)
        announced = _header_seconds(file) if missing is None else 0.0
    stamps, starts = unroll(packets, unit)
    places = None
    if stamps is None:
        times = np.zeros(len(packets.shown))
    else:
        places = packets.shown[np.argsort(stamps[packets.shown], kind="stable")]
        beginning = find_beginning(video, packets, places)
        ordered = stamps[places[beginning or 0 :]]
        places = None if beginning is None else places[beginning:]
        times = (ordered - ordered[0]) * unit
        if places is not None and tells_holes:
            times, places = _with_lost(times, places, packets)
    is_ascending = _is_ascending(times)
    rate = _constant_rate(video, times, float(header or 0))
    if rate and not is_ascending:
        times = np.arange(len(times)) / float(rate)
    clock = Clock(video, times, rate, announced, places, starts)
    if places is not None:
        is_found_by_time = is_ascending and len(starts) == 1
        first = float(stamps[places[0]]) * unit if is_found_by_time else float("nan")
        sizes = np.where(places == LOST, 0, packets.size[places])
        clock = replace(clock, first=first, sizes=sizes)
        clock = replace(clock, keys=np.flatnonzero(packets.is_key))
    return clock if missing is None else replace(clock, promised=clock.seconds + missing)


def _with_lost(
    times: np.ndarray, places: np.ndarray, packets: Packets
) -> tuple[np.ndarray, np.ndarray]:
    """Adds the frames that a file lacks, though it has bytes for their time.

    (Where an MPEG stream has none, its clock jumps: `unroll`.) Such a file says for how long a
    picture is shown by nothing else than the next one, which here would be the picture of another
    second. What comes behind a hole is lost, too, up to a key frame: it would be made of the
    picture before the hole.

    Args:
      times: float64 [frames], seconds, ascending.
      places: int64 [frames], their packets.
      packets: of the file.

    Returns:
      The times and places of all frames, `LOST` the place of those that are lost.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    holes = np.flatnonzero(steps > max(GAP, SLOW * usual)) if usual > 0 else np.zeros(0, int)
    is_key = packets.is_key[places]
    if not packets.may_jump:  # then a picture may be shown for long: bytes that are no frame's tell
        sizes, ends = packets.size, packets.position + packets.size
        between = packets.position[places[holes + 1]] - ends[places[holes]]
        holes = holes[between > steps[holes] / usual * np.median(sizes) / 2]
    if not len(holes):
        return times, places
    counts = np.rint(steps[holes] / usual).astype(int) - 1
    lost, places = [], places.copy()
    for hole, count in zip(holes, counts, strict=True):
        lost.append(times[hole] + steps[hole] * np.arange(1, count + 1) / (count + 1))
        after = np.flatnonzero(is_key[hole + 1 :])
        places[hole + 1 : hole + 1 + after[0] if len(after) else None] = LOST
    behind = np.repeat(holes + 1, counts)
    return np.insert(times, behind, np.concatenate(lost)), np.insert(places, behind, LOST)


def _header_seconds(file: VideoFile) -> float:
    stream, container = file.stream, file.container
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _missing_seconds(file: VideoFile, packets: Packets) -> float | None:
    """How much of a video its file lacks; None where only its header may tell.

    A header tells the length of the longest track, and may not know of an edit list.
    """
    if packets.may_jump:  # what stands for a header is a guess from two time stamps
        return 0.0
    kind = file.container.format.name
    if "mp4" in kind:
        entries, there = file.stream.index_entries, len(packets.stamps)
        if len(entries) <= there:
            return 0.0
        lacking = entries[len(entries) - 1].timestamp - entries[there - 1].timestamp
        return float(lacking * file.stream.time_base)
    is_whole = _is_whole_matroska(file.video) if "matroska" in kind else _has_whole_sound(file)
    return 0.0 if is_whole else None


def _has_whole_sound(file: VideoFile) -> bool:
    """Whether a track beside the pictures is as long as the file says: they ended before it.

    A header that counts the pictures, as an AVI's, is of them alone.
    """
    announced = _header_seconds(file)
    if file.stream.frames or not announced:
        return False
    others = [stream for stream in file.container.streams if stream.index != file.stream.index]
    last = 0.0
    with contextlib.suppress(FFmpegError, IndexError), VideoFile(file.video) as whole:
        for packet in whole.container.demux():
            if packet.pts is not None and packet.stream.index != file.stream.index:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    start = (file.container.start_time or 0) / av.time_base
    return bool(others) and last - start > announced - MAX_SHORT


def _is_whole_matroska(video: Path) -> bool:
    """Whether a Matroska file is as long as its one segment says."""
    with video.open("rb") as opened:
        for _ in ("header", "segment"):
            opened.seek(4, 1)
            first = (opened.read(1) or b"\xff")[0] or 1
            more = 8 - first.bit_length()
            unknown = (1 << 7 * (more + 1)) - 1
            size = int.from_bytes(bytes([first - (1 << 7 - more)]) + opened.read(more), "big")
            if size == unknown:
                return True
            opened.seek(size, 1)
        return opened.tell() <= video.stat().st_size


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
