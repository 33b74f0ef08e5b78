"""Whether an MPEG stream was cut off: it does not say how long it is, but it consists of packets.

One that was copied in part, or whose recorder lost its power, ends within a packet, but for one cut
in a hundred; a whole one ends with its last.
"""

from collections.abc import Iterator
from pathlib import Path

from data.video.files.opening import VideoFile

TAIL = 1 << 20  # bytes; packets of a program stream have at most 65,541
SYNC = 0x47  # with which a packet of a transport stream begins (ISO/IEC 13818-1, 2.4.3.2)
# Bytes of such a packet, and of them before it: broadcast, AVCHD and Blu-ray (a time stamp before
# each), and with a code behind that corrects errors.
PACKETS = ((188, 0), (192, 4), (204, 0))
SURE = 20  # packets one behind the other, which no chance makes
# Start codes of program streams (ISO/IEC 13818-1, 2.5.3): of a pack, of its end, and the first of
# those that are followed by a length.
START, PACK, END, FIRST_WITH_LENGTH = b"\0\0\1", 0xBA, 0xB9, 0xBB


def is_cut(file: VideoFile) -> bool:
    """Whether a file ends within a packet of an MPEG transport or program stream.

    One that ends in something else, as in zeros or damage, is not taken for it.
    """
    kind = file.container.format.name
    if kind == "mpegts":
        return _ends_in_transport_packet(_tail(file.video))
    return kind == "mpeg" and _ends_in_program_packet(_tail(file.video))


def _tail(video: Path) -> bytes:
    with video.open("rb") as opened:
        opened.seek(max(0, video.stat().st_size - TAIL))
        return opened.read()


def _ends_in_transport_packet(tail: bytes) -> bool:
    for length, before in PACKETS:
        for last in range(len(tail) - 1, max(len(tail) - 1 - length, SURE * length), -1):
            begins = range(last, last - SURE * length, -length)
            if all(tail[place] == SYNC for place in begins):
                return last - before + length != len(tail)
    return False


def _ends_in_program_packet(tail: bytes) -> bool:
    place = -1
    while (place := tail.find(START + bytes([PACK]), place + 1)) >= 0:
        ends = list(_program_packets(tail, place))
        if len(ends) > 2 and ends[-1] >= len(tail):
            return ends[-1] > len(tail)
    return False


def _program_packets(tail: bytes, place: int) -> Iterator[int]:
    """Where the packets of a program stream end, from a pack on to the first thing that is none."""
    while tail[place : place + 3] == START and place + 14 <= len(tail):
        code = tail[place + 3]
        if code == PACK:
            is_second = tail[place + 4] >> 6 == 1  # MPEG-2; MPEG-1 has no stuffing
            place += 14 + (tail[place + 13] & 7) if is_second else 12
        elif code == END:
            place += 4
        elif code >= FIRST_WITH_LENGTH:
            place += 6 + int.from_bytes(tail[place + 4 : place + 6], "big")
        else:
            return
        yield place
