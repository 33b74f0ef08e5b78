"""What stands in a file behind the last frame that FFmpeg finds, where there is more.

Files that were put one behind the other (`cat`, `copy /b`) are one to some formats, of which FFmpeg
reads on; of others it reads the first. And it gives up an MP4 in fragments at a damaged place.
"""

import re
from pathlib import Path

from data.video.files.opening import VideoFile
from data.video.files.packets import Packets

PIECE, OVERLAP = 1 << 20, 64  # bytes that are looked at together, and twice
# With what another file begins: ISO/IEC 14496-12, 4.3, a box of type "ftyp"; the signature and
# version of FLV; the header object of ASF (.wmv).
BEGINNINGS = {
    "mp4": re.compile(rb"\0\0[\0\1].ftyp[\x20-\x7e]{4}", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\1\4\5]\0\0\0\x09"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
FRAGMENT = rb"traf\0\0\0.tfhd\0.{3}"  # of a track, whose number follows (14496-12, 8.8.7)


def what_is_behind(file: VideoFile, packets: Packets) -> str:
    """Says in words what a file has behind its last frame, "" where that is nothing but an index.

    Args:
      file: opened, and read.
      packets: of it.
    """
    kind = next((kind for kind in BEGINNINGS if kind in file.container.format.name), None)
    if kind is None:
        return ""
    end = int(packets.position[-1])
    if _find(BEGINNINGS[kind], file.video, end):
        return "another video begins behind it in the file, which is not read"
    if kind == "mp4":
        number = re.escape(file.stream.id.to_bytes(4, "big"))
        if _find(re.compile(FRAGMENT + number, re.DOTALL), file.video, end):
            return "damaged there, and what is behind cannot be read"
    return ""


def _find(pattern: re.Pattern, video: Path, begin: int) -> bool:
    """Whether a pattern of at most `OVERLAP` bytes is in a file, from a place on."""
    with video.open("rb") as opened:
        opened.seek(begin)
        kept = b""
        while piece := opened.read(PIECE):
            if pattern.search(kept + piece):
                return True
            kept = piece[-OVERLAP:]
    return False
