"""Frames that a file lacks in its midst, found without decoding it.

Where time stamps leave out a frame, a recorder may have dropped it before it was encoded, or shown
a picture for longer; or its bytes are lost. Then the frames behind the hole, up to a key frame, are
lost, too: they would be made of the picture before the hole.
"""

from collections.abc import Sequence

import numpy as np

from data.video.files.frame_numbers import FrameNumbers
from data.video.files.opening import VideoFile
from data.video.files.packets import GAP, REORDERED, SLOW, Packets

LOST = -1  # place of a frame that is lost: no packet has it
LATE = 1.75  # times the usual duration, after which a frame is missing; telecine has 1.5
FEW, FEW_SHARE = 3, 0.02  # of the steps between frames: with more of others no rate is constant
UNEVEN = 0.25  # of the usual duration, by which time stamps that are rounded differ
MADE_OF_TWO = 3  # frames at most that are made of one before and one behind
SMALL = 200  # bytes that a container may have between packets for its own use
UNKNOWN_BYTES = 1 << 40  # of a packet that PyAV does not hand out


def add_lost(
    file: VideoFile,
    times: np.ndarray,
    places: np.ndarray,
    packets: Packets,
    starts: Sequence[int] = (0,),
) -> tuple[np.ndarray, np.ndarray]:
    """Adds the frames that a file lacks.

    (Where an MPEG stream has no bytes for more than a second, its clock jumps: `unroll`.)

    Args:
      file: read already; it is opened anew where time stamps leave out a frame.
      times: float64 [frames], seconds, ascending.
      places: int64 [frames], their packets.
      packets: of the file.
      starts: places of packets, ascending: where its clock jumps, 0 before them.

    Returns:
      The times and places of all frames, `LOST` the place of those that are lost.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    late = np.flatnonzero(steps > LATE * usual)
    jumps = [start for start in starts[1:] if not packets.is_key[start]]
    if usual <= 0 or not (len(late) or jumps):
        return times, places
    video = _Video(file, times, places, packets)
    is_key, lost_places, holes = video.is_key, places.copy(), []
    for hole in late:
        begin = video.first_lost(hole)
        if begin is not None:
            lost_places[begin : _next_key(is_key, hole + 1)] = LOST
        if begin is not None or video.has_stray(hole):
            holes.append(hole)
    for jump in jumps:
        if not video.period or jump in video.broken:
            begin = int(np.argmax(places >= jump))
            lost_places[begin : _next_key(is_key, begin)] = LOST
    return _insert(times, lost_places, np.array(holes, int), video.counts)


class _Video:
    """What tells a hole from a frame that was never there.

    Attributes:
      is_key: bool [frames].
      counts: int64 [frames - 1], how many frames are missing between two.
      broken: int64, places of the packets whose frames do not follow the one before.
      period: that they do not follow is not seen where so many are missing; 0 where it never is.
    """

    def __init__(self, file: VideoFile, times: np.ndarray, places: np.ndarray, packets: Packets):
        self.is_key = packets.is_key[places]
        self._steps, self._places, self._packets = np.diff(times), places, packets
        self._usual = float(np.median(self._steps))
        self.counts = np.maximum(np.rint(self._steps / self._usual).astype(int) - 1, 1)
        uneven = np.abs(self._steps - self._usual) > UNEVEN * self._usual
        self._is_even = uneven.sum() <= max(FEW, FEW_SHARE * len(self._steps))
        self._file = file
        self.broken, self.period, beside = _read_evidence(file, packets)
        self._unclaimed = np.diff(packets.position - beside) - packets.size[:-1]

    def first_lost(self, hole: int) -> int | None:
        """The first frame that is lost around a hole behind the frame `hole`; None if none is."""
        near, is_inter = self._near(hole), not self.is_key[hole + 1]
        if not (self._file.may_jump or self._file.says_durations):
            filled = self._unclaimed[near.min() : near.max()]
            lost_bytes = self.counts[hole] * float(np.median(self._packets.size)) / 2
            if filled.max() > max(SMALL, lost_bytes):  # the packet in front may have lost its end
                return self._first_from(near.min() + int(filled.argmax()), hole)
        broken = self.broken[(self.broken >= near.min()) & (self.broken <= near.max())]
        if len(broken):
            return self._first_from(broken[0], hole)
        if self.has_stray(hole):
            return None
        step, file = self._steps[hole], self._file
        if step > GAP and hole == len(self._steps) - 1:
            return None  # a picture that was shown for long at the end: its end is a frame
        if file.may_jump and step > max(GAP, SLOW * self._usual):
            return self._first_behind(hole)
        is_told = self.period and is_inter
        if is_told and not self._may_be_blind(hole):
            return None  # the frame behind was made from the one before
        # An AVI file has empty frames, an MP4 file durations, where a recorder left frames out.
        is_silent = not file.says_durations and file.container.format.name != "avi"
        if is_told:
            is_lost = self._is_even and step <= GAP
        else:
            is_lost = is_silent and self._is_even and is_inter
        return self._first_behind(hole) if is_lost else None

    def _near(self, hole: int) -> np.ndarray:
        """The places of the packets between which those of a hole stood in the file."""
        near = self._places[max(0, hole - REORDERED) : hole + 2 + REORDERED]
        return near if (np.diff(near) < 0).any() else self._places[hole : hole + 2]

    def has_stray(self, hole: int) -> bool:
        """Whether the file has what is missing, but its time is damaged."""
        near, strays = self._near(hole), self._packets.strays
        return self._is_even and bool(((strays > near.min()) & (strays < near.max())).any())

    def _first_from(self, place: int, hole: int) -> int:
        """The first frame around a hole whose packet has a place, or a later one."""
        first = max(0, hole - REORDERED)
        behind = np.flatnonzero(self._places[first : hole + 1] >= place)
        return first + int(behind[0]) if len(behind) else hole + 1

    def _may_be_blind(self, hole: int) -> bool:
        """Whether as many frames may be missing as the numbers in the packets have for a period."""
        if len(self._near(hole)) > 2:  # reordered: then not all of them count
            return self.counts[hole] >= self.period
        return self.counts[hole] % self.period == 0

    def _first_behind(self, hole: int) -> int:
        """The first frame that may be made from those in a hole.

        Some are shown before the hole and decoded behind it. A frame that is decoded before one
        that is shown earlier is none of them: that one is made from it.
        """
        begin, places = hole + 1, self._places
        if len(self._near(hole)) == 2:
            return begin
        while begin > max(1, hole - MADE_OF_TWO + 1) and not self.is_key[begin - 1]:
            if places[begin - 1] < places[max(0, begin - REORDERED) : begin - 1].max():
                break
            begin -= 1
        return begin


def _next_key(is_key: np.ndarray, begin: int) -> int:
    after = np.flatnonzero(is_key[begin:])
    return begin + int(after[0]) if len(after) else len(is_key)


def _insert(
    times: np.ndarray, places: np.ndarray, holes: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inserts `counts[hole]` lost frames at even times behind each of the frames `holes`."""
    if not len(holes):
        return times, places
    steps = np.diff(times)
    lost = [
        times[hole] + steps[hole] * np.arange(1, counts[hole] + 1) / (counts[hole] + 1)
        for hole in holes
    ]
    behind = np.repeat(holes + 1, counts[holes])
    return np.insert(times, behind, np.concatenate(lost)), np.insert(places, behind, LOST)


def _read_evidence(file: VideoFile, packets: Packets) -> tuple[np.ndarray, int, np.ndarray]:
    """Reads a file again, with all tracks.

    Returns:
      `broken` and `period` of `_Video`; int64 [n], bytes of other tracks before each packet.
    """
    numbers, broken, beside, total = None, [], [], 0
    with VideoFile(file.video) as opened:
        index = opened.stream.index
        if opened.stream.codec_context.name == "h264":
            numbers = FrameNumbers(bytes(opened.stream.codec_context.extradata or b""))
        for packet in opened.all_packets():
            if packet is None:
                total += UNKNOWN_BYTES
            elif packet.stream.index != index:
                total += packet.size
            elif packet.size:
                if numbers and not numbers.follows(bytes(packet)):
                    broken.append(len(beside))
                beside.append(total)
    if len(beside) != len(packets.size):  # the tracks together are read in another way
        return np.empty(0, int), 0, UNKNOWN_BYTES * np.arange(len(packets.size))
    return np.array(broken, int), numbers.period if numbers else 0, np.array(beside)
