"""When each frame of a video is shown, found without decoding it.

FFmpeg hands out a file's packets undecoded, each with its time stamp. Reading them takes a few
percent of the time that decoding takes, and says what frame counts in headers do not: whether the
rate is constant, whether the clock jumps, and whether the file is cut off.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from data.common.errors import PARTLY_USED, InputError
from data.video.files.behind import what_is_behind
from data.video.files.cut import is_cut
from data.video.files.holes import LOST, add_lost
from data.video.files.opening import VideoFile
from data.video.files.packets import Packets, find_beginning, read_packets, unroll
from data.video.files.stray_stamps import without_strays
from data.video.files.whole import MAX_SHORT, header_seconds, missing_seconds

MAX_DENOMINATOR = 1001  # of the rates in use: 30000/1001 is the oddest
SAME_TIME = 0.001  # seconds; time stamps have at least milliseconds
DELAYED = 3  # frames by which a header may be later, as they are decoded in another order
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
      starts: places of the packets before which the clock jumps, and 0.
      first: time stamp in seconds of the first frame; NaN where frames cannot be found by time.
      sizes: int64 [frames], bytes of each frame in the file; None where `places` is.
      keys: int64 [k], places of the packets with which decoding can begin.
      behind: in words, what the file has behind the last frame; "" where that is nothing.
      is_cut: whether it ends within a packet, for files that do not say how long they are.
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
    behind: str = ""
    is_cut: bool = False

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
        if not len(frames):
            return ""
        seconds = ", ".join(f"{second:.0f}" for second in self.times[frames[:5]])
        more = ", ..." if len(frames) > 5 else ""
        return (
            f"its time stamps jump at {'second' if len(frames) == 1 else 'seconds'} "
            f"{seconds}{more}; the clock goes on with the duration of a frame there"
        )

    def begins_anew(self, place: int) -> bool:
        """Whether the file goes on at a packet as another recording, for the decoder, too."""
        if place not in self.starts or self.places is None:
            return place in self.starts
        return place in self.keys or place not in self.places

    def lost_stamps(self) -> np.ndarray:
        """float64 [n], time stamps of the frames that are lost; none where `first` is not known."""
        if self.places is None or np.isnan(self.first):
            return np.empty(0)
        return self.first + self.times[self.places == LOST]

    def start_for(self, number: int) -> int:
        """Place of a packet from which on to decode, to have a frame and the one before it."""
        if self.places is None:
            return 0
        keys = self.keys[self.keys <= self.places[number]]
        return int(keys[-2]) if len(keys) > 1 else 0

    def check_end(self) -> None:
        """Raises `InputError` if the file ends well before it says that it does, or goes on."""
        seconds = self.times[-1]
        if self.behind:
            raise InputError(f"{self.video}: {PARTLY_USED}, to second {seconds:.0f}: {self.behind}")
        if self.is_cut:
            raise InputError(
                f"{self.video}: cut off, {PARTLY_USED}, to second {seconds:.0f}, where it ends "
                "within a packet"
            )
        if self.promised - seconds > max(MAX_SHORT, DELAYED * self._step):
            raise InputError(
                f"{self.video}: cut off, {PARTLY_USED}, to second {seconds:.0f} of "
                f"{self.promised:.0f}"
            )


def estimate_seconds(video: Path) -> float:
    """Length of a video by its header; 0 where that does not say, or there is none."""
    try:
        with VideoFile(video) as file:
            seconds = header_seconds(file)
            return seconds if 0 < seconds < LONGEST else 0.0
    except InputError:
        return 0.0


def read_clock(video: Path) -> Clock:
    """Reads the timestamps of a video; raises `InputError` if it is none or holds no frames."""
    with VideoFile(video) as file:
        indexed = len(file.stream.index_entries)
        packets = without_strays(read_packets(file), float(file.stream.time_base))
        if not len(packets.shown):
            raise InputError(f"{video}: holds no frames")
        header = file.stream.guessed_rate or file.stream.average_rate
        unit, missing = float(file.stream.time_base), missing_seconds(file, packets)
        announced = header_seconds(file) if missing is None else 0.0
        keys, behind = _keys(file, packets, indexed), what_is_behind(file, packets)
        ends_early = is_cut(file)
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
        if places is not None and _is_ascending(times):
            times, places = add_lost(file, times, places, packets, starts)
    is_ascending = _is_ascending(times)
    rate = _constant_rate(video, times, float(header or 0))
    if rate and not is_ascending:
        times = np.arange(len(times)) / float(rate)
    clock = Clock(video, times, rate, announced, places, starts, behind=behind, is_cut=ends_early)
    if places is not None:
        is_found_by_time = is_ascending and len(starts) == 1 and not len(packets.strays)
        first = float(ordered[0]) * unit if is_found_by_time else float("nan")
        sizes = np.where(places == LOST, 0, packets.size[places])
        clock = replace(clock, first=first, sizes=sizes, keys=keys)
    return clock if missing is None else replace(clock, promised=clock.seconds + missing)


def _keys(file: VideoFile, packets: Packets, indexed: int) -> np.ndarray:
    """Where decoding can begin. In an AVI file only its index says it, of the packets in that."""
    is_blind = file.container.format.name == "avi" and indexed < len(packets.stamps)
    if is_blind and not file.stream.codec_context.codec.intra_only:
        return np.zeros(1, np.int64)
    return np.flatnonzero(packets.is_key)


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
