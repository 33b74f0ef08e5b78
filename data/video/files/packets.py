"""What the packets of a video say, undecoded, and a clock that goes on where theirs jumps."""

import contextlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from data.video.files.frame_numbers import FrameNumbers
from data.video.files.opening import VideoFile

UNKNOWN = np.iinfo(np.int64).min
GAP = 1.0  # seconds from which on the clock of an MPEG stream may have jumped ahead
STILL = 600.0  # seconds for which a frame may be shown in other files
UNEVEN = 0.4  # of the usual duration of a frame: by less, rates that alternate differ from it
REORDERED = 16  # frames by which the order of decoding may differ from that of showing
SLOW = 10  # times the usual duration of a frame: what is shorter is no jump
# Codecs whose B frames are shown when they are decoded, and others when the next of these is.
SHOWN_IN_TURN = ("mpeg1video", "mpeg2video")
FEW_PACKETS, FEW_FRAMES = 300, 16  # that are decoded to see in which order frames come


@dataclass(frozen=True)
class Packets:
    """What the packets of a video say, in the order of the file, undecoded.

    Attributes:
      stamps: int64 [n], when their frames are shown, in units of the stream; `UNKNOWN` is none.
      decoding: int64 [n], when they are decoded, ascending where the clock does not jump; `UNKNOWN`
        in Matroska, which does not say it: behind a jump FFmpeg's guess goes back and forth.
      position: int64 [n], where they begin in the file, in bytes; ascending.
      size: int64 [n], bytes.
      is_key: bool [n], whether decoding can begin there.
      shown: int64 [frames], those whose frames are shown. An edit list hides others, and the second
        field of an interlaced frame, in a packet of its own, makes no other frame.
      may_jump: as `VideoFile`'s.
      strays: int64, those whose time stamps are damaged (`without_strays`).
    """

    stamps: np.ndarray
    decoding: np.ndarray
    position: np.ndarray
    size: np.ndarray
    is_key: np.ndarray
    shown: np.ndarray
    may_jump: bool
    strays: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def read_packets(file: VideoFile) -> Packets:
    """Reads all packets of a video."""
    fields = None
    if file.stream.codec_context.name == "h264":
        numbers = FrameNumbers(bytes(file.stream.codec_context.extradata or b""))
        fields = numbers if numbers.may_have_fields else None
    rows = [
        (
            UNKNOWN if packet.pts is None else packet.pts,
            UNKNOWN if packet.dts is None else packet.dts,
            -1 if packet.pos is None else packet.pos,
            packet.size,
            packet.is_keyframe,
            packet.is_discard or bool(fields and fields.completes(bytes(packet))),
        )
        for packet in file.packets()
    ]
    stamps, decoding, position, size, is_key, is_hidden = np.array(rows, np.int64).reshape(-1, 6).T
    if file.may_jump and file.stream.codec_context.name in SHOWN_IN_TURN:
        _mend_references(stamps, decoding)
    if "matroska" in file.container.format.name:
        decoding = np.full(len(rows), UNKNOWN)
    return Packets(
        stamps=stamps,
        decoding=decoding,
        position=np.maximum.accumulate(position),
        size=size,
        is_key=is_key.astype(bool),
        shown=np.flatnonzero(is_hidden == 0),
        may_jump=file.may_jump,
    )


def _mend_references(stamps: np.ndarray, decoding: np.ndarray) -> None:
    """Sets the time stamps of frames that are shown last before the clock jumps, and come earlier.

    Where a program stream does not say when a frame is shown that is no B frame, FFmpeg takes the
    time at which the next one of a later time is decoded. Behind a jump that is of another clock.
    """
    known = np.flatnonzero((stamps != UNKNOWN) & (decoding != UNKNOWN))
    steps = np.diff(decoding[known])
    if not (steps > 0).any():
        return
    usual = float(np.median(steps[steps > 0]))
    ends = np.flatnonzero((steps < 0) | (steps > SLOW * usual)) + 1
    for start, stop in itertools.pairwise((0, *ends)):
        part = known[start:stop]
        references = part[stamps[part] != decoding[part]]
        if not len(references):
            continue
        later = stamps[references[-1]] - decoding[part[-1]]
        if abs(later - usual) > UNEVEN * usual:
            stamps[references[-1]] = decoding[part[-1]] + round(usual)


