"""How long a file says that its video is, and how much of that it lacks."""

import contextlib
import struct
from pathlib import Path

import av
from av.error import FFmpegError

from data.video.files.opening import VideoFile
from data.video.files.packets import UNKNOWN, Packets

MAX_SHORT = 2.0  # seconds by which a sound track may outlast the pictures
# Of an ASF file (.wmv): the object that says how long it is, and where in it (Microsoft, Advanced
# Systems Format specification, 3.2): play duration, send duration, preroll, flags.
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_HEAD, ASF_TIMES, ASF_LIVE = 1 << 16, (struct.Struct("<QQQI"), 64), 1


def header_seconds(file: VideoFile) -> float:
    """How long the longest track is by what the header says; 0 where it does not."""
    stream, container = file.stream, file.container
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.format.name == "asf" and not container.duration:
        return _asf_seconds(file.video)
    return (container.duration or 0) / av.time_base


def _asf_seconds(video: Path) -> float:
    """What the header of an ASF file says, 0 where it was written live.

    FFmpeg does not believe it where the file has not the size that the header says.
    """
    with video.open("rb") as opened:
        head = opened.read(ASF_HEAD)
    (form, place), begin = ASF_TIMES, head.find(ASF_PROPERTIES)
    if begin < 0 or begin + place + form.size > len(head):
        return 0.0
    played, _, preroll, flags = form.unpack_from(head, begin + place)  # 100 ns, ms
    return 0.0 if flags & ASF_LIVE else max(0.0, played / 1e7 - preroll / 1e3)


def missing_seconds(file: VideoFile, packets: Packets) -> float | None:
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
    if "matroska" in kind:
        is_whole = _is_whole_matroska(file.video) and not _has_lost_tail(file, packets)
    else:
        is_whole = _has_whole_sound(file)
    return 0.0 if is_whole else None


def _has_whole_sound(file: VideoFile) -> bool:
    """Whether a track beside the pictures is as long as the file says: they ended before it.

    A header that counts the pictures, as an AVI's, is of them alone.
    """
    announced = header_seconds(file)
    if file.stream.frames or not announced:
        return False
    is_beside = len(file.container.streams) > 1
    return is_beside and _end_beside(file)[0] > announced - MAX_SHORT


def _has_lost_tail(file: VideoFile, packets: Packets) -> bool:
    """Whether a file of the right size ends in bytes of no packet, for seconds that it announces.

    A few bytes of an index are no such; and a last picture may be shown for long.
    """
    shown = packets.stamps[packets.shown]
    if (shown == UNKNOWN).any():
        return False
    first, last = (float(stamp * file.stream.time_base) for stamp in (shown.min(), shown.max()))
    missing = header_seconds(file) - last
    if missing < MAX_SHORT or last <= first:
        return False
    end = max(_end_beside(file)[1], int(packets.position[-1] + packets.size[-1]))
    tail = file.video.stat().st_size - end
    return tail > missing * packets.size.sum() / (last - first) / 2


def _end_beside(file: VideoFile) -> tuple[float, int]:
    """Where the tracks beside the pictures end: in seconds, and in bytes of the file; 0 if none."""
    second, end = 0.0, 0
    with contextlib.suppress(FFmpegError, IndexError), VideoFile(file.video) as whole:
        for packet in whole.container.demux():
            if packet.pts is not None and packet.stream.index != file.stream.index:
                second = max(
                    second, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
                end = max(end, (packet.pos or 0) + packet.size)
    return second - (file.container.start_time or 0) / av.time_base, end


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