def unroll(packets: Packets, unit: float) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """Time stamps that go on where the clock jumps, with the duration of a frame.

    A clock that goes back jumps. One that goes ahead does so
      in an MPEG stream, whose parts each have their own clock, by more than a second if the file
      has no bytes for that time: a picture that is shown for long and a recorder that paused look
      the same there, and lost bytes do not;
      in other files, which say how long each frame is shown, by more than ten minutes.
    By less than ten times the usual duration of a frame, it is only slow.

    Args:
      packets: of the whole file.
      unit: of time stamps, in seconds.

    Returns:
      int64 [n], None where a frame has no time stamp; and the places of the packets before which
      the clock jumps, 0 before them.
    """
    stamps, clock = packets.stamps, packets.decoding
    if (stamps[packets.shown] == UNKNOWN).any():
        return None, (0,)
    back = 0
    if (clock == UNKNOWN).all():  # then frames are shown in another order than they are decoded
        clock, back = stamps, -max(1 / unit, REORDERED * _duration(stamps, 0))
    known = np.flatnonzero(clock != UNKNOWN)
    steps = np.diff(clock[known])
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    is_ahead = steps > SLOW * usual
    if packets.may_jump:
        density = packets.size.sum() / (usual * len(stamps))  # bytes in a unit of time
        is_empty = np.diff(packets.position[known]) < steps * density / 2
        is_ahead &= (steps * unit > GAP) & is_empty
    else:
        is_ahead &= steps * unit > STILL
    starts = (0, *known[1:][(steps < back) | is_ahead].tolist())
    unrolled, end, duration = stamps.copy(), None, round(usual)
    _mend_ends(unrolled, packets.decoding, starts, usual)
    for start, stop in itertools.pairwise((*starts, len(stamps))):
        part = unrolled[start:stop]
        used = part[part != UNKNOWN]
        if end is not None and len(used):
            part += end + duration - used.min()
        end = part.max() if len(used) else end
        duration = round(_duration(part, duration))
    return unrolled, starts


def _mend_ends(stamps: np.ndarray, decoding: np.ndarray, starts: tuple, usual: float) -> None:
    """Sets the time stamps of last frames before jumps that are of the clock behind these.

    Where a program stream does not say when a frame is shown, FFmpeg takes the time at which the
    next one is decoded.
    """
    for start, stop in itertools.pairwise(starts):
        own = slice(start, stop)
        known = (stamps[own] != UNKNOWN) & (decoding[own] != UNKNOWN)
        if not known[-1] or known.sum() < 3:
            continue
        later = np.median((stamps[own] - decoding[own])[known])
        if abs(stamps[stop - 1] - decoding[stop - 1] - later) > SLOW * usual:
            stamps[stop - 1] = decoding[stop - 1] + round(later)


def _duration(stamps: np.ndarray, otherwise: float) -> float:
    """For how long most frames are shown, in whichever order they come."""
    steps = np.diff(np.unique(stamps[stamps != UNKNOWN]))
    return float(np.median(steps)) if len(steps) else otherwise


def find_beginning(video: Path, packets: Packets, places: np.ndarray) -> int | None:
    """How many of the first frames cannot be shown, since the file begins in the midst of others.

    They are decoded for it, a few frames.

    Args:
      video: the file.
      packets: of it.
      places: int64 [frames], the packets with frames, in the order of their time stamps.

    Returns:
      The number; None where frames come in another order than that of their time stamps.
    """
    order = np.full(len(packets.stamps), -1)
    order[places] = np.arange(len(places))
    came = []
    with VideoFile(video) as file:
        for place, packet in enumerate(itertools.islice(file.packets(), FEW_PACKETS)):
            packet.pts = packet.dts = place
            with contextlib.suppress(FFmpegError):
                frames = file.stream.decode(packet)
                came += [order[frame.pts] for frame in frames if not frame.is_corrupt]
            if len(came) > (FEW_FRAMES if file.stream.codec_context.has_b_frames else 0):
                break
    if (np.diff(came) < 0).any():
        return None
    key = int(np.argmax(packets.is_key)) if packets.is_key.any() else 0
    return min(max(order[key], 0), came[0] if came else 0)
